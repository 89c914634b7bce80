"""`fleet vehicle check`: what of a spec maps onto a recording, what does not, and what is left over."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fleet_assets.ingestion.recordings.open import open_recording
from fleet_assets.ingestion.recordings.protocol import NS_PER_S
from fleet_assets.ingestion.sensor_sync_and_format_conversion.vehicle_check import (
    CheckRow,
    Fit,
    VehicleCheck,
    check_vehicle,
)
from fleet_assets.policy.documents import load_document
from tests.mdf4_factory import MDF4_DBC, MDF4_SPEC, write_mdf4_drive
from tests.recordings_factory import write_comma2k19_drive
from tests.vehicles import POLICIES, TestVehicle, factory_mdf4, shipped, vehicle

START_NS = 1_700_000_000 * NS_PER_S
SHARED = Path(__file__).parents[3] / "shared" / "data"


def check(files: dict[str, Path], car: TestVehicle) -> VehicleCheck:
    return check_vehicle(open_recording(files), car.spec, car.canonical, car.dbcs)


def rows(found: VehicleCheck, sensor: str) -> list[CheckRow]:
    return [row for row in found.rows if row.sensor == sensor]


def changed(tmp_path: Path, sensor: str, change: Callable[[dict[str, Any]], None]) -> TestVehicle:
    factory_mdf4(tmp_path)
    document = copy.deepcopy(dict(load_document(MDF4_SPEC, "factory")))
    change(document["sensors"][sensor])
    return vehicle(document, (tmp_path,))


def test_a_fitting_spec_maps_everything_at_its_stated_rates(tmp_path: Path) -> None:
    found = check(write_comma2k19_drive(tmp_path, start_utc_ns=START_NS), shipped("comma2k19_rav4"))
    assert found.fits
    assert {row.fit for row in found.rows} == {Fit.MAPS}
    assert len(rows(found, "radar")) == 16
    (wheels,) = rows(found, "wheel_speeds")
    assert wheels.source == "processed_log/CAN/raw_can bus 0 0xAA WHEEL_SPEEDS"
    assert wheels.messages == 1660
    assert wheels.measured_hz == pytest.approx(83, rel=0.01)


def test_what_the_spec_does_not_use_is_listed_with_its_rate(tmp_path: Path) -> None:
    document = copy.deepcopy(dict(POLICIES["vehicles/comma2k19_rav4"]))
    del document["sensors"]["brake"]
    del document["sensors"]["imu_gyroscope"]
    found = check(write_comma2k19_drive(tmp_path, start_utc_ns=START_NS), vehicle(document))
    unused = {row.source: row for row in found.rows if row.fit is Fit.UNUSED}
    assert set(unused) == {"processed_log/IMU/gyro", "processed_log/CAN/raw_can bus 0 0x224"}
    assert unused["processed_log/CAN/raw_can bus 0 0x224"].measured_hz == pytest.approx(41, rel=0.02)
    assert {"yaw_rate_radps", "brake_pressed"} <= set(found.unmapped)
    assert found.fits


@pytest.mark.parametrize(
    ("change", "fit"),
    [
        (lambda sensor: sensor.update(bus=3), Fit.NO_MESSAGES),
        (lambda sensor: sensor.update(channel="CAN2"), Fit.MISSING_CHANNEL),
        (lambda sensor: sensor["rate_hz"].update(nominal=50), Fit.RATE_DIFFERS),
        (lambda sensor: sensor["signals"]["speed_mps"].update(unit="m/s"), Fit.UNIT_DIFFERS),
    ],
    ids=["bus", "channel", "rate", "unit"],
)
def test_each_mistake_is_named_with_what_to_correct(
    tmp_path: Path, change: Callable[[dict[str, Any]], None], fit: Fit
) -> None:
    files = write_mdf4_drive(tmp_path / "m", start_utc_ns=START_NS)
    found = check(files, changed(tmp_path, "motion", change))
    (row,) = rows(found, "motion")
    assert row.fit is fit
    assert "Correct" in row.detail
    assert found.fits == (fit in {Fit.RATE_DIFFERS, Fit.UNIT_DIFFERS})


def test_a_missing_field_is_named_with_those_that_exist(tmp_path: Path) -> None:
    document = copy.deepcopy(dict(POLICIES["vehicles/comma2k19_rav4"]))
    document["sensors"]["imu_gyroscope"]["signals"]["yaw_rate_radps"]["field"] = "rate[2]"
    found = check(write_comma2k19_drive(tmp_path, start_utc_ns=START_NS), vehicle(document))
    (row,) = rows(found, "imu_gyroscope")
    assert row.fit is Fit.MISSING_FIELD
    assert "no rate[2] among value" in row.detail


def test_a_database_of_another_model_shows_as_short_frames(tmp_path: Path) -> None:
    car = factory_mdf4(tmp_path)
    longer = MDF4_DBC.replace("motion: 8", "motion: 16").replace("Altitude : 39|", "Altitude : 71|")
    (tmp_path / "factory.dbc").write_text(longer)
    car = vehicle(load_document(MDF4_SPEC, "factory"), (tmp_path,))
    (row,) = rows(check(write_mdf4_drive(tmp_path / "m", start_utc_ns=START_NS), car), "motion")
    assert row.fit is Fit.SHORT_FRAMES


@pytest.mark.real_data
@pytest.mark.skipif(not SHARED.is_dir(), reason="the recordings are not in ../shared/data")
def test_the_shipped_specs_fit_their_real_recordings() -> None:
    root = SHARED / "comma2k19_example" / "sample"
    files = {str(path.relative_to(root)): path for path in root.rglob("*") if path.is_file()}
    toyota = check(files, shipped("comma2k19_rav4"))
    trip = SHARED / "css_canedge_mf4" / "sample" / "3BA199E2_trip164_morning"
    css = check(
        {path.name: path for path in trip.iterdir()}, shipped("css_canedge", SHARED / "css_canedge_mf4" / "dbc")
    )
    for found in (toyota, css):
        assert found.fits
        assert {row.fit for row in found.rows if row.sensor} == {Fit.MAPS}
    assert "CAN bus 1 0x7E8" in {row.source for row in css.rows if row.fit is Fit.UNUSED}
