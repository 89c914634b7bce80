"""How bright it is: sun, sky, haze and exposure from the surroundings, and the sky's picture.

Here belong light levels and the panorama. What surfaces make of them is in `shaders.py`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from services.fleet_simulator.camera.scene import Surroundings

FloatArray = NDArray[np.float32]
SKY_PX: Final = (512, 128)
"""Width and height of the panorama: all around, horizon (last row) to zenith (first)."""
ENV_PX: Final = (128, 64)
_STREAM: Final = 306
_SUN_COSINE: Final = 0.99985
RGB = tuple[float, float, float]


@dataclass(frozen=True)
class Illumination:
    """Light of one scene, linear.

    Attributes:
        sun: Radiance of the direct light.
        to_sun: Direction towards the sun (at night towards the moon), east, north, up.
        sky: Ambient light from above.
        ground: Ambient light from below.
        haze: Colour that distance fades to.
        lamps: How much lamps matter: 0 by day, 1 after dark.
        exposure: Factor of the camera.
        extinction_1pm: Of the air, per metre.
        noise: Standard deviation of the sensor's noise, grey levels.
    """

    sun: RGB
    to_sun: RGB
    sky: RGB
    ground: RGB
    haze: RGB
    lamps: float
    exposure: float
    extinction_1pm: float
    noise: float


def _mix(curves: Mapping[str, Any], name: str, elevation: float) -> NDArray[np.float64]:
    points = np.asarray(curves[name], dtype=np.float64)
    return np.array([np.interp(elevation, points[:, 0], points[:, column]) for column in range(1, points.shape[1])])


def illuminate(surroundings: Surroundings, levels: Mapping[str, Any]) -> Illumination:
    """Light levels of a scene.

    Args:
        surroundings: Weather and sun.
        levels: Key `camera.light` of the document `simulation`: curves over the sun's elevation in degrees.
    """
    elevation = surroundings.sun_elevation_deg
    veil = _veil(surroundings)
    sun, sky = _mix(levels, "sun", elevation) * (1.0 - veil) ** 2, _mix(levels, "sky", elevation)
    grey = sky.mean() * np.asarray(levels["overcast_tint"])
    gain = float(np.interp(elevation, [-6.0, 5.0], [1.0, float(levels["overcast_gain"])]))
    sky = sky * (1.0 - veil) + grey * gain * veil
    haze = _mix(levels, "haze", elevation)
    haze = haze * (1.0 - veil) + haze.mean() * np.asarray(levels["overcast_tint"]) * veil
    bounce = (sky * 0.5 + sun * max(0.0, np.sin(np.radians(elevation))) * 0.5) * np.asarray(levels["ground_tint"])
    azimuth, height = np.radians(surroundings.sun_azimuth_deg), np.radians(max(elevation, 4.0))
    to_sun = (np.sin(azimuth) * np.cos(height), np.cos(azimuth) * np.cos(height), np.sin(height))
    lamps = float(np.interp(elevation, [-5.0, 3.0], [1.0, 0.0]))
    exposure, noise = _mix(levels, "exposure", elevation)
    extinction = (
        3.912 / max(20.0, surroundings.visibility_m) + float(levels["rain_extinction"]) * surroundings.rain_mm_h
    )

    def rgb(values: NDArray[np.float64]) -> RGB:
        return float(values[0]), float(values[1]), float(values[2])

    direction = (float(to_sun[0]), float(to_sun[1]), float(to_sun[2]))
    return Illumination(
        rgb(sun), direction, rgb(sky), rgb(bounce), rgb(haze), lamps, float(exposure), extinction, float(noise)
    )


def _veil(surroundings: Surroundings) -> float:
    """How much clouds or fog hide the sun, 0 to 1."""
    floor = {"overcast": 0.92, "rain": 0.97, "snow": 0.97, "fog": 0.97}.get(surroundings.condition, 0.0)
    return max(floor, float(np.interp(surroundings.cloud, [0.3, 0.9], [0.0, 0.9])))


def sky_panorama(surroundings: Surroundings, light: Illumination) -> FloatArray:
    """The sky as the camera would expose it, linear float32[128, 512, 3]; columns run from north clockwise."""
    width, height = SKY_PX
    rng = np.random.default_rng([_STREAM])
    up = np.linspace(1.0, 0.0, height, dtype=np.float32)[:, None] * np.pi / 2.0
    azimuth = (np.arange(width, dtype=np.float32)[None, :] + 0.5) / width * 2.0 * np.pi
    veil = _veil(surroundings)
    # Ambient light is the mean of a sky that is deeper blue above than at the horizon.
    blue = np.array([0.55, 0.82, 1.22], dtype=np.float32) * np.float32(1.0 - veil) + np.float32(1.2 * veil)
    zenith = np.asarray(light.sky, dtype=np.float32) * blue
    horizon = np.asarray(light.haze, dtype=np.float32)
    fall = np.exp(-np.sin(up) * 4.2)[..., None].astype(np.float32)
    sky = zenith * (1.0 - fall) + horizon * fall
    to_sun = np.asarray(light.to_sun, dtype=np.float32)
    direction = np.stack(
        [np.sin(azimuth) * np.cos(up), np.cos(azimuth) * np.cos(up), np.broadcast_to(np.sin(up), (height, width))],
        axis=-1,
    )
    towards = np.clip(direction @ to_sun, 0.0, 1.0)[..., None]
    glow = np.asarray(light.sun, dtype=np.float32) * (
        0.10 * towards**6 + 0.35 * towards**60 + 6.0 * (towards > _SUN_COSINE)
    )
    sky = sky + glow
    cover = _clouds(rng, up, azimuth)
    amount = np.clip((cover + 1.35 * surroundings.cloud - 0.95) * 1.6, 0.0, 1.0)[..., None] * (
        1.0 if surroundings.condition != "fog" else 0.2
    )
    lit = np.asarray(light.sky, dtype=np.float32).mean() * np.float32(1.05) + np.asarray(
        light.sun, dtype=np.float32
    ) * np.float32(0.22)
    shade = 1.0 - 0.38 * np.clip(cover[..., None] - 0.35, 0.0, 1.0)
    fade = np.clip(np.sin(up) * 7.0, 0.0, 1.0)[..., None]
    return np.asarray(sky * (1.0 - amount * fade * 0.9) + lit * shade * amount * fade * 0.9, dtype=np.float32)


def _clouds(rng: np.random.Generator, up: NDArray[Any], azimuth: NDArray[Any]) -> FloatArray:
    """Cover of a flat layer of clouds seen from below, about 0 to 1."""
    size = 256
    field = np.zeros((size, size), dtype=np.float32)
    for cells, weight in ((5, 1.0), (11, 0.6), (23, 0.35), (47, 0.2)):
        coarse = np.tile(rng.normal(0.0, 0.5, (cells, cells)).astype(np.float32), (2, 2))
        field += (
            np.float32(weight) * cv2.resize(coarse, (2 * size, 2 * size), interpolation=cv2.INTER_CUBIC)[:size, :size]
        )
    away = 42.0 / np.tan(np.maximum(up, 0.06))
    x = (away * np.sin(azimuth) + 128.0) % (size - 1)
    y = (away * np.cos(azimuth) + 128.0) % (size - 1)
    cover = cv2.remap(field, x.astype(np.float32), y.astype(np.float32), cv2.INTER_LINEAR)
    return np.asarray(np.clip(0.5 + 0.45 * cover, 0.0, 1.0), dtype=np.float32)


def environment(panorama: FloatArray, light: Illumination) -> FloatArray:
    """What a shiny surface mirrors: sky, a street of buildings, road; linear float32[64, 128, 3], first row is up."""
    width, height = ENV_PX
    rng = np.random.default_rng([_STREAM, 1])
    upper = cv2.resize(panorama, (width, height // 2), interpolation=cv2.INTER_AREA)
    ambient = np.asarray(light.sky, dtype=np.float32) * 0.55 + np.asarray(light.sun, dtype=np.float32) * 0.12
    lower = np.repeat((ambient * 0.16)[None, None], height // 2, axis=0).repeat(width, axis=1)
    picture = np.concatenate([upper, lower], axis=0)
    roofs = rng.integers(3, 11, width // 8)
    for index, roof in enumerate(roofs):
        shade = ambient * np.float32(rng.uniform(0.22, 0.5)) * np.array([1.0, 0.93, 0.86], dtype=np.float32)
        picture[height // 2 - roof : height // 2 + 1, 8 * index : 8 * index + 8] = shade
        if light.lamps > 0.0:
            lit = rng.random((roof, 8, 1)) < 0.10 * light.lamps  # noqa: PLR2004
            picture[height // 2 - roof : height // 2, 8 * index : 8 * index + 8] += lit * np.array(
                [0.5, 0.38, 0.2], dtype=np.float32
            )
    return np.asarray(cv2.GaussianBlur(picture, (3, 3), 0.8), dtype=np.float32)
