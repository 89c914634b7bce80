"""Real CAN recordings without a GNSS receiver, to silver: a truck (SAE J1939) and an electric car (UDS)."""

from pathlib import Path

import numpy as np
import pytest

from fleet_assets.ingestion.recordings.dbc import dbc_folders
from fleet_assets.ingestion.recordings.open import open_recording
from tests.harness import TestFleet
from tests.ingestion.test_transport import UDS_DBC

pytestmark = pytest.mark.real_data

TRUCK = "j1939_truck_00000001.MF4"
ELECTRIC = "nissan_leaf_uds_00000170.MF4"
UDS_SPEC = """schema: fleet.vehicle/v1
name: uds_battery
description: The electric car whose answers the recording holds
format: mdf4
dbc:
  main: {path: uds_battery.dbc}
sensors:
  battery:
    kind: can
    channel: CAN
    bus: 1
    dbc: main
    transport: {protocol: isotp, lead_bytes: 1}
    rate_hz: {nominal: 0.5, tolerance: 0.1}
    required: true
    latency_ms: {mean: 50, uncertainty: 100}
    messages: [battery]
    signals:
      battery_soc_percent: {signal: Soc, unit: "%"}
      battery_temperature_degc: {mean_of: [Hottest, Coldest], unit: degC}
clock:
  utc_from: []
"""


@pytest.fixture(scope="module")
def samples(real_data: Path) -> Path:
    return real_data / "css_canedge_mf4" / "sample"


@pytest.fixture(scope="module")
def can_fleet(samples: Path, tmp_path_factory: pytest.TempPathFactory) -> TestFleet:
    """Both recordings through landing zone, real ticks and gates; to be read only."""
    home = tmp_path_factory.mktemp("real_can") / "home"
    fleet = TestFleet(home, depots=("north", "south", "west"), first_day="2020-12-01")
    own = fleet.fleet.settings.policies / "vehicles"
    own.mkdir(parents=True, exist_ok=True)
    (own / "uds_battery.yaml").write_text(UDS_SPEC)
    (own / "uds_battery.dbc").write_text(UDS_DBC)
    for name, spec, depot in (
        (TRUCK, "j1939_truck", "north"),
        (ELECTRIC, "nissan_leaf", "south"),
        (ELECTRIC, "uds_battery", "west"),
    ):
        fleet.upload(
            samples / name,
            spec=spec,
            drive_id=spec,
            vehicle_id=spec,
            depot=depot,
            dbc_folders=dbc_folders(samples / name),
        )
    fleet.turn()
    return fleet


def test_every_frame_of_both_buses_of_the_truck_is_read(samples: Path) -> None:
    from asammdf import MDF

    recording = open_recording({TRUCK: samples / TRUCK})
    buses = np.concatenate([batch.columns["bus"] for batch in recording.batches()])
    counts = dict(zip(*np.unique(buses, return_counts=True), strict=True))
    assert counts == {1: 139_136, 9: 11_275}
    with MDF(samples / TRUCK) as oracle:
        frames = [
            int(group.channel_group.cycles_nr)
            for group in oracle.groups
            if any(channel.name == "CAN_DataFrame" for channel in group.channels)
        ]
    assert sum(frames) == len(buses)
    assert recording.summary().losses == ()


def test_the_truck_is_clean_on_the_loggers_own_clock(can_fleet: TestFleet) -> None:
    (drive,) = can_fleet.sql("select * from bronze.drive_status where drive_id = 'j1939_truck'")
    assert (drive["status"], drive["day"], drive["time_source"]) == ("clean", "2023-11-30", "container")
    assert drive["duration_s"] == pytest.approx(401.5763)
    assert set(can_fleet.gates().values()) == {"pass"}


def test_the_truck_stood_with_its_engine_off_as_asammdf_decodes_too(can_fleet: TestFleet, samples: Path) -> None:
    from asammdf import MDF

    database = samples.parent / "dbc" / "CSS-Electronics-SAE-J1939-DEMO.dbc"
    with MDF(samples / TRUCK) as raw, raw.extract_bus_logging({"CAN": [(str(database), 0)]}) as decoded:
        speed, engine = decoded.get("WheelBasedVehicleSpeed"), decoded.get("EngineSpeed")
    rows = can_fleet.sql("select signal, value from bronze.sensor_samples where drive_id = 'j1939_truck' order by t_ns")
    for signal, oracle, factor in (("speed_mps", speed, 1 / 3.6), ("engine_speed_rpm", engine, 1.0)):
        values = [row["value"] for row in rows if row["signal"] == signal]
        assert len(values) == 3993
        assert np.allclose(values, oracle.samples * factor)
    silver = can_fleet.sql(
        "select count(*) as instants, count(speed_mps) as speeds, count(engine_speed_rpm) as engines "
        "from silver.signals where drive_id = 'j1939_truck'"
    )[0]
    # Two seconds without frames at +385 s stay empty for the engine and are crossed for the speed.
    assert 4010 <= silver["instants"] <= 4017
    assert silver["speeds"] >= silver["engines"] >= 3990


def test_the_leaf_is_quarantined_because_its_answers_are_of_another_car(can_fleet: TestFleet) -> None:
    (row,) = can_fleet.sql("select rule, value from bronze.quarantine where drive_id = 'nissan_leaf'")
    assert row["rule"] == "signal_short"
    (stream,) = can_fleet.sql("select * from bronze.sensor_streams where drive_id = 'nissan_leaf'")
    assert (stream["messages"], stream["broken_rule"]) == (150, "never_selected")
    assert "SoC (needs service 97, found 98)" in stream["message"]
    assert can_fleet.sql("select count(*) as n from silver.signals where drive_id = 'nissan_leaf'")[0]["n"] == 0


def test_the_answers_that_are_there_reach_silver_with_the_database_of_their_car(can_fleet: TestFleet) -> None:
    (drive,) = can_fleet.sql("select * from bronze.drive_status where drive_id = 'uds_battery'")
    assert (drive["status"], drive["time_source"], drive["day"]) == ("clean", "container", "2020-12-15")
    (stream,) = can_fleet.sql("select * from bronze.sensor_streams where drive_id = 'uds_battery'")
    assert (stream["messages"], stream["lost_messages"], stream["broken_rule"]) == (120, 0, "incomplete_transport")
    assert stream["message"].startswith("30 messages of several frames")
    (silver,) = can_fleet.sql(
        "select min(battery_soc_percent) as low, max(battery_soc_percent) as high, "
        "min(battery_temperature_degc) as cold, max(battery_temperature_degc) as warm, count(*) as instants, "
        "count(battery_soc_percent) as held from silver.signals where drive_id = 'uds_battery'"
    )
    assert (silver["low"], silver["high"], silver["cold"], silver["warm"]) == (50.0, 50.0, 9.5, 9.5)
    assert silver["held"] / silver["instants"] > 0.75
