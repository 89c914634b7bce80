"""A road graph in memory: edges as lines in a plane, each direction of travel a vertex, turns between them as arcs.

Here belong nearest roads and shortest ways. Which of them a vehicle took is decided in `map_matching.py`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fleet_assets.geo.local_frame import LocalFrame

Numbers = NDArray[np.int64]
Metres = NDArray[np.float64]
_SAME_M: Final = 1e-6


@dataclass(frozen=True)
class Nearby:
    """Roads near some positions, at most so many for each, nearest first.

    Attributes:
        edge: int64[n, k], -1 where there are fewer.
        along_m: float64[n, k], how far along the edge, as drawn, the nearest point lies.
        away_m: float64[n, k], how far it is away; infinite where there are fewer.
    """

    edge: Numbers
    along_m: Metres
    away_m: Metres


class RoadGraph:
    """Edges of a road network around a drive.

    Directed edges are numbered: those as drawn first (`edge`), then those against it, of edges that are open that way.

    Args:
        edges: Rows of `map.road_edges`, one or more, in any order; rows of one edge that come twice count once.
    """

    def __init__(self, edges: pa.Table) -> None:
        import shapely

        _, order = np.unique(np.array(edges["edge_id"].to_pylist(), dtype=object), return_index=True)
        self.rows: pa.Table = edges.take(pa.array(order))
        self.edge_id: list[str] = self.rows["edge_id"].to_pylist()
        degrees = shapely.from_wkt(self.rows["geometry"].to_pylist())
        bounds = shapely.total_bounds(degrees)
        self.frame = LocalFrame(round(float(bounds[1] + bounds[3]) / 2, 2), round(float(bounds[0] + bounds[2]) / 2, 2))
        self.lines: NDArray[Any] = shapely.transform(degrees, self._to_plane)
        self.edge_length_m: Metres = shapely.length(self.lines)
        self._tree: Any = shapely.STRtree(self.lines)
        both = np.flatnonzero(~self.rows["one_way"].to_numpy(zero_copy_only=False))
        count = len(self.edge_id)
        self.edge: Numbers = np.concatenate([np.arange(count), both]).astype(np.int64)
        self.forward: NDArray[np.bool_] = np.arange(len(self.edge)) < count
        self.length_m: Metres = self.edge_length_m[self.edge]
        self.against: Numbers = np.full(count, -1, dtype=np.int64)
        self.against[both] = count + np.arange(len(both))
        """Number of an edge's other direction; -1 for one-way edges."""
        self.reverse: Numbers = np.concatenate([self.against, both]).astype(np.int64)
        """Number of a directed edge's other direction; -1 where there is none."""
        ends = [self.rows[name].to_numpy() for name in ("start_node", "end_node")]
        self.begin: Numbers = np.where(self.forward, ends[0][self.edge], ends[1][self.edge])
        """Node that a directed edge is entered at."""
        self.end: Numbers = np.where(self.forward, ends[1][self.edge], ends[0][self.edge])
        """Node that a directed edge is left at."""
        self._ways: dict[float, Any] = {}

    def _to_plane(self, places: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.stack(self.frame.to_plane(places[:, 1], places[:, 0]), axis=1)

    @property
    def count(self) -> int:
        """Directed edges."""
        return len(self.edge)

    def ways(self, uturn_m: float) -> Any:
        """Sparse matrix: from the end of a directed edge over a turn to the end of the next one, metres.

        Args:
            uturn_m: Metres that a turn back at the end of a road is held to be worth.
        """
        if uturn_m not in self._ways:
            self._ways[uturn_m] = self._made_ways(uturn_m)
        return self._ways[uturn_m]

    def _made_ways(self, uturn_m: float) -> Any:
        from scipy.sparse import csr_array

        begin, end = self.begin, self.end
        order = np.argsort(begin, kind="stable")
        first = np.searchsorted(begin[order], end, side="left")
        several = np.searchsorted(begin[order], end, side="right") - first
        came = np.repeat(np.arange(self.count), several)
        place = np.arange(len(came)) - np.repeat(np.cumsum(several) - several, several)
        went = order[first[came] + place]
        cost = np.maximum(self.length_m[went], _SAME_M) + uturn_m * (self.reverse[came] == went)
        return csr_array((cost, (came, went)), shape=(self.count, self.count))

    def ways_from(self, sources: Numbers, limit_m: float, uturn_m: float) -> Metres:
        """Shortest ways from the ends of some directed edges to the ends of all, float64[s, n]; infinite beyond."""
        from scipy.sparse.csgraph import dijkstra

        found: Metres = np.atleast_2d(dijkstra(self.ways(uturn_m), directed=True, indices=sources, limit=limit_m))
        return found

    def way_between(self, source: int, target: int, limit_m: float, uturn_m: float) -> list[int]:
        """Directed edges from one to another, both included; empty when there is no way within the limit."""
        from scipy.sparse.csgraph import dijkstra

        ways = self.ways(uturn_m)
        if target in ways.indices[ways.indptr[source] : ways.indptr[source + 1]]:
            return [source, target]
        reached, before = dijkstra(ways, directed=True, indices=source, limit=limit_m, return_predecessors=True)
        if not np.isfinite(reached[target]):
            return []
        way = [target]
        while way[-1] != source:
            way.append(int(before[way[-1]]))
        return way[::-1]

    def nearby(self, east_m: Metres, north_m: Metres, radius_m: float, most: int) -> Nearby:
        """Roads within a radius of each position."""
        import shapely

        points = shapely.points(east_m, north_m)
        which, edge = self._tree.query(points, predicate="dwithin", distance=radius_m)
        along = shapely.line_locate_point(self.lines[edge], points[which])
        away = shapely.distance(self.lines[edge], points[which])
        order = np.lexsort((edge, away, which))
        which, edge, along, away = which[order], edge[order], along[order], away[order]
        rank = np.arange(len(which)) - np.searchsorted(which, which, side="left")
        kept = rank < most
        which, rank = which[kept], rank[kept]
        wide = int(rank.max()) + 1 if len(rank) else 1
        found = Nearby(
            np.full((len(points), wide), -1, dtype=np.int64),
            np.zeros((len(points), wide)),
            np.full((len(points), wide), np.inf),
        )
        found.edge[which, rank], found.along_m[which, rank] = edge[kept], along[kept]
        found.away_m[which, rank] = away[kept]
        return found

    def nearest_m(self, east_m: Metres, north_m: Metres, within_m: float) -> Metres:
        """Distance of each position from the nearest road; infinite where there is none within reach."""
        import shapely

        found = np.full(len(east_m), np.inf)
        pairs, away = self._tree.query_nearest(
            shapely.points(east_m, north_m), max_distance=within_m, return_distance=True, all_matches=False
        )
        found[pairs[0]] = away
        return found

    def place(self, directed: Numbers, travelled_m: Metres) -> tuple[Metres, Metres]:
        """East and north of points so far along directed edges."""
        import shapely

        length = self.length_m[directed]
        drawn = np.where(self.forward[directed], travelled_m, length - travelled_m)
        points = shapely.line_interpolate_point(self.lines[self.edge[directed]], np.clip(drawn, 0.0, length))
        return shapely.get_x(points), shapely.get_y(points)

    def course_deg(self, directed: Numbers, travelled_m: Metres, span_m: float = 3.0) -> Metres:
        """Course over ground of travel so far along directed edges, clockwise from north."""
        length = self.length_m[directed]
        first = self.place(directed, np.clip(travelled_m - span_m, 0.0, length))
        last = self.place(directed, np.clip(travelled_m + span_m, 0.0, length))
        course: Metres = np.degrees(np.arctan2(last[0] - first[0], last[1] - first[1])) % 360.0
        return course


def edges_of_cells(edges: pa.Table, cells: Sequence[str]) -> pa.Table:
    """Rows of edges that lie in any of the cells."""
    wanted = set(cells)
    kept = [not wanted.isdisjoint(text.split(" ")) for text in edges["cells"].to_pylist()]
    return edges.filter(pa.array(kept, pa.bool_()))
