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


def ticks(seconds: float, rate_hz: float, rng: np.random.Generator) -> NDArray[np.float64]:
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
        t_s = ticks(seconds, CAN_RATE_HZ.get(name, RADAR_RATE_HZ), rng)
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
    t_s = ticks(seconds, GNSS_RATE_HZ, rng)
    state = motion(t_s, seed)
    utc_ms = np.rint(start_utc_ns / 1e6 + t_s * 1e3)
    gnss = log / "GNSS" / "live_gnss_ublox"
    _save(gnss, "t", t_s + zero_s)
    columns = (state.lat_deg, state.lon_deg, state.speed_mps, utc_ms, state.alt_m, state.heading_deg)
    _save(gnss, "value", np.stack(columns, axis=1))
    t_s = ticks(seconds, IMU_RATE_HZ, rng)
    state = motion(t_s, seed)
    lateral = state.speed_mps * state.yaw_rate_radps
    # Device axes are forward, right, down.
    accel = np.stack([state.accel_mps2, -lateral, np.full(len(t_s), -9.81)], axis=1)
    gyro = np.stack([np.zeros(len(t_s)), np.zeros(len(t_s)), -state.yaw_rate_radps], axis=1)
    for name, clean, noise in (("accelerometer", accel, 0.05), ("gyro", gyro, 0.001)):
        _save(log / "IMU" / name, "t", t_s + zero_s)
        _save(log / "IMU" / name, "value", clean + rng.normal(0, noise, clean.shape))
