"""Providers give files; what they are worth is seen once they landed."""

from datetime import date
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from resources.weather import FolderProvider, Wanted, WeatherProvider, open_meteo_url

PLACE = Wanted(39.29, -76.61, date(2013, 1, 1), date(2013, 1, 2))


def test_a_folder_gives_its_weather_files_in_order_and_nothing_else(tmp_path: Path) -> None:
    for name in ("b.csv", "a.json", "notes.md", "below/c.PSV"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x")
    provider: WeatherProvider = FolderProvider(tmp_path)
    assert [path.name for path in provider.files()] == ["a.json", "b.csv", "c.PSV"]
    assert list(FolderProvider(tmp_path / "none").files()) == []


def test_the_address_of_an_archive_response_names_place_days_and_utc() -> None:
    asked = parse_qs(urlsplit(open_meteo_url(PLACE)).query)
    assert (asked["latitude"], asked["start_date"], asked["end_date"]) == (["39.2900"], ["2013-01-01"], ["2013-01-02"])
    assert asked["timezone"] == ["UTC"]
    assert "precipitation" in asked["hourly"][0]
