"""Structure of one MDF 4 file: its groups, their fields, and where their records lie.

Here belongs ASAM MDF 4.1 as far as messages need it, read without trusting a single link or length: every block is
checked to lie in the file, and no chain is followed round a circle. Records themselves are read by `mdf4_records.py`.
The format: https://www.asam.net/standards/detail/mdf/wiki/ ; names below are the standard's.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fleet_assets.ingestion.recordings.protocol import UnreadableRecordingError

MAGICS: Final = (b"MDF     4.", b"UnFinMF 4.")
_UNFINISHED_MAGIC: Final = b"UnFinMF"
_HEADER_AT: Final = 64
_FLAGS_AT: Final = 60
_COMMON: Final = struct.Struct("<4sIQQ")
_COUNTS_OPEN: Final = 1 << 0
_LAST_LENGTH_OPEN: Final = 1 << 2
_LAST_LIST_OPEN: Final = 1 << 4
_LOCAL_TIME: Final = 1 << 0
_MAX_LINKS: Final = 1 << 20
_MAX_TEXT_BYTES: Final = 4096
_MAX_RECORD_BYTES: Final = 1 << 20
_MAX_COUNT: Final = 1 << 40
_MAX_UNPACKED_BYTES: Final = 1 << 26
_ALIGNMENT: Final = 8
_DATA_IDS: Final = (b"##DT", b"##DV", b"##SD", b"##RD")
_PLAIN: Final = -1
_DEFLATE: Final = 0
_TRANSPOSED_DEFLATE: Final = 1
_VLSD_GROUP: Final = 1 << 0
_REMOTE_MASTER: Final = 1 << 3
_LIST_HAS_INVALIDATION: Final = 1 << 31
MASTER_TYPES: Final = (2, 3)
VIRTUAL_TYPES: Final = (3, 6)
VARIABLE_LENGTH: Final = 1
TIME_SYNC: Final = 1
_UPLOAD_AGAIN: Final = "Upload the file again; if the source is damaged too, what can be read is still used."

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


@dataclass(frozen=True, slots=True)
class Fragment:
    """A stretch of record or signal data.

    Attributes:
        address: First byte in the file.
        stored: Bytes in the file.
        size: Bytes once unpacked.
        packing: ``_PLAIN``, or the zip type of the standard.
        parameter: Row length of transposed data.
    """

    address: int
    stored: int
    size: int
    packing: int = _PLAIN
    parameter: int = 0

    @property
    def packed(self) -> bool:
        """Whether the bytes are compressed."""
        return self.packing != _PLAIN

    @property
    def transposed(self) -> bool:
        """Whether columns were stored before rows."""
        return self.packing == _TRANSPOSED_DEFLATE


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


@dataclass(frozen=True, slots=True)
class Conversion:
    """Raw to physical: the standard's type and its values."""

    type: int
    values: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Field:
    """One channel (CN block) of a group.

    Attributes:
        name: Name in the file.
        type: Channel type of the standard.
        sync: What a master counts; 1 is time in seconds.
        data_type: Data type of the standard.
        bit_offset: First bit inside its first byte.
        byte_offset: First byte inside the record.
        bit_count: Bits.
        conversion: Raw to physical, or None.
        data_link: Where variable-length data lies: a group of its own or a data section.
    """

    name: str
    type: int
    sync: int
    data_type: int
    bit_offset: int
    byte_offset: int
    bit_count: int
    conversion: Conversion | None
    data_link: int


@dataclass(frozen=True, slots=True)
class Group:
    """One channel group (CG block).

    Attributes:
        address: Address in the file, which a variable-length field may point at.
        record_id: Id before each of its records in unsorted data.
        stated: Records as the file counts them; None in an unfinished or implausible one.
        record_bytes: Length of its records, invalidation bytes included.
        variable: Whether it holds variable-length data of another group's field.
        name: Acquisition name.
        fields: Its channels, compositions unfolded.
    """

    address: int
    record_id: int
    stated: int | None
    record_bytes: int
    variable: bool
    name: str
    fields: tuple[Field, ...]


@dataclass(frozen=True, slots=True)
class Section:
    """One data group (DG block): its groups and their common data."""

    id_bytes: int
    groups: tuple[Group, ...]
    data: Data


@dataclass(frozen=True, slots=True)
class Layout:
    """One file.

    Attributes:
        content: All bytes, memory-mapped.
        start_ns: Start that the header states, ns since 1970; 0 where it states none.
        utc: Whether that is UTC.
        sections: Its data groups.
        problems: Structure that could not be followed, in words.
    """

    content: Bytes
    start_ns: int
    utc: bool
    sections: tuple[Section, ...]
    problems: tuple[str, ...]


class _Reader:
    """Reads one file's blocks."""

    def __init__(self, content: Bytes, flags: int) -> None:
        self.content, self.size, self.flags = content, len(content), flags
        self.problems: list[str] = []

    def block(self, address: int, *ids: bytes, links: int = 0) -> Block:
        """Read a block's frame.

        Raises:
            BrokenBlockError: When it does not lie in the file, has another id, or contradicts itself.
        """
        wanted = "/".join(name.decode()[2:] for name in ids)
        if not _HEADER_AT <= address <= self.size - _COMMON.size:
            raise BrokenBlockError(f"{wanted} block at byte {address}: the file has {self.size} bytes")
        name, _, length, count = _COMMON.unpack_from(self.content, address)
        data = address + _COMMON.size + _ALIGNMENT * count
        if name not in ids:
            raise BrokenBlockError(f"byte {address}: found {name!r} instead of a {wanted} block")
        plain = name in _DATA_IDS
        if count > _MAX_LINKS or count < links or data > self.size or (data > address + length and not plain):
            raise BrokenBlockError(f"{wanted} block at byte {address}: length {length} with {count} links")
        if address + length > self.size and not plain:
            raise BrokenBlockError(f"{wanted} block at byte {address}: ends at {address + length} of {self.size} bytes")
        found = struct.unpack_from(f"<{count}Q", self.content, address + _COMMON.size)
        return Block(name, address, found, data, address + length)

    def values(self, block: Block, layout: str, at: int = 0) -> tuple[Any, ...]:
        """Unpack a block's data.

        Raises:
            BrokenBlockError: When the block is shorter.
        """
        if block.data + at + struct.calcsize(layout) > block.end:
            raise BrokenBlockError(f"{block.id.decode()[2:]} block at byte {block.address} is too short")
        return struct.unpack_from(layout, self.content, block.data + at)

    def chain(self, address: int, name: bytes, links: int, seen: set[int]) -> Iterator[Block]:
        """Follow the first link from block to block; a broken one ends the chain and is remembered."""
        while address:
            if address in seen:
                self.problems.append(f"{name.decode()[2:]} block at byte {address}: linked to in a circle")
                return
            seen.add(address)
            try:
                block = self.block(address, name, links=links)
            except BrokenBlockError as error:
                self.problems.append(str(error))
                return
            yield block
            address = block.links[0]

    def text(self, address: int) -> str:
        """Text of a TX or MD block; empty where there is none."""
        if not address:
            return ""
        block = self.block(address, b"##TX", b"##MD")
        raw = self.content[block.data : min(block.end, block.data + _MAX_TEXT_BYTES)].tobytes()
        return raw.split(b"\0", 1)[0].decode("utf-8", errors="replace")

    def conversion(self, address: int) -> Conversion | None:
        if not address:
            return None
        block = self.block(address, b"##CC", links=4)
        kind, _, _, _, count, _, _ = self.values(block, "<BBHHHdd")
        return Conversion(kind, self.values(block, f"<{count}d", at=struct.calcsize("<BBHHHdd")))

    def field(self, block: Block) -> Field:
        kind, sync, data_type, bit_offset, byte_offset, bit_count = self.values(block, "<BBBBII")
        return Field(
            name=self.text(block.links[2]),
            type=kind,
            sync=sync,
            data_type=data_type,
            bit_offset=bit_offset,
            byte_offset=byte_offset,
            bit_count=bit_count,
            conversion=self.conversion(block.links[4]),
            data_link=block.links[5],
        )

    def fields(self, first: int, seen: set[int]) -> Iterator[Field]:
        """Unfold a chain of channels and their compositions; arrays are passed over."""
        waiting = [first]
        while waiting:
            for block in self.chain(waiting.pop(), b"##CN", 8, seen):
                try:
                    yield self.field(block)
                except BrokenBlockError as error:
                    self.problems.append(str(error))
                composition = block.links[1]
                if composition and self.content[composition : composition + 4].tobytes() == b"##CN":
                    waiting.append(composition)

    def group(self, block: Block, seen: set[int]) -> Group:
        record_id, count, flags, _, _, data_bytes, invalid_bytes = self.values(block, "<QQHHIII")
        variable = bool(flags & _VLSD_GROUP)
        if flags & _REMOTE_MASTER:
            raise BrokenBlockError(f"CG block at byte {block.address}: column storage is not supported")
        if not variable and data_bytes + invalid_bytes > _MAX_RECORD_BYTES:
            raise BrokenBlockError(f"CG block at byte {block.address}: records of {data_bytes + invalid_bytes} bytes")
        counted = not self.flags & _COUNTS_OPEN and count <= _MAX_COUNT
        return Group(
            address=block.address,
            record_id=record_id,
            stated=count if counted else None,
            record_bytes=0 if variable else data_bytes + invalid_bytes,
            variable=variable,
            name=self.text(block.links[2]),
            fields=() if variable else tuple(self.fields(block.links[1], seen)),
        )

    def section(self, block: Block, seen: set[int]) -> Section:
        (id_bytes,) = self.values(block, "<B")
        groups = []
        for found in self.chain(block.links[1], b"##CG", 6, seen):
            try:
                groups.append(self.group(found, seen))
            except BrokenBlockError as error:
                self.problems.append(str(error))
        if id_bytes not in (0, 1, 2, 4, 8) or (id_bytes == 0 and len(groups) > 1):
            raise BrokenBlockError(
                f"DG block at byte {block.address}: {len(groups)} groups with record ids of {id_bytes} bytes"
            )
        return Section(id_bytes, tuple(groups), self.data(block.links[2]))

    def data(self, address: int) -> Data:
        """List the fragments of a data section as far as they can be followed."""
        fragments: list[Fragment] = []
        lost, problem = 0, None
        try:
            for fragment, missing in self.fragments(address):
                if fragment.size:
                    fragments.append(fragment)
                if missing:
                    # What follows would start inside a record, so the section ends here.
                    lost, problem = missing, f"data at byte {fragment.address}: {missing} bytes are missing"
                    break
        except BrokenBlockError as error:
            problem = str(error)
        return Data(tuple(fragments), lost, problem)

    def fragments(self, address: int) -> Iterator[tuple[Fragment, int]]:
        """Yield each fragment with the number of its bytes that lie beyond the end of the file."""
        if not address:
            return
        block = self.block(address, *_DATA_IDS, b"##DZ", b"##DL", b"##LD", b"##HL")
        if block.id == b"##HL":
            block = self.block(block.links[0] if block.links else 0, b"##DL", links=1)
        if block.id not in (b"##DL", b"##LD"):
            yield self.fragment(block)
            return
        seen: set[int] = set()
        last = block
        while True:
            if block.address in seen:
                raise BrokenBlockError(f"list block at byte {block.address}: linked to in a circle")
            seen.add(block.address)
            for link in self.list_links(block):
                last = self.block(link, *_DATA_IDS, b"##DZ")
                yield self.fragment(last)
            if not block.links or not block.links[0]:
                break
            block = self.block(block.links[0], b"##DL", b"##LD", links=1)
        if self.flags & _LAST_LIST_OPEN:
            yield from self.unlisted(last)

    def list_links(self, block: Block) -> tuple[int, ...]:
        if block.id == b"##LD":
            (flags,) = self.values(block, "<I")
            if flags & _LIST_HAS_INVALIDATION:
                raise BrokenBlockError(f"LD block at byte {block.address}: column storage is not supported")
        return tuple(link for link in block.links[1:] if link)

    def unlisted(self, last: Block) -> Iterator[tuple[Fragment, int]]:
        """Data blocks that a recorder wrote after its last list but had no time to list (unfinished files)."""
        end = last.end
        while True:
            address = -(-end // _ALIGNMENT) * _ALIGNMENT
            if address + _COMMON.size > self.size:
                return
            if self.content[address : address + 4].tobytes() not in (*_DATA_IDS, b"##DZ"):
                return
            block = self.block(address, *_DATA_IDS, b"##DZ")
            yield self.fragment(block)
            end = max(block.end, address + _COMMON.size)

    def fragment(self, block: Block) -> tuple[Fragment, int]:
        if block.id == b"##DZ":
            return self.packed(block), 0
        stated = max(0, block.end - block.data)
        there = min(stated, self.size - block.data)
        if self.flags & _LAST_LENGTH_OPEN and (stated == 0 or block.end > self.size):
            # The recorder fills in the length when it closes the file: until then the last block reaches to the end.
            there = stated = self.until_next(block)
        return Fragment(block.data, there, there), stated - there

    def until_next(self, block: Block) -> int:
        """Bytes from a block's data to the end of the file, or to where another block of data already begins."""
        follows = self.content[block.data : block.data + 4].tobytes()
        return 0 if follows.startswith(b"##") else self.size - block.data

    def packed(self, block: Block) -> Fragment:
        _, packing, _, parameter, size, stored = self.values(block, "<2sBBIQQ")
        data = block.data + struct.calcsize("<2sBBIQQ")
        if packing not in (_DEFLATE, _TRANSPOSED_DEFLATE):
            raise BrokenBlockError(f"DZ block at byte {block.address}: compression {packing} is not supported")
        if size > _MAX_UNPACKED_BYTES or data + stored > block.end or (packing and not parameter):
            raise BrokenBlockError(f"DZ block at byte {block.address}: {stored} bytes for {size}")
        return Fragment(data, stored, size, packing, parameter)


def is_mdf4(head: bytes) -> bool:
    """Whether a file begins as MDF of version 4 does, finished or not."""
    return head.startswith(MAGICS)


def read_layout(path: Path, name: str) -> Layout:
    """Read the structure of one file.

    Args:
        path: Where the bytes are.
        name: Relative name inside the drive, for errors.

    Raises:
        UnreadableRecordingError: When it is no MDF 4 file or its header is broken.
    """
    size = path.stat().st_size
    if not size:
        raise UnreadableRecordingError(name, "empty_file", value="0 bytes", limit="an MDF 4 file", remedy=_UPLOAD_AGAIN)
    content: Bytes = np.memmap(path, np.uint8, "r")
    head = content[:_HEADER_AT].tobytes()
    if not is_mdf4(head):
        found = f"first bytes {head[:8]!r}"
        raise UnreadableRecordingError(name, "not_mdf4", value=found, limit="an MDF 4 file", remedy=_UPLOAD_AGAIN)
    flags = 0
    if head.startswith(_UNFINISHED_MAGIC) and len(head) == _HEADER_AT:
        (flags,) = struct.unpack_from("<H", head, _FLAGS_AT)
    reader = _Reader(content, flags)
    try:
        header = reader.block(_HEADER_AT, b"##HD", links=6)
        start_ns, _, _, time_flags = reader.values(header, "<QhhB")
    except BrokenBlockError as error:
        raise UnreadableRecordingError(name, "broken_header", value=str(error), remedy=_UPLOAD_AGAIN) from error
    sections = []
    seen: set[int] = set()
    for block in reader.chain(header.links[0], b"##DG", 4, seen):
        try:
            sections.append(reader.section(block, seen))
        except BrokenBlockError as error:
            reader.problems.append(str(error))
    plausible = start_ns if start_ns < 1 << 62 else 0
    return Layout(content, plausible, not time_flags & _LOCAL_TIME, tuple(sections), tuple(reader.problems))
