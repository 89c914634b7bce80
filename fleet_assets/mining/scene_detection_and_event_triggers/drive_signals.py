"""A drive's signals as the triggers see them: columns of floats on the grid, from silver and from other tables.

Here belongs joining by time. What is found in them is in `events.py` and `scenes.py`.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from fleet_assets.policy.canonical import CanonicalSignals
from fleet_assets.policy.trigger_runs import ObjectSlot, Times, track_signals
from fleet_assets.policy.triggers import CompiledTriggers, Source
from fleet_assets.policy.vehicles import VehicleSpec

_NS_PER_S: Final = 1_000_000_000
_MOST_NARROW: Final = 65_535
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class DriveSignals:
    """One drive on the grid.

    Attributes:
        t_ns: int64[n], grid instants in order.
        clip_ids: Clip of each instant.
        columns: float64[n] by signal (truth as 0 and 1), NaN where missing.
        given: Signals that the vehicle or another table can give, whether they have values or not.
    """

    t_ns: Times
    clip_ids: pa.ChunkedArray
    columns: Mapping[str, Floats]
    given: frozenset[str]

    def column(self, name: str) -> Floats:
        """A signal; missing throughout where the drive lacks it."""
        return self.columns[name] if name in self.columns else np.full(len(self.t_ns), np.nan)


def floats(column: pa.ChunkedArray) -> Floats:
    """A column of numbers or truth as float64, NaN where null."""
    found: Floats = pc.cast(column, pa.float64()).to_numpy()
    return found


def held(source: Source, rows: pa.Table, t_ns: Times) -> Floats:
    """A source's column at grid instants: the latest row speaks, if it is no older than the source's `hold_s`.

    Args:
        source: The source.
        rows: Rows of its table with the column and `t_ns`, of one drive.
        t_ns: int64[n], grid instants.
    """
    times, values = rows["t_ns"].to_numpy(), floats(rows[source.column])
    if not (times[1:] >= times[:-1]).all():
        order = np.argsort(times, kind="stable")
        times, values = times[order], values[order]
    known = ~np.isnan(values)
    times, values = times[known], values[known]
    if not len(times):
        return np.full(len(t_ns), np.nan)
    index = np.searchsorted(times, t_ns, side="right") - 1
    fresh = (index >= 0) & (t_ns - times[np.maximum(index, 0)] <= round(source.hold_s * _NS_PER_S))
    return np.where(fresh, values[np.maximum(index, 0)], np.nan)


def object_slots(tracks: pa.Table, columns: Sequence[str]) -> list[ObjectSlot]:
    """Slots of a drive's rows of `silver.radar_tracks`, by sensor and slot.

    Args:
        tracks: Rows of one drive.
        columns: Columns wanted.
    """
    if not tracks.num_rows:
        return []
    t_ns, track = tracks["t_ns"].to_numpy(), tracks["track"].to_numpy().astype(np.int64)
    sensor = tracks["sensor"].combine_chunks().dictionary_encode().indices.to_numpy().astype(np.int64)
    number = sensor * (int(track.max()) + 1) + track
    # Rows come in order of time: those of one slot are picked out of them, and the narrow type is sorted by counting.
    narrow = number.astype(np.uint16) if int(number.max()) <= _MOST_NARROW else number
    sorted_by_time = bool((t_ns[1:] >= t_ns[:-1]).all())
    order = np.argsort(narrow, kind="stable") if sorted_by_time else np.lexsort((t_ns, number))
    t_ns, number = t_ns[order], number[order]
    bounds = [0, *(np.flatnonzero(np.diff(number)) + 1).tolist(), len(number)]
    values = {name: floats(tracks[name])[order] for name in columns}
    return [
        ObjectSlot(t_ns[first:end], {name: column[first:end] for name, column in values.items()})
        for first, end in zip(bounds[:-1], bounds[1:], strict=True)
    ]


def signals_given(
    spec: VehicleSpec, canonical: CanonicalSignals, compiled: CompiledTriggers, sources: Collection[str]
) -> frozenset[str]:
    """Signals that a vehicle's spec maps, what is derived of them, and those of sources that have rows.

    Args:
        spec: The vehicle's spec.
        canonical: The fleet's signals.
        compiled: Its triggers.
        sources: Names of sources that have rows for the drive.
    """
    mapped = {name for sensor in spec.sensors.values() for name in sensor.signals}
    tracking = any(canonical.signals[name].track_column is not None for name in mapped if name in canonical.signals)
    derived = {one.name for one in compiled.tracks} if tracking else set()
    if tracking and canonical.lead is not None:
        derived |= {canonical.lead.distance_column, canonical.lead.rel_speed_column}
    return frozenset(mapped | derived | set(sources))


def drive_signals(  # noqa: PLR0917 - what is joined, then what says how
    signals: pa.Table,
    tracks: pa.Table,
    sources: Mapping[str, pa.Table],
    spec: VehicleSpec,
    canonical: CanonicalSignals,
    compiled: CompiledTriggers,
) -> DriveSignals:
    """Join one drive's signals.

    Args:
        signals: Rows of `silver.signals` with the wanted columns, in order of time.
        tracks: Rows of `silver.radar_tracks`.
        sources: Rows by table that a source names.
        spec: Its vehicle spec.
        canonical: The fleet's signals.
        compiled: Its triggers.
    """
    t_ns = signals["t_ns"].to_numpy()
    columns = {name: floats(signals[name]) for name in signals.column_names if name in canonical.signals}
    there = [one for one in compiled.sources if one.table in sources and sources[one.table].num_rows]
    for source in (one for one in there if one.name in compiled.signals):
        columns[source.name] = held(source, sources[source.table], t_ns)
    track_columns = [str(one.track_column) for one in canonical.signals.values() if one.track_column]
    columns |= track_signals(compiled, t_ns, object_slots(tracks, track_columns), columns)
    given = signals_given(spec, canonical, compiled, [one.name for one in there])
    return DriveSignals(t_ns, signals["clip_id"], columns, given)
