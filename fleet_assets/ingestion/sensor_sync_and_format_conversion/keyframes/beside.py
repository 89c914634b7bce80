"""What a drive has in time: the instants that the time-skew gate compares, and how sure they are.

Here belongs which rows of the silver tables count. What follows from the instants is in `time_skew.py`.
"""

from collections.abc import Mapping, Sequence
from functools import reduce
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fleet_assets.ingestion.sensor_sync_and_format_conversion.keyframes.selection import NS_PER_MS
from fleet_assets.ingestion.sensor_sync_and_format_conversion.keyframes.time_skew import (
    DriveInstants,
    Instants,
    Timed,
)
from fleet_assets.policy.vehicles import SensorSpec, VehicleSpec

_LIDAR: Final = "lidar"


def drive_instants(  # noqa: PLR0917 - four tables and what they are read by
    keyframes: pa.Table,
    sweeps: pa.Table,
    streams: pa.Table,
    signals: pa.Table,
    specs: Mapping[str, VehicleSpec],
    limits: Mapping[str, Any],
) -> dict[str, DriveInstants]:
    """Instants of every drive that has keyframes.

    Args:
        keyframes: Rows of `silver.keyframes` of one partition.
        sweeps: Rows of `silver.lidar_sweeps`.
        streams: Rows of `bronze.sensor_streams`; a lidar that sent nothing is not asked for sweeps.
        signals: Rows of `silver.signals`.
        specs: Vehicle spec by drive; of a drive that has none there is nothing that its keyframes could be judged by.
        limits: Block `time_skew` of the policy `keyframes`.
    """
    found = {}
    for drive_id in sorted(set(keyframes["drive_id"].to_pylist())):
        if drive_id not in specs:
            found[drive_id] = _unknown(_of(drive_id, keyframes))
            continue
        sensors = specs[drive_id].sensors
        heard = _of(drive_id, streams.filter(pc.greater(streams["messages"], 0)))["sensor"].to_pylist()
        lidars = {name for name, sensor in sensors.items() if sensor.kind == _LIDAR and name in heard}
        givers = [sensor for sensor in sensors.values() if set(limits["position"]) & sensor.signals.keys()]
        shown, stated = _shown(_of(drive_id, keyframes), sensors, round(limits["max_stamp_ms"] * NS_PER_MS))
        found[drive_id] = DriveInstants(
            shown,
            _turned(_of(drive_id, sweeps), sensors) if lidars else None,
            _placed(_of(drive_id, signals), limits["position"], givers) if givers else None,
            stated,
        )
    return found


def _unknown(keyframes: pa.Table) -> DriveInstants:
    t_ns, nothing = keyframes["t_ns"].to_numpy().astype(np.int64), np.empty(0, np.int64)
    others = Timed(nothing, nothing, nothing)
    return DriveInstants(Timed(t_ns, t_ns, np.zeros(len(t_ns), np.int64)), others, others)


def _of(drive_id: str, table: pa.Table) -> pa.Table:
    return table.filter(pc.equal(table["drive_id"], drive_id))


def _latency_unknown(names: pa.ChunkedArray, sensors: Mapping[str, SensorSpec]) -> Instants:
    return np.array([sensors[name].latency_uncertainty_ns for name in names.to_pylist()], np.int64)


def _shown(keyframes: pa.Table, sensors: Mapping[str, SensorSpec], most_ns: int) -> tuple[Timed, int]:
    """Keyframes, and how many state when they were taken: there the camera is believed."""
    t_ns = keyframes["t_ns"].to_numpy().astype(np.int64)
    stamp_ns = pc.coalesce(keyframes["stamp_ns"], keyframes["t_ns"]).to_numpy().astype(np.int64)
    # Stamps that are far away are of a clock that is not set, and say nothing.
    believed = pc.is_valid(keyframes["stamp_ns"]).to_numpy() & (np.abs(stamp_ns - t_ns) <= most_ns)
    true_ns = np.where(believed, stamp_ns, t_ns)
    return Timed(t_ns, true_ns, _latency_unknown(keyframes["camera"], sensors)), int(believed.sum())


def _turned(sweeps: pa.Table, sensors: Mapping[str, SensorSpec]) -> Timed:
    middles = pc.add(sweeps["t_ns"], pc.divide(pc.subtract(sweeps["end_ns"], sweeps["t_ns"]), 2))
    t_ns = middles.to_numpy().astype(np.int64)
    return Timed(t_ns, t_ns, _latency_unknown(sweeps["sensor"], sensors))


def _placed(signals: pa.Table, position: Sequence[str], givers: Sequence[SensorSpec]) -> Timed:
    """Instants at which all signals of a position are there; which giver they are of is not known: the worst counts."""
    there = reduce(pc.and_, [pc.is_valid(signals[name]) for name in position])
    t_ns = signals.filter(there)["t_ns"].to_numpy().astype(np.int64)
    return Timed(t_ns, t_ns, np.full(len(t_ns), max(sensor.latency_uncertainty_ns for sensor in givers), np.int64))
