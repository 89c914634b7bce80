"""Shifts on request: each changes what it is meant to change, in the right direction, and nothing else."""

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import cantools
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mcap.reader import make_reader
from mcap_ros2.decoder import DecoderFactory

from fleet_assets.geo.sun import Light, light_condition, sun_position
from fleet_assets.policy.documents import load_policies
from services.fleet_simulator.drive_plans import FleetOrder, plan_drive
from services.fleet_simulator.drive_truth import NS_PER_S, DrivePlan, DriveTruth
from services.fleet_simulator.pictures import make_renderer, turned
from services.fleet_simulator.recording import record
from services.fleet_simulator.sensors.can_database import dbc_text
from services.fleet_simulator.sensors.scene import Scene
from services.fleet_simulator.shifts import (
    SHIFT_KINDS,
    Shift,
    ShiftRequest,
    UnknownShiftError,
    parse_shift,
    region_world,
    shift_of,
)
from services.fleet_simulator.traffic.drive import simulate_drive
from services.fleet_simulator.world.generate import generate_network
from services.fleet_simulator.world.road_network import RoadNetwork
from tests.services.fleet_simulator.test_traffic import digest

POLICY = load_policies()["simulation"]
START_NS = 1_714_579_200_000_000_000
"""Noon in the town."""
Messages = dict[str, list[tuple[int, int, Any, bytes]]]


@cache
def world() -> RoadNetwork:
    return generate_network(3, POLICY["world"])


def plan(**changes: Any) -> DrivePlan:
    usual = DrivePlan(
        drive_id="d",
        vehicle_id="v",
        depot=POLICY["world"]["depots"][0],
        seed=17,
        start_ns=START_NS,
        duration_s=8.0,
        sensors=("can", "imu", "gnss", "radar"),
    )
    return replace(usual, **changes)


@cache
def happened(shift: Shift = Shift(), start_ns: int = START_NS) -> DriveTruth:  # noqa: B008 - frozen
    return simulate_drive(plan(shift=shift, start_ns=start_ns), world(), POLICY)


def messages(folder: Path, shift: Shift) -> Messages:
    """Messages of a drive by topic: log time, publish time, decoded message, its bytes."""
    path = folder / f"{abs(hash(shift))}.mcap"
    record(path, Scene(happened(shift), world(), POLICY["sensors"]))
    found: Messages = {}
    with path.open("rb") as stream:
        reader = make_reader(stream, decoder_factories=[DecoderFactory()])
        for _, channel, message, decoded in reader.iter_decoded_messages():
            row = (message.log_time, message.publish_time, decoded, message.data)
            found.setdefault(channel.topic, []).append(row)
    return found


def without(found: Messages, topic: str) -> dict[str, list[tuple[int, int, bytes]]]:
    return {
        name: [(log, publish, data) for log, publish, _, data in rows] for name, rows in found.items() if name != topic
    }


def measured(found: Messages) -> np.ndarray[Any, np.dtype[np.float64]]:
    rows = [
        (m.linear_acceleration.x, m.linear_acceleration.y, m.linear_acceleration.z, m.angular_velocity.z)
        for _, _, m, _ in found["/imu/data"]
    ]
    return np.array(rows)


def test_a_biased_imu_is_off_along_the_vehicle_and_nowhere_else(tmp_path: Path) -> None:
    usual, shifted = messages(tmp_path, Shift()), messages(tmp_path, Shift(imu_bias_mps2=0.4))
    assert without(usual, "/imu/data") == without(shifted, "/imu/data")
    difference = measured(shifted) - measured(usual)
    np.testing.assert_allclose(difference, np.tile([0.4, 0.0, 0.0, 0.0], (len(difference), 1)), atol=1e-9)


def test_a_scaled_imu_measures_gravity_and_turns_larger_and_errs_as_before(tmp_path: Path) -> None:
    usual, shifted = messages(tmp_path, Shift()), messages(tmp_path, Shift(imu_scale=1.1))
    assert without(usual, "/imu/data") == without(shifted, "/imu/data")
    difference = measured(shifted) - measured(usual)
    np.testing.assert_allclose(difference[:, 2], 0.1 * 9.80665, atol=1e-9)
    truth = happened().ego
    assert difference[:, 3].sum() / 100.0 == pytest.approx(
        1e-4 * float(truth.yaw_mrad[-1] - truth.yaw_mrad[0]), abs=2e-4
    )
    assert np.abs(difference[:, 3]).max() == pytest.approx(0.1e-6 * np.abs(truth.yaw_rate_uradps).max(), rel=0.02)


def tracks(found: Messages) -> dict[tuple[int, int], tuple[float, float]]:
    """Objects of the radar by publish time and slot: distance ahead and to the left."""
    database: Any = cantools.database.load_string(dbc_text(), "dbc")
    seen = {}
    for _, publish, message, _ in found["/can/radar"]:
        row = database.decode_message(message.id, bytes(message.data)[: message.dlc], decode_choices=False)
        if row["VALID"]:
            seen[publish, message.id] = float(row["LONG_DIST"]), float(row["LAT_DIST"])
    return seen


def test_a_radar_that_looks_left_sees_everything_further_right(tmp_path: Path) -> None:
    usual, shifted = messages(tmp_path, Shift()), messages(tmp_path, Shift(radar_yaw_mrad=30.0))
    assert without(usual, "/can/radar") == without(shifted, "/can/radar")
    before, after = tracks(usual), tracks(shifted)
    both = np.array([(*before[key], *after[key]) for key in sorted(before.keys() & after.keys())])
    far = both[(both[:, 0] > 15.0) & (np.abs(both[:, 2] - both[:, 0]) < 2.0)]
    assert len(far) > 50
    assert np.median((far[:, 3] - far[:, 1]) / far[:, 0]) == pytest.approx(-0.03, abs=0.006)


def test_rain_falls_where_it_is_asked_for_and_the_way_stays_the_same() -> None:
    dry, wet = happened(), happened(Shift(rain=True))
    assert dry.conditions[0].weather.rain_mm_h < POLICY["shifts"]["rain_mm_h"]
    for condition in wet.conditions:
        weather = condition.weather
        assert weather.condition in {"rain", "snow"}
        assert weather.rain_mm_h >= POLICY["shifts"]["rain_mm_h"]
        assert weather.wetness == 1.0
        assert weather.visibility_m <= dry.conditions[0].weather.visibility_m
    assert (wet.ego.route_mm[0], wet.network_digest) == (dry.ego.route_mm[0], dry.network_digest)
    assert wet.conditions[0].sun_elevation_mrad == dry.conditions[0].sun_elevation_mrad
    assert (wet.ego.lamps & 8).all()


def order(*requests: ShiftRequest, seed: int = 5) -> FleetOrder:
    return FleetOrder(seed, ("harbour", "airport"), START_NS, 30.0, ("can",), shifts={0: requests})


def test_a_share_of_drives_starts_at_night_by_whole_hours_and_the_others_start_as_planned() -> None:
    asked = order(ShiftRequest("night_share", 0.25))
    lat, lon = world().frame.lat_deg, world().frame.lon_deg
    moved = 0
    for number in range(1, 41):
        usual, planned = plan_drive(order(), number), plan_drive(asked, number, world())
        assert replace(planned, start_ns=usual.start_ns, shift=usual.shift) == usual
        assert (planned.start_ns - usual.start_ns) % (3600 * NS_PER_S) == 0
        if planned.shift.night:
            moved += 1
            for t_ns in (planned.start_ns, planned.start_ns + 30 * NS_PER_S):
                assert light_condition(sun_position(t_ns, lat, lon)[0]) == Light.NIGHT
            assert planned.start_ns // (86_400 * NS_PER_S) == usual.start_ns // (86_400 * NS_PER_S)
        else:
            assert planned.start_ns == usual.start_ns
    assert 9 <= moved <= 11


def test_at_night_the_same_drive_goes_on_with_headlamps() -> None:
    day, night = happened(), happened(start_ns=START_NS + 14 * 3600 * NS_PER_S)
    assert (day.conditions[0].light, night.conditions[0].light) == ("day", "night")
    assert not (day.ego.lamps & 8).any()
    assert (night.ego.lamps & 8).all()
    np.testing.assert_array_equal(night.ego.x_mm, day.ego.x_mm)
    np.testing.assert_array_equal(night.ego.speed_mmps, day.ego.speed_mmps)


def test_a_drive_at_night_without_a_place_is_refused() -> None:
    asked = order(ShiftRequest("night_share", 1.0))
    with pytest.raises(ValueError, match="pass the network"):
        plan_drive(asked, 1)


@given(share=st.floats(0.0, 1.0), count=st.integers(1, 300))
def test_any_share_of_any_number_of_drives_is_met_to_a_few(share: float, count: int) -> None:
    requests = [ShiftRequest("night_share", share), ShiftRequest("rain_share", share)]
    drives = [shift_of(requests, number) for number in range(1, count + 1)]
    for name in ("night", "rain"):
        # The largest distance of any share among the first 300 places, found by trying all of them: 4.074 and 3.924.
        assert abs(sum(getattr(drive, name) for drive in drives) - share * count) <= 4.1
    assert abs(sum(drive.night and drive.rain for drive in drives) - share**2 * count) <= 0.08 * count + 4


def test_a_new_type_of_vehicle_has_its_share_of_the_traffic_and_is_unknown_otherwise() -> None:
    new = POLICY["shifts"]["new_vehicle_kind"]
    kinds = {
        share: [
            track.kind
            for seed in range(4)
            for track in simulate_drive(plan(shift=Shift(new_vehicle_share=share), seed=seed), world(), POLICY).tracks
            if track.kind in POLICY["vehicles"]
        ]
        for share in (0.0, 0.4)
    }
    assert new not in kinds[0.0]
    assert kinds[0.4].count(new) / len(kinds[0.4]) == pytest.approx(0.4, abs=0.15)
    size = POLICY["vehicles"][new]
    track = next(one for one in simulate_drive(plan(shift=Shift(new_vehicle_share=1.0)), world(), POLICY).tracks)
    assert (track.kind, track.length_mm) == (new, round(size["length_m"] * 1000))


def test_a_new_region_lies_elsewhere_with_its_own_limits() -> None:
    usual = generate_network(3, POLICY["world"])
    for name, body in POLICY["shifts"]["regions"].items():
        other = generate_network(3, region_world(POLICY, name))
        assert other.frame != usual.frame
        assert {edge.road_class: edge.speed_limit_kmh for edge in other.edges.values()}["residential"] == (
            body["roads"]["residential"]["speed_limit_kmh"]
        )
    assert region_world(POLICY, "") is POLICY["world"]


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("region", sorted(POLICY["shifts"]["regions"]))
def test_drives_in_a_new_region_keep_to_their_lanes(region: str, seed: int) -> None:
    network = generate_network(seed, region_world(POLICY, region))
    truth = simulate_drive(plan(seed=seed, duration_s=15.0), network, POLICY)
    assert truth.ego.route_mm[-1] > truth.ego.route_mm[0]
    assert np.quantile(np.abs(truth.ego.lane_offset_mm), 0.9) < 800


def test_shifts_of_a_sensor_do_not_change_what_happens_on_the_road() -> None:
    shift = Shift(smeared_lens=0.5, camera_yaw_mrad=20.0, camera_pitch_mrad=9.0, imu_bias_mps2=1.0, radar_yaw_mrad=9.0)
    other = simulate_drive(plan(shift=shift), world(), POLICY)
    assert digest(replace(other, plan=plan())) == digest(happened())


def test_a_turned_camera_sees_the_road_elsewhere_and_a_smeared_lens_blurs_it() -> None:
    from services.fleet_simulator.camera.from_truth import scene_at
    from services.fleet_simulator.camera.gpu import CameraUnavailableError

    truth, at_ns = happened(), START_NS + 4 * NS_PER_S
    try:
        camera = make_renderer(world(), POLICY)
    except CameraUnavailableError as error:
        pytest.skip(str(error))
    scene = scene_at(truth, at_ns)
    usual, left, down = (
        camera.render(scene, turned(camera.spec, shift))
        for shift in (Shift(), Shift(camera_yaw_mrad=60.0), Shift(camera_pitch_mrad=60.0))
    )
    smeared = camera.render(scene_at(truth, at_ns, smear=0.8))
    places = [{box.instance: box.amodal for box in frame.boxes} for frame in (usual, left, down)]
    shared = places[0].keys() & places[1].keys() & places[2].keys()
    assert shared
    for name in shared:
        assert places[1][name][0] > places[0][name][0]
        assert places[2][name][1] < places[0][name][1]
    assert [(box.instance, box.amodal) for box in smeared.boxes] == [(box.instance, box.amodal) for box in usual.boxes]
    assert (smeared.bgr != usual.bgr).any()


@pytest.mark.parametrize("text", ["smoked_lens", "smeared_lens=7", "imu_scale=much", "region", "=3", ""])
def test_a_shift_that_there_is_not_is_refused_with_what_to_write(text: str) -> None:
    with pytest.raises(UnknownShiftError, match=r"Write|must be a number|kinds"):
        parse_shift(text)


def test_every_kind_can_be_asked_for_by_its_name_alone_or_with_a_value() -> None:
    for name, kind in SHIFT_KINDS.items():
        if kind.value is None:
            assert shift_of([parse_shift(f"{name}=old_town")], 1).as_json() == {name: "old_town"}
            continue
        assert parse_shift(name).value == kind.value
        assert parse_shift(f"{name}={kind.highest:g}").value == kind.highest
    assert Shift().as_json() == {}


def test_an_unknown_region_is_refused_by_name() -> None:
    with pytest.raises(UnknownShiftError, match="'atlantis'.*old_town"):
        region_world(POLICY, "atlantis")
