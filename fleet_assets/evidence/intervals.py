"""Confidence intervals of a proportion.

Here belong the interval type and the closed-form intervals. Resampling is in `bootstrap`, how much evidence an interval
needs in `power`, what an interval decides in `decisions`.
"""

import math
import operator
from dataclasses import dataclass
from typing import Literal, SupportsIndex

Side = Literal["two", "lower", "upper"]
"""Which ends are bounds: both, only the lower (high is the trivial end), or only the upper (low is trivial)."""

Method = Literal["clopper-pearson", "wilson", "bootstrap-percentile", "bootstrap-bca"]


@dataclass(frozen=True, slots=True)
class Interval:
    """A confidence interval and what it came from.

    Attributes:
        low: Lower end.
        high: Upper end.
        estimate: The point estimate; None when nothing was observed.
        n: Number of independent units: trials, or clusters (drives) of a bootstrap.
        confidence: Nominal coverage, inside (0, 1).
        method: How it was computed.
        side: Which ends are bounds.

    Raises:
        ValueError: When a field breaks its rule.
    """

    low: float
    high: float
    estimate: float | None
    n: int
    confidence: float
    method: Method
    side: Side = "two"

    def __post_init__(self) -> None:
        require_confidence(self.confidence)
        if not self.low <= self.high:
            raise ValueError(f"interval from {self.low} to {self.high}: low must not exceed high, and neither be NaN.")
        if self.n < 0:
            raise ValueError(f"n is {self.n}; a number of units cannot be negative.")

    @property
    def tail(self) -> float:
        """Probability, at most, that the truth lies beyond one bound: (1 - confidence) / 2 with two bounds."""
        return (1 - self.confidence) / 2 if self.side == "two" else 1 - self.confidence


def clopper_pearson(k: SupportsIndex, n: SupportsIndex, confidence: float, side: Side = "two") -> Interval:
    """Exact interval of a proportion; covers at least `confidence`, whatever the truth.

    Bounds are quantiles of beta distributions (Clopper and Pearson, Biometrika 26, 1934).

    Args:
        k: Number of successes.
        n: Number of trials; 0 gives [0, 1].
        confidence: Coverage, inside (0, 1).
        side: Which ends are bounds.

    Raises:
        ValueError: When 0 <= k <= n, the confidence or the side is not as it must be.
        TypeError: When a count is not an integer.
    """
    successes, trials = _counts(k, n)
    tail = _tail(confidence, side)
    from scipy.special import betainccinv, betaincinv

    low, high = 0.0, 1.0
    if side != "upper" and successes > 0:
        low = float(betaincinv(successes, trials - successes + 1, tail))
    if side != "lower" and successes < trials:
        high = float(betainccinv(successes + 1, trials - successes, tail))
    return Interval(low, high, _proportion(successes, trials), trials, confidence, "clopper-pearson", side)


def wilson(k: SupportsIndex, n: SupportsIndex, confidence: float, side: Side = "two") -> Interval:
    """Score interval of a proportion; covers about `confidence` on average, and is narrower than the exact one.

    Without continuity correction (Wilson, JASA 22, 1927).

    Args:
        k: Number of successes.
        n: Number of trials; 0 gives [0, 1].
        confidence: Coverage, inside (0, 1).
        side: Which ends are bounds.

    Raises:
        ValueError: When 0 <= k <= n, the confidence or the side is not as it must be.
        TypeError: When a count is not an integer.
    """
    successes, trials = _counts(k, n)
    tail = _tail(confidence, side)
    from scipy.special import ndtri

    low, high = 0.0, 1.0
    if trials > 0:
        z = -float(ndtri(tail))
        share = successes / trials
        centre = (share + z * z / (2 * trials)) / (1 + z * z / trials)
        spread = math.sqrt(share * (1 - share) / trials + (z / (2 * trials)) ** 2)
        half = z * spread / (1 + z * z / trials)
        # At the extremes the formula gives 0 and 1 but for rounding, which must not lead beyond them.
        if side != "upper" and successes > 0:
            low = min(centre - half, 1.0)
        if side != "lower" and successes < trials:
            high = max(centre + half, 0.0)
    return Interval(low, high, _proportion(successes, trials), trials, confidence, "wilson", side)


def require_confidence(confidence: float) -> None:
    """Check that a confidence lies inside (0, 1).

    Raises:
        ValueError: When it does not; a percentage is the usual mistake.
    """
    if not 0 < confidence < 1:
        raise ValueError(f"confidence is {confidence}, expected a number between 0 and 1. Write 95 % as 0.95.")


def _counts(k: SupportsIndex, n: SupportsIndex) -> tuple[int, int]:
    try:
        successes, trials = operator.index(k), operator.index(n)
    except TypeError as error:
        raise TypeError(f"k={k!r} of n={n!r}: counts must be integers. Count units, do not weight them.") from error
    if not 0 <= successes <= trials:
        raise ValueError(f"k={successes} of n={trials}: expected 0 <= k <= n. Check which count is which.")
    return successes, trials


def _tail(confidence: float, side: Side) -> float:
    require_confidence(confidence)
    if side not in {"two", "lower", "upper"}:
        raise ValueError(f"side is {side!r}. Use 'two', 'lower' or 'upper'.")
    return (1 - confidence) / 2 if side == "two" else 1 - confidence


def _proportion(successes: int, trials: int) -> float | None:
    return successes / trials if trials else None
