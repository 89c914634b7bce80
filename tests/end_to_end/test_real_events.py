"""Real recordings from landing to events, through `fleet ingest`'s landing zone and real ticks."""

import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from benchmarks.trigger_parity import parity_of
from fleet_assets.mining.scene_detection_and_event_triggers.drive_signals import DriveSignals, drive_signals
from fleet_assets.policy.canonical import parse_canonical_signals
from fleet_assets.policy.expressions.columnar import Columns
from fleet_assets.policy.triggers import CompiledTriggers, compile_triggers
from fleet_assets.policy.vehicle_parsing import parse_vehicle_spec
from tests.harness import CSS_SPEC, TestFleet

pytestmark = pytest.mark.real_data

SECOND_NS = 1_000_000_000
HARD_BRAKES_S = (338.8, 380.1, 683.8)
"""Boreas 2021-08-05, from the README of the recordings."""
STRONGEST_BRAKING_S = 2241.5
"""CSS trip 164: the middle of the one second in which its README says that the trip braked."""


@pytest.fixture(scope="module")
def boreas(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> TestFleet:
    fleet = TestFleet(tmp_path_factory.mktemp("boreas") / "home", first_day="2021-08-04", today="2021-08-06")
    recording = real_data / "boreas_cc_by/sample/boreas-2021-08-05-13-34/lidar_poses.csv"
    fleet.upload(recording, spec="boreas", drive_id="boreas")
    fleet.turn()
    return fleet


@pytest.fixture(scope="module")
def css(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> TestFleet:
    fleet = TestFleet(tmp_path_factory.mktemp("css") / "home", first_day="2021-07-25", today="2021-07-27")
    folder = real_data / "css_canedge_mf4"
    databases = [path.parent for path in folder.rglob("*.dbc")]
    fleet.upload(folder / "sample/3BA199E2_trip164_morning", spec=CSS_SPEC, drive_id="css", dbc_folders=databases)
    fleet.turn()
    return fleet


@pytest.fixture(scope="module")
def comma(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> TestFleet:
    """Without its video: nothing of it is asked here."""
    recording = tmp_path_factory.mktemp("recording") / "sample"
    shutil.copytree(real_data / "comma2k19_example/sample", recording, ignore=shutil.ignore_patterns("video*"))
    fleet = TestFleet(tmp_path_factory.mktemp("comma") / "home", first_day="2018-08-01", today="2018-08-03")
    fleet.upload(recording, drive_id="comma")
    fleet.turn()
    return fleet


def events(fleet: TestFleet, drive: str, trigger: str | None = None) -> list[Mapping[str, Any]]:
    """Events of a drive with seconds since its start."""
    where = f"and e.trigger = '{trigger}'" if trigger else ""
    return fleet.sql(
        f"select e.*, (e.start_ns - d.start_ns) / 1e9 as start_s from gold.event_windows e "  # noqa: S608
        f"join bronze.drives d using (drive_id) where drive_id = '{drive}' {where} order by e.start_ns"
    )


def joined(fleet: TestFleet) -> tuple[CompiledTriggers, DriveSignals, pa.Table]:
    """The fleet's one drive as its triggers see it, and its object lists; there is no map and no weather."""
    lake, tables, policies = fleet.fleet.lake, fleet.fleet.tables, fleet.fleet.policies
    (drive,) = fleet.sql("select * from bronze.drives")
    canonical = parse_canonical_signals(policies["canonical_signals"], policies.digest("canonical_signals"))
    name = f"vehicles/{drive['vehicle_spec']}"
    spec = parse_vehicle_spec(policies[name], policies.digest(name), canonical)
    whom = {key: drive[key] for key in ("vehicle_spec", "vehicle_id")}
    compiled = compile_triggers(policies["triggers"], policies.digest("triggers"), canonical, **whom)
    signals, tracks = (lake.rows(tables[f"silver.{table}"]) for table in ("signals", "radar_tracks"))
    return compiled, drive_signals(signals, tracks, {}, spec, canonical, compiled), tracks


@pytest.mark.parametrize(("recording", "least_events"), [("boreas", 3), ("css", 5), ("comma", 1)])
def test_a_vehicle_finds_bit_for_bit_what_the_pipeline_finds(
    recording: str, least_events: int, request: pytest.FixtureRequest
) -> None:
    fleet: TestFleet = request.getfixturevalue(recording)
    compiled, drive, tracks = joined(fleet)
    parity = parity_of(compiled, drive, tracks)
    assert parity.unequal == ()
    assert repr(parity.streamed) == repr(parity.columnar)
    assert parity.holds
    stored = fleet.sql("select * from gold.event_windows order by start_ns, trigger, end_ns")
    assert [(row["trigger"], row["start_ns"], row["end_ns"], row["peak_ns"]) for row in stored] == [
        (one.trigger, one.start_ns, one.end_ns, one.peak_ns)
        for one in sorted(parity.streamed, key=lambda one: (one.start_ns, one.trigger, one.end_ns))
    ]
    assert len(stored) >= least_events


def test_that_comparison_sees_one_bit_of_one_sample_and_of_one_track_signal(comma: TestFleet) -> None:
    compiled, drive, tracks = joined(comma)
    parity = parity_of(compiled, drive, tracks)
    assert parity.objects > 1
    first, *others = parity.columnar
    nudged = replace(first, value=float(np.nextafter(first.value, np.inf)))
    assert not replace(parity, columnar=(nudged, *others)).holds
    name = next(one.name for one in compiled.tracks if not np.isnan(drive.column(one.name)).all())
    column = drive.column(name).copy()
    at = int(np.flatnonzero(~np.isnan(column))[0])
    column[at] = np.nextafter(column[at], np.inf)
    moved = replace(drive, columns={**drive.columns, name: column})
    assert parity_of(compiled, moved, tracks).unequal == (name,)


def test_boreas_has_its_three_hard_brakes_and_no_other(boreas: TestFleet) -> None:
    found = events(boreas, "boreas", "hard_brake")
    late = [row["start_s"] - true_s for row, true_s in zip(found, HARD_BRAKES_S, strict=True)]
    assert all(0.0 <= seconds <= 0.4 for seconds in late), late
    assert all(-5.0 < row["value"] < -3.0 and row["unit"] == "m/s^2" for row in found)


def test_the_strongest_braking_of_trip_164_is_where_its_readme_says_and_just_no_hard_brake(css: TestFleet) -> None:
    compiled, drive, _ = joined(css)
    (trigger,) = (one for one in compiled.triggers if one.name == "hard_brake")
    acceleration = Columns(compiled.plan, drive.columns, len(drive.t_ns)).number(trigger.machine.value)
    assert (np.diff(drive.t_ns) == compiled.step_ms * 1_000_000).all()  # one stretch, as `Columns` wants it
    (start_ns,) = (row["start_ns"] for row in css.sql("select start_ns from bronze.drives"))
    seconds = (drive.t_ns - start_ns) / SECOND_NS
    # The receiver speaks once a second and the mean looks back half a second: the least is a plateau of that length.
    least = float(np.nanmin(acceleration))
    assert -3.0 < least < -2.5
    there = seconds[acceleration <= least + 0.1]
    assert (np.abs(there - STRONGEST_BRAKING_S) <= 0.7).all(), there
    assert np.nanmin(acceleration[np.abs(seconds - STRONGEST_BRAKING_S) > 5.0]) > least + 0.5
    assert events(css, "css", "hard_brake") == []
    # It was watched: the trip has a speed over its whole length.
    (watched,) = css.sql(
        "select distance_m, missing from gold.trigger_exposure where drive_id = 'css' and trigger = 'hard_brake'"
    )
    assert watched["missing"] is None
    assert watched["distance_m"] > 10_000


def test_no_event_of_any_trigger_lies_around_a_spike_of_trip_164(css: TestFleet) -> None:
    """Three samples of 64 m/s^2, one in each of the first three files: what the sensor says when it has no value."""
    spikes = css.sql(
        "select distinct f.t_ns, (f.t_ns - d.start_ns) / 1e9 as at_s from bronze.integrity_findings f "
        "join bronze.drives d using (drive_id) where f.sensor = 'imu' and abs(f.value) = 64 order by f.t_ns"
    )
    assert [row["at_s"] for row in spikes] == pytest.approx([225.3, 712.4, 1400.5], abs=0.1)
    found = events(css, "css")
    assert found
    for spike in spikes:
        around = range(spike["t_ns"] - 5 * SECOND_NS, spike["t_ns"] + 5 * SECOND_NS)
        near = [row for row in found if row["start_ns"] < around.stop and row["end_ns"] > around.start]
        assert near == []
    # They are what is left of the receiver's silences; not one event is of motion.
    assert {row["trigger"] for row in found} == {"gnss_denied"}


def test_comma2k19_has_one_engagement_and_neither_disengagement_nor_hard_brake(comma: TestFleet) -> None:
    (engagement,) = events(comma, "comma", "engagement")
    assert 9.02 <= engagement["start_s"] + 0.05 <= 9.3
    assert events(comma, "comma", "disengagement") == []
    assert events(comma, "comma", "hard_brake") == []
    counted = comma.sql("select trigger, missing from gold.trigger_exposure where drive_id = 'comma'")
    missing = {row["trigger"]: row["missing"] for row in counted}
    assert missing["disengagement"] is None
    assert missing["hard_brake"] is None


def test_every_event_lies_in_its_drive_and_in_the_clip_that_it_names(boreas: TestFleet) -> None:
    held = boreas.sql(
        "select e.event_id from gold.event_windows e join silver.clips c using (clip_id) "
        "where c.start_ns <= e.peak_ns and e.peak_ns < c.end_ns and e.start_ns <= e.peak_ns and e.peak_ns < e.end_ns"
    )
    assert len(held) == boreas.sql("select count(*) as n from gold.event_windows")[0]["n"] >= 3


def test_the_gates_of_the_mining_area_pass_on_a_real_drive(boreas: TestFleet) -> None:
    gold = {key: outcome for key, outcome in boreas.gates().items() if key[0].startswith("gold/")}
    assert gold
    assert set(gold.values()) == {"pass"}


def test_the_scenes_of_a_real_drive_cover_it_once(boreas: TestFleet) -> None:
    scenes = boreas.sql("select start_ns, end_ns, kind from gold.scene_segments order by start_ns")
    assert all(one["end_ns"] == other["start_ns"] for one, other in zip(scenes, scenes[1:], strict=False))
    assert all(3.0 <= (one["end_ns"] - one["start_ns"]) / SECOND_NS <= 60.0 for one in scenes)
    assert abs((scenes[-1]["end_ns"] - scenes[0]["start_ns"]) / SECOND_NS - 1118.9) < 0.3
    standing_s = sum((one["end_ns"] - one["start_ns"]) / SECOND_NS for one in scenes if one["kind"] == "standing")
    assert abs(standing_s - 217) < 30  # as the README counts; a scene ends at half seconds
