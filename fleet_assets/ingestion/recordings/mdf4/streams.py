"""Groups of an MDF 4 file as streams of messages: channel, time stamps, columns.

Here belongs what a group means. CAN frames of all groups are one channel; any other group with a time master is a
channel of its own. Splitting bytes into records is the business of `splitting.py`, reading their
fields that of `records.py`, files of a drive that of `reader.py`.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fleet_assets.ingestion.recordings.mdf4.data import read_span
from fleet_assets.ingestion.recordings.mdf4.layout import (
    MASTER_TYPES,
    TIME_SYNC,
    Field,
    Group,
    Layout,
    Section,
)
from fleet_assets.ingestion.recordings.mdf4.records import is_number, numbers, payloads, raw_numbers
from fleet_assets.ingestion.recordings.mdf4.splitting import Records, Tally, Walks, records
from fleet_assets.ingestion.recordings.protocol import NS_PER_S
from fleet_assets.ingestion.recordings.windows import Chunk, Columns

CAN_CHANNEL: Final = "CAN"
CAN_FIELDS: Final = ("bus", "can_id", "is_extended", "length", "data")
_CAN_PREFIX: Final = "CAN_DataFrame."
_ID_MASK: Final = 0x1FFFFFFF
_ID_FLAG: Final = 0x80000000
_HIGHEST_STANDARD_ID: Final = 0x7FF
# Length by data length code, ISO 11898-1:2015; codes above 8 mean more than 8 bytes in CAN FD only.
_CAN_FD_LENGTHS: Final = np.array([0, 1, 2, 3, 4, 5, 6, 7, 8, 12, 16, 20, 24, 32, 48, 64], dtype=np.uint8)
_MAX_TIME_S: Final = 4.0e9
_PROBE_RECORDS: Final = 4096
_PROBE_BYTES: Final = 1 << 22


@dataclass(frozen=True, slots=True)
class MessageStream:
    """One group as a source of a channel.

    Attributes:
        channel: The channel.
        is_can: Whether it holds CAN frames.
        group: The group.
        master: Its field with the time.
        entries: Fields by name, without the frame's prefix for CAN.
    """

    channel: str
    is_can: bool
    group: Group
    master: Field
    entries: Mapping[str, Field]

    @property
    def field_names(self) -> tuple[str, ...]:
        """Columns of its batches."""
        return CAN_FIELDS if self.is_can else tuple(self.entries)


def _stream(group: Group, number: int, taken: Collection[str]) -> MessageStream | None:
    masters = [entry for entry in group.fields if entry.type in MASTER_TYPES and entry.sync == TIME_SYNC]
    if group.variable or not group.record_bytes or not masters:
        return None
    frame = {
        entry.name.removeprefix(_CAN_PREFIX): entry for entry in group.fields if entry.name.startswith(_CAN_PREFIX)
    }
    if {"ID", "DataBytes"} <= frame.keys():
        return MessageStream(CAN_CHANNEL, True, group, masters[0], frame)
    named = {entry.name: entry for entry in reversed(group.fields) if is_number(entry) and entry is not masters[0]}
    name = group.name or f"group_{number}"
    channel = f"{name}_{number}" if name in taken else name
    return MessageStream(channel, False, group, masters[0], dict(reversed(named.items())))


def message_streams(layout: Layout) -> tuple[dict[int, MessageStream], ...]:
    """Streams by group address, per section; a name that two plain groups share gets the group's number."""
    taken = {CAN_CHANNEL}
    result: list[dict[int, MessageStream]] = []
    number = 0
    for section in layout.sections:
        found: dict[int, MessageStream] = {}
        for group in section.groups:
            stream = _stream(group, number, taken)
            number += 1
            if stream is not None:
                taken.add(stream.channel)
                found[group.address] = stream
        result.append(found)
    return tuple(result)


def _times(layout: Layout, stream: MessageStream, found: Records) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Time stamps in ns on the header's clock; False marks records without one.

    A record of zeros after the clock has left zero is a hole in the file.
    """
    seconds = numbers(stream.master, found)
    if seconds is None:
        return np.zeros(len(found.rows), np.int64), np.zeros(len(found.rows), np.bool_)
    usable = np.abs(seconds) < _MAX_TIME_S
    at_zero = np.flatnonzero(seconds == 0.0)
    if len(at_zero) and (found.first or at_zero[-1] > 0):
        hole = ~found.rows[at_zero].any(axis=1) & ((at_zero > 0) | (found.first > 0))
        usable[at_zero[hole]] = False
    nanoseconds = np.rint(np.where(usable, seconds, 0.0) * NS_PER_S).astype(np.int64)
    return nanoseconds + layout.start_ns, usable


def _integers(values: NDArray[Any]) -> NDArray[np.int64]:
    if values.dtype.kind in "biu":
        bounded: NDArray[np.int64] = np.minimum(values, 2 * _ID_FLAG).astype(np.int64)
        return bounded
    whole: NDArray[np.int64] = np.clip(np.nan_to_num(values), -_ID_FLAG, 2 * _ID_FLAG).astype(np.int64)
    return whole


def _can_columns(layout: Layout, stream: MessageStream, found: Records) -> tuple[Columns, NDArray[np.bool_]] | None:
    raw_id = raw_numbers(stream.entries["ID"], found)
    bytes_ = payloads(layout, stream.entries["DataBytes"], found)
    if raw_id is None or bytes_ is None:
        return None
    data, sizes = bytes_
    identifier = _integers(raw_id)

    def stated(name: str) -> NDArray[np.int64] | None:
        values = numbers(stream.entries[name], found) if name in stream.entries else None
        return None if values is None else _integers(values)

    extended, code, length, bus = stated("IDE"), stated("DLC"), stated("DataLength"), stated("BusChannel")
    if length is None:
        length = sizes if code is None else _CAN_FD_LENGTHS[np.clip(code, 0, 15)].astype(np.int64)
    short_id = identifier & _ID_MASK
    return {
        "bus": np.zeros(len(data), np.uint16) if bus is None else bus.astype(np.uint16),
        "can_id": short_id.astype(np.uint32),
        "is_extended": (
            ((identifier & _ID_FLAG) != 0) | (short_id > _HIGHEST_STANDARD_ID) if extended is None else extended != 0
        ),
        "length": np.clip(np.minimum(length, sizes), 0, data.shape[1]).astype(np.uint8),
        "data": data,
    }, sizes >= 0


def _columns(layout: Layout, stream: MessageStream, found: Records) -> tuple[Columns, NDArray[np.bool_]] | None:
    if stream.is_can:
        return _can_columns(layout, stream, found)
    values = {name: numbers(entry, found) for name, entry in stream.entries.items()}
    columns = {name: column for name, column in values.items() if column is not None}
    return columns, np.ones(len(found.rows), np.bool_)


def message_chunk(layout: Layout, stream: MessageStream, found: Records, unusable: Counter[str]) -> Chunk:
    """Messages of some records; those without a usable time or content are left out and counted."""
    key = (stream.channel, stream.group.address)
    t_ns, usable = _times(layout, stream, found)
    unusable["invalid_time"] += int((~usable).sum())
    columns, sound = _columns(layout, stream, found) or ({}, np.zeros(len(t_ns), np.bool_))
    unusable["lost_payload"] += int((usable & ~sound).sum())
    usable &= sound
    if usable.all():
        return key, t_ns, columns
    return key, t_ns[usable], {name: array[usable] for name, array in columns.items()}


def _edges(layout: Layout, section: Section, stream: MessageStream, count: int) -> list[int]:
    """First and last time stamps of a sorted group, without reading what lies between."""
    size = stream.group.record_bytes
    probed = max(1, min(_PROBE_RECORDS, _PROBE_BYTES // size))
    edges = []
    for first, end in ((0, min(count, probed)), (max(0, count - probed), count)):
        raw = read_span(layout.content, section.data, first * size, end * size)
        rows = raw[: len(raw) // size * size].reshape(-1, size)
        t_ns, usable = _times(layout, stream, Records(stream.group, rows, first))
        edges += [int(t_ns[usable].min()), int(t_ns[usable].max())] if usable.any() else []
    return edges


def survey(
    layout: Layout, streams: Sequence[Mapping[int, MessageStream]], walks: Sequence[Walks]
) -> tuple[dict[int, int], list[int]]:
    """Messages per group address, and time stamps that include the first and the last.

    Mixed records have to be walked through for that; sorted ones are looked at where they begin and end.

    Args:
        layout: The file.
        streams: Its streams per section.
        walks: Per section, what keeps the places of mixed records for the passes that follow.

    Raises:
        BrokenBlockError: When the beginning or the end of a sorted group cannot be unpacked.
    """
    counts: Counter[int] = Counter()
    edges: list[int] = []
    for section, found, places in zip(layout.sections, streams, walks, strict=True):
        if not section.id_bytes:
            for address, stream in found.items():
                there = section.data.size // stream.group.record_bytes
                counts[address] = there if stream.group.stated is None else min(there, stream.group.stated)
                edges += _edges(layout, section, stream, counts[address])
            continue
        for batch in chain.from_iterable(records(layout, section, Tally(), places)):
            if batch.group.address in found:
                counts[batch.group.address] += len(batch.rows)
                t_ns, usable = _times(layout, found[batch.group.address], batch)
                edges += [int(t_ns[usable].min()), int(t_ns[usable].max())] if usable.any() else []
    return counts, edges
