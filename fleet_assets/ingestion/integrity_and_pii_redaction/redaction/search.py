"""Which pictures of a camera are searched, and which of them follow each other closely enough to be one stretch.

Here belongs the choice. What searches is in `finders.py`; what becomes of it is in `plan.py`.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fleet_assets.ingestion.media.pictures import Frame
from fleet_assets.perception.boxes import Detections

_NS_PER_MS = 1_000_000
Found = Mapping[str, Detections]
"""What detectors saw in a picture, by kind."""


@dataclass(frozen=True, slots=True)
class SearchRule:
    """How often pictures are searched.

    Attributes:
        every: Every so many-th picture, at least; so many are held in memory.
        most_gap_ns: Two searched pictures are not further apart, as long as pictures come at an even pace: what passes
            at driving speed is seen for a few tenths of a second.
        halvings: How often the pictures between two searched ones are halved, and the middle one searched, where
            something is seen in only one of the two: there somebody comes, goes, or is hardly seen.
        stretch_gap_ns: Pictures further apart are not of one stretch: nothing is tracked from one to the next.
    """

    every: int
    most_gap_ns: int
    halvings: int
    stretch_gap_ns: int

    @classmethod
    def from_policy(cls, policy: Mapping[str, Any]) -> "SearchRule":
        """From the key `search` of the document `redaction`."""
        search = policy["search"]
        return cls(
            int(search["every_frames"]),
            int(search["most_gap_ms"] * _NS_PER_MS),
            int(search["halvings"]),
            int(search["stretch_gap_ms"] * _NS_PER_MS),
        )


@dataclass(slots=True)
class Stretch:
    """Pictures of one size that follow each other closely.

    Attributes:
        first: Number of its first picture.
        last: Number of its last picture.
        size: Width and height of its pictures.
        found: What was seen, by number of the picture searched.
    """

    first: int
    last: int
    size: tuple[int, int]
    found: dict[int, Found] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Search:
    """How pictures are searched.

    Attributes:
        rule: How often.
        look: Searches a picture.
        alone: Whether something is seen in only one of two pictures.
    """

    rule: SearchRule
    look: Callable[[Frame], Found]
    alone: Callable[[Found, Found], bool]

    def stretches(self, frames: Iterable[Frame]) -> Iterator[Stretch]:
        """Go through the pictures once, in order.

        The first and the last picture of every stretch are searched, and those between them as the rule says.

        Args:
            frames: Pictures in order of recording.

        Yields:
            Every stretch, once it has ended.
        """
        now: Stretch | None = None
        row: list[Frame] = []
        for frame in frames:
            size = (frame.bgr.shape[1], frame.bgr.shape[0])
            if now is not None and (self._is_gap(row[-1], frame) or size != now.size):
                self._search(now, row)
                yield now
                now = None
            if now is None:
                now, row = Stretch(frame.index, frame.index, size, {frame.index: self.look(frame)}), [frame]
                continue
            now.last = frame.index
            step_ns = abs(frame.t_ns - row[-1].t_ns)
            row.append(frame)
            if (
                frame.index - row[0].index >= self.rule.every
                or abs(frame.t_ns - row[0].t_ns) + step_ns > self.rule.most_gap_ns
            ):
                self._search(now, row)
                row = [frame]
        if now is not None:
            self._search(now, row)
            yield now

    def _is_gap(self, one: Frame, other: Frame) -> bool:
        return abs(other.t_ns - one.t_ns) > self.rule.stretch_gap_ns

    def _search(self, stretch: Stretch, row: Sequence[Frame]) -> None:
        """Search the last of some pictures, whose first one was searched, and those between as the rule says."""
        if len(row) > 1:
            stretch.found[row[-1].index] = self.look(row[-1])
            self._halve(stretch, row, self.rule.halvings)

    def _halve(self, stretch: Stretch, row: Sequence[Frame], times: int) -> None:
        found = stretch.found
        if not times or len(row) < 3 or not self.alone(found[row[0].index], found[row[-1].index]):  # noqa: PLR2004 - one between
            return
        middle = (len(row) - 1) // 2
        found[row[middle].index] = self.look(row[middle])
        self._halve(stretch, row[: middle + 1], times - 1)
        self._halve(stretch, row[middle:], times - 1)
