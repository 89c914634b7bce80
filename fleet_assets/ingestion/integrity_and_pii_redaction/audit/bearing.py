"""Whether a hit lies where somebody would have his face: the proportions of a body against the size of the hit. Pure.

A detector that sees a person somewhere around a hit does not say that the hit is his face. A face's hit is about as
wide as a head is high, 0.13 of the stature (Drillis and Contini, Body Segment Parameters, 1966: chin at 0.870 of it,
eyes at 0.936, shoulders 0.259 wide), so that a body's lengths are known in widths of the hit: two across the shoulders,
0.7 from the crown to the middle of the face.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray


def around(boxes: NDArray[np.float32], hit: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Which boxes, float32[n, 4], have the middle of a hit, float32[4], in them: bool[n]."""
    middle = (hit[:2] + hit[2:]) / 2.0
    return np.asarray((boxes[:, :2] <= middle).all(axis=1) & (middle <= boxes[:, 2:]).all(axis=1))


def bearing(boxes: NDArray[np.float32], hit: NDArray[np.float32], rule: Mapping[str, float]) -> NDArray[np.bool_]:
    """Which of the boxes around a hit may be that of its bearer.

    Args:
        boxes: float32[n, 4] of what is seen around the hit, left, top, right, bottom.
        hit: float32[4].
        rule: Key `bearer` of a detector of the policy `audit`, in widths of the hit. `least_size`: width and height of
            the bearer. `most_above`: how far his upper end lies above the middle of the hit.

    Returns:
        bool[n].
    """
    width = hit[2] - hit[0]
    is_large = (boxes[:, 2:] - boxes[:, :2] >= rule["least_size"] * width).all(axis=1)
    is_head = (hit[1] + hit[3]) / 2.0 - boxes[:, 1] <= rule["most_above"] * width
    return np.asarray(is_large & is_head)
