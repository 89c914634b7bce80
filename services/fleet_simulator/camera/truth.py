"""What really is in a picture: boxes of objects, faces and plates.

Here belong projections of shapes and counts of pixels. The masks come from the graphics library.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from services.fleet_simulator.camera.meshes.mesh import Material, Mesh
from services.fleet_simulator.camera.scene import ClassId, ObjectBox, PiiBox
from services.fleet_simulator.camera.view import NEAR_M, View

FloatArray = NDArray[np.float64]
_LEAST_FACING: Final = 0.15
_SAMPLES: Final = np.array([(u, v) for v in (0.2, 0.5, 0.8) for u in (0.1, 0.3, 0.5, 0.7, 0.9)])
_PII_RANGE_M: Final = 60.0
_BEHIND_M: Final = 0.25


@dataclass(frozen=True)
class Outline:
    """What truth needs of a mesh.

    Attributes:
        hull: float64[n, 3], corners of its convex hull; projections of the mesh are bounded by theirs.
        patches: Faces and plates: kind, points float64[m, 3] and outward normal.
    """

    hull: FloatArray
    patches: tuple[tuple[str, FloatArray, FloatArray], ...]


def outline_of(mesh: Mesh) -> Outline:
    """Outline of a mesh."""
    from scipy.spatial import ConvexHull

    used = np.unique(mesh.triangles)
    points = mesh.position[used].astype(np.float64)
    hull = points[np.unique(ConvexHull(points).simplices)]
    patches = []
    face = mesh.position[mesh.colour[:, 3] == Material.FACE].astype(np.float64)
    if len(face):
        patches.append(("face", face, np.array([1.0, 0.0, 0.0])))
    plates = np.flatnonzero(mesh.colour[:, 3] == Material.PLATE)
    for start in range(0, len(plates), 4):
        corners = plates[start : start + 4]
        patches.append(("plate", mesh.position[corners].astype(np.float64), mesh.normal[corners[0]].astype(np.float64)))
    return Outline(hull, tuple(patches))


@dataclass(frozen=True)
class Drawn:
    """An object that was drawn: its number, what it is and where its outline is in the world."""

    instance: int
    agent_id: int | None
    class_id: ClassId
    kind: str
    plate: str
    outline: Outline
    scale: tuple[float, float, float]
    place: tuple[float, float, float, float]

    def world(self, points: FloatArray) -> FloatArray:
        """Points of the mesh in the world."""
        x, y, z, yaw = self.place
        scaled = points * np.asarray(self.scale)
        cosine, sine = np.cos(yaw), np.sin(yaw)
        return np.stack(
            [
                cosine * scaled[:, 0] - sine * scaled[:, 1] + x,
                sine * scaled[:, 0] + cosine * scaled[:, 1] + y,
                scaled[:, 2] + z,
            ],
            axis=1,
        )


def amodal_box(view: View, hull: FloatArray) -> tuple[float, float, float, float] | None:
    """Bounds of a projected convex hull, cut at the near plane; None where it is behind the camera."""
    projected = view.project(hull)
    ahead = projected[:, 2] > NEAR_M
    if not ahead.any():
        return None
    points = projected[ahead, :2]
    if not ahead.all():
        local = (hull - view.eye) @ view.axes.T
        front, back = local[ahead], local[~ahead]
        share = (front[:, None, 2] - NEAR_M) / (front[:, None, 2] - back[None, :, 2])
        cut = front[:, None] + share[..., None] * (back[None] - front[:, None])
        focal = view.spec.focal_px
        flat = np.stack(
            [
                view.spec.width / 2.0 + focal * cut[..., 0] / NEAR_M,
                view.spec.height / 2.0 - focal * cut[..., 1] / NEAR_M,
            ],
            -1,
        )
        points = np.concatenate([points, flat.reshape(-1, 2)])
    low, high = points.min(axis=0), points.max(axis=0)
    return float(low[0]), float(low[1]), float(high[0]), float(high[1])


def clipped(box: Sequence[float], width: int, height: int) -> tuple[float, float, float, float] | None:
    """The part of a box inside the picture, or None."""
    left, top, right, bottom = max(box[0], 0.0), max(box[1], 0.0), min(box[2], float(width)), min(box[3], float(height))
    return (left, top, right, bottom) if right > left and bottom > top else None


def pixels_of(
    instance: NDArray[np.uint32], number: int, around: tuple[float, float, float, float]
) -> tuple[tuple[int, int, int, int] | None, int]:
    """Bounds and number of the pixels of an object, all of which lie in a box."""
    left, top = max(0, int(around[0]) - 1), max(0, int(around[1]) - 1)
    own = instance[top : int(around[3]) + 2, left : int(around[2]) + 2] == number
    rows, columns = np.flatnonzero(own.any(axis=1)), np.flatnonzero(own.any(axis=0))
    if not len(rows):
        return None, 0
    box = (int(left + columns[0]), int(top + rows[0]), int(left + columns[-1]) + 1, int(top + rows[-1]) + 1)
    return box, int(np.count_nonzero(own))


def object_boxes(
    view: View,
    drawn: Sequence[Drawn],
    instance: NDArray[np.uint32],
    shapes: Mapping[int, tuple[tuple[float, float, float, float], float]],
) -> tuple[ObjectBox, ...]:
    """Truth of every object with a part of its shape in the picture.

    Args:
        view: The camera.
        drawn: Objects.
        instance: Mask.
        shapes: By instance: amodal box and pixels that its shape alone would cover.
    """
    found = []
    for thing in drawn:
        if thing.instance not in shapes:
            continue
        box, whole = shapes[thing.instance]
        inside = clipped(box, view.spec.width, view.spec.height)
        if inside is None:
            continue
        visible, pixels = pixels_of(instance, thing.instance, inside)
        area = (box[2] - box[0]) * (box[3] - box[1])
        kept = (inside[2] - inside[0]) * (inside[3] - inside[1])
        hidden = 1.0 - pixels / whole if whole > 0.0 else float(pixels == 0)
        found.append(
            ObjectBox(
                thing.instance,
                thing.agent_id,
                thing.class_id,
                thing.kind,
                visible,
                box,
                pixels,
                round(float(np.clip(hidden, 0.0, 1.0)), 3),
                round(float(np.clip(1.0 - kept / max(area, 1e-9), 0.0, 1.0)), 3),
                round(float(np.hypot(thing.place[0] - view.eye[0], thing.place[1] - view.eye[1])), 3),
            )
        )
    return tuple(sorted(found, key=lambda one: one.instance))


def pii_boxes(
    view: View, drawn: Sequence[Drawn], instance: NDArray[np.uint32], depth_m: NDArray[np.float32]
) -> tuple[PiiBox, ...]:
    """Faces and plates that are turned to the camera and not wholly hidden."""
    found: list[PiiBox] = []
    for thing in drawn:
        if thing.agent_id is None:
            continue
        for kind, points, normal in thing.outline.patches:
            if kind == "plate" and not thing.plate:
                continue
            if not _may_face(view, thing, points[0], normal):
                continue
            world = thing.world(points)
            tip = thing.world((points.mean(axis=0) + normal)[None])[0] - thing.world(points.mean(axis=0)[None])[0]
            one = _patch(view, thing, kind, world, tip / np.linalg.norm(tip), (instance, depth_m))
            if one is not None:
                found.append(one)
    return tuple(found)


def _may_face(view: View, thing: Drawn, point: FloatArray, normal: FloatArray) -> bool:
    """Whether a patch is near enough and roughly turned to the camera; decided without the projection."""
    x, y, _, yaw = thing.place
    cosine, sine = float(np.cos(yaw)), float(np.sin(yaw))
    dx, dy = float(view.eye[0]) - x, float(view.eye[1]) - y
    ahead, left = cosine * dx + sine * dy - float(point[0]), cosine * dy - sine * dx - float(point[1])
    return ahead * float(normal[0]) + left * float(normal[1]) > 0.0 and ahead * ahead + left * left < _PII_RANGE_M**2


def _patch(  # noqa: PLR0917 - a step of `pii_boxes`
    view: View, thing: Drawn, kind: str, world: FloatArray, normal: FloatArray, masks: tuple[NDArray[Any], NDArray[Any]]
) -> PiiBox | None:
    centre = world.mean(axis=0)
    to_eye = view.eye - centre
    away = float(np.linalg.norm(to_eye))
    facing = float(normal @ to_eye) / away
    if facing < _LEAST_FACING or away > _PII_RANGE_M:
        return None
    projected = view.project(world)
    if (projected[:, 2] < NEAR_M).any():
        return None
    low, high = projected[:, :2].min(axis=0), projected[:, :2].max(axis=0)
    width, height = view.spec.width, view.spec.height
    box = clipped((low[0], low[1], high[0], high[1]), width, height)
    if box is None:
        return None
    samples = np.array([box[0], box[1]]) + _SAMPLES * np.array([box[2] - box[0], box[3] - box[1]])
    columns = np.clip(samples[:, 0].astype(int), 0, width - 1)
    rows = np.clip(samples[:, 1].astype(int), 0, height - 1)
    reach = projected[:, 2].min() - _BEHIND_M, projected[:, 2].max() + _BEHIND_M
    own = (
        (masks[0][rows, columns] == thing.instance)
        & (masks[1][rows, columns] > reach[0])
        & (masks[1][rows, columns] < reach[1])
    )
    if not own.any() or thing.agent_id is None:
        return None
    text = thing.plate if kind == "plate" else ""
    rounded = (round(float(box[0]), 2), round(float(box[1]), 2), round(float(box[2]), 2), round(float(box[3]), 2))
    return PiiBox(kind, thing.agent_id, rounded, text, round(away, 3), round(facing, 3), round(float(own.mean()), 3))
