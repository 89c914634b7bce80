"""Partition mappings between bulk data and its roll-ups."""

import dagster as dg

from partitions.fleet import DAY


def all_depots_of_day() -> dg.MultiToSingleDimensionPartitionMapping:
    """A day depends on all its depots."""
    return dg.MultiToSingleDimensionPartitionMapping(partition_dimension_name=DAY)
