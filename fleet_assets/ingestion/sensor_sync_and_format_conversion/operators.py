"""Operators of workflow 3: decode a recording once, then align its signals."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from fleet_assets.ingestion.integrity_and_pii_redaction.privacy.positions import withhold
from fleet_assets.ingestion.integrity_and_pii_redaction.quarantine import held_drives
from fleet_assets.ingestion.recordings.open import open_recording
from fleet_assets.ingestion.recordings.protocol import UnreadableRecordingError
from fleet_assets.ingestion.sensor_series import SAMPLE_COLUMNS
from fleet_assets.ingestion.sensor_sync_and_format_conversion.align import align_drive
from fleet_assets.ingestion.sensor_sync_and_format_conversion.decode import decode_drive
from fleet_assets.ingestion.vehicle import Vehicle
from fleet_assets.policy.documents import InvalidPolicyError
from fleet_assets.policy.personal_text import READS
from fleet_assets.provenance.fingerprints import Operator
from fleet_assets.provenance.objects import ObjectStore
from fleet_assets.provenance.restate import UnitTask
from fleet_assets.tables.privacy import WITHHELD_POSITIONS

KEYS: Final = ("drive_id", "day", "depot")
INVALID_SPEC: Final = "invalid_vehicle_spec"
DECODE: Final = Operator(
    name="sensor_sync_and_format_conversion.decode",
    version=2,
    inputs=("bronze.drives", "bronze.drive_files"),
    outputs=("bronze.sensor_streams", "bronze.sensor_samples"),
    policy={"vehicles/*": (), "canonical_signals": ("signals",), **READS},
    libraries=("numpy", "cantools", "pyproj"),
)
ALIGN: Final = Operator(
    name="sensor_sync_and_format_conversion.align",
    version=3,
    inputs=(
        "bronze.drives",
        "bronze.sensor_samples",
        "bronze.sensor_streams",
        "bronze.integrity_findings",
        "bronze.quarantine",
    ),
    outputs=("silver.clips", "silver.clock_models", "silver.radar_tracks", "silver.signals", WITHHELD_POSITIONS.name),
    policy={
        "vehicles/*": (),
        "canonical_signals": (),
        "sync": ("clip_s", "clock", "skew"),
        "privacy": ("trip_ends",),
    },
    libraries=("numpy", "scipy", "h3"),
)


def decode(task: UnitTask) -> Mapping[str, pa.Table]:
    """Rows of `bronze.sensor_samples` and `bronze.sensor_streams` of one drive; none for a rejected one."""
    drive = task.context["drive"]
    nothing = {name: task.tables[name].empty() for name in DECODE.outputs}
    if drive["status"] != "landed":
        return nothing
    vehicle = task.context["vehicle"]
    if not isinstance(vehicle, Vehicle):
        rule = INVALID_SPEC if isinstance(vehicle, InvalidPolicyError) else "missing_dbc"
        return {**nothing, "bronze.sensor_streams": _unreadable(task, drive, rule, str(vehicle))}
    objects: ObjectStore = task.context["objects"]
    listed = task.read("bronze.drive_files", ["path", "sha256"]).to_pylist()
    files: dict[str, Path] = {file["path"]: objects.local(file["sha256"], "raw") for file in listed}
    try:
        recording = open_recording(files, (drive["format"],), vehicle.spec.table)
        try:
            samples, streams = decode_drive(
                recording,
                vehicle.spec,
                vehicle.canonical,
                vehicle.dbcs,
                clock_offset_ns=drive["clock_offset_ns"],
                drive_columns={key: drive[key] for key in KEYS},
            )
        finally:
            recording.close()
    except UnreadableRecordingError as error:
        return {**nothing, "bronze.sensor_streams": _unreadable(task, drive, error.rule, str(error))}
    except InvalidPolicyError as error:  # the spec names what its CAN databases do not have
        return {**nothing, "bronze.sensor_streams": _unreadable(task, drive, INVALID_SPEC, str(error))}
    return {"bronze.sensor_samples": samples, "bronze.sensor_streams": streams}


def _unreadable(task: UnitTask, drive: Mapping[str, Any], rule: str, message: str) -> pa.Table:
    """One stream row that says why nothing could be read; the integrity rules turn it into a finding."""
    row = {
        **{key: drive[key] for key in KEYS},
        "sensor": "recording",
        "messages": 0,
        "backward_steps": 0,
        "lost_bytes": drive["bytes"],
        "broken_rule": rule,
        "message": message,
    }
    return task.tables["bronze.sensor_streams"].from_rows([row])


def align(task: UnitTask) -> Mapping[str, pa.Table]:
    """Rows of the silver tables of one drive; none for a rejected or quarantined one."""
    drive, vehicle = task.context["drive"], task.context["vehicle"]
    held = drive["drive_id"] in held_drives(task.read("bronze.quarantine"))
    if drive["status"] != "landed" or held or not isinstance(vehicle, Vehicle):
        return {name: task.tables[name].empty() for name in ALIGN.outputs}
    aligned: Mapping[str, pa.Table] = align_drive(
        task.read("bronze.sensor_samples", SAMPLE_COLUMNS, encoded=True),
        task.read("bronze.sensor_streams"),
        task.read("bronze.integrity_findings"),
        vehicle.spec,
        vehicle.canonical,
        drive,
        task.tables["silver.signals"],
        policy=task.policies["sync"],
    )
    signals, stretches = withhold(aligned["silver.signals"], task.policies["privacy"]["trip_ends"], drive)
    return {**aligned, "silver.signals": signals, WITHHELD_POSITIONS.name: WITHHELD_POSITIONS.from_rows(stretches)}
