"""Decoding Protocol Buffers messages by the descriptors that the recording carries.

Here belongs the way from a ``FileDescriptorSet`` to columns. Messages are parsed one by one by the usual library (in C)
and their fields fetched by ready-made getters.

Columns: what is absent has its default value, as Protocol Buffers wants it; ``google.protobuf.Timestamp`` and
``Duration`` become int64 nanoseconds; enumerations are int32; repeated fields, maps and bytes give ``.length``. A field
that leads back to a type that contains it gives no column, nor does one nested more than 64 deep.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import repeat
from operator import attrgetter
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fleet_assets.ingestion.recordings.messages.opaque import OpaqueDecoder
from fleet_assets.ingestion.recordings.protocol import NS_PER_S
from fleet_assets.ingestion.recordings.windows import Columns

_MOST_COLUMNS: Final = 4096
_MOST_VISITS: Final = 50_000
_DEEPEST: Final = 64
_LARGEST_DEFINITION: Final = 1 << 22
_ROWS: Final = 4096
"""Messages parsed before their fields go into arrays: bounds the Python objects alive at a time."""
_TIMES: Final = frozenset({"google.protobuf.Timestamp", "google.protobuf.Duration"})
_SECONDS_LIMIT: Final = (1 << 63) // NS_PER_S - 1
# google/protobuf/descriptor.proto, FieldDescriptorProto.Type
_MESSAGE_TYPES: Final = (10, 11)
_INT64, _INT32, _STRING, _BYTES = 3, 5, 9, 12
_NUMPY: Final = {
    1: "f8", 2: "f4", 3: "i8", 4: "u8", 5: "i4", 6: "u8", 7: "u4", 8: "?", 13: "u4", 14: "i4", 15: "i4", 16: "i8",
    17: "i4", 18: "i8",
}  # fmt: skip


class NoColumnsError(Exception):
    """Descriptors that say no columns; the message says why."""


@dataclass(frozen=True, slots=True)
class _Column:
    """A column: its name, the attribute path, and ``time``, ``length`` or a NumPy type."""

    name: str
    path: str
    form: str


class _Lister:
    """Lists the columns of a message type, within limits that real types are far from."""

    def __init__(self) -> None:
        self.columns: list[_Column] = []
        self._visits = 0

    def add(self, descriptor: Any, prefix: str = "", above: tuple[str, ...] = ()) -> None:
        """Add the columns of a type, in order of its fields.

        Raises:
            NoColumnsError: When there are too many.
        """
        above = (*above, descriptor.full_name)
        for field in descriptor.fields:
            path = prefix + field.name
            self._visits += 1
            if len(self.columns) > _MOST_COLUMNS or self._visits > _MOST_VISITS:
                raise NoColumnsError(f"it has more than {_MOST_COLUMNS} columns or {_MOST_VISITS} fields")
            if field.is_repeated or field.type == _BYTES:
                self.columns.append(_Column(f"{path}.length", path, "length"))
            elif field.type in _MESSAGE_TYPES:
                self._inner(field.message_type, path, above)
            elif field.type != _STRING:
                self.columns.append(_Column(path, path, _NUMPY[field.type]))

    def _inner(self, inner: Any, path: str, above: tuple[str, ...]) -> None:
        if inner.full_name in _TIMES and _is_time(inner):
            self.columns.append(_Column(path, path, "time"))
        elif inner.full_name not in above and len(above) < _DEEPEST:
            self.add(inner, f"{path}.", above)


def _is_time(descriptor: Any) -> bool:
    """Whether a type of a known name really has seconds and nanoseconds."""
    fields = descriptor.fields_by_name
    return all(
        name in fields and fields[name].type == type_number and not fields[name].is_repeated
        for name, type_number in (("seconds", _INT64), ("nanos", _INT32))
    )


def message_class(type_name: str, definition: bytes) -> Any:
    """Make the class of a message type in a pool of its own.

    Args:
        type_name: Full name of the type.
        definition: Serialised ``FileDescriptorSet``.

    Raises:
        NoColumnsError: When the descriptors are damaged, incomplete or do not know the type.
    """
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
    from google.protobuf.message import DecodeError

    if len(definition) > _LARGEST_DEFINITION:
        raise NoColumnsError(f"its descriptors have {len(definition)} bytes, {_LARGEST_DEFINITION} are allowed")
    try:
        described = descriptor_pb2.FileDescriptorSet.FromString(definition)
    except DecodeError:
        raise NoColumnsError("its definition is no serialised FileDescriptorSet") from None
    files = {file.name: file for file in described.file}
    pool = descriptor_pool.DescriptorPool()
    try:
        for file in _in_order(files):
            pool.Add(file)
        return message_factory.GetMessageClass(pool.FindMessageTypeByName(type_name))
    except KeyError:
        raise NoColumnsError(f"its descriptors do not hold {type_name} with all that it imports") from None
    # The library tells broken descriptors by these, with a text of its own.
    except (TypeError, ValueError, RuntimeError) as error:
        raise NoColumnsError(f"its descriptors are broken ({' '.join(str(error).split())[:80]})") from None


def _in_order(files: dict[str, Any]) -> list[Any]:
    """Order files so that each comes behind those it imports; those of Google's own that are missing are added.

    Raises:
        NoColumnsError: When an import is missing or files import each other.
    """
    from google.protobuf import descriptor_pb2, descriptor_pool, duration_pb2, timestamp_pb2  # noqa: F401 - registers

    ordered: dict[str, Any] = {}
    waiting = list(files)
    opened: set[str] = set()
    while waiting:
        name = waiting[-1]
        if name not in files:
            try:
                known = descriptor_pool.Default().FindFileByName(name)
            except KeyError:
                raise NoColumnsError(f"its descriptors import {name[:80]!r}, which is not among them") from None
            files[name] = descriptor_pb2.FileDescriptorProto()
            known.CopyToProto(files[name])
        missing = [imported for imported in files[name].dependency if imported not in ordered]
        if name in ordered or not missing:
            ordered.setdefault(name, files[name])
            waiting.pop()
        elif name in opened:
            raise NoColumnsError(f"its descriptors import each other in a circle at {name[:80]!r}")
        else:
            opened.add(name)
            waiting += missing
    return list(ordered.values())


class ProtobufDecoder:
    """Decodes messages of one Protocol Buffers type.

    Args:
        message_class: The generated class.
        columns: What to fetch.
        type_name: For words.
    """

    kind: Final = "fields"
    problem: Final = ""

    def __init__(self, message_class: Any, columns: Sequence[_Column], type_name: str) -> None:
        self._class, self._columns = message_class, tuple(columns)
        self.fields = tuple(column.name for column in columns)
        self.expects = f"Protocol Buffers messages of {type_name}"
        paths = [path for column in columns for path in _paths(column)]
        self._getter: Callable[[Any], tuple[Any, ...]] = _getter(paths)

    def columns(self, payloads: Sequence[bytes | memoryview]) -> tuple[Columns, NDArray[np.bool_]]:
        """Decode messages; see ``message_decoders.MessageDecoder``."""
        parts: list[Columns] = [self._arrays([])]
        usable = np.zeros(len(payloads), bool)
        for first in range(0, len(payloads), _ROWS):
            rows, fits = self._rows(payloads[first : first + _ROWS])
            usable[first : first + _ROWS] = fits
            parts.append(self._arrays(rows))
        return {name: np.concatenate([part[name] for part in parts]) for name in self.fields}, usable

    def _rows(self, payloads: Sequence[bytes | memoryview]) -> tuple[list[tuple[Any, ...]], list[bool]]:
        from google.protobuf.message import DecodeError

        parse, getter = self._class.FromString, self._getter
        rows: list[tuple[Any, ...]] = []
        try:
            rows.extend(map(getter, map(parse, map(bytes, payloads))))
        except DecodeError:
            pass
        else:
            return self._timely(rows, [True] * len(rows))
        rows, fits = [], []
        for payload in payloads:
            try:
                message = parse(bytes(payload))
            except DecodeError:
                fits.append(False)
            else:
                fits.append(True)
                rows.append(getter(message))
        return self._timely(rows, fits)

    def _timely(self, rows: list[tuple[Any, ...]], fits: list[bool]) -> tuple[list[tuple[Any, ...]], list[bool]]:
        """Leave out messages with a time that int64 nanoseconds cannot hold."""
        places = []
        at = 0
        for column in self._columns:
            if column.form == "time":
                places.append(at)
            at += len(_paths(column))
        if not places or all(abs(row[place]) <= _SECONDS_LIMIT for row in rows for place in places):
            return rows, fits
        held = [all(abs(row[place]) <= _SECONDS_LIMIT for place in places) for row in rows]
        remaining = iter(held)
        return [row for row, keep in zip(rows, held, strict=True) if keep], [fit and next(remaining) for fit in fits]

    def _arrays(self, rows: list[tuple[Any, ...]]) -> Columns:
        values = zip(*rows, strict=True) if rows else repeat(())
        columns = {}
        for column in self._columns:
            if column.form == "time":
                seconds = np.fromiter(next(values), np.int64, len(rows))
                columns[column.name] = seconds * NS_PER_S + np.fromiter(next(values), np.int64, len(rows))
            elif column.form == "length":
                columns[column.name] = np.fromiter(map(len, next(values)), np.uint32, len(rows))
            else:
                columns[column.name] = np.fromiter(next(values), column.form, len(rows))
        return columns


def _paths(column: _Column) -> tuple[str, ...]:
    return (f"{column.path}.seconds", f"{column.path}.nanos") if column.form == "time" else (column.path,)


def _getter(paths: Sequence[str]) -> Callable[[Any], tuple[Any, ...]]:
    if not paths:
        return lambda _: ()
    if len(paths) == 1:
        one = attrgetter(paths[0])
        return lambda message: (one(message),)
    return attrgetter(*paths)


def _check_reachable(message_class: Any, columns: Sequence[_Column]) -> None:
    """Make sure that attributes lead to the fields, and not to what every message class has under that name."""
    empty = message_class()
    for column in columns:
        for path in _paths(column):
            found = attrgetter(path)(empty)
            if not (hasattr(found, "__len__") if column.form == "length" else isinstance(found, (int, float))):
                raise NoColumnsError(f"the name of its field {path} is taken by the library")


def protobuf_decoder(type_name: str, definition_encoding: str, definition: bytes) -> ProtobufDecoder | OpaqueDecoder:
    """Find the decoder of Protocol Buffers messages.

    Args:
        type_name: Full name of the type, e.g. ``foxglove.LocationFix``.
        definition_encoding: ``protobuf``; anything else is no definition.
        definition: Serialised ``FileDescriptorSet`` with all that the type imports.

    Source: https://mcap.dev/spec/registry#protobuf
    """
    remedy = "Record with the schema of encoding protobuf, a FileDescriptorSet with all imports."
    if definition_encoding != "protobuf" or not definition:
        return OpaqueDecoder(f"{type_name}: the recording carries no Protocol Buffers descriptors. {remedy}")
    try:
        kind = message_class(type_name.removeprefix("."), definition)
        lister = _Lister()
        lister.add(kind.DESCRIPTOR)
        _check_reachable(kind, lister.columns)
        return ProtobufDecoder(kind, lister.columns, type_name)
    except NoColumnsError as error:
        return OpaqueDecoder(f"{type_name}: {error}. {remedy}")
