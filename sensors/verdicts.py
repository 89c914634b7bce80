"""What Dagster knows of the gates: which partitions passed, failed, or were not judged on what they hold now.

Judging itself is in `asset_checks`; what follows from it is in `restatement.py`.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Final

import dagster as dg

from fleet_assets.policy.documents import Policies
from fleet_assets.provenance.fingerprints import gate_policy_digest
from fleet_assets.provenance.ledger import Partition
from partitions.keys import from_dagster

PAGE: Final = 500
MIN_PAGE: Final = 10
_SETTLED: Final = {"SUCCEEDED", "FAILED"}


@dataclass(frozen=True, slots=True)
class Guard:
    """A gate as the sweep sees it.

    Attributes:
        key: Dagster's key of the check.
        policy: Policy document → top-level keys that it reads.
    """

    key: dg.AssetCheckKey
    policy: Mapping[str, tuple[str, ...]]


GatesByTable = Mapping[str, Sequence[Guard]]
"""Gates by the dotted name of the table that they guard."""


class Standing(IntEnum):
    """How a table's partition stands with its gates; of several gates the lowest counts."""

    UNJUDGED = 0
    """A gate has no verdict on what the partition holds now: never asked, or its run died first."""
    FAILED = 1
    """A gate failed or was inconclusive."""
    PASSED = 2
    """Every gate passed."""


Infos = Mapping[dg.AssetCheckKey, Mapping[Partition, Any]]
"""What Dagster keeps of the latest verdict on each partition, by gate."""


def verdict_infos(instance: dg.DagsterInstance, keys: Collection[dg.AssetCheckKey]) -> Infos:
    """What Dagster knows of some gates, in one query."""
    found: dict[dg.AssetCheckKey, dict[Partition, Any]] = {key: {} for key in keys}
    for info in instance.event_log_storage.get_asset_check_partition_info(list(found)) if found else ():
        partition = from_dagster(info.partition_key) if info.partition_key is not None else ()
        found[info.check_key][partition] = info
    return found


def _standing(info: Any) -> Standing:
    if not info.is_current or info.latest_execution_status.value not in _SETTLED:
        return Standing.UNJUDGED
    return Standing.PASSED if info.latest_execution_status.value == "SUCCEEDED" else Standing.FAILED


def standings(infos: Infos, gates: GatesByTable) -> dict[str, dict[Partition, Standing]]:
    """Standing by table and partition; partitions that no run ever touched are absent.

    Args:
        infos: What Dagster knows of the gates.
        gates: The gates asked about.
    """
    found: dict[str, dict[Partition, Standing]] = {}
    for table, guards in gates.items():
        heard: dict[Partition, list[Standing]] = {}
        for guard in guards:
            for partition, info in infos[guard.key].items():
                heard.setdefault(partition, []).append(_standing(info))
        found[table] = {
            partition: min(given) if len(given) == len(guards) else Standing.UNJUDGED
            for partition, given in heard.items()
        }
    return found


def outdated_verdicts(
    instance: dg.DagsterInstance, infos: Infos, policies: Policies, gates: GatesByTable
) -> Iterator[tuple[Partition, str, str]]:
    """(partition, gate, digest of the policies in force) of every verdict that was given under other policies."""
    for guard in (guard for guards in gates.values() for guard in guards if guard.policy):
        in_force = gate_policy_digest(guard.policy, policies)
        settled = {partition: info for partition, info in infos[guard.key].items() if _standing(info)}
        for partition, digest in _judged_under(instance, guard.key, settled).items():
            if digest != in_force:
                yield partition, guard.key.to_user_string(), in_force


_digests: dict[tuple[str, Partition, str, int], str] = {}
"""Policy digest by gate, partition, run and event: verdicts are immutable, so what was read of them stays true."""


def _judged_under(
    instance: dg.DagsterInstance, key: dg.AssetCheckKey, settled: Mapping[Partition, Any]
) -> dict[Partition, str]:
    """Policy digest that the latest verdict on each partition states; only new verdicts are read."""
    names = {
        partition: (key.to_user_string(), partition, info.latest_planned_run_id, info.latest_check_event_storage_id)
        for partition, info in settled.items()
    }
    unread = {partition for partition, name in names.items() if name not in _digests}
    cursor = None
    while unread:
        # The latest come first, and each is a verdict with all its figures: no more than are likely to be needed.
        limit = min(PAGE, 2 * len(unread) + MIN_PAGE)
        page = instance.event_log_storage.get_asset_check_execution_history(key, limit=limit, cursor=cursor)
        if not page:
            break
        for record in page:
            partition = from_dagster(record.partition) if record.partition is not None else ()
            if partition in unread and record.evaluation is not None and record.status.value in _SETTLED:
                unread.discard(partition)
                stated = record.evaluation.metadata.get("policy_digest")
                _digests[names[partition]] = str(stated.value) if stated is not None else ""
        cursor = page[-1].id
    return {partition: _digests[name] for partition, name in names.items() if name in _digests}


def latest_verdicts(
    instance: dg.DagsterInstance, key: dg.AssetCheckKey, partitions: Collection[Partition]
) -> dict[Partition, Mapping[str, Any]]:
    """What a gate's latest verdict on each of some partitions states; those that it never judged are absent."""
    found: dict[Partition, Mapping[str, Any]] = {}
    unread, cursor = set(partitions), None
    while unread:
        page = instance.event_log_storage.get_asset_check_execution_history(key, limit=PAGE, cursor=cursor)
        if not page:
            break
        for record in page:
            judged = from_dagster(record.partition) if record.partition is not None else ()
            if judged in unread and record.evaluation is not None and record.status.value in _SETTLED:
                unread.discard(judged)
                found[judged] = {name: entry.value for name, entry in record.evaluation.metadata.items()}
        cursor = page[-1].id
    return found


def latest_outcome(instance: dg.DagsterInstance, key: dg.AssetCheckKey, partition: Partition) -> str | None:
    """Outcome of a gate's latest verdict on one partition; None when it never judged it."""
    stated = latest_verdicts(instance, key, [partition]).get(partition, {}).get("outcome")
    return None if stated is None else str(stated)
