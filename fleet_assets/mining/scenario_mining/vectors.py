"""Vectors of clips: joined from modalities, and searched exactly block by block.

Here belongs what comparing two clips means. Where vectors lie is behind `VectorSource`; memory is that of a block and
of one number per clip, however many vectors there are.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

DECIMALS: Final = 6
"""Cosines are equal when they agree to so many: the last bits of arithmetic must not decide."""
_NO_VARIANCE: Final = 1e-10
"""Share of the largest variance below which a component is rounding."""
_AT_MEAN: Final = 0.01
"""Beside a typical distance from the mean of one: equal vectors stay equal where all of them are."""
Matrix = NDArray[np.float32]


@dataclass(frozen=True)
class Block:
    """Vectors of some clips.

    Attributes:
        clips: Clips that have any vector.
        vectors: float32[n, d] by modality; rows of zeros where a clip has none.
    """

    clips: Sequence[str]
    vectors: Mapping[str, Matrix]


class VectorSource(Protocol):
    """Gives vectors away, always in the same order."""

    def blocks(self, size: int) -> Iterator[Block]:
        """All vectors, so many clips at a time."""
        ...


def unit(rows: Matrix) -> Matrix:
    """Rows of length one; rows of zeros stay."""
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(np.divide(rows, lengths, out=np.zeros_like(rows), where=lengths > 0.0), dtype=np.float32)


@dataclass(frozen=True)
class Axes:
    """Principal components of one modality.

    Attributes:
        mean: float32[d].
        components: float32[k, d]; the largest variance first.
        scale: Typical distance from the mean, which is one afterwards.
    """

    mean: NDArray[np.float32]
    components: Matrix
    scale: float

    @property
    def width(self) -> int:
        """Columns of projected rows."""
        return len(self.components) + 1

    def __call__(self, rows: Matrix) -> Matrix:
        """Rows along the components, float32[n, k + 1]; the last column gives a row at the mean a direction, too."""
        along = (rows - self.mean) @ self.components.T / np.float32(self.scale)
        return np.hstack([along, np.full((len(rows), 1), _AT_MEAN, dtype=np.float32)])


def principal_axes(rows: Matrix, most: int) -> Axes:
    """Mean and principal components of rows, each component with its largest entry positive.

    Args:
        rows: float32[n, d].
        most: Components that are kept at most.
    """
    exact = rows.astype(np.float64)
    mean = exact.mean(axis=0)
    values, components = np.linalg.eigh((exact - mean).T @ (exact - mean))
    values, components = values[::-1], components.T[::-1]
    rank = int((values > values[0] * _NO_VARIANCE).sum())
    kept = components[: min(most, max(1, rank))]
    largest = np.take_along_axis(kept, np.abs(kept).argmax(axis=1)[:, None], axis=1)
    scale = float(np.sqrt(values.clip(0.0).sum() / len(rows)))
    directed = (kept * np.where(largest < 0.0, -1.0, 1.0)).astype(np.float32)
    return Axes(mean.astype(np.float32), directed, scale or 1.0)


@dataclass(frozen=True)
class Embedding:
    """How the modalities of a clip become one vector of length one.

    Attributes:
        weights: Weight by modality.
        axes: Principal components by modality.
        normalise: Whether each modality's vector has length one before they are joined.
    """

    weights: Mapping[str, float]
    axes: Mapping[str, Axes]
    normalise: bool

    def __call__(self, block: Block) -> Matrix:
        """float32[n, k]: the cosine of two rows is the weighted mean of their modalities', where both have all."""
        parts = []
        for modality, axes in self.axes.items():
            rows = block.vectors[modality]
            there = rows.any(axis=1)
            found = np.zeros((len(rows), axes.width), dtype=np.float32)
            found[there] = axes(rows[there])
            parts.append((unit(found) if self.normalise else found) * np.float32(np.sqrt(self.weights[modality])))
        return unit(np.hstack(parts)) if parts else np.zeros((len(block.clips), 0), dtype=np.float32)


def fit_embedding(
    source: VectorSource, weights: Mapping[str, float], dimensions: int, *, normalise: bool, sample: int, block: int
) -> Embedding:
    """An embedding fitted on evenly spread vectors of a source.

    Args:
        source: The vectors.
        weights: Weight by modality.
        dimensions: Components that are kept of each modality.
        normalise: See `Embedding`.
        sample: Most vectors that are fitted on.
        block: Vectors that are held at a time.
    """
    count = sum(len(found.clips) for found in source.blocks(block))
    every = max(1, -(-count // sample))
    rows: dict[str, list[Matrix]] = {name: [] for name in weights}
    start = 0
    for found in source.blocks(block):
        chosen = np.arange((-start) % every, len(found.clips), every)
        start += len(found.clips)
        for name in weights:
            own = found.vectors[name][chosen]
            rows[name].append(own[own.any(axis=1)])
    whole = {name: np.vstack(parts) for name, parts in rows.items() if sum(map(len, parts))}
    axes = {name: principal_axes(parts, dimensions) for name, parts in whole.items()}
    return Embedding(dict(weights), axes, normalise)


def cosines(rows: Matrix, others: Matrix) -> NDArray[np.float64]:
    """float64[n, m] of rows of length one, rounded, in -1 to 1."""
    found = np.clip((rows @ others.T).astype(np.float64), -1.0, 1.0)
    return np.asarray(np.round(found, DECIMALS), dtype=np.float64)


def nearest_cosine(rows: Matrix, others: Matrix) -> NDArray[np.float64]:
    """The largest cosine of each row to any other, float64[n]; -1 where there is none."""
    if not len(others):
        return np.full(len(rows), -1.0)
    return np.asarray(cosines(rows, others).max(axis=1), dtype=np.float64)


def best(scores: NDArray[np.float64], order: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    """Indices of the largest scores, best first; of equal ones those that come first in the order."""
    if most < len(scores):
        limit = np.partition(scores, len(scores) - most)[len(scores) - most]
        found = np.flatnonzero(scores >= limit)
    else:
        found = np.arange(len(scores))
    ranked = found[np.lexsort((order[found], -scores[found]))]
    return np.asarray(ranked[:most], dtype=np.int64)


def without_duplicates(
    rows: Matrix, known: Matrix, is_new: Callable[[int], bool], *, threshold: float, most: int, block: int
) -> NDArray[np.int64]:
    """The first rows of which none is near an earlier one that was kept, nor near a known one.

    Args:
        rows: float32[n, k] of length one, in the order in which they are looked at.
        known: Rows that none may be near.
        is_new: Has the last word on a row, given its index; asked only of rows that would be kept.
        threshold: Cosine from which two are the same.
        most: Rows that are kept at most.
        block: Rows that are compared at a time.
    """
    kept: list[int] = []
    for start in range(0, len(rows), block):
        own = rows[start : start + block]
        earlier = np.vstack([known, rows[kept]])
        free = nearest_cosine(own, earlier) < threshold
        among = cosines(own, own) >= threshold
        taken: list[int] = []
        for index in np.flatnonzero(free):
            if len(kept) + len(taken) == most:
                break
            if not among[index, taken].any() and is_new(start + int(index)):
                taken.append(int(index))
        kept += [start + index for index in taken]
        if len(kept) == most:
            break
    return np.asarray(kept, dtype=np.int64)
