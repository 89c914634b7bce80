"""Weather of clips: the nearest station that has an observation near enough in time.

Here belong landed weather files as tables, and the join. Reading a file is in `weather_files.py`.
"""

import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Final

import numpy as np
import pyarrow as pa

from fleet_assets.geo.cells import centre_of
from fleet_assets.geo.local_frame import LocalFrame
from fleet_assets.ingestion.map_and_weather_enrichment.drive_cells import KEYS
from fleet_assets.ingestion.map_and_weather_enrichment.weather_files import (
    FIELDS,
    UnusableWeatherError,
    WeatherFile,
    day_of,
    read_weather,
)
from fleet_assets.policy.documents import digest_of
from fleet_assets.provenance.batches import BatchFile
from fleet_assets.provenance.canonical import canonical_json
from fleet_assets.provenance.fingerprints import Operator
from fleet_assets.provenance.ledger import Entry
from fleet_assets.provenance.restate import UnitTask
from fleet_assets.tables.maps import DRIVE_CELLS, WEATHER, WEATHER_DAYS, WEATHER_OBSERVATIONS

WEATHER_FOLDER: Final = "weather"
"""Folder of the landing zone."""
READ_WEATHER: Final = Operator(
    name="map_and_weather_enrichment.read_weather",
    version=1,
    inputs=(),
    outputs=(WEATHER_OBSERVATIONS.name, WEATHER_DAYS.name),
    policy={"weather": ("limits", "layouts", "open_meteo"), "weather_stations": ()},
)
JOIN_WEATHER: Final = Operator(
    name="map_and_weather_enrichment.join_weather",
    version=1,
    inputs=("bronze.drives", "silver.clips", DRIVE_CELLS.name),
    outputs=(WEATHER.name,),
    policy={"weather": ("join",)},
    libraries=("numpy", "h3"),
    consults=(WEATHER_DAYS.name,),
)
NO_POSITION, NO_STATION, NO_OBSERVATION = "no_position", "no_station_near", "no_observation_in_time"
_NS_PER_MIN: Final = 60_000_000_000
_NS_PER_S: Final = 1e9
_M_PER_KM: Final = 1000.0


def unit_of(file: BatchFile) -> str:
    """Unit of a landed weather file."""
    return hashlib.sha256(file.printable.encode()).hexdigest()[:32]


def read_weather_file(task: UnitTask) -> Mapping[str, pa.Table]:
    """Rows of `bronze.weather_observations` and `bronze.weather_days` of one file; one row for a refused file."""
    file: BatchFile = task.context["file"]
    path = task.context["landing"].batch(file, WEATHER_FOLDER)
    try:
        read = read_weather(
            path, file.printable, task.policies["weather"], task.policies["weather_stations"]["stations"]
        )
    except UnusableWeatherError as error:
        refused = {
            "file": file.printable, "station": "", "day": "", "lat_deg": None, "lon_deg": None, "provider": None,
            "observations": 0, "duplicates": 0, "broken_rows": 0, "status": "refused", "message": str(error),
            "digest": None,
        }  # fmt: skip
        return {
            WEATHER_OBSERVATIONS.name: WEATHER_OBSERVATIONS.empty(),
            WEATHER_DAYS.name: WEATHER_DAYS.from_rows([refused]),
        }
    observations = [{"file": file.printable, "provider": read.provider, **row} for row in read.rows]
    return {
        WEATHER_OBSERVATIONS.name: WEATHER_OBSERVATIONS.from_rows(observations),
        WEATHER_DAYS.name: WEATHER_DAYS.from_rows(list(_days(file.printable, read))),
    }


def _days(file: str, read: WeatherFile) -> list[dict[str, Any]]:
    members: dict[tuple[str, str], list[Mapping[str, Any]]] = defaultdict(list)
    for row in read.rows:
        members[row["station"], day_of(row["t_ns"])].append(row)
    return [
        {
            "file": file,
            "station": station,
            "day": day,
            "lat_deg": rows[0]["lat_deg"],
            "lon_deg": rows[0]["lon_deg"],
            "provider": read.provider,
            "observations": len(rows),
            "duplicates": read.duplicates.get((station, day), 0),
            "broken_rows": read.broken,
            "status": "usable",
            "message": None,
            "digest": hashlib.sha256(canonical_json([dict(row) for row in rows])).hexdigest(),
        }
        for (station, day), rows in sorted(members.items())
    ]


@dataclass(frozen=True)
class Reports:
    """What may concern a drive.

    Attributes:
        digest: Digest of it.
        stations: (file, station) of the stations near enough.
        files: Files of observations that they are in.
    """

    digest: str
    stations: frozenset[tuple[str, str]]
    files: tuple[Entry, ...]


def reports_for(
    drive_cells: Sequence[Mapping[str, Any]],
    days: Mapping[str, Sequence[Mapping[str, Any]]],
    observations: Mapping[str, Entry],
    policy: Mapping[str, Any],
) -> Reports:
    """Days of stations that lie near a drive in place and time.

    Args:
        drive_cells: The drive's rows of `silver.drive_cells`.
        days: Unit → rows of `bronze.weather_days`.
        observations: Unit → file of `bronze.weather_observations`.
        policy: Key `join` of the policy `weather`.
    """
    visited = [row for row in drive_cells if row["positions"]]
    if not visited:
        return Reports("none", frozenset(), ())
    # A day on either side holds every observation that may be near in time.
    first = date.fromisoformat(day_of(min(row["first_ns"] for row in visited))) - timedelta(days=1)
    last = date.fromisoformat(day_of(max(row["last_ns"] for row in visited))) + timedelta(days=1)
    reach_m = policy["max_distance_km"] * _M_PER_KM
    lat, lon = np.array([centre_of(row["cell"]) for row in visited]).T
    told, files = [], {}
    for unit, rows in days.items():
        near = [
            row
            for row in rows
            if row["status"] == "usable"
            and first.isoformat() <= row["day"] <= last.isoformat()
            and distances_m(row["lat_deg"], row["lon_deg"], lat, lon).min() <= reach_m
        ]
        if near and unit in observations:
            files[unit] = observations[unit]
            told += [(row["file"], row["station"], row["day"], row["digest"]) for row in near]
    stations = frozenset((file, station) for file, station, _, _ in told)
    return Reports(digest_of(sorted(told)), stations, tuple(files[unit] for unit in sorted(files)))


def distances_m(lat_deg: float, lon_deg: float, lats_deg: Any, lons_deg: Any) -> Any:
    """Distances of places from one place; good to a part in a thousand over a hundred kilometres."""
    return np.hypot(*LocalFrame(lat_deg, lon_deg).to_plane(lats_deg, lons_deg))


def join_weather(task: UnitTask) -> Mapping[str, pa.Table]:
    """Rows of `silver.weather` of one drive: one per clip, with the reason where there is no observation."""
    drive = {key: task.context["drive"][key] for key in KEYS}
    reports: Reports = task.context["reports"]
    clips = task.read("silver.clips", ["clip_id", "start_ns"])
    cells = task.read(DRIVE_CELLS.name, ["cell", "positions", "first_ns", "last_ns"]).to_pylist()
    rows = []
    for entry in reports.files:
        found = task.files.read(WEATHER_OBSERVATIONS, [entry]).to_pylist()
        rows += [row for row in found if (row["file"], row["station"]) in reports.stations]
    joined = clips_with_weather(clips.to_pylist(), cells, rows, task.policies["weather"]["join"])
    return {WEATHER.name: WEATHER.from_rows([{**drive, **row} for row in joined])}


def clips_with_weather(
    clips: Sequence[Mapping[str, Any]],
    cells: Sequence[Mapping[str, Any]],
    observations: Sequence[Mapping[str, Any]],
    policy: Mapping[str, Any],
) -> list[dict[str, Any]]:
    """One row per clip. Its place is the middle of the cell that the drive was in at its start.

    Args:
        clips: `clip_id` and `start_ns`.
        cells: Rows of `silver.drive_cells` of the drive.
        observations: Rows of `bronze.weather_observations` of stations that may be near.
        policy: Key `join` of the policy `weather`.
    """
    visited = sorted((row for row in cells if row["positions"]), key=lambda row: (row["first_ns"], row["cell"]))
    stations = _by_station(observations)
    rows = []
    for clip in clips:
        row: dict[str, Any] = {"clip_id": clip["clip_id"], "t_ns": clip["start_ns"], **_NOTHING}
        if not visited:
            rows.append({**row, "missing": NO_POSITION})
            continue
        at = min(visited, key=lambda cell: _away_ns(cell, row["t_ns"]))
        lat, lon = centre_of(at["cell"])
        row |= {"cell": at["cell"], "lat_deg": lat, "lon_deg": lon}
        rows.append({**row, **_nearest(row, stations, policy)})
    return rows


def _away_ns(cell: Mapping[str, Any], t_ns: int) -> tuple[int, int]:
    """How far the time in a cell is from an instant, and how long it is: of two cells the shorter stay counts."""
    return max(cell["first_ns"] - t_ns, t_ns - cell["last_ns"], 0), cell["last_ns"] - cell["first_ns"]


_NOTHING: Final = dict.fromkeys(
    (
        "cell",
        "lat_deg",
        "lon_deg",
        "station",
        "provider",
        "station_distance_m",
        "observed_ns",
        "age_s",
        *FIELDS,
        "missing",
    )
)


def _by_station(observations: Sequence[Mapping[str, Any]]) -> list[tuple[float, float, Any, list[Mapping[str, Any]]]]:
    """Place, times and observations of each station of each file, by name."""
    members: dict[tuple[str, str], list[Mapping[str, Any]]] = defaultdict(list)
    for row in observations:
        if any(row[field] is not None for field in FIELDS):
            members[row["station"], row["file"]].append(row)
    found = []
    for _, rows in sorted(members.items()):
        ordered = sorted(rows, key=lambda row: int(row["t_ns"]))
        times = np.array([row["t_ns"] for row in ordered], dtype=np.int64)
        found.append((ordered[0]["lat_deg"], ordered[0]["lon_deg"], times, ordered))
    return found


def _nearest(
    row: Mapping[str, Any],
    stations: Sequence[tuple[float, float, Any, list[Mapping[str, Any]]]],
    policy: Mapping[str, Any],
) -> dict[str, Any]:
    away = [float(distances_m(row["lat_deg"], row["lon_deg"], lat, lon)) for lat, lon, _, _ in stations]
    order = sorted(range(len(stations)), key=lambda index: (away[index], index))
    near = [index for index in order if away[index] <= policy["max_distance_km"] * _M_PER_KM]
    if not near:
        return {"missing": NO_STATION}
    for index in near:
        _, _, times, rows = stations[index]
        place = int(np.argmin(np.abs(times - row["t_ns"])))
        late = int(row["t_ns"] - times[place])
        if abs(late) <= policy["max_minutes"] * _NS_PER_MIN:
            found = rows[place]
            return {
                "station": found["station"],
                "provider": found["provider"],
                "station_distance_m": round(away[index], 1),
                "observed_ns": found["t_ns"],
                "age_s": late / _NS_PER_S,
                **{field: found[field] for field in FIELDS},
            }
    return {"missing": NO_OBSERVATION}
