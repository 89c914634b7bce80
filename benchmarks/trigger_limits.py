"""Which limit truly held where a simulated vehicle was: by the centre lines of the roads that it really drove.

The simulator's own place on an edge runs ahead of that in junctions, since it counts the whole turn to the road that it
leads to, and since it is that of the middle of the vehicle. A vehicle is where its reference point is, the middle of
the rear axle, as everywhere else; a limit begins and ends where the roads' centre lines meet.
"""

from typing import Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from services.fleet_simulator.world.road_network import Edge, RoadNetwork

KMH_PER_MPS: Final = 3.6
Floats = NDArray[np.float64]


def true_limits(ego: pa.Table, network: RoadNetwork) -> Floats:
    """The limit at every true state, float64[n], metres per second; work zones included.

    Of the roads that are driven, the last one, the present one and the next one are looked at.

    Args:
        ego: Rows of the drive's true states.
        network: Its world.
    """
    edge = ego["edge_id"].to_numpy()
    places = np.stack([ego["x_mm"].to_numpy(), ego["y_mm"].to_numpy()], axis=1) / 1e3
    first = np.concatenate(([0], np.flatnonzero(np.diff(edge)) + 1))
    bounds = [*first.tolist(), len(edge)]
    driven = [network.edges[int(edge[row])] for row in first]
    limit = np.empty(len(edge))
    for number, (low, high) in enumerate(zip(bounds[:-1], bounds[1:], strict=True)):
        around = driven[max(0, number - 1) : number + 2]
        limit[low:high] = _limits(around, places[low:high])
    return limit


def _limits(roads: list[Edge], places: Floats) -> Floats:
    """The limit of the nearest of some roads at every place."""
    nearest, limit = np.full(len(places), np.inf), np.empty(len(places))
    for road in roads:
        away, along = _abreast(road, places)
        own = np.full(len(places), road.speed_limit_kmh / KMH_PER_MPS)
        if road.work_zone is not None:
            zone = (along >= road.work_zone.first_m) & (along <= road.work_zone.last_m)
            own[zone] = road.work_zone.speed_limit_kmh / KMH_PER_MPS
        limit = np.where(away < nearest, own, limit)
        nearest = np.minimum(nearest, away)
    return limit


def _abreast(road: Edge, places: Floats) -> tuple[Floats, Floats]:
    """Distance of every place from a road's centre line, and how far along it the nearest point lies."""
    points, arc = road.points_m, road.arc_m
    nearest, along = np.full(len(places), np.inf), np.zeros(len(places))
    for begin, end, at_m in zip(points[:-1], points[1:], arc[:-1], strict=True):
        span = end - begin
        length = float(np.hypot(*span))
        share = np.clip((places - begin) @ span / max(length * length, 1e-12), 0.0, 1.0)
        away = np.hypot(*(places - begin - share[:, None] * span).T)
        along = np.where(away < nearest, at_m + share * length, along)
        nearest = np.minimum(nearest, away)
    return nearest, along
