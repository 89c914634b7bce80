"""Bootstrap intervals of a ratio of sums, resampling whole clusters.

Frames of one drive resemble each other; so drives, not frames, are drawn. Here belongs only the resampling: what the
clusters are and which ratio is meant is the caller's business.
"""

import math
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fleet_assets.evidence.intervals import Interval, Method, require_confidence

_DRAWS_AT_ONCE: Final = 2_000_000
"""Bounds the memory of one block of resamples, whatever the number of clusters."""

_SAME_RATIO: Final = 1e-12
"""Ratios this close, relative to the largest, differ by rounding only."""

_MIN_CLUSTERS: Final = 2
"""One cluster has no variation between clusters."""


_METHODS: Final[dict[str, Method]] = {"percentile": "bootstrap-percentile", "bca": "bootstrap-bca"}


@dataclass(frozen=True, slots=True)
class TooFewClusters:
    """There is no interval: the clusters do not show how much they vary. Turn it into an inconclusive verdict.

    Attributes:
        n: Clusters with exposure.
        needed: The least number that could give an interval.
        reason: One sentence for a person.
    """

    n: int
    needed: int
    reason: str


def per_cluster_sums(values: ArrayLike, clusters: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Sum and count of the values of each cluster, so that `cluster_bootstrap` bounds their overall mean.

    Args:
        values: One number per row, shape (rows,).
        clusters: The cluster (drive) of each row, shape (rows,).

    Returns:
        Numerators (sums) and denominators (counts), each of shape (clusters,), by sorted cluster name.

    Raises:
        ValueError: When the shapes differ or a value is not finite.
    """
    numbers, names = np.asarray(values, dtype=np.float64), np.asarray(clusters)
    if numbers.ndim != 1 or numbers.shape != names.shape:
        raise ValueError(f"values have shape {numbers.shape}, clusters {names.shape}. Give one cluster for each value.")
    if not np.isfinite(numbers).all():
        raise ValueError(
            f"{int((~np.isfinite(numbers)).sum())} values are not finite. Leave out what was not measured."
        )
    _, index = np.unique(names, return_inverse=True)
    counts = np.bincount(index).astype(np.float64)
    return np.bincount(index, weights=numbers).astype(np.float64), counts


def cluster_bootstrap(
    numerators: ArrayLike,
    denominators: ArrayLike,
    *,
    confidence: float,
    seed: int,
    n_resamples: int = 10_000,
    method: Literal["percentile", "bca"] = "bca",
    min_clusters: int = 2,
) -> Interval | TooFewClusters:
    """Two-sided bootstrap interval of sum(numerators) / sum(denominators) over clusters.

    Clusters without exposure (both numbers 0) add nothing to either sum and are left out. The result depends on the
    multiset of clusters and the seed only, never on their order. BCa follows Efron and Tibshirani, An Introduction to
    the Bootstrap (1993), chapter 14.3; the acceleration is the jackknife's over clusters.

    Args:
        numerators: One number per cluster, shape (clusters,), e.g. misses of a drive.
        denominators: One number >= 0 per cluster, shape (clusters,), e.g. objects or kilometres of a drive.
        confidence: Coverage, inside (0, 1); half of the rest lies beyond each end.
        seed: Seed of the PCG64 generator.
        n_resamples: Number of resamples.
        method: BCa corrects bias and skewness; percentile does not.
        min_clusters: Fewest clusters for which the caller trusts an interval; at least 2. Below some 20 to 30 clusters
            a bootstrap covers less than it says.

    Returns:
        The interval, with `n` the number of clusters with exposure; or TooFewClusters when there are less than
        `min_clusters`, or when they all show the same ratio, so that resampling would claim certainty.

    Raises:
        ValueError: When shapes differ, numbers are not finite, a denominator is negative, there are events without
            exposure, or the resamples are too few to reach the tail.
    """
    top, bottom = _exposed_clusters(numerators, denominators)
    _require_settings(confidence, n_resamples, method, min_clusters)
    if too_few := _too_few(top, bottom, min_clusters):
        return too_few
    estimate = float(top.sum() / bottom.sum())
    ratios = _resampled_ratios(top, bottom, n_resamples, seed)
    tail = (1 - confidence) / 2
    if method == "percentile":
        levels = (tail, 1 - tail)
    else:
        share_below = float(((ratios < estimate).mean() + (ratios <= estimate).mean()) / 2)
        if share_below in {0.0, 1.0}:
            reason = f"all {n_resamples} resamples of {top.size} clusters lie on one side of the estimate {estimate:g}"
            return TooFewClusters(top.size, top.size + 1, reason)
        levels = _bca_levels(tail, share_below, _acceleration(top, bottom))
    low, high = (float(end) for end in np.quantile(ratios, levels))
    return Interval(low, high, estimate, top.size, confidence, _METHODS[method])


def _exposed_clusters(
    numerators: ArrayLike, denominators: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    top, bottom = np.asarray(numerators, dtype=np.float64), np.asarray(denominators, dtype=np.float64)
    if top.ndim != 1 or top.shape != bottom.shape:
        raise ValueError(
            f"numerators have shape {top.shape}, denominators {bottom.shape}. Give one of each per cluster."
        )
    if not (np.isfinite(top).all() and np.isfinite(bottom).all()):
        raise ValueError("a numerator or denominator is not finite. Leave out what was not measured.")
    if (bottom < 0).any():
        raise ValueError(f"the smallest denominator is {bottom.min()}; exposure cannot be negative.")
    if ((bottom == 0) & (top != 0)).any():
        raise ValueError("a cluster has events but no exposure (denominator 0). Check that both count the same rows.")
    exposed = bottom > 0
    top, bottom = top[exposed], bottom[exposed]
    # Resampling draws positions, so a fixed order makes the result independent of the order in which drives came in.
    order = np.lexsort((bottom, top))
    return top[order], bottom[order]


def _require_settings(confidence: float, n_resamples: int, method: str, min_clusters: int) -> None:
    require_confidence(confidence)
    if method not in _METHODS:
        raise ValueError(f"method is {method!r}. Use 'percentile' or 'bca'.")
    if min_clusters < _MIN_CLUSTERS:
        raise ValueError(f"min_clusters is {min_clusters}; one cluster has no variation. Use 2 or more.")
    fewest = math.ceil(round(2 / (1 - confidence), 9))
    if n_resamples < fewest:
        raise ValueError(f"{n_resamples} resamples do not reach the tails at confidence {confidence}. Use >= {fewest}.")


def _too_few(top: NDArray[np.float64], bottom: NDArray[np.float64], min_clusters: int) -> TooFewClusters | None:
    n = top.size
    if n < min_clusters:
        return TooFewClusters(n, min_clusters, f"{n} clusters with exposure, and at least {min_clusters} are needed")
    ratios = top / bottom
    if np.ptp(ratios) <= _SAME_RATIO * np.abs(ratios).max():
        reason = (
            f"all {n} clusters show the same ratio {ratios[0]:g}, which says nothing about how much they vary; "
            "bound the share of affected clusters with an exact interval instead"
        )
        return TooFewClusters(n, n + 1, reason)
    return None


def _resampled_ratios(
    top: NDArray[np.float64], bottom: NDArray[np.float64], n_resamples: int, seed: int
) -> NDArray[np.float64]:
    generator = np.random.Generator(np.random.PCG64(seed))
    ratios = np.empty(n_resamples)
    block = max(1, _DRAWS_AT_ONCE // top.size)
    for start in range(0, n_resamples, block):
        rows = min(block, n_resamples - start)
        drawn = generator.integers(0, top.size, size=(rows, top.size))
        ratios[start : start + rows] = top[drawn].sum(axis=1) / bottom[drawn].sum(axis=1)
    return ratios


def _acceleration(top: NDArray[np.float64], bottom: NDArray[np.float64]) -> float:
    left_out = (top.sum() - top) / (bottom.sum() - bottom)
    distance = left_out.mean() - left_out
    return float((distance**3).sum() / (6 * (distance**2).sum() ** 1.5))


def _bca_levels(tail: float, share_below: float, acceleration: float) -> tuple[float, float]:
    from scipy.special import ndtr, ndtri

    bias = float(ndtri(share_below))

    # The acceleration of a jackknife stays below 1/6, so the pole of this formula lies beyond six standard deviations.
    def level(z: float) -> float:
        shifted = bias + z
        return float(ndtr(bias + shifted / (1 - acceleration * shifted)))

    z = float(ndtri(tail))
    return level(z), level(-z)
