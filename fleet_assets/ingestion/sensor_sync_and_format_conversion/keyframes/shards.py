"""Keyframes of a drive as Parquet shards: many pictures in few objects.

Here belongs what a shard looks like. One row per picture: ``camera``, ``t_ns`` (corrected), ``width``, ``height``,
``jpeg``; in the order in which they were added. The same pictures give the same bytes.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

_GROUP_BYTES: Final = 8 << 20
"""Pictures that are held before they are written."""
SCHEMA: Final = pa.schema(
    [
        pa.field("camera", pa.string(), nullable=False),
        pa.field("t_ns", pa.int64(), nullable=False),
        pa.field("width", pa.int32(), nullable=False),
        pa.field("height", pa.int32(), nullable=False),
        pa.field("jpeg", pa.binary(), nullable=False),
    ]
)


class ShardWriter:
    """Writes pictures into one shard after the other.

    Args:
        folder: Where shards lie until they are stored.
        most_bytes: Pictures of one shard; a larger picture is a shard of its own.
        store: Stores a finished shard and gives its digest back.

    Attributes:
        places: For every picture the digest of its shard and its row there, once `close` was called.
    """

    def __init__(self, folder: Path, most_bytes: int, store: Callable[[Path], str]) -> None:
        self._folder, self._most_bytes, self._store = folder, most_bytes, store
        self._file: pq.ParquetWriter | None = None
        self._path = folder
        self._held: list[dict[str, Any]] = []
        self._held_bytes = self._shard_bytes = self._shard_rows = self._shards = 0
        self.places: list[tuple[str, int]] = []

    def add(self, camera: str, t_ns: int, jpeg: bytes, size: tuple[int, int]) -> str:
        """Append a picture.

        Returns:
            The picture's own digest.
        """
        if self._shard_rows and self._shard_bytes + len(jpeg) > self._most_bytes:
            self._finish()
        row = {"camera": camera, "t_ns": t_ns, "width": size[0], "height": size[1], "jpeg": jpeg}
        self._held.append(row)
        self._held_bytes += len(jpeg)
        self._shard_bytes += len(jpeg)
        self._shard_rows += 1
        if self._held_bytes >= _GROUP_BYTES:
            self._flush()
        return hashlib.sha256(jpeg).hexdigest()

    def _flush(self) -> None:
        if self._file is None:
            self._path = self._folder / f"{self._shards:06d}.parquet"
            self._file = pq.ParquetWriter(
                self._path, SCHEMA, compression="none", version="2.6", use_dictionary=["camera"], store_schema=False,
                write_statistics=["camera", "t_ns"],
            )  # fmt: skip
        self._file.write_table(pa.Table.from_pylist(self._held, SCHEMA), row_group_size=len(self._held))
        self._held, self._held_bytes = [], 0

    def _finish(self) -> None:
        if self._held:
            self._flush()
        if self._file is None:
            return
        self._file.close()
        digest = self._store(self._path)
        self._path.unlink()
        self.places += [(digest, row) for row in range(self._shard_rows)]
        self._file = None
        self._shards, self._shard_bytes, self._shard_rows = self._shards + 1, 0, 0

    def close(self) -> None:
        """Store the last shard."""
        self._finish()
