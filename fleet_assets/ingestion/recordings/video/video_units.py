"""What can be checked of an encoded frame without decoding it: whether the lengths of its units add up.

H.264 and H.265 frames in MP4 are chains of units, each behind its length (ISO/IEC 14496-15). A frame whose chain does
not end where the frame does has been damaged. Damage inside a unit shows only to a decoder.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from fleet_assets.ingestion.recordings.video.bmff_boxes import Source
from fleet_assets.ingestion.recordings.video.bmff_samples import Samples

_MOST_UNITS: Final = 4096
_FORBIDDEN_BIT: Final = 0x80
_READ_WHOLE: Final = 1 << 14
"""Frames up to this size are read in one go; of larger ones only the lengths are."""


def _whole(source: Source, at: int, size: int, width: int) -> bool:
    end = at + size
    held = source.read(at, size) if size <= _READ_WHOLE else b""
    start = at
    for _ in range(_MOST_UNITS):
        head = held[at - start : at - start + width + 1] if held else source.read(at, width + 1)
        length = int.from_bytes(head[:width], "big")
        if len(head) <= width or not length or head[width] & _FORBIDDEN_BIT:
            return False
        at += width + length
        if at >= end:
            return at == end
    return False


def whole_frames(source: Source, samples: Samples, length_bytes: int) -> NDArray[np.bool_]:
    """Whether each frame's units add up to its size.

    Args:
        source: The file.
        samples: Frames inside it.
        length_bytes: Width of the lengths.
    """
    places = zip(samples.offset.tolist(), samples.size.tolist(), strict=True)
    return np.fromiter((_whole(source, at, size, length_bytes) for at, size in places), np.bool_, len(samples))
