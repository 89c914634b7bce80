"""Buildings: walls with rows of windows, shops, cornices, flat and gabled roofs.

The fourth byte of a colour is the `Layer` of the texture; `uv` are shares of the layer.
"""

from typing import Final

import numpy as np

from services.fleet_simulator.camera.meshes.mesh import Mesh, box, merged, quad, triangles_mesh
from services.fleet_simulator.camera.textures import FACADES, LAYER_M, Layer

_FLOOR_M: Final = 3.2
_WIDE_M, _TALL_M = LAYER_M["facade"]
RGB = tuple[float, float, float]


def building(
    width_m: float, depth_m: float, height_m: float, style: int, tint: RGB, *, shop: bool, gabled: bool
) -> Mesh:
    """A building with its front towards -y and its middle at the origin."""
    layer, base = FACADES[style], 4.0 if shop else 0.6
    parts = []
    for turn in range(4):
        wide, deep = (width_m, depth_m) if turn % 2 == 0 else (depth_m, width_m)
        windows = max(1, round(wide / 3.0))
        shift = (style * 3 + turn) % 4 / 4.0
        uv = (shift, (height_m - base) / _TALL_M, shift + windows / 4.0, 0.0)
        wall = _wall(wide, -deep / 2.0, (base, height_m), tint, layer, (uv[0], -uv[1], uv[2], 0.0))
        foot = Layer.SHOPS if shop and turn == 0 else Layer.PLASTER
        reach = wide / 12.0 if foot == Layer.SHOPS else 1.0
        grey = (1.0, 1.0, 1.0) if foot == Layer.SHOPS else (0.42, 0.41, 0.40)
        below = _wall(wide, -deep / 2.0, (0.0, base), grey, foot, (shift, 0.0, shift + reach, 1.0))
        parts.append(merged([wall, below]).turned("z", turn * np.pi / 2.0))
    trim = (0.80 * tint[0], 0.79 * tint[1], 0.77 * tint[2])
    parts.append(box((0.0, 0.0, height_m - 0.12), (width_m + 0.5, depth_m + 0.5, 0.24), trim, Layer.PLASTER))
    if shop:
        parts.append(box((0.0, 0.0, base), (width_m + 0.24, depth_m + 0.24, 0.22), trim, Layer.PLASTER))
    else:
        parts.append(
            quad(
                (0.0, -depth_m / 2.0 - 0.03, 1.25),
                (0.55, 0.0, 0.0),
                (0.0, 0.0, 1.15),
                (0.22, 0.14, 0.10),
                Layer.PLASTER,
            )
        )
    parts += _roof(width_m, depth_m, height_m, gabled=gabled)
    return merged(parts)


def _wall(  # noqa: PLR0917 - a rectangle with its picture
    wide: float, y: float, z: tuple[float, float], tint: RGB, layer: int, uv: tuple[float, float, float, float]
) -> Mesh:
    return quad((0.0, y, sum(z) / 2.0), (wide / 2.0, 0.0, 0.0), (0.0, 0.0, (z[1] - z[0]) / 2.0), tint, layer, uv)


def _roof(width: float, depth: float, height: float, *, gabled: bool) -> list[Mesh]:
    if not gabled:
        tower = box((0.15 * width, 0.1 * depth, height + 0.9), (2.6, 2.6, 1.8), (0.6, 0.6, 0.6), Layer.PLASTER)
        top = quad(
            (0.0, 0.0, height + 0.02),
            (width / 2.0, 0.0, 0.0),
            (0.0, depth / 2.0, 0.0),
            (1.0, 1.0, 1.0),
            Layer.FLAT_ROOF,
        )
        return [top, tower]
    rise, w, d = 0.42 * depth, width / 2.0 + 0.2, depth / 2.0 + 0.45
    slope = np.array([0.0, rise, d])
    slope /= np.linalg.norm(slope)
    tiles = []
    for sign in (-1.0, 1.0):
        points = [(-w, sign * d, height), (w, sign * d, height), (w, 0.0, height + rise), (-w, 0.0, height + rise)]
        faces = [(0, 1, 2), (0, 2, 3)] if sign < 0 else [(0, 2, 1), (0, 3, 2)]
        normal = (0.0, sign * rise, d)
        uv = [(0.0, 1.0), (width / 6.0, 1.0), (width / 6.0, 0.0), (0.0, 0.0)]
        tiles.append(triangles_mesh(points, faces, (1.0, 1.0, 1.0), Layer.TILES, normal=normal, uv=uv))
    for sign in (-1.0, 1.0):
        x = sign * (width / 2.0)
        points = [(x, -depth / 2.0, height), (x, depth / 2.0, height), (x, 0.0, height + rise * 0.97)]
        faces = [(0, 1, 2)] if sign > 0 else [(0, 2, 1)]
        tiles.append(triangles_mesh(points, faces, (0.75, 0.74, 0.72), Layer.PLASTER, normal=(sign, 0.0, 0.0)))
    tiles.append(box((0.2 * width, 0.12 * depth, height + rise), (0.7, 0.7, 1.3), (0.5, 0.3, 0.25), Layer.PLASTER))
    return tiles
