"""The road along a route with all its lanes, as everybody near the ego vehicle drives on it.

Here belong lanes, wanted speeds and stop lines in coordinates along the route. Who drives there is in `road_users.py`.

Places are (s, d): metres along the route's line and to its left. Lanes in the route's direction have the relative
number r (0: the route's own lane, 1: the one to its left); oncoming lanes count k from the middle of the road.
Progress p is s for the route's direction and -s for oncoming traffic, so that everybody moves towards larger p.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from services.fleet_simulator.traffic.car_following import speed_profile
from services.fleet_simulator.traffic.lights import axis_of
from services.fleet_simulator.world.road_network import Edge, RoadNetwork
from services.fleet_simulator.world.routes import SPACING_M, Route, usual_lane

RELATIVE_LANES: Final = 3
"""Lanes to each side of the route's own that are kept."""
ONCOMING: Final = 100
"""Key of the first oncoming lane; lanes of the route's direction have `RELATIVE_LANES + r`."""
LANE_KEYS: Final = 2 * RELATIVE_LANES + 1
_NARROW: Final = 0.62
"""Share of a bend's radius that a lane may lie inside of the route's line; closer in it is no lane."""
_TIGHT_1PM: Final = 0.025
"""Curvature from which on a vehicle of 12 m sweeps more than its lane."""
_SMOOTH_M: Final = 24.0
_CLEAR_M: Final = 12.0
"""A lane counts as gone this far before and behind a place where it is missing."""


@dataclass(frozen=True)
class StopLines:
    """Stop lines in one direction, ordered by progress; arrays of m.

    Attributes:
        line_m: float64, progress of the line.
        past_m: float64, progress at which the conflict is left behind.
        node_id: int64.
        edge_id: int64, edge of the approach in the route's direction; 0 for oncoming lines.
        kind: Control of each.
        axis: int64, signal group.
        phase_s: int64.
        route_stop: int64, index in `Route.stops`.
    """

    line_m: NDArray[np.float64]
    past_m: NDArray[np.float64]
    node_id: NDArray[np.int64]
    edge_id: NDArray[np.int64]
    kind: tuple[str, ...]
    axis: NDArray[np.int64]
    phase_s: NDArray[np.int64]
    route_stop: NDArray[np.int64]


@dataclass(frozen=True)
class Corridor:
    """A route with its lanes; arrays are indexed by `index(s)` unless stated.

    Attributes:
        route: The route.
        width_m: float64[n], lane width.
        middle_m: float64[n], distance from the line to the middle of the road, to the left; two-way roads.
        lowest: int64[n], rightmost relative lane.
        highest: int64[n], leftmost one in the route's direction.
        oncoming: int64[n], oncoming lanes.
        lane_end_m: float64[LANE_KEYS, n], progress at which the lane of a key ends, -inf where there is none.
        oncoming_end_m: float64[RELATIVE_LANES, n], the same for oncoming lanes, in their own progress.
        wanted_mps: float64[n], speed of a driver who keeps the limit, in the route's direction.
        oncoming_mps: float64[n], the same for oncoming traffic.
        bend_ahead_m: float64[n], s of the next tight bend, inf for none.
        bend_behind_m: float64[n], s of the last one, -inf for none.
        class_index: int64[n], into `classes`.
        classes: Road classes.
        ahead: Stop lines in the route's direction.
        against: Stop lines of oncoming traffic.
    """

    route: Route
    width_m: NDArray[np.float64]
    middle_m: NDArray[np.float64]
    lowest: NDArray[np.int64]
    highest: NDArray[np.int64]
    oncoming: NDArray[np.int64]
    lane_end_m: NDArray[np.float64]
    oncoming_end_m: NDArray[np.float64]
    wanted_mps: NDArray[np.float64]
    oncoming_mps: NDArray[np.float64]
    bend_ahead_m: NDArray[np.float64]
    bend_behind_m: NDArray[np.float64]
    class_index: NDArray[np.int64]
    classes: tuple[str, ...]
    ahead: StopLines
    against: StopLines

    @cached_property
    def lanes_m(self) -> NDArray[np.float64]:
        """float64[n, 2], `width_m` and `middle_m` side by side: one look-up instead of two."""
        return np.stack([self.width_m, self.middle_m], axis=1)

    @cached_property
    def line(self) -> NDArray[np.float64]:
        """float64[n, 3], east, north and direction of the route's line."""
        return np.stack([self.route.east_m, self.route.north_m, self.route.yaw_rad], axis=1)

    def index(self, s_m: NDArray[np.float64]) -> NDArray[np.int64]:
        """Row of the arrays for places along the route; outside the nearest."""
        inside = np.minimum(np.maximum(s_m, 0.0), self.route.s_m[-1])
        rows: NDArray[np.int64] = (inside / SPACING_M).astype(np.int64)
        return rows

    def edges_m(self, row: int) -> tuple[float, float]:
        """Right and left edge of the carriageway at a row, metres left of the line."""
        width = float(self.width_m[row])
        left = (
            float(self.middle_m[row]) + float(self.oncoming[row]) * width
            if self.oncoming[row]
            else (float(self.highest[row]) + 0.5) * width
        )
        return (float(self.lowest[row]) - 0.5) * width, left


def lane_centre_m(
    corridor: Corridor, rows: NDArray[np.int64], keys: NDArray[np.int64], within: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Middle of lanes, metres left of the route's line.

    Args:
        corridor: The corridor.
        rows: int64[n], rows of the places.
        keys: int64[n], keys of the lanes.
        within: float64[n], share of the way to the next row.
    """
    after = np.minimum(rows + 1, len(corridor.width_m) - 1)
    here = corridor.lanes_m[rows]
    width, middle = (here + (corridor.lanes_m[after] - here) * within[:, None]).T
    centre: NDArray[np.float64] = np.where(
        keys >= ONCOMING, middle + (keys - ONCOMING + 0.5) * width, (keys - RELATIVE_LANES) * width
    )
    return centre


def build_corridor(network: RoadNetwork, route: Route, traffic: Mapping[str, Any]) -> Corridor:
    """Lay out the lanes beside a route.

    Args:
        network: The network.
        route: A route through it.
        traffic: Key `traffic` of the policy.
    """
    numbers, where = np.unique(route.edge_id, return_inverse=True)
    edges = [network.edges[int(number)] for number in numbers]
    lanes = np.array([edge.lanes for edge in edges])[where]
    usual = np.array([usual_lane(edge) for edge in edges])[where]
    two_way = np.array([not edge.one_way for edge in edges])[where]
    width = np.array([edge.lane_width_m for edge in edges])[where]
    classes = tuple(sorted({edge.road_class for edge in edges}))
    highest = np.minimum(usual, RELATIVE_LANES)
    lowest = np.maximum(usual - lanes + 1, -RELATIVE_LANES)
    oncoming = np.where(two_way, np.minimum(lanes, RELATIVE_LANES), 0)
    middle = _smooth((usual + 0.5) * width)
    width = _smooth(width)
    reverse_bend = route.curvature_1pm / np.maximum(1.0 - route.curvature_1pm * (middle + width / 2.0), 1.0 - _NARROW)
    lateral, braking = traffic["lateral_acceleration_mps2"], traffic["idm"]["deceleration_mps2"]
    tight = np.abs(route.curvature_1pm) > _TIGHT_1PM
    back = speed_profile(_Reversed(route.limit_mps[::-1], reverse_bend[::-1]), 1.0, lateral, braking)[::-1]
    return Corridor(
        route=route,
        width_m=width,
        middle_m=middle,
        lowest=lowest,
        highest=highest,
        oncoming=oncoming,
        lane_end_m=_lane_ends(route, lowest, highest, width),
        oncoming_end_m=_oncoming_ends(route, oncoming, middle, width),
        wanted_mps=speed_profile(route, 1.0, lateral, braking),
        oncoming_mps=np.ascontiguousarray(back),
        bend_ahead_m=np.minimum.accumulate(np.where(tight, route.s_m, np.inf)[::-1])[::-1],
        bend_behind_m=np.maximum.accumulate(np.where(tight, route.s_m, -np.inf)),
        class_index=np.array([classes.index(edge.road_class) for edge in edges])[where],
        classes=classes,
        ahead=_lines(network, route, ahead=True),
        against=_lines(network, route, ahead=False),
    )


@dataclass(frozen=True, slots=True)
class _Reversed:
    limit_mps: NDArray[np.float64]
    curvature_1pm: NDArray[np.float64]


def _smooth(values: NDArray[np.float64]) -> NDArray[np.float64]:
    width = 2 * round(_SMOOTH_M / 2.0 / SPACING_M) + 1
    total = np.cumsum(np.pad(values, (width // 2 + 1, width // 2), mode="edge"))
    mean: NDArray[np.float64] = (total[width:] - total[:-width]) / width
    return mean


def _ends(there: NDArray[np.bool_], progress: NDArray[np.float64]) -> NDArray[np.float64]:
    """For each row the progress of the first row ahead where the lane is missing; -inf where it is itself missing."""
    reach = round(_CLEAR_M / SPACING_M)
    missing = np.cumsum(np.pad(~there, (reach + 1, reach), constant_values=False))
    gone = (missing[2 * reach + 1 :] - missing[: -2 * reach - 1]) > 0
    place = np.where(gone, progress, np.inf)
    ends = np.minimum.accumulate(place[::-1])[::-1]
    return np.where(gone, -np.inf, ends)


def _lane_ends(
    route: Route, lowest: NDArray[np.int64], highest: NDArray[np.int64], width: NDArray[np.float64]
) -> NDArray[np.float64]:
    ends = np.full((LANE_KEYS, len(route.s_m)), -np.inf)
    for relative in range(-RELATIVE_LANES, RELATIVE_LANES + 1):
        wide = route.curvature_1pm * relative * width < _NARROW
        there = (relative >= lowest) & (relative <= highest) & wide
        ends[relative + RELATIVE_LANES] = np.full(len(route.s_m), np.inf) if relative == 0 else _ends(there, route.s_m)
    return ends


def _oncoming_ends(
    route: Route, oncoming: NDArray[np.int64], middle: NDArray[np.float64], width: NDArray[np.float64]
) -> NDArray[np.float64]:
    ends = np.full((RELATIVE_LANES, len(route.s_m)), -np.inf)
    for number in range(RELATIVE_LANES):
        there = (number < oncoming) & (route.curvature_1pm * (middle + (number + 0.5) * width) < _NARROW)
        ends[number] = _ends(there[::-1], -route.s_m[::-1])[::-1]
    return ends


def _rank(edge: Edge) -> tuple[int, int]:
    return edge.lanes, edge.speed_limit_kmh


def _lines(network: RoadNetwork, route: Route, *, ahead: bool) -> StopLines:
    """Lights and crossings bind everybody; stop signs those who come along a lesser road than another one there."""
    meeting: dict[int, list[Edge]] = {}
    wanted = {stop.node_id for stop in route.stops}
    for edge in network.edges.values():
        for node in (edge.start, edge.end):
            if node in wanted:
                meeting.setdefault(node, []).append(edge)
    rows: list[tuple[float, float, int, int, str, int, int, int]] = []
    for number, stop in enumerate(route.stops):
        # Oncoming traffic meets the places the other way around.
        line, past = (stop.s_m, stop.past_m) if ahead else (-stop.past_m, -stop.s_m)
        row = min(int(abs(line) / SPACING_M), len(route.s_m) - 1)
        own = network.edges[int(route.edge_id[row])]
        ranks = [_rank(edge) for edge in meeting[stop.node_id]]
        if stop.control == "stop" and _rank(own) == max(ranks) and min(ranks) < max(ranks):
            continue
        axis = axis_of(float(route.yaw_rad[row]))
        phase = network.nodes[stop.node_id].phase_s
        rows.append((line, past, stop.node_id, stop.edge_id if ahead else 0, stop.control, axis, phase, number))
    return _columns(sorted(rows))


def _columns(rows: Sequence[tuple[float, float, int, int, str, int, int, int]]) -> StopLines:
    return StopLines(
        line_m=np.array([row[0] for row in rows], dtype=np.float64),
        past_m=np.array([row[1] for row in rows], dtype=np.float64),
        node_id=np.array([row[2] for row in rows], dtype=np.int64),
        edge_id=np.array([row[3] for row in rows], dtype=np.int64),
        kind=tuple(row[4] for row in rows),
        axis=np.array([row[5] for row in rows], dtype=np.int64),
        phase_s=np.array([row[6] for row in rows], dtype=np.int64),
        route_stop=np.array([row[7] for row in rows], dtype=np.int64),
    )
