"""Operator of the keyframes: one drive's redacted media to pictures in shards and their rows.

Here belongs the way from the drive's tables to its objects. Which pictures are taken is decided in `selection.py`.
Nothing but redacted media is opened.
"""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from fleet_assets.ingestion.integrity_and_pii_redaction.audit.operators import released_media
from fleet_assets.ingestion.media.glances import Glance, glances
from fleet_assets.ingestion.sensor_sync_and_format_conversion.clock_model import ClockSegment, correct
from fleet_assets.ingestion.sensor_sync_and_format_conversion.keyframes.selection import KeyframeRules, Selector
from fleet_assets.ingestion.sensor_sync_and_format_conversion.keyframes.shards import ShardWriter
from fleet_assets.provenance.digests import file_sha256
from fleet_assets.provenance.fingerprints import Operator
from fleet_assets.provenance.objects import ObjectRef, ObjectStore
from fleet_assets.provenance.restate import UnitTask
from fleet_assets.tables.silver import KEYFRAMES

OPEN: Final = "open"
EVENTS: Final = "gold.event_windows"
_KEYS: Final = ("drive_id", "day", "depot")
_MB: Final = 1 << 20
_SEGMENT: Final = (
    "start_ns", "reference_ns", "offset_ns", "offset_se_ns", "drift_ppm", "drift_se_ppm", "jump_ns", "samples",
)  # fmt: skip
EXTRACT_KEYFRAMES: Final = Operator(
    name="sensor_sync_and_format_conversion.keyframes",
    version=2,
    # Events come from the mining area's table: nothing that it is made from reads keyframes.
    inputs=(
        "bronze.drives",
        "bronze.redacted_media",
        "bronze.redaction_report",
        "bronze.redaction_audit",
        "bronze.audited_media",
        "bronze.integrity_findings",
        "silver.clips",
        "silver.clock_models",
        EVENTS,
    ),
    outputs=(KEYFRAMES.name,),
    policy={"keyframes": ("every_ms", "events", "scene_change", "jpeg_quality", "shard_mb")},
    libraries=("numpy", "av", "pillow"),
)


class NoCameraClockError(Exception):
    """Redacted media of a camera that has no clock model, so that nothing says when its pictures were taken."""


@dataclass(frozen=True, slots=True)
class _Clips:
    """A drive's clips by start."""

    names: Sequence[str]
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]

    @classmethod
    def of(cls, table: pa.Table) -> "_Clips":
        ordered = table.sort_by("start_ns")
        starts, ends = (ordered[name].to_numpy().astype(np.int64) for name in ("start_ns", "end_ns"))
        return cls(ordered["clip_id"].to_pylist(), starts, ends)

    def at(self, t_ns: int) -> str | None:
        """Clip that holds an instant."""
        place = int(np.searchsorted(self.starts, t_ns, side="right")) - 1
        return self.names[place] if place >= 0 and t_ns < self.ends[place] else None


def extract_keyframes(task: UnitTask) -> Mapping[str, pa.Table]:
    """Rows of `silver.keyframes` of one drive; its shards are put into the object store.

    Raises:
        NoCameraClockError: When a camera has redacted media and no clock model.
    """
    media = _released(task)
    clips = _Clips.of(task.read("silver.clips", ["clip_id", "start_ns", "end_ns"]))
    if not media.num_rows or not len(clips.names):
        return {KEYFRAMES.name: KEYFRAMES.empty()}
    objects: ObjectStore = task.context["objects"]
    cuts = _cuts(task.read("bronze.integrity_findings", ["sensor", "signal", "severity", "t_ns", "end_ns"]))
    clocks = _clocks(task.read("silver.clock_models", ["sensor", "segment", *_SEGMENT]))
    policy = task.policies["keyframes"]
    rules = KeyframeRules.from_policy(policy)
    events_ns = _instants(task.read(EVENTS, list(rules.event_instants)))
    partition = {key: task.context["drive"][key] for key in _KEYS}

    def store(path: Path) -> str:
        reference = ObjectRef(file_sha256(path), path.stat().st_size)
        return objects.put(path, OPEN, reference).sha256

    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="keyframes-") as folder:
        shards = ShardWriter(Path(folder), policy["shard_mb"] * _MB, store)
        for camera, parts in _by_camera(media).items():
            if camera not in clocks:
                raise NoCameraClockError(
                    f"drive {partition['drive_id']}: camera {camera} has redacted media and no row in "
                    "silver.clock_models. Materialize silver/clock_models of this drive again"
                )
            seen = _shown(parts, objects, policy["jpeg_quality"], cuts.get(camera, ()))
            selector = Selector(rules, int(clips.starts[0]), events_ns)
            found = _camera_rows(camera, seen, clocks[camera], clips, selector, shards)
            rows += [{**partition, **row} for row in found]
        shards.close()
    placed = [
        {**row, "shard_row": number, "sha256": digest, "uri": f"objects://{OPEN}/{digest}"}
        for row, (digest, number) in zip(rows, shards.places, strict=True)
    ]
    return {KEYFRAMES.name: KEYFRAMES.from_rows(placed)}


def _released(task: UnitTask) -> pa.Table:
    """Redacted media that the report vouches for and the audit has let go."""
    media = task.read("bronze.redacted_media", ["camera", "media", "first_t_ns", "sha256"])
    report = task.read("bronze.redaction_report", ["camera", "status"])
    vouched = report.filter(pc.equal(report["status"], "redacted"))["camera"]
    media = media.filter(pc.is_in(media["camera"], vouched.combine_chunks()))
    return released_media(media, task.read("bronze.audited_media", ["sha256", "released"]))


def _by_camera(media: pa.Table) -> dict[str, list[dict[str, Any]]]:
    """Media of each camera in order of time."""
    ordered = media.sort_by([(name, "ascending") for name in ("camera", "first_t_ns", "sha256")])
    found: dict[str, list[dict[str, Any]]] = {}
    for row in ordered.to_pylist():
        found.setdefault(row["camera"], []).append(row)
    return found


def _clocks(models: pa.Table) -> dict[str, list[ClockSegment]]:
    found: dict[str, list[ClockSegment]] = {}
    for row in models.sort_by([("sensor", "ascending"), ("segment", "ascending")]).to_pylist():
        found.setdefault(row["sensor"], []).append(ClockSegment(**{name: row[name] for name in _SEGMENT}))
    return found


def _instants(events: pa.Table) -> NDArray[np.int64]:
    """Values of all columns, each once, in order of time."""
    columns = [column.to_numpy().astype(np.int64) for column in events.columns]
    return np.unique(np.concatenate(columns))


def _cuts(findings: pa.Table) -> dict[str, list[tuple[int, int]]]:
    """Stretches that findings cut from all of a sensor, both ends included."""
    found: dict[str, list[tuple[int, int]]] = {}
    for row in findings.to_pylist():
        if row["severity"] == "cut" and row["signal"] is None:
            found.setdefault(row["sensor"], []).append((row["t_ns"], row["end_ns"]))
    return found


def _shown(
    parts: Sequence[Mapping[str, Any]], objects: ObjectStore, quality: int, cuts: Sequence[tuple[int, int]]
) -> Iterator[Glance]:
    for part in parts:
        for glance in glances(objects.local(part["sha256"], OPEN), part["media"], part["first_t_ns"], quality):
            if not any(first <= glance.t_ns <= last for first, last in cuts):
                yield glance


def _camera_rows(  # noqa: PLR0917 - what is shown, what it is placed by, where it goes
    camera: str,
    seen: Iterator[Glance],
    segments: Sequence[ClockSegment],
    clips: _Clips,
    selector: Selector,
    shards: ShardWriter,
) -> Iterator[dict[str, Any]]:
    """Rows of one camera without their place in a shard; the pictures go into the shards."""
    for glance in seen:
        t_ns = int(correct(np.array([glance.t_ns], np.int64), segments)[0])
        clip = clips.at(t_ns)
        reason = selector.reason(t_ns, glance.cells) if clip is not None else None
        if reason is None:
            continue
        jpeg, width, height = glance.jpeg()
        digest = shards.add(camera, t_ns, jpeg, (width, height))
        row = {"clip_id": clip, "camera": camera, "t_ns": t_ns, "stamp_ns": glance.capture_ns, "frame": glance.index}
        yield {**row, "reason": reason, "width": width, "height": height, "jpeg_sha256": digest}
