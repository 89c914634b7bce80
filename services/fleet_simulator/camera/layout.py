"""What stands where in a world: buildings, trees, lanterns, lights, signs, cones.

Here belong places only, drawn from the network's own digest, so that the same network is the same town for every drive.
Shapes are in `meshes/`, the road's surface in `ground.py`.
"""

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from services.fleet_simulator.camera.ground import SIDEWALK_M, EdgeLine, edge_lines
from services.fleet_simulator.world.road_network import RoadNetwork

FloatArray = NDArray[np.float64]
_CELL_M: Final = 1.0
_MARGIN_M: Final = 80.0
_STREAM: Final = 302
_SHOP_SHARE: Final = 0.6
_GABLED_FLOORS: Final = 4


@dataclass(frozen=True, slots=True)
class Building:
    """A block: middle, heading of its front, width along the street, depth, floors, looks."""

    x_m: float
    y_m: float
    yaw_rad: float
    width_m: float
    depth_m: float
    height_m: float
    style: int
    tint: tuple[float, float, float]
    shop: bool
    gabled: bool


@dataclass(frozen=True, slots=True)
class Thing:
    """Something at the roadside.

    Attributes:
        kind: ``tree``, ``lantern``, ``light``, ``sign:NAME``, ``cone``, ``rail``.
        x_m: East.
        y_m: North.
        yaw_rad: Direction of traffic that it concerns, or of its arm.
        z_m: Height of its middle.
        size: Factor, or the length of a rail.
        look: Draws variants.
        node_id: Of a light.
        edge_id: Of a light.
    """

    kind: str
    x_m: float
    y_m: float
    yaw_rad: float
    z_m: float = 0.0
    size: float = 1.0
    look: int = 0
    node_id: int = 0
    edge_id: int = 0


@dataclass(frozen=True)
class Layout:
    """Everything that stands in a world."""

    buildings: tuple[Building, ...]
    things: tuple[Thing, ...]


class _Plan:
    """A raster of what is taken: roads with their pavements, then one building after another."""

    def __init__(self, network: RoadNetwork, lines: list[EdgeLine]) -> None:
        places = np.array([[node.east_mm, node.north_mm] for node in network.nodes.values()]) / 1000.0
        self.low = places.min(axis=0) - _MARGIN_M
        shape = np.ceil((places.max(axis=0) + _MARGIN_M - self.low) / _CELL_M).astype(int)
        self.taken = np.zeros((shape[1], shape[0]), dtype=np.uint8)
        for line in lines:
            side = SIDEWALK_M.get(line.edge.road_class, 4.0)
            thickness = int(2.0 * (line.half_m + side) / _CELL_M)
            cv2.polylines(self.taken, [self.cells(line.points)], False, 1, thickness)

    def cells(self, points: FloatArray) -> NDArray[np.int32]:
        cells: NDArray[np.int32] = np.rint((points - self.low) / _CELL_M).astype(np.int32)
        return cells

    def take(self, corners: FloatArray) -> bool:
        """Take a polygon unless something is there already."""
        mask = self.cells(corners)
        low, high = mask.min(axis=0) - 1, mask.max(axis=0) + 2
        if (low < 0).any() or (high > np.array(self.taken.shape)[::-1]).any():
            return False
        window = self.taken[low[1] : high[1], low[0] : high[0]]
        area = np.zeros_like(window)
        cv2.fillPoly(area, [(mask - low).astype(np.int32)], 1)
        if np.any(window & area):
            return False
        window |= area
        return True

    def free(self, x: float, y: float) -> bool:
        column, row = self.cells(np.array([x, y]))
        return bool(
            0 <= row < self.taken.shape[0] and 0 <= column < self.taken.shape[1] and not self.taken[row, column]
        )


def corners_of(building: Building) -> FloatArray:
    """Corners of the footprint, float64[4, 2], counter-clockwise from the front right."""
    along = np.array([np.cos(building.yaw_rad), np.sin(building.yaw_rad)])
    left = np.array([-along[1], along[0]])
    half = np.array([building.x_m, building.y_m]), along * building.width_m / 2.0, left * building.depth_m / 2.0
    middle, x, y = half
    return np.stack([middle - x - y, middle + x - y, middle + x + y, middle - x + y])


def lay_out(network: RoadNetwork) -> Layout:
    """Furnish a network."""
    lines = edge_lines(network)
    plan = _Plan(network, lines)
    rng = np.random.default_rng([_STREAM, int(network.digest[:12], 16)])
    buildings: list[Building] = []
    things: list[Thing] = []
    for line in lines:
        things += _lights_and_signs(network, line)
        things += _work_zone(line)
    for line in lines:
        if line.edge.road_class in ("primary", "residential", "service"):
            for side in (1.0, -1.0):
                buildings += _row(plan, rng, line, side)
    for line in lines:
        things += _greenery_and_lanterns(plan, rng, line)
    return Layout(tuple(buildings), tuple(things))


def _row(plan: _Plan, rng: np.random.Generator, line: EdgeLine, side: float) -> list[Building]:
    """Buildings along one side of a street."""
    primary = line.edge.road_class == "primary"
    found, s = [], line.trim_m[0] + 2.0
    while s < line.length_m - line.trim_m[1] - 6.0:
        width = float(rng.choice((12.0, 15.0, 18.0, 24.0))) if primary else float(rng.choice((9.0, 12.0, 12.0, 15.0)))
        depth = float(rng.uniform(11.0, 16.0)) if primary else float(rng.uniform(8.0, 11.0))
        floors = int(rng.integers(3, 8)) if primary else int(rng.integers(2, 4))
        setback = float(rng.uniform(0.0, 1.0)) if primary else float(rng.uniform(3.0, 7.0))
        shop = bool(primary and rng.random() < _SHOP_SHARE)
        gabled = bool(floors <= _GABLED_FLOORS and rng.random() < (0.25 if primary else 0.85))
        style, shade = int(rng.integers(6)), rng.uniform(0.84, 1.06)
        tint = tuple(float(value) for value in np.round(shade * rng.uniform(0.96, 1.04, 3), 3))
        style = 1 + 2 * (style % 2) if not primary and style in (2, 4) else style
        point, yaw = line.at(min(s + width / 2.0, line.length_m))
        left = np.array([-np.sin(yaw), np.cos(yaw)])
        away = line.half_m + SIDEWALK_M.get(line.edge.road_class, 2.0) + setback + 1.6 + depth / 2.0
        x, y = point + side * away * left
        facing = yaw if side < 0.0 else yaw + np.pi
        # The front is the side towards -y of the block, so blocks left of the road are turned around.
        height = (4.0 if shop else 0.6) + 3.2 * floors
        block = Building(
            float(x),
            float(y),
            float(facing + np.pi),
            width,
            depth,
            height,
            style,
            (tint[0], tint[1], tint[2]),
            shop,
            gabled,
        )
        if plan.take(corners_of(block)):
            found.append(block)
            s += width + (float(rng.choice((0.1, 0.1, 0.1, 9.0))) if primary else float(rng.uniform(3.0, 12.0)))
        else:
            s += 5.0
    return found


def _greenery_and_lanterns(plan: _Plan, rng: np.random.Generator, line: EdgeLine) -> list[Thing]:
    kind, things = line.edge.road_class, []
    if kind in ("motorway", "motorway_link"):
        for s in np.arange(10.0, line.length_m, 13.0):
            point, yaw = line.at(float(s + rng.uniform(-5.0, 5.0)))
            left = np.array([-np.sin(yaw), np.cos(yaw)])
            for side in (-1.0, 1.0):
                x, y = point + side * (line.half_m + rng.uniform(9.0, 26.0)) * left
                size, look = float(rng.uniform(0.7, 1.3)), int(rng.integers(1 << 30))
                if plan.free(x, y):
                    things.append(Thing("tree", float(x), float(y), float(rng.uniform(0, 6.28)), size=size, look=look))
        return things
    primary = kind == "primary"
    for s in np.arange(line.trim_m[0] + 5.0, line.length_m - line.trim_m[1] - 4.0, 13.0 if primary else 17.0):
        point, yaw = line.at(float(s))
        left = np.array([-np.sin(yaw), np.cos(yaw)])
        for side in (-1.0, 1.0):
            keep, size, look = rng.random(), float(rng.uniform(0.6, 1.05)), int(rng.integers(1 << 30))
            offset = line.half_m + (1.1 if primary else SIDEWALK_M.get(kind, 2.0) + rng.uniform(1.2, 2.4))
            x, y = point + side * offset * left
            if keep < (0.62 if primary else 0.5):
                things.append(Thing("tree", float(x), float(y), float(rng.uniform(0, 6.28)), size=size, look=look))
    for index, s in enumerate(np.arange(line.trim_m[0] + 11.0, line.length_m - line.trim_m[1], 28.0)):
        point, yaw = line.at(float(s))
        for side in (-1.0, 1.0) if primary else ((-1.0, 1.0)[index % 2],):
            x, y = point + side * (line.half_m + 0.6) * np.array([-np.sin(yaw), np.cos(yaw)])
            things.append(Thing("lantern", float(x), float(y), float(yaw + (np.pi if side > 0.0 else 0.0))))
    return things


def _lights_and_signs(network: RoadNetwork, line: EdgeLine) -> list[Thing]:
    """At the end of each direction of travel: light or stop sign; behind its begin: the limit."""
    things, edge = [], line.edge
    for forward in (True, False) if not edge.one_way else (True,):
        node = network.nodes[edge.end if forward else edge.start]
        trim = line.trim_m[1] if forward else line.trim_m[0]
        s_end = line.length_m - trim if forward else trim
        s_begin = (line.trim_m[0] if forward else line.trim_m[1]) + 9.0
        point, yaw = line.at(s_end)
        yaw = yaw if forward else yaw + np.pi
        right = np.array([np.sin(yaw), -np.cos(yaw)])
        x, y = point + right * (line.half_m + 0.7)
        if node.control == "traffic_light":
            things.append(Thing("light", float(x), float(y), yaw, 2.75, 1.0, 0, node.node_id, edge.edge_id))
            if edge.lanes > 1:
                ahead = np.array([np.cos(yaw), np.sin(yaw)]) * (2.0 * trim + 1.0)
                ox, oy = point + ahead + right * (line.half_m + 0.9)
                things.append(
                    Thing("light", float(ox), float(oy), yaw, 5.2, line.half_m - 1.5, 1, node.node_id, edge.edge_id)
                )
        elif node.control == "stop" and edge.road_class == "residential":
            things.append(Thing("sign:stop", float(x), float(y), yaw, 2.3))
        elif node.control == "crossing":
            things.append(Thing("sign:crossing", float(x), float(y), yaw, 2.4))
        name = f"sign:limit_{edge.speed_limit_kmh}"
        if line.length_m > 40.0 and edge.speed_limit_kmh in (20, 30, 50, 60, 120):  # noqa: PLR2004
            place, heading = line.at(s_begin if forward else line.length_m - s_begin)
            heading = heading if forward else heading + np.pi
            x, y = place + np.array([np.sin(heading), -np.cos(heading)]) * (line.half_m + 0.8)
            things.append(Thing(name, float(x), float(y), heading, 2.3))
    return things


def _work_zone(line: EdgeLine) -> list[Thing]:
    """Cones that take half of the right lane, boards at the begin, a warning before it."""
    zone = line.edge.work_zone
    things: list[Thing] = []
    if zone is None:
        return things
    for s in np.arange(zone.first_m, zone.last_m, 4.0):
        share = np.clip((s - zone.first_m) / 16.0, 0.0, 1.0)
        offset = line.half_m - 0.35 - 1.1 * share
        point, yaw = line.at(float(s))
        x, y = point + np.array([np.sin(yaw), -np.cos(yaw)]) * offset
        things.append(Thing("cone", float(x), float(y), yaw))
    for s, kind, offset, z in (
        (zone.first_m + 17.0, "sign:barrier", -0.85, 0.8),
        (zone.first_m - 18.0, "sign:works", 0.8, 2.2),
        (zone.first_m + 18.5, "sign:arrow", -0.85, 1.5),
    ):
        point, yaw = line.at(max(0.0, s))
        x, y = point + np.array([np.sin(yaw), -np.cos(yaw)]) * (line.half_m + offset)
        things.append(Thing(kind, float(x), float(y), yaw, z))
    return things
