"""Events on request: somebody does something, and what follows is up to everybody's reactions.

Here belongs waiting for a chance and starting what leads to an event, one request after another. The
actions are in `actions_of_others.py` and `actions_of_ego.py`; whether the event happened is measured in `events.py`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from services.fleet_simulator.drive_truth import EventRequest
from services.fleet_simulator.traffic.actions_of_ego import Disengagement, RedLightStop, Swerve, Tailgating
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
    "near_miss": NearMiss,
}
NEED_LEADER: Final = frozenset({"hard_brake", "tailgating", "near_miss", "stationary_hazard"})
"""Kinds that begin with the vehicle ahead."""
_PATIENCE_S: Final = 60.0
_AFTER_S: Final = 1.0
"""What happens so soon after an action still counts as its consequence."""


class UnknownEventError(Exception):
    """A request for an event that nobody knows how to make happen."""


@dataclass(frozen=True, slots=True)
class Window:
    """When an action took place, seconds from the drive's start."""

    kind: str
    start_s: float
    end_s: float


class Director:
    """Works through the requests of a drive.

    Args:
        requests: What is wanted.
        rng: Its stream.
        corridor: The corridor.
        policy: The document `simulation`.

    Raises:
        UnknownEventError: When a request's kind is not known.
    """

    def __init__(
        self,
        requests: Sequence[EventRequest],
        rng: np.random.Generator,
        corridor: Corridor,
        policy: Mapping[str, Any],
    ) -> None:
        for request in requests:
            if request.kind not in ACTIONS:
                known = ", ".join(sorted(ACTIONS))
                raise UnknownEventError(f"event '{request.kind}' cannot be requested. Known kinds: {known}")
        self._waiting = sorted(requests, key=lambda request: request.at_s)
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
        if self._action is None:
            if not self._waiting or self._waiting[0].at_s > now_s:
                return users, Reference(0.0, 0.0, 0.0)
            self._kind = self._waiting.pop(0).kind
            self._action, self._started_s = ACTIONS[self._kind](self._policy, self._rng), now_s
        scene = Scene(users, population, adas, closed, self._corridor, now_s)
        done = self._action.step(scene)
        self.headway_s, self.pace = scene.headway_s, scene.pace
        if done or now_s - self._started_s > _PATIENCE_S:
            self.windows.append(Window(self._kind, self._started_s, now_s + _AFTER_S))
            self._action, self.headway_s, self.pace = None, None, 1.0
            calm_down(scene.users, adas)
        return scene.users, scene.nudge

    def close(self, now_s: float) -> tuple[Window, ...]:
        """All actions, the one under way ended.

        Args:
            now_s: End of the drive.
        """
        under_way = [Window(self._kind, self._started_s, now_s)] if self._action is not None else []
        return (*self.windows, *under_way)
