"""Clips with what map, sun and weather say about them.

Here belongs the operator ENRICH. What it joins is made in `matching.py` and `weather_join.py`.
"""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import pyarrow as pa

from fleet_assets.geo.sun import light_condition, sun_position
from fleet_assets.ingestion.map_and_weather_enrichment.drive_cells import KEYS
from fleet_assets.ingestion.map_and_weather_enrichment.matching import MATCHED
from fleet_assets.provenance.fingerprints import Operator
from fleet_assets.provenance.restate import UnitTask
from fleet_assets.tables.maps import ENRICHED_CLIPS, MAP_CONTEXT, MAP_MATCHES, WEATHER

ENRICH: Final = Operator(
    name="map_and_weather_enrichment.enrich",
    version=1,
    inputs=("bronze.drives", "silver.clips", MAP_MATCHES.name, MAP_CONTEXT.name, WEATHER.name),
    outputs=(ENRICHED_CLIPS.name,),
    libraries=("numpy",),
)
_WEATHER: Final = ("temperature_degc", "visibility_m", "precipitation_mm_h", "wind_mps")
_CONTEXT: Final = (
    "clip_id", "t_ns", "edge_id", "road_class", "speed_limit_mps", "junction_distance_m", "roundabout", "work_zone",
    "stretch", "route_m",
)  # fmt: skip


def enrich(task: UnitTask) -> Mapping[str, pa.Table]:
    """Rows of `silver.enriched_clips` of one drive."""
    drive = {key: task.context["drive"][key] for key in KEYS}
    matches = task.read(MAP_MATCHES.name, ["status"]).to_pylist()
    status = matches[0]["status"] if matches else None
    context = task.read(MAP_CONTEXT.name, list(_CONTEXT))
    weather = {row["clip_id"]: row for row in task.read(WEATHER.name).to_pylist()}
    by_clip: dict[str, list[dict[str, Any]]] = {}
    for row in context.to_pylist():
        by_clip.setdefault(row["clip_id"], []).append(row)
    rows = []
    for clip in task.read("silver.clips", ["clip_id", "start_ns", "end_ns"]).to_pylist():
        own = by_clip.get(clip["clip_id"], [])
        missing = None if own else (status if status != MATCHED else "no_position")
        rows.append(
            {
                **drive,
                **clip,
                "map_missing": missing,
                **_on_map(own),
                **_sky(weather.get(clip["clip_id"])),
            }
        )
    return {ENRICHED_CLIPS.name: ENRICHED_CLIPS.from_rows(rows)}


def _on_map(rows: list[dict[str, Any]]) -> dict[str, Any]:
    snapped = [row for row in rows if row["edge_id"] is not None]
    classes = [row["road_class"] for row in snapped]
    ahead = [row["junction_distance_m"] for row in snapped if row["junction_distance_m"] is not None]
    return {
        "positions": len(rows),
        "snapped": len(snapped),
        "road_class": _most(classes),
        "road_classes": ", ".join(sorted(set(classes))) if classes else None,
        "speed_limit_mps": _most([row["speed_limit_mps"] for row in snapped]),
        "edges": len({row["edge_id"] for row in snapped}),
        "route_m": _route_m(snapped),
        "nearest_junction_m": min(ahead, default=None),
        "roundabout": any(row["roundabout"] for row in snapped) if snapped else None,
        "work_zone": any(row["work_zone"] for row in snapped) if snapped else None,
    }


def _most(values: list[Any]) -> Any:
    """The commonest value, the smallest of equally common ones; None without any."""
    known = [value for value in values if value is not None]
    return min(set(known), key=lambda value: (-known.count(value), value)) if known else None


def _route_m(snapped: list[dict[str, Any]]) -> float:
    ends: dict[int, list[float]] = {}
    for row in snapped:
        ends.setdefault(row["stretch"], []).append(row["route_m"])
    return round(sum(max(places) - min(places) for places in ends.values()), 3)


def _sky(weather: Mapping[str, Any] | None) -> dict[str, Any]:
    if weather is None or weather["lat_deg"] is None:
        reason = None if weather is None else weather["missing"]
        return {"light": None, "sun_elevation_deg": None, **dict.fromkeys(_WEATHER), "weather_missing": reason}
    elevation, _ = sun_position(weather["t_ns"], weather["lat_deg"], weather["lon_deg"])
    return {
        "light": str(np.asarray(light_condition(elevation)).item()),
        "sun_elevation_deg": round(float(elevation), 2),
        **{name: weather[name] for name in _WEATHER},
        "weather_missing": weather["missing"],
    }
