"""Scenes of a whole partition through the step: ADDF's defects between drives and between runs."""

from dataclasses import replace
from typing import Any

import pytest

from fleet_assets.mining.scene_detection_and_event_triggers.operators import CUT_SCENES
from fleet_assets.mining.steps import SCENES_STEP
from fleet_assets.mining.units import mining_units
from fleet_assets.provenance.fingerprints import Operator
from fleet_assets.provenance.restate import Report, restate
from fleet_assets.tables.gold import SCENE_SEGMENTS
from tests.asset_checks.gate_fleet import PARTITION, TABLES, GateFleet
from tests.memory_lake import InlineEngine

START_NS = 1_714_550_400_000_000_000
STEP_NS = 100_000_000
AHEAD_M = 30.0


class SceneFleet(GateFleet):
    """Drives of one partition with a speed and perhaps somebody ahead."""

    def add(self, drive: str, speeds: list[float], ahead: list[float | None], start_ns: int = START_NS) -> "SceneFleet":
        """Register a drive and write its rows of `silver.signals`."""
        rows = [
            {
                "clip_id": f"{drive}-{index // 200:04}",
                "t_ns": start_ns + index * STEP_NS,
                "speed_mps": speed,
                "yaw_rate_radps": 0.0,
                "lead_distance_m": distance,
            }
            for index, (speed, distance) in enumerate(zip(speeds, ahead, strict=True))
        ]
        self.drive(drive).put(TABLES["silver.signals"], drive, rows)
        return self

    def cut(self, operator: Operator = CUT_SCENES) -> Report:
        """Run the step once, as an asset does."""
        wanted = mining_units(operator, SCENES_STEP.read_state(self), PARTITION)
        return restate(
            operator, PARTITION, wanted[PARTITION].units, SCENES_STEP.compute, lake=self.lake, files=self.lake.files,
            engine=InlineEngine(), policies=self.policies, tables=self.tables,
        )  # fmt: skip

    def scenes(self, drive: str | None = None) -> list[dict[str, Any]]:
        """Rows of `gold.scene_segments`."""
        found: list[dict[str, Any]] = self.lake.rows(SCENE_SEGMENTS, PARTITION).to_pylist()
        return [row for row in found if drive is None or row["drive_id"] == drive]


def two_drives() -> SceneFleet:
    """Somebody is ahead in the second drive only, and only in its second half."""
    steady = [15.0] * 600
    fleet = SceneFleet().add("first", steady, [None] * 600)
    later = START_NS + 3600 * 1_000_000_000
    return fleet.add("second", steady, [None] * 300 + [AHEAD_M] * 300, later)


def test_addf_a_drive_s_scenes_know_what_is_in_it_not_what_was_in_the_first_of_the_partition() -> None:
    """ADDF's scene detection computes the lanes of every bag, throws the union away and goes by those of the first."""
    fleet = two_drives()
    fleet.cut()
    assert {row["kind"] for row in fleet.scenes("first")} == {"cruising"}
    assert {row["lead_share"] for row in fleet.scenes("first")} == {0.0}
    first_half, second_half = (
        [row for row in fleet.scenes("second") if (row["start_ns"] % (3600 * 1_000_000_000) < 30_000_000_000) == half]
        for half in (True, False)
    )
    assert first_half
    assert all(row["lead_share"] == 0.0 for row in first_half)
    assert second_half
    assert all(row["lead_share"] == 1.0 and row["kind"] == "following" for row in second_half)


def test_addf_a_second_run_adds_no_scene() -> None:
    """ADDF writes with `mode("append")`: the same scenes are there again after every run."""
    fleet = two_drives()
    first = fleet.cut()
    assert sorted(first.plan.stale) == ["first", "second"]
    once = fleet.scenes()
    again = fleet.cut()
    assert again.plan.is_done
    assert fleet.scenes() == once
    assert len({row["scene_id"] for row in once}) == len(once) > 2


@pytest.mark.parametrize("drive", ["first", "second"])
def test_addf_scenes_that_are_cut_anew_replace_those_before(drive: str) -> None:
    """A run that does have to compute, for a new version or new rows, leaves each drive's scenes there once."""
    fleet = two_drives()
    fleet.cut()
    once = fleet.scenes()
    anew = fleet.cut(replace(CUT_SCENES, version=CUT_SCENES.version + 1))
    assert sorted(anew.plan.stale) == ["first", "second"]
    assert fleet.scenes() == once
    fleet.add(drive, [0.0] * 600, [None] * 600)
    fleet.cut(replace(CUT_SCENES, version=CUT_SCENES.version + 1))
    other = {"first": "second", "second": "first"}[drive]
    assert {row["kind"] for row in fleet.scenes(drive)} == {"standing"}
    assert sum(row["samples"] for row in fleet.scenes(drive)) == 600
    assert fleet.scenes(other) == [row for row in once if row["drive_id"] == other]


def test_addf_what_is_open_where_one_drive_ends_and_the_next_begins_is_two_scenes_with_their_times() -> None:
    """ADDF looks for a start at the row before, of whatever bag: what holds on a bag's first row is not there."""
    end_ns = START_NS + 100 * STEP_NS
    fleet = SceneFleet().add("first", [0.0] * 100, [None] * 100).add("second", [0.0] * 100, [None] * 100, end_ns)
    fleet.cut()
    spans = {row["drive_id"]: (row["kind"], row["start_ns"], row["end_ns"]) for row in fleet.scenes()}
    assert spans == {
        "first": ("standing", START_NS, end_ns),
        "second": ("standing", end_ns, end_ns + 100 * STEP_NS),
    }
    assert len(fleet.scenes()) == 2
