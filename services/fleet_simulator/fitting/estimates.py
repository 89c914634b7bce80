"""From recordings to the numbers of `policies/simulation.yaml`.

Here belongs which estimator gives which number and how several recordings become one. What the estimators do is in
`events.py`, `inertial.py` and `positioning.py`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from services.fleet_simulator.fitting import events, inertial, positioning
from services.fleet_simulator.fitting.decoding import Drive
from services.fleet_simulator.fitting.motion import Motion, motions

Numbers = NDArray[np.float64]
_REDUCE: Final[Mapping[str, Callable[[Numbers], float]]] = {
    "median": lambda values: float(np.median(values)),
    "upper_decile": lambda values: float(np.quantile(values, 0.9)),
    "upper_quartile": lambda values: float(np.quantile(values, 0.75)),
    "mean": lambda values: float(values.mean()),
    "rms": lambda values: float(np.sqrt((values**2).mean())),
    "sd": lambda values: float(values.std(ddof=1)),
}
_DIGITS: Final = 2
_LEVEL: Final = inertial.AXES[:2]


class NothingToFitError(Exception):
    """A number for which none of the recordings has what it needs."""


@dataclass(frozen=True)
class Estimate:
    """One fitted number.

    Attributes:
        number: Its path in the policy.
        value: The number, rounded.
        drawn_from: Recordings that it comes from, with how many values each gave.
        low, high: Quartiles of those values, in the number's own scale.
    """

    number: str
    value: float
    drawn_from: Mapping[str, int]
    low: float
    high: float


def round_to(value: float, digits: int) -> float:
    """To significant digits."""
    return float(f"{value:.{digits}g}")


class Fit:
    """Estimators over some drives; what several of them need is made once.

    Args:
        drives: Recordings.
        policy: The document `simulation_fit`.
    """

    def __init__(self, drives: Sequence[Drive], policy: Mapping[str, Any]) -> None:
        self.drives, self._policy = drives, policy
        self._motion: dict[str, tuple[Motion, ...]] = {}
        self._estimators: dict[str, Callable[[Drive], Numbers]] = {
            **{name: partial(self._events, function) for name, function in events.EVENTS.items()},
            "rest_noise": lambda drive: np.concatenate([self._rest(drive, name) for name in inertial.AXES]),
            "rest_rate_noise": partial(self._rest, name=inertial.RATE),
            "vertical_bias": lambda drive: np.array([inertial.vertical_bias(drive)]),
            "rate_bias": lambda drive: np.array([inertial.rate_bias(drive, policy["imu"])]),
            "vertical_rests": lambda drive: inertial.rest_means(drive, inertial.AXES[2], policy["imu"]),
            "rate_rests": lambda drive: inertial.rest_means(drive, inertial.RATE, policy["imu"]),
            "tilt": self._tilt,
            "vibration_level": self._level,
            "bounce_hz": lambda _: np.array([self._shape[0]]),
            "bounce_memory": lambda _: np.array([self._shape[1]]),
            "position_noise": lambda drive: positioning.position_noise(drive, policy["gnss"]),
            "receiver_speed_noise": lambda drive: positioning.speed_noise(drive, policy["gnss"]),
            "stated_sd": self._stated,
            "stated_vertical_factor": self._vertical_factor,
            "gaps_per_hour": self._gap_rate,
            "gap_seconds": lambda drive: positioning.gaps(drive, policy["gnss"])[0],
            **{
                f"way_errors_{seconds:g}s": partial(self._way, seconds=seconds)
                for seconds in policy["gnss"]["windows_s"]
            },
        }
        for place, name in enumerate((*inertial.AXES, inertial.RATE)):
            label = ("forward", "left", "up", "rate")[place]
            self._estimators[f"vibration_{label}"] = partial(self._part, name=name, which=0)
            self._estimators[f"bounce_{label}"] = partial(self._part, name=name, which=1)

    def values(self, estimator: str, specs: Sequence[str]) -> dict[str, Numbers]:
        """What an estimator says of each recording of some vehicles; those that it says nothing of are left out."""
        found = {drive.name: self._estimators[estimator](drive) for drive in self.drives if drive.spec in specs}
        return {name: values for name, values in found.items() if len(values)}

    def estimate(self, parameter: Mapping[str, Any]) -> Estimate:
        """One number.

        Args:
            parameter: Row of `parameters` in the policy.

        Raises:
            NothingToFitError: When no recording has what it needs.
        """
        found = self.values(parameter["estimator"], parameter["from"])
        values = np.concatenate(list(found.values())) if found else np.empty(0)
        least = 2 if parameter["reduce"] == "sd" else 1
        if len(values) < least:
            raise NothingToFitError(
                f"{parameter['number']}: no recording of {', '.join(parameter['from'])} gives {least} values of "
                f"'{parameter['estimator']}'. Add such recordings, or take the number out of `parameters`."
            )
        share, digits = parameter.get("share", 1.0), parameter.get("digits", _DIGITS)
        value = round_to(_REDUCE[parameter["reduce"]](values) / share, digits)
        low, high = (float(end) / share for end in np.quantile(values, [0.25, 0.75]))
        return Estimate(parameter["number"], value, {name: len(some) for name, some in found.items()}, low, high)

    def motion(self, drive: Drive) -> tuple[Motion, ...]:
        """How a drive moved."""
        if drive.name not in self._motion:
            self._motion[drive.name] = tuple(motions(drive, self._policy["motion"]))
        return self._motion[drive.name]

    def _events(self, function: Callable[[Sequence[Motion], Mapping[str, Any]], Numbers], drive: Drive) -> Numbers:
        return function(self.motion(drive), self._policy["drivers"])

    def deviation(self, drive: Drive, name: str, band_mps: tuple[float, float], taus_s: Numbers) -> Numbers:
        """Allan deviation of a signal in a band of speeds; NaN where it is not known."""
        found = inertial.stretches(drive, name, band_mps, self._policy["imu"]["rest_s"])
        return np.full(len(taus_s), np.nan) if found is None else inertial.allan_deviation(found, taus_s)

    def _rest(self, drive: Drive, name: str) -> Numbers:
        own = self._policy["imu"]
        found = self.deviation(drive, name, (-1.0, own["rest_mps"]), np.array(own["taus_s"]))
        known = found[np.isfinite(found)]
        return known[:1]

    @property
    def _taus(self) -> Numbers:
        return np.array(self._policy["imu"]["taus_s"])

    def _moving(self, drive: Drive, name: str, taus_s: Numbers) -> tuple[Numbers, float] | None:
        own = self._policy["imu"]
        found = inertial.stretches(drive, name, tuple(own["moving_mps"]), own["moving_s"])
        return None if found is None else (inertial.allan_deviation(found, taus_s), found.period_s)

    @cached_property
    def _shape(self) -> tuple[float, float]:
        taus_s = np.array(self._policy["imu"]["vertical_taus_s"])
        curves = [self._moving(drive, inertial.AXES[2], taus_s) for drive in self.drives]
        return inertial.bounce_shape([one for one in curves if one is not None], taus_s, self._policy["imu"])

    def _part(self, drive: Drive, name: str, which: int) -> Numbers:
        found = self._moving(drive, name, self._taus)
        if found is None:
            return np.empty(0)
        return np.array([inertial.parts_of(found[0], self._taus, found[1], self._shape)[which]])

    def _level(self, drive: Drive) -> Numbers:
        """Logarithm of a unit's vibration over the mean of all units, by axis."""
        found = []
        for name in (*inertial.AXES, inertial.RATE):
            logs = {
                one.name: np.log(own[0]) for one in self.drives if len(own := self._part(one, name, 0)) and own[0] > 0
            }
            if drive.name in logs and self._is_unit(drive):
                units = [log for one, log in logs.items() if self._is_unit(self._named[one])]
                found.append(float(logs[drive.name] - np.mean(units)))
        return np.array(found)

    @cached_property
    def _named(self) -> dict[str, Drive]:
        return {drive.name: drive for drive in self.drives}

    @staticmethod
    def _is_unit(drive: Drive) -> bool:
        """Whether a recording has an inertial unit of its own, and not the result of an adjustment."""
        return all(name in drive.signals for name in (*inertial.AXES, inertial.RATE))

    def _tilt(self, drive: Drive) -> Numbers:
        """Slope of the unit against the road, rad, on each level axis: what gravity shows at rest, or on average."""
        found = []
        for name in _LEVEL:
            rests = inertial.rest_means(drive, name, self._policy["imu"])
            found.append(float(np.mean(rests)) if len(rests) else float(drive.signals[name].value.mean()))
        return np.array(found) / 9.80665

    def _stated(self, drive: Drive) -> Numbers:
        if "stated_variance_m2" in drive.signals:
            return np.array([float(np.sqrt(np.median(drive.signals["stated_variance_m2"].value)))])
        stated = drive.signals.get("stated_sd_m")
        # A receiver's accuracy is of both level axes together.
        return np.empty(0) if stated is None else np.array([float(np.median(stated.value)) / np.sqrt(2.0)])

    def _vertical_factor(self, drive: Drive) -> Numbers:
        level, up = (drive.signals.get(name) for name in ("stated_variance_m2", "stated_vertical_variance_m2"))
        return np.empty(0) if level is None or up is None else np.array([np.sqrt(np.median(up.value / level.value))])

    def _gap_rate(self, drive: Drive) -> Numbers:
        found, hours = positioning.gaps(drive, self._policy["gnss"])
        return np.array([len(found) / hours]) if hours > 0.0 else np.empty(0)

    def _way(self, drive: Drive, seconds: float) -> Numbers:
        return positioning.way_errors(drive, seconds, self._policy["gnss"])
