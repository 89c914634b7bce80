"""The lidars of one drive: recorded messages to sweeps to one file each, with an account of everything that came.

Here belongs which message is read how, and what is left out and why. How packets become points is in `returns.py`, and
what a file looks like in `zarr_shards.py`.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fleet_assets.ingestion.recordings.media import MessageKind, PayloadRecording
from fleet_assets.ingestion.recordings.messages.media_messages import Packets, cloud_of, packets_of
from fleet_assets.ingestion.recordings.messages.ros_scalar import BrokenMessageError
from fleet_assets.ingestion.recordings.messages.whole_messages import UnknownMessageError, Values
from fleet_assets.ingestion.recordings.protocol import NS_PER_S
from fleet_assets.ingestion.sensor_sync_and_format_conversion.lidar.clouds import UnusableCloudError, points_of
from fleet_assets.ingestion.sensor_sync_and_format_conversion.lidar.models import fields_of
from fleet_assets.ingestion.sensor_sync_and_format_conversion.lidar.returns import Points, packet_times, returns_of
from fleet_assets.ingestion.sensor_sync_and_format_conversion.lidar.sweeps import LONGEST_NS, Sweep, SweepCutter
from fleet_assets.ingestion.sensor_sync_and_format_conversion.lidar.zarr_shards import (
    ShardPolicy,
    SweepSink,
    SweepWriter,
)
from fleet_assets.policy.lidar_calibration import LidarCalibration

Sink = Callable[[Path, ShardPolicy, Mapping[str, Any]], SweepSink]
"""Opens what sweeps go to: path, sizes, attributes."""
NS_PER_MS: Final = 1_000_000
_REASONS_SHOWN: Final = 8
_BROKEN: Final = "broken message"
_NO_CALIBRATION: Final = "packets, but the vehicle spec names no calibration of this sensor. State one"
_NEITHER: Final = "neither packets nor points"


@dataclass(slots=True)
class Account:
    """What came of a lidar.

    Attributes:
        messages: Messages read.
        broken_messages: Those without points for a reason.
        packets: Packets in all other messages.
        broken_packets: Packets left out.
        broken_blocks: Blocks of sound packets left out.
        cut_sweeps: Sweeps left out since a finding covers them.
        outside_sweeps: Sweeps left out since they lie in no clip.
        problems: How often, by reason.
    """

    messages: int = 0
    broken_messages: int = 0
    packets: int = 0
    broken_packets: int = 0
    broken_blocks: int = 0
    cut_sweeps: int = 0
    outside_sweeps: int = 0
    problems: Counter[str] = field(default_factory=Counter)

    def words(self) -> str | None:
        """The problems in words, the most frequent ones first; None where there are none."""
        if not self.problems:
            return None
        ranked = sorted(self.problems.items(), key=lambda item: (-item[1], item[0]))
        shown = "; ".join(f"{count} x {reason}" for reason, count in ranked[:_REASONS_SHOWN])
        return shown + (f"; and {len(ranked) - _REASONS_SHOWN} other reasons" if len(ranked) > _REASONS_SHOWN else "")


class MessageDecoder:
    """Turns the messages of one lidar into points.

    Args:
        calibration: For packets; None where the spec names none.
        policy: The document `lidar`.
        account: What came of it is added here.
    """

    def __init__(self, calibration: LidarCalibration | None, policy: Mapping[str, Any], account: Account) -> None:
        self._calibration, self._policy, self._account = calibration, policy, account
        self._tolerance_ns = round(policy["clock_tolerance_ms"] * NS_PER_MS)
        self._readers: dict[MessageKind, Callable[[bytes | memoryview], Values]] = {}
        self._azimuth: int | None = None

    def points(self, kind: MessageKind, data: bytes | memoryview, t_ns: int) -> Iterator[Points]:
        """Yield the points of one message; nothing, and a reason in the account, where it has none.

        Args:
            kind: How it is read.
            data: The message.
            t_ns: Its time on the recording's clock, on which the points' times are too.
        """
        self._account.messages += 1
        try:
            if kind not in self._readers:
                self._readers[kind] = kind.reader()
            values = self._readers[kind](data)
            if "packets" in values:
                yield from self._of_packets(packets_of(values), t_ns)
            elif "fields" in values:
                points = points_of(cloud_of(values), t_ns, self._policy["cloud_fields"])
                points.turn[:] = 1  # a message is a sweep
                yield points
            else:
                self._refuse(_NEITHER)
        except BrokenMessageError:
            self._refuse(_BROKEN)
        except (UnknownMessageError, UnusableCloudError) as error:
            self._refuse(str(error))

    def _refuse(self, reason: str) -> None:
        self._account.broken_messages += 1
        self._account.problems[reason] += 1

    def _of_packets(self, packets: Packets, t_ns: int) -> Iterator[Points]:
        if self._calibration is None:
            self._refuse(_NO_CALIBRATION)
            return
        self._account.packets += len(packets.data)
        broken: dict[str, int] = {}
        arrival_ns = _on_recording_clock(np.array(packets.arrival_ns, dtype=np.int64), t_ns)
        for rows, fields in fields_of(self._calibration.model, packets.data, broken):
            times = packet_times(arrival_ns[rows], fields.stated_ns, fields.period_ns, self._tolerance_ns)
            found = returns_of(fields, times, self._calibration, azimuth_before=self._azimuth)
            self._azimuth = found.last_azimuth
            self._account.broken_blocks += found.broken_blocks
            if found.broken_blocks:
                self._account.problems["block without mark, or of an azimuth that cannot be"] += found.broken_blocks
            yield found.points
        for reason, count in broken.items():
            self._account.broken_packets += count
            self._account.problems[f"packet of {reason}"] += count


def _on_recording_clock(arrival_ns: NDArray[np.int64], t_ns: int) -> NDArray[np.int64]:
    """Arrivals on the recording's clock: as they are where the message's time is near, else counted from that."""
    if not len(arrival_ns) or arrival_ns.min() - NS_PER_S <= t_ns <= arrival_ns.max() + NS_PER_S:
        return arrival_ns
    moved: NDArray[np.int64] = arrival_ns - arrival_ns[-1] + t_ns
    return moved


@dataclass(frozen=True, slots=True)
class LidarJob:
    """One lidar to convert.

    Attributes:
        sensor: Sensor of the vehicle spec.
        channel: Its channel.
        calibration: Its calibration, or None.
        clip_of: Clip of a sweep's first instant (recording clock plus offset), or None outside all clips.
        cuts: First and last instant of stretches that findings cut from this sensor.
        path: File to write.
    """

    sensor: str
    channel: str
    calibration: LidarCalibration | None
    clip_of: Callable[[int], str | None]
    cuts: Sequence[tuple[int, int]]
    path: Path


@dataclass(frozen=True, slots=True)
class Written:
    """A sweep in the file.

    Attributes:
        clip_id: Clip that holds its first instant.
        t_ns: Earliest point, recording clock plus offset.
        end_ns: Latest point.
        first_point: Index of its first point in the arrays.
        points: Number of points.
    """

    clip_id: str
    t_ns: int
    end_ns: int
    first_point: int
    points: int


class LidarConversion:
    """One lidar's way from messages to its file.

    Args:
        job: What to convert.
        policy: The document `lidar`.
        clock_offset_ns: UTC minus the recording's own clock.
        sink: What sweeps go to; opened with the first one.
    """

    def __init__(
        self, job: LidarJob, policy: Mapping[str, Any], clock_offset_ns: int, sink: Sink = SweepWriter
    ) -> None:
        self.job, self.account, self._offset_ns = job, Account(), clock_offset_ns
        self.sweeps: list[Written] = []
        self._policy, self._sink = policy, sink
        self._decoder = MessageDecoder(job.calibration, policy, self.account)
        self._cutter = SweepCutter(round(policy["silence_ms"] * NS_PER_MS))
        self._writer: SweepSink | None = None

    def take(self, kind: MessageKind, data: bytes | memoryview, t_ns: int) -> None:
        """Convert one message of the recording's own time."""
        for points in self._decoder.points(kind, data, t_ns):
            points.t_ns[:] += self._offset_ns
            for sweep in self._cutter.add(points):
                self._keep(sweep)

    def finish(self) -> None:
        """Convert what is left, and close the file."""
        for sweep in self._cutter.finish():
            self._keep(sweep)
        if self._writer is not None:
            self._writer.close()

    def abandon(self) -> None:
        """Close the file without finishing it."""
        if self._writer is not None:
            self._writer.abandon()

    def _keep(self, sweep: Sweep) -> None:
        if sweep.end_ns - sweep.t_ns > LONGEST_NS:
            self.account.problems["sweep of more than two seconds"] += 1
            self.account.outside_sweeps += 1
            return
        if any(first <= sweep.end_ns and sweep.t_ns <= last for first, last in self.job.cuts):
            self.account.cut_sweeps += 1
            return
        clip = self.job.clip_of(sweep.t_ns)
        if clip is None:
            self.account.outside_sweeps += 1
            return
        if self._writer is None:
            attributes = {"sensor": self.job.sensor, "frame": "sensor: x forward, y left, z up, m"}
            self._writer = self._sink(self.job.path, ShardPolicy(**self._policy["shards"]), attributes)
        first = self._writer.starts[-1]
        self._writer.add(sweep)
        self.sweeps.append(Written(clip, sweep.t_ns, sweep.end_ns, first, len(sweep.points)))


def convert(
    recording: PayloadRecording,
    jobs: Sequence[LidarJob],
    policy: Mapping[str, Any],
    clock_offset_ns: int,
    sink: Sink = SweepWriter,
) -> list[LidarConversion]:
    """Convert the lidars of a drive in one pass.

    Args:
        recording: The opened recording; closed by the caller.
        jobs: Lidars; several may share a channel.
        policy: The document `lidar`.
        clock_offset_ns: UTC minus the recording's own clock.
        sink: What the sweeps of a lidar go to.

    Raises:
        UnreadableRecordingError: When nothing useful can be read.
    """
    conversions = [LidarConversion(job, policy, clock_offset_ns, sink) for job in jobs]
    by_channel: dict[str, list[LidarConversion]] = {}
    for conversion in conversions:
        by_channel.setdefault(conversion.job.channel, []).append(conversion)
    try:
        for payload in recording.payloads(set(by_channel)):
            for conversion in by_channel[payload.channel]:
                conversion.take(payload.kind, payload.data, payload.t_ns)
        for conversion in conversions:
            conversion.finish()
    except BaseException:
        for conversion in conversions:
            conversion.abandon()
        raise
    return conversions
