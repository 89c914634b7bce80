"""A real robot's ROS 1 bag and four real lidars' ROS 2 bags from landing to the lake, against rosbags."""

import base64
import io
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pytest
import zarr
from PIL import Image
from rosbags.highlevel import AnyReader
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from tests.harness import TestFleet

pytestmark = pytest.mark.real_data

LIDARS = {
    "nebula_vlp16": ("velodyne_vlp16", "2023-01-11", 4),
    "nebula_vlp32": ("velodyne_vlp32", "2024-04-19", 5),
    "nebula_pandar40p": ("hesai_40p", "2023-01-11", 4),
    "nebula_xt32": ("hesai_xt32", "2023-01-11", 4),
}
# Not among the types that rosbags brings; see github.com/ros-drivers/velodyne and HesaiTechnology/HesaiLidar_ROS_2.0.
PACKET_TYPES = {
    "velodyne_msgs/msg/VelodynePacket": "builtin_interfaces/Time stamp\nuint8[1206] data",
    "velodyne_msgs/msg/VelodyneScan": "std_msgs/Header header\nvelodyne_msgs/VelodynePacket[] packets",
    "pandar_msgs/msg/PandarPacket": "builtin_interfaces/Time stamp\nuint8[1500] data\nuint32 size",
    "pandar_msgs/msg/PandarScan": "std_msgs/Header header\npandar_msgs/PandarPacket[] packets",
}


def husky_bag(real_data: Path) -> Path:
    return next((real_data / "robot_localization_bag" / "sample").glob("*.bag"))


def lidar_bag(real_data: Path, folder: str) -> Path:
    return next((real_data / "tier4_nebula_lidar" / "sample" / folder).glob("*/metadata.yaml")).parent


@pytest.fixture(scope="module")
def ros_fleet(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> TestFleet:
    """The five recordings through landing zone, real ticks and gates; to be read only."""
    fleet = TestFleet(tmp_path_factory.mktemp("ros") / "home", first_day="2015-05-20").with_all_positions()
    fleet.upload(husky_bag(real_data), spec="husky", drive_id="husky", vehicle_id="husky")
    for spec, (folder, _, _) in LIDARS.items():
        fleet.upload(lidar_bag(real_data, folder), spec=spec, drive_id=spec, vehicle_id=spec, depot="south")
    fleet.turn()
    return fleet


def messages_of(path: Path) -> list[tuple[str, int, Any]]:
    """Topic, time of arrival and message as rosbags reads them."""
    store = get_typestore(Stores.ROS2_HUMBLE)
    for name, text in PACKET_TYPES.items():
        store.register(get_types_from_msg(text, name))
    with AnyReader([path], default_typestore=store) as reader:
        return [(one.topic, t_ns, reader.deserialize(raw, one.msgtype)) for one, t_ns, raw in reader.messages()]


def test_all_five_drives_are_clean_and_every_gate_passed(ros_fleet: TestFleet) -> None:
    states = {row["drive_id"]: row for row in ros_fleet.sql("select * from bronze.drive_status")}
    assert {name: row["status"] for name, row in states.items()} == dict.fromkeys(["husky", *LIDARS], "clean")
    assert {name: row["day"] for name, row in states.items()} == {
        "husky": "2015-05-21",
        **{name: day for name, (_, day, _) in LIDARS.items()},
    }
    assert {row["time_source"] for row in states.values()} == {"container"}
    assert set(ros_fleet.gates().values()) == {"pass"}
    assert ("silver/signals", "coverage", "2023-01-11|south") in ros_fleet.gates()


def test_the_husky_gave_imu_odometry_and_fixes_at_their_rates(ros_fleet: TestFleet) -> None:
    rows = ros_fleet.sql(
        "select sensor, messages, rate_hz, lost_messages, broken_rule from bronze.sensor_streams "
        "where drive_id = 'husky' order by sensor"
    )
    assert {row["sensor"]: row["messages"] for row in rows} == {"gnss": 989, "imu": 11_865, "odometry": 3952}
    rates = {row["sensor"]: round(row["rate_hz"], 1) for row in rows}
    assert rates["gnss"] == 2.5
    assert rates["imu"] == 30.0
    assert rates["odometry"] == pytest.approx(10.0, abs=0.15)
    assert {(row["lost_messages"], row["broken_rule"]) for row in rows} == {(0, None)}
    drive = ros_fleet.sql("select duration_s from bronze.drives where drive_id = 'husky'")[0]
    assert round(drive["duration_s"], 1) == 395.3


def test_the_huskys_values_are_those_that_rosbags_reads(ros_fleet: TestFleet, real_data: Path) -> None:
    expected: dict[str, list[float]] = {"accel_vert_mps2": [], "speed_mps": [], "lat_deg": []}
    for topic, _, message in messages_of(husky_bag(real_data)):
        if topic.startswith("/imu"):
            expected["accel_vert_mps2"].append(message.linear_acceleration.y)
        elif topic == "/fix":
            expected["lat_deg"].append(message.latitude)
        else:
            expected["speed_mps"].append(message.twist.twist.linear.x)
    for signal, values in expected.items():
        rows = ros_fleet.sql(
            f"select value from bronze.sensor_samples where drive_id = 'husky' and signal = '{signal}' order by t_ns"  # noqa: S608 - names of the test
        )
        np.testing.assert_array_equal([row["value"] for row in rows], values)


def test_the_huskys_signals_are_on_the_grid_in_the_vehicles_axes(ros_fleet: TestFleet) -> None:
    row = ros_fleet.sql(
        "select count(*) as instants, count(speed_mps) as speeds, count(lat_deg) as fixes, "
        "count(accel_vert_mps2) as verticals, avg(accel_vert_mps2) as vertical, avg(accel_long_mps2) as forward, "
        "max(speed_mps) as top, min(lat_deg) as south, max(lat_deg) as north, min(lon_deg) as west, "
        "max(lon_deg) as east from silver.signals where drive_id = 'husky'"
    )[0]
    assert row["instants"] in range(3952, 3955)
    assert min(row["speeds"], row["fixes"], row["verticals"]) > 0.98 * row["instants"]
    # Gravity is on the vertical axis, and the robot is a slow one near Boston.
    assert row["vertical"] == pytest.approx(9.81, abs=0.1)
    assert abs(row["forward"]) < 0.5
    assert 0.9 < row["top"] < 1.1
    assert 42.37 < row["south"] < row["north"] < 42.38
    assert -71.15 < row["west"] < row["east"] < -71.14


def test_the_huskys_yaw_rate_turns_left_as_its_track_does(ros_fleet: TestFleet, real_data: Path) -> None:
    odometry = [
        (t_ns, message.twist.twist.angular.z)
        for topic, t_ns, message in messages_of(husky_bag(real_data))
        if topic.endswith("/odom")
    ]
    rows = ros_fleet.sql("select t_ns, yaw_rate_radps from silver.signals where drive_id = 'husky' order by t_ns")
    turned = np.interp([row["t_ns"] for row in rows], *np.array(odometry, dtype=np.float64).T)
    ours = np.array([np.nan if row["yaw_rate_radps"] is None else row["yaw_rate_radps"] for row in rows])
    both = np.isfinite(ours)
    assert np.corrcoef(ours[both], turned[both])[0, 1] > 0.8


@pytest.mark.parametrize("spec", LIDARS)
def test_a_lidars_scans_and_packets_are_counted(ros_fleet: TestFleet, real_data: Path, spec: str) -> None:
    folder, _, scans = LIDARS[spec]
    packets = [len(message.packets) for _, _, message in messages_of(lidar_bag(real_data, folder))]
    assert len(packets) == scans
    assert f"message_count: {scans}" in (lidar_bag(real_data, folder) / "metadata.yaml").read_text()
    rows = ros_fleet.sql(f"select * from bronze.sensor_streams where drive_id = '{spec}'")  # noqa: S608 - a name of the test
    assert [(row["sensor"], row["messages"], row["items"]) for row in rows] == [("lidar", scans, sum(packets))]
    assert rows[0]["rate_hz"] == pytest.approx(10.0, rel=0.15)
    assert rows[0]["broken_rule"] is None


def test_a_lidars_drive_stays_without_signals_in_silver(ros_fleet: TestFleet) -> None:
    assert ros_fleet.sql("select * from silver.signals where drive_id like 'nebula%'") == []
    clips = ros_fleet.sql("select distinct drive_id from silver.clips where drive_id like 'nebula%'")
    assert len(clips) == 4


def test_the_lidars_packets_became_sweeps_whose_points_every_zarr_reader_finds(ros_fleet: TestFleet) -> None:
    shards = {row["drive_id"]: row for row in ros_fleet.sql("select * from silver.lidar_shards")}
    assert set(shards) == set(LIDARS)
    for spec, (_, _, messages) in LIDARS.items():
        shard = shards[spec]
        rows = ros_fleet.sql(f"select * from silver.lidar_sweeps where drive_id = '{spec}' order by sweep")  # noqa: S608 - names of the test
        assert (shard["messages"], shard["broken_messages"], shard["broken_packets"]) == (messages, 0, 0)
        assert shard["problems"] is None
        # What a scan holds of the tenth of a second before the first message lies before the drive's first clip.
        assert messages - 2 <= len(rows) == shard["sweeps"]
        assert messages <= shard["sweeps"] + shard["outside_sweeps"] <= messages + 1
        assert {row["clip_id"] for row in rows} == {f"{spec}-0000"}
        # Whole sweeps take a tenth of a second at 10 Hz and follow each other.
        assert all(0.09e9 < row["end_ns"] - row["t_ns"] < 0.105e9 for row in rows[1:-1])
        assert all(after["t_ns"] >= row["end_ns"] - 1e6 for row, after in zip(rows, rows[1:], strict=False))
        path = ros_fleet.fleet.objects.local(shard["sha256"], "open")
        assert path.stat().st_size == shard["bytes"]
        group: Any = zarr.open_group(zarr.storage.ZipStore(path, mode="r"), mode="r")
        starts = group["sweep_start"][:].tolist()
        assert starts == [row["first_point"] for row in rows] + [shard["points"]]
        assert {name: group[name].shape for name in ("x", "y", "z", "intensity", "ring", "time_offset_ns")} == (
            dict.fromkeys(("x", "y", "z", "intensity", "ring", "time_offset_ns"), (shard["points"],))
        )
        assert group["x"].shards is not None


def test_a_sweep_of_a_partition_is_shown_from_above(ros_fleet: TestFleet) -> None:
    with ros_fleet.instance() as instance:
        wanted = dg.AssetRecordsFilter(dg.AssetKey(["silver", "lidar_sweeps"]), asset_partitions=["2023-01-11|south"])
        (record,) = instance.fetch_materializations(wanted, limit=1).records
    assert record.asset_materialization is not None
    picture = str(record.asset_materialization.metadata["preview"].value)
    png = base64.b64decode(picture.split("base64,")[1].rstrip(")"))
    pixels = np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))
    # Points are coloured, text and axes are grey.
    assert (np.ptp(pixels.astype(int), axis=2) > 60).mean() > 0.01
