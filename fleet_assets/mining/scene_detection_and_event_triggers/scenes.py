"""Scenes of a drive: rows of `gold.scene_segments`.

Here belong silences, the numbers that tell scenes apart, and what a scene is called. The search for changes is in
`change_points.py`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fleet_assets.mining.scene_detection_and_event_triggers.change_points import change_points
from fleet_assets.tables.gold import SCENE_SEGMENTS

Floats = NDArray[np.float64]
_NS_PER_MS: Final = 1_000_000
_MS_PER_S: Final = 1000


@dataclass(frozen=True, slots=True, eq=False)
class Motion:
    """What scenes are told apart by, on the grid.

    Attributes:
        t_ns: int64[n], grid instants in order.
        speed: float64[n], NaN where missing.
        yaw_rate: float64[n].
        lead: float64[n], distance to who is ahead, NaN for nobody.
        clip_ids: Clip of each instant.
    """

    t_ns: NDArray[np.int64]
    speed: Floats
    yaw_rate: Floats
    lead: Floats
    clip_ids: pa.ChunkedArray


def stretches(motion: Motion, step_ns: int, bridge_ns: int) -> list[NDArray[np.int64]]:
    """Indices of samples with a speed, cut at silences that are not shorter than what is bridged.

    Args:
        motion: The drive.
        step_ns: Spacing of the grid.
        bridge_ns: A shorter silence is none.
    """
    known = np.flatnonzero(~np.isnan(motion.speed))
    if not len(known):
        return []
    silent_ns = np.diff(motion.t_ns[known]) - step_ns
    return np.split(known, np.flatnonzero(silent_ns >= bridge_ns) + 1)


def _means(values: Floats, places: NDArray[np.int64], count: int) -> Floats:
    """Mean by place, NaN where a place has no value."""
    known = ~np.isnan(values)
    totals = np.bincount(places[known], weights=values[known], minlength=count)
    counts = np.bincount(places[known], minlength=count)
    return np.where(counts > 0, totals, np.nan) / np.maximum(counts, 1)


def _filled(values: Floats, otherwise: float = 0.0) -> Floats:
    """The last known value where one is missing."""
    known = np.where(np.isnan(values), -1, np.arange(len(values)))
    np.maximum.accumulate(known, out=known)
    return np.where(known < 0, otherwise, values[np.maximum(known, 0)])


def _features(motion: Motion, rows: NDArray[np.int64], every_ns: int, steps: Mapping[str, float]) -> tuple[Floats, Any]:
    """Points at even spacing: the four numbers in steps, and the point that each row belongs to."""
    places = (motion.t_ns[rows] - motion.t_ns[rows[0]]) // every_ns
    count = int(places[-1]) + 1
    speed = _filled(_means(motion.speed[rows], places, count))
    acceleration = np.gradient(speed) * (_MS_PER_S * _NS_PER_MS / every_ns) if count > 1 else np.zeros(1)
    yaw_rate = _filled(_means(motion.yaw_rate[rows], places, count))
    lead = _filled(_means((~np.isnan(motion.lead[rows])).astype(np.float64), places, count))
    columns = zip((speed, acceleration, yaw_rate, lead), steps.values(), strict=True)
    return np.column_stack([column / step for column, step in columns]), places


_BOUNDS: Final = {
    "most_speed_mps": ("speed", -1.0),
    "least_speed_mps": ("speed", 1.0),
    "least_yaw_rate_radps": ("turn", 1.0),
    "most_acceleration_mps2": ("acceleration", -1.0),
    "least_acceleration_mps2": ("acceleration", 1.0),
    "least_lead_share": ("lead", 1.0),
}


def _kind(measures: Mapping[str, float], policy: Mapping[str, Any]) -> str:
    """The first kind all of whose bounds are kept."""
    for kind, bounds in policy["kinds"].items():
        kept = (
            sign * measures[name] >= sign * bounds[rule] for rule, (name, sign) in _BOUNDS.items() if rule in bounds
        )
        if all(kept):
            return str(kind)
    return str(policy["otherwise"])


def _mean(values: Floats) -> float | None:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else None


def _row(motion: Motion, rows: NDArray[np.int64], step_ns: int, policy: Mapping[str, Any]) -> dict[str, Any]:
    """One scene by the rows that it consists of."""
    start_ns, end_ns = int(motion.t_ns[rows[0]]), int(motion.t_ns[rows[-1]]) + step_ns
    seconds = max(end_ns - start_ns - step_ns, step_ns) / (_MS_PER_S * _NS_PER_MS)
    speed, turn = _mean(motion.speed[rows]), _mean(motion.yaw_rate[rows])
    acceleration = float(motion.speed[rows[-1]] - motion.speed[rows[0]]) / seconds
    lead = float((~np.isnan(motion.lead[rows])).mean())
    measures = {"speed": speed or 0.0, "turn": abs(turn or 0.0), "acceleration": acceleration, "lead": lead}
    return {
        "clip_id": motion.clip_ids[int(rows[0])].as_py(),
        "start_ns": start_ns,
        "end_ns": end_ns,
        "kind": _kind(measures, policy),
        "samples": len(rows),
        "bridged_ns": end_ns - start_ns - len(rows) * step_ns,
        "speed_mean_mps": speed,
        "acceleration_mean_mps2": acceleration,
        "yaw_rate_mean_radps": turn,
        "lead_share": lead,
    }


def _unlikeness(row: Mapping[str, Any], before: Mapping[str, Any] | None, steps: Mapping[str, float]) -> float:
    """Largest difference of means in steps, from 0 towards 1; 0 for the first scene of a stretch."""
    if before is None:
        return 0.0
    names = ("speed_mean_mps", "acceleration_mean_mps2", "yaw_rate_mean_radps", "lead_share")
    apart = max(
        abs(float(row[n] or 0.0) - float(before[n] or 0.0)) / step
        for n, step in zip(names, steps.values(), strict=True)
    )
    return apart / (1.0 + apart)


def scene_rows(motion: Motion, drive: Mapping[str, Any], step_ms: int, policy: Mapping[str, Any]) -> pa.Table:
    """Rows of `gold.scene_segments` of one drive.

    Scenes cover every sample with a speed once. A stretch between two silences that is shorter than the shortest scene
    is one scene; every other scene is between the shortest and the longest.

    Args:
        motion: The drive.
        drive: Its row of `bronze.drives`.
        step_ms: Spacing of the grid.
        policy: Key `scenes` of the document `events`.
    """
    step_ns, every_ns = step_ms * _NS_PER_MS, policy["every_ms"] * _NS_PER_MS
    shortest, longest = (round(policy[name] * _MS_PER_S / policy["every_ms"]) for name in ("min_s", "max_s"))
    steps = {name: policy["steps"][name] for name in ("speed_mps", "acceleration_mps2", "yaw_rate_radps", "lead")}
    found: list[dict[str, Any]] = []
    for rows in stretches(motion, step_ns, policy["bridge_ms"] * _NS_PER_MS):
        points, places = _features(motion, rows, every_ns, steps)
        ends = np.searchsorted(places, change_points(points, shortest, longest, policy["penalty"]))
        before = None
        for part in np.split(rows, ends[:-1]):
            row = _row(motion, part, step_ns, policy)
            found.append(
                {
                    **{key: drive[key] for key in ("drive_id", "day", "depot")},
                    "scene_id": f"{drive['drive_id']}-scene-{row['start_ns']}",
                    **row,
                    "score": _unlikeness(row, before, steps),
                }
            )
            before = row
    return SCENE_SEGMENTS.from_rows(found)
