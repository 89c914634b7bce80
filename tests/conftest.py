"""Fixtures for all tests. End-to-end tests use `tests/harness.py`; domain tests need neither."""

from pathlib import Path

import pytest

from tests.harness import REAL_DATA, TestFleet


@pytest.fixture
def fleet(tmp_path: Path) -> TestFleet:
    """A fresh fleet with two depots."""
    return TestFleet(tmp_path / "home")


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The real recordings, where they exist."""
    if not REAL_DATA.is_dir():
        pytest.skip("real recordings (../shared/data) are not here")
    return REAL_DATA
