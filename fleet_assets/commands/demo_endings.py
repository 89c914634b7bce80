"""How planted cases ended: each is held against what its policy says, on what tables and verdicts show.

Here belongs one judgement per case. Printing is up to `demo_report.py`; the simulator's truth is not opened.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from fleet_assets.commands.session import why_text

if TYPE_CHECKING:
    from fleet_assets.provenance.ledger import Partition
    from resources.platform import Fleet
    from services.fleet_simulator.drive_truth import DrivePlan
    from services.fleet_simulator.fleet_plan import FleetPlan

NS_PER_S: Final = 1_000_000_000
UNKNOWN: Final[Mapping[str, Any]] = {"status": "not registered", "reason": None, "partition": None}
"""State of a drive that no table has."""

Ledger = Mapping[tuple[str, tuple[str, ...], str], str]
"""Digest of every data file by table, partition and unit."""


def day_of(t_ns: int) -> str:
    """UTC day of a time."""
    return datetime.fromtimestamp(t_ns // NS_PER_S, tz=UTC).date().isoformat()


def moment(t_ns: int) -> str:
    """A time as people write it, UTC."""
    return datetime.fromtimestamp(t_ns // NS_PER_S, tz=UTC).strftime("%Y-%m-%d %H:%M")


@dataclass(frozen=True, slots=True)
class Late:
    """What late drives changed.

    Attributes:
        drives: The late drives.
        own: Data files of theirs that were written.
        rolled_up: Roll-ups that were made again, as `table DAY`.
        others_changed: Data files of other drives that changed; there should be none.
        others_kept: Data files of other drives that stayed as they were.
    """

    drives: tuple[str, ...]
    own: int
    rolled_up: tuple[str, ...]
    others_changed: int
    others_kept: int

    def text(self) -> str:
        """In words."""
        again = f"{' and '.join(self.rolled_up)} made again" if self.rolled_up else "no roll-up made again"
        return (
            f"{self.own} files of {', '.join(self.drives)} written, {again}; of the other drives {self.others_kept} "
            f"files stayed, {self.others_changed} changed"
        )


def ledger(fleet: "Fleet") -> Ledger:
    """Every data file that is part of identity."""
    from fleet_assets.tables import TableKind

    return {
        (table.name, tuple(entry.partition), entry.unit): entry.digest
        for table in fleet.tables.values()
        if table.kind is not TableKind.LOG
        for entry in fleet.lake.entries(table)
    }


def restated(before: Ledger, after: Ledger, drives: set[str]) -> Late:
    """What changed from one state of the lake to another when some drives came.

    Bulk tables have partitions of day and depot with a file per drive; all others are roll-ups.
    """
    changed = {key for key in before.keys() | after.keys() if before.get(key) != after.get(key)}
    bulk = {key for key in changed if len(key[1]) > 1}
    others = {key for key in bulk if key[2] not in drives}
    kept = {key for key in before if len(key[1]) > 1 and key[2] not in drives} - others
    rolled = sorted({f"{table} {'|'.join(partition)}".strip() for table, partition, _ in changed - bulk})
    return Late(tuple(sorted(drives)), len(bulk - others), tuple(rolled), len(others), len(kept))


@dataclass(frozen=True, slots=True)
class Ending:
    """How a planted case ended.

    Attributes:
        planted: What was planted.
        drive: In which drive.
        as_planned: Whether it ended as the policy says it must.
        what: What happened, with figures.
    """

    planted: str
    drive: str
    as_planned: bool
    what: str

    def text(self) -> str:
        """In words, on two lines."""
        ended = "as planned" if self.as_planned else "NOT AS PLANNED"
        return f"  {self.planted} in {self.drive}: {ended}\n    {self.what}"


@dataclass(frozen=True)
class Evidence:
    """What is known of a fleet.

    Attributes:
        fleet: Its platform.
        plan: Its plan.
        states: State of each drive by id.
        verdicts: Latest verdict by `asset:gate` and partition.
        late: What late drives changed, when they came just now.
    """

    fleet: "Fleet"
    plan: "FleetPlan"
    states: Mapping[str, Mapping[str, Any]]
    verdicts: "Mapping[tuple[str, Partition], Mapping[str, Any]]"
    late: Late | None

    def state(self, drive: "DrivePlan") -> Mapping[str, Any]:
        """State of a drive."""
        return self.states.get(drive.drive_id, UNKNOWN)

    def rows(self, text: str) -> list[dict[str, Any]]:
        """Rows of a query. Names that it holds are those of the policy, whose schema leaves no quotes in them."""
        from resources.sql import query

        return query(self.fleet, text)


Judged = tuple[bool, str]
"""Whether a case ended as planned, and what happened."""


def endings(evidence: Evidence) -> list[Ending]:
    """How each planted case ended."""
    drives = {drive.drive_id: drive for drive in evidence.plan.drives}
    return [
        Ending(case.replace("_", " "), facts["drive"], *_CASES[case](evidence, drives[facts["drive"]], facts))
        for case, facts in evidence.plan.planted.items()
    ]


def _quarantine(evidence: Evidence, drive: "DrivePlan", facts: Mapping[str, Any]) -> Judged:
    state = evidence.state(drive)
    reason = state["reason"] or "no reason is known"
    in_silver = evidence.rows(f"select 1 from silver.signals where drive_id = '{drive.drive_id}' limit 1")  # noqa: S608 - see `rows`
    held = state["status"] == "quarantined" and reason.partition(":")[0] == facts["rule"] and not in_silver
    return held, f"{state['status']}, {'but it is' if in_silver else 'nothing of it is'} in silver. {reason}"


def _late_drive(evidence: Evidence, drive: "DrivePlan", facts: Mapping[str, Any]) -> Judged:
    del facts
    day, status = day_of(drive.start_ns), evidence.state(drive)["status"]
    log = evidence.rows(
        "select drive_id, min(logged_ns) at_ns from bronze.ingestion_log "  # noqa: S608 - see `rows`
        f"where day = '{day}' and event = 'landed' group by 1"
    )
    landed = {row["drive_id"]: row["at_ns"] for row in log}
    others = [at_ns for name, at_ns in landed.items() if name != drive.drive_id]
    if drive.drive_id not in landed or not others:
        return False, f"{status}; it should have come after the others of {day}"
    after_s = (landed[drive.drive_id] - max(others)) / NS_PER_S
    told = f". {evidence.late.text()}" if evidence.late else ""
    untouched = evidence.late is None or not evidence.late.others_changed
    return (
        after_s > 0 and status == "clean" and untouched,
        f"{status}; landed {after_s:.0f} s after the others of {day}, when that day was built{told}",
    )


def _failed_gate(evidence: Evidence, drive: "DrivePlan", facts: Mapping[str, Any]) -> Judged:
    partition = (day_of(drive.start_ns), drive.depot)
    verdict = evidence.verdicts.get((facts["gate"], partition), {})
    outcome = str(verdict.get("outcome", "not asked"))
    table = evidence.fleet.table(facts["holds"].replace("/", "."))
    made = evidence.fleet.lake.entries(table, partition[:1])
    why = f" ({why_text(outcome, verdict)})" if verdict and outcome != "pass" else ""
    then = f"{facts['holds']} of {partition[0]} {'was made nevertheless' if made else 'is held back'}"
    return outcome == "fail" and not made, f"{facts['gate']} of {'|'.join(partition)}: {outcome}{why}; {then}"


def _hard_brake(evidence: Evidence, drive: "DrivePlan", facts: Mapping[str, Any]) -> Judged:
    (row,) = evidence.rows(
        "select min(accel_long_mps2) least, arg_min(t_ns, accel_long_mps2) at_ns from silver.signals "  # noqa: S608 - see `rows`
        f"where drive_id = '{drive.drive_id}'"
    )
    if row["least"] is None:
        return False, f"no acceleration in silver; the drive is {evidence.state(drive)['status']}"
    limit, after_s = facts["accel_below_mps2"], (row["at_ns"] - drive.start_ns) / NS_PER_S
    what = f"{row['least']:.1f} m/s2 in silver.signals, {after_s:.1f} s into the drive (must be below {limit:g})"
    return row["least"] < limit, what


def _near_duplicate(evidence: Evidence, drive: "DrivePlan", facts: Mapping[str, Any]) -> Judged:
    original = drive.repeats
    if original is None:
        return False, f"{drive.drive_id} repeats no drive"
    shift_ns = drive.start_ns - original.start_ns
    (row,) = evidence.rows(
        "select count(*) n, sqrt(avg(power(a.speed_mps - b.speed_mps, 2))) rms from silver.signals a "  # noqa: S608 - see `rows`
        f"join silver.signals b on b.drive_id = '{drive.drive_id}' and b.t_ns = a.t_ns + {shift_ns} "
        f"where a.drive_id = '{original.drive_id}'"
    )
    if not row["n"]:
        return False, f"{drive.drive_id} and {original.drive_id} are not both in silver"
    limit = facts["speed_differs_mps"]
    what = (
        f"its speed differs from that of {original.drive_id}, {shift_ns / NS_PER_S / 60:g} min earlier, by "
        f"{row['rms']:.2f} m/s (root mean square over {row['n']} instants; at most {limit:g})"
    )
    return row["rms"] <= limit, what


_CASES: Final[Mapping[str, Callable[[Evidence, "DrivePlan", Mapping[str, Any]], Judged]]] = {
    "quarantine": _quarantine,
    "late_drive": _late_drive,
    "failed_gate": _failed_gate,
    "hard_brake": _hard_brake,
    "near_duplicate": _near_duplicate,
}
