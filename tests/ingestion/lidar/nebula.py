"""The lidar recordings of TIER IV's decoder tests, each with one sweep as their decoder gave it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fleet_assets.ingestion.recordings.media import PayloadRecording
from fleet_assets.ingestion.recordings.messages.media_messages import Packets, packets_of
from fleet_assets.ingestion.recordings.open import open_recording
from fleet_assets.ingestion.sensor_sync_and_format_conversion.lidar.models import fields_of
from fleet_assets.ingestion.sensor_sync_and_format_conversion.lidar.returns import (
    Returns,
    Steering,
    packet_times,
    returns_of,
    steered,
)
from fleet_assets.policy.documents import load_policies
from fleet_assets.policy.lidar_calibration import LidarCalibration, parse_lidar_calibration

MODELS = {
    "velodyne_vlp16": "velodyne_vlp16",
    "velodyne_vlp32": "velodyne_vlp32c",
    "hesai_40p": "hesai_pandar40p",
    "hesai_xt32": "hesai_pandarxt32",
}
"""Folder → calibration."""
TOLERANCE_NS = 10_000_000


@dataclass(frozen=True)
class Scans:
    """The messages of one recording, and the sweep that another decoder made.

    Attributes:
        messages: Log time and packets of each message.
        truth: Fields of its points.
        truth_at: Index of the message on which it gave the sweep.
    """

    messages: list[tuple[int, Packets]]
    truth: NDArray[Any]
    truth_at: int

    @property
    def places(self) -> NDArray[np.float64]:
        """float64[n, 3] of the truth."""
        return np.stack([self.truth[axis] for axis in "xyz"], axis=1).astype(np.float64)


def read_pcd(path: Path) -> NDArray[Any]:
    """Points of a binary PCD file."""
    raw = path.read_bytes()
    begin = raw.index(b"DATA binary\n") + 12
    lines = [line.split() for line in raw[:begin].decode().splitlines() if not line.startswith("#")]
    header = {line[0]: line[1:] for line in lines}
    kinds = {"F": "f", "U": "u", "I": "i"}
    columns = zip(header["FIELDS"], header["SIZE"], header["TYPE"], strict=True)
    dtype = np.dtype([(name, kinds[kind] + size) for name, size, kind in columns])
    return np.frombuffer(raw[begin:], dtype, int(header["POINTS"][0]))


def scans_of(real_data: Path, folder: str) -> Scans:
    """Read one of the recordings."""
    home = real_data / "tier4_nebula_lidar" / "sample" / folder
    bag = next(home.glob("*/metadata.yaml")).parent
    recording = open_recording({path.name: path for path in bag.iterdir()})
    assert isinstance(recording, PayloadRecording)
    try:
        channels = {channel.name for channel in recording.channels()}
        messages = [(one.t_ns, packets_of(one.kind.reader()(bytes(one.data)))) for one in recording.payloads(channels)]
    finally:
        recording.close()
    (pcd,) = home.glob("*.pcd")
    times = [t_ns for t_ns, _ in messages]
    return Scans(messages, read_pcd(pcd), times.index(int(pcd.stem)))


def calibration_of(folder: str, **changes: Any) -> LidarCalibration:
    """The shipped calibration of a recording's lidar, with some keys of its document changed."""
    return parse_lidar_calibration({**load_policies()[f"calibrations/{MODELS[folder]}"], **changes})


def decoded(scans: Scans, calibration: LidarCalibration, steering: Steering = steered) -> list[Returns]:
    """Decode all messages, one after the other."""
    found: list[Returns] = []
    for _, packets in scans.messages:
        broken: dict[str, int] = {}
        for rows, fields in fields_of(calibration.model, packets.data, broken):
            arrival = np.array(packets.arrival_ns, dtype=np.int64)[rows]
            times = packet_times(arrival, fields.stated_ns, fields.period_ns, TOLERANCE_NS)
            before = found[-1].last_azimuth if found else None
            found.append(returns_of(fields, times, calibration, azimuth_before=before, steering=steering))
        assert not broken
    return found
