"""From ways for cars to edges: cut where ways meet, with geometry, limits, junctions, work zones and cells.

Here belongs what an edge of the road network is. Reading files is in `osm_ways.py`; matching is in `map_matching.py`.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from fleet_assets.geo.local_frame import LocalFrame
from fleet_assets.geo.osm_limits import country_of, direction, lanes, speed_limit, work_zone
from fleet_assets.geo.osm_ways import Extract, Way
from fleet_assets.geo.road_cells import cell_of_each, densified
from fleet_assets.provenance.canonical import canonical_json

_DECIMALS: Final = 7
"""Of degrees, as OpenStreetMap has them."""
_CELL_STEP_DEG: Final = 0.001
"""Places along an edge whose cells it belongs to: 111 m apart, far less than a cell is wide."""
_JUNCTION_ARMS: Final = 3
_EDGE_COLUMNS: Final = (
    "edge_id", "way_id", "start_node", "end_node", "road_class", "name", "one_way", "lanes", "speed_limit_mps",
    "speed_limit_back_mps", "speed_limit_source", "speed_limit_back_source", "length_m", "start_junction_m",
    "end_junction_m", "roundabout", "work_zone_first_m", "work_zone_last_m", "work_zone_limit_mps", "geometry", "cells",
)  # fmt: skip


@dataclass(frozen=True)
class RoadNetwork:
    """A road network as rows.

    Attributes:
        edges: Rows of `map.road_edges` without the snapshot.
        nodes: Rows of `map.road_nodes` without the snapshot.
        cells: Rows of `map.road_cells` without the snapshot.
        country: Country whose default limits hold.
        bounds: South, west, north, east, degrees.
        incomplete_ways: Ways of which the file lacks nodes; their known parts are kept.
        cut_off_ways: Of these, ways without any edge: no two nodes of theirs that follow each other are in the file.
        lengthless_ways: Ways without any edge because all their nodes are in one place.
    """

    edges: list[dict[str, Any]]
    nodes: list[dict[str, Any]]
    cells: list[dict[str, Any]]
    country: str
    bounds: tuple[float, float, float, float]
    incomplete_ways: int
    cut_off_ways: int
    lengthless_ways: int


@dataclass(frozen=True, slots=True)
class _Piece:
    """A part of a way between two places where ways meet; `first_m` is where on the way it begins."""

    way: Way
    nodes: tuple[int, ...]
    first_m: float
    length_m: float


def road_network(extract: Extract, rules: Mapping[str, Any]) -> RoadNetwork:
    """Edges, nodes and cells of an extract.

    Args:
        extract: Ways and places.
        rules: The document `maps` of the policies.
    """
    places = np.array([extract.places[node] for node in sorted(extract.places)])
    if not len(places):
        return RoadNetwork([], [], [], "other", (0.0, 0.0, 0.0, 0.0), len(extract.ways), len(extract.ways), 0)
    south, west, north, east = (float(value) for value in (*places.min(axis=0), *places.max(axis=0)))
    country = country_of((south + north) / 2, (west + east) / 2, rules["speed_limits"])
    runs = {way.way_id: list(_known_runs(way, extract.places)) for way in extract.ways}
    incomplete = sum(runs[way.way_id] != [_oriented(way)] for way in extract.ways)
    pieces = list(_pieces(extract, runs))
    ahead = _Junctions(pieces)
    resolution = rules["extract"]["cell_resolution"]
    edges = []
    taken: Counter[str] = Counter()
    for piece in pieces:
        name = f"{piece.way.way_id}:{piece.nodes[0]}-{piece.nodes[-1]}"
        taken[name] += 1
        edge_id = name if taken[name] == 1 else f"{name}:{taken[name]}"
        edges.append(
            _edge_row(
                edge_id,
                piece,
                places=extract.places,
                country=country,
                rules=rules["speed_limits"],
                ahead=ahead,
                resolution=resolution,
            )
        )
    return RoadNetwork(
        sorted(edges, key=lambda row: str(row["edge_id"])),
        _node_rows(pieces, extract, ahead),
        _cell_rows(edges),
        country,
        (south, west, north, east),
        incomplete,
        sum(not own for own in runs.values()),
        sum(_is_lengthless(own, extract.places) for own in runs.values()),
    )


def _is_lengthless(runs: Sequence[tuple[int, ...]], places: Mapping[int, tuple[float, float]]) -> bool:
    """Whether a way has runs, and each of them stays in one place."""
    return bool(runs) and all(len({places[node] for node in run}) == 1 for run in runs)


def _oriented(way: Way) -> tuple[int, ...]:
    """Nodes in the direction of travel, each repeated neighbour once."""
    nodes = way.nodes[::-1] if direction(way.tags) < 0 else way.nodes
    return tuple(node for index, node in enumerate(nodes) if index == 0 or node != nodes[index - 1])


def _known_runs(way: Way, places: Mapping[int, tuple[float, float]]) -> Iterator[tuple[int, ...]]:
    """Stretches of a way whose nodes the file has: an extract cuts ways at its border."""
    run: list[int] = []
    for node in (*_oriented(way), None):
        if node is not None and node in places:
            run.append(node)
            continue
        if len(run) > 1:
            yield tuple(run)
        run = []


def _pieces(extract: Extract, runs: Mapping[int, Sequence[tuple[int, ...]]]) -> Iterator[_Piece]:
    """Runs cut where ways meet or cross themselves; a loop is halved, so that no edge ends where it begins."""
    used = Counter(node for own in runs.values() for run in own for node in run)
    for way in extract.ways:
        for run in runs[way.way_id]:
            steps = _steps_m(run, extract.places)
            along = np.concatenate(([0.0], np.cumsum(steps)))
            first = 0
            for index in range(1, len(run)):
                if index < len(run) - 1 and used[run[index]] == 1:
                    continue
                cuts = [first, index] if run[first] != run[index] else [first, (first + index) // 2, index]
                for begin, end in zip(cuts, cuts[1:], strict=False):
                    length = float(along[end] - along[begin])
                    if end > begin and length > 0.0:
                        yield _Piece(way, run[begin : end + 1], float(along[begin]), length)
                first = index


def _steps_m(nodes: Sequence[int], places: Mapping[int, tuple[float, float]]) -> Any:
    degrees = np.array([places[node] for node in nodes])
    east, north = LocalFrame(float(degrees[0, 0]), float(degrees[0, 1])).to_plane(degrees[:, 0], degrees[:, 1])
    return np.hypot(np.diff(east), np.diff(north))


class _Junctions:
    """How far it is from each end of a piece to the next junction ahead: a node with three arms or more.

    Dead ends are none. Where a road merely goes on under another number, the way continues to the junction behind it.
    """

    def __init__(self, pieces: Sequence[_Piece]) -> None:
        self._arms: dict[int, list[tuple[int, int]]] = defaultdict(list)
        self._pieces = pieces
        for number, piece in enumerate(pieces):
            self._arms[piece.nodes[0]].append((number, 0))
            self._arms[piece.nodes[-1]].append((number, 1))
        self._numbers = {id(piece): number for number, piece in enumerate(pieces)}

    def arms(self, node: int) -> int:
        """Edges that end at a node."""
        return len(self._arms[node])

    def beyond_m(self, piece: _Piece, end: int) -> float | None:
        """Metres beyond one end (0 start, 1 end) of a piece to a junction; None when the road ends before."""
        number, total = self._numbers[id(piece)], 0.0
        started = (number, end)
        while True:
            node = self._pieces[number].nodes[-end]
            arms = self._arms[node]
            if len(arms) >= _JUNCTION_ARMS:
                return total
            others = [arm for arm in arms if arm != (number, end)]
            if not others:
                return None
            number, near = others[0]
            end = 1 - near
            total += self._pieces[number].length_m
            if (number, end) == started:  # a ring without any junction
                return None


def _edge_row(
    edge_id: str,
    piece: _Piece,
    *,
    places: Mapping[int, tuple[float, float]],
    country: str,
    rules: Mapping[str, Any],
    ahead: _Junctions,
    resolution: int,
) -> dict[str, Any]:
    tags = piece.way.tags
    ways = direction(tags)
    forth = speed_limit(tags, ways >= 0, country, rules)
    back = None if ways else speed_limit(tags, forward=False, country=country, rules=rules)
    degrees = np.array([places[node] for node in piece.nodes])
    zone = work_zone(tags, piece.first_m + piece.length_m)
    first = last = None
    if zone is not None and zone.first_m < piece.first_m + piece.length_m and zone.last_m > piece.first_m:
        first = max(0.0, zone.first_m - piece.first_m)
        last = min(piece.length_m, zone.last_m - piece.first_m)
    line = ", ".join(f"{lon:.{_DECIMALS}f} {lat:.{_DECIMALS}f}" for lat, lon in degrees.tolist())
    lat, lon = densified(degrees[:, 0], degrees[:, 1], _CELL_STEP_DEG)
    return {
        "edge_id": edge_id,
        "way_id": piece.way.way_id,
        "start_node": piece.nodes[0],
        "end_node": piece.nodes[-1],
        "road_class": tags["highway"],
        "name": tags.get("name"),
        "one_way": ways != 0,
        "lanes": lanes(tags),
        "speed_limit_mps": forth.mps,
        "speed_limit_back_mps": None if back is None else back.mps,
        "speed_limit_source": forth.source,
        "speed_limit_back_source": None if back is None else back.source,
        "length_m": round(piece.length_m, 3),
        "start_junction_m": _rounded(ahead.beyond_m(piece, 0)),
        "end_junction_m": _rounded(ahead.beyond_m(piece, 1)),
        "roundabout": tags.get("junction") in {"roundabout", "circular"},
        "work_zone_first_m": _rounded(first),
        "work_zone_last_m": _rounded(last),
        "work_zone_limit_mps": None if zone is None or first is None else zone.limit_mps,
        "geometry": f"LINESTRING ({line})",
        "cells": " ".join(sorted(set(cell_of_each(lat, lon, resolution)))),
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)


def _node_rows(pieces: Sequence[_Piece], extract: Extract, ahead: _Junctions) -> list[dict[str, Any]]:
    ends = sorted({node for piece in pieces for node in (piece.nodes[0], piece.nodes[-1])})
    return [
        {
            "node_id": node,
            "lat_deg": extract.places[node][0],
            "lon_deg": extract.places[node][1],
            "arms": ahead.arms(node),
            "junction": ahead.arms(node) >= _JUNCTION_ARMS,
            "control": extract.controls.get(node),
        }
        for node in ends
    ]


def _cell_rows(edges: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """One row per cell, with a digest over all that its edges say."""
    members: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for edge in edges:
        for cell in edge["cells"].split(" "):
            members[cell].append(edge)
    rows = []
    for cell, own in sorted(members.items()):
        said = [[edge[name] for name in _EDGE_COLUMNS] for edge in sorted(own, key=lambda edge: str(edge["edge_id"]))]
        rows.append({"cell": cell, "edges": len(own), "digest": hashlib.sha256(canonical_json(said)).hexdigest()})
    return rows
