"""The round trip between catalog and bytes: every row leads to bytes of its own time, and all bytes are in the catalog.

Here belongs the judgement. What lies at an address is looked up by the caller, who reads the files themselves.

Bytes count as stored while a row of the lake leads to them. What a run wrote before it died is not: no row leads there,
nobody can reach it, and the run that takes its place writes the same content under the same address.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fleet_assets.evidence.verdicts import Figure, Outcome, Verdict, evidence_digest
from fleet_assets.ingestion.media.times import MediaTimes

_NAMED: Final = 5


@dataclass(frozen=True, slots=True)
class Claim:
    """What one row of the catalog says of one kind of its bytes.

    Attributes:
        clip: Clip id.
        drive: Its drive.
        kind: Kind of bytes, as a person calls it.
        addresses: Where they are.
        start_ns: First instant of the clip.
        end_ns: Its end, exclusive.
        rows: Rows, pictures or sweeps that it counts there; None where it counts none.
    """

    clip: str
    drive: str
    kind: str
    addresses: tuple[str, ...]
    start_ns: int
    end_ns: int
    rows: int | None


@dataclass(frozen=True, slots=True)
class Span:
    """What the bytes at an address hold of a clip: how many rows, the first and the last instant."""

    rows: int
    first_ns: int
    last_ns: int


@dataclass(frozen=True, slots=True)
class Stored:
    """What lies at an address.

    Attributes:
        drive: Drive that it belongs to.
        spans: Clip → what is there of it.
        problem: Why nothing can be read there; empty where it can.
    """

    drive: str
    spans: Mapping[str, Span]
    problem: str = ""


def sweeps_problem(starts: NDArray[np.int64], first_points: NDArray[np.int64], points: NDArray[np.int64]) -> str:
    """What is wrong with a file of sweeps; empty where nothing is.

    Args:
        starts: int64[n + 1], what the file says: first point of each sweep, and the one after the last.
        first_points: int64[m], what the rows that lead to it say, in order of their sweeps.
        points: int64[m], how many points each has by its row.
    """
    inside = len(starts) - 1
    if inside != len(points):
        return f"{inside} sweeps are in it, {len(points)} rows lead to it"
    counts = np.diff(starts)
    wrong = np.flatnonzero((starts[:-1] != first_points) | (counts != points))
    if not len(wrong):
        return ""
    at = int(wrong[0])
    return (
        f"its sweep {at} has {counts[at]} points from {starts[at]} on, the row says {points[at]} from "
        f"{first_points[at]} on"
    )


def media_problem(held: MediaTimes, pictures: int, first_ns: int, last_ns: int) -> str:
    """What is wrong with a file of redacted media; empty where nothing is.

    Args:
        held: What the file says.
        pictures: Pictures that its row says.
        first_ns: Time of the earliest one by its row.
        last_ns: Time of the latest one.
    """
    if held.pictures != pictures:
        return f"{held.pictures} pictures are in it, its row says {pictures}"
    if held.first_ns is not None and held.first_ns != first_ns:
        return f"its pictures begin at {held.first_ns}, its row says {first_ns}"
    if abs(held.length_ns - (last_ns - first_ns)) > held.tick_ns:
        return f"its pictures take {held.length_ns} ns, its row says {last_ns - first_ns} ns"
    return ""


def _breach(claim: Claim, stored: Mapping[str, Stored], tolerance_ns: int) -> str | None:
    """What is wrong with a claim, or None."""
    counted = 0
    for address in claim.addresses:
        found = stored.get(address)
        if found is None:
            return f"no row of the lake leads to {address}"
        if found.problem:
            return f"{address}: {found.problem}"
        span = found.spans.get(claim.clip)
        if span is None:
            return f"{address} holds nothing of the clip"
        counted += span.rows
        if claim.rows is None:
            continue
        if span.first_ns < claim.start_ns - tolerance_ns or span.last_ns >= claim.end_ns + tolerance_ns:
            held = f"{span.first_ns} to {span.last_ns}"
            return f"{address} holds {held}, the clip is {claim.start_ns} to {claim.end_ns}"
    if claim.rows is not None and counted != claim.rows:
        return f"{counted} {claim.kind} are stored, the catalog says {claim.rows}"
    return None


def round_trip_verdict(
    claims: Sequence[Claim],
    stored: Mapping[str, Stored],
    waiting: Collection[str],
    *,
    tolerance_ns: int,
    policy_digest: str,
) -> Verdict:
    """Ask whether catalog and bytes lead to each other.

    Everything is looked at, so nothing is estimated: a sound partition never fails, one with a defect never passes.

    Args:
        claims: What the rows of the catalog say; drives that wait are left out.
        stored: Address → what lies there, of all bytes that belong to clips of the partition.
        waiting: Drives whose catalog is not made from what is stored now.
        tolerance_ns: By how much instants may lie outside of their clip.
        policy_digest: Digest of what is read of the policy.

    Returns:
        Fail when a claim does not lead to bytes of its own time and number, or when bytes of a clip whose drive does
        not wait are not in its row of the catalog; else inconclusive while drives wait; else pass, also for nothing.
    """
    late = set(waiting)
    judged = [claim for claim in claims if claim.drive not in late]
    breaches = [
        f"{claim.clip}, {claim.kind}: {why}"
        for claim in judged
        if (why := _breach(claim, stored, tolerance_ns)) is not None
    ]
    named = {(address, claim.clip) for claim in judged for address in claim.addresses}
    forgotten = sorted(
        f"{address} of {clip}"
        for address, found in stored.items()
        for clip in found.spans
        if (address, clip) not in named and found.drive not in late
    )
    figures: dict[str, Figure] = {
        "rows": len({claim.clip for claim in judged}),
        "addresses": len({address for address, _ in named}),
        "breaches": len(breaches),
        "not_in_catalog": len(forgotten),
        "waiting": len(late),
    }
    if breaches:
        figures["first_breaches"] = "; ".join(breaches[:_NAMED])
    if forgotten:
        figures["first_not_in_catalog"] = ", ".join(forgotten[:_NAMED])
    digest = evidence_digest([sorted(breaches), forgotten, sorted(map(list, named)), sorted(late)])
    if breaches or forgotten:
        return Verdict(Outcome.FAIL, figures, digest, policy_digest)
    if late:
        shown = ", ".join(sorted(late)[:_NAMED])
        missing = (f"the catalog of {shown}: materialize silver/clip_catalog of this partition, then ask again",)
        return Verdict(Outcome.INCONCLUSIVE, figures, digest, policy_digest, missing)
    return Verdict(Outcome.PASS, figures, digest, policy_digest)
