"""The demo fleet through the real door: every planted case ends as planned, and nothing of it hangs on the truth."""

import json
import os
import shutil
import signal
import subprocess
from collections import Counter
from pathlib import Path

import dagster as dg
import numpy as np
import pytest
from click.testing import CliRunner

from fleet_assets.cli import main
from services.fleet_simulator.camera.gpu import unavailable_reason
from tests.demo_fleet import DemoFleet, demo_command, open_demo_home, run_demo
from tests.harness import TestFleet

DAYS = ("2024-05-06", "2024-05-07")
CASES = ("quarantine", "late_drive", "failed_gate", "hard_brake", "near_duplicate")
NS_PER_S = 1_000_000_000


def statuses(fleet: TestFleet) -> dict[str, str]:
    """State of each drive."""
    return {row["drive_id"]: row["status"] for row in fleet.sql("select drive_id, status from bronze.drive_status")}


def silver(demo: DemoFleet, drive_id: str, column: str) -> np.ndarray:
    """One signal of a drive over its instants."""
    rows = demo.fleet.sql(f"select {column} v from silver.signals where drive_id = '{drive_id}' order by t_ns")  # noqa: S608
    return np.array([row["v"] for row in rows], dtype=np.float64)


def test_eight_drives_of_two_days_and_two_depots_have_at_most_500_pictures(demo_fleet: DemoFleet) -> None:
    policy = demo_fleet.policy
    rows = demo_fleet.fleet.sql("select day, depot, drive_id from bronze.drives")
    assert len(rows) == 8
    assert Counter((row["day"], row["depot"]) for row in rows) == {
        (day, depot): 2 for day in DAYS for depot in policy["depots"]
    }
    seconds = [drive["seconds"] for drive in policy["drives"]]
    assert min(seconds) >= 30
    assert max(seconds) <= 40
    assert 2 <= policy["camera_hz"] <= 5
    # A camera may take one picture more than the length allows: its first may come at once.
    assert sum(seconds) * policy["camera_hz"] + len(seconds) <= 500


def test_the_command_says_of_every_planted_case_that_it_ended_as_planned(demo_fleet: DemoFleet) -> None:
    endings = demo_fleet.report["planted"]
    assert [ending["planted"].replace(" ", "_") for ending in endings] == list(CASES)
    assert [ending["drive"] for ending in endings if not ending["as_planned"]] == []
    assert len({demo_fleet.planted(case) for case in CASES}) == len(CASES)


def test_only_the_drive_whose_steering_fell_silent_is_quarantined(demo_fleet: DemoFleet) -> None:
    held = demo_fleet.planted("quarantine")
    found = statuses(demo_fleet.fleet)
    assert {name for name, status in found.items() if status != "clean"} == {held}
    findings = demo_fleet.fleet.sql(
        "select drive_id, rule, sensor from bronze.integrity_findings where severity = 'drive'"
    )
    (row,) = [finding for finding in findings if finding["drive_id"] == held]
    (fault,) = demo_fleet.truth(held)["faults"]
    assert (row["rule"], row["sensor"]) == ("sensor_short", fault["sensor"])
    assert len(silver(demo_fleet, held, "speed_mps")) == 0


def test_the_late_drive_restates_only_what_depends_on_it(demo_fleet: DemoFleet) -> None:
    late = demo_fleet.planted("late_drive")
    changed = demo_fleet.report["late"]
    assert changed["drives"] == [late]
    assert changed["rolled_up"] == [f"ops.daily_coverage {DAYS[0]}"]
    assert (changed["others_changed"], changed["own"] > 0, changed["others_kept"] > 0) == (0, True, True)
    # Dagster's own record of the partition: first the other drive alone, then this one beside it.
    with demo_fleet.fleet.instance() as instance:
        wanted = dg.AssetRecordsFilter(dg.AssetKey(["silver", "signals"]), asset_partitions=[f"{DAYS[0]}|harbour"])
        records = instance.fetch_materializations(wanted, limit=10, ascending=True).records
    counts = [
        tuple(record.asset_materialization.metadata[name].value for name in ("restated", "unchanged"))
        for record in records
        if record.asset_materialization is not None
    ]
    assert counts == [(1, 0), (1, 1)]


def test_the_failed_gate_holds_back_its_day_and_no_other(demo_fleet: DemoFleet) -> None:
    bad = demo_fleet.planted("failed_gate")
    rows = demo_fleet.fleet.sql("select distinct day from ops.daily_coverage")
    assert [row["day"] for row in rows] == [DAYS[0]]
    refused = {(row["gate"], row["partition"]) for row in demo_fleet.report["gates"] if row["outcome"] != "pass"}
    assert refused == {("silver/signals:coverage", f"{DAYS[1]}|airport")}
    (fault,) = demo_fleet.truth(bad)["faults"]
    assert (fault["kind"], fault["sensor"]) == ("rate_change", "imu")
    empty = np.isnan(silver(demo_fleet, bad, "accel_long_mps2"))
    assert empty.mean() > 0.5


def test_the_hard_brake_is_seen_in_silver_where_it_really_was(demo_fleet: DemoFleet) -> None:
    braking = demo_fleet.planted("hard_brake")
    truth = demo_fleet.truth(braking)
    seen = silver(demo_fleet, braking, "accel_long_mps2")
    events = [event for event in truth["events"] if event["kind"] == "hard_brake"]
    assert events
    for event in events:
        first, last = (int((event[name] - truth["start_ns"]) / 1e8) for name in ("start_ns", "end_ns"))
        assert np.nanmin(seen[max(first - 5, 0) : last + 6]) == pytest.approx(-event["value"] / 1000, abs=1.5)


def test_the_near_duplicate_moves_like_its_original_and_is_measured_anew(demo_fleet: DemoFleet) -> None:
    again = demo_fleet.planted("near_duplicate")
    (body,) = [drive for drive in demo_fleet.policy["drives"] if drive["name"] == again]
    one, two = demo_fleet.true_motion(body["repeats"]), demo_fleet.true_motion(again)
    assert {name for name in one if not np.array_equal(one[name], two[name])} == {"t_ns"}
    assert np.unique(two["t_ns"] - one["t_ns"]).tolist() == [12 * 60 * NS_PER_S]
    measured, before = (silver(demo_fleet, name, "accel_long_mps2")[:290] for name in (again, body["repeats"]))
    noise = measured - before
    assert 0.001 < np.nanstd(noise) < 0.5
    other = silver(demo_fleet, demo_fleet.planted("hard_brake"), "speed_mps")[:290]
    assert np.nanstd(other - silver(demo_fleet, again, "speed_mps")[:290]) > 1.0


def test_the_time_table_names_every_workflow_and_sums_up(demo_fleet: DemoFleet) -> None:
    *rows, total = demo_fleet.report["times"]
    assert [row["workflow"] for row in rows] == [
        "fleet simulator",
        "telemetry and bulk ingestion",
        "sensor sync and format conversion",
        "integrity and pii redaction",
        "map and weather enrichment",
        "scene detection and event triggers",
        "metadata extraction and catalog",
        "embeddings and vector index",
        "gates",
        "orchestration",
    ]
    for column in ("cpu_s", "elapsed_s"):
        assert sum(row[column] for row in rows) == pytest.approx(total[column], abs=0.05)
        assert all(row[column] >= 0 for row in rows)


def test_the_pipeline_gives_the_same_bytes_where_no_truth_can_be_read(demo_fleet: DemoFleet, tmp_path: Path) -> None:
    """All uploads at once, in a home whose folder of truth cannot be opened by anybody, root neither."""
    home = tmp_path / "home"
    fresh = open_demo_home(home)
    fresh.durable = False
    (home / "truth").write_text("a file where the folder should be")
    settings = demo_fleet.fleet.fleet.settings
    shutil.copytree(settings.landing, home / "landing", dirs_exist_ok=True)
    shutil.copytree(settings.dbc_folder, fresh.fleet.settings.dbc_folder, dirs_exist_ok=True)
    fresh.turn()
    assert fresh.digests() == demo_fleet.fleet.digests()


def test_a_second_demo_does_nothing_and_says_what_is_missing_for_pictures(demo_fleet: DemoFleet) -> None:
    """Pictures are wanted now, but no driver can be found."""
    before = demo_fleet.fleet.digests()
    done = run_demo(demo_fleet.home, environment={"__EGL_VENDOR_LIBRARY_DIRS": "/nonexistent"})
    assert done.returncode == 0, done.stdout + done.stderr
    assert "apt-get install -y libegl1 libegl-mesa0 libgl1-mesa-dri" in done.stdout
    assert "Nothing to do" in done.stdout
    assert "NOT AS PLANNED" not in done.stdout
    assert demo_fleet.fleet.digests() == before


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--recordings", "nowhere"), "nowhere"),
        (("--recordings", ".", "--no-pictures"), "Leave out --recordings, or it"),
        (("--pictures",), "No such option"),
    ],
)
def test_wrong_use_is_refused_with_a_word(options: tuple[str, ...], told: str, tmp_path: Path) -> None:
    done = CliRunner().invoke(main, ["demo", "--home", str(tmp_path / "home"), *options])
    assert done.exit_code == 2
    assert told in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["2024-05-06|harbour", "late, after"])
def test_an_interrupted_demo_is_gone_on_with_and_ends_in_the_same_bytes(
    demo_fleet: DemoFleet, tmp_path: Path, moment: str
) -> None:
    """Ctrl-C once while the first wave is processed, once while the late drive is."""
    fleet = open_demo_home(tmp_path / "home")
    for kept in ("simulated", "truth"):
        shutil.copytree(demo_fleet.home / kept, fleet.home / kept)
    with subprocess.Popen(  # noqa: S603 - this repository's own command
        demo_command(fleet.home, "--no-pictures"),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    ) as running:
        assert running.stdout is not None
        told = []
        for line in running.stdout:
            told.append(line)
            if moment in line:
                os.killpg(running.pid, signal.SIGINT)
                break
        told += running.stdout
    assert running.returncode == 1, "".join(told)
    assert "goes on" in told[-1]
    done = run_demo(fleet.home, "--no-pictures", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    assert all(ending["as_planned"] for ending in json.loads(done.stdout)["planted"])
    assert fleet.digests() == demo_fleet.fleet.digests()


@pytest.mark.slow
def test_with_pictures_the_drives_are_corrections_of_those_without(demo_fleet: DemoFleet, tmp_path: Path) -> None:
    """OpenGL came later: the drives are sent again, with their pictures, as a higher revision."""
    if (reason := unavailable_reason()) is not None:
        pytest.skip(reason)
    home = tmp_path / "home"
    shutil.copytree(demo_fleet.home, home)
    done = run_demo(home, "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    fleet = open_demo_home(home)
    rows = fleet.sql("select drive_id, messages from bronze.sensor_streams where sensor = 'camera'")
    assert len(rows) == 8
    assert 400 < sum(row["messages"] for row in rows) <= 500
    assert {row["revision"] for row in fleet.sql("select revision from bronze.drives")} == {1}
    assert statuses(fleet) == statuses(demo_fleet.fleet)
