"""Which drives an older detector released: what the reports say against what the policy names now. Pure."""

import json
from collections.abc import Iterable, Mapping
from typing import Any


def released_by_others(
    report: Iterable[Mapping[str, Any]], audited: Iterable[Mapping[str, Any]], now: Mapping[str, str]
) -> list[dict[str, Any]]:
    """Drives whose media others may open, and which were redacted with other detectors than the policy's.

    Args:
        report: Rows of `bronze.redaction_report`.
        audited: Rows of `bronze.audited_media`.
        now: Digest by name of the weights that the policy names.

    Returns:
        By drive, camera and detector: the digest that released it and the one that the policy names (None where the
        policy names no such detector any more, or the drive was redacted without it). The restatement sweep redacts and
        audits these drives again; until then this list says which.
    """
    let_go = {(row["drive_id"], row["camera"]) for row in audited if row["released"]}
    rows = []
    for row in report:
        if (row["drive_id"], row["camera"]) not in let_go:
            continue
        then: Mapping[str, str] = json.loads(row["detectors"])
        rows += [
            {
                "drive_id": row["drive_id"],
                "partition": f"{row['day']}|{row['depot']}",
                "camera": row["camera"],
                "detector": name,
                "released_by": then.get(name),
                "policy_names": now.get(name),
            }
            for name in sorted({*then, *now})
            if then.get(name) != now.get(name)
        ]
    return sorted(rows, key=lambda one: (one["partition"], one["drive_id"], one["camera"], one["detector"]))
