"""Records of an MDF 4 file and the columns in them.

Here belong splitting a section's bytes into each group's records and reading fields out of them. Where the bytes lie is
known by `layout.py`; what becomes a channel is decided in `reader.py`.
"""

from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fleet_assets.ingestion.recordings.bits import BYTE_BITS, as_numbers, take_bits
from fleet_assets.ingestion.recordings.mdf4.blocks import BrokenBlockError, Bytes
from fleet_assets.ingestion.recordings.mdf4.data import Data, read_span, stream
from fleet_assets.ingestion.recordings.mdf4.layout import (
    VARIABLE_LENGTH,
    VIRTUAL_TYPES,
    Conversion,
    Field,
    Group,
    Layout,
    Section,
)

MAX_PAYLOAD: Final = 64
_BIG_ENDIAN_TYPES: Final = (1, 3, 5)
_SIGNED_TYPES: Final = (2, 3)
_FLOAT_TYPES: Final = (4, 5)
_NUMBER_TYPES: Final = (0, 1, 2, 3, 4, 5)
_FLOAT_BITS: Final = (16, 32, 64)
_WORD_BITS: Final = 64
_HELD_BYTES: Final = 32 << 20
"""Bytes of the file kept mapped while records are read."""
_LENGTH_BYTES: Final = 4
_MAX_SPAN_BYTES: Final = 1 << 26
_MAX_VARIABLE_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Records:
    """Consecutive records of one group.

    Attributes:
        group: The group.
        rows: uint8[n, record_bytes].
        first: Number of the first of them, counted in the group.
        payloads: Variable-length data of each record, where it lies in a group of its own.
    """

    group: Group
    rows: Bytes
    first: int
    payloads: tuple[bytes, ...] | None = None


@dataclass(slots=True)
class Tally:
    """What a pass over one section found.

    Attributes:
        read: Records read, by address of their group.
        rest_bytes: Bytes after the last whole record.
        problem: Why the section ended early, in words.
    """

    read: Counter[int] = field(default_factory=Counter)
    rest_bytes: int = 0
    problem: str | None = None


def _sorted_records(layout: Layout, section: Section, tally: Tally) -> Iterator[list[Records]]:
    group = section.groups[0]
    rest = np.empty(0, np.uint8)
    held = 0
    for piece in stream(layout.content, section.data):
        held += len(piece)
        if held > _HELD_BYTES:
            layout.release()
            held = 0
        raw = np.concatenate([rest, piece]) if len(rest) else piece
        count = len(raw) // group.record_bytes
        rest = raw[count * group.record_bytes :]
        tally.rest_bytes = len(rest)
        if group.stated is not None:
            count = min(count, group.stated - tally.read[group.address])
        if count > 0:
            rows = raw[: count * group.record_bytes].reshape(count, group.record_bytes)
            first = tally.read[group.address]
            tally.read[group.address] += count
            yield [Records(group, rows, first)]


def _positions(raw: bytes, id_bytes: int, groups: Mapping[int, Group]) -> tuple[dict[int, list[int]], int, str | None]:
    """Where each group's records begin in mixed bytes, where the last whole one ends, and what ended the walk early."""
    sizes = {number: (-1 if group.variable else group.record_bytes) for number, group in groups.items()}
    found: dict[int, list[int]] = {number: [] for number in groups}
    at, end = 0, len(raw)
    while at + id_bytes <= end:
        number = raw[at] if id_bytes == 1 else int.from_bytes(raw[at : at + id_bytes], "little")
        size = sizes.get(number)
        if size is None:
            return found, at, f"record id {number}, known are {sorted(groups)}"
        begin = at + id_bytes
        if size < 0:
            size = _LENGTH_BYTES + int.from_bytes(raw[begin : begin + _LENGTH_BYTES], "little")
            if size > _MAX_VARIABLE_BYTES:
                return found, at, f"variable-length data of {size} bytes"
        if begin + size > end:
            break
        found[number].append(begin)
        at = begin + size
    return found, at, None


class _Mixed:
    """Splits the bytes of a section in which the records of several groups alternate."""

    def __init__(self, layout: Layout, section: Section, tally: Tally) -> None:
        self.layout, self.section, self.tally = layout, section, tally
        self.groups = {group.record_id: group for group in section.groups}
        self.payloads: dict[int, deque[bytes]] = {group.address: deque() for group in section.groups if group.variable}
        self.waiting: dict[int, Bytes] = {}

    def __iter__(self) -> Iterator[list[Records]]:
        rest = b""
        for piece in stream(self.layout.content, self.section.data):
            raw = rest + piece.tobytes()
            found, end, self.tally.problem = _positions(raw, self.section.id_bytes, self.groups)
            rest = raw[end:]
            self.tally.rest_bytes = len(rest)
            yield list(self.records(raw, found))
            if self.tally.problem:
                return

    def records(self, raw: bytes, found: Mapping[int, list[int]]) -> Iterator[Records]:
        for number, group in self.groups.items():
            if group.variable:
                for begin in found[number]:
                    text = begin + _LENGTH_BYTES
                    size = int.from_bytes(raw[begin:text], "little")
                    self.payloads[group.address].append(raw[text : text + size])
        content = np.frombuffer(raw, np.uint8)
        for number, group in self.groups.items():
            if group.variable or not group.record_bytes:
                continue
            starts = np.array(found[number], dtype=np.intp)
            rows = content[starts[:, None] + np.arange(group.record_bytes)]
            yield from self.matched(group, rows)

    def matched(self, group: Group, rows: Bytes) -> Iterator[Records]:
        """Give records their variable-length data, which comes in the same order in a group of its own."""
        links = [entry.data_link for entry in group.fields if entry.type == VARIABLE_LENGTH]
        queue = next((self.payloads[link] for link in links if link in self.payloads), None)
        payloads = None
        if queue is not None:
            if group.address in self.waiting:
                rows = np.concatenate([self.waiting.pop(group.address), rows])
            ready = min(len(rows), len(queue))
            self.waiting[group.address] = rows[ready:]
            rows, payloads = rows[:ready], tuple(queue.popleft() for _ in range(ready))
        if len(rows):
            first = self.tally.read[group.address]
            self.tally.read[group.address] += len(rows)
            yield Records(group, rows, first, payloads)


def records(layout: Layout, section: Section, tally: Tally) -> Iterator[list[Records]]:
    """Yield the records of a section in file order, group by group of about a megabyte at a time.

    Args:
        layout: The file.
        section: One of its sections.
        tally: Filled while reading.
    """
    try:
        if section.id_bytes:
            yield from _Mixed(layout, section, tally)
        elif section.groups and section.groups[0].record_bytes:
            yield from _sorted_records(layout, section, tally)
    except BrokenBlockError as error:
        tally.problem = str(error)


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
    if total < _LENGTH_BYTES:
        return np.zeros((len(offsets), 0), np.uint8), sizes
    sound = offsets <= np.uint64(total - _LENGTH_BYTES)
    if not sound.any():
        return np.zeros((len(offsets), 0), np.uint8), sizes
    low = int(offsets[sound].min())
    span = read_span(content, data, low, min(total, low + _MAX_SPAN_BYTES))
    sound &= offsets < np.uint64(low + max(0, len(span) - _LENGTH_BYTES + 1))
    at = np.where(sound, offsets - np.uint64(low), 0).astype(np.intp)
    stated = span[at[:, None] + np.arange(_LENGTH_BYTES)].astype(np.int64) @ (1 << np.arange(0, 32, 8))
    sound &= at + _LENGTH_BYTES + stated <= len(span)
    sizes[sound] = stated[sound]
    width = int(min(sizes.max(initial=0), MAX_PAYLOAD))
    columns = np.arange(width)
    index = np.minimum((at + _LENGTH_BYTES)[:, None] + columns, len(span) - 1)
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
