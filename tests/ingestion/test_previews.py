"""Pictures in asset metadata: small, repeatable, honest about extremes and gaps, silent about addresses."""

import io

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from fleet_assets.evidence.plots import envelope
from fleet_assets.ingestion.sensor_sync_and_format_conversion.previews import signal_plot, skew_histogram, track_plot
from fleet_assets.ingestion.telemetry_and_bulk_ingestion.previews import coverage_timeline
from fleet_assets.policy.documents import load_policies
from fleet_assets.tables import all_tables
from fleet_assets.tables.bronze import DRIVES
from fleet_assets.tables.silver import CLOCK_MODELS

MAX_BYTES = 60_000
SIGNALS = all_tables(load_policies()["canonical_signals"])["silver.signals"]


def signals(drives: int, instants: int) -> pa.Table:
    """Noisy signals of some drives that head north-east, without the other columns' values."""
    rng = np.random.default_rng(drives)
    parts = []
    for drive in range(drives):
        step = np.arange(instants)
        columns = {
            "drive_id": [f"drive-{drive:02d}"] * instants,
            "t_ns": step * 100_000_000,
            "speed_mps": rng.normal(20, 3, instants),
            "accel_long_mps2": rng.normal(0, 1, instants),
            "yaw_rate_radps": rng.normal(0, 0.1, instants),
            "steering_deg": rng.normal(0, 20, instants),
            "lat_deg": 56 + step * 1e-5,
            "lon_deg": 10 + step * 1e-5,
        }
        arrow = {
            field.name: pa.array(columns[field.name], field.type)
            if field.name in columns
            else pa.nulls(instants, field.type)
            for field in SIGNALS.arrow_schema
        }
        parts.append(pa.table(arrow))
    return pa.concat_tables(parts) if parts else SIGNALS.empty()


def drives(count: int) -> pa.Table:
    """Rows of `bronze.drives` of one day."""
    row = dict.fromkeys(DRIVES.arrow_schema.names, "x") | {
        "day": "2024-05-01",
        "depot": "north",
        "duration_s": 600.0,
        "status": "landed",
        "reason": None,
    }
    whole = {"clock_offset_ns": 0, "bytes": 1, "revision": 0}
    start_ns = 1_714_521_600_000_000_000
    return DRIVES.from_rows(
        [
            {
                **row,
                **whole,
                "drive_id": f"d{n:03d}",
                "start_ns": start_ns + n * 10**12,
                "end_ns": start_ns + n * 10**12,
            }
            for n in range(count)
        ]
    )


def clock_models(offsets_ms: list[float]) -> pa.Table:
    """One model per sensor, the first one with a measured lag."""
    row = {"drive_id": "d", "day": "2024-05-01", "depot": "north", "segment": 0, "start_ns": 0, "reference_ns": 0}
    row |= {"drift_ppm": 0.0, "jump_ns": 0, "samples": 1, "source": "gnss"}
    return CLOCK_MODELS.from_rows(
        [
            {**row, "sensor": f"s{n}", "offset_ns": round(ms * 1e6), "skew_ns": 10**8 if n == 0 else None}
            for n, ms in enumerate(offsets_ms)
        ]
    )


@pytest.mark.parametrize(
    "picture",
    [
        pytest.param(lambda: signal_plot(signals(6, 20_000)), id="signals of six long drives"),
        pytest.param(lambda: track_plot(signals(6, 20_000)), id="tracks of six long drives"),
        pytest.param(lambda: skew_histogram(clock_models([-3000.0, 0.1, 0.1, 60.0])), id="clocks"),
        pytest.param(lambda: coverage_timeline(drives(200)), id="a day of 200 drives"),
    ],
)
def test_a_picture_is_the_same_each_time_and_small(picture) -> None:  # type: ignore[no-untyped-def]
    first = picture()
    assert first == picture()
    assert len(first) < MAX_BYTES


def test_nothing_to_draw_gives_no_picture() -> None:
    assert signal_plot(signals(0, 0)) is None
    assert track_plot(signals(0, 0)) is None
    assert skew_histogram(CLOCK_MODELS.empty()) is None
    assert coverage_timeline(DRIVES.empty()) is None


def test_clocks_that_agree_to_the_microsecond_are_still_visible() -> None:
    # Bins over the data's own range once were narrower than a pixel, and the histogram was blank.
    image = Image.open(io.BytesIO(skew_histogram(clock_models([1.525, 1.525, 1.526])) or b"")).convert("RGB")
    red, _, blue = np.asarray(image, dtype=np.int64).transpose(2, 0, 1)
    assert (blue > red + 60).sum() > 500


def test_a_track_says_nothing_about_where_on_earth_it_is() -> None:
    west = signals(1, 500)
    moved = west.set_column(
        west.column_names.index("lon_deg"), "lon_deg", pa.array(west["lon_deg"].to_numpy() - 130.0, pa.float64())
    )
    assert track_plot(west) == track_plot(moved)


@given(
    arrays(np.float64, st.integers(1, 400), elements=st.floats(-1e6, 1e6) | st.just(float("nan"))), st.integers(1, 50)
)
def test_thinning_keeps_extremes_and_bounds_the_points(values: np.ndarray, pairs: int) -> None:
    x, y = envelope(np.arange(len(values), dtype=np.float64), values, pairs)
    assert len(x) == len(y) <= max(2 * pairs, 2)
    assert (np.diff(x) >= 0).all()
    if not np.isnan(values).all():
        assert np.nanmin(y) == np.nanmin(values)
        assert np.nanmax(y) == np.nanmax(values)


def test_thinning_leaves_a_gap_where_nothing_was_measured() -> None:
    values = np.ones(1000)
    values[300:700] = np.nan
    _, thinned = envelope(np.arange(1000.0), values, 100)
    assert np.isnan(thinned).sum() == 80
