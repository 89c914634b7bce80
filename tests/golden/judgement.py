"""What a change of golden digests means: meant, fed by a change before it, or an output that slipped."""

from collections.abc import Mapping
from typing import Any

from fleet_assets.operators import STEPS


def _changed(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Outputs of an operator that are not what they were."""
    return [table for table, digest in after["outputs"].items() if before["outputs"].get(table) != digest]


def _fed_by_changes(recorded: Mapping[str, Any], found: Mapping[str, Any]) -> set[str]:
    """Operators that are given something else than before, because one before them has a new version or policy."""
    fed: set[str] = set()
    moved: set[str] = set()
    for operator in (step.operator for step in STEPS):  # in graph order
        before, after = recorded.get(operator.name), found.get(operator.name)
        if before is None or after is None:
            continue
        changed = {table.rpartition(": ")[2] for table in _changed(before, after)}
        meant = any(before[key] != after[key] for key in ("version", "policy"))
        if moved.intersection(operator.inputs):
            fed.add(operator.name)
        if meant or operator.name in fed:
            moved |= changed
    return fed


def judge(recorded: Mapping[str, Any], found: Mapping[str, Any]) -> list[str]:
    """What is wrong between the recorded digests and those found now, one sentence per operator."""
    problems = []
    fed = _fed_by_changes(recorded, found)
    for name in sorted({*recorded, *found}):
        before, after = recorded.get(name), found.get(name)
        if before is None or after is None:
            problems.append(f"{name} is {'new' if before is None else 'gone'}: run `make golden`.")
            continue
        same_output, same_version = before["outputs"] == after["outputs"], before["version"] == after["version"]
        if before["policy"] != after["policy"]:
            problems.append(f"{name}: a policy that it reads changed. If that is meant, run `make golden`.")
        elif same_version and not same_output and name in fed:
            problems.append(f"{name}: its output changed with its inputs. If that is meant, run `make golden`.")
        elif same_version and not same_output:
            changed = ", ".join(_changed(before, after))
            problems.append(f"{name}: output changed in {changed}, version did not. Bump its version or fix it.")
        elif not same_version and same_output:
            problems.append(f"{name}: version {after['version']} gives the same output as before. Take it back.")
        elif not same_version:
            problems.append(f"{name}: version and output changed. If that is meant, run `make golden`.")
    return problems
