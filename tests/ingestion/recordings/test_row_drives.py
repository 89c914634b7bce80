"""Tables with a drive per row, taken apart."""

from pathlib import Path

import pytest

from fleet_assets.ingestion.recordings.protocol import UnreadableRecordingError
from fleet_assets.ingestion.recordings.tables.csv_table import CsvRecording
from fleet_assets.ingestion.recordings.tables.row_drives import row_drives
from fleet_assets.policy.table_layouts import parse_table_layout
from tests.ingestion.recordings.text_tables import LAYOUT, TRIPS, table_text, times


def test_a_trip_list_is_taken_apart_into_tables_of_one_row(tmp_path: Path) -> None:
    rows = [b"2013-01-01 10:00:00,2013-01-01 10:10:00,40.5,40.6\r\n", b"broken\n", b"\n", b"a,b,1,2"]
    (tmp_path / "trips.csv").write_bytes(b"".join(rows))
    layout = parse_table_layout(TRIPS)
    assert layout is not None
    pieces = list(row_drives(tmp_path / "trips.csv", layout, tmp_path))
    assert [piece.read_bytes() for piece in pieces] == [rows[0], rows[1], rows[3]]
    assert [piece.name for piece in pieces] == [f"trips-row-{number:06d}.csv" for number in (1, 2, 3)]
    assert len(times(list(CsvRecording({"one": pieces[0]}, layout).batches()))) == 2


def test_a_header_row_goes_with_every_row_and_other_layouts_are_refused(tmp_path: Path) -> None:
    headed = parse_table_layout({**LAYOUT, "drive_per_row": True})
    assert headed is not None
    (tmp_path / "t.csv").write_bytes(table_text(3))
    pieces = list(row_drives(tmp_path / "t.csv", headed, tmp_path))
    assert [len(times(list(CsvRecording({"p": piece}, headed).batches()))) for piece in pieces] == [1, 1, 1]
    whole = parse_table_layout(LAYOUT)
    assert whole is not None
    with pytest.raises(UnreadableRecordingError, match="drive_per_row"):
        next(row_drives(tmp_path / "t.csv", whole, tmp_path))
