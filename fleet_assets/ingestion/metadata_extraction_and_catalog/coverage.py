"""How much of each sensor, signal, camera and lidar lies in every clip, and when.

Here belongs counting on corrected time. What the counts mean for a clip as a whole is in `clips.py`.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fleet_assets.ingestion.sensor_sync_and_format_conversion.clock_model import ClockSegment, correct

Instants = NDArray[np.int64]
_NS_PER_S: Final = 1e9
_DECIMALS: Final = 6
_COLUMNS: Final = ("samples", "rate_hz", "first_t_ns", "last_t_ns", "share", "width", "height")
_NOTHING: Final[Mapping[str, Any]] = dict.fromkeys(_COLUMNS)


@dataclass(frozen=True, slots=True, eq=False)
class Clips:
    """A drive's clips in order of time.

    Attributes:
        names: Clip ids.
        starts: First instants, UTC nanoseconds.
        ends: Ends, exclusive.
    """

    names: Sequence[str]
    starts: Instants
    ends: Instants

    @classmethod
    def of(cls, table: pa.Table) -> "Clips":
        """From rows of `silver.clips` of one drive."""
        ordered = table.sort_by("start_ns")
        starts, ends = (ordered[name].to_numpy().astype(np.int64) for name in ("start_ns", "end_ns"))
        return cls(ordered["clip_id"].to_pylist(), starts, ends)

    def slices(self, t_ns: Instants) -> list[slice]:
        """Where the instants of each clip lie among ascending instants."""
        first, after = np.searchsorted(t_ns, self.starts), np.searchsorted(t_ns, self.ends)
        return [slice(int(start), int(end)) for start, end in zip(first, after, strict=True)]


@dataclass(frozen=True, slots=True)
class Clocks:
    """Clock models of a drive's sensors.

    Attributes:
        segments: Sensor → its stretches.
    """

    segments: Mapping[str, Sequence[ClockSegment]]

    @classmethod
    def of(cls, models: pa.Table) -> "Clocks":
        """From rows of `silver.clock_models` of one drive."""
        found: dict[str, list[ClockSegment]] = {}
        for row in models.sort_by([("sensor", "ascending"), ("segment", "ascending")]).to_pylist():
            segment = ClockSegment(**{name: row[name] for name in ClockSegment.__slots__})
            found.setdefault(row["sensor"], []).append(segment)
        return cls(found)

    def corrected(self, sensor: str, t_ns: Instants) -> Instants:
        """Instants of a sensor on corrected time, as they are where it has no model."""
        segments = self.segments.get(sensor)
        return t_ns if not segments or not len(t_ns) else correct(t_ns, segments)


def _counted(t_ns: Instants) -> dict[str, Any]:
    """Number, mean rate, first and last of some instants of a clip."""
    if not len(t_ns):
        return {**_NOTHING, "samples": 0}
    first, last = int(t_ns.min()), int(t_ns.max())
    rate = (len(t_ns) - 1) * _NS_PER_S / (last - first) if last > first else None
    return {
        **_NOTHING,
        "samples": len(t_ns),
        "rate_hz": None if rate is None else round(rate, _DECIMALS),
        "first_t_ns": first,
        "last_t_ns": last,
    }


def signal_coverage(
    samples: pa.Table, clips: Clips, clocks: Clocks, shares: Mapping[str, Sequence[float]]
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Samples of every (sensor, signal) in every clip.

    Args:
        samples: Rows of `bronze.sensor_samples` of one drive in their order, columns sensor, signal and t_ns, text
            dictionary-encoded.
        clips: Its clips.
        clocks: Its clocks.
        shares: Signal on the grid → share of each clip's instants with a value.

    Yields:
        Number of the clip, and values of a row of `silver.clip_coverage`.
    """
    if not samples.num_rows:
        return
    encoded = [samples[name].combine_chunks() for name in ("sensor", "signal")]
    codes = [column.indices.to_numpy().astype(np.int64) for column in encoded]
    names = [column.dictionary.to_pylist() for column in encoded]
    pairs = codes[0] * len(names[1]) + codes[1]
    bounds = [0, *(np.flatnonzero(np.diff(pairs)) + 1).tolist(), len(pairs)]
    t_ns = samples["t_ns"].to_numpy()
    parts: dict[tuple[str, str], list[Instants]] = {}
    for start, end in zip(bounds, bounds[1:], strict=False):
        pair = (names[0][codes[0][start]], names[1][codes[1][start]])
        parts.setdefault(pair, []).append(t_ns[start:end])
    for (sensor, signal), found in parts.items():
        ordered = np.sort(clocks.corrected(sensor, np.sort(np.concatenate(found))))
        for clip, part in enumerate(clips.slices(ordered)):
            share = shares[signal][clip] if signal in shares else None
            yield clip, {"kind": "signal", "sensor": sensor, "name": signal, **_counted(ordered[part]), "share": share}


def stream_coverage(
    streams: pa.Table, counted: frozenset[str], clips: Clips, clocks: Clocks
) -> Iterator[tuple[int, dict[str, Any]]]:
    """How long sensors whose messages carry no signal sent during every clip.

    Args:
        streams: Rows of `bronze.sensor_streams` of one drive.
        counted: Sensors whose samples are counted already.
        clips: Its clips.
        clocks: Its clocks.
    """
    for row in streams.to_pylist():
        sensor, first_ns, last_ns = row["sensor"], row["first_t_ns"], row["last_t_ns"]
        if sensor in counted or not row["messages"] or first_ns is None or last_ns is None:
            continue
        first_ns, last_ns = clocks.corrected(sensor, np.array([first_ns, last_ns], dtype=np.int64)).tolist()
        for clip, (start_ns, end_ns) in enumerate(zip(clips.starts.tolist(), clips.ends.tolist(), strict=True)):
            begin, end = max(first_ns, start_ns), min(last_ns, end_ns)
            seen = {"share": 0.0}
            if begin <= end:
                share = round(min(1.0, (end - begin) / (end_ns - start_ns)), _DECIMALS)
                seen = {"share": share, "first_t_ns": begin, "last_t_ns": end, "rate_hz": row["rate_hz"]}
            yield clip, {"kind": "stream", "sensor": sensor, "name": sensor, **_NOTHING, **seen}


def media_coverage(kind: str, sensor_column: str, rows: pa.Table, clips: Clips) -> Iterator[tuple[int, dict[str, Any]]]:
    """Sweeps of lidars, or keyframes of cameras, in every clip that has any.

    Args:
        kind: `lidar` or `camera`.
        sensor_column: Column with the sensor.
        rows: Rows of `silver.lidar_sweeps` or `silver.keyframes` of one drive.
        clips: Its clips.
    """
    sized = {"width", "height"} <= set(rows.column_names)
    by: dict[tuple[int, str], list[dict[str, Any]]] = {}
    place = {name: number for number, name in enumerate(clips.names)}
    for row in rows.to_pylist():
        by.setdefault((place[row["clip_id"]], row[sensor_column]), []).append(row)
    for (clip, sensor), own in by.items():
        size = {name: max(row[name] for row in own) for name in ("width", "height")} if sized else {}
        counted = _counted(np.array([row["t_ns"] for row in own], dtype=np.int64))
        yield clip, {"kind": kind, "sensor": sensor, "name": sensor, **counted, **size}
