"""The lake on Iceberg: commits of whole data files, one per (table, partition, drive), and reads of them.

Everything that knows pyiceberg is here. What the files mean is the ledger's business (`fleet_assets/provenance`).
"""

import contextlib
import random
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Final, TypeVar

import pyarrow as pa
import pyarrow.dataset as pads

from fleet_assets.provenance.ledger import Entry, Partition, parse_file_name
from fleet_assets.provenance.objects import ACCESS_CLASSES, check_table
from fleet_assets.tables import Table, TableKind
from resources.data_files import DataFiles, local_path
from resources.iceberg_evolution import evolve

if TYPE_CHECKING:
    from pyiceberg.catalog import Catalog
    from pyiceberg.manifest import DataFile
    from pyiceberg.table import Table as IcebergTable

COMMIT_ATTEMPTS: Final = 60
CREATE_ATTEMPTS: Final = 5
MANIFESTS: Final = 4
"""Manifests of a table that are merged into one: a reader opens each, a merge writes all their entries again."""
_Made = TypeVar("_Made")


class LakeConflictError(RuntimeError):
    """A commit that lost against other writers more often than is plausible."""


class IcebergLake:
    """Tables of one catalog. Safe to use from several threads and processes at once.

    Args:
        properties: pyiceberg catalog properties (`type`, `uri`, `warehouse`, …).
        name: Catalog name.
        granted: Access classes that the holder may use; tables with personal data are of class raw.
    """

    def __init__(
        self, properties: Mapping[str, str], name: str = "fleet", granted: tuple[str, ...] = ACCESS_CLASSES
    ) -> None:
        self._properties, self._name = dict(properties), name
        self.files = DataFiles(self._properties, granted)
        self._lock = threading.RLock()
        self._catalog: Catalog | None = None
        self._manifests: dict[str, list[tuple[Entry, DataFile]]] = {}
        self._loaded: dict[str, IcebergTable] = {}
        self._held: dict[str, tuple[str, dict[Partition, list[Entry]]]] = {}

    @property
    def catalog(self) -> "Catalog":
        """The pyiceberg catalog, opened on first use."""
        with self._lock:
            if self._catalog is None:
                from pyiceberg.catalog import load_catalog

                self._catalog = _despite_race(lambda: load_catalog(self._name, **self._properties))
            return self._catalog

    # -- reading ---------------------------------------------------------------------------------------------------

    def exists(self, table: Table) -> bool:
        """Whether the table was ever written."""
        return bool(self.catalog.table_exists(table.key))

    def entries(self, table: Table, partition: Partition | None = None) -> list[Entry]:
        """Committed files of a table, or of one partition of it, sorted by (partition, unit)."""
        held = self._by_partition(table)
        if partition is not None:
            return list(held.get(tuple(partition), ()))
        return [entry for entries in held.values() for entry in entries]

    def _by_partition(self, table: Table) -> dict[Partition, list[Entry]]:
        """Sorted entries by partition, partitions in order; put together once per state of the table."""
        loaded = self._load(table)
        if loaded is None:
            return {}
        state, held = self._held.get(table.name, ("", {}))
        if state != loaded.metadata_location:
            held = {}
            files = (entry for entry, _ in self._files(loaded))
            for entry in sorted(files, key=lambda entry: (entry.partition, entry.unit, entry.fingerprint)):
                held.setdefault(entry.partition, []).append(entry)
            self._held[table.name] = (loaded.metadata_location, held)
        return held

    def read(self, table: Table, entries: Sequence[Entry], columns: Sequence[str] | None = None) -> pa.Table:
        """Rows of the given files, in the order of the files; an empty table for none."""
        return self.files.read(table, entries, columns)

    def rows(self, table: Table, partition: Partition | None = None, columns: Sequence[str] | None = None) -> pa.Table:
        """Rows of a table or of one partition."""
        return self.read(table, self.entries(table, partition), columns)

    def dataset(self, table: Table) -> pads.Dataset:
        """Lazy view of a table for SQL engines, which then push projections and filters down.

        Raises:
            AccessDeniedError: When the table holds personal data and class raw is not granted.
        """
        check_table(self.files.granted, table)
        paths = [entry.path for entry in self.entries(table) if entry.rows]
        local = [str(local_path(path)) for path in paths]
        if not paths:
            return pads.dataset(table.empty())
        if "None" not in local:
            return pads.dataset(local, schema=table.arrow_schema, format="parquet")
        return pads.dataset(self.rows(table))

    def _load(self, table: Table) -> "IcebergTable | None":
        from pyiceberg.exceptions import NoSuchTableError

        location = self._location_in_catalog(table)
        known = self._loaded.get(table.name)
        if known is not None and location is not None and known.metadata_location == location:
            return known
        try:
            loaded = self.catalog.load_table(table.key)
        except NoSuchTableError:
            return None
        self._loaded[table.name] = loaded
        return loaded

    def _location_in_catalog(self, table: Table) -> str | None:
        """Where the table's metadata is now, found out without parsing it; None where only loading the table tells.

        Metadata files are immutable, and they grow with every commit: asking a SQL catalog for the name costs one row.
        """
        from pyiceberg.catalog.sql import IcebergTables, SqlCatalog
        from sqlalchemy import select

        catalog = self.catalog
        if not isinstance(catalog, SqlCatalog):
            return None
        namespace, name = table.key
        asked = select(IcebergTables.metadata_location).where(
            IcebergTables.catalog_name == catalog.name,
            IcebergTables.table_namespace == namespace,
            IcebergTables.table_name == name,
        )
        with catalog.engine.connect() as connection:
            location: str | None = connection.scalar(asked)
        return location

    def _files(self, loaded: "IcebergTable | None") -> Iterator[tuple[Entry, "DataFile"]]:
        if loaded is None or (snapshot := loaded.current_snapshot()) is None:
            return
        for manifest in snapshot.manifests(loaded.io):
            if (files := self._manifests.get(manifest.manifest_path)) is None:
                files = [
                    (_entry(item.data_file), item.data_file)
                    for item in manifest.fetch_manifest_entry(loaded.io, discard_deleted=True)
                ]
                self._manifests[manifest.manifest_path] = files
            yield from files

    def costs(self, table: Table) -> list[dict[str, str]]:
        """What past commits of the table say about the work behind them (`operator`, `units`, `cpu_s`)."""
        loaded = self._load(table)
        summaries = [snapshot.summary for snapshot in loaded.metadata.snapshots] if loaded is not None else []
        named = [summary.additional_properties for summary in summaries if summary is not None]
        return [
            {key.removeprefix("fleet."): value for key, value in properties.items() if key.startswith("fleet.")}
            for properties in named
        ]

    # -- writing ---------------------------------------------------------------------------------------------------

    def location(self, table: Table) -> str:
        """Address under which the table's data files lie; the table is created when it does not exist yet."""
        return str(self._ensure(table).location())

    def stage(self, table: Table, partition: Partition, unit: str, fingerprint: str, data: pa.Table) -> Entry:
        """Write a data file that no one sees until it is committed."""
        return self.files.stage(self.location(table), partition, unit, fingerprint, data)

    def commit(
        self,
        table: Table,
        added: Sequence[Entry],
        removed: Iterable[Entry] = (),
        cost: Mapping[str, str] | None = None,
    ) -> None:
        """In one transaction add files, drop every other file of the same units, and drop the removed files.

        A log table only ever adds, and each unit once. A file that is already live is left as it is, so a repeated
        commit changes nothing.

        Raises:
            LakeConflictError: When other writers win every attempt.
        """
        from pyiceberg.exceptions import CommitFailedException, ValidationException

        dropped = tuple(removed)
        if not added and not dropped:
            return
        for attempt in range(COMMIT_ATTEMPTS):
            try:
                self._try_commit(table, added, dropped, cost or {})
            except (CommitFailedException, ValidationException):
                time.sleep(random.uniform(0, min(0.02 * 2**attempt, 1.0)))  # noqa: S311 - jitter against other writers
            else:
                return
        raise LakeConflictError(f"{table.name}: {COMMIT_ATTEMPTS} commits lost against other writers. Run it again.")

    def _try_commit(
        self, table: Table, added: Sequence[Entry], removed: tuple[Entry, ...], cost: Mapping[str, str]
    ) -> None:
        loaded = self._ensure(table)
        live = {entry.path: (entry, data_file) for entry, data_file in self._files(loaded)}
        is_log = table.kind is TableKind.LOG
        replaced = set() if is_log else {entry.unit for entry in added}
        told = {entry.unit for entry, _ in live.values()} if is_log else set()
        wanted, unwanted = {entry.path for entry in added}, {entry.path for entry in removed}
        drop = [
            file
            for path, (entry, file) in live.items()
            if path in unwanted or (entry.unit in replaced and path not in wanted)
        ]
        new = [entry for entry in added if entry.path not in live and entry.unit not in told]
        if not drop and not new:
            return
        properties = {f"fleet.{name}": value for name, value in cost.items()}
        with loaded.transaction() as transaction:
            update = transaction.update_snapshot(snapshot_properties=properties)
            # Only an append merges small manifests; without that every later reading opens one per commit ever made.
            with update.overwrite() if drop else update.merge_append() as snapshot:
                for data_file in drop:
                    snapshot.delete_data_file(data_file)
                for entry in new:
                    snapshot.append_data_file(_data_file(entry, loaded))

    def _ensure(self, table: Table) -> "IcebergTable":
        """The table as it is defined: made, or evolved, where it is not so yet.

        Raises:
            IncompatibleSchemaError: When the lake holds what the definition takes away.
        """
        loaded = self._load(table)
        if loaded is None:
            return self._create(table)
        return self.catalog.load_table(table.key) if evolve(loaded, table) else loaded

    def _create(self, table: Table) -> "IcebergTable":
        from pyiceberg.exceptions import CommitFailedException, NamespaceAlreadyExistsError, TableAlreadyExistsError
        from pyiceberg.io.pyarrow import _pyarrow_to_schema_without_ids
        from pyiceberg.partitioning import PARTITION_FIELD_ID_START, PartitionField, PartitionSpec
        from pyiceberg.schema import assign_fresh_schema_ids
        from pyiceberg.transforms import IdentityTransform

        with contextlib.suppress(NamespaceAlreadyExistsError):
            _despite_race(lambda: self.catalog.create_namespace(table.key[0]))
        schema = assign_fresh_schema_ids(_pyarrow_to_schema_without_ids(table.arrow_schema))
        fields = [
            PartitionField(
                schema.find_field(name).field_id, PARTITION_FIELD_ID_START + index, IdentityTransform(), name
            )
            for index, name in enumerate(table.partition_by)
        ]
        properties = {
            "commit.manifest-merge.enabled": "true",
            "commit.manifest.min-count-to-merge": str(MANIFESTS),
            "commit.retry.num-retries": "0",  # our own loop recomputes what to drop before each attempt
            "schema.name-mapping.default": schema.name_mapping.model_dump_json(),
            "write.metadata.delete-after-commit.enabled": "true",
            "write.metadata.previous-versions-max": "20",
        }
        with contextlib.suppress(TableAlreadyExistsError, CommitFailedException):
            return self.catalog.create_table(
                table.key, schema, partition_spec=PartitionSpec(*fields), properties=properties
            )
        return self.catalog.load_table(table.key)


def _despite_race(make: Callable[[], _Made]) -> _Made:
    """Try again what a SQL catalog refuses when two processes make the same thing: it is there the next time."""
    from sqlalchemy.exc import DBAPIError

    for _ in range(CREATE_ATTEMPTS - 1):
        try:
            return make()
        except DBAPIError:
            time.sleep(random.uniform(0.01, 0.1))  # noqa: S311 - jitter against other writers
    return make()


_lakes: dict[tuple[tuple[tuple[str, str], ...], tuple[str, ...]], IcebergLake] = {}


def open_lake(properties: Mapping[str, str], granted: tuple[str, ...] = ACCESS_CLASSES) -> IcebergLake:
    """The lake of a catalog, once per process: manifests are immutable, so what was read of them stays true."""
    key = (tuple(sorted(properties.items())), granted)
    if key not in _lakes:
        _lakes[key] = IcebergLake(properties, granted=granted)
    return _lakes[key]


def _entry(data_file: "DataFile") -> Entry:
    unit, fingerprint, digest = parse_file_name(data_file.file_path)
    partition = tuple(str(data_file.partition[index]) for index in range(len(data_file.partition)))
    return Entry(
        unit, partition, fingerprint, digest, data_file.record_count, data_file.file_size_in_bytes, data_file.file_path
    )


def _data_file(entry: Entry, loaded: "IcebergTable") -> "DataFile":
    """Describe a staged file; a file without rows is legal and keeps its place in the ledger."""
    from pyiceberg.manifest import DataFile, DataFileContent, FileFormat
    from pyiceberg.typedef import Record

    return DataFile.from_args(
        content=DataFileContent.DATA,
        file_path=entry.path,
        file_format=FileFormat.PARQUET,
        partition=Record(*entry.partition),
        record_count=entry.rows,
        file_size_in_bytes=entry.size_bytes,
        column_sizes={},
        value_counts={},
        null_value_counts={},
        nan_value_counts={},
        lower_bounds={},
        upper_bounds={},
        split_offsets=None,
        sort_order_id=None,
        spec_id=loaded.spec().spec_id,
        equality_ids=None,
        key_metadata=None,
    )
