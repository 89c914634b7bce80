"""Data files of `gold.clip_embeddings` for tests of what stands on them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa

from fleet_assets.perception.vectors import Space, nearest, units, vector_sha256
from fleet_assets.policy.documents import load_policies
from fleet_assets.provenance.ledger import Entry
from fleet_assets.tables.embeddings import CLIP_EMBEDDINGS
from resources.data_files import DataFiles
from resources.vectors import LanceVectors
from resources.vectors_database import LanceDatabase

NORTH, SOUTH = ("2024-05-01", "north"), ("2024-05-01", "south")
DIGEST: Final = "d" * 64
SPACE: Final = Space("image", DIGEST, "eyes", 8)
INDEX: Final[Mapping[str, Any]] = load_policies()["embeddings"]["index"]
SMALL: Final = {**INDEX, "exact_up_to": 60, "fit_on": 100, "reduce_to": 4, "rows_per_list": 20, "candidates": 8}
"""So that the index of many vectors begins at 61."""


def vectors_of(drive: str, clips: int, dimensions: int = SPACE.dimensions, seed: int = 0) -> np.ndarray:
    """Vectors of a drive's clips, float32[clips, dimensions]; equal for equal names."""
    generator = np.random.default_rng([seed, *drive.encode()])
    return generator.normal(size=(clips, dimensions)).astype(np.float32)


def embedding_rows(
    drive: str, vectors: np.ndarray, partition: tuple[str, str] = NORTH, modality: str = SPACE.modality
) -> list[dict[str, Any]]:
    """Rows of one modality of a drive."""
    day, depot = partition
    return [
        {
            "drive_id": drive, "day": day, "depot": depot, "clip_id": f"{drive}-{at:03d}", "modality": modality,
            "model": SPACE.model, "model_digest": DIGEST, "start_ns": at, "end_ns": at + 1, "items": 1,
            "vector": vector, "vector_sha256": vector_sha256(vector),
        }
        for at, vector in enumerate(vectors)
    ]  # fmt: skip


class Embeddings:
    """Data files in a folder, and how often they were read."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.files, self.reads = folder, DataFiles({}), 0

    def entry(self, drive: str, rows: list[dict[str, Any]], partition: tuple[str, str] = NORTH) -> Entry:
        """A drive's data file."""
        data = CLIP_EMBEDDINGS.from_rows(rows)
        return self.files.stage(str(self.folder / "lake"), partition, drive, "0" * 24, data)

    def drive(self, drive: str, clips: int = 6, partition: tuple[str, str] = NORTH, seed: int = 0) -> Entry:
        """A drive's data file with vectors of its own."""
        rows = embedding_rows(drive, vectors_of(drive, clips, seed=seed), partition)
        return self.entry(drive, rows, partition)

    def read(self, entries: Sequence[Entry]) -> pa.Table:
        """Rows of data files."""
        self.reads += len(entries)
        return self.files.read(CLIP_EMBEDDINGS, entries)


def index_in(folder: Path, policy: Mapping[str, Any] = INDEX) -> LanceVectors:
    """An index in a folder."""
    return LanceVectors(LanceDatabase(str(folder / "vectors"), {}), policy)


QUERY = units(vectors_of("query", 3))


def clips(index: LanceVectors, query: int = 0, count: int = 100, **more: Any) -> list[str]:
    """The clips that an index finds nearest to a query."""
    return [one.clip_id for one in index.search(SPACE, QUERY[query : query + 1], count, **more)[0]]


def exact(drives: Sequence[str], count: int, query: int = 0) -> list[str]:
    """The clips of some drives that are nearest to a query, by comparing all."""
    blocks = (([f"{drive}-{at:03d}" for at in range(6)], units(vectors_of(drive, 6))) for drive in drives)
    return [clip for clip, _ in nearest(QUERY[query : query + 1], blocks, count)[0]]
