"""Reader of JSON point lists: a list of objects, or one object per line; each object is one message or several.

Nested objects flatten to dotted names; lists inside a point make no column. What the names mean is said by the vehicle
spec's table layout.
"""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np

from fleet_assets.ingestion.recordings.protocol import Files, Loss, UnreadableRecordingError
from fleet_assets.ingestion.recordings.tables.table_rows import Losses, RowReader, Rows
from fleet_assets.ingestion.recordings.tables.text_cells import column_of
from fleet_assets.ingestion.recordings.tables.text_lines import (
    BLOCK_BYTES,
    MAX_LINE_BYTES,
    UTF8_BOM,
    is_wide_text,
    line_blocks,
)
from fleet_assets.ingestion.recordings.tables.text_recording import Messages, TextRecording, open_all, required_table
from fleet_assets.policy.table_layouts import TableLayout

FORMAT: Final = "json_points"
_EXPORT_AGAIN: Final = "Export the points again, as UTF-8 JSON: a list of objects, or one object per line."
_OPEN, _CLOSE = ord("{"), ord("}")
_BEGINS: Final = re.compile(rb'^\s*(?:\[\s*)?\{\s*(?:"|\}|$)')
_SKIP: Final = re.compile(r"[\s,]*")
_NEXT: Final = re.compile(r"(?<=[,\s\[}])\{\s*\"|\n\s*\{")
_DECODER: Final = json.JSONDecoder()
_WINDOWS: Final = (1 << 10, 1 << 14, 1 << 18, 1 << 30)
_TOKEN: Final = 16
"""Longest name or number of JSON that an end of the text may cut in two, its error being before that."""
_MAX_DEPTH: Final = 5
_DEEP_STEP: Final = 4096
"""How far to step over objects nested so deep that no parser takes them: trying each in turn would take hours."""
_SAMPLE_ROWS: Final = 100
_MAX_COLUMNS: Final = 5000


def is_json_points(head: bytes) -> bool:
    """Whether a file begins as a list of JSON objects, or as a JSON object, does."""
    return bool(_BEGINS.match(head.removeprefix(UTF8_BOM)))


@dataclass(frozen=True, slots=True)
class _Points:
    """Consecutive points with the bytes that each takes, and number of the first."""

    points: list[Any]
    size_bytes: int
    first: int


def _loads(text: str) -> list[Any] | None:
    """The objects of a stretch without the list's brackets; None where it is no JSON."""
    try:
        found: list[Any] = json.loads(f"[{text}]")
    except (ValueError, RecursionError):
        return None
    return found


def _text(content: bytes) -> str:
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        return content.decode("latin-1")


def _balanced_end(content: bytes) -> int:
    """Where the last object of a stretch ends, braces in strings taken for braces; 0 where none does."""
    array = np.frombuffer(content, dtype=np.uint8)
    places = np.flatnonzero((array == _OPEN) | (array == _CLOSE))
    depth = np.cumsum(np.where(array[places] == _OPEN, 1, -1))
    closed = np.flatnonzero(depth == 0)
    return int(places[closed[-1]]) + 1 if len(closed) else 0


class _ListReader:
    """Objects of a JSON list front to back; damaged ones are counted and stepped over.

    Args:
        stream: The file, after the list's opening bracket.
        losses: Where damaged objects are counted.
        per_row: Messages that an object gives.
    """

    def __init__(self, stream: BinaryIO, losses: Losses, per_row: int) -> None:
        self._stream, self._losses, self._per_row = stream, losses, per_row
        self._held, self._number, self._done, self._closed = b"", 1, False, False
        self._next, self._step = _NEXT, 1

    def blocks(self) -> Iterator[_Points]:
        while not self._done:
            read = self._stream.read(BLOCK_BYTES)
            self._done = not read
            self._held += read
            end = _balanced_end(self._held)
            points = None if self._closed else _loads(_text(self._held[:end]).lstrip().removeprefix(","))
            if points is None or (not end and len(self._held) > MAX_LINE_BYTES):
                yield from self._slowly()
                continue
            self._held = self._held[end:].lstrip()
            if points:
                self._learn(points[0])
                yield _Points(points, end // len(points), self._number)
                self._number += len(points)
            if self._held[:1] == b"]" or self._done:
                yield from self._slowly()

    def _slowly(self) -> Iterator[_Points]:
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
            yield _Points(found, max(place // len(found), 1), first)
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
            exact = _loads(_text(text[place:end].encode("latin-1")))
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


def _line_points(stream: BinaryIO, losses: Losses, per_row: int) -> Iterator[_Points]:
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
        points = _loads(_text(b",".join(line for _, line in lines)))
        if points is None or len(points) != len(lines):
            points = []
            for number, line in lines:
                one = _loads(_text(line))
                if one is not None and len(one) == 1:
                    points += one
                else:
                    losses.add("damaged_point", "no JSON object", number, messages=per_row, lost_bytes=len(line) + 1)
        if points:
            yield _Points(points, len(block.content) // len(points), block.first_line)


def _names(point: Any, prefix: str = "", depth: int = 0) -> Iterator[str]:
    for name, value in point.items():
        if isinstance(value, dict) and depth < _MAX_DEPTH:
            yield from _names(value, f"{prefix}{name}.", depth + 1)
        elif not isinstance(value, list):
            yield prefix + name


def _cell(point: Any, path: Sequence[str]) -> Any:
    for name in path:
        if not isinstance(point, dict):
            return None
        point = point.get(name)
    return point


def _column(points: Sequence[Any], name: str) -> Any:
    cells = [point.get(name) for point in points]
    if "." in name and all(cell is None for cell in cells):
        path = name.split(".")
        cells = [_cell(point, path) for point in points]
    return column_of(cells)


class _JsonFile:
    """One point list, opened."""

    def __init__(self, name: str, path: Path, table: TableLayout) -> None:
        self.name, self._path, self._table = name, path, table
        self._losses = Losses(name, table.channel, "point")
        self._kept: list[Messages] | None = None
        self._is_list = self._begins_as_list()
        sample = self._first()
        known = self._sampled_names(sample)
        self._reader = RowReader(name, table, known, lambda: self._rows(sample, known, self._losses))
        self.fields = self._reader.fields
        self.extent_ns = self._extent()

    def _begins_as_list(self) -> bool:
        with self._path.open("rb") as stream:
            head = stream.read(1 << 16)
        if is_wide_text(head):
            raise UnreadableRecordingError(self.name, "wrong_encoding", value="UTF-16 text", remedy=_EXPORT_AGAIN)
        return head.removeprefix(UTF8_BOM).lstrip()[:1] == b"["

    def _blocks(self, losses: Losses, per_row: int = 1) -> Iterator[_Points]:
        with self._path.open("rb") as stream:
            if not self._is_list:
                yield from _line_points(stream, losses, per_row)
                return
            head = stream.read(1 << 16)
            stream.seek(head.index(b"[") + 1)
            reader = _ListReader(stream, losses, per_row)
            yield from reader.blocks()
            reader.finish()

    def _first(self) -> _Points:
        losses = Losses(self.name, self._table.channel, "point")
        for block in self._blocks(losses):
            points = [point for point in block.points if isinstance(point, dict)][:_SAMPLE_ROWS]
            if points:
                return _Points(points, block.size_bytes, block.first)
        told = "; ".join(loss.reason for loss in losses.told()) or "no object"
        raise UnreadableRecordingError(
            self.name,
            "no_messages",
            value=told,
            limit="a list of objects, or one object per line",
            remedy=_EXPORT_AGAIN,
        )

    def _sampled_names(self, sample: _Points) -> list[str]:
        names = dict.fromkeys(name for point in sample.points for name in _names(point))
        if len(names) > _MAX_COLUMNS:
            found = f"more than {_MAX_COLUMNS} names"
            raise UnreadableRecordingError(self.name, "too_many_columns", value=found, remedy=_EXPORT_AGAIN)
        return list(names)

    def _rows(self, block: _Points, columns: Sequence[str], losses: Losses) -> Rows:
        points = block.points
        numbers = block.first + np.arange(len(points), dtype=np.int64)
        objects = [isinstance(point, dict) for point in points]
        if not all(objects):
            for number in np.flatnonzero(~np.array(objects)).tolist():
                per_row = len(self._table.points)
                losses.add(
                    "not_an_object",
                    f"a {type(points[number]).__name__}",
                    block.first + number,
                    messages=per_row,
                    lost_bytes=block.size_bytes,
                )
            points = [point for point in points if isinstance(point, dict)]
            numbers = numbers[np.array(objects)]
        sizes = np.full(len(points), block.size_bytes, dtype=np.int64)
        return Rows({name: _column(points, name) for name in columns}, sizes, numbers)

    def _extent(self) -> tuple[int, int]:
        """First and last time stamp. A small file is read at once, and what it gave is kept for the first pass."""
        if self._path.stat().st_size <= BLOCK_BYTES:
            self._kept = list(self._read())
            spans = [(int(t_ns.min()), int(t_ns.max())) for t_ns, _ in self._kept if len(t_ns)]
        else:
            spans = [span for span in (self._span(edges=True) or self._span(edges=False),) if span]
        if not spans:
            told = "; ".join(loss.reason for loss in self._losses.told()) or "no point"
            raise UnreadableRecordingError(
                self.name, "no_messages", value=told, remedy="Correct `table` in the vehicle spec, or the points."
            )
        return min(low for low, _ in spans), max(high for _, high in spans)

    def _span(self, *, edges: bool) -> tuple[int, int] | None:
        reader, losses = self._reader.anew(), Losses(self.name, self._table.channel, "point")
        low: list[int] = []
        high: list[int] = []
        for block in self._edges() if edges else self._blocks(losses):
            t_ns = reader.times(self._rows(block, reader.time_columns, losses))
            if len(t_ns):
                low, high = [min([*low, int(t_ns.min())])], [max([*high, int(t_ns.max())])]
        return (low[0], high[0]) if low else None

    def _edges(self) -> Iterator[_Points]:
        """The first block, and what can be read of the last bytes; nothing where the last bytes cannot be read."""
        with self._path.open("rb") as stream:
            stream.seek(-BLOCK_BYTES, 2)
            tail = stream.read()
        lines = tail.split(b"\n")[1:] if not self._is_list else []
        text = b",".join(line for line in lines if line.strip()) if lines else tail
        begin = re.search(rb"\}\s*,\s*(?=\{)", text)
        end = text.rfind(b"}") + 1
        points = _loads(_text(text[begin.end() : end])) if begin is not None else None
        if points:
            yield next(self._blocks(Losses("", "", "")))
            yield _Points(points, 1, 0)

    def _read(self) -> Iterator[Messages]:
        self._losses.clear()
        reader = self._reader.anew()
        for block in self._blocks(self._losses, reader.messages_per_row):
            rows = self._rows(block, reader.columns, self._losses)
            if len(rows):
                yield reader.read(rows, self._losses)
        if reader.ambiguous:
            words = "local times in the hour that occurs twice when clocks go back"
            self._losses.add("ambiguous_time", words, 0, messages=0, lost_bytes=0)

    def messages(self) -> Iterator[Messages]:
        """Time stamps and columns, front to back."""
        kept, self._kept = self._kept, None
        yield from self._read() if kept is None else kept

    def losses(self) -> tuple[Loss, ...]:
        """What the last pass lost."""
        return self._losses.told()


class JsonPointsRecording(TextRecording):
    """One point list, or several of one layout.

    Args:
        files: The drive's files.
        table: The layout that the vehicle spec states.

    Raises:
        UnreadableRecordingError: Without a layout, when a name of it is missing, or when no point has a time.
    """

    format = FORMAT

    def __init__(self, files: Files, table: TableLayout | None) -> None:
        layout = required_table(files, table, "names")
        opened, losses = open_all(files, layout.channel, lambda name, path: _JsonFile(name, path, layout))
        super().__init__(layout.channel, opened, losses)
