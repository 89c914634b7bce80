"""How a driver follows: the Intelligent Driver Model, and the speed that a road ahead allows.

Here belong accelerations along the lane. Lane changes and what happens on request are modules of their own.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from services.fleet_simulator.world.routes import SPACING_M


class Bends(Protocol):
    """A line with limits and bends, one value per `SPACING_M`."""

    @property
    def limit_mps(self) -> NDArray[np.float64]:
        """Speed limit."""

    @property
    def curvature_1pm(self) -> NDArray[np.float64]:
        """Curvature."""


@dataclass(frozen=True, slots=True)
class Driver:
    """Parameters of the Intelligent Driver Model; each may be one number or one per vehicle.

    Attributes:
        time_headway_s: Wanted time gap.
        minimum_gap_m: Gap at a standstill.
        acceleration_mps2: Acceleration on a free road from a standstill.
        deceleration_mps2: Comfortable braking.
        exponent: How soon the acceleration falls with speed.
    """

    time_headway_s: Any
    minimum_gap_m: Any
    acceleration_mps2: Any
    deceleration_mps2: Any
    exponent: float


def draw_drivers(rng: np.random.Generator, idm: Mapping[str, float], count: int) -> Driver:
    """Drivers around the policy's one, with its spread between people."""

    def spread(name: str) -> NDArray[np.float64]:
        factor = np.clip(rng.normal(1.0, idm["spread"], count), 0.5, 1.6)
        return np.asarray(idm[name] * factor)

    return Driver(
        time_headway_s=spread("time_headway_s"),
        minimum_gap_m=spread("minimum_gap_m"),
        acceleration_mps2=spread("acceleration_mps2"),
        deceleration_mps2=spread("deceleration_mps2"),
        exponent=idm["exponent"],
    )


def idm_acceleration(
    driver: Driver,
    speed_mps: ArrayLike,
    wanted_mps: ArrayLike,
    gap_m: ArrayLike,
    closing_mps: ArrayLike,
    *,
    hardest_mps2: float,
) -> NDArray[np.float64]:
    """Acceleration of the Intelligent Driver Model (Treiber, Hennecke and Helbing 2000, equations 3 and 4).

    Args:
        driver: Who drives.
        speed_mps: Own speed.
        wanted_mps: Speed wanted on a free road.
        gap_m: Bumper to bumper distance to the vehicle ahead; infinity for none.
        closing_mps: Own speed minus that of the vehicle ahead.
        hardest_mps2: Limit of braking, positive.

    Returns:
        float64, same shape as the inputs broadcast.
    """
    speed = np.asarray(speed_mps, dtype=np.float64)
    wanted = np.maximum(np.asarray(wanted_mps, dtype=np.float64), 0.1)
    gap = np.maximum(np.asarray(gap_m, dtype=np.float64), 0.1)
    comfort = 2.0 * np.sqrt(driver.acceleration_mps2 * driver.deceleration_mps2)
    dynamic = speed * driver.time_headway_s + speed * np.asarray(closing_mps, dtype=np.float64) / comfort
    desired = driver.minimum_gap_m + np.maximum(dynamic, 0.0)
    ratio = speed / wanted
    # Above the wanted speed the original term brakes without bound; beyond twice of it that is no human any more.
    free = 1.0 - np.minimum(ratio, 2.0) ** driver.exponent
    acceleration = driver.acceleration_mps2 * (free - (desired / gap) ** 2)
    bounded: NDArray[np.float64] = np.minimum(np.maximum(acceleration, -hardest_mps2), driver.acceleration_mps2)
    return bounded


def speed_profile(route: Bends, limit_factor: float, lateral_mps2: float, braking_mps2: float) -> NDArray[np.float64]:
    """Speed that a driver who knows the road takes at each point of a route, float64[n].

    Limits and bends ahead are braked for in time: a backward pass with constant braking.

    Args:
        route: A route, or another line with limits and bends.
        limit_factor: Share of the limit that this driver keeps to.
        lateral_mps2: Lateral acceleration that is accepted in bends.
        braking_mps2: Braking before slower stretches.
    """
    bend = np.sqrt(lateral_mps2 / np.maximum(np.abs(route.curvature_1pm), 1e-6))
    squared = np.minimum(route.limit_mps * limit_factor, bend) ** 2
    step = 2.0 * braking_mps2 * SPACING_M
    # min over all points ahead of (their value + braking over the way there): one reversed running minimum.
    ramp = step * np.arange(len(squared))
    eased = np.minimum.accumulate((squared + ramp)[::-1])[::-1] - ramp
    return np.asarray(np.sqrt(eased))
