"""What an action sees and may do, and what actions have in common.

Here belongs the stage. The actions are in `actions_of_others.py` and `actions_of_ego.py`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from services.fleet_simulator.traffic.adas import AdasMachine
from services.fleet_simulator.traffic.corridor import Corridor
from services.fleet_simulator.traffic.ego import Reference
from services.fleet_simulator.traffic.road_users import OWN_LANE, Population, Users, changing

_STILL: Final = Reference(0.0, 0.0, 0.0)
_ORDINARY: Final = "suv"
_SLOW_MPS: Final = 8.2
_LANE_AHEAD_M: Final = 60.0
_FAR_M: Final = 110.0
ROLLING_MPS: Final = 5.0
"""Speed below which nothing is begun."""


@dataclass
class Scene:
    """What an action sees and may change.

    Attributes:
        users: Everybody, row 0 the ego vehicle.
        population: Makes road users.
        adas: The ego's system.
        closed: Lines of `Corridor.ahead` that lights close.
        corridor: The corridor.
        now_s: Time since the drive's start.
        nudge: Where across the road the ego's driver steers.
        headway_s: Time headway that the ego's driver keeps, None for the usual.
        pace: Share of the usual speed that the ego's driver wants.
    """

    users: Users
    population: Population
    adas: AdasMachine
    closed: NDArray[np.bool_]
    corridor: Corridor
    now_s: float
    nudge: Reference = field(default=_STILL)
    headway_s: float | None = None
    pace: float = 1.0

    @property
    def speed_mps(self) -> float:
        """Of the ego vehicle."""
        return float(self.users["speed_mps"][0])

    @property
    def s_m(self) -> float:
        """Of the ego vehicle."""
        return float(self.users["s_m"][0])

    @property
    def leader(self) -> int:
        """Row of the vehicle ahead, -1 for none."""
        return int(self.users["leader"][0])

    @property
    def gap_m(self) -> float:
        """To the vehicle ahead."""
        return float(self.users["gap_m"][0])

    def clear_of_lines(self, low_m: float, high_m: float) -> bool:
        """Whether no stop line lies between two distances ahead of the ego vehicle."""
        first, last = np.searchsorted(self.corridor.ahead.line_m, [self.s_m + low_m, self.s_m + high_m])
        return bool(first == last)

    def straight(self, low_m: float, high_m: float) -> bool:
        """Whether the road is about straight between two distances ahead of the ego vehicle."""
        rows = self.corridor.index(np.array([self.s_m + low_m, self.s_m + high_m]))
        return bool(np.abs(self.corridor.route.curvature_1pm[rows[0] : rows[1] + 1]).max() < 0.03)  # noqa: PLR2004

    def row_of(self, agent_id: int) -> int:
        """Row of an agent, -1 when it has gone."""
        rows = np.flatnonzero(self.users["agent_id"] == agent_id)
        return int(rows[0]) if len(rows) else -1

    def slow_down(self, row: int) -> None:
        """Let somebody drive slower than others do, but not so slow that the ego vehicle stands out."""
        place = self.corridor.index(self.users["s_m"][row : row + 1])
        slow = float(np.clip(_SLOW_MPS / float(self.corridor.wanted_mps[place][0]), 0.85, 1.0))
        self.users["factor"][row] = min(float(self.users["factor"][row]), slow)

    def add(self, ahead_m: float, key: int, *, share_of_speed: float, room_m: float) -> int:
        """Let somebody be there; its number, 0 where there is no room."""
        place = self.s_m + ahead_m
        row = int(self.corridor.index(np.array([place]))[0])
        # Only beside the right lane may somebody stand where there is no lane: at the kerb.
        if key != OWN_LANE - 1 and not self.corridor.lane_end_m[key, row] > place + _LANE_AHEAD_M:
            return 0
        one = self.population.draw(place, key, kind=_ORDINARY, share_of_wanted=1.0)
        one["speed_mps"] = share_of_speed * self.speed_mps
        users = self.population.put_at(self.users, one, room_m=room_m)
        if users is None:
            return 0
        self.users = users
        return int(one["agent_id"][0])


class Action(Protocol):
    """Something that leads to an event."""

    def step(self, scene: Scene) -> bool:
        """Go on; whether it is over."""


def calm_down(users: Users, adas: AdasMachine) -> None:
    """End whatever an action imposed on anybody."""
    users["forced_mps2"], users["scripted"], users["hazard"] = np.nan, False, False
    adas.wanted, adas.fails, adas.released, adas.pressed = False, False, False, False


class WithLeader:
    """Finds, or waits for, a vehicle ahead of the ego vehicle."""

    def __init__(self, policy: Mapping[str, Any], rng: np.random.Generator) -> None:
        self.rules = policy["events"]
        self.rng = rng
        self.agent = 0
        self.since_s = 0.0

    def follow(self, scene: Scene, most_gap_m: float) -> int:
        """Row of a vehicle ahead that is near enough, -1 while there is none; one is put on the road far ahead."""
        row = scene.leader
        users = scene.users
        near = row > 0 and scene.gap_m < most_gap_m
        if near and users["key"][row] == users["key"][0] and not changing(users)[row]:
            return row
        if (row < 0 or scene.gap_m > _FAR_M) and scene.speed_mps > ROLLING_MPS and scene.clear_of_lines(0.0, _FAR_M):
            scene.add(_FAR_M * 0.8, int(users["key"][0]), share_of_speed=0.75, room_m=15.0)
        elif row > 0 and scene.gap_m < _FAR_M:
            # The vehicle ahead dawdles until the ego vehicle has caught up.
            scene.slow_down(row)
        return -1
