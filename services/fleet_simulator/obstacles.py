"""Buildings of a world as boxes, for sensors that do not see pictures.

They are those that the camera draws; nothing here needs OpenGL.
"""

import numpy as np
from numpy.typing import NDArray

from services.fleet_simulator.world.road_network import RoadNetwork


def obstacles_of(network: RoadNetwork) -> NDArray[np.float64]:
    """Boxes that never move, see `sensors.scene.Scene.obstacles`, float64[m, 6]."""
    from services.fleet_simulator.camera.layout import lay_out

    rows = [
        (block.x_m, block.y_m, block.yaw_rad, block.width_m, block.depth_m, block.height_m)
        for block in lay_out(network).buildings
    ]
    return np.array(rows, dtype=np.float64).reshape(-1, 6)
