"""Clips get the nearest station's nearest observation, or the reason why there is none."""

from typing import Any

import pytest

from fleet_assets.geo.road_cells import cell_of_each
from fleet_assets.ingestion.map_and_weather_enrichment.weather_join import clips_with_weather, reports_for
from fleet_assets.provenance.ledger import Entry

MINUTE_NS = 60_000_000_000
DAY_NS = 1440 * MINUTE_NS
POLICY = {"max_distance_km": 40.0, "max_minutes": 60.0}
CELL, FAR_CELL = cell_of_each([48.0, 52.0], [11.0, 11.0], 7)


def observation(station: str, minute: float, lat: float = 48.0, **values: Any) -> dict[str, Any]:
    fields = ("temperature_degc", "visibility_m", "precipitation_mm_h", "wind_mps", "wind_from_deg", "humidity_percent")
    return {
        "file": "f", "station": station, "t_ns": round(minute * MINUTE_NS), "lat_deg": lat, "lon_deg": 11.0,
        "provider": "p", **dict.fromkeys(fields), "temperature_degc": 1.0, **values,
    }  # fmt: skip


def cell(name: str, first: float, last: float, positions: int = 5) -> dict[str, Any]:
    return {
        "cell": name,
        "positions": positions,
        "first_ns": round(first * MINUTE_NS),
        "last_ns": round(last * MINUTE_NS),
    }


def joined(*observations: dict[str, Any], cells: Any = None, at: float = 100) -> dict[str, Any]:
    clips = [{"clip_id": "c", "start_ns": round(at * MINUTE_NS)}]
    return clips_with_weather(clips, [cell(CELL, 90, 120)] if cells is None else cells, observations, POLICY)[0]


def test_the_nearest_station_counts_and_of_its_observations_the_nearest_in_time() -> None:
    row = joined(
        observation("near", 70, 48.1), observation("near", 95, 48.1, wind_mps=7.0), observation("far", 100, 48.3)
    )  # fmt: skip
    assert (row["station"], row["wind_mps"], row["age_s"]) == ("near", 7.0, 300.0)
    assert row["station_distance_m"] == pytest.approx(11_100, abs=1500)  # from the cell's middle


def test_a_station_that_is_silent_then_gives_way_to_the_next() -> None:
    assert joined(observation("near", 10, 48.1), observation("far", 100, 48.3))["station"] == "far"


@pytest.mark.parametrize(
    ("minute", "missing"),
    [(40, None), (39.99, "no_observation_in_time"), (160, None), (160.01, "no_observation_in_time")],
)
def test_the_tolerance_in_time_is_kept_on_both_sides(minute: float, missing: str | None) -> None:
    assert joined(observation("a", minute))["missing"] == missing


@pytest.mark.parametrize(("lat", "missing"), [(48.3, None), (48.4, "no_station_near")])
def test_the_tolerance_in_place_is_kept(lat: float, missing: str | None) -> None:
    assert joined(observation("a", 100, lat))["missing"] == missing


def test_no_position_no_station_and_an_empty_observation_are_told_apart() -> None:
    assert joined(observation("a", 100), cells=[])["missing"] == "no_position"
    assert joined(observation("a", 100), cells=[cell(CELL, 0, 1, positions=0)])["missing"] == "no_position"
    assert joined()["missing"] == "no_station_near"
    assert joined(observation("a", 100, temperature_degc=None))["missing"] == "no_station_near"


def test_a_clip_is_where_the_drive_was_then() -> None:
    cells = [cell(CELL, 0, 50), cell(FAR_CELL, 51, 120)]
    assert joined(observation("a", 100), cells=cells)["missing"] == "no_station_near"
    assert joined(observation("a", 100, 52.0), cells=cells)["station"] == "a"


def test_only_days_and_stations_that_may_concern_a_drive_enter_its_fingerprint() -> None:
    def day(station: str, lat: float, date: str, digest: str = "d") -> dict[str, Any]:
        return {
            "file": "f", "station": station, "day": date, "lat_deg": lat, "lon_deg": 11.0, "digest": digest,
            "status": "usable",
        }  # fmt: skip

    entries = {"u": Entry("u", (), "0" * 24, "0" * 64, 1, 1, "path")}
    own = [cell(CELL, 90, 120)]
    days = [day("a", 48.0, "1970-01-01"), day("b", 49.0, "1970-01-01"), day("a", 48.0, "1970-01-05")]
    before = reports_for(own, {"u": days}, entries, POLICY)
    assert before.stations == {("f", "a")}
    same = [days[0], day("b", 49.0, "1970-01-01", "new"), day("a", 48.0, "1970-01-05", "new")]
    assert reports_for(own, {"u": same}, entries, POLICY).digest == before.digest
    other = [day("a", 48.0, "1970-01-01", "new"), *days[1:]]
    assert reports_for(own, {"u": other}, entries, POLICY).digest != before.digest
