"""What a ROS message type is made of: the vocabulary of the definition parsers and of the layout compiler.

Here belong plain data. Where definitions come from is in ``ros_definitions``.
"""

from dataclasses import dataclass
from typing import Final


class RosDefinitionError(Exception):
    """A definition that says no layout; the message says why, without the type's name."""


@dataclass(frozen=True, slots=True)
class RosField:
    """One field of a message.

    Attributes:
        name: Field name.
        type: A primitive (``PRIMITIVES``), ``string``, ``wstring``, ``wchar``, or a message type, ``package/msg/Name``.
        is_sequence: Whether it is an array of variable size.
        size: Number of elements of an array of fixed size; None otherwise.
    """

    name: str
    type: str
    is_sequence: bool = False
    size: int | None = None


Fields = tuple[RosField, ...]

PRIMITIVES: Final = {
    "bool": 1,
    "byte": 1,
    "char": 1,
    "int8": 1,
    "uint8": 1,
    "int16": 2,
    "uint16": 2,
    "int32": 4,
    "uint32": 4,
    "int64": 8,
    "uint64": 8,
    "float32": 4,
    "float64": 8,
    "float128": 16,
}
"""Size of the types with a size of their own, bytes."""
TIMES: Final = frozenset({"builtin_interfaces/msg/Time", "builtin_interfaces/msg/Duration"})
"""Types that become int64 nanoseconds."""
