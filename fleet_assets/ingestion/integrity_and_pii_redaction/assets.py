"""Assets of workflow 2: integrity findings, and what they hold back."""

from collections.abc import Iterator, Sequence
from typing import Any

import dagster as dg

from fleet_assets.ingestion.steps import FIND_STEP, HOLD_BACK_STEP
from fleet_assets.tables.bronze import DRIVES, INTEGRITY_FINDINGS, QUARANTINE, SENSOR_SAMPLES, SENSOR_STREAMS
from fleet_assets.tables.ops import REQUESTS
from partitions.keys import from_dagster
from resources.platform import Fleet
from resources.reporting import results, table_spec

OWNERS = ("team:data-engineering",)


def integrity_assets(
    day_depot: dg.PartitionsDefinition[Any], condition: dg.AutomationCondition[Any]
) -> Sequence[dg.AssetsDefinition]:
    """`bronze/integrity_findings` and `bronze/quarantine`."""

    @dg.multi_asset(
        name="find_breaches",
        specs=[
            table_spec(
                INTEGRITY_FINDINGS,
                operator=FIND_STEP.operator,
                group="ingestion",
                owners=OWNERS,
                deps=[dg.AssetKey(list(table.key)) for table in (DRIVES, SENSOR_SAMPLES, SENSOR_STREAMS)],
                condition=condition,
            )
        ],
        partitions_def=day_depot,
    )
    def find_breaches(context: dg.AssetExecutionContext, ingestion: Fleet) -> Iterator[dg.MaterializeResult[None]]:
        yield from results(ingestion.restate(FIND_STEP, from_dagster(context.partition_key)), ingestion.tables)

    @dg.multi_asset(
        name="hold_back",
        specs=[
            table_spec(
                QUARANTINE,
                operator=HOLD_BACK_STEP.operator,
                group="ingestion",
                owners=OWNERS,
                deps=[
                    *(dg.AssetKey(list(table.key)) for table in (DRIVES, INTEGRITY_FINDINGS)),
                    dg.AssetDep(list(REQUESTS.key)),
                ],
                condition=condition,
            )
        ],
        partitions_def=day_depot,
    )
    def hold_back(context: dg.AssetExecutionContext, ingestion: Fleet) -> Iterator[dg.MaterializeResult[None]]:
        yield from results(ingestion.restate(HOLD_BACK_STEP, from_dagster(context.partition_key)), ingestion.tables)

    return [find_breaches, hold_back]
