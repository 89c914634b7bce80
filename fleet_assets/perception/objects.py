"""Objects of the COCO classes by SSD-MobileNetV2 (Liu et al., ECCV 2016; Sandler et al., CVPR 2018) in onnxruntime.

Here belongs this one network: what its numbers mean. How its graph is read is in `ssd_graph.py`, tiles in `tiling.py`.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import numpy as np

from fleet_assets.perception.boxes import Detections, clipped, detections, suppressed
from fleet_assets.perception.preprocessing import InputSpec, Picture, blob
from fleet_assets.perception.runtime import onnx_session, run
from fleet_assets.perception.ssd_graph import translated

COCO_OF_THE_ROAD: Final[Mapping[int, str]] = {
    1: "person",
    2: "bicycle",
    3: "car",
    4: "motorcycle",
    6: "bus",
    7: "train",
    8: "truck",
    10: "traffic light",
    13: "stop sign",
}
"""Numbers of the classes of COCO (Lin et al., ECCV 2014) that are kept; the network knows 80."""
VEHICLES: Final = frozenset({"car", "bus", "truck", "motorcycle"})
"""The network mixes them up; which of them a vehicle is called is not to be relied upon."""


class ObjectDetector:
    """Finds objects in a picture of any size.

    Args:
        graph: TensorFlow graph of SSD-MobileNetV2.
        description: OpenCV's description of it (.pbtxt).
        spec: What the network wants to see.
        least_score: Detections below it are dropped.

    Raises:
        ValueError: When the files are those of another kind of network, or the size of its input is not known.
    """

    names = tuple(COCO_OF_THE_ROAD.values())

    def __init__(self, graph: Path, description: Path, spec: InputSpec, least_score: float) -> None:
        if spec.size_px is None:
            raise ValueError("an SSD sees pictures of one size: give `size_px` under `input` in the policy `weights`.")
        self._model = translated(graph, description, spec.size_px, list(COCO_OF_THE_ROAD))
        self._session = onnx_session(self._model.onnx)
        self._spec, self._least = spec, least_score

    def __call__(self, picture: Picture) -> Detections:
        """Detections in uint8[h, w, 3], blue, green, red."""
        height, width = picture.shape[:2]
        offsets, scores = (values[0] for values in run(self._session, blob(picture, self._spec)))
        rows, labels = np.nonzero(scores >= self._least)
        rest, moved = self._model.at_rest[rows], offsets[rows] * self._model.variance
        middle, extent = rest[:, :2] + moved[:, :2] * rest[:, 2:], np.exp(moved[:, 2:]) * rest[:, 2:]
        shares = np.concatenate([middle - extent / 2.0, middle + extent / 2.0], axis=1)[:, [1, 0, 3, 2]]
        boxes = shares * np.array([width, height, width, height], dtype=np.float32)
        # Doubles are told by the boxes as the network gives them, before the picture's edges cut them.
        found = suppressed(detections(boxes, scores[rows, labels], labels, self.names), self._model.most_iou)
        return Detections(clipped(found.boxes, width, height), found.scores, found.labels, found.names)
