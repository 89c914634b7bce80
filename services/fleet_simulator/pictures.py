"""The camera's pictures of a drive, as JPEG.

Here belongs the way from a drive to pictures one after the other. Drawing one is in `camera/`, what is in them is
written by `picture_truth.py`, the messages that carry them are in `sensors/camera.py`. Needs OpenGL; without it every
other sensor still works.
"""

from collections.abc import Mapping
from dataclasses import replace
from math import degrees
from typing import TYPE_CHECKING, Any, Final

from services.fleet_simulator.drive_truth import DrivePlan, DriveTruth
from services.fleet_simulator.picture_truth import PictureTruth
from services.fleet_simulator.shifts import Shift
from services.fleet_simulator.world.road_network import RoadNetwork

if TYPE_CHECKING:
    from services.fleet_simulator.camera.renderer import CameraRenderer
    from services.fleet_simulator.camera.scene import CameraSpec

_MRAD: Final = 1000.0


class Pictures:
    """Draws the pictures of one drive, in the order of time.

    Args:
        truth: The drive; its shift says how dirty the lens is and where the camera looks.
        renderer: Camera in the drive's world; it may have drawn other drives before.
        policy: Key `camera` of the document `simulation`.
        kept: Takes what is in the pictures, if anybody wants it.
    """

    def __init__(
        self,
        truth: DriveTruth,
        renderer: "CameraRenderer",
        policy: Mapping[str, Any],
        kept: PictureTruth | None = None,
    ) -> None:
        from services.fleet_simulator.camera.from_truth import Stage

        self._truth, self._renderer, self._policy, self._kept = truth, renderer, policy, kept
        self._stage, self._camera = Stage(truth), turned(renderer.spec, truth.plan.shift)
        self._last: tuple[int, bytes] = (-1, b"")

    @property
    def plan(self) -> DrivePlan:
        """The plan of the drive."""
        return self._truth.plan

    def without_truth(self) -> "Pictures":
        """The same pictures for a second recording of the drive; their truth is kept by the first."""
        return Pictures(self._truth, self._renderer, self._policy)

    def __call__(self, at_ns: int) -> bytes:
        """The picture at a true time as JPEG."""
        import cv2

        if self._last[0] != at_ns:
            scene = self._stage.at(at_ns, smear=self.plan.shift.smeared_lens)
            frame = self._renderer.render(scene, self._camera)
            if self._kept is not None:
                self._kept.add(at_ns, frame)
            quality = [cv2.IMWRITE_JPEG_QUALITY, int(self._policy["jpeg_quality"])]
            ok, content = cv2.imencode(".jpg", frame.bgr, quality)
            if not ok:
                raise RuntimeError(f"picture at {at_ns}: cannot be written as JPEG. Check the installation of OpenCV")
            self._last = at_ns, content.tobytes()
        return self._last[1]

    def finish(self) -> None:
        """After the last picture."""
        if self._kept is not None:
            self._kept.finish()


def turned(usual: "CameraSpec", shift: Shift) -> "CameraSpec":
    """The camera as it is mounted in a drive: it may look elsewhere than its calibration says."""
    yaw_deg, pitch_deg = (degrees(mrad / _MRAD) for mrad in (shift.camera_yaw_mrad, shift.camera_pitch_mrad))
    return replace(usual, yaw_deg=usual.yaw_deg + yaw_deg, pitch_deg=usual.pitch_deg + pitch_deg)


def make_renderer(network: RoadNetwork, policy: Mapping[str, Any]) -> "CameraRenderer":
    """The front camera in a world.

    Raises:
        CameraUnavailableError: Without OpenGL; the message names what to install.
    """
    from services.fleet_simulator.camera.renderer import CameraRenderer
    from services.fleet_simulator.camera.scene import CameraSpec

    return CameraRenderer(network, policy, CameraSpec())
