"""One pass over a ROS 1 bag: the messages chunk by chunk, and an account of what should be there and is not.

Here belongs the counting. A chunk's messages are counted twice in an intact bag, by the index records behind the chunk
and by the chunk infos at the end, so that what is missing is known exactly as long as one of them can be read.
"""

from bisect import bisect_right
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from fleet_assets.ingestion.recordings.ros_bags.ros1_layout import (
    MAX_CHUNK_BYTES,
    NO_EXTENT,
    BagFile,
    Connection,
    Place,
    chunk_info,
    connection_of,
    index_counts,
    is_plain,
    unpack,
)
from fleet_assets.ingestion.recordings.ros_bags.ros1_records import (
    CHUNK,
    CHUNK_INFO,
    CONNECTION,
    INDEX_DATA,
    MESSAGE,
    BrokenRecordError,
    Found,
    Sink,
    parse_record,
)

_FLUSH_BYTES: Final = 8 << 20
_WINDOW_BYTES: Final = 8 << 20
_FLUSH_MESSAGES: Final = 1 << 14
_UNPACKED_BYTES: Final = 1 << 29
_LARGEST_RATIO: Final = 256
"""A file may grow by this factor when decompressed, and by half a gigabyte beyond; more is an attack."""


@dataclass(slots=True)
class _Group:
    """A chunk with what belongs to it: messages read, stated, and read of connections that nothing describes."""

    at: int
    read: Counter[int] = field(default_factory=Counter)
    stated: Counter[int] = field(default_factory=Counter)
    orphans: Counter[int] = field(default_factory=Counter)
    is_chunk: bool = False
    indexed: bool = False
    damaged: bool = False
    left_out: bool = False


@dataclass(slots=True)
class Account:
    """What one pass over a file missed.

    Attributes:
        lost: Messages by connection.
        orphans: Messages of connections that nothing describes.
        uncounted: Chunks of whose messages nobody knows the number.
        lost_bytes: Bytes that could not be used.
        problems: What was found, the first few places.
    """

    lost: Counter[int] = field(default_factory=Counter)
    orphans: int = 0
    uncounted: int = 0
    lost_bytes: int = 0
    problems: list[str] = field(default_factory=list)

    def tell(self, problem: str) -> None:
        """Keep the words for one piece of damage, unless there are many already."""
        if len(self.problems) < 3:  # noqa: PLR2004 - a reader of the report needs examples, not all
            self.problems.append(problem)


Step = Mapping[int, Sink]
"""Messages by connection, in recorded order."""


class Pass:
    """One pass over a bag.

    Args:
        bag: The opened bag.
        wanted: Connections to read; all when None. Others are counted at most.
    """

    def __init__(self, bag: BagFile, wanted: Collection[int] | None) -> None:
        self.bag, self.wanted = bag, wanted
        self.account = Account()
        self.connections: dict[int, Connection] = dict(bag.connections)
        self.counts: Counter[int] = Counter()
        self._sinks: dict[int, Sink] = self._fresh()
        self._found = Found(self._sinks)
        self._group: _Group | None = None
        self._seen: set[int] = set()
        self._budget = _UNPACKED_BYTES
        self._chunks = self._gaps = self._infos = 0
        self._cut_off = False
        self._stated: Counter[int] = Counter()

    def _fresh(self) -> dict[int, Sink]:
        known = self.connections if self.wanted is None else self.connections.keys() & set(self.wanted)
        return {number: Sink() for number in sorted(known)}

    def steps(self) -> Iterator[Step]:
        """Yield the messages; ``account`` is complete once this is exhausted."""
        for place in self.bag.walk():
            self._switch(place)
            if place.record.op == CHUNK and self._group is not None:
                yield from self._chunk(place, self._group)
            elif place.record.op in (MESSAGE, CONNECTION):
                self._stray(place)
            elif place.record.op == INDEX_DATA:
                self._index(place)
            elif place.record.op == CHUNK_INFO:
                self._info(place)
            if self._is_full():
                yield self._flush()
        self._close_group()
        for at in self.bag.infos.keys() - self._seen:
            self._group = _Group(at, damaged=True)
            self._close_group()
        if not self.bag.infos:
            self._count_by_header()
        yield self._flush()

    def _count_by_header(self) -> None:
        """Without an index at its place, the chunk infos that were found tell, if they are all, else the bag header."""
        stated = self.bag.stated_chunks
        if not stated:
            self.account.uncounted += self._gaps
            return
        if self._infos == stated:
            missing = {conn: count - self.counts[conn] for conn, count in self._stated.items()}
            self.account.lost = Counter({conn: count for conn, count in missing.items() if count > 0})
            self.account.uncounted = self.account.orphans = 0
            return
        absent = max(0, stated - self._chunks)
        if absent or self._cut_off:
            # A damaged header may state any place: no chunk is larger than a reader takes.
            self.account.lost_bytes += min(self.bag.beyond_bytes, (absent + self._cut_off) * MAX_CHUNK_BYTES)
        if absent:
            self.account.uncounted += absent
            self.account.tell(f"{absent} of {stated} chunks are not there")

    def _switch(self, place: Place) -> None:
        """Begin the next group where the file, or its index, says that a chunk begins."""
        op = place.record.op
        if place.skipped_bytes:
            self._note_damage(place)
        self._chunks += op == CHUNK
        if op == CHUNK and (self._group is None or self._group.at != place.at):
            self._open_group(place.at, is_chunk=True)
        elif op == CHUNK_INFO:
            self._close_group()
        elif op == MESSAGE and self._group is None:
            self._open_group(place.at)

    def _note_damage(self, place: Place) -> None:
        self.account.lost_bytes += place.skipped_bytes
        self.account.tell(place.problem)
        if self.bag.starts:
            # After damage, only the index knows in which chunk this is.
            before = bisect_right(self.bag.starts, place.at) - 1
            start = self.bag.starts[max(before, 0)]
            if place.record.op != CHUNK and start not in self._seen:
                self._open_group(start)
        elif self._group is None or self._group.indexed:
            self._open_group(place.at - place.skipped_bytes)
        if self._group is not None:
            self._group.damaged = True

    def _open_group(self, at: int, *, is_chunk: bool = False) -> None:
        self._close_group()
        self._group = _Group(at, is_chunk=is_chunk)
        self._seen.add(at)

    def _close_group(self) -> None:
        group, self._group = self._group, None
        if group is None or group.left_out:
            return
        info = self.bag.infos.get(group.at)
        by_info = info.counts if info is not None else {}
        missed = False
        for conn in group.stated.keys() | by_info.keys():
            claims = [claim[conn] for claim in (group.stated, by_info) if conn in claim]
            missing = claims[0] - group.read[conn]
            if missing > 0 and group.read[conn] not in claims:
                self.account.lost[conn] += missing
                missed = True
        claimed = group.stated.keys() | by_info.keys()
        self.account.orphans += sum(count for conn, count in group.orphans.items() if conn not in claimed)
        if group.damaged and info is None and not group.indexed:
            self.account.uncounted += group.is_chunk
            self._gaps += not group.is_chunk
        elif missed and not group.damaged:
            self.account.tell(f"fewer messages than the index counts in the chunk at byte {group.at}")

    def _chunk(self, place: Place, group: _Group) -> Iterator[Step]:
        info = self.bag.infos.get(place.at)
        whole = place.data_bytes == place.stated_bytes
        if self.wanted is not None and info is not None and whole and not info.counts.keys() & set(self.wanted):
            group.left_out = True
            return
        if not whole:
            group.damaged = True
            cut = f"the chunk at byte {place.at} has {place.data_bytes} of {place.stated_bytes} bytes"
            self.account.tell(cut)
            self._cut_off = place.data_at + place.data_bytes >= self.bag.size
        if is_plain(place):
            yield from self._plain(place)
        else:
            unpacked = unpack(self.bag, place, max(0, self._budget))
            self._budget += place.data_bytes * _LARGEST_RATIO - len(unpacked.data)
            if unpacked.problem:
                group.damaged = True
                self.account.tell(f"chunk at byte {place.at}: {unpacked.problem}")
                self.account.lost_bytes += unpacked.lost_bytes
            self._scan(unpacked.data, 0)
        self._settle(group, place.at)

    def _plain(self, place: Place) -> Iterator[Step]:
        at, end, window = place.data_at, place.data_at + place.data_bytes, _WINDOW_BYTES
        while at < end:
            data = self.bag.read(at, min(window, end - at))
            if not data:
                return
            taken = self._scan(data, end - at - len(data))
            if not taken:
                window *= 2
                continue
            at, window = at + taken, _WINDOW_BYTES
            if self._is_full():
                yield self._flush()

    def _scan(self, data: bytes, left: int) -> int:
        taken = self._found.scan(data, 0, left)
        self._adopt()
        return taken

    def _adopt(self) -> None:
        """Take in the connections that a chunk described."""
        described = dict(self._found.connections)
        self._found.connections.clear()
        for number, (topic, body) in described.items():
            if number in self.connections:
                continue
            try:
                self.connections[number] = connection_of(number, topic, body)
            except BrokenRecordError as error:
                self.account.tell(str(error))

    def _stray(self, place: Place) -> None:
        """Take a message or connection that lies outside of any chunk whose beginning could be read."""
        data = self.bag.read(place.at, place.record.end)
        try:
            record = parse_record(data, 0)
            if record is not None:
                self._found.add(record, data)
                self._adopt()
        except BrokenRecordError as error:
            self.account.tell(f"{error} at byte {place.at}")
        if self._group is not None:
            self._settle(self._group, place.at)
        else:
            self._found.counts.clear()

    def _index(self, place: Place) -> None:
        if self._group is None:
            return
        try:
            conn, count = index_counts(place)
        except BrokenRecordError as error:
            self._group.damaged = True
            self.account.tell(f"{error} at byte {place.at}")
            return
        self._group.stated[conn] = count
        self._group.indexed = True

    def _info(self, place: Place) -> None:
        """Count what a chunk info states that was found without the index that it belongs to."""
        try:
            _, info = chunk_info(place.record, self.bag.read(place.data_at, place.stated_bytes))
        except BrokenRecordError as error:
            self.account.tell(f"{error} at byte {place.at}")
            return
        self._infos += 1
        self._stated.update(info.counts)

    def _settle(self, group: _Group, at: int) -> None:
        """Credit a group with what was found since the last call."""
        for conn, count in self._found.counts.items():
            if conn in self.connections:
                group.read[conn] += count
                self.counts[conn] += count
            else:
                group.orphans[conn] += count
        self._found.counts.clear()
        if self._found.problem:
            group.damaged = True
            self.account.lost_bytes += self._found.lost_bytes
            self.account.tell(f"{self._found.problem} in the chunk at byte {at}")
            self._found.lost_bytes, self._found.problem = 0, ""

    def _is_full(self) -> bool:
        held = sum(len(sink.times) for sink in self._sinks.values())
        return self._found.held_bytes > _FLUSH_BYTES or held > _FLUSH_MESSAGES

    def _flush(self) -> Step:
        full, self._sinks = self._sinks, self._fresh()
        self._found.sinks, self._found.held_bytes = self._sinks, 0
        return {number: sink for number, sink in full.items() if sink.times}


class _EverySink(dict[int, Sink]):
    """Sinks for whatever connection comes."""

    def get(self, number: int, default: Sink | None = None) -> Sink:  # type: ignore[override]
        return self.setdefault(number, default or Sink())


class _Survey(Pass):
    """A pass over a bag whose connections are not known yet."""

    def _fresh(self) -> dict[int, Sink]:
        return _EverySink()


def survey(bag: BagFile) -> None:
    """Learn the connections, message counts and extent of a bag without an index by reading all of it."""
    first, last = [], []
    reading = _Survey(bag, None)
    for step in reading.steps():
        for number, sink in step.items():
            if number in reading.connections:
                first.append(min(sink.times))
                last.append(max(sink.times))
    bag.connections, bag.counts = reading.connections, reading.counts
    bag.extent_ns = (min(first), max(last)) if first else NO_EXTENT
