"""Licence plates: lines of text found by PP-OCRv4's detector (DB: Liao et al., AAAI 2020) in onnxruntime.

Here belong the text detector and where it looks for plates: inside the boxes of vehicles, enlarged, and in tiles of
the whole picture, because a vehicle that was missed leaves its plate exposed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fleet_assets.perception.boxes import Detections, as_boxes, clipped, detections, nothing, padded
from fleet_assets.perception.preprocessing import InputSpec, Picture, blob
from fleet_assets.perception.runtime import onnx_session, run, single_threaded_opencv
from fleet_assets.perception.tiling import TileGrid, detect_in_tiles, joined

LEAST_SIDE_PX: Final = 3.0
"""Shorter regions of the text map are noise."""
_CORNERS: Final = 4


@dataclass(frozen=True, slots=True)
class TextRule:
    """What counts as text; the defaults are those that the network is shipped with.

    Attributes:
        least_probability: Of a pixel.
        least_score: Mean probability inside a box.
        unclip: The network marks the core of a line; its box grows by area x unclip / perimeter on each side.
    """

    least_probability: float = 0.3
    least_score: float = 0.5
    unclip: float = 1.6


class TextDetector:
    """Finds lines of text; boxes are upright bounds of slanted ones.

    Args:
        model: PP-OCR detector as ONNX.
        spec: What the network wants to see.
        rule: What counts as text.
        longer_px: The picture is scaled so that its longer side has so many pixels; None leaves it as it is.
    """

    names = ("text",)

    def __init__(
        self, model: Path, spec: InputSpec, rule: TextRule | None = None, longer_px: int | None = None
    ) -> None:
        self._session = onnx_session(model)
        self._spec, self._rule, self._longer = spec, rule or TextRule(), longer_px

    def __call__(self, picture: Picture, scale: float | None = None) -> Detections:
        """Detections in uint8[h, w, 3], blue, green, red; the picture is enlarged by `scale`, where it is given."""
        height, width = picture.shape[:2]
        if scale is None:
            scale = 1.0 if self._longer is None else self._longer / max(width, height)
        seen = blob(picture, self._spec, scale)
        probability = run(self._session, seen)[0][0, 0]
        corners, scores = lines_of(probability, self._rule)
        if not len(corners):
            return nothing(self.names)
        corners = corners * np.array([width / seen.shape[3], height / seen.shape[2]], dtype=np.float32)
        boxes = np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1)
        return detections(clipped(boxes, width, height), scores, np.zeros(len(scores)), self.names)


def lines_of(probability: NDArray[Any], rule: TextRule) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Lines of text in a map of probabilities.

    Args:
        probability: float[h, w].
        rule: What counts.

    Returns:
        Corners float32[n, 4, 2] (column, row) and scores float32[n].
    """
    cv2 = single_threaded_opencv()
    # The thin gaps that the network leaves between letters are closed before regions are taken.
    marked = cv2.dilate((probability > rule.least_probability).astype(np.uint8), np.ones((2, 2), dtype=np.uint8))
    contours, _ = cv2.findContours(marked, cv2.RETR_LIST, cv2.CHAIN_APPROX_SIMPLE)
    corners, scores = [], []
    for contour in contours:
        middle, extent, angle = cv2.minAreaRect(contour)
        if min(extent) < LEAST_SIDE_PX:
            continue
        score = _mean_inside(probability, cv2.boxPoints((middle, extent, angle)))
        if score < rule.least_score:
            continue
        margin = extent[0] * extent[1] * rule.unclip / (2.0 * (extent[0] + extent[1]))
        grown = (extent[0] + 2.0 * margin, extent[1] + 2.0 * margin)
        corners.append(cv2.boxPoints((middle, grown, angle)))
        scores.append(score)
    return np.asarray(corners, dtype=np.float32).reshape(-1, _CORNERS, 2), np.asarray(scores, dtype=np.float32)


def _mean_inside(probability: NDArray[Any], corners: NDArray[np.float32]) -> float:
    cv2 = single_threaded_opencv()
    height, width = probability.shape
    low = np.clip(np.floor(corners.min(axis=0)), 0, [width - 1, height - 1]).astype(np.int32)
    high = np.clip(np.ceil(corners.max(axis=0)), 0, [width - 1, height - 1]).astype(np.int32)
    inside = np.zeros((high[1] - low[1] + 1, high[0] - low[0] + 1), dtype=np.uint8)
    cv2.fillPoly(inside, [(corners - low).astype(np.int32)], 1)
    part = np.ascontiguousarray(probability[low[1] : high[1] + 1, low[0] : high[0] + 1], dtype=np.float32)
    return float(cv2.mean(part, inside)[0])


@dataclass(frozen=True, slots=True)
class PlateRule:
    """Where plates are looked for and which lines of text may be one.

    Attributes:
        crop_px: Longer side of the crop of a vehicle when the network sees it.
        vehicle_margin: Share by which a vehicle's box grows on every side before it is cut out.
        tiles: Tiles of the whole picture, looked at besides; None for none.
        tile_px: Longer side of a tile when the network sees it.
        padding: Boxes grow by this share of their height on every side.
        least_aspect: Width over height from which a line on a vehicle may be a plate; these are upright bounds, so that
            a slanted plate is squarer.
        tile_least_aspect: The same where no vehicle is known: numbers on road signs are squarer than plates.
        tile_least_score: Least score of a line where no vehicle is known.
        most_width_share: Of the picture's width; a wider line is a sign or a façade, unless a vehicle carries it.
    """

    crop_px: int = 640
    vehicle_margin: float = 0.05
    tiles: TileGrid | None = None
    tile_px: int = 640
    padding: float = 0.4
    least_aspect: float = 0.8
    tile_least_aspect: float = 0.8
    tile_least_score: float = 0.0
    most_width_share: float = 0.5


class PlateDetector:
    """Finds licence plates, given where vehicles are.

    Args:
        model: PP-OCR detector as ONNX.
        spec: What the network wants to see.
        rule: Where to look.
        text: What counts as text.
    """

    names = ("plate",)

    def __init__(self, model: Path, spec: InputSpec, rule: PlateRule, text: TextRule | None = None) -> None:
        self._rule = rule
        self._in_crop = TextDetector(model, spec, text, rule.crop_px)
        self._in_tile = TextDetector(model, spec, text, rule.tile_px) if rule.tiles else None

    def __call__(self, picture: Picture, vehicles: ArrayLike = ()) -> Detections:
        """Plates in a picture.

        Args:
            picture: uint8[h, w, 3], blue, green, red.
            vehicles: Boxes of vehicles, shape (n, 4).
        """
        height, width = picture.shape[:2]
        margin = self._rule.vehicle_margin
        areas = clipped(padded(as_boxes(vehicles), margin, margin), width, height)
        parts = [self._in_area(picture, area) for area in areas]
        if self._in_tile is not None and self._rule.tiles is not None:
            found = detect_in_tiles(picture, self._in_tile, self._rule.tiles)
            parts.append(self._plausible(found, width))
        return self._joined(parts, width, height)

    def _plausible(self, found: Detections, width: int) -> Detections:
        """Lines that may be a plate although no vehicle is known there."""
        wide, high = (found.boxes[:, 2:] - found.boxes[:, :2]).T
        shape = (wide <= self._rule.most_width_share * width) & (wide >= self._rule.tile_least_aspect * high)
        return found[shape].above(self._rule.tile_least_score)

    def _in_area(self, picture: Picture, area: NDArray[np.float32]) -> Detections:
        left, top, right, bottom = (
            int(np.floor(area[0])),
            int(np.floor(area[1])),
            int(np.ceil(area[2])),
            int(np.ceil(area[3])),
        )
        if right - left < LEAST_SIDE_PX or bottom - top < LEAST_SIDE_PX:
            return nothing(self._in_crop.names)
        found = self._in_crop(np.ascontiguousarray(picture[top:bottom, left:right]))
        shift = np.array([left, top, left, top], dtype=np.float32)
        return Detections(found.boxes + shift, found.scores, found.labels, found.names)

    def _joined(self, parts: Sequence[Detections], width: int, height: int) -> Detections:
        grid = self._rule.tiles or TileGrid(width, height)
        every = joined(list(parts), grid) if parts else nothing(self.names)
        extent = every.boxes[:, 2:] - every.boxes[:, :2]
        every = every[extent[:, 0] >= self._rule.least_aspect * extent[:, 1]]
        tall = (every.boxes[:, 3] - every.boxes[:, 1])[:, None] * self._rule.padding
        grown = np.concatenate([every.boxes[:, :2] - tall, every.boxes[:, 2:] + tall], axis=1)
        return Detections(clipped(grown, width, height), every.scores, np.zeros(len(every), dtype=np.int64), self.names)
