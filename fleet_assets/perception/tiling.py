"""Detecting in overlapping tiles, so that small objects are large for the detector.

Here belongs where tiles lie and how what was found in them becomes one list. A detector is any function from a picture
to `Detections`.

Objects that are cut by a tile's edge are the pitfall: a piece of a car is found beside the whole car. So boxes that end
at an edge inside the picture are marked; one that fits into the overlap is whole in the next tile and is dropped, a
larger one yields to any box that covers most of it.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fleet_assets.perception.boxes import Detections, covered, greedy, iou
from fleet_assets.perception.preprocessing import Picture

Detector = Callable[[Picture], Detections]


@dataclass(frozen=True, slots=True)
class Tile:
    """A rectangle of whole pixels: left, top, right, bottom."""

    left: int
    top: int
    right: int
    bottom: int

    def of(self, picture: Picture) -> Picture:
        """Its part of a picture, contiguous."""
        return np.ascontiguousarray(picture[self.top : self.bottom, self.left : self.right])


@dataclass(frozen=True, slots=True)
class TileGrid:
    """How a picture is cut.

    Attributes:
        width: Of a tile, pixels.
        height: Of a tile, pixels.
        overlap: Share of a tile that the next one repeats, at least.
        whole: Whether the whole picture is looked at as well; without it, objects larger than the overlap are missed.
        most_iou: Two boxes of a group that overlap more are one object.
        most_covered: A cut box of which more is covered by another box of its group is a piece of that object.
        edge_px: A box that ends within this distance of a tile's edge may be cut by it.
        whole_least: Boxes found in the whole picture count from this share of the overlap on, in width or height:
            smaller ones are whole in some tile, where they are larger and better placed.
    """

    width: int
    height: int
    overlap: float = 0.5
    whole: bool = True
    most_iou: float = 0.5
    most_covered: float = 0.6
    edge_px: float = 2.0
    whole_least: float = 0.6

    @property
    def overlap_px(self) -> NDArray[np.float32]:
        """Width and height of an object that is whole in some tile, wherever it lies."""
        return np.array([self.width, self.height], dtype=np.float32) * np.float32(self.overlap)

    def __post_init__(self) -> None:
        if self.width < 1 or self.height < 1 or not 0.0 <= self.overlap < 1.0:
            raise ValueError(
                f"tiles of {self.width} x {self.height} with overlap {self.overlap}: give at least one pixel and an "
                "overlap from 0 to less than 1."
            )

    def tiles(self, width: int, height: int) -> tuple[Tile, ...]:
        """Tiles of a picture, row by row, evenly spread so that the last ends at the picture's edge."""
        columns, rows = _starts(width, self.width, self.overlap), _starts(height, self.height, self.overlap)
        cut = tuple(
            Tile(left, top, min(left + self.width, width), min(top + self.height, height))
            for top in rows
            for left in columns
        )
        whole = Tile(0, 0, width, height)
        return (*cut, whole) if self.whole and cut != (whole,) else cut


def _starts(length: int, tile: int, overlap: float) -> list[int]:
    if length <= tile:
        return [0]
    steps = int(np.ceil((length - tile) / max(1.0, tile * (1.0 - overlap)) - 1e-9))
    return [round(index * (length - tile) / steps) for index in range(steps + 1)]


def detect_in_tiles(
    picture: Picture, detector: Detector, grid: TileGrid, groups: tuple[frozenset[str], ...] = ()
) -> Detections:
    """Run a detector over the tiles of a picture and join what it finds.

    Args:
        picture: uint8[h, w, 3] (or [h, w]).
        detector: Called once per tile, in order.
        grid: The tiles.
        groups: Labels that compete with each other (a van found as car and as truck is one object); a label in no
            group competes with itself only.

    Returns:
        Detections in pixels of the whole picture, best first.
    """
    height, width = picture.shape[:2]
    parts = [_placed(detector(tile.of(picture)), tile, (width, height), grid) for tile in grid.tiles(width, height)]
    return joined(parts, grid, groups)


def _placed(found: Detections, tile: Tile, size: tuple[int, int], grid: TileGrid) -> Detections:
    shift = np.array([tile.left, tile.top, tile.left, tile.top], dtype=np.float32)
    edges = np.array([tile.left, tile.top, tile.right, tile.bottom], dtype=np.float32)
    inside = np.array([tile.left > 0, tile.top > 0, tile.right < size[0], tile.bottom < size[1]])
    boxes = found.boxes + shift
    at_edge = (np.abs(boxes - edges) <= grid.edge_px) & inside
    extent = boxes[:, 2:] - boxes[:, :2]
    # A cut box that would fit into the overlap with room to spare is whole in the neighbouring tile.
    kept = ~(at_edge & (extent < grid.overlap_px - grid.edge_px)[:, [0, 1, 0, 1]]).any(axis=1)
    if grid.whole and not inside.any() and (size[0] > grid.width or size[1] > grid.height):
        kept &= (extent >= grid.whole_least * grid.overlap_px).any(axis=1)
    return Detections(boxes[kept], found.scores[kept], found.labels[kept], found.names, at_edge.any(axis=1)[kept])


def joined(parts: list[Detections], grid: TileGrid, groups: tuple[frozenset[str], ...] = ()) -> Detections:
    """One list from those of the tiles: whole boxes before cut ones, better before worse, doubles removed.

    Args:
        parts: Detections in pixels of the whole picture, all with the same names.
        grid: Its limits.
        groups: See `detect_in_tiles`.
    """
    names = parts[0].names
    every = Detections(
        np.concatenate([part.boxes for part in parts]),
        np.concatenate([part.scores for part in parts]),
        np.concatenate([part.labels for part in parts]),
        names,
        np.concatenate([part.cut for part in parts]),
    )
    boxes = every.boxes
    every = every[np.lexsort((boxes[:, 3], boxes[:, 2], boxes[:, 1], boxes[:, 0], -every.scores, every.cut))]
    group = _group_of(names, groups)[every.labels]
    same = group[:, None] == group[None, :]
    double = iou(every.boxes, every.boxes) > grid.most_iou
    piece = (grid.most_covered < covered(every.boxes, every.boxes).T) & every.cut[None, :]
    kept = every[greedy((double | piece) & same)]
    return kept[np.argsort(-kept.scores, kind="stable")]


def _group_of(names: tuple[str, ...], groups: tuple[frozenset[str], ...]) -> NDArray[np.int64]:
    numbers = np.arange(len(names), dtype=np.int64)
    for offset, group in enumerate(groups):
        for index, name in enumerate(names):
            if name in group:
                numbers[index] = len(names) + offset
    return numbers
