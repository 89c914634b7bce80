"""The `fleet` command. Subcommands live in `commands/`; heavy libraries are imported where they are used."""

import click

from fleet_assets.commands.audit import audit
from fleet_assets.commands.deliver import ingest, withdraw
from fleet_assets.commands.demo import demo
from fleet_assets.commands.depots import depot
from fleet_assets.commands.drives import drives, replay
from fleet_assets.commands.duplicates import duplicates
from fleet_assets.commands.export import export
from fleet_assets.commands.gates import check, reconcile
from fleet_assets.commands.identity import digest, lineage, plan
from fleet_assets.commands.maps import map_group, weather
from fleet_assets.commands.mine import mine
from fleet_assets.commands.query import requests, sql
from fleet_assets.commands.search import search
from fleet_assets.commands.similar import similar
from fleet_assets.commands.simulate import simulate
from fleet_assets.commands.telemetry import telemetry
from fleet_assets.commands.triggers import triggers
from fleet_assets.commands.vehicles import vehicle
from fleet_assets.commands.verify import verify


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="fleet-assets")
def main() -> None:
    """Runs a vehicle fleet's machine-learning loop.

    Exit codes: 0 done, 1 refused by a gate, 2 wrong use. Every command takes --json and --home.
    """


COMMANDS = (
    *(demo, ingest, simulate, telemetry, map_group, weather, depot, vehicle, triggers, drives, replay, audit, withdraw),
    *(sql, search, similar, duplicates, mine, export, check, plan, digest, verify, reconcile, requests, lineage),
)
for command in COMMANDS:
    main.add_command(command)

if __name__ == "__main__":
    main()
