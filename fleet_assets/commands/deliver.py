"""Commands that bring drives in and take them out: ingest, withdraw."""

from datetime import UTC, datetime

import click

from fleet_assets.commands.arrivals import report_drives
from fleet_assets.commands.dry_run import answer_dry_run
from fleet_assets.commands.placing import (
    Consignment,
    admission_of,
    adopt_dbcs,
    find_vehicle,
    place_recordings,
    say_ignored,
    search,
)
from fleet_assets.commands.session import DONE, WRONG_USE, Session, existing_path, fleet_command


def utc_start_ns(text: str | None) -> int | None:
    """Nanoseconds of a start as a person writes it.

    Raises:
        BadParameter: When it is no time.
    """
    if text is None:
        return None
    try:
        start = datetime.fromisoformat(text)
    except ValueError as error:
        raise click.BadParameter(f"{text!r}: {error}. Write e.g. 2024-05-01T08:00:00Z.") from error
    start = start if start.tzinfo else start.replace(tzinfo=UTC)
    return int(start.timestamp() * 1_000_000) * 1000


@click.command()
@click.argument("paths", nargs=-1, required=True)
@click.option("--vehicle", "spec", required=True, help="Vehicle spec, e.g. comma2k19_rav4.")
@click.option("--depot", required=True, help="Depot that the drive was offloaded at.")
@click.option("--vehicle-id", help="The vehicle; default: the spec's name.")
@click.option("--drive-id", help="Drive id; default: made from the content.")
@click.option("--revision", default=0, show_default=True, help="A corrected upload carries a higher one.")
@click.option("--start", help="UTC start, for recordings that know no time, e.g. 2024-05-01T08:00:00Z.")
@click.option("--dry-run", is_flag=True, help="Say what would be ingested and stop; nothing is written.")
@click.option("--no-turn", is_flag=True, help="Only put it into the landing zone; the daemon does the rest.")
@fleet_command
def ingest(
    session: Session,
    paths: tuple[str, ...],
    spec: str,
    depot: str,
    *,
    vehicle_id: str | None,
    drive_id: str | None,
    revision: int,
    start: str | None,
    dry_run: bool,
    no_turn: bool,
) -> int:
    r"""Put recordings into the landing zone and turn the crank until nothing is requested.

    PATHS are recordings or folders with recordings. A recording that cannot be ingested is named and the others go on.
    Exit code 1 when a drive could not be ingested, or is rejected, quarantined or held back.

    \b
    Example:
      fleet depot add sf
      fleet ingest drives/2018-08-02--08-34-47 --vehicle comma2k19_rav4 --depot sf
    """
    roots = [existing_path(path) for path in paths]
    settings = {
        "vehicle_id": spec if vehicle_id is None else vehicle_id,
        "depot": depot,
        "drive_id": drive_id,
        "revision": revision,
        "given_start_ns": utc_start_ns(start),
    }
    policies = session.policies if dry_run else session.fleet.policies
    vehicle = find_vehicle(policies, session.known_home.dbc_folder, spec, roots)
    founds, ignored = search(roots, admission_of(vehicle.spec))
    say_ignored(session, ignored)
    if not founds:
        read, why = ", ".join(vehicle.spec.formats), f": {ignored[0].reason}" if len(ignored) == 1 else ""
        remedy = "Name the vehicle spec of this recorder; see `fleet vehicle list`."
        click.echo(f"fleet: no recording of {spec} ({read}) in {', '.join(paths)}{why}. {remedy}", err=True)
        return WRONG_USE
    if drive_id is not None and len(founds) > 1:
        click.echo(
            f"fleet: --drive-id names one drive, but {len(founds)} were found. Ingest them one by one.", err=True
        )
        return WRONG_USE
    consignments = [Consignment(found, vehicle, settings) for found in founds]
    if dry_run:
        return answer_dry_run(session, consignments, ignored)
    for found in founds:
        for note in found.notes:
            session.say(f"note {found.place}: {note}")
    adopt_dbcs(session, vehicle, roots)
    placed = place_recordings(session, consignments)
    for failure in placed.failures:
        click.echo(f"fleet: {failure.place}: {failure.reason}", err=True)
    runs = [] if no_turn or not placed.uploads else session.crank().turn()
    return report_drives(session, placed, runs, turned=not no_turn)


@click.command()
@click.argument("drive_id")
@click.option("--reason", required=True, help="Why the drive is taken out.")
@click.option("--by", required=True, help="Who asks for it.")
@fleet_command
def withdraw(session: Session, drive_id: str, *, reason: str, by: str) -> int:
    r"""Take a drive out of every table. A later upload with a higher revision brings it back.

    \b
    Example:
      fleet withdraw 3f2a9c0d11e2b4a5 --reason "wrong vehicle" --by ana
    """
    from fleet_assets.commands.drives import find_drive
    from fleet_assets.provenance.requests import Request

    row = find_drive(session.fleet, drive_id)
    body = {"drive_id": drive_id, "revision": row["revision"], "reason": reason}
    request = session.fleet.requests.append(Request("withdrawal", body, f"person:{by}"))
    runs = session.crank().turn()
    session.answer(
        {"request_id": request.request_id, "runs": len(runs)},
        lambda: f"withdrawn {drive_id} (request {request.request_id[:12]}, {len(runs)} runs)",
    )
    return DONE
