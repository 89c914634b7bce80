"""An event window as a Rerun recording. The extra `viz` brings the library; nothing else imports it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow.compute as pc

from fleet_assets.mining.scenario_mining.export.mcap_cut import event_text
from fleet_assets.mining.scenario_mining.export.window import Window

TIMELINE: Final = "utc"


class MissingExtraError(RuntimeError):
    """A library that is not installed; the message names the extra."""


def write_rerun(window: Window, path: Path) -> int:
    """Write a window as a `.rrd` file. Returns how many entries were logged.

    The library stamps chunks with the time of writing, so that two files of one window differ in their bytes.

    Raises:
        MissingExtraError: When the library `rerun-sdk` is not installed.
    """
    try:
        import rerun
    except ImportError as error:
        raise MissingExtraError("the library rerun-sdk is not installed: pip install 'fleet-assets[viz]'") from error
    recording = rerun.RecordingStream("fleet_event", recording_id=str(window.event["event_id"]), send_properties=False)
    recording.save(path)
    entries = _Entries(rerun, recording)
    _log_signals(window, entries)
    for one in window.pictures:
        picture = rerun.EncodedImage(contents=one.jpeg, media_type="image/jpeg")
        entries.add(one.t_ns, f"camera/{one.camera}", picture)
    _log_objects(window, entries)
    for row in window.events:
        entries.add(max(row["start_ns"], window.start_ns), "events", rerun.TextLog(event_text(row), level="WARN"))
    recording.flush()
    recording.disconnect()
    return entries.count


class _Entries:
    """Logs values at their instants."""

    def __init__(self, rerun: Any, recording: Any) -> None:
        self.rerun, self.recording, self.count = rerun, recording, 0

    def add(self, t_ns: int, entity: str, value: Any) -> None:
        self.recording.set_time(TIMELINE, timestamp=np.datetime64(t_ns, "ns"))
        self.recording.log(entity, value)
        self.count += 1


def _log_signals(window: Window, entries: _Entries) -> None:
    """Every signal as a series of its own, in columns, and the positions."""
    rerun, signals = entries.rerun, window.signals
    for name in (one for one in signals.column_names if one != "t_ns"):
        known = signals.filter(pc.is_valid(signals[name]))
        times = known["t_ns"].to_numpy().astype("datetime64[ns]")
        values = pc.cast(known[name], "float64").to_numpy()
        entries.recording.send_columns(
            f"signals/{name}",
            indexes=[rerun.TimeColumn(TIMELINE, timestamp=times)],
            columns=rerun.Scalars.columns(scalars=values),
        )
        entries.count += len(values)
    names = window.policy["position"]
    if {names["lat"], names["lon"]} <= set(signals.column_names):
        for row in signals.to_pylist():
            if row[names["lat"]] is not None and row[names["lon"]] is not None:
                entries.add(row["t_ns"], "position", rerun.GeoPoints(lat_lon=[(row[names["lat"]], row[names["lon"]])]))


def _log_objects(window: Window, entries: _Entries) -> None:
    size = window.policy["object"]
    half = [size[name] / 2.0 for name in ("length_m", "width_m", "height_m")]
    by_instant: dict[int, list[Mapping[str, Any]]] = {}
    for row in window.tracks.to_pylist():
        if row["distance_m"] is not None and row["lateral_m"] is not None:
            by_instant.setdefault(row["t_ns"], []).append(row)
    for t_ns, rows in sorted(by_instant.items()):
        boxes = entries.rerun.Boxes3D(
            centers=[(row["distance_m"] + half[0], row["lateral_m"], half[2]) for row in rows],
            half_sizes=[half] * len(rows),
            labels=[f"{row['sensor']} {row['track']}" for row in rows],
        )
        entries.add(t_ns, f"{window.policy['frame']}/radar", boxes)
