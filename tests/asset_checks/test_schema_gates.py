"""The generated gates: every constraint of a table's schema is asked, and asked at its boundary."""

from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asset_checks.schema import judge_schema, schema_breaches, schema_gates
from fleet_assets.evidence.verdicts import Outcome
from fleet_assets.policy.documents import load_policies
from fleet_assets.tables import Column, Table, TableKind, all_tables

TABLE = Table(
    ("bronze", "toy"),
    (
        Column("drive_id", "string", ""),
        Column("count", "int64", "", minimum=0, maximum=10),
        Column("speed_mps", "float64", "", nullable=True, minimum=-1.5, maximum=2.5),
        Column("state", "string", "", nullable=True, values=("on", "off")),
    ),
    ("drive_id",),
    "",
    unique=("drive_id", "count"),
)
ROW: dict[str, Any] = {"drive_id": "d1", "count": 5, "speed_mps": 0.5, "state": "on"}
ALL = all_tables(load_policies()["canonical_signals"])


def table(*rows: dict[str, Any]) -> pa.Table:
    return pa.Table.from_pylist(
        [{**ROW, **row} for row in rows], schema=pa.schema([c.arrow_field for c in TABLE.columns])
    )


@pytest.mark.parametrize(
    "row",
    [
        {"count": 0}, {"count": 10}, {"speed_mps": -1.5}, {"speed_mps": 2.5}, {"speed_mps": None}, {"state": "off"},
        {"state": None},
    ],
)  # fmt: skip
def test_values_on_the_limit_and_absent_ones_that_may_be_absent_pass(row: dict[str, Any]) -> None:
    assert schema_breaches(TABLE, table(row)) == []
    assert judge_schema(TABLE, table(row)).outcome is Outcome.PASS


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"count": -1}, "count: -1 below 0"),
        ({"count": 11}, "count: 11 above 10"),
        ({"count": None}, "count: 1 nulls in a required column"),
        ({"drive_id": None}, "drive_id: 1 nulls in a required column"),
        ({"speed_mps": -1.6}, "speed_mps: -1.6 below -1.5"),
        ({"speed_mps": 2.6}, "speed_mps: 2.6 above 2.5"),
        ({"speed_mps": float("inf")}, "speed_mps: inf above 2.5"),
        ({"speed_mps": float("nan")}, "speed_mps: 1 values that are not a number in a bounded column"),
        ({"state": "ON"}, "state: ['ON'] not among ['on', 'off']"),
        ({"state": ""}, "state: [''] not among"),
    ],
)
def test_a_value_that_breaks_its_column_is_named_with_the_limit(row: dict[str, Any], words: str) -> None:
    (breach,) = schema_breaches(TABLE, table({"drive_id": "fine"}, row))
    assert breach.startswith(words)
    verdict = judge_schema(TABLE, table({"drive_id": "fine"}, row))
    assert verdict.outcome is Outcome.FAIL
    assert words in str(verdict.figures["first_breaches"])


def test_rows_that_are_not_unique_are_counted() -> None:
    rows: list[dict[str, Any]] = [
        {"drive_id": "d1"},
        {"drive_id": "d1"},
        {"drive_id": "d1"},
        {"drive_id": "d1", "count": 6},
    ]
    assert schema_breaches(TABLE, table(*rows)) == ["drive_id+count: 2 rows are not unique"]
    assert schema_breaches(TABLE, table(*rows[2:])) == []


def test_an_empty_partition_passes() -> None:
    verdict = judge_schema(TABLE, TABLE.empty())
    assert (verdict.outcome, verdict.figures["rows"]) == (Outcome.PASS, 0)


def test_columns_that_were_not_read_are_not_judged() -> None:
    assert schema_breaches(TABLE, table({"count": -1}).select(["drive_id", "count", "state"])) == ["count: -1 below 0"]
    assert schema_breaches(Table(TABLE.key, TABLE.columns, (), ""), table({"count": -1}).select(["state"])) == []


def test_the_policy_digest_of_a_schema_changes_with_every_constraint() -> None:
    def digest(columns: tuple[Column, ...], unique: tuple[str, ...] = ()) -> str:
        made = Table(TABLE.key, columns, (), "", unique=unique)
        return judge_schema(made, made.empty()).policy_digest

    plain = Column("x", "string", "")
    digests = {
        digest((plain,)),
        digest((plain,), ("x",)),
        digest((Column("x", "string", "", nullable=True),)),
        digest((Column("x", "string", "", values=("a",)),)),
        digest((Column("x", "int64", ""),)),
        digest((Column("x", "int64", "", minimum=0),)),
        digest((Column("x", "int64", "", maximum=0),)),
    }
    assert len(digests) == 7


@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(-2, 12)), max_size=6))
def test_the_verdict_is_that_of_looking_at_every_row(pairs: list[tuple[str, int]]) -> None:
    data = table(*({"drive_id": drive, "count": count} for drive, count in pairs)) if pairs else TABLE.empty()
    fine = all(0 <= count <= 10 for _, count in pairs) and len(set(pairs)) == len(pairs)
    assert (judge_schema(TABLE, data).outcome is Outcome.PASS) == fine


def test_every_table_of_identity_with_a_constraint_has_its_gate() -> None:
    guarded = {gate.table.name for gate in schema_gates(list(ALL.values()))}
    for made in ALL.values():
        limited = any(c.values or c.minimum is not None or c.maximum is not None for c in made.columns) or made.unique
        assert (made.name in guarded) == bool(limited and made.kind is not TableKind.LOG), made.name
