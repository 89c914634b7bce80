"""What a table is: columns, order, constraints. One definition gives Arrow, Iceberg, generated checks and the docs.

Storage does not belong here (see `resources/lake.py`), nor does any rule that needs more than one row (see `evidence`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

_ARROW_TYPES: Final[Mapping[str, Any]] = {
    "string": pa.string(),
    "int32": pa.int32(),
    "int64": pa.int64(),
    "float64": pa.float64(),
    "bool": pa.bool_(),
    "list<float32>": pa.list_(pa.field("element", pa.float32(), nullable=False)),
}


class TableKind(StrEnum):
    """How a table is written, and with that what identity means for it."""

    BULK = "bulk"
    """One data file per (partition, drive); part of `fleet digest`."""
    ROLLUP = "rollup"
    """One data file per partition, derived from others; part of `fleet digest`."""
    LOG = "log"
    """Append-only record of what happened and when; carries wall-clock times, so outside identity."""


class SchemaMismatchError(ValueError):
    """Data that does not have the shape its table states."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column.

    Attributes:
        name: Column name; a unit ends it (`_ns`, `_mps`, …).
        type: Key of the type table above.
        description: What a value means.
        nullable: Whether a row may lack it.
        minimum: Smallest allowed value, inclusive.
        maximum: Largest allowed value, inclusive.
        values: Closed set of allowed values.
        free_text: Whether a person or a foreign program wrote it: what it says about people is replaced.
    """

    name: str
    type: str
    description: str
    nullable: bool = False
    minimum: float | None = None
    maximum: float | None = None
    values: tuple[str, ...] = ()
    free_text: bool = False

    @property
    def arrow_field(self) -> pa.Field:
        """Arrow field; nullability is stated, the description travels as metadata of the asset, not of the file."""
        return pa.field(self.name, _ARROW_TYPES[self.type], nullable=self.nullable)


PARTITION_COLUMNS: Final = (
    Column("drive_id", "string", "Drive that the row belongs to"),
    Column("day", "string", "UTC day of the drive's corrected start, YYYY-MM-DD"),
    Column("depot", "string", "Depot that the drive was offloaded at"),
)


def _cast(column: pa.ChunkedArray, wanted: pa.DataType) -> pa.ChunkedArray:
    """Cast losslessly; text may stay dictionary-encoded, which gives the same file for a fraction of the memory."""
    if pa.types.is_dictionary(column.type) and column.type.value_type == wanted:
        return column
    return column.cast(wanted)


def _decoded(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return column.cast(column.type.value_type) if pa.types.is_dictionary(column.type) else column


def _in_order(data: pa.Table, names: Sequence[str]) -> bool:
    """Whether rows surely lie in ascending order of these columns; to compare neighbours costs less than to sort."""
    tied = None
    for name in names if data.num_rows > 1 else ():
        column = data[name].combine_chunks()
        if column.null_count or pa.types.is_floating(column.type):
            return False
        if pa.types.is_dictionary(column.type):
            if pc.all(pc.equal(column.indices, column.indices[0])).as_py():
                continue
            column = column.dictionary_decode()
        same, falls = pc.equal(column[:-1], column[1:]), pc.greater(column[:-1], column[1:])
        if pc.any(falls if tied is None else pc.and_(falls, tied)).as_py():
            return False
        tied = same if tied is None else pc.and_(same, tied)
        if not pc.any(tied).as_py():
            return True
    return True


@dataclass(frozen=True, slots=True)
class Table:
    """One table of the lake.

    Attributes:
        key: (layer, name), which is the asset key and the Iceberg identifier.
        columns: All columns in file order. Bulk tables begin with `PARTITION_COLUMNS`.
        sort_by: The one row order of the table.
        unique: Columns that identify a row, empty where rows are a bag.
        kind: See `TableKind`.
        description: What one partition means.
        partition_by: Columns whose values are the partition.
        presorted: Operators deliver the rows in order (large tables: sorting text would cost more than decoding).
        personal: Whether rows say where a person was, so that no product is made of the table as it is.
    """

    key: tuple[str, str]
    columns: tuple[Column, ...]
    sort_by: tuple[str, ...]
    description: str
    unique: tuple[str, ...] = ()
    kind: TableKind = TableKind.BULK
    presorted: bool = False
    partition_by: tuple[str, ...] = ("day", "depot")
    personal: bool = False
    arrow_schema: pa.Schema = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        names = [column.name for column in self.columns]
        if unknown := (set(self.sort_by) | set(self.unique)) - set(names):
            raise SchemaMismatchError(f"{self.name}: sort or unique columns {sorted(unknown)} are not columns")
        object.__setattr__(self, "arrow_schema", pa.schema([column.arrow_field for column in self.columns]))

    @property
    def name(self) -> str:
        """Dotted name as SQL and the catalog use it."""
        return ".".join(self.key)

    @property
    def asset_key(self) -> str:
        """Slashed name as Dagster and people use it."""
        return "/".join(self.key)

    @property
    def free_texts(self) -> tuple[str, ...]:
        """Columns of free text."""
        return tuple(column.name for column in self.columns if column.free_text)

    def empty(self) -> pa.Table:
        """A table of this schema without rows."""
        return self.arrow_schema.empty_table()

    def from_rows(self, rows: list[dict[str, Any]]) -> pa.Table:
        """Build a conforming table from row dictionaries (small tables only)."""
        return self.conform(pa.Table.from_pylist(rows, schema=self.arrow_schema))

    def conform(self, data: pa.Table) -> pa.Table:
        """Put columns and rows in the table's own order and check nullability.

        Raises:
            SchemaMismatchError: On a missing or surplus column, a lossy type, or a null in a required column.
        """
        if set(data.column_names) != set(self.arrow_schema.names):
            missing = sorted(set(self.arrow_schema.names) - set(data.column_names))
            surplus = sorted(set(data.column_names) - set(self.arrow_schema.names))
            raise SchemaMismatchError(f"{self.name}: missing columns {missing}, unknown columns {surplus}")
        try:
            arrays = {field.name: _cast(data[field.name], field.type) for field in self.arrow_schema}
        except (pa.ArrowInvalid, ValueError) as error:
            raise SchemaMismatchError(f"{self.name}: {error}") from error
        ordered = pa.table(arrays).combine_chunks()
        for column in self.columns:
            if not column.nullable and ordered[column.name].null_count:
                raise SchemaMismatchError(f"{self.name}.{column.name}: null in a required column")
            if pa.types.is_list(column.arrow_field.type) and pc.list_flatten(ordered[column.name]).null_count:
                raise SchemaMismatchError(f"{self.name}.{column.name}: null among the numbers of a list")
        if self.sort_by and not self.presorted and not _in_order(ordered, self.sort_by):
            keys = pa.table({name: _decoded(ordered[name]) for name in self.sort_by})
            ordered = ordered.take(pc.sort_indices(keys, [(name, "ascending") for name in self.sort_by]))
        return ordered
