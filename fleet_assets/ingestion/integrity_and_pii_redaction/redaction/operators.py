"""Operator of redaction: a drive's recorded pictures to redacted media, their boxes, and a statement about both."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import pyarrow as pa

from fleet_assets.ingestion.integrity_and_pii_redaction.redaction.camera import (
    Broken,
    CameraResult,
    RedactedFile,
    Redaction,
)
from fleet_assets.ingestion.integrity_and_pii_redaction.redaction.finders import open_finders, weight_digests
from fleet_assets.ingestion.integrity_and_pii_redaction.redaction.statement import media_name, report_statement
from fleet_assets.ingestion.media.pictures import camera_sources
from fleet_assets.ingestion.recordings.open import open_recording
from fleet_assets.ingestion.recordings.protocol import UnreadableRecordingError
from fleet_assets.ingestion.vehicle import Vehicle
from fleet_assets.policy.documents import digest_of
from fleet_assets.policy.personal_text import READS, TextRule, scrubbed
from fleet_assets.policy.vehicles import SensorSpec
from fleet_assets.provenance.digests import file_sha256
from fleet_assets.provenance.fingerprints import Operator, policy_digest
from fleet_assets.provenance.objects import ObjectRef, ObjectStore
from fleet_assets.provenance.restate import UnitTask
from fleet_assets.tables.redaction import REDACTED_MEDIA, REDACTION_BOXES, REDACTION_REPORT

CAMERA_KIND: Final = "camera"
KEYS: Final = ("drive_id", "day", "depot")
OPEN: Final = "open"
RECORDED: Final = "raw"
REDACTED: Final = "redacted"
QUARANTINED: Final = "quarantined"
ABSENT: Final = "absent"
POLICY: Final = "redaction"
_MISSING: Final = Broken(
    "presence",
    "no picture",
    "pictures of every camera that the vehicle spec requires",
    "Upload the recording again with its pictures, or set `required: false` for this camera in the vehicle spec.",
)
REDACT: Final = Operator(
    name="integrity_and_pii_redaction.redact",
    version=3,
    # The streams are not read: their counts are what the gate holds the pictures against.
    inputs=("bronze.drives", "bronze.drive_files", "bronze.sensor_streams"),
    outputs=(REDACTED_MEDIA.name, REDACTION_BOXES.name, REDACTION_REPORT.name),
    policy={POLICY: (), "media": (), "vehicles/*": (), **READS},
    libraries=("numpy", "scipy", "onnxruntime", "opencv-python-headless", "pillow", "av"),
    names_weights=(POLICY,),
)


def redact(task: UnitTask) -> Mapping[str, pa.Table]:
    """Rows of the three tables of one drive; none for a rejected one, or one whose vehicle has no camera."""
    drive, vehicle = task.context["drive"], task.context["vehicle"]
    nothing = {name: task.tables[name].empty() for name in REDACT.outputs}
    if drive["status"] != "landed" or not isinstance(vehicle, Vehicle):
        return nothing
    cameras = [sensor for sensor in vehicle.spec.sensors.values() if sensor.kind == CAMERA_KIND]
    if not cameras:
        return nothing
    finders = open_finders(task.policies[POLICY]["detectors"], task.context["weights"])
    objects: ObjectStore = task.context["objects"]
    with TemporaryDirectory(prefix="redaction-") as folder:
        results = _results(
            task, vehicle, cameras, Redaction(finders, task.policies[POLICY], task.policies["media"]), Path(folder)
        )
        media = [
            _media_row(result.camera, file, _stored(file.path, objects, RECORDED))
            for result in results
            for file in result.files
        ]
        boxes = [_box_row(result.camera, row) for result in results for row in result.boxes]
        report = _report_rows(task, results, media, boxes, Path(folder) / "statement.json")
    keys = {key: drive[key] for key in KEYS}
    rows = {REDACTED_MEDIA.name: media, REDACTION_BOXES.name: boxes, REDACTION_REPORT.name: report}
    return {name: task.tables[name].from_rows([{**keys, **row} for row in found]) for name, found in rows.items()}


def _results(
    task: UnitTask, vehicle: Vehicle, cameras: Sequence[SensorSpec], redaction: Redaction, folder: Path
) -> list[CameraResult]:
    """One result per camera of the spec."""
    drive, objects = task.context["drive"], task.context["objects"]
    listed = task.read("bronze.drive_files", ["path", "sha256"]).to_pylist()
    files = {file["path"]: objects.local(file["sha256"], RECORDED) for file in listed}
    try:
        recording = open_recording(files, (drive["format"],), vehicle.spec.table)
    except UnreadableRecordingError as error:
        return [_unreadable(camera.name, error) for camera in cameras]
    results = []
    try:
        sources = camera_sources(recording, vehicle.spec, drive["clock_offset_ns"])
        for camera in cameras:
            own = [source for source in sources if source.camera == camera.name]
            try:
                results.append(redaction.of_camera(own, folder) if own else CameraResult(camera.name))
            except UnreadableRecordingError as error:
                results.append(_unreadable(camera.name, error))
    finally:
        recording.close()
    required = {camera.name for camera in cameras if camera.required}
    for result in results:
        if result.camera in required and not result.source_frames and result.broken is None:
            result.broken = _MISSING
    return results


def _unreadable(camera: str, error: UnreadableRecordingError) -> CameraResult:
    remedy = "Upload the recording again; what can be read of it besides goes on."
    return CameraResult(camera, broken=Broken(error.rule, str(error), "a recording that can be read", remedy))


def _stored(path: Path, objects: ObjectStore, access: str) -> ObjectRef:
    """Put a file; media are of class raw until the audit lets them go."""
    return objects.put(path, access, ObjectRef(file_sha256(path), path.stat().st_size))


def _media_row(camera: str, file: RedactedFile, stored: ObjectRef) -> dict[str, Any]:
    written = file.written
    counted = ("media", "codec", "width", "height", "frames", "first_t_ns", "last_t_ns")
    return {
        "camera": camera,
        "part": file.part,
        **{name: getattr(written, name) for name in counted},
        "source_frames": file.source_frames,
        "blurred_frames": file.blurred_frames,
        "blurred_share": file.blurred / file.pixels,
        "bytes": stored.size_bytes,
        "sha256": stored.sha256,
        "uri": f"objects://{OPEN}/{stored.sha256}",
    }


def _box_row(camera: str, row: Any) -> dict[str, Any]:
    area = row.area
    return {
        "camera": camera,
        "part": row.part,
        "frame": row.frame,
        "t_ns": row.t_ns,
        "kind": area.kind,
        "track": area.track,
        "x_px": area.left,
        "y_px": area.top,
        "width_px": area.right - area.left,
        "height_px": area.bottom - area.top,
        "source": "detected" if area.detected else "tracked",
        "score": round(area.score, 4),
    }


def _camera_row(result: CameraResult) -> dict[str, Any]:
    by_kind = Counter(row.area.kind for row in result.boxes)
    words = "; ".join(f"{count} x {reason}" for reason, count in sorted(result.undecodable.items()))
    broken = result.broken
    status = QUARANTINED if broken else (REDACTED if result.files else ABSENT)
    return {
        "camera": result.camera,
        "status": status,
        **{name: getattr(broken, name, None) for name in ("rule", "value", "limit", "remedy")},
        "source_frames": result.source_frames,
        "frames": result.frames,
        "undecodable": sum(result.undecodable.values()),
        "problems": words or None,
        "searched_frames": result.searched,
        "boxes": len(result.boxes),
        "boxes_by_kind": json.dumps(dict(sorted(by_kind.items()))),
        "blurred_share": result.blurred_share,
    }


def _scrubbed(row: Mapping[str, Any], rule: TextRule) -> dict[str, Any]:
    """The row as the statement repeats it: foreign words say nothing about people."""
    texts = {name: scrubbed(row[name], rule)[0] for name in REDACTION_REPORT.free_texts if row[name] is not None}
    return {**row, **texts}


def _report_rows(
    task: UnitTask,
    results: Sequence[CameraResult],
    media: Sequence[Mapping[str, Any]],
    boxes: Sequence[Mapping[str, Any]],
    path: Path,
) -> list[dict[str, Any]]:
    """Rows of the report, each naming the statement about the whole drive, which is stored."""
    drive = task.context["drive"]
    detectors = weight_digests(task.policies[POLICY]["detectors"], task.context["weights"])
    rule = TextRule.from_policy(task.policies["privacy"]["text"])
    rows = [_scrubbed(_camera_row(result), rule) for result in results]
    decides = policy_digest(REDACT, task.policies, drive["vehicle_spec"])
    predicate = {
        "drive": {key: drive[key] for key in ("drive_id", "revision", "manifest_sha256", "start_ns", "end_ns")},
        "operator": REDACT.code_version,
        "detectors": detectors,
        "policyDigest": decides,
        "cameras": [{**row, "blurred_share": round(row["blurred_share"], 9)} for row in rows],
    }
    digests = {media_name(row["camera"], row["part"]): row["sha256"] for row in media}
    path.write_bytes(report_statement(digests, digest_of(list(boxes)), predicate).to_payload())
    common = {
        "detectors": json.dumps(detectors, sort_keys=True),
        "policy_digest": decides,
        "report_sha256": _stored(path, task.context["objects"], OPEN).sha256,
    }
    return [{**row, **common} for row in rows]
