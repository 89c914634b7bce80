"""Reader of videos in ISO base media files (MP4, MOV), fragmented ones too, with the telemetry that GoPro puts in them.

Frames are messages: counted, timed and measured, never decoded. Here belongs how the files of one drive make one
recording; one file is read by `video_files.py`. The usual libraries are not used for it: they neither bound their
memory on damaged tables nor count the frames that a cut file has lost.

Times are exact presentation times from the sample tables, edit lists included. A frame is checked as far as that is
possible without decoding: its place in the file, and whether the lengths of its units add up.
"""

from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Final

from fleet_assets.ingestion.recordings.pass_account import PassAccount
from fleet_assets.ingestion.recordings.protocol import (
    NS_PER_S,
    Batch,
    Channel,
    Files,
    Loss,
    Summary,
    UnreadableRecordingError,
)
from fleet_assets.ingestion.recordings.video.bmff_boxes import is_bmff
from fleet_assets.ingestion.recordings.video.video_files import FileChannel, VideoFile, wanted_names
from fleet_assets.ingestion.recordings.windows import cut, weave

FORMAT: Final = "mp4"
is_video = is_bmff
_EARLIEST_S: Final = 946_684_800
"""2000-01-01: recorders without a set clock count from 1904, from 1970 or from their firmware's date."""
_LATEST_S: Final = 4_102_444_800
_ROUNDING_NS: Final = 2 * NS_PER_S
"""Creation times are whole seconds: files that follow each other may seem to overlap, or to gape, by this."""
_AGAIN: Final = "Upload the file again; if the source is damaged too, what could be read is used."


@dataclass(frozen=True, slots=True)
class _Placed:
    """A file with its place on the recording's clock, and its channels' names in the recording."""

    file: VideoFile
    begin_ns: int
    lane: int
    names: dict[str, str]

    @property
    def extent_ns(self) -> tuple[int, int]:
        first, last = self.file.extent_ns
        return first + self.begin_ns, last + self.begin_ns


def _start_s(file: VideoFile) -> int | None:
    """Creation time where it can be one."""
    stated = file.created_s
    return stated if stated is not None and _EARLIEST_S <= stated <= _LATEST_S else None


def _placed(files: list[VideoFile]) -> list[_Placed]:
    """Put files on one clock by their creation times; those that overlap are cameras side by side."""
    starts = {file.name: start for file in files if (start := _start_s(file)) is not None}
    timed = len(starts) == len(files)
    origin = min(starts.values(), default=0)
    lanes: list[list[_Placed]] = []
    for file in sorted(files, key=lambda one: (starts.get(one.name, 0), one.name)):
        begin_ns = (starts[file.name] - origin) * NS_PER_S if timed else 0
        free = next(
            (lane for lane in lanes if lane[-1].extent_ns[1] - _ROUNDING_NS <= begin_ns > lane[-1].begin_ns), None
        )
        if free is None:
            lanes.append(free := [])
        else:
            begin_ns = max(begin_ns, free[-1].extent_ns[1])
        free.append(_Placed(file, begin_ns, lanes.index(free), {}))
    _name_channels(lanes)
    return sorted(chain.from_iterable(lanes), key=lambda placed: (placed.begin_ns, placed.lane))


def _name_channels(lanes: list[list[_Placed]]) -> None:
    """Number packets' channels on from lane to lane; telemetry of further lanes carries the lane's number."""
    used: Counter[str] = Counter()
    for number, lane in enumerate(lanes):
        here: Counter[str] = Counter()
        for placed in lane:
            for name in placed.file.channels:
                kind, _, last = name.rpartition("/")
                if last.isdigit() and not kind.startswith("gpmf"):
                    placed.names[name] = f"{kind}/{used[kind] + int(last)}"
                    here[kind] = max(here[kind], int(last) + 1)
                else:
                    placed.names[name] = name if not number else name.replace("gpmf", f"gpmf{number}", 1)
        used.update(here)


@dataclass(frozen=True, slots=True)
class CameraFile:
    """The packets of one channel in one file.

    Attributes:
        file: The file.
        own_name: Channel inside it.
        begin_ns: Where its presentation begins on the recording's clock.
    """

    file: VideoFile
    own_name: str
    begin_ns: int


class VideoRecording:
    """One drive's videos.

    Channels are ``video/0``, ``audio/0``, ``data/0``, … with one message per frame or packet, and ``gpmf/KEY`` with one
    message per sample of telemetry. Time 0 is where the first file's presentation begins. `container_start_ns` is the
    creation time in the index: a whole second, and on local time with many cameras (GoPro among them), so a receiver's
    UTC inside the file goes before it.

    Files of a drive whose creation times say that they follow each other are one recording; others are cameras side by
    side, whose channels are numbered on.

    Args:
        files: The drive's files; those that are no such video are stated and left out.

    Raises:
        UnreadableRecordingError: When no file has an index with samples.
    """

    format = FORMAT
    clock = "monotonic"

    def __init__(self, files: Files) -> None:
        self._losses: list[Loss] = []
        self._pass_losses: list[Loss] = []
        self._account = PassAccount()
        self._files = _placed(self._open(files))
        for placed in self._files:
            self._losses += placed.file.losses
        self._losses += _transitions(self._files)
        start_s = _start_s(self._files[0].file)
        # The creation time is that of time 0, while the recording's start is its first message.
        self.container_start_ns = None if start_s is None else start_s * NS_PER_S + self.extent_ns()[0]

    def _open(self, files: Files) -> list[VideoFile]:
        found, failures = [], []
        for name in sorted(files):
            with files[name].open("rb") as stream:
                head = stream.read(16)
            if not is_bmff(head) and len(files) > 1:
                reason = (
                    f"{name}: not_a_video: begins with {head[:8].hex(' ') or 'nothing'}. Leave it out of the upload"
                )
                self._losses.append(Loss(name, 0, 0, reason, "not_a_video"))
                continue
            try:
                found.append(VideoFile(name, files[name]))
            except UnreadableRecordingError as error:
                failures.append(error)
                self._losses.append(Loss(name, files[name].stat().st_size, None, str(error), error.rule))
        if found:
            return found
        if len(failures) == 1:
            raise failures[0]
        words = "; ".join(map(str, failures[:3])) or "no video"
        first = min(files, default="(no files)")
        raise UnreadableRecordingError(first, "no_messages", value=words, limit="a video", remedy=_AGAIN)

    def channels(self) -> tuple[Channel, ...]:
        """List the channels without reading their messages."""
        merged: dict[str, list[FileChannel]] = {}
        for placed in self._files:
            for own, name in placed.names.items():
                merged.setdefault(name, []).append(placed.file.channels[own])
        return tuple(
            Channel(name, "fields", parts[0].fields, sum(part.messages for part in parts), parts[0].type)
            for name, parts in sorted(merged.items())
        )

    def extent_ns(self) -> tuple[int, int]:
        """First and last time stamp over all channels; the first is negative where telemetry began before the video."""
        return min(placed.extent_ns[0] for placed in self._files), max(placed.extent_ns[1] for placed in self._files)

    def batches(self, wanted: Collection[str] | None = None) -> Iterator[Batch]:
        """Yield messages window by window in time order; see the protocol."""
        self._account.reset()
        self._pass_losses.clear()
        origin = self.extent_ns()[0]
        steps = []
        for placed in self._files:
            names = wanted_names(placed.names, placed.names, wanted)
            steps += list(placed.file.sources(names, placed.begin_ns, self._pass_losses))
        yield from self._account.watched(weave([cut(source, origin) for source in steps]))

    def camera_files(self, channel: str) -> tuple[CameraFile, ...]:
        """The files that hold a channel of packets, in order of time; telemetry has none."""
        return tuple(
            CameraFile(placed.file, own_name, placed.begin_ns)
            for placed in self._files
            for own_name, name in placed.names.items()
            if name == channel and not own_name.startswith("gpmf")
        )

    def summary(self) -> Summary:
        """Counts and losses of the pass made by ``batches``."""
        names = sorted({name for placed in self._files for name in placed.names.values()})
        channels = self._account.summaries(names)
        return Summary(channels, (*self._losses, *self._pass_losses))

    def close(self) -> None:
        """Release the files."""
        for placed in self._files:
            placed.file.close()


def _transitions(files: list[_Placed]) -> list[Loss]:
    """State gaps between files that follow each other, and that files lie side by side."""
    stated = []
    for before, after in zip(files, files[1:], strict=False):
        step_ns = after.extent_ns[0] - before.extent_ns[1]
        if after.lane != before.lane:
            reason = f"{after.file.name}: read as a camera beside {before.file.name}, by their creation times"
            stated.append(Loss(after.file.name, 0, 0, reason, "parallel_files"))
        elif step_ns > _ROUNDING_NS:
            seconds = step_ns / NS_PER_S
            reason = f"{after.file.name}: begins {seconds:.0f} s after {before.file.name} ends. Add the file in between"
            stated.append(Loss(after.file.name, 0, None, reason, "gap_between_files"))
    return stated
