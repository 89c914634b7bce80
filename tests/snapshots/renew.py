"""Writes the snapshot of the asset graph: `python -m tests.snapshots.renew`. Read the diff before you commit it."""

import json
import tempfile
from pathlib import Path
from typing import Any, Final

import dagster as dg

from fleet_assets.build import build_defs
from resources.profiles import local_fleet

SNAPSHOT: Final = Path(__file__).with_name("asset_specs.json")
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


def main() -> None:
    """Write the snapshot."""
    with tempfile.TemporaryDirectory() as folder:
        text = json.dumps(described(definitions(Path(folder))), indent=2, sort_keys=True)
    SNAPSHOT.write_text(text + "\n")


if __name__ == "__main__":
    main()
