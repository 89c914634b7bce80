"""Choosing clips: lazy-greedy facility location under budgets and quotas.

The list is worth what it stands for (how near the nearest chosen clip is to each clip of the ground set) and what its
clips are worth themselves: a monotone submodular function, for which greedy choice is near the optimum (Nemhauser,
Wolsey, Fisher 1978) and a gain that was large once need not be looked at again (Minoux 1978); with costs the better of
choice by gain and by gain per cost (Leskovec et al., KDD 2007). Where similarities come from is not known here.
"""

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

_DECIMALS: Final = 9
"""Gains are equal when they agree to so many: sums in another order must not decide."""


@dataclass(frozen=True)
class Problem:
    """What there is to choose from.

    Attributes:
        similarity: float[n, m], 0 to 1, of each clip to each clip of the ground set.
        worth: float64[n], 0 to 1, of each clip itself.
        coverage: Share of the objective that is coverage; the rest is worth.
        most: Most clips.
        costs: float64[n] by name.
        limits: Most that the chosen clips may cost together, by name of the cost.
        members: bool[q, n]: which clips are in which slice.
        least: Fewest clips by slice.
        caps: Most clips by slice; n where there is no limit.
        weights: float64[m], what each clip of the ground set counts; all alike when None, or when none counts.
        order: int64[n], which of equal clips comes first.
    """

    similarity: NDArray[np.float64]
    worth: NDArray[np.float64]
    coverage: float
    most: int
    order: NDArray[np.int64]
    costs: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    limits: Mapping[str, float] = field(default_factory=dict)
    members: NDArray[np.bool_] = field(default_factory=lambda: np.zeros((0, 0), dtype=np.bool_))
    least: Sequence[int] = ()
    caps: Sequence[int] = ()
    weights: NDArray[np.float64] | None = None

    @property
    def shares(self) -> NDArray[np.float64]:
        """What each clip of the ground set counts, float64[m]; 1 together."""
        size = self.similarity.shape[1]
        weights = np.ones(size) if self.weights is None or not self.weights.any() else self.weights
        return np.asarray(weights / weights.sum() if size else weights, dtype=np.float64)


@dataclass(frozen=True, slots=True)
class Chosen:
    """Clips in the order of their choice.

    Attributes:
        indices: Which.
        gains: What each added to the objective, given those before it.
        objective: Their sum.
    """

    indices: tuple[int, ...]
    gains: tuple[float, ...]
    objective: float


class _State:
    """What was chosen so far, and what the next clip would add."""

    def __init__(self, problem: Problem, *, by_cost: bool) -> None:
        self.problem, self.by_cost = problem, by_cost
        self.covered = np.zeros(problem.similarity.shape[1], dtype=np.float64)
        self._shares = problem.shares
        self.indices: list[int] = []
        self.gains: list[float] = []
        self.spent = dict.fromkeys(problem.limits, 0.0)
        self.counts = np.zeros(len(problem.least), dtype=np.int64)
        self._least = np.asarray(problem.least, dtype=np.int64)
        self._caps = np.asarray(problem.caps, dtype=np.int64)

    def gain(self, index: int) -> float:
        problem = self.problem
        more = float(np.maximum(problem.similarity[index] - self.covered, 0.0) @ self._shares)
        own = float(problem.worth[index]) / problem.most
        return round(problem.coverage * more + (1.0 - problem.coverage) * own, _DECIMALS)

    def key(self, index: int) -> tuple[float, float]:
        """How many unmet quotas it serves, then its gain or its gain per share of the budget; neither ever grows."""
        served = int((self.problem.members[:, index] & (self.counts < self._least)).sum())
        gain = self.gain(index)
        if self.by_cost:
            shares = [self.problem.costs[name][index] / limit for name, limit in self.problem.limits.items()]
            gain = round(gain / max(*shares, 1.0 / self.problem.most), _DECIMALS)
        return float(served), gain

    def fits(self, index: int) -> bool:
        """Whether it can still be chosen; once it cannot, it never can again."""
        problem = self.problem
        if len(self.indices) >= problem.most:
            return False
        if any(self.spent[name] + problem.costs[name][index] > limit for name, limit in problem.limits.items()):
            return False
        return not bool((problem.members[:, index] & (self.counts >= self._caps)).any())

    def take(self, index: int) -> None:
        self.gains.append(self.gain(index))
        self.indices.append(index)
        self.covered = np.maximum(self.covered, self.problem.similarity[index])
        for name in self.spent:
            self.spent[name] += float(self.problem.costs[name][index])
        self.counts += self.problem.members[:, index]

    @property
    def unmet(self) -> int:
        """Clips that are missing for the quotas, over all slices."""
        return int(np.maximum(self._least - self.counts, 0).sum())

    @property
    def chosen(self) -> Chosen:
        return Chosen(tuple(self.indices), tuple(self.gains), round(sum(self.gains), _DECIMALS))


def _lazy(state: _State) -> _State:
    """Take the best clip until none fits; a clip's old key is an upper bound of its present one."""
    problem = state.problem
    taken = set(state.indices)
    heap = [
        (tuple(-part for part in state.key(index)), int(problem.order[index]), index)
        for index in range(len(problem.worth))
        if index not in taken
    ]
    heapq.heapify(heap)
    while heap:
        _, order, index = heapq.heappop(heap)
        if not state.fits(index):
            continue
        entry = (tuple(-part for part in state.key(index)), order, index)
        if heap and entry > heap[0]:
            heapq.heappush(heap, entry)
        else:
            state.take(index)
    return state


def choose(problem: Problem) -> Chosen:
    """Choose clips; quotas before gain, and of two ways to weigh costs the better.

    A quota that is out of reach of greedy choice is met from an exact core, where there is one.

    Args:
        problem: What there is to choose from.
    """
    problem = _shaped(problem)
    ways = [False, True] if problem.limits else [False]
    found = [_lazy(_State(problem, by_cost=by_cost)) for by_cost in ways]
    if min(state.unmet for state in found) and (core := feasible_core(problem)):
        found = []
        for by_cost in ways:
            state = _State(problem, by_cost=by_cost)
            for index in core:
                state.take(index)
            found.append(_lazy(state))
    # The first of equals: choice by plain gain.
    return min(found, key=lambda state: (state.unmet, -state.chosen.objective)).chosen


def _shaped(problem: Problem) -> Problem:
    if problem.members.shape[1] == len(problem.worth):
        return problem
    members = np.zeros((len(problem.least), len(problem.worth)), dtype=np.bool_)
    return replace(problem, members=members)


def feasible_core(problem: Problem) -> tuple[int, ...]:
    """Few clips of great worth that meet every quota within all limits; none where that is impossible.

    Solved exactly as an integer linear programme (HiGHS).
    """
    from scipy.optimize import Bounds, LinearConstraint, milp
    from scipy.sparse import csr_array

    size = len(problem.worth)
    if not size:
        return ()
    caps = np.minimum(np.asarray(problem.caps, dtype=np.float64), size)
    rows = [problem.members.astype(np.float64), np.ones((1, size))]
    lows = [np.asarray(problem.least, dtype=np.float64), np.zeros(1)]
    highs = [caps, np.array([float(problem.most)])]
    for name, limit in sorted(problem.limits.items()):
        rows.append(problem.costs[name][None, :] / limit)
        lows.append(np.zeros(1))
        highs.append(np.ones(1))
    constraint = LinearConstraint(csr_array(np.vstack(rows)), np.concatenate(lows), np.concatenate(highs))
    # Half a clip at most: a better one is worth choosing, one more is not. The order settles the rest.
    ranked = np.argsort(np.argsort(problem.order)) / max(1, size)
    cost = 1.0 - 0.5 * problem.worth + 1e-6 * ranked
    solved = milp(cost, constraints=constraint, integrality=np.ones(size), bounds=Bounds(0, 1))
    if solved.x is None:
        return ()
    core = np.flatnonzero(solved.x > 0.5)  # noqa: PLR2004 - a binary variable
    return tuple(int(index) for index in core[np.lexsort((problem.order[core], -problem.worth[core]))])


def objective(problem: Problem, indices: Sequence[int]) -> float:
    """What a list is worth, by the definition."""
    if not indices:
        return 0.0
    chosen = list(indices)
    covered = problem.similarity[chosen].max(axis=0)
    coverage = float(covered @ problem.shares)
    return problem.coverage * coverage + (1.0 - problem.coverage) * float(problem.worth[chosen].sum()) / problem.most
