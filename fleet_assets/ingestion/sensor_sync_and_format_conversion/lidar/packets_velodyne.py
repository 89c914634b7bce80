"""Packets of Velodyne's VLP-16 and VLP-32C: twelve blocks of two banks or of 32 lasers, and a factory field.

Here belongs where the fields lie. What becomes of them is in `returns.py`.

Source: VLP-16 User Manual, VLP-32C User Manual, data packet format.
"""

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fleet_assets.ingestion.sensor_sync_and_format_conversion.lidar.packet_runs import BROKEN, runs_of
from fleet_assets.ingestion.sensor_sync_and_format_conversion.lidar.returns import PacketFields

PACKET_BYTES: Final = 1206
MODES: Final = {0x37: False, 0x38: False, 0x39: True}
"""Return mode → whether it is dual: strongest, last, both."""
_BLOCKS, _BLOCK_BYTES, _UNITS, _UNIT_BYTES = 12, 100, 32, 3
_MARK: Final = 0xEEFF
_TIME, _MODE = 1200, 1204
_NS_PER_US: Final = 1000
_HOUR_NS: Final = 3_600_000_000_000


def velodyne_fields(
    packets: Sequence[bytes | memoryview], broken: dict[str, int]
) -> Iterator[tuple[NDArray[np.intp], PacketFields]]:
    """Yield the fields of packets, one run of packets of one return mode after the other.

    Args:
        packets: Packets of one message.
        broken: Packets left out, by reason; counted up.

    Yields:
        Indices of the packets, and their fields.
    """
    for rows, data in runs_of(packets, PACKET_BYTES, broken):
        mode = data[:, _MODE]
        for value in np.unique(mode):
            chosen = mode == value
            if int(value) not in MODES:
                reason = BROKEN.format("return mode", hex(int(value)))
                broken[reason] = broken.get(reason, 0) + int(chosen.sum())
                continue
            yield rows[chosen], _fields(data if chosen.all() else data[chosen], dual=MODES[int(value)])


def _fields(data: NDArray[np.uint8], *, dual: bool) -> PacketFields:
    blocks = data[:, : _BLOCKS * _BLOCK_BYTES].reshape(-1, _BLOCKS, _BLOCK_BYTES)
    heads = np.ascontiguousarray(blocks[:, :, :4]).view("<u2")
    units = blocks[:, :, 4:].reshape(-1, _BLOCKS, _UNITS, _UNIT_BYTES)
    stated = np.ascontiguousarray(data[:, _TIME : _TIME + 4]).view("<u4")[:, 0]
    return PacketFields(
        azimuth=heads[:, :, 1].astype(np.int64),
        distance=np.ascontiguousarray(units[..., :2]).view("<u2")[..., 0],
        intensity=units[..., 2],
        sound=heads[:, :, 0] == _MARK,
        stated_ns=stated.astype(np.int64) * _NS_PER_US,
        period_ns=_HOUR_NS,
        dual=dual,
    )
