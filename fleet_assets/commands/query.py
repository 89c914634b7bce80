"""Commands that read: SQL and requests."""

from typing import TYPE_CHECKING, Any

import click

from fleet_assets.commands.session import DONE, WRONG_USE, Session, fleet_command, table_text

if TYPE_CHECKING:
    from fleet_assets.provenance.requests import Request
    from resources.platform import Fleet


@click.command()
@click.argument("statement")
@fleet_command
def sql(session: Session, statement: str) -> int:
    r"""Query the lake with DuckDB SQL. With --json, a list of row objects.

    \b
    Example:
      fleet sql "select drive_id, avg(speed_mps) from silver.signals group by 1" --json
    """
    from resources.sql import QueryError, query

    try:
        rows = query(session.fleet, statement)
    except QueryError as error:
        known = ", ".join(["bronze.drive_status", *sorted(session.fleet.tables)])
        click.echo(f"fleet: {error}\nTables: {known}.", err=True)
        return WRONG_USE
    columns = list(rows[0]) if rows else []
    session.answer(rows, lambda: table_text(rows, columns) if rows else "no rows")
    return DONE


@click.command()
@click.option("--kind", help="Only requests of this kind.")
@fleet_command
def requests(session: Session, *, kind: str | None) -> int:
    r"""Show cause → request → outcome of every request.

    \b
    Example:
      fleet requests --kind release
    """
    rows = [
        {
            "cause": request.cause,
            "kind": request.kind,
            "request_id": request.request_id[:16],
            "body": dict(request.body),
            "outcome": _outcome(session.fleet, request),
        }
        for request in session.fleet.requests.all()
        if kind in {None, request.kind}
    ]
    columns = ["cause", "kind", "request_id", "body", "outcome"]
    session.answer(rows, lambda: table_text(rows, columns) if rows else "no requests")
    return DONE


def _outcome(fleet: "Fleet", request: "Request") -> str:
    """What the consumer's own table says became of a request."""
    drive_id = str(request.body.get("drive_id", ""))
    drives = {entry.unit: entry for entry in fleet.lake.entries(fleet.table("bronze.drives"))}
    if request.kind == "withdrawal":
        return "open" if drive_id in drives else "withdrawn"
    if request.kind == "retry":
        entry = drives.get(drive_id)
        return "open" if entry is None or entry.fingerprint == request.body.get("after") else "tried again"
    if request.kind == "release":
        rows: list[dict[str, Any]] = fleet.lake.rows(fleet.table("bronze.quarantine")).to_pylist()
        by = [row["released_by"] for row in rows if row["drive_id"] == drive_id and row["rule"] == request.body["rule"]]
        return f"released by {by[0]}" if any(by) else "open"
    if request.kind == "mining":
        answers: list[dict[str, Any]] = fleet.lake.rows(fleet.table("gold.mining_requests")).to_pylist()
        mined = [row for row in answers if row["request_id"] == request.request_id]
        return f"{mined[0]['status']}: {mined[0]['message'] or mined[0]['chosen']}" if mined else "open"
    return "no consumer for this kind"
