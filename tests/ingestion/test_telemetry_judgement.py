"""Which messages are taken is a matter of what came, never of when, in which batch, or how often."""

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet_assets.ingestion.telemetry_and_bulk_ingestion.telemetry.hours import day_of_hour, days_before, hour_of
from fleet_assets.ingestion.telemetry_and_bulk_ingestion.telemetry.judgement import (
    REMEDIES,
    Breach,
    judge_hour,
    refuse,
)
from fleet_assets.tables.telemetry import TELEMETRY, TELEMETRY_QUARANTINE, TELEMETRY_REFUSED
from tests.telemetry import HOUR, HOUR_NS, LIMITS, REGISTRY, T0_NS, jsonl, judged, message, read


def held(folder: Path, *messages: dict[str, Any]) -> list[tuple[str, str, int]]:
    """Rule, value and count of what is held back."""
    return sorted((row["rule"], row["value"], row["count"]) for row in judged(folder, *messages).held)


def test_the_same_message_twice_is_one(tmp_path: Path) -> None:
    twice = {**message(), "time": "2024-05-01T10:00:00+02:00"}
    del twice["t_ns"]
    assert len(judged(tmp_path, message(), twice).taken) == 1
    assert judged(tmp_path, message(), twice).held == []


def test_a_taken_message_has_its_schema_and_version_apart(tmp_path: Path) -> None:
    (row,) = judged(tmp_path, message()).taken
    assert (row["schema"], row["schema_version"], row["payload"]) == ("probe", "1.0.0", '{"level":1}')
    TELEMETRY.from_rows([row])


@pytest.mark.parametrize(
    ("changed", "rule", "value"),
    [
        ({"depot": "mars"}, "unknown_depot", "mars"),
        ({"schema": "nothing/1.0.0"}, "unknown_schema", "nothing/1.0.0"),
        ({"schema": "probe/1.0.1"}, "unknown_schema", "probe/1.0.1"),
        ({"payload": {}}, "invalid_payload", "level: missing"),
        ({"payload": {"level": 11}}, "invalid_payload", "level: 11"),
    ],
)
def test_a_message_that_breaks_a_rule_is_held_with_the_remedy_and_the_others_go_on(
    tmp_path: Path, changed: dict[str, Any], rule: str, value: str
) -> None:
    made = judged(tmp_path, message("bad", **changed), message("good"))
    assert [row["message_id"] for row in made.taken] == ["good"]
    (row,) = made.held
    assert (row["rule"], row["value"], row["count"], row["message_id"]) == (rule, value, 1, "bad")
    assert row["remedy"] == REMEDIES[rule]
    TELEMETRY_QUARANTINE.from_rows(made.held)


def test_what_is_held_is_counted_by_vehicle_depot_schema_and_rule(tmp_path: Path) -> None:
    bad = [message(f"m{i}", payload={"level": 20 - i}) for i in range(5)]
    assert held(tmp_path, *bad, *bad, message("x", vehicle_id="car2", payload={})) == [
        ("invalid_payload", "level: 16", 5),
        ("invalid_payload", "level: missing", 1),
    ]


def test_of_two_contents_under_one_id_the_smaller_digest_is_taken(tmp_path: Path) -> None:
    contents = [message(payload={"level": level}) for level in range(4)]
    made = judged(tmp_path, *contents)
    everything = {row["sha256"] for row in read(tmp_path, jsonl(contents), LIMITS).rows}
    assert [row["sha256"] for row in made.taken] == [min(everything)]
    assert [(row["rule"], row["count"]) for row in made.held] == [("conflicting_message", 3)]


def test_a_message_that_breaks_a_rule_does_not_push_out_one_that_breaks_none(tmp_path: Path) -> None:
    for level in range(5):
        made = judged(tmp_path, message(payload={"level": level}), message(payload={"level": 99}))
        assert [row["payload"] for row in made.taken] == [f'{{"level":{level}}}']
        assert [row["rule"] for row in made.held] == ["invalid_payload"]


def test_one_id_in_two_hours_is_taken_in_one_of_them(tmp_path: Path) -> None:
    contents = [message(t_ns=T0_NS), message(t_ns=T0_NS + HOUR_NS)]
    hours = [judged(tmp_path, *contents, hour=hour) for hour in (HOUR, "2024-05-01-09:00")]
    assert sorted(len(made.taken) for made in hours) == [0, 1]
    assert sorted(sum(row["count"] for row in made.held) for made in hours) == [0, 1]


VARIANTS = st.builds(
    lambda number, level, hour, changed: message(
        f"m{number}", T0_NS + hour * HOUR_NS + number, payload={"level": level}, **changed
    ),
    st.integers(0, 4),
    st.sampled_from([1, 2, 50]),
    st.integers(0, 1),
    st.sampled_from([{}, {"depot": "mars"}, {"schema": "nothing/1.0.0"}, {"vehicle_id": "car2"}]),
)


@given(st.lists(VARIANTS, max_size=14), st.randoms(use_true_random=False))
def test_neither_order_nor_repetition_changes_what_is_taken_and_held(
    tmp_path_factory: pytest.TempPathFactory, messages: list[dict[str, Any]], chance: random.Random
) -> None:
    folder = tmp_path_factory.getbasetemp()
    again = messages + chance.sample(messages, len(messages) // 2)
    chance.shuffle(again)
    for hour in (HOUR, "2024-05-01-09:00"):
        one, other = judged(folder, *messages, hour=hour), judged(folder, *again, hour=hour)
        assert TELEMETRY.from_rows(one.taken).equals(TELEMETRY.from_rows(other.taken))
        assert TELEMETRY_QUARANTINE.from_rows(one.held).equals(TELEMETRY_QUARANTINE.from_rows(other.held))


@given(st.lists(VARIANTS, max_size=14))
def test_every_message_is_taken_once_or_held_once(
    tmp_path_factory: pytest.TempPathFactory, messages: list[dict[str, Any]]
) -> None:
    folder = tmp_path_factory.getbasetemp()
    rows = read(folder, jsonl(messages)).rows
    ids: list[str] = []
    for hour in (HOUR, "2024-05-01-09:00"):
        made = judge_hour(hour, rows, ("north",), REGISTRY)
        ids += [row["message_id"] for row in made.taken]
        different = {row["sha256"] for row in rows if row["hour"] == hour}
        assert len(made.taken) + sum(row["count"] for row in made.held) == len(different)
    assert len(ids) == len(set(ids))


def refused(folder: Path, lines: Sequence[Any], outside: dict[str, Breach]) -> list[dict[str, Any]]:
    """Rows of the list of what belongs to no hour."""
    columns = ("hour", "rule", "value", "limit", "message_id", "vehicle_id", "depot", "schema")
    rows = [{**dict.fromkeys(columns), **row} for row in read(folder, jsonl(lines)).rows]
    return refuse({**row, "outside": outside.get(row["hour"])} for row in rows)


def test_lines_that_belong_to_no_hour_are_counted_by_rule(tmp_path: Path) -> None:
    outside = {"1970-01-01-00:00": Breach("too_old", "1970-01-01-00:00", "2024-02-01 or later")}
    lines = [b"x", b"y", b"x", message("a", 0), message("b", 1), message("a", 0)]
    rows = refused(tmp_path, lines, outside)
    assert sorted((row["rule"], row["count"], row["vehicle_id"]) for row in rows if row["rule"] == "too_old") == [
        ("too_old", 2, "car1")
    ]
    (broken,) = [row for row in rows if row["rule"] == "not_json"]
    assert (broken["count"], broken["value"], broken["message_id"]) == (2, "b'x'", None)
    TELEMETRY_REFUSED.from_rows(rows)


def test_every_rule_has_a_remedy_that_says_what_to_do() -> None:
    assert all(remedy.endswith(".") and len(remedy) > 30 for remedy in REMEDIES.values())


@pytest.mark.parametrize(
    ("t_ns", "hour"),
    [
        (0, "1970-01-01-00:00"),
        (-1, "1969-12-31-23:00"),
        (T0_NS + HOUR_NS - 1, HOUR),
        (T0_NS + HOUR_NS, "2024-05-01-09:00"),
        (-(1 << 63), "1677-09-21-00:00"),
        ((1 << 63) - 1, "2262-04-11-23:00"),
    ],
)
def test_an_hour_is_named_by_its_beginning(t_ns: int, hour: str) -> None:
    assert hour_of(t_ns) == hour
    assert day_of_hour(hour) == hour[:10]
    assert days_before("2024-03-01", 1) == "2024-02-29"
