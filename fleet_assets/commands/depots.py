"""`fleet depot`: the depots of this fleet."""

import click

from fleet_assets.commands.session import DONE, Session, fleet_command


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
