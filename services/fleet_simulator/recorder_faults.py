"""Faults of the recorder: what becomes of its clock, of the order of messages, and of the file that it writes.

Here belongs what happens after a sensor's message has arrived. Faults of measurements are in `faults.py`.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from services.fleet_simulator.drive_truth import NS_PER_S, DrivePlan
from services.fleet_simulator.faults import (
    FAULT_KINDS,
    UNRECORDED,
    FaultRequest,
    Interval,
    faults_of,
    interval_of,
)
from services.fleet_simulator.mcap_writer import message_bytes
from services.fleet_simulator.sensors.clock import NS_PER_MS, Clock, ClockJump, random_stream

RECORDER: Final = "recorder"
_PPB_PER_PPM: Final = 1000
_FLIP: Final = 0xFF
_OF_THE_CLOCK: Final = frozenset({"clock_jump", "clock_drift"})


class RecorderFaults:
    """What the faults of one drive do in its recorder.

    Args:
        plan: The drive.
        start_ns: Its start, true time.
        end_ns: Its end.
    """

    def __init__(self, plan: DrivePlan, start_ns: int, end_ns: int) -> None:
        self._start_ns, self._end_ns = start_ns, end_ns
        self._asked = [(fault, interval_of(fault, start_ns, end_ns)) for fault in faults_of(plan, "recording")]
        self._affected = [0] * len(self._asked)
        self._rng = random_stream(plan.seed, RECORDER, "disorder")

    def _each(self, *kinds: str) -> Iterator[tuple[int, FaultRequest, Interval]]:
        return ((number, *one) for number, one in enumerate(self._asked) if one[0].kind in kinds)

    def unrecorded(self) -> set[str]:
        """Sensors, or groups of sensors, without a channel."""
        return {fault.sensor for _, fault, _ in self._each(UNRECORDED)}

    def clock(self, sound: Clock) -> Clock:
        """The recorder's clock, given the one that it has without faults."""
        jumps = [
            ClockJump(self._start_ns + round(fault.at_s * NS_PER_S), round(fault.size * NS_PER_MS))
            for _, fault, _ in self._each("clock_jump")
        ]
        drifts = [round(fault.size * _PPB_PER_PPM) for _, fault, _ in self._each("clock_drift")]
        return replace(sound, drift_ppb=drifts[-1] if drifts else sound.drift_ppb, jumps=tuple(jumps))

    def kept(self, arrival_ns: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which messages are recorded at all."""
        kept = np.ones(len(arrival_ns), dtype=np.bool_)
        for number, _, holds in self._each("recorder_stops"):
            late = arrival_ns >= holds.start_ns
            self._affected[number] += int(late.sum())
            kept &= ~late
        return kept

    def written(self, arrival_ns: NDArray[np.int64]) -> NDArray[np.int64]:
        """When messages are written."""
        written = arrival_ns
        for number, fault, holds in self._each("out_of_order"):
            inside = (arrival_ns >= holds.start_ns) & (arrival_ns < holds.end_ns)
            late = (self._rng.random(len(arrival_ns)) * fault.size * NS_PER_MS).astype(np.int64)
            written = written + np.where(inside, late, 0)
            self._affected[number] += int(inside.sum())
        return written

    def stamped(
        self, arrival_ns: NDArray[np.int64], log_ns: NDArray[np.int64], names: Collection[str]
    ) -> NDArray[np.int64]:
        """Time stamps that the recorder gives.

        Args:
            arrival_ns: int64[n], true time of arrival.
            log_ns: int64[n], what its clock showed then.
            names: The sensor whose messages these are, and its group.
        """
        stamped = log_ns
        for number, fault, holds in self._each("coarse_stamps"):
            inside = (arrival_ns >= holds.start_ns) & (arrival_ns < holds.end_ns)
            step_ns = round(fault.size * NS_PER_MS)
            stamped = np.where(inside, stamped // step_ns * step_ns, stamped)
            self._affected[number] += int(inside.sum())
        for number, fault, holds in self._each("wild_stamp"):
            later = arrival_ns >= holds.start_ns
            if not self._affected[number] and later.any() and fault.sensor in {"", *names}:
                stamped = stamped.copy()
                stamped[int(np.argmax(later))] += round(fault.size * NS_PER_S)
                self._affected[number] = 1
        return stamped

    def damage(self, path: Path) -> None:
        """Change bytes of messages in the finished file, from the place that belongs to the second of each fault."""
        for number, fault, holds in self._each("damaged_file"):
            content = bytearray(path.read_bytes())
            places = np.concatenate([np.arange(*part) for part in message_bytes(content)])
            through = (holds.start_ns - self._start_ns) / max(self._end_ns - self._start_ns, 1)
            first = int(through * (len(places) - 1))
            struck = places[first : first + max(round(fault.size * len(places)), 1)]
            for place in struck.tolist():
                content[place] ^= _FLIP
            self._affected[number] = len(struck)
            path.write_bytes(content)

    def told(self) -> Iterator[Mapping[str, Any]]:
        """What each fault did."""
        for (fault, holds), affected in zip(self._asked, self._affected, strict=True):
            is_of_clock = fault.kind in _OF_THE_CLOCK
            held = Interval(holds.start_ns, holds.start_ns) if fault.kind == "clock_jump" else holds
            yield fact(fault, held, sensor=fault.sensor, affected=None if is_of_clock else affected)


def fact(fault: FaultRequest, holds: Interval, *, sensor: str, affected: int | None) -> dict[str, Any]:
    """A fault for the record of truth.

    Args:
        fault: What was asked for.
        holds: When it held.
        sensor: The sensor that it struck; empty for all.
        affected: Messages, or bytes, that it struck; None where they cannot be counted.
    """
    return {
        "kind": fault.kind,
        "sensor": sensor,
        "start_ns": holds.start_ns,
        "end_ns": holds.end_ns,
        "magnitude": fault.size,
        "unit": FAULT_KINDS[fault.kind].unit,
        "affected": affected,
    }
