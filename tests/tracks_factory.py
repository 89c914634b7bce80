"""A synthetic track written as text tables, and a video of as many frames.

Here belong the writers of formats that carry no CAN frames and no topics; the others are in `formats_factory.py`.
"""

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
import yaml

from tests.formats_factory import NS_PER_S
from tests.recordings_factory import motion

OTHER_FORMATS: Final = ("csv", "gpx", "json_points", "mp4")
_TRACK_FIELDS: Final = {"lat": "lat", "lon": "lon"}


def write_other(
    folder: Path, format: str, *, start_utc_ns: int, seconds: float, seed: int = 1
) -> tuple[Path, dict[str, Any] | None]:
    """Write a track as a text table (10 Hz as CSV, else 1 Hz), or as many video frames.

    Args:
        folder: Existing folder.
        format: One of `OTHER_FORMATS`.
        start_utc_ns: UTC of the first row, whole seconds.
        seconds: Length.
        seed: Which drive.

    Returns:
        The file, and the key `table` of a spec that maps it.
    """
    if format == "mp4":
        return _write_video(folder / "drive.mp4", int(seconds)), None
    t_s = np.arange(0.0, seconds, 0.1 if format == "csv" else 1.0)
    state = motion(t_s, seed)
    rows = list(zip(t_s.tolist(), state.lat_deg.tolist(), state.lon_deg.tolist(), strict=True))
    path = folder / f"drive.{format.partition('_')[0]}"
    write, table = _TABLE_WRITERS[format]
    path.write_text(write(start_utc_ns, rows))
    return path, table


def _iso(start_utc_ns: int, t_s: float) -> str:
    return datetime.fromtimestamp(start_utc_ns // NS_PER_S + t_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


Rows = list[tuple[float, float, float]]


def _csv_text(start_utc_ns: int, rows: Rows) -> str:
    lines = [f"{start_utc_ns // 1000 + round(t * 1e6)},{lat!r},{lon!r}" for t, lat, lon in rows]
    return "\n".join(["time_us,lat,lon", *lines]) + "\n"


def _gpx_text(start_utc_ns: int, rows: Rows) -> str:
    points = [
        f'<trkpt lat="{lat!r}" lon="{lon!r}"><time>{_iso(start_utc_ns, t)}</time></trkpt>' for t, lat, lon in rows
    ]
    head = '<?xml version="1.0"?>\n<gpx xmlns="http://www.topografix.com/GPX/1/1" version="1.1"><trk><trkseg>\n'
    return head + "\n".join(points) + "\n</trkseg></trk></gpx>\n"


def _json_text(start_utc_ns: int, rows: Rows) -> str:
    return json.dumps([{"point": f"POINT({lon} {lat})", "time": _iso(start_utc_ns, t)} for t, lat, lon in rows])


_TABLE_WRITERS: Final[Mapping[str, tuple[Callable[[int, Rows], str], dict[str, Any] | None]]] = {
    "csv": (
        _csv_text,
        {"channel": "track", "points": [{"time": {"column": "time_us", "unit": "us"}, "fields": _TRACK_FIELDS}]},
    ),
    "gpx": (_gpx_text, None),
    "json_points": (
        _json_text,
        {"channel": "track", "points": [{"time": {"column": "time"}, "fields": {"lat": "point.y", "lon": "point.x"}}]},
    ),
}


def _write_video(path: Path, frames: int) -> Path:
    import av

    with av.open(path, "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for index in range(frames):
            picture = np.full((48, 64, 3), index % 256, dtype=np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    return path


def write_other_vehicle(policies: Path, format: str) -> str:
    """Write the spec that maps what `write_other` writes into a policies folder; returns its name."""
    name = f"factory_{format}"
    rate_hz = {"csv": 10, "mp4": 25}.get(format, 1)
    sensor: dict[str, Any] = {
        "kind": "camera" if format == "mp4" else "gnss",
        "channel": "video/0" if format == "mp4" else "track",
        "rate_hz": {"nominal": rate_hz, "tolerance": 0.2},
        "latency_ms": {"mean": 0, "uncertainty": 20},
        "required": True,
        "signals": {},
    }
    if format != "mp4":
        sensor["signals"] = {"lat_deg": {"field": "lat", "unit": "deg"}, "lon_deg": {"field": "lon", "unit": "deg"}}
    table = None if format == "mp4" else _TABLE_WRITERS[format][1]
    document: dict[str, Any] = {
        "schema": "fleet.vehicle/v1",
        "name": name,
        "description": f"Test vehicle that records {format}",
        "format": format,
        "sensors": {"track": sensor},
        "clock": {"utc_from": []},
    }
    if table is not None:
        document["table"] = table
    (policies / "vehicles").mkdir(parents=True, exist_ok=True)
    (policies / "vehicles" / f"{name}.yaml").write_text(yaml.safe_dump(document))
    return name
