"""The level-triggered sweep: asks the ledger what is stale and requests exactly those partitions.

Automation conditions are edges and can be lost; this is the truth. `decide` is pure; reading and asking is around it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import dagster as dg

from fleet_assets.policy.documents import digest_of
from fleet_assets.provenance.ledger import Partition
from fleet_assets.provenance.restate import Step
from fleet_assets.provenance.staleness import Stale, partition_roots, stale_partitions, unreported
from partitions.keys import from_dagster, to_dagster
from resources.platform import Fleet

PLAN_TAG: Final = "fleet/plan"
DATA_VERSION_TAG: Final = "dagster/data_version"
PARTITION_TAG: Final = "dagster/partition"
ACTIVE: Final = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


@dataclass(frozen=True, slots=True)
class Observed:
    """What the sweep sees.

    Attributes:
        stale: Work that the ledger finds outstanding.
        unreported: Partitions whose state Dagster does not know, with the tables.
        active: Partitions with a run under way.
        attempts: Plan identity → runs that were made for it and ended.
    """

    stale: Sequence[Stale]
    unreported: Mapping[Partition, Sequence[str]]
    active: frozenset[Partition]
    attempts: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Ask:
    """One run to request: a partition, the identity of its plan, and which attempt this is."""

    partition: Partition
    identity: str
    attempt: int
    reason: str


def plan_identities(stale: Sequence[Stale], missing: Mapping[Partition, Sequence[str]]) -> dict[Partition, str]:
    """Identity of the outstanding work by partition: partition + what is wanted there."""
    parts: dict[Partition, list[str]] = {}
    for item in stale:
        parts.setdefault(item.partition, []).append(item.identity)
    for partition, tables in missing.items():
        parts.setdefault(partition, []).append("report:" + ",".join(sorted(tables)))
    return {partition: digest_of([list(partition), sorted(items)]) for partition, items in parts.items()}


def decide(observed: Observed, *, cap: int, attempts: int) -> list[Ask]:
    """Which partitions to request now.

    A partition with a run under way waits for it. A plan that was tried `attempts` times is left to a person: its gate
    failed or it crashes; any change of inputs, policies or versions makes a new plan.

    Args:
        observed: What the sweep sees.
        cap: Most requests in one tick.
        attempts: Most runs for one plan.
    """
    asks = []
    reasons: dict[Partition, list[str]] = {}
    for item in observed.stale:
        reasons.setdefault(item.partition, []).append(
            f"{item.step.operator.name}: {len(item.plan.stale)} stale, {len(item.plan.gone)} gone"
        )
    for partition, identity in sorted(plan_identities(observed.stale, observed.unreported).items()):
        made = observed.attempts.get(identity, 0)
        if partition in observed.active or made >= attempts:
            continue
        reason = "; ".join(reasons.get(partition, ["Dagster does not know the lake's state"]))
        asks.append(Ask(partition, identity, made, reason))
    return asks[:cap]


def _reported(instance: dg.DagsterInstance, tables: Sequence[str]) -> dict[str, dict[Partition, str]]:
    """Data versions that Dagster knows, one query per asset."""
    known: dict[str, dict[Partition, str]] = {}
    for name in tables:
        tags = instance.event_log_storage.get_latest_tags_by_partition(
            dg.AssetKey(name.split(".")), dg.DagsterEventType.ASSET_MATERIALIZATION, [DATA_VERSION_TAG]
        )
        known[name] = {from_dagster(key): found.get(DATA_VERSION_TAG, "") for key, found in tags.items()}
    return known


def observe(fleet: Fleet, instance: dg.DagsterInstance, steps: Sequence[Step], partition_size: int) -> Observed:
    """Read ledger and instance.

    Args:
        fleet: The platform.
        instance: Dagster's instance.
        steps: Steps to look after.
        partition_size: Number of partition columns of their outputs (2: day × depot, 1: day).
    """
    mine = [s for s in steps if len(fleet.tables[s.operator.outputs[0]].partition_by) == partition_size]
    tables = [name for step in mine for name in step.operator.outputs]
    stale = stale_partitions(fleet, mine)
    missing = unreported(partition_roots(fleet, tables), _reported(instance, tables))
    identities = set(plan_identities(stale, missing).values())
    attempts: dict[str, int] = {}
    active: set[Partition] = set()
    for record in instance.get_run_records(dg.RunsFilter(statuses=ACTIVE)):
        if key := record.dagster_run.tags.get(PARTITION_TAG):
            active.add(from_dagster(key))
    for identity in identities:
        ended = instance.get_runs(dg.RunsFilter(tags={PLAN_TAG: identity[:PLAN_TAG_LENGTH]}))
        attempts[identity] = len(ended)
    return Observed(stale, missing, frozenset(active), attempts)


PLAN_TAG_LENGTH: Final = 32


def run_request(ask: Ask, keys: Sequence[dg.AssetKey]) -> dg.RunRequest:
    """The run for one ask; the same plan and attempt is the same run."""
    identity = ask.identity[:PLAN_TAG_LENGTH]
    return dg.RunRequest(
        run_key=f"{'|'.join(ask.partition)}:{identity}:{ask.attempt}",
        partition_key=to_dagster(ask.partition) if ask.partition else None,
        asset_selection=list(keys),
        tags={PLAN_TAG: identity, "fleet/reason": ask.reason[:200]},
    )


def sweep_sensor(
    name: str,
    steps: Sequence[Step],
    keys: Sequence[dg.AssetKey],
    *,
    partition_size: int,
    interval_s: int,
    description: str,
) -> dg.SensorDefinition:
    """A sensor that brings stale partitions of some steps up to date.

    Args:
        name: Sensor name.
        steps: Steps to look after.
        keys: Assets that one run brings up to date; unchanged ones only re-report and have their gates judged again.
        partition_size: Number of partition columns of the steps' outputs.
        interval_s: Pause between ticks.
        description: What the sensor is for.
    """

    @dg.sensor(
        name=name,
        asset_selection=dg.AssetSelection.assets(*keys),
        minimum_interval_seconds=interval_s,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=description,
    )
    def sweep(context: dg.SensorEvaluationContext, ingestion: Fleet) -> Any:
        ingestion.forget()
        policy = ingestion.policies["automation"]
        observed = observe(ingestion, context.instance, steps, partition_size)
        asks = decide(observed, cap=policy["runs_per_tick"], attempts=policy["attempts"])
        if not asks:
            waiting = f", {len(observed.active)} partitions have runs under way" if observed.active else ""
            return dg.SkipReason(f"{len(observed.stale)} stale partitions left to request{waiting}.")
        return dg.SensorResult(run_requests=[run_request(ask, keys) for ask in asks])

    return sweep
