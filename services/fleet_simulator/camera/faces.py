"""Faces for people in the scene: one public-domain portrait, varied.

Here belong the atlas of faces and its variation. Where a face sits on a head is in `meshes/people.py`; source and
licence of the portrait are in `faces/README.md`.
"""

from importlib import resources
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

TILES: Final = 4
"""Faces along each side of the atlas."""
TILE_PX: Final = 128
_STREAM: Final = 303
SKIN_TONES: Final = ((0.87, 0.67, 0.56), (0.82, 0.61, 0.49), (0.73, 0.53, 0.41), (0.60, 0.42, 0.32))
HAIR_TONES: Final = ((0.13, 0.09, 0.07), (0.30, 0.19, 0.11), (0.52, 0.38, 0.22), (0.45, 0.44, 0.43))


def face_atlas() -> NDArray[np.uint8]:
    """Sixteen faces, uint8[512, 512, 4], red, green, blue, cover; tone of skin = number of the tile modulo 4."""
    data = resources.files(__package__).joinpath("faces/portrait.jpg").read_bytes()
    portrait: Any = cv2.imdecode(np.frombuffer(data, dtype=np.uint8), cv2.IMREAD_COLOR)
    large = cv2.resize(portrait, (TILE_PX, TILE_PX), interpolation=cv2.INTER_CUBIC)
    # Eyes, brows and mouth are a few pixels in a picture of the street: they are drawn with more contrast.
    sharp = cv2.addWeighted(large, 1.9, cv2.GaussianBlur(large, (0, 0), 9.0), -0.9, 6.0)
    face = np.asarray(cv2.cvtColor(sharp, cv2.COLOR_BGR2RGB), dtype=np.uint8)
    rng = np.random.default_rng([_STREAM])
    atlas = np.zeros((TILES * TILE_PX, TILES * TILE_PX, 4), dtype=np.uint8)
    for index in range(TILES * TILES):
        top, left = index // TILES * TILE_PX, index % TILES * TILE_PX
        atlas[top : top + TILE_PX, left : left + TILE_PX] = _variant(face, index, rng)
    return atlas


def _variant(face: NDArray[np.uint8], index: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    picture = face[:, ::-1] if index % 8 >= TILES else face
    # Proportions: each third of the face is stretched by a few per cent.
    rows, columns = np.meshgrid(np.linspace(-1, 1, TILE_PX), np.linspace(-1, 1, TILE_PX), indexing="ij")
    bend = rng.uniform(-0.05, 0.05, 4)
    map_x = (
        (columns + bend[0] * np.sin(np.pi * rows) + bend[1] * columns * (1 - np.abs(rows)) + 1.0) * (TILE_PX - 1) / 2.0
    )
    map_y = (rows + bend[2] * np.sin(np.pi * rows) + bend[3] * (1 - rows**2) + 1.0) * (TILE_PX - 1) / 2.0
    warped = cv2.remap(
        picture, map_x.astype(np.float32), map_y.astype(np.float32), cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    tone = np.asarray(SKIN_TONES[index % len(SKIN_TONES)]) / np.asarray(SKIN_TONES[0])
    toned = np.clip(warped * tone * rng.uniform(0.92, 1.05), 0, 255)
    cover = np.clip((1.02 - np.hypot(columns * 1.03, (rows - 0.02) * 0.98)) * 9.0, 0.0, 1.0)
    return np.concatenate([toned, cover[..., None] * 255.0], axis=-1).astype(np.uint8)
