"""`fleet demo`: every recording of a folder that a vehicle spec fits goes from landing to silver."""

from collections import defaultdict
from collections.abc import Sequence
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
    say_ignored,
)
from fleet_assets.commands.session import WRONG_USE, Session, existing_path, fleet_command, table_text

if TYPE_CHECKING:
    from fleet_assets.crank import RunResult
    from fleet_assets.ingestion.recordings.discovery.discover import Found
    from fleet_assets.ingestion.vehicle import Vehicle
    from fleet_assets.ingestion.vehicle_choice import Choice


@click.command()
@click.option("--recordings", required=True, help="Folder with recordings.")
@fleet_command
def demo(session: Session, *, recordings: str) -> int:
    r"""Take every recording of a folder that a vehicle spec fits from landing to silver.

    \b
    Example:
      fleet demo --recordings ~/drives
    """
    from fleet_assets.ingestion.recordings.discovery.discover import TEXT_TABLES, discover
    from fleet_assets.ingestion.recordings.discovery.walk import Tally

    root = existing_path(recordings)
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
    code = report_drives(session, Placed(placed.uploads), runs, turned=True)
    session.say("\n" + time_table(runs))
    session.say("\nmake ui  opens this instance with its runs, partitions and checks.")
    return code


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


def time_table(runs: "Sequence[RunResult]") -> str:
    """Where the time went, by asset: engine CPU, and the runs around it."""
    from fleet_assets.operators import STEPS

    workers: dict[str, float] = defaultdict(float)
    for run in runs:
        for step in STEPS:
            workers[step.operator.name] += run.worker_cpu_s.get(step.operator.outputs[0].replace(".", "/"), 0.0)
    rows = [
        {"workflow": name.split(".")[0], "operator": name.split(".")[1], "worker_cpu_s": f"{cpu_s:.2f}"}
        for name, cpu_s in workers.items()
    ]
    total = {
        "workflow": "orchestration",
        "operator": f"{len(runs)} runs, {sum(run.wall_s for run in runs):.1f} s elapsed",
        "worker_cpu_s": f"{sum(run.cpu_s for run in runs):.2f}",
    }
    return table_text([*rows, total], ["workflow", "operator", "worker_cpu_s"])
