"""When a drive took place: UTC of its start and end, and where that was learned.

Here belongs one offset for the whole drive, good enough to name its day and to lay its samples on UTC. Drift, jumps and
each sensor's own clock are estimated later, from the samples.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fleet_assets.ingestion.recordings.dbc import DbcText
from fleet_assets.ingestion.recordings.protocol import NS_PER_S, Recording
from fleet_assets.ingestion.sensor_sync_and_format_conversion.decode import holds, utc_offset_ns
from fleet_assets.ingestion.sensor_sync_and_format_conversion.gather import (
    Selector,
    SensorPlan,
    decode_sources,
    plan_sensors,
)
from fleet_assets.policy.vehicles import VehicleSpec

GNSS: Final = "gnss"
SENSOR: Final = "sensor"
CONTAINER: Final = "container"
GIVEN: Final = "given"
UTC_CLOCK: Final = "utc"

PROBE_NS: Final = 120 * NS_PER_S
"""Length of the stretch, from the first usable UTC on, whose median gives the offset."""
AGREEMENT_NS: Final = 2 * NS_PER_S
"""Offsets inside one such span agree; GNSS messages come at 1 Hz or faster."""
MIN_AGREEING: Final = 2
MIN_AGREEING_SHARE: Final = 0.2
"""Share of the stated offsets that must agree; a clock that stands still agrees with itself for a moment only."""
EARLIEST_UTC_NS: Final = 1_262_304_000 * NS_PER_S
"""2010-01-01. Receivers without a fix count from 1980, recorders without a battery from 1970; no fleet is older."""
LATEST_UTC_NS: Final = 4_102_444_800 * NS_PER_S
"""2100-01-01."""


class NoClockError(Exception):
    """A recording that states no UTC anywhere; the message says how to give it."""


@dataclass(frozen=True, slots=True)
class DriveClock:
    """A drive's place in time.

    Attributes:
        start_ns: Corrected start, UTC.
        end_ns: Corrected end, UTC.
        clock_offset_ns: UTC minus the recording's own clock.
        time_source: ``gnss``, ``sensor``, ``container`` or ``given``.
    """

    start_ns: int
    end_ns: int
    clock_offset_ns: int
    time_source: str


def _plausible(utc_ns: NDArray[np.float64]) -> NDArray[np.bool_]:
    inside: NDArray[np.bool_] = (utc_ns >= EARLIEST_UTC_NS) & (utc_ns <= LATEST_UTC_NS)
    return inside


def _stated_offsets(recording: Recording, plan: SensorPlan) -> NDArray[np.float64]:
    """Offsets, in ns, that a sensor states over the first stretch in which it states any; reads no further."""
    sensor = plan.sensor
    streams = [(stream, Selector(sensor, stream)) for stream in plan.streams if stream.states_utc]
    found: list[NDArray[np.float64]] = []
    first_t_ns: int | None = None
    for batch in recording.batches({sensor.channel}):
        if first_t_ns is not None and int(batch.t_ns[0]) - first_t_ns > PROBE_NS:
            break
        for stream, selector in streams:
            messages = selector.take(batch)
            values = decode_sources(stream, messages)
            if sensor.utc is None or sensor.utc.source not in values:
                continue
            offset = utc_offset_ns(sensor.utc, values, messages.t_ns)
            usable = _plausible(offset + messages.t_ns.astype(np.float64))
            if sensor.valid_when is not None:
                usable &= holds(sensor.valid_when, values)
            found.append(offset[usable])
            if first_t_ns is None and usable.any():
                first_t_ns = int(messages.t_ns[usable][0])
    return np.concatenate(found) if found else np.empty(0)


def agreed_offset_ns(offsets: NDArray[np.float64]) -> float | None:
    """Median of the offsets that agree best, or None where too few agree.

    The densest span of `AGREEMENT_NS` is taken first: neither a receiver that counted from a wrong date before its fix
    nor one whose clock stands still then moves the result.

    Args:
        offsets: UTC minus recording clock, ns, float64[n].
    """
    if len(offsets) < MIN_AGREEING:
        return None
    ordered = np.sort(offsets)
    ends = np.searchsorted(ordered, ordered + AGREEMENT_NS, side="right")
    counts = ends - np.arange(len(ordered))
    first = int(np.argmax(counts))
    if counts[first] < max(MIN_AGREEING, MIN_AGREEING_SHARE * len(ordered)):
        return None
    return float(np.median(ordered[first : ends[first]]))


def _sensor_offset(recording: Recording, spec: VehicleSpec, dbcs: Mapping[str, DbcText]) -> tuple[int, str] | None:
    plans = {plan.sensor.name: plan for plan in plan_sensors(spec, dbcs)} if spec.utc_from else {}
    for name in spec.utc_from:
        offset = agreed_offset_ns(_stated_offsets(recording, plans[name]))
        if offset is not None:
            sensor = plans[name].sensor
            # The time stamp is later than the instant that the sensor speaks of, by its latency.
            return round(offset) + sensor.latency_mean_ns, GNSS if sensor.kind == GNSS else SENSOR
    return None


def _container_offset(recording: Recording, first_ns: int) -> int | None:
    stated = recording.container_start_ns
    if stated is None or not EARLIEST_UTC_NS <= stated <= LATEST_UTC_NS:
        return None
    return 0 if recording.clock == UTC_CLOCK else stated - first_ns


def probe_clock(
    recording: Recording, spec: VehicleSpec, dbcs: Mapping[str, DbcText], given_start_ns: int | None = None
) -> DriveClock:
    """Find out when a drive took place, from the best source that it has.

    GNSS and other sensors' UTC come first (the spec's `utc_from`, in its order), then the container's own start, then
    the start that a person gave. Only the channels that state UTC are read, and only their first minutes.

    Args:
        recording: The opened recording.
        spec: Its vehicle spec.
        dbcs: Text of each CAN database that the spec names.
        given_start_ns: UTC of the first message as a person states it.

    Raises:
        NoClockError: When no source states UTC.
        UnreadableRecordingError: When nothing useful can be read.
    """
    first_ns, last_ns = recording.extent_ns()
    source, offset = CONTAINER, _container_offset(recording, first_ns)
    if stated := _sensor_offset(recording, spec, dbcs):
        offset, source = stated
    if offset is None and given_start_ns is not None:
        source, offset = GIVEN, given_start_ns - first_ns
    if offset is None:
        asked = ", ".join(spec.utc_from) or "none named in clock/utc_from"
        raise NoClockError(
            f"no UTC in this recording: sensors that should state it ({asked}) state no usable one, and the container "
            "has no plausible start. Give the time of the first message, e.g. --start 2024-05-01T08:00:00Z"
        )
    return DriveClock(first_ns + offset, last_ns + offset, offset, source)
