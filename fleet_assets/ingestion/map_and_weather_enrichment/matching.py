"""One drive on a map: its positions matched, and what the map says at every grid instant.

Here belong the operator MATCH and its rows. The model is in `fleet_assets.geo.map_matching`.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fleet_assets.geo.map_matching import Match, MatchRules, as_trace, match, smoothed
from fleet_assets.geo.road_graph import Metres, RoadGraph, edges_of_cells
from fleet_assets.geo.routes import Placed, Route, place_on_routes, routes
from fleet_assets.ingestion.map_and_weather_enrichment.drive_cells import KEYS
from fleet_assets.provenance.fingerprints import Operator
from fleet_assets.provenance.restate import UnitTask
from fleet_assets.tables.maps import DRIVE_CELLS, MAP_CONTEXT, MAP_MATCHES, ROAD_EDGES, ROAD_NETWORK

MATCHED, NOT_COVERED, NO_POSITION = "matched", "not_covered", "no_position"
MATCH: Final = Operator(
    name="map_and_weather_enrichment.match",
    version=1,
    inputs=("bronze.drives", "silver.signals", DRIVE_CELLS.name),
    outputs=(MAP_MATCHES.name, MAP_CONTEXT.name),
    policy={"maps": ("signals", "matching")},
    libraries=("numpy", "scipy", "shapely"),
    consults=(ROAD_NETWORK.name,),
)
_NOTHING: Final = {
    "positions": 0, "outside": 0, "snapped": 0, "stretches": 0, "breaks": 0, "route_km": 0.0,
}  # fmt: skip
_P95: Final = 0.95
_M_PER_KM: Final = 1000.0


def match_drive(task: UnitTask) -> Mapping[str, pa.Table]:
    """Rows of `silver.map_matches` and `silver.map_context` of one drive."""
    drive = {key: task.context["drive"][key] for key in KEYS}
    signals = positioned(_renamed(task, task.policies["maps"]["signals"]))
    chart = task.context["chart"]
    if not signals.num_rows or chart is None:
        status = NOT_COVERED if signals.num_rows else NO_POSITION
        return _told({**drive, **_NOTHING, "status": status, "positions": signals.num_rows})
    edges = edges_of_cells(task.files.read(ROAD_EDGES, [chart.edges]), chart.cells)
    row, context = drive_on_map(signals, edges, task.policies["maps"]["matching"])
    named = {**drive, **row, "region": chart.region, "map_digest": chart.digest}
    if context is None:
        return _told(named)
    columns = {name: pa.array([value] * context.num_rows, pa.string()) for name, value in drive.items()}
    return {**_told(named), MAP_CONTEXT.name: pa.table({**columns, **_columns(context)})}


def _told(row: Mapping[str, Any]) -> dict[str, pa.Table]:
    return {MAP_MATCHES.name: MAP_MATCHES.from_rows([dict(row)]), MAP_CONTEXT.name: MAP_CONTEXT.empty()}


def _columns(table: pa.Table) -> dict[str, pa.ChunkedArray]:
    return {name: table[name] for name in table.column_names}


def _renamed(task: UnitTask, names: Mapping[str, Any]) -> pa.Table:
    """The grid of a drive with the columns that the policy names called by what they are."""
    wanted = [*names["position"], names["course"], names["speed"]]
    read = task.read("silver.signals", ["clip_id", "t_ns", *wanted])
    return read.rename_columns(["clip_id", "t_ns", "lat_deg", "lon_deg", "heading_deg", "speed_mps"])


def positioned(signals: pa.Table) -> pa.Table:
    """Rows with a position."""
    lat, lon = (_numbers(signals, name) for name in ("lat_deg", "lon_deg"))
    return signals.filter(pa.array(np.isfinite(lat) & np.isfinite(lon)))


def drive_on_map(
    signals: pa.Table, edges: pa.Table, policy: Mapping[str, Any]
) -> tuple[dict[str, Any], pa.Table | None]:
    """Match one drive's positions to the roads around it.

    Args:
        signals: Rows of `silver.signals` with a position, in order of time.
        edges: Rows of `map.road_edges` around the drive.
        policy: Key `matching` of the policy `maps`.

    Returns:
        The row of `silver.map_matches` without the drive's and the map's names, and the rows of `silver.map_context`
        without the drive's; no rows for a drive that the map does not cover.
    """
    rules = MatchRules.of(policy)
    summary: dict[str, Any] = {**_NOTHING, "status": NOT_COVERED, "positions": signals.num_rows}
    if not edges.num_rows:
        return {**summary, "outside": signals.num_rows}, None
    graph = RoadGraph(edges)
    t_s = _numbers(signals, "t_ns") / 1e9
    east, north = graph.frame.to_plane(_numbers(signals, "lat_deg"), _numbers(signals, "lon_deg"))
    inside = np.isfinite(graph.nearest_m(east, north, policy["outside_m"]))
    summary["outside"] = int((~inside).sum())
    if inside.mean() < policy["min_covered_share"]:
        return summary, None
    rows = np.flatnonzero(inside)
    signals, t_s, east, north = signals.take(pa.array(rows)), t_s[rows], east[rows], north[rows]
    found, way = trace_on_map(graph, signals, t_s, rules, policy)
    placed = place_on_routes(graph, way, found.used, t=t_s, east_m=east, north_m=north)
    snapped = placed.directed >= 0
    breaks = _breaks(way, rows, (east, north), rules)
    summary |= {
        "status": MATCHED,
        "snapped": int(snapped.sum()),
        "p95_offset_m": _rounded(np.quantile(placed.away_m[snapped], _P95)) if snapped.any() else None,
        "max_offset_m": _rounded(placed.away_m[snapped].max()) if snapped.any() else None,
        "sigma_m": _rounded(found.sigma_m),
        "stretches": len(way),
        "breaks": breaks,
        "route_km": _rounded(sum(route.length_m for route in way) / _M_PER_KM),
    }
    return summary, context_rows(graph, signals, placed, policy["junction_ahead_max_m"])


def trace_on_map(
    graph: RoadGraph, signals: pa.Table, t_s: Metres, rules: MatchRules, policy: Mapping[str, Any]
) -> tuple[Match, list[Route]]:
    """Match of a drive's positions, with courses where it moves fast enough, and its routes."""
    course = _numbers(signals, "heading_deg")
    slow = _numbers(signals, "speed_mps") < rules.heading_least_mps
    course = np.where(slow, np.nan, course)
    trace = as_trace(graph, _numbers(signals, "lat_deg"), _numbers(signals, "lon_deg"), course)
    found = match(graph, smoothed(trace, t_s, policy["average_s"], policy["still_s"]), rules)
    return found, routes(graph, found, rules)


def _breaks(way: Sequence[Route], rows: NDArray[np.int64], places: tuple[Metres, Metres], rules: MatchRules) -> int:
    """Ends of stretches with another one behind, unless the drive leapt or left the map between the two."""
    count = 0
    for before, after in zip(way, way[1:], strict=False):
        last, first = int(before.used[-1]), int(after.used[0])
        leap = float(np.hypot(places[0][first] - places[0][last], places[1][first] - places[1][last]))
        left_map = rows[first] - rows[last] != first - last
        count += not left_map and leap <= rules.max_gap_m
    return count


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
    first, last, zone_limit = (_numbers(own, f"work_zone_{name}") for name in ("first_m", "last_m", "limit_mps"))
    in_zone = (offset >= first) & (offset <= last)
    limit = np.where(forward, _numbers(own, "speed_limit_mps"), _numbers(own, "speed_limit_back_mps"))
    limit = np.where(in_zone & np.isfinite(zone_limit), zone_limit, limit)
    beyond = np.where(forward, _numbers(own, "end_junction_m"), _numbers(own, "start_junction_m"))
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
            "speed_limit_source": _masked(own["speed_limit_source"], hidden),
            "lanes": _masked(own["lanes"], hidden),
            "one_way": _masked(own["one_way"], hidden),
            "junction_distance_m": _maybe(ahead, hidden),
            "roundabout": _masked(own["roundabout"], hidden),
            "work_zone": pa.array(in_zone, mask=hidden),
            "stretch": pa.array(placed.route.astype(np.int32), mask=hidden),
            "route_m": _maybe(placed.along_m, hidden),
        }
    )


def _numbers(table: pa.Table, name: str) -> Metres:
    """A column as float64, NaN for null."""
    return np.asarray(table[name].to_numpy(zero_copy_only=False), dtype=np.float64)


def _maybe(values: Metres, hidden: NDArray[np.bool_]) -> pa.Array:
    return pa.array(np.round(values, 3), mask=hidden | ~np.isfinite(values))


def _masked(column: pa.ChunkedArray, hidden: NDArray[np.bool_]) -> pa.Array:
    import pyarrow.compute as pc

    return pc.if_else(pa.array(hidden), pa.scalar(None, column.type), column)


def _rounded(value: Any) -> float:
    return round(float(value), 3)
