"""Taking a table apart whose every row is a drive of its own, e.g. a trip list.

Here belongs the cutting; each piece is a table as the whole one was, so that the same spec and reader read it. Landing
the pieces belongs to the ingestion commands.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

from fleet_assets.ingestion.recordings.protocol import UnreadableRecordingError
from fleet_assets.ingestion.recordings.tables.text_lines import MAX_LINE_BYTES
from fleet_assets.policy.table_layouts import TableLayout

_SMALLEST_NUMBER_WIDTH: Final = 6


def _lines(stream: BinaryIO) -> Iterator[list[bytes]]:
    """Lines that are not empty, each in pieces of at most the length that a row may have."""
    pieces: list[bytes] = []
    while piece := stream.readline(MAX_LINE_BYTES):
        # Nobody reads more of a row than this; the rest of a wild line goes no further.
        if len(pieces) < 2:  # noqa: PLR2004 - one piece is a row, a second one makes it too long to be read
            pieces.append(piece)
        if piece.endswith(b"\n"):
            if b"".join(pieces).strip():
                yield pieces
            pieces = []
    if b"".join(pieces).strip():
        yield pieces


def row_drives(path: Path, table: TableLayout, folder: Path) -> Iterator[Path]:
    """Write every row of a table as a table of its own; the rows' bytes are not changed.

    Rows that cannot be read come too: each is then refused with its own reason, and none disappears.

    Args:
        path: The table.
        table: Its layout, with `drive_per_row`.
        folder: Existing folder to write into.

    Yields:
        One file per row that is not empty, in order of the rows, named `STEM-row-NUMBER.csv`, counted from 1. A table
        with a header row gives it to every file.

    Raises:
        UnreadableRecordingError: When the layout does not make every row a drive, or a header row is all there is.
    """
    if not table.drive_per_row:
        raise UnreadableRecordingError(
            path.name,
            "not_a_row_table",
            value="a layout without drive_per_row",
            remedy="Ingest the table as one drive, or set `table/drive_per_row` in the vehicle spec.",
        )
    number = 0
    with path.open("rb") as stream:
        lines = _lines(stream)
        header = b"" if table.columns else b"".join(next(lines, []))
        if not table.columns and header and not header.endswith(b"\n"):
            raise UnreadableRecordingError(path.name, "no_rows", value="a header row only", remedy="Export it again.")
        for number, pieces in enumerate(lines, 1):  # noqa: B007 - counts the rows
            target = folder / f"{path.stem}-row-{number:0{_SMALLEST_NUMBER_WIDTH}d}.csv"
            target.write_bytes(header + b"".join(pieces))
            yield target
    if not number:
        raise UnreadableRecordingError(path.name, "no_rows", limit="one row or more", remedy="Export the table again.")
