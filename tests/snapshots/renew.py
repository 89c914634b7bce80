"""Writes the snapshots of assets and tables: `python -m tests.snapshots.renew`. Read the diff before you commit it.

A table that takes something away from what is committed is refused: what the test would name must not be renewed away.
Whoever really wants to begin anew deletes the file.
"""

import json
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

import dagster as dg

from fleet_assets.build import build_defs
from fleet_assets.policy.documents import load_policies
from fleet_assets.tables import all_tables
from fleet_assets.tables.evolution import breaches
from fleet_assets.tables.evolution import described as table_described
from resources.profiles import local_fleet

SNAPSHOT: Final = Path(__file__).with_name("asset_specs.json")
TABLES: Final = Path(__file__).with_name("tables.json")
RENEW: Final = "python -m tests.snapshots.renew"


def definitions(home: Path) -> dg.Definitions:
    """The local definitions of a new home."""
    return build_defs(profile="local", resource_overrides={"ingestion": local_fleet(home)})


def described(defs: dg.Definitions) -> dict[str, Any]:
    """What of every asset others rely on, by key."""
    checks = defs.resolve_asset_graph().asset_check_keys
    return {
        spec.key.to_user_string(): {
            "group": spec.group_name,
            "owners": list(spec.owners),
            "kinds": sorted(spec.kinds),
            "deps": {dep.asset_key.to_user_string(): _name(dep.partition_mapping) for dep in spec.deps},
            "code_version": spec.code_version,
            "partitions": _name(spec.partitions_def),
            "condition": spec.automation_condition.get_label() if spec.automation_condition else None,
            "gates": sorted(check.name for check in checks if check.asset_key == spec.key),
        }
        for spec in sorted(defs.resolve_all_asset_specs(), key=lambda spec: spec.key)
    }


def _name(thing: object) -> str | None:
    return None if thing is None else type(thing).__name__


def tables_described() -> dict[str, Any]:
    """What of every shipped table others rely on, by name."""
    tables = all_tables(load_policies()["canonical_signals"])
    return {name: table_described(table) for name, table in sorted(tables.items())}


def tables_text(tables: dict[str, Any]) -> str:
    """The snapshot of the tables as JSON, a line per column."""
    parts = []
    for name, table in tables.items():
        columns = ",\n".join(f"  {json.dumps(column)}: {json.dumps(body)}" for column, body in table["columns"].items())
        rest = json.dumps({part: value for part, value in table.items() if part != "columns"})
        parts.append(f'{json.dumps(name)}: {rest[:-1]}, "columns": {{\n{columns}\n}}}}')
    return "{\n" + ",\n".join(parts) + "\n}\n"


def main() -> None:
    """Write the snapshots."""
    with tempfile.TemporaryDirectory() as folder:
        text = json.dumps(described(definitions(Path(folder))), indent=2, sort_keys=True)
    SNAPSHOT.write_text(text + "\n")
    tables = tables_described()
    if TABLES.exists() and (found := breaches(json.loads(TABLES.read_text()), tables)):
        sys.exit("\n".join([*map(str, found), f"{TABLES.name} was not written. To begin anew, delete it."]))
    TABLES.write_text(tables_text(tables))


if __name__ == "__main__":
    main()
