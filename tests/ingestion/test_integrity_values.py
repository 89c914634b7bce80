"""Integrity rules about values: range, spike, missing numbers; limits are tried exactly, on both sides."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic_drive import (
    CANONICAL,
    MS,
    RULES,
    Part,
    S,
    examine,
    healthy,
    rules_of,
)

from fleet_assets.ingestion.integrity_and_pii_redaction.value_rules import out_of_range, spikes
from fleet_assets.policy.canonical import SpikeRule

HEALTHY = healthy()
IMU = HEALTHY.part("imu", "accel_long_mps2")


# Values


@pytest.mark.parametrize("name", ["accel_long_mps2", "yaw_rate_radps"])
@pytest.mark.parametrize("side", [0, 1])
def test_the_bound_of_a_range_is_possible_and_the_next_number_is_not(name, side):
    bound = CANONICAL.signals[name].range[side]
    beyond = math.nextafter(bound, math.inf if side else -math.inf)
    assert not out_of_range(np.array([bound]), CANONICAL.signals[name]).any()
    part = Part("imu", name, IMU.t_ns, np.full(len(IMU.t_ns), bound))
    assert "range" not in rules_of(examine(HEALTHY.having(part)))
    [row] = [row for row in examine(HEALTHY.having(part.put(5, beyond))) if row["rule"] == "range"]
    assert (row["value"], row["limit"], row["signal"], row["instance"]) == (beyond, bound, name, 0)
    assert row["t_ns"] == row["end_ns"] == IMU.t_ns[5]


def test_samples_that_the_sensor_itself_flags_are_named_all_the_same():
    [row] = examine(HEALTHY.having(IMU.put(700, -64.0).flagged(700)))
    assert (row["rule"], row["value"], row["t_ns"]) == ("range", -64.0, IMU.t_ns[700])
    assert "flags this as invalid" in row["message"]
    [unflagged] = examine(HEALTHY.having(IMU.put(700, -64.0)))
    assert "flags" not in unflagged["message"]


def test_neighbouring_breaches_are_one_finding_and_a_good_sample_parts_them():
    broken = IMU.put(slice(100, 150), 60.0).put(120, -70.0).put(140, 1.0)
    rows = examine(HEALTHY.having(broken))
    assert "40 samples" in rows[0]["message"]
    assert [(row["t_ns"], row["end_ns"], row["value"]) for row in rows] == [
        (IMU.t_ns[100], IMU.t_ns[139], -70.0),
        (IMU.t_ns[141], IMU.t_ns[149], 60.0),
    ]


def test_a_switch_is_on_or_off():
    pedal = HEALTHY.part("pedals", "brake_pressed")
    assert rules_of(examine(HEALTHY.having(pedal.put(3, 0.5)))) == ["range"]


def test_each_slot_of_a_radar_is_judged_on_its_own():
    slot = HEALTHY.part("radar", "track_distance_m", 1)
    [row] = examine(HEALTHY.having(slot.put(8, 500.0)))
    assert (row["sensor"], row["instance"], row["t_ns"]) == ("radar", 1, slot.t_ns[8])


def test_messages_without_a_number_are_named_once_per_stretch():
    [row] = examine(HEALTHY.having(IMU.put(slice(10, 20), math.nan)))
    assert (row["rule"], row["severity"], row["t_ns"], row["end_ns"]) == (
        "no_value",
        "note",
        IMU.t_ns[10],
        IMU.t_ns[19],
    )


def test_share_that_the_sensor_does_not_vouch_for_is_allowed_up_to_the_limit():
    share = RULES["invalid_share"]["max_share"]
    part = IMU.without(slice(0, 3000))
    allowed = round(3000 * share)
    assert allowed == 3000 * share
    assert examine(HEALTHY.having(part.flagged(slice(1000, 1000 + allowed)))) == []
    [row] = examine(HEALTHY.having(part.flagged(slice(1000, 1000 + allowed + 1))))
    assert (row["rule"], row["signal"], row["limit"]) == ("invalid_share", "accel_long_mps2", share)
    assert row["value"] == pytest.approx(share + 1 / 3000)


# Spikes

RULE = SpikeRule(neighbours=5, threshold=10.0)
STEADY = np.arange(60) * 10 * MS


def find_spikes(value, t_ns=STEADY, *, max_samples=3, max_gap_s=0.5):
    return [run for run, _ in spikes(t_ns, np.asarray(value, dtype=float), RULE, max_gap_s, max_samples)]


def bump(first, last, height, base=0.0):
    value = np.full(60, base)
    value[first : last + 1] += height
    return value


@pytest.mark.parametrize("sign", [1, -1])
def test_a_spike_is_beyond_the_threshold_never_on_it(sign):
    assert find_spikes(bump(30, 30, sign * 10.0)) == []
    assert find_spikes(bump(30, 30, sign * math.nextafter(10.0, 11))) == [(30, 30)]


def test_a_spike_is_isolated_up_to_the_longest_run():
    assert find_spikes(bump(30, 32, 50)) == [(30, 32)]
    assert find_spikes(bump(30, 33, 50)) == []
    assert find_spikes(bump(30, 33, 50), max_samples=4) == [(30, 33)]


def test_a_spike_returns_so_that_steps_ramps_and_ends_are_none():
    assert find_spikes(bump(30, 59, 50)) == []
    assert find_spikes(np.arange(60) * 8.0) == []
    assert find_spikes(bump(0, 0, 50)) == []
    assert find_spikes(bump(59, 59, 50)) == []
    assert find_spikes(bump(1, 1, 50)) == [(1, 1)]
    assert find_spikes(bump(58, 58, 50)) == [(58, 58)]


def test_samples_beyond_a_gap_are_no_neighbours():
    t_ns = STEADY.copy()
    t_ns[31:] += S // 2 - 10 * MS
    assert find_spikes(bump(30, 30, 50), t_ns) == [(30, 30)]
    t_ns[31:] += 1
    assert find_spikes(bump(30, 30, 50), t_ns) == []
    assert find_spikes(bump(30, 30, 50), t_ns, max_gap_s=None) == [(30, 30)]


def _spikes_by_definition(value, neighbours, threshold, max_samples):
    """Brute force: every sample against the median of its own window."""
    far = []
    for index, one in enumerate(value):
        window = sorted(value[max(index - neighbours, 0) : index + neighbours + 1])
        middle = len(window) // 2
        median = window[middle] if len(window) % 2 else (window[middle - 1] + window[middle]) / 2
        far.append(abs(one - median) > threshold)
    found, index = [], 0
    while index < len(far):
        last = index
        while last + 1 < len(far) and far[last + 1] and far[index]:
            last += 1
        if far[index] and index > 0 and last + 1 < len(far) and last - index + 1 <= max_samples:
            found.append((index, last))
        index = last + 1
    return found


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.integers(-30, 30), min_size=2, max_size=40),
    st.integers(1, 5),
    st.integers(1, 20),
    st.integers(1, 4),
)
def test_spikes_are_those_of_the_definition(value, neighbours, threshold, max_samples):
    rule = SpikeRule(neighbours, float(threshold))
    t_ns = np.arange(len(value)) * 10 * MS
    found = [run for run, _ in spikes(t_ns, np.array(value, dtype=float), rule, 0.5, max_samples)]
    assert found == _spikes_by_definition(value, neighbours, threshold, max_samples)


def test_a_spike_in_a_drive_is_cut_with_its_distance_and_threshold():
    threshold = CANONICAL.signals["accel_long_mps2"].spike.threshold
    [row] = examine(HEALTHY.having(IMU.put(1500, 20.0)))
    assert (row["rule"], row["severity"], row["limit"], row["t_ns"]) == ("spike", "cut", threshold, IMU.t_ns[1500])
    assert row["value"] == pytest.approx(20 - np.sin(15), abs=0.05)


def test_a_bad_sample_is_named_by_one_rule_only_and_does_not_hide_its_neighbour():
    broken = IMU.put(1500, 60.0).put(1501, 20.0)
    assert [(row["rule"], row["t_ns"]) for row in examine(HEALTHY.having(broken))] == [
        ("range", IMU.t_ns[1500]),
        ("spike", IMU.t_ns[1501]),
    ]
