"""The search index: what is found, in which order, upkeep drive by drive, a run that dies, readers beside a writer."""

import shutil
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from fleet_assets.ingestion.metadata_extraction_and_catalog.rules import query_fields
from fleet_assets.policy.documents import load_policies
from fleet_assets.policy.search_query import parse_query
from fleet_assets.provenance.ledger import Entry
from fleet_assets.tables.catalog import SEARCH_DOCUMENTS
from resources import search_index
from resources.data_files import DataFiles
from resources.search_index import NoIndexError, SearchIndex
from tests.resources.loopback import S3

NORTH, SOUTH = ("2024-05-01", "north"), ("2024-05-01", "south")
FIELDS = query_fields(load_policies()["catalog"])
TEXTS = {
    "a-0": "night hard brake dark braking",
    "a-1": "night parked dark standing",
    "b-0": "daylight hard corner day sun",
    "b-1": "daylight brake hard",
}


class Documents:
    """Data files of search documents in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.files, self.reads = folder, DataFiles({}), 0

    def entry(
        self, drive: str, texts: dict[str, str], partition: tuple[str, str] = NORTH, speed: float | None = 10.0
    ) -> Entry:
        """A drive's data file."""
        day, depot = partition
        base = {
            "drive_id": drive, "day": day, "depot": depot, "vehicle_id": "car1", "vehicle_spec": "sim_car",
            "format": "mcap", "end_ns": 0, "duration_s": 20.0, "light_condition": "night", "h3_cells": "c1 c2",
            "has": "signals", "speed_max_mps": speed, "dataset_version": "v",
        }  # fmt: skip
        rows = [
            {**base, "clip_id": clip, "start_ns": number, "tags": text.split()[0], "text": text}
            for number, (clip, text) in enumerate(sorted(texts.items()))
        ]
        return self.files.stage(str(self.folder / "lake"), partition, drive, "0" * 24, SEARCH_DOCUMENTS.from_rows(rows))

    def read(self, entries: Sequence[Entry]) -> pa.Table:
        """Rows of data files."""
        self.reads += len(entries)
        return self.files.read(SEARCH_DOCUMENTS, entries)


@pytest.fixture
def documents(tmp_path: Path) -> Documents:
    return Documents(tmp_path)


@pytest.fixture
def index(tmp_path: Path) -> SearchIndex:
    return SearchIndex(str(tmp_path / "index"), {})


def clips(index: SearchIndex, text: str, **page: int) -> list[str]:
    bounds = {"limit": 20, "offset": 0, "deepest": 2000, **page}
    return [row["clip_id"] for row in index.search(parse_query(text, FIELDS), **bounds).rows]


def of(drive: str) -> dict[str, str]:
    return {clip: text for clip, text in TEXTS.items() if clip.startswith(drive)}


@pytest.fixture
def filled(index: SearchIndex, documents: Documents) -> SearchIndex:
    entries = [documents.entry(drive, of(drive), speed=speed) for drive, speed in (("a", 10.0), ("b", 30.0))]
    assert index.sync(entries, documents.read, NORTH).written == 2
    return index


def test_the_clip_that_has_most_of_the_words_comes_first(filled: SearchIndex) -> None:
    assert clips(filled, "night rain hard brake")[0] == "a-0"
    assert set(clips(filled, "night rain hard brake")) == set(TEXTS)
    assert clips(filled, "snow") == []


def test_words_are_found_in_other_forms_and_in_any_case(filled: SearchIndex) -> None:
    assert set(clips(filled, "BRAKES")) == {"a-0", "b-1"}


def test_a_phrase_must_occur_and_an_excluded_word_must_not(filled: SearchIndex) -> None:
    assert clips(filled, '"hard brake"') == ["a-0"]
    assert set(clips(filled, "hard -night")) == {"b-0", "b-1"}
    assert set(clips(filled, 'hard -"hard corner"')) == {"a-0", "b-1"}


def test_fields_narrow_down_with_and_without_words(filled: SearchIndex) -> None:
    assert clips(filled, "hard speed>20 tag:daylight") == clips(filled, "hard drive:b")
    assert clips(filled, "tag:night") == ["a-1", "a-0"]
    assert clips(filled, "speed>20 depot:north cell:c2") == ["b-1", "b-0"]
    assert clips(filled, "depot:south") == []


def test_pages_follow_each_other_without_gap_or_repetition(index: SearchIndex, documents: Documents) -> None:
    many = {f"m-{number:03d}": "night equal words" for number in range(90)}
    index.sync([documents.entry("m", many)], documents.read, NORTH)
    for text in ("night", "tag:night"):
        pages = [clips(index, text, limit=20, offset=20 * page) for page in range(6)]
        assert [len(page) for page in pages] == [20, 20, 20, 20, 10, 0]
        assert sorted(clip for page in pages for clip in page) == sorted(many)
    hits = index.search(parse_query("night", FIELDS), limit=5, deepest=50)
    assert (hits.matches, hits.is_more) == (50, True)


def test_a_second_sync_reads_nothing_and_a_changed_drive_alone_is_read_again(
    filled: SearchIndex, documents: Documents
) -> None:
    before = documents.reads
    same = [documents.entry(drive, of(drive), speed=speed) for drive, speed in (("a", 10.0), ("b", 30.0))]
    assert filled.sync(same, documents.read, NORTH).written == 0
    assert documents.reads == before
    changed = documents.entry("b", {"b-0": "fog"}, speed=30.0)
    done = filled.sync([same[0], changed], documents.read, NORTH)
    assert (done.written, done.removed, done.documents) == (1, 0, 3)
    assert documents.reads == before + 1
    assert clips(filled, "fog") == ["b-0"]
    assert clips(filled, "corner") == []


def test_a_removed_drive_is_found_no_more(filled: SearchIndex, documents: Documents) -> None:
    done = filled.sync([documents.entry("a", of("a"))], documents.read, NORTH)
    assert (done.removed, done.documents) == (1, 2)
    assert clips(filled, "hard") == ["a-0"]
    assert {drive for _, drive in filled.held()} == {"a"}


def test_an_index_whose_last_drive_went_takes_the_next_one(filled: SearchIndex, documents: Documents) -> None:
    assert filled.sync([], documents.read, NORTH).removed == 2
    assert (clips(filled, "night"), filled.held()) == ([], {})
    assert filled.sync([documents.entry("b", of("b"))], documents.read, SOUTH).written == 1
    assert set(clips(filled, "hard")) == {"b-0", "b-1"}


def test_a_partition_says_nothing_about_others_and_a_drive_that_moved_stays(
    filled: SearchIndex, documents: Documents
) -> None:
    moved = documents.entry("b", of("b"), SOUTH)
    filled.sync([moved], documents.read, SOUTH)
    filled.sync([documents.entry("a", of("a"))], documents.read, NORTH)
    assert set(clips(filled, "depot:south")) == {"b-0", "b-1"}
    assert set(clips(filled, "hard")) == {"a-0", "b-0", "b-1"}
    assert sorted(filled.held()) == [(NORTH, "a"), (SOUTH, "b")]


class Dead:
    """The account of a run that dies when it gets there."""

    def merge_insert(self, on: Any) -> Any:
        """Die."""
        raise KeyboardInterrupt(on)


@pytest.mark.parametrize("step", ["before", "between"])
def test_a_run_that_dies_is_made_good_by_the_next(
    filled: SearchIndex, documents: Documents, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """The account is written last: whatever the death leaves, the account says that the drive is still to be done."""
    entries = [documents.entry("a", {"a-0": "fog"}), documents.entry("b", of("b"), speed=30.0)]
    whole = search_index._replace  # noqa: SLF001 - the place to die

    def dying(table: Any, account: Any, *rest: Any) -> None:
        if step == "between":
            whole(table, Dead(), *rest)
        raise KeyboardInterrupt

    monkeypatch.setattr(search_index, "_replace", dying)
    with pytest.raises(KeyboardInterrupt):
        filled.sync(entries, documents.read, NORTH)
    monkeypatch.undo()
    assert filled.held(NORTH)[NORTH, "a"] != entries[0].digest
    assert filled.sync(entries, documents.read, NORTH).written == 1
    assert clips(filled, "fog") == ["a-0"]
    assert set(clips(filled, "hard")) == {"b-0", "b-1"}


@pytest.mark.parametrize("lost", ["documents.lance", "drives.lance", "."])
def test_an_index_that_lost_a_part_is_made_again(filled: SearchIndex, documents: Documents, lost: str) -> None:
    shutil.rmtree(Path(filled.uri) / lost)
    entries = [documents.entry(drive, of(drive), speed=speed) for drive, speed in (("a", 10.0), ("b", 30.0))]
    assert filled.held() == {}
    assert filled.sync(entries, documents.read, NORTH).documents == 4
    assert set(clips(filled, "hard")) == {"a-0", "b-0", "b-1"}


def test_searching_goes_on_while_drives_are_written_and_never_sees_half_of_one(
    filled: SearchIndex, documents: Documents
) -> None:
    versions = [{f"w-{clip}": f"version{number} moving" for clip in range(20)} for number in range(8)]
    entries = [documents.entry("w", texts, SOUTH) for texts in versions]
    seen: list[set[str]] = []
    done = threading.Event()

    def look() -> None:
        while not done.is_set():
            rows = filled.search(parse_query("moving", FIELDS), limit=100, deepest=2000).rows
            seen.append({row["text"] for row in rows} | ({"short"} if len(rows) not in {0, 20} else set()))

    reader = threading.Thread(target=look)
    reader.start()
    try:
        for entry in entries:
            filled.sync([entry], documents.read, SOUTH)
    finally:
        done.set()
        reader.join()
    assert len(seen) > 1
    assert all(len(texts) <= 1 for texts in seen)
    assert clips(filled, "version7", limit=100) == sorted(versions[7])


def test_what_another_process_wrote_is_found_though_this_one_had_read_the_index_before(
    filled: SearchIndex, documents: Documents
) -> None:
    assert set(clips(filled, "tag:night")) == {"a-0", "a-1"}
    mine = search_index._connected  # noqa: SLF001 - a connection of one's own is what another process has
    other = mine.__wrapped__(filled.uri, ())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(search_index, "_connected", lambda *_: other)
        filled.sync([documents.entry("c", {"c-0": "night fog"}, SOUTH)], documents.read, SOUTH)
    assert set(clips(filled, "tag:night")) == {"a-0", "a-1", "c-0"}
    assert clips(filled, "fog") == ["c-0"]


@pytest.mark.parametrize("tidied", [True, False])
def test_queries_on_fields_alone_say_what_duckdb_says_of_the_same_rows(
    index: SearchIndex, documents: Documents, tidied: bool
) -> None:
    """Equal instants, nulls and negated conditions among them; without tidying a part lies outside of the indexes."""
    texts = {
        drive: {f"{drive}-{n}": f"{('night', 'fog', 'day')[n % 3]} x" for n in range(40)} for drive in ("d0", "d1")
    }
    first = documents.entry("d0", texts["d0"], speed=10.0)
    unknown = documents.entry("d2", {"d2-0": "night x", "d2-1": "fog x"}, speed=None)
    index.sync([first], documents.read, NORTH)
    index.sync([documents.entry("d1", texts["d1"], SOUTH, speed=30.0)], documents.read, SOUTH)
    index.sync([first, unknown], documents.read, NORTH)
    if tidied:
        index.tidy()
    rows = index._table("documents").to_arrow()  # noqa: SLF001, F841 - DuckDB finds it by its name
    for text in (
        "speed>20", "speed<20", "-speed>20", "tag:night", "-tag:night", "tag:night,fog", "depot:south tag:day",
        "speed>=10 tag!=fog", "drive:d0,d2", "day>=2024-05-01 depot:north", "light:night speed=30", "duration<1",
        "cell:c1 has:signals -depot:north",
    ):  # fmt: skip
        query = parse_query(text, FIELDS)
        asked = f"select clip_id from rows where {query.where} order by start_ns desc, clip_id"  # noqa: S608
        told = duckdb.execute(asked).fetchall()
        for offset, limit in ((0, 7), (7, 50), (0, 500), (80, 20)):
            hits = index.search(query, limit=limit, offset=offset, deepest=2000)
            assert [row["clip_id"] for row in hits.rows] == [clip for (clip,) in told[offset : offset + limit]], text
            assert (hits.matches, hits.is_more) == (len(told), False)


def test_an_index_of_an_older_platform_gets_the_indexes_that_it_lacks(
    filled: SearchIndex, documents: Documents
) -> None:
    table = filled._table("documents")  # noqa: SLF001
    table.drop_index("speed_max_mps_idx")
    filled.sync([documents.entry("c", {"c-0": "night fog"}, SOUTH)], documents.read, SOUTH)
    columns = {column for one in filled._table("documents").list_indices() for column in one.columns}  # noqa: SLF001
    assert {one.column for one in FIELDS.values()} | {"text"} <= columns
    assert clips(filled, "speed>20") == ["b-1", "b-0"]


def test_searching_before_anything_was_indexed_says_what_to_do(index: SearchIndex) -> None:
    with pytest.raises(NoIndexError, match="Ingest drives, or run `fleet reconcile`"):
        clips(index, "night")
    assert index.held() == {}
    assert not Path(index.uri).exists()


def test_tidying_comes_by_itself_and_changes_no_answer(
    index: SearchIndex, documents: Documents, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search_index, "UNTIDY_FILES", 5)
    entries = [documents.entry(f"t{n}", {f"t{n}-0": "night brake"}) for n in range(8)]
    for number in range(len(entries)):
        index.sync(entries[: number + 1], documents.read, NORTH)
        assert clips(index, "night") == sorted(f"t{n}-0" for n in range(number + 1))
    assert index._table("documents").stats()["fragment_stats"]["num_fragments"] < len(entries)  # noqa: SLF001
    index.tidy()
    assert clips(index, "night") == sorted(f"t{n}-0" for n in range(len(entries)))


def test_an_index_in_a_bucket_behaves_alike(s3: S3, documents: Documents) -> None:
    index = SearchIndex(f"s3://{s3.bucket}/index", {"aws_endpoint": s3.endpoint_url, "allow_http": "true"})
    assert index.held() == {}
    entries = [documents.entry(drive, of(drive)) for drive in ("a", "b")]
    assert index.sync(entries, documents.read, NORTH).documents == 4
    assert clips(index, "night rain hard brake")[0] == "a-0"
    assert index.sync(entries[:1], documents.read, NORTH).removed == 1
    assert clips(index, "hard") == ["a-0"]
    stored = s3.keys()
    assert any(key.startswith("index/documents.lance/") for key in stored)
