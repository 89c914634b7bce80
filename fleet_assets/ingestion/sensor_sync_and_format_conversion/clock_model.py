"""How one clock runs against UTC: offset and drift with their standard errors, and the jumps between two stretches.

Here belongs the estimate from pairs (time stamp, UTC minus time stamp) alone. Which sensor has such pairs and which
sensors share a clock is decided in `sensor_clocks.py`.

The line is fitted by least squares on the pairs that lie near a robust first line. Its standard errors allow for
residuals that depend on each other, as those of GNSS latency do: the residuals' slow movement is measured on the
Legendre polynomials of order 2 and more, which are orthogonal to the line (series estimate of the long-run variance
with t critical values: Müller, J. Econometrics 141, 2007; Lazarus, Lewis, Stock, Watson, JBES 36, 2018), after
prewhitening with a first-order autoregression (Andrews, Monahan, Econometrica 60, 1992) whose coefficient is corrected
for the small-sample bias that a fitted line causes (Kendall, Biometrika 41, 1954). The t factor is part of the standard
error, so that the estimate ± 1.96 standard errors covers 95 %.

A short drive says less about the drift than is known of oscillators anyhow. So the drift is shrunk towards 0 by the
normal prior of the policy: drift = w * fit and its variance w * se², with w = prior² / (prior² + se²). Where the fit is
certain this changes nothing; where it is not, the drift stays near 0 and the correction does no harm.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from fleet_assets.ingestion.recordings.protocol import NS_PER_S

MIN_PAIRS_FOR_DRIFT: Final = 3
_PPM: Final = 1e6
_NORMAL_97_5: Final = 1.959963984540054
_SCALED_MAD: Final = 1.4826
_JITTER_MEDIANS: Final = 10.0
"""Steps of the offset up to this many median steps are jitter."""
_RESOLUTION_NS: Final = 1000.0
"""Pairs are stated to some decimal place; differences below this say nothing."""
_MIN_PAIRS_WITH_OUTLIERS: Final = 5
"""Among fewer pairs nobody can tell which one is wild."""
_MAX_AUTOCORRELATION: Final = 0.95
_MIN_PAIRS_TO_PREWHITEN: Final = 9
_MIN_POLYNOMIALS, _MAX_POLYNOMIALS, _POLYNOMIALS_PER_ROOT = 2, 8, 0.6
"""Polynomials behind the long-run variance grow with the square root of the number of pairs; settled by simulation."""


@dataclass(frozen=True, slots=True)
class ClockBounds:
    """What the policy says about clocks.

    Attributes:
        min_jump_s: A lasting step of the offset beyond this is a jump.
        drift_prior_sd_ppm: Standard deviation of the drift before a drive is seen; infinite to leave the fit alone.
        outlier_mads: Pairs further from the line than this many scaled median deviations are left out.
        max_standing_s: A receiver whose UTC stays the same for longer says nothing about time.
    """

    min_jump_s: float
    drift_prior_sd_ppm: float
    outlier_mads: float
    max_standing_s: float

    @classmethod
    def from_policy(cls, policy: Mapping[str, Any]) -> Self:
        """Read the block `clock` of the policy `sync`."""
        return cls(**policy["clock"])


@dataclass(frozen=True, eq=False)
class TimePairs:
    """Time stamps and what UTC was then, in the order in which they were recorded.

    Attributes:
        t_ns: int64[n], time stamps.
        offset_ns: int64[n], UTC minus time stamp.
    """

    t_ns: NDArray[np.int64]
    offset_ns: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.t_ns)

    def __getitem__(self, rows: "slice | NDArray[Any]") -> "TimePairs":
        return TimePairs(self.t_ns[rows], self.offset_ns[rows])

    @cached_property
    def utc_ns(self) -> NDArray[np.int64]:
        """int64[n], UTC as stated."""
        return self.t_ns + self.offset_ns

    def standing(self, max_standing_s: float) -> list[tuple[int, int]]:
        """Stretches in which UTC stays the same while stamps go on for longer than a limit.

        Returns:
            First and last index of each; the first pair may still be right.
        """
        if len(self) < 2:  # noqa: PLR2004 - one pair cannot stand
            return []
        moves = np.flatnonzero(np.abs(np.diff(self.utc_ns)) > _RESOLUTION_NS)
        firsts, lasts = np.append(0, moves + 1), np.append(moves, len(self) - 1)
        too_long = self.t_ns[lasts] - self.t_ns[firsts] > max_standing_s * NS_PER_S
        return [(int(first), int(last)) for first, last in zip(firsts[too_long], lasts[too_long], strict=True)]

    def moving(self, max_standing_s: float) -> "TimePairs":
        """The pairs without those of a receiver whose UTC stands."""
        keep = np.ones(len(self), dtype=np.bool_)
        for first, last in self.standing(max_standing_s):
            keep[first + 1 : last + 1] = False
        return self if keep.all() else self[keep]

    def in_recorded_order(self) -> "TimePairs":
        """Sort by time stamp, or by UTC where that is much smoother.

        After a clock was set back, its stamps occur twice and only UTC tells which came first.
        """
        by_stamp, by_utc = (self[np.lexsort((self.offset_ns, key))] for key in (self.t_ns, self.utc_ns))
        steps = np.abs(np.diff(by_stamp.offset_ns)), np.abs(np.diff(by_utc.offset_ns))
        # In a long drive the jitter of all steps together outweighs the few that a clock which was set back leaves.
        jitter_ns = _JITTER_MEDIANS * min((float(np.median(part)) for part in steps if len(part)), default=0.0)
        travel_by_stamp, travel_by_utc = (int(part[part > jitter_ns].sum()) for part in steps)
        return by_utc if 2 * travel_by_utc < travel_by_stamp else by_stamp


@dataclass(frozen=True, slots=True)
class ClockSegment:
    """A stretch without a jump: corrected = t + offset + drift * (t - reference); fields of `silver.clock_models`."""

    start_ns: int
    reference_ns: int
    offset_ns: int
    offset_se_ns: float | None
    drift_ppm: float
    drift_se_ppm: float | None
    jump_ns: int
    samples: int

    def shifted(self, by_ns: int) -> "ClockSegment":
        """The same stretch with another constant in its offset."""
        return replace(self, offset_ns=self.offset_ns + by_ns)


def correct(t_ns: NDArray[np.int64], segments: Sequence[ClockSegment]) -> NDArray[np.int64]:
    """Bring time stamps to UTC.

    Args:
        t_ns: int64[n], time stamps.
        segments: Stretches by start; the first also holds before its start.

    Returns:
        int64[n], UTC nanoseconds.
    """
    starts = np.array([segment.start_ns for segment in segments], dtype=np.int64)
    which = np.maximum(np.searchsorted(starts, t_ns, side="right") - 1, 0)
    offset, reference = (
        np.array([getattr(segment, name) for segment in segments], dtype=np.int64)[which]
        for name in ("offset_ns", "reference_ns")
    )
    drift = np.array([segment.drift_ppm / _PPM for segment in segments])[which]
    corrected: NDArray[np.int64] = t_ns + offset + np.rint(drift * (t_ns - reference)).astype(np.int64)
    return corrected


def fit_clock(pairs: TimePairs, bounds: ClockBounds, *, start_ns: int, jump_ns: int = 0) -> ClockSegment:
    """Fit offset and drift to the pairs of one stretch.

    The offset holds at the mean time stamp of the pairs used, where its error does not depend on the drift's. Fewer
    than three pairs, or pairs at one instant only, give an offset without standard error and no drift.

    Args:
        pairs: At least one pair.
        bounds: Policy.
        start_ns: First instant of the stretch.
        jump_ns: Step of the offset at that instant.

    Returns:
        The segment; standard errors are normal-equivalent (± 1.96 covers 95 %). Numbers are rounded far below their
        standard errors, so that they do not depend on the order in which a processor adds.

    Raises:
        ValueError: When there is no pair.
    """
    if len(pairs) == 0:
        raise ValueError("no time pair to fit a clock to. Use a sensor that states UTC, or the offset of the drive.")
    pairs = pairs[np.argsort(pairs.t_ns, kind="stable")]
    pairs = pairs[_near_line(pairs, bounds.outlier_mads)]
    base, first = int(pairs.offset_ns[0]), int(pairs.t_ns[0])
    reference = first + round(float(np.mean(pairs.t_ns - first)))
    offsets = (pairs.offset_ns - base).astype(np.float64)
    segment = ClockSegment(
        start_ns, reference, base + round(float(offsets.mean())), None, 0.0, None, jump_ns, len(pairs)
    )
    x_s = (pairs.t_ns - reference) / NS_PER_S
    if len(pairs) < MIN_PAIRS_FOR_DRIFT or not np.ptp(x_s):
        return segment
    x_s -= x_s.mean()
    spread = float(x_s @ x_s)
    slope = float(x_s @ offsets) / spread
    offset_se, slope_se = _standard_errors(x_s, offsets - offsets.mean() - slope * x_s)
    fitted_ppm = slope / NS_PER_S * _PPM
    fitted_se_ppm = slope_se / NS_PER_S * _PPM
    weight = 1.0 / (1.0 + (fitted_se_ppm / bounds.drift_prior_sd_ppm) ** 2)
    return replace(
        segment,
        offset_se_ns=_rounded(offset_se),
        drift_ppm=round(weight * fitted_ppm, 6),
        drift_se_ppm=_rounded(float(np.sqrt(weight)) * fitted_se_ppm),
    )


def _rounded(number: float) -> float:
    return float(f"{number:.6g}")


def _near_line(pairs: TimePairs, outlier_mads: float) -> NDArray[np.bool_]:
    """Which pairs lie near the line through medians: slope over half the stretch, then level. Breaks down at 25 %."""
    if len(pairs) < _MIN_PAIRS_WITH_OUTLIERS:
        return np.ones(len(pairs), dtype=np.bool_)
    x = (pairs.t_ns - pairs.t_ns[0]).astype(np.float64)
    residual = (pairs.offset_ns - pairs.offset_ns[0]).astype(np.float64)
    half = len(pairs) // 2
    if (x[half:] > x[:-half]).all():
        residual -= x * np.median((residual[half:] - residual[:-half]) / (x[half:] - x[:-half]))
    distance = np.abs(residual - np.median(residual))
    near: NDArray[np.bool_] = distance <= max(outlier_mads * _SCALED_MAD * float(np.median(distance)), _RESOLUTION_NS)
    return near


def _standard_errors(x_s: NDArray[np.float64], residual: NDArray[np.float64]) -> tuple[float, float]:
    """Normal-equivalent standard errors of level and slope; method and sources in the module's docstring."""
    from scipy.special import stdtrit

    n = len(x_s)
    count = min(max(int(_POLYNOMIALS_PER_ROOT * np.sqrt(n)), _MIN_POLYNOMIALS), _MAX_POLYNOMIALS, n - 2)
    scaled = 2 * (x_s - x_s[0]) / (x_s[-1] - x_s[0]) - 1
    polynomials = np.linalg.qr(np.polynomial.legendre.legvander(scaled, count + 1))[0]
    expected = _variance_under_autoregression(polynomials, _autocorrelation(residual))
    long_run = float(np.mean((polynomials[:, 2:].T @ residual) ** 2 / expected[2:]))
    factor = float(stdtrit(count, 0.975)) / _NORMAL_97_5
    level, slope = factor * np.sqrt(long_run * expected[:2] / np.array([n, x_s @ x_s]))
    return float(level), float(slope)


def _autocorrelation(residual: NDArray[np.float64]) -> float:
    n, power = len(residual), float(residual @ residual)
    if n < _MIN_PAIRS_TO_PREWHITEN or power == 0:
        return 0.0
    measured = float(residual[1:] @ residual[:-1]) / power
    return min(max((n * measured + 2) / (n - 4), 0.0), _MAX_AUTOCORRELATION)


def _variance_under_autoregression(vectors: NDArray[np.float64], rho: float) -> NDArray[np.float64]:
    """Give q' R q of each column q, with R[i, j] = rho ** |i - j|: variance of its coefficient under that noise."""
    recent, step = vectors.copy(), 1
    while step < len(vectors) and rho**step > np.finfo(np.float64).eps:
        # Twice as many predecessors with each round.
        recent[step:] += rho**step * recent[:-step].copy()
        step *= 2
    variance: NDArray[np.float64] = 2 * (vectors * recent).sum(axis=0) - (vectors * vectors).sum(axis=0)
    return variance
