"""Operators of workflow 4: the rows of the catalog, and the documents that are searched."""

from collections.abc import Mapping
from typing import Final

import pyarrow as pa

from fleet_assets.ingestion.integrity_and_pii_redaction.audit.operators import released_media
from fleet_assets.ingestion.metadata_extraction_and_catalog.clips import DriveTables, Origin, catalogue
from fleet_assets.ingestion.metadata_extraction_and_catalog.documents import search_documents, source_versions
from fleet_assets.ingestion.metadata_extraction_and_catalog.rules import CatalogRules, text_sources
from fleet_assets.policy.documents import digest_of
from fleet_assets.provenance.fingerprints import Operator
from fleet_assets.provenance.ledger import Entry
from fleet_assets.provenance.restate import UnitTask
from fleet_assets.tables.catalog import CLIP_CATALOG, CLIP_COVERAGE, CLIP_POSITIONS, SEARCH_DOCUMENTS

SIGNALS: Final = "silver.signals"
DRIVES: Final = "bronze.drives"
_MEDIA: Final = ["camera", "width", "height", "first_t_ns", "last_t_ns", "uri"]
CATALOGUE: Final = Operator(
    name="metadata_extraction_and_catalog.catalogue",
    version=1,
    inputs=(
        "bronze.drives",
        "bronze.redacted_media",
        "bronze.audited_media",
        "bronze.sensor_samples",
        "bronze.sensor_streams",
        "silver.clips",
        "silver.clock_models",
        "silver.keyframes",
        "silver.lidar_sweeps",
        "silver.radar_tracks",
        SIGNALS,
    ),
    outputs=(CLIP_CATALOG.name, CLIP_COVERAGE.name, CLIP_POSITIONS.name),
    policy={
        "canonical_signals": ("grid_ms",),
        "catalog": ("position", "reach_s", "cells", "figures", "min_share", "tags"),
    },
    libraries=("numpy", "h3"),
)
DOCUMENT: Final = Operator(
    name="metadata_extraction_and_catalog.document",
    version=2,
    inputs=(
        "bronze.drives",
        CLIP_CATALOG.name,
        "bronze.integrity_findings",
        "silver.weather",
        "gold.event_windows",
    ),
    outputs=(SEARCH_DOCUMENTS.name,),
    policy={"catalog": ("documents",)},
)
"""Whatever is to give words to documents is one more input here, and a source in the policy `catalog`. Events come from
the mining area's table: nothing that it is made from reads documents."""


def signals_address(entry: Entry) -> str:
    """Address of a drive's data file in `silver.signals`, wherever the lake lies: partition, drive and digest."""
    return f"lake://{SIGNALS}/{'/'.join(entry.partition)}/{entry.unit}?sha256={entry.digest}"


def version_of(inputs: Mapping[str, Entry]) -> str:
    """Dataset version of a drive: the digest over the digests of its files by table.

    Its registration is left out: the same data under another manifest are the same data.
    """
    return digest_of({name: entry.digest for name, entry in sorted(inputs.items()) if name != DRIVES})


def catalog_drive(task: UnitTask) -> Mapping[str, pa.Table]:
    """Rows of the catalog's tables of one drive; none for one without clips."""
    clips = task.read("silver.clips")
    if not clips.num_rows:
        return {name: task.tables[name].empty() for name in CATALOGUE.outputs}
    rules = CatalogRules.from_policy(task.policies["catalog"], task.tables[SIGNALS])
    tables = DriveTables(
        clips=clips,
        signals=task.read(SIGNALS),
        samples=task.read("bronze.sensor_samples", ["sensor", "signal", "t_ns"], encoded=True),
        streams=task.read("bronze.sensor_streams"),
        clock_models=task.read("silver.clock_models"),
        tracks=task.read("silver.radar_tracks", ["clip_id"]),
        sweeps=task.read("silver.lidar_sweeps", ["clip_id", "sensor", "t_ns", "points", "uri"]),
        keyframes=task.read("silver.keyframes", ["clip_id", "camera", "t_ns", "width", "height", "uri"]),
        media=released_media(
            task.read("bronze.redacted_media", [*_MEDIA, "sha256"]),
            task.read("bronze.audited_media", ["sha256", "released"]),
        ).select(_MEDIA),
    )
    signals = task.inputs.get(SIGNALS)
    uri = None if signals is None or not signals.rows else signals_address(signals)
    origin = Origin(task.context["drive"], uri, version_of(task.inputs))
    return catalogue(origin, tables, rules, grid_ms=task.policies["canonical_signals"]["grid_ms"])


def document_drive(task: UnitTask) -> Mapping[str, pa.Table]:
    """Documents of one drive's clips."""
    policy = task.policies["catalog"]["documents"]
    sources = text_sources(task.policies["catalog"], task.tables, DOCUMENT.inputs)
    rows = [(source, task.read(source.table)) for source in sources]
    documents = search_documents(
        task.read(CLIP_CATALOG.name), rows, policy["words"], versions=source_versions(sources, task.inputs)
    )
    return {SEARCH_DOCUMENTS.name: documents}
