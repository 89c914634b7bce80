"""Tiles see everything, and what several of them see is one object."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleet_assets.perception.boxes import Detections, detections, iou
from fleet_assets.perception.preprocessing import Picture
from fleet_assets.perception.tiling import TileGrid, detect_in_tiles

WIDTH, HEIGHT = 640, 360
GRID = TileGrid(240, 180, overlap=0.5)


def painted(boxes: list[tuple[int, int, int, int]]) -> Picture:
    """A picture in which object k is painted in grey level 10 + k."""
    picture = np.zeros((HEIGHT, WIDTH, 3), dtype=np.uint8)
    for number, (left, top, right, bottom) in enumerate(boxes):
        picture[top:bottom, left:right] = 10 + number
    return picture


def sees_paint(picture: Picture) -> Detections:
    """A detector that finds exactly what is visible of each object, sure of everything."""
    found = []
    for level in np.unique(picture[picture > 0]):
        rows, columns = np.nonzero(picture[..., 0] == level)
        found.append([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
    return detections(found, [0.9] * len(found), [0] * len(found), ("car",))


def test_tiles_lie_evenly_and_reach_all_edges() -> None:
    tiles = GRID.tiles(WIDTH, HEIGHT)
    assert len(tiles) == 5 * 3 + 1
    assert [(tile.left, tile.top) for tile in tiles[:6]] == [(0, 0), (100, 0), (200, 0), (300, 0), (400, 0), (0, 90)]
    assert (tiles[-2].right, tiles[-2].bottom) == (WIDTH, HEIGHT)


@settings(max_examples=50)
@given(
    st.integers(1, 900),
    st.integers(1, 700),
    st.integers(1, 300),
    st.integers(1, 300),
    st.sampled_from([0.0, 0.25, 0.5, 0.8]),
)
def test_every_object_that_fits_the_overlap_is_whole_in_some_tile(
    width: int, height: int, wide: int, high: int, overlap: float
) -> None:
    wide, high = max(wide, width // 20), max(high, height // 20)
    tiles = TileGrid(wide, high, overlap, whole=False).tiles(width, height)
    places = np.array([(tile.left, tile.top, tile.right, tile.bottom) for tile in tiles])
    fits = (min(width, max(1, int(wide * overlap) - 1)), min(height, max(1, int(high * overlap) - 1)))
    rng = np.random.default_rng([width, height, wide, high])
    for left, top in rng.integers(0, [width - fits[0] + 1, height - fits[1] + 1], (20, 2)):
        begins, ends = (places[:, :2] <= (left, top)).all(1), (places[:, 2:] >= (left + fits[0], top + fits[1])).all(1)
        assert (begins & ends).any()


@settings(max_examples=30)
@given(st.integers(0, 10_000))
def test_objects_of_every_size_are_found_once_and_whole(seed: int) -> None:
    rng = np.random.default_rng(seed)
    boxes: list[tuple[int, int, int, int]] = []
    for _ in range(rng.integers(1, 8)):
        wide, high = int(rng.integers(4, 300)), int(rng.integers(4, 200))
        left, top = int(rng.integers(0, WIDTH - wide + 1)), int(rng.integers(0, HEIGHT - high + 1))
        new = (left, top, left + wide, top + high)
        if not boxes or iou([new], boxes).max() == 0.0:
            boxes.append(new)
    found = detect_in_tiles(painted(boxes), sees_paint, GRID)
    assert sorted(tuple(int(value) for value in one) for one in found.boxes) == sorted(boxes)


def test_an_object_that_two_labels_of_a_group_claim_is_one() -> None:
    def unsure(picture: Picture) -> Detections:
        found = sees_paint(picture).boxes
        return detections(np.repeat(found, 2, axis=0), [0.6, 0.7] * len(found), [0, 1] * len(found), ("car", "truck"))

    picture = painted([(300, 150, 380, 210)])
    together = detect_in_tiles(picture, unsure, GRID, (frozenset({"car", "truck"}),))
    assert [together.names[label] for label in together.labels] == ["truck"]
    assert len(detect_in_tiles(picture, unsure, GRID)) == 2


def test_a_picture_of_one_tile_is_looked_at_once() -> None:
    looked: list[tuple[int, ...]] = []

    def counts(picture: Picture) -> Detections:
        looked.append(picture.shape)
        return sees_paint(picture)

    detect_in_tiles(np.zeros((180, 240, 3), dtype=np.uint8), counts, GRID)
    assert looked == [(180, 240, 3)]


def test_small_things_seen_in_the_whole_picture_only_are_left_to_the_tiles() -> None:
    def only_large_pictures(picture: Picture) -> Detections:
        return sees_paint(picture) if picture.shape[1] == WIDTH else sees_paint(np.zeros_like(picture))

    boxes = [(20, 20, 40, 40), (100, 50, 420, 300)]
    assert detect_in_tiles(painted(boxes), only_large_pictures, GRID).boxes.tolist() == [[100, 50, 420, 300]]
    every = TileGrid(240, 180, whole_least=0.0)
    assert len(detect_in_tiles(painted(boxes), only_large_pictures, every)) == 2


def test_an_impossible_grid_is_refused() -> None:
    with pytest.raises(ValueError, match="overlap from 0 to less than 1"):
        TileGrid(240, 180, overlap=1.0)
