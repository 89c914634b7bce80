"""Integrity rules on drives with one known defect each; limits are tried exactly, on both sides."""

import math

import numpy as np
import pyarrow as pa
import pyarrow.compute
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic_drive import (
    CANONICAL,
    INTEGRITY,
    KEYS,
    MS,
    RULES,
    SPEC,
    START_NS,
    SYNC,
    Part,
    Recording,
    S,
    every,
    healthy,
    parse_spec,
    spec_document,
)

from fleet_assets.ingestion.integrity_and_pii_redaction.clock_rules import clock_findings
from fleet_assets.ingestion.integrity_and_pii_redaction.findings import Examination
from fleet_assets.ingestion.integrity_and_pii_redaction.rules import find_breaches
from fleet_assets.ingestion.integrity_and_pii_redaction.sensor_rules import covered_ns
from fleet_assets.ingestion.integrity_and_pii_redaction.value_rules import out_of_range, runs, spikes
from fleet_assets.ingestion.sensor_sync_and_format_conversion.clock_model import ClockSegment
from fleet_assets.ingestion.sensor_sync_and_format_conversion.sensor_clocks import DriveClocks, SensorClock
from fleet_assets.policy.canonical import SpikeRule
from fleet_assets.policy.documents import InvalidPolicyError, load_document

HEALTHY = healthy()
IMU = HEALTHY.part("imu", "accel_long_mps2")


def examine(recording: Recording, **policy: object) -> list[dict]:
    rules = {**RULES, **{name: {**RULES[name], **changes} for name, changes in policy.items()}}
    found = find_breaches(
        recording.samples, recording.sensor_streams, SPEC, CANONICAL, {"rules": rules}, recording.drive
    )
    return found.to_pylist()


def rules_of(found: list[dict]) -> list[str]:
    return [row["rule"] for row in found]


def test_a_healthy_drive_has_no_finding():
    assert examine(HEALTHY) == []


def test_every_finding_carries_drive_severity_and_remedy_of_the_policy():
    [row] = examine(HEALTHY.having(IMU.put(700, 99.0)))
    assert {name: row[name] for name in KEYS} == KEYS
    assert row["severity"] == RULES["range"]["severity"] == "cut"
    assert row["message"].endswith(RULES["range"]["remedy"])
    assert "1 sample at +7.000 s" in row["message"]
    assert "99" in row["message"]


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


# Sensors


def test_a_required_sensor_without_messages_quarantines_the_drive_and_an_optional_one_does_not():
    assert examine(HEALTHY.mapped(lambda part: part.without(slice(0, 0)), ["wheels", "radar"])) == []
    rows = examine(HEALTHY.mapped(lambda part: part.without(slice(0, 0)), ["imu"]))
    assert [(row["rule"], row["severity"], row["sensor"], row["value"]) for row in rows] == [
        ("sensor_missing", "drive", "imu", 0)
    ]
    assert (rows[0]["t_ns"], rows[0]["end_ns"]) == (START_NS, START_NS + 30 * S)


def test_fewest_messages_of_a_required_sensor_are_enough():
    recording = HEALTHY.stream("imu", messages=7)
    assert "sensor_missing" not in rules_of(examine(recording, sensor_missing={"min_messages": 7}))
    assert "sensor_missing" in rules_of(examine(recording, sensor_missing={"min_messages": 8}))


@pytest.mark.parametrize(("extra", "broken"), [(0, []), (1, ["sensor_short"])])
def test_a_required_sensor_covers_at_least_its_share_of_the_drive(extra, broken):
    share = RULES["sensor_short"]["min_share"]
    kept = HEALTHY.mapped(lambda part: part.without(part.t_ns <= START_NS + 15 * S), ["imu"])
    recording = kept.lasting(end_ns=START_NS + round(15 * S / share) + extra)
    found = examine(recording, signal_short={"min_share": 0.0})
    assert rules_of(found) == broken


def test_silences_do_not_count_as_covered():
    hole = HEALTHY.mapped(
        lambda part: part.without((part.t_ns < START_NS + 2 * S) | (part.t_ns > START_NS + 28 * S)), ["imu"]
    )
    assert rules_of(examine(hole)) == ["gap", "sensor_short"]


@pytest.mark.parametrize(("extra", "broken"), [(0, []), (1, ["signal_short"])])
def test_a_required_sensor_vouches_for_each_signal_during_its_share(extra, broken):
    share = RULES["signal_short"]["min_share"]
    kept = HEALTHY.having(IMU.flagged(IMU.t_ns > START_NS + 15 * S))
    recording = kept.lasting(end_ns=START_NS + round(15 * S / share) + extra)
    found = examine(recording, invalid_share={"max_share": 1.0}, sensor_short={"min_share": 0.0})
    assert rules_of(found) == broken
    if broken:
        assert (found[0]["severity"], found[0]["signal"]) == ("drive", "accel_long_mps2")


def test_a_signal_of_a_required_sensor_that_never_came_is_named():
    parts = {key: part for key, part in HEALTHY.parts.items() if key[1] != "yaw_rate_radps"}
    [row] = examine(Recording(parts, HEALTHY.drive))
    assert (row["rule"], row["signal"], row["value"]) == ("signal_short", "yaw_rate_radps", 0.0)


@pytest.mark.parametrize("side", [-1, 1])
def test_the_rate_may_be_on_the_edge_of_the_tolerance(side):
    edge = 100.0 * (1 + side * 0.1)
    assert examine(HEALTHY.stream("imu", rate_hz=edge)) == []
    [row] = examine(HEALTHY.stream("imu", rate_hz=math.nextafter(edge, side * math.inf)))
    assert (row["rule"], row["severity"], row["limit"]) == ("rate", "note", edge)
    assert (row["t_ns"], row["end_ns"]) == (IMU.t_ns[0], IMU.t_ns[-1])


def test_too_few_messages_say_nothing_about_the_rate():
    fewest = RULES["rate"]["min_messages"]
    slow = HEALTHY.stream("pedals", rate_hz=1.0)
    assert rules_of(examine(slow.stream("pedals", messages=fewest))) == ["rate"]
    assert examine(slow.stream("pedals", messages=fewest - 1)) == []
    assert examine(HEALTHY.stream("pedals", rate_hz=None)) == []


@pytest.mark.parametrize(
    ("sensor", "longest_ns"),
    [
        ("imu", round(RULES["gap"]["min_gap_s"] * S)),
        ("gnss", round((RULES["gap"]["max_missed_periods"] + 1) * S)),
    ],
)
def test_a_silence_is_a_gap_beyond_the_missed_periods_or_the_shortest_gap(sensor, longest_ns):
    def late(by_ns):
        start = START_NS + 10 * S
        return HEALTHY.mapped(
            lambda part: Part(
                part.sensor,
                part.signal,
                np.concatenate([part.t_ns[part.t_ns <= start], part.t_ns[part.t_ns > start + longest_ns] + by_ns]),
                np.concatenate([part.value[part.t_ns <= start], part.value[part.t_ns > start + longest_ns]]),
            ),
            [sensor],
        )

    period = round(S / SPEC.sensors[sensor].rate_hz)
    assert examine(late(-period)) == []
    [row] = examine(late(1 - period))
    assert (row["rule"], row["severity"], row["sensor"]) == ("gap", "note", sensor)
    assert row["end_ns"] - row["t_ns"] == longest_ns + 1


def test_objects_of_a_radar_come_and_go_without_being_gaps():
    gone = HEALTHY.mapped(lambda part: part.without(part.t_ns < START_NS + S), ["radar"])
    assert examine(gone.stream("radar", messages=2400, rate_hz=20.0)) == []


@pytest.mark.parametrize(("extra", "broken"), [(0, []), (1, ["sensor_short"])])
def test_a_required_radar_that_sees_nothing_is_present_from_its_first_to_its_last_message(extra, broken):
    document = spec_document()
    document["sensors"]["radar"]["required"] = True
    share = RULES["sensor_short"]["min_share"]
    gone = HEALTHY.mapped(lambda part: part.without(slice(0, 0)), ["radar"])
    first, last = START_NS + 5 * S, START_NS + 5 * S + round(30 * S * share) - extra
    recording = gone.stream("radar", messages=500, first_t_ns=first, last_t_ns=last, rate_hz=20.0)
    found = find_breaches(
        recording.samples, recording.sensor_streams, parse_spec(document), CANONICAL, INTEGRITY, recording.drive
    )
    assert found["rule"].to_pylist() == broken


def test_a_silence_of_normal_length_counts_as_covered():
    assert covered_ns(np.array([0, 10, 20, 31, 41]), 10) == 30


def test_the_message_that_comes_most_often_says_whether_a_sensor_is_silent():
    slow = Part("wheels", "wheel_speed_fl_mps", every(0.5, 30), np.zeros(16))
    assert examine(HEALTHY.having(slow)) == []


def test_signals_that_the_fleet_has_no_name_for_and_sensors_without_a_row_are_no_trouble():
    odd = HEALTHY.having(Part("wheels", "mystery", every(50, 30), np.full(1501, 1e9)))
    streams = odd.sensor_streams.filter(pa.compute.not_equal(odd.sensor_streams["sensor"], "pedals"))
    assert find_breaches(odd.samples, streams, SPEC, CANONICAL, INTEGRITY, odd.drive).num_rows == 0


# What the reader lost, order, duration


def test_lost_bytes_and_messages_are_named_and_too_many_quarantine_the_drive():
    one = examine(HEALTHY.stream("imu", lost_bytes=1, broken_rule="truncated_file", message="ends early"))
    assert [(row["rule"], row["severity"], row["value"]) for row in one] == [("reader_loss", "note", 1)]
    assert "truncated_file: ends early" in one[0]["message"]
    [row] = examine(HEALTHY.stream("imu", lost_messages=2))
    assert (row["rule"], row["value"], row["limit"]) == ("reader_loss", 2, 0)
    assert examine(HEALTHY.stream("imu", lost_messages=None)) == []


@pytest.mark.parametrize(("extra", "broken"), [(0, ["reader_loss"]), (1, ["reader_loss", "reader_loss_share"])])
def test_the_lost_share_is_allowed_up_to_its_limit(extra, broken):
    share = RULES["reader_loss_share"]["max_share"]
    bytes_lost = HEALTHY.stream("part7", lost_bytes=round(1_000_000 * share) + extra)
    assert sorted(rules_of(examine(bytes_lost))) == broken
    messages = round(9000 * share / (1 - share))
    messages_lost = HEALTHY.stream("imu", messages=9000, lost_messages=messages + extra)
    assert sorted(rules_of(examine(messages_lost))) == broken


def test_messages_lost_outside_any_sensor_have_no_share():
    assert rules_of(examine(HEALTHY.stream("part7", messages=0, lost_messages=900))) == ["reader_loss"]


def test_an_unreadable_recording_quarantines_its_drive():
    nothing = HEALTHY.mapped(lambda part: part.without(slice(0, 0)))
    found = examine(nothing.stream("recording", lost_bytes=1_000_000, broken_rule="no_messages", message="nothing"))
    assert {"reader_loss_share", "sensor_missing"} <= {row["rule"] for row in found if row["severity"] == "drive"}


def test_what_the_decoder_missed_is_passed_on_in_its_words():
    [row] = examine(HEALTHY.stream("wheels", broken_rule="missing_field", message="no field speed"))
    assert (row["rule"], row["severity"]) == ("decode_incomplete", "note")
    assert "missing_field: no field speed" in row["message"]


def test_steps_back_in_time_are_named_and_disorder_quarantines_the_drive():
    limit = RULES["time_backward"]["max_steps"]
    assert examine(HEALTHY.stream("imu", backward_steps=limit)) == []
    [row] = examine(HEALTHY.stream("imu", backward_steps=limit + 1))
    assert (row["rule"], row["severity"], row["value"]) == ("time_backward", "note", limit + 1)
    share = RULES["time_disorder"]["max_share"]
    edge = HEALTHY.stream("imu", messages=2000, backward_steps=round(2000 * share))
    assert rules_of(examine(edge)) == ["time_backward"]
    beyond = HEALTHY.stream("imu", messages=2000, backward_steps=round(2000 * share) + 1)
    assert sorted(rules_of(examine(beyond))) == ["time_backward", "time_disorder"]


def test_a_drive_is_neither_shorter_nor_longer_than_a_recording_can_be():
    shortest, longest = RULES["drive_short"]["min_duration_s"], RULES["drive_long"]["max_duration_s"]

    def durations(duration_ns):
        found = examine(HEALTHY.lasting(end_ns=START_NS + duration_ns))
        return [row["rule"] for row in found if row["rule"].startswith("drive_")]

    assert durations(round(shortest * S)) == []
    assert durations(round(shortest * S) - 1) == ["drive_short"]
    assert durations(longest * S) == []
    assert durations(longest * S + 1) == ["drive_long"]
    assert durations(0) == ["drive_short"]


# Clocks


def leap(recording: Recording, at_s: float, by_s: float, sensors=None) -> Recording:
    """The recorder's clock is set by so much at a moment: all later stamps move, and UTC minus stamp with them."""
    at_ns, by_ns = START_NS + round(at_s * S), round(by_s * S)

    def change(part: Part) -> Part:
        later = part.t_ns >= at_ns
        value = part.value - by_s * later if part.signal == "gnss_utc_offset_s" else part.value
        t_ns = part.t_ns + by_ns * later
        order = np.argsort(t_ns, kind="stable")
        return Part(part.sensor, part.signal, t_ns[order], value[order], instance=part.instance)

    return recording.mapped(change, sensors)


def test_a_clock_that_leaps_ahead_is_named_where_it_did():
    found = examine(leap(healthy(60), 30.5, 20.0))
    [row] = [row for row in found if row["rule"] == "clock_jump"]
    assert (row["sensor"], row["severity"], row["value"]) == ("gnss", "note", -20.0)
    assert (row["t_ns"], row["end_ns"]) == (START_NS + 30 * S, START_NS + 51 * S)
    assert all(row["severity"] == "note" for row in found)


def test_a_clock_that_is_set_back_has_its_repeated_stamps_cut_from_every_sensor():
    found = examine(leap(healthy(60), 30.5, -5.0))
    assert [row["value"] for row in found if row["rule"] == "clock_jump"] == [5.0]
    overlaps = {row["sensor"]: row for row in found if row["rule"] == "clock_overlap"}
    assert overlaps.keys() == SPEC.sensors.keys()
    for row in overlaps.values():
        assert row["severity"] == "cut"
        assert row["signal"] is None
        assert row["t_ns"] <= START_NS + 25.5 * S
        assert row["end_ns"] >= START_NS + 30.5 * S
        assert row["end_ns"] - row["t_ns"] <= 7 * S


def test_a_receiver_whose_utc_steps_is_named_but_moves_nobody():
    gnss = HEALTHY.part("gnss", "gnss_utc_offset_s")
    found = examine(HEALTHY.having(gnss.put(slice(20, None), 2.0)))
    assert rules_of(found) == ["clock_jump"]


def test_a_step_is_a_jump_beyond_the_limit_only():
    # What an oscillator may drift (200 ppm) over the ten pairs that are compared comes on top.
    step = RULES["clock_jump"]["max_step_s"] + 9 * 200e-6
    gnss = HEALTHY.part("gnss", "gnss_utc_offset_s")
    assert rules_of(examine(HEALTHY.having(gnss.put(slice(15, None), step - 1e-6)))) == []
    assert rules_of(examine(HEALTHY.having(gnss.put(slice(15, None), step + 1e-6)))) == ["clock_jump"]


def test_a_drift_is_too_large_beyond_the_limit_only():
    long = healthy(120)
    gnss = long.part("gnss", "gnss_utc_offset_s")
    seconds = (gnss.t_ns - START_NS) / S
    limit = RULES["clock_drift"]["max_drift_ppm"]

    def drifting(ppm):
        return long.having(Part("gnss", gnss.signal, gnss.t_ns, seconds * ppm * 1e-6))

    assert examine(drifting(limit - 1)) == []
    [row] = examine(drifting(-limit - 1))
    assert (row["rule"], row["severity"]) == ("clock_drift", "note")
    assert row["value"] == pytest.approx(-limit - 1, abs=0.01)


@pytest.mark.parametrize(("drift_ppm", "found"), [(202.0, 0), (-202.0, 0), (202.001, 1), (-202.001, 1)])
def test_a_drift_is_too_large_beyond_two_standard_errors(drift_ppm, found):
    assert RULES["clock_drift"]["max_drift_ppm"] == 200
    segment = ClockSegment(START_NS, START_NS, 0, 1.0, drift_ppm, 1.0, 0, 99)
    clock = SensorClock("gnss", (segment,), "gnss")
    exam = Examination(HEALTHY.drive, SPEC, CANONICAL, RULES, 30 * S)
    rows = list(clock_findings(DriveClocks({"gnss": clock}, clock, {"gnss": ()}), exam))
    assert [(row.rule, row.value, row.t_ns, row.end_ns) for row in rows] == [
        ("clock_drift", drift_ppm, START_NS, START_NS + 30 * S)
    ] * found


def test_an_uncertain_drift_is_not_called_too_large():
    noise = np.random.default_rng(4).normal(0, 0.03, 31)
    gnss = HEALTHY.part("gnss", "gnss_utc_offset_s")
    seconds = (gnss.t_ns - START_NS) / S
    slope = 400e-6 - np.polyfit(seconds, noise, 1)[0]
    assert examine(HEALTHY.having(Part("gnss", gnss.signal, gnss.t_ns, seconds * slope + noise))) == []


# Properties of the whole


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_findings_do_not_depend_on_the_order_of_the_rows(seed):
    broken = leap(HEALTHY.having(IMU.put(1500, 99.0).put(700, 20.0)), 20.5, -3.0)
    samples = broken.samples
    shuffled = samples.take(pa.array(np.random.default_rng(seed).permutation(samples.num_rows)))
    args = (broken.sensor_streams, SPEC, CANONICAL, INTEGRITY, broken.drive)
    assert find_breaches(shuffled, *args).equals(find_breaches(samples, *args))


def test_text_columns_may_be_dictionaries():
    broken = HEALTHY.having(IMU.put(1500, 99.0))
    samples = broken.samples
    for name in ("drive_id", "sensor", "signal"):
        place = samples.column_names.index(name)
        samples = samples.set_column(place, name, samples[name].dictionary_encode())
    args = (broken.sensor_streams, SPEC, CANONICAL, INTEGRITY, broken.drive)
    assert find_breaches(samples, *args).equals(find_breaches(broken.samples, *args))


def test_equal_time_stamps_are_judged_the_same_in_any_order():
    doubled = Part("imu", "accel_long_mps2", np.repeat(IMU.t_ns, 2), np.repeat(IMU.value, 2)).put(101, 70.0)
    [row] = examine(HEALTHY.having(doubled))
    assert (row["rule"], row["t_ns"]) == ("range", IMU.t_ns[50])


@settings(max_examples=100, deadline=None)
@given(st.lists(st.booleans(), max_size=30))
def test_runs_are_the_stretches_of_true(mask):
    found = runs(np.array(mask, dtype=bool))
    covered = [index for first, last in found for index in range(first, last + 1)]
    assert covered == [index for index, one in enumerate(mask) if one]
    assert all(second[0] > first[1] + 1 for first, second in zip(found, found[1:], strict=False))


def test_a_drive_without_any_sample_is_examined_without_trouble():
    nothing = HEALTHY.mapped(lambda part: part.without(slice(0, 0)))
    assert set(rules_of(examine(nothing))) == {"sensor_missing"}


def test_a_drive_of_another_car_without_gnss_is_examined_without_its_clock():
    document = spec_document()
    document["sensors"].pop("gnss")
    document |= {"clock": {"utc_from": []}, "redundant_pairs": []}
    spec = parse_spec(document)
    recording = HEALTHY.mapped(lambda part: part.without(slice(0, 0)), ["gnss"]).lasting(time_source="container")
    found = find_breaches(recording.samples, recording.sensor_streams, spec, CANONICAL, INTEGRITY, recording.drive)
    assert found.num_rows == 0


# The policy


def test_both_workflows_call_the_same_step_a_jump():
    assert RULES["clock_jump"]["max_step_s"] == SYNC["clock"]["min_jump_s"]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("severity: note\n    max_steps: 0", "severity: warn\n    max_steps: 0"),
        ("max_steps: 0", "max_steps: -1"),
        ("    max_samples: 3\n", ""),
        ("max_share: 0.25", "max_share: 1.5"),
        ("rules:\n", "rules:\n  guess: {severity: note, remedy: Do something about it.}\n"),
    ],
)
def test_a_policy_with_a_wrong_rule_is_refused(old, new):
    from importlib import resources

    text = (resources.files("policies") / "integrity.yaml").read_text()
    assert old in text
    load_document(text, "integrity")
    with pytest.raises(InvalidPolicyError, match="integrity"):
        load_document(text.replace(old, new, 1), "integrity")


def test_a_sensor_of_one_message_is_examined_without_trouble():
    one = HEALTHY.having(Part("wheels", "speed_mps", every(50, 30)[:1], np.array([3.0])))
    assert examine(one) == []
