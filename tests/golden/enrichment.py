"""A small map and a weather file around the clean drive, so that the operators of workflow 5 have something to say."""

from pathlib import Path
from typing import Any

import pyarrow as pa

CLASS = '<tag k="highway" v="secondary"/>'
AGAINST = f'{CLASS}<tag k="maxspeed:backward" v="70"/>'
STATION = "station,time,lat_deg,lon_deg,temperature_degc,visibility_m\n"


def write_map(path: Path, signals: pa.Table) -> None:
    """A road drawn against the way of a drive, with a street that crosses it in the middle.

    Args:
        path: File to write.
        signals: `lat_deg` and `lon_deg` of the drive's grid.
    """
    known = [row for row in signals.to_pylist() if row["lat_deg"] is not None][::10]
    middle = known[len(known) // 2]
    places = [(row["lat_deg"], row["lon_deg"]) for row in known]
    places += [(middle["lat_deg"] + shift, middle["lon_deg"]) for shift in (0.001, -0.001)]
    nodes = "".join(f'<node id="{n}" version="1" lat="{a:.7f}" lon="{o:.7f}"/>' for n, (a, o) in enumerate(places, 1))
    count = len(known)
    crossing = (count + 1, count // 2 + 1, count + 2)
    ways = "".join(
        f'<way id="{number}" version="1">' + "".join(f'<nd ref="{node}"/>' for node in own) + f"{tags}</way>"
        for number, own, tags in ((1, range(count, 0, -1), AGAINST), (2, crossing, CLASS))
    )
    path.write_text(f'<?xml version="1.0"?><osm version="0.6">{nodes}{ways}</osm>')


def write_weather(path: Path, signals: pa.Table) -> None:
    """One station where a drive begins, with two reports and a broken row."""
    first: dict[str, Any] = next(row for row in signals.to_pylist() if row["lat_deg"] is not None)
    place = f"{first['lat_deg']:.4f},{first['lon_deg']:.4f}"
    times = ("2024-05-01T07:50:00Z", "2024-05-01T08:50:00Z", "never")
    path.write_text(STATION + "".join(f"golden,{time},{place},{number},9000\n" for number, time in enumerate(times)))
