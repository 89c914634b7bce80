"""Reading one large ROS message along its plan, where it lies: pictures and clouds, mostly bytes that give no column.

Here belongs the plain way from step to step; ``ros_decoding.py`` does the same for many small messages at once, with
the same result.
"""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fleet_assets.ingestion.recordings.messages.ros_plan import Block, Items, Leaf, Plan, Text, WireFormat
from fleet_assets.ingestion.recordings.messages.ros_scalar import (
    BrokenMessageError,
    behind_text,
    count_at,
    skip_items,
)
from fleet_assets.ingestion.recordings.protocol import NS_PER_S
from fleet_assets.ingestion.recordings.windows import Columns

CDR_HEADER: Final = 4
CDR_PADDING: Final = 3
"""Bytes that middlewares may add behind a CDR message to fill up four."""
_FORMATS: Final = {
    # Encapsulation kinds of OMG DDSI-RTPS 2.5, 10.2.
    b"\0\0": WireFormat(is_cdr=True, order=">"),
    b"\0\1": WireFormat(is_cdr=True, order="<"),
}
_ROS1: Final = WireFormat(is_cdr=False, order="<")
_Parts = dict[str, list[NDArray[Any]]]


def leaf_values(block: NDArray[np.uint8], leaf: Leaf, order: str) -> NDArray[Any]:
    """Values of one column of a block, in the machine's byte order and in memory of their own.

    Args:
        block: uint8[n, size].
        leaf: The column.
        order: Byte order, ``<`` or ``>``.

    Returns:
        [n], or [n, count] of a fixed array or of a part of one.
    """
    count = 1 if leaf.count is None else leaf.count
    if len(leaf.dtype) > 2:  # noqa: PLR2004 - two types: a time stamp
        pairs = block[:, leaf.offset : leaf.offset + 8 * count]
        seconds = pairs.reshape(-1, count, 8)[..., :4].copy().view(order + leaf.dtype[:2])[..., 0].astype(np.int64)
        rest = pairs.reshape(-1, count, 8)[..., 4:].copy().view(order + leaf.dtype[2:])[..., 0]
        values = seconds * NS_PER_S + rest
    else:
        width = int(leaf.dtype[1:]) * count
        raw = block[:, leaf.offset : leaf.offset + width].view(order + leaf.dtype)
        values = raw != 0 if leaf.is_bool else raw.astype(np.dtype(leaf.dtype), copy=True)
    column: NDArray[Any] = values[:, 0] if leaf.count is None else values
    return column[:, None] if leaf.is_part and column.ndim == 1 else column


def _items(body: memoryview, position: int, step: Items, wire: WireFormat, parts: _Parts) -> int:
    count = step.fixed
    if count is None:
        count, position = count_at(body, position, wire)
    if step.name and not step.capture:
        parts.setdefault(step.name, []).append(np.full((1, 1) if step.is_part else 1, count, np.uint32))
    if step.smallest and count > (len(body) - position) // step.smallest:
        raise BrokenMessageError
    if step.smallest and step.capture:
        if count > step.capture:
            raise BrokenMessageError
        kept = bytes(body[position : position + count]).ljust(step.capture, b"\0")
        parts.setdefault(step.name, []).append(np.frombuffer(kept, np.uint8)[None, :])
    return skip_items(body, position, step, count, wire)


def _walked(body: memoryview, plan: Plan, wire: WireFormat) -> _Parts:
    parts: _Parts = {}
    position = 0
    for step in plan:
        if isinstance(step, Block):
            position = wire.aligned(position, step.align)
            if position + step.size > len(body):
                raise BrokenMessageError
            block = np.frombuffer(body[position : position + step.size], np.uint8)[None, :]
            for leaf in step.leaves:
                parts.setdefault(leaf.name, []).append(leaf_values(block, leaf, wire.order))
            position += step.size
        elif isinstance(step, Text):
            position = behind_text(body, position, wire)
        else:
            position = _items(body, position, step, wire, parts)
    if not 0 <= len(body) - position <= (CDR_PADDING if wire.is_cdr else 0):
        raise BrokenMessageError
    return parts


def large_message(payload: bytes | memoryview, plan: Plan, *, is_cdr: bool) -> Columns | None:
    """Columns of one message, of one row each; None where it is not usable.

    Args:
        payload: The message.
        plan: Its compiled type.
        is_cdr: Whether it is CDR, with its header.
    """
    body = memoryview(payload)
    wire = _FORMATS.get(bytes(body[:2])) if is_cdr else _ROS1
    if wire is None or (is_cdr and len(body) < CDR_HEADER):
        return None
    try:
        parts = _walked(body[CDR_HEADER if is_cdr else 0 :], plan, wire)
    except BrokenMessageError:
        return None
    return {name: some[0] if len(some) == 1 else np.concatenate(some, axis=1) for name, some in parts.items()}
