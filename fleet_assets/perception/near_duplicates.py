"""All pairs of vectors that are nearly the same, exactly, in memory that does not hold the vectors.

Whoever compares every vector with every other one needs either all of them at once or the square of their number. Here
a few components of each stay in memory, in a tree; the vectors lie in a file. Orthogonal components never lie farther
apart than the vectors do, so that the pairs that are near in the tree are all pairs that can be near at all; only these
are read from the file and compared. The components are those along which vectors differ most, which makes such pairs
few; nothing is lost where they are chosen badly.
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from tempfile import TemporaryFile
from typing import IO, Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fleet_assets.perception.vectors import Vectors, cosines_of_pairs

_COMPONENTS: Final = 12
_LEAF: Final = 32
_FITTED_TO: Final = 4096
"""Vectors by which the components are chosen."""
_CANDIDATES: Final = 1 << 18
"""Pairs that are looked at together."""
_COMPARED: Final = 1 << 14
"""Pairs whose vectors are in memory together."""
_ROUNDING: Final = 2e-6
"""What float32 and the components may add to a distance."""
Floats = NDArray[np.float64]
Places = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Twins:
    """Two vectors that are nearly the same.

    Attributes:
        first: Name of one.
        second: Name of the other; it came later.
        cosine: Of the angle between them.
    """

    first: str
    second: str
    cosine: float


def near_duplicates(blocks: Iterable[tuple[Sequence[str], Vectors]], least_cosine: float) -> Iterator[Twins]:
    """All pairs whose cosine is at least so much, in the order of the first one's place and the second one's.

    Args:
        blocks: Names and vectors, float32[n, d], block by block; each is read once. A vector of zeros is like none.
        least_cosine: Least cosine, above 0 and at most 1.

    Raises:
        ValueError: When the least cosine is none, or vectors differ in length.
    """
    if not 0.0 < least_cosine <= 1.0:
        raise ValueError(f"the least cosine is {least_cosine:g}; it has to be above 0 and at most 1")
    with TemporaryFile() as file:
        spilled = _spilled(blocks, file)
        if spilled is None:
            return
        reach = float(np.sqrt(2.0 - 2.0 * least_cosine)) + _ROUNDING
        for some in _candidates(spilled.components, reach):
            for start in range(0, len(some), _COMPARED):
                yield from _alike(spilled, some[start : start + _COMPARED], least_cosine)


@dataclass(frozen=True)
class _Spilled:
    """Vectors in a file, and what is known of them in memory.

    Attributes:
        file: float32, one vector after the other.
        width: Numbers of a vector.
        names: Of the vectors.
        places: int64[m], places of those that are not zero.
        components: float64[m, c], their components.
    """

    file: IO[bytes]
    width: int
    names: pa.ChunkedArray
    places: Places
    components: Floats

    def vectors(self, places: Places) -> Vectors:
        """Some of them, float32[n, d]."""
        size = 4 * self.width
        numbers = b"".join(os.pread(self.file.fileno(), size, place * size) for place in places.tolist())
        return np.frombuffer(numbers, dtype=np.float32).reshape(len(places), self.width)

    def named(self, places: Places) -> list[str]:
        """Names of some."""
        return [str(name) for name in self.names.take(pa.array(places)).to_pylist()]


def _spilled(blocks: Iterable[tuple[Sequence[str], Vectors]], file: IO[bytes]) -> _Spilled | None:
    """Write the vectors to a file and keep their components; None where there are none."""
    names: list[pa.Array] = []
    components: list[Floats] = []
    places: list[Places] = []
    axes: Floats | None = None
    count = 0
    for own, vectors in blocks:
        if not len(vectors):
            continue
        if axes is None:
            axes = _axes(vectors[:_FITTED_TO])
        if vectors.shape[1] != len(axes):
            raise ValueError(f"vectors of {len(axes)} and of {vectors.shape[1]} numbers; one model gives one length")
        file.write(np.ascontiguousarray(vectors, dtype=np.float32).tobytes())
        lengths = np.linalg.norm(vectors.astype(np.float64), axis=1)
        there = lengths > 0.0
        components.append((vectors[there] / lengths[there, None]) @ axes)
        places.append(count + np.flatnonzero(there))
        names.append(pa.array(own, pa.string()))
        count += len(vectors)
    if axes is None:
        return None
    file.flush()
    return _Spilled(file, len(axes), pa.chunked_array(names), np.concatenate(places), np.concatenate(components))


def _axes(vectors: Vectors) -> Floats:
    """Orthonormal axes along which the vectors differ most, float64[d, c]."""
    differing = vectors.astype(np.float64) - vectors.mean(axis=0, dtype=np.float64)
    _, axes = np.linalg.eigh(differing.T @ differing)
    return np.asarray(axes[:, ::-1][:, :_COMPONENTS])


def _candidates(components: Floats, reach: float) -> Iterator[Places]:
    """Pairs that may be near, int64[n, 2], the first one's place in the components below the second one's."""
    from scipy.spatial import cKDTree

    tree: Any = cKDTree(components, leafsize=_LEAF, balanced_tree=False, compact_nodes=False)
    start, step = 0, _LEAF
    while start < len(components):
        rows = components[start : start + step]
        around = tree.query_ball_point(rows, reach, return_length=True)
        if len(rows) > 1 and around.sum() > _CANDIDATES:
            step = max(1, len(rows) // 2)
            continue
        found = tree.query_ball_point(rows, reach, return_sorted=True)
        first = np.repeat(np.arange(start, start + len(rows)), around)
        second = np.fromiter((place for own in found for place in own), np.int64, int(around.sum()))
        yield np.stack([first, second], axis=1)[second > first]
        start += len(rows)
        step = min(2 * step, _FITTED_TO)


def _alike(spilled: _Spilled, pairs: Places, least_cosine: float) -> Iterator[Twins]:
    if not len(pairs):
        return
    places, index = np.unique(spilled.places[pairs], return_inverse=True)
    vectors, index = spilled.vectors(places), index.reshape(pairs.shape)
    near = cosines_of_pairs(vectors[index[:, 0]], vectors[index[:, 1]])
    alike = near >= least_cosine
    names = (spilled.named(places[index[alike, side]]) for side in (0, 1))
    yield from (Twins(*one) for one in zip(*names, near[alike].tolist(), strict=True))
