"""The gate of what belongs together: pictures, lidar sweeps and positions of a drive are near each other in time.

Here belongs a pure function from instants to a verdict. All keyframes and sweeps are looked at, so that nothing is
estimated; the partition's verdict is the conjunction over its drives.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fleet_assets.evidence.verdicts import Figure, Outcome, Verdict, all_of, evidence_digest
from fleet_assets.ingestion.sensor_sync_and_format_conversion.keyframes.selection import NS_PER_MS

Instants = NDArray[np.int64]
"""int64[n], corrected times, UTC nanoseconds, in any order."""
CAMERA_LIDAR, CAMERA_POSE, LIDAR_POSE = "camera_lidar", "camera_pose", "lidar_pose"
PAIRS: Final[Mapping[str, tuple[str, str]]] = {
    CAMERA_LIDAR: ("keyframes", "sweeps"),
    CAMERA_POSE: ("keyframes", "poses"),
    LIDAR_POSE: ("sweeps", "poses"),
}
"""What is compared: for each of the first, the nearest of the second."""


@dataclass(frozen=True, slots=True, eq=False)
class Timed:
    """What one kind of sensor has in time.

    Attributes:
        t_ns: When it measured, by its clock model: what its rows say, and what others are paired by.
        true_ns: When it measured, by its own statement where it makes one, else the same.
        unknown_ns: int64[n], what its vehicle spec does not know of its latency.
    """

    t_ns: Instants
    true_ns: Instants
    unknown_ns: Instants

    def __len__(self) -> int:
        return len(self.t_ns)


@dataclass(frozen=True, slots=True, eq=False)
class DriveInstants:
    """What one drive has in time.

    Attributes:
        keyframes: Its keyframes, at least one.
        sweeps: Middles of its lidar sweeps; None where no lidar sent anything, so that none is asked for.
        poses: Instants with a position; None where its vehicle gives none.
        stated: Keyframes whose camera itself states when it took them. Of the others the time is that of the clock
            model, so that it cannot show whether that model is right.
    """

    keyframes: Timed
    sweeps: Timed | None
    poses: Timed | None
    stated: int = 0


def apart_ns(instants: Timed, others: Timed, max_gap_ns: int) -> tuple[Instants, Instants]:
    """How far in time each instant really is from the one that it is paired with, the nearest of the others.

    Args:
        instants: Instants.
        others: At least one other.
        max_gap_ns: Where the others are further apart than this, there is nothing to compare with.

    Returns:
        int64[m] each, the distance and what is not known of both, of those instants that lie between two others which
        are near enough to each other.
    """
    order = np.argsort(others.t_ns, kind="stable")
    ordered = others.t_ns[order]
    after = np.searchsorted(ordered, instants.t_ns)
    inside = (after > 0) & (after < len(ordered)) | np.isin(instants.t_ns, ordered)
    after = np.minimum(after, len(ordered) - 1)
    before = np.where(ordered[after] == instants.t_ns, after, np.maximum(after - 1, 0))
    inside &= ordered[after] - ordered[before] <= max_gap_ns
    later, earlier = (np.abs(ordered[place] - instants.t_ns) for place in (after, before))
    nearest = order[np.where(earlier < later, before, after)]
    distance: Instants = np.abs(others.true_ns[nearest] - instants.true_ns)
    unknown: Instants = instants.unknown_ns + others.unknown_ns[nearest]
    return distance[inside], unknown[inside]


def time_skew_verdict(drives: Mapping[str, DriveInstants], policy: Mapping[str, Any], *, policy_digest: str) -> Verdict:
    """Ask whether enough keyframes and sweeps of every drive have what belongs to them near them.

    Args:
        drives: Drives of the partition with at least one keyframe, by name.
        policy: The document `keyframes`.
        policy_digest: Digest of what is read of it.

    Returns:
        Fail when, for a pair of kinds, the share of a drive's instants that can be near enough falls below the limit,
        whatever is not known of the latencies; pass when the share of those that must be near enough reaches it;
        inconclusive in between, and where the drive has a lidar or its vehicle gives positions and too few instants can
        be compared with them. Pass also for no drive at all and for drives with neither. Gaps of a lidar or receiver
        are not skew: what lies in one is not compared.
    """
    limits = policy["time_skew"]
    verdicts: dict[str, Verdict] = {}
    worst: tuple[float, str, str] = (2.0, "", "")
    for name, drive in drives.items():
        shares: dict[str, tuple[float, float]] = {}
        missing: list[str] = []
        for pair, (one, other) in PAIRS.items():
            instants, others = getattr(drive, one), getattr(drive, other)
            # A drive whose sweeps are missing is asked for them once, by its keyframes.
            if instants is None or others is None or not len(instants):
                continue
            share = _share_within(instants, others, limits["max_ms"][pair], limits)
            if isinstance(share, str):
                missing.append(f"{one} and {other}: {share}")
                continue
            shares[pair] = share
            worst = min(worst, (share[0], name, pair))
            if share[0] < limits["min_share"]:
                missing.append(_unsure(one, other, instants, others, limits["max_ms"][pair]))
        verdicts[name] = _drive_verdict(shares, missing, limits["min_share"], policy_digest)
    figures: dict[str, Figure] = {"drives": len(drives), "min_share": limits["min_share"]}
    shown = sum(len(drive.keyframes) for drive in drives.values())
    stated = sum(drive.stated for drive in drives.values())
    figures |= {"keyframes": shown, "with_own_time": stated, "without_own_time": shown - stated}
    if worst[1]:
        figures |= {"worst_share": worst[0], "worst_drive": worst[1], "worst_pair": worst[2]}
    return replace(all_of(verdicts), figures=figures, policy_digest=policy_digest)


def _unsure(one: str, other: str, instants: Timed, others: Timed, most_ms: float) -> str:
    unknown_ms = (int(instants.unknown_ns.max()) + int(others.unknown_ns.max())) / NS_PER_MS
    return (
        f"{one} and {other}: their latencies are known to {unknown_ms:g} ms only, too little to be sure of "
        f"{most_ms:g} ms; measure latency_ms of these sensors and state its uncertainty in the vehicle spec"
    )


def _share_within(
    instants: Timed, others: Timed, most_ms: float, limits: Mapping[str, Any]
) -> tuple[float, float] | str:
    """Share of the compared instants that must be and that can be near enough, or what is missing to say so."""
    if not len(others):
        return "there are none of the latter; materialize them in silver, or quarantine the drive"
    distance_ns, unknown_ns = apart_ns(instants, others, round(limits["max_gap_ms"] * NS_PER_MS))
    compared = len(distance_ns) / len(instants)
    if compared < limits["min_compared"]:
        return (
            f"only {compared:.0%} of {len(instants)} of the former lie where the latter are at most "
            f"{limits['max_gap_ms']:g} ms apart, {limits['min_compared']:.0%} are needed to judge; look for what "
            "silenced the sensor"
        )
    most_ns = most_ms * NS_PER_MS
    return float(np.mean(distance_ns + unknown_ns <= most_ns)), float(np.mean(distance_ns - unknown_ns <= most_ns))


def _drive_verdict(
    shares: Mapping[str, tuple[float, float]], missing: list[str], limit: float, policy_digest: str
) -> Verdict:
    digest = evidence_digest({"shares": dict(shares), "missing": missing})
    if min((can for _, can in shares.values()), default=1.0) < limit:
        return Verdict(Outcome.FAIL, {}, digest, policy_digest)
    if missing:
        return Verdict(Outcome.INCONCLUSIVE, {}, digest, policy_digest, tuple(missing))
    return Verdict(Outcome.PASS, {}, digest, policy_digest)
