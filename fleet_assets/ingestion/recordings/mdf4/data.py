"""Data sections of an MDF 4 file: where their bytes lie, unpacked and in order.

Here belong lists, compression and what is missing of a section. Splitting the bytes into records is the business of
`splitting.py`. At most one unpacked fragment is held in memory.
"""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from fleet_assets.ingestion.recordings.mdf4.blocks import (
    DATA_IDS,
    FRAME,
    LINK_BYTES,
    Block,
    BlockReader,
    BrokenBlockError,
    Bytes,
)

COUNTS_OPEN: Final = 1 << 0
_LAST_LENGTH_OPEN: Final = 1 << 2
_LAST_LIST_OPEN: Final = 1 << 4
_PLAIN: Final = -1
_DEFLATE: Final = 0
_TRANSPOSED_DEFLATE: Final = 1
_LIST_HAS_INVALIDATION: Final = 1 << 31
_MAX_UNPACKED_BYTES: Final = 1 << 26
_PIECE_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Fragment:
    """A stretch of record or signal data.

    Attributes:
        address: First byte in the file.
        stored: Bytes in the file.
        size: Bytes once unpacked.
        packing: ``_PLAIN``, or the zip type of the standard.
        row_bytes: Row length of transposed data.
    """

    address: int
    stored: int
    size: int
    packing: int = _PLAIN
    row_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Data:
    """Fragments of one data section; ``lost_bytes`` and ``problem`` say what of it is not there."""

    fragments: tuple[Fragment, ...] = ()
    lost_bytes: int = 0
    problem: str | None = None

    @property
    def size(self) -> int:
        """Bytes once unpacked."""
        return sum(fragment.size for fragment in self.fragments)


def read_data(reader: BlockReader, address: int) -> Data:
    """List the fragments of a data section as far as they can be followed."""
    fragments: list[Fragment] = []
    lost, problem = 0, None
    try:
        for fragment, missing in _listed_once(reader, address):
            if fragment.size:
                fragments.append(fragment)
            if missing:
                # What follows would start inside a record, so the section ends here.
                lost, problem = missing, f"data at byte {fragment.address}: {missing} bytes are missing"
                break
    except BrokenBlockError as error:
        problem = str(error)
    return Data(tuple(fragments), lost, problem)


def _listed_once(reader: BlockReader, address: int) -> Iterator[tuple[Fragment, int]]:
    """Yield a section's fragments, but never more bytes than the file has: lists may point at a block many times."""
    stored = 0
    for fragment, missing in _fragments(reader, address):
        stored += fragment.stored
        if stored > reader.size:
            raise BrokenBlockError(f"data at byte {fragment.address}: the same bytes are listed several times")
        yield fragment, missing


def _fragments(reader: BlockReader, address: int) -> Iterator[tuple[Fragment, int]]:
    """Yield each fragment with the number of its bytes that lie beyond the end of the file."""
    if not address:
        return
    block = reader.block(address, *DATA_IDS, b"##DZ", b"##DL", b"##LD", b"##HL")
    if block.id == b"##HL":
        block = reader.block(block.links[0] if block.links else 0, b"##DL", links=1)
    if block.id not in (b"##DL", b"##LD"):
        yield _fragment(reader, block)
        return
    last = block
    for listing in reader.chain(block.address, (b"##DL", b"##LD"), 1, set()):
        for link in _listed(reader, listing):
            last = reader.block(link, *DATA_IDS, b"##DZ")
            yield _fragment(reader, last)
    if reader.flags & _LAST_LIST_OPEN:
        yield from _unlisted(reader, last)


def _listed(reader: BlockReader, block: Block) -> tuple[int, ...]:
    if block.id == b"##LD":
        (flags,) = reader.values(block, "<I")
        if flags & _LIST_HAS_INVALIDATION:
            raise BrokenBlockError(f"LD block at byte {block.address}: column storage is not supported")
    return tuple(link for link in block.links[1:] if link)


def _unlisted(reader: BlockReader, last: Block) -> Iterator[tuple[Fragment, int]]:
    """Data blocks that a recorder wrote after its last list but had no time to list (unfinished files)."""
    end = last.end
    while True:
        address = -(-end // LINK_BYTES) * LINK_BYTES
        if reader.content[address : address + 4].tobytes() not in (*DATA_IDS, b"##DZ"):
            return
        block = reader.block(address, *DATA_IDS, b"##DZ")
        yield _fragment(reader, block)
        end = max(block.end, address + FRAME.size)


def _fragment(reader: BlockReader, block: Block) -> tuple[Fragment, int]:
    if block.id == b"##DZ":
        return _packed(reader, block), 0
    stated = max(0, block.end - block.data)
    there = min(stated, reader.size - block.data)
    if reader.flags & _LAST_LENGTH_OPEN and (stated == 0 or block.end > reader.size):
        # The recorder fills in the length when it closes the file; until then the data reach to the next block.
        there = stated = reader.next_block(block.address) - block.data
    return Fragment(block.data, there, there), stated - there


def _packed(reader: BlockReader, block: Block) -> Fragment:
    layout = "<2sBBIQQ"
    _, packing, _, row_bytes, size, stored = reader.values(block, layout)
    data = block.data + struct.calcsize(layout)
    if packing not in (_DEFLATE, _TRANSPOSED_DEFLATE):
        raise BrokenBlockError(f"DZ block at byte {block.address}: compression {packing} is not supported")
    if size > _MAX_UNPACKED_BYTES or data + stored > block.end or (packing and not row_bytes):
        raise BrokenBlockError(f"DZ block at byte {block.address}: {stored} bytes for {size}")
    return Fragment(data, stored, size, packing, row_bytes)


def unpack(content: Bytes, fragment: Fragment) -> Bytes:
    """Bytes of one fragment; never more than it states, whatever the compressed data would give.

    Raises:
        BrokenBlockError: When it cannot be unpacked to its stated size.
    """
    stored = content[fragment.address : fragment.address + fragment.stored]
    if fragment.packing == _PLAIN:
        return stored
    try:
        raw = zlib.decompressobj().decompress(stored.tobytes(), fragment.size)
    except zlib.error as error:
        raise BrokenBlockError(f"compressed data at byte {fragment.address}: {error}") from error
    if len(raw) != fragment.size:
        raise BrokenBlockError(f"compressed data at byte {fragment.address}: {len(raw)} of {fragment.size} bytes")
    unpacked = np.frombuffer(raw, np.uint8)
    if fragment.packing == _TRANSPOSED_DEFLATE:
        whole = fragment.size // fragment.row_bytes * fragment.row_bytes
        rows = unpacked[:whole].reshape(fragment.row_bytes, -1).T.reshape(-1)
        unpacked = np.concatenate([rows, unpacked[whole:]])
    return unpacked


def stream(content: Bytes, data: Data) -> Iterator[Bytes]:
    """Yield a section's bytes front to back, about a megabyte at a time.

    Raises:
        BrokenBlockError: At the first fragment that cannot be unpacked.
    """
    for fragment in data.fragments:
        raw = unpack(content, fragment)
        for first in range(0, len(raw), _PIECE_BYTES):
            yield raw[first : first + _PIECE_BYTES]


def read_span(content: Bytes, data: Data, first: int, end: int) -> Bytes:
    """Bytes ``first`` to ``end`` of a section, as far as they are there.

    Raises:
        BrokenBlockError: When a fragment of the span cannot be unpacked.
    """
    pieces: list[Bytes] = []
    start = 0
    for fragment in data.fragments:
        if start < end and start + fragment.size > first:
            pieces.append(unpack(content, fragment)[max(0, first - start) : end - start])
        start += fragment.size
    if len(pieces) == 1:
        return pieces[0]
    return np.concatenate(pieces) if pieces else np.empty(0, np.uint8)
