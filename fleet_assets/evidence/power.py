"""How much evidence a decision needs, so that an inconclusive verdict can say what is missing.

Here belong planning numbers only: they tell people how long to go on, and decide nothing.
"""

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fleet_assets.evidence.intervals import Interval, require_confidence

MAX_TRIALS: Final = 1_000_000
"""Beyond this a plan is no plan: the rate is as good as on the limit."""

_WINDOW: Final = 1024
_PLANNED_POWER: Final = 0.8
"""The customary power of a planned experiment."""


def sample_size(limit: float, expected_rate: float, *, confidence: float, power: float) -> int | None:
    """Fewest trials so that a one-sided Clopper-Pearson bound excludes a limit with the wanted probability.

    The upper bound of k successes in n trials is at most the limit exactly when P(X <= k | n, limit) <= 1 - confidence.
    For each k the smallest such n has the best power; the answer is the first of these that reaches the wanted power.
    A rate above the limit is the same question about failures.

    Args:
        limit: The rate to be excluded, inside (0, 1).
        expected_rate: The true rate to plan for, in [0, 1]; below the limit, the upper bound has to exclude it, above
            it the lower bound.
        confidence: One-sided confidence of the bound, inside (0, 1).
        power: Wanted probability that the bound excludes the limit, inside (0, 1).

    Returns:
        Number of trials, or None when more than MAX_TRIALS are needed (in particular when rate and limit are equal).

    Raises:
        ValueError: When an argument is out of range.
    """
    require_confidence(confidence)
    if not 0 < limit < 1:
        raise ValueError(f"limit is {limit}; no sample excludes a rate of 0 or 1. Give a limit between them.")
    if not 0 <= expected_rate <= 1:
        raise ValueError(f"expected_rate is {expected_rate}, expected a rate between 0 and 1.")
    if not 0 < power < 1:
        raise ValueError(f"power is {power}, expected a number between 0 and 1. Write 80 % as 0.8.")
    if expected_rate > limit:
        limit, expected_rate = 1 - limit, 1 - expected_rate
    if expected_rate == limit:
        return None
    from scipy.special import bdtr

    def reaches(allowed: NDArray[np.int64]) -> NDArray[np.bool_]:
        return np.asarray(bdtr(allowed, _fewest_trials(allowed, limit, 1 - confidence), expected_rate) >= power)

    # The power grows with the number of allowed successes, but for a jitter much narrower than the last window.
    short, enough = -1, _WINDOW
    while not reaches(np.array([enough]))[0]:
        if _fewest_trials(np.array([enough]), limit, 1 - confidence)[0] > MAX_TRIALS:
            return None
        short, enough = enough, 2 * enough
    while enough - short > _WINDOW:
        middle = (short + enough) // 2
        short, enough = (short, middle) if reaches(np.array([middle]))[0] else (middle, enough)
    window = np.arange(short + 1, enough + 1)
    answer = int(_fewest_trials(window[np.argmax(reaches(window))][None], limit, 1 - confidence)[0])
    return answer if answer <= MAX_TRIALS else None


def _fewest_trials(allowed: NDArray[np.int64], limit: float, tail: float) -> NDArray[np.int64]:
    """For each number of allowed successes, the smallest n with P(X <= allowed | n, limit) <= tail."""
    from scipy.special import bdtr, bdtrin

    trials: NDArray[np.int64] = np.ceil(bdtrin(allowed, tail, limit)).astype(np.int64)
    # The inverse is a root search, which rounds an exact integer up to the next one.
    return np.where(bdtr(allowed, trials - 1, limit) <= tail, trials - 1, trials)


def further_units(interval: Interval, limit: float, *, expected: float) -> int | None:
    """How many more units would make an interval exclude a limit, if they behave as expected.

    Proportions are planned with `sample_size` at a power of 80 %. The ends of a bootstrap interval are taken to
    approach the estimate with the square root of the number of clusters.

    Args:
        interval: An interval that includes the limit.
        limit: What it has to exclude.
        expected: The value to plan for: the estimate, or an assumption when nothing was observed yet.

    Returns:
        Number of further units, at least 1; None when no reasonable number would do, because the expected value is on
        the limit, more than MAX_TRIALS would be needed, or the one-sided interval has no bound on that side.
    """
    if expected == limit or interval.side == ("lower" if expected < limit else "upper"):
        return None
    if interval.method in {"clopper-pearson", "wilson"}:
        if not 0 < limit < 1:
            return None
        wanted = sample_size(limit, expected, confidence=1 - interval.tail, power=_PLANNED_POWER)
    else:
        bound = interval.high if expected < limit else interval.low
        stretch = (bound - expected) / (limit - expected)
        # Compared before it is squared, since a value beside the limit makes it too large for a float.
        within_reach = abs(stretch) <= math.sqrt(MAX_TRIALS / max(1, interval.n))
        wanted = math.ceil(interval.n * stretch**2) if within_reach else None
    return None if wanted is None else max(1, wanted - interval.n)
