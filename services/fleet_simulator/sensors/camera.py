"""The camera as a sensor: pictures of somebody else's making, with clock, latency and faults like any other's.

Here belongs the message. Drawing needs OpenGL and is in `camera/`; whoever draws may write the picture's truth as well.
"""

import struct
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from services.fleet_simulator.drive_truth import NS_PER_S
from services.fleet_simulator.sensors.cdr import ENCAPSULATION, cdr_string
from services.fleet_simulator.sensors.clock import draw_timing
from services.fleet_simulator.sensors.messages import Columns
from services.fleet_simulator.sensors.ros_messages import COMPRESSED_IMAGE
from services.fleet_simulator.sensors.scene import Scene

FORMAT: Final = "jpeg"


class Camera:
    """See the module; hand it to `recording.record` as one of its further sources.

    Args:
        scene: The drive.
        picture: Draws the picture at a true time (middle of the exposure) and gives it as JPEG. It is called in the
            order of time, once per message; a frozen camera asks for the same time again.
        name: Name in the vehicle spec.
        topic: Where it publishes.
        rate_hz: Pictures per second; that of the policy when None.
    """

    type_name = COMPRESSED_IMAGE
    spiking = "picture_ns"
    per_measurement = 1
    spacing_ns = 0

    def __init__(
        self,
        scene: Scene,
        picture: Callable[[int], bytes],
        *,
        name: str = "camera",
        topic: str = "/camera/front/compressed",
        rate_hz: float | None = None,
    ) -> None:
        self.name, self.topic = name, topic
        timing = draw_timing(scene.policy, scene.seed, name, scene.start_ns)
        if rate_hz is not None:
            period_ns = round(NS_PER_S / rate_hz)
            timing = replace(timing, period_ns=period_ns, phase_ns=timing.phase_ns * period_ns // timing.period_ns)
        self.timing = timing
        self._picture, self._frame = picture, name

    def sample(self, t_ns: NDArray[np.int64]) -> Columns:
        """Nothing is drawn before `encode`, so that a picture that is not sent is not drawn."""
        return {"picture_ns": t_ns.copy()}

    def encode(self, t_ns: NDArray[np.int64], stamp_ns: NDArray[np.int64], columns: Columns) -> list[bytes]:
        """See `messages.Source`."""
        del t_ns
        rows = zip(stamp_ns.tolist(), columns["picture_ns"].tolist(), strict=True)
        return [compressed_image(stamp, self._frame, self._picture(at_ns)) for stamp, at_ns in rows]

    def facts(self) -> Mapping[str, Any]:
        """See `messages.Source`."""
        return {}


def compressed_image(stamp_ns: int, frame: str, jpeg: bytes) -> bytes:
    """One sensor_msgs/CompressedImage."""
    seconds, rest = divmod(stamp_ns, NS_PER_S)
    body = bytearray(struct.pack("<iI", seconds, rest) + cdr_string(frame))
    body += bytes(-len(body) % 4) + cdr_string(FORMAT)
    body += bytes(-len(body) % 4) + struct.pack("<I", len(jpeg))
    return ENCAPSULATION + bytes(body) + jpeg
