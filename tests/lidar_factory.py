"""Drives of one VLP-16: packets of a square room, as the ROS driver records them."""

import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

SPEC: Final = "nebula_vlp16"
TOPIC: Final = "/velodyne_packets"
RATE_HZ: Final = 10
HALF_ROOM_M: Final = 8.0
BLOCK_NS: Final = 110_592
_BLOCKS, _UNITS = 12, 32
_STEP: Final = 40
_TYPE: Final = "velodyne_msgs/msg/VelodyneScan"
_TYPES: Final = {
    "velodyne_msgs/msg/VelodynePacket": "builtin_interfaces/Time stamp\nuint8[1206] data",
    _TYPE: "std_msgs/Header header\nvelodyne_msgs/VelodynePacket[] packets",
}


def room_packet(block: int, half_room_m: float = HALF_ROOM_M) -> bytes:
    """The packet that begins with some block of a head that turns by 0.4 degrees per block."""
    parts = []
    for number in range(block, block + _BLOCKS):
        azimuth = number * _STEP % 36_000
        angle = np.radians(azimuth / 100)
        wall = half_room_m / max(abs(np.cos(angle)), abs(np.sin(angle)))
        parts.append(struct.pack("<HH", 0xEEFF, azimuth))
        parts += [struct.pack("<HB", round(wall / 0.002) + unit % 2, 40 + unit) for unit in range(_UNITS)]
    stamp_us = block * BLOCK_NS // 1000 % 3_600_000_000
    return b"".join(parts) + struct.pack("<IBB", stamp_us, 0x37, 0x22)


def scans(
    start_ns: int, seconds: float, half_room_m: float = HALF_ROOM_M
) -> Iterator[tuple[int, list[tuple[int, bytes]]]]:
    """Time of each message, and arrival and bytes of its packets."""
    block, packets = 0, []
    for number in range(int(seconds * 1e9 / (BLOCK_NS * _BLOCKS))):
        arrival_ns = start_ns + (number + 1) * BLOCK_NS * _BLOCKS
        packets.append((arrival_ns, room_packet(block, half_room_m)))
        block += _BLOCKS
        if (arrival_ns - start_ns) * RATE_HZ // 10**9 > (arrival_ns - start_ns - BLOCK_NS * _BLOCKS) * RATE_HZ // 10**9:
            yield arrival_ns + 300_000, packets
            packets = []


def write_lidar_drive(
    bag: Path, *, start_utc_ns: int, seconds: float, broken: bool = False, half_room_m: float = HALF_ROOM_M
) -> Mapping[str, Path]:
    """Write a drive as a ROS 2 bag.

    Args:
        bag: Folder of the bag, which is made.
        start_utc_ns: Begin.
        seconds: Length.
        broken: Whether some packets have the wrong mode, some blocks no mark, and one message is cut off.
        half_room_m: How far the walls are.
    """
    store: Any = get_typestore(Stores.ROS2_HUMBLE)
    for name, text in _TYPES.items():
        store.register(get_types_from_msg(text, name))
    types = store.types
    time, packet, scan = (types[name] for name in ("builtin_interfaces/msg/Time", *_TYPES))

    def stamp(t_ns: int) -> Any:
        return time(sec=t_ns // 10**9, nanosec=t_ns % 10**9)

    bag.parent.mkdir(parents=True, exist_ok=True)
    with Writer(bag, version=8, storage_plugin=StoragePlugin.MCAP) as writer:
        connection = writer.add_connection(TOPIC, _TYPE, typestore=store)
        for number, (t_ns, packets) in enumerate(scans(start_utc_ns, seconds, half_room_m)):
            if broken and number == 1:
                packets[0] = (packets[0][0], packets[0][1][:1204] + b"\x00\x22")
                packets[1] = (packets[1][0], b"\x00\x00" + packets[1][1][2:])
            body = [packet(stamp=stamp(at), data=np.frombuffer(data, np.uint8)) for at, data in packets]
            header = types["std_msgs/msg/Header"](stamp=stamp(packets[0][0]), frame_id="lidar")
            raw = bytes(store.serialize_cdr(scan(header=header, packets=body), _TYPE))
            writer.write(connection, t_ns, raw[: len(raw) // 2] if broken and number == 3 else raw)  # noqa: PLR2004
    return {path.name: path for path in sorted(bag.iterdir())}
