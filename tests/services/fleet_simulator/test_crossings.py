"""People at crossings see traffic: they wait, go when nobody can hit them any more, hurry, and stand on a kerb."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from fleet_assets.policy.documents import load_policies
from services.fleet_simulator.camera.ground import KERB_M
from services.fleet_simulator.drive_truth import EGO_STEPS_PER_AGENT_STEP, NS_PER_S, DrivePlan, DriveTruth
from services.fleet_simulator.traffic.corridor import Corridor, build_corridor
from services.fleet_simulator.traffic.drive import simulate_drive
from services.fleet_simulator.traffic.pedestrians import People, Person
from services.fleet_simulator.traffic.road_users import OWN_LANE, Population, Users
from services.fleet_simulator.world.generate import generate_network
from services.fleet_simulator.world.routes import make_route, plan_steps

POLICY = load_policies()["simulation"]
STEP_S = 0.05


@cache
def road() -> Corridor:
    network = generate_network(2, POLICY["world"])
    steps = plan_steps(network, network.depots[0].node_id, 4, 6000.0)
    return build_corridor(network, make_route(network, steps), POLICY["traffic"])


@cache
def line_m() -> float:
    """A crossing on the way, its stop line."""
    lines = road().ahead
    return next(float(at) for at, kind in zip(lines.line_m, lines.kind, strict=True) if kind == "crossing" and at > 250)


def somebody(kind: str) -> tuple[People, Person]:
    """Somebody who has come to the kerb and waits."""
    rules = {**POLICY["pedestrians"], "per_crossing_per_minute": 600.0, "walkers_per_minute": 0.0}
    rules["cyclist_share"] = 1.0 if kind == "cyclist" else 0.0
    people = People(np.random.default_rng(1), rules, road(), 100.0)
    while not people.persons:
        people.renew(line_m() - 40.0, 0.5)
    (one,) = people.persons = people.persons[:1]
    nobody = traffic(line_m() - 200.0, 0.0)
    for _ in range(1000):
        if one.state == "wait":
            return people, one
        people.step(nobody)
    raise AssertionError(one)


def traffic(front_m: float, speed_mps: float, accel_mps2: float = 0.0) -> Users:
    """One car in the own lane, its front at a place."""
    population = Population(np.random.default_rng(2), POLICY, road())
    car = population.draw(front_m, OWN_LANE, kind="saloon")
    car["s_m"], car["speed_mps"], car["accel_mps2"] = front_m - car["length_m"] / 2.0, speed_mps, accel_mps2
    return car


def step(people: People, users: Users, seconds: float) -> None:
    for _ in range(round(seconds / STEP_S)):
        people.step(users)


@pytest.mark.parametrize("kind", ["pedestrian", "cyclist"])
def test_who_waits_does_not_step_before_a_car_that_can_no_longer_stop(kind: str) -> None:
    people, one = somebody(kind)
    step(people, traffic(line_m() - 15.0, 14.0), 10.0)
    assert (one.kind, one.state, one.now_mps) == (kind, "wait", 0.0)
    step(people, traffic(line_m() - 60.0, 8.0), 3.0)
    assert one.state != "wait"


@pytest.mark.parametrize("kind", ["pedestrian", "cyclist"])
def test_who_crosses_before_a_car_that_does_not_brake_hurries(kind: str) -> None:
    people, one = somebody(kind)
    step(people, traffic(line_m() - 100.0, 5.0), 2.0)
    assert one.state == "cross"
    usual = one.now_mps
    step(people, traffic(line_m() - 16.0, 10.0), STEP_S)
    assert one.now_mps > 1.2 * usual
    step(people, traffic(line_m() - 16.0, 10.0, accel_mps2=-3.0), STEP_S)
    assert one.now_mps == pytest.approx(usual)


@pytest.mark.parametrize("kind", ["pedestrian", "cyclist"])
def test_crossings_are_claimed_from_the_kerb_on_until_the_other_side(kind: str) -> None:
    people, one = somebody(kind)
    assert people.claims() == {one.stop}
    step(people, traffic(line_m() - 200.0, 0.0), 30.0)
    assert people.claims() == set()


@cache
def drives() -> tuple[DriveTruth, ...]:
    world = {**POLICY["world"], "crossing_share": 1.0, "motorway_trip_share": 0.0}
    people = {**POLICY["pedestrians"], "per_crossing_per_minute": 12.0, "cyclist_share": 0.5}
    plan = DrivePlan("d", "v", POLICY["world"]["depots"][0], 0, 1_760_000_000 * NS_PER_S, 30.0)
    network = generate_network(2, world)
    busy = {**POLICY, "world": world, "pedestrians": people}
    return tuple(simulate_drive(replace(plan, seed=seed), network, busy) for seed in range(30, 34))


def test_people_stand_on_the_kerb_and_walk_down_on_the_road() -> None:
    heights = {kind: set[int]() for kind in ("pedestrian", "cyclist")}
    for truth in drives():
        for track in truth.tracks:
            assert track.z_mm is not None
            if track.kind in heights:
                heights[track.kind] |= set(track.z_mm.tolist())
                # One step up and one down at most, on the way over the road.
                assert np.count_nonzero(np.diff(track.z_mm)) <= 4
            else:
                assert not track.z_mm.any()
    assert heights == {"pedestrian": {0, round(KERB_M * 1000)}, "cyclist": {0, round(KERB_M * 1000)}}


def test_nobody_on_foot_is_hit_and_nobody_steps_out_right_before_the_ego_vehicle() -> None:
    stepped = 0
    for truth in drives():
        ego, shape = truth.ego, truth.shape
        at = slice(None, None, EGO_STEPS_PER_AGENT_STEP)
        x, y, yaw, speed = (values[at] / 1e3 for values in (ego.x_mm, ego.y_mm, ego.yaw_mrad, ego.speed_mmps))
        for track in truth.tracks:
            if track.kind not in {"pedestrian", "cyclist"}:
                continue
            span = slice(track.first_step, track.end_step)
            dx, dy = track.x_mm / 1e3 - x[span], track.y_mm / 1e3 - y[span]
            ahead = dx * np.cos(yaw[span]) + dy * np.sin(yaw[span]) - (shape.length_mm - shape.rear_overhang_mm) / 1e3
            beside = np.abs(dy * np.cos(yaw[span]) - dx * np.sin(yaw[span])) - shape.width_mm / 2e3
            assert not ((ahead < 0) & (ahead > -shape.length_mm / 1e3) & (beside < 0)).any()
            assert track.z_mm is not None
            for start in (np.flatnonzero(np.diff(track.z_mm) < 0) + 1).tolist():
                near = 0 < ahead[start] < 40 and beside[start] < 8
                stepped += near
                assert not near or speed[span][start] ** 2 < 2.0 * 8.0 * ahead[start]
    assert stepped > 0
