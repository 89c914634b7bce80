"""Pictures of a drive and the redacted media made of them: same frames, same times, and nothing else inside."""

import hashlib
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pyarrow.parquet as pq
import pytest

from fleet_assets.ingestion.media.pictures import Frame, TopicPictures, VideoPictures, camera_sources
from fleet_assets.ingestion.media.pixels import without_metadata
from fleet_assets.ingestion.media.redacted import RedactedPictures, Written, redacted_writer
from fleet_assets.ingestion.recordings.media import PayloadRecording
from fleet_assets.ingestion.recordings.open import open_recording
from fleet_assets.ingestion.recordings.video.video import VideoRecording
from fleet_assets.ingestion.vehicle import vehicle_of
from fleet_assets.policy.documents import load_policies
from tests.ingestion.media.picture_topics import CAPTURE_NS, START_NS, STEP_NS, TOPIC, jpeg_file, scene, write_pictures
from tests.ingestion.recordings.video_factory import Video, write_video

POLICY = load_policies()["media"]
OFFSET_NS = 37_000_000_123
UNEVEN = Video(b_frames=2, rate=Fraction(30_000, 1001), steps=(1, 3, 2), timescale=90_000, audio=True)


@pytest.fixture
def topic(tmp_path: Path) -> Iterator[TopicPictures]:
    """Twenty pictures of a topic, of which one is no picture and one is cut."""
    pictures = [jpeg_file(number) for number in range(20)]
    pictures[7], pictures[9] = b"\x00\x00\x00\x01 h264", pictures[9][:300]
    recording = open_recording(write_pictures(tmp_path / "bag", pictures))
    assert isinstance(recording, PayloadRecording)
    yield TopicPictures(recording, "front", TOPIC, OFFSET_NS)
    recording.close()


def video_source(path: Path, video: Video = UNEVEN) -> VideoPictures:
    recording = VideoRecording({path.name: write_video(path, video)})
    return VideoPictures(recording.camera_files("video/0")[0], "front", 0, OFFSET_NS)


def write(source: TopicPictures | VideoPictures, path: Path, changed: int = -1) -> Written:
    writer = redacted_writer(source, path, POLICY)
    for frame in source.frames():
        writer.add(frame, np.full_like(frame.bgr, 128) if frame.index == changed else None)
    written = writer.close()
    assert written is not None
    return written


def facts(frames: Iterator[Frame]) -> list[tuple[int, int, int | None]]:
    return [(frame.index, frame.t_ns, frame.capture_ns) for frame in frames]


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_pictures_of_a_topic_come_with_arrival_on_the_drives_clock_and_their_own_time(topic: TopicPictures) -> None:
    for _ in range(2):
        frames = list(topic.frames())
        assert [frame.index for frame in frames] == [number for number in range(20) if number not in {7, 9}]
        for frame in frames:
            assert frame.t_ns == START_NS + frame.index * STEP_NS + OFFSET_NS
            assert frame.capture_ns == START_NS + frame.index * STEP_NS - CAPTURE_NS
            assert np.abs(frame.bgr[:, :, ::-1].astype(int) - scene(frame.index).astype(int)).mean() < 12
        assert sum(topic.undecodable.values()) == 2
        assert any("'jpeg'" in reason for reason in topic.undecodable)


def test_every_fifth_picture_has_the_index_that_it_has_among_all(topic: TopicPictures) -> None:
    whole = {frame.index: frame for frame in topic.frames()}
    some = list(topic.frames(every=5))
    assert [frame.index for frame in some] == [0, 5, 10, 15]
    for frame in some:
        np.testing.assert_array_equal(frame.bgr, whole[frame.index].bgr)


def test_pictures_that_stay_keep_the_cameras_data_and_lose_its_metadata(topic: TopicPictures, tmp_path: Path) -> None:
    written = write(topic, tmp_path / "a.parquet", changed=3)
    rows = pq.read_table(tmp_path / "a.parquet").to_pylist()
    assert written == Written("frames", "jpeg", 64, 48, 18, START_NS + OFFSET_NS, START_NS + 19 * STEP_NS + OFFSET_NS)
    assert [row["frame"] for row in rows] == [frame.index for frame in topic.frames()]
    for row in rows:
        assert b"secret" not in row["jpeg"]
        assert (row["width"], row["height"]) == (64, 48)
        if row["frame"] != 3:
            assert row["jpeg"] == without_metadata(jpeg_file(row["frame"]))
    assert b"secret" not in (tmp_path / "a.parquet").read_bytes()


def test_media_of_single_pictures_are_read_as_they_were_written(topic: TopicPictures, tmp_path: Path) -> None:
    written = write(topic, tmp_path / "a.parquet", changed=3)
    redacted = RedactedPictures(tmp_path / "a.parquet", "front", written.media, written.first_t_ns)
    assert facts(redacted.frames()) == facts(topic.frames())
    for found, original in zip(redacted.frames(), topic.frames(), strict=True):
        if found.index == 3:
            assert np.abs(found.bgr.astype(int) - 128).max() <= 1
        else:
            np.testing.assert_array_equal(found.bgr, original.bgr)


def test_row_groups_stay_below_the_limit_of_the_policy(topic: TopicPictures, tmp_path: Path) -> None:
    from fleet_assets.ingestion.media.redacted import FramesWriter

    writer = FramesWriter(tmp_path / "a.parquet", POLICY)
    limit = 3 * len(without_metadata(jpeg_file(0)) or b"")
    writer._group_bytes = limit  # noqa: SLF001 - a megabyte of pictures would take seconds
    for frame in topic.frames():
        writer.add(frame)
    writer.close()
    with pq.ParquetFile(tmp_path / "a.parquet") as file:
        assert file.num_row_groups > 5
        for group in range(file.num_row_groups):
            sizes = [len(value) for value in file.read_row_group(group)["jpeg"].to_pylist()]
            assert sum(sizes) <= limit or len(sizes) == 1


@pytest.mark.parametrize("name", ["uneven", "late", "plain", "short"])
def test_a_redacted_video_has_every_frame_at_its_tick(name: str, tmp_path: Path) -> None:
    videos = {
        "uneven": UNEVEN,
        "late": Video(timescale=12_800, rate=Fraction(25), b_frames=3),
        "plain": Video(timescale=25),
        "short": Video(frames=12),
    }
    source = video_source(tmp_path / "a.mp4", videos[name])
    written = write(source, tmp_path / "b.mp4")
    redacted = RedactedPictures(tmp_path / "b.mp4", "front", written.media, written.first_t_ns)
    assert facts(redacted.frames()) == facts(source.frames())
    with av.open(str(tmp_path / "b.mp4")) as container:
        assert [stream.type for stream in container.streams] == ["video"]
        assert container.streams.video[0].time_base == Fraction(1, source.timescale)
        pts = [frame.pts for frame in container.decode(video=0)]
    assert pts == [source.ticks(frame.t_ns) for frame in source.frames()]
    assert written.frames == videos[name].frames == len(pts)


def test_a_video_of_odd_sides_keeps_its_size(tmp_path: Path) -> None:
    source = video_source(tmp_path / "a.mp4")
    writer = redacted_writer(source, tmp_path / "b.mp4", POLICY)
    for frame in source.frames():
        cropped = np.ascontiguousarray(frame.bgr[:47, :63])
        writer.add(Frame(frame.index, frame.t_ns, None, cropped, None))
    written = writer.close()
    assert written is not None
    redacted = RedactedPictures(tmp_path / "b.mp4", "front", written.media, written.first_t_ns)
    assert {frame.bgr.shape for frame in redacted.frames()} == {(47, 63, 3)}
    assert (written.width, written.height) == (63, 47)


def test_a_changed_frame_of_a_video_shows_the_change_and_its_neighbours_do_not(tmp_path: Path) -> None:
    source = video_source(tmp_path / "a.mp4")
    written = write(source, tmp_path / "b.mp4", changed=20)
    redacted = RedactedPictures(tmp_path / "b.mp4", "front", written.media, written.first_t_ns)
    for found, original in zip(redacted.frames(), source.frames(), strict=True):
        error = np.abs(found.bgr.astype(int) - original.bgr.astype(int)).mean()
        if found.index == 20:
            assert np.abs(found.bgr.astype(int) - 128).max() <= 8
        else:
            assert error < 12


@pytest.mark.parametrize("kind", ["topic", "video"])
def test_the_same_pictures_give_the_same_bytes(kind: str, topic: TopicPictures, tmp_path: Path) -> None:
    source: Any = topic if kind == "topic" else video_source(tmp_path / "a.mp4")
    for name in ("one", "two"):
        write(source, tmp_path / name, changed=4)
    assert sha256(tmp_path / "one") == sha256(tmp_path / "two")


def test_a_redacted_video_says_neither_who_made_it_nor_when(tmp_path: Path) -> None:
    write(video_source(tmp_path / "a.mp4"), tmp_path / "b.mp4")
    content = (tmp_path / "b.mp4").read_bytes()
    for mark in (b"x264", b"Lavf", b"Lavc", b"options:", b"mp4a"):
        assert mark not in content
    head = content.index(b"mvhd")
    assert content[head + 8 : head + 16] == bytes(8)
    with av.open(str(tmp_path / "b.mp4")) as container:
        assert not {"encoder", "creation_time"} & set(container.metadata)


@pytest.mark.real_data
def test_the_positions_of_a_real_action_camera_do_not_reach_the_redacted_video(real_data: Path, tmp_path: Path) -> None:
    path = real_data / "driving_videos" / "sample" / "gopro_max_heromode_gpmf.mp4"
    recording = VideoRecording({path.name: path})
    vehicle = vehicle_of(load_policies(), "gopro", ())
    (source,) = camera_sources(recording, vehicle.spec, 0)
    writer = redacted_writer(source, tmp_path / "b.mp4", POLICY)
    for frame in source.frames():
        if frame.index < 30:
            writer.add(frame)
    writer.close()
    assert b"GPS5" in path.read_bytes()
    content = (tmp_path / "b.mp4").read_bytes()
    assert not [mark for mark in (b"GPS5", b"GPMF", b"gpmd", b"GoPro") if mark in content]
    recording.close()


def test_a_source_without_any_picture_writes_no_file(tmp_path: Path) -> None:
    recording = open_recording(write_pictures(tmp_path / "bag", [b"no picture"]))
    assert isinstance(recording, PayloadRecording)
    source = TopicPictures(recording, "front", TOPIC, 0)
    writer = redacted_writer(source, tmp_path / "a.parquet", POLICY)
    for frame in source.frames():
        writer.add(frame)
    assert writer.close() is None
    assert not (tmp_path / "a.parquet").exists()
    recording.close()


def test_every_camera_of_the_spec_is_a_source_and_a_camera_of_several_files_is_one_per_file(tmp_path: Path) -> None:
    files = {
        f"{minute}.mp4": write_video(
            tmp_path / f"{minute}.mp4", Video(frames=8, created=f"2024-05-01T08:0{minute}:00Z")
        )
        for minute in (1, 2)
    }
    recording = VideoRecording(files)
    vehicle = vehicle_of(load_policies(), "dashcam", ())
    sources = camera_sources(recording, vehicle.spec, OFFSET_NS)
    assert [(source.camera, source.part, source.media) for source in sources] == [
        ("camera", 0, "mp4"),
        ("camera", 1, "mp4"),
    ]
    times = [frame.t_ns - OFFSET_NS for source in sources for frame in source.frames()]
    assert times == [t_ns for batch in recording.batches({"video/0"}) for t_ns in batch.t_ns.tolist()]
    recording.close()
