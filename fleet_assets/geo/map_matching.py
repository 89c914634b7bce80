"""Which roads a vehicle took: a hidden Markov model over a road graph, solved by Viterbi's algorithm.

After P. Newson and J. Krumm, Hidden Markov Map Matching Through Noise and Sparseness, ACM SIGSPATIAL GIS 2009: states
are roads near a position, positions scatter about the road like a normal distribution, and the way driven between two
positions is about as long as the straight line. Here states know their direction of travel, a course counts where it is
known, no position is infinitely surprising, and positions to which no way leads are passed over.

Here belongs the choice of roads. Where on them the vehicle was in between is in `routes.py`.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import Any, Final

import numpy as np

from fleet_assets.geo.road_graph import Metres, Numbers, RoadGraph

_MAD_TO_SD: Final = 1.4826


@dataclass(frozen=True)
class MatchRules:
    """Numbers of the model; see key `matching` of the policy `maps`."""

    sigma_m: float
    sigma_range_m: tuple[float, float]
    sigma_factor: float
    sigma_least: int
    outlier_z: float
    beta_spreads: float
    beta_share: float
    search_radius_m: float
    search_radius_spreads: float
    candidates: int
    heading_sd_deg: float
    heading_least_mps: float
    step_spreads: float
    uturn_spreads: float
    back_spreads: float
    detour_factor: float
    slack_m: float
    max_gap_m: float
    skip: int
    chunk: int

    @property
    def uturn_m(self) -> float:
        """What a turn on the spot is worth, metres."""
        return self.uturn_spreads * self.sigma_m

    @property
    def back_m(self) -> float:
        """How far positions may come back without a turn, metres."""
        return self.back_spreads * self.sigma_m

    @classmethod
    def of(cls, policy: Mapping[str, Any]) -> "MatchRules":
        """The rules of a policy; keys of other modules are passed over."""
        own = {field.name: policy[field.name] for field in fields(cls) if field.name != "sigma_range_m"}
        low, high = policy["sigma_range_m"]
        return cls(**own, sigma_range_m=(low, high))


@dataclass(frozen=True)
class SmoothingRules:
    """How noise is averaged out before matching; see key `matching` of the policy `maps`.

    Attributes:
        average_s: Width of the window, seconds; 0 leaves moving positions as they are.
        still_s: Time before and after in which standstill is looked for, seconds; 0 looks for none.
        still_least: Positions before and after that are looked at where fewer lie in that time.
        still_longest_s: Time that they may lie before and after at most.
        still_noise: Spread of positions, over that of neighbours, up to which a vehicle is held to stand.
    """

    average_s: float
    still_s: float
    still_least: int
    still_longest_s: float
    still_noise: float

    @classmethod
    def of(cls, policy: Mapping[str, Any]) -> "SmoothingRules":
        """The rules of a policy; keys of other modules are passed over."""
        return cls(**{field.name: policy[field.name] for field in fields(cls)})


@dataclass(frozen=True)
class Trace:
    """Positions of one drive in order, in the plane of the graph.

    Attributes:
        east_m: float64[n].
        north_m: float64[n].
        course_deg: float64[n], clockwise from north; NaN where it is not known or says nothing.
    """

    east_m: Metres
    north_m: Metres
    course_deg: Metres


@dataclass(frozen=True)
class Match:
    """Roads of one drive.

    Attributes:
        used: int64[m], indices of the positions that took part, in order.
        directed: int64[m], directed edge of each; -1 where no road was near or none fitted.
        travelled_m: float64[m], how far along it.
        away_m: float64[m], distance of the position from there.
        stretch: int64[m], number of the stretch; between two there is no way.
        sigma_m: Spread that was used.
    """

    used: Numbers
    directed: Numbers
    travelled_m: Metres
    away_m: Metres
    stretch: Numbers
    sigma_m: float


def thinned(trace: Trace, least_step_m: float) -> Numbers:
    """Indices of positions that are a step or more from the one before, and the last; the first always counts."""
    east, north = trace.east_m.tolist(), trace.north_m.tolist()
    kept = [0] if east else []
    for index in range(1, len(east)):
        last = kept[-1]
        if (east[index] - east[last]) ** 2 + (north[index] - north[last]) ** 2 >= least_step_m * least_step_m:
            kept.append(index)
    if kept and kept[-1] != len(east) - 1:
        kept.append(len(east) - 1)
    return np.array(kept, dtype=np.int64)


def smoothed(trace: Trace, t_s: Metres, rules: SmoothingRules) -> Trace:
    """The trace with noise averaged out where that moves no position along the road.

    Each position becomes the mean of those less than half a window away in time: noise of fast receivers is much larger
    than the way between two of their positions. While the vehicle stands, when positions around scatter no more than
    neighbours differ (J. von Neumann, Distribution of the Ratio of the Mean Square Successive Difference to the
    Variance, 1941), it becomes the mean of these.

    Args:
        trace: Positions.
        t_s: Their times, rising.
        rules: Window, and what a standstill is.
    """
    count = len(t_s)
    if not count:
        return trace
    index = np.arange(count)
    begin = np.searchsorted(t_s, t_s - rules.average_s / 2, side="left")
    end = np.searchsorted(t_s, t_s + rules.average_s / 2, side="right")
    # As many on either side, so that a position at the edge of a gap is not drawn away from it.
    reach = np.minimum(index - begin, end - 1 - index)
    first = np.minimum(np.searchsorted(t_s, t_s - rules.still_s), index - rules.still_least)
    last = np.maximum(np.searchsorted(t_s, t_s + rules.still_s, side="right"), index + rules.still_least + 1)
    still = (first >= 0) & (last <= count) & (rules.still_s > 0.0)
    first, last = np.maximum(first, 0), np.minimum(last, count)
    still &= t_s[last - 1] - t_s[first] <= 2.0 * max(rules.still_s, rules.still_longest_s)
    east, north = _Window(trace.east_m), _Window(trace.north_m)
    still &= sum(axis.variance(first, last) for axis in (east, north)) <= rules.still_noise * sum(
        axis.roughness(first, last) for axis in (east, north)
    )
    return replace(
        trace,
        east_m=np.where(still, east.mean(first, last), east.mean(index - reach, index + reach + 1)),
        north_m=np.where(still, north.mean(first, last), north.mean(index - reach, index + reach + 1)),
    )


class _Window:
    """Means and spreads of stretches of values, from running sums about the first value."""

    def __init__(self, values: Metres) -> None:
        self._origin = float(values[0])
        centred = values - self._origin
        steps = np.diff(values, prepend=values[:1])
        self._sum = np.concatenate(([0.0], np.cumsum(centred)))
        self._squares = np.concatenate(([0.0], np.cumsum(centred * centred)))
        self._steps = np.concatenate(([0.0], np.cumsum(steps * steps)))

    def mean(self, begin: Numbers, end: Numbers) -> Metres:
        """Mean of values[begin:end] for each pair."""
        found: Metres = (self._sum[end] - self._sum[begin]) / (end - begin) + self._origin
        return found

    def variance(self, begin: Numbers, end: Numbers) -> Metres:
        """Variance of values[begin:end] for each pair."""
        count = end - begin
        mean = (self._sum[end] - self._sum[begin]) / count
        found: Metres = np.maximum((self._squares[end] - self._squares[begin]) / count - mean * mean, 0.0)
        return found

    def roughness(self, begin: Numbers, end: Numbers) -> Metres:
        """Half the mean square difference of neighbours of values[begin:end]: the variance, if there is only noise."""
        pairs = np.maximum(end - begin - 1, 1)
        found: Metres = (self._steps[end] - self._steps[np.minimum(begin + 1, len(self._steps) - 1)]) / (2 * pairs)
        return found


def match(graph: RoadGraph, trace: Trace, rules: MatchRules) -> Match:
    """Match a trace, first with the assumed spread of positions, then with its own if that is another.

    Args:
        graph: Roads.
        trace: Positions.
        rules: The model's numbers.
    """
    first = _match(graph, trace, rules)
    found = first.directed >= 0
    if found.sum() < rules.sigma_least:
        return first
    low, high = rules.sigma_range_m
    own = float(np.clip(_MAD_TO_SD * np.median(first.away_m[found]), low, high))
    if 1.0 / rules.sigma_factor < own / rules.sigma_m < rules.sigma_factor:
        return first
    radius = max(rules.search_radius_m, rules.search_radius_spreads * own)
    return _match(graph, trace, replace(rules, sigma_m=own, search_radius_m=radius))


@dataclass(frozen=True)
class _States:
    """Candidates of every used position, [m, k]: directed edges, travelled metres, log probability of the position."""

    directed: Numbers
    travelled_m: Metres
    away_m: Metres
    log_p: Metres


def _match(graph: RoadGraph, trace: Trace, rules: MatchRules) -> Match:
    used = thinned(trace, rules.step_spreads * rules.sigma_m)
    part = Trace(trace.east_m[used], trace.north_m[used], trace.course_deg[used])
    states = _states(graph, part, rules)
    near = np.flatnonzero((states.directed >= 0).any(axis=1))
    chosen, stretch = _viterbi(graph, part, states, near, rules)
    found = chosen >= 0
    rows, picked = np.flatnonzero(found), chosen[found]
    directed = np.full(len(used), -1, dtype=np.int64)
    travelled, away = np.full(len(used), np.nan), np.full(len(used), np.nan)
    directed[rows] = states.directed[rows, picked]
    travelled[rows], away[rows] = states.travelled_m[rows, picked], states.away_m[rows, picked]
    return Match(used, directed, travelled, away, stretch, rules.sigma_m)


def _states(graph: RoadGraph, trace: Trace, rules: MatchRules) -> _States:
    near = graph.nearby(trace.east_m, trace.north_m, rules.search_radius_m, rules.candidates)
    back = np.where(near.edge >= 0, graph.against[near.edge], -1)
    directed = np.concatenate([near.edge, back], axis=1)
    length = graph.edge_length_m[near.edge]
    travelled = np.concatenate([near.along_m, length - near.along_m], axis=1)
    away = np.concatenate([near.away_m, near.away_m], axis=1)
    z = np.minimum(away / rules.sigma_m, rules.outlier_z)
    # Farther ones are as likely by the floor, so a trace of distance is left: of two, the nearer one.
    cost = 0.5 * z * z + 1e-3 * np.where(np.isfinite(away), away, 0.0) / rules.sigma_m
    known = np.isfinite(trace.course_deg)
    if known.any():
        rows, columns = np.nonzero((directed >= 0) & known[:, None])
        course = graph.course_deg(directed[rows, columns], travelled[rows, columns])
        off = np.abs(np.mod(course - trace.course_deg[rows] + 180.0, 360.0) - 180.0)
        z = np.minimum(off / rules.heading_sd_deg, rules.outlier_z)
        cost[rows, columns] += 0.5 * z * z
    return _States(directed, travelled, away, np.where(directed >= 0, -cost, -np.inf))


def _viterbi(
    graph: RoadGraph, trace: Trace, states: _States, near: Numbers, rules: MatchRules
) -> tuple[Numbers, Numbers]:
    """Chosen state and number of the stretch of each position, -1 where there is none."""
    count = len(trace.east_m)
    chosen, stretch = np.full(count, -1, dtype=np.int64), np.full(count, -1, dtype=np.int64)
    # Stretches are numbered in the order of the drive.
    for number, (begin, rows, before) in enumerate(_stretches(graph, trace, states, near, rules)):
        state = begin
        for row, previous in zip(reversed(rows), reversed(before), strict=True):
            chosen[row], stretch[row] = state, number
            state = int(previous[state]) if previous is not None else -1
    return chosen, stretch


def _stretches(
    graph: RoadGraph, trace: Trace, states: _States, near: Numbers, rules: MatchRules
) -> Iterator[tuple[int, list[int], list[Numbers | None]]]:
    """(best last state, rows, back pointers) of each stretch, in order.

    A position that no way leads to is passed over; where none of the next ones can be reached, a stretch ends, and the
    next one begins with the first that was passed over.
    """
    steps = _Steps(graph, trace, states, near, rules)
    last, count = 0, len(near)
    while last < count:
        rows: list[int] = [int(near[last])]
        before: list[Numbers | None] = [None]
        score = states.log_p[near[last]]
        this = last + 1
        while this < count and this - last <= rules.skip + 1:
            row = int(near[this])
            total = score[:, None] + steps.log_p(last, this)
            best = total.max(axis=0) + states.log_p[row]
            if np.isfinite(best).any():
                rows.append(row)
                before.append(total.argmax(axis=0))
                score, last = best, this
            this += 1
        yield int(score.argmax()), rows, before
        last += 1


class _Steps:
    """Changes of state between positions; those of neighbours are made for many at a time."""

    def __init__(self, graph: RoadGraph, trace: Trace, states: _States, near: Numbers, rules: MatchRules) -> None:
        self._make = partial(_Transitions, graph, trace, states, rules=rules)
        self._near, self._size = near, rules.chunk
        self._chunk = -1
        self._made: Metres = np.empty((0, 0, 0))

    def log_p(self, last: int, this: int) -> Metres:
        """Log probabilities from the states of one position to those of another, both by place."""
        one: Metres
        if this != last + 1:
            one = self._make(rows=self._near[[last, this]]).log_p[0]
            return one
        chunk, place = divmod(last, self._size)
        if chunk != self._chunk:
            first = chunk * self._size
            self._made = self._make(rows=self._near[first : first + self._size + 1]).log_p
            self._chunk = chunk
        one = self._made[place]
        return one


class _Transitions:
    """Log probability of every change of state between neighbours of some positions, float64[p - 1, k, k]."""

    def __init__(self, graph: RoadGraph, trace: Trace, states: _States, *, rows: Numbers, rules: MatchRules) -> None:
        a, b = rows[:-1], rows[1:]
        straight = np.hypot(trace.east_m[b] - trace.east_m[a], trace.north_m[b] - trace.north_m[a])
        came, went = states.directed[a], states.directed[b]
        off_a, off_b = states.travelled_m[a], states.travelled_m[b]
        within = straight <= rules.max_gap_m
        limit = float(straight[within].max(initial=0.0)) * rules.detour_factor + rules.slack_m
        route = _route_m(graph, (came, off_a), (went, off_b), limit, rules)
        straight = straight[:, None, None]
        most = straight * rules.detour_factor + rules.slack_m
        beta = rules.beta_spreads * rules.sigma_m + rules.beta_share * straight
        detour = np.where(route <= most, np.abs(route - straight), np.inf)
        # On the other side of the same road: turned somewhere between the two places.
        turned = (graph.reverse[came][:, :, None] == went[:, None, :]) & (came >= 0)[:, :, None]
        apart = np.abs((graph.length_m[came] - off_a)[:, :, None] - off_b[:, None, :])
        detour = np.where(turned, np.minimum(detour, np.abs(apart - straight) + rules.uturn_m), detour)
        cost = detour / beta
        fits = np.isfinite(detour) & within[:, None, None] & (came >= 0)[:, :, None] & (went >= 0)[:, None, :]
        self.log_p: Metres = np.where(fits, -cost, -np.inf)


def _route_m(
    graph: RoadGraph, came: tuple[Numbers, Metres], went: tuple[Numbers, Metres], limit_m: float, rules: MatchRules
) -> Metres:
    """Length of the way between every pair of states, float64[p, k, k]; infinite where there is none."""
    (a, off_a), (b, off_b) = came, went
    sources, source_of = np.unique(np.maximum(a, 0), return_inverse=True)
    targets, target_of = np.unique(np.maximum(b, 0), return_inverse=True)
    reach = limit_m + float(graph.length_m[targets].max(initial=0.0))
    between = graph.ways_from(sources, reach, rules.uturn_m)[:, targets] - graph.length_m[targets][None, :]
    table = between[source_of.reshape(a.shape)[:, :, None], target_of.reshape(b.shape)[:, None, :]]
    route = table + (graph.length_m[a] - off_a)[:, :, None] + off_b[:, None, :]
    ahead = off_b[:, None, :] - off_a[:, :, None]
    same = (a[:, :, None] == b[:, None, :]) & (ahead >= -rules.back_m)
    route = np.where(same, np.maximum(ahead, 0.0), route)
    # Noise at a junction may put a standing vehicle back on the road that it came from.
    behind = graph.end[b][:, None, :] == graph.begin[a][:, :, None]
    behind &= (graph.reverse[a][:, :, None] != b[:, None, :]) & (b >= 0)[:, None, :] & (a >= 0)[:, :, None]
    back = (graph.length_m[b] - off_b)[:, None, :] + off_a[:, :, None]
    return np.where(behind & (back <= rules.back_m), 0.0, route)


def as_trace(graph: RoadGraph, lat_deg: Metres, lon_deg: Metres, course_deg: Metres | None = None) -> Trace:
    """A trace in the plane of a graph.

    Args:
        graph: The graph.
        lat_deg: Latitudes in order.
        lon_deg: Longitudes.
        course_deg: Courses, NaN where unknown.
    """
    east, north = graph.frame.to_plane(lat_deg, lon_deg)
    return Trace(east, north, np.full(len(east), np.nan) if course_deg is None else course_deg)


def stretches_of(match_: Match) -> Sequence[Numbers]:
    """Places in the arrays of a match of each stretch, in order."""
    numbers = np.unique(match_.stretch[match_.stretch >= 0])
    return [np.flatnonzero(match_.stretch == number) for number in numbers]
