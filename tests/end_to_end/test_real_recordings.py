"""Two real cars from landing to silver: the facts that their READMEs list, read back from the lake."""

from pathlib import Path

import h3
import pytest

from fleet_assets.ingestion.recordings.dbc import dbc_folders
from tests.harness import COMMA_SPEC, CSS_SPEC, TestFleet
from tests.noaa import noaa_elevation

pytestmark = pytest.mark.real_data

SECOND_NS = 1_000_000_000


@pytest.fixture(scope="module")
def real_fleet(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> TestFleet:
    """Both recordings through landing zone, real ticks and gates; to be read only."""
    fleet = TestFleet(tmp_path_factory.mktemp("real") / "home", first_day="2018-07-01")
    comma = real_data / "comma2k19_example" / "sample"
    css = real_data / "css_canedge_mf4" / "sample" / "3BA199E2_trip164_morning"
    fleet.upload(comma, spec=COMMA_SPEC, drive_id="comma", depot="north")
    fleet.upload(css, spec=CSS_SPEC, drive_id="css", depot="south", dbc_folders=dbc_folders(css))
    fleet.turn()
    return fleet


def test_both_drives_are_clean_and_every_gate_passed(real_fleet: TestFleet) -> None:
    states = {row["drive_id"]: row for row in real_fleet.sql("select * from bronze.drive_status")}
    assert states["comma"]["status"] == states["css"]["status"] == "clean"
    assert states["comma"]["day"] == "2018-08-02"
    assert states["css"]["day"] == "2021-07-26"
    assert states["comma"]["time_source"] == states["css"]["time_source"] == "gnss"
    assert set(real_fleet.gates().values()) == {"pass"}
    assert ("silver/signals", "coverage", "2018-08-02|north") in real_fleet.gates()


def test_the_first_wheel_speeds_are_those_of_the_recording(real_fleet: TestFleet) -> None:
    rows = real_fleet.sql(
        "select value * 3.6 as kmh from bronze.sensor_samples "
        "where drive_id = 'comma' and signal = 'wheel_speed_fl_mps' order by t_ns limit 3"
    )
    assert [round(row["kmh"], 6) for row in rows] == [28.86, 28.92, 28.83]


def test_the_driver_assistance_engages_once(real_fleet: TestFleet) -> None:
    edges = real_fleet.sql(
        "with s as (select t_ns, value, lag(value) over (order by t_ns) as before from bronze.sensor_samples "
        "where drive_id = 'comma' and signal = 'adas_engaged') "
        "select t_ns from s where value = 1 and before = 0"
    )
    first_can = real_fleet.sql(
        "select min(first_t_ns) as t_ns from bronze.sensor_streams where drive_id = 'comma' "
        "and sensor in ('wheel_speeds', 'steering', 'brake', 'cruise', 'radar')"
    )[0]["t_ns"]
    assert len(edges) == 1
    assert abs(edges[0]["t_ns"] - first_can - 9.02 * SECOND_NS) < 0.02 * SECOND_NS
    silver = real_fleet.sql(
        "with s as (select t_ns, adas_engaged, lag(adas_engaged) over (order by t_ns) as before from silver.signals "
        "where drive_id = 'comma') select t_ns from s where adas_engaged and not before"
    )
    assert len(silver) == 1
    assert 0 <= silver[0]["t_ns"] - edges[0]["t_ns"] <= SECOND_NS // 10 + SECOND_NS // 100


def test_trip_164_lasts_2389_seconds_on_one_clock(real_fleet: TestFleet) -> None:
    drive = real_fleet.sql("select duration_s from bronze.drives where drive_id = 'css'")[0]
    assert int(drive["duration_s"]) == 2389
    files = real_fleet.sql("select count(*) as files from bronze.drive_files where drive_id = 'css'")[0]
    assert files["files"] == 5


def test_the_three_impossible_accelerations_are_named_and_kept_out_of_silver(real_fleet: TestFleet) -> None:
    named = real_fleet.sql(
        "select distinct t_ns from bronze.integrity_findings "
        "where drive_id = 'css' and sensor = 'imu' and abs(value) = 64 and severity = 'cut' order by 1"
    )
    raw = real_fleet.sql(
        "select distinct t_ns from bronze.sensor_samples where drive_id = 'css' and abs(value) = 64 and sensor = 'imu'"
        " order by 1"
    )
    assert len(named) == 3
    assert named == raw
    silver = real_fleet.sql(
        "select max(abs(accel_long_mps2)) as a, max(abs(accel_lat_mps2)) as b, max(abs(accel_vert_mps2)) as c "
        "from silver.signals where drive_id = 'css'"
    )[0]
    assert max(silver["a"], silver["b"]) < 10
    assert silver["c"] < 25


def test_radar_distances_are_seen_from_the_camera(real_fleet: TestFleet, real_data: Path) -> None:
    import numpy as np

    folder = next((real_data / "comma2k19_example" / "sample").glob("*/*/processed_log/CAN/radar"))
    with (folder / "value").open("rb") as stream:
        published = np.load(stream)[:, 0]
    tracks = real_fleet.sql("select distance_m from silver.radar_tracks where drive_id = 'comma' order by t_ns, track")
    assert len(tracks) == len(published)
    assert np.allclose(np.sort([row["distance_m"] for row in tracks]), np.sort(published), atol=1e-6)


def test_light_and_cells_of_the_catalog_are_those_of_noaa_and_h3(real_fleet: TestFleet) -> None:
    positions: dict[str, list[tuple[float, float]]] = {}
    for row in real_fleet.sql("select clip_id, lat_deg, lon_deg from silver.signals where lat_deg is not null"):
        positions.setdefault(row["clip_id"], []).append((row["lat_deg"], row["lon_deg"]))
    clips = real_fleet.sql("select * from silver.clip_catalog")
    assert {row["drive_id"] for row in clips} == {"comma", "css"}
    assert {row["light_condition"] for row in clips} == {"day"}
    without = [row for row in clips if row["clip_id"] not in positions]
    assert {row["h3_cells"] for row in without} <= {None}
    assert len(without) < len(clips) / 4  # before the first fix, and where the trip's end is withheld
    for row in (one for one in clips if one["clip_id"] in positions):
        own = positions[row["clip_id"]]
        assert row["h3_cells"].split() == sorted({h3.latlng_to_cell(lat, lon, 7) for lat, lon in own})
        expected = noaa_elevation((row["start_ns"] + row["end_ns"]) // 2, *own[len(own) // 2])
        assert row["sun_elevation_deg"] == pytest.approx(expected, abs=0.7)
        assert min(expected, row["sun_elevation_deg"]) > 1


def test_the_catalog_says_how_far_the_cars_went_and_how_much_there_is_of_each_signal(real_fleet: TestFleet) -> None:
    """Distance against the path over GNSS positions, which knows nothing of the wheels."""
    for drive in ("comma", "css"):
        rows = real_fleet.sql(
            f"select lat_deg, lon_deg from silver.signals where drive_id = '{drive}' "  # noqa: S608 - names of this test
            "and lat_deg is not null order by t_ns"
        )
        # Ten instants apart: position noise would add up over shorter steps.
        path = [(row["lat_deg"], row["lon_deg"]) for row in rows[::10]]
        along = sum(h3.great_circle_distance(a, b, unit="m") for a, b in zip(path, path[1:], strict=False))
        told = real_fleet.sql(f"select sum(distance_m) d from silver.clip_catalog where drive_id = '{drive}'")[0]["d"]  # noqa: S608
        assert told == pytest.approx(along, rel=0.05)
    share = real_fleet.sql("select min(share) s from silver.clip_coverage where name = 'speed_mps' and samples > 100")
    assert share[0]["s"] > 0.9
