"""The ROS 1 bag reader against rosbags, which reads intact bags only and serves as the independent oracle here."""

import itertools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleet_assets.ingestion.recordings.open import open_recording
from fleet_assets.ingestion.recordings.protocol import WINDOW_NS, Summary, UnreadableRecordingError
from fleet_assets.ingestion.recordings.ros_bags.ros1_bag import Ros1BagRecording
from fleet_assets.ingestion.recordings.ros_bags.ros1_layout import open_bag
from fleet_assets.ingestion.recordings.ros_bags.ros1_records import CHUNK, INDEX_DATA
from tests.ingestion.recordings.corruption import FAST_SEEDS, SLOW_SEEDS, assert_survives, corrupted
from tests.ingestion.recordings.ros_bags import (
    COMPRESSIONS,
    FIX,
    IMU,
    ROS1,
    START_NS,
    Body,
    bag_of_records,
    drive,
    oracle,
    write_ros1,
)

Times = dict[str, list[int]]


def times_of(recording: Ros1BagRecording, wanted: set[str] | None = None) -> Times:
    found: Times = {}
    for batch in recording.batches(wanted):
        found.setdefault(batch.channel, []).extend(batch.t_ns.tolist())
    return found


def total(times: Times) -> int:
    return sum(map(len, times.values()))


def lost(summary: Summary) -> int:
    return sum(loss.messages or 0 for loss in summary.losses)


def rules(recording: Ros1BagRecording) -> set[str]:
    return {loss.rule for loss in recording.summary().losses}


def boundaries(path: Path, *ops: int) -> list[int]:
    """Where records begin in an intact bag."""
    bag = open_bag(path, path.name)
    places = [place.at for place in bag.walk() if not ops or place.record.op in ops]
    bag.close()
    return places if ops else [*places, bag.index_at]


@pytest.fixture(scope="module")
def intact(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The same drive with every compression, in chunks of some twenty messages."""
    folder = tmp_path_factory.mktemp("ros1")
    return {kind: write_ros1(folder / f"{kind}.bag", list(drive()), kind) for kind in COMPRESSIONS}


def damaged(path: Path, folder: Path, *changes: tuple[int, bytes]) -> Path:
    content = bytearray(path.read_bytes())
    for at, replacement in changes:
        content[at : at + len(replacement)] = replacement
    target = folder / "damaged.bag"
    target.write_bytes(content)
    return target


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_every_message_is_read_at_its_time_of_arrival(intact: dict[str, Path], compression: str) -> None:
    recording = Ros1BagRecording({"a.bag": intact[compression]})
    assert times_of(recording) == oracle([intact[compression]])
    assert recording.summary().losses == ()
    assert {channel.name: channel.message_count for channel in recording.channels()} == {IMU: 200, FIX: 20}
    assert recording.clock == "utc"
    assert recording.container_start_ns == recording.extent_ns()[0] == START_NS


def test_values_are_those_that_were_written(intact: dict[str, Path]) -> None:
    batches = list(Ros1BagRecording({"a.bag": intact["lz4"]}).batches({IMU}))
    values = np.concatenate([batch.columns["linear_acceleration.x"] for batch in batches])
    np.testing.assert_array_equal(values, np.arange(200) * 0.5)
    stamps = np.concatenate([batch.columns["header.stamp"] for batch in batches])
    np.testing.assert_array_equal(stamps, START_NS + np.arange(200) * 10_000_000)


def test_batches_lie_in_one_window_and_windows_do_not_go_back(tmp_path: Path) -> None:
    path = write_ros1(tmp_path / "long.bag", list(drive(2500)), "lz4", chunk_bytes=50_000)
    recording = Ros1BagRecording({"a.bag": path})
    origin, before = recording.extent_ns()[0], 0
    for batch in recording.batches():
        windows = np.unique((batch.t_ns - origin) // WINDOW_NS)
        assert len(windows) == 1
        assert windows[0] >= before
        before = int(windows[0])
    assert before == 2


@pytest.mark.parametrize("order", list(itertools.permutations(("conn", "op", "time"))))
def test_header_fields_may_come_in_any_order(tmp_path: Path, order: tuple[str, ...]) -> None:
    text, _ = ROS1.generate_msgdef("std_msgs/msg/Float64")
    times = [START_NS + number for number in range(50)]
    payloads = [np.float64(number).tobytes() for number in range(50)]
    content = bag_of_records(
        [Body("/x", "std_msgs/Float64", text)], [(0, *message) for message in zip(times, payloads, strict=True)], order
    )
    path = tmp_path / "a.bag"
    path.write_bytes(content)
    assert times_of(Ros1BagRecording({"a.bag": path})) == {"/x": times}


def test_splits_of_one_recording_are_one_drive_in_time_order(tmp_path: Path) -> None:
    first = write_ros1(tmp_path / "a.bag", list(drive(100)))
    second = write_ros1(tmp_path / "b.bag", list(drive(100, first=100)))
    recording = Ros1BagRecording({"z.bag": first, "a.bag": second})
    assert times_of(recording) == oracle([first, second])
    assert recording.summary().losses == ()


def test_a_gap_between_two_splits_is_stated(tmp_path: Path) -> None:
    first = write_ros1(tmp_path / "a.bag", list(drive(100)))
    second = write_ros1(tmp_path / "b.bag", list(drive(100, first=600)))
    assert rules(Ros1BagRecording({"a.bag": first, "b.bag": second})) == {"gap_between_files"}


def test_two_publishers_of_one_topic_are_one_channel(tmp_path: Path) -> None:
    text, _ = ROS1.generate_msgdef("std_msgs/msg/Float64")
    twice = [Body("/x", "std_msgs/Float64", text)] * 2
    messages = [(number % 2, START_NS + number, bytes(8)) for number in range(10)]
    path = tmp_path / "a.bag"
    path.write_bytes(bag_of_records(twice, messages, ("op", "conn", "time")))
    recording = Ros1BagRecording({"a.bag": path})
    assert times_of(recording) == {"/x": [START_NS + number for number in range(10)]}


def test_two_types_under_one_topic_are_two_channels(tmp_path: Path) -> None:
    bodies = [
        Body("/x", f"std_msgs/{name}", ROS1.generate_msgdef(f"std_msgs/msg/{name}")[0])
        for name in ("Float64", "Float32")
    ]
    messages = [(0, START_NS, bytes(8)), (1, START_NS + 1, bytes(4))]
    path = tmp_path / "a.bag"
    path.write_bytes(bag_of_records(bodies, messages, ("op", "conn", "time")))
    recording = Ros1BagRecording({"a.bag": path})
    assert times_of(recording) == {"/x#0": [START_NS], "/x#1": [START_NS + 1]}
    assert [channel.type for channel in recording.channels()] == ["std_msgs/Float64", "std_msgs/Float32"]


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_a_bag_that_was_never_closed_is_searched_and_says_so(
    intact: dict[str, Path], tmp_path: Path, compression: str
) -> None:
    content = intact[compression].read_bytes()
    index_at = boundaries(intact[compression])[-1]
    at = content.index(b"index_pos=") + len(b"index_pos=")
    path = tmp_path / "active.bag"
    path.write_bytes(content[:at] + bytes(8) + content[at + 8 : index_at])
    recording = Ros1BagRecording({"a.bag": path})
    assert times_of(recording) == oracle([intact[compression]])
    assert rules(recording) == {"missing_index"}
    assert recording.summary().losses[0].lost_bytes == 0


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_what_a_damaged_chunk_loses_is_counted_by_channel(
    intact: dict[str, Path], tmp_path: Path, compression: str
) -> None:
    chunk = boundaries(intact[compression], CHUNK)[3]
    path = damaged(intact[compression], tmp_path, (chunk + 300, bytes(500)))
    recording = Ros1BagRecording({"a.bag": path})
    read, whole = times_of(recording), oracle([intact[compression]])
    summary = recording.summary()
    assert 0 < total(whole) - total(read) < 30
    for topic in (IMU, FIX):
        missing = sum(loss.messages or 0 for loss in summary.losses if loss.channel == topic)
        assert len(read[topic]) + missing == len(whole[topic])
    assert any(loss.lost_bytes for loss in summary.losses)


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_a_chunk_whose_beginning_is_lost_is_passed(intact: dict[str, Path], tmp_path: Path, compression: str) -> None:
    chunk = boundaries(intact[compression], CHUNK)[3]
    path = damaged(intact[compression], tmp_path, (chunk, b"\xff" * 30))
    recording = Ros1BagRecording({"a.bag": path})
    read, whole = times_of(recording), oracle([intact[compression]])
    assert total(read) + lost(recording.summary()) == total(whole)
    # What is not compressed is found again message by message.
    assert (total(read) == total(whole)) is (compression == "none")
    assert rules(recording)


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_a_truncated_bag_gives_all_messages_before_the_cut(
    intact: dict[str, Path], tmp_path: Path, compression: str
) -> None:
    chunks = boundaries(intact[compression], CHUNK)
    content = intact[compression].read_bytes()
    path = tmp_path / "cut.bag"
    path.write_bytes(content[: chunks[4] + 1500])
    recording = Ros1BagRecording({"a.bag": path})
    read, whole = times_of(recording), oracle([intact[compression]])
    before = 4 * total(whole) // len(chunks)
    assert before - 5 <= total(read) < total(whole)
    assert all(read[topic] == whole[topic][: len(read[topic])] for topic in read)
    assert "missing_index" in rules(recording)
    losses = recording.summary().losses
    assert any(loss.messages is None for loss in losses)
    # The bag header says where the index was: what lay between it and the cut is lost, whatever else is.
    assert sum(loss.lost_bytes for loss in losses) >= boundaries(intact[compression], INDEX_DATA)[-1] - len(
        path.read_bytes()
    )


@settings(max_examples=150)
@given(
    stretch=st.tuples(st.floats(0, 1), st.integers(1, 20_000)),
    compression=st.sampled_from(COMPRESSIONS),
    filling=st.sampled_from((b"\0", b"\xff")),
)
def test_read_and_lost_messages_are_together_all_messages_wherever_a_stretch_is_overwritten(
    intact: dict[str, Path],
    tmp_path_factory: pytest.TempPathFactory,
    stretch: tuple[float, int],
    compression: str,
    filling: bytes,
) -> None:
    place, size = stretch
    first, *_, end = boundaries(intact[compression])
    at = first + int(place * (end - first - 1))
    path = damaged(intact[compression], tmp_path_factory.mktemp("zeros"), (at, filling * min(size, end - at)))
    recording = Ros1BagRecording({"a.bag": path})
    read = total(times_of(recording))
    assert read + lost(recording.summary()) == 220
    assert read == 220 or rules(recording)


def test_chunks_that_were_cut_out_are_counted_by_the_index_behind_them(intact: dict[str, Path], tmp_path: Path) -> None:
    chunks = boundaries(intact["lz4"], CHUNK)
    content = intact["lz4"].read_bytes()
    path = tmp_path / "shorter.bag"
    path.write_bytes(content[: chunks[2]] + content[chunks[4] :])
    recording = Ros1BagRecording({"a.bag": path})
    read = times_of(recording)
    missing = {loss.channel: loss.messages for loss in recording.summary().losses if loss.messages}
    assert {topic: len(times) + missing.get(topic, 0) for topic, times in read.items()} == {IMU: 200, FIX: 20}


def test_a_bag_cut_between_two_chunks_says_that_chunks_are_missing(intact: dict[str, Path], tmp_path: Path) -> None:
    path = tmp_path / "cut.bag"
    path.write_bytes(intact["lz4"].read_bytes()[: boundaries(intact["lz4"], CHUNK)[4]])
    recording = Ros1BagRecording({"a.bag": path})
    assert 0 < total(times_of(recording)) < 220
    assert any(loss.messages is None and "chunks are not there" in loss.reason for loss in recording.summary().losses)


def test_a_wrong_count_in_an_index_record_is_no_loss(intact: dict[str, Path], tmp_path: Path) -> None:
    index = boundaries(intact["none"], INDEX_DATA)[2]
    content = intact["none"].read_bytes()
    at = content.index(b"count=", index) + len(b"count=")
    recording = Ros1BagRecording({"a.bag": damaged(intact["none"], tmp_path, (at, b"\x00"))})
    assert total(times_of(recording)) == 220
    assert lost(recording.summary()) == 0


def test_channels_that_nobody_wants_are_left_alone(intact: dict[str, Path]) -> None:
    recording = Ros1BagRecording({"a.bag": intact["bz2"]})
    assert times_of(recording, {FIX}) == {FIX: oracle([intact["bz2"]])[FIX]}
    assert recording.summary().losses == ()
    assert times_of(recording, set()) == {}


def test_simulated_time_is_no_utc(tmp_path: Path) -> None:
    path = write_ros1(tmp_path / "sim.bag", list(drive(20, start_ns=0)))
    recording = Ros1BagRecording({"a.bag": path})
    assert recording.clock == "monotonic"
    assert recording.container_start_ns is None


def test_a_message_of_another_size_than_its_type_is_left_out_and_counted(tmp_path: Path) -> None:
    text, _ = ROS1.generate_msgdef("std_msgs/msg/Float64")
    messages = [(0, START_NS, bytes(8)), (0, START_NS + 1, bytes(3)), (0, START_NS + 2, bytes(8))]
    path = tmp_path / "a.bag"
    path.write_bytes(bag_of_records([Body("/x", "std_msgs/Float64", text)], messages, ("conn", "op", "time")))
    recording = Ros1BagRecording({"a.bag": path})
    assert times_of(recording) == {"/x": [START_NS, START_NS + 2]}
    unusable = [loss for loss in recording.summary().losses if loss.rule == "undecodable_message"]
    assert [(loss.channel, loss.messages) for loss in unusable] == [("/x", 1)]


def test_a_bag_without_messages_is_refused_with_the_reason(tmp_path: Path) -> None:
    path = write_ros1(tmp_path / "empty.bag", [])
    with pytest.raises(UnreadableRecordingError, match="no_messages"):
        Ros1BagRecording({"empty.bag": path})


def test_the_format_is_told_from_the_content(intact: dict[str, Path]) -> None:
    recording = open_recording({"whatever": intact["none"]}, ("ros1",))
    assert recording.format == "ros1"
    recording.close()


@pytest.mark.parametrize("seed", FAST_SEEDS)
def test_damaged_bags_are_read_or_refused_within_limits(intact: dict[str, Path], seed: int) -> None:
    _fuzz(intact[COMPRESSIONS[seed % 3]], seed)


@pytest.mark.slow
@pytest.mark.parametrize("seed", SLOW_SEEDS)
def test_many_damaged_bags_are_read_or_refused_within_limits(intact: dict[str, Path], seed: int) -> None:
    _fuzz(intact[COMPRESSIONS[seed % 3]], seed)


def _fuzz(path: Path, seed: int) -> None:
    content, places = path.read_bytes(), boundaries(path)
    outcome = assert_survives(content, seed, name="a.bag", formats=("ros1",), intact=220, boundaries=places)
    if outcome.state == "read" and outcome.lost is not None:
        assert outcome.total + outcome.lost >= 220, outcome
        if corrupted(content, seed, places)[0] in {"zeroed_range", "deleted_range"}:
            assert outcome.total + outcome.lost == 220, outcome


@pytest.mark.real_data
def test_the_husky_is_read_as_rosbags_reads_it(real_data: Path) -> None:
    path = next((real_data / "robot_localization_bag" / "sample").glob("*.bag"))
    recording = Ros1BagRecording({"husky.bag": path})
    times = times_of(recording)
    assert times == oracle([path])
    assert sorted(map(len, times.values())) == [989, 3952, 11_865]
    assert round((recording.extent_ns()[1] - recording.extent_ns()[0]) / 1e9, 1) == 395.3
    assert recording.summary().losses == ()
