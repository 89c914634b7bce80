"""When the samples of GoPro telemetry were taken.

A payload covers the stretch [t, t + duration) of the video that the track's own table gives it, and its samples are
spread evenly over that stretch. Streams with time stamps (STMP, microseconds of the camera's clock, of the first sample
of each payload) are placed by them instead: evenly from stamp to stamp, and relative to the stamps of a stream that
comes once per frame, whose first sample belongs to the first frame. Total counts (TSMP) tell how many samples a payload
that could not be read has held. See "GPMF Timing and Clocks" in https://github.com/gopro/gpmf-parser.
"""

from collections.abc import Iterable, Iterator, Sequence, Set
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fleet_assets.ingestion.recordings.protocol import NS_PER_S
from fleet_assets.ingestion.recordings.video.gpmf import Part, sample_count

_FRAME_KEYS: Final = ("SHUT", "ISOE", "ISOG", "CORI", "GRAV")
"""Streams with one sample per frame; exposure comes first because the format's own tools use it."""
_STAMP_NS: Final = 1000
_MAX_DEVIATION: Final = 2.0
"""Payload durations by which a stamp may differ from the place of its payload before it is disbelieved."""
_LONGEST_STEP: Final = 1.5
"""Payload durations from one payload's first sample to the next one's beyond which samples are missing in between."""


@dataclass(frozen=True, slots=True)
class Payload:
    """One payload: when it begins, how long it lasts (ns), and its streams."""

    begin_ns: int
    duration_ns: int
    parts: Sequence[Part]


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A part whose end is not known before the next one of its stream."""

    part: Part
    channel: str
    count: int
    begin_ns: int
    stamped: bool
    payload: Payload
    number: int


@dataclass(slots=True)
class _Stream:
    waiting: _Waiting | None = None
    step_ns: float | None = None
    total: int | None = None
    last_ns: int | None = None


@dataclass(frozen=True, slots=True)
class TimedPart:
    """A part of a channel with the times of its samples, int64[n], and when its payload begins."""

    channel: str
    part: Part
    t_ns: NDArray[np.int64]
    payload_ns: int


@dataclass(slots=True)
class Clock:
    """Places the samples of one track's payloads in time, in one pass.

    Attributes:
        listed: Channels whose samples are lists.
        missing: Samples that the total counts tell of and that no payload held, by channel.
    """

    listed: Set[str]
    missing: dict[str, int] = field(default_factory=dict)
    _streams: dict[str, _Stream] = field(default_factory=dict)
    _zero: tuple[int, int] | None = None
    _devices: list[int] = field(default_factory=list)

    def place(self, payloads: Iterable[Payload]) -> Iterator[list[TimedPart]]:
        """Yield, payload by payload, the parts whose times are settled."""
        for number, payload in enumerate(payloads):
            if self._zero is None:
                self._zero = _zero(payload)
            settled: list[TimedPart] = []
            for part in payload.parts:
                channel = channel_name(part, self._devices)
                arrived = self._arrived(part, channel, payload, number)
                stream = self._streams.setdefault(channel, _Stream())
                self._count(arrived, stream)
                settled += self._settle(stream, arrived)
                stream.waiting = arrived
            for stream in self._streams.values():
                if stream.waiting is not None and stream.waiting.number < number:
                    settled += self._settle(stream, None)
            yield settled
        yield [timed for stream in self._streams.values() for timed in self._settle(stream, None)]

    def _arrived(self, part: Part, channel: str, payload: Payload, number: int) -> _Waiting:
        count = sample_count(part, channel in self.listed)
        stamp, begin_ns, stamped = part.integer(b"STMP"), payload.begin_ns, False
        if stamp is not None and self._zero is not None:
            by_stamp = self._zero[1] + (stamp - self._zero[0]) * _STAMP_NS
            if abs(by_stamp - begin_ns) <= _MAX_DEVIATION * max(payload.duration_ns, NS_PER_S):
                begin_ns, stamped = by_stamp, True
        begin_ns -= round(part.delay_s * NS_PER_S)
        return _Waiting(part, channel, count, begin_ns, stamped, payload, number)

    def _count(self, arrived: _Waiting, stream: _Stream) -> None:
        total = arrived.part.integer(b"TSMP")
        if total is None:
            return
        before = total - arrived.count
        if stream.total is not None and before > stream.total:
            gap = before - stream.total
            since = arrived.number - (stream.waiting.number if stream.waiting else 0)
            # A damaged count claims any number; a payload holds about as many samples as its neighbours.
            if gap <= 4 * max(arrived.count, 1) * max(since, 1):
                self.missing[arrived.channel] = self.missing.get(arrived.channel, 0) + gap
        stream.total = total

    @staticmethod
    def _settle(stream: _Stream, following: _Waiting | None) -> list[TimedPart]:
        found = stream.waiting
        stream.waiting = None
        if found is None or not found.count:
            return []
        length = following.begin_ns - found.begin_ns if following is not None else 0
        if not 0 < length <= _LONGEST_STEP * found.payload.duration_ns:
            known = stream.step_ns if found.stamped else None
            length = round(known * found.count) if known is not None else found.payload.duration_ns
        stream.step_ns = length / found.count
        t_ns = found.begin_ns + np.arange(found.count, dtype=np.int64) * length // found.count
        if stream.last_ns is not None:
            t_ns = np.maximum(t_ns, stream.last_ns)
        stream.last_ns = int(t_ns[-1])
        return [TimedPart(found.channel, found.part, t_ns, found.payload.begin_ns)]


def channel_name(part: Part, devices: list[int]) -> str:
    """Name of a stream's channel; ``devices`` collects the ids of devices in the order in which they come."""
    if part.device not in devices:
        devices.append(part.device)
    return f"gpmf/{part.key}" if devices[0] == part.device else f"gpmf/{part.device}/{part.key}"


def _zero(payload: Payload) -> tuple[int, int] | None:
    """Stamp of the first frame, and when that is presented; None while no stream has stamps."""
    stamps = {part.key: stamp for part in payload.parts if (stamp := part.integer(b"STMP")) is not None}
    if not stamps:
        return None
    base = next((stamps[key] for key in _FRAME_KEYS if key in stamps), min(stamps.values()))
    return base, payload.begin_ns
