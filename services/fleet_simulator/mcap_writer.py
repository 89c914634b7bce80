"""Writes MCAP files whose bytes depend on nothing but the messages: https://mcap.dev/spec.

The `mcap` package's writer spends more time per message than a whole simulated drive may take (it takes one message at
a time, and packs each record's fields in Python); this one appends sorted messages to chunks of a fixed size. The
tests read its files with the `mcap` package.
"""

import struct
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import BinaryIO, Final

MAGIC: Final = b"\x89MCAP0\r\n"
CHUNK_BYTES: Final = 1 << 20
"""A chunk is closed once it holds this much."""
LIBRARY: Final = "fleet_simulator"
PROFILE: Final = "ros2"
_COMPRESSION: Final = "zstd"
_LEVEL: Final = 1
_HEADER, _FOOTER, _SCHEMA, _CHANNEL, _MESSAGE, _CHUNK, _INDEX, _CHUNK_INDEX = 1, 2, 3, 4, 5, 6, 7, 8
_STATISTICS, _SUMMARY_OFFSET, _DATA_END = 11, 14, 15
_HEAD: Final = struct.Struct("<BQHIQQ")
_CHUNK_HEAD_BYTES: Final = struct.calcsize("<QQQI")
"""Bytes of a chunk record before the name of its compression."""
_BODY_BYTES: Final = 22
"""Bytes of a message record before its payload."""

Message = tuple[int, int, int, bytes]
"""Channel, log time, publish time, payload."""


@dataclass(frozen=True, slots=True)
class ChannelInfo:
    """A topic: its name, message type and definition."""

    topic: str
    type_name: str
    definition: str


@dataclass(slots=True)
class _ChunkPart:
    """The chunk that is being filled."""

    parts: list[bytes] = field(default_factory=list)
    size: int = 0
    indexes: dict[int, list[tuple[int, int]]] = field(default_factory=dict)
    times: list[int] = field(default_factory=list)


def _text(value: str) -> bytes:
    encoded = value.encode()
    return struct.pack("<I", len(encoded)) + encoded


def _record(opcode: int, content: bytes) -> bytes:
    return struct.pack("<BQ", opcode, len(content)) + content


def _pairs(pairs: Mapping[int, int]) -> bytes:
    content = b"".join(struct.pack("<HQ", *pair) for pair in sorted(pairs.items()))
    return struct.pack("<I", len(content)) + content


class McapWriter:
    """Writes one file; call `write` with messages in the order of the file, then `finish`.

    Args:
        stream: Where to; it is written front to back and never read.
        channels: Channels; number 1 is the first.
    """

    def __init__(self, stream: BinaryIO, channels: Iterable[ChannelInfo]) -> None:
        from zstandard import ZstdCompressor

        self._stream, self._at, self._crc = stream, 0, 0
        self._compressor = ZstdCompressor(level=_LEVEL, write_checksum=False, write_content_size=True)
        infos = list(channels)
        types = list(dict.fromkeys((info.type_name, info.definition) for info in infos))
        self._schemas = [
            _record(_SCHEMA, struct.pack("<H", number) + _text(name) + _text("ros2msg") + _text(text))
            for number, (name, text) in enumerate(types, 1)
        ]
        self._channels = [
            _record(
                _CHANNEL,
                struct.pack("<HH", number, types.index((info.type_name, info.definition)) + 1)
                + _text(info.topic)
                + _text("cdr")
                + _pairs({}),
            )
            for number, info in enumerate(infos, 1)
        ]
        self._sequences = dict.fromkeys(range(1, len(infos) + 1), 0)
        self._chunk_indexes: list[bytes] = []
        self._extent: tuple[int, int] | None = None
        self._chunk = _ChunkPart()
        self._put(MAGIC + _record(_HEADER, _text(PROFILE) + _text(LIBRARY)))
        self._put(b"".join(self._schemas + self._channels))

    def write(self, messages: Iterable[Message]) -> None:
        """Append messages."""
        pack, sequences, chunk = _HEAD.pack, self._sequences, self._chunk
        for number, log_ns, publish_ns, payload in messages:
            sequence = sequences[number]
            sequences[number] = sequence + 1
            head = pack(_MESSAGE, _BODY_BYTES + len(payload), number, sequence, log_ns, publish_ns)
            chunk.indexes.setdefault(number, []).append((log_ns, chunk.size))
            chunk.times.append(log_ns)
            chunk.parts.append(head)
            chunk.parts.append(payload)
            chunk.size += len(head) + len(payload)
            if chunk.size >= CHUNK_BYTES:
                self._close_chunk()
                chunk = self._chunk

    def finish(self) -> None:
        """Write what is left, the index and the end."""
        if self._chunk.size:
            self._close_chunk()
        self._put(_record(_DATA_END, struct.pack("<I", self._crc)))
        groups = [
            (_SCHEMA, self._schemas),
            (_CHANNEL, self._channels),
            (_STATISTICS, [self._statistics()]),
            (_CHUNK_INDEX, self._chunk_indexes),
        ]
        summary_start = self._at
        summary, offsets = bytearray(), bytearray()
        for opcode, records in groups:
            group = b"".join(records)
            if group:
                offsets += _record(
                    _SUMMARY_OFFSET, struct.pack("<BQQ", opcode, summary_start + len(summary), len(group))
                )
            summary += group
        offsets_start = summary_start + len(summary)
        footer = struct.pack("<BQQQ", _FOOTER, 20, summary_start, offsets_start)
        content = bytes(summary + offsets) + footer
        self._put(content + struct.pack("<I", zlib.crc32(content)) + MAGIC)

    def _put(self, content: bytes) -> None:
        self._stream.write(content)
        self._at += len(content)
        self._crc = zlib.crc32(content, self._crc)

    def _close_chunk(self) -> None:
        chunk, self._chunk = self._chunk, _ChunkPart()
        records = b"".join(chunk.parts)
        packed = self._compressor.compress(records)
        first, last = min(chunk.times), max(chunk.times)
        extent = self._extent or (first, last)
        self._extent = min(extent[0], first), max(extent[1], last)
        start = self._at
        head = struct.pack("<QQQI", first, last, len(records), zlib.crc32(records)) + _text(_COMPRESSION)
        self._put(_record(_CHUNK, head + struct.pack("<Q", len(packed)) + packed))
        chunk_bytes, offsets = self._at - start, {}
        for number, rows in sorted(chunk.indexes.items()):
            offsets[number] = self._at
            # Ordered by time, as the specification has it.
            pairs = b"".join(struct.pack("<QQ", *row) for row in sorted(rows))
            self._put(_record(_INDEX, struct.pack("<HI", number, len(pairs)) + pairs))
        index_bytes = self._at - start - chunk_bytes
        self._chunk_indexes.append(
            _record(
                _CHUNK_INDEX,
                struct.pack("<QQQQ", first, last, start, chunk_bytes)
                + _pairs(offsets)
                + struct.pack("<Q", index_bytes)
                + _text(_COMPRESSION)
                + struct.pack("<QQ", len(packed), len(records)),
            )
        )

    def _statistics(self) -> bytes:
        counts = {number: count for number, count in self._sequences.items() if count}
        first, last = self._extent or (0, 0)
        head = struct.pack(
            "<QHIIII", sum(counts.values()), len(self._schemas), len(self._channels), 0, 0, len(self._chunk_indexes)
        )
        return _record(_STATISTICS, head + struct.pack("<QQ", first, last) + _pairs(counts))


def message_bytes(content: bytes | bytearray) -> Iterator[tuple[int, int]]:
    """Where compressed messages lie in a finished file, as (first, end); between them are indexes and other records."""
    at, head = len(MAGIC), struct.Struct("<BQ")
    while at + head.size <= len(content):
        opcode, length = head.unpack_from(content, at)
        body = at + head.size
        if opcode == _CHUNK:
            (named,) = struct.unpack_from("<I", content, body + _CHUNK_HEAD_BYTES)
            yield body + _CHUNK_HEAD_BYTES + 4 + named + 8, body + length
        if opcode == _DATA_END:
            return
        at = body + length
