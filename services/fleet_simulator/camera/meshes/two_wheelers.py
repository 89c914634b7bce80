"""Motorcycle and bicycle, each with its rider."""

from typing import Final

import numpy as np

from services.fleet_simulator.camera.meshes.mesh import Material, Mesh, box, ellipsoid, lathe, merged, quad, tube
from services.fleet_simulator.camera.meshes.people import Pose, person

_DARK: Final = (0.03, 0.03, 0.032)
_METAL: Final = (0.55, 0.56, 0.58)
PEDAL_PHASES: Final = 4
_RING_SIDES: Final = (20, 12, 9)


def _ring(radius_m: float, thick_m: float, sides: int = 20) -> Mesh:
    """A bare tyre about the y axis."""
    r, t = radius_m, thick_m
    profile = [(r - t, 0.0), (r - t / 2.0, -t / 2.0), (r, 0.0), (r - t / 2.0, t / 2.0), (r - t, 0.0)]
    return lathe(profile, _DARK, Material.BLACK, sides=sides)


def _spokes(radius_m: float) -> list[Mesh]:
    angles = np.linspace(0.0, np.pi, 5)[:-1]
    return [
        tube(
            [(-np.cos(a) * radius_m, 0.0, -np.sin(a) * radius_m), (np.cos(a) * radius_m, 0.0, np.sin(a) * radius_m)],
            (0.006, 0.006),
            _METAL,
            sides=4,
        )
        for a in angles
    ]


def bicycle(length_m: float, height_m: float, phase: float, *, detail: int = 0) -> Mesh:
    """A city bicycle with a rider; `phase` 0 to 1 turns the pedals."""
    r = 0.34
    front, rear = length_m / 2.0 - r, -length_m / 2.0 + r
    crank, seat, head = (-0.06, 0.0, 0.30), (-0.22, 0.0, 0.90), (front - 0.22, 0.0, 0.88)
    parts = [merged([_ring(r, 0.05, _RING_SIDES[detail]), *_spokes(r - 0.04)]).moved(dx=x, dz=r) for x in (front, rear)]
    for start, end in (
        (crank, seat),
        (crank, (head[0] + 0.03, 0.0, 0.72)),
        ((seat[0] + 0.03, 0.0, 0.80), head),
        ((rear, 0.0, r), crank),
        ((rear, 0.0, r), (seat[0] + 0.02, 0.0, 0.82)),
    ):
        parts.append(tube([start, end], (0.020, 0.020), (1.0, 1.0, 1.0), Material.PAINT, sides=6))
    parts.append(
        tube(
            [(front, 0.0, r), (head[0], 0.0, head[2]), (head[0] - 0.02, 0.0, 1.02)],
            (0.018, 0.02, 0.016),
            (1.0, 1.0, 1.0),
            Material.PAINT,
            sides=6,
        )
    )
    parts.append(
        tube(
            [
                (head[0] - 0.12, 0.28, 1.05),
                (head[0], 0.10, 1.04),
                (head[0], -0.10, 1.04),
                (head[0] - 0.12, -0.28, 1.05),
            ],
            (0.014,) * 4,
            _DARK,
            sides=5,
        )
    )
    parts.append(ellipsoid((seat[0], 0.0, 0.94), (0.13, 0.08, 0.04), _DARK, Material.BLACK, rows=5, sides=8))
    parts.append(box((front - 0.05, 0.0, 0.80), (0.06, 0.07, 0.07), (0.9, 0.9, 0.85), Material.HEAD_LAMP))
    parts.append(box((rear - 0.10, 0.0, 0.72), (0.03, 0.07, 0.05), (0.6, 0.03, 0.03), Material.TAIL_LAMP))
    angle = 2.0 * np.pi * phase
    stature = min(1.80, height_m + 0.02)
    hips = tuple(0.95 + 0.30 * np.cos(angle + shift) for shift in (0.0, np.pi))
    knees = tuple(1.15 + 0.38 * np.cos(angle + shift - 0.6) for shift in (0.0, np.pi))
    pose = Pose(
        (hips[0], hips[1]), (knees[0], knees[1]), (0.75, 0.75), (0.35, 0.35), lean=0.33, spread=0.10, seat_m=0.98
    )
    rider = person(stature, pose, clothes="trousers", hair="helmet", detail=detail)
    return merged([*parts, rider.moved(dx=seat[0])])


def motorcycle(length_m: float, height_m: float, *, detail: int = 0) -> Mesh:
    """A naked motorcycle with a rider."""
    r = 0.31
    front, rear = length_m / 2.0 - r, -length_m / 2.0 + r
    parts = [merged([_ring(r, 0.13, _RING_SIDES[detail]), *_spokes(r - 0.08)]).moved(dx=x, dz=r) for x in (front, rear)]
    parts.append(ellipsoid((0.18, 0.0, 0.80), (0.32, 0.17, 0.16), (1.0, 1.0, 1.0), Material.PAINT, rows=7, sides=12))
    parts.append(ellipsoid((0.05, 0.0, 0.48), (0.33, 0.19, 0.21), (0.25, 0.25, 0.26), Material.CHROME, rows=6, sides=8))
    parts.append(ellipsoid((-0.38, 0.0, 0.80), (0.40, 0.14, 0.09), _DARK, Material.BLACK, rows=6, sides=10))
    parts.append(ellipsoid((-0.68, 0.0, 0.86), (0.22, 0.10, 0.07), (1.0, 1.0, 1.0), Material.PAINT, rows=6, sides=8))
    for y in (-0.09, 0.09):
        parts.append(tube([(front, y, r), (front - 0.24, y, 0.92)], (0.026, 0.026), _METAL, Material.CHROME, sides=6))
        parts.append(tube([(rear, y * 1.2, r), (-0.05, y * 1.3, 0.42)], (0.03, 0.035), _DARK, sides=6))
    parts.append(
        tube(
            [(0.1, -0.17, 0.32), (-0.45, -0.19, 0.36), (-0.85, -0.20, 0.45)],
            (0.04, 0.06, 0.065),
            _METAL,
            Material.CHROME,
            sides=8,
        )
    )
    parts.append(
        tube(
            [
                (front - 0.40, 0.36, 1.02),
                (front - 0.27, 0.12, 1.0),
                (front - 0.27, -0.12, 1.0),
                (front - 0.40, -0.36, 1.02),
            ],
            (0.018,) * 4,
            _DARK,
            sides=5,
        )
    )
    parts.append(
        ellipsoid((front - 0.16, 0.0, 0.86), (0.09, 0.11, 0.11), (0.9, 0.9, 0.88), Material.HEAD_LAMP, rows=6, sides=10)
    )
    parts.append(
        ellipsoid((-0.88, 0.0, 0.84), (0.04, 0.10, 0.04), (0.6, 0.03, 0.03), Material.BRAKE_LAMP, rows=5, sides=8)
    )
    parts.append(
        ellipsoid((-0.82, 0.16, 0.78), (0.03, 0.03, 0.03), (0.8, 0.4, 0.1), Material.LEFT_LAMP, rows=4, sides=6)
    )
    parts.append(
        ellipsoid((-0.82, -0.16, 0.78), (0.03, 0.03, 0.03), (0.8, 0.4, 0.1), Material.RIGHT_LAMP, rows=4, sides=6)
    )
    parts.append(quad((-0.93, 0.0, 0.62), (0.0, -0.11, 0.0), (0.03, 0.0, 0.085), (1.0, 1.0, 1.0), Material.PLATE))
    parts.append(box((-0.90, 0.0, 0.68), (0.02, 0.20, 0.22), _DARK, Material.BLACK))
    pose = Pose((1.05, 1.05), (1.45, 1.45), (0.80, 0.80), (0.45, 0.45), lean=0.22, spread=0.22, seat_m=0.86)
    rider = person(min(1.8, height_m + 0.28), pose, hair="helmet", detail=detail)
    return merged([*parts, rider.moved(dx=-0.28)])
