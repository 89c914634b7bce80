"""What the catalog says of a clip, against plain arithmetic, the h3 library and NOAA's formula."""

from dataclasses import replace
from typing import Any

import h3
import numpy as np
import pyarrow as pa
import pytest

from fleet_assets.ingestion.metadata_extraction_and_catalog.rules import CatalogRules, TagRule
from fleet_assets.policy.documents import InvalidPolicyError
from fleet_assets.tables.catalog import CLIP_CATALOG, SEARCH_DOCUMENTS
from tests.harness import utc_ns
from tests.ingestion.catalog.catalog_drive import (
    CAMERA_OFFSET_NS,
    CLIP_INSTANTS,
    INSTANTS,
    LAT,
    LON,
    POLICIES,
    RULES,
    START_NS,
    TABLES,
    camera_tables,
    catalogued,
    drive_tables,
    signals,
    speed,
)
from tests.noaa import noaa_elevation

SECOND = 1_000_000_000


def later(table: pa.Table, shift_ns: int) -> pa.Table:
    """The same rows at another time."""
    columns = {
        name: pa.array(table[name].to_numpy() + shift_ns) if name in {"start_ns", "end_ns", "t_ns"} else table[name]
        for name in table.column_names
    }
    return pa.table(columns, schema=table.schema)


@pytest.fixture(scope="module")
def catalog() -> list[dict[str, Any]]:
    return catalogued()["silver.clip_catalog"]


def test_there_is_one_row_per_clip_with_its_span_and_its_share_of_the_grid(catalog: list[dict[str, Any]]) -> None:
    assert [row["clip_id"] for row in catalog] == ["d-0000", "d-0001", "d-0002"]
    assert [row["instants"] for row in catalog] == [200, 200, 50]
    assert [row["duration_s"] for row in catalog] == [20.0, 20.0, 5.0]
    assert catalog[1]["first_t_ns"] == START_NS + 20 * SECOND
    assert catalog[1]["last_t_ns"] == START_NS + 40 * SECOND - SECOND // 10
    assert {row["signals"] for row in catalog} == {5}
    assert [row["tracked"] for row in catalog] == [0, 7, 0]


def test_figures_are_those_of_plain_arithmetic(catalog: list[dict[str, Any]]) -> None:
    v = speed().tolist()
    for number, row in enumerate(catalog):
        own = range(number * CLIP_INSTANTS, min((number + 1) * CLIP_INSTANTS, INSTANTS))
        assert row["distance_m"] == pytest.approx(sum(v[i] for i in own) / 10)
        assert row["speed_max_mps"] == pytest.approx(max(v[i] for i in own))
        assert row["speed_min_mps"] == pytest.approx(min(v[i] for i in own))
        assert row["stopped_share"] == pytest.approx(sum(v[i] <= 0.3 for i in own) / len(own))
        falls = [v[i] - v[i + 10] for i in own if i + 10 < INSTANTS]
        assert row["deceleration_max_mps2"] == pytest.approx(max(0.0, *falls), abs=1e-6)
    assert [row["braking_share"] for row in catalog] == [0.1, 0.1, 0.0]
    assert [row["turned_deg"] for row in catalog] == [0.0, 90.0, 0.0]
    assert [row["lead_min_m"] for row in catalog] == [None, None, None]


def test_distances_of_the_clips_add_up_to_that_of_the_drive(catalog: list[dict[str, Any]]) -> None:
    assert sum(row["distance_m"] for row in catalog) == pytest.approx(speed().sum() / 10)


def test_a_brake_across_two_clips_is_hard_in_the_one_that_it_begins_in(catalog: list[dict[str, Any]]) -> None:
    assert catalog[0]["deceleration_max_mps2"] == pytest.approx(5.0)
    assert [("hard_brake" in row["tags"].split()) for row in catalog] == [True, True, False]


def test_a_signal_with_too_few_values_gives_no_figure_and_the_next_one_counts() -> None:
    sparse = np.full(INSTANTS, np.nan)
    sparse[:15] = 33.0  # 7.5 % of the first clip
    tables = drive_tables(signals=signals(speed_mps=sparse, gnss_speed_mps=np.full(INSTANTS, 11.0)))
    rows = catalogued(tables)["silver.clip_catalog"]
    assert [row["speed_max_mps"] for row in rows] == [11.0, 11.0, 11.0]
    alone = catalogued(drive_tables(signals=signals(speed_mps=sparse)))["silver.clip_catalog"]
    assert [row["speed_max_mps"] for row in alone] == [None, None, None]
    assert [row["distance_m"] for row in alone] == [None, None, None]


def test_cells_are_those_of_the_h3_library_and_no_finer_than_the_policy_says() -> None:
    found = catalogued()
    rows = signals().to_pylist()
    for name, resolution in (("silver.clip_catalog", 7), ("silver.clip_positions", 11)):
        for row in found[name]:
            own = [one for one in rows if one["clip_id"] == row["clip_id"] and one["lat_deg"] is not None]
            cells = {h3.latlng_to_cell(one["lat_deg"], one["lon_deg"], resolution) for one in own}
            assert row["h3_cells"].split() == sorted(cells)


def test_product_tables_hold_no_position_and_the_personal_one_says_that_it_is_personal() -> None:
    for table in (CLIP_CATALOG, SEARCH_DOCUMENTS):
        assert not table.personal
        assert not {name for name in table.arrow_schema.names if "lat" in name.split("_") or "lon" in name.split("_")}
    assert TABLES["silver.clip_positions"].personal
    (first, *_) = catalogued()["silver.clip_positions"]
    assert (first["first_lat_deg"], first["first_lon_deg"]) == (LAT, LON)
    assert first["positions"] == 150
    # Two drives through one cell at one time look alike: the sun stands where it does over the cell's centre.
    moved = signals(lat_deg=np.full(INSTANTS, LAT + 0.0001), lon_deg=np.full(INSTANTS, LON + 0.0001))
    near = catalogued(drive_tables(signals=moved))["silver.clip_catalog"]
    assert near[0]["h3_cells"] == catalogued()["silver.clip_catalog"][0]["h3_cells"]
    assert near[0]["sun_elevation_deg"] == catalogued()["silver.clip_catalog"][0]["sun_elevation_deg"]


@pytest.mark.parametrize(
    ("start", "light"),
    [  # Munich, 2024-05-01: sunrise about 05:51 CEST, sunset about 20:28, end of civil twilight about 21:02
        ("2024-05-01T01:00:00", "night"),
        ("2024-05-01T03:40:00", "twilight"),
        ("2024-05-01T04:10:00", "day"),
        ("2024-05-01T18:15:00", "day"),
        ("2024-05-01T18:45:00", "twilight"),
        ("2024-05-01T19:30:00", "night"),
    ],
)
def test_light_is_that_of_published_sunrise_and_sunset(start: str, light: str) -> None:
    shift = utc_ns(start) - START_NS
    tables = drive_tables()
    moved = {"clips": later(tables.clips, shift), "signals": later(tables.signals, shift)}
    rows = catalogued(drive_tables(**moved))["silver.clip_catalog"]
    assert [row["light_condition"] for row in rows] == [light] * 3
    middle = utc_ns(start) + 10 * SECOND
    assert rows[0]["sun_elevation_deg"] == pytest.approx(noaa_elevation(middle, LAT, LON), abs=0.6)


def test_a_clip_without_position_has_the_light_of_the_drives_nearest_one_and_no_cell() -> None:
    lat = np.full(INSTANTS, np.nan)
    lat[:50] = LAT
    found = catalogued(drive_tables(signals=signals(lat_deg=lat, lon_deg=np.where(np.isnan(lat), np.nan, LON))))
    rows = found["silver.clip_catalog"]
    assert [row["light_condition"] for row in rows] == ["day"] * 3
    assert [row["h3_cells"] is None for row in rows] == [False, True, True]
    assert [row["clip_id"] for row in found["silver.clip_positions"]] == ["d-0000"]
    near = replace(RULES, reach_s=10.0)
    tables = drive_tables(signals=signals(lat_deg=lat, lon_deg=np.where(np.isnan(lat), np.nan, LON)))
    assert [row["light_condition"] for row in catalogued(tables, near)["silver.clip_catalog"]] == ["day", None, None]


def test_a_drive_without_position_has_neither_light_nor_cells_nor_personal_rows() -> None:
    nowhere = np.full(INSTANTS, np.nan)
    found = catalogued(drive_tables(signals=signals(lat_deg=nowhere, lon_deg=nowhere)))
    assert {
        (row["light_condition"], row["sun_elevation_deg"], row["h3_cells"]) for row in found["silver.clip_catalog"]
    } == {(None, None, None)}
    assert found["silver.clip_positions"] == []


def test_coverage_counts_samples_within_each_clip_at_the_sensors_own_rate() -> None:
    found = catalogued()
    rows = {(row["clip_id"], row["sensor"], row["name"]): row for row in found["silver.clip_coverage"]}
    wheels = [rows[f"d-{number:04d}", "wheels", "speed_mps"] for number in range(3)]
    assert [row["samples"] for row in wheels] == [400, 400, 100]
    assert [row["rate_hz"] for row in wheels] == pytest.approx([20.0, 20.0, 20.0])
    assert [row["share"] for row in wheels] == [1.0, 1.0, 1.0]
    gnss = [rows[f"d-{number:04d}", "gnss", "lat_deg"] for number in range(3)]
    assert [row["samples"] for row in gnss] == [100, 50, 0]
    assert [row["share"] for row in gnss] == [0.75, 1.0, 1.0]
    assert gnss[1]["last_t_ns"] == START_NS + 149 * 200_000_000
    assert gnss[2]["first_t_ns"] is None
    assert [row["samples"] for row in found["silver.clip_catalog"]] == [600, 500, 100]


def test_pictures_are_counted_on_corrected_time_and_their_bytes_are_named() -> None:
    found = catalogued(drive_tables(**camera_tables()))
    rows = found["silver.clip_catalog"]
    assert [row["keyframes"] for row in rows] == [2, 1, 0]
    assert [row["keyframe_uris"] for row in rows] == ["objects://open/k1", "objects://open/k1", None]
    # The video ends at 39.999 s on the camera's clock, which is 29 ms into the third clip.
    assert [row["media_uris"] for row in rows] == ["objects://open/m1"] * 3
    assert [row["cameras"] for row in rows] == [1, 1, 1]
    assert {(row["width"], row["height"]) for row in rows} == {(1920, 1080)}
    assert all("camera" in row["has"].split() for row in rows)
    streams = {row["clip_id"]: row for row in found["silver.clip_coverage"] if row["kind"] == "stream"}
    assert [row["sensor"] for row in streams.values()] == ["front"] * 3
    assert streams["d-0000"]["share"] == pytest.approx((10 - CAMERA_OFFSET_NS / SECOND) / 20)
    assert streams["d-0001"]["share"] == pytest.approx((10 + CAMERA_OFFSET_NS / SECOND) / 20)
    assert streams["d-0002"] | {"share": 0.0, "first_t_ns": None} == streams["d-0002"]
    cameras = {row["clip_id"]: row for row in found["silver.clip_coverage"] if row["kind"] == "camera"}
    assert {clip: row["samples"] for clip, row in cameras.items()} == {"d-0000": 2, "d-0001": 1}
    assert cameras["d-0000"]["rate_hz"] == pytest.approx(0.5)


def test_sweeps_are_counted_with_their_points() -> None:
    sweep = {"sensor": "roof", "uri": "objects://open/z"}
    rows = [
        {**sweep, "clip_id": "d-0001", "t_ns": START_NS + (200 + i) * 100_000_000, "points": 1000 + i} for i in range(5)
    ]
    found = catalogued(drive_tables(sweeps=pa.Table.from_pylist(rows)))
    catalog = found["silver.clip_catalog"]
    assert [(row["sweeps"], row["points"], row["lidar_uris"]) for row in catalog] == [
        (0, 0, None),
        (5, 5010, "objects://open/z"),
        (0, 0, None),
    ]
    (lidar,) = [row for row in found["silver.clip_coverage"] if row["kind"] == "lidar"]
    assert (lidar["samples"], lidar["rate_hz"]) == (5, pytest.approx(10.0))


def test_a_drive_that_gives_no_signals_has_clips_without_figures() -> None:
    tables = drive_tables(
        signals=TABLES["silver.signals"].empty(), samples=drive_tables().samples.slice(0, 0), **camera_tables()
    )
    rows = catalogued(tables)["silver.clip_catalog"]
    assert [row["instants"] for row in rows] == [0, 0, 0]
    assert {row["signals_uri"] for row in rows} == {None}
    assert {row["distance_m"] for row in rows} == {None}
    assert rows[0]["has"] == "camera"
    assert rows[0]["tags"] == ""


@pytest.mark.parametrize(
    ("rule", "value", "holds"),
    [
        (TagRule("speed_max_mps", "at_least", 5.0), 5.0, True),
        (TagRule("speed_max_mps", "at_least", 5.0), 4.999, False),
        (TagRule("speed_max_mps", "at_most", 5.0), 5.0, True),
        (TagRule("speed_max_mps", "at_most", 5.0), 5.001, False),
        (TagRule("has", "contains", "lidar"), "camera lidar", True),
        (TagRule("has", "contains", "lid"), "camera lidar", False),
        (TagRule("light_condition", "equals", "night"), "night", True),
        (TagRule("light_condition", "equals", "night"), None, False),
        (TagRule("speed_max_mps", "at_most", 5.0), None, False),
    ],
)
def test_a_rule_of_a_tag_holds_at_its_bound_and_never_for_what_is_not_there(
    rule: TagRule, value: Any, holds: bool
) -> None:
    assert rule.holds({rule.column: value}) is holds


def test_a_policy_that_names_what_does_not_exist_is_refused_with_every_place() -> None:
    policy = {
        **POLICIES["catalog"],
        "position": ["lat_deg", "longitude"],
        "figures": {"swerves": {"of": ["speed"], "take": "max"}},
        "tags": {"odd": [{"column": "colour", "equals": "red"}, {"column": "speed_max_mps", "equals": "fast"}]},
    }
    with pytest.raises(InvalidPolicyError) as refused:
        CatalogRules.from_policy(policy, TABLES["silver.signals"])
    for part in (
        "position: 'longitude'",
        "figures/swerves: 'speed'",
        "figures/swerves: no figure",
        "'colour'",
        "'fast'",
    ):
        assert part in str(refused.value)
