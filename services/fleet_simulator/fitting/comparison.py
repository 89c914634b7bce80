"""The simulated fleet against real recordings: the same statistics of both, and how far they are apart.

As a yardstick the real recordings are compared with each other: a simulated fleet that is no farther from all of them
than each of them is from the others could be one of them. Here belongs what is compared; the page is `report.py`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from services.fleet_simulator.fitting import events, inertial
from services.fleet_simulator.fitting.decoding import Drive
from services.fleet_simulator.fitting.distances import Distance, blocks, distance, rate_interval
from services.fleet_simulator.fitting.estimates import Fit
from services.fleet_simulator.fitting.motion import Motion

Numbers = NDArray[np.float64]
_BLOCK_S: Final = 120
_SLOWEST_MPS: Final = 1.0
"""Samples of a standing vehicle would make every acceleration look alike; the stop share counts them."""
_BANDS_MPS: Final = ((1.0, 8.0), (8.0, 14.0), (14.0, 25.0))
TAUS_S: Final = np.array([0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0])


@dataclass(frozen=True)
class Statistic:
    """What is compared.

    Attributes:
        key: Short name.
        title: With the unit.
        take: Its samples in one stretch of motion.
    """

    key: str
    title: str
    take: Callable[[Motion], Numbers]


def _moving(name: str) -> Callable[[Motion], Numbers]:
    def take(one: Motion) -> Numbers:
        values: Numbers = getattr(one, name)[one.speed_mps > _SLOWEST_MPS]
        return values

    return take


def _in_band(name: str, low: float, high: float) -> Callable[[Motion], Numbers]:
    def take(one: Motion) -> Numbers:
        values: Numbers = getattr(one, name)[(one.speed_mps >= low) & (one.speed_mps < high)]
        return values

    return take


STATISTICS: Final = (
    Statistic("speed", "speed, moving (m/s)", _moving("speed_mps")),
    Statistic("accel", "longitudinal acceleration (m/s²)", _moving("accel_mps2")),
    Statistic("lateral", "lateral acceleration (m/s²)", _moving("lateral_mps2")),
    Statistic("yaw_rate", "yaw rate (rad/s)", _moving("yaw_rate_radps")),
    Statistic("jerk", "longitudinal jerk (m/s³)", _moving("jerk_mps3")),
)
BANDED: Final = tuple(
    Statistic(f"{name}_{low:g}_{high:g}", f"{title}, {low:g} to {high:g} m/s", _in_band(field, low, high))
    for low, high in _BANDS_MPS
    for name, title, field in (
        ("accel", "longitudinal acceleration", "accel_mps2"),
        ("yaw_rate", "yaw rate", "yaw_rate_radps"),
        ("jerk", "longitudinal jerk", "jerk_mps3"),
    )
)


@dataclass(frozen=True)
class Compared:
    """One statistic.

    Attributes:
        statistic: Which.
        simulated: One array per simulated drive.
        real: Per recording, one array per block of it.
        pooled: Distance from all recordings together, each with the same weight.
        to_each: Distance from each recording.
        between: Distance of each recording from all others together: the yardstick.
    """

    statistic: Statistic
    simulated: Sequence[Numbers]
    real: Mapping[str, Sequence[Numbers]]
    pooled: Distance
    to_each: Mapping[str, Distance]
    between: Mapping[str, Distance]

    @property
    def within_yardstick(self) -> bool:
        """Whether the simulated fleet is no farther from the recordings than the farthest of them is from the rest."""
        return self.pooled.ks <= max(one.ks for one in self.between.values())


def _balanced(real: Mapping[str, Sequence[Numbers]]) -> list[Numbers]:
    """Blocks of all recordings; each recording weighs the same, whatever its length.

    Blocks of short recordings come several times, so that a recording of 40 minutes does not outvote one of 20.
    """
    most = max(map(len, real.values()))
    return [some[index % len(some)] for some in real.values() for index in range(most)]


def compare(statistic: Statistic, fit_of_real: Fit, fit_of_simulated: Fit, roads: Sequence[str]) -> Compared | None:
    """Compare one statistic; None when fewer than two recordings have enough of it."""
    real = {}
    for drive in fit_of_real.drives:
        motion = fit_of_real.motion(drive) if drive.spec in roads else ()
        values = np.concatenate([statistic.take(one) for one in motion]) if motion else np.empty(0)
        if len(values) >= _BLOCK_S // 3:
            real[drive.name] = blocks(values, _BLOCK_S)
    simulated = [
        np.concatenate([statistic.take(one) for one in fit_of_simulated.motion(drive)])
        for drive in fit_of_simulated.drives
        if fit_of_simulated.motion(drive)
    ]
    simulated = [values for values in simulated if len(values)]
    if len(real) < 2 or not simulated:  # noqa: PLR2004 - one recording has no other
        return None
    others = {name: _balanced({key: some for key, some in real.items() if key != name}) for name in real}
    return Compared(
        statistic,
        simulated,
        real,
        distance(simulated, _balanced(real)),
        {name: distance(simulated, some, resamples=0) for name, some in real.items()},
        {name: distance(some, others[name], resamples=0) for name, some in real.items()},
    )


@dataclass(frozen=True)
class Totals:
    """What is counted over a whole recording or fleet.

    Attributes:
        drives: Recordings.
        hours: Of known motion.
        km: Driven.
        stop_share: Of the time.
        hard_brakes: Count.
        per_100_km: Rate of hard brakes with the ends of its 95 % interval.
        mean_speed_mps: Stops included.
    """

    drives: int
    hours: float
    km: float
    stop_share: float
    hard_brakes: int
    per_100_km: tuple[float, float, float]
    mean_speed_mps: float


def totals(fit: Fit, drives: Sequence[Drive], policy: Mapping[str, Any]) -> Totals:
    """Totals of some drives."""
    motion = [one for drive in drives for one in fit.motion(drive)]
    speed = np.concatenate([one.speed_mps for one in motion])
    km = float(speed.sum()) / 1000.0
    count = events.hard_brakes(motion, policy)
    low, high = rate_interval(count, km / 100.0)
    rest = float((speed < policy["wait"]["rest_mps"]).mean())
    return Totals(
        len(drives), len(speed) / 3600.0, km, rest, count, (count / km * 100.0, low, high), float(speed.mean())
    )


def stop_shares(fit: Fit, drives: Sequence[Drive], policy: Mapping[str, Any]) -> Numbers:
    """Share of the time at rest, of each drive."""
    found = []
    for drive in drives:
        motion = fit.motion(drive)
        if motion:
            speed = np.concatenate([one.speed_mps for one in motion])
            found.append(float((speed < policy["wait"]["rest_mps"]).mean()))
    return np.array(found)


def allan_curves(fit: Fit, drives: Sequence[Drive], name: str, band_mps: tuple[float, float]) -> Numbers:
    """Allan deviations of each drive, float64[drives, taus]; drives that have none are left out."""
    rows = [fit.deviation(drive, name, band_mps, TAUS_S) for drive in drives if name in drive.signals]
    kept = [row for row in rows if np.isfinite(row).any()]
    return np.array(kept) if kept else np.empty((0, len(TAUS_S)))


NOISE: Final = (
    ("rest_noise", "accelerometers at rest, per sample (m/s²)"),
    ("rest_rate_noise", "gyroscope at rest, per sample (rad/s)"),
    ("vibration_forward", "vibration forward (m/s²)"),
    ("vibration_left", "vibration left (m/s²)"),
    ("vibration_up", "vibration up (m/s²)"),
    ("vibration_rate", "vibration of the yaw rate (rad/s)"),
    ("bounce_up", "bounce up (m/s²)"),
    ("bounce_rate", "bounce of the yaw rate (rad/s)"),
    ("vertical_bias", "bias of the vertical axis (m/s²)"),
    ("rate_bias", "bias of the gyroscope (rad/s)"),
    ("position_noise", "GNSS position, white (m)"),
    ("receiver_speed_noise", "GNSS speed, white (m/s)"),
    ("way_errors_10s", "GNSS position against the way, 10 s (m)"),
    ("way_errors_20s", "GNSS position against the way, 20 s (m)"),
    ("way_errors_40s", "GNSS position against the way, 40 s (m)"),
    ("way_errors_60s", "GNSS position against the way, 60 s (m)"),
)
"""Estimators of the noise table; the axes of the Allan curves are `inertial.AXES` and `inertial.RATE`."""
CURVES: Final = (*inertial.AXES, inertial.RATE)
