"""Which pictures become keyframes: at regular instants, where the scene changes, and at events.

Here belongs the decision, picture by picture in order of time. Reading media and writing shards is not known here.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

NS_PER_MS: Final = 1_000_000
EVENT, SCENE_CHANGE, INTERVAL = "event", "scene_change", "interval"


@dataclass(frozen=True, slots=True)
class KeyframeRules:
    """What the policy says.

    Attributes:
        every_ns: Spacing of the instants that each give a keyframe.
        event_instants: Columns of the table of events whose instants each give a keyframe.
        event_within_ns: How much later than an event its keyframe may be.
        min_distance: Mean difference of brightness, 0 to 255, from which on a scene has changed.
        min_gap_ns: Least time between a keyframe and one for a changed scene.
    """

    every_ns: int
    event_instants: tuple[str, ...]
    event_within_ns: int
    min_distance: float
    min_gap_ns: int

    @classmethod
    def from_policy(cls, policy: Mapping[str, Any]) -> Self:
        """Read the document `keyframes`."""
        change, events = policy["scene_change"], policy["events"]
        return cls(
            every_ns=policy["every_ms"] * NS_PER_MS,
            event_instants=tuple(events["instants"]),
            event_within_ns=events["within_ms"] * NS_PER_MS,
            min_distance=float(change["min_distance"]),
            min_gap_ns=change["min_gap_ms"] * NS_PER_MS,
        )


class Selector:
    """Decides on the pictures of one camera, shown to it in order of time.

    Args:
        rules: Policy.
        start_ns: Instant that the regular ones are counted from.
        events_ns: int64[n], instants of events.
    """

    def __init__(self, rules: KeyframeRules, start_ns: int, events_ns: NDArray[np.int64]) -> None:
        self._rules, self._start_ns = rules, start_ns
        self._events = np.sort(events_ns)
        self._next_event = 0
        self._interval = -1
        self._seen_ns: int | None = None
        self._key_ns: int | None = None
        self._key_cells: NDArray[np.float32] | None = None

    def reason(self, t_ns: int, cells: NDArray[np.float32]) -> str | None:
        """Why a picture is a keyframe; None where it is none, or not later than the one before.

        Args:
            t_ns: Corrected time.
            cells: Its coarse brightness, of the same shape for all pictures.
        """
        if self._seen_ns is not None and t_ns <= self._seen_ns:
            return None
        self._seen_ns = t_ns
        interval = (t_ns - self._start_ns) // self._rules.every_ns
        found = INTERVAL if interval > self._interval else None
        if self._changed(t_ns, cells):
            found = SCENE_CHANGE
        if self._at_event(t_ns):
            found = EVENT
        if found is not None:
            self._interval = max(interval, self._interval)
            self._key_ns, self._key_cells = t_ns, cells
        return found

    def _changed(self, t_ns: int, cells: NDArray[np.float32]) -> bool:
        if self._key_ns is None or self._key_cells is None or t_ns - self._key_ns < self._rules.min_gap_ns:
            return False
        return float(np.abs(cells - self._key_cells).mean()) >= self._rules.min_distance

    def _at_event(self, t_ns: int) -> bool:
        passed = int(np.searchsorted(self._events, t_ns, side="right"))
        newest = self._events[passed - 1] if passed > self._next_event else None
        self._next_event = passed
        return newest is not None and t_ns - int(newest) <= self._rules.event_within_ns
