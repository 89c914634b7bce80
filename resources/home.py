"""FLEET_HOME: the one folder in which everything local lives, and its `fleet.yaml` (depots, first day)."""

import os
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Final

import yaml

from fleet_assets.policy.documents import InvalidPolicyError, load_document, load_schema, validate
from resources.data_files import write_atomically
from resources.private_folders import close_to_others, make_private

DEFAULT_FIRST_DAY: Final = "2018-01-01"
DEFAULT_DEPOT: Final = "main"
CONFIG_NAME: Final = "fleet.yaml"
_INSTANCE_CONFIG: Final = """\
# Dagster instance of this fleet; lies beside the lake, so that deleting FLEET_HOME makes everything new again.
telemetry:
  enabled: false
nux:
  enabled: false
run_monitoring:
  enabled: true
  free_slots_after_run_end_seconds: 300
concurrency:
  runs:
    max_concurrent_runs: 2  # each run fans its drives out over all cores itself
"""


class HomeError(RuntimeError):
    """A FLEET_HOME that cannot be used, with the remedy."""


@dataclass(frozen=True, slots=True)
class FleetHome:
    """Paths and settings of one home.

    Attributes:
        path: The folder.
        first_day: First UTC day (YYYY-MM-DD) with partitions.
        depots: Known depots, sorted.
    """

    path: Path
    first_day: str = DEFAULT_FIRST_DAY
    depots: tuple[str, ...] = (DEFAULT_DEPOT,)

    @property
    def landing(self) -> Path:
        """Where uploads arrive, for this user alone: they are of class raw."""
        return self.path / "landing"

    @property
    def lake(self) -> Path:
        """Catalog and tables."""
        return self.path / "lake"

    @property
    def objects(self) -> Path:
        """Content-addressed objects."""
        return self.path / "objects"

    @property
    def keys(self) -> Path:
        """Signing keys."""
        return self.path / "keys"

    @property
    def policies(self) -> Path:
        """The user's own policies, laid over the shipped ones."""
        return self.path / "policies"

    @property
    def dbc_folder(self) -> Path:
        """Where DBC files that specs name by path are looked up."""
        return self.policies / "vehicles"

    def save(self) -> None:
        """Write `fleet.yaml`.

        Raises:
            InvalidPolicyError: When a depot's name or the day breaks the schema.
            HomeError: When the folder cannot be written.
        """
        document = {"schema": "fleet.fleet_home/v1", "first_day": self.first_day, "depots": sorted(self.depots)}
        validate(document, load_schema("fleet_home"), CONFIG_NAME)
        _check_day(self.first_day)
        try:
            write_atomically(self.path / CONFIG_NAME, yaml.safe_dump(document, sort_keys=False).encode())
        except OSError as error:
            raise HomeError(f"{self.path}: cannot be written ({error.strerror}). Choose another FLEET_HOME.") from error

    def with_depot(self, depot: str, first_day: str | None = None) -> "FleetHome":
        """The same home with one more depot, and an earlier first day where one is given.

        Raises:
            InvalidPolicyError: When the day is none.
        """
        if first_day is not None:
            _check_day(first_day)
        depots = tuple(sorted({*self.depots, depot}))
        return replace(self, depots=depots, first_day=min(self.first_day, first_day or self.first_day))


def _check_day(day: str) -> None:
    try:
        written = date.fromisoformat(day).isoformat()
    except ValueError as error:
        raise InvalidPolicyError(f"{CONFIG_NAME}: first_day {day!r}: {error}. Write YYYY-MM-DD.") from error
    if written != day:  # days are compared as text
        raise InvalidPolicyError(f"{CONFIG_NAME}: first_day {day!r} is written in another form. Write {written}.")


def home_path(given: str | None = None) -> Path:
    """Folder of the home: the argument, else $FLEET_HOME, else `.fleet` here."""
    return Path(given or os.environ.get("FLEET_HOME") or ".fleet").expanduser().resolve()


def open_home(path: Path) -> FleetHome:
    """Open a home; a new one is made with one depot. A landing zone that is open to other users is closed to them.

    Raises:
        HomeError: When the folder cannot be made or written, or its landing zone cannot be closed to other users.
        InvalidPolicyError: When `fleet.yaml` breaks its schema.
    """
    config = path / CONFIG_NAME
    if config.exists():
        document = load_document(config.read_bytes(), str(config), "fleet_home")
        _check_day(document["first_day"])
        home = FleetHome(path, document["first_day"], tuple(sorted(document["depots"])))
    else:
        home = FleetHome(path)
    try:
        for folder in (home.lake, home.objects, home.dbc_folder):
            folder.mkdir(parents=True, exist_ok=True)
        make_private(home.landing)
        if not (path / "dagster.yaml").exists():
            write_atomically(path / "dagster.yaml", _INSTANCE_CONFIG.encode())
    except OSError as error:
        raise HomeError(f"{path}: cannot be written ({error.strerror}). Choose another FLEET_HOME.") from error
    try:
        close_to_others(home.landing)
    except OSError as error:
        raise HomeError(
            f"{home.landing}: uploads are open to other users and this one may not close them ({error.strerror}). "
            "Give the folder to the user that runs the fleet (chown, chmod 700)."
        ) from error
    if not config.exists():
        home.save()
    return home
