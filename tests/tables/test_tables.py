"""A table states its shape once; data that does not have it is refused before it is written."""

from dataclasses import replace
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet_assets.policy.documents import load_policies
from fleet_assets.tables import Column, SchemaMismatchError, Table, TableKind, all_tables
from fleet_assets.tables.schema import PARTITION_COLUMNS

TABLE = Table(
    ("bronze", "toy"),
    (
        Column("drive_id", "string", ""),
        Column("t_ns", "int64", ""),
        Column("value", "float64", "", nullable=True),
        Column("slot", "int32", "", nullable=True),
    ),
    ("drive_id", "t_ns"),
    "",
)
ALL = all_tables(load_policies()["canonical_signals"])


def data(**columns: Any) -> pa.Table:
    return pa.table({"drive_id": ["b", "a"], "t_ns": [2, 1], "value": [0.5, None], "slot": [1, None], **columns})


def test_columns_and_rows_come_in_the_tables_own_order() -> None:
    made = TABLE.conform(data().select(["value", "slot", "t_ns", "drive_id"]))
    assert made.column_names == ["drive_id", "t_ns", "value", "slot"]
    assert made.to_pylist() == [
        {"drive_id": "a", "t_ns": 1, "value": None, "slot": None},
        {"drive_id": "b", "t_ns": 2, "value": 0.5, "slot": 1},
    ]
    assert [field.type for field in made.schema] == [field.type for field in TABLE.arrow_schema]


def test_rows_that_an_operator_promises_in_order_are_left_as_they_are() -> None:
    assert replace(TABLE, presorted=True).conform(data())["t_ns"].to_pylist() == [2, 1]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda table: table.drop_columns(["value"]), r"bronze.toy: missing columns \['value'\], unknown columns \[\]"),
        (lambda table: table.append_column("x", pa.array([1, 2])), r"missing columns \[\], unknown columns \['x'\]"),
        (lambda table: table.set_column(1, "t_ns", pa.array([1, None])), "bronze.toy.t_ns: null in a required column"),
        (lambda table: table.set_column(1, "t_ns", pa.array([1.5, 2.0])), "bronze.toy: "),
        (lambda table: table.set_column(1, "t_ns", pa.array(["x", "y"])), "bronze.toy: "),
        (lambda table: table.set_column(3, "slot", pa.array([2**31, 0])), "bronze.toy: "),
    ],
)
def test_data_of_another_shape_is_refused_with_what_is_wrong(change: Any, message: str) -> None:
    with pytest.raises(SchemaMismatchError, match=message):
        TABLE.conform(change(data()))


def test_a_cast_that_loses_nothing_is_made() -> None:
    made = TABLE.conform(data(t_ns=pa.array([2, 1], pa.int8()), slot=pa.array([3, 4], pa.int64())))
    assert made.schema.field("t_ns").type == pa.int64()
    assert made["slot"].to_pylist() == [4, 3]


def test_text_may_come_dictionary_encoded_where_rows_come_in_order() -> None:
    encoded = data(drive_id=pa.array(["b", "a"]).dictionary_encode())
    made = replace(TABLE, presorted=True).conform(encoded)
    assert made["drive_id"].to_pylist() == ["b", "a"]


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(-5, 5)), max_size=8, unique=True), st.randoms())
def test_the_order_in_which_rows_are_given_does_not_matter(pairs: list[tuple[str, int]], rng: Any) -> None:
    rows = [{"drive_id": drive, "t_ns": t_ns, "value": float(t_ns), "slot": None} for drive, t_ns in pairs]
    shuffled = rng.sample(rows, len(rows))
    assert TABLE.from_rows(shuffled).equals(TABLE.from_rows(rows))
    assert TABLE.from_rows(rows)["t_ns"].to_pylist() == [t_ns for _, t_ns in sorted(pairs)]


def test_rows_may_lack_what_may_be_null_and_nothing_else() -> None:
    assert TABLE.from_rows([{"drive_id": "a", "t_ns": 1}])["value"].to_pylist() == [None]
    with pytest.raises(SchemaMismatchError, match="bronze.toy.drive_id: null in a required column"):
        TABLE.from_rows([{"t_ns": 1}])


def test_a_table_that_names_a_column_it_does_not_have_cannot_be_made() -> None:
    with pytest.raises(SchemaMismatchError, match=r"bronze.toy: sort or unique columns \['nothing'\]"):
        replace(TABLE, sort_by=("nothing",))
    with pytest.raises(SchemaMismatchError, match="nothing"):
        replace(TABLE, unique=("nothing",))


def test_a_table_has_a_name_for_sql_and_one_for_dagster() -> None:
    assert (TABLE.name, TABLE.asset_key) == ("bronze.toy", "bronze/toy")


@pytest.mark.parametrize("table", ALL.values(), ids=list(ALL))
def test_every_table_can_be_read_by_a_person(table: Table) -> None:
    names = [column.name for column in table.columns]
    assert len(set(names)) == len(names)
    assert table.description.endswith(".")
    assert all(column.description for column in table.columns)
    assert set(table.partition_by) <= set(names)
    assert table.presorted or table.sort_by


@pytest.mark.parametrize("table", ALL.values(), ids=list(ALL))
def test_every_bulk_table_begins_with_drive_day_and_depot(table: Table) -> None:
    if table.kind is TableKind.BULK:
        assert table.columns[:3] == PARTITION_COLUMNS
        assert table.partition_by == ("day", "depot")


PROMISED = {
    "bronze.drives": "drive_id, vehicle_id, depot, day, vehicle_spec, start_ns, end_ns, duration_s, time_source, "
    "bytes, manifest_sha256, status, reason",
    "bronze.drive_files": "drive_id, path, bytes, sha256, format",
    "bronze.integrity_findings": "drive_id, sensor, rule, severity, t_ns, value, limit, message",
    "bronze.quarantine": "drive_id, scope, rule, value, limit, remedy, released_by",
    "silver.signals": "drive_id, clip_id, t_ns, speed_mps, accel_long_mps2, accel_lat_mps2, yaw_rate_radps, "
    "steering_deg, brake_pressed, adas_engaged, lat_deg, lon_deg, alt_m, heading_deg, lead_distance_m, "
    "lead_rel_speed_mps",
    "silver.clips": "clip_id, drive_id, start_ns, end_ns",
    "silver.radar_tracks": "drive_id, clip_id, t_ns",
}
"""Columns that other workflows rely on (issue 2)."""


@pytest.mark.parametrize("name", sorted(PROMISED))
def test_the_columns_that_others_rely_on_are_there(name: str) -> None:
    assert set(PROMISED[name].split(", ")) <= set(ALL[name].arrow_schema.names)


def test_every_signal_of_the_grid_is_a_column_that_may_be_null() -> None:
    canonical = load_policies()["canonical_signals"]
    grid = {name for name, signal in canonical["signals"].items() if signal.get("grid", True)}
    columns = {column.name: column for column in ALL["silver.signals"].columns}
    assert grid <= set(columns)
    assert all(columns[name].nullable for name in grid)
    assert not set(canonical["signals"]) - grid & set(columns)


def test_lists_of_numbers_are_kept_and_a_null_among_them_is_refused() -> None:
    listed = replace(TABLE, columns=(*TABLE.columns, Column("vector", "list<float32>", "")))
    made = listed.conform(data(vector=pa.array([[1.5, 2.0], [0.25]], pa.list_(pa.float64()))))
    assert made["vector"].to_pylist() == [[0.25], [1.5, 2.0]]
    assert made.schema.field("vector").type == listed.arrow_schema.field("vector").type
    for broken in ([[1.5, None], [0.25]], [None, [0.25]]):
        with pytest.raises(SchemaMismatchError):
            listed.conform(data(vector=pa.array(broken, pa.list_(pa.float32()))))
