"""The route between matched positions, and where on it the vehicle was at any time or position.

Here belongs geometry along a route. Which roads it takes is decided in `map_matching.py`.
"""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from fleet_assets.geo.map_matching import Match, MatchRules, stretches_of
from fleet_assets.geo.road_graph import Metres, Numbers, RoadGraph

_PROBE_M: Final = 2.0
_ROUNDS: Final = 2


@dataclass(frozen=True)
class Route:
    """One stretch of a drive: parts of directed edges, one behind the other.

    Attributes:
        directed: int64[p], directed edge of each part.
        enter_m: float64[p], travelled metres at which it is entered.
        leave_m: float64[p], travelled metres at which it is left.
        begins_m: float64[p], length of the route before the part.
        used: int64[m], index of the used position in the drive.
        along_m: float64[m], place of each used position on the route, never falling.
    """

    directed: Numbers
    enter_m: Metres
    leave_m: Metres
    begins_m: Metres
    used: Numbers
    along_m: Metres

    @property
    def length_m(self) -> float:
        """Length of the route."""
        return float(self.begins_m[-1] + self.leave_m[-1] - self.enter_m[-1])

    def at(self, along_m: Metres) -> tuple[Numbers, Metres]:
        """Directed edge and travelled metres at places of the route."""
        part = np.clip(np.searchsorted(self.begins_m, along_m, side="right") - 1, 0, len(self.directed) - 1)
        travelled = np.minimum(self.enter_m[part] + along_m - self.begins_m[part], self.leave_m[part])
        return self.directed[part], np.maximum(travelled, self.enter_m[part])


class _Parts:
    """Collects parts; a part that goes on along the same directed edge is made longer."""

    def __init__(self, directed: int, at_m: float) -> None:
        self.directed: list[int] = [directed]
        self.enter: list[float] = [at_m]
        self.leave: list[float] = [at_m]
        self.done_m = 0.0

    @property
    def length_m(self) -> float:
        return self.done_m + self.leave[-1] - self.enter[-1]

    def go_on(self, to_m: float) -> None:
        self.leave[-1] = max(self.leave[-1], to_m)

    def change(self, directed: int, at_m: float) -> None:
        self.done_m = self.length_m
        self.directed.append(directed)
        self.enter.append(at_m)
        self.leave.append(at_m)

    def go_back(self, directed: int, to_m: float) -> None:
        """Take the last part back: the vehicle had not left the one before."""
        for values in (self.directed, self.enter, self.leave):
            values.pop()
        if not self.directed or self.directed[-1] != directed:
            self.directed.append(directed)
            self.enter.append(to_m)
            self.leave.append(to_m)
        self.leave[-1] = max(to_m, self.enter[-1])
        lengths = (last - first for first, last in zip(self.enter[:-1], self.leave[:-1], strict=True))
        self.done_m = sum(lengths)


def routes(graph: RoadGraph, found: Match, rules: MatchRules) -> list[Route]:
    """One route per stretch of a match."""
    own = replace(rules, sigma_m=found.sigma_m)
    return [_route(graph, found, rows, own) for rows in stretches_of(found)]


def _route(graph: RoadGraph, found: Match, rows: Numbers, rules: MatchRules) -> Route:
    directed, travelled = found.directed[rows].tolist(), found.travelled_m[rows].tolist()
    parts = _Parts(directed[0], travelled[0])
    along = [0.0]
    for (a, off_a), (b, off_b) in zip(
        zip(directed, travelled, strict=True), zip(directed[1:], travelled[1:], strict=True), strict=False
    ):
        _advance(graph, parts, (a, off_a), (b, off_b), rules)
        along.append(parts.length_m)
    lengths = np.array(parts.leave) - np.array(parts.enter)
    return Route(
        np.array(parts.directed, dtype=np.int64),
        np.array(parts.enter),
        np.array(parts.leave),
        np.concatenate(([0.0], np.cumsum(lengths)[:-1])),
        found.used[rows],
        # Places that were taken back are those where the vehicle stood.
        np.minimum.accumulate(np.array(along)[::-1])[::-1],
    )


def _is_behind(graph: RoadGraph, came: tuple[int, float], went: tuple[int, float], rules: MatchRules) -> bool:
    """Whether noise put a standing vehicle back on the road that it came from."""
    (a, off_a), (b, off_b) = came, went
    follows = graph.end[b] == graph.begin[a] and graph.reverse[a] != b
    return bool(follows) and float(graph.length_m[b]) - off_b + off_a <= rules.back_m


def _advance(
    graph: RoadGraph, parts: _Parts, came: tuple[int, float], went: tuple[int, float], rules: MatchRules
) -> None:
    (a, off_a), (b, off_b) = came, went
    if a == b and off_b >= off_a - rules.back_m:
        parts.go_on(off_b)
        return
    if _is_behind(graph, came, went, rules):
        parts.go_back(b, off_b)
        return
    length = float(graph.length_m[a])
    limit = rules.max_gap_m * rules.detour_factor + rules.slack_m + float(graph.length_m[b])
    way = graph.way_between(a, b, limit, rules.uturn_m)
    if int(graph.reverse[a]) == b:
        apart = abs((length - off_a) - off_b)
        around = sum(float(graph.length_m[one]) for one in way[1:-1]) + (length - off_a) + off_b if way else np.inf
        if len(way) == 2:  # noqa: PLR2004 - straight back at the end of the road
            around += rules.uturn_m
        if apart + rules.uturn_m <= around:
            turn = max(parts.leave[-1], length - off_b)
            parts.go_on(turn)
            parts.change(b, length - turn)
            parts.go_on(off_b)
            return
    parts.go_on(length)
    for one in way[1:-1]:
        parts.change(one, 0.0)
        parts.go_on(float(graph.length_m[one]))
    parts.change(b, 0.0)
    parts.go_on(off_b)


@dataclass(frozen=True)
class Placed:
    """Positions of a drive on its routes.

    Attributes:
        route: int64[n], number of the route; -1 where the position lies on none.
        along_m: float64[n], place on it.
        directed: int64[n], directed edge; -1 without a route.
        travelled_m: float64[n], how far along the edge.
        away_m: float64[n], distance from there.
    """

    route: Numbers
    along_m: Metres
    directed: Numbers
    travelled_m: Metres
    away_m: Metres


def place_on_routes(
    graph: RoadGraph, found: list[Route], used: Numbers, *, t: Metres, east_m: Metres, north_m: Metres
) -> Placed:
    """Put every position of a drive on the routes between its matched neighbours.

    A position's place is that of its time between its neighbours' places, moved along the road to where the position
    is abreast of it, and never beyond the neighbours.

    Args:
        graph: Roads.
        found: Routes of the drive.
        used: Indices of all positions that took part in the match; the others are near the one before.
        t: Times or, without times, numbers of the positions, float64[n], rising.
        east_m: Positions, in the plane of the graph.
        north_m: Likewise.
    """
    count = len(t)
    placed = Placed(
        np.full(count, -1, dtype=np.int64),
        np.full(count, np.nan),
        np.full(count, -1, dtype=np.int64),
        np.full(count, np.nan),
        np.full(count, np.nan),
    )
    for number, route in enumerate(found):
        following = int(np.searchsorted(used, route.used[-1], side="right"))
        rows = np.arange(route.used[0], used[following] if following < len(used) else count)
        left = np.clip(np.searchsorted(route.used, rows, side="right") - 1, 0, max(len(route.used) - 2, 0))
        right = np.minimum(left + 1, len(route.used) - 1)
        low, high = route.along_m[left], route.along_m[right]
        begin, end = t[route.used[left]], t[route.used[right]]
        share = np.where(end > begin, (t[rows] - begin) / np.where(end > begin, end - begin, 1.0), 0.0)
        along = low + share * (high - low)
        for _ in range(_ROUNDS):
            along = _moved_abreast(graph, route, along, (low, high), (east_m[rows], north_m[rows]))
        along = np.maximum.accumulate(along)
        directed, travelled = route.at(along)
        east, north = graph.place(directed, travelled)
        placed.route[rows], placed.along_m[rows] = number, along
        placed.directed[rows], placed.travelled_m[rows] = directed, travelled
        placed.away_m[rows] = np.hypot(east_m[rows] - east, north_m[rows] - north)
    return placed


def _moved_abreast(
    graph: RoadGraph, route: Route, along: Metres, bounds: tuple[Metres, Metres], places: tuple[Metres, Metres]
) -> Metres:
    here = graph.place(*route.at(along))
    ahead = graph.place(*route.at(np.minimum(along + _PROBE_M, route.length_m)))
    behind = graph.place(*route.at(np.maximum(along - _PROBE_M, 0.0)))
    tangent = ahead[0] - behind[0], ahead[1] - behind[1]
    norm = np.hypot(*tangent)
    shift = ((places[0] - here[0]) * tangent[0] + (places[1] - here[1]) * tangent[1]) / np.where(norm > 0.0, norm, 1.0)
    moved: Metres = np.clip(along + np.where(norm > 0.0, shift, 0.0), *bounds)
    return moved
