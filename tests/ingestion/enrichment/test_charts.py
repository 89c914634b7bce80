"""What is remembered of small data files, and which map holds for a drive."""

from typing import Any

from fleet_assets.ingestion.map_and_weather_enrichment.charts import RememberedRows
from fleet_assets.provenance.ledger import Entry
from fleet_assets.tables.maps import DRIVE_CELLS
from tests.memory_lake import MemoryLake


def drive_cells(lake: MemoryLake, name: str, count: int) -> Entry:
    keys = {"drive_id": name, "day": "2024-05-01", "depot": "north"}
    rows = [{**keys, "cell": f"{number:x}", "positions": 1, "first_ns": 0, "last_ns": 1} for number in range(count)]
    return lake.put(DRIVE_CELLS, ("2024-05-01", "north"), name, rows)


class CountingLake(MemoryLake):
    """A lake that counts what is read."""

    reads = 0

    def read(self, *args: Any, **kwargs: Any) -> Any:
        """See `MemoryLake.read`."""
        self.reads += 1
        return super().read(*args, **kwargs)


def test_rows_are_read_once_and_memory_stays_bounded_however_many_drives_come() -> None:
    lake, remembered = CountingLake(), RememberedRows(100)
    drives = [drive_cells(lake, f"drive-{number}", 10) for number in range(50)]
    for drive in drives:
        assert remembered.of(lake, DRIVE_CELLS, drive) == remembered.of(lake, DRIVE_CELLS, drive)
        assert remembered.count <= 100
    assert lake.reads == 50
    assert {row["drive_id"] for row in remembered.of(lake, DRIVE_CELLS, drives[0])} == {"drive-0"}
    assert lake.reads == 51


def test_what_is_asked_for_again_and_again_is_not_forgotten() -> None:
    lake, remembered = CountingLake(), RememberedRows(100)
    region = drive_cells(lake, "region", 60)
    for number in range(20):
        remembered.of(lake, DRIVE_CELLS, drive_cells(lake, f"drive-{number}", 10))
        remembered.of(lake, DRIVE_CELLS, region)
    assert lake.reads == 21


def test_one_large_file_is_remembered_by_itself() -> None:
    lake, remembered = CountingLake(), RememberedRows(100)
    for _ in range(2):
        assert len(remembered.of(lake, DRIVE_CELLS, drive_cells(lake, "large", 500))) == 500
    assert (lake.reads, remembered.count) == (1, 500)
    remembered.of(lake, DRIVE_CELLS, drive_cells(lake, "small", 10))
    assert remembered.count == 10
