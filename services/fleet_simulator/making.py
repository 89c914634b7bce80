"""One drive from its plan to files: what happens, the recording, the truth beside it.

Here belongs putting together. Where the files go, and what becomes of uploads, is up to who asks.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from services.fleet_simulator.drive_truth import DrivePlan, DriveTruth
from services.fleet_simulator.faults import uploads, without_faults
from services.fleet_simulator.obstacles import obstacles_of
from services.fleet_simulator.picture_truth import PictureTruth
from services.fleet_simulator.pictures import Pictures, make_renderer
from services.fleet_simulator.recording import record
from services.fleet_simulator.repeating import moved
from services.fleet_simulator.sensors.camera import Camera
from services.fleet_simulator.sensors.catalogue import CAMERA
from services.fleet_simulator.sensors.scene import Scene
from services.fleet_simulator.traffic.drive import simulate_drive
from services.fleet_simulator.truth import write_truth
from services.fleet_simulator.world.road_network import RoadNetwork

if TYPE_CHECKING:
    from services.fleet_simulator.camera.renderer import CameraRenderer

SOUND: Final = "sound"
"""Folder, beside a recording with faults, of the one without; for corrected uploads."""
_LIDAR: Final = "lidar"


@dataclass(frozen=True)
class DriveMaker:
    """Makes drives in one world; each comes out the same whatever was made before.

    Attributes:
        network: The world.
        policy: Document `simulation`.
        camera_hz: Pictures per second; that of the policy when None.
    """

    network: RoadNetwork
    policy: Mapping[str, Any]
    camera_hz: float | None = None

    @cached_property
    def _obstacles(self) -> NDArray[np.float64]:
        return obstacles_of(self.network)

    @cached_property
    def _renderer(self) -> "CameraRenderer":
        return make_renderer(self.network, self.policy)

    def make(self, plan: DrivePlan, recordings: Path, truth: Path) -> Path:
        """Make one drive.

        Args:
            plan: What is wanted.
            recordings: Folder of the recording.
            truth: Folder of the truth.

        Returns:
            The recording; the one without faults lies in `SOUND` beside it where a corrected upload is wanted.

        Raises:
            UnknownSensorError: When plan or faults name a sensor that there is not.
            CameraUnavailableError: When a camera is wanted and there is no OpenGL.
        """
        happened = self._happens(plan)
        scene = Scene(happened, self.network, self.policy["sensors"])
        if _LIDAR in plan.sensors:
            scene = replace(scene, obstacles=self._obstacles)
        recordings.mkdir(parents=True, exist_ok=True)
        path = recordings / f"{plan.drive_id}.mcap"
        pictures = self._pictures(happened, truth) if CAMERA in plan.sensors else None
        recorded = record(path, scene, extra=self._cameras(scene, pictures))
        write_truth(truth, happened, recorded)
        if pictures is not None:
            pictures.finish()
        if any(step.is_sound for step in uploads(plan)):
            (recordings / SOUND).mkdir(exist_ok=True)
            sound = replace(scene, truth=replace(happened, plan=without_faults(plan)))
            record(recordings / SOUND / path.name, sound, extra=self._cameras(sound, pictures))
        return path

    def _happens(self, plan: DrivePlan) -> DriveTruth:
        if plan.repeats is None:
            return simulate_drive(plan, self.network, self.policy)
        again = replace(plan, seed=plan.repeats.seed, start_ns=plan.repeats.start_ns, repeats=None)
        truth = simulate_drive(again, self.network, self.policy)
        return moved(replace(truth, plan=plan), plan.start_ns - again.start_ns)

    def _pictures(self, happened: DriveTruth, truth: Path) -> Pictures:
        camera = self.policy["camera"]
        return Pictures(happened, self._renderer, camera, PictureTruth(truth, camera["pixel_truth"]))

    def _cameras(self, scene: Scene, pictures: Pictures | None) -> list[Camera]:
        if pictures is None:
            return []
        draws = pictures if scene.truth.plan == pictures.plan else pictures.without_truth()
        return [Camera(scene, draws, rate_hz=self.camera_hz)]
