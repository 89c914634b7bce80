"""Point clouds of simulated drives from the landing zone to sweeps: their points, their times, a drive taken out."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import zarr
from click.testing import CliRunner
from rosbags.highlevel import AnyReader

from fleet_assets.cli import main
from tests.harness import TestFleet

pytestmark = pytest.mark.slow
DRIVES = ("sim-21-0001", "sim-21-0002")
START_NS = 1_714_550_400_000_000_000
PLANE_M = 1.9
"""Height of the simulated lidar over the road."""


@pytest.fixture(scope="module")
def scanned(tmp_path_factory: pytest.TempPathFactory) -> TestFleet:
    """A drive with a lidar and one whose lidar was missing; to be read only."""
    fleet = TestFleet(tmp_path_factory.mktemp("scanned") / "home", first_day="2024-05-01")
    arguments = ["--drives", "2", "--seconds", "14", "--seed", "21", "--sensors", "can,imu,gnss,lidar", "--no-turn"]
    arguments += ["--home", str(fleet.home), "--depot", "north", "--fault", "2/missing_sensor:lidar", "--json"]
    result = CliRunner().invoke(main, ["simulate", *arguments])
    assert result.exit_code == 0, result.output
    assert {row["drive_id"] for row in json.loads(result.stdout)} == set(DRIVES)
    fleet.turn()
    return fleet


def clouds(fleet: TestFleet, drive_id: str) -> list[tuple[int, np.ndarray[Any, Any]]]:
    """Log time and points of each cloud of a drive, read by rosbags."""
    files = fleet.sql(f"select path, sha256 from bronze.drive_files where drive_id = '{drive_id}'")  # noqa: S608 - a name of this test
    (mcap,) = [row for row in files if row["path"].endswith(".mcap")]
    path = fleet.home / "oracle" / Path(mcap["path"]).name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(fleet.fleet.objects.local(mcap["sha256"], "raw").read_bytes())
    with AnyReader([path]) as reader:
        wanted = [one for one in reader.connections if one.topic == "/lidar/points"]
        found = []
        for connection, t_ns, raw in reader.messages(wanted):
            message: Any = reader.deserialize(raw, connection.msgtype)
            names = {field.name: field.offset for field in message.fields}
            rows = message.data.reshape(-1, message.point_step)
            axes = [np.ascontiguousarray(rows[:, names[axis] : names[axis] + 4]).view("<f4")[:, 0] for axis in "xyz"]
            found.append((t_ns, np.stack(axes, axis=1)))
    return found


def test_every_cloud_within_the_clips_is_a_sweep_with_all_its_points(scanned: TestFleet) -> None:
    rows = scanned.sql("select * from silver.lidar_sweeps order by sweep")
    assert {row["drive_id"] for row in rows} == {DRIVES[0]}
    (shard,) = scanned.sql(f"select * from silver.lidar_shards where drive_id = '{DRIVES[0]}'")  # noqa: S608 - a name of this test
    recorded = clouds(scanned, DRIVES[0])
    assert (shard["messages"], shard["broken_messages"], shard["problems"]) == (len(recorded), 0, None)
    assert len(rows) + shard["outside_sweeps"] == len(recorded)
    assert shard["outside_sweeps"] <= 3
    skipped = next(place for place, (_, points) in enumerate(recorded) if len(points) == rows[0]["points"])
    store = zarr.storage.ZipStore(scanned.fleet.objects.local(shard["sha256"], "open"), mode="r")
    group: Any = zarr.open_group(store, mode="r")
    x, y, z = (group[axis][:] for axis in "xyz")
    for row, (_, points) in zip(rows, recorded[skipped:], strict=False):
        own = slice(row["first_point"], row["first_point"] + row["points"])
        np.testing.assert_array_equal(np.stack([x[own], y[own], z[own]], axis=1), points)


def test_sweeps_have_the_time_of_the_measurement(scanned: TestFleet) -> None:
    clock = pq.read_table(scanned.home / "truth" / DRIVES[0] / "clocks.parquet")
    rows = scanned.sql("select t_ns, end_ns, clip_id, points from silver.lidar_sweeps order by sweep")
    recorded = clouds(scanned, DRIVES[0])
    skipped = next(place for place, (_, points) in enumerate(recorded) if len(points) == rows[0]["points"])
    log_ns = np.array([t_ns for t_ns, _ in recorded[skipped : skipped + len(rows)]])
    shown, true = ((clock[name].to_numpy() - START_NS).astype(np.float64) for name in ("recorder", "t_ns"))
    # The recorder logs a scan 60 +- 15 ms after it was taken, and jitters by 3 ms; its clock is known to some ms.
    measured = np.polyval(np.polyfit(shown, true, 1), (log_ns - START_NS).astype(np.float64)) - 60e6
    error_ms = (np.array([row["t_ns"] - START_NS for row in rows]) - measured) / 1e6
    assert np.abs(error_ms).max() < 25
    clips = {row["clip_id"]: row for row in scanned.sql("select * from silver.clips")}
    assert all(clips[row["clip_id"]]["start_ns"] <= row["t_ns"] < clips[row["clip_id"]]["end_ns"] for row in rows)


def test_the_ground_is_where_the_simulator_put_it(scanned: TestFleet) -> None:
    (shard,) = scanned.sql("select sha256 from silver.lidar_shards where sweeps > 0")
    store = zarr.storage.ZipStore(scanned.fleet.objects.local(shard["sha256"], "open"), mode="r")
    group: Any = zarr.open_group(store, mode="r")
    low = group["z"][:][group["ring"][:] == 0]
    assert np.median(low) == pytest.approx(-PLANE_M, abs=0.05)


def test_a_drive_without_lidar_messages_has_no_sweeps_and_its_gates_pass(scanned: TestFleet) -> None:
    assert scanned.sql(f"select * from silver.lidar_sweeps where drive_id = '{DRIVES[1]}'") == []  # noqa: S608 - a name of this test
    gates = {key: outcome for key, outcome in scanned.gates().items() if "lidar" in key[0]}
    assert {asset for asset, _, _ in gates} == {"silver/lidar_shards", "silver/lidar_sweeps"}
    assert set(gates.values()) == {"pass"}
