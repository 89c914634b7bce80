"""`fleet demo`: every recording of a folder that a vehicle spec fits goes from landing to silver."""

from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from fleet_assets.commands.deliver import place_recordings, report_drives, vehicle_with_dbcs
from fleet_assets.commands.session import WRONG_USE, Session, existing_path, fleet_command, table_text

if TYPE_CHECKING:
    from fleet_assets.crank import RunResult
    from fleet_assets.ingestion.recordings.discover import Found
    from fleet_assets.ingestion.vehicle import Vehicle
    from fleet_assets.provenance.manifest import Manifest


@click.command()
@click.option("--recordings", required=True, help="Folder with recordings.")
@fleet_command
def demo(session: Session, *, recordings: str) -> int:
    r"""Take every recording of a folder that a vehicle spec fits from landing to silver.

    \b
    Example:
      fleet demo --recordings ~/drives
    """
    from fleet_assets.ingestion.recordings.discover import discover

    root = existing_path(recordings)
    founds, _ = discover(root)
    placed: list[tuple[str, Manifest]] = []
    depot = session.fleet.settings.depots[0]
    for found in founds:
        vehicle = bestvehicle_with_dbcs(session, found)
        name = found.root.relative_to(root)
        if vehicle is None:
            session.say(f"left out {name} ({found.format}, {len(found.files)} files): no vehicle spec fits it")
            continue
        session.say(f"landing  {name} as {vehicle.spec.name}")
        placed += place_recordings(session, [found], vehicle, {"vehicle_id": vehicle.spec.name, "depot": depot})
    if not placed:
        click.echo(f"fleet: no recording in {recordings} that a vehicle spec fits. See `fleet vehicle list`.", err=True)
        return WRONG_USE
    runs = session.crank().turn()
    code = report_drives(session, placed, runs, turned=True)
    session.say("\n" + time_table(runs))
    session.say("\nmake ui  opens this instance with its runs, partitions and checks.")
    return code


def bestvehicle_with_dbcs(session: Session, found: "Found") -> "Vehicle | None":
    """The spec whose required sensors the recording all has, and of which it maps the most."""
    from fleet_assets.ingestion.recordings.dbc import DbcNotFoundError, dbc_folders
    from fleet_assets.ingestion.recordings.open import open_recording
    from fleet_assets.ingestion.recordings.protocol import UnreadableRecordingError
    from fleet_assets.ingestion.sensor_sync_and_format_conversion.vehicle_check import check_vehicle
    from fleet_assets.ingestion.vehicle import vehicle_of

    policies = session.fleet.policies
    names = [name for name in sorted(policies.documents) if name.startswith("vehicles/")]
    fitting = []
    for name in names:
        spec = name.removeprefix("vehicles/")
        try:
            vehicle = vehicle_of(policies, spec, [session.fleet.settings.dbc_folder, *dbc_folders(found.root)])
            if found.format not in vehicle.spec.formats:
                continue
            opened = open_recording(found.files, vehicle.spec.formats, vehicle.spec.table)
        except (DbcNotFoundError, UnreadableRecordingError) as error:
            session.say(f"cannot try {spec}: {error}")
            continue
        try:
            result = check_vehicle(opened, vehicle.spec, vehicle.canonical, vehicle.dbcs)
        finally:
            opened.close()
        if result.fits:
            fitting.append((len(result.unmapped), spec))
    return vehicle_with_dbcs(session, min(fitting)[1], [found.root]) if fitting else None


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
