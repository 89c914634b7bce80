"""Vehicle specs as frozen data.

Here belongs what a spec says: sensors, messages, conditions, maps onto canonical signals. Documents are parsed and
checked in `vehicle_parsing.py`; finding the CAN databases and applying the maps belong to the ingestion area.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from fleet_assets.policy.documents import InvalidPolicyError
from fleet_assets.policy.table_layouts import TableLayout
from fleet_assets.policy.units import LinearMap

UTC_OFFSET_ROLE: Final = "utc_offset"


class InvalidSpecError(InvalidPolicyError):
    """A vehicle spec whose parts contradict each other, the canonical signals or its CAN databases.

    Args:
        spec: Name of the spec.
        problems: One sentence per breach: place, rule, value, remedy.
    """

    def __init__(self, spec: str, problems: tuple[str, ...]) -> None:
        super().__init__(spec, problems)
        self.spec, self.problems = spec, problems

    def __str__(self) -> str:
        return f"vehicle spec {self.spec}: " + "; ".join(self.problems)


@dataclass(frozen=True, slots=True)
class SourceRef:
    """A value inside a message: a CAN signal, a column of a channel, or one element of an array column."""

    name: str
    column: int | None = None

    def __str__(self) -> str:
        return self.name if self.column is None else f"{self.name}[{self.column}]"


@dataclass(frozen=True, slots=True)
class Condition:
    """A test on a value of the same message; all stated bounds must hold."""

    source: SourceRef
    equals: float | None = None
    at_least: float | None = None
    at_most: float | None = None


class Combine(StrEnum):
    """How several sources of one message become one number; a single source is its own sum."""

    SUM = "sum"
    MEAN = "mean"
    NORM = "norm"
    LATITUDE = "latitude"
    LONGITUDE = "longitude"
    COURSE = "course"


@dataclass(frozen=True, slots=True)
class SignalMap:
    """How a canonical signal is made of one message.

    The value is ``(combine(sources) · scale + offset)`` in the unit as sent, converted by ``to_canonical``, plus
    ``shift``.

    Attributes:
        sources: Where the numbers are; (east, north) of a projected position or of a velocity.
        combine: How several become one.
        unit: Unit as sent.
        scale: Factor in the unit as sent.
        offset: Added after the factor, in the unit as sent.
        to_canonical: Map from the unit as sent to the canonical one.
        shift: Translation of the sensor along the signal's axis, in the canonical unit.
        epsg: Projected reference system of the sources, for ``LATITUDE`` and ``LONGITUDE``.
        wrap: First value and period of a circular quantity that is brought into its range, canonical unit.
        least_length: Shortest velocity that has a course, in its own unit, for ``COURSE``.
    """

    sources: tuple[SourceRef, ...]
    combine: Combine
    unit: str
    scale: float
    offset: float
    to_canonical: LinearMap
    shift: float
    epsg: int | None = None
    wrap: tuple[float, float] | None = None
    least_length: float | None = None


@dataclass(frozen=True, slots=True)
class UtcSource:
    """Where a sensor states UTC as time since 1970, and the map of its unit to seconds."""

    source: SourceRef
    to_seconds: LinearMap


@dataclass(frozen=True, slots=True)
class MessageRef:
    """A CAN message by name; ``instance`` counts equal objects, 0 otherwise."""

    name: str
    instance: int = 0


@dataclass(frozen=True, slots=True)
class Translation:
    """Place of a sensor from the reference point: x forward, y left, z up, metres."""

    x_m: float
    y_m: float
    z_m: float


@dataclass(frozen=True, slots=True)
class Frames:
    """Reference point and where sensors sit."""

    reference: str
    sensors: Mapping[str, Translation]


@dataclass(frozen=True, slots=True)
class DbcRef:
    """A CAN database: a path to look up, or a file of an installed package.

    Attributes:
        name: Name that sensors refer to.
        path: Relative file name, or None.
        package: Package, or None.
        file: File inside the package, or None.
        by_parameter_group: Whether ids match by SAE J1939 parameter group instead of as a whole.
    """

    name: str
    path: str | None = None
    package: str | None = None
    file: str | None = None
    by_parameter_group: bool = False


@dataclass(frozen=True, slots=True)
class Transport:
    """How messages longer than one CAN frame are put together.

    Attributes:
        protocol: ``isotp`` (ISO 15765-2) or ``j1939`` (SAE J1939-21).
        lead_bytes: Bytes of the first frame before the payload that the CAN database counts too (isotp).
    """

    protocol: str
    lead_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Dropouts:
    """How long and how often a sensor is normally without values, e.g. a receiver between buildings.

    A sensor that says when its values are valid (`valid_when`) goes on sending meanwhile; others fall silent.

    Attributes:
        longest_s: Longest normal dropout.
        per_hour: How many there are on average.
    """

    longest_s: float
    per_hour: float


@dataclass(frozen=True, slots=True)
class SensorSpec:
    """One sensor.

    Attributes:
        name: Name of the sensor.
        kind: Kind as the schema lists them.
        channel: Channel of the recording that carries it.
        bus: CAN bus, or None for any.
        dbc: Name of the CAN database, or None for channels with named fields.
        messages: CAN messages, empty for channels with named fields.
        rate_hz: Nominal rate of one message of one instance.
        rate_tolerance: Relative deviation that is normal.
        required: Whether a drive without it is unusable.
        latency_mean_ns: Mean time from measurement to time stamp.
        latency_uncertainty_ns: Half width of what is not known about it.
        valid_when: Condition under which the sensor vouches for its values.
        present_when: Condition under which the message carries something.
        utc: Where it states UTC, or None.
        signals: Map by canonical signal.
        transport: How its messages are put together, or None where a frame is a message.
        items: Field that counts what lies inside each message, or None.
        dropouts: Dropouts that are normal, or None.
        calibration: Calibration of a lidar (a document of the policies), or None.
    """

    name: str
    kind: str
    channel: str
    bus: int | None
    dbc: str | None
    messages: tuple[MessageRef, ...]
    rate_hz: float
    rate_tolerance: float
    required: bool
    latency_mean_ns: int
    latency_uncertainty_ns: int
    valid_when: Condition | None
    present_when: Condition | None
    utc: UtcSource | None
    signals: Mapping[str, SignalMap]
    transport: Transport | None = None
    items: SourceRef | None = None
    dropouts: Dropouts | None = None
    calibration: str | None = None

    @property
    def gives_frames(self) -> bool:
        """Whether its messages are pictures or sweeps, which hold neither signals nor UTC."""
        return not self.signals and self.utc is None


@dataclass(frozen=True, slots=True)
class VehicleSpec:
    """A kind of vehicle.

    Attributes:
        name: Name of the spec.
        description: Vehicle, model year, recorder.
        formats: Recording formats that its recorders write.
        sensors: Sensor by name, in document order.
        frames: Where sensors sit.
        dbc: CAN database by name.
        utc_from: Sensors that state UTC, best first.
        redundant_pairs: Pairs of canonical signals that measure the same quantity.
        digest: Digest of the document.
        calibration: File with linear corrections, by sensor.
        table: How rows of a text table become messages; None for all other formats.
    """

    name: str
    description: str
    formats: tuple[str, ...]
    sensors: Mapping[str, SensorSpec]
    frames: Frames
    dbc: Mapping[str, DbcRef]
    utc_from: tuple[str, ...]
    redundant_pairs: tuple[tuple[str, str], ...]
    digest: str
    calibration: Mapping[str, str] = field(default_factory=dict)
    table: TableLayout | None = None

    @property
    def gives_signals(self) -> bool:
        """Whether any sensor gives a canonical signal; vehicles with only a camera or lidar do not."""
        return any(sensor.signals for sensor in self.sensors.values())

    @property
    def channels(self) -> tuple[str, ...]:
        """Channels of the recording that any sensor uses, sorted."""
        return tuple(sorted({sensor.channel for sensor in self.sensors.values()}))
