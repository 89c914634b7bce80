"""Records of ROS 1 bags (format 2.0): headers, finding the next whole record after damage, and messages in bulk.

Layout: http://wiki.ros.org/Bags/Format/2.0. A record is ``<u32 header length><header><u32 data length><data>``, and
a header is a row of ``<u32 length><name>=<value>``. Here belongs what can be told from a stretch of bytes; where
records lie in a file belongs to ``ros1_layout.py``. The rosbags library reads whole chunks of stated size and stops at
the first damage, so it serves as the oracle of the tests instead.
"""

import re
import struct
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from fleet_assets.ingestion.recordings.protocol import NS_PER_S

MESSAGE: Final = 2
BAG_HEADER: Final = 3
INDEX_DATA: Final = 4
CHUNK: Final = 5
CHUNK_INFO: Final = 6
CONNECTION: Final = 7
MAX_HEADER_BYTES: Final = 1 << 16
_KNOWN_OPS: Final = range(MESSAGE, CONNECTION + 1)
_U32: Final = struct.Struct("<I")
_OP: Final = re.compile(rb"op=[\x02-\x07]")
_VIEW_BYTES: Final = 1 << 18
"""Messages of this size stay where they are until they are decoded."""
_LEAD_BYTES: Final = 160
"""How far before its ``op`` field a header may begin; only those of connections with long topics are longer."""
MAX_RECORD_BYTES: Final = 1 << 28
"""Longest plausible message, so that a damaged length cannot ask for all memory."""
MAX_FALSE_STARTS: Final = 2_000
"""Bytes that look like a record and are none, before the search for the next one is given up."""


class BrokenRecordError(Exception):
    """Bytes that are no record; the message says why."""


@dataclass(frozen=True, slots=True)
class Record:
    """One record.

    Attributes:
        op: Kind of record.
        fields: Header fields.
        data_at: Offset of its data.
        end: Offset after its data.
    """

    op: int
    fields: Mapping[bytes, bytes]
    data_at: int
    end: int

    def number(self, name: bytes) -> int:
        """An unsigned header field.

        Raises:
            BrokenRecordError: When it is missing or of a wrong size.
        """
        value = self.fields.get(name, b"")
        if len(value) not in (1, 4, 8):
            raise BrokenRecordError(f"field {name.decode()} holds {len(value)} bytes, expected an integer")
        return int.from_bytes(value, "little")

    def time_ns(self, name: bytes) -> int:
        """A header field of seconds and nanoseconds.

        Raises:
            BrokenRecordError: When it is missing or of a wrong size.
        """
        value = self.number(name)
        return (value & 0xFFFFFFFF) * NS_PER_S + (value >> 32)


def parse_fields(data: bytes, at: int, end: int) -> dict[bytes, bytes]:
    """Parse the fields of one header.

    Raises:
        BrokenRecordError: When they do not fill it exactly.
    """
    fields = {}
    while at < end:
        if at + 4 > end:
            raise BrokenRecordError("a header field is cut off")
        (size,) = _U32.unpack_from(data, at)
        if size > end - at - 4:
            raise BrokenRecordError(f"a header field of {size} bytes where {end - at - 4} are left")
        name, equals, value = data[at + 4 : at + 4 + size].partition(b"=")
        if not equals:
            raise BrokenRecordError("a header field without '='")
        fields[name] = value
        at += 4 + size
    return fields


def parse_record(data: bytes, at: int) -> Record | None:
    """Parse the header of the record at an offset; its data need not be there.

    Returns:
        The record, or None when the bytes end before its data length.

    Raises:
        BrokenRecordError: When no record is there.
    """
    if at + 4 > len(data):
        return None
    (size,) = _U32.unpack_from(data, at)
    if size > MAX_HEADER_BYTES:
        raise BrokenRecordError(f"a record header of {size} bytes, at most {MAX_HEADER_BYTES} are plausible")
    if at + 8 + size > len(data):
        return None
    fields = parse_fields(data, at + 4, at + 4 + size)
    op = fields.get(b"op", b"")
    if len(op) != 1 or op[0] not in _KNOWN_OPS:
        raise BrokenRecordError(f"record kind {op.hex() or 'missing'}, known are 2 to 7")
    data_at = at + 8 + size
    return Record(op[0], fields, data_at, data_at + _U32.unpack_from(data, data_at - 4)[0])


def next_record(data: bytes, at: int) -> Iterator[tuple[int, Record]]:
    """Find the places after an offset at which a whole record header lies, front to back."""
    false_starts = 0
    for match in _OP.finditer(data, at):
        op_at = match.start()
        for start in range(op_at - 8, max(at, op_at - _LEAD_BYTES) - 1, -1):
            (size,) = _U32.unpack_from(data, start)
            if not op_at <= start + 4 + size <= op_at + MAX_HEADER_BYTES:
                continue
            try:
                record = parse_record(data, start)
            except BrokenRecordError:
                continue
            if record is not None and record.data_at > op_at:
                yield start, record
                break
        else:
            false_starts += 1
            if false_starts > MAX_FALSE_STARTS:
                return


@dataclass(frozen=True, slots=True)
class _Shape:
    """Where the fields lie in message headers of one writer, so that a header is compared instead of parsed.

    Attributes:
        layout: Constant bytes, connection and time as this writer orders them, and the data length.
        constants: Place and value of the constant bytes in ``layout``.
        conn: Place of the connection in ``layout``.
        sec: Place of the seconds; nanoseconds follow.
    """

    layout: struct.Struct
    constants: tuple[tuple[int, bytes], ...]
    conn: int
    sec: int


def _shape_of(data: bytes, at: int, record: Record) -> _Shape | None:
    """The shape of a parsed message record, or None where its header holds more than the three fields."""
    if list(map(len, (record.fields.get(b"conn", b""), record.fields.get(b"time", b"")))) != [4, 8]:
        return None
    conn_at = data.index(b"conn=", at) + 5
    time_at = data.index(b"time=", at) + 5
    (first, first_size), (second, second_size) = sorted(((conn_at, 4), (time_at, 8)))
    pieces = (data[at:first], data[first + first_size : second], data[second + second_size : record.data_at - 4])
    values = ("I", "II") if conn_at < time_at else ("II", "I")
    layout = struct.Struct(f"<{len(pieces[0])}s{values[0]}{len(pieces[1])}s{values[1]}{len(pieces[2])}sI")
    middle = 1 + len(values[0])
    constants = ((0, pieces[0]), (middle, pieces[1]), (5, pieces[2]))
    shape = _Shape(layout, constants, *((1, 3) if conn_at < time_at else (4, 1)))
    parts = layout.unpack_from(data, at)
    stated = parts[shape.sec] * NS_PER_S + parts[shape.sec + 1]
    return shape if (parts[shape.conn], stated) == (record.number(b"conn"), record.time_ns(b"time")) else None


@dataclass(slots=True)
class Sink:
    """Messages of one connection, waiting to be decoded."""

    times: list[int] = field(default_factory=list)
    payloads: list[bytes | memoryview] = field(default_factory=list)


def _part(data: bytes, start: int, end: int) -> bytes | memoryview:
    """A message out of a stretch; a large one is not copied."""
    return data[start:end] if end - start < _VIEW_BYTES else memoryview(data)[start:end]


@dataclass(slots=True)
class Found:
    """What a scan of message records came upon.

    Attributes:
        sinks: Connection → where its messages go; messages of others are counted only.
        counts: Messages by connection.
        connections: Connection records by id: header of their data, unparsed.
        lost_bytes: Bytes that are no record.
        problem: What was found at the first of them.
        held_bytes: Bytes in the sinks.
    """

    sinks: Mapping[int, Sink]
    counts: Counter[int] = field(default_factory=Counter)
    connections: dict[int, tuple[bytes, bytes]] = field(default_factory=dict)
    lost_bytes: int = 0
    problem: str = ""
    held_bytes: int = 0
    shape: _Shape | None = None

    def add(self, record: Record, data: bytes) -> None:
        """Take one parsed message or connection.

        Raises:
            BrokenRecordError: When it is something else.
        """
        conn = record.number(b"conn")
        if record.op == CONNECTION:
            topic = record.fields.get(b"topic", b"")
            self.connections.setdefault(conn, (topic, data[record.data_at : record.end]))
            return
        if record.op != MESSAGE:
            raise BrokenRecordError(f"record kind {record.op} among messages")
        t_ns = record.time_ns(b"time")
        self.counts[conn] += 1
        sink = self.sinks.get(conn)
        if sink is not None:
            sink.times.append(t_ns)
            sink.payloads.append(_part(data, record.data_at, record.end))
            self.held_bytes += record.end - record.data_at

    def scan(self, data: bytes, at: int, left: int) -> int:
        """Take all whole records of a stretch of bytes, past damage too.

        Args:
            data: The bytes.
            at: Where to begin.
            left: Bytes of the same chunk that follow ``data``.

        Returns:
            Offset of the record that the bytes end within, or their end.
        """
        while at < len(data):
            at = self._take_alike(data, at)
            if at == len(data):
                break
            try:
                record = self._whole(data, at, left)
                if record is None:
                    return at
                self.add(record, data)
                if record.op == MESSAGE:
                    self.shape = _shape_of(data, at, record)
                at = record.end
            except BrokenRecordError as error:
                at = self._skip(data, at, left, str(error))
        return at

    @staticmethod
    def _whole(data: bytes, at: int, left: int) -> Record | None:
        """The record at an offset, or None when it goes on behind the bytes."""
        record = parse_record(data, at)
        if record is not None and record.end - at > min(len(data) - at + left, MAX_RECORD_BYTES):
            raise BrokenRecordError(f"a record of {record.end - at} bytes, the chunk ends before")
        if record is not None and record.end <= len(data):
            return record
        if not left:
            raise BrokenRecordError("the chunk ends within a record")
        return None

    def _take_alike(self, data: bytes, at: int) -> int:
        """Take messages for as long as their headers have the shape of the one before."""
        if self.shape is None:
            return at
        unpack, header_bytes = self.shape.layout.unpack_from, self.shape.layout.size
        (_, first), (middle, second), (_, third) = self.shape.constants
        conn_place, sec_place = self.shape.conn, self.shape.sec
        sinks, size, counts = self.sinks, len(data), self.counts
        while at + header_bytes <= size:
            parts = unpack(data, at)
            start = at + header_bytes
            end = start + parts[6]
            if end > size or parts[0] != first or parts[middle] != second or parts[5] != third:
                break
            at, conn = end, parts[conn_place]
            counts[conn] += 1
            sink = sinks.get(conn)
            if sink is not None:
                sink.times.append(parts[sec_place] * NS_PER_S + parts[sec_place + 1])
                sink.payloads.append(_part(data, start, end))
                self.held_bytes += end - start
        return at

    def _skip(self, data: bytes, at: int, left: int, problem: str) -> int:
        self.problem = self.problem or problem
        for start, record in next_record(data, at + 1):
            if record.op in (MESSAGE, CONNECTION) and record.end <= len(data) + left:
                self.lost_bytes += start - at
                return start
        # A header may begin at the end of the bytes and go on in those that follow.
        resumed = max(at + 1, len(data) - _LEAD_BYTES) if left else len(data)
        self.lost_bytes += resumed - at
        return resumed
