"""The landing sensor: complete uploads are registered, refused ones listed in the landing quarantine."""

from collections.abc import Mapping, Sequence
from typing import Final

import dagster as dg

from fleet_assets.ingestion.steps import REFUSE_STEP, REGISTER_STEP, read_state
from fleet_assets.ingestion.telemetry_and_bulk_ingestion.log import unlogged
from fleet_assets.provenance.ledger import Partition
from fleet_assets.tables.bronze import DRIVE_FILES, DRIVES, INGESTION_LOG
from fleet_assets.tables.ops import LANDING_QUARANTINE
from resources.platform import Fleet
from sensors.restatement import sweep_sensor
from sensors.verdicts import GatesByTable

REGISTRATION: Final = tuple(dg.AssetKey(list(table.key)) for table in (DRIVES, DRIVE_FILES, INGESTION_LOG))


def _unlogged(fleet: Fleet) -> Mapping[Partition, Sequence[str]]:
    """What the ingestion log does not have yet."""
    logged = frozenset(entry.unit for entry in fleet.lake.entries(INGESTION_LOG))
    return unlogged(read_state(fleet).admission, fleet.lake.entries(DRIVES), logged)


def landing_sensors(interval_s: int, gates: GatesByTable) -> list[dg.SensorDefinition]:
    """One sensor for uploads that have a partition, one for those that have none.

    Args:
        interval_s: Pause between looks.
        gates: Gates of all tables. Those of registered drives are the restatement sweep's business.
    """
    return [
        sweep_sensor(
            "landing",
            [REGISTER_STEP],
            REGISTRATION,
            partition_by=("day", "depot"),
            interval_s=interval_s,
            description="Complete uploads in the landing zone are registered in their day × depot partition.",
            also=_unlogged,
        ),
        sweep_sensor(
            "landing_quarantine",
            [REFUSE_STEP],
            [dg.AssetKey(list(LANDING_QUARANTINE.key))],
            partition_by=(),
            interval_s=interval_s,
            description="Uploads that belong to no partition are listed with rule and remedy.",
            gates=gates,
        ),
    ]
