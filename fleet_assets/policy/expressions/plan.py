"""A checked expression as a list of operations, each on the results of earlier ones: what both evaluators run.

Here belong the operations and their definition, sample by sample. How text becomes a plan is in `checking.py`.

All numbers are float64 in base units (metre, second, radian …), NaN where missing; truth is two-valued, since `not` was
pushed down to the comparisons and a comparison with something missing does not hold. With x[i] the value at sample i of
an unbroken stretch on the grid, step the grid's spacing, and everything before the stretch missing (or untrue):

| operation | value at sample i |
|---|---|
| add, subtract, multiply, divide | IEEE 754 double; divide is missing where the divisor is 0 |
| lower, upper | the lesser, the greater of two; missing where one is; never -0 |
| delay n | x[i-n] |
| change n | (x[i] - x[i-n]) / (n step) |
| mean n | sum of rint(x 2^20), of the last n samples, over n 2^20; missing where one is, or is > 2^32 |
| least n, most n | over the last n samples; missing where one is; never -0 |
| last n | the latest of x[i], x[i-1] … x[i-n] that is not missing |
| share n | how many of the last n samples are true, over n; missing in the first n - 1 |
| throughout n, recently n, was n | all, any of the last n samples true; true at i-n |
| inside | whether (latitude, longitude) lies within a polygon, by the even-odd rule |
| select | the second where the first is true, the third elsewhere |
"""

from dataclasses import dataclass, field
from typing import Final

QUANTUM: Final = 1_048_576.0
"""Steps per unit in which a mean counts: sums are whole numbers, so that any way of adding gives the same."""
LARGEST: Final = 2.0**52
"""Largest number of steps that a mean takes."""
MAX_SAMPLES: Final = 1024
"""Longest window in samples: a sum of so many largest numbers of steps is within 64 bits."""

NUMBERS: Final = frozenset(
    [
        "signal",
        "constant",
        "negate",
        "absolute",
        "add",
        "subtract",
        "multiply",
        "divide",
        "lower",
        "upper",
        "delay",
        "change",
        "mean",
        "least",
        "most",
        "last",
        "share",
        "select",
    ]
)
TRUTHS: Final = frozenset(
    [
        "truth",
        "holds",
        "fails",
        "present",
        "missing",
        "<",
        "<=",
        ">",
        ">=",
        "==",
        "!=",
        "both",
        "either",
        "throughout",
        "recently",
        "was",
        "inside",
    ]
)


@dataclass(frozen=True, slots=True)
class Node:
    """One operation.

    Attributes:
        operation: Its name, one of `NUMBERS` or `TRUTHS`.
        inputs: Indices of the nodes that it takes.
        name: Signal that it reads.
        samples: Length of its window.
        value: Constant, factor into base units, or seconds that a change is divided by.
        offset: Added to a signal times its factor.
        polygon: Corners (latitude, longitude) in degrees.
    """

    operation: str
    inputs: tuple[int, ...] = ()
    name: str = ""
    samples: int = 0
    value: float = 0.0
    offset: float = 0.0
    polygon: tuple[tuple[float, float], ...] = ()


@dataclass
class Plan:
    """Operations in an order in which each comes after what it takes; equal ones are there once.

    Attributes:
        nodes: The operations.
    """

    nodes: list[Node] = field(default_factory=list)
    _known: dict[Node, int] = field(default_factory=dict)

    def add(self, node: Node) -> int:
        """Index of an operation, new or known."""
        if node not in self._known:
            self._known[node] = len(self.nodes)
            self.nodes.append(node)
        return self._known[node]

    def signals(self, roots: "list[int] | tuple[int, ...]") -> frozenset[str]:
        """Signals that some operations read."""
        return frozenset(self.nodes[index].name for index in self.behind(roots) if self.nodes[index].name)

    def behind(self, roots: "list[int] | tuple[int, ...]") -> list[int]:
        """Indices of all operations that some of them need, themselves included, in order."""
        found: set[int] = set()
        waiting = list(roots)
        while waiting:
            index = waiting.pop()
            if index not in found:
                found.add(index)
                waiting += self.nodes[index].inputs
        return sorted(found)

    def apart_from(self, roots: "list[int] | tuple[int, ...]", names: frozenset[str]) -> list[int]:
        """Operations on signals that read none of some signals, of those behind roots; only the last of each chain."""
        behind = self.behind(roots)
        reads = {index: self.signals([index]) for index in behind}
        own = {index for index in behind if reads[index] and not reads[index] & names}
        taken = {one for index in own for one in self.nodes[index].inputs}
        wanted = {one for index in behind if index not in own for one in self.nodes[index].inputs} | set(roots)
        return sorted(index for index in own if index in wanted or index not in taken)

    def reach(self, roots: "list[int] | tuple[int, ...]", given: frozenset[int] = frozenset()) -> int:
        """How many samples before the present one these operations look back at most, where some results are given."""
        back: dict[int, int] = {}
        for index in self.behind(roots):
            node = self.nodes[index]
            before = max((back[one] for one in node.inputs), default=0)
            whole = node.operation in {"delay", "change", "last", "was"}
            own = node.samples if whole else max(0, node.samples - 1)
            back[index] = 0 if index in given else before + own
        return max((back[index] for index in roots), default=0)

    def missing_with(self, root: int, names: frozenset[str]) -> bool:
        """Whether a number is surely missing where some signals are: it takes one of them, and not as a share only."""
        node = self.nodes[root]
        if node.operation == "signal":
            return node.name in names
        if node.operation == "select":
            return all(self.missing_with(index, names) for index in node.inputs[1:])
        if node.operation == "share":
            return False
        return any(self.missing_with(index, names) for index in node.inputs)
