"""Unpacking the chunks of MCAP files: never more than a chunk says, and nothing whose checksum is wrong.

Here belongs what lies between a chunk's head and the records in it. Both are read by ``records.py``. Compression
formats: https://mcap.dev/spec/registry#well-known-compression-formats. Checksums are made with ISA-L, which takes a
ninth of the time of ``zlib``.
"""

import contextlib
import mmap
from collections.abc import Iterator
from typing import Final

from isal import isal_zlib

from fleet_assets.ingestion.recordings.mcap.records import BrokenRecordError, Buffer, ChunkHead

MAX_CHUNK_BYTES: Final = 1 << 29
"""Unpacked size of a chunk at most; writers make chunks of some megabytes, or of one message where that is larger."""
_UNPACK_BYTES: Final = 1 << 22
_AT_ONCE_BYTES: Final = 1 << 24
"""Size up to which a chunk is unpacked at once, which is faster, where its frame states the same size."""


def _unpacked_lz4(packed: memoryview, limit: int) -> Iterator[bytes]:
    from lz4.frame import create_decompression_context, decompress_chunk

    context = create_decompression_context()
    at = 0
    while limit > 0:
        part, consumed, _ = decompress_chunk(context, packed[at:], max_length=min(limit, _UNPACK_BYTES))
        if not part and not consumed:
            return
        yield part
        limit -= len(part)
        at += consumed


def _unpacked_zstd(packed: memoryview, limit: int) -> Iterator[bytes]:
    import zstandard

    unpacker = zstandard.ZstdDecompressor(max_window_size=1 << 27)
    if limit <= _AT_ONCE_BYTES and zstandard.get_frame_parameters(packed).content_size == limit:
        with contextlib.suppress(zstandard.ZstdError):
            yield unpacker.decompress(packed)
            return
        # Cut off or damaged: the stream gives what comes before that.
    reader = unpacker.stream_reader(packed, read_across_frames=True)
    while limit > 0 and (part := reader.read(min(limit, _UNPACK_BYTES))):
        yield part
        limit -= len(part)


_UNPACKERS: Final = {"lz4": _unpacked_lz4, "zstd": _unpacked_zstd}


def _unpacked(packed: memoryview, compression: str, size: int) -> tuple[bytes, str]:
    """Unpack step by step, never more than the stated size; the words say what ended it too early."""
    import zstandard

    parts: list[bytes] = []
    problem = ""
    try:
        parts.extend(_UNPACKERS[compression](packed, size))
    except (RuntimeError, zstandard.ZstdError) as error:
        problem = str(error)
    return (parts[0] if len(parts) == 1 else b"".join(parts)), problem


def unpack_chunk(data: mmap.mmap, head: ChunkHead, end: int) -> tuple[Buffer, int, int]:
    """Unpack a chunk's records and check them; those of a chunk that is cut off come without a check.

    Args:
        data: The file.
        head: The chunk's head.
        end: Where the file ends.

    Returns:
        Buffer, and where in it the records begin and end; the file itself where they are not packed.

    Raises:
        BrokenRecordError: When they cannot be unpacked, or are not those that the checksum was made of.
    """
    whole = head.data_end <= end
    if head.compression and head.compression not in _UNPACKERS:
        raise BrokenRecordError("unknown_compression", f"found {head.compression!r}, expected lz4 or zstd")
    if head.compression and head.size > MAX_CHUNK_BYTES:
        raise BrokenRecordError("oversized_chunk", f"unpacks to {head.size} bytes, at most {MAX_CHUNK_BYTES} are read")
    with memoryview(data) as view, view[head.data_at : min(head.data_end, end)] as packed:
        if not head.compression:
            if whole and head.crc and isal_zlib.crc32(packed) != head.crc:
                raise BrokenRecordError("wrong_checksum", "its records are not those that its checksum was made of")
            return data, head.data_at, min(head.data_end, end)
        records, problem = _unpacked(packed, head.compression, head.size)
    if whole and problem:
        raise BrokenRecordError("broken_chunk", f"cannot be unpacked: {problem}")
    if whole and (isal_zlib.crc32(records) != head.crc if head.crc else len(records) != head.size):
        words = f"unpacks to {len(records)} of {head.size} bytes, or to others than its checksum was made of"
        raise BrokenRecordError("wrong_checksum", words)
    return records, 0, len(records)
