"""Trip ends: what is withheld around stops and known places, and that nothing moves."""

import h3
import numpy as np
import pyarrow as pa
import pytest
from pyproj import Geod

from fleet_assets.ingestion.integrity_and_pii_redaction.privacy.positions import measurable, withhold
from fleet_assets.ingestion.integrity_and_pii_redaction.privacy.trip_ends import (
    FIRST_STOP,
    LAST_STOP,
    NONE,
    PLACE,
    Place,
    TripEndRule,
    stretches,
    withheld,
)
from fleet_assets.policy.documents import load_policies
from fleet_assets.tables import all_tables
from fleet_assets.tables.privacy import WITHHELD_POSITIONS

GEOD = Geod(ellps="WGS84")
POLICIES = load_policies()
POLICY = POLICIES["privacy"]["trip_ends"]
RULE = TripEndRule.from_policy(POLICY)
HOME = (48.137, 11.575)
SIGNALS = all_tables(POLICIES["canonical_signals"])["silver.signals"]
DRIVE = {"drive_id": "d", "day": "2024-05-01", "depot": "north"}
STEP_NS = 100_000_000


def trip(seconds: int = 300, speed: float = 15.0, parked_s: int = 20) -> tuple[np.ndarray, ...]:
    """Stands at home, drives east, stands again: instants, latitude, longitude, speed."""
    t_ns = np.arange(seconds * 10, dtype=np.int64) * STEP_NS
    speeds = np.full(len(t_ns), speed)
    speeds[: parked_s * 10] = speeds[len(t_ns) - parked_s * 10 :] = 0.0
    far = np.cumsum(speeds) * 0.1
    lon, lat, _ = GEOD.fwd(np.full(len(t_ns), HOME[1]), np.full(len(t_ns), HOME[0]), np.full(len(t_ns), 90.0), far)
    return t_ns, np.asarray(lat), np.asarray(lon), speeds


def from_home(lat: np.ndarray, lon: np.ndarray, place: tuple[float, float]) -> np.ndarray:
    count = len(lat)
    return np.asarray(GEOD.inv(lon, lat, np.full(count, place[1]), np.full(count, place[0]))[2])


def test_no_position_near_either_stop_is_left_and_the_middle_stays() -> None:
    t_ns, lat, lon, speed = trip()
    reasons = withheld(t_ns, lat, lon, speed, RULE)
    left = reasons == NONE
    for stop in (HOME, (lat[-1], lon[-1])):
        assert from_home(lat[left], lon[left], stop).min() > 170
    far = np.minimum(from_home(lat, lon, HOME), from_home(lat, lon, (lat[-1], lon[-1]))) > 800
    assert left[far].all()
    assert (reasons[0], reasons[-1]) == (FIRST_STOP, LAST_STOP)


def test_what_is_left_is_the_same_for_every_stop_in_a_cell() -> None:
    """Whoever sees the edges of many trips learns the cell and not the house."""
    cell = h3.latlng_to_cell(*HOME, RULE.resolution)
    inside = [h3.cell_to_latlng(child) for child in h3.cell_to_children(cell, RULE.resolution + 2)]
    inside = [one for one in inside if h3.latlng_to_cell(*one, RULE.resolution) == cell]
    street_lat = np.linspace(HOME[0] - 0.02, HOME[0] + 0.02, 900)
    street_lon = np.full(900, HOME[1])
    seen = set()
    for lat, lon in inside:
        lats, lons = np.concatenate([[lat], street_lat]), np.concatenate([[lon], street_lon])
        t_ns = np.arange(len(lats), dtype=np.int64) * STEP_NS * 100
        speed = np.concatenate([[0.0], np.full(900, 15.0)])
        seen.add(tuple(withheld(t_ns, lats, lons, speed, RULE)[1:] == NONE))
    assert len(inside) > 20
    assert len(seen) == 1


def test_a_recording_that_is_cut_while_driving_loses_nothing() -> None:
    t_ns, lat, lon, speed = trip(parked_s=0)
    assert (withheld(t_ns, lat, lon, speed, RULE) == NONE).all()


def test_where_nobody_knows_the_speed_an_end_is_taken_for_a_stop() -> None:
    t_ns, lat, lon, _ = trip(parked_s=0)
    reasons = withheld(t_ns, lat, lon, np.full(len(t_ns), np.nan), RULE)
    assert (reasons[0], reasons[-1]) == (FIRST_STOP, LAST_STOP)


def test_passing_by_the_stop_later_shows_nothing_either() -> None:
    t_ns, lat, lon, speed = trip(parked_s=20)
    lats, lons, speeds = (np.concatenate([column, column[::-1]]) for column in (lat, lon, speed))
    left = withheld(np.arange(len(lats)) * STEP_NS, lats, lons, speeds, RULE) == NONE
    assert from_home(lats[left], lons[left], HOME).min() > 170


def test_a_known_place_is_withheld_whenever_and_by_its_own_radius() -> None:
    t_ns, lat, lon, speed = trip(parked_s=0)
    yard = (lat[1500], lon[1500])
    rule = TripEndRule(1.0, 10.0, 9, 1, (Place("yard", *yard, radius_m=250.0),))
    reasons = withheld(t_ns, lat, lon, speed, rule)
    near = from_home(lat, lon, yard)
    assert set(reasons[near < 249.5]) == {PLACE}
    assert set(reasons[near > 250.5]) == {NONE}


def test_gaps_are_withheld_where_both_neighbours_are() -> None:
    t_ns, lat, lon, speed = trip()
    lat[5:50] = np.nan
    lat[1000:1100] = np.nan
    reasons = withheld(t_ns, lat, lon, speed, RULE)
    assert set(reasons[5:50]) == {FIRST_STOP}
    assert set(reasons[1000:1100]) == {NONE}


@pytest.mark.parametrize("known", [0, 1])
def test_a_drive_with_no_or_one_position_is_no_error(known: int) -> None:
    t_ns, lat, lon, speed = trip(seconds=30)
    lat[known:] = np.nan
    reasons = withheld(t_ns, lat, lon, speed, RULE)
    assert (reasons != NONE).any() == bool(known)
    assert stretches(np.array([], np.int64), np.array([], "<U16")) == []


def _known(lat: float, lon: float) -> dict[str, float | None]:
    return {"lat_deg": None, "lon_deg": None} if np.isnan(lat) else {"lat_deg": lat, "lon_deg": lon}


def table(columns: tuple[np.ndarray, ...]) -> pa.Table:
    t_ns, lat, lon, speed = columns
    rows = [
        {**DRIVE, "clip_id": "d-0", "t_ns": int(t), **position, "speed_mps": s, "heading_deg": 90.0}
        for t, position, s in zip(t_ns, map(_known, lat, lon), speed, strict=True)
    ]
    return SIGNALS.from_rows(rows)


def test_values_are_left_or_gone_and_never_changed() -> None:
    before = table(trip())
    after, rows = withhold(before, POLICY, DRIVE)
    assert after.schema == before.schema
    for name in before.column_names:
        old, new = before[name].to_pylist(), after[name].to_pylist()
        if name in POLICY["signals"]:
            assert all(value is None or value == was for value, was in zip(new, old, strict=True))
        else:
            assert new == old
    gone = [value is None for value in after["lat_deg"].to_pylist()]
    assert gone == [value is None for value in after["heading_deg"].to_pylist()]
    assert sum(row["instants"] for row in rows) == sum(gone)
    assert [row["reason"] for row in rows] == [FIRST_STOP, LAST_STOP]
    assert WITHHELD_POSITIONS.from_rows(rows).num_rows == 2


def test_a_gate_counts_a_withheld_position_as_measured_and_a_missing_one_not() -> None:
    columns = trip()
    columns[1][1000:1100] = np.nan
    columns[2][1000:1100] = np.nan
    signals, rows = withhold(table(columns), POLICY, DRIVE)
    counted = measurable(signals, WITHHELD_POSITIONS.from_rows(rows), POLICY["signals"])
    assert counted["lat_deg"].null_count == 100
    assert signals["lat_deg"].null_count > 400
