"""Covering areas of a picture for good.

Here belongs what is done to pixels. An area keeps nothing but the mean colours of a few cells, in coarse steps, and the
smooth passage between them: what was in it cannot be computed back, whatever is known about it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fleet_assets.ingestion.integrity_and_pii_redaction.redaction.plan import Area
from fleet_assets.perception.runtime import single_threaded_opencv


@dataclass(frozen=True, slots=True)
class CoverRule:
    """What is left of an area.

    Attributes:
        cells: Cells along its longer side; there are as many or fewer along the shorter one.
        step: Grey levels from one value of a cell to the next.
    """

    cells: int
    step: int

    @classmethod
    def from_policy(cls, policy: Mapping[str, Any]) -> "CoverRule":
        """From the key `cover` of the document `redaction`."""
        return cls(**policy["cover"])


def covered(picture: NDArray[np.uint8], areas: Iterable[Area], rule: CoverRule) -> NDArray[np.uint8]:
    """A copy of a picture with areas covered.

    Args:
        picture: uint8[height, width, 3].
        areas: What to cover; they may overlap, and lie inside the picture.
        rule: What is left of them.

    Returns:
        uint8[height, width, 3]. Every cell's colour is that of the picture given, so that the order of areas and their
        overlap give nothing away.
    """
    shown = picture.copy()
    for area in areas:
        seen = picture[area.top : area.bottom, area.left : area.right]
        shown[area.top : area.bottom, area.left : area.right] = _smooth(seen, rule)
    return shown


def _smooth(seen: NDArray[np.uint8], rule: CoverRule) -> NDArray[np.uint8]:
    cv2 = single_threaded_opencv()
    height, width = seen.shape[:2]
    longer = max(height, width)
    size = tuple(max(1, round(rule.cells * side / longer)) for side in (width, height))
    cells = cv2.resize(seen, size, interpolation=cv2.INTER_AREA).reshape(size[1], size[0], 3).astype(np.int32)
    coarse = np.minimum(cells // rule.step * rule.step + rule.step // 2, 255).astype(np.uint8)
    return np.asarray(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR), dtype=np.uint8)


def blurred_pixels(areas: Iterable[Area], size: tuple[int, int]) -> int:
    """Pixels that lie in at least one area.

    Args:
        areas: Areas of one picture.
        size: Its width and height.
    """
    mask = np.zeros((size[1], size[0]), dtype=np.bool_)
    for area in areas:
        mask[area.top : area.bottom, area.left : area.right] = True
    return int(mask.sum())
