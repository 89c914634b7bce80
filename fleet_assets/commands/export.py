"""`fleet export`: an event window as a file that a viewer opens."""

from pathlib import Path

import click

from fleet_assets.commands.session import DONE, WRONG_USE, Session, fleet_command


@click.command()
@click.argument("event_id")
@click.option("--format", "form", type=click.Choice(["mcap", "rerun"]), required=True, help="Foxglove or Rerun.")
@click.option(
    "--out", type=click.Path(dir_okay=False, path_type=Path), required=True, help="File to write; it must not exist."
)
@fleet_command
def export(session: Session, event_id: str, *, form: str, out: Path) -> int:
    r"""Write an event with what is around it to a file: signals, positions, radar objects, pictures, other events.

    Only what is of class open is in it: redacted pictures, and no positions near the ends of trips. An MCAP file opens
    in Foxglove, an RRD file in Rerun (extra `viz`).

    \b
    Example:
      fleet sql "select event_id, trigger, score from gold.event_windows order by score desc limit 5"
      fleet export a1-hard_brake-1714550405000000000 --format mcap --out brake.mcap
    """
    from fleet_assets.mining.scenario_mining.export.mcap_cut import write_mcap
    from fleet_assets.mining.scenario_mining.export.rerun_recording import MissingExtraError, write_rerun
    from fleet_assets.mining.scenario_mining.export.window import UnknownEventError, event_window

    if out.exists():
        click.echo(f"fleet: {out} exists. Name another file, or remove it.", err=True)
        return WRONG_USE
    # What leaves the platform is read as every other area reads it.
    fleet = session.fleet.model_copy(update={"granted": ["open"]})
    try:
        window = event_window(event_id, fleet.lake, fleet.tables, fleet.objects, fleet.policies["mining"]["export"])
        count = (write_mcap if form == "mcap" else write_rerun)(window, out)
    except (UnknownEventError, MissingExtraError) as error:
        click.echo(f"fleet: {error}", err=True)
        return WRONG_USE
    told = {
        "event_id": event_id,
        "drive_id": window.event["drive_id"],
        "file": str(out),
        "messages": count,
        "pictures": len(window.pictures),
        "start_ns": window.start_ns,
        "end_ns": window.end_ns,
    }
    session.answer(told, lambda: f"{out}: {count} entries, {len(window.pictures)} pictures of drive {told['drive_id']}")
    return DONE
