"""Measured skew: by how much one sensor lags behind another that measures the same quantity.

Both signals are brought to one fine grid and compared by their change over a fixed time, which takes out offsets and
slow differences. The lag is the place of the highest correlation, refined by a parabola through its neighbours; its
standard error is the delete-one-block jackknife (Künsch, Annals of Statistics 17, 1989), with the t factor for the
number of blocks in it, so that ± 1.96 standard errors cover 95 %.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fleet_assets.ingestion.recordings.protocol import NS_PER_S
from fleet_assets.ingestion.sensor_sync_and_format_conversion.resample import Times, Values, grid_instants, interpolate

_NORMAL_97_5: Final = 1.959963984540054
NS_PER_MS: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Lag:
    """Measured lag.

    Attributes:
        lag_ns: Positive when the second signal is late.
        se_ns: Its normal-equivalent standard error.
        correlation: Correlation at that lag.
    """

    lag_ns: int
    se_ns: float
    correlation: float


@dataclass(frozen=True, slots=True, eq=False)
class _Sums:
    """Sums of products per block and lag, float64[blocks, lags]: a*b, a*a and b*b, each where both are known."""

    ab: NDArray[np.float64]
    aa: NDArray[np.float64]
    bb: NDArray[np.float64]

    def correlation(self, without: int | None = None) -> NDArray[np.float64]:
        """Correlation by lag over all blocks, or over all but one."""
        ab, aa, bb = (
            part.sum(axis=0) - (part[without] if without is not None else 0.0) for part in (self.ab, self.aa, self.bb)
        )
        power = np.sqrt(np.maximum(aa, 0.0) * np.maximum(bb, 0.0))
        ratio: NDArray[np.float64] = np.divide(ab, power, out=np.zeros_like(ab), where=power > 0)
        return ratio


def measure_lag(
    first: tuple[Times, Values], second: tuple[Times, Values], *, max_gap_s: float, policy: Mapping[str, Any]
) -> Lag | None:
    """Measure the lag of the second signal behind the first.

    Args:
        first: Times (strictly increasing) and finite values.
        second: The same of the other sensor.
        max_gap_s: Longest gap to interpolate over.
        policy: Block `skew` of the policy `sync`.

    Returns:
        The lag, or None where the signals overlap too briefly, change too little, agree too little, or do not say it
        well enough.
    """
    changes = _changes(first, second, max_gap_s, policy)
    if changes is None:
        return None
    reach = round(policy["max_lag_s"] * 1000 / policy["step_ms"])
    sums = _block_sums(*changes, reach, policy["blocks"])
    correlation = sums.correlation()
    peak = _peak(correlation)
    if peak is None or correlation.max() < policy["min_correlation"]:
        return None
    without = [_peak(sums.correlation(without=block)) for block in range(policy["blocks"])]
    peaks = np.array([place for place in without if place is not None])
    if len(peaks) < len(without):
        return None
    from scipy.special import stdtrit

    blocks = len(peaks)
    spread = float(np.sqrt((blocks - 1) / blocks * ((peaks - peaks.mean()) ** 2).sum()))
    step_ns = policy["step_ms"] * NS_PER_MS
    se_ns = spread * step_ns * float(stdtrit(blocks - 1, 0.975)) / _NORMAL_97_5
    if se_ns > policy["max_se_ms"] * NS_PER_MS:
        return None
    return Lag(round((peak - reach) * step_ns), float(f"{se_ns:.6g}"), float(f"{correlation.max():.6g}"))


def _changes(
    first: tuple[Times, Values], second: tuple[Times, Values], max_gap_s: float, policy: Mapping[str, Any]
) -> tuple[Values, Values] | None:
    """Changes of both signals on one fine grid over their common time; NaN across gaps."""
    if not len(first[0]) or not len(second[0]):
        return None
    start, end = max(int(first[0][0]), int(second[0][0])), min(int(first[0][-1]), int(second[0][-1]))
    if end - start < policy["min_overlap_s"] * NS_PER_S:
        return None
    instants = grid_instants(start, end, policy["step_ms"] * NS_PER_MS)
    over = max(round(policy["derivative_s"] * 1000 / policy["step_ms"]), 1)
    changes = []
    for t_ns, value in (first, second):
        on_grid = interpolate(instants, t_ns, value, max_gap_ns=max_gap_s * NS_PER_S)
        change = on_grid[over:] - on_grid[:-over]
        known = np.isfinite(change)
        changes.append(change - change[known].mean() if known.any() else change)
    return changes[0], changes[1]


def _block_sums(a: Values, b: Values, reach: int, blocks: int) -> _Sums:
    known_a, known_b = np.isfinite(a), np.isfinite(b)
    a, b = np.where(known_a, a, 0.0), np.where(known_b, b, 0.0)
    inner = slice(reach, max(len(a) - reach, reach))
    size = max(len(a[inner]), 1)
    starts = np.arange(blocks) * size // blocks
    shape = (blocks, 2 * reach + 1)
    sums = _Sums(np.zeros(shape), np.zeros(shape), np.zeros(shape))
    if len(a[inner]) < blocks:
        return sums
    a_in, a_square, known_a = a[inner], a[inner] ** 2, known_a[inner]
    for column, shift in enumerate(range(-reach, reach + 1)):
        shifted = slice(inner.start + shift, inner.stop + shift)
        sums.ab[:, column] = np.add.reduceat(a_in * b[shifted], starts)
        sums.aa[:, column] = np.add.reduceat(a_square * known_b[shifted], starts)
        sums.bb[:, column] = np.add.reduceat(b[shifted] ** 2 * known_a, starts)
    return sums


def _peak(correlation: NDArray[np.float64]) -> float | None:
    """Place of the maximum by a parabola through it and its neighbours; None at the edge of the search."""
    top = int(np.argmax(correlation))
    if top in {0, len(correlation) - 1}:
        return None
    before, at, after = (float(correlation[index]) for index in (top - 1, top, top + 1))
    bend = before - 2 * at + after
    return top + (0.5 * (before - after) / bend if bend < 0 else 0.0)
