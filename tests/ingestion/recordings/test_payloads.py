"""Whole messages of MCAP files, ROS 1 and ROS 2 bags, against rosbags and the mcap library as independent readers."""

from collections import Counter
from collections.abc import Collection
from pathlib import Path

import numpy as np
import pytest
from rosbags.highlevel import AnyReader
from rosbags.rosbag2 import CompressionMode

from fleet_assets.ingestion.recordings.media import Payload, PayloadRecording
from fleet_assets.ingestion.recordings.open import open_recording
from fleet_assets.ingestion.recordings.protocol import Files, UnreadableRecordingError
from tests.ingestion.recordings.ros_bags import FIX, IMU, ROS2, START_NS, drive, write_ros1, write_ros2

Raw = list[tuple[str, int, bytes]]
FORMS = ["ros1", "ros1_lz4", "ros2", "ros2_by_file", "ros2_by_message", "ros2_mcap"]


def files_of(form: str, folder: Path, count: int = 200) -> dict[str, Path]:
    messages = list(drive(count))
    if form.startswith("ros1"):
        path = write_ros1(folder / "a.bag", messages, "lz4" if form == "ros1_lz4" else "none")
        return {path.name: path}
    modes = {"ros2_by_file": CompressionMode.FILE, "ros2_by_message": CompressionMode.MESSAGE}
    return write_ros2(folder / "bag", messages, mcap=form == "ros2_mcap", mode=modes.get(form, CompressionMode.NONE))


def payloads_of(files: Files, wanted: Collection[str]) -> list[Payload]:
    recording = open_recording(files)
    assert isinstance(recording, PayloadRecording)
    try:
        return list(recording.payloads(wanted))
    finally:
        recording.close()


def read(files: Files, wanted: Collection[str]) -> Raw:
    return sorted((one.channel, one.t_ns, bytes(one.data)) for one in payloads_of(files, wanted))


def by_rosbags(files: Files) -> Raw:
    paths = [path for path in files.values() if path.suffix == ".bag"] or [next(iter(files.values())).parent]
    with AnyReader(paths, default_typestore=ROS2) as reader:
        return sorted((connection.topic, t_ns, bytes(data)) for connection, t_ns, data in reader.messages())


@pytest.mark.parametrize("form", FORMS)
def test_every_message_has_the_bytes_and_the_time_that_rosbags_reads(form: str, tmp_path: Path) -> None:
    files = files_of(form, tmp_path)
    found = read(files, {IMU, FIX})
    assert len(found) == 220
    if form == "ros2_by_message":
        # rosbags hands out these messages whole only through its own decompression, which AnyReader does.
        assert {len(data) for _, _, data in found} == {len(data) for _, _, data in by_rosbags(files)}
    assert found == by_rosbags(files)


@pytest.mark.parametrize("form", FORMS)
def test_channels_that_nobody_wants_are_not_given_out(form: str, tmp_path: Path) -> None:
    files = files_of(form, tmp_path)
    assert {name for name, _, _ in read(files, {FIX})} == {FIX}
    assert read(files, {"/no_such_topic"}) == []


@pytest.mark.parametrize("form", FORMS)
def test_messages_of_a_topic_come_in_the_order_of_recording_and_at_the_times_of_the_batches(
    form: str, tmp_path: Path
) -> None:
    files = files_of(form, tmp_path)
    times = [one.t_ns for one in payloads_of(files, {IMU})]
    recording = open_recording(files)
    streamed = [t_ns for batch in recording.batches({IMU}) for t_ns in batch.t_ns.tolist()]
    recording.close()
    assert times == streamed
    assert times == [START_NS + number * 10_000_000 for number in range(200)]


@pytest.mark.parametrize("form", FORMS)
def test_a_message_can_be_read_by_the_kind_that_comes_with_it(form: str, tmp_path: Path) -> None:
    values = [one.kind.reader()(one.data) for one in payloads_of(files_of(form, tmp_path, 30), {IMU})]
    assert [value["linear_acceleration"]["x"] for value in values] == [number * 0.5 for number in range(30)]
    assert [value["header"]["stamp"] for value in values] == [START_NS + number * 10_000_000 for number in range(30)]


@pytest.mark.parametrize("form", FORMS)
def test_whole_messages_can_be_read_twice_from_one_recording(form: str, tmp_path: Path) -> None:
    recording = open_recording(files_of(form, tmp_path))
    assert isinstance(recording, PayloadRecording)
    first, second = ([(one.t_ns, bytes(one.data)) for one in recording.payloads({FIX})] for _ in range(2))
    recording.close()
    assert first == second
    assert len(first) == 20


@pytest.mark.parametrize("form", ["ros1", "ros2", "ros2_mcap"])
def test_a_cut_file_gives_what_comes_before_the_cut(form: str, tmp_path: Path) -> None:
    files = files_of(form, tmp_path)
    whole = read(files, {IMU, FIX})
    name = max(files, key=lambda one: files[one].stat().st_size)
    content = files[name].read_bytes()
    files[name].write_bytes(content[: len(content) * 6 // 10 // 4096 * 4096])
    rest = read(files, {IMU, FIX})
    assert set(rest) < set(whole)
    assert len(rest) > 40


def test_a_message_whose_compression_is_damaged_is_left_out_and_the_batches_say_so(tmp_path: Path) -> None:
    import sqlite3

    files = files_of("ros2_by_message", tmp_path)
    database = next(path for path in files.values() if path.suffix == ".db3")
    with sqlite3.connect(database) as connection:
        connection.execute("UPDATE messages SET data = x'28b52ffd00' WHERE id = 5")
    assert len(read(files, {IMU, FIX})) == 219
    recording = open_recording(files)
    for _ in recording.batches():
        pass
    assert "damaged_compression" in {loss.rule for loss in recording.summary().losses}
    recording.close()


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("form", ["ros1", "ros1_lz4", "ros2", "ros2_by_message", "ros2_mcap"])
def test_from_a_damaged_file_come_at_least_the_messages_that_the_batches_hold(
    form: str, seed: int, tmp_path: Path
) -> None:
    files = files_of(form, tmp_path)
    name = max(files, key=lambda one: files[one].stat().st_size)
    content = bytearray(files[name].read_bytes())
    random = np.random.default_rng(seed)
    for place in random.integers(200, len(content), 5):
        content[place : place + 3] = bytes(random.integers(0, 256, 3, np.uint8))
    files[name].write_bytes(content)
    try:
        recording = open_recording(files)
    except UnreadableRecordingError:
        return
    assert isinstance(recording, PayloadRecording)
    streamed = Counter((batch.channel, t_ns) for batch in recording.batches() for t_ns in batch.t_ns.tolist())
    names = {channel.name for channel in recording.channels()}
    whole = Counter((one.channel, one.t_ns) for one in recording.payloads(names))
    recording.close()
    assert not streamed - whole
