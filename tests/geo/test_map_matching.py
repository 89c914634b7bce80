"""Matched drives on small maps whose right answer is plain to see, and on real streets."""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import shapely

from fleet_assets.geo.map_matching import Match, MatchRules, SmoothingRules, Trace, as_trace, match, smoothed
from fleet_assets.geo.osm_edges import road_network
from fleet_assets.geo.osm_ways import read_extract
from fleet_assets.geo.road_graph import RoadGraph
from fleet_assets.geo.routes import Route, place_on_routes, routes
from tests.osm_maps import FRAME, MAPS, Way, edge_table, grid_map, network_of

RULES = MatchRules.of(MAPS["matching"])
SMOOTHING = SmoothingRules.of(MAPS["matching"])


def graph_of(folder: Path, places: dict[int, tuple[float, float]], ways: dict[int, Way]) -> RoadGraph:
    return RoadGraph(edge_table(network_of(folder, places, ways)))


def driven(
    graph: RoadGraph, corners: Sequence[tuple[float, float]], step_m: float, noise_m: float = 0.0, seed: int = 1
) -> Trace:
    """Positions every so many metres along straight lines between corners, metres of the test's plane."""
    line = shapely.LineString(corners)
    points = [line.interpolate(at) for at in np.arange(0.0, line.length + 1e-6, step_m)]
    noise = np.random.default_rng(seed).normal(0.0, noise_m, (len(points), 2))
    lat, lon = FRAME.to_geographic([p.x for p in points] + noise[:, 0], [p.y for p in points] + noise[:, 1])
    return as_trace(graph, lat, lon)


def matched(graph: RoadGraph, trace: Trace, rules: MatchRules = RULES) -> tuple[Match, list[Route]]:
    found = match(graph, trace, rules)
    return found, routes(graph, found, rules)


def told(graph: RoadGraph, route: Route) -> list[str]:
    """Edges of a route, with a minus in front of those driven against their drawing."""
    return [("" if graph.forward[one] else "-") + graph.edge_id[graph.edge[one]] for one in route.directed.tolist()]


@pytest.mark.parametrize(("step_m", "noise_m"), [(1.0, 0.0), (12.0, 4.0), (60.0, 4.0), (110.0, 2.0)])
def test_a_drive_around_corners_is_matched_at_any_rate(tmp_path: Path, step_m: float, noise_m: float) -> None:
    graph = graph_of(tmp_path, *grid_map())
    trace = driven(graph, [(10, 0), (240, 0), (240, 360), (30, 360)], step_m, noise_m)
    _, (route,) = matched(graph, trace)
    assert told(graph, route) == [
        "1:1-2", "1:2-3", "103:3-103", "103:103-203", "103:203-303", "-4:302-303", "-4:301-302",
    ]  # fmt: skip


def test_the_same_trace_gives_the_same_answer_and_pieces_of_the_work_do_not_show(tmp_path: Path) -> None:
    graph = graph_of(tmp_path, *grid_map())
    trace = driven(graph, [(10, 0), (240, 0), (240, 360), (30, 360), (30, 10)], 7.0, 6.0)
    first, again = matched(graph, trace)[0], matched(graph, trace)[0]
    small = matched(graph, trace, replace(RULES, chunk=3))[0]
    for other in (again, small):
        assert np.array_equal(first.directed, other.directed)
        assert np.array_equal(first.travelled_m, other.travelled_m)


def test_a_turn_on_the_road_is_a_turn(tmp_path: Path) -> None:
    graph = graph_of(tmp_path, {1: (0.0, 0.0), 2: (600.0, 0.0)}, {1: ([1, 2], {})})
    _, (route,) = matched(graph, driven(graph, [(20, 0), (400, 0), (50, 0)], 10.0, 3.0))
    assert told(graph, route) == ["1:1-2", "-1:1-2"]
    assert route.length_m == pytest.approx(730, abs=25)


def test_one_way_streets_are_driven_their_way_only(tmp_path: Path) -> None:
    places, ways = grid_map(3)
    ways[1] = (ways[1][0], {"oneway": "yes"})
    graph = graph_of(tmp_path, places, ways)
    for route in matched(graph, driven(graph, [(235, 0), (5, 0)], 15.0, 3.0))[1]:
        assert not [name for name in told(graph, route) if name.startswith("-1:")]


def test_of_two_parallel_roads_the_course_tells_which_way_and_the_nearer_one_wins(tmp_path: Path) -> None:
    places = {1: (0.0, 0.0), 2: (1000.0, 0.0), 3: (0.0, 14.0), 4: (1000.0, 14.0)}
    graph = graph_of(tmp_path, places, {1: ([1, 2], {"oneway": "yes"}), 2: ([4, 3], {"oneway": "yes"})})
    between = driven(graph, [(100, 7.5), (900, 7.5)], 12.0)
    east = replace(between, course_deg=np.full(len(between.east_m), 90.0))
    assert told(graph, matched(graph, east)[1][0]) == ["1:1-2"]
    near = driven(graph, [(900, 12), (100, 12)], 12.0, 3.0)
    assert told(graph, matched(graph, near)[1][0]) == ["2:4-3"]


def test_a_gap_is_bridged_when_a_way_leads_over_it_and_ends_the_stretch_when_none_does(tmp_path: Path) -> None:
    places, ways = grid_map(5, 200.0)
    graph = graph_of(tmp_path, places, ways)
    whole = driven(graph, [(10, 0), (790, 0)], 10.0)
    kept = np.r_[0:20, 60:78]
    holed = Trace(whole.east_m[kept], whole.north_m[kept], whole.course_deg[kept])
    _, (route,) = matched(graph, holed)
    assert told(graph, route) == ["1:1-2", "1:2-3", "1:3-4", "1:4-5"]
    island = graph_of(tmp_path, {1: (0, 0), 2: (300, 0), 3: (500, 0), 4: (800, 0)}, {1: ([1, 2], {}), 2: ([3, 4], {})})
    trace = driven(island, [(10, 0), (790, 0)], 10.0)
    found, parts = matched(island, trace)
    assert [told(island, part) for part in parts] == [["1:1-2"], ["2:3-4"]]
    assert (found.directed[found.stretch < 0] == -1).all()


def test_an_outlier_far_off_is_passed_over(tmp_path: Path) -> None:
    graph = graph_of(tmp_path, *grid_map(5, 300.0))
    trace = driven(graph, [(20, 0), (1100, 0)], 12.0)
    trace.north_m[40] += 40.0
    trace.north_m[41] += 150.0
    _, (route,) = matched(graph, trace)
    assert told(graph, route) == ["1:1-2", "1:2-3", "1:3-4", "1:4-5"]


def test_one_position_over_a_maze_of_driveways_does_not_take_the_drive_off_the_motorway(tmp_path: Path) -> None:
    """The road that it is on is the thirteenth nearest there, and no way leads back from the others."""
    places = {1: (0.0, 0.0), 2: (600.0, 0.0), 3: (3000.0, 0.0), 4: (960.0, 44.0)}
    places |= {10 + number: (960.0 + 6.0 * number, 44.0 + (number % 2)) for number in range(1, 13)}
    rows = [4, *(number for number in places if number > 10)]
    ways: dict[int, Way] = {
        1: ([1, 2, 3], {"highway": "motorway", "oneway": "yes"}),
        2: ([2, 4], {"highway": "motorway_link", "oneway": "yes"}),
        **{
            100 + place: ([a, b], {"highway": "service"})
            for place, (a, b) in enumerate(zip(rows, rows[1:], strict=False))
        },
    }
    graph = graph_of(tmp_path, places, ways)
    trace = driven(graph, [(20, 0), (2980, 0)], 100.0, 3.0)
    trace.north_m[10] += 44.0
    _, (route,) = matched(graph, trace)
    assert {name.split(":")[0] for name in told(graph, route)} == {"1"}
    assert route.length_m == pytest.approx(2900, abs=20)


def test_standing_in_noise_drives_nowhere(tmp_path: Path) -> None:
    graph = graph_of(tmp_path, *grid_map())
    rng = np.random.default_rng(3)
    lat, lon = FRAME.to_geographic(118.0 + rng.normal(0, 5, 600), rng.normal(0, 5, 600))
    still = smoothed(as_trace(graph, lat, lon), np.arange(600.0), SMOOTHING)
    _, parts = matched(graph, still)
    assert sum(part.length_m for part in parts) < 40.0


def test_a_turn_at_speed_is_not_taken_for_a_standstill(tmp_path: Path) -> None:
    graph = graph_of(tmp_path, {1: (0.0, 0.0), 2: (600.0, 0.0)}, {1: ([1, 2], {})})
    trace = driven(graph, [(0, 0), (400, 0), (0, 0)], 8.0)
    after = smoothed(trace, np.arange(float(len(trace.east_m))), SMOOTHING)
    assert float(np.abs(after.east_m - trace.east_m).max()) < 0.01


def test_valhalla_2659_a_position_names_the_edge_that_it_lies_on(tmp_path: Path) -> None:
    """Valhalla named a neighbour's index for positions at the ends of edges and behind discontinuities (issue 2659)."""
    places, ways = grid_map(4)
    places |= {901: (2000.0, 0.0), 902: (2400.0, 0.0), 903: (2400.0, 300.0)}
    ways |= {901: ([901, 902, 903], {}), 902: ([902, 901], {"oneway": "yes"})}
    graph = graph_of(tmp_path, places, ways)
    trace = driven(graph, [(0, 0), (120, 0), (120, 240), (360, 240)], 6.0, 3.0)
    other = driven(graph, [(2000, 0), (2400, 0), (2400, 290)], 6.0, 3.0)
    both = Trace(
        *(np.concatenate([getattr(trace, axis), getattr(other, axis)]) for axis in ("east_m", "north_m", "course_deg"))
    )
    found, parts = matched(graph, both)
    assert len(parts) == 2
    times = np.arange(len(both.east_m), dtype=float)
    placed = place_on_routes(graph, parts, found.used, t=times, east_m=both.east_m, north_m=both.north_m)
    assert (placed.directed >= 0).all()
    for row, directed in enumerate(placed.directed.tolist()):
        line = graph.lines[graph.edge[directed]]
        drawn = placed.travelled_m[row] if graph.forward[directed] else line.length - placed.travelled_m[row]
        there = line.interpolate(drawn)
        apart = there.distance(shapely.Point(both.east_m[row], both.north_m[row]))
        assert apart == pytest.approx(placed.away_m[row], abs=1e-6)
        assert directed in parts[placed.route[row]].directed.tolist()


def test_the_shortest_ways_are_those_of_networkx(tmp_path: Path) -> None:
    networkx = pytest.importorskip("networkx")
    places, ways = grid_map(4)
    ways[2] = (ways[2][0], {"oneway": "yes"})
    graph = graph_of(tmp_path, places, ways)
    peer = networkx.DiGraph()
    for one in range(graph.count):
        for other in range(graph.count):
            if graph.end[one] == graph.begin[other]:
                turn = 50.0 if graph.reverse[one] == other else 0.0
                peer.add_edge(one, other, weight=float(graph.length_m[other]) + turn)
    found = graph.ways_from(np.arange(graph.count), 1e5, 50.0)
    for one, reached in networkx.all_pairs_dijkstra_path_length(peer):
        for other, metres in reached.items():
            assert found[one, other] == pytest.approx(metres, abs=1e-6)


def test_nearest_roads_are_those_of_looking_at_every_road(tmp_path: Path) -> None:
    graph = graph_of(tmp_path, *grid_map())
    rng = np.random.default_rng(5)
    bounds = shapely.total_bounds(graph.lines)
    east, north = rng.uniform(bounds[0], bounds[2], 50), rng.uniform(bounds[1], bounds[3], 50)
    near = graph.nearby(east, north, 60.0, 4)
    for row in range(50):
        away = shapely.distance(graph.lines, shapely.Point(east[row], north[row]))
        expected = np.sort(away[away <= 60.0])[:4]
        found = near.away_m[row][near.edge[row] >= 0]
        assert found == pytest.approx(expected)


@pytest.mark.real_data
def test_the_timeless_istanbul_trace_is_matched_by_its_geometry(real_data: Path) -> None:
    folder = real_data / "osm_extracts_and_gpx/sample"
    text = (folder / "issue-13.gpx").read_text()
    points = re.findall(r'<trkpt lat="([-.0-9]+)" lon="([-.0-9]+)"', text)
    lat, lon = np.array(points, dtype=np.float64).T
    graph = RoadGraph(edge_table(road_network(read_extract(folder / "map-issue13.osm.gz", MAPS["extract"]), MAPS)))
    found, parts = matched(graph, as_trace(graph, lat, lon))
    assert len(points) == 29
    assert len(parts) == 1
    assert (found.directed >= 0).all()
    assert float(np.quantile(found.away_m, 0.95)) < 25.0
    straight = np.hypot(np.diff(as_trace(graph, lat, lon).east_m), np.diff(as_trace(graph, lat, lon).north_m)).sum()
    assert parts[0].length_m == pytest.approx(float(straight), rel=0.25)
