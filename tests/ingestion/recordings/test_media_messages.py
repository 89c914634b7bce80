"""Pictures, packets and point clouds out of messages of ROS 1, ROS 2, protobuf-like and JSON values."""

from base64 import b64encode
from typing import Any

import numpy as np
import pytest
from rosbags.typesys import Stores, get_typestore

from fleet_assets.ingestion.recordings.messages.media_messages import (
    RAW,
    NotAPictureError,
    cloud_of,
    packets_of,
    picture_of,
)
from fleet_assets.ingestion.recordings.messages.ros_scalar import BrokenMessageError
from fleet_assets.ingestion.recordings.messages.whole_messages import whole_reader

STAMP = 1_700_000_000_123_456_789
JPEG = b"\xff\xd8\xff\xe0 rest"
PNG = b"\x89PNG\r\n\x1a\n rest"
POINTS = np.array(
    [(1.5, -2.0, 0.25, 7, 31), (0.0, 4.0, -1.0, 255, 2), (9.0, 8.0, 7.0, 0, 65_535)],
    np.dtype({"names": ["x", "y", "z", "intensity", "ring"], "formats": ["<f4", "<f4", "<f4", "u1", "<u2"],
              "offsets": [0, 4, 8, 12, 14], "itemsize": 20}),
)  # fmt: skip
ROS_CODES = {"<f4": 7, "|u1": 2, "<u2": 4}
FOXGLOVE_CODES = {"<f4": 7, "|u1": 1, "<u2": 3}


def cloud_values(**changed: Any) -> dict[str, Any]:
    names = list(POINTS.dtype.names or ())
    fields = [
        {
            "name": name,
            "offset": POINTS.dtype.fields[name][1],
            "datatype": ROS_CODES[POINTS.dtype[name].str],
            "count": 1,
        }  # type: ignore[index]
        for name in names
    ]
    values = {"header": {"stamp": STAMP}, "height": 1, "width": 3, "fields": fields, "is_bigendian": False}
    return {**values, "point_step": 20, "row_step": 60, "data": POINTS.tobytes(), **changed}


def assert_points(found: Any) -> None:
    assert set(found.fields) == set(POINTS.dtype.names or ())
    for name in POINTS.dtype.names or ():
        np.testing.assert_array_equal(found.fields[name], POINTS[name])


@pytest.mark.parametrize("form", ["ros1", "cdr"])
def test_a_cloud_that_rosbags_wrote_has_its_points(form: str) -> None:
    store = get_typestore(Stores.ROS1_NOETIC if form == "ros1" else Stores.ROS2_HUMBLE)
    kinds = store.types
    stamp = kinds["builtin_interfaces/msg/Time"](sec=STAMP // 10**9, nanosec=STAMP % 10**9)
    header = kinds["std_msgs/msg/Header"](stamp=stamp, frame_id="a", **({"seq": 0} if form == "ros1" else {}))
    field = kinds["sensor_msgs/msg/PointField"]
    values = cloud_values()
    message = kinds["sensor_msgs/msg/PointCloud2"](
        header=header,
        height=1,
        width=3,
        fields=[field(**entry) for entry in values["fields"]],
        is_bigendian=False,
        point_step=20,
        row_step=60,
        data=np.frombuffer(values["data"], np.uint8),
        is_dense=True,
    )
    name = "sensor_msgs/msg/PointCloud2"
    payload = store.serialize_ros1(message, name) if form == "ros1" else store.serialize_cdr(message, name)
    found = cloud_of(whole_reader(form, name, "", b"")(bytes(payload)))
    assert found.capture_ns == STAMP
    assert_points(found)


def test_a_foxglove_cloud_has_the_same_points() -> None:
    fields = [
        {"name": name, "offset": POINTS.dtype.fields[name][1], "type": FOXGLOVE_CODES[POINTS.dtype[name].str]}  # type: ignore[index]
        for name in POINTS.dtype.names or ()
    ]
    values = {"timestamp": STAMP, "fields": fields, "point_stride": 20, "data": POINTS.tobytes()}
    assert_points(cloud_of(values))
    assert_points(cloud_of({**values, "data": b64encode(POINTS.tobytes()).decode()}))


def test_an_organised_cloud_leaves_out_what_lies_behind_each_row() -> None:
    rows = b"".join(POINTS[number : number + 1].tobytes() + b"padded  " for number in range(3))
    assert_points(cloud_of(cloud_values(height=3, width=1, row_step=28, data=rows)))


def test_points_of_a_cloud_of_the_other_byte_order_are_the_same() -> None:
    swapped = POINTS.astype(POINTS.dtype.newbyteorder(">"))
    assert_points(cloud_of(cloud_values(is_bigendian=True, data=swapped.tobytes())))


@pytest.mark.parametrize(
    "changed",
    [
        {"width": 4}, {"width": 2**32 - 1, "height": 2**32 - 1}, {"width": -1}, {"width": "3"}, {"height": None},
        {"point_step": 0}, {"point_step": -20}, {"point_step": "20"}, {"row_step": 59, "height": 3},
        {"data": None}, {"data": "no base64!"}, {"data": b""}, {"fields": 5}, {"fields": ["x"]}, {"fields": None},
        {"fields": [{"name": "x", "offset": 18, "datatype": 7, "count": 1}]},
        {"fields": [{"name": "x", "offset": -1, "datatype": 7, "count": 1}]},
        {"fields": [{"name": "x", "offset": 0, "datatype": 0, "count": 1}]},
        {"fields": [{"name": "x", "offset": 0, "datatype": 200, "count": 1}]},
        {"fields": [{"name": "x", "offset": 0, "datatype": None, "count": 1}]},
        {"fields": [{"name": "x", "offset": 0, "datatype": 7, "count": 1_000_000}]},
    ],
    ids=str,
)  # fmt: skip
def test_a_cloud_whose_numbers_do_not_fit_is_broken(changed: dict[str, Any]) -> None:
    with pytest.raises(BrokenMessageError):
        cloud_of(cloud_values(**changed))


@pytest.mark.parametrize(("data", "form"), [(JPEG, "jpeg"), (PNG, "png")])
def test_a_picture_is_what_its_first_bytes_say_whatever_the_message_calls_it(data: bytes, form: str) -> None:
    for stamp in ({"header": {"stamp": STAMP}}, {"timestamp": STAMP}):
        found = picture_of({**stamp, "format": "rgb8; jpeg compressed bgr8", "data": data})
        assert (found.capture_ns, found.format, bytes(found.data)) == (STAMP, form, data)


@pytest.mark.parametrize("stamp", [None, "now", True, -5, 1 << 63, 1 << 200, 1.5])
def test_a_time_that_can_be_none_is_not_taken_for_one(stamp: object) -> None:
    assert picture_of({"timestamp": stamp, "format": "jpeg", "data": JPEG}).capture_ns is None


def test_a_message_without_a_picture_is_told_from_a_broken_one() -> None:
    with pytest.raises(NotAPictureError, match="h264"):
        picture_of({"timestamp": STAMP, "format": "h264", "data": b"\x00\x00\x00\x01g"})
    with pytest.raises(NotAPictureError, match="voltage"):
        picture_of({"voltage": 3})
    with pytest.raises(BrokenMessageError):
        picture_of({"format": "jpeg", "data": 7})


def test_a_raw_picture_is_given_with_its_rows() -> None:
    values = {"header": {"stamp": STAMP}, "width": 4, "height": 2, "encoding": "rgb8", "step": 16, "data": bytes(32)}
    found = picture_of(values)
    assert (found.format, found.width, found.height, found.step, found.encoding) == (RAW, 4, 2, 16, "rgb8")
    for changed in ({"step": 17}, {"height": 3}, {"width": 0}, {"height": 1 << 20, "step": 1}, {"width": True + 0.5}):
        with pytest.raises(BrokenMessageError):
            picture_of({**values, **changed})


def test_packets_come_with_their_arrival_and_as_long_as_they_say() -> None:
    packet = {"stamp": STAMP, "data": b"abcdef"}
    found = packets_of({"header": {"stamp": STAMP - 1}, "packets": [packet, {**packet, "size": 4}]})
    assert (found.capture_ns, found.arrival_ns) == (STAMP - 1, (STAMP, STAMP))
    assert [bytes(data) for data in found.data] == [b"abcdef", b"abcd"]


@pytest.mark.parametrize(
    "packets",
    [
        None, 5, ["text"], [{}], [{"data": b"ab"}], [{"stamp": STAMP, "data": b"ab", "size": 3}],
        [{"stamp": STAMP, "data": b"ab", "size": -1}],
    ],
    ids=str,
)  # fmt: skip
def test_packets_whose_lengths_do_not_fit_are_broken(packets: object) -> None:
    with pytest.raises(BrokenMessageError):
        packets_of({"header": {"stamp": STAMP}, "packets": packets})
