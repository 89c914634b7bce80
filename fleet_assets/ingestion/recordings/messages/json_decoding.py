"""Decoding JSON messages, one object each.

Here belongs what the columns are: the numbers and booleans that the JSON schema names, or, without a schema, those of
the channel's first message. Either way they are settled before the first message is decoded, so that they do not depend
on how messages are cut into batches; values that no column was settled for are left out.

Columns are float64, NaN where a message has no number there (true is 1, false 0); integers and booleans that the schema
requires all the way down are int64 and bool, and a message without them is not usable. An object of seconds and
nanoseconds is one int64 of nanoseconds, 0 where it is absent. Arrays that the schema fixes in size are 2-D, others give
``.length`` (0 where absent). Strings give no column.
"""

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fleet_assets.ingestion.recordings.messages.opaque import OpaqueDecoder
from fleet_assets.ingestion.recordings.protocol import NS_PER_S
from fleet_assets.ingestion.recordings.windows import Columns

_MOST_COLUMNS: Final = 4096
_MOST_VISITS: Final = 50_000
_DEEPEST: Final = 32
_WIDEST: Final = 1024
_LARGEST_DEFINITION: Final = 1 << 20
_TIME_KEYS: Final = (("sec", "nsec"), ("sec", "nanosec"), ("secs", "nsecs"), ("seconds", "nanos"))
"""How Foxglove, ROS 2, ROS 1 and Protocol Buffers' JSON name the parts of a time stamp."""
_INT64: Final = 1 << 63


class _NoColumnsError(Exception):
    """A schema or message that says no columns; the message says why."""


class _UnusableError(Exception):
    """A message without something that must be there."""


@dataclass(frozen=True, slots=True)
class _Column:
    """A column: its name, where it is found, its form (one of ``_FORMS``) and the width of a 2-D one."""

    name: str
    path: tuple[str, ...]
    form: str
    width: int = 0


def _float(value: object, _: int) -> float:
    if isinstance(value, (int, float)):
        try:
            return float(value)
        except OverflowError:
            return float("inf") if value > 0 else float("-inf")
    return float("nan")


def _floats(value: object, width: int) -> list[float]:
    items = value if isinstance(value, list) and len(value) == width else [None] * width
    return [_float(item, 0) for item in items]


def _int(value: object, _: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not -_INT64 <= value < _INT64:
        raise _UnusableError
    return value


def _bool(value: object, _: int) -> bool:
    if not isinstance(value, bool):
        raise _UnusableError
    return value


def _time(value: object, _: int) -> int:
    if value is None:
        return 0
    for high, low in _TIME_KEYS:
        if isinstance(value, dict) and high in value and low in value:
            return _int(_int(value[high], 0) * NS_PER_S + _int(value[low], 0), 0)
    raise _UnusableError


def _length(value: object, _: int) -> int:
    return len(value) if isinstance(value, list) else 0


def _is_time(keys: Collection[str]) -> bool:
    return any(set(keys) == set(pair) for pair in _TIME_KEYS)


_FORMS: Final[Mapping[str, tuple[Callable[[object, int], Any], str]]] = {
    "float": (_float, "f8"),
    "floats": (_floats, "f8"),
    "int": (_int, "i8"),
    "bool": (_bool, "?"),
    "time": (_time, "i8"),
    "length": (_length, "u4"),
}


class _Lister:
    """Lists columns, within limits that real messages are far from."""

    def __init__(self, schema: Mapping[str, Any] | None = None) -> None:
        self.columns: dict[str, _Column] = {}
        self._schema = schema or {}
        self._visits = 0
        self._above: frozenset[int] = frozenset()

    def _add(self, path: tuple[str, ...], form: str, width: int = 0) -> None:
        name = ".".join(path)
        if form == "length":
            name += ".length"
        self.columns.setdefault(name, _Column(name, path, form, width))
        if len(self.columns) > _MOST_COLUMNS:
            raise _NoColumnsError(f"it has more than {_MOST_COLUMNS} columns")

    def _visit(self, path: tuple[str, ...]) -> bool:
        self._visits += 1
        if self._visits > _MOST_VISITS:
            raise _NoColumnsError(f"it has more than {_MOST_VISITS} fields")
        return len(path) <= _DEEPEST

    def of_message(self, value: object, path: tuple[str, ...] = ()) -> None:
        """Add the columns of a message."""
        if not self._visit(path):
            return
        if isinstance(value, dict):
            if path and _is_time(value):
                self._add(path, "time")
                return
            for key, inner in value.items():
                self.of_message(inner, (*path, key))
        elif isinstance(value, (int, float)):
            self._add(path, "float")
        elif isinstance(value, list):
            self._add(path, "length")

    def of_schema(self, schema: object, path: tuple[str, ...] = (), *, required: bool = True) -> None:
        """Add the columns that a JSON schema names; a reference to what contains it adds none."""
        if not self._visit(path):
            return
        before = self._above
        schema = self._resolved(schema)
        if isinstance(schema, dict) and id(schema) not in before:
            self._above = before | {id(schema)}
            self._of_described(schema, path, required=required)
            self._above = before

    def _of_described(self, schema: Mapping[str, Any], path: tuple[str, ...], *, required: bool) -> None:
        kind, properties = schema.get("type"), schema.get("properties")
        if isinstance(kind, list):
            # A value that may also be of another type, mostly null.
            kind, required = next((one for one in kind if one != "null"), None), False
        if isinstance(properties, dict):
            self._of_object(schema, properties, path, required=required)
        elif kind == "array" and path:
            self._of_array(schema, path)
        elif kind in ("number", "integer", "boolean") and path:
            form = {"number": "float", "integer": "int", "boolean": "bool"}[kind] if required else "float"
            self._add(path, form)

    def _of_object(
        self, schema: Mapping[str, Any], properties: Mapping[str, Any], path: tuple[str, ...], *, required: bool
    ) -> None:
        if path and _is_time(properties):
            self._add(path, "time")
            return
        demanded = schema.get("required")
        for key, inner in properties.items():
            is_required = required and isinstance(demanded, list) and key in demanded
            self.of_schema(inner, (*path, key), required=is_required)

    def _of_array(self, schema: Mapping[str, Any], path: tuple[str, ...]) -> None:
        items, width = self._resolved(schema.get("items")), schema.get("minItems")
        is_numeric = isinstance(items, dict) and items.get("type") in ("number", "integer")
        is_fixed = isinstance(width, int) and width == schema.get("maxItems") and 0 < width <= _WIDEST
        if is_numeric and is_fixed and isinstance(width, int):
            self._add(path, "floats", width)
        else:
            self._add(path, "length")

    def _resolved(self, schema: object) -> object:
        """Follow references inside the schema; others lead nowhere."""
        for _ in range(_DEEPEST):
            reference = schema.get("$ref") if isinstance(schema, dict) else None
            if not isinstance(reference, str):
                return schema
            if not reference.startswith("#/"):
                return None
            schema = self._schema
            for key in reference[2:].split("/"):
                schema = schema.get(key) if isinstance(schema, dict) else None
        return None


class JsonDecoder:
    """Decodes JSON objects.

    Args:
        columns: What to fetch.
        type_name: For words.
    """

    kind: Final = "fields"
    problem: Final = ""

    def __init__(self, columns: Sequence[_Column], type_name: str) -> None:
        self._columns = tuple(columns)
        self.fields = tuple(column.name for column in columns)
        self.expects = f"one JSON object of {type_name or 'the channel'} with all that its schema requires"

    def columns(self, payloads: Sequence[bytes | memoryview]) -> tuple[Columns, NDArray[np.bool_]]:
        """Decode messages; see ``message_decoders.MessageDecoder``."""
        values: list[list[Any]] = [[] for _ in self._columns]
        usable = np.zeros(len(payloads), bool)
        for number, payload in enumerate(payloads):
            row = self._row(payload)
            if row is not None:
                usable[number] = True
                for column, value in zip(values, row, strict=True):
                    column.append(value)
        return {
            column.name: np.array(found, _FORMS[column.form][1]).reshape(-1, *([column.width] if column.width else []))
            for column, found in zip(self._columns, values, strict=True)
        }, usable

    def _row(self, payload: bytes | memoryview) -> list[Any] | None:
        """Values of one message; None when it is not usable."""
        try:
            message = parse_object(payload)
            return [_FORMS[column.form][0](_found(message, column.path), column.width) for column in self._columns]
        except _UnusableError:
            return None


def parse_object(payload: bytes | memoryview) -> Mapping[str, Any]:
    """Parse one JSON object.

    Raises:
        _UnusableError: When it is none.
    """
    try:
        message = json.loads(bytes(payload))
    # Deeply nested text exhausts the stack before it is known to be valid.
    except (ValueError, RecursionError):
        raise _UnusableError from None
    if not isinstance(message, dict):
        raise _UnusableError
    return message


def _found(message: object, path: tuple[str, ...]) -> object:
    for key in path:
        if not isinstance(message, dict):
            return None
        message = message.get(key)
    return message


def json_decoder(
    type_name: str, definition_encoding: str, definition: bytes, sample: bytes | memoryview | None
) -> JsonDecoder | OpaqueDecoder:
    """Find the decoder of JSON messages.

    Args:
        type_name: Type as the recording names it; may be empty.
        definition_encoding: ``jsonschema``, or empty.
        definition: JSON schema.
        sample: The channel's first message, for want of a schema that names numbers.

    Source: https://mcap.dev/spec/registry#json, https://json-schema.org
    """
    named = type_name or "JSON messages"
    remedy = "Record with a JSON schema that names the fields."
    try:
        columns = _schema_columns(definition) if definition_encoding == "jsonschema" else []
        if not columns and sample is not None:
            lister = _Lister()
            lister.of_message(parse_object(sample))
            columns = list(lister.columns.values())
    except _NoColumnsError as error:
        return OpaqueDecoder(f"{named}: {error}. {remedy}")
    except _UnusableError:
        return OpaqueDecoder(f"{named}: no schema names fields, and the first message is no JSON object. {remedy}")
    if not columns:
        return OpaqueDecoder(f"{named}: neither a schema nor the first message names a number. {remedy}")
    return JsonDecoder(columns, type_name)


def _schema_columns(definition: bytes) -> list[_Column]:
    """Columns of a schema; none where it cannot be read, so that the first message decides."""
    if len(definition) > _LARGEST_DEFINITION:
        raise _NoColumnsError(f"its schema has {len(definition)} bytes, {_LARGEST_DEFINITION} are allowed")
    try:
        schema = parse_object(definition)
    except _UnusableError:
        return []
    lister = _Lister(schema)
    lister.of_schema(schema)
    return list(lister.columns.values())
