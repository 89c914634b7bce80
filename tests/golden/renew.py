"""Rewrites `digests.json`: `make golden`. Read the difference before committing it.

An output that changed under an old version, and a new version of an equal output, are refused: what the test would name
must not be renewed away. Whoever really wants to begin anew deletes the file.
"""

import json
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from fleet_assets.operators import STEPS
from tests.golden.cases import GoldenRun, libraries
from tests.golden.judgement import judge

RECORD: Final = Path(__file__).with_name("digests.json")
RENEWABLE: Final = "run `make golden`."


def refusals(recorded: Mapping[str, Any], found: Mapping[str, Any]) -> list[str]:
    """What may not be renewed away. With other libraries every output may change."""
    if recorded["libraries"] != found["libraries"]:
        return []
    problems = judge(recorded["operators"], found["operators"])
    return [problem for problem in problems if not problem.endswith(RENEWABLE)]


def main() -> None:
    """Write the digests of the operators as they are now."""
    with tempfile.TemporaryDirectory() as folder:
        operators = GoldenRun(Path(folder)).run()
    document = {"libraries": libraries([step.operator for step in STEPS]), "operators": operators}
    if RECORD.exists() and (problems := refusals(json.loads(RECORD.read_text()), document)):
        sys.exit("\n".join([*problems, f"Nothing was written. To begin anew, delete {RECORD.name}."]))
    RECORD.write_text(json.dumps(document, indent=2) + "\n")
    print(f"wrote {RECORD.name}: {len(operators)} operators")


if __name__ == "__main__":
    main()
