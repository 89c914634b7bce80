"""Maps and weather from landing to enriched clips, by real ticks: what a new snapshot restates, and real recordings."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from fleet_assets.ingestion.map_and_weather_enrichment.snapshots import MAPS_FOLDER, landing_name
from fleet_assets.ingestion.map_and_weather_enrichment.weather_join import WEATHER_FOLDER
from fleet_assets.ingestion.recordings.tables.row_drives import row_drives
from resources.landing import LocalLanding
from tests.harness import TestFleet, utc_ns
from tests.osm_maps import FRAME, Way, grid_map, osm_xml
from tests.vehicles import shipped

FAR_M = 12_000.0
DAY = "2013-01-01"


def town(east_limit: str) -> bytes:
    """Two chessboards of streets twelve kilometres apart; the limit of the eastern one is given."""
    places, ways = grid_map(8, 150.0)
    east_places = {node + 10_000: (east + FAR_M, north) for node, (east, north) in places.items()}
    east: dict[int, Way] = {
        way + 10_000: ([node + 10_000 for node in nodes], {"maxspeed": east_limit}) for way, (nodes, _) in ways.items()
    }
    return osm_xml({**places, **east_places}, {**ways, **east})


def write_track(path: Path, corners: Sequence[tuple[float, float]], minute: int) -> Path:
    """A GPX track at 10 m/s, one point a second, with 3 m of noise."""
    points = np.array(corners, dtype=np.float64)
    along = np.concatenate(([0.0], np.cumsum(np.hypot(*np.diff(points, axis=0).T))))
    at = np.arange(0.0, along[-1], 10.0)
    noise = np.random.default_rng(minute).normal(0.0, 3.0, (2, len(at)))
    lat, lon = FRAME.to_geographic(
        np.interp(at, along, points[:, 0]) + noise[0], np.interp(at, along, points[:, 1]) + noise[1]
    )
    rows = [
        f'<trkpt lat="{a:.7f}" lon="{o:.7f}"><time>{DAY}T08:{minute + second // 60:02}:{second % 60:02}Z</time></trkpt>'
        for second, (a, o) in enumerate(zip(lat, lon, strict=True))
    ]
    path.write_text(f'<?xml version="1.0"?><gpx version="1.1"><trk><trkseg>{"".join(rows)}</trkseg></trk></gpx>')
    return path


def land_map(fleet: TestFleet, folder: Path, content: bytes, as_of: str) -> None:
    source = folder / "extract"
    source.write_bytes(content)
    landing = LocalLanding(fleet.fleet.settings.landing)
    landing.put_batch(source, MAPS_FOLDER, lambda sha256: landing_name("town", as_of, sha256))


@pytest.mark.slow
def test_a_new_snapshot_matches_only_drives_whose_cells_changed_anew(tmp_path: Path) -> None:
    fleet = TestFleet(tmp_path / "home", first_day="2012-12-31", today="2013-01-03")
    land_map(fleet, tmp_path, town("50"), "2012-01-01")
    west = write_track(tmp_path / "west.gpx", [(10, 0), (900, 0), (900, 900), (20, 900)], 0)
    east = write_track(tmp_path / "east.gpx", [(FAR_M + 10, 0), (FAR_M + 900, 0), (FAR_M + 900, 900)], 10)
    far = write_track(tmp_path / "far.gpx", [(90_000, 90_000), (90_000, 92_000)], 20)
    for path in (west, east, far):
        fleet.upload(path, spec="gps_track", drive_id=path.stem)
    fleet.turn()
    rows = {row["drive_id"]: row for row in fleet.sql("select * from silver.map_matches")}
    assert {name: row["status"] for name, row in rows.items()} == {
        "west": "matched", "east": "matched", "far": "not_covered",
    }  # fmt: skip
    assert rows["west"]["snapped"] == rows["west"]["positions"]
    assert rows["west"]["breaks"] == 0
    limits = "select distinct round(speed_limit_mps * 3.6) as kmh from silver.map_context where drive_id = '{}'"
    assert fleet.sql(limits.format("east")) == [{"kmh": 50.0}]
    context = fleet.fleet.table("silver.map_context")
    before = {entry.unit: entry.digest for entry in fleet.fleet.lake.entries(context)}
    gates = {gate: outcome for (asset, gate, _), outcome in fleet.gates().items() if asset == "silver/map_context"}
    assert gates["matching"] == "pass"

    land_map(fleet, tmp_path, town("30"), "2012-06-01")
    runs = fleet.turn()
    assert runs
    after = {entry.unit: entry.digest for entry in fleet.fleet.lake.entries(context)}
    assert {name for name in before if before[name] != after[name]} == {"east"}
    assert fleet.sql(limits.format("east")) == [{"kmh": 30.0}]
    clips = fleet.sql("select * from silver.enriched_clips where drive_id = 'far'")
    assert {row["map_missing"] for row in clips} == {"not_covered"}

    land_map(fleet, tmp_path, town("30")[:-300], "2012-07-01")
    fleet.turn()
    refused = fleet.sql("select message from map.road_network where status = 'refused'")
    assert "unreadable" in refused[0]["message"]
    assert {entry.unit: entry.digest for entry in fleet.fleet.lake.entries(context)} == after
    outcomes = [
        outcome
        for (asset, gate, _), outcome in fleet.gates().items()
        if (asset, gate) == ("map/road_network", "conservation")
    ]
    assert "fail" in outcomes


@pytest.mark.slow
@pytest.mark.real_data
def test_new_yorks_trips_get_the_weather_of_their_hour(real_data: Path, tmp_path: Path) -> None:
    fleet = TestFleet(tmp_path / "home", first_day="2012-12-31", today="2013-01-03")
    weather = real_data / "nyc_hourly_weather_2013/sample/weather_2013H1.csv"
    landing = LocalLanding(fleet.fleet.settings.landing)
    landing.put_batch(weather, WEATHER_FOLDER, lambda sha256: f"{sha256[:16]}/{weather.name}")
    table = shipped("taxi_trips").spec.table
    assert table is not None
    source = real_data / "barefoot_munich_nyc/sample/nyc_taxi_trips_2013-01_one_medallion.csv"
    for number, path in zip(range(3), row_drives(source, table, tmp_path), strict=False):
        fleet.upload(path, spec="taxi_trips", drive_id=f"trip-{number}", vehicle_id="cab")
    fleet.turn()
    rows = fleet.sql("select * from silver.weather order by drive_id, clip_id")
    assert {row["drive_id"] for row in rows} == {"trip-0", "trip-1", "trip-2"}
    assert {row["missing"] for row in rows} == {None}
    assert {row["station"] for row in rows} <= {"EWR", "JFK", "LGA"}
    assert max(abs(row["age_s"]) for row in rows) <= 1800
    assert max(row["station_distance_m"] for row in rows) < 40_000
    first = rows[0]
    written = [
        line.split(",") for line in weather.read_text().splitlines() if line.startswith(f"{first['station']},2013,1,1,")
    ]
    told = next(line for line in written if utc_ns(line[14].removesuffix("Z")) == first["observed_ns"])
    assert first["temperature_degc"] == pytest.approx((float(told[5]) - 32) / 1.8, abs=0.01)
    assert first["visibility_m"] == pytest.approx(float(told[13]) * 1609.344, abs=1)
    clips = fleet.sql("select light, weather_missing, map_missing from silver.enriched_clips")
    assert {row["weather_missing"] for row in clips} == {None}
    assert {row["light"] for row in clips} <= {"day", "twilight", "night"}
