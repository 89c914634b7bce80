"""The gates of road networks and of matched drives, through the functions that judge: what they miss and what they cry.

Maps are read by the operator from files, drives are driven and matched; a test breaks one thing in them.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from asset_checks.enrichment import judge_matching, judge_snapshot
from fleet_assets.evidence.verdicts import Outcome, Verdict
from fleet_assets.geo import osm_edges, osm_ways
from fleet_assets.geo.osm_ways import Extract
from fleet_assets.ingestion.map_and_weather_enrichment import snapshots
from fleet_assets.ingestion.map_and_weather_enrichment.matching import drive_on_map
from fleet_assets.ingestion.map_and_weather_enrichment.snapshots import (
    MAPS_FOLDER,
    READ_MAP,
    landed_maps,
    landing_name,
    read_map,
)
from fleet_assets.ingestion.map_and_weather_enrichment.state import MATCH_STEP
from fleet_assets.provenance.restate import UnitTask
from fleet_assets.tables.maps import MAP_MATCHES, MAPS, ROAD_EDGES, ROAD_NETWORK
from resources.landing import LocalLanding
from tests.asset_checks.gate_fleet import PARTITION, POLICIES, TABLES, GateFleet
from tests.osm_maps import FRAME, Way, edge_table, grid_map, network_of, osm_xml

GRID_M = 150.0


def town() -> tuple[dict[int, tuple[float, float]], dict[int, Way]]:
    """Streets, and one way of each kind that has no edge."""
    places, ways = grid_map(4)
    places |= {900: (0.0, 0.0), 901: (900.0, 900.0)}
    ways |= {
        800: ([1, 2], {"highway": "footway"}),
        801: ([1, 2], {"motor_vehicle": "no"}),
        802: ([1, 1], {}),
        803: ([1, 900], {}),
        804: ([901, 999], {}),
        805: ([998, 999], {}),
    }
    return places, ways


def read(folder: Path, content: bytes, cut_bytes: int = 0) -> GateFleet:
    """A fleet whose lake holds what the operator makes of an extract."""
    source = folder / "extract.osm"
    source.write_bytes(content[: len(content) - cut_bytes])
    landing = LocalLanding(folder / "landing")
    landing.put_batch(source, MAPS_FOLDER, partial(landing_name, "town", "2024-05-01"))
    (landed,) = landed_maps(landing.batches(MAPS_FOLDER))
    fleet = GateFleet()
    context = {"landed": landed, "landing": landing}
    task = UnitTask(landed.snapshot, (landed.snapshot,), {}, context, POLICIES, TABLES, fleet.lake.files)
    for name, table in read_map(task).items():
        fleet.lake.put(TABLES[name], task.partition, task.unit, table.to_pylist())
    assert set(READ_MAP.outputs) == {table.name for table in MAPS}
    return fleet


def judged(fleet: GateFleet) -> Verdict:
    """The gate's answer about the only snapshot."""
    (partition,) = {one.partition for one in fleet.lake.entries(ROAD_NETWORK)} or {("none",)}
    return judge_snapshot(fleet, partition)  # type: ignore[arg-type]


def test_a_map_whose_every_way_has_an_edge_or_a_reason_passes(tmp_path: Path) -> None:
    verdict = judged(read(tmp_path, osm_xml(*town())))
    assert verdict.outcome is Outcome.PASS
    told = {name: verdict.figures[name] for name in ("highway_ways", "car_ways", "cut_off_ways", "lengthless_ways")}
    assert told == {"highway_ways": 14, "car_ways": 11, "cut_off_ways": 2, "lengthless_ways": 1}


def test_there_is_no_verdict_without_a_snapshot_and_a_cut_file_fails(tmp_path: Path) -> None:
    assert judged(GateFleet()).outcome is Outcome.INCONCLUSIVE
    cut = judged(read(tmp_path, osm_xml(*town()), cut_bytes=300))
    assert (cut.outcome, "unreadable" in str(cut.figures["refused"])) == (Outcome.FAIL, True)


def losing_a_way_while_reading(patch: pytest.MonkeyPatch) -> None:
    """A way for cars is read, counted, and then lost."""

    def lossy(*arguments: Any) -> Extract:
        found = osm_ways.read_extract(*arguments)
        return replace(found, ways=found.ways[1:])

    patch.setattr(snapshots, "read_extract", lossy)


def losing_a_way_without_counting(patch: pytest.MonkeyPatch) -> None:
    """A way is left out for a reason that no one counts."""
    real = osm_ways._left_out  # noqa: SLF001 - the fault is put inside of the reader
    forgotten = "forgotten_ways"
    patch.setattr(osm_ways, "_left_out", lambda way, rules: forgotten if way.way_id == 1 else real(way, rules))


def losing_pieces(patch: pytest.MonkeyPatch) -> None:
    """Ways are cut into pieces, and the pieces of one are lost."""
    real = osm_edges._pieces  # noqa: SLF001 - the fault is put inside of the network
    patch.setattr(osm_edges, "_pieces", lambda *given: (one for one in real(*given) if one.way.way_id != 2))


@pytest.mark.parametrize(
    ("fault", "figure"),
    [
        (losing_a_way_while_reading, "roads_without_edge"),
        (losing_a_way_without_counting, "ways_without_reason"),
        (losing_pieces, "roads_without_edge"),
    ],
)
def test_a_way_that_is_lost_on_the_way_to_the_tables_turns_the_gate_red(
    fault: Callable[[pytest.MonkeyPatch], None], figure: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fault(monkeypatch)
    verdict = judged(read(tmp_path, osm_xml(*town())))
    assert (verdict.outcome, verdict.figures[figure]) == (Outcome.FAIL, 1)


def without(fleet: GateFleet, column: str, value: Any) -> GateFleet:
    """The table of edges lacks some."""
    (entry,) = fleet.lake.entries(ROAD_EDGES)
    rows = [row for row in fleet.lake.read(ROAD_EDGES, [entry]).to_pylist() if row[column] != value]
    fleet.lake.put(ROAD_EDGES, entry.partition, entry.unit, rows, "1")
    return fleet


@pytest.mark.slow
def test_the_gate_of_maps_never_errs_on_a_hundred_towns_sound_or_with_one_thing_lost(tmp_path: Path) -> None:
    """No false alarm in 100 maps, no miss in 200: it counts, so its error rate is none."""
    outcomes: Counter[tuple[str, Outcome]] = Counter()
    for seed in range(100):
        rng = np.random.default_rng(seed)
        places, ways = town()
        for number in rng.choice([1, 2, 3, 101, 102, 103], int(rng.integers(0, 3)), replace=False):
            del ways[int(number)]
        folder = tmp_path / str(seed)
        folder.mkdir()
        fleet = read(folder, osm_xml(places, ways))
        outcomes["sound", judged(fleet).outcome] += 1
        edges = fleet.lake.rows(ROAD_EDGES).to_pylist()
        lost = edges[int(rng.integers(len(edges)))]
        outcomes["an edge", judged(without(fleet, "edge_id", lost["edge_id"])).outcome] += 1
        outcomes["a way", judged(without(fleet, "way_id", lost["way_id"])).outcome] += 1
    assert outcomes == {
        ("sound", Outcome.PASS): 100, ("an edge", Outcome.FAIL): 100, ("a way", Outcome.FAIL): 100,
    }  # fmt: skip


@pytest.fixture(scope="module")
def streets(tmp_path_factory: pytest.TempPathFactory) -> pa.Table:
    return edge_table(network_of(tmp_path_factory.mktemp("streets"), *grid_map(6, GRID_M)))


def drive(seed: int, *, seconds: int = 120, shift_m: float = 0.0, noise_m: float = 3.0) -> pa.Table:
    """A drive at 6 m/s along a street and around a corner, its positions all shifted in some direction."""
    rng = np.random.default_rng([seed, 7])
    row, column = (float(number) * GRID_M for number in rng.integers(0, 6, 2))
    along = np.arange(seconds) * 6.0
    turn_m = max(column, 2 * GRID_M)
    east = np.minimum(along, turn_m)
    north = row + (1.0 if row < 3 * GRID_M else -1.0) * np.maximum(along - turn_m, 0.0)
    towards = rng.uniform(0.0, 2 * np.pi)
    noise = rng.normal(0.0, noise_m, (2, seconds))
    lat, lon = FRAME.to_geographic(
        east + noise[0] + shift_m * np.cos(towards), north + noise[1] + shift_m * np.sin(towards)
    )
    unknown = np.full(seconds, np.nan)
    times = np.arange(seconds, dtype=np.int64) * 1_000_000_000
    columns = {"lat_deg": lat, "lon_deg": lon, "heading_deg": unknown, "speed_mps": unknown}
    return pa.table({"clip_id": ["c"] * seconds, "t_ns": times, **columns})


def matched(streets: pa.Table, seed: int, **drive_as: Any) -> Outcome:
    """What the gate says about a partition with one driven and matched drive."""
    row, _ = drive_on_map(drive(seed, **drive_as), streets, POLICIES["maps"]["matching"])
    fleet = GateFleet().plan(MATCH_STEP.operator.name, ["a"]).put(MAP_MATCHES, "a", [row])
    return judge_matching(fleet, PARTITION).outcome  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("drive_as", "wanted", "drives", "least"),
    [
        ({}, Outcome.PASS, 100, 100),
        ({"noise_m": 6.0}, Outcome.PASS, 100, 99),
        ({"shift_m": 45.0}, Outcome.FAIL, 100, 95),
        ({"seconds": 60}, Outcome.INCONCLUSIVE, 10, 10),
        ({"seconds": 60, "shift_m": 45.0}, Outcome.INCONCLUSIVE, 10, 10),
    ],
)
def test_the_gate_of_matching_seldom_errs_on_a_hundred_drives(
    streets: pa.Table, drive_as: Mapping[str, Any], wanted: Outcome, drives: int, least: int
) -> None:
    """On their map, on one that lies 45 m beside, and too short to be judged."""
    outcomes = Counter(matched(streets, seed, **drive_as) for seed in range(drives))
    assert outcomes[wanted] >= least, outcomes


def test_a_drive_that_waits_and_one_that_no_map_covers_are_told_apart(streets: pa.Table) -> None:
    fleet = GateFleet().plan(MATCH_STEP.operator.name, ["a"], waiting=["b"])
    row, _ = drive_on_map(drive(1), streets, POLICIES["maps"]["matching"])
    fleet.put(MAP_MATCHES, "a", [row])
    waiting = judge_matching(fleet, PARTITION)  # type: ignore[arg-type]
    assert waiting.outcome is Outcome.INCONCLUSIVE
    assert "b" in waiting.missing[0]
    far, _ = drive_on_map(drive(1, shift_m=50_000.0), streets, POLICIES["maps"]["matching"])
    alone = GateFleet().plan(MATCH_STEP.operator.name, ["far"]).put(MAP_MATCHES, "far", [far])
    verdict = judge_matching(alone, PARTITION)  # type: ignore[arg-type]
    assert (verdict.outcome, verdict.figures["not_covered"]) == (Outcome.PASS, 1)
