"""Which sensors there are, by the names under which they are selected.

Here belongs the choice. Cameras render with OpenGL and are handed to the recorder as further sources.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from services.fleet_simulator.sensors.can import can_sources
from services.fleet_simulator.sensors.gnss import gnss_sources
from services.fleet_simulator.sensors.imu import Imu
from services.fleet_simulator.sensors.lidar import Lidar
from services.fleet_simulator.sensors.messages import Source
from services.fleet_simulator.sensors.radar import Radar
from services.fleet_simulator.sensors.scene import Scene

GROUPS: Final[Mapping[str, tuple[str, ...]]] = {
    "can": ("wheel_speeds", "motion", "steering", "pedals", "adas"),
    "imu": ("imu",),
    "gnss": ("gnss_position", "gnss_velocity", "gnss_time"),
    "radar": ("radar",),
    "lidar": ("lidar",),
}
"""Sensors of the vehicle spec by the name that selects them."""
WITHOUT_RAYS: Final = ("can", "imu", "gnss", "radar")
"""Those that need neither ray casting nor rendering."""
CAMERA: Final = "camera"
_MAKERS: Final[Mapping[str, Callable[[Scene], Iterable[Source]]]] = {
    "can": can_sources,
    "imu": lambda scene: [Imu(scene)],
    "gnss": gnss_sources,
    "radar": lambda scene: [Radar(scene)],
    "lidar": lambda scene: [Lidar(scene)],
}


class UnknownSensorError(ValueError):
    """A sensor that there is not; the message lists those that there are."""


def sources_of(scene: Scene, names: Iterable[str]) -> list[Source]:
    """Fresh sensors, always in the order of `GROUPS`, whatever the order of the names.

    Args:
        scene: The drive.
        names: Groups; `camera` is passed over, since cameras are made elsewhere.

    Raises:
        UnknownSensorError: When a name is none of them.
    """
    wanted = set(names)
    if unknown := sorted(wanted - {*GROUPS, CAMERA}):
        raise UnknownSensorError(f"no sensor {', '.join(unknown)}. Known: {', '.join([*GROUPS, CAMERA])}")
    return [source for name in GROUPS if name in wanted for source in _MAKERS[name](scene)]
