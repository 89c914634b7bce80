"""What a sensor is to the recorder: measurements at its own times, as messages, stretch by stretch.

Here belong the protocol that sensors keep and the one loop that renders any of them. What a sensor measures is in its
own module; the order of all messages in the file is the recorder's business.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from services.fleet_simulator.drive_truth import NS_PER_S
from services.fleet_simulator.sensors.clock import Timing, random_stream
from services.fleet_simulator.sensors.scene import Scene

STRETCH_NS: Final = 10 * NS_PER_S
"""Length of the stretches in which a drive is rendered; it bounds the memory and changes no byte of the result."""

PUBLISHED: Final = "published"
"""Column that says which measurements become messages; all do where a sensor has none."""

STATUS: Final = "status"
"""Column in which a sensor says how far it vouches for its values; `NOT_VALID` is not at all."""
NOT_VALID: Final = -1

Columns = dict[str, NDArray[Any]]
"""Measured values, one row per measurement, by name."""


@dataclass(frozen=True, slots=True)
class Messages:
    """Messages of one topic in one stretch.

    Attributes:
        topic: Topic.
        measured_ns: int64[n], true time of the measurement.
        arrival_ns: int64[n], true time at which the recorder got it.
        stamp_ns: int64[n], time of the measurement by the sensor's own clock.
        payloads: The messages.
    """

    topic: str
    measured_ns: NDArray[np.int64]
    arrival_ns: NDArray[np.int64]
    stamp_ns: NDArray[np.int64]
    payloads: Sequence[bytes]


class Source(Protocol):
    """A sensor, or one message of it.

    Attributes:
        name: Its name in the vehicle spec and under `timing` in the policy.
        topic: Where it publishes.
        type_name: Message type.
        timing: When it measures and how long its messages take.
        spiking: Column that a fault of kind `spike` disturbs.
        per_measurement: Messages per measurement.
        spacing_ns: Time between these.
    """

    name: str
    topic: str
    type_name: str
    timing: Timing
    spiking: str
    per_measurement: int
    spacing_ns: int

    def sample(self, t_ns: NDArray[np.int64]) -> Columns:
        """Measure at true times, each call going on where the last one ended."""
        ...

    def encode(self, t_ns: NDArray[np.int64], stamp_ns: NDArray[np.int64], columns: Columns) -> list[bytes]:
        """Messages, `per_measurement` for each row; the stamps are those of the messages."""
        ...

    def facts(self) -> Mapping[str, Any]:
        """What the truth has to say of it: errors that were drawn, stretches without reception."""
        ...


class Disturbance(Protocol):
    """What faults do to one sensor's measurements."""

    def disturb(self, t_ns: NDArray[np.int64], columns: Columns) -> NDArray[np.int64]:
        """Change values in place and say how many messages each measurement becomes, int64[n]."""
        ...


def stretches(start_ns: int, end_ns: int) -> Iterator[tuple[int, int]]:
    """Cut a drive into stretches [first, end)."""
    for first in range(start_ns, end_ns, STRETCH_NS):
        yield first, min(first + STRETCH_NS, end_ns)


def render(source: Source, scene: Scene, disturbance: Disturbance | None = None) -> Iterator[Messages]:
    """Render one sensor.

    Args:
        source: The sensor, fresh.
        scene: The drive.
        disturbance: Faults, if any.

    Yields:
        One `Messages` per stretch, possibly empty; arrivals never go back.
    """
    rng = random_stream(scene.seed, source.name, "delays")
    last_arrival = 0
    for first, end in stretches(scene.start_ns, scene.end_ns):
        t_ns = source.timing.measured(scene.start_ns, first, end)
        columns = source.sample(t_ns)
        delays = source.timing.delays(len(t_ns), rng)
        sent = columns.pop(PUBLISHED, np.ones(len(t_ns), dtype=np.bool_)).astype(np.int64)
        if disturbance is not None:
            sent = sent * disturbance.disturb(t_ns, columns)
        t_ns, delays = np.repeat(t_ns, sent), np.repeat(delays, sent)
        columns = {name: np.repeat(values, sent, axis=0) for name, values in columns.items()}
        # A later message never overtakes an earlier one of the same sensor: they share one queue.
        arrival = np.maximum.accumulate(np.maximum(t_ns + delays, last_arrival))
        last_arrival = int(arrival[-1]) if len(arrival) else last_arrival
        spacing = np.arange(source.per_measurement, dtype=np.int64) * source.spacing_ns
        arrival = (arrival[:, None] + spacing).reshape(-1)
        measured = np.repeat(t_ns, source.per_measurement)
        stamps = source.timing.clock.read(measured)
        yield Messages(source.topic, measured, arrival, stamps, source.encode(t_ns, stamps, columns))
