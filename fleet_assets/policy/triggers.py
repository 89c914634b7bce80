"""The trigger policy as frozen data, and its compilation: what one vehicle watches for, ready to run.

Here belong the document's meaning, and overrides. How a trigger becomes a machine is in `trigger_parts.py`,
running one in `trigger_runs.py`, the language in `expressions/`. Which events are worth more is the mining area's
business.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from fleet_assets.policy.canonical import CanonicalSignals
from fleet_assets.policy.documents import InvalidPolicyError
from fleet_assets.policy.expressions.checking import (
    Checker,
    Parameter,
    SignalKind,
    Vocabulary,
    Zone,
)
from fleet_assets.policy.expressions.literals import quantity_of
from fleet_assets.policy.expressions.machines import Machine
from fleet_assets.policy.expressions.plan import Plan
from fleet_assets.policy.expressions.quantities import Quantity
from fleet_assets.policy.expressions.syntax import ExpressionError
from fleet_assets.policy.trigger_parts import TriggerParts
from fleet_assets.policy.units import into_base


@dataclass(frozen=True, slots=True)
class Source:
    """Where a signal that is not on the canonical grid comes from.

    Attributes:
        name: Its name in expressions.
        table: Table with one row per drive and time.
        column: Column of it.
        kind: Its unit, and whether it is true or false.
        hold_s: How long a row stays valid.
    """

    name: str
    table: str
    column: str
    kind: SignalKind
    hold_s: float


@dataclass(frozen=True, slots=True)
class TrackSignal:
    """A number over all objects that a sensor tracks: the least or most of an expression, where a condition holds.

    Attributes:
        name: Its name in expressions.
        unit: Unit of its values.
        of: Expression over the columns of one object and the signals of the grid.
        where: Condition over them.
        largest: Whether the most of them counts, else the least.
    """

    name: str
    unit: str
    of: str
    where: str
    largest: bool


@dataclass(frozen=True, slots=True)
class Limits:
    """What is usual for a trigger.

    Attributes:
        usual_per_100km: Usual rate, frozen with the policy: how rare an event is must not depend on other drives.
        most_per_100km: Control limit of the rate.
        least_per_100km: Lower control limit, 0 for none.
    """

    usual_per_100km: float
    most_per_100km: float
    least_per_100km: float


@dataclass(frozen=True, slots=True)
class CompiledTrigger:
    """One trigger, ready to run.

    Attributes:
        name: Its name.
        machine: Its states.
        unit: Unit of its events' values.
        scale: Value in that unit = value in base units / scale.
        threshold: The value at which its condition begins to hold, in that unit; None where there is none.
        signals: Signals that it reads.
        optional: Those among them without which it can watch a drive all the same.
        limits: What is usual.
    """

    name: str
    machine: Machine
    unit: str
    scale: float
    threshold: float | None
    signals: frozenset[str]
    optional: frozenset[str]
    limits: Limits


@dataclass(frozen=True)
class CompiledTriggers:
    """All triggers of a policy for one vehicle.

    Attributes:
        version: Version of the policy.
        digest: Digest of its document.
        step_ms: Spacing of the grid.
        parameters: Shared parameters, as they are for this vehicle.
        plan: Operations of all triggers, equal ones once.
        triggers: By name: the digest does not see the document's order.
        sources: Signals that other tables give.
        tracks: Signals over tracked objects.
        track_hold_s: How long what is known of an object stays valid.
        track_plan: Operations over one object's columns: per track signal (value, condition).
        track_columns: Columns of one object.
    """

    version: str
    digest: str
    step_ms: int
    parameters: Mapping[str, Parameter]
    plan: Plan
    triggers: tuple[CompiledTrigger, ...]
    sources: tuple[Source, ...]
    tracks: tuple[TrackSignal, ...]
    track_hold_s: float
    track_plan: tuple[Plan, tuple[tuple[int, int], ...]]
    track_columns: frozenset[str]

    @cached_property
    def signals(self) -> frozenset[str]:
        """Every signal that some trigger reads, or some signal over tracked objects."""
        own = self.plan.signals([root for one in self.triggers for root in roots_of(one.machine)])
        return own | self.track_names

    @cached_property
    def track_names(self) -> frozenset[str]:
        """Signals of the grid and columns of objects that the signals over tracked objects read."""
        return self.track_plan[0].signals(self.track_roots)

    @cached_property
    def track_reach(self) -> int:
        """How many samples before the present one the signals over tracked objects look back at objects at most."""
        return self.track_plan[0].reach(self.track_roots, frozenset(self.track_grid_nodes))

    @cached_property
    def track_grid_nodes(self) -> tuple[int, ...]:
        """Operations of the signals over tracked objects that are the same for all objects."""
        return tuple(self.track_plan[0].apart_from(self.track_roots, self.track_columns))

    @property
    def track_roots(self) -> tuple[int, ...]:
        """Nodes of the signals over tracked objects: value and condition in turn."""
        return tuple(root for pair in self.track_plan[1] for root in pair)


def roots_of(machine: Machine) -> tuple[int, ...]:
    """Nodes that a machine looks at."""
    return (*machine.conditions, machine.value)


@dataclass
class _Compiler:
    """One document for one vehicle."""

    document: Mapping[str, Any]
    canonical: CanonicalSignals
    vehicle_spec: str
    vehicle_id: str
    problems: list[str] = field(default_factory=list)

    def triggers(self, digest: str) -> CompiledTriggers:
        document = self.document
        sources = tuple(
            Source(
                name, body["table"], body["column"], SignalKind(body["unit"], body.get("truth", False)), body["hold_s"]
            )
            for name, body in sorted(document.get("sources", {}).items())
        )
        tracks = tuple(
            TrackSignal(name, body["unit"], body["of"], body["where"], body["peak"] == "most")
            for name, body in sorted(document.get("track_signals", {}).items())
        )
        signals = self._signals(sources, tracks)
        position = document["position"]
        vocabulary = Vocabulary(
            signals, self.canonical.grid_ms, document["max_window_s"], (position["lat"], position["lon"])
        )
        self._check_overrides()
        plan = Plan()
        compiled = [self._trigger(name, body, vocabulary, plan) for name, body in sorted(document["triggers"].items())]
        track_plan = self._tracks(tracks)
        if self.problems:
            raise InvalidPolicyError("triggers: " + "; ".join(self.problems))
        return CompiledTriggers(
            version=document["version"],
            digest=digest,
            step_ms=self.canonical.grid_ms,
            parameters=self.shared,
            plan=plan,
            triggers=tuple(one for one in compiled if one is not None),
            sources=sources,
            tracks=tracks,
            track_hold_s=document["track_hold_s"],
            track_plan=track_plan,
            track_columns=frozenset(self._track_kinds()),
        )

    def _signals(self, sources: Sequence[Source], tracks: Sequence[TrackSignal]) -> dict[str, SignalKind]:
        signals = {one.name: SignalKind(one.unit, one.type == "bool") for one in self.canonical.on_grid}
        given = {one.name: one.kind for one in sources} | {one.name: SignalKind(one.unit) for one in tracks}
        taken = sorted(set(given) & set(signals))
        self.problems += [f"sources/{name}: is a canonical signal already. Rename it" for name in taken]
        return signals | given

    def _check_overrides(self) -> None:
        zones, triggers = self.document.get("geofences", {}), self.document["triggers"]
        for index, override in enumerate(self.document.get("overrides", [])):
            place = f"overrides/{index}"
            if "geofence" in override and override["geofence"] not in zones:
                self.problems.append(
                    f"{place}: no geofence {override['geofence']!r}. Known: {', '.join(zones) or 'none'}"
                )
            for name in override["parameters"]:
                trigger, dot, parameter = name.rpartition(".")
                owner = triggers.get(trigger, {}) if dot else self.document
                if parameter not in owner.get("parameters", {}):
                    self.problems.append(f"{place}: no parameter {name!r}. Name it TRIGGER.PARAMETER, or a shared one")

    def _parameters(self, trigger: str, body: Mapping[str, Any]) -> dict[str, Parameter]:
        found = dict(self.shared)
        for name, text in body.get("parameters", {}).items():
            given = self._quantity(f"triggers/{trigger}/parameters/{name}", text)
            if given is not None:
                found[name] = self._overridden(f"{trigger}.{name}", Parameter(*given))
        return found

    @cached_property
    def shared(self) -> Mapping[str, Parameter]:
        """Parameters of all triggers."""
        found = {}
        for name, text in self.document.get("parameters", {}).items():
            given = self._quantity(f"parameters/{name}", text)
            if given is not None:
                found[name] = self._overridden(name, Parameter(*given))
        return found

    def _quantity(self, place: str, text: str) -> tuple[Quantity, float] | None:
        try:
            return quantity_of(text)
        except ExpressionError as error:
            self.problems.append(f"{place}: {error}")
            return None

    def _overridden(self, name: str, parameter: Parameter) -> Parameter:
        """A parameter for this vehicle: its type's value, then its own, then those of places, in their order."""
        value, zoned = parameter.value, []
        order = {"vehicle_spec": 0, "vehicle": 1, "geofence": 2}
        entries = enumerate(self.document.get("overrides", []))
        for index, override in sorted(entries, key=lambda one: min(order[key] for key in order if key in one[1])):
            if name not in override["parameters"] or not self._concerned(override):
                continue
            given = self._quantity(f"overrides/{index}/parameters/{name}", override["parameters"][name])
            if given is None:
                continue
            if given[0] != parameter.quantity:
                self.problems.append(
                    f"overrides/{index}/parameters/{name}: {given[0].words} instead of {parameter.quantity.words}. "
                    "Give it the same kind of unit"
                )
            elif "geofence" in override and override["geofence"] in self.document.get("geofences", {}):
                corners = self.document["geofences"][override["geofence"]]["polygon"]
                polygon = tuple((float(lat), float(lon)) for lat, lon in corners)
                zoned.append((Zone(override["geofence"], polygon), given[1]))
            else:
                value = given[1]
        return Parameter(parameter.quantity, value, tuple(zoned))

    def _concerned(self, override: Mapping[str, Any]) -> bool:
        own = {"vehicle_spec": self.vehicle_spec, "vehicle": self.vehicle_id}
        return all(override.get(key, mine) == mine for key, mine in own.items())

    def _trigger(
        self, name: str, body: Mapping[str, Any], vocabulary: Vocabulary, plan: Plan
    ) -> CompiledTrigger | None:
        before = len(self.problems)
        checker = Checker(vocabulary, self._parameters(name, body), self.document.get("definitions", {}), plan)
        place = f"triggers/{name}"
        states = TriggerParts(checker, place, self.canonical.grid_ms, self.problems)
        made = states.machine(body["begins"], body["states"]) if "states" in body else states.plain(body)
        value = states.number(f"{place}/value/of", body["value"]["of"], body["value"]["unit"])
        if len(self.problems) > before or value is None:
            return None
        machine = Machine(made, value, body["value"]["peak"] == "most")
        threshold = checker.parameters[body["value"]["threshold"]] if "threshold" in body["value"] else None
        scale = into_base(body["value"]["unit"]).scale
        rate = body["rate"]
        return CompiledTrigger(
            name=name,
            machine=machine,
            unit=body["value"]["unit"],
            scale=scale,
            threshold=None if threshold is None else threshold.value / scale,
            signals=plan.signals(roots_of(machine)),
            optional=frozenset(body.get("optional", ())),
            limits=Limits(rate["usual_per_100km"], rate["most_per_100km"], rate.get("least_per_100km", 0.0)),
        )

    def _track_kinds(self) -> dict[str, SignalKind]:
        """Columns of the track table by name."""
        return {
            str(one.track_column): SignalKind(one.unit) for one in self.canonical.signals.values() if one.track_column
        }

    def _tracks(self, tracks: Sequence[TrackSignal]) -> tuple[Plan, tuple[tuple[int, int], ...]]:
        columns = self._track_kinds()
        signals = {one.name: SignalKind(one.unit, one.type == "bool") for one in self.canonical.on_grid}
        position = self.document["position"]
        vocabulary = Vocabulary(
            signals | columns,
            self.canonical.grid_ms,
            self.document["max_window_s"],
            (position["lat"], position["lon"]),
        )
        checker = Checker(vocabulary, self.shared, self.document.get("definitions", {}))
        roots = []
        for one in tracks:
            place = f"track_signals/{one.name}"
            states = TriggerParts(checker, place, self.canonical.grid_ms, self.problems)
            value, where = states.number(f"{place}/of", one.of, one.unit), states.condition(f"{place}/where", one.where)
            if value is not None and where is not None:
                roots.append((value, where))
                if not checker.plan.missing_with(value, frozenset(columns)):
                    self.problems.append(f"{place}/of: reads nothing of the object. Name one of {', '.join(columns)}")
        return checker.plan, tuple(roots)


def compile_triggers(
    document: Mapping[str, Any],
    digest: str,
    canonical: CanonicalSignals,
    *,
    vehicle_spec: str = "",
    vehicle_id: str = "",
) -> CompiledTriggers:
    """Compile a trigger policy for one vehicle.

    Args:
        document: The document `triggers`, checked against its schema.
        digest: Its digest.
        canonical: The fleet's signals and grid.
        vehicle_spec: Type of the vehicle.
        vehicle_id: The vehicle.

    Raises:
        InvalidPolicyError: Naming every expression, state, unit and override that breaks a rule, with its place.
    """
    return _Compiler(document, canonical, vehicle_spec, vehicle_id).triggers(digest)
