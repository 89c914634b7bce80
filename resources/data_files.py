"""Parquet data files of the lake: pinned bytes, atomic names, reads. Light to import, so that engine workers can.

Commits do not belong here (see `iceberg.py`).
"""

import errno
import hashlib
import io
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import pyarrow as pa
import pyarrow.parquet as pq

from fleet_assets.provenance.ledger import Entry, Partition, file_name
from fleet_assets.provenance.objects import ACCESS_CLASSES, check_table
from fleet_assets.tables import Table

ROW_GROUP_ROWS: Final = 131_072
_ENCODED_TEXT: Final = pa.dictionary(pa.int32(), pa.string())
_PARQUET_OPTIONS: Final[Mapping[str, Any]] = {
    "compression": "zstd",
    "compression_level": 1,
    "version": "2.6",
    "data_page_version": "1.0",
    "write_statistics": True,
    "store_schema": False,
    "row_group_size": ROW_GROUP_ROWS,
    "data_page_size": 1 << 20,
}


def parquet_bytes(data: pa.Table) -> bytes:
    """Serialise with pinned options: equal rows give equal bytes, no time stamp, no host name."""
    return _serialised(data) if data.num_rows else _empty_file(data.schema)


@cache
def _empty_file(schema: pa.Schema) -> bytes:
    """A file without rows: many drives have none in one table or another."""
    return _serialised(schema.empty_table())


def _serialised(data: pa.Table) -> bytes:
    sink = io.BytesIO()
    text = [field.name for field in data.schema if pa.types.is_string(field.type) or pa.types.is_dictionary(field.type)]
    pq.write_table(data, sink, use_dictionary=text, **_PARQUET_OPTIONS)
    return sink.getvalue()


def _encoded(schema: pa.Schema) -> pa.Schema:
    return pa.schema([field.with_type(_ENCODED_TEXT) if pa.types.is_string(field.type) else field for field in schema])


def local_path(uri: str) -> Path | None:
    """Path behind a `file:` address or plain path; None for remote ones."""
    parts = urlsplit(uri)
    return Path(parts.path) if parts.scheme in {"", "file"} else None


def write_atomically(target: Path, payload: bytes) -> None:
    """Write a file so that its name never shows partial content, even after a kill."""
    target.parent.mkdir(parents=True, exist_ok=True)
    descriptor, staging = tempfile.mkstemp(dir=target.parent, prefix=".staging-")
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(payload)
            stream.flush()
            os.fsync(stream.fileno())
        Path(staging).replace(target)
    except BaseException:
        Path(staging).unlink(missing_ok=True)
        raise


@dataclass(frozen=True)
class DataFiles:
    """Reader and writer of data files by address.

    Attributes:
        storage: pyiceberg-style storage properties; only needed for remote addresses.
        granted: Access classes that the holder may use; personal tables are of class raw.
    """

    storage: Mapping[str, str]
    granted: tuple[str, ...] = ACCESS_CLASSES

    def stage(self, location: str, partition: Partition, unit: str, fingerprint: str, data: pa.Table) -> Entry:
        """Write a file under a table's location. Its name carries unit, fingerprint and digest."""
        payload = parquet_bytes(data)
        digest = hashlib.sha256(payload).hexdigest()
        path = "/".join([location.rstrip("/"), "data", *partition, file_name(unit, fingerprint, digest)])
        if (target := local_path(path)) is not None:
            write_atomically(target, payload)
        else:
            with self._remote(path).new_output(path).create(overwrite=True) as stream:
                stream.write(payload)
        return Entry(unit, tuple(partition), fingerprint, digest, data.num_rows, len(payload), path)

    def read(
        self, table: Table, entries: Sequence[Entry], columns: Sequence[str] | None = None, *, encoded: bool = False
    ) -> pa.Table:
        """Rows of the given files, in the order of the files; an empty table for none.

        Args:
            table: The table.
            entries: Its files.
            columns: Columns wanted; all when None.
            encoded: Leave text dictionary-encoded, as it is stored: large tables repeat a few words.

        Raises:
            FileNotFoundError: When a committed file is gone, naming it.
            OSError: When one is damaged, naming it and the remedy.
            AccessDeniedError: When the table holds personal data and class raw is not granted.
        """
        check_table(self.granted, table)
        schema = table.arrow_schema if columns is None else pa.schema([table.arrow_schema.field(c) for c in columns])
        schema = _encoded(schema) if encoded else schema
        parts = [self._readable(entry.path, schema) for entry in entries if entry.rows]
        return parts[0] if len(parts) == 1 else pa.concat_tables([schema.empty_table(), *parts])

    def read_bytes(self, path: str) -> bytes:
        """Bytes of one file."""
        if (local := local_path(path)) is not None:
            return local.read_bytes()
        with self._remote(path).new_input(path).open() as stream:
            return bytes(stream.read())

    def _readable(self, path: str, schema: pa.Schema) -> pa.Table:
        try:
            return self._read_one(path, schema)
        except FileNotFoundError:
            raise
        except (pa.ArrowInvalid, OSError) as error:
            told = f"damaged data file ({error}). `fleet verify --mend` makes it again"
            raise OSError(errno.EIO, told, path) from error

    def _read_one(self, path: str, schema: pa.Schema) -> pa.Table:
        local = local_path(path)
        source = pa.OSFile(str(local)) if local is not None else pa.BufferReader(self.read_bytes(path))
        text = [field.name for field in schema if pa.types.is_dictionary(field.type)]
        with source, pq.ParquetFile(source, read_dictionary=text) as file:
            present = [name for name in schema.names if name in file.schema_arrow.names]
            part = file.read(columns=present, use_threads=False)
        # A column added to the table after this file was written is null in it.
        arrays = [
            part[field.name].cast(field.type) if field.name in present else pa.nulls(part.num_rows, field.type)
            for field in schema
        ]
        return pa.table(arrays, schema=schema)

    def _remote(self, path: str) -> Any:
        from pyiceberg.io import load_file_io

        return load_file_io(dict(self.storage), path)
