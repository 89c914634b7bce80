"""One drive in the making: the loop in which everybody decides and moves, 20 times per second.

Here belongs the order of things in a step. What comes out of it is put together in `drive.py`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from services.fleet_simulator.drive_truth import AGENT_STEP_NS, NS_PER_S, Adas, DrivePlan, Weather
from services.fleet_simulator.traffic.adas import AdasMachine, Situation
from services.fleet_simulator.traffic.corridor import Corridor, StopLines
from services.fleet_simulator.traffic.ego import STEP_S, EgoVehicle, Reference, Wander
from services.fleet_simulator.traffic.lane_change import LaneChanges
from services.fleet_simulator.traffic.longitudinal import Longitudinal, find_leaders, sort_users
from services.fleet_simulator.traffic.motion import move, target_offsets
from services.fleet_simulator.traffic.observations import Notes
from services.fleet_simulator.traffic.pedestrians import People, blocked_lines
from services.fleet_simulator.traffic.requests import NEED_LEADER, NEED_SYSTEM, Director, draw_incidents
from services.fleet_simulator.traffic.road_users import OWN_LANE, Population, Users
from services.fleet_simulator.world.routes import SPACING_M

_STREAM: Final = 120
_EVERY: Final = 10
"""Steps between decisions that take seconds in people's heads: lane changes, and who comes and goes."""
_DECIDES_EVERY: Final = 2
"""Steps between looks around, except while something special goes on."""
_Decision = tuple[NDArray[np.float64], NDArray[np.bool_], Reference]
"""Accelerations wanted, lights that are closed, where the ego's driver steers."""
_JERK_EMERGENCY_MPS3: Final = 30.0
_EMERGENCY_MPS2: Final = -3.5
_AHEAD_S: Final = 2.5
_AHEAD_M: Final = 15.0
_CAREFUL_M: Final = 20.0
"""Radius of a bend that halves a driver's wandering."""
_STOP_SEEN_S: Final = 4.0


@dataclass(frozen=True)
class Setting:
    """Where, when and in which weather a drive takes place.

    Attributes:
        plan: What is asked for.
        policy: The document `simulation`.
        corridor: The road.
        start_m: Where the ego's rear axle begins.
        weather: At the start.
        headlamps: Whether lamps are lit.
        seed: Stream numbers follow it.
    """

    plan: DrivePlan
    policy: Mapping[str, Any]
    corridor: Corridor
    start_m: float
    weather: Weather
    headlamps: bool
    seed: int


class _Lights:
    """Which stop lines of a direction are closed by lights."""

    def __init__(self, lines: StopLines, lights: Mapping[str, float]) -> None:
        self._light = np.array([kind == "traffic_light" for kind in lines.kind], dtype=np.bool_)
        self._cycle = round(lights["cycle_s"] * NS_PER_S)
        self._green = round(lights["green_s"] * NS_PER_S)
        self._zero = lines.phase_s * NS_PER_S + lines.axis * (self._cycle // 2)

    def closed(self, t_ns: int) -> NDArray[np.bool_]:
        """Whether each line belongs to a light that is not green."""
        shut: NDArray[np.bool_] = self._light & ((t_ns - self._zero) % self._cycle >= self._green)
        return shut


class Simulation:
    """Everybody's state and the step that moves it on.

    Args:
        setting: The drive.
    """

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        policy, corridor, traffic = setting.policy, setting.corridor, setting.policy["traffic"]
        streams = [np.random.default_rng([setting.seed, _STREAM, part]) for part in range(6)]
        self.population = Population(streams[0], policy, corridor)
        self.people = People(streams[1], policy["pedestrians"], corridor, traffic["horizon_m"] * 0.6)
        self._driver = policy["ego"]["driver"]
        self._wander = Wander(streams[2], self._driver)
        self._wander_m = self._driver["lateral_wander_m"] * float(
            np.clip(streams[3].normal(1.0, self._driver["wander_spread"]), 0.4, 1.8)
        )
        self.adas = AdasMachine(
            streams[4],
            policy["ego"]["adas"],
            equipped=setting.plan.adas,
            possible=_sees(setting.weather, policy) or any(one.kind in NEED_SYSTEM for one in setting.plan.events),
        )
        self.users, self.ego = self._begin(streams[3])
        self.users = self.population.fill(
            self.users, setting.start_m - traffic["horizon_m"], setting.start_m + traffic["horizon_m"]
        )
        if any(request.kind in NEED_LEADER for request in setting.plan.events):
            self._put_leader()
        self._longitudinal = Longitudinal(corridor, traffic)
        self._lane_changes = LaneChanges(corridor, traffic)
        self._lights = tuple(_Lights(lines, policy["world"]["lights"]) for lines in (corridor.ahead, corridor.against))
        vehicle = policy["ego"]["vehicle"]
        self._front_m = float(vehicle["length_m"] - vehicle["rear_overhang_m"])
        self._command = 0.0
        self._offset = 0.0
        self._steps = 0
        self._decided = -_DECIDES_EVERY
        self._decision: _Decision | None = None
        self._human = {name: float(self.users[name][0]) for name in ("time_headway_s", "factor")}
        chance = np.random.default_rng([setting.seed, _STREAM, len(streams)])
        incidents = draw_incidents(chance, policy["incidents_per_hour"], setting.plan.duration_s)
        self.director = Director(setting.plan.events, incidents, streams[5], corridor, policy)

    def _put_leader(self) -> None:
        """Somebody drives ahead from the beginning, where requests need it."""
        if float(self.users["speed_mps"][0]) > 0.0:
            away = 12.0 + 2.0 * float(self.users["speed_mps"][0])
            one = self.population.draw(self.setting.start_m + away, OWN_LANE, share_of_wanted=0.9)
            users = self.population.put_at(self.users, one, room_m=12.0)
            self.users = self.users if users is None else users

    def _begin(self, rng: np.random.Generator) -> tuple[Users, EgoVehicle]:
        """The ego vehicle, rolling as everybody does there, or at the gate."""
        setting, vehicle = self.setting, self.setting.policy["ego"]["vehicle"]
        still = setting.plan.from_gate
        row = self.population.draw(setting.start_m, OWN_LANE)
        factor = self._driver["speed_factor"]
        row["agent_id"], row["length_m"], row["width_m"], row["most_mps"] = (
            0,
            vehicle["length_m"],
            vehicle["width_m"],
            70.0,
        )
        row["factor"] = float(np.clip(rng.normal(factor["mean"], factor["spread"]), 0.75, 1.25))
        row["speed_mps"] = 0.0 if still else 0.9 * float(row["speed_mps"][0])
        ego = EgoVehicle(
            setting.corridor.route,
            vehicle,
            setting.start_m,
            float(row["speed_mps"][0]),
            self._driver["view_s"],
        )
        row["s_m"], row["d_m"] = ego.middle
        return row, ego

    def step(self, t_ns: int, notes: Notes | None) -> None:
        """Decide, write down, move.

        Args:
            t_ns: Time of the state before the step.
            notes: Where to write it down; None while the traffic settles before the drive.
        """
        if self._decision is None or self._steps % _DECIDES_EVERY == 0 or self.director.urgent:
            self._decide(t_ns, notes is not None)
        wanted, closed, nudge = self._decision or self._decide(t_ns, directed=False)
        if notes is not None:
            notes.write(self.users, self.people.persons, closed, int(self.adas.state))
        self._drive(self._pedal(wanted), nudge, remember=notes is not None)
        move(self.users, wanted, self.setting.corridor, STEP_S)
        self._place_ego()
        self.people.step(self.users)
        if self._steps % _EVERY == 0:
            self.users = self.population.renew(self.users, _EVERY * STEP_S)
            self.people.renew(float(self.users["s_m"][0]), _EVERY * STEP_S)
            self._decision = None
        self._steps += 1

    def _decide(self, t_ns: int, directed: bool) -> _Decision:
        """Everybody looks around; what they decide holds until they look again."""
        corridor, since_s = self.setting.corridor, (self._steps - self._decided) * STEP_S
        self._decided = self._steps
        order = sort_users(self.users)
        find_leaders(self.users, order)
        closed = tuple(light.closed(t_ns) for light in self._lights)
        nudge = Reference(0.0, 0.0, 0.0)
        if directed:
            now_s = (t_ns - self.setting.plan.start_ns) / NS_PER_S
            self.users, nudge = self.director.step(self.users, self.population, self.adas, closed[0], now_s)
            if self.director.urgent:
                find_leaders(self.users, order := sort_users(self.users))
        claims = self.people.claims()
        blocked = (
            blocked_lines(corridor.ahead, closed[0], claims),
            blocked_lines(corridor.against, closed[1], claims),
        )
        wanted = self._longitudinal.accelerations(self.users, blocked, since_s)
        self._who_drives(float(wanted[0]), blocked[0], since_s)
        if self._steps % _EVERY == 0:
            self._lane_changes.decide(self.users, order)
        self._decision = (wanted, closed[0], nudge)
        return self._decision

    def _who_drives(self, wanted_mps2: float, blocked: NDArray[np.bool_], since_s: float) -> None:
        corridor, speed, s = self.setting.corridor, self.ego.speed_mps, self.ego.s_m
        first, last = corridor.index(np.array([s, s + _AHEAD_M + _AHEAD_S * speed])).tolist()
        bend = float(np.abs(corridor.route.curvature_1pm[first : last + 1]).max())
        line = int(np.searchsorted(corridor.ahead.line_m, s))
        near = line < len(blocked) and corridor.ahead.line_m[line] - s < _STOP_SEEN_S * speed + _AHEAD_M
        stop = bool(near and (blocked[line] or corridor.ahead.kind[line] == "stop"))
        state = self.adas.step(Situation(speed, bend, stop, wanted_mps2), since_s)
        rules = self.setting.policy["ego"]["adas"]
        system = state in {Adas.ENGAGED, Adas.OVERRIDDEN}
        headway = rules["time_headway_s"] if system else self._human["time_headway_s"]
        self.users["time_headway_s"][0] = headway if self.director.headway_s is None else self.director.headway_s
        self.users["factor"][0] = self._human["factor"] * self.director.pace

    def _pedal(self, wanted: NDArray[np.float64]) -> float:
        """The acceleration that whoever drives asks for, with people's unsteadiness and bounded jerk."""
        goal, state = float(wanted[0]), self.adas.state
        moving = self.ego.speed_mps > 1.0
        # Slopes and wind do not ask who drives.
        if moving and goal > _EMERGENCY_MPS2:
            goal += self._wander.pedal_mps2
        if state is Adas.OVERRIDDEN:
            goal += self.setting.policy["ego"]["adas"]["override_mps2"] if self.users["gap_m"][0] > 30.0 else 0.0  # noqa: PLR2004 - nobody presses on behind somebody
        pressing, braking = self._driver["jerk_mps3"] * STEP_S, self._driver["braking_jerk_mps3"] * STEP_S
        down = _JERK_EMERGENCY_MPS3 * STEP_S if goal < _EMERGENCY_MPS2 else braking
        low, high = self._command - down, self._command + pressing
        if self._command < 0.0:
            high = max(min(0.0, self._command + 2.0 * braking), high)
        self._command = min(max(goal, low), high)
        if self.ego.speed_mps == 0.0:
            self._command = max(min(self._command, goal), -1.0)
        return self._command

    def _drive(self, accel_mps2: float, nudge: Reference, *, remember: bool) -> None:
        state, rules = self.adas.state, self.setting.policy["ego"]["adas"]
        wander = self._wander.step(rules["lateral_wander_m"] if state is Adas.ENGAGED else self._wander_m)
        row = self.users[0]
        home = row["key"] == OWN_LANE and row["change_s"] >= row["change_length_s"]
        offset = 0.0 if home else float(target_offsets(self.users[:1], self.setting.corridor)[0])
        rate, self._offset = (offset - self._offset) / STEP_S, offset
        bend = float(self.setting.corridor.route.curvature_1pm[int(self.ego.s_m / SPACING_M)])
        # In bends people steer with care, and so that the front, which swings out, stays in the lane as well.
        care = 1.0 / (1.0 + (_CAREFUL_M * bend) ** 2)
        offset += bend * self._front_m**2 / 4.0
        calm = care * min(1.0, self.ego.speed_mps / 5.0)
        self.ego.advance(
            accel_mps2,
            Reference(
                offset + care * wander.offset_m + nudge.offset_m,
                rate + calm * wander.rate_mps + nudge.rate_mps,
                calm * wander.accel_mps2 + nudge.accel_mps2,
            ),
            remember=remember,
        )

    def _place_ego(self) -> None:
        ego, row = self.ego, self.users[:1]
        s, d = ego.middle
        row["s_m"], row["d_m"], row["slide_mps"] = s, d, ego.slide_mps
        row["speed_mps"], row["accel_mps2"] = ego.speed_mps, ego.accel_mps2


def _sees(weather: Weather, policy: Mapping[str, Any]) -> bool:
    rules = policy["ego"]["adas"]
    return bool(weather.visibility_m >= rules["least_visibility_m"] and weather.rain_mm_h <= rules["most_rain_mm_h"])


def run(setting: Setting, notes: Notes, warm_up_steps: int, steps: int) -> Simulation:
    """Simulate a drive.

    Args:
        setting: The drive.
        notes: Where its states go.
        warm_up_steps: Steps before its start, in which the traffic settles.
        steps: Its length.
    """
    simulation = Simulation(setting)
    start = setting.plan.start_ns
    for step in range(-warm_up_steps, steps):
        simulation.step(start + step * AGENT_STEP_NS, notes if step >= 0 else None)
    return simulation
