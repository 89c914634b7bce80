"""Rows of `silver.map_context` of whole drives: each lies where it says, over the borders of cells and maps too."""

import tracemalloc
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import shapely
from numpy.typing import NDArray

from fleet_assets.geo.osm_edges import road_network
from fleet_assets.geo.osm_ways import read_extract
from fleet_assets.geo.road_graph import RoadGraph, edges_of_cells
from fleet_assets.ingestion.map_and_weather_enrichment.charts import Part, Region, chart_of
from fleet_assets.ingestion.map_and_weather_enrichment.drive_cells import cell_rows
from fleet_assets.ingestion.map_and_weather_enrichment.matching import drive_on_map, drive_on_maps, places_on_maps
from fleet_assets.provenance.ledger import Entry
from tests.osm_maps import FRAME, MAPS, Way, edge_table, grid_map, network_of, osm_xml

MATCHING = MAPS["matching"]
MM = 0.001
Corner = tuple[float, float]


def drive(corners: Sequence[Corner], *, noise_m: float = 3.0, step_m: float = 8.0, seed: int = 1) -> pa.Table:
    """Rows of `silver.signals`, one a second, along straight lines between corners."""
    line = shapely.LineString(corners)
    places = shapely.get_coordinates([line.interpolate(at) for at in np.arange(0.0, line.length, step_m)])
    places = places + np.random.default_rng(seed).normal(0.0, noise_m, places.shape)
    return signals_of(*FRAME.to_geographic(places[:, 0], places[:, 1]))


def signals_of(lat_deg: NDArray[np.float64], lon_deg: NDArray[np.float64]) -> pa.Table:
    count = len(lat_deg)
    unknown = np.full(count, np.nan)
    times = np.arange(count, dtype=np.int64) * 1_000_000_000
    columns = {"lat_deg": lat_deg, "lon_deg": lon_deg, "heading_deg": unknown, "speed_mps": unknown}
    return pa.table({"clip_id": ["c"] * count, "t_ns": times, **columns})


def assert_rows_lie_where_they_say(signals: pa.Table, edges: pa.Table, context: pa.Table) -> int:
    """Edge and offset of every row give its distance from the position, to the millimetre; returns rows on roads."""
    graph = RoadGraph(edges)
    lines = dict(zip(graph.edge_id, graph.lines, strict=True))
    east, north = graph.frame.to_plane(signals["lat_deg"].to_numpy(), signals["lon_deg"].to_numpy())
    assert context["t_ns"].to_pylist() == signals["t_ns"].to_pylist()
    on_road = 0
    for row, x, y in zip(context.to_pylist(), east, north, strict=True):
        if row["edge_id"] is None:
            continue
        line = lines[row["edge_id"]]
        assert 0.0 <= row["offset_m"] <= line.length + MM
        there = line.interpolate(row["offset_m"])
        assert there.distance(shapely.Point(x, y)) == pytest.approx(row["snap_distance_m"], abs=1.1 * MM)
        on_road += 1
    return on_road


def awkward_town() -> tuple[dict[int, Corner], dict[int, Way]]:
    """A chessboard with streets drawn against the drive, a one-way street drawn backwards, and a ring of one way."""
    places, ways = grid_map(5)
    ways[1] = (list(ways[1][0])[::-1], {})
    ways[103] = (list(ways[103][0])[::-1], {"oneway": "-1"})
    places |= {901: (480.0, 240.0), 902: (600.0, 240.0), 903: (600.0, 360.0), 904: (480.0, 360.0)}
    places |= {905: (720.0, 240.0), 906: (720.0, 120.0), 907: (600.0, 120.0)}
    ways[900] = ([205, 902, 903, 305], {})
    ways[901] = ([902, 905, 906, 907, 902], {})
    return places, ways


@pytest.mark.parametrize(
    "corners",
    [
        [(0, 0), (240, 0), (240, 480), (480, 480)],
        [(480, 0), (0, 0)],
        [(250, 240), (600, 240), (720, 240), (720, 120), (600, 120), (600, 238), (490, 240)],
        [(10, 0), (200, 0), (60, 0)],
    ],
)
def test_valhalla_2659_edge_and_offset_of_every_row_give_its_snap_distance(
    tmp_path: Path, corners: list[Corner]
) -> None:
    """Valhalla named a neighbour's index for positions at the ends of edges and behind discontinuities (issue 2659)."""
    edges = edge_table(network_of(tmp_path, *awkward_town()))
    signals = drive(corners)
    summary, context = drive_on_map(signals, edges, MATCHING)
    assert context is not None
    assert assert_rows_lie_where_they_say(signals, edges, context) == signals.num_rows == summary["snapped"]


def test_valhalla_2659_rows_behind_a_discontinuity_lie_where_they_say(tmp_path: Path) -> None:
    places, ways = awkward_town()
    places |= {991: (2000.0, 0.0), 992: (2400.0, 0.0), 993: (2400.0, 300.0)}
    ways |= {991: ([991, 992, 993], {}), 992: ([992, 991], {"oneway": "yes"})}
    edges = edge_table(network_of(tmp_path, places, ways))
    first, second = drive([(0, 0), (480, 0), (480, 240)]), drive([(2000, 0), (2400, 0), (2400, 290)])
    both = pa.concat_tables([first, second])
    times = pa.array(np.arange(both.num_rows, dtype=np.int64) * 1_000_000_000)
    signals = both.set_column(both.schema.get_field_index("t_ns"), "t_ns", times)
    summary, context = drive_on_map(signals, edges, MATCHING)
    assert context is not None
    assert assert_rows_lie_where_they_say(signals, edges, context) == signals.num_rows
    assert summary["stretches"] == 2
    assert context["stretch"].to_pylist() == [0] * first.num_rows + [1] * second.num_rows


@pytest.mark.real_data
@pytest.mark.parametrize("seed", [0, 1])
def test_valhalla_2659_rows_over_real_streets_lie_where_they_say(real_data: Path, seed: int) -> None:
    edges = baltimore(real_data)
    graph = RoadGraph(edges)
    signals = wandering(graph, np.random.default_rng(seed))
    summary, context = drive_on_map(signals, edges, MATCHING)
    assert context is not None
    assert assert_rows_lie_where_they_say(signals, edges, context) == summary["snapped"]
    assert summary["snapped"] >= 0.95 * signals.num_rows
    assert len(set(context["edge_id"].to_pylist())) > 20


@cache
def baltimore(real_data: Path) -> pa.Table:
    path = real_data / "osm_extracts_and_gpx/sample/baltimore.osm.pbf"
    return edge_table(road_network(read_extract(path, MAPS["extract"]), MAPS))


def wandering(graph: RoadGraph, rng: np.random.Generator) -> pa.Table:
    """A drive over forty edges taken at random, each of which goes on where the one before ends."""
    directed = [int(rng.integers(graph.count))]
    while len(directed) < 40:
        onward = np.flatnonzero((graph.begin == graph.end[directed[-1]]) & (graph.reverse != directed[-1]))
        directed.append(int(rng.choice(onward)) if len(onward) else int(graph.reverse[directed[-1]]))
    steps = [(one, at) for one in directed for at in np.arange(0.0, float(graph.length_m[one]), 8.0)]
    which, along = np.array([one for one, _ in steps]), np.array([at for _, at in steps])
    east, north = graph.place(which, along)
    noise = rng.normal(0.0, 3.0, (2, len(which)))
    return signals_of(*graph.frame.to_geographic(east + noise[0], north + noise[1]))


def cells_of_rows(signals: pa.Table) -> list[dict[str, Any]]:
    """Rows of `silver.drive_cells`."""
    columns = (signals[name].to_numpy() for name in ("t_ns", "lat_deg", "lon_deg"))
    return cell_rows(*columns, MAPS["extract"]["cell_resolution"])


BLOCKS, BLOCK_M = 24, 250.0


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> pa.Table:
    """A town six kilometres across: 24 by 24 streets."""
    return edge_table(network_of(tmp_path_factory.mktemp("wide"), *grid_map(BLOCKS, BLOCK_M)))


def across(seed: int) -> list[Corner]:
    """Streets from one end of the town to the other, with turns at random."""
    rng = np.random.default_rng(seed)
    last = (BLOCKS - 1) * BLOCK_M
    corners, north = [(0.0, 0.0)], 0.0
    for east in sorted(rng.choice(np.arange(1, BLOCKS - 1), 5, replace=False) * BLOCK_M):
        corners.append((float(east), north))
        north = float(rng.integers(BLOCKS // 3)) * BLOCK_M
        corners.append((float(east), north))
    return [*corners, (last, north)]


@pytest.mark.parametrize("seed", range(3))
def test_a_drive_over_borders_of_cells_is_matched_as_on_the_whole_map(wide: pa.Table, seed: int) -> None:
    """A drive is given the edges of the cells that it touches only; that some are missing must not show."""
    signals = drive(across(seed), step_m=20.0, noise_m=5.0, seed=seed)
    rows = cells_of_rows(signals)
    near = edges_of_cells(wide, [row["cell"] for row in rows])
    assert sum(row["positions"] > 0 for row in rows) >= 5
    assert near.num_rows < wide.num_rows
    told, context = drive_on_map(signals, near, MATCHING)
    wanted, whole = drive_on_map(signals, wide, MATCHING)
    assert context is not None
    assert whole is not None
    # The planes of the two touch the Earth at different places: lengths differ by less than 1e-3.
    assert told.pop("status") == wanted.pop("status") == "matched"
    assert told == pytest.approx(wanted, rel=1e-3, abs=0.01)
    assert (told["breaks"], told["stretches"]) == (0, 1)
    for name in ("edge_id", "forward", "stretch", "road_class", "speed_limit_mps"):
        assert context[name].to_pylist() == whole[name].to_pylist()
    for name in ("offset_m", "snap_distance_m", "route_m"):
        assert context[name].to_numpy() == pytest.approx(whole[name].to_numpy(), abs=0.3, rel=1e-3)


def test_eight_hours_of_driving_are_matched_in_little_memory(wide: pa.Table) -> None:
    """Ways between positions are looked for in chunks: only what is told of each position grows with the drive."""
    count, length_m = 8 * 3600, 5500.0
    lap = (np.arange(count) * 10.0) % (2 * length_m)
    east = np.where(lap < length_m, lap, 2 * length_m - lap)
    noise = np.random.default_rng(1).normal(0.0, 3.0, (2, count))
    signals = signals_of(*FRAME.to_geographic(east + noise[0], 500.0 + noise[1]))
    drive_on_map(signals.slice(0, 600), wide, MATCHING)  # what is imported and built once
    tracemalloc.start()
    try:
        summary, _ = drive_on_map(signals, wide, MATCHING)
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert summary["snapped"] == count
    assert peak_bytes < 50e6


def halves(folder: Path, complete: bool) -> dict[str, pa.Table]:  # noqa: FBT001
    """Two extracts that adjoin in the middle of a town: ways that cross the border are whole in both, or cut off."""
    places, long = grid_map(16, BLOCK_M)
    border = 7.5 * BLOCK_M
    ways: dict[int, Way] = {number: way for number, way in long.items() if number > 100}
    for number in range(1, 17):  # rows as ways of three blocks each
        nodes = list(long[number][0])
        ways |= {number * 1000 + first: (nodes[first : first + 4], {}) for first in range(0, 15, 3)}
    edges = {}
    for name, side in (("west", -1.0), ("east", 1.0)):
        own = {number for number, (east, _) in places.items() if side * (east - border) > 0}
        kept = {number: way for number, way in ways.items() if own.intersection(way[0])}
        known = own | ({node for nodes, _ in kept.values() for node in nodes} if complete else set())
        path = folder / f"{name}.osm"
        path.write_bytes(osm_xml({number: places[number] for number in sorted(known)}, kept))
        edges[name] = edge_table(road_network(read_extract(path, MAPS["extract"]), MAPS))
    return edges


def regions_of(edges: Mapping[str, pa.Table]) -> list[Region]:
    return [
        Region(
            name,
            "2024-01-01",
            entry(name),
            {cell: name for text in table["cells"].to_pylist() for cell in text.split(" ")},
        )
        for name, table in edges.items()
    ]


def entry(name: str) -> Entry:
    return Entry(name, (name,), "f", f"digest of {name}", 1, 1, name)


def on_charts(signals: pa.Table, edges: Mapping[str, pa.Table], known: Callable[[list[Region]], list[Region]]) -> Any:
    """Summary and context of a drive on the maps that are chosen for it."""
    chart = chart_of(cells_of_rows(signals), known(regions_of(edges)))
    assert chart is not None
    maps = [edges_of_cells(edges[part.region], part.cells) for part in chart.parts]
    return chart, *drive_on_maps(signals, maps, MATCHING)


def ends_of(context: pa.Table) -> set[tuple[str, ...]]:
    """First and last nodes of the edges driven."""
    return {tuple(name.split(":")[1].split("-")) for name in context["edge_id"].to_pylist() if name}


@pytest.mark.parametrize("complete", [True, False])
def test_a_drive_from_one_map_into_the_next_is_matched_on_both(tmp_path: Path, complete: bool) -> None:  # noqa: FBT001
    edges = halves(tmp_path, complete)
    corners = [(0.0, 500.0), (3250.0, 500.0), (3250.0, 2500.0), (500.0, 2500.0)]
    signals = drive(corners, step_m=10.0)
    chart, summary, context = on_charts(signals, edges, lambda regions: regions)
    assert {part.region for part in chart.parts} == {"west", "east"}
    assert chart.region in {"west, east", "east, west"}
    assert summary["snapped"] >= 0.98 * signals.num_rows
    assert (summary["breaks"], not complete or summary["max_offset_m"] < 60.0) == (0, True)
    assert summary["route_km"] == pytest.approx(shapely.LineString(corners).length / 1000, rel=0.06)
    assert context["t_ns"].to_pylist() == signals["t_ns"].to_pylist()
    # The town as it is: the same roads but around the border, where extracts lack the streets that cross.
    places, ways = grid_map(16, BLOCK_M)
    _, whole = drive_on_map(signals, edge_table(network_of(tmp_path, places, ways)), MATCHING)
    assert whole is not None
    differing = ends_of(whole) - ends_of(context)
    assert {int(node) % 100 for ends in differing for node in ends} <= set(range(7, 11))
    assert len(differing) <= 6
    _, alone, _ = on_charts(signals, edges, lambda regions: regions[:1])
    assert alone["snapped"] < 0.7 * signals.num_rows
    stretches = [number for number in context["stretch"].to_pylist() if number is not None]
    assert sorted(set(stretches)) == list(range(summary["stretches"]))


def test_a_change_of_either_map_is_noticed_and_a_map_that_adds_nothing_is_not_taken(tmp_path: Path) -> None:
    edges = halves(tmp_path, complete=True)
    regions = {region.name: region for region in regions_of(edges)}
    rows = cells_of_rows(drive([(0.0, 500.0), (3250.0, 500.0)], step_m=10.0))

    def digest(*known: Region) -> str | None:
        chart = chart_of(rows, known)
        return None if chart is None else chart.digest

    west, east = regions["west"], regions["east"]
    before = digest(west, east)
    changed = dict.fromkeys(east.cells, "new")
    assert digest(west, replace(east, cells=changed)) != before
    assert digest(east, west) == before
    assert digest(west, east, replace(east, name="copy", as_of="2020-01-01")) == before
    assert digest(west) not in {None, before}
    assert digest() is None
    chart = chart_of(rows, [west, east])
    assert chart is not None
    assert all(isinstance(part, Part) and part.cells for part in chart.parts)


def test_places_without_times_are_matched_by_their_order(tmp_path: Path) -> None:
    edges = edge_table(network_of(tmp_path, *grid_map()))
    signals = drive([(0, 0), (240, 0), (240, 480)], step_m=15.0)
    places = signals["lat_deg"].to_numpy(), signals["lon_deg"].to_numpy()
    summary, context = places_on_maps(*places, [edges], MATCHING)
    assert (summary["snapped"], summary["stretches"]) == (signals.num_rows, 1)
    assert context is not None
    assert context["t_ns"].to_pylist() == list(range(signals.num_rows))
    backward = places_on_maps(*(place[::-1] for place in places), [edges], MATCHING)[1]
    assert backward is not None
    edges_of = backward["edge_id"].to_pylist()[::-1], context["edge_id"].to_pylist()
    assert sum(one != other for one, other in zip(*edges_of, strict=True)) <= 2  # where a street ends, either may be it
    assert set(backward["forward"].to_pylist()) == {False}


def test_each_direction_of_a_road_has_its_limit_with_its_source(tmp_path: Path) -> None:
    """The limit of the direction driven is told with its own source, not with that of the direction drawn."""
    zone = {"construction": "minor", "fleet:work_zone": "100;200;30"}
    tags = {"maxspeed:forward": "70", **zone}
    edges = edge_table(network_of(tmp_path, {1: (0.0, 0.0), 2: (600.0, 0.0)}, {1: ([1, 2], tags)}))

    def told(corners: Sequence[Corner]) -> set[tuple[float, str]]:
        _, context = drive_on_map(drive(corners), edges, MATCHING)
        assert context is not None
        rows = context.filter(pa.array([not one for one in context["work_zone"].to_pylist()])).to_pylist()
        in_zone = context.filter(context["work_zone"]).to_pylist()
        assert {(round(row["speed_limit_mps"] * 3.6), row["speed_limit_source"]) for row in in_zone} == {(30, "tagged")}
        return {(round(row["speed_limit_mps"] * 3.6), row["speed_limit_source"]) for row in rows}

    assert told([(10, 0), (590, 0)]) == {(70, "tagged")}
    assert told([(590, 0), (10, 0)]) == {(50, "default")}
