"""Perceptual digests of pictures: near-duplicates have digests that differ in few bits.

Here belongs the digest (pHash: Zauner, Implementation and Benchmarking of Perceptual Image Hash Functions, 2010). What
is near enough is a policy's business. Identity of bytes is SHA-256, see `fleet_assets.provenance.digests`.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from fleet_assets.perception.preprocessing import Picture, grey
from fleet_assets.perception.runtime import single_threaded_opencv

SIDE_PX: Final = 32
_FREQUENCIES: Final = 8
BITS: Final = _FREQUENCIES * _FREQUENCIES


def perceptual_digest(picture: Picture) -> int:
    """64 bits: which of the lowest 8 x 8 frequencies of the shrunk grey picture lie above their median.

    Args:
        picture: uint8[h, w, 3], blue, green, red.

    Returns:
        The digest, the lowest frequency in the highest bit.
    """
    cv2 = single_threaded_opencv()
    small = cv2.resize(grey(picture), (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_AREA)
    low = cv2.dct(small.astype(np.float32))[:_FREQUENCIES, :_FREQUENCIES]
    # Rounded, so that a difference in the last bit of arithmetic does not flip a bit of an even picture.
    values = np.round(low, 3)
    bits = (values > np.median(values)).ravel()
    return int.from_bytes(np.packbits(bits).tobytes(), "big")


def differing_bits(one: int, two: int) -> int:
    """How many of the 64 bits differ."""
    return (one ^ two).bit_count()


def distances(digests: NDArray[np.uint64], to: int) -> NDArray[np.int64]:
    """Differing bits of many digests to one, int64[n]."""
    return np.asarray(np.bitwise_count(np.asarray(digests, dtype=np.uint64) ^ np.uint64(to)), dtype=np.int64)
