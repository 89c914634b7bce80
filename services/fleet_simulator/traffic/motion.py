"""Moving everybody but the ego vehicle on: along their lanes, sideways between them, and their poses.

Here belongs kinematics of the others. The ego vehicle's dynamics are in `ego.py`.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from services.fleet_simulator.drive_truth import Lamp
from services.fleet_simulator.traffic.corridor import ONCOMING, Corridor, lane_centre_m
from services.fleet_simulator.traffic.road_users import Users, changing
from services.fleet_simulator.world.routes import SPACING_M

_JERK_UP_MPS3: Final = 4.0
_JERK_DOWN_MPS3: Final = 8.0
_JERK_EMERGENCY_MPS3: Final = 40.0
_EMERGENCY_MPS2: Final = -4.0
_INDICATES_M: Final = 35.0
_TURN_CURVATURE_1PM: Final = 0.04
_BRAKE, _LEFT, _RIGHT = np.uint8(Lamp.BRAKE), np.uint8(Lamp.LEFT), np.uint8(Lamp.RIGHT)


def limit_jerk(now: NDArray[np.float64], wanted: NDArray[np.float64], step_s: float) -> NDArray[np.float64]:
    """Accelerations one step later, as fast as people press pedals; in an emergency faster."""
    down = np.where(wanted < _EMERGENCY_MPS2, _JERK_EMERGENCY_MPS3, _JERK_DOWN_MPS3)
    highest = now + _JERK_UP_MPS3 * step_s
    bounded: NDArray[np.float64] = np.minimum(np.maximum(wanted, now - down * step_s), highest)
    # Whoever brakes no longer lets go of the pedal at once.
    return np.where((now < 0.0) & (wanted > now), np.minimum(wanted, now + 2.0 * _JERK_DOWN_MPS3 * step_s), bounded)


def sideways(share: NDArray[np.float64]) -> NDArray[np.float64]:
    """Share of a lane change that is done, smooth at both ends (polynomial of degree 5)."""
    inside = np.clip(share, 0.0, 1.0)
    done: NDArray[np.float64] = inside**3 * (10.0 + inside * (6.0 * inside - 15.0))
    return done


def target_offsets(users: Users, corridor: Corridor) -> NDArray[np.float64]:
    """Where between their lanes everybody wants to be, metres left of the route's line."""
    place = np.minimum(np.maximum(users["s_m"], 0.0), corridor.route.s_m[-1]) / SPACING_M
    rows = place.astype(np.int64)
    target = lane_centre_m(corridor, rows, users["key"], place - rows)
    between = np.flatnonzero(changing(users))
    if len(between):
        part = users[between]
        old = lane_centre_m(corridor, rows[between], part["old_key"], (place - rows)[between])
        done = sideways(part["change_s"] / part["change_length_s"])
        target[between] = old + done * (target[between] - old)
    return target


def move(users: Users, wanted_mps2: NDArray[np.float64], corridor: Corridor, step_s: float) -> None:
    """Move everybody but row 0 on by one step, in place."""
    accel = limit_jerk(users["accel_mps2"], wanted_mps2, step_s)
    before = users["speed_mps"]
    after = np.maximum(0.0, before + accel * step_s)
    accel = np.where((after == 0.0) & (accel < 0.0), 0.0, accel)
    rows = corridor.index(users["s_m"])
    sign = np.where(users["key"] >= ONCOMING, -1.0, 1.0)
    stretch = np.maximum(1.0 - corridor.route.curvature_1pm[rows] * users["d_m"], 0.2)
    travelled = 0.5 * (before + after) * step_s
    users["accel_mps2"][1:], users["speed_mps"][1:] = accel[1:], after[1:]
    users["s_m"][1:] += (sign * travelled / stretch)[1:]
    # Who crawls does not drift sideways without driving on.
    crawl = np.minimum(1.0, after / 2.0)
    users["change_s"] += step_s * np.where(changing(users), crawl, 1.0)
    others = users[1:]
    offset = target_offsets(others, corridor)
    others["slide_mps"] = (offset - others["d_m"]) / step_s
    others["d_m"] = offset


def poses(users: Users, corridor: Corridor) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """East, north and heading of everybody's middle, float64[n] each."""
    route = corridor.route
    place = np.minimum(np.maximum(users["s_m"], 0.0), route.s_m[-1] - 1e-6) / SPACING_M
    rows = np.minimum(place.astype(np.int64), len(route.s_m) - 2)
    here, d = corridor.line[rows], users["d_m"]
    east, north, yaw = (here + (corridor.line[rows + 1] - here) * (place - rows)[:, None]).T
    east, north = east - np.sin(yaw) * d, north + np.cos(yaw) * d
    against = users["key"] >= ONCOMING
    slide = np.where(against, -users["slide_mps"], users["slide_mps"])
    lean = np.arctan2(slide, np.maximum(users["speed_mps"], 1.5)) * np.minimum(1.0, users["speed_mps"] / 1.5)
    return east, north, yaw + np.where(against, np.pi, 0.0) + np.minimum(np.maximum(lean, -0.35), 0.35)


def lamps_of(users: Users, corridor: Corridor, headlamps: bool) -> NDArray[np.uint8]:
    """Lamps that everybody has lit, flags of `Lamp`."""
    lit = np.full(len(users), Lamp.HEAD if headlamps else Lamp.NONE, dtype=np.uint8)
    braking = (users["accel_mps2"] < -0.5) | (users["speed_mps"] < 0.1)  # noqa: PLR2004 - foot on the brake
    lit |= braking * _BRAKE
    against = users["key"] >= ONCOMING
    side = np.where(changing(users), np.sign(users["key"] - users["old_key"]), 0)
    ahead = corridor.index(users["s_m"] + np.where(against, -_INDICATES_M, _INDICATES_M) / 2.0)
    bend = corridor.route.curvature_1pm[ahead] * np.where(against, -1.0, 1.0)
    side = np.where((side == 0) & (np.abs(bend) > _TURN_CURVATURE_1PM), np.sign(bend).astype(np.int64), side)
    # Oncoming lanes count away from the middle of the road, that is to their right.
    side = np.where(against & changing(users), -side, side)
    lit |= ((side > 0) | users["hazard"]) * _LEFT
    lit |= ((side < 0) | users["hazard"]) * _RIGHT
    return lit
