"""Jumps of clocks, found to the pair, and the clocks of all sensors of a drive."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic_drive import (
    CANONICAL,
    MS,
    SPEC,
    START_NS,
    SYNC,
    Part,
    S,
    every,
    healthy,
    pairs_of,
    parse_spec,
    spec_document,
)

from fleet_assets.ingestion.sensor_series import split_series
from fleet_assets.ingestion.sensor_sync_and_format_conversion.clock_jumps import Jump, makes_jump, split_at_jumps
from fleet_assets.ingestion.sensor_sync_and_format_conversion.clock_model import (
    ClockBounds,
)
from fleet_assets.ingestion.sensor_sync_and_format_conversion.sensor_clocks import drive_clocks

BOUNDS = ClockBounds.from_policy(SYNC)


def autoregressive(rng, n, rho, sd):
    noise = rng.normal(0, sd, n)
    for index in range(1, n):
        noise[index] = rho * noise[index - 1] + math.sqrt(1 - rho**2) * noise[index]
    return noise


# Jumps


def stepped(n, place, step_s, rate_hz=1.0, *, sd=0.02, seed=0):
    """Pairs whose clock is set back by `step_s` (leaps ahead when negative) between two of them."""
    rng = np.random.default_rng(seed)
    true_s = np.arange(n) / rate_hz
    later = np.arange(n) >= place
    return pairs_of(true_s - step_s * later, step_s * later + rng.normal(0, sd, n))


@settings(max_examples=60, deadline=None)
@given(
    st.integers(3, 57),
    st.sampled_from([-4000.0, -30.0, -1.0, 1.0, 2.6]),
    st.sampled_from([1.0, 10.0]),
    st.integers(0, 9),
)
def test_a_jump_is_located_between_the_right_two_pairs(place, step_s, rate_hz, seed):
    place = min(max(place, 30), 33) if step_s > 0 else place
    pairs = stepped(60, place, step_s, rate_hz, seed=seed)
    stretches, [jump] = split_at_jumps(pairs, BOUNDS)
    assert (jump.before_ns, jump.after_ns) == (pairs.t_ns[place - 1], pairs.t_ns[place])
    assert jump.step_ns == pytest.approx(step_s * S, abs=0.1 * S)
    assert [len(part) for part in stretches] == [place, 60 - place]


@pytest.mark.parametrize("place", [3, 4, 5, 55, 56, 57])
def test_a_jump_near_an_end_is_found_from_three_pairs_on(place):
    [jump] = split_at_jumps(stepped(60, place, -3.0), BOUNDS)[1]
    assert jump.before_ns == START_NS + (place - 1) * S


def test_six_pairs_are_enough_for_a_jump():
    assert [len(part) for part in split_at_jumps(stepped(6, 3, -3.0), BOUNDS)[0]] == [3, 3]


def test_a_clock_that_is_set_and_set_right_again_soon_makes_two_jumps():
    offset = np.zeros(60)
    offset[30:34] = 8.0
    stretches, jumps = split_at_jumps(pairs_of(np.arange(60.0), offset), BOUNDS)
    assert [len(part) for part in stretches] == [30, 4, 26]
    assert [jump.step_ns for jump in jumps] == [8 * S, -8 * S]


def test_noise_outliers_and_drift_are_no_jumps():
    rng = np.random.default_rng(5)
    seconds = np.arange(2000.0)
    noise = autoregressive(rng, 2000, 0.7, 0.05)
    noise[[0, 100, 101, 900, 1999]] += [-4.0, 3.0, 3.0, -5.0, 9.0]
    assert split_at_jumps(pairs_of(seconds, 200e-6 * seconds + noise), BOUNDS)[1] == ()


def test_drift_over_a_long_outage_is_no_jump():
    seconds = np.concatenate([np.arange(60.0), np.arange(3540.0, 3600.0)])
    assert split_at_jumps(pairs_of(seconds, 190e-6 * seconds), BOUNDS)[1] == ()


@pytest.mark.parametrize(("beyond_ns", "jumps"), [(0, 0), (1000, 1)])
def test_a_step_is_a_jump_beyond_the_limit_only(beyond_ns, jumps):
    seconds = np.arange(40.0)
    step_s = BOUNDS.min_jump_s + 9 * 200e-6 + beyond_ns / S
    assert len(split_at_jumps(pairs_of(seconds, step_s * (seconds >= 20)), BOUNDS)[1]) == jumps


def test_two_jumps_make_three_stretches_with_their_own_clocks():
    seconds = np.arange(90.0)
    offset = np.where(seconds < 30, 0.0, np.where(seconds < 60, -5.0, 2.0))
    stretches, jumps = split_at_jumps(pairs_of(seconds, offset), BOUNDS)
    assert [len(part) for part in stretches] == [30, 30, 30]
    assert [jump.step_ns / S for jump in jumps] == [-5.0, 7.0]


def test_noisy_pairs_do_not_fall_apart_into_jumps():
    rng = np.random.default_rng(1)
    assert split_at_jumps(pairs_of(np.arange(500.0), rng.normal(0, 0.5, 500)), BOUNDS)[1] == ()


@pytest.mark.parametrize("count", range(6))
def test_few_pairs_have_no_jump(count):
    assert split_at_jumps(pairs_of(np.arange(count), np.arange(count) * 5.0), BOUNDS)[1] == ()


def test_stamps_that_a_set_back_clock_repeats_lie_in_the_named_stretch():
    [jump] = split_at_jumps(stepped(60, 30, 7.0), BOUNDS)[1]
    first, last = jump.repeated_ns
    # The clock was set back by 7 s somewhere between true seconds 29 and 30: stamps 22 to 30 may occur twice.
    assert first == pytest.approx(START_NS + 22 * S, abs=0.1 * S)
    assert last == pytest.approx(START_NS + 30 * S, abs=0.1 * S)
    assert split_at_jumps(stepped(60, 30, -7.0), BOUNDS)[1][0].repeated_ns is None


def test_a_sensor_shows_by_its_own_stamps_whether_it_made_a_jump():
    ahead, back = Jump(29 * S, 35 * S, S, -5 * S), Jump(29 * S, 25 * S, S, 5 * S)
    steady = np.arange(0, 60 * S, S // 50)
    leapt = np.where(steady >= 30 * S, steady + 5 * S, steady)
    set_back = np.sort(np.where(steady >= 30 * S, steady - 5 * S, steady))
    assert [makes_jump(one, ahead) for one in (steady, leapt)] == [False, True]
    assert [makes_jump(one, back) for one in (steady, set_back)] == [False, True]


def test_silences_elsewhere_do_not_count_as_a_jump():
    ahead = Jump(29 * S, 35 * S, S, -5 * S)
    steady = np.arange(0, 60 * S, S // 50)
    for first, last in ((5 * S, 20 * S), (40 * S, 55 * S)):
        assert makes_jump(steady[(steady < first) | (steady > last)], ahead) is False


def test_a_step_back_by_four_periods_can_be_counted():
    stamps = np.arange(0, 60 * S, S)
    back = np.sort(np.where(stamps >= 30 * S, stamps - 4 * S, stamps))
    assert makes_jump(back, Jump(29 * S, 26 * S, S, 4 * S)) is True
    assert makes_jump(stamps, Jump(29 * S, 26 * S, S, 4 * S)) is False
    assert makes_jump(back, Jump(29 * S, 26 * S, S, 4 * S - 1)) is None


def test_sparse_or_odd_stamps_do_not_tell():
    ahead, back = Jump(29 * S, 30 * S, S, -(S // 4)), Jump(29 * S, 25 * S, S, 2 * S)
    slow = np.arange(0, 60 * S, S)
    assert makes_jump(slow, ahead) is None
    assert makes_jump(slow, back) is None
    assert makes_jump(slow[:3], back) is None
    assert makes_jump(np.zeros(50, dtype=np.int64), back) is None


def test_a_clock_set_back_beyond_the_start_leaves_two_stretches_in_the_order_of_their_stamps():
    pairs = stepped(60, 40, 4000.0)
    stretches, [jump] = split_at_jumps(pairs, BOUNDS)
    assert [len(part) for part in stretches] == [20, 40]
    assert (jump.before_ns, jump.after_ns) == (pairs.t_ns[-1], pairs.t_ns[0])
    stamps = np.sort(np.concatenate([np.arange(0, 40 * S, 20 * MS), np.arange(40 * S, 60 * S, 20 * MS) - 4000 * S]))
    assert makes_jump(START_NS + stamps, jump)
    assert makes_jump(np.arange(START_NS - 4000 * S, START_NS + 60 * S, 20 * MS), jump) is False
    # A step that only just leaves the start behind: the silence is short beside the step.
    barely = Jump(-S, 0, 7 * S, -7 * S)
    stamps = np.sort(np.concatenate([np.arange(0, 300 * MS, 20 * MS), np.arange(-6700 * MS, -S, 20 * MS)]))
    assert makes_jump(stamps, barely)


# Clocks of a drive


def clocks(recording, spec=SPEC, **more):
    return drive_clocks(split_series(recording.samples), spec, CANONICAL, recording.drive, BOUNDS, **more)


def skewed(recording, offset_s, drift_ppm, latency_ns=0):
    """The recorder's clock is wrong by so much, and GNSS messages come late by a latency; the truth is UTC."""

    def stamps(t_ns, late_ns=0):
        late = t_ns + late_ns
        return late - np.rint((offset_s + drift_ppm * 1e-6 * (late - START_NS) / S) * S).astype(np.int64)

    def change(part):
        moved = stamps(part.t_ns, latency_ns if part.sensor == "gnss" else 0)
        value = (part.t_ns - moved) / S if part.signal == "gnss_utc_offset_s" else part.value
        return Part(part.sensor, part.signal, moved, value, instance=part.instance)

    return recording.mapped(change)


def test_all_sensors_share_the_recorders_clock_and_differ_by_their_latency():
    document = spec_document()
    document["sensors"]["gnss"]["latency_ms"] = {"mean": 120, "uncertainty": 50}
    document["sensors"]["imu"]["latency_ms"] = {"mean": 15, "uncertainty": 5}
    spec = parse_spec(document)
    found = clocks(skewed(healthy(), 0.8, 0.0, 120 * MS), spec)
    offsets = {name: clock.segments[0].offset_ns for name, clock in found.sensors.items()}
    assert offsets["wheels"] == pytest.approx(0.8 * S, abs=1000)
    assert offsets["wheels"] - offsets["gnss"] == 120 * MS
    assert offsets["wheels"] - offsets["imu"] == 15 * MS
    assert found.recording.segments[0].offset_ns == offsets["wheels"]
    assert {clock.source for clock in found.sensors.values()} == {"gnss"}


def test_a_sensor_that_states_utc_has_a_clock_of_its_own():
    document = spec_document()
    document["sensors"]["wheels"]["utc"] = {"field": "utc", "unit": "s"}
    wheels = every(50, 30)
    recording = healthy().having(Part("wheels", "gnss_utc_offset_s", wheels, np.full(len(wheels), -0.25)))
    found = clocks(recording, parse_spec(document))
    assert found.sensors["wheels"].source == "wheels"
    assert found.sensors["wheels"].segments[0].offset_ns == round(-0.25 * S)
    assert found.sensors["imu"].segments[0].offset_ns == 0


def test_a_sensor_that_sent_nothing_has_no_clock():
    found = clocks(healthy().mapped(lambda part: part.without(slice(0, 0)), ["pedals"]), sensors=["stranger"])
    assert list(found.sensors) == ["gnss", "imu", "radar", "wheels"]


def test_when_no_sensor_can_tell_the_pairs_are_believed():
    recording = healthy(60).mapped(lambda part: part.without(slice(0, 0)), ["imu", "wheels", "pedals", "radar"])

    def change(part):
        later = part.t_ns >= START_NS + 30 * S
        value = part.value + 2.0 * later if part.signal == "gnss_utc_offset_s" else part.value
        return Part(part.sensor, part.signal, part.t_ns - 2 * S * later, value)

    assert [one.jump_ns for one in clocks(recording.mapped(change)).sensors["gnss"].segments] == [0, 2 * S]


def test_without_utc_the_drive_is_taken_as_it_is():
    recording = healthy().mapped(lambda part: part.without(slice(0, 0)), ["gnss"]).lasting(time_source="container")
    found = clocks(recording, sensors=["radar"])
    [segment] = found.sensors["imu"].segments
    assert (segment.offset_ns, segment.drift_ppm, segment.offset_se_ns, segment.samples) == (0, 0.0, None, 0)
    assert found.sensors["imu"].source == "container"


def test_a_start_that_a_person_gave_is_not_overruled_by_a_sensor_that_was_not_believed():
    found = clocks(healthy().lasting(time_source="given"))
    assert {clock.source for clock in found.sensors.values()} == {"given"}


def test_utc_of_a_receiver_that_counts_from_1980_is_not_used():
    gnss = healthy(60).part("gnss", "gnss_utc_offset_s")
    for years in (-40, 150):
        found = clocks(healthy(60).having(gnss.put(slice(0, 40), years * 365 * 86400.0)))
        [segment] = found.sensors["gnss"].segments
        assert (segment.offset_ns, segment.samples) == (0, 21)


def test_a_receiver_whose_utc_steps_moves_nobody_and_the_longer_stretch_counts():
    gnss = healthy(60).part("gnss", "gnss_utc_offset_s")
    for place, offset_s in ((20, 2.0), (40, 0.0)):
        found = clocks(healthy(60).having(gnss.put(slice(place, None), 2.0)))
        assert all(len(clock.segments) == 1 for clock in found.sensors.values())
        assert found.sensors["imu"].segments[0].offset_ns == round(offset_s * S)


@pytest.mark.parametrize("by_s", [20.0, -5.0])
def test_stamps_after_a_jump_of_the_recorder_come_back_to_true_time(by_s):
    at_ns, by_ns = START_NS + 30 * S + S // 2, round(by_s * S)

    def change(part):
        later = part.t_ns >= at_ns
        value = part.value - by_s * later if part.signal == "gnss_utc_offset_s" else part.value
        return Part(part.sensor, part.signal, part.t_ns + by_ns * later, value, instance=part.instance)

    true = healthy(60)
    found = clocks(true.mapped(change))
    for name, clock in found.sensors.items():
        assert [segment.jump_ns for segment in clock.segments] == [0, -by_ns]
        signal = {"gnss": "lat_deg", "radar": "track_distance_m"}.get(name) or next(iter(SPEC.sensors[name].signals))
        truth = true.part(name, signal).t_ns
        stamps = truth + by_ns * (truth >= at_ns)
        kept = np.ones(len(stamps), dtype=bool)
        for first, last in clock.repeated_ns:
            kept &= (stamps < first) | (stamps > last)
        assert np.abs(clock.correct(stamps)[kept] - truth[kept]).max() < 1000
        assert kept.mean() > 0.75


def test_a_short_way_back_in_a_long_drive_of_a_jittering_clock_is_one_jump():
    """The jitter of thousands of pairs outweighed the few that a set-back interleaves: it became up to five jumps."""
    rng = np.random.default_rng(8)
    true_s = np.arange(0, 600, 0.1)
    late_s = 0.06 + rng.gamma(4, 0.001, len(true_s))
    stamps_s = true_s + late_s - 0.54 * (true_s + late_s >= 300)
    stretches, jumps = split_at_jumps(pairs_of(stamps_s, true_s - stamps_s), BOUNDS)
    assert [len(stretch) for stretch in stretches] == [3000, 3000]
    assert [jump.step_ns / 1e9 for jump in jumps] == [pytest.approx(0.54, abs=0.005)]
