"""Assets of workflow 3: decoded samples, and the signals, tracks, clips and clock models made of them."""

from collections.abc import Iterator, Sequence
from typing import Any

import dagster as dg
import pyarrow as pa

from fleet_assets.ingestion.integrity_and_pii_redaction.audit.vouching import require_vouched
from fleet_assets.ingestion.sensor_sync_and_format_conversion.lidar.previews import birds_eye
from fleet_assets.ingestion.sensor_sync_and_format_conversion.previews import signal_plot, skew_histogram, track_plot
from fleet_assets.ingestion.steps import ALIGN_STEP, DECODE_STEP, KEYFRAMES_STEP, SWEEPS_STEP
from fleet_assets.tables import Table
from fleet_assets.tables.audit import AUDITED_MEDIA, REDACTION_AUDIT
from fleet_assets.tables.bronze import (
    DRIVE_FILES,
    DRIVES,
    INTEGRITY_FINDINGS,
    QUARANTINE,
    SENSOR_SAMPLES,
    SENSOR_STREAMS,
)
from fleet_assets.tables.gold import EVENT_WINDOWS
from fleet_assets.tables.privacy import WITHHELD_POSITIONS
from fleet_assets.tables.redaction import REDACTED_MEDIA, REDACTION_REPORT
from fleet_assets.tables.silver import CLIPS, CLOCK_MODELS, KEYFRAMES, LIDAR_SHARDS, LIDAR_SWEEPS, RADAR_TRACKS
from partitions.keys import from_dagster
from resources.platform import Fleet
from resources.reporting import results, table_spec

OWNERS = ("team:data-engineering",)


def sync_assets(
    day_depot: dg.PartitionsDefinition[Any], signals: Table, condition: dg.AutomationCondition[Any]
) -> Sequence[dg.AssetsDefinition]:
    """`bronze/sensor_samples`, `bronze/sensor_streams` and the silver tables."""

    def specs(tables: Sequence[Table], inputs: Sequence[Table], step: Any) -> list[dg.AssetSpec]:
        deps = [dg.AssetKey(list(table.key)) for table in inputs]
        return [
            table_spec(table, operator=step.operator, group="ingestion", owners=OWNERS, deps=deps, condition=condition)
            for table in tables
        ]

    @dg.multi_asset(
        name="decode_recordings",
        specs=specs((SENSOR_SAMPLES, SENSOR_STREAMS), (DRIVES, DRIVE_FILES), DECODE_STEP),
        partitions_def=day_depot,
    )
    def decode_recordings(context: dg.AssetExecutionContext, ingestion: Fleet) -> Iterator[dg.MaterializeResult[None]]:
        partition = from_dagster(context.partition_key)
        report = ingestion.restate(DECODE_STEP, partition, lambda done, of: context.log.info(f"{done}/{of} drives"))
        yield from results(report, ingestion.tables)

    @dg.multi_asset(
        name="align_signals",
        specs=specs(
            (signals, WITHHELD_POSITIONS, RADAR_TRACKS, CLIPS, CLOCK_MODELS),
            (DRIVES, SENSOR_SAMPLES, SENSOR_STREAMS, INTEGRITY_FINDINGS, QUARANTINE),
            ALIGN_STEP,
        ),
        partitions_def=day_depot,
    )
    def align_signals(context: dg.AssetExecutionContext, ingestion: Fleet) -> Iterator[dg.MaterializeResult[None]]:
        report = ingestion.restate(ALIGN_STEP, from_dagster(context.partition_key))
        rows = {name: ingestion.lake.read(ingestion.tables[name], report.entries[name]) for name in report.entries}
        previews = {
            signals.name: lambda: signal_plot(rows[signals.name]),
            CLIPS.name: lambda: track_plot(rows[signals.name]),
            CLOCK_MODELS.name: lambda: skew_histogram(rows[CLOCK_MODELS.name]),
        }
        yield from results(report, ingestion.tables, previews)

    @dg.multi_asset(
        name="make_lidar_sweeps",
        specs=specs(
            (LIDAR_SHARDS, LIDAR_SWEEPS),
            (DRIVES, DRIVE_FILES, INTEGRITY_FINDINGS, QUARANTINE, CLIPS, CLOCK_MODELS),
            SWEEPS_STEP,
        ),
        partitions_def=day_depot,
    )
    def make_lidar_sweeps(context: dg.AssetExecutionContext, ingestion: Fleet) -> Iterator[dg.MaterializeResult[None]]:
        partition = from_dagster(context.partition_key)
        report = ingestion.restate(SWEEPS_STEP, partition, lambda done, of: context.log.info(f"{done}/{of} drives"))
        sweeps = ingestion.lake.read(LIDAR_SWEEPS, report.entries[LIDAR_SWEEPS.name])
        yield from results(report, ingestion.tables, {LIDAR_SWEEPS.name: lambda: _sweep_picture(ingestion, sweeps)})

    return [decode_recordings, align_signals, make_lidar_sweeps]


def _sweep_picture(ingestion: Fleet, sweeps: pa.Table) -> bytes | None:
    """The sweep in the middle of the partition's rows, from above."""
    if not sweeps.num_rows:
        return None
    (row,) = sweeps.slice(sweeps.num_rows // 2, 1).to_pylist()
    label = f"drive {row['drive_id']}, {row['sensor']}, sweep {row['sweep']}"
    half_width_m = float(ingestion.policies["lidar"]["preview_range_m"])
    return birds_eye(ingestion.objects.local(row["sha256"], "open"), row["sweep"], label, half_width_m)


def keyframe_assets(
    day_depot: dg.PartitionsDefinition[Any], condition: dg.AutomationCondition[Any]
) -> Sequence[dg.AssetsDefinition]:
    """`silver/keyframes`, from redacted media only."""
    # A report that nobody trusted has signed is held back by its gate, and the keyframes with it.
    inputs = (
        DRIVES,
        REDACTED_MEDIA,
        REDACTION_REPORT,
        REDACTION_AUDIT,
        AUDITED_MEDIA,
        INTEGRITY_FINDINGS,
        CLIPS,
        CLOCK_MODELS,
        EVENT_WINDOWS,
    )
    spec = table_spec(
        KEYFRAMES,
        operator=KEYFRAMES_STEP.operator,
        group="ingestion",
        owners=OWNERS,
        deps=[dg.AssetKey(list(table.key)) for table in inputs],
        condition=condition,
    )

    @dg.multi_asset(name="extract_keyframes", specs=[spec], partitions_def=day_depot)
    def extract_keyframes(context: dg.AssetExecutionContext, ingestion: Fleet) -> Iterator[dg.MaterializeResult[None]]:
        partition = from_dagster(context.partition_key)
        require_vouched(ingestion.lake, partition, ingestion.verifier, ingestion.signing.signer().key_id)
        report = ingestion.restate(KEYFRAMES_STEP, partition, lambda done, of: context.log.info(f"{done}/{of} drives"))
        yield from results(report, ingestion.tables)

    return [extract_keyframes]
