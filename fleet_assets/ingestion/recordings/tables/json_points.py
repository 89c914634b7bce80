"""Reader of JSON point lists: a list of objects, or one object per line; each object is one message or several.

Nested objects flatten to dotted names; lists inside a point make no column. What the names mean is said by the vehicle
spec's table layout.
"""

import re
from collections.abc import Iterator, Sequence
from itertools import islice
from operator import itemgetter
from pathlib import Path
from typing import Any, Final

import numpy as np

from fleet_assets.ingestion.recordings.protocol import Files, Loss, UnreadableRecordingError
from fleet_assets.ingestion.recordings.tables.json_even import EvenObjects
from fleet_assets.ingestion.recordings.tables.json_objects import ListReader, Points, line_points, objects_of
from fleet_assets.ingestion.recordings.tables.table_rows import Losses, RowReader, Rows
from fleet_assets.ingestion.recordings.tables.text_cells import column_of
from fleet_assets.ingestion.recordings.tables.text_lines import BLOCK_BYTES, UTF8_BOM, is_wide_text
from fleet_assets.ingestion.recordings.tables.text_recording import (
    EXACT_EXTENT_BYTES,
    Messages,
    TextRecording,
    open_all,
    required_table,
)
from fleet_assets.policy.table_layouts import TableLayout

FORMAT: Final = "json_points"
_EXPORT_AGAIN: Final = "Export the points again, as UTF-8 JSON: a list of objects, or one object per line."
_BEGINS: Final = re.compile(rb'^\s*(?:\[\s*)?\{\s*(?:"|\}|$)')
_MAX_DEPTH: Final = 5
_SAMPLE_ROWS: Final = 100
_SAMPLE_BYTES: Final = 1 << 16
_MAX_KEPT: Final = 1 << 22
"""Values of a small file that are kept for the first pass."""
_MAX_COLUMNS: Final = 5000


def is_json_points(head: bytes) -> bool:
    """Whether a file begins as a list of JSON objects, or as a JSON object, does."""
    return bool(_BEGINS.match(head.removeprefix(UTF8_BOM)))


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
    try:
        cells = list(map(itemgetter(name), points))
    except KeyError:
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

    def _blocks(self, losses: Losses, per_row: int = 1, block_bytes: int = BLOCK_BYTES) -> Iterator[Points]:
        with self._path.open("rb") as stream:
            if not self._is_list:
                yield from line_points(stream, losses, per_row)
                return
            head = stream.read(1 << 16)
            stream.seek(head.index(b"[") + 1)
            reader = ListReader(stream, losses, per_row, block_bytes)
            yield from reader.blocks()
            reader.finish()

    def _first(self) -> Points:
        losses = Losses(self.name, self._table.channel, "point")
        beginning = islice(self._blocks(losses, block_bytes=_SAMPLE_BYTES), 1)
        sample = self._sample(beginning, _SAMPLE_ROWS)
        if sample is None:
            losses.clear()
            sample = self._sample(self._blocks(losses), 1)
        if sample is not None:
            return sample
        told = "; ".join(loss.reason for loss in losses.told()) or "no object"
        raise UnreadableRecordingError(
            self.name,
            "no_messages",
            value=told,
            limit="a list of objects, or one object per line",
            remedy=_EXPORT_AGAIN,
        )

    @staticmethod
    def _sample(blocks: Iterator[Points], least: int) -> Points | None:
        """The first objects, at least so many in one block; None where there are none."""
        for block in blocks:
            found = [block.points.first] if isinstance(block.points, EvenObjects) else block.points
            points = [point for point in found if isinstance(point, dict)][:_SAMPLE_ROWS]
            if len(points) >= least:
                return Points(points, block.size_bytes, block.first)
        return None

    def _sampled_names(self, sample: Points) -> list[str]:
        points = sample.points if isinstance(sample.points, list) else [sample.points.first]
        names = dict.fromkeys(name for point in points for name in _names(point))
        if len(names) > _MAX_COLUMNS:
            found = f"more than {_MAX_COLUMNS} names"
            raise UnreadableRecordingError(self.name, "too_many_columns", value=found, remedy=_EXPORT_AGAIN)
        return list(names)

    def _rows(self, block: Points, columns: Sequence[str], losses: Losses) -> Rows:
        points = block.points
        numbers = block.first + np.arange(len(points), dtype=np.int64)
        sizes = np.full(len(points), block.size_bytes, dtype=np.int64)
        if isinstance(points, EvenObjects):
            return Rows({name: points.column(name) for name in columns}, sizes, numbers)
        if set(map(type, points)) != {dict}:
            objects = [isinstance(point, dict) for point in points]
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
            numbers, sizes = numbers[np.array(objects)], sizes[np.array(objects)]
        return Rows({name: _column(points, name) for name in columns}, sizes, numbers)

    def _extent(self) -> tuple[int, int]:
        """First and last time stamp. A small file is read at once, and what it gave is kept for the first pass."""
        if self._path.stat().st_size <= EXACT_EXTENT_BYTES:
            spans = self._read_once()
        else:
            spans = [span for span in (self._span(edges=True) or self._span(edges=False),) if span]
        if not spans:
            told = "; ".join(loss.reason for loss in self._losses.told()) or "no point"
            raise UnreadableRecordingError(
                self.name, "no_messages", value=told, remedy="Correct `table` in the vehicle spec, or the points."
            )
        return min(low for low, _ in spans), max(high for _, high in spans)

    def _read_once(self) -> list[tuple[int, int]]:
        """Span of each block; their messages are kept, unless they grow much larger than the file."""
        kept: list[Messages] | None = []
        spans, values = [], 0
        for t_ns, columns in self._read():
            if len(t_ns):
                spans.append((int(t_ns.min()), int(t_ns.max())))
            values += len(t_ns) * (1 + len(columns))
            kept = kept if values <= _MAX_KEPT else None
            if kept is not None:
                kept.append((t_ns, columns))
        self._kept = kept
        return spans

    def _span(self, *, edges: bool) -> tuple[int, int] | None:
        reader, losses = self._reader.anew(), Losses(self.name, self._table.channel, "point")
        low: list[int] = []
        high: list[int] = []
        for block in self._edges() if edges else self._blocks(losses):
            t_ns = reader.times(self._rows(block, reader.time_columns, losses))
            if len(t_ns):
                low, high = [min([*low, int(t_ns.min())])], [max([*high, int(t_ns.max())])]
        return (low[0], high[0]) if low else None

    def _edges(self) -> Iterator[Points]:
        """The first block, and what can be read of the last bytes; nothing where the last bytes cannot be read."""
        with self._path.open("rb") as stream:
            stream.seek(-BLOCK_BYTES, 2)
            tail = stream.read()
        lines = tail.split(b"\n")[1:] if not self._is_list else []
        text = b",".join(line for line in lines if line.strip()) if lines else tail
        begin = re.search(rb"\}\s*,\s*(?=\{)", text)
        end = text.rfind(b"}") + 1
        points = objects_of(text[begin.end() : end]) if begin is not None else None
        if points:
            yield next(self._blocks(Losses("", "", "")))
            yield Points(points, 1, 0)

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
