"""The state of every drive: landed, clean, quarantined, rejected or refused, in one view over the lake."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from fleet_assets.commands.session import DONE, REFUSED, WRONG_USE, Session, fleet_command, table_text

if TYPE_CHECKING:
    from resources.platform import Fleet

_COLUMNS = ("drive_id", "status", "partition", "vehicle_id", "vehicle_spec", "duration_s", "time_source", "reason")

_STATES = ("clean", "quarantined", "rejected", "refused", "landed")


class UnknownDriveError(click.UsageError):
    """A drive that is in no table."""


def drive_states(fleet: "Fleet") -> list[dict[str, Any]]:
    """Every drive with its state: `bronze.drive_status`, and the uploads that have no partition."""
    from resources.sql import query

    states = query(fleet, "select * from bronze.drive_status order by day, depot, drive_id")
    rows = [{**row, "partition": f"{row['day']}|{row['depot']}"} for row in states]
    refused = query(fleet, "select * from landing.quarantine order by upload")
    for row in refused:
        reason = f"{row['rule']}: {row['value']} (allowed: {row['limit']}). {row['remedy']}"
        rows.append(
            {
                "drive_id": row["drive_id"] or row["upload"],
                "status": "refused",
                "reason": reason,
                "partition": None,
                "upload": row["upload"],
            }
        )
    return rows


def find_drive(fleet: "Fleet", drive_id: str) -> Mapping[str, Any]:
    """The state of one drive.

    Raises:
        UnknownDriveError: When no table has it.
    """
    for row in drive_states(fleet):
        if row["drive_id"] == drive_id:
            return row
    raise UnknownDriveError(f"no drive {drive_id!r}. `fleet drives` lists them.")


@click.command()
@click.option("--status", type=click.Choice(_STATES), help="Only drives in this state.")
@fleet_command
def drives(session: Session, *, status: str | None) -> int:
    r"""List all drives with state, partition and reason.

    \b
    Example:
      fleet drives --status quarantined
    """
    rows = [row for row in drive_states(session.fleet) if status in {None, row["status"]}]
    session.answer(rows, lambda: table_text(rows, _COLUMNS) if rows else "no drives")
    return DONE


@click.command()
@click.argument("drive_id")
@click.option("--release", is_flag=True, help="Let the drive through in spite of the rule, instead of trying again.")
@click.option("--rule", help="With --release: only this rule.")
@click.option("--by", help="With --release: who takes the responsibility.")
@click.option("--reason", help="With --release: why.")
@fleet_command
def replay(
    session: Session, drive_id: str, *, release: bool, rule: str | None, by: str | None, reason: str | None
) -> int:
    r"""Try a rejected drive again, or release a quarantined one.

    \b
    Example:
      fleet replay 3f2a9c0d11e2b4a5
      fleet replay 3f2a9c0d11e2b4a5 --release --by ana --reason "sensor was serviced"
    """
    from fleet_assets.provenance.requests import Request

    row = find_drive(session.fleet, drive_id)
    if release and not (by and reason):
        click.echo("fleet: --release needs --by and --reason: someone answers for it.", err=True)
        return WRONG_USE
    if release and row["status"] != "quarantined":
        click.echo(
            f"fleet: drive {drive_id} is {row['status']}, not quarantined: there is nothing to release.", err=True
        )
        return WRONG_USE
    if release:
        requests = [
            Request("release", {**held, "by": by, "reason": reason}, f"person:{by}")
            for held in _held(session.fleet, drive_id, rule)
        ]
    else:
        after = {
            entry.unit: entry.fingerprint for entry in session.fleet.lake.entries(session.fleet.table("bronze.drives"))
        }
        body = {"drive_id": drive_id, "after": after.get(drive_id, "")}
        requests = [Request("retry", body, "person:command line")]
    for request in requests:
        session.fleet.requests.append(request)
    session.crank().turn()
    state = find_drive(session.fleet, drive_id)
    session.answer(dict(state), lambda: _state_text(state))
    return DONE if state["status"] == "clean" else REFUSED


def _state_text(state: Mapping[str, Any]) -> str:
    reason = f": {state['reason']}" if state["reason"] else ""
    return f"drive {state['drive_id']} {state['status']}{reason}"


def _held(fleet: "Fleet", drive_id: str, rule: str | None) -> list[dict[str, str]]:
    """Quarantine rows of a drive that still hold it."""
    table = fleet.table("bronze.quarantine")
    rows = fleet.lake.rows(table).to_pylist()
    return [
        {"drive_id": drive_id, "scope": row["scope"], "rule": row["rule"]}
        for row in rows
        if row["drive_id"] == drive_id and row["released_by"] is None and rule in {None, row["rule"]}
    ]
