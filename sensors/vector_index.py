"""What the vector index lacks of the lake: a report for the sweep, since edges can be lost and runs can die."""

from collections.abc import Mapping, Sequence

from fleet_assets.policy.documents import digest_of
from fleet_assets.provenance.ledger import Partition
from fleet_assets.tables.embeddings import CLIP_EMBEDDINGS
from resources.platform import Fleet


def outdated_vectors(fleet: Fleet) -> Mapping[Partition, Sequence[str]]:
    """Partitions of which the index has other vectors than the lake, each with the digest of what it should have."""
    wanted: dict[Partition, dict[str, str]] = {}
    for entry in fleet.lake.entries(CLIP_EMBEDDINGS):
        wanted.setdefault(entry.partition, {})[entry.unit] = entry.digest
    held: dict[Partition, dict[str, str]] = {}
    for (partition, drive), digest in fleet.vectors.held().items():
        held.setdefault(partition, {})[drive] = digest
    return {
        partition: [f"vector index of {digest_of(wanted.get(partition, {}))}"]
        for partition in sorted(wanted.keys() | held.keys())
        if wanted.get(partition) != held.get(partition)
    }
