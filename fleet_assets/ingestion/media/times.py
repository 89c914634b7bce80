"""What a file of redacted media itself says of its pictures' number and times, by its index; nothing is decoded."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from fleet_assets.ingestion.media.pictures import FRAMES
from fleet_assets.ingestion.recordings.protocol import NS_PER_S, UnreadableRecordingError
from fleet_assets.ingestion.recordings.video.frames import TrackFrames
from fleet_assets.ingestion.recordings.video.video import VideoRecording

UNREADABLE: Final = (UnreadableRecordingError, pa.ArrowInvalid)
"""What `media_times` raises for a damaged file."""
_CHANNEL: Final = "video/0"


@dataclass(frozen=True, slots=True)
class MediaTimes:
    """Number and times of the pictures in a file.

    Attributes:
        pictures: How many.
        first_ns: Time of the earliest one on the drive's clock in bronze; None for a video, which does not state it.
        length_ns: From the earliest to the latest one.
        tick_ns: How exactly the file states times.
    """

    pictures: int
    first_ns: int | None
    length_ns: int
    tick_ns: int


def media_times(path: Path, media: str) -> MediaTimes:
    """Read them.

    Args:
        path: The file.
        media: ``frames`` or ``mp4``.

    Raises:
        UnreadableRecordingError: When a video is damaged.
        pyarrow.ArrowInvalid: When a file of single pictures is.
    """
    if media == FRAMES:
        t_ns = pq.read_table(path, columns=["t_ns"])["t_ns"]
        ends = pc.min_max(t_ns).as_py()
        first_ns, last_ns = ends["min"], ends["max"]
        return MediaTimes(len(t_ns), first_ns, (last_ns or 0) - (first_ns or 0), 0)
    recording = VideoRecording({path.name: path})
    try:
        (file,) = recording.camera_files(_CHANNEL)
        track = TrackFrames(file)
        return MediaTimes(track.frames, None, track.length_ns, -(-NS_PER_S // track.timescale))
    finally:
        recording.close()
