"""Columns in the records of an MDF 4 file: numbers, their conversions, and byte strings.

Here belongs reading fields out of records. How a section's bytes become records is the business of `splitting.py`; what
becomes a channel is decided in `streams.py`.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fleet_assets.ingestion.recordings.bits import BYTE_BITS, as_numbers, take_bits
from fleet_assets.ingestion.recordings.mdf4.blocks import Bytes
from fleet_assets.ingestion.recordings.mdf4.data import Data, read_span
from fleet_assets.ingestion.recordings.mdf4.layout import VARIABLE_LENGTH, VIRTUAL_TYPES, Conversion, Field, Layout
from fleet_assets.ingestion.recordings.mdf4.splitting import LENGTH_BYTES, Records

MAX_PAYLOAD: Final = 64
_BIG_ENDIAN_TYPES: Final = (1, 3, 5)
_SIGNED_TYPES: Final = (2, 3)
_FLOAT_TYPES: Final = (4, 5)
_NUMBER_TYPES: Final = (0, 1, 2, 3, 4, 5)
_FLOAT_BITS: Final = (16, 32, 64)
_WORD_BITS: Final = 64
_MAX_SPAN_BYTES: Final = 1 << 26


def _linear(values: NDArray[np.float64], given: NDArray[np.float64]) -> NDArray[np.float64]:
    scaled: NDArray[np.float64] = values * given[1] + given[0]
    return scaled


def _rational(values: NDArray[np.float64], given: NDArray[np.float64]) -> NDArray[np.float64]:
    ratio: NDArray[np.float64] = np.polyval(given[:3], values) / np.polyval(given[3:], values)
    return ratio


def _interpolated(values: NDArray[np.float64], given: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.interp(values, given[0::2], given[1::2])


def _nearest(values: NDArray[np.float64], given: NDArray[np.float64]) -> NDArray[np.float64]:
    keys, results = given[0::2], given[1::2]
    found: NDArray[np.float64] = results[np.searchsorted((keys[1:] + keys[:-1]) / 2, values)]
    return found


def _ranges(values: NDArray[np.float64], given: NDArray[np.float64]) -> NDArray[np.float64]:
    result = np.full(len(values), given[-1])
    for low, high, value in given[:-1].reshape(-1, 3)[::-1]:
        result[(values >= low) & (values <= high)] = value
    return result


_Converter = Callable[[NDArray[np.float64], NDArray[np.float64]], NDArray[np.float64]]
_FORMULA: Final = 3
_CONVERTERS: Final[Mapping[int, tuple[_Converter, int, int]]] = {
    # Type of the standard: function, and how many values it takes: that many, plus any multiple of the second number.
    1: (_linear, 2, 0),
    2: (_rational, 6, 0),
    4: (_interpolated, 2, 2),
    5: (_nearest, 2, 2),
    6: (_ranges, 1, 3),
}


def convert(values: NDArray[np.float64], conversion: Conversion | None) -> NDArray[np.float64] | None:
    """Apply a conversion; None where it is a formula in text, which is never evaluated, or contradicts itself.

    Conversions to text leave the number as it is.
    """
    if conversion is None or conversion.type not in (*_CONVERTERS, _FORMULA):
        return values
    if conversion.type == _FORMULA:
        return None
    function, fixed, repeated = _CONVERTERS[conversion.type]
    surplus = len(conversion.values) - fixed
    if surplus < 0 or (surplus % repeated if repeated else surplus):
        return None
    with np.errstate(all="ignore"):
        return function(values, np.array(conversion.values))


def _parts(entry: Field) -> list[tuple[int, int]]:
    size = (entry.bit_offset + entry.bit_count + BYTE_BITS - 1) // BYTE_BITS
    indexes = [entry.byte_offset + k for k in range(size)]
    if entry.data_type in _BIG_ENDIAN_TYPES:
        indexes.reverse()
    return [(index, BYTE_BITS * k - entry.bit_offset) for k, index in enumerate(indexes)]


def is_number(entry: Field) -> bool:
    """Whether a field holds numbers that can be read."""
    if entry.type in VIRTUAL_TYPES:
        return True
    fits = 0 < entry.bit_count <= _WORD_BITS and entry.bit_offset < BYTE_BITS
    if entry.data_type in _FLOAT_TYPES and entry.bit_count not in _FLOAT_BITS:
        return False
    return entry.type != VARIABLE_LENGTH and entry.data_type in _NUMBER_TYPES and fits


def raw_numbers(entry: Field, found: Records) -> NDArray[Any] | None:
    """Numbers of a field before conversion; None where the record does not hold it.

    Args:
        entry: The field.
        found: Records of its group.
    """
    if entry.type in VIRTUAL_TYPES:
        return np.arange(found.first, found.first + len(found.rows), dtype=np.float64)
    parts = _parts(entry) if is_number(entry) else []
    if not parts or max(index for index, _ in parts) >= found.rows.shape[1]:
        return None
    raw = take_bits(found.rows, parts, entry.bit_count)
    return as_numbers(
        raw, entry.bit_count, signed=entry.data_type in _SIGNED_TYPES, floating=entry.data_type in _FLOAT_TYPES
    )


def numbers(entry: Field, found: Records) -> NDArray[np.float64] | None:
    """Physical numbers of a field; None where it holds none that can be read."""
    raw = raw_numbers(entry, found)
    if raw is None:
        return None
    with np.errstate(invalid="ignore"):
        return convert(raw.astype(np.float64), entry.conversion)


def _padded(payloads: tuple[bytes, ...]) -> tuple[Bytes, NDArray[np.int64]]:
    sizes = np.array([len(payload) for payload in payloads], dtype=np.int64)
    width = int(min(sizes.max(initial=0), MAX_PAYLOAD))
    joined = b"".join(payload[:width].ljust(width, b"\0") for payload in payloads)
    return np.frombuffer(joined, np.uint8).reshape(len(payloads), width), sizes


def _pointed(content: Bytes, data: Data, offsets: NDArray[np.uint64]) -> tuple[Bytes, NDArray[np.int64]]:
    """Variable-length data at offsets of a signal data section; size -1 where an offset leads nowhere."""
    total = data.size
    sizes = np.full(len(offsets), -1, dtype=np.int64)
    if total < LENGTH_BYTES:
        return np.zeros((len(offsets), 0), np.uint8), sizes
    sound = offsets <= np.uint64(total - LENGTH_BYTES)
    if not sound.any():
        return np.zeros((len(offsets), 0), np.uint8), sizes
    low = int(offsets[sound].min())
    span = read_span(content, data, low, min(total, low + _MAX_SPAN_BYTES))
    sound &= offsets < np.uint64(low + max(0, len(span) - LENGTH_BYTES + 1))
    at = np.where(sound, offsets - np.uint64(low), 0).astype(np.intp)
    stated = span[at[:, None] + np.arange(LENGTH_BYTES)].astype(np.int64) @ (1 << np.arange(0, 32, 8))
    sound &= at + LENGTH_BYTES + stated <= len(span)
    sizes[sound] = stated[sound]
    width = int(min(sizes.max(initial=0), MAX_PAYLOAD))
    columns = np.arange(width)
    index = np.minimum((at + LENGTH_BYTES)[:, None] + columns, len(span) - 1)
    payload = np.where(columns < sizes[:, None], span[index], 0).astype(np.uint8)
    return payload, sizes


def payloads(layout: Layout, entry: Field, found: Records) -> tuple[Bytes, NDArray[np.int64]] | None:
    """Byte strings of a field, padded with zeros.

    Args:
        layout: The file.
        entry: The field.
        found: Records of its group.

    Returns:
        uint8[n, width] and each string's length, -1 where it is lost; None where the field holds no bytes.
    """
    if found.payloads is not None and entry.type == VARIABLE_LENGTH:
        return _padded(found.payloads)
    first, width = entry.byte_offset, entry.bit_count // BYTE_BITS
    if first + width > found.rows.shape[1]:
        return None
    if entry.type == VARIABLE_LENGTH:
        data = found.group.signal_data.get(entry.data_link)
        if data is None or entry.bit_count != _WORD_BITS:
            return None
        parts = [(first + k, BYTE_BITS * k) for k in range(width)]
        return _pointed(layout.content, data, take_bits(found.rows, parts, entry.bit_count))
    if width > MAX_PAYLOAD:
        return None
    return found.rows[:, first : first + width], np.full(len(found.rows), width, dtype=np.int64)
