"""One synthetic drive written in every recording format that can carry it, through each format's usual library.

Here belong the writers. The drive's motion and its CAN frames come from the factories beside; time stamps are whole
multiples of 10 microseconds, so that every format holds them exactly.
"""

import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np

from tests.mdf4_factory import MDF4_DBC, MDF4_DBC_NAME, MDF4_SPEC, can_frames, write_mdf4_frames
from tests.recordings_factory import motion

TICK_NS: Final = 10_000
NS_PER_S: Final = 1_000_000_000
NS_PER_MS: Final = 1_000_000
_BLF_START_AT: Final = 40
"""Offset of the measurement's start in the file header of a BLF."""
CAN_VEHICLE: Final = "factory_can"
CAN_FORMATS: Final = ("mcap", "ros1", "ros2", "mdf4", "blf", "asc", "candump")
CAN_SPEC: Final = (
    MDF4_SPEC.replace("name: factory_mdf4", f"name: {CAN_VEHICLE}")
    .replace("format: mdf4", f"format: [{', '.join(CAN_FORMATS)}]")
    .replace("    bus: 1\n", "")
)
TOPIC_VEHICLE: Final = "factory_topics"
TOPIC_FORMATS: Final = ("mcap", "ros1", "ros2")
TOPIC_SPEC: Final = f"""schema: fleet.vehicle/v1
name: {TOPIC_VEHICLE}
description: Test vehicle that records ROS topics
format: [{", ".join(TOPIC_FORMATS)}]
sensors:
  gnss:
    kind: gnss
    channel: /fix
    latency_ms: {{mean: 0, uncertainty: 20}}
    rate_hz: {{nominal: 10, tolerance: 0.2}}
    required: true
    valid_when: {{field: status.status, at_least: 0}}
    signals:
      lat_deg: {{field: latitude, unit: deg}}
      lon_deg: {{field: longitude, unit: deg}}
      alt_m: {{field: altitude, unit: m}}
  odometry:
    kind: other
    channel: /twist
    latency_ms: {{mean: 0, uncertainty: 20}}
    rate_hz: {{nominal: 10, tolerance: 0.2}}
    required: true
    signals:
      speed_mps: {{field: twist.linear.x, unit: m/s}}
  imu:
    kind: imu
    channel: /imu
    latency_ms: {{mean: 0, uncertainty: 20}}
    rate_hz: {{nominal: 100, tolerance: 0.2}}
    required: true
    signals:
      accel_long_mps2: {{field: linear_acceleration.x, unit: m/s^2}}
      accel_lat_mps2: {{field: linear_acceleration.y, unit: m/s^2}}
      yaw_rate_radps: {{field: angular_velocity.z, unit: rad/s}}
clock:
  utc_from: []
"""
_CAN_TYPE: Final = "can_msgs/msg/Frame"
_CAN_MSG: Final = """std_msgs/Header header
uint32 id
bool is_rtr
bool is_extended
bool is_error
uint8 dlc
uint8[8] data
"""


@dataclass(frozen=True)
class Topic:
    """Messages of one topic as (time, rosbags message), and the type's name."""

    name: str
    type: str
    messages: list[tuple[int, Any]]


def write_can_vehicle(policies: Path) -> None:
    """Write the spec `factory_can` and its CAN database into a policies folder (`vehicles/…`)."""
    vehicles = policies / "vehicles"
    vehicles.mkdir(parents=True, exist_ok=True)
    (vehicles / f"{CAN_VEHICLE}.yaml").write_text(CAN_SPEC)
    (vehicles / MDF4_DBC_NAME).write_text(MDF4_DBC)


def write_topic_vehicle(policies: Path) -> None:
    """Write the spec `factory_topics` into a policies folder (`vehicles/…`)."""
    vehicles = policies / "vehicles"
    vehicles.mkdir(parents=True, exist_ok=True)
    (vehicles / f"{TOPIC_VEHICLE}.yaml").write_text(TOPIC_SPEC)


def write_can_drive(folder: Path, format: str, *, start_utc_ns: int, seconds: float = 13.0, seed: int = 1) -> Path:
    """Write a drive of CAN frames.

    Args:
        folder: Folder to make.
        format: One of `CAN_FORMATS`.
        start_utc_ns: UTC of the drive's zero, whole milliseconds; recorder and GNSS agree.
        seconds: Length.
        seed: Which drive.

    Returns:
        What `fleet ingest` is given.
    """
    folder.mkdir(parents=True, exist_ok=True)
    t_s, ids, frames = can_frames(start_utc_ns, seconds, seed)
    t_ns = start_utc_ns + np.rint(t_s * NS_PER_S / TICK_NS).astype(np.int64) * TICK_NS
    if format == "mdf4":
        write_mdf4_frames(folder / "drive.MF4", start_utc_ns, (t_ns - start_utc_ns) / 1e9, ids, frames)
    elif format in ("blf", "asc", "candump"):
        _write_can_log(folder, format, t_ns, ids, frames)
    else:
        write_topics(folder, format, [_can_topic(t_ns, ids, frames)])
    return folder


def write_topic_drive(folder: Path, format: str, *, start_utc_ns: int, seconds: float = 13.0, seed: int = 1) -> Path:
    """Write a drive of ROS topics; arguments as for `write_can_drive`, formats `TOPIC_FORMATS`."""
    folder.mkdir(parents=True, exist_ok=True)
    write_topics(folder, format, list(_topics(start_utc_ns, seconds, seed)))
    return folder


def write_topics(folder: Path, format: str, topics: "list[Topic]") -> None:
    """Write topics as one recording of a ROS format into an existing folder."""
    _TOPIC_WRITERS[format](folder, topics)


def _write_can_log(folder: Path, format: str, t_ns: Any, ids: Any, frames: Any) -> None:
    import can

    names = {"blf": "drive.blf", "asc": "drive.asc", "candump": "drive.log"}
    path = folder / names[format]
    # python-can cuts the nanoseconds of a BLF off from a float: only small ones, a little above, stay what they were.
    zero_ns = int(t_ns[0]) // NS_PER_MS * NS_PER_MS if format == "blf" else 0
    stamps = (t_ns - zero_ns) / 1e9 + (5e-10 if format == "blf" else 0.0)
    with can.Logger(str(path)) as log:
        for stamp, can_id, data in zip(stamps.tolist(), ids.tolist(), frames, strict=True):
            log(
                can.Message(
                    timestamp=stamp, arbitration_id=can_id, data=data.tobytes(), is_extended_id=False, channel=0
                )
            )
    if format == "blf":
        _set_blf_start(path, zero_ns)


def _set_blf_start(path: Path, start_utc_ns: int) -> None:
    """Write the start into the header's SYSTEMTIME: year, month, weekday, day, hour, minute, second, millisecond."""
    at = datetime.fromtimestamp(start_utc_ns // NS_PER_S, UTC)
    milliseconds = start_utc_ns // NS_PER_MS % 1000
    fields = (at.year, at.month, at.isoweekday() % 7, at.day, at.hour, at.minute, at.second, milliseconds)
    content = bytearray(path.read_bytes())
    struct.pack_into("<8H", content, _BLF_START_AT, *fields)
    path.write_bytes(content)


def _typestore(ros1: bool) -> Any:
    from rosbags.typesys import Stores, get_types_from_msg, get_typestore

    store = get_typestore(Stores.ROS1_NOETIC if ros1 else Stores.ROS2_HUMBLE)
    store.register(get_types_from_msg(_CAN_MSG, _CAN_TYPE))
    return store


def _header(store: Any, t_ns: int) -> Any:
    stamp = store.types["builtin_interfaces/msg/Time"](sec=t_ns // NS_PER_S, nanosec=t_ns % NS_PER_S)
    kind = store.types["std_msgs/msg/Header"]
    numbered = {"seq": 0} if "seq" in kind.__dataclass_fields__ else {}
    return kind(stamp=stamp, frame_id="base_link", **numbered)


Build = Callable[[Any], Any]
"""Makes a message with the classes of a typestore: ROS 1 and ROS 2 have different headers."""


def _can_topic(t_ns: Any, ids: Any, frames: Any) -> Topic:
    def frame(stamp: int, can_id: int, data: Any) -> Build:
        return lambda store: store.types[_CAN_TYPE](
            header=_header(store, stamp),
            id=can_id,
            is_rtr=False,
            is_extended=False,
            is_error=False,
            dlc=8,
            data=data,
        )

    messages = [
        (stamp, frame(stamp, can_id, data))
        for stamp, can_id, data in zip(t_ns.tolist(), ids.tolist(), frames, strict=True)
    ]
    return Topic("CAN", _CAN_TYPE, messages)


def _topics(start_utc_ns: int, seconds: float, seed: int) -> Iterator[Topic]:
    def ticks(rate_hz: float) -> np.ndarray:
        return np.arange(int(seconds * rate_hz)) / rate_hz

    makers: tuple[tuple[str, str, float, Callable[[Any, int, Any], Any]], ...] = (
        ("/fix", "sensor_msgs/msg/NavSatFix", 10.0, _fix),
        ("/twist", "geometry_msgs/msg/TwistStamped", 10.0, _twist),
        ("/imu", "sensor_msgs/msg/Imu", 100.0, _imu),
    )
    for name, kind, rate_hz, make in makers:
        t_s = ticks(rate_hz)
        state = motion(t_s, seed)
        messages = []
        for index, t in enumerate(t_s.tolist()):
            now = {field: float(getattr(state, field)[index]) for field in _STATE}
            stamp = start_utc_ns + round(t * NS_PER_S / TICK_NS) * TICK_NS
            messages.append((stamp, _bound(make, stamp, now)))
        yield Topic(name, kind, messages)


_STATE: Final = ("lat_deg", "lon_deg", "alt_m", "speed_mps", "accel_mps2", "yaw_rate_radps")


def _bound(make: Callable[[Any, int, Any], Any], stamp: int, now: Mapping[str, float]) -> Build:
    return lambda store: make(store, stamp, now)


def _fix(store: Any, stamp: int, now: Mapping[str, float]) -> Any:
    types = store.types
    return types["sensor_msgs/msg/NavSatFix"](
        header=_header(store, stamp),
        status=types["sensor_msgs/msg/NavSatStatus"](status=0, service=1),
        latitude=now["lat_deg"],
        longitude=now["lon_deg"],
        altitude=now["alt_m"],
        position_covariance=np.zeros(9),
        position_covariance_type=0,
    )


def _vector(store: Any, x: float = 0.0, y: float = 0.0, z: float = 0.0) -> Any:
    return store.types["geometry_msgs/msg/Vector3"](x=x, y=y, z=z)


def _twist(store: Any, stamp: int, now: Mapping[str, float]) -> Any:
    types = store.types
    twist = types["geometry_msgs/msg/Twist"](linear=_vector(store, now["speed_mps"]), angular=_vector(store))
    return types["geometry_msgs/msg/TwistStamped"](header=_header(store, stamp), twist=twist)


def _imu(store: Any, stamp: int, now: Mapping[str, float]) -> Any:
    types = store.types
    return types["sensor_msgs/msg/Imu"](
        header=_header(store, stamp),
        orientation=types["geometry_msgs/msg/Quaternion"](x=0.0, y=0.0, z=0.0, w=1.0),
        orientation_covariance=np.zeros(9),
        angular_velocity=_vector(store, z=now["yaw_rate_radps"]),
        angular_velocity_covariance=np.zeros(9),
        linear_acceleration=_vector(store, now["accel_mps2"], now["speed_mps"] * now["yaw_rate_radps"], 9.81),
        linear_acceleration_covariance=np.zeros(9),
    )


def _in_time_order(topics: list[Topic]) -> list[tuple[int, Topic, Build]]:
    every = [(stamp, topic, build) for topic in topics for stamp, build in topic.messages]
    return sorted(every, key=lambda item: (item[0], item[1].name))


def _write_ros1(folder: Path, topics: list[Topic]) -> None:
    from rosbags.rosbag1 import Writer

    store = _typestore(ros1=True)
    with Writer(folder / "drive.bag") as writer:
        known = {topic.name: writer.add_connection(topic.name, topic.type, typestore=store) for topic in topics}
        for stamp, topic, build in _in_time_order(topics):
            writer.write(known[topic.name], stamp, store.serialize_ros1(build(store), topic.type))


def _write_ros2(folder: Path, topics: list[Topic]) -> None:
    from rosbags.rosbag2 import Writer

    store = _typestore(ros1=False)
    with Writer(folder / "drive", version=8) as writer:
        known = {topic.name: writer.add_connection(topic.name, topic.type, typestore=store) for topic in topics}
        for stamp, topic, build in _in_time_order(topics):
            writer.write(known[topic.name], stamp, store.serialize_cdr(build(store), topic.type))


def _write_mcap(folder: Path, topics: list[Topic]) -> None:
    from mcap.writer import Writer

    store = _typestore(ros1=False)
    with (folder / "drive.mcap").open("wb") as stream:
        writer = Writer(stream)
        writer.start(profile="ros2", library="")
        known = {}
        for topic in topics:
            definition, _ = store.generate_msgdef(topic.type, ros_version=2)
            schema = writer.register_schema(topic.type, "ros2msg", definition.encode())
            known[topic.name] = writer.register_channel(topic.name, "cdr", schema)
        for stamp, topic, build in _in_time_order(topics):
            payload = bytes(store.serialize_cdr(build(store), topic.type))
            writer.add_message(known[topic.name], stamp, payload, stamp)
        writer.finish()


_TOPIC_WRITERS: Final[Mapping[str, Callable[[Path, list[Topic]], None]]] = {
    "mcap": _write_mcap,
    "ros1": _write_ros1,
    "ros2": _write_ros2,
}
