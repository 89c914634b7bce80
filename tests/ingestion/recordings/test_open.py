"""Formats are told from content; what is not a recording is named."""

from pathlib import Path

import pytest

from fleet_assets.ingestion.recordings.open import FORMATS, open_recording, sniff_format
from fleet_assets.ingestion.recordings.protocol import NS_PER_S, UnreadableRecordingError
from tests.mdf4_factory import write_mdf4_drive
from tests.recordings_factory import write_comma2k19_drive

START_NS = 1_700_000_000 * NS_PER_S


def test_the_format_is_told_from_content_whatever_the_names_say(tmp_path: Path) -> None:
    arrays = write_comma2k19_drive(tmp_path / "a", start_utc_ns=START_NS, seconds=2)
    logs = write_mdf4_drive(tmp_path / "b", start_utc_ns=START_NS, seconds=2)
    assert sniff_format(arrays) == "comma2k19"
    assert sniff_format(logs) == "mdf4"
    disguised = tmp_path / "table.csv.gz"
    disguised.write_bytes(next(iter(logs.values())).read_bytes())
    assert sniff_format({"table.csv.gz": disguised}) == "mdf4"


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (b"", "empty"),
        (bytes(100), "zeros only"),
        (b"a few words,\nand more\n", "text"),
        (b"#ROSBAG V1.2\n", "ROS bag of a format before 2.0"),
        (b"PK\x03\x04" + bytes(50), "ZIP archive"),
        (b"\x1f\x8b\x08" + bytes(50), "gzip"),
        (b"MDF     3.30    " + bytes(100), "MDF of a version before 4"),
        (b"\xde\xad\xbe\xef" * 20, "unknown content (de ad be ef"),
    ],
)
def test_what_is_no_recording_is_named_with_the_formats_that_are(tmp_path: Path, content: bytes, named: str) -> None:
    (tmp_path / "blob").write_bytes(content)
    with pytest.raises(UnreadableRecordingError) as caught:
        open_recording({"log": tmp_path / "blob"})
    assert caught.value.rule == "unknown_format"
    assert named in str(caught.value)
    assert all(name in str(caught.value) for name in FORMATS)


def test_a_drive_without_files_is_refused() -> None:
    with pytest.raises(UnreadableRecordingError, match="no files"):
        open_recording({})


def test_two_formats_in_one_drive_are_refused(tmp_path: Path) -> None:
    files = write_comma2k19_drive(tmp_path / "a", start_utc_ns=START_NS, seconds=2)
    files |= write_mdf4_drive(tmp_path / "b", start_utc_ns=START_NS, seconds=2)
    with pytest.raises(UnreadableRecordingError, match="Make them two drives"):
        open_recording(files)


def test_a_spec_of_another_format_is_refused(tmp_path: Path) -> None:
    files = write_mdf4_drive(tmp_path, start_utc_ns=START_NS, seconds=2)
    with pytest.raises(UnreadableRecordingError, match="wrong_format: found mdf4, expected comma2k19"):
        open_recording(files, ("comma2k19",))
    with pytest.raises(UnreadableRecordingError, match="unknown_format: found betamax"):
        open_recording(files, ("betamax",))
