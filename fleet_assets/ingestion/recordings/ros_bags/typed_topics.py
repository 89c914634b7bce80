"""Topics of ROS recordings as channels: names, decoders, and the account of one pass over them.

Here belongs what ROS 1 and ROS 2 bags share once their messages are found. A topic that several connections feed is one
channel as long as they agree in type and definition; otherwise each kind is a channel of its own, ``topic#connection``.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fleet_assets.ingestion.recordings.messages.decoders import MessageDecoder, message_decoder
from fleet_assets.ingestion.recordings.pass_account import PassAccount
from fleet_assets.ingestion.recordings.protocol import NS_PER_S, Batch, Channel, ChannelSummary, Loss
from fleet_assets.ingestion.recordings.windows import Chunk

EARLIEST_UTC_NS: Final = 1_262_304_000 * NS_PER_S
"""2010-01-01: bags of simulated time begin at zero, bags of recorders without a clock in 1970."""
LATEST_UTC_NS: Final = 4_102_444_800 * NS_PER_S
"""2100-01-01."""


@dataclass(frozen=True, slots=True)
class Topic:
    """What a recording says of one connection.

    Attributes:
        name: Topic.
        type: Message type.
        encoding: ``ros1`` or ``cdr``.
        definition_encoding: ``ros1msg``, ``ros2msg``, ``ros2idl`` or empty.
        definition: Message definition; empty where the recording has none.
    """

    name: str
    type: str
    encoding: str
    definition_encoding: str
    definition: bytes


Source = tuple[int, int]
"""Number of the file and of the connection in it."""


def is_utc(t_ns: int) -> bool:
    """Whether a time stamp can be one of a clock that was set."""
    return EARLIEST_UTC_NS <= t_ns <= LATEST_UTC_NS


def channel_names(topics: Mapping[Source, Topic]) -> dict[Source, str]:
    """Name the channel of each connection."""
    kinds: dict[str, dict[Topic, str]] = {}
    for (_, number), topic in topics.items():
        known = kinds.setdefault(topic.name, {})
        if topic not in known:
            name = f"{topic.name}#{number}"
            # Two files may number different connections alike.
            known[topic] = name if name not in known.values() else f"{name}.{len(known)}"
    return {
        source: topic.name if len(kinds[topic.name]) == 1 else kinds[topic.name][topic]
        for source, topic in topics.items()
    }


@dataclass(slots=True)
class TopicChannels:
    """The channels of one recording and what one pass over them came upon.

    Attributes:
        names: Channel of each connection.
        decoders: Decoder of each channel.
        types: Message type of each channel.
        account: What was given out by channel.
        unusable: Messages that could not be decoded, by file and channel.
    """

    names: Mapping[Source, str]
    decoders: Mapping[str, MessageDecoder]
    types: Mapping[str, str]
    account: PassAccount = field(default_factory=PassAccount)
    unusable: Counter[tuple[str, str]] = field(default_factory=Counter)

    def channels(self, messages: Mapping[Source, int | None]) -> tuple[Channel, ...]:
        """List the channels; the count is None where it is unknown for any connection."""
        listed = []
        for name, decoder in sorted(self.decoders.items()):
            parts = [messages.get(source) for source, channel in self.names.items() if channel == name]
            count = None if None in parts else sum(part or 0 for part in parts)
            listed.append(Channel(name, decoder.kind, decoder.fields, count, self.types[name], decoder.problem))
        return tuple(listed)

    def reset(self) -> None:
        """Begin a new pass."""
        self.account.reset()
        self.unusable.clear()

    def chunk(
        self,
        path: str,
        source: Source,
        times: Sequence[int] | NDArray[np.int64],
        payloads: Sequence[bytes | memoryview],
    ) -> Chunk:
        """Decode consecutive messages of one connection.

        Args:
            path: File that they are from.
            source: Their connection.
            times: Time stamps, ns.
            payloads: The messages.
        """
        name = self.names[source]
        columns, usable = self.decoders[name].columns(payloads)
        t_ns = np.asarray(times, np.int64)
        if not usable.all():
            self.unusable[path, name] += int((~usable).sum())
            t_ns = t_ns[usable]
        return (name, source[1]), t_ns, columns

    def watched(self, batches: Iterator[Batch]) -> Iterator[Batch]:
        """Count what goes out."""
        return self.account.watched(batches)

    def summaries(self) -> dict[str, ChannelSummary]:
        """Counts and spans of the pass so far."""
        return self.account.summaries(self.decoders)

    def losses(self) -> list[Loss]:
        """Messages whose content could not be decoded."""
        return [
            Loss(
                path,
                0,
                messages,
                f"{path}: undecodable_message: {messages} messages of {name} are not what their type says, expected "
                f"{self.decoders[name].expects}. They are left out",
                "undecodable_message",
                name,
            )
            for (path, name), messages in sorted(self.unusable.items())
        ]


def topic_channels(topics: Mapping[Source, Topic]) -> TopicChannels:
    """Make the channels of a recording's connections."""
    names = channel_names(topics)
    first = {names[source]: topic for source, topic in reversed(list(topics.items()))}
    decoders = {
        name: message_decoder(topic.encoding, topic.type, topic.definition_encoding, topic.definition)
        for name, topic in first.items()
    }
    return TopicChannels(names, decoders, {name: topic.type for name, topic in first.items()})
