"""Passenger cars and vans: saloon, hatchback, estate, SUV, van.

Here belong their proportions and fittings. The way from proportions to a surface is in `body.py`.
"""

from typing import Final

from services.fleet_simulator.camera.meshes.body import FAR, Body, BodyShape
from services.fleet_simulator.camera.meshes.mesh import Material, Mesh, both_sides, box, ellipsoid, merged, quad
from services.fleet_simulator.camera.meshes.wheels import plain_wheel, wheel

PLATE_M: Final = (0.52, 0.11)
"""Width and height of a licence plate (ISO 7591 leaves room, most of Europe uses this)."""
_DARK: Final = (0.02, 0.02, 0.022)
_SEAM: Final = (0.012, 0.012, 0.014)
_TWO_DOORS: Final = frozenset({"van", "microcar"})
_PLAN: Final = (
    (0.0, 0.66),
    (0.012, 0.76),
    (0.05, 0.90),
    (0.13, 0.97),
    (0.3, 1.0),
    (0.7, 1.0),
    (0.9, 0.955),
    (0.97, 0.86),
    (1.0, 0.70),
)

SHAPES: Final[dict[str, BodyShape]] = {
    "saloon": BodyShape(
        top=(
            (0.0, 0.40),
            (0.01, 0.47),
            (0.05, 0.535),
            (0.14, 0.60),
            (0.26, 0.655),
            (0.30, 0.69),
            (0.42, 0.945),
            (0.49, 0.995),
            (0.60, 1.0),
            (0.70, 0.955),
            (0.84, 0.735),
            (0.89, 0.72),
            (0.965, 0.70),
            (0.99, 0.62),
            (1.0, 0.55),
        ),
        belt=((0.0, 0.36), (0.06, 0.50), (0.28, 0.635), (0.75, 0.665), (0.92, 0.66), (1.0, 0.53)),
        plan=_PLAN,
        cowl=(0.285, 0.435),
        rear_glass=(0.70, 0.84),
        side_windows=((0.325, 0.505), (0.525, 0.665), (0.675, 0.745)),
        axles=(0.175, 0.785),
    ),
    "hatchback": BodyShape(
        top=(
            (0.0, 0.42),
            (0.012, 0.49),
            (0.05, 0.56),
            (0.14, 0.63),
            (0.22, 0.665),
            (0.26, 0.70),
            (0.39, 0.945),
            (0.46, 0.995),
            (0.62, 1.0),
            (0.80, 0.965),
            (0.86, 0.92),
            (0.955, 0.70),
            (0.985, 0.63),
            (1.0, 0.50),
        ),
        belt=((0.0, 0.38), (0.06, 0.52), (0.25, 0.645), (0.8, 0.685), (0.93, 0.66), (1.0, 0.45)),
        plan=_PLAN,
        cowl=(0.245, 0.405),
        rear_glass=(0.85, 0.95),
        side_windows=((0.285, 0.485), (0.505, 0.685), (0.70, 0.77)),
        axles=(0.185, 0.81),
    ),
    "estate": BodyShape(
        top=(
            (0.0, 0.40),
            (0.01, 0.47),
            (0.05, 0.535),
            (0.14, 0.595),
            (0.25, 0.65),
            (0.29, 0.69),
            (0.40, 0.94),
            (0.47, 0.995),
            (0.65, 1.0),
            (0.85, 0.97),
            (0.895, 0.93),
            (0.965, 0.71),
            (0.988, 0.63),
            (1.0, 0.52),
        ),
        belt=((0.0, 0.36), (0.06, 0.50), (0.27, 0.63), (0.8, 0.66), (0.94, 0.66), (1.0, 0.47)),
        plan=_PLAN,
        cowl=(0.275, 0.415),
        rear_glass=(0.89, 0.96),
        side_windows=((0.315, 0.49), (0.51, 0.665), (0.69, 0.84)),
        axles=(0.175, 0.785),
    ),
    "suv": BodyShape(
        top=(
            (0.0, 0.44),
            (0.01, 0.54),
            (0.04, 0.60),
            (0.13, 0.655),
            (0.24, 0.685),
            (0.28, 0.715),
            (0.385, 0.945),
            (0.45, 0.995),
            (0.65, 1.0),
            (0.86, 0.97),
            (0.90, 0.93),
            (0.97, 0.70),
            (0.99, 0.60),
            (1.0, 0.48),
        ),
        belt=((0.0, 0.40), (0.05, 0.56), (0.26, 0.665), (0.8, 0.695), (0.94, 0.67), (1.0, 0.44)),
        plan=_PLAN,
        cowl=(0.265, 0.40),
        rear_glass=(0.895, 0.96),
        wheel_radius_m=0.36,
        floor_m=0.27,
        side_windows=((0.305, 0.49), (0.51, 0.68), (0.70, 0.83)),
        axles=(0.185, 0.79),
        tumblehome=0.21,
    ),
    "microcar": BodyShape(
        top=(
            (0.0, 0.42),
            (0.015, 0.50),
            (0.06, 0.57),
            (0.13, 0.63),
            (0.17, 0.68),
            (0.33, 0.955),
            (0.42, 0.998),
            (0.60, 1.0),
            (0.80, 0.965),
            (0.90, 0.86),
            (0.96, 0.66),
            (0.99, 0.56),
            (1.0, 0.45),
        ),
        belt=((0.0, 0.38), (0.08, 0.52), (0.2, 0.60), (0.8, 0.63), (0.94, 0.60), (1.0, 0.42)),
        plan=((0.0, 0.62), (0.02, 0.76), (0.08, 0.90), (0.2, 0.98), (0.4, 1.0), (0.7, 1.0), (0.92, 0.94), (1.0, 0.70)),
        cowl=(0.15, 0.345),
        rear_glass=(0.82, 0.945),
        side_windows=((0.215, 0.56), (0.60, 0.78)),
        axles=(0.17, 0.83),
        wheel_radius_m=0.28,
        tumblehome=0.20,
    ),
    "van": BodyShape(
        top=(
            (0.0, 0.36),
            (0.01, 0.44),
            (0.04, 0.49),
            (0.12, 0.545),
            (0.16, 0.575),
            (0.29, 0.93),
            (0.34, 0.985),
            (0.6, 1.0),
            (0.95, 0.99),
            (0.985, 0.965),
            (1.0, 0.92),
        ),
        belt=((0.0, 0.33), (0.05, 0.46), (0.15, 0.535), (0.3, 0.57), (0.96, 0.57), (1.0, 0.56)),
        plan=((0.0, 0.70), (0.02, 0.84), (0.08, 0.95), (0.2, 1.0), (0.97, 1.0), (0.99, 0.985), (1.0, 0.94)),
        cowl=(0.145, 0.285),
        rear_glass=(1.5, 1.6),
        wheel_radius_m=0.34,
        floor_m=0.24,
        side_windows=((0.20, 0.355),),
        axles=(0.18, 0.79),
        tumblehome=0.10,
    ),
}


def car(kind: str, length_m: float, width_m: float, height_m: float, *, detail: int = 0) -> Mesh:
    """A car with the front towards +x.

    Args:
        kind: Key of `SHAPES`.
        length_m: Length; width and height likewise.
        width_m: Width without mirrors.
        height_m: Height.
        detail: 0 for near, 1 for the middle distance, 2 for what is small in the picture.
    """
    body = Body(SHAPES[kind], length_m, width_m, height_m, detail)
    parts = [body.surface(), *_wheels(body, detail), *_front(body, kind), *_rear(body, kind)]
    parts.append(both_sides(_mirror(body)))
    if detail == 0:
        parts.append(both_sides(merged(_seams(body, kind))))
    return merged(parts)


def _wheels(body: Body, detail: int) -> list[Mesh]:
    shape = body.shape
    one = (
        wheel(shape.wheel_radius_m, 0.21, spokes=5, sides=18)
        if detail == 0
        else plain_wheel(shape.wheel_radius_m, 0.21, sides=(0, 11, 8)[detail])
    )
    y = body.width_m / 2.0 * 0.965 - 0.105
    return [both_sides(one.moved(body.x_m(axle), y, shape.wheel_radius_m)) for axle in shape.axles]


def _front(body: Body, kind: str) -> list[Mesh]:
    van = kind == "van"
    lamp = (0.35, 0.43) if van else (0.435, 0.505)
    low = body.shape.floor_m / body.height_m
    parts = [
        both_sides(
            body.on_end((0.50, 0.93), (lamp[0] - 0.008, lamp[1] + 0.008), _DARK, Material.BLACK, front=True, slant=0.03)
        ),
        both_sides(
            body.on_end((0.54, 0.88), lamp, (0.85, 0.88, 0.9), Material.HEAD_LAMP, front=True, lift_m=0.024, slant=0.03)
        ),
        both_sides(
            body.on_end((0.88, 0.925), lamp, (0.8, 0.5, 0.2), Material.LEFT_LAMP, front=True, lift_m=0.024, slant=0.03)
        ),
        body.on_end((-0.46, 0.46), (lamp[0] - 0.03, lamp[1] - 0.025), _DARK, Material.BLACK, front=True),
        body.on_end((-0.46, 0.46), (lamp[1] - 0.024, lamp[1] - 0.012), (0.7, 0.7, 0.72), Material.CHROME, front=True),
        body.on_end(
            (-0.05, 0.05),
            (lamp[0] - 0.005, lamp[1] - 0.03),
            (0.8, 0.8, 0.82),
            Material.CHROME,
            front=True,
            lift_m=0.018,
        ),
        body.on_end((-0.62, 0.62), (low + 0.06, low + 0.115), _DARK, Material.BLACK, front=True),
        both_sides(body.on_end((0.66, 0.8), (low + 0.05, low + 0.085), (0.5, 0.5, 0.5), Material.CHROME, front=True)),
        _plate(body, low + (0.135 if not van else 0.06), front=True),
    ]
    if kind == "suv":
        parts.append(
            body.on_end((-0.75, 0.75), (low + 0.002, low + 0.035), (0.45, 0.45, 0.47), Material.CHROME, front=True)
        )
    return parts


def _rear(body: Body, kind: str) -> list[Mesh]:
    upright = kind in ("suv", "estate", "van")
    lamps = {"saloon": (0.53, 0.615), "hatchback": (0.53, 0.64), "van": (0.30, 0.50)}.get(kind, (0.50, 0.64))
    inner = 0.78 if kind == "van" else 0.58
    height = lamps[1] - lamps[0]
    third = lamps[0] + height / 3.0
    low = body.shape.floor_m / body.height_m
    bright = (0.55, 0.02, 0.03)
    parts = [
        both_sides(
            body.on_end((inner, 0.90), (third, lamps[1]), bright, Material.BRAKE_LAMP, front=False, lift_m=0.024)
        ),
        both_sides(
            body.on_end(
                (inner + 0.15, 0.90),
                (lamps[0], third),
                (0.75, 0.35, 0.1),
                Material.LEFT_LAMP,
                front=False,
                lift_m=0.024,
            )
        ),
        both_sides(
            body.on_end(
                (inner, inner + 0.15),
                (lamps[0], third),
                (0.8, 0.8, 0.8),
                Material.REVERSE_LAMP,
                front=False,
                lift_m=0.024,
            )
        ),
        both_sides(
            body.on_end(
                (inner - 0.012, 0.915),
                (lamps[0] - 0.01, lamps[1] + 0.01),
                (0.10, 0.01, 0.012),
                Material.TAIL_LAMP,
                front=False,
            )
        ),
        body.on_end((-0.72, 0.72), (low + 0.055, low + 0.105), _DARK, Material.BLACK, front=False),
        both_sides(
            body.on_end((0.62, 0.80), (low + 0.10, low + 0.12), (0.5, 0.02, 0.02), Material.TAIL_LAMP, front=False)
        ),
        _plate(body, 0.36 if kind == "van" else (0.42 if upright or kind == "hatchback" else 0.46), front=False),
        body.on_end((-0.05, 0.05), (0.575, 0.61), (0.8, 0.8, 0.82), Material.CHROME, front=False),
        body.on_end((-0.86, 0.86), (low + 0.125, low + 0.132), _SEAM, Material.BLACK, front=False),
    ]
    if kind == "van":
        parts.append(both_sides(body.on_end((0.12, 0.76), (0.58, 0.86), (0.1, 0.1, 0.1), Material.GLASS, front=False)))
        parts.append(body.on_end((-0.008, 0.008), (0.2, 0.95), _SEAM, Material.BLACK, front=False))
        parts.append(body.on_end((-0.2, 0.2), (0.955, 0.975), bright, Material.BRAKE_LAMP, front=False))
    else:
        roof = body.shape.rear_glass[0] - 0.012
        z = float(body.height_m * (0.965 if upright or kind == "hatchback" else 0.90))
        parts.append(
            box(
                (body.x_m(roof + (0.0 if kind != "saloon" else 0.045)), 0.0, z),
                (0.03, 0.34, 0.025),
                bright,
                Material.BRAKE_LAMP,
            )
        )
    if upright and kind != "van":
        for y in (-0.36, 0.36):
            rail = box(
                (body.x_m(0.64), y * body.width_m, 0.985 * body.height_m),
                (0.30 * body.length_m, 0.03, 0.035),
                (0.3, 0.3, 0.31),
                Material.CHROME,
            )
            parts.append(rail)
    return parts


def _plate(body: Body, z_share: float, *, front: bool) -> Mesh:
    import numpy as np

    z = z_share * body.height_m
    edges = body.end_x(np.array([0.0, 0.26, 0.0]), np.array([z, z, z + 0.05]), front=front)
    sign = 1.0 if front else -1.0
    x = (float(edges.max()) if front else float(edges.min())) + 0.012 * sign
    width, height = PLATE_M
    return quad((x, 0.0, z), (0.0, sign * width / 2.0, 0.0), (0.0, 0.0, height / 2.0), (1.0, 1.0, 1.0), Material.PLATE)


def _mirror(body: Body) -> Mesh:
    share = body.shape.side_windows[0][0] + 0.015
    belt = 0.68 * body.height_m if body.shape.cowl[0] > 0.2 else 0.60 * body.height_m  # noqa: PLR2004 - vans sit higher
    y = body.width_m / 2.0 + 0.06
    middle = (body.x_m(share), y, belt + 0.03)
    if body.detail == FAR:
        return box(middle, (0.12, 0.18, 0.13), (1.0, 1.0, 1.0), Material.PAINT)
    shell = ellipsoid(middle, (0.07, 0.10, 0.075), (1.0, 1.0, 1.0), Material.PAINT, rows=5, sides=8)
    glass = quad(
        (body.x_m(share) - 0.062, y, belt + 0.03), (0.0, -0.075, 0.0), (0.0, 0.0, 0.05), (0.3, 0.3, 0.3), Material.GLASS
    )
    return merged([shell, glass])


def _seams(body: Body, kind: str) -> list[Mesh]:
    """Gaps of the doors, handles and sills on the left side."""
    windows = body.shape.side_windows
    floor, belt = body.shape.floor_m, 0.64 * body.height_m
    thin = 0.008 / body.length_m
    cuts = [windows[0][0] - 0.01, windows[0][1] + 0.01]
    if kind not in _TWO_DOORS:
        cuts.append(windows[1][1] + 0.01)
    parts = [body.on_side((cut - thin, cut + thin), (floor + 0.06, belt), _SEAM, Material.BLACK, 0.008) for cut in cuts]
    low, high = body.shape.axles[0] + 0.1, body.shape.axles[1] - 0.1
    parts.append(body.on_side((low, high), (floor + 0.015, floor + 0.055), _DARK, Material.BLACK, 0.008))
    for cut in cuts[1:]:
        handle = body.on_side(
            (cut - 0.045, cut - 0.012),
            (0.585 * body.height_m, 0.605 * body.height_m),
            (0.7, 0.7, 0.7),
            Material.CHROME,
            0.012,
        )
        parts.append(handle)
    return parts
