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
class DriveInstants:
    """What one drive has in time.

    Attributes:
        keyframes: Capture times of its keyframes.
        sweeps: Middles of its lidar sweeps; None where its vehicle has no lidar, so that none is asked for.
        poses: Instants with a position; None where its vehicle gives none.
    """

    keyframes: Instants
    sweeps: Instants | None
    poses: Instants | None


def nearest_ns(instants: Instants, others: Instants) -> Instants:
    """Distance in time from each instant to the nearest of the others, of which there is at least one."""
    ordered = np.sort(others)
    after = np.minimum(np.searchsorted(ordered, instants), len(ordered) - 1)
    before = np.maximum(after - 1, 0)
    nearest: Instants = np.minimum(np.abs(ordered[after] - instants), np.abs(ordered[before] - instants))
    return nearest


def time_skew_verdict(drives: Mapping[str, DriveInstants], policy: Mapping[str, Any], *, policy_digest: str) -> Verdict:
    """Ask whether enough keyframes of every drive have a sweep and a position near them.

    Args:
        drives: Drives of the partition with at least one keyframe, by name.
        policy: The document `keyframes`.
        policy_digest: Digest of what is read of it.

    Returns:
        Fail when the share of a drive's keyframes that are near enough falls below the limit; inconclusive where the
        drive's vehicle has a lidar or gives positions, and there is none to compare with; pass otherwise, also for no
        drive at all and for drives of vehicles with neither.
    """
    limits = policy["time_skew"]
    verdicts: dict[str, Verdict] = {}
    worst: tuple[float, str, str] = (2.0, "", "")
    for name, drive in drives.items():
        asked = (
            ("sweeps", drive.sweeps, limits["max_lidar_ms"] * NS_PER_MS),
            ("positions", drive.poses, limits["max_pose_ms"] * NS_PER_MS),
        )
        shares, missing = {}, []
        for what, others, most_ns in asked:
            if others is None:
                continue
            if not len(others):
                missing.append(f"{what}: materialize them in silver, or quarantine the drive")
                continue
            shares[what] = float(np.mean(nearest_ns(drive.keyframes, others) <= most_ns))
            worst = min(worst, (shares[what], name, what))
        verdicts[name] = _drive_verdict(shares, missing, limits["min_share"], policy_digest)
    figures: dict[str, Figure] = {"drives": len(drives), "min_share": limits["min_share"]}
    figures["keyframes"] = sum(len(drive.keyframes) for drive in drives.values())
    if worst[1]:
        figures |= {"worst_share": worst[0], "worst_drive": worst[1], "worst_against": worst[2]}
    return replace(all_of(verdicts), figures=figures, policy_digest=policy_digest)


def _drive_verdict(shares: Mapping[str, float], missing: list[str], limit: float, policy_digest: str) -> Verdict:
    digest = evidence_digest({"shares": dict(shares), "missing": missing})
    if min(shares.values(), default=1.0) < limit:
        return Verdict(Outcome.FAIL, {}, digest, policy_digest)
    if missing:
        return Verdict(Outcome.INCONCLUSIVE, {}, digest, policy_digest, tuple(missing))
    return Verdict(Outcome.PASS, {}, digest, policy_digest)
