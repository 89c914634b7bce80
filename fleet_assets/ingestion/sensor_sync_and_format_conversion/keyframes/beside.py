"""What a drive has beside its keyframes in time: the instants that the time-skew gate compares them with.

Here belongs which rows of the silver tables count. What follows from the instants is in `time_skew.py`.
"""

from collections.abc import Mapping, Sequence
from functools import reduce
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fleet_assets.ingestion.sensor_sync_and_format_conversion.keyframes.time_skew import DriveInstants, Others
from fleet_assets.policy.vehicles import SensorSpec, VehicleSpec

_LIDAR: Final = "lidar"


def drive_instants(  # noqa: PLR0917 - four tables and what they are read by
    keyframes: pa.Table,
    sweeps: pa.Table,
    streams: pa.Table,
    signals: pa.Table,
    specs: Mapping[str, VehicleSpec],
    position: Sequence[str],
) -> dict[str, DriveInstants]:
    """Instants of every drive that has keyframes.

    Args:
        keyframes: Rows of `silver.keyframes` of one partition.
        sweeps: Rows of `silver.lidar_sweeps`.
        streams: Rows of `bronze.sensor_streams`; a lidar that sent nothing is not asked for sweeps.
        signals: Rows of `silver.signals`.
        specs: Vehicle spec by drive.
        position: Canonical signals that make a position.
    """
    found = {}
    for drive_id in sorted(set(keyframes["drive_id"].to_pylist())):
        own = {name: _of(drive_id, table) for name, table in (("keyframes", keyframes), ("sweeps", sweeps))}
        spec = specs[drive_id]
        cameras = [spec.sensors[name] for name in sorted(set(own["keyframes"]["camera"].to_pylist()))]
        heard = _of(drive_id, streams.filter(pc.greater(streams["messages"], 0)))["sensor"].to_pylist()
        lidars = [sensor for name, sensor in spec.sensors.items() if sensor.kind == _LIDAR and name in heard]
        givers = [sensor for sensor in spec.sensors.values() if set(position) & sensor.signals.keys()]
        middles = pc.add(
            own["sweeps"]["t_ns"], pc.divide(pc.subtract(own["sweeps"]["end_ns"], own["sweeps"]["t_ns"]), 2)
        )
        found[drive_id] = DriveInstants(
            own["keyframes"]["t_ns"].to_numpy(),
            _others(middles.to_numpy(), cameras, lidars) if lidars else None,
            _others(_placed(_of(drive_id, signals), position), cameras, givers) if givers else None,
        )
    return found


def _of(drive_id: str, table: pa.Table) -> pa.Table:
    return table.filter(pc.equal(table["drive_id"], drive_id))


def _placed(signals: pa.Table, position: Sequence[str]) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Instants at which all signals of a position are there."""
    there = reduce(pc.and_, [pc.is_valid(signals[name]) for name in position])
    instants: np.ndarray[tuple[int], np.dtype[np.int64]] = signals.filter(there)["t_ns"].to_numpy()
    return instants


def _others(
    t_ns: np.ndarray[tuple[int], np.dtype[np.int64]], cameras: Sequence[SensorSpec], sensors: Sequence[SensorSpec]
) -> Others:
    """Instants with what the spec does not know of the latencies: the worst camera's and the worst sensor's."""
    worst = [max(sensor.latency_uncertainty_ns for sensor in group) for group in (cameras, sensors)]
    return Others(t_ns, sum(worst))
