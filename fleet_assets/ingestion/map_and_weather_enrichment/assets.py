"""Assets of workflow 5: road networks by snapshot, and drives with what maps and weather say about them."""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import dagster as dg
import pyarrow as pa

from fleet_assets.geo.road_graph import edges_of_cells
from fleet_assets.ingestion.map_and_weather_enrichment.previews import match_plot
from fleet_assets.ingestion.map_and_weather_enrichment.state import (
    COVER_STEP,
    ENRICH_STEP,
    MATCH_STEP,
    READ_MAP_STEP,
    READ_WEATHER_STEP,
    WEATHER_STEP,
)
from fleet_assets.provenance.restate import Report
from fleet_assets.tables import Table
from fleet_assets.tables.maps import (
    DRIVE_CELLS,
    ENRICHED_CLIPS,
    MAP_CONTEXT,
    MAP_MATCHES,
    MAPS,
    ROAD_EDGES,
    WEATHER,
    WEATHER_FILES,
)
from partitions.keys import from_dagster
from resources.platform import Fleet
from resources.reporting import results, step_specs, table_spec

OWNERS = ("team:data-engineering",)


def map_assets(snapshots: dg.PartitionsDefinition[Any]) -> Sequence[dg.AssetsDefinition]:
    """`map/road_network` with its cells, nodes and edges, and what weather files state."""

    @dg.multi_asset(
        name="read_map",
        specs=[table_spec(table, operator=READ_MAP_STEP.operator, group="ingestion", owners=OWNERS) for table in MAPS],
        partitions_def=snapshots,
    )
    def read_map(context: dg.AssetExecutionContext, ingestion: Fleet) -> Iterator[dg.MaterializeResult[None]]:
        yield from results(ingestion.restate(READ_MAP_STEP, from_dagster(context.partition_key)), ingestion.tables)

    @dg.multi_asset(
        name="read_weather",
        specs=[
            table_spec(table, operator=READ_WEATHER_STEP.operator, group="ingestion", owners=OWNERS)
            for table in WEATHER_FILES
        ],
    )
    def read_weather(ingestion: Fleet) -> Iterator[dg.MaterializeResult[None]]:
        yield from results(ingestion.restate(READ_WEATHER_STEP, ()), ingestion.tables)

    return [read_map, read_weather]


def enrichment_assets(
    day_depot: dg.PartitionsDefinition[Any], signals: Table, condition: dg.AutomationCondition[Any]
) -> Sequence[dg.AssetsDefinition]:
    """Drives on maps, in weather, and their clips with both."""
    specs = partial(step_specs, group="ingestion", owners=OWNERS, condition=condition)

    @dg.multi_asset(
        name="cover_drives",
        specs=specs((DRIVE_CELLS,), COVER_STEP),
        partitions_def=day_depot,
    )
    def cover_drives(context: dg.AssetExecutionContext, ingestion: Fleet) -> Iterator[dg.MaterializeResult[None]]:
        yield from results(ingestion.restate(COVER_STEP, from_dagster(context.partition_key)), ingestion.tables)

    @dg.multi_asset(
        name="match_drives",
        specs=specs((MAP_MATCHES, MAP_CONTEXT), MATCH_STEP),
        partitions_def=day_depot,
    )
    def match_drives(context: dg.AssetExecutionContext, ingestion: Fleet) -> Iterator[dg.MaterializeResult[None]]:
        partition = from_dagster(context.partition_key)
        report = ingestion.restate(MATCH_STEP, partition, lambda done, of: context.log.info(f"{done}/{of} drives"))
        yield from results(report, ingestion.tables, {MAP_CONTEXT.name: lambda: _picture(ingestion, report, signals)})

    @dg.multi_asset(
        name="join_weather",
        specs=specs((WEATHER,), WEATHER_STEP),
        partitions_def=day_depot,
    )
    def join_weather(context: dg.AssetExecutionContext, ingestion: Fleet) -> Iterator[dg.MaterializeResult[None]]:
        yield from results(ingestion.restate(WEATHER_STEP, from_dagster(context.partition_key)), ingestion.tables)

    @dg.multi_asset(
        name="enrich_clips",
        specs=specs((ENRICHED_CLIPS,), ENRICH_STEP),
        partitions_def=day_depot,
    )
    def enrich_clips(context: dg.AssetExecutionContext, ingestion: Fleet) -> Iterator[dg.MaterializeResult[None]]:
        yield from results(ingestion.restate(ENRICH_STEP, from_dagster(context.partition_key)), ingestion.tables)

    return [cover_drives, match_drives, join_weather, enrich_clips]


def _picture(ingestion: Fleet, report: Report, signals: Table) -> bytes | None:
    """The first drive of the partition that a map covers."""
    units = ingestion.wanted(MATCH_STEP, report.partition).units
    drawn = (entry for entry in report.entries[MAP_CONTEXT.name] if entry.rows and entry.unit in units)
    entry = next(drawn, None)
    chart = None if entry is None else units[entry.unit].context["chart"]
    if entry is None or chart is None:
        return None
    grid = [one for one in ingestion.lake.entries(signals, report.partition) if one.unit == entry.unit]
    maps = [edges_of_cells(ingestion.lake.read(ROAD_EDGES, [part.edges]), part.cells) for part in chart.parts]
    return match_plot(
        pa.concat_tables(maps),
        ingestion.lake.read(MAP_CONTEXT, [entry], ["edge_id"]),
        ingestion.lake.read(signals, grid, ["lat_deg", "lon_deg"]),
        ingestion.policies["maps"]["matching"]["plot_points"],
    )
