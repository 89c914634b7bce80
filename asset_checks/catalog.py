"""Gate of the catalog: the round trip between its rows and the bytes that they lead to."""

import json
import zipfile
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from asset_checks.gates import Gate
from fleet_assets.evidence.verdicts import Verdict
from fleet_assets.ingestion.integrity_and_pii_redaction.audit.operators import released_media
from fleet_assets.ingestion.metadata_extraction_and_catalog.coverage import Clocks
from fleet_assets.ingestion.metadata_extraction_and_catalog.operators import signals_address
from fleet_assets.ingestion.metadata_extraction_and_catalog.round_trip import (
    Claim,
    Span,
    Stored,
    round_trip_verdict,
)
from fleet_assets.ingestion.steps import CATALOG_STEP
from fleet_assets.provenance.fingerprints import gate_policy_digest
from fleet_assets.provenance.ledger import Partition
from fleet_assets.tables.audit import AUDITED_MEDIA
from fleet_assets.tables.catalog import CLIP_CATALOG
from fleet_assets.tables.redaction import REDACTED_MEDIA
from fleet_assets.tables.silver import CLOCK_MODELS, KEYFRAMES, LIDAR_SWEEPS
from resources.platform import Fleet

ROUND_TRIP_POLICY: Final = {"catalog": ("round_trip",)}
OPEN: Final = "open"
NS_PER_MS: Final = 1_000_000
CLAIMS: Final = (
    ("rows of signals", "signals_uri", "instants"),
    ("sweeps", "lidar_uris", "sweeps"),
    ("keyframes", "keyframe_uris", "keyframes"),
    ("media", "media_uris", None),
)
"""Kind of bytes, and the columns of the catalog with their addresses and their number."""
Clips = Mapping[str, list[tuple[str, int, int]]]
"""Drive → its clips with first instant and end."""


def judge_round_trip(fleet: Fleet, partition: Partition) -> Verdict:
    """Every row of the catalog leads to bytes of its own time, and all bytes of the partition are in the catalog."""
    wanted = fleet.wanted(CATALOG_STEP, partition)
    held = {entry.unit: entry.fingerprint for entry in fleet.lake.entries(CLIP_CATALOG, partition)}
    late = {unit for unit, made in wanted.units.items() if held.get(unit) != made.fingerprint}
    rows = fleet.lake.rows(CLIP_CATALOG, partition).to_pylist()
    clips: dict[str, list[tuple[str, int, int]]] = defaultdict(list)
    for row in rows:
        clips[row["drive_id"]].append((row["clip_id"], row["start_ns"], row["end_ns"]))
    return round_trip_verdict(
        [claim for row in rows for claim in _claims(row)],
        {
            **dict(_stored_signals(fleet, partition)),
            **dict(_stored_sweeps(fleet, partition)),
            **dict(_stored_keyframes(fleet, partition, clips)),
            **dict(_stored_media(fleet, partition, clips)),
        },
        late | set(wanted.waiting),
        tolerance_ns=round(fleet.policies["catalog"]["round_trip"]["time_tolerance_ms"] * NS_PER_MS),
        policy_digest=gate_policy_digest(ROUND_TRIP_POLICY, fleet.policies),
    )


def _claims(row: Mapping[str, Any]) -> Iterator[Claim]:
    for kind, addresses, count in CLAIMS:
        rows = None if count is None else row[count]
        if row[addresses] is not None or rows:
            named = tuple((row[addresses] or "").split())
            yield Claim(row["clip_id"], row["drive_id"], kind, named, row["start_ns"], row["end_ns"], rows)


def _spans(data: pa.Table) -> dict[str, Span]:
    """Number, first and last `t_ns` by clip."""
    grouped = data.group_by("clip_id", use_threads=False).aggregate(
        [("t_ns", name) for name in ("count", "min", "max")]
    )
    return {row["clip_id"]: Span(row["t_ns_count"], row["t_ns_min"], row["t_ns_max"]) for row in grouped.to_pylist()}


def _stored_signals(fleet: Fleet, partition: Partition) -> Iterator[tuple[str, Stored]]:
    """Data files of the signals, each read again."""
    signals = fleet.tables["silver.signals"]
    for entry in fleet.lake.entries(signals, partition):
        if not entry.rows:
            continue
        try:
            found = Stored(entry.unit, _spans(fleet.lake.read(signals, [entry], ["clip_id", "t_ns"])))
        except FileNotFoundError:
            found = Stored(entry.unit, {entry.unit: Span(0, 0, 0)}, "the file is gone")
        yield signals_address(entry), found


def _stored_sweeps(fleet: Fleet, partition: Partition) -> Iterator[tuple[str, Stored]]:
    """Arrays of the lidars: their times are those of the rows, as long as both have equally many sweeps."""
    sweeps = fleet.lake.rows(LIDAR_SWEEPS, partition, ["drive_id", "clip_id", "t_ns", "sha256", "uri"])
    for (drive, sha256, uri), rows in _grouped(sweeps, ("drive_id", "sha256", "uri")).items():
        problem = ""
        try:
            inside = sweeps_in(fleet.objects.local(sha256, OPEN))
            if inside != rows.num_rows:
                problem = f"{inside} sweeps are in it, {rows.num_rows} rows lead to it"
        except FileNotFoundError:
            problem = "the object is gone"
        yield uri, Stored(drive, _spans(rows), problem)


def sweeps_in(path: Path) -> int:
    """Sweeps in a file of arrays, by the length of the array of their first points."""
    with zipfile.ZipFile(path) as file:
        return int(json.loads(file.read("sweep_start/zarr.json"))["shape"][0]) - 1


def _stored_keyframes(fleet: Fleet, partition: Partition, clips: Clips) -> Iterator[tuple[str, Stored]]:
    """Shards of keyframes, their own times read again."""
    import pyarrow.parquet as pq

    keyframes = fleet.lake.rows(KEYFRAMES, partition, ["drive_id", "clip_id", "t_ns", "sha256", "uri"])
    for (drive, sha256, uri), rows in _grouped(keyframes, ("drive_id", "sha256", "uri")).items():
        try:
            t_ns = pq.read_table(fleet.objects.local(sha256, OPEN), columns=["t_ns"])["t_ns"].to_pylist()
        except FileNotFoundError:
            yield uri, Stored(drive, _spans(rows), "the object is gone")
            continue
        yield uri, Stored(drive, _by_clip(t_ns, clips.get(drive, [])))


def _by_clip(t_ns: list[int], clips: list[tuple[str, int, int]]) -> dict[str, Span]:
    own = {clip: [t for t in t_ns if start <= t < end] for clip, start, end in clips}
    return {clip: Span(len(found), min(found), max(found)) for clip, found in own.items() if found}


def _stored_media(fleet: Fleet, partition: Partition, clips: Clips) -> Iterator[tuple[str, Stored]]:
    """Redacted media, which belong to all clips that they overlap on corrected time; others are in no catalog."""
    models = fleet.lake.rows(CLOCK_MODELS, partition)
    columns = ["drive_id", "camera", "frames", "first_t_ns", "last_t_ns", "sha256", "uri"]
    media = fleet.lake.rows(REDACTED_MEDIA, partition, columns)
    for row in released_media(media, fleet.lake.rows(AUDITED_MEDIA, partition)).to_pylist():
        drive, own = row["drive_id"], models.filter(pc.equal(models["drive_id"], row["drive_id"]))
        ends = np.array([row["first_t_ns"], row["last_t_ns"]], dtype=np.int64)
        first_ns, last_ns = Clocks.of(own).corrected(row["camera"], ends).tolist()
        span = Span(row["frames"], first_ns, last_ns)
        spans = {clip: span for clip, start, end in clips.get(drive, []) if first_ns < end and last_ns >= start}
        problem = "" if fleet.objects.exists(row["sha256"], OPEN) else "the object is gone"
        yield row["uri"], Stored(drive, spans, problem)


def _grouped(data: pa.Table, keys: tuple[str, ...]) -> dict[tuple[str, ...], pa.Table]:
    """Rows by the values of some columns."""
    numbers: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for number, key in enumerate(zip(*(data[name].to_pylist() for name in keys), strict=True)):
        numbers[key].append(number)
    return {key: data.take(found) for key, found in numbers.items()}


def catalog_gates() -> list[Gate]:
    """The gate of the catalog."""
    return [
        Gate(
            CLIP_CATALOG,
            "round_trip",
            "Every row leads to bytes of its own time, and all bytes are in the catalog.",
            judge_round_trip,
            ROUND_TRIP_POLICY,
        )
    ]
