"""Assets of workflow 1: drives and files, ingestion log, landing quarantine, daily roll-up, telemetry by the hour."""

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import dagster as dg

from fleet_assets.ingestion.steps import DAY_STEP, REFUSE_STEP, REGISTER_STEP, read_state
from fleet_assets.ingestion.telemetry_and_bulk_ingestion.log import departures, landing_events
from fleet_assets.ingestion.telemetry_and_bulk_ingestion.previews import coverage_timeline
from fleet_assets.ingestion.telemetry_and_bulk_ingestion.telemetry.steps import (
    COLLECT_STEP,
    RECEIVE_STEP,
    REFUSE_LINES_STEP,
)
from fleet_assets.provenance.fingerprints import Operator
from fleet_assets.tables import Table
from fleet_assets.tables.bronze import DRIVE_FILES, DRIVES, INGESTION_LOG, QUARANTINE
from fleet_assets.tables.ops import DAILY_COVERAGE, LANDING_QUARANTINE
from fleet_assets.tables.telemetry import (
    TELEMETRY,
    TELEMETRY_BATCHES,
    TELEMETRY_LINES,
    TELEMETRY_QUARANTINE,
    TELEMETRY_REFUSED,
)
from partitions.keys import from_dagster
from partitions.mappings import all_depots_of_day
from resources.platform import Fleet
from resources.reporting import results, table_spec

OWNERS = ("team:data-engineering",)


def _log(ingestion: Fleet, events: Sequence[Mapping[str, Any]]) -> int:
    return ingestion.append_log(INGESTION_LOG, events, "event_id", "logged_ns", time.time_ns())


def registration_assets(day_depot: dg.PartitionsDefinition[Any]) -> Sequence[dg.AssetsDefinition]:
    """`bronze/drives`, `bronze/drive_files`, `bronze/ingestion_log` and `landing/quarantine`."""

    def spec(table: Table) -> dg.AssetSpec:
        return table_spec(table, operator=REGISTER_STEP.operator, group="ingestion", owners=OWNERS)

    @dg.multi_asset(
        name="register_drives",
        specs=[spec(DRIVES), spec(DRIVE_FILES), spec(INGESTION_LOG)],
        partitions_def=day_depot,
    )
    def register_drives(context: dg.AssetExecutionContext, ingestion: Fleet) -> Iterator[dg.MaterializeResult[None]]:
        partition = from_dagster(context.partition_key)
        admission = read_state(ingestion).admission
        wanted = ingestion.wanted(REGISTER_STEP, partition)
        staying = {*wanted.units, *wanted.waiting}
        held = {entry.unit: entry.fingerprint for entry in ingestion.lake.entries(DRIVES, partition)}
        leaving = {drive_id: made for drive_id, made in held.items() if drive_id not in staying}
        logged = _log(ingestion, departures(admission, partition, leaving))
        report = ingestion.restate(REGISTER_STEP, partition, lambda done, of: context.log.info(f"{done}/{of} drives"))
        rows = ingestion.lake.read(DRIVES, report.entries[DRIVES.name]).to_pylist()
        logged += _log(ingestion, landing_events(admission, partition, rows))
        yield from results(report, ingestion.tables)
        yield dg.MaterializeResult(
            asset_key=list(INGESTION_LOG.key),
            metadata={"new_events": logged},
            data_version=dg.DataVersion(report.data_version(DRIVES.name)),
        )

    @dg.multi_asset(
        name="refuse_uploads",
        specs=[table_spec(LANDING_QUARANTINE, operator=REFUSE_STEP.operator, group="ingestion", owners=OWNERS)],
    )
    def refuse_uploads(ingestion: Fleet) -> Iterator[dg.MaterializeResult[None]]:
        yield from results(ingestion.restate(REFUSE_STEP, ()), ingestion.tables)

    return [register_drives, refuse_uploads]


def roll_up_assets(
    day: dg.PartitionsDefinition[Any], signals: Table, condition: dg.AutomationCondition[Any]
) -> Sequence[dg.AssetsDefinition]:
    """`ops/daily_coverage`."""
    deps = [
        dg.AssetDep(list(table.key), partition_mapping=all_depots_of_day()) for table in (DRIVES, QUARANTINE, signals)
    ]

    @dg.multi_asset(
        name="summarise_day",
        specs=[
            table_spec(
                DAILY_COVERAGE,
                operator=DAY_STEP.operator,
                group="ingestion",
                owners=OWNERS,
                deps=deps,
                condition=condition,
            )
        ],
        partitions_def=day,
    )
    def summarise_day(context: dg.AssetExecutionContext, ingestion: Fleet) -> Iterator[dg.MaterializeResult[None]]:
        day_key = (context.partition_key,)
        report = ingestion.restate(DAY_STEP, day_key)
        drives = [entry for entry in ingestion.lake.entries(DRIVES) if entry.partition[0] == day_key[0]]
        rows = ingestion.lake.read(DRIVES, drives)
        yield from results(report, ingestion.tables, {DAILY_COVERAGE.name: lambda: coverage_timeline(rows)})

    return [summarise_day]


def telemetry_assets(hour: dg.PartitionsDefinition[Any]) -> Sequence[dg.AssetsDefinition]:
    """`bronze/telemetry*` and `landing/telemetry_quarantine`."""
    lines = dg.AssetKey(list(TELEMETRY_LINES.key))

    def spec(table: Table, operator: Operator, deps: Sequence[dg.AssetKey]) -> dg.AssetSpec:
        return table_spec(table, operator=operator, group="ingestion", owners=OWNERS, deps=deps)

    @dg.multi_asset(
        name="receive_batches",
        specs=[spec(table, RECEIVE_STEP.operator, ()) for table in (TELEMETRY_BATCHES, TELEMETRY_LINES)],
    )
    def receive_batches(ingestion: Fleet) -> Iterator[dg.MaterializeResult[None]]:
        yield from results(ingestion.restate(RECEIVE_STEP, ()), ingestion.tables)

    @dg.multi_asset(
        name="collect_hour",
        specs=[spec(table, COLLECT_STEP.operator, [lines]) for table in (TELEMETRY, TELEMETRY_QUARANTINE)],
        partitions_def=hour,
    )
    def collect_hour(context: dg.AssetExecutionContext, ingestion: Fleet) -> Iterator[dg.MaterializeResult[None]]:
        yield from results(ingestion.restate(COLLECT_STEP, (context.partition_key,)), ingestion.tables)

    @dg.multi_asset(name="refuse_lines", specs=[spec(TELEMETRY_REFUSED, REFUSE_LINES_STEP.operator, [lines])])
    def refuse_lines(ingestion: Fleet) -> Iterator[dg.MaterializeResult[None]]:
        yield from results(ingestion.restate(REFUSE_LINES_STEP, ()), ingestion.tables)

    return [receive_batches, collect_hour, refuse_lines]
