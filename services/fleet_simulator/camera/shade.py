"""Shadows and lamplight on the ground: a map of the surroundings and the shapes that road users cast.

Here belongs what reaches the ground from where. How bright it is comes from `illumination.py`.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from services.fleet_simulator.camera.layout import Building, Thing, corners_of

FloatArray = NDArray[np.float64]
MAP_PX: Final = 256
MAP_M: Final = 256.0
SNAP_M: Final = 32.0
"""The map moves in steps, so that it need not be drawn anew for every picture."""
_LAMP_REACH_M: Final = 20
_LONGEST_M: Final = 90.0
_SQUARE: Final = np.array([(1.0, 1.0), (-1.0, 1.0), (-1.0, -1.0), (1.0, -1.0)])
_CORNERS: Final = 12


def map_corner(x_m: float, y_m: float) -> tuple[float, float]:
    """Lower left corner of the map for a camera."""
    return (
        np.floor(x_m / SNAP_M) * SNAP_M + SNAP_M / 2.0 - MAP_M / 2.0,
        np.floor(y_m / SNAP_M) * SNAP_M + SNAP_M / 2.0 - MAP_M / 2.0,
    )


@lru_cache(maxsize=1)
def _lamp_kernel() -> NDArray[np.float32]:
    span = np.arange(-_LAMP_REACH_M, _LAMP_REACH_M + 1, dtype=np.float32)
    away = np.hypot(*np.meshgrid(span, span))
    # A lantern 8 m above: cosine law over distance squared, cut off by its glass beyond about 65 degrees.
    kernel = (1.0 + (away / 8.0) ** 2) ** -2.0 * np.clip((_LAMP_REACH_M - away) / 6.0, 0.0, 1.0)
    return np.asarray(kernel * 255.0 * 0.23, dtype=np.float32)


def light_map(
    corner: tuple[float, float], to_sun: Sequence[float], buildings: Sequence[Building], things: Sequence[Thing]
) -> NDArray[np.uint8]:
    """uint8[256, 256, 2]: share of the sun that arrives, light of street lamps; rows go north."""
    sun = np.full((MAP_PX, MAP_PX), 255, dtype=np.uint8)
    lamp = np.zeros((MAP_PX + 2 * _LAMP_REACH_M, MAP_PX + 2 * _LAMP_REACH_M), dtype=np.float32)
    stretch = -np.asarray(to_sun[:2]) / max(float(to_sun[2]), 0.05)
    low = np.asarray(corner)
    for block in buildings:
        foot = corners_of(block) - low
        reach = stretch * block.height_m
        reach *= min(1.0, _LONGEST_M / max(float(np.hypot(*reach)), 1e-6))
        hull = cv2.convexHull(np.concatenate([foot, foot + reach]).astype(np.float32))
        cv2.fillConvexPoly(sun, np.rint(hull * 16.0).astype(np.int32), 0, cv2.LINE_AA, 4)
    for thing in things:
        place = np.array([thing.x_m, thing.y_m]) - low
        if thing.kind == "tree":
            for share, radius in ((0.5, 2.2), (0.72, 1.9)):
                centre = place + stretch * 8.0 * share * thing.size
                if np.abs(centre).max() < 2.0 * MAP_M:
                    cv2.circle(
                        sun,
                        tuple(int(v) for v in np.rint(centre * 16.0)),
                        int(radius * thing.size * 16.0),
                        60,
                        -1,
                        cv2.LINE_AA,
                        4,
                    )
        elif thing.kind == "lantern":
            spot = place + 1.9 * np.array([-np.sin(thing.yaw_rad), np.cos(thing.yaw_rad)])
            column, row = (int(v) for v in np.rint(spot))
            if 0 <= column < MAP_PX and 0 <= row < MAP_PX:
                lamp[row : row + 2 * _LAMP_REACH_M + 1, column : column + 2 * _LAMP_REACH_M + 1] += _lamp_kernel()
    inner = lamp[_LAMP_REACH_M:-_LAMP_REACH_M, _LAMP_REACH_M:-_LAMP_REACH_M]
    picture = np.stack([cv2.blur(sun, (3, 3)), np.clip(inner, 0, 255).astype(np.uint8)], axis=-1)
    picture[[0, -1]] = (255, 0)
    picture[:, [0, -1]] = (255, 0)
    return picture


def sun_at(picture: NDArray[np.uint8], corner: tuple[float, float], x_m: float, y_m: float) -> float:
    """Share of the sun that arrives at a place."""
    column, row = int(x_m - corner[0]), int(y_m - corner[1])
    inside = 0 <= column < MAP_PX and 0 <= row < MAP_PX
    return float(picture[row, column, 0]) / 255.0 if inside else 1.0


def outlines(  # noqa: PLR0917 - measures and light of one road user
    length_m: float, width_m: float, height_m: float, yaw_rad: float, to_sun: Sequence[float], sun_share: float
) -> list[tuple[FloatArray, float, float]]:
    """What a road user darkens around its middle: the ground under it, and away from the sun.

    Returns:
        Convex polygons float64[n, 2] with strength and width of the soft rim, metres.
    """
    turn = np.array([[np.cos(yaw_rad), np.sin(yaw_rad)], [-np.sin(yaw_rad), np.cos(yaw_rad)]])
    foot = (_SQUARE * np.array([length_m / 2.0, width_m / 2.0])) @ turn
    found = [((_SQUARE * np.array([length_m * 0.47, width_m * 0.46])) @ turn, 0.62, 0.55)]
    if sun_share > 0.03:  # noqa: PLR2004
        stretch = -np.asarray(to_sun[:2]) / max(float(to_sun[2]), 0.12)
        corners = np.concatenate([foot * 0.96, foot + stretch * height_m * 0.6, foot * 0.62 + stretch * height_m])
        hull = cv2.convexHull(corners.astype(np.float32), clockwise=False)[:, 0].astype(np.float64)
        found.append((hull, 0.60 * sun_share, 0.12 + 0.04 * height_m))
    return found


def soft_triangles(shapes: Sequence[tuple[FloatArray, float, float, float]], middles: FloatArray) -> FloatArray:
    """Convex polygons whose strength falls to nothing across a rim.

    Args:
        shapes: As `outlines` gives them, each with the height of the ground.
        middles: float64[n, 2], what to add to each.

    Returns:
        Triangles float64[m, 4]: x, y, height, strength of each corner.
    """
    outline = np.stack([np.pad(shape, ((0, _CORNERS - len(shape)), (0, 0)), mode="edge") for shape, _, _, _ in shapes])
    strength, rim, ground = (np.array([one[column] for one in shapes]) for column in (1, 2, 3))
    centre = np.stack([shape.mean(axis=0) for shape, _, _, _ in shapes])[:, None]
    away = outline - centre
    far = np.maximum(np.hypot(away[..., 0], away[..., 1])[..., None], 1e-6)
    reach = rim[:, None, None] / far
    inner, outer = centre + away * np.maximum(1.0 - reach, 0.3), centre + away * (1.0 + reach)
    middle = np.broadcast_to(centre, inner.shape)
    after_in, after_out = np.roll(inner, -1, axis=1), np.roll(outer, -1, axis=1)
    places = np.stack([middle, inner, after_in, inner, outer, after_out, inner, after_out, after_in], axis=2)
    level = np.array([1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 1.0, 0.0, 1.0])
    values = np.broadcast_to(strength[:, None, None] * level, places.shape[:3])
    height = np.broadcast_to(ground[:, None, None], values.shape)
    return np.concatenate([places + middles[:, None, None], height[..., None], values[..., None]], axis=-1).reshape(
        -1, 4
    )
