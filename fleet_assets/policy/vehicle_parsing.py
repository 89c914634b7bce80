"""From schema-checked documents to vehicle specs, with the cross-references checked.

Here belong the contradictions that a schema cannot see. What a spec consists of is in `vehicles.py`.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from fleet_assets.geo.projections import is_projected
from fleet_assets.policy.canonical import CanonicalSignal, CanonicalSignals
from fleet_assets.policy.table_layouts import TABLE_FORMATS, parse_table_layout, table_problems
from fleet_assets.policy.units import LinearMap, UnknownUnitError, conversion
from fleet_assets.policy.vehicles import (
    UTC_OFFSET_ROLE,
    Combine,
    Condition,
    DbcRef,
    Dropouts,
    Frames,
    InvalidSpecError,
    MessageRef,
    SensorSpec,
    SignalMap,
    SourceRef,
    Translation,
    Transport,
    UtcSource,
    VehicleSpec,
)

NS_PER_MS: Final = 1_000_000
DEGREES: Final = "deg"
KEPT_AS_RECORDED: Final = ("camera", "lidar", "other")
"""Kinds of sensors that need give no signal: their presence and rate are checked, their messages stay in the file."""
CALIBRATED: Final = "lidar"
"""Kind of sensor whose packets a calibration turns into points."""
_FIELD: Final = re.compile(r"^(?P<name>[^\[\]]+)(?:\[(?P<column>\d+)\])?$")
_SEVERAL: Final[Mapping[str, Combine]] = {"mean_of": Combine.MEAN, "sum_of": Combine.SUM, "norm_of": Combine.NORM}


def _source(text: str) -> SourceRef:
    match = _FIELD.match(text)
    if match is None:
        return SourceRef(text)
    return SourceRef(match["name"], None if match["column"] is None else int(match["column"]))


def _single_source(body: Mapping[str, Any]) -> SourceRef:
    return SourceRef(body["signal"]) if "signal" in body else _source(body["field"])


def _sources(body: Mapping[str, Any]) -> tuple[tuple[SourceRef, ...], Combine]:
    for key, combine in _SEVERAL.items():
        if key in body:
            return tuple(map(_source, body[key])), combine
    if "projected" in body:
        place = body["projected"]
        return (_source(place["east"]), _source(place["north"])), Combine(place["gives"])
    if "course_of" in body:
        velocity = body["course_of"]
        return (_source(velocity["east"]), _source(velocity["north"])), Combine.COURSE
    return (_single_source(body),), Combine.SUM


def _place_problems(place: str, body: Mapping[str, Any]) -> list[str]:
    """What a position or a course contradicts: both come out in degrees, and the position's system must exist."""
    found = []
    if ("projected" in body or "course_of" in body) and body["unit"] != DEGREES:
        found.append(f"{place}/unit: {body['unit']!r}, but what is computed here is in degrees. Write unit: {DEGREES}")
    epsg = body["projected"]["epsg"] if "projected" in body else None
    if epsg is not None and not is_projected(epsg):
        found.append(f"{place}/projected/epsg: {epsg} is no projected reference system. Look it up at epsg.org")
    return found


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
        sources, combine = _sources(body)
        self.problems += _place_problems(place, body)
        return SignalMap(
            sources=sources,
            combine=combine,
            unit=body["unit"],
            scale=float(body.get("scale", 1.0)),
            offset=float(body.get("offset", 0.0)),
            to_canonical=self.map_unit(place, body["unit"], wanted.unit if wanted else body["unit"]),
            shift=self.shift(place, sensor, body.get("frame_axis"), wanted.unit if wanted else "m"),
            epsg=body["projected"]["epsg"] if "projected" in body else None,
            wrap=self.wrap(place, wanted) if body.get("wrap") else None,
            least_length=body["course_of"]["at_least"] if "course_of" in body else None,
        )

    def wrap(self, place: str, wanted: CanonicalSignal | None) -> tuple[float, float] | None:
        if wanted is None or wanted.circular_period is None or wanted.range is None:
            self.problems.append(f"{place}/wrap: the canonical signal is not circular. Leave it out")
            return None
        return wanted.range[0], wanted.circular_period

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
            transport=Transport(**body["transport"]) if "transport" in body else None,
            items=_source(body["items"]) if "items" in body else None,
            dropouts=Dropouts(**body["dropouts"]) if "dropouts" in body else None,
            calibration=body.get("calibration"),
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
    if sensor.calibration is not None and sensor.kind != CALIBRATED:
        found.append(f"{place}/calibration: {sensor.calibration!r}, but the sensor is a {sensor.kind}. Leave it out")
    if not sensor.signals and sensor.utc is None and sensor.kind not in KEPT_AS_RECORDED:
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
    found += table_problems(spec.formats, spec.table)
    if spec.table is not None and set(spec.formats) <= set(TABLE_FORMATS):
        found += [
            f"sensors/{sensor.name}/channel: {sensor.channel!r}, but the table makes {spec.table.channel!r}. Correct it"
            for sensor in spec.sensors.values()
            if sensor.channel != spec.table.channel
        ]
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
        formats=(document["format"],) if isinstance(document["format"], str) else tuple(document["format"]),
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
        table=parse_table_layout(document.get("table"), document.get("stills")),
    )
    problems = (*parser.problems, *_spec_problems(spec, canonical))
    if problems:
        raise InvalidSpecError(spec.name, problems)
    return spec
