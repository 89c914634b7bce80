"""Whole messages of any encoding as nested values: what pictures, clouds and packets are taken from.

Here belongs the choice of a reader by encoding. What a message means is in ``media_messages``.
"""

import json
from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, Final

from fleet_assets.ingestion.recordings.messages.protobuf_decoding import NoColumnsError, message_class
from fleet_assets.ingestion.recordings.messages.ros_definitions import TypeLibrary, full_name
from fleet_assets.ingestion.recordings.messages.ros_scalar import BrokenMessageError
from fleet_assets.ingestion.recordings.messages.ros_types import RosDefinitionError
from fleet_assets.ingestion.recordings.messages.ros_values import ValueReader
from fleet_assets.ingestion.recordings.protocol import NS_PER_S

Values = Mapping[str, Any]
PICTURE_FILE: Final = "picture"
"""Encoding of messages that are a picture's file."""
_DEEPEST: Final = 32
_SECONDS: Final = ("sec", "secs", "seconds")
_NANOSECONDS: Final = ("nsec", "nanosec", "nsecs", "nanos")


class UnknownMessageError(Exception):
    """Messages of a type that cannot be read whole, with why and what to do."""


@lru_cache(maxsize=64)
def whole_reader(
    encoding: str, type_name: str, definition_encoding: str, definition: bytes
) -> Callable[[bytes | memoryview], Values]:
    """Find what reads a channel's messages whole.

    Args:
        encoding: ``ros1``, ``cdr``, ``protobuf``, ``json`` or ``picture``.
        type_name: Type as the recording names it.
        definition_encoding: Of the definition; see ``decoders.message_decoder``.
        definition: The type's definition from the recording; empty where it carries none.

    Returns:
        A function from payload to values: numbers, strings, bytes (a view), lists, mappings; times are int nanoseconds.
        It raises `BrokenMessageError` for a payload that is no such message.

    Raises:
        UnknownMessageError: When the definition is missing or cannot be read.
    """
    try:
        if encoding in ("ros1", "cdr"):
            name = full_name(type_name)
            library = TypeLibrary(encoding, name, definition_encoding, definition)
            return ValueReader(library, name, is_cdr=encoding == "cdr").read
        if encoding == "protobuf":
            return _protobuf_reader(message_class(type_name.removeprefix("."), definition))
    except (RosDefinitionError, NoColumnsError) as error:
        raise UnknownMessageError(f"{type_name}: {error}") from error
    if encoding == "json":
        return _json
    if encoding == PICTURE_FILE:
        return lambda payload: {"format": "", "data": payload}
    raise UnknownMessageError(f"{type_name}: messages of encoding {encoding!r} cannot be read. Convert the recording")


def _protobuf_reader(kind: Any) -> Callable[[bytes | memoryview], Values]:
    from google.protobuf.message import DecodeError

    def read(payload: bytes | memoryview) -> Values:
        try:
            return _plain(kind.FromString(bytes(payload)), 0)
        except DecodeError:
            raise BrokenMessageError from None

    return read


def _plain(message: Any, depth: int) -> dict[str, Any]:
    if depth > _DEEPEST:
        raise BrokenMessageError
    found = {}
    for field in message.DESCRIPTOR.fields:
        value = getattr(message, field.name)
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            continue  # no picture, packet or cloud is inside one
        if field.message_type is None:
            found[field.name] = list(value) if field.is_repeated else value
        elif field.is_repeated:
            found[field.name] = [_plain(item, depth + 1) for item in value]
        elif message.HasField(field.name):
            found[field.name] = _timed(_plain(value, depth + 1))
    return found


def _json(payload: bytes | memoryview) -> Values:
    try:
        found = json.loads(bytes(payload))
    except (ValueError, RecursionError):
        raise BrokenMessageError from None
    if not isinstance(found, dict):
        raise BrokenMessageError
    return {name: _timed(value) for name, value in found.items()}


def _timed(value: Any) -> Any:
    """Turn an object of seconds and nanoseconds into nanoseconds; anything else stays."""
    if not isinstance(value, dict) or len(value) != 2:  # noqa: PLR2004 - seconds and nanoseconds
        return value
    seconds = next((value[name] for name in _SECONDS if name in value), None)
    nanoseconds = next((value[name] for name in _NANOSECONDS if name in value), None)
    if isinstance(seconds, int) and isinstance(nanoseconds, int):
        return seconds * NS_PER_S + nanoseconds
    return value


def blob(values: Values, name: str) -> bytes | memoryview:
    """Bytes of a field; JSON carries them as base64.

    Raises:
        BrokenMessageError: When there are none.
    """
    value = values.get(name)
    if isinstance(value, (bytes, memoryview)):
        return value
    if isinstance(value, str):
        try:
            return b64decode(value, validate=True)
        except (Base64Error, ValueError):
            pass
    raise BrokenMessageError
