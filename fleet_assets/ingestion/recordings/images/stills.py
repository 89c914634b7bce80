"""Reader of folders of still pictures (JPEG, PNG): one camera whose frames are files.

Pictures are messages: counted, timed and measured, never decoded. They follow each other in time where all of them say
when they were taken, else in the order of their names, in which numbers count as numbers. Here belongs that order;
what one file states is in `exif.py`.
"""

import re
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from fleet_assets.ingestion.recordings.images.exif import BrokenPictureError, Head, read_head
from fleet_assets.ingestion.recordings.media import MessageKind, Payload
from fleet_assets.ingestion.recordings.messages.whole_messages import PICTURE_FILE
from fleet_assets.ingestion.recordings.pass_account import PassAccount
from fleet_assets.ingestion.recordings.protocol import (
    NS_PER_S,
    Batch,
    Channel,
    Files,
    Loss,
    Summary,
    UnreadableRecordingError,
)
from fleet_assets.ingestion.recordings.windows import cut, weave

FORMAT: Final = "images"
CHANNEL: Final = "images/0"
FIELDS: Final = ("size_bytes", "width", "height")
INTERVAL_NS: Final = NS_PER_S
"""Time from one picture to the next where neither they nor the vehicle spec say it."""
_KINDS: Final = {b"\xff\xd8\xff": "JPEG", b"\x89PNG\r\n\x1a\n": "PNG"}
_LARGEST_BYTES: Final = 1 << 28
_NUMBER: Final = re.compile(r"(\d+)")
_AGAIN: Final = "Upload the file again; if the source is damaged too, the others are used."


def is_image(head: bytes) -> bool:
    """Whether a file begins as a JPEG or PNG file does."""
    return bool(kind_of(head))


def kind_of(head: bytes) -> str:
    """``JPEG``, ``PNG`` or nothing."""
    return next((name for mark, name in _KINDS.items() if head.startswith(mark)), "")


@dataclass(frozen=True, slots=True)
class _Still:
    """One picture with its time on the recording's clock."""

    name: str
    path: Path
    head: Head
    size: int
    t_ns: int


def _in_order(name: str) -> tuple[list[tuple[int, str]], str]:
    """Sorting key of a name in which numbers count as numbers."""
    parts = _NUMBER.split(name)
    return [(int(part), "") if place % 2 else (-1, part) for place, part in enumerate(parts)], name


class ImagesRecording:
    """One folder of pictures.

    Time 0 is the first picture where they do not say when they were taken; they are then equally far apart. Pictures
    of one second that state no fractions are spread over it. The container's start is stated by the first picture; it
    is on local time where the camera states no offset, so a start that a person gives may be better.

    Args:
        files: The drive's files; those that are no pictures are left alone.
        interval_ns: Time from one picture to the next where they do not say when they were taken.

    Raises:
        UnreadableRecordingError: When no file is a picture.
    """

    format = FORMAT

    def __init__(self, files: Files, interval_ns: int = INTERVAL_NS) -> None:
        self._losses: list[Loss] = []
        self._account = PassAccount()
        heads = [found for name in sorted(files, key=_in_order) if (found := self._head(name, files[name])) is not None]
        if not heads:
            words = "; ".join(loss.reason for loss in self._losses[:3]) or "no picture"
            first = min(files, default="(no files)")
            raise UnreadableRecordingError(first, "no_messages", value=words, limit="JPEG or PNG", remedy=_AGAIN)
        timed = [head.taken_ns is not None for _, _, head, _ in heads]
        if any(timed) and not all(timed):
            missing = timed.count(False)
            reason = (
                f"{heads[timed.index(False)][0]}: no_time: {missing} of {len(heads)} pictures do not say when they "
                f"were taken; all are placed {interval_ns / NS_PER_S:g} s apart in the order of their names"
            )
            self._losses.append(Loss(heads[timed.index(False)][0], 0, 0, reason, "no_time", CHANNEL))
        self._stills = _placed(heads, None if all(timed) else interval_ns)
        zoned = all(timed) and all(still.head.zoned for still in self._stills)
        self.clock = "utc" if zoned else "monotonic"
        self.container_start_ns = self._stills[0].t_ns if all(timed) else None

    def _head(self, name: str, path: Path) -> tuple[str, Path, Head, int] | None:
        size = path.stat().st_size
        with path.open("rb") as stream:
            if not is_image(stream.read(16)):
                return None
        problem = f"{size} bytes, at most {_LARGEST_BYTES} are read" if size > _LARGEST_BYTES else ""
        try:
            head = None if problem else read_head(path)
        except BrokenPictureError as error:
            head, problem = None, str(error)
        if head is not None:
            return name, path, head, size
        reason = f"{name}: broken_picture: {problem}. {_AGAIN}"
        self._losses.append(Loss(name, size, 1, reason, "broken_picture", CHANNEL))
        return None

    def channels(self) -> tuple[Channel, ...]:
        """The one channel."""
        return (Channel(CHANNEL, "fields", FIELDS, len(self._stills), "image"),)

    def extent_ns(self) -> tuple[int, int]:
        """Times of the first and the last picture."""
        return self._stills[0].t_ns, self._stills[-1].t_ns

    def batches(self, wanted: Collection[str] | None = None) -> Iterator[Batch]:
        """Yield messages window by window in time order; see the protocol."""
        self._account.reset()
        if wanted is not None and CHANNEL not in wanted:
            return
        t_ns = np.array([still.t_ns for still in self._stills], np.int64)
        columns = {
            "size_bytes": np.array([still.size for still in self._stills], np.int64),
            "width": np.array([still.head.width for still in self._stills], np.int64),
            "height": np.array([still.head.height for still in self._stills], np.int64),
        }
        source = cut(iter([[((CHANNEL, 0), t_ns, columns)]]), self.extent_ns()[0])
        yield from self._account.watched(weave([source]))

    def payloads(self, wanted: Collection[str]) -> Iterator[Payload]:
        """Yield the files; see ``media.PayloadRecording``."""
        kind = MessageKind(PICTURE_FILE, "", "", b"")
        for still in self._stills if CHANNEL in wanted else ():
            yield Payload(CHANNEL, still.t_ns, still.path.read_bytes(), kind)

    def summary(self) -> Summary:
        """Counts and losses of the pass made by ``batches``."""
        return Summary(self._account.summaries([CHANNEL]), tuple(self._losses))

    def close(self) -> None:
        """Nothing is held open."""


def _placed(heads: Sequence[tuple[str, Path, Head, int]], interval_ns: int | None) -> list[_Still]:
    """Give each picture its time: the stated one, or, given an interval, by the names, in whose order they come."""
    if interval_ns is not None:
        return [_Still(*found, number * interval_ns) for number, found in enumerate(heads)]
    together: Counter[int | None] = Counter(head.taken_ns for _, _, head, _ in heads if not head.exact)
    before: Counter[int | None] = Counter()
    stills = []
    for found in heads:
        taken_ns, exact = found[2].taken_ns, found[2].exact
        shift = 0 if exact else before[taken_ns] * NS_PER_S // together[taken_ns]
        before[taken_ns] += 0 if exact else 1
        stills.append(_Still(*found, (taken_ns or 0) + shift))
    return sorted(stills, key=lambda still: still.t_ns)
