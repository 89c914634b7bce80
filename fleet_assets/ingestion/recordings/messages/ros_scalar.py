"""Walking one ROS message by itself, where walking many at once does not pay.

Here belongs the plain loop over elements of varying size (arrays of strings, or of messages with strings).
"""

from struct import Struct
from typing import Final

from fleet_assets.ingestion.recordings.messages.ros_plan import Block, Items, Plan, Text, WireFormat, advances

_COUNTS: Final = {"<": Struct("<I"), ">": Struct(">I")}


class BrokenMessageError(Exception):
    """A message that ends early, or whose lengths do not fit."""


def skip_items(body: memoryview, position: int, step: Items, count: int, wire: WireFormat) -> int:
    """Go behind a number of elements.

    Args:
        body: The message.
        position: Where the first element begins (before alignment).
        step: What they are.
        count: How many; more than can lie in the message are refused before any work.
        wire: Format.

    Returns:
        Position behind them.

    Raises:
        BrokenMessageError: When the message ends before.
    """
    if not step.smallest or not count:
        return position
    if count > (len(body) - position) // step.smallest:
        raise BrokenMessageError
    if all(isinstance(part, Block) for part in step.element):
        position = _behind_fixed(position, step.element, count, wire)
    elif step.element == (Text(),):
        for _ in range(count):
            position = behind_text(body, position, wire)
    else:
        for _ in range(count):
            position = _behind(body, position, step.element, wire)
    if position > len(body):
        raise BrokenMessageError
    return position


def _behind_fixed(position: int, element: Plan, count: int, wire: WireFormat) -> int:
    if len(element) == 1 and isinstance(element[0], Block) and not element[0].size % element[0].align:
        begin: int = wire.aligned(position, element[0].align)
        return begin + count * element[0].size
    steps = [int(step) for step in advances(element, wire)]
    while count:
        if count & 1:
            position += steps[position & 7]
        steps = [step + steps[(start + step) & 7] for start, step in enumerate(steps)]
        count >>= 1
    return position


def count_at(body: memoryview, position: int, wire: WireFormat) -> tuple[int, int]:
    """Read a number of elements or bytes; returns it and the position behind it.

    Raises:
        BrokenMessageError: When the message ends before.
    """
    position = wire.aligned(position, wire.count_align)
    if position + 4 > len(body):
        raise BrokenMessageError
    return _COUNTS[wire.order].unpack_from(body, position)[0], position + 4


def behind_text(body: memoryview, position: int, wire: WireFormat) -> int:
    """Go behind a string.

    Raises:
        BrokenMessageError: When it does not fit, or lacks the zero that CDR demands at its end.
    """
    size, position = count_at(body, position, wire)
    position += size
    if position > len(body) or (wire.is_cdr and size and body[position - 1]):
        raise BrokenMessageError
    return position


def _behind(body: memoryview, position: int, plan: Plan, wire: WireFormat) -> int:
    for step in plan:
        if isinstance(step, Block):
            position = wire.aligned(position, step.align) + step.size
            if position > len(body):
                raise BrokenMessageError
        elif isinstance(step, Text):
            position = behind_text(body, position, wire)
        else:
            count = step.fixed
            if count is None:
                count, position = count_at(body, position, wire)
            position = skip_items(body, position, step, count, wire)
    return position
