"""Rules about the values of one signal: range, spike, missing numbers, share that the sensor does not vouch for.

Here belongs the search for samples that break a rule; neighbouring ones become one finding. Nothing is removed here.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from fleet_assets.ingestion.integrity_and_pii_redaction.findings import Examination, Finding
from fleet_assets.ingestion.recordings.protocol import NS_PER_S
from fleet_assets.ingestion.sensor_series import Series
from fleet_assets.policy.canonical import CanonicalSignal, SpikeRule

Run = tuple[int, int]
"""First and last index of neighbouring samples."""


def runs(mask: NDArray[np.bool_]) -> list[Run]:
    """Stretches of neighbouring true values, as (first, last) indices."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], mask, [False]))))
    return [(int(first), int(end) - 1) for first, end in zip(edges[::2], edges[1::2], strict=True)]


def out_of_range(value: NDArray[np.float64], signal: CanonicalSignal) -> NDArray[np.bool_]:
    """Which values are impossible; bounds themselves are possible, NaN is not judged.

    Args:
        value: float64[n].
        signal: Its canonical signal; a `bool` may be 0 or 1 only.
    """
    impossible = np.zeros(len(value), dtype=np.bool_)
    if signal.type == "bool":
        impossible = (value != 0) & (value != 1)
    elif signal.range is not None:
        impossible = (value < signal.range[0]) | (value > signal.range[1])
    return impossible & ~np.isnan(value) if impossible.any() else impossible


def spikes(
    t_ns: NDArray[np.int64], value: NDArray[np.float64], rule: SpikeRule, max_gap_s: float | None, max_samples: int
) -> list[tuple[Run, float]]:
    """Isolated samples far from the median of their neighbours, before and after which the signal is near it again.

    The median is that of the sample and of `rule.neighbours` samples on each side, as far as no gap parts them. A step
    is no spike: there the median goes along.

    Args:
        t_ns: int64[n], sorted.
        value: float64[n], finite.
        rule: Neighbours and threshold; the threshold itself is allowed.
        max_gap_s: Longest step in time between neighbours; None for any.
        max_samples: Longest run that counts as isolated.

    Returns:
        Runs of samples, each with its largest distance from the median.
    """
    reach = rule.neighbours
    # A sample far from the median is far from some neighbour, so one step on the way there is at least this large.
    steps = np.flatnonzero(np.abs(np.diff(value)) > rule.threshold / (reach + 1))
    if not len(steps):
        return []
    reached = np.unique(np.clip(steps[:, None] + np.arange(-reach, reach + 2), 0, len(value) - 1))
    stretch = np.zeros(len(value), dtype=np.int64)
    if max_gap_s is not None:
        stretch[1:] = np.cumsum(np.diff(t_ns) > max_gap_s * NS_PER_S)
    around = reached[:, None] + np.arange(-reach, reach + 1)
    inside = np.clip(around, 0, len(value) - 1)
    window = np.where((around == inside) & (stretch[inside] == stretch[reached][:, None]), value[inside], np.nan)
    distance = np.zeros(len(value))
    distance[reached] = np.abs(value[reached] - np.nanmedian(window, axis=1))
    found = []
    for first, last in runs(distance > rule.threshold):
        returns = first > 0 and last + 1 < len(value) and stretch[first - 1] == stretch[last + 1]
        if returns and last - first < max_samples:
            found.append(((first, last), float(distance[first : last + 1].max())))
    return found


def value_findings(series: Sequence[Series], exam: Examination) -> Iterator[Finding]:
    """Examine every series of a drive.

    The range is held against all samples, also those that the sensor does not vouch for, so that they are named. Spikes
    are searched among what is left.
    """
    for one in series:
        signal = exam.canonical.signals.get(one.signal)
        if signal is None:
            continue
        impossible = out_of_range(one.value, signal)
        yield from _range_findings(one, signal, impossible, exam)
        if signal.spike is not None:
            yield from _spike_findings(one, signal, signal.spike, one.usable & ~impossible, exam)
        if one.signal in exam.rules["saturation"]["signals"]:
            yield from _saturation_findings(one, signal, one.usable & ~impossible, exam)
        if signal.grid:
            yield from _absent_findings(one, exam)


def _place(one: Series, first: int, last: int, exam: Examination) -> str:
    count = last - first + 1
    which = f"{one.signal} of {one.sensor}" + (f" (instance {one.instance})" if one.instance else "")
    samples = "1 sample" if count == 1 else f"{count} samples"
    return f"{which}: {samples} at {exam.since_start(int(one.t_ns[first]))}"


def _range_findings(
    one: Series, signal: CanonicalSignal, impossible: NDArray[np.bool_], exam: Examination
) -> Iterator[Finding]:
    low, high = signal.range if signal.range is not None and signal.type != "bool" else (0.0, 1.0)
    for first, last in runs(impossible):
        values = one.value[first : last + 1]
        worst = float(values[np.argmax(np.maximum(low - values, values - high))])
        vouched = "" if one.valid[first : last + 1].any() else "; the sensor itself flags this as invalid"
        yield exam.finding(
            "range",
            one.sensor,
            f"{_place(one, first, last, exam)} up to {worst:g} {signal.unit}, possible is {low:g} to {high:g}{vouched}",
            between=(int(one.t_ns[first]), int(one.t_ns[last])),
            value=worst,
            limit=low if worst < low else high,
            signal=one.signal,
            instance=one.instance,
        )


def _spike_findings(
    one: Series, signal: CanonicalSignal, rule: SpikeRule, good: NDArray[np.bool_], exam: Examination
) -> Iterator[Finding]:
    index = np.flatnonzero(good)
    found = spikes(one.t_ns[index], one.value[index], rule, signal.max_gap_s, exam.rules["spike"]["max_samples"])
    for (start, stop), distance in found:
        first, last = int(index[start]), int(index[stop])
        yield exam.finding(
            "spike",
            one.sensor,
            f"{_place(one, first, last, exam)}, {distance:g} {signal.unit} from the median of {rule.neighbours} "
            f"neighbours on each side, allowed is {rule.threshold:g}",
            between=(int(one.t_ns[first]), int(one.t_ns[last])),
            value=distance,
            limit=rule.threshold,
            signal=one.signal,
            instance=one.instance,
        )


def _saturation_findings(
    one: Series, signal: CanonicalSignal, good: NDArray[np.bool_], exam: Examination
) -> Iterator[Finding]:
    """Samples in a row at the end of the sensor's scale, which shows as the extreme of the drive."""
    rule = exam.rules["saturation"]
    if signal.range is None or not good.any():
        return
    value = one.value[good]
    for end, bound in ((float(value.min()), signal.range[0]), (float(value.max()), signal.range[1])):
        if bound == 0 or end / bound < rule["min_share"]:
            continue
        for first, last in runs(good & (one.value == end)):
            count = last - first + 1
            if count > rule["max_samples"]:
                yield exam.finding(
                    "saturation",
                    one.sensor,
                    f"{_place(one, first, last, exam)} at {end:g} {signal.unit}, the end of its scale; allowed are "
                    f"{rule['max_samples']} in a row",
                    between=(int(one.t_ns[first]), int(one.t_ns[last])),
                    value=count,
                    limit=rule["max_samples"],
                    signal=one.signal,
                    instance=one.instance,
                )


def _in_dropouts(one: Series, exam: Examination) -> NDArray[np.bool_]:
    """Samples without a value that the sensor vouches for, in dropouts that its spec calls normal."""
    sensor, lacking = exam.spec.sensors.get(one.sensor), ~one.usable
    normal = np.zeros(len(one), dtype=np.bool_)
    if sensor is None or sensor.dropouts is None or not lacking.any():
        return normal
    stretches = runs(lacking)
    if len(stretches) > exam.most_dropouts(sensor.dropouts):
        return normal
    for first, last in stretches:
        normal[first : last + 1] = one.t_ns[last] - one.t_ns[first] <= sensor.dropouts.longest_s * NS_PER_S
    return normal


def _absent_findings(one: Series, exam: Examination) -> Iterator[Finding]:
    normal = _in_dropouts(one, exam)
    if (one.null & ~normal).any():
        for first, last in runs(one.null & ~normal):
            yield exam.finding(
                "no_value",
                one.sensor,
                f"{_place(one, first, last, exam)} without a number",
                between=(int(one.t_ns[first]), int(one.t_ns[last])),
                signal=one.signal,
                instance=one.instance,
            )
    share, limit = float((~one.valid & ~normal).mean()), exam.rules["invalid_share"]["max_share"]
    if share > limit:
        yield exam.finding(
            "invalid_share",
            one.sensor,
            f"{one.signal} of {one.sensor}: the sensor does not vouch for {share:.1%} of its samples, "
            f"allowed is {limit:.1%}",
            between=(int(one.t_ns[0]), int(one.t_ns[-1])),
            value=share,
            limit=limit,
            signal=one.signal,
            instance=one.instance,
        )
