"""Pictures of the catalog: where the drives of a partition went, as coarse as products may tell, and what they saw."""

import io
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa

from fleet_assets.evidence.plots import figure, png, title
from fleet_assets.geo.cells import outline_of

MOST_DRIVES: Final = 8
MOST_CELLS: Final = 2000
COLUMNS: Final = 4
MOST_PICTURES: Final = 12
_SIDE_IN: Final = 5.6
_MARGIN: Final = 0.08


def map_plot(catalog: pa.Table) -> bytes | None:
    """Coarse cells that drives pass through, each drive in its colour; None where no clip has a position.

    Args:
        catalog: Rows of `silver.clip_catalog` of one partition.
    """
    cells: dict[str, set[str]] = {}
    for row in catalog.select(["drive_id", "h3_cells"]).to_pylist():
        if row["h3_cells"]:
            cells.setdefault(row["drive_id"], set()).update(row["h3_cells"].split())
    if not cells:
        return None
    from matplotlib.collections import PolyCollection

    plot, (axes,) = figure(height=_SIDE_IN, width=_SIDE_IN + 1, left=0.9)
    shown = sorted(cells)[:MOST_DRIVES]
    corners = []
    for number, drive in enumerate(shown):
        outlines = [_degrees(cell) for cell in sorted(cells[drive])[:MOST_CELLS]]
        corners += outlines
        axes.add_collection(
            PolyCollection(outlines, facecolors=f"C{number}", edgecolors=f"C{number}", alpha=0.4, label=drive)
        )
    every = np.concatenate(corners)
    low, high = every.min(axis=0), every.max(axis=0)
    edge = np.maximum((high - low) * _MARGIN, 1e-3)
    axes.set_xlim(low[0] - edge[0], high[0] + edge[0])
    axes.set_ylim(low[1] - edge[1], high[1] + edge[1])
    axes.set_aspect(1 / np.cos(np.radians((low[1] + high[1]) / 2)), adjustable="box")
    axes.set_xlabel("longitude, degrees", fontsize=8)
    axes.set_ylabel("latitude, degrees", fontsize=8)
    axes.ticklabel_format(useOffset=False)
    told = f"{len(cells)} drives" if len(cells) == len(shown) else f"the first {len(shown)} of {len(cells)} drives"
    title(plot, f"H3 cells of {told}")
    if len(shown) > 1:
        plot.legend(*axes.get_legend_handles_labels(), fontsize=6, loc="upper right", ncols=2, frameon=False)
    return png(plot)


def _degrees(cell: str) -> np.ndarray[Any, Any]:
    """Corners of a cell as (longitude, latitude), on one side of the antimeridian."""
    corners = np.array([(lon, lat) for lat, lon in outline_of(cell)])
    corners[:, 0] = corners[0, 0] + (corners[:, 0] - corners[0, 0] + 180.0) % 360.0 - 180.0
    return corners


def spread(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Some keyframes of a partition, spread evenly over all of them."""
    if len(rows) <= MOST_PICTURES:
        return list(rows)
    return [rows[int(at)] for at in np.linspace(0, len(rows) - 1, MOST_PICTURES)]


def contact_sheet(pictures: Sequence[tuple[str, bytes]]) -> bytes | None:
    """Redacted pictures side by side; None where there are none.

    Args:
        pictures: Label and JPEG of each.
    """
    if not pictures:
        return None
    from PIL import Image

    rows = -(-len(pictures) // COLUMNS)
    plot, _ = figure(height=0.6 + 1.5 * rows)
    plot.clear()
    for number, (label, jpeg) in enumerate(pictures):
        axes = plot.add_subplot(rows, COLUMNS, number + 1)
        axes.imshow(np.asarray(Image.open(io.BytesIO(jpeg)).convert("RGB").reduce(_shrink(jpeg))))
        axes.set_title(label, fontsize=6, pad=2)
        axes.set_axis_off()
    plot.subplots_adjust(left=0.01, right=0.99, bottom=0.01, top=1 - 0.3 / plot.get_figheight(), wspace=0.04)
    return png(plot)


def _shrink(jpeg: bytes) -> int:
    """By how much a picture is made smaller before it is drawn."""
    from PIL import Image

    width, _ = Image.open(io.BytesIO(jpeg)).size
    return max(1, width // 240)
