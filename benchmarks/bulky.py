"""Recordings of a stated size for the memory benchmark: mostly camera-sized blobs, or CAN frames only."""

from pathlib import Path
from typing import Any, Final

import numpy as np

from tests.formats_factory import Topic, write_topics
from tests.mdf4_factory import write_mdf4_frames

BLOB_BYTES: Final = 1 << 20
BLOB_RATE_HZ: Final = 10
CAN_RATE_HZ: Final = 2000
MDF_ROW_BYTES: Final = 24
CANDUMP_LINE_BYTES: Final = 48
_CHUNK_ROWS: Final = 500_000


def write_bulky_drive(folder: Path, name: str, *, megabytes: int, start_utc_ns: int) -> Path:
    """Write a recording of about `megabytes` MB: ROS formats hold 1 MiB images at 10 Hz, the others CAN."""
    folder.mkdir(parents=True)
    if name == "mdf4":
        rows = megabytes * 1_000_000 // MDF_ROW_BYTES
        rng = np.random.default_rng(1)
        frames = rng.integers(0, 256, (rows, 8), dtype=np.uint8)
        write_mdf4_frames(folder / "drive.MF4", start_utc_ns, np.arange(rows) / CAN_RATE_HZ, np.full(rows, 16), frames)
    elif name == "candump":
        _write_candump(folder / "drive.log", megabytes * 1_000_000 // CANDUMP_LINE_BYTES, start_utc_ns)
    else:
        write_topics(folder, name, [_Blobs(megabytes, start_utc_ns).topic()])
    return folder


def _write_candump(path: Path, rows: int, start_utc_ns: int) -> None:
    with path.open("w") as stream:
        for first in range(0, rows, _CHUNK_ROWS):
            stamps = start_utc_ns // 1000 + np.arange(first, min(rows, first + _CHUNK_ROWS)) * 1_000_000 // CAN_RATE_HZ
            stream.writelines(
                f"({us // 1_000_000}.{us % 1_000_000:06d}) can0 010#{us % (1 << 63):016X}\n" for us in stamps.tolist()
            )


class _Blobs:
    """Images made one at a time, so that writing does not hold them all."""

    def __init__(self, megabytes: int, start_utc_ns: int) -> None:
        self.count, self.start_ns = megabytes * 1_000_000 // BLOB_BYTES, start_utc_ns
        self.noise = np.random.default_rng(1).integers(0, 256, BLOB_BYTES + 4096, dtype=np.uint8)

    def topic(self) -> Topic:
        """The topic with all images."""
        step = 1_000_000_000 // BLOB_RATE_HZ
        messages = [(self.start_ns + index * step, self._build(index)) for index in range(self.count)]
        return Topic("/camera", "sensor_msgs/msg/CompressedImage", messages)

    def _build(self, index: int) -> Any:
        def build(store: Any) -> Any:
            types = store.types
            stamp = types["builtin_interfaces/msg/Time"](sec=index, nanosec=0)
            kind = types["std_msgs/msg/Header"]
            numbered = {"seq": 0} if "seq" in kind.__dataclass_fields__ else {}
            data = self.noise[index % 4096 : index % 4096 + BLOB_BYTES]
            header = kind(stamp=stamp, frame_id="camera", **numbered)
            return types["sensor_msgs/msg/CompressedImage"](header=header, format="jpeg", data=data)

        return build
