"""The rule about sensors that go on sending the same: values that stand while the vehicle moves, UTC that stands.

What stands still may repeat its values for ever, so other sensors are asked whether the vehicle moves. A coarse scale
repeats its values too; so a repetition is held against the sensor's own usual one.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fleet_assets.ingestion.integrity_and_pii_redaction.findings import Examination, Finding
from fleet_assets.ingestion.integrity_and_pii_redaction.motion import Motion
from fleet_assets.ingestion.recordings.protocol import NS_PER_S
from fleet_assets.ingestion.sensor_series import Series
from fleet_assets.ingestion.sensor_sync_and_format_conversion.sensor_clocks import time_pairs
from fleet_assets.policy.vehicles import UTC_OFFSET_ROLE


def frozen_findings(series: Sequence[Series], motion: Motion, exam: Examination) -> Iterator[Finding]:
    """Examine every sensor of the spec."""
    yield from _utc_findings(series, exam)
    rule = exam.rules["frozen"]
    for name in exam.spec.sensors:
        own = [one for one in series if one.sensor == name]
        judged = [one for one in own if one.signal in rule["signals"] and len(one) > 1]
        groups = _of_one_message(judged)
        for group in groups:
            signals = [None] if len(groups) == 1 else [one.signal for one in group]
            for between, limit_s in _frozen(group, motion, exam):
                for signal in signals:
                    yield _finding(name, signal, between, limit_s, exam)


def _of_one_message(judged: Sequence[Series]) -> list[list[Series]]:
    """Series with equal time stamps: the values of one message change together."""
    groups: list[list[Series]] = []
    for one in judged:
        group = next((group for group in groups if np.array_equal(group[0].t_ns, one.t_ns)), None)
        if group is None:
            groups.append([one])
        else:
            group.append(one)
    return groups


def repetitions(
    t_ns: NDArray[np.int64], values: Sequence[NDArray[np.float64]], silence_ns: float
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """First and last index of each stretch in which no value changes and no sample is missing.

    Args:
        t_ns: int64[n], sorted, at least one.
        values: float64[n] each, finite.
        silence_ns: Longest normal time between two samples.
    """
    ends = np.diff(t_ns) > silence_ns
    for value in values:
        ends |= value[1:] != value[:-1]
    after = np.flatnonzero(ends) + 1
    return np.append(0, after), np.append(after - 1, len(t_ns) - 1)


def _frozen(group: Sequence[Series], motion: Motion, exam: Examination) -> Iterator[tuple[tuple[int, int], float]]:
    """First and last time stamp, and the limit in seconds, of each stretch in which a message is frozen."""
    rule = exam.rules["frozen"]
    usable = np.logical_and.reduce([one.usable for one in group])
    t_ns = group[0].t_ns[usable]
    if not len(t_ns):
        return
    silence_ns = exam.silence_ns(exam.spec.sensors[group[0].sensor])
    first, last = repetitions(t_ns, [one.value[usable] for one in group], silence_ns)
    lasting_s = (t_ns[last] - t_ns[first]) / NS_PER_S
    candidates = np.flatnonzero(lasting_s > rule["max_s"])
    if not len(candidates):
        return
    moves = motion.lowest_mps(t_ns, without=group[0].sensor) >= rule["min_speed_mps"]
    steps_s = np.diff(t_ns) / NS_PER_S
    for number in candidates:
        limit_s = _limit_s(lasting_s[moves[first] & (first != first[number])], rule)
        inside = slice(int(first[number]), int(last[number]))
        moving_s = float(steps_s[inside][moves[inside]].sum())
        if moving_s > limit_s:
            yield (int(t_ns[first[number]]), int(t_ns[last[number]])), limit_s


def _limit_s(lasting_s: NDArray[np.float64], rule: Mapping[str, Any]) -> float:
    """How long a message may stand whose other repetitions last so long while the vehicle moves."""
    if len(lasting_s) < rule["min_repetitions"]:
        return max(float(rule["max_s"]), float(rule["max_seldom_s"]))
    usual_s = float(np.quantile(lasting_s, rule["usual_share"]))
    return max(float(rule["max_s"]), float(rule["max_times_usual"]) * usual_s)


def _finding(sensor: str, signal: str | None, between: tuple[int, int], limit_s: float, exam: Examination) -> Finding:
    stood_s = (between[1] - between[0]) / NS_PER_S
    which = f"{signal} of {sensor}" if signal else sensor
    words = (
        f"{which}: the same values for {stood_s:.2f} s from {exam.since_start(between[0])} while the vehicle moves, "
        f"allowed are {limit_s:.3g} s"
    )
    return exam.finding("frozen", sensor, words, between=between, value=stood_s, limit=limit_s, signal=signal)


def _utc_findings(series: Sequence[Series], exam: Examination) -> Iterator[Finding]:
    role, limit_s = exam.canonical.with_role(UTC_OFFSET_ROLE), exam.rules["frozen"]["max_utc_s"]
    for sensor, pairs in sorted(time_pairs(series, exam.spec, exam.canonical).items()):
        for first, last in pairs.standing(limit_s):
            between = (int(pairs.t_ns[first]), int(pairs.t_ns[last]))
            stood_s = (between[1] - between[0]) / NS_PER_S
            words = (
                f"{sensor}: the same UTC for {stood_s:.2f} s from {exam.since_start(between[0])}, "
                f"allowed are {limit_s:g} s"
            )
            signal = role.name if role is not None else None
            yield exam.finding("frozen", sensor, words, between=between, value=stood_s, limit=limit_s, signal=signal)
