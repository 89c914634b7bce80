"""Sample tables of ISO base media files: time, place and size of every sample, in chunks of bounded size.

Layout: ISO/IEC 14496-12, clauses 8.6 to 8.8. Tables are run-length coded, so a few damaged bytes can claim billions of
samples: nothing is expanded before it is held against the size of the file.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fleet_assets.ingestion.recordings.video.bmff_boxes import Box, Source, children

ROWS: Final = 1 << 15
"""Samples expanded at a time."""
_MAX_TABLE_BYTES: Final = 1 << 28
_MAX_TICKS: Final = 1 << 62
_TABLES: Final = (b"stsd", b"stts", b"ctts", b"stsc", b"stsz", b"stz2", b"stco", b"co64", b"stss")


@dataclass(frozen=True, slots=True)
class Samples:
    """Consecutive samples of a track in decoding order.

    Attributes:
        dts: int64[n], decoding time in ticks of the track.
        pts: int64[n], presentation time in ticks of the track, before the edit list.
        duration: int64[n], ticks.
        offset: int64[n], first byte in the file.
        size: int64[n], bytes.
        key: bool[n], whether decoding can begin here.
    """

    dts: NDArray[np.int64]
    pts: NDArray[np.int64]
    duration: NDArray[np.int64]
    offset: NDArray[np.int64]
    size: NDArray[np.int64]
    key: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.pts)

    def take(self, rows: Any) -> "Samples":
        """Some of the samples, by mask or order."""
        return Samples(
            self.dts[rows], self.pts[rows], self.duration[rows], self.offset[rows], self.size[rows], self.key[rows]
        )


def joined(parts: Sequence[Samples]) -> Samples:
    """Put stretches of samples behind each other."""
    if len(parts) == 1:
        return parts[0]
    names = ("dts", "pts", "duration", "offset", "size", "key")
    return Samples(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


@dataclass(slots=True)
class Shortfall:
    """What a pass over a track's samples did not give.

    Attributes:
        samples: Samples that the tables state and that are not usable.
        lost_bytes: Their bytes, where they are known.
        words: Why.
        problems: A sentence for every damage that may have cost samples which nobody can count.
    """

    samples: int = 0
    lost_bytes: int = 0
    words: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def add(self, samples: int, lost_bytes: int, words: str) -> None:
        """Count further samples for a reason."""
        if samples > 0:
            self.samples += samples
            self.lost_bytes += lost_bytes
            self.words.append(f"{samples} samples {words}")


@dataclass(frozen=True, slots=True)
class SampleTable:
    """The tables of one track as stored; runs are (count, value) pairs.

    Attributes:
        stated: Samples of the track; what most of the tables say.
        agree: Whether all tables say the same.
        constant_size: Size of every sample, or 0 where `sizes` has one each.
        sizes: Size of each sample.
        durations: int64[m, 2] runs of duration.
        shifts: int64[k, 2] runs of presentation minus decoding time.
        runs: int64[r, 3] first chunk (from 0), samples per chunk, first sample.
        chunks: Offset of each chunk.
        keys: Numbers (from 0) of samples where decoding can begin; None where it can at all of them.
        description: Content of the sample description box.
    """

    stated: int
    agree: bool
    constant_size: int
    sizes: NDArray[Any]
    durations: NDArray[np.int64]
    shifts: NDArray[np.int64]
    runs: NDArray[np.int64]
    chunks: NDArray[Any]
    keys: NDArray[np.int64] | None
    description: bytes

    @property
    def earliest_shift(self) -> int:
        """Smallest presentation minus decoding time, at most 0."""
        return min(0, int(self.shifts[:, 1].min())) if len(self.shifts) else 0


def _table(source: Source, box: Box | None, width: int, kind: str, skip: int = 0) -> NDArray[Any]:
    """Entries of a full box: version and flags, ``skip`` bytes, a count, then ``width`` numbers each."""
    numbers = np.dtype(kind)
    if box is None:
        return np.empty((0, width), numbers)
    head = source.read(box.body, 8 + skip)
    start = box.body + 8 + skip
    entry = width * numbers.itemsize
    held = max(0, min(box.end - start, _MAX_TABLE_BYTES)) // entry
    count = min(int.from_bytes(head[4 + skip : 8 + skip], "big"), held)
    data = source.read(start, count * entry)
    return np.frombuffer(data[: len(data) // entry * entry], numbers).reshape(-1, width)


def _sizes(source: Source, found: Mapping[bytes, Box]) -> tuple[int, int, NDArray[Any]]:
    """Stated number of samples, constant size or 0, and size of each."""
    box = found.get(b"stsz") or found.get(b"stz2")
    if box is None:
        return 0, 0, np.empty(0, ">u4")
    head = source.read(box.body, 12)
    if len(head) < 12:  # noqa: PLR2004 - version and flags, size, count
        return 0, 0, np.empty(0, ">u4")
    constant, count = int.from_bytes(head[4:8], "big"), int.from_bytes(head[8:12], "big")
    if box.kind == b"stsz":
        return count, constant, _table(source, box, 1, ">u4", skip=4)[:, 0] if not constant else np.empty(0, ">u4")
    bits = constant & 0xFF
    if bits == 4:  # noqa: PLR2004 - field_size 4: two samples per byte
        data = np.frombuffer(source.read(box.body + 12, min(box.end - box.body - 12, _MAX_TABLE_BYTES)), np.uint8)
        return count, 0, np.stack([data >> 4, data & 0xF], axis=1).reshape(-1)[:count]
    return count, 0, _table(source, box, 1, ">u2" if bits == 16 else ">u1", skip=4)[:, 0]  # noqa: PLR2004


def _runs(table: NDArray[Any], chunks: int) -> tuple[NDArray[np.int64], int]:
    """Runs of chunks as (first chunk, samples per chunk, first sample), and the samples of all; stops at nonsense."""
    if not len(table) or not chunks:
        return np.empty((0, 3), np.int64), 0
    first, per_chunk = table[:, 0].astype(np.int64) - 1, table[:, 1].astype(np.int64)
    bad = np.flatnonzero((np.diff(first) <= 0) | (first[1:] >= chunks) | (per_chunk[1:] <= 0))
    rows = int(bad[0]) + 1 if len(bad) else len(first)
    if first[0] != 0 or per_chunk[0] <= 0:
        return np.empty((0, 3), np.int64), 0
    first, per_chunk = first[:rows], per_chunk[:rows]
    lengths = np.diff(np.append(first, chunks)) * per_chunk
    ends = np.cumsum(lengths)
    return np.stack([first, per_chunk, ends - lengths], axis=1), int(ends[-1])


def _time_runs(table: NDArray[Any]) -> NDArray[np.int64]:
    """Runs of (count, ticks), cut where the time would leave the range of the numbers."""
    runs = table.astype(np.int64)
    reached = np.cumsum(runs[:, 0].astype(np.float64) * np.abs(runs[:, 1]).astype(np.float64))
    return runs[reached < _MAX_TICKS]


def read_sample_table(source: Source, stbl: Box, problems: list[str]) -> SampleTable:
    """Read the tables of one track as they are stored, run-length coded.

    Args:
        source: The file.
        stbl: Its sample table box.
        problems: Takes a sentence for every damage.
    """
    found: dict[bytes, Box] = {}
    for box in children(source, stbl.body, stbl.end, _TABLES, problems):
        found.setdefault(box.kind, box)
    by_size, constant, sizes = _sizes(source, found)
    if not constant:
        by_size = min(by_size, len(sizes)) if len(sizes) < by_size else by_size
    large = b"co64" in found
    chunks = _table(source, found.get(b"co64") if large else found.get(b"stco"), 1, ">u8" if large else ">u4")[:, 0]
    runs, by_chunk = _runs(_table(source, found.get(b"stsc"), 3, ">u4"), len(chunks))
    durations = _time_runs(_table(source, found.get(b"stts"), 2, ">u4"))
    by_time = int(durations[:, 0].sum())
    stated = sorted((by_size, by_chunk, by_time))[1]
    keys = _table(source, found.get(b"stss"), 1, ">u4")[:, 0].astype(np.int64) - 1 if b"stss" in found else None
    described = found.get(b"stsd") or Box(b"stsd", 0, 0, 0)
    return SampleTable(
        stated=stated,
        agree=by_size == by_chunk == by_time,
        constant_size=constant,
        sizes=sizes,
        durations=durations,
        shifts=_table(source, found.get(b"ctts"), 2, ">i4").astype(np.int64),
        runs=runs,
        chunks=chunks,
        keys=None if keys is None else np.sort(keys),
        description=b""
        if described is None
        else source.read(described.body, min(described.end - described.body, 65536)),
    )


def _by_run(runs: NDArray[np.int64], ends: NDArray[np.int64], rows: NDArray[np.int64]) -> NDArray[np.intp]:
    found: NDArray[np.intp] = np.minimum(np.searchsorted(ends, rows, side="right"), max(len(runs) - 1, 0))
    return found


class _Expansion:
    """Expands the tables chunk by chunk, carrying the running sums over."""

    def __init__(self, table: SampleTable, file_bytes: int) -> None:
        self.table, self.file_bytes = table, file_bytes
        self.time_ends = np.cumsum(table.durations[:, 0])
        self.time_starts = np.cumsum(table.durations[:, 0] * table.durations[:, 1])
        self.time_starts -= table.durations[:, 0] * table.durations[:, 1]
        self.shift_ends = np.cumsum(np.maximum(table.shifts[:, 0], 0))
        self.run_ends = np.append(table.runs[1:, 2], np.iinfo(np.int64).max)
        self.before = self.chunk_before = 0

    def usable(self) -> int:
        """Samples that have a time, a size and a place by the tables."""
        table = self.table
        timed = int(self.time_ends[-1]) if len(self.time_ends) else 0
        sized = min(table.stated, self.file_bytes // table.constant_size) if table.constant_size else len(table.sizes)
        first, per_chunk, start = table.runs[-1].tolist() if len(table.runs) else (0, 0, 0)
        placed = start + (len(table.chunks) - first) * per_chunk
        return max(0, min(table.stated, timed, sized, placed))

    def rows(self, first: int, end: int) -> Samples:
        table = self.table
        rows = np.arange(first, end, dtype=np.int64)
        run = _by_run(table.durations, self.time_ends, rows)
        duration = table.durations[run, 1]
        began = self.time_ends[run] - table.durations[run, 0]
        dts = self.time_starts[run] + (rows - began) * duration
        pts = dts
        if len(table.shifts):
            shift = table.shifts[_by_run(table.shifts, self.shift_ends, rows), 1]
            pts = dts + np.where(rows < self.shift_ends[-1], shift, 0)
        if table.constant_size:
            size = np.full(len(rows), table.constant_size, np.int64)
        else:
            size = table.sizes[first:end].astype(np.int64)
        key = np.ones(len(rows), np.bool_)
        if table.keys is not None:
            at = np.searchsorted(table.keys, rows)
            key = (at < len(table.keys)) & (table.keys[np.minimum(at, len(table.keys) - 1)] == rows)
        return Samples(dts, pts, duration, self._offsets(rows, size), size, key)

    def _offsets(self, rows: NDArray[np.int64], size: NDArray[np.int64]) -> NDArray[np.int64]:
        table, first = self.table, int(rows[0])
        run = _by_run(table.runs, self.run_ends, rows)
        per_chunk, start = table.runs[run, 1], table.runs[run, 2]
        number = (rows - start) // per_chunk
        chunk_first = start + number * per_chunk
        sums = self.before + np.concatenate([[0], np.cumsum(size)])
        inside = chunk_first >= first
        before_chunk = np.where(inside, sums[np.maximum(chunk_first - first, 0)], self.chunk_before)
        # Offsets beyond int64 can only be damage; they lie outside every file.
        place = np.minimum(table.chunks[table.runs[run, 0] + number].astype(np.uint64), _MAX_TICKS).astype(np.int64)
        self.before, self.chunk_before = int(sums[-1]), int(before_chunk[-1])
        offsets: NDArray[np.int64] = place + sums[:-1] - before_chunk
        return offsets


def table_samples(table: SampleTable, file_bytes: int, missing: Shortfall) -> Iterator[Samples]:
    """Expand a track's tables, front to back.

    Args:
        table: The tables.
        file_bytes: Size of the file.
        missing: Takes the samples that the file does not hold.

    Yields:
        At most `ROWS` samples at a time, all inside the file.
    """
    expansion = _Expansion(table, file_bytes)
    usable = expansion.usable()
    missing.add(table.stated - usable, 0, "have no time, size or place in the index")
    for first in range(0, usable, ROWS):
        end = min(first + ROWS, usable)
        samples = expansion.rows(first, end)
        inside = samples.offset + samples.size <= file_bytes
        if not inside.all():
            lost = int(np.minimum(samples.size[~inside], file_bytes).sum())
            missing.add(int((~inside).sum()), lost, "lie beyond the end of the file")
            samples = samples.take(inside)
        yield samples
        if expansion.before > file_bytes and end < usable:
            missing.add(usable - end, 0, "lie beyond the end of the file")
            return
