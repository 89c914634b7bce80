"""Rows of `gold.event_windows` and `gold.trigger_exposure` of one drive.

Here belongs turning what triggers found into rows. Triggers are run by the policy room, scores and criticality have
modules of their own.
"""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fleet_assets.mining.scene_detection_and_event_triggers.criticality import Criticality, criticality
from fleet_assets.mining.scene_detection_and_event_triggers.drive_signals import DriveSignals
from fleet_assets.mining.scene_detection_and_event_triggers.scores import Likeness, scored
from fleet_assets.policy.documents import InvalidPolicyError
from fleet_assets.policy.expressions.quantities import Quantity
from fleet_assets.policy.trigger_runs import TriggerEvent, drive_events
from fleet_assets.policy.triggers import CompiledTrigger, CompiledTriggers
from fleet_assets.tables.gold import EVENT_WINDOWS, TRIGGER_EXPOSURE

_MS_PER_S: Final = 1000.0


def _extreme(column: NDArray[np.float64], *, largest: bool) -> float | None:
    known = column[~np.isnan(column)]
    return float(known.max() if largest else known.min()) if len(known) else None


def _critical(found: Criticality, first: int, end: int) -> dict[str, float | bool | None]:
    """Worst of every measure within an event."""
    unsafe = _extreme(found.unsafe[first:end], largest=True)
    return {
        "ttc_s": _extreme(found.ttc_s[first:end], largest=False),
        "thw_s": _extreme(found.thw_s[first:end], largest=False),
        "drac_mps2": _extreme(found.drac_mps2[first:end], largest=True),
        "rss_violated": None if unsafe is None else unsafe > 0.0,
    }


def gap_m(signals: DriveSignals, compiled: CompiledTriggers, rules: Mapping[str, Any]) -> NDArray[np.float64]:
    """Distance from the front bumper to who is ahead; missing where that is not before the bumper.

    The bumper is where the triggers have it: at the shared parameter of their policy that the rules name, with what
    differs for the vehicle or its type.

    Args:
        signals: The drive's signals.
        compiled: Its triggers.
        rules: Key `criticality` of the document `events`.

    Raises:
        InvalidPolicyError: When there is no such parameter, it is no length, or it differs from place to place.
    """
    name = rules["front"]
    front = compiled.parameters.get(name)
    if front is None:
        known = ", ".join(sorted(compiled.parameters)) or "none"
        raise InvalidPolicyError(
            f"events: criticality/front: triggers have no shared parameter {name!r}. Known: {known}. Name one of them"
        )
    if front.quantity != Quantity.of("m") or front.zoned:
        found = "differs from place to place" if front.zoned else f"is given in {front.quantity.words}"
        raise InvalidPolicyError(
            f"events: criticality/front: the parameter {name!r} of the triggers {found}. "
            "Give it one length per vehicle or type of vehicle"
        )
    gap = signals.column(rules["distance"]) - front.value
    return np.where(gap > 0.0, gap, np.nan)


def _known_drive(drive: Mapping[str, Any], compiled: CompiledTriggers) -> dict[str, Any]:
    return {
        **{key: drive[key] for key in ("drive_id", "day", "depot")},
        "policy_version": compiled.version,
        "policy_digest": compiled.digest,
    }


def event_rows(
    found: list[TriggerEvent],
    signals: DriveSignals,
    compiled: CompiledTriggers,
    drive: Mapping[str, Any],
    policy: Mapping[str, Any],
) -> pa.Table:
    """Rows of `gold.event_windows` of one drive.

    Args:
        found: Its events, in order.
        signals: Its signals.
        compiled: Its triggers.
        drive: Its row of `bronze.drives`.
        policy: The document `events`.
    """
    rules = policy["criticality"]
    speed, rel_speed = (signals.column(rules[name]) for name in ("speed", "rel_speed"))
    critical = criticality(speed, gap_m(signals, compiled, rules), rel_speed, rules["slowest_mps"], rules["rss"])
    by_name = {one.name: one for one in compiled.triggers}
    earlier: dict[str, list[Likeness]] = {name: [] for name in by_name}
    rows = []
    for event in found:
        first, end = (int(place) for place in np.searchsorted(signals.t_ns, (event.start_ns, event.end_ns)))
        peak = int(np.searchsorted(signals.t_ns, event.peak_ns))
        own = Likeness.of(event, float(speed[first]))
        trigger = by_name[event.trigger]
        known = _known_drive(drive, compiled)
        rows.append(
            {
                **known,
                "event_id": f"{drive['drive_id']}-{event.trigger}-{event.start_ns}",
                "clip_id": signals.clip_ids[peak].as_py(),
                "trigger": event.trigger,
                "start_ns": event.start_ns,
                "end_ns": event.end_ns,
                "peak_ns": event.peak_ns,
                "value": None if np.isnan(event.value) else event.value,
                "unit": trigger.unit,
                "cut": event.cut,
                **scored(
                    event,
                    trigger,
                    signals,
                    (first, end),
                    earlier=earlier[event.trigger],
                    own=own,
                    policy=policy["score"],
                ),
                **_critical(critical, first, end),
            }
        )
        earlier[event.trigger].append(own)
    return EVENT_WINDOWS.from_rows(rows)


def distance_m(signals: DriveSignals, speed: str, step_ms: int) -> float:
    """Distance driven: speed times grid spacing, over all instants with a speed."""
    return float(np.nansum(np.abs(signals.column(speed)))) * step_ms / _MS_PER_S


def lacking(trigger: CompiledTrigger, signals: DriveSignals) -> tuple[str, ...]:
    """Signals without which a trigger cannot watch a drive, and which the drive lacks."""
    return tuple(sorted(trigger.signals - trigger.optional - signals.given))


def exposure_rows(
    found: list[TriggerEvent],
    signals: DriveSignals,
    compiled: CompiledTriggers,
    drive: Mapping[str, Any],
    policy: Mapping[str, Any],
) -> pa.Table:
    """Rows of `gold.trigger_exposure` of one drive; arguments are those of `event_rows`."""
    driven = distance_m(signals, policy["criticality"]["speed"], compiled.step_ms)
    rows = []
    for trigger in compiled.triggers:
        missing = lacking(trigger, signals)
        rows.append(
            {
                **_known_drive(drive, compiled),
                "trigger": trigger.name,
                "distance_m": 0.0 if missing else driven,
                "events": sum(event.trigger == trigger.name for event in found),
                "missing": ", ".join(missing) or None,
            }
        )
    return TRIGGER_EXPOSURE.from_rows(rows)


def found_in(
    signals: DriveSignals, compiled: CompiledTriggers, drive: Mapping[str, Any], policy: Mapping[str, Any]
) -> Mapping[str, pa.Table]:
    """Rows of both tables of one drive.

    Args:
        signals: Its signals.
        compiled: Its triggers.
        drive: Its row of `bronze.drives`.
        policy: The document `events`.
    """
    found = drive_events(compiled, signals.t_ns, signals.columns)
    return {
        EVENT_WINDOWS.name: event_rows(found, signals, compiled, drive, policy),
        TRIGGER_EXPOSURE.name: exposure_rows(found, signals, compiled, drive, policy),
    }
