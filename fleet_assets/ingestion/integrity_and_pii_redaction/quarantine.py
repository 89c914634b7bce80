"""Which drives are held back, why, and who let them go.

Here belongs turning rejected drives and findings of severity `drive` into rows of `bronze.quarantine`. Reading releases
from requests and leaving drives out downstream belong to the assets.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from fleet_assets.ingestion.integrity_and_pii_redaction.findings import REMEDY_FOLLOWS
from fleet_assets.tables.bronze import QUARANTINE

DRIVE_SCOPE: Final = "drive"
REJECTED_RULE: Final = "landing"
_WHOLE_DRIVE: Final = "drive"
_SHOWN: Final = 5


def quarantine_rows(drives: pa.Table, findings: pa.Table, releases: Iterable[Mapping[str, str]]) -> pa.Table:
    """Make the quarantine of one partition.

    Args:
        drives: Rows of `bronze.drives`.
        findings: Rows of `bronze.integrity_findings` of these drives.
        releases: Mappings with `drive_id`, `scope`, `rule`, `by` and `reason`. Those that match no row do nothing: a
            release of a drive that breaks no rule any more has no object.

    Returns:
        Rows of `bronze.quarantine`, one per drive, scope and rule.
    """
    released = {
        (release["drive_id"], release["scope"], release["rule"]): f"{release['by']}: {release['reason']}"
        for release in sorted(releases, key=lambda release: sorted(release.items()))
    }
    rows = [_rejected(drive) for drive in drives.to_pylist() if drive["status"] == "rejected"]
    rows += _from_findings(findings)
    for row in rows:
        row["released_by"] = released.get((row["drive_id"], row["scope"], row["rule"]))
    return QUARANTINE.from_rows(rows)


def _partition(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: row[name] for name in ("drive_id", "day", "depot")}


def _rejected(drive: Mapping[str, Any]) -> dict[str, Any]:
    return {
        **_partition(drive),
        "scope": DRIVE_SCOPE,
        "rule": REJECTED_RULE,
        "value": drive["reason"] or "rejected without a reason",
        "limit": "an upload that breaks no rule of landing",
        "remedy": "Correct what the reason names and upload the drive again with a higher revision.",
        "first_seen_ns": drive["start_ns"],
    }


def _from_findings(findings: pa.Table) -> list[dict[str, Any]]:
    grave = findings.filter(pc.equal(findings["severity"], _WHOLE_DRIVE)).to_pylist()
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for finding in sorted(grave, key=lambda row: (row["t_ns"], row["sensor"], row["signal"] or "")):
        groups.setdefault((finding["drive_id"], finding["rule"]), []).append(finding)
    return [_grouped(rule, group) for (_, rule), group in groups.items()]


def _grouped(rule: str, group: list[dict[str, Any]]) -> dict[str, Any]:
    more = [f"and {len(group) - _SHOWN} more"] if len(group) > _SHOWN else []
    return {
        **_partition(group[0]),
        "scope": DRIVE_SCOPE,
        "rule": rule,
        "value": "; ".join([f"{_subject(row)}: {_text(row['value'])}" for row in group[:_SHOWN]] + more),
        "limit": "; ".join(dict.fromkeys(_text(row["limit"]) for row in group)),
        "remedy": group[0]["message"].rpartition(REMEDY_FOLLOWS)[2],
        "first_seen_ns": group[0]["t_ns"],
    }


def _subject(row: Mapping[str, Any]) -> str:
    return f"{row['sensor']}/{row['signal']}" if row["signal"] else str(row["sensor"])


def _text(number: float | None) -> str:
    return "none" if number is None else f"{number:.6g}"


def held_back(quarantine: pa.Table) -> frozenset[tuple[str, str]]:
    """(drive_id, scope) of everything that is held back and not released under every rule that it broke."""
    holding = quarantine.filter(pc.is_null(quarantine["released_by"]))
    return frozenset(zip(holding["drive_id"].to_pylist(), holding["scope"].to_pylist(), strict=True))


def held_drives(quarantine: pa.Table) -> frozenset[str]:
    """Drives that are held back as a whole."""
    return frozenset(drive_id for drive_id, scope in held_back(quarantine) if scope == DRIVE_SCOPE)
