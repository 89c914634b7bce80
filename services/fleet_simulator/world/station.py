"""A weather station in the middle of a world: what it would have reported, as a file that anyone can read.

Here belongs the file. The sky itself is in `weather.py`. A station is part of the world and no truth about drives.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from services.fleet_simulator.drive_truth import NS_PER_S
from services.fleet_simulator.world.road_network import RoadNetwork
from services.fleet_simulator.world.weather import weather_at

_HOUR_NS: Final = 3600 * NS_PER_S
_COLUMNS: Final = (
    "station", "time", "lat_deg", "lon_deg", "temperature_degc", "visibility_m", "precipitation_mm_h", "wind_mps",
    "wind_from_deg", "humidity_percent",
)  # fmt: skip


def station_csv(network: RoadNetwork, windows_ns: Iterable[tuple[int, int]], rules: Mapping[str, Any]) -> bytes:
    """Hourly reports around some stretches of time; it has no hygrometer.

    Args:
        network: The world; the station stands at the origin of its plane.
        windows_ns: First and last time of each stretch, UTC; the hour before and the hour after are told too.
        rules: Key `weather` of the policy `simulation`.
    """
    hours = sorted(
        {hour for first, last in windows_ns for hour in range(first // _HOUR_NS - 1, -(-last // _HOUR_NS) + 2)}
    )
    lat, lon = network.frame.lat_deg, network.frame.lon_deg
    climate = int(network.digest[:12], 16)
    lines = [",".join(_COLUMNS)]
    for hour in hours:
        sky = weather_at(climate, lat, lon, hour * _HOUR_NS, rules)
        time = datetime.fromtimestamp(hour * 3600, tz=UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        told = (sky.temperature_c, sky.visibility_m, sky.rain_mm_h, sky.wind_mps, sky.wind_from_deg)
        lines.append(",".join([f"sim_{network.digest[:8]}", time, f"{lat:.5f}", f"{lon:.5f}", *map(str, told), ""]))
    return "\n".join([*lines, ""]).encode()
