"""Who changes lanes: MOBIL, and getting out of lanes that end.

Here belongs the decision. The sideways motion that follows is in `motion.py`.
"""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from services.fleet_simulator.traffic.car_following import idm_acceleration
from services.fleet_simulator.traffic.corridor import LANE_KEYS, ONCOMING, RELATIVE_LANES, Corridor
from services.fleet_simulator.traffic.longitudinal import Order, drivers, gaps, wanted_speeds
from services.fleet_simulator.traffic.road_users import OWN_LANE, Users, changing, progress

_HARD_MPS2: Final = 9.0
_ENDS_SOON_S: Final = 9.0
_ENDS_SOON_M: Final = 40.0
_HOME_BIAS_MPS2: Final = 0.25
"""How much the ego vehicle prefers the route's own lane, so that it returns after overtaking."""
_URGENT_MPS2: Final = 3.0
_LEAST_MPS: Final = 4.0
_LEAST_GAP_M: Final = 3.0
_REST_S: Final = 4.0
"""Time that a driver keeps a lane before thinking of the next change."""


class LaneChanges:
    """MOBIL (Kesting, Treiber and Helbing 2007, equations 2 and 3).

    Args:
        corridor: The corridor.
        traffic: Key `traffic` of the policy.
    """

    def __init__(self, corridor: Corridor, traffic: Mapping[str, Any]) -> None:
        self._corridor = corridor
        self._rules = traffic["lane_change"]
        self._lateral = float(traffic["lateral_acceleration_mps2"])

    def decide(self, users: Users, order: Order) -> None:
        """Let those begin to change lanes for whom it pays.

        Nobody begins who is between lanes, acts for a request, or stands; two do not enter the same gap at once.

        Args:
            users: Everybody; `key`, `old_key` and `change_s` of those who begin are set.
            order: Everybody sorted; `find_leaders` must have run.
        """
        corridor = self._corridor
        rows = corridor.index(users["s_m"])
        now = self._follow(users, users["leader"], users["gap_m"], users)
        best, gain = users["key"].copy(), np.zeros(len(users))
        at_ease = ~changing(users) & ~users["scripted"]
        free = at_ease & (users["speed_mps"] > _LEAST_MPS) & (users["change_s"] > users["change_length_s"] + _REST_S)
        ending = _end_m(users, users["key"], corridor, rows) - progress(users)
        soon = ending < _ENDS_SOON_M + _ENDS_SOON_S * users["speed_mps"]
        free |= soon & at_ease
        # Whatever the ego's driver is asked to do: from a lane that ends they go.
        free[0] |= bool(soon[0] and not changing(users)[0])
        for side in (-1, 1):
            key = users["key"] + side
            there = free & _exists(key, users["key"])
            room = _end_m(users, key, corridor, rows) - progress(users)
            there &= room > _ENDS_SOON_M + 1.5 * _ENDS_SOON_S * users["speed_mps"]
            if not there.any():
                continue
            incentive = self._incentive(users, np.where(there, key, users["key"]), order, now)
            homeward = np.abs(users["key"] - OWN_LANE) > np.abs(key - OWN_LANE)
            incentive += np.where(soon & homeward, _URGENT_MPS2, 0.0)
            incentive[0] += _HOME_BIAS_MPS2 if homeward[0] else -_HOME_BIAS_MPS2
            incentive -= self._rules["threshold_mps2"]
            better = there & (incentive > gain)
            best, gain = np.where(better, key, best), np.where(better, incentive, gain)
        _begin(users, best, gain, float(self._rules["duration_s"]))

    def _follow(
        self, followers: Users, leader: NDArray[np.int64], gap_m: NDArray[np.float64], users: Users
    ) -> NDArray[np.float64]:
        """Acceleration of some users behind given rows of all users."""
        speed = followers["speed_mps"]
        ahead = np.where(leader >= 0, users["speed_mps"][leader], speed)
        wanted = wanted_speeds(followers, self._corridor, self._corridor.index(followers["s_m"]), self._lateral)
        return idm_acceleration(drivers(followers), speed, wanted, gap_m, speed - ahead, hardest_mps2=_HARD_MPS2)

    def _incentive(
        self, users: Users, key: NDArray[np.int64], order: Order, now: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Advantage of each lane for its driver and, by politeness, for those behind; -inf where it is not safe."""
        along, safe = progress(users), self._rules["safe_deceleration_mps2"]
        leader, follower = order.ahead(key, along), order.behind(key, along)
        gap = gaps(users, leader, along)
        new = self._follow(users, leader, gap, users)
        behind = users[follower]
        behind_gap = along - progress(behind) - (users["length_m"] + behind["length_m"]) / 2.0
        pressed = self._follow(behind, np.where(follower >= 0, np.arange(len(users)), -1), behind_gap, users)
        loss = np.where(follower >= 0, now[follower] - pressed, 0.0)
        fits = (follower < 0) | ((pressed > -safe) & (behind_gap > _LEAST_GAP_M))
        fits &= (new > -safe) & (gap > _LEAST_GAP_M)
        gained: NDArray[np.float64] = np.where(fits, new - now - self._rules["politeness"] * loss, -np.inf)
        return gained


def begin_change(users: Users, row: int, key: int, seconds: float) -> None:
    """Let one user begin to change to a lane."""
    users["old_key"][row], users["key"][row] = users["key"][row], key
    users["change_s"][row], users["change_length_s"][row] = 0.0, seconds


def _begin(users: Users, best: NDArray[np.int64], gain: NDArray[np.float64], seconds: float) -> None:
    chosen: list[int] = []
    for row in np.argsort(-gain, kind="stable").tolist():
        if gain[row] <= 0.0:
            break
        near = any(
            best[other] == best[row] and abs(users["s_m"][other] - users["s_m"][row]) < users["speed_mps"][row] * 2 + 20
            for other in chosen
        )
        if not near:
            chosen.append(row)
    for row in chosen:
        begin_change(users, row, int(best[row]), seconds)


def _exists(key: NDArray[np.int64], own: NDArray[np.int64]) -> NDArray[np.bool_]:
    against = own >= ONCOMING
    inside: NDArray[np.bool_] = np.where(
        against, (key >= ONCOMING) & (key < ONCOMING + RELATIVE_LANES), (key >= 0) & (key < LANE_KEYS)
    )
    return inside


def _end_m(users: Users, key: NDArray[np.int64], corridor: Corridor, rows: NDArray[np.int64]) -> NDArray[np.float64]:
    against = users["key"] >= ONCOMING
    same = corridor.lane_end_m[np.clip(np.where(against, 0, key), 0, LANE_KEYS - 1), rows]
    other = corridor.oncoming_end_m[np.clip(np.where(against, key - ONCOMING, 0), 0, RELATIVE_LANES - 1), rows]
    ends: NDArray[np.float64] = np.where(against, other, same)
    return ends
