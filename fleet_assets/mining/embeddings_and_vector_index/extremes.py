"""What of a clip's motion goes beyond ordinary driving, and how far: one number for each kind of extreme.

A clip's course and quantiles are those of its many ordinary seconds, in which a second of something rare is lost. Here
each kind has a number of its own: how far the greatest value of an expression (docs/triggers.md) lies beyond what is
ordinary, in steps of a frozen scale, cut off at a limit. It is 0 for most clips. What is watched for is the policy's:
the key `extremes` of `motion` in the document `embeddings`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fleet_assets.policy.canonical import CanonicalSignals
from fleet_assets.policy.documents import InvalidPolicyError
from fleet_assets.policy.expressions.checking import Checker, SignalKind, Vocabulary
from fleet_assets.policy.expressions.columnar import Columns
from fleet_assets.policy.expressions.literals import quantity_of
from fleet_assets.policy.expressions.plan import Plan
from fleet_assets.policy.expressions.syntax import ExpressionError
from fleet_assets.policy.trigger_runs import stretches

_NS_PER_MS: Final = 1_000_000
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Extreme:
    """One kind of extreme.

    Attributes:
        values: Nodes of its expressions; of several the first one counts that has a value in the clip.
        where: Node of the condition under which a value counts; None for always.
        ordinary: Value up to which nothing is extreme, in base units.
        scale: What counts as one step beyond it, in base units.
        weight: How much it counts.
    """

    values: tuple[int, ...]
    where: int | None
    ordinary: float
    scale: float
    weight: float


@dataclass(frozen=True)
class Extremes:
    """All kinds of extremes of a policy, ready to run.

    Attributes:
        plan: Operations of all expressions.
        step_ms: Spacing of the grid.
        limit: Steps beyond the ordinary at which all numbers are cut off.
        kinds: The kinds, in order of the policy.
    """

    plan: Plan
    step_ms: int
    limit: float
    kinds: tuple[Extreme, ...]

    @property
    def signals(self) -> frozenset[str]:
        """Signals that some expression reads."""
        roots = [root for one in self.kinds for root in (*one.values, *([] if one.where is None else [one.where]))]
        return self.plan.signals(roots)

    def __call__(self, t_ns: NDArray[np.int64], signals: Mapping[str, Floats]) -> Floats:
        """How far one clip goes beyond the ordinary, float64[kinds].

        Args:
            t_ns: int64[n], its grid instants in order.
            signals: float64[n] by signal, NaN where nothing was measured; absent ones are missing throughout.

        Raises:
            DisorderedSamplesError: When instants repeat or run backward.
        """
        peaks: list[list[float]] = [[-np.inf] * len(one.values) for one in self.kinds]
        for first, end in stretches(t_ns, self.step_ms * _NS_PER_MS):
            own = {name: column[first:end] for name, column in signals.items()}
            columns = Columns(self.plan, own, end - first)
            for peak, one in zip(peaks, self.kinds, strict=True):
                counts = np.ones(end - first, dtype=bool) if one.where is None else columns.truth(one.where)
                for at, value in enumerate(one.values):
                    peak[at] = float(np.fmax.reduce(columns.number(value)[counts], initial=peak[at]))
        return np.array([self._beyond(one, peak) for one, peak in zip(self.kinds, peaks, strict=True)])

    def _beyond(self, one: Extreme, peaks: list[float]) -> float:
        """Steps beyond the ordinary, weighted; none where nothing was measured."""
        peak = next((value for value in peaks if value > -np.inf), one.ordinary)
        return one.weight * float(np.clip((peak - one.ordinary) / one.scale, 0.0, self.limit))


def compile_extremes(policy: Mapping[str, Any], canonical: CanonicalSignals) -> Extremes:
    """The extremes of a policy.

    Args:
        policy: Key `extremes` of `motion` in the document `embeddings`.
        canonical: The fleet's signals and grid.

    Raises:
        InvalidPolicyError: Naming every expression and unit that breaks a rule, with its place.
    """
    signals = {one.name: SignalKind(one.unit, one.type == "bool") for one in canonical.on_grid}
    vocabulary = Vocabulary(signals, canonical.grid_ms, policy["max_window_s"])
    checker = Checker(vocabulary, {}, policy["definitions"])
    kinds, problems = [], []
    for name, body in policy["kinds"].items():
        try:
            kinds.append(_compiled(checker, body))
        except (ExpressionError, InvalidPolicyError) as error:
            problems.append(f"motion/extremes/kinds/{name}: {error}")
    if problems:
        raise InvalidPolicyError("embeddings: " + "; ".join(problems))
    return Extremes(checker.plan, canonical.grid_ms, policy["limit"], tuple(kinds))


def _compiled(checker: Checker, body: Mapping[str, Any]) -> Extreme:
    (quantity, ordinary), (step, scale) = quantity_of(body["ordinary"]), quantity_of(body["scale"])
    if scale <= 0.0:
        raise InvalidPolicyError(f"the scale {body['scale']} is not above 0. Give the size of a step")
    values = []
    for text in body["of"]:
        node, found = checker.number(text)
        if not found == quantity == step:
            raise InvalidPolicyError(
                f"`{text}` gives {found.words}, ordinary is {quantity.words}, scale {step.words}. Give all one unit"
            )
        values.append(node)
    where = checker.condition(body["where"]) if "where" in body else None
    return Extreme(tuple(values), where, ordinary, scale, body.get("weight", 1.0))
