"""Operator of the audit: a drive's redacted media to what a second detector sees in them, and to class open.

Redacted media are of class raw until the audit lets them go: what the auditor saw in them decides whether others may
open them, and a drive in which something is exposed is taken back. What is covered is not decided here.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import numpy as np
import pyarrow as pa

from fleet_assets.ingestion.integrity_and_pii_redaction.audit.looks import Auditor, Hit
from fleet_assets.ingestion.integrity_and_pii_redaction.audit.sampling import SampleRule, ends_of_tracks, sampled
from fleet_assets.ingestion.integrity_and_pii_redaction.audit.views import crop_of
from fleet_assets.ingestion.media.redacted import RedactedPictures
from fleet_assets.perception.runtime import single_threaded_opencv
from fleet_assets.perception.weights import WeightSource, named_weights
from fleet_assets.policy.documents import digest_of
from fleet_assets.provenance.fingerprints import Operator
from fleet_assets.provenance.objects import ObjectRef, ObjectStore
from fleet_assets.provenance.restate import UnitTask
from fleet_assets.tables.audit import AUDITED_MEDIA, REDACTION_AUDIT

POLICY: Final = "audit"
RELEASE: Final = "exposure_release"
"""Kind of the requests by which a person judges that a confirmed hit shows nobody."""
HELD: Final = "raw"
OPEN: Final = "open"
_KEYS: Final = ("drive_id", "day", "depot")
_MARGIN: Final = 0.5
"""What a crop shows around the hit, in its sizes."""
AUDIT: Final = Operator(
    name="integrity_and_pii_redaction.audit",
    version=3,
    inputs=("bronze.drives", "bronze.redacted_media", "bronze.redaction_boxes", "bronze.redaction_report"),
    outputs=(REDACTION_AUDIT.name, AUDITED_MEDIA.name),
    policy={POLICY: ("sample", "detectors", "objects")},
    libraries=("numpy", "onnxruntime", "opencv-python-headless", "pillow", "av"),
    reads_requests=(RELEASE,),
    names_weights=(POLICY,),
)
_auditors: dict[str, Auditor] = {}
"""By policy and weights: models are opened once per process."""


@dataclass(frozen=True, slots=True)
class _Seen:
    """What became of one file of media."""

    wanted: int
    looked_at: int
    tracks: int
    rows: Sequence[Mapping[str, Any]]


def audit(task: UnitTask) -> Mapping[str, pa.Table]:
    """Rows of both tables of one drive; its media are in class open afterwards, or not any more."""
    media = task.read("bronze.redacted_media").to_pylist()
    if not media:
        return {name: task.tables[name].empty() for name in AUDIT.outputs}
    objects: ObjectStore = task.context["objects"]
    boxes = task.read("bronze.redaction_boxes", ["camera", "part", "frame", "kind", "track"]).to_pylist()
    released = {request.body["crop_sha256"]: request.body for request in task.context["requests"]}
    keys = {key: task.context["drive"][key] for key in _KEYS}
    seen: dict[tuple[str, int], _Seen] = {}
    with TemporaryDirectory(prefix="audit-") as folder:
        for row in media:
            own = [box for box in boxes if (box["camera"], box["part"]) == (row["camera"], row["part"])]
            seen[row["camera"], row["part"]] = _looked_at(task, row, own, Path(folder))
    hits = [
        {**keys, "camera": camera, "part": part, **row, "released_by": _released_by(row, released)}
        for (camera, part), found in seen.items()
        for row in found.rows
    ]
    exposed = [row for row in hits if row["confirmed"] and row["released_by"] is None]
    _let_go(objects, media, is_clean=not exposed)
    redaction = _redaction_of(task)
    looked_with = json.dumps(_weight_digests(task), sort_keys=True)
    files = []
    for row in media:
        found, place = seen[row["camera"], row["part"]], (row["camera"], row["part"])
        files.append({
            **keys,
            **{name: row[name] for name in ("camera", "part", "sha256", "frames")},
            "wanted_frames": found.wanted,
            "looked_at": found.looked_at,
            "tracks": found.tracks,
            "hits": len(found.rows),
            "exposures": sum((hit["camera"], hit["part"]) == place for hit in exposed),
            "released": not exposed,
            "detectors": looked_with,
            "redaction": redaction[row["camera"]],
        })  # fmt: skip
    return {REDACTION_AUDIT.name: REDACTION_AUDIT.from_rows(hits), AUDITED_MEDIA.name: AUDITED_MEDIA.from_rows(files)}


def _looked_at(task: UnitTask, media: Mapping[str, Any], boxes: Sequence[Mapping[str, Any]], folder: Path) -> _Seen:
    objects: ObjectStore = task.context["objects"]
    path = objects.local(media["sha256"], HELD)
    pictures = RedactedPictures(path, media["camera"], media["media"], media["first_t_ns"])
    rule = SampleRule.from_policy(task.policies[POLICY]["sample"])
    wanted = sampled(pictures.numbers(), ends_of_tracks(boxes), rule, media["sha256"])
    auditor = _auditor(task)
    rows: list[dict[str, Any]] = []
    looked_at = 0
    for frame in pictures.chosen(wanted):
        looked_at += 1
        for hit in auditor(frame.bgr):
            place = _whole_pixels(hit, frame.bgr.shape)
            crop = _stored(crop_of(frame.bgr, hit.box.tolist(), _MARGIN), folder, objects)
            rows.append({"frame": frame.index, "t_ns": frame.t_ns, **_row(hit), **place, "crop_sha256": crop})
    shown = set(wanted)
    tracks = {(box["kind"], box["track"]) for box in boxes if box["frame"] in shown}
    return _Seen(len(wanted), looked_at, len(tracks), rows)


def _row(hit: Hit) -> dict[str, Any]:
    return {
        "detector": hit.detector,
        "kind": hit.kind,
        "score": round(hit.score, 4),
        "confirmed": hit.confirmed,
        "why": hit.why,
    }


def _whole_pixels(hit: Hit, shape: tuple[int, ...]) -> dict[str, int]:
    """The pixels that the hit touches, at least one."""
    low = np.minimum(np.floor(hit.box[:2]), [shape[1] - 1, shape[0] - 1]).astype(int)
    high = np.maximum(np.ceil(hit.box[2:]).astype(int), low + 1)
    return {
        "x_px": int(low[0]),
        "y_px": int(low[1]),
        "width_px": int(high[0] - low[0]),
        "height_px": int(high[1] - low[1]),
    }


def _stored(picture: Any, folder: Path, objects: ObjectStore) -> str:
    """Digest of the crop, put into class raw: a hit that is no exposure by the rules may still show somebody."""
    _, content = single_threaded_opencv().imencode(".png", picture)
    data = content.tobytes()
    path = folder / "crop.png"
    path.write_bytes(data)
    return objects.put(path, HELD, ObjectRef(hashlib.sha256(data).hexdigest(), len(data))).sha256


def _released_by(row: Mapping[str, Any], released: Mapping[str, Mapping[str, Any]]) -> str | None:
    judged = released.get(row["crop_sha256"]) if row["confirmed"] else None
    return None if judged is None else f"{judged['by']}: {judged['reason']}"


def _let_go(objects: ObjectStore, media: Sequence[Mapping[str, Any]], *, is_clean: bool) -> None:
    """Bring a drive's media into class open, or take them out of it."""
    for row in media:
        if is_clean:
            objects.put(objects.local(row["sha256"], HELD), OPEN, ObjectRef(row["sha256"], row["bytes"]))
        else:
            objects.delete(row["sha256"], OPEN)


def _redaction_of(task: UnitTask) -> dict[str, str]:
    """By camera the digest of what it was redacted with."""
    rows = task.read("bronze.redaction_report", ["camera", "detectors", "policy_digest"]).to_pylist()
    return {row["camera"]: redaction_digest(row["detectors"], row["policy_digest"]) for row in rows}


def redaction_digest(detectors: str, policy_digest: str) -> str:
    """What identifies a redaction: its detectors and what of the policies decides.

    Args:
        detectors: Column `detectors` of `bronze.redaction_report`.
        policy_digest: Column `policy_digest`.
    """
    return digest_of([json.loads(detectors), policy_digest])


def _weight_digests(task: UnitTask) -> dict[str, str]:
    weights: WeightSource = task.context["weights"]
    return {name: weights.digest(name) for name in sorted(set(named_weights(task.policies[POLICY])))}


def _auditor(task: UnitTask) -> Auditor:
    policy = task.policies[POLICY]
    identity = digest_of([policy["detectors"], policy["objects"], _weight_digests(task)])
    if identity not in _auditors:
        _auditors[identity] = Auditor(policy, task.context["weights"])
    return _auditors[identity]


def released_media(media: pa.Table, audited: pa.Table) -> pa.Table:
    """Rows of `bronze.redacted_media` that others may open.

    Args:
        media: Rows with `sha256`.
        audited: Rows of `bronze.audited_media` of the same drives.
    """
    let_go = {row["sha256"] for row in audited.select(["sha256", "released"]).to_pylist() if row["released"]}
    return media.filter(pa.array([sha256 in let_go for sha256 in media["sha256"].to_pylist()], pa.bool_()))
