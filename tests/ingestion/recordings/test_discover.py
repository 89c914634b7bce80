"""What a folder holds: recordings found by content, parts of a drive together, everything else named with a reason."""

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet_assets.ingestion.recordings.discovery.copies import copies, same_content
from fleet_assets.ingestion.recordings.discovery.discover import Admission, Found, discover, without_copies
from fleet_assets.ingestion.recordings.discovery.splits import family
from fleet_assets.ingestion.recordings.discovery.walk import Ignored, Tally
from fleet_assets.ingestion.recordings.open import open_recording
from fleet_assets.ingestion.recordings.protocol import UnreadableRecordingError
from tests.formats_factory import write_can_drive, write_topic_drive
from tests.ingestion.recordings.folders import JPEG, START_NS, can_log, names, reasons
from tests.mdf4_factory import write_mdf4_drive
from tests.recordings_factory import write_comma2k19_drive

# -- what is a recording -------------------------------------------------------------------------------------------


def test_a_path_that_does_not_exist_is_an_error_with_a_remedy(tmp_path: Path) -> None:
    with pytest.raises(UnreadableRecordingError, match="Check the path"):
        discover(tmp_path / "nowhere")


def test_files_are_known_by_content_whatever_they_are_called(mdf4: Path) -> None:
    (mdf4 / "00000001.mf4").rename(mdf4 / "00000001.jpg")
    (mdf4 / "notes.MF4").write_text("no recording")
    (found,), ignored = discover(mdf4)
    assert sorted(found.files) == ["00000001.jpg", "00000002.mf4", "00000003.mf4"]
    assert reasons(ignored) == {"no recording of a known format (text)": 1}


def test_ten_thousand_pictures_are_one_line(mdf4: Path) -> None:
    for number in range(1204):
        (mdf4 / f"frame{number:05d}.jpg").write_bytes(JPEG)
    (found,), ignored = discover(mdf4)
    assert len(found.files) == 3
    assert ignored == [Ignored(mdf4 / "frame00000.jpg", "no recording of a known format (JPEG image)", 1204)]


def test_unknown_contents_that_all_differ_are_one_line_too(tmp_path: Path) -> None:
    for number in range(50):
        (tmp_path / str(number)).write_bytes(bytes([number]) * 9 + b"\x00")
    _, ignored = discover(tmp_path)
    assert len(ignored) <= 2
    assert sum(item.files for item in ignored) == 50


def test_empty_files_hidden_ones_and_pipes_are_named(mdf4: Path) -> None:
    (mdf4 / "empty.MF4").touch()
    (mdf4 / ".DS_Store").write_bytes(b"x")
    (mdf4 / ".git").mkdir()
    os.mkfifo(mdf4 / "pipe")
    (found,), ignored = discover(mdf4)
    assert len(found.files) == 3
    assert reasons(ignored) == {"empty file": 1, "hidden": 2, "no plain file (pipe, socket or device)": 1}


def test_a_name_that_is_no_text_is_named_and_hides_no_other(mdf4: Path) -> None:
    shutil.copyfile(mdf4 / "00000001.mf4", os.fsencode(mdf4) + b"/\xff.MF4")
    (found,), ignored = discover(mdf4)
    assert len(found.files) == 3
    assert reasons(ignored) == {"a name that is no UTF-8; rename it": 1}
    assert "\\xff" in str(ignored[0].path)


def test_a_single_file_is_taken_or_refused_for_itself(mdf4: Path, tmp_path: Path) -> None:
    (found,), ignored = discover(mdf4 / "00000002.mf4")
    assert (list(found.files), ignored) == (["00000002.mf4"], [])
    (tmp_path / "a.jpg").write_bytes(JPEG)
    founds, (item,) = discover(tmp_path / "a.jpg")
    assert founds == []
    assert "JPEG image" in item.reason
    assert "mdf4" in item.reason


def test_a_folder_of_arrays_is_one_recording_with_or_without_the_outer_folder(tmp_path: Path) -> None:
    write_comma2k19_drive(tmp_path / "trip", start_utc_ns=START_NS, seconds=2)
    for place in (tmp_path, tmp_path / "trip", tmp_path / "trip" / "processed_log"):
        (found,), _ = discover(place)
        assert found.format == "comma2k19"
        assert found.root == (place if place != tmp_path else tmp_path / "trip")
        assert any(name.endswith("IMU/gyro/t") for name in found.files)


def test_segments_of_one_route_are_one_recording_and_other_routes_are_not(tmp_path: Path) -> None:
    for route, boot_s in (("a", 1000.0), ("b", 1003.0)):
        for minute in range(3):
            folder = tmp_path / route / str(minute)
            write_comma2k19_drive(
                folder, start_utc_ns=START_NS, seconds=5, seed=minute + 1, boot_s=boot_s + minute * 5.0
            )
    founds, ignored = discover(tmp_path)
    assert [found.root.name for found in founds] == ["a", "b"]
    assert {name.split("/")[0] for name in founds[0].files} == {"0", "1", "2"}
    assert ignored == []


# -- the vehicle spec decides what counts --------------------------------------------------------------------------


def test_recordings_of_formats_that_the_spec_does_not_read_are_ignored_with_that_reason(mdf4: Path) -> None:
    write_comma2k19_drive(mdf4 / "trip", start_utc_ns=START_NS, seconds=2)
    founds, ignored = discover(mdf4, Admission("my_car", ("comma2k19",), tables=False))
    assert [found.format for found in founds] == ["comma2k19"]
    assert reasons(ignored) == {"mdf4 recording; my_car is for comma2k19": 3}


def test_a_text_table_counts_only_for_a_spec_that_says_what_its_columns_mean(mdf4: Path) -> None:
    (mdf4 / "prices.csv").write_text("item,price\n" + "bread,2\n" * 50)
    founds, ignored = discover(mdf4, Admission("my_car", ("mdf4", "csv"), tables=False))
    assert [found.format for found in founds] == ["mdf4"]
    assert list(reasons(ignored)) == ["csv table; my_car does not say what its columns mean (key `table`)"]


# -- parts of one drive --------------------------------------------------------------------------------------------


def test_files_with_one_container_start_are_one_drive_and_the_next_drive_is_another(tmp_path: Path) -> None:
    write_mdf4_drive(tmp_path / "card", start_utc_ns=START_NS, seconds=6, files=2)
    write_mdf4_drive(tmp_path / "later", start_utc_ns=START_NS + 3600 * 10**9, seconds=6, files=2, seed=2)
    for path in (tmp_path / "later").iterdir():
        path.rename(tmp_path / "card" / f"later_{path.name}")
    founds, ignored = discover(tmp_path / "card")
    assert names(founds) == [["00000001.mf4", "00000002.mf4"], ["later_00000001.mf4", "later_00000002.mf4"]]
    assert ignored == []


def test_logs_that_continue_each_other_are_one_drive_whatever_the_order_of_names(tmp_path: Path) -> None:
    for number, first_s in ((2, 1000.0), (10, 1020.5), (1, 1041.0)):
        can_log(tmp_path / f"run_{number}.log", first_s)
    (found,), _ = discover(tmp_path)
    assert sorted(found.files) == ["run_1.log", "run_10.log", "run_2.log"]


def test_a_pause_or_another_name_begins_a_new_drive(tmp_path: Path) -> None:
    can_log(tmp_path / "run_0.log", 1000.0)
    can_log(tmp_path / "run_1.log", 1080.0)
    can_log(tmp_path / "other_1.log", 1020.0)
    founds, _ = discover(tmp_path)
    assert names(founds) == [["other_1.log"], ["run_0.log"], ["run_1.log"]]


def test_two_recorders_side_by_side_are_two_drives(tmp_path: Path) -> None:
    for car in (1, 2):
        can_log(tmp_path / f"car_{car}.log", 1000.0 + car)
    founds, _ = discover(tmp_path)
    assert names(founds) == [["car_1.log"], ["car_2.log"]]


def test_a_part_that_cannot_be_read_is_a_recording_of_its_own_and_breaks_no_other(tmp_path: Path) -> None:
    can_log(tmp_path / "run_0.log", 1000.0)
    can_log(tmp_path / "run_1.log", 1020.0)
    torn = "(1040.0) can0 1A0#01\n(1040.1) can0 1A0#02\n" + "x" * 5000
    (tmp_path / "run_2.log").write_text(torn)
    founds, _ = discover(tmp_path)
    assert ["run_0.log", "run_1.log"] in [[name for name in group if name != "run_2.log"] for group in names(founds)]


@pytest.mark.parametrize(
    ("format", "write"),
    [
        ("mcap", write_topic_drive),
        ("ros1", write_topic_drive),
        ("blf", write_can_drive),
        ("asc", write_can_drive),
        ("candump", write_can_drive),
    ],
)
def test_parts_in_any_format_are_one_drive_with_all_messages(
    tmp_path: Path, format: str, write: Callable[..., Path]
) -> None:
    (tmp_path / "card").mkdir()
    for number in range(3):
        part = write(tmp_path / str(number), format, start_utc_ns=START_NS + number * 4 * 10**9, seconds=4.0)
        for path in part.iterdir():
            # Later parts have names that sort first.
            path.rename(tmp_path / "card" / f"{path.stem}_{9 - number}{path.suffix}")
    (found,), ignored = discover(tmp_path / "card")
    assert (len(found.files), ignored) == (3, [])
    recording = open_recording(found.files)
    low_ns, high_ns = recording.extent_ns()
    assert 11.8e9 < high_ns - low_ns < 12.1e9
    assert sum(len(batch) for batch in recording.batches()) > 3 * 400
    recording.close()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("run_0.bag", "run_12.bag"),
        ("run.bag", "run_1.bag"),
        ("can.log", "can.log.1"),
        ("00000001-60FE3F04.MF4", "00000002-60FE415D.MF4"),
        ("drive_2024-05-01-08-00-00_0.bag", "drive_2024-05-01-08-01-00_1.bag"),
        ("log (1).blf", "log (2).blf"),
    ],
)
def test_names_of_parts_are_proposed_together(one: str, other: str) -> None:
    assert family(one) == family(other)


@pytest.mark.parametrize(("one", "other"), [("front_0.mcap", "rear_0.mcap"), ("a_0.bag", "a_0.mcap")])
def test_other_names_are_not(one: str, other: str) -> None:
    assert family(one) != family(other)


# -- ROS 2 bags ----------------------------------------------------------------------------------------------------


def test_a_bag_is_what_its_metadata_lists_and_what_is_missing_is_named(tmp_path: Path, real_data: Path) -> None:
    bag = next((real_data / "tier4_nebula_lidar").rglob("metadata.yaml")).parent
    shutil.copytree(bag, tmp_path / "bag")
    (tmp_path / "bag" / "picture.jpg").write_bytes(JPEG)
    metadata = tmp_path / "bag" / "metadata.yaml"
    os.chmod(metadata, 0o644)  # noqa: PTH101 - shutil copies the mode too
    text = metadata.read_text()
    listed = next(line for line in text.splitlines() if line.strip().startswith("- ") and ".db3" in line)
    metadata.write_text(text.replace(listed, f"{listed}\n    - gone_1.db3"))
    (found,), ignored = discover(tmp_path)
    assert (found.format, found.root) == ("ros2", tmp_path / "bag")
    assert len(found.files) == 2
    assert "gone_1.db3" in found.notes[0]
    assert reasons(ignored) == {"no recording of a known format (JPEG image)": 1}


# -- copies --------------------------------------------------------------------------------------------------------


def test_the_same_recording_twice_is_taken_once_and_said(mdf4: Path, tmp_path: Path) -> None:
    shutil.copytree(mdf4, tmp_path / "backup" / "deep")
    (found,), ignored = discover(tmp_path)
    assert found.root == tmp_path / "backup" / "deep"
    assert reasons(ignored) == {f"copy of {found.root}": 1}


def test_a_copy_of_one_part_does_not_tear_the_drive_apart(mdf4: Path, tmp_path: Path) -> None:
    shutil.copyfile(mdf4 / "00000002.mf4", tmp_path / "a_part.MF4")
    shutil.copyfile(mdf4 / "00000002.mf4", mdf4 / "00000002 (copy).mf4")
    (found,), ignored = discover(tmp_path)
    assert sorted(found.files) == ["00000001.mf4", "00000002.mf4", "00000003.mf4"]
    assert reasons(ignored) == {"copy of 00000002.mf4": 1, f"copy of {mdf4}": 1}


@given(st.lists(st.binary(min_size=0, max_size=3), max_size=12))
def test_same_content_finds_exactly_the_equal_files(contents: list[bytes]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder, str(number)) for number in range(len(contents))]
        for path, content in zip(paths, contents, strict=True):
            path.write_bytes(content)
        groups = {frozenset(group) for group in same_content(paths)}
        expected = {
            frozenset(path for path, own in zip(paths, contents, strict=True) if own == content) for content in contents
        }
        assert groups == {group for group in expected if len(group) > 1}


def test_files_of_equal_size_and_equal_ends_are_told_apart_by_their_middle(tmp_path: Path) -> None:
    for name, middle in (("a", b"1"), ("b", b"2"), ("c", b"1")):
        (tmp_path / name).write_bytes(bytes(100_000) + middle + bytes(100_000))
    assert same_content([tmp_path / name for name in "abc"]) == [[tmp_path / "a", tmp_path / "c"]]


@given(st.permutations(["x", "xy", "y", "xyz", "zz"]))
def test_of_recordings_that_hold_each_other_the_whole_ones_stay(order: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        founds = []
        for name in order:
            (Path(folder) / name).mkdir()
            paths = {str(number): Path(folder, name, str(number)) for number in range(len(name))}
            for path, letter in zip(paths.values(), name, strict=True):
                path.write_text(letter)
            founds.append(Found(Path(folder, name), "mdf4", paths))
        kept = {found.root.name for found in without_copies(founds, Tally())}
        assert kept == {"xyz", "zz"}
        assert len(copies(founds)) == 3
