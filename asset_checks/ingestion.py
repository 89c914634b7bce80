"""Gates of the ingestion area: nothing vanishes, quarantine within policy, skew and coverage within bounds."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from asset_checks.gates import Gate
from fleet_assets.evidence.conservation import conservation, share_within
from fleet_assets.evidence.verdicts import Verdict
from fleet_assets.ingestion.integrity_and_pii_redaction.privacy.positions import measurable
from fleet_assets.ingestion.integrity_and_pii_redaction.quarantine import held_drives
from fleet_assets.ingestion.sensor_sync_and_format_conversion.coverage import coverage_verdict, skew_verdict
from fleet_assets.ingestion.sensor_sync_and_format_conversion.lidar.operators import LIDAR_KIND
from fleet_assets.ingestion.sensor_sync_and_format_conversion.lidar.verdict import lidar_verdict
from fleet_assets.ingestion.steps import (
    ALIGN_STEP,
    AUDIT_STEP,
    CATALOG_STEP,
    DECODE_STEP,
    DOCUMENT_STEP,
    FIND_STEP,
    HOLD_BACK_STEP,
    KEYFRAMES_STEP,
    REDACT_STEP,
    REGISTER_STEP,
    SWEEPS_STEP,
    read_state,
)
from fleet_assets.ingestion.vehicle import Vehicle
from fleet_assets.policy.canonical import parse_canonical_signals
from fleet_assets.policy.vehicles import VehicleSpec
from fleet_assets.provenance.fingerprints import gate_policy_digest
from fleet_assets.provenance.ledger import Partition
from fleet_assets.provenance.restate import Step
from fleet_assets.tables import Table
from fleet_assets.tables.audit import AUDITED_MEDIA
from fleet_assets.tables.bronze import DRIVES, INTEGRITY_FINDINGS, QUARANTINE, SENSOR_SAMPLES, SENSOR_STREAMS
from fleet_assets.tables.catalog import CLIP_CATALOG, SEARCH_DOCUMENTS
from fleet_assets.tables.privacy import WITHHELD_POSITIONS
from fleet_assets.tables.redaction import REDACTED_MEDIA
from fleet_assets.tables.silver import CLIPS, CLOCK_MODELS, KEYFRAMES, LIDAR_SHARDS, LIDAR_SWEEPS
from resources.platform import Fleet

SHARE_POLICY: Final = {"gates": ("quarantined_share",)}
COVERAGE_POLICY: Final = {"sync": ("coverage",)}
SKEW_POLICY: Final = {"sync": ("skew",)}


def _units(fleet: Fleet, table: Table, partition: Partition) -> set[str]:
    return {entry.unit for entry in fleet.lake.entries(table, partition)}


def judge_registration(fleet: Fleet, partition: Partition) -> Verdict:
    """Every admitted upload of the partition is registered, landed or rejected with a reason."""
    wanted = fleet.wanted(REGISTER_STEP, partition)
    rows = fleet.lake.rows(DRIVES, partition, ["drive_id", "status", "reason"]).to_pylist()
    rejected = {row["drive_id"] for row in rows if row["status"] == "rejected" and row["reason"]}
    landed = {row["drive_id"] for row in rows if row["status"] == "landed"}
    waiting = set(wanted.waiting) - landed - rejected
    incoming = set(wanted.units) | landed | rejected | waiting
    return conservation(incoming, landed, rejected, waiting, policy_digest=fleet.policies.digest("gates"))


def judge_step(step: Step, table: Table) -> Gate:
    """Every registered drive has its file in the table, up to date with its inputs."""

    def judge(fleet: Fleet, partition: Partition) -> Verdict:
        wanted = fleet.wanted(step, partition)
        held = {entry.unit: entry.fingerprint for entry in fleet.lake.entries(table, partition)}
        stale = [unit for unit, made in wanted.units.items() if held.get(unit, made.fingerprint) != made.fingerprint]
        return conservation(
            _units(fleet, DRIVES, partition),
            set(held) - set(stale),
            (),
            {*wanted.waiting, *stale},
            policy_digest=fleet.policies.digest("gates"),
        )

    return Gate(table, "conservation", f"Every registered drive has its outcome in {table.name}.", judge)


def judge_quarantined_share(fleet: Fleet, partition: Partition) -> Verdict:
    """The quarantined share of the partition's drives stays within policy."""
    held = held_drives(fleet.lake.rows(QUARANTINE, partition))
    drives = _units(fleet, DRIVES, partition)
    waiting = drives - _units(fleet, QUARANTINE, partition)
    policy = fleet.policies["gates"]["quarantined_share"]
    return share_within(
        len(held & drives),
        len(drives),
        len(waiting),
        max_share=policy["max_share"],
        confidence=policy["confidence"],
        policy_digest=gate_policy_digest(SHARE_POLICY, fleet.policies),
    )


def judge_silver(fleet: Fleet, partition: Partition) -> Verdict:
    """Landed drives = drives with signals + quarantined drives; a camera's or lidar's drive counts by its clips."""
    drives = fleet.lake.rows(DRIVES, partition, ["drive_id", "status", "vehicle_spec"])
    drives = drives.filter(pc.equal(drives["status"], "landed"))
    specs = dict(zip(drives["drive_id"].to_pylist(), drives["vehicle_spec"].to_pylist(), strict=True))
    landed = set(specs)
    signals = fleet.tables["silver.signals"]
    written = {entry.unit for entry in fleet.lake.entries(signals, partition) if entry.rows}
    silent = {name for name, spec in _specs(fleet, set(specs.values())).items() if not spec.gives_signals}
    clipped = {entry.unit for entry in fleet.lake.entries(CLIPS, partition) if entry.rows}
    written |= {unit for unit in clipped & landed if specs[unit] in silent}
    held = held_drives(fleet.lake.rows(QUARANTINE, partition)) & landed
    wanted = fleet.wanted(ALIGN_STEP, partition)
    fingerprints = {entry.unit: entry.fingerprint for entry in fleet.lake.entries(signals, partition)}
    stale = {unit for unit, made in wanted.units.items() if fingerprints.get(unit) != made.fingerprint}
    waiting = (set(wanted.waiting) | stale) & landed
    policy_digest = fleet.policies.digest("gates")
    return conservation(landed, written - waiting, held - waiting, waiting, policy_digest=policy_digest)


def judge_lidar(fleet: Fleet, partition: Partition) -> Verdict:
    """Every message of a clean drive's lidars is accounted for, and every sweep of a file has its row."""
    drives = _clean_drives(fleet, partition)
    specs = _specs(fleet, set(drives["vehicle_spec"].to_pylist()))
    spec_of = dict(zip(drives["drive_id"].to_pylist(), drives["vehicle_spec"].to_pylist(), strict=True))
    clipped = {entry.unit for entry in fleet.lake.entries(CLIPS, partition) if entry.rows}
    shards = fleet.lake.rows(LIDAR_SHARDS, partition).to_pylist()
    sweeps = Counter(
        (row["drive_id"], row["sensor"])
        for row in fleet.lake.rows(LIDAR_SWEEPS, partition, ["drive_id", "sensor"]).to_pylist()
    )
    return lidar_verdict(
        {
            (row["drive_id"], row["sensor"]): row["messages"]
            for row in fleet.lake.rows(SENSOR_STREAMS, partition).to_pylist()
            if row["messages"] and row["drive_id"] in clipped and _is_lidar(specs, spec_of, row)
        },
        {(row["drive_id"], row["sensor"]): (row["messages"], row["sweeps"]) for row in shards},
        sweeps,
        set(fleet.wanted(SWEEPS_STEP, partition).waiting) | (set(spec_of) - _units(fleet, LIDAR_SHARDS, partition)),
        policy_digest=fleet.policies.digest("gates"),
    )


def _is_lidar(specs: Mapping[str, VehicleSpec], spec_of: Mapping[str, str], row: Mapping[str, Any]) -> bool:
    spec = specs.get(spec_of.get(row["drive_id"], ""))
    return spec is not None and row["sensor"] in spec.sensors and spec.sensors[row["sensor"]].kind == LIDAR_KIND


def _specs(fleet: Fleet, names: set[str]) -> Mapping[str, VehicleSpec]:
    state = read_state(fleet)
    vehicles = {name: state.vehicle(name) for name in names}
    return {name: vehicle.spec for name, vehicle in vehicles.items() if isinstance(vehicle, Vehicle)}


def _clean_drives(fleet: Fleet, partition: Partition) -> pa.Table:
    """Rows of `bronze.drives` that are neither rejected nor quarantined."""
    held = held_drives(fleet.lake.rows(QUARANTINE, partition))
    drives = fleet.lake.rows(DRIVES, partition)
    keep = [
        row["status"] == "landed" and row["drive_id"] not in held
        for row in drives.select(["drive_id", "status"]).to_pylist()
    ]
    return drives.filter(pa.array(keep, pa.bool_()))


def judge_skew(fleet: Fleet, partition: Partition) -> Verdict:
    """Lag between sensors that measure the same quantity stays within the bound."""
    drives = _clean_drives(fleet, partition)
    return skew_verdict(
        fleet.lake.rows(CLOCK_MODELS, partition),
        drives,
        _specs(fleet, set(drives["vehicle_spec"].to_pylist())),
        fleet.policies["sync"],
        policy_digest=gate_policy_digest(SKEW_POLICY, fleet.policies),
    )


def measured_signals(fleet: Fleet, partition: Partition, columns: Sequence[str] | None = None) -> pa.Table:
    """Rows of `silver.signals` in which a position that is withheld counts as measured."""
    return measurable(
        fleet.lake.rows(fleet.tables["silver.signals"], partition, columns),
        fleet.lake.rows(WITHHELD_POSITIONS, partition),
        fleet.policies["privacy"]["trip_ends"]["signals"],
    )


def judge_coverage(fleet: Fleet, partition: Partition) -> Verdict:
    """Required signals cover enough of the partition's grid."""
    drives = _clean_drives(fleet, partition)
    canonical = parse_canonical_signals(fleet.policies["canonical_signals"], fleet.policies.digest("canonical_signals"))
    return coverage_verdict(
        measured_signals(fleet, partition),
        drives,
        _specs(fleet, set(drives["vehicle_spec"].to_pylist())),
        canonical,
        fleet.policies["sync"],
        policy_digest=gate_policy_digest(COVERAGE_POLICY, fleet.policies),
    )


def ingestion_gates(signals: Table) -> list[Gate]:
    """All gates of the area, in graph order."""
    return [
        Gate(DRIVES, "conservation", "Every admitted upload is landed, or rejected with a reason.", judge_registration),
        judge_step(DECODE_STEP, SENSOR_SAMPLES),
        judge_step(FIND_STEP, INTEGRITY_FINDINGS),
        judge_step(HOLD_BACK_STEP, QUARANTINE),
        Gate(
            QUARANTINE,
            "quarantined_share",
            "Not too many drives are quarantined.",
            judge_quarantined_share,
            SHARE_POLICY,
        ),
        judge_step(REDACT_STEP, REDACTED_MEDIA),
        judge_step(AUDIT_STEP, AUDITED_MEDIA),
        Gate(signals, "conservation", "Landed drives = drives with signals + quarantined drives.", judge_silver),
        Gate(signals, "coverage", "Required signals cover enough of the grid.", judge_coverage, COVERAGE_POLICY),
        judge_step(SWEEPS_STEP, LIDAR_SHARDS),
        Gate(LIDAR_SWEEPS, "conservation", "Every message of a lidar is accounted for.", judge_lidar),
        Gate(signals, "skew", "Sensors that measure the same agree in time.", judge_skew, SKEW_POLICY),
        judge_step(KEYFRAMES_STEP, KEYFRAMES),
        judge_step(CATALOG_STEP, CLIP_CATALOG),
        judge_step(DOCUMENT_STEP, SEARCH_DOCUMENTS),
    ]
