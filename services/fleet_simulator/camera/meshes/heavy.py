"""Trucks: box truck, tractor and semi-trailer.

Here belong cabs, boxes and what large vehicles share. The bus is in `buses.py`, passenger cars are in `cars.py`.
"""

from typing import Final

import numpy as np
from numpy.typing import ArrayLike

from services.fleet_simulator.camera.meshes.cars import PLATE_M
from services.fleet_simulator.camera.meshes.mesh import (
    Material,
    Mesh,
    both_sides,
    box,
    grid_mesh,
    merged,
    quad,
)
from services.fleet_simulator.camera.meshes.wheels import plain_wheel, wheel

_DARK: Final = (0.025, 0.025, 0.027)
_WHITE: Final = (1.0, 1.0, 1.0)
_TYRE_M: Final = (0.5, 0.3)
_RIM_SHARE: Final = 0.56


def rounded_box(
    centre: tuple[float, float, float],
    size: tuple[float, float, float],
    radius_m: float,
    colour: ArrayLike,
    material: int,
    *,
    rake_m: float = 0.0,
) -> Mesh:
    """A box with round upright and upper edges; `rake_m` leans its front back towards the top."""
    length, width, height = size
    turn = np.linspace(0.0, np.pi / 2.0, 4)
    corner = np.stack([np.cos(turn), np.sin(turn)], axis=1) * radius_m
    quarter = np.array([length / 2.0 - radius_m, width / 2.0 - radius_m]) + corner
    left = np.concatenate([quarter, quarter[::-1] * np.array([-1.0, 1.0])])
    outline = np.concatenate([left, left[::-1] * np.array([1.0, -1.0]), left[:1]])
    rows = []
    for share, shrink in (
        (0.0, 0.0),
        (0.5, 0.0),
        (1.0 - radius_m / height, 0.0),
        (1.0 - 0.3 * radius_m / height, 0.3),
        (1.0, 1.0),
    ):
        ring = outline - np.sign(outline) * shrink * radius_m
        z = np.full((len(ring), 1), share * height)
        lean = np.where(ring[:, :1] > 0.0, rake_m * share, 0.0)
        rows.append(np.concatenate([ring - np.concatenate([lean, np.zeros_like(lean)], axis=1), z], axis=1))
    top = np.repeat(rows[-1].mean(axis=0)[None], len(outline), axis=0)
    points = np.stack([*rows, top])
    return grid_mesh(points[:, ::-1], colour, material, closed=True).moved(
        centre[0], centre[1], centre[2] - height / 2.0
    )


def panel(
    x: float,
    y: tuple[float, float],
    z: tuple[float, float],
    colour: ArrayLike,
    material: int,
    *,
    front: bool,
    lean_m: float = 0.0,
) -> Mesh:
    """A flat patch across the vehicle, facing forwards or backwards."""
    sign = 1.0 if front else -1.0
    centre = (x - lean_m / 2.0, sum(y) / 2.0, sum(z) / 2.0)
    return quad(
        centre, (0.0, sign * (y[1] - y[0]) / 2.0, 0.0), (-lean_m / 2.0, 0.0, (z[1] - z[0]) / 2.0), colour, material
    )


def left_panel(y: float, x: tuple[float, float], z: tuple[float, float], colour: ArrayLike, material: int) -> Mesh:
    """A flat patch along the left side."""
    centre = (sum(x) / 2.0, y, sum(z) / 2.0)
    return quad(centre, (-(x[1] - x[0]) / 2.0, 0.0, 0.0), (0.0, 0.0, (z[1] - z[0]) / 2.0), colour, material)


def axles(places: tuple[float, ...], width_m: float, *, twin: tuple[bool, ...], detail: int) -> list[Mesh]:
    """Wheels at places along the vehicle, twin tyres where the road is pressed hardest."""
    parts = []
    for x, double in zip(places, twin, strict=True):
        wide = 0.55 if double else _TYRE_M[1]
        if detail == 0:
            tyre = wheel(_TYRE_M[0], wide, rim_share=_RIM_SHARE, spokes=6, sides=16)
        else:
            tyre = plain_wheel(_TYRE_M[0], wide, rim_share=_RIM_SHARE, sides=(0, 10, 7)[detail])
        y = width_m / 2.0 - (0.30 if double else 0.17)
        parts.append(both_sides(tyre.moved(x, y, _TYRE_M[0])))
    return parts


def rear_lamps(x: float, width_m: float, z: float) -> list[Mesh]:
    """Lamps and plate at the rear end."""
    outer = width_m / 2.0 - 0.08
    lamps = (
        (0.0, 0.16, (0.6, 0.03, 0.03), Material.BRAKE_LAMP),
        (0.17, 0.30, (0.75, 0.35, 0.1), Material.LEFT_LAMP),
        (0.31, 0.42, (0.3, 0.02, 0.02), Material.TAIL_LAMP),
    )
    parts = [
        both_sides(panel(x - 0.035, (outer - end, outer - start), (z - 0.07, z + 0.07), colour, kind, front=False))
        for start, end, colour, kind in lamps
    ]
    parts.append(both_sides(box((x, outer - 0.21, z), (0.06, 0.46, 0.19), _DARK, Material.BLACK)))
    parts.append(
        quad((x - 0.04, 0.0, z), (0.0, -PLATE_M[0] / 2.0, 0.0), (0.0, 0.0, PLATE_M[1] / 2.0), _WHITE, Material.PLATE)
    )
    return parts


def cab(front_m: float, length_m: float, width_m: float, height_m: float, floor_m: float = 0.45) -> list[Mesh]:
    """A forward-control cab whose front is at x = `front_m`."""
    tall, middle = height_m - floor_m, front_m - length_m / 2.0
    shell = rounded_box(
        (middle, 0.0, floor_m + tall / 2.0), (length_m, width_m, tall), 0.16, _WHITE, Material.PAINT, rake_m=0.10
    )
    window = (floor_m + 0.47 * tall, floor_m + 0.86 * tall)
    half = width_m / 2.0

    def at(z: float) -> float:
        return front_m - 0.10 * (z - floor_m) / tall + 0.012

    lamp_z = floor_m + 0.17
    return [
        shell,
        panel(
            at(window[0]), (-half + 0.09, half - 0.09), window, (0.1, 0.1, 0.1), Material.GLASS, front=True, lean_m=0.04
        ),
        both_sides(
            left_panel(
                half + 0.012,
                (front_m - 0.52 * length_m - 0.35, front_m - 0.25),
                (window[0] - 0.05, window[1]),
                (0.1, 0.1, 0.1),
                Material.GLASS,
            )
        ),
        panel(
            at(floor_m + 0.36 * tall),
            (-half + 0.35, half - 0.35),
            (floor_m + 0.20 * tall, floor_m + 0.44 * tall),
            _DARK,
            Material.BLACK,
            front=True,
            lean_m=0.02,
        ),
        panel(
            at(floor_m + 0.33 * tall) + 0.01,
            (-0.3, 0.3),
            (floor_m + 0.36 * tall, floor_m + 0.41 * tall),
            (0.7, 0.7, 0.72),
            Material.CHROME,
            front=True,
        ),
        box((front_m - 0.02, 0.0, floor_m + 0.12), (0.24, width_m * 0.98, 0.34), (0.10, 0.10, 0.11), Material.PLAIN),
        both_sides(
            panel(
                front_m + 0.11,
                (half - 0.50, half - 0.16),
                (lamp_z - 0.10, lamp_z + 0.08),
                (0.85, 0.87, 0.9),
                Material.HEAD_LAMP,
                front=True,
            )
        ),
        both_sides(
            panel(
                front_m + 0.112,
                (half - 0.15, half - 0.05),
                (lamp_z - 0.10, lamp_z + 0.08),
                (0.8, 0.5, 0.2),
                Material.LEFT_LAMP,
                front=True,
            )
        ),
        quad(
            (front_m + 0.115, 0.0, floor_m + 0.08),
            (0.0, PLATE_M[0] / 2.0, 0.0),
            (0.0, 0.0, PLATE_M[1] / 2.0),
            _WHITE,
            Material.PLATE,
        ),
        both_sides(box((front_m - 0.12, half + 0.16, window[0] + 0.28), (0.10, 0.18, 0.42), _DARK, Material.BLACK)),
        both_sides(
            left_panel(
                half + 0.014, (front_m - 0.30, front_m - 0.285), (floor_m + 0.1, window[0]), _DARK, Material.BLACK
            )
        ),
        both_sides(
            panel(
                at(window[0]) + 0.004,
                (-0.62, -0.58),
                (window[0] + 0.02, window[0] + 0.4),
                _DARK,
                Material.BLACK,
                front=True,
                lean_m=0.02,
            )
        ),
    ]


def _cargo(front_m: float, rear_m: float, width_m: float, z: tuple[float, float]) -> list[Mesh]:
    """A closed body in the agent's second colour with doors, a rub rail and marker lamps."""
    middle, length = (front_m + rear_m) / 2.0, front_m - rear_m
    half = width_m / 2.0
    frame = (0.62, 0.63, 0.64)
    parts = [box((middle, 0.0, sum(z) / 2.0), (length, width_m, z[1] - z[0]), _WHITE, Material.SECOND)]
    parts += [box((middle, 0.0, edge), (length + 0.02, width_m + 0.03, 0.09), frame, Material.CHROME) for edge in z]
    for x in (front_m, rear_m):
        parts.append(both_sides(box((x, half - 0.03, sum(z) / 2.0), (0.05, 0.09, z[1] - z[0]), frame, Material.CHROME)))
    parts.append(panel(rear_m - 0.013, (-0.015, 0.015), z, _DARK, Material.BLACK, front=False))
    for y in (-0.55, -0.2, 0.2, 0.55):
        parts.append(
            box((rear_m - 0.03, y, sum(z) / 2.0), (0.03, 0.03, z[1] - z[0] - 0.15), (0.7, 0.7, 0.7), Material.CHROME)
        )
    stripe = z[0] + 0.12 * (z[1] - z[0])
    parts.append(
        both_sides(
            left_panel(
                half + 0.006, (rear_m + 0.1, front_m - 0.1), (stripe, stripe + 0.06), (0.85, 0.75, 0.1), Material.PLAIN
            )
        )
    )
    parts.append(
        both_sides(
            panel(
                rear_m - 0.015,
                (half - 0.25, half - 0.12),
                (z[1] - 0.18, z[1] - 0.12),
                (0.3, 0.02, 0.02),
                Material.TAIL_LAMP,
                front=False,
            )
        )
    )
    return parts


def box_truck(length_m: float, width_m: float, height_m: float, *, detail: int = 0) -> Mesh:
    """A two-axle truck with a closed box."""
    front, rear = length_m / 2.0 - 0.12, -length_m / 2.0 + 0.05
    parts = cab(front, 1.75, width_m * 0.94, height_m * 0.80)
    parts += _cargo(front - 1.95, rear, width_m, (0.95, height_m))
    parts.append(box((-0.3, 0.0, 0.75), (length_m * 0.88, 0.9, 0.28), _DARK, Material.BLACK))
    parts.append(
        both_sides(
            box((0.0, width_m / 2.0 - 0.12, 0.62), (length_m * 0.26, 0.06, 0.36), (0.25, 0.25, 0.26), Material.PLAIN)
        )
    )
    parts += axles((front - 1.15, rear + 1.75), width_m, twin=(False, True), detail=detail)
    parts += rear_lamps(rear, width_m, 0.72)
    parts.append(box((rear + 0.05, 0.0, 0.5), (0.08, width_m * 0.9, 0.12), (0.3, 0.3, 0.3), Material.PLAIN))
    return merged(parts)


def tractor(length_m: float, width_m: float, height_m: float, *, detail: int = 0) -> Mesh:
    """The tractor of an articulated truck; its origin is the middle of tractor and trailer in line."""
    front = length_m / 2.0 - 0.12
    parts = cab(front, 2.2, width_m * 0.97, height_m * 0.93, floor_m=0.5)
    parts.append(box((front - 3.2, 0.0, 0.85), (6.2, 1.0, 0.3), _DARK, Material.BLACK))
    parts.append(
        both_sides(box((front - 3.4, width_m / 2.0 - 0.35, 0.75), (1.3, 0.6, 0.6), (0.55, 0.56, 0.58), Material.CHROME))
    )
    parts.append(box((front - 2.35, 0.0, 1.6), (0.25, width_m * 0.8, 1.2), _DARK, Material.BLACK))
    parts += axles((front - 1.4, front - 5.1), width_m, twin=(False, True), detail=detail)
    return merged(parts)


def semi_trailer(  # noqa: PLR0917 - measures
    length_m: float, width_m: float, height_m: float, hitch_m: float, begins_m: float, *, detail: int = 0
) -> Mesh:
    """A semi-trailer about its king pin.

    Args:
        length_m: Length of tractor and trailer in line.
        width_m: Width.
        height_m: Height.
        hitch_m: King pin behind the front of the tractor.
        begins_m: Front of the trailer behind it.
        detail: 0 for near, 1 for the middle distance, 2 for what is small in the picture.
    """
    front, rear = hitch_m - begins_m, hitch_m - length_m + 0.05
    parts = _cargo(front, rear, width_m, (1.15, height_m))
    parts.append(box(((front + rear) / 2.0, 0.0, 1.0), (front - rear, 1.1, 0.22), _DARK, Material.BLACK))
    guard = ((front + rear) / 2.0 + 0.8, width_m / 2.0 - 0.08, 0.75)
    parts.append(both_sides(box(guard, (5.0, 0.05, 0.5), (0.35, 0.35, 0.36), Material.PLAIN)))
    leg = (front - 2.6, width_m / 2.0 - 0.6, 0.62)
    parts.append(both_sides(box(leg, (0.14, 0.14, 0.8), (0.3, 0.3, 0.3), Material.PLAIN)))
    parts += axles((rear + 1.6, rear + 2.9, rear + 4.2), width_m, twin=(False, False, False), detail=detail)
    parts += rear_lamps(rear, width_m, 0.95)
    parts.append(box((rear + 0.1, 0.0, 0.55), (0.1, width_m * 0.92, 0.14), (0.7, 0.1, 0.1), Material.PLAIN))
    return merged(parts)
