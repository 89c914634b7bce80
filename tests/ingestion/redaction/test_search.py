"""Which pictures detectors look at: often enough, at both ends, and never across a gap."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet_assets.ingestion.integrity_and_pii_redaction.redaction.search import Found, Search, SearchRule
from fleet_assets.ingestion.media.pictures import Frame
from fleet_assets.perception.boxes import detections
from fleet_assets.perception.tracking import TrackRule, unpaired

MS = 1_000_000
RULE = SearchRule(every=5, most_gap_ns=120 * MS, halvings=0, stretch_gap_ns=600 * MS)
BOX = (10.0, 10.0, 20.0, 20.0)


def frames(times_ms: Sequence[int], sizes: Sequence[int] | None = None) -> Iterator[Frame]:
    for index, t_ms in enumerate(times_ms):
        width = 8 if sizes is None else sizes[index]
        yield Frame(index, t_ms * MS, None, np.zeros((6, width, 3), np.uint8), None)


def searched(
    times_ms: Sequence[int],
    sizes: Sequence[int] | None = None,
    *,
    shown: Collection[int] = (),
    rule: SearchRule = RULE,
) -> list[tuple[int, int, list[int]]]:
    """First and last picture of each stretch, and those searched in it; a face shows in some pictures."""
    asked: list[int] = []

    def look(frame: Frame) -> Found:
        asked.append(frame.index)
        boxes = [BOX] * (frame.index in shown)
        return {"face": detections(boxes, [0.9] * len(boxes), [0] * len(boxes), ("face",))}

    def alone(one: Found, other: Found) -> bool:
        return unpaired(one["face"], other["face"], TrackRule())

    found = list(Search(rule, look, alone).stretches(frames(times_ms, sizes)))
    ended = [(one.first, one.last, sorted(one.found)) for one in found]
    assert sorted(asked) == [index for _, _, numbers in ended for index in numbers]
    return ended


def test_of_a_fast_camera_every_fifth_picture_is_searched_and_the_last_one() -> None:
    assert searched(range(0, 20 * 23, 20)) == [(0, 22, [0, 5, 10, 15, 20, 22])]


def test_of_slower_ones_as_many_more_that_no_two_searched_ones_are_further_apart() -> None:
    assert searched(range(0, 33 * 11, 33)) == [(0, 10, [0, 3, 6, 9, 10])]
    assert searched(range(0, 500, 100)) == [(0, 4, [0, 1, 2, 3, 4])]


def test_stills_a_second_apart_are_each_searched_and_tracked_by_nobody() -> None:
    assert searched([0, 1000, 2000]) == [(0, 0, [0]), (1, 1, [1]), (2, 2, [2])]


def test_a_gap_and_a_step_back_in_time_end_a_stretch_whose_last_picture_is_searched() -> None:
    assert searched([0, 33, 66, 5000, 5033, 100, 133]) == [(0, 2, [0, 2]), (3, 4, [3, 4]), (5, 6, [5, 6])]


def test_pictures_of_another_size_begin_a_stretch() -> None:
    assert searched([0, 33, 66, 99], [8, 8, 16, 16]) == [(0, 1, [0, 1]), (2, 3, [2, 3])]


@pytest.mark.parametrize(
    ("shown", "halvings", "more"),
    [
        ((), 1, []),
        (range(21), 1, []),
        (range(12, 21), 0, []),
        (range(12, 21), 1, [12]),
        (range(13, 21), 1, [12]),
        (range(13, 21), 2, [12, 13]),
        (range(14, 21), 3, [12, 13, 14]),
        (range(7), 1, [7]),
        ([10], 1, [7, 12]),
    ],
)
def test_where_something_is_seen_in_only_one_of_two_searched_pictures_those_between_are_searched_too(
    shown: Collection[int], halvings: int, more: list[int]
) -> None:
    rule = replace(RULE, halvings=halvings)
    expected = [(0, 20, sorted({0, 5, 10, 15, 20, *more}))]
    assert searched(range(0, 20 * 21, 20), shown=shown, rule=rule) == expected


def test_a_picture_that_is_missing_between_two_is_no_picture_to_search() -> None:
    asked: list[int] = []

    def look(frame: Frame) -> Found:
        asked.append(frame.index)
        return {}

    given = [frame for frame in frames(range(0, 20 * 6, 20)) if frame.index != 2]
    search = Search(replace(RULE, halvings=3), look, lambda one, other: True)
    assert [(one.first, one.last) for one in search.stretches(given)] == [(0, 5)]
    assert sorted(asked) == [0, 1, 3, 4, 5]


def test_nothing_gives_nothing() -> None:
    assert searched([]) == []


@given(steps=st.lists(st.integers(-200, 1500), max_size=60))
def test_stretches_hold_every_picture_once_and_none_is_far_from_a_searched_one(steps: list[int]) -> None:
    times = np.cumsum([0, *steps]).tolist()
    ended = searched(times)
    assert [index for first, last, _ in ended for index in range(first, last + 1)] == list(range(len(times)))
    for first, last, numbers in ended:
        assert numbers[0] == first
        assert numbers[-1] == last
        assert max(np.diff(numbers), default=0) <= RULE.every


@given(step_ms=st.integers(1, 500), count=st.integers(2, 60))
def test_at_an_even_pace_two_searched_pictures_are_never_further_apart_than_said_nor_more_than_needed(
    step_ms: int, count: int
) -> None:
    ((_, _, numbers),) = searched(range(0, step_ms * count, step_ms))
    gaps = np.diff(numbers)
    wanted = min(RULE.every, max(1, RULE.most_gap_ns // MS // step_ms))
    assert gaps.max() == min(wanted, count - 1)
    assert (gaps[:-1] == wanted).all()
