"""A recording of text files that make one channel: what tables and point lists share.

Here belongs what the streaming protocol asks for once a file gives its messages front to back. How a file is read is
its format's business.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from fleet_assets.ingestion.recordings.protocol import (
    Batch,
    Channel,
    ChannelSummary,
    Files,
    Loss,
    Summary,
    UnreadableRecordingError,
)
from fleet_assets.ingestion.recordings.windows import MAX_BATCH_ROWS, Chunk, cut, weave
from fleet_assets.policy.table_layouts import TableLayout

EXACT_EXTENT_BYTES: Final = 8 << 20
"""Up to this size all time stamps of a file are looked at for its extent; of larger ones those at both ends."""
EDGE_BYTES: Final = 1 << 20
"""What is looked at, at both ends of larger files."""
CLOCK: Final = "utc"
Messages = tuple[NDArray[np.int64], Mapping[str, NDArray[Any]]]


class TextFile(Protocol):
    """One file, opened: it was found to hold messages with times."""

    name: str
    fields: tuple[str, ...]
    extent_ns: tuple[int, int]

    def messages(self) -> Iterator[Messages]:
        """Time stamps and columns, front to back; a pass of its own each time."""
        ...

    def losses(self) -> tuple[Loss, ...]:
        """What the last pass lost."""
        ...


def required_table(files: Files, table: TableLayout | None, what: str) -> TableLayout:
    """The layout that the vehicle spec states.

    Raises:
        UnreadableRecordingError: Without one.
    """
    if table is None:
        raise UnreadableRecordingError(
            min(files, default="(no files)"),
            "no_table_layout",
            value="a vehicle spec without `table`",
            remedy=f"State under `table` which {what} hold the time and the values.",
        )
    return table


class TextRecording:
    """One or several text files whose messages make one channel; all times are UTC.

    Args:
        channel: The channel.
        files: Opened files.
        losses: What was lost by files that could not be opened.
    """

    clock = CLOCK
    format = ""

    def __init__(self, channel: str, files: Sequence[TextFile], losses: Sequence[Loss] = ()) -> None:
        self._channel = channel
        self._files = sorted(files, key=lambda file: (file.extent_ns, file.name))
        self._opening_losses = tuple(losses)
        extents = [file.extent_ns for file in self._files]
        self._extent = min(low for low, _ in extents), max(high for _, high in extents)
        self._count = 0
        self._span: tuple[int, int] | None = None
        self.container_start_ns: int | None = self._extent[0]

    def channels(self) -> tuple[Channel, ...]:
        """The one channel; its fields are those that all files have."""
        shared = [name for name in self._files[0].fields if all(name in file.fields for file in self._files)]
        return (Channel(self._channel, "fields", tuple(shared)),)

    def extent_ns(self) -> tuple[int, int]:
        """First and last time stamp, nanoseconds UTC; of very large files as far as both ends tell."""
        return self._extent

    def batches(self, wanted: Collection[str] | None = None) -> Iterator[Batch]:
        """Yield messages window by window; see the protocol."""
        self._count, self._span = 0, None
        if wanted is not None and self._channel not in wanted:
            return
        for batch in self._alone(self._files[0]) if len(self._files) == 1 else self._woven():
            low, high = int(batch.t_ns.min()), int(batch.t_ns.max())
            first, last = self._span or (low, high)
            self._span = min(first, low), max(last, high)
            self._count += len(batch)
            yield batch

    def _alone(self, file: TextFile) -> Iterator[Batch]:
        """Messages of the one file as they are read: there is nothing to weave them with."""
        for step in self._chunks(file, 0):
            yield from (Batch(self._channel, t_ns, columns) for _, t_ns, columns in step)

    def _woven(self) -> Iterator[Batch]:
        files = enumerate(self._files)
        return weave([cut(self._chunks(file, number), self._extent[0]) for number, file in files])

    def _chunks(self, file: TextFile, number: int) -> Iterator[list[Chunk]]:
        for t_ns, columns in file.messages():
            for first in range(0, len(t_ns), MAX_BATCH_ROWS):
                rows = slice(first, first + MAX_BATCH_ROWS)
                yield [((self._channel, number), t_ns[rows], {name: column[rows] for name, column in columns.items()})]

    def summary(self) -> Summary:
        """Counts and losses of the pass made by ``batches``."""
        losses = [loss for file in self._files for loss in file.losses()]
        span = self._span or (None, None)
        return Summary({self._channel: ChannelSummary(self._count, *span)}, (*self._opening_losses, *losses))

    def close(self) -> None:
        """Nothing stays open between passes."""


def open_all(files: Files, channel: str, opener: Any) -> tuple[list[Any], list[Loss]]:
    """Open every file; one that cannot be read is a loss as long as another one can.

    Args:
        files: The drive's files.
        channel: Channel that they make.
        opener: Opens one file by name and path.

    Raises:
        UnreadableRecordingError: The first file's, when none can be read.
    """
    opened, failed = [], []
    for name in sorted(files):
        try:
            opened.append(opener(name, files[name]))
        except UnreadableRecordingError as error:
            failed.append(error)
    if not opened:
        raise (
            failed[0]
            if failed
            else UnreadableRecordingError("(no files)", "no_files", remedy="Upload the drive again.")
        )
    losses = [
        Loss(error.path, files[error.path].stat().st_size, None, str(error), error.rule, channel) for error in failed
    ]
    return opened, losses
