"""The streaming protocol that every recording reader keeps.

Here belong the types that readers and their users share. Formats live in modules of their own; what a channel *means*
(signals, units, sensors) is the vehicle spec's business, never a reader's.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

NS_PER_S: Final = 1_000_000_000
WINDOW_NS: Final = 10 * NS_PER_S
"""Length of the time window that bounds a reader's memory: every batch lies inside one window, except in recordings of
one text file, whose one channel comes as it is read, some rows at a time: there is nothing that it must wait for."""


class UnreadableRecordingError(Exception):
    """A recording that cannot be read, with the rule it breaks and what to do about it.

    Args:
        path: Relative name of the file inside the drive.
        rule: Short machine name of the broken rule, e.g. ``truncated_file``.
        value: What was found.
        limit: What the rule allows.
        remedy: What a person does next.
    """

    def __init__(self, path: str, rule: str, *, value: str = "", limit: str = "", remedy: str = "") -> None:
        super().__init__(path, rule, value, limit, remedy)
        self.path, self.rule, self.value, self.limit, self.remedy = path, rule, value, limit, remedy

    def __str__(self) -> str:
        found = f": found {self.value}" if self.value else ""
        wanted = f", expected {self.limit}" if self.limit else ""
        return f"{self.path}: {self.rule}{found}{wanted}. {self.remedy}"


@dataclass(frozen=True, slots=True)
class Channel:
    """One stream of messages with common fields.

    Attributes:
        name: Name inside the recording, e.g. a topic or an array folder.
        kind: ``can`` (columns ``bus`` uint16, ``can_id`` uint32, ``is_extended`` bool, ``length`` uint8, ``data``
            uint8[n, width]), ``fields`` (one column per field) or ``opaque`` (messages that cannot be decoded; one
            column, ``size_bytes``).
        fields: Column names of its batches.
        message_count: Number of messages where the container states it without a full read.
        type: Message type as the recording names it, e.g. ``sensor_msgs/msg/Imu``; empty where there are no types.
        problem: Why its messages cannot be decoded, with a remedy; empty unless the kind is ``opaque``.
    """

    name: str
    kind: str
    fields: tuple[str, ...]
    message_count: int | None = None
    type: str = ""
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Batch:
    """Consecutive messages of one channel inside one time window (see ``WINDOW_NS`` for the exception).

    Attributes:
        channel: Channel name.
        t_ns: int64[n], the recording's own clock, non-decreasing unless the recording itself is out of order.
        columns: One array of length n per field (2-D for vectors such as CAN payloads, uint8[n, width]).
    """

    channel: str
    t_ns: NDArray[np.int64]
    columns: Mapping[str, NDArray[Any]]

    def __len__(self) -> int:
        return len(self.t_ns)


@dataclass(frozen=True, slots=True)
class Loss:
    """Something in the recording that could not be read, or a fact about its files that a reader must state.

    Attributes:
        path: Relative name of the file inside the drive.
        lost_bytes: Bytes that could not be used; 0 for a mere statement, e.g. a gap between two files.
        messages: Messages lost; None where they cannot be counted.
        reason: The reader's words: what was found, what was expected, what to do.
        rule: Short machine name of the broken rule, e.g. ``truncated_file``.
        channel: Channel concerned, or None where it is not known.
    """

    path: str
    lost_bytes: int
    messages: int | None
    reason: str
    rule: str = "unreadable"
    channel: str | None = None


@dataclass(frozen=True, slots=True)
class ChannelSummary:
    """What one channel held: message count and first and last time stamp (recording clock, ns)."""

    messages: int
    first_t_ns: int | None
    last_t_ns: int | None


@dataclass(frozen=True, slots=True)
class Summary:
    """What one pass over a recording read and lost."""

    channels: Mapping[str, ChannelSummary]
    losses: tuple[Loss, ...] = field(default=())


class Recording(Protocol):
    """One recording, possibly of several files on one clock, read once from front to back in bounded memory."""

    format: str
    container_start_ns: int | None
    """UTC start stated by the container, or None. Batches' ``t_ns`` may be on another clock (see ``clock``)."""
    clock: str
    """``utc`` when ``t_ns`` is UTC by the container's own claim, ``monotonic`` when it has an arbitrary zero."""

    def channels(self) -> tuple[Channel, ...]:
        """List the channels without reading their messages."""
        ...

    def extent_ns(self) -> tuple[int, int]:
        """First and last time stamp over all channels (recording clock), cheaply."""
        ...

    def batches(self, wanted: Collection[str] | None = None) -> Iterator[Batch]:
        """Yield messages window by window in time order; inside a window one batch per channel.

        Args:
            wanted: Channel names to read; all when None. Others are neither read nor decoded.

        Raises:
            UnreadableRecordingError: When nothing useful can be read.
        """
        ...

    def summary(self) -> Summary:
        """Counts and losses of the pass made by ``batches``; complete once that iterator is exhausted."""
        ...

    def close(self) -> None:
        """Release files."""
        ...


Files = Mapping[str, Path]
"""A drive's files: relative name inside the drive → where the bytes are on this machine."""
