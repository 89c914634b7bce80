"""From what really happened in a drive to what the camera sees at an instant.

Here belongs interpolation between the states of a `DriveTruth`. The records of a scene are in `scene.py`.
"""

from typing import Final

import numpy as np

from services.fleet_simulator.camera.plates import plate_text
from services.fleet_simulator.camera.scene import Agent, EgoPose, LightState, SceneState, Surroundings
from services.fleet_simulator.drive_truth import AGENT_STEP_NS, EGO_STEP_NS, Conditions, DriveTruth, Lamp, Track

_MILLI: Final = 1e-3
_WITHOUT_PLATE: Final = frozenset({"pedestrian", "cyclist", "bicycle"})


def scene_at(truth: DriveTruth, t_ns: int, *, smear: float = 0.0) -> SceneState:
    """The scene at a time of a drive; between states, positions are interpolated.

    Args:
        truth: The drive.
        t_ns: True time; before the first or after the last state, that state holds.
        smear: Dirt on the lens, 0 to 1.
    """
    ego, start_ns = truth.ego, int(truth.ego.t_ns[0])
    place = float(np.clip((t_ns - start_ns) / EGO_STEP_NS, 0.0, len(ego.t_ns) - 1.0))
    before = int(place)
    after, share = min(before + 1, len(ego.t_ns) - 1), place - before

    def between(values: "np.ndarray[tuple[int], np.dtype[np.int32]]") -> float:
        return (float(values[before]) * (1.0 - share) + float(values[after]) * share) * _MILLI

    pose = EgoPose(
        between(ego.x_mm),
        between(ego.y_mm),
        between(ego.yaw_mrad),
        between(ego.speed_mmps),
        Lamp(int(ego.lamps[before])),
    )
    step = (t_ns - start_ns) / AGENT_STEP_NS
    agents = tuple(_agent(track, step) for track in truth.tracks if track.first_step <= step <= track.end_step - 1)
    lights = tuple(LightState(light.node_id, light.edge_id, light.at(t_ns)) for light in truth.lights)
    return SceneState(t_ns, pose, agents, lights, _surroundings(truth.conditions_at(t_ns)), truth.plan.seed, smear)


def _agent(track: Track, step: float) -> Agent:
    place = step - track.first_step
    before = int(place)
    after, share = min(before + 1, len(track.x_mm) - 1), place - before

    def between(values: "np.ndarray[tuple[int], np.dtype[np.int32]]") -> float:
        return (float(values[before]) * (1.0 - share) + float(values[after]) * share) * _MILLI

    # Wheels and legs turn with the way covered so far.
    travelled_mm = int(track.speed_mmps[: before + 1].sum(dtype=np.int64)) * AGENT_STEP_NS / 1e9
    return Agent(
        track.agent_id,
        track.kind,
        between(track.x_mm),
        between(track.y_mm),
        between(track.yaw_mrad),
        track.length_mm * _MILLI,
        track.width_mm * _MILLI,
        track.height_mm * _MILLI,
        track.look,
        "" if track.kind in _WITHOUT_PLATE else plate_text(track.look),
        Lamp(int(track.lamps[before])),
        between(track.speed_mmps),
        travelled_mm * _MILLI,
    )


def _surroundings(conditions: Conditions) -> Surroundings:
    weather = conditions.weather
    return Surroundings(
        weather.condition,
        weather.rain_mm_h,
        float(weather.visibility_m),
        weather.cloud,
        weather.wetness,
        float(np.degrees(conditions.sun_elevation_mrad * _MILLI)),
        float(np.degrees(conditions.sun_azimuth_mrad * _MILLI)) % 360.0,
    )
