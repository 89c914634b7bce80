"""The order in which an MCAP file is read: that of time, also where its chunks lie in another one.

A recorder with several threads, or a tool that joins files topic by topic, writes chunks that go back in time. Here
belongs how such files are read chunk by chunk nevertheless; most files are in order and are read from front to back.
"""

import mmap
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from operator import itemgetter
from typing import Final

from fleet_assets.ingestion.recordings.mcap.layout import Layout
from fleet_assets.ingestion.recordings.mcap.records import CHUNK, MAGIC, parse_chunk_index, record_at
from fleet_assets.ingestion.recordings.mcap.walk import Row

MAX_HELD_ROWS: Final = 1 << 17
MAX_HELD_BYTES: Final = 64 << 20
"""Messages held back at most; chunks that overlap further than that are given in the order of their beginnings."""
_CHUNKS_LOOKED_AT: Final = 64
_LOG_TIME: Final = itemgetter(0)


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of a file; ``until_ns`` is where those read later begin, None in a file that is in order."""

    at: int
    end: int
    until_ns: int | None = None


def _chunk_starts(content: mmap.mmap, layout: Layout) -> list[tuple[int, int]]:
    """Offset and first log time of each chunk in the order of the file; none where an index does not fit its chunk."""
    starts: list[tuple[int, int]] = []
    for at, index_at in layout.chunk_indexes.items():
        if len(starts) % _CHUNKS_LOOKED_AT == 0:
            # Looking at a chunk maps the pages around its head; all of them would be much of the file.
            content.madvise(mmap.MADV_DONTNEED)
        record = record_at(content, index_at, len(content))
        chunk = record_at(content, at, layout.data_end)
        if record is None or chunk is None or chunk.opcode != CHUNK:
            return []
        index = parse_chunk_index(content, record)
        if index.length != chunk.end - at:
            return []
        starts.append((at, index.start_ns))
    return sorted(starts)


def spans(content: mmap.mmap, layout: Layout) -> list[Span]:
    """Stretches of a file in the order to read them in; one where its chunks are in the order of time."""
    starts = _chunk_starts(content, layout)
    times = [start_ns for _, start_ns in starts]
    if times == sorted(times):
        return [Span(len(MAGIC), layout.data_end)]
    edges = [at for at, _ in starts] + [layout.data_end]
    order = sorted(range(len(times)), key=times.__getitem__)
    untils = [times[number] for number in order[1:]] + [layout.extent_ns[1] + 1 if layout.extent_ns else 0]
    # What lies before the first chunk describes the channels.
    found = [Span(len(MAGIC), edges[0], times[order[0]])]
    for number, until_ns in zip(order, untils, strict=True):
        found.append(Span(edges[number], edges[number + 1], until_ns))
    return found


class Held:
    """Messages that wait for earlier ones from chunks still to come."""

    def __init__(self) -> None:
        self._rows: dict[int, list[Row]] = defaultdict(list)
        self._count = 0
        self._bytes = 0

    def pass_on(
        self, drained: Iterable[tuple[int, list[Row]]], until_ns: int | None
    ) -> Iterator[tuple[int, list[Row]]]:
        """Take messages in and give out those before a time, channel by channel in the order of time.

        Args:
            drained: Messages by channel number.
            until_ns: Where messages still to come begin; None to pass all on as they are.
        """
        if until_ns is None:
            yield from drained
            return
        for number, rows in drained:
            self._count += len(rows)
            self._bytes += sum(len(row[2]) for row in rows)
            self._rows[number] = sorted(self._rows[number] + rows, key=_LOG_TIME)
        if self._count > MAX_HELD_ROWS or self._bytes > MAX_HELD_BYTES:
            yield from self.rest()
            return
        for number, rows in self._rows.items():
            end = bisect_left(rows, until_ns, key=_LOG_TIME)
            if end:
                ready, self._rows[number] = rows[:end], rows[end:]
                self._count -= end
                self._bytes -= sum(len(row[2]) for row in ready)
                yield number, ready

    def rest(self) -> Iterator[tuple[int, list[Row]]]:
        """Give out what still waits."""
        yield from ((number, rows) for number, rows in self._rows.items() if rows)
        self._rows.clear()
        self._count = self._bytes = 0
