"""The sensor of mining requests: what was asked for becomes a run that answers it."""

import dagster as dg

from fleet_assets.mining.steps import MINE_STEP
from fleet_assets.tables.mining import SCENARIO_MINING
from sensors.restatement import sweep_sensor
from sensors.verdicts import GatesByTable


def mining_sensors(interval_s: int, gates: GatesByTable) -> list[dg.SensorDefinition]:
    """One sensor, level-triggered: requests without an answer, and answers of which a drive changed.

    Args:
        interval_s: Pause between looks.
        gates: Gates of all tables. Only those of the lists count here: which drives can be looked at was settled when
            the request was placed, and one failed day must not hold every request.
    """
    own = {table.name: gates[table.name] for table in SCENARIO_MINING}
    return [
        sweep_sensor(
            "mining_requests",
            [MINE_STEP],
            [dg.AssetKey(list(table.key)) for table in SCENARIO_MINING],
            partition_by=(),
            interval_s=interval_s,
            description="Mining requests in the book become lists of clips.",
            gates=own,
        )
    ]
