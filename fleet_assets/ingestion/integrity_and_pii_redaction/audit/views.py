"""What the auditor shows of a hit to its detectors and to people: the hit with its surroundings, scaled and shifted."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from fleet_assets.perception.preprocessing import Picture
from fleet_assets.perception.runtime import single_threaded_opencv

_VIEW_MARGIN = 1.0
"""What a view shows around the hit on every side, in its sizes."""


def view_of(
    picture: Picture, box: NDArray[np.float32], view: Mapping[str, float]
) -> tuple[Picture, NDArray[np.float32]]:
    """A hit and its surroundings, scaled and shifted.

    Args:
        picture: uint8[h, w, 3].
        box: float32[4] of the hit.
        view: `width_px` of the hit in the view; `right`, `down`: how far the view is shifted, in sizes of the hit.

    Returns:
        uint8[a, b, 3] and the middle of the hit in it, float32[2].
    """
    cv2 = single_threaded_opencv()
    size = box[2:] - box[:2]
    shift = size * np.array([view["right"], view["down"]], dtype=np.float32)
    half = size * np.float32(0.5 + _VIEW_MARGIN)
    scale = np.float32(view["width_px"] / float(size[0]))
    corner = (box[:2] + box[2:]) / 2.0 + shift - half
    matrix = np.array([[scale, 0, -corner[0] * scale], [0, scale, -corner[1] * scale]], dtype=np.float32)
    extent = tuple(int(value) for value in np.ceil(2.0 * half * scale))
    seen = cv2.warpAffine(picture, matrix, extent, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(seen, dtype=np.uint8), ((half - shift) * scale).astype(np.float32)


def crop_of(picture: Picture, box: Sequence[float], margin: float) -> Picture:
    """The hit with some of its surroundings, for people to look at.

    Args:
        picture: uint8[h, w, 3].
        box: Left, top, right, bottom.
        margin: Share of its size on every side.
    """
    height, width = picture.shape[:2]
    wide, high = (box[2] - box[0]) * margin, (box[3] - box[1]) * margin
    left, top = max(0, int(box[0] - wide)), max(0, int(box[1] - high))
    right, bottom = min(width, int(np.ceil(box[2] + wide))), min(height, int(np.ceil(box[3] + high)))
    return np.ascontiguousarray(picture[top:bottom, left:right])


def line_of(picture: Picture, box: NDArray[np.float32], view: Mapping[str, float]) -> Picture:
    """A line of text with hardly anything around it.

    Args:
        picture: uint8[h, w, 3].
        box: float32[4] of the line.
        view: `margin`: what is shown on every side, in heights of the line; `right`, `down`: how far the view is
            shifted, in sizes of the line.

    Returns:
        uint8[a, b, 3], at least one pixel.
    """
    height, width = picture.shape[:2]
    size = box[2:] - box[:2]
    shift = size * np.array([view["right"], view["down"]], dtype=np.float32)
    margin = np.float32(view["margin"]) * size[1]
    left, top = (int(value) for value in np.clip(np.floor(box[:2] + shift - margin), 0, [width - 1, height - 1]))
    right, bottom = (int(value) for value in np.ceil(box[2:] + shift + margin))
    return np.ascontiguousarray(picture[top : max(bottom, top + 1), left : max(right, left + 1)])
