"""What the ego's driver or system does so that an event happens: tailgates, swerves, dawdles, fails.

Here belong actions of the ego vehicle, one class per kind of event. What others do is in `actions_of_others.py`.
"""

from collections.abc import Mapping
from math import cos, pi, sin
from typing import Any, Final

import numpy as np

from services.fleet_simulator.drive_truth import Adas
from services.fleet_simulator.traffic.ego import STEP_S, Reference
from services.fleet_simulator.traffic.road_users import changing
from services.fleet_simulator.traffic.scene import Scene, WithLeader

_BESIDE_M: Final = 25.0
_IN_VIEW_M, _NEAR_M = 160.0, 80.0
_EASY_MPS, _CLOSES_MPS = 8.2, 3.0
"""Slowest speed of a vehicle that somebody is to tailgate, and how much faster that one comes up."""
_OWN_M: Final = 0.5
"""Who is less far to the side drives ahead or behind, not beside."""


class Tailgating(WithLeader):
    """The ego's driver comes up close to the vehicle ahead and stays there."""

    def __init__(self, policy: Mapping[str, Any], rng: np.random.Generator) -> None:
        super().__init__(policy, rng)
        self.close_s = 0.0

    def step(self, scene: Scene) -> bool:
        """Go on; over when the ego vehicle was close for long enough."""
        rules, speed = self.rules["tailgating"], scene.speed_mps
        row = self.follow(scene, 60.0)
        scene.users["scripted"][0] = row > 0
        scene.headway_s, scene.pace = 0.25, 1.25 if row > 0 else 1.1
        if row > 0:
            self._let_close_up(scene, row)
        near = speed > rules["least_speed_mps"] + 0.2 and scene.gap_m < (rules["most_gap_s"] - 0.03) * speed
        self.close_s = self.close_s + STEP_S if near else 0.0
        return bool(self.close_s > rules["least_s"] + 0.3)

    @staticmethod
    def _let_close_up(scene: Scene, row: int) -> None:
        """The vehicle ahead eases off until the ego vehicle is close."""
        users, speed = scene.users, scene.speed_mps
        scene.slow_down(row)
        pull = 0.5 * (max(_EASY_MPS, speed - _CLOSES_MPS) - float(users["speed_mps"][row]))
        eases = scene.gap_m > speed and float(users["gap_m"][row]) > _BESIDE_M
        users["scripted"][row] = True
        users["forced_mps2"][row] = float(np.clip(pull, -1.5, 0.5)) if eases and pull < 0.0 else np.nan


class Swerve:
    """The ego's driver jerks the wheel, as if around something small on the road, and steers back."""

    def __init__(self, policy: Mapping[str, Any], rng: np.random.Generator) -> None:
        self._amplitude_m, self._length_s = float(rng.uniform(0.6, 0.75)), float(rng.uniform(2.0, 2.3))
        self._side, self._since_s = 0.0, 0.0

    def step(self, scene: Scene) -> bool:
        """Go on; over when back in the lane's middle."""
        if self._side == 0.0:
            self._side = self._free_side(scene) if scene.speed_mps > 7.5 else 0.0  # noqa: PLR2004 - slower it is none
            return False
        self._since_s += STEP_S
        turn = 2.0 * pi / self._length_s
        angle, half = turn * self._since_s, self._side * self._amplitude_m / 2.0
        if self._since_s >= self._length_s:
            return self._since_s > self._length_s + 1.0
        scene.nudge = Reference(half * (1 - cos(angle)), half * turn * sin(angle), half * turn**2 * cos(angle))
        scene.users["scripted"][0] = True
        return False

    def _free_side(self, scene: Scene) -> float:
        users, speed = scene.users, scene.speed_mps
        calm = not changing(users)[0] and scene.clear_of_lines(-15.0, 15.0 + 3.0 * speed)
        if not calm or not scene.straight(0.0, 3.5 * speed) or scene.gap_m < 1.0 * speed:
            return 0.0
        away = users["s_m"] - scene.s_m
        # Whoever can come beside meanwhile counts: those who catch up from behind, and those who come opposite.
        lasts = self._length_s + 1.0
        catches_up = np.maximum(users["speed_mps"] - speed, 0.0) * lasts
        near = (away > -_BESIDE_M - catches_up) & (away < _BESIDE_M + lasts * (speed + users["speed_mps"]))
        near[0] = False
        for side in (1.0, -1.0):
            offset = users["d_m"] - users["d_m"][0]
            reach = self._amplitude_m + 0.5 + (users["width_m"] + users["width_m"][0]) / 2.0
            if not (near & (offset * side > _OWN_M) & (offset * side < reach)).any():
                return side
        return 0.0


class RedLightStop:
    """The ego's driver dawdles when the next light is green, so that it is red on arrival."""

    def __init__(self, policy: Mapping[str, Any], rng: np.random.Generator) -> None:
        self._stood_s = 0.0
        self._rules = policy["events"]["red_light_stop"]

    def step(self, scene: Scene) -> bool:
        """Go on; over when the ego vehicle has stood at a red light."""
        lines, front = scene.corridor.ahead, scene.s_m + float(scene.users["length_m"][0]) / 2.0
        line = int(np.searchsorted(lines.line_m, front - 1.0))
        if line >= len(lines.line_m) or lines.kind[line] != "traffic_light":
            return False
        away = float(lines.line_m[line]) - front
        if not scene.closed[line]:
            scene.pace = 0.9 if away > _IN_VIEW_M else 0.5 if away > _NEAR_M else 0.3
        stands = scene.speed_mps < self._rules["stand_mps"] and away < self._rules["most_distance_m"]
        self._stood_s = self._stood_s + STEP_S if stands and scene.closed[line] else 0.0
        return bool(self._stood_s > self._rules["least_s"] + 0.2)


class Engagement:
    """The ego's driver lets the system drive; should it drive already, it is switched off for a while before."""

    def __init__(self, policy: Mapping[str, Any], rng: np.random.Generator) -> None:
        self._off_s = 0.0
        self._pause_s = float(rng.uniform(1.5, 3.0))

    def step(self, scene: Scene) -> bool:
        """Go on; over when the system drives."""
        system = scene.adas
        if self._off_s < self._pause_s:
            system.wanted, system.released = False, system.state is Adas.ENGAGED
            self._off_s += STEP_S if system.state in {Adas.OFF, Adas.READY} else 0.0
            return False
        system.wanted = True
        return system.state is Adas.ENGAGED


class Override:
    """The ego's driver presses the accelerator while the system drives."""

    def __init__(self, policy: Mapping[str, Any], rng: np.random.Generator) -> None:
        self._engaged_s = 0.0
        self._hold_s = float(rng.uniform(1.0, 3.0))

    def step(self, scene: Scene) -> bool:
        """Go on; over when the driver has the say."""
        scene.adas.wanted = True
        if scene.adas.state is Adas.OVERRIDDEN and self._engaged_s > self._hold_s:
            return True
        self._engaged_s = self._engaged_s + STEP_S if scene.adas.state is Adas.ENGAGED else 0.0
        scene.adas.pressed = self._engaged_s > self._hold_s
        return False


class Disengagement:
    """The ego's driving assistance fails while it drives."""

    def __init__(self, policy: Mapping[str, Any], rng: np.random.Generator) -> None:
        self._engaged_s = 0.0
        self._hold_s = float(rng.uniform(1.5, 4.0))

    def step(self, scene: Scene) -> bool:
        """Go on; over when the driver has taken over."""
        scene.adas.wanted = True
        if scene.adas.state is Adas.TAKEOVER:
            return True
        self._engaged_s = self._engaged_s + STEP_S if scene.adas.state is Adas.ENGAGED else 0.0
        scene.adas.fails = self._engaged_s > self._hold_s
        return False
