"""Small maps for tests: OSM XML from places in metres, and the graph and tables that become of it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from fleet_assets.geo.local_frame import LocalFrame
from fleet_assets.geo.osm_edges import RoadNetwork, road_network
from fleet_assets.geo.osm_ways import read_extract
from fleet_assets.policy.documents import load_policies
from fleet_assets.tables.maps import ROAD_EDGES

FRAME = LocalFrame(48.0, 11.0)
MAPS = load_policies()["maps"]
Way = tuple[Sequence[int], Mapping[str, str]]


def osm_xml(places: Mapping[int, tuple[float, float]], ways: Mapping[int, Way], tail: str = "</osm>") -> bytes:
    """A map: node → metres east and north of 48 N 11 E; way → its nodes and tags."""
    lines = ['<?xml version="1.0" encoding="UTF-8"?>', '<osm version="0.6" generator="test">']
    for number, (east, north) in places.items():
        lat, lon = (float(value) for value in FRAME.to_geographic(east, north))
        lines.append(
            f'<node id="{number}" version="1" timestamp="2024-01-02T03:04:05Z" lat="{lat:.7f}" lon="{lon:.7f}"/>'
        )
    for number, (nodes, tags) in ways.items():
        body = "".join(f'<nd ref="{node}"/>' for node in nodes)
        body += "".join(f'<tag k="{key}" v="{value}"/>' for key, value in {"highway": "residential", **tags}.items())
        lines.append(f'<way id="{number}" version="1" timestamp="2024-01-02T03:04:05Z">{body}</way>')
    return "\n".join([*lines, tail]).encode()


def network_of(folder: Path, places: Mapping[int, tuple[float, float]], ways: Mapping[int, Way]) -> RoadNetwork:
    """The network that becomes of a map."""
    path = folder / "test.osm"
    path.write_bytes(osm_xml(places, ways))
    return road_network(read_extract(path, MAPS["extract"]), MAPS)


def edge_table(network: RoadNetwork) -> pa.Table:
    """Rows of `map.road_edges`."""
    return ROAD_EDGES.from_rows([{"snapshot": "test", **row} for row in network.edges])


def grid_map(size: int = 5, spacing_m: float = 120.0) -> tuple[dict[int, tuple[float, float]], dict[int, Way]]:
    """Streets of a chessboard: rows are ways 1.., columns ways 101.., nodes row * 100 + column."""
    places = {
        row * 100 + column + 1: (column * spacing_m, row * spacing_m) for row in range(size) for column in range(size)
    }
    ways: dict[int, Any] = {row + 1: ([row * 100 + column + 1 for column in range(size)], {}) for row in range(size)}
    ways |= {column + 101: ([row * 100 + column + 1 for row in range(size)], {}) for column in range(size)}
    return places, ways
