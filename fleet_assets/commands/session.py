"""What every subcommand shares: the opened home, printing, exit codes, errors that say what to do."""

import json
import sys
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from functools import cached_property, wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from resources.home import CONFIG_NAME, FleetHome, HomeError, home_path, open_home

if TYPE_CHECKING:
    import dagster as dg

    from fleet_assets.crank import Crank, RunResult
    from fleet_assets.policy.documents import Policies
    from resources.platform import Fleet

DONE: Final = 0
REFUSED: Final = 1
WRONG_USE: Final = 2
_FREE_THE_CAUSE: Final = "Nothing is lost; free the cause (disk full? permissions?) and run it again."


class Session:
    """One invocation of `fleet`.

    Args:
        home: FLEET_HOME as given, or None.
        as_json: Print one JSON document instead of text.
    """

    def __init__(self, home: str | None, *, as_json: bool) -> None:
        self.path, self.as_json = home_path(home), as_json
        self._stack = ExitStack()

    @cached_property
    def fleet(self) -> "Fleet":
        """The platform, with access to raw recordings (a person on the command line owns the home)."""
        from resources.profiles import local_fleet

        return local_fleet(self.path)

    @cached_property
    def known_home(self) -> FleetHome:
        """The home as it is, or as a new one would be; looking makes none."""
        return open_home(self.path) if (self.path / CONFIG_NAME).exists() else FleetHome(self.path)

    @cached_property
    def policies(self) -> "Policies":
        """The policies in force, for commands that write nothing."""
        from fleet_assets.policy.documents import load_policies

        return load_policies(self.known_home.policies)

    @cached_property
    def defs(self) -> "dg.Definitions":
        """The same definitions that the UI loads."""
        from fleet_assets.build import build_defs

        return build_defs(resource_overrides={"ingestion": self.fleet})

    @cached_property
    def instance(self) -> "dg.DagsterInstance":
        """The Dagster instance in the home."""
        from resources.instance import open_instance

        _ = self.fleet.settings
        return self._stack.enter_context(open_instance(self.path))

    def crank(self, on_run: "Callable[[RunResult], None] | None" = None) -> "Crank":
        """The crank on this home's instance."""
        from fleet_assets.crank import Crank

        return Crank(self.defs, self.instance, on_run or self.report_run, on_wait=self.say)

    def report_run(self, result: "RunResult") -> None:
        """One line per run on standard error, and why it failed."""
        if self.as_json:
            return
        where = f" {result.partition}" if result.partition else ""
        state = "ok" if result.success else "FAILED"
        names = ", ".join(result.assets[:3]) + (f" +{len(result.assets) - 3}" if len(result.assets) > 3 else "")  # noqa: PLR2004
        self.say(f"  {result.source:<18}{where}  {names}  {state}  {result.wall_s:.1f} s")
        for gate in result.gates:
            if gate.outcome != "pass":
                self.say(f"    gate {gate.asset}:{gate.gate} {gate.outcome}: {why_text(gate.outcome, gate.metadata)}")
        if result.error:
            self.say(f"    {short_error(result.error)}")

    def say(self, text: str) -> None:
        """A line for people; with --json it goes to standard error, so that standard output stays one document."""
        click.echo(text, err=self.as_json)

    def answer(self, document: Any, text: Callable[[], str]) -> None:
        """The command's result: the document with --json, else the text."""
        click.echo(json.dumps(document, indent=2, default=str) if self.as_json else text())

    def close(self) -> None:
        """Release the instance."""
        self._stack.close()


def why_text(outcome: str, metadata: Mapping[str, Any]) -> str:
    """Why a gate did not pass: what is missing, or its figures."""
    if outcome == "inconclusive":
        return f"missing: {metadata.get('missing', '')}"
    hidden = {"outcome", "missing", "evidence_digest", "policy_digest", "cpu_s"}
    told = {name: f"{value:.4g}" if isinstance(value, float) else value for name, value in metadata.items()}
    return ", ".join(f"{name}={value}" for name, value in told.items() if name not in hidden)


def short_error(text: str) -> str:
    """First and last line of an error: what failed, and what its traceback ends with."""
    lines = text.strip().splitlines()
    return " … ".join(dict.fromkeys((lines[0][:400], lines[-1][:400])))


def check_partition(session: Session, partition: str) -> None:
    """Tell a misspelt partition from one that holds nothing.

    Raises:
        UsageError: When it is neither a day, an hour, nor a day and a known depot.
    """
    day, bar, depot = partition.partition("|")
    settings = session.fleet.settings
    is_known = depot in settings.depots if bar else True
    is_time = _is_written_as(day, "%Y-%m-%d") or (not bar and _is_written_as(day, "%Y-%m-%d-%H:00"))
    if not (is_known and is_time):
        raise click.UsageError(
            f"--partition {partition!r} is neither a day, an hour nor DAY|DEPOT. Write e.g. "
            f"2024-05-01|{settings.depots[0]} or 2024-05-01-08:00; depots: {', '.join(settings.depots)}."
        )


def _is_written_as(text: str, form: str) -> bool:
    from datetime import datetime

    try:
        return datetime.strptime(text, form).strftime(form) == text  # noqa: DTZ007 - only its form is looked at
    except ValueError:
        return False


def table_text(rows: Iterable[Mapping[str, Any]], columns: Sequence[str]) -> str:
    """Rows as aligned text."""
    cells = [list(columns), *([("" if row.get(c) is None else str(row[c])) for c in columns] for row in rows)]
    widths = [max(len(line[index]) for line in cells) for index in range(len(columns))]
    lines = [
        "  ".join(value.ljust(width) for value, width in zip(line, widths, strict=True)).rstrip() for line in cells
    ]
    return "\n".join(lines)


def user_errors() -> tuple[type[Exception], ...]:
    """Errors whose message is meant for the person at the terminal."""
    from fleet_assets.geo.osm_ways import UnusableExtractError
    from fleet_assets.ingestion.map_and_weather_enrichment.snapshots import MisnamedMapError
    from fleet_assets.ingestion.map_and_weather_enrichment.weather_files import UnusableWeatherError
    from fleet_assets.ingestion.recordings.dbc import DbcNotFoundError
    from fleet_assets.ingestion.recordings.protocol import UnreadableRecordingError
    from fleet_assets.ingestion.sensor_sync_and_format_conversion.start_time import NoClockError
    from fleet_assets.policy.documents import InvalidPolicyError
    from fleet_assets.provenance.manifest import RefusedUploadError
    from fleet_assets.provenance.requests import CircularRequestError
    from resources.platform import UnknownTableError
    from resources.signer import UnusableKeyError

    return (
        CircularRequestError,
        DbcNotFoundError,
        HomeError,
        InvalidPolicyError,
        MisnamedMapError,
        NoClockError,
        RefusedUploadError,
        UnknownTableError,
        UnreadableRecordingError,
        UnusableExtractError,
        UnusableKeyError,
        UnusableWeatherError,
    )


def storage_errors() -> tuple[type[Exception], ...]:
    """What a full, read-only or broken disk raises: from files, and from the databases of catalog and instance."""
    import sqlalchemy.exc

    return (OSError, sqlalchemy.exc.OperationalError)


def _storage_text(error: Exception, home: Path) -> str:
    if not isinstance(error, OSError):
        return f"{home}: a database cannot be read or written ({getattr(error, 'orig', None) or error})"
    name = f"{error.filename}: " if error.filename else ""
    return f"{name}{error.strerror or error}"


def fleet_command(function: Callable[..., int | None]) -> Callable[..., None]:
    """A subcommand: adds --json and --home, turns known errors into one line and exit code 2."""
    # click keeps the lines of a paragraph after the control character; docstrings spell it out.
    function.__doc__ = (function.__doc__ or "").replace("\\b\n", "\b\n")

    @click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
    @click.option("--home", help="FLEET_HOME; default $FLEET_HOME, else .fleet here.")
    @wraps(function)
    def command(*args: Any, as_json: bool, home: str | None, **kwargs: Any) -> None:
        warnings.simplefilter("ignore")
        session = Session(home, as_json=as_json)
        try:
            code = function(session, *args, **kwargs)
        except user_errors() as error:
            click.echo(f"fleet: {error}", err=True)
            code = WRONG_USE
        except storage_errors() as error:
            click.echo(f"fleet: {_storage_text(error, session.path)}. {_FREE_THE_CAUSE}", err=True)
            code = WRONG_USE
        except KeyboardInterrupt:
            click.echo("fleet: interrupted. Nothing is lost; run it again and it goes on.", err=True)
            code = REFUSED
        finally:
            session.close()
        sys.exit(code or DONE)

    return command


def existing_path(value: str) -> Path:
    """A path as given, absolute."""
    return Path(value).expanduser().resolve()
