"""Reader of MDF 4 recordings: bus logs and plain measurements, in one file or in many that share a clock.

Here belongs how files follow each other and what they lost. What is in them is read by the modules beside:
recordings come from outside, and a general MDF library gives neither bounded memory for damaged or unfinished files nor
a count of what it could not read.
"""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Final

from fleet_assets.ingestion.recordings.file_order import is_dbc, lanes, transitions
from fleet_assets.ingestion.recordings.mdf4.blocks import BrokenBlockError
from fleet_assets.ingestion.recordings.mdf4.layout import Layout, Section, read_layout
from fleet_assets.ingestion.recordings.mdf4.splitting import KEPT_ROWS, Tally, Walks, records
from fleet_assets.ingestion.recordings.mdf4.streams import (
    MessageStream,
    message_chunk,
    message_streams,
    survey,
)
from fleet_assets.ingestion.recordings.pass_account import PassAccount
from fleet_assets.ingestion.recordings.protocol import (
    Batch,
    Channel,
    Files,
    Loss,
    Summary,
    UnreadableRecordingError,
)
from fleet_assets.ingestion.recordings.windows import Chunk, cut, weave

FORMAT: Final = "mdf4"
_UPLOAD_AGAIN: Final = "Upload the file again; if the source is damaged too, what could be read is used."


@dataclass(frozen=True, slots=True)
class _File:
    """One readable file: streams and places per section, messages per group address, first and last time stamp."""

    name: str
    layout: Layout
    streams: tuple[Mapping[int, MessageStream], ...]
    walks: tuple[Walks, ...]
    counts: Mapping[int, int]
    extent_ns: tuple[int, int]


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
        self._kept_rows = 0
        found = [file for name in sorted(files) if (file := self._open(name, files[name])) is not None]
        if not found:
            reasons = "; ".join(loss.reason for loss in self._losses[:3]) or "no MDF 4 file"
            rule = self._losses[0].rule if len(self._losses) == 1 else "no_messages"
            raise UnreadableRecordingError(
                min(files, default="(no files)"), rule, value=reasons, limit="messages", remedy=_UPLOAD_AGAIN
            )
        self._files = sorted(found, key=lambda file: (file.extent_ns, file.name))
        self._losses += transitions(self._files)
        utc = all(file.layout.utc and file.layout.start_ns for file in self._files)
        self.container_start_ns = min(file.layout.start_ns for file in self._files) if utc else None
        self.clock = "utc" if utc else "monotonic"
        self._account = PassAccount()
        self._pass_losses: list[Loss] = []

    def _open(self, name: str, path: Path) -> _File | None:
        with path.open("rb") as stream:
            head = stream.read(64)
        if is_dbc(head):
            return None
        size = path.stat().st_size
        try:
            layout = read_layout(path, name)
            streams = message_streams(layout)
            walks = tuple(
                Walks(KEPT_ROWS - self._kept_rows) if place == 0 else Walks() for place in range(len(streams))
            )
            counts, edges = survey(layout, streams, walks)
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
            self._kept_rows += sum(places.kept_rows for places in walks)
            return _File(name, layout, streams, walks, counts, (min(edges), max(edges)))
        stated = [group.stated for section in layout.sections for group in section.groups if not group.variable]
        lost = None if None in stated else sum(count for count in stated if count is not None)
        reason = f"{name}: no_messages: the file holds no message with a time stamp. {_UPLOAD_AGAIN}"
        self._losses.append(Loss(name, size if lost != 0 else 0, lost, reason, "no_messages"))
        return None

    def channels(self) -> tuple[Channel, ...]:
        """List the channels that hold messages, without reading them."""
        counts: Counter[str] = Counter()
        fields: dict[str, dict[str, None]] = {}
        kinds: dict[str, str] = {}
        for file in self._files:
            for address, stream in chain.from_iterable(found.items() for found in file.streams):
                if file.counts.get(address, 0):
                    counts[stream.channel] += file.counts[address]
                    fields.setdefault(stream.channel, {}).update(dict.fromkeys(stream.field_names))
                    kinds[stream.channel] = "can" if stream.is_can else "fields"
        return tuple(Channel(name, kinds[name], tuple(fields[name]), counts[name]) for name in sorted(counts))

    def extent_ns(self) -> tuple[int, int]:
        """First and last time stamp over all files, header start plus relative time."""
        return min(file.extent_ns[0] for file in self._files), max(file.extent_ns[1] for file in self._files)

    def batches(self, wanted: Collection[str] | None = None) -> Iterator[Batch]:
        """Yield messages window by window in time order; see the protocol."""
        self._account.reset()
        self._pass_losses.clear()
        origin = self.extent_ns()[0]
        sources = []
        for lane in lanes(self._files):
            for number in range(max(len(file.layout.sections) for file in lane)):
                parts = [self._chunks(file, number, wanted) for file in lane if number < len(file.layout.sections)]
                sources.append(cut(chain.from_iterable(parts), origin))
        yield from self._account.watched(weave(sources))

    def _chunks(self, file: _File, number: int, wanted: Collection[str] | None) -> Iterator[list[Chunk]]:
        section, streams = file.layout.sections[number], file.streams[number]
        chosen = {address: stream for address, stream in streams.items() if wanted is None or stream.channel in wanted}
        if not chosen:
            return
        tally, unusable = Tally(), Counter[str]()
        for step in records(file.layout, section, tally, file.walks[number]):
            yield [
                message_chunk(file.layout, chosen[found.group.address], found, unusable)
                for found in step
                if found.group.address in chosen
            ]
        self._pass_losses += _section_losses(file.name, section, chosen, tally, unusable)

    def summary(self) -> Summary:
        """Counts and losses of the pass made by ``batches``."""
        channels = self._account.summaries(channel.name for channel in self.channels())
        return Summary(channels, (*self._losses, *self._pass_losses))

    def close(self) -> None:
        """Drop the memory maps."""
        self._files = []


def _section_losses(
    name: str, section: Section, streams: Mapping[int, MessageStream], tally: Tally, unusable: Mapping[str, int]
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
