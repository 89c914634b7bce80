"""Gates of the vector index: it finds what an exact search finds, it finds duplicates, and clips look as they used to.

Here belong pure functions from what was asked and found to verdicts. Asking is in `questions.py`, limits are in the
policy `embeddings`.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from fleet_assets.evidence.bootstrap import TooFewClusters, cluster_bootstrap
from fleet_assets.evidence.decisions import at_least
from fleet_assets.evidence.intervals import Interval, clopper_pearson
from fleet_assets.evidence.verdicts import Figure, Outcome, Verdict, all_of, evidence_digest
from fleet_assets.mining.embeddings_and_vector_index.drift import Shift

_SEED: Final = 1
_RESAMPLES: Final = 2000
_NAMED: Final = 5


@dataclass(frozen=True, slots=True)
class Answers:
    """What the index answered about the clips of one space in a partition.

    Attributes:
        clips: Clips of the partition.
        absent: Of these: not in the index, or there with another vector.
        hits: Per clip that was asked about: true neighbours that were found.
        possible: Per clip: true neighbours that there are.
        copies: Per clip: whether its planted copy and its known near-duplicates led to clips that are so alike.
        duplicates: Known near-duplicates that were asked for.
    """

    clips: int
    absent: int
    hits: tuple[int, ...]
    possible: tuple[int, ...]
    copies: tuple[bool, ...]
    duplicates: int


def recall_verdict(
    answers: Mapping[str, Answers], waiting: Collection[str], policy: Mapping[str, Any], *, policy_digest: str
) -> Verdict:
    """The index finds the true nearest neighbours, modality by modality.

    Where every clip of the partition was asked about, the share decides as it is; of a sample its interval decides.

    Args:
        answers: What was found, by modality.
        waiting: Drives that the index does not have as the lake does.
        policy: Key `recall` of the gates.
        policy_digest: Digest of the policies in force.

    Returns:
        Fail where the index lacks a vector that it says to have, or finds too few; inconclusive while drives wait or
        the sample decides nothing; else pass.
    """

    def judged(own: Answers) -> Verdict:
        hits, possible = sum(own.hits), sum(own.possible)
        digest = evidence_digest([own.hits, own.possible, own.clips])
        if len(own.hits) >= own.clips or possible == 0:
            share = hits / possible if possible else 1.0
            return _census(share, policy["least"], len(own.hits), digest, policy_digest)
        interval = _recall_interval(own, policy["confidence"])
        return at_least(
            interval,
            policy["least"],
            quantity=f"recall at {policy['at']}",
            unit="clips",
            evidence_digest=digest,
            policy_digest=policy_digest,
        )

    return _by_modality(answers, waiting, judged, policy_digest)


def duplicate_verdict(
    answers: Mapping[str, Answers], waiting: Collection[str], policy: Mapping[str, Any], *, policy_digest: str
) -> Verdict:
    """Copies that are planted and near-duplicates that are known are found, modality by modality.

    Arguments and outcomes are those of `recall_verdict`; a clip is one trial.
    """

    def judged(own: Answers) -> Verdict:
        found, asked = sum(own.copies), len(own.copies)
        digest = evidence_digest([own.copies, own.duplicates, own.clips])
        if asked >= own.clips:
            return _census(found / asked if asked else 1.0, policy["least"], asked, digest, policy_digest)
        return at_least(
            clopper_pearson(found, asked, policy["confidence"]),
            policy["least"],
            quantity="the share of clips whose duplicates are found",
            unit="clips",
            evidence_digest=digest,
            policy_digest=policy_digest,
        )

    return _by_modality(answers, waiting, judged, policy_digest)


def _recall_interval(own: Answers, confidence: float) -> Interval | TooFewClusters:
    """Interval of the recall with clips as units; where none misses anything, of the share of such clips."""
    if own.hits == own.possible:
        return clopper_pearson(len(own.hits), len(own.hits), confidence)
    return cluster_bootstrap(own.hits, own.possible, confidence=confidence, seed=_SEED, n_resamples=_RESAMPLES)


def _census(share: float, least: float, asked: int, digest: str, policy_digest: str) -> Verdict:
    figures: dict[str, Figure] = {"estimate": share, "limit": least, "n": asked, "asked": "all clips"}
    return Verdict(Outcome.PASS if share >= least else Outcome.FAIL, figures, digest, policy_digest)


def _by_modality(
    answers: Mapping[str, Answers],
    waiting: Collection[str],
    judged: Callable[[Answers], Verdict],
    policy_digest: str,
) -> Verdict:
    parts: dict[str, Verdict] = {}
    for modality, own in sorted(answers.items()):
        if own.absent:
            figures: dict[str, Figure] = {"clips": own.clips, "absent_or_other": own.absent}
            digest = evidence_digest([own.clips, own.absent])
            parts[modality] = Verdict(Outcome.FAIL, figures, digest, policy_digest)
        else:
            parts[modality] = judged(own)
    return _once_all_are_there(parts, waiting, policy_digest)


def _once_all_are_there(parts: dict[str, Verdict], waiting: Collection[str], policy_digest: str) -> Verdict:
    if waiting:
        named = ", ".join(sorted(waiting)[:_NAMED])
        missing = (f"vectors of {len(waiting)} drives in the index ({named}): run gold/vector_index of this partition",)
        digest = evidence_digest(sorted(waiting))
        parts["drives"] = Verdict(Outcome.INCONCLUSIVE, {"waiting": len(waiting)}, digest, policy_digest, missing)
    # Without a part, nothing in it says under which policy: a verdict of no known policy is asked for again and again.
    return replace(all_of(parts), policy_digest=policy_digest)


@dataclass(frozen=True, slots=True)
class Compared:
    """The clips of one modality held against the depot's frozen reference.

    Attributes:
        in_reference: Whether the partition is part of it.
        reference_drives: Drives of the reference.
        newer_drives: Drives since, the newest ones of the depot.
        shift: How far they are apart; None where there are too few drives to say.
    """

    in_reference: bool
    reference_drives: int
    newer_drives: int
    shift: Shift | None


def drift_verdict(
    compared: Mapping[str, Compared], waiting: Collection[str], policy: Mapping[str, Any], *, policy_digest: str
) -> Verdict:
    """The clips of a depot look to the models as those of its frozen reference did.

    Args:
        compared: By modality.
        waiting: Drives without vectors yet.
        policy: Key `drift` of the gates.
        policy_digest: Digest of the policies in force.

    Returns:
        Per modality: pass within the tolerated energy coefficient, and for what is part of the reference; fail where a
        larger one is no accident; inconclusive where it may be one, or where there are too few drives.
    """
    alpha = policy["alpha"] / max(1, len(compared))
    parts = {modality: _drift(own, policy, alpha, policy_digest) for modality, own in sorted(compared.items())}
    return _once_all_are_there(parts, waiting, policy_digest)


def _drift(own: Compared, policy: Mapping[str, Any], alpha: float, policy_digest: str) -> Verdict:
    figures: dict[str, Figure] = {"reference_drives": own.reference_drives, "newer_drives": own.newer_drives}
    if own.in_reference:
        digest = evidence_digest(figures)
        return Verdict(Outcome.PASS, {**figures, "part_of": "the reference"}, digest, policy_digest)
    fewest = min(own.reference_drives, own.newer_drives)
    if own.shift is None or fewest < policy["least_drives"]:
        missing = (
            f"drives: {own.reference_drives} in the reference and {own.newer_drives} since, "
            f"{policy['least_drives']} needed on each side; ingest more of this depot",
        )
        return Verdict(Outcome.INCONCLUSIVE, figures, evidence_digest(figures), policy_digest, missing)
    figures |= {
        "energy_coefficient": own.shift.coefficient,
        "p_value": own.shift.p_value,
        "most": policy["most"],
        "alpha": alpha,
    }
    digest = evidence_digest(figures)
    if own.shift.coefficient <= policy["most"]:
        return Verdict(Outcome.PASS, figures, digest, policy_digest)
    if own.shift.p_value <= alpha:
        return Verdict(Outcome.FAIL, figures, digest, policy_digest)
    missing = (
        f"certainty: energy coefficient {own.shift.coefficient:.3f} lies above {policy['most']}, with probability "
        f"{own.shift.p_value:.3f} by chance; ingest more drives of this depot",
    )
    return Verdict(Outcome.INCONCLUSIVE, figures, digest, policy_digest, missing)
