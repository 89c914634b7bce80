"""Where the level of several numbers changes: the partition of a series with least squared error and penalty.

Here belongs the search, on whole numbers. It is exact, not a heuristic: with a longest segment every candidate can be
looked at (Jackson et al., An algorithm for optimal partitioning of data on an interval, 2005; the cost is that of
Killick et al., PELT, 2012, whose pruning a longest segment makes unnecessary).
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

QUANTUM: Final = 256
"""Steps per unit: sums of whole numbers are the same whatever the order of adding."""


def _cost(
    sums: NDArray[np.int64], squares: NDArray[np.int64], begins: NDArray[np.int64], end: int
) -> NDArray[np.float64]:
    """Squared error around the means of the segments from each beginning to one end."""
    lengths = (end - begins).astype(np.float64)
    total = (sums[end] - sums[begins]).astype(np.float64)
    spread = (squares[end] - squares[begins]).astype(np.float64)
    cost: NDArray[np.float64] = np.zeros(len(begins))
    for column in range(total.shape[1]):
        cost += spread[:, column] - total[:, column] * total[:, column] / lengths
    return cost


def change_points(values: NDArray[np.float64], shortest: int, longest: int, penalty: float) -> list[int]:
    """Ends of the segments, the last one included.

    Args:
        values: float64[n, k], finite; one unit of each number weighs the same.
        shortest: Least points of a segment; a series with fewer is one segment.
        longest: Most points of a segment, at least twice the shortest.
        penalty: Squared units that one more segment has to explain.

    Raises:
        ValueError: When the longest is less than twice the shortest.
    """
    if longest < 2 * shortest:
        raise ValueError(
            f"longest segment {longest}, shortest {shortest}. Make the longest at least twice the shortest."
        )
    count = len(values)
    if count <= shortest:
        return [count] if count else []
    whole = np.rint(values * QUANTUM).astype(np.int64)
    zero = np.zeros((1, whole.shape[1]), np.int64)
    sums, squares = (np.concatenate([zero, np.cumsum(part, axis=0)]) for part in (whole, whole * whole))
    best, before = np.full(count + 1, np.inf), np.zeros(count + 1, np.int64)
    best[0] = 0.0
    for end in range(shortest, count + 1):
        begins = np.arange(max(0, end - longest), end - shortest + 1)
        totals = best[begins] + _cost(sums, squares, begins, end)
        at = int(totals.argmin())
        best[end], before[end] = totals[at] + penalty * QUANTUM**2, begins[at]
    ends, end = [], count
    while end > 0:
        ends.append(end)
        end = int(before[end])
    return ends[::-1]
