"""A picture of matched drives: their positions and routes over the roads of the map."""

from typing import Any, Final

import numpy as np
import pyarrow as pa

from fleet_assets.evidence.plots import figure, png, title
from fleet_assets.geo.road_graph import RoadGraph

_MARGIN_M: Final = 150.0
_LEAST_HALF_M: Final = 300.0


def match_plot(edges: pa.Table, context: pa.Table, signals: pa.Table, most: int) -> bytes | None:
    """Roads in grey, the edges driven on in blue, positions as dots; metres, so that no address can be read off it.

    Args:
        edges: Rows of `map.road_edges` around one drive.
        context: Rows of `silver.map_context` of the drive.
        signals: Rows with `lat_deg` and `lon_deg` of the drive.
        most: Most positions to draw.
    """
    driven = {name for name in context["edge_id"].to_pylist() if name is not None}
    if not driven or not edges.num_rows:
        return None
    graph = RoadGraph(edges)
    lat, lon = (
        np.asarray(signals[name].to_numpy(zero_copy_only=False), dtype=float) for name in ("lat_deg", "lon_deg")
    )
    known = np.flatnonzero(np.isfinite(lat) & np.isfinite(lon))
    known = known[:: max(1, len(known) // most)]
    east, north = graph.frame.to_plane(lat[known], lon[known])
    middle = [(values.min() + values.max()) / 2 for values in (east, north)]
    half = [max((values.max() - values.min()) / 2 + _MARGIN_M, _LEAST_HALF_M) for values in (east, north)]
    plot, (axes,) = figure(height=5.2)
    _roads(axes, graph, driven, middle)
    axes.plot(east - middle[0], north - middle[1], ".", markersize=2.5, color="tab:red", zorder=3)
    axes.set_aspect("equal", adjustable="box")
    axes.set_xlim(-half[0], half[0])
    axes.set_ylim(-half[1], half[1])
    axes.set_xlabel("metres", fontsize=8)
    title(
        plot, f"positions (red) and the {len(driven)} edges that they lie on (blue), map © OpenStreetMap contributors"
    )
    return png(plot)


def _roads(axes: Any, graph: RoadGraph, driven: set[str], middle: list[float]) -> None:
    import shapely
    from matplotlib.collections import LineCollection

    for on_route, colour, width in ((False, "0.75", 0.7), (True, "tab:blue", 2.2)):
        chosen = [line for name, line in zip(graph.edge_id, graph.lines, strict=True) if (name in driven) is on_route]
        lines = [shapely.get_coordinates(line) - middle for line in chosen]
        axes.add_collection(LineCollection(lines, colors=colour, linewidths=width, zorder=1 + on_route))
