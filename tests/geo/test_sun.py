"""The sun's place against published values."""

from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet_assets.geo.sun import light_condition, sun_position


def ns(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 1_000_000_000


def test_the_sun_stands_where_the_published_example_of_nrel_says() -> None:
    # I. Reda, A. Andreas, NREL/TP-560-34302, table A5.1: topocentric zenith 50.11162, azimuth 194.34024, with 0.014
    # degrees of refraction in it.
    elevation, azimuth = sun_position(ns("2003-10-17T19:30:30"), 39.742476, -105.1786)
    assert 90.0 - float(elevation) == pytest.approx(50.11162 + 0.014, abs=0.02)
    assert float(azimuth) == pytest.approx(194.34024, abs=0.02)


@pytest.mark.parametrize(
    ("when", "expected"),
    [("2024-03-20T03:06:00", 0.0), ("2024-06-20T20:51:00", 23.44), ("2024-12-21T09:20:00", -23.44)],
    ids=["equinox", "June solstice", "December solstice"],
)
def test_over_the_poles_the_elevation_is_the_declination(when: str, expected: float) -> None:
    elevation, _ = sun_position(ns(when), 90.0, 0.0)
    assert float(elevation) == pytest.approx(expected, abs=0.02)


def test_sunrise_and_sunset_in_copenhagen_are_those_of_the_almanac() -> None:
    # Almanac of the University of Copenhagen for 21 June 2021: sunrise 04:25, sunset 21:58 local summer time.
    minutes = ns("2021-06-21T00:00:00") + np.arange(24 * 60) * 60_000_000_000
    elevation, _ = sun_position(minutes, 55.676, 12.568)
    day = np.flatnonzero(light_condition(elevation) == "day")
    assert abs(int(day[0]) - (2 * 60 + 25)) <= 2
    assert abs(int(day[-1]) - (19 * 60 + 58)) <= 2


@given(st.integers(ns("1990-01-01T00:00:00"), ns("2049-01-01T00:00:00")), st.floats(-89, 89), st.floats(-180, 180))
def test_half_a_turn_around_the_earth_sees_the_other_side_of_the_sky(t_ns: int, lat: float, lon: float) -> None:
    here, _ = sun_position(t_ns, lat, lon)
    there, _ = sun_position(t_ns, -lat, lon + 180.0)
    assert float(here) == pytest.approx(-float(there), abs=1e-6)


def test_names_change_at_the_upper_limb_and_at_civil_twilight() -> None:
    assert light_condition([10.0, -0.8, -0.9, -5.9, -6.1]).tolist() == ["day", "day", "twilight", "twilight", "night"]
