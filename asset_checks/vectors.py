"""Gates of embeddings and vector index: nothing is left out, the index finds what an exact search finds, no drift."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import pyarrow as pa

from asset_checks.gates import Gate
from asset_checks.mining import conservation_gate, stale_drives
from fleet_assets.evidence.verdicts import Verdict
from fleet_assets.mining.embeddings_and_vector_index.questions import answers_of, compared, enough
from fleet_assets.mining.embeddings_and_vector_index.sides import Sides, sides
from fleet_assets.mining.embeddings_and_vector_index.verdicts import (
    Answers,
    drift_verdict,
    duplicate_verdict,
    recall_verdict,
)
from fleet_assets.mining.steps import CLIP_VECTORS_STEP, PICTURE_VECTORS_STEP, VECTOR_LIST_STEP
from fleet_assets.provenance.fingerprints import gate_policy_digest
from fleet_assets.provenance.ledger import Entry, Partition
from fleet_assets.tables.embeddings import CLIP_EMBEDDINGS, MISSING_EMBEDDINGS, PICTURE_EMBEDDINGS, VECTOR_INDEX
from resources.platform import Fleet

POLICY: Final = {"embeddings": ("gates",)}
_COLUMNS: Final = ["drive_id", "clip_id", "modality", "model", "model_digest", "vector"]


def _waiting(fleet: Fleet, partition: Partition) -> set[str]:
    """Drives of which the index does not have what the lake has, or that have no vectors in the lake yet."""
    _, stale = stale_drives(fleet, VECTOR_LIST_STEP, VECTOR_INDEX, partition)
    entries = {entry.unit: entry.digest for entry in fleet.lake.entries(CLIP_EMBEDDINGS, partition)}
    held = {drive: digest for (_, drive), digest in fleet.vectors.held(partition).items()}
    return stale | {drive for drive in entries.keys() | held.keys() if entries.get(drive) != held.get(drive)}


def _answers(fleet: Fleet, partition: Partition, waiting: set[str]) -> dict[str, Answers]:
    if waiting:
        return {}
    rows = fleet.lake.rows(CLIP_EMBEDDINGS, partition, _COLUMNS)
    return answers_of(fleet.vectors, rows, fleet.policies["embeddings"]["gates"])


def judge_recall(fleet: Fleet, partition: Partition) -> Verdict:
    """The index finds what an exact search finds about the clips of this day and depot."""
    waiting, policy = _waiting(fleet, partition), fleet.policies["embeddings"]["gates"]["recall"]
    digest = gate_policy_digest(POLICY, fleet.policies)
    return recall_verdict(_answers(fleet, partition, waiting), waiting, policy, policy_digest=digest)


def judge_duplicates(fleet: Fleet, partition: Partition) -> Verdict:
    """The index finds near-duplicates of the clips of this day and depot, planted and known ones."""
    waiting, policy = _waiting(fleet, partition), fleet.policies["embeddings"]["gates"]["duplicates"]
    digest = gate_policy_digest(POLICY, fleet.policies)
    return duplicate_verdict(_answers(fleet, partition, waiting), waiting, policy, policy_digest=digest)


def judge_drift(fleet: Fleet, partition: Partition) -> Verdict:
    """The newest clips of this depot look to the models as those of its frozen reference did."""
    policy, digest = fleet.policies["embeddings"]["gates"]["drift"], gate_policy_digest(POLICY, fleet.policies)
    _, waiting = stale_drives(fleet, CLIP_VECTORS_STEP, CLIP_EMBEDDINGS, partition)
    day, depot = partition
    entries = [one for one in fleet.lake.entries(CLIP_EMBEDDINGS) if one.partition[1] == depot and one.rows]
    own = [one for one in entries if one.partition == tuple(partition)]
    if not own:
        return drift_verdict({}, waiting, policy, policy_digest=digest)
    divided = sides(entries, day, policy)
    in_reference = day <= divided.last
    before, rows = (
        (divided.reference, _read(fleet, own[: policy["least_drives"]]))
        if in_reference
        else _pooled(fleet, divided, len(own), policy)
    )
    found = compared(_frozen(fleet, before, policy["clips"]), rows, in_reference=in_reference, policy=policy)
    return drift_verdict(found, waiting, policy, policy_digest=digest)


def _read(fleet: Fleet, entries: Sequence[Entry]) -> pa.Table:
    return fleet.lake.read(CLIP_EMBEDDINGS, entries, _COLUMNS)


def _pooled(fleet: Fleet, divided: Sides, own: int, policy: Mapping[str, Any]) -> tuple[Sequence[Entry], pa.Table]:
    """Drives of the reference, and rows of the newest ones: those of the day, and as many before as it takes."""
    count = max(policy["least_drives"], min(own, policy["clips"]))
    while True:
        before, newest = divided.first(count)
        rows = _read(fleet, newest)
        if count >= len(divided.window) or enough(rows, policy):
            return before, rows
        count *= 2


def _frozen(fleet: Fleet, entries: Sequence[Entry], drives: int) -> pa.Table:
    """Rows of the reference: at most so many drives, in an order that has nothing to do with what is in them."""
    chosen = sorted(entries, key=lambda one: one.digest)[:drives]
    return fleet.lake.read(CLIP_EMBEDDINGS, chosen, _COLUMNS)


def vector_gates() -> list[Gate]:
    """All gates of workflow 7, in graph order."""
    return [
        conservation_gate(PICTURE_VECTORS_STEP, PICTURE_EMBEDDINGS),
        conservation_gate(CLIP_VECTORS_STEP, CLIP_EMBEDDINGS),
        conservation_gate(CLIP_VECTORS_STEP, MISSING_EMBEDDINGS),
        Gate(CLIP_EMBEDDINGS, "drift", "Clips look to the models as those of the reference.", judge_drift, POLICY),
        conservation_gate(VECTOR_LIST_STEP, VECTOR_INDEX),
        Gate(VECTOR_INDEX, "recall", "The index finds what an exact search finds.", judge_recall, POLICY),
        Gate(VECTOR_INDEX, "duplicates", "The index finds near-duplicates.", judge_duplicates, POLICY),
    ]
