"""Where the sun stands by NOAA's own equations: an oracle that shares nothing with `fleet_assets.geo.sun`."""

import math
from datetime import UTC, datetime, timedelta


def noaa_elevation(t_ns: int, lat: float, lon: float) -> float:
    """Elevation of the sun by NOAA's general solar position calculations, good to about half a degree."""
    at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=t_ns // 1000)
    hour = at.hour + at.minute / 60 + at.second / 3600
    g = 2 * math.pi / 365 * (at.timetuple().tm_yday - 1 + (hour - 12) / 24)
    equation = 229.18 * (
        0.000075
        + 0.001868 * math.cos(g)
        - 0.032077 * math.sin(g)
        - 0.014615 * math.cos(2 * g)
        - 0.040849 * math.sin(2 * g)
    )
    declination = (
        0.006918 - 0.399912 * math.cos(g) + 0.070257 * math.sin(g) - 0.006758 * math.cos(2 * g)
        + 0.000907 * math.sin(2 * g) - 0.002697 * math.cos(3 * g) + 0.00148 * math.sin(3 * g)
    )  # fmt: skip
    angle = math.radians((hour * 60 + equation + 4 * lon) / 4 - 180)
    phi = math.radians(lat)
    sine = math.sin(phi) * math.sin(declination) + math.cos(phi) * math.cos(declination) * math.cos(angle)
    return math.degrees(math.asin(sine))
