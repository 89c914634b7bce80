"""Recordings of simulated drives, read by the usual MCAP library and held against the truth."""

import hashlib
import os
import subprocess
import sys
import tracemalloc
from collections import defaultdict
from pathlib import Path
from typing import Any

import cantools
import numpy as np
import pytest
from kinematic_drive import LEAD_GAP_M, SENSORS, SHAPE, drive, network, scene
from mcap.reader import make_reader
from mcap_ros2.decoder import DecoderFactory

from fleet_assets.policy.documents import Policies, load_policies
from services.fleet_simulator.faults import parse_fault
from services.fleet_simulator.recording import Recorded, record
from services.fleet_simulator.sensors.camera import Camera
from services.fleet_simulator.sensors.can_database import dbc_text
from services.fleet_simulator.world.road_network import RoadNetwork

HERE = Path(__file__).resolve().parent
RENDER = """
import hashlib, sys
sys.path[:0] = sys.argv[1:3]
from pathlib import Path
from kinematic_drive import drive, network, scene
from fleet_assets.policy.documents import load_policies
from services.fleet_simulator.recording import record
policies = load_policies(); world = network(policies)
path = Path(sys.argv[3])
record(path, scene(policies, world, drive(world, seconds=12, sensors=("can", "imu", "gnss", "radar", "lidar"))))
print(hashlib.sha256(path.read_bytes()).hexdigest())
"""


@pytest.fixture(scope="module")
def policies() -> Policies:
    return load_policies()


@pytest.fixture(scope="module")
def world(policies: Policies) -> RoadNetwork:
    return network(policies)


Rows = dict[str, list[tuple[int, int, Any]]]


def recorded(tmp_path: Path, policies: Policies, world: RoadNetwork, **asked: Any) -> tuple[Rows, Recorded, bytes]:
    """Record a drive; messages by topic as (log time, publish time, message), the facts, the file."""
    path = tmp_path / "drive.mcap"
    facts = record(path, scene(policies, world, drive(world, **asked)))
    rows: Rows = defaultdict(list)
    with path.open("rb") as stream:
        reader = make_reader(stream, validate_crcs=True, decoder_factories=[DecoderFactory()])
        for _, channel, message, decoded in reader.iter_decoded_messages():
            rows[channel.topic].append((message.log_time, message.publish_time, decoded))
    return rows, facts, path.read_bytes()


def test_the_usual_library_reads_every_message_that_was_written(
    tmp_path: Path, policies: Policies, world: RoadNetwork
) -> None:
    rows, facts, _ = recorded(tmp_path, policies, world, seconds=20, sensors=(*SENSORS, "lidar"))
    assert {topic: len(found) for topic, found in rows.items()} == dict(facts.messages)
    assert facts.messages["/imu/data"] == 2000
    assert facts.messages["/can/vehicle"] == 20 * (50 + 50 + 50 + 40 + 20)
    assert facts.messages["/can/radar"] == 20 * 20 * 16


def test_messages_lie_in_the_order_of_their_arrival(tmp_path: Path, policies: Policies, world: RoadNetwork) -> None:
    path = tmp_path / "drive.mcap"
    record(path, scene(policies, world, drive(world, seconds=25)))
    with path.open("rb") as stream:
        reader = make_reader(stream)
        times = [message.log_time for _, _, message in reader.iter_messages(log_time_order=False)]
    assert times == sorted(times)


def test_log_time_is_the_recorders_clock_at_arrival_and_publish_time_the_sensors_at_measurement(
    tmp_path: Path, policies: Policies, world: RoadNetwork
) -> None:
    rows, facts, _ = recorded(tmp_path, policies, world, seconds=60, sensors=("gnss",))
    timing = facts.sensors["gnss_time"]["timing"]
    delays = []
    for log_ns, publish_ns, message in rows["/gnss/time_reference"]:
        true_ns = message.time_ref.sec * 10**9 + message.time_ref.nanosec
        stamp_ns = message.header.stamp.sec * 10**9 + message.header.stamp.nanosec
        assert publish_ns == stamp_ns
        # UTC of the receiver is good to 40 ns, standard deviation.
        assert abs(stamp_ns - int(facts.clocks["gnss_time"].read(np.array([true_ns]))[0])) < 400
        delays.append(log_ns - int(facts.clock.read(np.array([true_ns]))[0]))
    assert np.mean(delays) == pytest.approx(timing["latency_ns"], abs=4 * timing["jitter_ns"] / np.sqrt(len(delays)))


def test_inertial_and_satellite_measurements_are_the_truth_plus_the_drawn_errors(
    tmp_path: Path, policies: Policies, world: RoadNetwork
) -> None:
    rows, facts, _ = recorded(tmp_path, policies, world, seconds=40)
    ego = drive(world, seconds=40).ego
    seconds = (ego.t_ns - ego.t_ns[0]) / 1e9

    def at(name: str, sensor: str, count: int) -> Any:
        timing = facts.sensors[sensor]["timing"]
        times = (timing["phase_ns"] + np.arange(count) * timing["period_ns"]) / 1e9
        return np.interp(times, seconds, getattr(ego, name))

    imu = [message for _, _, message in rows["/imu/data"]]
    turn = np.array([message.angular_velocity.z for message in imu])
    bias = facts.sensors["imu"]["rate_bias_radps"][2]
    assert np.mean(turn - bias - at("yaw_rate_uradps", "imu", len(turn)) / 1e6) == pytest.approx(0, abs=1e-3)
    ahead = np.array([message.linear_acceleration.x for message in imu])
    off = facts.sensors["imu"]["acceleration_bias_mps2"][0] + 9.80665 * facts.sensors["imu"]["tilt_rad"][0]
    assert np.mean(ahead - off - at("accel_mmps2", "imu", len(ahead)) / 1e3) == pytest.approx(0, abs=0.03)
    fixes = [message for _, _, message in rows["/gnss/fix"]]
    east, north = world.frame.to_plane([fix.latitude for fix in fixes], [fix.longitude for fix in fixes])
    error = np.hypot(
        east - at("x_mm", "gnss_position", len(fixes)) / 1e3, north - at("y_mm", "gnss_position", len(fixes)) / 1e3
    )
    heard = np.array([fix.status.status for fix in fixes]) >= 0
    assert np.isfinite(error[heard]).all()
    assert error[heard].max() < 12
    assert np.isnan(error[~heard]).all()


def test_the_radar_sees_the_vehicle_ahead_in_one_slot(tmp_path: Path, policies: Policies, world: RoadNetwork) -> None:
    rows, facts, _ = recorded(tmp_path, policies, world, seconds=10)
    database = cantools.database.load_string(dbc_text(), "dbc")
    slot = next(one["slot"] for one in facts.sensors["radar"]["sightings"] if one["agent_id"] == 1)
    frames = [
        database.decode_message(message.id, bytes(message.data[: message.dlc]))
        for _, _, message in rows["/can/radar"]
        if message.id == 0x210 + slot
    ]
    valid = [frame for frame in frames if frame["VALID"]]
    assert len(valid) > 0.9 * len(frames)
    ahead_m = policies["simulation"]["sensors"]["radar"]["ahead_m"]
    gap = LEAD_GAP_M - SHAPE.length_mm / 2e3 - ahead_m
    assert np.mean([frame["LONG_DIST"] for frame in valid]) == pytest.approx(gap, abs=0.05)
    assert np.mean([frame["REL_SPEED"] for frame in valid]) == pytest.approx(0, abs=0.05)


def test_choosing_fewer_sensors_changes_nothing_of_the_others(
    tmp_path: Path, policies: Policies, world: RoadNetwork
) -> None:
    both, _, _ = recorded(tmp_path, policies, world, seconds=12, sensors=("imu", "can"))
    one, _, _ = recorded(tmp_path, policies, world, seconds=12, sensors=("imu",))
    assert list(one) == ["/imu/data"]
    assert [str(row) for row in one["/imu/data"]] == [str(row) for row in both["/imu/data"]]


def test_equal_seeds_give_equal_bytes_in_any_process_and_locale_and_others_do_not(
    tmp_path: Path, policies: Policies, world: RoadNetwork
) -> None:
    root = HERE.parents[2]
    digests = set()
    for number, (hash_seed, locale) in enumerate((("1", "C"), ("77", "tr_TR.UTF-8"))):
        done = subprocess.run(
            [sys.executable, "-c", RENDER, str(root), str(HERE), str(tmp_path / f"{number}.mcap")],
            env={**os.environ, "PYTHONHASHSEED": hash_seed, "LC_ALL": locale},
            capture_output=True,
            text=True,
            check=True,
        )
        digests.add(done.stdout.strip())
    assert len(digests) == 1
    _, _, content = recorded(tmp_path, policies, world, seconds=12, seed=2, sensors=(*SENSORS, "lidar"))
    assert hashlib.sha256(content).hexdigest() not in digests


def test_a_fault_of_one_sensor_leaves_the_others_alone(tmp_path: Path, policies: Policies, world: RoadNetwork) -> None:
    sound, _, _ = recorded(tmp_path, policies, world, seconds=12)
    faulty, _, _ = recorded(tmp_path, policies, world, seconds=12, faults=(parse_fault("missing_sensor:imu"),))
    assert "/imu/data" not in faulty
    for topic in sound.keys() - {"/imu/data"}:
        assert [str(row) for row in sound[topic]] == [str(row) for row in faulty[topic]]


def test_pictures_become_messages_at_the_cameras_rate(tmp_path: Path, policies: Policies, world: RoadNetwork) -> None:
    path = tmp_path / "drive.mcap"
    own = scene(policies, world, drive(world, seconds=12, sensors=()))
    record(path, own, extra=[Camera(own, lambda at_ns: at_ns.to_bytes(8, "big"), rate_hz=4)])
    with path.open("rb") as stream:
        found = list(make_reader(stream, decoder_factories=[DecoderFactory()]).iter_decoded_messages())
    assert len(found) == 48
    pictures = [int.from_bytes(decoded.data, "big") for _, _, _, decoded in found]
    assert set(np.diff(pictures)) == {250_000_000}
    assert {(channel.topic, decoded.format) for _, channel, _, decoded in found} == {
        ("/camera/front/compressed", "jpeg")
    }


def test_memory_stays_flat_with_the_length_of_a_drive(tmp_path: Path, policies: Policies, world: RoadNetwork) -> None:
    peaks = []
    for seconds in (20, 30, 120):
        own = scene(policies, world, drive(world, seconds=seconds))
        tracemalloc.start()
        record(tmp_path / "drive.mcap", own)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    # The first one is warm-up. What grows are the chunk index and the ego's time axis.
    assert peaks[2] < 1.3 * peaks[1]
