"""From samples at their own times to values at grid instants, one function per kind of signal.

Here belong interpolation, mean, nearest and causal hold on plain arrays, none of which crosses a gap that is too long.
Which samples are used and which signal is resampled how is decided in `align.py`.

All functions take `instants` int64[g], sorted; `t_ns` int64[n], strictly increasing; `value` float64[n], finite; and
return float64[g], NaN where there is nothing to say.
"""

from collections.abc import Callable, Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fleet_assets.ingestion.recordings.protocol import NS_PER_S
from fleet_assets.policy.canonical import CanonicalSignal

Times = NDArray[np.int64]
Values = NDArray[np.float64]


def grid_instants(start_ns: int, end_ns: int, grid_ns: int) -> Times:
    """Multiples of the grid from start to end, both inclusive; empty when none lies between."""
    first = -(-start_ns // grid_ns)
    return np.arange(first, max(end_ns // grid_ns + 1, first), dtype=np.int64) * grid_ns


def in_order(t_ns: Times, value: Values) -> tuple[Times, Values]:
    """Sort by time and keep one sample per time stamp: the largest value, whatever the order they came in."""
    if (t_ns[1:] > t_ns[:-1]).all():
        return t_ns, value
    order = np.lexsort((value, t_ns))
    t_ns, value = t_ns[order], value[order]
    last = np.append(t_ns[1:] != t_ns[:-1], True)
    return t_ns[last], value[last]


def _bracket(instants: Times, t_ns: Times, max_gap_ns: float) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """Index of the last sample at or before each instant, and whether the next one is near enough to go on to."""
    left = np.searchsorted(t_ns, instants, side="right") - 1
    # Clipped so that every index is valid; the mask says where the clipping mattered.
    inside = np.clip(left, 0, max(len(t_ns) - 2, 0))
    crossed = (left >= 0) & (left + 1 < len(t_ns))
    if len(t_ns) > 1:
        crossed &= t_ns[inside + 1] - t_ns[inside] <= max_gap_ns
    exact = (left >= 0) & (t_ns[np.maximum(left, 0)] == instants)
    return left, crossed | exact


def interpolate(instants: Times, t_ns: Times, value: Values, *, max_gap_ns: float) -> Values:
    """Straight line between the samples around an instant; a sample at the instant itself always counts.

    Args:
        instants: Grid.
        t_ns: Sample times.
        value: Sample values.
        max_gap_ns: Longest time between the two samples, inclusive.
    """
    found = np.full(len(instants), np.nan)
    if not len(t_ns):
        return found
    left, known = _bracket(instants, t_ns, max_gap_ns)
    left, at = left[known], instants[known]
    right = np.minimum(left + 1, len(t_ns) - 1)
    span = np.maximum(t_ns[right] - t_ns[left], 1)
    found[known] = value[left] + (value[right] - value[left]) * ((at - t_ns[left]) / span)
    return found


def alone(instants: Times, t_ns: Times, value: Values, *, max_gap_ns: float) -> Values:
    """Samples that have no neighbour to be joined to, at the instants whose grid cells they lie in.

    A position that comes every ten seconds or every minute would be lost if it missed the grid; so it is off by half a
    spacing at most.

    Args:
        instants: Equally spaced grid; with fewer than two instants there is no cell, and nothing is found.
        t_ns: Sample times.
        value: Sample values.
        max_gap_ns: Longest time between two samples that are joined, inclusive.
    """
    found = np.full(len(instants), np.nan)
    if len(instants) < 2 or not len(t_ns):  # noqa: PLR2004 - two instants span one cell
        return found
    spacing = int(instants[1] - instants[0])
    far = np.diff(t_ns) > max_gap_ns
    cell = (t_ns - (int(instants[0]) - spacing // 2)) // spacing
    used = np.append(True, far) & np.append(far, True) & (cell >= 0) & (cell < len(instants))
    found[cell[used]] = value[used]
    return found


def nearest(instants: Times, t_ns: Times, value: Values, *, max_gap_ns: float) -> Values:
    """Value of the nearer of the samples around an instant, the earlier one of two equally near.

    Args:
        instants: Grid.
        t_ns: Sample times.
        value: Sample values.
        max_gap_ns: Longest time between the two samples, inclusive.
    """
    found = np.full(len(instants), np.nan)
    if not len(t_ns):
        return found
    left, known = _bracket(instants, t_ns, max_gap_ns)
    left, at = left[known], instants[known]
    right = np.minimum(left + 1, len(t_ns) - 1)
    found[known] = value[np.where(at - t_ns[left] <= np.abs(t_ns[right] - at), left, right)]
    return found


def hold(instants: Times, t_ns: Times, value: Values, *, max_gap_ns: float) -> Values:
    """Value of the last sample at or before an instant, which no later sample can change.

    Args:
        instants: Grid.
        t_ns: Sample times.
        value: Sample values.
        max_gap_ns: Greatest age of that sample, inclusive.
    """
    found = np.full(len(instants), np.nan)
    if not len(t_ns):
        return found
    left = np.searchsorted(t_ns, instants, side="right") - 1
    known = (left >= 0) & (instants - t_ns[np.maximum(left, 0)] <= max_gap_ns)
    found[known] = value[left[known]]
    return found


def mean(instants: Times, t_ns: Times, value: Values, *, max_gap_ns: float) -> Values:
    """Mean over the grid cell around an instant (half a spacing before, inclusive, to half after, exclusive).

    Instants without a sample in their cell are interpolated.

    Args:
        instants: Equally spaced grid of at least two instants; with fewer there is no cell, so it interpolates.
        t_ns: Sample times.
        value: Sample values.
        max_gap_ns: Longest time to interpolate over, inclusive.
    """
    found = interpolate(instants, t_ns, value, max_gap_ns=max_gap_ns)
    if len(instants) < 2 or not len(t_ns):  # noqa: PLR2004 - two instants span one cell
        return found
    spacing = int(instants[1] - instants[0])
    cell = (t_ns - (int(instants[0]) - spacing // 2)) // spacing
    used = (cell >= 0) & (cell < len(instants))
    counts = np.bincount(cell[used], minlength=len(instants))
    sums = np.bincount(cell[used], weights=value[used], minlength=len(instants))
    filled = counts > 0
    found[filled] = sums[filled] / counts[filled]
    return found


_KINDS: Final[Mapping[str, Callable[..., Values]]] = {
    "interpolate": interpolate,
    "mean": mean,
    "nearest": nearest,
    "hold": hold,
}


def resample(signal: CanonicalSignal, instants: Times, t_ns: Times, value: Values) -> Values:
    """Bring the samples of one canonical signal to the grid, the way and over the gaps that it allows.

    Values that wrap around (heading, longitude) are unrolled before and rolled up after, so that none of the kinds
    takes the long way round.

    Args:
        signal: Canonical signal with `resample` and `max_gap_s`.
        instants: Grid.
        t_ns: Sample times, in any order.
        value: Sample values, finite.
    """
    t_ns, value = in_order(t_ns, value)
    value = unrolled(signal, value)
    kind, max_gap_s = signal.resample or "interpolate", signal.max_gap_s or 0.0
    found = _KINDS[kind](instants, t_ns, value, max_gap_ns=max_gap_s * NS_PER_S)
    if kind == "interpolate":
        found = np.where(np.isnan(found), alone(instants, t_ns, value, max_gap_ns=max_gap_s * NS_PER_S), found)
    return found if signal.circular_period is None else _rolled_up(signal, signal.circular_period, found)


def unrolled(signal: CanonicalSignal, value: Values) -> Values:
    """Add whole periods to the values of a circular signal so that none goes the long way; others stay as they are."""
    if signal.circular_period is None or not len(value):
        return value
    turns = np.cumsum(np.rint(np.diff(value) / signal.circular_period))
    return value - signal.circular_period * np.concatenate(([0.0], turns))


def _rolled_up(signal: CanonicalSignal, period: float, value: Values) -> Values:
    low = signal.range[0] if signal.range is not None else 0.0
    outside = (value < low) | (value >= low + period)
    rolled = low + np.mod(value[outside] - low, period)
    # The remainder of a tiny negative number rounds to the period itself.
    value[outside] = np.where(rolled >= low + period, low, rolled)
    return value
