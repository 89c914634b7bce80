"""Writes what really happened beside a drive: Parquet for what changes with time, JSON for the rest.

The folder lies outside the landing zone, and nothing of the pipeline reads it. Files:

- ``drive.json``: plan with its shift, vehicle's measures, conditions, events, requests that no event came of, recorder
  and sensor clocks, latencies and errors, faults with time and size, uploads.
- ``ego.parquet``: the ego vehicle at 100 Hz, with map edge and lane at each instant.
- ``tracks.parquet``: all other road users at 20 Hz. ``agents.parquet``: what they are.
- ``lights.parquet``: changes of the traffic lights along the route.
- ``clocks.parquet``: once a second, what the recorder's and each sensor's clock showed.
- ``camera_*.parquet``: what is in the pictures, see `picture_truth.py`.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from services.fleet_simulator.drive_truth import (
    AGENT_STEP_NS,
    EVENT_UNITS,
    NS_PER_S,
    DrivePlan,
    DriveTruth,
    Ego,
    LightSeries,
    Track,
)
from services.fleet_simulator.faults import uploads
from services.fleet_simulator.recorder_faults import RECORDER
from services.fleet_simulator.recording import Recorded
from services.fleet_simulator.sensors.clock import Clock

if TYPE_CHECKING:
    import pyarrow as pa

SCHEMA: Final = "fleet.simulated_truth/v1"
DRIVE: Final = "drive.json"


def write_truth(folder: Path, truth: DriveTruth, recorded: Recorded) -> None:
    """Write the truth of one drive; equal arguments give equal bytes.

    Args:
        folder: Where to; made when it is not there.
        truth: What happened.
        recorded: What the recording made of it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    document = drive_document(truth, recorded)
    (folder / DRIVE).write_text(json.dumps(document, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    tables = {
        "ego": ego_table(truth.ego),
        "tracks": tracks_table(truth),
        "agents": agents_table(truth.tracks),
        "lights": lights_table(truth.lights),
        "clocks": clocks_table(truth, {RECORDER: recorded.clock, **recorded.clocks}),
    }
    for name, table in tables.items():
        _write(table, folder / f"{name}.parquet")


def drive_document(truth: DriveTruth, recorded: Recorded) -> dict[str, Any]:
    """All that does not change from step to step."""
    return {
        "schema": SCHEMA,
        "plan": _plan(truth.plan),
        "network_digest": truth.network_digest,
        "shape": asdict(truth.shape),
        "start_ns": int(truth.ego.t_ns[0]),
        "end_ns": int(truth.ego.t_ns[-1]),
        "conditions": [asdict(one) for one in truth.conditions],
        "events": [{**asdict(event), "unit": EVENT_UNITS[event.kind]} for event in truth.events],
        "unmet_requests": [asdict(request) for request in truth.unmet()],
        "uploads": [asdict(step) for step in uploads(truth.plan)],
        **recorded.as_json(),
    }


def _plan(plan: DrivePlan) -> dict[str, Any]:
    plain = {
        name: getattr(plan, name)
        for name in ("drive_id", "vehicle_id", "depot", "seed", "start_ns", "duration_s", "adas", "from_gate")
    }
    return {
        **plain,
        "repeats": None if plan.repeats is None else asdict(plan.repeats),
        "sensors": list(plan.sensors),
        "events": [asdict(event) for event in plan.events],
        "faults": [fault.as_json() for fault in plan.faults],
        "shift": plan.shift.as_json(),
    }


def ego_table(ego: Ego) -> "pa.Table":
    """The ego vehicle, one row per step."""
    import pyarrow as pa

    return pa.table({one.name: getattr(ego, one.name) for one in fields(ego)})


def tracks_table(truth: DriveTruth) -> "pa.Table":
    """Other road users, one row per step and road user, by road user and time."""
    import pyarrow as pa

    start_ns, tracks = int(truth.ego.t_ns[0]), truth.tracks

    def joined(arrays: Sequence[Any], kind: type) -> Any:
        return np.concatenate([*arrays, np.empty(0, kind)]).astype(kind)

    columns = {
        "agent_id": joined([np.full(len(track.x_mm), track.agent_id) for track in tracks], np.int32),
        "t_ns": joined([start_ns + np.arange(t.first_step, t.end_step) * AGENT_STEP_NS for t in tracks], np.int64),
    }
    for name, kind in (
        ("x_mm", np.int32),
        ("y_mm", np.int32),
        ("yaw_mrad", np.int32),
        ("speed_mmps", np.int32),
        ("lamps", np.uint8),
    ):
        columns[name] = joined([getattr(track, name) for track in tracks], kind)
    flat = [np.zeros(len(track.x_mm), np.int32) if track.z_mm is None else track.z_mm for track in tracks]
    columns["z_mm"] = joined(flat, np.int32)
    trailing = [track.yaw_mrad if track.trailer_yaw_mrad is None else track.trailer_yaw_mrad for track in tracks]
    rigid = joined([np.full(len(track.x_mm), track.trailer_yaw_mrad is None) for track in tracks], np.bool_)
    columns["trailer_yaw_mrad"] = pa.array(joined(trailing, np.int32), mask=rigid)
    return pa.table(columns)


def agents_table(tracks: Sequence[Track]) -> "pa.Table":
    """Other road users, one row each."""
    import pyarrow as pa

    numbers = ("agent_id", "length_mm", "width_mm", "height_mm", "look", "first_step", "hitch_mm", "trailer_mm")
    columns: dict[str, Any] = {name: pa.array([getattr(t, name) for t in tracks], pa.int64()) for name in numbers}
    columns["kind"] = pa.array([track.kind for track in tracks], pa.string())
    columns["parked"] = pa.array([track.parked for track in tracks], pa.bool_())
    return pa.table(columns)


def lights_table(lights: Sequence[LightSeries]) -> "pa.Table":
    """Traffic lights, one row per change."""
    import pyarrow as pa

    rows = [
        {
            "node_id": light.node_id,
            "edge_id": light.edge_id,
            "x_mm": light.x_mm,
            "y_mm": light.y_mm,
            "yaw_mrad": light.yaw_mrad,
            "t_ns": int(t_ns),
            "signal": int(signal),
        }
        for light in lights
        for t_ns, signal in zip(light.change_ns, light.signal, strict=True)
    ]
    names = ("node_id", "edge_id", "x_mm", "y_mm", "yaw_mrad", "t_ns", "signal")
    return pa.Table.from_pylist(rows, schema=pa.schema([(name, pa.int64()) for name in names]))


def clocks_table(truth: DriveTruth, clocks: Mapping[str, Clock]) -> "pa.Table":
    """What each clock showed, once a second of true time."""
    import pyarrow as pa

    t_ns = np.arange(int(truth.ego.t_ns[0]), int(truth.ego.t_ns[-1]) + 1, NS_PER_S, dtype=np.int64)
    return pa.table({"t_ns": t_ns, **{name: clock.read(t_ns) for name, clock in sorted(clocks.items())}})


def _write(table: "pa.Table", path: Path) -> None:
    import pyarrow.parquet as pq

    pq.write_table(table, path, compression="zstd", compression_level=1, store_schema=False)
