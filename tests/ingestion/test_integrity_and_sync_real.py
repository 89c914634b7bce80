"""Integrity and sync on recordings of two real cars, against facts that were found with other tools.

The facts: data/*/README.md, and for CSS trip 164 the times of the -64 m/s² samples as asammdf shows them.
"""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from synthetic_drive import CANONICAL, INTEGRITY, KEYS, MS, POLICIES, SIGNALS_TABLE, SYNC, S

from fleet_assets.evidence.verdicts import Outcome
from fleet_assets.ingestion.integrity_and_pii_redaction.rules import find_breaches
from fleet_assets.ingestion.recordings.dbc import find_dbcs
from fleet_assets.ingestion.recordings.open import open_recording
from fleet_assets.ingestion.sensor_sync_and_format_conversion.align import align_drive
from fleet_assets.ingestion.sensor_sync_and_format_conversion.coverage import coverage_verdict, skew_verdict
from fleet_assets.ingestion.sensor_sync_and_format_conversion.decode import decode_drive
from fleet_assets.ingestion.sensor_sync_and_format_conversion.start_time import probe_clock
from fleet_assets.policy.vehicle_parsing import parse_vehicle_spec
from fleet_assets.policy.vehicles import VehicleSpec

SHARED = Path(__file__).parents[3] / "shared" / "data"
COMMA = "comma2k19_example/sample/b0c9d2329ad1606b_2018-08-02--08-34-47/40"
TRIP_164 = "css_canedge_mf4/sample/3BA199E2_trip164_morning"
DIGEST = "e" * 64

pytestmark = [
    pytest.mark.real_data,
    pytest.mark.skipif(not SHARED.is_dir(), reason=f"no recordings of real cars in {SHARED}"),
]


@dataclass(frozen=True)
class Drive:
    """What bronze and silver say about one recording."""

    spec: VehicleSpec
    row: dict[str, Any]
    samples: pa.Table
    streams: pa.Table
    findings: pa.Table
    silver: dict[str, pa.Table]


@cache
def ingested(folder: str, vehicle: str) -> Drive:
    name = f"vehicles/{vehicle}"
    spec = parse_vehicle_spec(POLICIES[name], POLICIES.digest(name), CANONICAL)
    root = SHARED / folder
    files = {str(path.relative_to(root)): path for path in sorted(root.rglob("*")) if path.is_file()}
    dbcs = find_dbcs(spec, [SHARED / folder.split("/", maxsplit=1)[0] / "dbc"])
    recording = open_recording(files, spec.formats)
    try:
        clock = probe_clock(recording, spec, dbcs)
        samples, streams = decode_drive(
            recording, spec, CANONICAL, dbcs, clock_offset_ns=clock.clock_offset_ns, drive_columns=KEYS
        )
    finally:
        recording.close()
    size = sum(path.stat().st_size for path in files.values())
    times = {"start_ns": clock.start_ns, "end_ns": clock.end_ns, "time_source": clock.time_source}
    row = {**KEYS, **times, "bytes": size}
    findings = find_breaches(samples, streams, spec, CANONICAL, INTEGRITY, row)
    silver = align_drive(samples, streams, findings, spec, CANONICAL, row, SIGNALS_TABLE, policy=SYNC)
    return Drive(spec, row, samples, streams, findings, silver)


def comma() -> Drive:
    return ingested(COMMA, "comma2k19_rav4")


def trip_164() -> Drive:
    return ingested(TRIP_164, "css_canedge")


def numbers(drive: Drive, name: str) -> np.ndarray:
    return drive.silver["silver.signals"][name].to_numpy(zero_copy_only=False).astype(float)


def first_stamp(drive: Drive, sensor: str) -> int:
    return drive.streams.filter(pc.equal(drive.streams["sensor"], sensor))["first_t_ns"][0].as_py()


@pytest.mark.parametrize("drive", [comma, trip_164])
def test_real_recordings_do_not_drown_in_findings_and_none_quarantines_them(drive):
    found = drive().findings
    assert "drive" not in found["severity"].to_pylist()
    assert found.num_rows < 20


@pytest.mark.parametrize("drive", [comma, trip_164])
def test_both_gates_pass_on_real_recordings(drive):
    one = drive()
    drives = pa.table({"drive_id": [KEYS["drive_id"]], "vehicle_spec": [one.spec.name]})
    specs = {one.spec.name: one.spec}
    covered = coverage_verdict(one.silver["silver.signals"], drives, specs, CANONICAL, SYNC, policy_digest=DIGEST)
    skewed = skew_verdict(one.silver["silver.clock_models"], drives, specs, SYNC, policy_digest=DIGEST)
    assert covered.outcome is Outcome.PASS, covered
    assert skewed.outcome is Outcome.PASS, skewed


def test_the_three_wild_samples_of_trip_164_are_named_at_their_time_on_every_axis():
    drive = trip_164()
    wild = drive.findings.filter(pc.equal(drive.findings["sensor"], "imu")).to_pylist()
    axes = {"accel_long_mps2", "accel_lat_mps2", "accel_vert_mps2"}
    assert {row["rule"] for row in wild} == {"range"}
    assert {row["severity"] for row in wild} == {"cut"}
    assert {abs(row["value"]) for row in wild} == {64.0}
    assert all("flags this as invalid" in row["message"] for row in wild)
    found = sorted({(row["t_ns"], row["end_ns"]) for row in wild})
    assert len(wild) == len(found) * len(axes)
    assert all({row["signal"] for row in wild if row["t_ns"] == first} == axes for first, _ in found)
    # Seconds on the recorder's clock; the first IMU message came at 17.67135 s.
    expected = np.array([226.321, 713.4521, 1401.4746]) - 17.67135
    since = np.array([[first, last] for first, last in found]) - first_stamp(drive, "imu")
    np.testing.assert_allclose(since / S, np.column_stack([expected, expected]), atol=1e-4)


def test_no_wild_sample_of_trip_164_reaches_silver():
    drive = trip_164()
    imu = drive.samples.filter(pc.equal(drive.samples["sensor"].cast(pa.string()), "imu"))
    for name in ("accel_long_mps2", "accel_lat_mps2", "accel_vert_mps2"):
        raw = imu.filter(pc.equal(imu["signal"].cast(pa.string()), name))
        value = raw["value"].to_numpy()
        kept = value[np.abs(value) != 64]
        assert len(value) - len(kept) == 3
        column = numbers(drive, name)
        assert np.nanmin(column) >= kept.min()
        assert np.nanmax(column) <= kept.max()
    assert np.nanmean(numbers(drive, "accel_vert_mps2")) == pytest.approx(9.81, abs=0.3)


def test_gaps_of_gnss_in_trip_164_are_null_in_silver_and_no_findings():
    drive = trip_164()
    assert "gap" not in drive.findings["rule"].to_pylist()
    table = drive.samples.filter(pc.equal(drive.samples["signal"].cast(pa.string()), "speed_mps"))
    valid = table.filter(table["valid"])["t_ns"].to_numpy()
    offset = (
        drive.silver["silver.clock_models"]
        .filter(pc.equal(drive.silver["silver.clock_models"]["sensor"], "gnss_speed"))
        .to_pylist()[0]
    )
    corrected = valid + offset["offset_ns"] + offset["drift_ppm"] * 1e-6 * (valid - offset["reference_ns"])
    gaps = np.flatnonzero(np.diff(valid) > CANONICAL.signals["speed_mps"].max_gap_s * S)
    assert len(gaps) >= 6
    t_ns, speed = drive.silver["silver.signals"]["t_ns"].to_numpy(), numbers(drive, "speed_mps")
    for gap in gaps:
        inside = (t_ns > corrected[gap] + MS) & (t_ns < corrected[gap + 1] - MS)
        assert inside.any()
        assert np.isnan(speed[inside]).all()


def test_the_clock_of_trip_164_agrees_with_the_utc_that_its_receiver_states():
    drive = trip_164()
    [model] = [row for row in drive.silver["silver.clock_models"].to_pylist() if row["sensor"] == "gnss_time"]
    signal = CANONICAL.with_role("utc_offset").name
    stated = drive.samples.filter(pc.equal(drive.samples["signal"].cast(pa.string()), signal))
    t_ns, offset_s = stated["t_ns"].to_numpy(), stated["value"].to_numpy()
    assert model["samples"] > 0.9 * len(t_ns)
    modelled = model["offset_ns"] / S + model["drift_ppm"] * 1e-6 * (t_ns - model["reference_ns"]) / S
    assert np.median(np.abs(offset_s - modelled)) < 0.03
    # An ordinary line through the pairs after the first two minutes agrees within three standard errors.
    later = t_ns > t_ns[0] + 120 * S
    slope = np.polyfit((t_ns[later] - t_ns[0]) / S, offset_s[later], 1)[0] * 1e6
    assert model["drift_ppm"] == pytest.approx(slope, abs=3 * model["drift_se_ppm"])


def test_the_rav4_engages_once_at_nine_seconds():
    drive = comma()
    table = drive.silver["silver.signals"]
    t_ns, engaged = table["t_ns"].to_numpy(), numbers(drive, "adas_engaged")
    known = ~np.isnan(engaged)
    edges = np.flatnonzero(np.diff(engaged[known]) != 0)
    assert len(edges) == 1
    assert engaged[known][0] == 0
    at_s = (t_ns[known][edges[0] + 1] - drive.row["start_ns"]) / S
    assert at_s == pytest.approx(9.02, abs=CANONICAL.grid_ms / 1000)


def test_the_first_wheel_speeds_of_the_rav4_stand_in_silver():
    drive = comma()
    speed = numbers(drive, "speed_mps")
    # 28.86 to 28.92 km/h in the first frames, of one wheel each.
    assert speed[~np.isnan(speed)][0] * 3.6 == pytest.approx(28.87, abs=0.4)


def test_gnss_speed_of_the_rav4_lags_behind_its_wheels():
    [model] = [row for row in comma().silver["silver.clock_models"].to_pylist() if row["sensor"] == "gnss"]
    # The lag with the smallest spread of (GNSS speed - wheel speed) over the segment is 0.17 s.
    assert model["skew_ns"] / MS == pytest.approx(170, abs=40)
    assert 0 < model["skew_se_ns"] / MS < 60


def test_radar_and_lead_of_the_rav4_are_in_the_frame_of_its_reference():
    drive = comma()
    tracks = drive.silver["silver.radar_tracks"]
    assert tracks.num_rows == 10_100
    assert tracks["distance_m"].to_numpy().min() >= drive.spec.frames.sensors["radar"].x_m
    lead = numbers(drive, "lead_distance_m")
    known = ~np.isnan(lead)
    assert known.mean() > 0.9
    assert 15 < np.median(lead[known]) < 80
