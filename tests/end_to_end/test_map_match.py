"""`fleet map match`: where a track leads, with no times asked for; nothing of it enters the lake."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely
from click.testing import CliRunner, Result

from fleet_assets.cli import main
from fleet_assets.geo.local_frame import LocalFrame
from fleet_assets.ingestion.map_and_weather_enrichment.snapshots import MAPS_FOLDER, landed_maps, landing_name
from fleet_assets.ingestion.map_and_weather_enrichment.state import READ_MAP_STEP
from resources.landing import LocalLanding
from tests.harness import REAL_DATA, TestFleet
from tests.osm_maps import FRAME, grid_map, osm_xml

ISTANBUL = REAL_DATA / "osm_extracts_and_gpx/sample"
CORNERS = [(10.0, 0.0), (240.0, 0.0), (240.0, 360.0)]


def fleet_map(home: Path, *arguments: str) -> Result:
    result = CliRunner().invoke(main, ["map", *arguments, "--home", str(home)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def track(path: Path, tail: str = "</trkseg></trk></gpx>") -> Path:
    """A GPX track without any time, a point every 15 m."""
    line = shapely.LineString(CORNERS)
    places = shapely.get_coordinates([line.interpolate(at) for at in np.arange(0.0, line.length, 15.0)])
    places = places + np.random.default_rng(1).normal(0.0, 2.0, places.shape)
    lat, lon = FRAME.to_geographic(places[:, 0], places[:, 1])
    rows = "".join(f'<trkpt lat="{a:.7f}" lon="{o:.7f}"></trkpt>' for a, o in zip(lat, lon, strict=True))
    path.write_text(f'<?xml version="1.0"?><gpx version="1.1"><trk><trkseg>{rows}{tail}')
    return path


def land(fleet: TestFleet, source: Path, region: str) -> None:
    landing = LocalLanding(fleet.fleet.settings.landing)
    landing.put_batch(source, MAPS_FOLDER, lambda sha256: landing_name(region, "2024-05-01", sha256))


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fleet with the map of a town, and that of Istanbul's streets where it is there."""
    folder = tmp_path_factory.mktemp("mapped")
    fleet = TestFleet(folder / "home", first_day="2024-05-01", today="2024-05-02")
    (folder / "town.osm").write_bytes(osm_xml(*grid_map()))
    land(fleet, folder / "town.osm", "town")
    if ISTANBUL.exists():
        land(fleet, ISTANBUL / "map-issue13.osm.gz", "istanbul")
    for landed in landed_maps(LocalLanding(fleet.fleet.settings.landing).batches(MAPS_FOLDER)):
        fleet.fleet.restate(READ_MAP_STEP, (landed.snapshot,))
    return fleet.home


def test_a_track_without_times_is_matched_by_its_geometry(home: Path, tmp_path: Path) -> None:
    result = fleet_map(home, "match", str(track(tmp_path / "walk.gpx")), "--json")
    told = json.loads(result.stdout)
    assert result.exit_code == 0
    assert (told["track"], told["region"], told["status"], told["lost"]) == ("walk.gpx", "town", "matched", [])
    assert (told["positions"], told["snapped"], told["share_snapped"], told["breaks"]) == (40, 40, 1.0, 0)
    assert told["route_km"] == pytest.approx(0.59, abs=0.03)
    edges = dict.fromkeys(point["edge_id"] for point in told["track_points"])
    assert list(edges) == ["1:1-2", "1:2-3", "103:3-103", "103:103-203", "103:203-303"]
    assert [point["number"] for point in told["track_points"]] == list(range(40))
    text = fleet_map(home, "match", str(tmp_path / "walk.gpx"), "--region", "town").stdout
    assert re.search(r"103:3-103\s+as drawn\s+residential", text)


def test_what_is_wrong_is_said_with_what_to_do(home: Path, tmp_path: Path) -> None:
    good = str(track(tmp_path / "good.gpx"))
    nowhere = fleet_map(home, "match", good, "--region", "paris")
    assert (nowhere.exit_code, "no map of region 'paris'" in nowhere.stderr, "town" in nowhere.stderr) == (
        2,
        True,
        True,
    )
    bare = TestFleet(tmp_path / "bare").home
    without = fleet_map(bare, "match", good)
    assert (without.exit_code, "fleet map add" in without.stderr) == (2, True)
    for name, content, rule in (
        ("empty.gpx", '<?xml version="1.0"?><gpx version="1.1"></gpx>', "no_messages"),
        ("odd.gpx", '<gpx><trk><trkseg><trkpt lat="x" lon="1"/></trkseg></trk></gpx>', "no_messages"),
        ("text.gpx", "hello", "not_gpx"),
        (
            "entity.gpx",
            '<!DOCTYPE g [<!ENTITY a "1">]><gpx><trk><trkseg><trkpt lat="&a;"/></trkseg></trk></gpx>',
            "type",
        ),
    ):
        (tmp_path / name).write_text(content)
        refused = fleet_map(home, "match", str(tmp_path / name))
        assert (refused.exit_code, name in refused.stderr, rule in refused.stderr) == (2, True, True), refused.stderr


def test_a_cut_track_is_matched_as_far_as_it_goes_and_says_so(home: Path, tmp_path: Path) -> None:
    path = track(tmp_path / "cut.gpx")
    path.write_bytes(path.read_bytes()[:-500])
    result = fleet_map(home, "match", str(path), "--json")
    told = json.loads(result.stdout)
    assert result.exit_code == 1
    assert told["positions"] == told["snapped"] < 40
    assert "truncated_file" in told["lost"][0]
    assert "truncated_file" in fleet_map(home, "match", str(path)).stdout


def test_a_track_that_no_map_shows_is_told_so(home: Path, tmp_path: Path) -> None:
    path = track(tmp_path / "far.gpx")
    path.write_text(re.sub('lat="4[78]', 'lat="52', path.read_text()))
    result = fleet_map(home, "match", str(path), "--json")
    told = json.loads(result.stdout)
    assert (result.exit_code, told["status"], told["region"], told["snapped"]) == (1, "not_covered", None, 0)
    assert {point["edge_id"] for point in told["track_points"]} == {None}


@pytest.mark.real_data
def test_the_istanbul_track_whose_points_have_one_time_is_matched(real_data: Path, home: Path) -> None:
    """Ingestion holds the track back, since all its points have one time; where it leads can be told all the same."""
    del real_data
    result = fleet_map(home, "match", str(ISTANBUL / "issue-13.gpx"), "--json")
    told: dict[str, Any] = json.loads(result.stdout)
    assert result.exit_code == 0
    assert (told["region"], told["positions"], told["snapped"], told["share_snapped"]) == ("istanbul", 29, 29, 1.0)
    assert (told["stretches"], told["breaks"]) == (1, 0)
    assert told["p95_offset_m"] < 25.0
    lat, lon = (np.array([point[name] for point in told["track_points"]]) for name in ("lat_deg", "lon_deg"))
    east, north = LocalFrame(lat[0], lon[0]).to_plane(lat, lon)
    straight_m = float(np.hypot(np.diff(east), np.diff(north)).sum())
    assert told["route_km"] * 1000 == pytest.approx(straight_m, rel=0.25)
    assert all(point["edge_id"] and point["offset_m"] >= 0.0 for point in told["track_points"])
