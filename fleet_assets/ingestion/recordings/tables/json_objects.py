"""JSON objects out of a list of them, or one per line, a block at a time and past damage.

Here belongs where objects begin and end. What their names mean belongs to ``json_points.py``.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO, Final

import numpy as np
import orjson

from fleet_assets.ingestion.recordings.tables.json_even import EvenObjects, even_objects
from fleet_assets.ingestion.recordings.tables.table_rows import Losses
from fleet_assets.ingestion.recordings.tables.text_lines import MAX_LINE_BYTES, UTF8_BOM, line_blocks

_OPEN, _CLOSE = ord("{"), ord("}")
_BETWEEN: Final = re.compile(rb"\}(?=\s*,\s*\{)")
_LAST: Final = re.compile(rb"\}(?=\s*\]\s*$)")
_COMMA: Final = re.compile(rb"\s*,?")
_ENDS: Final = (1 << 12, 1 << 16)
"""How much of a stretch's end is looked at for the end of an object."""
_LEAST_BYTES: Final = 1 << 18
"""Smaller blocks are samples, of which the objects themselves are wanted."""
_SKIP: Final = re.compile(r"[\s,]*")
_NEXT: Final = re.compile(r"(?<=[,\s\[}])\{\s*\"|\n\s*\{")
_DECODER: Final = json.JSONDecoder()
_WINDOWS: Final = (1 << 10, 1 << 14, 1 << 18, 1 << 30)
_TOKEN: Final = 16
"""Longest name or number of JSON that an end of the text may cut in two, its error being before that."""
_DEEP_STEP: Final = 4096
"""How far to step over objects nested so deep that no parser takes them: trying each in turn would take hours."""


@dataclass(frozen=True, slots=True)
class Points:
    """Consecutive points with the bytes that each takes, and number of the first."""

    points: list[Any] | EvenObjects
    size_bytes: int
    first: int


def objects_of(content: bytes) -> list[Any] | None:
    """The objects of a stretch without the list's brackets; None where it is no JSON."""
    listed = b"".join((b"[", content, b"]"))
    try:
        found: list[Any] = orjson.loads(listed)
    except ValueError:
        return _tolerated(listed)
    return found


def _tolerated(content: bytes) -> list[Any] | None:
    """What the strict and fast parser refuses: NaN, other encodings than UTF-8, numbers beyond 64 bits."""
    try:
        found: list[Any] = json.loads(_text(content))
    except (ValueError, RecursionError):
        return None
    return found


def _text(content: bytes) -> str:
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        return content.decode("latin-1")


def _likely_end(content: bytes) -> int:
    """Where the last object of a stretch seems to end, as it does where objects hold no lists of objects; else 0."""
    for size in _ENDS:
        first = max(0, len(content) - size)
        for pattern in (_LAST, _BETWEEN):
            places = [match.end() for match in pattern.finditer(content, first)]
            if places:
                return places[-1]
    return 0


def _balanced_end(content: bytes) -> int:
    """Where the last object of a stretch ends, braces in strings taken for braces; 0 where none does."""
    array = np.frombuffer(content, dtype=np.uint8)
    places = np.flatnonzero((array == _OPEN) | (array == _CLOSE))
    depth = np.cumsum(np.where(array[places] == _OPEN, 1, -1))
    closed = np.flatnonzero(depth == 0)
    return int(places[closed[-1]]) + 1 if len(closed) else 0


class ListReader:
    """Objects of a JSON list front to back; damaged ones are counted and stepped over.

    Args:
        stream: The file, after the list's opening bracket.
        losses: Where damaged objects are counted.
        per_row: Messages that an object gives.
        block_bytes: How much of the file is read at once.
    """

    def __init__(self, stream: BinaryIO, losses: Losses, per_row: int, block_bytes: int) -> None:
        self._stream, self._losses, self._per_row, self._block_bytes = stream, losses, per_row, block_bytes
        self._held, self._number, self._done, self._closed = b"", 1, False, False
        self._is_flat = True
        self._is_even = block_bytes >= _LEAST_BYTES
        self._next, self._step = _NEXT, 1

    def blocks(self) -> Iterator[Points]:
        """The objects, a block at a time."""
        while not self._done:
            read = self._stream.read(self._block_bytes)
            self._done = not read
            self._held += read
            end, points = (0, None) if self._closed else self._whole()
            if points is None or (not end and len(self._held) > MAX_LINE_BYTES):
                yield from self._slowly()
                continue
            self._held = self._held[end:].lstrip()
            if points:
                self._learn(points.first if isinstance(points, EvenObjects) else points[0])
                yield Points(points, end // len(points), self._number)
                self._number += len(points)
            if self._held[:1] == b"]" or self._done:
                yield from self._slowly()

    def _objects(self, content: bytes) -> list[Any] | EvenObjects | None:
        """The objects of a stretch, as columns where they are written alike; once they were not, it is not tried."""
        even = even_objects(content) if self._is_even else None
        self._is_even = even is not None
        return objects_of(content) if even is None else even

    def _whole(self) -> tuple[int, list[Any] | EvenObjects | None]:
        """The objects that are complete, and where they end; None where they are no JSON."""
        comma = _COMMA.match(self._held)
        start = comma.end() if comma else 0
        if self._is_flat and (end := _likely_end(self._held)):
            points = self._objects(self._held[start:end])
            if points is not None:
                return end, points
            self._is_flat = False
        end = _balanced_end(self._held)
        return end, objects_of(self._held[start:end])

    def _slowly(self) -> Iterator[Points]:
        """Object by object, as far as what is held goes."""
        text = self._held.decode("latin-1")  # one character per byte
        place = 0
        found: list[Any] = []
        first = self._number
        while True:
            place = self._skip(text, place)
            if place >= len(text):
                break
            end, point = self._one(text, place)
            if point is None:
                if not self._done and len(text) - place < MAX_LINE_BYTES:
                    break  # perhaps it only is not complete yet
                end = self._damaged(text, place)
            else:
                self._learn(point)
                found.append(point)
                self._number += 1
            place = end
        if found:
            yield Points(found, max(place // len(found), 1), first)
        self._held = self._held[place:]

    def _skip(self, text: str, place: int) -> int:
        match = _SKIP.match(text, place)
        place = match.end() if match else place
        if text[place : place + 1] == "]" and not text[place + 1 :].strip() and not self._closed:
            self._closed = True
            return len(text)
        return place

    def _one(self, text: str, place: int) -> tuple[int, Any]:
        if text[place] != "{":
            return place, None
        point, end = None, place
        # In steps: an error costs the parser a look at all the text that it was given.
        for window in _WINDOWS:
            part = text[place : place + window]
            try:
                point, size = _DECODER.raw_decode(part)
            except json.JSONDecodeError as error:
                self._step = 1
                cut = error.pos > len(part) - _TOKEN or error.msg.startswith("Unterminated")
                if cut and len(part) == window:
                    continue
                return place, None
            except (ValueError, RecursionError):
                self._step = _DEEP_STEP
                return place, None
            end = place + size
            break
        if not text[place:end].isascii():
            exact = objects_of(text[place:end].encode("latin-1"))
            point = exact[0] if exact else point
        return end, point

    def _learn(self, point: Any) -> None:
        """After damage, what begins as the points so far do is the next point, and no object inside of one."""
        name = next(iter(point), None) if isinstance(point, dict) else None
        if self._next is _NEXT and name and name.isascii():
            self._next = re.compile(r"\{\s*" + re.escape(json.dumps(name)) + r"\s*:")

    def _damaged(self, text: str, place: int) -> int:
        match = self._next.search(text, place + self._step)
        end = text.index("{", match.start()) if match else len(text)
        cut = self._done and not match
        rule, words = ("truncated_file", "the file ends inside of a point") if cut else ("damaged_point", "no JSON")
        is_point = text[place] == "{" or '"' in text[place:end]
        messages = self._per_row if is_point else 0
        self._losses.add(rule, words, self._number, messages=messages, lost_bytes=end - place)
        self._number += is_point
        return end

    def finish(self) -> None:
        """State that the list's end is missing, unless something else says so."""
        if not self._closed:
            self._losses.add("truncated_file", "the list has no end", self._number, messages=0, lost_bytes=0)


def line_points(stream: BinaryIO, losses: Losses, per_row: int) -> Iterator[Points]:
    """Objects one per line; damaged lines are counted."""
    start = len(UTF8_BOM) if stream.read(len(UTF8_BOM)) == UTF8_BOM else 0
    for block in line_blocks(stream, start):
        if block.too_long:
            words = f"{block.too_long} bytes without a line end"
            losses.add("line_too_long", words, block.first_line, messages=per_row, lost_bytes=block.too_long)
            continue
        lines = [
            (number, line) for number, line in enumerate(block.content.split(b"\n"), block.first_line) if line.strip()
        ]
        joined = b",".join(line for _, line in lines)
        points: list[Any] | EvenObjects | None = objects_of(joined)
        if points is None or len(points) != len(lines):
            found: list[Any] = []
            for number, line in lines:
                one = objects_of(line)
                if one is not None and len(one) == 1:
                    found += one
                else:
                    losses.add("damaged_point", "no JSON object", number, messages=per_row, lost_bytes=len(line) + 1)
            points = found
        if points:
            yield Points(points, len(block.content) // len(points), block.first_line)
