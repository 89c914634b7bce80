"""Real text tables from landing to silver: the facts that their READMEs list, read back from the lake."""

import csv
import json
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from fleet_assets.ingestion.recordings.tables.row_drives import row_drives
from tests.harness import TestFleet
from tests.vehicles import shipped

pytestmark = pytest.mark.real_data

BOREAS = Path("boreas_cc_by/sample")
MUNICH = Path("barefoot_munich_nyc/sample")
ISTANBUL = Path("osm_extracts_and_gpx/sample/issue-13.gpx")
TAXI = MUNICH / "nyc_taxi_trips_2013-01_one_medallion.csv"
SECOND_NS = 1_000_000_000
HARD_BRAKES_S = (338.8, 380.1, 683.8)


def trips(real_data: Path, folder: Path) -> Iterator[Path]:
    table = shipped("taxi_trips").spec.table
    assert table is not None
    return row_drives(real_data / TAXI, table, folder)


@pytest.fixture(scope="module")
def tables_fleet(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> TestFleet:
    """All tables through landing zone, real ticks and gates; to be read only."""
    fleet = TestFleet(tmp_path_factory.mktemp("tables") / "home", first_day="2012-12-31").with_all_positions()
    fleet.upload(real_data / BOREAS / "boreas-2021-08-05-13-34/lidar_poses.csv", spec="boreas", drive_id="boreas")
    fleet.upload(real_data / BOREAS / "objects_v1/applanix/lidar_poses.csv", spec="boreas", drive_id="boreas-short")
    fleet.upload(real_data / MUNICH / "x0001-001.json", spec="gps_track", drive_id="munich")
    fleet.upload(real_data / MUNICH / "x0001-015.json", spec="gps_track", drive_id="munich-thinned")
    fleet.upload(real_data / ISTANBUL, spec="gps_track", drive_id="istanbul")
    rows = trips(real_data, tmp_path_factory.mktemp("rows"))
    for number, path in zip(range(5), rows, strict=False):
        fleet.upload(path, spec="taxi_trips", drive_id=f"trip-{number}", vehicle_id="cab", depot="south")
    fleet.turn()
    return fleet


def test_every_table_is_clean_but_those_with_a_defect_of_their_own(tables_fleet: TestFleet) -> None:
    states = {row["drive_id"]: row for row in tables_fleet.sql("select * from bronze.drive_status")}
    assert len(states) == 10
    held = {name: row["status"] for name, row in states.items() if row["status"] != "clean"}
    assert held == {"istanbul": "quarantined", "boreas-short": "quarantined"}
    # Two clips of ten seconds with 25.4 s between them: there are poses during less than half of the drive.
    short = tables_fleet.sql("select rule, value from bronze.quarantine where drive_id = 'boreas-short'")
    assert [row["rule"] for row in short] == ["sensor_short"]
    assert short[0]["value"].startswith("poses: 0.44")
    assert {row["time_source"] for row in states.values()} == {"container"}
    # One drive years after the depot's first week says nothing about drift.
    open_gates = {name: outcome for name, outcome in tables_fleet.gates().items() if outcome != "pass"}
    assert open_gates == {("gold/clip_embeddings", "drift", "2021-08-05|north"): "inconclusive"}


def test_the_boreas_drive_has_its_poses_its_length_and_its_first_place(tables_fleet: TestFleet) -> None:
    drive = tables_fleet.sql("select duration_s, day from bronze.drives where drive_id = 'boreas'")[0]
    assert round(drive["duration_s"], 1) == 1118.9
    assert drive["day"] == "2021-08-05"
    counts = tables_fleet.sql(
        "select sensor, messages, lost_messages from bronze.sensor_streams "
        "where drive_id like 'boreas%' order by drive_id"
    )
    assert counts == [
        {"sensor": "poses", "messages": 10_790, "lost_messages": 0},
        {"sensor": "poses", "messages": 200, "lost_messages": 0},
    ]
    first = tables_fleet.sql(
        "select signal, value, t_ns from bronze.sensor_samples where drive_id = 'boreas' "
        "and signal in ('lat_deg', 'lon_deg') order by t_ns, signal limit 2"
    )
    assert [round(row["value"], 5) for row in first] == [43.78215, -79.46614]
    assert {row["t_ns"] for row in first} == {1_628_184_886_518_266_000}


def test_the_boreas_speed_shows_the_hard_brakes_the_stops_and_the_fastest_moment(tables_fleet: TestFleet) -> None:
    top = tables_fleet.sql("select max(speed_mps) as top from silver.signals where drive_id = 'boreas'")[0]["top"]
    assert round(top, 1) == 19.9
    stopped = tables_fleet.sql(
        "select count(*) * 0.1 as s from silver.signals where drive_id = 'boreas' and speed_mps < 0.1"
    )
    assert abs(float(stopped[0]["s"]) - 217) < 2
    slowed = tables_fleet.sql(
        "with s as (select t_ns, avg(speed_mps) over (order by t_ns rows 4 preceding) as v from silver.signals "
        "where drive_id = 'boreas'), a as (select t_ns, (v - lag(v, 5) over (order by t_ns)) / 0.5 as a from s) "
        "select (t_ns - 1628184886518266000) / 1e9 as s from a where a < -3 order by t_ns"
    )
    at = [row["s"] for row in slowed]
    assert all(any(abs(found - brake) < 1.5 for found in at) for brake in HARD_BRAKES_S), at
    assert all(any(abs(found - brake) < 3 for brake in HARD_BRAKES_S) for found in at), at


def test_the_boreas_course_is_that_of_the_places_and_its_yaw_rate_that_of_the_course(tables_fleet: TestFleet) -> None:
    fit = tables_fleet.sql(
        "with s as (select t_ns, speed_mps as v, heading_deg as h, yaw_rate_radps as y, "
        "lag(heading_deg, 10) over (order by t_ns) as h0, lead(lat_deg, 5) over (order by t_ns) "
        "- lag(lat_deg, 5) over (order by t_ns) as north, (lead(lon_deg, 5) over (order by t_ns) "
        "- lag(lon_deg, 5) over (order by t_ns)) * cos(radians(43.78)) as east from silver.signals "
        "where drive_id = 'boreas'), "
        "m as (select *, degrees(atan2(east, north)) as course from s where v > 5) "
        "select median(abs(((h - course + 540) % 360) - 180)) as apart, "
        "avg(greatest(-5, least(5, ((h - course + 540) % 360) - 180))) as mean, "
        "corr(((h - h0 + 540) % 360) - 180, y) as turns, count(*) as n from m"
    )[0]
    assert fit["n"] > 5000
    assert fit["apart"] < 0.6
    assert abs(fit["mean"]) < 0.1
    assert fit["turns"] < -0.7  # a yaw to the left makes a course smaller


def test_the_munich_trace_is_whole_and_its_thinned_twin_only_has_gaps(tables_fleet: TestFleet, real_data: Path) -> None:
    points = json.loads((real_data / MUNICH / "x0001-001.json").read_text())
    found = tables_fleet.sql(
        "select signal, value, t_ns from bronze.sensor_samples where drive_id = 'munich' order by t_ns, signal"
    )
    assert len(found) == 2 * 1194
    places = [tuple(map(float, point["point"][6:-1].split())) for point in points]
    assert [row["value"] for row in found] == [value for lon, lat in places for value in (lat, lon)]
    assert found[0]["t_ns"] == int(datetime.fromisoformat("2014-09-10T04:54:07+00:00").timestamp()) * SECOND_NS
    shares = {
        row["drive_id"]: row["share"]
        for row in tables_fleet.sql(
            "select drive_id, count(lat_deg) / count(*) as share from silver.signals "
            "where drive_id like 'munich%' group by 1"
        )
    }
    assert shares["munich"] > 0.99
    assert shares["munich-thinned"] < 0.5
    thinned = tables_fleet.sql(
        "select messages from bronze.sensor_streams where drive_id = 'munich-thinned' and sensor = 'position'"
    )
    assert thinned == [{"messages": 80}]


def test_the_track_with_one_time_stamp_keeps_its_places_and_says_what_is_wrong(
    tables_fleet: TestFleet, real_data: Path
) -> None:
    held = {row["rule"]: row for row in tables_fleet.sql("select * from bronze.quarantine where drive_id = 'istanbul'")}
    assert set(held) == {"time_repeated", "drive_short"}
    finding = tables_fleet.sql(
        "select message, value from bronze.integrity_findings where drive_id = 'istanbul' and rule = 'time_repeated'"
    )[0]
    assert finding["value"] == 1.0
    assert "29 samples of lon_deg have 1 different time stamps" in finding["message"]
    places = tables_fleet.sql(
        "select value from bronze.sensor_samples where drive_id = 'istanbul' and signal = 'lat_deg'"
    )
    tree = ET.parse(real_data / ISTANBUL)  # noqa: S314 - a file of our own test data
    wanted = [float(point.attrib["lat"]) for point in tree.iter() if point.tag.endswith("trkpt")]
    assert sorted(row["value"] for row in places) == sorted(wanted)
    assert len(wanted) == 29
    assert tables_fleet.sql("select count(*) as n from silver.signals where drive_id = 'istanbul'") == [{"n": 0}]


def check_trips(fleet: TestFleet, real_data: Path, count: int) -> None:
    """Every trip is one drive with its two points, in New York's local time."""
    with (real_data / TAXI).open(newline="") as stream:
        rows = list(csv.reader(stream))[:count]
    drives = {
        row["drive_id"]: row
        for row in fleet.sql("select drive_id, start_ns, end_ns from bronze.drives where drive_id like 'trip-%'")
    }
    points: dict[str, list[tuple[str, float]]] = {}
    for row in fleet.sql(
        "select drive_id, signal, value from bronze.sensor_samples where drive_id like 'trip-%' order by t_ns, signal"
    ):
        points.setdefault(row["drive_id"], []).append((row["signal"], row["value"]))
    for number, row in enumerate(rows):
        start, end = (
            int(datetime.fromisoformat(cell).replace(tzinfo=ZoneInfo("America/New_York")).timestamp()) * SECOND_NS
            for cell in row[5:7]
        )
        name = f"trip-{number}"
        assert (drives[name]["start_ns"], drives[name]["end_ns"]) == (start, end)
        lon1, lat1, lon2, lat2 = map(float, row[10:14])
        assert points[name] == [("lat_deg", lat1), ("lon_deg", lon1), ("lat_deg", lat2), ("lon_deg", lon2)]


def test_the_first_taxi_trips_are_drives_of_two_points(tables_fleet: TestFleet, real_data: Path) -> None:
    check_trips(tables_fleet, real_data, 5)
    assert tables_fleet.sql("select count(*) as n from bronze.integrity_findings where drive_id like 'trip-%'") == [
        {"n": 0}
    ]


@pytest.mark.slow
def test_all_682_taxi_trips_are_drives(real_data: Path, tmp_path: Path) -> None:
    fleet = TestFleet(tmp_path / "home", first_day="2012-12-31").with_all_positions()
    (tmp_path / "rows").mkdir()
    count = 0
    for number, path in enumerate(trips(real_data, tmp_path / "rows")):
        fleet.upload(path, spec="taxi_trips", drive_id=f"trip-{number}", vehicle_id="cab")
        count = number + 1
    assert count == 682
    fleet.turn()
    states = fleet.sql("select status, count(*) as n from bronze.drive_status group by 1")
    assert states == [{"status": "clean", "n": 682}]
    assert set(fleet.gates().values()) == {"pass"}
    check_trips(fleet, real_data, 682)
