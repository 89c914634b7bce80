"""Restatement computes what is stale, drops what is gone, leaves the rest alone; a failure costs its own unit only."""

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet_assets.policy.documents import Policies
from fleet_assets.provenance.fingerprints import Operator
from fleet_assets.provenance.ledger import Entry, Partition
from fleet_assets.provenance.restate import (
    COMMIT_BATCH,
    Moved,
    Report,
    UnitFailuresError,
    UnitInput,
    UnitTask,
    restate,
)
from fleet_assets.tables import Column, SchemaMismatchError, Table
from tests.memory_lake import InlineEngine, MemoryLake

DAY: Partition = ("2024-05-01", "north")
OTHER: Partition = ("2024-05-02", "north")
COLUMNS = (
    Column("drive_id", "string", ""),
    Column("day", "string", ""),
    Column("depot", "string", ""),
    Column("value", "int64", ""),
)
SOURCE, FIRST, SECOND = (
    Table(("bronze", name), COLUMNS, ("drive_id", "value"), "") for name in ("source", "first", "second")
)
TABLES = {table.name: table for table in (SOURCE, FIRST, SECOND)}
# The order of outputs is the order of commits: what lists the units of a partition comes last.
OPERATOR = Operator("toy.double", 1, (SOURCE.name,), (SECOND.name, FIRST.name))
POLICIES = Policies({})


def rows(unit: str, partition: Partition, values: list[int]) -> pa.Table:
    keys = dict(zip(("drive_id", "day", "depot"), (unit, *partition), strict=True))
    return FIRST.from_rows([{**keys, "value": value} for value in values])


def double(task: UnitTask) -> Mapping[str, pa.Table] | Moved:
    """Twice the source's values; a drive called `bad…` crashes, `moved…` turns out to be of the next day."""
    if task.unit.startswith("bad"):
        raise ZeroDivisionError(f"{task.unit} divides by zero")
    partition = OTHER if task.unit.startswith("moved") else task.partition
    values = [2 * value for value in task.read(SOURCE.name)["value"].to_pylist()]
    outputs = {
        FIRST.name: rows(task.unit, partition, values),
        SECOND.name: rows(task.unit, partition, [-value for value in values]),
    }
    return outputs if partition == task.partition else Moved(partition, outputs)


def two(task: UnitTask) -> Mapping[str, pa.Table]:
    """One row of value 2."""
    made = rows(task.unit, task.partition, [2])
    return {FIRST.name: made, SECOND.name: made}


class Toy:
    """One operator over one lake."""

    def __init__(self, *, reverse: bool = False) -> None:
        self.lake, self.engine = MemoryLake(), InlineEngine(reverse=reverse)
        self.progress: list[tuple[int, int]] = []

    def wanted(self, units: Mapping[str, int], partition: Partition = DAY, version: int = 1) -> dict[str, UnitInput]:
        """Inputs with one row each; the fingerprint says value and version."""
        found = {}
        for unit, value in units.items():
            keys = dict(zip(("drive_id", "day", "depot"), (unit, *partition), strict=True))
            source = self.lake.put(SOURCE, partition, unit, [{**keys, "value": value}])
            found[unit] = UnitInput(f"{version:08x}{value:016x}", {SOURCE.name: source})
        return found

    def run(self, units: Mapping[str, UnitInput], partition: Partition = DAY, **options: Any) -> Report:
        """Restate one partition."""
        return restate(
            options.pop("operator", OPERATOR),
            partition,
            units,
            options.pop("compute", double),
            lake=self.lake,
            files=self.lake.files,
            engine=self.engine,
            policies=POLICIES,
            tables=TABLES,
            progress=lambda done, of: self.progress.append((done, of)),
            **options,
        )

    def values(self, table: Table = FIRST, partition: Partition = DAY) -> dict[str, int]:
        """Value by drive."""
        found = self.lake.read(table, self.lake.entries(table, partition)).to_pylist()
        return {row["drive_id"]: row["value"] for row in found}


def test_a_first_build_computes_everything_and_reports_where_the_partition_stands() -> None:
    toy = Toy()
    report = toy.run(toy.wanted({"a": 1, "b": 2}))
    assert toy.values() == {"a": 2, "b": 4}
    assert set(report.plan.stale) == {"a", "b"}
    assert [entry.unit for entry in report.entries[FIRST.name]] == ["a", "b"]
    assert report.cpu_s == 1.0
    assert toy.progress == [(1, 2), (2, 2)]
    assert report.data_version(FIRST.name) != report.data_version(SECOND.name)


def test_with_nothing_stale_no_task_runs_and_nothing_is_committed() -> None:
    toy = Toy()
    wanted = toy.wanted({"a": 1, "b": 2})
    first = toy.run(wanted)
    toy.lake.commits.clear()
    toy.engine.calls.clear()
    again = toy.run(wanted)
    assert toy.lake.commits == []
    assert toy.engine.calls in ([], [()])
    assert again.plan.current == ("a", "b")
    assert again.entries == first.entries
    assert again.cpu_s == 0


def test_only_what_changed_is_computed_and_only_what_is_gone_is_dropped() -> None:
    toy = Toy()
    toy.run(toy.wanted({"same": 1, "changed": 2, "gone": 3}))
    kept = next(entry for entry in toy.lake.entries(FIRST, DAY) if entry.unit == "same")
    toy.engine.calls.clear()
    toy.run(toy.wanted({"same": 1, "changed": 5, "late": 7}))
    assert toy.engine.calls == [("changed", "late")]
    assert toy.values() == {"same": 2, "changed": 10, "late": 14}
    assert kept in toy.lake.entries(FIRST, DAY)


def test_a_new_operator_version_computes_all_again() -> None:
    toy = Toy()
    toy.run(toy.wanted({"a": 1, "b": 2}))
    toy.engine.calls.clear()
    toy.run(toy.wanted({"a": 1, "b": 2}, version=2))
    assert toy.engine.calls == [("a", "b")]


def test_a_unit_that_waits_for_an_input_is_neither_computed_nor_dropped() -> None:
    toy = Toy()
    toy.run(toy.wanted({"a": 1, "b": 2}))
    report = toy.run(toy.wanted({"a": 1}), keep=["b"])
    assert toy.values() == {"a": 2, "b": 4}
    assert report.plan.gone == ("b",)
    assert toy.run(toy.wanted({"a": 1})).entries[FIRST.name]
    assert toy.values() == {"a": 2}


def test_a_unit_missing_from_one_output_is_made_again_in_both() -> None:
    """A kill between the commits of two output tables leaves them apart; the next run mends it."""
    toy = Toy()
    wanted = toy.wanted({"a": 1})
    toy.run(wanted)
    toy.lake.live[FIRST.name].clear()
    toy.run(wanted)
    assert toy.values(FIRST) == {"a": 2}
    assert toy.values(SECOND) == {"a": -2}


@pytest.mark.parametrize("reverse", [False, True])
def test_a_failing_unit_leaves_the_others_committed_and_is_named(reverse: bool) -> None:
    toy = Toy(reverse=reverse)
    with pytest.raises(UnitFailuresError) as caught:
        toy.run(toy.wanted({"a": 1, "bad1": 2, "z": 3}))
    assert toy.values() == {"a": 2, "z": 6}
    message = str(caught.value)
    assert "toy.double failed for 1 of 3 units: bad1" in message
    assert "ZeroDivisionError: bad1 divides by zero" in message
    assert "a re-run does only these" in message
    assert caught.value.report.entries[FIRST.name] == tuple(toy.lake.entries(FIRST, DAY))
    toy.engine.calls.clear()
    with pytest.raises(UnitFailuresError):
        toy.run(toy.wanted({"a": 1, "bad1": 2, "z": 3}))
    assert toy.engine.calls == [("bad1",)]


def test_what_a_failing_unit_held_before_stays_until_it_is_replaced() -> None:
    toy = Toy()
    toy.run(toy.wanted({"bad1": 1}), compute=two)
    assert toy.values() == {"bad1": 2}
    with pytest.raises(UnitFailuresError):
        toy.run(toy.wanted({"bad1": 5}))
    assert toy.values() == {"bad1": 2}


def test_all_failing_units_are_counted_and_the_first_ten_named() -> None:
    toy = Toy()
    with pytest.raises(UnitFailuresError, match="failed for 12 of 12 units: bad00, .*bad09. The others") as caught:
        toy.run(toy.wanted({f"bad{number:02}": 1 for number in range(12)}))
    assert len(caught.value.report.failures) == 12


def test_rows_that_turn_out_to_belong_to_another_day_are_committed_there() -> None:
    toy = Toy()
    report = toy.run(toy.wanted({"a": 1, "moved": 4}))
    assert toy.values(partition=DAY) == {"a": 2}
    assert toy.values(partition=OTHER) == {"moved": 8}
    assert [entry.unit for entry in report.entries[FIRST.name]] == ["a"]


def test_a_unit_that_moves_leaves_its_old_partition_in_the_same_commit() -> None:
    toy = Toy()
    toy.run(toy.wanted({"a": 1}))
    toy.lake.commits.clear()
    toy.run(toy.wanted({"a": 1}, OTHER, version=2), OTHER)
    assert toy.values(partition=DAY) == {}
    assert toy.values(partition=OTHER) == {"a": 2}
    assert [commit.table for commit in toy.lake.commits] == [SECOND.name, FIRST.name]


def test_many_units_are_committed_in_batches_and_each_commit_states_its_cost() -> None:
    toy = Toy()
    count = 2 * COMMIT_BATCH + 3
    toy.run(toy.wanted({f"d{number:04}": number for number in range(count)}))
    first = [commit for commit in toy.lake.commits if commit.table == FIRST.name]
    assert [len(commit.added) for commit in first] == [COMMIT_BATCH, COMMIT_BATCH, 3]
    assert [commit.cost["units"] for commit in first] == [str(COMMIT_BATCH), str(COMMIT_BATCH), "3"]
    assert sum(float(commit.cost["cpu_s"]) for commit in first) == pytest.approx(count * 0.5)
    assert {commit.cost["operator"] for commit in first} == {OPERATOR.name}
    assert len(toy.values()) == count


def test_failures_do_not_count_towards_a_batch() -> None:
    toy = Toy()
    units = {f"d{number:04}": 1 for number in range(COMMIT_BATCH)} | {f"bad{number:03}": 1 for number in range(9)}
    with pytest.raises(UnitFailuresError):
        toy.run(toy.wanted(units))
    first = [commit for commit in toy.lake.commits if commit.table == FIRST.name]
    assert [len(commit.added) for commit in first] == [COMMIT_BATCH]


def test_outputs_are_committed_in_the_order_that_the_operator_declares() -> None:
    """The table that lists a partition's units is declared last: who sees a drive there finds its other rows."""
    toy = Toy()
    toy.run(toy.wanted({"a": 1}))
    assert [commit.table for commit in toy.lake.commits] == [SECOND.name, FIRST.name]


def test_registration_commits_a_drives_files_before_the_drive() -> None:
    from fleet_assets.ingestion.telemetry_and_bulk_ingestion.register import REGISTER

    assert REGISTER.outputs[-1] == "bronze.drives"


def test_an_operator_that_forgets_a_table_fails_by_name() -> None:
    toy = Toy()
    with pytest.raises(UnitFailuresError, match=r"returned tables \['bronze.first'\], declared"):
        toy.run(toy.wanted({"a": 1}), compute=lambda task: {FIRST.name: double(task)[FIRST.name]})  # type: ignore[index]
    assert toy.lake.commits == []


def test_rows_that_break_the_schema_are_not_committed() -> None:
    def surplus(task: UnitTask) -> Mapping[str, pa.Table]:
        made = rows(task.unit, task.partition, [1])
        return {FIRST.name: made.append_column("extra", pa.array([1])), SECOND.name: made}

    toy = Toy()
    with pytest.raises(UnitFailuresError, match=SchemaMismatchError.__name__):
        toy.run(toy.wanted({"a": 1}), compute=surplus)
    assert toy.lake.commits == []


def test_a_unit_without_a_file_in_an_input_reads_no_rows() -> None:
    toy = Toy()
    task = UnitTask("a", DAY, {}, {}, POLICIES, TABLES, toy.lake.files)
    assert task.read(SOURCE.name).num_rows == 0
    assert task.read(SOURCE.name, ["value"]).schema.names == ["value"]


STATES = st.dictionaries(st.sampled_from("abcdef"), st.integers(0, 3), max_size=6)


@given(st.lists(STATES, min_size=1, max_size=4), st.booleans())
def test_any_history_ends_where_a_build_from_scratch_ends(history: list[dict[str, int]], reverse: bool) -> None:
    lived, fresh = Toy(reverse=reverse), Toy()
    for state in history:
        report = lived.run(lived.wanted(state))
    scratch = fresh.run(fresh.wanted(history[-1]))
    assert lived.values() == fresh.values()
    for table in (FIRST, SECOND):
        assert report.data_version(table.name) == scratch.data_version(table.name)


class Retired:
    """What was said to go, and what the lake still held of it then."""

    def __init__(self, toy: Toy) -> None:
        self.toy = toy
        self.told: list[tuple[str, str, tuple[str, ...], dict[str, int]]] = []

    def before_replacing(self, table: Table, added: Sequence[Entry]) -> None:
        """See `Retiring`."""
        self.told.append(("replaced", table.name, tuple(entry.unit for entry in added), self.toy.values(table)))

    def before_dropping(self, table: Table, removed: Sequence[Entry]) -> None:
        """See `Retiring`."""
        self.told.append(("dropped", table.name, tuple(entry.unit for entry in removed), self.toy.values(table)))


def test_what_goes_with_rows_is_told_before_they_go_so_that_a_run_that_dies_there_is_repeated() -> None:
    toy = Toy()
    toy.run(toy.wanted({"a": 1, "b": 2}))
    retired = Retired(toy)
    toy.run(toy.wanted({"a": 3}), retiring=retired)
    assert retired.told == [
        ("replaced", SECOND.name, ("a",), {"a": -2, "b": -4}),
        ("replaced", FIRST.name, ("a",), {"a": 2, "b": 4}),
        ("dropped", SECOND.name, ("b",), {"a": -6, "b": -4}),
        ("dropped", FIRST.name, ("b",), {"a": 6, "b": 4}),
    ]
    toy.run(toy.wanted({"a": 3}), retiring=(quiet := Retired(toy)))
    assert quiet.told == []
