"""Reading one telemetry batch: JSON Lines, plain, gzip or Zstandard, in bounded memory whatever it claims to be.

Here belongs everything from the bytes of the file to rows of `bronze.telemetry_lines` and `bronze.telemetry_batches`.
"""

import gzip
import hashlib
import json
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Final

from fleet_assets.ingestion.telemetry_and_bulk_ingestion.telemetry.messages import (
    BrokenLineError,
    Message,
    id_key,
    parse_message,
)

CHUNK_BYTES: Final = 1 << 16
MAX_NAMES: Final = 32
"""Different schemas or depots of one hour that a batch's index names; beyond that it says `*`, any."""
ANY: Final = "*"
MAX_WINDOW_BYTES: Final = 1 << 23
"""Largest Zstandard window (RFC 8878, section 3.1.1.1.2, wants decoders to take 8 MiB)."""
ZSTD_STEP_BYTES: Final = 512
"""Compressed bytes taken at once: a block of 128 KiB takes 4 of them at least, so a step gives 16 MiB at most."""
BATCH_RULES: Final = ("batch_too_large", "batch_unreadable")
"""Rules about a batch as a whole."""
_GZIP: Final = b"\x1f\x8b"
_ZSTD: Final = b"\x28\xb5\x2f\xfd"


class ReplacedBatchError(RuntimeError):
    """A batch whose file was replaced between listing and reading; the next look finds the new one."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What is read of one batch.

    Attributes:
        max_batch_bytes: Bytes of text after decompression.
        max_batch_lines: Lines.
        max_line_bytes: Bytes of one line.
    """

    max_batch_bytes: int
    max_batch_lines: int
    max_line_bytes: int


@dataclass(frozen=True, slots=True)
class Line:
    """One line, or what stands for lines that could not be read.

    Attributes:
        text: The line without its end; None where it could not be kept.
        size_bytes: Its length.
        sha256: Digest of its bytes; of the batch for an unread rest.
        broken: Why it is no line that could hold a message.
    """

    text: bytes | None
    size_bytes: int
    sha256: str
    broken: BrokenLineError | None = None


@dataclass
class ReadBatch:
    """What one batch holds.

    Attributes:
        rows: Rows of `bronze.telemetry_lines`.
        summary: Row of `bronze.telemetry_batches` without what the landing zone says of it.
    """

    rows: list[dict[str, Any]]
    summary: dict[str, Any]


def read_batch(path: Path, sha256: str, limits: Limits) -> ReadBatch:
    """Read a batch to its end, or as far as it goes.

    Args:
        path: The file.
        sha256: Digest that it was listed with.
        limits: What to read at most.

    Raises:
        ReplacedBatchError: When the file has another digest now.
    """
    with path.open("rb") as stream:
        if hashlib.file_digest(stream, "sha256").hexdigest() != sha256:
            raise ReplacedBatchError(f"{path.name} was replaced while it was read. It is taken up at the next look.")
        stream.seek(0)
        counted = _Counts()
        lines = enumerate(_counted_lines(stream, sha256, limits), 1)
        rows = [_row(line, number, sha256, counted) for number, line in lines]
    return ReadBatch(rows, {"batch": sha256, "bytes": path.stat().st_size, "lines": len(rows), **counted.columns()})


@dataclass
class _Counts:
    messages: int = 0
    duplicates: int = 0
    problem: str | None = None
    times: list[int] = field(default_factory=list)
    hours: dict[str, dict[str, Any]] = field(default_factory=dict)
    seen: set[str] = field(default_factory=set)

    def take(self, message: Message) -> None:
        self.messages += 1
        self.duplicates += message.sha256 in self.seen
        self.seen.add(message.sha256)
        self.times = [min([message.t_ns, *self.times]), max([message.t_ns, *self.times])]
        hour = self.hours.setdefault(message.hour, {"messages": 0, "schemas": set(), "depots": set()})
        hour["messages"] += 1
        hour["schemas"].add(message.schema)
        hour["depots"].add(message.depot)

    def columns(self) -> dict[str, Any]:
        index = {
            hour: {
                "messages": found["messages"],
                "schemas": _named(found["schemas"]),
                "depots": _named(found["depots"]),
            }
            for hour, found in sorted(self.hours.items())
        }
        return {
            "messages": self.messages,
            "duplicates": self.duplicates,
            "first_t_ns": self.times[0] if self.times else None,
            "last_t_ns": self.times[1] if self.times else None,
            "hours": json.dumps(index),
            "problem": self.problem,
        }


def _named(names: set[str]) -> list[str]:
    return sorted(names) if len(names) <= MAX_NAMES else [ANY]


def _row(line: Line, number: int, batch: str, counted: _Counts) -> dict[str, Any]:
    row: dict[str, Any] = {"batch": batch, "line": number, "bytes": line.size_bytes, "id_key": 0}
    broken = line.broken
    if line.text is not None and broken is None:
        try:
            message = parse_message(line.text)
        except BrokenLineError as error:
            broken = error
        else:
            counted.take(message)
            return {**row, **_columns(message)}
    if broken is not None and broken.rule in BATCH_RULES:
        counted.problem = str(broken)
    stated: Mapping[str, Any] = vars(broken) if broken is not None else {}
    return {**row, **stated, "sha256": line.sha256}


def _columns(message: Message) -> dict[str, Any]:
    names = ("message_id", "vehicle_id", "depot", "schema", "t_ns", "hour", "payload", "sha256")
    return {**{name: getattr(message, name) for name in names}, "id_key": id_key(message.message_id)}


def _counted_lines(stream: BinaryIO, batch: str, limits: Limits) -> Iterator[Line]:
    """As many lines as are taken: millions of short ones would fill the memory that long ones cannot."""
    for number, line in enumerate(_lines(stream, batch, limits)):
        if number == limits.max_batch_lines:
            limit = f"{limits.max_batch_lines} lines"
            yield Line(None, 0, batch, BrokenLineError("batch_too_large", f"more than {limit}", limit))
            return
        yield line


def _lines(stream: BinaryIO, batch: str, limits: Limits) -> Iterator[Line]:
    """Lines of a batch; blank ones are none. An unread rest is the last one."""
    splitter = _Splitter(limits.max_line_bytes)
    taken = 0
    for chunk in _chunks(stream):
        if chunk is None:
            value = f"stream breaks off after {taken} bytes of text"
            broken = BrokenLineError("batch_unreadable", value, "whole gzip or Zstandard streams, or plain text")
            yield from splitter.end()
            yield Line(None, 0, batch, broken)
            return
        room = limits.max_batch_bytes - taken
        yield from splitter.feed(chunk[:room])
        taken += min(len(chunk), room)
        if len(chunk) > room:
            limit = f"{limits.max_batch_bytes} bytes of text"
            yield from splitter.end()
            yield Line(None, 0, batch, BrokenLineError("batch_too_large", f"more than {limit}", limit))
            return
    yield from splitter.end()


def _chunks(stream: BinaryIO) -> Iterator[bytes | None]:
    """Decompressed text in bounded pieces; None in place of what cannot be decompressed."""
    head = stream.read(len(_ZSTD))
    stream.seek(0)
    if head == _ZSTD:
        yield from _zstd_chunks(stream)
    elif head.startswith(_GZIP):
        text = gzip.GzipFile(fileobj=stream)
        try:
            while chunk := text.read1(CHUNK_BYTES):  # `read` would lose what comes before damage
                yield chunk
        except (EOFError, gzip.BadGzipFile, zlib.error):
            yield None
    else:
        while chunk := stream.read(CHUNK_BYTES):
            yield chunk


def _zstd_chunks(stream: BinaryIO) -> Iterator[bytes | None]:
    """Text of consecutive frames. The library's own reader takes a frame that breaks off for one that ended."""
    import zstandard

    frame, compressed, fed = None, b"", False
    while compressed or (compressed := stream.read(ZSTD_STEP_BYTES)):
        if frame is None:
            frame = zstandard.ZstdDecompressor(max_window_size=MAX_WINDOW_BYTES).decompressobj()
        try:
            chunk = frame.decompress(compressed)
        except zstandard.ZstdError:
            yield None
            return
        if chunk:
            yield chunk
        compressed, fed = (frame.unused_data, False) if frame.eof else (b"", True)
        frame = None if frame.eof else frame
    if fed:
        yield None


@dataclass
class _Splitter:
    """Cuts text into lines without ever holding more than one that is allowed."""

    max_line_bytes: int
    _held: bytearray = field(default_factory=bytearray)
    _dropped: int = 0
    _digest: Any = None

    def feed(self, chunk: bytes) -> Iterator[Line]:
        *whole, rest = chunk.split(b"\n")
        for part in whole:
            self._take(part)
            yield from self.end()
        self._take(rest)

    def _take(self, part: bytes) -> None:
        if self._digest is None and len(self._held) + len(part) <= self.max_line_bytes + 1:  # one for a \r
            self._held += part
            return
        if self._digest is None:
            self._digest = hashlib.sha256(self._held)
            self._dropped = len(self._held)
            self._held.clear()
        self._digest.update(part)
        self._dropped += len(part)

    def end(self) -> Iterator[Line]:
        """The line that is complete now, if there is one."""
        held, digest, dropped = bytes(self._held).strip(), self._digest, self._dropped
        self._held.clear()
        self._digest, self._dropped = None, 0
        if digest is None and held and len(held) <= self.max_line_bytes:
            yield Line(held, len(held), hashlib.sha256(held).hexdigest())
        elif digest is not None or held:
            size = dropped or len(held)
            sha256 = (digest or hashlib.sha256(held)).hexdigest()
            limit = f"{self.max_line_bytes} bytes"
            yield Line(None, size, sha256, BrokenLineError("line_too_long", f"{size} bytes", limit))
