"""Tracks of ISO base media files: what they hold, their clocks, and when their samples are presented.

Layout: ISO/IEC 14496-12, clauses 8.2 to 8.6; codec names: https://mp4ra.org/registered-types/sampleentries. Here
belongs one track up to its samples in presentation order. How tracks become channels is decided in `video.py`.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fleet_assets.ingestion.recordings.protocol import NS_PER_S, UnreadableRecordingError
from fleet_assets.ingestion.recordings.video.bmff_boxes import (
    INSIDE_MOOV,
    Box,
    Source,
    TopLevel,
    begins_with,
    children,
    read_top_level,
)
from fleet_assets.ingestion.recordings.video.bmff_fragments import fragment_samples, read_defaults
from fleet_assets.ingestion.recordings.video.bmff_plain_runs import Defaults
from fleet_assets.ingestion.recordings.video.bmff_samples import (
    Samples,
    SampleTable,
    Shortfall,
    joined,
    read_sample_table,
    table_samples,
)
from fleet_assets.ingestion.recordings.windows import MAX_BATCH_ROWS

EPOCH_1904_S: Final = 2_082_844_800
"""Seconds from 1904-01-01, from which these files count, to 1970-01-01."""
_TRAK: Final = (b"tkhd", b"edts", b"mdia", b"tref", b"udta", b"meta", b"tapt")
_MDIA: Final = (b"mdhd", b"hdlr", b"minf", b"elng")
_MINF: Final = (b"vmhd", b"smhd", b"nmhd", b"gmhd", b"hmhd", b"sthd", b"dinf", b"stbl", b"hdlr")
_CODECS: Final = {
    "avc1": "h264", "avc2": "h264", "avc3": "h264", "avc4": "h264", "dva1": "h264", "dvav": "h264",
    "hvc1": "hevc", "hev1": "hevc", "dvh1": "hevc", "dvhe": "hevc",
    "av01": "av1", "vp08": "vp8", "vp09": "vp9", "mp4v": "mpeg4",
    "jpeg": "mjpeg", "mjpa": "mjpeg", "mjpb": "mjpeg", "apch": "prores", "apcn": "prores", "apcs": "prores",
    "mp4a": "aac", "Opus": "opus", "alac": "alac", "fLaC": "flac", "ac-3": "ac3", ".mp3": "mp3",
    "sowt": "pcm", "twos": "pcm", "lpcm": "pcm", "ipcm": "pcm", "fl32": "pcm", "in24": "pcm", "in32": "pcm",
}  # fmt: skip
_LENGTH_MARKS: Final = ((b"avcC", 4), (b"hvcC", 21))
"""Box of the decoder's configuration, and which of its bytes holds the width of unit lengths."""
_MAX_SECONDS: Final = 9_000_000_000
_RECOVER: Final = (
    "The recorder writes the index when it stops: let the camera repair the file (insert its card, switch it on), or "
    "rebuild the index with a tool such as untrunc and an intact file of the same camera"
)


@dataclass(frozen=True, slots=True)
class Edits:
    """The edit list: which stretches of a track are presented, and when.

    Attributes:
        media: int64[k], first tick of each stretch, track ticks.
        length: int64[k], its length in track ticks; 0 is all that follows.
        begin_ns: int64[k], when it is presented.
    """

    media: NDArray[np.int64]
    length: NDArray[np.int64]
    begin_ns: NDArray[np.int64]

    def presented(self, pts: NDArray[np.int64], timescale: int) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """When samples are presented, ns; False marks those that are not.

        One stretch only moves the track: what lies before it keeps its place before zero. Of several, samples outside
        all of them have no time.
        """
        if len(self.media) == 1:
            t_ns = to_ns(pts - self.media[0], timescale) + self.begin_ns[0]
            return t_ns, np.ones(len(pts), np.bool_)
        order = np.argsort(self.media, kind="stable")
        at = np.maximum(np.searchsorted(self.media[order], pts, side="right") - 1, 0)
        edit = order[at]
        into = pts - self.media[edit]
        inside = (into >= 0) & ((into < self.length[edit]) | (self.length[edit] == 0))
        return to_ns(into, timescale) + self.begin_ns[edit], inside


@dataclass(frozen=True, slots=True)
class Track:
    """One track.

    Attributes:
        number: Track id.
        handler: ``vide``, ``soun``, ``meta``, …
        entry: Four characters of its sample description.
        codec: Codec by its usual name, or the four characters.
        length_bytes: Width of the lengths that lie before each unit of a video sample; 0 where there are none.
        timescale: Ticks per second.
        edits: Edit list.
        table: Samples in the movie's index.
    """

    number: int
    handler: str
    entry: str
    codec: str
    length_bytes: int
    timescale: int
    edits: Edits
    table: SampleTable


@dataclass(frozen=True, slots=True)
class Movie:
    """The index of a file.

    Attributes:
        tracks: Tracks that can be read, in file order.
        fragments: Movie fragments.
        defaults: What their samples are unless they say otherwise, by track id.
        created_s: Creation time as stored, seconds since 1970 of a clock that may be local; None where it is not set.
        problems: A sentence for every damage.
        lost_tracks: A sentence for every track that cannot be read.
        cut: How the file ends too early, as far as its boxes tell; empty where it does not.
    """

    tracks: tuple[Track, ...]
    fragments: tuple[Box, ...]
    defaults: Mapping[int, Defaults]
    created_s: int | None
    problems: tuple[str, ...]
    lost_tracks: tuple[str, ...]
    cut: str


def to_ns(ticks: NDArray[np.int64], timescale: int) -> NDArray[np.int64]:
    """Turn ticks into nanoseconds, rounded to the nearest, without leaving the range of integers."""
    seconds, rest = np.divmod(ticks, timescale)
    seconds = np.clip(seconds, -_MAX_SECONDS, _MAX_SECONDS)
    nanoseconds: NDArray[np.int64] = seconds * NS_PER_S + (rest * NS_PER_S + timescale // 2) // timescale
    return nanoseconds


def _full_box(source: Source, box: Box | None) -> tuple[int, bytes]:
    """Version and content of a full box; nothing where it is missing."""
    data = b"" if box is None else source.read(box.body, min(box.end - box.body, 128))
    return (data[0], data[4:]) if len(data) > 4 else (0, b"")  # noqa: PLR2004 - version and flags


def _times(source: Source, box: Box | None) -> tuple[int, int]:
    """Creation time (1904) and timescale of `mvhd` and `mdhd`; zeros where they are missing."""
    version, data = _full_box(source, box)
    width = 8 if version == 1 else 4
    if len(data) < 2 * width + 4:
        return 0, 0
    return int.from_bytes(data[:width], "big"), int.from_bytes(data[2 * width : 2 * width + 4], "big")


def _edits(source: Source, box: Box | None, movie_scale: int, timescale: int) -> Edits:
    whole = Edits(np.zeros(1, np.int64), np.zeros(1, np.int64), np.zeros(1, np.int64))
    if box is None or not movie_scale:
        return whole
    data = source.read(box.body, min(box.end - box.body, 1 << 20))
    kind = np.dtype(">i8,>i8,>u4" if data[:1] == b"\x01" else ">u4,>i4,>u4")
    count = min(int.from_bytes(data[4:8], "big"), max(0, len(data) - 8) // kind.itemsize)
    rows = np.frombuffer(data, kind, count, 8) if count else np.empty(0, kind)
    duration, media = rows["f0"].astype(np.int64), rows["f1"].astype(np.int64)
    sane = (duration >= 0) & (duration < movie_scale * _MAX_SECONDS) & (np.cumsum(duration.astype(np.float64)) < 2**62)
    begin = np.cumsum(np.where(sane, duration, 0)) - np.where(sane, duration, 0)
    used = sane & (media >= 0)
    if not used.any():
        return whole
    length = to_ns(duration[used], movie_scale) // NS_PER_S * timescale
    length += to_ns(duration[used], movie_scale) % NS_PER_S * timescale // NS_PER_S
    return Edits(media[used], np.where(duration[used] > 0, np.maximum(length, 1), 0), to_ns(begin[used], movie_scale))


def _length_bytes(description: bytes) -> int:
    for mark, at in _LENGTH_MARKS:
        place = description.find(mark)
        if place >= 0 and len(description) > place + 4 + at:
            return (description[place + 4 + at] & 3) + 1
    return 0


def _parts(source: Source, box: Box, kinds: Sequence[bytes], problems: list[str]) -> dict[bytes, Box]:
    found: dict[bytes, Box] = {}
    for part in children(source, box.body, box.end, kinds, problems):
        found.setdefault(part.kind, part)
    return found


def _track(source: Source, trak: Box, movie_scale: int, problems: list[str]) -> Track:
    """Read one track.

    Raises:
        ValueError: Naming what it lacks.
    """
    parts = _parts(source, trak, _TRAK, problems)
    media = _parts(source, parts[b"mdia"], _MDIA, problems) if b"mdia" in parts else {}
    information = _parts(source, media[b"minf"], _MINF, problems) if b"minf" in media else {}
    if b"stbl" not in information:
        raise ValueError(f"the track at byte {trak.start} has no sample table")
    timescale = _times(source, media.get(b"mdhd"))[1]
    if not timescale:
        raise ValueError(f"the track at byte {trak.start} has no clock")
    version, header = _full_box(source, parts.get(b"tkhd"))
    number = int.from_bytes(header[16:20] if version == 1 else header[8:12], "big")
    table = read_sample_table(source, information[b"stbl"], problems)
    entry = table.description[12:16].decode("latin-1") if len(table.description) >= 16 else ""  # noqa: PLR2004
    editing = _parts(source, parts[b"edts"], (b"elst",), problems) if b"edts" in parts else {}
    _, handler = _full_box(source, media.get(b"hdlr"))
    return Track(
        number=number,
        handler=handler[4:8].decode("latin-1"),
        entry=entry,
        codec=_CODECS.get(entry, entry.strip()),
        length_bytes=_length_bytes(table.description),
        timescale=timescale,
        edits=_edits(source, editing.get(b"elst"), movie_scale, timescale),
        table=table,
    )


def read_movie(source: Source) -> Movie:
    """Read a file's index.

    Raises:
        UnreadableRecordingError: When the file has none; samples cannot be told apart without it.
    """
    top = read_top_level(source)
    if top.moov is None:
        cut = f"; the file ends {top.short} bytes too early" if top.short else ""
        raise UnreadableRecordingError(
            source.name, "missing_index", value=f"no index (moov) in {source.size} bytes{cut}", remedy=f"{_RECOVER}."
        )
    problems = list(top.problems)
    boxes = list(children(source, top.moov.body, top.moov.end, INSIDE_MOOV, problems))
    header = next((box for box in boxes if box.kind == b"mvhd"), None)
    created, movie_scale = _times(source, header)
    defaults = read_defaults(source, next((box for box in boxes if box.kind == b"mvex"), None), problems)
    tracks, lost = [], []
    for box in boxes:
        if box.kind == b"trak" or begins_with(source, box, b"tkhd"):
            try:
                tracks.append(_track(source, box, movie_scale, problems))
            except ValueError as error:
                lost.append(str(error))
    known = {track.number: defaults.get(track.number, Defaults()) for track in tracks}
    if not tracks:
        words = "; ".join(lost) or "the index names no track"
        raise UnreadableRecordingError(source.name, "no_tracks", value=words, remedy=f"{_RECOVER}.")
    created_s = created - EPOCH_1904_S if created else None
    return Movie(tuple(tracks), top.fragments, known, created_s, tuple(problems), tuple(lost), _cut(top))


def _cut(top: TopLevel) -> str:
    if top.short:
        return f"the file ends {top.short} bytes too early"
    if top.fragments and not top.has_end:
        return "the file is written piece by piece and has no end mark (mfra), so pieces may be missing at its end"
    return ""


def samples_of(source: Source, movie: Movie, track: Track, missing: Shortfall) -> Iterator[Samples]:
    """A track's samples in decoding order, from the index and then from the fragments."""
    yield from table_samples(track.table, source.size, missing)
    if movie.fragments:
        yield from fragment_samples(source, movie.fragments, track.number, movie.defaults, missing)


Timed = tuple[NDArray[np.int64], Samples]
"""Samples with their time, ns since the start of the presentation."""


def presented(
    track: Track, decoded: Iterator[Samples], missing: Shortfall
) -> Iterator[tuple[NDArray[np.int64], Samples]]:
    """Bring samples into presentation order; codecs that look ahead store them in another one.

    Samples are held back only as long as an earlier one can still follow, `MAX_BATCH_ROWS` of them at most.

    Args:
        track: The track.
        decoded: Its samples in decoding order.
        missing: Takes the samples that the edit list leaves out.

    Yields:
        Time, ns since the start of the presentation, and samples.
    """
    held: Samples | None = None
    earliest = track.table.earliest_shift
    for samples in decoded:
        if not len(samples):
            continue
        earliest = min(earliest, int((samples.pts - samples.dts).min()))
        held = samples if held is None else joined([held, samples])
        if (np.diff(held.pts) < 0).any():
            held = held.take(np.argsort(held.pts, kind="stable"))
        due = int(samples.dts[-1] + samples.duration[-1]) + earliest
        count = max(int(np.searchsorted(held.pts, due)), len(held) - MAX_BATCH_ROWS)
        yield from _timed(track, held.take(slice(None, count)), missing)
        held = held.take(slice(count, None))
    if held is not None:
        yield from _timed(track, held, missing)


def _timed(track: Track, samples: Samples, missing: Shortfall) -> Iterator[Timed]:
    if len(samples):
        t_ns, shown = track.edits.presented(samples.pts, track.timescale)
        missing.add(int((~shown).sum()), 0, "are left out by the edit list")
        yield (t_ns, samples) if shown.all() else (t_ns[shown], samples.take(shown))
