"""One line of a telemetry batch: the message in it, or why it is none. Parsing trusts nothing.

Whether a schema or depot is known and when a message is too old depends on the fleet: see `judgement.py`.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from fleet_assets.ingestion.telemetry_and_bulk_ingestion.telemetry.hours import hour_of

FORM: Final = '{"message_id", "vehicle_id", "depot", "schema": "NAME/1.0.0", "t_ns" or "time", "payload": {…}}'
MAX_VALUE: Final = 80
"""Characters of a broken line that are shown."""
_TEXTS: Final[Mapping[str, re.Pattern[str]]] = {
    "message_id": re.compile(r"[!-~]{1,128}"),
    "vehicle_id": re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}"),
    "depot": re.compile(r"[a-z0-9][a-z0-9_-]{0,63}"),
    "schema": re.compile(r"[a-z][a-z0-9_]{0,63}/(0|[1-9]\d{0,5})\.(0|[1-9]\d{0,5})\.(0|[1-9]\d{0,5})", re.ASCII),
}
_KEYS: Final = {*_TEXTS, "t_ns", "time", "payload"}
_TIME: Final = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|z|[+-]\d\d:\d\d)",
    re.ASCII,
)
_NS_PER_S: Final = 1_000_000_000
_INT64: Final = (-(1 << 63), (1 << 63) - 1)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


class BrokenLineError(ValueError):
    """A line that is no message: the rule, what was found, what is allowed."""

    def __init__(self, rule: str, value: str, limit: str) -> None:
        super().__init__(rule, value, limit)
        self.rule, self.value, self.limit = rule, value, limit

    def __str__(self) -> str:
        return f"{self.rule}: found {self.value}, allowed: {self.limit}"


@dataclass(frozen=True, slots=True)
class Message:
    """A message as its vehicle sent it.

    Attributes:
        message_id: Id, unique over the fleet.
        vehicle_id: Vehicle.
        depot: Depot that it names.
        schema: Schema and version that it names.
        t_ns: Its own time, UTC nanoseconds.
        hour: UTC hour of that.
        payload: Payload as canonical JSON.
        sha256: Digest of all of these: equal for the same message, however it was written down.
    """

    message_id: str
    vehicle_id: str
    depot: str
    schema: str
    t_ns: int
    hour: str
    payload: str
    sha256: str


def parse_message(line: bytes) -> Message:
    """The message in a line.

    Args:
        line: JSON without the line's end.

    Raises:
        BrokenLineError: With the rule `not_json` or `envelope`.
    """
    document = _document(line)
    if surplus := sorted(set(document) - _KEYS):
        raise _envelope(f"key {shown(surplus[0])}")
    if missing := sorted({*_TEXTS, "payload"} - set(document)):
        raise _envelope(f"no {missing[0]}")
    for name, pattern in _TEXTS.items():
        if not isinstance(document[name], str) or not pattern.fullmatch(document[name]):
            raise _envelope(f"{name} {shown(document[name])}")
    if not isinstance(document["payload"], dict):
        raise _envelope(f"payload {shown(document['payload'])}")
    t_ns = _time_ns(document)
    payload = _canonical(document["payload"], line).decode()
    message_id, vehicle_id, depot, schema = (str(document[name]) for name in _TEXTS)
    content = _canonical([message_id, vehicle_id, depot, schema, t_ns, payload], line)
    sha256 = hashlib.sha256(content).hexdigest()
    return Message(message_id, vehicle_id, depot, schema, t_ns, hour_of(t_ns), payload, sha256)


def shown(value: object) -> str:
    """A value for people: on one line, short, in plain characters."""
    text = ascii(value)
    return text if len(text) <= MAX_VALUE else f"{text[: MAX_VALUE - 1]}…"


def _envelope(value: str) -> BrokenLineError:
    return BrokenLineError("envelope", value, FORM)


def _document(line: bytes) -> dict[str, Any]:
    try:
        document = json.loads(line.decode("utf-8-sig"), object_pairs_hook=_unique, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise BrokenLineError("not_json", shown(line), "one JSON object in UTF-8, each key once") from error
    if not isinstance(document, dict):
        raise BrokenLineError("not_json", shown(line), "one JSON object in UTF-8, each key once")
    return document


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key occurs twice")
    return found


def _no_number(name: str) -> float:
    raise ValueError(f"{name} is no JSON")


def _canonical(value: object, line: bytes) -> bytes:
    """Canonical JSON as `provenance.canonical` has it: what was parsed from JSON needs no check of types."""
    try:
        text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
        return text.encode()
    except (ValueError, RecursionError) as error:  # a number beyond all floats, half a surrogate pair, too deep
        raise BrokenLineError("not_json", shown(line), "finite numbers and valid Unicode") from error


def _time_ns(document: Mapping[str, Any]) -> int:
    if ("t_ns" in document) == ("time" in document):
        raise _envelope("t_ns and time" if "time" in document else "neither t_ns nor time")
    if "time" in document:
        return _parsed_ns(document["time"])
    t_ns = document["t_ns"]
    if not isinstance(t_ns, int) or isinstance(t_ns, bool) or not _INT64[0] <= t_ns <= _INT64[1]:
        raise _envelope(f"t_ns {shown(t_ns)}")
    return t_ns


def _parsed_ns(text: object) -> int:
    """Nanoseconds of an ISO 8601 time with its offset; none of the nine digits is lost."""
    match = _TIME.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise _envelope(f"time {shown(text)}")
    day, clock, fraction, offset = match.groups()
    try:
        instant = datetime.fromisoformat(f"{day}T{clock}{'+00:00' if offset in 'Zz' else offset}")
        seconds = (instant - _EPOCH) // _MICROSECOND // 1_000_000
    except (ValueError, OverflowError) as error:
        raise _envelope(f"time {shown(text)}") from error
    t_ns = seconds * _NS_PER_S + int((fraction or "0").ljust(9, "0"))
    if not _INT64[0] <= t_ns <= _INT64[1]:
        raise _envelope(f"time {shown(text)}")
    return t_ns


def id_key(message_id: str | None) -> int:
    """First 64 bits of the digest of a message id, as a signed number; 0 for none."""
    if message_id is None:
        return 0
    return int.from_bytes(hashlib.sha256(message_id.encode()).digest()[:8], "big", signed=True)
