"""Clocks of recorder and sensors, and the time that messages need: how true time becomes time stamps.

Here belong offset, drift, jumps, latency and jitter. What the messages say is in the sensors' own modules.

A message is measured at a true time, arrives at the recorder after the sensor's latency, and gets two stamps: the
sensor's own clock at the time of measurement (header) and the recorder's clock at arrival (log time).
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from services.fleet_simulator.drive_truth import NS_PER_S

NS_PER_MS: Final = 1_000_000
_PPB: Final = 1_000_000_000
_GAMMA_SHAPE: Final = 4.0
"""Shape of the latency's distribution: a gamma of this shape leans to the right as queueing times do."""


def random_stream(seed: int, *names: str) -> np.random.Generator:
    """The random stream of one part of one drive; equal arguments give equal draws on every machine.

    Args:
        seed: The drive's seed.
        names: What draws, e.g. ``imu``, ``noise``.
    """
    digest = hashlib.sha256("/".join(names).encode()).digest()
    return np.random.default_rng([seed, int.from_bytes(digest[:8], "big")])


@dataclass(frozen=True, slots=True)
class ClockJump:
    """A clock that is set while it runs.

    Attributes:
        at_ns: True time.
        step_ns: What is added to the clock then.
    """

    at_ns: int
    step_ns: int


@dataclass(frozen=True, slots=True)
class Clock:
    """A clock that runs a little fast or slow.

    Attributes:
        reference_ns: True time at which it was off by `offset_ns`.
        offset_ns: Its reading minus true time then.
        drift_ppb: Parts per billion that it runs fast.
        jumps: Times at which it was set.
    """

    reference_ns: int
    offset_ns: int
    drift_ppb: int
    jumps: tuple[ClockJump, ...] = ()

    def read(self, t_ns: NDArray[np.int64]) -> NDArray[np.int64]:
        """What it shows at true times, int64[n] in and out."""
        since = t_ns - self.reference_ns
        # Split, so that an hour in nanoseconds times a drift in ppb stays within 64 bits and whole numbers.
        seconds, rest = np.divmod(since, NS_PER_S)
        shown: NDArray[np.int64] = t_ns + self.offset_ns + seconds * self.drift_ppb + rest * self.drift_ppb // _PPB
        for jump in self.jumps:
            shown = shown + np.where(t_ns >= jump.at_ns, jump.step_ns, 0)
        return shown

    def as_json(self) -> dict[str, Any]:
        """The clock for the record of truth."""
        return {
            "reference_ns": self.reference_ns,
            "offset_ns": self.offset_ns,
            "drift_ppb": self.drift_ppb,
            "jumps": [{"at_ns": jump.at_ns, "step_ns": jump.step_ns} for jump in self.jumps],
        }


def draw_clock(policy: Mapping[str, Any], seed: int, name: str, start_ns: int) -> Clock:
    """Draw a clock.

    Args:
        policy: ``offset_sd_ms`` and ``drift_sd_ppm``.
        seed: The drive's seed.
        name: Whose clock it is.
        start_ns: Start of the drive, where the offset holds.
    """
    rng = random_stream(seed, name, "clock")
    offset_ns = round(float(rng.normal(0.0, policy["offset_sd_ms"])) * NS_PER_MS)
    drift_ppb = round(float(rng.normal(0.0, policy["drift_sd_ppm"])) * 1000)
    return Clock(start_ns, offset_ns, drift_ppb)


@dataclass(frozen=True, slots=True)
class Timing:
    """When a sensor measures and when the recorder hears of it.

    Attributes:
        period_ns: Time between two measurements.
        phase_ns: First measurement after the drive's start.
        latency_ns: Mean time from measurement to arrival, of this vehicle.
        jitter_ns: Standard deviation of that time.
        clock: The sensor's own clock.
    """

    period_ns: int
    phase_ns: int
    latency_ns: int
    jitter_ns: int
    clock: Clock

    def measured(self, start_ns: int, first_ns: int, end_ns: int) -> NDArray[np.int64]:
        """True times of the measurements in [first, end) of a drive that began at `start_ns`."""
        origin = start_ns + self.phase_ns
        low = max(0, -((origin - first_ns) // self.period_ns))
        high = max(low, -((origin - end_ns) // self.period_ns))
        return origin + np.arange(low, high, dtype=np.int64) * self.period_ns

    def delays(self, count: int, rng: np.random.Generator) -> NDArray[np.int64]:
        """Draw the time from measurement to arrival, int64[n], not negative."""
        half = 0.5 * self.jitter_ns
        drawn = rng.gamma(_GAMMA_SHAPE, half, count) if self.jitter_ns else np.zeros(count)
        return np.maximum(np.rint(drawn).astype(np.int64) + self.latency_ns - round(_GAMMA_SHAPE * half), 0)

    def as_json(self) -> dict[str, Any]:
        """The timing for the record of truth."""
        return {
            "period_ns": self.period_ns,
            "phase_ns": self.phase_ns,
            "latency_ns": self.latency_ns,
            "jitter_ns": self.jitter_ns,
            "clock": self.clock.as_json(),
        }


def draw_timing(policy: Mapping[str, Any], seed: int, name: str, start_ns: int, *, device: str | None = None) -> Timing:
    """Draw a sensor's timing.

    Args:
        policy: Section `sensors`, with `header_clock` and `timing`.
        seed: The drive's seed.
        name: Sensor under `timing`.
        start_ns: Start of the drive.
        device: Device that it is a part of, whose clock, phase and latency it shares; default: itself.
    """
    own, device = policy["timing"][name], name if device is None else device
    period_ns = round(NS_PER_S / own["rate_hz"])
    rng = random_stream(seed, device, "timing")
    phase, late = rng.random(), rng.uniform(-1.0, 1.0)
    latency_ms = own["latency_ms"]["mean"] + late * own["latency_ms"]["uncertainty"]
    return Timing(
        period_ns,
        int(phase * period_ns),
        round(latency_ms * NS_PER_MS),
        round(own["jitter_ms"] * NS_PER_MS),
        draw_clock(policy["header_clock"], seed, device, start_ns),
    )
