"""People on foot and on bicycles who cross at crossings, and people on the pavement.

Here belongs when they step onto the road and how they move. That vehicles yield to them is decided in
`longitudinal.py` from the lines that they block.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import atan2, cos, pi
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from services.fleet_simulator.camera.ground import KERB_M, SIDEWALK_M
from services.fleet_simulator.traffic.corridor import ONCOMING, Corridor, StopLines
from services.fleet_simulator.traffic.ego import STEP_S
from services.fleet_simulator.traffic.road_users import Users, progress

_SIZE_M: Final = {"pedestrian": (0.4, 0.55, 1.74), "cyclist": (1.8, 0.6, 1.78)}
_KERB_M: Final = 0.9
_COMES_M: Final = 1.6
_LEAVES_M: Final = 2.3
_STATE_BY_CORNERS: Final = {3: "wait", 2: "leave"}
"""What follows when so many corners of the way are left."""
_PAVEMENT_M: Final = 3.1
_STRIP_M, _STRIPS = 0.75, 5
_ROOM_M: Final = 0.6
_WALK_UP_M: Final = 9.0
_CONFLICT_S: Final = 1.0
_SOON_S, _YIELDS_MPS2 = 3.0, -0.8
"""Who is so near in time and brakes less does not seem to yield."""
_HURRY: Final = 1.4
_NEVER: Final = -1


@dataclass(slots=True)
class Person:
    """Somebody on foot or on a bicycle.

    Attributes:
        agent_id: Number of the track.
        kind: ``pedestrian`` or ``cyclist``.
        look: Draws the appearance.
        height_m: Height.
        s_m: Place along the route.
        d_m: Left of its line.
        speed_mps: Pace when walking.
        path: Corners of the way, (s, d), the next one first.
        stop: Index in `Route.stops` of the crossing, or -1 for who stays on the pavement.
        waits_s: Time at the kerb so far.
        state: ``walk``, ``wait``, ``cross`` or ``leave``.
        now_mps: Pace at the moment.
        heading_rad: Direction against the route's.
    """

    agent_id: int
    kind: str
    look: int
    height_m: float
    s_m: float
    d_m: float
    speed_mps: float
    path: list[tuple[float, float]]
    stop: int
    waits_s: float = 0.0
    state: str = "walk"
    now_mps: float = 0.0
    heading_rad: float = 0.0

    @property
    def size_m(self) -> tuple[float, float, float]:
        """Length, width, height."""
        return (*_SIZE_M[self.kind][:2], self.height_m)

    def advance(self, pace: float = 1.0) -> bool:
        """Take one step at a share of the usual pace; whether the next corner was reached."""
        goal = self.path[0]
        ahead, across = goal[0] - self.s_m, goal[1] - self.d_m
        self.now_mps = pace * self.speed_mps
        left, step = (ahead * ahead + across * across) ** 0.5, self.now_mps * STEP_S
        self.heading_rad = atan2(across, ahead) if left > 0.0 else self.heading_rad
        if left <= step:
            self.s_m, self.d_m = goal
            self.path.pop(0)
            return True
        self.s_m += ahead * step / left
        self.d_m += across * step / left
        return False


class People:
    """Everybody on foot near the ego vehicle.

    Args:
        rng: Their stream.
        rules: Key `pedestrians` of the policy.
        corridor: The corridor.
        horizon_m: How far ahead they begin to exist.
    """

    def __init__(
        self, rng: np.random.Generator, rules: Mapping[str, Any], corridor: Corridor, horizon_m: float
    ) -> None:
        self._rng, self._rules, self._corridor, self._horizon = rng, rules, corridor, horizon_m
        self._crossings = [index for index, stop in enumerate(corridor.route.stops) if stop.control == "crossing"]
        self._last_id = 1_000_000
        self.persons: list[Person] = []

    def _draw(self, s_m: float, d_m: float, path: list[tuple[float, float]], stop: int) -> Person:
        rng, rules = self._rng, self._rules
        cyclist = stop >= 0 and rng.random() < rules["cyclist_share"]
        kind = "cyclist" if cyclist else "pedestrian"
        pace = rules["cyclist_mps"] if cyclist else rules["walking_mps"]
        speed = float(np.clip(rng.normal(pace["mean"], pace["spread"]), 0.4 * pace["mean"], 1.6 * pace["mean"]))
        height = _SIZE_M[kind][2] * float(np.clip(rng.normal(1.0, 0.05), 0.8, 1.15))
        self._last_id += 1
        look = int(rng.integers(2**31))
        return Person(self._last_id, kind, look, height, s_m, d_m, speed, path, stop)

    def _coin(self) -> bool:
        return bool(self._rng.integers(2))

    def renew(self, ego_m: float, seconds: float) -> None:
        """Let people come to the crossings ahead and onto the pavement, and those far behind go."""
        low, high = ego_m - self._horizon / 2.0, ego_m + self._horizon
        self.persons = [one for one in self.persons if one.path and low <= one.s_m <= high + _WALK_UP_M * 2]
        stops = self._corridor.route.stops
        for index in self._crossings:
            place = (stops[index].s_m + stops[index].past_m) / 2.0
            if ego_m < place < high and self._rng.random() < self._rules["per_crossing_per_minute"] * seconds / 60.0:
                self.persons.append(self._crosser(index, place))
        if self._rng.random() < self._rules["walkers_per_minute"] * seconds / 60.0:
            self._walker(high)

    def _crosser(self, index: int, place: float) -> Person:
        row = int(self._corridor.index(np.array([place]))[0])
        right, left = self._corridor.edges_m(row)
        # Who comes, who waits and who leaves each have a row of their own beside the road.
        first, last, out = (right, left, -1.0) if self._coin() else (left, right, 1.0)
        waits, comes, leaves = first + out * _KERB_M, first + out * _COMES_M, last - out * _LEAVES_M
        # Everybody keeps to a strip and a side of their own, so that nobody walks through anybody.
        strip = self._last_id % _STRIPS - (_STRIPS - 1) / 2.0
        place, side = place + _STRIP_M * strip, -1.0 if strip <= 0.0 else 1.0
        path = [(place, comes), (place, waits), (place, last - out * _KERB_M), (place, leaves)]
        far = place + side * _WALK_UP_M
        return self._draw(far, comes, [*path, (far, leaves)], index)

    def _walker(self, place: float) -> None:
        route = self._corridor.route
        if not place < route.length_m:
            return
        row = int(self._corridor.index(np.array([place]))[0])
        right, left = self._corridor.edges_m(row)
        streets = self._corridor.classes[int(self._corridor.class_index[row])] not in self._rules["without_pavement"]
        strip = _PAVEMENT_M + _STRIP_M * (self._last_id % _STRIPS)
        beside = right - strip if self._coin() else left + strip
        back = -self._horizon if self._coin() else self._horizon
        # Straight ahead only as far as the pavement is straight: nobody walks through a junction's middle.
        ahead = [stop.s_m for stop in route.stops if stop.s_m > place]
        behind = [stop.past_m for stop in route.stops if stop.past_m < place]
        goal = min(place + back, ahead[0] - 8.0) if back > 0 and ahead else place + back
        goal = max(goal, behind[-1] + 8.0) if behind else goal
        if streets and abs(float(route.curvature_1pm[row])) < 0.01:  # noqa: PLR2004 - straight enough for a pavement
            self.persons.append(self._draw(place, beside, [(goal, beside)], _NEVER))

    def claims(self) -> set[int]:
        """Crossings, by index in `Route.stops`, at which somebody waits or crosses."""
        return {one.stop for one in self.persons if one.state in {"wait", "cross"}}

    def step(self, users: Users) -> None:
        """Move everybody by one step; who waits goes when no vehicle can reach the crossing any more."""
        for one in self.persons:
            if not one.path or self._in_the_way(one):
                one.now_mps = 0.0
                continue
            if one.state == "wait":
                one.now_mps, one.waits_s = 0.0, one.waits_s + STEP_S
                if one.waits_s >= self._rules["wait_s"] and self._clear(one.stop, users):
                    one.state = "cross"
            elif one.advance(self._pace(one, users)) and one.stop >= 0:
                one.state = _STATE_BY_CORNERS.get(len(one.path), one.state)

    def _pace(self, one: Person, users: Users) -> float:
        """Who crosses before a vehicle that does not brake hurries."""
        if one.state != "cross":
            return 1.0
        for against, lines in ((False, self._corridor.ahead), (True, self._corridor.against)):
            mine = users[(users["key"] >= ONCOMING) == against]
            for line in np.flatnonzero(lines.route_stop == one.stop).tolist():
                room = lines.line_m[line] - progress(mine) - mine["length_m"] / 2.0
                comes = (room > 0.0) & (room < _SOON_S * mine["speed_mps"]) & (mine["accel_mps2"] > _YIELDS_MPS2)
                if comes.any():
                    return _HURRY
        return 1.0

    def _in_the_way(self, one: Person) -> bool:
        """Whether somebody close ahead goes first: who walks the same way, or came earlier and crosses the way."""
        ahead, across = one.path[0][0] - one.s_m, one.path[0][1] - one.d_m
        for other in self.persons:
            away = (other.s_m - one.s_m, other.d_m - one.d_m)
            room = _ROOM_M + (one.size_m[0] + other.size_m[0]) / 2.0
            near = abs(away[0]) < room and abs(away[1]) < room
            if other is one or not near or not other.path or away[0] * ahead + away[1] * across <= 0.0:
                continue
            same_way = cos(other.heading_rad - one.heading_rad) > 0.5  # noqa: PLR2004 - within 60 degrees
            if other.now_mps > 0.0 and (same_way or other.agent_id < one.agent_id):
                return True
        return False

    def _clear(self, stop: int, users: Users) -> bool:
        return all(
            self._clear_of(lines, stop, users[(users["key"] >= ONCOMING) == against])
            for against, lines in ((False, self._corridor.ahead), (True, self._corridor.against))
        )

    def _clear_of(self, lines: StopLines, stop: int, users: Users) -> bool:
        for line in np.flatnonzero(lines.route_stop == stop).tolist():
            front = progress(users) + users["length_m"] / 2.0
            rear = front - users["length_m"]
            inside = (front > lines.line_m[line]) & (rear < lines.past_m[line])
            comes = (users["passed_line"] >= line) & (rear < lines.past_m[line])
            # Who can no longer stop before the line with the pedal half down.
            room = lines.line_m[line] - front
            fast = (room > 0.0) & (users["speed_mps"] ** 2 > 2.0 * 3.5 * np.maximum(room - _CONFLICT_S, 0.1))
            if bool((inside | comes | fast).any()):
                return False
        return True


def ground_height_m(corridor: Corridor, s_m: float, d_m: float) -> float:
    """Height of the ground at a place beside or on the road: pavements are higher than the road."""
    row = int(corridor.index(np.array([s_m]))[0])
    right, left = corridor.edges_m(row)
    beyond = max(right - d_m, d_m - left)
    width = SIDEWALK_M.get(corridor.classes[int(corridor.class_index[row])], 0.0)
    return KERB_M if 0.0 < beyond <= width else 0.0


def person_poses(persons: list[Person], corridor: Corridor) -> Iterator[tuple[Person, tuple[float, float, float]]]:
    """East, north and heading of everybody on foot."""
    route = corridor.route
    for one in persons:
        row = int(corridor.index(np.array([one.s_m]))[0])
        yaw = float(route.yaw_rad[row])
        rest = one.s_m - float(route.s_m[row])
        sine, cosine = float(np.sin(yaw)), float(np.cos(yaw))
        east = float(route.east_m[row]) + rest * cosine - one.d_m * sine
        north = float(route.north_m[row]) + rest * sine + one.d_m * cosine
        # A standing person looks across the road.
        heading = one.heading_rad if one.now_mps > 0.0 else one.heading_rad % (2.0 * pi)
        yield one, (east, north, yaw + heading)


def blocked_lines(lines: StopLines, closed_lights: NDArray[np.bool_], claims: set[int]) -> NDArray[np.bool_]:
    """Lines that hold back traffic: closed lights and claimed crossings."""
    blocked = closed_lights.copy()
    if claims:
        blocked |= np.isin(lines.route_stop, list(claims))
    return blocked
