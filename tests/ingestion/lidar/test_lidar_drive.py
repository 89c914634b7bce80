"""Whole drives of lidars: sweeps, their files, and the account of what is broken."""

import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from fleet_assets.evidence.verdicts import Outcome
from fleet_assets.ingestion.recordings.media import MessageKind, PayloadRecording
from fleet_assets.ingestion.recordings.messages.media_messages import Cloud
from fleet_assets.ingestion.recordings.open import open_recording
from fleet_assets.ingestion.sensor_sync_and_format_conversion.lidar.clouds import UnusableCloudError, points_of
from fleet_assets.ingestion.sensor_sync_and_format_conversion.lidar.lidar_drive import (
    Account,
    LidarConversion,
    LidarJob,
    MessageDecoder,
    convert,
)
from fleet_assets.ingestion.sensor_sync_and_format_conversion.lidar.returns import Points
from fleet_assets.ingestion.sensor_sync_and_format_conversion.lidar.sweeps import Sweep, SweepCutter
from fleet_assets.ingestion.sensor_sync_and_format_conversion.lidar.verdict import lidar_verdict
from fleet_assets.ingestion.sensor_sync_and_format_conversion.lidar.zarr_shards import (
    COLUMNS,
    ShardPolicy,
    SweepWriter,
    read_sweeps,
    sweep_starts,
)
from fleet_assets.policy.documents import load_policies
from fleet_assets.policy.lidar_calibration import parse_lidar_calibration
from tests.lidar_factory import HALF_ROOM_M, TOPIC, write_lidar_drive

START_NS = 1_714_550_400 * 1_000_000_000
SILENCE_NS = 150_000_000
FIELDS = load_policies()["lidar"]["cloud_fields"]


def points(t_ns: Sequence[int], turn: Sequence[int] | None = None, seed: int = 0) -> Points:
    rng, count = np.random.default_rng(seed), len(t_ns)
    return Points(
        xyz=rng.normal(0, 20, (3, count)).astype(np.float32),
        intensity=rng.integers(0, 256, count).astype(np.float32),
        ring=rng.integers(0, 16, count).astype(np.uint16),
        t_ns=np.array(t_ns, dtype=np.int64),
        turn=np.array(turn if turn is not None else [0] * count, dtype=np.int64),
    )


def cut(parts: Sequence[Points]) -> list[list[int]]:
    cutter = SweepCutter(SILENCE_NS)
    found = [sweep for part in parts for sweep in cutter.add(part)] + list(cutter.finish())
    return [sweep.points.t_ns.tolist() for sweep in found]


def test_a_sweep_goes_on_over_messages_until_the_head_passes_the_zero() -> None:
    assert cut([points([1, 2, 3]), points([4, 5, 6], [0, 0, 1]), points([7])]) == [[1, 2, 3, 4, 5], [6, 7]]


def test_second_returns_from_before_the_zero_stay_in_their_sweep() -> None:
    assert cut([points([1, 2, 1, 2], [0, 1, 0, 1])]) == [[1, 1], [2, 2]]


def test_a_sweep_ends_where_nothing_comes_for_long() -> None:
    late = 10 * SILENCE_NS
    assert cut([points([1, 2]), points([late, late + 1])]) == [[1, 2], [late, late + 1]]
    assert cut([points([1, 2, late])]) == [[1, 2], [late]]
    assert cut([points([1]), points([1 + SILENCE_NS])]) == [[1, 1 + SILENCE_NS]]
    assert cut([points([])]) == []


def test_the_points_of_a_head_that_stands_are_not_collected_for_ever() -> None:
    found = cut([points([second * 10**8, second * 10**8 + 1]) for second in range(100)])
    assert max(map(len, found)) <= 2 * 22
    assert [t_ns for sweep in found for t_ns in sweep] == sorted(t_ns for sweep in found for t_ns in sweep)
    assert sum(map(len, found)) == 200


def write(path: Path, sweeps: Sequence[Sweep], shard: int = 2048, chunk: int = 1024) -> None:
    writer = SweepWriter(path, ShardPolicy(shard, chunk, 1), {"sensor": "lidar"})
    for sweep in sweeps:
        writer.add(sweep)
    writer.close()


def sweep_of(count: int, seed: int) -> Sweep:
    found = points((np.arange(count) * 1000 + START_NS + seed * 10**8).tolist(), seed=seed)
    return Sweep(found, int(found.t_ns[0]), int(found.t_ns[-1]))


SIZES = (1500, 3, 4096, 1, 700, 2048)


def test_any_zarr_reader_finds_the_points_of_every_sweep(tmp_path: Path) -> None:
    sweeps = [sweep_of(count, seed) for seed, count in enumerate(SIZES)]
    write(tmp_path / "a.zip", sweeps)
    group: Any = zarr.open_group(zarr.storage.ZipStore(tmp_path / "a.zip", mode="r"), mode="r")
    assert group.metadata.zarr_format == 3
    assert {name: (group[name].shards, group[name].chunks) for name in COLUMNS} == (
        dict.fromkeys(COLUMNS, ((2048,), (1024,)))
    )
    assert (
        group["sweep_start"][:].tolist() == [0, *np.cumsum(SIZES).tolist()] == sweep_starts(tmp_path / "a.zip").tolist()
    )
    for axis, name in enumerate("xyz"):
        np.testing.assert_array_equal(group[name][:], np.concatenate([one.points.xyz[axis] for one in sweeps]))
    np.testing.assert_array_equal(group["ring"][:], np.concatenate([one.points.ring for one in sweeps]))
    offsets = np.concatenate([one.points.t_ns - one.t_ns for one in sweeps])
    np.testing.assert_array_equal(group["time_offset_ns"][:], offsets)
    read = list(read_sweeps(tmp_path / "a.zip", 2, 2))
    assert [len(one["x"]) for one in read] == [4096, 1]
    np.testing.assert_array_equal(read[0]["intensity"], sweeps[2].points.intensity)


def test_the_same_sweeps_give_the_same_bytes_and_a_stored_zip_without_times(tmp_path: Path) -> None:
    sweeps = [sweep_of(count, seed) for seed, count in enumerate(SIZES)]
    for name in ("a.zip", "b.zip"):
        write(tmp_path / name, sweeps)
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()
    with zipfile.ZipFile(tmp_path / "a.zip") as file:
        entries = file.infolist()
    assert {(entry.compress_type, entry.date_time) for entry in entries} == {
        (zipfile.ZIP_STORED, (1980, 1, 1, 0, 0, 0))
    }
    assert len({entry.filename for entry in entries}) == len(entries)


def converted(
    files: Any, path: Path, *, calibrated: bool = True, cuts: Sequence[tuple[int, int]] = (), from_ns: int = 0
) -> LidarConversion:
    calibration = parse_lidar_calibration(load_policies()["calibrations/velodyne_vlp16"]) if calibrated else None
    recording = open_recording(files)
    assert isinstance(recording, PayloadRecording)
    job = LidarJob("roof", TOPIC, calibration, lambda t_ns: "clip" if t_ns >= from_ns else None, cuts, path)
    try:
        (found,) = convert(recording, [job], load_policies()["lidar"], 5_000_000_000)
    finally:
        recording.close()
    return found


def test_a_room_has_its_walls_where_they_are(tmp_path: Path) -> None:
    found = converted(write_lidar_drive(tmp_path / "bag", start_utc_ns=START_NS, seconds=1.0), tmp_path / "a.zip")
    assert (found.account.messages, found.account.broken_messages, found.account.packets) == (9, 0, 679)
    assert found.account.words() is None
    sweeps = list(read_sweeps(tmp_path / "a.zip"))
    assert [len(one["x"]) for one in sweeps] == [sweep.points for sweep in found.sweeps]
    # 900 blocks of 0.4 degrees, 32 returns each.
    assert {len(one["x"]) for one in sweeps[1:-1]} == {900 * 32}
    flat = sweeps[1]["ring"] == 8  # one degree up
    reach = np.maximum(np.abs(sweeps[1]["x"][flat]), np.abs(sweeps[1]["y"][flat]))
    # A block's one distance serves for 0.4 degrees of a wall that is seen at up to 45 degrees.
    assert np.abs(reach - HALF_ROOM_M).max() < HALF_ROOM_M * np.radians(0.4) * 1.1
    # Arrival of the first packet, on the drive's clock; a packet is taken at its first firing.
    # The lidar states microseconds, so that the last packet's arrival is met to the nanosecond, others are not.
    assert found.sweeps[0].t_ns == pytest.approx(START_NS + 12 * 110_592 + 5_000_000_000, abs=1000)
    assert all(
        abs(after.t_ns - before.t_ns - 99_532_800) < 60_000
        for before, after in zip(found.sweeps[1:], found.sweeps[2:], strict=False)
    )


def test_what_is_broken_is_counted_and_named_and_the_rest_is_there(tmp_path: Path) -> None:
    files = write_lidar_drive(tmp_path / "bag", start_utc_ns=START_NS, seconds=1.0, broken=True)
    account = converted(files, tmp_path / "a.zip").account
    assert (account.messages, account.broken_messages) == (9, 1)
    assert (account.broken_packets, account.broken_blocks) == (1, 1)
    words = account.words()
    assert words is not None
    assert "1 x broken message" in words
    assert "1 x packet of return mode 0x0" in words
    assert "1 x block without mark" in words


def test_packets_without_a_calibration_give_nothing_and_say_what_to_do(tmp_path: Path) -> None:
    files = write_lidar_drive(tmp_path / "bag", start_utc_ns=START_NS, seconds=0.5)
    found = converted(files, tmp_path / "a.zip", calibrated=False)
    assert (found.sweeps, found.account.broken_messages) == ([], found.account.messages)
    assert "names no calibration" in str(found.account.words())
    assert not (tmp_path / "a.zip").exists()


def test_sweeps_under_a_finding_or_outside_all_clips_are_in_no_file(tmp_path: Path) -> None:
    files = write_lidar_drive(tmp_path / "bag", start_utc_ns=START_NS, seconds=1.0)
    every = converted(files, tmp_path / "a.zip").sweeps
    inside = every[3].t_ns + 1000
    cut_out = converted(files, tmp_path / "b.zip", cuts=[(inside, inside)])
    assert [one.t_ns for one in cut_out.sweeps] == [one.t_ns for one in every if one is not every[3]]
    assert cut_out.account.cut_sweeps == 1
    late = converted(files, tmp_path / "c.zip", from_ns=every[2].t_ns)
    assert ([one.t_ns for one in late.sweeps], late.account.outside_sweeps) == ([one.t_ns for one in every[2:]], 2)
    assert sum(len(one["x"]) for one in read_sweeps(tmp_path / "c.zip")) == sum(one.points for one in every[2:])


def cloud(**columns: Any) -> Cloud:
    return Cloud(None, {name: np.asarray(values) for name, values in columns.items()})


def test_a_cloud_gives_the_points_that_have_a_place() -> None:
    given = cloud(x=[1.0, np.nan, 3.0], y=[0.0, 0.0, np.inf], z=[2.0, 2.0, 2.0], reflectivity=[7, 8, 9], ring=[3, 4, 5])
    found = points_of(given, 100, FIELDS)
    assert found.xyz[:, 0].tolist() == [1.0, 0.0, 2.0]
    assert (found.intensity.tolist(), found.ring.tolist(), found.t_ns.tolist()) == ([7.0], [3], [100])


@pytest.mark.parametrize(
    ("name", "values", "expected"),
    [
        ("time", np.array([-0.1, 0.0], np.float32), [-100_000_001, 0]),
        ("t", np.array([0, 99_000_000], np.uint32), [0, 99_000_000]),
        ("timestamp", np.array([1_714_550_400.05, 1_714_550_400.0]), [50_000_000, 0]),
    ],
)
def test_times_of_points_count_from_the_message_or_from_the_earliest_point(
    name: str, values: Any, expected: list[int]
) -> None:
    found = points_of(cloud(x=[1.0, 1.0], y=[1.0, 1.0], z=[1.0, 1.0], **{name: values}), START_NS, FIELDS)
    np.testing.assert_allclose(found.t_ns - START_NS, expected, atol=100)


@pytest.mark.parametrize(
    ("columns", "reason"),
    [
        ({"x": [1.0], "y": [1.0]}, "cloud without z"),
        ({"x": [1.0], "y": [1.0], "z": [1.0], "time": [1e9, 5e9][:1] * 1 + []}, None),
        ({"x": [1.0, 1.0], "y": [1.0, 1.0], "z": [1.0, 1.0], "time": [0.0, 1e9]}, "no times of a sweep"),
        ({"x": [1.0, 1.0], "y": [1.0, 1.0], "z": [1.0, 1.0], "time": [0.0, np.nan]}, "no times of a sweep"),
        ({"x": [1.0], "y": [1.0], "z": [1.0], "ring": [-1]}, "ring that is no number"),
    ],
)
def test_absurd_clouds_are_refused_with_a_reason(columns: dict[str, Any], reason: str | None) -> None:
    if reason is None:
        assert len(points_of(cloud(**columns), START_NS, FIELDS)) == 1
        return
    with pytest.raises(UnusableCloudError, match=reason):
        points_of(cloud(**columns), START_NS, FIELDS)


def test_messages_that_are_neither_packets_nor_clouds_are_named() -> None:
    account = Account()
    decoder = MessageDecoder(None, load_policies()["lidar"], account)
    kind = MessageKind("json", "thing", "", b"")
    assert [*decoder.points(kind, b'{"a": 1}', 0), *decoder.points(kind, b"{", 0)] == []
    unknown = MessageKind("cdr", "other_msgs/msg/Unknown", "", b"")
    assert list(decoder.points(unknown, b"\x00" * 8, 0)) == []
    assert (account.messages, account.broken_messages) == (3, 3)
    assert "neither packets nor points" in str(account.words())
    assert "Unknown" in str(account.words())


ONE = ("drive", "roof")


@pytest.mark.parametrize(
    ("recorded", "converted_counts", "rows", "waiting", "outcome"),
    [
        ({ONE: 9}, {ONE: (9, 8)}, {ONE: 8}, [], Outcome.PASS),
        ({}, {}, {}, [], Outcome.PASS),
        ({ONE: 9}, {ONE: (9, 0)}, {}, [], Outcome.PASS),
        ({ONE: 9}, {ONE: (8, 8)}, {ONE: 8}, [], Outcome.FAIL),
        ({ONE: 9}, {ONE: (10, 8)}, {ONE: 8}, [], Outcome.FAIL),
        ({ONE: 9}, {ONE: (9, 8)}, {ONE: 7}, [], Outcome.FAIL),
        ({ONE: 9}, {ONE: (9, 8)}, {ONE: 9}, [], Outcome.FAIL),
        ({ONE: 9}, {}, {}, [], Outcome.FAIL),
        ({}, {ONE: (9, 8)}, {ONE: 8}, [], Outcome.FAIL),
        ({ONE: 9}, {}, {}, ["drive"], Outcome.INCONCLUSIVE),
    ],
)
def test_no_message_and_no_sweep_of_a_lidar_vanishes_unseen(
    recorded: Any, converted_counts: Any, rows: Any, waiting: list[str], outcome: Outcome
) -> None:
    assert lidar_verdict(recorded, converted_counts, rows, waiting, policy_digest="0" * 64).outcome is outcome
