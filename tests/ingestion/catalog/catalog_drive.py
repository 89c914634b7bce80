"""Rows of one made-up drive as the catalog reads them: two clips and a bit, a stop, a brake, a turn, a gap in GNSS."""

from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa

from fleet_assets.ingestion.metadata_extraction_and_catalog.clips import DriveTables, Origin, catalogue
from fleet_assets.ingestion.metadata_extraction_and_catalog.rules import CatalogRules
from fleet_assets.policy.documents import load_policies
from fleet_assets.tables import all_tables
from tests.harness import utc_ns

POLICIES = load_policies()
TABLES = all_tables(POLICIES["canonical_signals"])
RULES = CatalogRules.from_policy(POLICIES["catalog"], TABLES["silver.signals"])
START_NS = utc_ns("2024-05-01T12:00:00")
KEYS = {"drive_id": "d", "day": "2024-05-01", "depot": "north"}
DRIVE = {**KEYS, "vehicle_id": "car1", "vehicle_spec": "sim_car", "format": "mcap"}
STEP_NS = 100_000_000
INSTANTS = 450
CLIP_INSTANTS = 200
LAT, LON = 48.137, 11.575
"""Munich."""
CAMERA_OFFSET_NS = 30_000_000


def speed() -> np.ndarray[Any, Any]:
    """20 m/s, a brake of 5 m/s^2 from 18 s on (across the first two clips), a stop, and off again."""
    t_s = np.arange(INSTANTS) / 10
    return np.clip(np.where(t_s < 18, 20.0, 20.0 - 5.0 * (t_s - 18)), 0.0, None) + np.where(t_s > 35, t_s - 35, 0.0)


def signals(**columns: Any) -> pa.Table:
    """Rows of `silver.signals`: speed, positions to the north-east with a gap, a course that turns."""
    number = np.arange(INSTANTS)
    lat, lon = LAT + number * 2e-5, LON + number * 3e-5
    lat[100:150] = np.nan
    given = {
        "speed_mps": speed(),
        "lat_deg": lat,
        "lon_deg": np.where(np.isnan(lat), np.nan, lon),
        "heading_deg": np.where(number < 300, 350.0, 80.0),
        "brake_pressed": (number >= 180) & (number < 220),
        **columns,
    }
    rows = {name: pa.array(values, from_pandas=True) for name, values in given.items()}
    clips = pa.array([f"d-{index // CLIP_INSTANTS:04d}" for index in number])
    t_ns = pa.array(START_NS + number * STEP_NS)
    known: dict[str, Any] = {
        **{k: pa.array([v] * INSTANTS) for k, v in KEYS.items()},
        "clip_id": clips,
        "t_ns": t_ns,
        **rows,
    }
    table = TABLES["silver.signals"]
    columns_ = [known.get(field.name, pa.nulls(INSTANTS, field.type)) for field in table.arrow_schema]
    return table.conform(pa.table(columns_, names=table.arrow_schema.names))


def clips() -> pa.Table:
    """Rows of `silver.clips`."""
    starts = range(0, INSTANTS, CLIP_INSTANTS)
    return TABLES["silver.clips"].from_rows(
        [
            {
                **KEYS,
                "clip_id": f"d-{number:04d}",
                "start_ns": START_NS + start * STEP_NS,
                "end_ns": START_NS + min(start + CLIP_INSTANTS, INSTANTS) * STEP_NS,
            }
            for number, start in enumerate(starts)
        ]
    )


def samples() -> pa.Table:
    """Speeds of the wheels at 20 Hz from 2 s before the grid on, GNSS at 5 Hz that stops at 30 s."""
    wheel = START_NS - 2_000_000_000 + np.arange(940) * 50_000_000
    gnss = START_NS + np.arange(150) * 200_000_000
    parts = [("gnss", "lat_deg", gnss), ("gnss", "lon_deg", gnss), ("wheels", "speed_mps", wheel)]
    sensor = pa.array([s for s, _, t in parts for _ in t]).dictionary_encode()
    signal = pa.array([n for _, n, t in parts for _ in t]).dictionary_encode()
    return pa.table({"sensor": sensor, "signal": signal, "t_ns": np.concatenate([t for _, _, t in parts])})


def camera_tables() -> dict[str, pa.Table]:
    """A camera that recorded from 10 s to 30 s on a clock 30 ms late, keyframes of it, and one video file."""
    keyframe = {"camera": "front", "width": 1280, "height": 720, "uri": "objects://open/k1"}
    return {
        "streams": TABLES["bronze.sensor_streams"].from_rows(
            [
                {
                    **KEYS, "sensor": sensor, "messages": messages, "first_t_ns": START_NS + first * 1_000_000_000,
                    "last_t_ns": START_NS + 30 * 1_000_000_000, "rate_hz": 30.0, "backward_steps": 0, "lost_bytes": 0,
                }
                for sensor, messages, first in (("front", 600, 10), ("wheels", 940, 0), ("silent", 0, 0))
            ]
        ),
        "clock_models": TABLES["silver.clock_models"].from_rows(
            [
                {
                    **KEYS, "sensor": "front", "segment": 0, "start_ns": START_NS, "reference_ns": START_NS,
                    "offset_ns": CAMERA_OFFSET_NS, "drift_ppm": 0.0, "jump_ns": 0, "samples": 1, "source": "given",
                }
            ]
        ),
        "keyframes": pa.Table.from_pylist(
            [
                {**keyframe, "clip_id": clip, "t_ns": START_NS + second * 1_000_000_000}
                for clip, second in (("d-0000", 12), ("d-0000", 14), ("d-0001", 21))
            ]
        ),
        "media": pa.Table.from_pylist(
            [
                {
                    "camera": "front", "width": 1920, "height": 1080, "uri": "objects://open/m1",
                    "first_t_ns": START_NS + 10 * 1_000_000_000, "last_t_ns": START_NS + 39_999_000_000,
                }
            ]
        ),
    }  # fmt: skip


def drive_tables(**changes: pa.Table) -> DriveTables:
    """Everything of the drive; media only where they are given."""
    nothing = {
        "sweeps": pa.table({name: pa.nulls(0) for name in ("clip_id", "sensor", "t_ns", "points", "uri")}),
        "keyframes": pa.table({name: pa.nulls(0) for name in ("clip_id", "camera", "t_ns", "width", "height", "uri")}),
        "media": pa.table({name: pa.nulls(0) for name in ("camera", "first_t_ns", "last_t_ns", "uri")}),
    }
    tables = DriveTables(
        clips=clips(),
        signals=signals(),
        samples=samples(),
        streams=TABLES["bronze.sensor_streams"].empty(),
        clock_models=TABLES["silver.clock_models"].empty(),
        tracks=pa.table({"clip_id": ["d-0001"] * 7}),
        **nothing,
    )
    return replace(tables, **changes)


def catalogued(tables: DriveTables | None = None, rules: CatalogRules = RULES) -> dict[str, list[dict[str, Any]]]:
    """Rows of the catalog's tables."""
    origin = Origin(DRIVE, "lake://silver.signals/2024-05-01/north/d?sha256=0", "v" * 64)
    found = catalogue(origin, tables or drive_tables(), rules, grid_ms=100)
    return {name: table.to_pylist() for name, table in found.items()}
