"""Triangle meshes and the solids that shapes are put together from.

Here belong vertices, surfaces over grids, boxes, tubes and ellipsoids. What a car or a person consists of is in the
modules beside this one; how meshes reach the graphics library is in `renderer.py`.

Frame of a mesh: ISO 8855 (x forward, y left, z up), metres, origin on the ground.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.float64]
RGB = tuple[float, float, float]
_WHITE: Final[RGB] = (1.0, 1.0, 1.0)


class Material(IntEnum):
    """How a surface answers to light; the value is the vertex's fourth colour byte."""

    PLAIN = 0
    PAINT = 1
    """Coat in the agent's first colour, glossy."""
    SECOND = 2
    """Cloth in the agent's second colour."""
    CLOTH = 3
    """Cloth in the agent's first colour."""
    SKIN = 4
    HAIR = 5
    GLASS = 6
    CHROME = 7
    BLACK = 8
    """Rubber and dull plastic."""
    HEAD_LAMP = 9
    TAIL_LAMP = 10
    BRAKE_LAMP = 11
    LEFT_LAMP = 12
    RIGHT_LAMP = 13
    REVERSE_LAMP = 14
    PLATE = 15
    FACE = 16
    PRINT = 17
    """Picture from the atlas of signs."""
    SIGNAL_RED = 18
    SIGNAL_YELLOW = 19
    SIGNAL_GREEN = 20
    GLOW = 21
    """Shines by its own light after dark: lanterns, a bus's inside."""


@dataclass(frozen=True)
class Mesh:
    """Triangles with shared vertices.

    Attributes:
        position: float32[n, 3].
        normal: float32[n, 3], unit length, outwards.
        uv: float32[n, 2], place in the texture of the material.
        colour: uint8[n, 4], red, green, blue (sRGB) and `Material`.
        triangles: uint32[m, 3], counter-clockwise seen from outside.
    """

    position: NDArray[np.float32]
    normal: NDArray[np.float32]
    uv: NDArray[np.float32]
    colour: NDArray[np.uint8]
    triangles: NDArray[np.uint32]

    def moved(self, dx: float = 0.0, dy: float = 0.0, dz: float = 0.0) -> "Mesh":
        """The same mesh elsewhere."""
        offset = np.array([dx, dy, dz], dtype=np.float32)
        return Mesh(self.position + offset, self.normal, self.uv, self.colour, self.triangles)

    def turned(self, axis: str, angle_rad: float) -> "Mesh":
        """The same mesh turned about an axis through the origin (right-hand rule)."""
        matrix = rotation(axis, angle_rad).astype(np.float32).T
        return Mesh(self.position @ matrix, self.normal @ matrix, self.uv, self.colour, self.triangles)

    def scaled(self, sx: float, sy: float, sz: float) -> "Mesh":
        """The same mesh stretched about the origin; factors are positive."""
        factors = np.array([sx, sy, sz], dtype=np.float32)
        normal = self.normal / factors
        normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-9)
        return Mesh(self.position * factors, normal, self.uv, self.colour, self.triangles)

    def mirrored(self) -> "Mesh":
        """The same mesh with left and right exchanged, lamps of the sides included."""
        flip = np.array([1.0, -1.0, 1.0], dtype=np.float32)
        colour = self.colour.copy()
        left, right = colour[:, 3] == Material.LEFT_LAMP, colour[:, 3] == Material.RIGHT_LAMP
        colour[left, 3], colour[right, 3] = Material.RIGHT_LAMP, Material.LEFT_LAMP
        return Mesh(self.position * flip, self.normal * flip, self.uv, colour, self.triangles[:, ::-1])


def rotation(axis: str, angle_rad: float) -> FloatArray:
    """Matrix float64[3, 3] that turns column vectors about ``x``, ``y`` or ``z``."""
    cosine, sine = np.cos(angle_rad), np.sin(angle_rad)
    first, second = {"x": (1, 2), "y": (2, 0), "z": (0, 1)}[axis]
    matrix = np.eye(3)
    matrix[first, first] = matrix[second, second] = cosine
    matrix[first, second], matrix[second, first] = -sine, sine
    return matrix


def merged(meshes: Iterable[Mesh]) -> Mesh:
    """One mesh out of several."""
    parts = list(meshes)
    starts = np.cumsum([0, *(len(part.position) for part in parts[:-1])])
    return Mesh(
        np.concatenate([part.position for part in parts]),
        np.concatenate([part.normal for part in parts]),
        np.concatenate([part.uv for part in parts]),
        np.concatenate([part.colour for part in parts]),
        np.concatenate([part.triangles + np.uint32(start) for part, start in zip(parts, starts, strict=True)]),
    )


def both_sides(mesh: Mesh) -> Mesh:
    """A mesh and its mirror image."""
    return merged((mesh, mesh.mirrored()))


def _colours(count: int, colour: ArrayLike, material: int) -> NDArray[np.uint8]:
    values = np.empty((count, 4), dtype=np.uint8)
    values[:, :3] = np.rint(np.clip(np.asarray(colour, dtype=np.float64), 0.0, 1.0) * 255.0)
    values[:, 3] = material
    return values


def triangles_mesh(
    position: ArrayLike,
    triangles: ArrayLike,
    colour: ArrayLike = _WHITE,
    material: int = Material.PLAIN,
    *,
    normal: ArrayLike | None = None,
    uv: ArrayLike | None = None,
) -> Mesh:
    """A mesh from vertices and triangles; without normals, the mean of the faces around each vertex."""
    points = np.asarray(position, dtype=np.float64)
    faces = np.asarray(triangles, dtype=np.uint32).reshape(-1, 3)
    if normal is None:
        corner = points[faces]
        cross = np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0])
        normals = np.zeros_like(points)
        for column in range(3):
            np.add.at(normals, faces[:, column], cross)
    else:
        normals = np.broadcast_to(np.asarray(normal, dtype=np.float64), points.shape)
    normals = normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
    coordinates = np.zeros((len(points), 2)) if uv is None else np.asarray(uv, dtype=np.float64)
    return Mesh(
        points.astype(np.float32),
        normals.astype(np.float32),
        coordinates.astype(np.float32),
        _colours(len(points), colour, material),
        faces,
    )


def grid_mesh(
    points: FloatArray,
    colour: ArrayLike = _WHITE,
    material: int | NDArray[np.uint8] = Material.PLAIN,
    *,
    closed: bool = False,
    uv: FloatArray | None = None,
) -> Mesh:
    """A smooth surface over a grid of points.

    Args:
        points: float64[n, m, 3]; outside is where rows cross columns (right-hand rule).
        colour: One colour, or float64[n-1, m-1, 3] by cell.
        material: One material, or uint8[n-1, m-1] by cell; borders are sharp in colour, smooth in shape.
        closed: Whether the last column meets the first, so that the surface is smooth there.
        uv: float64[n, m, 2].
    """
    rows, columns = points.shape[:2]
    index = np.arange(rows * columns, dtype=np.uint32).reshape(rows, columns)
    corners = np.stack([index[:-1, :-1], index[1:, :-1], index[1:, 1:], index[:-1, 1:]], axis=-1)
    flat = points.reshape(-1, 3)
    normals = _grid_normals(points, corners, closed).reshape(-1, 3)
    coordinates = np.zeros((rows * columns, 2)) if uv is None else uv.reshape(-1, 2)
    kinds = np.broadcast_to(np.asarray(material, dtype=np.uint8), corners.shape[:2])
    parts = []
    for kind in np.unique(kinds):
        quads = corners[kinds == kind]
        faces = np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])
        used, renumbered = np.unique(faces, return_inverse=True)
        parts.append(
            triangles_mesh(
                flat[used], renumbered.reshape(-1, 3), colour, int(kind), normal=normals[used], uv=coordinates[used]
            )
        )
    return merged(parts)


def _grid_normals(points: FloatArray, corners: NDArray[np.uint32], closed: bool) -> FloatArray:
    flat = points.reshape(-1, 3)
    quad = flat[corners]
    cross = np.cross(quad[..., 2, :] - quad[..., 0, :], quad[..., 3, :] - quad[..., 1, :])
    normals = np.zeros_like(points)
    for row, column in ((slice(None, -1), slice(None, -1)), (slice(1, None), slice(None, -1))):
        normals[row, column] += cross
    for row, column in ((slice(1, None), slice(1, None)), (slice(None, -1), slice(1, None))):
        normals[row, column] += cross
    if closed:
        seam = normals[:, 0] + normals[:, -1]
        normals[:, 0] = normals[:, -1] = seam
    unit: FloatArray = normals / np.maximum(np.linalg.norm(normals, axis=-1, keepdims=True), 1e-12)
    return unit


def _unit_box() -> tuple[FloatArray, FloatArray, FloatArray, NDArray[np.uint32]]:
    positions: list[FloatArray] = []
    normals: list[FloatArray] = []
    coordinates: list[tuple[int, int]] = []
    faces: list[tuple[int, int, int]] = []
    for axis in range(3):
        for sign in (-1.0, 1.0):
            normal = np.zeros(3)
            normal[axis] = sign
            # Sides keep z as their second direction, so that pictures on them stand upright.
            up = np.array([0.0, 0.0, 1.0]) if axis != 2 else np.array([1.0, 0.0, 0.0])  # noqa: PLR2004
            right = np.cross(up, normal)
            start = len(positions)
            for u, v in ((0, 0), (1, 0), (1, 1), (0, 1)):
                positions.append(normal + (2 * u - 1) * right + (2 * v - 1) * up)
                normals.append(normal)
                coordinates.append((u, 1 - v))
            faces += [(start, start + 1, start + 2), (start, start + 2, start + 3)]
    return np.array(positions), np.array(normals), np.array(coordinates, dtype=float), np.array(faces, dtype=np.uint32)


_BOX: Final = _unit_box()


def box(
    centre: Sequence[float], size: Sequence[float], colour: ArrayLike = _WHITE, material: int = Material.PLAIN
) -> Mesh:
    """A box with sharp edges; `uv` of each side runs from (0, 0) to (1, 1)."""
    position = np.asarray(centre, dtype=np.float64) + _BOX[0] * (np.asarray(size, dtype=np.float64) / 2.0)
    return triangles_mesh(position, _BOX[3], colour, material, normal=_BOX[1], uv=_BOX[2])


def quad(  # noqa: PLR0917 - a rectangle with its picture
    centre: Sequence[float],
    right: Sequence[float],
    up: Sequence[float],
    colour: ArrayLike = _WHITE,
    material: int = Material.PLAIN,
    uv: Sequence[float] = (0.0, 0.0, 1.0, 1.0),
) -> Mesh:
    """A flat picture: `right` and `up` are half its sides, seen from the front; `uv` is left, top, right, bottom."""
    middle, along, above = (np.asarray(value, dtype=np.float64) for value in (centre, right, up))
    corners = [middle - along - above, middle + along - above, middle + along + above, middle - along + above]
    left, top, end, bottom = uv
    coordinates = [(left, bottom), (end, bottom), (end, top), (left, top)]
    return triangles_mesh(
        corners, [(0, 1, 2), (0, 2, 3)], colour, material, normal=np.cross(along, above), uv=coordinates
    )


def tube(
    path: ArrayLike,
    radii: ArrayLike,
    colour: ArrayLike = _WHITE,
    material: int = Material.PLAIN,
    *,
    sides: int = 8,
    flat: float = 1.0,
) -> Mesh:
    """A round body along a path, with rounded ends closed by points.

    Args:
        path: float64[n, 3].
        radii: float64[n].
        colour: Colour.
        material: Material.
        sides: Corners of the cross-section.
        flat: Width of the cross-section along y against its other direction.
    """
    line, radius = np.asarray(path, dtype=np.float64), np.asarray(radii, dtype=np.float64)
    tangent = np.gradient(line, axis=0)
    tangent /= np.maximum(np.linalg.norm(tangent, axis=1, keepdims=True), 1e-12)
    side = np.where(np.abs(tangent[:, 1:2]) < 0.9, np.array([[0.0, 1.0, 0.0]]), np.array([[1.0, 0.0, 0.0]]))  # noqa: PLR2004
    side = side - tangent * np.sum(side * tangent, axis=1, keepdims=True)
    side /= np.linalg.norm(side, axis=1, keepdims=True)
    other = np.cross(tangent, side)
    angle = np.linspace(0.0, 2.0 * np.pi, sides + 1)
    ring = np.cos(angle)[None, :, None] * side[:, None] * flat + np.sin(angle)[None, :, None] * other[:, None]
    rings = line[:, None] + radius[:, None, None] * ring
    caps = [np.repeat(line[end][None, None], sides + 1, axis=1) for end in (0, -1)]
    # Rows run along the tangent and columns around it; their product points inwards, so the columns are reversed.
    return grid_mesh(np.concatenate([caps[0], rings, caps[1]])[:, ::-1], colour, material, closed=True)


def ellipsoid(
    centre: Sequence[float],
    radii: Sequence[float],
    colour: ArrayLike = _WHITE,
    material: int = Material.PLAIN,
    *,
    rows: int = 7,
    sides: int = 10,
) -> Mesh:
    """An ellipsoid with its poles on the z axis."""
    polar = np.linspace(np.pi, 0.0, rows)
    angle = np.linspace(0.0, 2.0 * np.pi, sides + 1)
    unit = np.stack(
        [
            np.outer(np.sin(polar), np.cos(angle)),
            np.outer(np.sin(polar), np.sin(angle)),
            np.outer(np.cos(polar), np.ones_like(angle)),
        ],
        axis=-1,
    )
    mesh = grid_mesh(unit[:, ::-1], colour, material, closed=True)
    return mesh.scaled(*radii).moved(*centre)


def lathe(
    profile: ArrayLike, colour: ArrayLike = _WHITE, material: int | Sequence[int] = Material.PLAIN, *, sides: int = 20
) -> Mesh:
    """A body of revolution about the y axis.

    Args:
        profile: float64[n, 2], radius and y of each ring; outside is to the right of the direction of the rings.
        colour: Colour.
        material: One material, or one per pair of rings.
        sides: Corners of a ring.
    """
    rings = np.asarray(profile, dtype=np.float64)
    angle = np.linspace(0.0, 2.0 * np.pi, sides + 1)
    points = np.stack(
        [
            np.outer(rings[:, 0], np.cos(angle)),
            np.repeat(rings[:, 1:2], sides + 1, axis=1),
            np.outer(rings[:, 0], np.sin(angle)),
        ],
        axis=-1,
    )
    kinds = np.broadcast_to(np.asarray(material, dtype=np.uint8), (len(rings) - 1,))
    return grid_mesh(points, colour, np.repeat(kinds[:, None], sides, axis=1), closed=True)
