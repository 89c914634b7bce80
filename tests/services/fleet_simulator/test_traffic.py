"""Drives made from plans: repeatable, without collisions, plausible, lights obeyed, requested events real."""

import hashlib
import json
import os
import subprocess
import sys
import tracemalloc
from dataclasses import fields, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleet_assets.policy.documents import load_policies
from services.fleet_simulator.drive_truth import (
    AGENT_STEP_NS,
    EGO_STEPS_PER_AGENT_STEP,
    EVENT_UNITS,
    NS_PER_S,
    Adas,
    DrivePlan,
    DriveTruth,
    Ego,
    Event,
    EventRequest,
    LightSeries,
    Signal,
    Track,
)
from services.fleet_simulator.shifts import Shift
from services.fleet_simulator.traffic.drive import UnknownDepotError, simulate_drive
from services.fleet_simulator.traffic.lights import signal_at
from services.fleet_simulator.traffic.requests import UnknownEventError
from services.fleet_simulator.world.generate import generate_network
from services.fleet_simulator.world.road_network import RoadNetwork
from tests.services.fleet_simulator.collisions import overlaps

POLICY = load_policies()["simulation"]
START_NS = 1_760_000_000 * NS_PER_S


@cache
def world(seed: int) -> RoadNetwork:
    return generate_network(seed, POLICY["world"])


def plan(seed: int, duration_s: float = 20.0, events: tuple[str, ...] = ()) -> DrivePlan:
    return DrivePlan(
        drive_id=f"drive-{seed}",
        vehicle_id="car-1",
        depot=POLICY["world"]["depots"][seed % 2],
        seed=seed,
        start_ns=START_NS + seed % 1000 * 3_777 * NS_PER_S,
        duration_s=duration_s,
        events=tuple(EventRequest(kind, 3.0) for kind in events),
    )


@cache
def drive(seed: int, duration_s: float = 20.0, events: tuple[str, ...] = ()) -> DriveTruth:
    return simulate_drive(plan(seed, duration_s, events), world(seed % 3), POLICY)


def digest(truth: DriveTruth) -> str:
    """SHA-256 over every number of a drive."""
    total = hashlib.sha256()
    everything: list[Ego | Track | LightSeries] = [truth.ego, *truth.tracks, *truth.lights]
    for series in everything:
        for one in fields(series):
            value = getattr(series, one.name)
            total.update(value.tobytes() if isinstance(value, np.ndarray) else repr(value).encode())
    total.update(repr((truth.plan, truth.events, truth.conditions, truth.shape, truth.network_digest)).encode())
    return total.hexdigest()


_AGAIN = """
import json, sys
from tests.services.fleet_simulator.test_traffic import digest, drive
print(json.dumps({seed: digest(drive(seed, 8.0, ("cut_in", "swerve"))) for seed in map(int, sys.argv[1:])}))
"""


@pytest.mark.parametrize(("hash_seed", "order", "locale"), [("1", (5, 6), "C"), ("77", (6, 5), "tr_TR.UTF-8")])
def test_a_drive_is_the_same_in_another_process_order_hash_seed_and_locale(
    hash_seed: str, order: tuple[int, int], locale: str
) -> None:
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "LC_ALL": locale, "PYTHONPATH": str(Path.cwd())}
    command = [sys.executable, "-c", _AGAIN, *map(str, order)]
    printed = subprocess.run(command, env=environment, capture_output=True, check=True, text=True).stdout
    assert json.loads(printed) == {str(seed): digest(drive(seed, 8.0, ("cut_in", "swerve"))) for seed in (5, 6)}


def test_another_seed_is_another_drive_on_the_same_roads() -> None:
    one, two = drive(3), simulate_drive(replace(plan(3), seed=4), world(0), POLICY)
    assert one.network_digest == two.network_digest
    assert digest(one) != digest(two)


def test_faults_and_shifts_of_sensors_do_not_change_what_happens_on_the_road() -> None:
    shift = Shift(imu_scale=1.2, smeared_lens=0.5)
    other = simulate_drive(replace(plan(3), faults=("clock_jump",), shift=shift), world(0), POLICY)
    assert digest(replace(other, plan=plan(3))) == digest(drive(3))


@pytest.mark.parametrize("seed", range(6))
def test_nobody_collides_whatever_is_requested(seed: int) -> None:
    kinds = sorted(EVENT_UNITS)
    assert not list(overlaps(drive(seed, 25.0, (kinds[seed], kinds[(seed + 5) % len(kinds)]))))


@pytest.mark.slow
@pytest.mark.parametrize("kind", sorted(EVENT_UNITS))
def test_nobody_collides_and_requests_are_met_over_many_seeds(kind: str) -> None:
    """Every request of every seed is met, from its time on, and nobody is ever hit."""
    for seed in range(10_000, 10_020):
        truth = simulate_drive(plan(seed, 40.0, (kind,)), world(seed % 3), POLICY)
        assert not list(overlaps(truth)), seed
        assert not truth.unmet(), seed
        found = [event for event in truth.events if event.kind == kind and event.cause == "requested"]
        assert all(event.start_ns >= truth.plan.start_ns + 3 * NS_PER_S for event in found), seed


@settings(max_examples=5)
@given(seed=st.integers(0, 2**31), duration_s=st.floats(0.1, 6.0), gate=st.booleans(), adas=st.booleans())
def test_any_plan_becomes_a_whole_drive(seed: int, duration_s: float, gate: bool, adas: bool) -> None:
    truth = simulate_drive(replace(plan(seed, duration_s), from_gate=gate, adas=adas), world(1), POLICY)
    ego = truth.ego
    steps = -(-round(duration_s * NS_PER_S) // AGENT_STEP_NS)
    assert abs(len(ego.t_ns) - steps * EGO_STEPS_PER_AGENT_STEP) <= EGO_STEPS_PER_AGENT_STEP
    assert {len(getattr(ego, one.name)) for one in fields(ego)} == {len(ego.t_ns)}
    assert (np.diff(ego.t_ns) == 10_000_000).all()
    assert adas or set(ego.adas.tolist()) == {Adas.OFF}
    assert ego.speed_mmps.min() >= 0
    for track in truth.tracks:
        assert 0 <= track.first_step < track.end_step <= len(ego.t_ns) // EGO_STEPS_PER_AGENT_STEP
        assert len(track.x_mm) == len(track.lamps) == len(track.yaw_mrad)
    if gate:
        assert ego.speed_mmps[0] == 0


@pytest.mark.parametrize("seed", range(6))
def test_the_ego_vehicle_moves_as_a_car_can(seed: int) -> None:
    ego = drive(seed, 40.0).ego
    x, y, yaw = ego.x_mm / 1e3, ego.y_mm / 1e3, ego.yaw_mrad / 1e3
    speed, accel = ego.speed_mmps / 1e3, ego.accel_mmps2 / 1e3
    # Position, heading and speed tell the same story: the rear axle does not slip sideways.
    ahead = np.stack([np.cos(yaw), np.sin(yaw)], axis=1)[:-1]
    moved = np.stack([np.diff(x), np.diff(y)], axis=1)
    np.testing.assert_allclose((moved * ahead).sum(axis=1), 0.01 * (speed[:-1] + speed[1:]) / 2, atol=3e-3)
    assert np.abs(ahead[:, 0] * moved[:, 1] - ahead[:, 1] * moved[:, 0]).max() < 3e-3
    np.testing.assert_allclose(np.cumsum(ego.yaw_rate_uradps[:-1]) / 1e8, yaw[1:] - yaw[0], atol=0.02)
    np.testing.assert_allclose(np.diff(speed), 0.01 * accel[1:], atol=2e-3 + 0.01 * 1.5 * (speed[1:] == 0).max())
    assert accel.min() > -9.5
    assert accel.max() < 3.0
    assert np.abs(ego.lateral_accel_mmps2).max() < 4500
    # Jerk over a tenth of a second; 95 % of the time people are gentle.
    jerk = np.abs(accel[10:] - accel[:-10]) / 0.1
    assert np.quantile(jerk[speed[10:] > 1.0], 0.95) < 3.0
    # Nobody presses both pedals, and the lane is kept except while changing it.
    assert (np.minimum(ego.accelerator_permille, ego.brake_permille) == 0).all()
    assert np.quantile(np.abs(ego.lane_offset_mm), 0.9) < 800


@pytest.mark.parametrize("seed", range(6))
def test_others_move_as_vehicles_can(seed: int) -> None:
    for track in drive(seed, 40.0).tracks:
        moved = np.hypot(np.diff(track.x_mm), np.diff(track.y_mm)) / 1e3
        assert moved.max(initial=0.0) < 50.0 * 0.05
        change = np.diff(track.speed_mmps) / 1e3 / 0.05
        assert track.kind in {"pedestrian", "cyclist"} or np.abs(change).max(initial=0.0) < 9.0


def test_memory_stays_flat_with_the_length_of_a_drive() -> None:
    """Beyond what is handed over, a longer drive needs no more than its share; the road does not fill up."""
    sizes = []
    for duration_s in (12.0, 36.0):
        tracemalloc.start()
        truth = simulate_drive(plan(2, duration_s), world(2), POLICY)
        kept, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        at_once = [
            sum(track.first_step <= step < track.end_step for track in truth.tracks) for step in range(0, 600, 50)
        ]
        sizes.append((kept / duration_s, (peak - kept) / duration_s, max(at_once)))
    (short, short_peak, _), (long, long_peak, most) = sizes
    assert long < 1.3 * short < 300_000
    assert long_peak < 1.3 * short_peak
    assert most < 80


@pytest.mark.parametrize(("kind", "seed"), [(kind, 20 + at) for at, kind in enumerate(sorted(EVENT_UNITS))])
def test_a_requested_event_happens_and_its_value_is_that_of_the_motion(kind: str, seed: int) -> None:
    truth = drive(seed, 40.0, (kind,))
    assert not truth.unmet()
    event = next(one for one in truth.events if one.kind == kind and one.cause == "requested")
    ego, rules = truth.ego, POLICY["events"]
    assert truth.plan.start_ns + 3 * NS_PER_S <= event.start_ns <= event.peak_ns <= event.end_ns <= ego.t_ns[-1]
    at = slice(*np.searchsorted(ego.t_ns, [event.start_ns, event.end_ns + 1]))
    peak = int(np.searchsorted(ego.t_ns, event.peak_ns))
    if kind == "hard_brake":
        hard = -ego.accel_mmps2 >= 1000 * rules[kind]["least_mps2"]
        assert event.value == -ego.accel_mmps2[at].min() == -ego.accel_mmps2[peak]
        assert hard[[at.start - 1, at.start, at.stop - 1, at.stop]].tolist() == [False, True, True, False]
        # Nobody who brakes hard lets go for as long as a second in between.
        assert np.diff(np.flatnonzero(hard[at])).max(initial=0) <= 100
    elif kind == "red_light_stop":
        assert (ego.speed_mmps[at][:-5] <= 1000 * rules[kind]["stand_mps"]).all()
        assert abs(event.value - (event.end_ns - event.start_ns) / 1e6) <= 50
    elif kind == "disengagement":
        assert ego.adas[at][0] == Adas.TAKEOVER
        assert Adas.ENGAGED in ego.adas[max(0, at.start - 20) : at.start]
        assert event.value == ego.speed_mmps[peak]
    elif kind in {"engagement", "override"}:
        drives = {Adas.ENGAGED, Adas.OVERRIDDEN} if kind == "engagement" else {Adas.OVERRIDDEN}
        assert set(ego.adas[at].tolist()) <= drives
        assert ego.adas[at.start - 1] not in drives
        assert kind == "engagement" or ego.adas[at.start - 1] == Adas.ENGAGED
        assert event.value == ego.speed_mmps[peak]
    elif kind == "swerve":
        assert np.abs(ego.lateral_accel_mmps2[at]).max() >= 900 * rules[kind]["least_mps2"]
        assert np.ptp(ego.lane_offset_mm[at.start - 100 : at.stop + 200]) > 300
    else:
        gap, closing, speed = between(truth, event)
        with np.errstate(divide="ignore"):
            measured = {
                "cut_in": gap[:1],
                "stationary_hazard": gap[speed >= 1000 * rules["stationary_hazard"]["least_speed_mps"]],
                "tailgating": gap / speed * 1000,
                "near_miss": (gap / closing * 1000)[closing >= 1000 * rules["near_miss"]["least_closing_mps"]],
            }[kind]
        # Along the road and straight across differ by centimetres in bends.
        assert event.value == pytest.approx(measured.min(), rel=0.06, abs=150)
        limits = {"tailgating": "most_gap_s", "near_miss": "most_time_to_collision_s"}
        if kind in limits:
            # From start to end the condition holds, but for pauses of less than a second.
            within = np.flatnonzero(measured <= 1060 * rules[kind][limits[kind]])
            assert within[0] == 0
            assert np.diff(within).max(initial=0) <= 20
            assert event.value <= 1000 * rules[kind][limits[kind]]


@pytest.mark.parametrize("kind", ["cut_in", "swerve"])
def test_incidents_happen_by_themselves_and_are_natural(kind: str) -> None:
    often = {**POLICY, "incidents_per_hour": {kind: 400.0}}
    events = [one for seed in (21, 22, 23) for one in simulate_drive(plan(seed, 30.0), world(seed % 3), often).events]
    assert kind in {event.kind for event in events}
    assert {event.cause for event in events} == {"natural"}


def test_turning_at_corners_is_no_swerve() -> None:
    never = {**POLICY, "incidents_per_hour": {}}
    drives = [simulate_drive(plan(seed, 30.0), world(seed % 3), never) for seed in (41, 42, 43)]
    assert max(np.ptp(truth.ego.yaw_mrad) for truth in drives) > 1200
    assert [event for truth in drives for event in truth.events if event.kind == "swerve"] == []


Line = np.ndarray[Any, np.dtype[np.float64]]


def between(truth: DriveTruth, event: Event) -> tuple[Line, Line, Line]:
    """Gap between bumpers, closing speed and the ego's speed (mm, mm/s) at 20 Hz while an event lasts."""
    ego, shape = truth.ego, truth.shape
    track = next(one for one in truth.tracks if one.agent_id == event.agent_id)
    first, last = ((at - truth.plan.start_ns) // AGENT_STEP_NS for at in (event.start_ns, event.end_ns))
    steps = np.arange(first, last + 1)
    own, other = steps * EGO_STEPS_PER_AGENT_STEP, steps - track.first_step
    ahead = shape.length_mm - shape.rear_overhang_mm + track.length_mm / 2
    apart = np.hypot(track.x_mm[other] - ego.x_mm[own], track.y_mm[other] - ego.y_mm[own]) - ahead
    return apart, (ego.speed_mmps[own] - track.speed_mmps[other]).astype(float), ego.speed_mmps[own].astype(float)


def crossings_on_red(truth: DriveTruth) -> list[int]:
    """Steps at which the ego's front crosses a stop line whose light shows red, from written truth alone."""
    ego, shape = truth.ego, truth.shape
    at = slice(None, None, EGO_STEPS_PER_AGENT_STEP)
    front = shape.length_mm - shape.rear_overhang_mm
    yaw = ego.yaw_mrad[at] / 1e3
    x, y, t = ego.x_mm[at] + front * np.cos(yaw), ego.y_mm[at] + front * np.sin(yaw), ego.t_ns[at]
    found: list[int] = []
    for light in truth.lights:
        toward = np.array([np.cos(light.yaw_mrad / 1e3), np.sin(light.yaw_mrad / 1e3)])
        along = (x - light.x_mm) * toward[0] + (y - light.y_mm) * toward[1]
        across = np.abs((y - light.y_mm) * toward[0] - (x - light.x_mm) * toward[1])
        passes = np.flatnonzero((along[:-1] < 0) & (along[1:] >= 0) & (across[:-1] < 5000)) + 1
        found += [step for step in passes.tolist() if light.at(int(t[step])) is Signal.RED]
    return found


def test_the_ego_vehicle_never_crosses_a_stop_line_on_red() -> None:
    drives = [drive(seed, 40.0) for seed in range(6)] + [drive(seed, 40.0, ("red_light_stop",)) for seed in (4, 12)]
    assert sum(len(truth.lights) for truth in drives) >= 5
    assert [crossings_on_red(truth) for truth in drives] == [[] for _ in drives]


@given(st.integers(0, 2**60), st.integers(0, 59))
def test_two_crossing_streets_are_never_green_or_yellow_at_once(t_ns: int, phase_s: int) -> None:
    shown = {signal_at(t_ns, phase_s, axis, POLICY["world"]["lights"]) for axis in (0, 1)}
    assert Signal.RED in shown


def test_written_light_states_are_those_of_the_clock() -> None:
    truth = next(one for one in (drive(seed, 40.0) for seed in range(6)) if one.lights)
    for light in truth.lights:
        phase = world(truth.plan.seed % 3).nodes[light.node_id].phase_s
        axis = int(abs(np.sin(light.yaw_mrad / 1e3)) > abs(np.cos(light.yaw_mrad / 1e3)))
        for t_ns in truth.ego.t_ns[::50].tolist():
            assert light.at(t_ns) is signal_at(t_ns, phase, axis, POLICY["world"]["lights"])


def test_pedestrians_cross_and_vehicles_wait_for_them() -> None:
    crossers = [
        track
        for seed in range(6)
        for track in drive(seed, 40.0).tracks
        if track.kind in {"pedestrian", "cyclist"} and (track.speed_mmps == 0).any() and track.speed_mmps[-1] > 0
    ]
    assert crossers


def test_an_unknown_depot_or_event_is_refused_by_name() -> None:
    with pytest.raises(UnknownDepotError, match="'nowhere'.*harbour"):
        simulate_drive(replace(plan(1), depot="nowhere"), world(1), POLICY)
    with pytest.raises(UnknownEventError, match="'moose'.*near_miss"):
        simulate_drive(replace(plan(1), events=(EventRequest("moose", 1.0),)), world(1), POLICY)
