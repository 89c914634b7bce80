"""Pictures, point clouds and lidar packets out of whole messages.

Messages are told by their fields, so that ROS 1, ROS 2 and Foxglove's types (Protocol Buffers, JSON) are one. Decoding
a picture's pixels or a packet's returns belongs to those who use them.

Sources: common_interfaces/sensor_msgs (CompressedImage, Image, PointCloud2); docs.foxglove.dev (CompressedImage,
RawImage, PointCloud); tier4/nebula and ros-drivers/velodyne (packets).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeGuard

import numpy as np
from numpy.typing import NDArray

from fleet_assets.ingestion.recordings.messages.ros_scalar import BrokenMessageError
from fleet_assets.ingestion.recordings.messages.whole_messages import Values, blob

RAW: Final = "raw"
_MAGIC: Final = {b"\xff\xd8\xff": "jpeg", b"\x89PNG": "png"}
_ROS_TYPES: Final = ("", "i1", "u1", "i2", "u2", "i4", "u4", "f4", "f8")
_FOXGLOVE_TYPES: Final = ("", "u1", "i1", "u2", "i2", "u4", "i4", "f4", "f8")
_LARGEST_SIDE: Final = 1 << 15
_LARGEST_TIME_NS: Final = 1 << 62


class NotAPictureError(Exception):
    """A message without a picture, or with one of a kind that is not read."""


@dataclass(frozen=True, slots=True)
class Picture:
    """One picture as the message carries it.

    Attributes:
        capture_ns: Time stamp of the measurement, on the sensor's clock; None where the message has none.
        format: ``jpeg``, ``png`` or ``raw``.
        data: The file's bytes, or rows of pixels.
        width: Columns of a raw picture; 0 otherwise.
        height: Rows of a raw picture; 0 otherwise.
        step: Bytes per row of a raw picture; 0 otherwise.
        encoding: Pixel format of a raw picture, e.g. ``rgb8``; empty otherwise.
    """

    capture_ns: int | None
    format: str
    data: bytes | memoryview
    width: int = 0
    height: int = 0
    step: int = 0
    encoding: str = ""


@dataclass(frozen=True, slots=True)
class Packets:
    """A lidar's raw packets: the message's time, and per packet arrival (ns) and bytes."""

    capture_ns: int | None
    arrival_ns: tuple[int, ...]
    data: tuple[bytes | memoryview, ...]


@dataclass(frozen=True, slots=True)
class Cloud:
    """A point cloud: the message's time, and one array of length n per field."""

    capture_ns: int | None
    fields: Mapping[str, NDArray[Any]]


def _is_count(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def stamp_of(values: Values) -> int | None:
    """Time of the measurement that a message states, nanoseconds; None where it states none that can be one."""
    header = values.get("header")
    stamp = header.get("stamp") if isinstance(header, Mapping) else values.get("timestamp", values.get("stamp"))
    return stamp if _is_count(stamp) and stamp < _LARGEST_TIME_NS else None


def picture_of(values: Values) -> Picture:
    """Take the picture out of a message.

    Raises:
        NotAPictureError: When it has none, or one that is neither JPEG, PNG nor rows of pixels.
        BrokenMessageError: When its lengths do not fit.
    """
    if {"width", "height", "encoding", "step", "data"} <= values.keys():
        return _raw(values)
    if not {"format", "data"} <= values.keys():
        raise NotAPictureError(f"fields {', '.join(sorted(values))} are no picture")
    data = blob(values, "data")
    head = bytes(data[:4])
    found = next((name for magic, name in _MAGIC.items() if head.startswith(magic)), None)
    if found is None:
        raise NotAPictureError(f"pictures of format {str(values['format'])[:40]!r} are not read, JPEG and PNG are")
    return Picture(stamp_of(values), found, data)


def _raw(values: Values) -> Picture:
    width, height, step = (values[name] for name in ("width", "height", "step"))
    data = blob(values, "data")
    if not all(_is_count(value) and value > 0 for value in (width, height, step)):
        raise BrokenMessageError
    if max(width, height) > _LARGEST_SIDE or step * height > len(data):
        raise BrokenMessageError
    return Picture(stamp_of(values), RAW, data, width, height, step, str(values["encoding"]))


def packets_of(values: Values) -> Packets:
    """Take a lidar's packets out of a message.

    Raises:
        BrokenMessageError: When it has none, or they are broken.
    """
    packets = values.get("packets")
    if not isinstance(packets, Sequence):
        raise BrokenMessageError
    arrivals, parts = [], []
    for packet in packets:
        if not isinstance(packet, Mapping):
            raise BrokenMessageError
        data = blob(packet, "data")
        size = packet.get("size", len(data))
        arrival = stamp_of(packet)
        if not _is_count(size) or size > len(data) or arrival is None:
            raise BrokenMessageError
        arrivals.append(arrival)
        parts.append(data[:size])
    return Packets(stamp_of(values), tuple(arrivals), tuple(parts))


def cloud_of(values: Values) -> Cloud:
    """Take the points out of a message.

    Raises:
        BrokenMessageError: When it is no point cloud, or its lengths do not fit.
    """
    stride = values.get("point_step", values.get("point_stride"))
    fields = values.get("fields")
    if not _is_count(stride) or not stride or not isinstance(fields, Sequence):
        raise BrokenMessageError
    rows = _points(values, np.frombuffer(blob(values, "data"), np.uint8), stride)
    order = ">" if values.get("is_bigendian") else "<"
    return Cloud(stamp_of(values), dict(_column(rows, field, order) for field in fields))


def _points(values: Values, data: NDArray[np.uint8], stride: int) -> NDArray[np.uint8]:
    """uint8[n, stride], without what may lie behind each row of an organised cloud."""
    if "width" not in values:
        return data[: len(data) // stride * stride].reshape(-1, stride)
    width, height, step = values["width"], values.get("height", 1), values.get("row_step", 0)
    if not (_is_count(width) and _is_count(height) and _is_count(step)):
        raise BrokenMessageError
    # Some drivers leave the length of a cloud's only row out.
    step = step if height > 1 else width * stride
    if step < width * stride or step * height > len(data):
        raise BrokenMessageError
    return data[: step * height].reshape(height, step)[:, : width * stride].reshape(-1, stride)


def _column(rows: NDArray[np.uint8], field: Any, order: str) -> tuple[str, NDArray[Any]]:
    if not isinstance(field, Mapping):
        raise BrokenMessageError
    types, code = (_ROS_TYPES, field["datatype"]) if "datatype" in field else (_FOXGLOVE_TYPES, field.get("type"))
    offset, count = field.get("offset", 0), field.get("count", 1)
    if not _is_count(code) or not 0 < code < len(types) or not _is_count(offset):
        raise BrokenMessageError
    dtype = np.dtype(order + types[code])
    if count != 1 or offset + dtype.itemsize > rows.shape[1]:
        raise BrokenMessageError
    taken = np.ascontiguousarray(rows[:, offset : offset + dtype.itemsize])
    column: NDArray[Any] = taken.view(dtype)[:, 0]
    return str(field.get("name", "")), column
