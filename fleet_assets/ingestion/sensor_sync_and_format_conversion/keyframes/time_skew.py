"""The gate of what belongs together: are a lidar's sweep and the vehicle's position near every keyframe in time.

Here belongs a pure function from instants to a verdict. All keyframes are looked at, so that nothing is estimated; the
partition's verdict is the conjunction over its drives.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fleet_assets.evidence.verdicts import Figure, Outcome, Verdict, all_of, evidence_digest
from fleet_assets.ingestion.sensor_sync_and_format_conversion.keyframes.selection import NS_PER_MS

Instants = NDArray[np.int64]
"""int64[n], corrected times, UTC nanoseconds, in any order."""


@dataclass(frozen=True, slots=True, eq=False)
class Others:
    """Instants that keyframes are compared with.

    Attributes:
        t_ns: The instants.
        uncertainty_ns: What is not known of the latencies of camera and sensor together.
    """

    t_ns: Instants
    uncertainty_ns: int


@dataclass(frozen=True, slots=True, eq=False)
class DriveInstants:
    """What one drive has in time.

    Attributes:
        keyframes: Capture times of its keyframes.
        sweeps: Middles of its lidar sweeps; None where no lidar sent anything, so that none is asked for.
        poses: Instants with a position; None where its vehicle gives none.
    """

    keyframes: Instants
    sweeps: Others | None
    poses: Others | None


def nearest_ns(instants: Instants, others: Instants, max_gap_ns: int) -> Instants:
    """Distance in time from each instant to the nearest of the others.

    Args:
        instants: Instants.
        others: At least one other.
        max_gap_ns: Where the others are further apart than this, there is nothing to compare with.

    Returns:
        int64[m], distances of those instants that lie between two others which are near enough to each other.
    """
    ordered = np.sort(others)
    after = np.searchsorted(ordered, instants)
    inside = (after > 0) & (after < len(ordered)) | np.isin(instants, ordered)
    after = np.minimum(after, len(ordered) - 1)
    before = np.where(ordered[after] == instants, after, np.maximum(after - 1, 0))
    inside &= ordered[after] - ordered[before] <= max_gap_ns
    nearest: Instants = np.minimum(np.abs(ordered[after] - instants), np.abs(ordered[before] - instants))
    return nearest[inside]


def time_skew_verdict(drives: Mapping[str, DriveInstants], policy: Mapping[str, Any], *, policy_digest: str) -> Verdict:
    """Ask whether enough keyframes of every drive have a sweep and a position near them.

    Args:
        drives: Drives of the partition with at least one keyframe, by name.
        policy: The document `keyframes`.
        policy_digest: Digest of what is read of it.

    Returns:
        Fail when the share of a drive's keyframes that are near enough falls below the limit; inconclusive where the
        drive has a lidar or its vehicle gives positions, and too few keyframes can be compared with them; pass
        otherwise, also for no drive at all and for drives with neither. Gaps of a lidar or receiver are not skew: what
        lies in one is not compared.
    """
    limits = policy["time_skew"]
    verdicts: dict[str, Verdict] = {}
    worst: tuple[float, str, str] = (2.0, "", "")
    for name, drive in drives.items():
        asked = (("sweeps", drive.sweeps, "max_lidar_ms"), ("positions", drive.poses, "max_pose_ms"))
        shares, missing = {}, []
        for what, others, limit in asked:
            if others is None:
                continue
            share = _share_within(drive.keyframes, others, limits[limit], limits)
            if isinstance(share, str):
                missing.append(f"{what}: {share}")
                continue
            shares[what] = share
            worst = min(worst, (share, name, what))
        verdicts[name] = _drive_verdict(shares, missing, limits["min_share"], policy_digest)
    figures: dict[str, Figure] = {"drives": len(drives), "min_share": limits["min_share"]}
    figures["keyframes"] = sum(len(drive.keyframes) for drive in drives.values())
    if worst[1]:
        figures |= {"worst_share": worst[0], "worst_drive": worst[1], "worst_against": worst[2]}
    return replace(all_of(verdicts), figures=figures, policy_digest=policy_digest)


def _share_within(keyframes: Instants, others: Others, most_ms: float, limits: Mapping[str, Any]) -> float | str:
    """Share of the compared keyframes that are near enough, or what is missing to say so."""
    if not len(others.t_ns):
        return "there are none; materialize them in silver, or quarantine the drive"
    distance_ns = nearest_ns(keyframes, others.t_ns, round(limits["max_gap_ms"] * NS_PER_MS))
    compared = len(distance_ns) / len(keyframes)
    if compared < limits["min_compared"]:
        return (
            f"only {compared:.0%} of {len(keyframes)} keyframes lie where they are at most {limits['max_gap_ms']:g} ms "
            f"apart, {limits['min_compared']:.0%} are needed to judge; look for what silenced the sensor"
        )
    return float(np.mean(distance_ns + others.uncertainty_ns <= most_ms * NS_PER_MS))


def _drive_verdict(shares: Mapping[str, float], missing: list[str], limit: float, policy_digest: str) -> Verdict:
    digest = evidence_digest({"shares": dict(shares), "missing": missing})
    if min(shares.values(), default=1.0) < limit:
        return Verdict(Outcome.FAIL, {}, digest, policy_digest)
    if missing:
        return Verdict(Outcome.INCONCLUSIVE, {}, digest, policy_digest, tuple(missing))
    return Verdict(Outcome.PASS, {}, digest, policy_digest)
