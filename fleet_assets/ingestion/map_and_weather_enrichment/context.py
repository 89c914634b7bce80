"""What the map says at the places where a drive was: rows of `silver.map_context`.

Here belongs reading off a map. Which roads a drive took is decided in `fleet_assets.geo.map_matching`.
"""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from fleet_assets.geo.osm_limits import TAGGED
from fleet_assets.geo.road_graph import Metres, RoadGraph
from fleet_assets.geo.routes import Placed


def context_rows(graph: RoadGraph, signals: pa.Table, placed: Placed, junction_max_m: float) -> pa.Table:
    """Rows of `silver.map_context` without the drive's columns, in order of time.

    Args:
        graph: Roads.
        signals: Rows with a position on the map.
        placed: Where they lie.
        junction_max_m: Junctions farther ahead are not told.
    """
    on_road = placed.directed >= 0
    directed = np.maximum(placed.directed, 0)
    edge, forward, length = graph.edge[directed], graph.forward[directed], graph.length_m[directed]
    offset = np.clip(np.where(forward, placed.travelled_m, length - placed.travelled_m), 0.0, length)
    own = graph.rows.take(pa.array(edge))
    first, last, zone_limit = (numbers(own, f"work_zone_{name}") for name in ("first_m", "last_m", "limit_mps"))
    in_zone = (offset >= first) & (offset <= last)
    limit = np.where(forward, numbers(own, "speed_limit_mps"), numbers(own, "speed_limit_back_mps"))
    zone_holds = in_zone & np.isfinite(zone_limit)
    limit = np.where(zone_holds, zone_limit, limit)
    source = pc.if_else(pa.array(forward), own["speed_limit_source"], own["speed_limit_back_source"])
    source = pc.if_else(pa.array(zone_holds), TAGGED, source)
    beyond = np.where(forward, numbers(own, "end_junction_m"), numbers(own, "start_junction_m"))
    ahead = np.maximum(length - placed.travelled_m, 0.0) + beyond
    ahead = np.where(ahead <= junction_max_m, ahead, np.nan)
    hidden = ~on_road
    return pa.table(
        {
            "clip_id": signals["clip_id"],
            "t_ns": signals["t_ns"],
            "edge_id": _masked(own["edge_id"], hidden),
            "forward": pa.array(forward, mask=hidden),
            "offset_m": _maybe(offset, hidden),
            "snap_distance_m": _maybe(placed.away_m, hidden),
            "road_class": _masked(own["road_class"], hidden),
            "speed_limit_mps": _maybe(limit, hidden),
            "speed_limit_source": _masked(source, hidden),
            "lanes": _masked(own["lanes"], hidden),
            "one_way": _masked(own["one_way"], hidden),
            "junction_distance_m": _maybe(ahead, hidden),
            "roundabout": _masked(own["roundabout"], hidden),
            "work_zone": pa.array(in_zone, mask=hidden),
            "stretch": pa.array(placed.route.astype(np.int32), mask=hidden),
            "route_m": _maybe(placed.along_m, hidden),
        }
    )


def numbers(table: pa.Table, name: str) -> Metres:
    """A column as float64, NaN for null."""
    return np.asarray(table[name].to_numpy(zero_copy_only=False), dtype=np.float64)


def _maybe(values: Metres, hidden: NDArray[np.bool_]) -> pa.Array:
    return pa.array(np.round(values, 3), mask=hidden | ~np.isfinite(values))


def _masked(column: pa.ChunkedArray, hidden: NDArray[np.bool_]) -> pa.Array:
    return pc.if_else(pa.array(hidden), pa.scalar(None, column.type), column)
