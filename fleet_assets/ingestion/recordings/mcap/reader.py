"""Reader of MCAP recordings: one file, or several on one clock as split recordings and ROS 2 folders have them.

Here belongs which channel a message counts to and how files follow each other. How a file is walked through past damage
is in the other modules beside, how messages become columns in ``messages/decoders.py``.
"""

import mmap
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fleet_assets.ingestion.recordings.file_order import is_dbc, lanes, transitions
from fleet_assets.ingestion.recordings.mcap.layout import (
    Layout,
    first_payloads,
    holds_none,
    read_layout,
    schema_less,
)
from fleet_assets.ingestion.recordings.mcap.losses import UPLOAD_AGAIN, Unusable, file_losses
from fleet_assets.ingestion.recordings.mcap.order import Held, spans
from fleet_assets.ingestion.recordings.mcap.records import MAGIC, ChunkHead, Record
from fleet_assets.ingestion.recordings.mcap.walk import Indexes, Row, Walker
from fleet_assets.ingestion.recordings.media import MessageKind, Payload
from fleet_assets.ingestion.recordings.messages.decoders import MessageDecoder, message_decoder
from fleet_assets.ingestion.recordings.pass_account import PassAccount
from fleet_assets.ingestion.recordings.protocol import (
    NS_PER_S,
    Batch,
    Channel,
    Files,
    Loss,
    Summary,
    UnreadableRecordingError,
)
from fleet_assets.ingestion.recordings.windows import Chunk, cut, weave

FORMAT: Final = "mcap"
PUBLISH_TIME: Final = "publish_time"
UTC_FROM_NS: Final = 1_262_304_000 * NS_PER_S
"""2010-01-01; log times from here on are UTC, those before count from a boot."""
UTC_UNTIL_NS: Final = 4_102_444_800 * NS_PER_S
"""2100-01-01."""
STRAY_NS: Final = 3600 * NS_PER_S
"""How far a log time may lie outside what the statistics state before it is taken for damage."""
_MAX_TIME: Final = (1 << 63) - 1


def is_mcap(head: bytes) -> bool:
    """Whether a file that begins like this is an MCAP file."""
    return head.startswith(MAGIC)


@dataclass(frozen=True, slots=True)
class _File:
    """One readable file; its channels' decoders by number."""

    name: str
    path: Path
    layout: Layout
    extent_ns: tuple[int, int]
    decoders: Mapping[int, MessageDecoder]


class McapRecording:
    """One MCAP recording.

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
            reasons = "; ".join(loss.reason for loss in self._losses[:3]) or "no MCAP file"
            rule = self._losses[-1].rule if len({loss.path for loss in self._losses}) == 1 else "no_messages"
            raise UnreadableRecordingError(
                min(files, default="(no files)"), rule, value=reasons, limit="messages", remedy=UPLOAD_AGAIN
            )
        self._files = sorted(found, key=lambda file: (file.extent_ns, file.name))
        self._losses += transitions(self._files)
        self._names = _channel_names(self._files)
        start_ns, end_ns = self.extent_ns()
        utc = start_ns >= UTC_FROM_NS and end_ns < UTC_UNTIL_NS
        self.container_start_ns = start_ns if utc else None
        self.clock = "utc" if utc else "monotonic"
        self._account = PassAccount()
        self._pass_losses: list[Loss] = []

    def _open(self, name: str, path: Path) -> _File | None:
        size = path.stat().st_size
        with path.open("rb") as stream:
            head = stream.read(64)
        if not is_mcap(head):
            if not is_dbc(head):
                rule = "wrong_magic" if size else "empty_file"
                self._lose(name, size, None, rule, f"begins with {head[:8].hex(' ')}, expected {MAGIC.hex(' ')}")
            return None
        content = _mapped(path)
        layout = read_layout(content)
        if layout.problem:
            self._lose(name, 0, 0, "missing_index", f"{layout.problem}; the file was scanned instead")
        if layout.extent_ns is None:
            lost_bytes, messages = (size, None) if layout.damage else (0, 0)
            self._lose(name, lost_bytes, messages, "no_messages", layout.damage or "the file holds no message")
            return None
        without = [number for number, channel in schema_less(layout).items() if channel.encoding]
        samples = first_payloads(content, layout, without) if without else {}
        return _File(name, path, layout, layout.extent_ns, _decoders(layout, samples))

    def _lose(self, name: str, size: int, messages: int | None, rule: str, words: str) -> None:
        self._losses.append(Loss(name, size, messages, f"{name}: {rule}: {words}. {UPLOAD_AGAIN}", rule))

    def channels(self) -> tuple[Channel, ...]:
        """List the channels, those without messages too."""
        counts: Counter[str] = Counter()
        found: dict[str, tuple[MessageDecoder, str]] = {}
        for file, names in zip(self._files, self._names, strict=True):
            for number, name in names.items():
                counts[name] += file.layout.counts[number]
                found.setdefault(name, (file.decoders[number], file.layout.schema_of(number).name))
        return tuple(
            Channel(name, decoder.kind, _fields(decoder), counts[name], type_name, decoder.problem)
            for name, (decoder, type_name) in sorted(found.items())
        )

    def extent_ns(self) -> tuple[int, int]:
        """First and last log time over all files."""
        return min(file.extent_ns[0] for file in self._files), max(file.extent_ns[1] for file in self._files)

    def batches(self, wanted: Collection[str] | None = None) -> Iterator[Batch]:
        """Yield messages window by window in time order; see the protocol."""
        self._account.reset()
        self._pass_losses.clear()
        origin = self.extent_ns()[0]
        names = {file.name: names for file, names in zip(self._files, self._names, strict=True)}
        sources = [
            cut(chain.from_iterable(self._chunks(file, names[file.name], wanted) for file in lane), origin)
            for lane in lanes(self._files)
        ]
        yield from self._account.watched(weave(sources))

    def payloads(self, wanted: Collection[str]) -> Iterator[Payload]:
        """Yield whole messages; see ``media.PayloadRecording``."""
        for file, names in zip(self._files, self._names, strict=True):
            kinds = {number: _kind(file.layout, number) for number, name in names.items() if name in wanted}
            for step in self._rows(file, {number: names[number] for number in kinds}, Unusable()):
                for number, rows in step:
                    t_ns, timed = _times(file, [row[0] for row in rows])
                    for row, at, usable in zip(rows, t_ns.tolist(), timed.tolist(), strict=True):
                        if usable:
                            yield Payload(names[number], at, row[2], kinds[number])

    def _chunks(self, file: _File, names: Mapping[int, str], wanted: Collection[str] | None) -> Iterator[list[Chunk]]:
        chosen = {number: name for number, name in names.items() if wanted is None or name in wanted}
        unusable = Unusable()
        for step in self._rows(file, chosen, unusable):
            yield [_chunk(file, number, chosen[number], rows, unusable) for number, rows in step]

    def _rows(
        self, file: _File, chosen: Mapping[int, str], unusable: Unusable
    ) -> Iterator[Sequence[tuple[int, Sequence[Row]]]]:
        """Messages of the chosen channels, some at a time; what was lost is stated once all are out."""
        if not chosen:
            return
        content = _mapped(file.path)

        def passes(record: Record, _head: ChunkHead, indexes: Indexes) -> bool:
            return holds_none(content, file.layout, chosen, record, indexes)

        walker = Walker(content, file.layout.channels, chosen, passes=passes)
        held = Held()
        for span in spans(content, file.layout):
            for _ in walker.walk(span.at, span.end):
                yield list(held.pass_on(walker.drain(), span.until_ns))
        yield list(held.rest())
        self._pass_losses += file_losses(file.name, file.layout, walker, chosen) + unusable.losses(file.name)

    def summary(self) -> Summary:
        """Counts and losses of the pass made by ``batches``."""
        channels = self._account.summaries(sorted({name for names in self._names for name in names.values()}))
        return Summary(channels, (*self._losses, *self._pass_losses))

    def close(self) -> None:
        """Forget the files; they are mapped only while they are read."""
        self._files, self._names = [], []


def _mapped(path: Path) -> mmap.mmap:
    with path.open("rb") as stream:
        return mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)


def _kind(layout: Layout, number: int) -> MessageKind:
    schema = layout.schema_of(number)
    return MessageKind(layout.channels[number].encoding, schema.name, schema.encoding, bytes(schema.data))


def _decoders(layout: Layout, samples: Mapping[int, bytes]) -> dict[int, MessageDecoder]:
    found = {}
    for number, channel in layout.channels.items():
        schema = layout.schema_of(number)
        found[number] = message_decoder(
            channel.encoding, schema.name, schema.encoding, schema.data, sample=samples.get(number)
        )
    return found


def _fields(decoder: MessageDecoder) -> tuple[str, ...]:
    if decoder.kind != "fields" or PUBLISH_TIME in decoder.fields:
        return decoder.fields
    return (*decoder.fields, PUBLISH_TIME)


def _channel_names(files: Sequence[_File]) -> list[dict[int, str]]:
    """Name the channels of each file by topic, and by topic and number where a topic's messages differ in fields."""
    kinds: dict[str, dict[tuple[object, ...], int]] = defaultdict(dict)
    for file in files:
        for number, channel in sorted(file.layout.channels.items()):
            decoder = file.decoders[number]
            kinds[channel.topic].setdefault((decoder.kind, decoder.fields), number)
    named = []
    for file in files:
        names = {}
        for number, channel in file.layout.channels.items():
            decoder, others = file.decoders[number], kinds[channel.topic]
            first = others[decoder.kind, decoder.fields]
            clash = list(others.values()).count(first) > 1
            place = list(others).index((decoder.kind, decoder.fields))
            suffix = f"#{first}.{place}" if clash else f"#{first}"
            names[number] = channel.topic if len(others) == 1 else channel.topic + suffix
        named.append(names)
    return named


def _times(file: _File, values: Sequence[int]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Log times, and which of them can be true."""
    times = np.array(values, dtype=np.uint64)
    usable = times <= np.uint64(_MAX_TIME)
    t_ns = np.where(usable, times, np.uint64(0)).astype(np.int64)
    if file.layout.stated:
        first, last = file.extent_ns
        usable &= (t_ns >= first - STRAY_NS) & (t_ns <= min(last + STRAY_NS, _MAX_TIME))
    return t_ns, usable


def _chunk(file: _File, number: int, name: str, rows: Sequence[Row], unusable: Unusable) -> Chunk:
    """Decode messages of one channel; those without a possible time or content are left out and counted."""
    decoder = file.decoders[number]
    t_ns, timed = _times(file, [row[0] for row in rows])
    payloads = [row[2] for row in rows]
    columns, sound = decoder.columns(payloads)
    if not sound.all():
        size = sum(len(payload) for payload, good in zip(payloads, sound.tolist(), strict=True) if not good)
        words = f"cannot be decoded: a payload must be {decoder.expects}"
        unusable.add(name, "undecodable_message", int((~sound).sum()), size, words)
    unusable.add(name, "invalid_time", int((sound & ~timed).sum()), 0, "have no possible log time")
    if decoder.kind == "fields" and PUBLISH_TIME not in columns:
        published = np.minimum(np.array([row[1] for row in rows], dtype=np.uint64), np.uint64(_MAX_TIME))
        columns = {**columns, PUBLISH_TIME: published.astype(np.int64)[sound]}
    if not timed.all():
        columns = {key: values[timed[sound]] for key, values in columns.items()}
    return (name, number), t_ns[sound & timed], columns
