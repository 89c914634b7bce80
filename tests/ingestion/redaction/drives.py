"""Runs the operator of redaction on a drive's files, without a lake."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fleet_assets.ingestion.integrity_and_pii_redaction.redaction.operators import REDACT, redact
from fleet_assets.ingestion.vehicle import vehicle_of
from fleet_assets.policy.documents import load_policies
from fleet_assets.provenance.digests import file_sha256
from fleet_assets.provenance.objects import ObjectRef
from fleet_assets.provenance.restate import UnitTask
from fleet_assets.tables import all_tables
from resources.data_files import DataFiles
from resources.objects import LocalObjects
from resources.weights import WeightStore
from tests.harness import utc_ns

START_NS = utc_ns("2024-05-01T08:00:00")
PARTITION = ("2024-05-01", "north")
POLICIES = load_policies()
TABLES = all_tables(POLICIES["canonical_signals"])


@dataclass(frozen=True)
class Redacted:
    """What the operator made of a drive.

    Attributes:
        media: Rows of `bronze.redacted_media`.
        boxes: Rows of `bronze.redaction_boxes`.
        report: Rows of `bronze.redaction_report`.
        objects: Store of the media.
    """

    media: list[dict[str, Any]]
    boxes: list[dict[str, Any]]
    report: list[dict[str, Any]]
    objects: LocalObjects

    def path(self, row: int = 0) -> Path:
        """File of redacted media; of class raw, since nobody has audited it."""
        return self.objects.local(self.media[row]["sha256"], "raw")


def redact_files(
    folder: Path, files: Mapping[str, Path], spec: str, form: str, *, status: str = "landed", offset_ns: int = 0
) -> Redacted:
    """Redact a drive of these files."""
    objects, data = LocalObjects(str(folder / "objects"), ("raw", "open")), DataFiles({})
    listed = []
    for name, path in sorted(files.items()):
        digest, size = file_sha256(path), path.stat().st_size
        objects.put(path, "raw", ObjectRef(digest, size))
        listed.append({"path": name, "bytes": size, "sha256": digest, "format": form})
    keys = {"drive_id": "drive", "day": PARTITION[0], "depot": PARTITION[1]}
    table = TABLES["bronze.drive_files"].from_rows([{**keys, **row} for row in listed])
    entry = data.stage(str(folder / "drive_files"), (), "drive", "0" * 24, table)
    drive = {
        **keys, "status": status, "format": form, "clock_offset_ns": offset_ns, "vehicle_spec": spec, "revision": 0,
        "manifest_sha256": "0" * 64, "start_ns": START_NS, "end_ns": START_NS + 10**9,
    }  # fmt: skip
    context = {
        "drive": drive, "vehicle": vehicle_of(POLICIES, spec, []), "objects": objects, "weights": WeightStore(POLICIES),
    }  # fmt: skip
    task = UnitTask("drive", PARTITION, {"bronze.drive_files": entry}, context, POLICIES, TABLES, data)
    tables = redact(task)
    media, boxes, report = (tables[name].to_pylist() for name in REDACT.outputs)
    return Redacted(media, boxes, report, objects)
