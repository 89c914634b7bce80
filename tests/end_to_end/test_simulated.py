"""Simulated drives from `fleet simulate` through the landing zone to the silver tables, held against their truth."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from fleet_assets.cli import main
from fleet_assets.policy.documents import load_policies
from services.fleet_simulator.sensors.imu import GRAVITY_MPS2
from services.fleet_simulator.world.generate import generate_network
from tests.harness import TestFleet

SEED = 11
SOUND = f"sim-{SEED}-0001"
JUMPING = f"sim-{SEED}-0003"
OTHERS = {
    2: "dropout:imu@10+5",
    3: "clock_jump@12=2500",
    4: "missing_sensor:steering",
    5: "truncated_upload=0.5",
    6: "wrong_digest",
    7: "unknown_depot",
    8: "spike:imu@15",
}
# (largest mean error, error that 99 % of the instants keep): what the policy's errors and the specs' latencies allow.
LIMITS = {
    "speed_mps": (0.15, 0.30),
    "gnss_speed_mps": (0.05, 0.30),
    "wheel_speed_rl_mps": (0.30, 0.60),
    "accel_long_mps2": (0.20, 0.90),
    "accel_lat_mps2": (0.20, 0.90),
    "yaw_rate_radps": (0.006, 0.03),
    "steering_deg": (2.5, 6.0),
}


def simulate(*arguments: str) -> Any:
    result = CliRunner().invoke(main, ["simulate", *arguments, "--json"])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code in {0, 1}, result.output
    return json.loads(result.stdout)


def number_of(drive_id: str) -> int:
    return int(drive_id.rsplit("-", 1)[1])


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> TestFleet:
    """A sound drive and seven faulty ones, put into the landing zone by the command; to be read only."""
    fleet = TestFleet(tmp_path_factory.mktemp("simulated") / "home", first_day="2024-05-01")
    faults = [part for number, fault in OTHERS.items() for part in ("--fault", f"{number}/{fault}")]
    arguments = ["--drives", "8", "--seconds", "30", "--seed", str(SEED), "--no-turn", "--home", str(fleet.home)]
    placed = simulate(*arguments, "--depot", "north", "--depot", "south", *faults)
    assert [number_of(row["drive_id"]) for row in placed] == list(range(1, 9))
    fleet.turn()
    return fleet


def truth(fleet: TestFleet, drive_id: str, name: str) -> dict[str, np.ndarray]:
    table = pq.read_table(fleet.home / "truth" / drive_id / f"{name}.parquet")
    return {column: table[column].to_numpy() for column in table.column_names}


def document(fleet: TestFleet, drive_id: str) -> Any:
    return json.loads((fleet.home / "truth" / drive_id / "drive.json").read_text())


def rows_of(fleet: TestFleet, table: str, drive_id: str, sensor: str | None = None) -> list[dict[str, Any]]:
    rows = fleet.sql(f"select * from {table}")  # noqa: S608 - a name of this file
    return [row for row in rows if row["drive_id"] == drive_id and sensor in {None, row.get("sensor")}]


def signals(fleet: TestFleet, drive_id: str) -> dict[str, np.ndarray]:
    rows = sorted(rows_of(fleet, "silver.signals", drive_id), key=lambda row: row["t_ns"])
    return {
        name: np.array([row[name] for row in rows], dtype=np.float64) for name in [*LIMITS, "lat_deg", "lon_deg"]
    } | {"t_ns": np.array([row["t_ns"] for row in rows], dtype=np.int64)}


def test_the_sound_drive_passes_every_gate(simulated: TestFleet) -> None:
    (row,) = rows_of(simulated, "bronze.drive_status", SOUND)
    assert (row["status"], row["time_source"], row["day"], row["depot"]) == ("clean", "gnss", "2024-05-01", "north")
    assert set(simulated.gates().values()) == {"pass"}
    assert ("silver/signals", "coverage", "2024-05-01|north") in simulated.gates()


def test_no_message_of_the_sound_drive_is_lost(simulated: TestFleet) -> None:
    rows = rows_of(simulated, "bronze.sensor_streams", SOUND)
    found = {row["sensor"]: row["messages"] for row in rows if row["messages"]}
    sent = document(simulated, SOUND)["messages"]
    can = sum(found[name] for name in ("wheel_speeds", "motion", "steering", "pedals", "adas"))
    assert can == sent["/can/vehicle"]
    assert {"/imu/data": found["imu"], "/can/radar": found["radar"]} == {
        name: sent[name] for name in ("/imu/data", "/can/radar")
    }
    assert found["gnss_time"] == sent["/gnss/time_reference"]


def test_aligned_signals_are_the_truth_within_the_stated_error(simulated: TestFleet) -> None:
    ego, measured = truth(simulated, SOUND, "ego"), signals(simulated, SOUND)
    half = 0.5 * load_policies()["simulation"]["sensors"]["can"]["track_width_m"]
    true = {
        "speed_mps": ego["speed_mmps"] / 1e3,
        "gnss_speed_mps": ego["speed_mmps"] / 1e3,
        "wheel_speed_rl_mps": ego["speed_mmps"] / 1e3 - half * ego["yaw_rate_uradps"] / 1e6,
        "accel_long_mps2": ego["accel_mmps2"] / 1e3,
        "accel_lat_mps2": ego["lateral_accel_mmps2"] / 1e3,
        "yaw_rate_radps": ego["yaw_rate_uradps"] / 1e6,
        "steering_deg": np.degrees(ego["steering_wheel_mrad"] / 1e3),
    }
    # What a unit has from the first moment on, its truth states; the limits are for what comes on top.
    unit = document(simulated, SOUND)["sensors"]["imu"]
    always = {
        "accel_long_mps2": unit["acceleration_bias_mps2"][0] + GRAVITY_MPS2 * unit["tilt_rad"][0],
        "accel_lat_mps2": unit["acceleration_bias_mps2"][1] + GRAVITY_MPS2 * unit["tilt_rad"][1],
        "yaw_rate_radps": unit["rate_bias_radps"][2],
    }
    start_ns = ego["t_ns"][0]
    seconds, at = (ego["t_ns"] - start_ns) / 1e9, (measured["t_ns"] - start_ns) / 1e9
    found = {}
    for name, values in true.items():
        error = measured[name] - np.interp(at, seconds, values) - always.get(name, 0.0)
        error = error[np.isfinite(error)]
        assert len(error) > 0.9 * len(at), name
        found[name] = (abs(float(error.mean())), float(np.quantile(np.abs(error), 0.99)))
    beyond = {name: figures for name, figures in found.items() if np.any(np.array(figures) > LIMITS[name])}
    assert not beyond


def test_positions_are_the_truth_within_the_receivers_error(simulated: TestFleet) -> None:
    ego, measured = truth(simulated, SOUND, "ego"), signals(simulated, SOUND)
    frame = generate_network(SEED, load_policies()["simulation"]["world"]).frame
    heard = np.isfinite(measured["lat_deg"])
    east, north = frame.to_plane(measured["lat_deg"][heard], measured["lon_deg"][heard])
    at, seconds = ((t_ns - ego["t_ns"][0]) / 1e9 for t_ns in (measured["t_ns"][heard], ego["t_ns"]))
    error = np.hypot(
        east - np.interp(at, seconds, ego["x_mm"] / 1e3), north - np.interp(at, seconds, ego["y_mm"] / 1e3)
    )
    assert heard.mean() > 0.6
    assert np.quantile(error, 0.99) < 12.0


def clock_errors(fleet: TestFleet, drive: dict[str, Any], sensor: str) -> tuple[float, float, float]:
    """Error of the offset (ms) and of the drift (ppm) at the model's reference, and the drift's standard error."""
    (model,) = rows_of(fleet, "silver.clock_models", drive["drive_id"], sensor)
    facts = document(fleet, drive["drive_id"])
    clock, latency_ns = facts["recorder_clock"], facts["sensors"][sensor]["timing"]["latency_ns"]
    since_s = (model["reference_ns"] - clock["reference_ns"]) / 1e9
    true_ns = clock["offset_ns"] + since_s * clock["drift_ppb"] + latency_ns
    stated_ns = -(model["offset_ns"] + drive["clock_offset_ns"])
    return (stated_ns - true_ns) / 1e6, model["drift_ppm"] + clock["drift_ppb"] / 1e3, model["drift_se_ppm"]


def test_every_sensors_clock_is_found_within_2_ms_and_what_the_spec_says_of_latencies(simulated: TestFleet) -> None:
    sensors = load_policies()["vehicles/sim_car"]["sensors"]
    uncertainty = {name: sensor["latency_ms"]["uncertainty"] for name, sensor in sensors.items()}
    drives = [row for number in (1, 2) for row in rows_of(simulated, "bronze.drives", f"sim-{SEED}-000{number}")]
    for drive in drives:
        offset_ms, drift_ppm, se_ppm = clock_errors(simulated, drive, "gnss_time")
        assert abs(offset_ms) < 2
        assert abs(drift_ppm) < 4 * se_ppm
        for name in ("imu", "motion", "radar"):
            offset_ms, _, _ = clock_errors(simulated, drive, name)
            assert abs(offset_ms) < 2 + uncertainty[name] + uncertainty["gnss_time"]


def test_a_clock_jump_is_located_within_one_sample(simulated: TestFleet) -> None:
    models = rows_of(simulated, "silver.clock_models", JUMPING, "imu")
    first, second = sorted(models, key=lambda model: int(model["segment"]))
    (fault,) = document(simulated, JUMPING)["faults"]
    facts = document(simulated, JUMPING)
    # The first stamp after the jump, brought to UTC by the second stretch's own model, is the first sample after it.
    (drive,) = rows_of(simulated, "bronze.drives", JUMPING)
    measured_ns = second["start_ns"] + second["offset_ns"]
    latency_ns = sum(facts["sensors"]["imu"]["timing"][name] for name in ("latency_ns", "period_ns"))
    assert abs(measured_ns - fault["start_ns"]) < latency_ns + 22e6 + 2e6
    assert second["jump_ns"] / 1e6 == pytest.approx(-fault["magnitude"], abs=20)
    assert first["segment"] == 0
    assert drive["time_source"] == "gnss"


def test_every_fault_is_found_with_its_reason(simulated: TestFleet) -> None:
    status = {
        number_of(row["drive_id"]): (row["status"], (row["reason"] or "").partition(":")[0])
        for row in simulated.sql("select drive_id, status, reason from bronze.drive_status")
    }
    findings = {
        (number_of(row["drive_id"]), row["sensor"], row["rule"])
        for row in simulated.sql("select drive_id, sensor, rule from bronze.integrity_findings")
    }
    assert (2, "imu", "gap") in findings
    assert (3, "gnss_time", "clock_jump") in findings
    assert status[4] == ("quarantined", "sensor_missing")
    assert status[5] == ("rejected", "size_mismatch")
    assert status[6] == ("rejected", "sha256_mismatch")
    assert (8, "imu", "spike") in findings
    (held,) = simulated.sql("select drive_id, rule from landing.quarantine")
    assert (number_of(held["drive_id"]), held["rule"]) == (7, "unknown_depot")
    assert {number: status[number][0] for number in (1, 2, 3, 8)} == dict.fromkeys((1, 2, 3, 8), "clean")
    assert not [finding for finding in findings if finding[0] == 1 and finding[2] in {"spike", "gap", "rate", "range"}]


@pytest.mark.slow
def test_late_corrected_repeated_and_midnight_drives_end_as_planned(tmp_path: Path) -> None:
    """Two rounds of the real crank: what comes late or corrected comes after the first round."""
    fleet = TestFleet(tmp_path / "home", first_day="2024-05-01", durable=True)
    faults = ("1/late_arrival", "2/corrected_reupload", "2/missing_sensor:imu", "3/duplicate_upload", "4/near_midnight")
    arguments = [part for fault in faults for part in ("--fault", fault)]
    rows = simulate("--drives", "4", "--seconds", "15", "--depot", "north", "--home", str(fleet.home), *arguments)
    assert {row["drive_id"]: row["status"] for row in rows if "copy" not in row["drive_id"]} == {
        f"sim-1-000{number}": "clean" for number in range(1, 5)
    }
    drives = {row["drive_id"]: row for row in fleet.sql("select * from bronze.drives")}
    assert drives["sim-1-0002"]["revision"] == 1
    assert drives["sim-1-0004"]["day"] == "2024-05-01"
    log = fleet.sql("select drive_id, event from bronze.ingestion_log")
    assert ("sim-1-0003", "duplicate") in {(row["drive_id"], row["event"]) for row in log}
    assert {row["drive_id"] for row in fleet.sql("select distinct drive_id from silver.signals")} == set(drives)


def test_the_pipeline_needs_no_truth(simulated: TestFleet) -> None:
    landing = simulated.fleet.settings.landing
    assert simulated.home / "truth" not in landing.parents
    assert not [path for path in landing.rglob("*") if "truth" in path.name]


def test_a_drive_alone_is_the_same_drive_and_needs_no_fleet(simulated: TestFleet, tmp_path: Path) -> None:
    arguments = ["--drives", "8", "--only", "1", "--seconds", "30", "--seed", str(SEED), "--out", str(tmp_path)]
    (row,) = simulate(*arguments, "--depot", "north", "--depot", "south")
    (landed,) = (simulated.fleet.settings.landing / f"{SOUND}-r0").glob("*.mcap")
    assert Path(row["recording"]).read_bytes() == landed.read_bytes()
    assert (Path(row["truth"]) / "ego.parquet").read_bytes() == (
        simulated.home / "truth" / SOUND / "ego.parquet"
    ).read_bytes()
    assert (tmp_path / "recordings" / "dbc" / "sim_car.dbc").is_file()
