"""Where a clock was set while recording: lasting steps of (UTC - time stamp).

Here belongs finding the steps in the time pairs, and asking a sensor's own time stamps whether they made the step too.
Estimating the stretches in between is `clock_model.py`.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fleet_assets.ingestion.recordings.protocol import NS_PER_S
from fleet_assets.ingestion.sensor_sync_and_format_conversion.clock_model import ClockBounds, TimePairs

_WINDOW: Final = 5
"""Pairs whose median stands for the level on one side of a step: two wild ones do not move it."""
_MIN_SIDE: Final = 3
"""Fewer pairs beside a step are outliers, not a level."""
_NOISE_FACTOR: Final = 8.0
_SCALED_MAD: Final = 1.4826
_WILDEST_DRIFT: Final = 200e-6
"""No oscillator of a recorder drifts more; over a long outage of GNSS this adds up to what looks like a step."""
_COUNTABLE_PERIODS: Final = 4
"""A sensor slower than this per step back cannot show it by its number of samples."""


@dataclass(frozen=True, slots=True)
class Jump:
    """One step of a clock.

    Attributes:
        before_ns: Time stamp of the last pair before it.
        after_ns: Time stamp of the first pair after it.
        elapsed_ns: UTC between those two.
        step_ns: Change of (UTC - time stamp): negative when the clock leapt ahead, positive when it was set back.
    """

    before_ns: int
    after_ns: int
    elapsed_ns: int
    step_ns: int

    @property
    def repeated_ns(self) -> tuple[int, int] | None:
        """Time stamps that may stand for two instants, first and last; None when the clock leapt ahead."""
        if self.step_ns <= 0:
            return None
        return self.before_ns - self.step_ns, self.before_ns + max(self.elapsed_ns, 0)


def split_at_jumps(pairs: TimePairs, bounds: ClockBounds) -> tuple[tuple[TimePairs, ...], tuple[Jump, ...]]:
    """Find the steps and cut the pairs there.

    A step counts when the medians of the pairs before and after it differ by more than the policy's limit, beyond what
    drift may do in between and what the noise of the pairs explains.

    Args:
        pairs: Time pairs in any order.
        bounds: Policy.

    Returns:
        The stretches (one more than jumps), each in recorded order, and the jumps in that order, each located exactly
        between two pairs.
    """
    pairs = pairs.in_recorded_order()
    if len(pairs) < 2 * _MIN_SIDE:
        return (pairs,), ()
    offset = (pairs.offset_ns - pairs.offset_ns[0]).astype(np.float64)
    before, after = _levels(offset)
    places = np.arange(_MIN_SIDE, len(offset) - _MIN_SIDE + 1)
    change = np.diff(offset)
    noise = _SCALED_MAD * float(np.median(np.abs(change - np.median(change))))
    allowed = max(bounds.min_jump_s * NS_PER_S, _NOISE_FACTOR * noise)
    beyond = np.abs(after - before) > allowed + _WILDEST_DRIFT * _compared_ns(pairs, places)
    cuts = [_best_cut(offset, places[group]) for group in _groups(beyond, after - before)]
    bounds_at = [0, *cuts, len(pairs)]
    stretches = tuple(pairs[slice(a, b)] for a, b in zip(bounds_at[:-1], bounds_at[1:], strict=True))
    jumps = tuple(_jump(left, right) for left, right in zip(stretches[:-1], stretches[1:], strict=True))
    return stretches, jumps


def _compared_ns(pairs: TimePairs, places: NDArray[np.intp]) -> NDArray[np.int64]:
    """Time that the pairs beside each place span; a step lengthens stamps or UTC, so the shorter one counts."""
    first, last = np.maximum(places - _WINDOW, 0), np.minimum(places + _WINDOW, len(pairs)) - 1
    by_stamps, by_utc = (np.abs(times[last] - times[first]) for times in (pairs.t_ns, pairs.utc_ns))
    shorter: NDArray[np.int64] = np.minimum(by_stamps, by_utc)
    return shorter


def _levels(offset: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Medians of the up to five pairs before and from each place that leaves three on either side."""
    places = range(_MIN_SIDE, len(offset) - _MIN_SIDE + 1)
    before, after = np.empty(len(places)), np.empty(len(places))
    if len(offset) >= _WINDOW:
        medians = np.median(np.lib.stride_tricks.sliding_window_view(offset, _WINDOW), axis=1)
        full = medians[: max(len(places) - (_WINDOW - _MIN_SIDE), 0)]
        before[_WINDOW - _MIN_SIDE :] = full
        after[: len(full)] = medians[_MIN_SIDE : _MIN_SIDE + len(full)]
    for side in range(_MIN_SIDE, min(_WINDOW, len(offset) - _MIN_SIDE + 1)):
        before[side - _MIN_SIDE] = np.median(offset[:side])
        after[len(places) - 1 - (side - _MIN_SIDE)] = np.median(offset[len(offset) - side :])
    return before, after


def _groups(beyond: NDArray[np.bool_], difference: NDArray[np.float64]) -> list[NDArray[np.intp]]:
    """Indices of neighbouring places that see the same step: same direction, within one window."""
    found = np.flatnonzero(beyond)
    if not len(found):
        return []
    apart = (np.diff(found) >= _WINDOW) | (np.sign(difference[found[1:]]) != np.sign(difference[found[:-1]]))
    return list(np.split(found, np.flatnonzero(apart) + 1))


def _best_cut(offset: NDArray[np.float64], places: NDArray[np.intp]) -> int:
    """The place with the least absolute distance to the levels on both sides."""
    low, high = max(int(places[0]) - _WINDOW, 0), min(int(places[-1]) + _WINDOW, len(offset))
    left, right = np.median(offset[low : places[0]]), np.median(offset[places[-1] : high])
    costs = [
        float(np.abs(offset[low:place] - left).sum() + np.abs(offset[place:high] - right).sum()) for place in places
    ]
    return int(places[int(np.argmin(costs))])


def _jump(left: TimePairs, right: TimePairs) -> Jump:
    return Jump(
        before_ns=int(left.t_ns[-1]),
        after_ns=int(right.t_ns[0]),
        elapsed_ns=int(right.utc_ns[0] - left.utc_ns[-1]),
        step_ns=round(float(np.median(right.offset_ns[:_WINDOW]) - np.median(left.offset_ns[-_WINDOW:]))),
    )


def makes_jump(t_ns: NDArray[np.int64], jump: Jump) -> bool | None:
    """Whether a sensor's time stamps made a step that the pairs show; None when they are too sparse to tell.

    They did not when the receiver's UTC stepped instead (for example when it learnt of leap seconds) or another
    sensor's stamps did.

    Args:
        t_ns: int64[n], the sensor's time stamps, sorted.
        jump: The step.
    """
    if len(t_ns) < 2 * _MIN_SIDE:
        return None
    period, size = float(np.median(np.diff(t_ns))), abs(jump.step_ns)
    if period <= 0:
        return None
    if jump.repeated_ns is None:
        gap = _gap_around(t_ns, jump)
        silent = min(size, jump.after_ns - jump.before_ns)
        return None if gap is None or 2 * silent < period else gap[1] - gap[0] > period + silent / 2
    if size < _COUNTABLE_PERIODS * period:
        return None
    first, last = jump.repeated_ns
    present = int(np.searchsorted(t_ns, last, side="right") - np.searchsorted(t_ns, first))
    return present > (last - first + size / 2) / period


def start_after(t_ns: NDArray[np.int64], jump: Jump) -> int:
    """First time stamp of a sensor after a step that it made; the pairs' own where its stamps do not tell."""
    if jump.repeated_ns is not None:
        return jump.repeated_ns[1]
    gap = _gap_around(t_ns, jump)
    return jump.after_ns if gap is None else gap[1]


def _gap_around(t_ns: NDArray[np.int64], jump: Jump) -> tuple[int, int] | None:
    """The longest silence of a sensor between the pairs beside a step."""
    first = max(int(np.searchsorted(t_ns, jump.before_ns, side="right")) - 1, 0)
    last = min(int(np.searchsorted(t_ns, jump.after_ns)), len(t_ns) - 1)
    if last <= first:
        return None
    longest = first + int(np.argmax(np.diff(t_ns[first : last + 1])))
    return int(t_ns[longest]), int(t_ns[longest + 1])
