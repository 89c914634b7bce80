"""The city bus. Trucks, and what it has in common with them, are in `heavy.py`."""

from typing import Final

from services.fleet_simulator.camera.meshes.cars import PLATE_M
from services.fleet_simulator.camera.meshes.heavy import axles, left_panel, panel, rear_lamps, rounded_box
from services.fleet_simulator.camera.meshes.mesh import Material, Mesh, both_sides, box, ellipsoid, merged, quad

_DARK: Final = (0.025, 0.025, 0.027)
_WHITE: Final = (1.0, 1.0, 1.0)


def bus(length_m: float, width_m: float, height_m: float, *, detail: int = 0) -> Mesh:
    """A low-floor city bus."""
    front, rear, half = length_m / 2.0 - 0.04, -length_m / 2.0 + 0.04, width_m / 2.0
    tall = height_m - 0.30
    parts = [
        rounded_box(
            (0.0, 0.0, 0.30 + tall / 2.0), (front - rear, width_m, tall), 0.20, _WHITE, Material.PAINT, rake_m=0.12
        )
    ]
    glass, low, high = (0.1, 0.1, 0.1), 0.43 * height_m, 0.80 * height_m
    pane = (front - rear - 1.0) / 8.0
    for index in range(8):
        start = rear + 0.4 + index * pane
        parts.append(
            both_sides(
                left_panel(half + 0.008, (start + 0.04, start + pane - 0.04), (low, high), glass, Material.GLASS)
            )
        )
    # Doors on the kerb side, the right.
    for x in (front - 1.0, front - 5.6):
        door = left_panel(half + 0.012, (x - 0.6, x + 0.6), (0.38, high), glass, Material.GLASS).mirrored()
        frame = left_panel(half + 0.014, (x - 0.03, x + 0.03), (0.38, high), _DARK, Material.BLACK).mirrored()
        parts += [door, frame]
    parts.append(
        both_sides(
            left_panel(half + 0.010, (rear + 0.2, front - 0.3), (0.32, 0.50), (0.12, 0.12, 0.13), Material.PLAIN)
        )
    )
    parts.append(
        panel(
            front + 0.0,
            (-half + 0.10, half - 0.10),
            (0.36 * height_m, 0.80 * height_m),
            glass,
            Material.GLASS,
            front=True,
            lean_m=0.05,
        )
    )
    parts.append(
        panel(
            front - 0.075,
            (-half + 0.3, half - 0.3),
            (0.84 * height_m, 0.93 * height_m),
            (0.9, 0.65, 0.1),
            Material.GLOW,
            front=True,
            lean_m=0.012,
        )
    )
    lamp_z = 0.62
    parts.append(
        both_sides(
            panel(
                front + 0.012,
                (half - 0.62, half - 0.18),
                (lamp_z - 0.10, lamp_z + 0.08),
                (0.85, 0.87, 0.9),
                Material.HEAD_LAMP,
                front=True,
            )
        )
    )
    parts.append(
        both_sides(
            panel(
                front + 0.013,
                (half - 0.17, half - 0.08),
                (lamp_z - 0.10, lamp_z + 0.08),
                (0.8, 0.5, 0.2),
                Material.LEFT_LAMP,
                front=True,
            )
        )
    )
    parts.append(panel(front + 0.012, (-half + 0.2, half - 0.2), (0.32, 0.45), _DARK, Material.BLACK, front=True))
    parts.append(
        quad(
            (front + 0.02, 0.0, 0.50),
            (0.0, PLATE_M[0] / 2.0, 0.0),
            (0.0, 0.0, PLATE_M[1] / 2.0),
            _WHITE,
            Material.PLATE,
        )
    )
    parts.append(
        both_sides(box((front + 0.02, half + 0.14, 0.72 * height_m), (0.10, 0.16, 0.40), _DARK, Material.BLACK))
    )
    parts.append(
        panel(
            rear - 0.012,
            (-half + 0.25, half - 0.25),
            (0.55 * height_m, 0.82 * height_m),
            glass,
            Material.GLASS,
            front=False,
        )
    )
    parts.append(
        panel(rear - 0.012, (-half + 0.35, half - 0.35), (0.55, 1.15), (0.06, 0.06, 0.06), Material.BLACK, front=False)
    )
    parts += rear_lamps(rear, width_m, 0.80)
    parts.append(box((0.0, 0.0, height_m - 0.06), (3.0, 1.6, 0.14), (0.8, 0.8, 0.8), Material.PLAIN))
    parts.append(
        both_sides(
            ellipsoid((front - 2.7, half - 0.02, 0.56), (0.62, 0.03, 0.54), _DARK, Material.BLACK, rows=6, sides=12)
        )
    )
    parts.append(
        both_sides(
            ellipsoid((rear + 3.2, half - 0.02, 0.56), (0.62, 0.03, 0.54), _DARK, Material.BLACK, rows=6, sides=12)
        )
    )
    parts += axles((front - 2.7, rear + 3.2), width_m + 0.08, twin=(False, True), detail=detail)
    return merged(parts)
