"""Cutting streams into time windows and weaving them together: what bounds every reader's memory.

Here belongs the order in which batches leave a reader. Where the messages come from is the formats' business.
"""

import heapq
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fleet_assets.ingestion.recordings.protocol import WINDOW_NS, Batch

MAX_BATCH_ROWS: Final = 1 << 18
"""Rows held back at most, so that a clock that stands still cannot gather a whole recording in one window."""
_LAG: Final = 1
"""Windows held back behind the newest: how far streams of one source may lie behind each other in the file."""

Columns = Mapping[str, NDArray[Any]]
Stream = tuple[str, int]
"""A channel and the number of one of the sequences that feed it; each sequence is in time order of its own."""
Chunk = tuple[Stream, NDArray[np.int64], Columns]
"""Consecutive messages of one stream: stream, time stamps, one array per field."""
Window = tuple[int, Stream, NDArray[np.int64], Columns]
"""A chunk with the number of the window that all of it lies in."""
_Rows = tuple[NDArray[np.int64], Columns]


def _pieces(t_ns: NDArray[np.int64], origin_ns: int, highest_ns: int) -> Iterator[tuple[int, int, int]]:
    """Yield (window, first row, end row) of a chunk; messages older than their predecessor stay in its window."""
    forward = t_ns if t_ns[0] >= highest_ns and (t_ns[1:] >= t_ns[:-1]).all() else None
    if forward is None:
        forward = np.maximum(np.maximum.accumulate(t_ns), highest_ns)
    first, count = 0, len(forward)
    while first < count:
        window = (int(forward[first]) - origin_ns) // WINDOW_NS
        end = int(np.searchsorted(forward, origin_ns + (window + 1) * WINDOW_NS, side="left"))
        yield window, first, end
        first = end


def stacked(arrays: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """Put arrays behind each other; rows of unequal width (payloads) are filled up with zeros."""
    widths = {array.shape[1:] for array in arrays}
    if len(widths) > 1 and all(len(width) == 1 for width in widths):
        widest = max(widths)[0]
        return np.concatenate([np.pad(array, ((0, 0), (0, widest - array.shape[1]))) for array in arrays])
    return np.concatenate(arrays)


def _joined(parts: Sequence[_Rows]) -> _Rows:
    if len(parts) == 1:
        return parts[0]
    columns = {}
    # Files of one drive may differ in their fields; what only some have cannot be one column.
    for name in [name for name in parts[0][1] if all(name in part[1] for part in parts)]:
        columns[name] = stacked([part[1][name] for part in parts])
    return np.concatenate([part[0] for part in parts]), columns


class _Pending:
    """Rows of windows that are not complete yet."""

    def __init__(self) -> None:
        self.windows: dict[int, dict[Stream, list[_Rows]]] = {}
        self.rows = 0
        self._numbers: list[int] = []
        self._newest = self._floor = 0

    def add(self, index: int, stream: Stream, rows: _Rows) -> None:
        number = max(index, self._floor)
        if number not in self.windows:
            self.windows[number] = {}
            heapq.heappush(self._numbers, number)
            self._newest = max(self._newest, number)
        self.windows[number].setdefault(stream, []).append(rows)
        self.rows += len(rows[0])

    def lags(self) -> bool:
        """Whether the oldest window is so far behind the newest that nothing more will come for it."""
        return bool(self._numbers) and self._numbers[0] < self._newest - _LAG

    def leave(self) -> Iterator[Window]:
        """Let the oldest window out."""
        index = self._floor = heapq.heappop(self._numbers)
        for stream, parts in sorted(self.windows.pop(index).items()):
            self.rows -= sum(len(part[0]) for part in parts)
            yield index, stream, *_joined(parts)


def cut(steps: Iterable[Sequence[Chunk]], origin_ns: int) -> Iterator[Window]:
    """Cut one source into windows of ``WINDOW_NS`` counted from an origin, keeping each stream's recorded order.

    Args:
        steps: The source, front to back: what one stretch of it holds, stream by stream. Between steps, streams may lag
            behind each other by a window.
        origin_ns: Start of window 0, at most the first time stamp.

    Yields:
        Windows; numbers never fall. A stream comes in a window several times only when more than ``MAX_BATCH_ROWS``
        rows lie in it, or when it lags behind the source's others.
    """
    pending = _Pending()
    highest: dict[Stream, int] = {}
    for step in steps:
        for stream, t_ns, columns in step:
            if not len(t_ns):
                continue
            for index, first, end in _pieces(t_ns, origin_ns, highest.get(stream, origin_ns)):
                pending.add(index, stream, (t_ns[first:end], {name: rows[first:end] for name, rows in columns.items()}))
            highest[stream] = max(highest.get(stream, origin_ns), int(t_ns.max()))
        while pending.rows > MAX_BATCH_ROWS or pending.lags():
            yield from pending.leave()
    while pending.windows:
        yield from pending.leave()


def _woven(parts: Sequence[_Rows]) -> _Rows:
    """Join pieces of several streams of one channel by time; each stream's own order is kept, backward steps too."""
    if len(parts) == 1:
        return parts[0]
    t_ns, columns = _joined(parts)
    forward = np.concatenate([np.maximum.accumulate(part[0]) for part in parts])
    order = np.argsort(forward, kind="stable")
    return t_ns[order], {name: array[order] for name, array in columns.items()}


def weave(sources: Iterable[Iterator[Window]]) -> Iterator[Batch]:
    """Interleave cut sources window by window, channels by name inside a window; a channel's streams become one batch.

    Args:
        sources: Windows of each source; all cut from the same origin.
    """

    def numbered(number: int, windows: Iterator[Window]) -> Iterator[tuple[int, str, Stream, int, _Rows]]:
        return ((index, stream[0], stream, number, (t_ns, columns)) for index, stream, t_ns, columns in windows)

    streams = [numbered(number, windows) for number, windows in enumerate(sources)]
    merged = heapq.merge(*streams, key=lambda item: (*item[:2], item[3]))
    for (_, channel), items in groupby(merged, key=lambda item: item[:2]):
        parts: dict[tuple[Stream, int], list[_Rows]] = {}
        held = 0
        for _, _, stream, number, rows in items:
            if held and held + len(rows[0]) > MAX_BATCH_ROWS:
                yield Batch(channel, *_woven([_joined(pieces) for pieces in parts.values()]))
                parts, held = {}, 0
            parts.setdefault((stream, number), []).append(rows)
            held += len(rows[0])
        yield Batch(channel, *_woven([_joined(pieces) for pieces in parts.values()]))
