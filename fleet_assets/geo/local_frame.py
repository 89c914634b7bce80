"""A plane that touches the Earth: metres east and north of a point, good over a city.

Here belongs the map between WGS84 and that plane. Projected reference systems are in `projections.py`.
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

# WGS84 defining parameters (NGA.STND.0036).
_SEMI_MAJOR_M: Final = 6_378_137.0
_FLATTENING: Final = 1.0 / 298.257223563
_ECCENTRICITY_SQUARED: Final = _FLATTENING * (2.0 - _FLATTENING)


@dataclass(frozen=True, slots=True)
class LocalFrame:
    """East and north along the ellipsoid's radii of curvature at an origin.

    Scale is exact at the origin and off by less than 1e-4 within 10 km of it up to 60 degrees of latitude.

    Attributes:
        lat_deg: WGS84 latitude of the origin.
        lon_deg: WGS84 longitude of the origin.
    """

    lat_deg: float
    lon_deg: float

    @property
    def _metres_per_radian(self) -> tuple[float, float]:
        sine = np.sin(np.radians(self.lat_deg))
        root = 1.0 - _ECCENTRICITY_SQUARED * sine * sine
        prime_vertical = _SEMI_MAJOR_M / np.sqrt(root)
        meridian = prime_vertical * (1.0 - _ECCENTRICITY_SQUARED) / root
        return float(meridian), float(prime_vertical * np.cos(np.radians(self.lat_deg)))

    def to_geographic(self, east_m: ArrayLike, north_m: ArrayLike) -> tuple[NDArray[Any], NDArray[Any]]:
        """Latitude and longitude, degrees."""
        per_lat, per_lon = self._metres_per_radian
        lat = self.lat_deg + np.degrees(np.asarray(north_m, dtype=np.float64) / per_lat)
        lon = self.lon_deg + np.degrees(np.asarray(east_m, dtype=np.float64) / per_lon)
        return lat, lon

    def to_plane(self, lat_deg: ArrayLike, lon_deg: ArrayLike) -> tuple[NDArray[Any], NDArray[Any]]:
        """East and north of the origin, metres; longitudes are taken the short way around."""
        per_lat, per_lon = self._metres_per_radian
        turn = np.mod(np.asarray(lon_deg, dtype=np.float64) - self.lon_deg + 180.0, 360.0) - 180.0
        north = np.radians(np.asarray(lat_deg, dtype=np.float64) - self.lat_deg) * per_lat
        return np.radians(turn) * per_lon, north
