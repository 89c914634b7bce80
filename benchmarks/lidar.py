"""What it costs to store sweeps: lidar packets to Zarr against decoding the same packets alone.

`python -m benchmarks.run lidar`, on the real recordings. Both sides read the same recording, parse its
messages, decode packets and cut sweeps; one of them also writes the file. CPU seconds of one process, in turns, so that
other work on the machine meets both; the ratio is that of the medians, with the spread of the single rounds.
"""

import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from benchmarks.measure import ROOT, report
from fleet_assets.ingestion.recordings.media import PayloadRecording
from fleet_assets.ingestion.recordings.open import open_recording
from fleet_assets.ingestion.sensor_sync_and_format_conversion.lidar.lidar_drive import LidarJob, convert
from fleet_assets.ingestion.sensor_sync_and_format_conversion.lidar.sweeps import Sweep
from fleet_assets.ingestion.sensor_sync_and_format_conversion.lidar.zarr_shards import SweepWriter
from fleet_assets.policy.documents import load_policies
from fleet_assets.policy.lidar_calibration import parse_lidar_calibration

REAL_DATA: Final = ROOT.parent / "shared" / "data"
SPECS: Final[Mapping[str, str]] = {
    "nebula_vlp16": "velodyne_vlp16",
    "nebula_vlp32": "velodyne_vlp32",
    "nebula_pandar40p": "hesai_40p",
    "nebula_xt32": "hesai_xt32",
}
ROUNDS: Final = 9
REPEATS: Final = 20
"""The recordings last for half a second; each round goes over one this often, as if it went on."""
LIMIT: Final = 1.5


class _Discard:
    """Takes the place of the writer on the side that only decodes."""

    def __init__(self, *_: Any) -> None:
        self.starts = [0]

    def add(self, sweep: Sweep) -> None:
        self.starts.append(self.starts[-1] + len(sweep.points))

    def close(self) -> None:
        """Nothing was opened."""

    def abandon(self) -> None:
        """Nothing was opened."""


class _Longer:
    """A recording that begins anew where it ends, on a clock that goes on."""

    def __init__(self, recording: PayloadRecording) -> None:
        self._recording = recording

    def payloads(self, wanted: Any) -> Any:
        for _ in range(REPEATS):
            yield from self._recording.payloads(wanted)


def _once(files: Mapping[str, Path], job: LidarJob, policy: Mapping[str, Any], sink: Any) -> tuple[float, int]:
    """CPU seconds and points of one pass."""
    begin = time.process_time()
    recording: Any = open_recording(files)
    try:
        (found,) = convert(_Longer(recording), [job], policy, 0, sink)
    finally:
        recording.close()
    return time.process_time() - begin, sum(sweep.points for sweep in found.sweeps)


def lidar(folder: Path) -> None:
    """One row per model, and one over all."""
    del folder
    policies = load_policies()
    rows, totals = [], [0.0, 0.0]
    for spec_name, home in SPECS.items():
        bag = next((REAL_DATA / "tier4_nebula_lidar" / "sample" / home).glob("*/metadata.yaml")).parent
        files = {path.name: path for path in sorted(bag.iterdir())}
        (sensor,) = policies[f"vehicles/{spec_name}"]["sensors"].values()
        calibration = parse_lidar_calibration(policies[f"calibrations/{sensor['calibration']}"])
        with tempfile.TemporaryDirectory() as scratch:
            job = LidarJob(spec_name, sensor["channel"], calibration, lambda _: "clip", (), Path(scratch) / "lidar.zip")
            alone, whole, points = _rounds(files, job, policies["lidar"])
            size = job.path.stat().st_size
        ratios = [b / a for a, b in zip(alone, whole, strict=True)]
        totals[0] += statistics.median(alone)
        totals[1] += statistics.median(whole)
        rows.append(
            {
                "what": spec_name,
                "decoding_ns_per_point": statistics.median(alone) / points * 1e9,
                "to_zarr_ns_per_point": statistics.median(whole) / points * 1e9,
                "ratio": statistics.median(whole) / statistics.median(alone),
                "lowest": min(ratios),
                "highest": max(ratios),
                "bytes_per_point": size / points,
            }
        )
    blank = {
        "decoding_ns_per_point": "",
        "to_zarr_ns_per_point": "",
        "lowest": "",
        "highest": "",
        "bytes_per_point": "",
    }
    rows.append({"what": f"all (at most {LIMIT})", **blank, "ratio": totals[1] / totals[0]})
    report(f"lidar to Zarr against decoding alone, {ROUNDS} rounds", rows)


def _rounds(
    files: Mapping[str, Path], job: LidarJob, policy: Mapping[str, Any]
) -> tuple[Sequence[float], Sequence[float], int]:
    """CPU seconds of each round without and with the file, and points; the first round only warms up."""
    alone, whole, points = [], [], 0
    for _ in range(ROUNDS + 1):
        seconds, points = _once(files, job, policy, _Discard)
        alone.append(seconds)
        whole.append(_once(files, job, policy, SweepWriter)[0])
    return alone[1:], whole[1:], points
