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
from fleet_assets.ingestion.sensor_sync_and_format_conversion.transport import Assembler, assembler
from fleet_assets.policy.vehicles import Condition, InvalidSpecError, SensorSpec, SourceRef, VehicleSpec

_CAN_COLUMNS: Final = ("data", "length")
_WHOLE_ID: Final = 0xFFFFFFFF
_VALUES_SHOWN: Final = 4


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
        incomplete: Messages of several frames of which some frames are missing; they are not among the columns.
    """

    t_ns: NDArray[np.int64]
    columns: Mapping[str, NDArray[Any]]
    missing: tuple[str, ...] = ()
    incomplete: int = 0


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


def _width(stream: StreamPlan, message: MessageLayout) -> int:
    """Bytes of a message that the wanted signals, and those that select them, reach into."""
    wanted, widest = [source.name for source in stream.sources], 0
    while wanted:
        signal = message.signals[wanted.pop()]
        widest = max(widest, signal.bytes_needed)
        if signal.multiplexer is not None:
            wanted.append(signal.multiplexer.selector)
    return widest


class Selector:
    """Takes one stream's messages out of the batches of its channel, front to back.

    Args:
        sensor: The sensor.
        stream: One of its streams.
    """

    def __init__(self, sensor: SensorSpec, stream: StreamPlan) -> None:
        self._stream = stream
        self._assembler: Assembler | None = None
        if stream.message is not None and sensor.transport is not None:
            self._assembler = assembler(sensor.transport, stream.message, _width(stream, stream.message))

    def take(self, batch: Batch) -> Messages:
        """The messages that a batch holds, or that end in it."""
        if self._assembler is None or not all(name in batch.columns for name in _CAN_COLUMNS):
            return select(self._stream, batch)
        on_bus = np.ones(len(batch), dtype=np.bool_)
        if self._stream.bus is not None:
            on_bus = batch.columns["bus"] == self._stream.bus
        found = self._assembler.take(batch, np.flatnonzero(on_bus))
        return Messages(found.t_ns, {"data": found.data, "length": found.length})

    def finish(self) -> int:
        """How many messages stayed incomplete, at the end of the recording."""
        return 0 if self._assembler is None else self._assembler.finish()


def _joined(parts: Sequence[Messages], incomplete: int) -> Messages:
    if not parts:
        return Messages(np.empty(0, np.int64), {}, (), incomplete)
    missing = tuple(dict.fromkeys(name for part in parts for name in part.missing))
    names = [name for name in parts[0].columns if all(name in part.columns for part in parts)]
    columns = {name: stacked([part.columns[name] for part in parts]) for name in names}
    return Messages(np.concatenate([part.t_ns for part in parts]), columns, missing, incomplete)


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
    parts: list[list[tuple[Selector, list[Messages]]]] = [
        [(Selector(plan.sensor, stream), []) for stream in plan.streams] for plan in plans
    ]
    wanted: dict[str, list[tuple[Selector, list[Messages]]]] = {}
    for plan, lists in zip(plans, parts, strict=True):
        for stream, taken in zip(plan.streams, lists, strict=True):
            wanted.setdefault(stream.channel, []).append(taken)
    for batch in recording.batches(None if watch else wanted.keys()):
        if watch:
            watch(batch)
        for selector, pieces in wanted.get(batch.channel, ()):
            found = selector.take(batch)
            if len(found.t_ns) or found.missing:
                pieces.append(found)
    return tuple(tuple(_joined(pieces, selector.finish()) for selector, pieces in lists) for lists in parts)


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


def never_selected(stream: StreamPlan, messages: Messages, values: Mapping[SourceRef, Decoded]) -> tuple[str, ...]:
    """Which values no message carries because its multiplexers always select others, and what they select."""
    message, found = stream.message, []
    if message is None or not len(messages.t_ns):
        return ()
    for source in [source for source, decoded in values.items() if not decoded.present.any()]:
        multiplexer = message.signals[source.name].multiplexer
        while multiplexer is not None:
            name, wanted = multiplexer.selector, multiplexer.values
            decoded = decode_signals(message, (name,), messages.columns["data"], messages.columns["length"])[name]
            if decoded.present.any():
                seen = np.unique(decoded.values[np.isfinite(decoded.values)])[:_VALUES_SHOWN]
                shown = ", ".join(f"{value:g}" for value in seen) or "nothing"
                found.append(f"{source} (needs {name} {', '.join(map(str, wanted[:_VALUES_SHOWN]))}, found {shown})")
                break
            multiplexer = message.signals[name].multiplexer
    return tuple(found)
