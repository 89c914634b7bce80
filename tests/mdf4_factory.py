"""One synthetic vehicle whose CAN frames are logged as ASAM MDF 4, through asammdf.

Here belong its spec, its CAN database and its frames; the motion is that of `recordings_factory.py`.
"""

from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fleet_assets.ingestion.recordings.protocol import NS_PER_S
from fleet_assets.ingestion.sensor_sync_and_format_conversion.can_decode import parse_messages
from tests.recordings_factory import KMH_PER_MPS, motion, pack, ticks

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
        t_s = ticks(seconds, rate_hz, rng)
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
