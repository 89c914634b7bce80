"""Events on request: somebody does something, and what follows is up to everybody's reactions.

Here belongs waiting for a chance and starting what leads to an event, one request after another. The
actions are in `actions_of_others.py` and `actions_of_ego.py`; whether the event happened is measured in `events.py`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from services.fleet_simulator.drive_truth import DrivePlan, EventRequest
from services.fleet_simulator.traffic.actions_of_ego import (
    Disengagement,
    Engagement,
    Override,
    RedLightStop,
    Swerve,
    Tailgating,
)
from services.fleet_simulator.traffic.actions_of_others import CutIn, HardBrake, NearMiss, StationaryHazard
from services.fleet_simulator.traffic.adas import AdasMachine
from services.fleet_simulator.traffic.corridor import Corridor
from services.fleet_simulator.traffic.ego import Reference
from services.fleet_simulator.traffic.road_users import Population, Users
from services.fleet_simulator.traffic.scene import Action, Scene, calm_down

ACTIONS: Final[Mapping[str, Callable[[Mapping[str, Any], np.random.Generator], Action]]] = {
    "hard_brake": HardBrake,
    "cut_in": CutIn,
    "tailgating": Tailgating,
    "stationary_hazard": StationaryHazard,
    "swerve": Swerve,
    "red_light_stop": RedLightStop,
    "disengagement": Disengagement,
    "engagement": Engagement,
    "override": Override,
    "near_miss": NearMiss,
}
NEED_LEADER: Final = frozenset({"hard_brake", "tailgating", "near_miss", "stationary_hazard"})
"""Kinds that begin with the vehicle ahead."""
NEED_SYSTEM: Final = frozenset({"disengagement", "engagement", "override"})
"""Kinds in which the ego's system drives."""
_PATIENCE_S: Final = 60.0
_NATURAL_PATIENCE_S: Final = 30.0
_AFTER_S: Final = 1.0
"""What happens so soon after an action still counts as its consequence."""


class UnknownEventError(Exception):
    """A request for an event that nobody knows how to make happen, or that this vehicle cannot have."""


def check_requests(plan: DrivePlan) -> None:
    """See that all that a plan requests can happen.

    Raises:
        UnknownEventError: When a request's kind is not known, needs a system that the vehicle lacks, or comes too late.
    """
    for request in plan.events:
        if request.kind not in ACTIONS:
            known = ", ".join(sorted(ACTIONS))
            raise UnknownEventError(f"event '{request.kind}' cannot be requested. Known kinds: {known}")
        if request.kind in NEED_SYSTEM and not plan.adas:
            raise UnknownEventError(f"event '{request.kind}' needs a vehicle with a system that drives (adas=True)")


@dataclass(frozen=True, slots=True)
class Window:
    """When an action took place, seconds from the drive's start."""

    kind: str
    start_s: float
    end_s: float


def draw_incidents(
    rng: np.random.Generator, per_hour: Mapping[str, float], duration_s: float
) -> tuple[EventRequest, ...]:
    """What people do to each other by themselves: Poisson processes.

    Args:
        rng: Their stream.
        per_hour: Rate of each kind.
        duration_s: Length of the drive.
    """
    drawn = [
        EventRequest(kind, float(at_s))
        for kind, rate in sorted(per_hour.items())
        for at_s in rng.random(int(rng.poisson(rate * duration_s / 3600.0))) * duration_s
    ]
    return tuple(sorted(drawn, key=lambda one: (one.at_s, one.kind)))


class Director:
    """Works through the requests of a drive, and between them through what happens by itself.

    Args:
        requests: What is wanted.
        incidents: What happens by itself, where the road lets it; never instead of a request.
        rng: Its stream.
        corridor: The corridor.
        policy: The document `simulation`.
    """

    def __init__(
        self,
        requests: Sequence[EventRequest],
        incidents: Sequence[EventRequest],
        rng: np.random.Generator,
        corridor: Corridor,
        policy: Mapping[str, Any],
    ) -> None:
        self._waiting = sorted(requests, key=lambda request: request.at_s)
        self._incidents = list(incidents)
        self._natural = False
        self._rng, self._corridor, self._policy = rng, corridor, policy
        self._action: Action | None = None
        self._started_s = 0.0
        self._kind = ""
        self.windows: list[Window] = []
        self.headway_s: float | None = None
        """Time headway that the ego's driver keeps at the moment, None for the usual one."""
        self.pace = 1.0
        """Share of the usual speed that the ego's driver wants at the moment."""

    @property
    def urgent(self) -> bool:
        """Whether something is going on that needs every step."""
        return self._action is not None

    def step(
        self, users: Users, population: Population, adas: AdasMachine, closed: NDArray[np.bool_], now_s: float
    ) -> tuple[Users, Reference]:
        """Go on with the action of the day.

        Args:
            users: Everybody, leaders found.
            population: Makes road users that an action needs.
            adas: The ego's system.
            closed: Lines of `Corridor.ahead` that lights close.
            now_s: Time since the drive's start.

        Returns:
            Everybody, maybe more than before, and where across the road the ego's driver steers meanwhile.
        """
        self._begin(users, adas, now_s)
        if self._action is None:
            return users, Reference(0.0, 0.0, 0.0)
        scene = Scene(users, population, adas, closed, self._corridor, now_s)
        done = self._action.step(scene)
        self.headway_s, self.pace = scene.headway_s, scene.pace
        tired = now_s - self._started_s > (_NATURAL_PATIENCE_S if self._natural else _PATIENCE_S)
        if tired and not done and not self._natural:
            # Later the road may suit it better; what else is wanted has its turn meanwhile.
            self._waiting.append(EventRequest(self._kind, now_s))
        if done or tired:
            self._end(scene.users, adas, now_s)
        return scene.users, scene.nudge

    def _begin(self, users: Users, adas: AdasMachine, now_s: float) -> None:
        """Begin the next action when it is due and none is under way; requests come first."""
        requested = bool(self._waiting) and self._waiting[0].at_s <= now_s
        if self._action is not None and self._natural and requested:
            self._end(users, adas, now_s)
        queue = self._waiting if requested else self._incidents
        if self._action is None and queue and queue[0].at_s <= now_s:
            self._kind, self._natural = queue.pop(0).kind, not requested
            self._action, self._started_s = ACTIONS[self._kind](self._policy, self._rng), now_s

    def _end(self, users: Users, adas: AdasMachine, now_s: float) -> None:
        if not self._natural:
            self.windows.append(Window(self._kind, self._started_s, now_s + _AFTER_S))
        self._action, self.headway_s, self.pace = None, None, 1.0
        calm_down(users, adas)

    def close(self, now_s: float) -> tuple[Window, ...]:
        """All actions, the one under way ended.

        Args:
            now_s: End of the drive.
        """
        under_way = [Window(self._kind, self._started_s, now_s)] if self._action and not self._natural else []
        return (*self.windows, *under_way)
