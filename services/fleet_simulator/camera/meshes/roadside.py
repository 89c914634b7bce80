"""Things at the roadside: traffic lights, signs, cones, lanterns, barriers.

Here belong their shapes. Where they stand is in `layout.py`.
"""

from typing import Final

import numpy as np

from services.fleet_simulator.camera.meshes.mesh import (
    Material,
    Mesh,
    box,
    ellipsoid,
    lathe,
    merged,
    quad,
    triangles_mesh,
    tube,
)

_STEEL: Final = (0.42, 0.44, 0.45)
_DARK: Final = (0.03, 0.035, 0.03)
LENS_M: Final = 0.2
SIGN_SLOTS: Final = {
    "limit_20": 0,
    "limit_30": 1,
    "limit_50": 2,
    "limit_60": 3,
    "limit_120": 4,
    "stop": 5,
    "crossing": 6,
    "works": 7,
    "arrow": 8,
    "priority": 9,
    "barrier": 10,
    "direction": 11,
}
"""Place of each picture in the atlas of signs, 4 x 4."""


def slot_uv(slot: int) -> tuple[float, float, float, float]:
    """Left, top, right, bottom of a picture in the atlas."""
    left, top = slot % 4 / 4.0, slot // 4 / 4.0
    inset = 0.004
    return left + inset, top + inset, left + 0.25 - inset, top + 0.25 - inset


def light_head(*, near: bool = True) -> Mesh:
    """A head with three lenses that faces -x (towards traffic that drives along +x), its middle at the origin."""
    parts = [box((0.0, 0.0, 0.0), (0.22, 0.34, 0.98), _DARK, Material.PLAIN)]
    parts.append(quad((0.02, 0.0, 0.0), (0.0, -0.28, 0.0), (0.0, 0.0, 0.62), _DARK))
    parts.append(quad((0.024, 0.0, 0.0), (0.0, -0.31, 0.0), (0.0, 0.0, 0.65), (0.80, 0.80, 0.78)))
    kinds = (
        (0.31, Material.SIGNAL_RED, (0.35, 0.02, 0.02)),
        (0.0, Material.SIGNAL_YELLOW, (0.35, 0.25, 0.02)),
        (-0.31, Material.SIGNAL_GREEN, (0.02, 0.25, 0.12)),
    )
    for z, kind, colour in kinds:
        size = (0.035, LENS_M / 2.0 + 0.015, LENS_M / 2.0 + 0.015)
        rows, sides = (7, 12) if near else (4, 6)
        parts.append(ellipsoid((-0.105, 0.0, z), size, colour, kind, rows=rows, sides=sides))
        if near:
            parts.append(_visor(z))
    return merged(parts)


def _visor(z: float) -> Mesh:
    angle = np.linspace(0.0, np.pi, 7)
    rows = [np.stack([np.full(7, x), np.cos(angle) * 0.13, z + np.sin(angle) * 0.13], axis=1) for x in (-0.10, -0.28)]
    points = np.stack(rows)
    index = np.arange(14).reshape(2, 7)
    quads = np.stack([index[0, :-1], index[1, :-1], index[1, 1:], index[0, 1:]], axis=-1)
    faces = np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])
    both = np.concatenate([faces, faces[:, ::-1]])
    return triangles_mesh(points.reshape(-1, 3), both, _DARK, normal=(0.0, 0.0, 1.0))


def pole(
    height_m: float, radius_m: float = 0.05, colour: tuple[float, float, float] = _STEEL, *, sides: int = 7
) -> Mesh:
    """A pole on the ground at the origin."""
    return tube([(0.0, 0.0, 0.0), (0.0, 0.0, height_m)], (radius_m * 1.15, radius_m * 0.85), colour, sides=sides)


def mast_arm(reach_m: float, height_m: float = 5.4) -> Mesh:
    """A mast at the origin with an arm towards +y."""
    arm = tube(
        [(0.0, 0.0, height_m - 0.3), (0.0, 0.4, height_m), (0.0, reach_m, height_m + 0.25)],
        (0.08, 0.07, 0.045),
        _STEEL,
        sides=6,
    )
    return merged([pole(height_m, 0.10), arm])


def lantern(height_m: float = 8.0, reach_m: float = 1.8, *, near: bool = True) -> tuple[Mesh, Mesh]:
    """A street lamp whose arm reaches towards +y: mast and luminous part."""
    arm = tube(
        [(0.0, 0.0, height_m - 0.6), (0.0, 0.5 * reach_m, height_m - 0.05), (0.0, reach_m, height_m)],
        (0.05, 0.04, 0.04),
        _STEEL,
        sides=6 if near else 3,
    )
    case = box((0.0, reach_m + 0.25, height_m + 0.02), (0.26, 0.75, 0.10), (0.35, 0.36, 0.37))
    bulb = box((0.0, reach_m + 0.27, height_m - 0.04), (0.20, 0.55, 0.03), (1.0, 0.92, 0.75), Material.GLOW)
    return merged([pole(height_m - 0.6, 0.07, sides=7 if near else 3), arm, case]), bulb


def sign(name: str) -> Mesh:
    """A sign without its pole that faces -x, its middle at the origin."""
    half = {"direction": (0.9, 0.45), "barrier": (0.75, 0.22), "works": (0.5, 0.5), "stop": (0.42, 0.42)}.get(
        name, (0.36, 0.36)
    )
    uv = slot_uv(SIGN_SLOTS[name])
    face = quad((-0.012, 0.0, 0.0), (0.0, -half[0], 0.0), (0.0, 0.0, half[1]), (1.0, 1.0, 1.0), Material.PRINT, uv)
    left, top, right, bottom = uv
    back = quad(
        (0.012, 0.0, 0.0),
        (0.0, half[0], 0.0),
        (0.0, 0.0, half[1]),
        (0.25, 0.25, 0.25),
        Material.PRINT,
        (right, top, left, bottom),
    )
    return merged([face, back])


def cone() -> Mesh:
    """A traffic cone of 0.75 m with two white bands."""
    orange, white = (0.95, 0.25, 0.04), (0.95, 0.95, 0.93)
    bands = ((0.04, 0.28, orange), (0.28, 0.42, white), (0.42, 0.52, orange), (0.52, 0.62, white), (0.62, 0.75, orange))
    parts = [box((0.0, 0.0, 0.02), (0.40, 0.40, 0.04), (0.08, 0.08, 0.08))]

    def radius(z: float) -> float:
        return 0.155 - 0.125 * z / 0.75

    for low, high, colour in bands:
        parts.append(lathe([(radius(low), low), (radius(high), high)], colour, sides=10).turned("x", np.pi / 2.0))
    return merged(parts)


def guard_rail(length_m: float) -> Mesh:
    """A steel rail along +x from the origin, seen from both sides."""
    parts = [box((length_m / 2.0, 0.0, 0.60), (length_m, 0.10, 0.30), (0.55, 0.57, 0.58))]
    parts += [box((x, 0.0, 0.25), (0.08, 0.06, 0.5), _STEEL) for x in np.arange(1.0, length_m, 4.0)]
    return merged(parts)
