"""The gate of mined lists: budgets and quotas kept, nothing golden, used or twice, and the same list when asked again.

Here belongs the judgement. What is counted is gathered in `asset_checks/scenario_mining.py`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fleet_assets.evidence.verdicts import Figure, Outcome, Verdict, all_of, evidence_digest
from fleet_assets.perception.image_digests import differing_bits


@dataclass(frozen=True, slots=True)
class SliceFacts:
    """How one quota of a list came out.

    Attributes:
        least: Fewest clips wanted.
        most: Most clips wanted; None where there is no limit.
        chosen: Clips in the list.
        reachable: Whether any list keeps all minima within all limits.
    """

    least: int
    most: int | None
    chosen: int
    reachable: bool


@dataclass(frozen=True, slots=True)
class ListFacts:
    """What there is to judge about one request's list.

    Attributes:
        spent: What the list takes and what it may, by budget.
        slices: Quotas by slice.
        forbidden: Clips that must not be in it, counted by reason.
        matched: Clips that fulfil the request.
        without_vector: Of these: clips that cannot be compared.
        alike: Whether the request was answered alike when asked again; None when it was not asked again.
    """

    spent: Mapping[str, tuple[float, float]]
    slices: Mapping[str, SliceFacts]
    forbidden: Mapping[str, int]
    matched: int
    without_vector: int
    alike: bool | None


def lists_verdict(
    lists: Mapping[str, ListFacts], waiting: int, *, max_without_vector: float, policy_digest: str
) -> Verdict:
    """Judge all lists together.

    Args:
        lists: Facts by request.
        waiting: Requests that have no list of what there is now.
        max_without_vector: Share of matches without vector beyond which nothing can be said.
        policy_digest: Digest of the policies in force.

    Returns:
        Fail when a list breaks what was asked or is not what its request gives; inconclusive when requests wait, a
        quota is out of reach, or too many matches have no vector; pass otherwise, also for no lists at all.
    """
    parts = {
        name[:12]: _list_verdict(facts, max_without_vector, policy_digest) for name, facts in sorted(lists.items())
    }
    figures: dict[str, Figure] = {
        "lists": len(lists),
        "asked_again": sum(facts.alike is not None for facts in lists.values()),
        "waiting": waiting,
    }
    digest = evidence_digest([sorted(lists), waiting])
    missing = (f"lists of {waiting} requests: run gold/candidate_sets once their drives are done",) if waiting else ()
    outcome = Outcome.INCONCLUSIVE if waiting else Outcome.PASS
    parts["all"] = Verdict(outcome, figures, digest, policy_digest, missing)
    return all_of(parts)


def _list_verdict(facts: ListFacts, max_without_vector: float, policy_digest: str) -> Verdict:
    over = sorted(name for name, (spent, limit) in facts.spent.items() if spent > limit)
    over += sorted(name for name, one in facts.slices.items() if one.most is not None and one.chosen > one.most)
    short = sorted(name for name, one in facts.slices.items() if one.chosen < one.least)
    lost = [name for name in short if facts.slices[name].reachable]
    forbidden = {name: count for name, count in sorted(facts.forbidden.items()) if count > 0}
    share = facts.without_vector / facts.matched if facts.matched else 0.0
    figures: dict[str, Figure] = {"matched": facts.matched, "without_vector": facts.without_vector}
    wrong = {
        "over": ", ".join(over),
        "short": ", ".join(short),
        "forbidden": ", ".join(f"{name} {count}" for name, count in forbidden.items()),
        "other_when_asked_again": "yes" if facts.alike is False else "",
    }
    figures.update({name: text for name, text in wrong.items() if text})
    digest = evidence_digest([dict(sorted(figures.items())), sorted(facts.spent.items())])
    if over or lost or forbidden or facts.alike is False:
        return Verdict(Outcome.FAIL, figures, digest, policy_digest)
    missing = [f"clips of slice {name}: ingest more such drives, or lower its quota in a new request" for name in short]
    if share > max_without_vector:
        missing.append(f"vectors of {facts.without_vector} of {facts.matched} matches: see gold.missing_embeddings")
    outcome = Outcome.INCONCLUSIVE if missing else Outcome.PASS
    return Verdict(outcome, figures, digest, policy_digest, tuple(missing))


def forbidden_clips(
    rows: Sequence[Mapping[str, Any]],
    *,
    drives: frozenset[str],
    refused: Mapping[str, frozenset[str]],
    refused_drives: frozenset[str],
    earlier_pictures: Sequence[int],
    bits: int,
    near: int,
) -> dict[str, int]:
    """Clips of a list that must not be in it, counted by reason.

    Args:
        rows: Rows of `gold.candidate_sets` of one request.
        drives: Drives that the request looks at.
        refused: Clips that must not be in it, by reason.
        refused_drives: Drives that were left out.
        earlier_pictures: Perceptual digests of earlier lists.
        bits: Two pictures are the same when no more bits differ.
        near: Pairs that are the same by vector.
    """
    clips = [row["clip_id"] for row in rows]
    pictures = [int(row["perceptual_digest"], 16) for row in rows if row["perceptual_digest"] is not None]
    same = sum(
        differing_bits(one, other) <= bits
        for index, one in enumerate(pictures)
        for other in [*pictures[:index], *earlier_pictures]
    )
    return {
        **{reason: sum(clip in names for clip in clips) for reason, names in refused.items()},
        "of_refused_drives": sum(row["drive_id"] in refused_drives for row in rows),
        "of_other_drives": sum(row["drive_id"] not in drives for row in rows),
        "twice": len(clips) - len(set(clips)),
        "same_picture": same,
        "near": near,
    }
