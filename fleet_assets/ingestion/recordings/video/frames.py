"""Pictures of a video: every frame decoded, with the time that the reader gives it.

Here belongs decoding. Which frames a file has, and when they are presented, is what `video_files.py` says of its index;
a frame that the decoder makes of anything else is left out, one that it does not make is counted. One thread: the same
file gives the same pictures.
"""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final, Literal, cast

import numpy as np
from numpy.typing import NDArray

from fleet_assets.ingestion.recordings.protocol import NS_PER_S, Loss
from fleet_assets.ingestion.recordings.video.video import CameraFile

if TYPE_CHECKING:
    from av import VideoFrame, VideoStream
    from av.container import InputContainer

MOST_PIXELS: Final = 1 << 26
"""Pictures larger than this (8192 x 8192) are not decoded: four bytes of a header can claim them."""
_QUARTER_TURN: Final = 90
_PLANAR: Final = ("yuv420p", "yuvj420p", "yuv422p", "yuvj422p", "yuv444p", "yuvj444p", "gray")
"""Formats whose first plane is brightness, a byte per pixel."""
Picture = NDArray[np.uint8]
"""uint8[height, width, 3], blue, green, red, upright."""


class ShownFrame:
    """One decoded frame whose pixels are turned into a picture only when asked for.

    Attributes:
        number: Number among the frames that can be shown.
        t_ns: Time on the recording's clock.
    """

    def __init__(self, number: int, t_ns: int, frame: "VideoFrame") -> None:
        self.number, self.t_ns, self._frame = number, t_ns, frame

    def picture(self, order: Literal["bgr24", "rgb24"] = "bgr24") -> Picture:
        """The frame, upright, its colours in this order."""
        return _upright(self._frame, order)

    def brightness(self) -> NDArray[np.uint8]:
        """uint8[height, width], brightness as it lies in the file, which may be turned; a view where there is one."""
        if self._frame.format.name not in _PLANAR:
            return cast("NDArray[np.uint8]", self._frame.to_ndarray(format="gray"))
        plane = self._frame.planes[0]
        rows: NDArray[np.uint8] = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
        return rows[: self._frame.height, : self._frame.width]


class TrackFrames:
    """The frames of one camera in one file, in order of presentation.

    Args:
        camera_file: Where they are.

    Attributes:
        timescale: Ticks per second of the track.
        codec: Codec by its usual name.
        frames: Frames that the reader counts.
        undecodable: Those of them that the last pass gave no picture of.
        problem: What the decoder said first; empty where it said nothing.
    """

    def __init__(self, camera_file: CameraFile) -> None:
        self._at = camera_file
        track = camera_file.file.track(camera_file.own_name)
        self._number, self.timescale, self.codec = track.number, track.timescale, track.codec
        self.frames = 0
        self._times = self._read_times()
        self.undecodable, self.problem = 0, ""

    def _read_times(self) -> dict[int, int]:
        """Time on the recording's clock by tick of the track; of frames at one tick only one can be shown."""
        found: dict[int, int] = {}
        losses: list[Loss] = []
        for source in self._at.file.sources({self._at.own_name: self._at.own_name}, self._at.begin_ns, losses):
            for chunks in source:
                for _, t_ns, columns in chunks:
                    self.frames += len(t_ns)
                    found.update(zip(columns["pts"].tolist(), t_ns.tolist(), strict=True))
        return found

    @property
    def length_ns(self) -> int:
        """From the earliest to the latest frame; 0 where there is none."""
        return max(self._times.values()) - min(self._times.values()) if self._times else 0

    def ticks(self, t_ns: int) -> int:
        """Tick of a time on the recording's clock, counted from where the file's presentation begins."""
        return ((t_ns - self._at.begin_ns) * self.timescale + NS_PER_S // 2) // NS_PER_S

    def shown(self) -> "Iterator[ShownFrame]":
        """Decode the frames without making pictures of them; may be called again.

        Yields:
            The frames that can be shown, by strictly increasing time. All are of one size: a frame of another one, as
            one without a time of its own, counts as undecodable.
        """
        self.problem = ""
        number, last_ns = 0, None
        size: tuple[int, int] | None = None
        for frame in self._decoded():
            t_ns = None if frame.pts is None else self._times.get(frame.pts)
            size = size or (frame.width, frame.height)
            if t_ns is None or (last_ns is not None and t_ns <= last_ns) or size != (frame.width, frame.height):
                continue
            yield ShownFrame(number, t_ns, frame)
            number, last_ns = number + 1, t_ns
        self.undecodable = self.frames - number

    def read(self, wanted: Callable[[int], bool] = lambda _: True) -> Iterator[tuple[int, int, Picture]]:
        """Decode the frames and make pictures of those that are wanted.

        Args:
            wanted: Says by number which frames are given out; all are decoded, since each builds on others.

        Yields:
            Number of the frame among those that can be shown, its time on the recording's clock, and the picture.
        """
        for frame in self.shown():
            if wanted(frame.number):
                yield frame.number, frame.t_ns, frame.picture()

    def _decoded(self) -> "Iterator[VideoFrame]":
        import av

        try:
            # Times are the reader's business, edit lists included.
            with av.open(str(self._at.file.path), options={"ignore_editlist": "1"}) as container:
                stream = self._stream(container)
                if stream is None:
                    self.problem = "the decoder finds no such track"
                    return
                stream.codec_context.thread_type, stream.codec_context.thread_count = "NONE", 1
                stream.codec_context.options = {"max_pixels": str(MOST_PIXELS)}
                for packet in container.demux(stream):
                    yield from self._frames_of(packet)
        except av.error.FFmpegError as error:
            self.problem = self.problem or str(error)

    def _frames_of(self, packet: Any) -> "list[VideoFrame]":
        import av

        try:
            return list(packet.decode())
        except av.error.FFmpegError as error:
            self.problem = self.problem or str(error)
            return []

    def _stream(self, container: "InputContainer") -> "VideoStream | None":
        videos = list(container.streams.video)
        same = [stream for stream in videos if stream.id == self._number]
        place = int(self._at.own_name.rpartition("/")[2])
        return same[0] if len(same) == 1 else next(iter(videos[place : place + 1]), None)


def _upright(frame: "VideoFrame", order: str) -> Picture:
    picture = cast("Picture", frame.to_ndarray(format=order))
    turns = int(frame.rotation) // _QUARTER_TURN % 4
    return np.ascontiguousarray(np.rot90(picture, turns)) if turns else picture
