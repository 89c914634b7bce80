"""Fréchet distance between two sets of image features (Heusel et al., NeurIPS 2017; here of any network).

Here belongs the distance alone. It is biased upwards for small sets, so compare distances of sets of equal size.
"""

import numpy as np
from numpy.typing import NDArray

_LEAST_ROWS = 2


def frechet_distance(one: NDArray[np.floating], two: NDArray[np.floating]) -> float:
    """Squared distance of the normal distributions that have the means and covariances of two samples.

    The trace of the root of the product of both covariances is the sum of the singular values of the product of the
    centred samples: exact also where there are fewer rows than features, and no root of a matrix is taken.

    Args:
        one: float[n, features].
        two: float[m, features].

    Raises:
        ValueError: When the features differ in number, or a sample has less than two rows.
    """
    first, second = np.asarray(one, dtype=np.float64), np.asarray(two, dtype=np.float64)
    if first.ndim != 2 or second.ndim != 2 or first.shape[1] != second.shape[1]:  # noqa: PLR2004 - rows, features
        raise ValueError(f"samples of shape {first.shape} and {second.shape}. Give rows of the same features.")
    if min(len(first), len(second)) < _LEAST_ROWS:
        raise ValueError(f"{len(first)} and {len(second)} rows; a covariance needs two. Give more pictures.")
    means = first.mean(axis=0), second.mean(axis=0)
    a = (first - means[0]) / np.sqrt(len(first) - 1)
    b = (second - means[1]) / np.sqrt(len(second) - 1)
    common = np.linalg.svd(a @ b.T, compute_uv=False).sum()
    distance = ((means[0] - means[1]) ** 2).sum() + (a**2).sum() + (b**2).sum() - 2.0 * common
    return float(max(0.0, distance))
