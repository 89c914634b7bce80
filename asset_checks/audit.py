"""Gate of the audit: nothing is exposed in redacted media, as far as a second detector sees."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Final

from asset_checks.gates import Gate
from fleet_assets.evidence.verdicts import Verdict
from fleet_assets.ingestion.integrity_and_pii_redaction.audit.exposure import (
    AuditedDrive,
    ExposureRule,
    exposure_verdict,
)
from fleet_assets.ingestion.integrity_and_pii_redaction.audit.operators import POLICY
from fleet_assets.ingestion.steps import AUDIT_STEP
from fleet_assets.provenance.fingerprints import gate_policy_digest
from fleet_assets.provenance.ledger import Entry, Partition
from fleet_assets.tables.audit import AUDITED_MEDIA, REDACTION_AUDIT
from resources.platform import Fleet

_READ_AT_ONCE: Final = 256
"""Data files of one read; a window may take thousands."""
EXPOSURE_POLICY: Final = {POLICY: ("exposure", "recall")}


def judge_exposure(fleet: Fleet, partition: Partition) -> Verdict:
    """Nothing is exposed in the partition's media, and the fleet's redaction keeps within its limits."""
    wanted = fleet.wanted(AUDIT_STEP, partition)
    held = {entry.unit: entry.fingerprint for entry in fleet.lake.entries(AUDITED_MEDIA, partition)}
    waiting = set(wanted.waiting) | {name for name, made in wanted.units.items() if held.get(name) != made.fingerprint}
    own = fleet.lake.rows(AUDITED_MEDIA, partition).to_pylist()
    policy = fleet.policies[POLICY]
    return exposure_verdict(
        audited_drives(row for row in own if row["drive_id"] not in waiting),
        waiting,
        audited_drives(_window(fleet, {row["redaction"] for row in own}, policy["exposure"]["window_drives"])),
        ExposureRule.from_policy(policy),
        policy_digest=gate_policy_digest(EXPOSURE_POLICY, fleet.policies),
    )


def _window(fleet: Fleet, redactions: set[str], most: int) -> list[Mapping[str, Any]]:
    """Rows of the last drives with media that were redacted like those of the partition."""
    return [row for rows in islice(_newest_first(fleet, redactions), most) for row in rows]


def _newest_first(fleet: Fleet, redactions: set[str]) -> Iterator[list[Mapping[str, Any]]]:
    """Rows drive by drive, of as many files as are asked for."""
    entries: Sequence[Entry] = [entry for entry in fleet.lake.entries(AUDITED_MEDIA) if entry.rows]
    newest = sorted(entries, key=lambda one: (one.partition, one.unit), reverse=True)
    for first in range(0, len(newest), _READ_AT_ONCE):
        some = newest[first : first + _READ_AT_ONCE]
        by_drive: dict[str, list[Mapping[str, Any]]] = {entry.unit: [] for entry in some}
        for row in fleet.lake.read(AUDITED_MEDIA, some).to_pylist():
            if row["redaction"] in redactions:
                by_drive[row["drive_id"]].append(row)
        yield from (rows for rows in by_drive.values() if rows)


def audited_drives(rows: Any) -> list[AuditedDrive]:
    """Rows of `bronze.audited_media`, summed up by drive."""
    by_drive: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for row in rows:
        by_drive[row["drive_id"]].append(row)
    return [
        AuditedDrive(
            drive_id,
            wanted=sum(row["wanted_frames"] for row in own),
            looked_at=sum(row["looked_at"] for row in own),
            tracks=sum(row["tracks"] for row in own),
            exposures=sum(row["exposures"] for row in own),
            questions=sum(row["hits"] - row["exposures"] for row in own),
        )
        for drive_id, own in sorted(by_drive.items())
    ]


def audit_gates() -> list[Gate]:
    """The gate of the audit besides those that every table has."""
    description = "Nothing is exposed in redacted media, as far as a second detector sees."
    return [Gate(REDACTION_AUDIT, "exposure", description, judge_exposure, EXPOSURE_POLICY)]
