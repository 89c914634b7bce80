"""Small recordings of a plausible drive, in both formats, for tests that must run without real data.

The car follows one smooth speed profile; every sensor is sampled from it, so that rates, clocks, wheel speeds, GNSS and
radar agree with each other as the vehicle specs expect.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fleet_assets.ingestion.recordings.dbc import find_dbcs
from fleet_assets.ingestion.sensor_sync_and_format_conversion.can_decode import MessageLayout, parse_messages
from fleet_assets.policy.vehicles import DbcRef, Frames, VehicleSpec

NS_PER_S: Final = 1_000_000_000
EARTH_RADIUS_M: Final = 6_371_000.0
KMH_PER_MPS: Final = 3.6
RADAR_OFFSET_M: Final = 2.70
CAN_RATE_HZ: Final = {"WHEEL_SPEEDS": 83.0, "STEER_ANGLE_SENSOR": 83.0, "BRAKE_MODULE": 41.0, "PCM_CRUISE": 33.0}
RADAR_SLOTS: Final = 16
RADAR_RATE_HZ: Final = 20.0
IMU_RATE_HZ: Final = 104.0
GNSS_RATE_HZ: Final = 10.0

MDF4_VEHICLE: Final = "factory_mdf4"
MDF4_DBC_NAME: Final = "factory.dbc"
MDF4_DBC: Final = """VERSION ""

NS_ :

BS_:

BU_:

BO_ 16 clock: 8 Vector__XXX
 SG_ Fix : 0|1@1+ (1,0) [0|1] "" Vector__XXX
 SG_ Epoch : 8|48@1+ (0.001,0) [0|0] "sec" Vector__XXX

BO_ 17 position: 8 Vector__XXX
 SG_ Latitude : 0|32@1- (1e-07,0) [-90|90] "deg" Vector__XXX
 SG_ Longitude : 32|32@1- (1e-07,0) [-180|180] "deg" Vector__XXX

BO_ 18 motion: 8 Vector__XXX
 SG_ Speed : 7|16@0+ (0.01,0) [0|655.35] "km/h" Vector__XXX
 SG_ Heading : 23|16@0+ (0.01,0) [0|360] "deg" Vector__XXX
 SG_ Altitude : 39|16@0- (0.1,0) [-1000|9000] "m" Vector__XXX

BO_ 19 inertia: 8 Vector__XXX
 SG_ AccelX : 0|16@1- (0.001,0) [-32|32] "m/s^2" Vector__XXX
 SG_ AccelY : 16|16@1- (0.001,0) [-32|32] "m/s^2" Vector__XXX
 SG_ AccelZ : 32|16@1- (0.001,0) [-32|32] "m/s^2" Vector__XXX
 SG_ YawRate : 48|16@1- (0.01,0) [-300|300] "deg/s" Vector__XXX
"""
MDF4_SPEC: Final = """schema: fleet.vehicle/v1
name: factory_mdf4
description: Test vehicle with one CAN bus, logged as split MDF 4 files
format: mdf4
dbc:
  main: {path: factory.dbc}
sensors:
  clock:
    kind: gnss
    channel: CAN
    bus: 1
    dbc: main
    rate_hz: {nominal: 1, tolerance: 0.2}
    required: true
    latency_ms: {mean: 0, uncertainty: 300}
    messages: [clock]
    valid_when: {signal: Fix, equals: 1}
    utc: {signal: Epoch, unit: s}
    signals: {}
  position:
    kind: gnss
    channel: CAN
    bus: 1
    dbc: main
    rate_hz: {nominal: 10, tolerance: 0.2}
    required: true
    messages: [position]
    signals:
      lat_deg: {signal: Latitude, unit: deg}
      lon_deg: {signal: Longitude, unit: deg}
  motion:
    kind: can
    channel: CAN
    bus: 1
    dbc: main
    rate_hz: {nominal: 10, tolerance: 0.2}
    required: true
    messages: [motion]
    signals:
      speed_mps: {signal: Speed, unit: km/h}
      heading_deg: {signal: Heading, unit: deg}
      alt_m: {signal: Altitude, unit: m}
  inertia:
    kind: imu
    channel: CAN
    bus: 1
    dbc: main
    rate_hz: {nominal: 100, tolerance: 0.2}
    required: true
    messages: [inertia]
    signals:
      accel_long_mps2: {signal: AccelX, unit: m/s^2}
      accel_lat_mps2: {signal: AccelY, unit: m/s^2}
      accel_vert_mps2: {signal: AccelZ, unit: m/s^2}
      yaw_rate_radps: {signal: YawRate, unit: deg/s}
clock:
  utc_from: [clock]
"""


@dataclass(frozen=True, slots=True)
class Motion:
    """The true state of the car at some instants, all float64[n].

    Attributes:
        speed_mps: Speed.
        accel_mps2: Its derivative.
        yaw_rate_radps: Yaw rate, left positive.
        heading_deg: Course, clockwise from north.
        lat_deg: Latitude.
        lon_deg: Longitude.
        alt_m: Altitude.
    """

    speed_mps: NDArray[np.float64]
    accel_mps2: NDArray[np.float64]
    yaw_rate_radps: NDArray[np.float64]
    heading_deg: NDArray[np.float64]
    lat_deg: NDArray[np.float64]
    lon_deg: NDArray[np.float64]
    alt_m: NDArray[np.float64]


def motion(t_s: NDArray[np.float64], seed: int) -> Motion:
    """State of the car of one seed, seconds after its start; the same seed is the same drive at any rate."""
    rng = np.random.default_rng(seed)
    base, swing, period = rng.uniform(12, 20), rng.uniform(1, 4), rng.uniform(20, 40)
    yaw_swing, yaw_period = rng.uniform(0.005, 0.02), rng.uniform(15, 30)
    lat, lon, alt, heading = rng.uniform(47, 55), rng.uniform(6, 14), rng.uniform(20, 400), rng.uniform(20, 60)
    phase, yaw_phase = 2 * np.pi * t_s / period, 2 * np.pi * t_s / yaw_period
    turned = yaw_swing * yaw_period / (2 * np.pi) * (1 - np.cos(yaw_phase))
    course = np.radians(heading) - turned
    # Position along the mean course: a metre of error over a test drive shows nowhere.
    way = base * t_s + swing * period / (2 * np.pi) * (1 - np.cos(phase))
    return Motion(
        speed_mps=base + swing * np.sin(phase),
        accel_mps2=swing * 2 * np.pi / period * np.cos(phase),
        yaw_rate_radps=yaw_swing * np.sin(yaw_phase),
        heading_deg=np.degrees(course),
        lat_deg=lat + np.degrees(way * np.cos(np.radians(heading)) / EARTH_RADIUS_M),
        lon_deg=lon + np.degrees(way * np.sin(np.radians(heading)) / EARTH_RADIUS_M / np.cos(np.radians(lat))),
        alt_m=alt + 2 * np.sin(phase / 3),
    )


def pack(message: MessageLayout, physical: Mapping[str, Any], count: int) -> NDArray[np.uint8]:
    """Encode frames of one message, all at once; signals that are not given are zero bits.

    Args:
        message: The message.
        physical: Value or float64[n] by signal.
        count: Frames.

    Returns:
        uint8[n, 8].
    """
    frames = np.zeros((count, 8), dtype=np.uint8)
    for name, values in physical.items():
        signal = message.signals[name]
        steps = np.rint((np.broadcast_to(np.asarray(values, np.float64), count) - signal.offset) / signal.scale)
        raw = steps.astype(np.int64).view(np.uint64) & np.uint64((1 << signal.length) - 1)
        for index, shift in signal.bytes:
            part = raw >> np.uint64(shift) if shift >= 0 else raw << np.uint64(-shift)
            frames[:, index] |= (part & np.uint64(0xFF)).astype(np.uint8)
    return frames


def _ticks(seconds: float, rate_hz: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """Time stamps of one sensor with a little jitter, ascending, from shortly after zero on."""
    count = max(2, int(seconds * rate_hz))
    jitter: NDArray[np.float64] = rng.uniform(0, 0.2, count)
    return (np.arange(count) + 0.1 + jitter) / rate_hz


def _toyota() -> dict[str, MessageLayout]:
    spec = VehicleSpec(
        "factory", "", (), {}, Frames("camera", {}),
        {
            "powertrain": DbcRef("powertrain", package="opendbc", file="toyota_new_mc_pt_generated.dbc"),
            "adas": DbcRef("adas", package="opendbc", file="toyota_adas.dbc"),
        },
        (), (), "",
    )  # fmt: skip
    dbcs = find_dbcs(spec, ())
    tracks = frozenset(f"TRACK_A_{slot}" for slot in range(RADAR_SLOTS))
    return {
        **parse_messages(dbcs["powertrain"].text, frozenset(CAN_RATE_HZ), False),
        **parse_messages(dbcs["adas"].text, tracks, False),
    }


def _powertrain(name: str, state: Motion, t_s: NDArray[np.float64], engage_s: float) -> dict[str, Any]:
    if name == "WHEEL_SPEEDS":
        return {f"WHEEL_SPEED_{wheel}": state.speed_mps * KMH_PER_MPS for wheel in ("FL", "FR", "RL", "RR")}
    if name == "STEER_ANGLE_SENSOR":
        angle = np.degrees(state.yaw_rate_radps) * 15
        coarse = np.trunc(angle / 1.5) * 1.5
        return {"STEER_ANGLE": coarse, "STEER_FRACTION": np.clip(angle - coarse, -0.7, 0.7)}
    if name == "BRAKE_MODULE":
        return {"BRAKE_PRESSED": 0.0}
    return {"CRUISE_ACTIVE": (t_s >= engage_s).astype(np.float64)}


def _radar(slot: int, t_s: NDArray[np.float64]) -> dict[str, Any]:
    """Slot 0 follows the car ahead, slot 1 a car in the next lane for the first half; the others are empty."""
    there = t_s >= 0 if slot == 0 else (t_s < t_s[-1] / 2 if slot == 1 else t_s < 0)
    return {
        "LONG_DIST": np.where(there, 30.0 + slot * 10 + np.sin(t_s / 5), 0.0),
        "LAT_DIST": np.where(there, slot * 3.5, 0.0),
        "REL_SPEED": np.where(there, np.cos(t_s / 5) / 5, 0.0),
        "VALID": there.astype(np.float64),
    }


def _save(folder: Path, name: str, array: NDArray[Any]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / name).open("wb") as stream:
        np.save(stream, array, allow_pickle=False)


def write_comma2k19_drive(
    folder: Path, *, start_utc_ns: int, seconds: float = 20.0, seed: int = 1, boot_s: float | None = None
) -> dict[str, Path]:
    """Write a drive as a comma2k19 folder that the spec `comma2k19_rav4` maps.

    Args:
        folder: Folder to make; `processed_log` lies directly in it.
        start_utc_ns: UTC of the drive's zero, stated by the GNSS only: the arrays are on a boot clock.
        seconds: Length.
        seed: Which drive; other seeds are other roads.
        boot_s: Boot clock at the drive's zero; of the seed's choice when None.

    Returns:
        The files by relative name.
    """
    rng = np.random.default_rng([seed, 1])
    zero_s = float(np.random.default_rng([seed, 2]).integers(1_000, 50_000)) if boot_s is None else boot_s
    log = folder / "processed_log"
    _write_fields(log, rng=rng, zero_s=zero_s, start_utc_ns=start_utc_ns, seconds=seconds, seed=seed)
    layouts = _toyota()
    times, buses, ids, frames = [], [], [], []
    for name, layout in layouts.items():
        t_s = _ticks(seconds, CAN_RATE_HZ.get(name, RADAR_RATE_HZ), rng)
        radar = name not in CAN_RATE_HZ
        values = (
            _radar(int(name.rsplit("_", 1)[1]), t_s)
            if radar
            else _powertrain(name, motion(t_s, seed), t_s, 0.45 * seconds)
        )
        times.append(t_s)
        buses.append(np.full(len(t_s), int(radar)))
        ids.append(np.full(len(t_s), layout.frame_id))
        frames.append(pack(layout, values, len(t_s)))
    order = np.argsort(np.concatenate(times), kind="stable")
    raw = log / "CAN" / "raw_can"
    _save(raw, "t", np.concatenate(times)[order] + zero_s)
    _save(raw, "src", np.concatenate(buses)[order].astype(np.int64))
    _save(raw, "address", np.concatenate(ids)[order].astype(np.int64))
    _save(raw, "data", np.ascontiguousarray(np.concatenate(frames)[order]).view("S8").reshape(-1))
    return {str(path.relative_to(folder)): path for path in sorted(folder.rglob("*")) if path.is_file()}


def _write_fields(
    log: Path, *, rng: np.random.Generator, zero_s: float, start_utc_ns: int, seconds: float, seed: int
) -> None:
    t_s = _ticks(seconds, GNSS_RATE_HZ, rng)
    state = motion(t_s, seed)
    utc_ms = np.rint(start_utc_ns / 1e6 + t_s * 1e3)
    gnss = log / "GNSS" / "live_gnss_ublox"
    _save(gnss, "t", t_s + zero_s)
    columns = (state.lat_deg, state.lon_deg, state.speed_mps, utc_ms, state.alt_m, state.heading_deg)
    _save(gnss, "value", np.stack(columns, axis=1))
    t_s = _ticks(seconds, IMU_RATE_HZ, rng)
    state = motion(t_s, seed)
    lateral = state.speed_mps * state.yaw_rate_radps
    # Device axes are forward, right, down.
    accel = np.stack([state.accel_mps2, -lateral, np.full(len(t_s), -9.81)], axis=1)
    gyro = np.stack([np.zeros(len(t_s)), np.zeros(len(t_s)), -state.yaw_rate_radps], axis=1)
    for name, clean, noise in (("accelerometer", accel, 0.05), ("gyro", gyro, 0.001)):
        _save(log / "IMU" / name, "t", t_s + zero_s)
        _save(log / "IMU" / name, "value", clean + rng.normal(0, noise, clean.shape))


def write_mdf4_vehicle(folder: Path) -> None:
    """Write the spec `factory_mdf4` and its CAN database into a policies folder (`vehicles/…`)."""
    vehicles = folder / "vehicles"
    vehicles.mkdir(parents=True, exist_ok=True)
    (vehicles / f"{MDF4_VEHICLE}.yaml").write_text(MDF4_SPEC)
    (vehicles / MDF4_DBC_NAME).write_text(MDF4_DBC)


def can_frames(
    start_utc_ns: int, seconds: float, seed: int
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.uint8]]:
    """Times (s from the drive's zero), ids and payloads (uint8[n, 8]) of the frames that `MDF4_DBC` describes."""
    rng = np.random.default_rng([seed, 3])
    layouts = parse_messages(MDF4_DBC, frozenset({"clock", "position", "motion", "inertia"}), False)
    times, ids, frames = [], [], []
    for name, rate_hz in (("clock", 1.0), ("position", 10.0), ("motion", 10.0), ("inertia", 100.0)):
        t_s = _ticks(seconds, rate_hz, rng)
        state = motion(t_s, seed)
        values: dict[str, dict[str, Any]] = {
            "clock": {"Fix": 1.0, "Epoch": start_utc_ns / 1e9 + t_s},
            "position": {"Latitude": state.lat_deg, "Longitude": state.lon_deg},
            "motion": {
                "Speed": state.speed_mps * KMH_PER_MPS, "Heading": state.heading_deg, "Altitude": state.alt_m
            },
            "inertia": {
                "AccelX": state.accel_mps2 + rng.normal(0, 0.05, len(t_s)),
                "AccelY": state.speed_mps * state.yaw_rate_radps,
                "AccelZ": 9.81,
                "YawRate": np.degrees(state.yaw_rate_radps),
            },
        }  # fmt: skip
        times.append(t_s)
        ids.append(np.full(len(t_s), layouts[name].frame_id))
        frames.append(pack(layouts[name], values[name], len(t_s)))
    order = np.argsort(np.concatenate(times), kind="stable")
    return np.concatenate(times)[order], np.concatenate(ids)[order], np.concatenate(frames)[order]


def write_mdf4_drive(
    folder: Path,
    *,
    start_utc_ns: int,
    seconds: float = 20.0,
    seed: int = 1,
    files: int = 1,
    header_ahead_s: float = 4.5,
    compression: int = 0,
) -> dict[str, Path]:
    """Write a drive as MDF 4 bus logs that the spec of `write_mdf4_vehicle` maps, through asammdf.

    All files carry the same header start and continue on one relative clock, as CANedge loggers do.

    Args:
        folder: Folder to make.
        start_utc_ns: UTC of the drive's zero as the GNSS states it.
        seconds: Length.
        seed: Which drive.
        files: Files to split it into.
        header_ahead_s: How far the header's start is ahead of GNSS, whole seconds being what headers hold best.
        compression: 0 none, 1 deflate, 2 transposed and deflate.

    Returns:
        The files by name.
    """
    folder.mkdir(parents=True, exist_ok=True)
    t_s, ids, frames = can_frames(start_utc_ns, seconds, seed)
    header_ns = start_utc_ns + round(header_ahead_s * NS_PER_S)
    cuts = [round(len(t_s) * part / files) for part in range(files + 1)]
    found = {}
    for number in range(files):
        part = slice(cuts[number], cuts[number + 1])
        log = (t_s[part], ids[part], frames[part])
        path = write_mdf4_frames(folder / f"{number + 1:08d}.MF4", header_ns, *log, compression=compression)
        found[path.name] = path
    return found


def write_mdf4_frames(
    path: Path,
    header_ns: int,
    t_s: NDArray[np.float64],
    ids: NDArray[np.int64],
    frames: NDArray[np.uint8],
    *,
    compression: int = 0,
) -> Path:
    """Write CAN frames as one MDF 4 bus log through asammdf; times are seconds from the header's start."""
    import datetime

    from asammdf import MDF, Signal, Source

    kind = np.dtype(
        [
            ("CAN_DataFrame.BusChannel", "<u1"),
            ("CAN_DataFrame.ID", "<u4"),
            ("CAN_DataFrame.IDE", "<u1"),
            ("CAN_DataFrame.DLC", "<u1"),
            ("CAN_DataFrame.DataLength", "<u1"),
            ("CAN_DataFrame.DataBytes", "(8,)u1"),
            ("CAN_DataFrame.Dir", "<u1"),
        ]
    )
    rows = np.zeros(len(t_s), dtype=kind)
    rows["CAN_DataFrame.BusChannel"] = 1
    rows["CAN_DataFrame.ID"] = ids
    rows["CAN_DataFrame.DLC"] = rows["CAN_DataFrame.DataLength"] = 8
    rows["CAN_DataFrame.DataBytes"] = frames
    source = Source("CAN", "CAN1", "", source_type=Source.SOURCE_BUS, bus_type=Source.BUS_TYPE_CAN)
    signal = Signal(np.rec.array(rows), t_s, name="CAN_DataFrame", source=source)
    with MDF(version="4.10") as mdf:
        mdf.append([signal], acq_name="CAN_DataFrame", acq_source=source)
        mdf.header.start_time = datetime.datetime.fromtimestamp(0, datetime.UTC) + datetime.timedelta(
            microseconds=header_ns // 1000
        )
        return Path(mdf.save(path, compression=compression, overwrite=True))
