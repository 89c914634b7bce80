"""Messages longer than one CAN frame: putting them together, a whole column of frames at a time.

Here belong ISO-TP (ISO 15765-2, normal addressing) and the transport protocol of SAE J1939-21. Which sensor uses which
is said by the vehicle spec; what the payload means is decoded like that of a frame (`can_decode.py`).

A message's time stamp is that of its first frame: the sender composed it just before, and how long the other frames
then take depends on the receiver's flow control and on the bus, not on the measurement.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from fleet_assets.ingestion.recordings.protocol import Batch
from fleet_assets.ingestion.sensor_sync_and_format_conversion.can_decode import MessageLayout
from fleet_assets.policy.vehicles import Transport

ISO_TP: Final = "isotp"
J1939: Final = "j1939"
MAX_MESSAGE_BYTES: Final = 1 << 20
"""A first frame that announces more is damaged; ISO 15765-2 allows 4 GiB, firmware only uses that."""
_CLASSIC_BYTES: Final = 8
_SINGLE, _FIRST, _CONSECUTIVE = 0, 1, 2
_SEQUENCE: Final = 16
_REQUEST, _BROADCAST = 16, 32
_CONNECTION, _DATA = 0xEC, 0xEB
_PACKET_BYTES: Final = 7
_HIGHEST_J1939_BYTES: Final = 1785
_LOWEST_J1939_BYTES: Final = 9
_HIGHEST_PACKETS: Final = 255
_FIRST_BROADCAST_FORMAT: Final = 240

Key = tuple[int, ...]
"""What frames of one conversation share: bus, and for J1939 source and destination."""


@dataclass(frozen=True, slots=True)
class Payloads:
    """Messages put together.

    Attributes:
        t_ns: int64[n], time stamps of their first frames.
        data: uint8[n, width]; bytes beyond the width are not kept.
        length: uint32[n], own lengths, lead bytes included.
    """

    t_ns: NDArray[np.int64]
    data: NDArray[np.uint8]
    length: NDArray[np.uint32]


@dataclass(frozen=True, slots=True)
class Frames:
    """Frames of one bus in recorded order: time stamps, CAN ids, lengths and data."""

    t_ns: NDArray[np.int64]
    can_id: NDArray[np.int64]
    length: NDArray[np.int64]
    data: NDArray[np.uint8]

    def take(self, rows: Any) -> "Frames":
        """Some of the frames."""
        return Frames(self.t_ns[rows], self.can_id[rows], self.length[rows], self.data[rows])

    def after(self, earlier: "Frames | None") -> "Frames":
        """These frames behind earlier ones."""
        if earlier is None or not len(earlier.t_ns):
            return self
        width = max(self.data.shape[1], earlier.data.shape[1])
        data = [np.pad(part.data, ((0, 0), (0, width - part.data.shape[1]))) for part in (earlier, self)]
        return Frames(
            np.concatenate([earlier.t_ns, self.t_ns]),
            np.concatenate([earlier.can_id, self.can_id]),
            np.concatenate([earlier.length, self.length]),
            np.concatenate(data),
        )


class Assembler(Protocol):
    """Puts one stream's messages together, batch after batch."""

    def take(self, batch: Batch, rows: NDArray[np.intp]) -> Payloads:
        """Give the messages that end in a batch.

        Args:
            batch: A batch of CAN frames.
            rows: Frames on the sensor's bus, in recorded order.
        """
        ...

    def finish(self) -> int:
        """How many messages began and never ended, or ended and never began."""
        ...


@dataclass(frozen=True, slots=True)
class _Plan:
    """Complete messages of a conversation: which frame gives which part of which message.

    Attributes:
        first: int64[m], row of each message's first frame.
        length: int64[m], payload length without lead bytes.
        skip: int64[m], bytes of the first frame before its payload.
        inside: int64[m], payload bytes in the first frame.
        step: int64[m], payload bytes in each further frame.
        further: int64[k], rows of the further frames.
        owner: int64[k], which message each belongs to.
        rank: int64[k], its place among the message's further frames, from 0.
        open_row: Row from which on frames wait for the next batch.
        broken: Messages that are incomplete for good.
    """

    first: NDArray[np.int64]
    length: NDArray[np.int64]
    skip: NDArray[np.int64]
    inside: NDArray[np.int64]
    step: NDArray[np.int64]
    further: NDArray[np.int64]
    owner: NDArray[np.int64]
    rank: NDArray[np.int64]
    open_row: int
    broken: int


def _copy(
    out: NDArray[np.uint8], messages: NDArray[Any], at: NDArray[np.int64], source: NDArray[np.uint8],
    size: NDArray[np.int64],
) -> None:  # fmt: skip
    """Write the first bytes of each row of a source into its message, as far as the message's columns reach."""
    columns = np.arange(source.shape[1])
    places = at[:, None] + columns
    inside = (places < out.shape[1]) & (columns < size[:, None])
    rows = np.broadcast_to(messages[:, None], places.shape)
    out[rows[inside], places[inside]] = source[inside]


def _payloads(frames: Frames, plan: _Plan, lead: int, width: int) -> Payloads:
    out = np.zeros((len(plan.first), width), dtype=np.uint8)
    for start in np.unique(plan.skip).tolist():
        chosen = np.flatnonzero(plan.skip == start)
        # A single frame has one byte before its payload; a database that counts two finds zero in the first.
        ahead = max(0, start - lead)
        at = np.full(len(chosen), max(0, lead - start), dtype=np.int64)
        size = plan.inside[chosen] + start - ahead
        _copy(out, chosen, at, frames.data[plan.first[chosen]][:, ahead:], size)
    at = lead + plan.inside[plan.owner] + plan.rank * plan.step[plan.owner]
    near = np.flatnonzero(at < width)
    owner = plan.owner[near]
    left = plan.length[owner] - plan.inside[owner] - plan.rank[near] * plan.step[owner]
    _copy(out, owner, at[near], frames.data[plan.further[near], 1:], np.minimum(left, plan.step[owner]))
    return Payloads(frames.t_ns[plan.first], out, (plan.length + lead).astype(np.uint32))


def _joined(parts: Sequence[Payloads], width: int) -> Payloads:
    if not parts:
        return Payloads(np.empty(0, np.int64), np.empty((0, width), np.uint8), np.empty(0, np.uint32))
    t_ns = np.concatenate([part.t_ns for part in parts])
    order = np.argsort(t_ns, kind="stable") if len(parts) > 1 else slice(None)
    data = np.concatenate([part.data for part in parts])[order]
    return Payloads(t_ns[order], data, np.concatenate([part.length for part in parts])[order])


def _frames(batch: Batch, rows: NDArray[np.intp]) -> Frames:
    columns = batch.columns
    return Frames(
        batch.t_ns[rows],
        columns["can_id"][rows].astype(np.int64),
        columns["length"][rows].astype(np.int64),
        columns["data"][rows],
    )


@dataclass(slots=True)
class _Conversations:
    """Frames of unfinished messages by conversation, and what came to nothing."""

    waiting: dict[Key, Frames] = field(default_factory=dict)
    broken: int = 0

    def finish(self) -> int:
        """Count the messages that never ended, too."""
        return self.broken + len(self.waiting)

    def keep(self, key: Key, frames: Frames, plan: _Plan) -> None:
        self.broken += plan.broken
        self.waiting.pop(key, None)
        if plan.open_row < len(frames.t_ns):
            self.waiting[key] = frames.take(slice(plan.open_row, None))


class IsoTp:
    """ISO-TP of one CAN id: single, first and consecutive frames, also with the long lengths of CAN FD.

    Flow control is the other side's and is ignored. A wrong sequence number, a missing frame, or a new beginning ends
    an unfinished message: it is counted, not guessed.

    Args:
        message: The message whose id answers.
        lead_bytes: Bytes before the payload that the database counts too.
        width: Bytes of a message that anyone needs.
    """

    def __init__(self, message: MessageLayout, lead_bytes: int, width: int) -> None:
        self._message, self._lead, self._width = message, lead_bytes, width
        self._open = _Conversations()

    def take(self, batch: Batch, rows: NDArray[np.intp]) -> Payloads:
        """Give the messages that end in a batch; see `Assembler`."""
        wanted = self._message.matches_id(batch.columns["can_id"][rows])
        wanted &= batch.columns["is_extended"][rows] == self._message.is_extended
        rows = rows[wanted]
        buses = batch.columns["bus"][rows]
        parts = []
        for bus in np.unique(buses):
            # One answering id per bus is one conversation; ids matched by group are told apart by themselves.
            chosen = rows[buses == bus]
            ids = batch.columns["can_id"][chosen]
            for can_id in np.unique(ids):
                key = (int(bus), int(can_id))
                frames = _frames(batch, chosen[ids == can_id]).after(self._open.waiting.get(key))
                plan = _iso_tp_plan(frames)
                self._open.keep(key, frames, plan)
                parts.append(_payloads(frames, plan, self._lead, self._width))
        return _joined(parts, self._width)

    def finish(self) -> int:
        """How many messages are incomplete."""
        return self._open.finish()


@dataclass(frozen=True, slots=True)
class _Starts:
    """Beginnings of messages: rows, and for each its payload's length and place in the first frame."""

    rows: NDArray[np.int64]
    length: NDArray[np.int64]
    skip: NDArray[np.int64]


def _iso_tp_starts(frames: Frames, kind: NDArray[np.int64]) -> _Starts:
    """Single and first frames whose stated length is possible (ISO 15765-2:2016, 9.6)."""
    rows = np.flatnonzero((kind == _SINGLE) | (kind == _FIRST))
    data, size = frames.data[rows].astype(np.int64), frames.length[rows]
    data = np.pad(data, ((0, 0), (0, max(0, 6 - data.shape[1]))))
    single = kind[rows] == _SINGLE
    short = (data[:, 0] & 0x0F) << np.where(single, 0, 8) | np.where(single, 0, data[:, 1])
    long = np.where(single, data[:, 1], data[:, 2] << 24 | data[:, 3] << 16 | data[:, 4] << 8 | data[:, 5])
    escaped = short == 0
    length = np.where(escaped, long, short)
    skip = np.where(single, np.where(escaped, 2, 1), np.where(escaped, 6, 2))
    fits = np.where(single, length <= size - skip, (length > size - skip) & (size >= _CLASSIC_BYTES))
    sound = fits & (length > 0) & (length <= MAX_MESSAGE_BYTES) & ~(single & escaped & (size <= _CLASSIC_BYTES))
    return _Starts(rows[sound].astype(np.int64), length[sound], skip[sound])


def _iso_tp_plan(frames: Frames) -> _Plan:
    """Find the whole messages among the frames of one id, in order."""
    kind = np.where(frames.length > 0, frames.data[:, 0] >> 4, -1).astype(np.int64)
    starts = _iso_tp_starts(frames, kind)
    further = np.flatnonzero(kind == _CONSECUTIVE)
    owner = np.searchsorted(starts.rows, further, side="right") - 1
    orphans = int((owner < 0).any())
    further, owner = further[owner >= 0], owner[owner >= 0]
    size = frames.length[starts.rows]
    inside = np.minimum(size - starts.skip, starts.length)
    step = np.maximum(size - 1, 1)
    needed = -(-(starts.length - inside) // step)
    rank = np.arange(len(owner)) - np.searchsorted(owner, owner, side="left")
    in_order = (frames.data[further, 0] & 0x0F) == (rank + 1) % _SEQUENCE
    # The last frame of a message may be shorter than the others, but never than what is left.
    left = starts.length[owner] - inside[owner] - rank * step[owner]
    good = in_order & (rank < needed[owner]) & (frames.length[further] - 1 >= np.minimum(left, step[owner]))
    wrong_at = np.full(len(starts.rows), np.iinfo(np.int64).max)
    np.minimum.at(wrong_at, owner[~good], rank[~good])
    there = np.bincount(owner, minlength=len(starts.rows))
    whole = (there >= needed) & (wrong_at >= needed)
    still_open = len(whole) > 0 and not whole[-1] and wrong_at[-1] == np.iinfo(np.int64).max
    # Frames behind a whole message belong to one whose beginning is missing.
    surplus = int((whole & (there > needed)).sum())
    broken = int((~whole).sum()) - int(still_open) + orphans + surplus
    open_row = int(starts.rows[-1]) if still_open else len(frames.t_ns)
    used = whole[owner] & (rank < needed[owner])
    number = np.cumsum(whole) - 1
    chosen = np.flatnonzero(whole)
    return _Plan(
        starts.rows[chosen], starts.length[chosen], starts.skip[chosen], inside[chosen], step[chosen],
        further[used], number[owner[used]], rank[used], open_row, broken,
    )  # fmt: skip


class J1939Transport:
    """Single frames of a parameter group, and those that came in packets (BAM, or RTS/CTS to one receiver).

    Packets are put in their places by their numbers, so that repeated ones do no harm. Packets without their
    announcement cannot be told from another group's and are not counted.

    Args:
        message: The message whose parameter group is wanted.
        width: Bytes of a message that anyone needs.
    """

    def __init__(self, message: MessageLayout, width: int) -> None:
        self._message, self._width = message, width
        self._open = _Conversations()

    def take(self, batch: Batch, rows: NDArray[np.intp]) -> Payloads:
        """Give the messages that end in a batch; see `Assembler`."""
        rows = rows[batch.columns["is_extended"][rows]]
        can_id = batch.columns["can_id"][rows]
        single = _frames(batch, rows[self._message.matches_id(can_id)])
        kept = min(self._width, single.data.shape[1])
        data = np.pad(single.data[:, :kept], ((0, 0), (0, self._width - kept)))
        parts = [Payloads(single.t_ns, data, single.length.astype(np.uint32))] if len(single.t_ns) else []
        form = (can_id >> 16) & 0xFF
        packets = rows[(form == _CONNECTION) | (form == _DATA)]
        for key, chosen in _conversations(batch, packets).items():
            frames = _frames(batch, chosen).after(self._open.waiting.get(key))
            plan = self._plan(frames)
            self._open.keep(key, frames, plan)
            if len(plan.first):
                parts.append(self._whole(frames, plan))
        return _joined(parts, self._width)

    def _whole(self, frames: Frames, plan: _Plan) -> Payloads:
        return _payloads(frames, plan, 0, self._width)

    def _plan(self, frames: Frames) -> _Plan:
        """Find the whole messages among the packets that one source sends to one destination."""
        data = np.pad(frames.data, ((0, 0), (0, max(0, _CLASSIC_BYTES - frames.data.shape[1])))).astype(np.int64)
        form, full = (frames.can_id >> 16) & 0xFF, frames.length >= _CLASSIC_BYTES
        control = data[:, 0]
        begins = (form == _CONNECTION) & full & ((control == _REQUEST) | (control == _BROADCAST))
        starts = np.flatnonzero(begins)
        length, packets = data[starts, 1] | data[starts, 2] << 8, data[starts, 3]
        group = data[starts, 5] | data[starts, 6] << 8 | data[starts, 7] << 16
        possible = (length >= _LOWEST_J1939_BYTES) & (length <= _HIGHEST_J1939_BYTES)
        possible &= packets == -(-length // _PACKET_BYTES)
        ours = self._is_ours(group, frames.can_id[starts])
        further = np.flatnonzero((form == _DATA) & full)
        owner = np.searchsorted(starts, further, side="right") - 1
        further, owner = further[owner >= 0], owner[owner >= 0]
        rank = control[further] - 1
        used = (rank >= 0) & (rank < packets[owner])
        # Of packets sent again, the first stays.
        _, once = np.unique(owner[used] * (_HIGHEST_PACKETS + 1) + rank[used], return_index=True)
        further, owner, rank = further[used][once], owner[used][once], rank[used][once]
        whole = possible & (np.bincount(owner, minlength=len(starts)) == packets)
        still_open = len(whole) > 0 and bool(possible[-1] and ours[-1] and not whole[-1])
        broken = int((ours & ~whole).sum()) - int(still_open)
        open_row = int(starts[-1]) if still_open else len(frames.t_ns)
        chosen, taken = np.flatnonzero(whole & ours), (whole & ours)[owner]
        number = np.cumsum(whole & ours) - 1
        none, seven = np.zeros(len(chosen), np.int64), np.full(len(chosen), _PACKET_BYTES, np.int64)
        return _Plan(
            starts[chosen], length[chosen], none, none, seven,
            further[taken], number[owner[taken]], rank[taken], open_row, broken,
        )  # fmt: skip

    def _is_ours(self, group: NDArray[np.int64], can_id: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Whether the announced group, sent from its source, would be the message's id."""
        addressed = (group >> 8) & 0xFF < _FIRST_BROADCAST_FORMAT
        destination = np.where(addressed, (can_id >> 8) & 0xFF, 0)
        priority = self._message.frame_id & ~0x03FFFFFF
        stated = priority | (group & ~np.where(addressed, 0xFF, 0) | destination) << 8 | can_id & 0xFF
        return self._message.matches_id(stated.astype(np.uint32))

    def finish(self) -> int:
        """How many announced messages of the group are incomplete."""
        return self._open.finish()


def _conversations(batch: Batch, rows: NDArray[np.intp]) -> Mapping[Key, NDArray[np.intp]]:
    """Packets by (bus, destination and source address)."""
    can_id = batch.columns["can_id"][rows].astype(np.int64)
    number = batch.columns["bus"][rows].astype(np.int64) << 16 | can_id & 0xFFFF
    return {(int(one),): rows[number == one] for one in np.unique(number)}


def assembler(transport: Transport, message: MessageLayout, width: int) -> Assembler:
    """The assembler of one stream.

    Args:
        transport: As the sensor's spec says.
        message: The stream's message.
        width: Bytes of a message that its wanted signals reach into.
    """
    if transport.protocol == ISO_TP:
        return IsoTp(message, transport.lead_bytes, width)
    return J1939Transport(message, width)
