"""Pictures of the catalog show what is there, no more of a place than its cell, and nothing where nothing is."""

import io
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from fleet_assets.geo.cells import cells_of, centre_of, outline_of
from fleet_assets.ingestion.metadata_extraction_and_catalog.previews import (
    MOST_PICTURES,
    contact_sheet,
    map_plot,
    spread,
)


def rows(*places: tuple[str, float, float]) -> pa.Table:
    cells = [(drive, " ".join(cells_of(np.array([lat]), np.array([lon]), 7))) for drive, lat, lon in places]
    return pa.table({"drive_id": [drive for drive, _ in cells], "h3_cells": [cell or None for _, cell in cells]})


def jpeg(colour: tuple[int, int, int]) -> bytes:
    sink = io.BytesIO()
    Image.new("RGB", (640, 360), colour).save(sink, "jpeg")
    return sink.getvalue()


def test_two_drives_are_drawn_in_two_colours_and_the_same_rows_give_the_same_picture() -> None:
    two = rows(("a", 48.1, 11.5), ("b", 48.2, 11.6))
    picture = map_plot(two)
    assert picture is not None
    assert picture == map_plot(two)
    assert picture != map_plot(rows(("a", 48.1, 11.5)))
    colours: Any = Image.open(io.BytesIO(picture)).convert("RGB").getcolors(1 << 20)
    assert len([colour for count, colour in colours if count > 200 and max(colour) - min(colour) > 40]) >= 2
    assert len(picture) < 100_000


def test_positions_within_one_cell_look_alike() -> None:
    (cell,) = cells_of(np.array([48.1]), np.array([11.5]), 7)
    lat, lon = centre_of(cell)
    assert map_plot(rows(("a", lat, lon))) == map_plot(rows(("a", 48.1, 11.5)))


def test_a_cell_on_the_antimeridian_stays_in_one_piece() -> None:
    picture = map_plot(rows(("a", 0.0, 179.9999)))
    assert picture is not None
    (cell,) = cells_of(np.array([0.0]), np.array([179.9999]), 7)
    assert max(lon for _, lon in outline_of(cell)) - min(lon for _, lon in outline_of(cell)) > 300


def test_nothing_is_drawn_where_there_is_nothing() -> None:
    assert map_plot(pa.table({"drive_id": ["a"], "h3_cells": pa.array([None], pa.string())})) is None
    assert map_plot(rows().cast(pa.schema([("drive_id", pa.string()), ("h3_cells", pa.string())]))) is None
    assert contact_sheet([]) is None


@pytest.mark.parametrize("count", [1, 5, MOST_PICTURES])
def test_a_contact_sheet_shows_every_picture(count: int) -> None:
    colours = [(255, 0, 0), (0, 200, 0), (0, 0, 255), (255, 200, 0), (200, 0, 200)]
    sheet = contact_sheet([(f"d-{n:04d} front", jpeg(colours[n % 5])) for n in range(count)])
    assert sheet is not None
    pixels = np.asarray(Image.open(io.BytesIO(sheet)).convert("RGB")).reshape(-1, 3).astype(int)
    for colour in colours[:count]:
        assert (np.abs(pixels - colour).max(axis=1) < 12).mean() > 0.01


def test_keyframes_of_a_sheet_are_spread_over_the_partition() -> None:
    many = [{"n": n} for n in range(100)]
    chosen = [row["n"] for row in spread(many)]
    assert (len(chosen), chosen[0], chosen[-1]) == (MOST_PICTURES, 0, 99)
    assert spread(many[:3]) == many[:3]
