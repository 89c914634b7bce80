"""What the `metadata.yaml` of a ROS 2 bag states: its files, how they are compressed and how many messages they hold.

Layout: https://github.com/ros2/rosbag2/blob/rolling/rosbag2_storage/README.md. Here belongs the reading of a document
that may be damaged or hostile; comparing it with what the files hold is ``ros2_bag.py``'s business.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Final

from fleet_assets.policy.documents import MAX_DOCUMENT_BYTES, InvalidPolicyError, parse_yaml

KEY: Final = "rosbag2_bagfile_information"
NAME: Final = "metadata.yaml"
_MOST_MESSAGES: Final = 1 << 48


class InvalidMetadataError(Exception):
    """A metadata document that cannot be used; the message says why."""


@dataclass(frozen=True, slots=True)
class Metadata:
    """What the metadata states.

    Attributes:
        files: Base names of the bag's files.
        file_counts: Messages by base name, where stated.
        topic_counts: Messages by topic over all files.
        compression_mode: ``file``, ``message`` or empty, in lower case.
        compression_format: ``zstd`` or empty.
    """

    files: tuple[str, ...]
    file_counts: Mapping[str, int] = field(default_factory=dict)
    topic_counts: Mapping[str, int] = field(default_factory=dict)
    compression_mode: str = ""
    compression_format: str = ""


def is_metadata(head: bytes) -> bool:
    """Whether a file begins as the metadata of a ROS 2 bag does."""
    return b"\0" not in head and KEY.encode() + b":" in head


def _count(value: Any) -> int | None:
    usable = isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _MOST_MESSAGES
    return value if usable else None


def _mappings(value: Any) -> list[Mapping[str, Any]]:
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list) else []


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _file_counts(body: Mapping[str, Any]) -> dict[str, int]:
    stated = {}
    for entry in _mappings(body.get("files")):
        count = _count(entry.get("message_count"))
        if count is not None and _text(entry.get("path")):
            stated[PurePosixPath(entry["path"]).name] = count
    return stated


def _topic_counts(body: Mapping[str, Any]) -> Counter[str]:
    stated: Counter[str] = Counter()
    for entry in _mappings(body.get("topics_with_message_count")):
        topic, count = entry.get("topic_metadata"), _count(entry.get("message_count"))
        name = _text(topic.get("name")) if isinstance(topic, Mapping) else ""
        if name and count is not None:
            stated[name] += count
    return stated


def parse_metadata(text: bytes, source: str) -> Metadata:
    """Parse a metadata document, also one that lies inside a bag's file without the outer key.

    Args:
        text: The document.
        source: Name used in errors.

    Raises:
        InvalidMetadataError: When it is too large, no YAML, or lists no files.
    """
    try:
        document = parse_yaml(text, source)
    except InvalidPolicyError as error:
        raise InvalidMetadataError(str(error)) from error
    body = document.get(KEY, document)
    listed = body.get("relative_file_paths") if isinstance(body, Mapping) else None
    names = [PurePosixPath(name).name for name in listed if isinstance(name, str)] if isinstance(listed, list) else []
    if not names:
        raise InvalidMetadataError(f"{source}: no list {KEY}/relative_file_paths.")
    return Metadata(
        files=tuple(dict.fromkeys(names)),
        file_counts=_file_counts(body),
        topic_counts=_topic_counts(body),
        compression_mode=_text(body.get("compression_mode")).lower(),
        compression_format=_text(body.get("compression_format")).lower(),
    )


def read_metadata(path: Path, source: str) -> Metadata:
    """Read a metadata file.

    Raises:
        InvalidMetadataError: When it cannot be used.
    """
    with path.open("rb") as stream:
        return parse_metadata(stream.read(MAX_DOCUMENT_BYTES + 1), source)
