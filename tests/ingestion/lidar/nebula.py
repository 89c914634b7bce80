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
# fmt: off
DEVICE_ELEVATION_DEG = {
    "hesai_40p": (
        14.794, 10.944, 7.971, 4.969, 2.952, 1.94, 1.6, 1.263, 0.925, 0.587,
        0.249, -0.088, -0.425, -0.763, -1.101, -1.439, -1.776, -2.116, -2.453, -2.788,
        -3.128, -3.463, -3.8, -4.138, -4.473, -4.808, -5.145, -5.479, -5.814, -6.149,
        -7.151, -8.147, -9.148, -10.133, -11.12, -12.094, -13.062, -14.018, -18.977, -24.985,
    ),
    "hesai_xt32": (
        14.972363, 13.952372, 12.938632, 11.931141, 10.926151, 9.922410, 8.917419, 7.917429,
        6.919938, 5.919947, 4.922456, 3.924965, 2.929974, 1.936233, 0.944992, -0.047500,
        -1.039991, -2.036232, -3.028723, -4.024964, -5.019955, -6.016196, -7.013687, -8.013678,
        -9.011169, -10.011159, -11.006150, -12.003641, -12.996131, -13.997372, -15.004862, -16.023602,
    ),
}
"""What that decoder was given for these two devices: by channel, of its published calibration files.

Source: tier4/nebula (Apache-2.0), nebula_hesai/calibration/Pandar40P.csv at 4907a10 and
nebula_hesai/nebula_decoders_hesai/calibration/PandarXT32.csv at bc795d4.
"""
DEVICE_AZIMUTH_DEG = {
    "hesai_xt32": (
        0.082385, 0.076529, 0.078240, 0.076267, 0.064337, 0.059942, 0.049319, 0.044992,
        0.034446, 0.027658, 0.020896, 0.014147, 0.008668, -0.000548, -0.007248, -0.015201,
        -0.025654, -0.031126, -0.037837, -0.045822, -0.061312, -0.065570, -0.068599, -0.076658,
        -0.088476, -0.091580, -0.098438, -0.092837, -0.102247, -0.104231, -0.118783, -0.129679,
    ),
}
"""Likewise; those of the Pandar40P are the manual's."""
# fmt: on
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


def device_calibration(folder: str) -> LidarCalibration:
    """The calibration of the very device that was recorded."""
    angles = load_policies()[f"calibrations/{MODELS[folder]}"]["angles"]
    azimuth = DEVICE_AZIMUTH_DEG.get(folder, angles["azimuth_deg"])
    own = {"elevation_deg": list(DEVICE_ELEVATION_DEG[folder]), "azimuth_deg": list(azimuth)}
    return calibration_of(folder, angles={**angles, **own})


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
