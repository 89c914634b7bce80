"""The comma2k19 reader: channels, one clock over segments, and damage of every kind."""

import io
import pickle
import random
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest

from fleet_assets.ingestion.recordings.arrays.comma2k19 import Comma2k19Recording
from fleet_assets.ingestion.recordings.open import open_recording
from fleet_assets.ingestion.recordings.protocol import NS_PER_S, WINDOW_NS, Loss, UnreadableRecordingError
from tests.recordings_factory import write_comma2k19_drive

START_NS = 1_700_000_000 * NS_PER_S
EXAMPLE = Path(__file__).parents[4] / "shared" / "data" / "comma2k19_example" / "sample"
SPEED = "processed_log/CAN/wheel_speed"
RAW = "processed_log/CAN/raw_can"
GNSS = "processed_log/GNSS/live_gnss_ublox"
GYRO = "processed_log/IMU/gyro"


def real(test: Callable[..., None]) -> Callable[..., None]:
    """Mark a test that needs the real segment."""
    absent = pytest.mark.skipif(not EXAMPLE.is_dir(), reason="the comma2k19 example is not in ../shared/data")
    marked: Callable[..., None] = pytest.mark.real_data(absent(test))
    return marked


@pytest.fixture
def drive(tmp_path: Path) -> dict[str, Path]:
    return write_comma2k19_drive(tmp_path / "drive", start_utc_ns=START_NS, boot_s=2000.0)


def npy(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=False)
    return stream.getvalue()


def replaced(drive: Mapping[str, Path], name: str, content: bytes) -> dict[str, Path]:
    path = drive[name].with_name(f"{drive[name].name}_replaced")
    path.write_bytes(content)
    return {**drive, name: path}


def read(files: Mapping[str, Path]) -> tuple[Counter[str], tuple[Loss, ...]]:
    recording = Comma2k19Recording(files)
    counts = Counter[str]()
    for batch in recording.batches():
        counts[batch.channel] += len(batch)
    assert counts == {name: found.messages for name, found in recording.summary().channels.items() if found.messages}
    return counts, recording.summary().losses


def lost(losses: tuple[Loss, ...], channel: str) -> int:
    return sum(loss.messages or 0 for loss in losses if loss.channel == channel)


def test_every_folder_with_times_and_values_is_a_channel(drive: dict[str, Path]) -> None:
    channels = {channel.name: channel for channel in Comma2k19Recording(drive).channels()}
    assert set(channels) == {RAW, GNSS, GYRO, "processed_log/IMU/accelerometer"}
    assert channels[RAW].kind == "can"
    assert channels[GNSS].fields == ("value",)
    assert channels[GNSS].message_count == 200


def test_channel_names_do_not_depend_on_the_folder_that_was_uploaded(drive: dict[str, Path]) -> None:
    deeper = {f"b0c9|2018/40/{name}": path for name, path in drive.items()}
    names = [channel.name for channel in Comma2k19Recording(drive).channels()]
    assert [channel.name for channel in Comma2k19Recording(deeper).channels()] == names


def test_files_may_be_content_addressed_blobs(tmp_path: Path, drive: dict[str, Path]) -> None:
    blobs = {}
    for number, (name, path) in enumerate(drive.items()):
        blobs[name] = tmp_path / f"{number:064x}"
        blobs[name].write_bytes(path.read_bytes())
    recording = open_recording(blobs)
    assert recording.format == "comma2k19"
    assert sum(len(batch) for batch in recording.batches()) == sum(read(drive)[0].values())


def test_the_clock_is_monotonic_and_claims_no_start(drive: dict[str, Path]) -> None:
    recording = Comma2k19Recording(drive)
    assert (recording.clock, recording.container_start_ns) == ("monotonic", None)
    first, last = recording.extent_ns()
    assert 2000 * NS_PER_S <= first < 2000.02 * NS_PER_S
    assert 2019.9 * NS_PER_S < last <= 2020 * NS_PER_S


def test_batches_never_leave_their_window_and_hold_all_messages_in_order(drive: dict[str, Path]) -> None:
    recording = Comma2k19Recording(drive)
    first = recording.extent_ns()[0]
    windows, times = [], []
    for batch in recording.batches({RAW}):
        number = (batch.t_ns - first) // WINDOW_NS
        assert number.min() == number.max()
        windows.append(int(number[0]))
        times.append(batch.t_ns)
    assert windows == [0, 1]
    expected = np.rint(np.load(drive[f"{RAW}/t"]) * 1e9).astype(np.int64)
    np.testing.assert_array_equal(np.concatenate(times), expected)


def test_trailing_zero_bytes_of_a_frame_are_part_of_it(drive: dict[str, Path]) -> None:
    raw = np.load(drive[f"{RAW}/data"])
    frames = np.concatenate([batch.columns["data"] for batch in Comma2k19Recording(drive).batches({RAW})])
    assert frames.shape == (len(raw), 8)
    assert [bytes(frame) for frame in frames[:500]] == [frame.ljust(8, b"\0") for frame in raw[:500].tolist()]


def test_segments_of_one_route_are_one_recording_on_one_clock(tmp_path: Path) -> None:
    late = write_comma2k19_drive(tmp_path / "41", start_utc_ns=START_NS, boot_s=2020.0, seed=2)
    early = write_comma2k19_drive(tmp_path / "40", start_utc_ns=START_NS, boot_s=2000.0, seed=1)
    # The later segment comes first by name, so that order must come from the clock.
    files = {f"1/{name}": path for name, path in late.items()} | {f"2/{name}": path for name, path in early.items()}
    recording = Comma2k19Recording(files)
    times = np.concatenate([batch.t_ns for batch in recording.batches({GYRO})])
    assert len(times) == 2 * 2080
    assert (np.diff(times) > 0).all()


def test_a_segment_whose_arrays_have_another_shape_is_lost_and_counted(tmp_path: Path) -> None:
    early = write_comma2k19_drive(tmp_path / "40", start_utc_ns=START_NS, boot_s=2000.0)
    late = write_comma2k19_drive(tmp_path / "41", start_utc_ns=START_NS, boot_s=2020.0)
    late = replaced(late, f"{GYRO}/value", npy(np.load(late[f"{GYRO}/value"])[:, 0]))
    files = {f"40/{name}": path for name, path in early.items()} | {f"41/{name}": path for name, path in late.items()}
    counts, losses = read(files)
    assert (counts[GYRO], lost(losses, GYRO)) == (2080, 2080)
    assert losses[0].rule == "wrong_type"


def test_messages_out_of_order_stay_in_the_recorded_order(drive: dict[str, Path]) -> None:
    times = np.load(drive[f"{GNSS}/t"])
    times[50] -= 0.5
    files = replaced(drive, f"{GNSS}/t", npy(times))
    found = np.concatenate([batch.t_ns for batch in Comma2k19Recording(files).batches({GNSS})])
    np.testing.assert_array_equal(found, np.rint(times * 1e9).astype(np.int64))


def test_a_time_stamp_far_in_the_future_neither_stops_nor_swallows_the_rest(drive: dict[str, Path]) -> None:
    times = np.load(drive[f"{GNSS}/t"])
    times[50] = 8.0e9
    recording = Comma2k19Recording(replaced(drive, f"{GNSS}/t", npy(times)))
    assert sum(len(batch) for batch in recording.batches()) == sum(read(drive)[0].values())


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e300, 0.0])
def test_messages_without_a_usable_time_stamp_are_lost_and_counted(drive: dict[str, Path], value: float) -> None:
    times = np.load(drive[f"{GNSS}/t"])
    times[20:30] = value
    counts, losses = read(replaced(drive, f"{GNSS}/t", npy(times)))
    assert counts[GNSS] == 190
    assert [(loss.rule, loss.messages, loss.path) for loss in losses] == [("invalid_time", 10, f"{GNSS}/t")]


@pytest.mark.parametrize("keep", [128, 129, 200, 1000, 1727])
@pytest.mark.parametrize("name", ["t", "value"])
def test_of_a_truncated_array_the_rows_that_are_there_are_read(drive: dict[str, Path], name: str, keep: int) -> None:
    content = drive[f"{GNSS}/{name}"].read_bytes()
    counts, losses = read(replaced(drive, f"{GNSS}/{name}", content[:keep]))
    assert counts[GNSS] == (keep - 128) // (8 if name == "t" else 48)
    assert counts[GNSS] + lost(losses, GNSS) == 200
    assert losses[0].rule == "truncated_file"
    assert losses[0].path == f"{GNSS}/{name}"


@pytest.mark.parametrize("keep", [0, 1, 6, 9, 60, 127])
def test_an_array_without_its_header_costs_its_channel_only(drive: dict[str, Path], keep: int) -> None:
    before = read(drive)[0]
    content = drive[f"{GNSS}/value"].read_bytes()
    counts, losses = read(replaced(drive, f"{GNSS}/value", content[:keep]))
    assert counts == {name: count for name, count in before.items() if name != GNSS}
    assert lost(losses, GNSS) == 200


@pytest.mark.parametrize(
    ("content", "rule"),
    [(b"", "empty_file"), (bytes(3000), "not_numpy"), (b"12.5\n13.0\n" * 100, "not_numpy")],
    ids=["empty", "zeros", "text"],
)
def test_a_file_that_is_no_array_is_named(drive: dict[str, Path], content: bytes, rule: str) -> None:
    _, losses = read(replaced(drive, f"{RAW}/data", content))
    assert [(loss.rule, loss.path, loss.lost_bytes) for loss in losses] == [(rule, f"{RAW}/data", len(content))]
    assert "Upload" in losses[0].reason


@pytest.mark.parametrize(("name", "rule"), [("t", "missing_file"), ("value", "missing_file")])
def test_a_channel_without_times_or_values_is_lost_and_counted(drive: dict[str, Path], name: str, rule: str) -> None:
    files = {path: place for path, place in drive.items() if path != f"{GNSS}/{name}"}
    counts, losses = read(files)
    assert counts[GNSS] == 0
    assert [(loss.rule, loss.path, loss.messages) for loss in losses] == [(rule, f"{GNSS}/{name}", 200)]


def test_arrays_of_different_length_are_cut_to_the_shortest(drive: dict[str, Path]) -> None:
    values = np.load(drive[f"{GNSS}/value"])[:150]
    counts, losses = read(replaced(drive, f"{GNSS}/value", npy(values)))
    assert (counts[GNSS], lost(losses, GNSS)) == (150, 50)
    assert losses[0].rule == "length_mismatch"


@pytest.mark.parametrize(
    ("name", "array", "rule"),
    [
        (f"{GNSS}/t", np.arange(200), "wrong_type"),
        (f"{GNSS}/t", np.zeros((200, 2)), "wrong_type"),
        (f"{RAW}/address", np.zeros(100), "wrong_type"),
        (f"{RAW}/data", np.zeros(100), "wrong_type"),
        (f"{GNSS}/value", np.zeros(200, dtype=[("a", "<f8")]), "unsupported_type"),
        (f"{GNSS}/value", np.zeros((2, 2, 2)), "implausible_shape"),
    ],
)
def test_wrong_types_are_refused_by_name(drive: dict[str, Path], name: str, array: np.ndarray, rule: str) -> None:
    _, losses = read(replaced(drive, name, npy(array)))
    assert (losses[0].rule, losses[0].path) == (rule, name)


def header(text: str) -> bytes:
    padded = text.encode().ljust(118) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(padded).to_bytes(2, "little") + padded


@pytest.mark.parametrize(
    "text",
    [
        "{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000000000,), }",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (-5,), }",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (10, 0), }",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (True,), }",
        "{'descr': '|S0', 'fortran_order': False, 'shape': (10,), }",
        "{'descr': '|S999999999', 'fortran_order': False, 'shape': (10,), }",
        "{'descr': '|O', 'fortran_order': False, 'shape': (10,), }",
        "{'descr': 'f3', 'fortran_order': False, 'shape': (10,), }",
        "{'descr': '<f8'}",
        "[1, 2]",
        "((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((",
        "__import__('os').system('true')",
    ],
)
def test_hostile_headers_are_refused(drive: dict[str, Path], text: str) -> None:
    before = read(drive)[0]
    counts, losses = read(replaced(drive, f"{GNSS}/value", header(text) + bytes(4000)))
    assert counts == {name: count for name, count in before.items() if name != GNSS}
    assert losses[0].rule in {"implausible_shape", "unsupported_type", "unreadable_header"}


class Touch:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., object], tuple[Path]]:
        return Path.touch, (self.path,)


def test_pickled_objects_are_never_loaded(tmp_path: Path, drive: dict[str, Path]) -> None:
    trap = tmp_path / "trap"
    content = header("{'descr': '|O', 'fortran_order': False, 'shape': (1,), }") + pickle.dumps([Touch(trap)])
    _, losses = read(replaced(drive, f"{GNSS}/value", content))
    assert losses[0].rule == "unsupported_type"
    assert not trap.exists()


@pytest.mark.parametrize("order", ["C", "F"])
def test_both_array_orders_are_read(drive: dict[str, Path], order: str) -> None:
    values = np.load(drive[f"{GNSS}/value"])
    files = replaced(drive, f"{GNSS}/value", npy(np.asarray(values, order="F" if order == "F" else "C")))
    found = np.concatenate([batch.columns["value"] for batch in Comma2k19Recording(files).batches({GNSS})])
    np.testing.assert_array_equal(found, values)


def test_frames_on_impossible_addresses_are_lost_and_counted(drive: dict[str, Path]) -> None:
    address = np.load(drive[f"{RAW}/address"])
    address[:7] = [-1, 1 << 29, 1 << 40, -5, 1 << 62, 1 << 31, 1 << 30]
    counts, losses = read(replaced(drive, f"{RAW}/address", npy(address)))
    assert counts[RAW] == len(address) - 7
    assert [(loss.rule, loss.messages) for loss in losses] == [("invalid_address", 7)]


def test_a_drive_without_any_channel_is_refused_with_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "notes").write_text("hello")
    with pytest.raises(UnreadableRecordingError, match="no_messages.*Upload") as caught:
        Comma2k19Recording({"notes": tmp_path / "notes"})
    assert caught.value.rule == "no_messages"


@pytest.mark.parametrize("seed", range(4))
def test_random_damage_never_does_more_than_lose_messages(drive: dict[str, Path], seed: int) -> None:
    rng = random.Random(seed)  # noqa: S311 - damage, not secrets
    total = read(drive)[0]
    for _ in range(40):
        name = rng.choice(sorted(drive))
        content = bytearray(drive[name].read_bytes())
        for _ in range(rng.choice([1, 3])):
            content[rng.randrange(130)] = rng.randrange(256)
        del content[rng.randrange(len(content) // 2, len(content) + 1) :]
        counts, losses = read(replaced(drive, name, bytes(content)))
        channel = name.rpartition("/")[0]
        assert {other: counts[other] for other in total if other != channel} == {
            other: count for other, count in total.items() if other != channel
        }
        assert counts[channel] == total[channel] or losses


@real
def test_the_real_segment_gives_all_its_messages() -> None:
    files = {str(path.relative_to(EXAMPLE)): path for path in EXAMPLE.rglob("*") if path.is_file()}
    counts, losses = read(files)
    assert losses == ()
    assert counts[RAW] == 135_468
    assert counts["processed_log/CAN/radar"] == 10_100
    assert counts["processed_log/IMU/accelerometer"] == 6256
    assert counts["global_pose"] == 1200
    assert len(counts) == 16


@real
def test_of_a_truncated_real_array_messages_read_and_lost_add_up(tmp_path: Path) -> None:
    files = {str(path.relative_to(EXAMPLE)): path for path in EXAMPLE.rglob("*") if path.is_file()}
    name = next(name for name in files if name.endswith("raw_can/data"))
    content = files[name].read_bytes()
    for keep in (200, 5000, 700_001, len(content) - 1):
        (tmp_path / "cut").write_bytes(content[:keep])
        counts, losses = read({**files, name: tmp_path / "cut"})
        assert counts[RAW] + lost(losses, RAW) == 135_468
