"""Reading one ROS message whole: nested values, with arrays of numbers as views of the payload.

Here belongs what pictures, clouds and packets need: the content itself. Signals are read many messages at a time, along
plans (``ros_decoding``). Every length is checked against what is left of the message before anything is done with it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from struct import Struct
from typing import Any, Final

import numpy as np

from fleet_assets.ingestion.recordings.messages.ros_definitions import TypeLibrary, is_message
from fleet_assets.ingestion.recordings.messages.ros_plan import WireFormat
from fleet_assets.ingestion.recordings.messages.ros_scalar import BrokenMessageError
from fleet_assets.ingestion.recordings.messages.ros_types import PRIMITIVES, TIMES, RosDefinitionError, RosField
from fleet_assets.ingestion.recordings.protocol import NS_PER_S

_DEEPEST: Final = 32
_MOST_VISITS: Final = 5000
"""Fields of nested types looked at; real types have fewer than a hundred."""
_CDR_HEADER: Final = 4
_ORDERS: Final = {1: "<", 0: ">"}
_DTYPES: Final = {"byte": "u1", "char": "u1", "bool": "u1", "float32": "f4", "float64": "f8"} | {
    f"{sign}int{8 * size}": f"{sign or 'i'}{size}" for sign in ("", "u") for size in (1, 2, 4, 8)
}


class _Cursor:
    """Where reading stands in one message; positions count from behind the encapsulation header."""

    def __init__(self, body: memoryview, wire: WireFormat) -> None:
        self.body, self.wire, self.position = body, wire, 0

    def take(self, align: int, size: int) -> memoryview:
        """Bytes at the next aligned position, and go behind them.

        Raises:
            BrokenMessageError: When the message ends before.
        """
        first = self.wire.aligned(self.position, align if self.wire.is_cdr else 1)
        if first + size > len(self.body):
            raise BrokenMessageError
        self.position = first + size
        return self.body[first : first + size]

    def count(self) -> int:
        """Number of elements that follow."""
        return int.from_bytes(self.take(4, 4), "little" if self.wire.order == "<" else "big")

    def left(self) -> int:
        """Bytes that are left."""
        return len(self.body) - self.position


@dataclass(frozen=True, slots=True)
class _Part:
    """How a value is read, and how many bytes it has at least."""

    read: Callable[[_Cursor], Any]
    smallest: int


def _text(cursor: _Cursor) -> str:
    return bytes(cursor.take(1, cursor.count())).rstrip(b"\x00").decode("utf-8", "replace")


def _scalar(type_name: str) -> _Part:
    if type_name not in _DTYPES:
        raise RosDefinitionError(f"values of type {type_name} are not read")
    size = PRIMITIVES[type_name]
    code = np.dtype(_DTYPES[type_name]).char
    structs = {order: Struct(order + code) for order in "<>"}
    return _Part(lambda cursor: structs[cursor.wire.order].unpack(cursor.take(size, size))[0], size)


def _time(cursor: _Cursor) -> int:
    seconds, nanoseconds = Struct(f"{cursor.wire.order}iI").unpack(cursor.take(4, 8))
    return int(seconds) * NS_PER_S + int(nanoseconds)


def _numbers(type_name: str, fixed: int | None) -> _Part:
    size, dtype = PRIMITIVES[type_name], _DTYPES[type_name]

    def read(cursor: _Cursor) -> Any:
        count = cursor.count() if fixed is None else fixed
        if count > cursor.left() // size:
            raise BrokenMessageError
        taken = cursor.take(size if count else 1, count * size)
        return taken if dtype == "u1" else np.frombuffer(taken, np.dtype(cursor.wire.order + dtype))

    return _Part(read, 4 if fixed is None else fixed * size)


def _repeated(element: _Part, fixed: int | None) -> _Part:
    if not element.smallest:
        # Their number would be bounded by nothing.
        raise RosDefinitionError("arrays of messages without any field are not read")

    def read(cursor: _Cursor) -> list[Any]:
        count = cursor.count() if fixed is None else fixed
        if count > cursor.left() // element.smallest:
            raise BrokenMessageError
        return [element.read(cursor) for _ in range(count)]

    return _Part(read, 4 if fixed is None else fixed * element.smallest)


class ValueReader:
    """Reads whole messages of one type into nested dictionaries.

    Numbers, strings, time stamps and durations (int nanoseconds) stand by their names; bytes are memoryviews of the
    payload, other arrays of numbers NumPy views of it.

    Args:
        library: Definitions.
        type_name: Full name of the type.
        is_cdr: CDR instead of ROS 1.

    Raises:
        RosDefinitionError: When the type, or one in it, is not known or cannot be read.
    """

    def __init__(self, library: TypeLibrary, type_name: str, *, is_cdr: bool) -> None:
        self._library, self._is_cdr = library, is_cdr
        self._visits = 0
        self._root = self._message(type_name, 0)

    def _message(self, type_name: str, depth: int) -> _Part:
        if type_name in TIMES:
            return _Part(_time, 8)
        if depth > _DEEPEST:
            raise RosDefinitionError(f"{type_name} is nested more than {_DEEPEST} deep")
        parts = [(field.name, self._field(field, depth)) for field in self._library.fields(type_name)]

        def read(cursor: _Cursor) -> dict[str, Any]:
            return {name: part.read(cursor) for name, part in parts}

        return _Part(read, sum(part.smallest for _, part in parts))

    def _field(self, field: RosField, depth: int) -> _Part:
        self._visits += 1
        if self._visits > _MOST_VISITS:
            raise RosDefinitionError(f"its definition has more than {_MOST_VISITS} fields")
        is_array = field.is_sequence or field.size is not None
        if is_array and field.type in _DTYPES:
            return _numbers(field.type, None if field.is_sequence else field.size)
        if field.type == "string":
            element = _Part(_text, 4)
        elif is_message(field.type):
            element = self._message(field.type, depth + 1)
        else:
            element = _scalar(field.type)
        return _repeated(element, None if field.is_sequence else field.size) if is_array else element

    def read(self, payload: bytes | memoryview) -> dict[str, Any]:
        """Read one message.

        Raises:
            BrokenMessageError: When the payload is no such message.
        """
        body, order = memoryview(payload), "<"
        if self._is_cdr:
            kind = int.from_bytes(body[:2], "big")
            if len(body) < _CDR_HEADER or kind not in _ORDERS:
                raise BrokenMessageError
            body, order = body[_CDR_HEADER:], _ORDERS[kind]
        found: dict[str, Any] = self._root.read(_Cursor(body, WireFormat(is_cdr=self._is_cdr, order=order)))
        return found
