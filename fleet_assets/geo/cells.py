"""H3 cells: hexagons that divide the Earth, coarse enough to tell a district or fine enough to tell a house.

Here belong cells of positions and positions of cells. Which resolution is fit for whom is the policies' business.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def cells_of(lat_deg: NDArray[np.float64], lon_deg: NDArray[np.float64], resolution: int) -> list[str]:
    """Cells that hold positions, each once, in order of text.

    Args:
        lat_deg: WGS84 latitudes, float64[n]; positions with a NaN are left out.
        lon_deg: WGS84 longitudes, float64[n].
        resolution: H3 resolution, 0 (4 million km^2) to 15 (0.9 m^2).
    """
    import h3

    known = np.isfinite(lat_deg) & np.isfinite(lon_deg)
    places = np.unique(np.column_stack([lat_deg[known], lon_deg[known]]), axis=0)
    return sorted({h3.latlng_to_cell(lat, lon, resolution) for lat, lon in places.tolist()})


def centre_of(cell: str) -> tuple[float, float]:
    """Latitude and longitude (WGS84, degrees) of a cell's centre.

    Raises:
        ValueError: When the text is no cell.
    """
    import h3

    lat, lon = h3.cell_to_latlng(cell)
    return float(lat), float(lon)


def outline_of(cell: str) -> Sequence[tuple[float, float]]:
    """Corners of a cell as (latitude, longitude), degrees, counter-clockwise.

    Raises:
        ValueError: When the text is no cell.
    """
    import h3

    return [(float(lat), float(lon)) for lat, lon in h3.cell_to_boundary(cell)]
