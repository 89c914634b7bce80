"""Telemetry messages and batches for tests: a schema of their own, messages that keep it, and ways to write them."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from fleet_assets.ingestion.telemetry_and_bulk_ingestion.telemetry.batches import Limits, ReadBatch, read_batch
from fleet_assets.ingestion.telemetry_and_bulk_ingestion.telemetry.judgement import Judged, judge_hour
from fleet_assets.policy.documents import Policies
from fleet_assets.policy.telemetry_schemas import Registry

T0_NS: Final = 1_714_550_400_000_000_000
"""2024-05-01T08:00:00Z."""
HOUR: Final = "2024-05-01-08:00"
HOUR_NS: Final = 3_600_000_000_000
TODAY: Final = "2024-05-02"
LIMITS: Final = Limits(1 << 20, 10_000, 1 << 12)
PROBE: Final[Mapping[str, Any]] = {
    "schema": "fleet.telemetry_schema/v1",
    "name": "probe",
    "description": "A schema for tests.",
    "versions": {
        "1.0.0": {
            "level": {"type": "number", "unit": "1", "range": [0, 10], "required": True, "description": "A level"},
            "note": {"type": "text", "max_length": 8, "description": "A note"},
        }
    },
}
REGISTRY: Final = Registry(Policies({"telemetry_schemas/probe": PROBE}))


def write_probe(policies: Path, **changed: Any) -> None:
    """Put the tests' schema into a fleet's own policies."""
    target = policies / "telemetry_schemas" / f"{changed.get('name', 'probe')}.yaml"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps({**PROBE, **changed}))


def message(message_id: str = "m1", t_ns: int = T0_NS, **changed: Any) -> dict[str, Any]:
    """A message that is taken."""
    body = {"message_id": message_id, "vehicle_id": "car1", "depot": "north", "schema": "probe/1.0.0", "t_ns": t_ns}
    return {**body, "payload": {"level": 1}, **changed}


def jsonl(messages: Iterable[Mapping[str, Any] | bytes]) -> bytes:
    """Messages as JSON Lines; bytes are lines as they stand."""
    return b"".join((m if isinstance(m, bytes) else json.dumps(m).encode()) + b"\n" for m in messages)


def read(folder: Path, content: bytes, limits: Limits = LIMITS) -> ReadBatch:
    """Read a batch of this content."""
    sha256 = hashlib.sha256(content).hexdigest()
    path = folder / sha256
    path.write_bytes(content)
    return read_batch(path, sha256, limits)


def put(home: Path, name: str, messages: Iterable[Mapping[str, Any] | bytes]) -> Path:
    """Put a batch into a fleet's landing zone as a vehicle would."""
    target = home / "landing" / "telemetry" / name
    target.parent.mkdir(parents=True, exist_ok=True)
    staged = target.with_name(f".incoming-{target.name}")
    staged.write_bytes(jsonl(messages))
    return staged.replace(target)


def judged(folder: Path, *messages: Mapping[str, Any], hour: str = HOUR) -> Judged:
    """Messages of one batch, judged under the tests' schema and the depot north."""
    rows = [{"hour": None, "rule": None, **row} for row in read(folder, jsonl(messages)).rows]
    return judge_hour(hour, [row for row in rows if row["hour"]], ("north",), REGISTRY)
