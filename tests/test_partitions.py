"""Partition keys: what the lake calls a partition is what Dagster calls it."""

import time

import dagster as dg
import pytest

from partitions.fleet import day_depot_partitions, day_partitions, hour_partitions
from partitions.keys import from_dagster, to_dagster


@pytest.mark.parametrize("partition", [("2024-05-01",), ("2024-05-01-08:00",), ("2024-05-01", "north")])
def test_a_partition_goes_to_dagster_and_back(partition: tuple[str, ...]) -> None:
    assert from_dagster(to_dagster(partition)) == partition


@pytest.mark.parametrize(
    ("partitions", "first", "before"),
    [
        (day_partitions("2024-05-01"), "2024-05-01", "2024-04-30"),
        (hour_partitions("2024-05-01"), "2024-05-01-00:00", "2024-04-30-23:00"),
    ],
)
def test_partitions_begin_with_the_first_day_and_end_with_now(
    partitions: dg.TimeWindowPartitionsDefinition, first: str, before: str
) -> None:
    assert partitions.get_first_partition_key() == first
    assert not partitions.has_partition_key(before)
    assert partitions.has_partition_key(first)
    last = partitions.get_partition_keys()[-1]
    window = partitions.time_window_for_partition_key(last)
    assert window.start.timestamp() <= time.time() < window.end.timestamp()


def test_the_key_of_an_hour_is_that_of_the_lake() -> None:
    keys = hour_partitions("2024-05-01").get_partition_keys()[:25]
    assert (keys[0], keys[8], keys[24]) == ("2024-05-01-00:00", "2024-05-01-08:00", "2024-05-02-00:00")


def test_depots_are_sorted_so_that_their_order_in_the_settings_does_not_matter() -> None:
    one, other = (day_depot_partitions("2024-05-01", depots) for depots in (["b", "a"], ["a", "b"]))
    assert one == other
