"""What came of each sensor in one drive, and what the reader lost: the rows of `bronze.sensor_streams`.

Here belong counts, rates and the readers' words. Judging them belongs to the integrity rules.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fleet_assets.ingestion.recordings.protocol import NS_PER_S, Channel, Loss, Summary
from fleet_assets.ingestion.sensor_sync_and_format_conversion.gather import Messages, SensorPlan
from fleet_assets.tables.bronze import SENSOR_STREAMS

RATE_STEPS: Final = 10
"""Message steps over which a rate is taken, so that bursts and jitter of single steps do not show."""
_NAMES_SHOWN: Final = 12
_MOST_OFF_BEAT: Final = 0.25
"""Shares of a period by which a step of frames may differ from whole periods and still be on the beat."""
_OFF_BEAT_SHARE: Final = 0.05
"""Share of steps that may be off it: of frames with coarse stamps, the steps tell no period."""
_LEAST_ON_BEAT: Final = 0.5
"""Share of the time that steps of one period must fill: those between frames of a burst tell no period either."""


@dataclass(frozen=True, slots=True)
class SensorStream:
    """A sensor's messages of one drive.

    Attributes:
        plan: The sensor.
        messages: Messages per stream of the plan.
        short: Frames that end before a signal that they should hold.
        unselected: Values that are in no message because the multiplexers always select others, in words.
    """

    plan: SensorPlan
    messages: tuple[Messages, ...]
    short: int
    unselected: tuple[str, ...] = ()


def median_rate_hz(t_ns: NDArray[np.int64]) -> float | None:
    """Median rate of one message: robust against gaps, jitter and bursts.

    The median is taken over the time of `RATE_STEPS` steps; None for fewer than two messages or a clock that stands.
    """
    steps = min(RATE_STEPS, len(t_ns) - 1)
    if steps < 1:
        return None
    span = float(np.median(t_ns[steps:] - t_ns[:-steps]))
    return steps * NS_PER_S / span if span > 0 else None


def frame_rate_hz(t_ns: NDArray[np.int64]) -> float | None:
    """Rate at which frames follow each other where none is lost and none comes twice.

    A median over several steps is wrong as soon as most of its windows hold a lost frame. So the period is the median
    of single steps, and each step counts as so many of them as it lasts. Where steps are no whole periods, the rate is
    `median_rate_hz`.

    Args:
        t_ns: int64[n], in any order.
    """
    steps = np.diff(np.sort(t_ns))
    period_ns = float(np.median(steps)) if len(steps) else 0.0
    if period_ns <= 0:
        return median_rate_hz(t_ns)
    periods = np.rint(steps / period_ns)
    off_beat = float((np.abs(steps / period_ns - periods) > _MOST_OFF_BEAT).mean())
    on_beat = float(steps[periods == 1].sum() / steps.sum())
    if off_beat > _OFF_BEAT_SHARE or on_beat < _LEAST_ON_BEAT:
        return median_rate_hz(t_ns)
    return float(periods.sum()) * NS_PER_S / float(steps.sum())


def longest_silence(times: Sequence[NDArray[np.int64]]) -> tuple[int, int] | None:
    """Start and length of the longest time between neighbouring messages; None for fewer than two.

    Args:
        times: int64[n] each, stamps of a sensor's messages in any order.
    """
    t_ns = np.sort(np.concatenate(times)) if times else np.empty(0, np.int64)
    if len(t_ns) < 2:  # noqa: PLR2004 - nothing is between fewer
        return None
    steps = np.diff(t_ns)
    longest = int(np.argmax(steps))
    return int(t_ns[longest]), int(steps[longest])


def sensor_rate_hz(messages: Sequence[Messages], *, are_frames: bool = False) -> float | None:
    """Median over a sensor's messages of their rates; None where none has a rate."""
    rate_of = frame_rate_hz if are_frames else median_rate_hz
    rates = [rate for found in messages if (rate := rate_of(found.t_ns)) is not None]
    return float(np.median(rates)) if rates else None


def _complaint(stream: SensorStream, channels: Mapping[str, Channel]) -> tuple[str, str] | None:
    """The rule and the words for what a sensor lacks in this recording, or None."""
    sensor = stream.plan.sensor
    if sensor.channel not in channels:
        known = ", ".join(list(channels)[:_NAMES_SHOWN])
        return "missing_channel", (
            f"the recording has no channel {sensor.channel!r} (it has: {known}). "
            "Correct the channel in the vehicle spec, or record it"
        )
    channel = channels[sensor.channel]
    missing = sorted({name for found in stream.messages for name in found.missing})
    if missing and channel.problem:
        return "unknown_message_type", f"channel {sensor.channel!r}: {channel.problem}"
    if missing:
        return "missing_field", (
            f"channel {sensor.channel!r} has no {', '.join(missing)}. Correct the field in the vehicle spec"
        )
    return _content_complaint(stream)


def _content_complaint(stream: SensorStream) -> tuple[str, str] | None:
    """The rule and the words for what the messages of a sensor do not hold, or None."""
    if stream.short:
        return "short_frames", (
            f"{stream.short} frames end before the signals that the CAN database places in them; their values are "
            "null. Use the database of this vehicle's model year"
        )
    if stream.unselected:
        return "never_selected", (
            f"the messages came, but none carries {'; '.join(stream.unselected[:_NAMES_SHOWN])}. "
            "Use the CAN database of this vehicle, and check what the logger asks for"
        )
    incomplete = sum(found.incomplete for found in stream.messages)
    if incomplete:
        # The file is whole: these frames were never sent, so they are not among the messages that a reader lost.
        return "incomplete_transport", (
            f"{incomplete} messages of several frames lack some of them and are left out. "
            "Check flow control and the logger's bus load; a recording may also begin or end within such a message"
        )
    return None


def _items(stream: SensorStream) -> int | None:
    """Sum of the counts of what lies inside the sensor's messages; None where its spec names no such count."""
    source = stream.plan.sensor.items
    counts = [found.columns[str(source)] for found in stream.messages if str(source) in found.columns]
    return int(sum(np.nansum(count) for count in counts)) if counts else None


def _sensor_row(stream: SensorStream, channels: Mapping[str, Channel], clock_offset_ns: int) -> dict[str, Any]:
    times = [found.t_ns for found in stream.messages if len(found.t_ns)]
    rule, words = _complaint(stream, channels) or (None, None)
    sensor, silence = stream.plan.sensor, longest_silence(times)
    return {
        "sensor": sensor.name,
        "messages": sum(len(found) for found in times),
        "items": _items(stream),
        "first_t_ns": min(int(found.min()) for found in times) + clock_offset_ns if times else None,
        "last_t_ns": max(int(found.max()) for found in times) + clock_offset_ns if times else None,
        "rate_hz": sensor_rate_hz(stream.messages, are_frames=sensor.gives_frames),
        "silence_t_ns": silence[0] + clock_offset_ns if silence else None,
        "silence_ns": silence[1] if silence else None,
        "backward_steps": sum(int((np.diff(found) < 0).sum()) for found in times),
        "lost_bytes": 0,
        "lost_messages": 0,
        "broken_rule": rule,
        "message": words,
    }


def _file_row(path: str) -> dict[str, Any]:
    return {
        "sensor": path,
        "messages": 0,
        "items": None,
        "first_t_ns": None,
        "last_t_ns": None,
        "rate_hz": None,
        "silence_t_ns": None,
        "silence_ns": None,
        "backward_steps": 0,
        "lost_bytes": 0,
        "lost_messages": 0,
        "broken_rule": None,
        "message": None,
    }


def _add_loss(row: dict[str, Any], loss: Loss) -> None:
    row["lost_bytes"] += loss.lost_bytes
    unknown = row["lost_messages"] is None or loss.messages is None
    row["lost_messages"] = None if unknown else row["lost_messages"] + loss.messages
    row["broken_rule"] = row["broken_rule"] or loss.rule
    row["message"] = f"{row['message']}; {loss.reason}" if row["message"] else loss.reason


def stream_rows(
    streams: Sequence[SensorStream],
    channels: Sequence[Channel],
    summary: Summary,
    clock_offset_ns: int,
    drive_columns: Mapping[str, str],
) -> pa.Table:
    """Make the rows of one drive.

    A loss counts to the one sensor whose channel it is about; where several sensors share the channel, or none is
    known, it gets a row of its own under the file's name, so that nothing is counted twice.

    Args:
        streams: Sensors with their messages.
        channels: Channels of the recording.
        summary: The reader's summary after the pass.
        clock_offset_ns: UTC minus the recording's own clock.
        drive_columns: Values of the partition columns.
    """
    by_name = {channel.name: channel for channel in channels}
    rows = {stream.plan.sensor.name: _sensor_row(stream, by_name, clock_offset_ns) for stream in streams}
    users: dict[str, list[str]] = {}
    for stream in streams:
        users.setdefault(stream.plan.sensor.channel, []).append(stream.plan.sensor.name)
    for loss in summary.losses:
        concerned = users.get(loss.channel, []) if loss.channel is not None else []
        name = concerned[0] if len(concerned) == 1 else loss.path
        _add_loss(rows.setdefault(name, _file_row(loss.path)), loss)
    return SENSOR_STREAMS.from_rows([{**drive_columns, **row} for row in rows.values()])
