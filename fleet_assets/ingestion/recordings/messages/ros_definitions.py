"""Finding the definition of a ROS message type: in the recording, among the shipped ones, in rosbags' type stores.

Here belongs where definitions come from and in what order they are believed: the recording's own first, since it says
what was written; then ``policies/message_definitions/PACKAGE/NAME.msg``, for drivers whose bags of older ROS 2 carry
none; then the type stores of ROS distributions.
"""

from collections.abc import Mapping
from functools import cache, lru_cache
from importlib import import_module, resources
from typing import Any, Final

from fleet_assets.ingestion.recordings.messages.ros_idl import parse_idl
from fleet_assets.ingestion.recordings.messages.ros_types import PRIMITIVES, Fields, RosDefinitionError, RosField

_LARGEST_DEFINITION: Final = 1 << 18
"""Real ones are a few kilobytes; the parser needs a second for a quarter of a megabyte."""
_STORES: Final = {
    "ros1": ("ros1_noetic",),
    "cdr": ("ros2_humble", "ros2_kilted", "ros2_foxy"),
}
_FOLDER: Final = "message_definitions"
_SPECIAL: Final = {"string", "wstring", "wchar"}


def full_name(type_name: str) -> str:
    """Name a type as ROS 2 does: ``sensor_msgs/Imu`` and ``sensor_msgs::msg::dds_::Imu_`` → ``sensor_msgs/msg/Imu``."""
    parts = [part for part in type_name.replace("::", "/").split("/") if part and part != "dds_"]
    if parts and type_name.endswith("_") and "dds_" in type_name:
        parts[-1] = parts[-1].removesuffix("_")
    return "/".join(parts) if len(parts) != 2 else f"{parts[0]}/msg/{parts[1]}"  # noqa: PLR2004 - package, name


def _of_store(fields: list[Any]) -> Fields:
    """Take over the fields of a message as rosbags describes them."""
    return tuple(_field_of_store(name, node, described) for name, (node, described) in fields)


def _field_of_store(name: str, node: Any, described: Any) -> RosField:
    from rosbags.interfaces import Nodetype

    is_sequence, size = node == Nodetype.SEQUENCE, None
    if node in (Nodetype.ARRAY, Nodetype.SEQUENCE):
        (element, inner), limit = described
        size = None if is_sequence else int(limit)
    else:
        element, inner = node, described
    if element == Nodetype.BASE:
        return RosField(name, inner[0], is_sequence, size)
    # rosbags knows no wide strings in .msg files and takes them for messages of the same package.
    last = inner.rpartition("/")[2]
    return RosField(name, last if last in _SPECIAL else inner, is_sequence, size)


def parse_msg(text: str, type_name: str) -> dict[str, Fields]:
    """Parse the text of a ``.msg`` file, followed by those of the types that it uses as rosbag writes them.

    Args:
        text: The definition.
        type_name: Full name of the first type.

    Raises:
        RosDefinitionError: Where it is no such text.

    Source: https://docs.ros.org/en/humble/Concepts/Basic/About-Interfaces.html
    """
    from rosbags.typesys import TypesysError, get_types_from_msg

    try:
        types = get_types_from_msg(text.replace("\r\n", "\n"), type_name)
    # The parser converts and indexes what it reads as it goes: damaged text ends in any of these.
    except (TypesysError, ValueError, KeyError, AssertionError, IndexError, TypeError, RecursionError) as error:
        raise RosDefinitionError(
            f"its definition is no message definition ({' '.join(str(error).split())[:80]})"
        ) from None
    return {name: _of_store(fields) for name, (_, fields) in types.items()}


@lru_cache(maxsize=256)
def _from_recording(type_name: str, encoding: str, definition: bytes) -> Mapping[str, Fields]:
    """Types of a definition; channels of one type share it."""
    if len(definition) > _LARGEST_DEFINITION:
        raise RosDefinitionError(f"its definition has {len(definition)} bytes, {_LARGEST_DEFINITION} are allowed")
    try:
        text = definition.decode()
    except UnicodeDecodeError:
        # Comments of ROS 1 are in any encoding; names and types are ASCII.
        text = definition.decode("latin-1")
    if encoding == "ros2idl":
        try:
            return parse_idl(text)
        except RosDefinitionError as error:
            raise RosDefinitionError(f"its IDL cannot be read ({error})") from None
    return parse_msg(text, type_name)


@cache
def _shipped(type_name: str) -> Fields | None:
    """Fields from the shipped definitions; None where there is none."""
    parts = type_name.split("/")
    if len(parts) != 3 or not all(part.isidentifier() for part in parts):  # noqa: PLR2004 - package, msg, name
        return None
    path = resources.files("policies") / _FOLDER / parts[0] / f"{parts[2]}.msg"
    return parse_msg(path.read_text("utf-8"), type_name)[type_name] if path.is_file() else None


@cache
def _store(name: str) -> Mapping[str, Fields]:
    definitions = import_module(f"rosbags.typesys.stores.{name}").FIELDDEFS
    return {type_name: _of_store(fields) for type_name, (_, fields) in definitions.items()}


class TypeLibrary:
    """The definitions that count for one channel.

    Args:
        encoding: ``ros1`` or ``cdr``.
        type_name: Full name of the channel's type.
        definition_encoding: ``ros1msg``, ``ros2msg``, ``ros2idl`` or empty.
        definition: The recording's definition; empty where it has none.

    A definition that cannot be read is a problem only where no other source knows the type.
    """

    def __init__(self, encoding: str, type_name: str, definition_encoding: str, definition: bytes) -> None:
        self._stores = _STORES[encoding]
        self._own: Mapping[str, Fields] = {}
        self._damage = ""
        if definition.strip(b"\x00\t\n\r "):
            try:
                self._own = _from_recording(type_name, definition_encoding, definition)
            except RosDefinitionError as error:
                self._damage = f"{error}, and "

    def fields(self, type_name: str) -> Fields:
        """Fields of a message type.

        Raises:
            RosDefinitionError: Saying where the type was looked for and what to do when nobody knows it.
        """
        found = self._own.get(type_name)
        if found is None:
            found = _shipped(type_name)
        for store in self._stores if found is None else ():
            if (found := _store(store).get(type_name)) is not None:
                break
        if found is None:
            package, _, name = type_name.partition("/msg/")
            file = f"policies/{_FOLDER}/{package or 'PACKAGE'}/{name or 'NAME'}.msg"
            raise RosDefinitionError(
                f"{self._damage}no definition of {type_name} is in the recording, among the shipped message "
                f"definitions or in {', '.join(self._stores)}. Add {file}, or record with definitions (MCAP; ROS 2 "
                "Iron or later)"
            )
        return found


def is_message(type_name: str) -> bool:
    """Whether a field's type is another message."""
    return type_name not in PRIMITIVES and type_name not in _SPECIAL
