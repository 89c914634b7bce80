"""What files of redacted media state of their pictures' times, against what was written into them."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from fleet_assets.ingestion.media.pictures import Frame, VideoPictures
from fleet_assets.ingestion.media.redacted import FramesWriter, Written, redacted_writer
from fleet_assets.ingestion.media.times import UNREADABLE, MediaTimes, media_times
from fleet_assets.ingestion.recordings.video.video import VideoRecording
from fleet_assets.policy.documents import load_policies
from tests.ingestion.recordings.video_factory import Video, write_video

POLICY = load_policies()["media"]
START_NS = 1_714_550_400 * 10**9
MS = 1_000_000


def photos(path: Path, times_ns: list[int]) -> Written:
    writer = FramesWriter(path, POLICY)
    for number, t_ns in enumerate(times_ns):
        writer.add(Frame(number, t_ns, None, np.full((48, 64, 3), number, np.uint8), None))
    written = writer.close()
    assert written is not None
    return written


def filmed(folder: Path, video: Video) -> tuple[Path, Written]:
    recording = VideoRecording({"a.mp4": write_video(folder / "a.mp4", video)})
    source = VideoPictures(recording.camera_files("video/0")[0], "front", 0, START_NS)
    writer = redacted_writer(source, folder / "b.mp4", POLICY)
    for frame in source.frames():
        writer.add(frame)
    written = writer.close()
    recording.close()
    assert written is not None
    return folder / "b.mp4", written


def test_single_pictures_state_their_number_and_their_times(tmp_path: Path) -> None:
    path = tmp_path / "photos.parquet"
    written = photos(path, [START_NS + 40 * MS, START_NS, START_NS + 90 * MS + 1])
    assert media_times(path, written.media) == MediaTimes(3, START_NS, 90 * MS + 1, 0)


@pytest.mark.parametrize(
    "video",
    [
        Video(frames=31, rate=Fraction(30_000, 1001), timescale=90_000, b_frames=2),
        Video(frames=20, steps=(1, 3, 2), timescale=1_000),
        Video(frames=1),
    ],
    ids=["30 a second", "unsteady", "a single frame"],
)
def test_a_video_states_its_number_of_frames_and_how_long_they_take_to_a_tick(tmp_path: Path, video: Video) -> None:
    path, written = filmed(tmp_path, video)
    held = media_times(path, written.media)
    assert (held.pictures, held.first_ns) == (video.frames, None)
    assert abs(held.length_ns - (written.last_t_ns - written.first_t_ns)) <= held.tick_ns
    assert held.tick_ns < 2 * MS


def test_a_damaged_file_is_none(tmp_path: Path) -> None:
    path, _ = filmed(tmp_path, Video(frames=10))
    path.write_bytes(path.read_bytes()[:200])
    photos(tmp_path / "photos.parquet", [START_NS])
    (tmp_path / "photos.parquet").write_bytes((tmp_path / "photos.parquet").read_bytes()[:-20])
    for damaged, media in ((path, "mp4"), (tmp_path / "photos.parquet", "frames")):
        with pytest.raises(UNREADABLE):
            media_times(damaged, media)
