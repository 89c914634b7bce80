"""Numbers out of packed bytes, a whole column at a time.

Here belongs bit extraction, which CAN frames and MDF records share. What a number means is not known here.
"""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

BYTE_BITS: Final = 8
_WORD_BITS: Final = 64
_NUMBER_BYTES: Final = (1, 2, 4, 8)


def take_bits(rows: NDArray[np.uint8], parts: Sequence[tuple[int, int]], length: int) -> NDArray[np.uint64]:
    """Put bits together, right-aligned.

    Args:
        rows: uint8[n, width].
        parts: (byte index, left shift) of each byte that holds a part; a negative shift goes right.
        length: Bits wanted, 1 to 64.

    Returns:
        uint64[n].
    """
    whole = _whole_bytes(rows, parts, length)
    if whole is not None:
        return whole
    raw = np.zeros(len(rows), dtype=np.uint64)
    for index, shift in parts:
        byte = rows[:, index].astype(np.uint64)
        raw |= byte << np.uint64(shift) if shift >= 0 else byte >> np.uint64(-shift)
    if length < _WORD_BITS:
        raw &= np.uint64((1 << length) - 1)
    return raw


def _whole_bytes(rows: NDArray[np.uint8], parts: Sequence[tuple[int, int]], length: int) -> NDArray[np.uint64] | None:
    """The same by one view, where the bits are neighbouring whole bytes of a number's size; None otherwise."""
    count, first = len(parts), min(index for index, _ in parts)
    if length != BYTE_BITS * count or count not in _NUMBER_BYTES:
        return None
    little = all(shift == BYTE_BITS * (index - first) for index, shift in parts)
    big = all(shift == BYTE_BITS * (first + count - 1 - index) for index, shift in parts)
    if not (little or big):
        return None
    block = np.ascontiguousarray(rows[:, first : first + count])
    order = "<" if little else ">"
    return block.view(f"{order}u{count}").reshape(len(rows)).astype(np.uint64)


def as_numbers(raw: NDArray[np.uint64], length: int, *, signed: bool, floating: bool) -> NDArray[Any]:
    """Read right-aligned bits as unsigned, two's complement, or IEEE 754 of 16, 32 or 64 bits.

    Args:
        raw: uint64[n].
        length: Bits.
        signed: Two's complement.
        floating: IEEE 754.
    """
    if floating:
        size = length // BYTE_BITS
        return raw.astype(f"<u{size}").view(f"<f{size}")
    if signed:
        sign = np.uint64(1 << (length - 1))
        return ((raw ^ sign) - sign).view(np.int64)
    return raw
