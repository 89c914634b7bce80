"""The simulated lidar: rays against flat ground, boxes of road users and buildings."""

from dataclasses import replace

import numpy as np
import pytest
from kinematic_drive import LEAD_GAP_M, START_NS, drive, network, scene

from fleet_assets.policy.documents import Policies, load_policies
from services.fleet_simulator.sensors.lidar import Lidar
from services.fleet_simulator.world.road_network import RoadNetwork


@pytest.fixture(scope="module")
def policies() -> Policies:
    return load_policies()


@pytest.fixture(scope="module")
def world(policies: Policies) -> RoadNetwork:
    return network(policies)


def lidar(policies: Policies, world: RoadNetwork, *, alone: bool, obstacles: list[list[float]] | None = None) -> Lidar:
    truth = drive(world, seconds=4)
    more = {} if obstacles is None else {"obstacles": np.array(obstacles)}
    return Lidar(scene(policies, world, replace(truth, tracks=()) if alone else truth, **more))


def test_on_an_empty_plain_the_beams_that_look_down_draw_rings(policies: Policies, world: RoadNetwork) -> None:
    policy = policies["simulation"]["sensors"]["lidar"]
    points = lidar(policies, world, alone=True).scan(START_NS)
    elevation = np.linspace(*policy["elevation_rad"], policy["beams"])
    for ring in np.unique(points["ring"]):
        own = points[points["ring"] == ring]
        radius = np.hypot(own["x"], own["y"])
        assert radius.mean() == pytest.approx(policy["height_m"] / -np.tan(elevation[ring]), abs=0.02)
        assert np.degrees(np.ptp(np.arctan2(own["y"], own["x"]))) > 350
    assert abs(points["z"] + policy["height_m"]).max() < 0.05


def test_the_vehicle_ahead_stands_where_it_is_and_casts_a_shadow(policies: Policies, world: RoadNetwork) -> None:
    policy = policies["simulation"]["sensors"]["lidar"]
    empty = lidar(policies, world, alone=True).cast(START_NS)[0]
    distance, surface = lidar(policies, world, alone=False).cast(START_NS)
    hit = surface == 1
    assert hit.any()
    assert (distance <= empty).all()
    middle = policy["steps"] // 2
    rear_m = LEAD_GAP_M - 2.3 - policy["ahead_m"]
    nearest = distance[:, middle - 2 : middle + 2][hit[:, middle - 2 : middle + 2]].min()
    assert nearest == pytest.approx(rear_m, abs=0.1)


def test_boxes_agree_with_rays_followed_in_small_steps(policies: Policies, world: RoadNetwork) -> None:
    """The oracle walks along single rays and asks whether it is inside a box or below the ground."""
    truth = drive(world, seconds=4)
    yaw = truth.ego.yaw_mrad[0] / 1e3
    box = [9.0, 5.0, 0.7, 8.0, 4.0, 3.0]
    found = lidar(policies, world, alone=True, obstacles=[box])
    policy = policies["simulation"]["sensors"]["lidar"]
    distance, _ = found.cast(START_NS)
    origin = np.array([np.cos(yaw), np.sin(yaw)]) * policy["ahead_m"]
    steps = np.arange(1.5, 40.0, 0.01)
    elevation = np.linspace(*policy["elevation_rad"], policy["beams"])
    azimuth = (np.arange(policy["steps"]) + 0.5) * 2 * np.pi / policy["steps"] - np.pi
    checked = 0
    for ring in range(0, policy["beams"], 3):
        for step in range(0, policy["steps"], 7):
            flat = steps * np.cos(elevation[ring])
            east = origin[0] + flat * np.cos(azimuth[step] + yaw) - box[0]
            north = origin[1] + flat * np.sin(azimuth[step] + yaw) - box[1]
            up = policy["height_m"] + steps * np.sin(elevation[ring])
            along = east * np.cos(box[2]) + north * np.sin(box[2])
            across = north * np.cos(box[2]) - east * np.sin(box[2])
            inside = (abs(along) < box[3] / 2) & (abs(across) < box[4] / 2) & (up < box[5])
            met = inside | (up < 0)
            expected = steps[int(np.argmax(met))] if met.any() else np.inf
            value = distance[ring, step] if distance[ring, step] < 39.9 else np.inf
            assert value == pytest.approx(expected, abs=0.15)
            checked += bool(inside.any())
    assert checked > 20
