"""Commands that bring drives in: ingest, withdraw, depots, vehicle specs, the demo."""

import shutil
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fleet_assets.commands.session import (
    DONE,
    REFUSED,
    WRONG_USE,
    Session,
    existing_path,
    fleet_command,
    short_error,
    table_text,
)

if TYPE_CHECKING:
    from fleet_assets.crank import RunResult
    from fleet_assets.ingestion.recordings.discover import Found
    from fleet_assets.ingestion.vehicle import Vehicle
    from fleet_assets.provenance.manifest import Manifest


def _start_ns(text: str | None) -> int | None:
    if text is None:
        return None
    try:
        start = datetime.fromisoformat(text)
    except ValueError as error:
        raise click.BadParameter(f"{text!r}: {error}. Write e.g. 2024-05-01T08:00:00Z.") from error
    start = start if start.tzinfo else start.replace(tzinfo=UTC)
    return int(start.timestamp() * 1_000_000) * 1000


def vehicle_with_dbcs(session: Session, spec: str, recordings: Sequence[Path]) -> "Vehicle":
    """The vehicle; DBC files found beside the recordings are taken into the home, where runs look for them."""
    from fleet_assets.ingestion.recordings.dbc import dbc_folders
    from fleet_assets.ingestion.vehicle import dbcs_to_adopt, vehicle_of

    folder = session.fleet.settings.dbc_folder
    beside = [place for recording in recordings for place in dbc_folders(recording)]
    vehicle = vehicle_of(session.fleet.policies, spec, [folder, *beside])
    for source, target in dbcs_to_adopt(vehicle, folder, beside):
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
        session.say(f"took {source.name} into {target.parent}")
    return vehicle


def place_recordings(
    session: Session, founds: "Sequence[Found]", vehicle: "Vehicle", settings: dict[str, Any]
) -> "list[tuple[str, Manifest]]":
    """Copy recordings into the landing zone with a progress bar; returns upload names and manifests."""
    from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn, TransferSpeedColumn

    from fleet_assets.ingestion.telemetry_and_bulk_ingestion.ingest import Delivery, deliver
    from resources.landing import LocalLanding

    landing = LocalLanding(session.fleet.settings.landing)
    total = sum(path.stat().st_size for found in founds for path in found.files.values())
    columns = ("copying", BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    placed = []
    with Progress(*columns, transient=True, console=_stderr()) as progress:
        task = progress.add_task("", total=total)
        for found in founds:
            delivery = Delivery(vehicle, **settings)
            placed.append(deliver(found, delivery, landing, lambda count: progress.advance(task, count)))
    return placed


def _stderr() -> Any:
    from rich.console import Console

    return Console(stderr=True)


@click.command()
@click.argument("paths", nargs=-1, required=True)
@click.option("--vehicle", "spec", required=True, help="Vehicle spec, e.g. comma2k19_rav4.")
@click.option("--depot", required=True, help="Depot that the drive was offloaded at.")
@click.option("--vehicle-id", help="The vehicle; default: the spec's name.")
@click.option("--drive-id", help="Drive id; default: made from the content.")
@click.option("--revision", default=0, show_default=True, help="A corrected upload carries a higher one.")
@click.option("--start", help="UTC start, for recordings that know no time, e.g. 2024-05-01T08:00:00Z.")
@click.option("--dry-run", is_flag=True, help="Say what would be ingested and stop.")
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

    PATHS are recordings or folders with recordings. Exit code 1 when a drive is rejected, quarantined or held back.

    \b
    Example:
      fleet depot add sf
      fleet ingest drives/2018-08-02--08-34-47 --vehicle comma2k19_rav4 --depot sf
    """
    from fleet_assets.ingestion.recordings.discover import discover

    given_start_ns = _start_ns(start)
    roots = [existing_path(path) for path in paths]
    searched = [discover(root) for root in roots]
    founds = [found for some, _ in searched for found in some]
    for path, reason in ((item.path, item.reason) for _, some in searched for item in some):
        session.say(f"ignored {path}: {reason}")
    if not founds:
        click.echo(f"fleet: no recording in {', '.join(paths)}. See `fleet ingest --help` for what is read.", err=True)
        return WRONG_USE
    if drive_id is not None and len(founds) > 1:
        click.echo(
            f"fleet: --drive-id names one drive, but {len(founds)} were found. Ingest them one by one.", err=True
        )
        return WRONG_USE
    vehicle = vehicle_with_dbcs(session, spec, roots)
    if dry_run:
        rows = [{"root": str(f.root), "format": f.format, "files": len(f.files)} for f in founds]
        session.answer(rows, lambda: table_text(rows, ["root", "format", "files"]))
        return DONE
    settings = {
        "vehicle_id": vehicle.spec.name if vehicle_id is None else vehicle_id,
        "depot": depot,
        "drive_id": drive_id,
        "revision": revision,
        "given_start_ns": given_start_ns,
    }
    placed = place_recordings(session, founds, vehicle, settings)
    runs = [] if no_turn else session.crank().turn()
    return report_drives(session, placed, runs, turned=not no_turn)


def report_drives(
    session: Session, placed: "Sequence[tuple[str, Manifest]]", runs: "Sequence[RunResult]", *, turned: bool
) -> int:
    """Print drive id, state, verdict per gate and where to look; 1 when a drive did not get through."""
    from fleet_assets.commands.drives import drive_states

    states = {state["drive_id"]: state for state in drive_states(session.fleet)}
    verdicts = {(gate.asset, gate.gate, gate.partition): gate.outcome for run in runs for gate in run.gates}
    rows = []
    for upload, manifest in placed:
        waiting = {"status": "in the landing zone", "reason": None, "partition": f"{manifest.day}|{manifest.depot}"}
        state = states.get(manifest.drive_id, waiting)
        partition = state["partition"]
        said = {f"{asset}:{gate}": outcome for (asset, gate, key), outcome in verdicts.items() if key == partition}
        rows.append(
            {
                "drive_id": manifest.drive_id,
                "upload": upload,
                "status": state["status"],
                "partition": partition,
                "reason": state["reason"] or (_broken_off(runs, partition, waits=state is waiting) if turned else None),
                "gates": said or (_earlier_verdicts(session, partition) if partition and turned else {}),
                "look": "fleet drives"
                if partition is None
                else f"make ui: asset silver/signals, partition {partition}",
            }
        )
    session.answer(rows, lambda: "\n".join(_drive_text(row) for row in rows))
    clean = all(row["status"] == "clean" for row in rows) and all(
        outcome == "pass" for row in rows for outcome in row["gates"].values()
    )
    return DONE if clean or not turned else REFUSED


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


def _drive_text(row: dict[str, Any]) -> str:
    gates = [f"    {name:<44} {outcome}" for name, outcome in sorted(row["gates"].items())]
    reason = [f"    {row['reason']}"] if row["reason"] else []
    head = f"drive {row['drive_id']}  {row['status']}  {row['partition'] or 'no partition'}"
    return "\n".join([head, *reason, *gates, f"    look: {row['look']}"])


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


@click.group()
def depot() -> None:
    """Depots of this fleet."""


@depot.command("add")
@click.argument("name")
@click.option("--first-day", help="Also lower the first day with partitions, YYYY-MM-DD.")
@fleet_command
def depot_add(session: Session, name: str, *, first_day: str | None) -> int:
    r"""Make a depot known. Uploads that waited for it are taken up by themselves.

    \b
    Example:
      fleet depot add aarhus --first-day 2018-01-01
    """
    settings = session.fleet.settings.with_depot(name, first_day)
    settings.save()
    document = {"depots": list(settings.depots), "first_day": settings.first_day}
    session.answer(document, lambda: f"depots: {', '.join(settings.depots)}; first day {settings.first_day}")
    return DONE


@depot.command("list")
@fleet_command
def depot_list(session: Session) -> int:
    r"""List the depots and the first day with partitions.

    \b
    Example:
      fleet depot list --json
    """
    settings = session.fleet.settings
    document = {"depots": list(settings.depots), "first_day": settings.first_day}
    session.answer(document, lambda: f"depots: {', '.join(settings.depots)}; first day {settings.first_day}")
    return DONE
