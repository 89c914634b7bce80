"""The gate of the triggers: each one's rate per 100 km is inside its control limits.

Here belongs the judgement. Counts and distances are rows of `gold.trigger_exposure`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from fleet_assets.evidence.poisson import poisson_bounds
from fleet_assets.evidence.verdicts import Figure, Outcome, Verdict, all_of, evidence_digest

_M_PER_100KM: Final = 100_000.0
_M_PER_KM: Final = 1000.0


@dataclass(frozen=True, slots=True)
class Watched:
    """What one trigger found in a partition.

    Attributes:
        events: Events.
        distance_m: Distance over which it could watch.
    """

    events: int
    distance_m: float


def counted(rows: Sequence[Mapping[str, Any]]) -> dict[str, Watched]:
    """Events and distance by trigger, of those that could watch at all.

    Args:
        rows: Rows of `gold.trigger_exposure` of one partition.
    """
    found: dict[str, Watched] = {}
    for row in rows:
        if row["missing"] is None and row["distance_m"] > 0.0:
            before = found.get(row["trigger"], Watched(0, 0.0))
            found[row["trigger"]] = Watched(before.events + row["events"], before.distance_m + row["distance_m"])
    return found


def rate_verdict(
    watched: Mapping[str, Watched],
    limits: Mapping[str, Mapping[str, Any]],
    waiting: int,
    policy: Mapping[str, Any],
    *,
    policy_digest: str,
) -> Verdict:
    """Hold every trigger's rate against its limits.

    A trigger fails when the exact one-sided bound of its rate lies beyond a limit; a partition at all its limits does
    so in at most 1 - `confidence` of all cases, since the error is shared among the triggers. Where less than
    `least_km` were watched, or drives still wait, the outcome is open.

    Args:
        watched: Events and distance by trigger; without any there is nothing to judge, and the verdict is a pass.
        limits: Key `rate` of each trigger's policy, by trigger.
        waiting: Drives that were not searched yet.
        policy: Key `rate` of the document `events`.
        policy_digest: Digest of the policies in force.
    """
    confidence = 1.0 - (1.0 - policy["confidence"]) / (2 * max(1, len(watched)))
    parts = {
        name: _trigger_verdict(found, limits[name], confidence, policy["least_km"], policy_digest)
        for name, found in sorted(watched.items())
        if name in limits
    }
    unknown = sorted(set(watched) - set(limits))
    figures: dict[str, Figure] = {"triggers": len(watched), "waiting": waiting}
    digest = evidence_digest([sorted(watched), unknown, waiting])
    if unknown or waiting:
        missing = (
            f"rows of this policy's triggers for all drives ({waiting} wait; unknown: {', '.join(unknown) or 'none'}): "
            "run gold/event_windows for this partition",
        )
        parts["drives"] = Verdict(Outcome.INCONCLUSIVE, figures, digest, policy_digest, missing)
    else:
        parts["drives"] = Verdict(Outcome.PASS, figures, digest, policy_digest)
    return all_of(parts)


def _trigger_verdict(
    found: Watched, limits: Mapping[str, Any], confidence: float, least_km: float, policy_digest: str
) -> Verdict:
    most, least = limits["most_per_100km"], limits.get("least_per_100km", 0.0)
    bounds = poisson_bounds(found.events, found.distance_m / _M_PER_100KM, confidence)
    km = found.distance_m / _M_PER_KM
    figures: dict[str, Figure] = {
        "events": found.events,
        "km": round(km, 3),
        "per_100km": round(bounds.rate, 3),
        "at_least": round(bounds.low, 3),
        "at_most": round(bounds.high, 3),
        "limit": most,
    }
    digest = evidence_digest([found.events, found.distance_m])
    if bounds.low > most or bounds.high < least:
        return Verdict(Outcome.FAIL, figures, digest, policy_digest)
    if km < least_km:
        missing = (f"{km:.3f} km watched, {least_km} km needed: ingest further drives of this day and depot",)
        return Verdict(Outcome.INCONCLUSIVE, figures, digest, policy_digest, missing)
    return Verdict(Outcome.PASS, figures, digest, policy_digest)
