"""Objects that go with the rows that named them: a drive that is taken out, or made anew, leaves no media behind.

Here belongs which objects no row names any more. What a run left that died before its rows were committed is work of
garbage collection; recordings stay, since nobody can make them again.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from fleet_assets.provenance.ledger import Entry, LakeTables
from fleet_assets.provenance.objects import ObjectStore
from fleet_assets.tables import Table
from fleet_assets.tables.objects import OBJECT_COLUMNS, ObjectColumn


@dataclass(frozen=True, slots=True)
class Leftovers:
    """Removes derived objects just before the rows go that name them.

    In this order a run that dies in between is no loss: its unit is as stale, or as much gone, as it was before, and is
    done again.

    Attributes:
        lake: Ledger.
        objects: Store.
        tables: All tables by dotted name.
    """

    lake: LakeTables
    objects: ObjectStore
    tables: Mapping[str, Table]

    def before_replacing(self, table: Table, added: Sequence[Entry]) -> None:
        """Remove what only the files name that the added ones replace.

        The content of a unit's objects follows from its own recording, which is registered once. So whatever else names
        them is of the same unit or partition, and the whole lake need not be read at every restatement.
        """
        if not _derived(table):
            return
        units, paths = {entry.unit for entry in added}, {entry.path for entry in added}
        old = [entry for entry in self.lake.entries(table) if entry.unit in units and entry.path not in paths]
        partitions = {entry.partition for entry in old}
        self._remove(table, old, added, lambda entry: entry.unit in units or entry.partition in partitions)

    def before_dropping(self, table: Table, removed: Sequence[Entry]) -> None:
        """Remove what only the removed files name; another unit may have taken over their recording, wherever."""
        self._remove(table, removed, (), lambda _: True)

    def _remove(
        self, table: Table, old: Sequence[Entry], added: Sequence[Entry], is_near: Callable[[Entry], bool]
    ) -> None:
        paths = {entry.path for entry in old}
        for column in _derived(table):
            left = self._named(column, old) - self._named(column, added)
            for other in OBJECT_COLUMNS:
                if left and other.access == column.access:
                    held = self.lake.entries(self.tables[other.table])
                    left -= self._named(other, [one for one in held if is_near(one) and one.path not in paths])
            for sha256 in sorted(left):
                self.objects.delete(sha256, column.access)

    def _named(self, column: ObjectColumn, entries: Sequence[Entry]) -> set[str]:
        rows = self.lake.read(self.tables[column.table], entries, column.columns).to_pylist() if entries else []
        return {row[column.column] for row in rows if column.holds(row)}


def _derived(table: Table) -> list[ObjectColumn]:
    return [one for one in OBJECT_COLUMNS if one.table == table.name and one.is_derived]
