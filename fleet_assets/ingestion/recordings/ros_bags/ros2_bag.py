"""Reader of ROS 2 bags: SQLite or MCAP files with the metadata that lists them, or such SQLite files alone.

Here belongs how the files of one bag follow each other, and what they hold compared with what the metadata states. MCAP
files are read by ``mcap/reader.py``. The time of a message is that of its arrival at the recorder.
"""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Final, Protocol

from fleet_assets.ingestion.recordings.inflation import InflatedFile, is_zstd
from fleet_assets.ingestion.recordings.media import Payload, PayloadRecording
from fleet_assets.ingestion.recordings.protocol import (
    Batch,
    Channel,
    Files,
    Loss,
    Recording,
    Summary,
    UnreadableRecordingError,
)
from fleet_assets.ingestion.recordings.ros_bags.ros2_databases import Databases, Part
from fleet_assets.ingestion.recordings.ros_bags.ros2_db3 import UPLOAD_AGAIN, Db3File, is_sqlite
from fleet_assets.ingestion.recordings.ros_bags.ros2_metadata import (
    KEY,
    InvalidMetadataError,
    Metadata,
    is_metadata,
    read_metadata,
)

FORMAT: Final = "ros2"
_HEAD_BYTES: Final = 4096
_MCAP_MAGIC: Final = b"\x89MCAP"
METADATA_MARK: Final = f"{KEY}:".encode()


def is_ros2(head: bytes) -> bool:
    """Whether a file begins as the metadata or the SQLite file of a ROS 2 bag does."""
    return is_sqlite(head) or is_metadata(head)


def is_ros2_metadata(head: bytes) -> bool:
    """Whether a file begins as the metadata does that makes the files beside it a ROS 2 bag."""
    return is_metadata(head)


def is_part(head: bytes) -> bool:
    """Whether a file may be one that a bag's metadata lists: SQLite, MCAP, or either of them compressed."""
    return is_ros2(head) or head.startswith(_MCAP_MAGIC) or is_zstd(head)


def _head(path: Path) -> bytes:
    with path.open("rb") as stream:
        return stream.read(_HEAD_BYTES)


def _unreadable(files: Files, losses: Sequence[Loss]) -> UnreadableRecordingError:
    reasons = "; ".join(loss.reason for loss in losses[:3]) or "no file with messages"
    rule = losses[0].rule if len(losses) == 1 else "no_messages"
    first = min(files, default="(no files)")
    return UnreadableRecordingError(first, rule, value=reasons, limit="messages", remedy=UPLOAD_AGAIN)


class _Files(Recording, PayloadRecording, Protocol):
    """What the files of a bag make together, whatever their format."""


class Ros2BagRecording:
    """One ROS 2 bag.

    Args:
        files: The drive's files: metadata, and the files that it lists; compressed ones as they are.

    Raises:
        UnreadableRecordingError: When no file holds messages.
    """

    format = FORMAT

    def __init__(self, files: Files) -> None:
        self._losses: list[Loss] = []
        self._inflated: list[InflatedFile] = []
        heads = {name: _head(path) for name, path in sorted(files.items())}
        self._metadata_name, self._metadata = self._read_metadata(files, heads)
        try:
            self._inner = self._open(self._decompressed(files, heads))
        except BaseException:
            self._drop_inflated()
            raise
        if self._inner is None:
            self._drop_inflated()
            raise _unreadable(files, self._losses)
        self._losses += self._missing_files(files)
        self.clock, self.container_start_ns = self._inner.clock, self._inner.container_start_ns
        self._wanted: Collection[str] | None = None

    def _read_metadata(self, files: Files, heads: Mapping[str, bytes]) -> tuple[str, Metadata | None]:
        """The metadata, or None, and the name of its file; a bag is read without it too, and says so."""
        names = [name for name, head in heads.items() if is_metadata(head)]
        if len(names) > 1:
            raise UnreadableRecordingError(
                names[1],
                "several_recordings",
                value=", ".join(names),
                limit="one bag per drive",
                remedy="Make them two drives.",
            )
        name = names[0] if names else "metadata.yaml"
        try:
            if names:
                return name, read_metadata(files[name], name)
            problem, rule = "the bag has no metadata.yaml", "missing_metadata"
        except InvalidMetadataError as error:
            problem, rule = str(error), "invalid_metadata"
        reason = f"{name}: {rule}: {problem}; how many messages were recorded is told from the files alone"
        self._losses.append(Loss(name if names else min(files), 0, 0, reason, rule))
        return name, None

    def _decompressed(self, files: Files, heads: Mapping[str, bytes]) -> dict[str, tuple[Path, bytes]]:
        """Files with messages: where their plain bytes are, and how they begin."""
        found = {}
        listed = self._metadata.files if self._metadata else ()
        for name, head in heads.items():
            path = files[name]
            if is_zstd(head):
                inflated = InflatedFile(path)
                self._inflated.append(inflated)
                if inflated.problem:
                    reason = f"{name}: damaged_compression: {inflated.problem}. {UPLOAD_AGAIN}"
                    self._losses.append(
                        Loss(name, inflated.lost_bytes, self._unless_stated(), reason, "damaged_compression")
                    )
                path, head = inflated.path, _head(inflated.path)  # noqa: PLW2901 - the plain bytes stand for the file
            if is_sqlite(head) or head.startswith(_MCAP_MAGIC):
                found[name] = (path, head)
            elif PurePosixPath(name).name in listed:
                reason = f"{name}: unknown_content: neither SQLite nor MCAP. {UPLOAD_AGAIN}"
                self._losses.append(
                    Loss(name, files[name].stat().st_size, self._unless_stated(), reason, "unknown_content")
                )
        return found

    def _unless_stated(self) -> int | None:
        """Messages of a loss: counted against the metadata for the whole bag, else unknown."""
        return 0 if self._metadata and self._metadata.topic_counts else None

    def _open(self, found: Mapping[str, tuple[Path, bytes]]) -> _Files | None:
        databases = {name: path for name, (path, head) in found.items() if is_sqlite(head)}
        others = {name: path for name, (path, _) in found.items() if name not in databases}
        if databases and others:
            raise UnreadableRecordingError(
                min(found),
                "mixed_formats",
                value=f"SQLite ({min(databases)}), MCAP ({min(others)})",
                limit="one format per bag",
                remedy="Make them two drives.",
            )
        by_message = self._metadata is not None and self._metadata.compression_mode == "message"
        if others and by_message:
            raise UnreadableRecordingError(
                min(others),
                "unsupported_compression",
                value="MCAP with messages compressed one by one",
                limit="MCAP with its own compression",
                remedy="Convert it: ros2 bag convert.",
            )
        if others:
            from fleet_assets.ingestion.recordings.mcap.reader import McapRecording

            return McapRecording(others)
        parts = [part for name, path in databases.items() if (part := self._part(name, path)) is not None]
        return Databases(parts, by_message=by_message, counted=self._unless_stated() == 0) if parts else None

    def _part(self, name: str, path: Path) -> Part | None:
        try:
            database = Db3File(path, name)
        except UnreadableRecordingError as error:
            self._losses.append(Loss(name, path.stat().st_size, self._unless_stated(), str(error), error.rule))
            return None
        if database.extent_ns is not None:
            return Part(name, database, database.extent_ns)
        reason = f"{name}: no_messages: the file holds no message that could be read"
        self._losses.append(Loss(name, 0, 0 if not database.problem else self._unless_stated(), reason, "no_messages"))
        database.close()
        return None

    def _missing_files(self, files: Files) -> list[Loss]:
        if self._metadata is None:
            return []
        there = {PurePosixPath(name).name for name in files}
        losses = []
        for name in self._metadata.files:
            if name not in there:
                stated = self._metadata.file_counts.get(name)
                told = "" if stated is None else f" with {stated} messages"
                reason = f"{name}: missing_file: the metadata lists this file{told}. Upload it too"
                losses.append(Loss(name, 0, self._unless_stated(), reason, "missing_file"))
        for name in sorted(files):
            if PurePosixPath(name).name not in self._metadata.files and name != self._metadata_name:
                reason = f"{name}: unlisted_file: the metadata does not list this file; it is read if it is a bag's"
                losses.append(Loss(name, 0, 0, reason, "unlisted_file"))
        return losses

    def channels(self) -> tuple[Channel, ...]:
        """List the channels; counts are those of the metadata."""
        stated = self._metadata.topic_counts if self._metadata else {}
        return tuple(
            channel if channel.message_count is not None else replace(channel, message_count=stated.get(channel.name))
            for channel in self._opened().channels()
        )

    def extent_ns(self) -> tuple[int, int]:
        """First and last time of arrival over all files."""
        return self._opened().extent_ns()

    def batches(self, wanted: Collection[str] | None = None) -> Iterator[Batch]:
        """Yield messages window by window in time order; see the protocol."""
        self._wanted = wanted
        return self._opened().batches(wanted)

    def payloads(self, wanted: Collection[str]) -> Iterator[Payload]:
        """Yield whole messages; see ``media.PayloadRecording``."""
        return self._opened().payloads(wanted)

    def summary(self) -> Summary:
        """Counts and losses of the pass made by ``batches``, also against what the metadata states."""
        inner = self._opened().summary()
        return Summary(inner.channels, (*self._losses, *inner.losses, *self._shortfalls(inner)))

    def _shortfalls(self, inner: Summary) -> list[Loss]:
        """Messages that the metadata counts and that are neither given out nor among the losses."""
        if self._metadata is None:
            return []
        accounted: Counter[str] = Counter()
        for name, read in inner.channels.items():
            accounted[_topic_of(name, self._metadata)] += read.messages
        for loss in inner.losses:
            if loss.channel is not None:
                accounted[_topic_of(loss.channel, self._metadata)] += loss.messages or 0
        losses = []
        for topic, stated in sorted(self._metadata.topic_counts.items()):
            missing = stated - accounted[topic]
            if not missing or not self._is_wanted(topic, inner):
                continue
            found = f"{self._metadata_name}: states {stated} messages of {topic}, the files hold {accounted[topic]}"
            if missing > 0:
                named = topic if topic in inner.channels else None
                reason = f"{found}. {UPLOAD_AGAIN}"
                losses.append(Loss(self._metadata_name, 0, missing, reason, "missing_messages", named))
            else:
                losses.append(Loss(self._metadata_name, 0, 0, found, "metadata_disagrees", topic))
        return losses

    def _is_wanted(self, topic: str, inner: Summary) -> bool:
        if self._wanted is None:
            return True
        names = [name for name in inner.channels if name == topic or name.startswith(f"{topic}#")] or [topic]
        return all(name in self._wanted for name in names)

    def _opened(self) -> _Files:
        if self._inner is None:
            raise UnreadableRecordingError(self._metadata_name, "closed", remedy="Open the recording again.")
        return self._inner

    def _drop_inflated(self) -> None:
        for inflated in self._inflated:
            inflated.close()
        self._inflated.clear()

    def close(self) -> None:
        """Close the files and remove temporary ones."""
        if self._inner is not None:
            self._inner.close()
            self._inner = None
        self._drop_inflated()


def _topic_of(channel: str, metadata: Metadata) -> str:
    return channel if channel in metadata.topic_counts else channel.rpartition("#")[0] or channel
