"""Where a GPX track leads, whatever its times say: for tracks without times, or with one time for all points."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fleet_assets.ingestion.recordings.protocol import Loss, UnreadableRecordingError
from fleet_assets.ingestion.recordings.tables.gpx import CHANNEL, GpxPoints, is_gpx, no_point
from fleet_assets.ingestion.recordings.tables.table_rows import Losses

_HEAD_BYTES: Final = 1 << 16
_MOST_LAT, _MOST_LON = 90.0, 180.0
_SHOWN: Final = 80


@dataclass(frozen=True)
class Track:
    """Places in order.

    Attributes:
        lat_deg: WGS84 latitudes, float64[n], finite.
        lon_deg: WGS84 longitudes, float64[n], finite.
        losses: Points that could not be read, by rule.
    """

    lat_deg: NDArray[np.float64]
    lon_deg: NDArray[np.float64]
    losses: tuple[Loss, ...]


def read_track(path: Path) -> Track:
    """Places of every track point of a GPX file, front to back.

    A point that states no place, or none on Earth, is a loss, and so is what damage or a cut takes away.

    Raises:
        UnreadableRecordingError: When it is no GPX, has no track point with a place, or a type declaration.
    """
    with path.open("rb") as stream:
        head = stream.read(_HEAD_BYTES)
    if not is_gpx(head):
        remedy = "Export the track as GPX 1.0 or 1.1."
        raise UnreadableRecordingError(path.name, "not_gpx", value="something else", limit="a GPX track", remedy=remedy)
    found: list[tuple[float, float]] = []
    number, losses = 1, Losses(path.name, CHANNEL, "point")
    for points in GpxPoints(path.name, path).points(losses):
        for point in points:
            place = _place(point)
            if place is None:
                losses.add("no_place", f"{dict(point)}"[:_SHOWN], number, messages=1, lost_bytes=0)
            else:
                found.append(place)
            number += 1
    if not found:
        raise no_point(path.name)
    lat, lon = np.array(found, dtype=np.float64).T
    return Track(lat, lon, losses.told())


def _place(point: Mapping[str, str]) -> tuple[float, float] | None:
    try:
        lat, lon = float(point["lat"]), float(point["lon"])
    except (KeyError, ValueError):
        return None
    return (lat, lon) if abs(lat) <= _MOST_LAT and abs(lon) <= _MOST_LON else None
