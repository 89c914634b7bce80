"""What drivers do, as numbers per manoeuvre: launches, stops, corners, waits, steady cruising.

Every function takes the motion of one drive, real or simulated, and returns one number per manoeuvre, so that the same
code says what a driver did and what the simulated one does.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from services.fleet_simulator.fitting.motion import GRID_S, Motion

Numbers = NDArray[np.float64]


def runs(which: NDArray[np.bool_], least: int = 1) -> Iterator[slice]:
    """Stretches in which something holds.

    Args:
        which: bool[n].
        least: Shortest stretch, in samples.
    """
    edges = np.flatnonzero(np.diff(np.concatenate(([0], which.astype(np.int8), [0]))))
    for first, end in zip(edges[::2], edges[1::2], strict=True):
        if end - first >= least:
            yield slice(int(first), int(end))


def _between(t_s: Numbers, speed: Numbers, low: float, high: float) -> Iterator[float]:
    """Mean accelerations of the ways from one speed up to another, without falling back below the first."""
    begun: float | None = None
    for index in range(1, len(speed)):
        before, now = float(speed[index - 1]), float(speed[index])
        if before < low <= now:
            begun = float(t_s[index - 1]) + (low - before) / (now - before) * float(t_s[index] - t_s[index - 1])
        elif now < low:
            begun = None
        if begun is not None and before < high <= now:
            there = float(t_s[index - 1]) + (high - before) / (now - before) * float(t_s[index] - t_s[index - 1])
            yield (high - low) / (there - begun)
            begun = None


def launches(motion: Sequence[Motion], policy: Mapping[str, Any]) -> Numbers:
    """Mean acceleration of each start from rest, m/s2."""
    low, high = policy["launch"]["low_mps"], policy["launch"]["high_mps"]
    return np.array([found for one in motion for found in _between(one.t_s, one.speed_mps, low, high)])


def stoppings(motion: Sequence[Motion], policy: Mapping[str, Any]) -> Numbers:
    """Mean deceleration of each braking to a stop, m/s2."""
    low, high = policy["stopping"]["low_mps"], policy["stopping"]["high_mps"]
    return np.array([found for one in motion for found in _between(-one.t_s[::-1], one.speed_mps[::-1], low, high)])


def corners(motion: Sequence[Motion], policy: Mapping[str, Any]) -> Numbers:
    """Largest lateral acceleration in each corner, m/s2."""
    own = policy["corner"]
    found: list[float] = []
    for one in motion:
        found += [
            float(np.abs(one.lateral_mps2[rows]).max())
            for rows in runs(np.abs(one.yaw_rate_radps) > own["least_radps"])
            if abs(one.yaw_rate_radps[rows].sum()) * GRID_S > own["least_turn_rad"]
        ]
    return np.array(found)


def waits(motion: Sequence[Motion], policy: Mapping[str, Any]) -> Numbers:
    """Length of each rest that begins and ends in view and is longer than a stop sign's, s."""
    own = policy["wait"]
    found: list[float] = []
    for one in motion:
        found += [
            (rows.stop - rows.start) * GRID_S
            for rows in runs(one.speed_mps < own["rest_mps"], int(own["least_s"]))
            if rows.start > 0 and rows.stop < len(one.speed_mps)
        ]
    return np.array(found)


def _cruising(motion: Sequence[Motion], policy: Mapping[str, Any]) -> Iterator[tuple[Motion, slice]]:
    """Straight stretches of one length at a steady speed."""
    own = policy["cruise"]
    width = int(own["seconds"])
    for one in motion:
        for first in range(0, len(one.t_s) - width + 1, width):
            rows = slice(first, first + width)
            speed, turned = one.speed_mps[rows], np.abs(one.yaw_rate_radps[rows].sum()) * GRID_S
            steady = np.ptp(speed) < own["most_change_mps"] and speed.min() > own["least_mps"]
            if steady and turned < own["most_turn_rad"]:
                yield one, rows


def pedal_unrest(motion: Sequence[Motion], policy: Mapping[str, Any]) -> Numbers:
    """Standard deviation of the acceleration in each steady stretch, m/s2."""
    return np.array([float(one.accel_mps2[rows].std()) for one, rows in _cruising(motion, policy)])


def steering_unrest(motion: Sequence[Motion], policy: Mapping[str, Any]) -> Numbers:
    """Standard deviation of the yaw rate in each steady stretch but for an even bend, rad/s."""
    found = []
    for one, rows in _cruising(motion, policy):
        seconds = one.t_s[rows] - one.t_s[rows].mean()
        turn = one.yaw_rate_radps[rows]
        found.append(float((turn - np.polyval(np.polyfit(seconds, turn, 1), seconds)).std()))
    return np.array(found)


def free_speeds(motion: Sequence[Motion], policy: Mapping[str, Any]) -> Numbers:
    """Mean speed of each steady stretch, m/s."""
    return np.array([float(one.speed_mps[rows].mean()) for one, rows in _cruising(motion, policy)])


def hard_brakes(motion: Sequence[Motion], policy: Mapping[str, Any]) -> int:
    """How often braking passed the policy's limit."""
    own = policy["hard_brake"]
    return sum(1 for one in motion for _ in runs(one.accel_mps2 < -own["mps2"]))


EVENTS: Final[Mapping[str, Callable[[Sequence[Motion], Mapping[str, Any]], Numbers]]] = {
    "launches": launches,
    "stoppings": stoppings,
    "corners": corners,
    "waits": waits,
    "pedal_unrest": pedal_unrest,
    "steering_unrest": steering_unrest,
    "free_speeds": free_speeds,
}
