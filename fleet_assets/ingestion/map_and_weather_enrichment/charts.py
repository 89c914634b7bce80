"""Which maps hold for a drive: of each region the youngest usable snapshot, of these the one that shows most of it.

Where that one ends, the one that shows most of the rest goes on, and so forth.

Here belong the choice and the digest of what concerns a drive: a new snapshot changes it only where the drive's cells
changed. Pure reading of the ledger.
"""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from fleet_assets.policy.documents import digest_of
from fleet_assets.provenance.ledger import Entry, LakeTables
from fleet_assets.tables import Table
from fleet_assets.tables.maps import DRIVE_CELLS, ROAD_CELLS, ROAD_EDGES, ROAD_NETWORK

_USABLE: Final = "usable"
MOST_ROWS: Final = 200_000
"""Rows that are remembered: 100 MB."""


class RememberedRows:
    """Rows of small data files by digest: content-addressed, so they cannot go stale.

    Those not asked for longest are forgotten first, so that a process that runs for weeks stays as large as it is.

    Args:
        most: Rows that are remembered at most. One file with more of them is remembered by itself.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._files: OrderedDict[str, list[dict[str, Any]]] = OrderedDict()
        self.count = 0
        """Rows that are remembered now."""

    def of(self, lake: LakeTables, table: Table, entry: Entry) -> list[dict[str, Any]]:
        """Rows of one data file; read only if they are not remembered."""
        if entry.digest in self._files:
            self._files.move_to_end(entry.digest)
            return self._files[entry.digest]
        rows: list[dict[str, Any]] = lake.read(table, [entry]).to_pylist()
        self._files[entry.digest] = rows
        self.count += len(rows)
        while self.count > self._most and len(self._files) > 1:
            self.count -= len(self._files.popitem(last=False)[1])
        return rows


rows_of: Final = RememberedRows(MOST_ROWS).of


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
class Part:
    """The part of one map that concerns a drive.

    Attributes:
        region: Region.
        cells: Its cells.
        edges: File of edges that they are in.
    """

    region: str
    cells: tuple[str, ...]
    edges: Entry


@dataclass(frozen=True)
class Chart:
    """The maps for a drive.

    Attributes:
        parts: Parts of maps; the one that shows most of the drive comes first.
        digest: Digest of all that they say about the drive's cells.
    """

    parts: tuple[Part, ...]
    digest: str

    @property
    def region(self) -> str:
        """Their regions."""
        return ", ".join(part.region for part in self.parts)


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
    """The maps for a drive, or None where none shows any of its positions.

    A further region is taken only for cells with positions that those before it do not show at all: where regions
    overlap, one of them holds.

    Args:
        drive_cells: The drive's rows of `silver.drive_cells`.
        regions: Snapshots in force.
    """
    missing = {row["cell"]: row["positions"] for row in drive_cells if row["positions"]}
    chosen: list[Region] = []
    while missing:
        shown = [
            (sum(count for cell, count in missing.items() if cell in region.cells), region.as_of, region.name, region)
            for region in regions
        ]
        best = max(shown, default=None, key=lambda one: one[:3])
        if best is None or not best[0]:
            break
        chosen.append(best[3])
        missing = {cell: count for cell, count in missing.items() if cell not in best[3].cells}
    if not chosen:
        return None
    parts = tuple(_part(drive_cells, region) for region in chosen)
    told = [
        [part.region, {cell: region.cells[cell] for cell in part.cells}]
        for part, region in zip(parts, chosen, strict=True)
    ]
    return Chart(parts, digest_of(told))


def _part(drive_cells: Sequence[Mapping[str, Any]], region: Region) -> Part:
    cells = tuple(sorted(row["cell"] for row in drive_cells if row["cell"] in region.cells))
    return Part(region.name, cells, region.edges)


def cells_of_drive(lake: LakeTables, entry: Entry) -> list[dict[str, Any]]:
    """A drive's rows of `silver.drive_cells`."""
    return rows_of(lake, DRIVE_CELLS, entry)
