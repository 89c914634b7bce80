"""Where a clip is: its cells, coarse for products and fine for personal data, and the light there.

The light is that of the coarse cell's centre, so that the sun's elevation tells no more of the place than the cell.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fleet_assets.geo.cells import cells_of, centre_of
from fleet_assets.geo.sun import light_condition, sun_position
from fleet_assets.ingestion.metadata_extraction_and_catalog.figures import Grid, Values
from fleet_assets.ingestion.metadata_extraction_and_catalog.rules import CatalogRules

_NS_PER_S = 1_000_000_000
_ELEVATION_DECIMALS = 2


@dataclass(frozen=True, slots=True, eq=False)
class Track:
    """Positions of a drive on the grid.

    Attributes:
        t_ns: int64[n], instants, ascending.
        lat_deg: WGS84 latitudes, NaN where there is none.
        lon_deg: WGS84 longitudes.
    """

    t_ns: NDArray[np.int64]
    lat_deg: Values
    lon_deg: Values

    @property
    def known(self) -> NDArray[np.bool_]:
        """Which instants have a position."""
        return np.isfinite(self.lat_deg) & np.isfinite(self.lon_deg)


def product_places(
    track: Track, spans: Sequence[tuple[int, int]], grid: Grid, rules: CatalogRules
) -> list[dict[str, Any]]:
    """Cells, elevation of the sun and light of every clip, as product tables may have them.

    Args:
        track: Positions of the drive.
        spans: First instant and end of each clip, UTC nanoseconds.
        grid: The drive's instants.
        rules: What the policy says.
    """
    known = np.flatnonzero(track.known)
    rows = []
    for (start_ns, end_ns), start, end in zip(spans, grid.starts, grid.ends, strict=True):
        cells = cells_of(track.lat_deg[start:end], track.lon_deg[start:end], rules.product_cells)
        middle_ns = (start_ns + end_ns) // 2
        elevation = _elevation(track, known, middle_ns, rules)
        light = None if elevation is None else str(light_condition([elevation])[0])
        rows.append({"h3_cells": " ".join(cells) or None, "sun_elevation_deg": elevation, "light_condition": light})
    return rows


def _elevation(track: Track, known: NDArray[np.int64], t_ns: int, rules: CatalogRules) -> float | None:
    """Elevation of the sun at the centre of the cell that holds the position nearest in time."""
    if not len(known):
        return None
    after = min(int(np.searchsorted(track.t_ns[known], t_ns)), len(known) - 1)
    nearest = min((known[max(after - 1, 0)], known[after]), key=lambda place: abs(int(track.t_ns[place]) - t_ns))
    if abs(int(track.t_ns[nearest]) - t_ns) > rules.reach_s * _NS_PER_S:
        return None
    (cell,) = cells_of(track.lat_deg[[nearest]], track.lon_deg[[nearest]], rules.product_cells)
    elevation, _ = sun_position(t_ns, *centre_of(cell))
    return round(float(elevation), _ELEVATION_DECIMALS)


def personal_places(track: Track, grid: Grid, rules: CatalogRules) -> list[dict[str, Any] | None]:
    """First and last position and fine cells of every clip; None for one without position."""
    rows: list[dict[str, Any] | None] = []
    for start, end in zip(grid.starts, grid.ends, strict=True):
        there = np.flatnonzero(track.known[start:end]) + start
        if not len(there):
            rows.append(None)
            continue
        first, last = int(there[0]), int(there[-1])
        rows.append(
            {
                "positions": len(there),
                "first_lat_deg": float(track.lat_deg[first]),
                "first_lon_deg": float(track.lon_deg[first]),
                "last_lat_deg": float(track.lat_deg[last]),
                "last_lon_deg": float(track.lon_deg[last]),
                "h3_cells": " ".join(cells_of(track.lat_deg[there], track.lon_deg[there], rules.personal_cells)),
            }
        )
    return rows
