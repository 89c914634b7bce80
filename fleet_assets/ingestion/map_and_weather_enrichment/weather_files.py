"""Weather files: text tables of stations by the policy's layouts, and Open-Meteo's archive response.

Here belongs reading one file that nobody vouches for into observations in SI units. Which of them a drive gets is in
`weather_join.py`. Amounts of precipitation are told per hour.
"""

import csv
import json
import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from fleet_assets.policy.units import UnknownUnitError, conversion

FIELDS: Final = {
    "temperature_degc": "degC",
    "visibility_m": "m",
    "precipitation_mm_h": "mm",
    "wind_mps": "m/s",
    "wind_from_deg": "deg",
    "humidity_percent": "%",
}
RANGES: Final = {
    "temperature_degc": (-100.0, 70.0),
    "visibility_m": (0.0, 1e6),
    "precipitation_mm_h": (0.0, 1000.0),
    "wind_mps": (0.0, 150.0),
    "wind_from_deg": (0.0, 360.0),
    "humidity_percent": (0.0, 110.0),
}
"""What is possible on Earth; other values are slips and left out (WMO, World Weather and Climate Extremes Archive)."""
OPEN_METEO: Final = "open_meteo"
_HEAD_BYTES: Final = 16384
_NS_PER_S: Final = 1_000_000_000
_MAX_LAT: Final = 90.0
_MAX_LON: Final = 180.0
_COMPACT: Final = {8: "%Y%m%d", 10: "%Y%m%d%H", 12: "%Y%m%d%H%M"}


class UnusableWeatherError(ValueError):
    """A weather file that cannot be used; the message names file, rule, value and remedy."""


@dataclass(frozen=True)
class WeatherFile:
    """What a file states.

    Attributes:
        provider: Layout that it was read by.
        rows: Observations: station, t_ns, lat_deg, lon_deg and the fields; by station and time, each time once.
        duplicates: Rows left out by (station, day), since an earlier row has their time.
        broken: Rows that could not be read.
    """

    provider: str
    rows: list[dict[str, Any]]
    duplicates: Mapping[tuple[str, str], int] = field(default_factory=dict)
    broken: int = 0


def read_weather(
    path: Path, name: str, policy: Mapping[str, Any], stations: Mapping[str, tuple[float, float]]
) -> WeatherFile:
    """Read one file.

    Args:
        path: The file.
        name: Its name as given; some files are named by their station.
        policy: The document `weather` of the policies.
        stations: Places of stations whose files do not state them.

    Raises:
        UnusableWeatherError: When it is too large, of no known layout, mostly broken, or of an unknown place.
    """
    size = path.stat().st_size
    if size > policy["limits"]["max_bytes"]:
        raise UnusableWeatherError(
            f"{name}: {size} bytes (allowed: {policy['limits']['max_bytes']}). Split it by station or year."
        )
    with path.open("rb") as stream:
        head = stream.read(_HEAD_BYTES).removeprefix(b"\xef\xbb\xbf")
    if head.lstrip().startswith((b"{", b"[")):
        return _counted(name, OPEN_METEO, _open_meteo(path, name, policy), policy)
    first = head.split(b"\n", 1)[0].decode("utf-8", "replace").rstrip("\r")
    for provider, layout in policy["layouts"].items():
        if re.search(layout["first"], first):
            places = {str(station): (place[0], place[1]) for station, place in stations.items()}
            return _counted(name, provider, _table(path, name, layout, places), policy)
    known = ", ".join([*policy["layouts"], OPEN_METEO])
    raise UnusableWeatherError(
        f"{name}: first line {first[:80]!r} is of no known layout ({known}). Describe it in policies/weather.yaml."
    )


def _counted(name: str, provider: str, rows: Iterator[dict[str, Any] | None], policy: Mapping[str, Any]) -> WeatherFile:
    """Observations in order; None counts as a broken row."""
    found: dict[tuple[str, int], dict[str, Any]] = {}
    duplicates: Counter[tuple[str, str]] = Counter()
    broken = total = 0
    for row in rows:
        total += 1
        if total > policy["limits"]["max_rows"]:
            raise UnusableWeatherError(f"{name}: more than {policy['limits']['max_rows']} rows. Split it by year.")
        if row is None:
            broken += 1
        elif (key := (row["station"], row["t_ns"])) in found:
            duplicates[row["station"], day_of(row["t_ns"])] += 1
        else:
            found[key] = row
    if not found or broken > policy["limits"]["max_broken_share"] * total:
        raise UnusableWeatherError(
            f"{name}: {broken} of {total} rows cannot be read as {provider} (allowed: a share of "
            f"{policy['limits']['max_broken_share']}, and at least one sound row). Download it again."
        )
    return WeatherFile(provider, [found[key] for key in sorted(found)], dict(duplicates), broken)


def day_of(t_ns: int) -> str:
    """UTC day."""
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=t_ns // _NS_PER_S)).strftime("%Y-%m-%d")


def _table(
    path: Path, name: str, layout: Mapping[str, Any], places: Mapping[str, tuple[float, float]]
) -> Iterator[dict[str, Any] | None]:
    own = Path(name).name.split(".")[0].removeprefix("hourly_")
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as stream:
        try:
            for cells in _cells(stream, layout):
                yield _observation(cells, layout, own, places, name)
        except csv.Error as error:
            raise UnusableWeatherError(f"{name}: {error}. Download it again.") from error


def _cells(stream: Any, layout: Mapping[str, Any]) -> Iterator[Mapping[str, str | None]]:
    if "fixed" in layout:
        patterns = {column: re.compile(pattern) for column, pattern in layout.get("patterns", {}).items()}
        for line in stream:
            cells: dict[str, str | None] = {
                column: line[first:last].strip() for column, (first, last) in layout["fixed"].items()
            }
            for column, pattern in patterns.items():
                if matched := pattern.search(line):
                    cells[column] = ",".join(matched.groups())
            yield cells
        return
    yield from csv.DictReader(stream, fieldnames=layout.get("columns"), delimiter=layout["delimiter"])


def _observation(
    cells: Mapping[str, str | None],
    layout: Mapping[str, Any],
    own: str,
    places: Mapping[str, tuple[float, float]],
    name: str,
) -> dict[str, Any] | None:
    """One row; None when it has no time or no place on Earth."""
    station = (cells.get(layout["station"]) or "").strip() if "station" in layout else own
    t_ns = _time_ns([cells.get(column) or "" for column in layout["time"]])
    if t_ns is None or not station:
        return None
    if "lat" in layout:
        scale = layout.get("degrees_scale", 1.0)
        lat, lon = (_number(cells.get(layout[key]) or "") for key in ("lat", "lon"))
        lat, lon = (None if value is None else round(value * scale, 6) for value in (lat, lon))
    elif station in places:
        lat, lon = places[station]
    else:
        raise UnusableWeatherError(
            f"{name}: the place of station {station!r} is not known. Add it to your own policies/weather_stations.yaml."
        )
    if lat is None or lon is None or abs(lat) > _MAX_LAT or abs(lon) > _MAX_LON:
        return None
    values = {told: _value(cells, rule, told) for told, rule in layout["fields"].items()}
    return {"station": station, "t_ns": t_ns, "lat_deg": lat, "lon_deg": lon, **dict.fromkeys(FIELDS), **values}


def _value(cells: Mapping[str, str | None], rule: Mapping[str, Any], told: str) -> float | None:
    text = (cells.get(rule["column"]) or "").strip()
    parts = text.split(",")
    if "part" in rule:
        text = parts[rule["part"]].strip() if rule["part"] < len(parts) else ""
    if text in rule.get("missing", ()):
        return None
    value = _number(text)
    if value is None:
        return None
    value *= rule.get("scale", 1.0)
    if "per_hours_part" in rule:
        hours = _number(parts[rule["per_hours_part"]])
        if not hours:
            return None
        value /= hours
    turned = conversion(rule["unit"], FIELDS[told])
    return _possible(told, value * turned.scale + turned.offset)


def _possible(told: str, value: float) -> float | None:
    low, high = RANGES[told]
    return round(value, 3) if low <= value <= high else None


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _time_ns(parts: list[str]) -> int | None:
    """UTC of the cells that tell it: one whole time, a date and an hour, or year, month, day, hour and minute."""
    try:
        if len(parts) == 1:
            text = parts[0].strip()
            form = _COMPACT.get(len(text)) if text.isdecimal() else None
            time = datetime.strptime(text, form) if form else datetime.fromisoformat(text)  # noqa: DTZ007 - see below
        elif len(parts) == 2:  # noqa: PLR2004 - date and hour
            time = datetime.fromisoformat(parts[0]) + timedelta(hours=int(parts[1]))
        else:
            time = datetime(*(int(float(part or "0")) for part in parts))  # type: ignore[arg-type]  # noqa: DTZ001
    except (ValueError, OverflowError):
        return None
    time = time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    return int((time - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds()) * _NS_PER_S


def _open_meteo(path: Path, name: str, policy: Mapping[str, Any]) -> Iterator[dict[str, Any] | None]:
    """Places of an archive response: one, or a list of them."""
    try:
        document = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise UnusableWeatherError(f"{name}: not valid JSON ({error}). Download it again.") from error
    for place in document if isinstance(document, list) else [document]:
        try:
            yield from _place(place, policy[OPEN_METEO])
        except (KeyError, TypeError, AttributeError, UnknownUnitError) as error:
            raise UnusableWeatherError(
                f"{name}: no archive response of Open-Meteo ({type(error).__name__}: {error}). "
                "Ask for hourly variables; an answer that states an error is none."
            ) from error


def _place(place: Mapping[str, Any], variables: Mapping[str, str]) -> Iterator[dict[str, Any] | None]:
    hourly, units = place["hourly"], place["hourly_units"]
    lat, lon = float(place["latitude"]), float(place["longitude"])
    shift_ns = int(place.get("utc_offset_seconds", 0)) * _NS_PER_S
    maps = {
        told: conversion(_UNITS_STATED.get(units[variable], units[variable]), FIELDS[told])
        for told, variable in variables.items()
        if variable in hourly
    }
    for index, stamp in enumerate(hourly["time"]):
        t_ns = _time_ns([str(stamp)]) if isinstance(stamp, str) else int(stamp) * _NS_PER_S + shift_ns
        if t_ns is None:
            yield None
            continue
        row: dict[str, Any] = dict.fromkeys(FIELDS)
        for told, turned in maps.items():
            values = hourly[variables[told]]
            value = values[index] if index < len(values) else None
            row[told] = None if value is None else _possible(told, float(value) * turned.scale + turned.offset)
        yield {"station": f"{lat:.4f},{lon:.4f}", "t_ns": t_ns - shift_ns, "lat_deg": lat, "lon_deg": lon, **row}


_UNITS_STATED: Final = {"°C": "degC", "°F": "degF", "°": "deg", "mp/h": "mph", "kn": "knot", "inch": "in"}
"""Open-Meteo's names of units."""
