"""Which pictures of a camera are searched, and which of them follow each other closely enough to be one stretch.

Here belongs the choice. What searches is in `finders.py`; what becomes of it is in `plan.py`.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from fleet_assets.ingestion.media.pictures import Frame

_NS_PER_MS = 1_000_000


@dataclass(frozen=True, slots=True)
class SearchRule:
    """How often pictures are searched.

    Attributes:
        every: Every so many-th picture, at least.
        most_gap_ns: Two searched pictures are not further apart, as long as pictures come at an even pace: what passes
            at driving speed is seen for a few tenths of a second.
        stretch_gap_ns: Pictures further apart are not of one stretch: nothing is tracked from one to the next.
    """

    every: int
    most_gap_ns: int
    stretch_gap_ns: int

    @classmethod
    def from_policy(cls, policy: Mapping[str, Any]) -> "SearchRule":
        """From the key `search` of the document `redaction`."""
        search = policy["search"]
        return cls(
            int(search["every_frames"]),
            int(search["most_gap_ms"] * _NS_PER_MS),
            int(search["stretch_gap_ms"] * _NS_PER_MS),
        )


@dataclass(slots=True)
class Stretch:
    """Pictures of one size that follow each other closely.

    Attributes:
        first: Number of its first picture.
        last: Number of its last picture.
        size: Width and height of its pictures.
        searched: Numbers of the pictures that were searched.
    """

    first: int
    last: int
    size: tuple[int, int]
    searched: list[int] = field(default_factory=list)


def stretches(frames: Iterable[Frame], rule: SearchRule) -> Iterator[tuple[Stretch, Frame | None]]:
    """Go through the pictures once, in order, and say which to search.

    The first and the last picture of every stretch are searched, and those between them as the rule says.

    Args:
        frames: Pictures in order of recording.
        rule: How often.

    Yields:
        The stretch so far and a picture of it to search; or the finished stretch and None.
    """
    now: Stretch | None = None
    held: Frame | None = None
    last_ns = 0
    for frame in frames:
        size = (frame.bgr.shape[1], frame.bgr.shape[0])
        if now is not None and held is not None:
            gap_ns = abs(frame.t_ns - held.t_ns)
            if gap_ns > rule.stretch_gap_ns or size != now.size:
                yield from _ended(now, held)
                now = None
        if now is None:
            now = Stretch(frame.index, frame.index, size)
        now.last = frame.index
        due = not now.searched or frame.index - now.searched[-1] >= rule.every
        step_ns = 0 if held is None else abs(frame.t_ns - held.t_ns)
        if due or abs(frame.t_ns - last_ns) + step_ns > rule.most_gap_ns:
            now.searched.append(frame.index)
            last_ns = frame.t_ns
            yield now, frame
        held = frame
    if now is not None and held is not None:
        yield from _ended(now, held)


def _ended(now: Stretch, held: Frame) -> Iterator[tuple[Stretch, Frame | None]]:
    if now.searched[-1] != held.index:
        now.searched.append(held.index)
        yield now, held
    yield now, None
