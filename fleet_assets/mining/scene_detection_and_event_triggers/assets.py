"""Assets of workflow 6: events that the triggers find, and scenes."""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import dagster as dg

from fleet_assets.mining.scene_detection_and_event_triggers.previews import window_plot
from fleet_assets.mining.steps import EVENTS_STEP, SCENES_STEP
from fleet_assets.policy.trigger_bundles import require_signed
from fleet_assets.provenance.restate import Step
from fleet_assets.tables import Table
from fleet_assets.tables.gold import EVENT_WINDOWS, SCENE_SEGMENTS, TRIGGER_EXPOSURE
from partitions.keys import from_dagster
from resources.platform import Fleet
from resources.reporting import results, step_specs

OWNERS = ("team:ml-mlops",)
SIGNALS = "silver.signals"


def event_assets(
    day_depot: dg.PartitionsDefinition[Any], condition: dg.AutomationCondition[Any]
) -> Sequence[dg.AssetsDefinition]:
    """`gold/event_windows`, `gold/trigger_exposure` and `gold/scene_segments`."""
    specs = partial(step_specs, group="mining", owners=OWNERS, condition=condition)

    def drawn(
        fleet: Fleet, step: Step, partition: str, table: Table, label: str
    ) -> Iterator[dg.MaterializeResult[None]]:
        key = from_dagster(partition)
        report = fleet.restate(step, key)
        speed = fleet.policies["events"]["scenes"]["signals"]["speed"]

        def draw() -> bytes | None:
            windows = fleet.lake.read(table, report.entries[table.name], ["drive_id", "start_ns", "end_ns", label])
            rows = fleet.lake.rows(fleet.tables[SIGNALS], key, ["drive_id", "t_ns", speed])
            return window_plot(rows, windows, speed, label)

        yield from results(report, fleet.tables, {table.name: draw})

    @dg.multi_asset(
        name="find_events", specs=specs((EVENT_WINDOWS, TRIGGER_EXPOSURE), EVENTS_STEP), partitions_def=day_depot
    )
    def find_events(context: dg.AssetExecutionContext, fleet: Fleet) -> Iterator[dg.MaterializeResult[None]]:
        require_signed(fleet.policies, fleet.verifier)
        yield from drawn(fleet, EVENTS_STEP, context.partition_key, EVENT_WINDOWS, "trigger")

    @dg.multi_asset(name="cut_scenes", specs=specs((SCENE_SEGMENTS,), SCENES_STEP), partitions_def=day_depot)
    def cut_scenes(context: dg.AssetExecutionContext, fleet: Fleet) -> Iterator[dg.MaterializeResult[None]]:
        yield from drawn(fleet, SCENES_STEP, context.partition_key, SCENE_SEGMENTS, "kind")

    return [find_events, cut_scenes]
