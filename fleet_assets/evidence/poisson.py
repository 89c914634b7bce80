"""Exact bounds of a rate from a count: events over an exposure.

Here belongs the interval of one Poisson count. What a rate is held against is said by policies.
"""

from dataclasses import dataclass

from fleet_assets.evidence.intervals import require_confidence


@dataclass(frozen=True, slots=True)
class RateBounds:
    """One-sided bounds of a rate, each with the stated confidence.

    Attributes:
        low: Lower bound, events per unit of exposure.
        high: Upper bound.
        rate: The estimate.
    """

    low: float
    high: float
    rate: float


def poisson_bounds(count: int, exposure: float, confidence: float) -> RateBounds:
    """Exact bounds of a Poisson rate (Garwood, Biometrika 28, 1936).

    Args:
        count: Events counted.
        exposure: What they were counted over, above 0.
        confidence: One-sided confidence of each bound.

    Raises:
        ValueError: On a negative count, an exposure that is not above 0, or a confidence outside (0, 1).
    """
    from scipy.special import gammaincinv

    require_confidence(confidence)
    if count < 0 or not exposure > 0.0:
        raise ValueError(f"{count} events over {exposure}: counts are 0 or more, exposures above 0. Correct the input.")
    low = float(gammaincinv(count, 1.0 - confidence)) if count else 0.0
    return RateBounds(low / exposure, float(gammaincinv(count + 1, confidence)) / exposure, count / exposure)
