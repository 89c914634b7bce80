"""The clock models of all sensors of a drive, and which sensor's clock is whose.

A sensor that states UTC has a model of its own. The others share the recording's clock, known from the best such sensor
of the spec. All differ by the mean latencies of the spec. A sensor follows a jump when its own time stamps made it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fleet_assets.ingestion.recordings.protocol import NS_PER_S
from fleet_assets.ingestion.sensor_series import Series
from fleet_assets.ingestion.sensor_sync_and_format_conversion.clock_jumps import (
    Jump,
    makes_jump,
    split_at_jumps,
    start_after,
)
from fleet_assets.ingestion.sensor_sync_and_format_conversion.clock_model import (
    ClockBounds,
    ClockSegment,
    TimePairs,
    correct,
    fit_clock,
)
from fleet_assets.ingestion.sensor_sync_and_format_conversion.start_time import (
    EARLIEST_UTC_NS,
    GNSS,
    LATEST_UTC_NS,
    SENSOR,
)
from fleet_assets.policy.canonical import CanonicalSignals
from fleet_assets.policy.vehicles import UTC_OFFSET_ROLE, VehicleSpec


@dataclass(frozen=True, slots=True)
class SensorClock:
    """How one sensor's time stamps become UTC of the measurement.

    Attributes:
        sensor: Sensor of the vehicle spec.
        segments: Stretches by start, at least one; the sensor's mean latency is part of the offsets.
        source: Sensor whose UTC was used, or the drive's time source where none states it.
        repeated_ns: Stretches (first, last time stamp) in which a stamp may stand for two instants.
    """

    sensor: str
    segments: tuple[ClockSegment, ...]
    source: str
    repeated_ns: tuple[tuple[int, int], ...] = ()

    def correct(self, t_ns: NDArray[np.int64]) -> NDArray[np.int64]:
        """Bring int64[n] time stamps to UTC of the measurement."""
        return correct(t_ns, self.segments)


@dataclass(frozen=True, slots=True)
class DriveClocks:
    """Clocks of a drive.

    Attributes:
        sensors: Clock by sensor, sorted by name.
        recording: The recording's clock without any sensor's latency, for the drive's own start and end.
        jumps: Steps seen by each sensor that states UTC.
    """

    sensors: Mapping[str, SensorClock]
    recording: SensorClock
    jumps: Mapping[str, tuple[Jump, ...]]


def drive_clocks(
    series: Sequence[Series],
    spec: VehicleSpec,
    canonical: CanonicalSignals,
    drive: Mapping[str, Any],
    bounds: ClockBounds,
    *,
    sensors: Iterable[str] = (),
) -> DriveClocks:
    """Estimate the clock of every sensor of one drive.

    Args:
        series: The drive's samples.
        spec: Vehicle spec.
        canonical: Canonical signals; the one with role `utc_offset` carries UTC minus time stamp in seconds.
        drive: Row of `bronze.drives`.
        bounds: Policy.
        sensors: Sensors that get a clock although they have no series, for example a radar that saw nothing.
    """
    stamps = _stamps(series)
    # A drive that took its start from elsewhere did so because what sensors state of UTC did not agree.
    trusted = drive["time_source"] in {GNSS, SENSOR}
    pairs = time_pairs(series, spec, canonical) if trusted else {}
    pairs = {name: stated.moving(bounds.max_standing_s) for name, stated in pairs.items()}
    fits = {name: _Fits.of(name, stated, bounds) for name, stated in pairs.items()}
    best = next((fits[name] for name in spec.utc_from if name in fits), None)
    if best is None:
        best = _Fits.without_utc(drive)
    moved = _Followers(stamps)
    known = sorted((stamps.keys() | set(sensors)) & spec.sensors.keys())
    clocks = {
        name: moved.clock(name, fits.get(name, best), spec, stamps.get(name, np.empty(0, np.int64))) for name in known
    }
    recording = moved.clock("", best, spec, np.empty(0, np.int64))
    return DriveClocks(clocks, recording, {name: fit.jumps for name, fit in fits.items()})


def _stamps(series: Sequence[Series]) -> dict[str, NDArray[np.int64]]:
    """Time stamps of each sensor's longest series; signals of one message have the same."""
    longest: dict[str, Series] = {}
    for one in series:
        if one.sensor not in longest or len(one) > len(longest[one.sensor]):
            longest[one.sensor] = one
    return {name: one.t_ns for name, one in longest.items()}


def time_pairs(series: Sequence[Series], spec: VehicleSpec, canonical: CanonicalSignals) -> dict[str, TimePairs]:
    """Plausible pairs of each sensor that states UTC, as it stated them."""
    signal = canonical.with_role(UTC_OFFSET_ROLE)
    found = {}
    for one in series:
        if signal is None or one.signal != signal.name or one.sensor not in spec.sensors:
            continue
        usable = one.usable
        pairs = TimePairs(one.t_ns[usable], np.rint(one.value[usable] * NS_PER_S).astype(np.int64))
        plausible = (pairs.utc_ns >= EARLIEST_UTC_NS) & (pairs.utc_ns <= LATEST_UTC_NS)
        if plausible.any():
            found[one.sensor] = pairs[plausible]
    return found


@dataclass(frozen=True, slots=True)
class _Fits:
    """Fits of the stretches between a reference's jumps; its mean latency is still in the offsets."""

    source: str
    sensor: str | None
    fits: tuple[ClockSegment, ...]
    jumps: tuple[Jump, ...]

    @classmethod
    def of(cls, sensor: str, pairs: TimePairs, bounds: ClockBounds) -> "_Fits":
        stretches, jumps = split_at_jumps(pairs, bounds)
        fits = tuple(fit_clock(part, bounds, start_ns=int(part.t_ns.min())) for part in stretches)
        return cls(sensor, sensor, fits, jumps)

    @classmethod
    def without_utc(cls, drive: Mapping[str, Any]) -> "_Fits":
        start = int(drive["start_ns"])
        return cls(str(drive["time_source"]), None, (ClockSegment(start, start, 0, None, 0.0, None, 0, 0),), ())


class _Followers:
    """Decides which sensors follow which jumps; those whose stamps are too sparse to tell go with the majority."""

    def __init__(self, stamps: Mapping[str, NDArray[np.int64]]) -> None:
        self._stamps = stamps
        self._majorities: dict[Jump, bool] = {}

    def _majority(self, jump: Jump) -> bool:
        if jump not in self._majorities:
            told = [made for t_ns in self._stamps.values() if (made := makes_jump(t_ns, jump)) is not None]
            self._majorities[jump] = 2 * sum(told) >= len(told)
        return self._majorities[jump]

    def _follows(self, t_ns: NDArray[np.int64], jump: Jump) -> bool:
        made = makes_jump(t_ns, jump)
        return self._majority(jump) if made is None else made

    def clock(self, sensor: str, fits: _Fits, spec: VehicleSpec, t_ns: NDArray[np.int64]) -> SensorClock:
        """Join the stretches between the jumps that this sensor follows; the longest one speaks for its group."""
        groups, starts = [[fits.fits[0]]], [fits.fits[0].start_ns]
        steps, repeated = [0], []
        for fit, jump in zip(fits.fits[1:], fits.jumps, strict=True):
            if not self._follows(t_ns, jump):
                groups[-1].append(fit)
                continue
            groups.append([fit])
            starts.append(max(start_after(t_ns, jump), starts[-1]))
            steps.append(jump.step_ns)
            if jump.repeated_ns is not None:
                repeated.append(jump.repeated_ns)
        latency_ns = spec.sensors[sensor].latency_mean_ns if sensor in spec.sensors else 0
        reference_ns = spec.sensors[fits.sensor].latency_mean_ns if fits.sensor is not None else 0
        if len(t_ns):
            starts[0] = int(t_ns[0])
        segments = [
            replace(max(group, key=lambda fit: fit.samples), start_ns=start, jump_ns=step)
            for group, start, step in zip(groups, starts, steps, strict=True)
        ]
        shifted = tuple(segment.shifted(reference_ns - latency_ns) for segment in segments)
        return SensorClock(sensor, shifted, fits.source, tuple(repeated))
