"""Registering one drive: copy and hash its files once, find its true start, write its rows."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from fleet_assets.ingestion.recordings.open import open_recording
from fleet_assets.ingestion.recordings.protocol import UnreadableRecordingError
from fleet_assets.ingestion.sensor_sync_and_format_conversion.start_time import DriveClock, NoClockError, probe_clock
from fleet_assets.ingestion.vehicle import Vehicle
from fleet_assets.policy.documents import InvalidPolicyError
from fleet_assets.policy.personal_text import READS
from fleet_assets.provenance.fingerprints import Operator
from fleet_assets.provenance.manifest import Manifest, RefusedUploadError, day_of
from fleet_assets.provenance.objects import ObjectMismatchError, ObjectRef, ObjectStore
from fleet_assets.provenance.platform import Landing
from fleet_assets.provenance.restate import Moved, UnitTask

REGISTER: Final = Operator(
    name="telemetry_and_bulk_ingestion.register",
    version=1,
    inputs=(),
    outputs=("bronze.drive_files", "bronze.drives"),
    policy={"vehicles/*": (), **READS},
    reads_requests=("retry",),
)


def _copy_files(manifest: Manifest, upload: str, landing: Landing, objects: ObjectStore) -> dict[str, Path]:
    """Bring all files into the object store; what is there already is not read again."""
    paths = {}
    for file in manifest.files:
        if not objects.exists(file.sha256, "raw"):
            objects.put(landing.file(upload, file.path), "raw", ObjectRef(file.sha256, file.size_bytes))
        paths[file.path] = objects.local(file.sha256, "raw")
    return paths


def _probe(task: UnitTask, manifest: Manifest, paths: Mapping[str, Path]) -> tuple[DriveClock, str]:
    """True start of the drive, and its recording format."""
    vehicle = task.context["vehicle"]
    if not isinstance(vehicle, Vehicle):
        rule, limit = "missing_dbc", "every DBC file of the spec is found"
        if isinstance(vehicle, InvalidPolicyError):
            rule, limit = "invalid_vehicle_spec", "a spec that does not contradict itself"
        raise RefusedUploadError(rule, manifest.vehicle_spec, limit, str(vehicle))
    recording = open_recording(paths, vehicle.spec.formats, vehicle.spec.table)
    try:
        given_ns = manifest.start_ns if manifest.time_source == "given" else None
        clock = probe_clock(recording, vehicle.spec, vehicle.dbcs, given_start_ns=given_ns)
        return clock, recording.format
    finally:
        recording.close()


def register_drive(task: UnitTask) -> Mapping[str, pa.Table] | Moved:
    """Rows of `bronze.drives` and `bronze.drive_files` for one admitted upload.

    A drive whose bytes break a rule is registered as rejected, with the reason, and without files: nothing downstream
    can pick it up, and nothing is dropped silently.
    """
    manifest: Manifest = task.context["manifest"]
    try:
        paths = _copy_files(manifest, task.context["upload"], task.context["landing"], task.context["objects"])
        clock, recording_format = _probe(task, manifest, paths)
        _check_day(clock, manifest, task.context["first_day"], task.context["last_day"])
    except ObjectMismatchError as error:
        return _rejected(task, manifest, f"{error.what}_mismatch: {error}")
    except (RefusedUploadError, UnreadableRecordingError, NoClockError, InvalidPolicyError) as error:
        return _rejected(task, manifest, str(error))
    day = day_of(clock.start_ns)
    keys = {"drive_id": manifest.drive_id, "day": day, "depot": manifest.depot}
    row = {
        **_row(manifest, keys),
        "format": recording_format,
        "start_ns": clock.start_ns,
        "end_ns": clock.end_ns,
        "duration_s": (clock.end_ns - clock.start_ns) / 1e9,
        "time_source": clock.time_source,
        "clock_offset_ns": clock.clock_offset_ns,
        "status": "landed",
        "reason": None,
    }
    files = [
        {**keys, "path": file.path, "bytes": file.size_bytes, "sha256": file.sha256, "format": recording_format}
        for file in manifest.files
    ]
    return _outputs(task, row, files)


def _check_day(clock: DriveClock, manifest: Manifest, first_day: str, last_day: str) -> None:
    day = day_of(clock.start_ns)
    if not first_day <= day <= last_day:
        raise RefusedUploadError(
            "corrected_start_out_of_range",
            f"{day} by {clock.time_source}, {manifest.day} by the manifest",
            f"{first_day} to {last_day}",
            "Lower `first_day` in FLEET_HOME/fleet.yaml, or give the start with `--start`.",
        )


def _row(manifest: Manifest, keys: Mapping[str, str]) -> dict[str, Any]:
    return {
        **keys,
        "vehicle_id": manifest.vehicle_id,
        "vehicle_spec": manifest.vehicle_spec,
        "bytes": manifest.size_bytes,
        "manifest_sha256": manifest.sha256,
        "revision": manifest.revision,
    }


def _rejected(task: UnitTask, manifest: Manifest, reason: str) -> Mapping[str, pa.Table] | Moved:
    keys = {"drive_id": manifest.drive_id, "day": manifest.day, "depot": manifest.depot}
    row = {
        **_row(manifest, keys),
        "format": "",
        "start_ns": manifest.start_ns,
        "end_ns": manifest.start_ns,
        "duration_s": 0.0,
        "time_source": manifest.time_source,
        "clock_offset_ns": 0,
        "status": "rejected",
        "reason": reason,
    }
    return _outputs(task, row, [])


def _outputs(task: UnitTask, row: dict[str, Any], files: list[dict[str, Any]]) -> Mapping[str, pa.Table] | Moved:
    outputs = {
        "bronze.drives": task.tables["bronze.drives"].from_rows([row]),
        "bronze.drive_files": task.tables["bronze.drive_files"].from_rows(files),
    }
    partition = (row["day"], row["depot"])
    return outputs if partition == task.partition else Moved(partition, outputs)
