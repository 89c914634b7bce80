"""What an index of vectors can do, whichever database is behind it. `resources.vectors` implements it.

Here belong the protocol, its answers and its errors.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import pyarrow as pa

from fleet_assets.perception.vectors import Space, Vectors
from fleet_assets.provenance.ledger import Entry, Partition

Read = Callable[[Sequence[Entry]], pa.Table]
"""Rows of data files of `gold.clip_embeddings`."""


class NoIndexError(LookupError):
    """There is nothing to search, or not in this version."""


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A clip that was found.

    Attributes:
        clip_id: The clip.
        cosine: Its exact likeness, 1 at most.
        drive_id: Its drive.
        day: Partition.
        depot: Partition.
        start_ns: Its first instant, UTC nanoseconds.
        end_ns: Its end, exclusive.
    """

    clip_id: str
    cosine: float
    drive_id: str
    day: str
    depot: str
    start_ns: int
    end_ns: int


@dataclass(frozen=True, slots=True)
class IndexVersion:
    """One state of the index of a space.

    Attributes:
        space: The space.
        number: Counted from 1.
        root: Identity: Merkle root over its drives, each of which is one over (clip, model digest, vector digest).
        clips: Vectors.
        kind: `exact`, or of many vectors `ivf_flat` in files, `ivf_pq` in a bucket.
    """

    space: Space
    number: int
    root: str
    clips: int
    kind: str


@dataclass(frozen=True, slots=True)
class Synced:
    """What was done to bring the index up to date.

    Attributes:
        written: Drives whose vectors were written.
        removed: Drives whose vectors were taken out.
        versions: States of the spaces afterwards.
    """

    written: int
    removed: int
    versions: tuple[IndexVersion, ...]


class VectorIndex(Protocol):
    """Vectors of clips, by space."""

    def held(self, partition: Partition | None = None) -> dict[tuple[Partition, str], str]:
        """Digest of the data file whose vectors the index has, by partition and drive."""
        ...

    def versions(self) -> list[IndexVersion]:
        """States that are kept, oldest first."""
        ...

    def sync(self, entries: Sequence[Entry], read: Read, partition: Partition) -> Synced:
        """Bring one partition of the index to what the lake holds; nothing is done where it is so already."""
        ...

    def collect(self, spare: int = 0) -> int:
        """Drop versions beyond those that are kept, where there are more of them than are spared. Returns how many."""
        ...

    def vectors(self, space: Space, clips: Sequence[str]) -> Mapping[str, Any]:
        """Unit vectors float32[d] of clips, by clip; a clip that has none is left out."""
        ...

    def placed(self, space: Space, clips: Sequence[str]) -> Mapping[str, Neighbour]:
        """Clips and where they lie, by clip; one that has no vector is left out."""
        ...

    def scan(self, space: Space) -> Iterator[tuple[Sequence[str], Vectors]]:
        """All clips and unit vectors of a space, block by block."""
        ...

    def search(
        self, space: Space, queries: Vectors, count: int, *, version: int | None = None
    ) -> list[list[Neighbour]]:
        """The nearest clips of each query, best first, equal ones by clip.

        Args:
            space: Which vectors.
            queries: Unit vectors, float32[q, d].
            count: Neighbours wanted.
            version: Number of a kept state; the latest one when None.

        Raises:
            NoIndexError: When there is no such space or version.
        """
        ...
