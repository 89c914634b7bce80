"""Verdicts: what a gate found, in three values, and how several verdicts make one.

Here belong outcome, verdict, the Kleene algebra over them and the digest of evidence. How numbers become a verdict is
in `decisions`, how intervals come about in `intervals` and `bootstrap`; thresholds live in policies.
"""

import hashlib
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from numbers import Integral, Real
from typing import Final

from fleet_assets.provenance.canonical import canonical_json

Figure = float | int | str
"""What a verdict may show: a finite number or text."""

_SHA256: Final = re.compile(r"[0-9a-f]{64}")


class Outcome(StrEnum):
    """The three outcomes of a gate. Inconclusive means too little evidence and never lets anything pass."""

    PASS = "pass"  # noqa: S105 - an outcome, not a password
    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a gate found, on which evidence, under which policy.

    Attributes:
        outcome: Pass, fail or inconclusive.
        figures: Finite numbers and texts by name, for people and reports. Copied at construction; NumPy numbers become
            Python's.
        evidence_digest: SHA-256 (64 lower-case hex digits) of what was looked at.
        policy_digest: SHA-256 of the policy that set the limits.
        missing: One sentence per piece of evidence that would settle the outcome. An inconclusive verdict has at least
            one; a settled verdict has none, since no further evidence could change it.

    Raises:
        ValueError: When one of these rules is broken.
        TypeError: When a field has the wrong type.
    """

    outcome: Outcome
    figures: Mapping[str, Figure] = field(hash=False)
    evidence_digest: str
    policy_digest: str
    missing: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not isinstance(self.outcome, Outcome):
            raise TypeError(f"outcome is {self.outcome!r}. Use a member of Outcome; a bool has no room for 'unknown'.")
        for name, digest in (("evidence_digest", self.evidence_digest), ("policy_digest", self.policy_digest)):
            if not _SHA256.fullmatch(digest):
                raise ValueError(f"{name} is {digest!r}, expected 64 lower-case hex digits. Use evidence_digest().")
        object.__setattr__(self, "figures", {name: _figure(name, value) for name, value in self.figures.items()})
        self._check_missing()

    def _check_missing(self) -> None:
        given: object = self.missing
        if isinstance(given, str):
            raise TypeError(f"missing is the text {given!r}. Give a tuple of sentences.")
        object.__setattr__(self, "missing", tuple(self.missing))
        if any(not sentence.strip() for sentence in self.missing):
            raise ValueError("missing holds an empty sentence. Say what evidence would settle the outcome.")
        if self.outcome is Outcome.INCONCLUSIVE and not self.missing:
            raise ValueError("an inconclusive verdict must say what is missing. Give at least one sentence.")
        if self.outcome is not Outcome.INCONCLUSIVE and self.missing:
            raise ValueError(
                f"a verdict with outcome {self.outcome} says that this is missing: {'; '.join(self.missing)}. "
                "Make it inconclusive, or put the remark into figures."
            )


def _figure(name: str, value: object) -> Figure:
    if isinstance(value, str):
        return str(value)
    if isinstance(value, Integral):
        return int(value)
    if not isinstance(value, Real):
        raise TypeError(f"figure {name!r} is of type {type(value).__name__}. Give an int, a float or text.")
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(f"figure {name!r} is {number}. Leave it out, or make the verdict inconclusive and say why.")
    return number


def evidence_digest(value: object) -> str:
    """SHA-256 (hex) over the canonical JSON of a value; floats count with every bit.

    Args:
        value: A JSON value, see `canonical_json`.

    Raises:
        NotCanonicalError: When the value holds NaN, an infinity, a key that is not text or a type that is not JSON.
    """
    return hashlib.sha256(canonical_json(value)).hexdigest()


def all_of(verdicts: Mapping[str, Verdict] | Iterable[Verdict]) -> Verdict:
    """Kleene's strong conjunction: any fail → fail, else any inconclusive → inconclusive, else pass.

    Nothing to ask passes, so that an empty partition is let through.

    Args:
        verdicts: The parts. Given by name, each figure appears as `name.figure`, together with the part's own
            `name.outcome` and, where inconclusive, `name.missing`. Without names, equal figure names must have equal
            values.

    Returns:
        The joint verdict. Its digests are SHA-256 over the sorted digests of the parts (with their names, where given);
        where all parts were judged under one policy, its policy digest is that one. Its missing sentences are those of
        the inconclusive parts, sorted.

    Raises:
        ValueError: When two parts give one figure two values.
    """
    return _combine(verdicts, decisive=Outcome.FAIL, otherwise=Outcome.PASS)


def any_of(verdicts: Mapping[str, Verdict] | Iterable[Verdict]) -> Verdict:
    """Kleene's strong disjunction: any pass → pass, else any inconclusive → inconclusive, else fail.

    No alternative at all fails. Arguments, figures, digests and errors are those of `all_of`.
    """
    return _combine(verdicts, decisive=Outcome.PASS, otherwise=Outcome.FAIL)


def _combine(verdicts: Mapping[str, Verdict] | Iterable[Verdict], *, decisive: Outcome, otherwise: Outcome) -> Verdict:
    if isinstance(verdicts, Mapping):
        parts = tuple(_named(name, verdict) for name, verdict in verdicts.items())
        evidence: object = {name: verdict.evidence_digest for name, verdict in verdicts.items()}
        policies: object = {name: verdict.policy_digest for name, verdict in verdicts.items()}
    else:
        parts = tuple(verdicts)
        evidence = sorted(verdict.evidence_digest for verdict in parts)
        policies = sorted(verdict.policy_digest for verdict in parts)
    under = {verdict.policy_digest for verdict in parts}
    seen = {verdict.outcome for verdict in parts}
    outcome = next((known for known in (decisive, Outcome.INCONCLUSIVE) if known in seen), otherwise)
    missing = {sentence for verdict in parts for sentence in verdict.missing}
    return Verdict(
        outcome=outcome,
        figures=_merged_figures(parts),
        evidence_digest=evidence_digest(evidence),
        policy_digest=under.pop() if len(under) == 1 else evidence_digest(policies),
        missing=tuple(sorted(missing)) if outcome is Outcome.INCONCLUSIVE else (),
    )


def _named(name: str, verdict: Verdict) -> Verdict:
    figures: dict[str, Figure] = {f"{name}.{figure}": value for figure, value in verdict.figures.items()}
    own: dict[str, Figure] = {f"{name}.outcome": verdict.outcome.value}
    if verdict.missing:
        own[f"{name}.missing"] = "; ".join(verdict.missing)
    if taken := own.keys() & figures.keys():
        raise ValueError(f"{name!r} has figures called {sorted(taken)}, which are the verdict's own. Rename them.")
    return Verdict(
        outcome=verdict.outcome,
        figures=own | figures,
        evidence_digest=verdict.evidence_digest,
        policy_digest=verdict.policy_digest,
        missing=tuple(f"{name}: {sentence}" for sentence in verdict.missing),
    )


def _merged_figures(verdicts: Iterable[Verdict]) -> dict[str, Figure]:
    merged: dict[str, Figure] = {}
    for verdict in verdicts:
        for name, value in verdict.figures.items():
            if merged.setdefault(name, value) != value:
                raise ValueError(
                    f"figure {name!r} has the values {merged[name]!r} and {value!r}. Give the verdicts by name."
                )
    return merged
