"""Trees: a trunk with branches, a dark heart and sprays of leaves around it.

Here belong shapes. Where trees stand is in `layout.py`.
"""

from typing import Final

import numpy as np

from services.fleet_simulator.camera.meshes.mesh import FloatArray, Mesh, ellipsoid, merged, triangles_mesh, tube
from services.fleet_simulator.camera.textures import Layer

VARIANTS: Final = 4
_STREAM: Final = 305
FAR: Final = 2


def tree(variant: int, *, detail: int) -> Mesh:
    """A tree of about 8 m; the fourth byte of its colours is the `Layer` of the texture.

    Args:
        variant: 0 to `VARIANTS` - 1.
        detail: 0 for near, 1 for the middle distance, 2 for what is small in the picture.
    """
    rng = np.random.default_rng([_STREAM, variant])
    height = 7.0 + 1.2 * variant % 3
    middle = np.array([0.0, 0.0, 0.64 * height])
    radii = np.array([0.33 + 0.03 * variant, 0.33 + 0.03 * variant, 0.37]) * height
    fork = 0.36 * height
    lean = rng.normal(0.0, 0.15, 2)
    line = [(0, 0, -0.1), (0, 0, 0.3), (lean[0], lean[1], fork), (lean[0], lean[1], 0.75 * height)]
    thick = (0.24, 0.17, 0.14, 0.05)
    # From afar the trunk is straight and ends in the crown.
    kept = (0, 2) if detail == FAR else (0, 1, 2, 3)
    parts = [
        tube(
            [line[index] for index in kept],
            [thick[index] for index in kept],
            (1, 1, 1),
            Layer.BARK,
            sides=(7, 5, 3)[detail],
        )
    ]
    if detail == 0:
        for angle in rng.uniform(0.0, 2.0 * np.pi, 4):
            tip = middle + 0.6 * radii * np.array([np.cos(angle), np.sin(angle), 0.1])
            parts.append(tube([(lean[0], lean[1], fork), tip.tolist()], (0.08, 0.03), (1, 1, 1), Layer.BARK, sides=5))
    heart = (0.62, 0.66, 0.78)[detail] * radii
    dark = (0.34, 0.38, 0.34) if detail < FAR else (0.52, 0.66, 0.42)
    parts.append(ellipsoid(middle.tolist(), heart.tolist(), dark, Layer.GRASS, rows=6 - detail, sides=8))
    count, size_m = ((96, 1.25), (26, 2.1), (9, 2.6))[detail]
    parts.append(_sprays(rng, middle, radii, count, size_m))
    return merged(parts)


def _sprays(rng: np.random.Generator, middle: FloatArray, radii: FloatArray, count: int, size_m: float) -> Mesh:
    """Cards of leaves on and in the crown, with normals that point away from its middle, darker inside and below."""
    golden = np.pi * (3.0 - np.sqrt(5.0))
    index = np.arange(count)
    z = 1.0 - 2.0 * (index + 0.5) / count
    ring = np.sqrt(1.0 - z**2)
    out = np.stack([ring * np.cos(golden * index), ring * np.sin(golden * index), z], axis=1)
    # Large cards sit deeper, so that none sticks out of the crown.
    reach = rng.uniform(0.62, 1.0, count) * (1.06 - 0.13 * size_m)
    lumps = (
        1.0
        + 0.14 * np.sin(3.0 * out[:, 0] + 1.7) * np.cos(4.0 * out[:, 1])
        + np.clip(rng.normal(0.0, 0.05, count), -0.1, 0.06)
    )
    centres = middle + out * radii * (reach * lumps)[:, None]
    facing = out + rng.normal(0.0, 0.30, (count, 3))
    facing /= np.linalg.norm(facing, axis=1, keepdims=True)
    right = np.cross(facing, rng.normal(0.0, 1.0, (count, 3)))
    right /= np.linalg.norm(right, axis=1, keepdims=True)
    up = np.cross(facing, right)
    half = size_m * rng.uniform(0.75, 1.15, count)[:, None] / 2.0 * radii.mean() / 2.4
    corners = np.stack(
        [
            centres - half * right - half * up,
            centres + half * right - half * up,
            centres + half * right + half * up,
            centres - half * right + half * up,
        ],
        axis=1,
    )
    first = 4 * index[:, None]
    faces = np.concatenate([first + [0, 1, 2], first + [0, 2, 3]])
    shade = np.clip(0.62 + 0.26 * out[:, 2] + 0.30 * (reach - 0.7), 0.40, 1.0) * rng.uniform(0.88, 1.1, count)
    mesh = triangles_mesh(
        corners.reshape(-1, 3),
        faces,
        (1, 1, 1),
        Layer.LEAVES,
        normal=np.repeat(out, 4, axis=0),
        uv=np.tile([(0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0)], (count, 1)),
    )
    mesh.colour[:, :3] = np.clip(np.repeat(shade, 4)[:, None] * 255.0, 0, 255).astype(np.uint8)
    return mesh
