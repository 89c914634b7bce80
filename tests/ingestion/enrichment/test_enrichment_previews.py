"""The picture of a matched drive: small, repeatable, with every edge driven on, silent about addresses."""

import io

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray
from PIL import Image

from fleet_assets.ingestion.map_and_weather_enrichment.previews import match_plot
from fleet_assets.tables.maps import MAP_CONTEXT, ROAD_EDGES
from tests.osm_maps import FRAME, edge_table, grid_map, network_of

MAX_BYTES = 200_000


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> pa.Table:
    """Edges of a chessboard of streets."""
    return edge_table(network_of(tmp_path_factory.mktemp("town"), *grid_map(5, 150.0)))


def context(edges: list[str | None]) -> pa.Table:
    """Rows of `silver.map_context` that lie on these edges."""
    schema = MAP_CONTEXT.arrow_schema
    columns = {field.name: pa.nulls(len(edges), field.type) for field in schema}
    return pa.table({**columns, "edge_id": pa.array(edges, pa.string())})


def positions(count: int) -> pa.Table:
    """Positions along a street, one in ten unknown."""
    lat, lon = FRAME.to_geographic(np.linspace(0.0, 300.0, count), np.zeros(count))
    unknown = np.arange(count) % 10 == 9
    return pa.table({"lat_deg": pa.array(lat, mask=unknown), "lon_deg": pa.array(lon, mask=unknown)})


def pixels(data: bytes | None) -> NDArray[np.int64]:
    assert data is not None
    assert len(data) < MAX_BYTES
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).astype(np.int64)


def blueness(image: NDArray[np.int64]) -> int:
    return int(((image[..., 2] > 140) & (image[..., 0] < 90)).sum())


def test_every_edge_driven_on_is_drawn_in_blue_and_every_position_in_red(town: pa.Table) -> None:
    names = town["edge_id"].to_pylist()
    few, many = (
        pixels(match_plot(town, context([*names[:count], None]), positions(200), most=100)) for count in (2, 12)
    )
    assert blueness(many) > 3 * blueness(few) > 0
    red = (few[..., 0] > 180) & (few[..., 1] < 90) & (few[..., 2] < 90)
    assert red.sum() > 100


def test_the_same_rows_give_the_same_picture(town: pa.Table) -> None:
    rows = context(town["edge_id"].to_pylist()[:4])
    assert match_plot(town, rows, positions(50), most=10) == match_plot(town, rows, positions(50), most=10)


def test_the_picture_stays_small_however_long_the_drive_is(town: pa.Table) -> None:
    pixels(match_plot(town, context(town["edge_id"].to_pylist()), positions(200_000), most=3000))


def test_a_drive_that_lies_on_no_road_has_no_picture(town: pa.Table) -> None:
    assert match_plot(town, context([None, None]), positions(50), most=10) is None
    assert match_plot(ROAD_EDGES.empty(), context(["w1"]), positions(50), most=10) is None


def test_a_picture_tells_no_place_on_earth(town: pa.Table) -> None:
    """Moved by a whole degree, the same drive looks the same."""
    rows, at = context(town["edge_id"].to_pylist()[:4]), positions(50)
    here = pixels(match_plot(town, rows, at, most=100))
    assert here.shape[0] > 200
    text = np.asarray(town["geometry"].to_pylist())
    moved = [
        "LINESTRING ("
        + ", ".join(f"{float(x) + 1.0:.7f} {y}" for x, y in (p.split() for p in line[12:-1].split(", ")))
        + ")"
        for line in text.tolist()
    ]
    there = town.set_column(town.column_names.index("geometry"), "geometry", pa.array(moved))
    lon = pa.array([None if value is None else value + 1.0 for value in at["lon_deg"].to_pylist()])
    east = match_plot(there, rows, at.set_column(1, "lon_deg", lon), most=100)
    assert np.abs(pixels(east) - here).mean() < 1.0
