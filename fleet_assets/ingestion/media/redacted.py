"""Redacted media: written picture by picture, and read again.

Here belongs what the files look like. Which pixels are blurred is decided elsewhere and arrives as pixels. Files carry
nothing but pictures and their times: no audio, no telemetry (which holds positions), no metadata, no time of writing.
The same pictures give the same bytes.

Single pictures are one Parquet file per camera (``frame``, ``t_ns``, ``capture_ns``, ``width``, ``height``, ``jpeg``).
Videos are MP4 with H.264, with the clock of the original: a frame's time since its file's presentation began is the
same to the tick.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Final, Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from fleet_assets.ingestion.media.pictures import FRAMES, MP4, Frame, TopicPictures, VideoPictures
from fleet_assets.ingestion.media.pixels import Pixels, decoded, jpeg_of
from fleet_assets.ingestion.recordings.messages.media_messages import Picture
from fleet_assets.ingestion.recordings.video.frames import TrackFrames
from fleet_assets.ingestion.recordings.video.video import VideoRecording
from fleet_assets.perception.runtime import single_threaded_opencv

_JPEG: Final = "jpeg"
_H264: Final = "h264"
_SEI_UNITS: Final = 6
"""Units in which x264 states its version."""
_HALVED, _WHOLE = "yuv420p", "yuv444p"
_CHANNEL: Final = "video/0"
_MB: Final = 1 << 20
SCHEMA: Final = pa.schema(
    [
        pa.field("frame", pa.int64(), nullable=False),
        pa.field("t_ns", pa.int64(), nullable=False),
        pa.field("capture_ns", pa.int64()),
        pa.field("width", pa.int32(), nullable=False),
        pa.field("height", pa.int32(), nullable=False),
        pa.field("jpeg", pa.binary(), nullable=False),
    ]
)


@dataclass(frozen=True, slots=True)
class Written:
    """What a file of redacted media holds.

    Attributes:
        media: ``frames`` or ``mp4``.
        codec: ``jpeg`` or ``h264``.
        width: Columns of the widest picture.
        height: Rows of the highest picture.
        frames: Number of pictures.
        first_t_ns: Earliest time of a picture on the drive's clock in bronze.
        last_t_ns: Latest one.
    """

    media: str
    codec: str
    width: int
    height: int
    frames: int
    first_t_ns: int
    last_t_ns: int


class RedactedWriter(Protocol):
    """Writes one file of redacted media."""

    def add(self, frame: Frame, pixels: Pixels | None = None) -> None:
        """Append a picture.

        Args:
            frame: The picture.
            pixels: What to show instead, of the same size; the picture itself when None.
        """
        ...

    def close(self) -> Written | None:
        """Finish the file; None, and no file, where no picture was added."""
        ...


class _Tally:
    """Size and times of the pictures so far."""

    def __init__(self) -> None:
        self.width = self.height = self.frames = self.first_t_ns = self.last_t_ns = 0

    def add(self, frame: Frame) -> None:
        height, width = frame.bgr.shape[:2]
        self.width, self.height = max(self.width, width), max(self.height, height)
        self.first_t_ns = min(frame.t_ns, self.first_t_ns) if self.frames else frame.t_ns
        self.last_t_ns = max(frame.t_ns, self.last_t_ns) if self.frames else frame.t_ns
        self.frames += 1

    def written(self, media: str, codec: str) -> Written | None:
        if not self.frames:
            return None
        return Written(media, codec, self.width, self.height, self.frames, self.first_t_ns, self.last_t_ns)


class FramesWriter:
    """Writes single pictures into a Parquet file.

    Args:
        path: The file.
        policy: The document `media`.
    """

    def __init__(self, path: Path, policy: Mapping[str, Any]) -> None:
        self._path, self._tally = path, _Tally()
        self._quality, self._group_bytes = int(policy["jpeg_quality"]), int(policy["row_group_mb"]) * _MB
        self._rows: list[dict[str, Any]] = []
        self._held_bytes = 0
        self._file: pq.ParquetWriter | None = None

    def add(self, frame: Frame, pixels: Pixels | None = None) -> None:
        """Append a picture; one that stays as it is keeps the camera's own JPEG data."""
        jpeg = frame.jpeg if pixels is None else None
        if jpeg is None:
            jpeg = jpeg_of(frame.bgr if pixels is None else pixels, self._quality)
        if self._rows and self._held_bytes + len(jpeg) > self._group_bytes:
            self._flush()
        height, width = frame.bgr.shape[:2]
        place = {"frame": frame.index, "t_ns": frame.t_ns, "capture_ns": frame.capture_ns}
        self._rows.append({**place, "width": width, "height": height, "jpeg": jpeg})
        self._held_bytes += len(jpeg)
        self._tally.add(frame)

    def _flush(self) -> None:
        if self._file is None:
            self._file = pq.ParquetWriter(
                self._path, SCHEMA, compression="none", version="2.6", use_dictionary=False, store_schema=False,
                write_statistics=["frame", "t_ns"],
            )  # fmt: skip
        self._file.write_table(pa.Table.from_pylist(self._rows, SCHEMA), row_group_size=len(self._rows))
        self._rows, self._held_bytes = [], 0

    def close(self) -> Written | None:
        """Finish the file."""
        if self._rows:
            self._flush()
        if self._file is not None:
            self._file.close()
        return self._tally.written(FRAMES, _JPEG)


class VideoWriter:
    """Writes the frames of one video into an MP4 file.

    Args:
        path: The file.
        policy: The document `media`.
        source: The original, whose clock the frames keep.
    """

    def __init__(self, path: Path, policy: Mapping[str, Any], source: VideoPictures) -> None:
        self._path, self._policy, self._source, self._tally = path, policy["video"], source, _Tally()
        self._container: Any = None
        self._shift: int | None = None
        self._last = -1
        self._written: int | None = None

    def _open(self, width: int, height: int) -> None:
        import av
        from av.bitstream import BitStreamFilterContext

        timescale = self._source.timescale
        options = {"video_track_timescale": str(timescale), "movie_timescale": str(timescale)}
        self._container = av.open(
            str(self._path), "w", format="mp4", options=options, container_options={"fflags": "+bitexact"}
        )
        stream: Any = self._container.add_stream("libx264", rate=None)
        stream.width, stream.height = width, height
        # Frames of odd size have no halved colours.
        stream.pix_fmt = _HALVED if width % 2 == height % 2 == 0 else _WHOLE
        stream.time_base = stream.codec_context.time_base = Fraction(1, timescale)
        stream.codec_context.thread_type, stream.codec_context.thread_count = "NONE", 1
        stream.codec_context.flags |= av.codec.context.Flags.bitexact
        stream.codec_context.options = {
            "preset": self._policy["preset"],
            "crf": str(self._policy["crf"]),
            "bf": "0",
            "g": str(self._policy["keyframe_every"]),
            "x264-params": "threads=1:lookahead-threads=1:sliced-threads=0:cpu-independent=1:force-cfr=0",
        }
        stream.codec_context.open()
        self._filter = BitStreamFilterContext(f"filter_units=remove_types={_SEI_UNITS}", stream)
        self._stream = stream

    def add(self, frame: Frame, pixels: Pixels | None = None) -> None:
        """Append a frame."""
        shown = frame.bgr if pixels is None else pixels
        if self._container is None:
            self._open(shown.shape[1], shown.shape[0])
        ticks = self._source.ticks(frame.t_ns)
        if self._shift is None:
            self._shift = max(0, -ticks)
        self._last = max(ticks + self._shift, self._last + 1)
        picture = _encodable(shown, self._stream.pix_fmt)
        picture.pts, picture.time_base = self._last, self._stream.codec_context.time_base
        self._write(self._stream.encode(picture))
        self._tally.add(frame)

    def _write(self, packets: Iterable[Any]) -> None:
        for packet in packets:
            for filtered in self._filter.filter(packet):
                filtered.stream = self._stream
                # Every duration but the last follows from the next frame; the encoder would guess that one.
                shown = int(filtered.pts or 0)
                if self._written is not None:
                    filtered.duration = shown - self._written
                self._written = shown
                self._container.mux(filtered)

    def close(self) -> Written | None:
        """Finish the file."""
        if self._container is not None:
            self._write([*self._stream.encode(None), None])
            self._container.close()
        return self._tally.written(MP4, _H264)


def _encodable(shown: Pixels, pix_fmt: str) -> Any:
    """A frame in the encoder's colours."""
    import av

    if pix_fmt != _HALVED:
        return av.VideoFrame.from_ndarray(shown, format="bgr24").reformat(format=pix_fmt)
    # OpenCV rounds; the scaler of PyAV cuts off, which darkens every picture by two levels.
    cv2 = single_threaded_opencv()
    return av.VideoFrame.from_ndarray(cv2.cvtColor(shown, cv2.COLOR_BGR2YUV_I420), format=pix_fmt)


def redacted_writer(source: TopicPictures | VideoPictures, path: Path, policy: Mapping[str, Any]) -> RedactedWriter:
    """A writer of the kind of media that a source has.

    Args:
        source: Where the pictures come from.
        path: File to write.
        policy: The document `media`.
    """
    return VideoWriter(path, policy, source) if isinstance(source, VideoPictures) else FramesWriter(path, policy)


def pictures_in(path: Path, media: str) -> int:
    """Pictures that a file of redacted media holds, by its own index; nothing is decoded.

    Args:
        path: The file.
        media: ``frames`` or ``mp4``.
    """
    if media == FRAMES:
        return int(pq.read_metadata(path).num_rows)
    recording = VideoRecording({path.name: path})
    try:
        (file,) = recording.camera_files(_CHANNEL)
        return TrackFrames(file).frames
    finally:
        recording.close()


class RedactedPictures:
    """Pictures of a file of redacted media; see `pictures.PictureSource`.

    A frame of single pictures has the index of its original; one of a video counts on from 0, as its original does.

    Args:
        path: The file.
        camera: Sensor of the vehicle spec.
        media: ``frames`` or ``mp4``.
        first_t_ns: Earliest time of its pictures on the drive's clock in bronze.
    """

    part = 0

    def __init__(self, path: Path, camera: str, media: str, first_t_ns: int) -> None:
        self.camera, self.media = camera, media
        self.undecodable: Counter[str] = Counter()
        self._path, self._first_t_ns = path, first_t_ns

    def frames(self, every: int = 1) -> Iterator[Frame]:
        """Yield pictures; see `PictureSource`."""
        return self._read(lambda number: number % every == 0)

    def numbers(self) -> list[int]:
        """Numbers of all pictures, ascending; nothing is decoded."""
        if self.media == MP4:
            return list(range(pictures_in(self._path, self.media)))
        return sorted(pq.read_table(self._path, columns=["frame"])["frame"].to_pylist())

    def chosen(self, numbers: Collection[int]) -> Iterator[Frame]:
        """Yield the pictures of these numbers, in their order; others are not decoded where the media allow it."""
        wanted = frozenset(numbers)
        return self._read(lambda number: number in wanted)

    def _read(self, wanted: Callable[[int], bool]) -> Iterator[Frame]:
        self.undecodable.clear()
        return self._video(wanted) if self.media == MP4 else self._pictures(wanted)

    def _pictures(self, wanted: Callable[[int], bool]) -> Iterator[Frame]:
        with pq.ParquetFile(self._path) as file:
            for group in range(file.num_row_groups):
                for batch in file.iter_batches(8, row_groups=[group], use_threads=False):
                    for row in batch.to_pylist():
                        if wanted(row["frame"]):
                            bgr, _ = decoded(Picture(None, _JPEG, row["jpeg"]))
                            yield Frame(row["frame"], row["t_ns"], row["capture_ns"], bgr, row["jpeg"])

    def _video(self, wanted: Callable[[int], bool]) -> Iterator[Frame]:
        recording = VideoRecording({self._path.name: self._path})
        try:
            (file,) = recording.camera_files(_CHANNEL)
            track = TrackFrames(file)
            shift: int | None = None
            for index, t_ns, bgr in track.read(wanted):
                shift = self._first_t_ns - t_ns if shift is None else shift
                yield Frame(index, t_ns + shift, None, bgr, None)
            if track.undecodable:
                self.undecodable[track.problem or "a frame that the decoder does not give"] = track.undecodable
        finally:
            recording.close()
