"""Table layouts in vehicle specs: what the schema refuses, and what contradicts formats, zones and columns."""

import copy
import json
from collections.abc import Callable
from importlib import resources
from typing import Any

import pytest

from fleet_assets.policy.canonical import parse_canonical_signals
from fleet_assets.policy.documents import InvalidPolicyError, load_policies, validate
from fleet_assets.policy.table_layouts import TimeColumn
from fleet_assets.policy.vehicle_parsing import parse_vehicle_spec
from fleet_assets.policy.vehicles import Combine, InvalidSpecError, SourceRef, VehicleSpec

POLICIES = load_policies()
SCHEMA = json.loads((resources.files("policies") / "schemas" / "vehicle.schema.json").read_text())
CANONICAL = parse_canonical_signals(POLICIES["canonical_signals"], "digest")
Change = Callable[[dict[str, Any]], Any]


def parsed(name: str, change: Change = lambda _: None) -> VehicleSpec:
    body = copy.deepcopy(dict(POLICIES[f"vehicles/{name}"]))
    change(body)
    validate(body, SCHEMA, "test")
    return parse_vehicle_spec(body, "digest", CANONICAL)


def time_of(body: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = body["table"]["points"][0]["time"]
    return found


def test_the_shipped_tables_say_what_their_rows_are() -> None:
    boreas = parsed("boreas")
    assert boreas.table is not None
    assert boreas.table.points[0].time == TimeColumn(("GPSTime", "ROSTime"), unit="us")
    course = boreas.sensors["poses"].signals["heading_deg"]
    assert (course.combine, course.least_length, course.wrap) == (Combine.COURSE, 0.5, (0.0, 360.0))
    assert course.sources == (SourceRef("vel_east"), SourceRef("vel_north"))
    place = boreas.sensors["poses"].signals["lat_deg"]
    assert (place.combine, place.epsg) == (Combine.LATITUDE, 32617)
    track = parsed("gps_track")
    assert track.formats == ("gpx", "json_points")
    trips = parsed("taxi_trips").table
    assert trips is not None
    assert trips.drive_per_row
    assert len(trips.columns) == 14
    assert [point.time.zone for point in trips.points] == ["America/New_York"] * 2


@pytest.mark.parametrize(
    ("name", "change", "problem"),
    [
        ("boreas", lambda b: b.pop("table"), "table: format csv needs it. State which columns"),
        ("gps_track", lambda b: b.pop("table"), "table: format json_points needs it"),
        ("gps_track", lambda b: b.update(format="gpx"), "table: formats gpx have no columns to be named. Remove it"),
        ("gps_track", lambda b: b["table"].update(drive_per_row=True), "only csv tables are taken apart"),
        (
            "taxi_trips",
            lambda b: time_of(b).update(zone="America/Gotham"),
            "table/points/0/time/zone: there is no time zone 'America/Gotham'",
        ),
        (
            "taxi_trips",
            lambda b: time_of(b).update(column="boarding"),
            "table/points/0/time/column: 'boarding' is not under table/columns",
        ),
        (
            "taxi_trips",
            lambda b: b["table"]["points"][1]["fields"].update(lat="lat"),
            "table/points/1/fields/lat: 'lat' is not under table/columns",
        ),
        (
            "taxi_trips",
            lambda b: time_of(b).update(format="%H:%M"),
            "time/format: '%H:%M' does not tell year, month and day",
        ),
        ("taxi_trips", lambda b: time_of(b).update(format="%Q %Y"), "'%Q %Y' does not tell year"),
        (
            "gps_track",
            lambda b: time_of(b).update(format="%d.%m.%Y %H:%M"),
            "states no offset. State the zone of these times",
        ),
        (
            "boreas",
            lambda b: b["sensors"]["poses"].update(channel="lidar"),
            "sensors/poses/channel: 'lidar', but the table makes 'poses'",
        ),
        (
            "boreas",
            lambda b: b["sensors"]["poses"]["signals"]["lat_deg"]["projected"].update(epsg=4326),
            "lat_deg/projected/epsg: 4326 is no projected reference system",
        ),
        (
            "boreas",
            lambda b: b["sensors"]["poses"]["signals"]["lat_deg"]["projected"].update(epsg=32767),
            "lat_deg/projected/epsg: 32767 is no projected reference system",
        ),
        (
            "boreas",
            lambda b: b["sensors"]["poses"]["signals"]["heading_deg"].update(unit="rad"),
            "heading_deg/unit: 'rad', but what is computed here is in degrees",
        ),
        (
            "boreas",
            lambda b: b["sensors"]["poses"]["signals"]["speed_mps"].update(wrap=True),
            "speed_mps/wrap: the canonical signal is not circular",
        ),
    ],
)
def test_contradictions_are_named_with_what_to_do(name: str, change: Change, problem: str) -> None:
    with pytest.raises(InvalidSpecError) as caught:
        parsed(name, change)
    assert problem in str(caught.value)


@pytest.mark.parametrize(
    "change",
    [
        lambda b: time_of(b).update(unit="h"),
        lambda b: time_of(b).update(zone="UTC"),  # a number since 1970 has no zone
        lambda b: time_of(b).update(column=[]),
        lambda b: b["table"].update(points=[]),
        lambda b: b["table"].update(columns=["one"]),
        lambda b: b["sensors"]["poses"]["signals"]["heading_deg"]["course_of"].update(at_least=0),
    ],
)
def test_malformed_tables_are_refused_by_the_schema(change: Change) -> None:
    with pytest.raises(InvalidPolicyError):
        parsed("boreas", change)


def test_a_time_of_any_offset_needs_no_zone() -> None:
    spec = parsed("gps_track", lambda b: time_of(b).update(format="%d.%m.%Y %H:%M:%S %z"))
    assert spec.table is not None
    assert spec.table.points[0].time.format == "%d.%m.%Y %H:%M:%S %z"
