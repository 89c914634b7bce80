"""Rules about how often a sensor sends: rate of the drive and of its parts, gaps, number of frames.

Here belongs what is judged from time stamps alone. A clock that was set leaves steps in them that are no silence; what
a clock did is taken from the estimate of the clocks.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fleet_assets.ingestion.integrity_and_pii_redaction.findings import Examination, Finding
from fleet_assets.ingestion.integrity_and_pii_redaction.value_rules import runs
from fleet_assets.ingestion.recordings.protocol import NS_PER_S
from fleet_assets.ingestion.sensor_series import Series
from fleet_assets.ingestion.sensor_sync_and_format_conversion.sensor_clocks import SensorClock
from fleet_assets.ingestion.sensor_sync_and_format_conversion.streams import RATE_STEPS
from fleet_assets.policy.vehicles import SensorSpec

Stream = Mapping[str, Any]
"""Row of `bronze.sensor_streams`."""


def _between(row: Stream) -> tuple[int, int]:
    return int(row["first_t_ns"]), int(row["last_t_ns"])


def rate_findings(
    sensor: SensorSpec, stream: Stream, regular: Series | None, clock: SensorClock | None, exam: Examination
) -> Iterator[Finding]:
    """Examine one sensor.

    Args:
        sensor: The sensor.
        stream: Its row.
        regular: Its longest series of a signal that comes at a steady rate; None where it has none.
        clock: Its clock.
        exam: The examination.
    """
    rate = stream["rate_hz"]
    if rate is not None and stream["messages"] >= exam.rules["rate"]["min_messages"]:
        low, high = (sensor.rate_hz * (1 + side * sensor.rate_tolerance) for side in (-1, 1))
        if not low <= rate <= high:
            words = f"{sensor.name}: median rate {rate:.4g} Hz, {exam.spec.name} states {low:.4g} to {high:.4g} Hz"
            limit = low if rate < low else high
            yield exam.finding("rate", sensor.name, words, between=_between(stream), value=rate, limit=limit)
        elif regular is not None:
            yield from _part_findings(sensor, regular.t_ns, clock, exam)
    yield from _frame_findings(sensor, stream, exam)
    if regular is not None:
        yield from _gap_findings(sensor, regular.t_ns, clock, exam)
    elif sensor.kind in exam.rules["frame_count"]["kinds"]:
        yield from _frame_gap_findings(sensor, stream, clock, exam)


def _frame_findings(sensor: SensorSpec, stream: Stream, exam: Examination) -> Iterator[Finding]:
    """Frames against duration, for sensors whose messages are pictures or sweeps and give no samples."""
    rule, frames, rate = exam.rules["frame_count"], stream["messages"], stream["rate_hz"]
    if sensor.kind not in rule["kinds"] or frames < rule["min_messages"] or rate is None:
        return
    first, last = _between(stream)
    expected = (last - first) / NS_PER_S * rate + 1
    share = frames / expected - 1
    if abs(share) > rule["max_share"]:
        limit = expected * (1 + np.copysign(rule["max_share"], share))
        words = (
            f"{sensor.name}: {frames} frames in {(last - first) / NS_PER_S:.1f} s at a median rate of {rate:.4g} Hz, "
            f"which gives {expected:.0f}; allowed are {rule['max_share']:.0%} more or less"
        )
        yield exam.finding("frame_count", sensor.name, words, between=(first, last), value=frames, limit=float(limit))


def _part_findings(
    sensor: SensorSpec, t_ns: NDArray[np.int64], clock: SensorClock | None, exam: Examination
) -> Iterator[Finding]:
    """Another rate that lasts. Copies of a message, with its stamp, make a sensor neither slower nor faster."""
    tolerance = max(sensor.rate_tolerance, exam.rules["rate"]["part_tolerance"])
    if tolerance < 1:
        longest_s = RATE_STEPS / (sensor.rate_hz * (1 - tolerance))
        yield from _parts(sensor, t_ns, lambda span_s: span_s > longest_s, tolerance, clock=clock, exam=exam)
    shortest_s = RATE_STEPS / (sensor.rate_hz * (1 + tolerance))
    distinct = t_ns[np.append(True, t_ns[1:] != t_ns[:-1])]
    yield from _parts(sensor, distinct, lambda span_s: span_s < shortest_s, tolerance, clock=clock, exam=exam)


def _parts(  # noqa: PLR0917 - whose stamps, what is wrong with them
    sensor: SensorSpec,
    t_ns: NDArray[np.int64],
    wrong: Callable[[NDArray[np.float64]], NDArray[np.bool_]],
    tolerance: float,
    *,
    clock: SensorClock | None,
    exam: Examination,
) -> Iterator[Finding]:
    """Stretches of windows of wrong length; those across a gap or in stamps that occur twice are not judged."""
    rule, ahead, behind = exam.rules["rate"], t_ns[RATE_STEPS:], t_ns[:-RATE_STEPS]
    if len(t_ns) <= RATE_STEPS:
        return
    found = wrong((ahead - behind) / NS_PER_S)
    if not found.any():
        return
    broken = np.concatenate(([0], np.cumsum(silences(t_ns, clock) > exam.silence_ns(sensor))))
    found &= broken[RATE_STEPS:] == broken[:-RATE_STEPS]
    for first_ns, last_ns in clock.repeated_ns if clock is not None else ():
        found &= (behind > last_ns) | (ahead < first_ns)
    for first, last in runs(found):
        between = (int(behind[first]), int(ahead[last]))
        steps, lasting_s = last + RATE_STEPS - first, (between[1] - between[0]) / NS_PER_S
        if steps >= rule["min_messages"] and lasting_s > rule["min_part_s"]:
            yield _part(sensor, between, steps / lasting_s, tolerance, exam)


def _part(sensor: SensorSpec, between: tuple[int, int], rate: float, tolerance: float, exam: Examination) -> Finding:
    low, high = (sensor.rate_hz * (1 + side * tolerance) for side in (-1, 1))
    words = (
        f"{sensor.name}: {rate:.4g} Hz for {(between[1] - between[0]) / NS_PER_S:.1f} s from "
        f"{exam.since_start(between[0])}, in a part of a drive {low:.4g} to {high:.4g} Hz are allowed"
    )
    limit = low if rate < sensor.rate_hz else high
    return exam.finding("rate", sensor.name, words, between=between, value=rate, limit=limit)


def _gap_findings(
    sensor: SensorSpec, t_ns: NDArray[np.int64], clock: SensorClock | None, exam: Examination
) -> Iterator[Finding]:
    silence_ns = exam.silence_ns(sensor)
    silent_ns = silences(t_ns, clock)
    gaps = np.flatnonzero(silent_ns > silence_ns)
    if sensor.dropouts is not None and sensor.valid_when is None and len(gaps) <= exam.most_dropouts(sensor.dropouts):
        gaps = gaps[silent_ns[gaps] > exam.valueless_ns(sensor)]
    for index in gaps:
        between = int(t_ns[index]), int(t_ns[index + 1])
        yield _gap(sensor, between, float(silent_ns[index]), silence_ns, exam)


def _frame_gap_findings(
    sensor: SensorSpec, stream: Stream, clock: SensorClock | None, exam: Examination
) -> Iterator[Finding]:
    """The longest silence of a sensor that gives no samples."""
    silence_ns, longest_ns = exam.silence_ns(sensor), stream["silence_ns"]
    if longest_ns is None:
        return
    between = (int(stream["silence_t_ns"]), int(stream["silence_t_ns"]) + int(longest_ns))
    silent_ns = longest_ns - _leapt_ns(between, clock)
    if silent_ns > silence_ns:
        yield _gap(sensor, between, silent_ns, silence_ns, exam)


def _leapt_ns(between: tuple[int, int], clock: SensorClock | None) -> int:
    """What a clock leapt ahead between two stamps; no message has a stamp in what it left out."""
    leaps = [segment for segment in clock.segments[1:] if segment.jump_ns < 0] if clock is not None else []
    inside = [one for one in leaps if between[0] < one.start_ns and between[1] > one.start_ns + one.jump_ns]
    return -sum(segment.jump_ns for segment in inside)


def _gap(
    sensor: SensorSpec, between: tuple[int, int], silent_ns: float, silence_ns: float, exam: Examination
) -> Finding:
    silent_s, limit = silent_ns / NS_PER_S, silence_ns / NS_PER_S
    words = f"{sensor.name}: silent for {silent_s:.3f} s from {exam.since_start(between[0])}, normal is {limit:g} s"
    return exam.finding("gap", sensor.name, words, between=between, value=silent_s, limit=limit)


def silences(t_ns: NDArray[np.int64], clock: SensorClock | None) -> NDArray[np.int64]:
    """Time between neighbouring stamps, int64[n-1], less what a clock leapt ahead in between."""
    silent: NDArray[np.int64] = np.diff(t_ns)
    for segment in clock.segments[1:] if clock is not None else ():
        step = int(np.searchsorted(t_ns, segment.start_ns)) - 1
        if segment.jump_ns < 0 and 0 <= step < len(silent):
            silent[step] += segment.jump_ns
    return silent


def covered_ns(t_ns: NDArray[np.int64], silence_ns: float) -> int:
    """Time between neighbouring stamps that are no further apart than a normal silence.

    Args:
        t_ns: int64[n], sorted.
        silence_ns: Longest normal time between two messages, inclusive.
    """
    steps = np.diff(t_ns)
    return int(steps[steps <= silence_ns].sum())


def longest(own: Sequence[Series]) -> Series | None:
    """The series with most samples, the first of them; None where there is none."""
    return max(own, key=len, default=None)
