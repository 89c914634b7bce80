"""Verdicts on telemetry: no message vanishes, and not too many are of an unknown schema. Pure; numbers come in."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Final

from fleet_assets.evidence.verdicts import Figure, Outcome, Verdict, evidence_digest

_NAMED: Final = 5


@dataclass(frozen=True, slots=True)
class Counted:
    """What became of some lines or messages.

    Attributes:
        incoming: How many came, over all batches, as the receipts say.
        stored: How many are taken.
        duplicates: How many say what another one says.
        quarantined: How many are held back with a reason.
        unknown: How many of those that are taken came with no batch.
    """

    incoming: int
    stored: int
    duplicates: int
    quarantined: int
    unknown: int = 0


def messages_conserved(counted: Counted, waiting: int, *, policy_digest: str) -> Verdict:
    """In = stored + duplicates + quarantined.

    Args:
        counted: What became of them.
        waiting: Units that are not up to date with what came; while there are any, no count can be told right or wrong.
        policy_digest: Digest of the policy in force.
    """
    counts = asdict(counted)
    figures: dict[str, Figure] = {**counts, "waiting": waiting}
    digest = evidence_digest(figures)
    if waiting:
        missing = ("messages that came since: materialise this partition, then run this check",)
        return Verdict(Outcome.INCONCLUSIVE, figures, digest, policy_digest, missing)
    lost = counted.incoming - counted.stored - counted.duplicates - counted.quarantined
    figures["lost"] = lost
    outcome = Outcome.FAIL if lost != 0 or counted.unknown > 0 else Outcome.PASS
    return Verdict(outcome, figures, digest, policy_digest)


def unknown_schema_verdict(
    unknown: Mapping[str, int], messages: int, waiting: int, *, max_share: float, policy_digest: str
) -> Verdict:
    """The share of an hour's messages whose schema is not in the registry is within the limit.

    Every message of the hour is counted and none is sampled, so the share is exact and needs no interval.

    Args:
        unknown: Schema with version → different messages that name it, of those that the registry lacks.
        messages: All different messages of the hour.
        waiting: Units that are not up to date with what came.
        max_share: Largest tolerable share.
        policy_digest: Digest of the policy in force.
    """
    count = sum(unknown.values())
    share = count / messages if messages else 0.0
    named = sorted(unknown, key=lambda name: (-unknown[name], name))
    figures: dict[str, Figure] = {"messages": messages, "unknown": count, "share": share, "max_share": max_share}
    if named:
        more = f" and {len(named) - _NAMED} more" if len(named) > _NAMED else ""
        figures["unknown_schemas"] = ", ".join(named[:_NAMED]) + more
    digest = evidence_digest([dict(unknown), messages, waiting])
    if waiting:
        missing = ("messages that came since: materialise this partition, then run this check",)
        return Verdict(Outcome.INCONCLUSIVE, figures, digest, policy_digest, missing)
    return Verdict(Outcome.FAIL if share > max_share else Outcome.PASS, figures, digest, policy_digest)
