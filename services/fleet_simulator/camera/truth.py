"""What really is in a picture: boxes of objects, faces and plates.

Here belong projections of shapes and counts of pixels. The masks come from the graphics library.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from services.fleet_simulator.camera.meshes.mesh import Material, Mesh
from services.fleet_simulator.camera.scene import FIRST_INSTANCE, ClassId, ObjectBox, PiiBox
from services.fleet_simulator.camera.view import NEAR_M, View

FloatArray = NDArray[np.float64]
Box = tuple[float, float, float, float]
_LEAST_FACING: Final = 0.15
_SAMPLES: Final = np.array([(u, v) for v in (0.2, 0.5, 0.8) for u in (0.1, 0.3, 0.5, 0.7, 0.9)])
_PII_RANGE_M: Final = 60.0
_BEHIND_M: Final = 0.25


@dataclass(frozen=True)
class Outline:
    """What truth needs of a mesh.

    Attributes:
        hull: float64[n, 3], corners of its convex hull; projections of the mesh are bounded by theirs.
        edges: int64[m, 2], pairs of corners that the hull's edges join.
        patches: Faces and plates: kind, points float64[m, 3] and outward normal.
    """

    hull: FloatArray
    edges: NDArray[np.int64]
    patches: tuple[tuple[str, FloatArray, FloatArray], ...]


def outline_of(mesh: Mesh) -> Outline:
    """Outline of a mesh."""
    from scipy.spatial import ConvexHull

    used = np.unique(mesh.triangles)
    points = mesh.position[used].astype(np.float64)
    simplices = ConvexHull(points).simplices
    corners, faces = np.unique(simplices, return_inverse=True)
    faces = faces.reshape(simplices.shape)
    edges = np.unique(np.sort(np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]), axis=1), axis=0)
    patches = []
    face = mesh.position[mesh.colour[:, 3] == Material.FACE].astype(np.float64)
    if len(face):
        patches.append(("face", face, np.array([1.0, 0.0, 0.0])))
    plates = np.flatnonzero(mesh.colour[:, 3] == Material.PLATE)
    for start in range(0, len(plates), 4):
        four = plates[start : start + 4]
        patches.append(("plate", mesh.position[four].astype(np.float64), mesh.normal[four[0]].astype(np.float64)))
    return Outline(points[corners], edges.astype(np.int64), tuple(patches))


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


def amodal_boxes(view: View, drawn: Sequence[Drawn]) -> dict[int, tuple[Box, float, float]]:
    """Bounds of objects' projected convex hulls inside and outside of the picture, cut at the near plane.

    Returns:
        By instance: bounds in pixels, smallest and largest depth; without those that are wholly behind the camera or
        beside the picture.
    """
    if not drawn:
        return {}
    counts = [len(thing.outline.hull) for thing in drawn]
    starts = np.cumsum([0, *counts[:-1]])
    world = _in_world(drawn, counts)
    projected = view.project(world)
    low = np.minimum.reduceat(projected, starts)
    high = np.maximum.reduceat(projected, starts)
    found: dict[int, tuple[Box, float, float]] = {}
    for row, thing in enumerate(drawn):
        if high[row, 2] <= NEAR_M:
            continue
        if low[row, 2] > NEAR_M:
            box = (float(low[row, 0]), float(low[row, 1]), float(high[row, 0]), float(high[row, 1]))
        else:
            own = slice(starts[row], starts[row] + counts[row])
            box = _cut_box(view, world[own], thing.outline.edges, projected[own])
        if clipped(box, view.spec.width, view.spec.height) is not None:
            part = (box, max(float(low[row, 2]), NEAR_M), float(high[row, 2]))
            found[thing.instance] = _joined(found.get(thing.instance, part), part)
    return found


def _joined(one: tuple[Box, float, float], other: tuple[Box, float, float]) -> tuple[Box, float, float]:
    """Bounds of two parts of an object."""
    (a, near, far), (b, nearer, farther) = one, other
    box = (min(a[0], b[0]), min(a[1], b[1]), max(a[2], b[2]), max(a[3], b[3]))
    return box, min(near, nearer), max(far, farther)


def _in_world(drawn: Sequence[Drawn], counts: Sequence[int]) -> FloatArray:
    """Hulls of all objects one after the other, as `Drawn.world` places them."""
    measures = np.repeat(np.array([(*thing.scale, *thing.place) for thing in drawn]), counts, axis=0)
    scaled = np.concatenate([thing.outline.hull for thing in drawn]) * measures[:, :3]
    cosine, sine = np.cos(measures[:, 6]), np.sin(measures[:, 6])
    world: FloatArray = scaled + measures[:, 3:6]
    world[:, 0] = cosine * scaled[:, 0] - sine * scaled[:, 1] + measures[:, 3]
    world[:, 1] = sine * scaled[:, 0] + cosine * scaled[:, 1] + measures[:, 4]
    return world


def _cut_box(view: View, hull: FloatArray, edges: NDArray[np.int64], projected: FloatArray) -> Box:
    """Bounds of the part of a projected hull that lies beyond the near plane."""
    ahead = projected[:, 2] > NEAR_M
    local = (hull - view.eye) @ view.axes.T
    crossing = edges[ahead[edges[:, 0]] != ahead[edges[:, 1]]]
    one, other = local[crossing[:, 0]], local[crossing[:, 1]]
    share = (one[:, 2] - NEAR_M) / (one[:, 2] - other[:, 2])
    cut = one + share[:, None] * (other - one)
    focal = view.spec.focal_px
    flat = np.stack(
        [
            view.spec.width / 2.0 + focal * cut[..., 0] / NEAR_M,
            view.spec.height / 2.0 - focal * cut[..., 1] / NEAR_M,
        ],
        -1,
    )
    points = np.concatenate([projected[ahead, :2], flat])
    low, high = points.min(axis=0), points.max(axis=0)
    return float(low[0]), float(low[1]), float(high[0]), float(high[1])


def clipped(box: Sequence[float], width: int, height: int) -> tuple[float, float, float, float] | None:
    """The part of a box inside the picture, or None."""
    left, top, right, bottom = max(box[0], 0.0), max(box[1], 0.0), min(box[2], float(width)), min(box[3], float(height))
    return (left, top, right, bottom) if right > left and bottom > top else None


def pixels_of(instance: NDArray[np.uint32]) -> dict[int, tuple[tuple[int, int, int, int], int]]:
    """Bounds (right and bottom exclusive) and number of the pixels of every object in a mask."""
    places = np.flatnonzero(instance >= FIRST_INSTANCE)
    if not len(places):
        return {}
    numbers = instance.ravel()[places]
    order = np.argsort(numbers, kind="stable")
    numbers, places = numbers[order], places[order]
    starts = np.flatnonzero(np.concatenate([[True], numbers[1:] != numbers[:-1]]))
    # Within an object places still go from row to row.
    rows, columns = np.divmod(places, instance.shape[1])
    ends = np.concatenate([starts[1:], [len(numbers)]])
    left, right = np.minimum.reduceat(columns, starts), np.maximum.reduceat(columns, starts) + 1
    boxes = np.stack([left, rows[starts], right, rows[ends - 1] + 1, ends - starts], axis=1).tolist()
    return {
        int(number): ((box[0], box[1], box[2], box[3]), box[4])
        for number, box in zip(numbers[starts], boxes, strict=True)
    }


def half_hidden(
    shapes: Mapping[int, tuple[Box, float, float]],
    pixels: Mapping[int, tuple[tuple[int, int, int, int], int]],
    instance: NDArray[np.uint32],
    depth_m: NDArray[np.float32],
) -> set[int]:
    """Objects in the picture that something nearer may hide in part; all others show all of their shape or nothing."""
    height, width = instance.shape
    found = set()
    for number, (box, nearest, _) in shapes.items():
        inside = clipped(box, width, height)
        if number not in pixels or inside is None:
            continue
        window = slice(int(inside[1]), int(inside[3]) + 1), slice(int(inside[0]), int(inside[2]) + 1)
        before = depth_m[window] < nearest - _BEHIND_M
        if before.any():
            found.add(number)
    return found


def object_boxes(
    view: View,
    drawn: Sequence[Drawn],
    pixels: Mapping[int, tuple[tuple[int, int, int, int], int]],
    shapes: Mapping[int, tuple[Box, float, float]],
    whole: Mapping[int, float],
) -> tuple[ObjectBox, ...]:
    """Truth of every object with a part of its shape in the picture.

    Args:
        view: The camera.
        drawn: Objects.
        pixels: As `pixels_of` gives them.
        shapes: As `amodal_boxes` gives them.
        whole: Pixels that shapes would cover alone, of those that something may hide in part.
    """
    found = []
    # Of several parts of an object the first is the one that its place is told of.
    for thing in {one.instance: one for one in reversed(drawn)}.values():
        if thing.instance not in shapes:
            continue
        box = shapes[thing.instance][0]
        inside = clipped(box, view.spec.width, view.spec.height)
        if inside is None:
            continue
        visible, count = pixels.get(thing.instance, (None, 0))
        area = (box[2] - box[0]) * (box[3] - box[1])
        kept = (inside[2] - inside[0]) * (inside[3] - inside[1])
        alone = whole.get(thing.instance, float(count))
        hidden = 1.0 - count / alone if alone > 0.0 else 1.0
        found.append(
            ObjectBox(
                thing.instance,
                thing.agent_id,
                thing.class_id,
                thing.kind,
                visible,
                box,
                count,
                round(min(max(hidden, 0.0), 1.0), 3),
                round(min(max(1.0 - kept / max(area, 1e-9), 0.0), 1.0), 3),
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
