"""Licence plates: their text and its picture.

Here belong the way a text comes from a look, and the atlas from which the shader reads. No text is a real plate: the
first letter pair is none of any country's registration districts.
"""

from collections import OrderedDict
from functools import lru_cache
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

SLOTS: Final = (4, 16)
"""Plates across and down in the atlas."""
SLOT_PX: Final = (128, 32)
RIM_PX: Final = (4, 2)
"""What surrounds a plate in its slot, so that half a pixel of the quarter-sized picture stays inside."""
_LETTERS: Final = "ABCDEFGHJKLMNPRSTUVWXYZ"
_STREAM: Final = 304


@lru_cache(maxsize=4096)
def plate_text(look: int) -> str:
    """The text that belongs to a look, such as ``QX BK 4821``."""
    rng = np.random.default_rng([_STREAM, look])
    letters = "".join(_LETTERS[int(index)] for index in rng.integers(0, len(_LETTERS), 3))
    return f"Q{letters[0]} {letters[1:]} {int(rng.integers(100, 10_000))}"


def plate_picture(text: str) -> NDArray[np.uint8]:
    """A plate, uint8[32, 128, 4], red, green, blue, cover."""
    width, height = 256, 64
    large = np.full((2 * height, 2 * width, 3), 238, dtype=np.uint8)
    cv2.rectangle(large, (2, 2), (2 * width - 3, 2 * height - 3), (15, 15, 15), 5)
    cv2.rectangle(large, (6, 6), (46, 2 * height - 7), (20, 50, 150), -1)
    (wide, _), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, 2.3, 9)
    picture = np.full((2 * height, max(wide, 8), 3), 238, dtype=np.uint8)
    cv2.putText(picture, text, (0, 2 * height - 38), cv2.FONT_HERSHEY_SIMPLEX, 2.3, (12, 12, 14), 9, cv2.LINE_AA)
    room = 2 * width - 76
    large[12:-12, 58 : 58 + room] = cv2.resize(picture, (room, 2 * height), interpolation=cv2.INTER_AREA)[12:-12]
    inner = cv2.resize(large, (SLOT_PX[0] - 2 * RIM_PX[0], SLOT_PX[1] - 2 * RIM_PX[1]), interpolation=cv2.INTER_AREA)
    rims = (RIM_PX[1], RIM_PX[1], RIM_PX[0], RIM_PX[0])
    small = np.asarray(cv2.copyMakeBorder(inner, *rims, cv2.BORDER_REPLICATE), dtype=np.uint8)
    return np.concatenate([small, np.full((*small.shape[:2], 1), 255, dtype=np.uint8)], axis=-1)


class PlateSlots:
    """Which plate is where in the atlas; the longest unseen makes room. The first slot stays blank."""

    def __init__(self) -> None:
        self._slots: OrderedDict[str, int] = OrderedDict()
        self._free = list(range(SLOTS[0] * SLOTS[1] - 1, 0, -1))

    def place(self, text: str) -> tuple[int, bool]:
        """Number of the slot, and whether its picture is still to be painted."""
        if text in self._slots:
            self._slots.move_to_end(text)
            return self._slots[text], False
        slot = self._free.pop() if self._free else self._slots.popitem(last=False)[1]
        self._slots[text] = slot
        return slot, True


def slot_origin(slot: int) -> tuple[int, int]:
    """Left and top of a slot in the atlas, pixels."""
    return slot % SLOTS[0] * SLOT_PX[0], slot // SLOTS[0] * SLOT_PX[1]


def plate_atlas_shape() -> tuple[int, int]:
    """Rows and columns of the atlas, pixels."""
    return SLOTS[1] * SLOT_PX[1], SLOTS[0] * SLOT_PX[0]
