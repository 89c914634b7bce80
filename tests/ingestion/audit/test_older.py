"""The ledger knows which drives an older detector released."""

import json
from typing import Any

from fleet_assets.ingestion.integrity_and_pii_redaction.audit.older import released_by_others

NOW = {"faces": "f2", "plates": "p1"}


def report(drive_id: str, **detectors: str) -> dict[str, Any]:
    keys = {"drive_id": drive_id, "day": "2024-05-01", "depot": "north", "camera": "front"}
    return {**keys, "detectors": json.dumps(detectors)}


def audited(drive_id: str, *, released: bool = True) -> dict[str, Any]:
    return {"drive_id": drive_id, "camera": "front", "released": released}


def test_drives_of_another_digest_are_named_with_both_digests() -> None:
    reports = [report("b", faces="f1", plates="p1"), report("a", faces="f2", plates="p1")]
    rows = released_by_others(reports, [audited("a"), audited("b")], NOW)
    assert rows == [
        {
            "drive_id": "b",
            "partition": "2024-05-01|north",
            "camera": "front",
            "detector": "faces",
            "released_by": "f1",
            "policy_names": "f2",
        }
    ]


def test_a_detector_that_came_or_went_counts_and_drives_that_nobody_released_do_not() -> None:
    reports = [report("a", faces="f2", signs="s1"), report("b", faces="f1", plates="p1"), report("c", faces="f0")]
    rows = released_by_others(reports, [audited("a"), audited("b", released=False)], NOW)
    assert [(row["detector"], row["released_by"], row["policy_names"]) for row in rows] == [
        ("plates", None, "p1"),
        ("signs", "s1", None),
    ]
    assert released_by_others([], [], NOW) == []
