"""Intervals of a proportion agree with published tables and SciPy, and cover what they claim."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom, binomtest

from fleet_assets.evidence.intervals import Interval, Side, clopper_pearson, wilson

Method = Callable[[int, int, float, Side], Interval]
ALTERNATIVE: dict[Side, str] = {"two": "two-sided", "upper": "less", "lower": "greater"}


@st.composite
def counts(draw: st.DrawFn) -> tuple[int, int]:
    n = draw(st.integers(1, 400))
    return draw(st.sampled_from([0, 1, n - 1, n]) | st.integers(0, n)), n


@pytest.mark.parametrize("side", ["two", "lower", "upper"])
@given(counts(), st.sampled_from([0.5, 0.8, 0.9, 0.95, 0.99, 0.999]))
def test_clopper_pearson_equals_scipys_root_search(side: Side, count: tuple[int, int], confidence: float) -> None:
    interval = clopper_pearson(*count, confidence, side)
    expected = binomtest(*count, alternative=ALTERNATIVE[side]).proportion_ci(confidence, method="exact")
    assert (interval.low, interval.high) == pytest.approx((expected.low, expected.high), abs=1e-10)


@pytest.mark.parametrize("side", ["two", "lower", "upper"])
@given(counts(), st.sampled_from([0.5, 0.8, 0.9, 0.95, 0.99, 0.999]))
def test_wilson_equals_scipys_formula(side: Side, count: tuple[int, int], confidence: float) -> None:
    interval = wilson(*count, confidence, side)
    expected = binomtest(*count, alternative=ALTERNATIVE[side]).proportion_ci(confidence, method="wilson")
    assert (interval.low, interval.high) == pytest.approx((expected.low, expected.high), abs=1e-12)


@pytest.mark.parametrize(
    ("k", "n", "exact", "score"),
    [
        (81, 263, (0.2527, 0.3676), (0.2553, 0.3662)),
        (15, 148, (0.0578, 0.1617), (0.0624, 0.1605)),
        (0, 20, (0.0000, 0.1684), (0.0000, 0.1611)),
        (1, 29, (0.0009, 0.1776), (0.0061, 0.1718)),
    ],
)
def test_both_methods_give_the_values_of_newcombe_1998_table_1(
    k: int, n: int, exact: tuple[float, float], score: tuple[float, float]
) -> None:
    for interval, published in ((clopper_pearson(k, n, 0.95), exact), (wilson(k, n, 0.95), score)):
        assert (round(interval.low, 4), round(interval.high, 4)) == published


@pytest.mark.parametrize(("n", "confidence"), [(1, 0.5), (22, 0.9), (59, 0.95), (299, 0.95), (3000, 0.95)])
def test_no_failure_in_n_trials_bounds_the_rate_by_the_closed_form(n: int, confidence: float) -> None:
    assert clopper_pearson(0, n, confidence, "upper").high == pytest.approx(1 - (1 - confidence) ** (1 / n), rel=1e-12)
    assert clopper_pearson(n, n, confidence, "lower").low == pytest.approx((1 - confidence) ** (1 / n), rel=1e-12)


def test_a_very_high_confidence_keeps_its_digits() -> None:
    interval = clopper_pearson(0, 100, 1 - 1e-12, "upper")
    assert interval.high == pytest.approx(1 - (1 - interval.confidence) ** 0.01, rel=1e-9)


@pytest.mark.parametrize("method", [clopper_pearson, wilson])
@pytest.mark.parametrize("side", ["two", "lower", "upper"])
def test_no_trial_leaves_everything_possible(method: Method, side: Side) -> None:
    interval = method(0, 0, 0.95, side)
    assert (interval.low, interval.high, interval.estimate, interval.n) == (0.0, 1.0, None, 0)


@given(counts(), st.floats(0.01, 0.999))
def test_intervals_mirror_when_successes_and_failures_swap(count: tuple[int, int], confidence: float) -> None:
    k, n = count
    for method in (clopper_pearson, wilson):
        here, there = method(k, n, confidence), method(n - k, n, confidence)
        assert (here.low, here.high) == pytest.approx((1 - there.high, 1 - there.low), abs=1e-9)
        upper, lower = method(k, n, confidence, "upper"), method(n - k, n, confidence, "lower")
        assert upper.high == pytest.approx(1 - lower.low, abs=1e-9)
        assert (upper.low, lower.high) == (0.0, 1.0)


@given(counts(), st.floats(0.5, 0.999))
def test_the_estimate_lies_inside_and_the_ends_inside_zero_and_one(count: tuple[int, int], confidence: float) -> None:
    for method in (clopper_pearson, wilson):
        interval = method(*count, confidence)
        assert interval.estimate == count[0] / count[1]
        assert 0 <= interval.low <= interval.estimate <= interval.high <= 1


def test_rounding_leads_no_end_beyond_zero_or_one() -> None:
    assert wilson(0, 177, 0.0625, "upper").high == 0.0
    assert wilson(49, 49, 0.03125, "lower").low == 1.0


def coverage(method: Method, n: int, truth: float, confidence: float, side: Side = "two") -> float:
    """Exact probability that the interval holds the truth, over all outcomes."""
    intervals = [method(k, n, confidence, side) for k in range(n + 1)]
    held = np.array([interval.low <= truth <= interval.high for interval in intervals])
    return float(binom.pmf(np.arange(n + 1), n, truth) @ held)


TRUTHS = np.linspace(0.005, 0.995, 67)


@pytest.mark.parametrize("n", [5, 30, 120])
@pytest.mark.parametrize("side", ["two", "lower", "upper"])
def test_clopper_pearson_never_covers_less_than_it_says(n: int, side: Side) -> None:
    assert min(coverage(clopper_pearson, n, truth, 0.9, side) for truth in TRUTHS[::4]) >= 0.9 - 1e-12


@pytest.mark.parametrize("n", [30, 120])
def test_wilson_covers_on_average_what_it_says(n: int) -> None:
    values = [coverage(wilson, n, truth, 0.95) for truth in TRUTHS]
    assert np.mean(values) == pytest.approx(0.95, abs=0.01)
    assert min(values) < 0.95


def test_simulated_drives_confirm_the_coverage() -> None:
    n, truth, rounds = 80, 0.07, 20_000
    drawn = np.bincount(np.random.default_rng(7).binomial(n, truth, rounds), minlength=n + 1)
    for method, least, most in ((clopper_pearson, 0.95, 0.985), (wilson, 0.935, 0.97)):
        intervals = [method(k, n, 0.95) for k in range(n + 1)]
        held = sum(
            times for times, interval in zip(drawn, intervals, strict=True) if interval.low <= truth <= interval.high
        )
        assert least <= held / rounds <= most


@pytest.mark.parametrize("method", [clopper_pearson, wilson])
@pytest.mark.parametrize(
    ("k", "n", "confidence", "side", "error", "message"),
    [
        (-1, 5, 0.9, "two", ValueError, "k=-1 of n=5"),
        (6, 5, 0.9, "two", ValueError, "k=6 of n=5"),
        (0, -1, 0.9, "two", ValueError, "k=0 of n=-1"),
        (1.0, 5, 0.9, "two", TypeError, "counts must be integers"),
        (1, 5, 0, "two", ValueError, "confidence is 0"),
        (1, 5, 1, "two", ValueError, "confidence is 1"),
        (1, 5, 95, "two", ValueError, "Write 95 % as 0.95"),
        (1, 5, math.nan, "two", ValueError, "confidence is nan"),
        (1, 5, 0.9, "both", ValueError, "side is 'both'"),
    ],
)
def test_impossible_counts_are_refused(
    method: Method, k: int, n: int, confidence: float, side: Side, *, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        method(k, n, confidence, side)


def test_numpy_counts_are_counts() -> None:
    interval = clopper_pearson(np.int64(1), np.uint8(29), 0.95)
    assert interval == clopper_pearson(1, 29, 0.95)
    assert type(interval.n) is int


@pytest.mark.parametrize(("low", "high", "n"), [(0.5, 0.4, 1), (math.nan, 1.0, 1), (0.0, math.nan, 1), (0.0, 1.0, -1)])
def test_an_interval_that_cannot_be_is_refused(low: float, high: float, n: int) -> None:
    with pytest.raises(ValueError, match=r"interval from|n is -1"):
        Interval(low, high, 0.5, n, 0.95, "wilson")


def test_the_tail_is_halved_only_between_two_bounds() -> None:
    assert clopper_pearson(1, 9, 0.9).tail == pytest.approx(0.05)
    assert clopper_pearson(1, 9, 0.9, "upper").tail == pytest.approx(0.1)
