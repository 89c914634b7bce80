"""Where a drive begins: somewhere on the way, and so that what is requested finds a road that suits it.

Here belongs looking at the road before anybody drives. Whether an event then happens is up to the traffic; `drive.py`
tries another way where it does not.
"""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from services.fleet_simulator.drive_truth import NS_PER_S, DrivePlan
from services.fleet_simulator.traffic.corridor import Corridor
from services.fleet_simulator.world.routes import SPACING_M

_STREAM: Final = 121
_CANDIDATES: Final = 32
_MORE_CANDIDATES: Final = 256
_STRETCH_M: Final = 250.0
_BRISK_MPS, _STRAIGHT_1PM = 9.0, 0.03
_USUAL_SHARE: Final = 0.85
"""Speed in traffic over that of a free road."""
_SLOWEST_MPS: Final = 2.0
_WANTS_CORNERS: Final = frozenset({"red_light_stop", "swerve", "hard_brake", "cut_in"})
"""Kinds that stop lines nearby do not hinder."""
_BEFORE_LINE_S: Final = 8.0
"""Time that a driver needs to dawdle towards a light that is green."""
_STOPS_S: Final = 4.0
"""A light must stay closed so long after the arrival, and the drive must go on."""


def start_place(
    plan: DrivePlan, corridor: Corridor, lights: Mapping[str, float], span_m: tuple[float, float], warm_up_s: float
) -> float:
    """Of some places drawn the one whose road suits the requests best.

    Args:
        plan: What is asked for.
        corridor: The road.
        lights: Key `world.lights` of the policy.
        span_m: First and last place that may be the start.
        warm_up_s: Time between the start and the drive's first state.

    Returns:
        Metres along the route.
    """
    rng = np.random.default_rng([plan.seed, _STREAM])
    drawn = span_m[0] + rng.random(_CANDIDATES) * (span_m[1] - span_m[0])
    if not plan.events:
        return float(drawn[0])
    road = _Road(plan, corridor, lights, warm_up_s)
    places = np.concatenate([drawn, span_m[0] + rng.random(_MORE_CANDIDATES) * (span_m[1] - span_m[0])])
    score = np.zeros(len(places))
    for request in plan.events:
        suits = road.red_light if request.kind == "red_light_stop" else road.open_road
        score += [suits(request.kind, float(place), warm_up_s + request.at_s) for place in places]
    return float(places[int(np.argmax(np.round(score, 6)))])


class _Road:
    """A road before anybody drives there."""

    def __init__(self, plan: DrivePlan, corridor: Corridor, lights: Mapping[str, Any], warm_up_s: float) -> None:
        self._corridor, self._lights = corridor, lights
        self._begin_s, self._length_s = plan.start_ns / NS_PER_S - warm_up_s, plan.duration_s + warm_up_s
        pace = np.maximum(_USUAL_SHARE * corridor.wanted_mps, _SLOWEST_MPS)
        self._time_s = np.concatenate(([0.0], np.cumsum(SPACING_M / pace)))[: len(pace)]
        lines = corridor.ahead
        self._is_light = np.array([kind == "traffic_light" for kind in lines.kind], dtype=np.bool_)
        self._open = (corridor.wanted_mps > _BRISK_MPS) & (np.abs(corridor.route.curvature_1pm) < _STRAIGHT_1PM)
        self._beside = self._open & (corridor.highest > corridor.lowest)

    def _time(self, places: NDArray[np.float64]) -> NDArray[np.float64]:
        times: NDArray[np.float64] = self._time_s[self._corridor.index(places)]
        return times

    def _after(self, place: float, seconds: float) -> float:
        """Where somebody is some time later whom nobody stops."""
        row = int(np.searchsorted(self._time_s, self._time(np.array([place]))[0] + seconds))
        return min(row, len(self._time_s) - 1) * SPACING_M

    def open_road(self, kind: str, start: float, at_s: float) -> float:
        """How much of the stretch in which it is to happen is brisk and straight, 0 to 1."""
        place = self._after(start, at_s)
        low, high = self._corridor.index(np.array([place, place + _STRETCH_M])).tolist()
        if high <= low:
            return 0.0
        share = float(self._open[low:high].mean())
        if kind == "cut_in":
            share = 0.5 * share + 0.5 * float(self._beside[low:high].mean())
        line_m = self._corridor.ahead.line_m
        first, last = np.searchsorted(line_m, [start, place + 1.2 * _STRETCH_M])
        within = int(np.searchsorted(line_m, place + 40.0))
        free = 1.0 if kind in _WANTS_CORNERS else float(last <= within)
        # Whoever must stop on the way there comes later.
        return share * (0.5 + 0.5 * free) - 0.05 * float(within - first)

    def red_light(self, kind: str, start: float, at_s: float) -> float:
        """Whether a light on the way is red on arrival, or becomes so in time to dawdle; 0 to 1."""
        del kind
        lines = self._corridor.ahead
        front = float(np.searchsorted(lines.line_m, start + 30.0))
        arrival = self._time(lines.line_m) - self._time(np.array([start]))[0]
        # Each line before it takes time, too.
        arrival = arrival + 2.0 * (np.arange(len(arrival)) - front)
        fits = self._is_light & (np.arange(len(arrival)) >= front) & (arrival > at_s + 1.0)
        fits &= arrival < self._length_s - _STOPS_S
        best = 0.0
        cycle, green = self._lights["cycle_s"], self._lights["green_s"]
        for line in np.flatnonzero(fits)[:3].tolist():
            zero_s = float(lines.phase_s[line]) + float(lines.axis[line]) * cycle / 2.0
            into = (self._begin_s % cycle + float(arrival[line]) - zero_s) % cycle
            early = 1.0 - 0.3 * (float(arrival[line]) - at_s) / max(self._length_s - at_s, 1.0)
            closed = green + 1.0 < into < cycle - _STOPS_S - 1.0
            soon = into > green - min(_BEFORE_LINE_S, 0.4 * (float(arrival[line]) - at_s)) and into <= green + 1.0
            best = max(best, early * (1.0 if closed else 0.6 if soon else 0.1))
            # What is behind the first light depends on how long one waits there.
            if closed or soon:
                break
        return best
