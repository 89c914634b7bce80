"""A folder of real photos from landing to where it can get: one camera alone, a drive of stills."""

from pathlib import Path

import pytest

from tests.harness import TestFleet, utc_ns

pytestmark = [pytest.mark.real_data, pytest.mark.slow]  # every picture is searched for faces and plates: minutes

DAY = "2024-05-01"
START_NS = utc_ns("2024-05-01T08:00:00")


@pytest.fixture(scope="module")
def photo_fleet(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> TestFleet:
    """The photos through landing zone, real ticks and gates; to be read only."""
    fleet = TestFleet(tmp_path_factory.mktemp("photos") / "home")
    signs = real_data / "road_sign_detection_cc0" / "sample" / "images"
    fleet.upload(signs, spec="photos", drive_id="signs", depot="north", given_start_ns=START_NS)
    fleet.turn()
    return fleet


def test_the_photos_are_one_clean_drive_that_begins_when_the_person_said(photo_fleet: TestFleet) -> None:
    (row,) = photo_fleet.sql("select * from bronze.drive_status")
    assert (row["drive_id"], row["status"], row["day"]) == ("signs", "clean", DAY)
    (drive,) = photo_fleet.sql("select * from bronze.drives")
    assert (drive["time_source"], drive["start_ns"]) == ("given", START_NS)
    assert set(photo_fleet.gates().values()) == {"pass"}


def test_every_photo_is_counted_and_every_clip_is_there(photo_fleet: TestFleet) -> None:
    (stream,) = photo_fleet.sql("select sensor, messages, lost_messages, broken_rule from bronze.sensor_streams")
    assert (stream["sensor"], stream["messages"], stream["lost_messages"], stream["broken_rule"]) == (
        "camera",
        483,
        0,
        None,
    )
    clips = photo_fleet.sql("select start_ns, end_ns from silver.clips order by start_ns")
    assert clips[0]["start_ns"] - START_NS < 1_000_000_000
    assert abs(clips[-1]["end_ns"] - START_NS - 482 * 10**9) < 2 * 10**9
