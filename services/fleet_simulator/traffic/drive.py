"""A drive from its plan: route, start, simulation, and the truth of it in whole numbers.

Here belongs putting together. The loop is in `simulation.py`.
"""

from collections.abc import Mapping
from math import ceil
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fleet_assets.geo.sun import Light, light_condition, sun_position
from services.fleet_simulator.drive_truth import (
    AGENT_STEP_NS,
    EGO_STEP_NS,
    EGO_STEPS_PER_AGENT_STEP,
    NS_PER_S,
    Conditions,
    DrivePlan,
    DriveTruth,
    Ego,
    LightSeries,
)
from services.fleet_simulator.traffic.corridor import Corridor, build_corridor
from services.fleet_simulator.traffic.ego import ego_shape, pedals
from services.fleet_simulator.traffic.events import find_events
from services.fleet_simulator.traffic.lights import light_series
from services.fleet_simulator.traffic.observations import Notes
from services.fleet_simulator.traffic.simulation import Setting, Simulation, run
from services.fleet_simulator.world.road_network import RoadNetwork
from services.fleet_simulator.world.routes import SPACING_M, Route, make_route, plan_steps
from services.fleet_simulator.world.weather import weather_at

_WARM_UP_S: Final = 6.0
_FASTEST_MPS: Final = 32.0
_LEAD_IN_M: Final = 2500.0
_BEFORE_M: Final = 300.0
_BEHIND_M: Final = 600.0
_CANDIDATES: Final = 32
_STRETCH_M: Final = 250.0
_STREAM: Final = 121
_MINUTE_NS: Final = 60 * NS_PER_S
_GLOOM_M, _SPRAY_MM_H = 2000, 0.5
"""Visibility and rain from which on everybody drives with headlamps."""
_BRISK_MPS, _STRAIGHT_1PM = 9.0, 0.03


class UnknownDepotError(Exception):
    """A plan that starts from a depot which the network does not have."""


def simulate_drive(plan: DrivePlan, network: RoadNetwork, policy: Mapping[str, Any]) -> DriveTruth:
    """Make a drive happen.

    The result depends on the arguments alone. Its size grows by about 20 kB per simulated second.

    Args:
        plan: What is asked for.
        network: The world.
        policy: The document `simulation`.

    Raises:
        UnknownDepotError: When the network has no such depot.
        UnknownEventError: When an event is requested that nobody knows.
        NoRouteError: When no way leads on from the depot.
    """
    gate = next((depot.node_id for depot in network.depots if depot.name == plan.depot), None)
    if gate is None:
        known = ", ".join(depot.name for depot in network.depots) or "none"
        raise UnknownDepotError(f"depot '{plan.depot}' is not in the network. It has: {known}")
    lead_in = 0.0 if plan.from_gate else _LEAD_IN_M
    length = lead_in + _BEFORE_M + plan.duration_s * _FASTEST_MPS + _BEHIND_M
    route = make_route(network, plan_steps(network, gate, plan.seed, length))
    corridor = build_corridor(network, route, policy["traffic"])
    start_m = 3.0 if plan.from_gate else _start(plan, corridor)
    conditions = _conditions(plan, network, policy, _place(route, start_m))
    weather = conditions[0].weather
    dark = conditions[0].light != Light.DAY.value
    headlamps = dark or weather.visibility_m < _GLOOM_M or weather.rain_mm_h > _SPRAY_MM_H
    setting = Setting(plan, policy, corridor, start_m, weather, headlamps, plan.seed)
    kinds = tuple((kind, float(policy["vehicles"][kind]["height_m"])) for kind in sorted(policy["vehicles"]))
    clear_m = float(policy["events"]["stationary_hazard"]["clear_of_stop_m"])
    notes = Notes(corridor, kinds, headlamps=headlamps, clear_of_stop_m=clear_m)
    steps = ceil(plan.duration_s * NS_PER_S / AGENT_STEP_NS)
    warm_up = 0 if plan.from_gate else round(_WARM_UP_S * NS_PER_S / AGENT_STEP_NS)
    simulation = run(setting, notes, warm_up, steps)
    return _assemble(setting, network, notes, simulation, conditions)


def _assemble(
    setting: Setting, network: RoadNetwork, notes: Notes, simulation: Simulation, conditions: tuple[Conditions, ...]
) -> DriveTruth:
    plan, policy = setting.plan, setting.policy
    ego, road = _ego(setting, network, notes, simulation)
    windows = simulation.director.close(plan.duration_s)
    return DriveTruth(
        plan=plan,
        network_digest=network.digest,
        shape=ego_shape(policy["ego"]["vehicle"]),
        ego=ego,
        tracks=notes.tracks(),
        lights=_lights(setting, network, ego),
        conditions=conditions,
        events=find_events(ego, notes.view(), road, windows, policy["events"]),
    )


def _place(route: Route, s_m: float) -> tuple[float, float]:
    row = int(s_m / SPACING_M)
    return float(route.east_m[row]), float(route.north_m[row])


def _start(plan: DrivePlan, corridor: Corridor) -> float:
    """Somewhere on the way; of some places drawn the one whose road suits the requests best."""
    rng = np.random.default_rng([plan.seed, _STREAM])
    places = _BEFORE_M + rng.random(_CANDIDATES) * _LEAD_IN_M
    speed = corridor.wanted_mps[corridor.index(places)]
    score = np.zeros(_CANDIDATES)
    for request in plan.events:
        there = places + request.at_s * 0.8 * speed
        score += [_suits(request.kind, float(place), corridor) for place in there]
    return float(places[int(np.argmax(np.round(score, 6)))])


def _suits(kind: str, place: float, corridor: Corridor) -> float:
    """How well a stretch of road suits an event, 0 to 1."""
    low, high = corridor.index(np.array([place, place + _STRETCH_M])).tolist()
    lines = corridor.ahead
    within = (lines.line_m > place + 40.0) & (lines.line_m < place + 1.4 * _STRETCH_M)
    if kind == "red_light_stop":
        later = (lines.line_m > place + 40.0) & (lines.line_m < place + 3.0 * _STRETCH_M)
        soon, at_all = (
            any(lines.kind[line] == "traffic_light" for line in np.flatnonzero(span).tolist())
            for span in (within, later)
        )
        return 0.5 * soon + 0.5 * at_all
    open_road = (corridor.wanted_mps[low:high] > _BRISK_MPS) & (
        np.abs(corridor.route.curvature_1pm[low:high]) < _STRAIGHT_1PM
    )
    if kind == "cut_in":
        open_road &= corridor.highest[low:high] > corridor.lowest[low:high]
    free = (
        float(within.sum() == 0) if kind in {"stationary_hazard", "near_miss", "disengagement", "tailgating"} else 1.0
    )
    return (float(open_road.mean()) if high > low else 0.0) * (0.5 + 0.5 * free)


def _conditions(
    plan: DrivePlan, network: RoadNetwork, policy: Mapping[str, Any], place: tuple[float, float]
) -> tuple[Conditions, ...]:
    lat, lon = (float(value) for value in network.frame.to_geographic(*place))
    end = plan.start_ns + round(plan.duration_s * NS_PER_S)
    found = []
    for t_ns in range(plan.start_ns, end, _MINUTE_NS):
        elevation, azimuth = (float(value) for value in sun_position(t_ns, lat, lon))
        found.append(
            Conditions(
                t_ns=t_ns,
                weather=weather_at(int(network.digest[:12], 16), lat, lon, t_ns, policy["weather"]),
                sun_elevation_mrad=round(np.radians(elevation) * 1000.0),
                sun_azimuth_mrad=round(np.radians(azimuth) * 1000.0),
                light=str(light_condition(elevation)),
            )
        )
    return tuple(found)


def _lights(setting: Setting, network: RoadNetwork, ego: Ego) -> tuple[LightSeries, ...]:
    """Lights that the ego vehicle passed or could see."""
    route, lines = setting.corridor.route, setting.corridor.ahead
    span = (int(ego.t_ns[0]), int(ego.t_ns[-1]))
    low, high = ego.route_mm[0] / 1000.0 - 50.0, ego.route_mm[-1] / 1000.0 + _BEFORE_M
    found = []
    for index, line in enumerate(lines.line_m.tolist()):
        if lines.kind[index] == "traffic_light" and low < line < high:
            row = min(int(line / SPACING_M), len(route.s_m) - 1)
            node = int(lines.node_id[index])
            pose = (float(route.east_m[row]), float(route.north_m[row]), float(route.yaw_rad[row]))
            place = (node, int(lines.edge_id[index]), network.nodes[node].phase_s)
            found.append(light_series(span, place, pose, setting.policy["world"]["lights"]))
    return tuple(found)


def _whole(values: NDArray[np.float64], per_unit: float = 1000.0) -> NDArray[np.int32]:
    rounded: NDArray[np.int32] = np.rint(values * per_unit).astype(np.int32)
    return rounded


def _ego(setting: Setting, network: RoadNetwork, notes: Notes, simulation: Simulation) -> tuple[Ego, NDArray[np.int64]]:
    """The ego's motion in whole numbers, and the lateral acceleration that the road alone asks for."""
    vehicle, corridor = setting.policy["ego"]["vehicle"], setting.corridor
    x, y, yaw, speed, accel, steer = simulation.ego.states().T
    coarse = simulation.ego.places()
    fine, steps = np.arange(len(x)) / EGO_STEPS_PER_AGENT_STEP, np.arange(len(coarse))
    s, d = (np.interp(fine, steps, coarse[:, axis]) for axis in range(2))
    bend = np.tan(steer) / vehicle["wheelbase_m"]
    edge, offset, lane, beside = _on_map(corridor, network, s, d)
    accelerator, brake = pedals(speed, accel, vehicle)
    each = EGO_STEPS_PER_AGENT_STEP
    ego = Ego(
        t_ns=setting.plan.start_ns + EGO_STEP_NS * np.arange(len(x), dtype=np.int64),
        x_mm=_whole(x),
        y_mm=_whole(y),
        yaw_mrad=_whole(yaw),
        speed_mmps=_whole(speed),
        accel_mmps2=_whole(accel),
        lateral_accel_mmps2=_whole(speed**2 * bend),
        yaw_rate_uradps=_whole(speed * bend, 1e6),
        steering_wheel_mrad=_whole(steer * vehicle["steering_ratio"]),
        accelerator_permille=accelerator,
        brake_permille=brake,
        adas=np.repeat(np.array(notes.adas, dtype=np.uint8), each),
        lamps=np.repeat(np.array(notes.ego_lamps, dtype=np.uint8), each),
        edge_id=edge,
        edge_offset_mm=_whole(offset),
        lane=lane,
        lane_offset_mm=_whole(beside),
        route_mm=_whole(s),
    )
    road = np.interp(s, corridor.route.s_m, corridor.route.curvature_1pm)
    return ego, _whole(speed**2 * road).astype(np.int64)


def _on_map(
    corridor: Corridor, network: RoadNetwork, s: NDArray[np.float64], d: NDArray[np.float64]
) -> tuple[NDArray[np.int32], NDArray[np.float64], NDArray[np.int8], NDArray[np.float64]]:
    """Edge, place along it, lane, and distance left of the lane's middle."""
    route, rows = corridor.route, corridor.index(s)
    after = np.minimum(rows + 1, len(route.s_m) - 1)
    same = route.edge_id[rows] == route.edge_id[after]
    share = np.where(same, s / SPACING_M - rows, 0.0)
    offset = route.edge_offset_m[rows] * (1.0 - share) + route.edge_offset_m[after] * share
    width = corridor.width_m[rows]
    relative = np.clip(np.rint(d / width), corridor.lowest[rows], corridor.highest[rows])
    lane = route.lane[rows] - relative
    lengths = np.array([network.edges[int(number)].length_m for number in np.unique(route.edge_id[rows])])
    most = lengths[np.unique(route.edge_id[rows], return_inverse=True)[1]]
    place: NDArray[np.float64] = np.clip(offset, 0.0, most)
    return route.edge_id[rows].astype(np.int32), place, lane.astype(np.int8), d - relative * width
