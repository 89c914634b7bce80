"""The policy document `spec_drafting` as frozen data: which names, units and values propose which canonical signals.

Here belong patterns and their parsing; applying them is in `signals.py` and `tables.py`.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from fleet_assets.policy.documents import InvalidPolicyError
from fleet_assets.policy.units import UNIT_NAMES

_HUMP: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


def spoken(name: str) -> str:
    """A name as patterns see it: `WheelSpeedFL` as `wheel_speed_fl`."""
    return _HUMP.sub("_", name).lower()


@dataclass(frozen=True, slots=True)
class SignalRule:
    """One way to find a canonical signal.

    Attributes:
        signal: The canonical signal.
        match: Pattern of the name; None for a mean of other signals.
        never: Pattern of names that are something else.
        kinds: Kinds of sensors that may give it; any when empty.
        unit: Unit where none is stated.
        wrap: Whether it is circular.
        may_be_radians: Whether small values mean radians.
        values: All values that occur; any when empty.
        unsure: What a person must confirm.
        mean_of: Signals of one message whose mean it is.
    """

    signal: str
    match: re.Pattern[str] | None
    never: re.Pattern[str]
    kinds: tuple[str, ...] = ()
    unit: str = ""
    wrap: bool = False
    may_be_radians: bool = False
    values: tuple[float, ...] = ()
    unsure: str = ""
    mean_of: tuple[str, ...] = ()

    def finds(self, name: str, kind: str) -> bool:
        """Whether a field of this name, in a message of this kind of sensor, may be the signal."""
        if self.match is None or (self.kinds and kind not in self.kinds):
            return False
        return self.match.search(name) is not None and self.never.search(name) is None


@dataclass(frozen=True, slots=True)
class AxesRule:
    """Three fields of one vector; the pattern's group `axis` names the axis."""

    match: re.Pattern[str]
    unit: str
    forward: str
    left: str
    up: str


@dataclass(frozen=True, slots=True)
class TableRules:
    """How columns of text tables are recognised."""

    time: re.Pattern[str]
    text_formats: tuple[str, ...]
    start: re.Pattern[str]
    end: re.Pattern[str]


@dataclass(frozen=True, slots=True)
class DraftingRules:
    """The whole document; see its comments."""

    probe_s: float
    rate_tolerance: float
    latency_uncertainty_ms: Mapping[str, float]
    kinds: tuple[tuple[str, re.Pattern[str]], ...]
    columns: tuple[tuple[re.Pattern[str], Mapping[str, tuple[str, str]]], ...]
    units: Mapping[str, str]
    never: re.Pattern[str]
    signals: tuple[SignalRule, ...]
    acceleration: AxesRule
    angular_rate: AxesRule
    up_without_gravity: str
    gravity_mps2: tuple[float, float]
    utc_units: tuple[str, ...]
    utc_never: re.Pattern[str]
    valid: re.Pattern[str]
    valid_equals: float
    east: re.Pattern[str]
    north: re.Pattern[str]
    projected: tuple[tuple[str, str], ...]
    redundant_pairs: tuple[tuple[str, str], ...]
    tables: TableRules

    def kind(self, *texts: str) -> str | None:
        """Kind of sensor by the names and types of its channel or message."""
        text = spoken(" ".join(texts))
        return next((kind for kind, match in self.kinds if match.search(text)), None)

    def alias(self, channel: str, field: str) -> str:
        """Name of a field as patterns see it, where the recording itself names none."""
        return spoken(self._known(channel, field)[0])

    def known_unit(self, channel: str, field: str) -> str:
        """Unit of a field where its format fixes one, else empty."""
        return self._known(channel, field)[1]

    def _known(self, channel: str, field: str) -> tuple[str, str]:
        for pattern, columns in self.columns:
            if field in columns and pattern.search(channel):
                return columns[field]
        return field, ""

    def unit(self, stated: str) -> str | None:
        """The table's name of a unit, or None for one that is not stated or not known."""
        return stated if stated in UNIT_NAMES else self.units.get(stated)


def _pattern(text: str) -> re.Pattern[str]:
    try:
        return re.compile(text, re.IGNORECASE)
    except re.error as error:
        raise InvalidPolicyError(f"spec_drafting: pattern {text!r}: {error}. Correct it.") from error


def _named(columns: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    parts = {field: text.partition(" ") for field, text in columns.items()}
    return {field: (name, unit) for field, (name, _, unit) in parts.items()}


def _signal(body: Mapping[str, Any], never: str) -> SignalRule:
    return SignalRule(
        signal=body["signal"],
        match=_pattern(body["match"]) if "match" in body else None,
        never=_pattern(f"{never}|{body['not']}" if "not" in body else never),
        kinds=tuple(body.get("kinds", ())),
        unit=body.get("unit", ""),
        wrap=body.get("wrap", False),
        may_be_radians=body.get("may_be_radians", False),
        values=tuple(map(float, body.get("values", ()))),
        unsure=body.get("unsure", ""),
        mean_of=tuple(body.get("mean_of", ())),
    )


def _axes(body: Mapping[str, Any]) -> AxesRule:
    return AxesRule(
        _pattern(body["match"]), body["unit"], body.get("forward", ""), body.get("left", ""), body.get("up", "")
    )


def _yaw_rule(axes: Mapping[str, Any], never: str) -> SignalRule:
    return _signal({**axes["yaw_rate"], "signal": axes["angular_rate"]["up"]}, never)


def _pairs(pairs: Sequence[Sequence[str]]) -> tuple[tuple[str, str], ...]:
    return tuple((first, second) for first, second in pairs)


def parse_drafting_rules(document: Mapping[str, Any]) -> DraftingRules:
    """Turn the schema-checked document `spec_drafting` into data.

    Raises:
        InvalidPolicyError: When a pattern cannot be compiled or a unit is not of the table.
    """
    if strange := sorted(set(document["unit_spellings"]) - set(UNIT_NAMES)):
        raise InvalidPolicyError(f"spec_drafting: unit_spellings: {strange} are no units of the table. Correct them.")
    axes, tables, never = document["axes"], document["tables"], document["never"]
    low, high = axes["gravity_mps2"]
    return DraftingRules(
        probe_s=document["probe_s"],
        rate_tolerance=document["rate_tolerance"],
        latency_uncertainty_ms=document["latency_uncertainty_ms"],
        kinds=tuple((body["kind"], _pattern(body["match"])) for body in document["kinds"]),
        columns=tuple((_pattern(body["channel"]), _named(body["columns"])) for body in document["columns"]),
        units={spelt: unit for unit, spellings in document["unit_spellings"].items() for spelt in spellings},
        never=_pattern(never),
        signals=(*(_signal(body, never) for body in document["signals"]), _yaw_rule(axes, never)),
        acceleration=_axes(axes["acceleration"]),
        angular_rate=_axes(axes["angular_rate"]),
        up_without_gravity=axes["up_without_gravity"],
        gravity_mps2=(low, high),
        utc_units=tuple(document["utc"]["units"]),
        utc_never=_pattern(document["utc"]["not"]),
        valid=_pattern(document["valid"]["match"]),
        valid_equals=document["valid"]["equals"],
        east=_pattern(document["projected"]["east"]),
        north=_pattern(document["projected"]["north"]),
        projected=tuple(document["projected"]["gives"].items()),
        redundant_pairs=_pairs(document["redundant_pairs"]),
        tables=TableRules(
            _pattern(tables["time"]), tuple(tables["text_formats"]), _pattern(tables["start"]), _pattern(tables["end"])
        ),
    )
