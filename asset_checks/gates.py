"""The gate factory: from a pure function that returns a `Verdict` to a blocking, partitioned Dagster check.

Which gates exist is in the areas' files; numbers are in policies; how a verdict comes about is in `evidence` and in the
areas' domain modules.
"""

import time
from collections.abc import Callable, Mapping
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


def gate_check(
    gate: Gate,
    partitions_def: dg.PartitionsDefinition[Any] | None,
) -> dg.AssetChecksDefinition:
    """The blocking check of a gate. Inconclusive counts as failed, and says what evidence is missing."""

    @dg.asset_check(
        asset=dg.AssetKey(list(gate.table.key)),
        name=gate.name,
        description=gate.description,
        blocking=True,
        partitions_def=partitions_def,
    )
    def check(context: dg.AssetCheckExecutionContext, ingestion: Fleet) -> dg.AssetCheckResult:
        partition = from_dagster(context.partition_key) if partitions_def is not None else ()
        started = time.process_time()
        verdict = gate.judge(ingestion, partition)
        return dg.AssetCheckResult(
            passed=verdict.outcome is Outcome.PASS,
            severity=dg.AssetCheckSeverity.ERROR,
            description=f"{verdict.outcome.value}: {gate.description}",
            # What it cost is no part of the verdict.
            metadata={**metadata_of(verdict), "cpu_s": round(time.process_time() - started, 3)},
        )

    return check
