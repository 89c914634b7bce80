"""Protocol Buffers messages as columns, with the library's own messages as the oracle."""

from typing import Any

import numpy as np
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory, struct_pb2, timestamp_pb2
from hypothesis import given, settings
from hypothesis import strategies as st

from fleet_assets.ingestion.recordings.messages.decoders import message_decoder

FIELD = descriptor_pb2.FieldDescriptorProto
NUMERIC = {
    FIELD.TYPE_DOUBLE: np.float64, FIELD.TYPE_FLOAT: np.float32, FIELD.TYPE_INT64: np.int64,
    FIELD.TYPE_UINT64: np.uint64, FIELD.TYPE_INT32: np.int32, FIELD.TYPE_FIXED64: np.uint64,
    FIELD.TYPE_FIXED32: np.uint32, FIELD.TYPE_BOOL: np.bool_, FIELD.TYPE_UINT32: np.uint32,
    FIELD.TYPE_SFIXED32: np.int32, FIELD.TYPE_SFIXED64: np.int64, FIELD.TYPE_SINT32: np.int32,
    FIELD.TYPE_SINT64: np.int64,
}  # fmt: skip


def described(syntax: str = "proto3") -> descriptor_pb2.FileDescriptorSet:
    """Every numeric type in ``made.Root``, flat and in a nested message, a time, strings, bytes and repeated fields."""
    files = descriptor_pb2.FileDescriptorSet()
    file = files.file.add(name="made.proto", package="made", syntax=syntax)
    file.dependency.append("google/protobuf/timestamp.proto")
    kind = file.enum_type.add(name="Kind")
    kind.value.add(name="NONE", number=0)
    kind.value.add(name="SOME", number=5)
    root, part = file.message_type.add(name="Root"), file.message_type.add(name="Part")
    for message in (root, part):
        for number, type_number in enumerate(NUMERIC, 1):
            message.field.add(name=f"f{type_number}", number=number, type=type_number, label=1)
    others: list[tuple[str, int, int, str]] = [
        ("part", 11, 1, ".made.Part"), ("at", 11, 1, ".google.protobuf.Timestamp"), ("kind", 14, 1, ".made.Kind"),
        ("name", 9, 1, ""), ("blob", 12, 1, ""), ("numbers", 1, 3, ""), ("parts", 11, 3, ".made.Part"),
        ("again", 11, 1, ".made.Root"), ("class", 13, 1, ""),
    ]  # fmt: skip
    for number, (name, type_number, label, type_name) in enumerate(others, 30):
        root.field.add(name=name, number=number, type=type_number, label=label, type_name=type_name or None)
    timestamp_pb2.DESCRIPTOR.CopyToProto(files.file.add())
    return files


def class_of(files: descriptor_pb2.FileDescriptorSet, name: str = "made.Root") -> Any:
    pool = descriptor_pool.DescriptorPool()
    for file in reversed(files.file):  # imports first
        pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(name))


def random_number(kind: Any, random: np.random.Generator) -> Any:
    if kind is np.bool_:
        return bool(random.integers(0, 2))
    if np.issubdtype(kind, np.floating):
        return float(kind(random.normal(0, 1e5)))
    info = np.iinfo(kind)
    return int(random.integers(info.min, info.max, dtype=kind, endpoint=True))


def filled(root: Any, random: np.random.Generator) -> Any:
    for message in (root, root.part):
        for type_number, kind in NUMERIC.items():
            if random.random() < 0.7:
                setattr(message, f"f{type_number}", random_number(kind, random))
    if random.random() < 0.8:
        root.at.seconds, root.at.nanos = int(random.integers(-(10**9), 9 * 10**9)), int(random.integers(0, 10**9))
    root.numbers.extend([1.0] * int(random.integers(0, 5)))
    root.name, root.blob, root.kind = "ä", bytes(int(random.integers(0, 9))), 5
    for _ in range(int(random.integers(0, 3))):
        root.parts.add()
    root.again.again.f1 = 1.0
    setattr(root, "class", 3)
    return root


@pytest.mark.parametrize("syntax", ["proto2", "proto3"])
@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 1 << 32), count=st.integers(1, 30))
def test_every_number_of_every_message_is_what_the_library_says(syntax: str, seed: int, count: int) -> None:
    files, random = described(syntax), np.random.default_rng(seed)
    made = class_of(files)
    messages = [filled(made(), random) for _ in range(count)]
    decoder = message_decoder("protobuf", "made.Root", "protobuf", files.SerializeToString())
    columns, usable = decoder.columns([message.SerializeToString() for message in messages])
    assert usable.all()
    assert tuple(columns) == decoder.fields
    for type_number, kind in NUMERIC.items():
        for prefix, of in (("", list(messages)), ("part.", [message.part for message in messages])):
            column = columns[f"{prefix}f{type_number}"]
            assert column.dtype == kind
            assert column.tolist() == [getattr(message, f"f{type_number}") for message in of]
    assert columns["at"].tolist() == [message.at.ToNanoseconds() for message in messages]
    assert columns["numbers.length"].tolist() == [len(message.numbers) for message in messages]
    assert columns["parts.length"].tolist() == [len(message.parts) for message in messages]
    assert columns["blob.length"].tolist() == [len(message.blob) for message in messages]
    assert columns["kind"].tolist() == [5] * count
    assert columns["class"].tolist() == [3] * count
    assert not any(name.startswith(("name", "again")) for name in columns)


def test_damaged_messages_are_unusable_and_the_others_stay() -> None:
    files, random = described(), np.random.default_rng(0)
    made = class_of(files)
    good = [filled(made(), random) for _ in range(5000)]
    payloads: list[bytes | memoryview] = [memoryview(message.SerializeToString()) for message in good]
    payloads[7], payloads[4500] = b"\xff", payloads[4500][:-1]
    columns, usable = message_decoder("protobuf", "made.Root", "protobuf", files.SerializeToString()).columns(payloads)
    assert np.flatnonzero(~usable).tolist() == [7, 4500]
    assert columns["f1"].tolist() == [message.f1 for number, message in enumerate(good) if usable[number]]


def test_a_time_beyond_what_nanoseconds_can_hold_makes_its_message_unusable() -> None:
    files = described()
    early, late = class_of(files)(), class_of(files)()
    early.at.seconds, late.at.seconds = 1, 1 << 62
    decoder = message_decoder("protobuf", "made.Root", "protobuf", files.SerializeToString())
    columns, usable = decoder.columns([late.SerializeToString(), b"\xff", early.SerializeToString()])
    assert usable.tolist() == [False, False, True]
    assert columns["at"].tolist() == [10**9]


def test_a_well_known_import_that_the_recording_lacks_is_added() -> None:
    files = described()
    del files.file[1]
    assert message_decoder("protobuf", "made.Root", "protobuf", files.SerializeToString()).kind == "fields"


def test_two_recordings_may_mean_different_things_by_one_name() -> None:
    files = descriptor_pb2.FileDescriptorSet()
    files.file.add(name="made.proto", package="made", syntax="proto3").message_type.add(name="Root").field.add(
        name="other", number=1, type=1, label=1
    )
    assert message_decoder("protobuf", "made.Root", "protobuf", files.SerializeToString()).fields == ("other",)
    assert len(message_decoder("protobuf", "made.Root", "protobuf", described().SerializeToString()).fields) > 20


def test_types_that_contain_themselves_end() -> None:
    files = descriptor_pb2.FileDescriptorSet()
    struct_pb2.DESCRIPTOR.CopyToProto(files.file.add())
    decoder = message_decoder("protobuf", "google.protobuf.Value", "protobuf", files.SerializeToString())
    value = json_format.Parse('{"a": [1, {"b": 2}]}', struct_pb2.Value())
    columns, usable = decoder.columns([value.SerializeToString()])
    assert usable.all()
    assert columns["struct_value.fields.length"].tolist() == [1]


def wide(levels: int, width: int, leaf_type: int) -> bytes:
    """A type of ``width ** levels`` leaves."""
    files = descriptor_pb2.FileDescriptorSet()
    file = files.file.add(name="made.proto", package="made", syntax="proto3")
    for level in range(levels):
        message = file.message_type.add(name="Root" if not level else f"L{level}")
        for number in range(1, width + 1):
            if level == levels - 1:
                message.field.add(name=f"f{number}", number=number, type=leaf_type, label=1)
            else:
                message.field.add(name=f"f{number}", number=number, type=11, label=1, type_name=f".made.L{level + 1}")
    return files.SerializeToString()


def edited(**changes: Any) -> bytes:
    files = described()
    for name, value in changes.items():
        setattr(files.file[0].message_type[0].field[0], name, value)
    return files.SerializeToString()


def importing(name: str) -> bytes:
    files = described()
    files.file[0].dependency.append(name)
    return files.SerializeToString()


@pytest.mark.parametrize(
    ("definition", "word"),
    [
        (b"", "carries no Protocol Buffers descriptors"),
        (b"\xff\xff\xff", "no serialised FileDescriptorSet"),
        (b"\x0a\x00" * 10, "do not hold made.Root"),
        (described().SerializeToString()[:-300], ""),
        (edited(type=11, type_name=".made.Missing"), ""),
        (edited(number=-5), ""),
        (edited(name="f 1"), ""),
        (importing("missing.proto"), "import 'missing.proto'"),
        (importing("made.proto"), "circle"),
        (wide(7, 10, 1), "more than 4096 columns"),
        (wide(12, 8, 9), "fields"),
        (bytes(5 << 20), "are allowed"),
    ],
)
def test_hostile_descriptors_make_the_channel_opaque_with_a_remedy(definition: bytes, word: str) -> None:
    decoder = message_decoder("protobuf", "made.Root", "protobuf", definition)
    assert decoder.kind == "opaque"
    assert decoder.problem.startswith("made.Root: ")
    assert "Record with the schema" in decoder.problem
    assert word in decoder.problem
    assert decoder.columns([b"abc"])[0]["size_bytes"].tolist() == [3]


def test_a_type_that_the_descriptors_do_not_hold_is_named() -> None:
    problem = message_decoder("protobuf", "made.Nope", "protobuf", described().SerializeToString()).problem
    assert "do not hold made.Nope" in problem


@settings(max_examples=150, deadline=None)
@given(seed=st.integers(0, 1 << 32))
def test_flipped_bits_in_descriptors_never_raise(seed: int) -> None:
    random = np.random.default_rng(seed)
    definition = bytearray(described().SerializeToString())
    for _ in range(int(random.integers(1, 4))):
        definition[int(random.integers(0, len(definition)))] ^= 1 << int(random.integers(0, 8))
    decoder = message_decoder("protobuf", "made.Root", "protobuf", bytes(definition))
    columns, usable = decoder.columns([b"", b"\xff", bytes(random.integers(0, 256, 20, dtype=np.uint8))])
    assert len(usable) == 3
    assert tuple(columns) == decoder.fields
