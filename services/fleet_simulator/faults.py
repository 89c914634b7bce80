"""Faults on request: what is asked for, what it does to measurements, and what the truth says of it.

Here belong the kinds of faults and those that act on a sensor's measurements. Faults of the recorder act in
`recording.py`; those of the upload are carried out by who delivers, after `uploads`.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from services.fleet_simulator.drive_truth import NS_PER_S, DrivePlan
from services.fleet_simulator.sensors.clock import NS_PER_MS, ClockJump
from services.fleet_simulator.sensors.messages import Columns, Source

NS_PER_DAY: Final = 86_400 * NS_PER_S
_REQUEST: Final = re.compile(
    r"^(?P<kind>[a-z_]+)(?::(?P<sensor>[a-z][a-z0-9_]*))?(?:@(?P<at>[0-9.]+))?(?:\+(?P<duration>[0-9.]+))?"
    r"(?:=(?P<magnitude>-?[0-9.]+))?$"
)


class UnknownFaultError(ValueError):
    """A request for a fault that there is not, or that lacks its sensor; the message says how to write one."""


@dataclass(frozen=True, slots=True)
class FaultKind:
    """A kind of fault.

    Attributes:
        acts_on: ``measurements`` of a sensor, ``recording``, ``upload`` or ``start`` of the drive.
        magnitude: Its size where none is given.
        unit: Unit of the size.
        words: What happens.
    """

    acts_on: str
    magnitude: float
    unit: str
    words: str


FAULT_KINDS: Final[Mapping[str, FaultKind]] = {
    "dropout": FaultKind("measurements", 0.0, "", "no messages for a while"),
    "spike": FaultKind("measurements", 20.0, "unit of the field", "one value far off"),
    "offset": FaultKind("measurements", 10.0, "unit of the field", "one value wrong by as much for a while"),
    "saturated": FaultKind("measurements", 20.0, "unit of the field", "one value at the end of its scale for a while"),
    "frozen": FaultKind("measurements", 0.0, "", "the same values for a while, at fresh times"),
    "rate_change": FaultKind("measurements", 4.0, "times slower", "fewer measurements for a while"),
    "missing_sensor": FaultKind("measurements", 0.0, "", "no message at all"),
    "clock_jump": FaultKind("recording", 2500.0, "ms", "the recorder's clock is set"),
    "out_of_order": FaultKind("recording", 40.0, "ms", "messages are written up to so much too late"),
    "near_midnight": FaultKind("start", 10.0, "s", "the drive starts so long before midnight UTC"),
    "truncated_upload": FaultKind("upload", 0.6, "share kept", "the upload breaks off"),
    "duplicate_upload": FaultKind("upload", 1.0, "times", "the same upload again"),
    "wrong_digest": FaultKind("upload", 1.0, "bytes", "bytes are changed after the manifest was written"),
    "late_arrival": FaultKind("upload", 1.0, "turns", "the upload comes after the others were processed"),
    "corrected_reupload": FaultKind("upload", 1.0, "revision", "the drive without its faults comes later"),
    "unknown_depot": FaultKind("upload", 0.0, "", "the upload names a depot that the fleet does not have"),
}
UNKNOWN_DEPOT: Final = "nowhere"


@dataclass(frozen=True, slots=True)
class FaultRequest:
    """A fault that is wanted.

    Attributes:
        kind: One of `FAULT_KINDS`.
        sensor: Sensor, or group of sensors, that it strikes; empty for faults of recording and upload.
        at_s: Seconds after the drive's start.
        duration_s: How long; None until the end.
        magnitude: Size in the unit of its kind; None for its default.
    """

    kind: str
    sensor: str = ""
    at_s: float = 0.0
    duration_s: float | None = None
    magnitude: float | None = None

    @property
    def size(self) -> float:
        """Its magnitude, or its kind's."""
        return FAULT_KINDS[self.kind].magnitude if self.magnitude is None else self.magnitude

    def as_json(self) -> dict[str, Any]:
        """The request for the record of truth."""
        return {
            "kind": self.kind,
            "sensor": self.sensor,
            "at_s": self.at_s,
            "duration_s": self.duration_s,
            "magnitude": self.size,
            "unit": FAULT_KINDS[self.kind].unit,
        }


def parse_fault(text: str) -> FaultRequest:
    """Read ``kind[:sensor][@second][+seconds][=magnitude]``, e.g. ``dropout:imu@10+5`` or ``clock_jump@20=-800``.

    Raises:
        UnknownFaultError: With the kinds that there are.
    """
    match = _REQUEST.match(text)
    if match is None or match["kind"] not in FAULT_KINDS:
        raise UnknownFaultError(
            f"{text!r} is no fault. Write KIND[:SENSOR][@SECOND][+SECONDS][=MAGNITUDE], e.g. dropout:imu@10+5; kinds: "
            f"{', '.join(FAULT_KINDS)}"
        )
    if FAULT_KINDS[match["kind"]].acts_on == "measurements" and match["sensor"] is None:
        raise UnknownFaultError(f"{text!r} names no sensor. Write e.g. {match['kind']}:imu@10+5")
    duration, magnitude = match["duration"], match["magnitude"]
    return FaultRequest(
        match["kind"],
        match["sensor"] or "",
        float(match["at"] or 0.0),
        None if duration is None else float(duration),
        None if magnitude is None else float(magnitude),
    )


def faults_of(plan: DrivePlan, acts_on: str) -> tuple[FaultRequest, ...]:
    """A plan's faults that act on something."""
    return tuple(fault for fault in plan.faults if FAULT_KINDS[fault.kind].acts_on == acts_on)


def without_faults(plan: DrivePlan) -> DrivePlan:
    """The same drive, recorded soundly; it starts when the faulty one does."""
    return replace(plan, faults=tuple(f for f in plan.faults if FAULT_KINDS[f.kind].acts_on in {"upload", "start"}))


def started(plan: DrivePlan) -> DrivePlan:
    """The plan with the start that its faults ask for."""
    for fault in faults_of(plan, "start"):
        midnight = (plan.start_ns // NS_PER_DAY + 1) * NS_PER_DAY
        plan = replace(plan, start_ns=midnight - round(fault.size * NS_PER_S))
    return plan


@dataclass(frozen=True, slots=True)
class Interval:
    """When a fault holds, true time, [start, end)."""

    start_ns: int
    end_ns: int


def interval_of(fault: FaultRequest, start_ns: int, end_ns: int) -> Interval:
    """When a fault holds in a drive [start, end]."""
    first = min(start_ns + round(fault.at_s * NS_PER_S), end_ns)
    if fault.kind == "missing_sensor":
        return Interval(start_ns, end_ns + 1)
    last = end_ns + 1 if fault.duration_s is None else min(first + round(fault.duration_s * NS_PER_S), end_ns + 1)
    return Interval(first, last)


class SensorFaults:
    """What the faults of one drive do to one sensor; keeps `messages.Disturbance`.

    Args:
        faults: Faults of its measurements.
        source: The sensor.
        start_ns: Start of the drive.
        end_ns: Its end.
    """

    def __init__(self, faults: Sequence[FaultRequest], source: Source, start_ns: int, end_ns: int) -> None:
        self.intervals = [(fault, interval_of(fault, start_ns, end_ns)) for fault in faults]
        """Faults with the time that they hold."""
        self._source, self._origin_ns = source, start_ns + source.timing.phase_ns
        self._last: dict[str, Any] = {}
        self.affected = [0] * len(self.intervals)
        """Measurements that each fault changed or kept back."""

    def disturb(self, t_ns: NDArray[np.int64], columns: Columns) -> NDArray[np.bool_]:
        """See `messages.Disturbance`."""
        kept = np.ones(len(t_ns), dtype=np.bool_)
        for number, (fault, holds) in enumerate(self.intervals):
            inside = (t_ns >= holds.start_ns) & (t_ns < holds.end_ns)
            if fault.kind == "spike":
                inside = self._spike(fault, inside, columns, already=self.affected[number])
            elif fault.kind in {"offset", "saturated"}:
                self._displace(fault, inside, columns)
            elif fault.kind == "frozen":
                self._freeze(inside, columns)
            else:
                if fault.kind == "rate_change":
                    inside &= (t_ns - self._origin_ns) // self._source.timing.period_ns % max(round(fault.size), 1) != 0
                kept &= ~inside
            self.affected[number] += int(inside.sum())
        if len(t_ns):
            self._last = {name: values[-1].copy() for name, values in columns.items()}
        return kept

    def _spike(
        self, fault: FaultRequest, inside: NDArray[np.bool_], columns: Columns, *, already: int
    ) -> NDArray[np.bool_]:
        hit = np.zeros_like(inside)
        if not already and inside.any():
            hit[int(np.argmax(inside))] = True
            self._displace(fault, hit, columns)
        return hit

    def _displace(self, fault: FaultRequest, inside: NDArray[np.bool_], columns: Columns) -> None:
        """Give one value another size, or shift it; whole numbers stay whole: they become bits or nanoseconds."""
        column = columns[self._source.spiking]
        size = np.asarray(fault.size).astype(column.dtype)
        wrong = size if fault.kind == "saturated" else column + size
        columns[self._source.spiking] = np.where(inside.reshape(-1, *[1] * (column.ndim - 1)), wrong, column)

    def _freeze(self, inside: NDArray[np.bool_], columns: Columns) -> None:
        if not inside.any():
            return
        first = int(np.argmax(inside))
        for name, values in columns.items():
            held = values[first - 1].copy() if first else self._last.get(name, values[0].copy())
            values[inside] = held


def clock_jumps(plan: DrivePlan, start_ns: int) -> tuple[ClockJump, ...]:
    """Jumps of the recorder's clock that a plan asks for."""
    return tuple(
        ClockJump(start_ns + round(fault.at_s * NS_PER_S), round(fault.size * NS_PER_MS))
        for fault in faults_of(plan, "recording")
        if fault.kind == "clock_jump"
    )


@dataclass(frozen=True, slots=True)
class UploadStep:
    """One upload of a drive.

    Attributes:
        turn: 0 comes first; 1 after the pipeline has processed what came before, and so on.
        revision: Revision in the manifest.
        depot: Depot in the manifest.
        is_sound: Whether it carries the recording without the faults of measurement and recorder.
        keep_share: Share of the file's bytes that arrive.
        changed_bytes: Bytes that differ from those that the manifest speaks of.
        copy: 0 for the drive itself, from 1 on for the same files again under a drive id of their own.
    """

    turn: int
    revision: int
    depot: str
    is_sound: bool = False
    keep_share: float = 1.0
    changed_bytes: int = 0
    copy: int = 0


def uploads(plan: DrivePlan) -> tuple[UploadStep, ...]:
    """What is uploaded of a drive, in order."""
    wanted = {fault.kind: fault.size for fault in faults_of(plan, "upload")}
    first = UploadStep(
        turn=round(wanted.get("late_arrival", 0)),
        revision=0,
        depot=UNKNOWN_DEPOT if "unknown_depot" in wanted else plan.depot,
        keep_share=wanted.get("truncated_upload", 1.0),
        changed_bytes=round(wanted.get("wrong_digest", 0)),
    )
    steps = [replace(first, copy=copy) for copy in range(1 + round(wanted.get("duplicate_upload", 0)))]
    if "corrected_reupload" in wanted:
        revision = max(1, round(wanted["corrected_reupload"]))
        steps.append(UploadStep(first.turn + 1, revision, plan.depot, is_sound=True))
    return tuple(steps)
