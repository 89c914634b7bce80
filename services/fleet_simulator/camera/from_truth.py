"""From what really happened in a drive to what the camera sees at an instant.

Here belongs interpolation between the states of a `DriveTruth`. The records of a scene are in `scene.py`.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from services.fleet_simulator.camera.plates import plate_text
from services.fleet_simulator.camera.scene import Agent, EgoPose, LightState, SceneState, Surroundings, Trailer
from services.fleet_simulator.drive_truth import AGENT_STEP_NS, EGO_STEP_NS, Conditions, DriveTruth, Lamp, Track

_MILLI: Final = 1e-3
_WITHOUT_PLATE: Final = frozenset({"pedestrian", "cyclist", "bicycle"})


class Stage:
    """The scenes of one drive.

    Args:
        truth: The drive.
    """

    def __init__(self, truth: DriveTruth) -> None:
        self._truth = truth
        self._start_ns = int(truth.ego.t_ns[0])
        self._first = np.array([track.first_step for track in truth.tracks], dtype=np.int64)
        self._last = np.array([track.end_step - 1 for track in truth.tracks], dtype=np.int64)
        self._travelled: dict[int, NDArray[np.int64]] = {}

    def at(self, t_ns: int, *, smear: float = 0.0) -> SceneState:
        """The scene at a time; between states, positions are interpolated.

        Args:
            t_ns: True time; before the first or after the last state, that state holds.
            smear: Dirt on the lens, 0 to 1.
        """
        truth, ego = self._truth, self._truth.ego
        place = float(np.clip((t_ns - self._start_ns) / EGO_STEP_NS, 0.0, len(ego.t_ns) - 1.0))
        before = int(place)
        after, share = min(before + 1, len(ego.t_ns) - 1), place - before

        def between(values: NDArray[np.int32]) -> float:
            return (float(values[before]) * (1.0 - share) + float(values[after]) * share) * _MILLI

        pose = EgoPose(
            between(ego.x_mm),
            between(ego.y_mm),
            between(ego.yaw_mrad),
            between(ego.speed_mmps),
            Lamp(int(ego.lamps[before])),
        )
        step = (t_ns - self._start_ns) / AGENT_STEP_NS
        present = np.flatnonzero((self._first <= step) & (step <= self._last)).tolist()
        agents = tuple(self._agent(index, step) for index in present)
        lights = tuple(LightState(light.node_id, light.edge_id, light.at(t_ns)) for light in truth.lights)
        return SceneState(t_ns, pose, agents, lights, _surroundings(truth.conditions_at(t_ns)), truth.plan.seed, smear)

    def _agent(self, index: int, step: float) -> Agent:
        track = self._truth.tracks[index]
        place = step - track.first_step
        before = int(place)
        after, share = min(before + 1, len(track.x_mm) - 1), place - before

        def between(values: NDArray[np.int32] | None) -> float:
            if values is None:
                return 0.0
            return (float(values[before]) * (1.0 - share) + float(values[after]) * share) * _MILLI

        trailer = None
        if track.trailer_yaw_mrad is not None:
            trailer = Trailer(between(track.trailer_yaw_mrad), track.hitch_mm * _MILLI, track.trailer_mm * _MILLI)
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
            self._travelled_m(index, track, before),
            between(track.z_mm),
            trailer,
        )

    def _travelled_m(self, index: int, track: Track, before: int) -> float:
        """Way covered so far, with which wheels and legs turn."""
        found = self._travelled.get(index)
        if found is None:
            found = self._travelled[index] = np.cumsum(track.speed_mmps, dtype=np.int64)
        return float(found[before]) * AGENT_STEP_NS * 1e-12


def scene_at(truth: DriveTruth, t_ns: int, *, smear: float = 0.0) -> SceneState:
    """One scene of a drive, see `Stage.at`."""
    return Stage(truth).at(t_ns, smear=smear)


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
