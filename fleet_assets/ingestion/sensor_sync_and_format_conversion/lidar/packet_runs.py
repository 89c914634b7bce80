"""Packets of one message as rows of bytes, broken ones counted. What their bytes mean is in the makers' modules."""

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

BROKEN: Final = "{} {}"
"""What is wrong, and the value."""
_SIZE: Final = "bytes"


def runs_of(
    packets: Sequence[bytes | memoryview], size: int, broken: dict[str, int]
) -> Iterator[tuple[NDArray[np.intp], NDArray[np.uint8]]]:
    """Yield the packets of the right size.

    Args:
        packets: Packets.
        size: Bytes that every packet has at least; what follows them is not needed.
        broken: Packets left out, by reason; counted up.

    Yields:
        Indices intp[n] and bytes uint8[n, size]; nothing where there are none.
    """
    whole = [index for index, packet in enumerate(packets) if len(packet) >= size]
    for packet in packets:
        if len(packet) < size:
            reason = BROKEN.format(_SIZE, len(packet))
            broken[reason] = broken.get(reason, 0) + 1
    if whole:
        joined = b"".join([packets[index][:size] for index in whole])
        yield np.array(whole, dtype=np.intp), np.frombuffer(joined, np.uint8).reshape(-1, size)
