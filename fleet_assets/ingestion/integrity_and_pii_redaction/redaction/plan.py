"""Which areas of which pictures are covered, given what detectors saw in some of them.

Here belongs the way from detections to areas: tracks through pictures that nobody searched or in which a detector
missed, and the margin around what was seen. Pure: no pixels, no models. Which pictures are searched is in `search.py`.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fleet_assets.perception.boxes import Detections
from fleet_assets.perception.tracking import TrackedBox, TrackRule, tracked


@dataclass(frozen=True, slots=True)
class Margin:
    """How much more than the detector's box is covered, on every side.

    Attributes:
        share: Of the box's size.
        px: Pixels besides.
        speed: Times the way that the track goes in one picture, where the box was not seen but filled in.
    """

    share: float
    px: float
    speed: float


@dataclass(frozen=True, slots=True)
class PlanRule:
    """How detections become areas.

    Attributes:
        tracking: How tracks are built.
        margin: What is covered around them.
    """

    tracking: TrackRule
    margin: Margin

    @classmethod
    def from_policy(cls, policy: Mapping[str, Any]) -> "dict[str, PlanRule]":
        """By kind, from the keys `tracking` and `detectors` of the document `redaction`."""
        return {
            rule["kind"]: cls(
                TrackRule(**policy["tracking"], unsure_score=rule["unsure_score"]), Margin(**rule["margin"])
            )
            for rule in policy["detectors"]
        }


@dataclass(frozen=True, slots=True)
class Area:
    """One area that is covered in one picture: whole pixels, inside the picture, never empty.

    Attributes:
        kind: What it covers.
        track: Number of the track within its kind.
        left: First column.
        top: First row.
        right: Column after the last.
        bottom: Row after the last.
        detected: Whether the detector saw it in this picture; else it was filled in.
        score: Score of the detection, or of the nearest ones.
    """

    kind: str
    track: int
    left: int
    top: int
    right: int
    bottom: int
    detected: bool
    score: float


def plan_boxes(
    kind: str,
    found: Mapping[int, Detections],
    frames: int,
    size: tuple[int, int],
    rule: PlanRule,
    *,
    first_track: int = 0,
) -> dict[int, list[Area]]:
    """Areas of one kind in every picture of a stretch.

    Args:
        kind: What the detections show.
        found: Detections by number of the picture within the stretch; pictures that were not searched are absent.
        frames: Pictures of the stretch.
        size: Width and height of the pictures.
        rule: How detections become areas.
        first_track: Number of the first track.

    Returns:
        Areas by number of the picture; pictures without any are absent.
    """
    by_track: dict[int, list[TrackedBox]] = defaultdict(list)
    for one in tracked(found, frames, rule.tracking):
        by_track[one.track].append(one)
    planned: dict[int, list[Area]] = defaultdict(list)
    for number in sorted(by_track):
        boxes = sorted(by_track[number], key=lambda one: one.frame)
        for one, speed in zip(boxes, _speeds(boxes), strict=True):
            edges = _edges(one, speed, size, rule.margin)
            if edges is not None:
                area = Area(kind, first_track + number, *edges, one.detected, one.score)
                planned[one.frame].append(area)
    return dict(planned)


def _speeds(boxes: Sequence[TrackedBox]) -> NDArray[np.float64]:
    """Fastest move of a track's middle from or to each of its pictures, float64[n, 2], pixels per picture."""
    frames = np.array([one.frame for one in boxes], dtype=np.float64)
    corners = np.array([one.box for one in boxes], dtype=np.float64)
    if len(boxes) == 1:
        return np.zeros((1, 2))
    middles = (corners[:, :2] + corners[:, 2:]) / 2.0
    moves = np.abs(np.diff(middles, axis=0)) / np.diff(frames)[:, None]
    return np.maximum(np.vstack([moves[:1], moves]), np.vstack([moves, moves[-1:]]))


def _edges(
    one: TrackedBox, speed: NDArray[np.float64], size: tuple[int, int], margin: Margin
) -> tuple[int, int, int, int] | None:
    """Whole pixels of a box with its margin; None where nothing of it lies in the picture."""
    box = np.array(one.box, dtype=np.float64)
    grown = margin.share * (box[2:] - box[:2]) + margin.px
    if not one.detected:
        grown = grown + margin.speed * speed
    low = np.maximum(np.floor(box[:2] - grown), 0.0).astype(int)
    high = np.minimum(np.ceil(box[2:] + grown), size).astype(int)
    if (low >= high).any():
        return None
    return int(low[0]), int(low[1]), int(high[0]), int(high[1])
