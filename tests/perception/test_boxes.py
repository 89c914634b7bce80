"""Geometry of boxes, against pixels counted one by one and against OpenCV's own suppression."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleet_assets.perception.boxes import (
    Detections,
    as_boxes,
    clipped,
    covered,
    detections,
    iou,
    nothing,
    padded,
    suppressed,
)

SIDE = 24


def pixels(box: tuple[int, int, int, int]) -> set[tuple[int, int]]:
    left, top, right, bottom = box
    return {(x, y) for x in range(left, right) for y in range(top, bottom)}


box = st.tuples(*[st.integers(0, SIDE - 1)] * 2, *[st.integers(1, SIDE)] * 2).map(
    lambda it: (min(it[0], it[2] - 1), min(it[1], it[3] - 1), max(it[2], it[0] + 1), max(it[3], it[1] + 1))
)


@settings(max_examples=40)
@given(box, box)
def test_overlap_is_that_of_the_pixels(one: tuple[int, int, int, int], two: tuple[int, int, int, int]) -> None:
    a, b = pixels(one), pixels(two)
    assert iou([one], [two])[0, 0] == pytest.approx(len(a & b) / len(a | b))
    assert covered([one], [two])[0, 0] == pytest.approx(len(a & b) / len(a))


@settings(max_examples=40)
@given(st.lists(st.tuples(box, st.integers(1, 10_000)), min_size=1, max_size=25, unique_by=lambda it: it[1]))
def test_suppression_keeps_what_opencv_keeps(rows: list[tuple[tuple[int, int, int, int], int]]) -> None:
    boxes, scores = [row[0] for row in rows], [row[1] / 10_000 for row in rows]
    limit = 0.413  # no quotient of whole numbers this small: OpenCV and we may decide equality differently
    wide = [[left, top, right - left, bottom - top] for left, top, right, bottom in boxes]
    expected = {boxes[index] for index in cv2.dnn.NMSBoxes(wide, scores, 0.0, limit)}
    kept = suppressed(detections(boxes, scores, [0] * len(boxes), ("car",)), limit)
    assert {tuple(int(value) for value in one) for one in kept.boxes} == expected


def test_boxes_of_different_labels_do_not_suppress_each_other_unless_told() -> None:
    found = detections([[0, 0, 10, 10], [1, 0, 11, 10]], [0.9, 0.8], [0, 1], ("car", "person"))
    assert len(suppressed(found, 0.5)) == 2
    assert suppressed(found, 0.5, across_labels=True).scores.tolist() == [np.float32(0.9)]


def test_equal_scores_come_in_the_same_order_however_the_detector_gave_them() -> None:
    boxes = [[5, 0, 6, 1], [0, 0, 1, 1], [3, 3, 4, 4]]
    one = detections(boxes, [0.5] * 3, [0] * 3, ("car",))
    two = detections(boxes[::-1], [0.5] * 3, [0] * 3, ("car",))
    assert np.array_equal(one.boxes, two.boxes)


def test_nothing_found_has_the_shapes_of_something() -> None:
    none = nothing(("car",))
    assert none.boxes.shape == (0, 4)
    assert iou(none.boxes, [[0, 0, 1, 1]]).shape == (0, 1)
    assert len(suppressed(none, 0.5)) == 0
    assert len(none.named(["car"])) == 0


def test_an_empty_box_overlaps_nothing() -> None:
    assert iou([[3, 3, 3, 3]], [[3, 3, 3, 3], [0, 0, 9, 9]]).tolist() == [[0.0, 0.0]]
    assert covered([[3, 3, 3, 3]], [[0, 0, 9, 9]]).tolist() == [[0.0]]


def test_boxes_grow_by_a_share_and_at_least_by_pixels_and_end_at_the_picture() -> None:
    grown = padded([[10, 10, 20, 14]], 0.1, 0.5, least_px=1.5)
    assert grown.tolist() == [[8.5, 8.0, 21.5, 16.0]]
    assert clipped([[-5, -5, 700, 3]], 640, 360).tolist() == [[0, 0, 640, 3]]
    assert clipped([[700, 10, 720, 20]], 640, 360).tolist() == [[640, 10, 640, 20]]


@pytest.mark.parametrize("wrong", [[[4, 0, 3, 1]], [[0, 0, float("nan"), 1]], [[0, 0, 1]], [0, 0, 1, 1]])
def test_what_is_no_box_is_refused(wrong: object) -> None:
    with pytest.raises(ValueError, match="left, top, right, bottom"):
        as_boxes(wrong)  # type: ignore[arg-type]


def test_an_unknown_label_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match="lorry.*car"):
        nothing(("car",)).named(["lorry"])


def test_rows_that_do_not_belong_together_are_refused() -> None:
    with pytest.raises(ValueError, match="one of each per box"):
        Detections(as_boxes([[0, 0, 1, 1]]), np.zeros(2, np.float32), np.zeros(1, np.int64), ("car",))
