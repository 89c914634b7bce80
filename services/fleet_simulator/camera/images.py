"""Pictures on the graphics card: surfaces, sky, what shiny things mirror, light on the ground, plates, faces, signs.

Here belong their places and their filters. What is in them is painted in `textures.py`, `plates.py`, `faces.py`,
`illumination.py` and `shade.py`.
"""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from services.fleet_simulator.camera import textures
from services.fleet_simulator.camera.faces import face_atlas
from services.fleet_simulator.camera.illumination import ENV_PX, SKY_PX
from services.fleet_simulator.camera.plates import SLOT_PX, PlateSlots, plate_atlas_shape, plate_picture, slot_origin
from services.fleet_simulator.camera.scene import Agent
from services.fleet_simulator.camera.shade import MAP_PX

UNITS: Final = {"light_map": 0, "layers": 1, "environment": 2, "prints": 3, "panorama": 4}
"""Texture unit by the name that it has in the shading programs."""
_PLATE_M: Final = 22.0
"""Beyond it a plate is a bright spot without letters."""
_LEVELS: Final = 2
"""Smaller versions of the prints. In a third one plates would run into their neighbours, and a picture would depend on
those that were drawn before."""
_BLANK: Final = 190
"""A plate from afar: white with the share of its letters."""


class Images:
    """All of them, in one context.

    Args:
        context: Graphics library.
    """

    def __init__(self, context: Any) -> None:
        self._gl, self._slots = context, PlateSlots()
        layers = textures.surface_layers()
        array = context.texture_array((layers.shape[2], layers.shape[1], len(layers)), 4, layers.tobytes())
        array.build_mipmaps()
        # Anisotropy would cost ten times the rest of the picture; lane markings are smoothed by their own shader.
        array.filter = (context.LINEAR_MIPMAP_NEAREST, context.LINEAR)
        self._textures = {
            "layers": array,
            "light_map": self._picture((MAP_PX, MAP_PX), 2, "f1"),
            "panorama": self._picture(SKY_PX, 3, "f4"),
            "environment": self._picture(ENV_PX, 3, "f4"),
            "prints": self._prints(),
        }
        self._textures["light_map"].repeat_x = self._textures["light_map"].repeat_y = False
        self._textures["panorama"].repeat_y = self._textures["environment"].repeat_y = False

    def _prints(self) -> Any:
        blank = np.full((*plate_atlas_shape(), 4), _BLANK, dtype=np.uint8)
        prints = np.stack([blank, face_atlas(), textures.sign_atlas()])
        array = self._gl.texture_array((prints.shape[2], prints.shape[1], len(prints)), 4, prints.tobytes())
        array.build_mipmaps(0, _LEVELS)
        array.filter = (self._gl.LINEAR_MIPMAP_LINEAR, self._gl.LINEAR)
        return array

    def _picture(self, size: tuple[int, int], components: int, kind: str) -> Any:
        texture = self._gl.texture(size, components, dtype=kind, alignment=1)
        texture.filter = (self._gl.LINEAR, self._gl.LINEAR)
        return texture

    def write(self, name: str, pixels: NDArray[Any]) -> None:
        """Replace a picture by one of the same size."""
        self._textures[name].write(pixels.tobytes())

    def use(self) -> None:
        """Put every picture at its unit."""
        for name, unit in UNITS.items():
            self._textures[name].use(unit)

    def plates(self, eye: NDArray[np.float64], agents: Sequence[Agent]) -> dict[str, int]:
        """Slot of every plate near the camera by its text, 0 being blank; those that are new are painted."""
        slots, fresh = {}, False
        for agent in sorted(agents, key=lambda one: one.agent_id):
            if not agent.plate or np.hypot(agent.x_m - eye[0], agent.y_m - eye[1]) > _PLATE_M:
                continue
            slot, new = self._slots.place(agent.plate)
            slots[agent.plate] = slot
            if new:
                left, top = slot_origin(slot)
                self._textures["prints"].write(
                    plate_picture(agent.plate).tobytes(), viewport=(left, top, 0, *SLOT_PX, 1), alignment=1
                )
                fresh = True
        if fresh:
            self._textures["prints"].build_mipmaps(0, _LEVELS)
        return slots
