"""The per-drive ledger: what is in a table, what should be, and the difference.

The ledger is read from names committed with the data: `<unit>-<fingerprint>-<digest>.parquet`. There is no second
database. Storage itself is behind `LakeTables`; running operators is `restate.py`.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import pyarrow as pa

from fleet_assets.provenance.digests import merkle_root
from fleet_assets.tables.schema import Table

FINGERPRINT_LENGTH: Final = 24
LOG_UNIT_LENGTH: Final = 32
"""Characters of an event's identity that are its unit in a log table."""
_FILE_NAME: Final = re.compile(r"^(?P<unit>.+)-(?P<fingerprint>[0-9a-f]{24})-(?P<digest>[0-9a-f]{64})\.parquet$")

Partition = tuple[str, ...]
"""Values of the table's partition columns: (day, depot) for bulk tables, (day,) or () for roll-ups."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One committed data file.

    Attributes:
        unit: Drive id in bulk tables, partition key in roll-ups.
        partition: Where it lies.
        fingerprint: What it was made from (see `fingerprints.py`).
        digest: SHA-256 of its bytes.
        rows: Row count.
        size_bytes: File size.
        path: Address.
    """

    unit: str
    partition: Partition
    fingerprint: str
    digest: str
    rows: int
    size_bytes: int
    path: str


def file_name(unit: str, fingerprint: str, digest: str) -> str:
    """Name of a data file; the inverse of `parse_file_name`."""
    return f"{unit}-{fingerprint}-{digest}.parquet"


def parse_file_name(path: str) -> tuple[str, str, str]:
    """Split a data file's name into (unit, fingerprint, digest).

    Raises:
        ValueError: When the name was not made by `file_name`.
    """
    match = _FILE_NAME.match(path.rsplit("/", 1)[-1])
    if match is None:
        raise ValueError(f"{path}: not a data file of this lake. Expected UNIT-FINGERPRINT-DIGEST.parquet.")
    return match["unit"], match["fingerprint"], match["digest"]


class LakeTables(Protocol):
    """What the ledger needs of the lake. Implemented by `resources.lake`."""

    def entries(self, table: Table, partition: Partition | None = None) -> list[Entry]:
        """Committed files of a table, or of one partition of it."""
        ...

    def stage(self, table: Table, partition: Partition, unit: str, fingerprint: str, data: pa.Table) -> Entry:
        """Write a data file that no one sees until it is committed."""
        ...

    def location(self, table: Table) -> str:
        """Address under which the table's data files lie."""
        ...

    def commit(
        self,
        table: Table,
        added: Sequence[Entry],
        removed: Iterable[Entry] = (),
        cost: Mapping[str, str] | None = None,
    ) -> None:
        """In one transaction add files, drop every other file of the same units, and drop the removed files.

        Args:
            table: The table.
            added: Staged files.
            removed: Committed files to drop.
            cost: What the work cost, kept with the commit and outside identity.
        """
        ...

    def read(self, table: Table, entries: Sequence[Entry], columns: Sequence[str] | None = None) -> pa.Table:
        """Rows of the given files, in the order of the files."""
        ...


def root(entries: Iterable[Entry]) -> str:
    """Digest of a partition or table: Merkle root over (unit, digest)."""
    return merkle_root((entry.unit, entry.digest) for entry in entries)


@dataclass(frozen=True, slots=True)
class Plan:
    """What one run over one partition has to do.

    Attributes:
        stale: Units to (re)compute, with the fingerprint wanted.
        gone: Units that no longer belong to the partition.
        current: Units whose file is what it should be.
    """

    stale: Mapping[str, str]
    gone: tuple[str, ...]
    current: tuple[str, ...]

    @property
    def is_done(self) -> bool:
        """Whether nothing is left to do."""
        return not self.stale and not self.gone


def plan(wanted: Mapping[str, str], outputs: Sequence[Sequence[Entry]]) -> Plan:
    """Compare wanted fingerprints with what every output table holds in the partition.

    Args:
        wanted: Unit → fingerprint that it should have.
        outputs: Entries of the partition, one sequence per output table.

    Returns:
        The plan. A unit is current only when all outputs have it with the wanted fingerprint.
    """
    held = [{entry.unit: entry.fingerprint for entry in entries} for entries in outputs]
    stale = {
        unit: fingerprint
        for unit, fingerprint in sorted(wanted.items())
        if any(table.get(unit) != fingerprint for table in held)
    }
    gone = sorted({unit for table in held for unit in table} - set(wanted))
    return Plan(stale, tuple(gone), tuple(unit for unit in sorted(wanted) if unit not in stale))
