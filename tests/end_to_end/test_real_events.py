"""Real recordings from landing to events, through `fleet ingest`'s landing zone and real ticks."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.harness import CSS_SPEC, TestFleet

pytestmark = pytest.mark.real_data

SECOND_NS = 1_000_000_000
HARD_BRAKES_S = (338.8, 380.1, 683.8)
"""Boreas 2021-08-05, from the README of the recordings."""


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


def test_boreas_has_its_three_hard_brakes_and_no_other(boreas: TestFleet) -> None:
    found = events(boreas, "boreas", "hard_brake")
    late = [row["start_s"] - true_s for row, true_s in zip(found, HARD_BRAKES_S, strict=True)]
    assert all(0.0 <= seconds <= 0.4 for seconds in late), late
    assert all(-5.0 < row["value"] < -3.0 and row["unit"] == "m/s^2" for row in found)


def test_the_strongest_braking_of_trip_164_and_its_spikes_are_no_hard_brake(css: TestFleet) -> None:
    assert events(css, "css", "hard_brake") == []
    # It was watched: the trip has a speed over its whole length.
    (watched,) = css.sql(
        "select distance_m, missing from gold.trigger_exposure where drive_id = 'css' and trigger = 'hard_brake'"
    )
    assert watched["missing"] is None
    assert watched["distance_m"] > 10_000


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
