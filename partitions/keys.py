"""Partition keys: the tuples that the lake uses and the text that Dagster uses."""

import dagster as dg

from partitions.fleet import DAY, DEPOT


def to_dagster(values: tuple[str, ...]) -> str:
    """Dagster partition key of a lake partition: (day, depot) or (day,).

    Raises:
        ValueError: For any other number of values.
    """
    if len(values) == 1:
        return values[0]
    if len(values) != 2:  # noqa: PLR2004 - day and depot
        raise ValueError(f"{values}: a partition is (day,) or (day, depot).")
    return dg.MultiPartitionKey({DAY: values[0], DEPOT: values[1]})


def from_dagster(key: str) -> tuple[str, ...]:
    """Lake partition of a Dagster partition key; dimensions are ordered by name, so day comes first."""
    if isinstance(key, dg.MultiPartitionKey):
        return (key.keys_by_dimension[DAY], key.keys_by_dimension[DEPOT])
    return tuple(key.split("|"))
