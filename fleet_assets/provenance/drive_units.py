"""Which drives an operator downstream of the registration should have in which partition: generic to all areas.

Pure reading of the ledger. What a unit is made from besides its input files is the area's business.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from fleet_assets.provenance.fingerprints import Operator
from fleet_assets.provenance.ledger import Entry, LakeTables, Partition
from fleet_assets.provenance.restate import UnitInput, Wanted
from fleet_assets.tables import Table

MakeUnit = Callable[[str, Entry, Mapping[str, Entry]], UnitInput]
"""What a drive's unit is made from, given its id, its file in the operator's first input, and its file in each."""
_rows: dict[str, dict[str, Any]] = {}
"""First rows of data files by digest: content-addressed, so they cannot go stale."""


def first_row(lake: LakeTables, table: Table, entry: Entry) -> dict[str, Any]:
    """The only row of a data file, e.g. a drive's in `bronze.drives`; each file is read once."""
    if entry.digest not in _rows:
        _rows[entry.digest] = lake.read(table, [entry]).to_pylist()[0]
    return _rows[entry.digest]


def drive_units(
    lake: LakeTables,
    tables: Mapping[str, Table],
    operator: Operator,
    make: MakeUnit,
    partition: Partition | None = None,
) -> dict[Partition, Wanted]:
    """Drives that an operator should have, by partition.

    A drive of which an input has no file yet, or a file in another partition, waits.

    Args:
        lake: The ledger.
        tables: All tables by dotted name.
        operator: The operator; its first input lists the drives.
        make: Makes a drive's unit.
        partition: The partition asked for; all when None.
    """
    inputs = {name: {entry.unit: entry for entry in lake.entries(tables[name], partition)} for name in operator.inputs}
    held = {entry.partition for name in operator.outputs for entry in lake.entries(tables[name], partition)}
    units: dict[Partition, dict[str, UnitInput]] = defaultdict(dict)
    waiting: dict[Partition, list[str]] = defaultdict(list)
    for drive_id, drive in inputs[operator.inputs[0]].items():
        own = {name: entries[drive_id] for name, entries in inputs.items() if drive_id in entries}
        in_step = all(entry.partition == drive.partition for entry in own.values())
        if not in_step or len(own) < len(operator.inputs):
            waiting[drive.partition].append(drive_id)
        else:
            units[drive.partition][drive_id] = make(drive_id, drive, own)
    return selected(units, waiting, held, partition)


def selected(
    units: Mapping[Partition, Mapping[str, UnitInput]],
    waiting: Mapping[Partition, Sequence[str]],
    held: set[Partition],
    partition: Partition | None,
) -> dict[Partition, Wanted]:
    """What is wanted in one partition, or (None) in every one that has or should have something.

    Args:
        units: Units by partition.
        waiting: Units that wait, by partition.
        held: Partitions that hold something now.
        partition: The partition asked for.
    """
    partitions = (set(units) | set(waiting) | held) if partition is None else {partition}
    return {key: Wanted(units.get(key, {}), tuple(sorted(waiting.get(key, ())))) for key in sorted(partitions)}
