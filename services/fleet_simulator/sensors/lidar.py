"""The lidar on the roof: rays against the ground, other road users and buildings, as point clouds.

Everybody is an upright box. A scan is taken at one instant, not while the head turns. The messages are
sensor_msgs/PointCloud2 with the fields that Velodyne's and Ouster's drivers write: x, y, z, intensity, ring.
"""

import struct
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from services.fleet_simulator.drive_truth import NS_PER_S
from services.fleet_simulator.sensors.cdr import ENCAPSULATION, cdr_string
from services.fleet_simulator.sensors.clock import draw_timing, random_stream
from services.fleet_simulator.sensors.messages import Columns
from services.fleet_simulator.sensors.ros_messages import POINT_CLOUD
from services.fleet_simulator.sensors.scene import MILLI, Scene

FRAME: Final = "lidar_top"
_UINT16, _FLOAT32 = 4, 7
POINT: Final = np.dtype(
    {
        "names": ["x", "y", "z", "intensity", "ring"],
        "formats": ["<f4", "<f4", "<f4", "<f4", "<u2"],
        "offsets": [0, 4, 8, 12, 16],
        "itemsize": 18,
    }
)
"""One point of a message."""
_MM: Final = 1000.0
_GROUND, _VEHICLE, _BUILDING = 0, 1, 2
_REFLECTIVITY: Final = np.array([12.0, 45.0, 30.0])
_MARGIN_STEPS: Final = 1
_NEAR_M: Final = 1.0
_TINY: Final = 1e-12


class Lidar:
    """See the module.

    Args:
        scene: The drive.
    """

    name = "lidar"
    topic = "/lidar/points"
    type_name = POINT_CLOUD
    spiking = "range_error"
    per_measurement = 1
    spacing_ns = 0

    def __init__(self, scene: Scene) -> None:
        self._scene, self._policy = scene, scene.policy["lidar"]
        self.timing = draw_timing(scene.policy, scene.seed, self.name, scene.start_ns)
        self._rng = random_stream(scene.seed, self.name, "noise")
        low, high = self._policy["elevation_rad"]
        self._elevation = np.linspace(low, high, self._policy["beams"])
        self._steps = int(self._policy["steps"])
        # Rays leave between the directions of the axes, so that none is exactly parallel to a box.
        self._azimuth = (np.arange(self._steps) + 0.5) * (2.0 * np.pi / self._steps) - np.pi
        self._direction = np.stack([np.cos(self._azimuth), np.sin(self._azimuth)])
        self._tangent = np.tan(self._elevation)

    def sample(self, t_ns: NDArray[np.int64]) -> Columns:
        """Nothing is measured before `encode`: a scan is as large as all other sensors' messages of a second."""
        return {"scan": t_ns.copy(), "range_error": np.zeros(len(t_ns))}

    def encode(self, t_ns: NDArray[np.int64], stamp_ns: NDArray[np.int64], columns: Columns) -> list[bytes]:
        """See `messages.Source`; a frozen lidar repeats the scan of another time."""
        del t_ns
        rows = zip(stamp_ns.tolist(), columns["scan"].tolist(), columns["range_error"].tolist(), strict=True)
        return [point_cloud(stamp, self.scan(at_ns, error)) for stamp, at_ns, error in rows]

    def facts(self) -> Mapping[str, Any]:
        """See `messages.Source`."""
        return {"height_m": self._policy["height_m"], "instantaneous_scans": True}

    def scan(self, at_ns: int, range_error_m: float = 0.0) -> NDArray[Any]:
        """Points of a scan in the sensor's frame, axes of the vehicle: array[n] of x, y, z, intensity, ring."""
        distance, surface = self.cast(at_ns)
        shape = distance.shape
        noise = self._rng.normal(0.0, self._policy["range_noise_m"], shape)
        lost = self._rng.random(shape) < self._policy["drop_share"]
        returned = np.isfinite(distance) & (distance < self._policy["range_m"]) & ~lost
        ring, step = np.nonzero(returned)
        length = np.rint((distance[ring, step] + noise[ring, step] + range_error_m) * _MM) / _MM
        flat = length * np.cos(self._elevation)[ring]
        points = np.zeros(len(ring), dtype=POINT)
        points["x"], points["y"] = flat * self._direction[0, step], flat * self._direction[1, step]
        points["z"] = length * np.sin(self._elevation)[ring]
        points["intensity"] = np.rint(_REFLECTIVITY[surface[ring, step]])
        points["ring"] = ring
        return points

    def cast(self, at_ns: int) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
        """Distance along each ray, float64[beams, steps] (infinite where nothing is), and what it meets."""
        height = self._policy["height_m"]
        # Horizontal distance is what all beams of one direction share.
        with np.errstate(divide="ignore"):
            ground = np.where(self._tangent < 0, height / np.maximum(-self._tangent, _TINY), np.inf)
        flat = np.repeat(ground[:, None], self._steps, axis=1)
        surface = np.full(flat.shape, _GROUND, dtype=np.intp)
        table, kinds = self._boxes(at_ns)
        for kind in (_VEHICLE, _BUILDING):
            steps, distance = self._meet(table[kinds == kind])
            closer = distance < flat[:, steps]
            flat[:, steps] = np.where(closer, distance, flat[:, steps])
            surface[:, steps] = np.where(closer, kind, surface[:, steps])
        return flat / np.cos(self._elevation)[:, None], surface

    def _boxes(self, at_ns: int) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
        """Boxes near by in the sensor's frame, float64[n, 6] of x, y, yaw, length, width, height, and their kinds."""
        scene, t_ns = self._scene, np.array([at_ns])
        east, north, yaw = (float(scene.ego(name, t_ns)[0]) for name in ("x_mm", "y_mm", "yaw_mrad"))
        seconds = (at_ns - scene.start_ns) / NS_PER_S
        boxes, kinds = [], []
        for track in scene.truth.tracks:
            times = scene.times_of(track)
            if times[0] <= seconds <= times[-1]:
                place = [float(np.interp(seconds, times, v)) * MILLI for v in (track.x_mm, track.y_mm, track.yaw_mrad)]
                boxes.append([*place, track.length_mm * MILLI, track.width_mm * MILLI, track.height_mm * MILLI])
                kinds.append(_VEHICLE)
        table = np.concatenate([np.array(boxes).reshape(-1, 6), scene.obstacles])
        kinds += [_BUILDING] * len(scene.obstacles)
        d_east, d_north = table[:, 0] - east, table[:, 1] - north
        near = np.hypot(d_east, d_north) - 0.5 * np.hypot(table[:, 3], table[:, 4]) < self._policy["range_m"]
        cosine, sine = np.cos(yaw), np.sin(yaw)
        own = table.copy()
        own[:, 0] = d_east * cosine + d_north * sine - self._policy["ahead_m"]
        own[:, 1] = d_north * cosine - d_east * sine
        own[:, 2] -= yaw
        return own[near], np.array(kinds, dtype=np.intp)[near]

    def _meet(self, boxes: NDArray[np.float64]) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
        """Where rays meet boxes first; slabs after Kay and Kajiya, SIGGRAPH 1986.

        Returns:
            Directions in which there is a box, intp[m], and horizontal distances float64[beams, m].
        """
        box, steps = self._pairs(boxes)
        x, y, yaw, length, width, height = boxes.T
        cosine, sine = np.cos(yaw), np.sin(yaw)
        # The sensor and its rays, seen from the boxes.
        start_x, start_y = -(x * cosine + y * sine), x * sine - y * cosine
        d_x, d_y = self._direction[0, steps], self._direction[1, steps]
        along, across = d_x * cosine[box] + d_y * sine[box], d_y * cosine[box] - d_x * sine[box]
        enter, leave = np.full(len(steps), -np.inf), np.full(len(steps), np.inf)
        for start, slope, half in ((start_x[box], along, 0.5 * length[box]), (start_y[box], across, 0.5 * width[box])):
            slope = np.where(np.abs(slope) < _TINY, _TINY, slope)  # noqa: PLW2901 - the same slope, never zero
            one, two = (-half - start) / slope, (half - start) / slope
            enter, leave = np.maximum(enter, np.minimum(one, two)), np.minimum(leave, np.maximum(one, two))
        met = np.flatnonzero((enter < leave) & (enter > _NEAR_M))
        if not len(met):
            return np.empty(0, dtype=np.intp), np.empty((len(self._tangent), 0))
        met = met[np.argsort(steps[met], kind="stable")]
        steps, enter, leave, top = steps[met], enter[met], leave[met], height[box[met]] - self._policy["height_m"]
        # Upright walls are met at the entry; a ray from above may come down on the roof behind it.
        tangent = self._tangent[:, None]
        above = tangent * enter > top
        with np.errstate(divide="ignore", invalid="ignore"):
            on_roof = np.where(tangent < 0, top / np.minimum(tangent, -_TINY), np.inf)
        roof = np.where((on_roof <= leave) & (on_roof > enter), on_roof, np.inf)
        distance = np.where(above, roof, enter)
        first = np.flatnonzero(np.concatenate([[True], steps[1:] != steps[:-1]]))
        return steps[first], np.minimum.reduceat(distance, first, axis=1)

    def _pairs(self, boxes: NDArray[np.float64]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Every box with every direction that can meet its circumscribed circle: numbers of boxes and of directions."""
        radius, distance = 0.5 * np.hypot(boxes[:, 3], boxes[:, 4]), np.hypot(boxes[:, 0], boxes[:, 1])
        around = distance <= radius
        half = np.arcsin(np.where(around, 1.0, radius / np.maximum(distance, radius)))
        width = 2.0 * np.pi / self._steps
        middle, reach = (np.arctan2(boxes[:, 1], boxes[:, 0]) + np.pi) / width, half / width
        first = np.where(around, 0, (middle - reach).astype(np.intp) - _MARGIN_STEPS)
        count = np.where(around, self._steps, (middle + reach).astype(np.intp) + _MARGIN_STEPS + 1 - first)
        count = np.minimum(count, self._steps)
        box = np.repeat(np.arange(len(boxes)), count)
        steps = np.arange(len(box)) - np.repeat(np.cumsum(count) - count, count) + np.repeat(first, count)
        return box, steps % self._steps


def point_cloud(stamp_ns: int, points: NDArray[Any]) -> bytes:
    """One sensor_msgs/PointCloud2."""
    seconds, rest = divmod(stamp_ns, NS_PER_S)
    body = bytearray(struct.pack("<iI", seconds, rest) + cdr_string(FRAME))

    def pad() -> None:
        body.extend(bytes(-len(body) % 4))

    pad()
    body += struct.pack("<III", 1, len(points), len(POINT.names or ()))
    for name, (kind, offset) in ((name, value[:2]) for name, value in (POINT.fields or {}).items()):
        pad()
        body += cdr_string(str(name))
        pad()
        body += struct.pack("<IB", offset, _UINT16 if kind == np.dtype("<u2") else _FLOAT32)
        pad()
        body += struct.pack("<I", 1)
    body += b"\x00"
    pad()
    content = points.tobytes()
    body += struct.pack("<III", POINT.itemsize, len(content), len(content))
    return ENCAPSULATION + bytes(body) + content + b"\x01"
