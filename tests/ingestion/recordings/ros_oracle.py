"""ROS messages by rosbags, an independent reader and writer: what our own decoders are compared with.

Here belong random messages of any type and their fields in the manner of our columns. What is checked is in the tests.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rosbags.interfaces import Nodetype
from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from rosbags.typesys.store import Typestore

SEPARATOR = "=" * 80
"""Between the types of a definition in one text."""
ROOT = "made_msgs/msg/Root"

NUMBERS = (
    "bool", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float32", "float64", "char",
)  # fmt: skip
_TIMES = ("builtin_interfaces/msg/Time", "builtin_interfaces/msg/Duration")


def _numbers(name: str, count: int, random: np.random.Generator) -> NDArray[Any]:
    if name == "bool":
        return random.integers(0, 2, count).astype(bool)
    if name.startswith("float"):
        return random.normal(0, 1e6, count).astype(name)
    info = np.iinfo("uint8" if name == "char" else name)
    return random.integers(info.min, info.max, count, dtype=info.dtype, endpoint=True)


def _text(random: np.random.Generator) -> str:
    return "".join(random.choice(list("abcä€"), int(random.integers(0, 9))))


def random_message(store: Typestore, type_name: str, random: np.random.Generator, longest: int = 5) -> Any:
    """Make a message of any type, with sequences of up to ``longest`` elements."""
    if type_name in _TIMES:
        return store.types[type_name](sec=int(random.integers(0, 1 << 31)), nanosec=int(random.integers(0, 10**9)))
    values = {}
    for name, description in store.get_msgdef(type_name).fields:
        values[name] = _random_value(store, description, random, longest)
    return store.types[type_name](**values)


def _random_value(store: Typestore, description: Any, random: np.random.Generator, longest: int) -> Any:
    node, inner = description
    if node == Nodetype.BASE:
        return _text(random) if inner[0] == "string" else _numbers(inner[0], 1, random)[0]
    if node == Nodetype.NAME:
        return random_message(store, inner, random, longest)
    (node_of_element, element), size = inner
    count = size if node == Nodetype.ARRAY else int(random.integers(0, longest + 1))
    if node_of_element == Nodetype.BASE and element[0] != "string":
        return _numbers(element[0], count, random)
    return [_random_value(store, (node_of_element, element), random, longest) for _ in range(count)]


def store_of(text: str, base: Stores = Stores.EMPTY) -> Typestore:
    """Make a type store that knows ``ROOT`` by this definition."""
    store = get_typestore(base)
    store.register(get_types_from_msg(text, ROOT))
    return store


def serialised(store: Typestore, message: Any, form: str, type_name: str = ROOT) -> bytes:
    """Serialise a message as ``ros1``, ``cdr_le`` or ``cdr_be``."""
    if form == "ros1":
        return bytes(store.serialize_ros1(message, type_name))
    return bytes(store.serialize_cdr(message, type_name, little_endian=form == "cdr_le"))


def _ns(stamp: Any) -> int:
    return int(stamp.sec) * 10**9 + int(stamp.nanosec)


def flat(store: Typestore, message: Any, type_name: str, *, inside_array: bool = False) -> dict[str, Any]:
    """Fields of a message by our rules for columns."""
    found: dict[str, Any] = {}
    for name, (node, inner) in store.get_msgdef(type_name).fields:
        value = getattr(message, name)
        if node == Nodetype.BASE and inner[0] != "string":
            found[name] = value
        elif node == Nodetype.NAME and inner in _TIMES:
            found[name] = _ns(value)
        elif node == Nodetype.NAME:
            nested = flat(store, value, inner, inside_array=inside_array)
            found |= {f"{name}.{key}": item for key, item in nested.items()}
        elif node == Nodetype.SEQUENCE:
            found[f"{name}.length"] = len(value)
        elif node == Nodetype.ARRAY:
            found |= _flat_array(store, name, inner[0], value, inside_array=inside_array)
    return found


def _flat_array(store: Typestore, name: str, element: Any, value: Any, *, inside_array: bool) -> dict[str, Any]:
    node, inner = element
    if node == Nodetype.BASE:
        return {} if inner[0] == "string" else {name: np.asarray(value)}
    if inner in _TIMES:
        return {name: np.array([_ns(stamp) for stamp in value])}
    if inside_array:
        return {}
    rows = [flat(store, item, inner, inside_array=True) for item in value]
    return {f"{name}.{key}": np.concatenate([np.atleast_1d(row[key]) for row in rows]) for key in rows[0]}


def assert_same(columns: Mapping[str, NDArray[Any]], expected: Sequence[Mapping[str, Any]]) -> None:
    """Compare columns with the flat messages, value by value and bit by bit."""
    assert set(columns) == set(expected[0])
    for name, column in columns.items():
        assert len(column) == len(expected)
        np.testing.assert_array_equal(column, np.stack([np.asarray(row[name]) for row in expected]), err_msg=name)
