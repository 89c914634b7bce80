"""A town made from a seed: streets in a bent grid, arterials with lights, a motorway beside it, two depots.

Here belongs the layout. What a network consists of is in `road_network.py`; all numbers come from the policy.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fleet_assets.geo.local_frame import LocalFrame
from services.fleet_simulator.world.osm_xml import on_osm_grid
from services.fleet_simulator.world.road_network import MM_PER_M, Depot, Edge, Node, RoadNetwork, WorkZone

_STREAM: Final = 101
"""Number of this module's random stream; other modules draw from others."""
_CURVE_POINTS: Final = 9
_RAMP_POINTS: Final = 24
_SHORT_M: Final = 50.0
_RAMP_HANDLE: Final = 0.45
_LOOP_POINTS: Final = 33
_LOOP_RADIUS_M: Final = 45.0
_LOOP_DISTANCE_M: Final = 150.0
_NAMES: Final = (
    "Oak",
    "Mill",
    "Church",
    "Station",
    "Harbour",
    "Bridge",
    "Market",
    "Garden",
    "School",
    "Forest",
    "Lake",
)


class _Builder:
    """Collects nodes and edges; every draw comes from one stream in a fixed order."""

    def __init__(self, seed: int, policy: Mapping[str, Any]) -> None:
        self.rng = np.random.default_rng([seed, _STREAM])
        self.policy = policy
        self.nodes: dict[int, Node] = {}
        self.edges: dict[int, Edge] = {}

    def node(self, east_m: float, north_m: float, control: str = "none") -> int:
        number = len(self.nodes) + 1
        phase = int(self.rng.integers(0, self.policy["lights"]["cycle_s"])) if control == "traffic_light" else 0
        self.nodes[number] = Node(number, round(east_m * MM_PER_M), round(north_m * MM_PER_M), control, phase)
        return number

    def place(self, node_id: int) -> NDArray[np.float64]:
        node = self.nodes[node_id]
        return np.array([node.east_mm, node.north_mm]) / MM_PER_M

    def edge(
        self, start: int, end: int, road_class: str, name: str, *, bend_m: float = 0.0, one_way: bool = False
    ) -> int:
        """Add a carriageway that bows to its left by `bend_m` in the middle."""
        first, last = self.place(start), self.place(end)
        share = np.linspace(0.0, 1.0, _CURVE_POINTS if bend_m else 2)[:, None]
        along = last - first
        left = np.array([-along[1], along[0]]) / np.hypot(*along)
        points = first + share * along + 4.0 * share * (1.0 - share) * bend_m * left
        return self.polyline(start, end, road_class, name, points, one_way=one_way)

    def polyline(
        self, start: int, end: int, road_class: str, name: str, points: NDArray[np.float64], *, one_way: bool = False
    ) -> int:
        road = self.policy["roads"][road_class]
        number = len(self.edges) + 1
        self.edges[number] = Edge(
            edge_id=number,
            start=start,
            end=end,
            points_mm=np.rint(points * MM_PER_M).astype(np.int64),
            road_class=road_class,
            lanes=road["lanes"],
            speed_limit_kmh=road["speed_limit_kmh"],
            one_way=one_way,
            name=name,
            lane_width_m=road["lane_width_m"],
        )
        return number


def _grid(build: _Builder) -> dict[tuple[int, int], int]:
    """Junctions of the street grid by (row, column)."""
    streets, every = build.policy["streets"], build.policy["arterial_every"]
    low, high = streets["spacing_m"]
    norths = np.cumsum(build.rng.uniform(low, high, streets["rows"]))
    easts = np.cumsum(build.rng.uniform(low, high, streets["columns"]))
    norths, easts = norths - norths.mean(), easts - easts.mean()
    jitter = build.rng.uniform(-streets["jitter_m"], streets["jitter_m"], (streets["rows"], streets["columns"], 2))
    return {
        (row, column): build.node(
            easts[column] + jitter[row, column, 0],
            norths[row] + jitter[row, column, 1],
            _control(row, column, every),
        )
        for row in range(streets["rows"])
        for column in range(streets["columns"])
    }


def _control(row: int, column: int, every: int) -> str:
    arterials = (row % every == 0) + (column % every == 0)
    return ("none", "stop", "traffic_light")[arterials]


def _streets(build: _Builder, grid: Mapping[tuple[int, int], int]) -> None:
    streets, every = build.policy["streets"], build.policy["arterial_every"]
    for (row, column), start in grid.items():
        for down, right in ((0, 1), (1, 0)):
            end = grid.get((row + down, column + right))
            if end is None:
                continue
            line = row if right else column
            arterial = line % every == 0
            drop, bend = build.rng.random(), build.rng.uniform(-streets["bend_m"], streets["bend_m"])
            # Arterials and the outer ring stay whole, so that every junction can be reached.
            last = (streets["rows"] if right else streets["columns"]) - 1
            if not arterial and line != last and drop < streets["missing_share"]:
                continue
            name = f"{_NAMES[(line + 4 * right) % len(_NAMES)]} {'Avenue' if right else 'Street'}"
            _street(build, (start, end), "primary" if arterial else "residential", name, bend)


def _street(build: _Builder, ends: tuple[int, int], road_class: str, name: str, bend_m: float) -> None:
    """One block, cut in two by a crossing where one is drawn."""
    start, end = ends
    if build.rng.random() >= build.policy["crossing_share"]:
        build.edge(start, end, road_class, name, bend_m=bend_m)
        return
    east, north = (build.place(start) + build.place(end)) / 2.0
    crossing = build.node(float(east), float(north), control="crossing")
    build.edge(start, crossing, road_class, name, bend_m=bend_m / 4.0)
    build.edge(crossing, end, road_class, name, bend_m=bend_m / 4.0)


def _motorway(build: _Builder, grid: Mapping[tuple[int, int], int]) -> None:
    """Two carriageways north of the town; each arterial column that reaches the edge has an interchange."""
    motorway, every = build.policy["motorway"], build.policy["arterial_every"]
    last_row = max(row for row, _ in grid)
    columns = sorted({column for _, column in grid})
    tops = [grid[last_row, column] for column in columns if column % every == 0]
    places = [build.place(node) for node in tops]
    north = max(place[1] for place in places) + motorway["distance_m"]
    easts = [place[0] for place in places]
    length = (easts[0] - motorway["overhang_m"], easts[-1] + motorway["overhang_m"])
    east = _carriageway(build, tops, easts, north, length, eastbound=True)
    west = _carriageway(build, tops, easts, north, length, eastbound=False)
    for start, end, side in ((east[1], west[0], "East"), (west[1], east[0], "West")):
        points = _loop(build.place(start), build.place(end))
        build.polyline(start, end, "motorway_link", f"{side} Turn", points, one_way=True)


def _loop(start: NDArray[np.float64], end: NDArray[np.float64]) -> NDArray[np.float64]:
    """A teardrop in which traffic turns left from one carriageway into the other."""
    half = (end - start) / 2.0
    apart = float(np.hypot(*half))
    left, ahead = half / apart, np.array([half[1], -half[0]]) / apart
    # Tangents from both ends touch a circle around a point ahead of the middle.
    middle = start + half + _LOOP_DISTANCE_M * ahead
    lean = np.arcsin(_LOOP_RADIUS_M / np.hypot(_LOOP_DISTANCE_M, apart)) - np.arctan2(apart, _LOOP_DISTANCE_M)
    angles = np.linspace(-np.pi / 2.0 - lean, np.pi / 2.0 + lean, _LOOP_POINTS)[:, None]
    circle = middle + _LOOP_RADIUS_M * (np.cos(angles) * ahead + np.sin(angles) * left)
    points: NDArray[np.float64] = np.vstack([start[None], circle, end[None]])
    return points


def _carriageway(
    build: _Builder, tops: list[int], easts: list[float], north: float, ends: tuple[float, float], *, eastbound: bool
) -> tuple[int, int]:
    """One direction: exit before each interchange, entry behind it; its first and last node. Traffic keeps right."""
    motorway = build.policy["motorway"]
    ramp, sign = motorway["ramp_m"], 1.0 if eastbound else -1.0
    offset = north - sign * motorway["median_m"] / 2.0

    def bow(east: float) -> float:
        share = (east - ends[0]) / (ends[1] - ends[0])
        return float(offset + motorway["bend_m"] * np.sin(2.0 * np.pi * share))

    def heading(east: float) -> NDArray[np.float64]:
        unit = np.array([1.0, bow(east + 0.5) - bow(east - 0.5)])
        return np.asarray(unit / np.hypot(*unit))

    stops = [(ends[0], None), *((east + way * ramp, index) for index, east in enumerate(easts) for way in (-1.0, 1.0))]
    ordered = sorted([*stops, (ends[1], None)], key=lambda stop: sign * stop[0])
    name = f"Ring {'East' if eastbound else 'West'}"
    previous: tuple[int, float] | None = None
    seen: set[int] = set()
    nodes: list[int] = []
    for east, index in ordered:
        node = build.node(east, bow(east))
        nodes.append(node)
        if previous is not None:
            share = np.linspace(previous[1], east, 12 if abs(east - previous[1]) > _SHORT_M else 2)
            points = np.stack([share, [bow(value) for value in share]], axis=1)
            build.polyline(previous[0], node, "motorway", name, points, one_way=True)
        if index is not None and index not in seen:
            seen.add(index)
            _ramp(build, (node, tops[index]), sign * heading(east), f"Exit {index + 1}")
        elif index is not None:
            _ramp(build, (tops[index], node), sign * heading(east), f"Entry {index + 1}")
        previous = (node, east)
    return nodes[0], nodes[-1]


def _ramp(build: _Builder, ends: tuple[int, int], along: NDArray[np.float64], name: str) -> None:
    """A slip road: it leaves or joins the motorway along it and meets the town's street square to it."""
    start, end = build.place(ends[0]), build.place(ends[1])
    exits = start[1] > end[1]
    reach = _RAMP_HANDLE * float(np.hypot(*(end - start)))
    north = np.array([0.0, reach])
    first = start + reach * along if exits else start + north
    second = end + north if exits else end - reach * along
    share = np.linspace(0.0, 1.0, _RAMP_POINTS)[:, None]
    inverse = 1.0 - share
    points = inverse**3 * start + 3 * inverse**2 * share * first + 3 * inverse * share**2 * second + share**3 * end
    build.polyline(*ends, "motorway_link", name, points, one_way=True)


def _work_zones(build: _Builder) -> None:
    zones = build.policy["work_zones"]
    low, high = zones["length_m"]
    long_enough = [edge.edge_id for edge in build.edges.values() if edge.length_m > 2.0 * high]
    chosen = build.rng.choice(long_enough, size=min(zones["count"], len(long_enough)), replace=False)
    for edge_id in sorted(int(number) for number in chosen):
        edge = build.edges[edge_id]
        length = float(np.round(build.rng.uniform(low, high), 1))
        first = float(np.round(build.rng.uniform(high / 4.0, edge.length_m - length - high / 4.0), 1))
        zone = WorkZone(first, round(first + length, 1), min(zones["speed_limit_kmh"], edge.speed_limit_kmh))
        build.edges[edge_id] = replace(edge, work_zone=zone)


def _depots(build: _Builder, grid: Mapping[tuple[int, int], int]) -> tuple[Depot, ...]:
    """A gate at the end of a short service road, at opposite corners of the town."""
    corners = (min(grid), max(grid))
    found = []
    for name, corner in zip(build.policy["depots"], corners, strict=True):
        junction = build.place(grid[corner])
        outward = junction / np.hypot(*junction)
        gate = build.node(*(junction + 60.0 * outward))
        build.edge(gate, grid[corner], "service", f"{name.title()} Depot")
        found.append(Depot(name, gate))
    return tuple(found)


def generate_network(seed: int, policy: Mapping[str, Any]) -> RoadNetwork:
    """Lay out a town.

    Args:
        seed: Same seed and policy, same network.
        policy: Key `world` of the document `simulation`.
    """
    build = _Builder(seed, policy)
    town = policy["origins"][int(build.rng.integers(len(policy["origins"])))]
    grid = _grid(build)
    _streets(build, grid)
    _motorway(build, grid)
    depots = _depots(build, grid)
    _work_zones(build)
    frame = LocalFrame(town["lat_deg"], town["lon_deg"])
    return RoadNetwork(frame, *_snapped(frame, build.nodes, build.edges), depots)


def _snapped(
    frame: LocalFrame, nodes: Mapping[int, Node], edges: Mapping[int, Edge]
) -> tuple[dict[int, Node], dict[int, Edge]]:
    """Nodes and edges on the grid of map files, so that a town is the same after a trip through one."""
    places = on_osm_grid(frame, np.array([[node.east_mm, node.north_mm] for node in nodes.values()]))
    moved = {
        number: replace(node, east_mm=int(place[0]), north_mm=int(place[1]))
        for (number, node), place in zip(nodes.items(), places, strict=True)
    }
    return moved, {
        number: replace(edge, points_mm=on_osm_grid(frame, edge.points_mm)) for number, edge in edges.items()
    }
