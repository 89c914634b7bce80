"""Objects go with the last row that named them, and no earlier: drives taken out, made anew, moved, taken over."""

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest

from fleet_assets.provenance.ledger import Entry, Partition
from fleet_assets.provenance.leftovers import Leftovers
from fleet_assets.provenance.objects import ObjectRef
from fleet_assets.tables import Column, Table
from fleet_assets.tables.objects import OBJECT_COLUMNS
from resources.objects import LocalObjects
from tests.memory_lake import MemoryLake

NORTH: Partition = ("2024-05-01", "north")
SOUTH: Partition = ("2024-05-01", "south")
KEYS = tuple(Column(name, "string", "") for name in ("drive_id", "day", "depot"))


def _table(name: str) -> Table:
    """A table with the columns that name objects, and no other."""
    own = [one for one in OBJECT_COLUMNS if one.table == name]
    named = [Column(one.column, "string", "", nullable=True) for one in own]
    flags = [Column(one.where, "bool", "") for one in own if one.where]
    namespace, plain = name.split(".")
    return Table((namespace, plain), (*KEYS, *named, *flags), ("drive_id",), "")


TABLES = {one.table: _table(one.table) for one in OBJECT_COLUMNS}
SHARDS, SWEEPS, RELEASED = (
    TABLES[name] for name in ("silver.lidar_shards", "silver.lidar_sweeps", "bronze.audited_media")
)
FRAMES, RECORDINGS = TABLES["silver.keyframes"], TABLES["bronze.drive_files"]


class Fleet:
    """A lake, a store, and rows that name objects."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.lake = folder, MemoryLake()
        self.objects = LocalObjects(str(folder / "objects"), ("raw", "open"))
        self.leftovers = Leftovers(self.lake, self.objects, TABLES)

    def object(self, content: str, access: str = "open") -> str:
        """Digest of an object that is put into the store."""
        path = self.folder / "content"
        path.write_text(content)
        sha256 = hashlib.sha256(content.encode()).hexdigest()
        return self.objects.put(path, access, ObjectRef(sha256, len(content))).sha256

    def staged(
        self, table: Table, drive: str, contents: Iterable[str], partition: Partition = NORTH, **more: Any
    ) -> Entry:
        """A file of rows that name objects."""
        day, depot = partition
        (column,) = [one for one in OBJECT_COLUMNS if one.table == table.name]
        keys = {"drive_id": drive, "day": day, "depot": depot, **more}
        rows = [{**keys, column.column: self.object(content, column.access)} for content in contents]
        return self.lake.stage(
            table, partition, drive, hashlib.sha256(str(rows).encode()).hexdigest()[:24], table.from_rows(rows)
        )

    def write(
        self, table: Table, drive: str, contents: Iterable[str], partition: Partition = NORTH, **more: Any
    ) -> Entry:
        """Commit such a file in place of the drive's older one."""
        entry = self.staged(table, drive, contents, partition, **more)
        self.leftovers.before_replacing(table, [entry])
        self.lake.commit(table, [entry])
        return entry

    def drop(self, table: Table, entries: Sequence[Entry]) -> None:
        """Take files out."""
        self.leftovers.before_dropping(table, entries)
        self.lake.commit(table, [], removed=entries)

    def there(self, access: str = "open") -> set[str]:
        """Contents of the objects that the store has."""
        return {self.objects.local(one.sha256, access).read_text() for one in self.objects.digests(access)}


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    return Fleet(tmp_path)


def test_objects_of_a_drive_that_is_taken_out_go_and_those_of_others_stay(fleet: Fleet) -> None:
    first = fleet.write(FRAMES, "a", ["a1", "a2", "both"])
    fleet.write(FRAMES, "b", ["b1", "both"])
    fleet.drop(FRAMES, [first])
    assert fleet.there() == {"b1", "both"}


def test_what_a_drive_that_is_made_anew_still_names_stays(fleet: Fleet) -> None:
    fleet.write(FRAMES, "a", ["old", "same"])
    fleet.write(FRAMES, "a", ["same", "new"])
    assert fleet.there() == {"same", "new"}
    fleet.write(FRAMES, "a", [])
    assert fleet.there() == set()


def test_an_object_goes_with_the_last_of_the_tables_that_name_it(fleet: Fleet) -> None:
    entries = [fleet.write(table, "a", ["sweeps"]) for table in (SHARDS, SWEEPS)]
    fleet.drop(SHARDS, entries[:1])
    assert fleet.there() == {"sweeps"}
    fleet.drop(SWEEPS, entries[1:])
    assert fleet.there() == set()


def test_the_same_content_of_another_class_is_another_object(fleet: Fleet) -> None:
    fleet.write(TABLES["bronze.redacted_media"], "a", ["media"])
    released = fleet.write(RELEASED, "a", ["media"], released=True)
    fleet.drop(RELEASED, [released])
    assert (fleet.there("raw"), fleet.there("open")) == ({"media"}, set())


def test_a_row_that_does_not_hold_an_object_keeps_none(fleet: Fleet) -> None:
    fleet.write(RELEASED, "b", ["media"], released=False)
    released = fleet.write(RELEASED, "a", ["media"], released=True)
    fleet.drop(RELEASED, [released])
    assert fleet.there() == set()


def test_a_drive_that_moved_to_another_partition_keeps_its_objects(fleet: Fleet) -> None:
    """The lake takes the older file out wherever it lies; to drop it once more where it was changes nothing."""
    old = fleet.staged(FRAMES, "a", ["a1"])
    fleet.lake.commit(FRAMES, [old])
    fleet.write(FRAMES, "a", ["a1"], SOUTH)
    assert fleet.there() == {"a1"}
    fleet.drop(FRAMES, [old])
    assert fleet.there() == {"a1"}


def test_a_drive_whose_recording_another_one_took_over_elsewhere_leaves_the_objects(fleet: Fleet) -> None:
    old = fleet.write(FRAMES, "b", ["shared"])
    fleet.write(FRAMES, "a", ["shared"], SOUTH)
    fleet.drop(FRAMES, [old])
    assert fleet.there() == {"shared"}


def test_recordings_stay_since_nobody_can_make_them_again(fleet: Fleet) -> None:
    fleet.drop(RECORDINGS, [fleet.write(RECORDINGS, "a", ["recording"])])
    assert fleet.there("raw") == {"recording"}


def test_files_of_several_drives_are_replaced_at_once(fleet: Fleet) -> None:
    for drive in "abc":
        fleet.write(FRAMES, drive, [f"{drive} old"])
    added = [fleet.staged(FRAMES, drive, [f"{drive} new"]) for drive in "ab"]
    fleet.leftovers.before_replacing(FRAMES, added)
    fleet.lake.commit(FRAMES, added)
    assert fleet.there() == {"a new", "b new", "c old"}
