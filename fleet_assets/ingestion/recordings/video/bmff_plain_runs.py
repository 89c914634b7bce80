"""Movie fragments in which every box is as the standard wants it: read from memory in one go, many fragments at once.

Layout: ISO/IEC 14496-12, clause 8.8. Recorders write a fragment per second or even per frame, so what each one costs
decides what reading costs. Here belongs only what cannot be misunderstood: anything else about a fragment, damage or
mere rarity, is left to `bmff_fragments.py`, which states what is wrong with it.
"""

import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fleet_assets.ingestion.recordings.video.bmff_boxes import Box, Source
from fleet_assets.ingestion.recordings.video.bmff_samples import Samples

MAX_TICKS: Final = 1 << 62
TRACK_BOXES: Final = frozenset(
    b"tfhd tfdt trun sbgp sgpd subs saiz saio senc uuid free meta".split(),
)
"""Boxes that a track's fragment may hold."""
BASE, DESCRIPTION, DURATION, SIZE, FLAGS = 0x1, 0x2, 0x8, 0x10, 0x20
HEADER_FIELDS: Final = ((BASE, 8), (DESCRIPTION, 4), (DURATION, 4), (SIZE, 4), (FLAGS, 4))
"""What a track fragment's header may state, with the width of each."""
BASE_IS_MOOF: Final = 0x20000
RUN_OFFSET, RUN_FIRST_FLAGS = 0x1, 0x4
RUN_COLUMNS: Final = (RUN_DURATION := 0x100, RUN_SIZE := 0x200, RUN_FLAGS := 0x400, RUN_SHIFT := 0x800)
"""What a run may state of each sample, in this order."""
NOT_KEY: Final = 0x10000
_HEAD: Final = struct.Struct(">I4s")
_HEAD_BYTES: Final = 8
_MAX_BYTES: Final = 1 << 16
_MOST_SAMPLES: Final = 1 << 14
_SHAPES: Final = 4
"""Fragments that begin with a key frame are written otherwise than those between, and the two take turns."""
_FULL_BOX: Final = 4
_RUN_HEAD: Final = 8


@dataclass(frozen=True, slots=True)
class Defaults:
    """What a fragment's samples are unless it says otherwise: duration, size, flags."""

    duration: int = 0
    size: int = 0
    flags: int = 0


@dataclass(slots=True)
class Run:
    """Samples that follow each other in the file: where and when the first one is, and their numbers one by one."""

    time: int
    offset: int
    durations: Sequence[int]
    sizes: Sequence[int]
    flags: Sequence[int]
    shifts: Sequence[int]

    @property
    def end_time(self) -> int:
        """When the sample behind the last one would begin."""
        return self.time + sum(self.durations)

    @property
    def end(self) -> int:
        """Byte behind the last sample."""
        return self.offset + sum(self.sizes)


class _NotPlainError(Exception):
    """A fragment that has to be looked at closely."""


def _require(plain: bool) -> None:
    if not plain:
        raise _NotPlainError


def _boxes(raw: bytes, at: int, end: int) -> list[tuple[bytes, int, int]]:
    """Kind, first byte of the content, and end of the boxes that fill a stretch exactly."""
    found = []
    while at < end:
        size, kind = _HEAD.unpack_from(raw, at) if at + _HEAD_BYTES <= end else (0, b"")
        if not _HEAD_BYTES <= size <= end - at:
            raise _NotPlainError
        found.append((kind, at + _HEAD_BYTES, at + size))
        at += size
    return found


def read_header(data: bytes, defaults: Defaults, moof: int, after: int) -> tuple[int, Defaults]:
    """Base of the data offsets, and the defaults, of a track fragment header."""
    flags, at = int.from_bytes(data[1:4], "big"), 8
    values = {BASE: 0, DURATION: defaults.duration, SIZE: defaults.size, FLAGS: defaults.flags}
    for flag, width in HEADER_FIELDS:
        if flags & flag:
            values[flag] = int.from_bytes(data[at : at + width], "big")
            at += width
    base = min(values[BASE], MAX_TICKS) if flags & BASE else moof if flags & BASE_IS_MOOF else after
    return base, Defaults(values[DURATION], values[SIZE], values[FLAGS])


def _time(data: bytes, expected: int) -> int:
    time = int.from_bytes(data[_FULL_BOX:], "big")
    _require(len(data) == _FULL_BOX + (8 if data[:1] == b"\x01" else 4) and time < MAX_TICKS)
    _require(not expected or time <= expected)
    return time


def _run(data: bytes, base: int, offset: int, time: int, defaults: Defaults) -> Run:
    _require(len(data) >= _RUN_HEAD)
    flags, count, at = int.from_bytes(data[1:4], "big"), int.from_bytes(data[4:8], "big"), _RUN_HEAD
    if flags & RUN_OFFSET:
        offset = base + int.from_bytes(data[at : at + 4], "big", signed=True)
        at += 4
    first_flags = None
    if flags & RUN_FIRST_FLAGS:
        first_flags = int.from_bytes(data[at : at + 4], "big")
        at += 4
    columns = [flag for flag in RUN_COLUMNS if flags & flag]
    width = len(columns)
    _require(0 < count <= _MOST_SAMPLES and len(data) == at + 4 * width * count and bool(columns or defaults.size))
    numbers = struct.unpack_from(f">{width * count}I", data, at)
    stated = {flag: numbers[place::width] for place, flag in enumerate(columns)}

    def column(flag: int, default: int) -> Sequence[int]:
        return stated[flag] if flag in stated else (default,) * count

    keys = column(RUN_FLAGS, defaults.flags)
    return Run(
        time,
        offset,
        column(RUN_DURATION, defaults.duration),
        column(RUN_SIZE, defaults.size),
        keys if first_flags is None else (first_flags, *keys[1:]),
        column(RUN_SHIFT, 0),
    )


def _track(raw: bytes, boxes: Sequence[tuple[bytes, int, int]], base: int, time: int, defaults: Defaults) -> list[Run]:
    runs: list[Run] = []
    offset, expected = base, time
    for kind, body, end in boxes:
        if kind == b"tfdt":
            time = _time(raw[body:end], expected)
        elif kind == b"trun":
            runs.append(run := _run(raw[body:end], base, offset, time, defaults))
            time, offset = run.end_time, run.end
    _require(bool(runs))
    return runs


class _Shape:
    """A fragment of one run whose like follows: all but its number, time, defaults and samples is the same.

    Args:
        raw: The fragment.
        number_at: Where its number is.
        boxes: First byte and end of its header, its time and its run.
        known: Defaults of the track.
    """

    def __init__(self, raw: bytes, number_at: int, boxes: Sequence[tuple[int, int]], known: Defaults) -> None:
        header, clock, (run_at, _) = boxes
        self._bytes, self._run_at, self._stated_at = len(raw), run_at + _RUN_HEAD, header[0] + 2 * _FULL_BOX
        stops = ((number_at, number_at + 4), (self._stated_at, header[1]), (clock[0] + _FULL_BOX, clock[1]))
        begins, ends = [0, *(end for _, end in stops)], [*(begin for begin, _ in stops), self._run_at]
        self._same = [(begin, end, raw[begin:end]) for begin, end in zip(begins, ends, strict=True)]
        self._clock = slice(clock[0] + _FULL_BOX, clock[1])
        stated = int.from_bytes(raw[header[0] + 1 : header[0] + 4], "big")
        fields = [flag for flag, _ in HEADER_FIELDS if stated & flag]
        self._stated = struct.Struct(f">{len(fields)}I")
        flags, self._count = (
            int.from_bytes(raw[run_at + 1 : run_at + 4], "big"),
            int.from_bytes(raw[run_at + 4 : run_at + 8], "big"),
        )
        self._first_flags, self._has_offset = bool(flags & RUN_FIRST_FLAGS), bool(flags & RUN_OFFSET)
        columns = [flag for flag in RUN_COLUMNS if flags & flag]
        self._width = len(columns)
        layout = "i" * self._has_offset + "I" * self._first_flags + "I" * (self._width * self._count)
        self._numbers = struct.Struct(">" + layout)
        usual = (
            (RUN_DURATION, DURATION, known.duration),
            (RUN_SIZE, SIZE, known.size),
            (RUN_FLAGS, FLAGS, known.flags),
        )
        self._columns = [
            (columns.index(own) if own in columns else -1, fields.index(field) if field in fields else -1, value)
            for own, field, value in (*usual, (RUN_SHIFT, 0, 0))
        ]

    def run(self, raw: bytes, moof: int, expected: int) -> Run | None:
        """The run of a fragment of this shape; None where it is of another one."""
        if len(raw) != self._bytes:
            return None
        for begin, end, same in self._same:
            if raw[begin:end] != same:
                return None
        time = int.from_bytes(raw[self._clock], "big")
        if time >= MAX_TICKS or (expected and time > expected):
            raise _NotPlainError
        stated = self._stated.unpack_from(raw, self._stated_at)
        values = self._numbers.unpack_from(raw, self._run_at)
        if self._has_offset:
            moof, values = moof + values[0], values[1:]
        first, values = (values[:1], values[1:]) if self._first_flags else ((), values)
        durations, sizes, keys, shifts = [
            values[place :: self._width] if place >= 0 else (stated[field] if field >= 0 else usual,) * self._count
            for place, field, usual in self._columns
        ]
        if not self._width and not sizes[0]:
            raise _NotPlainError
        return Run(time, moof, durations, sizes, (*first, *keys[1:]) if first else keys, shifts)


def _shape(raw: bytes, boxes: Sequence[tuple[bytes, int, int]], known: Defaults) -> _Shape | None:
    """What a fragment's like can be told by; None where it holds more than one run needs."""
    if [kind for kind, _, _ in boxes] != [b"mfhd", b"traf"] or boxes[0][2] - boxes[0][1] != 2 * _FULL_BOX:
        return None
    inside = _boxes(raw, *boxes[1][1:])
    header = inside[0][1]
    if [kind for kind, _, _ in inside] != [b"tfhd", b"tfdt", b"trun"] or raw[header + 3] & BASE:
        return None
    return _Shape(raw, boxes[0][1] + _FULL_BOX, [(begin, end) for _, begin, end in inside], known)


class PlainRuns:
    """Runs of one track, fragment by fragment.

    Args:
        source: The file.
        track: Track id.
        known: Defaults by track id, of all tracks.
    """

    def __init__(self, source: Source, track: int, known: Mapping[int, Defaults]) -> None:
        self._source, self._track, self._known = source, track, known
        self._shapes: list[_Shape] = []

    def of(self, moof: Box, time: int) -> list[Run] | None:
        """Runs in one fragment; None where the fragment has to be looked at closely.

        Args:
            moof: The fragment.
            time: When the fragment's first sample is due, ticks.
        """
        size = moof.end - moof.start
        raw = self._source.near(moof.start, size) if size <= _MAX_BYTES else b""
        if len(raw) < size:
            return None
        try:
            like = self._like(raw, moof.start, time)
            runs = [like] if like is not None else self._parsed(raw, moof, time)
        except _NotPlainError:
            return None
        for run in runs:
            if run.offset < 0 or run.end_time >= MAX_TICKS or run.end > self._source.size:
                return None
        return runs

    def _like(self, raw: bytes, moof: int, time: int) -> Run | None:
        for shape in self._shapes:
            if (run := shape.run(raw, moof, time)) is not None:
                return run
        return None

    def _parsed(self, raw: bytes, moof: Box, time: int) -> list[Run]:
        boxes = _boxes(raw, moof.body - moof.start, len(raw))
        runs = _of_fragment(raw, boxes, moof.start, self._track, self._known, time)
        if len(runs) == 1 and (shape := _shape(raw, boxes, self._known[self._track])) is not None:
            self._shapes = [shape, *self._shapes[: _SHAPES - 1]]
        return runs


def _of_fragment(  # noqa: PLR0917 - one call
    raw: bytes,
    boxes: Sequence[tuple[bytes, int, int]],
    moof: int,
    track: int,
    known: Mapping[int, Defaults],
    time: int,
) -> list[Run]:
    runs: list[Run] = []
    for kind, body, end in boxes:
        _require(kind in (b"mfhd", b"traf"))
        if kind == b"traf":
            runs += _of_track(raw, _boxes(raw, body, end), moof, track, known, runs, time)
    return runs


def _of_track(  # noqa: PLR0917 - one call
    raw: bytes,
    boxes: Sequence[tuple[bytes, int, int]],
    moof: int,
    track: int,
    known: Mapping[int, Defaults],
    before: Sequence[Run],
    time: int,
) -> list[Run]:
    """Runs of one track in one track fragment; none where it is another track's."""
    kinds = [kind for kind, _, _ in boxes]
    _require(kinds[:1] == [b"tfhd"] and kinds.count(b"tfhd") == 1 and TRACK_BOXES.issuperset(kinds))
    data = raw[boxes[0][1] : boxes[0][2]]
    flags, number = int.from_bytes(data[1:4], "big"), int.from_bytes(data[4:8], "big")
    # Where the data lie is stated, so that it does not depend on the tracks before.
    _require(number in known and bool(flags & (BASE | BASE_IS_MOOF)))
    _require(len(data) == 8 + sum(width for flag, width in HEADER_FIELDS if flags & flag))
    if number != track:
        return []
    base, defaults = read_header(data, known[number], moof, moof)
    return _track(raw, boxes, base, before[-1].end_time if before else time, defaults)


def samples_of_runs(runs: Sequence[Run]) -> Samples:
    """Put runs together as samples in decoding order."""

    def column(parts: Iterator[Sequence[int]]) -> NDArray[np.int64]:
        return np.fromiter(chain.from_iterable(parts), np.int64)

    counts = np.array([len(run.sizes) for run in runs])
    begins = np.cumsum(counts) - counts
    duration, size = column(run.durations for run in runs), column(run.sizes for run in runs)

    def along(firsts: Sequence[int], steps: NDArray[np.int64]) -> NDArray[np.int64]:
        before = np.cumsum(steps) - steps
        placed: NDArray[np.int64] = before + np.repeat(np.array(firsts, np.int64) - before[begins], counts)
        return placed

    dts = along([run.time for run in runs], duration)
    # Version 0 has the shift unsigned, but writers store negative ones there too.
    shift = column(run.shifts for run in runs).astype(np.uint32).view(np.int32).astype(np.int64)
    key = (column(run.flags for run in runs) & NOT_KEY) == 0
    return Samples(dts, dts + shift, duration, along([run.offset for run in runs], size), size, key)
