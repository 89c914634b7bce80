"""Where a trip begins and ends is where somebody lives or works: positions near such places are withheld.

Withheld is not moved: a position is either what was measured or none, so that nothing downstream sees motion that never
was. A zone is made of whole H3 cells around the cell of the stop. So it shows the cell and not the stop: the edge that
many trips of one person draw has no centre that would tell more.

Pure: columns in, columns out. Speed and yaw rate stay; whoever integrates them backwards from the first position that
is left learns roughly how far away the stop is, and nothing else here prevents that.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fleet_assets.geo.local_frame import LocalFrame

NS_PER_S: Final = 1_000_000_000
_UNCLEAR_SHARE: Final = 0.05
"""Of a cell's edge: edges are arcs of great circles, which leave the straight line of a plane by far less."""
_WIDEST_DEG: Final = 2.0
"""Wider cells are no figure of a plane, or lie at a pole, or at the antimeridian: every position is looked up."""
NONE, PLACE, FIRST_STOP, LAST_STOP = "", "place", "first_stop", "last_stop"
Times = NDArray[np.int64]
Values = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Place:
    """A place that is known to be nobody's business, e.g. a depot's yard.

    Attributes:
        name: For people.
        lat_deg: WGS84 latitude of its middle.
        lon_deg: WGS84 longitude.
        radius_m: Positions within it are withheld, whenever.
    """

    name: str
    lat_deg: float
    lon_deg: float
    radius_m: float


@dataclass(frozen=True, slots=True)
class TripEndRule:
    """What counts as a stop, and how much around it is withheld.

    Attributes:
        parked_below_mps: The vehicle stands when it is slower.
        parked_within_s: It stops at an end when it stands within so long of its first or last position.
        resolution: H3 resolution of the cells.
        rings: Rings of cells around that of the stop.
        places: Known places.
    """

    parked_below_mps: float
    parked_within_s: float
    resolution: int
    rings: int
    places: tuple[Place, ...]

    @classmethod
    def from_policy(cls, policy: Mapping[str, Any]) -> "TripEndRule":
        """From the key `trip_ends` of the document `privacy`."""
        return cls(
            policy["parked_below_mps"],
            policy["parked_within_s"],
            policy["cells"]["resolution"],
            policy["cells"]["rings"],
            tuple(Place(**place) for place in policy["places"]),
        )


def withheld(t_ns: Times, lat_deg: Values, lon_deg: Values, speed_mps: Values, rule: TripEndRule) -> NDArray[np.str_]:
    """Why each instant's position is withheld; empty where it is not.

    An instant without position is withheld with its neighbours: where the nearest known ones on both sides are.

    Args:
        t_ns: Instants of one drive, int64[n], ascending.
        lat_deg: WGS84 latitude, float64[n], NaN where unknown.
        lon_deg: WGS84 longitude.
        speed_mps: Speed, NaN where unknown; where it is unknown at an end, the vehicle is taken to stand there.
        rule: What is withheld.
    """
    reasons = np.full(len(t_ns), NONE, dtype="<U16")
    known = np.flatnonzero(np.isfinite(lat_deg) & np.isfinite(lon_deg))
    if not len(known):
        return reasons
    lat, lon = lat_deg[known], lon_deg[known]
    found = np.full(len(known), NONE, dtype="<U16")
    ends = {LAST_STOP: len(known) - 1, FIRST_STOP: 0}
    stops = {name: at for name, at in ends.items() if _stands(t_ns, speed_mps, int(t_ns[known[at]]), rule)}
    for reason, inside in zip(stops, _in_zones(lat, lon, list(stops.values()), rule), strict=True):
        found[inside] = reason
    for place in rule.places:
        found[np.hypot(*LocalFrame(place.lat_deg, place.lon_deg).to_plane(lat, lon)) <= place.radius_m] = PLACE
    reasons[known] = found
    return _filled(reasons, known, found)


def _stands(t_ns: Times, speed_mps: Values, at_ns: int, rule: TripEndRule) -> bool:
    """Whether the vehicle stands within some time of an instant."""
    near = speed_mps[np.abs(t_ns - at_ns) <= rule.parked_within_s * NS_PER_S]
    near = np.abs(near[np.isfinite(near)])
    return not len(near) or bool(near.min() < rule.parked_below_mps)


def _in_zones(lat: Values, lon: Values, stops: Sequence[int], rule: TripEndRule) -> list[NDArray[np.bool_]]:
    """Positions in the cells around each of some of them."""
    from h3.api import basic_int as h3  # cells as numbers: no text is made of every position's cell

    found = []
    for at in stops:
        zone = set(h3.grid_disk(h3.latlng_to_cell(lat[at], lon[at], rule.resolution), rule.rings))
        inside, unclear = _sorted_out(lat, lon, [h3.cell_to_boundary(cell) for cell in zone])
        places = zip(lat[unclear].tolist(), lon[unclear].tolist(), strict=True)
        inside[unclear] = [h3.latlng_to_cell(*place, rule.resolution) in zone for place in places]
        found.append(inside)
    return found


def _sorted_out(
    lat: Values, lon: Values, borders: Sequence[Sequence[tuple[float, float]]]
) -> tuple[NDArray[np.bool_], NDArray[np.intp]]:
    """Which positions are well within some cells, and where those stand that are too near to their outline to tell.

    Asking for the cell of every position of a long drive takes longer than everything else that is done to it.
    """
    import shapely

    corners = np.concatenate(borders)
    if np.ptp(corners, axis=0).max() > _WIDEST_DEG:
        return np.zeros(len(lat), dtype=np.bool_), np.arange(len(lat))
    frame = LocalFrame(*corners.mean(axis=0).tolist())
    cells = [np.stack(frame.to_plane(*np.array(border).T), axis=1) for border in borders]
    room = _UNCLEAR_SHARE * np.linalg.norm(np.diff(cells[0], axis=0), axis=1).max()
    outline = shapely.union_all([shapely.Polygon(cell) for cell in cells])
    reach, core = outline.buffer(room), outline.buffer(-room)
    shapely.prepare([reach, core])
    east, north = frame.to_plane(lat, lon)
    west, south, east_end, north_end = reach.bounds
    near = np.flatnonzero((west <= east) & (east <= east_end) & (south <= north) & (north <= north_end))
    near = near[shapely.contains_xy(reach, east[near], north[near])]
    well = shapely.contains_xy(core, east[near], north[near])
    inside = np.zeros(len(lat), dtype=np.bool_)
    inside[near[well]] = True
    return inside, near[~well]


def _filled(reasons: NDArray[np.str_], known: NDArray[np.intp], found: NDArray[np.str_]) -> NDArray[np.str_]:
    """Instants without position take the reason of the known ones around them, where both have one."""
    places = np.arange(len(reasons))
    after = np.searchsorted(known, places)
    left = np.where(after > 0, found[np.maximum(after - 1, 0)], found[0])
    right = np.where(after < len(known), found[np.minimum(after, len(known) - 1)], found[-1])
    unknown = np.ones(len(reasons), dtype=np.bool_)
    unknown[known] = False
    return np.where(unknown, np.where(right != NONE, left, NONE), reasons)


def stretches(t_ns: Times, reasons: NDArray[np.str_]) -> Sequence[Mapping[str, Any]]:
    """Stretches of one reason: `reason`, `start_ns` and `end_ns` (both inclusive) and `instants`."""
    if not len(reasons):
        return []
    begins = np.flatnonzero(np.concatenate([[True], reasons[1:] != reasons[:-1]]))
    ends = np.concatenate([begins[1:], [len(reasons)]]) - 1
    return [
        {
            "reason": str(reasons[first]),
            "start_ns": int(t_ns[first]),
            "end_ns": int(t_ns[last]),
            "instants": int(last - first + 1),
        }
        for first, last in zip(begins, ends, strict=True)
        if reasons[first] != NONE
    ]
