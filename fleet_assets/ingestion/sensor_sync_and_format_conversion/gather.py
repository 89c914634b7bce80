"""From a recording's messages to the messages of each sensor, undecoded.

Here belongs the matching of a vehicle spec with a recording: which channel, bus and message carries what. Turning the
gathered messages into canonical values belongs to `decode.py`.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fleet_assets.ingestion.recordings.dbc import DbcText
from fleet_assets.ingestion.recordings.protocol import Batch, Recording
from fleet_assets.ingestion.recordings.windows import stacked
from fleet_assets.ingestion.sensor_sync_and_format_conversion.can_decode import (
    CanDatabaseError,
    Decoded,
    MessageLayout,
    decode_signals,
    parse_messages,
)
from fleet_assets.policy.vehicles import Condition, InvalidSpecError, SensorSpec, SourceRef, VehicleSpec

_CAN_COLUMNS: Final = ("data", "length")
_WHOLE_ID: Final = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class StreamPlan:
    """One message of a sensor: where it is and which canonical signals it carries.

    Attributes:
        channel: Channel of the recording.
        bus: CAN bus, or None for any.
        message: Layout of the CAN message; None for channels with named fields.
        instance: Index among equal objects.
        signals: Canonical signals made of this message.
        states_utc: Whether the sensor's UTC is in this message.
        sources: Values of the message that are needed.
    """

    channel: str
    bus: int | None
    message: MessageLayout | None
    instance: int
    signals: tuple[str, ...]
    states_utc: bool
    sources: tuple[SourceRef, ...]


@dataclass(frozen=True, slots=True)
class SensorPlan:
    """A sensor of the spec with its messages."""

    sensor: SensorSpec
    streams: tuple[StreamPlan, ...]


@dataclass(frozen=True, slots=True)
class Messages:
    """The messages of one stream in recorded order.

    Attributes:
        t_ns: int64[n], recording clock.
        columns: ``data`` uint8[n, width] and ``length`` for CAN; otherwise float64[n] by source. Empty if no messages.
        missing: Sources that the recording's channel does not have.
    """

    t_ns: NDArray[np.int64]
    columns: Mapping[str, NDArray[Any]]
    missing: tuple[str, ...] = ()


def _conditions(sensor: SensorSpec) -> tuple[Condition, ...]:
    return tuple(condition for condition in (sensor.present_when, sensor.valid_when) if condition is not None)


def _plan_stream(sensor: SensorSpec, message: MessageLayout | None, instance: int) -> StreamPlan:
    """Assign to a message the signals whose sources it has all of (a channel with named fields has them all)."""

    def holds(sources: Iterable[SourceRef]) -> bool:
        return message is None or all(source.name in message.signals for source in sources)

    signals = tuple(name for name, body in sensor.signals.items() if holds(body.sources))
    states_utc = sensor.utc is not None and holds((sensor.utc.source,))
    sources = [source for name in signals for source in sensor.signals[name].sources]
    if sensor.utc is not None and states_utc:
        sources.append(sensor.utc.source)
    if signals or states_utc:
        sources += [condition.source for condition in _conditions(sensor)]
    if sensor.items is not None and message is None:
        sources.append(sensor.items)
    return StreamPlan(
        channel=sensor.channel,
        bus=sensor.bus,
        message=message,
        instance=instance,
        signals=signals,
        states_utc=states_utc,
        sources=tuple(dict.fromkeys(sources)),
    )


def _unserved(sensor: SensorSpec, streams: Sequence[StreamPlan]) -> list[str]:
    """Name the signals that no message, or more than one of the same instance, gives, and conditions out of reach."""
    place, found = f"sensors/{sensor.name}", []
    for name in sensor.signals:
        instances = [stream.instance for stream in streams if name in stream.signals]
        sources = ", ".join(map(str, sensor.signals[name].sources))
        if not instances:
            found.append(f"{place}/signals/{name}: no message of the sensor has {sources}. Correct the names")
        elif len(set(instances)) < len(instances):
            found.append(f"{place}/signals/{name}: several messages have {sources}. Make them sensors of their own")
    if sensor.utc is not None and not any(stream.states_utc for stream in streams):
        found.append(f"{place}/utc: no message of the sensor has {sensor.utc.source}. Correct the name")
    found += [
        f"{place}: message {stream.message.name} has no {source}, which a condition needs. Make it a sensor of its own"
        for stream in streams
        for source in stream.sources
        if stream.message is not None and source.name not in stream.message.signals
    ]
    return found


def _plan_sensor(spec: VehicleSpec, sensor: SensorSpec, dbcs: Mapping[str, DbcText]) -> SensorPlan:
    if sensor.dbc is None:
        return SensorPlan(sensor, (_plan_stream(sensor, None, 0),))
    dbc = dbcs[sensor.dbc]
    names = frozenset(message.name for message in sensor.messages)
    try:
        layouts = parse_messages(dbc.text, names, spec.dbc[sensor.dbc].by_parameter_group)
    except CanDatabaseError as error:
        raise InvalidSpecError(spec.name, (f"sensors/{sensor.name}: {dbc.origin}: {error}",)) from error
    streams = tuple(_plan_stream(sensor, layouts[message.name], message.instance) for message in sensor.messages)
    if problems := _unserved(sensor, streams):
        raise InvalidSpecError(spec.name, tuple(f"{problem} (database {dbc.origin})" for problem in problems))
    return SensorPlan(sensor, streams)


def plan_sensors(spec: VehicleSpec, dbcs: Mapping[str, DbcText]) -> tuple[SensorPlan, ...]:
    """Match a spec with its CAN databases; sensors come in the order of their names.

    Args:
        spec: The vehicle spec.
        dbcs: Text of each database that the spec names.

    Raises:
        InvalidSpecError: When a database lacks a message or signal that the spec asks for.
    """
    return tuple(_plan_sensor(spec, spec.sensors[name], dbcs) for name in sorted(spec.sensors))


def _frames(stream: StreamPlan, message: MessageLayout, batch: Batch) -> NDArray[np.intp]:
    can_id = batch.columns["can_id"]
    known = can_id == message.frame_id if message.id_mask == _WHOLE_ID else message.matches_id(can_id)
    rows = np.flatnonzero(known)
    keep = batch.columns["is_extended"][rows] == message.is_extended
    if stream.bus is not None:
        keep &= batch.columns["bus"][rows] == stream.bus
    kept: NDArray[np.intp] = rows[keep]
    return kept


def _field(columns: Mapping[str, NDArray[Any]], source: SourceRef) -> NDArray[np.float64] | None:
    array = columns.get(source.name)
    if array is None or array.dtype.kind not in "biuf":
        return None
    if source.column is None:
        return array.astype(np.float64).reshape(len(array), -1)[:, 0] if array.size == len(array) else None
    if array.ndim == 1:
        return array.astype(np.float64) if source.column == 0 else None
    return array[:, source.column].astype(np.float64) if source.column < array.shape[1] else None


def select(stream: StreamPlan, batch: Batch) -> Messages:
    """Take a stream's messages out of one batch of its channel."""
    if stream.message is not None:
        if not all(name in batch.columns for name in _CAN_COLUMNS):
            return Messages(np.empty(0, np.int64), {}, (f"CAN frames ({stream.message.name})",))
        rows = _frames(stream, stream.message, batch)
        return Messages(batch.t_ns[rows], {name: batch.columns[name][rows] for name in _CAN_COLUMNS})
    found = {str(source): _field(batch.columns, source) for source in stream.sources}
    missing = tuple(name for name, values in found.items() if values is None)
    return Messages(batch.t_ns, {name: values for name, values in found.items() if values is not None}, missing)


def _joined(parts: Sequence[Messages]) -> Messages:
    if not parts:
        return Messages(np.empty(0, np.int64), {})
    missing = tuple(dict.fromkeys(name for part in parts for name in part.missing))
    names = [name for name in parts[0].columns if all(name in part.columns for part in parts)]
    columns = {name: stacked([part.columns[name] for part in parts]) for name in names}
    return Messages(np.concatenate([part.t_ns for part in parts]), columns, missing)


def gather(
    recording: Recording, plans: Sequence[SensorPlan], watch: Callable[[Batch], None] | None = None
) -> tuple[tuple[Messages, ...], ...]:
    """Read a recording once and keep the messages that the plans ask for.

    Args:
        recording: An opened recording.
        plans: Sensors and their messages.
        watch: Sees every batch of every channel; without it only the channels that the plans use are read.

    Returns:
        For each plan, for each of its streams, the messages.

    Raises:
        UnreadableRecordingError: When nothing useful can be read.
    """
    parts: list[list[list[Messages]]] = [[[] for _ in plan.streams] for plan in plans]
    wanted: dict[str, list[tuple[StreamPlan, list[Messages]]]] = {}
    for plan, lists in zip(plans, parts, strict=True):
        for stream, pieces in zip(plan.streams, lists, strict=True):
            wanted.setdefault(stream.channel, []).append((stream, pieces))
    for batch in recording.batches(None if watch else wanted.keys()):
        if watch:
            watch(batch)
        for stream, pieces in wanted.get(batch.channel, ()):
            found = select(stream, batch)
            if len(found.t_ns) or found.missing:
                pieces.append(found)
    return tuple(tuple(_joined(pieces) for pieces in lists) for lists in parts)


def decode_sources(stream: StreamPlan, messages: Messages) -> dict[SourceRef, Decoded]:
    """Give each needed value of a stream's messages; a source that the channel lacks is absent from the result."""
    count = len(messages.t_ns)
    if stream.message is not None:
        if not count:
            return {}
        names = tuple(source.name for source in stream.sources)
        decoded = decode_signals(stream.message, names, messages.columns["data"], messages.columns["length"])
        return {source: decoded[source.name] for source in stream.sources}
    whole, none = np.ones(count, dtype=np.bool_), np.zeros(count, dtype=np.bool_)
    return {
        source: Decoded(messages.columns[str(source)], whole, none)
        for source in stream.sources
        if str(source) in messages.columns
    }
