"""A lake, a file store and an engine in memory, for tests of what stands on them. Hand-written twins, not mocks.

They keep the contracts of `LakeTables`, `DataFileStore` and `Runner`; what they saw is there to be asked for.
"""

import hashlib
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from fleet_assets.provenance.ledger import Entry, Partition, file_name
from fleet_assets.tables import Table, TableKind


@dataclass
class MemoryFiles:
    """Data files by path. A staged file is in here before any commit shows it."""

    contents: dict[str, pa.Table] = field(default_factory=dict)

    def stage(self, location: str, partition: Partition, unit: str, fingerprint: str, data: pa.Table) -> Entry:
        """See `DataFileStore.stage`."""
        digest = hashlib.sha256(repr((data.schema.names, data.to_pylist())).encode()).hexdigest()
        path = "/".join([location, *partition, file_name(unit, fingerprint, digest)])
        self.contents[path] = data
        return Entry(unit, tuple(partition), fingerprint, digest, data.num_rows, data.nbytes, path)

    def read(
        self, table: Table, entries: Sequence[Entry], columns: Sequence[str] | None = None, *, encoded: bool = False
    ) -> pa.Table:
        """See `DataFileStore.read`; how text is encoded makes no difference to its users."""
        del encoded
        names = list(columns) if columns is not None else table.arrow_schema.names
        parts = [self.contents[entry.path].select(names) for entry in entries]
        schema = pa.schema([table.arrow_schema.field(name) for name in names])
        return pa.concat_tables([schema.empty_table(), *(part.cast(schema) for part in parts)])


@dataclass(frozen=True)
class Commit:
    """One commit as it was asked for."""

    table: str
    added: tuple[str, ...]
    removed: tuple[str, ...]
    cost: Mapping[str, str]


@dataclass
class MemoryLake:
    """Tables as dictionaries of entries by path, and a record of all commits."""

    files: MemoryFiles = field(default_factory=MemoryFiles)
    live: dict[str, dict[str, Entry]] = field(default_factory=dict)
    commits: list[Commit] = field(default_factory=list)

    def entries(self, table: Table, partition: Partition | None = None) -> list[Entry]:
        """See `LakeTables.entries`."""
        found = self.live.get(table.name, {}).values()
        mine = [entry for entry in found if partition is None or entry.partition == tuple(partition)]
        return sorted(mine, key=lambda entry: (entry.partition, entry.unit))

    def location(self, table: Table) -> str:
        """See `LakeTables.location`."""
        return f"memory:{table.name}"

    def stage(self, table: Table, partition: Partition, unit: str, fingerprint: str, data: pa.Table) -> Entry:
        """See `LakeTables.stage`."""
        return self.files.stage(self.location(table), partition, unit, fingerprint, data)

    def commit(
        self,
        table: Table,
        added: Sequence[Entry],
        removed: Iterable[Entry] = (),
        cost: Mapping[str, str] | None = None,
    ) -> None:
        """See `LakeTables.commit`."""
        dropped = tuple(removed)
        live = self.live.setdefault(table.name, {})
        replaced = {entry.unit for entry in added} if table.kind is not TableKind.LOG else set()
        gone = {entry.path for entry in dropped} | {path for path, entry in live.items() if entry.unit in replaced}
        self.live[table.name] = {path: entry for path, entry in live.items() if path not in gone} | {
            entry.path: entry for entry in added
        }
        units = tuple(tuple(sorted(entry.unit for entry in entries)) for entries in (added, dropped))
        self.commits.append(Commit(table.name, units[0], units[1], dict(cost or {})))

    def read(self, table: Table, entries: Sequence[Entry], columns: Sequence[str] | None = None) -> pa.Table:
        """See `LakeTables.read`."""
        return self.files.read(table, entries, columns)

    def put(self, table: Table, partition: Partition, unit: str, rows: list[dict[str, Any]], made: str = "0") -> Entry:
        """Write one unit's rows and commit them, as an upstream step would have."""
        entry = self.stage(table, partition, unit, made.rjust(24, "0"), table.from_rows(rows))
        self.commit(table, [entry])
        self.commits.pop()
        return entry


@dataclass(frozen=True)
class Done:
    """Outcome of one task."""

    key: str
    value: Any
    error: str | None
    cpu_s: float


@dataclass
class InlineEngine:
    """Runs tasks one after the other in this process.

    Attributes:
        reverse: Whether tasks end in the opposite order, as may happen with workers.
        calls: Keys of the tasks of each call.
    """

    reverse: bool = False
    calls: list[tuple[str, ...]] = field(default_factory=list)

    def run(self, function: Callable[[Any], Any], tasks: Sequence[tuple[str, Any]]) -> Iterator[Done]:
        """See `Runner.run`."""
        self.calls.append(tuple(key for key, _ in tasks))
        for key, argument in reversed(tasks) if self.reverse else tasks:
            try:
                yield Done(key, function(argument), None, 0.5)
            except Exception:  # noqa: BLE001 - the engine's contract: a failing task is an outcome
                yield Done(key, None, traceback.format_exc(), 0.5)
