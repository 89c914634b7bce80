"""What `fleet map match` says of a track: the roads that it leads over."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from fleet_assets.commands.session import Session, table_text
from fleet_assets.geo.road_graph import edges_of_cells
from fleet_assets.ingestion.map_and_weather_enrichment.charts import Region, chart_of, regions_in_force
from fleet_assets.ingestion.map_and_weather_enrichment.drive_cells import cell_rows
from fleet_assets.ingestion.map_and_weather_enrichment.matching import MATCHED, places_on_maps
from fleet_assets.ingestion.map_and_weather_enrichment.snapshots import MisnamedMapError
from fleet_assets.tables.maps import ROAD_EDGES

if TYPE_CHECKING:
    from fleet_assets.ingestion.recordings.tables.gpx_track import Track

_ROADS: Final = ("edge_id", "driven", "road_class", "from_m", "to_m", "positions", "snap_distance_m")
_POINT: Final = ("edge_id", "forward", "offset_m", "snap_distance_m", "road_class", "stretch", "route_m")
_DECIMALS: Final = 3


@dataclass(frozen=True)
class TrackMatch:
    """A track on the roads.

    Attributes:
        summary: Name, maps, how many positions lie on roads and how near, length of the route, and what is lost.
        positions: One row per position, in order: its place, edge and offset; on no road, nothing but its place.
    """

    summary: dict[str, Any]
    positions: list[dict[str, Any]]

    @property
    def is_whole(self) -> bool:
        """Whether a map shows the track, and none of its points is lost."""
        return self.summary["status"] == MATCHED and not self.summary["lost"]

    @property
    def document(self) -> dict[str, Any]:
        """Everything."""
        return {**self.summary, "track_points": self.positions}

    def text(self) -> str:
        """The summary, a line per road in order of driving, and what is lost."""
        told = {name: value for name, value in self.summary.items() if name != "lost"}
        lost = [f"lost: {words}" for words in self.summary["lost"]]
        return "\n".join([table_text([told], tuple(told)), "", table_text(_roads(self.positions), _ROADS), *lost])


def match_track(session: Session, name: str, track: "Track", region: str | None) -> TrackMatch:
    """Match a track to the maps in force.

    Args:
        session: The invocation.
        name: What to call the track.
        track: Its places.
        region: The only region to match to; None for those that show it.

    Raises:
        MisnamedMapError: When there is no map, or none of that region.
    """
    policy = session.fleet.policies["maps"]
    lake = session.fleet.lake
    regions = _regions(regions_in_force(lake), region)
    order = np.arange(len(track.lat_deg))
    cells = cell_rows(order, track.lat_deg, track.lon_deg, policy["extract"]["cell_resolution"])
    chart = chart_of(cells, regions)
    parts = () if chart is None else chart.parts
    maps = [edges_of_cells(lake.read(ROAD_EDGES, [part.edges]), part.cells) for part in parts]
    row, context = places_on_maps(track.lat_deg, track.lon_deg, maps, policy["matching"])
    on_map = row["positions"] - row["outside"]
    summary = {
        "track": name,
        "region": None if chart is None else chart.region,
        **row,
        "share_snapped": round(row["snapped"] / on_map, _DECIMALS) if on_map else 0.0,
        "lost": [loss.reason for loss in track.losses],
    }
    points = [
        {"number": number, "lat_deg": lat, "lon_deg": lon, **dict.fromkeys(_POINT)}
        for number, (lat, lon) in enumerate(zip(track.lat_deg.tolist(), track.lon_deg.tolist(), strict=True))
    ]
    for one in [] if context is None else context.select(["t_ns", *_POINT]).to_pylist():
        points[one["t_ns"]] |= {key: one[key] for key in _POINT}
    return TrackMatch(summary, points)


def _regions(known: Sequence[Region], wanted: str | None) -> list[Region]:
    """Regions to match to."""
    names = ", ".join(region.name for region in known)
    if not known:
        raise MisnamedMapError("There is no map. Add one that shows the track with `fleet map add`.")
    found = [region for region in known if wanted in {None, region.name}]
    if not found:
        raise MisnamedMapError(f"There is no map of region {wanted!r}. Known: {names}; more with `fleet map add`.")
    return found


def _roads(positions: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Positions that follow each other on one edge as one row."""
    rows: list[dict[str, Any]] = []
    for one in positions:
        key = (one["edge_id"], one["forward"], one["stretch"])
        if one["edge_id"] is None:
            continue
        if not rows or rows[-1]["key"] != key:
            driven = "as drawn" if one["forward"] else "against"
            start = {"key": key, "driven": driven, "from_m": one["offset_m"], "positions": 0, "snap_distance_m": 0.0}
            rows.append({**one, **start})
        rows[-1]["to_m"] = one["offset_m"]
        rows[-1]["positions"] += 1
        rows[-1]["snap_distance_m"] = max(rows[-1]["snap_distance_m"], one["snap_distance_m"])
    return rows
