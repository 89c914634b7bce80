"""Pictures on surfaces, all painted by numbers: road, paving, grass, façades, roofs, leaves, signs.

Here belong colours of surfaces. Light on them is in `shaders.py`; plates and faces have modules of their own.
"""

from collections.abc import Sequence
from enum import IntEnum
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from services.fleet_simulator.camera.meshes.roadside import SIGN_SLOTS

SIZE: Final = 512
"""Pixels of each side of a layer."""
LAYER_M: Final = {"facade": (12.0, 12.8), "ground": (8.0, 8.0)}
"""Metres that a layer covers, across and up."""
_WINDOWS: Final = 4
_STREAM: Final = 301
Pixels = NDArray[np.uint8]
Colour = tuple[int, int, int, int]


class Layer(IntEnum):
    """Layers of the texture array; alpha: light from inside after dark, asphalt's smoothness, leaves' cover."""

    PLASTER = 0
    ASPHALT = 1
    PAVING = 2
    GRASS = 3
    BRICK = 4
    RENDER_LIGHT = 5
    OFFICE = 6
    RENDER_OCHRE = 7
    PANEL = 8
    STONE = 9
    SHOPS = 10
    TILES = 11
    FLAT_ROOF = 12
    LEAVES = 13
    BARK = 14
    KERB = 15


FACADES: Final = (Layer.BRICK, Layer.RENDER_LIGHT, Layer.OFFICE, Layer.RENDER_OCHRE, Layer.PANEL, Layer.STONE)


def _noise(rng: np.random.Generator, cells: int, size: int = SIZE) -> NDArray[np.float32]:
    """Smooth noise that repeats without a seam, about -1 to 1."""
    coarse = rng.normal(0.0, 0.5, (cells, cells)).astype(np.float32)
    wrapped = np.tile(coarse, (3, 3))
    large = cv2.resize(wrapped, (3 * size, 3 * size), interpolation=cv2.INTER_CUBIC)
    return np.asarray(large[size : 2 * size, size : 2 * size], dtype=np.float32)


def _surface(
    rng: np.random.Generator, colour: tuple[float, float, float], grain: float, patches: float, alpha: int = 0
) -> Pixels:
    fine = rng.normal(0.0, grain, (SIZE, SIZE)).astype(np.float32)
    level = 1.0 + fine + patches * (_noise(rng, 6) + 0.6 * _noise(rng, 23) + 0.4 * _noise(rng, 71))
    picture = np.empty((SIZE, SIZE, 4), dtype=np.uint8)
    picture[..., :3] = np.clip(np.asarray(colour) * level[..., None] * 255.0, 0, 255)
    picture[..., 3] = alpha
    return picture


def _asphalt(rng: np.random.Generator) -> Pixels:
    picture = _surface(rng, (0.335, 0.335, 0.345), 0.10, 0.055)
    for _ in range(5):
        points = np.cumsum(rng.normal(0.0, 14.0, (14, 2)), axis=0) + rng.uniform(0, SIZE, 2)
        cv2.polylines(picture, [points.astype(np.int32)], False, (62, 62, 64, 0), 1, cv2.LINE_AA)
    smooth = np.clip(0.55 + 0.55 * _noise(rng, 5) + 0.25 * _noise(rng, 17), 0.0, 1.0)
    picture[..., 3] = smooth * 255.0
    return picture


def _paving(rng: np.random.Generator) -> Pixels:
    picture = _surface(rng, (0.60, 0.585, 0.56), 0.05, 0.05)
    slab = SIZE // 16
    tint = cv2.resize(
        rng.normal(1.0, 0.035, (16, 16)).astype(np.float32), (SIZE, SIZE), interpolation=cv2.INTER_NEAREST
    )
    picture[..., :3] = np.clip(picture[..., :3] * tint[..., None], 0, 255)
    picture[::slab, :, :3] = picture[::slab, :, :3] * 0.72
    picture[:, ::slab, :3] = picture[:, ::slab, :3] * 0.72
    return picture


def _grass(rng: np.random.Generator) -> Pixels:
    picture = _surface(rng, (0.33, 0.38, 0.20), 0.16, 0.10)
    dry = np.clip(_noise(rng, 9) * 0.5 + 0.3, 0.0, 1.0)[..., None]
    picture[..., :3] = picture[..., :3] * (1.0 - 0.35 * dry) + np.array([120, 118, 66]) * 0.35 * dry
    return picture


def _wall(rng: np.random.Generator, colour: tuple[float, float, float], *, brick: bool) -> Pixels:
    picture = _surface(rng, colour, 0.035, 0.035)
    if brick:
        course = 8
        for index, row in enumerate(range(0, SIZE, course)):
            picture[row, :, :3] = picture[row, :, :3] * 0.5 + 85
            shades = np.repeat(rng.normal(1.0, 0.09, SIZE // 16), 16)[:, None]
            band = picture[row + 1 : row + course, :, :3] * np.roll(shades, 8 * (index % 2), axis=0)[None]
            picture[row + 1 : row + course, :, :3] = np.clip(band, 0, 255)
    streaks = cv2.resize(rng.normal(0.0, 0.02, (4, 64)).astype(np.float32), (SIZE, SIZE), interpolation=cv2.INTER_CUBIC)
    picture[..., :3] = np.clip(picture[..., :3] * (1.0 + streaks[..., None]), 0, 255)
    return picture


def _window(picture: Pixels, rng: np.random.Generator, x: tuple[int, int], y: tuple[int, int], frame: int) -> None:
    """One window: frame, glass that mirrors the sky above and the street below, curtains, perhaps a lamp behind it."""
    (left, right), (top, bottom) = x, y
    cv2.rectangle(picture, (left - 5, top - 5), (right + 5, bottom + 7), (frame, frame, frame, 0), -1)
    picture[bottom + 3 : bottom + 8, left - 9 : right + 9, :3] = min(255, frame + 10)
    picture[bottom + 8 : bottom + 13, left - 7 : right + 7, :3] = (
        picture[bottom + 8 : bottom + 13, left - 7 : right + 7, :3] * 0.7
    )
    fall = np.linspace(1.0, 0.0, bottom - top)[:, None, None]
    tone = rng.uniform(0.85, 1.15)
    glass = (np.array([112.0, 132.0, 152.0]) * fall + np.array([52.0, 58.0, 64.0]) * (1.0 - fall)) * tone
    area = picture[top:bottom, left:right]
    area[..., :3] = np.clip(np.broadcast_to(glass, (*area.shape[:2], 3)), 0, 255)
    if rng.random() < 0.5:  # noqa: PLR2004 - every second window has curtains
        drawn = int((right - left) * rng.uniform(0.15, 0.35))
        for part in (area[:, :drawn, :3], area[:, -drawn:, :3]):
            part[:] = part * 0.4 + np.array([205, 198, 185]) * 0.55
    lit = rng.random() < 0.34  # noqa: PLR2004
    area[..., 3] = int(rng.uniform(90, 255)) if lit else 0
    area[:5, :, :3] = area[:5, :, :3] * 0.55
    area[:, :3, :3] = area[:, :3, :3] * 0.65
    middle = (left + right) // 2
    picture[top:bottom, middle - 2 : middle + 2] = (frame, frame, frame, 0)
    third = top + (bottom - top) // 3
    picture[third - 1 : third + 2, left:right] = (frame, frame, frame, 0)


def _facade(
    rng: np.random.Generator, colour: tuple[float, float, float], *, brick: bool, frame: int, width: float = 0.46
) -> Pixels:
    """Four floors with four windows each."""
    picture, pitch = _wall(rng, colour, brick=brick), SIZE // _WINDOWS
    for floor in range(_WINDOWS):
        band = floor * pitch
        picture[band : band + 4, :, :3] = np.clip(picture[band : band + 4, :, :3] * 1.12, 0, 255)
        picture[band + 4 : band + 7, :, :3] = picture[band + 4 : band + 7, :, :3] * 0.75
        for column in range(_WINDOWS):
            middle = column * pitch + pitch // 2
            half = int(pitch * width / 2)
            _window(
                picture,
                rng,
                (middle - half, middle + half),
                (band + int(0.25 * pitch), band + int(0.80 * pitch)),
                frame,
            )
    return picture


def _office(rng: np.random.Generator) -> Pixels:
    """Panes of glass between slabs and piers, some with blinds."""
    picture, pitch = _surface(rng, (0.66, 0.66, 0.64), 0.02, 0.03), SIZE // _WINDOWS
    for floor in range(_WINDOWS):
        top, bottom = floor * pitch + 34, (floor + 1) * pitch - 6
        for column in range(8):
            # Every second gap is a pier as wide as a person.
            left, right = column * 64 + (9 if column % 2 == 0 else 2), column * 64 + (62 if column % 2 == 0 else 55)
            fall = np.linspace(1.0, 0.0, bottom - top)[:, None, None]
            glass = (np.array([120.0, 148.0, 168.0]) * fall + np.array([58.0, 74.0, 86.0]) * (1 - fall)) * rng.uniform(
                0.7, 1.25
            )
            picture[top:bottom, left:right, :3] = np.clip(glass, 0, 255)
            if rng.random() < 0.4:  # noqa: PLR2004
                end = top + int((bottom - top) * rng.uniform(0.25, 1.0))
                picture[top:end, left:right, :3] = np.array([186, 182, 172]) * rng.uniform(0.85, 1.1)
                picture[top:end:6, left:right, :3] = 140
            picture[top:bottom, left:right, 3] = int(rng.uniform(60, 230)) if rng.random() < 0.3 else 0  # noqa: PLR2004
    return picture


def _shops(rng: np.random.Generator) -> Pixels:
    """A ground floor of shop windows and doors under coloured boards; covers 12 m by 4 m."""
    picture = _surface(rng, (0.46, 0.44, 0.42), 0.03, 0.02)
    for column in range(3):
        left, right = column * 171 + 10, column * 171 + 160
        board = np.array(((120, 38, 34), (34, 62, 92), (58, 74, 52))[column])
        picture[30:110, left:right, :3] = board
        picture[30:110, left:right, 3] = 30
        for _ in range(9):
            x = int(rng.uniform(left + 14, right - 30))
            cv2.rectangle(picture, (x, 52), (x + int(rng.uniform(5, 16)), 88), (235, 232, 225, 90), -1)
        fall = np.linspace(1.0, 0.25, 340)[:, None, None]
        picture[140:480, left:right, :3] = np.broadcast_to(
            np.array([98.0, 106.0, 112.0]) * fall, (340, right - left, 3)
        )
        picture[140:480, left:right, 3] = int(rng.uniform(20, 75))
        for _ in range(7):
            x, height = int(rng.uniform(left + 6, right - 26)), int(rng.uniform(50, 190))
            shade = rng.uniform(0.2, 0.8, 3) * 200.0
            picture[480 - height : 480, x : x + 20, :3] = shade * 0.5 + 30
        picture[140:480, (left + right) // 2 - 3 : (left + right) // 2 + 3] = (70, 70, 72, 0)
    return picture


def _tiles(rng: np.random.Generator) -> Pixels:
    picture = _surface(rng, (0.55, 0.30, 0.22), 0.06, 0.06)
    for row in range(0, SIZE, 16):
        picture[row : row + 3, :, :3] = picture[row : row + 3, :, :3] * 0.62
    for column in range(0, SIZE, 12):
        picture[:, column : column + 2, :3] = picture[:, column : column + 2, :3] * 0.85
    return picture


def _leaves(rng: np.random.Generator) -> Pixels:
    """A spray of leaves with gaps; alpha is their cover."""
    picture = np.zeros((SIZE, SIZE, 4), dtype=np.uint8)
    picture[..., :3] = (62, 92, 36)
    for index in range(330):
        radius, angle = 225.0 * rng.random() ** 0.62, rng.uniform(0.0, 2.0 * np.pi)
        centre = (int(256 + radius * np.cos(angle)), int(256 + radius * np.sin(angle)))
        shade = 0.55 + 0.45 * index / 330.0 + rng.normal(0.0, 0.08)
        colour = np.clip(np.array([96.0, 124.0, 58.0]) * shade * rng.uniform(0.85, 1.15, 3), 0, 255)
        axes = (int(rng.uniform(16, 28)), int(rng.uniform(9, 15)))
        cv2.ellipse(picture, centre, axes, float(rng.uniform(0, 180)), 0, 360, (*map(float, colour), 255.0), -1)
    return picture


def surface_layers() -> NDArray[np.uint8]:
    """All layers, uint8[layers, 512, 512, 4], red, green, blue, alpha; the first row is the top."""
    rng = np.random.default_rng([_STREAM])
    layers = {
        Layer.PLASTER: _surface(rng, (0.92, 0.92, 0.92), 0.02, 0.02),
        Layer.ASPHALT: _asphalt(rng),
        Layer.PAVING: _paving(rng),
        Layer.GRASS: _grass(rng),
        Layer.BRICK: _facade(rng, (0.58, 0.33, 0.26), brick=True, frame=215),
        Layer.RENDER_LIGHT: _facade(rng, (0.84, 0.82, 0.77), brick=False, frame=235),
        Layer.OFFICE: _office(rng),
        Layer.RENDER_OCHRE: _facade(rng, (0.80, 0.68, 0.48), brick=False, frame=225),
        Layer.PANEL: _facade(rng, (0.63, 0.64, 0.65), brick=False, frame=90, width=0.66),
        Layer.STONE: _facade(rng, (0.70, 0.66, 0.58), brick=True, frame=120, width=0.40),
        Layer.SHOPS: _shops(rng),
        Layer.TILES: _tiles(rng),
        Layer.FLAT_ROOF: _surface(rng, (0.38, 0.38, 0.39), 0.05, 0.05),
        Layer.LEAVES: _leaves(rng),
        Layer.BARK: _surface(rng, (0.33, 0.295, 0.26), 0.12, 0.12),
        Layer.KERB: _surface(rng, (0.66, 0.66, 0.65), 0.04, 0.05),
    }
    return np.stack([layers[layer] for layer in Layer])


def sign_atlas() -> Pixels:
    """Pictures of the signs, uint8[512, 512, 4], 4 x 4 places; alpha 0 outside of the plate."""
    atlas = np.zeros((1024, 1024, 4), dtype=np.uint8)
    for name, slot in SIGN_SLOTS.items():
        top, left = slot // 4 * 256, slot % 4 * 256
        _paint_sign(atlas[top : top + 256, left : left + 256], name)
    return np.asarray(cv2.resize(atlas, (512, 512), interpolation=cv2.INTER_AREA), dtype=np.uint8)


_SIGN_WHITE, _SIGN_RED, _SIGN_BLACK = (245, 245, 245, 255), (196, 20, 30, 255), (15, 15, 15, 255)
_SIGN_YELLOW, _SIGN_BLUE = (250, 205, 20, 255), (20, 70, 170, 255)
_WALKER: Final = ([[100, 206], [124, 150], [156, 206]], [[126, 108], [124, 150]])
_WORKER: Final = ([[118, 124], [108, 162], [88, 198]], [[108, 162], [126, 198]], [[116, 132], [150, 156], [168, 196]])


def _paint_sign(tile: Pixels, name: str) -> None:
    if name.startswith("limit_"):
        text = name.removeprefix("limit_")
        _disc(tile, _SIGN_RED, _SIGN_WHITE)
        _write(tile, text, (128, 128), 3.6 if len(text) == 2 else 2.6, _SIGN_BLACK, 16)  # noqa: PLR2004
    else:
        _PAINTERS[name](tile)


def _disc(tile: Pixels, outer: Colour, inner: Colour) -> None:
    cv2.circle(tile, (128, 128), 122, outer, -1, cv2.LINE_AA)
    cv2.circle(tile, (128, 128), 94, inner, -1, cv2.LINE_AA)


def _figure(tile: Pixels, strokes: Sequence[Sequence[Sequence[int]]], head: tuple[int, int]) -> None:
    cv2.circle(tile, head, 12, _SIGN_BLACK, -1, cv2.LINE_AA)
    cv2.polylines(tile, [np.array(stroke) for stroke in strokes], False, _SIGN_BLACK, 12, cv2.LINE_AA)


def _stop(tile: Pixels) -> None:
    angles = np.radians(22.5 + 45.0 * np.arange(8))
    for radius, colour in ((126, _SIGN_WHITE), (114, _SIGN_RED)):
        corners = np.stack([128 + radius * np.cos(angles), 128 + radius * np.sin(angles)], axis=1)
        cv2.fillPoly(tile, [corners.astype(np.int32)], colour, cv2.LINE_AA)
    _write(tile, "STOP", (128, 128), 2.5, _SIGN_WHITE, 14)


def _crossing(tile: Pixels) -> None:
    cv2.rectangle(tile, (4, 4), (251, 251), _SIGN_BLUE, -1)
    cv2.fillPoly(tile, [np.array([[128, 36], [226, 214], [30, 214]])], _SIGN_WHITE, cv2.LINE_AA)
    _figure(tile, _WALKER, (128, 92))


def _works(tile: Pixels) -> None:
    for inset, colour in ((0, _SIGN_RED), (26, _SIGN_WHITE)):
        corners = np.array(
            [[128, 8 + inset * 1.6], [252 - inset * 1.4, 236 - inset * 0.7], [4 + inset * 1.4, 236 - inset * 0.7]]
        )
        cv2.fillPoly(tile, [corners.astype(np.int32)], colour, cv2.LINE_AA)
    _figure(tile, _WORKER, (118, 110))


def _barrier(tile: Pixels) -> None:
    cv2.rectangle(tile, (0, 0), (255, 255), _SIGN_WHITE, -1)
    for left in range(-256, 256, 86):
        corners = np.array([[left, 255], [left + 43, 255], [left + 299, 0], [left + 256, 0]])
        cv2.fillPoly(tile, [corners], _SIGN_RED)


def _arrow(tile: Pixels) -> None:
    _disc(tile, _SIGN_BLUE, _SIGN_BLUE)
    cv2.arrowedLine(tile, (190, 66), (72, 184), _SIGN_WHITE, 24, cv2.LINE_AA, tipLength=0.45)


def _priority(tile: Pixels) -> None:
    for radius, colour in ((126, _SIGN_WHITE), (92, _SIGN_YELLOW)):
        corners = np.array([[128, 128 - radius], [128 + radius, 128], [128, 128 + radius], [128 - radius, 128]])
        cv2.fillPoly(tile, [corners], colour, cv2.LINE_AA)


def _direction(tile: Pixels) -> None:
    cv2.rectangle(tile, (4, 4), (251, 251), _SIGN_BLUE, -1)
    _write(tile, "Centre", (128, 80), 1.9, _SIGN_WHITE, 7)
    _write(tile, "A 12", (128, 180), 1.9, _SIGN_WHITE, 7)


_PAINTERS: Final = {
    "stop": _stop,
    "crossing": _crossing,
    "works": _works,
    "barrier": _barrier,
    "arrow": _arrow,
    "priority": _priority,
    "direction": _direction,
}


def _write(tile: Pixels, text: str, middle: tuple[int, int], scale: float, colour: Colour, weight: int) -> None:  # noqa: PLR0917
    (width, height), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, weight)
    corner = (middle[0] - width // 2, middle[1] + height // 2)
    cv2.putText(tile, text, corner, cv2.FONT_HERSHEY_SIMPLEX, scale, colour, weight, cv2.LINE_AA)
