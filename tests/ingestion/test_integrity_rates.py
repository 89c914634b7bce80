"""Integrity rules about rates in parts of a drive, frames, dropouts that a spec calls normal, and ends of a scale."""

from typing import Any

import numpy as np
import pytest
from synthetic_drive import (
    CANONICAL,
    INTEGRITY,
    RULES,
    START_NS,
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

from fleet_assets.ingestion.integrity_and_pii_redaction.findings import Examination
from fleet_assets.ingestion.integrity_and_pii_redaction.rate_rules import silences
from fleet_assets.ingestion.integrity_and_pii_redaction.rules import find_breaches
from fleet_assets.ingestion.sensor_sync_and_format_conversion.clock_model import ClockSegment
from fleet_assets.ingestion.sensor_sync_and_format_conversion.sensor_clocks import SensorClock
from fleet_assets.policy.vehicles import Dropouts

HEALTHY = healthy()
RATE, FRAMES, SATURATION = RULES["rate"], RULES["frame_count"], RULES["saturation"]


def examined(
    recording: Recording, changes: dict[str, dict[str, Any]], rules: dict[str, Any] | None = None
) -> list[Any]:
    """Findings in a drive of a car whose sensors differ from the usual one's."""
    document = spec_document()
    for sensor, entries in changes.items():
        document["sensors"][sensor] = {**document["sensors"].get(sensor, {}), **entries}
    policy = INTEGRITY if rules is None else {**INTEGRITY, "rules": {**RULES, **rules}}
    spec = parse_spec(document)
    found = find_breaches(recording.samples, recording.sensor_streams, spec, CANONICAL, policy, recording.drive)
    return found.to_pylist()


# A rate that lasts


def thinned(keep_every: int, first_s: float, last_s: float) -> Recording:
    """The IMU sends only every so-many-th message for a while."""
    t_ns = HEALTHY.part("imu", "accel_long_mps2").t_ns
    inside = (t_ns >= START_NS + first_s * S) & (t_ns < START_NS + last_s * S)
    return HEALTHY.mapped(lambda part: part.without(~inside | (np.arange(len(t_ns)) % keep_every == 0)), ["imu"])


@pytest.mark.parametrize("keep_every", [2, 4])
def test_a_rate_that_changes_in_a_part_of_a_drive_is_named_there(keep_every):
    (row,) = examine(thinned(keep_every, 10, 17))
    assert (row["rule"], row["severity"], row["sensor"]) == ("rate", "note", "imu")
    assert row["value"] == pytest.approx(100 / keep_every, rel=0.1)
    assert row["limit"] == pytest.approx(100 * (1 - RATE["part_tolerance"]))
    assert abs(row["t_ns"] - (START_NS + 10 * S)) < 0.2 * S
    assert abs(row["end_ns"] - (START_NS + 17 * S)) < 0.2 * S


def test_another_rate_may_last_for_a_while():
    lasting = RATE["min_part_s"]
    assert examine(thinned(2, 10, 10 + lasting - 0.3)) == []
    assert rules_of(examine(thinned(2, 10, 10 + lasting + 0.1))) == ["rate"]


def test_a_sensor_that_sends_too_often_for_a_while_is_named_but_copies_of_messages_are_not():
    pedals = HEALTHY.part("pedals", "brake_pressed")
    slow, fast = pedals.t_ns, START_NS + 10 * S + np.arange(200) * S // 25
    t_ns = np.unique(np.concatenate((slow, fast)))
    often = Part("pedals", "brake_pressed", t_ns, np.zeros(len(t_ns)))
    (row,) = examine(HEALTHY.having(often).stream("pedals", rate_hz=10.0))
    assert (row["rule"], row["sensor"], row["limit"]) == ("rate", "pedals", 10 * (1 + RATE["part_tolerance"]))
    copied = Part("pedals", "brake_pressed", np.repeat(slow, 3), np.zeros(3 * len(slow)))
    assert examine(HEALTHY.having(copied).stream("pedals", rate_hz=10.0)) == []


def test_a_gap_is_no_other_rate():
    t_ns = HEALTHY.part("imu", "accel_long_mps2").t_ns
    hole = (t_ns < START_NS + 10 * S) | (t_ns > START_NS + 18 * S)
    assert rules_of(examine(HEALTHY.mapped(lambda part: part.without(hole), ["imu"]))) == ["gap"]


@pytest.mark.parametrize("by_s", [0.6, 8.0, 20.0, -0.6, -8.0, -15.0])
def test_a_clock_that_is_set_is_neither_a_gap_nor_another_rate_nor_a_jump_of_the_position(by_s):
    found = examine(leap(healthy(60), 30.5, by_s))
    assert {row["rule"] for row in found} == {"clock_jump"} | ({"clock_overlap"} if by_s < 0 else set())


def test_backward_steps_of_a_clock_that_was_set_back_are_its_own():
    set_back = leap(healthy(60), 30.5, -5.0)
    assert "time_backward" not in rules_of(examine(set_back.stream("imu", backward_steps=1)))
    assert "time_backward" in rules_of(examine(set_back.stream("imu", backward_steps=2)))
    assert "time_backward" not in rules_of(examine(set_back.stream("radar", backward_steps=4)))
    assert "time_backward" in rules_of(examine(healthy(60).stream("imu", backward_steps=1)))


def test_what_a_clock_leapt_ahead_was_no_silence():
    clock = SensorClock(
        "imu",
        (
            ClockSegment(0, 0, 0, None, 0.0, None, 0, 9),
            ClockSegment(50, 50, 0, None, 0.0, None, -30, 9),
            ClockSegment(70, 70, 0, None, 0.0, None, 9, 9),
        ),
        "gnss",
    )
    assert silences(np.array([0, 10, 50, 60, 70]), clock).tolist() == [10, 10, 10, 10]
    assert silences(np.array([0, 10, 50]), None).tolist() == [10, 40]


# Frames


def filmed(frames: int, seconds: float, rate_hz: float, *, counted: str = "camera", **changes: Any) -> list[Any]:
    """A drive with a camera, or another sensor without signals, and what is found in it."""
    camera = {
        "kind": "camera", "channel": "front", "rate_hz": {"nominal": rate_hz, "tolerance": 0.5}, "required": False,
        "latency_ms": {"mean": 0, "uncertainty": 50}, "signals": {}, **changes,
    }  # fmt: skip
    end_ns = START_NS + round(seconds * S)
    recording = HEALTHY.stream("camera", messages=frames, rate_hz=rate_hz, first_t_ns=START_NS, last_t_ns=end_ns)
    return examined(recording, {"camera": camera}, {"frame_count": {**FRAMES, "kinds": [counted]}})


def test_frames_are_counted_against_duration_and_rate():
    limit = FRAMES["max_share"]
    expected = 20.0 * 25 + 1
    fewest, most = int(np.ceil(expected * (1 - limit))), int(np.floor(expected * (1 + limit)))
    assert filmed(fewest, 25, 20.0) == filmed(most, 25, 20.0) == []
    for frames, side in ((fewest - 1, -1), (most + 1, 1)):
        (row,) = filmed(frames, 25, 20.0)
        assert (row["rule"], row["severity"], row["sensor"], row["value"]) == ("frame_count", "note", "camera", frames)
        assert row["limit"] == pytest.approx(expected * (1 + side * limit))
        assert "501" in row["message"]


def test_only_sensors_that_take_frames_are_counted_and_only_enough_of_them():
    assert FRAMES["kinds"] == ["camera", "lidar"]
    assert rules_of(filmed(100, 25, 20.0, kind="lidar", counted="lidar")) == ["frame_count"]
    assert filmed(100, 25, 20.0, kind="lidar", counted="camera") == []
    assert filmed(FRAMES["min_messages"] - 1, 25, 20.0) == []
    assert rules_of(filmed(FRAMES["min_messages"], 25, 20.0)) == ["frame_count"]


def dark(
    for_s: float,
    at_s: float = 7.0,
    recording: Recording = HEALTHY,
    rates_hz: tuple[float, float] = (10, 10),
    counted: str = "camera",
) -> list[Any]:
    """A drive with a camera of some rate, stated and true, that is silent once for so long, and what is found in it."""
    stated_hz, rate_hz = rates_hz
    camera = {
        "kind": "camera", "channel": "front", "rate_hz": {"nominal": stated_hz, "tolerance": 0.5}, "required": False,
        "latency_ms": {"mean": 0, "uncertainty": 50}, "signals": {},
    }  # fmt: skip
    row = {
        "messages": round(30 * rate_hz), "rate_hz": rate_hz, "first_t_ns": START_NS, "last_t_ns": START_NS + 30 * S,
        "silence_t_ns": START_NS + round(at_s * S), "silence_ns": round(for_s * S),
    }  # fmt: skip
    kinds = {"frame_count": {**FRAMES, "kinds": [counted]}}
    return examined(recording.stream("camera", **row), {"camera": camera}, kinds)


def test_a_camera_that_is_silent_for_longer_than_is_normal_is_named_at_its_time():
    limit_s = RULES["gap"]["min_gap_s"]
    assert dark(limit_s) == []
    (row,) = dark(limit_s + 0.001)
    assert (row["rule"], row["sensor"], row["severity"]) == ("gap", "camera", "note")
    assert (row["value"], row["limit"]) == (pytest.approx(limit_s + 0.001), limit_s)
    assert (row["t_ns"], row["end_ns"]) == (START_NS + 7 * S, START_NS + round((7.0 + limit_s + 0.001) * S))


def test_a_slow_camera_may_be_silent_for_longer_and_other_sensors_without_samples_for_ever():
    slow = {"rates_hz": (2.0, 2.0)}
    limit_s = (RULES["gap"]["max_missed_periods"] + 1) / 2
    assert dark(limit_s, **slow) == []
    assert rules_of(dark(limit_s + 0.001, **slow)) == ["gap"]
    assert dark(9.0, counted="lidar") == []


@pytest.mark.parametrize(("at_s", "for_s", "broken"), [(30.45, 8.1, []), (30.45, 9.2, ["gap"]), (5.0, 8.1, ["gap"])])
def test_what_the_clock_leapt_ahead_was_no_silence_of_the_camera(at_s, for_s, broken):
    found = dark(for_s, at_s, leap(healthy(60), 30.5, 8.0))
    assert [rule for rule in rules_of(found) if rule not in {"clock_jump", "frame_count"}] == broken


def test_a_clock_that_was_set_back_is_no_disorder_of_the_camera():
    set_back = leap(healthy(60), 30.5, -5.0)
    for steps, broken in ((1, False), (2, True)):
        found = dark(0.1, recording=set_back.stream("camera", backward_steps=steps))
        assert ("time_backward" in rules_of(found)) is broken
        assert {"camera"} <= {row["sensor"] for row in found if row["rule"] == "clock_overlap"}


# Dropouts that the spec calls normal


def silent(*stretches: tuple[float, float]) -> Recording:
    """The wheels, which say nothing of their validity, fall silent."""
    t_ns = HEALTHY.part("wheels", "speed_mps").t_ns
    keep = np.ones(len(t_ns), dtype=bool)
    for first_s, last_s in stretches:
        keep &= (t_ns <= START_NS + first_s * S) | (t_ns >= START_NS + last_s * S)
    return HEALTHY.mapped(lambda part: part.without(keep), ["wheels"])


NORMAL = {"wheels": {"dropouts": {"longest_s": 4, "per_hour": 6}}}


def test_silence_is_no_gap_where_the_spec_calls_it_normal():
    assert rules_of(examine(silent((10, 14)))) == ["gap"]
    assert examined(silent((10, 14)), NORMAL) == []
    # As long as the spec says, and a normal silence on either side.
    assert examined(silent((10, 16)), NORMAL) == []
    assert rules_of(examined(silent((10, 16.1)), NORMAL)) == ["gap"]


def test_more_dropouts_than_come_by_chance_are_all_named():
    exam = Examination(HEALTHY.drive, parse_spec(spec_document()), CANONICAL, RULES, 30 * S)
    most = exam.most_dropouts(Dropouts(4, 6))
    assert most == 2  # Poisson with mean 0.05: 0.99998 of the drives have at most two, 0.9988 at most one
    stretches = [(5.0 * number, 5.0 * number + 2) for number in range(1, most + 2)]
    assert examined(silent(*stretches[:most]), NORMAL) == []
    assert rules_of(examined(silent(*stretches), NORMAL)) == ["gap"] * (most + 1)


def test_values_that_a_receiver_does_not_vouch_for_in_a_dropout_are_normal():
    accel = HEALTHY.part("imu", "accel_long_mps2")
    lost = (accel.t_ns >= START_NS + 10 * S) & (accel.t_ns < START_NS + 23 * S)
    quiet = accel.put(lost, np.nan).flagged(lost)
    assert {"no_value", "invalid_share", "signal_short"} <= set(rules_of(examine(HEALTHY.having(quiet))))
    allowed = {"imu": {"dropouts": {"longest_s": 13, "per_hour": 6}}}
    assert examined(HEALTHY.having(quiet), allowed) == []
    shorter = {"imu": {"dropouts": {"longest_s": 10, "per_hour": 6}}}
    assert {"no_value", "invalid_share", "signal_short"} <= set(rules_of(examined(HEALTHY.having(quiet), shorter)))


def test_a_receiver_that_says_when_it_has_no_fix_must_go_on_sending():
    vouching = {"wheels": {**NORMAL["wheels"], "valid_when": {"field": "fix", "at_least": 0}}}
    assert rules_of(examined(silent((10, 14)), vouching)) == ["gap"]


# Ends of a scale


def railed(samples: int, value: float, signal: str = "accel_long_mps2") -> Recording:
    part = HEALTHY.part("imu", signal)
    return HEALTHY.having(part.put(slice(1000, 1000 + samples), value))


def test_a_sensor_at_the_end_of_its_scale_is_cut_out():
    most = SATURATION["max_samples"]
    for value in (24.0, -24.0):
        (row,) = examine(railed(most + 1, value))
        assert (row["rule"], row["severity"], row["signal"]) == ("saturation", "cut", "accel_long_mps2")
        assert (row["value"], row["limit"]) == (most + 1, most)
        assert (row["t_ns"], row["end_ns"]) == (START_NS + 10 * S, START_NS + 10 * S + most * S // 100)
    assert "saturation" not in rules_of(examine(railed(most, 24.0)))


def test_an_extreme_is_the_end_of_a_scale_only_near_the_signals_range():
    least = SATURATION["min_share"] * CANONICAL.signals["accel_long_mps2"].range[1]
    assert rules_of(examine(railed(10, least))) == ["saturation"]
    assert examine(railed(10, least - 0.01)) == []


def test_a_long_strong_value_that_varies_is_no_end_of_a_scale():
    part = HEALTHY.part("imu", "accel_long_mps2")
    strong = part.value.copy()
    strong[1000:1050] = 20 + 0.01 * np.arange(50)
    assert examine(HEALTHY.having(Part("imu", "accel_long_mps2", part.t_ns, strong))) == []


def test_signals_that_the_policy_does_not_name_have_no_end_of_a_scale():
    fast = np.full(len(every(50, 30)), 99.0) + 1e-9 * np.arange(len(every(50, 30)))
    wheels = Part("wheels", "speed_mps", every(50, 30), np.minimum(fast, 99.0000001))
    assert "saturation" not in rules_of(examine(HEALTHY.having(wheels)))
