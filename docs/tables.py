"""The reference of all tables, made from their schemas: `python -m docs.tables` writes docs/tables.md.

What is in a table is said in `fleet_assets/tables`, what guards it in `asset_checks`; nothing is said here twice.
"""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from fleet_assets.operators import STEPS
from fleet_assets.policy.documents import load_policies
from fleet_assets.tables import Column, Table, TableKind, all_tables

if TYPE_CHECKING:
    from asset_checks.gates import Gate

TARGET: Final = Path(__file__).with_name("tables.md")
_HEAD: Final = """\
# Tables

<!-- Made by `python -m docs.tables` from fleet_assets/tables. Do not edit. -->

Every table is an Iceberg table, a Dagster asset (`silver.signals` is `silver/signals`) and a view in `fleet sql`.
All times are integer nanoseconds, UTC. Units end the names: `_ns`, `_s`, `_m`, `_mps` (m/s), `_mps2` (m/s²), `_deg`,
`_radps` (rad/s), `_ppm`. The columns of `silver.signals` follow `policies/canonical_signals.yaml`; a fleet that changes
that document has other ones than these.

`bronze.drive_status` is a view over `bronze.drives` with the same columns. Its `status` is `rejected` (landing refused
it), `quarantined` (a rule holds it back), `clean` (it is in silver) or `landed` (not there yet); `reason` says why.
"""
_FILES: Final = {
    TableKind.BULK: "one per drive; in `fleet digest`",
    TableKind.ROLLUP: "one per partition; in `fleet digest`",
    TableKind.LOG: "one per event; outside `fleet digest`",
}


def _limits(column: Column) -> str:
    if column.values:
        return ", ".join(f"`{value}`" for value in column.values)
    bounds = ((column.minimum, "≥"), (column.maximum, "≤"))
    return ", ".join(f"{sign} {bound:g}" for bound, sign in bounds if bound is not None)


def _section(table: Table, gates: Sequence["Gate"]) -> Iterator[str]:
    makers = [step.operator.name for step in STEPS if table.name in step.operator.outputs]
    facts = {
        "Partition": " × ".join(table.partition_by) or "none",
        "Data files": _FILES[table.kind],
        "Row order": ", ".join(table.sort_by),
        "Unique": " + ".join(table.unique) or "–",
        **({"Personal data": "yes: of class `raw`, so that later areas cannot read it"} if table.personal else {}),
        "Made by": ", ".join(f"`{name}`" for name in makers) or "appended as it happens",
    }
    yield f"## {table.name}\n"
    yield f"{table.description}\n"
    yield from (f"- {name}: {text}" for name, text in facts.items())
    yield from (f"- Gate `{gate.name}`: {gate.description}" for gate in gates)
    yield "\n| column | type | null | meaning | allowed |"
    yield "|---|---|---|---|---|"
    for column in table.columns:
        null = "yes" if column.nullable else ""
        yield f"| `{column.name}` | {column.type} | {null} | {column.description} | {_limits(column)} |"
    yield ""


def tables_page() -> str:
    """The whole page in Markdown."""
    from fleet_assets.build import all_gates

    tables = all_tables(load_policies()["canonical_signals"])
    gates = all_gates(tables)
    lines = [_HEAD]
    for table in tables.values():
        lines += _section(table, [gate for gate in gates if gate.table.name == table.name])
    return "\n".join(lines)


def main() -> int:
    """Write the page."""
    TARGET.write_text(tables_page(), encoding="utf-8")
    print(f"wrote {TARGET}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
