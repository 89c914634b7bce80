"""Velodyne and Hesai packets made byte by byte after the manuals, for tests."""

import struct
from collections.abc import Callable

MARK = 0xEEFF
Unit = tuple[int, int]
"""Distance in units of the model, and intensity."""
NOTHING: Unit = (0, 0)


def velodyne_packet(
    azimuths: list[int],
    unit: Callable[[int, int], Unit],
    *,
    stamp_us: int = 0,
    mode: int = 0x37,
    marks: dict[int, int] | None = None,
) -> bytes:
    """One packet of 12 blocks.

    Args:
        azimuths: Of each block, 0.01°.
        unit: Distance and intensity by (block, unit).
        stamp_us: Microseconds since the hour.
        mode: Return mode.
        marks: Marks of blocks that bear another one than they should.
    """
    body = b""
    for block, azimuth in enumerate(azimuths):
        body += struct.pack("<HH", (marks or {}).get(block, MARK), azimuth)
        body += b"".join(struct.pack("<HB", *unit(block, number)) for number in range(32))
    return body + struct.pack("<IBB", stamp_us, mode, 0x22)


def pandar40p_packet(azimuths: list[int], unit: Callable[[int, int], Unit], *, mode: int = 0x37) -> bytes:
    """One packet of 10 blocks of 40 units."""
    body = b""
    for block, azimuth in enumerate(azimuths):
        body += struct.pack("<HH", MARK, azimuth)
        body += b"".join(struct.pack("<HB", *unit(block, number)) for number in range(40))
    return body + struct.pack("<5xB2xHIBB6x", 0, 600, 1000, mode, 0x42)


def xt32_packet(
    azimuths: list[int], unit: Callable[[int, int], Unit], *, mode: int = 0x37, mark: int = 0xFFEE
) -> bytes:
    """One packet of 8 blocks of 32 units."""
    body = struct.pack("<HBBHBBBBBB", mark, 6, 1, 0, 32, 8, 1, 4, 2, 1)
    for block, azimuth in enumerate(azimuths):
        body += struct.pack("<H", azimuth)
        body += b"".join(struct.pack("<HBB", *unit(block, number), 0) for number in range(32))
    return body + struct.pack("<10xBH6xIBI", mode, 600, 1000, 0x42, 7)
