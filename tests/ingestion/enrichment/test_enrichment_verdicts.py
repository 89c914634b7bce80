"""The gates of maps and weather: pass, fail, inconclusive, at their limits."""

import ast
import importlib
import inspect
from collections.abc import Callable
from typing import Any

import pytest

from fleet_assets.evidence.verdicts import Verdict
from fleet_assets.ingestion.map_and_weather_enrichment.verdicts import (
    matching_verdict,
    snapshot_verdict,
    weather_files_verdict,
    weather_verdict,
)
from tests.gate_mutants import answers, built, mutants

POLICY = "0" * 64
GATE = {
    "min_share_snapped": 0.9, "max_p95_offset_m": 20.0, "max_offset_m": 50.0, "max_breaks_per_km": 0.5,
    "min_positions": 10,
}  # fmt: skip
JOIN = {"join": {"max_distance_km": 40.0, "max_minutes": 60.0}, "gate": {"max_missing_share": 0.5}}
Answer = Callable[..., Any]


def drive(name: str = "a", **changed: Any) -> dict[str, Any]:
    return {
        "drive_id": name, "status": "matched", "positions": 100, "outside": 0, "snapped": 100, "p95_offset_m": 5.0,
        "max_offset_m": 9.0, "breaks": 0, "route_km": 2.0, **changed,
    }  # fmt: skip


def snapshot(**changed: Any) -> dict[str, Any]:
    return {
        "status": "usable", "message": None, "highway_ways": 10, "car_ways": 6, "other_ways": 3, "closed_ways": 1,
        "broken_ways": 0, "incomplete_ways": 0, "cut_off_ways": 1, "lengthless_ways": 2, "edges": 9, "junctions": 3,
        "cells": 1, "length_km": 1.5, **changed,
    }  # fmt: skip


def clip(name: str = "c1", **changed: Any) -> dict[str, Any]:
    return {
        "clip_id": name, "drive_id": "a", "station": "s", "station_distance_m": 1000.0, "observed_ns": 5, "age_s": 60.0,
        "missing": None, **changed,
    }  # fmt: skip


def without(name: str, reason: str) -> dict[str, Any]:
    return clip(name, station=None, station_distance_m=None, observed_ns=None, age_s=None, missing=reason)


def matching(*rows: dict[str, Any], waiting: tuple[str, ...] = ()) -> Callable[[Answer], Verdict]:
    return lambda gate: gate(rows, waiting, GATE, policy_digest=POLICY)


def snapshots(*rows: dict[str, Any], edges: tuple[int, ...] = (4, 4, 1)) -> Callable[[Answer], Verdict]:
    return lambda gate: gate(rows, dict(enumerate(edges)), policy_digest=POLICY)


def weather(*rows: dict[str, Any], clips: str = "c1", waiting: tuple[str, ...] = ()) -> Callable[[Answer], Verdict]:
    return lambda gate: gate(rows, set(clips.split()), waiting, JOIN, policy_digest=POLICY)


MATCHING = [
    (matching(), "pass"),
    (matching(drive()), "pass"),
    (matching(drive(snapped=90)), "pass"),
    (matching(drive(snapped=89)), "fail"),
    (matching(drive(positions=200, outside=100, snapped=90)), "pass"),
    (matching(drive(positions=200, outside=50, snapped=100)), "fail"),
    (matching(drive(p95_offset_m=20.0)), "pass"),
    (matching(drive(p95_offset_m=20.1)), "fail"),
    (matching(drive(max_offset_m=50.0)), "pass"),
    (matching(drive(max_offset_m=50.1)), "fail"),
    (matching(drive(breaks=1)), "pass"),
    (matching(drive(breaks=2)), "fail"),
    (matching(drive(positions=10, snapped=10)), "pass"),
    (matching(drive(positions=9, snapped=9)), "inconclusive"),
    (matching(drive(snapped=0, p95_offset_m=None, max_offset_m=None)), "fail"),
    (matching(drive(snapped=1, p95_offset_m=1.0)), "fail"),
    (matching(drive(positions=0, snapped=0, p95_offset_m=None, max_offset_m=None)), "inconclusive"),
    (matching(drive(status="not_covered", snapped=0)), "pass"),
    (matching(drive(), drive("b", status="no_position", positions=0, snapped=0)), "pass"),
    (matching(drive(), drive("b", snapped=1)), "fail"),
    (matching(drive(), drive("b", positions=9, snapped=0)), "pass"),
    (matching(drive(), waiting=("b",)), "inconclusive"),
    (matching(*(drive(name, snapped=1) for name in "abcdef")), "fail"),
    (matching(*(drive(name, snapped=1) for name in "abcde")), "fail"),
]
SNAPSHOTS = [
    (snapshots(), "inconclusive"),
    (snapshots(snapshot()), "pass"),
    (snapshots(snapshot(car_ways=5)), "fail"),
    (snapshots(snapshot(broken_ways=1)), "fail"),
    (snapshots(snapshot(), edges=(4, 5)), "fail"),
    (snapshots(snapshot(), edges=(4, 4)), "fail"),
    (snapshots(snapshot(), edges=(4, 4, 2)), "fail"),
    (snapshots(snapshot(), edges=(4, 3, 1, 1)), "fail"),
    (snapshots(snapshot(cut_off_ways=0)), "fail"),
    (snapshots(snapshot(lengthless_ways=3)), "fail"),
    (snapshots(snapshot(cut_off_ways=None, lengthless_ways=None)), "inconclusive"),
    (snapshots(snapshot(status="refused", message="cut off")), "fail"),
]
WEATHER = [
    (weather(clips=""), "pass"),
    (weather(clip()), "pass"),
    (weather(clip(station_distance_m=40_000.0)), "pass"),
    (weather(clip(station_distance_m=40_000.1)), "fail"),
    (weather(clip(station_distance_m=None)), "fail"),
    (weather(clip(age_s=3600.0)), "pass"),
    (weather(clip(age_s=-3600.1)), "fail"),
    (weather(without("c1", "no_station_near")), "pass"),
    (weather(without("c1", "no_observation_in_time")), "fail"),
    (weather(clip(), without("c2", "no_observation_in_time"), clips="c1 c2"), "pass"),
    (weather(clip(), clips="c1 c2"), "fail"),
    (weather(clip(), waiting=("b",)), "inconclusive"),
]


def weather_file(name: str = "f", message: str | None = None) -> dict[str, Any]:
    """A station's day in a file, or a file that is refused with a message."""
    refused = {"station": "", "day": "", "digest": None, "status": "refused"} if message else {}
    return {
        "file": name, "station": "s", "day": "d", "digest": "x", "status": "usable", "duplicates": 1,
        "message": message, **refused,
    }  # fmt: skip


def weather_files(*rows: dict[str, Any], waiting: tuple[str, ...] = ()) -> Callable[[Answer], Verdict]:
    return lambda gate: gate(rows, waiting, policy_digest=POLICY)


FILES = [
    (weather_files(), "pass"),
    (weather_files(weather_file()), "pass"),
    (weather_files(weather_file(message="m")), "fail"),
    (weather_files(waiting=("g",)), "inconclusive"),
    (weather_files(weather_file(), waiting=("g",)), "inconclusive"),
    (weather_files(weather_file(), weather_file("h", "m"), waiting=("g",)), "fail"),
]
GATES: list[tuple[Callable[..., Verdict], tuple[str, ...], Any]] = [
    (matching_verdict, ("matching_verdict", "_drive_verdict", "_share", "_names"), MATCHING),
    (snapshot_verdict, ("snapshot_verdict",), SNAPSHOTS),
    (weather_verdict, ("weather_verdict",), WEATHER),
    (weather_files_verdict, ("weather_files_verdict",), FILES),
]


@pytest.mark.parametrize(("gate", "parts", "scenarios"), GATES, ids=lambda value: getattr(value, "__name__", ""))
def test_every_scenario_ends_as_it_should(gate: Any, parts: Any, scenarios: Any) -> None:
    del parts
    assert [scenario(gate).outcome.value for scenario, _ in scenarios] == [wanted for _, wanted in scenarios]


@pytest.mark.parametrize(("gate", "parts", "scenarios"), GATES, ids=lambda value: getattr(value, "__name__", ""))
def test_every_comparison_of_a_gate_is_held_by_a_scenario(gate: Any, parts: Any, scenarios: Any) -> None:
    module = importlib.import_module(gate.__module__)
    source = inspect.getsource(module)
    calls = [scenario for scenario, _ in scenarios]
    expected = [seen(answer) for answer in answers(gate, calls)]
    assert expected == [
        seen(answer) for answer in answers(getattr(built(ast.parse(source), module), gate.__name__), calls)
    ]
    found = list(mutants(source, parts))
    survivors = [
        mutant.place
        for mutant in found
        if [seen(answer) for answer in answers(getattr(built(mutant.tree, module), gate.__name__), calls)] == expected
    ]
    assert found
    assert survivors == []


def seen(answer: Any) -> Any:
    return answer if isinstance(answer, str) else (answer.outcome.value, dict(answer.figures), answer.missing)


def test_inconclusive_says_what_is_missing_and_uncovered_drives_are_named() -> None:
    verdict = matching(drive(positions=9, snapped=9), drive("far", status="not_covered", snapped=0))(matching_verdict)
    assert verdict.missing == ("short: positions on the map: a have too few, at least 10 are needed to judge one",)
    assert verdict.figures["not_covered_drives"] == "far"
