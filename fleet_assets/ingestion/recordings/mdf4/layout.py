"""Structure of one MDF 4 file: its groups, their fields, and where their records lie.

Here belongs what ASAM MDF 4.1 says about messages: data groups, channel groups, channels, conversions. Blocks are read
by `blocks.py`, records by `splitting.py` and `records.py`.
"""

import mmap
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from fleet_assets.ingestion.recordings.mdf4.blocks import (
    HEADER_AT,
    Block,
    BlockReader,
    BrokenBlockError,
    Bytes,
)
from fleet_assets.ingestion.recordings.mdf4.data import COUNTS_OPEN, Data, read_data
from fleet_assets.ingestion.recordings.protocol import UnreadableRecordingError

MASTER_TYPES: Final = (2, 3)
VIRTUAL_TYPES: Final = (3, 6)
VARIABLE_LENGTH: Final = 1
TIME_SYNC: Final = 1
_MAGICS: Final = (b"MDF     4.", b"UnFinMF 4.")
_UNFINISHED_MAGIC: Final = b"UnFinMF"
_FLAGS_AT: Final = 60
_LOCAL_TIME: Final = 1 << 0
_MAX_RECORD_BYTES: Final = 1 << 20
_MAX_COUNT: Final = 1 << 40
_LATEST_START_NS: Final = 4_102_444_800_000_000_000
"""Year 2100: later starts are damage, and sums with them would leave the integers' range."""
_VLSD_GROUP: Final = 1 << 0
_REMOTE_MASTER: Final = 1 << 3
_ID_BYTES: Final = (0, 1, 2, 4, 8)
_UPLOAD_AGAIN: Final = "Upload the file again; if the source is damaged too, what can be read is still used."


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
        data_link: Where variable-length data lies: the address of a group or of a data section.
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
        variable: Whether it holds the variable-length data of another group's field.
        name: Acquisition name.
        fields: Its channels, compositions unfolded.
        signal_data: Data section by the address that a variable-length field points at.
    """

    address: int
    record_id: int
    stated: int | None
    record_bytes: int
    variable: bool
    name: str
    fields: tuple[Field, ...]
    signal_data: dict[int, Data]


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
        mapping: The mapping behind them.
        start_ns: Start that the header states, ns since 1970; 0 where it states none.
        utc: Whether that is UTC.
        sections: Its data groups.
        problems: Structure that could not be followed, in words.
    """

    content: Bytes
    mapping: mmap.mmap
    start_ns: int
    utc: bool
    sections: tuple[Section, ...]
    problems: tuple[str, ...]

    def release(self) -> None:
        """Give the pages that were read back; they are read again where they are used again."""
        self.mapping.madvise(mmap.MADV_DONTNEED)


def _conversion(reader: BlockReader, address: int) -> Conversion | None:
    if not address:
        return None
    block = reader.block(address, b"##CC", links=4)
    layout = "<BBHHHdd"
    kind, _, _, _, count, _, _ = reader.values(block, layout)
    return Conversion(kind, reader.values(block, f"<{count}d", at=struct.calcsize(layout)))


def _field(reader: BlockReader, block: Block) -> Field:
    kind, sync, data_type, bit_offset, byte_offset, bit_count = reader.values(block, "<BBBBII")
    return Field(
        name=reader.text(block.links[2]),
        type=kind,
        sync=sync,
        data_type=data_type,
        bit_offset=bit_offset,
        byte_offset=byte_offset,
        bit_count=bit_count,
        conversion=_conversion(reader, block.links[4]),
        data_link=block.links[5],
    )


def _fields(reader: BlockReader, first: int, seen: set[int]) -> Iterator[Field]:
    """Unfold a chain of channels and their compositions; arrays are passed over."""
    waiting = [first]
    while waiting:
        for block in reader.chain(waiting.pop(), (b"##CN",), 8, seen):
            try:
                yield _field(reader, block)
            except BrokenBlockError as error:
                reader.problems.append(str(error))
            composition = block.links[1]
            if composition and reader.content[composition : composition + 4].tobytes() == b"##CN":
                waiting.append(composition)


def _group(reader: BlockReader, block: Block, seen: set[int]) -> Group:
    record_id, count, flags, _, _, data_bytes, invalid_bytes = reader.values(block, "<QQHHIII")
    variable = bool(flags & _VLSD_GROUP)
    if flags & _REMOTE_MASTER:
        raise BrokenBlockError(f"CG block at byte {block.address}: column storage is not supported")
    if not variable and data_bytes + invalid_bytes > _MAX_RECORD_BYTES:
        raise BrokenBlockError(f"CG block at byte {block.address}: records of {data_bytes + invalid_bytes} bytes")
    if count > _MAX_COUNT and not reader.flags & COUNTS_OPEN:
        reader.problems.append(f"CG block at byte {block.address}: states {count} records")
    fields = () if variable else tuple(_fields(reader, block.links[1], seen))
    links = {field.data_link for field in fields if field.type == VARIABLE_LENGTH and field.data_link}
    sections = {link for link in links if reader.content[link : link + 4].tobytes() != b"##CG"}
    return Group(
        address=block.address,
        record_id=record_id,
        stated=count if not reader.flags & COUNTS_OPEN and count <= _MAX_COUNT else None,
        record_bytes=0 if variable else data_bytes + invalid_bytes,
        variable=variable,
        name=reader.text(block.links[2]),
        fields=fields,
        signal_data={link: read_data(reader, link) for link in sorted(sections)},
    )


def _groups(reader: BlockReader, block: Block, seen: set[int]) -> tuple[int, tuple[Group, ...]]:
    (id_bytes,) = reader.values(block, "<B")
    groups = []
    for found in reader.chain(block.links[1], (b"##CG",), 6, seen):
        try:
            groups.append(_group(reader, found, seen))
        except BrokenBlockError as error:
            reader.problems.append(str(error))
    if id_bytes not in _ID_BYTES or (id_bytes == 0 and len(groups) > 1):
        raise BrokenBlockError(
            f"DG block at byte {block.address}: {len(groups)} groups with record ids of {id_bytes} bytes"
        )
    return id_bytes, tuple(groups)


def is_mdf4(head: bytes) -> bool:
    """Whether a file begins as MDF of version 4 does, finished or not."""
    return head.startswith(_MAGICS)


def _sections(reader: BlockReader, first: int) -> tuple[Section, ...]:
    seen: set[int] = set()
    found = []
    for block in reader.chain(first, (b"##DG",), 4, seen):
        try:
            found.append((block.links[2], *_groups(reader, block, seen)))
        except BrokenBlockError as error:
            reader.problems.append(str(error))
    # Data come last: where the blocks between them begin is known by then.
    return tuple(Section(id_bytes, groups, read_data(reader, link)) for link, id_bytes, groups in found)


def read_layout(path: Path, name: str) -> Layout:
    """Read the structure of one file.

    Args:
        path: Where the bytes are.
        name: Relative name inside the drive, for errors.

    Raises:
        UnreadableRecordingError: When it is no MDF 4 file or its header is broken.
    """
    if not path.stat().st_size:
        raise UnreadableRecordingError(name, "empty_file", value="0 bytes", limit="an MDF 4 file", remedy=_UPLOAD_AGAIN)
    with path.open("rb") as stream:
        mapping = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
    content: Bytes = np.frombuffer(mapping, np.uint8)
    head = content[:HEADER_AT].tobytes()
    if not is_mdf4(head):
        found = f"first bytes {head[:8]!r}"
        raise UnreadableRecordingError(name, "not_mdf4", value=found, limit="an MDF 4 file", remedy=_UPLOAD_AGAIN)
    unfinished = head.startswith(_UNFINISHED_MAGIC) and len(head) == HEADER_AT
    flags = struct.unpack_from("<H", head, _FLAGS_AT)[0] if unfinished else 0
    reader = BlockReader(content, flags)
    try:
        header = reader.block(HEADER_AT, b"##HD", links=6)
        start_ns, _, _, time_flags = reader.values(header, "<QhhB")
    except BrokenBlockError as error:
        raise UnreadableRecordingError(name, "broken_header", value=str(error), remedy=_UPLOAD_AGAIN) from error
    sections = _sections(reader, header.links[0])
    plausible = start_ns if start_ns <= _LATEST_START_NS else 0
    return Layout(content, mapping, plausible, not time_flags & _LOCAL_TIME, sections, tuple(reader.problems))
