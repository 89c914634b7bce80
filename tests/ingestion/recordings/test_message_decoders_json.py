"""JSON messages as columns."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleet_assets.ingestion.recordings.messages.decoders import message_decoder

SCHEMA = {
    "type": "object",
    "required": ["count", "ok", "pose"],
    "properties": {
        "timestamp": {"type": "object", "properties": {"sec": {"type": "integer"}, "nsec": {"type": "integer"}}},
        "count": {"type": "integer"},
        "ok": {"type": "boolean"},
        "frame_id": {"type": "string"},
        "pose": {"$ref": "#/definitions/pose"},
        "K": {"type": "array", "items": {"type": "number"}, "minItems": 3, "maxItems": 3},
        "D": {"type": "array", "items": {"type": "number"}},
        "maybe": {"type": ["null", "integer"]},
        "again": {"$ref": "#"},
    },
    "definitions": {
        "pose": {"type": "object", "required": ["n"], "properties": {"x": {"type": "number"}, "n": {"type": "integer"}}}
    },
}  # fmt: skip
GOOD: dict[str, Any] = {
    "timestamp": {"sec": 1_700_000_000, "nsec": 5}, "count": (1 << 62) + 1, "ok": True, "frame_id": "base",
    "pose": {"x": 1.5, "n": 3}, "K": [1, 2, 3.5], "D": [1, 2], "maybe": 4, "surprise": 9,
}  # fmt: skip


def decoded(messages: list[Any], schema: Any = None, sample: Any = None) -> tuple[Any, dict[str, Any], list[bool]]:
    decoder = message_decoder(
        "json",
        "made.Root",
        "" if schema is None else "jsonschema",
        b"" if schema is None else json.dumps(schema).encode(),
        None if sample is None else json.dumps(sample).encode(),
    )
    columns, usable = decoder.columns(
        [message if isinstance(message, bytes) else json.dumps(message).encode() for message in messages]
    )
    assert tuple(columns) == decoder.fields
    return decoder, {name: column.tolist() for name, column in columns.items()}, usable.tolist()


def test_the_schema_settles_names_types_and_widths_and_ends_where_it_contains_itself() -> None:
    decoder, columns, usable = decoded([GOOD], SCHEMA)
    assert decoder.kind == "fields"
    assert usable == [True]
    assert columns == {
        "timestamp": [1_700_000_000_000_000_005],
        "count": [(1 << 62) + 1],
        "ok": [True],
        "pose.x": [1.5],
        "pose.n": [3],
        "K": [[1.0, 2.0, 3.5]],
        "D.length": [2],
        "maybe": [4.0],
    }


def test_what_is_not_required_may_be_absent_and_what_is_required_may_not() -> None:
    bare = {"count": 1, "ok": False, "pose": {"n": 2}, "K": [1], "maybe": None}
    _, columns, usable = decoded([bare, {**bare, "count": 1.5}, {**bare, "ok": 1}, {**bare, "pose": []}], SCHEMA)
    assert usable == [True, False, False, False]
    assert columns["timestamp"] == [0]
    assert columns["D.length"] == [0]
    assert np.isnan([columns["pose.x"][0], *columns["K"][0], columns["maybe"][0]]).all()


def test_without_a_schema_the_first_message_settles_the_columns() -> None:
    sample = {"t": {"secs": 1, "nsecs": 2}, "a": {"b": 1, "c": "text"}, "flag": True, "list": [1, 2], "none": None}
    messages = [sample, {"a": {"b": "no"}, "new": 5}, [], b"{", b"\xff\xfe", b"", {"t": {"secs": 1 << 70, "nsecs": 0}}]
    decoder, columns, usable = decoded(messages, sample=sample)
    assert decoder.fields == ("t", "a.b", "flag", "list.length")
    assert usable == [True, True, False, False, False, False, False]
    assert columns["t"] == [1_000_000_002, 0]
    assert columns["a.b"][0] == 1.0
    assert np.isnan([columns["a.b"][1], columns["flag"][1]]).all()
    assert columns["list.length"] == [2, 0]


def test_numbers_beyond_what_floats_hold_become_infinite() -> None:
    _, columns, usable = decoded([{"a": 10**400}, {"a": -(10**400)}, {"a": float("inf")}], sample={"a": 1})
    assert usable == [True] * 3
    assert columns["a"] == [float("inf"), float("-inf"), float("inf")]


@pytest.mark.parametrize(
    ("schema", "sample"),
    [
        (b"", None),
        (b"{", None),
        (b"[" * 100_000, None),
        (b'{"type": "object", "properties": {"a": {"type": "string"}}}', b'{"a": "text"}'),
        (b'{"properties": {"a": {"$ref": "#/properties/a"}}}', None),
        (b'{"properties": {"a": {"$ref": "http://elsewhere/schema"}}}', None),
        (b'{"properties": 5, "type": {"a": 1}}', b"[1]"),
        (b" " * (2 << 20), None),
        (json.dumps({"properties": {f"f{n}": {"type": "number"} for n in range(5000)}}).encode(), None),
        (json.dumps({"properties": {f"f{n}": {"$ref": "#"} for n in range(10)}}).encode(), None),
    ],
)
def test_hostile_schemas_make_the_channel_opaque_with_a_remedy(schema: bytes, sample: bytes | None) -> None:
    decoder = message_decoder("json", "made.Root", "jsonschema", schema, sample)
    assert decoder.kind == "opaque"
    assert decoder.problem.startswith("made.Root: ")
    assert "Record with a JSON schema" in decoder.problem


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "b", "sec", "nsec"]), inner, max_size=4)
    ),
    max_leaves=10,
)


@settings(max_examples=100, deadline=None)
@given(sample=VALUES, messages=st.lists(VALUES, max_size=6))
def test_any_messages_decode_alike_however_they_are_cut(sample: Any, messages: list[Any]) -> None:
    payloads = [json.dumps(message).encode() for message in messages]
    decoder = message_decoder("json", "made.Root", "", b"", json.dumps(sample).encode())
    whole, usable = decoder.columns(payloads)
    assert all(len(column) == usable.sum() for column in whole.values())
    for name, column in whole.items():
        parts = [decoder.columns([payload])[0][name] for payload in payloads]
        np.testing.assert_array_equal(column, np.concatenate([column[:0], *parts]))
