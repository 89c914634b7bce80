"""The satellite receiver: position, velocity and UTC, ten times a second.

Position errors are first-order Gauss-Markov, larger and quicker where buildings reflect (multipath, after Parkinson
and Spilker, Global Positioning System: Theory and Applications, 1996, volume 1, chapter 14), smoothed by the receiver's
own filter. Reception ends at times,
oftener between buildings: then the receiver says so and gives neither position nor velocity.
"""

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from services.fleet_simulator.drive_truth import NS_PER_S
from services.fleet_simulator.sensors.cdr import STAMP, Field, layout, stamp_columns
from services.fleet_simulator.sensors.clock import draw_timing, random_stream
from services.fleet_simulator.sensors.messages import NOT_VALID, PUBLISHED, STATUS, Columns
from services.fleet_simulator.sensors.noise import GaussMarkov, Smoothing
from services.fleet_simulator.sensors.ros_messages import NAV_SAT_FIX, TIME_REFERENCE, TWIST_STAMPED
from services.fleet_simulator.sensors.scene import Scene

DEVICE: Final = "gnss"
FRAME: Final = "gnss"
_FIX, _ALL_SYSTEMS, _APPROXIMATED = 0, 15, 1
_S_PER_HOUR: Final = 3600.0
_NS: Final = 1e-9


class Reception:
    """Where and when the receiver hears how well; shared by its messages.

    Args:
        scene: The drive.
    """

    def __init__(self, scene: Scene) -> None:
        self._scene, self._policy = scene, scene.policy[DEVICE]

    def urban(self, t_ns: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Whether there are buildings around, by road class."""
        edges = self._scene.ego_state("edge_id", t_ns)
        known, places = np.unique(edges, return_inverse=True)
        classes = self._policy["urban_classes"]
        return np.array([self._scene.classes.get(int(edge), "") in classes for edge in known], dtype=np.bool_)[places]

    @cached_property
    def outages(self) -> tuple[tuple[int, int], ...]:
        """Stretches [first, end) without reception."""
        rng = random_stream(self._scene.seed, DEVICE, "outages")
        own, t_ns = self._policy["outages"], self._scene.start_ns
        found: list[tuple[int, int]] = []
        while True:
            # Candidates come at the urban rate; outside most of them are passed over.
            t_ns += round(float(rng.exponential(_S_PER_HOUR / own["urban_per_hour"])) * NS_PER_S)
            length = round((own["least_s"] + float(rng.exponential(own["mean_s"]))) * NS_PER_S)
            passes = rng.random() > own["open_per_hour"] / own["urban_per_hour"]
            if t_ns >= self._scene.end_ns:
                return tuple(found)
            if self.urban(np.array([t_ns]))[0] or not passes:
                found.append((t_ns, min(t_ns + length, self._scene.end_ns)))
            t_ns += length

    def heard(self, t_ns: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Whether there is reception at true times."""
        heard = np.ones(len(t_ns), dtype=np.bool_)
        for first, end in self.outages:
            heard &= (t_ns < first) | (t_ns >= end)
        return heard


class Fix:
    """Position messages."""

    name = "gnss_position"
    topic = "/gnss/fix"
    type_name = NAV_SAT_FIX
    spiking = "latitude"
    per_measurement = 1
    spacing_ns = 0

    def __init__(self, scene: Scene, reception: Reception) -> None:
        self._scene, self._policy, self._reception = scene, scene.policy[DEVICE], reception
        self.timing = draw_timing(scene.policy, scene.seed, self.name, scene.start_ns, device=DEVICE)
        period_s = self.timing.period_ns * _NS
        self._slow, self._quick = (
            [
                GaussMarkov(
                    random_stream(scene.seed, DEVICE, part, axis), self._policy[part]["correlation_s"], period_s
                )
                for axis in ("east", "north", "up")
            ]
            for part in ("atmosphere", "multipath")
        )
        self._filters = [Smoothing(self._policy["multipath"]["smoothing_s"], period_s) for _ in self._quick]
        self._rng = random_stream(scene.seed, DEVICE, "fix")
        self._closeness = Smoothing(self._policy["multipath"]["correlation_s"], period_s)
        fields = [("status", "i1"), ("service", "<u2"), ("latitude", "<f8"), ("longitude", "<f8"), ("altitude", "<f8")]
        covariance: list[Field] = [("position_covariance", "<f8", 9), ("position_covariance_type", "u1")]
        self._layout = layout([*STAMP, FRAME, *fields, *covariance])

    def sample(self, t_ns: NDArray[np.int64]) -> Columns:
        """Positions at true times."""
        policy, count = self._policy, len(t_ns)
        multipath = policy["multipath"]
        urban = self._reception.urban(t_ns).astype(np.float64)
        spread = multipath["open_sd_m"] + (multipath["urban_sd_m"] - multipath["open_sd_m"]) * self._closeness.follow(
            urban
        )
        errors = [
            (policy["atmosphere"]["sd_m"] * slow.draw(count) + spread * smooth.follow(quick.draw(count))) * up
            + self._rng.normal(0.0, policy["noise_m"], count)
            for slow, quick, smooth, up in zip(
                self._slow, self._quick, self._filters, (1.0, 1.0, policy["vertical_factor"]), strict=True
            )
        ]
        east, north = self._scene.ego("x_mm", t_ns) + errors[0], self._scene.ego("y_mm", t_ns) + errors[1]
        lat, lon = self._scene.network.frame.to_geographic(east, north)
        heard = self._reception.heard(t_ns)
        variance = policy["atmosphere"]["sd_m"] ** 2 + spread**2 + policy["noise_m"] ** 2
        return {
            "latitude": np.where(heard, lat, np.nan),
            "longitude": np.where(heard, lon, np.nan),
            "altitude": np.where(heard, policy["altitude_m"] + errors[2], np.nan),
            STATUS: np.where(heard, _FIX, NOT_VALID),
            "variance": variance,
        }

    def encode(self, t_ns: NDArray[np.int64], stamp_ns: NDArray[np.int64], columns: Columns) -> list[bytes]:
        """See `messages.Source`."""
        diagonal = np.array([1.0, 0, 0, 0, 1.0, 0, 0, 0, self._policy["vertical_factor"] ** 2])
        values: dict[str, Any] = {name: column for name, column in columns.items() if name != "variance"}
        values["position_covariance"] = columns["variance"][:, None] * diagonal
        values["position_covariance_type"] = _APPROXIMATED
        values["service"] = _ALL_SYSTEMS
        return self._layout.encode(len(t_ns), {**stamp_columns(stamp_ns), **values})

    def facts(self) -> Mapping[str, Any]:
        """See `messages.Source`."""
        return {"outages_ns": [list(outage) for outage in self._reception.outages]}


class Velocity:
    """Velocity over ground, east and north; no message while there is no reception."""

    name = "gnss_velocity"
    topic = "/gnss/velocity"
    type_name = TWIST_STAMPED
    spiking = "east"
    per_measurement = 1
    spacing_ns = 0

    def __init__(self, scene: Scene, reception: Reception) -> None:
        self._scene, self._reception = scene, reception
        self.timing = draw_timing(scene.policy, scene.seed, self.name, scene.start_ns, device=DEVICE)
        self._rng = random_stream(scene.seed, DEVICE, "velocity")
        rest = [(name, "<f8") for name in ("up", "angular.x", "angular.y", "angular.z")]
        self._layout = layout([*STAMP, FRAME, ("east", "<f8"), ("north", "<f8"), *rest])

    def sample(self, t_ns: NDArray[np.int64]) -> Columns:
        """Velocities (m/s) at true times."""
        speed, yaw = self._scene.ego("speed_mmps", t_ns), self._scene.ego("yaw_mrad", t_ns)
        noise = self._rng.normal(0.0, self._scene.policy[DEVICE]["velocity_noise_mps"], (3, len(t_ns)))
        return {
            "east": speed * np.cos(yaw) + noise[0],
            "north": speed * np.sin(yaw) + noise[1],
            "up": noise[2],
            PUBLISHED: self._reception.heard(t_ns),
        }

    def encode(self, t_ns: NDArray[np.int64], stamp_ns: NDArray[np.int64], columns: Columns) -> list[bytes]:
        """See `messages.Source`."""
        values = {name: columns[name] for name in ("east", "north", "up")}
        return self._layout.encode(len(t_ns), {**stamp_columns(stamp_ns), **values})

    def facts(self) -> Mapping[str, Any]:
        """See `messages.Source`."""
        return {}


class Utc:
    """UTC of each measurement as the receiver knows it, right to its own small error, with or without a fix."""

    name = "gnss_time"
    topic = "/gnss/time_reference"
    type_name = TIME_REFERENCE
    spiking = "utc_ns"
    per_measurement = 1
    spacing_ns = 0

    def __init__(self, scene: Scene) -> None:
        self._error_ns = scene.policy[DEVICE]["utc_error_ns"]
        self.timing = draw_timing(scene.policy, scene.seed, self.name, scene.start_ns, device=DEVICE)
        self._rng = random_stream(scene.seed, DEVICE, "utc")
        self._layout = layout([*STAMP, FRAME, ("utc.sec", "<i4"), ("utc.nanosec", "<u4"), "gps"])

    def sample(self, t_ns: NDArray[np.int64]) -> Columns:
        """UTC (ns) at true times."""
        return {"utc_ns": t_ns + np.rint(self._rng.normal(0.0, self._error_ns, len(t_ns))).astype(np.int64)}

    def encode(self, t_ns: NDArray[np.int64], stamp_ns: NDArray[np.int64], columns: Columns) -> list[bytes]:
        """See `messages.Source`."""
        return self._layout.encode(len(t_ns), {**stamp_columns(stamp_ns), **stamp_columns(columns["utc_ns"], "utc")})

    def facts(self) -> Mapping[str, Any]:
        """See `messages.Source`."""
        return {}


def gnss_sources(scene: Scene) -> Iterator[Fix | Velocity | Utc]:
    """All messages of the receiver, fresh."""
    reception = Reception(scene)
    yield Fix(scene, reception)
    yield Velocity(scene, reception)
    yield Utc(scene)
