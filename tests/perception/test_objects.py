"""The COCO detector: right on real pictures, and in tiles on small objects of them."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from fleet_assets.perception.boxes import iou
from fleet_assets.perception.objects import COCO_OF_THE_ROAD, VEHICLES, ObjectDetector
from fleet_assets.perception.ssd_graph import translated
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


@pytest.mark.parametrize("part", [(slice(0, 300), slice(200, 500)), (slice(50, 215), slice(290, 420))])
def test_the_translated_network_sees_what_opencv_sees_in_the_graph_itself(
    weights: WeightStore, portrait: np.ndarray, part: tuple[slice, slice]
) -> None:
    picture = np.ascontiguousarray(portrait[part])
    opened = weights.open("ssd_mobilenet_v2_coco")
    least = 0.05
    ours = ObjectDetector(opened.files["graph"], opened.files["description"], opened.input, least)(picture)
    network = cv2.dnn.readNetFromTensorflow(str(opened.files["graph"]), str(opened.files["description"]))
    network.setInput(cv2.resize(picture, (300, 300))[..., ::-1].transpose(2, 0, 1)[None].astype(np.float32))
    rows = network.forward().reshape(-1, 7)
    rows = rows[(rows[:, 2] >= least) & np.isin(rows[:, 1], list(COCO_OF_THE_ROAD))]
    assert len(ours) == len(rows) > 0
    numbers = [list(COCO_OF_THE_ROAD)[label] for label in ours.labels]
    height, width = picture.shape[:2]
    size = np.array([width, height, width, height])
    for number, score, box in zip(numbers, ours.scores, ours.boxes, strict=True):
        like = rows[(rows[:, 1] == number) & (np.abs(rows[:, 2] - score) < 1e-3)]
        assert np.isclose(np.clip(like[:, 3:] * size, 0, size), box, atol=0.2).all(axis=1).any()


def test_a_description_of_another_kind_of_network_is_refused(weights: WeightStore, tmp_path: Path) -> None:
    opened = weights.open("ssd_mobilenet_v2_coco")
    text = opened.files["description"].read_text()
    for old, new, words in (('"DetectionOutput"', '"Softmax"', "DetectionOutput"), ('"Relu6"', '"Elu"', "Elu")):
        path = tmp_path / "other.pbtxt"
        path.write_text(text.replace(old, new))
        with pytest.raises(ValueError, match=words):
            translated(opened.files["graph"], path, (300, 300), [1])


@pytest.mark.real_data
def test_the_car_of_a_highway_still_is_found_in_tiles(detector: ObjectDetector, real_data: Path) -> None:
    path = real_data / "driving_videos" / "sample" / "carnd_lanelines_stills" / "solidYellowCurve.jpg"
    picture = cv2.imread(str(path))
    assert picture is not None
    part = np.ascontiguousarray(picture[180:450, 480:])
    found = detect_in_tiles(part, detector, TileGrid(320, 270), (VEHICLES,)).named(sorted(VEHICLES))
    # The silver car at the right, as outlined by hand.
    assert iou(found.boxes, [[835 - 480, 293 - 180, 930 - 480, 350 - 180]]).max() > 0.7
