"""Where the sun stands, so that night is night.

Here belong elevation and azimuth from time and place, and the names of twilight. What a drive makes of them belongs to
the workflows.
"""

from enum import StrEnum
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

_J2000_NS: Final = 946_728_000_000_000_000
"""2000-01-01T12:00:00 UTC, the epoch of the series below, nanoseconds."""
_DAY_NS: Final = 86_400_000_000_000
_CENTURY_DAYS: Final = 36_525.0
_UPPER_LIMB_DEG: Final = -0.833
"""Elevation of the centre at sunrise: 16' of radius and 34' of refraction (NOAA)."""
_CIVIL_TWILIGHT_DEG: Final = -6.0


class Light(StrEnum):
    """Natural light: day, civil twilight (centre of the sun down to 6 degrees below the horizon) or night."""

    DAY = "day"
    TWILIGHT = "twilight"
    NIGHT = "night"


def _declination_and_right_ascension(days: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Apparent declination and right ascension of the sun, radians (Meeus, Astronomical Algorithms, chapter 25)."""
    t = days / _CENTURY_DAYS
    mean_longitude = np.radians(280.46646 + t * (36_000.76983 + 0.0003032 * t))
    anomaly = np.radians(357.52911 + t * (35_999.05029 - 0.0001537 * t))
    centre = (
        np.sin(anomaly) * (1.914602 - t * (0.004817 + 0.000014 * t))
        + np.sin(2 * anomaly) * (0.019993 - 0.000101 * t)
        + np.sin(3 * anomaly) * 0.000289
    )
    node = np.radians(125.04 - 1934.136 * t)
    longitude = mean_longitude + np.radians(centre - 0.00569 - 0.00478 * np.sin(node))
    tilt = np.radians(23.0 + (26.0 + (21.448 - t * (46.815 + t * (0.00059 - t * 0.001813))) / 60.0) / 60.0)
    tilt = tilt + np.radians(0.00256 * np.cos(node))
    declination = np.arcsin(np.sin(tilt) * np.sin(longitude))
    right_ascension = np.arctan2(np.cos(tilt) * np.sin(longitude), np.cos(longitude))
    return declination, right_ascension


def sun_position(
    t_ns: ArrayLike, lat_deg: ArrayLike, lon_deg: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Elevation and azimuth of the sun's centre, without refraction.

    Good to 0.01 degrees from 1950 to 2050 (series of J. Meeus, Astronomical Algorithms, 2nd edition, chapter 25).

    Args:
        t_ns: UTC, nanoseconds since 1970, broadcast against the others.
        lat_deg: WGS84 latitude.
        lon_deg: WGS84 longitude, east positive.

    Returns:
        Elevation above the horizon and azimuth clockwise from north, degrees, float64.
    """
    days = (np.asarray(t_ns, dtype=np.int64) - _J2000_NS) / _DAY_NS
    latitude = np.radians(np.asarray(lat_deg, dtype=np.float64))
    declination, right_ascension = _declination_and_right_ascension(days)
    # Greenwich mean sidereal time (Meeus, equation 12.4).
    t = days / _CENTURY_DAYS
    sidereal = 280.46061837 + 360.98564736629 * days + t * t * (0.000387933 - t / 38_710_000.0)
    hour_angle = np.radians(sidereal + np.asarray(lon_deg, dtype=np.float64)) - right_ascension
    sine = np.sin(latitude) * np.sin(declination) + np.cos(latitude) * np.cos(declination) * np.cos(hour_angle)
    elevation = np.degrees(np.arcsin(np.clip(sine, -1.0, 1.0)))
    south = np.cos(hour_angle) * np.sin(latitude) - np.tan(declination) * np.cos(latitude)
    azimuth = np.degrees(np.arctan2(np.sin(hour_angle), south)) + 180.0
    return elevation, np.mod(azimuth, 360.0)


def light_condition(elevation_deg: ArrayLike) -> NDArray[Any]:
    """Name of the natural light at each elevation of the sun's centre.

    Args:
        elevation_deg: Elevation as `sun_position` gives it.

    Returns:
        Names of `Light`, one per elevation.
    """
    elevation = np.asarray(elevation_deg, dtype=np.float64)
    names = np.where(elevation >= _CIVIL_TWILIGHT_DEG, Light.TWILIGHT.value, Light.NIGHT.value)
    return np.where(elevation >= _UPPER_LIMB_DEG, Light.DAY.value, names)
