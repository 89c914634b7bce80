"""Clocks and timing of the simulated sensors."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from kinematic_drive import START_NS

from services.fleet_simulator.sensors.clock import Clock, ClockJump, Timing, draw_clock, draw_timing, random_stream

PERFECT = Clock(START_NS, 0, 0)
POLICY = {
    "header_clock": {"offset_sd_ms": 5, "drift_sd_ppm": 15},
    "timing": {"imu": {"rate_hz": 100, "latency_ms": {"mean": 10, "uncertainty": 4}, "jitter_ms": 1}},
}


@given(
    offset_ns=st.integers(-(10**9), 10**9),
    drift_ppb=st.integers(-200_000, 200_000),
    since_ns=st.integers(0, 86_400 * 10**9),
)
def test_a_clock_shows_true_time_plus_offset_plus_drift_to_the_nanosecond(
    offset_ns: int, drift_ppb: int, since_ns: int
) -> None:
    shown = int(Clock(START_NS, offset_ns, drift_ppb).read(np.array([START_NS + since_ns]))[0])
    assert shown == START_NS + since_ns + offset_ns + since_ns * drift_ppb // 10**9


def test_a_jump_holds_from_its_instant_on() -> None:
    clock = Clock(START_NS, 0, 0, (ClockJump(START_NS + 100, -30),))
    assert (clock.read(START_NS + np.array([99, 100, 101])) - START_NS).tolist() == [99, 70, 71]


@given(cut_ns=st.integers(0, 2 * 10**9))
def test_measurements_are_the_same_wherever_a_drive_is_cut(cut_ns: int) -> None:
    timing = Timing(7_000_001, 123_456, 0, 0, PERFECT)
    end = START_NS + 2 * 10**9
    whole = timing.measured(START_NS, START_NS, end)
    parts = [timing.measured(START_NS, START_NS, START_NS + cut_ns), timing.measured(START_NS, START_NS + cut_ns, end)]
    assert np.concatenate(parts).tolist() == whole.tolist()
    assert set(np.diff(whole).tolist()) == {7_000_001}


def test_delays_have_the_stated_mean_and_spread_and_are_never_negative() -> None:
    delays = Timing(10**7, 0, 10_000_000, 1_000_000, PERFECT).delays(200_000, random_stream(1, "test"))
    assert abs(delays.mean() - 10e6) < 10_000
    assert abs(delays.std() - 1e6) < 10_000
    assert delays.min() >= 0


def test_every_drive_has_a_mean_latency_of_its_own_within_the_uncertainty() -> None:
    latencies = [draw_timing(POLICY, seed, "imu", START_NS).latency_ns for seed in range(200)]
    assert 6e6 <= min(latencies) < 6.5e6
    assert 13.5e6 < max(latencies) <= 14e6


def test_parts_of_one_device_share_its_clock() -> None:
    alone = draw_clock(POLICY["header_clock"], 3, "gnss", START_NS)
    assert draw_timing(POLICY, 3, "imu", START_NS, device="gnss").clock == alone
    assert draw_timing(POLICY, 3, "imu", START_NS).clock != alone


def test_random_streams_differ_by_drive_and_by_part() -> None:
    draws = {
        float(random_stream(seed, *names).random())
        for seed in (1, 2)
        for names in (("imu", "noise"), ("imu", "errors"), ("radar", "noise"))
    }
    assert len(draws) == 6
