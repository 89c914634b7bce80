"""`fleet simulate`: drives that never took place, with recordings, truth and faults on request."""

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final

import click

from fleet_assets.commands.arrivals import report_drives
from fleet_assets.commands.deliver import utc_start_ns
from fleet_assets.commands.placing import Failure, Placed, admission_of, adopt_dbcs, find_vehicle, refusals, search
from fleet_assets.commands.session import DONE, WRONG_USE, Session, fleet_command

if TYPE_CHECKING:
    from fleet_assets.crank import RunResult
    from fleet_assets.ingestion.vehicle import Vehicle
    from fleet_assets.provenance.manifest import Manifest, ManifestFile
    from resources.landing import LocalLanding
    from services.fleet_simulator.drive_plans import FleetOrder
    from services.fleet_simulator.drive_truth import DrivePlan
    from services.fleet_simulator.faults import UploadStep

VEHICLE: Final = "sim_car"
_DEFAULT_SENSORS: Final = "can,imu,gnss,radar"
_FLIP: Final = 0xFF

_HELP: Final = """Make drives with ground truth: a test bed for anything that reads recordings.

A seeded world, traffic and vehicle; every sensor with clock offset, drift, jitter and latency; events and faults on
request. One MCAP per drive (standard ROS 2 messages, readable by any MCAP tool), the CAN database beside it, and the
truth in a folder of its own: motion at 100 Hz, road users, events, clocks, faults with time and size. The same seed
gives the same bytes. Exit code 1 when a drive is rejected, quarantined or held back, as those with faults should be.

\b
Example: by itself, without a fleet:
  fleet simulate --out simulated --drives 3 --seconds 120 --seed 7
  fleet simulate --out simulated --sensors can,imu --event hard_brake@20
  fleet simulate --out simulated --fault dropout:imu@10+5 --fault clock_jump@30=-800

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
@click.option("--every", default=60.0, show_default=True, help="Minutes between a vehicle's drives.")
@click.option(
    "--sensors", default=_DEFAULT_SENSORS, show_default=True, help="Any of can, imu, gnss, radar, lidar, camera."
)
@click.option("--camera-hz", type=click.FloatRange(0.5, 30.0), help="Pictures per second; default: 10.")
@click.option("--event", "events", multiple=True, help="KIND@SECOND, e.g. hard_brake@20; repeatable.")
@click.option("--fault", "faults", multiple=True, help="[DRIVE/]KIND[:SENSOR][@SECOND][+SECONDS][=SIZE]; repeatable.")
@click.option("--list", "listed", is_flag=True, help="List sensors, events and faults, and stop.")
@click.option("--out", help="Write recordings and truth into this folder; no fleet is needed or touched.")
@click.option("--no-turn", is_flag=True, help="Only put the drives into the landing zone; the daemon does the rest.")
@fleet_command
def simulate(
    session: Session,
    *,
    drives: int,
    only: int | None,
    camera_hz: float | None,
    listed: bool,
    out: str | None,
    no_turn: bool,
    **wanted: Any,
) -> int:
    """Make drives with ground truth; what a person reads is `_HELP`."""
    from services.fleet_simulator.camera.gpu import CameraUnavailableError
    from services.fleet_simulator.faults import UnknownFaultError
    from services.fleet_simulator.sensors.catalogue import UnknownSensorError
    from services.fleet_simulator.traffic.requests import UnknownEventError

    if listed:
        return _list(session)
    try:
        depots = wanted.pop("depots") or (("main",) if out is not None else session.fleet.settings.depots)
        order = _order(depots=depots, **wanted)
        workshop = _Workshop(session, order, range(1, drives + 1) if only is None else (only,), camera_hz)
        return workshop.write(Path(out).expanduser().resolve()) if out is not None else workshop.send(turns=not no_turn)
    except (UnknownFaultError, UnknownSensorError, UnknownEventError) as error:
        raise click.UsageError(f"{error}. See `fleet simulate --list`.") from error
    except CameraUnavailableError as error:
        click.echo(f"fleet: {error} All other sensors work without it.", err=True)
        return WRONG_USE


def _list(session: Session) -> int:
    from services.fleet_simulator.drive_truth import EVENT_UNITS
    from services.fleet_simulator.faults import FAULT_KINDS
    from services.fleet_simulator.sensors.catalogue import GROUPS

    kinds = {
        name: {"acts_on": kind.acts_on, "size": kind.magnitude, "unit": kind.unit, "what": kind.words}
        for name, kind in FAULT_KINDS.items()
    }
    document = {
        "sensors": {name: list(parts) for name, parts in GROUPS.items()},
        "events": EVENT_UNITS,
        "faults": kinds,
    }

    def text() -> str:
        lines = ["sensors (a fault may name one or a part of it)"]
        lines += [f"  {name:<20}{', '.join(parts)}" for name, parts in GROUPS.items()]
        lines += ["events and the unit of their size in the truth", *(f"  {k:<20}{v}" for k, v in EVENT_UNITS.items())]
        lines.append("faults, what they act on, default size")
        lines += [
            f"  {name:<20}{kind.acts_on:<14}{f'{kind.magnitude:g} {kind.unit}' if kind.unit else '':<26}{kind.words}"
            for name, kind in FAULT_KINDS.items()
        ]
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
) -> "FleetOrder":
    from services.fleet_simulator.drive_plans import FleetOrder

    return FleetOrder(
        seed=seed,
        depots=tuple(depots),
        start_ns=utc_start_ns(start) or 0,
        seconds=seconds,
        sensors=tuple(name.strip() for name in sensors.split(",") if name.strip()),
        every_s=every * 60,
        events=tuple(_event(text) for text in events),
        faults=_faults(faults),
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


def _faults(texts: Sequence[str]) -> dict[int, list[Any]]:
    from services.fleet_simulator.faults import parse_fault

    found: dict[int, list[Any]] = {}
    for text in texts:
        number, bar, rest = text.partition("/")
        drive = int(number) if bar and number.isdigit() else 0
        found.setdefault(drive, []).append(parse_fault(rest if bar else text))
    return found


@dataclass
class _Damaging:
    """A landing zone whose uploads break on the way; the manifest speaks of what was sent."""

    inner: "LocalLanding"
    step: "UploadStep"

    def stage(self, sources: Sequence[tuple[str, Path]], progress: Any = None) -> "tuple[Path, list[ManifestFile]]":
        return self.inner.stage(sources, progress)

    def discard(self, staged: Path) -> None:
        self.inner.discard(staged)

    def publish(self, staged: Path, manifest: "Manifest") -> str:
        for file in manifest.files:
            _damage(staged / file.path, self.step)
        return self.inner.publish(staged, manifest)


def _damage(path: Path, step: "UploadStep") -> None:
    size = path.stat().st_size
    if step.keep_share < 1.0:
        with path.open("r+b") as stream:
            stream.truncate(round(size * step.keep_share))
    if step.changed_bytes:
        with path.open("r+b") as stream:
            # In the middle of the file, where messages lie.
            stream.seek(size // 2)
            content = bytes(byte ^ _FLIP for byte in stream.read(step.changed_bytes))
            stream.seek(size // 2)
            stream.write(content)


@dataclass
class _Workshop:
    """Makes the drives of one order and puts them where they are wanted."""

    session: Session
    order: "FleetOrder"
    numbers: Sequence[int]
    camera_hz: float | None = None
    placed: list[Any] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)

    def write(self, folder: Path) -> int:
        """Everything into a folder."""
        rows = []
        write_database(folder / "recordings")
        for plan, recording in self._made(folder / "recordings", folder / "truth"):
            rows.append(
                {
                    "drive_id": plan.drive_id,
                    "recording": str(recording),
                    "truth": str(folder / "truth" / plan.drive_id),
                    "bytes": recording.stat().st_size,
                }
            )
            if not self.session.as_json:
                self.session.say(f"{plan.drive_id}  {recording}  {rows[-1]['bytes']:,} bytes")
        self.session.answer(rows, lambda: f"{len(rows)} drives in {folder}; truth in {folder / 'truth'}")
        return DONE

    def send(self, *, turns: bool) -> int:
        """Everything through the landing zone, late uploads after the others were processed."""
        home = self.session.fleet.settings
        runs: list[RunResult] = []
        with TemporaryDirectory(prefix="fleet-simulated-") as workplace:
            folder = Path(workplace)
            write_database(folder)
            vehicle = find_vehicle(self.session.fleet.policies, home.dbc_folder, VEHICLE, [folder])
            adopt_dbcs(self.session, vehicle, [folder])
            late: list[tuple[UploadStep, DrivePlan, Path]] = []
            for plan, path in self._made(folder, home.path / "truth"):
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

    def _upload(self, step: "UploadStep", plan: "DrivePlan", path: Path, vehicle: "Vehicle") -> None:
        from fleet_assets.ingestion.telemetry_and_bulk_ingestion.ingest import Delivery, deliver
        from resources.landing import LocalLanding
        from services.fleet_simulator.making import SOUND

        source = path.parent / SOUND / path.name if step.is_sound else path
        drive_id = f"{plan.drive_id}-copy{step.copy}" if step.copy else plan.drive_id
        delivery = Delivery(vehicle, plan.vehicle_id, step.depot, drive_id, step.revision)
        founds, _ = search([source], admission_of(vehicle.spec))
        try:
            landing = _Damaging(LocalLanding(self.session.fleet.settings.landing), step)
            self.placed.append(deliver(founds[0], delivery, landing))
        except refusals() as error:
            self.failures.append(Failure(source, str(error)))

    def _made(self, recordings: Path, truth: Path) -> "Iterator[tuple[DrivePlan, Path]]":
        """Make the drives one after the other; gives each plan and its recording."""
        from services.fleet_simulator.drive_plans import plan_drive, with_depots
        from services.fleet_simulator.making import DriveMaker
        from services.fleet_simulator.world.generate import generate_network

        policy = self.session.policies["simulation"]
        network = with_depots(generate_network(self.order.seed, policy["world"]), self.order.depots)
        maker = DriveMaker(network, policy, self.camera_hz)
        for number in self.numbers:
            plan = plan_drive(self.order, number)
            yield plan, maker.make(plan, recordings / plan.drive_id, truth / plan.drive_id)


def _steps(plan: "DrivePlan") -> "tuple[UploadStep, ...]":
    from services.fleet_simulator.faults import uploads

    return uploads(plan)


def write_database(folder: Path) -> None:
    """Put the vehicle's CAN database where `fleet ingest` finds it."""
    from services.fleet_simulator.sensors.can_database import FILE_NAME, dbc_text

    (folder / "dbc").mkdir(parents=True, exist_ok=True)
    (folder / "dbc" / FILE_NAME).write_text(dbc_text(), encoding="utf-8")
