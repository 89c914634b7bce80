"""Reader of can-utils log files, as `candump -l` and `candump -L` write them.

Format: https://github.com/linux-can/can-utils, `lib.h` (sprint_canframe) and `candump.c`: one frame per line,
``(seconds.fraction) interface id#data``, with ``##flags`` before the data of CAN FD frames and ``#R`` for remote
frames. candump's human-readable format has no exact time and is not read.
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fleet_assets.ingestion.recordings.can_logs.frames import (
    UPLOAD_AGAIN,
    CanLogRecording,
    Frames,
    Losses,
    can_columns,
    plausible_utc,
)
from fleet_assets.ingestion.recordings.can_logs.text_can_logs import (
    first_frames,
    frames_of,
    kept,
    last_frames,
    refuse,
    usable_times,
)
from fleet_assets.ingestion.recordings.can_logs.text_columns import nanoseconds, numbers, packed_payloads
from fleet_assets.ingestion.recordings.protocol import Files

FORMAT: Final = "candump"
_STANDARD_DIGITS: Final = 3
_ERROR_FLAG: Final = 0x20000000
_ID_MASK: Final = 0x1FFFFFFF
_TRAILER: Final = rb"(?:_[0-9A-Fa-f])?(?:[ \t]+[RTrt])?[ \t]*\r?$"
_STAMP: Final = rb"^[ \t]*\((\d{1,20})\.(\d{1,9})\)[ \t]+(\S{1,31})[ \t]+"
_FRAME: Final = re.compile(
    _STAMP + rb"([0-9A-Fa-f]{3}|[0-9A-Fa-f]{8})#(?:#[0-9A-Fa-f])?((?:[0-9A-Fa-f]{2}\.?){0,64})" + _TRAILER, re.MULTILINE
)
_REMOTE: Final = re.compile(_STAMP + rb"(?:[0-9A-Fa-f]{3}|[0-9A-Fa-f]{8})#R[0-9A-Fa-f]?" + _TRAILER, re.MULTILINE)
_BLANK: Final = re.compile(rb"^[ \t\r]*$")
_MARK: Final = re.compile(rb"^[ \t]*\(\d{1,20}\.\d{1,9}\)[ \t]+\S{1,31}[ \t]+[0-9A-Fa-f]{3,8}#", re.MULTILINE)
_NUMBER: Final = re.compile(rb"\d{1,4}$")


def is_candump(head: bytes) -> bool:
    """Whether a file holds lines of a can-utils log."""
    return b"\0" not in head[:1] and _MARK.search(head) is not None


class Interfaces:
    """Numbers of the interfaces of a recording: the number in the name, or the next free one where that is taken."""

    def __init__(self) -> None:
        self._buses: dict[bytes, int] = {}

    def numbers(self, names: Sequence[bytes], losses: Losses) -> NDArray[np.int64]:
        """Bus of each frame; a number that is not the one in the name is stated."""
        distinct = tuple(dict.fromkeys(names))
        for name in distinct:
            bus = self._buses.setdefault(name, self._number(name))
            if bus != _own_number(name):
                shown = name.decode("ascii", "replace")
                losses.add("bus_number", f"interface {shown!r} became bus {bus}: its name gives no free number")
        if len(distinct) == 1:
            return np.full(len(names), self._buses[distinct[0]], dtype=np.int64)
        return np.fromiter(map(self._buses.__getitem__, names), dtype=np.int64, count=len(names))

    def _number(self, name: bytes) -> int:
        taken, own = set(self._buses.values()), _own_number(name)
        if own is not None and own not in taken:
            return own
        return next(free for free in range(len(taken) + 1) if free not in taken)


def _own_number(name: bytes) -> int | None:
    match = _NUMBER.search(name)
    return int(match[0]) if match is not None else None


class _Parser:
    """Frames of the lines of one pass."""

    def __init__(self, interfaces: Interfaces) -> None:
        self._interfaces = interfaces

    def parse(self, lines: bytes, losses: Losses) -> Frames | None:
        found = _FRAME.findall(lines)
        if len(found) != lines.count(b"\n"):
            _count_others(lines, losses)
        if not found:
            return None
        seconds, fractions, names, ids, payloads = zip(*found, strict=True)
        if b"." in b"".join(payloads):
            payloads = tuple(payload.replace(b".", b"") for payload in payloads)
        t_ns = nanoseconds(seconds, fractions)
        can_id = numbers(ids, 16)
        data, length = packed_payloads(payloads)
        errors = (can_id & _ERROR_FLAG) != 0
        if errors.any():
            _leave_out(losses, "error frames", int(errors.sum()))
        bus = self._interfaces.numbers(names, losses)
        extended = np.fromiter(map(len, ids), dtype=np.int64, count=len(ids)) > _STANDARD_DIGITS
        usable = usable_times(t_ns, losses) & ~errors
        columns = can_columns(bus, can_id & _ID_MASK, extended, length, data)
        return t_ns[usable], kept(dict(columns), usable)

    def finish(self, losses: Losses) -> None:
        """The format has no end mark."""


def _leave_out(losses: Losses, kind: str, count: int) -> None:
    losses.add(f"{kind.replace(' ', '_')}_left_out", f"{count} or more {kind} carry no data and are left out")


def _count_others(lines: bytes, losses: Losses) -> None:
    """Count the lines that hold no data frame."""
    for line in lines.split(b"\n")[:-1]:
        if _FRAME.match(line) or _BLANK.match(line):
            continue
        if _REMOTE.match(line):
            _leave_out(losses, "remote frames", 1)
            continue
        why = f"lines that are no frame, the first begins with {line[:40]!r}. {UPLOAD_AGAIN}"
        losses.add("damaged_line", why, lost_bytes=len(line) + 1, messages=1)


class _File:
    """One log file; see `CanLogFile`."""

    def __init__(self, name: str, path: Path, interfaces: Interfaces) -> None:
        self.name, self._path, self._interfaces = name, path, interfaces
        first = first_frames(path, lambda: _Parser(interfaces))
        if not len(first):
            raise refuse(name, "line of a can-utils log")
        last = last_frames(path, _Parser(interfaces))
        self.extent_ns = int(first.min()), int(max(first.max(), last.max(initial=0)))
        self.start_ns = int(first[0]) if plausible_utc(int(first[0])) else None

    def frames(self, losses: Losses) -> Iterator[Frames]:
        return frames_of(self._path, _Parser(self._interfaces), losses)


class CandumpRecording(CanLogRecording):
    """One recording of can-utils log files.

    Time stamps are the host's UTC clock where they are plausible as such, else the clock is monotonic. The bus is the
    number at the end of the interface's name; error and remote frames are left out, which is stated.

    Args:
        files: The drive's files.

    Raises:
        UnreadableRecordingError: When no file holds frames.
    """

    format = FORMAT

    def __init__(self, files: Files) -> None:
        interfaces = Interfaces()
        super().__init__(files, lambda name, path: _File(name, path, interfaces))
