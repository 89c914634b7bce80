"""How a table may change: what was written before stays readable, and who reads it still finds what was promised.

Optional columns may be added, values and ranges may be widened, `int32` may become `int64`. Whatever takes something
away is a breach, each with the name of its rule. Who compares what with what is decided elsewhere: tests compare
definitions with the snapshot in the repository, the lake compares them with what it holds.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from fleet_assets.tables.schema import Table

WIDENED: Final = frozenset({("int32", "int64")})
"""Types that may become others without loss (Iceberg specification, schema evolution)."""
_LAYOUT: Final = ("kind", "partition_by", "sort_by", "unique")
_CONSTRAINTS: Final = ("values", "minimum", "maximum")


class IncompatibleSchemaError(ValueError):
    """A table that changed in a way that breaks what was written before."""

    def __init__(self, breaches: Iterable["Breach"]) -> None:
        self.breaches = tuple(breaches)
        super().__init__(self.breaches)

    def __str__(self) -> str:
        return "; ".join(str(breach) for breach in self.breaches)


@dataclass(frozen=True, slots=True)
class Breach:
    """One change that takes something away.

    Attributes:
        rule: Name of the rule.
        place: Table, or table and column.
        found: What changed.
        remedy: What to do instead.
    """

    rule: str
    place: str
    found: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.rule}: {self.place}: {self.found}. {self.remedy}"


def described(table: Table) -> dict[str, Any]:
    """What others rely on of a table, as JSON values."""
    return {
        "kind": table.kind.value,
        "partition_by": list(table.partition_by),
        "sort_by": list(table.sort_by),
        "unique": list(table.unique),
        "personal": table.personal,
        "columns": {
            column.name: {
                "type": column.type,
                "nullable": column.nullable,
                "values": list(column.values),
                "minimum": column.minimum,
                "maximum": column.maximum,
            }
            for column in table.columns
        },
    }


def breaches(before: Mapping[str, Mapping[str, Any]], after: Mapping[str, Mapping[str, Any]]) -> list[Breach]:
    """Every change of tables that takes something away.

    Args:
        before: Table → as `described` gave it then.
        after: The same now; tables that are new may have any shape.
    """
    found: list[Breach] = []
    for name, old in before.items():
        new = after.get(name)
        if new is None:
            found.append(Breach("dropped_table", name, "the table is gone", "Keep it, empty where nothing makes it."))
            continue
        found += _table_breaches(name, old, new)
        found += column_breaches(name, old["columns"], new["columns"])
    return found


def _table_breaches(name: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Breach]:
    for part in _LAYOUT:
        if old[part] != new[part]:
            yield Breach(
                "changed_layout",
                name,
                f"{part} was {old[part]}, is {new[part]}",
                "Make a new table under another name.",
            )
    if old["personal"] and not new["personal"]:
        yield Breach("opened_personal_data", name, "it is no longer personal", "Make a product table without it.")


def column_breaches(
    table: str, before: Mapping[str, Mapping[str, Any]], after: Mapping[str, Mapping[str, Any]]
) -> list[Breach]:
    """Every change of a table's columns that takes something away.

    Args:
        table: Dotted name of the table.
        before: Column → its `type`, whether it is `nullable`, and where known its constraints.
        after: The same now.
    """
    found = []
    for name, old in before.items():
        place, new = f"{table}.{name}", after.get(name)
        if new is None:
            found.append(
                Breach("dropped_column", place, "the column is gone", "Keep it, nullable where it is not made.")
            )
            continue
        found += _one_column(place, old, new)
    found += [
        Breach("required_column", f"{table}.{name}", "it is new and required", "Make it nullable: old files lack it.")
        for name, new in after.items()
        if name not in before and not new["nullable"]
    ]
    return found


def _one_column(place: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Breach]:
    types = (old["type"], new["type"])
    if types[0] != types[1] and types not in WIDENED:
        yield Breach("retyped_column", place, f"{types[0]} became {types[1]}", "Add a column of the new type instead.")
    if old["nullable"] and not new["nullable"]:
        yield Breach("narrowed_nulls", place, "it may no longer be null", "Leave it nullable: old files have nulls.")
    if all(part in old and part in new for part in _CONSTRAINTS):
        yield from _constraint_breaches(place, old, new)


def _constraint_breaches(place: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Breach]:
    lost = sorted(set(old["values"]) - set(new["values"])) if new["values"] else []
    if lost or (new["values"] and not old["values"]):
        told = f"{', '.join(lost)} may no longer occur" if lost else "its values were free and are a closed set now"
        yield Breach("narrowed_values", place, told, "Keep the values: old files have them.")
    for part, sign in (("minimum", 1), ("maximum", -1)):
        bound = new[part]
        if bound is not None and (old[part] is None or sign * bound > sign * old[part]):
            yield Breach(
                "narrowed_range", place, f"{part} was {old[part]}, is {bound}", "Keep the range: old files use it."
            )
