"""Vehicle specs as frozen data, parsed from schema-checked documents, with the cross-references checked.

Here belongs what a spec says: sensors, messages, conditions, maps onto canonical signals. Finding the CAN databases and
applying the maps to recordings belong to the ingestion area.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from fleet_assets.policy.canonical import CanonicalSignals
from fleet_assets.policy.documents import InvalidPolicyError
from fleet_assets.policy.units import LinearMap, UnknownUnitError, conversion

NS_PER_MS: Final = 1_000_000
UTC_OFFSET_ROLE: Final = "utc_offset"
_FIELD: Final = re.compile(r"^(?P<name>[^\[\]]+)(?:\[(?P<column>\d+)\])?$")


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


@dataclass(frozen=True, slots=True)
class SignalMap:
    """How a canonical signal is made of one message.

    The value is ``(combine(sources) · scale + offset)`` in the unit as sent, converted by ``to_canonical``, plus
    ``shift``.

    Attributes:
        sources: Where the numbers are.
        mean: Whether several sources are averaged; they are added otherwise.
        unit: Unit as sent.
        scale: Factor in the unit as sent.
        offset: Added after the factor, in the unit as sent.
        to_canonical: Map from the unit as sent to the canonical one.
        shift: Translation of the sensor along the signal's axis, in the canonical unit.
    """

    sources: tuple[SourceRef, ...]
    mean: bool
    unit: str
    scale: float
    offset: float
    to_canonical: LinearMap
    shift: float


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


@dataclass(frozen=True, slots=True)
class VehicleSpec:
    """A kind of vehicle.

    Attributes:
        name: Name of the spec.
        description: Vehicle, model year, recorder.
        format: Recording format.
        sensors: Sensor by name, in document order.
        frames: Where sensors sit.
        dbc: CAN database by name.
        utc_from: Sensors that state UTC, best first.
        redundant_pairs: Pairs of canonical signals that measure the same quantity.
        digest: Digest of the document.
        calibration: File with linear corrections, by sensor.
    """

    name: str
    description: str
    format: str
    sensors: Mapping[str, SensorSpec]
    frames: Frames
    dbc: Mapping[str, DbcRef]
    utc_from: tuple[str, ...]
    redundant_pairs: tuple[tuple[str, str], ...]
    digest: str
    calibration: Mapping[str, str] = field(default_factory=dict)

    @property
    def channels(self) -> tuple[str, ...]:
        """Channels of the recording that any sensor uses, sorted."""
        return tuple(sorted({sensor.channel for sensor in self.sensors.values()}))


def _source(text: str) -> SourceRef:
    match = _FIELD.match(text)
    if match is None:
        return SourceRef(text)
    return SourceRef(match["name"], None if match["column"] is None else int(match["column"]))


def _single_source(body: Mapping[str, Any]) -> SourceRef:
    return SourceRef(body["signal"]) if "signal" in body else _source(body["field"])


def _condition(body: Mapping[str, Any] | None) -> Condition | None:
    if body is None:
        return None
    return Condition(_single_source(body), body.get("equals"), body.get("at_least"), body.get("at_most"))


def _messages(body: Any) -> tuple[MessageRef, ...]:
    if body is None:
        return ()
    if isinstance(body, Mapping):
        return tuple(MessageRef(f"{body['prefix']}{index}", index) for index in range(body["instances"]))
    return tuple(MessageRef(name) for name in body)


class _Parser:
    """Collects every problem of one document, so that a person mends them in one go."""

    def __init__(self, document: Mapping[str, Any], canonical: CanonicalSignals) -> None:
        self.document, self.canonical = document, canonical
        self.problems: list[str] = []
        frames = document.get("frames", {"reference": "unknown", "sensors": {}})
        self.frames = Frames(
            frames["reference"], {name: Translation(**place) for name, place in frames["sensors"].items()}
        )

    def map_unit(self, place: str, unit: str, into: str) -> LinearMap:
        try:
            return conversion(unit, into)
        except UnknownUnitError as error:
            self.problems.append(f"{place}/unit: {error}")
            return LinearMap()

    def signal(self, sensor: str, name: str, body: Mapping[str, Any]) -> SignalMap:
        place = f"sensors/{sensor}/signals/{name}"
        wanted = self.canonical.signals.get(name)
        if wanted is None:
            self.problems.append(
                f"{place}: no canonical signal of that name. Use one of: {', '.join(self.canonical.signals)}"
            )
        several = body.get("mean_of") or body.get("sum_of")
        return SignalMap(
            sources=tuple(map(_source, several)) if several else (_single_source(body),),
            mean="mean_of" in body,
            unit=body["unit"],
            scale=float(body.get("scale", 1.0)),
            offset=float(body.get("offset", 0.0)),
            to_canonical=self.map_unit(place, body["unit"], wanted.unit if wanted else body["unit"]),
            shift=self.shift(place, sensor, body.get("frame_axis"), wanted.unit if wanted else "m"),
        )

    def shift(self, place: str, sensor: str, axis: str | None, unit: str) -> float:
        if axis is None:
            return 0.0
        if sensor not in self.frames.sensors:
            self.problems.append(f"{place}/frame_axis: frames/sensors has no entry {sensor!r}. State where it sits")
            return 0.0
        to_unit = self.map_unit(f"{place}/frame_axis", "m", unit)
        return float(getattr(self.frames.sensors[sensor], axis)) * to_unit.scale

    def utc(self, sensor: str, body: Mapping[str, Any] | None) -> UtcSource | None:
        if body is None:
            return None
        if self.canonical.with_role(UTC_OFFSET_ROLE) is None:
            self.problems.append(
                f"sensors/{sensor}/utc: no canonical signal has role {UTC_OFFSET_ROLE!r}. Give one that role"
            )
        return UtcSource(_single_source(body), self.map_unit(f"sensors/{sensor}/utc", body["unit"], "s"))

    def sensor(self, name: str, body: Mapping[str, Any]) -> SensorSpec:
        latency = body.get("latency_ms", {"mean": 0, "uncertainty": 0})
        sensor = SensorSpec(
            name=name,
            kind=body["kind"],
            channel=body["channel"],
            bus=body.get("bus"),
            dbc=body.get("dbc"),
            messages=_messages(body.get("messages")),
            rate_hz=float(body["rate_hz"]["nominal"]),
            rate_tolerance=float(body["rate_hz"]["tolerance"]),
            required=body["required"],
            latency_mean_ns=round(latency["mean"] * NS_PER_MS),
            latency_uncertainty_ns=round(latency["uncertainty"] * NS_PER_MS),
            valid_when=_condition(body.get("valid_when")),
            present_when=_condition(body.get("present_when")),
            utc=self.utc(name, body.get("utc")),
            signals={signal: self.signal(name, signal, entry) for signal, entry in body["signals"].items()},
        )
        self.problems += _sensor_problems(sensor, body, self.document.get("dbc", {}))
        return sensor


def _bodies(sensor: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for key in ("valid_when", "present_when", "utc"):
        if key in sensor:
            yield key, sensor[key]
    for name, body in sensor["signals"].items():
        yield f"signals/{name}", body


def _sensor_problems(sensor: SensorSpec, body: Mapping[str, Any], dbc: Mapping[str, Any]) -> list[str]:
    place, found = f"sensors/{sensor.name}", []
    if sensor.dbc is not None and sensor.dbc not in dbc:
        found.append(f"{place}/dbc: {sensor.dbc!r} is not under dbc (known: {sorted(dbc)}). Add it there")
    wrong, right = ("field", "signal") if sensor.dbc is not None else ("signal", "field")
    found += [
        f"{place}/{key}: uses {wrong!r}, but a sensor {'with' if sensor.dbc else 'without'} dbc has {right}s. "
        f"Write {right}: {entry[wrong]}"
        for key, entry in _bodies(body)
        if wrong in entry
    ]
    if not sensor.signals and sensor.utc is None:
        found.append(f"{place}: gives neither signals nor utc. Map something or remove the sensor")
    return found


def _spec_problems(spec: VehicleSpec, canonical: CanonicalSignals) -> list[str]:
    stray = sorted(set(spec.calibration) - set(spec.sensors))
    found = [
        f"calibration/{name}: there is no such sensor (known: {sorted(spec.sensors)}). Correct it" for name in stray
    ]
    given: dict[str, list[str]] = {}
    for sensor in spec.sensors.values():
        for name in sensor.signals:
            given.setdefault(name, []).append(sensor.name)
    found += [
        f"{name} is given by {' and '.join(sensors)}. Keep one, or map the other to another canonical signal"
        for name, sensors in given.items()
        if len(sensors) > 1 and name in canonical.signals and canonical.signals[name].grid
    ]
    found += [
        f"sensors/{sensor.name}/signals/{name}: {len(sensor.messages)} instances cannot share one grid column. "
        "Map it to a track signal"
        for sensor in spec.sensors.values()
        for name in sensor.signals
        if any(message.instance for message in sensor.messages)
        and name in canonical.signals
        and canonical.signals[name].grid
    ]
    for name in spec.utc_from:
        if name not in spec.sensors:
            found.append(f"clock/utc_from: no sensor {name!r}. Use one of: {', '.join(spec.sensors)}")
        elif spec.sensors[name].utc is None:
            found.append(f"clock/utc_from: sensor {name!r} has no utc entry. State its field and unit")
    found += [f"frames/sensors/{name}: no such sensor. Remove it" for name in spec.frames.sensors.keys() - spec.sensors]
    found += [
        f"redundant_pairs: no sensor gives {name!r}. Map it or remove the pair"
        for pair in spec.redundant_pairs
        for name in pair
        if name not in given
    ]
    return found


def parse_vehicle_spec(document: Mapping[str, Any], digest: str, canonical: CanonicalSignals) -> VehicleSpec:
    """Turn a schema-checked document into a spec and check what the schema cannot see.

    Args:
        document: The parsed vehicle document.
        digest: Its digest.
        canonical: The vocabulary that it maps onto.

    Raises:
        InvalidSpecError: Listing every contradiction: unknown dbc, canonical signal or sensor, a unit that cannot
            become the canonical one, a grid signal given twice, utc_from without utc, frame_axis without a frame.
    """
    parser = _Parser(document, canonical)
    spec = VehicleSpec(
        name=document["name"],
        description=document["description"],
        format=document["format"],
        sensors={name: parser.sensor(name, body) for name, body in document["sensors"].items()},
        frames=parser.frames,
        dbc={
            name: DbcRef(name, body.get("path"), body.get("package"), body.get("file"), body.get("id_match") == "j1939")
            for name, body in document.get("dbc", {}).items()
        },
        utc_from=tuple(document["clock"]["utc_from"]),
        redundant_pairs=tuple((pair["a"], pair["b"]) for pair in document.get("redundant_pairs", ())),
        digest=digest,
        calibration={name: body["path"] for name, body in document.get("calibration", {}).items()},
    )
    problems = (*parser.problems, *_spec_problems(spec, canonical))
    if problems:
        raise InvalidSpecError(spec.name, problems)
    return spec


def calibrated(spec: VehicleSpec, sensor: str, corrections: Mapping[str, Any]) -> VehicleSpec:
    """The spec with linear corrections of one sensor folded into its unit conversion.

    Args:
        spec: The vehicle spec.
        sensor: Sensor of the spec.
        corrections: Key `signals` of a `fleet.calibration/v1` document: signal → scale and offset.

    Raises:
        InvalidSpecError: When a signal is not one of the sensor's.
    """
    own = spec.sensors[sensor]
    if unknown := sorted(set(corrections) - set(own.signals)):
        known = ", ".join(own.signals)
        problem = f"calibration/{sensor}: signals {unknown} are not of this sensor (known: {known}). Correct the file"
        raise InvalidSpecError(spec.name, (problem,))
    signals = {name: _corrected(body, corrections.get(name, {})) for name, body in own.signals.items()}
    return replace(spec, sensors={**spec.sensors, sensor: replace(own, signals=signals)})


def _corrected(body: SignalMap, correction: Mapping[str, float]) -> SignalMap:
    scale, offset = correction.get("scale", 1.0), correction.get("offset", 0.0)
    into = LinearMap(body.to_canonical.scale * scale, body.to_canonical.offset * scale + offset)
    return replace(body, to_canonical=into, shift=body.shift * scale)
