"""`fleet simulate`: drives that never took place, with recordings, truth and faults on request."""

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final

import click

from fleet_assets.commands.arrivals import report_drives
from fleet_assets.commands.deliver import utc_start_ns
from fleet_assets.commands.placing import Failure, Placed, adopt_dbcs, counting_bar, find_vehicle, refusals
from fleet_assets.commands.sending import send, write_database
from fleet_assets.commands.session import DONE, REFUSED, WRONG_USE, Session, fleet_command
from fleet_assets.commands.surroundings import land_surroundings

if TYPE_CHECKING:
    from fleet_assets.crank import RunResult
    from fleet_assets.ingestion.vehicle import Vehicle
    from services.fleet_simulator.drive_plans import FleetOrder
    from services.fleet_simulator.drive_truth import DrivePlan
    from services.fleet_simulator.faults import UploadStep
    from services.fleet_simulator.orders import DriveTask, MadeDrive, WorldSource

VEHICLE: Final = "sim_car"
_DEFAULT_SENSORS: Final = "can,imu,gnss,radar"

_HELP: Final = """Make drives with ground truth: a test bed for anything that reads recordings.

It needs no fleet and no other part of this project: with --out everything goes into a folder of yours. A seeded
world (or a map of yours), traffic and vehicle; every sensor with clock offset, drift, jitter and latency; events,
faults and shifts on request. One MCAP per drive (standard ROS 2 messages, readable by any MCAP tool), the CAN database
beside it, and the truth in a folder of its own: motion at 100 Hz with lane and map edge, road users, events, clocks,
faults and shifts with time and size, the map. The same seed gives the same bytes, whatever the number of workers.
Exit code 1 when a requested event did not happen, or when a drive is rejected, quarantined or held back, as those with
faults should be.

\b
Example: by itself, without a fleet:
  fleet simulate --list
  fleet simulate --out simulated --drives 3 --seconds 120 --seed 7
  fleet simulate --out simulated --sensors can,imu --event hard_brake@20 --event cut_in@40
  fleet simulate --out simulated --fault dropout:imu@10+5 --fault clock_jump@30=-800
  fleet simulate --out simulated --drives 20 --shift night_share=0.3 --shift 5/smeared_lens=0.6
  fleet simulate --out simulated --map baltimore.osm.pbf --seconds 300
  fleet simulate --out simulated --sensors gnss,lidar,camera --camera-hz 5 --seconds 10

\b
Example: through the landing zone of a fleet, as real cars would (truth goes to FLEET_HOME/truth):
  fleet depot add north
  fleet simulate --drives 2 --depot north --fault 2/wrong_digest
"""


@click.command(help=_HELP)
@click.option("--drives", default=1, show_default=True, type=click.IntRange(1), help="How many drives.")
@click.option("--only", type=click.IntRange(1), help="Make this drive of them alone; its bytes are the same.")
@click.option("--depot", "depots", multiple=True, help="Depot, repeatable; default: the fleet's, or `main` with --out.")
@click.option("--seconds", default=60.0, show_default=True, type=click.FloatRange(2.0), help="Length of each drive.")
@click.option("--seed", default=1, show_default=True, type=click.IntRange(0), help="World, traffic and noise.")
@click.option("--start", default="2024-05-01T08:00:00Z", show_default=True, help="UTC start of the first drives.")
@click.option(
    "--every", default=60.0, show_default=True, type=click.FloatRange(0.1), help="Minutes between a vehicle's drives."
)
@click.option(
    "--sensors", default=_DEFAULT_SENSORS, show_default=True, help="Any of can, imu, gnss, radar, lidar, camera."
)
@click.option("--camera-hz", type=click.FloatRange(0.5, 30.0), help="Pictures per second; default: 10.")
@click.option("--event", "events", multiple=True, help="KIND@SECOND, e.g. hard_brake@20; repeatable.")
@click.option("--fault", "faults", multiple=True, help="[DRIVE/]KIND[:SENSOR][@SECOND][+SECONDS][=SIZE]; repeatable.")
@click.option("--shift", "shifts", multiple=True, help="[DRIVE/]KIND[=VALUE], e.g. smeared_lens=0.6; repeatable.")
@click.option(
    "--map",
    "map_file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="OpenStreetMap file (XML or PBF) to drive in, instead of a town made from the seed.",
)
@click.option(
    "--workers", default=0, type=click.IntRange(0), help="Processes that make drives; default: one per processor core."
)
@click.option("--list", "listed", is_flag=True, help="List sensors, events, faults, shifts and regions, and stop.")
@click.option("--out", help="Write recordings and truth into this folder; no fleet is needed or touched.")
@click.option("--no-turn", is_flag=True, help="Only put the drives into the landing zone; the daemon does the rest.")
@fleet_command
def simulate(
    session: Session,
    *,
    drives: int,
    only: int | None,
    camera_hz: float | None,
    map_file: Path | None,
    workers: int,
    listed: bool,
    out: str | None,
    no_turn: bool,
    **wanted: Any,
) -> int:
    """Make drives with ground truth; what a person reads is `_HELP`."""
    from services.fleet_simulator.camera.gpu import CameraUnavailableError
    from services.fleet_simulator.faults import UnknownFaultError
    from services.fleet_simulator.orders import WorldSource
    from services.fleet_simulator.sensors.catalogue import UnknownSensorError
    from services.fleet_simulator.shifts import UnknownShiftError
    from services.fleet_simulator.traffic.requests import UnknownEventError
    from services.fleet_simulator.world.osm_xml import NoRoadsError

    if listed:
        return _list(session)
    try:
        depots = tuple(wanted.pop("depots") or (("main",) if out is not None else session.fleet.settings.depots))
        order = _order(depots=depots, **wanted)
        source = WorldSource(order.seed, depots, "" if map_file is None else str(map_file.resolve()))
        numbers = range(1, drives + 1) if only is None else (only,)
        workshop = _Workshop(session, order, source, numbers, workers, camera_hz)
        workshop.check()
        return workshop.write(Path(out).expanduser().resolve()) if out is not None else workshop.send(turns=not no_turn)
    except (UnknownFaultError, UnknownSensorError, UnknownEventError, UnknownShiftError) as error:
        raise click.UsageError(f"{error}. See `fleet simulate --list`.") from error
    except NoRoadsError as error:
        raise click.UsageError(f"--map: {error}. Take an extract that holds a whole neighbourhood.") from error
    except CameraUnavailableError as error:
        click.echo(f"fleet: {error} All other sensors work without it.", err=True)
        return WRONG_USE


def _list(session: Session) -> int:
    from services.fleet_simulator.drive_truth import EVENT_UNITS
    from services.fleet_simulator.faults import FAULT_KINDS
    from services.fleet_simulator.sensors.catalogue import CAMERA, GROUPS
    from services.fleet_simulator.shifts import SHIFT_KINDS

    regions = session.policies["simulation"]["shifts"]["regions"]
    sensors = {**GROUPS, CAMERA: ()}
    kinds = {
        name: {"acts_on": kind.acts_on, "size": kind.magnitude, "unit": kind.unit, "what": kind.words}
        for name, kind in FAULT_KINDS.items()
    }
    document = {
        "sensors": {name: list(parts) for name, parts in sensors.items()},
        "events": EVENT_UNITS,
        "faults": kinds,
        "shifts": {
            name: {"acts_on": kind.acts_on, "value": kind.value, "unit": kind.unit, "what": kind.words}
            for name, kind in SHIFT_KINDS.items()
        },
        "regions": list(regions),
    }

    def text() -> str:
        lines = ["sensors (a fault may name one or a part of it)"]
        lines += [f"  {name:<20}{', '.join(parts)}" for name, parts in sensors.items()]
        lines += ["events and the unit of their size in the truth", *(f"  {k:<20}{v}" for k, v in EVENT_UNITS.items())]
        lines.append("faults, what they act on, default size")
        lines += [
            f"  {name:<20}{kind.acts_on:<14}{f'{kind.magnitude:g} {kind.unit}' if kind.unit else '':<26}{kind.words}"
            for name, kind in FAULT_KINDS.items()
        ]
        lines.append("shifts, what they act on, default value")
        lines += [
            f"  {name:<20}{kind.acts_on:<14}"
            f"{kind.unit if kind.value is None else f'{kind.value:g} {kind.unit}':<26}{kind.words}"
            for name, kind in SHIFT_KINDS.items()
        ]
        lines.append(f"regions (shift region=NAME): {', '.join(regions)}")
        return "\n".join(lines)

    session.answer(document, text)
    return DONE


def _order(
    *,
    depots: Sequence[str],
    seconds: float,
    seed: int,
    start: str,
    every: float,
    sensors: str,
    events: Sequence[str],
    faults: Sequence[str],
    shifts: Sequence[str],
) -> "FleetOrder":
    from services.fleet_simulator.drive_plans import FleetOrder
    from services.fleet_simulator.faults import parse_fault
    from services.fleet_simulator.shifts import parse_shift

    return FleetOrder(
        seed=seed,
        depots=tuple(depots),
        start_ns=utc_start_ns(start) or 0,
        seconds=seconds,
        sensors=tuple(name.strip() for name in sensors.split(",") if name.strip()),
        every_s=every * 60,
        events=tuple(_event(text) for text in events),
        faults=_by_drive(faults, parse_fault),
        shifts=_by_drive(shifts, parse_shift),
    )


def _event(text: str) -> Any:
    from services.fleet_simulator.drive_truth import EVENT_UNITS, EventRequest

    kind, _, at = text.partition("@")
    try:
        second = float(at or 0)
    except ValueError:
        second = -1.0
    if kind not in EVENT_UNITS or second < 0:
        raise click.UsageError(
            f"--event {text!r}: write KIND@SECOND, e.g. hard_brake@20. Kinds: {', '.join(EVENT_UNITS)}"
        )
    return EventRequest(kind, second)


def _by_drive(texts: Sequence[str], parse: Callable[[str], Any]) -> dict[int, list[Any]]:
    found: dict[int, list[Any]] = {}
    for text in texts:
        number, bar, rest = text.partition("/")
        drive = int(number) if bar and number.isdecimal() else 0
        found.setdefault(drive, []).append(parse(rest if drive else text))
    return found


@dataclass
class _Workshop:
    """Makes the drives of one order and puts them where they are wanted."""

    session: Session
    order: "FleetOrder"
    source: "WorldSource"
    numbers: Sequence[int]
    workers: int
    camera_hz: float | None = None
    placed: list[Any] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)

    def check(self) -> None:
        """See that the order can be carried out; errors name what to change."""
        from services.fleet_simulator.orders import check_order
        from services.fleet_simulator.sensors.catalogue import CAMERA

        if self.camera_hz is not None and CAMERA not in self.order.sensors:
            raise click.UsageError("--camera-hz without a camera: add it, e.g. --sensors can,imu,gnss,camera.")
        check_order(self.source, self.order, self.numbers, self.session.policies["simulation"])

    def write(self, folder: Path) -> int:
        """Everything into a folder."""
        rows = []
        write_database(folder / "recordings")
        for made in self._made(folder / "recordings", folder / "truth"):
            name = made.plan.drive_id
            rows.append(
                {
                    "drive_id": name,
                    "recording": str(made.recording),
                    "truth": str(folder / "truth" / name),
                    "bytes": made.recording.stat().st_size,
                    "unmet": [f"{request.kind}@{request.at_s:g}" for request in made.unmet],
                }
            )
            if not self.session.as_json:
                self.session.say(f"{name}  {made.recording}  {rows[-1]['bytes']:,} bytes")
        self.session.answer(rows, lambda: f"{len(rows)} drives in {folder}; truth in {folder / 'truth'}")
        return REFUSED if any(row["unmet"] for row in rows) else DONE

    def send(self, *, turns: bool) -> int:
        """Everything through the landing zone, late uploads after the others were processed."""
        home = self.session.fleet.settings
        runs: list[RunResult] = []
        with TemporaryDirectory(prefix="fleet-simulated-") as workplace:
            folder = Path(workplace)
            write_database(folder)
            vehicle = find_vehicle(self.session.fleet.policies, home.dbc_folder, VEHICLE, [folder])
            adopt_dbcs(self.session, vehicle, [folder])
            self._land_worlds()
            late: list[tuple[UploadStep, DrivePlan, Path]] = []
            for made in self._made(folder, home.path / "truth"):
                plan, path = made.plan, made.recording
                steps = _steps(plan)
                for step in (step for step in steps if step.turn == 0):
                    self._upload(step, plan, path, vehicle)
                late += [(step, plan, path) for step in steps if step.turn]
                if not any(step.turn for step in steps):
                    shutil.rmtree(path.parent)
            for turn in sorted({0, *(step.turn for step, _, _ in late)}):
                for step, plan, path in late:
                    if step.turn == turn:
                        self._upload(step, plan, path, vehicle)
                if turns and self.placed:
                    runs += self.session.crank().turn()
        return report_drives(self.session, Placed(tuple(self.placed), tuple(self.failures)), runs, turned=turns)

    def _land_worlds(self) -> None:
        """Maps and weather of the worlds that the drives take place in."""
        from resources.landing import LocalLanding
        from services.fleet_simulator.drive_plans import drive_shift, plan_drive
        from services.fleet_simulator.drive_truth import NS_PER_S
        from services.fleet_simulator.orders import world_of

        policy = self.session.policies["simulation"]
        windows: dict[str, list[tuple[int, int]]] = {}
        worlds: dict[str, Any] = {}
        for number in self.numbers:
            region = drive_shift(self.order, number).region
            if region not in worlds:
                worlds[region] = world_of(self.source, policy, region)
            plan = plan_drive(self.order, number, worlds[region])
            stretch = (plan.start_ns, plan.start_ns + round(plan.duration_s * NS_PER_S))
            windows.setdefault(region, []).append(stretch)
        landing = LocalLanding(self.session.fleet.settings.landing)
        for region, stretches in sorted(windows.items()):
            land_surroundings(landing, worlds[region], stretches, policy)

    def _upload(self, step: "UploadStep", plan: "DrivePlan", path: Path, vehicle: "Vehicle") -> None:
        from resources.landing import LocalLanding

        try:
            self.placed.append(send(step, plan, path, vehicle, LocalLanding(self.session.fleet.settings.landing)))
        except refusals() as error:
            self.failures.append(Failure(path, str(error)))

    def _made(self, recordings: Path, truth: Path) -> "Iterator[MadeDrive]":
        """Make the drives, several at once; gives them in their order, whoever is ready first."""
        from services.fleet_simulator.orders import DriveTask, write_maps

        policy = self.session.policies["simulation"]
        write_maps(self.source, self.order, policy, self.numbers, truth / "maps")
        tasks = [
            DriveTask(self.source, self.order, number, policy, recordings, truth, self.camera_hz)
            for number in self.numbers
        ]
        with counting_bar("simulating", len(tasks)) as advance:
            for made in _in_order(tasks, min(self.workers or os.cpu_count() or 1, len(tasks))):
                advance()
                for request in made.unmet:
                    click.echo(
                        f"fleet: {made.plan.drive_id}: {request.kind}@{request.at_s:g} did not happen. "
                        "Ask for it earlier, or for longer drives (--seconds).",
                        err=True,
                    )
                yield made


def _in_order(tasks: "Sequence[DriveTask]", workers: int) -> "Iterator[MadeDrive]":
    """What comes of the tasks, by worker processes where there are several; the first failure ends it."""
    from resources.engine import ProcessPoolEngine
    from services.fleet_simulator.camera.gpu import CameraUnavailableError
    from services.fleet_simulator.orders import make_ordered

    if workers == 1:
        yield from map(make_ordered, tasks)
        return
    ready: dict[str, MadeDrive] = {}
    waiting = [str(task.number) for task in tasks]
    for outcome in ProcessPoolEngine(workers).run(make_ordered, [(str(task.number), task) for task in tasks]):
        if outcome.error is not None:
            name, _, text = outcome.error.strip().splitlines()[-1].partition(": ")
            if name.endswith(CameraUnavailableError.__name__):
                raise CameraUnavailableError(text)
            raise RuntimeError(f"drive {outcome.key} could not be made:\n{outcome.error}")
        ready[outcome.key] = outcome.value
        while waiting and waiting[0] in ready:
            yield ready.pop(waiting.pop(0))


def _steps(plan: "DrivePlan") -> "tuple[UploadStep, ...]":
    from services.fleet_simulator.faults import uploads

    return uploads(plan)
