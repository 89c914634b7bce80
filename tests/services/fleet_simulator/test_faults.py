"""Faults on request: what happens is what the truth says."""

from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from kinematic_drive import START_NS, drive, network, scene
from mcap.reader import make_reader
from mcap_ros2.decoder import DecoderFactory

from fleet_assets.policy.documents import Policies, load_policies
from services.fleet_simulator.drive_plans import FleetOrder, plan_drive
from services.fleet_simulator.faults import (
    FAULT_KINDS,
    UNKNOWN_DEPOT,
    FaultRequest,
    UnknownFaultError,
    parse_fault,
    started,
    uploads,
    without_faults,
)
from services.fleet_simulator.mcap_writer import message_bytes
from services.fleet_simulator.recording import record
from services.fleet_simulator.sensors.catalogue import UnknownSensorError
from services.fleet_simulator.world.road_network import RoadNetwork

SECONDS = 25.0


@pytest.fixture(scope="module")
def policies() -> Policies:
    return load_policies()


@pytest.fixture(scope="module")
def world(policies: Policies) -> RoadNetwork:
    return network(policies)


Recording = tuple[dict[str, list[tuple[int, Any]]], list[dict[str, Any]]]


def recorded(tmp_path: Path, policies: Policies, world: RoadNetwork, *faults: str) -> Recording:
    """Record a drive with faults; messages by topic in the order of the file, and what the truth says of the faults."""
    path = tmp_path / "drive.mcap"
    asked = tuple(parse_fault(fault) for fault in faults)
    facts = record(path, scene(policies, world, drive(world, seconds=SECONDS, faults=asked)))
    rows: dict[str, list[tuple[int, Any]]] = defaultdict(list)
    with path.open("rb") as stream:
        reader = make_reader(stream, decoder_factories=[DecoderFactory()])
        for _, channel, message, decoded in reader.iter_decoded_messages(log_time_order=False):
            rows[channel.topic].append((message.log_time, decoded))
    return rows, [dict(fault) for fault in facts.faults]


def ahead(rows: dict[str, list[tuple[int, Any]]]) -> np.ndarray:
    return np.array([message.linear_acceleration.x for _, message in rows["/imu/data"]])


def test_a_dropout_leaves_a_hole_of_its_length(tmp_path: Path, policies: Policies, world: RoadNetwork) -> None:
    rows, (fault,) = recorded(tmp_path, policies, world, "dropout:imu@8+3")
    assert (fault["start_ns"] - START_NS, fault["end_ns"] - START_NS) == (8 * 10**9, 11 * 10**9)
    assert fault["affected"] == 300
    assert len(rows["/imu/data"]) == 2500 - 300
    assert max(np.diff([log_ns for log_ns, _ in rows["/imu/data"]])) == pytest.approx(3.01e9, abs=5e6)


def test_a_spike_changes_one_value_by_its_size(tmp_path: Path, policies: Policies, world: RoadNetwork) -> None:
    sound, _ = recorded(tmp_path, policies, world)
    rows, (fault,) = recorded(tmp_path, policies, world, "spike:imu@12=-33.5")
    changed = ahead(rows) - ahead(sound)
    assert np.flatnonzero(changed).tolist() == [1200]
    assert changed[1200] == pytest.approx(-33.5)
    assert fault["affected"] == 1


@pytest.mark.parametrize(
    ("fault", "relative"), [("offset:imu@12+0.5=-7.5", True), ("saturated:imu@12+0.5=19.5", False)]
)
def test_an_offset_shifts_one_value_for_a_while_and_a_saturated_sensor_stays_at_its_end(
    tmp_path: Path, policies: Policies, world: RoadNetwork, fault: str, relative: bool
) -> None:
    sound, _ = recorded(tmp_path, policies, world)
    rows, (told,) = recorded(tmp_path, policies, world, fault)
    changed = ahead(rows) - (ahead(sound) if relative else 0.0)
    assert changed[1200:1250] == pytest.approx(-7.5 if relative else 19.5)
    assert np.flatnonzero(ahead(rows) != ahead(sound)).tolist() == list(range(1200, 1250))
    assert told["affected"] == 50


def test_a_frozen_sensor_repeats_its_last_value_at_fresh_times(
    tmp_path: Path, policies: Policies, world: RoadNetwork
) -> None:
    sound, _ = recorded(tmp_path, policies, world)
    rows, _ = recorded(tmp_path, policies, world, "frozen:imu@9.5+2")
    assert set(ahead(rows)[950:1150]) == {ahead(sound)[949]}
    assert (ahead(rows)[1150:] == ahead(sound)[1150:]).all()
    assert (np.diff([log_ns for log_ns, _ in rows["/imu/data"]]) > 0).all()


def test_a_sensor_whose_rate_changes_sends_every_fourth_measurement(
    tmp_path: Path, policies: Policies, world: RoadNetwork
) -> None:
    rows, (fault,) = recorded(tmp_path, policies, world, "rate_change:imu@5")
    assert len(rows["/imu/data"]) == 500 + 2000 // 4
    assert fault["affected"] == 1500


def test_a_missing_receiver_is_missing_with_all_its_messages(
    tmp_path: Path, policies: Policies, world: RoadNetwork
) -> None:
    rows, faults = recorded(tmp_path, policies, world, "missing_sensor:gnss")
    assert not any(topic.startswith("/gnss") for topic in rows)
    assert [fault["sensor"] for fault in faults] == ["gnss_position", "gnss_time", "gnss_velocity"]


def test_a_clock_jump_moves_every_later_stamp(tmp_path: Path, policies: Policies, world: RoadNetwork) -> None:
    sound, _ = recorded(tmp_path, policies, world)
    rows, (fault,) = recorded(tmp_path, policies, world, "clock_jump@10=-800")
    moved = {
        topic: np.array([log_ns for log_ns, _ in rows[topic]]) - np.array([log_ns for log_ns, _ in sound[topic]])
        for topic in sound
    }
    assert {int(step) for steps in moved.values() for step in steps} == {0, -800_000_000}
    assert fault["start_ns"] == START_NS + 10 * 10**9
    assert all((np.diff(steps) <= 0).all() for steps in moved.values())


def test_messages_out_of_order_keep_their_times(tmp_path: Path, policies: Policies, world: RoadNetwork) -> None:
    sound, _ = recorded(tmp_path, policies, world)
    rows, (fault,) = recorded(tmp_path, policies, world, "out_of_order@5+2=50")
    times = [log_ns for log_ns, _ in rows["/imu/data"]]
    assert sorted(times) == [log_ns for log_ns, _ in sound["/imu/data"]]
    assert times != sorted(times)
    assert fault["affected"] > 200


@pytest.mark.parametrize(("kind", "change"), [("lost_messages", -1), ("repeated_messages", 1)])
def test_one_of_so_many_messages_is_lost_or_comes_twice(
    tmp_path: Path, policies: Policies, world: RoadNetwork, kind: str, change: int
) -> None:
    rows, (fault,) = recorded(tmp_path, policies, world, f"{kind}:imu=0.125")
    assert fault["affected"] == pytest.approx(2500 / 8, abs=1)
    assert len(rows["/imu/data"]) == 2500 + change * fault["affected"]
    steps = np.diff(
        [message.header.stamp.sec * 10**9 + message.header.stamp.nanosec for _, message in rows["/imu/data"]]
    )
    odd = steps[(steps < 5e6) | (steps > 15e6)]
    assert len(odd) == pytest.approx(fault["affected"], abs=30)


def test_a_value_is_no_number_for_a_while_and_a_receiver_disowns_its_positions(
    tmp_path: Path, policies: Policies, world: RoadNetwork
) -> None:
    rows, _ = recorded(tmp_path, policies, world, "no_value:imu@12+0.5", "invalid:gnss_position@5+3")
    assert np.flatnonzero(np.isnan(ahead(rows))).tolist() == list(range(1200, 1250))
    disowned = [message.status.status for _, message in rows["/gnss/fix"]]
    assert disowned == [-1 if 50 <= number < 80 else 0 for number in range(250)]
    sound, _ = recorded(tmp_path, policies, world)
    places, same = ([message.latitude for _, message in one["/gnss/fix"]] for one in (rows, sound))
    assert np.array_equal(places, same, equal_nan=True)


@pytest.mark.parametrize("fault", ["no_value:steering", "invalid:imu"])
def test_a_fault_that_a_sensor_cannot_have_is_refused(
    tmp_path: Path, policies: Policies, world: RoadNetwork, fault: str
) -> None:
    with pytest.raises(UnknownFaultError, match=fault.partition(":")[2]):
        recorded(tmp_path, policies, world, fault)


def test_a_sensor_without_channel_is_not_in_the_file_and_a_stopped_recorder_writes_nothing_more(
    tmp_path: Path, policies: Policies, world: RoadNetwork
) -> None:
    rows, faults = recorded(tmp_path, policies, world, "unrecorded:imu", "recorder_stops@8")
    assert "/imu/data" not in rows
    with (tmp_path / "drive.mcap").open("rb") as stream:
        assert "/imu/data" not in {channel.topic for channel in make_reader(stream).get_summary().channels.values()}
    assert max(log_ns for messages in rows.values() for log_ns, _ in messages) < START_NS + 8.5e9
    assert faults[1]["affected"] > 1000
    with pytest.raises(UnknownSensorError, match="sonar"):
        recorded(tmp_path, policies, world, "unrecorded:sonar")


def test_a_clock_drifts_counts_in_steps_or_is_wild_once(tmp_path: Path, policies: Policies, world: RoadNetwork) -> None:
    def stamps(*faults: str) -> np.ndarray:
        rows, _ = recorded(tmp_path, policies, world, *faults)
        return np.array([log_ns for log_ns, _ in rows["/imu/data"]])

    sound, drifting, coarse, wild = (stamps(*faults) for faults in ([], ["clock_drift=500"], ["coarse_stamps=60"],
                                                                    ["wild_stamp:imu@12=900"]))  # fmt: skip
    usual_ppm = np.polyfit(np.arange(2500) / 100, sound - sound[0], 1)[0] / 1e3
    assert np.polyfit(np.arange(2500) / 100, drifting - drifting[0], 1)[0] / 1e3 == pytest.approx(1e6 + 500, abs=1)
    assert abs(usual_ppm - 1e6) < 120
    in_drive = sound < START_NS + 24.5e9
    assert (coarse == sound // 60_000_000 * 60_000_000)[in_drive].all()
    moved = np.flatnonzero(wild - sound)
    assert len(moved) == 1
    assert abs(moved[0] - 1200) <= 2
    assert (wild - sound)[moved[0]] == 900 * 10**9


def test_damage_strikes_bytes_of_messages_and_nothing_else(
    tmp_path: Path, policies: Policies, world: RoadNetwork
) -> None:
    path = tmp_path / "drive.mcap"
    contents = []
    for faults in ((), (parse_fault("damaged_file@10=0.01"),)):
        record(path, scene(policies, world, drive(world, seconds=SECONDS, faults=faults)))
        contents.append(np.frombuffer(path.read_bytes(), np.uint8))
    places = np.concatenate([np.arange(*part) for part in message_bytes(contents[0].tobytes())])
    struck = np.flatnonzero(contents[0] != contents[1])
    assert len(struck) == round(0.01 * len(places))
    first = int(np.searchsorted(places, struck[0]))
    assert (places[first : first + len(struck)] == struck).all()
    assert first == pytest.approx(len(places) * 10 / SECONDS, rel=0.01)


def test_a_drive_near_midnight_starts_on_the_day_before(policies: Policies, world: RoadNetwork) -> None:
    plan = started(drive(world, faults=(parse_fault("near_midnight=4"),)).plan)
    assert plan.start_ns == START_NS + 16 * 3600 * 10**9 - 4 * 10**9


@pytest.mark.parametrize(
    ("faults", "expected"),
    [
        ((), [(0, 0, "north", False, 1.0, 0)]),
        (("truncated_upload=0.25",), [(0, 0, "north", False, 0.25, 0)]),
        (("wrong_digest",), [(0, 0, "north", False, 1.0, 1)]),
        (("late_arrival",), [(1, 0, "north", False, 1.0, 0)]),
        (("unknown_depot",), [(0, 0, UNKNOWN_DEPOT, False, 1.0, 0)]),
        (("corrected_reupload", "dropout:imu@1+1"), [(0, 0, "north", False, 1.0, 0), (1, 1, "north", True, 1.0, 0)]),
        (("duplicate_upload=2",), [(0, 0, "north", False, 1.0, 0)] * 3),
    ],
)
def test_faults_of_the_upload_become_uploads(
    world: RoadNetwork, faults: tuple[str, ...], expected: list[tuple[Any, ...]]
) -> None:
    plan = drive(world, faults=tuple(parse_fault(fault) for fault in faults)).plan
    steps = uploads(plan)
    assert [(s.turn, s.revision, s.depot, s.is_sound, s.keep_share, s.changed_bytes) for s in steps] == expected
    assert [step.copy for step in steps if not step.is_sound] == list(range(len(expected) - ("dropout" in str(faults))))


def test_the_corrected_drive_is_recorded_without_the_faults(world: RoadNetwork) -> None:
    asked = ("corrected_reupload", "dropout:imu@1+1", "clock_jump@3", "near_midnight")
    plan = without_faults(drive(world, faults=tuple(parse_fault(fault) for fault in asked)).plan)
    assert [fault.kind for fault in plan.faults] == ["corrected_reupload", "near_midnight"]


@pytest.mark.parametrize("text", ["melted:imu", "dropout", "dropout:imu@x", "", "spike:imu@1=a"])
def test_an_unknown_fault_is_refused_and_the_known_ones_are_named(text: str) -> None:
    with pytest.raises(UnknownFaultError, match=r"dropout:imu@10\+5"):
        parse_fault(text)


def test_a_fault_of_a_channel_names_its_sensor() -> None:
    with pytest.raises(UnknownFaultError, match="names no sensor"):
        parse_fault("unrecorded")


def test_a_fault_of_a_sensor_that_does_not_record_is_refused(
    tmp_path: Path, policies: Policies, world: RoadNetwork
) -> None:
    with pytest.raises(UnknownSensorError, match="steering"):
        recorded(tmp_path, policies, world, "dropout:sonar@1+1")


def test_a_request_reads_as_it_is_written() -> None:
    assert parse_fault("rate_change:wheel_speeds@1.5+20=3") == FaultRequest(
        "rate_change", "wheel_speeds", 1.5, 20.0, 3.0
    )
    assert parse_fault("clock_jump@7").size == FAULT_KINDS["clock_jump"].magnitude


def test_a_drive_is_the_same_whatever_the_number_of_the_others() -> None:
    order = FleetOrder(7, ("north", "south"), START_NS, 30.0, ("imu",))
    plans = [plan_drive(order, number) for number in range(1, 9)]
    assert plan_drive(order, 5) == plans[4]
    assert len({plan.seed for plan in plans}) == len(plans)
    assert [(plan.depot, plan.vehicle_id) for plan in plans[:2]] == [("north", "sim-car-1"), ("south", "sim-car-2")]
    assert plans[2].start_ns - plans[0].start_ns == 3600 * 10**9
