"""Whether two sets of drives look alike to a model: the energy distance of their vectors, with drives permuted.

Szekely and Rizzo, Energy statistics, J. Stat. Plan. Inference 143 (2013). Clips of one drive resemble each other: pairs
within a drive are left out, and whole drives change sides, so that the test keeps its level whatever the resemblance.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fleet_assets.perception.vectors import Vectors

_PERMUTED_AT_ONCE: Final = 256
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Shift:
    """How far two sets of drives are apart.

    Attributes:
        coefficient: Energy coefficient: 0 for one distribution (below it by chance), 1 for two without contact.
        p_value: Probability of one at least as large, if the drives were of one distribution.
        drives: Drives on both sides.
    """

    coefficient: float
    p_value: float
    drives: tuple[int, int]


def shift(
    reference: Vectors,
    reference_drives: Sequence[str],
    newer: Vectors,
    newer_drives: Sequence[str],
    *,
    permutations: int,
    seed: int,
) -> Shift:
    """Compare two sets of vectors of clips.

    Args:
        reference: float32[n, d].
        reference_drives: The drive of each.
        newer: float32[m, d].
        newer_drives: The drive of each; a drive is on one side only.
        permutations: How often sides are drawn anew.
        seed: Of the PCG64 generator.

    Raises:
        ValueError: When a side has fewer than two drives, which no distance within it could be taken from.
    """
    names = [f"0{drive}" for drive in reference_drives] + [f"1{drive}" for drive in newer_drives]
    drives, index = np.unique(names, return_inverse=True)
    side = np.array([name[0] == "0" for name in drives])
    if min(side.sum(), (~side).sum()) <= 1:
        raise ValueError(f"{int(side.sum())} and {int((~side).sum())} drives; two are needed on each side")
    sums = _between_drives(np.concatenate([reference, newer]).astype(np.float64), index, len(drives))
    counts = np.bincount(index).astype(np.float64)
    pairs = np.outer(counts, counts)
    np.fill_diagonal(sums, 0.0)
    np.fill_diagonal(pairs, 0.0)
    observed = float(_coefficients(side[None], sums, pairs)[0])
    generator = np.random.Generator(np.random.PCG64(seed))
    beyond = 0
    for start in range(0, permutations, _PERMUTED_AT_ONCE):
        rows = min(_PERMUTED_AT_ONCE, permutations - start)
        drawn = generator.permuted(np.tile(side, (rows, 1)), axis=1)
        beyond += int((_coefficients(drawn, sums, pairs) >= observed).sum())
    return Shift(observed, (1 + beyond) / (1 + permutations), (int(side.sum()), int((~side).sum())))


def _between_drives(vectors: Floats, index: NDArray[np.intp], count: int) -> Floats:
    """Sums of the distances between the clips of each two drives, float64[count, count]."""
    squares = (vectors**2).sum(axis=1)
    apart = np.sqrt(np.maximum(squares[:, None] + squares[None, :] - 2.0 * vectors @ vectors.T, 0.0))
    belongs = np.zeros((len(vectors), count))
    belongs[np.arange(len(vectors)), index] = 1.0
    sums: Floats = belongs.T @ apart @ belongs
    return sums


def _coefficients(sides: NDArray[np.bool_], sums: Floats, pairs: Floats) -> Floats:
    """Energy coefficient of each assignment of drives to sides, float64[assignments]."""
    one = sides.astype(np.float64)
    other = 1.0 - one

    def mean(left: Floats, right: Floats) -> Floats:
        return np.asarray(((left @ sums) * right).sum(axis=1) / ((left @ pairs) * right).sum(axis=1))

    across = mean(one, other)
    return np.asarray((2.0 * across - mean(one, one) - mean(other, other)) / np.where(across > 0.0, 2.0 * across, 1.0))
