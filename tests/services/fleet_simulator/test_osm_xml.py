"""Networks as OpenStreetMap files: nothing is lost on the way out and back, and real maps can be driven."""

from collections import Counter
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import osmium
import pytest

from fleet_assets.policy.documents import load_policies
from services.fleet_simulator.drive_truth import NS_PER_S, DrivePlan
from services.fleet_simulator.traffic.drive import simulate_drive
from services.fleet_simulator.world.generate import generate_network
from services.fleet_simulator.world.osm_xml import NoRoadsError, from_osm, to_osm_xml
from services.fleet_simulator.world.road_network import Edge, RoadNetwork
from services.fleet_simulator.world.routes import make_route, plan_steps
from tests.services.fleet_simulator.collisions import overlaps

POLICY = load_policies()["simulation"]
COARSE_MM = 12
"""OSM files give places to 1e-7 degrees, 11 mm."""


def said(edge: Edge) -> tuple[object, ...]:
    """Everything that an edge says besides its exact line."""
    traits = (edge.road_class, edge.lanes, edge.speed_limit_kmh, edge.one_way, edge.name, edge.lane_width_m)
    return (edge.edge_id, edge.start, edge.end, *traits, edge.work_zone)


@pytest.mark.parametrize("seed", range(3))
def test_a_made_network_comes_back_from_its_file(seed: int, tmp_path: Path) -> None:
    network = generate_network(seed, POLICY["world"])
    path = tmp_path / "town.osm"
    path.write_bytes(to_osm_xml(network))
    again = from_osm(path, frame=network.frame)
    assert [said(edge) for edge in again.edges.values()] == [said(edge) for edge in network.edges.values()]
    assert again.depots == network.depots
    for one, two in zip(network.nodes.values(), again.nodes.values(), strict=True):
        assert (one.node_id, one.control, one.phase_s) == (two.node_id, two.control, two.phase_s)
    for edge, back in zip(network.edges.values(), again.edges.values(), strict=True):
        assert np.abs(edge.points_mm - back.points_mm).max() <= COARSE_MM
    assert to_osm_xml(again) == path.read_bytes()


def test_the_file_has_the_tags_that_map_editors_know(tmp_path: Path) -> None:
    network = generate_network(3, POLICY["world"])
    root = ElementTree.fromstring(to_osm_xml(network))  # noqa: S314 - our own file
    assert (root.tag, root.get("version")) == ("osm", "0.6")
    marks = Counter(tag.get("v") for tag in root.iterfind("node/tag[@k='highway']"))
    controls = Counter(node.control for node in network.nodes.values())
    wanted = {"traffic_signals": "traffic_light", "crossing": "crossing", "stop": "stop"}
    assert marks == {tag: controls[control] for tag, control in wanted.items()}
    for way in root.iterfind("way"):
        assert {"highway", "maxspeed", "lanes", "oneway"} <= {tag.get("k") for tag in way.iterfind("tag")}
    assert len(root.findall("way/tag[@k='construction']")) == POLICY["world"]["work_zones"]["count"]
    # libosmium is the independent reader: every reference of every way has a place.
    path = tmp_path / "town.osm"
    path.write_bytes(to_osm_xml(network))
    ways = [item for item in osmium.FileProcessor(str(path)).with_locations() if isinstance(item, osmium.osm.Way)]
    assert len(ways) == len(network.edges)


def a_map(tmp_path: Path, ways: str) -> Path:
    places = [(0, 0), (0, 2), (2, 2), (2, 0), (5, 5)]
    nodes = "".join(
        f'<node id="{number}" lat="{50 + north / 1000}" lon="{8 + east / 1000}"/>'
        for number, (north, east) in enumerate(places, 1)
    )
    path = tmp_path / "small.osm"
    path.write_text(f'<osm version="0.6">{nodes}{ways}</osm>', encoding="utf-8")
    return path


def way(number: int, references: tuple[int, ...], **tags: str) -> str:
    refs = "".join(f'<nd ref="{reference}"/>' for reference in references)
    return f'<way id="{number}">{refs}' + "".join(f'<tag k="{k}" v="{v}"/>' for k, v in tags.items()) + "</way>"


def test_tags_are_read_as_mappers_mean_them(tmp_path: Path) -> None:
    ring = (1, 2, 3, 4, 1)
    path = a_map(
        tmp_path,
        way(1, ring, highway="residential", maxspeed="25 mph", lanes="4", width="13", construction="minor")
        + way(2, (3, 1), highway="secondary", oneway="-1")
        + way(3, (4, 5), highway="footway")
        + way(4, (2, 5), highway="residential", oneway="yes"),
    )
    network = from_osm(path, depots=("a", "b"))
    ringed = [edge for edge in network.edges.values() if edge.road_class == "residential"]
    assert {(edge.speed_limit_kmh, edge.lanes, edge.lane_width_m, edge.one_way) for edge in ringed} == {
        (40, 2, 3.25, False)
    }
    assert all(edge.work_zone is not None for edge in ringed)
    (short,) = [edge for edge in network.edges.values() if edge.road_class == "secondary"]
    # From the second corner given to the first: against the way's drawn direction.
    assert short.one_way
    assert short.points_mm[0, 0] < short.points_mm[-1, 0]
    # The one-way street that leads nowhere and the footway are left out.
    assert max(node.north_mm for node in network.nodes.values()) < 300_000
    assert [depot.name for depot in network.depots] == ["a", "b"]


def test_a_map_without_roads_that_lead_around_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NoRoadsError, match="no roads for cars"):
        from_osm(a_map(tmp_path, way(1, (1, 2), highway="footway")))
    with pytest.raises(NoRoadsError, match="lead around"):
        from_osm(a_map(tmp_path, way(1, (1, 2), highway="residential", oneway="yes")))


def rolled(network: RoadNetwork, seed: int) -> int:
    plan = DrivePlan("d", "v", network.depots[0].name, seed, 1_760_000_000 * NS_PER_S, 20.0)
    truth = simulate_drive(plan, network, POLICY)
    assert not list(overlaps(truth, ego_only=True))
    assert np.abs(truth.ego.lane_offset_mm).max() < 3500
    return int(truth.ego.route_mm[-1] - truth.ego.route_mm[0])


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("name", "edges", "lights"), [("baltimore", 8000, 300), ("bayfront_singapore", 60, 7), ("map-issue13", 40, 0)]
)
def test_real_extracts_become_networks_that_can_be_driven(real_data: Path, name: str, edges: int, lights: int) -> None:
    (path,) = (real_data / "osm_extracts_and_gpx/sample").glob(f"{name}.osm*")
    network = from_osm(path, depots=("west", "east"))
    assert len(network.edges) >= edges
    assert sum(node.control == "traffic_light" for node in network.nodes.values()) >= lights
    route = make_route(network, plan_steps(network, network.depots[0].node_id, 1, 2000.0))
    assert np.hypot(np.diff(route.east_m), np.diff(route.north_m)).max() < 0.51
    assert rolled(network, 1) > 20_000
