"""One drive's rows of the catalog: what every clip has, how it moves, what it is tagged with, where its bytes are.

Here belongs putting together what `coverage.py`, `figures.py` and `places.py` find out.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from fleet_assets.ingestion.metadata_extraction_and_catalog.coverage import (
    Clips,
    Clocks,
    media_coverage,
    signal_coverage,
    stream_coverage,
)
from fleet_assets.ingestion.metadata_extraction_and_catalog.figures import Grid, figures
from fleet_assets.ingestion.metadata_extraction_and_catalog.places import Track, personal_places, product_places
from fleet_assets.ingestion.metadata_extraction_and_catalog.rules import CatalogRules
from fleet_assets.tables.catalog import CLIP_CATALOG, CLIP_COVERAGE, CLIP_POSITIONS, FIGURES

KEYS: Final = ("drive_id", "day", "depot")
_NOT_A_SIGNAL: Final = frozenset({*KEYS, "clip_id", "t_ns"})
_NS_PER_S: Final = 1e9


@dataclass(frozen=True, slots=True, eq=False)
class DriveTables:
    """What the catalog is made from: rows of one drive.

    Attributes:
        clips: `silver.clips`.
        signals: `silver.signals`.
        samples: `bronze.sensor_samples`: sensor, signal, t_ns, text dictionary-encoded.
        streams: `bronze.sensor_streams`.
        clock_models: `silver.clock_models`.
        tracks: `silver.radar_tracks`: clip_id.
        sweeps: `silver.lidar_sweeps`.
        keyframes: `silver.keyframes`.
        media: `bronze.redacted_media`, of what the audit released.
    """

    clips: pa.Table
    signals: pa.Table
    samples: pa.Table
    streams: pa.Table
    clock_models: pa.Table
    tracks: pa.Table
    sweeps: pa.Table
    keyframes: pa.Table
    media: pa.Table


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a drive's rows come from.

    Attributes:
        drive: Its row of `bronze.drives`.
        signals_uri: Address of its data file in `silver.signals`; None where it has no row.
        dataset_version: Digest over the digests of its files.
    """

    drive: Mapping[str, Any]
    signals_uri: str | None
    dataset_version: str


def catalogue(origin: Origin, tables: DriveTables, rules: CatalogRules, *, grid_ms: int) -> dict[str, pa.Table]:
    """Rows of the catalog's tables for one drive.

    Args:
        origin: Which drive, and where its rows come from.
        tables: Its rows of the other tables; empty where it has nothing of the kind.
        rules: What the policy says.
        grid_ms: Spacing of the grid.

    Returns:
        Conforming rows by table name.
    """
    drive = _Drive(origin, tables, rules, grid_ms)
    keys = {key: origin.drive[key] for key in KEYS}
    names = drive.clips.names
    coverage = [
        {**keys, "clip_id": name, **row} for name, own in zip(names, drive.coverage, strict=True) for row in own
    ]
    personal = personal_places(drive.track, drive.grid, rules)
    places = [{**keys, "clip_id": name, **place} for name, place in zip(names, personal, strict=True) if place]
    return {
        CLIP_CATALOG.name: CLIP_CATALOG.from_rows(drive.rows()),
        CLIP_COVERAGE.name: CLIP_COVERAGE.from_rows(coverage),
        CLIP_POSITIONS.name: CLIP_POSITIONS.from_rows(places),
    }


@dataclass(frozen=True)
class _Drive:
    """One drive on its grid."""

    origin: Origin
    tables: DriveTables
    rules: CatalogRules
    grid_ms: int

    @cached_property
    def clips(self) -> Clips:
        return Clips.of(self.tables.clips)

    @cached_property
    def clocks(self) -> Clocks:
        return Clocks.of(self.tables.clock_models)

    @cached_property
    def t_ns(self) -> NDArray[np.int64]:
        instants: NDArray[np.int64] = self.tables.signals["t_ns"].to_numpy().astype(np.int64)
        return instants

    @cached_property
    def values(self) -> Mapping[str, NDArray[np.float64]]:
        """Signals that have a value anywhere in the drive."""
        signals = self.tables.signals
        return {
            name: signals[name].to_numpy(zero_copy_only=False).astype(np.float64)
            for name in signals.column_names
            if name not in _NOT_A_SIGNAL and signals[name].null_count < signals.num_rows
        }

    @cached_property
    def slices(self) -> list[slice]:
        return self.clips.slices(self.t_ns)

    @cached_property
    def spans(self) -> list[tuple[int, int]]:
        return list(zip(self.clips.starts.tolist(), self.clips.ends.tolist(), strict=True))

    @cached_property
    def grid(self) -> Grid:
        return Grid(self.grid_ms / 1000, [one.start for one in self.slices], [one.stop for one in self.slices])

    @cached_property
    def track(self) -> Track:
        nowhere = np.full(len(self.t_ns), np.nan)
        latitude, longitude = (self.values.get(name, nowhere) for name in self.rules.position)
        return Track(self.t_ns, latitude, longitude)

    @cached_property
    def coverage(self) -> list[list[dict[str, Any]]]:
        """Rows of the coverage of each clip."""
        tables, clips, clocks = self.tables, self.clips, self.clocks
        shares = {
            name: [float(np.isfinite(values[one]).mean()) if one.stop > one.start else 0.0 for one in self.slices]
            for name, values in self.values.items()
        }
        counted = [*signal_coverage(tables.samples, clips, clocks, shares)]
        sampled = frozenset(row["sensor"] for _, row in counted)
        rows: list[list[dict[str, Any]]] = [[] for _ in clips.names]
        for clip, row in (
            *counted,
            *stream_coverage(tables.streams, sampled, clips, clocks),
            *media_coverage("lidar", "sensor", tables.sweeps, clips),
            *media_coverage("camera", "camera", tables.keyframes, clips),
        ):
            rows[clip].append(row)
        return rows

    @cached_property
    def media(self) -> list[tuple[int, int, Mapping[str, Any]]]:
        """Redacted media with the corrected times of their first and last picture."""
        found = []
        for row in self.tables.media.to_pylist():
            ends = np.array([row["first_t_ns"], row["last_t_ns"]], dtype=np.int64)
            first_ns, last_ns = self.clocks.corrected(row["camera"], ends).tolist()
            found.append((first_ns, last_ns, row))
        return found

    def rows(self) -> list[dict[str, Any]]:
        """Rows of `silver.clip_catalog`."""
        moved = figures(self.values, self.rules.figures, self.grid, self.rules.min_share)
        places = product_places(self.track, self.spans, self.grid, self.rules)
        told = {key: self.origin.drive[key] for key in (*KEYS, "vehicle_id", "vehicle_spec", "format")}
        unknown = dict.fromkeys((column.name for column in FIGURES), None)
        rows = []
        for number, (start_ns, end_ns) in enumerate(self.spans):
            span = {"start_ns": start_ns, "end_ns": end_ns, "duration_s": (end_ns - start_ns) / _NS_PER_S}
            row = {**told, "clip_id": self.clips.names[number], **span, **unknown, **moved[number], **places[number]}
            row |= {**self._on_grid(number), **self._recorded(number), "dataset_version": self.origin.dataset_version}
            row["has"] = " ".join(_kinds(row))
            tags = [tag for tag, all_of in self.rules.tags.items() if all(rule.holds(row) for rule in all_of)]
            rows.append({**row, "tags": " ".join(sorted(tags))})
        return rows

    def _on_grid(self, number: int) -> dict[str, Any]:
        """What the clip has on the grid."""
        own = self.slices[number]
        there = [np.isfinite(values[own]) for values in self.values.values()]
        instants = (
            np.flatnonzero(np.logical_or.reduce(there)) if there and own.stop > own.start else np.empty(0, np.int64)
        )
        first, last = (int(self.t_ns[own][instants[at]]) if len(instants) else None for at in (0, -1))
        return {
            "first_t_ns": first,
            "last_t_ns": last,
            "instants": own.stop - own.start,
            "signals": sum(bool(one.any()) for one in there),
            "signals_uri": self.origin.signals_uri if own.stop > own.start else None,
        }

    def _recorded(self, number: int) -> dict[str, Any]:
        """What the sensors gave during the clip, and where its media are."""
        name, (start_ns, end_ns) = self.clips.names[number], self.spans[number]
        own = self.coverage[number]
        of_kind = {kind: [row for row in own if row["kind"] == kind] for kind in ("signal", "lidar", "camera")}
        media = [row for first, last, row in self.media if first < end_ns and last >= start_ns]
        sizes = [(row["width"], row["height"]) for row in (*of_kind["camera"], *media)]
        sweeps, keyframes = (_of_clip(table, name) for table in (self.tables.sweeps, self.tables.keyframes))
        width, height = max(sizes, default=(None, None), key=lambda size: (size[0] * size[1], size))
        return {
            "samples": sum(row["samples"] for row in of_kind["signal"]),
            "tracked": _of_clip(self.tables.tracks, name).num_rows,
            "sweeps": sweeps.num_rows,
            "points": pc.sum(sweeps["points"]).as_py() or 0,
            "keyframes": keyframes.num_rows,
            "cameras": len({row["sensor"] for row in of_kind["camera"]} | {row["camera"] for row in media}),
            "width": width,
            "height": height,
            "media_uris": _joined(row["uri"] for row in media),
            "keyframe_uris": _joined(keyframes["uri"].to_pylist()),
            "lidar_uris": _joined(sweeps["uri"].to_pylist()),
        }


def _of_clip(table: pa.Table, name: str) -> pa.Table:
    return table.filter(pc.equal(table["clip_id"], name))


def _joined(addresses: Iterable[str]) -> str | None:
    return " ".join(sorted(set(addresses))) or None


def _kinds(row: Mapping[str, Any]) -> list[str]:
    """Kinds of data of a clip, in order of text."""
    counts = {"camera": row["cameras"], "lidar": row["sweeps"], "signals": row["signals"], "tracks": row["tracked"]}
    return [kind for kind, count in counts.items() if count]
