"""Who truly cut in, and until when: the simulator's events, held against true bodies and the way that was driven.

The simulator says who drives ahead by its own bookkeeping of lanes: somebody is the leader of a lane until the vehicle
behind has left that lane. What a cut-in is to whoever sits in the vehicle is another matter: somebody comes over to it,
not it to them, and is ahead as long as it is in the way that the vehicle goes on to drive.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

NS_PER_S: Final = 1_000_000_000
EGO_STEP_NS: Final = 10_000_000
AGENT_STEP_NS: Final = 50_000_000
GRID_NS: Final = 100_000_000
LONGEST_NS: Final = 3 * NS_PER_S
"""The event is the beginning of what the simulator tells; later it is following."""
OWN_MOVE_S, OWN_MOVE_M = 2.0, 1.6
"""Who moved over so far, half a lane, in the time before somebody is ahead, and farther than they, fell in behind."""
HALF_WAY_M: Final = 1.9
"""Whoever's middle is farther from the way than this, half of a car and of the vehicle, is beside it."""
WAY_S: Final = 10.0
"""So much of the way ahead is looked at."""
WAY_STEP: Final = 10
"""States of the vehicle from one point of its way to the next: 0.1 s."""
BEYOND_M: Final = 60.0
"""Where the vehicle stands at the end of its way, the way goes on straight for so long."""
Floats = NDArray[np.float64]


def cut_ins(folder: Path, events: Sequence[Mapping[str, Any]], ego: Any) -> list[tuple[int, int, float, bool]]:
    """Start, end (exclusive), distance as a share of what is near, and whether it is too short to be told.

    Args:
        folder: Truth of a drive.
        events: What the simulator tells of it.
        ego: Its true states.
    """
    t_ns, speed = ego["t_ns"].to_numpy(), ego["speed_mmps"].to_numpy() / 1e3
    moved_m, tracks, found = _moved_over(ego), pq.read_table(folder / "tracks.parquet"), []
    for event in events:
        if event["kind"] != "cut_in":
            continue
        own = tracks.filter(pc.equal(tracks["agent_id"], event["agent_id"]))
        if _fell_in(event["start_ns"], own, ego, moved_m):
            continue
        end_ns = min(event["end_ns"] + AGENT_STEP_NS, event["start_ns"] + LONGEST_NS)
        left_ns = _leaves(own, ego, event["start_ns"], end_ns)
        value = event["value"] / 1e3 / _near_m(event["start_ns"], t_ns, speed)
        found.append((event["start_ns"], left_ns, value, left_ns - event["start_ns"] <= GRID_NS + AGENT_STEP_NS))
    return found


def _leaves(track: Any, ego: Any, start_ns: int, end_ns: int) -> int:
    """When somebody who was in the vehicle's way is beside it again; the end where that is not before."""
    times, within = track["t_ns"].to_numpy(), False
    for row in np.flatnonzero((times >= start_ns) & (times < end_ns)).tolist():
        place = np.array([track["x_mm"][row].as_py(), track["y_mm"][row].as_py()]) / 1e3
        is_in = _away(place, _way(ego, int(times[row]))) <= HALF_WAY_M
        if within and not is_in:
            return int(times[row])
        within |= is_in
    return end_ns


def _way(ego: Any, from_ns: int) -> Floats:
    """The way that the vehicle really takes from an instant on, float64[n, 2], metres."""
    first = max(0, (from_ns - int(ego["t_ns"][0].as_py())) // EGO_STEP_NS)
    rows = slice(first, first + round(WAY_S * NS_PER_S / EGO_STEP_NS), WAY_STEP)
    points = np.stack([ego["x_mm"].to_numpy()[rows], ego["y_mm"].to_numpy()[rows]], axis=1) / 1e3
    last = min(first + round(WAY_S * NS_PER_S / EGO_STEP_NS), ego.num_rows) - 1
    yaw = ego["yaw_mrad"][last].as_py() / 1e3
    return np.vstack([points, points[-1] + BEYOND_M * np.array([np.cos(yaw), np.sin(yaw)])])


def _away(place: Floats, way: Floats) -> float:
    """Distance of a place from a way, metres."""
    begin, span = way[:-1], np.diff(way, axis=0)
    length = np.maximum((span**2).sum(axis=1), 1e-12)
    share = np.clip(((place - begin) * span).sum(axis=1) / length, 0.0, 1.0)
    return float(np.hypot(*(place - begin - share[:, None] * span).T).min())


def _near_m(start_ns: int, t_ns: NDArray[np.int64], speed: Floats) -> float:
    """The distance below which an entry is one, as the simulator has it: its share is the trigger's value."""
    at = min(int(np.searchsorted(t_ns, start_ns)), len(speed) - 1)
    return min(20.0, max(1.2 * float(speed[at]), 8.0))


def _moved_over(ego: Any) -> Floats:
    """How far the ego has moved to its left across the lanes since the drive began, metres."""
    steps = np.diff(ego["lane_offset_mm"].to_numpy(), prepend=ego["lane_offset_mm"][0].as_py()) / 1e3
    # Where it passes from lane to lane the offset leaps to the other side of the next one.
    steps[np.abs(steps) > 0.5] = 0.0  # noqa: PLR2004 - nobody moves so far in a hundredth of a second
    return np.cumsum(steps)


def _fell_in(start_ns: int, track: Any, ego: Any, moved_m: Floats) -> bool:
    """Whether the ego moved over behind somebody, who moved less over to it."""
    at = _row(ego, start_ns)
    before = max(at - round(OWN_MOVE_S * NS_PER_S / EGO_STEP_NS), 0)
    own_m = abs(float(moved_m[at] - moved_m[before]))
    return own_m >= OWN_MOVE_M and abs(_crossed(track, ego, moved_m, before, at)) < own_m


def _crossed(track: Any, ego: Any, moved_m: Floats, first: int, last: int) -> float:
    """How far somebody moved to the left across the lanes between two states of the ego, metres.

    Lanes lead where the ego drives when it is there, less what it moves across them itself.
    """
    times, begin = track["t_ns"].to_numpy(), int(ego["t_ns"][0].as_py())
    seen = np.flatnonzero((times >= begin + first * EGO_STEP_NS) & (times < begin + last * EGO_STEP_NS))
    ahead = slice(first, first + round(WAY_S * NS_PER_S / EGO_STEP_NS), WAY_STEP)
    way = np.stack([ego["x_mm"].to_numpy()[ahead], ego["y_mm"].to_numpy()[ahead]], axis=1) / 1e3
    speed = np.maximum(ego["speed_mmps"].to_numpy()[ahead] / 1e3, 1.0)
    leads = ego["yaw_mrad"].to_numpy()[ahead] / 1e3 - np.gradient(moved_m, EGO_STEP_NS / NS_PER_S)[ahead] / speed
    crossed_m = 0.0
    for row in seen.tolist():
        place = np.array([track["x_mm"][row].as_py(), track["y_mm"][row].as_py()]) / 1e3
        lead = leads[int(np.hypot(*(way - place).T).argmin())]
        turned = track["yaw_mrad"][row].as_py() / 1e3 - lead
        crossed_m += track["speed_mmps"][row].as_py() / 1e3 * np.sin(turned) * AGENT_STEP_NS / NS_PER_S
    return float(crossed_m)


def _row(ego: Any, t_ns: int) -> int:
    """The state of the ego at an instant."""
    return int(min(max(0, (t_ns - int(ego["t_ns"][0].as_py())) // EGO_STEP_NS), ego.num_rows - 1))
