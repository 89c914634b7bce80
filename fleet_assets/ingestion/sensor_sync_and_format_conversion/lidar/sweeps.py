"""From the points of one message after the other to whole sweeps.

A sweep ends where the head passes the zero of its encoder, where a message of a point cloud ends, and where nothing
comes for a while. A head that stands passes no zero: its sweeps end after two seconds.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from fleet_assets.ingestion.sensor_sync_and_format_conversion.lidar.returns import Points, joined

LONGEST_NS: Final = (1 << 31) - 1
"""Longest sweep; times of points after its first one fit into 32 bits."""


@dataclass(frozen=True, slots=True, eq=False)
class Sweep:
    """One turn of a lidar.

    Attributes:
        points: At least one.
        t_ns: Earliest point.
        end_ns: Latest point.
    """

    points: Points
    t_ns: int
    end_ns: int


class SweepCutter:
    """Collects points until a sweep is complete.

    Args:
        silence_ns: A sweep ends where nothing comes for longer.
    """

    def __init__(self, silence_ns: int) -> None:
        self._silence_ns = silence_ns
        self._parts: list[Points] = []
        self._first_ns = self._last_ns = 0

    def add(self, points: Points) -> Iterator[Sweep]:
        """Take the points of one message, and yield the sweeps that they complete.

        Args:
            points: Their `turn` is 0 as long as they belong to the turn of the points before them.
        """
        if not len(points):
            return
        turns = points.turn
        gaps = np.flatnonzero(np.diff(points.t_ns) > self._silence_ns) + 1
        if len(gaps):
            turns = turns.copy()
            for gap in gaps.tolist():
                turns[gap:] += int(turns[-1]) + 1
        if self._parts and int(points.t_ns[0]) - self._last_ns > self._silence_ns:
            yield from self.finish()
        if self._parts and int(points.t_ns.max()) - self._first_ns > LONGEST_NS:
            yield from self.finish()
        self._last_ns = int(points.t_ns[-1])
        for number in np.unique(turns).tolist():
            if number:
                yield from self.finish()
            rows = np.flatnonzero(turns == number)
            whole = len(rows) == len(points)
            if not self._parts:
                self._first_ns = int(points.t_ns[rows].min())
            self._parts.append(points if whole else points.chosen(rows))

    def finish(self) -> Iterator[Sweep]:
        """Yield the sweep collected so far, if there is one."""
        if self._parts:
            points = joined(self._parts)
            self._parts = []
            yield Sweep(points, int(points.t_ns.min()), int(points.t_ns.max()))
