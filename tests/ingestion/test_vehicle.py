"""A vehicle as the operators use it: DBC and calibration files found, applied, and part of the fingerprint."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from fleet_assets.ingestion.recordings.dbc import DbcNotFoundError
from fleet_assets.ingestion.vehicle import Vehicle, dbcs_to_adopt, vehicle_of
from fleet_assets.policy.documents import InvalidPolicyError, load_policies
from tests.harness import COMMA_SPEC, CSS_SPEC

SHIPPED = Path(__file__).resolve().parents[2] / "policies" / "vehicles" / f"{COMMA_SPEC}.yaml"


def home_with(folder: Path, calibration: dict[str, Any] | None, sensor: str = "imu_gyroscope") -> Vehicle:
    """The RAV4 under a home whose spec names a calibration file."""
    specs = folder / "vehicles"
    specs.mkdir(parents=True, exist_ok=True)
    spec = {**yaml.safe_load(SHIPPED.read_text()), "calibration": {sensor: {"path": "unit7.json"}}}
    (specs / SHIPPED.name).write_text(yaml.safe_dump(spec, sort_keys=False))
    if calibration is not None:
        (specs / "unit7.json").write_text(json.dumps(calibration))
    return vehicle_of(load_policies(folder), COMMA_SPEC, [specs])


def corrections(**signals: dict[str, float]) -> dict[str, Any]:
    return {"schema": "fleet.calibration/v1", "signals": signals}


def test_a_calibration_scales_and_shifts_the_canonical_value(tmp_path: Path) -> None:
    plain = vehicle_of(load_policies(), COMMA_SPEC, []).spec.sensors["imu_gyroscope"].signals["yaw_rate_radps"]
    vehicle = home_with(tmp_path, corrections(yaw_rate_radps={"scale": 1.02, "offset": -0.003}))
    body = vehicle.spec.sensors["imu_gyroscope"].signals["yaw_rate_radps"]

    def canonical(signal: Any, raw: float) -> float:
        into = signal.to_canonical
        return float((raw * signal.scale + signal.offset) * into.scale + into.offset + signal.shift)

    for raw in (-1.5, 0.0, 0.25):
        assert canonical(body, raw) == pytest.approx(1.02 * canonical(plain, raw) - 0.003, abs=1e-12)


def test_another_calibration_is_another_fingerprint(tmp_path: Path) -> None:
    one = home_with(tmp_path, corrections(yaw_rate_radps={"scale": 1.02}))
    other = home_with(tmp_path, corrections(yaw_rate_radps={"scale": 1.03}))
    again = home_with(tmp_path, corrections(yaw_rate_radps={"scale": 1.02}))
    assert one.input_digest == again.input_digest
    assert one.input_digest != other.input_digest


def test_a_missing_calibration_file_is_named_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(DbcNotFoundError, match=r"calibration of imu_gyroscope.*unit7\.json.*Put the file"):
        home_with(tmp_path, None)


@pytest.mark.parametrize(
    ("calibration", "sensor", "words"),
    [
        (corrections(speed_mps={"scale": 2.0}), "imu_gyroscope", "not of this sensor"),
        (corrections(yaw_rate_radps={"scale": 0.0}), "imu_gyroscope", "scale"),
        (corrections(yaw_rate_radps={"factor": 1.0}), "imu_gyroscope", "factor"),
        (corrections(yaw_rate_radps={"scale": 1.0}), "no_such_sensor", "no such sensor"),
    ],
)
def test_a_wrong_calibration_is_refused_by_name(
    tmp_path: Path, calibration: dict[str, Any], sensor: str, words: str
) -> None:
    with pytest.raises(InvalidPolicyError, match=words):
        home_with(tmp_path, calibration, sensor)


def test_dbc_files_beside_a_recording_are_taken_once(tmp_path: Path) -> None:
    home, beside = tmp_path / "home", tmp_path / "dbc"
    home.mkdir()
    beside.mkdir()
    (beside / "canmod-gps.dbc").write_text('VERSION ""\n')
    vehicle = vehicle_of(load_policies(), CSS_SPEC, [home, beside])
    assert dbcs_to_adopt(vehicle, home, [beside]) == [(beside / "canmod-gps.dbc", home / "canmod-gps.dbc")]
    (home / "canmod-gps.dbc").write_text('VERSION ""\n')
    assert dbcs_to_adopt(vehicle, home, [beside]) == []
