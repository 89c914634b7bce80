"""The surface of the world: carriageways, junctions, kerbs, pavements and lane markings, as triangles.

Here belong flat things. What stands on them is in `layout.py`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from services.fleet_simulator.world.road_network import Edge, RoadNetwork

FloatArray = NDArray[np.float64]
SIDEWALK_M: Final = {"primary": 3.4, "residential": 2.2, "service": 1.5, "motorway_link": 0.0}
KERB_M: Final = 0.12
MARKING_Z_M: Final = 0.012
_HEIGHT_M: Final = {"service": 0.0, "residential": 0.001, "motorway_link": 0.004, "primary": 0.002, "motorway": 0.006}
"""Overlapping carriageways lie millimetres above each other, so that none flickers through."""
_LINE_M: Final = 0.12
_STEP_M: Final = 6.0
_PIECE_M: Final = 36.0


@dataclass(frozen=True)
class EdgeLine:
    """An edge with what its surroundings need.

    Attributes:
        edge: The edge.
        points: float64[n, 2], its centre line.
        arc: float64[n], distance along it.
        half_m: Half of the carriageway.
        trim_m: What the junctions at its start and end take.
    """

    edge: Edge
    points: FloatArray
    arc: FloatArray
    half_m: float
    trim_m: tuple[float, float]

    @property
    def length_m(self) -> float:
        """Length of the centre line."""
        return float(self.arc[-1])

    def at(self, s_m: float) -> tuple[FloatArray, float]:
        """Point and direction at a distance along the line."""
        s = float(np.clip(s_m, 0.0, self.arc[-1]))
        points = np.stack(
            [
                np.interp([s, max(0.0, s - 1.0), min(self.length_m, s + 1.0)], self.arc, self.points[:, axis])
                for axis in range(2)
            ],
            axis=1,
        )
        step = points[2] - points[1]
        return points[0], float(np.arctan2(step[1], step[0]))

    def sampled(
        self, start_m: float, end_m: float, step_m: float = _STEP_M
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Points, unit vectors to the left and distances between two distances along the line."""
        count = max(2, int(np.ceil((end_m - start_m) / step_m)) + 1)
        s = np.linspace(start_m, end_m, count)
        points = np.stack([np.interp(s, self.arc, self.points[:, axis]) for axis in range(2)], axis=1)
        ahead = np.stack(
            [np.interp(np.minimum(s + 0.5, self.length_m), self.arc, self.points[:, axis]) for axis in range(2)], axis=1
        )
        behind = np.stack(
            [np.interp(np.maximum(s - 0.5, 0.0), self.arc, self.points[:, axis]) for axis in range(2)], axis=1
        )
        tangent = ahead - behind
        tangent /= np.hypot(*tangent.T)[:, None]
        return points, np.stack([-tangent[:, 1], tangent[:, 0]], axis=1), s


def _half_width(edge: Edge) -> float:
    if edge.one_way:
        shoulder = 1.5 if edge.road_class == "motorway" else 0.6
        return edge.lanes * edge.lane_width_m / 2.0 + shoulder
    return edge.lanes * edge.lane_width_m


def _is_junction(network: RoadNetwork, node_id: int, ends: Sequence[int]) -> bool:
    streets = [edge_id for edge_id in ends if network.edges[edge_id].road_class in SIDEWALK_M]
    return len(streets) > 2 or (len(streets) == 2 and network.nodes[node_id].control != "crossing")  # noqa: PLR2004


def edge_lines(network: RoadNetwork) -> list[EdgeLine]:
    """All edges in order of their ids, shortened at junctions."""
    ends: dict[int, list[int]] = {}
    for edge_id, edge in sorted(network.edges.items()):
        for node_id in (edge.start, edge.end):
            ends.setdefault(node_id, []).append(edge_id)
    trims = {
        node_id: max(_half_width(network.edges[one]) for one in ids if network.edges[one].road_class in SIDEWALK_M)
        + 4.5
        if _is_junction(network, node_id, ids)
        else 0.0
        for node_id, ids in ends.items()
    }
    lines = []
    for _, edge in sorted(network.edges.items()):
        street = edge.road_class in SIDEWALK_M
        trim = tuple(min(trims[node_id] if street else 0.0, 0.42 * edge.length_m) for node_id in (edge.start, edge.end))
        lines.append(EdgeLine(edge, edge.points_m, edge.arc_m, _half_width(edge), (trim[0], trim[1])))
    return lines


@dataclass(frozen=True)
class Patch:
    """Triangles of one kind: positions float64[n, 3], uv in metres float64[n, 2], normals, triangles, kind."""

    position: FloatArray
    uv: FloatArray
    normal: FloatArray
    triangles: NDArray[np.uint32]
    kind: str


def _ribbon(left: FloatArray, right: FloatArray, z: tuple[float, float], s: FloatArray, kind: str) -> Patch:
    """Quads between two lines; its top is up, or for a wall, to the right of the direction."""
    count = len(left)
    position = np.concatenate(
        [np.column_stack([left, np.full(count, z[0])]), np.column_stack([right, np.full(count, z[1])])]
    )
    width = np.hypot(*(left - right).T) + abs(z[0] - z[1])
    uv = np.concatenate([np.column_stack([np.zeros(count), s]), np.column_stack([width, s])])
    index = np.arange(count - 1)
    faces = np.concatenate(
        [np.stack([index, index + count, index + count + 1], 1), np.stack([index, index + count + 1, index + 1], 1)]
    )
    if z[0] == z[1]:
        normal = np.tile([0.0, 0.0, 1.0], (2 * count, 1))
    else:
        tangent = np.gradient(left, axis=0)
        outward = np.column_stack([tangent[:, 1], -tangent[:, 0], np.zeros(count)])
        outward /= np.linalg.norm(outward, axis=1, keepdims=True)
        normal = np.tile(outward, (2, 1))
    return Patch(position, uv, normal, faces.astype(np.uint32), kind)


def _fan(outline: FloatArray, z: float, kind: str) -> Patch:
    centre = outline.mean(axis=0)
    ring = np.vstack([centre, outline])
    count = len(outline)
    faces = [(0, 1 + index, 1 + (index + 1) % count) for index in range(count)]
    position = np.column_stack([ring, np.full(len(ring), z)])
    return Patch(
        position, ring - centre, np.tile([0.0, 0.0, 1.0], (len(ring), 1)), np.array(faces, dtype=np.uint32), kind
    )


def road_patches(line: EdgeLine) -> list[tuple[FloatArray, list[Patch]]]:
    """Carriageway, kerbs and pavements of one edge in short lengths: the middle of each and its patches."""
    kind = line.edge.road_class
    z, half, side = _HEIGHT_M.get(kind, 0.0), line.half_m, SIDEWALK_M.get(kind, 0.0)
    start, end = line.trim_m[0], line.length_m - line.trim_m[1]
    cuts = np.linspace(start, end, max(1, int(np.ceil((end - start) / _PIECE_M))) + 1)
    pieces = []
    for low, high in zip(cuts, cuts[1:], strict=False):
        points, left, s = line.sampled(float(low), float(high))
        patches = [_ribbon(points + half * left, points - half * left, (z, z), s, "road")]
        if side:
            for sign in (1.0, -1.0):
                inner, outer = points + sign * half * left, points + sign * (half + side) * left
                patches += _pavement(inner[:: int(sign)], outer[:: int(sign)], s)
        pieces.append((points.mean(axis=0), patches))
    return pieces


def _pavement(inner: FloatArray, outer: FloatArray, s: FloatArray) -> list[Patch]:
    """Kerb and pavement where the road is to the right of `inner`."""
    kerb = _ribbon(inner, inner, (KERB_M, 0.0), s, "kerb")
    towards = outer - inner
    edge = inner + 0.16 * towards / np.maximum(np.hypot(*towards.T)[:, None], 1e-9)
    return [
        kerb,
        _ribbon(edge, inner, (KERB_M, KERB_M), s, "kerb"),
        _ribbon(outer, edge, (KERB_M, KERB_M), s, "sidewalk"),
    ]


def junction_patches(network: RoadNetwork, lines: Sequence[EdgeLine]) -> list[tuple[FloatArray, list[Patch]]]:
    """Surface and corners of every junction: its middle and its patches."""
    ends: dict[int, list[tuple[float, FloatArray, FloatArray, float, str]]] = {}
    for line in lines:
        for node_id, trim, forward in ((line.edge.start, line.trim_m[0], True), (line.edge.end, line.trim_m[1], False)):
            if trim <= 0.0:
                continue
            point, yaw = line.at(trim if forward else line.length_m - trim)
            yaw = yaw if forward else yaw + np.pi
            out = np.array([np.cos(yaw), np.sin(yaw)])
            node = network.nodes[node_id]
            bearing = float(np.arctan2(point[1] - node.north_mm / 1000.0, point[0] - node.east_mm / 1000.0))
            ends.setdefault(node_id, []).append((bearing, point, out, line.half_m, line.edge.road_class))
    found = []
    for node_id, spokes in sorted(ends.items()):
        spokes.sort(key=lambda spoke: spoke[0])
        outline, patches = [], []
        for index, (_, point, out, half, kind) in enumerate(spokes):
            after = spokes[(index + 1) % len(spokes)]
            left = np.array([-out[1], out[0]])
            outline.append(point - half * left)
            inner = _corner(
                point + half * left, out, after[1] + after[3] * np.array([after[2][1], -after[2][0]]), after[2]
            )
            outline.extend(inner)
            side = SIDEWALK_M[kind], SIDEWALK_M[after[4]]
            right_after = np.array([after[2][1], -after[2][0]])
            outer = _corner(
                point + (half + side[0]) * left, out, after[1] + (after[3] + side[1]) * right_after, after[2]
            )
            patches += _pavement(inner, outer, np.linspace(0.0, 8.0, len(inner)))
        node = network.nodes[node_id]
        middle = np.array([node.east_mm, node.north_mm]) / 1000.0
        found.append((middle, [_fan(np.array(outline), 0.0005, "road"), *patches]))
    return found


def _corner(start: FloatArray, out: FloatArray, end: FloatArray, out_after: FloatArray) -> FloatArray:
    """A curve from one kerb to the next that is tangent to both."""
    cross = out[0] * out_after[1] - out[1] * out_after[0]
    gap = end - start
    control = (start + end) / 2.0
    if abs(cross) > 0.15:  # noqa: PLR2004 - nearly straight on: the kerbs do not meet
        control = start + out * (gap[0] * out_after[1] - gap[1] * out_after[0]) / cross
    share = np.linspace(0.0, 1.0, 9)[:, None]
    curve: FloatArray = (1.0 - share) ** 2 * start + 2.0 * share * (1.0 - share) * control + share**2 * end
    return curve


Strip = tuple[FloatArray, FloatArray, float]
"""Points of a marking's middle line, unit vectors across it, half width."""


def markings(network: RoadNetwork, line: EdgeLine) -> list[Strip]:
    """Lane lines, edge lines, stop lines and crossings of one edge."""
    edge = line.edge
    strips: list[Strip] = []
    solid: tuple[float, ...]
    dashed: tuple[float, ...]
    start, end = (
        line.trim_m[0] + (0.5 if line.trim_m[0] else 0.0),
        line.length_m - line.trim_m[1] - (0.5 if line.trim_m[1] else 0.0),
    )
    if end - start < 4.0 or edge.road_class == "service":  # noqa: PLR2004
        return strips
    wide, width = (0.15 if edge.road_class == "motorway" else _LINE_M) / 2.0, edge.lane_width_m
    if edge.one_way:
        total = edge.lanes * width / 2.0
        solid = (total, -total)
        dashed = tuple(total - lane * width for lane in range(1, edge.lanes))
    else:
        total = edge.lanes * width
        solid = (0.16, -0.16, total - 0.25, 0.25 - total) if edge.lanes > 1 else ()
        dashed = tuple(sign * lane * width for lane in range(1, edge.lanes) for sign in (1.0, -1.0))
        dashed = dashed if edge.lanes > 1 else (0.0,)
    cuts = np.linspace(start, end, max(1, int(np.ceil((end - start) / _PIECE_M))) + 1)
    for offset in solid:
        for low, high in zip(cuts, cuts[1:], strict=False):
            points, left, _ = line.sampled(float(low), float(high))
            strips.append((points + offset * left, left, wide))
    period, dash = (18.0, 6.0) if edge.road_class == "motorway" else (9.0, 3.0)
    for offset in dashed:
        for s in np.arange(start + 1.0, end - dash, period):
            points, left, _ = line.sampled(float(s), float(s) + dash)
            strips.append((points + offset * left, left, wide))
    return strips + _transverse(network, line, start, end)


def _transverse(network: RoadNetwork, line: EdgeLine, start: float, end: float) -> list[Strip]:
    strips: list[Strip] = []
    edge = line.edge
    for forward in (True, False) if not edge.one_way else (True,):
        node = network.nodes[edge.end if forward else edge.start]
        s = end if forward else start
        point, yaw = line.at(s)
        along, left = np.array([np.cos(yaw), np.sin(yaw)]), np.array([-np.sin(yaw), np.cos(yaw)])
        sign = -1.0 if forward else 1.0
        if node.control in ("traffic_light", "stop") and edge.road_class != "motorway_link":
            reach = np.array([0.2, line.half_m - 0.2])[:, None] * sign * left
            strips.append((point + reach, np.stack([along, along]), 0.25))
        if node.control == "traffic_light" and edge.road_class == "primary":
            for shift in (1.2, 4.2):
                reach = np.array([-line.half_m, line.half_m])[:, None] * left
                middle = point - sign * (shift * along)
                strips.append((middle + reach, np.stack([along, along]), 0.08))
        if node.control == "crossing":
            middle = point + sign * 1.0 * along
            for offset in np.arange(-line.half_m + 0.5, line.half_m - 0.3, 1.0):
                bar = np.array([-1.0, 1.0])[:, None] * along + middle + offset * left
                strips.append((bar, np.stack([left, left]), 0.25))
    return strips


def terrain_plane(layer: int) -> NDArray[Any]:
    """A large meadow under everything: vertices of triangles around the origin, as `gpu.vertex_bytes` lays them out."""
    ticks = np.array([-1200, -600, -300, -150, -72, -32, 0, 32, 72, 150, 300, 600, 1200], dtype=np.float64)
    corners = []
    for left, right in zip(ticks, ticks[1:], strict=False):
        for low, high in zip(ticks, ticks[1:], strict=False):
            corners += [(left, low), (right, low), (right, high), (left, low), (right, high), (left, high)]
    record = np.zeros(len(corners), dtype=[("p", "f4", 3), ("n", "f4", 3), ("uv", "f4", 2), ("c", "u1", 4)])
    record["p"][:, :2] = corners
    record["n"][:] = (0.0, 0.0, 1.0)
    record["uv"] = corners
    record["c"] = (255, 255, 255, layer)
    return record
