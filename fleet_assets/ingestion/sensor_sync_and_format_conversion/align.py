"""One drive on one clock and one grid: signals, clips, radar tracks and clock models.

Here belongs which samples are used and where the results go. How clocks are estimated, signals resampled, tracks joined
and lags measured is in the modules of those names.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from fleet_assets.ingestion.recordings.protocol import NS_PER_S
from fleet_assets.ingestion.sensor_series import Series, split_series
from fleet_assets.ingestion.sensor_sync_and_format_conversion.clock_model import ClockBounds
from fleet_assets.ingestion.sensor_sync_and_format_conversion.resample import (
    grid_instants,
    in_order,
    resample,
    unrolled,
)
from fleet_assets.ingestion.sensor_sync_and_format_conversion.sensor_clocks import DriveClocks, drive_clocks
from fleet_assets.ingestion.sensor_sync_and_format_conversion.skew import NS_PER_MS, Lag, measure_lag
from fleet_assets.ingestion.sensor_sync_and_format_conversion.tracks import Track, join_track, lead_vehicle
from fleet_assets.policy.canonical import CanonicalSignals
from fleet_assets.policy.vehicles import VehicleSpec
from fleet_assets.tables.schema import Table
from fleet_assets.tables.silver import CLIPS, CLOCK_MODELS, RADAR_TRACKS

Key = tuple[str, str, int]
"""Sensor, canonical signal, instance."""
Samples = tuple[NDArray[np.int64], NDArray[np.float64]]
"""Corrected times (strictly increasing) and finite values."""


@dataclass(frozen=True, slots=True)
class _Grid:
    """Instants of one drive and the clips that they form."""

    drive: Mapping[str, Any]
    instants: NDArray[np.int64]
    spacing_ns: int
    clip_ns: int

    @property
    def partition(self) -> dict[str, Any]:
        return {name: self.drive[name] for name in ("drive_id", "day", "depot")}

    @property
    def end_ns(self) -> int:
        """End of the last cell, exclusive."""
        return int(self.instants[-1]) + self.spacing_ns

    def clip_ids(self, t_ns: NDArray[np.int64]) -> pa.Array:
        """Clip of each time, which lies on or after the first instant."""
        number = (t_ns - self.instants[0]) // self.clip_ns if len(t_ns) else np.empty(0, np.int64)
        names = pa.array([f"{self.drive['drive_id']}-{index:04d}" for index in range(int(number.max(initial=-1)) + 1)])
        return names.cast(pa.string()).take(pa.array(number))

    def with_partition(self, columns: Mapping[str, Any], rows: int) -> pa.Table:
        """A table of these columns, each row with drive, day and depot."""
        first = pa.array(np.zeros(rows, dtype=np.int32))
        known = {name: pa.array([value] if rows else [], pa.string()) for name, value in self.partition.items()}
        constant = {name: pa.DictionaryArray.from_arrays(first, values) for name, values in known.items()}
        return pa.table({**constant, **columns})


def align_drive(  # noqa: PLR0917 - what is aligned, then what it is aligned by
    samples: pa.Table,
    streams: pa.Table,
    findings: pa.Table,
    spec: VehicleSpec,
    canonical: CanonicalSignals,
    drive: Mapping[str, Any],
    signals: Table,
    *,
    policy: Mapping[str, Any],
) -> dict[str, pa.Table]:
    """Bring one drive onto corrected time and the fleet's grid.

    Samples that a finding of severity `cut` covers, or that the sensor does not vouch for, are not used. The grid's
    instants are multiples of the canonical spacing in UTC from the corrected start to the corrected end of the drive.
    Where two sensors give one signal, the one that the spec names first has priority and the other fills its nulls.

    Args:
        samples: Its rows of `bronze.sensor_samples`, in any order; text columns may be dictionary-encoded.
        streams: Its rows of `bronze.sensor_streams`.
        findings: Rows of `bronze.integrity_findings`; those of other drives are ignored.
        spec: Its vehicle spec.
        canonical: Canonical signals.
        drive: Its row of `bronze.drives`.
        signals: The table `silver.signals`.
        policy: The document `sync`.

    Returns:
        Conforming rows by table name: signals, clips, radar tracks within the grid, clock models. A vehicle that gives
        no signals has clips, and no rows in the table of signals.
    """
    series = split_series(samples)
    active = streams.filter(pc.greater(streams["messages"], 0))["sensor"].to_pylist()
    bounds = ClockBounds.from_policy(policy)
    clocks = drive_clocks(series, spec, canonical, drive, bounds, sensors=active)
    used = _usable_samples(series, findings, clocks, drive)
    extent = clocks.recording.correct(np.array([drive["start_ns"], drive["end_ns"]], dtype=np.int64))
    spacing_ns = canonical.grid_ms * NS_PER_MS
    instants = grid_instants(int(extent[0]), int(extent[1]), spacing_ns)
    grid = _Grid(drive, instants, spacing_ns, policy["clip_s"] * NS_PER_S)
    tracks = _tracks(used, spec, canonical)
    lags = _measured_lags(used, spec, canonical, policy["skew"])
    given = signals.conform(_signals(used, tracks, spec, canonical, grid)) if spec.gives_signals else signals.empty()
    return {
        signals.name: given,
        CLIPS.name: _clips(grid),
        RADAR_TRACKS.name: RADAR_TRACKS.conform(_track_rows(tracks, canonical, grid)),
        CLOCK_MODELS.name: _clock_rows(clocks, lags, grid),
    }


def _usable_samples(
    series: Sequence[Series], findings: pa.Table, clocks: DriveClocks, drive: Mapping[str, Any]
) -> dict[Key, Samples]:
    mine = pc.and_(pc.equal(findings["severity"], "cut"), pc.equal(findings["drive_id"], drive["drive_id"]))
    columns = ["sensor", "signal", "instance", "t_ns", "end_ns"]
    cuts: dict[str, list[dict[str, Any]]] = {}
    for cut in findings.filter(mine).select(columns).to_pylist():
        cuts.setdefault(cut["sensor"], []).append(cut)
    used: dict[Key, Samples] = {}
    for one in series:
        if one.sensor not in clocks.sensors:
            continue
        keep = one.usable & ~_covered(one, cuts.get(one.sensor, []))
        t_ns = clocks.sensors[one.sensor].correct(one.t_ns[keep])
        used[one.sensor, one.signal, one.instance] = in_order(t_ns, one.value[keep])
    return used


def _covered(one: Series, cuts: Sequence[Mapping[str, Any]]) -> NDArray[np.bool_]:
    """Which samples lie in a stretch cut from their sensor for this signal and instance; both ends count."""
    depth = np.zeros(len(one) + 1, dtype=np.int64)
    for cut in cuts:
        if cut["signal"] in {None, one.signal} and cut["instance"] in {None, one.instance}:
            depth[np.searchsorted(one.t_ns, cut["t_ns"])] += 1
            depth[np.searchsorted(one.t_ns, cut["end_ns"], side="right")] -= 1
    return np.cumsum(depth[:-1]) > 0


def _givers(name: str, used: Mapping[Key, Samples], spec: VehicleSpec) -> list[tuple[str, Samples]]:
    """Sensors that give a canonical signal, in the order of the spec."""
    return [(sensor, used[sensor, name, 0]) for sensor in spec.sensors if (sensor, name, 0) in used]


def _signals(
    used: Mapping[Key, Samples],
    tracks: Sequence[Track],
    spec: VehicleSpec,
    canonical: CanonicalSignals,
    grid: _Grid,
) -> pa.Table:
    derived = lead_vehicle(tracks, canonical.lead, canonical, grid.instants) if canonical.lead else {}
    columns: dict[str, Any] = {"clip_id": grid.clip_ids(grid.instants), "t_ns": grid.instants}
    for signal in canonical.on_grid:
        value = np.full(len(grid.instants), np.nan)
        for _, (t_ns, given) in _givers(signal.name, used, spec):
            value = np.where(np.isnan(value), resample(signal, grid.instants, t_ns, given), value)
        if signal.name in derived:
            value = np.where(np.isnan(value), derived[signal.name], value)
        absent = np.isnan(value)
        columns[signal.name] = pa.array(value > 0.5 if signal.type == "bool" else value, mask=absent)  # noqa: PLR2004
    return grid.with_partition(columns, len(grid.instants))


def _clips(grid: _Grid) -> pa.Table:
    if not len(grid.instants):
        return CLIPS.empty()
    starts = np.arange(int(grid.instants[0]), grid.end_ns, grid.clip_ns, dtype=np.int64)
    ends = np.minimum(starts + grid.clip_ns, grid.end_ns)
    columns = {"clip_id": grid.clip_ids(starts), "start_ns": starts, "end_ns": ends}
    return CLIPS.conform(grid.with_partition(columns, len(starts)))


def _tracks(used: Mapping[Key, Samples], spec: VehicleSpec, canonical: CanonicalSignals) -> list[Track]:
    names = [name for name, signal in canonical.signals.items() if signal.track_column is not None]
    slots: dict[tuple[str, int], dict[str, Samples]] = {}
    for (sensor, signal, instance), samples in used.items():
        if signal in names and len(samples[0]):
            slots.setdefault((sensor, instance), {})[signal] = samples
    order = {sensor: place for place, sensor in enumerate(spec.sensors)}
    keys = sorted(slots, key=lambda slot: (order[slot[0]], slot[1]))
    return [join_track(sensor, instance, slots[sensor, instance], names) for sensor, instance in keys]


def _track_rows(tracks: Sequence[Track], canonical: CanonicalSignals, grid: _Grid) -> pa.Table:
    """Rows of all tracks that lie in a clip."""
    parts = []
    for track in tracks if len(grid.instants) else ():
        inside = (track.t_ns >= grid.instants[0]) & (track.t_ns < grid.end_ns)
        t_ns = track.t_ns[inside]
        columns: dict[str, Any] = {
            "clip_id": grid.clip_ids(t_ns),
            "t_ns": t_ns,
            "sensor": pa.repeat(pa.scalar(track.sensor), len(t_ns)),
            "track": np.full(len(t_ns), track.instance, dtype=np.int32),
        }
        for name, value in track.columns.items():
            columns[str(canonical.signals[name].track_column)] = pa.array(value[inside], mask=np.isnan(value[inside]))
        parts.append(grid.with_partition(columns, len(t_ns)))
    return pa.concat_tables(parts) if parts else RADAR_TRACKS.empty()


def _measured_lags(
    used: Mapping[Key, Samples], spec: VehicleSpec, canonical: CanonicalSignals, policy: Mapping[str, Any]
) -> dict[str, Lag]:
    """Lag of each sensor that gives the second signal of a redundant pair; the first pair that says one counts."""
    lags: dict[str, Lag] = {}
    for first, second in spec.redundant_pairs:
        givers, others = _givers(first, used, spec), _givers(second, used, spec)
        if not givers or not others or givers[0][0] == others[0][0] or others[0][0] in lags:
            continue
        maps = [canonical.signals[name] for name in (first, second)]
        (t_a, a), (t_b, b) = givers[0][1], others[0][1]
        pair = ((t_a, unrolled(maps[0], a)), (t_b, unrolled(maps[1], b)))
        lag = measure_lag(*pair, max_gap_s=min(signal.max_gap_s or 0.0 for signal in maps), policy=policy)
        if lag is not None:
            lags[others[0][0]] = lag
    return lags


def _clock_rows(clocks: DriveClocks, lags: Mapping[str, Lag], grid: _Grid) -> pa.Table:
    names = ("start_ns", "reference_ns", "offset_ns", "offset_se_ns", "drift_ppm", "drift_se_ppm", "jump_ns", "samples")
    rows = []
    for sensor, clock in clocks.sensors.items():
        lag = lags.get(sensor)
        measured = {"skew_ns": lag.lag_ns, "skew_se_ns": lag.se_ns} if lag else {"skew_ns": None, "skew_se_ns": None}
        for number, segment in enumerate(clock.segments):
            stretch = {name: getattr(segment, name) for name in names}
            stated = {"sensor": sensor, "segment": number, "source": clock.source}
            rows.append({**grid.partition, **stated, **stretch, **measured})
    return CLOCK_MODELS.from_rows(rows)
