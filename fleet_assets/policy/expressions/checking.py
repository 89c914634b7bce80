"""From a tree to a plan: names are looked up, units checked, windows counted in samples, `not` pushed down.

Here belong all rules that an expression has to keep. What operations do is in `plan.py`.
"""

import difflib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Final

from fleet_assets.policy.expressions.literals import in_base
from fleet_assets.policy.expressions.plan import MAX_SAMPLES, Node, Plan
from fleet_assets.policy.expressions.quantities import RATIO, Quantity
from fleet_assets.policy.expressions.syntax import (
    COMPARISONS,
    Apply,
    ExpressionError,
    Name,
    Number,
    Tree,
    Truth,
    parse,
)
from fleet_assets.policy.units import dimension_of, into_base

_OPPOSITE: Final = {"<": ">=", "<=": ">", ">": "<=", ">=": "<", "==": "!=", "!=": "=="}
_WINDOWED: Final = {"delay": "delay", "mean": "mean", "minimum": "least", "maximum": "most", "last": "last"}
_OVER_TIME: Final = {"throughout": "recently", "recently": "throughout"}
FUNCTIONS: Final[Mapping[str, str]] = {
    "abs": "abs(x)",
    "min": "min(x, y)",
    "max": "max(x, y)",
    "otherwise": "otherwise(x, y)",
    "delay": "delay(x, time)",
    "change": "change(x, time)",
    "mean": "mean(x, time)",
    "minimum": "minimum(x, time)",
    "maximum": "maximum(x, time)",
    "last": "last(x, time)",
    "share": "share(condition, time)",
    "throughout": "throughout(condition, time)",
    "recently": "recently(condition, time)",
    "was": "was(condition, time)",
    "missing": "missing(x)",
    "present": "present(x)",
}
"""Every function with the way to write it."""
_TRUE_OF: Final = frozenset({"throughout", "recently", "was", "missing", "present"})


@dataclass(frozen=True, slots=True)
class SignalKind:
    """What an expression may read.

    Attributes:
        unit: Unit of its values.
        truth: Whether it is true or false instead of a number.
    """

    unit: str
    truth: bool = False


@dataclass(frozen=True, slots=True)
class Zone:
    """A place with a name: a polygon of at least three corners (latitude, longitude), degrees."""

    name: str
    polygon: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class Parameter:
    """A named number of a policy.

    Attributes:
        quantity: What it measures.
        value: Its value in base units.
        zoned: Values in some places, the last that fits holds.
    """

    quantity: Quantity
    value: float
    zoned: tuple[tuple[Zone, float], ...] = ()


@dataclass(frozen=True)
class Vocabulary:
    """What expressions may name, and the grid that they are evaluated on.

    Attributes:
        signals: Signal by name.
        step_ms: Spacing of the grid, whole milliseconds.
        max_window_s: Longest window.
        position: Names of the signals that give latitude and longitude; zones are told by them.
    """

    signals: Mapping[str, SignalKind]
    step_ms: int
    max_window_s: float
    position: tuple[str, str] = ("", "")

    @property
    def step_s(self) -> float:
        """Spacing of the grid in seconds."""
        return self.step_ms / 1000.0

    def samples(self, seconds: Fraction) -> Fraction:
        """A time in steps of the grid."""
        return seconds * 1000 / self.step_ms


@dataclass(frozen=True, slots=True)
class _Numeric:
    """A number in a plan: its node, what it measures (None for a bare 0, which fits everywhere), its value if fixed."""

    node: int
    quantity: Quantity | None
    fixed: float | None = None


@dataclass
class Checker:
    """Adds the expressions of one policy to one plan.

    Attributes:
        vocabulary: What they may name.
        parameters: Named numbers.
        definitions: Named expressions; one may use another, but not itself.
        plan: The plan that grows.
    """

    vocabulary: Vocabulary
    parameters: Mapping[str, Parameter]
    definitions: Mapping[str, str] = field(default_factory=dict)
    plan: Plan = field(default_factory=Plan)
    _text: str = ""
    _within: list[str] = field(default_factory=list)

    def condition(self, text: str) -> int:
        """Node that is true where a condition holds.

        Raises:
            ExpressionError: Naming character, rule and remedy.
        """
        self._text = text
        return self._truth(parse(text), wanted=True)

    def number(self, text: str) -> tuple[int, Quantity]:
        """Node of a number, and what it measures.

        Raises:
            ExpressionError: Naming character, rule and remedy.
        """
        self._text = text
        found = self._numeric(parse(text))
        return found.node, found.quantity or RATIO

    def _error(self, at: int, problem: str) -> ExpressionError:
        return ExpressionError(self._text, at, problem)

    @contextmanager
    def _defined(self, name: Name) -> Iterator[Tree]:
        """The tree of a named expression, in whose text places are told meanwhile."""
        if name.name in self._within:
            raise self._error(name.at, f"{name.name!r} is made of itself. Break the circle")
        outer, self._text = self._text, self.definitions[name.name]
        self._within.append(name.name)
        try:
            yield parse(self._text)
        except ExpressionError as error:
            if error.within:
                raise
            raise ExpressionError(self._text, error.at, error.problem, within=name.name) from error
        finally:
            self._within.pop()
            self._text = outer

    def _truth(self, tree: Tree, *, wanted: bool) -> int:
        """Node that is true where a condition surely holds (or, if not wanted, surely does not)."""
        if isinstance(tree, Truth):
            return self.plan.add(Node("truth", value=float(tree.value is wanted)))
        if isinstance(tree, Name):
            return self._flag(tree, wanted=wanted)
        if isinstance(tree, Number):
            raise self._error(tree.at, "a number where a condition is expected. Compare it, e.g. `x > 3 m`")
        if tree.operator == "not":
            return self._truth(tree.arguments[0], wanted=not wanted)
        if tree.operator in {"and", "or"}:
            inputs = tuple(sorted({self._truth(one, wanted=wanted) for one in tree.arguments}))
            return self.plan.add(Node("both" if (tree.operator == "and") is wanted else "either", inputs))
        if tree.operator in COMPARISONS:
            return self._comparison(tree, wanted=wanted)
        if tree.operator in _TRUE_OF:
            return self._truth_function(tree, wanted=wanted)
        self._signature(tree)
        raise self._error(tree.at, f"{tree.operator!r} gives a number where a condition is expected. Compare it")

    def _flag(self, tree: Name, *, wanted: bool) -> int:
        if tree.name in self.definitions:
            with self._defined(tree) as inner:
                return self._truth(inner, wanted=wanted)
        kind = self._known(tree)
        if not isinstance(kind, SignalKind) or not kind.truth:
            raise self._error(tree.at, f"{tree.name!r} is a number where a condition is expected. Compare it")
        return self.plan.add(Node("holds" if wanted else "fails", name=tree.name))

    def _comparison(self, tree: Apply, *, wanted: bool) -> int:
        left, right = (self._numeric(one) for one in tree.arguments)
        self._same(tree, left, right)
        operator = tree.operator if wanted else _OPPOSITE[tree.operator]
        return self.plan.add(Node(operator, (left.node, right.node)))

    def _truth_function(self, tree: Apply, *, wanted: bool) -> int:
        self._signature(tree)
        if tree.operator in {"missing", "present"}:
            operation = tree.operator if wanted else ("present" if tree.operator == "missing" else "missing")
            (argument,) = tree.arguments
            plain = isinstance(argument, Name) and argument.name not in self.definitions
            kind = self._known(argument) if plain and isinstance(argument, Name) else None
            if isinstance(argument, Name) and isinstance(kind, SignalKind) and kind.truth:
                return self.plan.add(Node(operation, (self._read(argument.name, kind),)))
            return self.plan.add(Node(operation, (self._numeric(argument).node,)))
        operation = tree.operator if wanted else _OVER_TIME.get(tree.operator, tree.operator)
        inner = self._truth(tree.arguments[0], wanted=wanted)
        return self.plan.add(Node(operation, (inner,), samples=self._window(tree)))

    def _numeric(self, tree: Tree) -> _Numeric:
        if isinstance(tree, Number):
            quantity, value = in_base(tree)
            free = tree.unit is None and tree.value == 0.0
            return _Numeric(self.plan.add(Node("constant", value=value)), None if free else quantity, value)
        if isinstance(tree, Truth):
            raise self._error(tree.at, "a truth value where a number is expected. Write a number with its unit")
        if isinstance(tree, Name):
            return self._named(tree)
        makers: Mapping[str, Callable[[Apply], _Numeric]] = {
            "+": self._sum,
            "-": self._sum,
            "*": self._product,
            "/": self._product,
            "negate": self._of_one,
            "abs": self._of_one,
            "min": self._sum,
            "max": self._sum,
            "otherwise": self._otherwise,
            "share": self._share,
            "change": self._change,
            **dict.fromkeys(_WINDOWED, self._windowed),
        }
        if tree.operator in makers:
            if tree.operator in FUNCTIONS:
                self._signature(tree)
            return makers[tree.operator](tree)
        if tree.operator in {"and", "or", "not", *COMPARISONS, *_TRUE_OF}:
            raise self._error(tree.at, f"{tree.operator!r} gives a condition where a number is expected. Use share(…)")
        self._signature(tree)
        raise self._error(tree.at, f"{tree.operator!r} is no number")

    def _signature(self, tree: Apply) -> None:
        if tree.operator not in FUNCTIONS:
            raise self._error(tree.at, f"there is no function {tree.operator!r}.{_near(tree.operator, FUNCTIONS)}")
        wanted = FUNCTIONS[tree.operator].count(",") + 1
        if len(tree.arguments) != wanted:
            raise self._error(
                tree.at, f"{tree.operator} has {len(tree.arguments)} arguments. Write {FUNCTIONS[tree.operator]}"
            )

    def _known(self, tree: Name) -> SignalKind | Parameter:
        if tree.name in self.parameters:
            return self.parameters[tree.name]
        if tree.name in self.vocabulary.signals:
            return self.vocabulary.signals[tree.name]
        names = (*self.parameters, *self.definitions, *self.vocabulary.signals)
        raise self._error(tree.at, f"no signal, parameter or definition {tree.name!r}.{_near(tree.name, names)}")

    def _read(self, name: str, kind: SignalKind) -> int:
        base = into_base(kind.unit)
        return self.plan.add(Node("signal", name=name, value=base.scale, offset=base.offset))

    def _named(self, tree: Name) -> _Numeric:
        if tree.name in self.definitions:
            with self._defined(tree) as inner:
                return self._numeric(inner)
        kind = self._known(tree)
        if isinstance(kind, SignalKind):
            if kind.truth:
                raise self._error(tree.at, f"{tree.name!r} is true or false. Use it as a condition, or share(…)")
            return _Numeric(self._read(tree.name, kind), Quantity.of(kind.unit))
        node = self.plan.add(Node("constant", value=kind.value))
        for zone, value in kind.zoned:
            lat, lon = (self._read(name, SignalKind("1")) for name in self.vocabulary.position)
            inside = self.plan.add(Node("inside", (lat, lon), polygon=zone.polygon))
            node = self.plan.add(Node("select", (inside, self.plan.add(Node("constant", value=value)), node)))
        return _Numeric(node, kind.quantity, None if kind.zoned else kind.value)

    def _same(self, tree: Apply, left: _Numeric, right: _Numeric) -> Quantity | None:
        for one in (left, right):
            if one.quantity is None:
                other = right if one is left else left
                if other.quantity == Quantity.of("K"):
                    raise self._error(tree.at, "a temperature against a bare 0. Write 0 degC or 0 K")
                return other.quantity
        if left.quantity != right.quantity:
            words = [one.quantity.words for one in (left, right) if one.quantity is not None]
            raise self._error(
                tree.at, f"{tree.operator!r} between {words[0]} and {words[1]}. Give both the same kind of unit"
            )
        return left.quantity

    def _sum(self, tree: Apply) -> _Numeric:
        left, right = (self._numeric(one) for one in tree.arguments)
        quantity = self._same(tree, left, right)
        names = {"+": "add", "-": "subtract", "min": "lower", "max": "upper"}
        return _Numeric(self.plan.add(Node(names[tree.operator], (left.node, right.node))), quantity)

    def _otherwise(self, tree: Apply) -> _Numeric:
        first, second = (self._numeric(one) for one in tree.arguments)
        quantity = self._same(tree, first, second)
        there = self.plan.add(Node("present", (first.node,)))
        return _Numeric(self.plan.add(Node("select", (there, first.node, second.node))), quantity)

    def _product(self, tree: Apply) -> _Numeric:
        left, right = (self._numeric(one) for one in tree.arguments)
        if tree.operator == "/" and right.fixed == 0.0:
            raise self._error(tree.at, "division by 0. Correct the divisor")
        sign, name = (1, "multiply") if tree.operator == "*" else (-1, "divide")
        quantity = (left.quantity or RATIO).times(right.quantity or RATIO, sign)
        return _Numeric(self.plan.add(Node(name, (left.node, right.node))), quantity)

    def _of_one(self, tree: Apply) -> _Numeric:
        (argument,) = (self._numeric(one) for one in tree.arguments)
        if tree.operator == "negate" and argument.fixed is not None:
            node = self.plan.add(Node("constant", value=0.0 - argument.fixed))
            return _Numeric(node, argument.quantity, 0.0 - argument.fixed)
        name = "negate" if tree.operator == "negate" else "absolute"
        return _Numeric(self.plan.add(Node(name, (argument.node,))), argument.quantity)

    def _windowed(self, tree: Apply) -> _Numeric:
        argument = self._numeric(tree.arguments[0])
        node = Node(_WINDOWED[tree.operator], (argument.node,), samples=self._window(tree))
        return _Numeric(self.plan.add(node), argument.quantity)

    def _change(self, tree: Apply) -> _Numeric:
        argument, samples = self._numeric(tree.arguments[0]), self._window(tree)
        seconds = samples * self.vocabulary.step_ms / 1000.0
        quantity = (argument.quantity or RATIO).per_time()
        return _Numeric(self.plan.add(Node("change", (argument.node,), samples=samples, value=seconds)), quantity)

    def _share(self, tree: Apply) -> _Numeric:
        inner = self._truth(tree.arguments[0], wanted=True)
        return _Numeric(self.plan.add(Node("share", (inner,), samples=self._window(tree))), RATIO)

    def _window(self, tree: Apply) -> int:
        written = tree.arguments[1]
        if not isinstance(written, Number) or written.unit is None or dimension_of(written.unit) != "time":
            raise self._error(
                written.at,
                f"the window of {tree.operator} is not a written time, so it has no bound. Write e.g. `0.5 s`",
            )
        seconds = _exact(written.value) * _exact(into_base(written.unit).scale)
        samples = self.vocabulary.samples(seconds)
        if samples < 1 or samples.denominator != 1:
            raise self._error(
                written.at,
                f"a window of {float(seconds):g} s is no multiple of the grid's {self.vocabulary.step_s:g} s. "
                "Round it to one",
            )
        if seconds > Fraction(self.vocabulary.max_window_s) or samples > MAX_SAMPLES:
            longest = min(self.vocabulary.max_window_s, MAX_SAMPLES * self.vocabulary.step_s)
            raise self._error(written.at, f"a window of {float(seconds):g} s, longest {longest:g} s. Shorten it")
        return int(samples)


def _exact(value: float) -> Fraction:
    """The decimal number that was written."""
    return Fraction(str(value))


def _near(name: str, known: "Mapping[str, object] | tuple[str, ...]") -> str:
    close = difflib.get_close_matches(name, list(known), n=1)
    return f" Did you mean {close[0]!r}?" if close else f" Known: {', '.join(sorted(known))[:300]}"
