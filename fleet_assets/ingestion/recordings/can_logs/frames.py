"""Recordings of CAN frames in one stream per file, in one file or in many that share a clock.

Here belongs what such formats have in common: the one channel, the order of files, counts and losses. How a file's
bytes become frames is the business of `candump.py`, `blf.py` and `asc.py`.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from fleet_assets.ingestion.recordings.file_order import is_dbc, lanes, transitions
from fleet_assets.ingestion.recordings.protocol import (
    Batch,
    Channel,
    ChannelSummary,
    Files,
    Loss,
    Summary,
    UnreadableRecordingError,
)
from fleet_assets.ingestion.recordings.windows import Chunk, Columns, cut, weave

CAN_CHANNEL: Final = "CAN"
CAN_FIELDS: Final = ("bus", "can_id", "is_extended", "length", "data")
EARLIEST_UTC_NS: Final = 1_262_304_000_000_000_000
"""2010-01-01: an older time stamp counts from a recorder's own zero."""
LATEST_UTC_NS: Final = 4_102_444_800_000_000_000
"""2100-01-01."""
MAX_PAYLOAD_BYTES: Final = 64
UPLOAD_AGAIN: Final = "Upload the file again; if the source is damaged too, what could be read is used."
_HEAD_BYTES: Final = 64

Frames = tuple[NDArray[np.int64], Columns]
"""Time stamps and the columns of a `can` channel."""


@dataclass(slots=True)
class Lost:
    """What one rule cost a file.

    Attributes:
        why: The reader's words, without the file's name.
        lost_bytes: Bytes that could not be used.
        messages: Messages lost; None where they cannot be counted.
    """

    why: str
    lost_bytes: int = 0
    messages: int | None = 0


@dataclass(slots=True)
class Losses:
    """Losses of one file by rule, added up while it is read."""

    path: str
    by_rule: dict[str, Lost] = field(default_factory=dict)

    def add(self, rule: str, why: str, *, lost_bytes: int = 0, messages: int | None = 0) -> None:
        """Add to a rule; the words of its first occurrence stay."""
        lost = self.by_rule.setdefault(rule, Lost(why))
        lost.lost_bytes += lost_bytes
        lost.messages = None if messages is None or lost.messages is None else lost.messages + messages

    def __iter__(self) -> Iterator[Loss]:
        """Give one loss per rule."""
        for rule, lost in self.by_rule.items():
            reason = f"{self.path}: {rule}: {lost.why}"
            yield Loss(self.path, lost.lost_bytes, lost.messages, reason, rule, CAN_CHANNEL)


class CanLogFile(Protocol):
    """One file of frames."""

    @property
    def name(self) -> str:
        """Relative name inside the drive."""
        ...

    @property
    def extent_ns(self) -> tuple[int, int]:
        """First and last time stamp."""
        ...

    @property
    def start_ns(self) -> int | None:
        """UTC of the file's start where it states one; time stamps are UTC then."""
        ...

    def frames(self, losses: Losses) -> Iterator[Frames]:
        """Read the file front to back and add what could not be read to the losses."""
        ...


def plausible_utc(t_ns: int) -> bool:
    """Whether a time stamp may be UTC of a recording."""
    return EARLIEST_UTC_NS <= t_ns <= LATEST_UTC_NS


def can_columns(
    bus: NDArray[Any],
    can_id: NDArray[Any],
    is_extended: NDArray[np.bool_],
    length: NDArray[Any],
    data: NDArray[np.uint8],
) -> Columns:
    """Columns of a `can` channel in the protocol's types."""
    return {
        "bus": bus.astype(np.uint16),
        "can_id": can_id.astype(np.uint32),
        "is_extended": is_extended,
        "length": length.astype(np.uint8),
        "data": data,
    }


class CanLogRecording:
    """One recording of CAN frames.

    Args:
        files: The drive's files, in any order.
        open_file: Opens one of them.

    Raises:
        UnreadableRecordingError: When no file holds frames.
    """

    format = "can_log"

    def __init__(self, files: Files, open_file: Callable[[str, Path], CanLogFile]) -> None:
        self._losses: list[Loss] = []
        found = []
        for name in sorted(files):
            with files[name].open("rb") as stream:
                if is_dbc(stream.read(_HEAD_BYTES)):
                    continue
            try:
                found.append(open_file(name, files[name]))
            except UnreadableRecordingError as error:
                size = files[name].stat().st_size
                self._losses.append(Loss(name, size, None, str(error), error.rule, CAN_CHANNEL))
        if not found:
            reasons = "; ".join(loss.reason for loss in self._losses[:3]) or "no file with frames"
            rule = self._losses[0].rule if len(self._losses) == 1 else "no_messages"
            first = min(files, default="(no files)")
            raise UnreadableRecordingError(first, rule, value=reasons, limit="CAN frames", remedy=UPLOAD_AGAIN)
        self._files = sorted(found, key=lambda file: (file.extent_ns, file.name))
        self._losses += transitions(self._files)
        starts = [file.start_ns for file in self._files]
        stated = [start for start in starts if start is not None]
        utc = len(stated) == len(starts)
        self.container_start_ns = min(stated) if utc else None
        self.clock = "utc" if utc else "monotonic"
        self._extent = (min(file.extent_ns[0] for file in found), max(file.extent_ns[1] for file in found))
        self._count = 0
        self._span: tuple[int, int] | None = None
        self._pass_losses: list[Losses] = []

    def channels(self) -> tuple[Channel, ...]:
        """The one channel; such files do not say how many data frames they hold."""
        return (Channel(CAN_CHANNEL, "can", CAN_FIELDS),)

    def extent_ns(self) -> tuple[int, int]:
        """First and last time stamp over all files."""
        return self._extent

    def batches(self, wanted: Collection[str] | None = None) -> Iterator[Batch]:
        """Yield frames window by window in time order; see the protocol."""
        self._count, self._span, self._pass_losses = 0, None, []
        if wanted is not None and CAN_CHANNEL not in wanted:
            return
        sources = [
            cut(chain.from_iterable(self._chunks(file) for file in lane), self._extent[0])
            for lane in lanes(self._files)
        ]
        for batch in weave(sources):
            low, high = int(batch.t_ns.min()), int(batch.t_ns.max())
            first, last = self._span or (low, high)
            self._span = min(first, low), max(last, high)
            self._count += len(batch)
            yield batch

    def _chunks(self, file: CanLogFile) -> Iterator[list[Chunk]]:
        losses = Losses(file.name)
        self._pass_losses.append(losses)
        for t_ns, columns in file.frames(losses):
            yield [((CAN_CHANNEL, 0), t_ns, columns)]

    def summary(self) -> Summary:
        """Counts and losses of the pass made by ``batches``."""
        found: Mapping[str, ChannelSummary] = {CAN_CHANNEL: ChannelSummary(self._count, *(self._span or (None, None)))}
        return Summary(found, (*self._losses, *chain.from_iterable(self._pass_losses)))

    def close(self) -> None:
        """Forget the files."""
        self._files = []
