"""Pictures of one camera of a drive, one after the other: as recorded, and as redacted media hold them.

Here belongs where pictures come from and when they were taken. What is found or blurred in them is the redaction's
business; single pictures are decoded in `pixels.py`.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

from fleet_assets.ingestion.media.pixels import Pixels, UndecodablePictureError, decoded
from fleet_assets.ingestion.recordings.media import MessageKind, PayloadRecording
from fleet_assets.ingestion.recordings.messages.media_messages import NotAPictureError, picture_of
from fleet_assets.ingestion.recordings.messages.ros_scalar import BrokenMessageError
from fleet_assets.ingestion.recordings.messages.whole_messages import UnknownMessageError
from fleet_assets.ingestion.recordings.protocol import Recording
from fleet_assets.ingestion.recordings.video.frames import TrackFrames
from fleet_assets.ingestion.recordings.video.video import CameraFile, VideoRecording
from fleet_assets.policy.vehicles import VehicleSpec

FRAMES: Final = "frames"
"""Pictures one by one, each a JPEG."""
MP4: Final = "mp4"
_CAMERA: Final = "camera"


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One picture.

    Attributes:
        index: Its number in the source, from 0; a picture message that cannot be decoded leaves a gap.
        t_ns: Time on the drive's clock in bronze: recording clock plus `drives.clock_offset_ns`.
        capture_ns: Time stamp of the measurement on the sensor's own clock; None where the recording has none.
        bgr: uint8[height, width, 3], blue, green, red, upright.
        jpeg: The picture as a JPEG file without metadata, where it was recorded as one.
    """

    index: int
    t_ns: int
    capture_ns: int | None
    bgr: Pixels
    jpeg: bytes | None


class PictureSource(Protocol):
    """The pictures of one camera in order of recording; may be read several times, with the same result.

    Attributes:
        camera: Sensor of the vehicle spec.
        part: Which of the camera's files, from 0; always 0 for topics.
        media: ``frames`` or ``mp4``.
        undecodable: Pictures that the last pass could not give out, by reason; complete once it ended.
    """

    @property
    def camera(self) -> str: ...  # noqa: D102
    @property
    def part(self) -> int: ...  # noqa: D102
    @property
    def media(self) -> str: ...  # noqa: D102
    @property
    def undecodable(self) -> Mapping[str, int]: ...  # noqa: D102

    def frames(self, every: int = 1) -> Iterator[Frame]:
        """Yield the pictures whose index is a multiple of ``every``, one in memory at a time."""
        ...


class TopicPictures:
    """Pictures of a topic, or of a folder of stills.

    Args:
        recording: The opened recording; closed by the caller.
        camera: Sensor of the vehicle spec.
        channel: Its channel.
        clock_offset_ns: UTC minus the recording's own clock.
    """

    media = FRAMES
    part = 0

    def __init__(self, recording: PayloadRecording, camera: str, channel: str, clock_offset_ns: int) -> None:
        self.camera = camera
        self.undecodable: Counter[str] = Counter()
        self._recording, self._channel, self._offset_ns = recording, channel, clock_offset_ns

    def frames(self, every: int = 1) -> Iterator[Frame]:
        """Yield pictures; see `PictureSource`."""
        self.undecodable.clear()
        readers: dict[MessageKind, Any] = {}
        for index, payload in enumerate(self._recording.payloads({self._channel})):
            if index % every:
                continue
            try:
                if payload.kind not in readers:
                    readers[payload.kind] = payload.kind.reader()
                picture = picture_of(readers[payload.kind](payload.data))
                bgr, jpeg = decoded(picture)
            except BrokenMessageError:
                self.undecodable["a broken message"] += 1
            except (NotAPictureError, UnknownMessageError, UndecodablePictureError) as error:
                self.undecodable[str(error)] += 1
            else:
                yield Frame(index, payload.t_ns + self._offset_ns, picture.capture_ns, bgr, jpeg)


class VideoPictures:
    """Frames of one video file.

    Args:
        camera_file: The file.
        camera: Sensor of the vehicle spec.
        part: Which of the camera's files it is.
        clock_offset_ns: UTC minus the recording's own clock.
    """

    media = MP4

    def __init__(self, camera_file: CameraFile, camera: str, part: int, clock_offset_ns: int) -> None:
        self.camera, self.part = camera, part
        self.undecodable: Counter[str] = Counter()
        self._track, self._offset_ns = TrackFrames(camera_file), clock_offset_ns

    @property
    def timescale(self) -> int:
        """Ticks per second of the track's clock."""
        return self._track.timescale

    def ticks(self, t_ns: int) -> int:
        """Tick of a frame's time since the file's presentation began."""
        return self._track.ticks(t_ns - self._offset_ns)

    def frames(self, every: int = 1) -> Iterator[Frame]:
        """Yield frames; see `PictureSource`."""
        self.undecodable.clear()
        for index, t_ns, bgr in self._track.read(lambda number: number % every == 0):
            yield Frame(index, t_ns + self._offset_ns, None, bgr, None)
        if self._track.undecodable:
            self.undecodable[self._track.problem or "a frame that the decoder does not give"] = self._track.undecodable


def camera_sources(
    recording: Recording, spec: VehicleSpec, clock_offset_ns: int
) -> list[TopicPictures | VideoPictures]:
    """The pictures of a drive: every camera of its vehicle spec that the recording can have pictures of.

    Args:
        recording: The opened recording; the sources live no longer than it.
        spec: Its vehicle spec.
        clock_offset_ns: UTC minus the recording's own clock.

    Returns:
        Sources in the order of the spec; several for a camera whose video comes in several files.
    """
    sources: list[TopicPictures | VideoPictures] = []
    for sensor in spec.sensors.values():
        if sensor.kind != _CAMERA:
            continue
        if isinstance(recording, VideoRecording):
            files = recording.camera_files(sensor.channel)
            sources += [VideoPictures(file, sensor.name, part, clock_offset_ns) for part, file in enumerate(files)]
        elif isinstance(recording, PayloadRecording):
            sources.append(TopicPictures(recording, sensor.name, sensor.channel, clock_offset_ns))
    return sources
