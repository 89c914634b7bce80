"""Numbers out of columns of text, a whole column at a time.

Here belong decimal and hexadecimal numbers, time stamps and payloads of CAN logs written as text. Which part of a line
is which column is the formats' business; cutting files into lines is `text_lines.py`.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fleet_assets.ingestion.recordings.protocol import NS_PER_S

_INVALID: Final = 0xFF
_NS_DIGITS: Final = 9
_MAX_SECONDS_DIGITS: Final = 10
"""More digits than this before the point do not fit integer nanoseconds."""
_POWERS: Final = 10 ** np.arange(_NS_DIGITS - 1, -1, -1, dtype=np.int64)


def _nibbles() -> NDArray[np.uint8]:
    table = np.full(256, _INVALID, dtype=np.uint8)
    for value, digit in enumerate(b"0123456789abcdef"):
        table[digit] = value
        table[ord(chr(digit).upper())] = value
    return table


NIBBLES: Final = _nibbles()
"""Value of each hexadecimal digit by its byte; 255 for any other byte."""


def matrix(texts: Sequence[bytes], width: int | None = None) -> NDArray[np.uint8]:
    """Texts as rows of bytes, filled up with zeros.

    Args:
        texts: Texts without NUL bytes.
        width: Bytes per row; longer texts are cut. The longest text when None.
    """
    array = np.array(texts, dtype=np.bytes_ if width is None else f"S{width}")
    return array.view(np.uint8).reshape(len(texts), array.dtype.itemsize)


def numbers(texts: Sequence[bytes], base: int) -> NDArray[np.int64]:
    """Whole numbers without sign.

    Args:
        texts: Digits of the base only, at most 18 decimal or 15 hexadecimal ones.
        base: 10 or 16.
    """
    digits = matrix(texts)
    values = np.zeros(len(digits), dtype=np.int64)
    for column in digits.T:
        values = np.where(column == 0, values, values * base + NIBBLES[column])
    return values


def nanoseconds(seconds: Sequence[bytes], fractions: Sequence[bytes]) -> NDArray[np.int64]:
    """Exact time stamps; −1 where the seconds do not fit.

    Args:
        seconds: Digits before the point.
        fractions: Digits after it, at most nine.
    """
    digits = matrix(fractions, _NS_DIGITS)
    below = np.where(digits == 0, 0, NIBBLES[digits]).astype(np.int64) @ _POWERS
    whole = matrix(seconds)
    if whole.shape[1] > _MAX_SECONDS_DIGITS:
        fits = ~(whole[:, _MAX_SECONDS_DIGITS:] != 0).any(axis=1)
        kept = [text if fit else b"0" for text, fit in zip(seconds, fits, strict=True)]
        return np.where(fits, numbers(kept, 10) * NS_PER_S + below, -1)
    values = numbers(seconds, 10)
    return np.where(values < np.iinfo(np.int64).max // NS_PER_S, values * NS_PER_S + below, -1)


def packed_payloads(texts: Sequence[bytes]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Payloads written as hexadecimal digits without gaps.

    Args:
        texts: An even number of digits each, at most 128.

    Returns:
        uint8[n, width] filled up with zeros, and uint8[n] lengths.
    """
    digits = matrix(texts)
    if digits.shape[1] % 2:
        digits = np.pad(digits, ((0, 0), (0, 1)))
    values = NIBBLES[digits]
    held = values[:, 0::2] != _INVALID
    data = np.where(held, (values[:, 0::2] << 4) | values[:, 1::2], 0).astype(np.uint8)
    return data, held.sum(axis=1).astype(np.uint8)
