"""Matching, shares and masks, against exhaustive search, pixels and worked examples."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleet_assets.perception.boxes import detections, iou
from fleet_assets.perception.metrics import (
    average_precision,
    compared,
    covered_by_union,
    mask_of,
    matched,
    share,
)


def found(boxes: list[list[float]], scores: list[float]):
    return detections(boxes, scores, [0] * len(boxes), ("car",))


def test_the_better_detection_gets_the_object_and_the_other_is_wrong() -> None:
    match = matched(found([[0, 0, 10, 10], [1, 0, 11, 10]], [0.6, 0.9]), [[0, 0, 10, 10]], least_iou=0.5)
    assert match.truth_of.tolist() == [0, -1]
    assert match.detection_of.tolist() == [0]
    assert match.wrong.tolist() == [False, True]


def test_a_detection_on_something_that_does_not_count_is_neither_right_nor_wrong() -> None:
    seen = found([[0, 0, 10, 10], [50, 50, 60, 60], [80, 80, 90, 90]], [0.9, 0.8, 0.7])
    match = matched(seen, [[0, 0, 10, 10]], least_iou=0.5, ignore=[[45, 45, 70, 70]])
    assert match.right.tolist() == [True, False, False]
    assert match.ignored.tolist() == [False, True, False]
    assert match.wrong.tolist() == [False, False, True]


@settings(max_examples=40)
@given(st.integers(0, 100_000))
def test_objects_far_from_each_other_are_matched_as_exhaustive_search_does(seed: int) -> None:
    rng = np.random.default_rng(seed)
    truth = np.array([[100 * k, 0, 100 * k + 20, 20] for k in range(4)], dtype=float)
    shifts = rng.integers(-15, 16, (4, 2))
    seen = truth + np.tile(shifts, 2)
    seen += [0, 0, 0, 0]
    order = rng.permutation(4)
    match = matched(found((seen + 200)[order].tolist(), rng.permutation(4).tolist()), truth + 200, least_iou=0.3)
    best = max(
        sum(iou(truth[[k]], seen[[p]])[0, 0] >= 0.3 for k, p in enumerate(perm)) for perm in permutations(range(4))
    )
    assert match.found.sum() == best


def test_nothing_to_find_and_nothing_found() -> None:
    assert matched(found([], []), [[0, 0, 1, 1]], least_iou=0.5).found.tolist() == [False]
    assert matched(found([[0, 0, 1, 1]], [0.5]), [], least_iou=0.5).wrong.tolist() == [True]


def test_average_precision_of_a_worked_example() -> None:
    # Right, wrong, right of three objects: precision 1 and 2/3 at recalls 1/3 and 2/3, the third is never found.
    assert average_precision([0.9, 0.8, 0.7], [True, False, True], 3) == pytest.approx((1 + 2 / 3) / 3)
    assert average_precision([0.1, 0.9], [True, False], 1) == pytest.approx(0.5)
    assert average_precision([], [], 3) == 0.0


def test_more_hits_than_objects_are_refused() -> None:
    with pytest.raises(ValueError, match="2 detections are right, but there are 1 objects"):
        average_precision([0.9, 0.8], [True, True], 1)


def test_pictures_of_one_drive_do_not_make_a_share_surer() -> None:
    hits = [True, False] * 10
    one_each = share(hits, list(range(20)))
    repeated = share(np.repeat(hits, 50), np.repeat(np.arange(20), 50))
    assert one_each.n == repeated.n == 20
    assert (repeated.low, repeated.high) == pytest.approx((one_each.low, one_each.high))


def test_a_share_of_ever_the_same_outcome_is_not_certain() -> None:
    interval = share([True] * 400, np.repeat(np.arange(20), 20))
    assert interval.estimate == 1.0
    assert interval.low == pytest.approx(0.025 ** (1 / 20))  # exact for 20 of 20 drives
    assert share([], []).low == 0.0


@settings(max_examples=40)
@given(st.integers(0, 10_000))
def test_cover_is_counted_on_the_union(seed: int) -> None:
    rng = np.random.default_rng(seed)
    corners = rng.integers(0, 20, (6, 4))
    boxes = np.stack([np.sort(corners[:, ::2], axis=1), np.sort(corners[:, 1::2], axis=1)], axis=2).reshape(6, 4)
    cover, targets = boxes[:3], boxes[3:]
    pixels = {(x, y) for left, top, right, bottom in cover for x in range(left, right) for y in range(top, bottom)}
    for target, value in zip(targets, covered_by_union(targets, cover, 20, 20), strict=True):
        own = {(x, y) for x in range(target[0], target[2]) for y in range(target[1], target[3])}
        assert value == pytest.approx(len(own & pixels) / len(own) if own else 1.0)


def test_a_mask_holds_every_pixel_that_a_box_touches_and_none_outside_the_picture() -> None:
    mask = mask_of([[-3.0, 1.2, 2.1, 2.0]], 5, 4)
    assert np.argwhere(mask).tolist() == [[1, 0], [1, 1], [1, 2]]


def test_masks_are_compared_pixel_by_pixel() -> None:
    one, two = np.zeros((4, 4), bool), np.zeros((4, 4), bool)
    one[:2], two[1:3] = True, True
    score = compared(one, two)
    assert (score.common, score.only_found, score.only_true) == (4, 4, 4)
    assert score.iou == pytest.approx(1 / 3)
    assert score.recall == pytest.approx(0.5)
    with pytest.raises(ValueError, match="one picture"):
        compared(one, np.zeros((4, 5), bool))
