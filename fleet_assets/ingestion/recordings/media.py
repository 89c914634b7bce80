"""Whole messages of a recording, one at a time: what pictures, lidar packets and point clouds are read by.

Here belongs the protocol beside the streaming one. Signals never come this way: their messages are decoded to columns,
many at a time (``protocol.Recording.batches``). Which formats keep it is settled by their readers.
"""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from fleet_assets.ingestion.recordings.messages.whole_messages import Values, whole_reader


@dataclass(frozen=True, slots=True)
class MessageKind:
    """How the messages of one connection are to be read; see ``decoders.message_decoder``."""

    encoding: str
    type: str
    definition_encoding: str
    definition: bytes

    def reader(self) -> Callable[[bytes | memoryview], Values]:
        """What reads such a message whole.

        Raises:
            UnknownMessageError: When the type's definition is missing or cannot be read.
        """
        return whole_reader(self.encoding, self.type, self.definition_encoding, self.definition)


@dataclass(frozen=True, slots=True)
class Payload:
    """One message as it lies in the recording.

    Attributes:
        channel: Channel name, as in `Recording.channels`.
        t_ns: Time of the message on the recording's clock, as in the channel's batches.
        data: Its bytes, valid until the next one is asked for.
        kind: How it is to be read.
    """

    channel: str
    t_ns: int
    data: bytes | memoryview
    kind: MessageKind


@runtime_checkable
class PayloadRecording(Protocol):
    """A recording whose messages can be had whole."""

    def payloads(self, wanted: Collection[str]) -> Iterator[Payload]:
        """Yield the messages of some channels, file by file in the order of the file, in bounded memory.

        The messages of one connection come in the order in which they were recorded. Losses are those that `batches`
        states of the same channels.

        Args:
            wanted: Channel names.

        Raises:
            UnreadableRecordingError: When nothing useful can be read.
        """
        ...
