"""Rewrites `digests.json`: `make golden`. Read the difference before committing it."""

import json
import tempfile
from pathlib import Path

from fleet_assets.operators import STEPS
from tests.golden.cases import GoldenRun, libraries

RECORD = Path(__file__).with_name("digests.json")


def main() -> None:
    """Write the digests of the operators as they are now."""
    with tempfile.TemporaryDirectory() as folder:
        operators = GoldenRun(Path(folder)).run()
    document = {"libraries": libraries([step.operator for step in STEPS]), "operators": operators}
    RECORD.write_text(json.dumps(document, indent=2) + "\n")
    print(f"wrote {RECORD.name}: {len(operators)} operators")


if __name__ == "__main__":
    main()
