"""Operators of workflow 6: find the events of a drive, cut it into scenes."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final

import pyarrow as pa

from fleet_assets.mining.scene_detection_and_event_triggers.drive_signals import drive_signals, floats
from fleet_assets.mining.scene_detection_and_event_triggers.events import found_in
from fleet_assets.mining.scene_detection_and_event_triggers.scenes import Motion, scene_rows
from fleet_assets.policy.canonical import CanonicalSignals, parse_canonical_signals
from fleet_assets.policy.triggers import CompiledTriggers, compile_triggers
from fleet_assets.policy.vehicle_parsing import parse_vehicle_spec
from fleet_assets.provenance.fingerprints import Operator
from fleet_assets.provenance.restate import UnitTask

SIGNALS: Final = "silver.signals"
_COMPILED_KEPT: Final = 64
"""Vehicles of which a process keeps the compiled triggers at a time."""
FIND_EVENTS: Final = Operator(
    name="scene_detection_and_event_triggers.find_events",
    version=3,
    inputs=("bronze.drives", SIGNALS, "silver.radar_tracks", "silver.map_context", "silver.weather"),
    outputs=("gold.event_windows", "gold.trigger_exposure"),
    policy={
        "triggers": (),
        "events": ("score", "criticality"),
        "canonical_signals": ("grid_ms", "signals", "lead"),
        "vehicles/*": (),
    },
    libraries=("numpy",),
)
CUT_SCENES: Final = Operator(
    name="scene_detection_and_event_triggers.cut_scenes",
    version=1,
    inputs=("bronze.drives", SIGNALS),
    outputs=("gold.scene_segments",),
    policy={"events": ("scenes",), "canonical_signals": ("grid_ms",)},
    libraries=("numpy",),
)


def _canonical(task: UnitTask) -> CanonicalSignals:
    return parse_canonical_signals(task.policies["canonical_signals"], task.policies.digest("canonical_signals"))


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What triggers are compiled from. The documents are told by their digests: equal ones are compiled once.

    Attributes:
        digest: Digest of the document `triggers`.
        canonical_digest: Digest of the document `canonical_signals`.
        vehicle_spec: Type of the vehicle.
        vehicle_id: The vehicle.
        document: The document `triggers`.
        canonical: The fleet's signals.
    """

    digest: str
    canonical_digest: str
    vehicle_spec: str
    vehicle_id: str
    document: Mapping[str, Any] = field(compare=False, repr=False)
    canonical: CanonicalSignals = field(compare=False, repr=False)


@lru_cache(maxsize=_COMPILED_KEPT)
def _compiled(wanted: _Wanted) -> CompiledTriggers:
    return compile_triggers(
        wanted.document,
        wanted.digest,
        wanted.canonical,
        vehicle_spec=wanted.vehicle_spec,
        vehicle_id=wanted.vehicle_id,
    )


def compiled_for(task: UnitTask, canonical: CanonicalSignals) -> CompiledTriggers:
    """The triggers of the drive's vehicle; a process compiles them once, however many of its drives it sees."""
    drive, policies = task.context["drive"], task.policies
    digest, spec, vehicle = policies.digest("triggers"), drive["vehicle_spec"], drive["vehicle_id"]
    return _compiled(_Wanted(digest, canonical.digest, spec, vehicle, policies["triggers"], canonical))


def find_events(task: UnitTask) -> Mapping[str, pa.Table]:
    """Rows of `gold.event_windows` and `gold.trigger_exposure` of one drive; none for one without signals."""
    canonical, drive, policy = _canonical(task), task.context["drive"], task.policies["events"]
    compiled = compiled_for(task, canonical)
    wanted = set(compiled.signals) | {policy["criticality"][name] for name in ("speed", "distance", "rel_speed")}
    wanted |= {pair[side] for pair in policy["score"]["pairs"] for side in ("a", "b")}
    on_grid = [one.name for one in canonical.on_grid if one.name in wanted]
    signals = task.read(SIGNALS, ["clip_id", "t_ns", *on_grid])
    if not signals.num_rows:
        return {name: task.tables[name].empty() for name in FIND_EVENTS.outputs}
    sources: dict[str, pa.Table] = {}
    for one in compiled.sources:
        if one.table in task.inputs and one.table not in sources:
            columns = sorted({other.column for other in compiled.sources if other.table == one.table})
            sources[one.table] = task.read(one.table, ["t_ns", *columns])
    name = f"vehicles/{drive['vehicle_spec']}"
    spec = parse_vehicle_spec(task.policies[name], task.policies.digest(name), canonical)
    joined = drive_signals(signals, task.read("silver.radar_tracks"), sources, spec, canonical, compiled)
    return found_in(joined, compiled, drive, policy)


def cut_scenes(task: UnitTask) -> Mapping[str, pa.Table]:
    """Rows of `gold.scene_segments` of one drive; none for one without a speed."""
    policy = task.policies["events"]["scenes"]
    names = policy["signals"]
    rows = task.read(SIGNALS, ["clip_id", "t_ns", *dict.fromkeys(names.values())])
    motion = Motion(
        t_ns=rows["t_ns"].to_numpy(),
        speed=floats(rows[names["speed"]]),
        yaw_rate=floats(rows[names["yaw_rate"]]),
        lead=floats(rows[names["lead"]]),
        clip_ids=rows["clip_id"],
    )
    grid_ms = task.policies["canonical_signals"]["grid_ms"]
    return {"gold.scene_segments": scene_rows(motion, task.context["drive"], grid_ms, policy)}
