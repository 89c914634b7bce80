"""The COCO detector: right on real pictures, and in tiles on small objects of them."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from fleet_assets.perception.boxes import iou
from fleet_assets.perception.objects import VEHICLES, ObjectDetector
from fleet_assets.perception.tiling import TileGrid, detect_in_tiles
from resources.weights import WeightStore


@pytest.fixture(scope="module")
def detector(weights: WeightStore) -> ObjectDetector:
    files = weights.open("ssd_mobilenet_v2_coco")
    return ObjectDetector(files.files["graph"], files.files["description"], files.input, least_score=0.3)


def test_a_person_is_found(detector: ObjectDetector, portrait: np.ndarray) -> None:
    close = np.ascontiguousarray(portrait[50:215, 290:420])
    assert "person" in {detector.names[label] for label in detector(close).labels}


def test_an_empty_wall_holds_nothing(detector: ObjectDetector) -> None:
    assert len(detector(np.full((180, 240, 3), 150, dtype=np.uint8))) == 0


def test_the_same_picture_gives_the_same_bytes(detector: ObjectDetector, portrait: np.ndarray) -> None:
    assert detector(portrait).boxes.tobytes() == detector(portrait).boxes.tobytes()


@pytest.mark.real_data
def test_the_car_of_a_highway_still_is_found_in_tiles(detector: ObjectDetector, real_data: Path) -> None:
    path = real_data / "driving_videos" / "sample" / "carnd_lanelines_stills" / "solidYellowCurve.jpg"
    picture = cv2.imread(str(path))
    assert picture is not None
    part = np.ascontiguousarray(picture[180:450, 480:])
    found = detect_in_tiles(part, detector, TileGrid(320, 270), (VEHICLES,)).named(sorted(VEHICLES))
    # The silver car at the right, as outlined by hand.
    assert iou(found.boxes, [[835 - 480, 293 - 180, 930 - 480, 350 - 180]]).max() > 0.7
