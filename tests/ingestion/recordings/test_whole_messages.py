"""Whole messages against rosbags' own deserialiser and the protobuf library, and what damaged ones do."""

import json
from base64 import b64encode
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rosbags.interfaces import Nodetype
from rosbags.typesys import Stores, get_typestore
from rosbags.typesys.store import Typestore

from fleet_assets.ingestion.recordings.messages.ros_scalar import BrokenMessageError
from fleet_assets.ingestion.recordings.messages.whole_messages import UnknownMessageError, whole_reader
from tests.ingestion.recordings.ros_oracle import ROOT, random_message, serialised, store_of

TYPES = (
    "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage", "sensor_msgs/msg/PointCloud2",
    "sensor_msgs/msg/CameraInfo", "sensor_msgs/msg/MultiEchoLaserScan", "trajectory_msgs/msg/MultiDOFJointTrajectory",
    "nav_msgs/msg/Path", "visualization_msgs/msg/Marker",
)  # fmt: skip
FORMS = ("ros1", "cdr_le", "cdr_be")
TIMES = ("builtin_interfaces/msg/Time", "builtin_interfaces/msg/Duration")
SMALL = "float32 x\nstring[] names\nuint16[] numbers\nuint8[3] triple\nRoot2[] inner\n" + "=" * 80
SMALL += "\nMSG: made_msgs/Root2\nint8 a\nfloat64 b\nstring c\n"


def store_for(form: str) -> Typestore:
    return get_typestore(Stores.ROS1_NOETIC if form == "ros1" else Stores.ROS2_HUMBLE)


def encoding_of(form: str) -> str:
    return "ros1" if form == "ros1" else "cdr"


def read(form: str, type_name: str, payload: bytes) -> Mapping[str, Any]:
    return whole_reader(encoding_of(form), type_name, "", b"")(payload)


def nested(store: Typestore, message: Any, type_name: str) -> Any:
    """The message as our reader gives it, told from rosbags' own description of the type."""
    if type_name in TIMES:
        return int(message.sec) * 10**9 + int(message.nanosec)
    return {
        name: _value(store, getattr(message, name), described) for name, described in store.get_msgdef(type_name).fields
    }


def _value(store: Typestore, value: Any, described: Any) -> Any:
    node, inner = described
    if node == Nodetype.BASE:
        return value
    if node == Nodetype.NAME:
        return nested(store, value, inner)
    element, _ = inner
    return [_value(store, item, element) for item in value]


def assert_same(found: Any, expected: Any) -> None:
    if isinstance(expected, dict):
        assert set(found) == set(expected)
        for name, value in expected.items():
            assert_same(found[name], value)
    elif isinstance(expected, list):
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            assert_same(one, other)
    elif isinstance(expected, str):
        assert found == expected
    else:
        assert np.asarray(found) == np.asarray(expected) or (np.isnan(found) and np.isnan(expected))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("type_name", TYPES)
def test_every_value_is_the_one_that_rosbags_reads(type_name: str, form: str) -> None:
    store = store_for(form)
    for seed in range(4):
        message = random_message(store, type_name, np.random.default_rng(seed))
        payload = serialised(store, message, form, type_name)
        deserialise = store.deserialize_ros1 if form == "ros1" else store.deserialize_cdr
        expected = nested(store, deserialise(payload, type_name), type_name)
        assert_same(read(form, type_name, payload), expected)


@pytest.mark.parametrize("form", ["ros1", "cdr_le"])
def test_a_definition_in_the_recording_is_believed_first(form: str) -> None:
    store = store_of(SMALL)
    message = random_message(store, ROOT, np.random.default_rng(3))
    payload = serialised(store, message, form)
    reader = whole_reader(encoding_of(form), ROOT, "ros1msg" if form == "ros1" else "ros2msg", SMALL.encode())
    assert_same(reader(payload), nested(store, message, ROOT))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("type_name", TYPES)
def test_a_message_cut_anywhere_is_broken_or_gives_only_what_is_there(type_name: str, form: str) -> None:
    store = store_for(form)
    payload = serialised(store, random_message(store, type_name, np.random.default_rng(1)), form, type_name)
    for end in range(0, len(payload), max(1, len(payload) // 60)):
        with pytest.raises(BrokenMessageError):
            read(form, type_name, payload[:end])


@settings(max_examples=150, deadline=None)
@given(data=st.binary(max_size=200), type_name=st.sampled_from(TYPES), form=st.sampled_from(FORMS))
def test_random_bytes_are_read_or_refused(data: bytes, type_name: str, form: str) -> None:
    head = {"ros1": b"", "cdr_le": b"\x00\x01\x00\x00", "cdr_be": b"\x00\x00\x00\x00"}[form]
    try:
        found = read(form, type_name, head + data)
    except BrokenMessageError:
        return
    assert isinstance(found, dict)


def test_a_length_that_claims_four_gigabytes_is_refused_before_anything_is_made_of_it() -> None:
    for type_name in ("sensor_msgs/msg/CompressedImage", "tf2_msgs/msg/TFMessage", "diagnostic_msgs/msg/KeyValue"):
        with pytest.raises(BrokenMessageError):
            read("cdr_le", type_name, b"\x00\x01\x00\x00" + b"\xff" * 40)


def test_an_array_of_messages_without_fields_is_refused_because_nothing_bounds_it() -> None:
    text = f"Empty[1000000] many\n{'=' * 80}\nMSG: made_msgs/Empty\n"
    with pytest.raises(UnknownMessageError, match="without any field"):
        whole_reader("ros1", ROOT, "ros1msg", text.encode())


def test_an_unknown_type_is_named_with_what_to_do() -> None:
    with pytest.raises(UnknownMessageError, match=r"my_msgs/msg/Odd.*record with definitions"):
        whole_reader("cdr", "my_msgs/msg/Odd", "", b"")
    with pytest.raises(UnknownMessageError, match=r"cbor.*Convert"):
        whole_reader("cbor", "x", "", b"")


def protobuf_kind() -> tuple[Any, bytes]:
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, timestamp_pb2

    file = descriptor_pb2.FileDescriptorProto(name="p.proto", package="made", syntax="proto3")
    file.dependency.append("google/protobuf/timestamp.proto")
    entry = file.message_type.add(name="Picture")
    labels = entry.nested_type.add(name="LabelsEntry")
    labels.options.map_entry = True
    optional, repeated = 1, 3
    for number, (name, kind) in enumerate((("key", 9), ("value", 9)), 1):
        labels.field.add(name=name, number=number, type=kind, label=optional)
    entry.field.add(name="timestamp", number=1, type=11, label=optional, type_name=".google.protobuf.Timestamp")
    entry.field.add(name="data", number=2, type=12, label=optional)
    entry.field.add(name="numbers", number=3, type=5, label=repeated)
    entry.field.add(name="labels", number=4, type=11, label=repeated, type_name=".made.Picture.LabelsEntry")
    known = descriptor_pb2.FileDescriptorSet()
    timestamp = descriptor_pb2.FileDescriptorProto()
    timestamp_pb2.DESCRIPTOR.CopyToProto(timestamp)
    known.file.extend([timestamp, file])
    pool = descriptor_pool.DescriptorPool()
    for one in known.file:
        pool.Add(one)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("made.Picture")), known.SerializeToString()


def test_protobuf_messages_have_times_bytes_and_lists_and_maps_do_no_harm() -> None:
    kind, definition = protobuf_kind()
    message = kind(data=b"abc", numbers=[1, -2], labels={"a": "b"})
    message.timestamp.seconds, message.timestamp.nanos = 12, 34
    reader = whole_reader("protobuf", "made.Picture", "protobuf", definition)
    assert reader(message.SerializeToString()) == {"timestamp": 12_000_000_034, "data": b"abc", "numbers": [1, -2]}
    assert "timestamp" not in reader(kind(data=b"x").SerializeToString())
    with pytest.raises(BrokenMessageError):
        reader(b"\x12\xff\xff\xff\xff\x0f")


@pytest.mark.parametrize("payload", [b"", b"[1]", b"{", b'{"a":', b"\xff\xfe", b"[" * 100_000])
def test_json_that_is_no_object_is_broken(payload: bytes) -> None:
    with pytest.raises(BrokenMessageError):
        whole_reader("json", "x", "", b"")(payload)


def test_json_messages_carry_bytes_as_base64() -> None:
    body = {"timestamp": {"sec": 3, "nsec": 4}, "data": b64encode(b"abc").decode()}
    found = whole_reader("json", "x", "", b"")(json.dumps(body).encode())
    assert found["timestamp"] == 3_000_000_004
