"""Perceptual digests: alike for the same scene, different for another."""

import cv2
import numpy as np
import scipy.fft

from fleet_assets.perception.image_digests import BITS, differing_bits, distances, perceptual_digest


def scene(seed: int) -> np.ndarray:
    """A picture of large and small shapes."""
    rng = np.random.default_rng(seed)
    picture = np.full((180, 320, 3), 128, dtype=np.uint8)
    for _ in range(25):
        (x, y), (wide, high) = rng.integers(0, 300, 2), rng.integers(10, 120, 2)
        colour = tuple(int(value) for value in rng.integers(0, 255, 3))
        cv2.rectangle(picture, (int(x), int(y)), (int(x + wide), int(y + high)), colour, -1)
    return cv2.GaussianBlur(picture, (5, 5), 1.0)


def test_it_is_what_scipy_computes() -> None:
    picture = scene(1)
    small = cv2.resize(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY), (32, 32), interpolation=cv2.INTER_AREA)
    low = scipy.fft.dctn(small.astype(float), norm="ortho")[:8, :8].ravel()
    expected = "".join("1" if value > np.median(low) else "0" for value in low)
    assert f"{perceptual_digest(picture):064b}" == expected


def test_jpeg_brightness_size_and_noise_change_few_bits_another_scene_many() -> None:
    for seed in range(20):
        picture = scene(seed)
        _, data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 40])
        noise = np.random.default_rng(seed).normal(0, 4, picture.shape)
        alike = [
            cv2.imdecode(data, cv2.IMREAD_COLOR),
            cv2.resize(picture, (640, 360)),
            np.clip(picture * 0.8 + 10, 0, 255).astype(np.uint8),
            np.clip(picture + noise, 0, 255).astype(np.uint8),
        ]
        digest = perceptual_digest(picture)
        assert max(differing_bits(digest, perceptual_digest(other)) for other in alike) <= 6
        assert differing_bits(digest, perceptual_digest(scene(seed + 100))) >= 14


def test_many_digests_are_compared_at_once_as_one_by_one() -> None:
    digests = [perceptual_digest(scene(seed)) for seed in range(5)]
    together = distances(np.array(digests, dtype=np.uint64), digests[2])
    assert together.tolist() == [differing_bits(one, digests[2]) for one in digests]
    assert max(together) <= BITS
