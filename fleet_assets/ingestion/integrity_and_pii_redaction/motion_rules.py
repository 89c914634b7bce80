"""Rules across sensors that measure motion: positions that jump, speeds that disagree.

Here belongs what one sensor's values alone cannot tell.
"""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from fleet_assets.geo.local_frame import LocalFrame
from fleet_assets.ingestion.integrity_and_pii_redaction.findings import Examination, Finding
from fleet_assets.ingestion.integrity_and_pii_redaction.motion import Motion
from fleet_assets.ingestion.integrity_and_pii_redaction.value_rules import runs
from fleet_assets.ingestion.recordings.protocol import NS_PER_S
from fleet_assets.ingestion.sensor_series import Series
from fleet_assets.ingestion.sensor_sync_and_format_conversion.sensor_clocks import SensorClock


def motion_findings(
    series: Sequence[Series], motion: Motion, clocks: Mapping[str, SensorClock], exam: Examination
) -> Iterator[Finding]:
    """Examine positions and speeds; samples that another rule cuts out must be left out of the series before."""
    yield from _position_findings(series, motion, clocks, exam)
    yield from _speed_findings(series, exam)


def _position_findings(
    series: Sequence[Series], motion: Motion, clocks: Mapping[str, SensorClock], exam: Examination
) -> Iterator[Finding]:
    rule = exam.rules["gnss_jump"]
    for name in exam.spec.sensors:
        parts = {one.signal: one for one in series if one.sensor == name and one.instance == 0}
        latitude, longitude = parts.get(rule["latitude"]), parts.get(rule["longitude"])
        if latitude is None or longitude is None or not np.array_equal(latitude.t_ns, longitude.t_ns):
            continue
        usable = latitude.usable & longitude.usable
        if usable.sum() > 1:
            t_ns, place = latitude.t_ns[usable], (latitude.value[usable], longitude.value[usable])
            # Where a clock was set, its stamps do not tell how long the vehicle drove in between.
            elapsed_ns = clocks[name].correct(t_ns) if name in clocks else t_ns
            yield from _jump_findings(_Places(t_ns, elapsed_ns, place, name, motion, exam), exam)


class _Places:
    """Positions of one sensor in metres, and how far the vehicle may have driven between any two of them."""

    def __init__(  # noqa: PLR0917 - time and place, whose, by what they are held
        self,
        t_ns: NDArray[np.int64],
        elapsed_ns: NDArray[np.int64],
        place: tuple[NDArray[np.float64], NDArray[np.float64]],
        sensor: str,
        motion: Motion,
        exam: Examination,
    ) -> None:
        self.t_ns, self.sensor, self._elapsed_ns = t_ns, sensor, elapsed_ns
        lat_deg, lon_deg = place
        self.place_m = np.column_stack(LocalFrame(float(lat_deg[0]), float(lon_deg[0])).to_plane(lat_deg, lon_deg))
        fastest = [exam.canonical.signals[name].range for name in exam.speed_signals if name in exam.canonical.signals]
        unknown_mps = max((bounds[1] for bounds in fastest if bounds), default=np.inf)
        speed = motion.highest_mps(t_ns, without=sensor)
        self._speed_mps = np.where(np.isnan(speed), unknown_mps, speed)

    def beyond_m(self, first: NDArray[np.intp], last: NDArray[np.intp]) -> NDArray[np.float64]:
        """Distance between positions beyond what the vehicle may have driven in between."""
        apart: NDArray[np.float64] = np.hypot(*(self.place_m[last] - self.place_m[first]).T)
        seconds = (self._elapsed_ns[last] - self._elapsed_ns[first]) / NS_PER_S
        return apart - seconds * np.maximum(self._speed_mps[first], self._speed_mps[last])


def _jump_findings(places: _Places, exam: Examination) -> Iterator[Finding]:
    rule, limit = exam.rules["gnss_jump"], exam.rules["gnss_jump"]["max_jump_m"]
    index = np.arange(len(places.t_ns))
    beyond = places.beyond_m(index[:-1], index[1:])
    jumps = np.flatnonzero(beyond > limit)
    after = 0
    for number, step in enumerate(jumps):
        if step < after:
            continue
        left, wrong = int(places.t_ns[step]), int(places.t_ns[step + 1])
        back = next(
            (
                int(other)
                for other in jumps[number + 1 :]
                if places.t_ns[other] - wrong <= rule["max_excursion_s"] * NS_PER_S
                and places.beyond_m(index[step : step + 1], index[other + 1 : other + 2])[0] <= limit
            ),
            None,
        )
        if back is None:
            between, told = (left, wrong), "and stays there"
        else:
            between, told, after = (wrong, int(places.t_ns[back])), "and comes back", back + 1
        metres = float(beyond[step])
        words = (
            f"{places.sensor}: the position jumps by {metres:.1f} m more than the vehicle can have driven at "
            f"{exam.since_start(wrong)} {told}, allowed are {limit:g} m"
        )
        yield exam.finding("gnss_jump", places.sensor, words, between=between, value=metres, limit=limit)


def _speed_findings(series: Sequence[Series], exam: Examination) -> Iterator[Finding]:
    rule = exam.rules["speed_disagreement"]
    stated = [one for one in series if one.signal in exam.speed_signals and one.usable.any()]
    for reference in (one for one in stated if one.signal == rule["reference"]):
        origin = min(int(one.t_ns[0]) for one in stated)
        count = 1 + max(int(one.t_ns[-1] - origin) // NS_PER_S for one in stated)
        true = _by_second(reference, origin, count)
        allowed = np.maximum(rule["max_difference_mps"], rule["max_difference_share"] * true)
        for one in stated:
            if one.sensor == reference.sensor:
                continue
            difference = _by_second(one, origin, count) - true
            for first, last in runs(np.abs(difference) > allowed):
                if last - first + 1 > rule["min_s"]:
                    yield _disagreement(one, reference, origin, (first, last), difference, allowed, exam)


def _by_second(one: Series, origin_ns: int, count: int) -> NDArray[np.float64]:
    """Mean speed in each second of the drive, NaN where there is none; driving backwards counts as driving."""
    second = (one.t_ns[one.usable] - origin_ns) // NS_PER_S
    total = np.bincount(second, weights=np.abs(one.value[one.usable]), minlength=count)
    samples = np.bincount(second, minlength=count).astype(np.float64)
    return total / np.where(samples > 0, samples, np.nan)


def _disagreement(  # noqa: PLR0917 - who against whom, where, by how much
    one: Series,
    reference: Series,
    origin_ns: int,
    seconds: tuple[int, int],
    difference: NDArray[np.float64],
    allowed: NDArray[np.float64],
    exam: Examination,
) -> Finding:
    first, last = seconds
    place = first + int(np.argmax(np.abs(difference[first : last + 1]) - allowed[first : last + 1]))
    between = (origin_ns + first * NS_PER_S, origin_ns + (last + 1) * NS_PER_S - 1)
    worst, limit = float(difference[place]), float(allowed[place])
    words = (
        f"{one.signal} of {one.sensor}: {worst:+.2f} m/s against {reference.signal} of {reference.sensor}, for "
        f"{last - first + 1} s from {exam.since_start(between[0])}, allowed is {limit:.2f} m/s"
    )
    return exam.finding(
        "speed_disagreement", one.sensor, words, between=between, value=worst, limit=limit, signal=one.signal
    )
