"""Opening SQLite files that nobody may write to and that may have been cut off.

What lies in them is the business of those who open them.
"""

from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

import apsw

_PAGE_BYTES_AT, _SMALLEST_PAGE, _LARGEST_PAGE = 16, 512, 1 << 16
"""Where the header states the size of a page, and what it can be (https://sqlite.org/fileformat.html)."""


class _WholePagesFile(apsw.VFSFile):
    """A file that seems to end with its last whole page."""

    def __init__(self, name: Any, flags: list[int], page_bytes: int) -> None:
        super().__init__("", name, flags)
        self._page_bytes = page_bytes

    def xFileSize(self) -> int:  # noqa: N802 - SQLite's name
        return super().xFileSize() // self._page_bytes * self._page_bytes


class _WholePages(apsw.VFS):
    """Hides the piece of a page at the end of a file that was cut off: SQLite would take zeros for what is missing."""

    def __init__(self, page_bytes: int) -> None:
        self.name, self._page_bytes = f"whole-pages-{page_bytes}", page_bytes
        super().__init__(self.name, base="")

    def xOpen(self, name: Any, flags: list[int]) -> _WholePagesFile:  # noqa: N802 - SQLite's name
        return _WholePagesFile(name, flags, self._page_bytes)


@cache
def _whole_pages(page_bytes: int) -> _WholePages:
    return _WholePages(page_bytes)


def _cut_page(path: Path) -> int:
    """Size of the pages of a file that ends within one; 0 where it ends with a whole one."""
    with path.open("rb") as stream:
        stated = int.from_bytes(stream.read(_PAGE_BYTES_AT + 2)[_PAGE_BYTES_AT:], "big")
    page_bytes = _LARGEST_PAGE if stated == 1 else stated  # 65536 does not fit into two bytes
    is_size = _SMALLEST_PAGE <= page_bytes <= _LARGEST_PAGE and not page_bytes & (page_bytes - 1)
    return page_bytes if is_size and path.stat().st_size % page_bytes else 0


def open_read_only(path: Path, longest_value: int) -> apsw.Connection:
    """Open a file without writing anything beside it, whatever its end looks like.

    Args:
        path: The file.
        longest_value: Bytes of a value at most; longer ones are an error when they are read.

    Raises:
        apsw.Error: When SQLite does not take it.
    """
    flags = apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI
    cut = _cut_page(path)
    vfs = _whole_pages(cut).name if cut else None
    connection = apsw.Connection(f"file:{quote(str(path.resolve()))}?mode=ro&immutable=1", flags=flags, vfs=vfs)
    connection.limit(apsw.SQLITE_LIMIT_LENGTH, longest_value)
    return connection
