"""Writers of the lake in processes of their own: `python -m tests.resources.lake_writer FOLDER`.

They are forked from this one process once everything is imported, so that eight of them cost one start.
"""

import multiprocessing
import sys
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from fleet_assets.provenance.ledger import Entry, Partition
from fleet_assets.tables import Column, Table, TableKind
from resources.iceberg import IcebergLake

COLUMNS: Final = (
    Column("drive_id", "string", ""),
    Column("day", "string", ""),
    Column("depot", "string", ""),
    Column("value", "int64", ""),
    Column("note", "string", "", nullable=True),
    Column("speed_mps", "float64", "", nullable=True),
    Column("ok", "bool", "", nullable=True),
)
TABLE: Final = Table(("silver", "toy"), COLUMNS, ("drive_id", "value"), "")
LOG: Final = Table(("ops", "toy_log"), COLUMNS[3:5], ("value",), "", kind=TableKind.LOG, partition_by=())
FIRST: Final[Partition] = ("2024-05-01", "north")
SECOND: Final[Partition] = ("2024-05-02", "south")
WRITERS: Final = 8
DRIVES_EACH: Final = 3


def properties(folder: Path) -> dict[str, str]:
    """Catalog and files in a folder."""
    return {"type": "sql", "uri": f"sqlite:///{folder}/catalog.db?timeout=60", "warehouse": f"file://{folder}/lake"}


def rows(unit: str, partition: Partition, values: list[int]) -> pa.Table:
    """One row per value."""
    keys = dict(zip(("drive_id", "day", "depot"), (unit, *partition), strict=True))
    return TABLE.from_rows([{**keys, "value": value, "note": f"n{value}", "speed_mps": value / 7} for value in values])


def stage(lake: IcebergLake, unit: str, values: list[int], partition: Partition = FIRST, made: int = 1) -> Entry:
    """Write a drive's file without a commit."""
    return lake.stage(TABLE, partition, unit, f"{made:024x}", rows(unit, partition, values))


def put(lake: IcebergLake, unit: str, values: list[int], partition: Partition = FIRST, made: int = 1) -> Entry:
    """Write and commit a drive's file."""
    entry = stage(lake, unit, values, partition, made)
    lake.commit(TABLE, [entry])
    return entry


def write_beside_others(folder: str, writer: int, ready: Any) -> None:
    """Write own drives, one commit each, then a drive and an event that all writers write."""
    ready.wait()  # the catalog is made by all at once, too
    lake = IcebergLake(properties(Path(folder)))
    for number in range(DRIVES_EACH):
        put(lake, f"w{writer}-d{number}", [writer, number], (FIRST, SECOND)[number % 2])
    put(lake, "shared", [writer], made=writer + 1)
    lake.commit(LOG, [lake.stage(LOG, (), "same-event", f"{writer:024x}", LOG.from_rows([{"value": writer}]))])


def main(folder: str) -> int:
    """Let all writers write at once. Returns how many failed."""
    import pyiceberg.catalog.sql
    import pyiceberg.io.pyarrow  # noqa: F401 - before the fork

    context = multiprocessing.get_context("fork")
    ready = context.Barrier(WRITERS)
    writers = [context.Process(target=write_beside_others, args=(folder, number, ready)) for number in range(WRITERS)]
    for process in writers:
        process.start()
    for process in writers:
        process.join()
    return sum(process.exitcode != 0 for process in writers)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
