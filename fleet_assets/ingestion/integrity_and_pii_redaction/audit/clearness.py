"""How much detail an area of a picture shows: what is covered for good shows next to none.

Here belongs one measure on pixels; the limit is in the policy `audit`.
"""

import numpy as np
from numpy.typing import NDArray

from fleet_assets.perception.preprocessing import Picture, grey
from fleet_assets.perception.runtime import single_threaded_opencv

_INNER = 0.7
"""Share of the area's width and height around its middle that is looked at: its rim shows what lies beside it."""


def clearness(picture: Picture, box: NDArray[np.float32]) -> float:
    """Mean strength of the second derivative of brightness in an area, grey levels per square pixel.

    A surface that is smooth, or made of a few large cells with smooth passages, has a value near 0 whatever its
    contrast; JPEG and H.264 add one or two levels.

    Args:
        picture: uint8[h, w, 3].
        box: float32[4], left, top, right, bottom.
    """
    height, width = picture.shape[:2]
    middle, half = (box[:2] + box[2:]) / 2.0, (box[2:] - box[:2]) * (_INNER / 2.0)
    left, top = (int(value) for value in np.clip(np.floor(middle - half), 0, [width - 1, height - 1]))
    right, bottom = (int(value) for value in np.clip(np.ceil(middle + half), [left + 1, top + 1], [width, height]))
    cv2 = single_threaded_opencv()
    # One pixel more on every side, so that the derivative at the rim is that of the picture and not of its border.
    outer = picture[max(top - 1, 0) : bottom + 1, max(left - 1, 0) : right + 1]
    change = cv2.Laplacian(grey(np.ascontiguousarray(outer)), cv2.CV_32F)
    rows, columns = min(top, 1), min(left, 1)
    inside = change[rows : rows + bottom - top, columns : columns + right - left]
    return float(np.abs(inside).mean())
