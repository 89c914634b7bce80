"""Judgement of redaction: no picture and no camera may vanish, and somebody vouches for all of it.

Which drives count, and how facts are read, is the caller's business.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from fleet_assets.evidence.verdicts import Figure, Outcome, Verdict, evidence_digest

_NAMED: Final = 5
_REDACTED, _QUARANTINED, _ABSENT = "redacted", "quarantined", "absent"


@dataclass(frozen=True, slots=True)
class CameraFacts:
    """One camera of one drive that should have redacted media.

    Attributes:
        name: Drive and camera.
        required: Whether the vehicle spec wants it.
        recorded: Pictures that the reader of the recording counts; None where it states nothing.
        status: Status in the report; None where the report does not name it.
        reason: Whether the report says why there are no media.
        source_frames: Pictures that the redaction was given.
        undecodable: Those that it left out.
        written: Pictures in the files themselves.
    """

    name: str
    required: bool
    recorded: int | None
    status: str | None
    reason: bool
    source_frames: int
    undecodable: int
    written: int


def _problem_of(camera: CameraFacts) -> str | None:
    """What does not add up."""
    if camera.status is None:
        return "not in the report"
    if camera.status == _ABSENT:
        return "recorded, but the report says it is absent" if camera.recorded or camera.required else None
    if camera.status == _QUARANTINED:
        return None if camera.reason and not camera.written else "quarantined without a reason, or with media"
    if camera.recorded is not None and camera.recorded != camera.source_frames:
        return f"{camera.recorded} pictures recorded, {camera.source_frames} looked at"
    if camera.written + camera.undecodable != camera.source_frames:
        return f"{camera.source_frames} pictures, {camera.written} written and {camera.undecodable} left out"
    return None


def frames_verdict(cameras: Iterable[CameraFacts], waiting: Collection[str], *, policy_digest: str) -> Verdict:
    """Pictures recorded = pictures in redacted media + pictures left out, camera by camera.

    Args:
        cameras: Every camera of the vehicle specs, and every one that the report names.
        waiting: Drives that are not redacted yet.
        policy_digest: Digest of the policy in force.

    Returns:
        Fail when a camera or a picture vanished or came from nowhere; inconclusive while drives wait.
    """
    every = sorted(cameras, key=lambda one: one.name)
    wrong = [f"{one.name}: {problem}" for one in every if (problem := _problem_of(one)) is not None]
    figures: dict[str, Figure] = {
        "cameras": len(every),
        "redacted": sum(one.status == _REDACTED for one in every),
        "quarantined": sum(one.status == _QUARANTINED for one in every),
        "pictures": sum(one.source_frames for one in every),
        "left_out": sum(one.undecodable for one in every),
    }
    if wrong:
        figures["wrong"] = "; ".join(wrong[:_NAMED]) + (f" and {len(wrong) - _NAMED} more" if wrong[_NAMED:] else "")
    facts = [[one.name, one.status, one.recorded, one.source_frames, one.undecodable, one.written] for one in every]
    digest = evidence_digest([facts, sorted(waiting)])
    if wrong:
        return Verdict(Outcome.FAIL, figures, digest, policy_digest)
    if waiting:
        missing = (f"redaction of {len(waiting)} drives: run bronze/redacted_media for this partition",)
        return Verdict(Outcome.INCONCLUSIVE, figures, digest, policy_digest, missing)
    return Verdict(Outcome.PASS, figures, digest, policy_digest)


def signed_verdict(problems: Mapping[str, str | None], unsigned: Collection[str], *, policy_digest: str) -> Verdict:
    """Every report is signed by a trusted key, and about the media that are there.

    Args:
        problems: By report, why none of its signatures can be trusted; None where one can.
        unsigned: Reports that nobody signed.
        policy_digest: Digest of the policy in force.

    Returns:
        Fail when a signature cannot be trusted; inconclusive while reports have none.
    """
    wrong = [f"{report}: {why}" for report, why in sorted(problems.items()) if why is not None]
    figures: dict[str, Figure] = {"reports": len(problems) + len(set(unsigned)), "signed": len(problems) - len(wrong)}
    if wrong:
        figures["wrong"] = "; ".join(wrong[:_NAMED])
    digest = evidence_digest([dict(problems), sorted(unsigned)])
    if wrong:
        return Verdict(Outcome.FAIL, figures, digest, policy_digest)
    if unsigned:
        missing = (f"signatures of {len(set(unsigned))} reports: materialize bronze/redaction_report again",)
        return Verdict(Outcome.INCONCLUSIVE, figures, digest, policy_digest, missing)
    return Verdict(Outcome.PASS, figures, digest, policy_digest)
