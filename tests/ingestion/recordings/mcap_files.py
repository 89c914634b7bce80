"""MCAP files for tests, written with the mcap library: every encoding, compression and degree of indexing.

Here belongs what intact files look like, where records begin in them, and how tests read them; damage is done by
`corruption.py`.
"""

import json
import math
import random
import struct
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import Any, Final

from mcap.records import MessageIndex
from mcap.writer import CompressionType, IndexType, Writer

from fleet_assets.ingestion.recordings.mcap.reader import McapRecording
from fleet_assets.ingestion.recordings.protocol import Loss

START_NS: Final = 1_700_000_000_000_000_000
RATES_HZ: Final = {"/imu": 50, "/gnss": 5, "/odom": 20}
ENCODINGS: Final = ("ros1", "ros2", "protobuf", "json")
COMPRESSIONS: Final = {"none": CompressionType.NONE, "lz4": CompressionType.LZ4, "zstd": CompressionType.ZSTD}
_TYPE: Final = "geometry_msgs/msg/Vector3Stamped"
_PARTS: Final = ("x", "y", "z")


Times = dict[str, list[int]]
"""Log times by topic."""


@dataclass(frozen=True, slots=True)
class Sent:
    """One message as written."""

    topic: str
    log_ns: int
    publish_ns: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class Schema:
    """How the messages of one encoding are defined and made."""

    name: str
    encoding: str
    data: bytes
    message_encoding: str
    payload: Callable[[int, Sequence[float]], bytes]


def _ros(version: int) -> Schema:
    from rosbags.typesys import Stores, get_typestore

    store = get_typestore(Stores.ROS1_NOETIC if version == 1 else Stores.ROS2_HUMBLE)
    header, stamp, vector = (
        store.types[name]
        for name in ("std_msgs/msg/Header", "builtin_interfaces/msg/Time", "geometry_msgs/msg/Vector3")
    )

    def payload(t_ns: int, values: Sequence[float]) -> bytes:
        sequence = {"seq": 0} if version == 1 else {}
        moment = stamp(sec=t_ns // 10**9, nanosec=t_ns % 10**9)
        message = store.types[_TYPE](header=header(stamp=moment, frame_id="base", **sequence), vector=vector(*values))
        return bytes(store.serialize_ros1(message, _TYPE) if version == 1 else store.serialize_cdr(message, _TYPE))

    definition, _ = store.generate_msgdef(_TYPE, ros_version=version)
    name = _TYPE.replace("/msg/", "/") if version == 1 else _TYPE
    return Schema(name, f"ros{version}msg", definition.encode(), "ros1" if version == 1 else "cdr", payload)


def _protobuf() -> Schema:
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    file = descriptor_pb2.FileDescriptorProto(name="vector.proto", package="fleet", syntax="proto3")
    message = file.message_type.add(name="Vector")
    message.field.add(name="stamp_ns", number=1, type="TYPE_INT64", label="LABEL_OPTIONAL")
    for number, part in enumerate(_PARTS, start=2):
        message.field.add(name=part, number=number, type="TYPE_DOUBLE", label="LABEL_OPTIONAL")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    vector: Any = message_factory.GetMessageClass(pool.FindMessageTypeByName("fleet.Vector"))

    def payload(t_ns: int, values: Sequence[float]) -> bytes:
        made: bytes = vector(stamp_ns=t_ns, **dict(zip(_PARTS, values, strict=True))).SerializeToString()
        return made

    definition = descriptor_pb2.FileDescriptorSet(file=[file]).SerializeToString()
    return Schema("fleet.Vector", "protobuf", definition, "protobuf", payload)


def _json() -> Schema:
    properties = {"stamp_ns": {"type": "integer"}} | {part: {"type": "number"} for part in _PARTS}
    definition = json.dumps({"type": "object", "properties": properties}).encode()

    def payload(t_ns: int, values: Sequence[float]) -> bytes:
        return json.dumps({"stamp_ns": t_ns} | dict(zip(_PARTS, values, strict=True))).encode()

    return Schema("fleet.Vector", "jsonschema", definition, "json", payload)


@lru_cache(maxsize=4)
def schema_of(encoding: str) -> Schema:
    """Definition and serialiser of one of ``ENCODINGS``: a stamp and a vector of three numbers."""
    makers = {"ros1": lambda: _ros(1), "ros2": lambda: _ros(2), "protobuf": _protobuf, "json": _json}
    return makers[encoding]()


def sent_messages(encoding: str, seconds: float = 2.0, *, start_ns: int = START_NS, seed: int = 1) -> list[Sent]:
    """Messages of three topics in the order of their log times, published up to a millisecond before."""
    schema, rng = schema_of(encoding), random.Random(seed)  # noqa: S311 - repeatable content, not a secret
    found = []
    for topic, rate in RATES_HZ.items():
        for index in range(round(seconds * rate)):
            log_ns = start_ns + round(index * 1e9 / rate) + rng.randrange(100_000)
            values = (math.sin(index / rate), math.cos(index / rate), float(index))
            published = log_ns - rng.randrange(1_000_000)
            found.append(Sent(topic, log_ns, published, schema.payload(published, values)))
    return sorted(found, key=lambda one: (one.log_ns, one.topic))


def mcap_bytes(
    messages: Sequence[Sent],
    encoding: str,
    *,
    compression: str = "zstd",
    chunked: bool = True,
    indexes: IndexType = IndexType.ALL,
    summary: bool = True,
    crcs: bool = True,
    data_crc: bool = False,
    chunk_bytes: int = 4096,
    empty_indexes: bool = False,
) -> bytes:
    """An MCAP file.

    Args:
        messages: What to write, in this order.
        encoding: One of ``ENCODINGS``.
        compression: One of ``COMPRESSIONS``.
        chunked: Whether messages lie in chunks.
        indexes: Indexes to write.
        summary: Whether anything stands between the end of the data and the footer.
        crcs: Whether checksums of chunks and of the summary are written.
        data_crc: Whether the checksum of all data is written.
        chunk_bytes: Size of a chunk before compression.
        empty_indexes: Whether chunks also get message indexes of channels that have no message in them.
    """
    schema, stream = schema_of(encoding), BytesIO()
    writer = Writer(
        stream,
        chunk_size=chunk_bytes,
        compression=COMPRESSIONS[compression],
        index_types=indexes if summary else indexes & IndexType.MESSAGE,
        repeat_channels=summary,
        repeat_schemas=summary,
        use_chunking=chunked,
        use_statistics=summary,
        use_summary_offsets=summary,
        enable_crcs=crcs,
        enable_data_crcs=data_crc,
    )
    writer.start(profile=encoding if encoding.startswith("ros") else "")
    schema_id = writer.register_schema(schema.name, schema.encoding, schema.data)
    numbers: dict[str, int] = {}
    for count, one in enumerate(messages):
        if one.topic not in numbers:
            numbers[one.topic] = writer.register_channel(one.topic, schema.message_encoding, schema_id)
        if empty_indexes:
            for number in numbers.values():
                chunk = writer._Writer__chunk_builder  # type: ignore[attr-defined]  # noqa: SLF001 - no public way
                chunk.message_indices.setdefault(number, MessageIndex(channel_id=number, records=[]))
        writer.add_message(numbers[one.topic], one.log_ns, one.payload, one.publish_ns, count)
    writer.finish()  # type: ignore[no-untyped-call]
    return stream.getvalue()


def records(content: bytes | bytearray) -> Iterator[tuple[int, int, int]]:
    """Opcode, first and end offset of each record of an intact file; what lies in chunks is not looked into."""
    at = 8
    while at < len(content) - 8:
        opcode, length = struct.unpack_from("<BQ", content, at)
        yield opcode, at, at + 9 + length
        at += 9 + length


def boundaries(content: bytes | bytearray) -> list[int]:
    """Offsets at which the records of an intact file begin."""
    return [at for _, at, _ in records(content)]


def save_files(folder: Path, *contents: bytes) -> dict[str, Path]:
    """Write contents to files `drive_<n>.mcap`."""
    files = {f"drive_{number}.mcap": folder / f"drive_{number}.mcap" for number in range(len(contents))}
    for path, content in zip(files.values(), contents, strict=True):
        path.write_bytes(content)
    return files


def read_times(files: Mapping[str, Path], wanted: Collection[str] | None = None) -> tuple[Times, tuple[Loss, ...]]:
    """Log times by channel as the reader gives them, and the losses."""
    recording = McapRecording(files)
    times: Times = defaultdict(list)
    for batch in recording.batches(wanted):
        times[batch.channel] += batch.t_ns.tolist()
    losses = recording.summary().losses
    recording.close()
    return dict(times), losses


def sent_times(messages: Sequence[Sent]) -> Times:
    """Log times by topic as written."""
    times: Times = defaultdict(list)
    for one in messages:
        times[one.topic].append(one.log_ns)
    return dict(times)
