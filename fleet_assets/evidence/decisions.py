"""From an interval and a limit to a verdict.

Here belongs the comparison alone: on which side of the limit the whole interval lies. The limit comes from a policy,
the interval from `intervals` or `bootstrap`.
"""

import math
from dataclasses import dataclass
from typing import Literal

from fleet_assets.evidence.bootstrap import TooFewClusters
from fleet_assets.evidence.intervals import Interval
from fleet_assets.evidence.power import further_units
from fleet_assets.evidence.verdicts import Figure, Outcome, Verdict


@dataclass(frozen=True, slots=True)
class _Question:
    """Whether a quantity, counted over units, is at most or at least a limit."""

    claim: Literal["at most", "at least"]
    limit: float
    quantity: str
    unit: str

    def __post_init__(self) -> None:
        if not math.isfinite(self.limit):
            raise ValueError(
                f"the limit of {self.quantity} is {self.limit}; nothing compares with it. Set a finite limit."
            )


def at_most(
    interval: Interval | TooFewClusters,
    limit: float,
    *,
    quantity: str,
    unit: str,
    evidence_digest: str,
    policy_digest: str,
) -> Verdict:
    """Decide "the quantity is at most the limit": pass if high <= limit, fail if low > limit, else inconclusive.

    With a two-sided interval of confidence c, either decision is wrong with probability (1 - c) / 2 at most. A
    one-sided upper bound can pass but never fail.

    Args:
        interval: What is known of the quantity. TooFewClusters gives an inconclusive verdict.
        limit: The largest value allowed, finite.
        quantity: Its name in sentences, e.g. `miss rate`.
        unit: What `n` counts, in the plural, e.g. `drives`.
        evidence_digest: Digest of what the interval was computed from.
        policy_digest: Digest of the policy that sets the limit.

    Returns:
        A verdict with the figures limit, n and, where there is an interval, low, high, confidence, method and estimate.
        An inconclusive one says about how many further units would settle it.

    Raises:
        ValueError: When the limit is not finite.
    """
    question = _Question("at most", limit, quantity, unit)
    outcome = Outcome.INCONCLUSIVE
    if isinstance(interval, Interval):
        if interval.high <= limit:
            outcome = Outcome.PASS
        elif interval.low > limit:
            outcome = Outcome.FAIL
    return _verdict(outcome, interval, question, evidence_digest, policy_digest)


def at_least(
    interval: Interval | TooFewClusters,
    limit: float,
    *,
    quantity: str,
    unit: str,
    evidence_digest: str,
    policy_digest: str,
) -> Verdict:
    """Decide "the quantity is at least the limit": pass if low >= limit, fail if high < limit, else inconclusive.

    The mirror image of `at_most`, with the same arguments, figures and errors. A one-sided lower bound can pass but
    never fail.
    """
    question = _Question("at least", limit, quantity, unit)
    outcome = Outcome.INCONCLUSIVE
    if isinstance(interval, Interval):
        if interval.low >= limit:
            outcome = Outcome.PASS
        elif interval.high < limit:
            outcome = Outcome.FAIL
    return _verdict(outcome, interval, question, evidence_digest, policy_digest)


def _verdict(
    outcome: Outcome,
    interval: Interval | TooFewClusters,
    question: _Question,
    evidence_digest: str,
    policy_digest: str,
) -> Verdict:
    figures: dict[str, Figure] = {"limit": question.limit, "n": interval.n}
    if isinstance(interval, Interval):
        figures |= {"confidence": interval.confidence, "method": interval.method}
        ends = {"low": interval.low, "high": interval.high, "estimate": interval.estimate}
        figures |= {name: end for name, end in ends.items() if end is not None and math.isfinite(end)}
    missing: tuple[str, ...] = ()
    if outcome is Outcome.INCONCLUSIVE:
        claim = f"{question.quantity} is {question.claim} {question.limit:g}"
        missing = (f"whether {claim} is open: {_why_open(interval, question)}",)
    return Verdict(outcome, figures, evidence_digest, policy_digest, missing)


def _why_open(interval: Interval | TooFewClusters, question: _Question) -> str:
    if isinstance(interval, TooFewClusters):
        return f"{interval.reason}; at least {interval.needed - interval.n} more {question.unit} are needed"
    if interval.estimate is None:
        best = 0.0 if question.claim == "at most" else 1.0
        return f"no {question.unit} yet; {_what_settles(interval, question, best)}"
    seen = (
        f"{interval.estimate:.4g} over {interval.n} {question.unit}, "
        f"{interval.confidence:.4g} interval {interval.low:.4g} to {interval.high:.4g}"
    )
    return f"{seen}; {_what_settles(interval, question, interval.estimate)}"


def _what_settles(interval: Interval, question: _Question, expected: float) -> str:
    further = further_units(interval, question.limit, expected=expected)
    if further is None:
        return (
            f"more {question.unit} like these would not settle it, since the value is too near the limit or beyond "
            "what a one-sided bound can decide; improve what is measured or use a two-sided interval"
        )
    if interval.estimate is None:
        return f"at least {further} {question.unit} without exception are needed"
    result = "pass" if (expected < question.limit) == (question.claim == "at most") else "fail"
    return f"about {further} more {question.unit} like these would settle it (as a {result})"
