"""Reader of Vector ASC logs: CAN and CAN FD frames written as text.

Format: as python-can (`can.io.asc`) and the unit tests of https://bitbucket.org/tobylorenz/vector_asc read it; Vector
publishes it with its tools only. Header lines give the date, the base of ids and data, and whether time stamps count
from the measurement's start or from the event before. The date has no time zone: it is read as UTC, and that is stated.
Frames written with the names of a database instead of ids cannot be told apart and count as lost.
"""

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fleet_assets.ingestion.recordings.can_logs.asc_header import AscHeader, read_header, state_header
from fleet_assets.ingestion.recordings.can_logs.frames import (
    MAX_PAYLOAD_BYTES,
    UPLOAD_AGAIN,
    CanLogRecording,
    Frames,
    Losses,
    can_columns,
)
from fleet_assets.ingestion.recordings.can_logs.text_can_logs import (
    first_frames,
    frames_of,
    kept,
    last_frames,
    refuse,
    usable_times,
)
from fleet_assets.ingestion.recordings.can_logs.text_columns import NIBBLES, matrix, nanoseconds, numbers
from fleet_assets.ingestion.recordings.protocol import Files
from fleet_assets.ingestion.recordings.windows import Columns

FORMAT: Final = "asc"
_HEX: Final = 16
_HIGHEST_STANDARD_ID: Final = 0x7FF
_HIGHEST_ID: Final = 0x1FFFFFFF
_CLASSIC_BYTES: Final = 8
_HIGHEST_BYTE: Final = 0xFF
_NO_DIGIT: Final = 0xFF
_TOKEN_BYTES: Final = 3
_BLANKS: Final = (ord(" "), ord("\t"))
_MARK: Final = re.compile(rb"^[ \t]*base[ \t]+(?:hex|dec)\b", re.MULTILINE | re.IGNORECASE)
_BEGIN: Final = re.compile(rb"[ \t]*begin[ \t]+triggerblock", re.IGNORECASE)
_END: Final = re.compile(rb"[ \t]*end[ \t]+triggerblock", re.IGNORECASE)
_UNTIMED: Final = re.compile(
    rb"[ \t]*(?://.*|(?:date|base|begin|end|previous)[ \t].*|(?:no[ \t]+)?internal[ \t]+events[ \t]+logged.*|)"
    rb"[ \t\r]*$",
    re.IGNORECASE,
)
_REMOTE: Final = re.compile(rb"\d{1,5}[ \t]+[0-9A-Fa-f]{1,10}[xX]?[ \t]+[RT]x(?:Rq)?[ \t]+[rR](?![^\s])")
_ERROR: Final = re.compile(rb"(?:CANFD[ \t]+)?\d{1,5}[ \t]+(?:[RT]x[ \t]+)?ErrorFrame", re.IGNORECASE)
# Statistics and states of a channel, and events of the tool; lines with a direction are frames, of other buses if they
# begin with the bus's name.
_OTHER_EVENT: Final = re.compile(rb"\d{1,5}[ \t]+(?:statistic|overload)|[A-Za-z](?!ANFD)", re.IGNORECASE)
_DIRECTION: Final = re.compile(rb"[ \t][RT]x[ \t]")
_OTHER_BUS: Final = re.compile(rb"(?:J1939TP|LIN|Li|L\d|Eth|MOST|MS|FR|Fr|RMSG|PDU|A429|AFDX|SV:|CAN[ \t])")


@lru_cache(maxsize=2)
def _event(base: int) -> re.Pattern[bytes]:
    """One line with a time stamp: a classic frame, a CAN FD frame, or anything else as one text."""
    digit = rb"[0-9A-Fa-f]" if base == _HEX else rb"\d"
    data = rb"((?:[ \t]+%s{1,3}(?=[ \t\r\n])){0,%d})(?=[ \t\r\n])"
    frame = rb"[RT]x(?:Rq)?[ \t]+"
    identifier = rb"(%s{1,10})([xX]?)[ \t]+" % digit
    classic_data, fd_data = (data % (digit, count) for count in (_CLASSIC_BYTES, MAX_PAYLOAD_BYTES))
    classic = rb"(\d{1,5})[ \t]+%s%s[dD][ \t]+(%s{1,2})%s" % (identifier, frame, digit, classic_data)
    flags = rb"(?:[^\s\d]\S*[ \t]+)?[01][ \t]+[01][ \t]+%s{1,2}[ \t]+" % digit
    fd = rb"CANFD[ \t]+(\d{1,5})[ \t]+%s%s%s(\d{1,2})%s" % (frame, identifier, flags, fd_data)
    return re.compile(rb"^[ \t]*(\d{1,20})\.(\d{1,9})[ \t]+(?:%s|%s|([^\r\n]*))" % (classic, fd), re.MULTILINE)


def is_asc(head: bytes) -> bool:
    """Whether a file begins with the header of an ASC log, or in the middle of one."""
    if _MARK.search(head) is not None:
        return True
    return any(found[2] or found[7] for found in _event(_HEX).findall(head + b"\n"))


def _bytes_of(
    texts: Sequence[bytes], length: NDArray[np.int64], base: int
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Payloads of tokens between blanks, and which of them are whole."""
    widest = int(length.max(initial=0))
    places = np.arange(widest)
    wanted = places < length[:, None]
    text = matrix(texts, _TOKEN_BYTES * widest + 1)
    high, low = NIBBLES[text[:, 1::_TOKEN_BYTES]], NIBBLES[text[:, 2::_TOKEN_BYTES]]
    regular = np.isin(text[:, 0:-1:_TOKEN_BYTES], _BLANKS) & (high != _NO_DIGIT) & (low != _NO_DIGIT)
    after = text[np.arange(len(text)), _TOKEN_BYTES * length]
    sound = (regular | ~wanted).all(axis=1) & (NIBBLES[after] == _NO_DIGIT) & (base == _HEX)
    data = np.where(wanted & sound[:, None], (high << 4) | low, 0).astype(np.uint8)
    for row in np.flatnonzero(~sound).tolist():
        tokens = texts[row].split()[: length[row]]
        values = [int(token, base) for token in tokens]
        sound[row] = len(values) == length[row] and max(values, default=0) <= _HIGHEST_BYTE
        if sound[row]:
            data[row, : len(values)] = values
    return data, sound


class _Parser:
    """Frames of the lines of one pass."""

    def __init__(self, header: AscHeader) -> None:
        self._header = header
        self._elapsed_ns = 0
        self._open = False

    def parse(self, lines: bytes, losses: Losses) -> Frames | None:
        found = _event(self._header.base).findall(lines)
        if len(found) != lines.count(b"\n"):
            self._untimed(lines, losses)
        if not found:
            return None
        t_ns, usable = self._times(found, losses)
        for event in found:
            if event[12]:
                _count_other(event[12], losses)
        rows = np.fromiter((bool(event[2] or event[7]) for event in found), dtype=np.bool_, count=len(found))
        if not rows.any():
            return None
        columns, sound = self._columns([event for event in found if event[2] or event[7]])
        wrong = int((~sound).sum())
        if wrong:
            why = f"frames whose id or data do not fit what the line itself states. {UPLOAD_AGAIN}"
            losses.add("damaged_frame", why, messages=wrong)
        keep = sound & usable[rows]
        return t_ns[rows][keep], kept(dict(columns), keep)

    def _times(self, found: Sequence[tuple[bytes, ...]], losses: Losses) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        t_ns = nanoseconds([event[0] for event in found], [event[1] for event in found])
        usable = usable_times(t_ns, losses)
        if self._header.relative:
            t_ns = self._elapsed_ns + np.cumsum(np.where(usable, t_ns, 0))
            self._elapsed_ns = int(t_ns[-1])
        return t_ns + (self._header.start_ns or 0), usable

    def _columns(self, found: Sequence[tuple[bytes, ...]]) -> tuple[Columns, NDArray[np.bool_]]:
        base = self._header.base
        can_id = numbers([event[3] + event[8] for event in found], base)
        extended = np.fromiter((bool(event[4] or event[9]) for event in found), dtype=np.bool_, count=len(found))
        length = np.minimum(numbers([event[5] or b"0" for event in found], base), _CLASSIC_BYTES)
        if any(event[7] for event in found):
            length = np.maximum(length, numbers([event[10] or b"0" for event in found], 10))
        fits = length <= MAX_PAYLOAD_BYTES
        length = np.where(fits, length, 0)
        data, sound = _bytes_of([event[6] + event[11] for event in found], length, base)
        sound &= fits & (can_id <= np.where(extended, _HIGHEST_ID, _HIGHEST_STANDARD_ID))
        bus = numbers([event[2] + event[7] for event in found], 10)
        return can_columns(bus, can_id, extended, length, data), sound

    def _untimed(self, lines: bytes, losses: Losses) -> None:
        """Look at the lines without a time stamp."""
        event = _event(self._header.base)
        for line in lines.split(b"\n")[:-1]:
            if event.match(line + b"\n"):
                continue
            if _BEGIN.match(line):
                self._open = True
            elif _END.match(line):
                self._open = False
            elif not _UNTIMED.match(line) or _DIRECTION.search(line):
                _damaged(line, losses)

    def finish(self, losses: Losses) -> None:
        """State what only the end of the file tells."""
        if self._open:
            losses.add("unfinished_file", "the file has no end mark: the recorder was stopped, or the end is missing")


def _damaged(line: bytes, losses: Losses) -> None:
    why = f"lines that are no event, the first begins with {line[:40]!r}. {UPLOAD_AGAIN}"
    losses.add("damaged_line", why, lost_bytes=len(line) + 1, messages=1)


def _count_other(event: bytes, losses: Losses) -> None:
    """Tell an event that is no data frame from a damaged one."""
    kind = "error frames" if _ERROR.match(event) else "remote frames" if _REMOTE.match(event) else ""
    if kind:
        rule = f"{kind.replace(' ', '_')}_left_out"
        losses.add(rule, f"{kind} carry no data and are left out")
    elif not _OTHER_BUS.match(event) and (_DIRECTION.search(event) or not _OTHER_EVENT.match(event)):
        _damaged(event, losses)


class _File:
    """One log file; see `CanLogFile`."""

    def __init__(self, name: str, path: Path) -> None:
        self.name, self._path = name, path
        self._header = read_header(path)
        self.start_ns = self._header.start_ns
        first = first_frames(path, lambda: _Parser(self._header))
        if not len(first):
            raise refuse(name, "frame of an ASC log")
        self.extent_ns = int(first.min()), max(int(first.max()), self._last_ns())

    def _last_ns(self) -> int:
        if not self._header.relative:
            return int(last_frames(self._path, _Parser(self._header)).max(initial=0))
        # Time stamps that count from the event before add up over the whole file.
        passed = frames_of(self._path, _Parser(self._header), Losses(self.name))
        return max(int(t_ns.max()) for t_ns, _ in passed)

    def frames(self, losses: Losses) -> Iterator[Frames]:
        state_header(self._header, losses)
        return frames_of(self._path, _Parser(self._header), losses)


class AscRecording(CanLogRecording):
    """One recording of Vector ASC logs.

    The bus is the channel's number. Error and remote frames are left out, which is stated.

    Args:
        files: The drive's files.

    Raises:
        UnreadableRecordingError: When no file holds frames.
    """

    format = FORMAT

    def __init__(self, files: Files) -> None:
        super().__init__(files, _File)
