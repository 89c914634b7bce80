"""Gates of redaction: every picture of every camera is accounted for, and every report is signed."""

from typing import Any, Final

import pyarrow.compute as pc

from asset_checks.gates import Gate
from fleet_assets.evidence.verdicts import Verdict
from fleet_assets.ingestion.integrity_and_pii_redaction.redaction.operators import CAMERA_KIND, POLICY, RECORDED
from fleet_assets.ingestion.integrity_and_pii_redaction.redaction.signatures import (
    signature_problems,
    signature_unit,
)
from fleet_assets.ingestion.integrity_and_pii_redaction.redaction.verdicts import (
    CameraFacts,
    frames_verdict,
    signed_verdict,
)
from fleet_assets.ingestion.media.redacted import pictures_in
from fleet_assets.ingestion.steps import REDACT_STEP, read_state
from fleet_assets.ingestion.vehicle import Vehicle
from fleet_assets.provenance.fingerprints import gate_policy_digest
from fleet_assets.provenance.ledger import Partition
from fleet_assets.tables.bronze import DRIVES, SENSOR_STREAMS
from fleet_assets.tables.redaction import REDACTED_MEDIA, REDACTION_REPORT, REDACTION_SIGNATURES
from resources.platform import Fleet

LIMITS: Final = {POLICY: ("limits",)}


def judge_frames(fleet: Fleet, partition: Partition) -> Verdict:
    """Every picture that the readers count is in the redacted media or left out with a reason."""
    report = {(row["drive_id"], row["camera"]): row for row in fleet.lake.rows(REDACTION_REPORT, partition).to_pylist()}
    written: dict[tuple[str, str], int] = {}
    for row in fleet.lake.rows(REDACTED_MEDIA, partition).to_pylist():
        key = (row["drive_id"], row["camera"])
        written[key] = written.get(key, 0) + pictures_in(fleet.objects.local(row["sha256"], RECORDED), row["media"])
    wanted = fleet.wanted(REDACT_STEP, partition)
    held = {entry.unit: entry.fingerprint for entry in fleet.lake.entries(REDACTION_REPORT, partition)}
    waiting = set(wanted.waiting) | {name for name, made in wanted.units.items() if held.get(name) != made.fingerprint}
    cameras = _cameras(fleet, partition)
    recorded = {
        (row["drive_id"], row["sensor"]): row["messages"]
        for row in fleet.lake.rows(SENSOR_STREAMS, partition, ["drive_id", "sensor", "messages"]).to_pylist()
    }
    facts = [
        _facts(key, cameras.get(key, False), recorded.get(key), report.get(key), written.get(key, 0))
        for key in sorted({*cameras, *report, *written})
        if key[0] not in waiting
    ]
    return frames_verdict(facts, waiting, policy_digest=gate_policy_digest(LIMITS, fleet.policies))


def _facts(
    key: tuple[str, str], required: bool, recorded: int | None, row: dict[str, Any] | None, written: int
) -> CameraFacts:
    stated = row or {"status": None, "rule": None, "source_frames": 0, "undecodable": 0}
    return CameraFacts(
        name="/".join(key),
        required=required,
        recorded=recorded,
        status=stated["status"],
        reason=bool(stated["rule"]),
        source_frames=stated["source_frames"],
        undecodable=stated["undecodable"],
        written=written,
    )


def _cameras(fleet: Fleet, partition: Partition) -> dict[tuple[str, str], bool]:
    """Cameras of the landed drives' vehicle specs, and whether they are required."""
    drives = fleet.lake.rows(DRIVES, partition, ["drive_id", "status", "vehicle_spec"])
    state = read_state(fleet)
    found = {}
    for row in drives.filter(pc.equal(drives["status"], "landed")).to_pylist():
        vehicle = state.vehicle(row["vehicle_spec"])
        for sensor in vehicle.spec.sensors.values() if isinstance(vehicle, Vehicle) else ():
            if sensor.kind == CAMERA_KIND:
                found[row["drive_id"], sensor.name] = sensor.required
    return found


def judge_signatures(fleet: Fleet, partition: Partition) -> Verdict:
    """Every report of the partition is signed by the platform's key, and about the media that are there."""
    report = fleet.lake.rows(REDACTION_REPORT, partition).to_pylist()
    # Of the log, which grows for ever, only the platform's own signatures of these reports are read.
    key_id, verifier = (fleet.signing.signer().key_id, fleet.signing.verifier()) if report else ("", None)
    wanted = {signature_unit(row["report_sha256"], key_id) for row in report}
    own = [entry for entry in fleet.lake.entries(REDACTION_SIGNATURES) if entry.unit in wanted]
    problems, unsigned = signature_problems(
        report,
        fleet.lake.rows(REDACTED_MEDIA, partition).to_pylist(),
        fleet.lake.read(REDACTION_SIGNATURES, own).to_pylist(),
        verifier,
    )
    return signed_verdict(problems, unsigned, policy_digest=gate_policy_digest(LIMITS, fleet.policies))


def redaction_gates() -> list[Gate]:
    """The gates of redaction besides those that every table has."""
    return [
        Gate(
            REDACTED_MEDIA,
            "frames",
            "Every picture of every camera is in the redacted media, or left out with a reason.",
            judge_frames,
            LIMITS,
        ),
        Gate(REDACTION_REPORT, "signed", "Every report is signed, and about the media there.", judge_signatures),
    ]
