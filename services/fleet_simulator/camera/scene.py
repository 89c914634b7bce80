"""What a camera is to draw and what it returns: plain records, so that any source of traffic can use the camera.

Here belong the scene at one instant, the frame with its truth, and the names of the classes. Drawing is in
`renderer.py`, the way from a drive's truth to a scene in `from_truth.py`.

World frame: x east, y north, z up, metres from the network's origin; headings counter-clockwise from east.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from services.fleet_simulator.drive_truth import Lamp, Signal

__all__ = [
    "FIRST_INSTANCE",
    "Agent",
    "CameraSpec",
    "ClassId",
    "EgoPose",
    "Frame",
    "Lamp",
    "LightState",
    "ObjectBox",
    "PiiBox",
    "SceneState",
    "Signal",
    "Surroundings",
    "Trailer",
]

FIRST_INSTANCE: Final = 1024
"""Values of the instance mask below it are a `ClassId` without instances, from it on they name one object."""


class ClassId(IntEnum):
    """Semantic classes (those of Cityscapes that occur here)."""

    SKY = 0
    ROAD = 1
    LANE_MARKING = 2
    SIDEWALK = 3
    TERRAIN = 4
    BUILDING = 5
    VEGETATION = 6
    POLE = 7
    BARRIER = 8
    CAR = 20
    VAN = 21
    TRUCK = 22
    BUS = 23
    MOTORCYCLE = 24
    BICYCLE = 25
    PERSON = 26
    TRAFFIC_LIGHT = 27
    TRAFFIC_SIGN = 28
    CONE = 29


CLASS_OF_KIND: Final[Mapping[str, ClassId]] = {
    "saloon": ClassId.CAR,
    "hatchback": ClassId.CAR,
    "estate": ClassId.CAR,
    "suv": ClassId.CAR,
    "microcar": ClassId.CAR,
    "van": ClassId.VAN,
    "box_truck": ClassId.TRUCK,
    "articulated_truck": ClassId.TRUCK,
    "bus": ClassId.BUS,
    "motorcycle": ClassId.MOTORCYCLE,
    "bicycle": ClassId.BICYCLE,
    "cyclist": ClassId.BICYCLE,
    "pedestrian": ClassId.PERSON,
    "traffic_light": ClassId.TRAFFIC_LIGHT,
    "sign": ClassId.TRAFFIC_SIGN,
    "cone": ClassId.CONE,
}


@dataclass(frozen=True, slots=True)
class CameraSpec:
    """A camera.

    Attributes:
        width: Pixels.
        height: Pixels.
        fov_deg: Horizontal field of view.
        mount_m: Place in the vehicle frame: x ahead of the rear axle, y left, z above the ground.
        yaw_deg: Direction of view, left positive.
        pitch_deg: Downwards positive.
        roll_deg: Clockwise positive as the camera sees it.
    """

    width: int = 640
    height: int = 360
    fov_deg: float = 66.0
    mount_m: tuple[float, float, float] = (1.9, 0.0, 1.35)
    yaw_deg: float = 0.0
    pitch_deg: float = 1.0
    roll_deg: float = 0.0

    @property
    def focal_px(self) -> float:
        """Focal length; the principal point is the picture's middle, pixels are square."""
        return float(self.width / 2.0 / np.tan(np.radians(self.fov_deg) / 2.0))


@dataclass(frozen=True, slots=True)
class EgoPose:
    """Middle of the rear axle on the ground, metres, radians, metres per second; `lamps` light the road."""

    x_m: float
    y_m: float
    yaw_rad: float
    speed_mps: float = 0.0
    lamps: Lamp = Lamp.HEAD


@dataclass(frozen=True, slots=True)
class Trailer:
    """What a road user draws behind itself.

    Attributes:
        yaw_rad: Heading.
        hitch_m: Where it hangs, behind the front of the vehicle that draws it; it turns about this point.
        front_m: Its front, behind that front, when both stand in line.
    """

    yaw_rad: float
    hitch_m: float
    front_m: float


@dataclass(frozen=True, slots=True)
class Agent:
    """Another road user.

    Attributes:
        agent_id: Number, unique in the drive, at least 1; its value in the instance mask is `FIRST_INSTANCE` plus it.
        kind: Name under `vehicles` of the policy, ``pedestrian`` or ``cyclist``.
        x_m: East, middle of the footprint.
        y_m: North.
        yaw_rad: Heading.
        length_m: Length; width and height likewise.
        width_m: Width.
        height_m: Height.
        look: Draws colours, pose and face; the same look is the same appearance.
        plate: Text on its plates, empty for none.
        lamps: Lamps that are lit.
        speed_mps: Speed.
        travelled_m: Distance since some start: turns wheels and moves legs.
        z_m: Height of the ground below it.
        trailer: Its trailer, if any; `x_m` and `y_m` are then the middle of both when they stand in line.
    """

    agent_id: int
    kind: str
    x_m: float
    y_m: float
    yaw_rad: float
    length_m: float
    width_m: float
    height_m: float
    look: int = 0
    plate: str = ""
    lamps: Lamp = Lamp.NONE
    speed_mps: float = 0.0
    travelled_m: float = 0.0
    z_m: float = 0.0
    trailer: Trailer | None = None


@dataclass(frozen=True, slots=True)
class LightState:
    """What the light at `node_id` shows to traffic that comes along `edge_id`."""

    node_id: int
    edge_id: int
    signal: Signal


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Weather and light.

    Attributes:
        condition: ``clear``, ``cloudy``, ``overcast``, ``rain``, ``snow`` or ``fog``.
        rain_mm_h: Precipitation.
        visibility_m: Meteorological optical range.
        cloud: Share of the sky, 0 to 1.
        wetness: How wet the road is, 0 to 1.
        sun_elevation_deg: Height of the sun's centre over the horizon.
        sun_azimuth_deg: Its direction, clockwise from north.
    """

    condition: str = "clear"
    rain_mm_h: float = 0.0
    visibility_m: float = 20_000.0
    cloud: float = 0.1
    wetness: float = 0.0
    sun_elevation_deg: float = 40.0
    sun_azimuth_deg: float = 150.0


@dataclass(frozen=True, slots=True)
class SceneState:
    """Everything that the camera sees at one instant.

    Attributes:
        t_ns: True time; draws noise and rain, makes indicators blink.
        ego: The vehicle that carries the camera.
        agents: Other road users.
        lights: Traffic lights whose state is known; the others follow the cycle of the policy.
        surroundings: Weather and light.
        seed: Draws noise and raindrops.
        smear: How much dirt is on the lens, 0 to 1.
    """

    t_ns: int
    ego: EgoPose
    agents: tuple[Agent, ...] = ()
    lights: tuple[LightState, ...] = ()
    surroundings: Surroundings = Surroundings()
    seed: int = 0
    smear: float = 0.0


@dataclass(frozen=True, slots=True)
class ObjectBox:
    """An object in the picture.

    Attributes:
        instance: Its value in the instance mask.
        agent_id: Road user, or None for things at the roadside.
        class_id: Class.
        kind: Kind, e.g. ``saloon``; of a traffic light ``red``, ``yellow`` or ``green``; of a sign its name.
        visible: Left, top, right, bottom of its pixels in the mask (right and bottom exclusive), or None where hidden.
        amodal: The same of its whole projected shape, which may reach out of the picture; floats, pixel edges.
        pixels: Its pixels in the mask.
        occlusion: Share of its projected shape inside the picture that something hides, 0 to 1.
        truncation: Share of its amodal box outside the picture, 0 to 1.
        distance_m: From the camera to the middle of its footprint, along the ground.
    """

    instance: int
    agent_id: int | None
    class_id: ClassId
    kind: str
    visible: tuple[int, int, int, int] | None
    amodal: tuple[float, float, float, float]
    pixels: int
    occlusion: float
    truncation: float
    distance_m: float


@dataclass(frozen=True, slots=True)
class PiiBox:
    """Personal data in the picture: a face or a licence plate that is turned to the camera and not hidden.

    Attributes:
        kind: ``face`` or ``plate``.
        agent_id: Whose.
        box: Left, top, right, bottom in pixels, clipped to the picture, floats.
        text: Text of the plate, empty for faces.
        distance_m: From the camera.
        facing: Cosine between its normal and the direction to the camera, 0 to 1.
        visible_share: Share of it inside the picture that nothing hides, in steps of a fifteenth.
    """

    kind: str
    agent_id: int
    box: tuple[float, float, float, float]
    text: str
    distance_m: float
    facing: float
    visible_share: float


@dataclass(frozen=True)
class Frame:
    """A picture and its truth.

    Attributes:
        bgr: uint8[h, w, 3], contiguous.
        instance: uint32[h, w]; below `FIRST_INSTANCE` a `ClassId`, else an object.
        depth_m: float32[h, w], distance along the optical axis; infinite in the sky.
        boxes: Objects with at least one pixel of their projected shape in the picture, by instance.
        pii: Faces and plates.
        class_of_instance: Class of every instance of the mask.
    """

    bgr: NDArray[np.uint8]
    instance: NDArray[np.uint32]
    depth_m: NDArray[np.float32]
    boxes: tuple[ObjectBox, ...] = ()
    pii: tuple[PiiBox, ...] = ()
    class_of_instance: Mapping[int, ClassId] = field(default_factory=dict)

    def semantic(self) -> NDArray[np.uint8]:
        """Class of every pixel, uint8[h, w] with values of `ClassId`."""
        mask = self.instance.astype(np.int64)
        things = np.unique(mask[mask >= FIRST_INSTANCE])
        classes = np.minimum(mask, FIRST_INSTANCE - 1).astype(np.uint8)
        if len(things):
            table = np.array([self.class_of_instance[int(thing)] for thing in things], dtype=np.uint8)
            where = mask >= FIRST_INSTANCE
            classes[where] = table[np.searchsorted(things, mask[where])]
        return classes
