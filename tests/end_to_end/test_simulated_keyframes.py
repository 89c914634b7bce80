"""Pictures of simulated drives from the landing zone to keyframes: redacted, at the right time, near other sensors."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml
from click.testing import CliRunner

from fleet_assets.cli import main
from fleet_assets.policy.documents import load_policies
from partitions.keys import from_dagster
from tests.harness import TestFleet

pytestmark = pytest.mark.slow
SOUND, LATE, SILENT = "north", "south", "west"
"""Depots: drives as they should be, with a camera that is late, with a lidar that falls silent."""
LATE_MS = 220
SECONDS = 12
"""Enough grid for the coverage gate to judge a partition by one drive: keyframes wait for the events of its signals."""
EVENT_S = 4
SEED = 31
"""Of the town: one and the same, as its map is what events are found with."""


def simulate(fleet: TestFleet, depot: str, number: int, *more: str) -> None:
    arguments = ["--drives", "9", "--only", str(number), "--seconds", str(SECONDS), "--seed", str(SEED)]
    arguments += ["--depot", depot, "--no-turn"]
    arguments += ["--sensors", "can,imu,gnss,lidar,camera", "--camera-hz", "2", "--home", str(fleet.home), "--json"]
    result = CliRunner().invoke(main, ["simulate", *arguments, *more])
    assert result.exit_code == 0, result.output


def late_camera(fleet: TestFleet) -> Path:
    """Let the simulator's cameras need longer than their vehicle spec says."""
    document: dict[str, Any] = json.loads(json.dumps(load_policies()["simulation"]))
    document["sensors"]["timing"]["camera"]["latency_ms"]["mean"] += LATE_MS
    path = fleet.home / "policies" / "simulation.yaml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(yaml.safe_dump(document))
    return path


@pytest.fixture(scope="module")
def filmed(tmp_path_factory: pytest.TempPathFactory) -> TestFleet:
    """A sound drive that brakes hard, one with a late camera, one with a lidar that falls silent; to be read only."""
    fleet = TestFleet(tmp_path_factory.mktemp("filmed") / "home", depots=(SOUND, LATE, SILENT), first_day="2024-05-01")
    simulate(fleet, SOUND, 1, "--event", f"hard_brake@{EVENT_S}")
    simulate(fleet, SILENT, 3, "--fault", f"dropout:lidar@{SECONDS / 4}")
    changed = late_camera(fleet)
    simulate(fleet, LATE, 2)
    changed.unlink()
    fleet.turn()
    return fleet


def keyframes(fleet: TestFleet, depot: str) -> list[dict[str, Any]]:
    return fleet.sql(f"select * from silver.keyframes where depot = '{depot}' order by drive_id, t_ns")  # noqa: S608 - a name of this test


def outcomes(fleet: TestFleet, check: str) -> Mapping[str, str]:
    """Outcome of a gate of the keyframes by depot."""
    return {
        from_dagster(partition)[1]: outcome
        for (asset, gate, partition), outcome in fleet.gates().items()
        if (asset, gate) == ("silver/keyframes", check)
    }


def test_every_second_of_a_clip_has_a_keyframe_with_the_pixels_of_the_redacted_media(filmed: TestFleet) -> None:
    rows = keyframes(filmed, SOUND)
    assert len({row["drive_id"] for row in rows}) == 1
    media = {row["drive_id"]: row["sha256"] for row in filmed.sql("select * from bronze.redacted_media")}
    for row in rows:
        shard = pq.read_table(filmed.fleet.objects.local(row["sha256"], "open")).to_pylist()[row["shard_row"]]
        redacted = pq.read_table(filmed.fleet.objects.local(media[row["drive_id"]], "open")).to_pylist()
        (own,) = [one for one in redacted if one["frame"] == row["frame"]]
        assert shard["jpeg"] == own["jpeg"]
        assert hashlib.sha256(shard["jpeg"]).hexdigest() == row["jpeg_sha256"]
    for drive in {row["drive_id"] for row in rows}:
        times = [row["t_ns"] for row in rows if row["drive_id"] == drive]
        assert len(times) >= SECONDS - 2
        assert np.diff(times).max() < 1.6e9


def test_keyframes_have_the_time_of_the_exposure(filmed: TestFleet) -> None:
    for depot, late_ms in ((SOUND, 0), (LATE, LATE_MS)):
        rows = keyframes(filmed, depot)
        truth = pq.read_table(filmed.home / "truth" / rows[0]["drive_id"] / "camera_boxes.parquet")["t_ns"].to_numpy()
        nearest = [truth[np.abs(truth - row["stamp_ns"]).argmin()] for row in rows]
        # Pictures in which nothing is seen are not in that table.
        errors_ms = [
            (row["t_ns"] - true) / 1e6
            for row, true in zip(rows, nearest, strict=True)
            if abs(row["stamp_ns"] - true) < 5e7
        ]
        # Each drive draws its latency anew, within 20 ms; the receiver by which the clock is known, too.
        assert errors_ms
        assert np.abs(np.array(errors_ms) - late_ms).max() < 55


def test_a_hard_brake_has_its_keyframes_and_no_keyframe_is_of_an_event_that_is_not_there(filmed: TestFleet) -> None:
    rules = filmed.fleet.policies["keyframes"]["events"]
    events = filmed.sql("select * from gold.event_windows")
    assert "hard_brake" in {row["trigger"] for row in events if row["depot"] == SOUND}
    for depot in (SOUND, LATE, SILENT):
        instants = np.array(
            [row[name] for row in events if row["depot"] == depot for name in rules["instants"]], np.int64
        )
        rows = keyframes(filmed, depot)
        at_events = [row["t_ns"] for row in rows if row["reason"] == "event"]
        assert bool(at_events) == bool(len(instants))
        within_ns = rules["within_ms"] * 1_000_000
        assert all(((t_ns >= instants) & (t_ns - instants <= within_ns)).any() for t_ns in at_events)
    brakes = [row for row in events if row["depot"] == SOUND and row["trigger"] == "hard_brake"]
    shown = [row["t_ns"] for row in keyframes(filmed, SOUND) if row["reason"] == "event"]
    for brake in brakes:
        assert any(0 <= t_ns - brake[name] <= within_ns for t_ns in shown for name in rules["instants"])


def test_the_time_skew_gate_passes_fails_and_is_inconclusive(filmed: TestFleet) -> None:
    assert outcomes(filmed, "time_skew") == {SOUND: "pass", LATE: "fail", SILENT: "inconclusive"}
