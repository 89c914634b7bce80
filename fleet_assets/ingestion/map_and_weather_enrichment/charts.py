"""Which map holds for a drive: of each region the youngest usable snapshot, of these the one that shows most of it.

Here belong the choice and the digest of what concerns a drive: a new snapshot changes it only where the drive's cells
changed. Pure reading of the ledger.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from fleet_assets.policy.documents import digest_of
from fleet_assets.provenance.ledger import Entry, LakeTables
from fleet_assets.tables import Table
from fleet_assets.tables.maps import DRIVE_CELLS, ROAD_CELLS, ROAD_EDGES, ROAD_NETWORK

_USABLE: Final = "usable"
_rows: dict[str, list[dict[str, Any]]] = {}
"""Rows of small data files by digest: content-addressed, so they cannot go stale."""


def rows_of(lake: LakeTables, table: Table, entry: Entry) -> list[dict[str, Any]]:
    """Rows of one small data file; each is read once."""
    if entry.digest not in _rows:
        _rows[entry.digest] = lake.read(table, [entry]).to_pylist()
    return _rows[entry.digest]


@dataclass(frozen=True)
class Region:
    """The snapshot of a region that is in force.

    Attributes:
        name: Region.
        as_of: Time that it shows.
        edges: Its file of edges.
        cells: Cell → digest.
    """

    name: str
    as_of: str
    edges: Entry
    cells: Mapping[str, str]


@dataclass(frozen=True)
class Chart:
    """The part of a map that concerns a drive.

    Attributes:
        region: Region.
        digest: Digest of the part.
        cells: Its cells.
        edges: File of edges that they are in.
    """

    region: str
    digest: str
    cells: tuple[str, ...]
    edges: Entry


def regions_in_force(lake: LakeTables) -> list[Region]:
    """Youngest usable snapshot of each region, by name."""
    edges = {entry.unit: entry for entry in lake.entries(ROAD_EDGES)}
    cells = {entry.unit: entry for entry in lake.entries(ROAD_CELLS)}
    youngest: dict[str, dict[str, Any]] = {}
    for entry in lake.entries(ROAD_NETWORK):
        (row,) = rows_of(lake, ROAD_NETWORK, entry)
        known = youngest.get(row["region"])
        if row["status"] != _USABLE or entry.unit not in edges or entry.unit not in cells:
            continue
        if known is None or (row["as_of"], row["sha256"]) > (known["as_of"], known["sha256"]):
            youngest[row["region"]] = row
    found = []
    for name, row in sorted(youngest.items()):
        digests = {cell["cell"]: cell["digest"] for cell in rows_of(lake, ROAD_CELLS, cells[row["snapshot"]])}
        found.append(Region(name, row["as_of"], edges[row["snapshot"]], digests))
    return found


def chart_of(drive_cells: Sequence[Mapping[str, Any]], regions: Sequence[Region]) -> Chart | None:
    """The map for a drive, or None where none shows any of its positions.

    Args:
        drive_cells: The drive's rows of `silver.drive_cells`.
        regions: Snapshots in force.
    """
    shown = [
        (sum(row["positions"] for row in drive_cells if row["cell"] in region.cells), region.as_of, region.name, region)
        for region in regions
    ]
    best = max(shown, default=None, key=lambda one: one[:3])
    if best is None or not best[0]:
        return None
    region = best[3]
    cells = tuple(sorted(row["cell"] for row in drive_cells if row["cell"] in region.cells))
    digest = digest_of([region.name, {cell: region.cells[cell] for cell in cells}])
    return Chart(region.name, digest, cells, region.edges)


def cells_of_drive(lake: LakeTables, entry: Entry) -> list[dict[str, Any]]:
    """A drive's rows of `silver.drive_cells`."""
    return rows_of(lake, DRIVE_CELLS, entry)
