"""A telemetry batch is read once, in bounded memory, and every line becomes a message or says why it is none."""

import gzip
import json
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from fleet_assets.ingestion.telemetry_and_bulk_ingestion.telemetry.batches import (
    ANY,
    Limits,
    ReplacedBatchError,
    read_batch,
)
from fleet_assets.ingestion.telemetry_and_bulk_ingestion.telemetry.messages import BrokenLineError, parse_message
from fleet_assets.provenance.canonical import canonical_json
from tests.telemetry import HOUR, HOUR_NS, LIMITS, T0_NS, jsonl, message, read

BOMB = """
import resource, sys
from pathlib import Path
from fleet_assets.ingestion.telemetry_and_bulk_ingestion.telemetry.batches import Limits, read_batch
from fleet_assets.provenance.digests import file_sha256
path = Path(sys.argv[1])
resource.setrlimit(resource.RLIMIT_AS, (int(sys.argv[2]), int(sys.argv[2])))
print(read_batch(path, file_sha256(path), Limits(8 << 20, 10 ** 9, 1 << 16)).summary["problem"])
"""


def refusal(line: bytes) -> tuple[str, str]:
    """Rule that a line breaks, and what was found."""
    with pytest.raises(BrokenLineError) as raised:
        parse_message(line)
    return raised.value.rule, raised.value.value


# -- one line ------------------------------------------------------------------------------------------------------


def test_a_message_says_what_its_line_says() -> None:
    made = parse_message(json.dumps(message("m7", payload={"b": 1.5, "a": "ö"})).encode())
    assert (made.message_id, made.vehicle_id, made.depot, made.schema) == ("m7", "car1", "north", "probe/1.0.0")
    assert (made.t_ns, made.hour) == (T0_NS, HOUR)
    assert made.payload == '{"a":"ö","b":1.5}'


@pytest.mark.parametrize(
    ("time", "t_ns"),
    [
        ("2024-05-01T08:00:00Z", T0_NS),
        ("2024-05-01 10:00:00+02:00", T0_NS),
        ("2024-05-01T08:00:00.123456789Z", T0_NS + 123_456_789),
        ("2024-05-01T08:00:00.5Z", T0_NS + 500_000_000),
        ("1969-12-31T23:59:59.25Z", -750_000_000),
        ("1970-01-01T00:00:00Z", 0),
    ],
)
def test_a_written_time_keeps_every_digit(time: str, t_ns: int) -> None:
    written = {key: value for key, value in message(time=time).items() if key != "t_ns"}
    made = parse_message(json.dumps(written).encode())
    assert made.t_ns == t_ns
    assert made.sha256 == parse_message(json.dumps(message(t_ns=t_ns)).encode()).sha256


def test_how_a_message_is_written_down_does_not_matter() -> None:
    one = parse_message(
        b'{"message_id":"m","vehicle_id":"v","depot":"d","schema":"s/1.0.0","t_ns":1,"payload":{"a":1,"b":"\\u00e9"}}'
    )
    other = parse_message(
        '\ufeff{ "payload": {"b": "é", "a": 1}, "t_ns": 1, "schema": "s/1.0.0", "depot": "d", "vehicle_id": "v", '
        '"message_id": "m"}'.encode()
    )
    assert one == other


def without(key: str) -> dict[str, Any]:
    return {name: value for name, value in message().items() if name != key}


@pytest.mark.parametrize(
    ("line", "rule", "found"),
    [
        (b"nonsense", "not_json", "b'nonsense'"),
        (b"\xff\xfe", "not_json", "b'\\xff\\xfe'"),
        (b"[]", "not_json", "b'[]'"),
        (b"1", "not_json", "b'1'"),
        (b'{"a":1,"a":2}', "not_json", 'b\'{"a":1,"a":2}\''),
        (b"[" * 100_000, "not_json", "b'[[["),
        (b'{"t_ns":' + b"9" * 5000 + b"}", "not_json", "b'{"),
        (json.dumps(message(payload={"a": float("nan")})).encode(), "not_json", "b'{"),
        (json.dumps(message(payload={"a": 1})).replace("1}", "1e999}").encode(), "not_json", "b'{"),
        (json.dumps(message(payload={"a": "\ud800"})).encode(), "not_json", "b'{"),
        (json.dumps(message(extra=1)).encode(), "envelope", "key 'extra'"),
        (json.dumps(without("depot")).encode(), "envelope", "no depot"),
        (json.dumps(without("t_ns")).encode(), "envelope", "neither t_ns nor time"),
        (json.dumps(message(time="2024-05-01T08:00:00Z")).encode(), "envelope", "t_ns and time"),
        (json.dumps(message(t_ns=1.5)).encode(), "envelope", "t_ns 1.5"),
        (json.dumps(message(t_ns=True)).encode(), "envelope", "t_ns True"),
        (json.dumps(message(t_ns=1 << 63)).encode(), "envelope", "t_ns 9223372036854775808"),
        (json.dumps(message(payload=[])).encode(), "envelope", "payload []"),
        (json.dumps(message(message_id=7)).encode(), "envelope", "message_id 7"),
        (json.dumps(message(message_id="")).encode(), "envelope", "message_id ''"),
        (json.dumps(message(message_id="a b")).encode(), "envelope", "message_id 'a b'"),
        (json.dumps(message(message_id="a\n")).encode(), "envelope", "message_id 'a\\n'"),
        (json.dumps(message(vehicle_id="../x")).encode(), "envelope", "vehicle_id '../x'"),
        (json.dumps(message(depot="North")).encode(), "envelope", "depot 'North'"),
        (json.dumps(message(schema="probe")).encode(), "envelope", "schema 'probe'"),
        (json.dumps(message(schema="probe/1.0")).encode(), "envelope", "schema 'probe/1.0'"),
    ],
)
def test_a_line_that_is_no_message_says_why(line: bytes, rule: str, found: str) -> None:
    said = refusal(line)
    assert said[0] == rule
    assert said[1].startswith(found)
    assert len(said[1]) < 120


@pytest.mark.parametrize(
    "time",
    ["2024-05-01T08:00:00", "2024-05-01", "2024-13-01T08:00:00Z", "2024-05-01T25:00:00Z", "0000-01-01T00:00:00Z",
     "2024-05-01T08:00:00.1234567890Z", "٢٠٢٤-05-01T08:00:00Z", "9999-12-31T23:59:59Z", "now", 1714550400, None],
)  # fmt: skip
def test_a_time_that_names_no_instant_is_refused(time: object) -> None:
    rule, found = refusal(json.dumps({**without("t_ns"), "time": time}).encode())
    assert (rule, found.split(" ", 1)[0]) == ("envelope", "time")


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(), JSON, max_size=4))
def test_the_payload_is_stored_as_the_platform_writes_json(payload: dict[str, Any]) -> None:
    try:
        expected = canonical_json(payload).decode()
    except ValueError:
        return
    assert parse_message(json.dumps(message(payload=payload)).encode()).payload == expected


@given(st.binary(max_size=200) | JSON.map(lambda value: json.dumps(value).encode()))
def test_no_line_crashes_the_reader(line: bytes) -> None:
    with suppress(BrokenLineError):
        parse_message(line)


# -- one batch -----------------------------------------------------------------------------------------------------


def test_every_line_is_counted_and_blank_ones_are_none(tmp_path: Path) -> None:
    batch = read(tmp_path, jsonl([message("a"), b"", b"  \r", message("b"), b"{}", message("a")]) + b"last")
    assert [(row["line"], row.get("message_id"), row.get("rule")) for row in batch.rows] == [
        (1, "a", None),
        (2, "b", None),
        (3, None, "envelope"),
        (4, "a", None),
        (5, None, "not_json"),
    ]
    counts = {name: batch.summary[name] for name in ("lines", "messages", "duplicates", "problem")}
    assert counts == {"lines": 5, "messages": 3, "duplicates": 1, "problem": None}


def test_the_summary_says_which_hours_a_batch_touches_and_what_is_named_there(tmp_path: Path) -> None:
    batch = read(
        tmp_path,
        jsonl([message("a"), message("b", T0_NS + HOUR_NS, depot="south"), message("c", schema="other/2.0.0")]),
    )
    assert json.loads(batch.summary["hours"]) == {
        HOUR: {"messages": 2, "schemas": ["other/2.0.0", "probe/1.0.0"], "depots": ["north"]},
        "2024-05-01-09:00": {"messages": 1, "schemas": ["probe/1.0.0"], "depots": ["south"]},
    }
    assert (batch.summary["first_t_ns"], batch.summary["last_t_ns"]) == (T0_NS, T0_NS + HOUR_NS)


def test_a_batch_that_names_too_many_schemas_says_any(tmp_path: Path) -> None:
    batch = read(tmp_path, jsonl(message(f"m{i}", schema=f"s{i}/1.0.0") for i in range(40)))
    assert json.loads(batch.summary["hours"])[HOUR]["schemas"] == [ANY]


@pytest.mark.parametrize("pack", [bytes, gzip.compress, zstandard.compress])
def test_compression_does_not_matter(tmp_path: Path, pack: Any) -> None:
    first, second = jsonl(message(f"a{i}") for i in range(300)), jsonl(message(f"b{i}") for i in range(300))
    batch = read(tmp_path, pack(first) + pack(second))
    assert [row["message_id"] for row in batch.rows] == [f"{letter}{i}" for letter in "ab" for i in range(300)]
    assert batch.summary["problem"] is None


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.compress])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.99])
def test_a_stream_that_breaks_off_gives_what_it_has_and_says_so(tmp_path: Path, pack: Any, share: float) -> None:
    packed = pack(b"".join(jsonl([message(f"m{i}", payload={"n": hash(i * 7919)})]) for i in range(5000)))
    batch = read(tmp_path, packed[: int(share * len(packed))])
    assert batch.rows[-1]["rule"] == "batch_unreadable"
    assert "breaks off after" in batch.summary["problem"]
    taken = [row["message_id"] for row in batch.rows if row.get("message_id")]
    assert taken == [f"m{i}" for i in range(len(taken))]
    assert share < 0.6 or len(taken) > 500


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.compress])
def test_a_damaged_stream_never_crashes_the_reader(tmp_path: Path, pack: Any) -> None:
    packed = pack(jsonl(message(f"m{i}") for i in range(200)))
    for place in range(0, len(packed), max(1, len(packed) // 60)):
        damaged = bytearray(packed)
        damaged[place] ^= 0x55
        batch = read(tmp_path, bytes(damaged))
        assert batch.summary["lines"] == len(batch.rows)


def test_a_line_that_is_too_long_is_left_out_and_the_next_one_is_read(tmp_path: Path) -> None:
    limits = Limits(1 << 20, 9, 400)
    exact = json.dumps(message("exact")).encode()
    padded = exact + b" " * 1000
    long = json.dumps(message("long", payload={"note": "x" * 400})).encode()
    batch = read(tmp_path, b"\n".join([exact, long, padded, exact + b"\r"]), limits)
    assert [row.get("rule") for row in batch.rows] == [None, "line_too_long", "line_too_long", None]
    assert batch.rows[1]["value"] == f"{len(long)} bytes"
    assert [row["line"] for row in batch.rows] == [1, 2, 3, 4]


@pytest.mark.parametrize("size", [399, 400, 401])
def test_the_limit_of_a_line_is_the_last_length_that_is_taken(tmp_path: Path, size: int) -> None:
    line = json.dumps(message(payload={"note": ""}))
    line = line.replace('""', '"' + "x" * (size - len(line)) + '"')
    (row,) = read(tmp_path, line.encode() + b"\r\n", Limits(1 << 20, 9, 400)).rows
    assert row.get("rule") == (None if size <= 400 else "line_too_long")


@pytest.mark.parametrize("spare", [-1, 0, 1])
def test_the_limit_of_a_batch_is_the_last_length_that_is_taken(tmp_path: Path, spare: int) -> None:
    content = jsonl(message(f"m{i}") for i in range(50))
    batch = read(tmp_path, content, Limits(len(content) + spare, 50, 1 << 12))
    assert (batch.summary["problem"] is None) == (spare >= 0)
    assert batch.summary["messages"] == (50 if spare >= -1 else 49)


@pytest.mark.parametrize(
    ("lines", "taken", "rule"), [(9, 9, None), (10, 9, "batch_too_large"), (500, 9, "batch_too_large")]
)
def test_the_limit_of_lines_is_the_last_number_that_is_taken(
    tmp_path: Path, lines: int, taken: int, rule: str | None
) -> None:
    batch = read(tmp_path, jsonl([b"", *(message(f"m{i}") for i in range(lines))]), Limits(1 << 20, 9, 400))
    assert batch.summary["messages"] == taken
    assert batch.rows[-1].get("rule") == rule
    assert batch.summary["lines"] == taken + (rule is not None)


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.compress])
@pytest.mark.parametrize("text", [b"\0" * (100 << 20), jsonl([message()]) * (1 << 19)], ids=["zeros", "messages"])
def test_a_bomb_is_cut_off_in_bounded_memory(tmp_path: Path, pack: Any, text: bytes) -> None:
    bomb = tmp_path / "bomb"
    bomb.write_bytes(pack(text))
    done = subprocess.run(
        [sys.executable, "-c", BOMB, str(bomb), str(1 << 30)], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.stdout.startswith("batch_too_large: found more than 8388608 bytes of text"), done.stderr[-2000:]


def test_a_zstandard_window_beyond_what_decoders_must_take_is_refused(tmp_path: Path) -> None:
    parameters = zstandard.ZstdCompressionParameters(window_log=27)
    writer = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    packed = writer.compress(jsonl([message()])) + writer.flush()
    assert read(tmp_path, packed).rows[-1]["rule"] == "batch_unreadable"


def test_a_file_that_was_replaced_meanwhile_is_not_taken_for_the_other(tmp_path: Path) -> None:
    path = tmp_path / "batch"
    path.write_bytes(b"new")
    with pytest.raises(ReplacedBatchError, match="next look"):
        read_batch(path, "0" * 64, LIMITS)


@given(st.lists(st.text("ab ", max_size=30), max_size=12), st.integers(1, 40))
def test_every_line_with_something_on_it_has_a_row_and_no_other(
    tmp_path_factory: pytest.TempPathFactory, lines: list[str], longest: int
) -> None:
    batch = read(tmp_path_factory.getbasetemp(), "\n".join(lines).encode(), Limits(1 << 20, 99, longest))
    rules = [row["rule"] for row in batch.rows]
    whole = [line for line in lines if len(line) <= longest]
    assert rules.count("not_json") >= sum(bool(line.strip()) for line in whole)
    assert len(rules) - rules.count("not_json") == rules.count("line_too_long")
    assert len(rules) <= sum(bool(line.strip()) or len(line) > longest for line in lines)
