"""Pictures of synchronised signals: what a person looks at before trusting a day."""

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from fleet_assets.ingestion.plots import figure, png

MAX_DRIVES = 6
MAX_SIGNALS = 5
MAX_POINTS = 2000


def _drives(signals: pa.Table) -> list[tuple[str, pa.Table]]:
    names = sorted(pc.unique(signals["drive_id"]).to_pylist())[:MAX_DRIVES]
    return [(name, signals.filter(pc.equal(signals["drive_id"], name))) for name in names]


def _thinned(values: NDArray[Any]) -> NDArray[Any]:
    return values[:: max(1, len(values) // MAX_POINTS)]


def _values(drive: pa.Table, column: str) -> NDArray[np.float64]:
    return _thinned(drive[column].cast(pa.float64()).to_numpy(zero_copy_only=False))


def _seconds(drive: pa.Table) -> NDArray[np.float64]:
    t_ns = drive["t_ns"].to_numpy()
    return _thinned((t_ns - t_ns[0]) / 1e9)


def signal_plot(signals: pa.Table) -> bytes | None:
    """The first measured signals of each drive over time; None without rows."""
    measured = [
        field.name
        for field in signals.schema
        if pa.types.is_floating(field.type) and signals[field.name].null_count < signals.num_rows
    ][:MAX_SIGNALS]
    if not measured:
        return None
    plot, axes = figure(height=1.1 + 1.1 * len(measured), rows=len(measured))
    for row, column in zip(np.atleast_1d(axes), measured, strict=True):
        for name, drive in _drives(signals):
            row.plot(_seconds(drive), _values(drive, column), linewidth=0.7, label=name)
        row.set_ylabel(column, fontsize=7)
    np.atleast_1d(axes)[0].legend(fontsize=6, loc="upper right")
    np.atleast_1d(axes)[-1].set_xlabel("seconds since start")
    return png(plot)


def track_plot(signals: pa.Table) -> bytes | None:
    """Ground tracks; None where no drive has a position."""
    if signals["lat_deg"].null_count == signals.num_rows:
        return None
    plot, axes = figure(width=5.0, height=5.0)
    for name, drive in _drives(signals):
        lat, lon = _values(drive, "lat_deg"), _values(drive, "lon_deg")
        axes.plot(lon, lat, linewidth=1.0, label=name)
        axes.set_aspect(1 / max(np.cos(np.radians(np.nanmean(lat))), 0.1))
    axes.set_xlabel("longitude [deg]")
    axes.set_ylabel("latitude [deg]")
    axes.legend(fontsize=6)
    return png(plot)


def skew_histogram(clock_models: pa.Table) -> bytes | None:
    """Clock offsets and measured lags between sensors, in milliseconds; None without models."""
    if not clock_models.num_rows:
        return None
    plot, axes = figure()
    offset_ms = clock_models["offset_ns"].to_numpy() / 1e6
    axes.hist(offset_ms, bins=20, alpha=0.7, label="clock offset")
    lag = clock_models["skew_ns"].drop_null()
    if len(lag):
        axes.hist(lag.to_numpy() / 1e6, bins=20, alpha=0.7, label="measured lag")
    axes.set_xlabel("milliseconds")
    axes.set_ylabel("sensors")
    axes.legend(fontsize=7)
    return png(plot)
