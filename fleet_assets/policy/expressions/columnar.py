"""A plan run over whole columns with NumPy: the same numbers as `streaming.py`, bit for bit.

Here belongs one function per operation. An operation is computed when something needs it, and once.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, cast

import numpy as np
from numpy.typing import NDArray

from fleet_assets.policy.expressions.plan import LARGEST, QUANTUM, Node, Plan

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Column = Any
"""float64[n] or bool[n], or a single number or truth value where all samples have it."""


def _divide(left: Column, right: Column) -> Column:
    return np.divide(left, np.where(np.equal(right, 0.0), np.nan, right))


def _differ(left: Column, right: Column) -> Column:
    return np.less(left, right) | np.greater(left, right)


_OF_TWO: Final[Mapping[str, Callable[[Any, Any], Any]]] = {
    "add": np.add,
    "subtract": np.subtract,
    "multiply": np.multiply,
    "divide": _divide,
    "lower": lambda a, b: np.minimum(a, b) + 0.0,
    "upper": lambda a, b: np.maximum(a, b) + 0.0,
    "<": np.less,
    "<=": np.less_equal,
    ">": np.greater,
    ">=": np.greater_equal,
    "==": np.equal,
    "!=": _differ,
}
_OF_ONE: Final[Mapping[str, Callable[[Any], Any]]] = {
    "negate": np.negative,
    "absolute": np.abs,
    "present": lambda a: ~np.isnan(a),
    "missing": np.isnan,
}


_OF_MANY: Final = frozenset({"both", "either", "inside", "select"})


def _delayed(column: NDArray[Any], samples: int, missing: Any) -> NDArray[Any]:
    found = np.full_like(column, missing)
    if samples < len(column):
        found[samples:] = column[:-samples]
    return found


def _change(column: Floats, samples: int, seconds: float) -> Floats:
    found = np.full_like(column, np.nan)
    if samples < len(column):
        np.subtract(column[samples:], column[:-samples], out=found[samples:])
        found[samples:] /= seconds
    return found


def _mean(column: Floats, samples: int) -> Floats:
    steps = np.rint(column * QUANTUM)
    uncounted = ~(np.abs(steps) <= LARGEST)
    found = np.full_like(column, np.nan)
    if samples > len(column):
        return found
    broken = bool(uncounted.any())
    if broken:
        steps[uncounted] = 0.0
    found[samples - 1 :] = _window_sums(steps.astype(np.int64), samples)
    found /= samples * QUANTUM
    if broken:
        found[_dilated(uncounted, samples, np.logical_or)] = np.nan
    return found


def _window_sums(whole: NDArray[np.int64], samples: int) -> NDArray[np.int64]:
    """Sums over each full window; totals that pass 64 bits wrap around, and their differences come right again."""
    totals = np.cumsum(whole)
    totals[samples:] -= totals[:-samples].copy()
    return totals[samples - 1 :]


def _dilated(column: NDArray[Any], samples: int, choose: Callable[..., Any]) -> NDArray[Any]:
    """The chosen one of the last n samples, of fewer where there are fewer, by doubling windows."""
    found, width = column.copy(), 1
    while width < samples:
        step = min(width, samples - width)
        if step >= len(found):
            break
        choose(found[step:], found[:-step].copy(), out=found[step:])
        width += step
    return found


def _extreme(column: Floats, samples: int, choose: Callable[..., Any]) -> Floats:
    found = _dilated(column, samples, choose) + 0.0
    found[: samples - 1] = np.nan
    return found


def _last(column: Floats, samples: int) -> Floats:
    index = np.arange(len(column))
    known = np.where(np.isnan(column), -1, index)
    np.maximum.accumulate(known, out=known)
    found = column[np.maximum(known, 0)]
    found[(known < 0) | (index - known > samples)] = np.nan
    return found


def _share(column: Bools, samples: int) -> Floats:
    found = np.full(len(column), np.nan)
    if samples <= len(column):
        found[samples - 1 :] = _window_sums(column.astype(np.int64), samples) / samples
    return found


def _throughout(column: Bools, samples: int) -> Bools:
    found = _dilated(column, samples, np.logical_and)
    found[: samples - 1] = False
    return cast(Bools, found)


def _inside(polygon: Sequence[tuple[float, float]], lat: Floats, lon: Floats) -> Bools:
    found = np.zeros(len(lat), np.bool_)
    lats, lons = [corner[0] for corner in polygon], [corner[1] for corner in polygon]
    near = np.flatnonzero((lat >= min(lats)) & (lat <= max(lats)) & (lon <= max(lons)))
    y, x = lat[near], lon[near]
    within = np.zeros(len(near), np.bool_)
    for (lat_a, lon_a), (lat_b, lon_b) in zip(polygon, (*polygon[1:], polygon[0]), strict=True):
        if lat_a != lat_b:
            crossed = (lat_a > y) != (lat_b > y)
            within ^= crossed & (x < (lon_b - lon_a) * (y - lat_a) / (lat_b - lat_a) + lon_a)
    found[near] = within
    return found


_WINDOWED: Final[Mapping[str, Callable[[Any, Node], Any]]] = {
    "delay": lambda column, node: _delayed(column, node.samples, math.nan),
    "was": lambda column, node: _delayed(column, node.samples, False),
    "change": lambda column, node: _change(column, node.samples, node.value),
    "mean": lambda column, node: _mean(column, node.samples),
    "least": lambda column, node: _extreme(column, node.samples, np.minimum),
    "most": lambda column, node: _extreme(column, node.samples, np.maximum),
    "last": lambda column, node: _last(column, node.samples),
    "share": lambda column, node: _share(column, node.samples),
    "throughout": lambda column, node: _throughout(column, node.samples),
    "recently": lambda column, node: _dilated(column, node.samples, np.logical_or),
}


class Columns:
    """A plan over one unbroken stretch of samples, given as columns.

    Args:
        plan: The plan.
        signals: float64[n] by signal (truth as 0 and 1), NaN where missing; an absent signal is missing everywhere.
        samples: n.
        given: Columns of nodes that are known already.
    """

    def __init__(
        self, plan: Plan, signals: Mapping[str, Floats], samples: int, given: Mapping[int, Column] | None = None
    ) -> None:
        self._nodes, self._signals, self._samples = plan.nodes, signals, samples
        self._known: dict[int, Column] = dict(given or {})

    def number(self, root: int) -> Floats:
        """float64[n] of a node that is a number."""
        with np.errstate(all="ignore"):
            return self._full(self._of(root), np.float64)

    def truth(self, root: int) -> Bools:
        """bool[n] of a node that is a condition."""
        with np.errstate(all="ignore"):
            return self._full(self._of(root), np.bool_)

    def column(self, root: int) -> Column:
        """Column of any node; a single value where all samples have it."""
        with np.errstate(all="ignore"):
            return self._of(root)

    def _full(self, column: Column, kind: Any) -> NDArray[Any]:
        if np.ndim(column):
            return cast("NDArray[Any]", column)
        return np.full(self._samples, column, kind)

    def _of(self, root: int) -> Column:
        if root not in self._known:
            self._known[root] = self._computed(self._nodes[root])
        return self._known[root]

    def _computed(self, node: Node) -> Column:
        operation, inputs = node.operation, node.inputs
        if not inputs:
            return self._read(node)
        if operation in _OF_TWO:
            return _OF_TWO[operation](self._of(inputs[0]), self._of(inputs[1]))
        if operation in _OF_MANY:
            return self._of_many(node)
        if operation in _OF_ONE:
            return _OF_ONE[operation](self._of(inputs[0]))
        truths = operation in {"was", "share", "throughout", "recently"}
        return _WINDOWED[operation](self._full(self._of(inputs[0]), np.bool_ if truths else np.float64), node)

    def _of_many(self, node: Node) -> Column:
        if node.operation == "both":
            return self._both(node)
        if node.operation == "either":
            return self._either(node)
        return self._located(node) if node.operation == "inside" else self._selected(node)

    def _both(self, node: Node) -> Column:
        """Conjunction; once nothing holds any more, the rest is not computed."""
        found: Column = np.True_
        for index in node.inputs:
            found = np.logical_and(found, self._of(index))
            if not found.any():
                return False
        return found

    def _either(self, node: Node) -> Column:
        found: Column = False
        for index in node.inputs:
            found = np.logical_or(found, self._of(index))
        return found

    def _located(self, node: Node) -> Column:
        lat, lon = (self._full(self._of(index), np.float64) for index in node.inputs)
        return _inside(node.polygon, lat, lon)

    def _selected(self, node: Node) -> Column:
        chosen = self._full(self._of(node.inputs[0]), np.bool_)
        if not chosen.any():
            return self._of(node.inputs[2])
        return np.where(chosen, self._of(node.inputs[1]), self._of(node.inputs[2]))

    def _read(self, node: Node) -> Column:
        if node.operation == "truth":
            return node.value > 0.0
        if node.operation == "constant":
            return node.value
        column = self._signals.get(node.name, math.nan)
        if node.operation == "holds":
            return np.greater(column, 0.5)
        if node.operation == "fails":
            return np.less_equal(column, 0.5)
        if node.value == 1.0 and node.offset == 0.0:
            return column
        return column * node.value + node.offset
