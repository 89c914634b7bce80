"""How well boxes and masks agree with truth: matching, recall and precision with intervals.

Here belongs comparison alone. What counts as truth, and what may be left out, is the caller's business; intervals come
from `fleet_assets.evidence`, with drives as clusters.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fleet_assets.evidence.bootstrap import TooFewClusters, cluster_bootstrap, per_cluster_sums
from fleet_assets.evidence.intervals import Interval, clopper_pearson
from fleet_assets.perception.boxes import Detections, as_boxes, covered, iou

NONE: Final = -1


@dataclass(frozen=True)
class Matching:
    """Which detection is which object.

    Attributes:
        truth_of: int64[detections], row of the object, or -1.
        detection_of: int64[objects], row of the detection, or -1.
        ignored: bool[detections], those neither right nor wrong: they lie on something that does not count.
    """

    truth_of: NDArray[np.int64]
    detection_of: NDArray[np.int64]
    ignored: NDArray[np.bool_]

    @property
    def found(self) -> NDArray[np.bool_]:
        """Objects that were found, bool[objects]."""
        return np.asarray(self.detection_of != NONE)

    @property
    def right(self) -> NDArray[np.bool_]:
        """Detections of an object, bool[detections]."""
        return np.asarray(self.truth_of != NONE)

    @property
    def wrong(self) -> NDArray[np.bool_]:
        """Detections of nothing, bool[detections]."""
        return ~self.right & ~self.ignored


def matched(
    found: Detections, truth: ArrayLike, *, least_iou: float, ignore: ArrayLike = (), least_on_ignored: float = 0.5
) -> Matching:
    """Match detections with objects, best detection first, each with the object that it overlaps most (as COCO does).

    Args:
        found: Detections, best first.
        truth: Boxes of the objects, shape (objects, 4).
        least_iou: Overlap from which a detection may be an object.
        ignore: Boxes of things that do not count (hidden, cut, too small); a detection that is no object but lies on
            one of them is neither right nor wrong.
        least_on_ignored: Share of the detection, or overlap with the thing, from which it lies on it.
    """
    boxes, others = as_boxes(truth), as_boxes(ignore)
    overlap = iou(found.boxes, boxes)
    truth_of = np.full(len(found), NONE, dtype=np.int64)
    detection_of = np.full(len(boxes), NONE, dtype=np.int64)
    for row in range(len(found)):
        free = np.where(detection_of == NONE, overlap[row], -1.0)
        if len(free) and free.max() >= least_iou:
            truth_of[row] = int(free.argmax())
            detection_of[truth_of[row]] = row
    on_other = (covered(found.boxes, others) >= least_on_ignored) | (iou(found.boxes, others) >= least_iou)
    return Matching(truth_of, detection_of, (truth_of == NONE) & on_other.any(axis=1))


def share(
    hits: ArrayLike, drives: ArrayLike, *, confidence: float = 0.95, seed: int = 0, min_clusters: int = 5
) -> Interval:
    """Share of hits with its interval; drives are the clusters, because pictures of one drive resemble each other.

    Where the drives are too few or all alike for a bootstrap, the interval is the exact one for as many observations as
    there are drives, its ends taken for the next smaller and the next larger number of hits.

    Args:
        hits: bool per observation.
        drives: The drive of each.
        confidence: Coverage.
        seed: Seed of the bootstrap.
        min_clusters: Fewest drives for a bootstrap.

    Returns:
        The interval; `n` is the number of drives.
    """
    values = np.asarray(hits, dtype=np.float64)
    if not len(values):
        return clopper_pearson(0, 0, confidence)
    sums, counts = per_cluster_sums(values, drives)
    interval = cluster_bootstrap(sums, counts, confidence=confidence, seed=seed, min_clusters=min_clusters)
    if isinstance(interval, TooFewClusters):
        estimate = float(values.mean())
        low = clopper_pearson(int(np.floor(estimate * len(counts))), len(counts), confidence)
        high = clopper_pearson(int(np.ceil(estimate * len(counts))), len(counts), confidence)
        return Interval(low.low, high.high, estimate, len(counts), confidence, "clopper-pearson")
    return interval


def average_precision(scores: ArrayLike, right: ArrayLike, objects: int) -> float:
    """Area under the curve of precision over recall, every point (not the 101 of COCO).

    Args:
        scores: float per detection.
        right: bool per detection, whether it is an object.
        objects: Number of objects that could be found.

    Raises:
        ValueError: When there are more right detections than objects.
    """
    order = np.argsort(-np.asarray(scores, dtype=np.float64), kind="stable")
    hits = np.asarray(right, dtype=np.bool_)[order]
    if hits.sum() > objects:
        raise ValueError(f"{int(hits.sum())} detections are right, but there are {objects} objects. Match one to one.")
    if not objects or not len(hits):
        return 0.0
    correct = np.cumsum(hits)
    precision = correct / np.arange(1, len(hits) + 1)
    best_from_here = np.maximum.accumulate(precision[::-1])[::-1]
    return float(best_from_here[hits].sum() / objects)


@dataclass(frozen=True, slots=True)
class MaskScore:
    """How two masks agree, in pixels.

    Attributes:
        common: In both.
        only_found: In the found one only.
        only_true: In the true one only.
    """

    common: int
    only_found: int
    only_true: int

    @property
    def iou(self) -> float:
        """Intersection over union; 1 for two empty masks."""
        union = self.common + self.only_found + self.only_true
        return self.common / union if union else 1.0

    @property
    def recall(self) -> float:
        """Share of the true mask that was found; 1 for an empty one."""
        true = self.common + self.only_true
        return self.common / true if true else 1.0


def compared(found: NDArray[np.bool_], true: NDArray[np.bool_]) -> MaskScore:
    """Compare two masks of the same picture.

    Raises:
        ValueError: When their sizes differ.
    """
    if found.shape != true.shape:
        raise ValueError(f"masks of {found.shape} and {true.shape}. Compare masks of one picture.")
    return MaskScore(int((found & true).sum()), int((found & ~true).sum()), int((~found & true).sum()))


def mask_of(boxes: ArrayLike, width: int, height: int) -> NDArray[np.bool_]:
    """Pixels that boxes touch, bool[h, w]."""
    mask = np.zeros((height, width), dtype=np.bool_)
    for left, top, right, bottom in as_boxes(boxes).astype(np.float64):
        columns = slice(max(0, int(np.floor(left))), max(0, int(np.ceil(right))))
        mask[max(0, int(np.floor(top))) : max(0, int(np.ceil(bottom))), columns] = True
    return mask


def covered_by_union(boxes: ArrayLike, cover: ArrayLike, width: int, height: int) -> NDArray[np.float64]:
    """Share of the pixels of each box that the union of other boxes covers, float64[n].

    Args:
        boxes: Boxes, e.g. of faces.
        cover: Boxes, e.g. what was blurred.
        width: Of the picture.
        height: Of the picture.
    """
    mask = mask_of(cover, width, height)
    shares = []
    for box in as_boxes(boxes):
        own = mask_of(box[None], width, height)
        pixels = int(own.sum())
        shares.append(int((own & mask).sum()) / pixels if pixels else 1.0)
    return np.asarray(shares, dtype=np.float64)
