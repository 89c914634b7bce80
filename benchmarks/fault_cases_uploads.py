"""Faults of uploads in the fault study: cut off, changed, late, twice, and corrected ones."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from benchmarks.fault_cases import Case, Moment
from benchmarks.simulated_drives import FIRST_DAY, Ingested
from services.fleet_simulator.faults import FaultRequest, started


def _rejected(kind: str, size: str, rule: str, magnitude: float) -> Case:
    def right(found: Sequence[Ingested], moment: Moment, faults: Sequence[FaultRequest]) -> bool:
        del moment, faults
        drive = found[-1].drive or {}
        return drive.get("status") == "rejected" and str(drive["reason"]).startswith(rule)

    fault = FaultRequest(kind, magnitude=magnitude)
    return Case(kind, size, rule, lambda _: (fault,), right, frozenset({("*", "landing")}))


def _lands(found: Ingested, revision: int = 0) -> bool:
    drive = found.drive or {}
    whole = drive.get("status") == "landed" and drive["revision"] == revision
    return bool(whole and not found.rows("bronze.quarantine") and found.tables["silver.signals"].num_rows)


def uploads() -> list[Case]:
    """Faults between vehicle and landing zone."""

    def late(found: Sequence[Ingested], *_: Any) -> bool:
        before, after = found
        return before.drive is None and not before.admission.refused and _lands(after)

    def twice(found: Sequence[Ingested], *_: Any) -> bool:
        (events,) = found[-1].admission.events.values()
        return [event.event for event in events] == ["duplicate"] and _lands(found[-1])

    def corrected(found: Sequence[Ingested], *_: Any) -> bool:
        before, after = found
        held = {row["rule"] for row in before.rows("bronze.quarantine")} == {"sensor_missing"}
        (events,) = after.admission.events.values()
        return held and [event.event for event in events] == ["superseded"] and _lands(after, revision=1)

    def refused(found: Sequence[Ingested], *_: Any) -> bool:
        return [refusal.rule for refusal in found[-1].admission.refused] == ["unknown_depot"]

    def on_its_day(found: Sequence[Ingested], moment: Moment, faults: Sequence[FaultRequest]) -> bool:
        day = np.datetime64(started(_planned(moment, faults)).start_ns, "ns").astype("datetime64[D]")
        drive = found[-1].drive or {}
        return _lands(found[-1]) and drive["day"] == str(day) and str(day) > FIRST_DAY

    def asked(kind: str, **more: Any) -> Callable[[Moment], tuple[FaultRequest, ...]]:
        return lambda _: (FaultRequest(kind, **more),)

    both = (FaultRequest("corrected_reupload"), FaultRequest("missing_sensor", "imu"))
    return [
        _rejected("truncated_upload", "0.01 % of the bytes", "size_mismatch", 0.9999),
        _rejected("wrong_digest", "1 byte", "sha256_mismatch", 1),
        Case("late_arrival", "one turn", "lands", asked("late_arrival"), late, frozenset(), (1, None)),
        Case("duplicate_upload", "once", "duplicate", asked("duplicate_upload"), twice, frozenset()),
        Case("corrected_reupload", "a lacking sensor", "superseded", lambda _: both, corrected, frozenset(), (1, None)),
        Case("unknown_depot", "", "unknown_depot", asked("unknown_depot"), refused,
             frozenset({("*", "unknown_depot")})),
        Case("near_midnight", "0.2 s before", "day of its start", asked("near_midnight", magnitude=0.2), on_its_day,
             frozenset(), restarts=True),
    ]  # fmt: skip


def _planned(moment: Moment, faults: Sequence[FaultRequest]) -> Any:
    return replace(moment.scene.truth.plan, faults=tuple(faults))
