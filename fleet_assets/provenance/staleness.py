"""Staleness: which partitions of which steps are not what the ledger says they should be, and why.

A pure reading, used by `fleet plan`, the landing sensor and the restatement sweep. Asking for runs is theirs.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fleet_assets.policy.documents import digest_of
from fleet_assets.provenance.digests import EMPTY_ROOT
from fleet_assets.provenance.ledger import Entry, Partition, Plan, plan, root
from fleet_assets.provenance.platform import Platform
from fleet_assets.provenance.restate import Step


@dataclass(frozen=True, slots=True)
class Stale:
    """One partition of one step that has work to do.

    Attributes:
        step: The step.
        partition: The partition.
        plan: Units to compute and to drop.
    """

    step: Step
    partition: Partition
    plan: Plan

    @property
    def identity(self) -> str:
        """Digest of what is wanted: equal as long as the same work is outstanding."""
        return digest_of([self.step.operator.name, self.partition, dict(self.plan.stale), list(self.plan.gone)])


def stale_partitions(platform: Platform, steps: Iterable[Step]) -> list[Stale]:
    """Everything that is out of date, in step and partition order.

    Each step is compared with its inputs as they are now: what becomes stale because of work still to be done shows up
    once that work is done.
    """
    states: dict[Any, Any] = {}
    found = []
    for step in steps:
        if step.read_state not in states:
            states[step.read_state] = step.read_state(platform)
        outputs = [platform.tables[name] for name in step.operator.outputs]
        held = [_by_partition(platform.lake.entries(table)) for table in outputs]
        wanted = step.units(states[step.read_state], None)
        for partition in sorted(set(wanted) | {key for entries in held for key in entries}):
            units = wanted[partition].units if partition in wanted else {}
            waiting = set(wanted[partition].waiting) if partition in wanted else set()
            fingerprints = {unit: unit_input.fingerprint for unit, unit_input in units.items()}
            todo = plan(fingerprints, [entries.get(partition, ()) for entries in held])
            todo = Plan(todo.stale, tuple(unit for unit in todo.gone if unit not in waiting), todo.current)
            if not todo.is_done:
                found.append(Stale(step, partition, todo))
    return found


def _by_partition(entries: Iterable[Entry]) -> dict[Partition, list[Entry]]:
    grouped: dict[Partition, list[Entry]] = {}
    for entry in entries:
        grouped.setdefault(entry.partition, []).append(entry)
    return grouped


def partition_roots(platform: Platform, tables: Sequence[str]) -> dict[str, dict[Partition, str]]:
    """Digest of every partition of the given tables: what Dagster should know as its data version."""
    return {
        name: {
            partition: root(entries)
            for partition, entries in _by_partition(platform.lake.entries(platform.tables[name])).items()
        }
        for name in tables
    }


def unreported(
    roots: Mapping[str, Mapping[Partition, str]], reported: Mapping[str, Mapping[Partition, str]]
) -> dict[Partition, list[str]]:
    """Partitions of which Dagster knows no or another data version than the lake holds, with the tables concerned.

    A partition that lost its last drive to another one holds nothing now, and Dagster has to learn that too.
    """
    missing: dict[Partition, list[str]] = {}
    for table, partitions in roots.items():
        known = reported.get(table, {})
        emptied = {partition: EMPTY_ROOT for partition in known if partition not in partitions}
        for partition, digest in {**partitions, **emptied}.items():
            if known.get(partition) != digest:
                missing.setdefault(partition, []).append(table)
    return dict(sorted(missing.items()))
