"""Criticality against published values and against a simulated outcome."""

import numpy as np
import pytest
from numpy.typing import NDArray

from fleet_assets.mining.scene_detection_and_event_triggers.criticality import (
    RssParameters,
    criticality,
    deceleration_to_avoid_crash_mps2,
    rss_safe_distance_m,
    time_headway_s,
    time_to_collision_s,
)

KMH = 1 / 3.6
NAN = float("nan")


def col(*values: float) -> NDArray[np.float64]:
    return np.array(values)


def rss(response_s: float) -> RssParameters:
    return RssParameters(response_s, 3.5, 4.0, 8.0)


def test_two_vehicles_at_100_kmh_need_the_distance_that_intels_library_publishes() -> None:
    """ad-rss-lib, RSSFormulaTestsCalculateSafeLongitudinalDistanceOppositeDirection, checks_100kmh: 365.55 m.

    Response times are 1 and 2 s; each one's share is its distance to an obstacle that stands.
    """
    shares = [float(rss_safe_distance_m(col(100 * KMH), col(0.0), rss(seconds))[0]) for seconds in (1.0, 2.0)]
    assert sum(shares) == pytest.approx(365.55, abs=0.01)


def test_behind_a_much_faster_vehicle_no_distance_is_needed() -> None:
    """ad-rss-lib, …SameDirection, checks_leading_vehicle_much_faster: 10 km/h behind 100 km/h."""
    assert rss_safe_distance_m(col(10 * KMH), col(100 * KMH), rss(1.0)).tolist() == [0.0]


def test_the_safe_distance_is_just_enough_when_the_worst_happens() -> None:
    """Stepped through: the one ahead brakes as hard as it can, the follower speeds up, then brakes gently."""
    rear, front, step = 25.0, 20.0, 1e-4
    gap = float(rss_safe_distance_m(col(rear), col(front), rss(1.0))[0])
    smallest, time = gap, 0.0
    while rear > 0.0:
        rear = max(0.0, rear + (3.5 if time < 1.0 else -4.0) * step)
        front = max(0.0, front - 8.0 * step)
        gap += (front - rear) * step
        smallest, time = min(smallest, gap), time + step
    assert smallest == pytest.approx(0.0, abs=0.02)


def test_the_deceleration_to_avoid_a_crash_just_avoids_it() -> None:
    needed = float(deceleration_to_avoid_crash_mps2(col(20.0), col(10.0))[0])
    assert needed == pytest.approx(2.5)  # 10^2 / (2 20)
    assert 10.0**2 / (2 * needed) == pytest.approx(20.0)
    found = deceleration_to_avoid_crash_mps2(col(20.0, 0.0, NAN, 20.0), col(-1.0, 5.0, 5.0, NAN))
    assert found[0] == 0.0
    assert np.isnan(found[1:]).all()


def test_times_are_missing_where_they_mean_nothing() -> None:
    assert time_to_collision_s(col(30.0), col(10.0)).tolist() == [3.0]
    assert np.isnan(time_to_collision_s(col(30.0, 30.0, NAN), col(0.0, -3.0, 2.0))).all()
    assert time_headway_s(col(30.0), col(15.0), 1.0).tolist() == [2.0]
    assert np.isnan(time_headway_s(col(30.0, NAN), col(0.5, 10.0), 1.0)).all()


def test_a_violation_is_known_only_where_somebody_is_ahead() -> None:
    parameters = {"response_s": 1.0, "accel_max_mps2": 3.5, "brake_min_mps2": 4.0, "brake_max_mps2": 8.0}
    found = criticality(col(20.0, 20.0, 20.0), col(5.0, 200.0, NAN), col(0.0, 0.0, NAN), 1.0, parameters)
    assert found.unsafe[:2].tolist() == [1.0, 0.0]
    assert np.isnan(found.unsafe[2])
