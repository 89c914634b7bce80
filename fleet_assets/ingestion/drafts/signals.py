"""What the values of a recording may mean: canonical signals by name, unit, plausible range and gravity.

Here belongs guessing, with its reasons. Writing the guesses down as a spec is in `draft.py`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fleet_assets.ingestion.drafts.messages import Heard
from fleet_assets.ingestion.drafts.rules import AxesRule, DraftingRules, SignalRule
from fleet_assets.policy.canonical import CanonicalSignal, CanonicalSignals
from fleet_assets.policy.units import UnknownUnitError, conversion

_IN_RANGE: Final = 0.99
_TURN_RAD: Final = 2 * np.pi + 0.01
_TELLING_RAD: Final = 0.5
"""Values that vary less may be degrees of a straight road."""
_ALTERNATIVES: Final = 2
_CROSS: Final = {"z": ("x", "y", 1.0), "x": ("y", "z", 1.0), "y": ("x", "z", -1.0)}
"""By upward axis: the axis taken for forward, the one that then points left, and its sign (left = up × forward)."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """A canonical signal made of one kind of message.

    Attributes:
        signal: The canonical signal.
        heard: The message.
        fields: Its field, or the fields whose mean it is.
        unit: Unit as sent.
        scale: -1 where the sign is turned around.
        wrap: Whether it is brought into its circular range.
        unsure: What a person must confirm, and why.
    """

    signal: str
    heard: Heard
    fields: tuple[str, ...]
    unit: str
    scale: float = 1.0
    wrap: bool = False
    unsure: tuple[str, ...] = ()


@dataclass(slots=True)
class Guesses:
    """What was found so far, by canonical signal, and why names that looked right were passed over."""

    chosen: dict[str, Proposal] = field(default_factory=dict)
    passed_over: dict[str, list[str]] = field(default_factory=dict)

    def of(self, heard: Heard) -> list[Proposal]:
        """The signals of one message, in the order in which they were found."""
        return [proposal for proposal in self.chosen.values() if proposal.heard is heard]


@dataclass(frozen=True, slots=True)
class _Fit:
    """A field that may be a signal: its unit, and what is unsure about it."""

    heard: Heard
    name: str
    unit: str
    stated: bool
    unsure: tuple[str, ...]


def _unit(rule: SignalRule, heard: Heard, name: str, rules: DraftingRules) -> tuple[str, bool, list[str]]:
    """Unit of a field, whether the recording or its database states it, and what is unsure about it."""
    spelt = heard.units.get(name, "")
    if known := rules.unit(spelt):
        return known, True, []
    values = _finite(heard.values[name])
    if rule.may_be_radians and len(values) and np.abs(values).max() <= _TURN_RAD and np.ptp(values) > _TELLING_RAD:
        return "rad", False, [f"{name} has no unit; its values stay within one turn in rad, or else it is {rule.unit}"]
    if spelt:
        return rule.unit, False, [f"the unit {spelt!r} of {name} is not known, {rule.unit} is assumed"]
    return rule.unit, False, [] if heard.type else [f"{name} has no unit, {rule.unit} is assumed"]


def _finite(values: NDArray[np.float64]) -> NDArray[np.float64]:
    kept: NDArray[np.float64] = values[np.isfinite(values)]
    return kept


def _objection(rule: SignalRule, wanted: CanonicalSignal, values: NDArray[np.float64], unit: str) -> str | None:
    """Why values are not this signal's, or None."""
    finite = _finite(values)
    if rule.values and not np.isin(finite, rule.values).all():
        return f"values other than {', '.join(f'{value:g}' for value in rule.values)}"
    try:
        into = conversion(unit, wanted.unit)
    except UnknownUnitError:
        return f"unit {unit}, which cannot become {wanted.unit}"
    low, high = wanted.range or (-np.inf, np.inf)
    if rule.wrap and wanted.circular_period:
        low, high = low - wanted.circular_period, high + wanted.circular_period
    canonical = finite * into.scale + into.offset
    inside = np.mean((canonical >= low) & (canonical <= high))
    if inside < _IN_RANGE:
        return f"{1 - inside:.0%} of its values in {unit} out of {low:g} to {high:g} {wanted.unit}"
    return None


def _fits(
    rule: SignalRule, wanted: CanonicalSignal, heards: Sequence[Heard], rules: DraftingRules, guesses: Guesses
) -> Iterator[_Fit]:
    for heard in heards:
        for name, values in heard.values.items():
            if not rule.finds(rules.alias(heard.channel, name), heard.kind):
                continue
            unit, stated, unsure = _unit(rule, heard, name, rules)
            vouched = values[_vouched(heard, rules)]
            if not len(_finite(vouched)):
                unsure.append(f"{name} is never valid in the part of the recording that was looked at")
            elif objection := _objection(rule, wanted, vouched, unit):
                words = f"{heard.title}: {name} is not taken for {rule.signal}: {objection}"
                guesses.passed_over.setdefault(rule.signal, []).append(words)
                continue
            elif np.ptp(_finite(vouched)) == 0:
                unsure.append(f"{name} never changes in the part of the recording that was looked at")
            yield _Fit(heard, name, unit, stated, tuple(unsure))


def _by_name(
    rule: SignalRule, wanted: CanonicalSignal, heards: Sequence[Heard], rules: DraftingRules, guesses: Guesses
) -> None:
    fits = sorted(
        _fits(rule, wanted, heards, rules, guesses),
        key=lambda fit: (-int(fit.stated), -fit.heard.messages, fit.heard.title, fit.name),
    )
    if not fits:
        return
    best, others = fits[0], fits[1 : 1 + _ALTERNATIVES]
    unsure = [*best.unsure, *([rule.unsure] if rule.unsure else [])]
    if others:
        unsure.append("it could also be " + ", ".join(f"{fit.name} of {fit.heard.title}" for fit in others))
    guesses.chosen[rule.signal] = Proposal(
        rule.signal, best.heard, (best.name,), best.unit, wrap=_wraps(rule, wanted, best), unsure=tuple(unsure)
    )


def _wraps(rule: SignalRule, wanted: CanonicalSignal, fit: _Fit) -> bool:
    if not rule.wrap or wanted.circular_period is None or wanted.range is None:
        return False
    into = conversion(fit.unit, wanted.unit)
    canonical = _finite(fit.heard.values[fit.name]) * into.scale + into.offset
    return bool((canonical < wanted.range[0]).any() or (canonical > wanted.range[1]).any())


def _by_mean(rule: SignalRule, guesses: Guesses) -> None:
    parts = [guesses.chosen[name] for name in rule.mean_of if name in guesses.chosen]
    if len(parts) == len(rule.mean_of) and all(part.heard is parts[0].heard for part in parts):
        fields = tuple(part.fields[0] for part in parts)
        guesses.chosen[rule.signal] = Proposal(rule.signal, parts[0].heard, fields, parts[0].unit)


@dataclass(frozen=True, slots=True)
class _Triple:
    """Fields of one vector by axis."""

    heard: Heard
    fields: dict[str, str]
    unit: str
    stated: bool


def _triple(rule: AxesRule, heard: Heard, rules: DraftingRules) -> _Triple | None:
    groups: dict[str, dict[str, str]] = {}
    for name in heard.values:
        alias = rules.alias(heard.channel, name)
        match = rule.match.search(alias)
        if match and not rules.never.search(alias):
            groups.setdefault(alias[: match.start("axis")], {}).setdefault(match["axis"].lower(), name)
    whole = [fields for _, fields in sorted(groups.items()) if len(fields) == len(_CROSS)]
    if not whole:
        return None
    stated = rules.unit(heard.units.get(whole[0]["x"], ""))
    return _Triple(heard, whole[0], stated or rule.unit, stated is not None)


def _best_triple(rule: AxesRule, heards: Sequence[Heard], rules: DraftingRules) -> _Triple | None:
    found = [triple for heard in heards if (triple := _triple(rule, heard, rules))]
    return max(found, key=lambda one: (one.heard.rate_hz or 0.0, one.heard.title), default=None)


def _up(triple: _Triple, rules: DraftingRules) -> tuple[str, float] | None:
    """The axis that measures gravity and its sign, or None."""
    to_mps2 = conversion(triple.unit, rules.acceleration.unit)
    low, high = rules.gravity_mps2
    medians = {
        axis: float(np.median(_finite(triple.heard.values[name]) * to_mps2.scale))
        for axis, name in triple.fields.items()
        if len(_finite(triple.heard.values[name]))
    }
    axis = max(medians, key=lambda axis: abs(medians[axis]), default=None)
    if axis is None or not low <= abs(medians[axis]) <= high:
        return None
    return axis, float(np.sign(medians[axis]))


def _by_axes(heards: Sequence[Heard], rules: DraftingRules, guesses: Guesses) -> None:
    accel = _best_triple(rules.acceleration, heards, rules)
    rate = _best_triple(rules.angular_rate, heards, rules)
    up = None
    try:
        up = _up(accel, rules) if accel else None
    except UnknownUnitError:
        accel = None
    axis, sign = up or (rules.up_without_gravity, 1.0)
    forward, left, turn = _CROSS[axis]
    why = f"gravity is on {axis}" if up else f"no axis shows gravity, {axis} is assumed to point up"
    if accel:
        rule = rules.acceleration
        for signal, place, scale in (
            (rule.forward, forward, 1.0),
            (rule.left, left, sign * turn),
            (rule.up, axis, sign),
        ):
            said = (
                [why]
                if place == axis
                else [f"{why}; that {forward} points forward is assumed, it may be {left} or backward"]
            )
            _propose(guesses, signal, accel, axis=place, scale=scale, unsure=said)
    if rate:
        said = [why, "left must be positive"]
        _propose(guesses, rules.angular_rate.up, rate, axis=axis, scale=sign, unsure=said)


def _propose(guesses: Guesses, signal: str, triple: _Triple, *, axis: str, scale: float, unsure: list[str]) -> None:
    name = triple.fields[axis]
    if signal and signal not in guesses.chosen:
        if not triple.stated and not triple.heard.type:
            unsure = [*unsure, f"{name} has no unit, {triple.unit} is assumed"]
        guesses.chosen[signal] = Proposal(signal, triple.heard, (name,), triple.unit, scale, unsure=tuple(unsure))


def guess_signals(heards: Sequence[Heard], rules: DraftingRules, canonical: CanonicalSignals) -> Guesses:
    """Find canonical signals among the values of a recording; each is given by one message.

    Args:
        heards: Messages with values.
        rules: Which names and values propose which signals.
        canonical: The fleet's signals; rules for others are passed over.
    """
    guesses = Guesses()
    for rule in rules.signals:
        wanted = canonical.signals.get(rule.signal)
        if wanted is None or rule.signal in guesses.chosen:
            continue
        if rule.mean_of:
            _by_mean(rule, guesses)
        else:
            _by_name(rule, wanted, heards, rules, guesses)
    _by_axes(heards, rules, guesses)
    guesses.chosen = {name: one for name, one in guesses.chosen.items() if name in canonical.signals}
    return guesses


@dataclass(frozen=True, slots=True)
class UtcGuess:
    """A field that states UTC as time since 1970."""

    heard: Heard
    name: str
    unit: str


def guess_utc(heards: Sequence[Heard], rules: DraftingRules, bounds_ns: tuple[int, int]) -> list[UtcGuess]:
    """Find fields whose values lie between plausible dates and advance with the clock, GNSS first.

    Args:
        heards: Messages with values.
        rules: Units, and names of stamps that are the recorder's own.
        bounds_ns: Earliest and latest plausible UTC.
    """
    found = []
    for heard in heards:
        for name, values in heard.values.items():
            if rules.utc_never.search(rules.alias(heard.channel, name)):
                continue
            unit = next((unit for unit in rules.utc_units if _counts_time(heard.t_ns, values, unit, bounds_ns)), None)
            if unit is not None:
                found.append(UtcGuess(heard, name, unit))
    return sorted(found, key=lambda one: (one.heard.kind != "gnss", -one.heard.messages, one.heard.title, one.name))


def _counts_time(t_ns: NDArray[np.int64], values: NDArray[np.float64], unit: str, bounds_ns: tuple[int, int]) -> bool:
    utc_ns = values * conversion(unit, "ns").scale
    with np.errstate(invalid="ignore"):
        plausible = (utc_ns >= bounds_ns[0]) & (utc_ns <= bounds_ns[1])
    rows = np.flatnonzero(plausible)
    if len(rows) < 2 or len(rows) < len(values) / 2:  # noqa: PLR2004 - a step needs two; a receiver finds its fix in time
        return False
    passed = float(t_ns[rows[-1]] - t_ns[rows[0]])
    counted = float(utc_ns[rows[-1]] - utc_ns[rows[0]])
    return passed > 0 and 0.8 * passed <= counted <= 1.2 * passed


def guess_valid(heard: Heard, rules: DraftingRules) -> str | None:
    """The flag under which a message vouches for its values; None where none or several could be it."""
    found = []
    for name, values in heard.values.items():
        finite = _finite(values)
        flag = len(finite) > 0 and bool(np.isin(finite, (0.0, 1.0)).all())
        if flag and rules.valid.search(rules.alias(heard.channel, name)):
            found.append(name)
    return found[0] if len(found) == 1 else None


def _vouched(heard: Heard, rules: DraftingRules) -> NDArray[np.bool_]:
    """Messages whose values count: those that their flag vouches for, all where there is none."""
    flag = guess_valid(heard, rules)
    if flag is None:
        return np.ones(len(heard.t_ns), dtype=np.bool_)
    kept: NDArray[np.bool_] = heard.values[flag] == rules.valid_equals
    return kept


def projected_fields(heard: Heard, rules: DraftingRules) -> dict[str, Any]:
    """Fields that look like projected coordinates, by direction; empty where not both are there."""
    found = {}
    for direction, pattern in (("east", rules.east), ("north", rules.north)):
        names = [name for name in heard.values if pattern.search(rules.alias(heard.channel, name))]
        names = [name for name in names if not rules.never.search(rules.alias(heard.channel, name))]
        if names:
            found[direction] = min(names, key=lambda name: (len(name), name))
    return found if len(found) == len(("east", "north")) else {}
