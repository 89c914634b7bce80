"""The ego vehicle's own dynamics: a kinematic bicycle at 100 Hz with a driver at its pedals and steering wheel.

Here belongs how commands become motion. Which acceleration is wanted is decided in `longitudinal.py`, who drives in
`adas.py`.
"""

from array import array
from collections.abc import Mapping
from dataclasses import dataclass
from math import atan, cos, sin, tan
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from services.fleet_simulator.drive_truth import (
    AGENT_STEP_NS,
    EGO_STEP_NS,
    EGO_STEPS_PER_AGENT_STEP,
    NS_PER_S,
    EgoShape,
)
from services.fleet_simulator.world.routes import SPACING_M, Route

STEP_S: Final = AGENT_STEP_NS / NS_PER_S
_SUBSTEP_S: Final = EGO_STEP_NS / NS_PER_S
_DAMPING: Final = 0.9
_LOOK_M: Final = 4.0
_LOOK_S: Final = 0.85
_SLOWEST_MPS: Final = 3.0
_LEAST_VIEW_M: Final = 1.0
_ROLLING_MPS2: Final = 0.12
_DRAG_1PM: Final = 0.0004
"""Aerodynamic drag of a car: about 0.35 m/s2 at 30 m/s."""
_ENGINE_BRAKE_MPS2: Final = 0.35


@dataclass(frozen=True, slots=True)
class Reference:
    """Where the driver wants the vehicle, metres left of the route's line, with its rate and acceleration."""

    offset_m: float
    rate_mps: float
    accel_mps2: float


def ego_shape(vehicle: Mapping[str, Any]) -> EgoShape:
    """The measures of the policy's ego vehicle in whole millimetres."""
    return EgoShape(
        kind=vehicle["kind"],
        length_mm=round(vehicle["length_m"] * 1000),
        width_mm=round(vehicle["width_m"] * 1000),
        height_mm=round(vehicle["height_m"] * 1000),
        wheelbase_mm=round(vehicle["wheelbase_m"] * 1000),
        rear_overhang_mm=round(vehicle["rear_overhang_m"] * 1000),
        steering_ratio_milli=round(vehicle["steering_ratio"] * 1000),
    )


class EgoVehicle:
    """Integrates the bicycle model and remembers its states.

    Args:
        route: Where it drives.
        vehicle: Key `ego.vehicle` of the policy.
        s_m: Where its rear axle begins.
        speed_mps: Speed that it begins with.
        view_s: Time over which the driver takes the road's line together: nobody steers after each corner of a line.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - a vehicle, where it is, and who steers
        self, route: Route, vehicle: Mapping[str, Any], s_m: float, speed_mps: float, view_s: float
    ) -> None:
        self._vehicle = vehicle
        self._wheelbase = float(vehicle["wheelbase_m"])
        self._ahead = vehicle["length_m"] / 2.0 - vehicle["rear_overhang_m"]
        # Plain numbers: indexing an array costs more than the arithmetic of a step.
        self._lines = tuple(
            values.tolist() for values in (route.east_m, route.north_m, route.yaw_rad, route.curvature_1pm)
        )
        self._view_s = view_s
        self._sums = tuple(
            np.concatenate(([0.0], np.cumsum(0.5 * SPACING_M * (line[1:] + line[:-1])))).tolist()
            for line in (route.east_m, route.north_m, route.yaw_rad)
        )
        self._last_row = len(route.s_m) - 2
        self.s_m = s_m
        east, north, yaw, _ = self._path(s_m)
        self._pose = (east, north, yaw)
        self.d_m = 0.0
        self.speed_mps = speed_mps
        self.accel_mps2 = 0.0
        self._steer = atan(self._wheelbase * self._path(s_m)[3])
        self._states = array("d")
        self._places = array("d")

    def _path(self, s_m: float) -> tuple[float, float, float, float]:
        place = s_m / SPACING_M
        row = min(max(int(place), 0), self._last_row)
        share = place - row
        east, north, yaw, bend = ((line[row], line[row + 1]) for line in self._lines)
        return (
            east[0] + share * (east[1] - east[0]),
            north[0] + share * (north[1] - north[0]),
            yaw[0] + share * (yaw[1] - yaw[0]),
            bend[0] + share * (bend[1] - bend[0]),
        )

    def _seen(self, s_m: float, half_m: float) -> tuple[float, float, float]:
        """Mean east, north and heading of the line around a place."""
        ends = []
        for place in ((s_m - half_m) / SPACING_M, (s_m + half_m) / SPACING_M):
            row = min(max(int(place), 0), self._last_row)
            share = place - row
            ends.append([line[row] + share * (line[row + 1] - line[row]) for line in self._sums])
        first, last = ends
        east, north, yaw = ((after - before) / (2.0 * half_m) for before, after in zip(first, last, strict=True))
        return east, north, yaw

    @property
    def middle(self) -> tuple[float, float]:
        """(s, d) of the footprint's middle."""
        lean = self._pose[2] - self._path(self.s_m)[2]
        return self.s_m + self._ahead * cos(lean), self.d_m + self._ahead * sin(lean)

    @property
    def slide_mps(self) -> float:
        """Rate of d."""
        return self.speed_mps * sin(self._pose[2] - self._path(self.s_m)[2])

    def _steer_wanted(self, reference: Reference) -> float:
        """Feed-forward of the road's curvature and feedback of offset and heading."""
        speed, vehicle = self.speed_mps, self._vehicle
        half_m = max(0.5 * self._view_s * speed, _LEAST_VIEW_M)
        east, north, yaw_line, _ = self._path(self.s_m)
        east_seen, north_seen, yaw_path = self._seen(self.s_m, half_m)
        offset_seen = (north_seen - north) * cos(yaw_line) - (east_seen - east) * sin(yaw_line)
        soon = self.s_m + speed * (vehicle["steering_lag_s"] + STEP_S / 2.0)
        bend = (self._path(soon + half_m)[2] - self._path(soon - half_m)[2]) / (2.0 * half_m)
        look = max(_LOOK_M, _LOOK_S * speed)
        pace = max(speed, _SLOWEST_MPS)
        error_m = self.d_m - reference.offset_m - offset_seen
        error_rad = self._pose[2] - yaw_path - atan(reference.rate_mps / pace)
        feedback = -error_m / look**2 - 2.0 * _DAMPING * error_rad / look
        curvature = bend / max(1.0 - bend * self.d_m, 0.3) + reference.accel_mps2 / pace**2 + feedback
        most = float(vehicle["most_steer_rad"])
        return min(max(atan(self._wheelbase * curvature), -most), most)

    def advance(self, accel_mps2: float, reference: Reference, *, remember: bool) -> None:
        """Drive for one step of the agents.

        Args:
            accel_mps2: Acceleration that the pedals ask for.
            reference: Where across the road.
            remember: Whether the states are part of the drive.
        """
        vehicle, wanted = self._vehicle, self._steer_wanted(reference)
        x, y, yaw = self._pose
        speed, accel, steer = self.speed_mps, self.accel_mps2, self._steer
        pull = _SUBSTEP_S / vehicle["pedal_lag_s"]
        turn, most = _SUBSTEP_S / vehicle["steering_lag_s"], vehicle["most_steer_rate_radps"] * _SUBSTEP_S
        if remember:
            self._places.extend((self.s_m, self.d_m))
        for _ in range(EGO_STEPS_PER_AGENT_STEP):
            rate = speed * tan(steer) / self._wheelbase
            if remember:
                self._states.extend((x, y, yaw, speed, accel, steer))
            accel += (accel_mps2 - accel) * pull
            after = speed + accel * _SUBSTEP_S
            if after <= 0.0:
                after, accel = 0.0, 0.0
            steer += min(max((wanted - steer) * turn, -most), most)
            middle, heading = 0.5 * (speed + after) * _SUBSTEP_S, yaw + 0.5 * rate * _SUBSTEP_S
            x += middle * cos(heading)
            y += middle * sin(heading)
            yaw += rate * _SUBSTEP_S
            speed = after
        self._pose, self.speed_mps, self.accel_mps2, self._steer = (x, y, yaw), speed, accel, steer
        self._project()

    def _project(self) -> None:
        """Find the place on the route's line that is beside the rear axle."""
        x, y, _ = self._pose
        for _ in range(2):
            east, north, yaw, bend = self._path(self.s_m)
            along = (x - east) * cos(yaw) + (y - north) * sin(yaw)
            across = -(x - east) * sin(yaw) + (y - north) * cos(yaw)
            self.s_m += along / max(1.0 - bend * across, 0.2)
            self.d_m = across

    def states(self) -> NDArray[np.float64]:
        """float64[n, 6] at 100 Hz: east, north, heading, speed, acceleration, angle of the road wheels."""
        return np.array(self._states, dtype=np.float64).reshape(-1, 6)

    def places(self) -> NDArray[np.float64]:
        """float64[m, 2] at 20 Hz: s and d of the rear axle."""
        return np.array(self._places, dtype=np.float64).reshape(-1, 2)


def pedals(
    speed_mps: NDArray[np.float64], accel_mps2: NDArray[np.float64], vehicle: Mapping[str, Any]
) -> tuple[NDArray[np.int16], NDArray[np.int16]]:
    """Accelerator and brake, thousandths, that this motion takes on a level road."""
    force = accel_mps2 + np.where(speed_mps > 0.0, _ROLLING_MPS2, 0.0) + _DRAG_1PM * speed_mps**2
    most = vehicle["most_power_w_per_kg"] / np.maximum(speed_mps, vehicle["most_power_w_per_kg"] / 5.0)
    accelerator = np.clip(force / most, 0.0, 1.0)
    braking = np.clip((-force - _ENGINE_BRAKE_MPS2) / vehicle["full_brake_mps2"], 0.0, 1.0)
    # A foot rests on the brake while the vehicle stands.
    braking = np.where(speed_mps <= 0.0, np.maximum(braking, 0.15), braking)
    accelerator = np.where((speed_mps <= 0.0) | (braking > 0.0), 0.0, accelerator)
    return np.rint(accelerator * 1000).astype(np.int16), np.rint(braking * 1000).astype(np.int16)


class Wander:
    """The unsteadiness of a driver: a low-passed Ornstein-Uhlenbeck process across the road, another at the pedal.

    Args:
        rng: The driver's stream.
        driver: Key `ego.driver` of the policy.
    """

    def __init__(self, rng: np.random.Generator, driver: Mapping[str, float]) -> None:
        self._rng, self._driver = rng, driver
        self._draws: list[list[float]] = []
        self._raw = self._offset = self._rate = self.pedal_mps2 = 0.0

    def step(self, amplitude_m: float) -> Reference:
        """The next wanted deviation from the lane's middle.

        Args:
            amplitude_m: Standard deviation across the road.
        """
        if not self._draws:
            self._draws = self._rng.standard_normal((256, 2)).tolist()
        across, pedal = self._draws.pop()
        slow, quick = self._driver["wander_time_s"], self._driver["pedal_noise_time_s"]
        self._raw += -self._raw * STEP_S / slow + across * (2.0 * STEP_S / slow) ** 0.5
        # A second-order filter, so that its acceleration is bounded: hands do not jump.
        pull = 3.0 / slow
        accel = pull * pull * (1.6 * amplitude_m * self._raw - self._offset) - 2.0 * pull * self._rate
        self._rate += accel * STEP_S
        self._offset += self._rate * STEP_S
        self.pedal_mps2 += (
            -self.pedal_mps2 * STEP_S / quick + self._driver["pedal_noise_mps2"] * pedal * (2.0 * STEP_S / quick) ** 0.5
        )
        return Reference(self._offset, self._rate, accel)
