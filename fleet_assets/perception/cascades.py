"""Second opinions by Haar cascades (Viola and Jones, CVPR 2001) in OpenCV: nothing in common with the networks.

Here belongs an auditor's detector. Cascades fire on signs, branches and cars, so that a hit is a question, not an
answer: `confirmed` asks for a second look.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from fleet_assets.perception.boxes import Detections, as_boxes, clipped, detections, padded, suppressed
from fleet_assets.perception.preprocessing import Picture, grey
from fleet_assets.perception.runtime import single_threaded_opencv

_MOST_IOU = 0.4


class CascadeDetector:
    """Finds what its cascades were trained on.

    Args:
        models: Cascade files; what any of them finds counts.
        name: What they find.
        scale: The picture is enlarged by it first.
        step: Factor between two sizes that are looked for.
        neighbours: How many overlapping hits make one detection.
        least_px: Smallest side, in pixels of the enlarged picture.
        mirrored: Whether to look at the mirrored picture as well (profile cascades know one side only).
    """

    def __init__(
        self,
        models: Sequence[Path],
        name: str,
        *,
        scale: float = 1.0,
        step: float = 1.1,
        neighbours: int = 4,
        least_px: int = 20,
        mirrored: bool = False,
    ) -> None:
        self._cv2 = single_threaded_opencv()
        self._cascades = [self._cv2.CascadeClassifier(str(model)) for model in models]
        for model, cascade in zip(models, self._cascades, strict=True):
            if cascade.empty():
                raise ValueError(f"{model}: holds no cascade. Give an XML file of OpenCV's cascade trainer.")
        self.names = (name,)
        self._scale, self._step, self._neighbours = scale, step, neighbours
        self._least, self._mirrored = least_px, mirrored

    def __call__(self, picture: Picture) -> Detections:
        """Detections in uint8[h, w, 3]; scores are the sums of the last stage, comparable within a cascade."""
        height, width = picture.shape[:2]
        size = (round(width * self._scale), round(height * self._scale))
        seen = self._cv2.equalizeHist(grey(self._cv2.resize(picture, size, interpolation=self._cv2.INTER_LINEAR)))
        boxes: list[list[float]] = []
        scores: list[float] = []
        for flipped in (False, True) if self._mirrored else (False,):
            looked_at = np.ascontiguousarray(seen[:, ::-1]) if flipped else seen
            for cascade in self._cascades:
                found, _, weights = cascade.detectMultiScale3(
                    looked_at,
                    scaleFactor=self._step,
                    minNeighbors=self._neighbours,
                    minSize=(self._least, self._least),
                    outputRejectLevels=True,
                )
                for (left, top, wide, high), weight in zip(found, np.ravel(weights), strict=True):
                    start = size[0] - left - wide if flipped else left
                    boxes.append([start, top, start + wide, top + high])
                    scores.append(float(weight))
        scaled = as_boxes(boxes) / np.array([size[0] / width, size[1] / height] * 2, dtype=np.float32)
        hits = detections(clipped(scaled, width, height), scores, np.zeros(len(scores)), self.names)
        return suppressed(hits, _MOST_IOU)


def confirmed(
    picture: Picture, hits: Detections, second_look: Callable[[Picture], Detections], *, context: float = 1.0
) -> "np.ndarray[tuple[int], np.dtype[np.bool_]]":
    """Which hits another detector confirms when it sees the hit with its surroundings, bool[n].

    Args:
        picture: uint8[h, w, 3].
        hits: What is in question.
        second_look: A detector of another kind, which enlarges small pictures itself.
        context: How much of its surroundings it sees: share of the hit's size on every side.
    """
    height, width = picture.shape[:2]
    answers = np.zeros(len(hits), dtype=np.bool_)
    for row, area in enumerate(clipped(padded(hits.boxes, context, context), width, height)):
        left, top = (int(np.floor(value)) for value in area[:2])
        right, bottom = (int(np.ceil(value)) for value in area[2:])
        if right <= left or bottom <= top:
            continue
        seen = second_look(np.ascontiguousarray(picture[top:bottom, left:right]))
        middle = (hits.boxes[row, :2] + hits.boxes[row, 2:]) / 2.0 - np.array([left, top], dtype=np.float32)
        inside = (seen.boxes[:, :2] <= middle).all(axis=1) & (middle <= seen.boxes[:, 2:]).all(axis=1)
        answers[row] = bool(inside.any())
    return answers
