"""Telemetry batches from the landing zone to hours: what came counts, not how, when, in which batch or how often."""

import gzip
import json
import random
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import zstandard
from click.testing import CliRunner

from asset_checks.telemetry import judge_hour_conservation, judge_refused_conservation, judge_unknown_schema
from fleet_assets.cli import main
from fleet_assets.evidence.verdicts import Outcome
from fleet_assets.ingestion.telemetry_and_bulk_ingestion.telemetry.steps import RECEIVE_STEP
from resources.home import open_home
from tests.end_to_end.fleets import assert_at_rest
from tests.harness import TestFleet
from tests.telemetry import HOUR, HOUR_NS, T0_NS, TODAY, jsonl, message, put, write_probe

NEXT_HOUR = "2024-05-01-09:00"
FOUND_BY_UNKNOWN = {"bronze/telemetry_quarantine:unknown_schema": HOUR}
Lines = Sequence[Mapping[str, Any] | bytes]


def new_fleet(folder: Path) -> TestFleet:
    """A fleet that knows the tests' schema."""
    fleet = TestFleet(folder / "home", today=TODAY)
    write_probe(fleet.home / "policies")
    return fleet


@pytest.fixture
def fleet(tmp_path: Path) -> TestFleet:
    return new_fleet(tmp_path)


def restated(fleet: TestFleet) -> list[str]:
    """Hours that the last turn ran for."""
    return [run.partition for run in fleet.runs if run.source == "telemetry_hours"]


def taken(fleet: TestFleet) -> list[str]:
    """Ids of all messages that are taken."""
    return sorted(row["message_id"] for row in fleet.sql("select message_id from bronze.telemetry"))


def held(fleet: TestFleet) -> list[tuple[str, int]]:
    """Rule and count of everything that is held back."""
    tables = ("bronze.telemetry_quarantine", "landing.telemetry_quarantine")
    return sorted((row["rule"], row["count"]) for table in tables for row in fleet.sql(f"from {table}"))


MIXED: Lines = [
    *[message(f"m{i}", T0_NS + i * HOUR_NS // 4) for i in range(6)],
    message("late", T0_NS - HOUR_NS * 24 * 20),
    message("m1", T0_NS + HOUR_NS, payload={"level": 5}),
    message("m2", payload={"level": 6}),
    message("bad", payload={"level": 60}),
    message("mars", depot="mars"),
    message("old", 0),
    message("wild", T0_NS + HOUR_NS * 24 * 300),
    b"broken",
    b'{"message_id": 7}',
]


def digests_of(folder: Path, batches: Iterable[Lines]) -> dict[str, str]:
    """Roots of a fleet that got these batches in this order, a turn after each third."""
    fleet = new_fleet(folder)
    for number, batch in enumerate(batches):
        put(fleet.home, f"batch{number}", batch)
        if number % 3 == 2:
            fleet.turn()
    fleet.turn()
    assert_at_rest(fleet)
    return fleet.digests()


@pytest.mark.slow
def test_order_repetition_and_other_batches_give_the_same_digests(tmp_path: Path) -> None:
    whole = digests_of(tmp_path / "whole", [MIXED])
    chance = random.Random(5)  # noqa: S311 - an order, not a secret
    shuffled = chance.sample(MIXED, len(MIXED))
    pieces = [shuffled[start : start + 4] for start in range(0, len(shuffled), 4)]
    assert digests_of(tmp_path / "pieces", [*pieces, pieces[0], shuffled[5:9]]) == whole


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_any_order_and_any_batches_give_the_same_digests(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311 - an order, not a secret
    shuffled = [*chance.sample(MIXED, len(MIXED)), *chance.choices(MIXED, k=6)]
    cuts = [0, *sorted(chance.sample(range(1, len(shuffled)), 5)), len(shuffled)]
    batches = [shuffled[start:end] for start, end in zip(cuts, cuts[1:], strict=False)]
    assert digests_of(tmp_path / "pieces", batches) == digests_of(tmp_path / "whole", [MIXED])


def test_messages_are_kept_by_their_own_hour_whatever_the_batch_is_packed_in(fleet: TestFleet) -> None:
    folder = fleet.home / "landing" / "telemetry"
    put(fleet.home, "a.jsonl", [message("a"), message("b", T0_NS + HOUR_NS)])
    (folder / "b.gz").write_bytes(gzip.compress(jsonl([message("c")])))
    (folder / "c.zst").write_bytes(zstandard.compress(jsonl([message("d", T0_NS + HOUR_NS)])))
    fleet.turn()
    rows = fleet.sql("select hour, message_id, payload ->> 'level' as level from bronze.telemetry order by all")
    assert [tuple(row.values()) for row in rows] == [
        (HOUR, "a", "1"),
        (HOUR, "c", "1"),
        (NEXT_HOUR, "b", "1"),
        (NEXT_HOUR, "d", "1"),
    ]
    assert set(fleet.gates().values()) == {"pass"}
    assert_at_rest(fleet)


@pytest.mark.slow
def test_a_late_message_restates_its_hour_and_no_other(fleet: TestFleet) -> None:
    put(fleet.home, "a", [message("a"), message("b", T0_NS + HOUR_NS), message("c", T0_NS + 2 * HOUR_NS)])
    fleet.turn()
    assert len(restated(fleet)) == 3
    put(fleet.home, "b", [message("late", T0_NS + 1)])
    fleet.turn()
    assert restated(fleet) == [HOUR]
    assert taken(fleet) == ["a", "b", "c", "late"]
    fleet.turn()
    assert fleet.runs == []


@pytest.mark.slow
def test_the_same_batch_again_is_not_read_and_the_same_messages_again_change_nothing(fleet: TestFleet) -> None:
    put(fleet.home, "a", [message("a"), message("b")])
    fleet.turn()
    before = fleet.digests()
    put(fleet.home, "again", [message("a"), message("b")])
    fleet.turn()
    assert fleet.runs == []
    put(fleet.home, "other", [message("b"), message("a")])
    fleet.turn()
    assert fleet.digests() == before
    assert fleet.sql("select count(*) as n, sum(messages) as m from bronze.telemetry_batches") == [{"n": 2, "m": 4}]


@pytest.mark.slow
def test_batches_may_be_cleared_from_the_landing_zone_once_they_were_read(fleet: TestFleet) -> None:
    path = put(fleet.home, "a", [message("a")])
    fleet.turn()
    before = fleet.digests()
    path.unlink()
    put(fleet.home, "b", [message("b")])
    fleet.turn()
    assert taken(fleet) == ["a", "b"]
    assert before != fleet.digests()
    assert_at_rest(fleet)


def test_an_unknown_schema_fails_the_gate_by_name_and_is_released_once_the_registry_has_it(fleet: TestFleet) -> None:
    put(fleet.home, "a", [message("a"), message("new", schema="fresh/1.0.0"), message("b", T0_NS + HOUR_NS)])
    fleet.turn()
    gates = fleet.gates()
    assert gates["bronze/telemetry_quarantine", "unknown_schema", HOUR] == "fail"
    assert gates["bronze/telemetry_quarantine", "unknown_schema", NEXT_HOUR] == "pass"
    (failed,) = [gate for run in fleet.runs for gate in run.gates if gate.outcome == "fail"]
    assert failed.metadata["unknown_schemas"] == "fresh/1.0.0"
    assert (taken(fleet), held(fleet)) == (["a", "b"], [("unknown_schema", 1)])
    assert_at_rest(fleet, held=FOUND_BY_UNKNOWN)
    write_probe(fleet.home / "policies", name="fresh")
    fleet.turn()
    assert restated(fleet) == [HOUR]
    assert (taken(fleet), held(fleet)) == (["a", "b", "new"], [])
    assert fleet.gates()["bronze/telemetry_quarantine", "unknown_schema", HOUR] == "pass"
    assert_at_rest(fleet)


@pytest.mark.slow
def test_an_unknown_depot_is_released_once_it_is_known(fleet: TestFleet) -> None:
    put(fleet.home, "a", [message("a"), message("b", depot="east")])
    fleet.turn()
    assert (taken(fleet), held(fleet)) == (["a"], [("unknown_depot", 1)])
    open_home(fleet.home).with_depot("east").save()
    fleet.turn()
    assert (taken(fleet), held(fleet)) == (["a", "b"], [])
    assert_at_rest(fleet)


@pytest.mark.slow
def test_times_that_are_not_taken_are_listed_and_taken_up_when_the_policy_allows_them(fleet: TestFleet) -> None:
    day_ns = 24 * HOUR_NS
    put(
        fleet.home,
        "a",
        [
            message("in_time"),
            message("old", T0_NS - 20 * day_ns),
            message("first", 0),
            message("next", T0_NS + 9 * day_ns),
        ],
    )
    policy = fleet.home / "policies" / "telemetry.yaml"
    shipped = dict(fleet.fleet.policies["telemetry"])
    policy.write_text(json.dumps({**shipped, "retention_days": 10}))
    fleet.turn()
    assert taken(fleet) == ["in_time"]
    assert held(fleet) == [("before_first_day", 1), ("in_the_future", 1), ("too_old", 1)]
    policy.write_text(json.dumps({**shipped, "retention_days": 30}))
    fleet.turn()
    assert taken(fleet) == ["in_time", "old"]
    assert held(fleet) == [("before_first_day", 1), ("in_the_future", 1)]
    assert_at_rest(fleet)


@pytest.mark.slow
def test_two_contents_under_one_id_in_two_hours_end_the_same_way_in_either_order(tmp_path: Path) -> None:
    contents = [message("x", T0_NS), message("x", T0_NS + HOUR_NS)]
    roots = []
    for name, order in (("one", contents), ("other", contents[::-1])):
        fleet = new_fleet(tmp_path / name)
        for number, content in enumerate(order):
            put(fleet.home, f"batch{number}", [content])
            fleet.turn()
        assert (taken(fleet), held(fleet)) == (["x"], [("conflicting_message", 1)])
        assert_at_rest(fleet)
        roots.append(fleet.digests())
    assert roots[0] == roots[1]


@pytest.mark.slow
def test_a_bomb_and_a_broken_stream_do_not_hold_up_the_others(fleet: TestFleet) -> None:
    folder = fleet.home / "landing" / "telemetry"
    put(fleet.home, "a", [message("a")])
    (folder / "bomb").write_bytes(gzip.compress(bytes(64 << 20)))
    (folder / "cut").write_bytes(zstandard.compress(jsonl([message("b")]))[:-4])
    (folder / "empty").write_bytes(b"")
    fleet.turn()
    assert "a" in taken(fleet)
    rules = {rule for rule, _ in held(fleet)}
    assert {"batch_too_large", "batch_unreadable", "line_too_long"} <= rules
    rows = fleet.sql("select problem from bronze.telemetry_batches where problem is not null")
    assert len(rows) == 2
    assert fleet.gates()["landing/telemetry_quarantine", "conservation", ""] == "pass"
    assert_at_rest(fleet)


def test_a_gate_that_is_asked_before_the_hour_is_up_to_date_is_inconclusive(fleet: TestFleet) -> None:
    put(fleet.home, "a", [message("a"), b"broken"])
    fleet.fleet.restate(RECEIVE_STEP, ())
    for judge, partition in ((judge_hour_conservation, (HOUR,)), (judge_unknown_schema, (HOUR,))):
        assert judge(fleet.fleet, partition).outcome is Outcome.INCONCLUSIVE
    assert judge_refused_conservation(fleet.fleet, ()).outcome is Outcome.INCONCLUSIVE
    fleet.turn()
    assert judge_hour_conservation(fleet.fleet, (HOUR,)).outcome is Outcome.PASS
    assert judge_refused_conservation(fleet.fleet, ()).outcome is Outcome.PASS


@pytest.mark.slow
def test_a_message_that_vanishes_from_a_table_fails_conservation(fleet: TestFleet) -> None:
    put(fleet.home, "a", [message("a"), message("b")])
    fleet.turn()
    table = fleet.fleet.tables["bronze.telemetry"]
    (entry,) = fleet.fleet.lake.entries(table, (HOUR,))
    fewer = fleet.fleet.lake.read(table, [entry]).slice(1)
    staged = fleet.fleet.lake.stage(table, (HOUR,), entry.unit, entry.fingerprint, fewer)
    fleet.fleet.lake.commit(table, [staged])
    verdict = judge_hour_conservation(fleet.fleet, (HOUR,))
    assert (verdict.outcome, verdict.figures["lost"]) == (Outcome.FAIL, 1)


# -- the command -----------------------------------------------------------------------------------------------------


def fleet_command(*arguments: str) -> Any:
    return CliRunner().invoke(main, list(arguments))


def test_put_lands_batches_and_says_what_became_of_them(tmp_path: Path) -> None:
    home = str(tmp_path / "home")
    write_probe(tmp_path / "home" / "policies")
    good, bad = tmp_path / "good.jsonl", tmp_path / "bad.jsonl.gz"
    good.write_bytes(jsonl([message("a", time.time_ns(), depot="main"), message("b", time.time_ns(), depot="main")]))
    bad.write_bytes(gzip.compress(jsonl([message("c", time.time_ns(), depot="mars"), b"broken"])))
    only_placed = fleet_command("telemetry", "put", str(good), "--home", home, "--no-turn", "--json")
    assert only_placed.exit_code == 0, only_placed.output
    assert json.loads(only_placed.stdout)[0]["state"] == "in the landing zone"
    done = fleet_command("telemetry", "put", str(good), "--home", home, "--json")
    assert done.exit_code == 0, done.output
    (row,) = json.loads(done.stdout)
    assert (row["state"], row["lines"], row["stored"], row["held"]) == ("read", 2, 2, 0)
    assert set(row["gates"].values()) == {"pass"}
    refused = fleet_command("telemetry", "put", str(bad), "--home", home)
    assert refused.exit_code == 1
    assert "unknown_depot: mars" in refused.output
    assert "fleet depot add" in refused.output
    assert "not_json: b'broken'" in refused.output
    assert fleet_command("telemetry", "put", str(tmp_path / "nothing"), "--home", home).exit_code == 2


def test_schemas_lists_what_messages_may_name(tmp_path: Path) -> None:
    write_probe(tmp_path / "home" / "policies")
    listed = fleet_command("telemetry", "schemas", "--home", str(tmp_path / "home"), "--json")
    document = {schema["schema"]: schema for schema in json.loads(listed.stdout)}
    assert {"probe/1.0.0", "vehicle_health/1.1.0", "trip_heartbeat/1.0.0"} <= set(document)
    assert document["probe/1.0.0"]["fields"]["level"]["range"] == [0, 10]
    text = fleet_command("telemetry", "schemas", "--home", str(tmp_path / "home"))
    assert "battery_v" in text.output
    assert text.exit_code == 0
