"""The SQLite files of one ROS 2 bag as a recording: their order, their channels, and what a pass over them missed.

Here belongs what several such files make together. Reading one is ``ros2_db3.py``'s business, and comparing all with
the bag's metadata ``ros2_bag.py``'s.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

from fleet_assets.ingestion.recordings.file_order import lanes, transitions
from fleet_assets.ingestion.recordings.inflation import MessageInflater
from fleet_assets.ingestion.recordings.media import MessageKind, Payload
from fleet_assets.ingestion.recordings.protocol import Batch, Channel, Loss, Summary
from fleet_assets.ingestion.recordings.ros_bags.ros2_db3 import UPLOAD_AGAIN, Db3File
from fleet_assets.ingestion.recordings.ros_bags.ros2_metadata import InvalidMetadataError, parse_metadata
from fleet_assets.ingestion.recordings.ros_bags.typed_topics import Topic, is_utc, topic_channels
from fleet_assets.ingestion.recordings.windows import Chunk, cut, weave


@dataclass(frozen=True, slots=True)
class Part:
    """One readable SQLite file."""

    name: str
    database: Db3File
    extent_ns: tuple[int, int]


class Databases:
    """The SQLite files of one bag.

    Args:
        parts: The files.
        by_message: Whether their messages are compressed one by one.
        counted: Whether the metadata counts the messages, so that damage need not be counted here.
    """

    format = "ros2"

    def __init__(self, parts: Sequence[Part], *, by_message: bool, counted: bool) -> None:
        self._parts = sorted(parts, key=lambda part: (part.extent_ns, part.name))
        self._by_message, self._counted = by_message, counted
        self._topics = topic_channels(
            {
                (place, number): topic
                for place, part in enumerate(self._parts)
                for number, topic in part.database.topics.items()
            }
        )
        self._transitions = transitions(self._parts)
        self._pass_losses: list[Loss] = []
        utc = all(is_utc(t_ns) for t_ns in self.extent_ns())
        self.clock = "utc" if utc else "monotonic"
        self.container_start_ns = self.extent_ns()[0] if utc else None

    def channels(self) -> tuple[Channel, ...]:
        """List the channels; SQLite files do not state how many messages they hold."""
        return self._topics.channels({})

    def extent_ns(self) -> tuple[int, int]:
        """First and last time of arrival over all files."""
        return min(part.extent_ns[0] for part in self._parts), max(part.extent_ns[1] for part in self._parts)

    def batches(self, wanted: Collection[str] | None = None) -> Iterator[Batch]:
        """Yield messages window by window in time order; see the protocol."""
        self._topics.reset()
        self._pass_losses.clear()
        origin = self.extent_ns()[0]
        places = {part.name: place for place, part in enumerate(self._parts)}
        sources = [
            cut(chain.from_iterable(self._chunks(places[part.name], wanted) for part in lane), origin)
            for lane in lanes(self._parts)
        ]
        yield from self._topics.watched(weave(sources))

    def _chunks(self, place: int, wanted: Collection[str] | None) -> Iterator[list[Chunk]]:
        part = self._parts[place]
        numbers = part.database.topics
        chosen = None
        if wanted is not None:
            chosen = {number for number in numbers if self._topics.names[place, number] in wanted}
            if not chosen:
                return
        inflater = MessageInflater() if self._by_message else None
        name, seen, broken = part.name, 0, 0
        for step in part.database.steps(chosen):
            chunks = []
            for topic, (times, payloads) in sorted(step.items()):
                seen += len(times)
                if inflater is None:
                    chunks.append(self._topics.chunk(name, (place, topic), times, payloads))
                    continue
                whole = inflater.inflated(times.tolist(), payloads)
                broken += len(times) - len(whole[0])
                chunks.append(self._topics.chunk(name, (place, topic), *whole))
            yield chunks
        self._pass_losses += self._file_losses(place, seen, broken, chosen)

    def payloads(self, wanted: Collection[str]) -> Iterator[Payload]:
        """Yield whole messages; see ``media.PayloadRecording``."""
        for place, part in enumerate(self._parts):
            names = {number: self._topics.names[place, number] for number in part.database.topics}
            kinds = {number: _kind(part.database.topics[number]) for number, name in names.items() if name in wanted}
            inflater = MessageInflater() if self._by_message else None
            for step in part.database.steps(kinds) if kinds else ():
                for number, (times, payloads) in step.items():
                    for t_ns, stored in zip(times.tolist(), payloads, strict=True):
                        data = stored if inflater is None else inflater.inflate(stored)
                        if data is not None:
                            yield Payload(names[number], t_ns, data, kinds[number])

    def _file_losses(self, place: int, seen: int, broken: int, chosen: Collection[int] | None) -> list[Loss]:
        """What one pass over one file missed; counted here only where the metadata does not count it for the bag."""
        part, losses = self._parts[place], []
        database, name = part.database, part.name
        wrong = database.wrong_rows
        lost: int | None = 0
        if not self._counted:
            lost = self._missing_rows(place, seen + wrong, chosen)
        if database.problem or lost != 0:
            what = database.problem or "fewer rows than its index has"
            count = "an unknown number of" if lost is None else str(lost)
            reason = f"{name}: damaged_database: {what}; {'' if self._counted else f'{count} messages are lost. '}"
            losses.append(Loss(name, 0, lost, f"{reason}{UPLOAD_AGAIN}", "damaged_database"))
        if wrong:
            reason = f"{name}: wrong_row: {wrong} rows hold no time, no known topic or no message and are left out"
            losses.append(Loss(name, 0, 0 if self._counted else wrong, reason, "wrong_row"))
        if broken:
            reason = f"{name}: damaged_compression: {broken} messages cannot be decompressed and are left out"
            losses.append(Loss(name, 0, 0 if self._counted else broken, reason, "damaged_compression"))
        return losses

    def _missing_rows(self, place: int, found: int, chosen: Collection[int] | None) -> int | None:
        """Rows that should be there by the file's own metadata or index, else by the row numbers around damage."""
        database = self._parts[place].database
        around = database.rows_around_damage()
        if chosen is not None:
            return around
        stated = [count for count in (self._embedded_count(place), database.index_count()) if count is not None]
        if stated and max(stated) >= found:
            return max(stated) - found
        return around

    def _embedded_count(self, place: int) -> int | None:
        database = self._parts[place].database
        text = database.embedded_metadata()
        try:
            inside = parse_metadata(text, database.name) if text else None
        except InvalidMetadataError:
            return None
        # Of a bag of several files it counts all of them.
        return sum(inside.topic_counts.values()) if inside and len(inside.files) == 1 and inside.topic_counts else None

    def summary(self) -> Summary:
        """Counts and losses of the pass made by ``batches``."""
        losses = (*self._transitions, *self._pass_losses, *self._topics.losses())
        return Summary(self._topics.summaries(), losses)

    def close(self) -> None:
        """Close the files."""
        for part in self._parts:
            part.database.close()


def _kind(topic: Topic) -> MessageKind:
    return MessageKind(topic.encoding, topic.type, topic.definition_encoding, topic.definition)
