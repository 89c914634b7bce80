"""Where on a vehicle its licence plate is, and which part of a vehicle to cover when nobody can read it.

Here belongs geometry of vehicles. A plate of twenty pixels is too small for a reader, but it hangs where plates hang:
so a small vehicle's plate is taken to be anywhere in that zone; on a large one lines of text are looked for, and the
zone stands in where there is none.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fleet_assets.perception.boxes import Detections, clipped, detections
from fleet_assets.perception.preprocessing import Picture

NAMES = ("plate",)


@dataclass(frozen=True, slots=True)
class ZoneRule:
    """Where plates hang, as shares of a vehicle's box, and from which size on they are looked for.

    Attributes:
        left: First column.
        right: Last column.
        top: First row.
        bottom: Last row.
        least_vehicle_px: Longer side of a vehicle from which its plate may be readable at all.
        text_from_px: Longer side from which lines of text are looked for.
        most_line_width: Of the vehicle's width; a wider line is an inscription, or a shadow.
        most_line_height: Of its height.
    """

    left: float
    right: float
    top: float
    bottom: float
    least_vehicle_px: float
    text_from_px: float
    most_line_width: float
    most_line_height: float


def zones(vehicles: NDArray[np.float32], rule: ZoneRule) -> NDArray[np.float32]:
    """The zone of each vehicle, float32[n, 4]."""
    extent = vehicles[:, 2:] - vehicles[:, :2]
    low = vehicles[:, :2] + extent * np.array([rule.left, rule.top], dtype=np.float32)
    high = vehicles[:, :2] + extent * np.array([rule.right, rule.bottom], dtype=np.float32)
    return np.concatenate([low, high], axis=1)


def plates_of(
    picture: Picture, vehicles: Detections, lines: Callable[[Picture, NDArray[np.float32]], Detections], rule: ZoneRule
) -> Detections:
    """Boxes that hold the plates of vehicles.

    Args:
        picture: uint8[h, w, 3].
        vehicles: Vehicles in it.
        lines: Lines of text in a picture, given the box of one vehicle.
        rule: Where plates hang.

    Returns:
        Lines of text with their own score where a large vehicle has any that may be its plate, else zones with the
        vehicle's score.
    """
    longer = (vehicles.boxes[:, 2:] - vehicles.boxes[:, :2]).max(axis=1, initial=0.0)
    seen = vehicles[longer >= rule.least_vehicle_px]
    areas = zones(seen.boxes, rule)
    boxes: list[NDArray[np.float32]] = []
    scores: list[NDArray[np.float32]] = []
    for row, vehicle in enumerate(seen.boxes):
        extent = vehicle[2:] - vehicle[:2]
        if extent.max() >= rule.text_from_px:
            most = extent * np.array([rule.most_line_width, rule.most_line_height], dtype=np.float32)
            found = lines(picture, vehicle)
            found = found[(found.boxes[:, 2:] - found.boxes[:, :2] <= most).all(axis=1)]
            if len(found):
                boxes.append(found.boxes)
                scores.append(found.scores)
                continue
        boxes.append(areas[row : row + 1])
        scores.append(seen.scores[row : row + 1])
    if not boxes:
        return detections([], [], [], NAMES)
    every = np.concatenate(scores)
    whole = clipped(np.concatenate(boxes), picture.shape[1], picture.shape[0])
    return detections(whole, every, np.zeros(len(every)), NAMES)
