"""Runs every operator's function on one fixed drive and takes the digest of each output table."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import Any

from fleet_assets.ingestion.steps import (
    ALIGN_STEP,
    DAY_STEP,
    DECODE_STEP,
    FIND_STEP,
    HOLD_BACK_STEP,
    REFUSE_STEP,
    REGISTER_STEP,
)
from fleet_assets.ingestion.telemetry_and_bulk_ingestion.admission import Refusal
from fleet_assets.ingestion.vehicle import vehicle_of
from fleet_assets.policy.documents import load_policies
from fleet_assets.provenance.digests import file_sha256
from fleet_assets.provenance.fingerprints import Operator, policy_digest
from fleet_assets.provenance.ledger import Entry
from fleet_assets.provenance.manifest import ManifestFile, make_manifest
from fleet_assets.provenance.restate import Moved, Step, UnitTask
from fleet_assets.tables import all_tables
from resources.data_files import DataFiles, parquet_bytes
from resources.landing import LocalLanding
from resources.objects import LocalObjects
from tests.harness import COMMA_SPEC, utc_ns
from tests.recordings_factory import write_comma2k19_drive

DRIVE = "golden"
PARTITION = ("2024-05-01", "north")
WRITER = "pyarrow"


class GoldenRun:
    """One drive through all operators, in order, without a lake: each output file is the next one's input."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.policies = folder, load_policies()
        self.tables = all_tables(self.policies["canonical_signals"])
        self.files = DataFiles({})
        self.entries: dict[str, Entry] = {}
        self.outputs: dict[str, dict[str, str]] = {}

    def run(self) -> dict[str, dict[str, Any]]:
        """Operator name → its version and the digest of each output table."""
        vehicle = vehicle_of(self.policies, COMMA_SPEC, [])
        objects = LocalObjects(str(self.folder / "objects"), ("raw",))
        landing, manifest = self._upload()
        days = {"first_day": "2024-04-01", "last_day": "2024-06-01"}
        registration = {
            "manifest": manifest,
            "upload": DRIVE,
            "vehicle": vehicle,
            "landing": landing,
            "objects": objects,
        }
        self._step(REGISTER_STEP, {**registration, **days})
        drive = self.files.read(self.tables["bronze.drives"], [self.entries["bronze.drives"]]).to_pylist()[0]
        context = {"drive": drive, "vehicle": vehicle, "objects": objects, "requests": []}
        for step in (DECODE_STEP, FIND_STEP, HOLD_BACK_STEP, ALIGN_STEP):
            self._step(step, context)
        self._step(
            DAY_STEP, {"entries": {name: [self.entries[name]] for name in DAY_STEP.operator.inputs}}, PARTITION[0]
        )
        refusal = Refusal("upload-1", None, "manifest_json", "list", "one JSON object", "Write the manifest again.")
        self._step(REFUSE_STEP, {"refused": [{**asdict(refusal), "scope": "upload"}]})
        steps = (REGISTER_STEP, DECODE_STEP, FIND_STEP, HOLD_BACK_STEP, ALIGN_STEP, DAY_STEP, REFUSE_STEP)
        return {
            step.operator.name: {
                "version": step.operator.version,
                "policy": policy_digest(step.operator, self.policies, COMMA_SPEC),
                "outputs": self.outputs[step.operator.name],
            }
            for step in steps
        }

    def _upload(self) -> tuple[LocalLanding, Any]:
        source = self.folder / "landing" / DRIVE
        files = write_comma2k19_drive(source, start_utc_ns=utc_ns("2024-05-01T08:00:00"), seconds=15, seed=7)
        listed = [ManifestFile(name, path.stat().st_size, file_sha256(path)) for name, path in sorted(files.items())]
        document = {
            "schema": "fleet.manifest/v1",
            "drive_id": DRIVE,
            "vehicle_id": "car1",
            "vehicle_spec": COMMA_SPEC,
            "depot": PARTITION[1],
            "start_ns": utc_ns("2024-05-01T08:00:00"),
            "time_source": "gnss",
            "files": [{"path": f.path, "bytes": f.size_bytes, "sha256": f.sha256} for f in listed],
        }
        return LocalLanding(self.folder / "landing"), make_manifest(document)

    def _step(self, step: Step, context: Mapping[str, Any], unit: str = DRIVE) -> None:
        inputs = {name: self.entries[name] for name in step.operator.inputs}
        task = UnitTask(unit, PARTITION, inputs, context, self.policies, self.tables, self.files)
        computed = step.compute(task)
        tables = computed.outputs if isinstance(computed, Moved) else computed
        digests = {}
        for name, data in tables.items():
            conformed = self.tables[name].conform(data)
            self.entries[name] = self.files.stage(str(self.folder / name), (), unit, "0" * 24, conformed)
            digests[name] = hashlib.sha256(parquet_bytes(conformed)).hexdigest()
        self.outputs[step.operator.name] = digests


def libraries(operators: Sequence[Operator]) -> dict[str, str]:
    """Versions of the numeric libraries that the operators name, and of the file writer."""
    names = {WRITER, *(name for operator in operators for name in operator.libraries)}
    return {name: metadata.version(name) for name in sorted(names)}


def judge(recorded: Mapping[str, Any], found: Mapping[str, Any]) -> list[str]:
    """What is wrong between the recorded digests and those found now, one sentence per operator."""
    problems = []
    for name in sorted({*recorded, *found}):
        before, after = recorded.get(name), found.get(name)
        if before is None or after is None:
            problems.append(f"{name} is {'new' if before is None else 'gone'}: run `make golden`.")
            continue
        same_output, same_version = before["outputs"] == after["outputs"], before["version"] == after["version"]
        if before["policy"] != after["policy"]:
            problems.append(f"{name}: a policy that it reads changed. If that is meant, run `make golden`.")
        elif same_version and not same_output:
            changed = [table for table, digest in after["outputs"].items() if before["outputs"].get(table) != digest]
            problems.append(
                f"{name}: output changed in {', '.join(changed)}, version did not. Bump its version or fix it."
            )
        elif not same_version and same_output:
            problems.append(f"{name}: version {after['version']} gives the same output as before. Take it back.")
        elif not same_version:
            problems.append(f"{name}: version and output changed. If that is meant, run `make golden`.")
    return problems
