"""Reader of GPX 1.0 and 1.1 tracks (https://www.topografix.com/GPX/1/1/): track points with their times.

Only track points were driven: routes are plans and way points are places, so both stay in the file. Times without an
offset are UTC, as the format says. The XML is streamed; document type declarations, and with them every entity that
a file could define, are refused. After damage reading goes on at the next track point.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Final
from xml.parsers import expat

import numpy as np

from fleet_assets.ingestion.recordings.protocol import Files, Loss, UnreadableRecordingError
from fleet_assets.ingestion.recordings.tables.table_rows import Losses, RowReader, Rows
from fleet_assets.ingestion.recordings.tables.text_recording import (
    EDGE_BYTES,
    EXACT_EXTENT_BYTES,
    Messages,
    TextRecording,
    open_all,
)
from fleet_assets.ingestion.recordings.tables.text_times import TimeReader
from fleet_assets.policy.table_layouts import RowPoint, TableLayout, TimeColumn

FORMAT: Final = "gpx"
CHANNEL: Final = "track"
_POINT: Final = "trkpt"
_TIME: Final = "time"
_PLACE: Final = ("lat", "lon")
_MEASURED: Final = frozenset(
    {"ele", "speed", "course", "magvar", "geoidheight", "sat", "hdop", "vdop", "pdop", "hr", "cad", "atemp"}
)
"""Numbers inside of a track point that become fields; extensions count by their local name."""
_ROOT: Final = b"<gpx><trk><trkseg>"
"""What stands before a track point, for reading on in the middle of a file."""
_OPENING: Final = re.compile(rb"<(?:[\w.-]+:)?trkpt\b")
_CLOSING: Final = re.compile(rb"</(?:[\w.-]+:)?trkpt\b")
_TIMES: Final = re.compile(rb"<(?:[\w.-]+:)?time>\s*([^<>]{4,64}?)\s*</")
_HEAD: Final = re.compile(rb"<(?:[\w.-]+:)?gpx\b")
_FIRST_READ, _LARGEST_READ = 1 << 9, 1 << 16
_MAX_TOKEN_BYTES: Final = 1 << 20
_MAX_DEPTH: Final = 64
_MAX_TEXT: Final = 256
_EXPORT_AGAIN: Final = "Export the track again."


def is_gpx(head: bytes) -> bool:
    """Whether a file begins as a GPX document does."""
    plain = head.replace(b"\0", b"") if head[:2] in (b"\xff\xfe", b"\xfe\xff") else head
    return bool(_HEAD.search(plain)) and plain.lstrip(b"\xef\xbb\xbf\xff\xfe \t\r\n").startswith(b"<")


@dataclass(slots=True)
class _Break:
    """Where and why the XML could not be read on.

    Attributes:
        begin: First byte that is lost: that of the point that was open, else of the fault.
        at: Byte of the fault.
        reason: The parser's words.
        ends: Whether the document merely ends too early.
    """

    begin: int
    at: int
    reason: str
    ends: bool


@dataclass(slots=True)
class _Parser:
    """Track points of one stretch of XML.

    Attributes:
        origin: Place in the file that the parser's first byte has.
    """

    path: str
    origin: int
    points: list[dict[str, str]] = field(default_factory=list)
    _depth: int = 0
    _point: dict[str, str] | None = None
    _begin: int = 0
    _capturing: str | None = None
    _text: str = ""
    _fed: int = 0
    _xml: Any = None

    def __post_init__(self) -> None:
        self._xml = expat.ParserCreate()
        self._xml.StartElementHandler = self._start
        self._xml.EndElementHandler = self._end
        self._xml.CharacterDataHandler = self._characters
        self._xml.StartDoctypeDeclHandler = self._refuse
        self._xml.buffer_text = True

    def feed(self, content: bytes, *, final: bool) -> _Break | None:
        """Parse more; says where it cannot go on."""
        self._fed += len(content)
        try:
            self._xml.Parse(content, final)
        except expat.ExpatError as error:
            # A closing tag that fits no opening one is named by its name; it begins before that.
            astray = error.code == _MISMATCH
            at = self.origin + self._xml.ErrorByteIndex - (len("</") if astray else 0)
            ends = final and self._xml.ErrorByteIndex >= self._fed - _MAX_TEXT and error.code in _ENDINGS
            return self._broken(at, expat.ErrorString(error.code) or "no XML", ends=ends)
        reached = max(self._xml.CurrentByteIndex, 0)
        if self._depth > _MAX_DEPTH:
            return self._broken(self.origin + reached, f"elements nested deeper than {_MAX_DEPTH}", ends=False)
        if self._fed - reached > _MAX_TOKEN_BYTES:
            return self._broken(self.origin + reached, "a tag or text without end", ends=False)
        return None

    def _broken(self, at: int, reason: str, *, ends: bool) -> _Break:
        return _Break(self._begin if self._point is not None else at, at, reason, ends)

    def _refuse(self, *_: object) -> None:
        raise UnreadableRecordingError(
            self.path,
            "document_type",
            value="a document type declaration (<!DOCTYPE), which may define entities",
            limit="GPX without one",
            remedy="Remove the declaration, or export the track again.",
        )

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        local = name.rpartition(":")[2]
        if local == _POINT:
            if self._point is not None:
                # Its end is missing: it is handed on without what makes a point, and counted there.
                self.points.append({})
            self._point, self._begin = attributes, self.origin + self._xml.CurrentByteIndex
        elif self._point is not None and (local == _TIME or local in _MEASURED) and local not in self._point:
            self._capturing, self._text = local, ""

    def _characters(self, text: str) -> None:
        if self._capturing is not None and len(self._text) < _MAX_TEXT:
            self._text += text

    def _end(self, name: str) -> None:
        self._depth -= 1
        if self._point is None:
            return
        local = name.rpartition(":")[2]
        if local == self._capturing:
            self._point[local] = self._text
            self._capturing = None
        elif local == _POINT:
            self.points.append(self._point)
            self._point = None

    def taken(self) -> list[dict[str, str]]:
        """The points since the last call."""
        points, self.points = self.points, []
        return points


_MISMATCH: Final = expat.errors.codes[expat.errors.XML_ERROR_TAG_MISMATCH]
_ENDINGS: Final = frozenset(
    expat.errors.codes[words]
    for words in (
        expat.errors.XML_ERROR_NO_ELEMENTS,
        expat.errors.XML_ERROR_UNCLOSED_TOKEN,
        expat.errors.XML_ERROR_PARTIAL_CHAR,
        expat.errors.XML_ERROR_UNCLOSED_CDATA_SECTION,
    )
)


def _find(stream: BinaryIO, start: int, pattern: re.Pattern[bytes]) -> int | None:
    """Place of the first match at or after an offset."""
    offset, held = start, b""
    stream.seek(start)
    while content := stream.read(_LARGEST_READ):
        held += content
        if match := pattern.search(held):
            return offset + match.start()
        offset, held = offset + max(len(held) - _MAX_TEXT, 0), held[-_MAX_TEXT:]
    return None


def _count(stream: BinaryIO, start: int, end: int) -> int:
    """Track points that a stretch held, by their opening or closing tags."""
    opened = closed = 0
    stream.seek(start)
    held = b""
    left = end - start
    while left > 0 and (content := stream.read(min(_LARGEST_READ, left))):
        left -= len(content)
        held += content
        keep = 0 if left <= 0 else _MAX_TEXT
        cut = len(held) - keep
        opened += sum(match.start() < cut for match in _OPENING.finditer(held))
        closed += sum(match.start() < cut for match in _CLOSING.finditer(held))
        held = held[cut:] if cut > 0 else held
    return max(opened, closed)


def no_point(name: str) -> UnreadableRecordingError:
    """What a document without any track point is."""
    return UnreadableRecordingError(
        name, "no_messages", value="no track point (<trkpt>)", limit="a track", remedy=_EXPORT_AGAIN
    )


class GpxPoints:
    """Track points of one document, with whatever they state.

    Args:
        name: Its name.
        path: Where it lies.
    """

    def __init__(self, name: str, path: Path) -> None:
        self.name, self._path = name, path
        self._losses = Losses(name, CHANNEL, "point")
        self._size = path.stat().st_size

    def points(self, losses: Losses) -> Iterator[list[dict[str, str]]]:
        """Points front to back, some at a time, each with its attributes and numbers as text.

        Args:
            losses: Where to count what cannot be read.
        """
        number, begin = 1, 0
        with self._path.open("rb") as stream:
            while True:
                parser = _Parser(self.name, begin - (len(_ROOT) if begin else 0))
                fault = None
                if begin:
                    parser.feed(_ROOT, final=False)
                for piece in self._fed(stream, begin, parser):
                    fault = piece
                    points = parser.taken()
                    if points:
                        yield points
                    number += len(points)
                if fault is None:
                    return
                begin = self._resumed(stream, fault, number, losses)
                if begin >= self._size:
                    return

    def _fed(self, stream: BinaryIO, begin: int, parser: _Parser) -> Iterator[_Break | None]:
        """Feed a parser from an offset on; yields after each piece and ends with the first fault."""
        stream.seek(begin)
        # Small pieces at first: in a file that is damaged everywhere each fault costs only one of them.
        size = _FIRST_READ if begin else _LARGEST_READ
        while content := stream.read(size):
            fault = parser.feed(content, final=False)
            yield fault
            if fault is not None:
                return
            size = min(size * 2, _LARGEST_READ)
        yield parser.feed(b"", final=True)

    def _resumed(self, stream: BinaryIO, fault: _Break, number: int, losses: Losses) -> int:
        """Count what is lost around a fault; returns where reading goes on, the file's end when nowhere."""
        found = _find(stream, max(fault.at, fault.begin + 1), _OPENING)
        end = self._size if found is None else found
        messages = _count(stream, fault.begin, end)
        rule = "truncated_file" if fault.ends and found is None else "damaged_xml"
        losses.add(rule, f"{fault.reason}, byte {fault.at}", number, messages=messages, lost_bytes=end - fault.begin)
        return end

    def losses(self) -> tuple[Loss, ...]:
        """What the last pass lost."""
        return self._losses.told()


class _GpxFile(GpxPoints):
    """One document, opened."""

    def __init__(self, name: str, path: Path) -> None:
        super().__init__(name, path)
        first = next((points for points in self.points(Losses(name, CHANNEL, "point")) if points), None)
        if first is None:
            raise no_point(name)
        measured = sorted({key for point in first for key in point if key in _MEASURED})
        self.fields = (*_PLACE, *measured)
        fields = {name: name for name in self.fields}
        time = TimeColumn((_TIME,), zone="UTC")
        self._layout = TableLayout(CHANNEL, (), (RowPoint(time, fields),))
        self.extent_ns = self._extent(TimeReader(time))

    def _extent(self, times: TimeReader) -> tuple[int, int]:
        import pyarrow as pa

        found: list[int] = []
        with self._path.open("rb") as stream:
            for content in self._stretches(stream):
                cells = pa.array(_TIMES.findall(content), pa.binary()).view(pa.string())
                t_ns, fits = times.read(cells)
                found = [*found, int(t_ns[fits].min()), int(t_ns[fits].max())] if fits.any() else found
                found = [min(found), max(found)] if found else []
        if not found:  # another encoding, or no times
            spans = [(int(t_ns.min()), int(t_ns.max())) for t_ns, _ in self.messages() if len(t_ns)]
            found = [value for span in spans for value in span]
        if not found:
            raise UnreadableRecordingError(
                self.name,
                "no_time",
                value="track points without any time stamp",
                limit="a time in every track point",
                remedy="Export the track with times; places alone tell no drive.",
            )
        return min(found), max(found)

    def _stretches(self, stream: BinaryIO) -> Iterator[bytes]:
        """The file from the first track point on; of a large one only what lies at both ends."""
        begin = _find(stream, 0, _OPENING)
        if begin is None:
            return
        whole = self._size - begin <= EXACT_EXTENT_BYTES
        spans = [(begin, self._size)] if whole else [(begin, begin + EDGE_BYTES), (self._size - EDGE_BYTES, self._size)]
        for start, end in spans:
            stream.seek(start)
            held = b""
            while (left := end - stream.tell()) > 0 and (content := stream.read(min(_LARGEST_READ * 16, left))):
                yield held + content
                held = content[-_MAX_TEXT:]

    def messages(self) -> Iterator[Messages]:
        """Time stamps and columns, front to back."""
        self._losses.clear()
        reader, number, late = RowReader(self.name, self._layout, (_TIME, *self.fields)), 1, set[str]()
        for points in self.points(self._losses):
            rows = self._rows(points, number, reader.columns)
            late |= {key for point in points for key in point if key in _MEASURED and key not in self.fields}
            number += len(points)
            yield reader.read(rows, self._losses)
        if late:
            words = f"{', '.join(sorted(late))} begin after the first points and are left out"
            self._losses.add("late_field", words, 0, messages=0, lost_bytes=0)

    @staticmethod
    def _rows(points: list[dict[str, str]], number: int, columns: tuple[str, ...]) -> Rows:
        import pyarrow as pa

        cells = {
            # A point without a place is no point; an empty cell would only be an unknown number.
            name: pa.array([point.get(name, "?" if name in _PLACE else None) for point in points], pa.string())
            for name in columns
        }
        sizes = np.zeros(len(points), dtype=np.int64)
        return Rows(cells, sizes, np.arange(number, number + len(points), dtype=np.int64))


class GpxRecording(TextRecording):
    """One track, or several.

    Args:
        files: The drive's files.

    Raises:
        UnreadableRecordingError: When there is no track point, none has a time, or the document has a type declaration.
    """

    format = FORMAT

    def __init__(self, files: Files) -> None:
        opened, losses = open_all(files, CHANNEL, _GpxFile)
        super().__init__(CHANNEL, opened, losses)
