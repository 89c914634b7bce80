"""`fleet map` and `fleet weather`: put extracts and weather files into the landing zone and say what became of them."""

from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fleet_assets.commands.session import DONE, REFUSED, Session, fleet_command, table_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from fleet_assets.crank import RunResult

_SNAPSHOTS = ("snapshot", "status", "country", "highway_ways", "car_ways", "edges", "junctions", "length_km", "message")


@click.group("map")
def map_group() -> None:
    """Road networks: OpenStreetMap extracts that drives are matched to."""


@map_group.command("add")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--region", help="Region that it shows; default: the file's name. Its youngest snapshot is in force.")
@click.option("--as-of", help="Time that it shows, e.g. 2024-05-01; default: that of its youngest object.")
@click.option("--no-turn", is_flag=True, help="Only put it into the landing zone; the daemon does the rest.")
@fleet_command
def map_add(session: Session, file: Path, *, region: str | None, as_of: str | None, no_turn: bool) -> int:
    r"""Put an OpenStreetMap extract into the landing zone and turn the crank until nothing is requested.

    FILE is .osm or .osm.pbf, also packed. Drives whose cells changed are matched anew. Exit code 1 when a gate fails.

    \b
    Example:
      fleet map add baltimore.osm.pbf
      fleet map add town.osm --region town --as-of 2024-05-01
    """
    from fleet_assets.geo.osm_ways import read_extract
    from fleet_assets.ingestion.map_and_weather_enrichment.snapshots import (
        MAPS_FOLDER,
        MisnamedMapError,
        landing_name,
        region_name,
    )
    from resources.landing import LocalLanding

    # Read before it lands: a person at the terminal can still do something about a broken file.
    extract = read_extract(file, session.fleet.policies["maps"]["extract"])
    shown = as_of or extract.as_of
    if not shown:
        raise MisnamedMapError(f"{file.name} does not state when it is from. Give --as-of, e.g. --as-of 2024-05-01.")
    name = region_name(region or file.name)
    landing = LocalLanding(session.fleet.settings.landing)
    placed, _ = landing.put_batch(file, MAPS_FOLDER, lambda sha256: landing_name(name, shown, sha256))
    snapshot = placed.removesuffix(".osm").replace("/", "@")
    runs = [] if no_turn else session.crank().turn()
    rows = [row for row in _snapshots(session) if row["snapshot"] == snapshot]
    rows = rows or [{"snapshot": snapshot, "status": "in the landing zone"}]
    session.answer(rows, lambda: table_text(rows, _SNAPSHOTS))
    return REFUSED if _failed(runs) else DONE


@map_group.command("list")
@fleet_command
def map_list(session: Session) -> int:
    r"""List the snapshots of road networks.

    \b
    Example:
      fleet map list
    """
    rows = _snapshots(session)
    session.answer(rows, lambda: table_text(rows, _SNAPSHOTS))
    return DONE


@map_group.command("match")
@click.argument("track", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--region", help="Match to this region's map only; default: those that show the track.")
@fleet_command
def map_match(session: Session, track: Path, *, region: str | None) -> int:
    r"""Say which roads a GPX track leads over, by its geometry: its times are not asked for, and may be missing.

    The track is only looked at: it becomes no drive. Exit code 1 when no map shows it, or points of it are lost.

    \b
    Example:
      fleet map match track.gpx
      fleet map match track.gpx --region baltimore --json
    """
    from fleet_assets.commands.tracks import TrackMatch, match_track
    from fleet_assets.ingestion.recordings.tables.gpx_track import read_track

    found = read_track(track)
    matched: TrackMatch = match_track(session, track.name, found, region)
    session.answer(matched.document, matched.text)
    return DONE if matched.is_whole else REFUSED


def _snapshots(session: Session) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = session.fleet.lake.rows(session.fleet.table("map.road_network")).to_pylist()
    return sorted(rows, key=lambda row: str(row["snapshot"]))


@click.group()
def weather() -> None:
    """Weather of the past: files of stations and archives that drives are joined with."""


@weather.command("add")
@click.argument("paths", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--no-turn", is_flag=True, help="Only put them into the landing zone; the daemon does the rest.")
@fleet_command
def weather_add(session: Session, paths: tuple[Path, ...], *, no_turn: bool) -> int:
    r"""Put weather files into the landing zone and turn the crank until nothing is requested.

    PATHS are files of NOAA ISD or GHCNh, Meteostat, Open-Meteo's archive response, or of another layout of the policy
    `weather`, or folders of such files. Exit code 1 when a gate fails.

    \b
    Example:
      fleet weather add 72502014734.csv open-meteo-baltimore.json
    """
    from fleet_assets.ingestion.map_and_weather_enrichment.weather_files import read_weather
    from fleet_assets.ingestion.map_and_weather_enrichment.weather_join import WEATHER_FOLDER
    from resources.landing import LocalLanding
    from resources.weather import FolderProvider

    policies = session.fleet.policies
    files = [file for path in paths for file in (FolderProvider(path).files() if path.is_dir() else [path])]
    for file in files:
        read_weather(file, file.name, policies["weather"], policies["weather_stations"]["stations"])
    landing = LocalLanding(session.fleet.settings.landing)
    placed = {landing.put_batch(file, WEATHER_FOLDER, _named(file.name))[0]: file for file in files}
    runs = [] if no_turn else session.crank().turn()
    days = session.fleet.lake.rows(session.fleet.table("bronze.weather_days")).to_pylist()
    rows = [_told(name, file, [day for day in days if day["file"] == name]) for name, file in placed.items()]
    columns = ("file", "state", "provider", "stations", "observations", "first_day", "last_day", "broken_rows")
    session.answer(rows, lambda: table_text(rows, columns))
    return REFUSED if _failed(runs) else DONE


@weather.command("missing")
@fleet_command
def weather_missing(session: Session) -> int:
    r"""List the places and days of drives without weather, with the address of an archive that has it.

    \b
    Example:
      fleet weather missing
    """
    from resources.sql import query
    from resources.weather import Wanted, open_meteo_url

    found = query(
        session.fleet,
        "select day, cell, missing, lat_deg, lon_deg, count(*) as clips, min(drive_id) as drive from silver.weather "
        "where missing is not null group by all order by day, cell",
    )
    rows = []
    for row in found:
        day = date.fromisoformat(row["day"])
        address = "" if row["lat_deg"] is None else open_meteo_url(Wanted(row["lat_deg"], row["lon_deg"], day, day))
        rows.append({**row, "archive": address})
    session.answer(rows, lambda: table_text(rows, ("day", "cell", "missing", "clips", "drive", "archive")))
    return DONE


def _named(name: str) -> "Callable[[str], str]":
    """Its own name, behind its digest: files of one name may differ, and some are named by their station."""
    return lambda sha256: f"{sha256[:16]}/{name}"


def _told(name: str, file: Path, days: list[dict[str, Any]]) -> dict[str, Any]:
    if not days:
        return {"file": str(file), "landed": name, "state": "in the landing zone"}
    return {
        "file": str(file),
        "landed": name,
        "state": days[0]["status"],
        "provider": days[0]["provider"],
        "stations": len({day["station"] for day in days}),
        "observations": sum(day["observations"] for day in days),
        "first_day": min(day["day"] for day in days),
        "last_day": max(day["day"] for day in days),
        "broken_rows": days[0]["broken_rows"],
    }


def _failed(runs: "Iterable[RunResult]") -> bool:
    return any(run.error or any(gate.outcome != "pass" for gate in run.gates) for run in runs)
