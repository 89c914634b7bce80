"""The simulated world around the drives, into the landing zone: its map and what its weather station reports.

Both are what a fleet buys or downloads; the truth about drives is not among them.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from resources.landing import LocalLanding
    from services.fleet_simulator.world.road_network import RoadNetwork

_AS_OF: Final = "2018-01-01"
"""When simulated towns were mapped; it says nothing, since they never change."""


def land_surroundings(
    landing: "LocalLanding", network: "RoadNetwork", windows_ns: Iterable[tuple[int, int]], policy: Mapping[str, Any]
) -> None:
    """Put the map of a world and the reports of its weather station into the landing zone; again is no change.

    Args:
        landing: The landing zone.
        network: The world.
        windows_ns: First and last time of the drives.
        policy: The document `simulation`.
    """
    from fleet_assets.ingestion.map_and_weather_enrichment.snapshots import MAPS_FOLDER, landing_name
    from fleet_assets.ingestion.map_and_weather_enrichment.weather_join import WEATHER_FOLDER
    from services.fleet_simulator.world.osm_xml import to_osm_xml
    from services.fleet_simulator.world.station import station_csv

    town = f"sim_{network.digest[:8]}"
    with TemporaryDirectory(prefix="fleet-surroundings-") as place:
        chart, station = Path(place, f"{town}.osm"), Path(place, f"{town}.csv")
        chart.write_bytes(to_osm_xml(network))
        station.write_bytes(station_csv(network, windows_ns, policy["weather"]))
        landing.put_batch(chart, MAPS_FOLDER, lambda sha256: landing_name(town, _AS_OF, sha256))
        landing.put_batch(station, WEATHER_FOLDER, lambda sha256: f"{sha256[:16]}/{station.name}")
