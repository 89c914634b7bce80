"""Where definitions of ROS messages come from, what damaged ones do, and the types that carry CAN frames."""

import sqlite3
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from fleet_assets.ingestion.recordings.messages.decoders import message_decoder
from tests.ingestion.recordings.ros_oracle import (
    ROOT,
    SEPARATOR,
    assert_same,
    flat,
    random_message,
    serialised,
    store_of,
)

IDL = """
// generated
#include "std_msgs/msg/Header.idl"
module made_msgs {
  module msg {
    typedef double double__3[3];
    module Root_Constants {
      const uint32 SIZE = 2; @verbatim(language="comment", text="a; } b") const string X = "y;";
    };
    enum Mode { @value(1) IDLE, RUN };
    @verbatim (language="comment", text="}{ struct")
    struct Root {
      std_msgs::msg::Header header;
      @default (value=1.5) double a, b;
      made_msgs::msg::double__3 c;
      sequence<float, 10> d;
      unsigned long long e;
      long f[made_msgs::msg::Root_Constants::SIZE];
      string<5> g;
      Mode mode;
      sequence<made_msgs::msg::Part> parts;
      boolean ok;
    };
  };
};
================================================================================
IDL: made_msgs/msg/Part
module made_msgs { module msg { struct Part { string name; octet x; }; }; };
"""


def test_idl_describes_the_same_layout_as_msg() -> None:
    text = (
        "std_msgs/Header header\nfloat64 a\nfloat64 b\nfloat64[3] c\nfloat32[] d\nuint64 e\nint32[2] f\nstring g\n"
        f"uint32 mode\nmade_msgs/Part[] parts\nbool ok\n{SEPARATOR}\nMSG: made_msgs/Part\nstring name\nuint8 x\n"
    )
    store, random = store_of(text, Stores.ROS2_HUMBLE), np.random.default_rng(2)
    messages = [random_message(store, ROOT, random) for _ in range(30)]
    decoder = message_decoder("cdr", ROOT, "ros2idl", IDL.encode())
    assert not decoder.problem
    columns, usable = decoder.columns([serialised(store, message, "cdr_le") for message in messages])
    assert usable.all()
    assert_same(columns, [flat(store, message, ROOT) for message in messages])


@pytest.mark.parametrize(
    "idl",
    [
        "module a { module msg { const long X = " + "(" * 5000 + "1" + ")" * 5000 + "; struct B { long a[X]; }; }; };",
        "module a { module msg { const long X = 1 << 4000000000; struct B { long a[X]; }; }; };",
        "module a { " * 5000,
        "module a { module msg { struct B { sequence<sequence<long>> a; }; }; };",
        "module a { module msg { struct B { B b; }; }; };",
        "module a { module msg { typedef C C; struct B { C c; }; }; };",
        "module a { module msg { struct B { long a",
        "/* never closed " * 1000,
        "struct",
    ],
)
def test_hostile_idl_makes_the_channel_opaque_with_a_remedy(idl: str) -> None:
    decoder = message_decoder("cdr", "a/msg/B", "ros2idl", idl.encode())
    assert decoder.kind == "opaque"
    assert decoder.problem.startswith("a/msg/B: ")
    assert decoder.columns([b"1234", b""])[0]["size_bytes"].tolist() == [4, 0]


@pytest.mark.parametrize(
    "text",
    [
        "made_msgs/Root again\n",
        "int32 [[",
        "made_msgs/Missing x\n",
        "int32 a\nint32 a\n",
        "wstring w\n",
        "\n".join(f"float64 f{number}" for number in range(5000)),
        "x" * (1 << 19),
        "".join(
            f"{SEPARATOR}\nMSG: made_msgs/T{n}\n" * (n > 0) + f"made_msgs/T{n + 1}[] a\nmade_msgs/T{n + 1}[] b\n"
            for n in range(40)
        )
        + f"{SEPARATOR}\nMSG: made_msgs/T40\nuint8 x\n",
    ],
)
def test_hostile_definitions_make_the_channel_opaque_with_a_remedy(text: str) -> None:
    decoder = message_decoder("ros1", ROOT, "ros1msg", text.encode())
    assert decoder.kind == "opaque"
    assert decoder.problem.startswith(f"{ROOT}: ")
    assert decoder.columns([b"12"])[1].tolist() == [True]


def test_an_unknown_type_is_opaque_and_says_where_it_was_looked_for() -> None:
    decoder = message_decoder("cdr", "acme_msgs/msg/Thing", "", b"")
    assert decoder.fields == ("size_bytes",)
    assert "no definition of acme_msgs/msg/Thing is in the recording" in decoder.problem
    assert "policies/message_definitions/acme_msgs/Thing.msg" in decoder.problem


def test_a_damaged_definition_of_a_known_type_is_replaced_by_the_known_one() -> None:
    assert message_decoder("cdr", "geometry_msgs/msg/Point", "ros2msg", b"\xff\xfe[").fields == ("x", "y", "z")


def test_the_recordings_own_definition_wins_over_the_known_one() -> None:
    assert message_decoder("cdr", "geometry_msgs/msg/Point", "ros2msg", b"float32 x\r\nint8 w # r\r\n").fields == (
        "x",
        "w",
    )


def test_an_unknown_encoding_is_opaque_and_names_those_that_are_known() -> None:
    problem = message_decoder("flatbuffer", "a.B", "flatbuffer", b"").problem
    assert "'flatbuffer' is not known, only ros1, cdr, protobuf, json" in problem


def can_payloads(text: str, type_name: str, frames: list[dict[str, Any]]) -> list[bytes]:
    store = get_typestore(Stores.ROS2_HUMBLE)
    store.register(get_types_from_msg(text, type_name))
    header = random_message(store, "std_msgs/msg/Header", np.random.default_rng(0))
    return [serialised(store, store.types[type_name](header=header, **frame), "cdr_le", type_name) for frame in frames]


def test_frames_of_can_msgs_become_a_can_channel_without_what_carries_no_data() -> None:
    name = "can_msgs/msg/Frame"
    text = "std_msgs/Header header\nuint32 id\nbool is_rtr\nbool is_extended\nbool is_error\nuint8 dlc\nuint8[8] data\n"
    base = {
        "id": 0x123,
        "is_rtr": False,
        "is_extended": False,
        "is_error": False,
        "dlc": 8,
        "data": np.arange(8, dtype="u1"),
    }
    changes: list[dict[str, Any]] = [
        {}, {"dlc": 2}, {"is_rtr": True}, {"is_error": True}, {"id": 0x800}, {"id": 0x1FFFFFFF, "is_extended": True},
        {"id": 0x20000000, "is_extended": True}, {"dlc": 9},
    ]  # fmt: skip
    decoder = message_decoder("cdr", name, "ros2msg", text.encode())
    columns, usable = decoder.columns(can_payloads(text, name, [base | change for change in changes]))
    assert decoder.kind == "can"
    assert decoder.fields == tuple(columns) == ("bus", "can_id", "is_extended", "length", "data")
    assert usable.tolist() == [True, True, False, False, False, True, False, False]
    assert columns["can_id"].tolist() == [0x123, 0x123, 0x1FFFFFFF]
    assert columns["is_extended"].tolist() == [False, False, True]
    assert columns["data"].tolist()[1] == [0, 1, 0, 0, 0, 0, 0, 0]
    assert [str(column.dtype) for column in columns.values()] == ["uint16", "uint32", "bool", "uint8", "uint8"]
    assert message_decoder("cdr", name, "", b"").columns(can_payloads(text, name, [base]))[1].all()


def test_fd_frames_of_socketcan_carry_up_to_64_bytes() -> None:
    name = "ros2_socketcan_msgs/msg/FdFrame"
    text = "std_msgs/Header header\nuint32 id\nbool is_extended\nbool is_error\nuint8 len\nuint8[<=64] data\n"
    frames = [
        {"id": 7, "is_extended": True, "is_error": False, "len": size, "data": np.arange(size, dtype="u1")}
        for size in (0, 3, 64, 65)
    ]
    columns, usable = message_decoder("cdr", name, "", b"").columns(can_payloads(text, name, frames))
    assert usable.tolist() == [True, True, True, False]
    assert columns["length"].tolist() == [0, 3, 64]
    assert columns["data"][2].tolist() == list(range(64))
    assert columns["data"][1].tolist() == [0, 1, 2, *[0] * 61]


def test_a_can_type_whose_definition_differs_stays_a_channel_of_fields() -> None:
    decoder = message_decoder("cdr", "can_msgs/msg/Frame", "ros2msg", b"uint32 id\nfloat64[8] data\n")
    assert (decoder.kind, decoder.fields) == ("fields", ("id", "data"))


SCANS = {
    "velodyne_msgs/msg/VelodyneScan": "std_msgs/Header header\nVelodynePacket[] packets\n"
    f"{SEPARATOR}\nMSG: velodyne_msgs/VelodynePacket\nbuiltin_interfaces/Time stamp\nuint8[1206] data\n",
    "pandar_msgs/msg/PandarScan": "std_msgs/Header header\nPandarPacket[] packets\n"
    f"{SEPARATOR}\nMSG: pandar_msgs/PandarPacket\nbuiltin_interfaces/Time stamp\nuint8[1500] data\nuint32 size\n",
}


def test_every_shipped_definition_describes_a_type() -> None:
    shipped = sorted((resources.files("policies") / "message_definitions").iterdir(), key=str)
    names = [f"{package.name}/msg/{file.name[:-4]}" for package in shipped for file in package.iterdir()]
    assert {"velodyne_msgs/msg/VelodyneScan", "pandar_msgs/msg/PandarScan", "nebula_msgs/msg/NebulaPackets"} <= set(
        names
    )
    for name in names:
        assert not message_decoder("cdr", name, "", b"").problem
        assert not message_decoder("ros1", name.replace("/msg/", "/"), "", b"").problem


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("folder", "packets"),
    [
        ("velodyne_vlp16", [151, 151, 151, 150]),
        ("velodyne_vlp32", [76, 76, 76, 75, 76]),
        ("hesai_40p", [360, 359, 360, 360]),
        ("hesai_xt32", [500, 500, 500, 500]),
    ],
)
def test_scans_of_bags_without_definitions_decode_by_the_shipped_ones(
    real_data: Path, folder: str, packets: list[int]
) -> None:
    (path,) = (real_data / "tier4_nebula_lidar/sample" / folder).rglob("*.db3")
    with sqlite3.connect(path) as database:
        ((name,),) = database.execute("SELECT type FROM topics")
        payloads = [data for (data,) in database.execute("SELECT data FROM messages ORDER BY timestamp")]
    columns, usable = message_decoder("cdr", name, "", b"").columns(payloads)
    assert usable.all()
    assert columns["packets.length"].tolist() == packets
    store = get_typestore(Stores.ROS2_HUMBLE)
    store.register(get_types_from_msg(SCANS[name], name))
    assert_same(columns, [flat(store, store.deserialize_cdr(payload, name), name) for payload in payloads])
