"""Which module reads the packets of which model."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fleet_assets.ingestion.sensor_sync_and_format_conversion.lidar.packets_hesai import (
    PANDAR40P,
    PANDARXT32,
    hesai_fields,
)
from fleet_assets.ingestion.sensor_sync_and_format_conversion.lidar.packets_velodyne import velodyne_fields
from fleet_assets.ingestion.sensor_sync_and_format_conversion.lidar.returns import PacketFields

Runs = Iterator[tuple[NDArray[np.intp], PacketFields]]
_READERS: Final[Mapping[str, Callable[[Sequence[bytes | memoryview], dict[str, int]], Runs]]] = {
    "velodyne_vlp16": velodyne_fields,
    "velodyne_vlp32c": velodyne_fields,
    "hesai_pandar40p": partial(hesai_fields, PANDAR40P),
    "hesai_pandarxt32": partial(hesai_fields, PANDARXT32),
}


def fields_of(model: str, packets: Sequence[bytes | memoryview], broken: dict[str, int]) -> Runs:
    """Yield the fields of a model's packets, one run of packets of one return mode after the other.

    Args:
        model: As the schema of lidar calibrations lists them.
        packets: Packets of one message.
        broken: Packets left out, by reason; counted up.

    Yields:
        Indices of the packets, and their fields.
    """
    return _READERS[model](packets, broken)
