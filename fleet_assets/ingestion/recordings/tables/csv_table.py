"""Reader of tables of comma-separated values (RFC 4180 and its relatives), each row one message or several.

A line is a row: cells that span lines, which the RFC allows, are two lost rows here, so that one stray quotation mark
never swallows the rest of a file. Comma, semicolon, tabulator and vertical bar separate cells; UTF-8 (with or without
a byte order mark) and Windows-1252 are read. What the columns mean is said by the vehicle spec's table layout.
"""

import csv
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np
from numpy.typing import NDArray

from fleet_assets.ingestion.recordings.protocol import Files, Loss, UnreadableRecordingError
from fleet_assets.ingestion.recordings.tables.table_rows import Losses, RowReader, Rows
from fleet_assets.ingestion.recordings.tables.text_lines import UTF8_BOM, LineBlock, is_wide_text, line_blocks
from fleet_assets.ingestion.recordings.tables.text_recording import (
    EDGE_BYTES,
    EXACT_EXTENT_BYTES,
    Messages,
    TextRecording,
    open_all,
    required_table,
)
from fleet_assets.policy.table_layouts import TableLayout

FORMAT: Final = "csv"
_DELIMITERS: Final = (b",", b";", b"\t", b"|")
_LINE_FEED, _RETURN, _QUOTE = 10, 13, 34
_MAX_COLUMNS: Final = 5000
_SNIFFED_LINES: Final = 20
_SAMPLE_BYTES: Final = 1 << 16
_EXPORT_AGAIN: Final = "Export the table again, as UTF-8 text with one row per line."
_NUMBER: Final = re.compile(rb'^"?\s*[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?\s*"?$')


def is_csv(head: bytes) -> bool:
    """Whether a file begins as a table does: lines with equally many cells, some of them numbers.

    Args:
        head: First bytes of the file, not all of its last line perhaps.
    """
    text = head.removeprefix(UTF8_BOM)
    lines = text.split(b"\n")
    if len(lines) > 1:  # the last one may be cut off
        lines = lines[:-1]
    lines = [line.rstrip(b"\r") for line in lines if line.strip()][:_SNIFFED_LINES]
    if not lines or lines[0].lstrip()[:1] in (b"<", b"{", b"["):
        return False
    if len(lines) == 1 and len(head) < 4096 and b"\n" not in head and not _numeric(lines[0]):  # noqa: PLR2004
        return False
    return any(_is_regular(lines, delimiter) for delimiter in _DELIMITERS)


def _numeric(line: bytes) -> bool:
    return any(_NUMBER.match(cell) for delimiter in _DELIMITERS for cell in line.split(delimiter))


def _is_regular(lines: Sequence[bytes], delimiter: bytes) -> bool:
    counts = [len(_cells(line, delimiter)) for line in lines]
    usual = max(sorted(set(counts)), key=counts.count)
    numeric = any(_NUMBER.match(cell) for line in lines for cell in line.split(delimiter))
    return usual > 1 and counts.count(usual) * 5 >= len(counts) * 4 and numeric and b"\0" not in lines[0]


def _cells(line: bytes, delimiter: bytes) -> list[str]:
    """Cells of one line; empty where its quotation marks do not match."""
    text = line.decode("latin-1")
    if '"' not in text and "\r" not in text:
        return text.split(delimiter.decode())
    try:
        rows = list(csv.reader([text], delimiter=delimiter.decode(), strict=True))
    except csv.Error:
        return []
    return rows[0] if len(rows) == 1 else []


def _names(line: bytes, delimiter: bytes) -> list[str]:
    """Column names of a header row, each once."""
    names: list[str] = []
    for cell in _cells(line.rstrip(b"\r\n"), delimiter):
        raw = cell.encode("latin-1").strip()
        try:
            name = raw.decode("utf-8")
        except UnicodeDecodeError:
            name = raw.decode("cp1252", "replace")
        base = name = name or f"column{len(names) + 1}"
        seen = 1
        while name in names:
            seen += 1
            name = f"{base}_{seen}"
        names.append(name)
        if len(names) > _MAX_COLUMNS:
            break
    return names


class _Splitter:
    """Splits whole lines into the cells of the columns that are needed."""

    def __init__(self, names: Sequence[str], delimiter: bytes, wanted: Sequence[str]) -> None:
        self._names, self._delimiter, self._wanted = list(names), delimiter, list(wanted)

    def split(self, block: LineBlock, losses: Losses, messages_per_row: int) -> Rows:
        """Rows of a block; lines that are none are counted, empty ones are not rows."""
        buffer = np.frombuffer(block.content, dtype=np.uint8)
        ends = np.flatnonzero(buffer == _LINE_FEED)
        starts = np.concatenate(([0], ends[:-1] + 1))
        separators = np.flatnonzero(buffer == self._delimiter[0])
        bounds = np.searchsorted(separators, np.concatenate(([0], ends)))
        counts = np.diff(bounds) + 1
        filled = ends > starts
        odd = [np.flatnonzero(buffer == _QUOTE)] if b'"' in block.content else []
        if b"\r" in block.content:
            returns = np.flatnonzero(buffer == _RETURN)
            closes = buffer[returns + 1] == _LINE_FEED  # a block ends with a line feed
            closing = np.searchsorted(ends, returns[closes])
            filled[closing[ends[closing] - starts[closing] == 1]] = False
            odd.append(returns[~closes])
        # Lines in which not every separator parts cells, or which the other parser might take for two.
        for line in np.unique(np.searchsorted(ends, np.concatenate(odd))).tolist() if odd else ():
            counts[line] = len(_cells(block.content[starts[line] : ends[line]].rstrip(b"\r"), self._delimiter))
        good = filled & (counts == len(self._names))
        sizes = ends - starts + 1
        for line in np.flatnonzero(filled & ~good).tolist():
            words = f"{counts[line] or 'mismatched'} cells, {len(self._names)} expected"
            losses.add(
                "wrong_cell_count",
                words,
                block.first_line + line,
                messages=messages_per_row,
                lost_bytes=int(sizes[line]),
            )
        content = block.content if good.all() else buffer[np.repeat(good, sizes)].tobytes()
        numbers = block.first_line + np.flatnonzero(good)
        return Rows(self._columns(content, int(good.sum())), sizes[good], numbers)

    def _columns(self, content: bytes, rows: int) -> dict[str, Any]:
        import pyarrow as pa
        from pyarrow import csv as arrow_csv

        if not rows:
            return {name: pa.array([], pa.string()) for name in self._wanted}
        try:
            table = arrow_csv.read_csv(
                pa.BufferReader(content),
                arrow_csv.ReadOptions(use_threads=False, block_size=len(content) + 1, column_names=self._names),
                arrow_csv.ParseOptions(delimiter=self._delimiter.decode()),
                arrow_csv.ConvertOptions(
                    check_utf8=False,
                    column_types=dict.fromkeys(self._wanted, pa.string()),
                    include_columns=self._wanted,
                    strings_can_be_null=False,
                ),
            )
        except pa.ArrowInvalid:
            table = None
        if table is not None and table.num_rows == rows:
            return {name: table[name].combine_chunks() for name in self._wanted}
        # Where the two parsers disagree about a line, the one that decided what a row is has the last word.
        lines = [_cells(line.rstrip(b"\r"), self._delimiter) for line in content.split(b"\n")[:-1]]
        places = {name: self._names.index(name) for name in self._wanted}
        return {
            name: pa.array([line[place].encode("latin-1") for line in lines], pa.binary()).view(pa.string())
            for name, place in places.items()
        }


def _span(times: Iterable[NDArray[np.int64]]) -> tuple[int, int] | None:
    """First and last of all time stamps; None where there are none."""
    ends = [(int(t_ns.min()), int(t_ns.max())) for t_ns in times if len(t_ns)]
    return (min(low for low, _ in ends), max(high for _, high in ends)) if ends else None


class _CsvFile:
    """One table, opened."""

    def __init__(self, name: str, path: Path, table: TableLayout) -> None:
        self.name, self._path, self._table = name, path, table
        self._losses = Losses(name, table.channel, "line")
        self._kept: list[Rows] | None = None
        with path.open("rb") as stream:
            self._read_header(stream)
            self._reader = RowReader(name, table, self._names, lambda: self._sample(stream))
            self.fields = self._reader.fields
            self.extent_ns = self._extent(stream)

    def _read_header(self, stream: BinaryIO) -> None:
        block = next(line_blocks(stream), None)
        content = b"" if block is None else block.content
        if is_wide_text(content):
            raise UnreadableRecordingError(self.name, "wrong_encoding", value="UTF-16 text", remedy=_EXPORT_AGAIN)
        skipped = len(content) - len(content.removeprefix(UTF8_BOM))
        lines = content[skipped:].split(b"\n", 1000)[:-1]
        first = next((number for number, line in enumerate(lines) if line.strip()), None)
        if first is None:
            raise UnreadableRecordingError(self.name, "no_rows", value="no line of text", remedy=_EXPORT_AGAIN)
        self._first_line = 1
        if self._table.columns:
            self._names, self._body = list(self._table.columns), skipped
            self._delimiter = self._fitting_delimiter(lines)
            return
        self._body = skipped + sum(len(line) + 1 for line in lines[: first + 1])
        self._first_line = first + 2
        self._delimiter, self._names = self._header_names(lines[first])
        if len(self._names) > _MAX_COLUMNS:
            found = f"more than {_MAX_COLUMNS} columns"
            raise UnreadableRecordingError(self.name, "too_many_columns", value=found, remedy=_EXPORT_AGAIN)

    def _fitting_delimiter(self, lines: Sequence[bytes]) -> bytes:
        """The separator that gives most of the first lines as many cells as the layout has columns."""

        def fits(delimiter: bytes) -> int:
            return sum(
                len(_cells(line.rstrip(b"\r"), delimiter)) == len(self._names) for line in lines[:_SNIFFED_LINES]
            )

        return max(_DELIMITERS, key=fits)

    def _header_names(self, line: bytes) -> tuple[bytes, list[str]]:
        """The separator whose columns serve the layout; else the one that gives most columns."""
        readings = [(delimiter, _names(line, delimiter)) for delimiter in _DELIMITERS]
        for delimiter, names in readings:
            try:
                RowReader(self.name, self._table, names)
            except UnreadableRecordingError:
                continue
            if len(names) > 1:
                return delimiter, names
        return max(readings, key=lambda reading: len(reading[1]))

    def _blocks(self, stream: BinaryIO, *, edges: bool) -> Iterator[LineBlock]:
        """Blocks of the body, or only those at both ends."""
        if not edges:
            yield from line_blocks(stream, self._body)
            return
        size = self._path.stat().st_size
        yield from line_blocks(stream, self._body, self._body + EDGE_BYTES)
        stream.seek(size - EDGE_BYTES)
        yield from line_blocks(stream, size - EDGE_BYTES + len(stream.readline(EDGE_BYTES)))

    def _sample(self, stream: BinaryIO) -> Rows:
        blocks = chain(line_blocks(stream, self._body, self._body + _SAMPLE_BYTES), line_blocks(stream, self._body))
        for block in (block for block in blocks if block.content):
            rows = _Splitter(self._names, self._delimiter, self._names).split(block, self._fresh_losses(), 1)
            if len(rows):
                return rows
        raise UnreadableRecordingError(self.name, "no_rows", value="no row that can be read", remedy=_EXPORT_AGAIN)

    def _fresh_losses(self) -> Losses:
        return Losses(self.name, self._table.channel, "line")

    def _extent(self, stream: BinaryIO) -> tuple[int, int]:
        """First and last time stamp. A small file is split at once, and its rows are kept for the first pass."""
        if self._path.stat().st_size - self._body <= EXACT_EXTENT_BYTES:
            self._kept = list(self._rows(stream, self._reader, self._losses))
            found = _span(map(self._reader.anew().times, self._kept))
        else:
            found = self._times_between(stream, edges=True) or self._times_between(stream, edges=False)
        if found is None:
            losses = self._fresh_losses()
            reader = self._reader.anew()
            for rows in self._rows(stream, reader, losses):
                reader.read(rows, losses)
            told = "; ".join(loss.reason for loss in losses.told()) or "no row"
            raise UnreadableRecordingError(
                self.name, "no_messages", value=told, remedy="Correct `table` in the vehicle spec, or the table."
            )
        return found

    def _times_between(self, stream: BinaryIO, *, edges: bool) -> tuple[int, int] | None:
        reader = self._reader.anew()
        splitter = _Splitter(self._names, self._delimiter, reader.time_columns)
        blocks = (block for block in self._blocks(stream, edges=edges) if block.content)
        return _span(reader.times(splitter.split(block, self._fresh_losses(), 1)) for block in blocks)

    def _rows(self, stream: BinaryIO, reader: RowReader, losses: Losses) -> Iterator[Rows]:
        splitter = _Splitter(self._names, self._delimiter, reader.columns)
        for block in line_blocks(stream, self._body):
            line = self._first_line - 1 + block.first_line
            if block.too_long:
                words = f"{block.too_long} bytes without a line end"
                per_row = reader.messages_per_row
                losses.add("line_too_long", words, line, messages=per_row, lost_bytes=block.too_long)
                continue
            numbered = LineBlock(block.offset, block.content, line)
            if block.unterminated:
                words = "the file's last line has no line end; its last cell may be cut off"
                losses.add("unterminated_line", words, line, messages=0, lost_bytes=0)
            yield splitter.split(numbered, losses, reader.messages_per_row)

    def _read_rows(self, reader: RowReader) -> Iterator[Rows]:
        self._losses.clear()
        with self._path.open("rb") as stream:
            yield from self._rows(stream, reader, self._losses)

    def messages(self) -> Iterator[Messages]:
        """Time stamps and columns, front to back."""
        kept, self._kept = self._kept, None
        reader = self._reader.anew()
        for rows in self._read_rows(reader) if kept is None else kept:
            if len(rows):
                yield reader.read(rows, self._losses)
        if reader.ambiguous:
            words = "local times in the hour that occurs twice when clocks go back"
            self._losses.add("ambiguous_time", words, 0, messages=0, lost_bytes=0)

    def losses(self) -> tuple[Loss, ...]:
        """What the last pass lost."""
        return self._losses.told()


class CsvRecording(TextRecording):
    """One table, or several of one layout.

    Args:
        files: The drive's files.
        table: The layout that the vehicle spec states.

    Raises:
        UnreadableRecordingError: Without a layout, when a column of it is missing, or when no row has a time.
    """

    format = FORMAT

    def __init__(self, files: Files, table: TableLayout | None) -> None:
        layout = required_table(files, table, "columns")
        opened, losses = open_all(files, layout.channel, lambda name, path: _CsvFile(name, path, layout))
        super().__init__(layout.channel, opened, losses)
