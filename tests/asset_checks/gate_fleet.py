"""A fleet as the gates of ingestion see it: tables in memory, and what should be made. A hand-written twin, no mock.

It keeps those parts of `resources.platform.Fleet` that `asset_checks.ingestion` reads. What is wanted is stated by the
tests instead of derived, so that each gate can be shown every state of a partition.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

import pyarrow as pa

from fleet_assets.policy.documents import Policies, load_policies
from fleet_assets.provenance.ledger import Partition
from fleet_assets.provenance.restate import Step, UnitInput, Wanted
from fleet_assets.tables import Table, all_tables
from tests.memory_lake import MemoryLake

PARTITION: Final = ("2024-05-01", "north")
MADE: Final = "m".rjust(24, "0")
OLD: Final = "o".rjust(24, "0")
SPEC: Final = "gopro"
"""A shipped vehicle that gives signals and needs no CAN database."""
POLICIES: Final = load_policies()
TABLES: Final = all_tables(POLICIES["canonical_signals"])


class GateLake(MemoryLake):
    """Tables in memory that can be read by partition."""

    def rows(self, table: Table, partition: Partition | None = None, columns: Sequence[str] | None = None) -> pa.Table:
        """See `IcebergLake.rows`."""
        return self.read(table, self.entries(table, partition), columns)


@dataclass
class GateFleet:
    """One partition of a fleet.

    Attributes:
        policies: Policies in force.
        lake: Its tables.
        plans: What each operator should make, by its name.
    """

    policies: Policies = POLICIES
    lake: GateLake = field(default_factory=GateLake)
    plans: dict[str, Wanted] = field(default_factory=dict)
    tables: Mapping[str, Table] = field(default_factory=lambda: TABLES)
    settings: Any = field(
        default_factory=lambda: SimpleNamespace(dbc_folder=Path("none"), depots=("north",), first_day="")
    )
    landing: Any = field(default_factory=lambda: SimpleNamespace(uploads=list))
    requests: Any = field(default_factory=lambda: SimpleNamespace(all=list))
    last_day: str = "2024-06-01"
    objects: Any = None
    weights: Any = None

    def wanted(self, step: Step, partition: Partition) -> Wanted:
        """See `Fleet.wanted`."""
        assert tuple(partition) in {PARTITION, ()}
        return self.plans.get(step.operator.name, Wanted())

    def plan(self, operator: str, drives: Sequence[str] = (), waiting: Sequence[str] = ()) -> "GateFleet":
        """Say what an operator should make of which drives, and which cannot be made yet."""
        self.plans[operator] = Wanted({name: UnitInput(MADE) for name in drives}, tuple(waiting))
        return self

    def put(
        self, table: Table, drive_id: str, rows: Sequence[Mapping[str, Any]] = ({},), made: str = MADE
    ) -> "GateFleet":
        """Write a drive's file of a table; values that are not said do not matter."""
        keys = {"drive_id": drive_id, "day": PARTITION[0], "depot": PARTITION[1]}
        whole = [{**_anything(table), **keys, **row} for row in rows]
        self.lake.put(table, PARTITION, drive_id, whole, made)
        return self

    def drive(self, drive_id: str, status: str = "landed", spec: str = SPEC, reason: str | None = None) -> "GateFleet":
        """Register a drive."""
        return self.put(TABLES["bronze.drives"], drive_id, [{"status": status, "vehicle_spec": spec, "reason": reason}])

    def held(self, drive_id: str, *, released: bool = False) -> "GateFleet":
        """Hold a drive back."""
        row = {"scope": "drive", "released_by": "somebody: because" if released else None}
        return self.put(TABLES["bronze.quarantine"], drive_id, [row])

    def examined(self, drive_id: str) -> "GateFleet":
        """Let a drive pass the quarantine."""
        return self.put(TABLES["bronze.quarantine"], drive_id, [])

    def with_policy(self, document: str, **changes: Any) -> "GateFleet":
        """The same fleet under another policy."""
        body = {**self.policies[document], **changes}
        return replace(self, policies=replace(self.policies, documents={**self.policies.documents, document: body}))


def _anything(table: Table) -> dict[str, Any]:
    """A row that keeps the table's types."""
    plain = {"string": "x", "int64": 0, "int32": 0, "float64": 0.0, "bool": False}
    return {
        column.name: None if column.nullable else (column.values[0] if column.values else plain.get(str(column.type)))
        for column in table.columns
    }
