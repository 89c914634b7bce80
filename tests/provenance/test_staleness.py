"""What is out of date is read from the ledger alone: per step and partition, with the units concerned."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from fleet_assets.provenance.digests import EMPTY_ROOT
from fleet_assets.provenance.fingerprints import Operator
from fleet_assets.provenance.ledger import Partition, root
from fleet_assets.provenance.restate import Moved, Step, UnitInput, UnitTask, Wanted
from fleet_assets.provenance.staleness import Stale, partition_roots, stale_partitions, unreported
from fleet_assets.tables import Column, Table
from tests.memory_lake import MemoryLake

COLUMNS = (Column("drive_id", "string", ""), Column("day", "string", ""), Column("depot", "string", ""))
ONE, TWO, THREE = (Table(("bronze", name), COLUMNS, ("drive_id",), "") for name in ("one", "two", "three"))
NORTH: Partition = ("2024-05-01", "north")
SOUTH: Partition = ("2024-05-01", "south")


def never(task: UnitTask) -> Mapping[str, pa.Table] | Moved:
    raise AssertionError(f"{task.unit}: staleness is a reading and computes nothing")


@dataclass(frozen=True)
class Toy:
    """A platform of three tables, and what is wanted in them."""

    lake: MemoryLake
    wanted: Mapping[str, Mapping[Partition, Wanted]]

    @property
    def tables(self) -> Mapping[str, Table]:
        """All tables by dotted name."""
        return {table.name: table for table in (ONE, TWO, THREE)}

    def steps(self) -> list[Step]:
        """Step `both` writes two tables, step `last` one."""
        reads = SimpleNamespace(count=0)

        def read_state(platform: Any) -> Any:
            reads.count += 1
            assert reads.count == 1, "one reading serves all steps of an area"
            return platform

        def units(name: str, state: Any, partition: Partition | None) -> Mapping[Partition, Wanted]:
            assert partition is None
            found: Mapping[Partition, Wanted] = state.wanted.get(name, {})
            return found

        return [
            Step(Operator(name, 1, (), tuple(table.name for table in outputs)), never, read_state, partial(units, name))
            for name, outputs in (("both", (ONE, TWO)), ("last", (THREE,)))
        ]

    def stale(self) -> list[tuple[str, Partition, dict[str, str], tuple[str, ...]]]:
        """Step, partition, stale and gone units."""
        return [
            (item.step.operator.name, item.partition, dict(item.plan.stale), item.plan.gone) for item in self.found()
        ]

    def found(self) -> list[Stale]:
        """What is out of date."""
        return stale_partitions(self, self.steps())  # type: ignore[arg-type]  # tables and lake are all that is read


def held(lake: MemoryLake, table: Table, partition: Partition, *units: str, made: str = "f") -> None:
    for unit in units:
        row = dict(zip(("drive_id", "day", "depot"), (unit, *partition), strict=True))
        lake.put(table, partition, unit, [row], made)


def wanted(*units: str, waiting: tuple[str, ...] = (), made: str = "f") -> Wanted:
    return Wanted({unit: UnitInput(made.rjust(24, "0")) for unit in units}, waiting)


def test_nothing_wanted_and_nothing_held_is_nothing_stale() -> None:
    assert Toy(MemoryLake(), {}).stale() == []
    assert Toy(MemoryLake(), {"both": {NORTH: wanted()}}).stale() == []


def test_what_is_held_as_wanted_is_current() -> None:
    lake = MemoryLake()
    for table in (ONE, TWO):
        held(lake, table, NORTH, "a", "b")
    assert Toy(lake, {"both": {NORTH: wanted("a", "b")}}).stale() == []


def test_new_changed_and_half_written_units_are_stale_by_partition() -> None:
    lake = MemoryLake()
    held(lake, ONE, NORTH, "half", "old")
    held(lake, TWO, NORTH, "old")
    toy = Toy(lake, {"both": {NORTH: wanted("half"), SOUTH: wanted("new")}, "last": {NORTH: wanted("x")}})
    fingerprint = "f".rjust(24, "0")
    assert toy.stale() == [
        ("both", NORTH, {"half": fingerprint}, ("old",)),
        ("both", SOUTH, {"new": fingerprint}, ()),
        ("last", NORTH, {"x": fingerprint}, ()),
    ]


def test_a_partition_of_which_nothing_is_wanted_any_more_is_cleared() -> None:
    lake = MemoryLake()
    held(lake, THREE, SOUTH, "a")
    assert Toy(lake, {}).stale() == [("last", SOUTH, {}, ("a",))]


def test_a_unit_that_waits_for_its_inputs_is_neither_stale_nor_gone() -> None:
    lake = MemoryLake()
    held(lake, THREE, SOUTH, "a", "b")
    assert Toy(lake, {"last": {SOUTH: wanted(waiting=("a", "b"))}}).stale() == []
    assert Toy(lake, {"last": {SOUTH: wanted(waiting=("a",))}}).stale() == [("last", SOUTH, {}, ("b",))]


def test_the_identity_of_outstanding_work_lasts_as_long_as_the_same_work_is_outstanding() -> None:
    def identity(made: str, *gone: str, partition: Partition = NORTH, step: str = "both") -> str:
        lake = MemoryLake()
        held(lake, ONE if step == "both" else THREE, partition, *gone)
        found = Toy(lake, {step: {partition: wanted("a", made=made)}}).found()
        return found[0].identity

    assert identity("1") == identity("1")
    others = {
        identity("1"), identity("2"), identity("1", "b"), identity("1", partition=SOUTH), identity("1", step="last")
    }  # fmt: skip
    assert len(others) == 5


def test_the_roots_of_a_table_are_those_of_its_partitions() -> None:
    lake = MemoryLake()
    held(lake, ONE, NORTH, "a", "b")
    held(lake, ONE, SOUTH, "c")
    roots = partition_roots(Toy(lake, {}), [ONE.name, TWO.name])  # type: ignore[arg-type]
    assert roots == {
        ONE.name: {NORTH: root(lake.entries(ONE, NORTH)), SOUTH: root(lake.entries(ONE, SOUTH))},
        TWO.name: {},
    }


def test_dagster_is_told_what_it_does_not_know_or_knows_otherwise() -> None:
    roots = {"one": {NORTH: "1", SOUTH: "2"}, "two": {NORTH: "3"}}
    assert unreported(roots, roots) == {}
    assert unreported(roots, {}) == {NORTH: ["one", "two"], SOUTH: ["one"]}
    assert unreported(roots, {"one": {NORTH: "1", SOUTH: "old"}, "two": {NORTH: ""}}) == {
        NORTH: ["two"],
        SOUTH: ["one"],
    }


def test_dagster_is_told_when_a_partition_lost_its_last_drive() -> None:
    assert unreported({"one": {}}, {"one": {NORTH: "1"}}) == {NORTH: ["one"]}
    assert unreported({"one": {}}, {"one": {NORTH: EMPTY_ROOT}}) == {}


@given(
    st.dictionaries(st.sampled_from("abcd"), st.sampled_from("12")),
    st.dictionaries(st.sampled_from("abcd"), st.sampled_from("12")),
    st.sets(st.sampled_from("abcd")),
)
def test_every_unit_that_is_not_as_wanted_is_found_and_no_other(
    want: dict[str, str], have: dict[str, str], waiting: set[str]
) -> None:
    lake = MemoryLake()
    for unit, made in have.items():
        held(lake, THREE, NORTH, unit, made=made)
    units = {unit: UnitInput(made.rjust(24, "0")) for unit, made in want.items() if unit not in waiting}
    found = Toy(lake, {"last": {NORTH: Wanted(units, tuple(waiting))}}).stale()
    stale = {unit for unit in units if have.get(unit) != want[unit]}
    gone = set(have) - set(units) - waiting
    assert found == [] if not stale | gone else (set(found[0][2]), set(found[0][3])) == (stale, gone)


def test_an_entry_of_another_partition_does_not_make_a_unit_current() -> None:
    lake = MemoryLake()
    for table in (ONE, TWO):
        held(lake, table, SOUTH, "a")
    toy = Toy(lake, {"both": {NORTH: wanted("a")}})
    assert [(partition, sorted(stale), gone) for _, partition, stale, gone in toy.stale()] == [
        (NORTH, ["a"], ()),
        (SOUTH, [], ("a",)),
    ]
