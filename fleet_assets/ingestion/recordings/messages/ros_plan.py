"""Compiling a ROS message type to a flat plan: stretches of fixed layout with what is variable between them.

Here belongs the arithmetic of the two wire formats. ROS 1 packs fields without gaps; ROS 2 writes CDR, where a value of
n bytes begins at a multiple of n (at most 8) counted from the end of the encapsulation header. Reading messages along a
plan is ``ros_decoding``'s business.

Sources: http://wiki.ros.org/roscpp/Overview/MessagesSerializationAndAdaptingTypes; OMG formal/02-06-51, 15.3 (CDR);
OMG DDS-XTypes 1.3, 7.4.1 (XCDR1).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from fleet_assets.ingestion.recordings.messages.ros_definitions import TypeLibrary, is_message
from fleet_assets.ingestion.recordings.messages.ros_types import PRIMITIVES, TIMES, RosDefinitionError, RosField

MOST_COLUMNS: Final = 4096
_MOST_VISITS: Final = 50_000
_DEEPEST: Final = 64
_LARGEST: Final = 1 << 40
_DURATION: Final = "builtin_interfaces/msg/Duration"
_DUMMY: Final = "structure_needs_at_least_one_member"
"""ROS 2 gives messages without fields this one, since IDL knows no empty struct."""
_NUMPY: Final = {"byte": "u1", "char": "u1", "bool": "u1", "float32": "f4", "float64": "f8"} | {
    f"{sign}int{8 * size}": f"{sign or 'i'}{size}" for sign in ("", "u") for size in (1, 2, 4, 8)
}
_TIME_BYTES: Final = 8


@dataclass(frozen=True, slots=True)
class Leaf:
    """A column inside a block.

    Attributes:
        name: Column name.
        offset: Offset inside the block, bytes.
        dtype: NumPy type without byte order; two of them for a time stamp, seconds and nanoseconds (``i4u4``).
        count: Elements of an array of fixed size; None for a scalar.
        is_bool: Whether the column is bool.
        is_part: Whether the column is put together of several leaves (an array of messages).
    """

    name: str
    offset: int
    dtype: str
    count: int | None = None
    is_bool: bool = False
    is_part: bool = False


@dataclass(frozen=True, slots=True)
class Block:
    """A stretch of fixed layout that begins at a multiple of ``align``."""

    align: int
    size: int
    leaves: tuple[Leaf, ...]


@dataclass(frozen=True, slots=True)
class Text:
    """A string: its length, then its bytes (CDR: with the terminating zero)."""


@dataclass(frozen=True, slots=True)
class Items:
    """Elements behind each other.

    Attributes:
        name: Column of their number; empty where none is wanted.
        element: Plan of one element, without columns.
        smallest: Bytes that an element has at least.
        fixed: Their number where the type says it; None where the message does.
        is_part: As for ``Leaf``.
        capture: Bytes of each message to keep as column ``name`` itself; 0 for none.
    """

    name: str
    element: "Plan"
    smallest: int
    fixed: int | None = None
    is_part: bool = False
    capture: int = 0


Step = Block | Text | Items
Plan = tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class WireFormat:
    """How values are laid out.

    Attributes:
        is_cdr: CDR instead of ROS 1.
        order: Byte order, ``<`` or ``>``.
    """

    is_cdr: bool
    order: str

    def aligned(self, position: Any, align: int) -> Any:
        """Round a position, or an array of them, up to a multiple of ``align``."""
        return position if align == 1 else (position + (align - 1)) & -align

    @property
    def count_align(self) -> int:
        """Alignment of numbers of elements."""
        return 4 if self.is_cdr else 1


def advances(element: Plan, wire: WireFormat) -> tuple[int, ...]:
    """Bytes that one element of fixed size takes from each position modulo 8."""
    ends = list(range(8))
    for step in element:
        if isinstance(step, Block):
            ends = [wire.aligned(end, step.align) + step.size for end in ends]
    return tuple(end - start for start, end in enumerate(ends))


def smallest_size(plan: Plan) -> int:
    """Bytes that anything with this plan has at least, without the gaps of alignment."""
    size = 0
    for step in plan:
        if isinstance(step, Block):
            size += step.size
        elif isinstance(step, Text) or step.fixed is None:
            size += 4
        else:
            size += step.fixed * step.smallest
    return min(size, _LARGEST)


class _Builder:
    """Collects steps, and joins values of fixed size to blocks."""

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self.align = self.size = 0
        self.leaves: list[Leaf] = []

    def value(self, align: int, size: int, leaf: Leaf | None) -> None:
        if self.align and align > self.align:
            self.flush()
        self.align = self.align or align
        offset = -(-self.size // align) * align
        if leaf is not None:
            self.leaves.append(Leaf(leaf.name, offset, leaf.dtype, leaf.count, leaf.is_bool, leaf.is_part))
        self.size = offset + size
        if self.size > _LARGEST:
            raise RosDefinitionError("its arrays of fixed size are larger than any message")

    def flush(self) -> None:
        if self.align:
            self.steps.append(Block(self.align, self.size, tuple(self.leaves)))
        self.align, self.size, self.leaves = 0, 0, []

    def variable(self, step: Step) -> None:
        self.flush()
        self.steps.append(step)

    def plan(self) -> Plan:
        self.flush()
        return tuple(self.steps)


class PlanCompiler:
    """Compiles the types of one channel.

    Args:
        library: Where definitions are found.
        is_cdr: Whether values are aligned.
        captures: Fields of bytes whose content is wanted: name → number of bytes.

    Attributes:
        columns: Column names in order of the plan.
    """

    def __init__(self, library: TypeLibrary, *, is_cdr: bool, captures: Mapping[str, int]) -> None:
        self._library, self._is_cdr, self._captures = library, is_cdr, captures
        self._visits = 0
        self._above: list[str] = []
        self.columns: dict[str, None] = {}

    def compile(self, type_name: str) -> Plan:
        """Compile a message type with columns.

        Raises:
            RosDefinitionError: When a definition is missing or describes nothing that can be laid out.
        """
        builder = _Builder()
        self._message(builder, type_name, "", is_part=False)
        return builder.plan()

    def _align(self, size: int) -> int:
        return min(size, 8) if self._is_cdr else 1

    def _element(self, type_name: str) -> Plan:
        builder = _Builder()
        self._field(builder, RosField("", type_name), None, is_part=False)
        return builder.plan()

    def _time(self, type_name: str) -> str:
        """Seconds and nanoseconds of a time stamp: ROS 1 has no sign in its times, and one in both of a duration."""
        if self._is_cdr:
            return "i4u4"
        return "i4i4" if type_name == _DURATION else "u4u4"

    def _numpy(self, type_name: str) -> str:
        """NumPy type: ``byte`` had a sign in ROS 1 and has none in ROS 2."""
        return "i1" if type_name == "byte" and not self._is_cdr else _NUMPY[type_name]

    def _column(self, name: str, *, is_part: bool) -> str:
        if name in self.columns and not is_part:
            raise RosDefinitionError(f"it has two fields {name}")
        self.columns[name] = None
        if len(self.columns) > MOST_COLUMNS:
            raise RosDefinitionError(f"it has more than {MOST_COLUMNS} columns")
        return name

    def _message(self, builder: _Builder, type_name: str, prefix: str | None, *, is_part: bool) -> None:
        if type_name in self._above or len(self._above) > _DEEPEST:
            raise RosDefinitionError(f"{type_name} contains itself, or lies more than {_DEEPEST} deep")
        fields = self._library.fields(type_name)
        if self._is_cdr and not fields:
            fields = (RosField(_DUMMY, "uint8"),)
        self._above.append(type_name)
        for field in fields:
            name = None if prefix is None or field.name == _DUMMY else prefix + field.name
            self._field(builder, field, name, is_part=is_part)
        self._above.pop()

    def _field(self, builder: _Builder, field: RosField, name: str | None, *, is_part: bool) -> None:
        self._visits += 1
        if self._visits > _MOST_VISITS:
            raise RosDefinitionError(f"it has more than {_MOST_VISITS} fields")
        if field.type in ("wstring", "wchar"):
            raise RosDefinitionError(
                f"field {field.name} is of wide characters, which each ROS 2 middleware lays out in its own way; "
                "record with a type without them"
            )
        if field.is_sequence:
            self._sequence(builder, field, name, is_part=is_part)
        elif field.type in PRIMITIVES or field.type in TIMES:
            self._number(builder, field, name, is_part=is_part)
        elif field.size is not None:
            self._array(builder, field, name, is_part=is_part)
        elif is_message(field.type):
            self._message(builder, field.type, None if name is None else f"{name}.", is_part=is_part)
        else:
            builder.variable(Text())

    def _number(self, builder: _Builder, field: RosField, name: str | None, *, is_part: bool) -> None:
        is_time = field.type in TIMES
        size = _TIME_BYTES if is_time else PRIMITIVES[field.type]
        if field.size == 0:
            return
        leaf = None
        if name is not None and field.type != "float128":
            dtype = self._time(field.type) if is_time else self._numpy(field.type)
            leaf = Leaf(self._column(name, is_part=is_part), 0, dtype, field.size, field.type == "bool", is_part)
        align = self._align(4 if is_time else size)
        builder.value(align, size * (1 if field.size is None else field.size), leaf)

    def _sequence(self, builder: _Builder, field: RosField, name: str | None, *, is_part: bool) -> None:
        element = self._element(field.type)
        capture = self._captures.get(name, 0) if name is not None else 0
        column = "" if name is None else self._column(name if capture else f"{name}.length", is_part=is_part)
        builder.variable(Items(column, element, smallest_size(element), None, is_part, capture))

    def _array(self, builder: _Builder, field: RosField, name: str | None, *, is_part: bool) -> None:
        """Lay out an array of fixed size of strings or messages; its numbers become columns of that width."""
        size = field.size or 0
        before = (self._visits, len(self.columns))
        element = self._element(field.type)
        fields_each = self._visits - before[0]
        if name is not None and is_message(field.type) and not is_part and size * fields_each <= MOST_COLUMNS:
            for _ in range(size):
                self._message(builder, field.type, f"{name}.", is_part=True)
        elif size:
            builder.variable(Items("", element, smallest_size(element), size))
