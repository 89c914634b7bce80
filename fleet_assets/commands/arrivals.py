"""What became of drives that were put into the landing zone: state, verdict per gate, where to look."""

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from fleet_assets.commands.placing import Failure, Placed
from fleet_assets.commands.session import DONE, REFUSED, WRONG_USE, Session, short_error

if TYPE_CHECKING:
    from fleet_assets.crank import RunResult

_SHOWN_SINGLY: Final = 12
"""Drives up to which each is shown with its gates; of more, only those that did not get through are."""

_SHOWN_OF_A_KIND: Final = 3
"""Drives that are shown of those that one rule held back."""


def report_drives(session: Session, placed: Placed, runs: "Sequence[RunResult]", *, turned: bool) -> int:
    """Print drive id, state, verdict per gate and where to look.

    Returns:
        1 when a drive did not get through or could not be ingested; 2 when none could be ingested.
    """
    from fleet_assets.commands.drives import drive_states

    states = {state["drive_id"]: state for state in drive_states(session.fleet)} if placed.uploads else {}
    verdicts: dict[str, dict[str, str]] = {}
    for gate in (gate for run in runs for gate in run.gates):
        if gate.partition is not None:
            verdicts.setdefault(gate.partition, {})[f"{gate.asset}:{gate.gate}"] = gate.outcome
    rows = []
    for upload, manifest in placed.uploads:
        waiting = {"status": "in the landing zone", "reason": None, "partition": f"{manifest.day}|{manifest.depot}"}
        state = states.get(manifest.drive_id, waiting)
        partition = state["partition"]
        if turned and partition and partition not in verdicts:
            verdicts[partition] = _earlier_verdicts(session, partition)
        rows.append(
            {
                "drive_id": manifest.drive_id,
                "upload": upload,
                "vehicle": manifest.vehicle_spec,
                "status": state["status"],
                "partition": partition,
                "reason": state["reason"] or (_broken_off(runs, partition, waits=state is waiting) if turned else None),
                "gates": verdicts.get(partition, {}),
                "look": "fleet drives"
                if partition is None
                else f"make ui: asset silver/signals, partition {partition}",
            }
        )
    rows += [_failed_row(failure) for failure in placed.failures]
    session.answer(rows, lambda: _rows_text(rows))
    if not placed.uploads:
        return WRONG_USE
    clean = all(row["status"] == "clean" for row in rows) and all(
        outcome == "pass" for row in rows for outcome in row["gates"].values()
    )
    return DONE if clean or (not turned and not placed.failures) else REFUSED


def _failed_row(failure: Failure) -> dict[str, Any]:
    return {
        "drive_id": None,
        "vehicle": None,
        "upload": str(failure.place),
        "status": "not ingested",
        "partition": None,
        "reason": failure.reason,
        "gates": {},
        "look": "fleet vehicle check",
    }


def _broken_off(runs: "Sequence[RunResult]", partition: str | None, *, waits: bool) -> str | None:
    """Why a drive came no further, where its last run broke off or none was made for it."""
    last = [run for run in runs if run.partition == partition][-1:]
    failed = next((short_error(run.error) for run in last if run.error), None)
    if failed is None and not waits:
        return None
    cause = failed or "the runs that should register it failed before"
    return f"{cause}. Nothing is lost; free the cause, then run `fleet reconcile`."


def _earlier_verdicts(session: Session, partition: str) -> dict[str, str]:
    """What the gates last said of a partition in which nothing had to be done."""
    from fleet_assets.build import all_gates
    from sensors.verdicts import latest_outcome

    key = tuple(partition.split("|"))
    gates = [gate.key for gate in all_gates(session.fleet.tables) if len(gate.table.partition_by) == len(key)]
    heard = {
        f"{gate.asset_key.to_user_string()}:{gate.name}": latest_outcome(session.instance, gate, key) for gate in gates
    }
    return {name: outcome for name, outcome in heard.items() if outcome is not None}


def _through(row: dict[str, Any]) -> bool:
    return row["status"] == "clean" and all(outcome == "pass" for outcome in row["gates"].values())


def _rows_text(rows: Sequence[dict[str, Any]]) -> str:
    if len(rows) <= _SHOWN_SINGLY:
        return "\n".join(map(_drive_text, rows))
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in rows:
        if not _through(row):
            rule = (row["reason"] or "").partition(":")[0]
            groups.setdefault((row["status"], rule), []).append(row)
    lines: list[str] = []
    for (status, rule), same in groups.items():
        lines += map(_drive_text, same[:_SHOWN_OF_A_KIND])
        if len(same) > _SHOWN_OF_A_KIND:
            lines.append(f"and {len(same) - _SHOWN_OF_A_KIND} more drives {status}: {rule or 'see `fleet drives`'}")
    counts = Counter(row["status"] for row in rows)
    total = f"{len(rows)} drives: " + ", ".join(f"{count} {status}" for status, count in counts.most_common())
    return "\n".join([*lines, total])


def _drive_text(row: dict[str, Any]) -> str:
    passed = [name for name, outcome in row["gates"].items() if outcome == "pass"]
    gates = [f"    {name:<44} {outcome}" for name, outcome in sorted(row["gates"].items()) if name not in passed]
    gates += [f"    {len(passed)} gates pass"] if passed else []
    reason = [f"    {row['reason']}"] if row["reason"] else []
    name = row["drive_id"] or row["upload"]
    told = (row["vehicle"], row["status"], row["partition"] or "no partition")
    head = "  ".join([f"drive {name}", *filter(None, told)])
    return "\n".join([head, *reason, *gates, f"    look: {row['look']}"])
