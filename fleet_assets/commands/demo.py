"""`fleet demo`: a simulated fleet, or every recording of a folder that a vehicle spec fits, goes to silver."""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fleet_assets.commands.arrivals import report_drives
from fleet_assets.commands.placing import (
    Consignment,
    Placed,
    adopt_dbcs,
    find_vehicle,
    place_recordings,
    refusals,
    say_ignored,
)
from fleet_assets.commands.session import DONE, REFUSED, WRONG_USE, Session, existing_path, fleet_command
from fleet_assets.commands.time_table import Watch, time_rows, times_text

if TYPE_CHECKING:
    from fleet_assets.ingestion.recordings.discovery.discover import Found
    from fleet_assets.ingestion.vehicle import Vehicle
    from fleet_assets.ingestion.vehicle_choice import Choice


@click.command()
@click.option("--recordings", help="Take the recordings of this folder instead of simulating a fleet.")
@click.option("--no-pictures", is_flag=True, help="Simulate without cameras: quicker, and OpenGL is not needed.")
@fleet_command
def demo(session: Session, *, recordings: str | None, no_pictures: bool) -> int:
    r"""Simulate a small fleet, send it through the landing zone, and say what became of every drive.

    Eight drives of two days and two depots, with a planted case of each: quarantine, late drive, failed gate, hard
    brake, near-duplicate. Exit code 1 when a run broke off or a case did not end as planned. A second call does
    nothing; after an interruption it goes on.

    With --recordings, every recording of a folder that a vehicle spec fits goes the same way instead. There a drive in
    quarantine is a result like any other, and exit code 1 means that a run broke off.

    \b
    Example:
      fleet demo
      fleet demo --recordings ~/drives
    """
    if recordings is None:
        from fleet_assets.commands.demo_fleet import run_demo_fleet

        return run_demo_fleet(session, pictures=not no_pictures)
    if no_pictures:
        raise click.UsageError("--no-pictures is for the simulated fleet. Leave out --recordings, or it.")
    return _demo_recordings(session, recordings)


def _demo_recordings(session: Session, recordings: str) -> int:
    from fleet_assets.ingestion.recordings.discovery.discover import TEXT_TABLES, discover
    from fleet_assets.ingestion.recordings.discovery.walk import Tally

    watch, root = Watch(), existing_path(recordings)
    founds, ignored = discover(root)
    say_ignored(session, ignored)
    depot = session.fleet.settings.depots[0]
    consignments, tables = [], Tally()
    for found in founds:
        choice = _choice(session, found)
        if choice.vehicle is None and found.format in TEXT_TABLES:
            # Any list of numbers looks like a table: no reason to say of each why it is not of each spec.
            tables.add(found.place, f"{found.format} table that no vehicle spec describes")
            continue
        if choice.vehicle is not None and (reason := _not_for_the_demo(session, found, choice.vehicle)):
            session.say(f"left out {found.place.relative_to(root)}: {reason}")
            continue
        say_choice(session, found, choice, root)
        if choice.vehicle is not None:
            adopt_dbcs(session, choice.vehicle, [found.root])
            settings = {"vehicle_id": choice.vehicle.spec.name, "depot": depot}
            consignments.append(Consignment(found, choice.vehicle, settings))
    say_ignored(session, tables.rows())
    placed = place_recordings(session, consignments)
    for failure in placed.failures:
        session.say(f"left out {failure.place}: {failure.reason}")
    if not placed.uploads:
        click.echo(f"fleet: no recording in {recordings} that a vehicle spec fits. See `fleet vehicle list`.", err=True)
        return WRONG_USE
    runs = session.crank().turn()
    report_drives(session, Placed(placed.uploads), runs, turned=True)
    session.say("\n" + times_text(time_rows(session.instance, runs, watch)))
    session.say("\nmake ui  opens this instance with its runs, partitions and checks.")
    return DONE if all(run.error is None for run in runs) else REFUSED


def _choice(session: Session, found: "Found") -> "Choice":
    """The vehicle of a recording, among those whose CAN databases are at hand."""
    from dataclasses import replace

    from fleet_assets.ingestion.recordings.dbc import DbcNotFoundError
    from fleet_assets.ingestion.vehicle_choice import choose_vehicle, specs_for
    from fleet_assets.policy.documents import InvalidPolicyError

    policies = session.fleet.policies
    vehicles: list[Vehicle] = []
    problems = []
    for spec in specs_for(found.format, policies.documents):
        try:
            vehicles.append(find_vehicle(policies, session.fleet.settings.dbc_folder, spec, [found.root]))
        except (DbcNotFoundError, InvalidPolicyError) as error:
            problems.append(f"cannot try {spec}: {error}")
    choice = choose_vehicle(found, vehicles)
    return replace(choice, problems=(*problems, *choice.problems))


def _not_for_the_demo(session: Session, found: "Found", vehicle: "Vehicle") -> str | None:
    """Why a recording would keep a newcomer waiting, or could only be refused; None for all others."""
    from fleet_assets.ingestion.recordings.open import open_recording
    from fleet_assets.ingestion.recordings.protocol import NS_PER_S
    from fleet_assets.ingestion.sensor_sync_and_format_conversion.start_time import probe_clock

    spec, settings = vehicle.spec, session.fleet.settings
    if spec.table is not None and spec.table.drive_per_row:
        return f"a list with a drive per row. `fleet ingest --vehicle {spec.name} --depot D` takes it apart"
    try:
        recording = open_recording(found.files, spec.formats, spec.table)
        try:
            start_ns = probe_clock(recording, spec, vehicle.dbcs).start_ns
        finally:
            recording.close()
    except refusals():
        return None  # said when it is placed
    day = datetime.fromtimestamp(start_ns // NS_PER_S, tz=UTC).date().isoformat()
    if day >= settings.first_day:
        return None
    return (
        f"it is of {day}, the fleet begins on {settings.first_day}. `fleet depot add D --first-day {day}` changes that"
    )


def say_choice(session: Session, found: "Found", choice: "Choice", root: Path) -> None:
    """One line on what a recording was taken for; why specs could not be tried only where none fits."""
    name = found.place.relative_to(root) if found.place != root else found.place
    for note in found.notes:
        session.say(f"note     {name}: {note}")
    if choice.vehicle is None:
        session.say(f"left out {name} ({found.format}, {len(found.files)} files): no vehicle spec fits it")
        for problem in choice.problems:
            session.say(f"         {problem}")
        return
    session.say(f"landing  {name} as {choice.equals[0]}")
    if len(choice.equals) > 1:
        why = "for the words in its path" if choice.by_name else "as the first by name"
        session.say(
            f"         {' and '.join(choice.equals)} fit it equally well; {choice.equals[0]} was taken {why}. "
            "`fleet ingest --vehicle` says otherwise"
        )
