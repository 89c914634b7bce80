"""The lake keeps what was committed, once, whoever else writes; and other readers of Iceberg see the same rows."""

import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import duckdb
import pytest

from fleet_assets.provenance.ledger import Entry, Partition, root
from fleet_assets.tables import Column, Table
from resources.iceberg import MANIFESTS, IcebergLake, open_lake
from tests.resources.lake_writer import (
    COLUMNS,
    DRIVES_EACH,
    FIRST,
    LOG,
    SECOND,
    TABLE,
    WRITERS,
    properties,
    put,
    rows,
    stage,
)

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture
def lake(tmp_path: Path) -> IcebergLake:
    return IcebergLake(properties(tmp_path))


@pytest.fixture
def fresh(tmp_path: Path) -> IcebergLake:
    """Another reader of the same lake, which has read nothing yet."""
    return IcebergLake(properties(tmp_path))


def snapshots(lake: IcebergLake, table: Table = TABLE) -> int:
    return len(lake.catalog.load_table(table.key).metadata.snapshots)


def held(lake: IcebergLake, partition: Partition | None = None) -> dict[tuple[str, ...], list[int]]:
    found = {}
    for entry in lake.entries(TABLE, partition):
        found[(*entry.partition, entry.unit)] = lake.read(TABLE, [entry])["value"].to_pylist()
    return found


def test_a_table_that_was_never_written_is_empty(lake: IcebergLake) -> None:
    assert not lake.exists(TABLE)
    assert lake.entries(TABLE) == []
    assert lake.rows(TABLE).schema == TABLE.arrow_schema
    assert lake.dataset(TABLE).to_table().num_rows == 0
    assert not lake.exists(TABLE)


def test_what_is_staged_is_seen_by_no_one_until_it_is_committed(lake: IcebergLake) -> None:
    entry = stage(lake, "d1", [1, 2])
    assert lake.entries(TABLE) == []
    assert list(Path(entry.path.removeprefix("file://")).parent.iterdir())
    lake.commit(TABLE, [entry])
    assert lake.entries(TABLE) == [entry]


def test_entries_are_sorted_and_chosen_by_partition(lake: IcebergLake) -> None:
    made = [put(lake, unit, [1], where) for unit, where in (("b", SECOND), ("b2", FIRST), ("a", FIRST))]
    assert lake.entries(TABLE) == [made[2], made[1], made[0]]
    assert lake.entries(TABLE, SECOND) == [made[0]]
    assert lake.entries(TABLE, ("2030-01-01", "north")) == []


def test_a_drives_new_file_replaces_its_old_one_in_one_snapshot_and_no_other(lake: IcebergLake) -> None:
    put(lake, "d1", [1])
    put(lake, "d2", [2])
    before = snapshots(lake)
    put(lake, "d1", [10, 11], made=2)
    assert snapshots(lake) == before + 1
    assert held(lake) == {(*FIRST, "d1"): [10, 11], (*FIRST, "d2"): [2]}


def test_a_drive_moves_to_another_partition_in_one_snapshot(lake: IcebergLake) -> None:
    put(lake, "d1", [1], FIRST)
    before = snapshots(lake)
    put(lake, "d1", [1], SECOND, made=2)
    assert snapshots(lake) == before + 1
    assert held(lake) == {(*SECOND, "d1"): [1]}
    assert lake.entries(TABLE, FIRST) == []


def test_committing_the_same_file_again_makes_no_snapshot(lake: IcebergLake) -> None:
    entry = put(lake, "d1", [1])
    before = snapshots(lake)
    lake.commit(TABLE, [entry])
    lake.commit(TABLE, [stage(lake, "d1", [1])])
    lake.commit(TABLE, [])
    lake.commit(TABLE, [], removed=[replace(entry, path=entry.path + ".gone")])
    assert snapshots(lake) == before
    assert lake.entries(TABLE) == [entry]


def test_drives_that_arrive_one_by_one_leave_few_manifests_to_read(lake: IcebergLake, fresh: IcebergLake) -> None:
    made = [put(lake, f"d{number:02d}", [number], (FIRST, SECOND)[number % 2]) for number in range(20)]
    put(lake, "d03", [103], SECOND, made=2)
    made[3] = put(lake, "d03", [203], SECOND, made=3)
    made.append(put(lake, "d20", [20]))
    snapshot = lake.catalog.load_table(TABLE.key).current_snapshot()
    assert snapshot is not None
    assert len(snapshot.manifests(lake.catalog.load_table(TABLE.key).io)) <= MANIFESTS
    for reader in (lake, fresh):
        assert reader.entries(TABLE) == sorted(made, key=lambda entry: (entry.partition, entry.unit))
        assert sorted(reader.rows(TABLE)["value"].to_pylist()) == sorted([*range(3), 203, *range(4, 21)])


def test_removing_takes_the_named_files_only(lake: IcebergLake) -> None:
    entries = [put(lake, unit, [1]) for unit in ("d1", "d2", "d3")]
    lake.commit(TABLE, [], removed=entries[:2])
    assert lake.entries(TABLE) == entries[2:]
    lake.commit(TABLE, [entries[0]], removed=entries[2:])
    assert lake.entries(TABLE) == entries[:1]


def test_a_drive_without_rows_keeps_its_place_in_the_ledger(lake: IcebergLake) -> None:
    entry = put(lake, "d1", [])
    put(lake, "d2", [5])
    assert entry.rows == 0
    assert held(lake) == {(*FIRST, "d1"): [], (*FIRST, "d2"): [5]}
    assert lake.rows(TABLE)["value"].to_pylist() == [5]
    assert lake.dataset(TABLE).to_table()["value"].to_pylist() == [5]


def test_a_plain_iceberg_scan_and_sql_see_the_rows_of_the_ledger(lake: IcebergLake, tmp_path: Path) -> None:
    put(lake, "d1", [1, 2, 3], FIRST)
    put(lake, "d2", [4], SECOND)
    put(lake, "d3", [], SECOND)
    put(lake, "d1", [7, 8], FIRST, made=2)
    expected = sorted(lake.rows(TABLE).to_pylist(), key=lambda row: (row["drive_id"], row["value"]))
    assert [row["value"] for row in expected] == [7, 8, 4]
    stranger = IcebergLake(properties(tmp_path)).catalog.load_table(TABLE.key)
    scanned = stranger.scan().to_arrow().to_pylist()
    assert sorted(scanned, key=lambda row: (row["drive_id"], row["value"])) == expected
    filtered = stranger.scan(row_filter="depot = 'south'").to_arrow()
    assert filtered["value"].to_pylist() == [4]
    connection = duckdb.connect()
    connection.register("toy", lake.dataset(TABLE))
    assert connection.sql("select * from toy order by drive_id, value").to_arrow_table().to_pylist() == expected
    assert connection.sql("select sum(value) from toy where day = '2024-05-01'").fetchall() == [(15,)]


def test_a_column_added_later_reads_as_null_in_older_files(lake: IcebergLake) -> None:
    put(lake, "old", [1])
    wider = replace(TABLE, columns=(*COLUMNS[:4], Column("added_m", "float64", "", nullable=True), *COLUMNS[4:]))
    new = wider.from_rows([{"drive_id": "new", "day": FIRST[0], "depot": FIRST[1], "value": 2, "added_m": 0.5}])
    lake.commit(wider, [lake.stage(wider, FIRST, "new", "1" * 24, new)])
    found = lake.rows(wider)
    assert found.schema.names == wider.arrow_schema.names
    by_drive = {row["drive_id"]: row for row in found.to_pylist()}
    assert by_drive["old"]["added_m"] is None
    assert by_drive["old"]["note"] == "n1"
    assert by_drive["new"]["added_m"] == 0.5
    lazily = lake.dataset(wider).to_table().to_pylist()
    assert {row["drive_id"]: row["added_m"] for row in lazily} == {
        "old": None,
        "new": 0.5,
    }
    assert lake.rows(wider, columns=["added_m"]).num_rows == 2


def test_lists_of_numbers_come_back_bit_by_bit_from_files_scans_and_sql(lake: IcebergLake, fresh: IcebergLake) -> None:
    listed = replace(TABLE, key=("toys", "listed"), columns=(*COLUMNS, Column("vector", "list<float32>", "")))
    row = {"drive_id": "a", "day": FIRST[0], "depot": FIRST[1], "value": 1, "vector": [0.1, -2.5e-7, 3.0]}
    made = listed.from_rows([row])
    lake.commit(listed, [lake.stage(listed, FIRST, "a", "1" * 24, made)])
    assert fresh.rows(listed).to_pylist() == made.to_pylist()
    scanned = fresh.catalog.load_table(listed.key).scan().to_arrow()
    assert scanned["vector"].to_pylist() == made["vector"].to_pylist()
    connection = duckdb.connect()
    connection.register("listed", fresh.dataset(listed))
    assert connection.sql("select len(vector), vector[3] from listed").fetchall() == [(3, 3.0)]
    before = snapshots(lake, listed)
    lake.commit(listed, [lake.stage(listed, FIRST, "b", "1" * 24, listed.from_rows([{**row, "drive_id": "b"}]))])
    assert snapshots(lake, listed) == before + 1


def test_a_plain_iceberg_scan_sees_a_column_that_was_added_later(lake: IcebergLake) -> None:
    put(lake, "old", [1])
    wider = replace(TABLE, columns=(*COLUMNS, Column("added_m", "float64", "", nullable=True)))
    new = wider.from_rows([{"drive_id": "new", "day": FIRST[0], "depot": FIRST[1], "value": 2, "added_m": 0.5}])
    lake.commit(wider, [lake.stage(wider, FIRST, "new", "1" * 24, new)])
    scanned = lake.catalog.load_table(wider.key).scan().to_arrow().to_pylist()
    assert {row["drive_id"]: row["added_m"] for row in scanned} == {"old": None, "new": 0.5}


def test_a_log_keeps_every_event_and_each_once(lake: IcebergLake) -> None:
    def event(unit: str, value: int) -> Entry:
        return lake.stage(LOG, (), unit, "1" * 24, LOG.from_rows([{"value": value}]))

    lake.commit(LOG, [event("a", 1), event("b", 2)])
    lake.commit(LOG, [event("c", 3)])
    before = snapshots(lake, LOG)
    # Two runs may tell of the same event at different times: the first one counts.
    lake.commit(LOG, [event("a", 99)])
    assert snapshots(lake, LOG) == before
    assert sorted(lake.rows(LOG)["value"].to_pylist()) == [1, 2, 3]


def test_the_cost_of_the_work_is_kept_with_its_commit_and_outside_identity(lake: IcebergLake) -> None:
    first = stage(lake, "d1", [1])
    lake.commit(TABLE, [first], cost={"operator": "toy.step", "units": "1", "cpu_s": "2.5"})
    assert lake.costs(TABLE) == [{"operator": "toy.step", "units": "1", "cpu_s": "2.5"}]
    assert lake.costs(LOG) == []
    digest = root(lake.entries(TABLE))
    lake.commit(TABLE, [stage(lake, "d2", [2])], cost={"operator": "toy.step", "units": "1", "cpu_s": "9"})
    lake.commit(TABLE, [], removed=[entry for entry in lake.entries(TABLE) if entry.unit == "d2"])
    assert root(lake.entries(TABLE)) == digest


def test_a_file_of_another_writer_in_the_table_is_named_and_not_ignored(lake: IcebergLake, tmp_path: Path) -> None:
    put(lake, "d1", [1])
    lake.catalog.load_table(TABLE.key).append(rows("d2", FIRST, [2]).cast(TABLE.arrow_schema))
    with pytest.raises(ValueError, match="not a data file of this lake"):
        IcebergLake(properties(tmp_path)).entries(TABLE)


def test_a_committed_file_that_is_gone_is_named(lake: IcebergLake) -> None:
    entry = put(lake, "d1", [1])
    Path(entry.path.removeprefix("file://")).unlink()
    with pytest.raises(FileNotFoundError, match="d1-"):
        lake.rows(TABLE)


def test_a_process_opens_a_lake_once_and_sees_what_others_commit_later(tmp_path: Path) -> None:
    mine, other = open_lake(properties(tmp_path)), IcebergLake(properties(tmp_path))
    assert open_lake(properties(tmp_path)) is mine
    put(mine, "d1", [1])
    assert held(mine)
    put(other, "d1", [2], made=2)
    put(other, "d2", [3])
    assert held(mine) == held(other) == {(*FIRST, "d1"): [2], (*FIRST, "d2"): [3]}


def test_a_home_with_blanks_and_accents_in_its_path_works(tmp_path: Path) -> None:
    lake = IcebergLake(properties(tmp_path / "my fléet 日本"))
    (tmp_path / "my fléet 日本").mkdir()
    put(lake, "d1", [1])
    assert held(lake) == {(*FIRST, "d1"): [1]}
    assert lake.catalog.load_table(TABLE.key).scan().to_arrow().num_rows == 1


def test_eight_writers_at_once_lose_nothing_and_double_nothing(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.resources.lake_writer", str(tmp_path)],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    lake = IcebergLake(properties(tmp_path))
    expected: Mapping[tuple[str, ...], list[int]] = {
        (*(FIRST, SECOND)[number % 2], f"w{writer}-d{number}"): sorted([writer, number])
        for writer in range(WRITERS)
        for number in range(DRIVES_EACH)
    }
    found = held(lake)
    shared = found.pop((*FIRST, "shared"))
    assert found == expected
    assert len(shared) == 1
    assert shared[0] in range(WRITERS)
    assert lake.rows(LOG).num_rows == 1
    assert snapshots(lake) <= WRITERS * (DRIVES_EACH + 1)
