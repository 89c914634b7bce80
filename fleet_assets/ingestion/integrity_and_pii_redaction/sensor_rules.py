"""Rules about whole sensors: presence, order in time, and what the reader lost.

Here belongs what is judged from `bronze.sensor_streams` and from time stamps alone; rates and gaps are in `rate_rules`.
"""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fleet_assets.ingestion.integrity_and_pii_redaction.findings import Examination, Finding
from fleet_assets.ingestion.integrity_and_pii_redaction.rate_rules import Stream, covered_ns, longest, rate_findings
from fleet_assets.ingestion.recordings.protocol import NS_PER_S
from fleet_assets.ingestion.sensor_series import Series
from fleet_assets.ingestion.sensor_sync_and_format_conversion.sensor_clocks import SensorClock
from fleet_assets.policy.vehicles import SensorSpec


def sensor_findings(
    streams: pa.Table, series: Sequence[Series], clocks: Mapping[str, SensorClock], exam: Examination
) -> Iterator[Finding]:
    """Examine every sensor of the spec, and the losses that belong to no sensor."""
    rows = {row["sensor"]: row for row in streams.to_pylist()}
    yield from _drive_findings(exam)
    for row in rows.values():
        yield from _loss_findings(row, exam)
        yield from _order_findings(row, clocks.get(row["sensor"]), exam)
    for sensor in exam.spec.sensors.values():
        stream = rows.get(sensor.name)
        messages = stream["messages"] if stream is not None else 0
        own = [one for one in series if one.sensor == sensor.name]
        if sensor.required and messages < exam.rules["sensor_missing"]["min_messages"]:
            yield _missing(sensor, messages, exam)
        elif stream is not None and messages:
            yield from _repetition_findings(sensor, own, exam)
            regular = longest([one for one in own if _is_regular(one, exam)])
            yield from rate_findings(sensor, stream, regular, clocks.get(sensor.name), exam)
            yield from _presence_findings(sensor, stream, own, regular, exam)


def _drive_findings(exam: Examination) -> Iterator[Finding]:
    duration_s = exam.duration_ns / NS_PER_S
    shortest, longest = exam.rules["drive_short"]["min_duration_s"], exam.rules["drive_long"]["max_duration_s"]
    if duration_s < shortest:
        words = f"the drive lasts {duration_s:g} s, at least {shortest:g} s are needed"
        yield exam.finding("drive_short", "*", words, value=duration_s, limit=shortest)
    if duration_s > longest:
        words = f"the drive lasts {duration_s:.0f} s, at most {longest:g} s are allowed"
        yield exam.finding("drive_long", "*", words, value=duration_s, limit=longest)


def _between(row: Stream) -> tuple[int, int] | None:
    return None if row["first_t_ns"] is None else (row["first_t_ns"], row["last_t_ns"])


def _loss_findings(row: Stream, exam: Examination) -> Iterator[Finding]:
    name, lost_bytes, lost_messages = row["sensor"], row["lost_bytes"], row["lost_messages"] or 0
    if row["broken_rule"] and not row["messages"] and 0 < exam.drive["bytes"] <= lost_bytes:
        words = f"{name}: nothing of the recording could be read ({row['broken_rule']}: {row['message'].rstrip('.')})"
        yield exam.finding("header", name, words, value=lost_bytes, limit=0)
        return
    reader = f" ({row['broken_rule']}: {row['message']})" if row["broken_rule"] else ""
    lost = f"{name}: the reader lost {lost_bytes} bytes and {lost_messages} messages"
    limits = exam.rules["reader_loss"]
    if lost_bytes > limits["max_lost_bytes"] or lost_messages > limits["max_lost_messages"]:
        value, limit = (
            (lost_bytes, limits["max_lost_bytes"])
            if lost_bytes > limits["max_lost_bytes"]
            else (lost_messages, limits["max_lost_messages"])
        )
        yield exam.finding("reader_loss", name, f"{lost}, allowed are {limit}{reader}", value=value, limit=limit)
    elif row["broken_rule"]:
        words = f"{name}: {row['broken_rule']}: {row['message']}"
        yield exam.finding("decode_incomplete", name, words.rstrip("."), between=_between(row))
    share, limit = _lost_share(row, exam), exam.rules["reader_loss_share"]["max_share"]
    if share > limit:
        words = f"{lost}, {share:.1%} where {limit:.1%} are allowed{reader}"
        yield exam.finding("reader_loss_share", name, words, value=share, limit=limit)


def _lost_share(row: Stream, exam: Examination) -> float:
    messages = row["lost_messages"] or 0
    of_messages = messages / (messages + row["messages"]) if messages and row["messages"] else 0.0
    of_bytes = min(row["lost_bytes"] / max(int(exam.drive["bytes"]), 1), 1.0)
    return float(max(of_messages, of_bytes))


def _order_findings(row: Stream, clock: SensorClock | None, exam: Examination) -> Iterator[Finding]:
    name, steps = row["sensor"], row["backward_steps"]
    if 0 < steps <= _steps_of_clock(name, clock, exam):
        return  # found as the clock's jumps
    words = f"{name}: {steps} of {row['messages']} messages are older than their predecessor"
    limit = exam.rules["time_backward"]["max_steps"]
    if steps > limit:
        told = f"{words}, allowed are {limit}"
        yield exam.finding("time_backward", name, told, between=_between(row), value=steps, limit=limit)
    share, limit = steps / max(row["messages"], 1), exam.rules["time_disorder"]["max_share"]
    if share > limit:
        told = f"{words} ({share:.1%}), allowed are {limit:.1%}"
        yield exam.finding("time_disorder", name, told, between=_between(row), value=share, limit=limit)


def _steps_of_clock(name: str, clock: SensorClock | None, exam: Examination) -> int:
    """Backward steps that come of a clock that was set back: one for each message of the sensor."""
    sensor = exam.spec.sensors.get(name)
    return len(clock.repeated_ns) * max(1, len(sensor.messages)) if clock is not None and sensor is not None else 0


def _repetition_findings(sensor: SensorSpec, own: Sequence[Series], exam: Examination) -> Iterator[Finding]:
    """Clocks that stand still while a sensor goes on.

    A share is taken per signal and instance: messages that a bus sends in one burst, and equal objects of one scan, may
    well have one time stamp. Bursts of one message stay below the limit unless most of a drive is bursts.
    """
    limit = exam.rules["time_repeated"]["max_share"]
    judged = [one for one in own if len(one) >= exam.rules["time_repeated"]["min_messages"]]
    if not judged:
        return
    worst = max(judged, key=lambda one: (_repeated_share(one.t_ns), one.signal, -one.instance))
    share = _repeated_share(worst.t_ns)
    if share > limit:
        stamps = len(np.unique(worst.t_ns))
        words = (
            f"{sensor.name}: {len(worst)} samples of {worst.signal} have {stamps} different time stamps; {share:.1%} "
            f"repeat their predecessor's, allowed are {limit:.1%}"
        )
        between = (int(worst.t_ns[0]), int(worst.t_ns[-1]))
        yield exam.finding("time_repeated", sensor.name, words, between=between, value=share, limit=limit)


def _repeated_share(t_ns: NDArray[np.int64]) -> float:
    return float((t_ns[1:] == t_ns[:-1]).mean())


def _missing(sensor: SensorSpec, messages: int, exam: Examination) -> Finding:
    limit = exam.rules["sensor_missing"]["min_messages"]
    words = f"{sensor.name}: {messages} messages from a sensor that {exam.spec.name} requires, at least {limit} needed"
    return exam.finding("sensor_missing", sensor.name, words, value=messages, limit=limit)


def _presence_findings(
    sensor: SensorSpec, stream: Stream, own: Sequence[Series], regular: Series | None, exam: Examination
) -> Iterator[Finding]:
    """Coverage of a required sensor; object lists come and go, so only their first and last message count."""
    if not sensor.required or exam.duration_ns <= 0:
        return
    first, last = _between(stream) or (0, 0)
    silent_ns = exam.silence_ns(sensor) if sensor.valid_when else exam.valueless_ns(sensor)
    covered = covered_ns(regular.t_ns, silent_ns) if regular is not None else last - first
    share, limit = covered / exam.duration_ns, exam.rules["sensor_short"]["min_share"]
    if share < limit:
        words = f"{sensor.name}: messages during {share:.1%} of the drive, at least {limit:.1%} needed"
        yield exam.finding("sensor_short", sensor.name, words, between=_between(stream), value=share, limit=limit)
        return
    yield from _signal_findings(sensor, own, exam.valueless_ns(sensor), exam)


def _is_regular(one: Series, exam: Examination) -> bool:
    signal = exam.canonical.signals.get(one.signal)
    return signal is not None and (signal.grid or signal.role is not None)


def _signal_findings(
    sensor: SensorSpec, own: Sequence[Series], valueless_ns: float, exam: Examination
) -> Iterator[Finding]:
    limit = exam.rules["signal_short"]["min_share"]
    for name, body in sensor.signals.items():
        # A course exists only while the vehicle moves, and a drive may stand for most of its time.
        if not exam.canonical.signals[name].grid or body.least_length is not None:
            continue
        parts = [covered_ns(one.t_ns[one.usable], valueless_ns) for one in own if one.signal == name]
        share = max(parts, default=0) / exam.duration_ns
        if share < limit:
            words = f"{name} of {sensor.name}: values during {share:.1%} of the drive, at least {limit:.1%} needed"
            yield exam.finding("signal_short", sensor.name, words, value=share, limit=limit, signal=name)
