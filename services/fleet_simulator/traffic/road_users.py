"""The vehicles in the corridor as one array, row 0 the ego vehicle: who they are, where they come from and go.

Here belong spawning at the horizon and despawning behind it, so that memory does not grow with the drive. How fast
they drive is in `longitudinal.py`, which lane they take in `lane_change.py`.
"""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from services.fleet_simulator.traffic.corridor import ONCOMING, RELATIVE_LANES, Corridor, lane_centre_m
from services.fleet_simulator.world.routes import SPACING_M

OWN_LANE: Final = RELATIVE_LANES
"""Key of the route's own lane."""
USER: Final = np.dtype(
    [
        ("agent_id", np.int64),
        ("kind", np.int64),  # Index into the policy's vehicles in alphabetical order.
        ("look", np.int64),
        ("length_m", np.float64),
        ("width_m", np.float64),
        ("s_m", np.float64),  # Middle of the footprint along the route.
        ("d_m", np.float64),  # Left of the route's line.
        ("speed_mps", np.float64),
        ("accel_mps2", np.float64),
        ("slide_mps", np.float64),  # Rate of d.
        ("key", np.int64),  # Lane, while changing the new one.
        ("old_key", np.int64),
        ("change_s", np.float64),  # Time since the lane change began; large when there is none.
        ("change_length_s", np.float64),
        ("factor", np.float64),  # Share of the limit that is wanted.
        ("most_mps", np.float64),
        ("time_headway_s", np.float64),
        ("minimum_gap_m", np.float64),
        ("acceleration_mps2", np.float64),
        ("deceleration_mps2", np.float64),
        ("passed_line", np.int64),  # Last stop line that does not bind any more.
        ("held_s", np.float64),  # Time at a standstill at a stop sign.
        ("forced_mps2", np.float64),  # Acceleration that a request imposes, or nan.
        ("scripted", np.bool_),  # Acts for a request: changes no lanes by itself.
        ("hazard", np.bool_),  # Hazard lamps.
        ("gap_m", np.float64),  # To the vehicle ahead, inf for none.
        ("leader", np.int64),  # Its row, -1 for none.
        ("yaw_rad", np.float64),
    ]
)
Users = NDArray[Any]
"""A structured array of `USER`."""
_SETTLED_S: Final = 1e6
_ROOM_S: Final = 1.6
_ROOM_M: Final = 8.0
_ROUTE_END_M: Final = 10.0
_BEHIND_M: Final = 5.0
_LONG_M: Final = 9.0
_BEFORE_BEND_M: Final = 15.0


def progress(users: Users) -> NDArray[np.float64]:
    """Progress of everybody in their own direction, float64[n]."""
    along: NDArray[np.float64] = np.where(users["key"] >= ONCOMING, -users["s_m"], users["s_m"])
    return along


def changing(users: Users) -> NDArray[np.bool_]:
    """Whether each is between two lanes."""
    between: NDArray[np.bool_] = users["change_s"] < users["change_length_s"]
    return between


class Population:
    """Draws road users and puts them where there is room.

    Args:
        rng: The stream of this drive's traffic.
        policy: The document `simulation`.
        corridor: Where they drive.
    """

    def __init__(self, rng: np.random.Generator, policy: Mapping[str, Any], corridor: Corridor) -> None:
        self.kinds: Final = tuple(sorted(policy["vehicles"]))
        self._rng = rng
        self._vehicles = [policy["vehicles"][kind] for kind in self.kinds]
        shares = np.array([vehicle["share"] for vehicle in self._vehicles])
        self._shares = np.cumsum(shares / shares.sum())
        self._traffic = policy["traffic"]
        self._corridor = corridor
        self._last_id = 0
        density = self._traffic["vehicles_per_km"]
        self._per_m = np.array([density.get(name, 0.0) / 1000.0 for name in corridor.classes])

    def draw(self, s_m: float, key: int, *, kind: str | None = None, share_of_wanted: float = 1.0) -> Users:
        """One user, rolling at a share of the speed that it wants there."""
        rng, idm, user = self._rng, self._traffic["idm"], np.zeros(1, dtype=USER)
        number = int(np.searchsorted(self._shares, rng.random())) if kind is None else self.kinds.index(kind)
        number = min(number, len(self.kinds) - 1)
        vehicle = self._vehicles[number]
        self._last_id += 1
        user["agent_id"], user["kind"], user["look"] = self._last_id, number, int(rng.integers(2**31))
        user["length_m"], user["width_m"] = vehicle["length_m"], vehicle["width_m"]
        factor = self._traffic["speed_factor"]
        user["factor"] = np.clip(rng.normal(factor["mean"], factor["spread"]), 0.7, 1.3)
        user["most_mps"] = vehicle["max_speed_kmh"] / 3.6
        names = ("time_headway_s", "minimum_gap_m", "acceleration_mps2", "deceleration_mps2")
        for name, spread in zip(names, np.clip(rng.normal(1.0, idm["spread"], len(names)), 0.5, 1.6), strict=True):
            user[name] = idm[name] * spread
        user["s_m"], user["key"], user["old_key"] = s_m, key, key
        user["change_s"], user["change_length_s"] = _SETTLED_S, 1.0
        user["passed_line"], user["forced_mps2"], user["gap_m"], user["leader"] = -1, np.nan, np.inf, -1
        row = self._corridor.index(np.array([s_m]))
        user["d_m"] = lane_centre_m(self._corridor, row, user["key"], np.zeros(1))
        base = self._corridor.oncoming_mps if key >= ONCOMING else self._corridor.wanted_mps
        user["speed_mps"] = share_of_wanted * np.minimum(base[row] * user["factor"], user["most_mps"])
        turn = np.pi if key >= ONCOMING else 0.0
        user["yaw_rad"] = self._corridor.route.yaw_rad[row] + turn
        return user

    def lanes_at(self, s_m: float) -> list[int]:
        """Keys of the lanes at a place that go on for a while."""
        corridor, ahead = self._corridor, self._traffic["horizon_m"] / 2.0
        row = int(corridor.index(np.array([s_m]))[0])
        same = [key for key in range(2 * RELATIVE_LANES + 1) if corridor.lane_end_m[key, row] > s_m + ahead]
        against = [
            ONCOMING + number for number in range(RELATIVE_LANES) if corridor.oncoming_end_m[number, row] > ahead - s_m
        ]
        return same + against

    def fill(self, users: Users, low_m: float, high_m: float) -> Users:
        """Put traffic of the policy's density on all lanes of a stretch."""
        row_of = self._corridor.index
        for key in [*range(2 * RELATIVE_LANES + 1), *range(ONCOMING, ONCOMING + RELATIVE_LANES)]:
            place = max(low_m, _ROUTE_END_M)
            while place < min(high_m, self._corridor.route.length_m - _ROUTE_END_M):
                dense = self._density(int(row_of(np.array([place]))[0]))
                place += float(self._rng.exponential(1.0 / dense)) if dense > 0.0 else SPACING_M * 40
                if dense > 0.0 and place < high_m and key in self.lanes_at(place):
                    users = self._put(users, self.draw(place, key))
        return users

    def _density(self, row: int) -> float:
        """Vehicles per metre of one lane."""
        corridor = self._corridor
        lanes = int(corridor.highest[row] - corridor.lowest[row] + 1)
        return float(self._per_m[corridor.class_index[row]]) / lanes

    def _put(self, users: Users, one: Users) -> Users:
        """Add a user where it has room to both sides, else leave it away."""
        lane = users[(users["key"] == one["key"]) | (users["old_key"] == one["key"])]
        away = np.abs(lane["s_m"] - one["s_m"]) - (lane["length_m"] + one["length_m"]) / 2.0
        # The one behind needs its headway, and time to brake to the speed of the one ahead.
        faster = np.maximum(lane["speed_mps"], one["speed_mps"])
        difference = np.abs(lane["speed_mps"] - one["speed_mps"])
        if (away < _ROOM_M + _ROOM_S * faster + difference * faster / 2.0).any():
            return users
        return np.concatenate([users, one])

    def put_at(self, users: Users, one: Users, *, room_m: float) -> Users | None:
        """Add a user that a request needs when nobody is within some metres of it in its lane, else None."""
        lane = users[(users["key"] == one["key"]) | (users["old_key"] == one["key"])]
        away = np.abs(lane["s_m"] - one["s_m"]) - (lane["length_m"] + one["length_m"]) / 2.0
        return None if (away < room_m).any() else np.concatenate([users, one])

    def renew(self, users: Users, seconds: float) -> Users:
        """Let those who left the horizon go and others come, as many as drive towards its ends in some seconds."""
        horizon, ego = float(self._traffic["horizon_m"]), users[0]
        users = users[self._stays(users, float(ego["s_m"]), horizon)]
        speed = float(ego["speed_mps"])
        for place, end in ((float(ego["s_m"]) + horizon, 1.0), (float(ego["s_m"]) - horizon, -1.0)):
            if not _ROUTE_END_M < place < self._corridor.route.length_m - _ROUTE_END_M:
                continue
            dense = self._density(int(self._corridor.index(np.array([place]))[0]))
            for key in self.lanes_at(place):
                # Drawn for every lane, so that one user more or less does not shift what others draw.
                chance = float(self._rng.random())
                if (key >= ONCOMING) == (end < 0.0) and key >= ONCOMING:
                    continue
                if chance < dense * seconds * (speed + 40.0):
                    one = self.draw(place, key)
                    own = float(one["speed_mps"][0])
                    towards = speed + own if key >= ONCOMING else end * (speed - own)
                    if towards > 0.0 and chance < dense * seconds * towards:
                        users = self._put(users, one)
        return users

    def _stays(self, users: Users, ego_m: float, horizon: float) -> NDArray[np.bool_]:
        corridor, s = self._corridor, users["s_m"]
        stays = (np.abs(s - ego_m) <= horizon + _BEHIND_M) & (s > _BEHIND_M)
        stays &= s < corridor.route.length_m - _BEHIND_M
        against = users["key"] >= ONCOMING
        number, rows = np.where(against, users["key"] - ONCOMING, 0), corridor.index(s)
        # Where the road becomes one-way oncoming traffic has come from a side street.
        stays &= ~against | (corridor.oncoming_end_m[number, rows] > -np.inf)
        # Long vehicles go straight on where the route turns: they would need the whole junction.
        bends = np.where(against, corridor.bend_behind_m[rows] - s, s - corridor.bend_ahead_m[rows])
        stays &= (users["length_m"] < _LONG_M) | (bends < -_BEFORE_BEND_M - users["length_m"])
        stays[0] = True
        kept: NDArray[np.bool_] = stays
        return kept
