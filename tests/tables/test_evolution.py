"""Tables may grow and may not shrink: each rule named, the committed snapshot, and a lake that is evolved on open."""

import copy
import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fleet_assets.policy.documents import load_policies
from fleet_assets.provenance.ledger import Entry
from fleet_assets.tables import Column, Table, all_tables
from fleet_assets.tables.evolution import IncompatibleSchemaError, breaches, described
from resources.iceberg import IcebergLake
from tests.snapshots.renew import RENEW, TABLES, tables_described

FIRST = ("2024-05-01", "north")
TABLE = Table(
    ("silver", "toy"),
    (
        Column("drive_id", "string", ""),
        Column("day", "string", ""),
        Column("depot", "string", ""),
        Column("count", "int32", "", minimum=0, maximum=10),
        Column("state", "string", "", values=("on", "off")),
        Column("note", "string", "", nullable=True),
    ),
    ("count",),
    "",
)
ROW = {"drive_id": "old", "day": FIRST[0], "depot": FIRST[1], "count": 3, "state": "on", "note": "n"}
BEFORE = {"silver.toy": described(TABLE)}


def changed(change: Callable[[dict[str, Any]], Any]) -> list[str]:
    """Rules that a change of the toy table breaks."""
    after = copy.deepcopy(BEFORE)
    change(after)
    return [breach.rule for breach in breaches(BEFORE, after)]


def column(name: str, **parts: Any) -> Callable[[dict[str, Any]], Any]:
    return lambda after: (
        after["silver.toy"]["columns"]
        .setdefault(name, {"type": "string", "nullable": True, "values": [], "minimum": None, "maximum": None})
        .update(parts)
    )


@pytest.mark.parametrize(
    ("change", "rules"),
    [
        (lambda after: None, []),
        (column("added_m", type="float64"), []),
        (column("added_m", type="float64", nullable=False), ["required_column"]),
        (lambda after: after["silver.toy"]["columns"].pop("note"), ["dropped_column"]),
        (lambda after: after.pop("silver.toy"), ["dropped_table"]),
        (column("count", type="int64"), []),
        (column("count", type="float64"), ["retyped_column"]),
        (column("note", type="int64"), ["retyped_column"]),
        (column("note", nullable=False), ["narrowed_nulls"]),
        (column("count", nullable=True), []),
        (column("state", values=["on", "off", "broken"]), []),
        (column("state", values=[]), []),
        (column("state", values=["on"]), ["narrowed_values"]),
        (column("note", values=["n"]), ["narrowed_values"]),
        (column("count", minimum=-1), []),
        (column("count", minimum=None), []),
        (column("count", minimum=1), ["narrowed_range"]),
        (column("count", maximum=11), []),
        (column("count", maximum=9), ["narrowed_range"]),
        (lambda after: after["silver.toy"].update(unique=["drive_id"]), ["changed_layout"]),
        (lambda after: after["silver.toy"].update(partition_by=["day"]), ["changed_layout"]),
        (lambda after: after["silver.toy"].update(personal=True), []),
    ],
)
def test_what_takes_something_away_is_named_by_its_rule(
    change: Callable[[dict[str, Any]], Any], rules: list[str]
) -> None:
    assert changed(change) == rules


def test_personal_data_does_not_become_a_product_by_a_change_of_mind() -> None:
    personal = {"silver.toy": described(replace(TABLE, personal=True))}
    assert [breach.rule for breach in breaches(personal, BEFORE)] == ["opened_personal_data"]


def test_the_tables_take_nothing_away_from_what_is_committed() -> None:
    committed = json.loads(TABLES.read_text())
    found = breaches(committed, tables_described())
    assert [str(breach) for breach in found] == []
    assert committed == tables_described(), f"Tables grew. Meant so? Run `{RENEW}` and read the diff."


def test_a_dropped_column_of_a_shipped_table_is_named_with_table_rule_and_remedy() -> None:
    committed, now = tables_described(), tables_described()
    del now["silver.clip_catalog"]["columns"]["light_condition"]
    (breach,) = breaches(committed, now)
    assert str(breach).startswith("dropped_column: silver.clip_catalog.light_condition: the column is gone. Keep it")


# -- the lake ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def lake(tmp_path: Path) -> IcebergLake:
    return IcebergLake({"type": "sql", "uri": f"sqlite:///{tmp_path}/c.db", "warehouse": f"file://{tmp_path}/w"})


def put(lake: IcebergLake, table: Table, drive: str, **values: Any) -> Entry:
    rows = table.from_rows([{**ROW, "drive_id": drive, **values}])
    entry = lake.stage(table, FIRST, drive, "0" * 24, rows)
    lake.commit(table, [entry])
    return entry


def test_an_older_lake_is_evolved_on_open_and_its_files_stay_as_they_were(lake: IcebergLake) -> None:
    old = put(lake, TABLE, "old")
    before = Path(old.path.removeprefix("file://")).read_bytes()
    columns = tuple(replace(one, type="int64", nullable=True) if one.name == "count" else one for one in TABLE.columns)
    wider = replace(TABLE, columns=(*columns, Column("added_m", "float64", "", nullable=True)))
    put(lake, wider, "new", count=1 << 40, added_m=0.5)
    assert [(row["drive_id"], row["count"], row["added_m"]) for row in lake.rows(wider).to_pylist()] == [
        ("new", 1 << 40, 0.5),
        ("old", 3, None),
    ]
    assert Path(old.path.removeprefix("file://")).read_bytes() == before
    assert {entry.unit: entry.digest for entry in lake.entries(wider)}["old"] == hashlib.sha256(before).hexdigest()
    lazily = lake.dataset(wider).to_table().to_pylist()
    assert sorted((row["drive_id"], row["count"]) for row in lazily) == [("new", 1 << 40), ("old", 3)]
    scanned = lake.catalog.load_table(wider.key).scan().to_arrow().to_pylist()
    assert sorted((row["drive_id"], row["count"], row["added_m"]) for row in scanned) == [
        ("new", 1 << 40, 0.5),
        ("old", 3, None),
    ]


@pytest.mark.parametrize(
    ("columns", "rule"),
    [
        (TABLE.columns[:-1], "dropped_column: silver.toy.note"),
        ((*TABLE.columns[:-1], Column("note", "int64", "", nullable=True)), "retyped_column: silver.toy.note"),
        ((*TABLE.columns[:-1], Column("note", "string", "")), "narrowed_nulls: silver.toy.note"),
        ((*TABLE.columns, Column("added_m", "float64", "")), "required_column: silver.toy.added_m"),
    ],
)
def test_a_definition_that_takes_away_is_refused_before_anything_is_written(
    lake: IcebergLake, tmp_path: Path, columns: tuple[Column, ...], rule: str
) -> None:
    put(lake, TABLE, "old")
    before = sorted(tmp_path.rglob("*"))
    schema = lake.catalog.load_table(TABLE.key).schema()
    narrower = replace(TABLE, columns=columns)
    values = {name: {**ROW, "added_m": 0.5}[name] for name in narrower.arrow_schema.names if name != "note"}
    note = (
        {}
        if "note" not in narrower.arrow_schema.names
        else {"note": 1 if narrower.columns[-1].type == "int64" else "x"}
    )
    with pytest.raises(IncompatibleSchemaError) as refused:
        lake.stage(narrower, FIRST, "new", "1" * 24, narrower.from_rows([{**values, **note}]))
    assert str(refused.value).startswith(rule)
    assert sorted(tmp_path.rglob("*")) == before
    assert lake.catalog.load_table(TABLE.key).schema() == schema


def test_a_fleet_that_adds_a_signal_keeps_its_drives_and_one_that_drops_one_is_told(lake: IcebergLake) -> None:
    canonical = load_policies()["canonical_signals"]
    signals = all_tables(canonical)["silver.signals"]
    rows = signals.from_rows([{"drive_id": "d", "day": FIRST[0], "depot": FIRST[1], "clip_id": "d-0000", "t_ns": 0}])
    lake.commit(signals, [lake.stage(signals, FIRST, "d", "0" * 24, rows)])
    oil = {"unit": "degC", "type": "float64", "resample": "hold", "max_gap_s": 1, "description": "Oil"}
    more = all_tables({**canonical, "signals": {**canonical["signals"], "oil_degc": oil}})["silver.signals"]
    assert lake.location(more)
    assert lake.rows(more)["oil_degc"].to_pylist() == [None]
    fewer = {name: body for name, body in canonical["signals"].items() if name != "alt_m"}
    with pytest.raises(IncompatibleSchemaError, match=r"dropped_column: silver\.signals\.alt_m"):
        lake.location(all_tables({**canonical, "signals": fewer})["silver.signals"])
