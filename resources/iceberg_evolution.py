"""Evolution of an Iceberg table to its definition: what may change is added, what may not is refused before any write.

Which changes are allowed is in `fleet_assets/tables/evolution.py`.
"""

import contextlib
from typing import TYPE_CHECKING, Any, Final

from fleet_assets.tables import Table
from fleet_assets.tables.evolution import WIDENED, IncompatibleSchemaError, column_breaches, described

if TYPE_CHECKING:
    from pyiceberg.table import Table as IcebergTable

_TYPES: Final = {
    "string": "string",
    "int": "int32",
    "long": "int64",
    "double": "float64",
    "boolean": "bool",
    "list<float>": "list<float32>",
}
"""Iceberg's name of a type → that of the table definitions."""


def _held(loaded: "IcebergTable") -> dict[str, dict[str, Any]]:
    """Columns as the lake holds them."""
    return {
        field.name: {"type": _TYPES.get(str(field.field_type), str(field.field_type)), "nullable": not field.required}
        for field in loaded.schema().fields
    }


def evolve(loaded: "IcebergTable", table: Table) -> bool:
    """Bring a table of the lake to its definition: new columns, wider types, nulls where they are allowed now.

    Files that were written before stay as they are: a new column reads as null there, a wider type is widened.

    Args:
        loaded: The table in the lake.
        table: Its definition.

    Returns:
        Whether anything was changed.

    Raises:
        IncompatibleSchemaError: When the definition takes away what the lake holds; nothing is changed then.
    """
    held, wanted = _held(loaded), described(table)["columns"]
    if found := column_breaches(table.name, held, wanted):
        raise IncompatibleSchemaError(found)
    shapes = {name: {part: column[part] for part in ("type", "nullable")} for name, column in wanted.items()}
    if shapes == held:
        return False
    from pyiceberg.exceptions import CommitFailedException
    from pyiceberg.io.pyarrow import _pyarrow_to_schema_without_ids

    # Another writer may be first, and has the same to do.
    with contextlib.suppress(CommitFailedException), loaded.update_schema() as update:
        for field in _pyarrow_to_schema_without_ids(table.arrow_schema).fields:
            before = held.get(field.name)
            if before is None:
                update.add_column(field.name, field.field_type)
                continue
            if (before["type"], shapes[field.name]["type"]) in WIDENED:
                update.update_column(field.name, field_type=field.field_type)
            if not before["nullable"] and shapes[field.name]["nullable"]:
                update.update_column(field.name, required=False)
    return True
