"""Planning numbers are the smallest that do what they promise."""

import numpy as np
import pytest
from scipy.stats import binom

from fleet_assets.evidence.intervals import Interval, clopper_pearson, wilson
from fleet_assets.evidence.power import MAX_TRIALS, further_units, sample_size


def excludes(k: int, n: int, limit: float, confidence: float) -> bool:
    return clopper_pearson(k, n, confidence, "upper").high <= limit


def chance(n: int, limit: float, rate: float, confidence: float) -> float:
    """Probability that the upper bound excludes the limit, by asking the interval for every outcome."""
    good = [k for k in range(int(n * limit) + 1) if excludes(k, n, limit, confidence)]
    return float(binom.pmf(good, n, rate).sum())


@pytest.mark.parametrize(
    ("limit", "rate", "confidence", "power"),
    [(0.05, 0.0, 0.95, 0.9), (0.05, 0.01, 0.95, 0.8), (0.2, 0.1, 0.9, 0.5), (0.5, 0.3, 0.975, 0.8)],
)
def test_no_smaller_sample_reaches_the_power(limit: float, rate: float, confidence: float, power: float) -> None:
    n = sample_size(limit, rate, confidence=confidence, power=power)
    assert n is not None
    assert chance(n, limit, rate, confidence) >= power
    assert all(chance(smaller, limit, rate, confidence) < power for smaller in range(1, n))


@pytest.mark.parametrize(
    ("limit", "rate", "confidence"), [(0.5, 0.48, 0.95), (0.3, 0.28, 0.9), (0.05, 0.046, 0.9), (0.7, 0.72, 0.95)]
)
def test_large_samples_are_the_smallest_as_well(limit: float, rate: float, confidence: float) -> None:
    n = np.arange(1, 20_000)
    worst, planned = (limit, rate) if rate < limit else (1 - limit, 1 - rate)
    candidate = binom.ppf(1 - confidence, n, worst)
    allowed = candidate - (binom.cdf(candidate, n, worst) > 1 - confidence)
    reached = np.flatnonzero(binom.cdf(allowed, n, planned) >= 0.8)
    assert sample_size(limit, rate, confidence=confidence, power=0.8) == n[reached[0]]


def test_a_bound_that_meets_the_limit_exactly_is_enough() -> None:
    # four tosses of a fair coin without a head have the probability 1/16
    assert sample_size(0.5, 0.0, confidence=0.9375, power=0.9) == 4


@pytest.mark.parametrize(
    ("confidence", "coverage", "n"),
    [(0.95, 0.95, 59), (0.95, 0.99, 299), (0.90, 0.95, 45), (0.99, 0.99, 459), (0.95, 0.90, 29), (0.90, 0.90, 22)],
)
def test_samples_without_failure_are_those_of_the_success_run_theorem(
    confidence: float, coverage: float, n: int
) -> None:
    assert sample_size(1 - coverage, 0.0, confidence=confidence, power=0.9) == n


def test_a_lower_bound_is_planned_as_the_upper_bound_of_the_failures() -> None:
    assert sample_size(0.95, 1.0, confidence=0.95, power=0.9) == 59
    assert sample_size(0.8, 0.9, confidence=0.9, power=0.8) == sample_size(0.2, 0.1, confidence=0.9, power=0.8)


def test_a_rate_on_or_beside_the_limit_cannot_be_planned() -> None:
    assert sample_size(0.1, 0.1, confidence=0.95, power=0.8) is None
    assert sample_size(0.5, 0.4999, confidence=0.95, power=0.8) is None


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"limit": 0.0}, "no sample excludes"),
        ({"limit": 1.0}, "no sample excludes"),
        ({"expected_rate": 1.5}, "expected_rate is 1.5"),
        ({"confidence": 1.0}, "confidence is 1"),
        ({"power": 80}, "Write 80 % as 0.8"),
        ({"power": 1.0}, "power is 1.0"),
        ({"power": 0.0}, "power is 0.0"),
    ],
)
def test_impossible_plans_are_refused(changed: dict[str, float], message: str) -> None:
    plan = {"limit": 0.1, "expected_rate": 0.05, "confidence": 0.95, "power": 0.8} | changed
    with pytest.raises(ValueError, match=message):
        sample_size(**plan)


@pytest.mark.parametrize("method", [clopper_pearson, wilson])
def test_further_trials_are_counted_from_those_that_exist(method: type) -> None:
    interval = method(0, 40, 0.9)
    assert further_units(interval, 0.05, expected=0.0) == 59 - 40


def test_further_clusters_shrink_the_interval_with_the_square_root() -> None:
    interval = Interval(0.1, 0.3, 0.2, 30, 0.95, "bootstrap-bca")
    assert further_units(interval, 0.25, expected=0.2) == 120 - 30
    assert further_units(interval, 0.15, expected=0.2) == 120 - 30
    assert further_units(interval, 0.1, expected=0.2) == 1


def test_some_limits_are_out_of_reach() -> None:
    bootstrapped = Interval(0.1, 0.3, 0.2, 30, 0.95, "bootstrap-bca")
    assert further_units(bootstrapped, 0.2, expected=0.2) is None
    assert further_units(bootstrapped, 0.2 + 0.1 * (31 / MAX_TRIALS) ** 0.5, expected=0.2) is not None
    assert further_units(bootstrapped, 0.2 + 0.1 * (29 / MAX_TRIALS) ** 0.5, expected=0.2) is None
    assert further_units(clopper_pearson(0, 10, 0.9), 0.0, expected=0.0) is None
    assert further_units(clopper_pearson(1, 10, 0.9), 0.0, expected=0.1) is None
    assert further_units(clopper_pearson(9, 10, 0.9), 1.0, expected=0.9) is None
    assert further_units(clopper_pearson(5, 10, 0.9, "upper"), 0.2, expected=0.5) is None
    assert further_units(clopper_pearson(1, 10, 0.9, "lower"), 0.2, expected=0.1) is None
    assert further_units(clopper_pearson(1, 10, 0.9, "upper"), 0.2, expected=0.1) is not None
