"""Weather files of every layout become observations in SI units, or are refused by name."""

import csv
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from fleet_assets.ingestion.map_and_weather_enrichment.weather_files import (
    UnusableWeatherError,
    WeatherFile,
    read_weather,
)
from fleet_assets.policy.documents import load_policies
from tests.harness import utc_ns

POLICIES = load_policies()
STATIONS = POLICIES["weather_stations"]["stations"]


def read(folder: Path, name: str, content: str, **stations: Any) -> WeatherFile:
    path = folder / "file"
    path.write_text(content)
    return read_weather(path, name, POLICIES["weather"], {**STATIONS, **stations})


def quoted(*cells: str) -> str:
    return ",".join(f'"{cell}"' for cell in cells) + "\n"


CLOUD, RAIN = "22000,5,9,N", "01,0025,9,5"
PLACE = ("7", "40.7792", "-73.88", "3.4", "LA GUARDIA")
ISD_CSV = (
    quoted("STATION", "DATE", "SOURCE", "LATITUDE", "LONGITUDE", "ELEVATION", "NAME", "WND", "CIG", "VIS", "TMP", "AA1")
    + quoted("72503014732", "2013-01-01T06:51:00", *PLACE, "270,5,N,0103,5", CLOUD, "016093,5,N,5", "+0039,5", RAIN)
    + quoted("72503014732", "2013-01-01T07:51:00", *PLACE, "999,9,C,9999,9", CLOUD, "999999,9,N,9", "+9999,9", "")
)  # fmt: skip
"""Columns as the format document of NOAA's Integrated Surface Database numbers them."""
ISD_FIXED = "".join(
    [
        "0144", "725030", "14732", "20130101", "0651", "4", "+40779", "-073880", "FM-15", "+0003", "99999", "V020",
        "270", "5", "N", "0103", "5", "22000", "5", "9", "N", "016093", "5", "N", "5", "+0039", "5", "-0033", "5",
        "10132", "5", "ADDAA101002595REMMET\n",
    ]
)  # fmt: skip
GHCNH = (
    "Station_ID|Station_name|Year|Month|Day|Hour|Minute|Latitude|Longitude|Elevation|temperature|wind_direction|"
    "wind_speed|visibility|precipitation|relative_humidity\n"
    "USW00014732|LA GUARDIA|2013|1|1|6|51|40.7792|-73.88|3.4|3.9|270|10.3|16.093|2.5|59\n"
)
METEOSTAT = "2013-01-01{}06{},3.9,-3.3,59,2.5,,270,37.08,,1013.2,,\n"
NYC = (
    "origin,year,month,day,hour,temp,dewp,humid,wind_dir,wind_speed,wind_gust,precip,pressure,visib,time_hour\n"
    "LGA,2013,1,1,1,39.02,26.06,59,270.0,23.04,,0.0984252,1012.0,10.0,2013-01-01T06:00:00Z\n"
)
FLEET = (
    "station,time,lat_deg,lon_deg,temperature_degc,visibility_m,precipitation_mm_h,wind_mps,wind_from_deg,"
    "humidity_percent\nLGA,2013-01-01T06:00:00Z,40.7792,-73.88,3.9,16093,2.5,10.3,270,59\n"
)
_METEOSTAT_HEAD = "time,temp,dwpt,rhum,prcp,snow,wdir,wspd,wpgt,pres,tsun,coco\n"


@pytest.mark.parametrize(
    ("provider", "name", "content", "minute"),
    [
        ("isd_csv", "72503014732.csv", ISD_CSV, 51),
        ("isd_fixed", "725030-14732-2013", ISD_FIXED, 51),
        ("ghcnh_psv", "GHCNh_USW00014732.psv", GHCNH, 51),
        ("meteostat_csv", "72503.csv", _METEOSTAT_HEAD + METEOSTAT.format(" ", ":00:00"), 0),
        ("meteostat_bulk", "72503.csv", METEOSTAT.format(",", ""), 0),
        ("nycflights_csv", "weather.csv", NYC, 0),
        ("fleet_csv", "town.csv", FLEET, 0),
    ],
)  # fmt: skip
def test_one_observation_reads_the_same_from_every_layout(
    tmp_path: Path, provider: str, name: str, content: str, minute: int
) -> None:
    found = read(tmp_path, name, content)
    assert found.provider == provider
    row = found.rows[0]
    assert row["t_ns"] == utc_ns(f"2013-01-01T06:{minute:02}:00")
    assert (row["lat_deg"], row["lon_deg"]) == (pytest.approx(40.7792, abs=0.001), pytest.approx(-73.88, abs=0.001))
    assert row["temperature_degc"] == pytest.approx(3.9, abs=0.01)
    assert row["wind_mps"] == pytest.approx(10.3, abs=0.01)
    assert row["wind_from_deg"] == 270
    assert row["precipitation_mm_h"] == pytest.approx(2.5, abs=0.001)
    if row["visibility_m"] is not None:
        assert row["visibility_m"] == pytest.approx(16093, abs=1)


def test_texts_that_stand_for_nothing_are_no_values(tmp_path: Path) -> None:
    row = read(tmp_path, "72503014732.csv", ISD_CSV).rows[1]
    names = ("temperature_degc", "wind_mps", "wind_from_deg", "visibility_m", "precipitation_mm_h")
    assert [row[name] for name in names] == [None] * 5


def test_open_meteo_states_its_own_units_and_may_hold_several_places(tmp_path: Path) -> None:
    place: dict[str, Any] = {
        "latitude": 39.29, "longitude": -76.61, "utc_offset_seconds": -18000,
        "hourly_units": {"time": "iso8601", "temperature_2m": "°F", "wind_speed_10m": "mp/h", "precipitation": "inch"},
        "hourly": {"time": ["2013-01-01T01:00", "2013-01-01T02:00"], "temperature_2m": [32.0, None],
                   "wind_speed_10m": [10.0, 20.0], "precipitation": [0.1, 0.0]},
    }  # fmt: skip
    rows = read(tmp_path, "archive.json", json.dumps([place, {**place, "latitude": 39.5}])).rows
    assert len(rows) == 4
    assert rows[0]["t_ns"] == utc_ns("2013-01-01T06:00:00")
    assert (rows[0]["temperature_degc"], rows[0]["wind_mps"]) == (0.0, 4.47)
    assert rows[0]["precipitation_mm_h"] == 2.54
    assert rows[1]["temperature_degc"] is None


@pytest.mark.parametrize(
    ("content", "what"),
    [
        ("", "no known layout"),
        ("a,b,c\n1,2,3\n", "no known layout"),
        ('{"error": true, "reason": "limit"}', "Open-Meteo"),
        ("{broken", "not valid JSON"),
        ("station,time,lat_deg,lon_deg,\nX,never,1,2,\n", "cannot be read"),
        ("station,time,lat_deg,lon_deg,\nX,2013-01-01T00:00:00Z,95,2,\n", "cannot be read"),
        ("time,temp,dwpt\n2013-01-01 06:00:00,1,2\n", "place of station"),
    ],
)
def test_a_file_that_says_nothing_is_refused_by_name(tmp_path: Path, content: str, what: str) -> None:
    with pytest.raises(UnusableWeatherError, match=f"strange.csv.*{what}"):
        read(tmp_path, "strange.csv", content)


def test_impossible_values_are_left_out_and_broken_rows_counted(tmp_path: Path) -> None:
    head = "station,time,lat_deg,lon_deg,temperature_degc,wind_mps\n"
    rows = [f"A,2013-01-01T{hour:02}:00:00Z,1,2,{hour},3\n" for hour in range(10)]
    content = (
        head
        + "".join(rows)
        + "A,2013-01-01T03:00:00Z,1,2,99,3\n"
        + "A,nonsense,1,2,1,1\n"
        + "A,2013-01-02,1,2,nan,-3\n"
    )
    found = read(tmp_path, "a.csv", content)
    assert (len(found.rows), found.broken, dict(found.duplicates)) == (11, 1, {("A", "2013-01-01"): 1})
    assert found.rows[3]["temperature_degc"] == 3.0
    assert (found.rows[-1]["temperature_degc"], found.rows[-1]["wind_mps"]) == (None, None)


@pytest.mark.real_data
def test_new_yorks_airports_read_row_by_row_as_pandas_free_arithmetic_says(real_data: Path) -> None:
    path = real_data / "nyc_hourly_weather_2013/sample/weather_2013H1.csv"
    found = read_weather(path, path.name, POLICIES["weather"], STATIONS)
    with path.open(newline="") as stream:
        written = list(csv.DictReader(stream))
    distinct = Counter((row["origin"], row["time_hour"]) for row in written)
    assert len(found.rows) == len(distinct)
    assert sum(found.duplicates.values()) == len(written) - len(distinct)
    assert found.broken == 0
    by_key = {(row["station"], row["t_ns"]): row for row in found.rows}
    for row in written[::97]:
        ours = by_key[row["origin"], utc_ns(row["time_hour"].removesuffix("Z"))]
        if row["temp"] and distinct[row["origin"], row["time_hour"]] == 1:
            assert ours["temperature_degc"] == pytest.approx((float(row["temp"]) - 32) / 1.8, abs=0.001)
            assert ours["visibility_m"] == pytest.approx(float(row["visib"]) * 1609.344, abs=0.01)
