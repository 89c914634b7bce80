"""What a vector is identified and compared by: digests, Merkle roots, unit length, cosines.

Here belongs the exact arithmetic that gates, mining and the index share. Where vectors are kept is the resource's
business (`resources/vectors.py`).
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa
from numpy.typing import ArrayLike, NDArray

from fleet_assets.provenance.digests import merkle_root

Vectors = NDArray[np.float32]
"""float32[n, d], one vector a row."""
_DECIMALS: Final = 12


@dataclass(frozen=True, slots=True, order=True)
class Space:
    """Vectors that can be compared with each other.

    Attributes:
        modality: Modality of the policy `embeddings`.
        model_digest: What made them.
        model: What that is called.
        dimensions: Their length.
    """

    modality: str
    model_digest: str
    model: str
    dimensions: int

    @property
    def label(self) -> str:
        """Name that is short and unique: modality and first digits of the digest."""
        return f"{self.modality}-{self.model_digest[:16]}"


def vector_sha256(vector: ArrayLike) -> str:
    """SHA-256 (hex) over a vector's numbers, float32 little endian."""
    return hashlib.sha256(np.ascontiguousarray(vector, dtype="<f4").tobytes()).hexdigest()


def matrix(column: pa.ChunkedArray) -> Vectors:
    """A column of equally long lists as float32[n, d].

    Raises:
        ValueError: When the lists differ in length.
    """
    together = column.combine_chunks()
    lists = together.chunk(0) if isinstance(together, pa.ChunkedArray) else together
    count = len(lists)
    if pa.types.is_fixed_size_list(lists.type):
        fixed: NDArray[np.float32] = lists.flatten().to_numpy(zero_copy_only=False)
        return fixed.reshape(count, lists.type.list_size)
    numbers: NDArray[np.float32] = lists.flatten().to_numpy(zero_copy_only=False).astype(np.float32, copy=False)
    if count == 0:
        return np.empty((0, 0), dtype=np.float32)
    width = len(numbers) // count
    lengths = lists.value_lengths().to_numpy(zero_copy_only=False)
    if not (lengths == width).all():
        raise ValueError(f"vectors of {sorted(set(lengths.tolist()))} numbers in one space; one model gives one length")
    return numbers.reshape(count, width)


def units(vectors: ArrayLike) -> Vectors:
    """Vectors of length one in the same direction; a vector of zeros stays one. float32[n, d]."""
    return _directions(vectors).astype(np.float32)


def _directions(vectors: ArrayLike) -> NDArray[np.float64]:
    given = np.asarray(vectors, dtype=np.float64)
    norms = np.linalg.norm(given, axis=-1, keepdims=True)
    return np.asarray(given / np.where(norms > 0.0, norms, 1.0))


def cosines(queries: Vectors, others: Vectors) -> NDArray[np.float64]:
    """Cosines of vectors, float64[q, n]; 0 to a vector of zeros.

    Rounded, since products of matrices of another shape may differ in their last bits: equal vectors are equally near.
    """
    one, other = (_directions(vectors) for vectors in (queries, others))
    return np.round(one @ other.T, _DECIMALS)


def cosines_of_pairs(ones: Vectors, others: Vectors) -> NDArray[np.float64]:
    """Cosines of vectors and their counterparts, float64[n], rounded like `cosines`."""
    products: NDArray[np.float64] = _directions(ones) * _directions(others)
    return np.asarray(np.round(products.sum(axis=1), _DECIMALS))


def drive_root(rows: Iterable[tuple[str, str, str]]) -> str:
    """Merkle root over (clip, model digest, vector digest)."""
    return merkle_root((f"{clip}\x00{model_digest}", digest) for clip, model_digest, digest in rows)


def by_space(rows: pa.Table) -> Iterator[tuple[Space, pa.Table]]:
    """Rows of `gold.clip_embeddings` by space, spaces in order.

    Args:
        rows: Rows with at least modality, model, model_digest and vector.
    """
    import pyarrow.compute as pc

    keys = ["modality", "model_digest", "model"]
    named = rows.group_by(keys, use_threads=False).aggregate([]).to_pylist()
    for key in sorted(named, key=lambda one: [one[name] for name in keys]):
        own = rows.filter(
            pc.and_(pc.equal(rows["modality"], key["modality"]), pc.equal(rows["model_digest"], key["model_digest"]))
        )
        width = len(own["vector"][0])
        yield Space(key["modality"], key["model_digest"], key["model"], width), own


def nearest(
    queries: Vectors, blocks: Iterable[tuple[Sequence[str], Vectors]], count: int
) -> list[list[tuple[str, float]]]:
    """The exact nearest neighbours of each query, best first, equal ones by clip.

    Args:
        queries: Unit vectors, float32[q, d].
        blocks: Clips and unit vectors float32[n, d], block by block; memory is that of one block.
        count: Neighbours wanted.

    Returns:
        (clip, cosine) of each query.
    """
    best: list[list[tuple[str, float]]] = [[] for _ in queries]
    for clips, vectors in blocks:
        for row, own in enumerate(cosines(queries, vectors)):
            few = np.argpartition(-own, count - 1)[:count] if len(own) > count else np.arange(len(own))
            # Whoever is as near as the last one may come before it by name.
            level = own[few].min() if len(own) > count else -np.inf
            kept = np.flatnonzero(own >= level) if len(own) > count else few
            merged = [*best[row], *((clips[at], float(own[at])) for at in kept)]
            best[row] = sorted(merged, key=lambda one: (-one[1], one[0]))[:count]
    return best
