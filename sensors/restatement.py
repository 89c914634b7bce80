"""The level-triggered sweep: asks the ledger what is stale and requests exactly those partitions.

Automation conditions are edges and can be lost; this is the truth. `decide` is pure; reading and asking is around it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

import dagster as dg

from fleet_assets.policy.documents import digest_of
from fleet_assets.provenance.ledger import Partition
from fleet_assets.provenance.restate import Step
from fleet_assets.provenance.staleness import Stale, partition_roots, stale_partitions, unreported
from partitions.keys import from_dagster, to_dagster
from resources.platform import Fleet
from resources.processes import LOST_TAG, PLAN_TAG, WAITING, close_lost_runs
from sensors.verdicts import GatesByTable, Standing, outdated_verdicts, standings, verdict_infos

DATA_VERSION_TAG: Final = "dagster/data_version"
PARTITION_TAG: Final = "dagster/partition"
ACTIVE: Final = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


Reports = Callable[[Fleet], Mapping[Partition, Sequence[str]]]
"""What a run would have to write down, by partition."""


def no_reports(fleet: Fleet) -> Mapping[Partition, Sequence[str]]:
    """Nothing beyond data versions and verdicts."""
    del fleet
    return {}


def all_reports(*reports: Reports) -> Reports:
    """What several functions report, together."""

    def together(fleet: Fleet) -> Mapping[Partition, Sequence[str]]:
        found: dict[Partition, list[str]] = {}
        for one in reports:
            for partition, told in one(fleet).items():
                found.setdefault(partition, []).extend(told)
        return found

    return together


Prepare = Callable[[Fleet, dg.DagsterInstance], None]
"""What has to be told to Dagster before partitions can be asked for, such as their keys."""


def nothing_to_prepare(fleet: Fleet, instance: dg.DagsterInstance) -> None:
    """Partitions are known by the calendar."""
    del fleet, instance


@dataclass(frozen=True, slots=True)
class Observed:
    """What the sweep sees.

    Attributes:
        stale: Work that the ledger finds outstanding.
        unreported: Partitions whose state Dagster does not know, or whose gates were not asked about it under the
            policies in force, with the tables.
        active: Partitions with a run under way.
        held: Partitions whose inputs come from other runs, in which a gate has not passed.
        attempts: Plan identity → runs that were made for it.
        lost: Plan identity → how many of these died with their process.
    """

    stale: Sequence[Stale]
    unreported: Mapping[Partition, Sequence[str]]
    active: frozenset[Partition]
    held: frozenset[Partition]
    attempts: Mapping[str, int]
    lost: Mapping[str, int]


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
    for partition, reports in missing.items():
        parts.setdefault(partition, []).extend(f"report:{report}" for report in reports)
    return {partition: digest_of([list(partition), sorted(items)]) for partition, items in parts.items()}


def decide(observed: Observed, *, cap: int, attempts: int) -> list[Ask]:
    """Which partitions to request now.

    A partition with a run under way waits for it; one that is held waits for its gates. A plan that was tried
    `attempts` times is left to a person: its gate fails or it crashes; any change of inputs, policies or versions makes
    a new plan. Runs that died with their process are not counted: a kill says nothing about the plan.

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
        tried = made - observed.lost.get(identity, 0)
        if partition in observed.active or partition in observed.held or tried >= attempts:
            continue
        reason = "; ".join(reasons.get(partition, ["Dagster or the gates do not know the lake's state"]))
        asks.append(Ask(partition, identity, made, reason))
    return asks[:cap]


def idle_reason(observed: Observed, attempts: int) -> str:
    """Why nothing is requested."""
    outstanding = plan_identities(observed.stale, observed.unreported)
    if busy := sorted("|".join(partition) for partition in observed.active.intersection(outstanding)):
        return f"{WAITING}{', '.join(busy[:5])}{' …' if len(busy) > 5 else ''}."  # noqa: PLR2004 - enough to read
    held = len(observed.held.intersection(outstanding))
    tried = f", {len(outstanding) - held} tried {attempts} times" if len(outstanding) > held else ""
    return f"Nothing to request: {len(outstanding)} partitions outstanding, {held} of them held back by gates{tried}."


def _reported(fleet: Fleet, instance: dg.DagsterInstance, tables: Sequence[str]) -> dict[str, dict[Partition, str]]:
    """Data versions that Dagster knows, one query per asset."""
    known: dict[str, dict[Partition, str]] = {}
    for name in tables:
        key = dg.AssetKey(name.split("."))
        tags = instance.event_log_storage.get_latest_tags_by_partition(
            key, dg.DagsterEventType.ASSET_MATERIALIZATION, [DATA_VERSION_TAG]
        )
        known[name] = {from_dagster(part): found.get(DATA_VERSION_TAG, "") for part, found in tags.items()}
        event = None if fleet.tables[name].partition_by else instance.get_latest_materialization_event(key)
        if event is not None and event.asset_materialization is not None:
            known[name][()] = (event.asset_materialization.tags or {}).get(DATA_VERSION_TAG, "")
    return known


Shut = Mapping[Partition, frozenset[str]]
"""Tables of a partition with a gate that judged what they hold and did not let it pass."""


def outstanding_reports(
    fleet: Fleet, instance: dg.DagsterInstance, tables: Sequence[str], gates: GatesByTable
) -> tuple[dict[Partition, list[str]], Shut]:
    """What a run would have to say anew, by partition: a data version, or the gates' verdicts on it. And what is shut.

    Gates are asked again when none has judged what the partition holds (the run died first), and when a policy that
    they read has changed since.
    """
    reported = _reported(fleet, instance, tables)
    missing = unreported(partition_roots(fleet, tables), reported)
    guarded = {name: guards for name, guards in gates.items() if name in tables}
    infos = verdict_infos(instance, [guard.key for guards in guarded.values() for guard in guards])
    shut: dict[Partition, frozenset[str]] = {}
    for name, by_partition in standings(infos, guarded).items():
        for partition in reported[name]:
            standing = by_partition.get(partition, Standing.UNJUDGED)
            if standing is Standing.UNJUDGED:
                missing.setdefault(partition, []).append(f"verdicts on {name}")
            elif standing is Standing.FAILED:
                shut[partition] = shut.get(partition, frozenset()) | {name}
    for partition, gate, policy in outdated_verdicts(instance, infos, fleet.policies, guarded):
        missing.setdefault(partition, []).append(f"verdict of {gate} under {policy}")
    return missing, shut


def open_work(stale: Sequence[Stale], steps: Sequence[Step], shut: Shut) -> list[Stale]:
    """Work that a run could do: what comes behind a gate that did not pass waits until the gate is asked about more.

    Args:
        stale: Work that the ledger finds outstanding.
        steps: All steps of these partitions, in graph order.
        shut: What gates hold back.
    """
    above: dict[str, frozenset[str]] = {}
    for step in steps:
        behind = frozenset[str]().union(*(above.get(name, {name}) for name in step.operator.inputs))
        above |= {name: behind | {name} for name in step.operator.outputs}
    return [
        item
        for item in stale
        if not shut.get(item.partition, frozenset())
        & (above[item.step.operator.outputs[0]] - {*item.step.operator.outputs})
    ]


def held_back(
    fleet: Fleet, instance: dg.DagsterInstance, steps: Sequence[Step], partition_by: Sequence[str], gates: GatesByTable
) -> frozenset[Partition]:
    """Partitions of which an input, made in other runs, has a gate that has not passed.

    Inside one run a failed blocking check holds back what follows; between runs the conditions do, and here the sweep.
    """
    inputs = {name for step in steps for name in step.operator.inputs}
    foreign = {name for name in inputs if fleet.tables[name].partition_by != tuple(partition_by)}
    there = {entry.partition for name in foreign for entry in fleet.lake.entries(fleet.tables[name])}
    guarded = {name: guards for name, guards in gates.items() if name in foreign}
    settled = standings(
        verdict_infos(instance, [guard.key for guards in guarded.values() for guard in guards]), guarded
    )
    return frozenset(
        partition[: len(partition_by)]
        for partition in there
        if any(by_partition.get(partition) is not Standing.PASSED for by_partition in settled.values())
    )


def observe(
    fleet: Fleet,
    instance: dg.DagsterInstance,
    steps: Sequence[Step],
    partition_by: Sequence[str],
    gates: GatesByTable,
    *,
    also: Reports = no_reports,
) -> Observed:
    """Read ledger and instance.

    Args:
        fleet: The platform.
        instance: Dagster's instance.
        steps: Steps to look after.
        partition_by: Partition columns of their outputs; steps with others are left out.
        gates: Gates to hear; a table that is not named here is not asked about.
        also: Further outstanding reports.
    """
    mine = [s for s in steps if fleet.tables[s.operator.outputs[0]].partition_by == tuple(partition_by)]
    tables = [name for step in mine for name in step.operator.outputs]
    missing, shut = outstanding_reports(fleet, instance, tables, gates)
    stale = open_work(stale_partitions(fleet, mine), mine, shut)
    for partition, reports in also(fleet).items():
        missing.setdefault(partition, []).extend(reports)
    active: set[Partition] = set()
    for record in instance.get_run_records(dg.RunsFilter(statuses=ACTIVE)):
        tags = record.dagster_run.tags
        if key := tags.get(PARTITION_TAG):
            active.add(from_dagster(key))
        elif PLAN_TAG in tags:  # an asset without partitions
            active.add(())
    attempts: dict[str, int] = {}
    lost: dict[str, int] = {}
    for identity in set(plan_identities(stale, missing).values()):
        runs = instance.get_runs(dg.RunsFilter(tags={PLAN_TAG: identity[:PLAN_TAG_LENGTH]}))
        attempts[identity], lost[identity] = len(runs), sum(LOST_TAG in run.tags for run in runs)
    held = held_back(fleet, instance, mine, partition_by, gates)
    return Observed(stale, missing, frozenset(active), held, attempts, lost)


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
    partition_by: Sequence[str],
    interval_s: int,
    description: str,
    gates: GatesByTable = MappingProxyType({}),
    also: Reports = no_reports,
    prepare: Prepare = nothing_to_prepare,
) -> dg.SensorDefinition:
    """A sensor that brings stale partitions of some steps up to date.

    Args:
        name: Sensor name.
        steps: Steps to look after.
        keys: Assets that one run brings up to date; unchanged ones only re-report and have their gates judged again.
        partition_by: Partition columns of the steps' outputs.
        interval_s: Pause between ticks.
        description: What the sensor is for.
        gates: Gates whose verdicts it keeps up to date, and which hold back what other runs make of their tables.
        also: Further reports that a run of it would make, by partition, as long as they are outstanding.
        prepare: Called first in every tick.
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
        close_lost_runs(context.instance)
        prepare(ingestion, context.instance)
        policy = ingestion.policies["automation"]
        observed = observe(ingestion, context.instance, steps, partition_by, gates, also=also)
        asks = decide(observed, cap=policy["runs_per_tick"], attempts=policy["attempts"])
        if not asks:
            return dg.SkipReason(idle_reason(observed, policy["attempts"]))
        return dg.SensorResult(run_requests=[run_request(ask, keys) for ask in asks])

    return sweep
