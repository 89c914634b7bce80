"""One drive on its maps: its positions matched, and what the maps say at every grid instant.

Here belong the operator MATCH and its rows. The model is in `fleet_assets.geo.map_matching`, what is read off a map in
`context.py`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fleet_assets.geo.map_matching import Match, MatchRules, SmoothingRules, as_trace, match, smoothed
from fleet_assets.geo.road_graph import Metres, Numbers, RoadGraph, edges_of_cells
from fleet_assets.geo.routes import Placed, Route, place_on_routes, routes
from fleet_assets.ingestion.map_and_weather_enrichment.context import context_rows, numbers
from fleet_assets.ingestion.map_and_weather_enrichment.drive_cells import KEYS
from fleet_assets.provenance.fingerprints import Operator
from fleet_assets.provenance.restate import UnitTask
from fleet_assets.tables.maps import DRIVE_CELLS, MAP_CONTEXT, MAP_MATCHES, ROAD_EDGES, ROAD_NETWORK

MATCHED, NOT_COVERED, NO_POSITION = "matched", "not_covered", "no_position"
MATCH: Final = Operator(
    name="map_and_weather_enrichment.match",
    version=2,
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
_NS_PER_S: Final = 1e9
_SAME_ROAD_M: Final = 1.0
"""Where two maps show a road, positions lie equally far from both but for rounding: the first one holds."""


def match_drive(task: UnitTask) -> Mapping[str, pa.Table]:
    """Rows of `silver.map_matches` and `silver.map_context` of one drive."""
    drive = {key: task.context["drive"][key] for key in KEYS}
    signals = positioned(_renamed(task, task.policies["maps"]["signals"]))
    chart = task.context["chart"]
    if not signals.num_rows or chart is None:
        status = NOT_COVERED if signals.num_rows else NO_POSITION
        return _told({**drive, **_NOTHING, "status": status, "positions": signals.num_rows})
    maps = [edges_of_cells(task.files.read(ROAD_EDGES, [part.edges]), part.cells) for part in chart.parts]
    row, context = drive_on_maps(signals, maps, task.policies["maps"]["matching"])
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
    lat, lon = (numbers(signals, name) for name in ("lat_deg", "lon_deg"))
    return signals.filter(pa.array(np.isfinite(lat) & np.isfinite(lon)))


def drive_on_map(
    signals: pa.Table, edges: pa.Table, policy: Mapping[str, Any]
) -> tuple[dict[str, Any], pa.Table | None]:
    """`drive_on_maps` with one map."""
    return drive_on_maps(signals, [edges], policy)


def drive_on_maps(
    signals: pa.Table, maps: Sequence[pa.Table], policy: Mapping[str, Any]
) -> tuple[dict[str, Any], pa.Table | None]:
    """Match one drive's positions to the roads around it.

    Args:
        signals: Rows of `silver.signals` with a position, in order of time.
        maps: Rows of `map.road_edges` around the drive, of each region that shows some of it. A position lies on the
            road that is nearest, and on the first map of several with the same road.
        policy: Key `matching` of the policy `maps`.

    Returns:
        The row of `silver.map_matches` without the drive's and the maps' names, and the rows of `silver.map_context`
        without the drive's; no rows for a drive that no map covers.
    """
    rules = MatchRules.of(policy)
    summary: dict[str, Any] = {**_NOTHING, "status": NOT_COVERED, "positions": signals.num_rows}
    graphs = [RoadGraph(edges) for edges in maps if edges.num_rows]
    inside = [_inside(graph, signals, policy["outside_m"]) for graph in graphs]
    shown = np.logical_or.reduce([np.zeros(signals.num_rows, dtype=np.bool_), *inside])
    summary["outside"] = int((~shown).sum())
    if not shown.any() or shown.mean() < policy["min_covered_share"]:
        return summary, None
    drawn = [
        _drawn(graph, signals, np.flatnonzero(own), rules, policy)
        for graph, own in zip(graphs, inside, strict=True)
        if own.any()
    ]
    chosen = _nearest(drawn, signals.num_rows)
    stretches = [one.stretch(chosen, number) for number, one in enumerate(drawn)]
    both = list(zip(drawn, stretches, strict=True))
    away = np.concatenate([one.placed.away_m[stretch >= 0] for one, stretch in both])
    summary |= {
        "status": MATCHED,
        "snapped": len(away),
        "p95_offset_m": _rounded(np.quantile(away, _P95)) if len(away) else None,
        "max_offset_m": _rounded(away.max()) if len(away) else None,
        "sigma_m": _rounded(drawn[0].sigma_m),
        "stretches": sum(int(stretch.max(initial=-1)) + 1 for stretch in stretches),
        "breaks": sum(_breaks(one, chosen == number, rules) for number, one in enumerate(drawn)),
        "route_km": _rounded(sum(one.length_m(stretch) for one, stretch in both) / _M_PER_KM),
    }
    return summary, _context(drawn, stretches, chosen, signals, policy["junction_ahead_max_m"])


def places_on_maps(
    lat_deg: Metres, lon_deg: Metres, maps: Sequence[pa.Table], policy: Mapping[str, Any]
) -> tuple[dict[str, Any], pa.Table | None]:
    """`drive_on_maps` for places of which only the order is known; `t_ns` of the rows counts them from 0.

    Nothing is averaged over time, and no course is known.

    Args:
        lat_deg: Latitudes in order.
        lon_deg: Longitudes.
        maps: See `drive_on_maps`.
        policy: Key `matching` of the policy `maps`.
    """
    count = len(lat_deg)
    unknown = np.full(count, np.nan)
    columns = {"lat_deg": lat_deg, "lon_deg": lon_deg, "heading_deg": unknown, "speed_mps": unknown}
    places = pa.table({"clip_id": pa.nulls(count, pa.string()), "t_ns": np.arange(count, dtype=np.int64), **columns})
    return drive_on_maps(places, maps, {**policy, "average_s": 0.0, "still_s": 0.0})


def _inside(graph: RoadGraph, signals: pa.Table, outside_m: float) -> NDArray[np.bool_]:
    """Which positions have a road within reach."""
    east, north = graph.frame.to_plane(numbers(signals, "lat_deg"), numbers(signals, "lon_deg"))
    near: NDArray[np.bool_] = np.isfinite(graph.nearest_m(east, north, outside_m))
    return near


@dataclass(frozen=True)
class _Drawn:
    """A drive on one map.

    Attributes:
        graph: Roads.
        rows: int64[n], positions of the drive that lie inside of the map.
        east_m: Their places in the plane of the graph, float64[n].
        north_m: Likewise.
        way: Routes; they count positions by their places in `rows`.
        placed: The positions on the routes.
        sigma_m: Spread that was used.
    """

    graph: RoadGraph
    rows: Numbers
    east_m: Metres
    north_m: Metres
    way: Sequence[Route]
    placed: Placed
    sigma_m: float

    def stretch(self, chosen: Numbers, number: int) -> Numbers:
        """Stretch of each of its positions, int64[n]; -1 for one on no road, and one that another map is chosen for.

        A route is one stretch, or several where another map is chosen in between.

        Args:
            chosen: Map of every position of the drive.
            number: Which of these this one is.
        """
        elsewhere = np.cumsum((chosen >= 0) & (chosen != number))[self.rows]
        kept = (chosen[self.rows] == number) & (self.placed.route >= 0)
        found = np.full(len(self.rows), -1, dtype=np.int64)
        keys = np.stack([self.placed.route[kept], elsewhere[kept]], axis=1)
        found[kept] = np.unique(keys, axis=0, return_inverse=True)[1].reshape(-1)
        return found

    def length_m(self, stretch: Numbers) -> float:
        """Length of the routes, as far as its positions reach."""
        total = 0.0
        for one in range(int(stretch.max(initial=-1)) + 1):
            along, route = self.placed.along_m[stretch == one], int(self.placed.route[stretch == one][0])
            is_whole = len(along) == int((self.placed.route == route).sum())
            total += self.way[route].length_m if is_whole else float(along.max() - along.min())
        return total


def _drawn(graph: RoadGraph, signals: pa.Table, rows: Numbers, rules: MatchRules, policy: Mapping[str, Any]) -> _Drawn:
    own = signals.take(pa.array(rows))
    t_s = numbers(own, "t_ns") / _NS_PER_S
    east, north = graph.frame.to_plane(numbers(own, "lat_deg"), numbers(own, "lon_deg"))
    found, way = trace_on_map(graph, own, t_s, rules, policy)
    placed = place_on_routes(graph, way, found.used, t=t_s, east_m=east, north_m=north)
    return _Drawn(graph, rows, east, north, way, placed, found.sigma_m)


def _nearest(drawn: Sequence[_Drawn], count: int) -> Numbers:
    """Which map each position of a drive lies on, int64[count]; -1 where it is outside of all."""
    chosen = np.full(count, -1, dtype=np.int64)
    least = np.full(count, np.inf)
    for number, one in enumerate(drawn):
        away = np.where(one.placed.directed >= 0, one.placed.away_m, np.inf)
        taken = (chosen[one.rows] < 0) | (away < least[one.rows] - _SAME_ROAD_M)
        chosen[one.rows[taken]], least[one.rows[taken]] = number, away[taken]
    return chosen


def _context(
    drawn: Sequence[_Drawn], stretches: Sequence[Numbers], chosen: Numbers, signals: pa.Table, junction_max_m: float
) -> pa.Table:
    """Rows of all maps in order of time, stretches counted through."""
    parts, order, first = [], [], 0
    for number, (one, stretch) in enumerate(zip(drawn, stretches, strict=True)):
        kept = np.flatnonzero(chosen[one.rows] == number)
        placed = Placed(*(getattr(one.placed, field.name)[kept] for field in fields(Placed)))
        placed = replace(placed, route=np.where(stretch[kept] >= 0, first + stretch[kept], -1))
        own = signals.take(pa.array(one.rows[kept]))
        parts.append(context_rows(one.graph, own, placed, junction_max_m))
        order.append(one.rows[kept])
        first += int(stretch.max(initial=-1)) + 1
    return pa.concat_tables(parts).take(pa.array(np.argsort(np.concatenate(order), kind="stable")))


def trace_on_map(
    graph: RoadGraph, signals: pa.Table, t_s: Metres, rules: MatchRules, policy: Mapping[str, Any]
) -> tuple[Match, list[Route]]:
    """Match of a drive's positions, with courses where it moves fast enough, and its routes."""
    course = numbers(signals, "heading_deg")
    slow = numbers(signals, "speed_mps") < rules.heading_least_mps
    course = np.where(slow, np.nan, course)
    trace = as_trace(graph, numbers(signals, "lat_deg"), numbers(signals, "lon_deg"), course)
    found = match(graph, smoothed(trace, t_s, SmoothingRules.of(policy)), rules)
    return found, routes(graph, found, rules)


def _breaks(drawn: _Drawn, own: NDArray[np.bool_], rules: MatchRules) -> int:
    """Ends of stretches with another one behind, unless the drive leapt or was not on this map between the two."""
    count, rows = 0, drawn.rows
    for before, after in zip(drawn.way, drawn.way[1:], strict=False):
        last, first = int(before.used[-1]), int(after.used[0])
        leap = float(np.hypot(drawn.east_m[first] - drawn.east_m[last], drawn.north_m[first] - drawn.north_m[last]))
        stayed = bool(own[rows[last] : rows[first] + 1].all())
        count += stayed and leap <= rules.max_gap_m
    return count


def _rounded(value: Any) -> float:
    return round(float(value), 3)
