"""Text lines are those of PaddleOCR's own post-processing; plates are found on vehicles, and on vehicles missed."""

import importlib.util
from types import ModuleType

import cv2
import numpy as np
import pytest

from fleet_assets.perception.boxes import covered
from fleet_assets.perception.plates import PlateDetector, PlateRule, TextRule, lines_of
from fleet_assets.perception.tiling import TileGrid
from resources.weights import WeightStore

CAR = (200, 120, 420, 300)
PLATE = (280, 250, 340, 268)


@pytest.fixture(scope="module")
def oracle() -> ModuleType:
    """RapidOCR's post-processing; the package as a whole would bring another OpenCV."""
    pytest.importorskip("pyclipper")
    pytest.importorskip("shapely")
    package = importlib.util.find_spec("rapidocr_onnxruntime")
    assert package is not None
    assert package.submodule_search_locations is not None
    path = f"{package.submodule_search_locations[0]}/ch_ppocr_det/utils.py"
    spec = importlib.util.spec_from_file_location("rapidocr_post_processing", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def picture() -> np.ndarray:
    """A dark car's rear with a plate, uint8[360, 640, 3]."""
    scene = np.full((360, 640, 3), 120, dtype=np.uint8)
    cv2.rectangle(scene, CAR[:2], CAR[2:], (60, 50, 40), -1)
    cv2.rectangle(scene, PLATE[:2], PLATE[2:], (235, 235, 235), -1)
    cv2.putText(scene, "QB ZP 213", (PLATE[0] + 2, PLATE[3] - 5), cv2.FONT_HERSHEY_SIMPLEX, 0.36, (20, 20, 20), 1)
    return scene


def test_lines_are_those_of_rapidocr(oracle: ModuleType) -> None:
    rng = np.random.default_rng(7)
    for _ in range(10):
        probability = np.zeros((160, 320), dtype=np.float32)
        for _ in range(4):
            at, extent = rng.uniform(40, 120, 2) * (2, 1), (float(rng.uniform(20, 60)), float(rng.uniform(6, 16)))
            corners = cv2.boxPoints(((float(at[0]), float(at[1])), extent, float(rng.uniform(-20, 20))))
            cv2.fillPoly(probability, [corners.astype(np.int32)], float(rng.uniform(0.4, 1.0)))
        post = oracle.DBPostProcess(thresh=0.3, box_thresh=0.5, unclip_ratio=1.6, use_dilation=True)
        expected, scores = post(probability[None, None], probability.shape)
        corners, ours = lines_of(probability, TextRule())
        assert sorted(ours.tolist()) == pytest.approx(sorted(scores), abs=1e-4)
        # RapidOCR rounds corners to pixels and approximates the round offset by a polygon.
        for box, line in zip(expected.astype(float), corners, strict=True):
            assert np.abs(box.min(axis=0) - np.clip(line.min(axis=0), 0, None)).max() <= 2.5
            assert np.abs(box.max(axis=0) - np.minimum(line.max(axis=0), (320, 160))).max() <= 2.5


def detector(weights: WeightStore, rule: PlateRule) -> PlateDetector:
    files = weights.open("ppocr_v4_text")
    return PlateDetector(files.files["model"], files.input, rule)


def test_the_plate_of_a_vehicle_is_covered_and_little_else(weights: WeightStore) -> None:
    found = detector(weights, PlateRule())(picture(), [CAR])
    assert covered([PLATE], found.boxes).max() > 0.95
    extent = found.boxes[:, 2:] - found.boxes[:, :2]
    assert extent.prod(axis=1).sum() < 0.04 * 640 * 360


def test_a_missed_vehicle_leaves_its_plate_to_the_tiles(weights: WeightStore) -> None:
    assert len(detector(weights, PlateRule())(picture(), [])) == 0
    tiled = detector(weights, PlateRule(tiles=TileGrid(320, 180, whole=False)))(picture(), [])
    assert covered([PLATE], tiled.boxes).max() > 0.95


def test_a_vehicle_of_no_extent_is_no_place_to_look(weights: WeightStore) -> None:
    assert len(detector(weights, PlateRule())(picture(), [[700, 10, 720, 20], [5, 5, 6, 6]])) == 0
