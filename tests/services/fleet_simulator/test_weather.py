"""Weather made from seeds: repeatable, smooth, consistent with itself, and as often bad as the policy says."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet_assets.policy.documents import load_policies
from services.fleet_simulator.drive_truth import NS_PER_S
from services.fleet_simulator.world.weather import weather_at

RULES = load_policies()["simulation"]["weather"]
HOUR_NS = 3600 * NS_PER_S
START_NS = 1_700_000_000 * NS_PER_S


@given(
    st.integers(0, 2**40), st.floats(-60, 60), st.floats(-180, 180), st.integers(START_NS, START_NS + 10**9 * NS_PER_S)
)
def test_weather_is_possible_weather(seed: int, lat: float, lon: float, t_ns: int) -> None:
    weather = weather_at(seed, lat, lon, t_ns, RULES)
    assert weather == weather_at(seed, lat, lon, t_ns, RULES)
    assert weather.rain_mm_h >= 0.0
    assert 0.0 <= weather.cloud <= 1.0
    assert 0.0 <= weather.wetness <= 1.0
    assert RULES["least_visibility_m"] - 10 <= weather.visibility_m <= RULES["clear_visibility_m"]
    assert -45.0 < weather.temperature_c < 50.0
    assert 0 <= weather.wind_from_deg < 360
    assert (weather.condition in {"rain", "snow"}) == (weather.rain_mm_h >= 0.1) or weather.rain_mm_h == 0.1
    assert weather.rain_mm_h <= 0.3 or weather.cloud > 0.95  # rounded to tenths
    assert weather.condition != "fog" or weather.visibility_m <= 1000


def test_it_changes_smoothly_from_minute_to_minute() -> None:
    times = range(START_NS, START_NS + 48 * HOUR_NS, HOUR_NS // 60)
    series = [weather_at(7, 56.2, 10.2, t_ns, RULES) for t_ns in times]
    for name, most in (("temperature_c", 0.3), ("cloud", 0.08), ("rain_mm_h", 1.0), ("wind_mps", 0.8)):
        assert np.abs(np.diff([getattr(one, name) for one in series])).max() <= most, name


def test_rain_and_fog_are_as_frequent_as_the_policy_says() -> None:
    series = [weather_at(seed, 40.7, -74.0, START_NS + k * 9 * HOUR_NS, RULES) for seed in range(4) for k in range(900)]
    falls = [one for one in series if one.condition in {"rain", "snow"}]
    # 3,600 draws, neighbours dependent: about 1,200 of them are worth an independent one.
    assert len(falls) / len(series) == pytest.approx(RULES["rain_share"] * np.exp(-0.05 / 1.6), abs=0.025)
    assert np.mean([one.rain_mm_h for one in falls]) == pytest.approx(RULES["rain_mean_mm_h"], rel=0.3)
    assert np.mean([one.visibility_m < 1000 for one in series]) == pytest.approx(RULES["fog_share"], abs=0.013)


def test_summers_are_warmer_than_winters_and_days_than_nights_on_both_hemispheres() -> None:
    july, january = 1_721_000_000 * NS_PER_S, 1_705_300_000 * NS_PER_S

    def mean(lat: float, start: int, hour: int) -> float:
        noon = start - start % (24 * HOUR_NS) + hour * HOUR_NS
        return float(
            np.mean([weather_at(3, lat, 0.0, noon + k * 24 * HOUR_NS, RULES).temperature_c for k in range(15)])
        )

    assert mean(48.0, july, 14) > mean(48.0, january, 14) + 8
    assert mean(-35.0, january, 14) > mean(-35.0, july, 14) + 5
    assert mean(48.0, july, 14) > mean(48.0, july, 3) + 2


def test_places_far_apart_have_their_own_weather_and_neighbours_share_it() -> None:
    here, near, far = ((56.2, 10.2), (56.21, 10.21), (48.1, 11.6))
    assert weather_at(1, *here, START_NS, RULES).cloud == weather_at(1, *near, START_NS, RULES).cloud
    series = [[weather_at(1, *at, START_NS + k * 7 * HOUR_NS, RULES).cloud for k in range(200)] for at in (here, far)]
    one, two = (np.array(values) - np.mean(values) for values in series)
    assert abs((one * two).mean() / (one.std() * two.std())) < 0.25
