"""The auditor's cascades: a hit is a question, and only another detector's look confirms it."""

from pathlib import Path

import numpy as np
import pytest

from fleet_assets.perception.boxes import detections, iou
from fleet_assets.perception.cascades import CascadeDetector, confirmed
from fleet_assets.perception.faces import FaceDetector
from resources.weights import WeightStore

FACE = [311, 82, 402, 201]


@pytest.fixture(scope="module")
def frontal(weights: WeightStore) -> CascadeDetector:
    return CascadeDetector([weights.open("haar_face").files["frontal"]], "face")


def test_it_finds_a_face_without_any_network(frontal: CascadeDetector, portrait: np.ndarray) -> None:
    found = frontal(portrait)
    assert len(found) == 1
    assert iou(found.boxes, [FACE])[0, 0] > 0.4


def test_the_mirrored_picture_has_the_mirrored_profile(weights: WeightStore, portrait: np.ndarray) -> None:
    both = CascadeDetector([weights.open("haar_face").files["frontal"]], "face", mirrored=True)
    one, two = both(portrait).boxes, both(np.ascontiguousarray(portrait[:, ::-1])).boxes
    assert iou(one, np.stack([640 - two[:, 2], two[:, 1], 640 - two[:, 0], two[:, 3]], axis=1)).max() > 0.8


def test_the_second_look_confirms_a_face_and_not_a_wall(
    weights: WeightStore, frontal: CascadeDetector, portrait: np.ndarray
) -> None:
    files = weights.open("centerface")
    second = FaceDetector(files.files["model"], files.input, 0.3)
    hits = detections([FACE, [40, 100, 120, 180]], [0.9, 0.8], [0, 0], ("face",))
    assert confirmed(portrait, hits, second).tolist() == [True, False]
    assert confirmed(portrait, frontal(portrait), second).all()


def test_a_file_that_is_no_cascade_is_refused(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.xml"
    wrong.write_text('<?xml version="1.0"?><opencv_storage></opencv_storage>')
    with pytest.raises(ValueError, match="holds no cascade"):
        CascadeDetector([wrong], "face")
