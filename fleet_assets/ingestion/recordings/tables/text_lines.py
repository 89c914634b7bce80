"""Cutting text files into blocks of whole lines in bounded memory, whatever the files hold.

Here belongs where a line begins and ends. What its cells mean belongs to the readers of text tables.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, Final

MAX_LINE_BYTES: Final = 1 << 20
"""A longer line is no row of a table: it is one lost row."""
BLOCK_BYTES: Final = 1 << 20
UTF8_BOM: Final = b"\xef\xbb\xbf"
_WIDE_BOMS: Final = (b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True, slots=True)
class LineBlock:
    """Whole lines.

    Attributes:
        offset: Place of the first byte in the file.
        content: The lines; every line ends with a line feed, also the file's last.
        first_line: Number of the first line in the file, counted from 1.
        too_long: Bytes of a line longer than `MAX_LINE_BYTES` that stood here; the content is empty then.
        unterminated: Whether the file's last line, which is in this block, has no line end.
    """

    offset: int
    content: bytes
    first_line: int
    too_long: int = 0
    unterminated: bool = False


def is_wide_text(head: bytes) -> bool:
    """Whether a file is text of two bytes per character (UTF-16), which no reader of tables takes."""
    return head.startswith(_WIDE_BOMS)


def _rest_of_line(stream: BinaryIO) -> int:
    """Read to the end of the current line and say how many bytes that was."""
    count = 0
    while piece := stream.readline(BLOCK_BYTES):
        count += len(piece)
        if piece.endswith(b"\n"):
            break
    return count


def line_blocks(stream: BinaryIO, start: int = 0, end: int | None = None) -> Iterator[LineBlock]:
    """Read lines front to back.

    Args:
        stream: The file.
        start: Where the first line begins.
        end: Where to stop; a line that begins before it is read to its end. The file's end when None.

    Yields:
        Blocks of about `BLOCK_BYTES`. Line numbers count from the start given.
    """
    stream.seek(start)
    offset, line = start, 1
    while end is None or offset < end:
        content = stream.read(BLOCK_BYTES if end is None else min(BLOCK_BYTES, end - offset))
        if not content:
            return
        last = content.rfind(b"\n") + 1
        if not last:
            content += stream.readline(MAX_LINE_BYTES - len(content) + 1)
            last = content.find(b"\n") + 1
            if not last and len(content) > MAX_LINE_BYTES:
                size = len(content) + _rest_of_line(stream)
                yield LineBlock(offset, b"", line, too_long=size)
                offset, line = offset + size, line + 1
                continue
        if last:
            content = content[:last]
            stream.seek(offset + last)
        # Without a line feed these bytes are the file's last line.
        yield LineBlock(offset, content if last else content + b"\n", line, unterminated=not last)
        offset, line = offset + len(content), line + (content.count(b"\n") or 1)
