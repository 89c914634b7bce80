"""A lidar's calibration is an input of what is made with it, and of nothing else."""

from pathlib import Path
from typing import Any

import pytest

from fleet_assets.ingestion.sensor_sync_and_format_conversion.lidar.operators import MAKE_SWEEPS
from fleet_assets.ingestion.sensor_sync_and_format_conversion.operators import ALIGN, DECODE
from fleet_assets.ingestion.units import IngestionState
from fleet_assets.ingestion.vehicle import vehicle_of
from fleet_assets.policy.documents import InvalidPolicyError, load_policies
from fleet_assets.provenance.fingerprints import Operator

SHIPPED = Path(__file__).parents[3] / "policies"


def state_of(overlay: Path) -> IngestionState:
    nothing: Any = None
    return IngestionState(
        lake=nothing, tables={}, policies=load_policies(overlay), dbc_folders=(), uploads=(), requests=(), depots=(),
        first_day="", last_day="", landing=nothing, objects=nothing,
        weights=nothing,
    )  # fmt: skip


def fingerprint(state: IngestionState, operator: Operator, spec: str) -> str:
    return state.fingerprint(operator, "drive", spec, {})


@pytest.fixture
def corrected(tmp_path: Path) -> Path:
    """Policies of a home in which the VLP-16 counts from 0.7 m."""
    text = (SHIPPED / "calibrations" / "velodyne_vlp16.yaml").read_text()
    assert "min: 0.5" in text
    (tmp_path / "calibrations").mkdir()
    (tmp_path / "calibrations" / "velodyne_vlp16.yaml").write_text(text.replace("min: 0.5", "min: 0.7"))
    return tmp_path


def test_a_changed_calibration_makes_the_sweeps_of_its_vehicles_anew_and_nothing_else(
    tmp_path: Path, corrected: Path
) -> None:
    before, after = state_of(tmp_path / "none"), state_of(corrected)
    assert fingerprint(before, MAKE_SWEEPS, "nebula_vlp16") != fingerprint(after, MAKE_SWEEPS, "nebula_vlp16")
    assert fingerprint(before, MAKE_SWEEPS, "nebula_xt32") == fingerprint(after, MAKE_SWEEPS, "nebula_xt32")
    for operator in (DECODE, ALIGN):
        assert fingerprint(before, operator, "nebula_vlp16") == fingerprint(after, operator, "nebula_vlp16")


def test_a_calibration_that_is_not_there_is_named_with_those_that_are(tmp_path: Path) -> None:
    text = (SHIPPED / "vehicles" / "nebula_vlp16.yaml").read_text()
    (tmp_path / "vehicles").mkdir()
    (tmp_path / "vehicles" / "nebula_vlp16.yaml").write_text(text.replace("velodyne_vlp16", "unit_0815"))
    with pytest.raises(InvalidPolicyError, match=r"no policy 'calibrations/unit_0815'. Known: .*velodyne_vlp32c"):
        vehicle_of(load_policies(tmp_path), "nebula_vlp16", [])


def test_a_calibration_states_the_name_of_its_file(tmp_path: Path) -> None:
    text = (SHIPPED / "calibrations" / "velodyne_vlp16.yaml").read_text()
    (tmp_path / "calibrations").mkdir()
    (tmp_path / "calibrations" / "mine.yaml").write_text(text)
    with pytest.raises(InvalidPolicyError, match="Name file and spec alike"):
        load_policies(tmp_path)


def test_only_a_lidar_has_a_lidar_calibration(tmp_path: Path) -> None:
    text = (SHIPPED / "vehicles" / "nebula_vlp16.yaml").read_text()
    (tmp_path / "vehicles").mkdir()
    (tmp_path / "vehicles" / "nebula_vlp16.yaml").write_text(text.replace("kind: lidar", "kind: camera"))
    with pytest.raises(
        InvalidPolicyError, match="sensors/lidar/calibration: 'velodyne_vlp16', but the sensor is a camera"
    ):
        vehicle_of(load_policies(tmp_path), "nebula_vlp16", [])
