"""The ROS 2 bag reader against rosbags, which reads intact bags only and serves as the independent oracle here."""

import shutil
import sqlite3
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from rosbags.rosbag2 import CompressionMode

from fleet_assets.ingestion.recordings import inflation
from fleet_assets.ingestion.recordings.media import Payload, PayloadRecording
from fleet_assets.ingestion.recordings.open import open_recording, sniff_format
from fleet_assets.ingestion.recordings.protocol import Files, Recording, Summary, UnreadableRecordingError
from fleet_assets.ingestion.recordings.ros_bags.ros2_bag import Ros2BagRecording
from tests.ingestion.recordings.corruption import FAST_SEEDS, SLOW_SEEDS, assert_survives
from tests.ingestion.recordings.ros_bags import FIX, IMU, START_NS, drive, oracle, write_ros2

PAGE = 4096
SEEDS = [*FAST_SEEDS, *(pytest.param(seed, marks=pytest.mark.slow) for seed in SLOW_SEEDS)]
Times = dict[str, list[int]]


def times_of(recording: Recording, wanted: set[str] | None = None) -> Times:
    found: Times = {}
    for batch in recording.batches(wanted):
        found.setdefault(batch.channel, []).extend(batch.t_ns.tolist())
    return found


def total(times: Times) -> int:
    return sum(map(len, times.values()))


def lost(summary: Summary) -> int | None:
    counts = [loss.messages for loss in summary.losses]
    return None if None in counts else sum(count or 0 for count in counts)


def rules(recording: Recording) -> set[str]:
    return {loss.rule for loss in recording.summary().losses}


@pytest.fixture(scope="module")
def bag(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A bag of 220 messages in SQLite."""
    return write_ros2(tmp_path_factory.mktemp("ros2") / "bag", list(drive()))


def database_of(files: Mapping[str, Path]) -> str:
    return next(name for name in files if name.endswith(".db3"))


def copied(files: Mapping[str, Path], folder: Path) -> dict[str, Path]:
    folder.mkdir(exist_ok=True)
    return {name: Path(shutil.copy(path, folder / name)) for name, path in files.items()}


def payloads_of(files: Files) -> list[Payload]:
    recording = open_recording(files)
    assert isinstance(recording, PayloadRecording)
    return list(recording.payloads({channel.name for channel in recording.channels()}))


def alone(files: Files) -> dict[str, Path]:
    return {name: path for name, path in files.items() if name.endswith(".db3")}


def root_page(path: Path, name: str) -> int:
    """Number of the page that a table or index begins on, counted from zero."""
    with sqlite3.connect(path) as database:
        row = database.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", (name,)).fetchone()
    return int(row[0]) - 1


def leaves(path: Path) -> list[int]:
    """Offsets of the table leaves (first byte 13) behind the first pages, which hold the schema."""
    content = path.read_bytes()
    return [at for at in range(8 * PAGE, len(content), PAGE) if content[at] == 13]


def overwrite(path: Path, at: int, replacement: bytes) -> None:
    with path.open("r+b") as stream:
        stream.seek(at)
        stream.write(replacement)


@pytest.mark.parametrize("mcap", [False, True])
@pytest.mark.parametrize("mode", [CompressionMode.NONE, CompressionMode.FILE, CompressionMode.MESSAGE])
def test_every_message_is_read_at_its_time_of_arrival(tmp_path: Path, mcap: bool, mode: CompressionMode) -> None:
    files = write_ros2(tmp_path / "bag", list(drive()), mcap=mcap, mode=mode)
    recording: Recording
    if mcap and mode is CompressionMode.MESSAGE:
        with pytest.raises(UnreadableRecordingError, match="unsupported_compression"):
            open_recording(files)
        return
    recording = open_recording(files, ("ros2",))
    assert times_of(recording) == oracle([tmp_path / "bag"])
    assert recording.summary().losses == ()
    assert {channel.name: channel.message_count for channel in recording.channels()} == {IMU: 200, FIX: 20}
    assert recording.clock == "utc"
    assert recording.extent_ns()[0] == START_NS
    recording.close()


def test_values_are_those_that_were_written(bag: dict[str, Path]) -> None:
    batches = list(Ros2BagRecording(bag).batches({IMU}))
    values = np.concatenate([batch.columns["linear_acceleration.x"] for batch in batches])
    np.testing.assert_array_equal(values, np.arange(200) * 0.5)


def test_nothing_is_written_beside_the_files(bag: dict[str, Path], tmp_path: Path) -> None:
    files = copied(bag, tmp_path / "odd ?name#%")
    recording = Ros2BagRecording(files)
    assert total(times_of(recording)) == 220
    recording.close()
    assert sorted(path.name for path in (tmp_path / "odd ?name#%").iterdir()) == sorted(files)


def test_a_file_without_metadata_is_read_and_says_so(bag: dict[str, Path]) -> None:
    recording = open_recording(alone(bag))
    assert times_of(recording) == oracle([bag["metadata.yaml"].parent])
    assert rules(recording) == {"missing_metadata"}
    assert lost(recording.summary()) == 0


def test_files_beside_the_metadata_are_one_bag_whatever_stores_them(tmp_path: Path) -> None:
    files = write_ros2(tmp_path / "bag", list(drive(20)), mcap=True)
    assert sniff_format(files) == "ros2"
    assert sniff_format({name: path for name, path in files.items() if name.endswith(".mcap")}) == "mcap"


def test_splits_of_one_bag_are_read_in_time_order(tmp_path: Path) -> None:
    first = write_ros2(tmp_path / "one", list(drive(100)))
    second = write_ros2(tmp_path / "two", list(drive(100, first=100)))
    files = {"b_0.db3": first[database_of(first)], "b_1.db3": second[database_of(second)]}
    text = first["metadata.yaml"].read_text()
    text = text.replace("message_count: 110", "message_count: 220").replace("message_count: 100", "message_count: 200")
    metadata = tmp_path / "metadata.yaml"
    metadata.write_text(text.replace("message_count: 10\n", "message_count: 20\n").replace("one.db3", "b_0.db3"))
    recording = Ros2BagRecording({"metadata.yaml": metadata, **files})
    assert total(times := times_of(recording)) == 220
    assert all(values == sorted(values) for values in times.values())
    assert rules(recording) == {"unlisted_file"}
    without_second = Ros2BagRecording({"metadata.yaml": metadata, "b_0.db3": files["b_0.db3"]})
    assert total(times_of(without_second)) == 110
    assert lost(without_second.summary()) == 110


def test_a_listed_file_that_is_not_there_is_a_loss_of_its_messages(bag: dict[str, Path], tmp_path: Path) -> None:
    files = copied(bag, tmp_path / "bag")
    text = files["metadata.yaml"].read_text()
    name = database_of(files)
    files["metadata.yaml"].write_text(text.replace(f"- {name}", f"- {name}\n  - bag_1.db3", 1))
    recording = Ros2BagRecording(files)
    assert total(times_of(recording)) == 220
    assert "missing_file" in rules(recording)


def test_metadata_that_counts_more_than_there_is_reports_the_difference_by_topic(
    bag: dict[str, Path], tmp_path: Path
) -> None:
    files = copied(bag, tmp_path / "bag")
    text = files["metadata.yaml"].read_text()
    files["metadata.yaml"].write_text(text.replace("message_count: 200", "message_count: 205"))
    recording = Ros2BagRecording(files)
    assert total(times_of(recording)) == 220
    missing = [loss for loss in recording.summary().losses if loss.messages]
    assert [(loss.channel, loss.messages, loss.rule) for loss in missing] == [(IMU, 5, "missing_messages")]


@pytest.mark.parametrize(
    "text",
    [
        "rosbag2_bagfile_information: &a [*a, *a]",
        "rosbag2_bagfile_information: " + "[" * 3000,
        "rosbag2_bagfile_information: {relative_file_paths: !!python/object/apply:os.system [echo]}",
        "rosbag2_bagfile_information: 3",
        "rosbag2_bagfile_information:\n  relative_file_paths: []",
    ],
)
def test_hostile_metadata_is_named_and_the_file_is_read_without_it(
    bag: dict[str, Path], tmp_path: Path, text: str
) -> None:
    files = copied(bag, tmp_path / "bag")
    files["metadata.yaml"].write_text(text)
    recording = open_recording(files, ("ros2",))
    assert total(times_of(recording)) == 220
    assert rules(recording) >= {"invalid_metadata"}
    assert lost(recording.summary()) == 0


@pytest.mark.parametrize("with_metadata", [True, False])
def test_rows_on_both_sides_of_a_damaged_page_are_read_and_the_others_counted(
    bag: dict[str, Path], tmp_path: Path, with_metadata: bool
) -> None:
    files = copied(bag, tmp_path / "bag")
    path = files[database_of(files)]
    middle = leaves(path)[len(leaves(path)) // 2]
    overwrite(path, middle, b"\xff" * PAGE)
    recording = Ros2BagRecording(files if with_metadata else alone(files))
    read = total(times_of(recording))
    assert 180 < read < 220
    assert lost(recording.summary()) == 220 - read
    assert "damaged_database" in rules(recording)
    assert recording.extent_ns()[1] == START_NS + 1_990_000_000


@pytest.mark.parametrize("with_metadata", [True, False])
def test_a_truncated_file_gives_the_rows_before_the_cut(
    bag: dict[str, Path], tmp_path: Path, with_metadata: bool
) -> None:
    files = copied(bag, tmp_path / "bag")
    path = files[database_of(files)]
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // PAGE * 6 // 10 * PAGE])
    recording = Ros2BagRecording(files if with_metadata else alone(files))
    read = total(times_of(recording))
    assert 50 < read < 220
    assert "damaged_database" in rules(recording)
    assert lost(recording.summary()) in ({220 - read} if with_metadata else {220 - read, None})


def test_a_message_is_never_filled_up_where_a_file_was_cut(bag: dict[str, Path], tmp_path: Path) -> None:
    files = copied(alone(bag), tmp_path)
    path = files[database_of(files)]
    with sqlite3.connect(path) as database:
        database.execute("UPDATE messages SET data = replace(hex(randomblob(150)), '0', 'f')")
    database.close()
    whole = {(one.channel, one.t_ns, bytes(one.data)) for one in payloads_of(files)}
    content = path.read_bytes()
    page = int.from_bytes(content[16:18], "big")
    for number in range(len(content) // page // 2, len(content) // page // 2 + 6):
        path.write_bytes(content[: number * page + page // 2])
        found = {(one.channel, one.t_ns, bytes(one.data)) for one in payloads_of(files)}
        assert found < whole


def test_a_damaged_index_over_time_costs_no_message(bag: dict[str, Path], tmp_path: Path) -> None:
    files = copied(bag, tmp_path / "bag")
    path = files[database_of(files)]
    overwrite(path, root_page(path, "timestamp_idx") * PAGE, b"\xff" * PAGE)
    recording = Ros2BagRecording(files)
    assert times_of(recording) == oracle([bag["metadata.yaml"].parent])
    assert lost(recording.summary()) == 0
    assert rules(recording) == {"damaged_database"}


def test_a_lost_schema_is_named(bag: dict[str, Path], tmp_path: Path) -> None:
    files = copied(bag, tmp_path / "bag")
    path = files[database_of(files)]
    overwrite(path, 100, b"\xff" * (PAGE - 100))
    with pytest.raises(UnreadableRecordingError, match="damaged_schema"):
        Ros2BagRecording(files)


def test_another_sqlite_file_is_refused_with_its_tables(tmp_path: Path) -> None:
    path = tmp_path / "contacts.db"
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE people (name TEXT)")
    with pytest.raises(UnreadableRecordingError, match="wrong_schema.*people"):
        open_recording({"contacts.db": path})


def test_a_table_that_computes_its_messages_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "hostile.db3"
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE topics (id INTEGER PRIMARY KEY, name TEXT, type TEXT)")
        database.execute(
            "CREATE VIEW messages AS WITH RECURSIVE n(id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM n) "
            "SELECT id, 1 AS topic_id, id AS timestamp, zeroblob(1000000) AS data FROM n"
        )
    with pytest.raises(UnreadableRecordingError, match="wrong_schema"):
        open_recording({"hostile.db3": path})


def test_rows_without_a_time_or_topic_are_left_out_and_counted(bag: dict[str, Path], tmp_path: Path) -> None:
    files = copied(bag, tmp_path / "bag")
    with sqlite3.connect(files[database_of(files)]) as database:
        database.execute("UPDATE messages SET timestamp = 'now' WHERE id = 7")
        database.execute("UPDATE messages SET topic_id = 99 WHERE id = 8")
        database.execute("UPDATE messages SET timestamp = -5 WHERE id = 9")
    recording = Ros2BagRecording(files)
    assert total(times_of(recording)) == 217
    assert lost(recording.summary()) == 3
    assert "wrong_row" in rules(recording)


def test_a_damaged_compressed_message_is_left_out_and_counted(tmp_path: Path) -> None:
    files = write_ros2(tmp_path / "bag", list(drive()), mode=CompressionMode.MESSAGE)
    with sqlite3.connect(files[database_of(files)]) as database:
        database.execute("UPDATE messages SET data = x'28b52ffdff00' WHERE id = 7")
    recording = Ros2BagRecording(files)
    assert total(times_of(recording)) == 219
    assert lost(recording.summary()) == 1
    assert "damaged_compression" in rules(recording)


def test_a_truncated_compressed_file_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    messages = list(drive(2000))
    files = write_ros2(tmp_path / "bag", messages, mode=CompressionMode.FILE)
    path = next(path for name, path in files.items() if name.endswith(".zstd"))
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 3 // 4])
    recording = Ros2BagRecording(files)
    read = total(times_of(recording))
    assert 0 < read < len(messages)
    assert lost(recording.summary()) == len(messages) - read
    assert "damaged_compression" in rules(recording)
    recording.close()


def test_a_file_that_decompresses_without_end_is_stopped(
    bag: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import zstandard

    monkeypatch.setattr(inflation, "FREE_BYTES", 1 << 20)
    files = copied(bag, tmp_path / "bag")
    database = files.pop(database_of(files))
    compressor = zstandard.ZstdCompressor(level=1).compressobj()
    target = database.with_suffix(".db3.zstd")
    with target.open("wb") as stream:
        stream.write(compressor.compress(database.read_bytes()))
        for _ in range(60):
            stream.write(compressor.compress(bytes(1 << 20)))
        stream.write(compressor.flush())
    files[target.name] = target
    recording = Ros2BagRecording(files)
    assert total(times_of(recording)) == 220
    assert "damaged_compression" in rules(recording)
    recording.close()


def test_channels_that_nobody_wants_are_left_alone(bag: dict[str, Path]) -> None:
    recording = Ros2BagRecording(bag)
    assert times_of(recording, {FIX}) == {FIX: oracle([bag["metadata.yaml"].parent])[FIX]}
    assert recording.summary().losses == ()


def test_simulated_time_is_no_utc(tmp_path: Path) -> None:
    recording = Ros2BagRecording(write_ros2(tmp_path / "bag", list(drive(20, start_ns=5))))
    assert recording.clock == "monotonic"
    assert recording.container_start_ns is None


@pytest.mark.parametrize("seed", SEEDS)
def test_a_damaged_bag_is_read_or_refused_and_what_is_missing_is_named(bag: dict[str, Path], seed: int) -> None:
    name = database_of(bag)
    content = bag[name].read_bytes()
    pages = [at + inner for at in range(0, len(content), PAGE) for inner in (0, 3, 5, 8, 12, 100)]
    others = {"metadata.yaml": bag["metadata.yaml"].read_bytes()} if seed % 2 else {}
    outcome = assert_survives(content, seed, name=name, formats=("ros2",), intact=220, boundaries=pages, others=others)
    if others and outcome.state == "read" and outcome.total <= 220:
        assert outcome.lost == 220 - outcome.total, outcome


@pytest.mark.parametrize("seed", SEEDS)
def test_damaged_metadata_costs_no_message(bag: dict[str, Path], seed: int) -> None:
    others = {database_of(bag): bag[database_of(bag)].read_bytes()}
    outcome = assert_survives(
        bag["metadata.yaml"].read_bytes(), seed, name="metadata.yaml", formats=("ros2",), intact=220, others=others
    )
    assert outcome.state == "refused" or outcome.total == 220


@pytest.mark.real_data
def test_the_nebula_bags_are_read_as_rosbags_reads_them(real_data: Path) -> None:
    folders = sorted(path.parent for path in (real_data / "tier4_nebula_lidar" / "sample").glob("*/*/metadata.yaml"))
    assert len(folders) == 4
    for folder in folders:
        recording = Ros2BagRecording({path.name: path for path in folder.iterdir()})
        assert times_of(recording) == oracle([folder])
        assert recording.summary().losses == ()
        recording.close()
