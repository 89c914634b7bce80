"""What an MCAP file says about itself before its messages are read: channels, counts, times, where the chunks lie.

Here belongs the choice between the summary at the file's end and a scan of all of it. The specification lets writers
leave the summary out, and a recorder that lost power never wrote it. Records are read by ``records.py``.
"""

import mmap
import zlib
from array import array
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Final

from fleet_assets.ingestion.recordings.mcap.records import (
    CHANNEL,
    CHUNK,
    CHUNK_INDEX,
    FOOTER,
    FRAME,
    MAGIC,
    SCHEMA,
    STATISTICS,
    BrokenRecordError,
    Buffer,
    ChannelRecord,
    ChunkHead,
    Record,
    SchemaRecord,
    Statistics,
    index_times,
    parse_channel,
    parse_chunk_index,
    parse_schema,
    parse_statistics,
    record_at,
)
from fleet_assets.ingestion.recordings.mcap.walk import Indexes, Walker

FOOTER_BYTES: Final = FRAME.size + 20
MAX_CHUNK_INDEXES: Final = 1 << 20
"""Chunk indexes used at most; files of more chunks are read in the order of the file and without skipping any."""
MAX_TIME: Final = 1 << 63
NO_SCHEMA: Final = SchemaRecord(0, "", "", b"")


@dataclass(slots=True)
class Layout:
    """What is known of a file before its messages are read.

    Attributes:
        channels: By number; the first record of a number counts, as others must be the same.
        schemas: By number.
        counts: Messages by channel, as the statistics say, else as counted.
        stated: Whether the statistics say it, so that what is not found was lost.
        extent_ns: First and last log time; None when there are no messages.
        data_end: Where the messages end: at the summary, else at the end of the file.
        chunk_indexes: Offset of the chunk index by that of its chunk; empty without an intact summary.
        problem: Why the file had to be scanned; empty when its summary was enough.
        damage: What the scan met first that it could not use; empty when there was no such thing.
    """

    channels: dict[int, ChannelRecord] = field(default_factory=dict)
    schemas: dict[int, SchemaRecord] = field(default_factory=dict)
    counts: dict[int, int] = field(default_factory=dict)
    stated: bool = False
    extent_ns: tuple[int, int] | None = None
    data_end: int = 0
    chunk_indexes: dict[int, int] = field(default_factory=dict)
    problem: str = ""
    damage: str = ""

    def schema_of(self, channel: int) -> SchemaRecord:
        """Schema of a channel; an empty one where it has none."""
        return self.schemas.get(self.channels[channel].schema_id, NO_SCHEMA)

    def define(self, data: Buffer, record: Record) -> None:
        """Take over a schema or a channel.

        Raises:
            BrokenRecordError: When its parts do not lie in it.
        """
        if record.opcode == SCHEMA:
            schema = parse_schema(data, record)
            self.schemas.setdefault(schema.id, schema)
        elif record.opcode == CHANNEL:
            channel = parse_channel(data, record)
            self.channels.setdefault(channel.id, channel)

    def use(self, statistics: Statistics) -> None:
        """Take over what the statistics say.

        Raises:
            BrokenRecordError: When they count messages of channels that no record describes.
        """
        for number, messages in statistics.counts.items():
            if messages and number not in self.channels:
                raise BrokenRecordError("missing_index", f"the summary does not describe channel {number}")
        self.counts = {number: statistics.counts.get(number, 0) for number in self.channels}
        self.stated = True


def _summary_start(content: mmap.mmap) -> tuple[int, int]:
    """Where the summary begins and where the footer does.

    Raises:
        BrokenRecordError: When there is no summary, or its checksum is not that of its bytes.
    """
    at = len(content) - len(MAGIC) - FOOTER_BYTES
    footer = record_at(content, at, len(content) - len(MAGIC)) if at >= len(MAGIC) else None
    if footer is None or footer.opcode != FOOTER or content[footer.end :] != MAGIC:
        raise BrokenRecordError("missing_index", "the file does not end with a footer")
    start = int.from_bytes(content[at + 9 : at + 17], "little")
    crc = int.from_bytes(content[at + 25 : at + 29], "little")
    if not len(MAGIC) <= start < at:
        raise BrokenRecordError("missing_index", "the file has no summary")
    with memoryview(content) as view, view[start : at + 25] as covered:
        if crc and zlib.crc32(covered) != crc:
            raise BrokenRecordError("missing_index", "the summary's checksum is not that of its bytes")
    return start, at


def _read_summary(content: mmap.mmap) -> Layout:
    start, end = _summary_start(content)
    layout = Layout(data_end=start)
    statistics: Statistics | None = None
    at = start
    while at < end:
        record = record_at(content, at, end)
        if record is None:
            raise BrokenRecordError("missing_index", f"no record begins at byte {at} of the summary")
        if record.opcode == CHUNK_INDEX and len(layout.chunk_indexes) < MAX_CHUNK_INDEXES:
            layout.chunk_indexes[parse_chunk_index(content, record).at] = at
        elif record.opcode == STATISTICS:
            statistics = parse_statistics(content, record)
        else:
            layout.define(content, record)
        at = record.end
    if statistics is None:
        raise BrokenRecordError("missing_index", "the summary has no statistics")
    if not statistics.messages:
        raise BrokenRecordError("missing_index", "the summary knows of no messages")
    for channel in layout.channels.values():
        if channel.schema_id and channel.schema_id not in layout.schemas:
            raise BrokenRecordError("missing_index", f"the summary lacks schema {channel.schema_id}")
    layout.use(statistics)
    layout.extent_ns = (statistics.start_ns, statistics.end_ns)
    if len(layout.chunk_indexes) == MAX_CHUNK_INDEXES:
        layout.chunk_indexes.clear()
    return layout


class _Scan:
    """One walk through a file that counts instead of keeping.

    Args:
        content: The file.
        by_index: Whether chunks are counted by the message indexes behind them where these look sound.
    """

    def __init__(self, content: mmap.mmap, *, by_index: bool) -> None:
        self.layout = Layout(data_end=len(content))
        self.counts: Counter[int] = Counter()
        self.skipped = False
        self._content, self._by_index = content, by_index
        self._statistics: Statistics | None = None
        self._first_ns, self._last_ns = MAX_TIME, -1
        self.walker = Walker(content, (), None, keep=False, passes=self._count_by_index, define=self._define)

    def run(self) -> Layout:
        """Walk, and take over what was found."""
        for _ in self.walker.walk(len(MAGIC), len(self._content)):
            for number, rows in self.walker.drain():
                times = array("Q", [row[0] for row in rows])
                self._add(number, len(rows), min(times), max(times))
        layout = self.layout
        layout.damage = self.walker.damages.first
        layout.counts = {number: self.counts[number] for number in layout.channels}
        if self._last_ns >= 0:
            layout.extent_ns = (self._first_ns, self._last_ns)
        if self._statistics is not None and self._statistics.messages:
            try:
                layout.use(self._statistics)
            except BrokenRecordError:
                layout.stated = False
        return layout

    def _add(self, number: int, messages: int, first_ns: int, last_ns: int) -> None:
        self.counts[number] += messages
        if last_ns < MAX_TIME:
            self._first_ns, self._last_ns = min(self._first_ns, first_ns), max(self._last_ns, last_ns)

    def _count_by_index(self, record: Record, head: ChunkHead, indexes: Indexes) -> bool:
        if not self._by_index or not indexes or not indexes.keys() <= self.layout.channels.keys():
            return False
        times = {number: index_times(self._content, count, at) for number, (count, at) in indexes.items() if count}
        if not all(head.start_ns <= first <= last <= head.end_ns < MAX_TIME for first, last in times.values()):
            return False
        for number, (first, last) in times.items():
            self._add(number, indexes[number][0], first, last)
        self.skipped = True
        return record.opcode == CHUNK

    def _define(self, data: Buffer, record: Record) -> None:
        try:
            if record.opcode == STATISTICS:
                self._statistics = parse_statistics(data, record)
            else:
                self.layout.define(data, record)
        except BrokenRecordError as error:
            self.walker.damages.add(error.rule, record.at, record.end - record.at, str(error))
        for number in self.layout.channels:
            self.walker.learn(number)


def read_layout(content: mmap.mmap) -> Layout:
    """Read a file's summary, or scan the file where that is missing or damaged."""
    try:
        return _read_summary(content)
    except BrokenRecordError as error:
        problem = str(error)
    scan = _Scan(content, by_index=True)
    layout = scan.run()
    if scan.skipped and scan.walker.damages.unknown:
        # A chunk that was not opened may describe channels whose messages come later.
        layout = _Scan(content, by_index=False).run()
    layout.problem = problem
    return layout


def holds_none(content: mmap.mmap, layout: Layout, wanted: Collection[int], record: Record, indexes: Indexes) -> bool:
    """Whether the indexes prove that a chunk holds no message of the wanted channels.

    Both must agree: the summary's index of the chunk, which names the channels, and the message indexes behind the
    chunk, which writers also leave for channels without a message in it.

    Args:
        content: The file.
        layout: Its layout.
        wanted: Numbers of the wanted channels.
        record: The chunk.
        indexes: The message indexes behind it.
    """
    index_at = layout.chunk_indexes.get(record.at)
    found = record_at(content, index_at, len(content)) if index_at is not None and indexes else None
    if found is None:
        return False
    index = parse_chunk_index(content, found)
    index_bytes = sum(FRAME.size + 6 + 16 * count for count, _ in indexes.values())
    if index.length != record.end - record.at or index.channels != indexes.keys() or index.index_bytes != index_bytes:
        return False
    return not any(number in indexes and indexes[number][0] for number in wanted)


def schema_less(layout: Layout) -> Mapping[int, ChannelRecord]:
    """Channels without a schema that hold messages: what these look like shows in the first one only."""
    return {
        number: channel
        for number, channel in layout.channels.items()
        if not layout.schema_of(number).data and layout.counts.get(number)
    }


def first_payloads(content: mmap.mmap, layout: Layout, wanted: Collection[int]) -> dict[int, bytes]:
    """First message of each wanted channel that has one; reads no further than needed."""
    found: dict[int, bytes] = {}

    def passes(record: Record, _head: ChunkHead, indexes: Indexes) -> bool:
        return holds_none(content, layout, set(wanted) - found.keys(), record, indexes)

    walker = Walker(content, layout.channels, wanted, passes=passes)
    for _ in walker.walk(len(MAGIC), layout.data_end):
        for number, rows in walker.drain():
            found.setdefault(number, bytes(rows[0][2]))
        if found.keys() >= set(wanted):
            return found
    return found
