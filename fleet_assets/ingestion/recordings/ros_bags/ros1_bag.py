"""Reader of ROS 1 bags of format 2.0, one file or many splits on one clock.

Here belongs how files follow each other, and what they lost. The time of a message is that of its arrival at the
recorder; when it was measured is in its header, which becomes a column.
"""

from collections.abc import Collection, Iterator
from itertools import chain
from pathlib import Path
from typing import Final

from fleet_assets.ingestion.recordings.file_order import lanes, transitions
from fleet_assets.ingestion.recordings.media import MessageKind, Payload
from fleet_assets.ingestion.recordings.protocol import (
    Batch,
    Channel,
    Files,
    Loss,
    Summary,
    UnreadableRecordingError,
)
from fleet_assets.ingestion.recordings.ros_bags.ros1_layout import (
    NO_EXTENT,
    UPLOAD_AGAIN,
    BagFile,
    Connection,
    is_ros1_bag,
    open_bag,
)
from fleet_assets.ingestion.recordings.ros_bags.ros1_messages import Account, Pass, survey
from fleet_assets.ingestion.recordings.ros_bags.typed_topics import Topic, is_utc, topic_channels
from fleet_assets.ingestion.recordings.windows import Chunk, cut, weave

FORMAT: Final = "ros1"
is_ros1 = is_ros1_bag


def _topic(connection: Connection) -> Topic:
    return Topic(connection.topic, connection.type, "ros1", "ros1msg", connection.definition)


class Ros1BagRecording:
    """One ROS 1 recording.

    Args:
        files: The drive's files, in any order; those that are no bags are left alone.

    Raises:
        UnreadableRecordingError: When no file holds messages.
    """

    format = FORMAT

    def __init__(self, files: Files) -> None:
        self._losses: list[Loss] = []
        found = [bag for name in sorted(files) if (bag := self._open(name, files[name])) is not None]
        if not found:
            reasons = "; ".join(loss.reason for loss in self._losses[:3]) or "no ROS 1 bag"
            rule = self._losses[0].rule if len(self._losses) == 1 else "no_messages"
            raise UnreadableRecordingError(
                min(files, default="(no files)"), rule, value=reasons, limit="messages", remedy=UPLOAD_AGAIN
            )
        self._bags = sorted(found, key=lambda bag: (bag.extent_ns, bag.name))
        self._losses += transitions(self._bags)
        self._topics = topic_channels(
            {
                (place, number): _topic(connection)
                for place, bag in enumerate(self._bags)
                for number, connection in sorted(bag.connections.items())
            }
        )
        self._pass_losses: list[Loss] = []
        utc = all(is_utc(t_ns) for t_ns in self.extent_ns())
        self.clock = "utc" if utc else "monotonic"
        self.container_start_ns = self.extent_ns()[0] if utc else None

    def _open(self, name: str, path: Path) -> BagFile | None:
        with path.open("rb") as stream:
            if not is_ros1_bag(stream.read(64)):
                return None
        try:
            bag = open_bag(path, name)
        except UnreadableRecordingError as error:
            self._losses.append(Loss(name, path.stat().st_size, None, str(error), error.rule))
            return None
        if bag.index_problem:
            survey(bag)
            reason = (
                f"{name}: missing_index: {bag.index_problem}; the whole file was searched instead. "
                "`rosbag reindex` writes a new index"
            )
            self._losses.append(Loss(name, 0, 0, reason, "missing_index"))
        if bag.extent_ns != NO_EXTENT:
            return bag
        reason = f"{name}: no_messages: the bag holds no message that could be read. {UPLOAD_AGAIN}"
        self._losses.append(Loss(name, bag.size, None, reason, "no_messages"))
        bag.close()
        return None

    def channels(self) -> tuple[Channel, ...]:
        """List the channels that the connections of all files make."""
        return self._topics.channels(
            {(place, number): bag.counts[number] for place, bag in enumerate(self._bags) for number in bag.connections}
        )

    def extent_ns(self) -> tuple[int, int]:
        """First and last time of arrival over all files."""
        return min(bag.extent_ns[0] for bag in self._bags), max(bag.extent_ns[1] for bag in self._bags)

    def batches(self, wanted: Collection[str] | None = None) -> Iterator[Batch]:
        """Yield messages window by window in time order; see the protocol."""
        self._topics.reset()
        self._pass_losses.clear()
        origin = self.extent_ns()[0]
        places = {bag.name: place for place, bag in enumerate(self._bags)}
        sources = [
            cut(chain.from_iterable(self._chunks(places[bag.name], wanted) for bag in lane), origin)
            for lane in lanes(self._bags)
        ]
        yield from self._topics.watched(weave(sources))

    def _chunks(self, place: int, wanted: Collection[str] | None) -> Iterator[list[Chunk]]:
        bag = self._bags[place]
        chosen = None
        if wanted is not None:
            chosen = {number for number in bag.connections if self._topics.names[place, number] in wanted}
            if not chosen:
                return
        reading = Pass(bag, chosen)
        for step in reading.steps():
            yield [
                self._topics.chunk(bag.name, (place, number), sink.times, sink.payloads)
                for number, sink in step.items()
            ]
        self._pass_losses += self._file_losses(place, reading.account, chosen)

    def payloads(self, wanted: Collection[str]) -> Iterator[Payload]:
        """Yield whole messages; see ``media.PayloadRecording``."""
        for place, bag in enumerate(self._bags):
            names = {number: self._topics.names[place, number] for number in bag.connections}
            kinds = {
                number: MessageKind("ros1", connection.type, "ros1msg", connection.definition)
                for number, connection in bag.connections.items()
                if names[number] in wanted
            }
            for step in Pass(bag, kinds.keys()).steps() if kinds else ():
                for number, sink in step.items():
                    for t_ns, data in zip(sink.times, sink.payloads, strict=True):
                        yield Payload(names[number], t_ns, data, kinds[number])

    def _file_losses(self, place: int, account: Account, chosen: Collection[int] | None) -> list[Loss]:
        """What one pass over one file missed: the bytes once, the messages channel by channel."""
        bag, losses = self._bags[place], []
        found = "; ".join(account.problems)
        for number, messages in sorted(account.lost.items()):
            if chosen is not None and number not in chosen:
                continue
            name = self._topics.names.get((place, number))
            what = name or f"connection {number}, which nothing describes"
            reason = f"{bag.name}: damaged_chunk: {messages} messages of {what} are lost: {found}. {UPLOAD_AGAIN}"
            losses.append(Loss(bag.name, 0, messages, reason, "damaged_chunk", name))
        if account.orphans:
            reason = (
                f"{bag.name}: unknown_connection: {account.orphans} messages belong to no connection. {UPLOAD_AGAIN}"
            )
            losses.append(Loss(bag.name, 0, account.orphans, reason, "unknown_connection"))
        if account.lost_bytes or account.uncounted or (account.problems and not losses):
            reason = f"{bag.name}: damaged_data: {account.lost_bytes} bytes are lost: {found}. {UPLOAD_AGAIN}"
            messages_lost = None if account.uncounted else 0
            losses.append(Loss(bag.name, account.lost_bytes, messages_lost, reason, "damaged_data"))
        return losses

    def summary(self) -> Summary:
        """Counts and losses of the pass made by ``batches``."""
        losses = (*self._losses, *self._pass_losses, *self._topics.losses())
        return Summary(self._topics.summaries(), losses)

    def close(self) -> None:
        """Close the files."""
        for bag in self._bags:
            bag.close()
