"""Pictures of synchronised signals: what a person looks at before trusting a day."""

from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from fleet_assets.evidence.plots import WIDTH_IN, envelope, figure, png, title

MAX_DRIVES: Final = 6
MAX_SIGNALS: Final = 6
PAIRS: Final = 500
IN_THE_TRACK: Final = frozenset({"lat_deg", "lon_deg"})
"""Signals that say nothing as a curve over time, and where a person lives as a number."""
EARTH_KM_PER_DEG: Final = 111.195
"""Kilometres per degree of latitude on a sphere of radius 6371 km; a preview needs no ellipsoid."""


def _drives(signals: pa.Table) -> tuple[list[tuple[str, pa.Table]], int]:
    """The first drives of a partition, and how many there are."""
    names = sorted(pc.unique(signals["drive_id"]).to_pylist())
    return [(name, signals.filter(pc.equal(signals["drive_id"], name))) for name in names[:MAX_DRIVES]], len(names)


def _values(drive: pa.Table, column: str) -> NDArray[np.float64]:
    values: NDArray[np.float64] = drive[column].to_numpy(zero_copy_only=False).astype(np.float64)
    return values


def _told(shown: list[tuple[str, pa.Table]], of: int) -> str:
    if of == 1:
        return f"drive {shown[0][0]}"
    return f"{of} drives" if of == len(shown) else f"the first {len(shown)} of {of} drives"


def _legend(plot: Any, axes: Any, drives: int) -> None:
    if drives > 1:
        plot.legend(*axes.get_legend_handles_labels(), fontsize=6, loc="upper right", ncols=3, frameon=False)


def signal_plot(signals: pa.Table) -> bytes | None:
    """The first measured signals of each drive over time, extremes kept; None without rows.

    Args:
        signals: Rows of `silver.signals` of one partition.
    """
    measured = [
        field.name
        for field in signals.schema
        if pa.types.is_floating(field.type)
        and field.name not in IN_THE_TRACK
        and signals[field.name].null_count < signals.num_rows
    ][:MAX_SIGNALS]
    if not measured:
        return None
    drives, count = _drives(signals)
    plot, axes = figure(height=0.85 + 0.8 * len(measured), rows=len(measured))
    for name, drive in drives:
        t_ns = drive["t_ns"].to_numpy()
        elapsed_s = (t_ns - t_ns[0]) / 1e9
        for row, column in zip(axes, measured, strict=True):
            row.plot(*envelope(elapsed_s, _values(drive, column), PAIRS), linewidth=0.7, label=name)
    for row, column in zip(axes, measured, strict=True):
        row.set_title(column, fontsize=8, loc="left", pad=2)
    axes[-1].set_xlabel("seconds since the drive's start", fontsize=8)
    title(plot, _told(drives, count))
    _legend(plot, axes[0], len(drives))
    return png(plot)


def track_plot(signals: pa.Table) -> bytes | None:
    """Ground tracks, each from its own start; None where no drive has a position.

    Tracks are relative, so that drives of different towns share one picture and no address can be read off it.

    Args:
        signals: Rows of `silver.signals` of one partition.
    """
    drives, count = _drives(signals.filter(pc.is_valid(signals["lat_deg"])))
    if not count:
        return None
    plot, (axes,) = figure(height=5.2, width=WIDTH_IN)
    for name, drive in drives:
        lat, lon = _values(drive, "lat_deg"), _values(drive, "lon_deg")
        step = max(1, len(lat) // (2 * PAIRS))
        north_km = (lat - lat[0]) * EARTH_KM_PER_DEG
        east_km = ((lon - lon[0] + 180) % 360 - 180) * EARTH_KM_PER_DEG * np.cos(np.radians(lat[0]))
        axes.plot(east_km[::step], north_km[::step], linewidth=1.2, label=name)
        axes.plot(east_km[-1:], north_km[-1:], "s", markersize=4, color=axes.lines[-1].get_color())
    axes.plot([0], [0], "o", markersize=5, color="black")
    axes.set_aspect("equal", adjustable="datalim")
    axes.set_xlabel("km east of the start", fontsize=8)
    axes.set_ylabel("km north of the start", fontsize=8)
    title(plot, f"{_told(drives, count)}: from the start (dot) to the end (square)")
    _legend(plot, axes, len(drives))
    return png(plot)


def skew_histogram(clock_models: pa.Table) -> bytes | None:
    """Clock corrections and measured lags between sensors, in milliseconds; None without models.

    Args:
        clock_models: Rows of `silver.clock_models` of one partition.
    """
    if not clock_models.num_rows:
        return None
    offset_ms = clock_models["offset_ns"].to_numpy() / 1e6
    lag_ms = clock_models["skew_ns"].drop_null().to_numpy() / 1e6
    together = np.concatenate([offset_ms, lag_ms, [0.0]])
    edge = max(50.0, 1.1 * float(np.abs(together).max()))
    bins = np.linspace(-edge, edge, 42)  # an odd number of bins, one of them around zero
    plot, (axes,) = figure(height=2.8)
    axes.hist(
        [offset_ms, lag_ms], bins=bins, stacked=True, label=["clock correction", "lag against the redundant sensor"]
    )
    axes.set_xlabel("milliseconds", fontsize=8)
    axes.set_ylabel("sensors", fontsize=8)
    axes.yaxis.get_major_locator().set_params(integer=True)
    title(plot, f"clock models: {len(offset_ms)}, measured lags: {len(lag_ms)}")
    plot.legend(fontsize=7, loc="upper right", ncols=2, frameon=False)
    return png(plot)
