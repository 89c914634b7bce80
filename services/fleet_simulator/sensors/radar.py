"""The front radar: sixteen slots of tracked objects on a CAN bus of its own, twenty times a second.

An object keeps its slot as long as it is seen. Distance is that of its nearest end, ahead of the radar; lateral offset
is that of its middle, left positive; relative speed is positive when it draws away.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from services.fleet_simulator.drive_truth import NS_PER_S, Track
from services.fleet_simulator.sensors.can import frame_layout
from services.fleet_simulator.sensors.can_database import RADAR_SLOTS, RADAR_TRACKS
from services.fleet_simulator.sensors.cdr import stamp_columns
from services.fleet_simulator.sensors.clock import draw_timing, random_stream
from services.fleet_simulator.sensors.messages import Columns
from services.fleet_simulator.sensors.ros_messages import CAN_FRAME
from services.fleet_simulator.sensors.scene import MILLI, Scene

_LONGEST_AGE: Final = 255
_CAN_FRAME_NS: Final = 250_000
"""Time that a frame takes on a bus of 500 kbit/s."""


@dataclass(frozen=True, slots=True)
class Sighting:
    """An object in a slot.

    Attributes:
        slot: Slot.
        track: The object.
        first_s: Seconds after the drive's start at which it is first seen there.
        end_s: When it is lost.
    """

    slot: int
    track: Track
    first_s: float
    end_s: float


class Radar:
    """See the module.

    Args:
        scene: The drive.
    """

    name = "radar"
    topic = "/can/radar"
    type_name = CAN_FRAME
    spiking = "LONG_DIST"
    per_measurement = RADAR_SLOTS
    spacing_ns = _CAN_FRAME_NS

    def __init__(self, scene: Scene) -> None:
        self._scene, self._policy = scene, scene.policy["radar"]
        self.timing = draw_timing(scene.policy, scene.seed, self.name, scene.start_ns)
        self._rng = random_stream(scene.seed, self.name, "noise")
        self._layout = frame_layout("radar")

    def relative(self, track: Track, seconds: NDArray[np.float64]) -> tuple[NDArray[np.float64], ...]:
        """Distance, lateral offset (m), relative speed (m/s) of an object by truth, float64[n] each."""
        scene, times = self._scene, self._scene.times_of(track)
        t_ns = scene.start_ns + np.rint(seconds * NS_PER_S).astype(np.int64)
        east, north, yaw, speed = (
            np.interp(seconds, times, values) * MILLI
            for values in (track.x_mm, track.y_mm, track.yaw_mrad, track.speed_mmps)
        )
        heading = scene.ego("yaw_mrad", t_ns)
        cosine, sine = np.cos(heading), np.sin(heading)
        d_east, d_north = east - scene.ego("x_mm", t_ns), north - scene.ego("y_mm", t_ns)
        turned = yaw - heading
        reach = 0.5 * MILLI * (track.length_mm * np.abs(np.cos(turned)) + track.width_mm * np.abs(np.sin(turned)))
        ahead = d_east * cosine + d_north * sine - self._policy["ahead_m"] - reach
        return ahead, d_north * cosine - d_east * sine, speed * np.cos(turned) - scene.ego("speed_mmps", t_ns)

    def _measured(self, track: Track, seconds: NDArray[np.float64]) -> tuple[NDArray[np.float64], ...]:
        """What `relative` says in the axes of a radar that looks elsewhere than its calibration says."""
        ahead, left, speed = self.relative(track, seconds)
        turn = self._scene.truth.plan.shift.radar_yaw_mrad * MILLI
        cosine, sine = np.cos(turn), np.sin(turn)
        return ahead * cosine + left * sine, left * cosine - ahead * sine, speed

    @cached_property
    def sightings(self) -> tuple[Sighting, ...]:
        """Who is in which slot when; the nearest at first sight get one when there are not enough."""
        found = []
        for track in self._scene.truth.tracks:
            times = self._scene.times_of(track)
            ahead, left, _ = self._measured(track, times)
            bearing = np.arctan2(np.abs(left), np.maximum(ahead, MILLI))
            seen = (ahead > 0) & (ahead < self._policy["range_m"]) & (bearing < self._policy["half_angle_rad"])
            edges = np.flatnonzero(np.diff(np.concatenate(([0], seen.astype(np.int8), [0]))))
            found += [
                (float(times[first]), float(ahead[first]), float(times[end - 1]), track)
                for first, end in edges.reshape(-1, 2)
                if times[end - 1] - times[first] >= self._policy["confirmation_s"]
            ]
        free_from = [0.0] * RADAR_SLOTS
        kept = []
        for first, _, end, track in sorted(found, key=lambda one: (one[0], one[1], one[3].agent_id)):
            slot = next((number for number, free in enumerate(free_from) if free <= first), None)
            if slot is not None:
                kept.append(Sighting(slot, track, first + self._policy["confirmation_s"], end))
                free_from[slot] = end + self._policy["confirmation_s"]
        return tuple(kept)

    def sample(self, t_ns: NDArray[np.int64]) -> Columns:
        """Objects by slot, arrays [n, slots], at true times."""
        seconds, policy = (t_ns - self._scene.start_ns) / NS_PER_S, self._policy
        shape = (len(t_ns), RADAR_SLOTS)
        columns: Columns = {name: np.zeros(shape) for name in ("VALID", "LONG_DIST", "LAT_DIST", "REL_SPEED")}
        columns["TRACK_AGE"] = np.zeros(shape)
        noise = self._rng.normal(size=(3, *shape))
        missed = self._rng.random(shape) < policy["miss_share"]
        for sighting in self.sightings:
            low, high = np.searchsorted(seconds, (sighting.first_s, sighting.end_s))
            if low == high:
                continue
            rows, slot = slice(low, high), sighting.slot
            ahead, left, rel_speed = self._measured(sighting.track, seconds[rows])
            columns["VALID"][rows, slot] = 1
            columns["LONG_DIST"][rows, slot] = ahead + noise[0, rows, slot] * policy["distance_noise_m"]
            angle = noise[1, rows, slot] * policy["angle_noise_rad"]
            columns["LAT_DIST"][rows, slot] = left + angle * np.maximum(ahead, 1.0)
            columns["REL_SPEED"][rows, slot] = rel_speed + noise[2, rows, slot] * policy["speed_noise_mps"]
            age = (seconds[rows] - sighting.first_s) * NS_PER_S // self.timing.period_ns
            columns["TRACK_AGE"][rows, slot] = np.minimum(age, _LONGEST_AGE)
        columns["VALID"][missed] = 0
        return columns

    def encode(self, t_ns: NDArray[np.int64], stamp_ns: NDArray[np.int64], columns: Columns) -> list[bytes]:
        """See `messages.Source`."""
        count = len(t_ns) * RADAR_SLOTS
        values = {name: column.reshape(-1) for name, column in columns.items()}
        first = RADAR_TRACKS[0]
        ids = np.tile([message.can_id for message in RADAR_TRACKS], len(t_ns))
        frame = {"id": ids, "dlc": first.length, "data": first.encode(count, values)}
        return self._layout.encode(count, {**stamp_columns(stamp_ns), **frame})

    def facts(self) -> Mapping[str, Any]:
        """See `messages.Source`."""
        return {
            "sightings": [
                {
                    "slot": one.slot,
                    "agent_id": one.track.agent_id,
                    "first_ns": self._scene.start_ns + round(one.first_s * NS_PER_S),
                    "end_ns": self._scene.start_ns + round(one.end_s * NS_PER_S),
                }
                for one in self.sightings
            ]
        }
