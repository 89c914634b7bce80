"""How many pixels each object's shape would cover alone: the measure of occlusion.

Here belongs the second, small drawing: every object fills a tile of its own with the part of its shape that lies inside
the picture.
"""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from services.fleet_simulator.camera.agent_shaders import SILHOUETTE_FRAGMENT, SILHOUETTE_VERTEX
from services.fleet_simulator.camera.appearance import Wardrobe
from services.fleet_simulator.camera.cast import Cast, instances
from services.fleet_simulator.camera.gpu import MeshPool
from services.fleet_simulator.camera.truth import clipped
from services.fleet_simulator.camera.view import View

TILE_PX: Final = 32
_ACROSS: Final = 16
Box = tuple[float, float, float, float]


class Silhouettes:
    """The second drawing.

    Args:
        context: Graphics library.
        pool: Meshes.
    """

    def __init__(self, context: Any, pool: MeshPool) -> None:
        self._gl, self._pool = context, pool
        self._program = context.program(vertex_shader=SILHOUETTE_VERTEX, fragment_shader=SILHOUETTE_FRAGMENT)
        side = TILE_PX * _ACROSS
        self._target = context.framebuffer([context.renderbuffer((side, side), 1)])

    def pixels(self, view: View, boxes: Mapping[int, Box], cast: Cast) -> dict[int, float]:
        """Pixels that every object's shape inside the picture would cover alone, to a few per cent.

        Args:
            view: The camera.
            boxes: Amodal box by instance; objects beyond the 256th count as their box.
            cast: What was drawn.
        """
        width, height = view.spec.width, view.spec.height
        inside = {number: clipped(box, width, height) for number, box in boxes.items()}
        areas = {number: (box[2] - box[0]) * (box[3] - box[1]) for number, box in inside.items() if box is not None}
        order = sorted(areas)[: _ACROSS * _ACROSS]
        if not order:
            return areas
        self._target.use()
        self._target.viewport = (0, 0, _ACROSS * TILE_PX, _ACROSS * TILE_PX)
        self._target.clear()
        self._gl.enable_only(self._gl.NOTHING)
        matrix = view.matrix().T.astype("f4").tobytes()
        self._program["view_projection"].write(matrix)
        for index, number in enumerate(order):
            self._draw(index, number, inside[number] or (0.0,) * 4, view, cast)
        rows = -(-len(order) // _ACROSS)
        cover = np.empty((rows * TILE_PX, _ACROSS * TILE_PX), dtype=np.uint8)
        self._target.read_into(cover, viewport=(0, 0, _ACROSS * TILE_PX, rows * TILE_PX), components=1, alignment=1)
        tiles = (cover > 0).reshape(rows, TILE_PX, _ACROSS, TILE_PX).mean(axis=(1, 3)).ravel()
        return {**areas, **{number: areas[number] * float(tiles[index]) for index, number in enumerate(order)}}

    def _draw(self, index: int, number: int, box: Box, view: View, cast: Cast) -> None:
        width, height = view.spec.width, view.spec.height
        self._program["tile"].value = (
            2.0 * box[0] / width - 1.0,
            2.0 * box[1] / height - 1.0,
            2.0 * box[2] / width - 1.0,
            2.0 * box[3] / height - 1.0,
        )
        self._target.viewport = (index % _ACROSS * TILE_PX, index // _ACROSS * TILE_PX, TILE_PX, TILE_PX)
        for key, record in cast.parts_of[number]:
            self._pool.draw(self._program, Wardrobe.plain(key), instances([record]))
