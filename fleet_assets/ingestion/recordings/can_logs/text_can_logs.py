"""CAN logs written as text, one frame per line: the way from lines to counted frames.

Here belongs what text formats share: blocks of lines, the file's first and last frame, lines that are no frame. What a
line says is known to `candump.py` and `asc.py`.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from fleet_assets.ingestion.recordings.can_logs.frames import UPLOAD_AGAIN, Frames, Losses
from fleet_assets.ingestion.recordings.protocol import UnreadableRecordingError
from fleet_assets.ingestion.recordings.tables.text_lines import BLOCK_BYTES, LineBlock, line_blocks

MAX_T_NS: Final = 9_000_000_000 * 1_000_000_000
"""Time stamps beyond this do not fit integer nanoseconds together with any date."""
_EDGE_BYTES: Final = 1 << 16


class LineParser(Protocol):
    """What makes frames of lines; one per pass, so that it may count and remember."""

    def parse(self, lines: bytes, losses: Losses) -> Frames | None:
        """Give the frames of whole lines, or None where they hold none."""
        ...

    def finish(self, losses: Losses) -> None:
        """State what only the end of the file tells."""
        ...


def _whole(block: LineBlock, losses: Losses) -> bytes:
    """The lines of a block that have an end: half a line may read like a shorter frame."""
    if block.too_long:
        losses.add("damaged_line", f"lines without end. {UPLOAD_AGAIN}", lost_bytes=block.too_long, messages=1)
        return b""
    if not block.unterminated:
        return block.content
    last = block.content.rfind(b"\n", 0, -1) + 1
    cut = len(block.content) - 1 - last
    if block.content[last:].strip():
        why = f"the file ends within a line, which is not used. {UPLOAD_AGAIN}"
        losses.add("truncated_file", why, lost_bytes=cut, messages=1)
    return block.content[:last]


def frames_of(path: Path, parser: LineParser, losses: Losses) -> Iterator[Frames]:
    """Read a file front to back.

    Args:
        path: The file.
        parser: Of this pass.
        losses: Receives what could not be read.
    """
    with path.open("rb") as stream:
        for block in line_blocks(stream):
            found = parser.parse(_whole(block, losses), losses)
            if found is not None and len(found[0]):
                yield found
    parser.finish(losses)


def usable_times(t_ns: NDArray[np.int64], losses: Losses) -> NDArray[np.bool_]:
    """Which time stamps can be used; the others are counted as lost."""
    usable: NDArray[np.bool_] = (t_ns >= 0) & (t_ns <= MAX_T_NS)
    wrong = int((~usable).sum())
    if wrong:
        losses.add("invalid_time", "time stamps that no clock has; their frames are left out", messages=wrong)
    return usable


def kept(columns: dict[str, Any], rows: NDArray[np.bool_]) -> dict[str, Any]:
    """Columns with only some of their rows."""
    return columns if rows.all() else {name: array[rows] for name, array in columns.items()}


def first_frames(path: Path, parser: Callable[[], LineParser]) -> NDArray[np.int64]:
    """Time stamps of the first stretch that holds frames; empty where none does."""
    with path.open("rb") as stream:
        head = stream.read(_EDGE_BYTES)
    found = parser().parse(head[: head.rfind(b"\n") + 1], Losses(path.name))
    if found is not None and len(found[0]):
        return found[0]
    return next((t_ns for t_ns, _ in frames_of(path, parser(), Losses(path.name))), np.empty(0, dtype=np.int64))


def last_frames(path: Path, parser: LineParser) -> NDArray[np.int64]:
    """Time stamps of the last stretch that holds frames; empty where none does.

    Only absolute time stamps can be read from behind. The stretch grows until it holds a frame.
    """
    size = path.stat().st_size
    with path.open("rb") as stream:
        reach = _EDGE_BYTES
        while True:
            start = max(0, size - reach)
            stream.seek(start)
            content = stream.read(min(reach, BLOCK_BYTES))
            # The first line of a stretch is half a line, except the file's own first.
            first = content.find(b"\n") + 1 if start else 0
            found = parser.parse(content[first : content.rfind(b"\n") + 1], Losses(path.name))
            if found is not None and len(found[0]):
                return found[0]
            if not start:
                return np.empty(0, dtype=np.int64)
            reach += min(reach, BLOCK_BYTES // 2)


def refuse(name: str, what: str) -> UnreadableRecordingError:
    """The error for a file without a single frame."""
    return UnreadableRecordingError(name, "no_messages", value=f"no {what}", limit="CAN frames", remedy=UPLOAD_AGAIN)
