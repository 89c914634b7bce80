"""Reader of MDF 4 recordings: bus logs and plain measurements, in one file or in many that share a clock.

Here belongs what a channel is and how files follow each other. CAN frames of all groups are one channel; any other
group with a time master is a channel of its own. The format is read by `mdf4_layout.py`, `mdf4_data.py` and
`mdf4_records.py`: recordings come from outside, and a general MDF library gives neither bounded memory for damaged or
unfinished files nor a count of what it could not read.
"""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fleet_assets.ingestion.recordings.mdf4_blocks import BrokenBlockError
from fleet_assets.ingestion.recordings.mdf4_data import read_span
from fleet_assets.ingestion.recordings.mdf4_layout import (
    MASTER_TYPES,
    TIME_SYNC,
    Field,
    Group,
    Layout,
    Section,
    read_layout,
)
from fleet_assets.ingestion.recordings.mdf4_records import (
    Records,
    Tally,
    is_number,
    numbers,
    payloads,
    raw_numbers,
    records,
)
from fleet_assets.ingestion.recordings.protocol import (
    NS_PER_S,
    Batch,
    Channel,
    ChannelSummary,
    Files,
    Loss,
    Summary,
    UnreadableRecordingError,
)
from fleet_assets.ingestion.recordings.windows import Chunk, Columns, cut, weave

FORMAT: Final = "mdf4"
CAN_CHANNEL: Final = "CAN"
GAP_NS: Final = 2 * NS_PER_S
"""Silence between two files that is stated; receivers send once a second, so less says nothing."""
_CAN_PREFIX: Final = "CAN_DataFrame."
_CAN_FIELDS: Final = ("bus", "can_id", "is_extended", "length", "data")
_ID_MASK: Final = 0x1FFFFFFF
_ID_FLAG: Final = 0x80000000
_HIGHEST_STANDARD_ID: Final = 0x7FF
# Length by data length code, ISO 11898-1:2015; codes above 8 mean more than 8 bytes in CAN FD only.
_CAN_FD_LENGTHS: Final = np.array([0, 1, 2, 3, 4, 5, 6, 7, 8, 12, 16, 20, 24, 32, 48, 64], dtype=np.uint8)
_MAX_TIME_S: Final = 4.0e9
_PROBE_RECORDS: Final = 4096
_PROBE_BYTES: Final = 1 << 22
_DBC_MARKS: Final = (b"VERSION", b"NS_", b"BO_", b"BU_")
_UPLOAD_AGAIN: Final = "Upload the file again; if the source is damaged too, what could be read is used."


def _is_dbc(head: bytes) -> bool:
    """Whether a file that travels with a recording is its CAN database and thus no recording file."""
    return b"\0" not in head and head.lstrip(b"\xef\xbb\xbf\r\n\t ").startswith(_DBC_MARKS)


@dataclass(frozen=True, slots=True)
class _Stream:
    """One group as a channel's source."""

    channel: str
    group: Group
    master: Field
    entries: Mapping[str, Field]

    @property
    def is_can(self) -> bool:
        return self.channel == CAN_CHANNEL


@dataclass(frozen=True, slots=True)
class _File:
    """One readable file: streams per section, messages per group address, first and last time stamp."""

    name: str
    layout: Layout
    streams: tuple[Mapping[int, _Stream], ...]
    counts: Mapping[int, int]
    extent_ns: tuple[int, int]


def _stream(group: Group, number: int) -> _Stream | None:
    masters = [entry for entry in group.fields if entry.type in MASTER_TYPES and entry.sync == TIME_SYNC]
    if group.variable or not group.record_bytes or not masters:
        return None
    frame = {
        entry.name.removeprefix(_CAN_PREFIX): entry for entry in group.fields if entry.name.startswith(_CAN_PREFIX)
    }
    if {"ID", "DataBytes"} <= frame.keys():
        return _Stream(CAN_CHANNEL, group, masters[0], frame)
    named = {entry.name: entry for entry in reversed(group.fields) if is_number(entry) and entry is not masters[0]}
    return _Stream(group.name or f"group_{number}", group, masters[0], dict(reversed(named.items())))


def _streams(layout: Layout) -> tuple[dict[int, _Stream], ...]:
    """Streams by group address, per section; a name that two plain groups share gets the group's number."""
    taken: set[str] = set()
    result: list[dict[int, _Stream]] = []
    number = 0
    for section in layout.sections:
        found: dict[int, _Stream] = {}
        for group in section.groups:
            stream = _stream(group, number)
            number += 1
            if stream is None:
                continue
            if stream.channel in taken and not stream.is_can:
                stream = _Stream(f"{stream.channel}_{number}", group, stream.master, stream.entries)
            taken.add(stream.channel)
            found[group.address] = stream
        result.append(found)
    return tuple(result)


def _times(layout: Layout, stream: _Stream, found: Records) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
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
    whole: NDArray[np.int64] = np.clip(np.nan_to_num(values), -_ID_FLAG, 2 * _ID_FLAG).astype(np.int64)
    return whole


def _can_columns(layout: Layout, stream: _Stream, found: Records) -> tuple[Columns, NDArray[np.bool_]] | None:
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


def _columns(layout: Layout, stream: _Stream, found: Records) -> tuple[Columns, NDArray[np.bool_]] | None:
    if stream.is_can:
        return _can_columns(layout, stream, found)
    values = {name: numbers(entry, found) for name, entry in stream.entries.items()}
    columns = {name: column for name, column in values.items() if column is not None}
    return columns, np.ones(len(found.rows), np.bool_)


def _chunk(layout: Layout, stream: _Stream, found: Records, unusable: Counter[str]) -> Chunk:
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


def _edges(layout: Layout, section: Section, stream: _Stream, count: int) -> list[int]:
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


def _survey(layout: Layout, streams: Sequence[Mapping[int, _Stream]]) -> tuple[dict[int, int], list[int]]:
    """Messages per group address, and time stamps that include the first and the last.

    Mixed records have to be walked through for that; sorted ones are looked at where they begin and end.

    Raises:
        BrokenBlockError: When the beginning or the end of a sorted group cannot be unpacked.
    """
    counts: Counter[int] = Counter()
    edges: list[int] = []
    for section, found in zip(layout.sections, streams, strict=True):
        if not section.id_bytes:
            for address, stream in found.items():
                there = section.data.size // stream.group.record_bytes
                counts[address] = there if stream.group.stated is None else min(there, stream.group.stated)
                edges += _edges(layout, section, stream, counts[address])
            continue
        for batch in chain.from_iterable(records(layout, section, Tally())):
            if batch.group.address in found:
                counts[batch.group.address] += len(batch.rows)
                t_ns, usable = _times(layout, found[batch.group.address], batch)
                edges += [int(t_ns[usable].min()), int(t_ns[usable].max())] if usable.any() else []
    return counts, edges


class Mdf4Recording:
    """One MDF 4 recording.

    Args:
        files: The drive's files, in any order.

    Raises:
        UnreadableRecordingError: When no file holds messages.
    """

    format = FORMAT

    def __init__(self, files: Files) -> None:
        self._losses: list[Loss] = []
        found = [file for name in sorted(files) if (file := self._open(name, files[name])) is not None]
        if not found:
            reasons = "; ".join(loss.reason for loss in self._losses[:3]) or "no MDF 4 file"
            rule = self._losses[0].rule if len(self._losses) == 1 else "no_messages"
            raise UnreadableRecordingError(
                min(files, default="(no files)"), rule, value=reasons, limit="messages", remedy=_UPLOAD_AGAIN
            )
        self._files = sorted(found, key=lambda file: (file.extent_ns, file.name))
        self._losses += _transitions(self._files)
        utc = all(file.layout.utc and file.layout.start_ns for file in self._files)
        self.container_start_ns = min(file.layout.start_ns for file in self._files) if utc else None
        self.clock = "utc" if utc else "monotonic"
        self._counts: Counter[str] = Counter()
        self._spans: dict[str, tuple[int, int]] = {}
        self._pass_losses: list[Loss] = []

    def _open(self, name: str, path: Path) -> _File | None:
        with path.open("rb") as stream:
            head = stream.read(64)
        if _is_dbc(head):
            return None
        size = path.stat().st_size
        try:
            layout = read_layout(path, name)
            streams = _streams(layout)
            counts, edges = _survey(layout, streams)
        except UnreadableRecordingError as error:
            self._losses.append(Loss(name, size, None, str(error), error.rule))
            return None
        except BrokenBlockError as error:
            self._losses.append(Loss(name, size, None, f"{name}: broken_data: {error}. {_UPLOAD_AGAIN}", "broken_data"))
            return None
        for problem in layout.problems:
            self._losses.append(
                Loss(name, 0, None, f"{name}: broken_block: {problem}. {_UPLOAD_AGAIN}", "broken_block")
            )
        if edges:
            return _File(name, layout, streams, counts, (min(edges), max(edges)))
        stated = [group.stated for section in layout.sections for group in section.groups if not group.variable]
        lost = None if None in stated else sum(count for count in stated if count is not None)
        reason = f"{name}: no_messages: the file holds no message with a time stamp. {_UPLOAD_AGAIN}"
        self._losses.append(Loss(name, size if lost != 0 else 0, lost, reason, "no_messages"))
        return None

    def channels(self) -> tuple[Channel, ...]:
        """List the channels that hold messages, without reading them."""
        counts: Counter[str] = Counter()
        fields: dict[str, dict[str, None]] = {}
        for file in self._files:
            for address, stream in chain.from_iterable(found.items() for found in file.streams):
                if file.counts.get(address, 0):
                    counts[stream.channel] += file.counts[address]
                    names = _CAN_FIELDS if stream.is_can else tuple(stream.entries)
                    fields.setdefault(stream.channel, {}).update(dict.fromkeys(names))
        return tuple(
            Channel(name, "can" if name == CAN_CHANNEL else "fields", tuple(fields[name]), counts[name])
            for name in sorted(counts)
        )

    def extent_ns(self) -> tuple[int, int]:
        """First and last time stamp over all files, header start plus relative time."""
        return min(file.extent_ns[0] for file in self._files), max(file.extent_ns[1] for file in self._files)

    def batches(self, wanted: Collection[str] | None = None) -> Iterator[Batch]:
        """Yield messages window by window in time order; see the protocol."""
        self._counts.clear()
        self._spans.clear()
        self._pass_losses.clear()
        origin = self.extent_ns()[0]
        sources = []
        for lane in _lanes(self._files):
            for number in range(max(len(file.layout.sections) for file in lane)):
                parts = [self._chunks(file, number, wanted) for file in lane if number < len(file.layout.sections)]
                sources.append(cut(chain.from_iterable(parts), origin))
        for batch in weave(sources):
            low, high = int(batch.t_ns.min()), int(batch.t_ns.max())
            first, last = self._spans.get(batch.channel, (low, high))
            self._spans[batch.channel] = (min(first, low), max(last, high))
            self._counts[batch.channel] += len(batch)
            yield batch

    def _chunks(self, file: _File, number: int, wanted: Collection[str] | None) -> Iterator[list[Chunk]]:
        section, streams = file.layout.sections[number], file.streams[number]
        chosen = {address: stream for address, stream in streams.items() if wanted is None or stream.channel in wanted}
        if not chosen:
            return
        tally, unusable = Tally(), Counter[str]()
        for step in records(file.layout, section, tally):
            yield [
                _chunk(file.layout, chosen[found.group.address], found, unusable)
                for found in step
                if found.group.address in chosen
            ]
        self._pass_losses += _section_losses(file.name, section, chosen, tally, unusable)

    def summary(self) -> Summary:
        """Counts and losses of the pass made by ``batches``."""
        channels = {
            channel.name: ChannelSummary(self._counts[channel.name], *self._spans.get(channel.name, (None, None)))
            for channel in self.channels()
        }
        return Summary(channels, (*self._losses, *self._pass_losses))

    def close(self) -> None:
        """Drop the memory maps."""
        self._files = []


def _lanes(files: Sequence[_File]) -> list[list[_File]]:
    """Put files that follow each other in one lane, so that only overlapping ones are open at a time."""
    lanes: list[list[_File]] = []
    for file in files:
        free = next((lane for lane in lanes if lane[-1].extent_ns[1] <= file.extent_ns[0]), None)
        if free is None:
            lanes.append([file])
        else:
            free.append(file)
    return lanes


def _transitions(files: Sequence[_File]) -> list[Loss]:
    """State gaps and overlaps between files that follow each other."""
    stated = []
    last = files[0]
    for file in files[1:]:
        step = file.extent_ns[0] - last.extent_ns[1]
        if step > GAP_NS:
            reason = f"{file.name}: begins {step / NS_PER_S:.3f} s after {last.name} ends. Add the file in between"
            stated.append(Loss(file.name, 0, None, reason, "gap_between_files"))
        elif step < 0:
            reason = (
                f"{file.name}: begins {-step / NS_PER_S:.3f} s before {last.name} ends. Remove files twice uploaded"
            )
            stated.append(Loss(file.name, 0, 0, reason, "overlapping_files"))
        last = max(last, file, key=lambda item: item.extent_ns[1])
    return stated


def _section_losses(
    name: str, section: Section, streams: Mapping[int, _Stream], tally: Tally, unusable: Mapping[str, int]
) -> list[Loss]:
    """What a pass over one section could not read, counted against what the file states."""
    losses = []
    for address, stream in streams.items():
        stated, read = stream.group.stated, tally.read[address]
        if stated is not None and read < stated:
            reason = f"{name}: truncated_data: {read} of {stated} messages are there. {_UPLOAD_AGAIN}"
            losses.append(Loss(name, section.data.lost_bytes, stated - read, reason, "truncated_data", stream.channel))
    problem = tally.problem or section.data.problem
    if problem and not losses:
        lost = section.data.lost_bytes + tally.rest_bytes
        reason = f"{name}: broken_data: {problem}. {_UPLOAD_AGAIN}"
        losses.append(Loss(name, lost, None, reason, "broken_data"))
    elif tally.rest_bytes and not losses:
        reason = f"{name}: partial_record: {tally.rest_bytes} bytes after the last whole message. {_UPLOAD_AGAIN}"
        losses.append(Loss(name, tally.rest_bytes, 1, reason, "partial_record"))
    for rule, messages in unusable.items():
        if messages:
            reason = f"{name}: {rule}: {messages} messages have no usable time or content and are left out"
            losses.append(Loss(name, 0, messages, reason, rule))
    return losses
