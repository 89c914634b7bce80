"""Partitions definitions of the fleet. Keys live in `keys.py`, mappings between them in `mappings.py`."""

from collections.abc import Sequence
from typing import Final

import dagster as dg

DAY: Final = "day"
DEPOT: Final = "depot"
HOUR: Final = "hour"
MAP_SNAPSHOTS: Final = "map_snapshots"


def day_partitions(first_day: str) -> dg.DailyPartitionsDefinition:
    """UTC days from the first day to today; today is included, since drives land on the day they were made."""
    return dg.DailyPartitionsDefinition(start_date=first_day, timezone="UTC", end_offset=1)


def day_depot_partitions(first_day: str, depots: Sequence[str]) -> dg.MultiPartitionsDefinition:
    """(day × depot), the partitions of all bulk data; drives are rows inside."""
    return dg.MultiPartitionsDefinition(
        {
            DAY: day_partitions(first_day),
            DEPOT: dg.StaticPartitionsDefinition(sorted(depots)),
        }
    )


def hour_partitions(first_day: str) -> dg.HourlyPartitionsDefinition:
    """UTC hours from the first day to this hour; keys are YYYY-MM-DD-HH:00. Included for the same reason as today."""
    return dg.HourlyPartitionsDefinition(start_date=f"{first_day}-00:00", timezone="UTC", end_offset=1)


def map_snapshot_partitions() -> dg.DynamicPartitionsDefinition:
    """Snapshots of road networks; the sensor of maps adds one per extract that landed."""
    return dg.DynamicPartitionsDefinition(name=MAP_SNAPSHOTS)
