"""What traffic lights show: fixed-time signals in step with UTC, so that their state is a function of the time alone.

Here belong phases. Who obeys them is in `drive.py`.
"""

from collections.abc import Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from services.fleet_simulator.drive_truth import NS_PER_S, LightSeries, Signal
from services.fleet_simulator.world.routes import to_mm

_MRAD: Final = 1000.0


def axis_of(yaw_rad: float) -> int:
    """Which of a junction's two signal groups an approach belongs to: 0 east and west, 1 north and south."""
    return int(abs(np.sin(yaw_rad)) > abs(np.cos(yaw_rad)))


def signal_at(t_ns: int, phase_s: int, axis: int, lights: Mapping[str, float]) -> Signal:
    """What an approach is shown.

    Args:
        t_ns: UTC, nanoseconds.
        phase_s: `Node.phase_s`.
        axis: Signal group; the second one runs half a cycle later.
        lights: Key `world.lights` of the policy.
    """
    cycle_ns = round(lights["cycle_s"] * NS_PER_S)
    into = (t_ns - phase_s * NS_PER_S - axis * cycle_ns // 2) % cycle_ns
    if into < round(lights["green_s"] * NS_PER_S):
        return Signal.GREEN
    return Signal.YELLOW if into < round((lights["green_s"] + lights["yellow_s"]) * NS_PER_S) else Signal.RED


def light_series(
    span_ns: tuple[int, int],
    place: tuple[int, int, int],
    pose: tuple[float, float, float],
    lights: Mapping[str, float],
) -> LightSeries:
    """All changes of a light in a span of time.

    Args:
        span_ns: First and last time.
        place: Node id, edge id of the approach, the node's phase.
        pose: East, north (m) and direction (rad) at the stop line.
        lights: Key `world.lights` of the policy.
    """
    start, end = span_ns
    cycle_ns = round(lights["cycle_s"] * NS_PER_S)
    axis = axis_of(pose[2])
    zero = place[2] * NS_PER_S + axis * cycle_ns // 2
    begins = [0, round(lights["green_s"] * NS_PER_S), round((lights["green_s"] + lights["yellow_s"]) * NS_PER_S)]
    first = (start - zero) // cycle_ns
    edges = [
        zero + cycle * cycle_ns + begin for cycle in range(first, (end - zero) // cycle_ns + 1) for begin in begins
    ]
    changes: NDArray[np.int64] = np.array([start, *(edge for edge in edges if start < edge <= end)], dtype=np.int64)
    shown = [signal_at(int(change), place[2], axis, lights) for change in changes]
    where = to_mm(np.array(pose[:2]))
    return LightSeries(
        node_id=place[0],
        edge_id=place[1],
        x_mm=int(where[0]),
        y_mm=int(where[1]),
        yaw_mrad=round(pose[2] * _MRAD),
        change_ns=changes,
        signal=np.array(shown, dtype=np.uint8),
    )
