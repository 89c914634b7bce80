"""The demo fleet as tests see it: a home that `fleet demo` filled, and the truth beside it."""

import fcntl
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from fleet_assets.policy.documents import load_policies
from tests.harness import TestFleet

FIRST_DAY = "2024-05-01"
"""Automation costs grow with the number of days."""


@dataclass(frozen=True)
class DemoFleet:
    """A demo fleet at rest, to be read only.

    Attributes:
        fleet: Its home.
        report: What the command answered with `--json`.
    """

    fleet: TestFleet
    report: Mapping[str, Any]

    @property
    def home(self) -> Path:
        """Its FLEET_HOME."""
        return self.fleet.home

    @property
    def policy(self) -> Mapping[str, Any]:
        """The document that it was made from."""
        return load_policies()["demo_fleet"]

    def planted(self, case: str) -> str:
        """Drive in which a case is planted."""
        return str(self.policy["planted"][case]["drive"])

    def truth(self, drive_id: str) -> dict[str, Any]:
        """What really happened in a drive; the pipeline never reads it."""
        document: dict[str, Any] = json.loads((self.home / "truth" / drive_id / "drive.json").read_text())
        return document

    def true_motion(self, drive_id: str) -> Mapping[str, Any]:
        """The ego vehicle's true motion, one array per column."""
        table = pq.read_table(self.home / "truth" / drive_id / "ego.parquet")
        return {name: table[name].to_numpy() for name in table.column_names}


def open_demo_home(home: Path) -> TestFleet:
    """A home with the demo fleet's depots and few days, empty or not."""
    depots = load_policies()["demo_fleet"]["depots"]
    return TestFleet(home, depots=depots, first_day=FIRST_DAY, durable=True)


def run_demo(
    home: Path, *options: str, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """`fleet demo` as a person runs it."""
    return subprocess.run(  # noqa: S603 - this repository's own command
        demo_command(home, *options),
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **(environment or {})},
    )


def demo_command(home: Path, *options: str) -> list[str]:
    """Words of the command."""
    return [sys.executable, "-m", "fleet_assets.cli", "demo", "--home", str(home), *options]


def make_demo_fleet(place: Path) -> DemoFleet:
    """Make the fleet in a folder, or wait until another process has.

    Raises:
        RuntimeError: With what the command said, when it ended otherwise than it should.
    """
    place.mkdir(exist_ok=True)
    answer = place / "answer.json"
    with (place / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        fleet = open_demo_home(place / "home")
        if not answer.exists():
            done = run_demo(place / "home", "--no-pictures", "--json")
            if done.returncode:
                raise RuntimeError(f"fleet demo ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
            answer.write_text(done.stdout)
    return DemoFleet(fleet, json.loads(answer.read_text()))
