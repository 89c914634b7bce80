"""Camera and lidar whose messages come when the simulated car's come, with hardly anything inside.

The rules of integrity look at times, numbers and presence of pictures and sweeps, never into them; a study of these
rules needs neither OpenGL nor rays. Clocks, latencies, rates and faults are those of the simulated sensors.
"""

from collections.abc import Iterator
from functools import cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from services.fleet_simulator.sensors.camera import Camera
from services.fleet_simulator.sensors.catalogue import CAMERA
from services.fleet_simulator.sensors.lidar import POINT, Lidar
from services.fleet_simulator.sensors.messages import Source
from services.fleet_simulator.sensors.scene import Scene

LIDAR: Final = "lidar"
MEDIA: Final = (LIDAR, CAMERA)
"""Sensors, and the groups that select them."""
_SIDE_PX: Final = 16
_POINTS: Final = 8


@cache
def grey_picture() -> bytes:
    """A small grey JPEG."""
    import cv2

    ok, content = cv2.imencode(".jpg", np.full((_SIDE_PX, _SIDE_PX, 3), 128, dtype=np.uint8))
    if not ok:
        raise RuntimeError("no JPEG can be written. Check the installation of OpenCV")
    return content.tobytes()


class BareLidar(Lidar):
    """The simulated lidar, without rays: every scan has the same few points."""

    def scan(self, at_ns: int, range_error_m: float = 0.0) -> NDArray[Any]:
        """See `Lidar.scan`."""
        del at_ns, range_error_m
        return np.zeros(_POINTS, dtype=POINT)


def bare_media(scene: Scene, groups: tuple[str, ...]) -> Iterator[Source]:
    """Those of the media that are among the groups, fresh."""
    if LIDAR in groups:
        yield BareLidar(scene)
    if CAMERA in groups:
        yield Camera(scene, lambda at_ns: grey_picture())
