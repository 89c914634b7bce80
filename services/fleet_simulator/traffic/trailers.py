"""How a semi-trailer follows its tractor: its axles roll without slipping behind the hitch.

Here belongs the hitch model. Where the tractor drives is decided as for everybody else.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Trailer:
    """Measures of a semi-trailer, metres.

    Attributes:
        begins_m: Its front behind that of the tractor.
        hitch_m: The hitch behind the front of the tractor.
        axle_m: The middle of its axles behind the hitch.
    """

    begins_m: float
    hitch_m: float
    axle_m: float


def trailer_of(vehicle: Mapping[str, Any]) -> Trailer | None:
    """The trailer of a kind of vehicle, None without one.

    Args:
        vehicle: Value under `vehicles` of the policy.
    """
    found = vehicle.get("trailer")
    return None if found is None else Trailer(found["begins_m"], found["hitch_m"], found["axle_m"])


def trailer_yaw(
    x_m: NDArray[np.float64], y_m: NDArray[np.float64], yaw_rad: NDArray[np.float64], length_m: float, trailer: Trailer
) -> NDArray[np.float64]:
    """Heading of the trailer over time.

    The middle of its axles moves towards the hitch only (kinematic model of a one-axle trailer without slip; Lamiraux,
    Sekhavat and Laumond, IEEE Trans. Robotics and Automation 15 (1999) 640, equation 1), integrated exactly for a hitch
    that moves in a straight line from state to state: a tractrix.

    Args:
        x_m: float64[n], east of the middle of both together, standing straight behind each other.
        y_m: float64[n], north.
        yaw_rad: float64[n], heading of the tractor.
        length_m: Length of both together.
        trailer: The trailer.

    Returns:
        float64[n], radians, without jumps; at first it follows in the bend that the tractor is in.
    """
    ahead = length_m / 2.0 - trailer.hitch_m
    hitch = np.stack([x_m + ahead * np.cos(yaw_rad), y_m + ahead * np.sin(yaw_rad)], axis=1)
    yaw = np.empty(len(x_m))
    yaw[0] = yaw_rad[0] - _first_angle(hitch, yaw_rad, trailer.axle_m)
    steps = np.diff(hitch, axis=0)
    moved, towards = np.hypot(*steps.T), np.arctan2(steps[:, 1], steps[:, 0])
    for index, (way, heading) in enumerate(zip(moved.tolist(), towards.tolist(), strict=True)):
        # tan(angle / 2) falls exponentially with the way along a straight line.
        angle = np.arctan2(np.sin(heading - yaw[index]), np.cos(heading - yaw[index]))
        left = 2.0 * np.arctan(np.tan(angle / 2.0) * np.exp(-way / trailer.axle_m))
        yaw[index + 1] = yaw[index] + (angle - left if way > 0.0 else 0.0)
    return yaw


def _first_angle(hitch: NDArray[np.float64], yaw_rad: NDArray[np.float64], axle_m: float) -> float:
    """Angle between tractor and trailer in a steady turn as sharp as that of the first states."""
    few = min(len(hitch), 20)
    way = float(np.hypot(*np.diff(hitch[:few], axis=0).T).sum())
    if way < 1.0:
        return 0.0
    bend = float(yaw_rad[few - 1] - yaw_rad[0]) / way
    return float(np.arcsin(np.clip(bend * axle_m, -0.9, 0.9)))
