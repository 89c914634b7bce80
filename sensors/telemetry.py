"""The sensors of telemetry batches: what landed is read, the hours that it touches are brought up to date."""

import dagster as dg

from fleet_assets.ingestion.telemetry_and_bulk_ingestion.telemetry.steps import (
    COLLECT_STEP,
    RECEIVE_STEP,
    REFUSE_LINES_STEP,
)
from fleet_assets.tables import Table
from fleet_assets.tables.telemetry import (
    TELEMETRY,
    TELEMETRY_BATCHES,
    TELEMETRY_LINES,
    TELEMETRY_QUARANTINE,
    TELEMETRY_REFUSED,
)
from sensors.restatement import sweep_sensor
from sensors.verdicts import GatesByTable


def _keys(*tables: Table) -> list[dg.AssetKey]:
    return [dg.AssetKey(list(table.key)) for table in tables]


def telemetry_sensors(interval_s: int, gates: GatesByTable) -> list[dg.SensorDefinition]:
    """One sensor for new batches, one for hours, one for what belongs to no hour. All are level-triggered.

    Args:
        interval_s: Pause between looks.
        gates: Gates of all tables.
    """
    return [
        sweep_sensor(
            "telemetry_landing",
            [RECEIVE_STEP],
            _keys(TELEMETRY_BATCHES, TELEMETRY_LINES),
            partition_by=(),
            interval_s=interval_s,
            description="Telemetry batches in the landing zone are read, each content once.",
        ),
        sweep_sensor(
            "telemetry_hours",
            [COLLECT_STEP],
            _keys(TELEMETRY, TELEMETRY_QUARANTINE),
            partition_by=("hour",),
            interval_s=interval_s,
            description="Exactly the hours are restated that new messages, schemas or depots concern.",
            gates=gates,
        ),
        sweep_sensor(
            "telemetry_refusals",
            [REFUSE_LINES_STEP],
            _keys(TELEMETRY_REFUSED),
            partition_by=(),
            interval_s=interval_s,
            description="Lines of telemetry batches that belong to no hour are listed with rule and remedy.",
            gates=gates,
        ),
    ]
