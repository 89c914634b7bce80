"""How everybody accelerates: behind the vehicle ahead, towards stop lines and the ends of lanes, and in an emergency.

Here belongs one decision of all vehicles at once. Moving them on is in `motion.py`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from services.fleet_simulator.traffic.car_following import Driver, idm_acceleration
from services.fleet_simulator.traffic.corridor import LANE_KEYS, ONCOMING, RELATIVE_LANES, Corridor
from services.fleet_simulator.traffic.road_users import Users, changing, progress

_LANE: Final = 1e7
"""Distance between lanes in the sorting key; longer than any route."""
_LINE_ROOM_M: Final = 0.7
"""Wanted distance from a stop line."""
_SIGN_HOLD_S: Final = 1.2
_SIGN_M: Final = 3.0
_STAND_MPS: Final = 0.25
_MARGIN_M: Final = 1.0
_OPEN, _HASTE = 0.98, 1.05
_REACTION_S: Final = 0.2


@dataclass(frozen=True)
class Order:
    """Everybody sorted by lane and progress, twice while they are between two lanes.

    Attributes:
        value: float64[m], lane and progress in one number, ascending.
        row: int64[m], row of each in the users.
    """

    value: NDArray[np.float64]
    row: NDArray[np.int64]

    def ahead(self, keys: NDArray[np.int64], places: NDArray[np.float64]) -> NDArray[np.int64]:
        """Row of the next user in a lane beyond each place, -1 for none."""
        return self._neighbour(keys, np.searchsorted(self.value, keys * _LANE + places, side="right"))

    def behind(self, keys: NDArray[np.int64], places: NDArray[np.float64]) -> NDArray[np.int64]:
        """Row of the last user in a lane before each place, -1 for none."""
        return self._neighbour(keys, np.searchsorted(self.value, keys * _LANE + places, side="left") - 1)

    def _neighbour(self, keys: NDArray[np.int64], at: NDArray[np.int64]) -> NDArray[np.int64]:
        inside = np.minimum(np.maximum(at, 0), len(self.value) - 1)
        same = (at == inside) & (np.floor(self.value[inside] / _LANE + 0.5) == keys)
        rows: NDArray[np.int64] = np.where(same, self.row[inside], -1)
        return rows


def sort_users(users: Users) -> Order:
    """Sort everybody by lane and progress."""
    along, rows = progress(users), np.arange(len(users))
    value = users["key"] * _LANE + along
    between = np.flatnonzero(changing(users) & (users["old_key"] != users["key"]))
    if len(between):
        value = np.concatenate([value, users["old_key"][between] * _LANE + along[between]])
        rows = np.concatenate([rows, between])
    order = np.argsort(value, kind="stable")
    return Order(value[order], rows[order])


def drivers(users: Users) -> Driver:
    """The car-following parameters of some users."""
    return Driver(
        time_headway_s=users["time_headway_s"],
        minimum_gap_m=users["minimum_gap_m"],
        acceleration_mps2=users["acceleration_mps2"],
        deceleration_mps2=users["deceleration_mps2"],
        exponent=4.0,
    )


def find_leaders(users: Users, order: Order) -> None:
    """Set `leader` and `gap_m` of everybody, the nearest over both lanes of those between two."""
    along = progress(users)
    leader = order.ahead(users["key"], along)
    gap = gaps(users, leader, along)
    between = np.flatnonzero(changing(users))
    if len(between):
        other = order.ahead(users["old_key"][between], along[between])
        other_gap = gaps(users, other, along[between], users["length_m"][between])
        nearer = other_gap < gap[between]
        leader[between] = np.where(nearer, other, leader[between])
        gap[between] = np.minimum(gap[between], other_gap)
    users["leader"], users["gap_m"] = leader, gap


def gaps(
    users: Users,
    leader: NDArray[np.int64],
    places: NDArray[np.float64],
    lengths: NDArray[np.float64] | None = None,
) -> NDArray[np.float64]:
    """Bumper to bumper distance to the rows given, inf for -1."""
    own = users["length_m"] if lengths is None else lengths
    away = progress(users)[leader] - places - (users["length_m"][leader] + own) / 2.0
    clear: NDArray[np.float64] = np.where(leader >= 0, away, np.inf)
    return clear


def wanted_speeds(
    users: Users, corridor: Corridor, rows: NDArray[np.int64], lateral_mps2: float
) -> NDArray[np.float64]:
    """Speed that everybody would drive on a free road, m/s."""
    base = np.where(users["key"] >= ONCOMING, corridor.oncoming_mps[rows], corridor.wanted_mps[rows])
    bend = corridor.route.curvature_1pm[rows]
    radius = np.maximum(1.0 - bend * users["d_m"], 0.2) / np.maximum(np.abs(bend), 1e-6)
    # Haste is for open road: where a bend or a lower limit is braked for, all brake in about the same place.
    braking = base < _OPEN * corridor.route.limit_mps[rows]
    factor = np.where(braking, np.minimum(users["factor"], _HASTE), users["factor"])
    wanted: NDArray[np.float64] = np.minimum(base * factor, np.sqrt(lateral_mps2 * radius))
    possible: NDArray[np.float64] = np.minimum(wanted, users["most_mps"])
    return possible


class Longitudinal:
    """Decides accelerations; remembers which stop lines were blocked a moment ago.

    Args:
        corridor: The corridor.
        traffic: Key `traffic` of the policy.
    """

    def __init__(self, corridor: Corridor, traffic: Mapping[str, Any]) -> None:
        self._corridor = corridor
        self._hardest = float(traffic["hardest_braking_mps2"])
        self._lateral = float(traffic["lateral_acceleration_mps2"])
        self._dilemma = float(traffic["dilemma_deceleration_mps2"])
        self._directions = tuple(
            (
                against,
                lines,
                np.array([kind == "stop" for kind in lines.kind], dtype=np.bool_),
                np.zeros(len(lines.line_m), dtype=np.bool_),
            )
            for against, lines in ((False, corridor.ahead), (True, corridor.against))
        )

    def accelerations(
        self,
        users: Users,
        blocked: tuple[NDArray[np.bool_], NDArray[np.bool_]],
        step_s: float,
    ) -> NDArray[np.float64]:
        """What everybody does now; `find_leaders` must have run.

        Args:
            users: Everybody; `passed_line` and `held_s` are updated.
            blocked: Whether each line of `Corridor.ahead` and of `Corridor.against` holds back traffic now.
            step_s: Time since the last decision.

        Returns:
            float64[n], m/s2.
        """
        corridor = self._corridor
        rows = corridor.index(users["s_m"])
        wanted = wanted_speeds(users, corridor, rows, self._lateral)
        leader = users["leader"]
        ahead_mps = np.where(leader >= 0, users["speed_mps"][leader], users["speed_mps"])
        result = idm_acceleration(
            drivers(users),
            users["speed_mps"],
            wanted,
            users["gap_m"],
            users["speed_mps"] - ahead_mps,
            hardest_mps2=self._hardest,
        )
        result = np.minimum(result, self._lane_ends(users, rows))
        for (against, lines, signs, before), now in zip(self._directions, blocked, strict=True):
            if len(lines.line_m):
                mine = np.flatnonzero((users["key"] >= ONCOMING) == against)
                part = users[mine]
                stop = self._stops(part, (lines.line_m, signs), (now, now & ~before), step_s)
                users["passed_line"][mine], users["held_s"][mine] = part["passed_line"], part["held_s"]
                result[mine] = np.minimum(result[mine], stop)
                before[:] = now
        forced = users["forced_mps2"]
        result = np.where(np.isnan(forced), result, np.minimum(forced, self._hardest))
        return np.where(self._unsafe(users, ahead_mps), -self._hardest, result)

    def _unsafe(self, users: Users, ahead_mps: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Whether braking as hard as possible is needed now, should the vehicle ahead do so too."""
        speed = users["speed_mps"]
        needed = speed * _REACTION_S + (speed**2 - ahead_mps**2) / (2.0 * self._hardest)
        unsafe: NDArray[np.bool_] = (users["gap_m"] < np.maximum(needed, 0.0) + _MARGIN_M) & (speed > ahead_mps)
        return unsafe

    def _towards(self, room_m: NDArray[np.float64], users: Users) -> NDArray[np.float64]:
        """Steady braking to a standstill in some metres, from when it feels right on."""
        speed = users["speed_mps"]
        need = speed**2 / (2.0 * np.maximum(room_m - _LINE_ROOM_M, 0.05))
        comfortable = 0.85 * users["deceleration_mps2"]
        weight = np.minimum(np.maximum((need / comfortable - 0.7) / 0.3, 0.0), 1.0)
        braking = np.where(weight > 0.0, -np.minimum(need, self._hardest) * weight, np.inf)
        last = (room_m < _LINE_ROOM_M + 0.5) & (speed < 1.0)
        return np.where(last, -1.5, braking)

    def _lane_ends(self, users: Users, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        corridor, key = self._corridor, users["key"]
        against = key >= ONCOMING
        same_end = corridor.lane_end_m[np.where(against, RELATIVE_LANES, np.minimum(key, LANE_KEYS - 1)), rows]
        other_end = corridor.oncoming_end_m[np.where(against, key - ONCOMING, 0), rows]
        # The innermost oncoming lane ends where its traffic comes from side streets: nobody waits there.
        other_end = np.where(key == ONCOMING, np.inf, other_end)
        room = np.where(against, other_end, same_end) - progress(users) - users["length_m"] / 2.0
        return self._towards(room, users)

    def _stops(
        self,
        users: Users,
        lines: tuple[NDArray[np.float64], NDArray[np.bool_]],
        states: tuple[NDArray[np.bool_], NDArray[np.bool_]],
        step_s: float,
    ) -> NDArray[np.float64]:
        """Braking for the next stop line of everybody, inf for none."""
        (line_m, signs), (blocked, newly) = lines, states
        front = progress(users) + users["length_m"] / 2.0
        line = np.searchsorted(line_m, front - 0.3)
        there = line < len(line_m)
        line = np.minimum(line, len(line_m) - 1)
        room = line_m[line] - front
        speed = users["speed_mps"]
        # Who could stop only by braking hard when the line closes goes on; who came later must stop.
        need = speed**2 / (2.0 * np.maximum(room, 0.05))
        users["passed_line"] = np.where(
            there & newly[line] & (need > self._dilemma), np.maximum(users["passed_line"], line), users["passed_line"]
        )
        waits = there & signs[line] & (speed < _STAND_MPS) & (room < _SIGN_M)
        users["held_s"] = np.where(waits, users["held_s"] + step_s, 0.0)
        done = waits & (users["held_s"] > _SIGN_HOLD_S)
        users["passed_line"] = np.where(done, np.maximum(users["passed_line"], line), users["passed_line"])
        binds = there & (signs[line] | blocked[line]) & (users["passed_line"] < line)
        return np.where(binds, self._towards(room, users), np.inf)
