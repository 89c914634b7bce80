"""Noise of satellite receivers, from what they say against themselves and against the way the vehicle went.

Nobody knows the true positions of a real drive. So positions are held against the shape of the way that speed and yaw
rate give over some seconds: what a shift, a turn, an even bend and a scale do not explain is the receiver's error.
"""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from services.fleet_simulator.fitting.decoding import Drive, Signal
from services.fleet_simulator.fitting.events import runs

Numbers = NDArray[np.float64]
_EARTH_M: Final = 6_371_008.8
_SPEED, _RATE, _GNSS_SPEED = "speed_mps", "yaw_rate_radps", "gnss_speed_mps"


def local_metres(drive: Drive) -> tuple[Numbers, Numbers, Numbers] | None:
    """Time, east and north of a drive's positions; None without."""
    if "lat_deg" not in drive.signals or "lon_deg" not in drive.signals:
        return None
    lat, lon = drive.signals["lat_deg"], drive.signals["lon_deg"]
    origin = np.radians(lat.value[0])
    north = np.radians(lat.value - lat.value[0]) * _EARTH_M
    east = np.radians(lon.value - lon.value[0]) * _EARTH_M * np.cos(origin)
    return lat.t_s, east, north


def _unrest(t_s: Numbers, values: Numbers, policy: Mapping[str, Any]) -> Numbers:
    """Residuals against a parabola through neighbours, scaled to white noise's own size; without gaps."""
    from scipy.signal import savgol_coeffs, savgol_filter

    window, order = int(policy["window"]), int(policy["order"])
    # Of white noise, a least-squares parabola leaves this share at its middle.
    left = float(np.sqrt(1.0 - savgol_coeffs(window, order)[window // 2]))
    step = float(np.median(np.diff(t_s)))
    whole = np.concatenate(([True], np.diff(t_s) < 1.5 * step))  # noqa: PLR2004 - half a step late is still in step
    found = [
        (values[rows] - savgol_filter(values[rows], window, order))[window // 2 : -(window // 2)] / left
        for rows in runs(whole, 2 * window)
    ]
    return np.concatenate(found) if found else np.empty(0)


def _robust(values: Numbers) -> Numbers:
    """One standard deviation from the median deviation, as an array of none or one."""
    return np.array([1.4826 * float(np.median(np.abs(values)))]) if len(values) else np.empty(0)


def position_noise(drive: Drive, policy: Mapping[str, Any]) -> Numbers:
    """White noise of the level axes, m: none or one number; receivers slower than the policy's rate show motion."""
    found = local_metres(drive)
    if found is None or np.median(np.diff(found[0])) > policy["slowest_s"]:
        return np.empty(0)
    return _robust(np.concatenate([_unrest(found[0], axis, policy) for axis in found[1:]]))


def speed_noise(drive: Drive, policy: Mapping[str, Any]) -> Numbers:
    """White noise of the receiver's speed, m/s: none or one number."""
    signal = drive.signals.get(_GNSS_SPEED)
    if signal is None or np.median(np.diff(signal.t_s)) > policy["slowest_s"]:
        return np.empty(0)
    return _robust(_unrest(signal.t_s, signal.value, policy))


def _way(speed: Signal, rate: Signal, t_s: Numbers) -> tuple[Numbers, Numbers, Numbers]:
    """Heading, east and north that speed and yaw rate give, from nothing."""
    grid = np.arange(t_s[0], t_s[-1] + 0.05, 0.05)
    turn, pace = np.interp(grid, rate.t_s, _smoothed(rate)), np.interp(grid, speed.t_s, speed.value)
    heading = np.concatenate(([0.0], np.cumsum(0.5 * (turn[1:] + turn[:-1]) * 0.05)))
    east, north = (
        np.concatenate(([0.0], np.cumsum(0.5 * (part[1:] + part[:-1]) * 0.05)))
        for part in (pace * np.cos(heading), pace * np.sin(heading))
    )
    return tuple(np.interp(t_s, grid, line) for line in (heading, east, north))  # type: ignore[return-value]


def _smoothed(rate: Signal) -> Numbers:
    width = max(1, round(0.1 / float(np.median(np.diff(rate.t_s)))))
    return np.convolve(np.pad(rate.value, width // 2, mode="edge"), np.full(width, 1.0 / width), "same")[
        width // 2 : width // 2 + len(rate.value)
    ]


def way_errors(drive: Drive, seconds: float, policy: Mapping[str, Any]) -> Numbers:
    """Root mean square, per level axis, of what the way does not explain of the positions in each window, m.

    Args:
        drive: The drive.
        seconds: Length of the windows.
        policy: Key `gnss` of the policy.
    """
    found = local_metres(drive)
    if found is None or _SPEED not in drive.signals or _RATE not in drive.signals:
        return np.empty(0)
    t_s, east, north = found
    step = float(np.median(np.diff(t_s)))
    width = round(seconds / step)
    errors = []
    for first in range(0, len(t_s) - width, width):
        rows = slice(first, first + width + 1)
        if t_s[rows][-1] - t_s[rows][0] > 1.2 * seconds:  # noqa: PLR2004 - positions are missing
            continue
        error = _misfit(drive, t_s[rows], east[rows], north[rows])
        moved = np.hypot(np.ptp(east[rows]), np.ptp(north[rows]))
        if error is not None and moved > policy["least_way_m"]:
            errors.append(error)
    return np.array(errors)


def _misfit(drive: Drive, t_s: Numbers, east: Numbers, north: Numbers) -> float | None:
    _, ahead, left = _way(drive.signals[_SPEED], drive.signals[_RATE], t_s)
    # The first turn comes from the ends; what is small after it is solved for in one linear step, twice.
    turn = np.arctan2(north[-1] - north[0], east[-1] - east[0]) - np.arctan2(left[-1], ahead[-1])
    seconds = t_s - t_s[0]
    bend, scale = 0.0, 1.0
    for _ in range(3):
        cosine, sine = np.cos(turn + bend * seconds), np.sin(turn + bend * seconds)
        step_a, step_l = np.diff(ahead, prepend=0.0), np.diff(left, prepend=0.0)
        x = scale * np.cumsum(step_a * cosine - step_l * sine)
        y = scale * np.cumsum(step_a * sine + step_l * cosine)
        d_bend_x = np.cumsum(-np.diff(y, prepend=0.0) * seconds)
        d_bend_y = np.cumsum(np.diff(x, prepend=0.0) * seconds)
        ones, zeros = np.ones(len(x)), np.zeros(len(x))
        matrix = np.stack(
            [
                np.concatenate([ones, zeros]),
                np.concatenate([zeros, ones]),
                np.concatenate([-y, x]),
                np.concatenate([d_bend_x, d_bend_y]),
                np.concatenate([x, y]),
            ],
            axis=1,
        )
        target = np.concatenate([east - x, north - y])
        solved, *_ = np.linalg.lstsq(matrix, target, rcond=None)
        left_over = target - matrix @ solved
        turn, bend, scale = turn + float(solved[2]), bend + float(solved[3]), scale * (1.0 + float(solved[4]))
    spare = len(target) - matrix.shape[1]
    return float(np.sqrt((left_over**2).sum() / spare)) if spare > 0 else None


def gaps(drive: Drive, policy: Mapping[str, Any]) -> tuple[Numbers, float]:
    """Lengths of the stretches without a position, s, and the hours of the drive; no hours where positions are rare."""
    found = local_metres(drive)
    if found is None:
        return np.empty(0), 0.0
    steps = np.diff(found[0])
    usual = float(np.median(steps)) if len(steps) else np.inf
    if usual > policy["least_gap_s"]:
        return np.empty(0), 0.0
    return steps[steps > usual + policy["least_gap_s"]] - usual, float(np.sum(steps)) / 3600.0
