"""A road network as plain data: what a map has to say about roads, and nothing about who drives there.

Here belong nodes, edges and what lies along them. Making one from a seed is in `generate.py`, reading one from a map in
`osm_xml.py`, driving through it in `routes.py`.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fleet_assets.geo.local_frame import LocalFrame

MM_PER_M: Final = 1000


@dataclass(frozen=True, slots=True)
class Node:
    """A point where edges meet or something stands.

    Attributes:
        node_id: Number, from 1 on.
        east_mm: Millimetres east of the network's origin.
        north_mm: Millimetres north of it.
        control: ``none``, ``traffic_light``, ``stop`` or ``crossing``.
        phase_s: Traffic lights: start of a cycle, counted from the epoch of UTC.
    """

    node_id: int
    east_mm: int
    north_mm: int
    control: str = "none"
    phase_s: int = 0


@dataclass(frozen=True, slots=True)
class WorkZone:
    """A stretch of an edge under construction, metres from its start, with the limit that holds there."""

    first_m: float
    last_m: float
    speed_limit_kmh: int


@dataclass(frozen=True)
class Edge:
    """A carriageway between two nodes, drawn along its centre line.

    Attributes:
        edge_id: Number, from 1 on; the way's number in the exported map.
        start: Node id at its first point.
        end: Node id at its last point.
        points_mm: int64[n, 2], east and north of the network's origin.
        road_class: OSM value of `highway`, e.g. ``residential``.
        lanes: Lanes per direction of travel.
        speed_limit_kmh: Limit.
        one_way: Whether it may only be driven from start to end.
        name: Name on the signs.
        work_zone: Construction on it, or None.
        lane_width_m: Width of one lane.
    """

    edge_id: int
    start: int
    end: int
    points_mm: NDArray[np.int64]
    road_class: str
    lanes: int
    speed_limit_kmh: int
    one_way: bool
    name: str
    work_zone: WorkZone | None = None
    lane_width_m: float = 3.5

    @cached_property
    def points_m(self) -> NDArray[np.float64]:
        """float64[n, 2] of the centre line."""
        return self.points_mm / MM_PER_M

    @cached_property
    def arc_m(self) -> NDArray[np.float64]:
        """float64[n], length of the centre line up to each point."""
        steps = np.hypot(*np.diff(self.points_m, axis=0).T)
        return np.concatenate(([0.0], np.cumsum(steps)))

    @property
    def length_m(self) -> float:
        """Length of the centre line."""
        return float(self.arc_m[-1])


@dataclass(frozen=True)
class Depot:
    """Where vehicles of the fleet are kept: its name and the node at its gate."""

    name: str
    node_id: int


@dataclass(frozen=True)
class RoadNetwork:
    """A whole network.

    Attributes:
        frame: Plane that all coordinates are in.
        nodes: Node by number.
        edges: Edge by number.
        depots: Depots.
        attribution: Who made the map.
    """

    frame: LocalFrame
    nodes: Mapping[int, Node]
    edges: Mapping[int, Edge]
    depots: tuple[Depot, ...] = ()
    attribution: str = "simulated"
    _leaving: dict[int, list[tuple[int, bool]]] = field(default_factory=dict, repr=False, compare=False)

    def leaving(self, node_id: int) -> tuple[tuple[int, bool], ...]:
        """(edge id, whether it is driven from start to end) of every way out of a node, in order of the ids."""
        if not self._leaving:
            for edge in self.edges.values():
                self._leaving.setdefault(edge.start, []).append((edge.edge_id, True))
                if not edge.one_way:
                    self._leaving.setdefault(edge.end, []).append((edge.edge_id, False))
        return tuple(sorted(self._leaving.get(node_id, ())))

    @cached_property
    def digest(self) -> str:
        """SHA-256 over everything that the network says."""
        document: dict[str, Any] = {
            "origin": [self.frame.lat_deg, self.frame.lon_deg],
            "nodes": [
                [node.node_id, node.east_mm, node.north_mm, node.control, node.phase_s]
                for _, node in sorted(self.nodes.items())
            ],
            "edges": [_described(edge) for _, edge in sorted(self.edges.items())],
            "depots": [[depot.name, depot.node_id] for depot in self.depots],
        }
        return hashlib.sha256(json.dumps(document, separators=(",", ":")).encode()).hexdigest()


def _described(edge: Edge) -> list[Any]:
    zone = edge.work_zone
    return [
        edge.edge_id,
        edge.start,
        edge.end,
        edge.points_mm.tolist(),
        edge.road_class,
        edge.lanes,
        edge.speed_limit_kmh,
        edge.one_way,
        edge.name,
        None if zone is None else [zone.first_m, zone.last_m, zone.speed_limit_kmh],
        edge.lane_width_m,
    ]
