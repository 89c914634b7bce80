"""`fleet vehicle init`: drafts a vehicle spec from a recording."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fleet_assets.commands.placing import say_ignored, search
from fleet_assets.commands.session import DONE, REFUSED, WRONG_USE, Session, existing_path, fleet_command

if TYPE_CHECKING:
    from fleet_assets.ingestion.drafts.draft import Draft
    from fleet_assets.ingestion.recordings.dbc import DbcText
    from fleet_assets.ingestion.recordings.discovery.discover import Found
    from fleet_assets.ingestion.sensor_sync_and_format_conversion.vehicle_check import VehicleCheck


@click.command("init")
@click.argument("recording", type=click.Path(exists=True))
@click.option("--name", help="Name of the spec; default: made from the recording's.")
@click.option("--dbc", "dbcs", multiple=True, type=click.Path(exists=True, dir_okay=False), help="CAN database.")
@click.option("-o", "--output", help="File to write, e.g. .fleet/policies/vehicles/NAME.yaml; default: print it.")
@fleet_command
def vehicle_init(
    session: Session, recording: str, *, name: str | None, dbcs: tuple[str, ...], output: str | None
) -> int:
    r"""Draft a vehicle spec from a recording: channels, rates, and signals guessed from names, units and values.

    Everything that is a guess is marked `# unsure`, with the reason. CAN databases lying beside the recording are tried
    too. Exit code 1 when the draft does not fit its own recording.

    \b
    Example:
      fleet vehicle init drives/first_trip --name my_car --dbc my_car.dbc -o .fleet/policies/vehicles/my_car.yaml
    """
    from fleet_assets.ingestion.drafts.tables import slug
    from fleet_assets.ingestion.drafts.yaml_text import yaml_text

    root = existing_path(recording)
    target = None if output is None else existing_path(output)
    if target is not None and (target.exists() or target.suffix != ".yaml"):
        why = "is there already. Choose another name" if target.exists() else "must end in .yaml. Name it NAME.yaml"
        click.echo(f"fleet: {target} {why}.", err=True)
        return WRONG_USE
    found = _first(session, root)
    if found is None:
        click.echo(f"fleet: no recording of a known format in {recording}.", err=True)
        return WRONG_USE
    stated = name or (target.stem if target is not None else slug(root.stem, "vehicle"))
    databases = _databases(found, [existing_path(path) for path in dbcs])
    draft = draft_of(session, found, stated, databases)
    text = yaml_text(draft)
    check = _checked(session, found, text, stated, [Path(path) for path in dbcs])
    if target is not None:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
        _keep_databases(session, target.parent, [existing_path(path) for path in dbcs])
    document = {"name": stated, "recording": str(found.place), "spec": text, "unsure": draft.unsure, "fits": check.fits}
    verdict = "fits" if check.fits else "does not fit"
    where = f"wrote {target}" if target is not None else "nothing was written"
    summary = f"{where}; {draft.unsure} guesses to confirm; the draft {verdict} {found.place}"
    if target is None:
        session.answer(document, lambda: text.rstrip("\n"))
        click.echo(summary, err=True)
    else:
        session.answer(document, lambda: summary)
    return DONE if check.fits else REFUSED


def _first(session: Session, root: Path) -> "Found | None":
    """The recording to draft from: of several the first; text tables only where there is nothing else."""
    from fleet_assets.ingestion.recordings.discovery.discover import TEXT_TABLES

    founds, ignored = search([root], None)
    if not founds:
        say_ignored(session, ignored)
        return None
    chosen = min(founds, key=lambda found: (found.format in TEXT_TABLES, founds.index(found)))
    if len(founds) > 1:
        click.echo(f"{len(founds)} recordings in {root}; drafting from {chosen.place}", err=True)
    for note in chosen.notes:
        click.echo(f"note {chosen.place}: {note}", err=True)
    return chosen


def _databases(found: "Found", given: Sequence[Path]) -> "list[DbcText]":
    """CAN databases as given, then those beside the recording; each under a name of its own."""
    from fleet_assets.ingestion.drafts.tables import slug
    from fleet_assets.ingestion.recordings.dbc import MAX_DBC_BYTES, DbcText, dbc_folders

    beside = [path for folder in dbc_folders(found.root) for path in sorted(folder.glob("*.[dD][bB][cC]"))]
    databases: dict[str, DbcText] = {}
    for path in dict.fromkeys([*given, *beside]):
        if path.is_file() and path.stat().st_size <= MAX_DBC_BYTES and path.name not in databases:
            content = path.read_bytes()
            text = content.decode("utf-8-sig", "replace").replace("\r\n", "\n")
            name = slug(path.stem, "dbc")
            databases[path.name] = DbcText(name, path.name, text, hashlib.sha256(content).hexdigest())
    return list(databases.values())


def draft_of(session: Session, found: "Found", name: str, databases: "Sequence[DbcText]") -> "Draft":
    """Draft a spec from a recording, by the rules in force.

    Raises:
        UnreadableRecordingError: When nothing in it can be read, or a text table has no times.
    """
    from fleet_assets.ingestion.drafts.draft import BOUNDS_NS, draft_spec
    from fleet_assets.ingestion.drafts.rules import parse_drafting_rules
    from fleet_assets.ingestion.drafts.survey import survey
    from fleet_assets.ingestion.drafts.tables import guess_table
    from fleet_assets.ingestion.recordings.beginning import Beginning
    from fleet_assets.ingestion.recordings.discovery.discover import TEXT_TABLES
    from fleet_assets.ingestion.recordings.open import open_recording
    from fleet_assets.policy.canonical import parse_canonical_signals
    from fleet_assets.policy.table_layouts import parse_table_layout

    rules = parse_drafting_rules(session.policies["spec_drafting"])
    canonical = parse_canonical_signals(session.policies["canonical_signals"], "")
    table = None
    if found.format in TEXT_TABLES:
        table = guess_table(next(iter(found.files.values())), found.format, rules, BOUNDS_NS)
    recording = open_recording(found.files, (found.format,), parse_table_layout(table.body) if table else None)
    try:
        seen = survey(Beginning(recording, round(rules.probe_s * 1e9)))
    finally:
        recording.close()
    return draft_spec(name, seen, rules, canonical, databases=databases, table=table)


def _checked(session: Session, found: "Found", text: str, name: str, dbcs: Sequence[Path]) -> "VehicleCheck":
    """Hold the draft, as written, against its own recording."""
    from fleet_assets.ingestion.recordings.dbc import dbc_folders, find_dbcs
    from fleet_assets.ingestion.vehicle import Vehicle
    from fleet_assets.ingestion.vehicle_choice import check_fit
    from fleet_assets.policy.canonical import parse_canonical_signals
    from fleet_assets.policy.documents import load_document
    from fleet_assets.policy.vehicle_parsing import parse_vehicle_spec

    canonical = parse_canonical_signals(session.policies["canonical_signals"], "")
    spec = parse_vehicle_spec(load_document(text.encode(), f"draft of {name}", "vehicle"), "", canonical)
    folders = [*(path.resolve().parent for path in dbcs), session.known_home.dbc_folder, *dbc_folders(found.root)]
    return check_fit(found, Vehicle(spec, canonical, find_dbcs(spec, folders), {}))


def _keep_databases(session: Session, folder: Path, dbcs: Sequence[Path]) -> None:
    """Put the given CAN databases beside the spec, where they are looked up."""
    import shutil

    for path in dbcs:
        if not (folder / path.name).exists():
            shutil.copyfile(path, folder / path.name)
            session.say(f"took {path.name} into {folder}")
