"""One video file: its channels, and their messages in the order in which they are presented.

Here belongs how the tracks of one file become channels, telemetry included. How several files make one recording is in
`video.py`, what boxes and payloads mean in the `bmff_*` and `gpmf*` modules beside.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from fleet_assets.ingestion.recordings.protocol import NS_PER_S, Loss, UnreadableRecordingError
from fleet_assets.ingestion.recordings.video import bmff_tracks, gpmf
from fleet_assets.ingestion.recordings.video.bmff_boxes import Source
from fleet_assets.ingestion.recordings.video.bmff_samples import Samples, Shortfall
from fleet_assets.ingestion.recordings.video.bmff_tracks import Timed, Track
from fleet_assets.ingestion.recordings.video.gpmf_clock import Clock, Payload, TimedPart, channel_name
from fleet_assets.ingestion.recordings.video.video_units import whole_frames
from fleet_assets.ingestion.recordings.windows import Chunk

PACKET_FIELDS: Final = ("pts", "duration_ns", "size_bytes", "is_keyframe")
"""int64 ticks of the track before its edit list, int64, int64, bool."""
_KINDS: Final = {"vide": "video", "soun": "audio"}
_OTHER_KIND: Final = "data"
_LIST_FIELDS: Final = ("value.length",)
_MOST_KEPT: Final = 1 << 18
"""Samples of a file whose places are remembered from one pass to the next: 12 MB."""
_MOST_KEPT_BYTES: Final = 1 << 22
"""Telemetry of a track that is remembered from one pass to the next: some minutes of it."""
_AGAIN: Final = "Upload the file again; if the source is damaged too, what could be read is used"


@dataclass(slots=True)
class FileChannel:
    """One channel of a file.

    Attributes:
        type: Codec, or unit of telemetry.
        fields: Columns.
        messages: Messages by the index.
        first_ns: First time stamp since the presentation's start.
        last_ns: Last one.
        gps: Whether it is telemetry with the columns of a receiver.
        listed: Whether it is telemetry whose samples are lists.
    """

    type: str = ""
    fields: tuple[str, ...] = PACKET_FIELDS
    messages: int = 0
    first_ns: int = 0
    last_ns: int = 0
    gps: bool = False
    listed: bool = False

    def saw(self, messages: int, first_ns: int, last_ns: int) -> None:
        """Count messages of a stretch."""
        self.first_ns = min(self.first_ns, first_ns) if self.messages else first_ns
        self.last_ns = max(self.last_ns, last_ns) if self.messages else last_ns
        self.messages += messages


@dataclass(slots=True)
class _Damage:
    """What one pass over a track of telemetry could not read."""

    missing: Shortfall = field(default_factory=Shortfall)
    words: list[str] = field(default_factory=list)


class VideoFile:
    """One file with an index.

    Args:
        name: Relative name inside the drive.
        path: Where its bytes are.

    Raises:
        UnreadableRecordingError: When the file has no index, or no samples.
    """

    def __init__(self, name: str, path: Path) -> None:
        self.name, self.path = name, path
        self._source = Source(path, name)
        try:
            self._movie = bmff_tracks.read_movie(self._source)
            self.created_s = self._movie.created_s
            self._tracks: dict[str, Track] = {}
            self._telemetry: list[Track] = []
            self._kept: dict[int, list[Samples]] = {}
            self._kept_rows = 0
            self._kept_payloads: dict[int, list[Payload]] = {}
            self.channels: dict[str, FileChannel] = {}
            for track in self._movie.tracks:
                self._take(track)
            self.losses = self._statements()
            self._refuse_empty()
        except UnreadableRecordingError:
            self.close()
            raise

    def _refuse_empty(self) -> None:
        if not any(channel.messages for channel in self.channels.values()):
            words = "; ".join(loss.reason for loss in self.losses) or "the index names no samples"
            raise UnreadableRecordingError(self.name, "no_messages", value=words, remedy=f"{_AGAIN}.")

    def _take(self, track: Track) -> None:
        if self._is_telemetry(track):
            self._telemetry.append(track)
            self._survey_telemetry(track)
            return
        kind = _KINDS.get(track.handler, _OTHER_KIND)
        name = f"{kind}/{sum(1 for taken in self._tracks if taken.startswith(f'{kind}/'))}"
        channel = FileChannel(track.codec)
        for t_ns, _ in self._timed(track, Shortfall()):
            if len(t_ns):
                channel.saw(len(t_ns), int(t_ns.min()), int(t_ns.max()))
        self._tracks[name] = track
        if channel.messages or track.table.stated:
            self.channels[name] = channel

    def _is_telemetry(self, track: Track) -> bool:
        if track.entry == gpmf.ENTRY or track.handler in _KINDS:
            return track.entry == gpmf.ENTRY
        # The name of the description may be damaged while the payloads are not.
        first = next((samples for samples in self._decoded(track, Shortfall()) if len(samples)), None)
        return first is not None and self._source.read(int(first.offset[0]), len(gpmf.BEGINNING)) == gpmf.BEGINNING

    def _survey_telemetry(self, track: Track) -> None:
        """Learn the channels of telemetry with their counts and times, without turning anything into numbers."""
        found: dict[str, FileChannel] = {}
        lists: dict[str, list[int]] = {}
        # As a stream begins it goes on, unless it is damaged.
        listed: set[str] = set()
        for step in Clock(listed).place(_watched(self._payloads(track, _Damage()), found, lists, listed)):
            _count(step, found)
        for name, channel in found.items():
            # What most payloads hold is what the stream is; a damaged one does not change it.
            plain, as_lists = lists[name]
            channel.listed = as_lists > plain
            channel.gps &= not channel.listed
            numbers = ("value", *gpmf.GPS_FIELDS) if channel.gps else ("value",)
            channel.fields = _LIST_FIELDS if channel.listed else numbers
        if any(all(counts) for counts in lists.values()):
            for channel in found.values():
                channel.messages = channel.first_ns = channel.last_ns = 0
            for step in Clock(_listed(found)).place(self._payloads(track, _Damage())):
                _count(step, found)
        self.channels.update({name: channel for name, channel in found.items() if channel.messages})

    def _statements(self) -> list[Loss]:
        """What the index says of its own damage."""
        found = []
        for rule, words in (
            ("broken_index", "; ".join(self._movie.problems[:5])),
            ("broken_track", "; ".join(self._movie.lost_tracks[:5])),
        ):
            if words:
                found.append(Loss(self.name, 0, None, f"{self.name}: {rule}: {words}. {_AGAIN}", rule))
        if self._movie.cut:
            # What a cut costs is counted channel by channel, except where the index itself comes in pieces.
            lost = None if self._movie.fragments else 0
            reason = f"{self.name}: truncated_file: {self._movie.cut}. {_AGAIN}"
            found.append(Loss(self.name, 0, lost, reason, "truncated_file"))
        for name, track in self._tracks.items():
            if not track.table.agree:
                reason = f"{self.name}: tables_disagree: not all tables of {name} state {track.table.stated} samples"
                found.append(Loss(self.name, 0, None, f"{reason}. {_AGAIN}", "tables_disagree", name))
        return found

    @property
    def extent_ns(self) -> tuple[int, int]:
        """First and last time stamp, ns since the presentation's start."""
        held = [channel for channel in self.channels.values() if channel.messages]
        return min((one.first_ns for one in held), default=0), max((one.last_ns for one in held), default=0)

    def _timed(self, track: Track, missing: Shortfall) -> Iterator[Timed]:
        return bmff_tracks.presented(track, self._decoded(track, missing), missing)

    def _decoded(self, track: Track, missing: Shortfall) -> Iterator[Samples]:
        """Samples in decoding order. Where they lie scattered over the file, the first pass keeps what it learned."""
        if (kept := self._kept.get(id(track))) is not None:
            yield from kept
            return
        samples = bmff_tracks.samples_of(self._source, self._movie, track, missing)
        if not self._movie.fragments:
            yield from samples
            return
        found: list[Samples] | None = []
        rows = self._kept_rows
        for part in samples:
            rows += len(part)
            # What was damaged has to be stated by every pass, so that it is read again.
            if found is None or rows > _MOST_KEPT or missing.samples or missing.problems:
                found = None
            else:
                found.append(part)
            yield part
        if found is not None and not missing.samples and not missing.problems:
            self._kept[id(track)], self._kept_rows = found, rows

    def sources(self, names: Mapping[str, str], begin_ns: int, losses: list[Loss]) -> Iterator[Iterator[list[Chunk]]]:
        """The file's messages, one source per track.

        Args:
            names: Channel of the recording by channel of this file; others are not read.
            begin_ns: Where the presentation begins on the recording's clock.
            losses: Takes what could not be read.
        """
        for name, track in self._tracks.items():
            if name in names and name in self.channels:
                yield self._packets(name, names[name], track, begin_ns, losses)
        for track in self._telemetry:
            yield self._samples(track, names, begin_ns, losses)

    def track(self, name: str) -> Track:
        """The track of a channel of packets."""
        return self._tracks[name]

    def _packets(
        self, own_name: str, channel: str, track: Track, begin_ns: int, losses: list[Loss]
    ) -> Iterator[list[Chunk]]:
        missing, broken = Shortfall(), Shortfall()
        checked = own_name.startswith("video/") and track.length_bytes > 0
        for t_ns, samples in self._timed(track, missing):
            times, kept = t_ns, samples
            if checked:
                whole = whole_frames(self._source, samples, track.length_bytes)
                if not whole.all():
                    broken.add(int((~whole).sum()), int(samples.size[~whole].sum()), "have lengths that do not add up")
                    times, kept = t_ns[whole], samples.take(whole)
            columns = {
                "pts": kept.pts,
                "duration_ns": bmff_tracks.to_ns(kept.duration, track.timescale),
                "size_bytes": kept.size,
                "is_keyframe": kept.key,
            }
            yield [((channel, 0), times + begin_ns, columns)]
        self._lose("truncated_file" if missing.lost_bytes else "missing_samples", missing, channel, losses)
        self._lose("broken_frame", broken, channel, losses)

    def _payloads(self, track: Track, damage: _Damage) -> Iterator[Payload]:
        """Payloads of telemetry, front to back; the first pass keeps those of short recordings that are whole."""
        if (kept := self._kept_payloads.get(id(track))) is not None:
            yield from kept
            return
        found: list[Payload] = []
        held = 0
        for payload, size in self._read_payloads(track, damage):
            held += size
            if held <= _MOST_KEPT_BYTES:
                found.append(payload)
            yield payload
        if held <= _MOST_KEPT_BYTES and not (damage.words or damage.missing.samples or damage.missing.problems):
            self._kept_payloads[id(track)] = found

    def _read_payloads(self, track: Track, damage: _Damage) -> Iterator[tuple[Payload, int]]:
        for t_ns, samples in self._timed(track, damage.missing):
            durations = bmff_tracks.to_ns(samples.duration, track.timescale).tolist()
            places = zip(t_ns.tolist(), durations, samples.offset.tolist(), samples.size.tolist(), strict=True)
            for begin_ns, duration_ns, offset, size in places:
                if size > gpmf.MAX_PAYLOAD_BYTES:
                    damage.missing.add(1, size, "are too large for telemetry")
                    continue
                parts = gpmf.read_payload(self._source.read(offset, size), damage.words)
                yield Payload(begin_ns, duration_ns, parts), size

    def _samples(
        self, track: Track, names: Mapping[str, str], begin_ns: int, losses: list[Loss]
    ) -> Iterator[list[Chunk]]:
        if not names.keys() & self.channels.keys() - self._tracks.keys():
            return
        damage, clock = _Damage(), Clock(_listed(self.channels))
        unusable: Counter[str] = Counter()
        for step in clock.place(self._payloads(track, damage)):
            chunks: list[Chunk] = []
            for timed in step:
                if timed.channel not in names:
                    continue
                channel = self.channels[timed.channel]
                if timed.part.listed and not channel.listed:
                    unusable[timed.channel] += len(timed.t_ns)
                    continue
                late_s = (int(timed.t_ns[0]) - timed.payload_ns) / NS_PER_S
                columns = gpmf.decode(timed.part, listed=channel.listed, gps=channel.gps, late_s=late_s)
                chunks.append(((names[timed.channel], 0), timed.t_ns + begin_ns, columns))
            yield chunks
        self._lose_telemetry(damage, losses)
        for counts, words in ((clock.missing, "fewer than counted"), (unusable, "of another type than the others")):
            for name, messages in counts.items():
                if name in names:
                    missing = Shortfall(messages, 0, [f"{messages} samples {words}"])
                    self._lose("missing_samples", missing, names[name], losses)

    def _lose_telemetry(self, damage: _Damage, losses: list[Loss]) -> None:
        missing = damage.missing
        if missing.samples or missing.problems:
            words = "; ".join((*missing.words, *missing.problems))
            reason = f"{self.name}: truncated_telemetry: payloads: {words}. {_AGAIN}"
            losses.append(Loss(self.name, missing.lost_bytes, None, reason, "truncated_telemetry"))
        if damage.words:
            words = "; ".join(damage.words[:5])
            reason = f"{self.name}: broken_telemetry: {len(damage.words)} damages: {words}. {_AGAIN}"
            losses.append(Loss(self.name, 0, None, reason, "broken_telemetry"))

    def _lose(self, rule: str, missing: Shortfall, channel: str, losses: list[Loss]) -> None:
        for name, messages, words in (
            (rule, missing.samples, missing.words),
            ("broken_fragment", None, missing.problems),
        ):
            if words:
                reason = f"{self.name}: {name}: {channel}: {'; '.join(words[:5])}. {_AGAIN}"
                lost_bytes = 0 if messages is None else missing.lost_bytes
                losses.append(Loss(self.name, lost_bytes, messages, reason, name, channel))

    def close(self) -> None:
        """Release the file."""
        self._source.close()


def _watched(
    payloads: Iterator[Payload], found: dict[str, FileChannel], lists: dict[str, list[int]], listed: set[str]
) -> Iterator[Payload]:
    """Note the channels of the payloads that pass, and how many of their parts are numbers and how many are lists."""
    devices: list[int] = []
    for payload in payloads:
        for part in payload.parts:
            name = channel_name(part, devices)
            is_list = part.listed
            if name not in found:
                found[name], lists[name] = FileChannel(fields=()), [0, 0]
                listed |= {name} if is_list else set()
            channel = found[name]
            channel.gps |= gpmf.is_gps(part)
            channel.type = channel.type or part.text(b"SIUN") or part.text(b"UNIT")
            lists[name][is_list] += 1
        yield payload


def _count(step: Iterable[TimedPart], found: Mapping[str, FileChannel]) -> None:
    for timed in step:
        found[timed.channel].saw(len(timed.t_ns), int(timed.t_ns[0]), int(timed.t_ns[-1]))


def _listed(channels: Mapping[str, FileChannel]) -> frozenset[str]:
    return frozenset(name for name, channel in channels.items() if channel.listed)


def wanted_names(own: Collection[str], shown: Mapping[str, str], wanted: Collection[str] | None) -> dict[str, str]:
    """Channel of the recording by channel of a file, of those that are wanted."""
    return {name: shown[name] for name in own if wanted is None or shown[name] in wanted}
