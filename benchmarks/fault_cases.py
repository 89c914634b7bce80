"""The vocabulary of the fault study: what is asked of the simulator, and what must come of it.

Here belong when in a drive a fault strikes, and the judgement whether it was found with the right rule, for the right
sensor, at the right time. Which faults there are, and their smallest sizes, is in the modules `fault_cases_*`.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from benchmarks.simulated_drives import Ingested, Workshop
from fleet_assets.policy.documents import load_policies
from services.fleet_simulator.faults import FaultRequest, interval_of
from services.fleet_simulator.sensors.scene import Scene

POLICIES: Final = load_policies()
RULES: Final[Mapping[str, Any]] = POLICIES["integrity"]["rules"]
SENSORS: Final[Mapping[str, Any]] = POLICIES["vehicles/sim_car"]["sensors"]
WHOLE_DRIVE: Final = "*"
FILE: Final = "the file"
"""Stands for the sensor of findings that name the recording's file."""
_SLACK_NS: Final = 400_000_000
"""Clock offset, latency and one period: times of findings are by the recorder's clock."""


@dataclass(frozen=True)
class Moment:
    """Where in a drive a fault strikes, drawn anew for each seed and case.

    Attributes:
        shop: The workshop.
        scene: The drive.
        seed: Its seed.
    """

    shop: Workshop
    scene: Scene
    seed: int

    @property
    def seconds(self) -> float:
        """Length of the drive."""
        return (self.scene.end_ns - self.scene.start_ns) / 1e9

    def anywhere(self, lasting_s: float) -> float:
        """A second such that the fault neither begins nor ends near the drive's ends."""
        rng = np.random.default_rng([self.seed, round(lasting_s * 1000)])
        return round(float(rng.uniform(3.0, self.seconds - lasting_s - 3.0)), 3)

    def moving(self, lasting_s: float, least_mps: float) -> float | None:
        """A second from which on the vehicle drives for so long; None where it never does."""
        ego = self.scene.truth.ego
        drives = np.concatenate(([0], np.cumsum(ego.speed_mmps >= least_mps * 1000)))
        steps = round(lasting_s * 100)
        whole = np.flatnonzero(drives[steps:] - drives[:-steps] == steps)
        whole = whole[(whole > 300) & (whole < len(ego.t_ns) - steps - 300)]  # noqa: PLR2004 - 3 s, as above
        if not len(whole):
            return None
        return float(np.random.default_rng([self.seed, steps]).choice(whole)) / 100


Right = Callable[[Sequence[Ingested], Moment, Sequence[FaultRequest]], bool]


@dataclass(frozen=True)
class Case:
    """A fault.

    Attributes:
        name: Fault and sensor.
        size: Its size in words.
        rule: Rule that must find it.
        faults: What is asked of the simulator in one drive; None where the drive has no moment for it.
        right: Whether it was found.
        expected: (sensor, rule) of findings that are right too.
        turns: Uploads of how many turns have come when it is looked at, for each look; None for all.
        restarts: Whether the fault changes when the drive takes place.
        lacks: Message that the vehicle's CAN database lacks when the drive is decoded.
    """

    name: str
    size: str
    rule: str
    faults: Callable[[Moment], tuple[FaultRequest, ...] | None]
    right: Right
    expected: frozenset[tuple[str, str]]
    turns: tuple[int | None, ...] = (None,)
    restarts: bool = False
    lacks: str = ""


def found_as(sensor: str, rule: str) -> Right:
    """Whether a finding of this rule and sensor touches the fault's time."""

    def right(found: Sequence[Ingested], moment: Moment, faults: Sequence[FaultRequest]) -> bool:
        drive = found[-1].drive
        if drive is None:
            return False
        holds = interval_of(faults[0], moment.scene.start_ns, moment.scene.end_ns)
        return any(
            row["t_ns"] <= holds.end_ns + _SLACK_NS and row["end_ns"] >= holds.start_ns - _SLACK_NS
            for row in found[-1].rows("bronze.integrity_findings", sensor=sensor, rule=rule)
        )

    return right


def struck(  # noqa: PLR0917 - what, where, how large, found by what
    kind: str,
    sensor: str,
    rule: str,
    size: str,
    lasting_s: float | None,
    magnitude: float | None = None,
    *,
    moving_mps: float | None = None,
    also: Iterable[tuple[str, str]] = (),
) -> Case:
    """A fault of one sensor, or of the recorder, that strikes once.

    Args:
        kind: Its kind.
        sensor: The sensor; empty for the recorder's.
        rule: Rule that must find it, for this sensor.
        size: Its size in words.
        lasting_s: How long it lasts; None for what has no length.
        magnitude: Its size; None for its kind's.
        moving_mps: It strikes while the vehicle is at least as fast; at any time when None.
        also: Sensors and rules of findings that are right too.
    """

    def faults(moment: Moment) -> tuple[FaultRequest, ...] | None:
        length = lasting_s or 0.0
        at_s = moment.anywhere(length) if moving_mps is None else moment.moving(length, moving_mps)
        return None if at_s is None else (FaultRequest(kind, sensor, at_s, lasting_s, magnitude),)

    name = f"{kind} of {sensor}" if sensor else kind
    return Case(name, size, rule, faults, found_as(sensor, rule), frozenset({(sensor, rule), *also}))


def held(sensor: str, rule: str) -> Right:
    """Whether the drive is held back for this rule, with a finding of this sensor."""

    def right(found: Sequence[Ingested], moment: Moment, faults: Sequence[FaultRequest]) -> bool:
        del moment, faults
        return bool(
            found[-1].rows("bronze.quarantine", rule=rule)
            and found[-1].rows("bronze.integrity_findings", rule=rule, sensor=sensor)
        )

    return right


def of_all(*rules: str) -> set[tuple[str, str]]:
    """Findings of these rules by any sensor, by the file or by the whole drive."""
    return {(sensor, rule) for sensor in (*SENSORS, WHOLE_DRIVE, FILE) for rule in rules}
