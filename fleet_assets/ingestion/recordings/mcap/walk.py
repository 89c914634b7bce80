"""The way through the records of one MCAP file, past damage, counting what could not be used.

Here belongs how messages are found and which bytes are given up. What a record holds is read by ``records.py``;
what messages mean, and which losses a person is told of, is told in ``reader.py`` and ``losses.py``.
"""

import mmap
from collections import Counter
from collections.abc import Callable, Collection, Generator, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from isal import isal_zlib

from fleet_assets.ingestion.recordings.mcap.chunks import unpack_chunk
from fleet_assets.ingestion.recordings.mcap.records import (
    ATTACHMENT_INDEX,
    CHANNEL,
    CHUNK,
    CHUNK_INDEX,
    DATA_END,
    FOOTER,
    FRAME,
    MAGIC,
    MESSAGE,
    MESSAGE_FIELD_BYTES,
    MESSAGE_HEAD,
    METADATA_INDEX,
    SCHEMA,
    STATISTICS,
    SUMMARY_OFFSET,
    BrokenRecordError,
    Buffer,
    ChunkHead,
    Record,
    is_cut_off,
    message_indexes,
    next_record,
    parse_chunk,
    record_at,
)

GATHER_BYTES: Final = 4 << 20
"""Bytes of records gathered before they are handed over."""
_NEIGHBOUR_BYTES: Final = 1 << 17
MAX_DAMAGES: Final = 5_000
"""Damaged stretches after which the rest of a file is given up, so that hostile files end."""

_LARGE_BYTES: Final = 1 << 18
"""A message of this size is handed over at once: memory that is given back early is used again while it is warm."""
COPIED_BYTES: Final = 4096
"""Payloads below this size are copied, larger ones are views of the file or of the unpacked chunk."""

Row = tuple[int, int, bytes | memoryview]
"""Log time, publish time and payload of a message; an empty payload where messages are only counted."""
Rows = dict[int, list[Row] | None]
"""Messages by channel number; None for channels whose messages are not wanted."""
Indexes = Mapping[int, tuple[int, int]]
ODD_RECORD: Final = "odd_record"
"""Rule of records that are skipped although a damaged opcode may hide messages in them."""
_UNKNOWN: Final[list[Row]] = []
_SUMMARY: Final = frozenset(
    {SCHEMA, CHANNEL, CHUNK_INDEX, ATTACHMENT_INDEX, STATISTICS, METADATA_INDEX, SUMMARY_OFFSET, FOOTER}
)


@dataclass(slots=True)
class Stretches:
    """Damaged stretches that break the same rule."""

    number: int
    lost_bytes: int
    first_at: int
    words: str


@dataclass(slots=True)
class Damages:
    """What could not be used.

    Attributes:
        rules: Stretches by the rule they break.
        lost: Messages by channel in stretches whose index survived.
        uncounted: Whether there are stretches whose messages cannot be counted.
        unknown: Messages and bytes by the number of a channel that no record describes.
    """

    rules: dict[str, Stretches] = field(default_factory=dict)
    lost: Counter[int] = field(default_factory=Counter)
    uncounted: bool = False
    unknown: dict[int, tuple[int, int]] = field(default_factory=dict)
    number: int = 0

    def add(self, rule: str, at: int, size: int, words: str, counts: Mapping[int, int] | None = None) -> None:
        """Note a stretch; without counts its messages are not known."""
        known = self.rules.setdefault(rule, Stretches(0, 0, at, words))
        known.number += 1
        known.lost_bytes += size
        self.number += 1
        if counts is None:
            self.uncounted = True
        else:
            self.lost.update(counts)

    @property
    def first(self) -> str:
        """What was met first, in words; empty when there was nothing."""
        words = [stretches.words for stretches in self.rules.values()]
        if self.unknown:
            number, (messages, _) = next(iter(self.unknown.items()))
            words.append(f"no record describes channel {number}, which {messages} messages belong to")
        return words[0] if words else ""

    def add_unknown(self, channel: int, size: int) -> None:
        """Note a message of a channel that no record describes."""
        messages, total = self.unknown.get(channel, (0, 0))
        self.unknown[channel] = (messages + 1, total + size)


def _take(data: Buffer, at: int, end: int, rows: Rows, *, keep: bool) -> tuple[int, int]:
    """Take messages of known channels until something else comes, or enough for a hand-over.

    Returns:
        Offset of what comes next, and of the last message passed, -1 where there was none.
    """
    unpack, get, view = MESSAGE_HEAD.unpack_from, rows.get, memoryview(data)
    last = -1
    last_start = min(end - MESSAGE_HEAD.size, at + GATHER_BYTES)
    while at <= last_start:
        opcode, length, channel, _, log_time, publish_time = unpack(data, at)
        after = at + FRAME.size + length
        if opcode != MESSAGE or length < MESSAGE_FIELD_BYTES or after > end:
            break
        found = get(channel, _UNKNOWN)
        if found is not None:
            if found is _UNKNOWN:
                break
            source = data if length < COPIED_BYTES else view
            found.append((log_time, publish_time, source[at + MESSAGE_HEAD.size : after] if keep else b""))
        last, at = at, after
    return at, last


class Walker:
    """Walks through one file.

    Args:
        content: The file, memory-mapped.
        channels: Numbers of all channels known so far.
        wanted: Those whose messages are gathered; all, found on the way too, when None.
        keep: Whether payloads are gathered with the times.
        passes: Told a chunk, its head and the message indexes behind it: whether it need not be opened.
        define: Given schemas, channels and statistics as they are found.
    """

    def __init__(
        self,
        content: mmap.mmap,
        channels: Collection[int],
        wanted: Collection[int] | None,
        *,
        keep: bool = True,
        passes: Callable[[Record, ChunkHead, Indexes], bool],
        define: Callable[[Buffer, Record], None] | None = None,
    ) -> None:
        self._content = content
        self._rows: Rows = {number: [] if wanted is None or number in wanted else None for number in channels}
        self._keep, self._passes, self._define = keep, passes, define
        self._given: Counter[int] = Counter()
        self._held_bytes = 0
        self._dropped_at = 0
        self._chunked = False
        self._packed = False
        self._loose = False
        self.damages = Damages()
        self._finished_at = 0
        self.trailing_bytes = 0

    @property
    def finished(self) -> bool:
        """Whether the end of the data was met."""
        return self._finished_at > 0

    def learn(self, channel: int) -> None:
        """Gather the messages of one more channel from now on."""
        self._rows.setdefault(channel, [])

    def taken(self, channel: int) -> int:
        """Messages of a wanted channel met so far."""
        return self._given[channel] + len(self._rows.get(channel) or ())

    def drain(self) -> Iterator[tuple[int, list[Row]]]:
        """Hand over the messages gathered since the last time, channel by channel."""
        for channel, rows in self._rows.items():
            if rows:
                self._given[channel] += len(rows)
                self._rows[channel] = []
                yield channel, rows

    def walk(self, at: int, end: int) -> Iterator[None]:
        """Walk from one offset to another; pauses whenever enough messages for a hand-over are there."""
        yield from self._records(self._content, at, end, top=True, report=self._report)
        self._release(end)
        yield

    def _report(self, rule: str, at: int, size: int, words: str) -> None:
        # Behind the end of the data there are no messages to lose; a misplaced end is not believed.
        behind = self._finished_at > 0 and at + size - self._finished_at < self._finished_at
        self.damages.add(rule, at, size, words, {} if behind else None)

    def _release(self, at: int) -> None:
        """Let go of pages already read, so that memory does not grow with the file."""
        # A page touched brings its neighbours along, also those before it that were let go of.
        low = max(0, self._dropped_at - _NEIGHBOUR_BYTES) // mmap.PAGESIZE * mmap.PAGESIZE
        if at - low >= mmap.PAGESIZE:
            self._content.madvise(mmap.MADV_DONTNEED, low, min(at, len(self._content)) - low)
        self._dropped_at = at

    def _records(
        self, data: Buffer, at: int, end: int, *, top: bool, report: Callable[[str, int, int, str], None]
    ) -> Iterator[None]:
        unproven = -1
        while at < end:
            start = at
            at, last = _take(data, at, end, self._rows, keep=self._keep)
            unproven = last if last >= 0 else unproven
            self._loose |= top and last >= 0
            self._held_bytes += GATHER_BYTES if start <= last < at - _LARGE_BYTES else at - start
            if at >= end:
                break
            record = record_at(data, at, end)
            if record is None:
                at = yield from self._after_damage(data, at, end, unproven, top=top, report=report)
                unproven = -1
                continue
            unproven = -1 if record.proven or record.opcode == CHUNK else at
            if self._held_bytes >= GATHER_BYTES:
                self._held_bytes = 0
                yield
            if top and at - self._dropped_at >= GATHER_BYTES:
                self._release(at)
            if record.opcode == MESSAGE and self._knows(data, at):
                unproven = -1
                continue
            at = (yield from self._use(record, end)) if top else self._use_inner(data, record)

    def _knows(self, data: Buffer, at: int) -> bool:
        return MESSAGE_HEAD.unpack_from(data, at)[2] in self._rows

    def _use_inner(self, data: Buffer, record: Record, *, top: bool = False) -> int:
        """Use a record that may stand in chunks; returns where the next one begins."""
        size = record.end - record.at
        if record.opcode == MESSAGE and not (top and self._chunked):
            self.damages.add_unknown(MESSAGE_HEAD.unpack_from(data, record.at)[2], size)
        elif not record.proven:
            words = f"the record at byte {record.at} has opcode {record.opcode} and more fields than is known of it"
            self.damages.add(ODD_RECORD, record.at, size, words)
        if record.opcode in (SCHEMA, CHANNEL, STATISTICS) and self._define is not None:
            self._define(data, record)
        return record.end

    def _use(self, record: Record, end: int) -> Generator[None, None, int]:
        """Use a record of the file itself; returns where the next one begins."""
        if record.opcode == CHUNK:
            self._chunked = True
            return (yield from self._chunk(record, end))
        if record.opcode in (DATA_END, FOOTER):
            following = record_at(self._content, record.end, end)
            if record.opcode == FOOTER or (following is not None and following.opcode in _SUMMARY):
                self._finished_at = self._finished_at or record.at
        if record.opcode == DATA_END and self._loose and self._keep and not self.damages.number:
            self._check_data(record)
        if record.opcode == FOOTER and self._content[record.end : record.end + len(MAGIC)] == MAGIC:
            self.trailing_bytes = end - record.end - len(MAGIC)
            return end
        return self._use_inner(self._content, record, top=True)

    def _check_data(self, record: Record) -> None:
        """Check the data's checksum, the only one that messages outside chunks have."""
        stated = int.from_bytes(self._content[record.at + FRAME.size : record.at + FRAME.size + 4], "little")
        crc = 0
        with memoryview(self._content) as view:
            for at in range(0, record.at if stated else 0, GATHER_BYTES):
                end = min(at + GATHER_BYTES, record.at)
                with view[at:end] as part:
                    crc = isal_zlib.crc32(part, crc)
                self._dropped_at = at
                self._release(end)
        if crc != stated:
            words = "the checksum of all data is wrong, so values of messages outside chunks may be wrong"
            self.damages.add("wrong_checksum", 0, 0, words, {})

    def _chunk(self, record: Record, end: int) -> Generator[None, None, int]:
        indexes, after = message_indexes(self._content, record.end, end)
        try:
            head = parse_chunk(self._content, record.at, record.end)
            self._packed = bool(head.compression)
            if self._passes(record, head, indexes):
                return after
            data, first, last = unpack_chunk(self._content, head, end)
        except BrokenRecordError as error:
            return self._after_broken_chunk(record, indexes, end, error)
        before = {channel: self.taken(channel) for channel in indexes if self._rows.get(channel) is not None}
        broken: list[tuple[str, int, int, str]] = []

        def report(rule: str, at: int, size: int, words: str) -> None:
            broken.append((rule, at, size, words))

        yield from self._records(data, first, last, top=False, report=report)
        lost = {channel: indexes[channel][0] - self.taken(channel) + was for channel, was in before.items()}
        if broken or not record.proven or (not head.crc and any(number > 0 for number in lost.values())):
            words = f"the chunk at byte {record.at} does not hold what it says"
            counts = {channel: max(0, number) for channel, number in lost.items()} if indexes else None
            size = sum(item[2] for item in broken) or record.end - head.data_end
            self.damages.add("broken_record", record.at, size, broken[0][3] if broken else words, counts)
        return after

    def _after_broken_chunk(self, record: Record, indexes: Indexes, end: int, error: BrokenRecordError) -> int:
        words = f"the chunk at byte {record.at} {error}"
        counts = {channel: number for channel, (number, _) in indexes.items()} if indexes else None
        if record.end == end or record_at(self._content, record.end, end) is not None:
            self.damages.add(error.rule, record.at, record.end - record.at, words, counts)
            return record.end
        # Its length is wrong, or bytes inside it are gone: messages that it holds unpacked stand on their own.
        found = self._search(self._content, record.at + 1, end)
        self.damages.add(error.rule, record.at, found - record.at, words)
        return found

    def _search(self, data: Buffer, at: int, end: int) -> int:
        if self.damages.number >= MAX_DAMAGES:
            return end
        # Packed chunks hold bytes that did not pack well as they are: messages among them belong to the chunk.
        packed = self._packed and data is self._content
        return next_record(data, at, end, (lambda _: False) if packed else self._rows.__contains__)

    def _after_damage(
        self, data: Buffer, at: int, end: int, unproven: int, *, top: bool, report: Callable[[str, int, int, str], None]
    ) -> Generator[None, None, int]:
        """Go on behind bytes that are no record; returns where the next one begins."""
        cut = is_cut_off(data, at, end)
        if cut and top and data[at] == CHUNK and (beyond := (yield from self._cut_chunk(at, end))) is not None:
            return beyond
        found = self._search(data, (at if unproven < 0 or cut else unproven) + 1, end)
        if unproven >= 0 and not cut and found - at < FRAME.size:
            # Others lie in what the record before spans, or less than a record behind it: its length is wrong.
            self._untake(data, unproven)
            at = unproven
        if cut and found == end:
            report("truncated_file", at, end - at, f"the record at byte {at} is cut off")
        else:
            report("broken_record", at, found - at, f"no record begins at byte {at}")
        return found

    def _untake(self, data: Buffer, at: int) -> None:
        if data[at] == MESSAGE and (rows := self._rows.get(MESSAGE_HEAD.unpack_from(data, at)[2])):
            rows.pop()

    def _cut_chunk(self, at: int, end: int) -> Generator[None, None, int | None]:
        """Salvage a chunk that goes beyond the end; None where it is no chunk or others follow it nevertheless."""
        try:
            head = parse_chunk(self._content, at, end)
            if head.data_end != at + FRAME.size + FRAME.unpack_from(self._content, at)[1]:
                return None
            self._packed = bool(head.compression)
            if not head.compression:
                self.damages.add("truncated_file", at, head.data_at - at, f"the chunk at byte {at} is cut off")
                return head.data_at
            if self._search(self._content, head.data_at, end) != end:
                return None
            data, first, last = unpack_chunk(self._content, head, end)
        except BrokenRecordError:
            return None
        self.damages.add("truncated_file", at, end - at, f"the chunk at byte {at} is cut off")
        # Where the unpacked records end is no news beside that.
        yield from self._records(data, first, last, top=False, report=lambda *_: None)
        return end
