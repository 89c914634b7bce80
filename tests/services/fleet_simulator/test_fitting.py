"""What fits the simulator to recordings: estimators find what made the data, distances are those of scipy."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import ks_2samp, wasserstein_distance

from fleet_assets.policy.documents import load_policies
from services.fleet_simulator.fitting import events, inertial, positioning
from services.fleet_simulator.fitting.__main__ import fitted, main, real_drives
from services.fleet_simulator.fitting.decoding import Drive, Signal
from services.fleet_simulator.fitting.distances import blocks, distance, rate_interval
from services.fleet_simulator.fitting.estimates import Fit, NothingToFitError
from services.fleet_simulator.fitting.motion import Motion, motions
from services.fleet_simulator.fitting.policy_text import NoSuchNumberError, number_at, with_numbers
from services.fleet_simulator.sensors.noise import Resonance

POLICIES = load_policies()
FIT = POLICIES["simulation_fit"]
EARTH_M = 6_371_008.8


def drive(seconds: float = 600.0, **signals: tuple[float, Any]) -> Drive:
    """A drive from (rate, values of time)."""
    found = {}
    for name, (rate_hz, values) in signals.items():
        t_s = np.arange(0.0, seconds, 1.0 / rate_hz)
        found[name] = Signal(t_s, np.asarray(values(t_s), dtype=np.float64))
    return Drive("one", "sim_car", seconds, found)


def motion_of(speed: Any, turn: Any = lambda t_s: 0.0 * t_s, seconds: float = 600.0) -> list[Motion]:
    return list(motions(drive(seconds, speed_mps=(50.0, speed), yaw_rate_radps=(100.0, turn)), FIT["motion"]))


def trapezoid(t_s: np.ndarray) -> np.ndarray:
    """From rest at 2 m/s2 to 14 m/s, and at 1.5 m/s2 back to rest, every 100 s."""
    t = t_s % 100.0
    return np.clip(np.minimum(2.0 * (t - 20.0), 1.5 * (80.0 - t)), 0.0, 14.0)


def test_launches_and_stops_are_found_with_their_accelerations() -> None:
    motion = motion_of(trapezoid)
    launches, stoppings = events.launches(motion, FIT["drivers"]), events.stoppings(motion, FIT["drivers"])
    assert len(launches) == len(stoppings) == 6
    assert launches == pytest.approx(2.0, abs=0.1)
    assert stoppings == pytest.approx(1.5, abs=0.1)


def test_waits_are_the_rests_between_two_ways() -> None:
    waits = events.waits(motion_of(trapezoid), FIT["drivers"])
    assert len(waits) == 5
    assert waits == pytest.approx(40.0, abs=2.0)


def test_a_corner_counts_with_its_lateral_acceleration_and_a_gyroscopes_bias_does_not() -> None:
    def turn(t_s: np.ndarray) -> np.ndarray:
        return 0.01 + np.where((t_s % 100.0 > 40.0) & (t_s % 100.0 < 48.0), 0.2, 0.0)

    corners = events.corners(motion_of(trapezoid, turn), FIT["drivers"])
    assert len(corners) == 6
    assert corners == pytest.approx(0.2 * 14.0, rel=0.05)


def test_positions_of_a_receiver_that_repeats_itself_do_not_stop_the_car() -> None:
    north = 15.0 * np.arange(300.0)
    north[[100, 150]] = north[[99, 149]]
    lat = Signal(np.arange(300.0), np.degrees(north / EARTH_M))
    lon = Signal(np.arange(300.0), np.zeros(300))
    (found,) = motions(Drive("track", "gps_track", 300.0, {"lat_deg": lat, "lon_deg": lon}), FIT["motion"])
    assert found.speed_mps == pytest.approx(15.0, abs=0.01)
    assert np.abs(found.accel_mps2).max() < 0.01


def test_the_allan_deviation_of_white_noise_falls_with_the_root_of_time() -> None:
    rng = np.random.default_rng(5)
    one = inertial.Stretches(0.01, (rng.normal(0.0, 0.3, 200_000), rng.normal(5.0, 0.3, 100_000)))
    taus_s = np.array([0.01, 0.1, 1.0, 10.0])
    assert inertial.allan_deviation(one, taus_s) == pytest.approx(0.3 / np.sqrt(taus_s / 0.01), rel=0.1)


def test_noise_and_bounce_are_told_apart() -> None:
    rng, taus_s = np.random.default_rng(6), np.array(FIT["imu"]["taus_s"])
    values = 0.2 * rng.normal(size=300_000) + 0.4 * Resonance(np.random.default_rng(7), 1.7, 0.2, 0.01).draw(300_000)
    curve = inertial.allan_deviation(inertial.Stretches(0.01, (values,)), taus_s)
    assert inertial.parts_of(curve, taus_s, 0.01, (1.7, 0.2)) == pytest.approx((0.2, 0.4), rel=0.05)


def test_a_bounces_autocorrelation_is_the_stated_one_whatever_the_stretches() -> None:
    process, whole = (
        Resonance(np.random.default_rng(1), 1.5, 0.4, 0.01),
        Resonance(np.random.default_rng(1), 1.5, 0.4, 0.01),
    )
    values = np.concatenate([process.draw(count) for count in (3, 0, 150_000, 49_997)])
    np.testing.assert_allclose(values, whole.draw(200_000), atol=1e-9)
    assert values.std() == pytest.approx(1.0, abs=0.03)
    for lag in (20, 33):
        expected = np.exp(-lag * 0.01 / 0.4) * np.cos(2.0 * np.pi * 1.5 * lag * 0.01)
        assert np.corrcoef(values[lag:], values[:-lag])[0, 1] == pytest.approx(expected, abs=0.03)


def test_a_receivers_noise_shows_against_the_way_and_the_ways_own_errors_do_not() -> None:
    rng = np.random.default_rng(8)

    def speed(t_s: np.ndarray) -> np.ndarray:
        return 12.0 + 2.0 * np.sin(t_s / 9.0)

    def turn(t_s: np.ndarray) -> np.ndarray:
        return 0.05 * np.sin(t_s / 15.0)

    fine = np.arange(0.0, 600.0, 0.01)
    heading = 1.0 + np.cumsum(turn(fine)) * 0.01
    east, north = (np.cumsum(speed(fine) * side(heading)) * 0.01 for side in (np.cos, np.sin))
    one = drive(
        speed_mps=(50.0, lambda t_s: 1.02 * speed(t_s)),
        yaw_rate_radps=(100.0, lambda t_s: turn(t_s) + 0.004),
        lat_deg=(5.0, lambda t_s: np.degrees((np.interp(t_s, fine, north) + rng.normal(0.0, 0.5, len(t_s))) / EARTH_M)),
        lon_deg=(5.0, lambda t_s: np.degrees((np.interp(t_s, fine, east) + rng.normal(0.0, 0.5, len(t_s))) / EARTH_M)),
    )
    for seconds in (10.0, 40.0):
        errors = positioning.way_errors(one, seconds, FIT["gnss"])
        assert len(errors) > 10
        assert np.median(errors) == pytest.approx(0.5, rel=0.1)
    assert positioning.position_noise(one, FIT["gnss"]) == pytest.approx(0.5, rel=0.1)


SAMPLES = st.lists(st.floats(-5, 5, width=32), min_size=5, max_size=60).map(np.array)


@given(found=SAMPLES, reference=SAMPLES)
def test_distances_are_those_of_scipy(found: np.ndarray, reference: np.ndarray) -> None:
    one = distance([found], [reference], resamples=0)
    scale = float(np.subtract(*np.quantile(reference, [0.75, 0.25]))) or float(reference.std()) or 1.0
    assert one.ks == pytest.approx(ks_2samp(found, reference).statistic, abs=1e-9)
    assert one.wasserstein * scale == pytest.approx(wasserstein_distance(found, reference), abs=0.01)


def test_intervals_of_distances_cover_drives_and_not_their_samples() -> None:
    rng = np.random.default_rng(9)
    drives = [rng.normal(mean, 0.1, 2000) for mean in rng.normal(0.0, 1.0, 12)]
    reference = [rng.normal(mean, 0.1, 2000) for mean in rng.normal(0.0, 1.0, 12)]
    one = distance(drives, reference)
    assert one.ks_high - one.ks_low > 0.1


def test_a_long_recording_falls_into_blocks_that_lose_nothing() -> None:
    pieces = blocks(np.arange(1000.0), 120)
    assert len(pieces) == 8
    assert np.concatenate(pieces) == pytest.approx(np.arange(1000.0))


def test_rates_have_garwoods_interval() -> None:
    # Ulm, Am. J. Epidemiology 131 (1990) 373: 10 events lie in 4.795 to 18.390.
    assert rate_interval(10, 1.0) == pytest.approx((4.795, 18.390), abs=1e-3)
    assert rate_interval(0, 2.0) == pytest.approx((0.0, 3.689 / 2.0), abs=1e-3)


def test_numbers_change_in_a_policy_and_nothing_else_does() -> None:
    text = "# top\na: {b: 1.0, c: [1, 2.50, 3]}   # why\nd:\n  e: 7 # because\n"
    changed = with_numbers(text, {"a.c.1": 2.75, "d.e": 0.5})
    assert changed == "# top\na: {b: 1.0, c: [1, 2.75, 3]}   # why\nd:\n  e: 0.5 # because\n"
    assert number_at(yaml.safe_load(changed), "a.c.1") == 2.75  # noqa: PLR2004 - written above


@pytest.mark.parametrize("path", ["a.x", "a.c.9", "a", "a.b.c"])
def test_a_path_to_no_number_is_named(path: str) -> None:
    with pytest.raises(NoSuchNumberError, match="number|no '"):
        with_numbers("a: {b: 1, c: [1]}", {path: 1.0})
    with pytest.raises(NoSuchNumberError, match="number|no '"):
        number_at({"a": {"b": 1, "c": [1]}}, path)


def test_every_parameter_is_a_number_of_the_simulation_and_has_an_estimator() -> None:
    fit = Fit([], FIT)
    for parameter in FIT["parameters"]:
        assert number_at(POLICIES["simulation"], parameter["number"]) >= 0
        with pytest.raises(NothingToFitError, match=parameter["number"]):
            fit.estimate(parameter)


def test_reports_and_tuning_do_not_share_seeds() -> None:
    with pytest.raises(SystemExit, match="10000"):
        main(["compare", "--recordings", "nowhere", "--first-seed", "9"])
    with pytest.raises(SystemExit, match="below 1000"):
        main(["shares", "--first-seed", "990", "--drives", "11"])


@pytest.mark.real_data
@pytest.mark.slow
def test_the_policys_numbers_are_those_that_the_recordings_give(real_data: Path) -> None:
    for one in fitted(real_drives(real_data, POLICIES), POLICIES):
        assert number_at(POLICIES["simulation"], one.number) == one.value, one
