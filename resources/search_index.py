"""The full-text index of search documents: LanceDB, derived from the lake and brought up to date drive by drive.

Here belongs what knows LanceDB. The index is no part of identity: it can be deleted and is made again. It keeps its own
account of which data file of each drive it has, written after the documents, so that a run that dies in between leaves
an account that is behind, never ahead: the next run does the drive again.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fleet_assets.policy.search_query import SearchQuery
from fleet_assets.provenance.ledger import Entry, Partition
from fleet_assets.tables.catalog import FIGURES, SEARCH_DOCUMENTS, WORD_COLUMNS
from resources.writer_lock import one_writer

DOCUMENTS: Final = "documents"
DRIVES: Final = "drives"
TEXT: Final = "text"
TEXT_INDEX: Final = f"{TEXT}_idx"
SCORE: Final = "_score"
_ROW: Final = "_rowid"
"""LanceDB's number of a row, good for one version of a table."""
_NEWEST: Final = [("start_ns", "descending"), ("clip_id", "ascending")]
READERS_MAY_TAKE: Final = timedelta(minutes=10)
"""Versions that are replaced stay readable for this long."""
DRIVES_PER_WRITE: Final = 256
UNTIDY_ROWS, UNTIDY_SHARE, UNTIDY_FILES = 10_000, 0.1, 64
"""Documents outside the full-text index (they are read through for every query), and files, that call for tidying.

Tidying rewrites much of the index; to do it after every drive would cost more than all else.
"""
_ACCOUNT: Final = pa.schema([(name, pa.string()) for name in ("drive_id", "day", "depot", "digest")])
_SCHEMA: Final = pa.schema(
    [
        field.with_type(pa.list_(pa.string())) if field.name in WORD_COLUMNS else field
        for field in SEARCH_DOCUMENTS.arrow_schema
    ]
)
_FEW_VALUES: Final = ("day", "depot", "vehicle_id", "vehicle_spec", "format", "light_condition")
_ORDERED: Final = ("clip_id", "drive_id", "duration_s", *(column.name for column in FIGURES))
"""Columns that queries ask for; what has no index of its own is read row by row for every row that the others leave."""
Read = Callable[[Sequence[Entry]], pa.Table]
"""Rows of data files of `silver.search_documents`."""


class NoIndexError(RuntimeError):
    """There is nothing to search yet."""


@dataclass(frozen=True, slots=True)
class Synced:
    """What was done to bring the index up to date.

    Attributes:
        written: Drives whose documents were written.
        removed: Drives whose documents were taken out.
        documents: Documents in the index now.
    """

    written: int
    removed: int
    documents: int


@dataclass(frozen=True, slots=True)
class Hits:
    """One page of results.

    Attributes:
        rows: Documents, best first; with `score` where text was searched.
        matches: How many documents match, as far as they were ranked.
        is_more: Whether there may be more matches than were ranked.
    """

    rows: list[dict[str, Any]]
    matches: int
    is_more: bool


@dataclass(frozen=True)
class SearchIndex:
    """One index.

    Attributes:
        uri: Folder or S3 address.
        storage: Options of the storage, for remote addresses.
    """

    uri: str
    storage: Mapping[str, str]

    # -- reading ---------------------------------------------------------------------------------------------------

    def held(self, partition: Partition | None = None) -> dict[tuple[Partition, str], str]:
        """Digest of the data file whose documents the index has, by partition and drive.

        Args:
            partition: Only this one.
        """
        if self._is_new():
            return {}
        account = self._table(DRIVES)
        if account is None or self._table(DOCUMENTS) is None:
            return {}
        rows = account.search().where(_of(partition)).to_list() if partition else account.to_arrow().to_pylist()
        return {((row["day"], row["depot"]), row["drive_id"]): row["digest"] for row in rows}

    def search(self, query: SearchQuery, *, limit: int, offset: int = 0, deepest: int) -> Hits:
        """One page of the documents that match a query.

        Text is ranked by BM25, equal scores by clip; without text the newest clips come first. The page is one of a
        single version of the index, also while a run writes.

        Args:
            query: What is searched.
            limit: Documents of the page.
            offset: Documents before it.
            deepest: Documents that are ranked.

        Raises:
            NoIndexError: When nothing was ever indexed.
        """
        documents = None if self._is_new() else self._table(DOCUMENTS)
        if documents is None:
            raise NoIndexError(
                "there is no search index yet. Ingest drives, or run `fleet reconcile` to make it from the lake."
            )
        if query.has_text:
            ranked, matches = _best(documents, query, deepest)
        else:
            ranked, matches = _newest(documents, query, min(offset + limit, deepest))
        page = ranked.slice(offset, max(min(limit, deepest - offset), 0))
        rows = _rows(documents, page[_ROW].to_pylist(), _SCHEMA.names)
        scores = page[SCORE].to_pylist() if SCORE in page.column_names else []
        told = [{**row, "score": score} for row, score in zip(rows, scores, strict=True)] if scores else rows
        return Hits(told, min(matches, deepest), matches >= deepest)

    # -- writing ---------------------------------------------------------------------------------------------------

    def sync(self, entries: Sequence[Entry], read: Read, partition: Partition) -> Synced:
        """Bring one partition of the index to what the lake holds; nothing is done where it is so already.

        Args:
            entries: Data files of the partition in `silver.search_documents`.
            read: Reads their rows.
            partition: Day and depot.
        """
        with one_writer(self._folder):
            wanted = {entry.unit: entry for entry in entries}
            held = {drive: digest for (_, drive), digest in self.held(partition).items()}
            stale = [entry for drive, entry in sorted(wanted.items()) if held.get(drive) != entry.digest]
            gone = sorted(set(held) - set(wanted))
            if not stale and not gone:
                documents = self._table(DOCUMENTS) if self.held(partition) else None
                return Synced(0, 0, 0 if documents is None else documents.count_rows())
            documents, account = self._tables()
            for start in range(0, len(stale), DRIVES_PER_WRITE):
                part = stale[start : start + DRIVES_PER_WRITE]
                _replace(documents, account, part, read(part), partition)
            _remove(documents, account, gone, partition)
            count = documents.count_rows()
            if gone or _is_untidy(documents, count):
                _tidy(documents, account)
            return Synced(len(stale), len(gone), count)

    def tidy(self) -> None:
        """Bring everything into the full-text index and few files; searching works without, but takes longer."""
        with one_writer(self._folder):
            _tidy(*self._tables())

    # -- the database ----------------------------------------------------------------------------------------------

    @property
    def _folder(self) -> Path | None:
        return None if "://" in self.uri else Path(self.uri)

    def _is_new(self) -> bool:
        """Whether there is no index for sure, found out without loading LanceDB."""
        return self._folder is not None and not self._folder.exists()

    def _database(self) -> Any:
        return _connected(self.uri, tuple(sorted(self.storage.items())))

    def _table(self, name: str) -> Any:
        try:
            return self._database().open_table(name)
        except (ValueError, FileNotFoundError):  # LanceDB says so of a table that does not exist
            return None

    def _tables(self) -> tuple[Any, Any]:
        """Documents and account, made where they are not there or of another shape."""
        database, documents = self._database(), self._table(DOCUMENTS)
        if documents is not None and documents.schema != _SCHEMA:
            database.drop_table(DRIVES, ignore_missing=True)
            documents = None
        if documents is None:
            documents = database.create_table(DOCUMENTS, schema=_SCHEMA, mode="overwrite")
        there = {column for one in documents.list_indices() for column in one.columns}
        for column, kind in _indexes().items():
            if column not in there:
                documents.create_index(column, config=kind)
        account = self._table(DRIVES)  # an empty one is as false as none
        return documents, database.create_table(DRIVES, schema=_ACCOUNT) if account is None else account


@cache
def _connected(uri: str, storage: tuple[tuple[str, str], ...]) -> Any:
    """One connection per database and process: what was read of an index stays in its memory.

    It keeps immutable files only; which version of a table is the newest is looked up whenever the table is opened.
    """
    os.environ.setdefault("LANCEDB_LOG", "error")  # it warns of every table that it makes
    import lancedb

    return lancedb.connect(uri, storage_options=dict(storage) or None)


def _indexes() -> dict[str, Any]:
    """Index by column."""
    from lancedb.index import FTS, Bitmap, BTree, LabelList

    return {
        TEXT: FTS(with_position=True),
        **{column: BTree() for column in _ORDERED},
        **{column: Bitmap() for column in _FEW_VALUES},
        **{column: LabelList() for column in WORD_COLUMNS},
    }


def _quoted(values: Sequence[str]) -> str:
    return ", ".join("'" + value.replace("'", "''") + "'" for value in values)


def _of(partition: Partition) -> str:
    day, depot = partition
    return f"day = {_quoted([day])} AND depot = {_quoted([depot])}"


def _indexed(rows: pa.Table) -> pa.Table:
    """Documents as the index has them: lists where a column holds several words."""
    columns = [
        pc.split_pattern(pc.fill_null(rows[name], ""), " ") if name in WORD_COLUMNS else rows[name]
        for name in _SCHEMA.names
    ]
    return pa.table(columns, names=_SCHEMA.names).cast(_SCHEMA)


def _replace(documents: Any, account: Any, entries: Sequence[Entry], rows: pa.Table, partition: Partition) -> None:
    """Write the documents of some drives in place of those that are there, then the account of it."""
    drives = _quoted([entry.unit for entry in entries])
    (
        documents.merge_insert("clip_id")
        .when_matched_update_all()
        .when_not_matched_insert_all()
        .when_not_matched_by_source_delete(f"drive_id IN ({drives})")
        .execute(_indexed(rows))
    )
    day, depot = partition
    told = [{"drive_id": entry.unit, "day": day, "depot": depot, "digest": entry.digest} for entry in entries]
    (
        account.merge_insert(["drive_id", "day", "depot"])
        .when_matched_update_all()
        .when_not_matched_insert_all()
        .execute(pa.Table.from_pylist(told, _ACCOUNT))
    )


def _is_untidy(documents: Any, count: int) -> bool:
    stats = documents.index_stats(TEXT_INDEX)
    outside = count if stats is None else stats.num_unindexed_rows
    files = documents.stats()["fragment_stats"]["num_small_fragments"]
    return bool(outside > max(UNTIDY_ROWS, UNTIDY_SHARE * count) or files > UNTIDY_FILES)


def _tidy(documents: Any, account: Any) -> None:
    for table in (documents, account):
        table.optimize(cleanup_older_than=READERS_MAY_TAKE)


def _remove(documents: Any, account: Any, drives: Sequence[str], partition: Partition) -> None:
    """Take drives out of a partition; one that moved to another partition keeps its documents there."""
    for start in range(0, len(drives), DRIVES_PER_WRITE):
        condition = f"{_of(partition)} AND drive_id IN ({_quoted(drives[start : start + DRIVES_PER_WRITE])})"
        documents.delete(condition)
        account.delete(condition)


def _best(documents: Any, query: SearchQuery, deepest: int) -> tuple[pa.Table, int]:
    """Numbers and scores of the rows whose text matches, best first, and how many they are."""
    asked = documents.search(_full_text(query), query_type="fts")
    asked = asked.where(query.where) if query.where is not None else asked
    found = asked.limit(deepest).select(["clip_id", SCORE]).with_row_id(True).to_arrow()
    return found.sort_by([(SCORE, "descending"), ("clip_id", "ascending")]), found.num_rows


def _newest(documents: Any, query: SearchQuery, count: int) -> tuple[pa.Table, int]:
    """Numbers of the newest rows that fulfil the conditions, in order, and how many fulfil them.

    Only instants are read of all of them; names, which decide between equal instants, of those that may be among the
    newest alone.
    """
    found = documents.search().where(query.where).select(["start_ns"]).with_row_id(True).to_arrow()
    if found.num_rows > count:
        oldest = np.partition(found["start_ns"].to_numpy(), -count)[-count]
        newest = found.filter(pc.greater_equal(found["start_ns"], oldest))
    else:
        newest = found
    rows = _rows(documents, newest[_ROW].to_pylist(), ["clip_id"])
    named = newest.append_column("clip_id", pa.array([row["clip_id"] for row in rows], pa.string()))
    return named.sort_by(_NEWEST), found.num_rows


def _full_text(query: SearchQuery) -> Any:
    """The query as LanceDB's own: words may occur, phrases must, excluded ones must not."""
    import lancedb.query

    lance: Any = lancedb.query  # its classes are dataclasses of another library, which mypy takes for plain ones

    def asked(text: str) -> Any:
        return lance.PhraseQuery(text, TEXT) if " " in text else lance.MatchQuery(text, TEXT)

    parts: list[tuple[Any, Any]] = [(lance.Occur.MUST, asked(phrase)) for phrase in query.phrases]
    if query.words:
        parts.append((lance.Occur.SHOULD, lance.MatchQuery(" ".join(query.words), TEXT)))
    parts += [(lance.Occur.MUST_NOT, asked(one)) for one in query.excluded]
    return parts[0][1] if len(parts) == 1 else lance.BooleanQuery(parts)


def _rows(documents: Any, numbers: Sequence[int], columns: Sequence[str]) -> list[dict[str, Any]]:
    """Some columns of rows by their numbers, in the order of these."""
    if not numbers:
        return []
    found = documents.take_row_ids(list(numbers)).select(list(columns)).with_row_id().to_list()
    by_number = {row[_ROW]: row for row in found}
    return [{name: by_number[number][name] for name in columns} for number in numbers]
