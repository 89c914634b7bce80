"""Judgement of the lidars' conservation: no message and no sweep may vanish. Which drives count is the caller's."""

from collections.abc import Collection, Mapping

from fleet_assets.evidence.conservation import conservation
from fleet_assets.evidence.verdicts import Verdict

Lidar = tuple[str, str]
"""Drive and sensor."""


def lidar_verdict(
    recorded: Mapping[Lidar, int],
    converted: Mapping[Lidar, tuple[int, int]],
    rows: Mapping[Lidar, int],
    waiting: Collection[str],
    *,
    policy_digest: str,
) -> Verdict:
    """Messages recorded = messages accounted for, and sweeps in the file = rows, lidar by lidar.

    Args:
        recorded: Messages of each lidar that was recorded.
        converted: Messages accounted for, and sweeps in the file.
        rows: Rows of sweeps.
        waiting: Drives that are not converted yet.
        policy_digest: Digest of the policy in force.

    Returns:
        Fail when a lidar lacks messages or rows, or has more than there were; inconclusive while drives wait.
    """
    sound = {
        lidar
        for lidar, (messages, sweeps) in converted.items()
        if messages == recorded.get(lidar) and sweeps == rows.get(lidar, 0)
    }
    # A lidar whose counts differ is lost; rows of a lidar that was not recorded come from nowhere.
    outgoing = sound | ((converted.keys() | rows.keys()) - recorded.keys())
    late = set(waiting)
    return conservation(
        [_name(lidar) for lidar in recorded],
        [_name(lidar) for lidar in outgoing if lidar[0] not in late],
        (),
        [_name(lidar) for lidar in recorded if lidar[0] in late],
        policy_digest=policy_digest,
    )


def _name(lidar: Lidar) -> str:
    return f"{lidar[0]}/{lidar[1]}"
