"""Objects of a Vector BLF stream: finding them, and CAN frames out of them.

Here belongs the stream that a file's containers make when put behind each other. Containers and the file's header are
read by `blf.py`. Layouts: https://bitbucket.org/tobylorenz/vector_blf and python-can (`can.io.blf`); Vector publishes
none.
"""

import struct
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from fleet_assets.ingestion.recordings.can_logs.frames import MAX_PAYLOAD_BYTES, Frames, can_columns

SIGNATURE: Final = b"LOBJ"
BASE_HEADER: Final = struct.Struct("<4sHHLL")
"""Signature, header size, header version, object size, object type."""
MAX_OBJECT_BYTES: Final = 1 << 20
"""A larger object is a wrong length: images and text events of the tool are smaller."""
_HEADER_BYTES: Final = {1: 32, 2: 40}
"""Size of an object's header by its version."""
_PADDING: Final = 4
CONTAINER_TYPE: Final = 10
_HIGHEST_TYPE: Final = 1023
"""Vector has given some 140 numbers; a much higher one is damage."""
_CLASSIC: Final = (1, 86)
_FD: Final = 100
_FD_64: Final = 101
# Smallest and largest body of the objects that carry frames.
_BODY_BYTES: Final = {1: (16, 24), 86: (24, 32), _FD: (84, 88), _FD_64: (40, 40 + 64 + 64)}
_FLAG_EXTENDED: Final = 0x80000000
_ID_MASK: Final = 0x1FFFFFFF
_BEYOND: Final = 256
"""More than what is looked at from the beginning of any object on."""
_REMOTE: Final = 0x80
_REMOTE_64: Final = 0x10
_TEN_MICROSECONDS: Final = 1
_NS_PER_TICK: Final = 10_000
_MAX_OFFSET_NS: Final = 4_000_000_000 * 1_000_000_000
_HIGHEST_CODE: Final = 15
_CLASSIC_BYTES: Final = 8


@dataclass(slots=True)
class Census:
    """What a pass met in the stream.

    Attributes:
        objects: Objects of any kind that could be told apart.
        remote: Remote frames, which carry no data.
        others: Objects by type that are no CAN frame.
        damaged_bytes: Bytes of the stream in which no object could be found.
        damaged_frames: Objects of frames whose content contradicts itself.
    """

    objects: int = 0
    remote: int = 0
    others: dict[int, int] = field(default_factory=dict)
    damaged_bytes: int = 0
    damaged_frames: int = 0


@dataclass(frozen=True, slots=True)
class Found:
    """Places of the frames in one stretch of the stream, and where the unfinished object at its end begins."""

    classic: list[int]
    fd: list[int]
    fd_64: list[int]
    rest: int


def is_object(header: int, version: int, size: int, kind: int) -> bool:
    """Whether the numbers behind a signature can be those of an object (never of a container)."""
    if not header <= size <= MAX_OBJECT_BYTES or kind > _HIGHEST_TYPE or kind == CONTAINER_TYPE:
        return False
    if kind in _BODY_BYTES:
        low, high = _BODY_BYTES[kind]
        return header == _HEADER_BYTES.get(version) and low <= size - header <= high
    return header in _HEADER_BYTES.values() and version in _HEADER_BYTES


def _seek(stream: bytes, position: int, last: bool) -> tuple[int, int]:
    """Next signature from a position on, or −1, and how many bytes of damage lie before it."""
    near = stream.find(SIGNATURE, position, position + len(SIGNATURE) + _PADDING)
    if near >= 0:
        return near, 0
    start = stream.find(SIGNATURE, position)
    if start >= 0:
        return start, start - position
    # Without a signature the last bytes may be the beginning of one, or padding.
    rest = stream[position:] if last else stream[position : 1 - len(SIGNATURE)]
    return -1, len(rest) if rest.strip(b"\0") or len(rest) > _PADDING else 0


def _measure(stream: bytes, start: int, last: bool) -> tuple[int, int, bool]:
    """Kind and size of the object at a signature, and whether another one follows it; size 0 where there is none."""
    _, header, version, size, kind = BASE_HEADER.unpack_from(stream, start)
    if not is_object(header, version, size, kind) or (last and start + size > len(stream)):
        return kind, 0, False
    followed = _followed(stream, start + size, len(stream))
    return kind, size if followed or kind in _BODY_BYTES else 0, followed


def find_objects(stream: bytes, census: Census, *, last: bool = False) -> Found:
    """Walk from object to object; after damage, from the next signature on.

    Args:
        stream: A stretch that begins with an object, if nothing is damaged.
        census: Receives the counts.
        last: Whether nothing follows, so that an unfinished object is damage.
    """
    classic: list[int] = []
    fd: list[int] = []
    fd_64: list[int] = []
    places = {1: classic, 86: classic, _FD: fd, _FD_64: fd_64}
    end, position = len(stream), 0
    while True:
        start, skipped = _seek(stream, position, last)
        census.damaged_bytes += skipped
        if start < 0:
            position = end if last else max(position, end - len(SIGNATURE) + 1)
            break
        if start + BASE_HEADER.size > end:
            census.damaged_bytes += end - start if last else 0
            position = start
            break
        kind, size, followed = _measure(stream, start, last)
        if size > end - start:
            position = start
            break
        position = start + (size if followed else len(SIGNATURE))
        if not size:
            census.damaged_bytes += len(SIGNATURE)
            continue
        census.objects += 1
        if kind in places:
            places[kind].append(start)
        else:
            census.others[kind] = census.others.get(kind, 0) + 1
    return Found(classic, fd, fd_64, position)


def _followed(stream: bytes, position: int, end: int) -> bool:
    """Whether an object, or the end of the stretch, is where an object's size says."""
    if position + _PADDING + len(SIGNATURE) > end:
        return True
    return stream.find(SIGNATURE, position, position + len(SIGNATURE) + _PADDING) >= 0


def _rows(buffer: NDArray[np.uint8], starts: NDArray[np.int64], size: int) -> NDArray[np.uint8]:
    """Bytes from each place on; the buffer goes on with zeros behind the stream."""
    rows: NDArray[np.uint8] = sliding_window_view(buffer, size)[starts]
    return rows


def _field(rows: NDArray[np.uint8], offset: int, kind: str) -> NDArray[Any]:
    size = np.dtype(kind).itemsize
    return np.ascontiguousarray(rows[:, offset : offset + size]).view(kind)[:, 0].astype(np.int64)


@dataclass(frozen=True, slots=True)
class _Part:
    """Frames of one kind of object: places, bus, raw id, length, payload, and which are whole data frames."""

    starts: NDArray[np.int64]
    bus: NDArray[np.int64]
    raw_id: NDArray[np.int64]
    length: NDArray[np.int64]
    data: NDArray[np.uint8]
    remote: NDArray[np.bool_]
    sound: NDArray[np.bool_]


def _bodies(buffer: NDArray[np.uint8], starts: NDArray[np.int64], size: int) -> NDArray[np.uint8]:
    header = _field(_rows(buffer, starts + 4, 2), 0, "<u2")
    return _rows(buffer, starts + header, size)


def _classic(buffer: NDArray[np.uint8], starts: NDArray[np.int64]) -> _Part:
    body = _bodies(buffer, starts, 16)
    code = body[:, 3].astype(np.int64)
    length = np.minimum(code, _CLASSIC_BYTES)
    return _Part(
        starts, _field(body, 0, "<u2"), _field(body, 4, "<u4"), length, body[:, 8:16],
        (body[:, 2] & _REMOTE) != 0, code <= _HIGHEST_CODE,
    )  # fmt: skip


def _fd(buffer: NDArray[np.uint8], starts: NDArray[np.int64]) -> _Part:
    body = _bodies(buffer, starts, 84)
    length = body[:, 14].astype(np.int64)
    return _Part(
        starts, _field(body, 0, "<u2"), _field(body, 4, "<u4"), length, body[:, 20:84],
        (body[:, 2] & _REMOTE) != 0, length <= MAX_PAYLOAD_BYTES,
    )  # fmt: skip


def _fd_64(buffer: NDArray[np.uint8], starts: NDArray[np.int64]) -> _Part:
    head = _rows(buffer, starts + 4, 12)
    body = _bodies(buffer, starts, 40 + MAX_PAYLOAD_BYTES)
    length = body[:, 2].astype(np.int64)
    header, size, extra = _field(head, 0, "<u2"), _field(head, 4, "<u4"), body[:, 35].astype(np.int64)
    # Fewer bytes than the frame's length are filled up with zeros, as Vector's own tools do (python-can issue 1905).
    there = np.where(extra > 0, np.minimum(extra, size), size) - header - 40
    data = np.where(np.arange(MAX_PAYLOAD_BYTES) < there[:, None], body[:, 40:], 0).astype(np.uint8)
    return _Part(
        starts, body[:, 0].astype(np.int64), _field(body, 4, "<u4"), length, data,
        (_field(body, 12, "<u4") & _REMOTE_64) != 0, length <= MAX_PAYLOAD_BYTES,
    )  # fmt: skip


def _offsets(buffer: NDArray[np.uint8], starts: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Time since the file's start in ns, and which are within a clock's reach."""
    head = _rows(buffer, starts + 16, 16)
    ticks = np.ascontiguousarray(head[:, 8:16]).view("<u8")[:, 0]
    factor = np.where(_field(head, 0, "<u4") == _TEN_MICROSECONDS, np.uint64(_NS_PER_TICK), np.uint64(1))
    usable = ticks <= np.uint64(_MAX_OFFSET_NS) // factor
    return np.where(usable, ticks * factor, 0).astype(np.int64), usable


def frames_at(stream: bytes, found: Found, start_ns: int, census: Census) -> Frames | None:
    """Decode the frames that were found, in the order of the stream.

    Args:
        stream: The stretch that was walked.
        found: What was found in it.
        start_ns: Added to each time stamp.
        census: Receives remote and damaged frames.
    """
    buffer = np.frombuffer(stream + bytes(_BEYOND), dtype=np.uint8)
    kinds = ((found.classic, _classic), (found.fd, _fd), (found.fd_64, _fd_64))
    parts = [make(buffer, np.array(starts, dtype=np.int64)) for starts, make in kinds if starts]
    if not parts:
        return None
    width = max(part.data.shape[1] for part in parts)
    starts = np.concatenate([part.starts for part in parts])
    order = np.argsort(starts, kind="stable") if len(parts) > 1 else slice(None)
    length = np.concatenate([part.length for part in parts])[order]
    sound = np.concatenate([part.sound for part in parts])[order]
    data = np.concatenate([np.pad(part.data, ((0, 0), (0, width - part.data.shape[1]))) for part in parts])[order]
    raw_id = np.concatenate([part.raw_id for part in parts])[order]
    remote = np.concatenate([part.remote for part in parts])[order] & sound
    offset_ns, timely = _offsets(buffer, starts[order])
    census.remote += int(remote.sum())
    census.damaged_frames += int((~sound | ~timely & ~remote).sum())
    keep = sound & timely & ~remote
    # Bytes behind a frame's own length are whatever the tool had in its memory.
    data = np.where(np.arange(width) < length[:, None], data, 0).astype(np.uint8)
    extended = (raw_id & _FLAG_EXTENDED) != 0
    bus = np.concatenate([part.bus for part in parts])[order]
    columns = can_columns(
        bus[keep], raw_id[keep] & _ID_MASK, extended[keep], length[keep], data[keep] if len(data) else data
    )
    return offset_ns[keep] + start_ns, columns
