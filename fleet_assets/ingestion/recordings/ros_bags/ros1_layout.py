"""Where things lie in a ROS 1 bag: its connections and chunks by the index at its end, and the way between records.

Here belongs the structure of a file, intact or not. Messages inside a chunk are scanned by ``ros1_records.py``;
channels and losses are ``ros1_bag.py``'s business.
"""

import os
import struct
from bisect import bisect_right
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Final

from fleet_assets.ingestion.recordings.protocol import UnreadableRecordingError
from fleet_assets.ingestion.recordings.ros_bags.ros1_records import (
    BAG_HEADER,
    CHUNK,
    CHUNK_INFO,
    CONNECTION,
    INDEX_DATA,
    MAX_HEADER_BYTES,
    MAX_RECORD_BYTES,
    MESSAGE,
    BrokenRecordError,
    Record,
    next_record,
    parse_fields,
    parse_record,
)

MAGIC: Final = b"#ROSBAG V2.0\n"
MAX_CHUNK_BYTES: Final = 1 << 28
"""Largest decompressed chunk; recorders close one after a megabyte or one message."""
UPLOAD_AGAIN: Final = "Upload the file again; if the source is damaged too, what could be read is used."
NO_EXTENT: Final = (0, -1)
_HEAD_BYTES: Final = 1024
_PIECE_BYTES: Final = 1 << 16
_SEARCH_BYTES: Final = 1 << 20
_INDEX_ROW_BYTES: Final = 12
_LEAST_MESSAGE_BYTES: Final = 8
_ANY_OP: Final = (MESSAGE, INDEX_DATA, CHUNK, CHUNK_INFO, CONNECTION)
_AFTER_CHUNK: Final = (INDEX_DATA, CHUNK, CHUNK_INFO)
_PAIR: Final = struct.Struct("<II")


def is_ros1_bag(head: bytes) -> bool:
    """Whether a file begins as a ROS 1 bag of format 2.0 does."""
    return head.startswith(MAGIC)


@dataclass(frozen=True, slots=True)
class Connection:
    """One connection record.

    Attributes:
        id: Its number in the file.
        topic: Topic that the messages were recorded under.
        type: Message type.
        definition: Message definition with those of the types that it uses.
    """

    id: int
    topic: str
    type: str
    definition: bytes


@dataclass(frozen=True, slots=True)
class ChunkInfo:
    """What the index says of one chunk: first and last time stamp, ns, and messages by connection."""

    start_ns: int
    end_ns: int
    counts: Mapping[int, int]


@dataclass(frozen=True, slots=True)
class Place:
    """A record in the file.

    Attributes:
        at: Offset of the record.
        record: Its header; offsets in it are relative to ``at``.
        data_bytes: Bytes of its data that the file holds.
        skipped_bytes: Bytes before it that are no record.
        problem: What was found at the first of these.
    """

    at: int
    record: Record
    data_bytes: int
    skipped_bytes: int = 0
    problem: str = ""

    @property
    def data_at(self) -> int:
        """Offset of its data in the file."""
        return self.at + self.record.data_at

    @property
    def stated_bytes(self) -> int:
        """Bytes of its data by its own statement."""
        return self.record.end - self.record.data_at


@dataclass(slots=True)
class BagFile:
    """One opened bag.

    Attributes:
        name: Relative name inside the drive.
        size: Bytes of the file.
        connections: Connection by number.
        infos: What the index says, by offset of the chunk.
        starts: Offsets of these chunks, sorted.
        first_at: Offset of the record after the bag header.
        index_at: Offset of the index; the file's end where there is none.
        index_problem: Why there is no index; empty where there is one.
        stated_chunks: Chunks by the bag header; 0 in a bag that was never closed.
        beyond_bytes: Bytes of chunks that the bag header places beyond the file's end.
        extent_ns: First and last time stamp; `NO_EXTENT` where there are no messages.
        counts: Messages by connection.
    """

    name: str
    size: int
    stream: BinaryIO
    connections: dict[int, Connection] = field(default_factory=dict)
    infos: dict[int, ChunkInfo] = field(default_factory=dict)
    starts: list[int] = field(default_factory=list)
    first_at: int = len(MAGIC)
    index_at: int = 0
    index_problem: str = ""
    stated_chunks: int = 0
    beyond_bytes: int = 0
    extent_ns: tuple[int, int] = NO_EXTENT
    counts: Counter[int] = field(default_factory=Counter)

    def read(self, at: int, size: int) -> bytes:
        """Bytes at an offset; fewer at the file's end."""
        return os.pread(self.stream.fileno(), max(0, min(size, self.size - at)), at)

    def parse(self, at: int) -> Record | None:
        """Parse the record header at an offset of the file; None where the file ends within it.

        Raises:
            BrokenRecordError: When no record is there.
        """
        record = parse_record(self.read(at, _HEAD_BYTES), 0)
        return record or parse_record(self.read(at, MAX_HEADER_BYTES + 8), 0)

    def walk(self) -> Iterator[Place]:
        """Go from record to record, past damage, from behind the bag header to the index."""
        at, skipped, problem = self.first_at, 0, ""
        while at < self.index_at:
            place = self._place(at, skipped, problem)
            if isinstance(place, str):
                problem = problem or f"{place} at byte {at}"
                found = self._search(at + 1)
                skipped += found - at
                at = found
                continue
            yield place
            at, skipped, problem = place.data_at + place.data_bytes, 0, ""
        if skipped:
            yield Place(self.index_at, Record(0, {}, 0, 0), 0, skipped, problem)

    def _place(self, at: int, skipped: int, problem: str) -> Place | str:
        try:
            record = self.parse(at)
        except BrokenRecordError as error:
            return str(error)
        if record is None:
            return "the file ends within a record header"
        end = at + record.end
        if record.op != CHUNK and record.end > min(self.index_at - at, MAX_RECORD_BYTES):
            return f"a record of {record.end} bytes where {self.index_at - at} are left"
        limit = self.next_chunk(at)
        if end > limit:
            # Either the file is cut off or the chunk's length is wrong; then what follows a chunk tells its end.
            end = min(limit, self._search(at + record.data_at, _AFTER_CHUNK))
        return Place(at, record, end - at - record.data_at, skipped, problem)

    def next_chunk(self, at: int) -> int:
        """Offset of the next chunk by the index, or where the records end."""
        place = bisect_right(self.starts, at)
        return self.starts[place] if place < len(self.starts) else self.index_at

    def _search(self, at: int, ops: Collection[int] = _ANY_OP) -> int:
        """Offset of the next record of some kinds that fits into the file, or where the records end."""
        while at < self.index_at:
            window = self.read(at, min(_SEARCH_BYTES + MAX_HEADER_BYTES, self.index_at - at))
            for start, record in next_record(window, 0):
                if start < _SEARCH_BYTES and record.op in ops and at + record.end <= self.index_at:
                    return at + start
            at += _SEARCH_BYTES
        return self.index_at

    def close(self) -> None:
        """Close the file."""
        self.stream.close()


def connection_of(number: int, topic: bytes, data: bytes) -> Connection:
    """Parse a connection record.

    Raises:
        BrokenRecordError: When it names no topic or no type.
    """
    fields = parse_fields(data, 0, len(data))
    name, kind = topic or fields.get(b"topic", b""), fields.get(b"type", b"")
    if not name or not kind:
        raise BrokenRecordError(f"connection {number} names no {'topic' if kind else 'message type'}")
    definition = fields.get(b"message_definition", b"")
    return Connection(number, name.decode("utf-8", "replace"), kind.decode("utf-8", "replace"), definition)


def index_counts(place: Place) -> tuple[int, int]:
    """Connection and number of messages of an index record.

    Raises:
        BrokenRecordError: When count and size contradict each other.
    """
    count = place.record.number(b"count")
    if count * _INDEX_ROW_BYTES != place.stated_bytes:
        raise BrokenRecordError(f"an index record of {count} messages in {place.stated_bytes} bytes")
    return place.record.number(b"conn"), count


def chunk_info(record: Record, data: bytes) -> tuple[int, ChunkInfo]:
    """Parse a chunk info record: offset of the chunk, and what is said of it.

    Raises:
        BrokenRecordError: When count and size contradict each other.
    """
    pairs = record.number(b"count")
    if pairs * _PAIR.size != len(data):
        raise BrokenRecordError(f"a chunk info of {pairs} connections in {len(data)} bytes")
    counts: Counter[int] = Counter()
    for conn, count in _PAIR.iter_unpack(data):
        if count > MAX_CHUNK_BYTES // _LEAST_MESSAGE_BYTES:
            raise BrokenRecordError(f"a chunk info that counts {count} messages")
        counts[conn] += count
    info = ChunkInfo(record.time_ns(b"start_time"), record.time_ns(b"end_time"), counts)
    return record.number(b"chunk_pos"), info


def _read_index(bag: BagFile, header: Record, index_at: int) -> None:
    """Read the connections and chunk infos behind the chunks.

    Raises:
        BrokenRecordError: When the index is not there, not whole, or not what the bag header states.
    """
    if not bag.first_at <= index_at <= bag.size:
        raise BrokenRecordError("the bag was not closed" if index_at == 0 else f"index at byte {index_at}")
    at = index_at
    while at < bag.size:
        record = bag.parse(at)
        if record is None or record.end > min(bag.size - at, MAX_RECORD_BYTES):
            raise BrokenRecordError("the file ends within the index")
        data = bag.read(at + record.data_at, record.end - record.data_at)
        if record.op == CONNECTION:
            number = record.number(b"conn")
            bag.connections[number] = connection_of(number, record.fields.get(b"topic", b""), data)
        elif record.op == CHUNK_INFO:
            place, info = chunk_info(record, data)
            bag.infos[place] = info
        else:
            raise BrokenRecordError(f"record kind {record.op} in the index")
        at += record.end
    wanted = (header.number(b"conn_count"), header.number(b"chunk_count"))
    if (len(bag.connections), len(bag.infos)) != wanted:
        found = f"{len(bag.connections)} connections and {len(bag.infos)} chunks"
        raise BrokenRecordError(f"{found} in the index, {wanted[0]} and {wanted[1]} in the bag header")
    _check_infos(bag, index_at)
    bag.index_at = index_at


def _check_infos(bag: BagFile, index_at: int) -> None:
    for at, info in bag.infos.items():
        if not bag.first_at <= at < index_at or info.start_ns > info.end_ns:
            raise BrokenRecordError(f"the index places a chunk at byte {at}, {info.start_ns} to {info.end_ns} ns")
        bag.counts.update(info.counts)
    bag.starts = sorted(bag.infos)
    used = [info for info in bag.infos.values() if info.counts]
    if used:
        bag.extent_ns = (min(info.start_ns for info in used), max(info.end_ns for info in used))


def open_bag(path: Path, name: str) -> BagFile:
    """Open a bag and read its index; where it has none, ``index_problem`` says why and nothing else is known yet.

    Raises:
        UnreadableRecordingError: When it is no bag of format 2.0, or encrypted.
    """
    with path.open("rb") as probe:
        head = probe.read(len(MAGIC))
    if not is_ros1_bag(head):
        raise UnreadableRecordingError(name, "wrong_format", value=repr(head), limit=repr(MAGIC), remedy=UPLOAD_AGAIN)
    bag = BagFile(name, path.stat().st_size, path.open("rb"))
    try:
        header = _bag_header(bag)
        bag.first_at = min(len(MAGIC) + header.end, bag.size)
        bag.stated_chunks = header.number(b"chunk_count")
        bag.beyond_bytes = max(0, header.number(b"index_pos") - bag.size)
        _read_index(bag, header, header.number(b"index_pos"))
    except BrokenRecordError as error:
        bag.index_problem = str(error)
        bag.index_at = bag.size
        bag.connections, bag.infos, bag.counts, bag.extent_ns = {}, {}, Counter(), NO_EXTENT
    except UnreadableRecordingError:
        bag.close()
        raise
    return bag


def _bag_header(bag: BagFile) -> Record:
    header = bag.parse(len(MAGIC))
    if header is None or header.op != BAG_HEADER:
        raise BrokenRecordError("no bag header behind the first line")
    if encryptor := header.fields.get(b"encryptor"):
        raise UnreadableRecordingError(
            bag.name,
            "encrypted",
            value=encryptor.decode("utf-8", "replace"),
            limit="an open bag",
            remedy="Decrypt it first: rosbag decrypt.",
        )
    return header


@dataclass(slots=True)
class Unpacked:
    """A chunk's data, why it is not all of it, and how much of the file that costs."""

    data: bytes
    problem: str = ""
    lost_bytes: int = 0


def _decompressor(compression: bytes) -> tuple[Any, tuple[type[Exception], ...]] | None:
    if compression == b"bz2":
        import bz2

        return bz2.BZ2Decompressor(), (OSError, EOFError)
    if compression == b"lz4":
        from lz4.frame import LZ4FrameDecompressor

        return LZ4FrameDecompressor(), (RuntimeError, EOFError)
    return None


def unpack(bag: BagFile, place: Place, most_bytes: int) -> Unpacked:
    """Decompress a chunk, as far as it goes.

    Bytes are taken in pieces and the output is bounded, so that neither a damaged nor a hostile chunk can ask for more
    than `MAX_CHUNK_BYTES`.

    Args:
        bag: The file.
        place: The chunk.
        most_bytes: Further bound of the output.
    """
    compression = place.record.fields.get(b"compression", b"")
    chosen = _decompressor(compression)
    if chosen is None:
        return Unpacked(b"", f"compression {compression!r}, known are none, bz2 and lz4", place.data_bytes)
    most_bytes = min(most_bytes, MAX_CHUNK_BYTES)
    decompressor, errors = chosen
    parts: list[bytes] = []
    held, problem, at, end = 0, "", place.data_at, place.data_at + place.data_bytes
    try:
        while at < end and held < most_bytes and not decompressor.eof:
            piece = bag.read(at, min(_PIECE_BYTES, end - at)) if decompressor.needs_input else b""
            at += len(piece)
            parts.append(decompressor.decompress(piece, most_bytes - held))
            held += len(parts[-1])
        while held < most_bytes and not decompressor.eof and not decompressor.needs_input and parts[-1]:
            parts.append(decompressor.decompress(b"", most_bytes - held))
            held += len(parts[-1])
    except errors as error:
        problem = f"{compression.decode()}: {error}"
    if not problem and not decompressor.eof:
        problem = f"decompressed to {held} bytes without an end, at most {most_bytes} are read"
    # A block that gives nothing is lost whole, however much of it was taken in.
    lost_bytes = max(1, end - (at if held else place.data_at)) if problem else 0
    return Unpacked(b"".join(parts), problem, lost_bytes)


def is_plain(place: Place) -> bool:
    """Whether a chunk is not compressed, so that its messages lie in the file as they are."""
    return place.record.fields.get(b"compression", b"") in (b"none", b"")
