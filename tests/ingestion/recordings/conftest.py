"""Fixtures that several tests of recordings share."""

from pathlib import Path

import pytest

from tests.ingestion.recordings.folders import START_NS
from tests.mdf4_factory import write_mdf4_drive


@pytest.fixture
def mdf4(tmp_path: Path) -> Path:
    """A folder with one MDF 4 drive of three files."""
    write_mdf4_drive(tmp_path / "card", start_utc_ns=START_NS, seconds=6, files=3)
    return tmp_path / "card"
