"""The sensors of maps and weather: an extract in the landing zone becomes a partition, a weather file is read."""

import dagster as dg

from fleet_assets.ingestion.map_and_weather_enrichment.state import READ_MAP_STEP, READ_WEATHER_STEP, read_enrichment
from fleet_assets.tables.maps import MAPS, SNAPSHOT, WEATHER_FILES
from partitions.fleet import MAP_SNAPSHOTS
from resources.platform import Fleet
from sensors.restatement import sweep_sensor
from sensors.verdicts import GatesByTable


def known_snapshots(fleet: Fleet, instance: dg.DagsterInstance) -> None:
    """Tell Dagster the partitions of every extract that landed."""
    landed = [extract.snapshot for extract in read_enrichment(fleet).maps]
    known = set(instance.get_dynamic_partitions(MAP_SNAPSHOTS))
    if new := [snapshot for snapshot in landed if snapshot not in known]:
        instance.add_dynamic_partitions(MAP_SNAPSHOTS, new)


def map_sensors(interval_s: int, gates: GatesByTable) -> list[dg.SensorDefinition]:
    """One sensor for extracts, one for weather files; drives that they concern are the restatement sweep's business.

    Args:
        interval_s: Pause between looks.
        gates: Gates of all tables.
    """
    return [
        sweep_sensor(
            "map_snapshots",
            [READ_MAP_STEP],
            [dg.AssetKey(list(table.key)) for table in MAPS],
            partition_by=(SNAPSHOT,),
            interval_s=interval_s,
            description="OpenStreetMap extracts in the landing zone become road networks, one partition each.",
            gates=gates,
            prepare=known_snapshots,
        ),
        sweep_sensor(
            "weather_files",
            [READ_WEATHER_STEP],
            [dg.AssetKey(list(table.key)) for table in WEATHER_FILES],
            partition_by=(),
            interval_s=interval_s,
            description="Weather files in the landing zone are read.",
            gates=gates,
        ),
    ]
