"""LanceDB as the vector index uses it: opening, making, replacing and tidying tables, one writer at a time.

Here belongs what every table of the index needs. What the tables hold is in `vectors.py` and `vectors_near.py`.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

READERS_MAY_TAKE: Final = timedelta(minutes=10)
"""Versions that are replaced stay readable for this long at least."""
NEVER: Final = timedelta(days=36_500)
_NO_TIME: Final = timedelta(milliseconds=1)
REWRITTEN_ROWS: Final = 8192
UNTIDY_FILES: Final = 64
"""Files that call for tidying, which rewrites much: to do it after every drive would cost more than all else."""
FEW_FILES: Final = 8
"""The same for tables of few rows, which every run reads whole several times: there a file costs more than its rows."""
LEAST_UNINDEXED, UNINDEXED_SHARE = 16_384, 0.1
"""Rows outside the indices, and their share, that call for it: they are read through wherever a drive is looked up."""


def quoted(values: Sequence[str]) -> str:
    """Texts as SQL has them in a list."""
    return ", ".join("'" + value.replace("'", "''") + "'" for value in values)


@dataclass(frozen=True)
class LanceDatabase:
    """One LanceDB database.

    Attributes:
        uri: Folder or S3 address.
        storage: Options of the storage, for remote addresses.
    """

    uri: str
    storage: Mapping[str, str]

    @property
    def folder(self) -> Path | None:
        """The folder of a local database."""
        return None if "://" in self.uri else Path(self.uri)

    @property
    def is_new(self) -> bool:
        """Whether there is no database for sure, found out without loading LanceDB."""
        return self.folder is not None and not self.folder.exists()

    def connection(self) -> Any:
        """The database, opened."""
        os.environ.setdefault("LANCEDB_LOG", "error")  # it warns of every table that it makes
        import lancedb

        return lancedb.connect(self.uri, storage_options=dict(self.storage) or None)

    def opened(self, name: str, version: int | None = None) -> Any:
        """A table, in one of its versions if that is named; None where there is none.

        Args:
            name: Its name.
            version: The version to read; such a table cannot be written to.
        """
        if self.is_new:
            return None
        try:
            table = self.connection().open_table(name)
            if version is not None:
                table.checkout(version)
        except (ValueError, FileNotFoundError):  # LanceDB says so of a table or version that does not exist
            return None
        return table

    def made(self, name: str, schema: pa.Schema, keys: Sequence[str] = ()) -> Any:
        """A table, made where it is not there or of another shape.

        Args:
            name: Its name.
            schema: Its columns.
            keys: Columns by whose values rows are looked up.
        """
        table = self.opened(name)
        if table is None or table.schema != schema:
            from lancedb.index import BTree

            table = self.connection().create_table(name, schema=schema, mode="overwrite")
            for key in keys:
                table.create_index(key, config=BTree())
        return table

    def rewritten(self, name: str, keys: Sequence[str]) -> Any:
        """A table, written anew in one step: its files hold nothing more of rows that were deleted.

        Args:
            name: Its name; it is there.
            keys: See `made`.
        """
        from lancedb.index import BTree

        old = self.opened(name)
        rows = pa.RecordBatchReader.from_batches(old.schema, old.search().to_batches(REWRITTEN_ROWS))
        table = self.connection().create_table(name, data=rows, schema=old.schema, mode="overwrite")
        for key in keys:
            table.create_index(key, config=BTree())
        table.optimize(cleanup_older_than=NEVER)
        return table

    def drop(self, name: str) -> None:
        """Take a table away."""
        self.connection().drop_table(name, ignore_missing=True)


def upsert(table: Any, keys: Sequence[str], rows: pa.Table) -> None:
    """Put small rows in place of those that have the same keys."""
    table.merge_insert(list(keys)).when_matched_update_all().when_not_matched_insert_all().execute(rows)


def tidy(table: Any, most_files: int | None = None) -> None:
    """Bring a table into few files, and its indices up to date, where it needs that; old versions stay.

    Args:
        table: The table.
        most_files: Files that do not call for it yet; `UNTIDY_FILES` where nothing is said.
    """
    stats = table.stats()
    unindexed = max((one.num_unindexed_rows or 0 for one in table.list_indices()), default=0)
    behind = unindexed > max(LEAST_UNINDEXED, UNINDEXED_SHARE * stats["num_rows"])
    if behind or stats["fragment_stats"]["num_small_fragments"] > (UNTIDY_FILES if most_files is None else most_files):
        table.optimize(cleanup_older_than=NEVER)


def forget_before(table: Any, version: int) -> None:
    """Drop the versions of a table that are older than one of them, but for those that a reader may still be in."""
    times = {told["version"]: told["timestamp"] for told in table.list_versions()}
    if version in times:
        age = datetime.now(tz=UTC) - times[version].astimezone(UTC)
        table.optimize(cleanup_older_than=max(age + timedelta(seconds=1), READERS_MAY_TAKE))


def forget_all_but_the_last(table: Any) -> None:
    """Drop all versions of a table but its last one, and their files, whoever is reading them."""
    table.optimize(cleanup_older_than=_NO_TIME)
