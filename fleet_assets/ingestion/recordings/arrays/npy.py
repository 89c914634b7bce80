"""NumPy array files as memory maps, read without trusting their headers.

Here belongs one file's header and bytes. Which files make a channel is the business of `comma2k19.py`. NumPy's own
loader refuses a truncated file as a whole; here the rows that are there stay readable and the rest is counted.
"""

import ast
import re
import struct
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fleet_assets.ingestion.recordings.protocol import UnreadableRecordingError

MAGIC: Final = b"\x93NUMPY"
_MAX_HEADER_BYTES: Final = 10_000
_MAX_ROWS: Final = 1 << 40
_MAX_ITEM_BYTES: Final = 4096
_KNOWN_TYPE: Final = re.compile(r"^[<>|=]?[biufS][0-9]{1,4}$")
_LENGTH_FIELD: Final = {1: "<H", 2: "<I", 3: "<I"}
_UPLOAD_AGAIN: Final = "Upload the file again; if the source is damaged too, leave the file out."


@dataclass(frozen=True, slots=True)
class NpyFile:
    """One array file.

    Attributes:
        values: The rows that are there, memory-mapped.
        stated_rows: Rows that the header states.
        missing_bytes: Bytes between what the header states and what is there.
    """

    values: NDArray[Any]
    stated_rows: int
    missing_bytes: int


@dataclass(frozen=True, slots=True)
class _Header:
    shape: tuple[int, ...]
    fortran_order: bool
    dtype: np.dtype[Any]
    data_offset: int


def _header_text(head: bytes, name: str) -> tuple[str, int]:
    if not head:
        raise UnreadableRecordingError(name, "empty_file", value="0 bytes", limit="an array", remedy=_UPLOAD_AGAIN)
    if not head.startswith(MAGIC):
        found = f"first bytes {head[:8]!r}"
        raise UnreadableRecordingError(name, "not_numpy", value=found, limit="a NumPy array", remedy=_UPLOAD_AGAIN)
    field = _LENGTH_FIELD.get(head[6]) if len(head) > len(MAGIC) + 1 else None
    start = 8 + struct.calcsize(field) if field else 0
    if field is None or len(head) < start:
        raise UnreadableRecordingError(name, "truncated_file", value=f"{len(head)} bytes", remedy=_UPLOAD_AGAIN)
    (length,) = struct.unpack_from(field, head, 8)
    if length > _MAX_HEADER_BYTES:
        limit = f"at most {_MAX_HEADER_BYTES} bytes"
        raise UnreadableRecordingError(
            name, "unreadable_header", value=f"{length} bytes", limit=limit, remedy=_UPLOAD_AGAIN
        )
    if len(head) < start + length:
        raise UnreadableRecordingError(
            name,
            "truncated_file",
            value=f"{len(head)} bytes",
            limit=f"{start + length} of header",
            remedy=_UPLOAD_AGAIN,
        )
    return head[start : start + length].decode("latin-1"), start + length


def _parse(text: str, data_offset: int, name: str) -> _Header:
    try:
        stated = ast.literal_eval(text)
        shape, order, descr = stated["shape"], stated["fortran_order"], stated["descr"]
    except (ValueError, SyntaxError, TypeError, KeyError, RecursionError, MemoryError) as error:
        raise UnreadableRecordingError(
            name, "unreadable_header", value=f"{type(error).__name__}: {text[:80]!r}", remedy=_UPLOAD_AGAIN
        ) from error
    if not isinstance(descr, str) or not _KNOWN_TYPE.match(descr):
        raise UnreadableRecordingError(
            name,
            "unsupported_type",
            value=f"dtype {str(descr)[:80]}",
            limit="numbers or bytes of fixed length",
            remedy="Pickled and structured arrays are never opened; write plain arrays.",
        )
    try:
        dtype = np.dtype(descr)
    except TypeError as error:
        raise UnreadableRecordingError(name, "unsupported_type", value=descr, remedy=_UPLOAD_AGAIN) from error
    fits = isinstance(shape, tuple) and len(shape) in (1, 2) and all(type(n) is int and n >= 0 for n in shape)
    if not fits or shape[0] > _MAX_ROWS or not 0 < prod(shape[1:]) * dtype.itemsize <= _MAX_ITEM_BYTES:
        raise UnreadableRecordingError(
            name,
            "implausible_shape",
            value=f"shape {str(shape)[:80]} of {dtype}",
            limit=f"one or two dimensions, rows of 1 to {_MAX_ITEM_BYTES} bytes",
            remedy=_UPLOAD_AGAIN,
        )
    return _Header(shape, bool(order), dtype, data_offset)


def map_npy(path: Path, name: str) -> NpyFile:
    """Map one array file into memory, as far as its bytes reach.

    Args:
        path: Where the bytes are.
        name: Relative name inside the drive, for errors.

    Raises:
        UnreadableRecordingError: When the header cannot be trusted, the type is not a plain number or byte string, or
            no row can be told from another.
    """
    with path.open("rb") as stream:
        head = stream.read(_MAX_HEADER_BYTES + 16)
        size = stream.seek(0, 2)
    header = _parse(*_header_text(head, name), name)
    row_bytes = prod(header.shape[1:]) * header.dtype.itemsize
    stated = header.shape[0] * row_bytes
    present = min(stated, size - header.data_offset)
    rows = present // row_bytes
    column_major = header.fortran_order and len(header.shape) > 1 and header.shape[1] > 1
    if column_major and present < stated:
        raise UnreadableRecordingError(
            name, "truncated_file", value=f"{present} bytes", limit=f"{stated} bytes", remedy=_UPLOAD_AGAIN
        )
    shape = (rows, *header.shape[1:])
    values: NDArray[Any] = np.empty(shape, header.dtype)
    if rows:
        values = np.memmap(path, header.dtype, "r", header.data_offset, shape, "F" if column_major else "C")
    return NpyFile(values, header.shape[0], stated - rows * row_bytes)
