"""Objects of the COCO classes by SSD-MobileNetV2 (Liu et al., ECCV 2016; Sandler et al., CVPR 2018) in OpenCV's DNN.

Here belongs this one network. Tiles are in `tiling.py`.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import numpy as np

from fleet_assets.perception.boxes import Detections, clipped, detections
from fleet_assets.perception.preprocessing import InputSpec, Picture, blob
from fleet_assets.perception.runtime import single_threaded_opencv

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
    """

    names = tuple(COCO_OF_THE_ROAD.values())

    def __init__(self, graph: Path, description: Path, spec: InputSpec, least_score: float) -> None:
        self._network = single_threaded_opencv().dnn.readNetFromTensorflow(str(graph), str(description))
        self._spec, self._least = spec, least_score
        self._label = {number: index for index, number in enumerate(COCO_OF_THE_ROAD)}

    def __call__(self, picture: Picture) -> Detections:
        """Detections in uint8[h, w, 3], blue, green, red."""
        height, width = picture.shape[:2]
        self._network.setInput(blob(picture, self._spec))
        rows = self._network.forward().reshape(-1, 7)  # picture, class, score, left, top, right, bottom in 0..1
        kept = (rows[:, 2] >= self._least) & np.isin(rows[:, 1].astype(np.int64), list(self._label))
        rows = rows[kept]
        labels = [self._label[int(number)] for number in rows[:, 1]]
        scale = np.array([width, height, width, height], dtype=np.float32)
        boxes = np.sort((rows[:, 3:] * scale).reshape(-1, 2, 2), axis=1).reshape(-1, 4)
        return detections(clipped(boxes, width, height), rows[:, 2], labels, self.names)
