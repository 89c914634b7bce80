"""One drive's recording to `bronze.sensor_samples` and `bronze.sensor_streams`, as its vehicle spec maps it.

Here belongs the way from messages to canonical values at the rate they were sent at. Nothing is cleaned or aligned:
wrong values stay, so that the integrity rules can name them. Where UTC comes from is decided in `start_time.py`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fleet_assets.geo.projections import to_geographic
from fleet_assets.ingestion.recordings.dbc import DbcText
from fleet_assets.ingestion.recordings.protocol import NS_PER_S, Recording
from fleet_assets.ingestion.sensor_sync_and_format_conversion.can_decode import Decoded
from fleet_assets.ingestion.sensor_sync_and_format_conversion.gather import (
    Messages,
    SensorPlan,
    StreamPlan,
    decode_sources,
    gather,
    never_selected,
    plan_sensors,
)
from fleet_assets.ingestion.sensor_sync_and_format_conversion.streams import SensorStream, stream_rows
from fleet_assets.policy.canonical import CanonicalSignal, CanonicalSignals
from fleet_assets.policy.vehicles import (
    UTC_OFFSET_ROLE,
    Combine,
    Condition,
    SignalMap,
    SourceRef,
    UtcSource,
    VehicleSpec,
)
from fleet_assets.tables.bronze import SENSOR_SAMPLES
from fleet_assets.tables.schema import PARTITION_COLUMNS

_BOOL: Final = "bool"
Values = Mapping[SourceRef, Decoded]


@dataclass(frozen=True, slots=True)
class Block:
    """Samples of one signal of one instance, in time order."""

    sensor: str
    signal: str
    instance: int
    t_ns: NDArray[np.int64]
    value: NDArray[np.float64]
    valid: NDArray[np.bool_]


def holds(condition: Condition, values: Values) -> NDArray[np.bool_]:
    """Whether a condition holds for each message; never for a message that does not hold its value."""
    value = values[condition.source].values
    held = np.isfinite(value)
    if condition.equals is not None:
        held &= value == condition.equals
    if condition.at_least is not None:
        held &= value >= condition.at_least
    if condition.at_most is not None:
        held &= value <= condition.at_most
    return held


def utc_offset_ns(utc: UtcSource, values: Values, t_ns: NDArray[np.int64]) -> NDArray[np.float64]:
    """UTC stated by each message minus its time stamp, ns; NaN where it states none.

    Whole seconds and the rest are subtracted apart: a float of nanoseconds since 1970 is only good to 256 ns.
    """
    seconds = values[utc.source].values * utc.to_seconds.scale + utc.to_seconds.offset
    whole = np.floor(seconds)
    difference: NDArray[np.float64] = (whole - (t_ns // NS_PER_S).astype(np.float64)) * NS_PER_S
    difference += (seconds - whole) * NS_PER_S - (t_ns % NS_PER_S).astype(np.float64)
    return difference


def _total(body: SignalMap, parts: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    if body.epsg is not None:
        latitude, longitude = to_geographic(body.epsg, parts[0], parts[1])
        return latitude if body.combine is Combine.LATITUDE else longitude
    if body.combine is Combine.NORM:
        with np.errstate(over="ignore"):
            norm: NDArray[np.float64] = np.sqrt(np.sum([part * part for part in parts], axis=0))
        return norm
    if body.combine is Combine.COURSE:
        course: NDArray[np.float64] = np.degrees(np.arctan2(parts[0], parts[1]))
        return course
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return total


def _combined(body: SignalMap, values: Values) -> NDArray[np.float64]:
    total = _total(body, [values[source].values for source in body.sources])
    factor = body.scale / len(body.sources) if body.combine is Combine.MEAN else body.scale
    into = body.to_canonical
    # One factor and one term: rounding then happens once, whatever the spec combines.
    shift = body.offset * into.scale + into.offset + body.shift
    # Adding even a zero shift keeps -0.0, which compares equal but has other bytes, out of the files.
    result = total * (factor * into.scale) + shift
    if body.wrap is None:
        return result
    first, period = body.wrap
    with np.errstate(invalid="ignore"):
        wrapped: NDArray[np.float64] = np.mod(result - first, period) + first
    return wrapped


def _ordered(block: Block) -> Block:
    if len(block.t_ns) < 2 or (np.diff(block.t_ns) >= 0).all():  # noqa: PLR2004 - one message has no order
        return block
    order = np.argsort(block.t_ns, kind="stable")
    return Block(block.sensor, block.signal, block.instance, block.t_ns[order], block.value[order], block.valid[order])


def _signal_block(
    plan: SensorPlan, stream: StreamPlan, signal: CanonicalSignal, t_ns: NDArray[np.int64], values: Values
) -> Block | None:
    """Make one canonical signal of one message; None where the recording's channel lacks a value it needs."""
    sensor = plan.sensor
    body = sensor.signals[signal.name]
    conditions = [condition for condition in (sensor.present_when, sensor.valid_when) if condition]
    if any(source not in values for source in (*body.sources, *(condition.source for condition in conditions))):
        return None
    value = _combined(body, values)
    if signal.type == _BOOL:
        value = np.where(np.isnan(value), value, value != 0.0)
    finite = np.isfinite(value)
    valid = finite & holds(sensor.valid_when, values) if sensor.valid_when else finite
    present = np.logical_and.reduce([values[source].present for source in body.sources])
    if sensor.present_when:
        present &= holds(sensor.present_when, values)
    if body.least_length is not None:
        # What stands has no course: a direction computed from the noise of its velocity would look like one.
        east, north = (values[source].values for source in body.sources)
        present &= ~(np.hypot(east, north) < body.least_length)
    if not finite.all():
        value = np.where(finite, value, np.nan)
    if not present.all():
        t_ns, value, valid = t_ns[present], value[present], valid[present]
    return _ordered(Block(sensor.name, signal.name, stream.instance, t_ns, value, valid))


def _utc_block(
    plan: SensorPlan, stream: StreamPlan, signal: CanonicalSignal, t_ns: NDArray[np.int64], values: Values
) -> Block | None:
    utc, vouched = plan.sensor.utc, plan.sensor.valid_when
    if utc is None or utc.source not in values or (vouched and vouched.source not in values):
        return None
    value = utc_offset_ns(utc, values, t_ns) / NS_PER_S
    finite = np.isfinite(value)
    valid = finite & holds(vouched, values) if vouched else finite
    return _ordered(Block(plan.sensor.name, signal.name, stream.instance, t_ns, value, valid))


def _blocks(
    plan: SensorPlan, messages: Sequence[Messages], canonical: CanonicalSignals, clock_offset_ns: int
) -> tuple[list[Block], int, tuple[str, ...]]:
    """Decode one sensor: its blocks, how many frames end before a signal that they should hold, what is in none."""
    blocks: list[Block | None] = []
    short, unselected = 0, list[str]()
    utc_signal = canonical.with_role(UTC_OFFSET_ROLE)
    for stream, found in zip(plan.streams, messages, strict=True):
        values = decode_sources(stream, found)
        if values:
            short += int(np.logical_or.reduce([decoded.short for decoded in values.values()]).sum())
        unselected += never_selected(stream, found, values)
        t_ns = found.t_ns + clock_offset_ns
        blocks += [_signal_block(plan, stream, canonical.signals[name], t_ns, values) for name in stream.signals]
        if stream.states_utc and utc_signal is not None:
            blocks.append(_utc_block(plan, stream, utc_signal, t_ns, values))
    kept = [block for block in blocks if block is not None and len(block.t_ns)]
    return sorted(kept, key=lambda block: (block.signal, block.instance)), short, tuple(unselected)


def _labels(names: Sequence[str], lengths: Sequence[int]) -> pa.DictionaryArray:
    """One label per block, repeated over its rows, without ever making the strings."""
    distinct = list(dict.fromkeys(names))
    number = {name: index for index, name in enumerate(distinct)}
    codes = np.repeat(np.array([number[name] for name in names], dtype=np.int32), lengths)
    return pa.DictionaryArray.from_arrays(pa.array(codes), pa.array(distinct, pa.string()))


def _samples(blocks: Sequence[Block], drive_columns: Mapping[str, str]) -> pa.Table:
    if not blocks:
        return SENSOR_SAMPLES.empty()
    lengths = [len(block.t_ns) for block in blocks]
    value = np.concatenate([block.value for block in blocks])
    columns: dict[str, Any] = {
        column.name: _labels([drive_columns[column.name]], [sum(lengths)]) for column in PARTITION_COLUMNS
    }
    columns |= {
        "sensor": _labels([block.sensor for block in blocks], lengths),
        "signal": _labels([block.signal for block in blocks], lengths),
        "instance": np.repeat(np.array([block.instance for block in blocks], dtype=np.int32), lengths),
        "t_ns": np.concatenate([block.t_ns for block in blocks]),
        "value": pa.array(value, from_pandas=True),
        "valid": np.concatenate([block.valid for block in blocks]),
    }
    return pa.table([columns[name] for name in SENSOR_SAMPLES.arrow_schema.names], SENSOR_SAMPLES.arrow_schema.names)


def decode_drive(
    recording: Recording,
    spec: VehicleSpec,
    canonical: CanonicalSignals,
    dbcs: Mapping[str, DbcText],
    *,
    clock_offset_ns: int,
    drive_columns: Mapping[str, str],
) -> tuple[pa.Table, pa.Table]:
    """Decode a whole drive in one pass.

    Args:
        recording: The opened recording; closed by the caller.
        spec: Its vehicle spec.
        canonical: The vocabulary.
        dbcs: Text of each CAN database that the spec names.
        clock_offset_ns: UTC minus the recording's own clock.
        drive_columns: Values of the partition columns.

    Returns:
        Samples and streams with the columns of their tables, in the tables' own row order. Text columns of the samples
        are dictionary arrays.

    Raises:
        UnreadableRecordingError: When nothing useful can be read.
        InvalidSpecError: When a CAN database lacks what the spec asks for.
    """
    plans = plan_sensors(spec, dbcs)
    blocks: list[Block] = []
    streams: list[SensorStream] = []
    for plan, messages in zip(plans, gather(recording, plans), strict=True):
        found, short, unselected = _blocks(plan, messages, canonical, clock_offset_ns)
        blocks += found
        streams.append(SensorStream(plan, messages, short, unselected))
    summary = recording.summary()
    rows = stream_rows(streams, recording.channels(), summary, clock_offset_ns, drive_columns)
    return _samples(blocks, drive_columns), rows
