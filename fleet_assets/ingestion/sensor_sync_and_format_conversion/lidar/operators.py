"""Operator of the lidars: a drive's packets and point clouds to sweeps in one file per lidar."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fleet_assets.ingestion.integrity_and_pii_redaction.quarantine import held_drives
from fleet_assets.ingestion.recordings.media import PayloadRecording
from fleet_assets.ingestion.recordings.open import open_recording
from fleet_assets.ingestion.recordings.protocol import Recording, UnreadableRecordingError
from fleet_assets.ingestion.sensor_sync_and_format_conversion.clock_model import ClockSegment, correct
from fleet_assets.ingestion.sensor_sync_and_format_conversion.lidar.lidar_drive import (
    LidarConversion,
    LidarJob,
    convert,
)
from fleet_assets.ingestion.vehicle import Vehicle
from fleet_assets.policy.lidar_calibration import CALIBRATIONS, parse_lidar_calibration
from fleet_assets.policy.personal_text import READS
from fleet_assets.policy.vehicles import SensorSpec
from fleet_assets.provenance.digests import file_sha256
from fleet_assets.provenance.fingerprints import Operator
from fleet_assets.provenance.objects import ObjectRef, ObjectStore
from fleet_assets.provenance.restate import UnitTask

LIDAR_KIND: Final = "lidar"
SWEEPS: Final = "silver.lidar_sweeps"
SHARDS: Final = "silver.lidar_shards"
KEYS: Final = ("drive_id", "day", "depot")
ACCESS: Final = "open"
"""Points show no face and no plate."""
_ALL: Final = np.iinfo(np.int64)
MAKE_SWEEPS: Final = Operator(
    name="sensor_sync_and_format_conversion.make_sweeps",
    version=1,
    inputs=(
        "bronze.drives",
        "bronze.drive_files",
        "bronze.integrity_findings",
        "bronze.quarantine",
        "silver.clips",
        "silver.clock_models",
    ),
    outputs=(SHARDS, SWEEPS),
    policy={
        "vehicles/*": (),
        f"{CALIBRATIONS}*": (),
        **READS,
        "lidar": ("clock_tolerance_ms", "silence_ms", "cloud_fields", "shards"),
    },
    libraries=("numpy", "zarr", "numcodecs"),
)


def make_sweeps(task: UnitTask) -> Mapping[str, pa.Table]:
    """Rows of `silver.lidar_sweeps` and `silver.lidar_shards` of one drive; none for one without clips or lidar."""
    drive, vehicle = task.context["drive"], task.context["vehicle"]
    nothing = {name: task.tables[name].empty() for name in MAKE_SWEEPS.outputs}
    held = drive["drive_id"] in held_drives(task.read("bronze.quarantine"))
    if drive["status"] != "landed" or held or not isinstance(vehicle, Vehicle):
        return nothing
    lidars = [sensor for sensor in vehicle.spec.sensors.values() if sensor.kind == LIDAR_KIND]
    if not lidars or not task.read("silver.clips", ["clip_id"]).num_rows:
        return nothing
    objects: ObjectStore = task.context["objects"]
    listed = task.read("bronze.drive_files", ["path", "sha256"]).to_pylist()
    files = {file["path"]: objects.local(file["sha256"], "raw") for file in listed}
    try:
        recording = open_recording(files, (drive["format"],), vehicle.spec.table)
    except UnreadableRecordingError:
        return nothing  # decoding the drive's signals states it, and the integrity rules name it
    try:
        with TemporaryDirectory(prefix="lidar-") as folder:
            return _converted(task, recording, lidars, objects, Path(folder))
    except UnreadableRecordingError:
        return nothing
    finally:
        recording.close()


def _converted(
    task: UnitTask, recording: Recording, lidars: Sequence[SensorSpec], objects: ObjectStore, folder: Path
) -> dict[str, pa.Table]:
    drive = task.context["drive"]
    keys = {key: drive[key] for key in KEYS}
    there = {channel.name for channel in recording.channels()}
    clocks = {sensor.name: _clock(task, sensor.name) for sensor in lidars}
    jobs = [
        LidarJob(
            sensor=sensor.name,
            channel=sensor.channel,
            calibration=_calibration(task, sensor),
            clip_of=partial(_clip_of, clocks[sensor.name], *_clips(task)),
            cuts=_cuts(task, sensor.name),
            path=folder / f"{index}.zip",
        )
        for index, sensor in enumerate(lidars)
        if sensor.channel in there and clocks[sensor.name] and isinstance(recording, PayloadRecording)
    ]
    converted: Sequence[LidarConversion] = []
    if jobs and isinstance(recording, PayloadRecording):
        converted = convert(recording, jobs, task.policies["lidar"], drive["clock_offset_ns"])
    shards, sweeps = [], []
    for conversion in converted:
        stored = _stored(conversion, objects)
        shards.append({**keys, **_shard_row(conversion, stored)})
        sweeps += [{**keys, **row} for row in _sweep_rows(conversion, stored, clocks[conversion.job.sensor])]
    return {SHARDS: task.tables[SHARDS].from_rows(shards), SWEEPS: task.tables[SWEEPS].from_rows(sweeps)}


def _calibration(task: UnitTask, sensor: SensorSpec) -> Any:
    if sensor.calibration is None:
        return None
    return parse_lidar_calibration(task.policies[f"{CALIBRATIONS}{sensor.calibration}"])


def _clock(task: UnitTask, sensor: str) -> tuple[ClockSegment, ...]:
    """The sensor's clock model; empty where it gave no message."""
    models = task.read("silver.clock_models")
    rows = models.filter(pc.equal(models["sensor"], sensor)).sort_by("segment").to_pylist()
    return tuple(ClockSegment(**{name: row[name] for name in ClockSegment.__slots__}) for row in rows)


def _clips(task: UnitTask) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any], list[str]]:
    clips = task.read("silver.clips", ["clip_id", "start_ns", "end_ns"]).sort_by("start_ns")
    return clips["start_ns"].to_numpy(), clips["end_ns"].to_numpy(), clips["clip_id"].to_pylist()


def _clip_of(
    clock: tuple[ClockSegment, ...],
    starts: np.ndarray[Any, Any],
    ends: np.ndarray[Any, Any],
    names: Sequence[str],
    t_ns: int,
) -> str | None:
    """Clip that holds an instant on the sensor's own clock."""
    at_ns = int(correct(np.array([t_ns], dtype=np.int64), clock)[0])
    index = int(np.searchsorted(starts, at_ns, side="right")) - 1
    return names[index] if index >= 0 and at_ns < ends[index] else None


def _cuts(task: UnitTask, sensor: str) -> list[tuple[int, int]]:
    """Stretches that findings cut from all of a sensor, both ends included."""
    findings = task.read("bronze.integrity_findings", ["sensor", "signal", "severity", "t_ns", "end_ns"])
    rows = findings.filter(pc.and_(pc.equal(findings["severity"], "cut"), pc.equal(findings["sensor"], sensor)))
    return [(row["t_ns"], row["end_ns"]) for row in rows.to_pylist() if row["signal"] is None]


def _stored(conversion: LidarConversion, objects: ObjectStore) -> ObjectRef | None:
    if not conversion.sweeps:
        return None
    path = conversion.job.path
    expected = ObjectRef(file_sha256(path), path.stat().st_size)
    return objects.put(path, ACCESS, expected)


def _address(stored: ObjectRef | None) -> dict[str, Any]:
    if stored is None:
        return {"uri": None, "sha256": None}
    return {"uri": f"objects://{ACCESS}/{stored.sha256}", "sha256": stored.sha256}


def _shard_row(conversion: LidarConversion, stored: ObjectRef | None) -> dict[str, Any]:
    account, calibration = conversion.account, conversion.job.calibration
    counts = ("messages", "broken_messages", "packets", "broken_packets", "broken_blocks")
    return {
        "sensor": conversion.job.sensor,
        "calibration": None if calibration is None else calibration.name,
        **{name: getattr(account, name) for name in counts},
        "sweeps": len(conversion.sweeps),
        "points": sum(sweep.points for sweep in conversion.sweeps),
        "cut_sweeps": account.cut_sweeps,
        "outside_sweeps": account.outside_sweeps,
        "problems": account.words(),
        "bytes": 0 if stored is None else stored.size_bytes,
        **_address(stored),
    }


def _sweep_rows(
    conversion: LidarConversion, stored: ObjectRef | None, clock: Sequence[ClockSegment]
) -> list[dict[str, Any]]:
    if not conversion.sweeps:
        return []
    begin, end = (
        correct(np.array([getattr(sweep, name) for sweep in conversion.sweeps], dtype=np.int64), clock).tolist()
        for name in ("t_ns", "end_ns")
    )
    return [
        {
            "clip_id": sweep.clip_id,
            "sensor": conversion.job.sensor,
            "sweep": number,
            "t_ns": begin[number],
            "end_ns": end[number],
            "points": sweep.points,
            "first_point": sweep.first_point,
            **_address(stored),
        }
        for number, sweep in enumerate(conversion.sweeps)
    ]
