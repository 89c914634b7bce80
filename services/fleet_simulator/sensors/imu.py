"""The inertial measurement unit: three accelerometers and three gyroscopes at the middle of the rear axle.

Axes are the vehicle's (ISO 8855: forward, left, up). Errors: turn-on bias, slowly wandering bias, white noise, and
while the vehicle moves white vibration and the bounce of the body on its springs. Real recordings show that both are
there at a few metres per second already and hardly grow from there on (docs/fleet_simulator_statistics.md). The ground
is flat, so gravity is on the vertical axis but for the mounting error.
"""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from services.fleet_simulator.sensors.cdr import STAMP, layout, stamp_columns
from services.fleet_simulator.sensors.clock import draw_timing, random_stream
from services.fleet_simulator.sensors.messages import Columns
from services.fleet_simulator.sensors.noise import GaussMarkov, Resonance
from services.fleet_simulator.sensors.ros_messages import IMU
from services.fleet_simulator.sensors.scene import MICRO, Scene

GRAVITY_MPS2: Final = 9.80665
_AXES: Final = ("x", "y", "z")
_NS: Final = 1e-9


class Imu:
    """See the module.

    Args:
        scene: The drive.
    """

    name = "imu"
    topic = "/imu/data"
    type_name = IMU
    spiking = "acceleration.x"
    per_measurement = 1
    spacing_ns = 0

    def __init__(self, scene: Scene) -> None:
        self._scene, self._policy, self._shift = scene, scene.policy["imu"], scene.truth.plan.shift
        self.timing = draw_timing(scene.policy, scene.seed, self.name, scene.start_ns)
        drawn = random_stream(scene.seed, self.name, "errors")
        self._rng = random_stream(scene.seed, self.name, "noise")
        self._bias = drawn.normal(0.0, self._policy["acceleration"]["bias_sd"], 3)
        self._turn_bias = drawn.normal(0.0, self._policy["rate"]["bias_sd"], 3)
        # Mounted a little crooked: gravity shows on the level axes.
        self._tilt = drawn.normal(0.0, self._policy["mounting_sd_rad"], 2)
        period_s = self.timing.period_ns * _NS
        self._wander = {
            f"{part}.{axis}": GaussMarkov(
                random_stream(scene.seed, self.name, part, axis), self._policy[part]["wander_s"], period_s
            )
            for part in ("acceleration", "rate")
            for axis in _AXES
        }
        vibration = self._policy["vibration"]
        # Some units sit on a windscreen, others are bolted to the body.
        levels = np.exp(vibration["level_spread"] * random_stream(scene.seed, self.name, "level").normal(size=6))
        self._level = dict(zip(self._wander, levels.tolist(), strict=True))
        self._bounce = {
            name: Resonance(
                random_stream(scene.seed, self.name, "bounce", *name.split(".")),
                vibration["bounce_hz"],
                vibration["bounce_memory_s"],
                period_s,
            )
            for name in self._wander
        }
        number = [("acceleration.x", "<f8"), ("acceleration.y", "<f8"), ("acceleration.z", "<f8")]
        turn = [("rate.x", "<f8"), ("rate.y", "<f8"), ("rate.z", "<f8")]
        self._layout = layout(
            [
                *STAMP,
                "imu_link",
                ("orientation", "<f8", 4),
                ("orientation_covariance", "<f8", 9),
                *turn,
                ("rate_covariance", "<f8", 9),
                *number,
                ("acceleration_covariance", "<f8", 9),
            ]
        )

    def sample(self, t_ns: NDArray[np.int64]) -> Columns:
        """Specific force (m/s2) and rates (rad/s) at true times."""
        scene, policy, count = self._scene, self._policy, len(t_ns)
        speed = scene.ego("speed_mmps", t_ns)
        ahead, left = scene.ego("accel_mmps2", t_ns), scene.ego("lateral_accel_mmps2", t_ns)
        moving = np.minimum(speed / policy["vibration"]["full_mps"], 1.0)
        gravity = GRAVITY_MPS2 * self._tilt
        true = {
            "acceleration.x": ahead + gravity[0],
            "acceleration.y": left + gravity[1],
            "acceleration.z": np.full(count, GRAVITY_MPS2),
            "rate.x": np.zeros(count),
            "rate.y": np.zeros(count),
            "rate.z": scene.ego("yaw_rate_uradps", t_ns, MICRO),
        }
        found = {}
        for part, biases in (("acceleration", self._bias), ("rate", self._turn_bias)):
            own = policy[part]
            for axis, bias, white, bounce in zip(_AXES, biases, own["vibration_sd"], own["bounce_sd"], strict=True):
                name = f"{part}.{axis}"
                shaken = self._level[name] * moving
                noise = self._rng.normal(size=count) * np.hypot(own["noise_sd"], white * shaken)
                noise += bounce * shaken * self._bounce[name].draw(count)
                errors = bias + own["wander_sd"] * self._wander[name].draw(count) + noise
                found[name] = self._shift.imu_scale * true[name] + errors
        found["acceleration.x"] += self._shift.imu_bias_mps2
        return found

    def encode(self, t_ns: NDArray[np.int64], stamp_ns: NDArray[np.int64], columns: Columns) -> list[bytes]:
        """See `messages.Source`."""
        # The standard's mark for "no orientation": -1 in the covariance's first place.
        unknown = np.zeros(9)
        unknown[0] = -1.0
        level = np.array([0.0, 0.0, 0.0, 1.0])
        fixed = {"orientation": level, "orientation_covariance": unknown}
        return self._layout.encode(len(t_ns), {**stamp_columns(stamp_ns), **fixed, **columns})

    def facts(self) -> Mapping[str, Any]:
        """See `messages.Source`."""
        return {
            "acceleration_bias_mps2": [round(float(value), 6) for value in self._bias],
            "rate_bias_radps": [round(float(value), 7) for value in self._turn_bias],
            "tilt_rad": [round(float(value), 6) for value in self._tilt],
        }
