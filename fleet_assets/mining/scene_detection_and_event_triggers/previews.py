"""Pictures of events and scenes: what a person looks at before trusting a day."""

from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fleet_assets.evidence.plots import envelope, figure, png, title

MAX_DRIVES: Final = 4
PAIRS: Final = 500
_NS_PER_S: Final = 1e9
_PALETTE: Final = ("#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377", "#bbbbbb")


def _drives(signals: pa.Table) -> list[str]:
    names: list[str] = sorted(pc.unique(signals["drive_id"]).to_pylist())
    return names[:MAX_DRIVES]


def window_plot(signals: pa.Table, windows: pa.Table, signal: str, label: str) -> bytes | None:
    """A signal of the first drives over time, their events or scenes shaded by kind; None without rows.

    Args:
        signals: `drive_id`, `t_ns` and the signal, of one partition.
        windows: `drive_id`, `start_ns`, `end_ns` and the column that colours them.
        signal: Column drawn.
        label: Column of `windows` that names them.
    """
    names = _drives(signals) if signals.num_rows else []
    if not names:
        return None
    plot, axes = figure(height=1.0 + 1.3 * len(names), rows=len(names))
    kinds = sorted(pc.unique(windows[label]).to_pylist()) if windows.num_rows else []
    colors = {kind: _PALETTE[index % len(_PALETTE)] for index, kind in enumerate(kinds)}
    shown = {}
    for axis, name in zip(axes, names, strict=True):
        own = signals.filter(pc.equal(signals["drive_id"], name))
        start_ns = own["t_ns"][0].as_py()
        seconds = (own["t_ns"].to_numpy() - start_ns) / _NS_PER_S
        values = pc.cast(own[signal], pa.float64()).to_numpy().astype(np.float64)
        axis.plot(*envelope(seconds, values, PAIRS), color="#333333", linewidth=0.8)
        axis.set_ylabel(name[:18], fontsize=6)
        for row in windows.filter(pc.equal(windows["drive_id"], name)).to_pylist():
            begin, end = ((row[key] - start_ns) / _NS_PER_S for key in ("start_ns", "end_ns"))
            shown[row[label]] = axis.axvspan(begin, end, color=colors[row[label]], alpha=0.45, linewidth=0)
    axes[-1].set_xlabel("seconds of the drive", fontsize=8)
    title(plot, f"{signal}, {windows.num_rows} windows")
    if shown:
        plot.legend(
            list(shown.values()), list(shown), fontsize=6, loc="upper right", ncols=min(7, len(shown)), frameon=False
        )
    return png(plot)
