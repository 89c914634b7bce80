"""A drive from its plan: route, start, simulation, and the truth of it in whole numbers.

Here belongs putting together. The loop is in `simulation.py`.
"""

from collections.abc import Mapping
from dataclasses import replace
from math import ceil
from typing import Any, Final

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
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
from services.fleet_simulator.shifts import shifted_vehicles
from services.fleet_simulator.traffic.corridor import Corridor, build_corridor
from services.fleet_simulator.traffic.ego import ego_shape, pedals
from services.fleet_simulator.traffic.events import find_events
from services.fleet_simulator.traffic.lights import light_series
from services.fleet_simulator.traffic.observations import Notes
from services.fleet_simulator.traffic.requests import check_requests
from services.fleet_simulator.traffic.simulation import Setting, Simulation, run
from services.fleet_simulator.traffic.start import start_place
from services.fleet_simulator.traffic.trailers import trailer_of
from services.fleet_simulator.world.road_network import RoadNetwork
from services.fleet_simulator.world.routes import SPACING_M, Route, make_route, plan_steps
from services.fleet_simulator.world.weather import rained_on, weather_at

_WARM_UP_S: Final = 6.0
_FASTEST_MPS: Final = 32.0
_LEAD_IN_M: Final = 2500.0
_BEFORE_M: Final = 300.0
_BEHIND_M: Final = 600.0
_ATTEMPTS: Final = 12
_STREAM: Final = 122
_MINUTE_NS: Final = 60 * NS_PER_S
_NEARBY_M: Final = 20.0
"""Bends so near are steered for, before and behind them."""
_GLOOM_M, _SPRAY_MM_H = 2000, 0.5
"""Visibility and rain from which on everybody drives with headlamps."""


class UnknownDepotError(Exception):
    """A plan that starts from a depot which the network does not have."""


def simulate_drive(plan: DrivePlan, network: RoadNetwork, policy: Mapping[str, Any]) -> DriveTruth:
    """Make a drive happen.

    The result depends on the arguments alone. Its size grows by about 20 kB per simulated second. Where a request comes
    to nothing, another way and other traffic are tried, and the drive with the fewest unmet requests is the result.

    Args:
        plan: What is asked for.
        network: The world.
        policy: The document `simulation`.

    Raises:
        UnknownDepotError: When the network has no such depot.
        UnknownEventError: When an event is requested that nobody knows, or that this vehicle cannot have.
        NoRouteError: When no way leads on from the depot.
    """
    gate = next((depot.node_id for depot in network.depots if depot.name == plan.depot), None)
    if gate is None:
        known = ", ".join(depot.name for depot in network.depots) or "none"
        raise UnknownDepotError(f"depot '{plan.depot}' is not in the network. It has: {known}")
    check_requests(plan)
    policy = shifted_vehicles(policy, plan.shift)
    best = _attempt(plan, network, policy, gate, 0)
    for number in range(1, _ATTEMPTS):
        if not best.unmet():
            break
        other = _attempt(plan, network, policy, gate, number)
        best = other if len(other.unmet()) < len(best.unmet()) else best
    return best


def _attempt(plan: DrivePlan, network: RoadNetwork, policy: Mapping[str, Any], gate: int, number: int) -> DriveTruth:
    """One way to carry out a plan; the first one is that of the plan without requests."""
    seed = plan.seed if number == 0 else _another_seed(plan.seed, number)
    lead_in = 0.0 if plan.from_gate else _LEAD_IN_M
    length = lead_in + _BEFORE_M + plan.duration_s * _FASTEST_MPS + _BEHIND_M
    route = make_route(network, plan_steps(network, gate, seed, length, policy["world"]["motorway_trip_share"]))
    corridor = build_corridor(network, route, policy["traffic"])
    span = (_BEFORE_M, _BEFORE_M + _LEAD_IN_M)
    own = replace(plan, seed=seed)
    start_m = 3.0 if plan.from_gate else start_place(own, corridor, policy["world"]["lights"], span, _WARM_UP_S)
    conditions = _conditions(plan, network, policy, _place(route, start_m))
    weather = conditions[0].weather
    dark = conditions[0].light != Light.DAY.value
    headlamps = dark or weather.visibility_m < _GLOOM_M or weather.rain_mm_h > _SPRAY_MM_H
    setting = Setting(plan, policy, corridor, start_m, weather, headlamps, seed)
    kinds = tuple(
        (kind, float(vehicle["height_m"]), trailer_of(vehicle)) for kind, vehicle in sorted(policy["vehicles"].items())
    )
    clear_m = float(policy["events"]["stationary_hazard"]["clear_of_stop_m"])
    notes = Notes(corridor, kinds, headlamps=headlamps, clear_of_stop_m=clear_m)
    steps = ceil(plan.duration_s * NS_PER_S / AGENT_STEP_NS)
    warm_up = 0 if plan.from_gate else round(_WARM_UP_S * NS_PER_S / AGENT_STEP_NS)
    simulation = run(setting, notes, warm_up, steps)
    return _assemble(setting, network, notes, simulation, conditions)


def _another_seed(seed: int, number: int) -> int:
    return int(np.random.SeedSequence([seed, _STREAM, number]).generate_state(1, np.uint64)[0] >> np.uint64(1))


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


def _conditions(
    plan: DrivePlan, network: RoadNetwork, policy: Mapping[str, Any], place: tuple[float, float]
) -> tuple[Conditions, ...]:
    lat, lon = (float(value) for value in network.frame.to_geographic(*place))
    end = plan.start_ns + round(plan.duration_s * NS_PER_S)
    climate, rain_mm_h = int(network.digest[:12], 16), policy["shifts"]["rain_mm_h"] if plan.shift.rain else 0.0
    found = []
    for t_ns in range(plan.start_ns, end, _MINUTE_NS):
        elevation, azimuth = (float(value) for value in sun_position(t_ns, lat, lon))
        weather = weather_at(climate, lat, lon, t_ns, policy["weather"])
        found.append(
            Conditions(
                t_ns=t_ns,
                weather=rained_on(weather, rain_mm_h, policy["weather"]) if plan.shift.rain else weather,
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
    """The ego's motion in whole numbers, and the least and most lateral acceleration that the road nearby asks for."""
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
    rows = corridor.index(s)
    road = np.stack([_whole(speed**2 * bend[rows]) for bend in _bends_nearby(corridor.route.curvature_1pm)])
    return ego, road.astype(np.int64)


def _bends_nearby(curvature_1pm: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Least and greatest curvature around each row; straight on is always possible, since drivers cut corners."""
    reach = round(_NEARBY_M / SPACING_M)
    windows = sliding_window_view(np.pad(curvature_1pm, reach, mode="edge"), 2 * reach + 1)
    return np.minimum(windows.min(axis=1), 0.0), np.maximum(windows.max(axis=1), 0.0)


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
