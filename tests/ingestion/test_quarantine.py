"""Quarantine: which drives are held back, for which rule, and who let them go."""

import pyarrow as pa
import pytest
from synthetic_drive import CANONICAL, INTEGRITY, KEYS, RULES, SPEC, START_NS, S, cut, healthy

from fleet_assets.ingestion.integrity_and_pii_redaction.quarantine import held_back, held_drives, quarantine_rows
from fleet_assets.ingestion.integrity_and_pii_redaction.rules import find_breaches
from fleet_assets.tables.bronze import DRIVES, INTEGRITY_FINDINGS

HEALTHY = healthy()


def drives(*statuses, reason="too_large: found 9, limit 8. Split it."):
    rows = [
        {
            "drive_id": f"drive-{number}",
            "day": KEYS["day"],
            "depot": KEYS["depot"],
            "vehicle_id": "car-1",
            "vehicle_spec": SPEC.name,
            "format": SPEC.formats[0],
            "start_ns": START_NS + number,
            "end_ns": START_NS + 30 * S,
            "duration_s": 30.0,
            "time_source": "gnss",
            "clock_offset_ns": 0,
            "bytes": 1000,
            "manifest_sha256": "a" * 64,
            "revision": 0,
            "status": status,
            "reason": reason if status == "rejected" else None,
        }
        for number, status in enumerate(statuses, 1)
    ]
    return DRIVES.from_rows(rows)


def findings(recording):
    return find_breaches(recording.samples, recording.sensor_streams, SPEC, CANONICAL, INTEGRITY, recording.drive)


NO_IMU = findings(HEALTHY.mapped(lambda part: part.without(slice(0, 0)), ["imu", "gnss"]))


def test_notes_and_cuts_hold_nothing_back():
    found = pa.concat_tables(
        [cut("imu", START_NS, START_NS + S), findings(HEALTHY.stream("imu", lost_bytes=1, rate_hz=1.0))]
    )
    assert set(found["severity"].to_pylist()) == {"note", "cut"}
    assert quarantine_rows(drives("landed"), found, []).num_rows == 0


def test_a_drive_that_breaks_a_rule_has_one_row_with_value_limit_and_remedy():
    [row] = quarantine_rows(drives("landed"), NO_IMU, []).to_pylist()
    assert {name: row[name] for name in KEYS} == KEYS
    assert (row["scope"], row["rule"]) == ("drive", "sensor_missing")
    assert row["value"] == "gnss: 0; imu: 0"
    assert row["limit"] == str(RULES["sensor_missing"]["min_messages"])
    assert row["remedy"] == RULES["sensor_missing"]["remedy"]
    assert row["first_seen_ns"] == START_NS
    assert row["released_by"] is None


def test_a_long_list_of_sensors_is_cut_short():
    row = cut("imu", START_NS, START_NS).to_pylist()[0] | {"rule": "sensor_missing", "severity": "drive"}
    for count, tail in ((5, "s4: 0"), (7, "s4: 0; and 2 more")):
        rows = [{**row, "sensor": f"s{number}", "value": 0.0, "limit": 1.0} for number in range(count)]
        [held] = quarantine_rows(drives("landed"), INTEGRITY_FINDINGS.from_rows(rows), []).to_pylist()
        assert held["value"].startswith("s0: 0; s1: 0")
        assert held["value"].endswith(tail)


def test_findings_of_one_instant_are_told_in_the_order_of_sensor_and_signal():
    row = cut("imu", START_NS, START_NS).to_pylist()[0] | {"rule": "signal_short", "severity": "drive", "value": 0.1}
    named = [("imu", "yaw_rate_radps"), ("imu", "accel_long_mps2"), ("gnss", None)]
    table = pa.concat_tables(
        [INTEGRITY_FINDINGS.from_rows([{**row, "sensor": sensor, "signal": signal}]) for sensor, signal in named]
    )
    [held] = quarantine_rows(drives("landed"), table, []).to_pylist()
    assert held["value"] == "gnss: 0.1; imu/accel_long_mps2: 0.1; imu/yaw_rate_radps: 0.1"


def test_the_first_instant_is_that_of_the_recording():
    late = HEALTHY.mapped(lambda part: part.without(part.t_ns >= START_NS + 24 * S), ["imu"])
    [row] = quarantine_rows(drives("landed"), findings(late), []).to_pylist()
    assert (row["rule"], row["first_seen_ns"]) == ("sensor_short", START_NS + 24 * S)


def test_each_rule_has_a_row_of_its_own():
    broken = HEALTHY.mapped(lambda part: part.without(slice(0, 0)), ["imu"]).stream("x", lost_bytes=500_000)
    rows = quarantine_rows(drives("landed"), findings(broken), []).to_pylist()
    assert [row["rule"] for row in rows] == ["reader_loss_share", "sensor_missing"]


def test_a_rejected_drive_is_held_back_with_the_reason_of_landing():
    [row] = quarantine_rows(drives("landed", "rejected"), INTEGRITY_FINDINGS.empty(), []).to_pylist()
    assert (row["drive_id"], row["scope"], row["rule"]) == ("drive-2", "drive", "landing")
    assert row["value"].startswith("too_large: found 9")
    assert row["first_seen_ns"] == START_NS + 2
    assert row["remedy"]


def test_a_release_names_who_and_why_and_lets_the_drive_go():
    release = {"drive_id": "drive-1", "scope": "drive", "rule": "sensor_missing", "by": "Ada", "reason": "camera only"}
    held = quarantine_rows(drives("landed"), NO_IMU, [])
    freed = quarantine_rows(drives("landed"), NO_IMU, [release])
    assert freed["released_by"].to_pylist() == ["Ada: camera only"]
    assert held_drives(held) == {"drive-1"}
    assert held_back(held) == {("drive-1", "drive")}
    assert held_drives(freed) == held_back(freed) == frozenset()


@pytest.mark.parametrize("key", ["drive_id", "scope", "rule"])
def test_a_release_of_something_else_does_nothing(key):
    release = {"drive_id": "drive-1", "scope": "drive", "rule": "sensor_missing", "by": "Ada", "reason": "why not"}
    other = quarantine_rows(drives("landed"), NO_IMU, [{**release, key: "other"}])
    assert held_drives(other) == {"drive-1"}


def test_a_drive_goes_only_when_every_rule_that_it_broke_is_released():
    broken = findings(HEALTHY.mapped(lambda part: part.without(slice(0, 0)), ["imu"]).stream("x", lost_bytes=500_000))
    release = {"drive_id": "drive-1", "scope": "drive", "rule": "sensor_missing", "by": "Ada", "reason": "known"}
    assert held_drives(quarantine_rows(drives("landed"), broken, [release])) == {"drive-1"}
    both = [release, {**release, "rule": "reader_loss_share"}]
    assert held_drives(quarantine_rows(drives("landed"), broken, both)) == frozenset()


def test_neither_the_order_of_findings_nor_of_releases_matters():
    release = {"drive_id": "drive-1", "scope": "drive", "rule": "sensor_missing", "by": "Ada", "reason": "known"}
    again = {**release, "by": "Bob"}
    backwards = NO_IMU.take(pa.array(range(NO_IMU.num_rows - 1, -1, -1)))
    one = quarantine_rows(drives("landed"), NO_IMU, [release, again])
    assert quarantine_rows(drives("landed"), backwards, [again, release]).equals(one)
