"""From found recordings to uploads: the vehicle with its CAN databases, trip lists taken apart, copying with a bar."""

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Protocol

from fleet_assets.commands.session import Session

if TYPE_CHECKING:
    from rich.progress import Progress

    from fleet_assets.ingestion.recordings.discovery.discover import Admission, Found
    from fleet_assets.ingestion.recordings.discovery.walk import Ignored
    from fleet_assets.ingestion.vehicle import Vehicle
    from fleet_assets.policy.documents import Policies
    from fleet_assets.policy.vehicles import VehicleSpec
    from fleet_assets.provenance.manifest import Manifest


@dataclass(frozen=True, slots=True)
class Consignment:
    """One recording on its way to the landing zone.

    Attributes:
        found: The recording.
        vehicle: Its vehicle.
        settings: The other fields of `Delivery`.
        table: The table that it is a row of, or None.
    """

    found: "Found"
    vehicle: "Vehicle"
    settings: Mapping[str, Any]
    table: Path | None = None

    @property
    def place(self) -> Path:
        """Where a person finds it."""
        return self.found.place if self.table is None else self.table / self.found.place.name


@dataclass(frozen=True, slots=True)
class Failure:
    """A recording that could not be put into the landing zone, and why, with the remedy."""

    place: Path
    reason: str


@dataclass(frozen=True, slots=True)
class Placed:
    """What was put into the landing zone (upload name and manifest), and what could not be."""

    uploads: "tuple[tuple[str, Manifest], ...]"
    failures: tuple[Failure, ...] = ()


class Watch(Protocol):
    """Hears what goes on while several recordings are read or copied."""

    def begin(self, number: int, already: int) -> None:
        """The recording of this number (from 0) begins; so many bytes were done before."""
        ...

    def advance(self, count: int) -> None:
        """So many bytes more are done."""
        ...


@dataclass(slots=True)
class _Bar:
    progress: "Progress"
    task: Any
    number_of_drives: int

    def begin(self, number: int, already: int) -> None:
        self.progress.update(self.task, completed=already, description=f"drive {number + 1} of {self.number_of_drives}")

    def advance(self, count: int) -> None:
        self.progress.advance(self.task, count)


@contextmanager
def progress_bar(verb: str, founds: "Sequence[Found]") -> Iterator[Watch]:
    """A bar with bytes, rate and time left on a terminal; silence elsewhere."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    console = Console(stderr=True)
    columns = (
        TextColumn(f"{verb} {{task.description}}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, transient=True, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task("", total=sum(found.bytes for found in founds))
        yield _Bar(progress, task, len(founds))


@contextmanager
def counting_bar(verb: str, total: int) -> Iterator[Callable[[], None]]:
    """A bar with the number done and the time left on a terminal; silence elsewhere. Call it for each one done."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (TextColumn(verb), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, transient=True, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task("", total=total)
        yield lambda: progress.advance(task)


def admission_of(spec: "VehicleSpec") -> "Admission":
    """What a vehicle spec admits when a folder is searched."""
    from fleet_assets.ingestion.recordings.discovery.discover import Admission

    # A trip list is no single recording that could be tried as a whole.
    table = None if spec.table is None or spec.table.drive_per_row else spec.table
    return Admission(spec.name, spec.formats, tables=spec.table is not None, table=table)


def say_ignored(session: Session, ignored: "Sequence[Ignored]") -> None:
    """One line per reason."""
    for item in ignored:
        what = str(item.path) if item.files == 1 else f"{item.files:,} files, e.g. {item.path}"
        session.say(f"ignored {what}: {item.reason}")


def search(roots: Sequence[Path], admission: "Admission | None") -> "tuple[list[Found], list[Ignored]]":
    """Find the recordings under several paths, each once."""
    from fleet_assets.ingestion.recordings.discovery.discover import discover, without_copies
    from fleet_assets.ingestion.recordings.discovery.walk import Tally

    searched = [discover(root, admission) for root in dict.fromkeys(roots)]
    founds = [found for some, _ in searched for found in some]
    tally = Tally()
    kept = without_copies(founds, tally) if len(searched) > 1 else founds
    return kept, [*(item for _, some in searched for item in some), *tally.rows()]


def find_vehicle(policies: "Policies", home_dbcs: Path, spec: str, recordings: Sequence[Path]) -> "Vehicle":
    """The vehicle, with CAN databases of the home or found beside the recordings; nothing is written."""
    from fleet_assets.ingestion.recordings.dbc import dbc_folders
    from fleet_assets.ingestion.vehicle import vehicle_of

    beside = dict.fromkeys(place for recording in recordings for place in dbc_folders(recording))
    return vehicle_of(policies, spec, [home_dbcs, *beside])


def adopt_dbcs(session: Session, vehicle: "Vehicle", recordings: Sequence[Path]) -> None:
    """Take CAN databases that lie beside the recordings into the home, where runs look for them."""
    from fleet_assets.ingestion.recordings.dbc import dbc_folders
    from fleet_assets.ingestion.vehicle import dbcs_to_adopt

    folder = session.fleet.settings.dbc_folder
    beside = list(dict.fromkeys(place for recording in recordings for place in dbc_folders(recording)))
    for source, target in dbcs_to_adopt(vehicle, folder, beside):
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
        session.say(f"took {source.name} into {target.parent}")


@contextmanager
def single_drives(consignments: Sequence[Consignment]) -> Iterator[tuple[list[Consignment], list[Failure]]]:
    """Take tables apart whose rows are drives of their own; the pieces are there inside the `with` block only."""
    with TemporaryDirectory(prefix="fleet-rows-") as place:
        found: list[Consignment] = []
        failures: list[Failure] = []
        for number, item in enumerate(consignments):
            table = item.vehicle.spec.table
            if table is None or not table.drive_per_row:
                found.append(item)
                continue
            folder = Path(place, str(number))
            folder.mkdir()
            _take_apart(item, folder, found, failures)
        yield found, failures


def _take_apart(item: Consignment, folder: Path, found: list[Consignment], failures: list[Failure]) -> None:
    from fleet_assets.ingestion.recordings.protocol import UnreadableRecordingError
    from fleet_assets.ingestion.recordings.tables.row_drives import row_drives

    table = item.vehicle.spec.table
    for path in item.found.files.values():
        try:
            for row in row_drives(path, table, folder) if table is not None else ():
                one = replace(item.found, root=folder, files={row.name: row})
                found.append(replace(item, found=one, table=path))
        except UnreadableRecordingError as error:
            failures.append(Failure(path, str(error)))


def refusals() -> tuple[type[Exception], ...]:
    """Errors that concern one recording only; the others go on."""
    from fleet_assets.ingestion.recordings.protocol import UnreadableRecordingError
    from fleet_assets.ingestion.sensor_sync_and_format_conversion.start_time import NoClockError
    from fleet_assets.provenance.manifest import RefusedUploadError

    return (UnreadableRecordingError, NoClockError, RefusedUploadError)


def unreadable_source(error: OSError, found: "Found") -> str | None:
    """What to say of an error of the recording's own files; None for errors of the home, which stop everything."""
    sources = {str(path) for path in found.files.values()}
    if error.filename is None or str(error.filename) not in sources:
        return None
    return f"{error.filename}: cannot be read ({error.strerror}). Make it readable, or copy it from its source again."


def place_recordings(session: Session, consignments: Sequence[Consignment]) -> Placed:
    """Copy recordings into the landing zone with a progress bar; one that fails is named and the others go on."""
    from fleet_assets.ingestion.telemetry_and_bulk_ingestion.ingest import Delivery, deliver
    from resources.landing import LocalLanding

    landing = LocalLanding(session.fleet.settings.landing)
    uploads = []
    with single_drives(consignments) as (singles, failures), progress_bar("copying", [i.found for i in singles]) as bar:
        done = 0
        for number, item in enumerate(singles):
            bar.begin(number, done)
            try:
                uploads.append(deliver(item.found, Delivery(item.vehicle, **item.settings), landing, bar.advance))
            except refusals() as error:
                failures.append(Failure(item.place, str(error)))
            except OSError as error:
                reason = unreadable_source(error, item.found)
                if reason is None:
                    raise
                failures.append(Failure(item.place, reason))
            done += item.found.bytes
    return Placed(tuple(uploads), tuple(failures))
