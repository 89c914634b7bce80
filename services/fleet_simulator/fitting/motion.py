"""How a vehicle moved, second by second, from whatever a recording has: the same for real and simulated ones.

Here belong speed, accelerations, yaw rate and jerk on one grid of one second, so that a receiver with one position a
second and a CAN bus with a hundred speeds are compared in the same band. Sensors' noise is in `noise.py`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from services.fleet_simulator.fitting.decoding import Drive, Signal

GRID_S: Final = 1.0
_SPEED, _YAW_RATE, _LATITUDE, _LONGITUDE = "speed_mps", "yaw_rate_radps", "lat_deg", "lon_deg"
_EARTH_M: Final = 6_371_008.8
_SLOWEST_COURSE_MPS: Final = 2.0
"""Below this a course over ground is noise."""
_REST_MPS: Final = 0.2
_STRAIGHT_RADPS: Final = 0.02
_LEAST_REST: Final = 5
_STALE: Final = 0.1
_CATCHES_UP: Final = 1.4
_FASTEST_MPS: Final = 70.0
"""Positions further apart in a second are a receiver's jump."""


@dataclass(frozen=True)
class Motion:
    """One stretch without gaps.

    Attributes:
        drive: Name of the drive.
        t_s: float64[n], one a second.
        speed_mps, accel_mps2, lateral_mps2, yaw_rate_radps, jerk_mps3: float64[n].
    """

    drive: str
    t_s: NDArray[np.float64]
    speed_mps: NDArray[np.float64]
    accel_mps2: NDArray[np.float64]
    lateral_mps2: NDArray[np.float64]
    yaw_rate_radps: NDArray[np.float64]
    jerk_mps3: NDArray[np.float64]


def motions(drive: Drive, policy: Mapping[str, Any]) -> Iterator[Motion]:
    """The stretches of a drive in which its motion is known.

    Args:
        drive: The drive.
        policy: Key `motion` of the policy `simulation_fit`.
    """
    from scipy.signal import savgol_filter

    known = _known(drive)
    if known is None:
        return
    grid, speed, yaw_rate = known
    window, order = int(policy["window"]), int(policy["order"])
    for rows in _stretches(np.isfinite(speed) & np.isfinite(yaw_rate), max(window, int(policy["least_s"]))):
        smooth, accel, jerk = (
            savgol_filter(speed[rows], window, order, deriv=deriv, delta=GRID_S) for deriv in range(3)
        )
        smooth = np.maximum(smooth, 0.0)
        turn = savgol_filter(yaw_rate[rows], window, order)
        yield Motion(drive.name, grid[rows], smooth, accel, smooth * turn, turn, jerk)


def _known(drive: Drive) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]] | None:
    """Grid, speed and yaw rate, NaN where unknown."""
    signals = drive.signals
    if _SPEED in signals and _YAW_RATE in signals:
        grid = _grid(signals[_SPEED])
        speed, turn = binned(signals[_SPEED], grid), binned(signals[_YAW_RATE], grid)
        return grid, speed, turn - _rest_rate(speed, turn)
    if _LATITUDE in signals and _LONGITUDE in signals:
        return _from_positions(signals[_LATITUDE], signals[_LONGITUDE])
    return None


def _rest_rate(speed: NDArray[np.float64], turn: NDArray[np.float64]) -> float:
    """What a gyroscope shows without turning: its median at rest, or on straight road where there was no rest."""
    known = np.isfinite(speed) & np.isfinite(turn)
    rest = known & (speed < _REST_MPS)
    straight = known & (np.abs(turn) < _STRAIGHT_RADPS)
    for rows in (rest, straight):
        if rows.sum() >= _LEAST_REST:
            return float(np.median(turn[rows]))
    return 0.0


def _grid(signal: Signal) -> NDArray[np.float64]:
    return np.arange(np.ceil(signal.t_s[0]), np.floor(signal.t_s[-1]) + GRID_S / 2.0, GRID_S)


def binned(signal: Signal, grid: NDArray[np.float64], gap_s: float = 2.5) -> NDArray[np.float64]:
    """Mean of the samples within half a step of each instant, interpolated where a slow sensor has none there.

    Args:
        signal: The signal.
        grid: Instants.
        gap_s: Longest step between samples that is bridged.
    """
    step = grid[1] - grid[0] if len(grid) > 1 else GRID_S
    slot = np.floor((signal.t_s - grid[0]) / step + 0.5).astype(np.int64) if len(grid) else np.zeros(0, dtype=np.int64)
    inside = (slot >= 0) & (slot < len(grid))
    count = np.bincount(slot[inside], minlength=len(grid))
    total = np.bincount(slot[inside], weights=signal.value[inside], minlength=len(grid))
    if len(signal.t_s) < 2:  # noqa: PLR2004 - nothing lies between
        return np.full(len(grid), np.nan)
    following = np.clip(np.searchsorted(signal.t_s, grid), 1, max(len(signal.t_s) - 1, 1))
    bridged = signal.t_s[following] - signal.t_s[following - 1] <= gap_s
    between = np.where(bridged, np.interp(grid, signal.t_s, signal.value), np.nan)
    # A mean of one or two samples would be that of another instant.
    return np.where(count > 2, total / np.maximum(count, 1), between)  # noqa: PLR2004


def _from_positions(
    lat: Signal, lon: Signal
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]] | None:
    """Speed and turning of the line through positions a second apart."""
    from scipy.signal import savgol_filter

    kept = ~_stale(lat, lon)
    grid = _grid(lat)
    latitude, longitude = (binned(Signal(line.t_s[kept], line.value[kept]), grid) for line in (lat, lon))
    if not np.isfinite(latitude).any():
        return None
    origin = np.radians(np.nanmean(latitude))
    north = np.radians(latitude) * _EARTH_M
    east = np.radians(longitude) * _EARTH_M * np.cos(origin)
    jumps = np.hypot(np.diff(east, prepend=east[:1]), np.diff(north, prepend=north[:1])) > _FASTEST_MPS * GRID_S
    north[jumps] = np.nan
    speed, turn = np.full((2, len(grid)), np.nan)
    for rows in _stretches(np.isfinite(north), 5):
        east_mps, north_mps = (savgol_filter(line[rows], 5, 2, deriv=1, delta=GRID_S) for line in (east, north))
        speed[rows] = np.hypot(east_mps, north_mps)
        course = np.unwrap(np.arctan2(north_mps, east_mps))
        turn[rows] = np.where(speed[rows] > _SLOWEST_COURSE_MPS, np.gradient(course, GRID_S), 0.0)
    return grid, speed, turn


def _stale(lat: Signal, lon: Signal) -> NDArray[np.bool_]:
    """Positions that a receiver says again while it moves on: none, and then twice the way."""
    step = np.hypot(np.diff(lat.value), np.diff(lon.value) * np.cos(np.radians(lat.value[:1])))
    before, after = np.append(0.0, step[:-1]), np.append(step[1:], 0.0)
    again = (step < _STALE * before) & (after > _CATCHES_UP * before)
    return np.append(False, again)


def _stretches(known: NDArray[np.bool_], least: int) -> Iterator[slice]:
    edges = np.flatnonzero(np.diff(np.concatenate(([0], known.astype(np.int8), [0]))))
    for first, end in zip(edges[::2], edges[1::2], strict=True):
        if end - first >= least:
            yield slice(int(first), int(end))
