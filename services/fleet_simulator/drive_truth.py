"""What is asked of a simulated drive and what really happened in it: the contract between traffic, sensors and truth.

Here belong plain frozen records. Making them happen is in `traffic/`, measuring them with sensors in `sensors/` and
`camera/`, writing them beside the drive in `truth.py`.

Frames: east and north are millimetres from the network's origin (`RoadNetwork.frame`), headings are counter-clockwise
from east. The vehicle frame is that of ISO 8855 (x forward, y left, z up). Roads are flat, height 0.
Times are nanoseconds since the UNIX epoch, UTC, of a perfect clock. All numbers are whole, so that the same drive is
the same bytes on every machine.
"""

from dataclasses import dataclass, field
from enum import IntEnum, IntFlag
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from services.fleet_simulator.shifts import NO_SHIFT, Shift

NS_PER_S: Final = 1_000_000_000
EGO_STEP_NS: Final = 10_000_000
"""Time between two states of the ego vehicle (100 Hz)."""
AGENT_STEP_NS: Final = 50_000_000
"""Time between two states of everybody else (20 Hz)."""
EGO_STEPS_PER_AGENT_STEP: Final = AGENT_STEP_NS // EGO_STEP_NS
EVENT_UNITS: Final = {
    "hard_brake": "mm/s2",
    "cut_in": "mm",
    "tailgating": "ms",
    "stationary_hazard": "mm",
    "swerve": "mm/s2",
    "red_light_stop": "ms",
    "disengagement": "mm/s",
    "engagement": "mm/s",
    "override": "mm/s",
    "near_miss": "ms",
}
"""Kinds of events and the unit of their value: peak deceleration; gap at entry; shortest time gap; smallest distance;
peak lateral acceleration; time at a standstill; speed when the driver took over, when the system did, when the driver
overrode it; shortest time to collision."""


class Adas(IntEnum):
    """Who drives."""

    OFF = 0
    """The driver, the system is not available."""
    READY = 1
    """The driver, the system could be engaged."""
    ENGAGED = 2
    """The system."""
    OVERRIDDEN = 3
    """The driver presses the accelerator or steers while the system stays engaged in the background."""
    TAKEOVER = 4
    """The system asks the driver to take over, or the driver has just done so."""


class Lamp(IntFlag):
    """Lamps that are lit."""

    NONE = 0
    BRAKE = 1
    LEFT = 2
    """Left indicator, as a function: its blinking is up to who draws it."""
    RIGHT = 4
    HEAD = 8
    """Dipped beam and tail lamps."""
    REVERSE = 16


class Signal(IntEnum):
    """What a traffic light shows to an approach."""

    RED = 0
    YELLOW = 1
    GREEN = 2


@dataclass(frozen=True, slots=True)
class EventRequest:
    """An event that is to happen, by somebody's physical action.

    Attributes:
        kind: One of `EVENT_UNITS`.
        at_s: Seconds after the drive's start from which it shall happen; it does at the first chance after it.
    """

    kind: str
    at_s: float


@dataclass(frozen=True, slots=True)
class Repeated:
    """A drive that is repeated by another.

    Attributes:
        drive_id: Its name.
        seed: Its seed.
        start_ns: Its start.
    """

    drive_id: str
    seed: int
    start_ns: int


@dataclass(frozen=True, slots=True)
class DrivePlan:
    """A drive to be made.

    Attributes:
        drive_id: Its name.
        vehicle_id: Vehicle that drives.
        depot: Name of the depot that it starts from.
        seed: Draws everything in this drive and in no other.
        start_ns: True time of the first state.
        duration_s: Length.
        sensors: Names of the sensors that record.
        events: Events wanted; others occur by themselves.
        faults: Requests of `faults.py`; the traffic ignores them.
        shift: What is different from usual.
        adas: Whether the vehicle has a system that can drive.
        from_gate: Whether the drive begins at the depot's gate from a standstill, else somewhere on the way, rolling.
        repeats: Another drive whose motion and traffic this one repeats; its sensors still err in their own way.
    """

    drive_id: str
    vehicle_id: str
    depot: str
    seed: int
    start_ns: int
    duration_s: float
    sensors: tuple[str, ...] = ()
    events: tuple[EventRequest, ...] = ()
    faults: tuple[Any, ...] = ()
    shift: Shift = NO_SHIFT
    adas: bool = True
    from_gate: bool = False
    repeats: Repeated | None = None


@dataclass(frozen=True, slots=True)
class EgoShape:
    """The ego vehicle's measures, millimetres; its reference point is the middle of the rear axle on the ground."""

    kind: str
    length_mm: int
    width_mm: int
    height_mm: int
    wheelbase_mm: int
    rear_overhang_mm: int
    steering_ratio_milli: int
    """Steering wheel angle over road wheel angle, thousandths."""

    @property
    def centre_ahead_mm(self) -> int:
        """Distance of the middle of the footprint ahead of the reference point."""
        return self.length_mm // 2 - self.rear_overhang_mm


@dataclass(frozen=True)
class Ego:
    """The ego vehicle over time, one value per state at 100 Hz.

    Attributes:
        t_ns: int64[n], time.
        x_mm: int32[n], east of the network's origin, middle of the rear axle.
        y_mm: int32[n], north.
        yaw_mrad: int32[n], heading without jumps (it may pass +-3142).
        speed_mmps: int32[n], speed of the rear axle, never negative.
        accel_mmps2: int32[n], along the vehicle's x axis.
        lateral_accel_mmps2: int32[n], towards its left, at the rear axle.
        yaw_rate_uradps: int32[n], microradians per second (a milliradian would drown a gyroscope's noise).
        steering_wheel_mrad: int32[n], left positive.
        accelerator_permille: int16[n], pedal, 0 to 1000.
        brake_permille: int16[n], pedal, 0 to 1000.
        adas: uint8[n], values of `Adas`.
        lamps: uint8[n], flags of `Lamp`.
        edge_id: int32[n], edge of the network that it is on.
        edge_offset_mm: int32[n], place along that edge's centre line from its start.
        lane: int8[n], lane that its middle is in, counted as in `lane_line`.
        lane_offset_mm: int32[n], left of that lane's middle.
        route_mm: int32[n], distance along the planned route.
    """

    t_ns: NDArray[np.int64]
    x_mm: NDArray[np.int32]
    y_mm: NDArray[np.int32]
    yaw_mrad: NDArray[np.int32]
    speed_mmps: NDArray[np.int32]
    accel_mmps2: NDArray[np.int32]
    lateral_accel_mmps2: NDArray[np.int32]
    yaw_rate_uradps: NDArray[np.int32]
    steering_wheel_mrad: NDArray[np.int32]
    accelerator_permille: NDArray[np.int16]
    brake_permille: NDArray[np.int16]
    adas: NDArray[np.uint8]
    lamps: NDArray[np.uint8]
    edge_id: NDArray[np.int32]
    edge_offset_mm: NDArray[np.int32]
    lane: NDArray[np.int8]
    lane_offset_mm: NDArray[np.int32]
    route_mm: NDArray[np.int32]


@dataclass(frozen=True)
class Track:
    """Another road user while it is near, one value per state at 20 Hz.

    State k is at `start_ns + (first_step + k) * AGENT_STEP_NS` of the drive. The reference point is the middle of the
    footprint.

    Attributes:
        agent_id: Number, from 1 on, unique in the drive.
        kind: Name under `vehicles` of the policy, ``pedestrian`` or ``cyclist``.
        length_mm: Length.
        width_mm: Width.
        height_mm: Height.
        look: Draws colour, clothes, pose and plate; the same look is the same appearance.
        parked: Whether nobody drives it.
        first_step: Index of the first state.
        x_mm: int32[n], east.
        y_mm: int32[n], north.
        yaw_mrad: int32[n], heading without jumps.
        speed_mmps: int32[n], along the heading, never negative.
        lamps: uint8[n], flags of `Lamp`.
        z_mm: int32[n], height of the ground below it: a pavement's is that of its kerb; None for the road's, 0.
        hitch_mm: Of a vehicle with a trailer: hitch behind the front. Its yaw is the tractor's, and the reference point
            is where the middle would be if both stood straight behind each other.
        trailer_mm: Front of the trailer behind that of the tractor.
        trailer_yaw_mrad: int32[n], heading of the trailer, without jumps; None without one.
    """

    agent_id: int
    kind: str
    length_mm: int
    width_mm: int
    height_mm: int
    look: int
    parked: bool
    first_step: int
    x_mm: NDArray[np.int32]
    y_mm: NDArray[np.int32]
    yaw_mrad: NDArray[np.int32]
    speed_mmps: NDArray[np.int32]
    lamps: NDArray[np.uint8]
    z_mm: NDArray[np.int32] | None = None
    hitch_mm: int = 0
    trailer_mm: int = 0
    trailer_yaw_mrad: NDArray[np.int32] | None = None

    @property
    def end_step(self) -> int:
        """One past the index of the last state."""
        return self.first_step + len(self.x_mm)


@dataclass(frozen=True)
class LightSeries:
    """A traffic light as seen from one approach.

    Attributes:
        node_id: Node of the junction.
        edge_id: Edge that the approach comes along.
        x_mm: East of the stop line's middle.
        y_mm: North of it.
        yaw_mrad: Direction of travel of the approach.
        change_ns: int64[n], when a state begins; the first is the drive's start.
        signal: uint8[n], values of `Signal`.
    """

    node_id: int
    edge_id: int
    x_mm: int
    y_mm: int
    yaw_mrad: int
    change_ns: NDArray[np.int64]
    signal: NDArray[np.uint8]

    def at(self, t_ns: int) -> Signal:
        """What it shows at a time of the drive."""
        return Signal(int(self.signal[max(0, int(np.searchsorted(self.change_ns, t_ns, side="right")) - 1)]))


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to the ego vehicle, measured from the true motion.

    Attributes:
        kind: One of `EVENT_UNITS`.
        start_ns: When its condition began to hold.
        end_ns: When it ceased.
        peak_ns: When the value was reached.
        value: Its magnitude in the unit of its kind.
        agent_id: The other road user, or None.
        cause: ``requested`` or ``natural``.
    """

    kind: str
    start_ns: int
    end_ns: int
    peak_ns: int
    value: int
    agent_id: int | None
    cause: str


@dataclass(frozen=True, slots=True)
class Weather:
    """Weather at a place and time; floats are rounded to the stated step.

    Attributes:
        condition: ``clear``, ``cloudy``, ``overcast``, ``rain``, ``snow`` or ``fog``.
        rain_mm_h: Precipitation, water equivalent, millimetres per hour, 0.1.
        visibility_m: Meteorological optical range, metres, 10.
        cloud: Share of the sky, 0.01.
        temperature_c: Air temperature, degrees Celsius, 0.1.
        wind_mps: Wind speed, 0.1.
        wind_from_deg: Where it blows from, clockwise from north, 1.
        wetness: How wet the road is, 0 dry to 1 covered, 0.01.
    """

    condition: str
    rain_mm_h: float
    visibility_m: int
    cloud: float
    temperature_c: float
    wind_mps: float
    wind_from_deg: int
    wetness: float


@dataclass(frozen=True, slots=True)
class Conditions:
    """Weather and light from a time on.

    Attributes:
        t_ns: From when.
        weather: Weather.
        sun_elevation_mrad: Height of the sun over the horizon.
        sun_azimuth_mrad: Its direction, clockwise from north.
        light: Value of `fleet_assets.geo.sun.Light`.
    """

    t_ns: int
    weather: Weather
    sun_elevation_mrad: int
    sun_azimuth_mrad: int
    light: str


@dataclass(frozen=True)
class DriveTruth:
    """Everything that really happened in a drive.

    Attributes:
        plan: What was asked for.
        network_digest: `RoadNetwork.digest` of the world.
        shape: The ego vehicle's measures.
        ego: Its motion.
        tracks: Everybody who came near, by `agent_id`.
        lights: Traffic lights along the route, in order of the route.
        conditions: Weather and light, one per minute; the first is at the start.
        events: In order of their start.
    """

    plan: DrivePlan
    network_digest: str
    shape: EgoShape
    ego: Ego
    tracks: tuple[Track, ...] = ()
    lights: tuple[LightSeries, ...] = ()
    conditions: tuple[Conditions, ...] = ()
    events: tuple[Event, ...] = field(default=())

    def conditions_at(self, t_ns: int) -> Conditions:
        """Weather and light at a time."""
        return next((one for one in reversed(self.conditions) if one.t_ns <= t_ns), self.conditions[0])

    def unmet(self) -> tuple[EventRequest, ...]:
        """Requests for which no event was found; a drive may be too short or too empty for one."""
        found = [event.kind for event in self.events if event.cause == "requested"]
        missing = []
        for request in self.plan.events:
            if request.kind in found:
                found.remove(request.kind)
            else:
                missing.append(request)
        return tuple(missing)
