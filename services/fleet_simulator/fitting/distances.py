"""Two-sample distances between recordings, and how sure they are.

Samples of one drive resemble each other, so drives are what is drawn again, and a drive's samples stay together. Here
belongs the arithmetic; which samples are compared is said in `comparison.py`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]
_RESAMPLES: Final = 400
_BINS: Final = 4096


@dataclass(frozen=True)
class Distance:
    """How far two samples are apart.

    Attributes:
        ks: Kolmogorov and Smirnov's distance, 0 to 1.
        wasserstein: Wasserstein's first distance over the reference's interquartile range.
        ks_low, ks_high, wasserstein_low, wasserstein_high: Ends of the 95 % bootstrap intervals over drives.
    """

    ks: float
    wasserstein: float
    ks_low: float = float("nan")
    ks_high: float = float("nan")
    wasserstein_low: float = float("nan")
    wasserstein_high: float = float("nan")


def _shares(samples: Sequence[Numbers], edges: Numbers) -> Numbers:
    """Per drive, how many samples lie below each edge: float64[drives, edges + 1], the last column is their number."""
    rows = [np.append(np.searchsorted(np.sort(values), edges, side="right"), len(values)) for values in samples]
    return np.array(rows, dtype=np.float64)


def _apart(first: Numbers, second: Numbers, edges: Numbers, scale: float) -> tuple[float, float]:
    gap = np.abs(first[:-1] / first[-1] - second[:-1] / second[-1])
    area = float((0.5 * (gap[1:] + gap[:-1]) * np.diff(edges)).sum())
    return float(gap.max()), area / scale


def distance(
    found: Sequence[Numbers], reference: Sequence[Numbers], *, resamples: int = _RESAMPLES, seed: int = 0
) -> Distance:
    """Distance of the first sample from the second, with drives drawn again on both sides.

    The distributions are compared at 4096 of their own quantiles, which is exact to 1/4096 of the samples.

    Args:
        found: One array per drive.
        reference: One array per drive (or per block of a long one).
        resamples: Of the bootstrap; without any there is no interval.
        seed: Of the bootstrap.
    """
    pooled = np.concatenate([*found, *reference])
    edges = np.unique(np.quantile(pooled, np.linspace(0.0, 1.0, _BINS)))
    own = np.concatenate(list(reference))
    scale = float(np.subtract(*np.quantile(own, [0.75, 0.25]))) or float(own.std()) or 1.0
    ours, theirs = _shares(found, edges), _shares(reference, edges)
    ks, wasserstein = _apart(ours.sum(axis=0), theirs.sum(axis=0), edges, scale)
    if not resamples:
        return Distance(ks, wasserstein)
    rng = np.random.default_rng(seed)
    drawn = np.array(
        [
            _apart(
                ours[rng.integers(len(ours), size=len(ours))].sum(axis=0),
                theirs[rng.integers(len(theirs), size=len(theirs))].sum(axis=0),
                edges,
                scale,
            )
            for _ in range(resamples)
        ]
    )
    low, high = np.quantile(drawn, [0.025, 0.975], axis=0)
    return Distance(ks, wasserstein, float(low[0]), float(high[0]), float(low[1]), float(high[1]))


def blocks(values: Numbers, least: int) -> list[Numbers]:
    """A long recording in pieces of at least some samples, so that it can be drawn again as if it were drives."""
    pieces = max(1, len(values) // least)
    return [piece for piece in np.array_split(values, pieces) if len(piece)]


def rate_interval(count: int, exposure: float) -> tuple[float, float]:
    """Exact 95 % interval of a Poisson rate (Garwood, Biometrika 28, 1936).

    Args:
        count: Events.
        exposure: In which the rate is per one.
    """
    from scipy.stats import chi2

    low = 0.0 if count == 0 else float(chi2.ppf(0.025, 2 * count)) / 2.0
    return low / exposure, float(chi2.ppf(0.975, 2 * count + 2)) / 2.0 / exposure
