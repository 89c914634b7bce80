"""Weather by place and hour, made from a seed: smooth in time, the same for everybody who asks for the same place.

Here belongs the sky. The sun is in `fleet_assets.geo.sun`; what weather does to sensors belongs to the sensors.
"""

from collections.abc import Mapping
from dataclasses import replace
from math import cos, erf, exp, floor, log, pi, sqrt
from typing import Any, Final

import numpy as np

from services.fleet_simulator.drive_truth import NS_PER_S, Weather

_STREAM: Final = 110
_HOUR_NS: Final = 3600 * NS_PER_S
_YEAR_H: Final = 365.2425 * 24.0
_CELL_DEG: Final = 0.5
"""Places within such a cell share their weather."""
_CLOUD, _RAIN, _FOG, _WARMTH, _WIND, _DIRECTION = range(6)
_KNOT_H: Final = {_CLOUD: 8, _RAIN: 3, _FOG: 5, _WARMTH: 36, _WIND: 6, _DIRECTION: 12}
"""Hours between independent draws: how long each lasts."""
_RAIN_FROM_CLOUD: Final = 0.8
_FREEZING_C: Final = 0.5
_OVERCAST, _CLOUDY = 0.85, 0.35
_RAIN_MM_H: Final = 0.1
_FOG_M: Final = 1000.0
"""Visibility below which it is fog (WMO, International Cloud Atlas)."""


class _Place:
    """The random fields of one place."""

    def __init__(self, seed: int, lat_deg: float, lon_deg: float) -> None:
        cell = (floor(lat_deg / _CELL_DEG), floor(lon_deg / _CELL_DEG))
        self._key = [seed, _STREAM, cell[0] + 1000, cell[1] + 1000]

    def _knot(self, field: int, number: int) -> float:
        return float(np.random.default_rng([*self._key, field, number + 2**31]).standard_normal())

    def normal(self, field: int, hour: float) -> float:
        """A smooth function of time whose value at any time is standard normal."""
        place = hour / _KNOT_H[field]
        number = floor(place)
        share = place - number
        weight = share * share * (3.0 - 2.0 * share)
        mixed = (1.0 - weight) * self._knot(field, number) + weight * self._knot(field, number + 1)
        return mixed / sqrt((1.0 - weight) ** 2 + weight**2)


def _share_above(value: float) -> float:
    """Share of a standard normal above a value."""
    return 0.5 * (1.0 - erf(value / sqrt(2.0)))


def _temperature(rules: Mapping[str, Any], lat_deg: float, lon_deg: float, hour: float, cloud: float) -> float:
    """Climate by latitude, season and time of day, degrees Celsius, without the day-to-day change."""
    sine = abs(lat_deg) / 90.0
    mean = rules["equator_c"] - rules["poleward_c"] * sine
    season = cos(2.0 * pi * (hour / _YEAR_H % 1.0 - rules["warmest_day"] / 365.0)) * (1.0 if lat_deg >= 0 else -1.0)
    day = cos(2.0 * pi * ((hour + lon_deg / 15.0) % 24.0 - 15.0) / 24.0)
    return float(mean + rules["season_c"] * sine * season + rules["day_c"] * (1.0 - 0.6 * cloud) * day)


def weather_at(seed: int, lat_deg: float, lon_deg: float, t_ns: int, rules: Mapping[str, Any]) -> Weather:
    """Weather at a place and time.

    Rain falls for the policy's share of time with exponentially distributed intensity; so does fog.

    Args:
        seed: The fleet's seed.
        lat_deg: WGS84 latitude.
        lon_deg: WGS84 longitude.
        t_ns: UTC.
        rules: Key `weather` of the policy.
    """
    place, hour = _Place(seed, lat_deg, lon_deg), t_ns / _HOUR_NS
    sky = place.normal(_CLOUD, hour)
    rain = _rain(place, hour, rules)
    cloud = max(min(1.0, max(0.0, (1.0 - _share_above(sky) - 0.2) / 0.6)), min(1.0, rain / 0.3))
    temperature = _temperature(rules, lat_deg, lon_deg, hour, cloud) + rules["change_c"] * place.normal(_WARMTH, hour)
    # The road dries within an hour or two after rain.
    wet = min(1.0, sum(_rain(place, hour - back, rules) * exp(-back / 0.7) for back in (0.0, 0.25, 0.5, 1.0, 1.5)))
    fog = _share_above(place.normal(_FOG, hour)) / rules["fog_share"]
    clear = rules["clear_visibility_m"] / (1.0 + rules["rain_dims_per_mm_h"] * rain)
    visibility = clear if fog >= 1.0 else max(rules["least_visibility_m"], _FOG_M * fog)
    if 1.0 <= fog < 2.0:  # noqa: PLR2004 - haze between fog and clear air
        visibility = exp(log(_FOG_M) + (log(max(clear, _FOG_M)) - log(_FOG_M)) * (fog - 1.0))
    wind = rules["wind_mps"] * exp(rules["wind_spread"] * place.normal(_WIND, hour))
    condition = _condition(rain, cloud, min(visibility, clear), temperature)
    return Weather(
        condition=condition,
        rain_mm_h=round(rain, 1),
        visibility_m=round(min(visibility, clear) / 10.0) * 10,
        cloud=round(cloud, 2),
        temperature_c=round(temperature, 1),
        wind_mps=round(wind, 1),
        wind_from_deg=round(rules["wind_from_deg"] + 80.0 * place.normal(_DIRECTION, hour)) % 360,
        wetness=round(wet, 2),
    )


def rained_on(weather: Weather, rain_mm_h: float, rules: Mapping[str, Any]) -> Weather:
    """The same weather with at least so much rain (snow where it freezes) and a wet road.

    Args:
        weather: What it would be.
        rain_mm_h: Rain.
        rules: Key `weather` of the policy.
    """
    rain = max(weather.rain_mm_h, rain_mm_h)
    visibility = rules["clear_visibility_m"] / (1.0 + rules["rain_dims_per_mm_h"] * rain)
    return replace(
        weather,
        condition="snow" if weather.temperature_c <= _FREEZING_C else "rain",
        rain_mm_h=round(rain, 1),
        visibility_m=min(weather.visibility_m, round(visibility / 10.0) * 10),
        cloud=max(weather.cloud, _OVERCAST),
        wetness=max(weather.wetness, round(min(1.0, rain), 2)),
    )


def _rain(place: _Place, hour: float, rules: Mapping[str, Any]) -> float:
    falls = _RAIN_FROM_CLOUD * place.normal(_CLOUD, hour) + sqrt(1.0 - _RAIN_FROM_CLOUD**2) * place.normal(_RAIN, hour)
    share = _share_above(falls) / rules["rain_share"]
    return float(-rules["rain_mean_mm_h"] * log(max(share, 1e-6))) if share < 1.0 else 0.0


def _condition(rain: float, cloud: float, visibility_m: float, temperature_c: float) -> str:
    if rain >= _RAIN_MM_H:
        return "snow" if temperature_c <= _FREEZING_C else "rain"
    if visibility_m < _FOG_M:
        return "fog"
    return "overcast" if cloud >= _OVERCAST else "cloudy" if cloud >= _CLOUDY else "clear"
