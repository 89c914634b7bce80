"""What the search index lacks of the lake: a report for the sweep, since edges can be lost and runs can die."""

from collections.abc import Mapping, Sequence
from typing import Final

import dagster as dg

from fleet_assets.policy.documents import digest_of
from fleet_assets.provenance.ledger import Partition
from fleet_assets.tables.catalog import SEARCH_DOCUMENTS
from resources.platform import Fleet

INDEX: Final = dg.AssetKey(["silver", "search_index"])


def outdated_index(fleet: Fleet) -> Mapping[Partition, Sequence[str]]:
    """Partitions of which the index has other documents than the lake, each with the digest of what it should have."""
    wanted: dict[Partition, dict[str, str]] = {}
    for entry in fleet.lake.entries(SEARCH_DOCUMENTS):
        wanted.setdefault(entry.partition, {})[entry.unit] = entry.digest
    held: dict[Partition, dict[str, str]] = {}
    for (partition, drive), digest in fleet.search_index.held().items():
        held.setdefault(partition, {})[drive] = digest
    return {
        partition: [f"search index of {digest_of(wanted.get(partition, {}))}"]
        for partition in sorted(wanted.keys() | held.keys())
        if wanted.get(partition) != held.get(partition)
    }
