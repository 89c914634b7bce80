"""Conservation: nothing may vanish between two tables. Which rows count is the caller's business."""

from collections.abc import Collection

from fleet_assets.evidence.intervals import clopper_pearson
from fleet_assets.evidence.verdicts import Figure, Outcome, Verdict, evidence_digest

_NAMED = 5


def _names(drives: Collection[str]) -> str:
    shown = sorted(drives)[:_NAMED]
    return ", ".join(shown) + (f" and {len(drives) - _NAMED} more" if len(drives) > _NAMED else "")


def conservation(
    incoming: Collection[str],
    outgoing: Collection[str],
    quarantined: Collection[str],
    waiting: Collection[str],
    *,
    policy_digest: str,
) -> Verdict:
    """In = out + quarantined, drive by drive.

    Args:
        incoming: Drives that went in.
        outgoing: Drives that came out.
        quarantined: Drives left out for a stated reason.
        waiting: Drives of which the step could not see all inputs yet.
        policy_digest: Digest of the policy in force.

    Returns:
        Fail when a drive vanished, came from nowhere, or is both out and quarantined; inconclusive while drives wait;
        pass otherwise, also for no drives at all.
    """
    went_in, came_out, held = set(incoming), set(outgoing), set(quarantined)
    lost = went_in - came_out - held - set(waiting)
    surplus = (came_out | held) - went_in
    both = came_out & held
    figures: dict[str, Figure] = {
        "drives": len(went_in),
        "out": len(came_out),
        "quarantined": len(held),
        "waiting": len(set(waiting)),
    }
    for name, drives in (("lost", lost), ("surplus", surplus), ("both", both)):
        if drives:
            figures[name] = _names(drives)
    digest = evidence_digest([sorted(group) for group in (went_in, came_out, held, set(waiting))])
    if lost or surplus or both:
        return Verdict(Outcome.FAIL, figures, digest, policy_digest)
    if waiting:
        missing = (f"inputs of {_names(waiting)}: run the upstream assets of this partition, then this check",)
        return Verdict(Outcome.INCONCLUSIVE, figures, digest, policy_digest, missing)
    return Verdict(Outcome.PASS, figures, digest, policy_digest)


def share_within(
    held: int, total: int, waiting: int, *, max_share: float, confidence: float, policy_digest: str
) -> Verdict:
    """Alarm on evidence that more than `max_share` of a partition's drives are quarantined.

    Small partitions are the rule, so one bad drive of one must not hold a day: the gate fails only when the one-sided
    exact (Clopper–Pearson) lower bound lies above the limit, which a partition at the limit does in at most
    1 - `confidence` of all cases.

    Args:
        held: Quarantined drives.
        total: All drives.
        waiting: Drives not examined yet; any of them makes the outcome inconclusive unless it fails already.
        max_share: Largest tolerable share.
        confidence: One-sided confidence of the bound.
        policy_digest: Digest of the policy in force.
    """
    bound = clopper_pearson(held, total, confidence, side="lower").low if total else 0.0
    figures: dict[str, Figure] = {
        "drives": total,
        "quarantined": held,
        "share": held / total if total else 0.0,
        "lower_bound": bound,
        "max_share": max_share,
    }
    digest = evidence_digest([held, total, waiting])
    if bound > max_share:
        return Verdict(Outcome.FAIL, figures, digest, policy_digest)
    if waiting:
        missing = (f"integrity findings of {waiting} drives: run bronze/integrity_findings for this partition",)
        return Verdict(Outcome.INCONCLUSIVE, figures, digest, policy_digest, missing)
    return Verdict(Outcome.PASS, figures, digest, policy_digest)
