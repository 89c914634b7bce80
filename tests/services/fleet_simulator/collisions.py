"""An independent check that bodies do not overlap: separating axes of rectangles, from the written truth alone."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from services.fleet_simulator.drive_truth import EGO_STEPS_PER_AGENT_STEP, DriveTruth

Box = tuple[int, NDArray[np.float64]]
"""Number of the agent (0: ego) and east, north, heading, half length, half width (mm, rad) per step, NaN when away."""


def boxes(truth: DriveTruth) -> list[Box]:
    """Everybody's footprint at every step of the agents."""
    ego, shape = truth.ego, truth.shape
    at = slice(None, None, EGO_STEPS_PER_AGENT_STEP)
    yaw = ego.yaw_mrad[at] / 1000.0
    x = ego.x_mm[at] + shape.centre_ahead_mm * np.cos(yaw)
    y = ego.y_mm[at] + shape.centre_ahead_mm * np.sin(yaw)
    size = (shape.length_mm / 2.0, shape.width_mm / 2.0)
    found: list[Box] = [(0, np.stack([x, y, yaw, *(np.full(len(x), half) for half in size)], axis=1))]
    for track in truth.tracks:
        rows = np.full((len(x), 5), np.nan)
        part = rows[track.first_step : track.end_step]
        part[:, 0], part[:, 1], part[:, 2] = track.x_mm, track.y_mm, track.yaw_mrad / 1000.0
        part[:, 3], part[:, 4] = track.length_mm / 2.0, track.width_mm / 2.0
        found.append((track.agent_id, rows))
    return found


def _apart(one: NDArray[np.float64], two: NDArray[np.float64]) -> NDArray[np.float64]:
    """Distance along the best of the four separating axes, negative where the rectangles overlap."""
    gap = two[:, :2] - one[:, :2]
    best = np.full(len(one), -np.inf)
    for yaw in (one[:, 2], one[:, 2] + np.pi / 2, two[:, 2], two[:, 2] + np.pi / 2):
        axis = np.stack([np.cos(yaw), np.sin(yaw)], axis=1)
        reach = sum(
            half * np.abs(np.cos(box[:, 2] + turn - yaw))
            for box in (one, two)
            for half, turn in ((box[:, 3], 0.0), (box[:, 4], np.pi / 2))
        )
        best = np.maximum(best, np.abs((gap * axis).sum(axis=1)) - reach)
    return best


def overlaps(truth: DriveTruth, *, ego_only: bool = False) -> Iterator[tuple[int, int, int, float]]:
    """(agent, agent, step, depth in mm) of the deepest overlap of every pair that overlaps."""
    everybody = boxes(truth)
    for index, (first, one) in enumerate(everybody[:1] if ego_only else everybody):
        for second, two in everybody[index + 1 :]:
            near = np.flatnonzero(np.hypot(*(one[:, :2] - two[:, :2]).T) < 20_000)
            if len(near):
                apart = _apart(one[near], two[near])
                if apart.min() < 0.0:
                    yield first, second, int(near[apart.argmin()]), float(apart.min())
