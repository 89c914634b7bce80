"""Reader of Vector BLF logs: containers of objects, of which the CAN and CAN FD frames are read.

Here belong the file's header and its containers; objects are found and decoded in `blf_objects.py`, where the sources
of the layouts are named. The start in the header has no time zone: it is read as UTC, and that is stated.
"""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import BinaryIO, Final

from fleet_assets.ingestion.recordings.can_logs.blf_objects import (
    BASE_HEADER,
    CONTAINER_TYPE,
    SIGNATURE,
    Census,
    find_objects,
    frames_at,
    is_object,
)
from fleet_assets.ingestion.recordings.can_logs.frames import (
    UPLOAD_AGAIN,
    CanLogRecording,
    Frames,
    Losses,
    plausible_utc,
)
from fleet_assets.ingestion.recordings.protocol import Files, UnreadableRecordingError

FORMAT: Final = "blf"
MAGIC: Final = b"LOGG"
MAX_CONTAINER_BYTES: Final = 1 << 24
"""Larger containers are wrong lengths: Vector's tools write 128 KiB each, and say so in their settings."""
_HEADER: Final = struct.Struct("<4sL8BQQLL8H8H")
_CONTAINER: Final = struct.Struct("<H6xL4x")
_PLAIN: Final = 0
_DEFLATED: Final = 2
_SEARCH_BYTES: Final = 1 << 20
_SMALLEST_OBJECT: Final = 32
_HIGHEST_RATIO: Final = 1032
"""Most that deflate can shrink anything; https://zlib.net/zlib_tech.html."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_TAIL_CONTAINERS: Final = 3


def is_blf(head: bytes) -> bool:
    """Whether a file begins as a BLF log."""
    return head.startswith(MAGIC)


@dataclass(frozen=True, slots=True)
class _Header:
    """What the file's header states.

    Attributes:
        bytes: Its own size.
        file_bytes: Size of the whole file; 0 where the recorder did not come to write it.
        objects: Number of objects.
        start_ns: Start read as UTC, ns; None where no plausible one is stated.
    """

    bytes: int
    file_bytes: int
    objects: int
    start_ns: int | None


@dataclass(frozen=True, slots=True)
class _Piece:
    """Content of one container, or of one object outside containers.

    Attributes:
        content: A stretch of the objects' stream.
        joined: Whether it follows the stretch before it without a hole.
    """

    content: bytes
    joined: bool


def _start_ns(parts: tuple[int, ...]) -> int | None:
    year, month, _, day, hour, minute, second, milliseconds = parts
    try:
        moment = datetime(year, month, day, hour, minute, second, milliseconds * 1000, tzinfo=UTC)
    except ValueError:
        return None
    start_ns = (moment - _EPOCH) // timedelta(milliseconds=1) * 1_000_000
    return start_ns if plausible_utc(start_ns) else None


def _read_header(stream: BinaryIO, name: str, size: int) -> _Header:
    raw = stream.read(_HEADER.size)
    if len(raw) < _HEADER.size or not raw.startswith(MAGIC):
        raise UnreadableRecordingError(
            name, "truncated_file", value=f"{len(raw)} bytes", limit="a BLF header", remedy=UPLOAD_AGAIN
        )
    fields = _HEADER.unpack(raw)
    own = fields[1] if _HEADER.size <= fields[1] <= size else _HEADER.size
    return _Header(own, fields[10], fields[12], _start_ns(fields[14:22]))


def _unpacked(method: int, content: bytes, whole: bool) -> bytes | None:
    """Content of a container; None where it cannot be trusted.

    Deflated data carries a checksum. Only where the file ends within it, what came before is taken without.
    """
    if method == _PLAIN:
        return content
    if method != _DEFLATED:
        return None
    inflate = zlib.decompressobj()
    try:
        plain = inflate.decompress(content, MAX_CONTAINER_BYTES)
    except zlib.error:
        return None
    return plain if inflate.eof or (not whole and not inflate.unconsumed_tail) else None


def _find(stream: BinaryIO, start: int) -> int:
    """Place of the next container from an offset on, or of the file's end."""
    stream.seek(start)
    offset, kept = start, b""
    while block := stream.read(_SEARCH_BYTES):
        content = kept + block
        at = content.find(SIGNATURE)
        if at >= 0:
            return offset - len(kept) + at
        offset, kept = offset + len(block), content[1 - len(SIGNATURE) :]
    return offset


class _Walk:
    """Containers of a file, front to back, in bounded memory."""

    def __init__(self, stream: BinaryIO, size: int, losses: Losses) -> None:
        self._stream, self._size, self._losses = stream, size, losses
        self._joined = True

    def lose(self, rule: str, why: str, lost_bytes: int) -> None:
        """Count bytes that give nothing; what follows does not continue what came before."""
        self._losses.add(rule, f"{why}. {UPLOAD_AGAIN}", lost_bytes=lost_bytes)
        self._joined = False

    def pieces(self, start: int) -> Iterator[_Piece]:
        """Yield the stretches of the objects' stream."""
        position = start
        while position < self._size:
            self._stream.seek(position)
            head = self._stream.read(BASE_HEADER.size)
            if not head.startswith(SIGNATURE):
                found = _find(self._stream, position)
                self._skip(position, found)
                position = found
                continue
            position, piece = self._object(position, head)
            if piece is not None:
                yield _Piece(piece, self._joined)
                self._joined = True

    def _skip(self, start: int, end: int) -> None:
        self._stream.seek(start)
        if end - start > len(SIGNATURE) or self._stream.read(end - start).strip(b"\0"):
            self.lose("damaged_container", "bytes that belong to no container", end - start)

    def _object(self, start: int, head: bytes) -> tuple[int, bytes | None]:
        """Read what begins at a signature: where the next one is expected, and the content."""
        if len(head) < BASE_HEADER.size:
            self.lose("truncated_file", "the file ends within a header", len(head))
            return self._size, None
        _, header, version, size, kind = BASE_HEADER.unpack(head)
        container = kind == CONTAINER_TYPE and header == BASE_HEADER.size <= size <= MAX_CONTAINER_BYTES
        if not container and not is_object(header, version, size, kind):
            self.lose("wrong_length", f"an object of type {kind} states {size} bytes", len(SIGNATURE))
            return start + len(SIGNATURE), None
        rest = self._stream.read(size - BASE_HEADER.size)
        whole = len(rest) == size - BASE_HEADER.size
        after = self._stream.read(len(SIGNATURE) * 2)
        if whole and SIGNATURE not in after and after.strip(b"\0"):
            # The next container does not follow: the stated length is wrong, so the content ends somewhere before.
            self.lose("wrong_length", f"a container of {size} bytes is not followed by another", len(SIGNATURE))
            return start + len(SIGNATURE), None
        padding = after.find(SIGNATURE)
        end = start + size + max(padding, 0) if whole else self._size
        if not container:
            return end, head + rest + bytes(size % 4)
        return end, self._content(rest, size, whole)

    def _content(self, rest: bytes, size: int, whole: bool) -> bytes | None:
        if len(rest) < _CONTAINER.size:
            self.lose("truncated_file", "the file ends within a container", size)
            return None
        method, _ = _CONTAINER.unpack_from(rest)
        content = _unpacked(method, rest[_CONTAINER.size :], whole)
        if content is None:
            self.lose("damaged_container", f"a container (compression {method}) cannot be unpacked", size)
        elif not whole:
            cut = size - BASE_HEADER.size - len(rest)
            self._losses.add("truncated_file", f"the file ends {cut} bytes before its last container. {UPLOAD_AGAIN}")
        return content


def _frames(pieces: Iterator[_Piece], start_ns: int, census: Census) -> Iterator[Frames]:
    """Frames of the stream; objects may begin in one piece and end in the next."""
    rest = b""
    for piece in pieces:
        if not piece.joined and rest:
            census.damaged_bytes += len(rest)
            rest = b""
        stream = rest + piece.content
        found = find_objects(stream, census)
        frames = frames_at(stream, found, start_ns, census)
        rest = stream[found.rest :]
        if frames is not None and len(frames[0]):
            yield frames
    found = find_objects(rest, census, last=True)
    frames = frames_at(rest, found, start_ns, census)
    if frames is not None and len(frames[0]):
        yield frames


class _File:
    """One log file; see `CanLogFile`."""

    def __init__(self, name: str, path: Path) -> None:
        self.name, self._path = name, path
        self._size = path.stat().st_size
        with path.open("rb") as stream:
            self._header = _read_header(stream, name, self._size)
            self.start_ns = self._header.start_ns
            first = next(self._scan(stream, self._header.bytes), None)
            if first is None:
                raise UnreadableRecordingError(
                    name, "no_messages", value="no CAN frame", limit="CAN frames", remedy=UPLOAD_AGAIN
                )
            last = self._last_ns(stream)
        self.extent_ns = int(first[0].min()), max(int(first[0].max()), last)

    def _scan(self, stream: BinaryIO, start: int) -> Iterator[Frames]:
        walk = _Walk(stream, self._size, Losses(self.name))
        return _frames(walk.pieces(start), self.start_ns or 0, Census())

    def _last_ns(self, stream: BinaryIO) -> int:
        """Last time stamp, from the containers at the end; from ever more of them where those hold no frame."""
        reach = _SEARCH_BYTES
        while True:
            start = max(self._header.bytes, self._size - reach)
            highest = max((int(t_ns.max()) for t_ns, _ in self._scan(stream, start)), default=None)
            if highest is not None or start == self._header.bytes:
                return highest or 0
            reach *= 4

    def frames(self, losses: Losses) -> Iterator[Frames]:
        census = Census()
        with self._path.open("rb") as stream:
            walk = _Walk(stream, self._size, losses)
            yield from _frames(walk.pieces(self._header.bytes), self.start_ns or 0, census)
        self._state(census, losses)

    def _state(self, census: Census, losses: Losses) -> None:
        """State what the pass met, against what the header says."""
        if self.start_ns is None:
            losses.add("no_start", "no plausible start in the header. Time stamps count from the measurement's start")
        else:
            losses.add("local_time", "the header's start has no time zone and was read as UTC")
        if census.remote:
            losses.add("remote_frames_left_out", f"{census.remote} remote frames carry no data and are left out")
        if census.others:
            kinds = ", ".join(f"{count} of type {kind}" for kind, count in sorted(census.others.items())[:12])
            losses.add("other_objects_left_out", f"objects that are no CAN data frame are left out: {kinds}")
        if census.damaged_frames:
            why = f"frames whose content contradicts itself. {UPLOAD_AGAIN}"
            losses.add("damaged_frame", why, messages=census.damaged_frames)
        if census.damaged_bytes:
            why = f"bytes (unpacked) that are no object. {UPLOAD_AGAIN}"
            losses.add("damaged_objects", why, lost_bytes=census.damaged_bytes)
        self._state_count(census, losses)

    def _state_count(self, census: Census, losses: Losses) -> None:
        header = self._header
        hurt = any(lost.lost_bytes for lost in losses.by_rule.values())
        if not header.objects and header.file_bytes != self._size:
            losses.add("unfinished_file", "the recorder did not finish the file; objects were counted by reading")
            for lost in losses.by_rule.values():
                lost.messages = None if lost.lost_bytes else lost.messages
            return
        missing = header.objects - census.objects
        if not missing:
            return
        cut = max(0, header.file_bytes - self._size)
        gone = cut + sum(lost.lost_bytes for lost in losses.by_rule.values())
        possible = 0 < missing <= (gone * _HIGHEST_RATIO) // _SMALLEST_OBJECT
        why = f"the header states {header.objects} objects, {census.objects} were read. {UPLOAD_AGAIN}"
        rule = "truncated_file" if cut else "lost_objects" if hurt else "wrong_count"
        losses.add(rule, why, lost_bytes=cut, messages=missing if possible else None)


class BlfRecording(CanLogRecording):
    """One recording of Vector BLF logs.

    The bus is the channel's number. Error and remote frames and all other kinds of objects are left out, which is
    stated. The header counts its objects, so what damage took is known exactly.

    Args:
        files: The drive's files.

    Raises:
        UnreadableRecordingError: When no file holds frames.
    """

    format = FORMAT

    def __init__(self, files: Files) -> None:
        super().__init__(files, _File)
