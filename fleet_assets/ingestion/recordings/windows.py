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
"""Rows of one batch at most, so that a clock that stands still cannot gather a whole recording in one window."""

Columns = Mapping[str, NDArray[Any]]
Chunk = tuple[NDArray[np.int64], Columns]
"""Consecutive messages of one stream: time stamps and one array per field."""
_Window = tuple[int, NDArray[np.int64], Columns]


def _pieces(chunk: Chunk, origin_ns: int, highest_ns: int) -> Iterator[tuple[int, int, int]]:
    """Yield (window, first row, end row) of a chunk; messages older than their predecessor stay in its window."""
    t_ns, _ = chunk
    forward = np.maximum(np.maximum.accumulate(t_ns), highest_ns)
    index = (forward - origin_ns) // WINDOW_NS
    cuts = np.flatnonzero(np.diff(index)) + 1
    for first, end in zip((0, *cuts.tolist()), (*cuts.tolist(), len(t_ns)), strict=True):
        for start in range(first, end, MAX_BATCH_ROWS):
            yield int(index[first]), start, min(end, start + MAX_BATCH_ROWS)


def _joined(parts: Sequence[Chunk]) -> Chunk:
    if len(parts) == 1:
        return parts[0]
    columns = {}
    for name in parts[0][1]:
        arrays = [part[1][name] for part in parts]
        if arrays[0].ndim > 1:
            widest = max(array.shape[1] for array in arrays)
            arrays = [np.pad(array, ((0, 0), (0, widest - array.shape[1]))) for array in arrays]
        columns[name] = np.concatenate(arrays)
    return np.concatenate([part[0] for part in parts]), columns


def cut(chunks: Iterable[Chunk], origin_ns: int) -> Iterator[_Window]:
    """Cut one stream into windows of ``WINDOW_NS`` counted from an origin, keeping the recorded order.

    Args:
        chunks: The stream, front to back; a chunk may hold many windows or a part of one.
        origin_ns: Start of window 0, at most the first time stamp.

    Yields:
        Window number, time stamps, columns. Numbers never fall; a window comes in several pieces only when it holds
        more than ``MAX_BATCH_ROWS`` rows.
    """
    pending: list[Chunk] = []
    current, rows, highest = 0, 0, origin_ns
    for chunk in chunks:
        t_ns, columns = chunk
        if not len(t_ns):
            continue
        for index, first, end in _pieces(chunk, origin_ns, highest):
            if pending and (index != current or rows + end - first > MAX_BATCH_ROWS):
                yield current, *_joined(pending)
                pending, rows = [], 0
            current = index
            pending.append((t_ns[first:end], {name: array[first:end] for name, array in columns.items()}))
            rows += end - first
        highest = max(highest, int(t_ns.max()))
    if pending:
        yield current, *_joined(pending)


def _woven(parts: Sequence[Chunk]) -> Chunk:
    """Join pieces of several sources of one channel by time; each source's own order is kept, backward steps too."""
    if len(parts) == 1:
        return parts[0]
    t_ns, columns = _joined(parts)
    forward = np.concatenate([np.maximum.accumulate(part[0]) for part in parts])
    order = np.argsort(forward, kind="stable")
    return t_ns[order], {name: array[order] for name, array in columns.items()}


def weave(sources: Sequence[tuple[str, Iterator[_Window]]]) -> Iterator[Batch]:
    """Interleave cut streams window by window; sources of the same channel become one batch.

    Args:
        sources: (channel, windows) pairs; all cut from the same origin. Inside a window, channels come in this order.
    """
    ranks = {channel: rank for rank, channel in enumerate(dict.fromkeys(channel for channel, _ in sources))}

    def keyed(channel: str, number: int, windows: Iterator[_Window]) -> Iterator[tuple[int, int, int, _Window]]:
        return ((window[0], ranks[channel], number, window) for window in windows)

    names = list(ranks)
    streams = [keyed(channel, number, windows) for number, (channel, windows) in enumerate(sources)]
    merged = heapq.merge(*streams, key=lambda item: item[:3])
    for (_, rank), items in groupby(merged, key=lambda item: item[:2]):
        parts: dict[int, list[Chunk]] = {}
        for _, _, number, window in items:
            parts.setdefault(number, []).append(window[1:])
        if len(parts) == 1:
            for t_ns, columns in next(iter(parts.values())):
                yield Batch(names[rank], t_ns, columns)
        else:
            t_ns, columns = _woven([_joined(pieces) for pieces in parts.values()])
            yield Batch(names[rank], t_ns, columns)
