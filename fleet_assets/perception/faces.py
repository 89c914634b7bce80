"""Faces by CenterFace (Xu et al., Neurocomputing 439, 2021) in onnxruntime.

Here belongs this one network. Small faces need a larger picture: `scale` enlarges it before the network sees it.
"""

from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fleet_assets.perception.boxes import Detections, clipped, detections, suppressed
from fleet_assets.perception.preprocessing import InputSpec, Picture, blob
from fleet_assets.perception.runtime import onnx_session, run, with_free_size

STRIDE_PX: Final = 4
"""One place of the heat map is so many pixels of the network's input."""
MOST_IOU: Final = 0.3


class FaceDetector:
    """Finds faces.

    Args:
        model: CenterFace as ONNX.
        spec: What the network wants to see.
        least_score: Detections below it are dropped.
        scale: The picture is enlarged by it first.
    """

    names = ("face",)

    def __init__(self, model: Path, spec: InputSpec, least_score: float, scale: float = 1.0) -> None:
        self._session = onnx_session(with_free_size(model))
        self._spec, self._least, self._scale = spec, least_score, scale

    def __call__(self, picture: Picture) -> Detections:
        """Detections in uint8[h, w, 3], blue, green, red."""
        height, width = picture.shape[:2]
        seen = blob(picture, self._spec, self._scale)
        heat, size, offset, _ = run(self._session, seen)
        boxes, scores = decoded(heat[0, 0], size[0], offset[0], self._least)
        boxes = boxes * np.array([width / seen.shape[3], height / seen.shape[2]] * 2, dtype=np.float32)
        found = detections(clipped(boxes, width, height), scores, np.zeros(len(scores)), self.names)
        return suppressed(found, MOST_IOU)


def decoded(
    heat: NDArray[Any], size: NDArray[Any], offset: NDArray[Any], least_score: float
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Boxes and scores from the network's maps.

    Args:
        heat: float[h, w], score of a face's middle at each place.
        size: float[2, h, w], logarithm of height and width in strides.
        offset: float[2, h, w], of the middle within its place, down and right, in strides.
        least_score: Places at or below it are none.

    Returns:
        float32[n, 4] in pixels of the network's input and float32[n].
    """
    rows, columns = np.nonzero(heat > least_score)
    extent = np.exp(size[:, rows, columns]) * STRIDE_PX
    middle = (np.stack([rows, columns]) + offset[:, rows, columns] + 0.5) * STRIDE_PX
    low, high = middle - extent / 2.0, middle + extent / 2.0
    boxes = np.stack([low[1], low[0], high[1], high[0]], axis=1).astype(np.float32).reshape(-1, 4)
    return boxes, heat[rows, columns].astype(np.float32)
