"""Small tables with their layouts, and what a reader made of them in short."""

from pathlib import Path
from typing import Any

from fleet_assets.ingestion.recordings.protocol import Batch
from fleet_assets.ingestion.recordings.tables.csv_table import CsvRecording
from fleet_assets.policy.table_layouts import parse_table_layout

START_US = 1_628_184_886_518_266
LAYOUT = {
    "channel": "poses",
    "points": [{"time": {"column": "t", "unit": "us"}, "fields": {"x": "east", "v": "speed"}}],
}
TRIPS = {
    "channel": "trip",
    "drive_per_row": True,
    "columns": ["from", "to", "lat1", "lat2"],
    "points": [
        {"time": {"column": "from", "zone": "America/New_York"}, "fields": {"lat": "lat1"}},
        {"time": {"column": "to", "zone": "America/New_York"}, "fields": {"lat": "lat2"}},
    ],
}


def table_text(rows: int, step_us: int = 100_000) -> bytes:
    lines = [f"{START_US + row * step_us},{row / 8},{row % 7}.5,word" for row in range(rows)]
    return "\n".join(["t,east,speed,note", *lines, ""]).encode()


def opened(folder: Path, content: bytes, layout: dict[str, Any] = LAYOUT, name: str = "table.csv") -> CsvRecording:
    (folder / name).write_bytes(content)
    return CsvRecording({name: folder / name}, parse_table_layout(layout))


def column(batches: list[Batch], name: str) -> list[float]:
    return [float(value) for batch in batches for value in batch.columns[name]]


def times(batches: list[Batch]) -> list[int]:
    return [int(value) for batch in batches for value in batch.t_ns]


def lost(recording: CsvRecording) -> dict[str, tuple[int | None, int]]:
    return {loss.rule: (loss.messages, loss.lost_bytes) for loss in recording.summary().losses}
