"""Operators of workflow 1 beside `register.py`: the landing quarantine and the daily roll-up over all depots."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fleet_assets.provenance.fingerprints import Operator
from fleet_assets.provenance.restate import UnitTask

REFUSE: Final = Operator(
    name="telemetry_and_bulk_ingestion.refuse",
    version=1,
    inputs=(),
    outputs=("landing.quarantine",),
)
SUMMARISE_DAY: Final = Operator(
    name="telemetry_and_bulk_ingestion.summarise_day",
    version=1,
    inputs=("bronze.drives", "bronze.quarantine", "silver.signals"),
    outputs=("ops.daily_coverage",),
    policy={"canonical_signals": ("grid_ms",)},
    libraries=("numpy",),
)
FLEET: Final = "*"


def refuse(task: UnitTask) -> Mapping[str, pa.Table]:
    """Rows of `landing.quarantine`: uploads that have no partition."""
    return {"landing.quarantine": task.tables["landing.quarantine"].from_rows(list(task.context["refused"]))}


def summarise_day(task: UnitTask) -> Mapping[str, pa.Table]:
    """Rows of `ops.daily_coverage` of one day: one per depot that reported, and one for the fleet."""
    entries: Mapping[str, Sequence[Any]] = task.context["entries"]

    def rows(name: str, columns: list[str]) -> pa.Table:
        return task.files.read(task.tables[name], entries[name], columns)

    drives = rows("bronze.drives", ["drive_id", "depot"])
    held = rows("bronze.quarantine", ["drive_id", "depot", "scope", "released_by"])
    held = held.filter(pc.and_(pc.equal(held["scope"], "drive"), pc.is_null(held["released_by"])))
    signals = rows("silver.signals", ["depot", "speed_mps"])
    grid_s = task.policies["canonical_signals"]["grid_ms"] / 1000
    depots = sorted(set(drives["depot"].to_pylist()))
    summary = [
        _summary(task.unit, depot, len(depots), drives=drives, held=held, signals=signals, grid_s=grid_s)
        for depot in ([*depots, FLEET] if depots else [])
    ]
    return {"ops.daily_coverage": task.tables["ops.daily_coverage"].from_rows(summary)}


def _summary(
    day: str, depot: str, reported: int, *, drives: pa.Table, held: pa.Table, signals: pa.Table, grid_s: float
) -> dict[str, Any]:
    def of(data: pa.Table) -> pa.Table:
        return data if depot == FLEET else data.filter(pc.equal(data["depot"], depot))

    speed = of(signals)["speed_mps"].to_numpy(zero_copy_only=False).astype(np.float64)
    return {
        "day": day,
        "depot": depot,
        "depots_reported": reported,
        "drives": of(drives).num_rows,
        "quarantined": len(set(of(held)["drive_id"].to_pylist())),
        "hours": round(of(signals).num_rows * grid_s / 3600, 6),
        "distance_km": round(float(np.nansum(np.abs(speed))) * grid_s / 1000, 6),
    }
