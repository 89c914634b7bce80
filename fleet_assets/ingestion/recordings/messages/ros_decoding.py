"""Reading ROS 1 and CDR messages along a plan, many at a time.

Here belongs the walk. All messages of a call are walked together: where they differ (strings, arrays of variable size)
each has a position of its own, otherwise one position serves all. Every length is checked against what is left of its
message before anything is done with it, so that a hostile one costs nothing.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from fleet_assets.ingestion.recordings.messages.ros_large import CDR_HEADER, CDR_PADDING, large_message, leaf_values
from fleet_assets.ingestion.recordings.messages.ros_plan import (
    Block,
    Items,
    Plan,
    Step,
    Text,
    WireFormat,
    advances,
)
from fleet_assets.ingestion.recordings.messages.ros_scalar import BrokenMessageError, skip_items
from fleet_assets.ingestion.recordings.windows import Columns

_JOINED_BYTES: Final = 1 << 23
"""Messages joined at a time: what bounds the memory of a call beside its result."""
LARGE_BYTES: Final = 1 << 16
"""Messages of this size are walked alone, where they are: copying them together costs more than the calls it saves."""
_FEW: Final = 128
"""Messages fewer than these are walked one by one where elements vary in size: calls of NumPy would cost more."""

_Position = int | NDArray[np.int64]
_Bytes = NDArray[np.uint8]


class _Walk:
    """The state of walking messages that lie behind each other in one buffer.

    Args:
        buffer: uint8[total].
        starts: int64[n], where the messages' bodies begin; alignment counts from there.
        lengths: int64[n], bytes of the bodies.
        wire: Format.
        stride: Distance between messages that all have the same size and lie evenly; 0 where they do not.
    """

    def __init__(
        self, buffer: _Bytes, starts: NDArray[np.int64], lengths: NDArray[np.int64], wire: WireFormat, stride: int = 0
    ) -> None:
        self.buffer, self.starts, self.lengths, self.wire = buffer, starts, lengths, wire
        self.usable = np.ones(len(starts), bool)
        self.position: _Position = 0
        self.length: _Position = int(lengths[0]) if stride else lengths
        self.rows = buffer.reshape(-1, stride) if stride else None
        self.parts: dict[str, list[NDArray[Any]]] = {}
        if not stride:
            self.position = np.zeros(len(starts), np.int64)

    def spread(self) -> None:
        """Give each message a position of its own."""
        if self.rows is not None:
            self.position = np.full(len(self.starts), self.position, np.int64)
            self.length, self.rows = self.lengths, None

    def keep(self, fits: Any) -> None:
        """Drop the messages that do not fit; their positions stay harmless."""
        if isinstance(fits, np.ndarray):
            self.usable &= fits
            self.position = np.where(self.usable, self.position, 0)
        elif not fits:
            self.usable[:] = False
            self.spread()
            self.position = np.zeros(len(self.starts), np.int64)

    def at(self, size: int) -> _Bytes:
        """Bytes at the position, uint8[n, size]; anything for messages that are not usable."""
        if self.rows is not None and isinstance(self.position, int):
            first = int(self.starts[0]) + self.position
            return self.rows[:, first : first + size]
        if size > len(self.buffer):
            return np.zeros((len(self.starts), min(size, 1)), np.uint8)
        places = np.minimum(self.starts + self.position, len(self.buffer) - size)
        windows: _Bytes = sliding_window_view(self.buffer, size)
        found: _Bytes = windows[places]
        return found

    def take(self, align: int, size: int) -> _Bytes | None:
        """Bytes at the next aligned position, and go behind them; None when no message is left."""
        self.position = self.wire.aligned(self.position, align)
        self.keep(self.position + size <= self.length)
        if not self.usable.any():
            return None
        taken = self.at(size)
        self.position = self.position + size
        return taken

    def count(self) -> NDArray[np.int64] | None:
        """Read a number of elements of each message; 0 for those that are not usable."""
        taken = self.take(self.wire.count_align, 4)
        if taken is None:
            return None
        counts = taken.view(f"{self.wire.order}u4")[:, 0].astype(np.int64)
        return counts if self.rows is not None else np.where(self.usable, counts, 0)

    def even(self, counts: NDArray[np.int64]) -> _Position:
        """One number for all messages where they are equal; else every message gets a position of its own."""
        if self.rows is not None and (counts == counts[0]).all():
            return int(counts[0])
        self.spread()
        return counts

    def add(self, name: str, values: NDArray[Any]) -> None:
        """Keep values of a column."""
        self.parts.setdefault(name, []).append(values)


def _block(walk: _Walk, step: Block) -> None:
    taken = walk.take(step.align, step.size)
    if taken is None:
        return
    for leaf in step.leaves:
        values = leaf_values(taken, leaf, walk.wire.order)
        walk.add(leaf.name, values)


def _text(walk: _Walk) -> None:
    counts = walk.count()
    if counts is None:
        return
    size = walk.even(counts)
    walk.keep(size <= walk.length - walk.position)
    if isinstance(size, np.ndarray):
        size = np.where(walk.usable, size, 0)
    walk.position = walk.position + size
    if walk.wire.is_cdr and np.any(size):
        _check_terminator(walk, size)


def _check_terminator(walk: _Walk, size: _Position) -> None:
    """Drop messages whose string does not end in the zero that CDR demands."""
    walk.position = walk.position - 1
    # An empty string may be written without its zero: there is nothing to look at.
    walk.position = np.maximum(walk.position, 0) if isinstance(walk.position, np.ndarray) else walk.position
    ended = (walk.at(1)[:, 0] == 0) | (np.asarray(size) == 0)
    walk.position = walk.position + 1
    if not ended.all():
        walk.spread()
        walk.keep(ended)


def _skip_fixed(walk: _Walk, element: Plan, counts: NDArray[np.int64]) -> None:
    """Go behind elements of fixed size by doubling: no work depends on how many there are."""
    walk.spread()
    steps = np.array(advances(element, walk.wire), np.int64)
    position = np.asarray(walk.position)
    for bit in range(int(counts.max(initial=0)).bit_length()):
        position = np.where(counts >> bit & 1, position + steps[position & 7], position)
        steps = steps + steps[(np.arange(8) + steps) & 7]
    walk.position = position
    walk.keep(position <= walk.length)


def _skip_even(walk: _Walk, element: Plan, counts: NDArray[np.int64]) -> bool:
    """Go behind elements of fixed size without gaps between them, if they are such; return whether they were."""
    if len(element) != 1 or not isinstance(element[0], Block) or element[0].size % element[0].align:
        return False
    count = walk.even(counts)
    if isinstance(count, int):
        walk.position = walk.wire.aligned(walk.position, element[0].align) if count else walk.position
    else:
        walk.position = np.where(count > 0, walk.wire.aligned(walk.position, element[0].align), walk.position)
    walk.position = walk.position + count * element[0].size
    walk.keep(walk.position <= walk.length)
    return True


def _skip_varying(walk: _Walk, step: Items, counts: NDArray[np.int64]) -> None:
    """Go behind elements that differ in size, one element of all messages at a time while they are many."""
    walk.spread()
    position = np.array(walk.position)
    active = np.flatnonzero(counts > 0)
    done = 0
    while len(active) >= _FEW:
        part = _Walk(walk.buffer, walk.starts[active], walk.lengths[active], walk.wire)
        part.position = position[active]
        _run(part, step.element)
        position[active] = part.position
        walk.usable[active] &= part.usable
        done += 1
        active = active[part.usable & (counts[active] > done)]
    for row in active.tolist():
        first, length = int(walk.starts[row]), int(walk.lengths[row])
        body = memoryview(walk.buffer[first : first + length])  # type: ignore[arg-type] # an array is a buffer
        try:
            position[row] = skip_items(body, int(position[row]), step, int(counts[row]) - done, walk.wire)
        except BrokenMessageError:
            walk.usable[row] = False
    walk.position = np.where(walk.usable, position, 0)


def _items(walk: _Walk, step: Items) -> None:
    if step.fixed is not None:
        counts: NDArray[np.int64] | None = np.full(len(walk.starts), step.fixed, np.int64)
    else:
        counts = walk.count()
    if counts is None:
        return
    if step.name and not step.capture:
        lengths = counts.astype(np.uint32)
        walk.add(step.name, lengths[:, None] if step.is_part else lengths)
    if not step.smallest:
        return
    fits = counts <= (walk.length - walk.position) // step.smallest
    if not fits.all():
        walk.spread()
        walk.keep(fits)
        counts = np.where(walk.usable, counts, 0)
    if step.capture:
        _capture(walk, step, counts)
    if all(isinstance(part, Block) for part in step.element):
        if not _skip_even(walk, step.element, counts):
            _skip_fixed(walk, step.element, counts)
    else:
        _skip_varying(walk, step, counts)


def _capture(walk: _Walk, step: Items, counts: NDArray[np.int64]) -> None:
    """Keep the bytes themselves, uint8[n, capture], filled up with zeros; longer ones are not usable."""
    inside = np.arange(step.capture)
    places = np.minimum(np.asarray(walk.starts + walk.position)[:, None] + inside, len(walk.buffer) - 1)
    walk.add(step.name, np.where(inside < counts[:, None], walk.buffer[places], 0).astype(np.uint8))
    if (counts > step.capture).any():
        walk.spread()
        walk.keep(counts <= step.capture)


def _run(walk: _Walk, plan: Sequence[Step]) -> None:
    for step in plan:
        if not walk.usable.any():
            return
        if isinstance(step, Block):
            _block(walk, step)
        elif isinstance(step, Text):
            _text(walk)
        else:
            _items(walk, step)


def _merged(parts: Sequence[NDArray[Any]]) -> NDArray[Any]:
    return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)


def _stretches(sizes: NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    """Cut messages into stretches of some megabytes, first and end row; large ones are stretches of their own."""
    ends = np.cumsum(sizes)
    large = [*np.flatnonzero(sizes >= LARGE_BYTES).tolist(), len(sizes)]
    first = 0
    for turn in large:
        while first < turn:
            before = int(ends[first] - sizes[first])
            end = min(turn, max(first + 1, int(np.searchsorted(ends, before + _JOINED_BYTES, side="right"))))
            yield first, end
            first = end
        if first < len(sizes):
            yield first, first + 1
            first += 1


class PlannedDecoder:
    """Decodes messages of one type along its plan.

    Args:
        plan: The compiled type.
        columns: Its column names.
        is_cdr: Whether messages are CDR.
        type_name: For words.
    """

    kind: Final = "fields"
    problem: Final = ""

    def __init__(self, plan: Plan, columns: Sequence[str], *, is_cdr: bool, type_name: str) -> None:
        self._plan, self._is_cdr = plan, is_cdr
        self.fields = tuple(columns)
        form = "CDR messages (encapsulation 0 or 1)" if is_cdr else "ROS 1 messages"
        self.expects = f"{form} of {type_name} whose lengths fit their size"
        # The types of the columns, for calls in which no message is usable.
        self._empty = _empty_columns(plan)

    def columns(self, payloads: Sequence[bytes | memoryview]) -> tuple[Columns, NDArray[np.bool_]]:
        """Decode messages; see ``message_decoders.MessageDecoder``."""
        usable = np.zeros(len(payloads), bool)
        sizes = np.fromiter(map(len, payloads), np.int64, len(payloads))
        parts = [self._empty]
        for first, end in _stretches(sizes):
            if sizes[first] >= LARGE_BYTES:
                alone = large_message(payloads[first], self._plan, is_cdr=self._is_cdr)
                usable[first], columns = alone is not None, alone or {}
            else:
                joined = payloads[first] if end == first + 1 else b"".join(payloads[first:end])
                columns, usable[first:end] = self._stretch(np.frombuffer(joined, np.uint8), sizes[first:end])
            if columns:
                parts.append(columns)
        if len(parts) == 2:  # noqa: PLR2004 - nothing to put together
            return {name: parts[1][name] for name in self.fields}, usable
        return {name: np.concatenate([part[name] for part in parts]) for name in self.fields}, usable

    def _stretch(self, buffer: _Bytes, sizes: NDArray[np.int64]) -> tuple[Columns, NDArray[np.bool_]]:
        """Decode messages that lie behind each other."""
        starts = np.cumsum(sizes) - sizes
        if not self._is_cdr:
            return self._walked(buffer, starts, sizes, WireFormat(is_cdr=False, order="<"), is_all=True)
        usable = np.zeros(len(sizes), bool)
        kinds = _encapsulations(buffer, starts, sizes)
        found = []
        for kind, order in ((1, "<"), (0, ">")):
            rows = np.flatnonzero(kinds == kind)
            if len(rows):
                columns, fits = self._walked(
                    buffer,
                    starts[rows] + CDR_HEADER,
                    sizes[rows] - CDR_HEADER,
                    WireFormat(is_cdr=True, order=order),
                    is_all=len(rows) == len(sizes),
                )
                usable[rows] = fits
                if columns:
                    found.append((rows[fits], columns))
        if len(found) <= 1:
            return (found[0][1] if found else {}), usable
        order_of_rows = np.argsort(np.concatenate([rows for rows, _ in found]))
        return {
            name: np.concatenate([columns[name] for _, columns in found])[order_of_rows] for name in self._empty
        }, usable

    def _walked(
        self, buffer: _Bytes, starts: NDArray[np.int64], lengths: NDArray[np.int64], wire: WireFormat, *, is_all: bool
    ) -> tuple[Columns, NDArray[np.bool_]]:
        is_even = is_all and int(lengths[0]) > 0 and bool((lengths == lengths[0]).all())
        stride = int(lengths[0]) + (CDR_HEADER if wire.is_cdr else 0) if is_even else 0
        walk = _Walk(buffer, starts, lengths, wire, stride)
        _run(walk, self._plan)
        if walk.usable.any():
            left = walk.length - walk.position
            walk.keep((left >= 0) & (left <= (CDR_PADDING if wire.is_cdr else 0)))
        usable = walk.usable
        if not usable.any():
            return {}, usable
        columns = {name: _merged(parts) for name, parts in walk.parts.items()}
        return (columns if usable.all() else {name: array[usable] for name, array in columns.items()}), usable


def _encapsulations(buffer: _Bytes, starts: NDArray[np.int64], sizes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Encapsulation kind of each message; -1 where there is no room for one.

    Source: OMG DDSI-RTPS 2.5, 10.2 (CDR_BE 0, CDR_LE 1; parameter lists and XCDR2 are not used by ROS 2).
    """
    if not len(buffer):
        return np.full(len(sizes), -1, np.int64)
    head = buffer[np.minimum(starts[:, None] + np.arange(2), len(buffer) - 1)].astype(np.int64)
    return np.where(sizes >= CDR_HEADER, head[:, 0] << 8 | head[:, 1], -1)


def _empty_columns(plan: Plan) -> Columns:
    walk: dict[str, list[NDArray[Any]]] = {}
    for step in plan:
        if isinstance(step, Block):
            for leaf in step.leaves:
                values = leaf_values(np.zeros((0, step.size), np.uint8), leaf, "<")
                walk.setdefault(leaf.name, []).append(values)
        elif isinstance(step, Items) and step.capture:
            walk.setdefault(step.name, []).append(np.zeros((0, step.capture), np.uint8))
        elif isinstance(step, Items) and step.name:
            walk.setdefault(step.name, []).append(np.zeros((0, 1) if step.is_part else 0, np.uint32))
    return {name: _merged(parts) for name, parts in walk.items()}
