"""Noise of inertial units: Allan deviations, and the parts of them that are white noise, vibration and bounce.

The Allan deviation is IEEE Std 952-1997, annex C, with overlapping clusters.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from services.fleet_simulator.fitting.decoding import Drive
from services.fleet_simulator.fitting.events import runs

Numbers = NDArray[np.float64]
AXES: Final = ("accel_long_mps2", "accel_lat_mps2", "accel_vert_mps2")
RATE: Final = "yaw_rate_radps"
_SPEED, _COURSE = "speed_mps", "heading_deg"
_GRAVITY_MPS2: Final = 9.80665


@dataclass(frozen=True)
class Stretches:
    """Samples of one signal in a band of speeds.

    Attributes:
        period_s: Time between samples.
        values: One array per stretch without gaps.
    """

    period_s: float
    values: tuple[Numbers, ...]

    @property
    def seconds(self) -> float:
        """Length of all."""
        return sum(map(len, self.values)) * self.period_s


def stretches(drive: Drive, name: str, band_mps: tuple[float, float], least_s: float) -> Stretches | None:
    """Where a drive's speed stays in a band; None without such a stretch, or without the signals.

    Args:
        drive: The drive.
        name: Signal.
        band_mps: Least speed, and the one that is too fast.
        least_s: Shortest stretch.
    """
    if name not in drive.signals or _SPEED not in drive.signals:
        return None
    signal, speeds = drive.signals[name], drive.signals[_SPEED]
    period_s = float(np.median(np.diff(signal.t_s)))
    inside = np.ones(len(signal.t_s), dtype=np.bool_)
    # Between two samples of a slow speed sensor both must be in the band.
    for slower in (True, False):
        row = np.clip(np.searchsorted(speeds.t_s, signal.t_s) - slower, 0, len(speeds.t_s) - 1)
        inside &= (speeds.value[row] >= band_mps[0]) & (speeds.value[row] < band_mps[1])
    inside &= (signal.t_s >= speeds.t_s[0]) & (signal.t_s <= speeds.t_s[-1])
    gaps = np.concatenate(([False], np.diff(signal.t_s) > 5.0 * period_s))
    found = tuple(signal.value[rows] for rows in runs(inside & ~gaps, round(least_s / period_s)))
    return Stretches(period_s, found) if found else None


def allan_deviation(parts: Stretches, taus_s: Numbers) -> Numbers:
    """Overlapping Allan deviation over all stretches together; NaN where none is three times as long.

    Args:
        parts: Samples.
        taus_s: Cluster times; rounded to whole samples.
    """
    total, weight = np.zeros(len(taus_s)), np.zeros(len(taus_s))
    for values in parts.values:
        sums = np.concatenate(([0.0], np.cumsum(values - values.mean())))
        for place, tau_s in enumerate(taus_s):
            width = max(1, round(float(tau_s) / parts.period_s))
            if 3 * width > len(values) or tau_s < 0.9 * parts.period_s:
                continue
            second = (sums[2 * width :] - 2.0 * sums[width:-width] + sums[: -2 * width]) / width
            total[place] += 0.5 * float((second**2).sum())
            weight[place] += len(second)
    variance: Numbers = np.divide(total, weight, out=np.full(len(taus_s), np.nan), where=weight > 0)
    deviation: Numbers = np.sqrt(variance)
    return deviation


def resonance_variance(taus_s: Numbers, period_s: float, hz: float, memory_s: float) -> Numbers:
    """Allan variance of `noise.Resonance` of standard deviation 1, from its autocorrelation."""
    widths = np.maximum(1, np.rint(taus_s / period_s).astype(np.int64))
    lags = np.arange(2 * int(widths.max()))
    correlation = np.exp(-lags * period_s / memory_s) * np.cos(2.0 * np.pi * hz * lags * period_s)

    def spread(width: int) -> float:
        own = np.arange(1, width)
        return float(width + 2.0 * ((width - own) * correlation[1:width]).sum())

    return np.array([(4.0 * spread(width) - spread(2 * width)) / (2.0 * width**2) for width in widths.tolist()])


def parts_of(deviation: Numbers, taus_s: Numbers, period_s: float, shape: tuple[float, float]) -> tuple[float, float]:
    """White noise per sample and bounce, standard deviations, that explain an Allan deviation best.

    Args:
        deviation: float64[n]; NaN is left out.
        taus_s: float64[n].
        period_s: Time between samples.
        shape: Frequency and memory of the bounce.
    """
    from scipy.optimize import nnls

    known = np.isfinite(deviation)
    taus, target = taus_s[known], deviation[known] ** 2
    widths = np.maximum(1, np.rint(taus / period_s))
    columns = np.stack([1.0 / widths, resonance_variance(taus, period_s, *shape)], axis=1)
    variances, _ = nnls(columns / target[:, None], np.ones(len(taus)))
    return float(np.sqrt(variances[0])), float(np.sqrt(variances[1]))


def bounce_shape(
    curves: list[tuple[Numbers, float]], taus_s: Numbers, policy: Mapping[str, Any]
) -> tuple[float, float]:
    """Frequency (Hz) and memory (s) of the bounce that fit some vertical Allan deviations best.

    Args:
        curves: (deviation, period) per recording.
        taus_s: Cluster times of all.
        policy: Key `imu` of the policy: the grid of shapes that are tried.
    """

    def misfit(shape: tuple[float, float]) -> float:
        error = 0.0
        for deviation, period_s in curves:
            white, bounce = parts_of(deviation, taus_s, period_s, shape)
            known = np.isfinite(deviation)
            widths = np.maximum(1, np.rint(taus_s[known] / period_s))
            model = white**2 / widths + bounce**2 * resonance_variance(taus_s[known], period_s, *shape)
            error += float(np.mean(np.log(model / deviation[known] ** 2) ** 2))
        return error

    shapes = [(hz, memory) for hz in np.arange(*policy["bounce_hz"]) for memory in policy["bounce_memory_s"]]
    hz, memory_s = min(shapes, key=misfit)
    return float(hz), float(memory_s)


def rest_means(drive: Drive, name: str, policy: Mapping[str, Any]) -> Numbers:
    """Mean of a signal in each rest."""
    found = stretches(drive, name, (-1.0, policy["rest_mps"]), policy["rest_s"])
    return np.array([float(values.mean()) for values in found.values]) if found else np.empty(0)


def vertical_bias(drive: Drive) -> float:
    """Mean of the vertical axis less gravity; slopes and tilt of some degrees do not show there."""
    return float(drive.signals[AXES[2]].value.mean() - _GRAVITY_MPS2)


def rate_bias(drive: Drive, policy: Mapping[str, Any]) -> float:
    """What the gyroscope shows at rest, or where there was none, beyond the change of the course."""
    at_rest = rest_means(drive, RATE, policy)
    if len(at_rest):
        return float(at_rest.mean())
    course, rate = drive.signals[_COURSE], drive.signals[RATE]
    turned = -np.radians(np.unwrap(course.value, period=360.0)[[0, -1]])
    inside = (rate.t_s >= course.t_s[0]) & (rate.t_s <= course.t_s[-1])
    return float(rate.value[inside].mean() - np.diff(turned)[0] / (course.t_s[-1] - course.t_s[0]))
