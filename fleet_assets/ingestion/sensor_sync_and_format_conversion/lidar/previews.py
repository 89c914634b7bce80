"""Picture of a sweep: what a person looks at before trusting a calibration."""

from pathlib import Path
from typing import Final

import numpy as np

from fleet_assets.evidence.plots import figure, png, title
from fleet_assets.ingestion.sensor_sync_and_format_conversion.lidar.zarr_shards import read_sweeps

MOST_POINTS: Final = 40_000
_SIDE_IN: Final = 6.0
_LOWEST, _HIGHEST = -2.5, 4.0
_MARGIN, _SHOWN_PERCENT = 1.1, 99


def birds_eye(path: Path, sweep: int, label: str, most_m: float) -> bytes | None:
    """A sweep from above, coloured by height over the sensor; None where it has no points near by.

    Args:
        path: File of sweeps.
        sweep: Which one.
        label: What it is of.
        most_m: Largest half width of the picture; what lies further away is not shown.
    """
    for columns in read_sweeps(path, sweep, 1):
        x, y, z = (columns[axis] for axis in ("x", "y", "z"))
        reach = np.maximum(np.abs(x), np.abs(y))
        near = np.flatnonzero(reach <= most_m)
        if not len(near):
            return None
        half_width_m = min(most_m, _MARGIN * float(np.percentile(reach[near], _SHOWN_PERCENT)))
        near = near[:: max(1, -(-len(near) // MOST_POINTS))]
        plot, (axes,) = figure(height=_SIDE_IN, width=_SIDE_IN)
        # Forward is up, left is left.
        axes.scatter(
            -y[near], x[near], c=z[near], s=3.0, linewidths=0, cmap="viridis", vmin=_LOWEST, vmax=_HIGHEST, marker="."
        )
        axes.plot([0], [0], "^", markersize=6, color="red")
        axes.set_xlim(-half_width_m, half_width_m)
        axes.set_ylim(-half_width_m, half_width_m)
        axes.set_aspect("equal")
        axes.set_xlabel("m to the right", fontsize=8)
        axes.set_ylabel("m ahead", fontsize=8)
        title(plot, f"{label}: {len(x)} points")
        return png(plot)
    return None
