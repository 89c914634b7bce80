"""Ways through a road network: which edges, and the line that a vehicle's centre follows in its lane.

Here belong path search and the geometry of lanes. How fast somebody drives along the line belongs to the traffic.
"""

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from services.fleet_simulator.world.road_network import MM_PER_M, Edge, RoadNetwork

SPACING_M: Final = 0.5
"""Distance between the points of a route's line."""
_FAR: Final = "motorway"
KMH_PER_MPS: Final = 3.6
_STREAM: Final = 102
_TURN_RADIUS_M: Final = {"right": 9.0, "left": 12.0}
"""Radius that a car's middle follows at a corner: kerb radius of RASt 06 plus half a lane; wider across the road."""
_CURVE_RADIUS_M: Final = 80.0
"""Radius where the road merely bends at a node."""
_TURN_M: Final = (4.0, 40.0)
"""Least and greatest distance from the corner of the two lines to where a turn begins."""
_LANE_SHIFT_CURVATURE_1PM: Final = 0.012
"""Sharpest curvature where a lane goes on beside itself: 2 m/s2 at 47 km/h."""
_STRAIGHT_RAD: Final = 0.02
_CORNER_RAD: Final = 0.35
_TURN_BACK_RAD: Final = 2.4
_MOST_MISSES: Final = 20
_TURN_BACK_S: Final = 300.0
_TURN_POINTS: Final = 24
_STOP_LINE_M: Final = {"crossing": 4.0}
"""Distance of the stop line before its node by control; at junctions it keeps the crossing road and its kerbs clear."""
_JUNCTION_LINE_M: Final = 10.0

Step = tuple[int, bool]
"""An edge and whether it is driven from its start to its end."""


class NoRouteError(Exception):
    """A network in which a place cannot be reached from another."""


@dataclass(frozen=True, slots=True)
class Stop:
    """A place where the line meets a light, a stop sign or a crossing.

    Attributes:
        s_m: Distance of the stop line along the route.
        past_m: Distance along the route at which the junction or crossing is left behind.
        node_id: The node that stands there.
        control: Its control.
        edge_id: Edge that the route comes along.
    """

    s_m: float
    past_m: float
    node_id: int
    control: str
    edge_id: int


@dataclass(frozen=True)
class Route:
    """A line through the network, all arrays float64[n] unless stated.

    Attributes:
        s_m: Distance from the start, every `SPACING_M`.
        east_m: East of the network's origin.
        north_m: North of it.
        yaw_rad: Direction, counter-clockwise from east, without jumps.
        curvature_1pm: Change of direction per metre, left positive.
        limit_mps: Speed limit.
        edge_id: int64[n], edge that the point belongs to.
        edge_offset_m: Distance along that edge's centre line from its start.
        lane: int64[n], lane counted from the middle of the road.
        stops: Lights, stop signs and crossings in order.
        steps: Edges in order.
    """

    s_m: NDArray[np.float64]
    east_m: NDArray[np.float64]
    north_m: NDArray[np.float64]
    yaw_rad: NDArray[np.float64]
    curvature_1pm: NDArray[np.float64]
    limit_mps: NDArray[np.float64]
    edge_id: NDArray[np.int64]
    edge_offset_m: NDArray[np.float64]
    lane: NDArray[np.int64]
    stops: tuple[Stop, ...]
    steps: tuple[Step, ...]

    @property
    def length_m(self) -> float:
        """Length of the line."""
        return float(self.s_m[-1])


def _far_end(edge: Edge, forward: bool) -> int:
    return edge.end if forward else edge.start


def _turns_back(network: RoadNetwork, last: Step, step: Step) -> bool:
    """Whether a step leads almost where the one before it came from, e.g. from a slip road into the one beside it."""
    before, after = (network.edges[one[0]].points_m[:: 1 if one[1] else -1] for one in (last, step))
    return abs(_angle(_direction(before, last=True), _direction(after, last=False))) > _TURN_BACK_RAD


def shortest_steps(network: RoadNetwork, start: int, goal: int, came_by: Step | None = None) -> tuple[Step, ...]:
    """Quickest way at the speed limits (Dijkstra over edges, so that nobody turns around on the spot).

    Args:
        network: The network.
        start: Node to begin at.
        goal: Node to reach.
        came_by: Last step before the start; it is not driven back.

    Raises:
        NoRouteError: When there is no way.
    """
    queue: list[tuple[float, int, Step | None, tuple[Step, ...]]] = [(0.0, start, came_by, ())]
    done: set[tuple[int, Step | None]] = set()
    while queue:
        cost, node, last, steps = heapq.heappop(queue)
        if node == goal:
            return steps
        if (node, last) in done:
            continue
        done.add((node, last))
        for step in network.leaving(node):
            edge = network.edges[step[0]]
            if last is not None and step[0] == last[0]:
                continue
            seconds = edge.length_m / (edge.speed_limit_kmh / KMH_PER_MPS)
            if last is not None and _turns_back(network, last, step):
                seconds += _TURN_BACK_S
            heapq.heappush(queue, (cost + seconds, _far_end(edge, step[1]), step, (*steps, step)))
    raise NoRouteError(f"node {goal} cannot be reached from node {start}. Check one-way edges of the network")


def plan_steps(
    network: RoadNetwork, start: int, seed: int, min_length_m: float, motorway_share: float = 0.0
) -> tuple[Step, ...]:
    """Drive from a node to one place after another until the way is long enough.

    Args:
        network: The network.
        start: Node to begin at, e.g. a depot's gate.
        seed: Draws the places.
        min_length_m: Length wanted.
        motorway_share: Share of the places that are on a motorway, where there is one.

    Raises:
        NoRouteError: When place after place cannot be reached.
    """
    rng = np.random.default_rng([seed, _STREAM])
    places = sorted(node.node_id for node in network.nodes.values() if len(network.leaving(node.node_id)) > 1)
    ways = {place: [network.edges[edge_id].road_class for edge_id, _ in network.leaving(place)] for place in places}
    far = [place for place in places if _FAR in ways[place]]
    steps: tuple[Step, ...] = ()
    at, length, misses = start, 0.0, 0
    while length < min_length_m:
        drawn = far if far and rng.random() < motorway_share else places
        goal = int(drawn[int(rng.integers(len(drawn)))])
        if goal == at:
            continue
        try:
            leg = shortest_steps(network, at, goal, steps[-1] if steps else None)
        except NoRouteError:
            misses += 1
            if misses > _MOST_MISSES:
                raise
            continue
        steps, at = steps + leg, goal
        length += sum(network.edges[edge_id].length_m for edge_id, _ in leg)
    return steps


def usual_lane(edge: Edge) -> int:
    """The lane that traffic keeps to when it need not overtake: the right one, on motorways the one beside it."""
    return max(0, edge.lanes - (2 if edge.lanes > 2 else 1))  # noqa: PLR2004 - with three lanes, the middle one


def lane_line(edge: Edge, forward: bool, lane: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Middle of a lane in the direction of travel; traffic keeps to the right.

    Args:
        edge: The edge.
        forward: Whether it is driven from its start to its end.
        lane: Lane, counted from the middle of the road (of a one-way edge: from its left).

    Returns:
        Points float64[n, 2] and the distance of each along the edge's own centre line, float64[n].
    """
    points = edge.points_m if forward else edge.points_m[::-1]
    along = edge.arc_m if forward else edge.arc_m[::-1]
    directions = np.diff(points, axis=0)
    directions /= np.hypot(*directions.T)[:, None]
    tangents = np.vstack([directions[:1], directions[:-1] + directions[1:], directions[-1:]])
    tangents /= np.hypot(*tangents.T)[:, None]
    to_right = lane + 0.5 if not edge.one_way else lane - (edge.lanes - 1) / 2.0
    right = np.stack([tangents[:, 1], -tangents[:, 0]], axis=1)
    return points + to_right * edge.lane_width_m * right, along


@dataclass(frozen=True, slots=True)
class _Piece:
    """A stretch of the line before it is resampled: points, their place on which edge, what ends it, what was cut."""

    points: NDArray[np.float64]
    edge: Edge
    along_m: NDArray[np.float64]
    lane: int
    stop: tuple[int, str] | None = None
    head_m: float = 0.0
    tail_m: float = 0.0


def _cut(
    points: NDArray[np.float64], along: NDArray[np.float64], head_m: float, tail_m: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Leave out the first and last metres of a line."""
    arc = np.concatenate(([0.0], np.cumsum(np.hypot(*np.diff(points, axis=0).T))))
    low, high = min(head_m, 0.45 * arc[-1]), arc[-1] - min(tail_m, 0.45 * arc[-1])
    at = np.unique(np.concatenate(([low], arc[(arc > low) & (arc < high)], [high])))
    kept = np.stack([np.interp(at, arc, points[:, axis]) for axis in range(2)], axis=1)
    return kept, np.interp(at, arc, along)


def _direction(points: NDArray[np.float64], last: bool) -> NDArray[np.float64]:
    step = points[-1] - points[-2] if last else points[1] - points[0]
    unit: NDArray[np.float64] = step / np.hypot(*step)
    return unit


def _turn(before: NDArray[np.float64], after: NDArray[np.float64]) -> NDArray[np.float64]:
    """A smooth line from the end of one piece to the begin of the next (cubic Bézier along both directions)."""
    start, end = before[-1], after[0]
    leave, arrive = _direction(before, last=True), _direction(after, last=False)
    angle = abs(_angle(leave, arrive))
    # Handles of the cubic that comes nearest to a circular arc; for a mere shift, of one that begins and ends straight.
    share_of_chord = (4.0 / 3.0) * np.tan(angle / 4.0) / (2.0 * np.sin(angle / 2.0)) if angle > _CORNER_RAD else 0.42
    reach = share_of_chord * np.hypot(*(end - start))
    controls = (start + reach * leave, end - reach * arrive)
    share = np.linspace(0.0, 1.0, _TURN_POINTS)[:, None]
    inverse = 1.0 - share
    line: NDArray[np.float64] = (
        inverse**3 * start
        + 3 * inverse**2 * share * controls[0]
        + 3 * inverse * share**2 * controls[1]
        + share**3 * end
    )
    return line


def _angle(one: NDArray[np.float64], two: NDArray[np.float64]) -> float:
    return float(np.arctan2(one[0] * two[1] - one[1] * two[0], one @ two))


def _trims(before: NDArray[np.float64], after: NDArray[np.float64]) -> tuple[float, float]:
    """Metres to leave out at the end of a line and at the begin of the next, so that a turn fits between."""
    leave, arrive = _direction(before, last=True), _direction(after, last=False)
    angle, gap = _angle(leave, arrive), after[0] - before[-1]
    if abs(angle) < _CORNER_RAD:
        shift = abs(float(leave[0] * gap[1] - leave[1] * gap[0]))
        room = np.sqrt(6.0 * shift / _LANE_SHIFT_CURVATURE_1PM) / 2.0
        trim = max(0.5, float(room) if shift > 0.1 else 0.0)  # noqa: PLR2004 - below a decimetre nobody steers
        if abs(angle) > _STRAIGHT_RAD:
            trim = max(trim, min(_TURN_M[1], _CURVE_RADIUS_M * abs(np.tan(angle / 2.0))))
        return trim, trim
    # Where the two lines, made longer, meet: before[-1] + a leave = after[0] - b arrive.
    determinant = leave[0] * arrive[1] - leave[1] * arrive[0]
    a = (gap[0] * arrive[1] - gap[1] * arrive[0]) / determinant
    b = (leave[0] * gap[1] - leave[1] * gap[0]) / determinant
    tangent = np.tan(min(abs(angle), 2.6) / 2.0)
    length = float(np.clip(_TURN_RADIUS_M["left" if angle > 0.0 else "right"] * tangent, *_TURN_M))
    return max(0.5, length - float(a)), max(0.5, length - float(b))


def _pieces(network: RoadNetwork, steps: Sequence[Step]) -> Iterator[_Piece]:
    lines = []
    for edge_id, forward in steps:
        edge = network.edges[edge_id]
        lines.append((edge, forward, usual_lane(edge), *lane_line(edge, forward, usual_lane(edge))))
    trims = [_trims(one[3], two[3]) for one, two in zip(lines, lines[1:], strict=False)]
    previous: _Piece | None = None
    for index, (edge, forward, lane, points, along) in enumerate(lines):
        head = trims[index - 1][1] if index else 0.0
        tail = trims[index][0] if index < len(trims) else 0.0
        kept, where = _cut(points, along, head, tail)
        node = network.nodes[_far_end(edge, forward)]
        stop = (node.node_id, node.control) if node.control != "none" else None
        if previous is not None:
            bend = _turn(previous.points, kept)
            yield _Piece(bend, edge, np.full(len(bend), where[0]), lane)
        previous = _Piece(kept, edge, where, lane, stop, head, tail)
        yield previous


def _stops(pieces: Sequence[_Piece], ends: NDArray[np.float64]) -> tuple[Stop, ...]:
    """Stop lines; pieces alternate between edges and the turns that join them."""
    found = []
    for index, piece in enumerate(pieces[:-2]):
        if piece.stop is not None:
            reach = _STOP_LINE_M.get(piece.stop[1], _JUNCTION_LINE_M)
            line = float(ends[index]) - max(0.0, reach - piece.tail_m)
            past = float(ends[index + 1]) + max(0.0, reach - pieces[index + 2].head_m)
            found.append(Stop(line, past, *piece.stop, piece.edge.edge_id))
    return tuple(found)


def _limits(edge: Edge, along_m: NDArray[np.float64]) -> NDArray[np.float64]:
    limit = np.full(len(along_m), edge.speed_limit_kmh / KMH_PER_MPS)
    zone = edge.work_zone
    if zone is not None:
        limit[(along_m >= zone.first_m) & (along_m <= zone.last_m)] = zone.speed_limit_kmh / KMH_PER_MPS
    return limit


def make_route(network: RoadNetwork, steps: Sequence[Step]) -> Route:
    """Lay a line through the usual lanes of some edges.

    Args:
        network: The network.
        steps: Edges in order, each beginning where the one before ends.
    """
    pieces = list(_pieces(network, steps))
    lengths = np.array([np.hypot(*np.diff(piece.points, axis=0).T).sum() for piece in pieces])
    ends = np.cumsum(lengths)
    s = np.arange(0.0, ends[-1], SPACING_M)
    place = np.searchsorted(ends, s, side="right")
    east, north, offset_m = np.empty(len(s)), np.empty(len(s)), np.empty(len(s))
    for number, piece in enumerate(pieces):
        own = place == number
        arc = np.concatenate(([0.0], np.cumsum(np.hypot(*np.diff(piece.points, axis=0).T))))
        within = s[own] - (ends[number] - lengths[number])
        east[own], north[own] = (np.interp(within, arc, piece.points[:, axis]) for axis in range(2))
        offset_m[own] = np.interp(within, arc, piece.along_m)
    edge_id = np.array([piece.edge.edge_id for piece in pieces])[place]
    yaw = np.unwrap(np.arctan2(np.gradient(north, s), np.gradient(east, s)))
    yaw = _smooth(yaw)
    limit = np.empty(len(s))
    for number in np.unique(edge_id):
        own = edge_id == number
        limit[own] = _limits(network.edges[int(number)], offset_m[own])
    return Route(
        s_m=s,
        east_m=east,
        north_m=north,
        yaw_rad=yaw,
        curvature_1pm=np.gradient(yaw, s),
        limit_mps=limit,
        edge_id=edge_id,
        edge_offset_m=offset_m,
        lane=np.array([piece.lane for piece in pieces])[place],
        stops=_stops(pieces, ends),
        steps=tuple(steps),
    )


def _smooth(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean over about 4 m, so that corners of a drawn line are no steps of the curvature."""
    width = 2 * round(2.0 / SPACING_M) + 1
    padded = np.pad(values, width // 2, mode="edge")
    smoothed: NDArray[np.float64] = np.convolve(padded, np.full(width, 1.0 / width), mode="valid")
    return smoothed


def to_mm(metres: NDArray[np.float64]) -> NDArray[np.int64]:
    """Whole millimetres."""
    whole: NDArray[np.int64] = np.rint(metres * MM_PER_M).astype(np.int64)
    return whole
