"""What others do so that an event happens: the vehicle ahead brakes or breaks down, one beside comes over.

Here belong actions of others, one class per kind of event. What the ego's driver does is in `actions_of_ego.py`.
"""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from services.fleet_simulator.traffic.corridor import LANE_KEYS
from services.fleet_simulator.traffic.ego import STEP_S
from services.fleet_simulator.traffic.lane_change import begin_change
from services.fleet_simulator.traffic.road_users import OWN_LANE, changing
from services.fleet_simulator.traffic.scene import ROLLING_MPS, Scene, WithLeader, calm_down

_BEHIND_M, _AHEAD_M = 35.0, 50.0
_BREAKS_DOWN_M: Final = 90.0


class HardBrake(WithLeader):
    """The vehicle ahead brakes hard; without one the ego's driver does, as if for something on the road."""

    def __init__(self, policy: Mapping[str, Any], rng: np.random.Generator) -> None:
        super().__init__(policy, rng)
        self.braked_s = self.waited_s = 0.0
        self.alone = False

    def step(self, scene: Scene) -> bool:
        """Go on; over when the ego vehicle has braked hard for long enough."""
        users = scene.users
        hard = float(users["accel_mps2"][0]) < -self.rules["hard_brake"]["least_mps2"] - 0.4
        self.braked_s = self.braked_s + STEP_S if hard else 0.0
        self.since_s += STEP_S if self.agent or self.alone else 0.0
        if self.braked_s > self.rules["hard_brake"]["least_s"] + 0.3:
            return True
        if self.alone:
            users["forced_mps2"][0] = -6.8
            if scene.speed_mps < 1.0:
                self.alone, self.since_s = False, 0.0
                users["forced_mps2"][0] = np.nan
        elif self.agent:
            self._brake(scene)
        elif scene.speed_mps > ROLLING_MPS + 1.5:
            row, self.waited_s = self.follow(scene, 10.0 + 1.5 * scene.speed_mps), self.waited_s + STEP_S
            self.agent = int(scene.users["agent_id"][row]) if row > 0 and self.waited_s < _WAIT_S else 0
            self.alone = self.waited_s >= _WAIT_S
        return False

    def _brake(self, scene: Scene) -> None:
        row = scene.row_of(self.agent)
        if row < 0 or self.since_s > 3.5:  # noqa: PLR2004 - it stands by then
            if row > 0:
                scene.users["forced_mps2"][row], scene.users["scripted"][row] = np.nan, False
            self.agent, self.since_s, self.alone = 0, 0.0, scene.speed_mps > ROLLING_MPS + 1.5
            return
        slow = float(scene.users["speed_mps"][row]) < 1.0
        scene.users["scripted"][row], scene.users["forced_mps2"][row] = True, -1.0 if slow else -7.0


_WAIT_S: Final = 4.0


class NearMiss(WithLeader):
    """The ego's driver looks away while the vehicle ahead brakes, and brakes in the last moment."""

    def __init__(self, policy: Mapping[str, Any], rng: np.random.Generator) -> None:
        super().__init__(policy, rng)
        self.shocked = False

    def step(self, scene: Scene) -> bool:
        """Go on; over some seconds after the last moment."""
        users, rules = scene.users, self.rules["near_miss"]
        users["scripted"][0] = self.agent > 0
        row = scene.row_of(self.agent) if self.agent else -1
        if self.shocked:
            users["forced_mps2"][0] = np.nan
            self.since_s += STEP_S
            return self.since_s > 3.0  # noqa: PLR2004 - both have calmed down
        if row > 0 and not scene.straight(0.0, 12.0 + 2.0 * scene.speed_mps):
            # Nobody looks away before a bend.
            calm_down(users, scene.adas)
            row = -1
        if row < 0:
            self.agent = 0
            scene.headway_s, scene.pace = 0.7, 1.15
            self._look(scene)
            return False
        closing = scene.speed_mps - float(users["speed_mps"][row])
        last = (
            closing > rules["least_closing_mps"] and scene.gap_m < (rules["most_time_to_collision_s"] - 0.1) * closing
        )
        needed = closing**2 / (2.0 * max(scene.gap_m - 2.5, 0.1)) if closing > 0.0 else 0.0
        if last or needed > 5.5 or scene.gap_m < 4.0:  # noqa: PLR2004 - hardly any room left
            self.shocked = last
            self.agent = self.agent if last else 0
            users["forced_mps2"][row] = np.nan
            users["forced_mps2"][0] = np.nan
            return False
        users["forced_mps2"][row] = -6.0 if users["speed_mps"][row] > 1.0 else -1.0
        users["forced_mps2"][0] = 0.0
        return False

    def _look(self, scene: Scene) -> None:
        speed = scene.speed_mps
        if speed < ROLLING_MPS + 2.0 or not scene.clear_of_lines(0.0, 20.0 + 4.0 * speed):
            return
        row = self.follow(scene, 8.0 + 1.3 * speed)
        if row > 0 and scene.straight(0.0, 3.0 * speed):
            self.agent = int(scene.users["agent_id"][row])
            scene.users["scripted"][row] = True


class StationaryHazard(WithLeader):
    """A vehicle breaks down in the ego's lane: the one ahead, or one that has stood there for a while."""

    def step(self, scene: Scene) -> bool:
        """Go on; over when the ego vehicle has waited behind it."""
        users = scene.users
        users["scripted"][0] = self.agent > 0
        row = scene.row_of(self.agent) if self.agent else -1
        if row < 0:
            self.agent, scene.pace = 0, 1.12
            self._find(scene)
            return False
        standing = float(users["speed_mps"][row]) < 0.1  # noqa: PLR2004 - stands
        users["scripted"][row], users["hazard"][row] = True, True
        users["forced_mps2"][row] = -1.0 if standing else -5.5
        reached = standing and scene.speed_mps < 0.5  # noqa: PLR2004 - stands, too
        self.since_s += STEP_S if reached else 0.0
        return self.since_s > 2.5 or float(users["s_m"][row]) < scene.s_m  # noqa: PLR2004 - it rolls again

    def _find(self, scene: Scene) -> None:
        speed, users = scene.speed_mps, scene.users
        clear = self.rules["stationary_hazard"]["clear_of_stop_m"] + 6.0
        if speed < ROLLING_MPS + 1.0:
            return
        row = scene.leader
        if row > 0 and scene.gap_m < min(6.0 * speed, _BREAKS_DOWN_M):
            brakes = float(users["speed_mps"][row]) ** 2 / (2.0 * 5.0)
            own = users["key"][row] == users["key"][0] and float(users["gap_m"][row]) > _QUEUE_M
            if own and scene.clear_of_lines(0.0, scene.gap_m + 8.0 + brakes + clear):
                self.agent = int(users["agent_id"][row])
            return
        for ahead in (170.0, 140.0, 110.0, 90.0, 70.0):
            enough = ahead > 30.0 + speed * speed / 4.0
            if enough and ahead < scene.gap_m - _QUEUE_M and scene.clear_of_lines(ahead - 20.0, ahead + clear):
                self.agent = scene.add(ahead, int(users["key"][0]), share_of_speed=0.0, room_m=30.0)
                return
        if row > 0:
            scene.slow_down(row)


_QUEUE_M: Final = 32.0


class CutIn:
    """A vehicle beside comes over close ahead; where there is no lane beside, one pulls out from the kerb."""

    def __init__(self, policy: Mapping[str, Any], rng: np.random.Generator) -> None:
        self.rng = rng
        self.agent = 0
        self.over_s = -1.0

    def step(self, scene: Scene) -> bool:
        """Go on; over some seconds after the other vehicle has come over."""
        scene.users["scripted"][0] = self.agent > 0
        row = scene.row_of(self.agent) if self.agent else -1
        if row < 0:
            self.agent, self.over_s = 0, -1.0
            self._find(scene)
            return False
        users = scene.users
        users["scripted"][row] = True
        if self.over_s >= 0.0:
            self.over_s += STEP_S
            users["forced_mps2"][row] = np.nan if self.over_s > 1.5 else 0.5  # noqa: PLR2004 - drives on as others do
            return self.over_s > 4.0  # noqa: PLR2004 - settled
        if not _lane_there(scene, int(users["key"][row]), 20.0):
            return self._pull_out(scene, row)
        return self._come_over(scene, row)

    def _find(self, scene: Scene) -> None:
        users, speed = scene.users, scene.speed_mps
        own = int(users["key"][0])
        beside = [key for key in (own + 1, own - 1) if _lane_there(scene, key, 130.0)]
        if speed < ROLLING_MPS or changing(users)[0]:
            return
        if not beside:
            wide = 25.0 + 5.0 * speed
            if speed < 16.0 and scene.clear_of_lines(-5.0, wide + 25.0) and scene.straight(0.0, wide + 10.0):  # noqa: PLR2004
                self.agent = scene.add(wide, OWN_LANE - 1, share_of_speed=0.0, room_m=15.0) if scene.gap_m > wide else 0
            return
        away = users["s_m"] - scene.s_m
        near = np.isin(users["key"], beside) & ~changing(users) & ~users["scripted"]
        near &= (away > -_BEHIND_M) & (away < _AHEAD_M)
        if near.any():
            self.agent = int(users["agent_id"][np.argmin(np.where(near, np.abs(away - 12.0), np.inf))])
        else:
            self.agent = scene.add(-45.0, beside[0], share_of_speed=1.25, room_m=12.0)

    def _come_over(self, scene: Scene, row: int) -> bool:
        users, speed = scene.users, scene.speed_mps
        gap = float(users["s_m"][row] - scene.s_m - (users["length_m"][row] + users["length_m"][0]) / 2.0)
        wanted, faster = 4.0 + 0.45 * speed, float(users["speed_mps"][row]) - speed
        pull = float(np.clip(0.35 * (wanted - gap) + 1.1 * (0.8 - faster), -3.5, 2.5))
        blocked = float(users["gap_m"][row]) < 4.0 + 0.7 * float(users["speed_mps"][row]) and pull > 0.0
        users["forced_mps2"][row] = np.nan if blocked else pull
        ahead = scene.leader
        room = scene.gap_m if ahead > 0 else np.inf
        fits = 3.5 + 0.25 * speed < gap < 0.95 * speed + 3.0 and faster > -1.5  # noqa: PLR2004 - not into the ego's bonnet
        if fits and room > gap + float(users["length_m"][row]) + 4.0 + 0.3 * speed and speed > ROLLING_MPS:
            begin_change(users, row, int(users["key"][0]), 2.4)
            self.over_s = 0.0
        elif ahead > 0 and room < gap + float(users["length_m"][row]) + 6.0 + 0.3 * speed:
            # The ego's driver leaves a gap.
            scene.headway_s = 2.6
        return False

    def _pull_out(self, scene: Scene, row: int) -> bool:
        users, speed = scene.users, scene.speed_mps
        gap = float(users["s_m"][row] - scene.s_m - (users["length_m"][row] + users["length_m"][0]) / 2.0)
        if int(users["key"][row]) != OWN_LANE - 1 or gap < 0.0:
            users["forced_mps2"][row] = np.nan
            self.agent = 0
            return False
        free = scene.leader < 0 or scene.gap_m > gap + 15.0
        rolls = float(users["speed_mps"][row]) > 0.0
        if rolls or (free and 3.0 + 1.9 * speed < gap < 5.0 + 2.6 * speed):
            users["forced_mps2"][row] = 2.5
            if float(users["speed_mps"][row]) > 1.2:  # noqa: PLR2004 - wheels turn before they steer
                begin_change(users, row, OWN_LANE, 1.6)
                self.over_s = 0.0
        else:
            users["forced_mps2"][row] = -1.0
        return False


def _lane_there(scene: Scene, key: int, ahead_m: float) -> bool:
    row = int(scene.corridor.index(np.array([scene.s_m]))[0])
    return 0 <= key < LANE_KEYS and float(scene.corridor.lane_end_m[key, row]) > scene.s_m + ahead_m
