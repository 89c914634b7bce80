"""Videos: every frame counted, timed and measured as PyAV's demuxer does, and what damage costs counted exactly."""

import re
import struct
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Final

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleet_assets.ingestion.recordings.open import open_recording, sniff_format
from fleet_assets.ingestion.recordings.protocol import NS_PER_S, WINDOW_NS, Batch, Summary, UnreadableRecordingError
from fleet_assets.ingestion.recordings.video.video import VideoRecording
from tests.harness import utc_ns
from tests.ingestion.recordings.corruption import FAST_SEEDS, SLOW_SEEDS, assert_survives, read_limited
from tests.ingestion.recordings.video_factory import (
    Packet,
    Video,
    demuxed,
    full_box,
    write_video,
)

SEEDS: Final = [*FAST_SEEDS, *(pytest.param(seed, marks=pytest.mark.slow) for seed in SLOW_SEEDS)]
PLAIN: Final = Video()
WRITTEN: Final = {
    "plain": PLAIN,
    "frames that look ahead, with an edit list": Video(b_frames=2),
    "index first": Video(b_frames=2, options={"movflags": "faststart"}),
    "negative composition offsets instead of an edit list": Video(
        b_frames=2, options={"movflags": "negative_cts_offsets"}
    ),
    "fragments": Video(b_frames=2, options={"movflags": "frag_keyframe+empty_moov"}),
    "fragments based on their moof": Video(b_frames=1, options={"movflags": "frag_every_frame+default_base_moof"}),
    "two cameras and sound": Video(tracks=2, audio=True),
    "sound in fragments": Video(audio=True, options={"movflags": "frag_keyframe+empty_moov"}),
    "odd time scale": Video(rate=Fraction(30000, 1001), timescale=90_001),
    "variable frame rate": Video(steps=(1, 1, 3, 2, 7), b_frames=2),
    "another codec": Video(codec="mpeg4", b_frames=1),
    "QuickTime": Video(container="mov", b_frames=2),
}


def read(path: Path) -> tuple[list[Batch], Summary, VideoRecording]:
    recording = VideoRecording({path.name: path})
    try:
        return list(recording.batches()), recording.summary(), recording
    finally:
        recording.close()


def read_bytes(path: Path, content: bytes) -> tuple[list[Batch], Summary]:
    path.write_bytes(content)
    return read(path)[:2]


def packets(batches: list[Batch]) -> dict[str, list[Packet]]:
    found: dict[str, list[Packet]] = {}
    for batch in batches:
        rows = zip(batch.t_ns, batch.columns["size_bytes"], batch.columns["is_keyframe"], strict=True)
        found.setdefault(batch.channel, []).extend(Packet(int(t), int(size), bool(key)) for t, size, key in rows)
    return found


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Bytes of a video with frames that look ahead, index first."""
    folder = tmp_path_factory.mktemp("plain")
    return write_video(folder / "a", Video(b_frames=2, options={"movflags": "faststart"})).read_bytes()


@pytest.fixture(scope="module")
def in_pieces(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Bytes of a fragmented video."""
    folder = tmp_path_factory.mktemp("pieces")
    return write_video(folder / "a", Video(b_frames=2, options={"movflags": "frag_keyframe+empty_moov"})).read_bytes()


@pytest.mark.parametrize("video", WRITTEN.values(), ids=WRITTEN)
def test_every_frame_has_the_time_and_size_that_the_usual_demuxer_gives(tmp_path: Path, video: Video) -> None:
    path = write_video(tmp_path / "a", video)
    batches, summary, recording = read(path)
    expected = demuxed(path)
    assert packets(batches) == expected
    assert len(expected["video/0"]) == video.frames
    assert {channel.name: channel.message_count for channel in recording.channels()} == {
        name: len(found) for name, found in expected.items()
    }
    for name, channel in summary.channels.items():
        times = [packet.t_ns for packet in expected[name]]
        assert (channel.messages, channel.first_t_ns, channel.last_t_ns) == (len(times), min(times), max(times))
    lost = [loss for loss in summary.losses if loss.messages or loss.lost_bytes]
    assert lost == []


def test_frames_leave_in_the_order_in_which_they_are_seen(tmp_path: Path) -> None:
    batches, _, recording = read(write_video(tmp_path / "a", Video(frames=600, b_frames=3)))
    times = np.concatenate([batch.t_ns for batch in batches])
    assert (np.diff(times) == NS_PER_S // 25).all()
    assert len(batches) > 1
    assert all(np.ptp(batch.t_ns) < WINDOW_NS for batch in batches)
    assert recording.extent_ns() == (0, 599 * NS_PER_S // 25)
    stored = np.concatenate([batch.columns["pts"] for batch in batches])
    assert (np.diff(stored) > 0).all()
    assert {int(step) for batch in batches for step in batch.columns["duration_ns"]} == {NS_PER_S // 25}


def test_the_codec_is_named_and_the_start_is_the_creation_time(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a", Video(audio=True))
    recording = open_recording({"clip": path})
    assert sniff_format({"clip": path}) == recording.format == "mp4"
    assert {channel.name: channel.type for channel in recording.channels()} == {"video/0": "h264", "audio/0": "aac"}
    assert recording.clock == "monotonic"
    start_ns = recording.container_start_ns
    # Sound begins one packet before the picture.
    assert start_ns is not None
    assert start_ns - recording.extent_ns()[0] == utc_ns("2024-05-01T08:00:00")
    recording.close()


@pytest.mark.parametrize("created", ["1970-01-01T00:00:00Z", "1904-01-01T00:00:01Z"])
def test_the_date_of_a_clock_that_was_never_set_is_no_start(tmp_path: Path, created: str) -> None:
    assert read(write_video(tmp_path / "a", Video(created=created)))[2].container_start_ns is None


def test_only_wanted_channels_are_read(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a", Video(audio=True))
    recording = VideoRecording({"a": path})
    assert {batch.channel for batch in recording.batches(["audio/0"])} == {"audio/0"}
    assert recording.summary().channels["video/0"].messages == 0
    recording.close()


def edited(content: bytes, edits: list[tuple[int, int]]) -> bytes:
    """Replace a file's one edit by others; the index comes last, so that its growth moves no frame."""
    at = content.index(b"elst") - 4
    new = full_box(b"elst", struct.pack(">I", len(edits)), *(struct.pack(">IiI", *edit, 1 << 16) for edit in edits))
    old_size = int.from_bytes(content[at : at + 4], "big")
    grown = len(new) - old_size
    data = bytearray(content[:at] + new + content[at + old_size :])
    for kind in (b"edts", b"trak", b"moov"):
        place = data.index(kind) - 4
        data[place : place + 4] = (int.from_bytes(data[place : place + 4], "big") + grown).to_bytes(4, "big")
    return bytes(data)


def test_an_empty_edit_delays_and_a_late_first_edit_moves_frames_before_zero(tmp_path: Path) -> None:
    # The movie's clock, in which lengths are stated, ticks 1000 times a second.
    path = write_video(tmp_path / "a", Video(timescale=25))
    content = path.read_bytes()
    path.write_bytes(edited(content, [(500, -1), (2000, 0)]))
    assert packets(read(path)[0])["video/0"][0].t_ns == NS_PER_S // 2
    path.write_bytes(edited(content, [(1000, 25)]))
    batches, summary, recording = read(path)
    times = np.concatenate([batch.t_ns for batch in batches])
    assert (int(times[0]), int(times[25]), len(times)) == (-NS_PER_S, 0, 50)
    assert summary.losses == ()
    assert recording.container_start_ns == utc_ns("2024-05-01T08:00:00") - NS_PER_S


def test_frames_that_several_edits_leave_out_are_counted(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a", Video(timescale=25))
    # Half a second from frame 5 on, then a second from frame 25 on.
    path.write_bytes(edited(path.read_bytes(), [(480, 5), (1000, 25)]))
    batches, summary, _ = read(path)
    times = np.concatenate([batch.t_ns for batch in batches])
    assert times.tolist() == [step * NS_PER_S // 25 for step in range(12 + 25)]
    (loss,) = summary.losses
    assert (loss.messages, loss.lost_bytes, loss.channel) == (50 - 37, 0, "video/0")
    assert "left out by the edit list" in loss.reason


def test_a_cut_file_with_its_index_first_loses_exactly_the_frames_behind_the_cut(tmp_path: Path, plain: bytes) -> None:
    path = tmp_path / "a"
    path.write_bytes(plain)
    whole = packets(read(path)[0])["video/0"]
    for share in (0.3, 0.8, 0.99):
        path.write_bytes(plain[: int(len(plain) * share)])
        batches, summary, _ = read(path)
        kept = packets(batches).get("video/0", [])
        lost = [loss for loss in summary.losses if loss.channel == "video/0"]
        assert set(kept) < set(whole)
        assert sum(loss.messages or 0 for loss in lost) == len(whole) - len(kept)
        assert sum(loss.lost_bytes for loss in lost) == sum(one.size for one in whole) - sum(one.size for one in kept)
        assert {loss.rule for loss in summary.losses} == {"truncated_file"}


def test_a_cut_file_with_its_index_last_says_why_and_what_to_do(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a")
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(UnreadableRecordingError, match="let the camera repair") as caught:
        read(path)
    assert caught.value.rule == "missing_index"


def test_a_cut_fragmented_file_keeps_its_whole_fragments(tmp_path: Path, in_pieces: bytes) -> None:
    path = tmp_path / "a"
    whole = packets(read_bytes(path, in_pieces)[0])["video/0"]
    last = max(number for number, packet in enumerate(whole) if packet.key)
    boundary = in_pieces.rindex(b"moof") - 4
    batches, summary = read_bytes(path, in_pieces[:boundary])
    assert packets(batches)["video/0"] == whole[:last]
    assert [(loss.rule, loss.messages) for loss in summary.losses] == [("truncated_file", None)]
    batches, summary = read_bytes(path, in_pieces[: boundary + 40])
    assert packets(batches)["video/0"] == whole[:last]
    assert "truncated_file" in {loss.rule for loss in summary.losses}
    batches, summary = read_bytes(path, in_pieces[: in_pieces.rindex(b"mdat") + 2000])
    kept = packets(batches)["video/0"]
    counted = [loss for loss in summary.losses if loss.channel == "video/0"]
    assert last < len(kept) < len(whole)
    assert sum(loss.messages or 0 for loss in counted) == len(whole) - len(kept)


def test_a_fragment_that_is_gone_is_noticed_by_the_time_that_it_leaves_open(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a", Video(options={"movflags": "frag_keyframe+empty_moov+default_base_moof"}))
    content = path.read_bytes()
    places = [match.start() - 4 for match in re.finditer(b"moof", content)]
    batches, summary = read_bytes(path, content[: places[1]] + content[places[2] :])
    assert sum(map(len, batches)) == 50 - 12
    assert [(loss.rule, loss.messages) for loss in summary.losses] == [("broken_fragment", None)]


def test_composition_offsets_below_zero_begin_at_zero_without_an_edit_list(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a", Video(b_frames=2, options={"movflags": "cmaf+frag_keyframe"}))
    found = packets(read(path)[0])["video/0"]
    assert [packet.t_ns for packet in found] == [step * NS_PER_S // 25 for step in range(50)]
    assert [packet.size for packet in found] == [packet.size for packet in demuxed(path)["video/0"]]


def test_an_index_whose_container_box_lies_is_found_by_search(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a", Video(b_frames=2))
    content = path.read_bytes()
    expected = packets(read(path)[0])
    for at, kind in ((content.index(b"mdat"), "size"), (content.index(b"moov"), "name")):
        for value in (b"\xff\xff\xff\xff", b"\x00\x00\x00\x05"):
            start = at - 4 if kind == "size" else at
            path.write_bytes(content[:start] + value + content[start + 4 :])
            batches, summary, _ = read(path)
            assert packets(batches) == expected, (kind, value)
            assert "broken_index" in {loss.rule for loss in summary.losses}


def test_frames_whose_units_do_not_add_up_are_left_out_and_counted(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a")
    content = bytearray(path.read_bytes())
    whole = packets(read(path)[0])["video/0"]
    start = content.index(b"mdat") + 4
    third = start + whole[0].size + whole[1].size
    content[third : third + whole[2].size + 4] = bytes(whole[2].size + 4)
    path.write_bytes(content)
    batches, summary, _ = read(path)
    assert packets(batches)["video/0"] == whole[:2] + whole[4:]
    (loss,) = summary.losses
    assert (loss.rule, loss.messages, loss.lost_bytes) == ("broken_frame", 2, whole[2].size + whole[3].size)


def test_tables_that_claim_billions_of_frames_cost_neither_memory_nor_time(tmp_path: Path, plain: bytes) -> None:
    for table, entry in ((b"stsz", 4), (b"stts", 8), (b"ctts", 8), (b"stsc", 12)):
        at = plain.index(table) + (12 if table == b"stsz" else 8)
        hostile = bytearray(plain)
        hostile[at : at + 4] = b"\xff\xff\xff\xff"
        hostile[at + 4 : at + 4 + entry] = b"\x7f\xff\xff\xff" * (entry // 4)
        assert read_limited({"a": bytes(hostile)}, ("mp4",)).state in ("read", "refused"), table
    constant = bytearray(plain)
    at = plain.index(b"stsz") + 8
    constant[at : at + 8] = b"\0\0\0\1\xff\xff\xff\xff"
    outcome = read_limited({"a": bytes(constant)}, ("mp4",))
    assert outcome.total <= len(plain)
    assert "tables_disagree" in {rule for rule, _, _ in outcome.losses}


@pytest.mark.parametrize("seed", SEEDS)
def test_a_damaged_video_is_read_or_refused_and_what_is_missing_is_named(plain: bytes, seed: int) -> None:
    kinds = (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stts", b"ctts", b"stsc", b"stsz", b"stco", b"elst", b"mdat")
    fields = [plain.index(kind) + step for kind in kinds for step in range(-4, 24, 4)]
    assert_survives(plain, seed, name="a", formats=("mp4",), intact=50, boundaries=fields)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_damaged_fragmented_video_is_read_or_refused_and_what_is_missing_is_named(
    in_pieces: bytes, seed: int
) -> None:
    places = [match.start() for match in re.finditer(b"moof|traf|tfhd|trun|tfdt", in_pieces)]
    fields = [at + step for at in places for step in range(-4, 24, 4)]
    assert_survives(in_pieces, seed, name="a", formats=("mp4",), intact=50, boundaries=fields)


def test_files_that_follow_each_other_are_one_recording(tmp_path: Path) -> None:
    first = write_video(tmp_path / "a", replace(PLAIN, frames=75))
    second = write_video(tmp_path / "b", replace(PLAIN, created="2024-05-01T08:00:03Z"))
    recording = VideoRecording({"2.mp4": second, "1.mp4": first})
    assert [(channel.name, channel.message_count) for channel in recording.channels()] == [("video/0", 125)]
    times = np.concatenate([batch.t_ns for batch in recording.batches()])
    assert times.tolist() == [step * NS_PER_S // 25 for step in range(125)]
    assert recording.summary().losses == ()
    recording.close()


def test_a_gap_between_files_is_stated(tmp_path: Path) -> None:
    first = write_video(tmp_path / "a")
    second = write_video(tmp_path / "b", replace(PLAIN, created="2024-05-01T08:01:00Z"))
    recording = VideoRecording({"1.mp4": first, "2.mp4": second})
    assert recording.extent_ns()[1] == 60 * NS_PER_S + 49 * NS_PER_S // 25
    assert [loss.rule for loss in recording.summary().losses] == ["gap_between_files"]
    recording.close()


def test_files_of_the_same_time_are_cameras_side_by_side(tmp_path: Path) -> None:
    files = {name: write_video(tmp_path / name, replace(PLAIN, audio=name == "rear")) for name in ("front", "rear")}
    recording = VideoRecording(files)
    assert [channel.name for channel in recording.channels()] == ["audio/0", "video/0", "video/1"]
    assert {batch.channel: len(batch) for batch in recording.batches(["video/0", "video/1"])} == {
        "video/0": 50,
        "video/1": 50,
    }
    assert [loss.rule for loss in recording.summary().losses] == ["parallel_files"]
    recording.close()


def test_another_file_beside_the_video_is_named_and_left_out(tmp_path: Path) -> None:
    (tmp_path / "note.txt").write_text("a note")
    recording = VideoRecording({"clip": write_video(tmp_path / "a"), "note.txt": tmp_path / "note.txt"})
    (loss,) = recording.summary().losses
    assert (loss.path, loss.rule, loss.lost_bytes, loss.messages) == ("note.txt", "not_a_video", 0, 0)
    recording.close()


@settings(max_examples=25)
@given(
    steps=st.lists(st.integers(1, 40), min_size=1, max_size=6),
    b_frames=st.integers(0, 3),
    timescale=st.sampled_from([None, 25, 600, 90_000, 1_000_003]),
    pieces=st.booleans(),
)
def test_any_rhythm_of_frames_is_kept(
    tmp_path_factory: pytest.TempPathFactory, steps: list[int], b_frames: int, timescale: int | None, pieces: bool
) -> None:
    path = tmp_path_factory.mktemp("rhythm") / "a"
    options = {"movflags": "frag_keyframe+empty_moov"} if pieces else None
    write_video(path, Video(frames=20, steps=steps, b_frames=b_frames, timescale=timescale, options=options))
    assert packets(read(path)[0]) == demuxed(path)


@pytest.mark.real_data
@pytest.mark.parametrize(("name", "frames"), [("solidWhiteRight", 221), ("gopro_max_heromode_gpmf", 315)])
def test_real_videos_have_the_frames_that_their_notes_list(real_data: Path, name: str, frames: int) -> None:
    path = real_data / "driving_videos" / "sample" / f"{name}.mp4"
    batches, summary, _ = read(path)
    expected = demuxed(path)
    found = packets([batch for batch in batches if not batch.channel.startswith(("gpmf/", "data/"))])
    assert found["video/0"] == expected["video/0"]
    # The demuxer leaves out sound that begins after the edit list's end.
    assert found["audio/0"][: len(expected["audio/0"])] == expected["audio/0"]
    assert len(found["video/0"]) == frames
    assert summary.losses == ()
