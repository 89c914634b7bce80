"""ROS 1 and CDR messages as columns, with rosbags' own serialiser and deserialiser as the oracle."""

import struct
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rosbags.rosbag1 import Reader
from rosbags.serde import SerdeError
from rosbags.typesys import Stores, get_typestore

from fleet_assets.ingestion.recordings.messages import ros_decoding
from fleet_assets.ingestion.recordings.messages.decoders import message_decoder
from tests.ingestion.recordings.ros_oracle import (
    NUMBERS,
    ROOT,
    SEPARATOR,
    assert_same,
    flat,
    random_message,
    serialised,
    store_of,
)


@st.composite
def definitions(draw: st.DrawFn) -> str:
    """Text of a message definition with up to three other types, as rosbag concatenates them."""
    names = ["Root", "Aaa", "Bbb", "Ccc"][: draw(st.integers(1, 4))]
    texts: list[str] = []
    for number, name in enumerate(names):
        types = [*NUMBERS, "string", "string", "builtin_interfaces/Time", "builtin_interfaces/Duration"]
        types += [f"made_msgs/{later}" for later in names[number + 1 :]] * 3
        fields = draw(
            st.lists(
                st.tuples(st.sampled_from(types), st.sampled_from(["", "", "[]", "[3]", "[1]"])), min_size=1, max_size=6
            )
        )
        lines = [f"{kind}{suffix} f{place}" for place, (kind, suffix) in enumerate(fields)]
        texts.append("\n".join([*([f"MSG: made_msgs/{name}"] if number else []), *lines]) + "\n")
    return f"{SEPARATOR}\n".join(texts)


def decoder_of(text: str, form: str, type_name: str = ROOT) -> Any:
    is_ros1 = form == "ros1"
    return message_decoder("ros1" if is_ros1 else "cdr", type_name, "ros1msg" if is_ros1 else "ros2msg", text.encode())


FORMS = pytest.mark.parametrize("form", ["ros1", "cdr_le", "cdr_be"])


@FORMS
@settings(max_examples=12, deadline=None)
@given(
    text=definitions(),
    seed=st.integers(0, 1 << 32),
    count=st.sampled_from([1, 20, 300]),
    longest=st.sampled_from([0, 1, 6]),
)
def test_any_message_of_any_type_decodes_to_what_rosbags_reads(
    form: str, text: str, seed: int, count: int, longest: int
) -> None:
    store, random = store_of(text), np.random.default_rng(seed)
    messages = [random_message(store, ROOT, random, longest) for _ in range(count)]
    decoder = decoder_of(text, form)
    columns, usable = decoder.columns([serialised(store, message, form) for message in messages])
    assert usable.all()
    assert decoder.kind == "fields"
    assert decoder.fields == tuple(columns)
    assert_same(columns, [flat(store, message, ROOT) for message in messages])


@FORMS
@settings(max_examples=8, deadline=None)
@given(text=definitions(), seed=st.integers(0, 1 << 32))
def test_how_messages_are_cut_into_calls_changes_nothing(form: str, text: str, seed: int) -> None:
    store, random = store_of(text), np.random.default_rng(seed)
    payloads = [serialised(store, random_message(store, ROOT, random), form) for _ in range(20)] * 10
    payloads = [payload[: len(payload) - 1] if random.random() < 0.2 else payload for payload in payloads]
    decoder = decoder_of(text, form)
    whole, usable = decoder.columns(payloads)
    singly = [decoder.columns([memoryview(payload)]) for payload in payloads]
    assert [one[1][0] for one in singly] == usable.tolist()
    for name, column in whole.items():
        parts = np.concatenate([columns[name] for columns, _ in singly])
        assert parts.dtype == column.dtype
        np.testing.assert_array_equal(parts, column)


@FORMS
@settings(max_examples=12, deadline=None)
@given(text=definitions(), seed=st.integers(0, 1 << 32))
def test_a_message_walked_alone_as_large_ones_are_decodes_as_among_others(form: str, text: str, seed: int) -> None:
    store, random = store_of(text), np.random.default_rng(seed)
    payloads = [serialised(store, random_message(store, ROOT, random), form) for _ in range(30)]
    payloads += [payload[: int(random.integers(0, len(payload) + 1))] for payload in payloads]
    payloads += [payload + bytes(int(random.integers(0, 6))) for payload in payloads]
    decoder = decoder_of(text, form)
    whole, usable = decoder.columns(payloads)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ros_decoding, "LARGE_BYTES", 0)
        alone, usable_alone = decoder.columns(payloads)
    assert usable_alone.tolist() == usable.tolist()
    for name, column in whole.items():
        assert alone[name].dtype == column.dtype
        np.testing.assert_array_equal(alone[name], column)


@FORMS
@settings(max_examples=12, deadline=None)
@given(text=definitions(), seed=st.integers(0, 1 << 32))
def test_a_damaged_message_is_unusable_exactly_where_rosbags_refuses_it(form: str, text: str, seed: int) -> None:
    store, random = store_of(text), np.random.default_rng(seed)
    intact = [serialised(store, random_message(store, ROOT, random), form) for _ in range(30)]
    payloads = []
    for number in range(270):
        payload = bytearray(intact[number % 30])
        match int(random.integers(0, 3)):
            case 0:
                payload = payload[: int(random.integers(0, len(payload) + 1))]
            case 1 if payload:
                payload[int(random.integers(0, len(payload)))] ^= 1 << int(random.integers(0, 8))
            case _:
                payload += bytes(int(random.integers(0, 6)))
        payloads.append(bytes(payload))
    columns, usable = decoder_of(text, form).columns(payloads)
    expected: list[dict[str, Any] | None] = []
    refused: list[tuple[str, bool]] = []
    for payload, is_usable in zip(payloads, usable.tolist(), strict=True):
        try:
            message = (store.deserialize_ros1 if form == "ros1" else store.deserialize_cdr)(payload, ROOT)
        except SerdeError as error:
            refused.append((str(error), is_usable))
            expected += [None] * is_usable
        else:
            refused.append(("", is_usable))
            expected.append(flat(store, message, ROOT))
    for error, is_usable in refused:
        # What a string says, and whether an empty one has its zero, is not looked at.
        assert is_usable == (not error) or "codec" in error or "string length 0" in error
    known = np.array([row is not None for row in expected], bool)
    # rosbags gives the times of ROS 1 a sign, which only damage makes visible.
    if known.any() and (form != "ros1" or "interfaces" not in text):
        assert_same(
            {name: column[known] for name, column in columns.items()}, [row for row in expected if row is not None]
        )
    assert all(len(column) == usable.sum() for column in columns.values())


@FORMS
def test_lengths_of_four_billion_elements_cost_nothing(form: str) -> None:
    text = (
        "string[] names\nmade_msgs/Inner[] inner\nmade_msgs/Fixed[] fixed\nfloat64[] numbers\n"
        f"{SEPARATOR}\nMSG: made_msgs/Inner\nstring name\nmade_msgs/Fixed[2] both\n"
        f"{SEPARATOR}\nMSG: made_msgs/Fixed\nuint8 a\nfloat64 b\n"
    )
    decoder = decoder_of(text, form)
    header = {"ros1": b"", "cdr_le": b"\0\1\0\0", "cdr_be": b"\0\0\0\0"}[form]
    zero, huge = bytes(4), b"\xff" * 4
    payloads = [header + zero * before + huge + zero * 8 for before in range(4)] * 8
    columns, usable = decoder.columns([*payloads, header + zero * 4])
    assert usable.tolist() == [False] * 32 + [True]
    assert columns["numbers.length"].tolist() == [0]


def test_an_array_of_a_size_that_no_file_has_makes_messages_unusable() -> None:
    decoder = message_decoder(
        "cdr",
        ROOT,
        "ros2msg",
        b"uint8[2000000000] data\nmade_msgs/X[1000000000] x\n"
        + (f"{SEPARATOR}\nMSG: made_msgs/X\nfloat64 a\nstring b\n".encode()),
    )
    assert decoder.columns([b"\0\1\0\0" + bytes(100)])[1].tolist() == [False]


def test_both_byte_orders_in_one_channel_keep_their_order() -> None:
    store = get_typestore(Stores.ROS2_HUMBLE)
    random, name = np.random.default_rng(3), "sensor_msgs/msg/Imu"
    messages = [random_message(store, name, random) for _ in range(20)]
    payloads = [
        serialised(store, message, ("cdr_le", "cdr_be")[n % 3 == 0], name) for n, message in enumerate(messages)
    ]
    columns, usable = message_decoder("cdr", name, "", b"").columns(payloads)
    assert usable.all()
    assert_same(columns, [flat(store, message, name) for message in messages])


@pytest.mark.parametrize("kind", [2, 3, 6, 7, 10, 0x100])
def test_encapsulations_that_are_not_plain_cdr_are_unusable(kind: int) -> None:
    decoder = message_decoder("cdr", "std_msgs/msg/UInt32", "", b"")
    columns, usable = decoder.columns([kind.to_bytes(2, "big") + bytes(6), b"\0\1\0\0\5\0\0\0", b"\0\1"])
    assert usable.tolist() == [False, True, False]
    assert columns["data"].tolist() == [5]
    assert "encapsulation 0 or 1" in decoder.expects


def test_messages_without_fields_and_of_strings_have_no_columns_but_count() -> None:
    empty = message_decoder("cdr", "std_msgs/msg/Empty", "", b"")
    assert empty.columns([b"\0\1\0\0\0", b"\0\1\0\0"])[1].tolist() == [True, False]
    assert empty.fields == ()
    text = message_decoder("ros1", "std_msgs/String", "ros1msg", b"string data")
    assert text.columns([b"\3\0\0\0abc", b"\3\0\0\0ab", b""])[1].tolist() == [True, False, False]


def test_messages_larger_than_what_is_joined_at_a_time_decode_alike() -> None:
    store = get_typestore(Stores.ROS2_HUMBLE)
    random, name = np.random.default_rng(5), "sensor_msgs/msg/Image"
    messages = [random_message(store, name, random) for _ in range(6)]
    for message, size in zip(messages, (9 << 20, 10, 5 << 20, 5 << 20, 0, 1 << 20), strict=True):
        message.data = np.zeros(size, np.uint8)
    columns, usable = message_decoder("cdr", name, "", b"").columns(
        [serialised(store, message, "cdr_le", name) for message in messages]
    )
    assert usable.all()
    assert_same(columns, [flat(store, message, name) for message in messages])


def test_times_of_ros1_have_no_sign_and_durations_have_one() -> None:
    decoder = message_decoder("ros1", "made_msgs/Times", "ros1msg", b"time at\nduration off\ntime[2] both\n")
    payload = struct.pack("<IIiiIIII", 4_000_000_000, 1, -2, -5, 1, 2, 3, 4)
    columns, usable = decoder.columns([payload])
    assert usable.all()
    assert columns["at"].tolist() == [4_000_000_000_000_000_001]
    assert columns["off"].tolist() == [-2_000_000_005]
    assert columns["both"].tolist() == [[1_000_000_002, 3_000_000_004]]


def test_a_byte_has_a_sign_in_ros1_and_none_in_ros2() -> None:
    ros1 = message_decoder("ros1", "made_msgs/B", "ros1msg", b"byte b\nchar c\n")
    assert [column.tolist() for column in ros1.columns([b"\xfe\xff"])[0].values()] == [[-2], [255]]
    ros2 = message_decoder("cdr", "made_msgs/B", "ros2msg", b"byte b\nchar c\n")
    assert [column.tolist() for column in ros2.columns([b"\0\1\0\0\xfe\xff"])[0].values()] == [[254], [255]]


def test_an_array_of_messages_of_fixed_size_gives_wide_columns() -> None:
    text = f"made_msgs/Esc[3] esc\n{SEPARATOR}\nMSG: made_msgs/Esc\nuint8 id\nfloat64 rpm\nint16[2] pair\nstring s\n"
    store, random = store_of(text), np.random.default_rng(1)
    message = random_message(store, ROOT, random)
    columns, _ = decoder_of(text, "cdr_le").columns([serialised(store, message, "cdr_le")])
    assert columns["esc.rpm"].tolist() == [[esc.rpm for esc in message.esc]]
    assert columns["esc.pair"].shape == (1, 6)


@pytest.mark.parametrize(
    "name", ["sensor_msgs/msg/Imu", "diagnostic_msgs/msg/DiagnosticArray", "sensor_msgs/msg/JointState"]
)
def test_the_decoders_of_mcap_read_the_same_by_the_definition_that_they_are_given(name: str) -> None:
    from mcap.records import Schema
    from mcap_ros1.decoder import DecoderFactory as Ros1Factory
    from mcap_ros2.decoder import DecoderFactory as Ros2Factory

    for form, stores, factory, encoding, version in (
        ("ros1", Stores.ROS1_NOETIC, Ros1Factory, "ros1msg", 1),
        ("cdr_le", Stores.ROS2_HUMBLE, Ros2Factory, "ros2msg", 2),
    ):
        store, random = get_typestore(stores), np.random.default_rng(4)
        shown = name.replace("/msg/", "/") if form == "ros1" else name
        definition = store.generate_msgdef(name, ros_version=version)[0].encode()
        payloads = [serialised(store, random_message(store, name, random), form, name) for _ in range(30)]
        decoder = message_decoder("ros1" if form == "ros1" else "cdr", name, encoding, definition)
        columns, usable = decoder.columns(payloads)
        assert usable.all()
        read = factory().decoder_for("ros1" if form == "ros1" else "cdr", Schema(1, definition, encoding, shown))
        assert read is not None
        messages = [read(payload) for payload in payloads]
        for path, column in columns.items():
            getter = attrgetter(path.removesuffix(".length"))
            values = [getter(message) for message in messages]
            if path.endswith(".length"):
                values = [len(value) for value in values]
            elif path.endswith("stamp") and form == "ros1":
                values = [value.secs * 10**9 + value.nsecs for value in values]
            elif path.endswith("stamp"):
                values = [value.sec * 10**9 + value.nanosec for value in values]
            np.testing.assert_array_equal(column, np.array(values), err_msg=path)


@pytest.mark.real_data
def test_the_messages_of_the_husky_bag_equal_what_rosbags_reads(real_data: Path) -> None:
    store = get_typestore(Stores.ROS1_NOETIC)
    with Reader(real_data / "robot_localization_bag/sample/husky_imu_gps_odom_test1.bag") as bag:
        for connection in bag.connections:
            payloads = [bytes(raw) for _, _, raw in bag.messages([connection])]
            definition = connection.msgdef.data.encode()
            columns, usable = message_decoder("ros1", connection.msgtype, "ros1msg", definition).columns(payloads)
            assert usable.all()
            messages = [store.deserialize_ros1(payload, connection.msgtype) for payload in payloads[::29]]
            rows = [flat(store, message, connection.msgtype) for message in messages]
            assert_same({name: column[::29] for name, column in columns.items()}, rows)
