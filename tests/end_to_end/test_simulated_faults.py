"""Faults of measurements and recorder from `fleet simulate` through the landing zone and the gates, with their rules.

The other faults, of uploads and clocks, are in `test_simulated.py`; how often each is found is counted by
`benchmarks.fault_study`.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from fleet_assets.cli import main
from tests.harness import TestFleet

SEED = 12
FAULTS = {
    2: ("frozen:imu@10+6", "imu", "frozen"),
    3: ("rate_change:imu@10+8=2", "imu", "rate"),
    4: ("out_of_order@10+2=40", "imu", "time_backward"),
    5: ("offset:motion@8+12=40", "motion", "speed_disagreement"),
    6: ("saturated:imu@15+0.1=20", "imu", "saturation"),
    7: ("frozen:gnss_time@10+6", "gnss_time", "frozen"),
    8: ("spike:gnss_position@15=0.01", "gnss_position", "gnss_jump"),
}

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> TestFleet:
    """A sound drive and one of each fault; to be read only."""
    fleet = TestFleet(tmp_path_factory.mktemp("faulty") / "home", first_day="2024-05-01")
    faults = [part for number, (fault, _, _) in FAULTS.items() for part in ("--fault", f"{number}/{fault}")]
    arguments = ["--drives", "8", "--seconds", "30", "--seed", str(SEED), "--no-turn", "--home", str(fleet.home)]
    result = CliRunner().invoke(main, ["simulate", *arguments, "--json", "--depot", "north", *faults])
    assert len(json.loads(result.stdout)) == 8, result.output
    fleet.turn()
    return fleet


def findings(fleet: TestFleet, number: int) -> list[dict[str, Any]]:
    rows = fleet.sql("select * from bronze.integrity_findings order by t_ns")
    return [
        row for row in rows if row["drive_id"].endswith(f"-{number:04d}") and "missing_channel" not in row["message"]
    ]


def test_the_sound_drive_has_no_finding(faulty: TestFleet) -> None:
    assert findings(faulty, 1) == []


@pytest.mark.parametrize("number", FAULTS)
def test_each_fault_is_found_with_its_rule_at_its_time_and_nothing_else_is(faulty: TestFleet, number: int) -> None:
    _, sensor, rule = FAULTS[number]
    rows = findings(faulty, number)
    assert (sensor, rule) in {(row["sensor"], row["rule"]) for row in rows}
    assert {row["rule"] for row in rows} == {rule}
    truth = json.loads((faulty.home / "truth" / f"sim-{SEED}-{number:04d}" / "drive.json").read_text())
    fault = truth["faults"][0]
    (row,) = [row for row in rows if row["sensor"] == sensor]
    assert row["t_ns"] < fault["end_ns"]
    assert row["end_ns"] > fault["start_ns"] - 1e9
    assert row["limit"] is not None


def test_drives_with_notes_and_cuts_are_clean_and_pass_every_gate(faulty: TestFleet) -> None:
    status = {row["status"] for row in faulty.sql("select status from bronze.drive_status")}
    assert status == {"clean"}
    assert set(faulty.gates().values()) == {"pass"}


@pytest.mark.parametrize(("number", "column"), [(2, "yaw_rate_radps"), (6, "accel_long_mps2"), (8, "lat_deg")])
def test_a_bad_stretch_is_cut_out_of_silver(faulty: TestFleet, number: int, column: str) -> None:
    (row,) = [row for row in findings(faulty, number) if row["severity"] == "cut"]
    inside = faulty.sql(
        f"select {column} as value, t_ns from silver.signals "  # noqa: S608 - names of this file
        f"where drive_id = 'sim-{SEED}-{number:04d}' order by t_ns"
    )
    value = np.array([np.nan if one["value"] is None else one["value"] for one in inside])
    t_ns = np.array([one["t_ns"] for one in inside])
    assert np.isfinite(value).sum() > 200
    if number == 2:
        within = (t_ns > row["t_ns"] + 1e9) & (t_ns < row["end_ns"] - 1e9)
        assert within.sum() > 20
        assert np.isnan(value[within]).all()
    elif number == 6:
        assert np.nanmax(value) < 15
    else:
        assert np.nanmax(value) - np.nanmin(value) < 0.009


def test_a_stopped_utc_leaves_the_clock_as_it_was(faulty: TestFleet) -> None:
    models = faulty.sql("select * from silver.clock_models where sensor = 'gnss_time'")
    own = {row["drive_id"]: row for row in models}
    assert len(models) == len(own)
    stopped, facts = own[f"sim-{SEED}-0007"], Path(faulty.home / "truth" / f"sim-{SEED}-0007" / "drive.json")
    drift_ppm = json.loads(facts.read_text())["recorder_clock"]["drift_ppb"] / 1e3
    assert abs(stopped["drift_ppm"] + drift_ppm) < 4 * stopped["drift_se_ppm"]
