"""The gate factory: from a pure function that returns a `Verdict` to a blocking, partitioned Dagster check.

Which gates exist is in the areas' files; numbers are in policies; how a verdict comes about is in `evidence` and in the
areas' domain modules.
"""

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import dagster as dg

from fleet_assets.evidence.verdicts import Outcome, Verdict
from fleet_assets.provenance.ledger import Partition
from fleet_assets.tables import Table
from partitions.keys import from_dagster
from resources.platform import Fleet

Judge = Callable[[Fleet, Partition], Verdict]
"""Reads one partition and judges it; never catches: a crash is a crash."""
PartitionsDefinitions = Mapping[tuple[str, ...], dg.PartitionsDefinition[Any] | None]
"""Partitions definition by partition columns."""


@dataclass(frozen=True, slots=True)
class Gate:
    """One gate.

    Attributes:
        table: Table whose partitions it guards.
        name: Name of the check.
        description: What must hold, as a person reads it.
        judge: The pure judgement.
        policy: Policy document → top-level keys that it reads; a changed one has partitions judged again.
    """

    table: Table
    name: str
    description: str
    judge: Judge
    policy: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def key(self) -> dg.AssetCheckKey:
        """Dagster's key of the check."""
        return dg.AssetCheckKey(dg.AssetKey(list(self.table.key)), self.name)


def metadata_of(verdict: Verdict) -> Mapping[str, Any]:
    """A verdict as check metadata: outcome, figures, digests, and what is missing."""
    return {
        "outcome": verdict.outcome.value,
        **verdict.figures,
        "missing": "; ".join(verdict.missing) or "nothing",
        "evidence_digest": verdict.evidence_digest,
        "policy_digest": verdict.policy_digest,
    }


def gate_checks(
    gates: Sequence[Gate], partitions_def: PartitionsDefinitions, ingested: Collection[dg.AssetKey] = ()
) -> list[dg.AssetChecksDefinition]:
    """The blocking checks of gates: one step per table, since every step of a run has a price of its own.

    Inconclusive counts as failed, and says what evidence is missing. A gate can be asked alone, too.

    Args:
        gates: Gates, in graph order.
        partitions_def: Partitions definition of each table, by its partition columns.
        ingested: Tables that the ingestion area makes. Their gates may open what its assets may; gates of all other
            tables get the platform as later areas have it, without class raw.
    """
    by_table: dict[str, list[Gate]] = {}
    for gate in gates:
        by_table.setdefault(gate.table.name, []).append(gate)
    return [
        _table_checks(
            own,
            partitions_def[own[0].table.partition_by],
            "ingestion" if own[0].key.asset_key in ingested else "fleet",
        )
        for own in by_table.values()
    ]


def _table_checks(
    gates: Sequence[Gate], partitions_def: dg.PartitionsDefinition[Any] | None, platform: str
) -> dg.AssetChecksDefinition:
    by_key = {gate.key: gate for gate in gates}
    specs = [
        dg.AssetCheckSpec(
            gate.name, asset=key.asset_key, description=gate.description, blocking=True, partitions_def=partitions_def
        )
        for key, gate in by_key.items()
    ]

    @dg.multi_asset_check(
        name=f"gates_of_{'_'.join(gates[0].table.key)}",
        specs=specs,
        can_subset=True,
        required_resource_keys={platform},
    )
    def checks(context: dg.AssetCheckExecutionContext) -> Iterator[dg.AssetCheckResult]:
        fleet: Fleet = getattr(context.resources, platform)
        partition = from_dagster(context.partition_key) if partitions_def is not None else ()
        crashed: list[Exception] = []
        for key in sorted(context.selected_asset_check_keys, key=list(by_key).index):
            try:
                yield _result(by_key[key], fleet, partition)
            except Exception as error:  # noqa: BLE001 - raised below, once its neighbours have been asked
                error.add_note(f"in gate {key.to_user_string()}")
                crashed.append(error)
        if crashed:
            raise crashed[0]

    return checks


def _result(gate: Gate, fleet: Fleet, partition: Partition) -> dg.AssetCheckResult:
    started = time.process_time()
    verdict = gate.judge(fleet, partition)
    return dg.AssetCheckResult(
        asset_key=gate.key.asset_key,
        check_name=gate.name,
        passed=verdict.outcome is Outcome.PASS,
        severity=dg.AssetCheckSeverity.ERROR,
        description=f"{verdict.outcome.value}: {gate.description}",
        # What it cost is no part of the verdict.
        metadata={**metadata_of(verdict), "cpu_s": round(time.process_time() - started, 3)},
    )
