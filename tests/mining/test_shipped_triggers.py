"""The shipped triggers on small drives whose right answer is plain to see."""

from collections.abc import Mapping

import numpy as np
import pytest
from numpy.typing import NDArray

from fleet_assets.policy.canonical import parse_canonical_signals
from fleet_assets.policy.documents import load_policies
from fleet_assets.policy.trigger_runs import ObjectSlot, TriggerEvent, drive_events, track_signals
from fleet_assets.policy.triggers import compile_triggers

POLICIES = load_policies()
CANONICAL = parse_canonical_signals(POLICIES["canonical_signals"], POLICIES.digest("canonical_signals"))
TRIGGERS = compile_triggers(
    POLICIES["triggers"], POLICIES.digest("triggers"), CANONICAL, vehicle_spec="sim_car", vehicle_id="car"
)
STEP_NS = TRIGGERS.step_ms * 1_000_000
RADAR_NS = STEP_NS // 2
Floats = NDArray[np.float64]


def instants(seconds: float) -> NDArray[np.int64]:
    return np.arange(round(seconds * 10), dtype=np.int64) * STEP_NS


def driving(seconds: float, speed_mps: float, yaw_rate_radps: float = 0.0) -> dict[str, Floats]:
    count = len(instants(seconds))
    return {"speed_mps": np.full(count, speed_mps), "yaw_rate_radps": np.full(count, yaw_rate_radps)}


def seen(seconds: float, distance_m: object, lateral_m: object, rel_speed_mps: object) -> ObjectSlot:
    """One object at the radar's rate; what is given is constant, or a function of the time in seconds."""
    t_ns = np.arange(round(seconds * 20), dtype=np.int64) * RADAR_NS
    named = {"distance_m": distance_m, "lateral_m": lateral_m, "rel_speed_mps": rel_speed_mps}
    columns = {
        name: np.asarray(value(t_ns / 1e9) if callable(value) else np.broadcast_to(value, len(t_ns)), np.float64)
        for name, value in named.items()
    }
    return ObjectSlot(t_ns, columns)


def events(name: str, signals: Mapping[str, Floats], *slots: ObjectSlot) -> list[TriggerEvent]:
    t_ns = np.arange(len(signals["speed_mps"]), dtype=np.int64) * STEP_NS
    columns = {**signals, **track_signals(TRIGGERS, t_ns, slots, signals)}
    return [event for event in drive_events(TRIGGERS, t_ns, columns) if event.trigger == name]


def test_a_standing_car_is_a_hazard_and_somebody_who_crosses_is_none() -> None:
    own = driving(8.0, 10.0)
    car = seen(8.0, lambda t: 90.0 - 10.0 * t, 0.3, -10.0)
    (found,) = events("stationary_hazard", own, car)
    # Fifty metres away, five seconds from it, measured from the front bumper.
    assert found.start_ns == pytest.approx(3.63e9, abs=0.2e9)
    walker = seen(8.0, lambda t: 90.0 - 10.0 * t, lambda t: 1.3 * (t - 5.0), -10.0)
    assert events("stationary_hazard", own, walker) == []


def test_the_way_ahead_of_a_hazard_is_the_bend_that_is_driven() -> None:
    in_bend = driving(8.0, 10.0, 0.1)
    radius = 100.0

    def beside_m(t: Floats) -> Floats:
        ahead = 90.0 - 10.0 * t
        return np.asarray(0.5 * ahead * ahead / radius)

    on_the_bend = seen(8.0, lambda t: 90.0 - 10.0 * t, beside_m, -10.0)
    straight_ahead = seen(8.0, lambda t: 90.0 - 10.0 * t, 0.0, -10.0)
    assert len(events("stationary_hazard", in_bend, on_the_bend)) == 1
    late = events("stationary_hazard", in_bend, straight_ahead)
    assert all(event.start_ns > 6e9 for event in late)


def test_a_standing_car_does_not_seem_to_cross_while_the_vehicle_begins_to_turn() -> None:
    # The rate rises from 0 at 3 s to 0.12 rad/s at 4 s; the car stands where the way leads once it has turned.
    def turned_rad(t: Floats) -> Floats:
        return np.asarray(0.06 * np.clip(t - 3.0, 0.0, 1.0) ** 2 + 0.12 * np.maximum(t - 4.0, 0.0))

    own = driving(7.0, 10.0)
    own["yaw_rate_radps"] = 0.12 * np.clip(instants(7.0) / 1e9 - 3.0, 0.0, 1.0)
    t = np.arange(140) * RADAR_NS / 1e9
    east, north = (np.cumsum(10.0 * part(turned_rad(t))) * RADAR_NS / 1e9 for part in (np.cos, np.sin))
    ahead, left = 63.0 - east, 4.0 - north
    cosine, sine = np.cos(turned_rad(t)), np.sin(turned_rad(t))
    car = seen(7.0, lambda _: ahead * cosine + left * sine, lambda _: left * cosine - ahead * sine, -10.0)
    standing = track_signals(TRIGGERS, instants(7.0), [car], own)["standing_m"]
    # It stays within 1.4 m of the circle that was driven for a second, until it is passed.
    assert np.isfinite(standing[41:58]).all()


def test_a_cut_in_is_its_first_three_seconds_and_goes_on_while_the_newcomer_stops() -> None:
    own = driving(14.0, 12.0)

    def lateral_m(t: Floats) -> Floats:
        return np.asarray(np.clip(3.2 - 1.5 * (t - 4.0), 0.0, 3.2))

    newcomer = seen(14.0, 3.7 + 9.0, lateral_m, 0.0)
    (found,) = events("cut_in", own, newcomer)
    assert found.start_ns == pytest.approx(5.0e9, abs=0.2e9)
    assert found.end_ns - found.start_ns == 3_000_000_000
    assert found.value == pytest.approx(9.0 / 14.4, abs=0.02)
    far = seen(14.0, 3.7 + 20.0, lateral_m, 0.0)
    assert events("cut_in", own, far) == []


def test_a_slot_that_is_given_to_somebody_else_is_no_cut_in() -> None:
    own = driving(8.0, 12.0)
    beside = seen(4.0, 3.7 + 9.0, 3.2, 0.0)
    crossing = seen(8.0, 3.7 + 9.0, lambda t: 1.5 - 6.0 * (t - 4.4), -6.0)
    late = crossing.t_ns >= round(4.4e9)
    columns = {name: np.concatenate([beside.columns[name], crossing.columns[name][late]]) for name in beside.columns}
    reused = ObjectSlot(np.concatenate([beside.t_ns, crossing.t_ns[late]]), columns)
    assert events("cut_in", own, reused) == []


def test_a_swerve_goes_to_both_sides_whatever_a_crooked_accelerometer_says() -> None:
    own = driving(10.0, 15.0)
    t = instants(10.0) / 1e9
    jerk = np.where((t >= 4.0) & (t < 5.4), np.sin(2 * np.pi * (t - 4.0) / 1.4), 0.0)
    crooked = {"accel_lat_mps2": np.full(len(t), 2.5)}
    (found,) = events("swerve", {**own, **crooked, "yaw_rate_radps": 3.5 / 15.0 * jerk})
    assert found.start_ns == pytest.approx(4.2e9, abs=0.2e9)
    assert found.value == pytest.approx(3.5, abs=0.3)
    one_sided = np.where((t >= 4.0) & (t < 6.0), np.sin(np.pi * (t - 4.0) / 2.0), 0.0)
    assert events("swerve", {**own, **crooked, "yaw_rate_radps": 3.5 / 15.0 * one_sided}) == []


def test_positions_that_are_withheld_are_no_loss_of_reception() -> None:
    count = len(instants(30.0))
    place = np.full(count, 48.0)
    place[100:200] = np.nan
    speed = np.full(count, 10.0)
    own = {**driving(30.0, 10.0), "lat_deg": place}
    assert events("gnss_denied", {**own, "gnss_speed_mps": speed}) == []
    silent = np.where(np.isnan(place), np.nan, speed)
    (found,) = events("gnss_denied", {**own, "gnss_speed_mps": silent})
    assert (found.start_ns, found.end_ns) == (10_000_000_000, 20_000_000_000)
    nowhere_shown = np.full(count, np.nan)
    (found,) = events("gnss_denied", {**own, "lat_deg": nowhere_shown, "gnss_speed_mps": silent})
    assert (found.start_ns, found.end_ns) == (10_000_000_000, 20_000_000_000)


def test_a_receiver_that_never_tells_a_speed_cannot_be_told_from_privacy() -> None:
    place = np.full(len(instants(30.0)), 48.0)
    place[100:] = np.nan
    assert events("gnss_denied", {**driving(30.0, 10.0), "lat_deg": place}) == []
    (trigger,) = (one for one in TRIGGERS.triggers if one.name == "gnss_denied")
    assert "gnss_speed_mps" in trigger.signals - trigger.optional


@pytest.mark.parametrize(("speed_mps", "gap_m", "bend_m"), [(10.0, 11.0, 40.0), (12.0, 13.0, 80.0), (14.0, 9.0, 40.0)])
def test_who_is_followed_along_a_winding_lane_does_not_come_into_the_way(
    speed_mps: float, gap_m: float, bend_m: float
) -> None:
    # The vehicle still turns right where the one ahead turns left: its way leaves them aside, then comes over to them.
    s_m = np.arange(0.0, 300.0, 0.1)
    winds = (s_m > 60.0) & (s_m < 60.0 + 1.5 * bend_m)
    curvature = np.where(winds, 0.03 * np.sin(2.0 * np.pi * (s_m - 60.0) / bend_m), 0.0)
    course = np.cumsum(curvature) * 0.1
    east, north = np.cumsum(np.cos(course)) * 0.1, np.cumsum(np.sin(course)) * 0.1

    def ahead_and_left(t: Floats) -> tuple[Floats, Floats]:
        own_m, other_m = speed_mps * t, speed_mps * t + 3.7 + gap_m
        heading = np.interp(own_m, s_m, course)
        away = [np.interp(other_m, s_m, axis) - np.interp(own_m, s_m, axis) for axis in (east, north)]
        return (
            away[0] * np.cos(heading) + away[1] * np.sin(heading),
            away[1] * np.cos(heading) - away[0] * np.sin(heading),
        )

    turning = speed_mps * np.interp(speed_mps * instants(12.0) / 1e9, s_m, curvature)
    own = {**driving(12.0, speed_mps), "yaw_rate_radps": turning}
    followed = seen(12.0, lambda t: ahead_and_left(t)[0], lambda t: ahead_and_left(t)[1], 0.0)
    assert events("cut_in", own, followed) == []


def test_who_is_asked_to_take_over_did_not_drive_however_short_the_engagement_was() -> None:
    count = len(instants(20.0))
    state = np.full(count, 1.0)
    state[100:130] = 4.0
    own = {**driving(20.0, 10.0), "adas_state": state, "adas_engaged": np.zeros(count)}
    (found,) = events("disengagement", own)
    assert (found.start_ns, found.end_ns) == (10_000_000_000, 13_000_000_000)
    from_the_start = np.full(count, 1.0)
    from_the_start[:30] = 4.0
    assert events("disengagement", {**own, "adas_state": from_the_start}) == []


def test_fast_on_a_slow_road_is_speeding_once_it_lasts() -> None:
    own = driving(20.0, 15.0)
    limit = np.full(len(instants(20.0)), 50 / 3.6)
    assert events("speeding", {**own, "speed_limit_mps": limit}) == []
    limit[50:120] = 30 / 3.6
    (found,) = events("speeding", {**own, "speed_limit_mps": limit})
    assert (found.start_ns, found.end_ns) == (5_000_000_000, 12_000_000_000)
    limit[70:] = 50 / 3.6
    assert events("speeding", {**own, "speed_limit_mps": limit}) == []


def test_who_comes_out_of_the_corner_that_the_sensor_does_not_see_cuts_in_from_first_sight_on() -> None:
    own = driving(14.0, 12.0)
    newcomer = seen(14.0, 3.7 + 6.0, lambda t: np.clip(3.2 - 1.5 * (t - 4.0), 0.0, 3.2), 0.0)
    late = newcomer.t_ns >= round(5.15e9)
    glimpsed = ObjectSlot(newcomer.t_ns[late], {name: column[late] for name, column in newcomer.columns.items()})
    (found,) = events("cut_in", own, glimpsed)
    assert found.start_ns == pytest.approx(5.2e9, abs=0.1e9)
    stays = seen(14.0, 3.7 + 6.0, 1.2, 0.0)
    appears = ObjectSlot(stays.t_ns[late], {name: column[late] for name, column in stays.columns.items()})
    assert events("cut_in", own, appears) == []


def test_who_changes_lanes_behind_somebody_is_not_cut_in_on() -> None:
    # Half a sine to the left and back over four seconds: 3.4 m across at 12 m/s, behind a car in the next lane.
    t = np.arange(280) * RADAR_NS / 1e9

    def turned_rad(at_s: Floats) -> Floats:
        return np.asarray(0.14 * np.sin(np.pi * np.clip((at_s - 5.0) / 4.0, 0.0, 1.0)) ** 2)

    own = driving(14.0, 12.0)
    own["yaw_rate_radps"] = np.gradient(turned_rad(instants(14.0) / 1e9), 0.1)
    across = np.cumsum(12.0 * np.sin(turned_rad(t))) * RADAR_NS / 1e9
    assert across[-1] == pytest.approx(3.4, abs=0.2)
    ahead, cosine, sine = 3.7 + 10.0, np.cos(turned_rad(t)), np.sin(turned_rad(t))
    left = 3.4 - across
    other = seen(14.0, ahead * cosine + left * sine, left * cosine - ahead * sine, 0.0)
    assert events("cut_in", own, other) == []


def test_a_cut_in_ends_where_the_vehicle_s_own_way_bends_away_from_the_newcomer() -> None:
    own = driving(14.0, 12.0)
    own["yaw_rate_radps"] = np.where(instants(14.0) >= round(6.8e9), 0.12, 0.0)
    turned = 0.12 * np.clip(np.arange(280) * RADAR_NS / 1e9 - 6.8, 0.0, 0.8)
    newcomer = seen(14.0, 3.7 + 9.0, lambda t: np.clip(3.2 - 1.5 * (t - 4.0), 0.0, 3.2) - 12.7 * turned, 0.0)
    straight_on = seen(14.0, 3.7 + 9.0, lambda t: np.clip(3.2 - 1.5 * (t - 4.0), 0.0, 3.2), 0.0)
    (found,) = events("cut_in", own, newcomer)
    # From 6.8 s on the way leads 0.8 m aside where the newcomer is, who is 1.9 m away from it half a second later.
    assert found.end_ns == pytest.approx(7.4e9, abs=0.2e9)
    (lasting,) = events("cut_in", {**own, "yaw_rate_radps": np.zeros(len(instants(14.0)))}, straight_on)
    assert lasting.end_ns - lasting.start_ns == 3_000_000_000


def test_a_gyroscope_that_reads_too_much_does_not_bend_the_way() -> None:
    own = driving(16.0, 10.0)
    biased = 0.012
    own["yaw_rate_radps"] = np.full(len(instants(16.0)), biased)
    own["speed_mps"] = np.where(instants(16.0) < round(4e9), 0.0, 10.0)
    car = seen(16.0, lambda t: 100.0 - 10.0 * np.maximum(t - 4.0, 0.0), 0.0, lambda t: np.where(t < 4.0, 0.0, -10.0))
    standing = track_signals(TRIGGERS, instants(16.0), [car], own)["standing_m"]
    assert np.isfinite(standing[90:120]).all()
    moving = {**own, "speed_mps": np.full(len(instants(16.0)), 10.0)}
    crooked = track_signals(TRIGGERS, instants(16.0), [car], moving)["standing_m"]
    assert np.isnan(crooked[50:70]).all()


def test_the_receiver_corrects_wheels_that_read_too_little() -> None:
    own = driving(60.0, 16.6)
    own["gnss_speed_mps"] = np.full(len(instants(60.0)), 16.75)
    limit = np.full(len(instants(60.0)), 50 / 3.6)
    (found,) = events("speeding", {**own, "speed_limit_mps": limit})
    assert found.start_ns == pytest.approx(30e9, abs=0.2e9)
    del own["gnss_speed_mps"]
    assert events("speeding", {**own, "speed_limit_mps": limit}) == []


def test_speeding_goes_on_while_no_position_is_known() -> None:
    own = driving(30.0, 18.0)
    limit = np.full(len(instants(30.0)), 50 / 3.6)
    limit[100:160] = np.nan
    (found,) = events("speeding", {**own, "speed_limit_mps": limit})
    assert (found.start_ns, found.end_ns) == (0, 30_000_000_000)
