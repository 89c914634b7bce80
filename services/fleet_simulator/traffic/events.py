"""What happened to the ego vehicle, found in its true motion by the policy's definitions.

Here belongs measuring. Whoever caused an event on purpose is known from the windows of `requests.py`; natural events
are found in the same way.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from services.fleet_simulator.drive_truth import (
    AGENT_STEP_NS,
    EGO_STEP_NS,
    EGO_STEPS_PER_AGENT_STEP,
    NS_PER_S,
    Adas,
    Ego,
    Event,
)
from services.fleet_simulator.traffic.observations import EgoView
from services.fleet_simulator.traffic.requests import Window

_STEP_S: Final = AGENT_STEP_NS / NS_PER_S
_LONGEST_PAUSE_S: Final = 1.0
"""A condition that ceases for less than this goes on."""
_MILLI: Final = 1000


@dataclass(frozen=True, slots=True)
class _Found:
    kind: str
    first: int
    last: int
    peak: int
    value: int
    agent: int
    step_ns: int


def _spans(holds: NDArray[np.bool_], pause: int) -> Iterator[tuple[int, int]]:
    """First and last index of every stretch in which a condition holds, bridging pauses."""
    at = np.flatnonzero(holds)
    if len(at):
        cuts = np.flatnonzero(np.diff(at) > pause)
        yield from zip(
            at[np.concatenate(([0], cuts + 1))].tolist(),
            at[np.concatenate((cuts, [len(at) - 1]))].tolist(),
            strict=True,
        )


class _Finder:
    """Definitions of the policy against one drive."""

    def __init__(self, ego: Ego, view: EgoView, road_mmps2: NDArray[np.int64], rules: Mapping[str, Any]) -> None:
        self._ego, self._view, self._rules = ego, view, rules
        self._road = road_mmps2
        every = slice(None, None, EGO_STEPS_PER_AGENT_STEP)
        self._speed = ego.speed_mmps[every].astype(np.int64)
        self._adas = ego.adas[every]
        self._closing = self._speed - view.leader_mmps
        self._pause = round(_LONGEST_PAUSE_S / _STEP_S)

    def _found(self, kind: str, span: tuple[int, int], values: NDArray[np.int64], *, largest: bool) -> _Found:
        part = values[span[0] : span[1] + 1]
        peak = span[0] + int(part.argmax() if largest else part.argmin())
        return _Found(kind, *span, peak, int(values[peak]), int(self._view.leader[peak]), AGENT_STEP_NS)

    def all(self) -> Iterator[_Found]:
        """Every event of every kind."""
        yield from self._fast("hard_brake", -self._ego.accel_mmps2.astype(np.int64))
        sideways, (least, most) = self._ego.lateral_accel_mmps2.astype(np.int64), self._road
        yield from self._fast("swerve", np.maximum(sideways - most, least - sideways))
        yield from self._tailgating()
        yield from self._near_miss()
        yield from self._cut_in()
        yield from self._stationary_hazard()
        yield from self._red_light_stop()
        yield from self._handed("disengagement", self._adas == Adas.TAKEOVER)
        yield from self._handed("override", self._adas == Adas.OVERRIDDEN)
        yield from self._handed("engagement", np.isin(self._adas, (Adas.ENGAGED, Adas.OVERRIDDEN)))

    def _fast(self, kind: str, values: NDArray[np.int64]) -> Iterator[_Found]:
        """Conditions on the ego's own motion, at its own rate."""
        rules = self._rules[kind]
        holds = (values >= rules["least_mps2"] * _MILLI) & (
            self._ego.speed_mmps >= rules.get("least_speed_mps", 0.0) * _MILLI
        )
        pause = round(_LONGEST_PAUSE_S * NS_PER_S / EGO_STEP_NS)
        for first, last in _spans(holds, pause):
            if holds[first : last + 1].sum() * EGO_STEP_NS >= rules["least_s"] * NS_PER_S:
                peak = first + int(values[first : last + 1].argmax())
                at = min(first // EGO_STEPS_PER_AGENT_STEP, len(self._view.leader) - 1)
                agent = int(self._view.leader[at]) if kind == "hard_brake" else 0
                yield _Found(kind, first, last, peak, int(values[peak]), agent, EGO_STEP_NS)

    def _tailgating(self) -> Iterator[_Found]:
        rules, view = self._rules["tailgating"], self._view
        headway = view.gap_mm * _MILLI // np.maximum(self._speed, 1)
        holds = (
            (view.leader > 0)
            & (self._speed >= rules["least_speed_mps"] * _MILLI)
            & (headway <= rules["most_gap_s"] * _MILLI)
        )
        for span in _spans(holds, self._pause // 4):
            if (span[1] - span[0] + 1) * _STEP_S >= rules["least_s"]:
                yield self._found("tailgating", span, headway, largest=False)

    def _near_miss(self) -> Iterator[_Found]:
        rules, view = self._rules["near_miss"], self._view
        left = view.gap_mm * _MILLI // np.maximum(self._closing, 1)
        holds = (
            (view.leader > 0)
            & (self._closing >= rules["least_closing_mps"] * _MILLI)
            & (left <= rules["most_time_to_collision_s"] * _MILLI)
        )
        far = np.where(holds, left, np.iinfo(np.int64).max)
        for span in _spans(holds, self._pause):
            yield self._found("near_miss", span, far, largest=False)

    def _cut_in(self) -> Iterator[_Found]:
        """Somebody else is ahead all at once, close, and whoever was ahead before is still there or was not near."""
        rules, view = self._rules["cut_in"], self._view
        near = np.minimum(rules["most_gap_m"] * _MILLI, np.maximum(rules["most_gap_s"] * self._speed, 8 * _MILLI))
        new = np.flatnonzero(
            (view.leader[1:] > 0)
            & (view.leader[1:] != view.leader[:-1])
            & (view.gap_mm[1:] < view.gap_mm[:-1] - _MILLI)
            & (view.gap_mm[1:] <= near[1:])
            & (view.leader_mmps[1:] > _MILLI // 2)
            & (self._speed[1:] >= rules["least_speed_mps"] * _MILLI)
        )
        for first in (new + 1).tolist():
            agent = int(view.leader[first])
            # It lasts while the newcomer stays closer than drivers like it.
            stays = (view.leader[first:] == agent) & (view.gap_mm[first:] <= 1.5 * near[first:])
            last = first + (int(np.argmin(stays)) if not stays.all() else len(stays)) - 1
            if (view.leader[max(0, first - 3 * self._pause) : first] != agent).all() and last > first:
                yield _Found("cut_in", first, last, first, int(view.gap_mm[first]), agent, AGENT_STEP_NS)

    def _stationary_hazard(self) -> Iterator[_Found]:
        rules, view = self._rules["stationary_hazard"], self._view
        holds = (
            (view.leader > 0)
            & (view.leader_mmps <= 300)  # noqa: PLR2004 - stands
            & view.leader_alone
            & (view.gap_mm <= rules["most_distance_m"] * _MILLI)
            & (view.gap_mm <= rules["most_time_s"] * self._speed)
            & (self._speed >= rules["least_speed_mps"] * _MILLI)
        )
        distance = np.where(holds, view.gap_mm, np.iinfo(np.int64).max)
        for span in _spans(holds, 3 * self._pause):
            yield self._found("stationary_hazard", span, distance, largest=False)

    def _red_light_stop(self) -> Iterator[_Found]:
        rules, view = self._rules["red_light_stop"], self._view
        stands = self._speed <= rules["stand_mps"] * _MILLI
        holds = stands & view.light_closed & (view.line_mm <= rules["most_distance_m"] * _MILLI)
        for first, last in _spans(holds, self._pause):
            while_ms = round((last - first + 1) * _STEP_S * _MILLI)
            if while_ms >= rules["least_s"] * _MILLI:
                yield _Found("red_light_stop", first, last, first, while_ms, 0, AGENT_STEP_NS)

    def _handed(self, kind: str, holds: NDArray[np.bool_]) -> Iterator[_Found]:
        """Somebody else drives from now on; who has driven since before the drive began takes over nothing."""
        for first, last in _spans(holds, 1):
            if first > 0 and self._speed[first] >= self._rules[kind]["least_speed_mps"] * _MILLI:
                yield _Found(kind, first, last, first, int(self._speed[first]), 0, AGENT_STEP_NS)


def find_events(
    ego: Ego,
    view: EgoView,
    road_mmps2: NDArray[np.int64],
    windows: Sequence[Window],
    rules: Mapping[str, Any],
) -> tuple[Event, ...]:
    """All events of a drive in order of their start.

    Args:
        ego: The ego's motion.
        view: What lay before it.
        road_mmps2: int64[2, n] at 100 Hz, least and most lateral acceleration that the road's bends nearby ask for at
            this speed.
        windows: When somebody acted for a request.
        rules: Key `events` of the policy.
    """
    start = int(ego.t_ns[0])
    events = []
    for found in _Finder(ego, view, road_mmps2, rules).all():
        first, last, peak = (start + index * found.step_ns for index in (found.first, found.last, found.peak))
        wanted = any(
            window.kind == found.kind and start + window.start_s * NS_PER_S <= first <= start + window.end_s * NS_PER_S
            for window in windows
        )
        cause = "requested" if wanted else "natural"
        events.append(Event(found.kind, first, last, peak, found.value, found.agent or None, cause))
    return tuple(sorted(events, key=lambda event: (event.start_ns, event.kind)))
