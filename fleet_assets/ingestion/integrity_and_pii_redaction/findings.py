"""What a broken rule leaves behind: the finding, and the examination of one drive that findings are made in.

Here belongs the shape of findings and of their message. What breaks a rule is decided in the modules `*_rules`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa

from fleet_assets.ingestion.recordings.protocol import NS_PER_S
from fleet_assets.policy.canonical import CanonicalSignals
from fleet_assets.policy.vehicles import Dropouts, SensorSpec, VehicleSpec
from fleet_assets.tables.bronze import INTEGRITY_FINDINGS

REMEDY_FOLLOWS: Final = ". Remedy: "
"""Stands between what was found and what to do, so that both can be told apart again."""

CUT: Final = "cut"
"""Severity of what is kept out of silver."""
_MOST_DROPOUTS: Final = 0.999
"""Share of drives that have no more dropouts than are called normal."""
_S_PER_HOUR: Final = 3600


@dataclass(frozen=True, slots=True)
class Finding:
    """One broken rule; fields as the columns of `bronze.integrity_findings`."""

    sensor: str
    rule: str
    severity: str
    t_ns: int
    end_ns: int
    message: str
    signal: str | None = None
    instance: int | None = None
    value: float | None = None
    limit: float | None = None


@dataclass(frozen=True, slots=True)
class Examination:
    """What the rules know about one drive.

    Attributes:
        drive: Row of `bronze.drives`.
        spec: Its vehicle spec.
        canonical: Canonical signals.
        rules: Block `rules` of the policy `integrity`.
        duration_ns: Length of the drive by its corrected clock.
        speed_signals: Canonical signals that tell how fast the vehicle goes.
    """

    drive: Mapping[str, Any]
    spec: VehicleSpec
    canonical: CanonicalSignals
    rules: Mapping[str, Mapping[str, Any]]
    duration_ns: int
    speed_signals: tuple[str, ...] = ()

    @property
    def start_ns(self) -> int:
        """Start of the drive, UTC nanoseconds."""
        return int(self.drive["start_ns"])

    @property
    def end_ns(self) -> int:
        """End of the drive, UTC nanoseconds."""
        return int(self.drive["end_ns"])

    def silence_ns(self, sensor: SensorSpec) -> float:
        """Longest normal time between two messages of a sensor."""
        limits = self.rules["gap"]
        return float(max(limits["min_gap_s"], (limits["max_missed_periods"] + 1) / sensor.rate_hz)) * NS_PER_S

    def valueless_ns(self, sensor: SensorSpec) -> float:
        """Longest normal time without a value: a dropout begins and ends up to a normal silence off."""
        silence_ns = self.silence_ns(sensor)
        return silence_ns if sensor.dropouts is None else sensor.dropouts.longest_s * NS_PER_S + 2 * silence_ns

    def most_dropouts(self, dropouts: Dropouts) -> int:
        """Number of dropouts that hardly any drive of this length exceeds, if they come at random (Poisson)."""
        from scipy.special import pdtr

        expected = dropouts.per_hour * self.duration_ns / NS_PER_S / _S_PER_HOUR
        counts = np.arange(10 + int(2 * expected + 10 * np.sqrt(expected)))
        return int(np.argmax(pdtr(counts, expected) >= _MOST_DROPOUTS))

    def since_start(self, t_ns: int) -> str:
        """An instant in words."""
        return f"+{(t_ns - self.start_ns) / NS_PER_S:.3f} s"

    def finding(
        self,
        rule: str,
        sensor: str,
        words: str,
        *,
        between: tuple[int, int] | None = None,
        value: float | None = None,
        limit: float | None = None,
        signal: str | None = None,
        instance: int | None = None,
    ) -> Finding:
        """Make a finding.

        Args:
            rule: Rule of the policy.
            sensor: Sensor concerned.
            words: What was found and what is allowed, without a final full stop.
            between: First and last instant concerned; the whole drive when None.
            value: What was found.
            limit: What is allowed.
            signal: Canonical signal, None when the rule is about the sensor.
            instance: Index among equal objects, None when all are meant.
        """
        first, last = between if between is not None else (self.start_ns, self.end_ns)
        told = self.rules[rule]
        message = words + REMEDY_FOLLOWS + told["remedy"]
        return Finding(sensor, rule, told["severity"], first, last, message, signal, instance, value, limit)

    def table(self, findings: Iterable[Finding]) -> pa.Table:
        """Turn findings into rows of `bronze.integrity_findings`, in the table's order."""
        drive = {name: self.drive[name] for name in ("drive_id", "day", "depot")}
        names = Finding.__dataclass_fields__
        return INTEGRITY_FINDINGS.from_rows(
            [{**drive, **{name: getattr(finding, name) for name in names}} for finding in findings]
        )
