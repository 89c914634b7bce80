"""Boxes in a picture and what a detector says about them.

Here belongs geometry of boxes: overlap, clipping, padding, suppression of doubles. Which detector found them is in the
detectors' own modules, comparison with truth in `metrics.py`.

A box is left, top, right, bottom in pixels of the whole picture; edges are continuous, so a box of a single pixel
(x, y) is (x, y, x + 1, y + 1).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

BoxArray = NDArray[np.float32]


def as_boxes(boxes: ArrayLike) -> BoxArray:
    """Boxes as float32[n, 4], also for none.

    Raises:
        ValueError: When the shape is another, or a box ends before it begins.
    """
    array = np.asarray(boxes, dtype=np.float32)
    if array.size == 0:
        return np.zeros((0, 4), dtype=np.float32)
    if array.ndim != 2 or array.shape[1] != 4:  # noqa: PLR2004 - left, top, right, bottom
        raise ValueError(f"boxes have shape {array.shape}, expected (n, 4): left, top, right, bottom of each.")
    if not (array[:, :2] <= array[:, 2:]).all():
        raise ValueError("a box ends before it begins, or has no number. Give left, top, right, bottom.")
    return array


@dataclass(frozen=True)
class Detections:
    """What a detector found in one picture, best first.

    Attributes:
        boxes: float32[n, 4].
        scores: float32[n], the detector's own; comparable within one detector only.
        labels: int64[n], index into `names`.
        names: Names of the labels.
        cut: bool[n], whether a tile's edge inside the picture cuts the box.
    """

    boxes: BoxArray
    scores: NDArray[np.float32]
    labels: NDArray[np.int64]
    names: tuple[str, ...]
    cut: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, dtype=np.bool_))

    def __post_init__(self) -> None:
        if not len(self.cut):
            object.__setattr__(self, "cut", np.zeros(len(self.boxes), dtype=np.bool_))
        lengths = {len(self.boxes), len(self.scores), len(self.labels), len(self.cut)}
        if len(lengths) != 1:
            raise ValueError(f"boxes, scores, labels and cut have {sorted(lengths)} rows. Give one of each per box.")

    def __len__(self) -> int:
        return len(self.boxes)

    def __getitem__(self, rows: NDArray[Any] | slice) -> "Detections":
        return Detections(self.boxes[rows], self.scores[rows], self.labels[rows], self.names, self.cut[rows])

    def named(self, names: Sequence[str]) -> "Detections":
        """Those with one of these labels.

        Raises:
            ValueError: When the detector does not know a label.
        """
        unknown = sorted(set(names) - set(self.names))
        if unknown:
            raise ValueError(f"labels {', '.join(unknown)} are not among those of this detector: {self.names}.")
        wanted = [index for index, name in enumerate(self.names) if name in set(names)]
        return self[np.isin(self.labels, wanted)]

    def above(self, score: float) -> "Detections":
        """Those with at least this score."""
        return self[self.scores >= score]


def detections(boxes: ArrayLike, scores: ArrayLike, labels: ArrayLike, names: Sequence[str]) -> Detections:
    """Detections in a fixed order: by score, then by place, so that equal scores never depend on the detector."""
    array = as_boxes(boxes)
    values = np.asarray(scores, dtype=np.float32).reshape(-1)
    numbers = np.asarray(labels, dtype=np.int64).reshape(-1)
    order = np.lexsort((array[:, 3], array[:, 2], array[:, 1], array[:, 0], -values))
    return Detections(array[order], values[order], numbers[order], tuple(names))


def nothing(names: Sequence[str]) -> Detections:
    """No detections."""
    return detections([], [], [], names)


def areas(boxes: ArrayLike) -> NDArray[np.float64]:
    """Areas, float64[n], square pixels."""
    array = as_boxes(boxes).astype(np.float64)
    return np.asarray((array[:, 2] - array[:, 0]) * (array[:, 3] - array[:, 1]))


def intersections(one: ArrayLike, two: ArrayLike) -> NDArray[np.float64]:
    """Common area of each box of `one` and each of `two`, float64[n, m]."""
    first, second = as_boxes(one).astype(np.float64), as_boxes(two).astype(np.float64)
    low = np.maximum(first[:, None, :2], second[None, :, :2])
    high = np.minimum(first[:, None, 2:], second[None, :, 2:])
    return np.asarray(np.clip(high - low, 0.0, None).prod(axis=2))


def iou(one: ArrayLike, two: ArrayLike) -> NDArray[np.float64]:
    """Intersection over union, float64[n, m]; 0 where both are empty."""
    common = intersections(one, two)
    union = areas(one)[:, None] + areas(two)[None, :] - common
    return np.divide(common, union, out=np.zeros_like(common), where=union > 0.0)


def covered(one: ArrayLike, two: ArrayLike) -> NDArray[np.float64]:
    """Share of each box of `one` that each box of `two` covers, float64[n, m]; 0 for empty boxes."""
    common = intersections(one, two)
    own = np.broadcast_to(areas(one)[:, None], common.shape)
    return np.divide(common, own, out=np.zeros_like(common), where=own > 0.0)


def clipped(boxes: ArrayLike, width: int, height: int) -> BoxArray:
    """Boxes cut at the picture's edges; a box outside becomes empty."""
    array = as_boxes(boxes)
    return np.clip(array, 0.0, np.array([width, height, width, height], dtype=np.float32))


def padded(boxes: ArrayLike, share_x: float, share_y: float, least_px: float = 0.0) -> BoxArray:
    """Boxes made larger on every side.

    Args:
        boxes: Boxes.
        share_x: Of the width, to the left and to the right.
        share_y: Of the height, above and below.
        least_px: At least so many pixels on each side.
    """
    array = as_boxes(boxes)
    extent = array[:, 2:] - array[:, :2]
    margin = np.maximum(extent * np.array([share_x, share_y], dtype=np.float32), np.float32(least_px))
    return np.concatenate([array[:, :2] - margin, array[:, 2:] + margin], axis=1)


def suppressed(found: Detections, most_iou: float, *, across_labels: bool = False) -> Detections:
    """Greedy non-maximum suppression: the best box stays, others that overlap it by more than `most_iou` go.

    Args:
        found: Detections, best first.
        most_iou: Limit.
        across_labels: Whether boxes of other labels are suppressed as well.
    """
    overlap = iou(found.boxes, found.boxes) > most_iou
    if not across_labels:
        overlap &= found.labels[:, None] == found.labels[None, :]
    return found[greedy(overlap)]


def greedy(rivals: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Indices that stay when each, in order, removes its later rivals; `rivals` is bool[n, n]."""
    alive = np.ones(len(rivals), dtype=np.bool_)
    for index in range(len(rivals)):
        if alive[index]:
            alive[index + 1 :] &= ~rivals[index, index + 1 :]
    return np.flatnonzero(alive)
