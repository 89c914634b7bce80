"""Wheels: tyre, rim and spokes, as one body of revolution with a few boxes."""

import numpy as np

from services.fleet_simulator.camera.meshes.mesh import Material, Mesh, lathe, merged, triangles_mesh

_RUBBER = (0.035, 0.035, 0.037)
_RIM = (0.62, 0.63, 0.65)
_DISC = (0.40, 0.41, 0.42)


def wheel(radius_m: float, width_m: float, *, rim_share: float = 0.68, spokes: int = 5, sides: int = 20) -> Mesh:
    """A wheel about the y axis through the origin; its outer face is towards +y."""
    r, half, rim = radius_m, width_m / 2.0, radius_m * rim_share
    tyre = lathe(
        [
            (rim * 0.9, -half),
            (r * 0.93, -half),
            (r, -half * 0.7),
            (r, half * 0.7),
            (r * 0.93, half),
            (rim, half * 0.96),
        ],
        _RUBBER,
        Material.BLACK,
        sides=sides,
    )
    lip = lathe(
        [(rim, half * 0.96), (rim * 0.93, half * 0.9), (rim * 0.9, half * 0.45)], _RIM, Material.CHROME, sides=sides
    )
    dish = lathe([(rim * 0.9, half * 0.45), (0.001, half * 0.40)], (0.06, 0.06, 0.065), Material.BLACK, sides=sides)
    parts = [tyre, lip, dish]
    y = half * 0.78
    for index in range(spokes):
        angle = 2.0 * np.pi * index / spokes
        along, across = np.array([np.cos(angle), np.sin(angle)]), np.array([-np.sin(angle), np.cos(angle)])
        inner, outer = along * rim * 0.08, along * rim * 0.93
        corners = [
            inner - across * rim * 0.13,
            outer - across * rim * 0.09,
            outer + across * rim * 0.09,
            inner + across * rim * 0.13,
        ]
        points = [(corner[0], y, corner[1]) for corner in corners]
        parts.append(triangles_mesh(points, [(0, 2, 1), (0, 3, 2)], _RIM, Material.CHROME, normal=(0.0, 1.0, 0.0)))
    hub = lathe(
        [(rim * 0.2, half * 0.6), (rim * 0.17, half * 0.86), (0.001, half * 0.9)], _RIM, Material.CHROME, sides=8
    )
    return merged([*parts, hub])


def plain_wheel(radius_m: float, width_m: float, *, rim_share: float = 0.68, sides: int = 10) -> Mesh:
    """The same for what is far away: tyre and a bright disc."""
    r, half, rim = radius_m, width_m / 2.0, radius_m * rim_share
    tyre = lathe([(r * 0.97, -half), (r, half * 0.7), (rim, half)], _RUBBER, Material.BLACK, sides=sides)
    return merged([tyre, lathe([(rim, half), (0.001, half * 0.7)], _DISC, Material.CHROME, sides=sides)])
