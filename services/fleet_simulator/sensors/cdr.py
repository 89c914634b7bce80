"""ROS 2 messages of fixed layout as bytes: columns in, payloads out, without a loop over the messages.

Here belongs the Common Data Representation (OMG DDSI-RTPS 2.3, chapter 10; XCDR1, little endian). The definitions of
the messages are in `ros_messages.py`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

ENCAPSULATION: Final = b"\x00\x01\x00\x00"
_NS_PER_S: Final = 1_000_000_000
STAMP: Final = (("stamp.sec", "<i4"), ("stamp.nanosec", "<u4"))


def cdr_string(text: str) -> bytes:
    """A string with its length and its closing zero."""
    encoded = text.encode() + b"\x00"
    return len(encoded).to_bytes(4, "little") + encoded


@dataclass(frozen=True)
class Layout:
    """A message type whose payloads all have the same size.

    Attributes:
        record: NumPy type of one payload; each field of the message has its name.
        template: A payload with constant strings and zeros elsewhere.
    """

    record: np.dtype[Any]
    template: bytes

    def encode(self, count: int, columns: Mapping[str, Any]) -> list[bytes]:
        """Encode messages.

        Args:
            count: How many.
            columns: Array [n] or [n, k], or one value for all, by field; fields left out are zero.
        """
        buffer, size = bytearray(self.template * count), self.record.itemsize
        # Not a copy of an array of records, which would lose what lies between the fields.
        table = np.frombuffer(buffer, dtype=self.record)
        for name, values in columns.items():
            table[name] = values
        content = bytes(buffer)
        return [content[at : at + size] for at in range(0, len(content), size)]


Field = tuple[str, str] | tuple[str, str, int] | str
"""(name, NumPy type), (name, NumPy type, elements), or a constant string such as a frame id."""


def layout(fields: Sequence[Field]) -> Layout:
    """Lay out a message.

    Args:
        fields: Its fields in order.
    """
    body, names, types, offsets = bytearray(), [], [], []
    for field in fields:
        if isinstance(field, str):
            body += bytes(-len(body) % 4) + cdr_string(field)
            continue
        scalar = np.dtype(field[1])
        count = field[2] if len(field) == 3 else 0  # noqa: PLR2004 - name, type and number of elements
        body += bytes(-len(body) % scalar.itemsize)
        names.append(field[0])
        types.append((scalar, (count,)) if count else scalar)
        offsets.append(len(ENCAPSULATION) + len(body))
        body += bytes(scalar.itemsize * max(count, 1))
    template = ENCAPSULATION + bytes(body)
    record = np.dtype({"names": names, "formats": types, "offsets": offsets, "itemsize": len(template)})
    return Layout(record, template)


def stamp_columns(stamp_ns: NDArray[np.int64], prefix: str = "stamp") -> dict[str, NDArray[np.int64]]:
    """Seconds and nanoseconds of time stamps, by field."""
    seconds, rest = np.divmod(stamp_ns, _NS_PER_S)
    return {f"{prefix}.sec": seconds, f"{prefix}.nanosec": rest}
