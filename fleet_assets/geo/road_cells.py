"""Cells along lines: which H3 cells a road or a drive touches, place by place, and which lie beside it.

Here belongs what the road network needs of cells. Sets of cells and their outlines are in `cells.py`.
"""

from collections.abc import Iterable

import numpy as np
from numpy.typing import ArrayLike, NDArray


def cell_of_each(lat_deg: ArrayLike, lon_deg: ArrayLike, resolution: int) -> list[str]:
    """Cell of each place, in order.

    Args:
        lat_deg: Latitudes, finite.
        lon_deg: Longitudes.
        resolution: H3 resolution, 0 to 15.
    """
    import h3

    return [
        h3.latlng_to_cell(lat, lon, resolution)
        for lat, lon in zip(np.asarray(lat_deg).tolist(), np.asarray(lon_deg).tolist(), strict=True)
    ]


def with_neighbours(cells: Iterable[str]) -> set[str]:
    """The cells and all that touch them."""
    import h3

    return {near for cell in cells for near in h3.grid_disk(cell, 1)}


def densified(
    lat_deg: NDArray[np.float64], lon_deg: NDArray[np.float64], step_deg: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """A line of places with further ones between, so that none is farther than a step from the next.

    Args:
        lat_deg: Latitudes.
        lon_deg: Longitudes; a line over the date line goes the short way.
        step_deg: Step, degrees of either coordinate.
    """
    if len(lat_deg) < 2:  # noqa: PLR2004 - a line has two ends
        return lat_deg, lon_deg
    east = np.mod(np.diff(lon_deg) + 180.0, 360.0) - 180.0
    north = np.diff(lat_deg)
    pieces = np.maximum(np.ceil(np.maximum(np.abs(east), np.abs(north)) / step_deg).astype(np.int64), 1)
    which = np.repeat(np.arange(len(pieces)), pieces)
    first = np.concatenate(([0], np.cumsum(pieces)[:-1]))
    share = (np.arange(len(which)) - first[which]) / pieces[which]
    lat = np.append(lat_deg[which] + share * north[which], lat_deg[-1])
    lon = np.append(lon_deg[which] + share * east[which], lon_deg[-1])
    return lat, np.mod(lon + 180.0, 360.0) - 180.0
