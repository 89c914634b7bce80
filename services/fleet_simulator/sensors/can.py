"""The simulated vehicle's own bus: wheel speeds, motion, steering, pedals and the state of the driver assistance.

Here belong the errors of the vehicle's sensors and the frames that carry them. The layout of the messages is in
`can_database.py`, objects of the radar, on a bus of their own, are in `radar.py`.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from services.fleet_simulator.drive_truth import Adas
from services.fleet_simulator.sensors.can_database import (
    ADAS,
    PEDALS,
    STEERING,
    VEHICLE_MOTION,
    WHEEL_SPEEDS,
    CanMessage,
)
from services.fleet_simulator.sensors.cdr import STAMP, Field, Layout, layout, stamp_columns
from services.fleet_simulator.sensors.clock import draw_timing, random_stream
from services.fleet_simulator.sensors.messages import Columns
from services.fleet_simulator.sensors.ros_messages import CAN_FRAME
from services.fleet_simulator.sensors.scene import MICRO, MILLI, Scene

TOPIC: Final = "/can/vehicle"
KMH_PER_MPS: Final = 3.6
PERCENT_PER_PERMILLE: Final = 0.1
_COUNTER: Final = 16


def frame_layout(bus: str) -> Layout:
    """Payload of a CAN frame of a bus."""
    fields: list[Field] = [
        ("id", "<u4"),
        ("is_rtr", "?"),
        ("is_extended", "?"),
        ("is_error", "?"),
        ("dlc", "u1"),
        ("data", "u1", 8),
    ]
    return layout([*STAMP, bus, *fields])


class CanSource:
    """One message of the bus.

    Args:
        message: Its layout.
        name: Sensor of the vehicle spec that it carries.
        scene: The drive.
        measure: Gives the physical values by signal at true times.
        spiking: Signal that a spike disturbs.
        facts: Errors that were drawn.
    """

    type_name = CAN_FRAME
    topic = TOPIC
    per_measurement = 1
    spacing_ns = 0

    def __init__(
        self,
        message: CanMessage,
        name: str,
        scene: Scene,
        measure: Callable[[NDArray[np.int64]], Columns],
        *,
        spiking: str,
        facts: Mapping[str, Any],
    ) -> None:
        self.name, self.spiking = name, spiking
        self.timing = draw_timing(scene.policy, scene.seed, name, scene.start_ns)
        self._message, self._measure, self._facts = message, measure, dict(facts)
        self._layout = frame_layout("vehicle")
        self._origin_ns = scene.start_ns + self.timing.phase_ns

    def sample(self, t_ns: NDArray[np.int64]) -> Columns:
        """See `messages.Source`."""
        return self._measure(t_ns)

    def encode(self, t_ns: NDArray[np.int64], stamp_ns: NDArray[np.int64], columns: Columns) -> list[bytes]:
        """See `messages.Source`."""
        counter = next((signal.name for signal in self._message.signals if "COUNTER" in signal.name), None)
        values: dict[str, Any] = dict(columns)
        if counter is not None:
            values[counter] = (t_ns - self._origin_ns) // self.timing.period_ns % _COUNTER
        count = len(t_ns)
        frame = {"id": self._message.can_id, "dlc": self._message.length, "data": self._message.encode(count, values)}
        return self._layout.encode(count, {**stamp_columns(stamp_ns), **frame})

    def facts(self) -> Mapping[str, Any]:
        """See `messages.Source`."""
        return self._facts


def can_sources(scene: Scene) -> Iterator[CanSource]:
    """All messages of the vehicle's bus, fresh."""
    yield _wheel_speeds(scene)
    yield _motion(scene)
    yield _steering(scene)
    yield _pedals(scene)
    yield _adas(scene)


def _wheel_speeds(scene: Scene) -> CanSource:
    policy = scene.policy["can"]
    drawn = random_stream(scene.seed, "wheel_speeds", "errors")
    rng = random_stream(scene.seed, "wheel_speeds", "noise")
    # Worn or under-inflated tyres turn a little faster, all four alike and each for itself.
    scales = 1.0 + drawn.normal(0.0, policy["tyre_scale_sd"]) + drawn.normal(0.0, policy["wheel_scale_sd"], 4)
    half, wheelbase = 0.5 * policy["track_width_m"], scene.truth.shape.wheelbase_mm * MILLI

    def measure(t_ns: NDArray[np.int64]) -> Columns:
        speed = scene.ego("speed_mmps", t_ns)
        turn = scene.ego("yaw_rate_uradps", t_ns, MICRO)
        rear = (speed - turn * half, speed + turn * half)
        front = [np.hypot(side, turn * wheelbase) for side in rear]
        found = {}
        for name, wheel, scale in zip(("FL", "FR", "RL", "RR"), (*front, *rear), scales, strict=True):
            noise = rng.normal(0.0, policy["wheel_noise_mps"], len(t_ns)) * (wheel > policy["wheel_threshold_mps"])
            found[f"WHEEL_SPEED_{name}"] = np.maximum(wheel * scale + noise, 0.0) * KMH_PER_MPS
        return found

    facts = {"scales": [round(float(scale), 6) for scale in scales]}
    return CanSource(WHEEL_SPEEDS, "wheel_speeds", scene, measure, spiking="WHEEL_SPEED_FL", facts=facts)


def _motion(scene: Scene) -> CanSource:
    policy = scene.policy["can"]
    drawn = random_stream(scene.seed, "motion", "errors")
    rng = random_stream(scene.seed, "motion", "noise")
    scale = 1.0 + float(drawn.normal(0.0, policy["speed_scale_sd"]))
    bias = float(drawn.normal(0.0, policy["yaw_rate_bias_sd_radps"]))

    def measure(t_ns: NDArray[np.int64]) -> Columns:
        speed = scene.ego("speed_mmps", t_ns)
        noise = rng.normal(0.0, policy["speed_noise_mps"], len(t_ns)) * (speed > policy["wheel_threshold_mps"])
        turn = scene.ego("yaw_rate_uradps", t_ns, MICRO) + bias
        turn += rng.normal(0.0, policy["yaw_rate_noise_radps"], len(t_ns))
        return {"VEHICLE_SPEED": np.maximum(speed * scale + noise, 0.0) * KMH_PER_MPS, "YAW_RATE": np.degrees(turn)}

    facts = {"speed_scale": round(scale, 6), "yaw_rate_bias_radps": round(bias, 6)}
    return CanSource(VEHICLE_MOTION, "motion", scene, measure, spiking="VEHICLE_SPEED", facts=facts)


def _steering(scene: Scene) -> CanSource:
    policy = scene.policy["can"]
    offset = float(random_stream(scene.seed, "steering", "errors").normal(0.0, policy["steering_offset_sd_deg"]))
    rng = random_stream(scene.seed, "steering", "noise")

    def measure(t_ns: NDArray[np.int64]) -> Columns:
        noise = rng.normal(0.0, policy["steering_noise_deg"], len(t_ns))
        return {"STEER_ANGLE": np.degrees(scene.ego("steering_wheel_mrad", t_ns)) + offset + noise}

    return CanSource(
        STEERING, "steering", scene, measure, spiking="STEER_ANGLE", facts={"offset_deg": round(offset, 6)}
    )


def _pedals(scene: Scene) -> CanSource:
    threshold = scene.policy["can"]["brake_switch_permille"]

    def measure(t_ns: NDArray[np.int64]) -> Columns:
        brake = scene.ego_state("brake_permille", t_ns)
        accelerator = scene.ego_state("accelerator_permille", t_ns)
        return {
            "BRAKE_PRESSED": (brake > threshold).astype(np.int64),
            "BRAKE_POSITION": brake * PERCENT_PER_PERMILLE,
            "ACCELERATOR_POSITION": accelerator * PERCENT_PER_PERMILLE,
        }

    return CanSource(PEDALS, "pedals", scene, measure, spiking="BRAKE_POSITION", facts={})


def _adas(scene: Scene) -> CanSource:
    def measure(t_ns: NDArray[np.int64]) -> Columns:
        state = scene.ego_state("adas", t_ns).astype(np.int64)
        return {
            "ADAS_ENGAGED": (state == Adas.ENGAGED).astype(np.int64),
            "ADAS_STATE": state,
            "TAKEOVER_REQUEST": (state == Adas.TAKEOVER).astype(np.int64),
        }

    return CanSource(ADAS, "adas", scene, measure, spiking="ADAS_STATE", facts={})
