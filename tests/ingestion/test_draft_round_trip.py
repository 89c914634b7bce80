"""A recording of an unknown vehicle: a spec is drafted from it, fits it, and brings it to silver, for every format."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from fleet_assets.cli import main
from fleet_assets.ingestion.recordings.discovery.discover import TEXT_TABLES
from tests.formats_factory import CAN_FORMATS, TOPIC_FORMATS, write_can_drive, write_topic_drive
from tests.harness import TestFleet, utc_ns
from tests.mdf4_factory import MDF4_DBC, MDF4_DBC_NAME
from tests.recordings_factory import write_comma2k19_drive
from tests.tracks_factory import OTHER_FORMATS, write_other

START_NS = utc_ns("2024-05-01T08:00:00")
MOTION = ("speed_mps", "accel_long_mps2", "accel_lat_mps2", "yaw_rate_radps", "lat_deg", "lon_deg", "alt_m")


def fleet_command(home: Path, *arguments: str) -> Result:
    result = CliRunner().invoke(main, [*arguments, "--home", str(home)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def drafted(home: Path, recording: Path, *options: str) -> str:
    """Draft the spec `mine` into the home; returns its text."""
    target = home / "policies" / "vehicles" / "mine.yaml"
    done = fleet_command(home, "vehicle", "init", str(recording), "-o", str(target), *options)
    assert done.exit_code == 0, done.output
    fits = fleet_command(home, "vehicle", "check", "mine", str(recording), "--json")
    assert fits.exit_code == 0, fits.output
    assert json.loads(fits.stdout)["fits"]
    return target.read_text()


def silver(tmp_path: Path, recording: Path) -> TestFleet:
    """The recording in the landing zone of the home with the draft, and the crank turned."""
    fleet = TestFleet(tmp_path / "home", depots=("north",), first_day="2024-04-30")
    fleet.upload(recording, spec="mine", drive_id="one")
    fleet.turn()
    return fleet


def means(fleet: TestFleet, signals: tuple[str, ...]) -> dict[str, float | None]:
    columns = ", ".join(f"avg({name}) as {name}" for name in signals)
    return fleet.sql(f"select {columns} from silver.signals")[0]  # noqa: S608 - names of this test


def written(folder: Path, format: str) -> Path:
    """A recording of a vehicle that nobody knows yet."""
    if format in CAN_FORMATS:
        (folder / "dbc").mkdir(parents=True)
        (folder / "dbc" / MDF4_DBC_NAME).write_text(MDF4_DBC)
        return write_can_drive(folder / "drive", format, start_utc_ns=START_NS)
    folder.mkdir(exist_ok=True)
    return write_other(folder, format, start_utc_ns=START_NS, seconds=20)[0]


@pytest.mark.parametrize("format", [*CAN_FORMATS, *OTHER_FORMATS])
def test_a_draft_fits_the_recording_that_it_was_made_of(tmp_path: Path, format: str) -> None:
    text = drafted(tmp_path / "home", written(tmp_path / "found", format))
    assert f"format: {format}" in text
    assert ("table:" in text) == (format in TEXT_TABLES)
    assert ("utc: {signal: Epoch, unit: s}" in text) == (format in CAN_FORMATS)
    assert ("lat_deg" in text) == (format != "mp4")


@pytest.mark.parametrize("format", TOPIC_FORMATS)
def test_a_draft_of_topics_fits_them(tmp_path: Path, format: str) -> None:
    text = drafted(tmp_path / "home", write_topic_drive(tmp_path / "drive", format, start_utc_ns=START_NS))
    assert "sensor_msgs" in text
    assert "speed_mps: {field: twist.linear.x, unit: m/s}" in text


@pytest.mark.parametrize("format", [pytest.param(name, marks=pytest.mark.slow) for name in CAN_FORMATS])
def test_a_log_of_can_frames_comes_to_silver_by_its_draft(tmp_path: Path, format: str) -> None:
    recording = write_can_drive(tmp_path / "drive", format, start_utc_ns=START_NS)
    (tmp_path / MDF4_DBC_NAME).write_text(MDF4_DBC)
    drafted(tmp_path / "home", recording, "--dbc", str(tmp_path / MDF4_DBC_NAME))
    assert (tmp_path / "home" / "policies" / "vehicles" / MDF4_DBC_NAME).exists()
    fleet = silver(tmp_path, recording)
    assert fleet.sql("select status, time_source from bronze.drives") == [{"status": "landed", "time_source": "sensor"}]
    assert set(fleet.gates().values()) == {"pass"}
    assert all(value is not None for value in means(fleet, MOTION).values())


@pytest.mark.slow
@pytest.mark.parametrize("format", TOPIC_FORMATS)
def test_ros_topics_come_to_silver_by_their_draft(tmp_path: Path, format: str) -> None:
    recording = write_topic_drive(tmp_path / "drive", format, start_utc_ns=START_NS)
    drafted(tmp_path / "home", recording)
    fleet = silver(tmp_path, recording)
    assert set(fleet.gates().values()) == {"pass"}
    found = means(fleet, ("speed_mps", "yaw_rate_radps", "lat_deg", "alt_m"))
    assert all(value is not None for value in found.values())


@pytest.mark.slow
def test_arrays_as_comma2k19_lays_them_out_come_to_silver_by_their_draft(tmp_path: Path) -> None:
    write_comma2k19_drive(tmp_path / "drive", start_utc_ns=START_NS, seconds=15)
    text = drafted(tmp_path / "home", tmp_path / "drive")
    assert "scale: -1" in text
    assert "no database describes it" in text
    fleet = silver(tmp_path, tmp_path / "drive")
    assert set(fleet.gates().values()) == {"pass"}
    found = means(fleet, tuple(name for name in MOTION if name != "speed_mps"))
    assert all(value is not None for value in found.values())


@pytest.mark.slow
@pytest.mark.parametrize("format", ["csv", "json_points", "gpx"])
def test_a_table_of_positions_comes_to_silver_by_its_draft(tmp_path: Path, format: str) -> None:
    recording = written(tmp_path / "found", format)
    drafted(tmp_path / "home", recording)
    fleet = silver(tmp_path, recording)
    assert all(value is not None for value in means(fleet, ("lat_deg", "lon_deg")).values())


def test_a_draft_is_printed_where_no_file_is_named_and_nothing_is_written(tmp_path: Path) -> None:
    recording = write_can_drive(tmp_path / "drive", "candump", start_utc_ns=START_NS)
    done = fleet_command(tmp_path / "home", "vehicle", "init", str(recording), "--name", "my_car", "--json")
    document = json.loads(done.stdout)
    assert (document["name"], document["fits"]) == ("my_car", True)
    assert "name: my_car" in document["spec"]
    assert "no database describes it" in document["spec"]
    assert not (tmp_path / "home").exists()


def test_a_spec_that_is_there_is_never_overwritten(tmp_path: Path) -> None:
    recording = write_can_drive(tmp_path / "drive", "candump", start_utc_ns=START_NS)
    target = tmp_path / "mine.yaml"
    target.write_text("mine")
    refused = fleet_command(tmp_path / "home", "vehicle", "init", str(recording), "-o", str(target))
    assert refused.exit_code == 2
    assert "Choose another name" in refused.stderr
    assert target.read_text() == "mine"
    assert fleet_command(tmp_path / "home", "vehicle", "init", str(recording), "-o", "spec.txt").exit_code == 2


def test_a_folder_without_recording_is_wrong_use(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"\xff\xd8\xff")
    refused = fleet_command(tmp_path / "home", "vehicle", "init", str(tmp_path))
    assert refused.exit_code == 2
    assert "JPEG image" in refused.output


@pytest.mark.real_data
@pytest.mark.parametrize(
    "place",
    [
        "comma2k19_example",
        "css_canedge_mf4/sample/3BA199E2_trip164_morning",
        "css_canedge_mf4/sample/j1939_truck_00000001.MF4",
        "css_canedge_mf4/sample/nissan_leaf_uds_00000170.MF4",
        "robot_localization_bag",
        "tier4_nebula_lidar/sample/hesai_40p",
        "tier4_nebula_lidar/sample/velodyne_vlp32",
        "barefoot_munich_nyc/sample/x0001-001.json",
        "boreas_cc_by/sample/boreas-2021-08-05-13-34/lidar_poses.csv",
        "driving_videos/sample/gopro_max_heromode_gpmf.mp4",
        "driving_videos/sample/solidWhiteRight.mp4",
        "osm_extracts_and_gpx/sample/issue-13.gpx",
    ],
)
def test_a_draft_of_a_real_recording_fits_it(tmp_path: Path, real_data: Path, place: str) -> None:
    done = fleet_command(tmp_path / "home", "vehicle", "init", str(real_data / place), "--name", "mine", "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["fits"]


@pytest.mark.real_data
def test_what_is_known_of_the_css_trip_is_found(tmp_path: Path, real_data: Path) -> None:
    trip = real_data / "css_canedge_mf4" / "sample" / "3BA199E2_trip164_morning"
    done = fleet_command(tmp_path / "home", "vehicle", "init", str(trip), "--name", "mine", "--json")
    text = json.loads(done.stdout)["spec"]
    for line in (
        "utc: {signal: Epoch, unit: s}",
        "valid_when: {signal: PositionValid, equals: 1}",
        "lat_deg: {signal: Latitude, unit: deg}",
        'accel_vert_mps2: {signal: AccelerationX, unit: "m/s^2"}',
        "yaw_rate_radps: {signal: AngularRateX, unit: deg/s}",
        "canmod_gps: {path: canmod-gps.dbc}",
    ):
        assert line in text
