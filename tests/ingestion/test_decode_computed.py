"""Canonical values that are computed from several fields: lengths, courses, projected places, circular ranges."""

from pathlib import Path
from typing import Any

import numpy as np
import pyproj
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet_assets.geo.projections import is_projected, to_geographic
from fleet_assets.ingestion.recordings.open import open_recording
from fleet_assets.ingestion.sensor_sync_and_format_conversion.decode import decode_drive
from tests.vehicles import vehicle

DRIVE = {"drive_id": "d1", "day": "2021-08-05", "depot": "ulm"}
PLACES = {"epsg": 32617, "east": "e", "north": "n"}


def decoded(folder: Path, rows: list[tuple[float, ...]], signals: dict[str, Any]) -> dict[str, list[float]]:
    """Samples by signal of a table with the columns t, e, n, u, h."""
    lines = ["t,e,n,u,h", *(",".join(map(repr, (1_600_000_000 + number, *row))) for number, row in enumerate(rows)), ""]
    (folder / "t.csv").write_text("\n".join(lines))
    car = vehicle(
        {
            "name": "car",
            "description": "car",
            "format": "csv",
            "table": {"channel": "c", "points": [{"time": {"column": "t", "unit": "s"}}]},
            "sensors": {
                "one": {
                    "kind": "gnss",
                    "channel": "c",
                    "rate_hz": {"nominal": 1, "tolerance": 1},
                    "required": True,
                    "signals": signals,
                }
            },
            "clock": {"utc_from": []},
        }
    )
    recording = open_recording({"t.csv": folder / "t.csv"}, car.spec.formats, car.spec.table)
    samples, _ = decode_drive(
        recording, car.spec, car.canonical, car.dbcs, clock_offset_ns=0, drive_columns=DRIVE
    )  # fmt: skip
    found: dict[str, list[float]] = {}
    for row in samples.sort_by("t_ns").to_pylist():
        found.setdefault(row["signal"], []).append(row["value"])
    return found


def test_a_speed_is_the_length_of_its_velocity(tmp_path: Path) -> None:
    rows = [(3.0, 4.0, 12.0, 0.0), (-36.0, 0.0, 0.0, 0.0), (0.0, 0.0, 0.0, 0.0)]
    speed = {"speed_mps": {"norm_of": ["e", "n", "u"], "unit": "km/h"}}
    assert np.allclose(decoded(tmp_path, rows, speed)["speed_mps"], [13 / 3.6, 10.0, 0.0], rtol=1e-15)


@pytest.mark.parametrize(
    ("east", "north", "course"),
    [(0, 2, 0.0), (2, 2, 45.0), (2, 0, 90.0), (0, -2, 180.0), (-2, 0, 270.0), (-2, 2, 315.0)],
)
def test_a_course_is_clockwise_from_north(tmp_path: Path, east: float, north: float, course: float) -> None:
    rows = [(float(east), float(north), 0.0, 0.0)]
    signals = {"heading_deg": {"course_of": {"east": "e", "north": "n", "at_least": 0.5}, "unit": "deg", "wrap": True}}
    assert np.allclose(decoded(tmp_path, rows, signals)["heading_deg"], [course])


def test_what_stands_has_no_course_and_no_sample_of_one(tmp_path: Path) -> None:
    rows = [(3.0, 4.0, 0.0, 0.0), (0.3, 0.3, 0.0, 0.0), (0.3, 0.4, 0.0, 0.0)]
    signals = {
        "heading_deg": {"course_of": {"east": "e", "north": "n", "at_least": 0.5}, "unit": "deg"},
        "speed_mps": {"norm_of": ["e", "n"], "unit": "m/s"},
    }
    found = decoded(tmp_path, rows, signals)
    assert len(found["heading_deg"]) == 2  # the limit itself is enough
    assert len(found["speed_mps"]) == 3


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=20), st.floats(-720, 720))
def test_a_circular_quantity_is_brought_into_its_range_by_whole_turns(
    tmp_path_factory: pytest.TempPathFactory, headings: list[float], offset: float
) -> None:
    signals = {"heading_deg": {"field": "h", "unit": "deg", "scale": -1, "offset": offset, "wrap": True}}
    rows = [(0.0, 0.0, 0.0, heading) for heading in headings]
    found = decoded(tmp_path_factory.mktemp("wrap"), rows, signals)["heading_deg"]
    turns = (np.array(found) - (offset - np.array(headings))) / 360
    assert all(0 <= value <= 360 for value in found)
    assert np.allclose(turns, np.rint(turns), atol=1e-9)


def test_a_longitude_is_wrapped_around_the_date_line(tmp_path: Path) -> None:
    rows = [(0.0, 0.0, 0.0, heading) for heading in (190.0, -190.0, 180.0, 0.0)]
    found = decoded(tmp_path, rows, {"lon_deg": {"field": "h", "unit": "deg", "wrap": True}})
    assert found["lon_deg"] == [-170.0, 170.0, -180.0, 0.0]


def test_a_projected_place_is_where_pyproj_puts_it(tmp_path: Path) -> None:
    rows = [(623425.5423358922, 4848821.001065103, 0.0, 0.0), (500000.0, 0.0, 0.0, 0.0)]
    signals = {
        "lat_deg": {"projected": {**PLACES, "gives": "latitude"}, "unit": "deg"},
        "lon_deg": {"projected": {**PLACES, "gives": "longitude"}, "unit": "deg"},
    }
    found = decoded(tmp_path, rows, signals)
    oracle = pyproj.Proj(proj="utm", zone=17, ellps="WGS84")
    for number, (east, north, *_) in enumerate(rows):
        lon, lat = oracle(east, north, inverse=True)
        assert abs(found["lat_deg"][number] - lat) < 1e-9
        assert abs(found["lon_deg"][number] - lon) < 1e-9
    assert (round(found["lat_deg"][0], 5), round(found["lon_deg"][0], 5)) == (43.78215, -79.46614)


@given(st.floats(-79.9, 79.9), st.floats(-83.9, -78.1))
def test_going_there_and_back_ends_within_a_millimetre(lat: float, lon: float) -> None:
    east, north = pyproj.Proj(proj="utm", zone=17, ellps="WGS84")(lon, lat)
    found = to_geographic(32617, np.array([east]), np.array([north]))
    assert abs(found[0][0] - lat) < 1e-8
    assert abs(found[1][0] - lon) < 1e-8


def test_places_that_are_no_numbers_or_off_the_map_are_nan() -> None:
    latitude, longitude = to_geographic(32617, np.array([np.nan, np.inf, 1e30]), np.array([0.0, 0.0, 0.0]))
    assert np.isnan(latitude).all()
    assert np.isnan(longitude).all()


def test_reference_systems_are_told_apart() -> None:
    assert is_projected(32617)
    assert is_projected(2056)
    assert not is_projected(4326)
    assert not is_projected(32767)
