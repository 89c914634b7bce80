"""ROS 1 and ROS 2 bags for tests: written by rosbags, or record by record where rosbags knows one order only."""

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from rosbags.highlevel import AnyReader
from rosbags.rosbag1 import Writer as Ros1Writer
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin
from rosbags.rosbag2 import Writer as Ros2Writer
from rosbags.typesys import Stores, get_typestore

START_NS: Final = 1_714_550_400 * 1_000_000_000
IMU: Final = "/imu"
FIX: Final = "/fix"
ROS1: Final = get_typestore(Stores.ROS1_NOETIC)
ROS2: Final = get_typestore(Stores.ROS2_HUMBLE)
COMPRESSIONS: Final = ("none", "bz2", "lz4")
TYPES: Final = {IMU: "sensor_msgs/msg/Imu", FIX: "sensor_msgs/msg/NavSatFix"}


def _stamp(store: Any, t_ns: int) -> Any:
    time = store.types["builtin_interfaces/msg/Time"]
    return time(sec=t_ns // 1_000_000_000, nanosec=t_ns % 1_000_000_000)


def message(store: Any, topic: str, number: int, t_ns: int) -> Any:
    """A message whose values tell its number."""
    types = store.types
    header = types["std_msgs/msg/Header"]
    more = {"seq": number} if store is ROS1 else {}
    head = header(stamp=_stamp(store, t_ns), frame_id="frame", **more)
    if topic == FIX:
        return types[TYPES[FIX]](
            header=head,
            status=types["sensor_msgs/msg/NavSatStatus"](status=1, service=1),
            latitude=48.0 + number * 1e-6,
            longitude=11.0,
            altitude=500.0,
            position_covariance=np.zeros(9),
            position_covariance_type=0,
        )
    vector, turn = types["geometry_msgs/msg/Vector3"], types["geometry_msgs/msg/Quaternion"]
    return types[TYPES[IMU]](
        header=head,
        orientation=turn(x=0.0, y=0.0, z=0.0, w=1.0),
        orientation_covariance=np.zeros(9),
        angular_velocity=vector(x=0.0, y=0.0, z=number * 0.001),
        angular_velocity_covariance=np.zeros(9),
        linear_acceleration=vector(x=number * 0.5, y=-1.0, z=9.81),
        linear_acceleration_covariance=np.zeros(9),
    )


def drive(count: int = 200, first: int = 0, start_ns: int = START_NS) -> Iterator[tuple[str, int, int]]:
    """Topic, number and time of the messages of a drive: an IMU at 100 Hz, a fix at 10 Hz."""
    for number in range(first, first + count):
        t_ns = start_ns + number * 10_000_000
        yield IMU, number, t_ns
        if number % 10 == 0:
            yield FIX, number // 10, t_ns + 1_000_000


def write_ros1(
    path: Path, messages: Sequence[tuple[str, int, int]], compression: str = "none", chunk_bytes: int = 8192
) -> Path:
    """Write a ROS 1 bag through rosbags, closing a chunk after some bytes."""
    writer = Ros1Writer(path)
    writer.chunk_threshold = chunk_bytes
    if compression != "none":
        writer.set_compression(Ros1Writer.CompressionFormat[compression.upper()])
    with writer:
        connections = {topic: writer.add_connection(topic, kind, typestore=ROS1) for topic, kind in TYPES.items()}
        for topic, number, t_ns in messages:
            payload = ROS1.serialize_ros1(message(ROS1, topic, number, t_ns), TYPES[topic])
            writer.write(connections[topic], t_ns, bytes(payload))
    return path


def write_ros2(
    folder: Path,
    messages: Sequence[tuple[str, int, int]],
    *,
    mcap: bool = False,
    mode: CompressionMode = CompressionMode.NONE,
) -> dict[str, Path]:
    """Write a ROS 2 bag through rosbags; returns its files by name."""
    storage = StoragePlugin.MCAP if mcap else StoragePlugin.SQLITE3
    writer = Ros2Writer(folder, version=9, storage_plugin=storage)
    writer.set_compression(mode, CompressionFormat.ZSTD)
    with writer:
        connections = {topic: writer.add_connection(topic, kind, typestore=ROS2) for topic, kind in TYPES.items()}
        for topic, number, t_ns in messages:
            payload = ROS2.serialize_cdr(message(ROS2, topic, number, t_ns), TYPES[topic])
            writer.write(connections[topic], t_ns, bytes(payload))
    return {path.name: path for path in sorted(folder.iterdir())}


def oracle(paths: Sequence[Path]) -> dict[str, list[int]]:
    """Times of arrival by topic as rosbags reads them."""
    found: dict[str, list[int]] = {}
    with AnyReader(list(paths), default_typestore=ROS2) as reader:
        for connection, t_ns, _ in reader.messages():
            found.setdefault(connection.topic, []).append(t_ns)
    return found


@dataclass(frozen=True, slots=True)
class Body:
    """A ROS 1 connection for bags that are written record by record."""

    topic: str
    type: str
    text: str


def _header(fields: Sequence[tuple[str, bytes]]) -> bytes:
    rows = [f"{name}=".encode() + value for name, value in fields]
    joined = b"".join(struct.pack("<I", len(row)) + row for row in rows)
    return struct.pack("<I", len(joined)) + joined


def record(fields: Sequence[tuple[str, bytes]], data: bytes = b"") -> bytes:
    """One record of a ROS 1 bag, its header fields in the given order."""
    return _header(fields) + struct.pack("<I", len(data)) + data


def u32(value: int) -> bytes:
    """Four bytes, little-endian."""
    return struct.pack("<I", value)


def bag_of_records(
    connections: Sequence[Body], messages: Sequence[tuple[int, int, bytes]], order: Sequence[str]
) -> bytes:
    """A ROS 1 bag with one plain chunk and no index, message headers in a chosen order of fields."""
    parts = []
    for number, body in enumerate(connections):
        data = _header(
            [("topic", body.topic.encode()), ("type", body.type.encode()), ("message_definition", body.text.encode())]
        )[4:]
        parts.append(record([("conn", u32(number)), ("op", b"\x07"), ("topic", body.topic.encode())], data))
    for number, t_ns, payload in messages:
        seconds, rest = divmod(t_ns, 1_000_000_000)
        fields = {"conn": u32(number), "op": b"\x02", "time": u32(seconds) + u32(rest)}
        parts.append(record([(name, fields[name]) for name in order], payload))
    inner = b"".join(parts)
    chunk = record([("compression", b"none"), ("op", b"\x05"), ("size", u32(len(inner)))], inner)
    head = record(
        [("chunk_count", u32(0)), ("conn_count", u32(0)), ("index_pos", bytes(8)), ("op", b"\x03")], b" " * 4027
    )
    return b"#ROSBAG V2.0\n" + head + chunk
