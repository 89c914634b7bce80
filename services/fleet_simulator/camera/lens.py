"""What lens, air and sensor add to the drawn picture: blur, halos, rain, drops, dirt, noise.

Here belong filters over pixels, all drawn from the scene's seed and time.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
_STREAM: Final = 308
_BANKS: Final = 4
_DROP_NS: Final = 900_000_000
"""How long drops stay on the windscreen before the wiper takes them."""


@lru_cache(maxsize=16)
def _noise_bank(index: int, height: int, width: int, level: int) -> tuple[Pixels, Pixels]:
    """Noise above and below zero; a picture takes one of a few, shifted."""
    rng = np.random.default_rng([_STREAM, index])
    fine = rng.normal(0.0, level / 4.0, (height + 32, width + 32, 1)) + rng.normal(
        0.0, level / 8.0, (height + 32, width + 32, 3)
    )
    return np.clip(fine, 0, 255).astype(np.uint8), np.clip(-fine, 0, 255).astype(np.uint8)


def add_noise(picture: Pixels, deviation: float, rng: np.random.Generator) -> Pixels:
    """Add the sensor's noise of a standard deviation in grey levels."""
    height, width = picture.shape[:2]
    above, below = _noise_bank(int(rng.integers(_BANKS)), height, width, max(1, round(4.0 * deviation)))
    row, column = (int(value) for value in rng.integers(0, 32, 2))
    window = (slice(row, row + height), slice(column, column + width))
    result = cv2.add(picture, above[window])
    return np.asarray(cv2.subtract(result, below[window]), dtype=np.uint8)


def soften(picture: Pixels) -> Pixels:
    """The lens: a small blur that also hides stairs at edges."""
    kernel = np.array([0.21, 0.58, 0.21], dtype=np.float32)
    return np.asarray(cv2.sepFilter2D(picture, -1, kernel, kernel), dtype=np.uint8)


def bloom(picture: Pixels, strength: float) -> Pixels:
    """Bright places shine into their neighbourhood."""
    small = cv2.resize(picture, None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA)
    bright = cv2.subtract(small, np.full_like(small, 120))
    # A box three times over is a bell.
    wide = cv2.blur(cv2.blur(cv2.blur(bright, (7, 7)), (7, 7)), (7, 7))
    halo = cv2.addWeighted(bright, 0.35 * strength, wide, 1.4 * strength, 0.0)
    return np.asarray(
        cv2.add(picture, cv2.resize(halo, picture.shape[1::-1], interpolation=cv2.INTER_LINEAR)), dtype=np.uint8
    )


@lru_cache(maxsize=8)
def _streaks(index: int, height: int, width: int, heavy: int) -> Pixels:
    """Falling drops as faint bright lines, uint8[h, w]."""
    rng = np.random.default_rng([_STREAM, 2, index])
    veil = np.zeros((height, width), dtype=np.uint8)
    for _ in range(30 + 14 * heavy):
        x, y = rng.uniform(0, width), rng.uniform(-20, height)
        length, near = rng.uniform(5, 22), rng.random()
        end = (x + 0.10 * length * rng.normal(1.0, 0.6), y + length * (0.6 + near))
        line = np.rint(np.array([(x, y), end]) * 16).astype(int)
        cv2.line(veil, tuple(map(int, line[0])), tuple(map(int, line[1])), int(12 + 30 * near), 1, cv2.LINE_AA, 4)
    return np.asarray(cv2.blur(veil, (1, 3)), dtype=np.uint8)


def rain(picture: Pixels, rain_mm_h: float, brightness: float, rng: np.random.Generator) -> Pixels:
    """Streaks of rain in front of the camera; dark nights show them less."""
    height, width = picture.shape[:2]
    heavy = int(np.clip(rain_mm_h, 1.0, 15.0))
    veil = _streaks(int(rng.integers(_BANKS)), height, width, heavy)
    shifted = np.roll(veil, (int(rng.integers(height)), int(rng.integers(width))), axis=(0, 1))
    scaled = cv2.multiply(shifted, np.ones_like(shifted), scale=brightness)
    return np.asarray(cv2.add(picture, cv2.merge([scaled, scaled, scaled])), dtype=np.uint8)


def drops(picture: Pixels, rain_mm_h: float, t_ns: int, seed: int) -> Pixels:
    """Drops on the windscreen: small lenses that show the scene upside down and blurred."""
    height, width = picture.shape[:2]
    count = int(np.clip(6.0 + 3.0 * rain_mm_h, 6, 34))
    table = _drops(height, width, count, t_ns // _DROP_NS, seed)
    # Those that have fallen in this period so far.
    end = int(np.searchsorted(table.born, (t_ns % _DROP_NS) / _DROP_NS + 0.25))
    turned = np.asarray(cv2.blur(picture[::-4, ::4], (3, 3)), dtype=np.uint8).reshape(-1, 3)
    result = picture.copy()
    flat = result.reshape(-1, 3)
    places = table.place[:end]
    flat[places] = flat[places] * (1.0 - table.cover[:end]) + turned[table.shows[:end]] * table.light[:end]
    return result


@dataclass(frozen=True)
class _Drops:
    """Pixels of drops in the order in which these fall; every pixel belongs to the first drop on it.

    Attributes:
        born: float64[n], when, a share of the period.
        place: int64[n], the pixel.
        shows: int64[n], the pixel of the small, turned picture that it shows.
        cover: float32[n, 1], how much of the scene it hides.
        light: float32[n, 1], how much of that pixel it shows.
    """

    born: NDArray[np.float64]
    place: NDArray[np.int64]
    shows: NDArray[np.int64]
    cover: NDArray[np.float32]
    light: NDArray[np.float32]


@lru_cache(maxsize=4)
def _drops(height: int, width: int, count: int, period: int, seed: int) -> _Drops:
    rng = np.random.default_rng([_STREAM, 3, seed, period])
    drawn = [(rng.random(), rng.uniform(0, width), rng.uniform(0, height), rng.uniform(2.5, 7.5)) for _ in range(count)]
    columns_of, parts = -(-width // 4), []
    for index, (born, x, y, radius) in enumerate(sorted(drawn)):
        size = radius * (0.8 + 0.4 * (index % 3))
        reach = int(np.ceil(size)) + 1
        rows, columns = np.mgrid[
            max(0, int(y) - reach) : min(height, int(y) + reach), max(0, int(x) - reach) : min(width, int(x) + reach)
        ]
        away = np.hypot((columns - x), (rows - y) * 0.85) / size
        cover = np.clip((1.0 - away) * 2.2, 0.0, 1.0) * 0.45
        kept = cover > 0.0
        parts.append(
            np.stack(
                [
                    np.full(int(kept.sum()), born),
                    rows[kept] * width + columns[kept],
                    rows[kept] // 4 * columns_of + columns[kept] // 4,
                    cover[kept],
                    (cover * (1.0 - 0.30 * np.clip(away - 0.45, 0.0, 1.0)))[kept],
                ]
            )
        )
    table = np.concatenate(parts, axis=1)
    first = np.sort(np.unique(table[1], return_index=True)[1])
    born, place, shows, cover, light = table[:, first]
    return _Drops(
        born,
        place.astype(np.int64),
        shows.astype(np.int64),
        cover[:, None].astype(np.float32),
        light[:, None].astype(np.float32),
    )


@lru_cache(maxsize=4)
def _dirt(height: int, width: int, seed: int) -> NDArray[np.float32]:
    rng = np.random.default_rng([_STREAM, 4, seed])
    cover = np.zeros((height, width), dtype=np.float32)
    for cells, weight in ((4, 1.0), (9, 0.6), (20, 0.35)):
        cover += np.float32(weight) * cv2.resize(
            rng.normal(0.0, 0.5, (cells, cells)).astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC
        )
    return np.asarray(np.clip(cover + 0.55, 0.0, 1.0)[..., None], dtype=np.float32)


def smear(picture: Pixels, amount: float, seed: int) -> Pixels:
    """Dirt and grease on the glass: patches that are blurred, greyish and low in contrast."""
    height, width = picture.shape[:2]
    cover = _dirt(height, width, seed) * np.float32(amount)
    small = cv2.resize(picture, None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA)
    wide = cv2.resize(cv2.blur(small, (9, 9)), (width, height), interpolation=cv2.INTER_LINEAR).astype(np.float32)
    veiled = wide * 0.8 + wide.mean() * 0.2
    return np.asarray(picture * (1.0 - cover) + veiled * cover, dtype=np.uint8)
