"""A plate is covered where plates hang, unless the vehicle is so near that the plate itself is found."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from fleet_assets.perception.boxes import Detections, detections
from fleet_assets.perception.plate_zones import ZoneRule, plates_of, zones

RULE = ZoneRule(
    left=0.1, right=0.9, top=0.5, bottom=0.9, least_vehicle_px=48, text_from_px=160, most_line_width=0.5,
    most_line_height=0.25,
)  # fmt: skip
PICTURE = np.zeros((400, 600, 3), np.uint8)
SMALL, NEAR, TINY = (20.0, 40.0, 120.0, 100.0), (200.0, 100.0, 400.0, 250.0), (500.0, 10.0, 540.0, 40.0)


def vehicles(*boxes: tuple[float, ...]) -> Detections:
    return detections(boxes, np.linspace(0.9, 0.5, len(boxes)), [0] * len(boxes), ("car",))


def text(*boxes: tuple[float, ...]) -> Callable[[np.ndarray, NDArray[np.float32]], Detections]:
    def lines(picture: np.ndarray, vehicle: NDArray[np.float32]) -> Detections:
        assert vehicle.tolist() == list(NEAR), "only large vehicles are read"
        return detections(boxes, [0.8] * len(boxes), [0] * len(boxes), ("plate",))

    return lines


def test_zones_are_shares_of_the_vehicles() -> None:
    np.testing.assert_allclose(zones(np.array([SMALL], np.float32), RULE), [[30, 70, 110, 94]], rtol=1e-6)


def test_a_small_vehicles_zone_is_covered_without_reading_and_a_tiny_ones_is_not() -> None:
    found = plates_of(PICTURE, vehicles(SMALL, TINY), text(), RULE)
    np.testing.assert_allclose(found.boxes, [[30, 70, 110, 94]], rtol=1e-6)
    assert found.names == ("plate",)


def test_a_near_vehicles_plate_is_covered_instead_of_its_zone() -> None:
    plate = (270.0, 190.0, 330.0, 206.0)
    found = plates_of(PICTURE, vehicles(NEAR, SMALL), text(plate), RULE)
    assert sorted(found.boxes.round(3).tolist()) == [[30, 70, 110, 94], list(plate)]


@pytest.mark.parametrize(
    "line", [(210.0, 190.0, 330.0, 206.0), (270.0, 150.0, 330.0, 200.0)], ids=["too wide", "too high"]
)
def test_where_the_only_line_cannot_be_a_plate_the_zone_is_covered(line: tuple[float, ...]) -> None:
    found = plates_of(PICTURE, vehicles(NEAR), text(line), RULE)
    np.testing.assert_allclose(found.boxes, [[220, 175, 380, 235]], rtol=1e-6)
    assert found.scores == pytest.approx([0.9])


def test_a_vehicle_that_the_picture_cuts_has_its_zone_inside_the_picture_and_nothing_gives_nothing() -> None:
    cut = plates_of(PICTURE, vehicles((560.0, 340.0, 640.0, 420.0)), text(), RULE)
    assert (cut.boxes <= [600, 400, 600, 400]).all()
    assert len(plates_of(PICTURE, vehicles(), text(), RULE)) == 0
