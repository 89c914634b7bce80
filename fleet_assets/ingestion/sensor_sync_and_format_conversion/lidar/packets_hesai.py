"""Packets of Hesai's Pandar40P and PandarXT-32.

Here belongs where the fields lie. What becomes of them is in `returns.py`.

Source: Pandar40P User Manual, PandarXT User Manual, point cloud data packet.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fleet_assets.ingestion.sensor_sync_and_format_conversion.lidar.packet_runs import BROKEN, runs_of
from fleet_assets.ingestion.sensor_sync_and_format_conversion.lidar.returns import PacketFields

SINGLE_MODES: Final = frozenset({0x33, 0x34, 0x37, 0x38})
"""First, second, strongest, last."""
DUAL_MODES: Final = frozenset({0x39, 0x3A, 0x3B, 0x3C, 0x3E})
"""Two of them, in two blocks each."""
_BLOCK_MARK: Final = 0xEEFF
_PACKET_MARK: Final = 0xFFEE
_NS_PER_US: Final = 1000
_SECOND_NS: Final = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the fields of a model lie, in bytes from the start of the packet.

    Attributes:
        size: Bytes up to the last field.
        start: First block.
        blocks: Blocks.
        units: Units of a block.
        unit_bytes: Bytes of a unit: distance, intensity, and what is not used.
        marked: Whether every block bears a mark; else the packet does.
        mode: Return mode.
        time: Microseconds since the full second.
    """

    size: int
    start: int
    blocks: int
    units: int
    unit_bytes: int
    marked: bool
    mode: int
    time: int


PANDAR40P: Final = Layout(1262, 0, 10, 40, 3, marked=True, mode=1254, time=1250)
PANDARXT32: Final = Layout(1076, 12, 8, 32, 4, marked=False, mode=1062, time=1071)


def hesai_fields(
    layout: Layout, packets: Sequence[bytes | memoryview], broken: dict[str, int]
) -> Iterator[tuple[NDArray[np.intp], PacketFields]]:
    """Yield the fields of packets, one run of packets of one return mode after the other.

    Args:
        layout: Model.
        packets: Packets of one message.
        broken: Packets left out, by reason; counted up.

    Yields:
        Indices of the packets, and their fields.
    """
    for rows, data in runs_of(packets, layout.size, broken):
        mode = data[:, layout.mode]
        for value in np.unique(mode):
            chosen = mode == value
            if int(value) not in SINGLE_MODES | DUAL_MODES:
                reason = BROKEN.format("return mode", hex(int(value)))
                broken[reason] = broken.get(reason, 0) + int(chosen.sum())
                continue
            own = data if chosen.all() else data[chosen]
            yield rows[chosen], _fields(own, layout, dual=int(value) in DUAL_MODES)


def _fields(data: NDArray[np.uint8], layout: Layout, *, dual: bool) -> PacketFields:
    head = 4 if layout.marked else 2
    width = head + layout.units * layout.unit_bytes
    blocks = data[:, layout.start : layout.start + layout.blocks * width].reshape(-1, layout.blocks, width)
    heads = np.ascontiguousarray(blocks[:, :, :head]).view("<u2")
    units = blocks[:, :, head:].reshape(-1, layout.blocks, layout.units, layout.unit_bytes)
    if layout.marked:
        sound = heads[:, :, 0] == _BLOCK_MARK
    else:
        mark = np.ascontiguousarray(data[:, :2]).view("<u2") == _PACKET_MARK
        sound = np.repeat(mark, layout.blocks, axis=1)
    stated = np.ascontiguousarray(data[:, layout.time : layout.time + 4]).view("<u4")[:, 0]
    return PacketFields(
        azimuth=heads[:, :, -1].astype(np.int64),
        distance=np.ascontiguousarray(units[..., :2]).view("<u2")[..., 0],
        intensity=units[..., 2],
        sound=sound,
        stated_ns=stated.astype(np.int64) * _NS_PER_US,
        period_ns=_SECOND_NS,
        dual=dual,
    )
