"""Sweeps in one file: a Zarr v3 group inside a stored zip, one array per property over the points of all sweeps.

Arrays `x`, `y`, `z` (m, sensor frame), `intensity`, `ring`, `time_offset_ns` (since the sweep's earliest point) have
one value per point; `sweep_start` has one more value than sweeps: points of sweep i are `[start[i]:start[i+1]]`.
The same sweeps give the same bytes. Any Zarr reader opens the file; the arrays are sharded, so that a reader of one
sweep fetches little.

Source: zarr-specs.readthedocs.io, v3 core and sharding-indexed codec.
"""

import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from fleet_assets.ingestion.sensor_sync_and_format_conversion.lidar.sweeps import Sweep

COLUMNS: Final[Mapping[str, str]] = {
    "x": "float32",
    "y": "float32",
    "z": "float32",
    "intensity": "float32",
    "ring": "uint16",
    "time_offset_ns": "int32",
}
"""Array → type."""
SWEEP_START: Final = "sweep_start"
PLAIN: Final = frozenset({"x", "y", "z"})
"""Arrays that are not compressed."""
_METADATA: Final = "zarr.json"
_NO_TIME: Final = (1980, 1, 1, 0, 0, 0)
_READABLE: Final = 0o644 << 16


@dataclass(frozen=True, slots=True)
class ShardPolicy:
    """Points of a shard and of a chunk inside it, and the level of compression."""

    points: int
    chunk_points: int
    lz4_level: int


def _entry(file: zipfile.ZipFile, name: str, content: bytes | memoryview) -> None:
    info = zipfile.ZipInfo(name, _NO_TIME)
    info.compress_type, info.external_attr, info.create_system = zipfile.ZIP_STORED, _READABLE, 3
    file.writestr(info, content)


def _zip_store(file: zipfile.ZipFile) -> Any:
    """A Zarr store that puts chunks into the zip at once, and keeps metadata until they are final."""
    from zarr.core.buffer import Buffer
    from zarr.storage import MemoryStore

    class ZipSink(MemoryStore):
        async def set(self, key: str, value: Buffer, byte_range: tuple[int, int] | None = None) -> None:
            if key.endswith(_METADATA):
                await super().set(key, value, byte_range)
            else:
                # As it lies in memory: a copy of every shard would cost as much as writing it.
                _entry(file, key, np.asarray(value.as_numpy_array()).data)

        def finish(self) -> None:
            for key in sorted(self._store_dict):
                _entry(file, key, self._store_dict[key].to_bytes())

    return ZipSink()


class SweepSink(Protocol):
    """Takes sweeps one after the other.

    Attributes:
        starts: Index of each sweep's first point, and of the one after the last.
    """

    starts: list[int]

    def add(self, sweep: Sweep) -> None:
        """Append a sweep."""
        ...

    def close(self) -> None:
        """Finish."""
        ...

    def abandon(self) -> None:
        """Give up without finishing."""
        ...


class SweepWriter:
    """Writes sweeps one after the other; holds one shard's points in memory.

    Args:
        path: File to write.
        policy: Sizes.
        attributes: What the group states about itself; JSON values.
    """

    def __init__(self, path: Path, policy: ShardPolicy, attributes: Mapping[str, Any]) -> None:
        import zarr

        self._zip = zipfile.ZipFile(path, "w", zipfile.ZIP_STORED, allowZip64=True)
        self._store = _zip_store(self._zip)
        self._policy = policy
        group = zarr.create_group(self._store, attributes=dict(attributes), zarr_format=3)
        self._group = group
        self._arrays = {name: self._array(name, dtype) for name, dtype in COLUMNS.items()}
        self._held = {name: np.empty(policy.points, dtype=dtype) for name, dtype in COLUMNS.items()}
        self._filled = self._written = 0
        self.starts = [0]

    def _array(self, name: str, dtype: str) -> Any:
        from zarr.codecs import BloscCodec

        level = self._policy.lz4_level
        compressor = BloscCodec(cname="lz4", clevel=level, shuffle="shuffle")
        return self._group.create_array(
            name,
            shape=(0,),
            dtype=dtype,
            chunks=(self._policy.chunk_points,),
            shards=(self._policy.points,),
            compressors=None if name in PLAIN else compressor,
            fill_value=0,
        )

    def add(self, sweep: Sweep) -> None:
        """Append a sweep."""
        points = sweep.points
        offset = (points.t_ns - sweep.t_ns).astype(np.int32)
        columns = (*points.xyz, points.intensity, points.ring, offset)
        done, count = 0, len(points)
        while done < count:
            part = min(count - done, self._policy.points - self._filled)
            for held, column in zip(self._held.values(), columns, strict=True):
                held[self._filled : self._filled + part] = column[done : done + part]
            done += part
            self._filled += part
            if self._filled == self._policy.points:
                self._flush()
        self.starts.append(self.starts[-1] + count)

    def _flush(self) -> None:
        begin, end = self._written, self._written + self._filled
        for name, array in self._arrays.items():
            array.resize((end,))
            # What a shard lacks at the end of the file must stay empty; in a full one, looking for that costs time.
            target = array.with_config({"write_empty_chunks": self._filled == self._policy.points})
            target[begin:end] = self._held[name][: self._filled]
        self._written, self._filled = end, 0

    def close(self) -> None:
        """Finish the file."""
        if self._filled:
            self._flush()
        starts = np.array(self.starts, dtype=np.int64)
        array = self._group.create_array(
            SWEEP_START, shape=starts.shape, dtype=starts.dtype, chunks=starts.shape, compressors=None, fill_value=0
        )
        array[:] = starts
        self._store.finish()
        self._zip.close()

    def abandon(self) -> None:
        """Close the file without finishing it."""
        self._zip.close()


def sweep_starts(path: Path) -> NDArray[np.int64]:
    """Index of each sweep's first point and of the one after the last, int64[sweeps + 1], without opening the arrays.

    Raises:
        zipfile.BadZipFile: When the file is damaged.
    """
    with zipfile.ZipFile(path) as file:
        # Written as one chunk that is not compressed, see `SweepWriter.close`.
        return np.frombuffer(file.read(f"{SWEEP_START}/c/0"), dtype="<i8")


def read_sweeps(path: Path, first: int = 0, count: int | None = None) -> Iterator[dict[str, NDArray[Any]]]:
    """Yield sweeps as columns.

    Args:
        path: File of a `SweepWriter`.
        first: First sweep.
        count: How many; all that follow when None.
    """
    import zarr

    store = zarr.storage.ZipStore(path, mode="r")
    try:
        group: Any = zarr.open_group(store, mode="r")
        starts = group[SWEEP_START][:]
        end = len(starts) - 1 if count is None else min(first + count, len(starts) - 1)
        for number in range(first, end):
            rows = slice(int(starts[number]), int(starts[number + 1]))
            yield {name: group[name][rows] for name in COLUMNS}
    finally:
        store.close()
