"""Records of MCAP files: what a stretch of bytes holds, and where the next record begins after damage.

Layout: https://mcap.dev/spec. A record is ``<u8 opcode><u64 length><content>``. Here belongs what can be told from
bytes alone, without trusting a single length; the way through a file belongs to ``walk.py``, what its end says
about the whole to ``layout.py``. The mcap library allocates what lengths ask for and stops at the first damage, so
it serves as the oracle of the tests instead.
"""

import mmap
import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

MAGIC: Final = b"\x89MCAP0\r\n"
HEADER, FOOTER, SCHEMA, CHANNEL, MESSAGE, CHUNK, MESSAGE_INDEX, CHUNK_INDEX = range(1, 9)
ATTACHMENT, ATTACHMENT_INDEX, STATISTICS, METADATA, METADATA_INDEX, SUMMARY_OFFSET, DATA_END = range(9, 16)
FRAME: Final = struct.Struct("<BQ")
MESSAGE_HEAD: Final = struct.Struct("<BQHIQQ")
"""Frame, channel, sequence, log time and publish time of a message."""
MESSAGE_FIELD_BYTES: Final = MESSAGE_HEAD.size - FRAME.size
INDEX_ENTRY_BYTES: Final = 16
_MAX_TIME: Final = 1 << 63
_MAX_NAME_BYTES: Final = 1 << 16
_CHUNK_HEAD: Final = struct.Struct("<QQQI")
_STATISTICS_HEAD: Final = struct.Struct("<QHIIIIQQ")
_FIRST_SEARCH_BYTES: Final = 1 << 12
_MAX_SEARCH_BYTES: Final = 1 << 20
_CHAIN: Final = 3
"""Records that must follow each other before bytes found by search are believed to be records."""
MAX_FALSE_STARTS: Final = 100_000
"""Bytes that look like a record and are none, before the search for the next one is given up."""

Buffer = bytes | mmap.mmap


class BrokenRecordError(Exception):
    """Bytes that are not what they should be.

    Args:
        rule: Short machine name of the broken rule.
        words: What was found.
    """

    def __init__(self, rule: str, words: str) -> None:
        super().__init__(words)
        self.rule = rule


@dataclass(frozen=True, slots=True)
class Record:
    """One record that lies in its buffer and agrees with itself.

    Attributes:
        opcode: Kind of record.
        at: Offset of its first byte.
        end: Offset after its last byte.
        proven: Whether the lengths inside confirm its length, so that ``end`` can be trusted.
    """

    opcode: int
    at: int
    end: int
    proven: bool


@dataclass(frozen=True, slots=True)
class SchemaRecord:
    """How messages are defined."""

    id: int
    name: str
    encoding: str
    data: bytes


@dataclass(frozen=True, slots=True)
class ChannelRecord:
    """A stream of messages on a topic; ``schema_id`` 0 means that there is no schema."""

    id: int
    schema_id: int
    topic: str
    encoding: str


@dataclass(frozen=True, slots=True)
class ChunkHead:
    """What a chunk says about the packed records that lie from ``data_at`` to ``data_end``."""

    start_ns: int
    end_ns: int
    size: int
    crc: int
    compression: str
    data_at: int
    data_end: int


@dataclass(frozen=True, slots=True)
class ChunkIndex:
    """Where a chunk lies and which channels the message indexes behind it are about."""

    start_ns: int
    at: int
    length: int
    channels: frozenset[int]
    index_bytes: int


@dataclass(frozen=True, slots=True)
class Statistics:
    """Messages of a whole file: number, first and last log time, number by channel."""

    messages: int
    start_ns: int
    end_ns: int
    counts: Mapping[int, int]


def _u32(data: Buffer, at: int) -> int:
    return int.from_bytes(data[at : at + 4], "little")


def _u64(data: Buffer, at: int) -> int:
    return int.from_bytes(data[at : at + 8], "little")


def _after_parts(data: Buffer, at: int, end: int, widths: tuple[int, ...]) -> int:
    """Offset after parts that each begin with their length, as an integer of the given width; beyond the end if cut."""
    for width in widths:
        if at + width > end:
            return end + 1
        at += width + int.from_bytes(data[at : at + width], "little")
    return at


_PARTS: Final[Mapping[int, tuple[int, tuple[int, ...], int]]] = {
    HEADER: (0, (4, 4), 0),
    FOOTER: (20, (), 0),
    SCHEMA: (2, (4, 4, 4), 0),
    CHANNEL: (4, (4, 4, 4), 0),
    CHUNK: (_CHUNK_HEAD.size, (4, 8), 0),
    MESSAGE_INDEX: (2, (4,), 0),
    CHUNK_INDEX: (32, (4,), 28),
    ATTACHMENT: (16, (4, 4, 8), 4),
    ATTACHMENT_INDEX: (40, (4, 4), 0),
    STATISTICS: (_STATISTICS_HEAD.size, (4,), 0),
    METADATA: (0, (4, 4), 0),
    METADATA_INDEX: (16, (4,), 0),
    SUMMARY_OFFSET: (17, (), 0),
    DATA_END: (4, (), 0),
}
"""Content of each kind of record but messages: fixed bytes, parts with a length of that many bytes, fixed bytes."""


def record_at(data: Buffer, at: int, end: int) -> Record | None:
    """The record that begins at an offset; None where no record can begin there or it ends beyond the end.

    Opcodes that the specification does not know are records too, as it allows applications to add some.
    """
    if at + FRAME.size > end:
        return None
    opcode, length = FRAME.unpack_from(data, at)
    after = at + FRAME.size + length
    if not opcode or after > end:
        return None
    if opcode == MESSAGE:
        return Record(opcode, at, after, proven=False) if length >= MESSAGE_FIELD_BYTES else None
    if opcode not in _PARTS:
        return Record(opcode, at, after, proven=False)
    head, widths, tail = _PARTS[opcode]
    content = _after_parts(data, at + FRAME.size + head, after, widths) + tail
    # Records may grow by new fields at their end.
    return Record(opcode, at, after, proven=content == after) if content <= after else None


def is_cut_off(data: Buffer, at: int, end: int) -> bool:
    """Whether what begins at an offset could be a record of which only the beginning lies before the end."""
    if at + FRAME.size > end:
        return True
    opcode, length = FRAME.unpack_from(data, at)
    return bool(0 < opcode <= DATA_END and at + FRAME.size + length > end and length >> 32 == 0)


def _is_chain(data: Buffer, at: int, end: int, known: Callable[[int], bool]) -> bool:
    for _ in range(_CHAIN):
        record = record_at(data, at, end)
        if record is None or record.opcode > DATA_END:
            return False
        if record.opcode == MESSAGE:
            _, _, channel, _, log_time, _ = MESSAGE_HEAD.unpack_from(data, at)
            if not known(channel) or log_time >= _MAX_TIME:
                return False
        at = record.end
        if at == end or (record.opcode == FOOTER and data[at : at + len(MAGIC)] == MAGIC):
            return True
    return True


def _candidates(data: Buffer, at: int, end: int) -> Iterator[int]:
    """Offsets whose bytes could be a known opcode and a length below 4 GiB."""
    step = _FIRST_SEARCH_BYTES
    while at + FRAME.size <= end:
        stop = min(end, at + step + FRAME.size - 1)
        content = np.frombuffer(data[at:stop], np.uint8)
        starts = len(content) - FRAME.size + 1
        fits: NDArray[np.bool_] = (content[:starts] - np.uint8(1)) < DATA_END
        for byte in range(5, FRAME.size):
            fits &= content[byte : byte + starts] == 0
        for offset in np.flatnonzero(fits).tolist():
            yield at + offset
        at += starts
        step = min(2 * step, _MAX_SEARCH_BYTES)


def next_record(data: Buffer, at: int, end: int, known: Callable[[int], bool]) -> int:
    """Search for the next place where several records follow each other; the end where there is none.

    Args:
        data: Bytes.
        at: Where to begin.
        end: Where to stop; a record that ends exactly there needs no further ones.
        known: Whether a channel of that number exists; messages of others are not believed.
    """
    for tried, candidate in enumerate(_candidates(data, at, end)):
        if tried == MAX_FALSE_STARTS:
            return end
        if _is_chain(data, candidate, end, known):
            return candidate
    return end


def _texts(data: Buffer, at: int, end: int, count: int) -> tuple[list[str], int]:
    found = []
    for _ in range(count):
        size = _u32(data, at)
        if size > min(end - at - 4, _MAX_NAME_BYTES):
            raise BrokenRecordError("broken_record", f"a name of {size} bytes at byte {at}")
        found.append(bytes(data[at + 4 : at + 4 + size]).decode("utf-8", "replace"))
        at += 4 + size
    return found, at


def parse_schema(data: Buffer, record: Record) -> SchemaRecord:
    """Parse a schema.

    Raises:
        BrokenRecordError: When its parts do not lie in it.
    """
    at = record.at + FRAME.size
    (name, encoding), body = _texts(data, at + 2, record.end, 2)
    size = _u32(data, body)
    return SchemaRecord(
        int.from_bytes(data[at : at + 2], "little"), name, encoding, bytes(data[body + 4 : body + 4 + size])
    )


def parse_channel(data: Buffer, record: Record) -> ChannelRecord:
    """Parse a channel.

    Raises:
        BrokenRecordError: When its parts do not lie in it.
    """
    at = record.at + FRAME.size
    (topic, encoding), _ = _texts(data, at + 4, record.end, 2)
    number, schema = struct.unpack_from("<HH", data, at)
    return ChannelRecord(number, schema, topic, encoding)


def parse_chunk(data: Buffer, at: int, end: int) -> ChunkHead:
    """Parse what stands before a chunk's packed records; these may go beyond the end.

    Raises:
        BrokenRecordError: When its parts contradict each other.
    """
    body = at + FRAME.size
    if body + _CHUNK_HEAD.size + 4 > end:
        raise BrokenRecordError("broken_chunk", f"chunk at byte {at}: its head is cut off")
    _, length = FRAME.unpack_from(data, at)
    start_ns, end_ns, size, crc = _CHUNK_HEAD.unpack_from(data, body)
    (compression,), data_at = _texts(data, body + _CHUNK_HEAD.size, end, 1)
    data_end = data_at + 8 + _u64(data, data_at)
    if data_at + 8 > end or data_end > body + length:
        raise BrokenRecordError("broken_chunk", f"chunk at byte {at}: its records end beyond it")
    return ChunkHead(start_ns, end_ns, size, crc, compression, data_at + 8, data_end)


def parse_chunk_index(data: Buffer, record: Record) -> ChunkIndex:
    """Parse a chunk index; that its parts lie in it was checked when the record was found."""
    at = record.at + FRAME.size
    start_ns, _, chunk_at, length, size = struct.unpack_from("<QQQQI", data, at)
    at += 36
    channels = frozenset(int.from_bytes(data[entry : entry + 2], "little") for entry in range(at, at + size - 9, 10))
    return ChunkIndex(start_ns, chunk_at, length, channels, _u64(data, at + size))


def parse_statistics(data: Buffer, record: Record) -> Statistics:
    """Parse a file's statistics.

    Raises:
        BrokenRecordError: When they contradict themselves.
    """
    at = record.at + FRAME.size
    messages, _, _, _, _, _, start_ns, end_ns = _STATISTICS_HEAD.unpack_from(data, at)
    at += _STATISTICS_HEAD.size
    size = _u32(data, at)
    counts = dict(struct.iter_unpack("<HQ", data[at + 4 : at + 4 + size - size % 10]))
    if sum(counts.values()) != messages or size % 10 or not start_ns <= end_ns < _MAX_TIME:
        raise BrokenRecordError("missing_index", f"statistics of {messages} messages contradict themselves")
    return Statistics(messages, start_ns, end_ns, counts)


def message_indexes(data: Buffer, at: int, end: int) -> tuple[dict[int, tuple[int, int]], int]:
    """Read the message indexes that follow a chunk.

    Returns:
        By channel the number of messages and the offset of their (log time, offset) pairs, and where the indexes end.
        No channels where there are no indexes, or they contradict themselves.
    """
    found: dict[int, tuple[int, int]] = {}
    sound = True
    while (record := record_at(data, at, end)) is not None and record.opcode == MESSAGE_INDEX:
        channel, size = struct.unpack_from("<HI", data, record.at + FRAME.size)
        sound &= record.proven and size % INDEX_ENTRY_BYTES == 0 and channel not in found
        found[channel] = (size // INDEX_ENTRY_BYTES, record.at + FRAME.size + 6)
        at = record.end
    # An odd record behind them may be an index with a damaged opcode.
    sound &= at == end or (record is not None and (record.proven or record.opcode == MESSAGE))
    return (found if sound else {}), at


def index_times(data: Buffer, count: int, at: int) -> tuple[int, int]:
    """First and last log time of one message index with at least one entry."""
    times = np.frombuffer(data[at : at + count * INDEX_ENTRY_BYTES], "<u8")[::2]
    return int(times.min()), int(times.max())
