"""The fleet's common vocabulary of signals as frozen data, parsed from the document `canonical_signals`.

Here belong names, units, value ranges and resampling kinds. How a car's own channels map onto them is the vehicle
spec's business (`vehicles.py`); resampling itself belongs to the area that does it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fleet_assets.policy.documents import InvalidPolicyError
from fleet_assets.policy.units import UnknownUnitError, conversion


@dataclass(frozen=True, slots=True)
class SpikeRule:
    """A sample is a spike where it differs from the median of its neighbours by more than the threshold.

    Attributes:
        neighbours: Samples on each side that count.
        threshold: Largest allowed difference, in the signal's unit.
    """

    neighbours: int
    threshold: float


@dataclass(frozen=True, slots=True)
class CanonicalSignal:
    """One signal of the common vocabulary.

    Attributes:
        name: Its name, ending in the unit.
        unit: Unit of every value stored under this name.
        type: ``float64`` or ``bool`` (samples carry 0 and 1).
        description: What it is and which direction is positive.
        grid: Whether it becomes a column of the gridded signals.
        resample: How it is brought to the grid: ``interpolate``, ``mean``, ``nearest`` or ``hold``; None off the grid.
        max_gap_s: Longest gap that resampling may cross.
        range: Smallest and largest physically possible value.
        spike: Rule for isolated wrong samples.
        circular_period: Period where values wrap around, e.g. 360 for a heading.
        track_column: Column of the track table that it fills, for object lists.
        role: What the platform itself uses it for, e.g. ``utc_offset``.
    """

    name: str
    unit: str
    type: str
    description: str
    grid: bool = True
    resample: str | None = None
    max_gap_s: float | None = None
    range: tuple[float, float] | None = None
    spike: SpikeRule | None = None
    circular_period: float | None = None
    track_column: str | None = None
    role: str | None = None


@dataclass(frozen=True, slots=True)
class LeadRule:
    """How the vehicle ahead is derived from tracked objects.

    Attributes:
        distance_column: Canonical signal that receives its distance.
        rel_speed_column: Canonical signal that receives its relative speed.
        track_distance: Canonical track signal with the longitudinal distance.
        track_lateral: Canonical track signal with the lateral offset.
        track_rel_speed: Canonical track signal with the relative speed.
        corridor_half_width_m: Half width of the corridor around the ego axis.
        max_age_s: Oldest track sample that may be used.
    """

    distance_column: str
    rel_speed_column: str
    track_distance: str
    track_lateral: str
    track_rel_speed: str
    corridor_half_width_m: float
    max_age_s: float


@dataclass(frozen=True, slots=True)
class CanonicalSignals:
    """The whole vocabulary, in document order.

    Attributes:
        grid_ms: Spacing of the common grid in milliseconds.
        signals: Signal by name.
        lead: Rule for the vehicle ahead; None where the fleet derives none.
        digest: Digest of the document.
    """

    grid_ms: int
    signals: Mapping[str, CanonicalSignal]
    lead: LeadRule | None
    digest: str

    def with_role(self, role: str) -> CanonicalSignal | None:
        """The signal that serves one of the platform's own purposes, or None."""
        return next((signal for signal in self.signals.values() if signal.role == role), None)

    @property
    def on_grid(self) -> tuple[CanonicalSignal, ...]:
        """Signals that become columns of the gridded table, in document order."""
        return tuple(signal for signal in self.signals.values() if signal.grid)


def _signal(name: str, body: Mapping[str, Any]) -> CanonicalSignal:
    spike, bounds = body.get("spike"), body.get("range")
    return CanonicalSignal(
        name=name,
        unit=body["unit"],
        type=body["type"],
        description=body["description"],
        grid=body.get("grid", True),
        resample=body.get("resample"),
        max_gap_s=body.get("max_gap_s"),
        range=(float(bounds[0]), float(bounds[1])) if bounds else None,
        spike=SpikeRule(spike["neighbours"], float(spike["threshold"])) if spike else None,
        circular_period=body.get("circular_period"),
        track_column=body.get("track_column"),
        role=body.get("role"),
    )


def _lead(body: Mapping[str, Any] | None) -> LeadRule | None:
    if body is None:
        return None
    columns, tracks = body["columns"], body["tracks"]
    return LeadRule(
        distance_column=columns["distance"],
        rel_speed_column=columns["rel_speed"],
        track_distance=tracks["distance"],
        track_lateral=tracks["lateral"],
        track_rel_speed=tracks["rel_speed"],
        corridor_half_width_m=float(body["corridor_half_width_m"]),
        max_age_s=float(body["max_age_s"]),
    )


def _signal_problems(signal: CanonicalSignal) -> list[str]:
    found = []
    try:
        conversion(signal.unit, signal.unit)
    except UnknownUnitError as error:
        found.append(f"signals/{signal.name}/unit: {error}")
    if signal.range and signal.range[0] >= signal.range[1]:
        found.append(f"signals/{signal.name}/range: {list(signal.range)} is empty. State the smaller bound first")
    if signal.grid and (signal.resample is None or signal.max_gap_s is None):
        found.append(f"signals/{signal.name}: on the grid without resample and max_gap_s. State both, or grid: false")
    return found


def parse_canonical_signals(document: Mapping[str, Any], digest: str) -> CanonicalSignals:
    """Turn the schema-checked document into data and check what a schema cannot see.

    Args:
        document: The parsed document `canonical_signals`.
        digest: Its digest.

    Raises:
        InvalidPolicyError: Naming every breach: unknown unit, empty range, a role given twice, a lead rule that points
            at signals which do not exist.
    """
    signals = {name: _signal(name, body) for name, body in document["signals"].items()}
    lead = _lead(document.get("lead"))
    problems = [problem for signal in signals.values() for problem in _signal_problems(signal)]
    for key in ("role", "track_column"):
        given = [getattr(signal, key) for signal in signals.values() if getattr(signal, key)]
        problems += [
            f"{key} {value!r} is given to two signals. Keep one" for value in set(given) if given.count(value) > 1
        ]
    if lead is not None:
        pointed = (
            lead.distance_column,
            lead.rel_speed_column,
            lead.track_distance,
            lead.track_lateral,
            lead.track_rel_speed,
        )
        problems += [f"lead: {name!r} is no signal of this document" for name in pointed if name not in signals]
    if problems:
        raise InvalidPolicyError("canonical_signals: " + "; ".join(sorted(problems)))
    return CanonicalSignals(grid_ms=document["grid_ms"], signals=signals, lead=lead, digest=digest)
