"""Folders with recordings, and what discovery says of them in short."""

from pathlib import Path

import numpy as np

from fleet_assets.ingestion.recordings.discovery.discover import Found
from fleet_assets.ingestion.recordings.discovery.walk import Ignored
from tests.harness import utc_ns

START_NS = utc_ns("2024-05-01T08:00:00")
JPEG = b"\xff\xd8\xff\xe0" + b"picture"


def can_log(path: Path, first_s: float, seconds: float = 20.0, ids: tuple[str, ...] = ("1A0", "2B0")) -> None:
    """A candump log (`-L` lines) with a frame every 50 ms."""
    path.parent.mkdir(parents=True, exist_ok=True)
    times = first_s + np.arange(0, seconds, 0.05)
    lines = [f"({time:.6f}) can0 {ids[number % len(ids)]}#0102030405060708" for number, time in enumerate(times)]
    path.write_text("\n".join(lines) + "\n")


def names(founds: list[Found]) -> list[list[str]]:
    return [sorted(found.files) for found in founds]


def reasons(ignored: list[Ignored]) -> dict[str, int]:
    return {item.reason: item.files for item in ignored}
