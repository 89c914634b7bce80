"""From recordings to canonical samples: exact facts, validity, instances, damage, and the table's own order."""

import copy
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from fleet_assets.ingestion.recordings.open import open_recording
from fleet_assets.ingestion.recordings.protocol import NS_PER_S
from fleet_assets.ingestion.sensor_sync_and_format_conversion.decode import decode_drive
from fleet_assets.ingestion.sensor_sync_and_format_conversion.start_time import probe_clock
from fleet_assets.policy.documents import load_document
from fleet_assets.policy.vehicles import InvalidSpecError
from fleet_assets.tables.bronze import SENSOR_SAMPLES, SENSOR_STREAMS
from tests.mdf4_factory import MDF4_DBC, MDF4_DBC_NAME, MDF4_SPEC, write_mdf4_drive
from tests.recordings_factory import KMH_PER_MPS, RADAR_OFFSET_M, motion, write_comma2k19_drive
from tests.vehicles import POLICIES, TestVehicle, factory_mdf4, shipped, vehicle

START_NS = 1_700_000_000 * NS_PER_S
DRIVE = {"drive_id": "d1", "day": "2023-11-14", "depot": "ulm"}
SHARED = Path(__file__).parents[3] / "shared" / "data"
COMMA = SHARED / "comma2k19_example" / "sample"
CSS = SHARED / "css_canedge_mf4"
TRIP = CSS / "sample" / "3BA199E2_trip164_morning"


def real(test: Callable[..., None]) -> Callable[..., None]:
    """Mark a test that needs the real recordings."""
    absent = pytest.mark.skipif(not SHARED.is_dir(), reason="the recordings are not in ../shared/data")
    marked: Callable[..., None] = pytest.mark.real_data(absent(test))
    return marked


def decoded(files: Mapping[str, Path], car: TestVehicle, offset_ns: int | None = None) -> tuple[pa.Table, pa.Table]:
    recording = open_recording(files, car.spec.formats)
    if offset_ns is None:
        offset_ns = probe_clock(recording, car.spec, car.dbcs).clock_offset_ns
    return decode_drive(
        recording, car.spec, car.canonical, car.dbcs, clock_offset_ns=offset_ns, drive_columns=DRIVE
    )  # fmt: skip


def signal(samples: pa.Table, name: str, instance: int | None = None) -> dict[str, np.ndarray]:
    chosen = pc.equal(samples["signal"].cast(pa.string()), name)
    if instance is not None:
        chosen = pc.and_(chosen, pc.equal(samples["instance"], instance))
    rows = samples.filter(chosen)
    return {
        "t_ns": rows["t_ns"].to_numpy(),
        "value": rows["value"].to_numpy(),
        "valid": rows["valid"].to_numpy(),
        "instance": rows["instance"].to_numpy(),
    }


def row(streams: pa.Table, sensor: str) -> dict[str, Any]:
    (found,) = [entry for entry in streams.to_pylist() if entry["sensor"] == sensor]
    return found


@pytest.fixture
def toyota(tmp_path: Path) -> tuple[dict[str, Path], TestVehicle]:
    return write_comma2k19_drive(tmp_path / "drive", start_utc_ns=START_NS), shipped("comma2k19_rav4")


def test_tables_have_the_stated_columns_and_already_lie_in_the_tables_own_order(
    toyota: tuple[dict[str, Path], TestVehicle],
) -> None:
    samples, streams = decoded(*toyota)
    assert samples.column_names == SENSOR_SAMPLES.arrow_schema.names
    assert streams.equals(SENSOR_STREAMS.conform(streams))
    plain = samples.cast(SENSOR_SAMPLES.arrow_schema)
    assert plain.sort_by([(name, "ascending") for name in SENSOR_SAMPLES.sort_by]) == plain
    assert SENSOR_SAMPLES.conform(samples).num_rows == samples.num_rows
    assert set(plain["drive_id"].to_pylist()) == {"d1"}


def test_decoding_twice_gives_the_same_bytes(toyota: tuple[dict[str, Path], TestVehicle]) -> None:
    assert decoded(*toyota)[0].equals(decoded(*toyota)[0])


def test_signals_follow_the_true_motion_on_utc(toyota: tuple[dict[str, Path], TestVehicle]) -> None:
    samples, _ = decoded(*toyota)
    for name, tolerance in (("speed_mps", 0.01), ("gnss_speed_mps", 1e-9), ("yaw_rate_radps", 0.006)):
        found = signal(samples, name)
        truth = motion((found["t_ns"] - START_NS) / NS_PER_S, seed=1)
        expected = truth.yaw_rate_radps if name == "yaw_rate_radps" else truth.speed_mps
        np.testing.assert_allclose(found["value"], expected, atol=tolerance + 0.002)
        assert found["valid"].all()


def test_radar_slots_give_rows_only_while_they_hold_an_object(toyota: tuple[dict[str, Path], TestVehicle]) -> None:
    samples, streams = decoded(*toyota)
    distance = signal(samples, "track_distance_m")
    assert set(distance["instance"].tolist()) == {0, 1}
    followed = signal(samples, "track_distance_m", 0)
    assert len(followed["value"]) == 400
    assert len(signal(samples, "track_distance_m", 1)["value"]) == 200
    seconds = (followed["t_ns"] - START_NS) / NS_PER_S
    np.testing.assert_allclose(followed["value"], 30 + np.sin(seconds / 5) + RADAR_OFFSET_M, atol=0.021)
    assert row(streams, "radar")["messages"] == 16 * 400
    assert row(streams, "radar")["rate_hz"] == pytest.approx(20, rel=0.01)


def test_the_utc_offset_signal_is_near_zero_on_corrected_time(toyota: tuple[dict[str, Path], TestVehicle]) -> None:
    samples, _ = decoded(*toyota)
    name = toyota[1].canonical.with_role("utc_offset").name
    assert np.abs(signal(samples, name)["value"]).max() < 0.002
    files, car = toyota
    right_ns = probe_clock(open_recording(files), car.spec, car.dbcs).clock_offset_ns
    late, _ = decoded(files, car, offset_ns=right_ns + 5 * NS_PER_S)
    np.testing.assert_allclose(signal(late, name)["value"], signal(samples, name)["value"] - 5.0, atol=1e-9)


def test_mdf4_signals_follow_the_true_motion_over_split_files(tmp_path: Path) -> None:
    samples, streams = decoded(
        write_mdf4_drive(tmp_path / "m", start_utc_ns=START_NS, files=3), factory_mdf4(tmp_path)
    )  # fmt: skip
    found = signal(samples, "speed_mps")
    truth = motion((found["t_ns"] - START_NS) / NS_PER_S, seed=1)
    np.testing.assert_allclose(found["value"], truth.speed_mps, atol=0.01 / KMH_PER_MPS + 0.002)
    assert row(streams, "inertia")["messages"] == 2000
    assert {entry["broken_rule"] for entry in streams.to_pylist()} == {None}


def edited(**changes: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    """The factory's MDF 4 spec with sensors changed."""
    document = copy.deepcopy(dict(load_document(MDF4_SPEC, "factory")))
    for name, change in changes.items():
        change(document["sensors"][name])
    return document


def mdf4_car(tmp_path: Path, document: dict[str, Any], dbc: str = MDF4_DBC) -> TestVehicle:
    (tmp_path / MDF4_DBC_NAME).write_text(dbc)
    return vehicle(document, (tmp_path,))


def test_rows_that_the_sensor_does_not_vouch_for_stay_marked_invalid(tmp_path: Path) -> None:
    files = write_mdf4_drive(tmp_path / "m", start_utc_ns=START_NS)
    document = edited(motion=lambda sensor: sensor.update(valid_when={"signal": "Speed", "at_least": 55.0}))
    samples, _ = decoded(files, mdf4_car(tmp_path, document))
    found = signal(samples, "speed_mps")
    assert len(found["value"]) == 200
    np.testing.assert_array_equal(found["valid"], found["value"] >= 55.0 / KMH_PER_MPS - 1e-9)
    assert not np.isnan(found["value"]).any()


def test_messages_that_carry_nothing_give_no_rows(tmp_path: Path) -> None:
    files = write_mdf4_drive(tmp_path / "m", start_utc_ns=START_NS)
    bounds = {"signal": "Speed", "at_least": 50.0, "at_most": 55.0}
    document = edited(motion=lambda sensor: sensor.update(present_when=bounds))
    samples, streams = decoded(files, mdf4_car(tmp_path, document))
    found = signal(samples, "speed_mps")["value"] * KMH_PER_MPS
    assert 0 < len(found) < 200
    assert found.min() >= 50 - 1e-9
    assert found.max() <= 55 + 1e-9
    assert row(streams, "motion")["messages"] == 200


def test_sums_scales_offsets_and_frames_are_applied_in_the_unit_as_sent(tmp_path: Path) -> None:
    files = write_mdf4_drive(tmp_path / "m", start_utc_ns=START_NS)
    document = edited(
        inertia=lambda sensor: sensor["signals"].update(
            alt_m={"sum_of": ["AccelZ", "AccelX"], "unit": "cm", "scale": -2, "offset": 100, "frame_axis": "z_m"}
        ),
        motion=lambda sensor: sensor["signals"].pop("alt_m"),
    )
    document["frames"] = {"reference": "hub", "sensors": {"inertia": {"x_m": 0, "y_m": 0, "z_m": 1.5}}}
    plain, _ = decoded(files, factory_mdf4(tmp_path))
    samples, _ = decoded(files, mdf4_car(tmp_path, document))
    parts = signal(plain, "accel_vert_mps2")["value"] + signal(plain, "accel_long_mps2")["value"]
    np.testing.assert_allclose(signal(samples, "alt_m")["value"], (parts * -2 + 100) / 100 + 1.5)


def test_frames_shorter_than_the_signal_give_null_and_are_counted(tmp_path: Path) -> None:
    files = write_mdf4_drive(tmp_path / "m", start_utc_ns=START_NS)
    longer = MDF4_DBC.replace("BO_ 18 motion: 8", "BO_ 18 motion: 16").replace(
        "Altitude : 39|16@0-", "Altitude : 71|16@0-"
    )
    samples, streams = decoded(files, mdf4_car(tmp_path, edited(), longer))
    altitude = signal(samples, "alt_m")
    assert np.isnan(altitude["value"]).all()
    assert len(altitude["value"]) == 200
    assert not altitude["valid"].any()
    assert signal(samples, "speed_mps")["valid"].all()
    found = row(streams, "motion")
    assert (found["broken_rule"], found["messages"]) == ("short_frames", 200)
    assert "200 frames" in found["message"]


def test_values_that_are_no_number_become_null_and_invalid(toyota: tuple[dict[str, Path], TestVehicle]) -> None:
    files, car = toyota
    name = "processed_log/GNSS/live_gnss_ublox/value"
    values = np.load(files[name])
    values[:5, 2] = [np.nan, np.inf, -np.inf, np.nan, np.nan]
    with files[name].open("wb") as stream:
        np.save(stream, values)
    samples, _ = decoded(files, car)
    found = signal(samples, "gnss_speed_mps")
    assert np.isnan(found["value"][:5]).all()
    assert not found["valid"][:5].any()
    assert found["valid"][5:].all()
    assert samples["value"].null_count == 5


def test_a_channel_that_is_not_in_the_recording_is_stated(toyota: tuple[dict[str, Path], TestVehicle]) -> None:
    files, car = toyota
    rest = {name: path for name, path in files.items() if "/gyro/" not in name}
    samples, streams = decoded(rest, car)
    found = row(streams, "imu_gyroscope")
    assert (found["broken_rule"], found["messages"], found["first_t_ns"]) == ("missing_channel", 0, None)
    assert "processed_log/IMU/gyro" in found["message"]
    assert len(signal(samples, "yaw_rate_radps")["value"]) == 0


def test_a_field_that_the_channel_lacks_is_stated_and_the_others_are_read(
    toyota: tuple[dict[str, Path], TestVehicle],
) -> None:
    document = copy.deepcopy(dict(POLICIES["vehicles/comma2k19_rav4"]))
    document["sensors"]["gnss"]["signals"]["alt_m"]["field"] = "value[9]"
    samples, streams = decoded(toyota[0], vehicle(document))
    assert row(streams, "gnss")["broken_rule"] == "missing_field"
    assert "value[9]" in row(streams, "gnss")["message"]
    assert len(signal(samples, "gnss_speed_mps")["value"]) == 200
    assert len(signal(samples, "alt_m")["value"]) == 0


def test_losses_count_to_the_sensor_or_to_the_file_but_never_twice(
    toyota: tuple[dict[str, Path], TestVehicle],
) -> None:
    files, car = toyota
    for name in ("processed_log/IMU/gyro/value", "processed_log/CAN/raw_can/data"):
        content = files[name].read_bytes()
        files[name].write_bytes(content[: len(content) // 2])
    _, streams = decoded(files, car)
    gyro = row(streams, "imu_gyroscope")
    assert (gyro["broken_rule"], gyro["messages"] + gyro["lost_messages"]) == ("truncated_file", 2080)
    raw = row(streams, "processed_log/CAN/raw_can/data")
    assert raw["messages"] == 0
    assert raw["lost_messages"] > 1000
    assert row(streams, "wheel_speeds")["lost_messages"] == 0
    assert SENSOR_STREAMS.conform(streams).num_rows == len(car.spec.sensors) + 1


def test_backward_steps_are_counted_and_samples_are_sorted(toyota: tuple[dict[str, Path], TestVehicle]) -> None:
    files, car = toyota
    name = "processed_log/IMU/gyro/t"
    times = np.load(files[name])
    times[[100, 500]] -= 1.0
    with files[name].open("wb") as stream:
        np.save(stream, times)
    samples, streams = decoded(files, car)
    assert row(streams, "imu_gyroscope")["backward_steps"] == 2
    assert (np.diff(signal(samples, "yaw_rate_radps")["t_ns"]) >= 0).all()


def test_a_signal_that_the_database_lacks_names_sensor_and_database(tmp_path: Path) -> None:
    document = edited(motion=lambda sensor: sensor["signals"]["speed_mps"].update(signal="Sped"))
    files = write_mdf4_drive(tmp_path / "m", start_utc_ns=START_NS, seconds=2)
    with pytest.raises(
        InvalidSpecError, match=r"sensors/motion/signals/speed_mps: no message .* has Sped.*factory.dbc"
    ):
        decoded(files, mdf4_car(tmp_path, document))


def test_a_message_that_the_database_lacks_names_sensor_and_database(tmp_path: Path) -> None:
    document = edited(motion=lambda sensor: sensor.update(messages=["movement"]))
    files = write_mdf4_drive(tmp_path / "m", start_utc_ns=START_NS, seconds=2)
    with pytest.raises(InvalidSpecError, match="sensors/motion: factory.dbc: no message movement"):
        decoded(files, mdf4_car(tmp_path, document))


def test_several_messages_of_one_sensor_each_give_what_they_hold(tmp_path: Path) -> None:
    document = edited()
    sensors = document["sensors"]
    sensors["motion"]["messages"] = ["motion", "position"]
    sensors["motion"]["signals"] |= sensors.pop("position")["signals"]
    samples, streams = decoded(
        write_mdf4_drive(tmp_path / "m", start_utc_ns=START_NS), mdf4_car(tmp_path, document)
    )  # fmt: skip
    assert len(signal(samples, "lat_deg")["value"]) == 200
    assert len(signal(samples, "speed_mps")["value"]) == 200
    assert row(streams, "motion")["messages"] == 400
    assert row(streams, "motion")["rate_hz"] == pytest.approx(10, rel=0.01)


@real
def test_the_first_real_wheel_speeds_are_those_of_the_data_sets_own_decoding() -> None:
    files = {str(path.relative_to(COMMA)): path for path in COMMA.rglob("*") if path.is_file()}
    samples, _ = decoded(files, shipped("comma2k19_rav4"))
    folder = next(path.parent for name, path in files.items() if name.endswith("CAN/wheel_speed/value"))
    expected = np.load(folder / "value")
    for column, wheel in enumerate(("fl", "fr", "rl", "rr")):
        found = signal(samples, f"wheel_speed_{wheel}_mps")["value"]
        np.testing.assert_allclose(found, expected[:, column], atol=1e-9)
    first = signal(samples, "wheel_speed_fl_mps")["value"][:3] * KMH_PER_MPS
    np.testing.assert_allclose(first, [28.86, 28.92, 28.83], atol=1e-9)


@real
def test_real_radar_tracks_are_those_of_the_data_sets_own_decoding() -> None:
    files = {str(path.relative_to(COMMA)): path for path in COMMA.rglob("*") if path.is_file()}
    samples, _ = decoded(files, shipped("comma2k19_rav4"), offset_ns=0)
    folder = next(path.parent for name, path in files.items() if name.endswith("CAN/radar/value"))
    theirs, times = np.load(folder / "value"), np.load(folder / "t")
    order = np.lexsort((times, theirs[:, 5]))
    for column, name in ((0, "track_distance_m"), (1, "track_lateral_m"), (2, "track_rel_speed_mps")):
        found = signal(samples, name)
        np.testing.assert_allclose(found["value"], theirs[order, column], atol=1e-9)
        np.testing.assert_array_equal(found["instance"], theirs[order, 5] - 528)
        np.testing.assert_array_equal(found["t_ns"], np.rint(times[order] * 1e9))


@real
def test_the_real_driver_engages_once_9_02_s_after_the_first_can_frame() -> None:
    files = {str(path.relative_to(COMMA)): path for path in COMMA.rglob("*") if path.is_file()}
    samples, _ = decoded(files, shipped("comma2k19_rav4"), offset_ns=0)
    engaged = signal(samples, "adas_engaged")
    rises = np.flatnonzero(np.diff(engaged["value"]) != 0)
    assert len(rises) == 1
    first = np.load(next(path for name, path in files.items() if name.endswith("raw_can/t")))[0]
    assert engaged["t_ns"][rises[0] + 1] / 1e9 - first == pytest.approx(9.02, abs=0.005)
    assert set(engaged["value"].tolist()) == {0.0, 1.0}
    assert engaged["value"][-1] == 1.0


@real
def test_real_trip_164_holds_one_impossible_acceleration_in_each_of_its_first_three_files() -> None:
    car = shipped("css_canedge", CSS / "dbc")
    paths = sorted(TRIP.iterdir())
    samples, streams = decoded({path.name: path for path in reversed(paths)}, car)
    assert row(streams, "imu")["messages"] == 240_211
    times = signal(samples, "accel_vert_mps2")
    spikes = times["t_ns"][times["value"] == -64.0]
    assert len(spikes) == 3
    offset_ns = probe_clock(open_recording({path.name: path for path in paths}), car.spec, car.dbcs).clock_offset_ns
    for path, spike in zip(paths, spikes, strict=False):
        first, last = open_recording({path.name: path}).extent_ns()
        assert first + offset_ns <= spike <= last + offset_ns
