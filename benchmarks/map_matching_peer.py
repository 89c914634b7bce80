"""Map matching beside leuvenmapmatching, on the same traces over the same map: positions per CPU second and mismatch.

    pip install leuvenmapmatching rtree
    python -m benchmarks.map_matching_peer --map baltimore.osm.pbf [--routes 5]

The peer gets the same roads as straight pieces between the points of every edge, the true spread of the positions, and
the same search radius. Its answer is counted by way and direction as ours is.
"""

import argparse
import time
from collections import defaultdict
from typing import Any, Final

import numpy as np
import shapely
from numpy.typing import NDArray

from benchmarks.map_matching_study import (
    FIRST_UNSEEN_SEED,
    SETTINGS,
    Directed,
    TrueDrive,
    drawn_drive,
    matched,
    matched_lengths,
    mismatch,
    observed,
    true_lengths,
)
from benchmarks.measure import report
from fleet_assets.geo.map_matching import Trace
from fleet_assets.geo.road_graph import RoadGraph

COMPARED: Final = ("5 m, 1 s", "15 m, 10 s")
_SEARCH_M: Final = 50.0


def peer_map(graph: RoadGraph) -> tuple[Any, dict[tuple[int, int], tuple[int, float, Directed]]]:
    """The peer's map, and for each of its pieces (from point, to point): edge, length, way and direction."""
    from leuvenmapmatching.map.inmem import InMemMap

    chart = InMemMap("study", use_latlon=False, use_rtree=True, index_edges=True)
    ways = graph.rows["way_id"].to_numpy()
    ends = [graph.rows[name].to_numpy() for name in ("start_node", "end_node")]
    numbers: dict[Any, int] = {}
    pieces: dict[tuple[int, int], tuple[int, float, Directed]] = {}
    for edge, line in enumerate(graph.lines):
        points = shapely.get_coordinates(line)
        names = [
            ("node", int(ends[0][edge])) if index == 0
            else ("node", int(ends[1][edge])) if index == len(points) - 1
            else ("point", edge, index)
            for index in range(len(points))
        ]  # fmt: skip
        own = [numbers.setdefault(name, len(numbers)) for name in names]
        for number, (east, north) in zip(own, points, strict=True):
            chart.add_node(number, (north, east))
        steps = np.hypot(*np.diff(points, axis=0).T)
        for first, last, metres in zip(own, own[1:], steps, strict=False):
            chart.add_edge(first, last)
            pieces[first, last] = (edge, float(metres), (int(ways[edge]), True))
            if graph.against[edge] >= 0:
                chart.add_edge(last, first)
                pieces[last, first] = (edge, float(metres), (int(ways[edge]), False))
    return chart, pieces


def peer_lengths(
    chart: Any, pieces: dict[tuple[int, int], tuple[int, float, Directed]], trace: Trace, sd_m: float
) -> tuple[dict[Directed, float], int]:
    """Metres by way and direction of the peer's path, and how many positions it got through."""
    from leuvenmapmatching.matcher.distance import DistanceMatcher

    matcher = DistanceMatcher(
        chart, max_dist=4 * _SEARCH_M, max_dist_init=_SEARCH_M, obs_noise=sd_m, obs_noise_ne=2 * sd_m,
        dist_noise=2 * sd_m, min_prob_norm=0.001, non_emitting_states=True, max_lattice_width=8,
    )  # fmt: skip
    path = list(zip(trace.north_m.tolist(), trace.east_m.tolist(), strict=True))
    _, last = matcher.match(path, unique=False)
    states = matcher.path_pred_onlynodes if last >= 0 else []
    lengths: dict[Directed, float] = defaultdict(float)
    for first, second in zip(states, states[1:], strict=False):
        if (first, second) in pieces:
            _, metres, directed = pieces[first, second]
            lengths[directed] += metres
    return dict(lengths), last + 1


def one_trace(drive: TrueDrive, chart: Any, pieces: Any, setting: str, seed: int) -> list[dict[str, Any]]:
    """Ours and the peer's answer on one trace."""
    sd_m, period_s = SETTINGS[setting]
    rows, trace = observed(drive, seed, sd_m, period_s)
    truth = true_lengths(drive, rows)
    started = time.process_time()
    _, found = matched(drive, rows, trace)
    own_s = time.process_time() - started
    own = mismatch(truth, matched_lengths(drive.graph, found))
    started = time.process_time()
    lengths, got = peer_lengths(chart, pieces, trace, float(sd_m or 5.0))
    peer_s = time.process_time() - started
    peer = mismatch(truth, lengths)
    whole = sum(truth.values())
    return [
        {"setting": setting, "who": "fleet-assets", "positions": len(rows), "matched": len(rows), "cpu_s": own_s,
         "wrong_m": sum(own), "true_m": whole},
        {"setting": setting, "who": "leuvenmapmatching", "positions": len(rows), "matched": got, "cpu_s": peer_s,
         "wrong_m": sum(peer), "true_m": whole},
    ]  # fmt: skip


def _column(rows: list[dict[str, Any]], name: str) -> NDArray[np.float64]:
    return np.array([row[name] for row in rows], dtype=np.float64)


def main() -> None:
    """Run both and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--map", required=True)
    parser.add_argument("--routes", type=int, default=5)
    chosen = parser.parse_args()
    results: list[dict[str, Any]] = []
    chart: Any = None
    pieces: Any = None
    for number in range(chosen.routes):
        drive = drawn_drive(FIRST_UNSEEN_SEED + number, chosen.map)
        if chart is None:
            chart, pieces = peer_map(drive.graph)
            drive.graph.ways(0.0)
        for setting in COMPARED:
            results += one_trace(drive, chart, pieces, setting, FIRST_UNSEEN_SEED + number)
    lines = []
    for setting in COMPARED:
        for who in ("fleet-assets", "leuvenmapmatching"):
            rows = [row for row in results if (row["setting"], row["who"]) == (setting, who)]
            lines.append(
                {
                    "setting": setting, "who": who, "traces": len(rows),
                    "positions": int(_column(rows, "positions").sum()),
                    "share matched": _column(rows, "matched").sum() / _column(rows, "positions").sum(),
                    "positions/CPU s": round(_column(rows, "positions").sum() / _column(rows, "cpu_s").sum(), 1),
                    "mismatch %": 100 * _column(rows, "wrong_m").sum() / _column(rows, "true_m").sum(),
                }
            )  # fmt: skip
    report("Map matching beside leuvenmapmatching", lines)


if __name__ == "__main__":
    main()
