"""Semi-trailers follow their tractors as the hitch makes them: against closed forms, an ODE solver, and in drives."""

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import solve_ivp

from fleet_assets.policy.documents import load_policies
from services.fleet_simulator.drive_truth import NS_PER_S, DrivePlan, Track
from services.fleet_simulator.traffic.drive import simulate_drive
from services.fleet_simulator.traffic.trailers import Trailer, trailer_of, trailer_yaw
from services.fleet_simulator.world.generate import generate_network

POLICY = load_policies()["simulation"]
KIND, VEHICLE = next((kind, body) for kind, body in POLICY["vehicles"].items() if "trailer" in body)
LENGTH_M = float(VEHICLE["length_m"])
TRAILER = trailer_of(VEHICLE)
Line = np.ndarray[Any, np.dtype[np.float64]]


def measures() -> Trailer:
    assert TRAILER is not None
    return TRAILER


@given(yaw=st.floats(-3.0, 3.0), speed=st.floats(0.5, 25.0))
def test_on_a_straight_road_the_trailer_is_straight_behind(yaw: float, speed: float) -> None:
    way = speed * 0.05 * np.arange(200)
    found = trailer_yaw(way * np.cos(yaw), way * np.sin(yaw), np.full(200, yaw), LENGTH_M, measures())
    np.testing.assert_allclose(found, yaw, atol=1e-9)


@given(radius=st.floats(20.0, 400.0), left=st.booleans())
def test_in_a_steady_turn_the_angle_is_that_of_the_triangle(radius: float, left: bool) -> None:
    """Hitch on a circle of radius R, axles at a distance L behind it: sin(angle to its direction) = L / R."""
    sign = 1.0 if left else -1.0
    turn = (sign * 0.25 / radius * np.arange(4000)).astype(np.float64)
    # The tractor's heading is along the circle of its hitch.
    ahead = LENGTH_M / 2.0 - measures().hitch_m
    hitch = radius * np.stack([np.sin(np.abs(turn)), sign * (1.0 - np.cos(turn))])
    x, y = hitch[0] - ahead * np.cos(turn), hitch[1] - ahead * np.sin(turn)
    found = trailer_yaw(x, y, turn, LENGTH_M, measures())
    assert turn[-1] - found[-1] == pytest.approx(sign * np.arcsin(measures().axle_m / radius), abs=0.01)


@given(seed=st.integers(0, 10_000))
def test_on_any_way_it_is_the_solution_of_the_differential_equation(seed: int) -> None:
    rng = np.random.default_rng(seed)
    t = 0.05 * np.arange(240)
    speed = 8.0 + 3.0 * np.sin(0.4 * t + rng.uniform(0, 6))
    yaw = rng.uniform(0.1, 0.6) * np.sin(rng.uniform(0.1, 0.5) * t)
    yaw[:40] = yaw[40]
    x, y = (np.concatenate(([0.0], np.cumsum(0.05 * speed * f(yaw))[:-1])) for f in (np.cos, np.sin))
    ahead, axle = LENGTH_M / 2.0 - measures().hitch_m, measures().axle_m
    hitch = x + ahead * np.cos(yaw), y + ahead * np.sin(yaw)
    rates = [np.gradient(part, t) for part in hitch]

    def change(at: float, state: Line) -> list[float]:
        along, across = (float(np.interp(at, t, rate)) for rate in rates)
        return [(across * np.cos(state[0]) - along * np.sin(state[0])) / axle]

    found = trailer_yaw(x, y, yaw, LENGTH_M, measures())
    solved = solve_ivp(change, (t[0], t[-1]), [found[0]], t_eval=t, max_step=0.05).y[0]
    np.testing.assert_allclose(found, solved, atol=6e-3)


def test_who_stands_keeps_the_angle_and_a_turn_beyond_half_a_circle_has_no_jump() -> None:
    turned = 0.25 / 30.0 * np.arange(1000, dtype=np.float64)
    turn = np.concatenate([turned, np.full(100, turned[-1])])
    x, y = 30.0 * np.sin(turn), 30.0 * (1.0 - np.cos(turn))
    found = trailer_yaw(x, y, turn, LENGTH_M, measures())
    assert turn[-1] > 2.0 * np.pi
    assert np.abs(np.diff(found)).max() < 0.02
    assert np.ptp(found[-99:]) == 0.0


@cache
def trucks() -> tuple[Track, ...]:
    shares = {kind: {**body, "share": 0.9 if kind == KIND else 0.01} for kind, body in POLICY["vehicles"].items()}
    network = generate_network(1, POLICY["world"])
    plan = DrivePlan("d", "v", POLICY["world"]["depots"][0], 5, 1_760_000_000 * NS_PER_S, 15.0)
    tracks = [
        track
        for seed in (5, 6, 7)
        for track in simulate_drive(replace(plan, seed=seed), network, {**POLICY, "vehicles": shares}).tracks
    ]
    return tuple(track for track in tracks if track.kind == KIND)


def test_in_drives_the_axles_of_trailers_do_not_slip() -> None:
    assert len(trucks()) > 3
    bent = 0.0
    for track in trucks():
        assert track.trailer_yaw_mrad is not None
        yaw, trailing = track.yaw_mrad / 1e3, track.trailer_yaw_mrad / 1e3
        ahead = track.length_mm / 2.0 - track.hitch_mm
        back = 1000.0 * measures().axle_m
        axle = np.stack(
            [
                track.x_mm + ahead * np.cos(yaw) - back * np.cos(trailing),
                track.y_mm + ahead * np.sin(yaw) - back * np.sin(trailing),
            ]
        )
        moved, middle = np.diff(axle, axis=1), (trailing[1:] + trailing[:-1]) / 2.0
        slip = np.abs(moved[1] * np.cos(middle) - moved[0] * np.sin(middle))
        # Headings are whole milliradians, 9 mm at the axles.
        assert slip.max(initial=0.0) < 25.0
        assert np.abs(trailing - yaw).max() < 0.6
        bent = max(bent, float(np.abs(trailing - yaw).max()))
    assert bent > 0.005


def test_vehicles_without_a_trailer_have_none() -> None:
    plan = DrivePlan("d", "v", POLICY["world"]["depots"][0], 5, 1_760_000_000 * NS_PER_S, 5.0)
    for track in simulate_drive(plan, generate_network(1, POLICY["world"]), POLICY).tracks:
        assert (track.trailer_yaw_mrad is None) == (track.kind != KIND)
        assert (track.hitch_mm == 0) == (track.kind != KIND)
