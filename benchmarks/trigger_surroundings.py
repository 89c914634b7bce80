"""Map and weather of a simulated drive, as the pipeline has them, and what really held where it was.

Here belongs what the triggers `speeding` and `low_visibility` see: the town's map as exported, matched by the
pipeline's functions, and the reports of its weather station, joined by them. Beside it lie the true limits.
"""

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from benchmarks.trigger_limits import true_limits
from fleet_assets.geo.osm_edges import road_network
from fleet_assets.geo.osm_ways import read_extract
from fleet_assets.ingestion.map_and_weather_enrichment.drive_cells import cell_rows
from fleet_assets.ingestion.map_and_weather_enrichment.matching import drive_on_map, positioned
from fleet_assets.ingestion.map_and_weather_enrichment.weather_files import read_weather
from fleet_assets.ingestion.map_and_weather_enrichment.weather_join import clips_with_weather
from fleet_assets.policy.documents import Policies
from fleet_assets.tables.maps import MAP_CONTEXT, ROAD_EDGES
from services.fleet_simulator.world.osm_xml import to_osm_xml
from services.fleet_simulator.world.road_network import RoadNetwork
from services.fleet_simulator.world.station import station_csv

SEEN: Final = {
    "silver.map_context": ("t_ns", "speed_limit_mps", "junction_distance_m"),
    "silver.weather": ("t_ns", "visibility_m"),
}
"""Tables that triggers read here, and their columns."""
LIMITS: Final = "limits"
"""Name of the true limits beside the drive's truth."""


def surround(drive: Path, network: RoadNetwork, policies: Policies, rules: Mapping[str, Any]) -> None:
    """Write the tables and the true limits beside a drive that was made and ingested.

    Args:
        drive: Its folder.
        network: Its world.
        policies: Policies of the pipeline.
        rules: The document `simulation` that it was made by.
    """
    signals = pq.read_table(drive / "silver.signals.parquet", columns=["clip_id", "t_ns", *_columns(policies)])
    signals = signals.rename_columns(["clip_id", "t_ns", "lat_deg", "lon_deg", "heading_deg", "speed_mps"])
    tables = {
        "silver.map_context": _context(signals, network, policies),
        "silver.weather": _weather(signals, network, policies, rules["weather"], drive),
    }
    for name, table in tables.items():
        pq.write_table(table.select(list(SEEN[name])), drive / f"{name}.parquet")
    write_limits(drive, network)


def write_limits(drive: Path, network: RoadNetwork) -> None:
    """Write the limit at every true state of the ego beside a drive, metres per second."""
    ego = pq.read_table(drive / "truth" / "ego.parquet")
    pq.write_table(pa.table({"limit_mps": true_limits(ego, network)}), drive / "truth" / f"{LIMITS}.parquet")


def _columns(policies: Policies) -> list[str]:
    names = policies["maps"]["signals"]
    return [*names["position"], names["course"], names["speed"]]


def _context(signals: pa.Table, network: RoadNetwork, policies: Policies) -> pa.Table:
    maps = policies["maps"]
    with tempfile.TemporaryDirectory() as place:
        path = Path(place, "town.osm")
        path.write_bytes(to_osm_xml(network))
        edges = road_network(read_extract(path, maps["extract"]), maps).edges
    rows = ROAD_EDGES.from_rows([{"snapshot": "study", **row} for row in edges])
    _, context = drive_on_map(positioned(signals), rows, maps["matching"])
    if context is None:
        return MAP_CONTEXT.empty()
    return context


def _weather(
    signals: pa.Table, network: RoadNetwork, policies: Policies, rules: Mapping[str, Any], drive: Path
) -> pa.Table:
    document = json.loads((drive / "truth" / "drive.json").read_text(encoding="utf-8"))
    policy = policies["weather"]
    with tempfile.TemporaryDirectory() as place:
        path = Path(place, "station.csv")
        path.write_bytes(station_csv(network, [(document["start_ns"], document["end_ns"])], rules))
        reports = read_weather(path, path.name, policy, {})
    known = positioned(signals)
    t_ns, lat, lon = (known[name].to_numpy() for name in ("t_ns", "lat_deg", "lon_deg"))
    cells = cell_rows(t_ns, lat, lon, policies["maps"]["extract"]["cell_resolution"])
    clips = signals.group_by("clip_id").aggregate([("t_ns", "min")]).rename_columns(["clip_id", "start_ns"])
    observations = [{"file": "station.csv", "provider": reports.provider, **row} for row in reports.rows]
    joined = clips_with_weather(clips.sort_by("start_ns").to_pylist(), cells, observations, policy["join"])
    table = pa.Table.from_pylist(joined)
    return table.set_column(
        table.column_names.index("visibility_m"), "visibility_m", pc.cast(table["visibility_m"], pa.float64())
    )
