"""How often matched routes are wrong: simulated drives with truth, and routes drawn over real streets.

    python -m benchmarks.map_matching_study --out study [--map baltimore.osm.pbf]

Measure of Newson and Krumm (2009): length wrongly added plus length missed, over the length of the true route; what is
driven twice counts twice. Drives are the units: intervals are percentile bootstraps over drives. Tune on seeds below
1000 (`--first-seed 0`); reported numbers are from seeds of 10,000 on.
"""

import argparse
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.measure import report
from benchmarks.resumable import run
from fleet_assets.geo.map_matching import Match, MatchRules, SmoothingRules, Trace, match, smoothed
from fleet_assets.geo.osm_edges import road_network
from fleet_assets.geo.osm_ways import read_extract
from fleet_assets.geo.road_graph import RoadGraph
from fleet_assets.geo.routes import Route, place_on_routes, routes
from fleet_assets.policy.documents import Policies, load_policies
from fleet_assets.tables.maps import ROAD_EDGES

FIRST_UNSEEN_SEED: Final = 10_000
START_NS: Final = 1_714_550_400_000_000_000
SETTINGS: Final = {
    "5 m, 1 s": (5.0, 1.0),
    "15 m, 10 s": (15.0, 10.0),
    "15 m, 30 s": (15.0, 30.0),
    "15 m, 60 s": (15.0, 60.0),
    "receiver, 0.1 s": (None, 0.1),
}
"""Spread of each coordinate and period; `receiver` takes the simulated receiver's own errors."""
LIMITS: Final = {"5 m, 1 s": 0.03, "15 m, 10 s": 0.10}
_LEAST_ROUTE_M: Final = 3000.0
_RESAMPLES: Final = 2000
_MOVING_MPS: Final = 0.5
Directed = tuple[int, bool]


@dataclass(frozen=True)
class TrueDrive:
    """A drive whose roads are known.

    Attributes:
        graph: Roads.
        t_s: float64[n], seconds.
        east_m: float64[n], true positions, in the plane of the graph.
        north_m: Likewise.
        heard: Positions of the simulated receiver by axis, where there is one.
        way: int64[n], OSM way.
        forward: bool[n], whether it is driven as drawn.
        along_m: float64[n], metres driven.
    """

    graph: RoadGraph
    t_s: NDArray[np.float64]
    east_m: NDArray[np.float64]
    north_m: NDArray[np.float64]
    heard: tuple[NDArray[np.float64], NDArray[np.float64]] | None
    way: NDArray[np.int64]
    forward: NDArray[np.bool_]
    along_m: NDArray[np.float64]


@cache
def _policies() -> Policies:
    return load_policies()


@cache
def _graph_of(path: str) -> RoadGraph:
    rules = _policies()["maps"]
    network = road_network(read_extract(Path(path), rules["extract"]), rules)
    return RoadGraph(ROAD_EDGES.from_rows([{"snapshot": "study", **row} for row in network.edges]))


def simulated_drive(seed: int, seconds: float) -> TrueDrive:
    """A drive through a town of its own; the town becomes a graph through its exported map."""
    from services.fleet_simulator.drive_plans import FleetOrder, plan_drive, with_depots
    from services.fleet_simulator.sensors.gnss import Fix, Reception
    from services.fleet_simulator.sensors.scene import Scene
    from services.fleet_simulator.traffic.drive import simulate_drive
    from services.fleet_simulator.world.generate import generate_network
    from services.fleet_simulator.world.osm_xml import to_osm_xml

    policy = _policies()["simulation"]
    network = with_depots(generate_network(seed, policy["world"]), ("north",))
    plan = plan_drive(FleetOrder(seed, ("north",), START_NS, seconds, ("gnss",)), 1)
    truth = simulate_drive(plan, network, policy)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "town.osm")
        path.write_bytes(to_osm_xml(network))
        graph = _graph_of.__wrapped__(str(path))
    ego = truth.ego
    rows = np.arange(0, len(ego.t_ns), 10)
    scene = Scene(truth, network, policy["sensors"])
    fixes = Fix(scene, Reception(scene)).sample(ego.t_ns[rows])
    lat, lon = network.frame.to_geographic(ego.x_mm[rows] / 1e3, ego.y_mm[rows] / 1e3)
    east, north = graph.frame.to_plane(lat, lon)
    edges, offset = ego.edge_id[rows].astype(np.int64), ego.edge_offset_mm[rows] / 1e3
    return TrueDrive(
        graph,
        (ego.t_ns[rows] - ego.t_ns[0]) / 1e9,
        east,
        north,
        graph.frame.to_plane(fixes["latitude"], fixes["longitude"]),
        edges,
        _forward(edges, offset),
        ego.route_mm[rows] / 1e3,
    )


def _forward(edges: NDArray[np.int64], offset_m: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Direction on every run of one edge: whether the place on it grows."""
    begins = np.flatnonzero(np.concatenate(([True], edges[1:] != edges[:-1])))
    ends = np.append(begins[1:], len(edges)) - 1
    return np.repeat(offset_m[ends] >= offset_m[begins], ends - begins + 1)


def drawn_drive(seed: int, path: str) -> TrueDrive:
    """The shortest way between two random roads of a real map, driven at changing speed, with stops."""
    graph, rng = _graph_of(path), np.random.default_rng([seed, 7])
    while True:
        first, last = rng.choice(graph.count, 2)
        way = graph.way_between(int(first), int(last), 1e6, 100.0)
        if way and graph.length_m[way].sum() >= _LEAST_ROUTE_M:
            break
    ends = np.cumsum(graph.length_m[way])
    speeds = rng.uniform(6.0, 16.0, len(way))
    pauses = np.where(rng.random(len(way)) < 0.1, rng.uniform(5.0, 40.0, len(way)), 0.0)  # noqa: PLR2004 - one end in ten
    leave_s = np.cumsum(graph.length_m[way] / speeds + pauses)
    arrive_s = leave_s - pauses
    knots_s = np.concatenate(([0.0], np.stack([arrive_s, leave_s], axis=1).ravel()))
    knots_m = np.concatenate(([0.0], np.repeat(ends, 2)))
    t_s = np.arange(0.0, leave_s[-1], 0.1)
    along = np.interp(t_s, knots_s, knots_m)
    place = np.minimum(np.searchsorted(ends, along, side="left"), len(way) - 1)
    directed = np.array(way)[place]
    east, north = graph.place(directed, along - (ends - graph.length_m[way])[place])
    ways = graph.rows["way_id"].to_numpy()
    return TrueDrive(graph, t_s, east, north, None, ways[graph.edge[directed]], graph.forward[directed], along)


def observed(drive: TrueDrive, seed: int, sd_m: float | None, period_s: float) -> tuple[NDArray[np.int64], Trace]:
    """Rows of the drive at which there are positions, and these."""
    rows = np.arange(0, len(drive.t_s), round(period_s * 10))
    if sd_m is None:
        assert drive.heard is not None  # noqa: S101 - only asked of simulated drives
        rows = rows[np.isfinite(drive.heard[0][rows])]
        east, north = drive.heard[0][rows], drive.heard[1][rows]
    else:
        noise = np.random.default_rng([seed, 11]).normal(0.0, sd_m, (2, len(rows)))
        east, north = drive.east_m[rows] + noise[0], drive.north_m[rows] + noise[1]
    return rows, Trace(east, north, np.full(len(rows), np.nan))


def matched(drive: TrueDrive, rows: NDArray[np.int64], trace: Trace) -> tuple[Match, list[Route]]:
    """What the pipeline makes of the positions."""
    policy = _policies()["maps"]["matching"]
    rules = MatchRules.of(policy)
    found = match(drive.graph, smoothed(trace, drive.t_s[rows], SmoothingRules.of(policy)), rules)
    return found, routes(drive.graph, found, rules)


def true_lengths(drive: TrueDrive, rows: NDArray[np.int64]) -> dict[Directed, float]:
    """Metres driven on each way and direction, between the first and the last position."""
    part = slice(int(rows[0]), int(rows[-1]) + 1)
    steps = np.maximum(np.diff(drive.along_m[part], append=drive.along_m[part][-1:]), 0.0)
    lengths: dict[Directed, float] = defaultdict(float)
    for way, forward, step in zip(drive.way[part], drive.forward[part], steps, strict=True):
        lengths[int(way), bool(forward)] += float(step)
    return dict(lengths)


def matched_lengths(graph: RoadGraph, found: Sequence[Route]) -> dict[Directed, float]:
    """Metres of the matched routes on each way and direction."""
    ways = graph.rows["way_id"].to_numpy()
    lengths: dict[Directed, float] = defaultdict(float)
    for route in found:
        for directed, enter, leave in zip(route.directed, route.enter_m, route.leave_m, strict=True):
            lengths[int(ways[graph.edge[directed]]), bool(graph.forward[directed])] += float(leave - enter)
    return dict(lengths)


def mismatch(truth: Mapping[Directed, float], found: Mapping[Directed, float]) -> tuple[float, float]:
    """Metres wrongly added and metres missed."""
    keys = {*truth, *found}
    added = sum(max(found.get(key, 0.0) - truth.get(key, 0.0), 0.0) for key in keys)
    missed = sum(max(truth.get(key, 0.0) - found.get(key, 0.0), 0.0) for key in keys)
    return added, missed


def _turned(drive: TrueDrive, rows: NDArray[np.int64], trace: Trace, match_: Match, found: list[Route]) -> Counter[str]:
    """Moving positions, how many are on the right way, and how many of these in the wrong direction."""
    graph = drive.graph
    times = drive.t_s[rows]
    placed = place_on_routes(graph, found, match_.used, t=times, east_m=trace.east_m, north_m=trace.north_m)
    speed = np.gradient(drive.along_m, drive.t_s)[rows]
    judged = (placed.directed >= 0) & (speed > _MOVING_MPS)
    directed = placed.directed[judged]
    right = graph.rows["way_id"].to_numpy()[graph.edge[directed]] == drive.way[rows][judged]
    wrong = right & (graph.forward[directed] != drive.forward[rows][judged])
    return Counter(moving=int(judged.sum()), right_way=int(right.sum()), wrong_direction=int(wrong.sum()))


def one_drive(key: str, *, path: str | None, seconds: float, settings: Sequence[str]) -> dict[str, Any]:
    """Some settings on one drive; the key is `kind:seed`."""
    kind, _, text = key.partition(":")
    seed = int(text)
    drive = simulated_drive(seed, seconds) if kind == "simulated" else drawn_drive(seed, str(path))
    told: dict[str, Any] = {"hours": float(drive.t_s[-1]) / 3600.0, "settings": {}}
    for number, (name, (sd_m, period_s)) in enumerate(SETTINGS.items()):
        if name not in settings or (sd_m is None and drive.heard is None):
            continue
        rows, trace = observed(drive, seed * 100 + number, sd_m, period_s)
        drive.graph.ways(0.0)
        started = time.process_time()
        match_, found = matched(drive, rows, trace)
        cpu_s = time.process_time() - started
        truth = true_lengths(drive, rows)
        added, missed = mismatch(truth, matched_lengths(drive.graph, found))
        told["settings"][name] = {
            "true_m": sum(truth.values()), "added_m": added, "missed_m": missed, "positions": len(rows),
            "cpu_s": cpu_s, "stretches": len(found), "sigma_m": match_.sigma_m,
            **_turned(drive, rows, trace, match_, found),
        }  # fmt: skip
    return told


def _ratio(rows: Sequence[Mapping[str, float]], above: Sequence[str], below: str) -> float:
    return sum(row.get(name, 0.0) for row in rows for name in above) / max(sum(row[below] for row in rows), 1e-9)


def interval(rows: Sequence[Mapping[str, float]], above: Sequence[str], below: str) -> tuple[float, float]:
    """95 % percentile bootstrap over drives of a ratio of sums."""
    rng = np.random.default_rng(len(rows))
    upper = np.array([sum(row.get(name, 0.0) for name in above) for row in rows])
    lower = np.array([row[below] for row in rows])
    drawn = rng.integers(0, len(rows), (_RESAMPLES, len(rows)))
    low, high = np.quantile(upper[drawn].sum(axis=1) / np.maximum(lower[drawn].sum(axis=1), 1e-9), [0.025, 0.975])
    return float(low), float(high)


def summary(kind: str, results: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """One line per setting."""
    lines = []
    own = [result for key, result in results.items() if key.startswith(kind)]
    for name in SETTINGS:
        rows = [result["settings"][name] for result in own if name in result["settings"]]
        if not rows:
            continue
        low, high = interval(rows, ["added_m", "missed_m"], "true_m")
        turned_low, turned_high = interval(rows, ["wrong_direction"], "moving")
        lines.append(
            {
                "drives": kind, "setting": name, "n": len(rows),
                "hours": round(sum(result["hours"] for result in own if name in result["settings"]), 2),
                "km": round(sum(row["true_m"] for row in rows) / 1000.0, 1),
                "mismatch %": f"{100 * _ratio(rows, ['added_m', 'missed_m'], 'true_m'):.2f} "
                f"[{100 * low:.2f}, {100 * high:.2f}]",
                "limit %": 100 * LIMITS[name] if name in LIMITS else "",
                "added %": round(100 * _ratio(rows, ["added_m"], "true_m"), 2),
                "missed %": round(100 * _ratio(rows, ["missed_m"], "true_m"), 2),
                "wrong direction %": f"{100 * _ratio(rows, ['wrong_direction'], 'moving'):.3f} "
                f"[{100 * turned_low:.3f}, {100 * turned_high:.3f}]",
                "positions/CPU s": round(sum(row["positions"] for row in rows) / sum(row["cpu_s"] for row in rows)),
            }
        )  # fmt: skip
    return lines


def main() -> None:
    """Run the study and print its tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder of the ledger; what is done is not done again")
    parser.add_argument("--drives", type=int, default=20, help="simulated drives")
    parser.add_argument("--seconds", type=float, default=1830.0, help="length of each")
    parser.add_argument("--routes", type=int, default=60, help="routes over the map")
    parser.add_argument("--map", help="OpenStreetMap extract to draw routes on")
    parser.add_argument("--first-seed", type=int, default=FIRST_UNSEEN_SEED)
    parser.add_argument(
        "--settings", nargs="+", choices=SETTINGS, default=list(SETTINGS), help="what new drives are for"
    )
    parser.add_argument("--workers", type=int, default=1)
    chosen = parser.parse_args()
    keys = [f"simulated:{chosen.first_seed + number}" for number in range(chosen.drives)]
    keys += [f"drawn:{chosen.first_seed + number}" for number in range(chosen.routes if chosen.map else 0)]
    work = partial(one_drive, path=chosen.map, seconds=chosen.seconds, settings=chosen.settings)
    results = run(chosen.out / "map_matching.jsonl", work, keys, chosen.workers)
    for kind in ("simulated", "drawn"):
        if lines := summary(kind, results):
            report(f"Map matching, {kind} drives", lines)


if __name__ == "__main__":
    main()
