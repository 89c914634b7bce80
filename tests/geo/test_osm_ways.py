"""Extracts become ways and edges, or are refused with a reason; nothing is left out uncounted."""

import bz2
import gzip
from collections.abc import Callable
from pathlib import Path

import pytest
from pyproj import Geod

from fleet_assets.geo.osm_edges import road_network
from fleet_assets.geo.osm_limits import country_of, direction, lanes, speed_limit, work_zone
from fleet_assets.geo.osm_ways import UnusableExtractError, read_extract
from tests.osm_maps import MAPS, grid_map, network_of, osm_xml

LIMITS = MAPS["speed_limits"]
KMH = 1 / 3.6


@pytest.mark.parametrize("pack", [lambda raw: raw, gzip.compress, bz2.compress])
def test_a_map_reads_the_same_packed_or_not(tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:
    path = tmp_path / "map"
    path.write_bytes(pack(osm_xml(*grid_map())))
    extract = read_extract(path, MAPS["extract"])
    assert (extract.counts["highway_ways"], extract.counts["car_ways"], extract.as_of) == (
        10,
        10,
        "2024-01-02T03:04:05Z",
    )


@pytest.mark.parametrize(
    ("content", "rule"),
    [
        (b"", "not_osm"),
        (b"hello" * 100, "not_osm"),
        (osm_xml(*grid_map())[:-200], "unreadable"),
        (gzip.compress(osm_xml(*grid_map()))[:-100], "unreadable"),
        (
            b'<?xml version="1.0"?><!DOCTYPE l [<!ENTITY a "aaaa">]><osm version="0.6"><node id="1" lat="&a;"/></osm>',
            "unreadable",
        ),
        (
            osm_xml({10**20: (0, 0), 2: (9, 9)}, {1: ([10**20, 2], {})}),
            "unreadable",
        ),
        (osm_xml({1: (0, 0), 2: (9, 9)}, {1: ([1, 2], {"highway": "footway"})}), "no_roads"),
    ],
)
def test_a_hostile_or_broken_file_is_refused_by_name(tmp_path: Path, content: bytes, rule: str) -> None:
    path = tmp_path / "map.osm"
    path.write_bytes(content)
    with pytest.raises(UnusableExtractError, match=r"map\.osm") as caught:
        read_extract(path, MAPS["extract"])
    assert caught.value.rule == rule


def test_a_small_file_that_unpacks_to_more_nodes_than_allowed_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bomb.osm.gz"
    path.write_bytes(gzip.compress(osm_xml(*grid_map())))
    with pytest.raises(UnusableExtractError, match="more than 10 nodes"):
        read_extract(path, {**MAPS["extract"], "max_nodes": 10})


def test_every_way_is_counted_by_what_became_of_it(tmp_path: Path) -> None:
    places, ways = grid_map()
    ways |= {
        900: ([1, 2], {"highway": "cycleway"}),
        901: ([1, 2], {"motor_vehicle": "no"}),
        902: ([1, 2], {"area": "yes"}),
        903: ([1, 1], {}),
        904: ([1, 2], {"access": "no", "motorcar": "yes"}),
    }
    path = tmp_path / "map.osm"
    path.write_bytes(osm_xml(places, ways))
    counts = read_extract(path, MAPS["extract"]).counts
    assert dict(counts) == {"highway_ways": 15, "car_ways": 11, "other_ways": 1, "closed_ways": 2, "broken_ways": 1}


def test_ways_are_cut_where_they_meet_and_junctions_are_told(tmp_path: Path) -> None:
    network = network_of(tmp_path, *grid_map())
    assert len(network.edges) == 40
    edge = next(row for row in network.edges if row["edge_id"] == "1:1-2")
    assert edge["length_m"] == pytest.approx(120.0, abs=0.05)
    assert (edge["start_junction_m"], edge["end_junction_m"]) == (pytest.approx(120, abs=0.1), 0.0)
    corner = next(node for node in network.nodes if node["node_id"] == 1)
    assert (corner["arms"], corner["junction"]) == (2, False)
    assert sum(node["junction"] for node in network.nodes) == 21


def test_lengths_are_those_of_the_ellipsoid(tmp_path: Path) -> None:
    network = network_of(tmp_path, {1: (0, 0), 2: (3000, 4000)}, {1: ([1, 2], {})})
    text = network.edges[0]["geometry"].removeprefix("LINESTRING (").removesuffix(")")
    (lon1, lat1), (lon2, lat2) = (map(float, pair.split()) for pair in text.split(", "))
    _, _, metres = Geod(ellps="WGS84").inv(lon1, lat1, lon2, lat2)
    assert network.edges[0]["length_m"] == pytest.approx(metres, rel=1e-3)


def test_a_loop_is_halved_and_a_way_against_its_drawing_is_turned_around(tmp_path: Path) -> None:
    places = {1: (0.0, 0.0), 2: (100.0, 0.0), 3: (100.0, 100.0), 4: (0.0, 100.0), 5: (-50.0, 0.0)}
    network = network_of(tmp_path, places, {1: ([1, 2, 3, 4, 1], {}), 2: ([5, 1], {"oneway": "-1"})})
    ends = {(row["way_id"], row["start_node"], row["end_node"], row["one_way"]) for row in network.edges}
    assert ends == {(1, 1, 3, False), (1, 3, 1, False), (2, 1, 5, True)}


def test_nodes_that_an_extract_cut_off_break_a_way_in_two(tmp_path: Path) -> None:
    places = {1: (0.0, 0.0), 2: (50.0, 0.0), 4: (150.0, 0.0), 5: (200.0, 0.0)}
    network = network_of(tmp_path, places, {1: ([1, 2, 3, 4, 5], {})})
    assert network.incomplete_ways == 1
    assert [row["edge_id"] for row in network.edges] == ["1:1-2", "1:4-5"]


def test_a_changed_street_changes_the_digests_of_its_cells_only(tmp_path: Path) -> None:
    places, ways = grid_map(2)
    places |= {50: (9000.0, 0.0), 51: (9100.0, 0.0)}
    ways |= {50: ([50, 51], {})}
    before = {row["cell"]: row["digest"] for row in network_of(tmp_path, places, ways).cells}
    ways[50] = ([50, 51], {"maxspeed": "30"})
    after = {row["cell"]: row["digest"] for row in network_of(tmp_path, places, ways).cells}
    changed = {cell for cell in before if before[cell] != after[cell]}
    assert before.keys() == after.keys()
    assert len(changed) == 1
    assert changed < before.keys()


@pytest.mark.parametrize(
    ("tags", "mps", "source"),
    [
        ({"maxspeed": "50"}, 50 * KMH, "tagged"),
        ({"maxspeed": "30 mph"}, 13.4112, "tagged"),
        ({"maxspeed": "none"}, None, "unlimited"),
        ({"maxspeed": "walk"}, 7 * KMH, "tagged"),
        ({"maxspeed": "DE:urban"}, 50 * KMH, "named"),
        ({"source:maxspeed": "DE:rural"}, 100 * KMH, "named"),
        ({"maxspeed": "9999"}, 50 * KMH, "default"),
        ({"maxspeed": "50;30"}, 50 * KMH, "default"),
        ({"maxspeed:forward": "70", "maxspeed": "50"}, 70 * KMH, "tagged"),
        ({"maxspeed:backward": "70", "maxspeed": "60"}, 60 * KMH, "tagged"),
        ({}, 50 * KMH, "default"),
    ],
)
def test_a_speed_limit_says_where_it_comes_from(tags: dict[str, str], mps: float | None, source: str) -> None:
    limit = speed_limit({"highway": "residential", **tags}, True, "DE", LIMITS)
    assert limit.source == source
    assert limit.mps == (None if mps is None else pytest.approx(mps))


@pytest.mark.parametrize(
    ("tags", "forth", "back"),
    [
        ({"maxspeed:forward": "70"}, (70, "tagged"), (50, "default")),
        ({"maxspeed:backward": "70"}, (50, "default"), (70, "tagged")),
        ({"maxspeed:backward": "none", "maxspeed": "DE:rural"}, (100, "named"), (None, "unlimited")),
        ({"maxspeed:forward": "30", "oneway": "yes"}, (30, "tagged"), (None, None)),
        ({"maxspeed:backward": "30", "maxspeed:forward": "70", "oneway": "-1"}, (30, "tagged"), (None, None)),
    ],
)
def test_each_direction_has_its_own_limit_and_source(
    tmp_path: Path, tags: dict[str, str], forth: tuple[float, str], back: tuple[float | None, str | None]
) -> None:
    (edge,) = network_of(tmp_path, {1: (0, 0), 2: (300, 0)}, {1: ([1, 2], tags)}).edges
    for (kmh, source), side in ((forth, ""), (back, "_back")):
        mps = edge[f"speed_limit{side}_mps"]
        assert (mps, edge[f"speed_limit{side}_source"]) == (None if kmh is None else pytest.approx(kmh * KMH), source)


def test_a_road_without_an_edge_is_told_with_its_reason(tmp_path: Path) -> None:
    """No length, all nodes missing, one node missing: none of the three becomes an edge."""
    places = {1: (0.0, 0.0), 2: (300.0, 0.0), 3: (300.0, 0.0), 4: (500.0, 0.0)}
    network = network_of(tmp_path, places, {1: ([1, 2], {}), 2: ([2, 3], {}), 3: ([8, 9], {}), 4: ([4, 77], {})})
    assert {row["way_id"] for row in network.edges} == {1}
    assert (network.lengthless_ways, network.cut_off_ways, network.incomplete_ways) == (1, 2, 2)


def test_the_smallest_box_names_the_country() -> None:
    assert country_of(1.28, 103.86, LIMITS) == "SG"
    assert country_of(52.34, 4.93, LIMITS) == "NL"
    assert country_of(0.0, 0.0, LIMITS) == "other"


def test_one_way_lanes_and_work_zones_are_read_as_the_wiki_says() -> None:
    assert [direction({"highway": "primary", "oneway": value}) for value in ("yes", "-1", "no", "reversible")] == [
        1,
        -1,
        0,
        0,
    ]
    assert direction({"highway": "motorway"}) == 1
    assert direction({"highway": "motorway", "oneway": "no"}) == 0
    assert direction({"highway": "tertiary", "junction": "roundabout"}) == 1
    assert [lanes({"lanes": text}) for text in ("3", "0", "2;3", "-1", "٣", "999999999999")] == [
        3,
        None,
        None,
        None,
        None,
        None,
    ]
    zone = work_zone({"construction": "minor", "fleet:work_zone": "10;60.5;30"}, 200.0)
    assert zone is not None
    assert (zone.first_m, zone.last_m, zone.limit_mps) == (10.0, 60.5, pytest.approx(30 * KMH))
    assert work_zone({"construction": "no"}, 200.0) is None


@pytest.mark.real_data
def test_the_baltimore_extract_has_3844_highway_ways(real_data: Path) -> None:
    extract = read_extract(real_data / "osm_extracts_and_gpx/sample/baltimore.osm.pbf", MAPS["extract"])
    network = road_network(extract, MAPS)
    assert extract.counts["highway_ways"] == 3844
    assert sum(extract.counts[name] for name in ("car_ways", "other_ways", "closed_ways", "broken_ways")) == 3844
    assert (network.country, network.incomplete_ways, extract.as_of) == ("US", 0, "2015-02-27T18:36:32Z")
    tagged = [row for row in network.edges if row["speed_limit_source"] == "tagged"]
    assert {round(row["speed_limit_mps"] / 0.44704) for row in tagged if row["road_class"] == "motorway"} >= {50, 55}


@pytest.mark.real_data
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
def test_a_truncated_real_extract_is_refused(real_data: Path, tmp_path: Path, share: float) -> None:
    raw = (real_data / "osm_extracts_and_gpx/sample/baltimore.osm.pbf").read_bytes()
    path = tmp_path / "cut.osm.pbf"
    path.write_bytes(raw[: round(len(raw) * share)])
    with pytest.raises(UnusableExtractError, match="unreadable"):
        read_extract(path, MAPS["extract"])
