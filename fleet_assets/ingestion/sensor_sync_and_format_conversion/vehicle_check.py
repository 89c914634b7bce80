"""How a vehicle spec fits a recording: what maps, what does not, what is left over, and what the rates really are.

Here belongs the comparison behind `fleet vehicle check`. It judges the spec, not the drive; drives are judged by the
integrity rules.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

import numpy as np

from fleet_assets.ingestion.recordings.dbc import DbcText
from fleet_assets.ingestion.recordings.protocol import NS_PER_S, Batch, Channel, Recording
from fleet_assets.ingestion.sensor_sync_and_format_conversion.gather import (
    Messages,
    SensorPlan,
    StreamPlan,
    decode_sources,
    gather,
    plan_sensors,
)
from fleet_assets.ingestion.sensor_sync_and_format_conversion.streams import median_rate_hz
from fleet_assets.policy.canonical import CanonicalSignals
from fleet_assets.policy.units import UNIT_NAMES
from fleet_assets.policy.vehicles import SensorSpec, VehicleSpec

_EXTENDED: Final = 1 << 31
_BUS_SHIFT: Final = 32


class Fit(StrEnum):
    """How one row of the check turned out."""

    MAPS = "maps"
    RATE_DIFFERS = "rate differs"
    UNIT_DIFFERS = "unit differs"
    SHORT_FRAMES = "short frames"
    NO_MESSAGES = "no messages"
    MISSING_CHANNEL = "missing channel"
    MISSING_FIELD = "missing field"
    UNUSED = "unused"


_BREAKS: Final = (Fit.SHORT_FRAMES, Fit.NO_MESSAGES, Fit.MISSING_CHANNEL, Fit.MISSING_FIELD)


@dataclass(frozen=True, slots=True)
class CheckRow:
    """One message of the spec in the recording, or one channel or CAN id that the spec does not use.

    Attributes:
        fit: How it turned out.
        sensor: Sensor of the spec; empty for what the spec does not use.
        source: Channel, and CAN message or id.
        signals: Canonical signals that it gives.
        messages: Messages found.
        nominal_hz: Rate that the spec states.
        measured_hz: Median rate found.
        required: Whether the spec says that a drive needs it.
        detail: What to do, in words; empty where nothing is to be done.
    """

    fit: Fit
    sensor: str
    source: str
    signals: tuple[str, ...]
    messages: int
    nominal_hz: float | None
    measured_hz: float | None
    required: bool
    detail: str


@dataclass(frozen=True, slots=True)
class VehicleCheck:
    """The whole comparison.

    Attributes:
        spec: Name of the spec.
        rows: First what the spec names, sensor by sensor, then what it does not use.
        unmapped: Canonical signals that the spec does not give.
    """

    spec: str
    rows: tuple[CheckRow, ...]
    unmapped: tuple[str, ...]

    @property
    def fits(self) -> bool:
        """Whether every required sensor of the spec can be read from the recording."""
        return not any(row.required and row.fit in _BREAKS for row in self.rows)


@dataclass(slots=True)
class _Seen:
    """Counts and time spans of every channel and, on CAN channels, of every id."""

    spans: dict[tuple[str, int | None], tuple[int, int, int]] = field(default_factory=dict)

    def add(self, key: tuple[str, int | None], count: int, first: int, last: int) -> None:
        before = self.spans.get(key, (0, first, last))
        self.spans[key] = (before[0] + count, min(before[1], first), max(before[2], last))

    def __call__(self, batch: Batch) -> None:
        if "can_id" not in batch.columns:
            self.add((batch.channel, None), len(batch), int(batch.t_ns.min()), int(batch.t_ns.max()))
            return
        keys = batch.columns["can_id"].astype(np.int64) | batch.columns["is_extended"].astype(np.int64) * _EXTENDED
        keys |= batch.columns["bus"].astype(np.int64) << _BUS_SHIFT
        for key, first, count in zip(*np.unique(keys, return_index=True, return_counts=True), strict=True):
            times = batch.t_ns[keys == key] if count > 1 else batch.t_ns[first : first + 1]
            self.add((batch.channel, int(key)), int(count), int(times.min()), int(times.max()))


def _rate_hz(span: tuple[int, int, int]) -> float | None:
    count, first, last = span
    return (count - 1) * NS_PER_S / (last - first) if last > first else None


def _unit_detail(sensor: SensorSpec, stream: StreamPlan) -> str:
    """Where the CAN database states another known unit than the spec does."""
    if stream.message is None:
        return ""
    found = []
    for name in stream.signals:
        for source in sensor.signals[name].sources:
            stated = stream.message.signals[source.name].unit
            if stated in UNIT_NAMES and stated != sensor.signals[name].unit:
                found.append(f"{source.name} is in {stated} by the CAN database, in {sensor.signals[name].unit} here")
    return "; ".join(found)


def _absence(sensor: SensorSpec, found: Messages, channels: Mapping[str, Channel]) -> tuple[Fit, str] | None:
    if sensor.channel not in channels:
        return Fit.MISSING_CHANNEL, f"the recording has: {', '.join(channels)}. Correct `channel`"
    if found.missing:
        fields = ", ".join(channels[sensor.channel].fields)
        return Fit.MISSING_FIELD, f"no {', '.join(found.missing)} among {fields}. Correct `field`"
    if not len(found.t_ns):
        bus = "" if sensor.bus is None else f" on bus {sensor.bus}"
        return Fit.NO_MESSAGES, f"no such message{bus}. Correct `bus` or `messages`, or use another CAN database"
    return None


def _difference(sensor: SensorSpec, stream: StreamPlan, found: Messages) -> tuple[Fit, str] | None:
    if any(decoded.short.any() for decoded in decode_sources(stream, found).values()):
        return Fit.SHORT_FRAMES, "frames end before the signal does. Use the database of this model year"
    if detail := _unit_detail(sensor, stream):
        return Fit.UNIT_DIFFERS, f"{detail}. Correct `unit`, or leave it where the database errs"
    rate = median_rate_hz(found.t_ns)
    if rate is None or abs(rate - sensor.rate_hz) > sensor.rate_tolerance * sensor.rate_hz:
        return Fit.RATE_DIFFERS, "Correct `rate_hz` if this recording is sound"
    return None


def _source(stream: StreamPlan) -> str:
    if stream.message is None:
        return stream.channel
    bus = "" if stream.bus is None else f" bus {stream.bus}"
    return f"{stream.channel}{bus} 0x{stream.message.frame_id:X} {stream.message.name}"


def _sensor_rows(plan: SensorPlan, messages: Sequence[Messages], channels: Mapping[str, Channel]) -> list[CheckRow]:
    rows = []
    for stream, found in zip(plan.streams, messages, strict=True):
        fit, detail = (
            _absence(plan.sensor, found, channels) or _difference(plan.sensor, stream, found) or (Fit.MAPS, "")
        )
        rows.append(
            CheckRow(
                fit=fit,
                sensor=plan.sensor.name,
                source=_source(stream),
                signals=stream.signals,
                messages=len(found.t_ns),
                nominal_hz=plan.sensor.rate_hz,
                measured_hz=median_rate_hz(found.t_ns),
                required=plan.sensor.required,
                detail=detail,
            )
        )
    return rows


def _used(plans: Sequence[SensorPlan], channel: str, key: int | None) -> bool:
    streams = [stream for plan in plans for stream in plan.streams if stream.channel == channel]
    if key is None:
        return bool(streams)
    can_id = np.array([key & (_EXTENDED - 1)], dtype=np.uint32)
    extended, bus = bool(key & _EXTENDED), key >> _BUS_SHIFT
    return any(
        stream.message is not None
        and stream.message.is_extended == extended
        and stream.bus in (None, bus)
        and bool(stream.message.matches_id(can_id)[0])
        for stream in streams
    )


def _unused_rows(plans: Sequence[SensorPlan], seen: _Seen) -> list[CheckRow]:
    rows = []
    for (channel, key), span in sorted(seen.spans.items(), key=lambda item: (item[0][0], item[0][1] or 0)):
        if _used(plans, channel, key):
            continue
        source = channel if key is None else f"{channel} bus {key >> _BUS_SHIFT} 0x{key & (_EXTENDED - 1):X}"
        rows.append(CheckRow(Fit.UNUSED, "", source, (), span[0], None, _rate_hz(span), False, ""))
    return rows


def check_vehicle(
    recording: Recording, spec: VehicleSpec, canonical: CanonicalSignals, dbcs: Mapping[str, DbcText]
) -> VehicleCheck:
    """Compare a vehicle spec with a recording; reads all of it.

    Args:
        recording: The opened recording.
        spec: The spec.
        canonical: The vocabulary.
        dbcs: Text of each CAN database that the spec names.

    Raises:
        InvalidSpecError: When a CAN database lacks what the spec asks for.
        UnreadableRecordingError: When nothing useful can be read.
    """
    plans = plan_sensors(spec, dbcs)
    seen = _Seen()
    gathered = gather(recording, plans, seen)
    channels = {channel.name: channel for channel in recording.channels()}
    rows: list[CheckRow] = []
    for plan, messages in zip(plans, gathered, strict=True):
        rows += _sensor_rows(plan, messages, channels)
    given = {name for sensor in spec.sensors.values() for name in sensor.signals}
    unmapped = tuple(name for name, signal in canonical.signals.items() if name not in given and signal.role is None)
    return VehicleCheck(spec.name, (*rows, *_unused_rows(plans, seen)), unmapped)
