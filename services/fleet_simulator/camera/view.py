"""Where the camera is and how the world projects into its picture.

Here belong poses and matrices. Pixels are counted from the upper left corner of the picture, pixel edges are whole
numbers; depth is the distance along the optical axis.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from services.fleet_simulator.camera.meshes.mesh import rotation
from services.fleet_simulator.camera.scene import CameraSpec, EgoPose

FloatArray = NDArray[np.float64]
NEAR_M: Final = 0.3
FAR_M: Final = 1500.0


@dataclass(frozen=True)
class View:
    """A camera in the world.

    Attributes:
        spec: The camera.
        eye: float64[3], place in the world.
        axes: float64[3, 3], rows right, up, forward in the world.
        yaw_rad: Direction of view.
        vehicle_yaw_rad: Direction of the vehicle.
    """

    spec: CameraSpec
    eye: FloatArray
    axes: FloatArray
    yaw_rad: float
    vehicle_yaw_rad: float

    def matrix(self) -> FloatArray:
        """From places relative to the eye to clip coordinates, y downwards so that the first row read is the top."""
        spec = self.spec
        scale = np.array([2.0 * spec.focal_px / spec.width, -2.0 * spec.focal_px / spec.height])
        depth = (FAR_M + NEAR_M) / (FAR_M - NEAR_M)
        matrix = np.zeros((4, 4))
        matrix[0, :3] = scale[0] * self.axes[0]
        matrix[1, :3] = scale[1] * self.axes[1]
        matrix[2, :3] = depth * self.axes[2]
        matrix[2, 3] = -2.0 * FAR_M * NEAR_M / (FAR_M - NEAR_M)
        matrix[3, :3] = self.axes[2]
        return matrix

    def rays(self) -> FloatArray:
        """Matrix from (clip x, clip y, 1) to a direction in the world."""
        spec = self.spec
        across = self.axes[0] * spec.width / (2.0 * spec.focal_px)
        down = -self.axes[1] * spec.height / (2.0 * spec.focal_px)
        return np.stack([across, down, self.axes[2]], axis=1)

    def sky_rows(self) -> int:
        """Rows from the top that may show sky: those above the horizon, which the terrain reaches to within a pixel."""
        spec = self.spec
        right, up, forward = self.axes[:, 2]
        across = np.array([-1.0, 1.0]) * spec.width / 2.0 / spec.focal_px * right
        # Rows in which rays of the left and the right column are level.
        level = spec.height / 2.0 + spec.focal_px * float(((across + forward) / up).max())
        return int(np.clip(np.ceil(level) + 3.0, 1.0, spec.height))

    def project(self, world: FloatArray) -> FloatArray:
        """Columns, rows and depths of points float64[n, 3]; without meaning where the depth is not positive."""
        local = (world - self.eye) @ self.axes.T
        depth = local[:, 2]
        safe = np.where(depth > 1e-6, depth, 1e-6)  # noqa: PLR2004
        focal = self.spec.focal_px
        return np.stack(
            [
                self.spec.width / 2.0 + focal * local[:, 0] / safe,
                self.spec.height / 2.0 - focal * local[:, 1] / safe,
                depth,
            ],
            axis=1,
        )


def view_of(spec: CameraSpec, ego: EgoPose) -> View:
    """The camera of a vehicle."""
    body = rotation("z", ego.yaw_rad)
    eye = np.array([ego.x_m, ego.y_m, 0.0]) + body @ np.asarray(spec.mount_m)
    turn = (
        body
        @ rotation("z", np.radians(spec.yaw_deg))
        @ rotation("y", np.radians(spec.pitch_deg))
        @ rotation("x", np.radians(spec.roll_deg))
    )
    forward, left, up = turn[:, 0], turn[:, 1], turn[:, 2]
    return View(spec, eye, np.stack([-left, up, forward]), ego.yaw_rad + float(np.radians(spec.yaw_deg)), ego.yaw_rad)
