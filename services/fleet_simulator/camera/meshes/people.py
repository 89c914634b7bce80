"""People: walking, standing, talking on the phone; riders are posed here too.

Here belong joints, limbs, clothes and the face's place on the head. Bodily proportions follow Drillis and Contini, Body
Segment Parameters (1966): thigh 0.245, shank 0.246, upper arm 0.186, forearm 0.146, height of the shoulder 0.818 of
stature.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from services.fleet_simulator.camera.meshes.mesh import (
    FloatArray,
    Material,
    Mesh,
    box,
    ellipsoid,
    grid_mesh,
    merged,
    triangles_mesh,
    tube,
)

WALK_PHASES: Final = 8
FACE_M: Final = (0.196, 0.258)
"""Width and height of the face's picture on a head of a person of 1.75 m."""
_THIGH, _SHANK, _UPPER_ARM, _FOREARM = 0.245, 0.246, 0.186, 0.155
_HIP, _SHOULDER = 0.515, 0.815


@dataclass(frozen=True)
class Pose:
    """Angles of the joints, radians, forward positive; left and right.

    Attributes:
        hip: Of the thighs from hanging down.
        knee: Bend of the knees.
        shoulder: Of the upper arms from hanging down.
        elbow: Bend of the elbows.
        lean: Of the trunk.
        spread: Of the arms, sideways.
        seat_m: Height of the hips for riders, or None to stand on the lower foot.
    """

    hip: tuple[float, float] = (0.0, 0.0)
    knee: tuple[float, float] = (0.0, 0.0)
    shoulder: tuple[float, float] = (0.0, 0.0)
    elbow: tuple[float, float] = (0.15, 0.15)
    lean: float = 0.03
    spread: float = 0.10
    seat_m: float | None = None


def walking(phase: float) -> Pose:
    """A pose of the walking cycle, phase 0 to 1 (shape after Winter, Biomechanics of Human Movement)."""
    angle = 2.0 * np.pi * phase
    hips = tuple(0.08 + 0.42 * np.cos(angle + shift) for shift in (0.0, np.pi))
    knees = tuple(0.12 + 0.55 * max(0.0, np.sin(angle + shift + 3.5)) ** 1.5 for shift in (0.0, np.pi))
    arms = tuple(-0.02 - 0.38 * np.cos(angle + shift) for shift in (0.0, np.pi))
    return Pose((hips[0], hips[1]), (knees[0], knees[1]), (arms[0], arms[1]), (0.35, 0.35), lean=0.06)


STANDING: Final[tuple[Pose, ...]] = (
    Pose(hip=(0.05, -0.03), knee=(0.08, 0.0), elbow=(0.2, 0.25)),
    Pose(hip=(0.0, 0.10), knee=(0.0, 0.25), shoulder=(0.25, 0.75), elbow=(0.3, 2.25), spread=0.16),
    Pose(hip=(0.02, -0.02), shoulder=(0.5, 0.45), elbow=(1.4, 1.35), lean=0.08),
)
"""At ease, on the phone, with something in the hands."""


def _down(angle: float, length: float) -> FloatArray:
    return np.array([np.sin(angle), 0.0, -np.cos(angle)]) * length


def person(
    height_m: float, pose: Pose, *, clothes: str = "trousers", hair: str = "short", bag: bool = False, detail: int = 0
) -> Mesh:
    """A person who looks towards +x.

    Args:
        height_m: Stature.
        pose: Angles of the joints.
        clothes: ``trousers``, ``skirt`` or ``coat``.
        hair: ``short``, ``long``, ``cap`` or ``helmet``.
        bag: Whether a rucksack is worn.
        detail: 0 for near, 1 for the middle distance, 2 for what is small in the picture.
    """
    h, sides = height_m, (9, 6, 4)[detail]
    legs = _legs(h, pose, clothes, sides)
    up = np.array([np.sin(pose.lean), 0.0, np.cos(pose.lean)])
    neck = up * (_SHOULDER - _HIP) * h
    parts = [legs, _trunk(h, up, clothes, sides), _arms(h, neck, pose, sides)]
    parts.append(_head(h, neck + up * 0.097 * h, hair, detail))
    if bag:
        parts.append(
            ellipsoid(
                (neck * 0.62 + np.array([-0.115 * h, 0.0, 0.0])).tolist(),
                (0.065 * h, 0.085 * h, 0.13 * h),
                (0.13, 0.15, 0.20),
                rows=6,
                sides=8,
            )
        )
    whole = merged(parts)
    return whole.moved(dz=pose.seat_m if pose.seat_m is not None else -float(whole.position[:, 2].min()))


def _legs(h: float, pose: Pose, clothes: str, sides: int) -> Mesh:
    parts = []
    cloth = Material.SKIN if clothes == "skirt" else Material.SECOND
    for index, y in enumerate((0.052 * h, -0.052 * h)):
        hip = np.array([0.0, y, 0.0])
        knee = hip + _down(pose.hip[index], _THIGH * h)
        ankle = knee + _down(pose.hip[index] - pose.knee[index], _SHANK * h)
        calf = knee + (ankle - knee) * 0.3 + np.array([-0.008 * h, 0.0, 0.0])
        path = [hip + [0.0, 0.0, 0.03 * h], hip, (hip + knee) / 2.0, knee, calf, ankle]
        radii = np.array([0.034, 0.049, 0.043, 0.032, 0.033, 0.022]) * h
        parts.append(tube(path, radii, (1.0, 1.0, 1.0), cloth, sides=sides))
        turn = pose.hip[index] - pose.knee[index]
        toe = ankle + np.array([0.085 * np.cos(turn * 0.6), 0.0, 0.085 * np.sin(turn * 0.6) - 0.028]) * h
        heel = ankle + np.array([-0.03, 0.0, -0.025]) * h
        parts.append(
            tube(
                [heel, ankle + [0.01 * h, 0, -0.012 * h], toe],
                np.array([0.020, 0.027, 0.017]) * h,
                (0.04, 0.035, 0.035),
                Material.PLAIN,
                sides=min(6, sides),
            )
        )
    if clothes in ("skirt", "coat"):
        low = -0.19 * h if clothes == "skirt" else -0.16 * h
        kind = Material.SECOND if clothes == "skirt" else Material.CLOTH
        sway = float(max(abs(angle) for angle in pose.hip)) * 0.12 * h
        parts.append(
            _ring_loft(
                [(low, 0.085 * h + sway, 0.115 * h), (0.0, 0.075 * h, 0.105 * h), (0.10 * h, 0.062 * h, 0.083 * h)],
                np.zeros(2),
                kind,
                sides,
            )
        )
    return merged(parts)


def _ring_loft(rings: list[tuple[float, float, float]], shift: FloatArray, kind: int, sides: int) -> Mesh:
    """Ellipses above each other: height, half depth, half width; `shift` is the drift of x per metre of height."""
    angle = np.linspace(0.0, 2.0 * np.pi, sides + 1)
    rows = [
        np.stack([np.cos(angle) * deep + z * shift[0], np.sin(angle) * wide, np.full_like(angle, z)], axis=1)
        for z, deep, wide in rings
    ]
    ends = [np.repeat(row.mean(axis=0)[None], sides + 1, axis=0) for row in (rows[0], rows[-1])]
    return grid_mesh(np.stack([ends[0], *rows, ends[1]])[:, ::-1], (1.0, 1.0, 1.0), kind, closed=True)


def _trunk(h: float, up: FloatArray, clothes: str, sides: int) -> Mesh:
    top = (_SHOULDER - _HIP) * h
    rings = [
        (-0.075 * h, 0.045 * h, 0.070 * h),
        (0.01 * h, 0.068 * h, 0.094 * h),
        (0.4 * top, 0.056 * h, 0.076 * h),
        (0.72 * top, 0.068 * h, 0.094 * h),
        (0.90 * top, 0.060 * h, 0.099 * h),
        (0.98 * top, 0.050 * h, 0.078 * h),
        (1.05 * top, 0.036 * h, 0.046 * h),
        (1.11 * top, 0.030 * h, 0.032 * h),
    ]
    slope = np.array([up[0] / up[2], 0.0])
    chest = _ring_loft(rings[2 if clothes != "coat" else 1 :], slope, Material.CLOTH, max(sides + 1, 5))
    pelvis = _ring_loft(rings[:3], slope, Material.CLOTH if clothes == "coat" else Material.SECOND, max(sides + 1, 5))
    neck = tube(
        [up * top * 0.98, up * (top + 0.07 * h)],
        np.array([0.033, 0.031]) * h,
        (1.0, 1.0, 1.0),
        Material.SKIN,
        sides=min(6, sides),
    )
    return merged([chest, pelvis, neck])


def _arms(h: float, neck: FloatArray, pose: Pose, sides: int) -> Mesh:
    parts = []
    for index, side in enumerate((1.0, -1.0)):
        shoulder = neck + np.array([0.0, side * 0.105 * h, -0.022 * h])
        outwards = np.array([0.0, side * np.sin(pose.spread), 0.0])
        elbow = shoulder + _down(pose.shoulder[index], _UPPER_ARM * h) * np.cos(pose.spread) + outwards * _UPPER_ARM * h
        bend = pose.shoulder[index] + pose.elbow[index]
        wrist = elbow + _down(bend, _FOREARM * h) + np.array([0.0, -side * 0.02 * h, 0.0])
        # The shoulder is a slope from the neck that bends round into the arm.
        inner, outer = np.array([0.0, -side * 0.055 * h, 0.016 * h]), np.array([0.0, -side * 0.010 * h, 0.006 * h])
        upper = shoulder + (elbow - shoulder) * 0.22
        path = [shoulder + inner, shoulder + outer, upper, elbow, (elbow + wrist) / 2.0, wrist]
        parts.append(
            tube(
                path,
                np.array([0.018, 0.031, 0.030, 0.025, 0.023, 0.017]) * h,
                (1.0, 1.0, 1.0),
                Material.CLOTH,
                sides=max(4, sides - 2),
            )
        )
        hand = wrist + _down(bend, 0.045 * h)
        parts.append(
            tube(
                [wrist, (wrist + hand) / 2.0, hand + _down(bend, 0.02 * h)],
                np.array([0.016, 0.022, 0.012]) * h,
                (1.0, 1.0, 1.0),
                Material.SKIN,
                sides=min(6, sides),
            )
        )
    return merged(parts)


def _head(h: float, centre: FloatArray, hair: str, detail: int) -> Mesh:
    """Skull, hair and a curved picture of a face in front of it."""
    scale = h / 1.75
    at = (float(centre[0]) + 0.012 * scale, 0.0, float(centre[2]))
    rows, sides = ((8, 12), (6, 8), (5, 6))[detail]
    parts = [
        ellipsoid(
            at, (0.094 * scale, 0.076 * scale, 0.118 * scale), (1.0, 1.0, 1.0), Material.SKIN, rows=rows, sides=sides
        )
    ]
    parts.append(_face(at, scale, (7, 5, 3)[detail]))
    if hair == "helmet":
        parts.append(
            ellipsoid(
                (at[0] - 0.012 * scale, 0.0, at[2] + 0.055 * scale),
                (0.125 * scale, 0.105 * scale, 0.085 * scale),
                (1.0, 1.0, 1.0),
                Material.PAINT,
                rows=rows,
                sides=sides,
            )
        )
        return merged(parts)
    back = (at[0] - 0.022 * scale, 0.0, at[2] + (0.034 if hair == "cap" else 0.022) * scale)
    kind = Material.SECOND if hair == "cap" else Material.HAIR
    parts.append(
        ellipsoid(back, (0.094 * scale, 0.086 * scale, 0.112 * scale), (1.0, 1.0, 1.0), kind, rows=rows, sides=sides)
    )
    if hair == "cap":
        parts.append(
            box(
                (at[0] + 0.10 * scale, 0.0, at[2] + 0.100 * scale),
                (0.09 * scale, 0.13 * scale, 0.012 * scale),
                (1.0, 1.0, 1.0),
                Material.SECOND,
            )
        )
    if hair == "long":
        parts.append(
            ellipsoid(
                (at[0] - 0.045 * scale, 0.0, at[2] - 0.08 * scale),
                (0.055 * scale, 0.085 * scale, 0.13 * scale),
                (1.0, 1.0, 1.0),
                Material.HAIR,
                rows=rows,
                sides=sides,
            )
        )
    return merged(parts)


def _face(at: tuple[float, float, float], scale: float, count: int) -> Mesh:
    """The front of the head as a curved sheet; corners of the picture are transparent, so it may be square."""
    width, height = FACE_M[0] * scale, FACE_M[1] * scale
    u, v = np.meshgrid(np.linspace(0.0, 1.0, count), np.linspace(0.0, 1.0, count))
    y, z = (u - 0.5) * width, (0.5 - v) * height
    reach = np.clip(1.0 - (y / (0.104 * scale)) ** 2 - (z / (0.156 * scale)) ** 2, 0.0, 1.0)
    nose = 0.010 * scale * np.exp(-((y / (0.014 * scale)) ** 2) - ((z + 0.012 * scale) / (0.030 * scale)) ** 2)
    x = 0.100 * scale * np.sqrt(reach) + nose + 0.003
    points = np.stack([x + at[0], y + at[1], z + at[2]], axis=-1).reshape(-1, 3)
    index = np.arange(count * count).reshape(count, count)
    quads = np.stack([index[:-1, :-1], index[1:, :-1], index[1:, 1:], index[:-1, 1:]], axis=-1).reshape(-1, 4)
    faces = np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])
    return triangles_mesh(points, faces, (1.0, 1.0, 1.0), Material.FACE, uv=np.stack([u, v], axis=-1).reshape(-1, 2))
