"""Integrity rules about clocks: jumps, repeated stamps and drift of a recorder whose truth is known."""

import numpy as np
import pytest
from synthetic_drive import CANONICAL, RULES, SPEC, START_NS, Part, S, examine, healthy, leap, rules_of

from fleet_assets.ingestion.integrity_and_pii_redaction.clock_rules import clock_findings
from fleet_assets.ingestion.integrity_and_pii_redaction.findings import Examination
from fleet_assets.ingestion.sensor_sync_and_format_conversion.clock_model import ClockSegment
from fleet_assets.ingestion.sensor_sync_and_format_conversion.sensor_clocks import DriveClocks, SensorClock

HEALTHY = healthy()
IMU = HEALTHY.part("imu", "accel_long_mps2")


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
