"""The cluster bootstrap agrees with SciPy where SciPy can do it, and covers where frames alone would not."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from fleet_assets.evidence import bootstrap
from fleet_assets.evidence.bootstrap import TooFewClusters, cluster_bootstrap, per_cluster_sums
from fleet_assets.evidence.intervals import Interval


def interval(*args: object, **options: object) -> Interval:
    result = cluster_bootstrap(*args, **{"confidence": 0.95, "seed": 1} | options)  # type: ignore[arg-type]
    assert isinstance(result, Interval)
    return result


def skewed(n: int = 25) -> NDArray[np.float64]:
    return np.random.default_rng(3).lognormal(0, 1, n)


@pytest.mark.parametrize("data", [skewed(), np.array([0.0, 0, 0, 1, 1, 2, 5])], ids=["skewed", "many ties"])
@pytest.mark.parametrize("method", ["percentile", "bca"])
def test_one_value_per_cluster_is_scipys_bootstrap_of_the_mean(method: str, data: NDArray[np.float64]) -> None:
    data = np.sort(data)  # in this order both draw the same resamples from the same generator
    ours = interval(data, np.ones_like(data), seed=9, n_resamples=5_000, method=method)
    scipys = stats.bootstrap(
        (data,), np.mean, n_resamples=5_000, method=method, rng=np.random.default_rng(9), vectorized=True
    ).confidence_interval
    assert (ours.low, ours.high) == pytest.approx((scipys.low, scipys.high), rel=1e-9)
    assert ours.estimate == pytest.approx(data.mean())


def test_bca_differs_from_percentile_by_more_than_the_noise_of_the_comparison() -> None:
    data = skewed()
    bca, percentile = (
        interval(data, np.ones_like(data), n_resamples=40_000, method=method) for method in ("bca", "percentile")
    )
    assert bca.high - percentile.high > 0.1 * (percentile.high - percentile.low)
    assert bca.low > percentile.low
    assert (bca.method, percentile.method) == ("bootstrap-bca", "bootstrap-percentile")


@pytest.mark.parametrize("method", ["percentile", "bca"])
def test_a_ratio_of_sums_is_scipys_paired_bootstrap(method: str) -> None:
    generator = np.random.default_rng(5)
    exposure = generator.gamma(2, 10, 20)
    events = generator.poisson(0.3 * exposure * generator.gamma(1, 1, 20)).astype(float)
    ours = interval(events, exposure, n_resamples=40_000, method=method)

    def ratio(top: NDArray[np.float64], bottom: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
        return np.asarray(top.sum(axis=axis) / bottom.sum(axis=axis))

    scipys = stats.bootstrap(
        (events, exposure), ratio, paired=True, n_resamples=40_000, method=method, rng=np.random.default_rng(2)
    ).confidence_interval
    assert (ours.low, ours.high) == pytest.approx((scipys.low, scipys.high), abs=0.025 * (scipys.high - scipys.low))
    assert ours.estimate == pytest.approx(events.sum() / exposure.sum())
    assert ours.n == 20


def drives(generator: np.random.Generator, count: int, frames: int) -> NDArray[np.float64]:
    """Misses by drive and frame, shape (count, frames); the rate is 0.2 on average and differs from drive to drive."""
    rates = generator.beta(1, 4, count)
    return (generator.random((count, frames)) < rates[:, None]).astype(float)


def test_drives_as_clusters_cover_and_frames_as_clusters_do_not() -> None:
    generator = np.random.default_rng(11)
    rounds, count, frames, truth = 800, 40, 20, 0.2
    held = {"percentile": 0, "bca": 0, "frames": 0}
    for seed in range(rounds):
        misses = drives(generator, count, frames)
        by_drive = (misses.sum(axis=1), np.full(count, frames))
        frame_by_frame = (misses.ravel(), np.ones(misses.size))
        intervals = {
            "percentile": interval(*by_drive, seed=seed, n_resamples=500, method="percentile"),
            "bca": interval(*by_drive, seed=seed, n_resamples=500, method="bca"),
            "frames": interval(*frame_by_frame, seed=seed, n_resamples=150, method="percentile"),
        }
        for name, found in intervals.items():
            held[name] += found.low <= truth <= found.high
    assert 0.92 <= held["percentile"] / rounds <= 0.97
    assert 0.92 <= held["bca"] / rounds <= 0.97
    assert held["frames"] / rounds < 0.80


def test_the_seed_alone_decides_the_result() -> None:
    data = skewed()
    assert interval(data, data + 1, seed=4) == interval(data, data + 1, seed=4)
    assert interval(data, data + 1, seed=4) != interval(data, data + 1, seed=5)


@given(st.permutations(range(12)))
def test_the_order_of_drives_changes_no_bit(order: list[int]) -> None:
    top, bottom = skewed(12), np.repeat([3.0, 5.0], 6)
    expected = interval(top, bottom, n_resamples=200)
    assert interval(top[order], bottom[order], n_resamples=200) == expected


def test_the_size_of_a_block_of_resamples_changes_no_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    data = skewed()
    whole = interval(data, data + 1, n_resamples=1000)
    monkeypatch.setattr(bootstrap, "_DRAWS_AT_ONCE", 7 * data.size)
    assert interval(data, data + 1, n_resamples=1000) == whole


def test_drives_without_exposure_do_not_count() -> None:
    data = skewed()
    padded = interval(np.append(data, [0, 0]), np.append(data + 1, [0, 0]))
    assert padded == interval(data, data + 1)
    assert padded.n == data.size


@pytest.mark.parametrize("n", [0, 1])
def test_fewer_than_two_clusters_give_no_interval(n: int) -> None:
    result = cluster_bootstrap([3.0] * n, [10.0] * n, confidence=0.95, seed=1)
    assert result == TooFewClusters(n, 2, f"{n} clusters with exposure, and at least 2 are needed")


def test_two_different_clusters_give_an_interval() -> None:
    result = interval([1.0, 3.0], [10.0, 10.0], method="percentile")
    assert (result.low, result.high, result.n) == (0.1, 0.3, 2)


def test_a_policy_may_ask_for_more_clusters() -> None:
    data = skewed(9)
    assert interval(data, data + 1, min_clusters=9).n == 9
    result = cluster_bootstrap(data, data + 1, confidence=0.95, seed=1, min_clusters=10)
    assert isinstance(result, TooFewClusters)
    assert (result.n, result.needed) == (9, 10)


@pytest.mark.parametrize(("top", "bottom"), [([0, 0, 0], [5, 7, 9]), ([0.1, 0.2, 0.3], [1, 2, 3])])
def test_clusters_that_all_agree_are_no_proof_of_certainty(top: list[float], bottom: list[float]) -> None:
    result = cluster_bootstrap(top, bottom, confidence=0.95, seed=1)
    assert isinstance(result, TooFewClusters)
    assert (result.n, result.needed) == (3, 4)
    assert "all 3 clusters show the same ratio" in result.reason


@pytest.mark.parametrize("scale", [1e-9, 1e9])
def test_the_unit_of_the_ratio_changes_only_the_unit_of_the_interval(scale: float) -> None:
    data = skewed()
    plain, scaled = interval(data, data + 1), interval(data * scale, data + 1)
    assert (scaled.low, scaled.high) == pytest.approx((plain.low * scale, plain.high * scale))


def test_resamples_on_one_side_of_the_estimate_leave_bca_without_an_interval() -> None:
    data = skewed()
    results = [cluster_bootstrap(data, data + 1, confidence=0.5, seed=seed, n_resamples=4) for seed in range(64)]
    without = [result for result in results if isinstance(result, TooFewClusters)]
    assert 1 <= len(without) <= 20  # one in eight is expected
    assert {(result.n, result.needed) for result in without} == {(25, 26)}
    assert all("lie on one side of the estimate" in result.reason for result in without)


def test_rows_become_sums_and_counts_by_drive() -> None:
    sums, counts = per_cluster_sums([1.0, 2.0, 4.0, 8.0], ["b", "a", "b", "b"])
    assert sums.tolist() == [2.0, 13.0]
    assert counts.tolist() == [1.0, 3.0]


@pytest.mark.parametrize(
    ("values", "clusters", "message"),
    [([1.0], ["a", "b"], "one cluster for each value"), ([1.0, math.nan], ["a", "a"], "1 values are not finite")],
)
def test_rows_that_cannot_be_summed_are_refused(values: list[float], clusters: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        per_cluster_sums(values, clusters)


@pytest.mark.parametrize(
    ("top", "bottom", "options", "message"),
    [
        ([1, 2], [1], {}, "one of each per cluster"),
        ([1, math.nan], [1, 1], {}, "not finite"),
        ([1, 1], [1, math.inf], {}, "not finite"),
        ([1, 1], [1, -1], {}, "exposure cannot be negative"),
        ([1, 1], [1, 0], {}, "events but no exposure"),
        ([1, 2], [1, 1], {"method": "basic"}, "method is 'basic'"),
        ([1, 2], [1, 1], {"min_clusters": 1}, "one cluster has no variation"),
        ([1, 2], [1, 1], {"confidence": 95}, "Write 95 % as 0.95"),
        ([1, 2], [1, 1], {"n_resamples": 39}, "39 resamples do not reach the tails.*>= 40"),
    ],
)
def test_impossible_input_is_refused(
    top: list[float], bottom: list[float], options: dict[str, object], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        interval(top, bottom, **options)


def test_the_fewest_resamples_that_reach_the_tails_are_enough() -> None:
    assert interval([1, 2, 4], [1, 1, 1], n_resamples=40).n == 3
