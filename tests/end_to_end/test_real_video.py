"""Two real videos from landing to where they can get: one camera alone, and one with telemetry to silver signals."""

from pathlib import Path

import pytest

from tests.harness import TestFleet, utc_ns

pytestmark = [pytest.mark.real_data, pytest.mark.slow]  # every picture is searched for faces and plates: minutes

WALK_DAY, ROAD_DAY = "2019-11-18", "2016-08-28"


@pytest.fixture(scope="module")
def filmed_fleet(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> TestFleet:
    """Both videos through landing zone, real ticks and gates; to be read only."""
    fleet = TestFleet(tmp_path_factory.mktemp("video") / "home", first_day="2016-08-01").with_all_positions()
    videos = real_data / "driving_videos" / "sample"
    fleet.upload(videos / "solidWhiteRight.mp4", spec="dashcam", drive_id="road", depot="north")
    fleet.upload(videos / "gopro_max_heromode_gpmf.mp4", spec="gopro", drive_id="walk", depot="south")
    fleet.turn()
    return fleet


def test_both_drives_are_clean_and_every_gate_passed_that_has_enough_to_judge(filmed_fleet: TestFleet) -> None:
    states = {row["drive_id"]: row for row in filmed_fleet.sql("select * from bronze.drive_status")}
    assert {name: (row["status"], row["day"]) for name, row in states.items()} == {
        "road": ("clean", ROAD_DAY),
        "walk": ("clean", WALK_DAY),
    }
    unsure = {gate: outcome for gate, outcome in filmed_fleet.gates().items() if outcome != "pass"}
    # Thirteen metres on foot are too few to judge how often triggers fire.
    assert unsure == {("gold/trigger_exposure", "rate", f"{WALK_DAY}|south"): "inconclusive"}


def test_the_day_comes_from_the_receiver_and_else_from_the_container(filmed_fleet: TestFleet) -> None:
    rows = {row["drive_id"]: row for row in filmed_fleet.sql("select * from bronze.drives")}
    assert rows["walk"]["time_source"] == "gnss"
    # The camera's own clock, on local time, is eight hours away from it.
    assert abs(rows["walk"]["start_ns"] - utc_ns("2019-11-18T23:45:15")) < 1_000_000_000
    assert rows["road"]["time_source"] == "container"
    assert rows["road"]["start_ns"] == utc_ns("2016-08-28T21:16:08")


def test_every_frame_and_sample_is_counted(filmed_fleet: TestFleet) -> None:
    rows = filmed_fleet.sql("select drive_id, sensor, messages, lost_messages, broken_rule from bronze.sensor_streams")
    assert {(row["drive_id"], row["sensor"]): row["messages"] for row in rows} == {
        ("road", "camera"): 221,
        ("walk", "camera"): 315,
        ("walk", "accelerometer"): 2082,
        ("walk", "gyroscope"): 2082,
        ("walk", "gnss"): 191,
    }
    assert not any(row["lost_messages"] or row["broken_rule"] for row in rows)


def test_the_walk_reaches_silver_upright_and_where_it_was(filmed_fleet: TestFleet) -> None:
    rows = filmed_fleet.sql("select * from silver.signals where drive_id = 'walk' order by t_ns")
    assert 10.0 < (rows[-1]["t_ns"] - rows[0]["t_ns"]) / 1e9 < 10.6

    def mean(name: str) -> float:
        values = [row[name] for row in rows if row[name] is not None]
        assert len(values) > 0.95 * len(rows)
        return float(sum(values) / len(values))

    assert mean("lat_deg") == pytest.approx(33.12672, abs=1e-4)
    assert mean("lon_deg") == pytest.approx(-117.32731, abs=1e-4)
    assert mean("accel_vert_mps2") == pytest.approx(9.7, abs=0.2)
    # The camera looks down a little, so gravity's reaction points backward.
    assert mean("accel_long_mps2") == pytest.approx(-1.3, abs=0.2)
    assert mean("speed_mps") == pytest.approx(1.2, abs=0.2)


def test_a_camera_without_signals_stays_in_bronze(filmed_fleet: TestFleet) -> None:
    assert filmed_fleet.sql("select count(*) as n from bronze.sensor_samples where drive_id = 'road'") == [{"n": 0}]
    assert filmed_fleet.sql("select * from silver.signals where drive_id = 'road'") == []
    assert len(filmed_fleet.sql("select * from silver.clips where drive_id = 'road'")) == 1
