"""How dangerous it got with whoever was ahead: small formulas of the field, sample by sample.

Here belong the formulas with their sources. Which signals go in is said by policy.

Args and results are float64[n], NaN where missing; a distance is the gap from the front bumper to who is ahead,
`closing` is how fast it shrinks.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class RssParameters:
    """Parameters of the RSS safe distance.

    Attributes:
        response_s: Time until the follower brakes.
        accel_max_mps2: Greatest acceleration meanwhile.
        brake_min_mps2: Deceleration that the follower keeps at least.
        brake_max_mps2: Deceleration that the one ahead reaches at most.
    """

    response_s: float
    accel_max_mps2: float
    brake_min_mps2: float
    brake_max_mps2: float


def time_to_collision_s(distance_m: Floats, closing_mps: Floats) -> Floats:
    """Time until contact at unchanged speeds (Hayward, Near-miss determination through use of a scale of danger, 1972).

    Missing where the distance does not shrink.
    """
    return np.where(closing_mps > 0.0, distance_m, np.nan) / np.where(closing_mps > 0.0, closing_mps, 1.0)


def time_headway_s(distance_m: Floats, speed_mps: Floats, slowest_mps: float) -> Floats:
    """Time until the vehicle is where the one ahead is now (gap divided by speed); missing when slower than stated."""
    drives = speed_mps >= slowest_mps
    return np.where(drives, distance_m, np.nan) / np.where(drives, speed_mps, 1.0)


def deceleration_to_avoid_crash_mps2(distance_m: Floats, closing_mps: Floats) -> Floats:
    """Constant deceleration that just avoids contact (DRAC; Almqvist, Hyden, Risser, 1991; Archer, 2005).

    Closing speed squared over twice the distance; 0 where the distance does not shrink, missing where it is 0.
    """
    needed = np.maximum(closing_mps, 0.0) ** 2 / (2.0 * np.where(distance_m > 0.0, distance_m, np.nan))
    return np.where(np.isnan(closing_mps), np.nan, needed)


def rss_safe_distance_m(rear_mps: Floats, front_mps: Floats, rss: RssParameters) -> Floats:
    """Least safe distance to a vehicle ahead (Shalev-Shwartz et al., 2017, definition 1).

    The follower speeds up during its response time and then brakes gently, the one ahead brakes as hard as it can.

    Args:
        rear_mps: Speed of the follower.
        front_mps: Speed of the one ahead.
        rss: Parameters.
    """
    reached = rear_mps + rss.response_s * rss.accel_max_mps2
    distance = (
        rear_mps * rss.response_s
        + 0.5 * rss.accel_max_mps2 * rss.response_s**2
        + reached**2 / (2.0 * rss.brake_min_mps2)
        - np.maximum(front_mps, 0.0) ** 2 / (2.0 * rss.brake_max_mps2)
    )
    return np.where(np.isnan(distance), np.nan, np.maximum(distance, 0.0))


@dataclass(frozen=True, slots=True, eq=False)
class Criticality:
    """Criticality at each grid instant; float64[n], `unsafe` 1 or 0."""

    ttc_s: Floats
    thw_s: Floats
    drac_mps2: Floats
    unsafe: Floats


def criticality(
    speed_mps: Floats, distance_m: Floats, rel_speed_mps: Floats, slowest_mps: float, rss: Mapping[str, float]
) -> Criticality:
    """All measures of a drive.

    Args:
        speed_mps: Own speed.
        distance_m: Gap from the front bumper to who is ahead.
        rel_speed_mps: Its relative speed, positive when it draws away.
        slowest_mps: Least speed at which a headway counts.
        rss: Key `criticality.rss` of the policy.
    """
    closing = -rel_speed_mps
    safe = rss_safe_distance_m(speed_mps, speed_mps + rel_speed_mps, RssParameters(**rss))
    known = ~(np.isnan(safe) | np.isnan(distance_m))
    return Criticality(
        ttc_s=time_to_collision_s(distance_m, closing),
        thw_s=time_headway_s(distance_m, speed_mps, slowest_mps),
        drac_mps2=deceleration_to_avoid_crash_mps2(distance_m, closing),
        unsafe=np.where(known, (distance_m < safe).astype(np.float64), np.nan),
    )
