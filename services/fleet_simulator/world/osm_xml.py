"""Road networks as OpenStreetMap files: writing OSM XML, and making a network from a real extract.

Here belong tags and the cutting of ways into edges. What an edge is, is in `road_network.py`.

Tags of https://wiki.openstreetmap.org (highway, maxspeed, lanes, oneway, width, name, construction); what no map knows
(the phase of a light, where on an edge a work zone lies, depots, the plane) has tags that begin with `fleet:`.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from xml.sax.saxutils import quoteattr

import numpy as np
from numpy.typing import NDArray

from fleet_assets.geo.local_frame import LocalFrame
from services.fleet_simulator.world.road_network import MM_PER_M, Depot, Edge, Node, RoadNetwork, WorkZone

ATTRIBUTION: Final = "© OpenStreetMap contributors, ODbL 1.0"
_CONTROLS: Final = {"traffic_light": "traffic_signals", "stop": "stop", "crossing": "crossing"}
_POINT_IDS: Final = 1_000_000_000
"""Numbers of the points between the nodes begin here."""
_FRAME_ID: Final = _POINT_IDS - 1
"""Number of the node that stands at the origin of the plane."""
_FRAME: Final = "fleet:frame"
_DEGREES: Final = 7
"""Decimals of degrees in a file: 11 mm."""
_DEFAULT_KMH: Final = {
    "motorway": 120,
    "motorway_link": 60,
    "trunk": 100,
    "trunk_link": 60,
    "primary": 50,
    "primary_link": 50,
    "secondary": 50,
    "secondary_link": 50,
    "tertiary": 50,
    "tertiary_link": 50,
    "unclassified": 50,
    "residential": 30,
    "living_street": 10,
    "service": 20,
}
"""Roads for cars and the limit where a map gives none (built-up areas, German Road Traffic Regulations)."""
_DEFAULT_WIDTH_M: Final = 3.25
_KMH_PER_MPH: Final = 1.609344
_WIDTHS_M: Final = (2.4, 4.5)
_SHORTEST_M: Final = 0.1
_CYCLE_S: Final = 60


class NoRoadsError(Exception):
    """A map without roads that cars can go around in."""


def on_osm_grid(frame: LocalFrame, points_mm: NDArray[np.int64]) -> NDArray[np.int64]:
    """Places as they come back from a file, int64[n, 2]; those that come back stay where they are."""
    lat, lon = frame.to_geographic(points_mm[:, 0] / MM_PER_M, points_mm[:, 1] / MM_PER_M)
    east, north = frame.to_plane(np.round(lat, _DEGREES), np.round(lon, _DEGREES))
    whole: NDArray[np.int64] = np.rint(np.stack([east, north], axis=1) * MM_PER_M).astype(np.int64)
    return whole


def to_osm_xml(network: RoadNetwork) -> bytes:
    """The network as an OSM XML file, version 0.6; one way per edge.

    Args:
        network: The network.
    """
    lines = ['<?xml version="1.0" encoding="UTF-8"?>', '<osm version="0.6" generator="fleet-assets">']
    depots = {depot.node_id: depot.name for depot in network.depots}
    for number, node in sorted(network.nodes.items()):
        tags = {"highway": _CONTROLS[node.control]} if node.control in _CONTROLS else {}
        tags |= {"crossing": "marked"} if node.control == "crossing" else {}
        tags |= {"fleet:phase_s": str(node.phase_s)} if node.control == "traffic_light" else {}
        tags |= {"fleet:depot": depots[number]} if number in depots else {}
        lines += _node(network.frame, number, np.array([node.east_mm, node.north_mm]), tags)
    plane = f"{network.frame.lat_deg!r};{network.frame.lon_deg!r}"
    lines += _node(network.frame, _FRAME_ID, np.zeros(2, dtype=np.int64), {_FRAME: plane})
    ways, point = [], _POINT_IDS
    for number, edge in sorted(network.edges.items()):
        between = range(point, point + len(edge.points_mm) - 2)
        point += len(between)
        for identity, place in zip(between, edge.points_mm[1:-1], strict=True):
            lines += _node(network.frame, identity, place, {})
        ways += [f' <way id="{number}" version="1">']
        ways += [f'  <nd ref="{reference}"/>' for reference in (edge.start, *between, edge.end)]
        ways += [*_tags(_way_tags(edge)), " </way>"]
    return "\n".join([*lines, *ways, "</osm>", ""]).encode()


def _node(frame: LocalFrame, number: int, place_mm: NDArray[np.int64], tags: Mapping[str, str]) -> list[str]:
    lat, lon = (float(value) for value in frame.to_geographic(place_mm[0] / MM_PER_M, place_mm[1] / MM_PER_M))
    head = f' <node id="{number}" version="1" lat="{lat:.7f}" lon="{lon:.7f}"'
    return [f"{head}>", *_tags(tags), " </node>"] if tags else [f"{head}/>"]


def _tags(tags: Mapping[str, str]) -> list[str]:
    return [f"  <tag k={quoteattr(key)} v={quoteattr(value)}/>" for key, value in sorted(tags.items())]


def _way_tags(edge: Edge) -> dict[str, str]:
    lanes = edge.lanes if edge.one_way else 2 * edge.lanes
    tags = {
        "highway": edge.road_class,
        "maxspeed": str(edge.speed_limit_kmh),
        "lanes": str(lanes),
        "oneway": "yes" if edge.one_way else "no",
        "width": f"{lanes * edge.lane_width_m:g}",
        "name": edge.name,
    }
    if edge.work_zone is not None:
        zone = edge.work_zone
        tags["construction"] = "minor"
        tags["fleet:work_zone"] = f"{zone.first_m:g};{zone.last_m:g};{zone.speed_limit_kmh}"
    return {key: value for key, value in tags.items() if value}


@dataclass(frozen=True, slots=True)
class _Way:
    references: tuple[int, ...]
    tags: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class _Map:
    """What is needed of a file: drivable ways, places of their nodes (degrees), tags of the nodes that have any."""

    ways: tuple[_Way, ...]
    places: Mapping[int, tuple[float, float]]
    tags: Mapping[int, Mapping[str, str]]


def _read(path: Path) -> _Map:
    # Imported here: nobody else needs the library.
    import osmium  # noqa: PLC0415

    ways: list[tuple[int, _Way]] = []
    places: dict[int, tuple[float, float]] = {}
    tags: dict[int, Mapping[str, str]] = {}
    for item in osmium.FileProcessor(str(path)).with_locations():
        if isinstance(item, osmium.osm.Node):
            if "highway" in item.tags or "fleet:depot" in item.tags or _FRAME in item.tags:
                tags[item.id] = dict(item.tags)
        elif isinstance(item, osmium.osm.Way) and _is_road(dict(item.tags)):
            known = [node for node in item.nodes if node.location.valid()]
            places.update((node.ref, (node.lat, node.lon)) for node in known)
            if len(known) > 1:
                ways.append((item.id, _Way(tuple(node.ref for node in known), dict(item.tags))))
    ways.sort(key=lambda one: one[0])
    return _Map(tuple(way for _, way in ways), places, tags)


def _is_road(tags: Mapping[str, str]) -> bool:
    return tags.get("highway") in _DEFAULT_KMH and tags.get("area") != "yes"


def from_osm(path: Path, *, frame: LocalFrame | None = None, depots: Sequence[str] = ()) -> RoadNetwork:
    """Make a network of the roads for cars in an OSM file (XML or PBF).

    Ways are cut where they meet and at lights, stop signs and crossings. Only the largest part is kept in which every
    place can be reached from every other.

    Args:
        path: The file.
        frame: Plane to lay it in; without one, that of the file, or one around the middle of its roads.
        depots: Names of depots to place, the first far west, the last far east, unless the file itself has some.

    Raises:
        NoRoadsError: When no roads for cars are left.
    """
    source = _read(path)
    if not source.ways:
        raise NoRoadsError(f"{path.name} has no roads for cars (ways with highway = {', '.join(_DEFAULT_KMH)})")
    degrees = np.array(list(source.places.values()))
    middle = (degrees.min(axis=0) + degrees.max(axis=0)) / 2.0
    plane = frame or _frame_of(source) or LocalFrame(round(float(middle[0]), 4), round(float(middle[1]), 4))
    east, north = plane.to_plane(degrees[:, 0], degrees[:, 1])
    whole = np.rint(np.stack([east, north], axis=1) * MM_PER_M).astype(np.int64)
    points = dict(zip(source.places, whole, strict=True))
    pieces = _connected(list(_cut(source, points)))
    if not pieces:
        raise NoRoadsError(f"{path.name} has no roads for cars that lead around: every one is a dead end or one-way")
    numbers = {identity: index for index, identity in enumerate(_ends(pieces), 1)}
    nodes = {
        number: _made_node(number, identity, points[identity], source.tags.get(identity, {}))
        for identity, number in numbers.items()
    }
    edges = {
        number: _made_edge(number, (numbers[piece.references[0]], numbers[piece.references[-1]]), piece, points)
        for number, piece in enumerate(pieces, 1)
    }
    named = [
        Depot(source.tags[identity]["fleet:depot"], number)
        for identity, number in numbers.items()
        if "fleet:depot" in source.tags.get(identity, {})
    ]
    places = tuple(sorted(named, key=lambda depot: depot.node_id)) or _placed(depots, nodes)
    return RoadNetwork(plane, nodes, edges, places, ATTRIBUTION)


def _frame_of(source: _Map) -> LocalFrame | None:
    found = next((tags[_FRAME] for tags in source.tags.values() if _FRAME in tags), None)
    return None if found is None else LocalFrame(*(float(part) for part in found.split(";")))


def _cut(source: _Map, points: Mapping[int, NDArray[np.int64]]) -> Iterator[_Way]:
    """Ways between the nodes where something happens, loops halved so that no edge ends where it begins."""
    used = Counter(reference for way in source.ways for reference in way.references)
    marked = {number for number, tags in source.tags.items() if tags.get("highway") in _CONTROLS.values()}
    for way in source.ways:
        first = 0
        backwards = way.tags.get("oneway") == "-1"
        references = way.references[::-1] if backwards else way.references
        for index in range(1, len(references)):
            last = index == len(references) - 1
            if last or used[references[index]] > 1 or references[index] in marked:
                part = references[first : index + 1]
                halves = [part] if part[0] != part[-1] else [part[: len(part) // 2 + 1], part[len(part) // 2 :]]
                yield from (_Way(half, way.tags) for half in halves if _length_m(half, points) >= _SHORTEST_M)
                first = index


def _length_m(references: Sequence[int], points: Mapping[int, NDArray[np.int64]]) -> float:
    places = np.array([points[reference] for reference in references])
    return float(np.hypot(*np.diff(places, axis=0).T).sum()) / MM_PER_M


def _ends(pieces: Sequence[_Way]) -> list[int]:
    return sorted({end for piece in pieces for end in (piece.references[0], piece.references[-1])})


def _connected(pieces: list[_Way]) -> list[_Way]:
    """The pieces of the largest strongly connected part."""
    from scipy.sparse import coo_array  # noqa: PLC0415 - heavy, and nobody else here needs it
    from scipy.sparse.csgraph import connected_components  # noqa: PLC0415

    rows = {identity: index for index, identity in enumerate(_ends(pieces))}
    links = [(rows[piece.references[0]], rows[piece.references[-1]]) for piece in pieces]
    links += [(end, start) for (start, end), piece in zip(links, pieces, strict=True) if not _one_way(piece.tags)]
    pairs = np.array(links, dtype=np.int64).reshape(-1, 2)
    graph = coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(len(rows), len(rows)))
    _, part = connected_components(graph.tocsr(), directed=True, connection="strong")
    largest = int(np.bincount(part).argmax())
    kept = [piece for piece in pieces if all(part[rows[piece.references[at]]] == largest for at in (0, -1))]
    return kept if len(kept) > 1 else []


def _one_way(tags: Mapping[str, str]) -> bool:
    implied = tags.get("highway") == "motorway" or tags.get("junction") in {"roundabout", "circular"}
    return tags.get("oneway") in {"yes", "1", "true", "-1"} or (implied and tags.get("oneway") != "no")


def _number(text: str | None) -> float | None:
    found = re.match(r"\s*(\d+(?:\.\d+)?)", text or "")
    return float(found[1]) if found else None


def _limit_kmh(tags: Mapping[str, str]) -> int:
    value, text = _number(tags.get("maxspeed")), tags.get("maxspeed", "")
    if value is None or value <= 0.0:
        return _DEFAULT_KMH[tags["highway"]]
    return round(value * _KMH_PER_MPH) if "mph" in text else round(value)


def _made_node(number: int, identity: int, place: NDArray[np.int64], tags: Mapping[str, str]) -> Node:
    control = next((name for name, tag in _CONTROLS.items() if tags.get("highway") == tag), "none")
    phase = int(_number(tags.get("fleet:phase_s")) or identity % _CYCLE_S) if control == "traffic_light" else 0
    if "fleet:phase_s" in tags:
        phase = int(_number(tags["fleet:phase_s"]) or 0)
    return Node(number, int(place[0]), int(place[1]), control, phase)


def _made_edge(number: int, ends: tuple[int, int], piece: _Way, points: Mapping[int, NDArray[np.int64]]) -> Edge:
    tags, one_way = piece.tags, _one_way(piece.tags)
    total = max(1, round(_number(tags.get("lanes")) or (1 if one_way else 2)))
    lanes = min(6, total if one_way else max(1, total // 2))
    width = (_number(tags.get("width")) or 0.0) / (lanes if one_way else 2 * lanes)
    line = np.array([points[reference] for reference in piece.references], dtype=np.int64)
    # A point that repeats the one before has no direction.
    line = line[np.concatenate(([True], np.abs(np.diff(line, axis=0)).sum(axis=1) > 0))]
    return Edge(
        edge_id=number,
        start=ends[0],
        end=ends[1],
        points_mm=line,
        road_class=tags["highway"],
        lanes=lanes,
        speed_limit_kmh=_limit_kmh(tags),
        one_way=one_way,
        name=tags.get("name", ""),
        work_zone=_work_zone(tags, line),
        lane_width_m=round(width, 3) if _WIDTHS_M[0] <= width <= _WIDTHS_M[1] else _DEFAULT_WIDTH_M,
    )


def _work_zone(tags: Mapping[str, str], line: NDArray[np.int64]) -> WorkZone | None:
    if tags.get("construction") != "minor":
        return None
    if "fleet:work_zone" in tags:
        first, last, limit = tags["fleet:work_zone"].split(";")
        return WorkZone(float(first), float(last), int(limit))
    length = float(np.hypot(*np.diff(line, axis=0).T).sum()) / MM_PER_M
    return WorkZone(0.0, length, _limit_kmh(tags))


def _placed(names: Sequence[str], nodes: Mapping[int, Node]) -> tuple[Depot, ...]:
    """Depots spread from west to east."""
    order = sorted(nodes.values(), key=lambda node: (node.east_mm, node.node_id))
    at: list[int] = np.linspace(0, len(order) - 1, len(names)).round().astype(np.int64).tolist()
    return tuple(Depot(name, order[index].node_id) for name, index in zip(names, at, strict=True))
