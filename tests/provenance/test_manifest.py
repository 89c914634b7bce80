"""A manifest is written by others: what it promises is either plain and complete, or refused with rule and remedy."""

import json
from collections.abc import Mapping
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet_assets.provenance.manifest import (
    MAX_MANIFEST_BYTES,
    Manifest,
    ManifestFile,
    RefusedUploadError,
    check_path,
    day_of,
    drive_id_of,
    parse_manifest,
)

FILE: Final[Mapping[str, Any]] = {"path": "log/a.bin", "bytes": 3, "sha256": "a" * 64}
DOCUMENT: Final[Mapping[str, Any]] = {
    "schema": "fleet.manifest/v1",
    "drive_id": "d1",
    "revision": 2,
    "vehicle_id": "Car-1",
    "vehicle_spec": "comma2k19_rav4",
    "depot": "north",
    "start_ns": 1_714_550_400_000_000_000,
    "time_source": "gnss",
    "files": [FILE, {"path": "b.bin", "bytes": 5, "sha256": "b" * 64}],
}
REQUIRED = [key for key in DOCUMENT if key != "revision"]


def parsed(**changes: Any) -> Manifest:
    return parse_manifest(json.dumps({**DOCUMENT, **changes}).encode())


def refused(payload: bytes | Mapping[str, Any], rule: str, message: str | None = None) -> RefusedUploadError:
    with pytest.raises(RefusedUploadError, match=message) as caught:
        parse_manifest(payload if isinstance(payload, bytes) else json.dumps(payload).encode())
    error = caught.value
    assert error.rule == rule
    assert error.value
    assert error.limit
    assert error.remedy in str(error)
    return error


def test_a_manifest_says_who_where_when_and_what() -> None:
    manifest = parsed()
    assert (manifest.drive_id, manifest.revision, manifest.depot) == ("d1", 2, "north")
    assert manifest.day == "2024-05-01"
    assert manifest.size_bytes == 8
    assert manifest.files == (ManifestFile("b.bin", 5, "b" * 64), ManifestFile("log/a.bin", 3, "a" * 64))


def test_the_identity_of_a_manifest_does_not_depend_on_the_layout_of_its_json() -> None:
    shuffled = dict(reversed([*DOCUMENT.items()])) | {"files": list(reversed(DOCUMENT["files"]))}
    assert parse_manifest(json.dumps(shuffled, indent=3).encode()) == parsed()
    assert parsed(revision=0) == parse_manifest(
        json.dumps({key: value for key, value in DOCUMENT.items() if key != "revision"}).encode()
    )


@pytest.mark.parametrize("key", sorted(set(DOCUMENT) - {"schema"}))
def test_every_statement_of_a_manifest_is_part_of_its_identity(key: str) -> None:
    other = {
        "revision": 3, "start_ns": 5, "time_source": "given", "files": [FILE], "vehicle_id": "car2",
        "vehicle_spec": "css_canedge", "depot": "south", "drive_id": "d2",
    }  # fmt: skip
    assert parsed(**{key: other[key]}).sha256 != parsed().sha256


def test_a_manifest_survives_being_written_and_read_again() -> None:
    manifest = parsed()
    assert parse_manifest(json.dumps(manifest.as_json()).encode()) == manifest


@pytest.mark.parametrize("key", REQUIRED)
def test_a_missing_field_is_named(key: str) -> None:
    document = {name: value for name, value in DOCUMENT.items() if name != key}
    error = refused(document, "manifest_schema", f"'{key}' is a required property")
    assert error.drive_id == (None if key == "drive_id" else "d1")


@pytest.mark.parametrize("key", sorted(FILE))
def test_a_missing_field_of_a_file_is_named_with_its_place(key: str) -> None:
    files = [
        FILE,
        {name: value for name, value in FILE.items() if name != key} | ({} if key == "path" else {"path": "x"}),
    ]
    refused({**DOCUMENT, "files": files}, "manifest_schema", f"files/1: '{key}' is a required property")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("schema", "fleet.manifest/v2"),
        ("drive_id", "../d1"),
        ("drive_id", "D1"),
        ("drive_id", ""),
        ("drive_id", "d" * 65),
        ("drive_id", "d1\n"),
        ("drive_id", 7),
        ("depot", "north\n"),
        ("depot", "nörth"),
        ("depot", "a/b"),
        ("vehicle_id", "car 1"),
        ("vehicle_spec", "../../etc/passwd"),
        ("revision", -1),
        ("revision", True),
        ("revision", "1"),
        ("start_ns", -5),
        ("start_ns", 10**30),
        ("start_ns", "2024-05-01"),
        ("start_ns", None),
        ("time_source", "guess"),
        ("files", []),
        ("files", {}),
        ("files", [{**FILE, "bytes": -1}]),
        ("files", [{**FILE, "sha256": "A" * 64}]),
        ("files", [{**FILE, "sha256": "a" * 63}]),
        ("files", [{**FILE, "sha256": "a" * 64 + "\n"}]),
        ("files", [{**FILE, "path": ""}]),
        ("files", [{**FILE, "path": "x" * 1025}]),
        ("files", [{**FILE, "more": 1}]),
        ("more", 1),
    ],
)
def test_a_wrong_value_is_refused_by_the_schema(key: str, value: object) -> None:
    refused({**DOCUMENT, key: value}, "manifest_schema", "manifest.schema.json")


HOSTILE_PATHS = [
    "/etc/passwd",
    "..",
    "../x",
    "a/../../x",
    "a/..",
    "./a",
    "a//b",
    "a/",
    "a/./b",
    "a\\b",
    "..\\x",
    "C:\\x",
    "a\x00b",
    "manifest.json",
    ".partial-x",
    "a/.partial-x/b",
    "x" * 256,
    "ä" * 128,
    "a\ud800",
]


@pytest.mark.parametrize("path", HOSTILE_PATHS)
def test_a_path_that_is_not_plain_is_refused(path: str) -> None:
    error = refused({**DOCUMENT, "files": [{**FILE, "path": path}]}, "path_traversal")
    assert error.drive_id == "d1"
    str(error).encode()


@pytest.mark.parametrize(
    "path", ["a", "a/b/c.bin", "a b", "ä.MF4", "...", "..a", "a..", ".hidden", "x" * 255, "日本.bin"]
)
def test_a_plain_path_is_taken_as_it_is(path: str) -> None:
    assert [file.path for file in parsed(files=[{**FILE, "path": path}]).files] == [path]


@given(st.text(max_size=20))
def test_a_path_that_is_taken_stays_inside_its_folder_and_can_be_stored(path: str) -> None:
    from pathlib import PurePosixPath

    try:
        check_path(path)
    except RefusedUploadError:
        return
    joined = PurePosixPath("/zone/upload") / path
    assert ".." not in joined.parts
    assert joined.is_relative_to("/zone/upload")
    assert "\x00" not in path.encode().decode()


def test_a_path_that_is_promised_twice_is_refused() -> None:
    error = refused({**DOCUMENT, "files": [FILE, {**FILE, "sha256": "b" * 64}]}, "duplicate_path")
    assert error.value == "log/a.bin"


@pytest.mark.parametrize(
    "payload",
    [
        b"", b"{", b"[]", b'"text"', b"null", b"\xff\xfe", b"{'a': 1}", b"[" * 100_000, b'{"a":' * 50_000,
        json.dumps({**DOCUMENT, "start_ns": 1.5}).encode(),
        json.dumps({**DOCUMENT, "start_ns": 1.7e18}).encode(),
        json.dumps({**DOCUMENT, "start_ns": float("nan")}).encode(),
        json.dumps({**DOCUMENT, "revision": float("inf")}).encode(),
        json.dumps({**DOCUMENT, "revision": 1.0}).encode(),
        b'{"drive_id": "a", "drive_id": "b"}',
        b'{"start_ns": ' + b"9" * 5000 + b"}",
    ],
)  # fmt: skip
def test_what_is_not_one_plain_json_object_is_refused(payload: bytes) -> None:
    refused(payload, "manifest_json")


def test_a_manifest_that_is_too_large_is_refused_unread() -> None:
    refused(b" " * (MAX_MANIFEST_BYTES + 1), "manifest_size", f"{MAX_MANIFEST_BYTES} bytes")


@given(st.binary(max_size=300) | st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*DOCUMENT, "x"]), inner, max_size=4),
    max_leaves=10,
).map(lambda value: json.dumps(value).encode()))  # fmt: skip
def test_any_bytes_are_refused_and_never_crash(payload: bytes) -> None:
    with pytest.raises(RefusedUploadError):
        parse_manifest(payload)


def test_the_same_recording_gets_the_same_drive_id_wherever_and_whenever_it_is_delivered() -> None:
    files = [ManifestFile("a", 1, "1" * 64), ManifestFile("b", 2, "2" * 64)]
    assert drive_id_of("car1", files) == drive_id_of("car1", files[::-1])
    assert drive_id_of("car1", files) != drive_id_of("car2", files)
    assert drive_id_of("car1", files) != drive_id_of("car1", files[:1])
    assert parsed(drive_id=drive_id_of("car1", files)).drive_id == drive_id_of("car1", files)


@pytest.mark.parametrize(
    ("t_ns", "day"),
    [(0, "1970-01-01"), (86_399_999_999_999, "1970-01-01"), (86_400_000_000_000, "1970-01-02"),
     (1_709_164_800_000_000_000, "2024-02-29"), (4_102_444_800_000_000_000, "2100-01-01")],
)  # fmt: skip
def test_the_day_of_a_drive_is_the_utc_day_of_its_start(t_ns: int, day: str) -> None:
    assert day_of(t_ns) == day
