"""Faults on request: what is asked for, what it does to measurements, and what the truth says of it.

Here belong the kinds of faults and those that act on a sensor's measurements. Faults of the recorder act in
`recorder_faults.py`; those of the upload are carried out by who delivers, after `uploads`.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from services.fleet_simulator.drive_truth import NS_PER_S, DrivePlan
from services.fleet_simulator.sensors.clock import random_stream
from services.fleet_simulator.sensors.messages import NOT_VALID, STATUS, Columns, Source
from services.fleet_simulator.sensors.ros_messages import CAN_FRAME

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
    "lost_messages": FaultKind("measurements", 0.1, "share", "messages are lost here and there"),
    "repeated_messages": FaultKind("measurements", 0.1, "share", "messages come twice here and there"),
    "no_value": FaultKind("measurements", 0.0, "", "one value is no number for a while"),
    "invalid": FaultKind("measurements", 0.0, "", "the sensor says that its values are not valid"),
    "unrecorded": FaultKind("recording", 0.0, "", "the recording has no channel of a sensor"),
    "clock_jump": FaultKind("recording", 2500.0, "ms", "the recorder's clock is set"),
    "clock_drift": FaultKind("recording", 500.0, "ppm", "the recorder's clock runs fast"),
    "coarse_stamps": FaultKind("recording", 100.0, "ms", "the recorder's clock counts in steps"),
    "wild_stamp": FaultKind("recording", 1e6, "s", "one message's time stamp is far off"),
    "out_of_order": FaultKind("recording", 40.0, "ms", "messages are written up to so much too late"),
    "recorder_stops": FaultKind("recording", 0.0, "", "nothing is recorded from then on"),
    "damaged_file": FaultKind("recording", 0.1, "share of the bytes", "bytes of messages in the file are wrong"),
    "near_midnight": FaultKind("start", 10.0, "s", "the drive starts so long before midnight UTC"),
    "truncated_upload": FaultKind("upload", 0.6, "share kept", "the upload breaks off"),
    "duplicate_upload": FaultKind("upload", 1.0, "times", "the same upload again"),
    "wrong_digest": FaultKind("upload", 1.0, "bytes", "bytes are changed after the manifest was written"),
    "late_arrival": FaultKind("upload", 1.0, "turns", "the upload comes after the others were processed"),
    "corrected_reupload": FaultKind("upload", 1.0, "revision", "the drive without its faults comes later"),
    "unknown_depot": FaultKind("upload", 0.0, "", "the upload names a depot that the fleet does not have"),
}
UNKNOWN_DEPOT: Final = "nowhere"
UNRECORDED: Final = "unrecorded"
_BLOCKS_DRAWN: Final = 4096
"""Draws of where in a block of messages one is lost; they repeat after as many blocks."""


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
    if match["sensor"] is None and (
        FAULT_KINDS[match["kind"]].acts_on == "measurements" or match["kind"] == UNRECORDED
    ):
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


_OF_VALUES: Final = frozenset({"offset", "saturated", "frozen", "no_value", "invalid"})
"""Kinds that change values and lose no message."""


class SensorFaults:
    """What the faults of one drive do to one sensor; keeps `messages.Disturbance`.

    Args:
        faults: Faults of its measurements.
        source: The sensor.
        start_ns: Start of the drive.
        end_ns: Its end.
        seed: Its seed.
    """

    def __init__(
        self, faults: Sequence[FaultRequest], source: Source, start_ns: int, end_ns: int, *, seed: int
    ) -> None:
        self.intervals = [(fault, interval_of(fault, start_ns, end_ns)) for fault in faults]
        """Faults with the time that they hold."""
        self._source, self._origin_ns = source, start_ns + source.timing.phase_ns
        self._last: dict[str, Any] = {}
        self._draws = random_stream(seed, source.name, "lost").random(_BLOCKS_DRAWN)
        self.affected = [0] * len(self.intervals)
        """Measurements that each fault changed or kept back."""

    def disturb(self, t_ns: NDArray[np.int64], columns: Columns) -> NDArray[np.int64]:
        """See `messages.Disturbance`."""
        sent = np.ones(len(t_ns), dtype=np.int64)
        for number, (fault, holds) in enumerate(self.intervals):
            inside = (t_ns >= holds.start_ns) & (t_ns < holds.end_ns)
            if fault.kind == "spike":
                inside = self._spike(fault, inside, columns, already=self.affected[number])
            elif fault.kind in _OF_VALUES:
                self._change(fault, inside, columns)
            else:
                inside &= self._chosen(fault, t_ns)
                sent[inside] *= 2 if fault.kind == "repeated_messages" else 0
            self.affected[number] += int(inside.sum())
        if len(t_ns):
            self._last = {name: values[-1].copy() for name, values in columns.items()}
        return sent

    def _chosen(self, fault: FaultRequest, t_ns: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Measurements that a fault of messages strikes: all, all but every n-th, or one at random of every n."""
        number = (t_ns - self._origin_ns) // self._source.timing.period_ns
        if fault.kind == "rate_change":
            every: NDArray[np.bool_] = number % max(round(fault.size), 1) != 0
            return every
        if fault.kind in {"lost_messages", "repeated_messages"}:
            length = max(round(1 / fault.size), 1)
            struck: NDArray[np.bool_] = number % length == np.floor(
                self._draws[number // length % _BLOCKS_DRAWN] * length
            )
            return struck
        return np.ones(len(t_ns), dtype=np.bool_)

    def _change(self, fault: FaultRequest, inside: NDArray[np.bool_], columns: Columns) -> None:
        if fault.kind == "frozen":
            self._freeze(inside, columns)
        elif fault.kind == "no_value":
            self._void(inside, columns)
        elif fault.kind == "invalid":
            self._disown(inside, columns)
        else:
            self._displace(fault, inside, columns)

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

    def _void(self, inside: NDArray[np.bool_], columns: Columns) -> None:
        """Take one value away."""
        column = columns[self._source.spiking]
        if self._source.type_name == CAN_FRAME or not np.issubdtype(column.dtype, np.floating):
            raise UnknownFaultError(
                f"fault no_value: {self._source.name} sends whole numbers, which are always numbers"
            )
        columns[self._source.spiking] = np.where(inside.reshape(-1, *[1] * (column.ndim - 1)), np.nan, column)

    def _disown(self, inside: NDArray[np.bool_], columns: Columns) -> None:
        """Let the sensor say that it does not vouch for its values, which stay as they are."""
        if STATUS not in columns:
            raise UnknownFaultError(f"fault invalid: {self._source.name} never says whether its values are valid")
        columns[STATUS] = np.where(inside, NOT_VALID, columns[STATUS])

    def _freeze(self, inside: NDArray[np.bool_], columns: Columns) -> None:
        if not inside.any():
            return
        first = int(np.argmax(inside))
        for name, values in columns.items():
            held = values[first - 1].copy() if first else self._last.get(name, values[0].copy())
            values[inside] = held


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
