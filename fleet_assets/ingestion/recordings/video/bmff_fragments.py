"""Movie fragments of ISO base media files: the samples that recorders write index by index, so that a cut costs little.

Layout: ISO/IEC 14496-12, clause 8.8. Tables in the movie's own index are read by `bmff_samples.py`.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fleet_assets.ingestion.recordings.video.bmff_boxes import Box, Source, begins_with, children
from fleet_assets.ingestion.recordings.video.bmff_plain_runs import (
    MAX_TICKS,
    NOT_KEY,
    RUN_COLUMNS,
    RUN_DURATION,
    RUN_FIRST_FLAGS,
    RUN_FLAGS,
    RUN_OFFSET,
    RUN_SHIFT,
    RUN_SIZE,
    TRACK_BOXES,
    Defaults,
    PlainRuns,
    Run,
    read_header,
    samples_of_runs,
)
from fleet_assets.ingestion.recordings.video.bmff_samples import ROWS, Samples, Shortfall, joined

_MOOF: Final = (b"mfhd", b"traf")


@dataclass(slots=True)
class _Place:
    """Where the next run of a track begins, in the file and in time."""

    offset: int
    time: int
    defaults: Defaults


def read_defaults(source: Source, mvex: Box | None, problems: list[str]) -> dict[int, Defaults]:
    """Defaults by track id."""
    found = {}
    for box in children(source, mvex.body, mvex.end, (b"trex", b"mehd"), problems) if mvex else ():
        data = source.read(box.body, 24)
        if box.kind == b"trex" and len(data) == 24:  # noqa: PLR2004 - size of the box in the standard
            track, _, duration, size, flags = (int.from_bytes(data[at : at + 4], "big") for at in range(4, 24, 4))
            found[track] = Defaults(duration, size, flags)
    return found


def _run(source: Source, box: Box, place: _Place, base: int, missing: Shortfall) -> Samples | None:
    head = source.near(box.body, 16)
    if len(head) < 8:  # noqa: PLR2004 - version, flags and count
        missing.problems.append(f"no header in the run at byte {box.start}")
        return None
    flags, stated, at = int.from_bytes(head[1:4], "big"), int.from_bytes(head[4:8], "big"), 8
    if flags & RUN_OFFSET:
        place.offset = base + int.from_bytes(head[at : at + 4], "big", signed=True)
        at += 4
    first_flags = None
    if flags & RUN_FIRST_FLAGS:
        first_flags = int.from_bytes(head[at : at + 4], "big")
        at += 4
    columns = [flag for flag in RUN_COLUMNS if flags & flag]
    if columns:
        held = (box.end - box.body - at) // (4 * len(columns))
    else:
        # Nothing is written per sample, so only the file's size tells how many there can be.
        held = (source.size - place.offset) // place.defaults.size if place.defaults.size else 1
    count = max(0, min(stated, held))
    missing.add(stated - count, 0, "have no entry in their fragment")
    if box.body + at + 4 * len(columns) * count < box.end:
        missing.problems.append(f"the run at byte {box.start} is longer than the {stated} samples that it states")
    data = source.read(box.body + at, 4 * len(columns) * count)
    table = np.frombuffer(data, ">u4").reshape(count, len(columns)) if columns else np.empty((count, 0), ">u4")
    return _expanded(table, columns, first_flags, place)


def _expanded(table: NDArray[np.uint32], columns: Sequence[int], first_flags: int | None, place: _Place) -> Samples:
    count = len(table)

    def column(flag: int, default: int) -> NDArray[np.int64]:
        if flag in columns:
            return table[:, columns.index(flag)].astype(np.int64)
        return np.full(count, default, np.int64)

    duration = column(RUN_DURATION, place.defaults.duration)
    size = column(RUN_SIZE, place.defaults.size)
    flags = column(RUN_FLAGS, place.defaults.flags)
    if first_flags is not None and count:
        flags[0] = first_flags
    # Version 0 has the shift unsigned, but writers store negative ones there too.
    shift = column(RUN_SHIFT, 0).astype(np.uint32).view(np.int32).astype(np.int64)
    dts = place.time + np.concatenate([[0], np.cumsum(duration)])
    offset = place.offset + np.concatenate([[0], np.cumsum(size)])
    place.time, place.offset = min(int(dts[-1]), MAX_TICKS), min(int(offset[-1]), MAX_TICKS)
    return Samples(dts[:-1], dts[:-1] + shift, duration, offset[:-1], size, (flags & NOT_KEY) == 0)


def _decode_time(source: Source, box: Box, expected: int, missing: Shortfall) -> int:
    """Time of a fragment's first sample: stated, or behind the last one's."""
    data = source.near(box.body, 12)
    width = 8 if data[:1] == b"\x01" else 4
    time = int.from_bytes(data[4 : 4 + width], "big")
    if len(data) < 4 + width or time >= MAX_TICKS:
        missing.problems.append(f"no time in the fragment at byte {box.start}")
        return expected
    if expected and time > expected:
        missing.problems.append(f"{time - expected} ticks are missing before the fragment at byte {box.start}")
    return time


class _Fragments:
    """One pass over the fragments for one track."""

    def __init__(self, source: Source, track: int, known: Mapping[int, Defaults], missing: Shortfall) -> None:
        self.source, self.track, self.known, self.missing = source, track, known, missing
        self.time = 0
        self.after = 0

    def moof(self, moof: Box) -> Iterator[Samples]:
        self.after = moof.start
        for traf in children(self.source, moof.body, moof.end, _MOOF, self.missing.problems):
            if traf.kind == b"traf" or begins_with(self.source, traf, b"tfhd"):
                boxes = list(children(self.source, traf.body, traf.end, sorted(TRACK_BOXES), self.missing.problems))
                yield from self._traf(traf, boxes, moof.start)

    def _traf(self, traf: Box, boxes: Sequence[Box], moof: int) -> Iterator[Samples]:
        header = next((box for box in boxes if box.kind == b"tfhd"), None)
        data = b"" if header is None else self.source.near(header.body, 32)
        if len(data) < 8:  # noqa: PLR2004 - version, flags and track id
            self.missing.problems.append(f"no header in the track fragment at byte {traf.start}")
            return
        number = int.from_bytes(data[4:8], "big")
        if number not in self.known:
            self.missing.problems.append(f"the fragment at byte {traf.start} is of an unknown track, {number}")
        base, defaults = read_header(data, self.known.get(number, Defaults()), moof, self.after)
        place = _Place(base, self.time, defaults)
        mine = number == self.track
        for box in boxes:
            if box.kind == b"tfdt" and mine:
                place.time = _decode_time(self.source, box, self.time, self.missing)
            elif box.kind == b"trun":
                samples = _run(self.source, box, place, base, self.missing if mine else Shortfall())
                if mine and samples is not None:
                    yield from _inside(samples, self.source.size, self.missing)
            elif box.kind not in TRACK_BOXES:
                self.missing.problems.append(f"an unknown box in the fragment at byte {traf.start}")
        self.after = place.offset
        if mine:
            self.time = place.time


def fragment_samples(
    source: Source, fragments: Sequence[Box], track: int, known: Mapping[int, Defaults], missing: Shortfall
) -> Iterator[Samples]:
    """Read one track's samples from the fragments, front to back.

    Args:
        source: The file.
        fragments: Boxes of the fragments.
        track: Track id.
        known: Defaults by track id, of all tracks.
        missing: Takes the samples that the file does not hold, and a sentence for every damage.

    Yields:
        Samples inside the file, some `ROWS` at a time.
    """
    reader, parser = _Fragments(source, track, known, missing), PlainRuns(source, track, known)
    # Fragments may hold a frame each; together they cost what a table costs.
    gathered: list[Samples] = []
    plain: list[Run] = []
    rows = 0
    for moof in fragments:
        runs = parser.of(moof, reader.time)
        if runs is None:
            gathered += [samples_of_runs(plain)] if plain else []
            plain = []
            for samples in reader.moof(moof):
                gathered.append(samples)
                rows += len(samples)
        elif runs:
            plain += runs
            reader.time = runs[-1].end_time
            rows += sum(len(run.sizes) for run in runs)
        if rows >= ROWS:
            yield joined([*gathered, *([samples_of_runs(plain)] if plain else [])])
            gathered, plain, rows = [], [], 0
    if gathered or plain:
        yield joined([*gathered, *([samples_of_runs(plain)] if plain else [])])


def _inside(samples: Samples, file_bytes: int, missing: Shortfall) -> Iterator[Samples]:
    inside = (samples.offset >= 0) & (samples.offset + samples.size <= file_bytes)
    if not inside.all():
        lost = int(np.minimum(samples.size[~inside], file_bytes).sum())
        missing.add(int((~inside).sum()), lost, "lie beyond the end of the file")
        samples = samples.take(inside)
    for first in range(0, len(samples), ROWS):
        yield samples.take(slice(first, first + ROWS))
