"""Clock models: known truth comes back, and standard errors cover it as often as they say."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from synthetic_drive import (
    START_NS,
    SYNC,
    S,
    pairs_of,
)

from fleet_assets.ingestion.sensor_sync_and_format_conversion.clock_model import (
    ClockBounds,
    ClockSegment,
    TimePairs,
    _variance_under_autoregression,
    correct,
    fit_clock,
)

BOUNDS = ClockBounds.from_policy(SYNC)
UNSHRUNK = replace(BOUNDS, drift_prior_sd_ppm=math.inf)
Z = 1.959964


def autoregressive(rng, n, rho, sd):
    noise = rng.normal(0, sd, n)
    for index in range(1, n):
        noise[index] = rho * noise[index - 1] + math.sqrt(1 - rho**2) * noise[index]
    return noise


def fit(pairs, bounds=BOUNDS):
    return fit_clock(pairs, bounds, start_ns=int(pairs.t_ns.min()))


# The line


@pytest.mark.parametrize("drift_ppm", [-100.0, 0.0, 37.5])
def test_a_clock_without_noise_is_corrected_to_the_microsecond(drift_ppm):
    seconds = np.arange(0, 300, 0.97)
    truth_s = 1.25 + drift_ppm * 1e-6 * seconds
    pairs = pairs_of(seconds, truth_s)
    segment = fit(pairs)
    assert segment.drift_ppm == pytest.approx(drift_ppm, abs=0.01)
    assert np.abs(correct(pairs.t_ns, [segment]) - pairs.utc_ns).max() < 1000
    assert (segment.samples, segment.jump_ns) == (len(pairs), 0)


def test_the_offset_holds_at_the_mean_time_stamp():
    seconds = np.array([0.0, 10.0, 20.0, 90.0])
    segment = fit(pairs_of(seconds, 0.5 + 1e-5 * seconds), UNSHRUNK)
    assert segment.reference_ns == START_NS + 30 * S
    assert segment.offset_ns == round(0.5 * S + 1e-5 * 30 * S)


def test_the_fit_is_least_squares_of_the_pairs_near_the_line():
    rng = np.random.default_rng(3)
    seconds = np.sort(rng.uniform(0, 200, 150))
    offset = 0.3 + 40e-6 * seconds + rng.normal(0, 0.02, 150)
    segment = fit(pairs_of(seconds, offset), UNSHRUNK)
    slope, level = np.polyfit(seconds - seconds.mean(), offset, 1)
    assert segment.drift_ppm == pytest.approx(slope * 1e6, rel=1e-4)
    assert segment.offset_ns == pytest.approx(level * S, abs=10)


@settings(max_examples=40, deadline=None)
@given(st.integers(-(10**17), 10**17), st.integers(-(10**12), 10**12), st.integers(0, 2**31))
def test_shifting_stamps_or_offsets_shifts_the_fit_and_nothing_else(shift_ns, more_ns, seed):
    rng = np.random.default_rng(seed)
    pairs = pairs_of(np.sort(rng.uniform(0, 100, 40)), rng.normal(0, 0.02, 40))
    moved = TimePairs(pairs.t_ns + shift_ns, pairs.offset_ns + more_ns)
    one, two = fit(pairs), fit(moved)
    assert (two.reference_ns, two.offset_ns) == (one.reference_ns + shift_ns, one.offset_ns + more_ns)
    assert (two.drift_ppm, two.drift_se_ppm, two.offset_se_ns) == (one.drift_ppm, one.drift_se_ppm, one.offset_se_ns)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**31))
def test_the_order_of_the_pairs_does_not_matter(seed):
    rng = np.random.default_rng(seed)
    pairs = pairs_of(np.sort(rng.uniform(0, 100, 60)), rng.normal(0, 0.02, 60))
    assert fit(pairs[rng.permutation(60)]) == fit(pairs)


@pytest.mark.parametrize("count", [1, 2])
def test_too_few_pairs_give_an_offset_and_claim_nothing_about_its_error(count):
    segment = fit(pairs_of(np.arange(count) * 10.0, np.full(count, 0.7)))
    assert (segment.offset_ns, segment.offset_se_ns) == (round(0.7 * S), None)
    assert (segment.drift_ppm, segment.drift_se_ppm) == (0.0, None)


def test_three_pairs_give_a_drift_with_its_error():
    segment = fit(pairs_of([0.0, 10.0, 20.0], [0.0, 0.001, 0.0]))
    assert segment.drift_se_ppm is not None


def test_pairs_at_one_instant_give_no_drift():
    assert fit(pairs_of([5.0] * 10, np.linspace(0, 1e-3, 10))).drift_se_ppm is None


def test_no_pair_at_all_is_an_error_that_says_what_to_do():
    with pytest.raises(ValueError, match="Use a sensor that states UTC"):
        fit_clock(pairs_of([], []), BOUNDS, start_ns=0)


def test_wild_pairs_do_not_move_the_clock():
    rng = np.random.default_rng(8)
    seconds = np.arange(300.0)
    offset = 0.2 + 50e-6 * seconds + rng.normal(0, 0.01, 300)
    wild = offset.copy()
    chosen = rng.choice(300, 45, replace=False)
    wild[chosen] += rng.uniform(0.3, 3.0, 45)
    clean = np.delete(np.arange(300), chosen)
    assert fit(pairs_of(seconds, wild)) == fit(pairs_of(seconds[clean], offset[clean]))


def test_a_pair_on_the_edge_of_the_outliers_is_used_and_one_beyond_is_not():
    # The median is 0 and nearly all distances from it are 1 ms, so one scaled deviation is 1.4826 ms.
    offset_ns = np.append(np.tile([-1_000_000, 1_000_000], 50), 0)
    t_ns = START_NS + np.arange(101) * S
    edge = round(BOUNDS.outlier_mads * 1.4826 * 1_000_000)
    for extra, used in ((0, 101), (1, 100)):
        offset_ns[51] = edge + extra
        assert fit(TimePairs(t_ns, offset_ns)).samples == used


def test_among_five_pairs_a_wild_one_shows_and_among_four_it_does_not():
    for count, used in ((5, 4), (4, 4)):
        offset = np.zeros(count)
        offset[1] = 5.0
        assert fit(pairs_of(np.arange(count), offset)).samples == used


def test_a_wild_pair_shows_although_the_clock_drifts():
    rng = np.random.default_rng(12)
    seconds = np.arange(3000.0)
    offset = 100e-6 * seconds + rng.uniform(-0.01, 0.01, 3000)
    offset[1000] += 0.2
    assert fit(pairs_of(seconds, offset)).samples == 2999


# Standard errors


def slow_standard_errors(seconds, offset):
    """The formulas of the module's docstring with full matrices and monomials, for pairs without outliers."""
    n = len(seconds)
    x = seconds - seconds.mean()
    design = np.column_stack([np.ones(n), x])
    residual = offset - design @ np.linalg.lstsq(design, offset, rcond=None)[0]
    rho = 0.0
    if n >= 9:
        rho = (n * (residual[1:] @ residual[:-1]) / (residual @ residual) + 2) / (n - 4)
        rho = min(max(rho, 0.0), 0.95)
    matrix = rho ** np.abs(np.subtract.outer(np.arange(n), np.arange(n)))
    count = min(max(int(0.6 * math.sqrt(n)), 2), 8, n - 2)
    basis = []
    for power in range(count + 2):
        column = (x / np.abs(x).max()) ** power
        for _ in range(2):
            column -= sum((column @ other) * other for other in basis) if basis else 0.0
        basis.append(column / np.linalg.norm(column))
    variances = [column @ matrix @ column for column in basis]
    long_run = np.mean([(column @ residual) ** 2 / v for column, v in zip(basis[2:], variances[2:], strict=True)])
    factor = stats.t.ppf(0.975, count) / stats.norm.ppf(0.975)
    return factor * math.sqrt(long_run * variances[0] / n), factor * math.sqrt(long_run * variances[1] / (x @ x))


@pytest.mark.parametrize("rho", [0.0, 0.5, 0.99])
@pytest.mark.parametrize("n", [3, 4, 8, 9, 20, 90, 400])
def test_standard_errors_are_those_of_the_formulas(n, rho):
    rng = np.random.default_rng(n)
    seconds = np.arange(n) + rng.uniform(-0.2, 0.2, n)
    pairs = pairs_of(seconds, 0.3 + autoregressive(rng, n, rho, 0.02))
    wide = replace(UNSHRUNK, outlier_mads=1e6)
    segment = fit(pairs, wide)
    offset_se, drift_se = slow_standard_errors((pairs.t_ns - START_NS) / S, pairs.offset_ns / S)
    assert segment.offset_se_ns == pytest.approx(offset_se * S, rel=1e-4)
    assert segment.drift_se_ppm == pytest.approx(drift_se * 1e6, rel=1e-4)


def test_the_variance_under_autoregression_is_that_of_the_full_matrix():
    vectors = np.random.default_rng(0).normal(size=(57, 4))
    for rho in (0.0, 0.3, 0.95):
        matrix = rho ** np.abs(np.subtract.outer(np.arange(57), np.arange(57)))
        expected = np.einsum("ij,ik,kj->j", vectors, matrix, vectors)
        assert _variance_under_autoregression(vectors, rho) == pytest.approx(expected)


def _coverage(drives: int, seed: int, rho: float, prior: bool) -> tuple[float, float]:
    """Share of drives of 20 to 600 s whose true offset and drift lie within 1.96 standard errors."""
    rng = np.random.default_rng(seed)
    hits = np.zeros(2)
    for _ in range(drives):
        n = int(rng.integers(20, 601))
        seconds = np.arange(n) + rng.uniform(-0.02, 0.02, n)
        drift = rng.normal(0, BOUNDS.drift_prior_sd_ppm)
        offset = 0.4 + drift * 1e-6 * seconds + autoregressive(rng, n, rho, 0.03)
        segment = fit(pairs_of(seconds, offset), BOUNDS if prior else UNSHRUNK)
        truth_ns = (0.4 + drift * 1e-6 * (segment.reference_ns - START_NS) / S) * S
        hits += [
            abs(segment.offset_ns - truth_ns) <= Z * segment.offset_se_ns,
            abs(segment.drift_ppm - drift) <= Z * segment.drift_se_ppm,
        ]
    return tuple(hits / drives)


@pytest.mark.parametrize("rho", [0.0, 0.6])
def test_standard_errors_cover_the_truth(rho):
    # 200 drives: 95 % coverage is seen between 91 % and 98.5 % in 99 of 100 such runs.
    assert all(0.905 <= share <= 0.985 for share in _coverage(200, 11, rho, prior=False))


@pytest.mark.slow
@pytest.mark.parametrize("prior", [False, True])
@pytest.mark.parametrize("rho", [0.0, 0.3, 0.6])
def test_standard_errors_cover_the_truth_in_95_of_100_drives(rho, prior):
    assert all(0.93 <= share <= 0.97 for share in _coverage(500, 5, rho, prior))


def test_correlated_residuals_widen_the_standard_error_as_they_must():
    rng = np.random.default_rng(2)
    seconds = np.arange(600.0)
    ratio = []
    for _ in range(20):
        independent, correlated = (
            fit(pairs_of(seconds, autoregressive(rng, 600, rho, 0.03))).offset_se_ns for rho in (0.0, 0.8)
        )
        ratio.append(correlated / independent)
    # The mean of an autoregression with 0.8 has sqrt((1 + 0.8) / (1 - 0.8)) = 3 times the standard error.
    assert np.median(ratio) == pytest.approx(3.0, rel=0.25)


# Shrinking the drift


def test_an_uncertain_drift_stays_near_zero_and_a_certain_one_is_left_alone():
    rng = np.random.default_rng(6)
    for duration, weight in ((20, (0.0, 0.2)), (2000, (0.98, 1.0))):
        seconds = np.arange(float(duration))
        pairs = pairs_of(seconds, 80e-6 * seconds + rng.normal(0, 0.03, duration))
        shrunk, fitted = fit(pairs), fit(pairs, UNSHRUNK)
        assert weight[0] <= shrunk.drift_ppm / fitted.drift_ppm <= weight[1]
        assert shrunk.drift_se_ppm <= min(fitted.drift_se_ppm, BOUNDS.drift_prior_sd_ppm)


def test_shrinking_follows_the_formula():
    rng = np.random.default_rng(1)
    pairs = pairs_of(np.arange(100.0), rng.normal(0, 0.02, 100))
    shrunk, fitted, prior = fit(pairs), fit(pairs, UNSHRUNK), BOUNDS.drift_prior_sd_ppm
    weight = prior**2 / (prior**2 + fitted.drift_se_ppm**2)
    assert shrunk.drift_ppm == pytest.approx(weight * fitted.drift_ppm, rel=1e-4)
    assert shrunk.drift_se_ppm == pytest.approx(math.sqrt(weight) * fitted.drift_se_ppm, rel=1e-4)
    assert (shrunk.offset_ns, shrunk.offset_se_ns) == (fitted.offset_ns, fitted.offset_se_ns)


@pytest.mark.parametrize("duration", [20, 60, 300])
def test_correcting_drift_is_no_worse_than_leaving_it_be(duration):
    rng = np.random.default_rng(duration)
    seconds = np.arange(float(duration))
    corrected, left = [], []
    for _ in range(150):
        drift = rng.normal(0, BOUNDS.drift_prior_sd_ppm)
        truth = 0.1 + drift * 1e-6 * seconds
        pairs = pairs_of(seconds, truth + autoregressive(rng, duration, 0.5, 0.03))
        segment = fit(pairs)
        constant = ClockSegment(
            segment.start_ns, segment.reference_ns, segment.offset_ns, None, 0.0, None, 0, segment.samples
        )
        utc_ns = pairs.t_ns + truth * S
        for errors, used in ((corrected, segment), (left, constant)):
            errors.append(np.mean((correct(pairs.t_ns, [used]) - utc_ns) ** 2))
    assert np.mean(corrected) <= np.mean(left) * 1.02


# Applying


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 10**12), st.integers(-(10**10), 10**10), st.floats(-200, 200)), min_size=1, max_size=4
    ),
    st.lists(st.integers(-(10**11), 2 * 10**12), max_size=10),
)
def test_each_stamp_is_corrected_by_the_stretch_that_it_lies_in(stretches, stamps):
    segments = [
        ClockSegment(start, start + 17, offset, None, drift, None, 0, 1) for start, offset, drift in sorted(stretches)
    ]
    expected = []
    for stamp in stamps:
        own = [one for one in segments if one.start_ns <= stamp] or segments[:1]
        one = own[-1]
        expected.append(stamp + one.offset_ns + round(one.drift_ppm / 1e6 * (stamp - one.reference_ns)))
    found = correct(np.array(stamps, dtype=np.int64), segments)
    assert np.abs(found - np.array(expected, dtype=np.int64)).max(initial=0) <= 1
