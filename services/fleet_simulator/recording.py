"""One drive as the vehicle's recorder writes it: all sensors' messages in one MCAP file.

Here belong the recorder's clock and the order of arrival; what the recorder's faults do is in `recorder_faults.py`.
Putting the file into a landing zone is up to who has one.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from services.fleet_simulator.faults import UNRECORDED, FaultRequest, SensorFaults, faults_of
from services.fleet_simulator.mcap_writer import ChannelInfo, McapWriter, Message
from services.fleet_simulator.recorder_faults import RECORDER, RecorderFaults, fact
from services.fleet_simulator.sensors.catalogue import GROUPS, UnknownSensorError, sources_of
from services.fleet_simulator.sensors.clock import Clock, draw_clock
from services.fleet_simulator.sensors.messages import Messages, Source, render, stretches
from services.fleet_simulator.sensors.ros_messages import definition
from services.fleet_simulator.sensors.scene import Scene


@dataclass(frozen=True)
class Recorded:
    """What the truth has to say of one recording.

    Attributes:
        clock: The recorder's clock; it stamps every message on arrival (log time).
        clocks: Clock of each sensor; it stamps the sensor's measurements (header and publish time).
        sensors: Topic, timing and errors by sensor.
        messages: Number of messages by topic.
        faults: Faults with what they did.
    """

    clock: Clock
    clocks: Mapping[str, Clock]
    sensors: Mapping[str, Mapping[str, Any]]
    messages: Mapping[str, int]
    faults: tuple[Mapping[str, Any], ...] = ()

    def as_json(self) -> dict[str, Any]:
        """The record of truth."""
        return {
            "recorder_clock": self.clock.as_json(),
            "sensors": {name: dict(facts) for name, facts in sorted(self.sensors.items())},
            "messages": dict(sorted(self.messages.items())),
            "faults": [dict(fault) for fault in self.faults],
        }


_Row = tuple[int, int, int, Message]
"""Time of writing, channel, number of the message, the message."""


class _Queue:
    """Messages that wait to be written; those of one stretch may arrive in the next."""

    def __init__(self, clock: Clock, faults: RecorderFaults) -> None:
        self._clock, self._faults = clock, faults
        self._waiting: list[_Row] = []
        self.counts: dict[int, int] = {}

    def add(self, channel: int, sensor: str, messages: Messages) -> None:
        kept = np.flatnonzero(self._faults.kept(messages.arrival_ns))
        first = self.counts.get(channel, 0)
        self.counts[channel] = first + len(kept)
        arrival_ns = messages.arrival_ns[kept]
        written = self._faults.written(arrival_ns).tolist()
        logged = self._faults.stamped(arrival_ns, self._clock.read(arrival_ns), _called(sensor)).tolist()
        stamped = messages.stamp_ns[kept].tolist()
        payloads = [messages.payloads[number] for number in kept.tolist()]
        self._waiting += [
            (at, channel, first + number, (channel, log_ns, publish_ns, payload))
            for number, (at, log_ns, publish_ns, payload) in enumerate(
                zip(written, logged, stamped, payloads, strict=True)
            )
        ]

    def take(self, until_ns: int | None) -> list[Message]:
        """What is written before a time, in order."""
        # A message has channel and number of its own, so that no two rows compare by payload.
        self._waiting.sort(key=lambda row: row[:3])
        end = len(self._waiting)
        if until_ns is not None:
            end = _first_not_before(self._waiting, until_ns)
        ready, self._waiting = self._waiting[:end], self._waiting[end:]
        return [row[3] for row in ready]


def _first_not_before(rows: Sequence[_Row], until_ns: int) -> int:
    low, high = 0, len(rows)
    while low < high:
        middle = (low + high) // 2
        if rows[middle][0] < until_ns:
            low = middle + 1
        else:
            high = middle
    return low


def record(path: Path, scene: Scene, sensors: Sequence[str] | None = None, extra: Iterable[Source] = ()) -> Recorded:
    """Write the recording of one drive; equal arguments give equal bytes.

    Args:
        path: File to write.
        scene: The drive.
        sensors: Groups of `catalogue.GROUPS` that record; those of the plan when None.
        extra: Further sensors, e.g. cameras.

    Returns:
        What the truth has to say of it.

    Raises:
        UnknownSensorError: When a fault or a request names a sensor that there is not.
    """
    plan = scene.truth.plan
    sources = [*sources_of(scene, plan.sensors if sensors is None else sensors), *extra]
    faults = RecorderFaults(plan, scene.start_ns, scene.end_ns)
    sources = _recorded(sources, faults.unrecorded())
    clock = faults.clock(draw_clock(scene.policy["recorder"], plan.seed, RECORDER, scene.start_ns))
    struck = _struck(sources, scene)
    queue = _Queue(clock, faults)
    topics = list(dict.fromkeys((source.topic, source.type_name) for source in sources))
    with path.open("wb") as stream:
        writer = McapWriter(stream, [ChannelInfo(topic, name, definition(name)) for topic, name in topics])
        numbers = {topic: number for number, (topic, _) in enumerate(topics, 1)}
        runs = [render(source, scene, struck.get(source.name)) for source in sources]
        for _, end in stretches(scene.start_ns, scene.end_ns):
            for source, run in zip(sources, runs, strict=True):
                queue.add(numbers[source.topic], source.name, next(run))
            writer.write(queue.take(end))
        writer.write(queue.take(None))
        writer.finish()
    faults.damage(path)
    counts = {topic: queue.counts.get(number, 0) for topic, number in numbers.items()}
    facts = {
        source.name: {"topic": source.topic, "timing": source.timing.as_json(), **source.facts()} for source in sources
    }
    clocks = {source.name: source.timing.clock for source in sources}
    return Recorded(clock, clocks, facts, counts, (*_told(struck), *faults.told()))


def _called(sensor: str) -> set[str]:
    """A sensor's name and those of its groups."""
    return {sensor, *(group for group, names in GROUPS.items() if sensor in names)}


def _recorded(sources: Sequence[Source], unrecorded: Collection[str]) -> list[Source]:
    """Sensors less those that have no channel."""
    for name in unrecorded:
        if not any(name in _called(source.name) for source in sources):
            raise UnknownSensorError(f"fault {UNRECORDED}: no sensor {name!r} records in this drive")
    return [source for source in sources if not _called(source.name) & set(unrecorded)]


def _targets(fault: FaultRequest, sources: Sequence[Source]) -> list[str]:
    names = {source.name for source in sources}
    wanted = GROUPS.get(fault.sensor, (fault.sensor,))
    return [name for name in wanted if name in names]


def _struck(sources: Sequence[Source], scene: Scene) -> dict[str, SensorFaults]:
    """Faults by sensor."""
    found: dict[str, list[FaultRequest]] = {}
    for fault in faults_of(scene.truth.plan, "measurements"):
        targets = _targets(fault, sources)
        if not targets:
            known = ", ".join(sorted({*GROUPS, *(source.name for source in sources)}))
            raise UnknownSensorError(
                f"fault {fault.kind}: no sensor {fault.sensor!r} records in this drive. Known: {known}"
            )
        for name in targets:
            found.setdefault(name, []).append(fault)
    by_name = {source.name: source for source in sources}
    return {
        name: SensorFaults(faults, by_name[name], scene.start_ns, scene.end_ns, seed=scene.seed)
        for name, faults in found.items()
    }


def _told(struck: Mapping[str, SensorFaults]) -> Iterator[dict[str, Any]]:
    """What each fault of measurements did."""
    for name, faults in sorted(struck.items()):
        for (fault, holds), affected in zip(faults.intervals, faults.affected, strict=True):
            yield fact(fault, holds, sensor=name, affected=affected)
