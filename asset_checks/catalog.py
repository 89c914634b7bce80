"""Gate of the catalog: the round trip between its rows and the bytes that they lead to."""

import zipfile
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from asset_checks.gates import Gate
from fleet_assets.evidence.verdicts import Verdict
from fleet_assets.ingestion.integrity_and_pii_redaction.audit.operators import released_media
from fleet_assets.ingestion.media.times import UNREADABLE, media_times
from fleet_assets.ingestion.metadata_extraction_and_catalog.coverage import Clocks
from fleet_assets.ingestion.metadata_extraction_and_catalog.operators import signals_address
from fleet_assets.ingestion.metadata_extraction_and_catalog.round_trip import (
    Claim,
    Span,
    Stored,
    media_problem,
    round_trip_verdict,
    sweeps_problem,
)
from fleet_assets.ingestion.sensor_sync_and_format_conversion.lidar.zarr_shards import sweep_starts
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
GONE, DAMAGED = "the object is gone", "the object cannot be read"
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
    """Arrays of the lidars, which say where each sweep begins and ends; its instant is in its row alone."""
    columns = ["drive_id", "clip_id", "sweep", "t_ns", "first_point", "points", "sha256", "uri"]
    sweeps = fleet.lake.rows(LIDAR_SWEEPS, partition, columns)
    for (drive, sha256, uri), rows in _grouped(sweeps, ("drive_id", "sha256", "uri")).items():
        ordered = rows.sort_by("sweep")
        said = [ordered[name].to_numpy() for name in ("first_point", "points")]
        try:
            problem = sweeps_problem(sweep_starts(fleet.objects.local(sha256, OPEN)), *said)
        except FileNotFoundError:
            problem = GONE
        except zipfile.BadZipFile:
            problem = DAMAGED
        yield uri, Stored(drive, _spans(rows), problem)


def _stored_keyframes(fleet: Fleet, partition: Partition, clips: Clips) -> Iterator[tuple[str, Stored]]:
    """Shards of keyframes, their own times read again."""
    import pyarrow.parquet as pq

    keyframes = fleet.lake.rows(KEYFRAMES, partition, ["drive_id", "clip_id", "t_ns", "sha256", "uri"])
    for (drive, sha256, uri), rows in _grouped(keyframes, ("drive_id", "sha256", "uri")).items():
        try:
            t_ns = pq.read_table(fleet.objects.local(sha256, OPEN), columns=["t_ns"])["t_ns"].to_pylist()
        except FileNotFoundError:
            yield uri, Stored(drive, _spans(rows), GONE)
            continue
        yield uri, Stored(drive, _by_clip(t_ns, clips.get(drive, [])))


def _by_clip(t_ns: list[int], clips: list[tuple[str, int, int]]) -> dict[str, Span]:
    own = {clip: [t for t in t_ns if start <= t < end] for clip, start, end in clips}
    return {clip: Span(len(found), min(found), max(found)) for clip, found in own.items() if found}


def _stored_media(fleet: Fleet, partition: Partition, clips: Clips) -> Iterator[tuple[str, Stored]]:
    """Redacted media, which belong to all clips that they overlap on corrected time; others are in no catalog.

    A video says how many pictures it has and how long they take; when it began is in its row alone.
    """
    models = fleet.lake.rows(CLOCK_MODELS, partition)
    columns = ["drive_id", "camera", "media", "frames", "first_t_ns", "last_t_ns", "sha256", "uri"]
    media = fleet.lake.rows(REDACTED_MEDIA, partition, columns)
    for row in released_media(media, fleet.lake.rows(AUDITED_MEDIA, partition)).to_pylist():
        drive, own = row["drive_id"], models.filter(pc.equal(models["drive_id"], row["drive_id"]))
        ends = np.array([row["first_t_ns"], row["last_t_ns"]], dtype=np.int64)
        first_ns, last_ns = Clocks.of(own).corrected(row["camera"], ends).tolist()
        span = Span(row["frames"], first_ns, last_ns)
        spans = {clip: span for clip, start, end in clips.get(drive, []) if first_ns < end and last_ns >= start}
        yield row["uri"], Stored(drive, spans, _media_problem(fleet, row))


def _media_problem(fleet: Fleet, row: Mapping[str, Any]) -> str:
    try:
        held = media_times(fleet.objects.local(row["sha256"], OPEN), row["media"])
    except FileNotFoundError:
        return GONE
    except UNREADABLE:
        return DAMAGED
    return media_problem(held, row["frames"], row["first_t_ns"], row["last_t_ns"])


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
