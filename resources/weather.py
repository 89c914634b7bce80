"""Providers of past weather: where files come from before they land.

Here belong outside sources. Reading their files is in `fleet_assets.ingestion.map_and_weather_enrichment`; what is put
into the landing zone is kept, so that a provider that forgets or corrects its past changes nothing unseen.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Final, Protocol
from urllib.parse import urlencode

_HOURLY: Final = (
    "temperature_2m", "relative_humidity_2m", "precipitation", "wind_speed_10m", "wind_direction_10m",
)  # fmt: skip
_SUFFIXES: Final = (".csv", ".psv", ".json", ".txt", ".isd")


@dataclass(frozen=True, slots=True)
class Wanted:
    """Weather that is asked for: a place (degrees) and the days from first to last."""

    lat_deg: float
    lon_deg: float
    first: date
    last: date


class WeatherProvider(Protocol):
    """Gives files of weather; which of their observations are near enough is decided after they landed."""

    def files(self) -> Iterator[Path]:
        """Files on this machine, each once."""
        ...


@dataclass(frozen=True, slots=True)
class FolderProvider:
    """Files that somebody put into a folder: downloads of stations and archives.

    Attributes:
        folder: The folder.
    """

    folder: Path

    def files(self) -> Iterator[Path]:
        """See `WeatherProvider.files`; in order of their names."""
        found = (path for path in self.folder.rglob("*") if path.is_file() and path.suffix.lower() in _SUFFIXES)
        yield from sorted(found)


def open_meteo_url(wanted: Wanted, base: str = "https://archive-api.open-meteo.com/v1/archive") -> str:
    """Address of Open-Meteo's archive response for a place; the answer is a file that can land.

    Args:
        wanted: Place and days.
        base: Address of the service, or of a mirror.
    """
    asked = {
        "latitude": f"{wanted.lat_deg:.4f}",
        "longitude": f"{wanted.lon_deg:.4f}",
        "start_date": wanted.first.isoformat(),
        "end_date": wanted.last.isoformat(),
        "hourly": ",".join(_HOURLY),
        "timezone": "UTC",
    }
    return f"{base}?{urlencode(asked)}"
