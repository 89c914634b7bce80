"""How much is exposed in redacted media: of what was looked at, and of what was not.

Two questions. Of the partition's own drives: was every one of them looked at as the policy asks, and is anything in
them exposed? Of the fleet's redaction: which share of drives, and of tracks, has an exposed item, given that a sample
was looked at by an auditor that overlooks some? Drives are the units of both; the second one counts the last drives
that were redacted as now, whatever partition they are in.

The bound is the exact upper one of the share in which the auditor saw something, divided by the exact lower bound of
the auditor's own recall; each of the two is taken at half of the error. Until so many drives were looked at that no
exposure at all would keep the bound within the limit, no result could pass and waiting for drives is no reason to hold
the ones at hand: each of them was looked at itself, and the bound is only reported. Below the policy's least sample
nothing is said at all. An estimate that lies above the limit for certain fails from the first drive on.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from fleet_assets.evidence.bootstrap import TooFewClusters, cluster_bootstrap
from fleet_assets.evidence.intervals import clopper_pearson
from fleet_assets.evidence.power import MAX_TRIALS
from fleet_assets.evidence.verdicts import Figure, Outcome, Verdict, all_of, evidence_digest

_NAMED: Final = 5
_MIN_CLUSTERS: Final = 20
"""Fewest drives for a bootstrap; below, it covers less than it says."""
_SEED: Final = 0


@dataclass(frozen=True, slots=True)
class AuditedDrive:
    """What the auditor saw of one drive.

    Attributes:
        drive_id: The drive.
        wanted: Pictures that the sample asks for.
        looked_at: Pictures that the auditor looked at.
        tracks: Tracks of covered items in them.
        exposures: Confirmed hits that nobody has judged to be none.
        questions: Hits that were not confirmed.
    """

    drive_id: str
    wanted: int
    looked_at: int
    tracks: int
    exposures: int
    questions: int


@dataclass(frozen=True, slots=True)
class Recall:
    """What the auditor finds of one kind, as the study counted it.

    Attributes:
        found: Exposed tracks that it confirmed.
        in_sample: Exposed tracks that lay in a picture of its sample.
        exposed: All exposed tracks.
    """

    found: int
    in_sample: int
    exposed: int


@dataclass(frozen=True, slots=True)
class ExposureRule:
    """Limits of the policy, and what is known of the auditor.

    Attributes:
        confidence: One-sided, of each bound.
        max_drives_share: Of drives with an exposed item.
        max_tracks_share: Of tracks.
        least_drives: Fewest drives of the fleet's redaction of which anything is said.
        recall: Of the auditor, by kind. What is exposed may be all of one kind, so that the least one counts. A kind of
            which it may find nothing has no bound; the verdict names it.
    """

    confidence: float
    max_drives_share: float
    max_tracks_share: float
    least_drives: int
    recall: Mapping[str, Recall]

    @classmethod
    def from_policy(cls, policy: Mapping[str, Any]) -> "ExposureRule":
        """From the document `audit`."""
        limits, kinds = policy["exposure"], policy["recall"]["kinds"]
        return cls(
            limits["confidence"],
            limits["max_drives_share"],
            limits["max_tracks_share"],
            limits["least_drives"],
            {kind: Recall(**counts) for kind, counts in kinds.items()},
        )

    @property
    def half(self) -> float:
        """Confidence of each of two bounds that hold together."""
        return 1 - (1 - self.confidence) / 2

    @property
    def recall_of_all(self) -> float:
        """Lower bound of the share of all exposed tracks that is found."""
        return self._least([(one.found, one.exposed) for one in self.recall.values()])

    @property
    def recall_in_sample(self) -> float:
        """Lower bound of the share of the exposed tracks in the sample that is found."""
        return self._least([(one.found, one.in_sample) for one in self.recall.values()])

    @property
    def blind_to(self) -> tuple[str, ...]:
        """Kinds that were measured, and of which the auditor may find nothing."""
        return tuple(sorted(kind for kind, one in self.recall.items() if one.exposed and not one.found))

    def _least(self, counts: Sequence[tuple[int, int]]) -> float:
        """Of the kinds that have a bound; 0 where none has one, or a kind was never measured."""
        if any(not of for _, of in counts):
            return 0.0
        bounds = [clopper_pearson(found, of, self.half, side="lower").low for found, of in counts if found]
        return min(bounds, default=0.0)


def drives_verdict(drives: Sequence[AuditedDrive], waiting: Collection[str], *, policy_digest: str) -> Verdict:
    """Nothing is exposed in what was looked at of the partition's drives, and all was looked at that had to be.

    Args:
        drives: Drives of the partition with redacted media.
        waiting: Drives that the auditor has not looked at yet.
        policy_digest: Digest of the policy in force.
    """
    exposed = sorted(f"{one.drive_id} ({one.exposures})" for one in drives if one.exposures > 0)
    short = [one for one in drives if one.looked_at < one.wanted]
    figures: dict[str, Figure] = {
        "drives": len(drives),
        "looked_at": sum(one.looked_at for one in drives),
        "exposures": sum(one.exposures for one in drives),
        "unconfirmed": sum(one.questions for one in drives),
    }
    if exposed:
        figures["exposed"] = _listed(exposed)
        figures["remedy"] = "`fleet audit` shows the crops: judge them, redact more strictly, or withdraw the drive"
    facts = [[one.drive_id, one.wanted, one.looked_at, one.exposures, one.questions] for one in drives]
    digest = evidence_digest([sorted(facts), sorted(waiting)])
    if exposed:
        return Verdict(Outcome.FAIL, figures, digest, policy_digest)
    missing = tuple(
        f"{one.drive_id}: {one.looked_at} of {one.wanted} pictures could be looked at; redact its media again"
        for one in sorted(short, key=lambda one: one.drive_id)[:_NAMED]
    )
    if waiting:
        missing += (f"the audit of {_listed(sorted(waiting))}: run bronze/redaction_audit for this partition",)
    return Verdict(Outcome.INCONCLUSIVE if missing else Outcome.PASS, figures, digest, policy_digest, missing)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")


@dataclass(frozen=True, slots=True)
class Estimate:
    """Bounds of the share in which the auditor saw something.

    Attributes:
        seen_at_least: Lower bound.
        seen_at_most: Upper bound.
        drives: Drives behind them.
        recall: Lower bound of the share of what is exposed that the auditor sees.
    """

    seen_at_least: float
    seen_at_most: float
    drives: int
    recall: float

    @property
    def at_most(self) -> float:
        """Upper bound of the share that is exposed."""
        return min(1.0, self.seen_at_most / self.recall) if self.recall > 0.0 else 1.0


def enough_drives(half: float, recall: float, limit: float) -> int | None:
    """Fewest drives of which none may be seen exposed so that the bound keeps within a limit; None for no number.

    Args:
        half: Confidence of the upper bound.
        recall: Lower bound of the auditor's recall.
        limit: The limit, inside (0, 1).
    """
    if recall <= 0.0:
        return None
    needed = math.ceil(math.log(1 - half) / math.log1p(-limit * recall))
    return needed if needed <= MAX_TRIALS else None


def judged(estimate: Estimate, limit: float, rule: ExposureRule, digests: tuple[str, str]) -> Verdict:
    """What an estimate says about a share.

    Args:
        estimate: The estimate.
        limit: Largest share allowed.
        rule: Confidence of the upper bound, and the least sample.
        digests: Of evidence and policy.

    Returns:
        Fail when the share is above the limit for certain; pass when it is within it for certain, or when there are
        fewer drives than could show that; inconclusive otherwise, below the least sample, or when the auditor's recall
        may be nought.
    """
    enough = enough_drives(rule.half, estimate.recall, limit)
    figures: dict[str, Figure] = {
        "window": estimate.drives,
        "at_least": estimate.seen_at_least,
        "at_most": estimate.at_most,
        "limit": limit,
        "recall_at_least": estimate.recall,
        "enough_drives": "no number" if enough is None else enough,
    }
    if estimate.seen_at_least > limit:
        return Verdict(Outcome.FAIL, figures, *digests)
    if estimate.drives < rule.least_drives:
        missing = (f"drives redacted as now: there are {estimate.drives}, the least sample is {rule.least_drives}",)
        return Verdict(Outcome.INCONCLUSIVE, figures, *digests, missing)
    if estimate.at_most <= limit:
        return Verdict(Outcome.PASS, figures, *digests)
    if enough is None:
        missing = (
            "a study that shows that the auditor finds something of every kind: run the one that the policy names, and "
            "write its counts into `recall`",
        )
        return Verdict(Outcome.INCONCLUSIVE, figures, *digests, missing)
    if estimate.drives < enough:
        return Verdict(Outcome.PASS, {**figures, "standing": "building up"}, *digests)
    missing = (f"clean drives redacted as now, until the bound {estimate.at_most:.3g} is at most {limit:g}",)
    return Verdict(Outcome.INCONCLUSIVE, figures, *digests, missing)


def drives_share_verdict(window: Sequence[AuditedDrive], rule: ExposureRule, *, policy_digest: str) -> Verdict:
    """Share of drives with an exposed item, over the fleet's last drives."""
    seen = sum(one.exposures > 0 for one in window)
    bounds = [clopper_pearson(seen, len(window), rule.half, side=side) for side in ("lower", "upper")]
    estimate = Estimate(bounds[0].low, bounds[1].high, len(window), rule.recall_of_all)
    digest = evidence_digest(sorted([one.drive_id, one.exposures] for one in window))
    return judged(estimate, rule.max_drives_share, rule, (digest, policy_digest))


def tracks_share_verdict(window: Sequence[AuditedDrive], rule: ExposureRule, *, policy_digest: str) -> Verdict:
    """Share of tracks that are exposed, over the fleet's last drives.

    Every confirmed hit counts as a track of its own. Where all drives agree (as a rule since nothing is exposed) there
    is nothing to resample; the share cannot be larger then than that of drives in which anything is exposed.
    """
    with_tracks = [one for one in window if one.tracks + one.exposures > 0]
    interval = cluster_bootstrap(
        [one.exposures for one in with_tracks],
        [one.tracks + one.exposures for one in with_tracks],
        confidence=rule.confidence,
        seed=_SEED,
        min_clusters=_MIN_CLUSTERS,
    )
    low, high = 0.0, 1.0
    if isinstance(interval, TooFewClusters):
        seen = sum(one.exposures > 0 for one in with_tracks)
        high = clopper_pearson(seen, len(with_tracks), rule.half, side="upper").high
    else:
        low, high = interval.low, interval.high
    digest = evidence_digest(sorted([one.drive_id, one.tracks, one.exposures] for one in with_tracks))
    estimate = Estimate(low, high, len(with_tracks), rule.recall_in_sample)
    return judged(estimate, rule.max_tracks_share, rule, (digest, policy_digest))


def exposure_verdict(
    drives: Sequence[AuditedDrive],
    waiting: Collection[str],
    window: Sequence[AuditedDrive],
    rule: ExposureRule,
    *,
    policy_digest: str,
) -> Verdict:
    """The gate `exposure`: the partition's drives, and the fleet's redaction.

    Args:
        drives: Drives of the partition with redacted media.
        waiting: Drives that the auditor has not looked at yet.
        window: The fleet's last drives that were redacted as now.
        rule: Limits and recall.
        policy_digest: Digest of the policy in force.

    Returns:
        Fail when something is exposed or the shares are too large for certain; inconclusive when a drive was not looked
        at as the policy asks, or the shares may be too large; pass otherwise. A partition without media passes.
    """
    own = drives_verdict(drives, waiting, policy_digest=policy_digest)
    if rule.blind_to:
        own = replace(own, figures={**own.figures, "no_bound_for": ", ".join(rule.blind_to)})
    if not drives and not waiting:
        return own
    return all_of(
        {
            "own": own,
            "drives": drives_share_verdict(window, rule, policy_digest=policy_digest),
            "tracks": tracks_share_verdict(window, rule, policy_digest=policy_digest),
        }
    )
