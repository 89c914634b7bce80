"""Decoded frames against PyAV's own decoding and the reader's times; damaged videos lose frames and say so."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from fleet_assets.ingestion.recordings.video.frames import TrackFrames
from fleet_assets.ingestion.recordings.video.video import VideoRecording
from tests.ingestion.recordings.video_factory import HEIGHT, WIDTH, Video, write_video

VIDEOS = {
    "plain": Video(),
    "reordered": Video(b_frames=3),
    "uneven": Video(b_frames=2, rate=Fraction(30_000, 1001), steps=(1, 3, 2), timescale=90_000),
    "fragmented": Video(b_frames=2, options={"movflags": "frag_keyframe+empty_moov"}),
    "two_tracks": Video(tracks=2, audio=True, frames=20),
    "mpeg4": Video(codec="mpeg4"),
}


def opened(path: Path, channel: str = "video/0") -> tuple[VideoRecording, TrackFrames]:
    recording = VideoRecording({path.name: path})
    return recording, TrackFrames(recording.camera_files(channel)[0])


def streamed(recording: VideoRecording, channel: str = "video/0") -> list[int]:
    return [t_ns for batch in recording.batches({channel}) for t_ns in batch.t_ns.tolist()]


def by_pyav(path: Path, track: int = 0) -> list[np.ndarray]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="bgr24") for frame in container.decode(video=track)]


@pytest.mark.parametrize("name", VIDEOS)
def test_every_frame_comes_once_in_order_with_the_time_that_the_reader_gives(name: str, tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", VIDEOS[name])
    recording, track = opened(path)
    found = list(track.read())
    assert [number for number, _, _ in found] == list(range(VIDEOS[name].frames))
    assert [t_ns for _, t_ns, _ in found] == streamed(recording)
    assert (track.undecodable, track.problem) == (0, "")
    for (_, _, picture), expected in zip(found, by_pyav(path), strict=True):
        np.testing.assert_array_equal(picture, expected)
    recording.close()


def test_cameras_side_by_side_in_one_file_have_their_own_frames(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", VIDEOS["two_tracks"])
    recording, track = opened(path, "video/1")
    for (_, _, picture), expected in zip(track.read(), by_pyav(path, 1), strict=True):
        np.testing.assert_array_equal(picture, expected)
    recording.close()


def test_files_that_follow_each_other_are_read_one_by_one_on_one_clock(tmp_path: Path) -> None:
    files = {
        f"{minute}.mp4": write_video(tmp_path / f"{minute}.mp4", Video(created=f"2024-05-01T08:0{minute}:00Z"))
        for minute in (1, 2)
    }
    recording = VideoRecording(files)
    parts = [TrackFrames(file) for file in recording.camera_files("video/0")]
    assert [t_ns for part in parts for _, t_ns, _ in part.read()] == streamed(recording)
    assert recording.camera_files("audio/0") == recording.camera_files("video/1") == ()
    recording.close()


def test_a_second_reading_gives_the_same_and_only_wanted_frames_are_made(tmp_path: Path) -> None:
    recording, track = opened(write_video(tmp_path / "a.mp4", VIDEOS["reordered"]))
    whole = list(track.read())
    some = list(track.read(lambda number: number % 7 == 0))
    assert [number for number, _, _ in some] == list(range(0, 50, 7))
    for number, t_ns, picture in some:
        assert t_ns == whole[number][1]
        np.testing.assert_array_equal(picture, whole[number][2])
    assert track.undecodable == 0
    recording.close()


@pytest.mark.parametrize("name", ["plain", "uneven"])
def test_the_tick_of_a_frame_is_its_time_to_the_tick(name: str, tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", VIDEOS[name])
    recording, track = opened(path)
    with av.open(str(path)) as container:
        expected = sorted(packet.pts for packet in container.demux(video=0) if packet.pts is not None)
        assert container.streams.video[0].time_base == Fraction(1, track.timescale)
    assert [track.ticks(t_ns) for _, t_ns, _ in track.read()] == expected
    recording.close()


def test_a_cut_video_gives_the_frames_before_the_cut(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", Video(options={"movflags": "faststart"}))
    whole = by_pyav(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])
    recording, track = opened(path)
    found = list(track.read())
    assert 20 < len(found) < 40
    assert track.undecodable == track.frames - len(found)
    for number, _, picture in found[:-1]:
        np.testing.assert_array_equal(picture, whole[number])
    recording.close()


@pytest.mark.parametrize("seed", range(12))
def test_a_damaged_video_never_gives_a_frame_at_a_time_that_the_reader_does_not_know(seed: int, tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", VIDEOS["reordered"])
    content = bytearray(path.read_bytes())
    random = np.random.default_rng(seed)
    first = content.index(b"mdat")
    for place in random.integers(first + 8, first + 200_000, 60):
        if place < len(content) - 6000:
            content[place] = int(random.integers(0, 256))
    path.write_bytes(content)
    recording, track = opened(path)
    known = streamed(recording)
    times = [t_ns for _, t_ns, _ in track.read()]
    assert set(times) <= set(known)
    assert times == sorted(set(times))
    assert len(times) + track.undecodable == track.frames == len(known)
    recording.close()


def test_frames_that_the_decoder_refuses_are_counted(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", VIDEOS["mpeg4"])
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
    content = bytearray(path.read_bytes())
    at, size = packets[20].pos, packets[20].size
    assert at is not None
    content[at : at + size] = bytes(size)
    path.write_bytes(content)
    recording, track = opened(path)
    assert len(list(track.read())) == 49
    assert track.undecodable == 1
    assert track.problem
    recording.close()


def test_a_picture_that_claims_absurd_sides_is_not_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fleet_assets.ingestion.recordings.video.frames.MOST_PIXELS", WIDTH * HEIGHT // 4)
    recording, track = opened(write_video(tmp_path / "a.mp4"))
    assert list(track.read()) == []
    assert track.undecodable == 50
    recording.close()


@pytest.mark.parametrize("turn", [90, 180, 270])
def test_a_video_of_a_turned_phone_comes_upright(turn: int, tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", Video(frames=3))
    whole = by_pyav(path)
    content = bytearray(path.read_bytes())
    # ISO/IEC 14496-12, 8.3.2: the matrix lies 40 bytes behind the box's type; a turn to the right by 90 degrees is
    # (0, 1, 0; -1, 0, 0), as phones write it for portrait.
    at = content.index(b"tkhd") + 4 + 40
    cosine, sine = {90: (0, 1), 180: (-1, 0), 270: (0, -1)}[turn]
    one = 1 << 16
    matrix = [cosine * one, sine * one, 0, -sine * one, cosine * one, 0, 0, 0, 1 << 30]
    content[at : at + 36] = b"".join(value.to_bytes(4, "big", signed=True) for value in matrix)
    path.write_bytes(content)
    recording, track = opened(path)
    for (_, _, picture), expected in zip(track.read(), whole, strict=True):
        np.testing.assert_array_equal(picture, np.rot90(expected, -(turn // 90)))
    recording.close()


@pytest.mark.real_data
@pytest.mark.parametrize("name", ["gopro_max_heromode_gpmf.mp4", "solidWhiteRight.mp4"])
def test_every_frame_of_real_videos_is_decoded_at_its_time(name: str, real_data: Path) -> None:
    recording, track = opened(real_data / "driving_videos" / "sample" / name)
    times = [t_ns for _, t_ns, _ in track.read(lambda number: number % 100 == 0)]
    assert times == streamed(recording)[::100]
    assert track.undecodable == 0
    recording.close()
