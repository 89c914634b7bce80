"""A drive whose truth is given by formulas: what sensor tests hold messages against, without traffic."""

from typing import Any

import numpy as np

from services.fleet_simulator.drive_truth import (
    AGENT_STEP_NS,
    EGO_STEP_NS,
    Adas,
    Conditions,
    DrivePlan,
    DriveTruth,
    Ego,
    EgoShape,
    Track,
    Weather,
)
from services.fleet_simulator.sensors.scene import Scene
from services.fleet_simulator.world.generate import generate_network
from services.fleet_simulator.world.road_network import RoadNetwork

START_NS = 1_714_550_400_000_000_000
"""2024-05-01T08:00:00Z."""
SENSORS = ("can", "imu", "gnss", "radar")
SHAPE = EgoShape("saloon", 4600, 1820, 1450, 2750, 900, 15_000)
STEP_S = EGO_STEP_NS / 1e9
LEAD_GAP_M = 30.0


def network(policies: Any, seed: int = 5) -> RoadNetwork:
    return generate_network(seed, policies["simulation"]["world"])


def drive(
    world: RoadNetwork,
    *,
    seed: int = 1,
    seconds: float = 30.0,
    start_ns: int = START_NS,
    sensors: tuple[str, ...] = SENSORS,
    faults: tuple[Any, ...] = (),
    drive_id: str = "sim-a",
    depot: str = "north",
    vehicle_id: str = "sim-car-1",
) -> DriveTruth:
    """A car that speeds up and slows down in gentle bends, with a vehicle ahead and one that comes the other way."""
    plan = DrivePlan(drive_id, vehicle_id, depot, seed, start_ns, seconds, sensors, faults=faults)
    return DriveTruth(
        plan=plan,
        network_digest=world.digest,
        shape=SHAPE,
        ego=ego(world, seconds, start_ns),
        tracks=tracks(world, seconds, start_ns),
        conditions=(Conditions(start_ns, Weather("clear", 0.0, 20_000, 0.1, 15.0, 2.0, 200, 0.0), 600, 2000, "day"),),
    )


def ego(world: RoadNetwork, seconds: float, start_ns: int) -> Ego:
    n = round(seconds / STEP_S) + 1
    t = np.arange(n) * STEP_S
    speed = 12.0 + 6.0 * np.sin(2 * np.pi * t / 40.0)
    turn = 0.08 * np.sin(2 * np.pi * t / 25.0)
    yaw = 0.4 + np.concatenate(([0.0], np.cumsum(0.5 * (turn[1:] + turn[:-1]) * STEP_S)))
    east = np.concatenate(([0.0], np.cumsum((speed * np.cos(yaw))[:-1] * STEP_S)))
    north = np.concatenate(([0.0], np.cumsum((speed * np.sin(yaw))[:-1] * STEP_S)))
    ahead = np.gradient(speed, STEP_S)
    classes = sorted((edge.road_class, number) for number, edge in world.edges.items())
    quiet = next(number for name, number in classes if name == "motorway")
    urban = next(number for name, number in classes if name == "residential")

    def whole(values: Any, scale: float, kind: Any = np.int32) -> Any:
        return np.rint(np.asarray(values) * scale).astype(kind)

    return Ego(
        t_ns=start_ns + np.arange(n, dtype=np.int64) * EGO_STEP_NS,
        x_mm=whole(east, 1e3),
        y_mm=whole(north, 1e3),
        yaw_mrad=whole(yaw, 1e3),
        speed_mmps=whole(speed, 1e3),
        accel_mmps2=whole(ahead, 1e3),
        lateral_accel_mmps2=whole(speed * turn, 1e3),
        yaw_rate_uradps=whole(turn, 1e6),
        steering_wheel_mrad=whole(15.0 * np.arctan(2.75 * turn / speed), 1e3),
        accelerator_permille=whole(np.maximum(ahead, 0) * 200, 1, np.int16),
        brake_permille=whole(np.maximum(-ahead, 0) * 200, 1, np.int16),
        adas=np.where((t > 5) & (t < 20), Adas.ENGAGED, Adas.READY).astype(np.uint8),
        lamps=np.zeros(n, np.uint8),
        edge_id=np.where(t < seconds / 2, urban, quiet).astype(np.int32),
        edge_offset_mm=np.zeros(n, np.int32),
        lane=np.zeros(n, np.int8),
        lane_offset_mm=np.zeros(n, np.int32),
        route_mm=whole(np.cumsum(speed) * STEP_S, 1e3),
    )


def tracks(world: RoadNetwork, seconds: float, start_ns: int) -> tuple[Track, ...]:
    own = ego(world, seconds, start_ns)
    every = AGENT_STEP_NS // EGO_STEP_NS
    x, y, yaw = (values[::every] for values in (own.x_mm, own.y_mm, own.yaw_mrad))
    speed, n = own.speed_mmps[::every], len(x)
    heading = yaw / 1e3

    def beside(agent_id: int, ahead_m: Any, left_m: float, turned: int, own_speed: Any) -> Track:
        east = x + 1e3 * (ahead_m * np.cos(heading) - left_m * np.sin(heading))
        north = y + 1e3 * (ahead_m * np.sin(heading) + left_m * np.cos(heading))
        return Track(
            agent_id,
            "saloon",
            4600,
            1820,
            1450,
            agent_id,
            False,
            0,
            np.rint(east).astype(np.int32),
            np.rint(north).astype(np.int32),
            (yaw + turned).astype(np.int32),
            np.asarray(own_speed, dtype=np.int32),
            np.zeros(n, np.uint8),
        )

    t = np.arange(n) * AGENT_STEP_NS / 1e9
    return (
        beside(1, np.full(n, LEAD_GAP_M), 0.0, 0, speed),
        beside(2, 120.0 - 8.0 * t, 3.5, 3142, np.full(n, 8000)),
    )


def scene(policies: Any, world: RoadNetwork, truth: DriveTruth, **more: Any) -> Scene:
    return Scene(truth, world, policies["simulation"]["sensors"], **more)
