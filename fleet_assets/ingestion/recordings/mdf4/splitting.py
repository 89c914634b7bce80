"""Splitting the data of an MDF 4 section into each group's records.

Here belongs where records begin and end. Where the bytes lie is known by `layout.py` and `data.py`; what the records
hold is read by `records.py`.
"""

from collections import Counter, defaultdict, deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fleet_assets.ingestion.recordings.mdf4.blocks import BrokenBlockError, Bytes
from fleet_assets.ingestion.recordings.mdf4.data import stream
from fleet_assets.ingestion.recordings.mdf4.layout import VARIABLE_LENGTH, Group, Layout, Section

LENGTH_BYTES: Final = 4
"""Width of the length before variable-length data."""
_HELD_BYTES: Final = 32 << 20
"""Bytes of the file kept mapped while records are read."""
_MAX_VARIABLE_BYTES: Final = 1 << 20
_FAR: Final = 1 << 48
"""A step that leads out of any file."""
KEPT_ROWS: Final = 1 << 20
"""Records of mixed data of one recording whose places are kept from one pass to the next, nine bytes each."""


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


@dataclass(frozen=True, slots=True)
class _Walk:
    """Mixed bytes, told apart.

    Attributes:
        numbers: Record id of each whole record, in file order.
        begins: int64[n], where its content begins, behind the id.
        end: Where the last whole record ends.
        problem: What ended the walk early, in words.
    """

    numbers: NDArray[Any]
    begins: NDArray[np.int64]
    end: int
    problem: str | None


def _walk(raw: bytes, id_bytes: int, groups: Mapping[int, Group]) -> _Walk:
    """Find the records in mixed bytes.

    Only its id tells how long a record is, so that this goes one by one; all else is done for all records at once.
    """
    known = {number: id_bytes + group.record_bytes for number, group in groups.items() if not group.variable}
    narrow = id_bytes == 1
    # Nothing is known beforehand of variable-length data, nor of an id that is damage: a step beyond the end tells.
    steps = [known.get(number, _FAR) for number in range(256)] if narrow else defaultdict(lambda: _FAR, known)
    order: bytearray | list[int] = bytearray() if narrow else []
    stated, at, problem = list[int](), 0, None
    while True:
        at = _leapt(raw, at, id_bytes, steps, order)
        if at < _FAR:
            break
        at -= _FAR
        size, problem = _variable_size(raw, at + id_bytes, order[-1], groups)
        if problem:
            order.pop()
            break
        stated.append(id_bytes + size)
        at += stated[-1]
    if at > len(raw):
        number = order.pop()
        at -= stated.pop() if groups[number].variable else steps[number]
    numbers = np.frombuffer(order, np.uint8) if isinstance(order, bytearray) else np.array(order, np.uint64)
    lengths = np.array(steps)[numbers] if narrow else np.array([steps[number] for number in order], np.int64)
    lengths[lengths == _FAR] = stated
    return _Walk(numbers, np.cumsum(lengths) - lengths + id_bytes, at, problem)


def _leapt(raw: bytes, at: int, id_bytes: int, steps: Any, order: bytearray | list[int]) -> int:
    """Go from record to record until the bytes end, or by a step so wide that it is not known; return where."""
    note, last = order.append, len(raw) - id_bytes
    if id_bytes == 1:  # by far the most common, and most of what opening a CAN log costs
        try:
            while True:
                number = raw[at]
                note(number)
                at += steps[number]
        except IndexError:
            return at
    while at <= last:
        number = int.from_bytes(raw[at : at + id_bytes], "little")
        note(number)
        at += steps[number]
    return at


def _variable_size(raw: bytes, begin: int, number: int, groups: Mapping[int, Group]) -> tuple[int, str | None]:
    """Length of a record that states it itself, or what is wrong with the record."""
    if number not in groups:
        return 0, f"record id {number}, known are {sorted(groups)}"
    size = LENGTH_BYTES + int.from_bytes(raw[begin : begin + LENGTH_BYTES], "little")
    return size, f"variable-length data of {size} bytes" if size > _MAX_VARIABLE_BYTES else None


class Walks:
    """Where the records of a mixed section begin, piece by piece: found once for several passes, while they are few.

    Args:
        rows: Records at most whose places are kept.
    """

    def __init__(self, rows: int = 0) -> None:
        self._rows, self.kept_rows = rows, 0
        self._kept: list[_Walk] = []

    def of(self, place: int, raw: bytes, section: Section, groups: Mapping[int, Group]) -> _Walk:
        """The records of a piece, by its number in the section."""
        if place < len(self._kept):
            return self._kept[place]
        walk = _walk(raw, section.id_bytes, groups)
        if place == len(self._kept) and self.kept_rows + len(walk.numbers) <= self._rows:
            self._kept.append(walk)
            self.kept_rows += len(walk.numbers)
        return walk


class _Mixed:
    """Splits the bytes of a section in which the records of several groups alternate."""

    def __init__(self, layout: Layout, section: Section, tally: Tally, walks: Walks) -> None:
        self.layout, self.section, self.tally, self.walks = layout, section, tally, walks
        self.groups = {group.record_id: group for group in section.groups}
        self.payloads: dict[int, deque[bytes]] = {group.address: deque() for group in section.groups if group.variable}
        self.waiting: dict[int, Bytes] = {}

    def __iter__(self) -> Iterator[list[Records]]:
        rest = b""
        for place, piece in enumerate(stream(self.layout.content, self.section.data)):
            raw = rest + piece.tobytes()
            walk = self.walks.of(place, raw, self.section, self.groups)
            self.tally.problem = walk.problem
            rest = raw[walk.end :]
            self.tally.rest_bytes = len(rest)
            yield list(self.records(raw, walk))
            if self.tally.problem:
                return

    def records(self, raw: bytes, walk: _Walk) -> Iterator[Records]:
        begins = {number: walk.begins[walk.numbers == number] for number in np.unique(walk.numbers).tolist()}
        for number, found in begins.items():
            group = self.groups[number]
            for begin in found.tolist() if group.variable else ():
                text = begin + LENGTH_BYTES
                size = int.from_bytes(raw[begin:text], "little")
                self.payloads[group.address].append(raw[text : text + size])
        none = np.empty(0, np.int64)
        for number, group in self.groups.items():
            if not group.variable and group.record_bytes and (number in begins or group.address in self.waiting):
                yield from self.matched(group, _rows(raw, begins.get(number, none), group.record_bytes))

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


def _rows(raw: bytes, begins: NDArray[np.int64], width: int) -> Bytes:
    """Records of one width as rows, uint8[n, width]; copied whole, which is much faster than byte by byte."""
    if not len(begins):
        return np.empty((0, width), np.uint8)
    windows: NDArray[Any] = np.ndarray((len(raw) - width + 1,), f"V{width}", raw, strides=(1,))
    return windows[begins].view(np.uint8).reshape(len(begins), width)


def records(layout: Layout, section: Section, tally: Tally, walks: Walks | None = None) -> Iterator[list[Records]]:
    """Yield the records of a section in file order, group by group of about a megabyte at a time.

    Args:
        layout: The file.
        section: One of its sections.
        tally: Filled while reading.
        walks: What is known of mixed records from a pass before.
    """
    try:
        if section.id_bytes:
            yield from _Mixed(layout, section, tally, walks or Walks())
        elif section.groups and section.groups[0].record_bytes:
            yield from _sorted_records(layout, section, tally)
    except BrokenBlockError as error:
        tally.problem = str(error)
