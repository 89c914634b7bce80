"""Car following against what is known of the Intelligent Driver Model."""

import numpy as np
import pytest

from fleet_assets.policy.documents import load_policies
from services.fleet_simulator.traffic.car_following import Driver, idm_acceleration, speed_profile
from services.fleet_simulator.world.generate import generate_network
from services.fleet_simulator.world.routes import SPACING_M, make_route, plan_steps

POLICY = load_policies()["simulation"]
DRIVER = Driver(1.5, 2.0, 1.0, 1.5, 4.0)


def test_on_a_free_road_the_wanted_speed_is_kept_and_a_standstill_is_left_at_full_acceleration() -> None:
    got = idm_acceleration(DRIVER, [0.0, 30.0], 30.0, np.inf, 0.0, hardest_mps2=8.0)
    np.testing.assert_allclose(got, [1.0, 0.0])


@pytest.mark.parametrize("speed", [5.0, 15.0, 25.0])
def test_behind_an_equally_fast_vehicle_the_gap_is_the_published_equilibrium(speed: float) -> None:
    # Treiber and Kesting (2013), equation 11.19: s_e(v) = (s0 + v T) / sqrt(1 - (v / v0)^4).
    gap = (2.0 + speed * 1.5) / np.sqrt(1.0 - (speed / 30.0) ** 4)
    assert float(idm_acceleration(DRIVER, speed, 30.0, gap, 0.0, hardest_mps2=8.0)) == pytest.approx(0.0, abs=1e-9)


def test_nobody_runs_into_a_standing_vehicle() -> None:
    for speed in (8.0, 14.0, 33.0):
        place, now, step = 0.0, speed, 0.05
        obstacle = 30.0 + speed * speed / (2 * 3.0)
        for _ in range(2000):
            acceleration = float(idm_acceleration(DRIVER, now, speed, obstacle - place, now, hardest_mps2=8.0))
            now = max(0.0, now + acceleration * step)
            place += now * step
        assert 0.5 < obstacle - place < 4.0


@pytest.mark.parametrize("seed", range(4))
def test_the_speed_profile_keeps_limits_and_bends_and_never_asks_for_harder_braking(seed: int) -> None:
    network = generate_network(seed, POLICY["world"])
    route = make_route(network, plan_steps(network, network.depots[0].node_id, seed, 3000.0))
    profile = speed_profile(route, 1.0, 2.0, 1.5)
    assert (profile <= route.limit_mps + 1e-9).all()
    assert (profile**2 * np.abs(route.curvature_1pm) <= 2.0 + 1e-6).all()
    braking = -np.diff(profile**2) / (2.0 * SPACING_M)
    assert braking.max() <= 1.5 + 1e-6
    # It is the fastest such profile: at every point either a bound is met or the braking is at its limit.
    bound = np.minimum(route.limit_mps, np.sqrt(2.0 / np.maximum(np.abs(route.curvature_1pm), 1e-6)))
    assert ((profile[:-1] >= bound[:-1] - 1e-6) | (braking >= 1.5 - 1e-6)).all()
