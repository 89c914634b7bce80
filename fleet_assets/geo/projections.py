"""Projected coordinates to geographic ones.

Here belongs what pyproj is asked for. Road graphs and cells are modules of their own.
"""

from functools import lru_cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

WGS84_EPSG: Final = 4326


@lru_cache(maxsize=16)
def _to_wgs84(epsg: int) -> Any:
    from pyproj import Transformer

    return Transformer.from_crs(epsg, WGS84_EPSG, always_xy=True)


def is_projected(epsg: int) -> bool:
    """Whether an EPSG code names a projected reference system (metres east and north)."""
    from pyproj import CRS
    from pyproj.exceptions import CRSError

    try:
        return bool(CRS.from_epsg(epsg).is_projected)
    except CRSError:
        return False


def to_geographic(
    epsg: int, east_m: NDArray[np.float64], north_m: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Latitude and longitude (WGS84, degrees) of projected positions.

    Args:
        epsg: Projected reference system, e.g. 32617 for UTM zone 17 north.
        east_m: Easting, float64[n].
        north_m: Northing, float64[n].

    Returns:
        Latitudes and longitudes, float64[n]; NaN where a position is not finite or outside of the projection.

    Raises:
        pyproj.exceptions.CRSError: When there is no such reference system.
    """
    longitude, latitude = _to_wgs84(epsg).transform(east_m, north_m)
    outside = ~(np.isfinite(longitude) & np.isfinite(latitude))
    return np.where(outside, np.nan, latitude), np.where(outside, np.nan, longitude)
