"""Integrity rules about sensors, losses and the whole; one known defect each, limits tried exactly on both sides."""

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
    RULES,
    SPEC,
    START_NS,
    SYNC,
    Part,
    Recording,
    S,
    every,
    examine,
    healthy,
    leap,
    parse_spec,
    rules_of,
    spec_document,
)

from fleet_assets.ingestion.integrity_and_pii_redaction.rules import find_breaches
from fleet_assets.ingestion.integrity_and_pii_redaction.sensor_rules import covered_ns
from fleet_assets.ingestion.integrity_and_pii_redaction.value_rules import runs
from fleet_assets.policy.documents import InvalidPolicyError, load_document

HEALTHY = healthy()
IMU = HEALTHY.part("imu", "accel_long_mps2")


def test_a_healthy_drive_has_no_finding():
    assert examine(HEALTHY) == []


def test_every_finding_carries_drive_severity_and_remedy_of_the_policy():
    [row] = examine(HEALTHY.having(IMU.put(700, 99.0)))
    assert {name: row[name] for name in KEYS} == KEYS
    assert row["severity"] == RULES["range"]["severity"] == "cut"
    assert row["message"].endswith(RULES["range"]["remedy"])
    assert "1 sample at +7.000 s" in row["message"]
    assert "99" in row["message"]


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
    assert {"header", "sensor_missing"} == {row["rule"] for row in found if row["severity"] == "drive"}


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


def standing(part: Part, share: float) -> Part:
    """The part with a clock that stood still over a share of its samples."""
    steps = len(part.t_ns) - 1
    still = round(steps * share)
    return Part(
        part.sensor,
        part.signal,
        np.concatenate((part.t_ns[: steps - still + 1], [part.t_ns[-1 - still]] * still)),
        part.value,
    )


@pytest.mark.parametrize(("beyond", "broken"), [(0.0, False), (0.01, True)])
def test_a_clock_that_stands_still_for_most_samples_quarantines_the_drive(beyond, broken):
    limit = RULES["time_repeated"]["max_share"]
    found = examine(HEALTHY.having(standing(IMU, limit + beyond)))
    assert ("time_repeated" in rules_of(found)) is broken
    for row in found:
        if row["rule"] == "time_repeated":
            assert row["severity"] == "drive"
            assert "different time stamps" in row["message"]


def test_few_samples_and_bursts_of_several_messages_say_nothing_about_a_clock():
    few = RULES["time_repeated"]["min_messages"] - 1
    same = Part("wheels", "speed_mps", np.repeat(every(50, 30)[:1], few), np.full(few, 3.0))
    assert "time_repeated" not in rules_of(examine(HEALTHY.having(same)))
    # Equal objects of one scan share a stamp; each of them has its own series.
    assert "time_repeated" not in rules_of(examine(HEALTHY))


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


def test_the_order_in_which_equal_stamps_came_does_not_change_the_findings():
    t_ns = np.insert(IMU.t_ns, [51, 52], IMU.t_ns[50:52])
    found = []
    for values in ((70.0, 1.0, 70.0, 1.0), (1.0, 70.0, 70.0, 1.0), (70.0, 1.0, 1.0, 70.0)):
        value = np.insert(IMU.value, [51, 52], 0.0)
        value[50:54] = values
        found.append(examine(HEALTHY.having(Part("imu", "accel_long_mps2", t_ns, value))))
    assert found[0] == found[1] == found[2]
    assert [row["t_ns"] for row in found[0]] == [IMU.t_ns[50], IMU.t_ns[51]]


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
