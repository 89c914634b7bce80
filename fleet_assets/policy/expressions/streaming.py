"""A plan run sample by sample, as on a vehicle: the definition of every operation, in plain Python numbers.

Here belongs one small object per operation, whose memory is bounded by its window. `columnar.py` gives the same bit for
bit over whole columns.
"""

import math
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from fleet_assets.policy.expressions.plan import LARGEST, QUANTUM, Node, Plan

_NAN: Final = math.nan
Values = list[Any]
"""Result of every operation so far at this sample: float or bool."""


def _missing(value: float) -> bool:
    return value != value  # noqa: PLR0124 - what NaN is


def _divide(left: float, right: float) -> float:
    return left / right if right != 0.0 else _NAN


def _lower(left: float, right: float) -> float:
    if _missing(left) or _missing(right):
        return _NAN
    return (left if left < right else right) + 0.0


def _upper(left: float, right: float) -> float:
    if _missing(left) or _missing(right):
        return _NAN
    return (left if left > right else right) + 0.0


_OF_TWO: Final[Mapping[str, Callable[[Any, Any], Any]]] = {
    "add": lambda a, b: a + b,
    "subtract": lambda a, b: a - b,
    "multiply": lambda a, b: a * b,
    "divide": _divide,
    "lower": _lower,
    "upper": _upper,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a < b or a > b,
}
_OF_ONE: Final[Mapping[str, Callable[[Any], Any]]] = {
    "negate": lambda a: -a,
    "absolute": abs,
    "present": lambda a: not _missing(a),
    "missing": _missing,
}


class _Past:
    """The last n values before this one, oldest first, `missing` where there is none."""

    def __init__(self, samples: int, missing: Any) -> None:
        self._missing, self._kept = missing, deque[Any](maxlen=samples)

    def push(self, value: Any) -> Any:
        """Keep a value; the one that was pushed n values before it."""
        full = len(self._kept) == self._kept.maxlen
        oldest = self._kept[0] if full else self._missing
        self._kept.append(value)
        return oldest


class _Mean:
    def __init__(self, node: Node) -> None:
        self._past: deque[int | None] = deque(maxlen=node.samples)
        self._whole, self._absent, self._over = 0, 0, node.samples * QUANTUM

    def __call__(self, value: float) -> float:
        steps = value * QUANTUM
        counted = round(steps) if abs(steps) <= LARGEST else None
        if len(self._past) == self._past.maxlen:
            oldest = self._past[0]
            self._whole -= oldest or 0
            self._absent -= oldest is None
        self._past.append(counted)
        self._whole += counted or 0
        self._absent += counted is None
        if self._absent or len(self._past) < (self._past.maxlen or 0):
            return _NAN
        return float(self._whole) / self._over


class _Extreme:
    """Least or most of the window."""

    def __init__(self, node: Node) -> None:
        self._past: deque[float] = deque(maxlen=node.samples)
        self._choose = _lower if node.operation == "least" else _upper

    def __call__(self, value: float) -> float:
        self._past.append(value)
        if len(self._past) < (self._past.maxlen or 0):
            return _NAN
        found = self._past[0] + 0.0
        for one in self._past:
            found = self._choose(found, one)
        return found


class _Last:
    def __init__(self, node: Node) -> None:
        self._samples, self._age, self._kept = node.samples, 0, _NAN

    def __call__(self, value: float) -> float:
        self._age += 1
        if not _missing(value):
            self._kept, self._age = value, 0
        return self._kept if self._age <= self._samples else _NAN


class _Counted:
    """How many of the last n samples are true, and how many samples there are."""

    def __init__(self, node: Node) -> None:
        self._past: deque[bool] = deque(maxlen=node.samples)
        self._operation, self._true = node.operation, 0

    def __call__(self, value: bool) -> Any:
        if len(self._past) == self._past.maxlen:
            self._true -= self._past[0]
        self._past.append(value)
        self._true += value
        length = self._past.maxlen or 0
        if self._operation == "recently":
            return self._true > 0
        if self._operation == "throughout":
            return self._true == length
        return self._true / length if len(self._past) == length else _NAN


def inside(polygon: Sequence[tuple[float, float]], lat: float, lon: float) -> bool:
    """Whether a place lies within a polygon, by the even-odd rule; a missing one does not.

    Args:
        polygon: Corners (latitude, longitude).
        lat: Latitude.
        lon: Longitude.
    """
    found = False
    for (lat_a, lon_a), (lat_b, lon_b) in zip(polygon, (*polygon[1:], polygon[0]), strict=True):
        if (lat_a > lat) != (lat_b > lat) and lon < (lon_b - lon_a) * (lat - lat_a) / (lat_b - lat_a) + lon_a:
            found = not found
    return found


_OF_MANY: Final[Mapping[str, Callable[[Node, Values], Any]]] = {
    "both": lambda _, values: all(values),
    "either": lambda _, values: any(values),
    "inside": lambda node, values: inside(node.polygon, *values),
    "select": lambda _, values: values[1] if values[0] else values[2],
}


def _windowed(node: Node) -> Callable[[Any], Any]:
    if node.operation in {"delay", "was"}:
        return _Past(node.samples, _NAN if node.operation == "delay" else False).push
    if node.operation == "change":
        past = _Past(node.samples, _NAN)
        return lambda value: (value - past.push(value)) / node.value
    makers: Mapping[str, Callable[[Node], Callable[[Any], Any]]] = {
        "mean": _Mean,
        "least": _Extreme,
        "most": _Extreme,
        "last": _Last,
    }
    return makers.get(node.operation, _Counted)(node)


def _reader(node: Node, sample: list[Mapping[str, float]]) -> Callable[[], Any]:
    """Operations that take nothing."""
    if node.operation == "signal" and node.value == 1.0 and node.offset == 0.0:
        return lambda: sample[0].get(node.name, _NAN)
    if node.operation == "signal":
        return lambda: sample[0].get(node.name, _NAN) * node.value + node.offset
    if node.operation == "holds":
        return lambda: sample[0].get(node.name, _NAN) > 0.5  # noqa: PLR2004 - true is 1
    if node.operation == "fails":
        return lambda: sample[0].get(node.name, _NAN) <= 0.5  # noqa: PLR2004 - false is 0
    fixed: float | bool = node.value > 0.0 if node.operation == "truth" else node.value
    return lambda: fixed


def _operation(node: Node, values: Values, sample: list[Mapping[str, float]]) -> Callable[[], Any]:
    """What computes a node at this sample from the values of earlier nodes."""
    inputs, operation = node.inputs, node.operation
    if not inputs:
        return _reader(node, sample)
    first = inputs[0]
    if operation in _OF_TWO:
        of_two, second = _OF_TWO[operation], inputs[1]
        return lambda: of_two(values[first], values[second])
    if operation in _OF_MANY:
        of_many = _OF_MANY[operation]
        return lambda: of_many(node, [values[index] for index in inputs])
    of_one = _OF_ONE[operation] if operation in _OF_ONE else _windowed(node)
    return lambda: of_one(values[first])


class Stream:
    """A plan over one unbroken stretch of samples.

    Args:
        plan: The plan.
        roots: Nodes whose values are wanted.
    """

    def __init__(self, plan: Plan, roots: Sequence[int]) -> None:
        self._roots = tuple(roots)
        self._values: Values = [_NAN] * len(plan.nodes)
        self._sample: list[Mapping[str, float]] = [{}]
        self._steps = [
            (index, _operation(plan.nodes[index], self._values, self._sample)) for index in plan.behind(self._roots)
        ]

    def step(self, sample: Mapping[str, float]) -> tuple[Any, ...]:
        """Values of the roots at the next sample.

        Args:
            sample: Number by signal (truth as 0 and 1); absent or NaN where missing.
        """
        self._sample[0] = sample
        values = self._values
        for index, operation in self._steps:
            values[index] = operation()
        return tuple(values[root] for root in self._roots)
