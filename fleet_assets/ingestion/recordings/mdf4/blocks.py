"""Blocks of an MDF 4 file, read without trusting a single link or length.

Here belongs the frame that all blocks share: every block is checked to lie in the file, and no chain is followed round
a circle. What the blocks say is read by `layout.py` and `data.py`. Block names are those of ASAM MDF 4.1:
https://www.asam.net/standards/detail/mdf/wiki/
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

HEADER_AT: Final = 64
DATA_IDS: Final = (b"##DT", b"##DV", b"##SD", b"##RD")
LINK_BYTES: Final = 8
FRAME: Final = struct.Struct("<4sIQQ")
_MAX_LINKS: Final = 1 << 20
_MAX_TEXT_BYTES: Final = 4096

Bytes = NDArray[np.uint8]


class BrokenBlockError(Exception):
    """A block that is not what the link to it promises; the message says where and what was found."""


@dataclass(frozen=True, slots=True)
class Block:
    """One block: its links, and where its data begins and ends."""

    id: bytes
    address: int
    links: tuple[int, ...]
    data: int
    end: int


def _wanted(ids: tuple[bytes, ...]) -> str:
    return "/".join(name.decode()[2:] for name in ids)


class BlockReader:
    """Reads one file's blocks and remembers what could not be followed.

    Args:
        content: All bytes, memory-mapped.
        flags: What an unfinished file says is still open; 0 for a finished one.
    """

    def __init__(self, content: Bytes, flags: int) -> None:
        self.content, self.size, self.flags = content, len(content), flags
        self._buffer = content.data
        self.problems: list[str] = []
        self._texts: dict[int, str] = {}
        self.addresses: set[int] = set()

    def block(self, address: int, *ids: bytes, links: int = 0) -> Block:
        """Read a block's frame.

        Raises:
            BrokenBlockError: When it does not lie in the file, has another id, or contradicts itself.
        """
        if not HEADER_AT <= address <= self.size - FRAME.size:
            raise BrokenBlockError(f"{_wanted(ids)} block at byte {address}: the file has {self.size} bytes")
        name, _, length, count = FRAME.unpack_from(self._buffer, address)
        data = address + FRAME.size + LINK_BYTES * count
        if name not in ids:
            raise BrokenBlockError(f"byte {address}: found {name!r} instead of a {_wanted(ids)} block")
        plain = name in DATA_IDS
        if count > _MAX_LINKS or count < links or data > self.size or (data > address + length and not plain):
            raise BrokenBlockError(f"{_wanted(ids)} block at byte {address}: length {length} with {count} links")
        if address + length > self.size and not plain:
            ends = f"ends at {address + length} of {self.size} bytes"
            raise BrokenBlockError(f"{_wanted(ids)} block at byte {address}: {ends}")
        found = struct.unpack_from(f"<{count}Q", self._buffer, address + FRAME.size)
        self.addresses.add(address)
        return Block(name, address, found, data, address + length)

    def values(self, block: Block, layout: str, at: int = 0) -> tuple[Any, ...]:
        """Unpack a block's data.

        Raises:
            BrokenBlockError: When the block is shorter.
        """
        if block.data + at + struct.calcsize(layout) > block.end:
            raise BrokenBlockError(f"{block.id.decode()[2:]} block at byte {block.address} is too short")
        return struct.unpack_from(layout, self._buffer, block.data + at)

    def chain(self, address: int, ids: tuple[bytes, ...], links: int, seen: set[int]) -> Iterator[Block]:
        """Follow the first link from block to block; a broken one ends the chain and is remembered."""
        while address:
            if address in seen:
                self.problems.append(f"{ids[0].decode()[2:]} block at byte {address}: linked to in a circle")
                return
            seen.add(address)
            try:
                block = self.block(address, *ids, links=links)
            except BrokenBlockError as error:
                self.problems.append(str(error))
                return
            yield block
            address = block.links[0]

    def next_block(self, address: int) -> int:
        """Address of the next block read so far, or the end of the file."""
        return min((other for other in self.addresses if other > address), default=self.size)

    def text(self, address: int) -> str:
        """Text of a TX or MD block; empty where there is none."""
        if not address or address in self._texts:
            return self._texts.get(address, "")
        block = self.block(address, b"##TX", b"##MD")
        raw = self.content[block.data : min(block.end, block.data + _MAX_TEXT_BYTES)].tobytes()
        self._texts[address] = raw.split(b"\0", 1)[0].decode("utf-8", errors="replace")
        return self._texts[address]
