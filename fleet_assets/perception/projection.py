"""Principal components of vectors: what an index of many of them is made of (Pearson, Phil. Mag. 2, 1901).

Distances between unit vectors are nearly those between their first components. Exact ones are taken afterwards.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fleet_assets.perception.vectors import Vectors, vector_sha256


@dataclass(frozen=True, slots=True, eq=False)
class Projection:
    """A linear map onto fewer numbers.

    Attributes:
        mean: float32[d], subtracted first.
        components: float32[r, d], orthonormal rows, those of the largest variance first.
        fitted_on: Vectors that there were when it was computed.
    """

    mean: NDArray[np.float32]
    components: NDArray[np.float32]
    fitted_on: int

    @property
    def digest(self) -> str:
        """SHA-256 over its numbers."""
        return vector_sha256(np.concatenate([self.mean, self.components.ravel()]))

    def __call__(self, vectors: Vectors) -> Vectors:
        """Components of vectors, float32[n, r]."""
        return np.asarray((vectors - self.mean) @ self.components.T, dtype=np.float32)


def fit(vectors: Vectors, dimensions: int, fitted_on: int) -> Projection:
    """Principal components of vectors.

    Args:
        vectors: float32[n, d].
        dimensions: Components wanted, at most d.
        fitted_on: Vectors that these stand for.
    """
    values = vectors.astype(np.float64)
    mean = values.mean(axis=0)
    _, axes = np.linalg.eigh(np.cov(values - mean, rowvar=False, bias=True))
    components = axes[:, ::-1][:, :dimensions].T
    # An axis has no direction of its own: its largest number is made positive.
    signs = np.sign(components[np.arange(len(components)), np.abs(components).argmax(axis=1)])
    return Projection(mean.astype(np.float32), (components * signs[:, None]).astype(np.float32), fitted_on)


def sample(blocks: Iterable[tuple[Sequence[str], Vectors]], most: int) -> Vectors:
    """At most so many vectors, chosen by their own bytes: equal sets give equal samples, in whatever order they come.

    Args:
        blocks: Clips and vectors, block by block.
        most: Vectors wanted.
    """
    kept: list[tuple[str, NDArray[np.float32]]] = []
    for clips, vectors in blocks:
        own = [(vector_sha256(vector) + clip, vector) for clip, vector in zip(clips, vectors, strict=True)]
        kept = sorted([*kept, *own], key=lambda one: one[0])[:most]
        kept = [(key, vector if vector.base is None else vector.copy()) for key, vector in kept]  # lets blocks go
    return np.array([vector for _, vector in kept], dtype=np.float32)
