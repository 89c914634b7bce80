"""Boxes of ISO base media files (MP4, MOV): finding them, damaged files included, in bounded memory.

Layout: ISO/IEC 14496-12, clause 4.2; MOV: https://developer.apple.com/documentation/quicktime-file-format/atoms. Here
belongs where boxes begin and end. What track and sample boxes mean is read by `bmff_tracks.py` and `bmff_samples.py`.
"""

import os
import re
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

FIRST_BOXES: Final = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot", b"styp", b"moof", b"sidx")
_TOP_BOXES: Final = frozenset({*FIRST_BOXES, b"mfra", b"meta", b"uuid", b"udta", b"prft", b"emsg", b"ssix", b"pdin"})
INSIDE_MOOV: Final = (b"mvhd", b"trak", b"mvex", b"udta", b"iods", b"meta")
# The first child of an index or of a fragment, whose sizes never change: a damaged name of the parent does not matter.
_INDEX_MARK: Final = re.compile(rb"\0\0\0(?:[\x6c\x78]mvhd|\x10mfhd)")
_INDEX_REACH: Final = 8
_KINDS_BY_FIRST: Final = {b"mvhd": b"moov", b"mfhd": b"moof"}
_PIECES: Final = (b"moof", b"mdat")
"""Outermost boxes of which a recording may have very many."""
_PLAIN_HEAD: Final = struct.Struct(">I4s4x4s")
_HEAD: Final = 8
_LARGE_HEAD: Final = 16
_BLOCK: Final = 1 << 20
_NEAR: Final = 1 << 11
_FARTHEST: Final = 1 << 16
"""What is read around a header at most: blocks grow while the next header lies right behind the last block."""
_PRINTABLE: Final = re.compile(rb"[ -~\xa9][ -~]{3}")


class Source:
    """A file read by position; reading beyond its end gives less."""

    def __init__(self, path: Path, name: str) -> None:
        self.name = name
        self._file = os.open(path, os.O_RDONLY)
        self.size = os.fstat(self._file).st_size
        self._near_at, self._near = 0, b""
        self._near_bytes = _NEAR

    def read(self, at: int, size: int) -> bytes:
        """Read up to ``size`` bytes at a position."""
        wanted = min(size, self.size - at)
        if wanted <= 0 or at < 0:
            return b""
        parts = []
        while wanted > 0 and (part := os.pread(self._file, wanted, at)):
            parts.append(part)
            at, wanted = at + len(part), wanted - len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def near(self, at: int, size: int) -> bytes:
        """Read a few bytes of a header; its neighbours, which are asked for next, come with the same block."""
        start = at - self._near_at
        if start < 0 or start + size > len(self._near):
            follows = 0 <= start <= len(self._near) + self._near_bytes // 4
            self._near_bytes = min(2 * self._near_bytes, _FARTHEST) if follows else _NEAR
            self._near_at, self._near, start = at, self.read(at, max(self._near_bytes, size)), 0
        return self._near[start : start + size]

    def close(self) -> None:
        """Release the file; a second call does nothing."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


@dataclass(frozen=True, slots=True)
class Box:
    """One box.

    Attributes:
        kind: Four-character type.
        start: Position of its header.
        body: Position of its content.
        end: Position behind it, at most the end of what holds it.
        short: Bytes that it states and that are not there.
    """

    kind: bytes
    start: int
    body: int
    end: int
    short: int = 0


def is_bmff(head: bytes) -> bool:
    """Whether a file begins with a box that ISO base media files begin with."""
    size = int.from_bytes(head[:4], "big")
    return head[4:8] in FIRST_BOXES and (size >= _HEAD or size in (0, 1))


def box_at(source: Source, at: int, end: int, *, nested: bool = False) -> Box | None:
    """Read the header at a position; None where no box can begin. Only outermost boxes may reach to the file's end."""
    head = source.near(at, min(_LARGE_HEAD, end - at))
    if len(head) < _HEAD or not _PRINTABLE.fullmatch(head[4:8]):
        return None
    size, body = int.from_bytes(head[:4], "big"), at + _HEAD
    if size == 1:
        if len(head) < _LARGE_HEAD:
            return None
        size, body = int.from_bytes(head[8:16], "big"), at + _LARGE_HEAD
    elif size == 0 and not nested:
        size = end - at
    if size < body - at:
        return None
    return Box(head[4:8], at, body, min(at + size, end), max(0, at + size - end))


def _find(source: Source, mark: re.Pattern[bytes], at: int, end: int) -> int | None:
    """Position of the first match of a mark that is not longer than `_INDEX_REACH` with what it looks ahead at."""
    while at < end:
        block = source.read(at, min(_BLOCK, end - at))
        if match := mark.search(block):
            return at + match.start()
        if len(block) < _BLOCK:
            return None
        at += len(block) - _INDEX_REACH
    return None


def children(source: Source, start: int, end: int, kinds: Sequence[bytes], problems: list[str]) -> Iterator[Box]:
    """Walk the boxes inside a box.

    Where a header makes no sense, or a box reaches beyond its parent, the walk goes on at the next box of a known kind.

    Args:
        source: The file.
        start: First byte of the content.
        end: Byte behind it.
        kinds: Kinds of boxes that are expected here.
        problems: Takes a sentence for every damage.
    """
    at = start
    while at + _HEAD <= end:
        box = box_at(source, at, end, nested=True)
        if box is not None and not box.short:
            yield box
            at = box.end
            continue
        problems.append(f"no whole box at byte {at}")
        known = box is not None and box.kind in kinds
        mark = re.compile(b"|".join(map(re.escape, kinds)))
        found = _find(source, mark, at + _HEAD if known else at + 5, end)
        following = end if found is None else found - 4
        if known and box is not None:
            yield Box(box.kind, box.start, box.body, following)
        if found is None:
            return
        at = following


def begins_with(source: Source, box: Box, kind: bytes) -> bool:
    """Whether the first box inside a box is of a kind: tells what a box is whose own name is damaged."""
    return source.near(box.body + 4, 4) == kind


@dataclass(frozen=True, slots=True)
class TopLevel:
    """What a file consists of.

    Attributes:
        moov: The index, or None.
        fragments: Movie fragments in file order.
        problems: A sentence for every damage.
        short: Bytes that the last box states beyond the end of the file.
        has_end: Whether the list of fragments is there that writers put at the end.
    """

    moov: Box | None
    fragments: tuple[Box, ...]
    problems: tuple[str, ...]
    short: int
    has_end: bool


class _Walk:
    """One walk along the top-level boxes, with what it found."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.problems: list[str] = []
        self.found: list[Box] = []
        self.short = 0

    def run(self) -> None:
        at = 0
        near, size = self.source.near, self.source.size
        while at + _HEAD <= size:
            head = near(at, _LARGE_HEAD)
            length, kind, first = _PLAIN_HEAD.unpack(head) if len(head) == _LARGE_HEAD else (0, b"", b"")
            if kind in _PIECES and _LARGE_HEAD <= length <= size - at and _KINDS_BY_FIRST.get(first, kind) == kind:
                self.found.append(Box(kind, at, at + _HEAD, at + length))
                at += length
                continue
            box = box_at(self.source, at, size)
            if box is not None and not box.short:
                self._take(box)
                at = box.end
                continue
            if box is not None and box.kind in _TOP_BOXES:
                if box.kind != b"mdat":
                    name = box.kind.decode("latin-1")
                    self.problems.append(f"the box {name!r} at byte {at} ends {box.short} bytes beyond the file")
                self.found.append(box)
                self.short = box.short
                # Either the file was cut off or the size is wrong: an index may lie inside what the box claims.
                at = self._search(box.body + (_INDEX_REACH if box.kind in (b"moov", b"moof") else 0))
            else:
                self.problems.append(f"no box at byte {at}")
                at = self._search(at)
        if not any(box.kind in (b"moov", b"moof") for box in self.found):
            self._search(0)

    def _take(self, box: Box) -> None:
        kind = _KINDS_BY_FIRST.get(self.source.near(box.body + 4, 4), box.kind)
        if box.kind != kind:
            self.problems.append(f"the index at byte {box.start} has a damaged name")
            box = replace(box, kind=kind)
        last = self.found[-1] if self.found else None
        if box.kind in INSIDE_MOOV and last is not None and last.kind == b"moov":
            self.problems.append(f"the index at byte {last.start} ends before its parts do")
            self.found[-1] = replace(last, end=box.end)
        else:
            self.found.append(box)

    def _search(self, at: int) -> int:
        """Take the next index or fragment from a position on; gives where to go on."""
        place = _find(self.source, _INDEX_MARK, max(at, _HEAD), self.source.size)
        if place is None:
            return self.source.size
        start = place - _HEAD
        kind = b"moov" if self.source.read(place + 4, 4) == b"mvhd" else b"moof"
        box = box_at(self.source, start, self.source.size)
        end = box.end if box is not None and box.end > place else self.source.size
        self.problems.append(f"an index was found by search at byte {start}")
        if self.found and self.found[-1].end > start >= self.found[-1].body:
            self.found[-1] = replace(self.found[-1], end=start)
        self.found.append(Box(kind, start, place, end))
        self.short = 0
        return end


def read_top_level(source: Source) -> TopLevel:
    """Find the index and the fragments; where the chain of boxes breaks, the rest of the file is searched for them."""
    walk = _Walk(source)
    walk.run()
    moov = next((box for box in walk.found if box.kind == b"moov"), None)
    fragments = tuple(box for box in walk.found if box.kind == b"moof")
    has_end = any(box.kind == b"mfra" for box in walk.found)
    return TopLevel(moov, fragments, tuple(walk.problems), walk.short, has_end)
