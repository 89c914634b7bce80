"""The gates of maps and weather on data: each passes, fails and stays inconclusive, and errs as rarely as it says.

Truth is known: drives, files and clips are drawn with the one thing that is wrong with them, or with none. What a gate
must say of a partition follows from the worst of them. Limits are approached from both sides, not only from afar.
"""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from asset_checks import enrichment
from asset_checks.enrichment import enrichment_gates
from fleet_assets.evidence.intervals import clopper_pearson
from fleet_assets.evidence.verdicts import Outcome, Verdict
from fleet_assets.ingestion.map_and_weather_enrichment.state import (
    COVER_STEP,
    ENRICH_STEP,
    MATCH_STEP,
    READ_WEATHER_STEP,
    WEATHER_STEP,
)
from fleet_assets.provenance.restate import UnitInput, Wanted
from tests.asset_checks.gate_fleet import MADE, OLD, PARTITION, POLICIES, TABLES, GateFleet
from tests.gate_mutants import built, mutants

PASS, FAIL, INCONCLUSIVE = Outcome.PASS, Outcome.FAIL, Outcome.INCONCLUSIVE
JUDGES = {(gate.table.name, gate.name): gate.judge for gate in enrichment_gates()}
TRIED = 300
"""With no wrong verdict among so many, one in a hundred is too many with 95 % confidence."""
STEPS = {"silver.drive_cells": COVER_STEP, "silver.map_matches": MATCH_STEP, "silver.enriched_clips": ENRICH_STEP}
FITS, JOIN = POLICIES["maps"]["gate"], POLICIES["weather"]["join"]
MOST_MISSING = POLICIES["weather"]["gate"]["max_missing_share"]
Fates = Sequence[str]


def judged(gate: tuple[str, str], fleet: GateFleet) -> Verdict:
    partition = () if gate[0] in {"map.road_network", "bronze.weather_days"} else PARTITION
    return JUDGES[gate](fleet, partition)  # type: ignore[arg-type] # a hand-written twin


def put_alone(fleet: GateFleet, table: str, unit: str, rows: Sequence[dict[str, Any]], made: str = MADE) -> None:
    """Write a file of a table without partitions; values that are not said do not matter."""
    fleet.put(TABLES[table], unit, rows, made)
    (written,) = [entry for entry in fleet.lake.entries(TABLES[table], PARTITION) if entry.unit == unit]
    moved = fleet.lake.stage(TABLES[table], (), unit, made, fleet.lake.read(TABLES[table], [written]))
    fleet.lake.commit(TABLES[table], [moved], [written])


# -- what is drawn, and what must come of it ---------------------------------------------------------------------------


def registered(table: str) -> Callable[[np.random.Generator, Fates], GateFleet]:
    """Drives that are in a table, lost, of an older version, or wait for their inputs."""

    def fleet_of(rng: np.random.Generator, fates: Fates) -> GateFleet:
        del rng
        fleet, named = GateFleet(), [(f"d{number}", fate) for number, fate in enumerate(fates)]
        for name, fate in named:
            fleet.drive(name)
            if fate in {"made", "old"}:
                fleet.put(TABLES[table], name, [], OLD if fate == "old" else MADE)
        planned = [name for name, fate in named if fate != "waiting"]
        return fleet.plan(STEPS[table].operator.name, planned, [name for name, fate in named if fate == "waiting"])

    return fleet_of


WAYS = ("car_ways", "other_ways", "closed_ways", "broken_ways")


def snapshots(rng: np.random.Generator, fates: Fates) -> GateFleet:
    """An extract of a random number of ways: whole, with ways or edges too few or too many, or refused; or none yet."""
    (fate,) = fates
    counts = dict(zip(WAYS, rng.integers(1, 40, len(WAYS)).tolist(), strict=True))
    off = {"lost": 1, "surplus": -1}.get(fate, 0) * int(rng.integers(1, 4))
    state = {"status": "refused", "message": "cut off"} if fate == "refused" else {"status": "usable"}
    edges_of = rng.integers(1, 4, int(rng.integers(1, counts["car_ways"] + 1)))
    edges = [{"edge_id": f"{way}:{one}", "way_id": way} for way, own in enumerate(edges_of) for one in range(own)]
    without_edge = counts["car_ways"] - len(edges_of)
    cut_off = int(rng.integers(0, without_edge + 1))
    row = {
        **counts, **state, "highway_ways": sum(counts.values()) + off, "edges": len(edges), "cut_off_ways": cut_off,
        "lengthless_ways": without_edge - cut_off,
    }  # fmt: skip
    lost = int(rng.integers(len(edges)))
    kept = {
        "edge lost": edges[:lost] + edges[lost + 1 :],
        "road lost": [edge for edge in edges if edge["way_id"] != edges[lost]["way_id"]],
        "edge of no road": [*edges, {"edge_id": "x", "way_id": -1}],
    }
    fleet = GateFleet()
    if fate != "none":
        put_alone(fleet, "map.road_network", "s", [row])
        put_alone(fleet, "map.road_edges", "s", kept.get(fate, edges))
    return fleet


def fitting(rng: np.random.Generator, fate: str) -> dict[str, Any]:
    """How a drive lies on the map; the numbers of a good drive are anywhere within the limits, and on them."""
    on_map = int(rng.integers(max(FITS["min_positions"], 100), 2000))
    outside = int(rng.integers(0, 200))
    least = int(np.ceil(FITS["min_share_snapped"] * on_map))
    p95, worst = (FITS[name] * float(rng.choice([rng.random(), 1.0])) for name in ("max_p95_offset_m", "max_offset_m"))
    route_km = float(rng.uniform(2.0, 30.0))
    breaks = int(rng.integers(0, int(FITS["max_breaks_per_km"] * route_km) + 1))
    row = {
        "status": "matched", "positions": on_map + outside, "outside": outside,
        "snapped": int(rng.integers(least, on_map + 1)), "p95_offset_m": p95, "max_offset_m": worst, "breaks": breaks,
        "route_km": route_km,
    }  # fmt: skip
    beyond = 1.0 + float(rng.choice([1e-6, 0.1, 1.0]))
    few = int(rng.integers(0, FITS["min_positions"]))
    wrong: dict[str, dict[str, Any]] = {
        "off the roads": {"snapped": int(rng.integers(0, least))},
        "far": {"p95_offset_m": FITS["max_p95_offset_m"] * beyond},
        "very far once": {"max_offset_m": FITS["max_offset_m"] * beyond},
        "broken": {"breaks": int(FITS["max_breaks_per_km"] * route_km) + int(rng.integers(1, 5))},
        "short": {"positions": few + outside, "snapped": few},
        "not covered": {"status": "not_covered", "snapped": 0},
    }
    return {**row, **wrong.get(fate, {})}


def matched(rng: np.random.Generator, fates: Fates) -> GateFleet:
    fleet, late = GateFleet(), []
    for number, fate in enumerate(fates):
        if fate == "waiting":
            late.append(f"d{number}")
        else:
            fleet.put(TABLES["silver.map_matches"], f"d{number}", [fitting(rng, fate)])
    return fleet.plan(MATCH_STEP.operator.name, waiting=late)


def weather_files(rng: np.random.Generator, fates: Fates) -> GateFleet:
    """Files in the landing zone: read, refused, not read yet, or come anew since they were read or refused."""
    fleet, units = GateFleet(), {}
    for number, fate in enumerate(fates):
        name = f"f{number}.csv"
        days = int(rng.integers(1, 4))
        rows: list[dict[str, Any]] = [
            {"file": name, "station": "s", "day": str(day), "status": "usable"} for day in range(days)
        ]
        if fate in {"refused", "refused, come anew"}:
            rows = [{"file": name, "station": "", "day": "", "status": "refused", "message": "no known layout"}]
        if fate != "not read":
            put_alone(fleet, "bronze.weather_days", name, rows, OLD if fate.endswith("come anew") else MADE)
        if fate != "cleared":
            units[name] = UnitInput(MADE, {}, {"file": SimpleNamespace(printable=name)})
    fleet.plans[READ_WEATHER_STEP.operator.name] = Wanted(units)
    return fleet


def joined(rng: np.random.Generator, fate: str) -> dict[str, Any]:
    """Weather of a clip; that of a good one is anywhere within the limits, and on them."""
    far_m, late_s = JOIN["max_distance_km"] * 1000.0, JOIN["max_minutes"] * 60.0
    if fate in {"no_station_near", "no_observation_in_time", "no_position"}:
        return {"missing": fate}
    distance, age = (limit * float(rng.choice([rng.random(), 1.0])) for limit in (far_m, late_s))
    beyond = 1.0 + float(rng.choice([1e-6, 0.1, 1.0]))
    wrong = {
        "too far": {"station_distance_m": far_m * beyond},
        "too old": {"age_s": late_s * beyond},
        "too young": {"age_s": -late_s * beyond},
        "nowhere": {"station_distance_m": None},
    }
    row = {"station": "s", "station_distance_m": distance, "age_s": age * float(rng.choice([-1, 1])), "observed_ns": 0}
    return {**row, **wrong.get(fate, {})}


def in_weather(rng: np.random.Generator, fates: Fates) -> GateFleet:
    """One clip of each fate, each of a drive of its own."""
    fleet, late = GateFleet(), []
    for number, fate in enumerate(fates):
        name, clip = f"d{number}", {"clip_id": f"c{number}"}
        fleet.put(TABLES["silver.clips"], name, [clip])
        if fate == "waiting":
            late.append(name)
        elif fate != "lost":
            fleet.put(TABLES["silver.weather"], name, [{**clip, **joined(rng, fate)}])
    return fleet.plan(WEATHER_STEP.operator.name, waiting=late)


def of_drives(fates: Fates) -> Outcome:
    """A drive that is certainly off the map fails the day; short ones count only where there is no longer one."""
    if {"off the roads", "far", "very far once", "broken"} & set(fates):
        return FAIL
    only_short = "short" in fates and "good" not in fates
    return INCONCLUSIVE if only_short or "waiting" in fates else PASS


def of_clips(fates: Fates) -> Outcome:
    if {"too far", "too old", "too young", "nowhere"} & set(fates):
        return FAIL
    if "waiting" in fates:
        return INCONCLUSIVE
    late = fates.count("no_observation_in_time")
    near = late + fates.count("good")
    return FAIL if "lost" in fates or late > MOST_MISSING * near else PASS


def by_worst(failing: set[str], waiting: set[str]) -> Callable[[Fates], Outcome]:
    return lambda fates: FAIL if failing & set(fates) else INCONCLUSIVE if waiting & set(fates) else PASS


@dataclass(frozen=True)
class Drawn:
    """A population of partitions.

    Attributes:
        fleet: Makes a partition of these fates.
        truth: What the gate must say of it.
        usual: Fates of what is sound.
        others: All other fates.
        most: Members of a partition at most.
        least: And at least.
    """

    fleet: Callable[[np.random.Generator, Fates], GateFleet]
    truth: Callable[[Fates], Outcome]
    usual: Fates
    others: Fates
    most: int = 8
    least: int = 0


POPULATIONS: dict[tuple[str, str], Drawn] = {
    **{
        (table, "conservation"): Drawn(
            registered(table), by_worst({"lost"}, {"old", "waiting"}), ["made"], ["lost", "old", "waiting"]
        )
        for table in STEPS
    },
    ("map.road_network", "conservation"): Drawn(
        snapshots, by_worst({"lost", "surplus", "refused", "edge lost", "road lost", "edge of no road"}, {"none"}),
        ["whole"], ["lost", "surplus", "refused", "edge lost", "road lost", "edge of no road", "none"], 1, 1,
    ),
    ("silver.map_context", "matching"): Drawn(
        matched, of_drives, ["good"],
        ["off the roads", "far", "very far once", "broken", "short", "not covered", "waiting"],
    ),
    ("bronze.weather_days", "readable"): Drawn(
        weather_files, by_worst({"refused"}, {"not read", "read, come anew", "refused, come anew"}),
        ["read", "cleared"], ["refused", "not read", "read, come anew", "refused, come anew"],
    ),
    ("silver.weather", "joins"): Drawn(
        in_weather, of_clips, ["good"],
        ["no_station_near", "no_position", "no_observation_in_time", "too far", "too old", "too young", "nowhere",
         "lost", "waiting"],
    ),
}  # fmt: skip


def drawn(population: Drawn, seed: int) -> tuple[GateFleet, Outcome]:
    """A partition: in one of three all is sound, in the others something may be wrong."""
    rng = np.random.default_rng(seed)
    count = int(rng.integers(population.least, population.most + 1))
    of_others = float(rng.choice([0.0, 0.15, 0.5]))
    fates = [str(rng.choice(population.others if rng.random() < of_others else population.usual)) for _ in range(count)]
    return population.fleet(rng, fates), population.truth(fates)


def test_every_gate_of_the_workflow_has_a_population() -> None:
    assert POPULATIONS.keys() == JUDGES.keys()


@pytest.mark.parametrize("gate", POPULATIONS, ids=".".join)
def test_the_gate_never_errs_on_partitions_whose_truth_is_known(gate: tuple[str, str]) -> None:
    told, wrong = set(), []
    for seed in range(10_000, 10_000 + TRIED):
        fleet, truth = drawn(POPULATIONS[gate], seed)
        verdict = judged(gate, fleet)
        assert bool(verdict.missing) is (verdict.outcome is INCONCLUSIVE)
        told.add(truth)
        wrong += [(seed, truth, verdict)] if verdict.outcome is not truth else []
    assert told == set(Outcome)
    assert wrong == []
    assert clopper_pearson(len(wrong), TRIED, 0.95, side="upper").high < 0.01


def test_weather_files_that_nobody_read_yet_are_named() -> None:
    verdict = judged(("bronze.weather_days", "readable"), weather_files(np.random.default_rng(0), ["read", "not read"]))
    assert verdict.missing == ("what f1.csv states: run bronze/weather_days",)
    assert (verdict.figures["files"], verdict.figures["waiting"]) == (1, 1)


def test_what_an_older_file_was_refused_for_is_not_held_against_the_new_one() -> None:
    anew = weather_files(np.random.default_rng(0), ["refused, come anew"])
    verdict = judged(("bronze.weather_days", "readable"), anew)
    assert (verdict.outcome, verdict.figures["refused"]) == (INCONCLUSIVE, 0)


def test_every_comparison_of_what_was_read_is_held_by_a_scenario() -> None:
    population = POPULATIONS["bronze.weather_days", "readable"]
    fates = [*population.usual, *population.others]

    def answers(module: Any) -> list[Any]:
        fleets = [population.fleet(np.random.default_rng(0), [fate]) for fate in fates]
        verdicts = [module.judge_weather_files(fleet, ()) for fleet in fleets]
        return [(verdict.outcome, dict(verdict.figures), verdict.missing) for verdict in verdicts]

    found = list(mutants(inspect.getsource(enrichment), ("judge_weather_files",)))
    assert found
    assert [mutant.place for mutant in found if answers(built(mutant.tree, enrichment)) == answers(enrichment)] == []
