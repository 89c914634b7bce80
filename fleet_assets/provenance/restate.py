"""Incremental restatement: bring one partition of an operator's outputs to what its inputs, policies and version want.

Only stale units are computed. The same function runs for a first build, a late or corrected drive, a new policy and a
run that was killed. Which units are wanted is decided by the caller; where files lie is the lake's business.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import pyarrow as pa

from fleet_assets.policy.documents import Policies
from fleet_assets.policy.personal_text import KEY, POLICY, TextRule, scrubbed_columns
from fleet_assets.provenance.fingerprints import Operator
from fleet_assets.provenance.ledger import Entry, LakeTables, Partition, Plan, plan, root
from fleet_assets.tables import Table

COMMIT_BATCH: Final = 64
"""Units per commit: what a kill can cost at most."""


class DataFileStore(Protocol):
    """Reads and stages data files inside a worker (implemented by `resources.data_files`)."""

    def stage(self, location: str, partition: Partition, unit: str, fingerprint: str, data: pa.Table) -> Entry:
        """Write a file that no one sees until it is committed."""
        ...

    def read(
        self, table: Table, entries: Sequence[Entry], columns: Sequence[str] | None = None, *, encoded: bool = False
    ) -> pa.Table:
        """Rows of the given files; text dictionary-encoded where that is asked for."""
        ...


class Retiring(Protocol):
    """Removes what goes with rows (implemented by `leftovers.Leftovers`)."""

    def before_replacing(self, table: Table, added: Sequence[Entry]) -> None:
        """The added files are about to take the place of others of their units."""
        ...

    def before_dropping(self, table: Table, removed: Sequence[Entry]) -> None:
        """These files are about to go."""
        ...


class Runner(Protocol):
    """Runs a function over tasks (implemented by the engine resource)."""

    def run(self, function: Callable[[Any], Any], tasks: Sequence[tuple[str, Any]]) -> Iterator[Any]:
        """One outcome per task, in order of completion."""
        ...


@dataclass(frozen=True, slots=True)
class UnitInput:
    """What one unit is to be made from.

    Attributes:
        fingerprint: Wanted fingerprint.
        inputs: Table → the unit's committed file in it.
        context: Further picklable arguments of the operator's function (files, DBC texts, releases …).
    """

    fingerprint: str
    inputs: Mapping[str, Entry] = field(default_factory=dict)
    context: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a partition of an operator's outputs should be made of.

    Attributes:
        units: Units whose inputs are all there.
        waiting: Units of which an upstream table has nothing yet; they are neither computed nor dropped.
    """

    units: Mapping[str, UnitInput] = field(default_factory=dict)
    waiting: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class UnitTask:
    """One unit's work, as its operator's function sees it in a worker."""

    unit: str
    partition: Partition
    inputs: Mapping[str, Entry]
    context: Mapping[str, Any]
    policies: Policies
    tables: Mapping[str, Table]
    files: DataFileStore

    def read(self, name: str, columns: Sequence[str] | None = None, *, encoded: bool = False) -> pa.Table:
        """The unit's rows in an input table; no rows where it has no file there.

        Args:
            name: Dotted name of the table.
            columns: Columns wanted; all when None.
            encoded: Leave text dictionary-encoded.
        """
        entries = [self.inputs[name]] if name in self.inputs else []
        return self.files.read(self.tables[name], entries, columns, encoded=encoded)


@dataclass(frozen=True, slots=True)
class Moved:
    """Rows of a unit that turned out to belong to another partition than the one it was announced for."""

    partition: Partition
    outputs: Mapping[str, pa.Table]


Compute = Callable[[UnitTask], Mapping[str, pa.Table] | Moved]
"""An operator's function: the unit's rows for every output table."""


@dataclass(frozen=True, slots=True)
class Step:
    """One operator wired up: what it declares, what it computes, and how it finds its units.

    Attributes:
        operator: The declaration.
        compute: Module-level function that makes one unit's rows.
        read_state: Reads what decides its units, given the platform; shared by the steps of an area.
        units: Wanted units by partition, of one partition or (None) of all.
    """

    operator: Operator
    compute: Compute
    read_state: Callable[[Any], Any]
    units: Callable[[Any, Partition | None], Mapping[Partition, Wanted]]


@dataclass(frozen=True, slots=True)
class _Job:
    task: UnitTask
    compute: Compute
    fingerprint: str
    locations: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Report:
    """What one restatement did and where the partition stands now.

    Attributes:
        operator: Operator name.
        partition: Partition.
        plan: What there was to do.
        entries: Output table → committed files of the partition afterwards.
        failures: Unit → traceback of an unexpected failure.
        cpu_s: CPU seconds of the workers.
    """

    operator: str
    partition: Partition
    plan: Plan
    entries: Mapping[str, tuple[Entry, ...]]
    failures: Mapping[str, str]
    cpu_s: float

    def data_version(self, table: str) -> str:
        """Merkle root of the partition in one output table."""
        return root(self.entries[table])


class UnitFailuresError(RuntimeError):
    """Units that failed unexpectedly; all others are done and committed."""

    def __init__(self, report: Report) -> None:
        super().__init__(report)
        self.report = report

    def __str__(self) -> str:
        failed = self.report.failures
        first = next(iter(failed))
        return (
            f"{self.report.operator} failed for {len(failed)} of {len(self.report.plan.stale)} units: "
            f"{', '.join(sorted(failed)[:10])}. The others are committed; a re-run does only these. "
            f"First failure ({first}):\n{failed[first]}"
        )


def _run_unit(job: _Job) -> dict[str, Entry]:
    """Compute one unit and stage its files; runs in a worker."""
    task = job.task
    computed = job.compute(task)
    partition, outputs = (
        (computed.partition, computed.outputs) if isinstance(computed, Moved) else (task.partition, computed)
    )
    if set(outputs) != set(job.locations):
        raise ValueError(f"operator returned tables {sorted(outputs)}, declared {sorted(job.locations)}")
    return {
        name: task.files.stage(
            job.locations[name], partition, task.unit, job.fingerprint, _stored(task.tables[name], data, task.policies)
        )
        for name, data in outputs.items()
    }


def _stored(table: Table, data: pa.Table, policies: Policies) -> pa.Table:
    """Rows as they are stored: what free text says about people never gets into a table."""
    conformed = table.conform(data)
    if not table.free_texts:
        return conformed
    return scrubbed_columns(conformed, table.free_texts, TextRule.from_policy(policies[POLICY][KEY]))


def restate(
    operator: Operator,
    partition: Partition,
    units: Mapping[str, UnitInput],
    compute: Compute,
    *,
    lake: LakeTables,
    files: DataFileStore,
    engine: Runner,
    policies: Policies,
    tables: Mapping[str, Table],
    keep: Iterable[str] = (),
    progress: Callable[[int, int], None] | None = None,
    retiring: Retiring | None = None,
) -> Report:
    """Compute what is stale, drop what is gone, leave the rest alone.

    Args:
        operator: Declaration of the work.
        partition: Partition to bring up to date.
        units: Unit → what it is to be made from.
        compute: The operator's function; a module-level function, since it runs in worker processes.
        lake: Ledger and commits.
        files: Data-file access for the workers.
        engine: Runs units in parallel.
        policies: Policies in force.
        tables: All tables by dotted name.
        keep: Units that are neither computed nor dropped now, because an input of theirs is not there yet.
        progress: Called with (units done, units to do).
        retiring: Asked before rows are replaced or dropped; None where nothing goes with them.

    Returns:
        The report. Nothing stale and nothing gone means that nothing was computed or written.

    Raises:
        UnitFailuresError: After all other units are committed, when some failed unexpectedly.
    """
    outputs = [tables[name] for name in operator.outputs]
    wanted = {unit: unit_input.fingerprint for unit, unit_input in units.items()}
    held = [lake.entries(table, partition) for table in outputs]
    todo = plan(wanted, held)
    locations = {name: lake.location(tables[name]) for name in operator.outputs} if todo.stale else {}
    jobs = [
        (
            unit,
            _Job(
                UnitTask(unit, partition, units[unit].inputs, units[unit].context, policies, tables, files),
                compute,
                fingerprint,
                locations,
            ),
        )
        for unit, fingerprint in todo.stale.items()
    ]
    failures: dict[str, str] = {}
    batch: list[dict[str, Entry]] = []
    cpu_s = pending_cpu_s = 0.0
    for done, outcome in enumerate(engine.run(_run_unit, jobs), start=1):
        cpu_s += outcome.cpu_s
        pending_cpu_s += outcome.cpu_s
        if outcome.error is not None:
            failures[outcome.key] = outcome.error
        else:
            batch.append(outcome.value)
        if progress is not None:
            progress(done, len(jobs))
        if len(batch) >= COMMIT_BATCH:
            _commit(operator, batch, lake, tables, cpu_s=pending_cpu_s, retiring=retiring)
            batch, pending_cpu_s = [], 0.0
    _commit(operator, batch, lake, tables, cpu_s=pending_cpu_s, retiring=retiring)
    _drop_gone(set(todo.gone) - set(keep), partition, outputs, lake, retiring)
    entries = {table.name: tuple(lake.entries(table, partition)) for table in outputs}
    report = Report(operator.name, partition, todo, entries, failures, cpu_s)
    if failures:
        raise UnitFailuresError(report)
    return report


def _commit(
    operator: Operator,
    batch: Sequence[Mapping[str, Entry]],
    lake: LakeTables,
    tables: Mapping[str, Table],
    *,
    cpu_s: float,
    retiring: Retiring | None,
) -> None:
    if not batch:
        return
    cost = {"operator": operator.name, "units": str(len(batch)), "cpu_s": f"{cpu_s:.3f}"}
    for name in operator.outputs:
        added = [files[name] for files in batch]
        if retiring is not None:
            retiring.before_replacing(tables[name], added)
        lake.commit(tables[name], added, cost=cost)


def _drop_gone(
    gone: set[str], partition: Partition, outputs: Sequence[Table], lake: LakeTables, retiring: Retiring | None
) -> None:
    if not gone:
        return
    for table in outputs:
        removed = [entry for entry in lake.entries(table, partition) if entry.unit in gone]
        if retiring is not None:
            retiring.before_dropping(table, removed)
        lake.commit(table, [], removed=removed)
