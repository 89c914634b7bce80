"""`fleet vehicle`: the known specs, and does one fit a recording? Drafting one is in `vehicle_init.py`."""

from typing import Any

import click

from fleet_assets.commands.placing import admission_of, find_vehicle, say_ignored, search
from fleet_assets.commands.session import DONE, REFUSED, WRONG_USE, Session, existing_path, fleet_command, table_text
from fleet_assets.commands.vehicle_init import vehicle_init


def _formats(stated: str | list[str]) -> list[str]:
    return [stated] if isinstance(stated, str) else stated


@click.group()
def vehicle() -> None:
    """Vehicle specs."""


vehicle.add_command(vehicle_init)


@vehicle.command("list")
@fleet_command
def vehicle_list(session: Session) -> int:
    r"""List the known vehicle specs.

    \b
    Example:
      fleet vehicle list
    """
    prefix = "vehicles/"
    documents = session.policies.documents
    rows = [
        {
            "spec": name.removeprefix(prefix),
            "format": " ".join(_formats(documents[name]["format"])),
            "description": documents[name]["description"],
        }
        for name in sorted(documents)
        if name.startswith(prefix)
    ]
    session.answer(rows, lambda: table_text(rows, ["spec", "format", "description"]))
    return DONE


@vehicle.command("check")
@click.argument("spec")
@click.argument("recording", type=click.Path(exists=True))
@fleet_command
def vehicle_check(session: Session, spec: str, recording: str) -> int:
    r"""Say what of a recording a spec maps, what not, and what the rates really are. Exit code 1 when it does not fit.

    \b
    Example:
      fleet vehicle check comma2k19_rav4 drives/2018-08-02--08-34-47/40
    """
    from fleet_assets.ingestion.recordings.open import open_recording
    from fleet_assets.ingestion.sensor_sync_and_format_conversion.vehicle_check import check_vehicle

    root = existing_path(recording)
    known = find_vehicle(session.policies, session.known_home.dbc_folder, spec, [root])
    founds, ignored = search([root], admission_of(known.spec))
    if not founds:
        say_ignored(session, ignored)
        click.echo(f"fleet: no recording of {spec} ({', '.join(known.spec.formats)}) in {recording}.", err=True)
        return WRONG_USE
    if len(founds) > 1:
        session.say(f"{len(founds)} recordings in {root}; this is about {founds[0].place}")
    opened = open_recording(founds[0].files, known.spec.formats, known.spec.table)
    try:
        result = check_vehicle(opened, known.spec, known.canonical, known.dbcs)
    finally:
        opened.close()
    rows: list[dict[str, Any]] = [
        {
            "fit": str(row.fit),
            "sensor": row.sensor,
            "source": row.source,
            "messages": row.messages,
            "nominal_hz": row.nominal_hz,
            "measured_hz": None if row.measured_hz is None else round(row.measured_hz, 2),
            "signals": ", ".join(row.signals),
            "detail": row.detail,
        }
        for row in result.rows
    ]
    document = {"spec": result.spec, "fits": result.fits, "rows": rows, "unmapped": list(result.unmapped)}
    columns = ["fit", "sensor", "source", "messages", "nominal_hz", "measured_hz", "signals", "detail"]
    verdict = "fits" if result.fits else "does not fit"
    unmapped = f"not given by the spec: {', '.join(result.unmapped) or 'nothing'}"
    session.answer(document, lambda: f"{table_text(rows, columns)}\n{unmapped}\n{spec} {verdict} {root.name}")
    return DONE if result.fits else REFUSED
