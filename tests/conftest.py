"""Fixtures for all tests. End-to-end tests use `tests/harness.py`; domain tests need neither."""

import os
import shutil
from pathlib import Path

import pytest
from hypothesis import settings

from tests.demo_fleet import DemoFleet, make_demo_fleet
from tests.harness import REAL_DATA, TestFleet, utc_ns
from tests.recordings_factory import write_comma2k19_drive

# A property holds or it does not; how long an example takes says more about the machine.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


@pytest.fixture
def fleet(tmp_path: Path) -> TestFleet:
    """A fresh fleet with two depots."""
    return TestFleet(tmp_path / "home")


@pytest.fixture(scope="session")
def shared_fleet(tmp_path_factory: pytest.TempPathFactory) -> TestFleet:
    """One small fleet per test run, to be read only: two clean drives, and one quarantined for a missing sensor."""
    folder = tmp_path_factory.mktemp("shared_fleet")
    fleet = TestFleet(folder / "home")
    fleet.upload_synthetic(
        folder / "a", "2024-05-01T08:00:00", seed=1, seconds=15, depot="north", drive_id="clean-north"
    )
    fleet.upload_synthetic(
        folder / "b", "2024-05-01T09:00:00", seed=2, seconds=15, depot="south", drive_id="clean-south"
    )
    write_comma2k19_drive(folder / "c", start_utc_ns=utc_ns("2024-05-02T08:00:00"), seconds=15, seed=3)
    shutil.rmtree(folder / "c" / "processed_log" / "IMU" / "accelerometer")
    fleet.upload(folder / "c", depot="north", drive_id="held-north")
    fleet.turn()
    return fleet


@pytest.fixture(scope="session")
def demo_fleet(tmp_path_factory: pytest.TempPathFactory) -> DemoFleet:
    """The demo fleet without pictures, made by `fleet demo` once per test run; to be read only.

    All workers of a test run share it: the first one that asks makes it while the others wait.
    """
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    return make_demo_fleet(shared / "demo_fleet")


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The real recordings, where they exist."""
    if not REAL_DATA.is_dir():
        pytest.skip("real recordings (../shared/data) are not here")
    return REAL_DATA
