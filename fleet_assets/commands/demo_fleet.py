"""The demo fleet: simulated as its policy says, sent through the landing zone, run, and held against what was planted.

Here belongs the order of things. What is planted is in `policies/demo_fleet.yaml`, how it ended is read from the tables
by `demo_report.py`.
"""

import fcntl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final

from fleet_assets.commands.demo_endings import Late, day_of, ledger, moment, restated
from fleet_assets.commands.demo_report import Report
from fleet_assets.commands.placing import adopt_dbcs, find_vehicle
from fleet_assets.commands.sending import send, write_database
from fleet_assets.commands.session import DONE, REFUSED, Session
from fleet_assets.commands.surroundings import land_surroundings
from fleet_assets.commands.time_table import Spent, Watch, time_rows

if TYPE_CHECKING:
    from fleet_assets.crank import Crank, RunResult
    from fleet_assets.ingestion.vehicle import Vehicle
    from services.fleet_simulator.drive_truth import DrivePlan
    from services.fleet_simulator.faults import UploadStep
    from services.fleet_simulator.fleet_plan import FleetPlan, Made, Order

POLICY: Final = "demo_fleet"
_FOLDER: Final = "simulated"
_LOCK: Final = ".lock"


def run_demo_fleet(session: Session, *, pictures: bool) -> int:
    """Bring the home to where the demo fleet's policy wants it, and say what happened.

    What is there already is left alone, so that a second call does nothing and an interrupted one is gone on with.

    Args:
        session: The invocation.
        pictures: Whether the cameras record, where there is OpenGL.

    Returns:
        Exit code: 1 when a run broke off or a planted case did not end as planned.
    """
    from services.fleet_simulator.fleet_plan import parse_fleet_plan

    watch = Watch()
    plan = parse_fleet_plan(session.fleet.policies[POLICY], POLICY)
    plan = plan if pictures else plan.without_camera()
    _settle(session, plan)
    with _alone(session.path / _FOLDER):
        plan, made, simulated = _simulate(session, plan)
        demo = _Demo(session, plan, made)
        demo.drive_all()
    report = Report(session, plan, demo.late)
    rows = time_rows(session.instance, demo.runs, watch, simulated) if simulated or demo.runs else []
    session.answer(
        {**report.document(), "sent": demo.sent, "runs": len(demo.runs), "times": rows},
        lambda: report.text(rows, idle=not (simulated or demo.sent or demo.runs)),
    )
    return DONE if report.as_planned and all(run.error is None for run in demo.runs) else REFUSED


def _settle(session: Session, plan: "FleetPlan") -> None:
    """Make depots and days known that the drives need."""
    settings = session.fleet.settings
    first = min(day_of(drive.start_ns) for drive in plan.drives)
    wanted = settings
    for depot in plan.depots:
        wanted = wanted.with_depot(depot, first)
    if wanted != settings:
        wanted.save()
        session.fleet.forget()
        session.say(f"depots of this fleet: {', '.join(wanted.depots)}; first day {wanted.first_day}")


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Let only one process at a time make drives in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / _LOCK).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _orders(session: Session, plan: "FleetPlan") -> "list[Order]":
    from services.fleet_simulator.fleet_plan import Order

    home, policy = session.path, session.fleet.policies["simulation"]
    return [
        Order(
            drive,
            plan.world_seed,
            plan.depots,
            plan.camera_hz,
            policy,
            home / _FOLDER / drive.drive_id,
            home / "truth" / drive.drive_id,
        )
        for drive in plan.drives
    ]


def _kept(session: Session, plan: "FleetPlan") -> "list[Made] | None":
    """The drives, where none has to be made."""
    kept = [order.made() for order in _orders(session, plan)]
    made = [one for one in kept if one is not None]
    return made if len(made) == len(kept) else None


def _camera_missing(nothing: None) -> str | None:
    """Why there can be no camera here; asked of a worker, since a context must not outlive a fork."""
    from services.fleet_simulator.camera.gpu import unavailable_reason

    del nothing
    return unavailable_reason()


def _simulate(session: Session, plan: "FleetPlan") -> "tuple[FleetPlan, list[Made], list[Spent]]":
    """Make the drives that are not there yet, in the engine's workers."""
    from services.fleet_simulator.fleet_plan import make_drive

    watch, cpu_s = Watch(), 0.0
    if (kept := _kept(session, plan)) is None and plan.has_camera:
        (asked,) = session.fleet.engine.run(_camera_missing, [("camera", None)])
        cpu_s = asked.cpu_s
        if reason := asked.error or asked.value:
            session.say(
                f"No pictures: {reason}\nEvery other sensor records. Run it again then, and the pictures come too."
            )
            plan = plan.without_camera()
            kept = _kept(session, plan)
    if kept is not None:
        return plan, kept, []
    session.say(f"\nSimulating {len(plan.drives)} drives (policies/{POLICY}.yaml); the same seeds give the same bytes")
    found: dict[str, Made] = {}
    orders = {order.plan.drive_id: order for order in _orders(session, plan)}
    for outcome in session.fleet.engine.run(make_drive, list(orders.items())):
        if outcome.error is not None:
            raise RuntimeError(f"drive {outcome.key} could not be simulated:\n{outcome.error}")
        found[outcome.key], cpu_s = outcome.value, cpu_s + outcome.cpu_s
        session.say(f"  {_made_text(orders[outcome.key].plan, outcome.value)}")
    pictures = sum(made.pictures for made in found.values())
    what = f"{len(found)} drives, {pictures} pictures"
    return plan, [found[name] for name in orders], [Spent("fleet simulator", cpu_s, watch.wall_s, what)]


def _made_text(plan: "DrivePlan", made: "Made") -> str:
    pictures = f"{made.pictures} pictures, " if made.pictures else ""
    asked = ", ".join([*(f.kind for f in plan.faults), *dict.fromkeys(event.kind for event in plan.events)])
    told = f"  ({asked})" if asked else f"  (repeats {plan.repeats.drive_id})" if plan.repeats is not None else ""
    return (
        f"{plan.drive_id}  {moment(plan.start_ns)}  {plan.depot}  {plan.duration_s:g} s  {pictures}"
        f"{made.bytes / 1e6:.1f} MB{told}"
    )


@dataclass
class _Demo:
    """Sends the drives in the order in which they come, and turns the crank after each wave."""

    session: Session
    plan: "FleetPlan"
    made: "Sequence[Made]"
    sent: list[str] = field(default_factory=list)
    runs: "list[RunResult]" = field(default_factory=list)
    late: Late | None = None

    @cached_property
    def _crank(self) -> "Crank":
        return self.session.crank()

    @cached_property
    def _registered(self) -> dict[str, int]:
        """Revision of every drive that the lake knew when the command began."""
        from resources.sql import query

        rows = query(self.session.fleet, "select drive_id, revision from bronze.drives")
        return {row["drive_id"]: row["revision"] for row in rows}

    def drive_all(self) -> None:
        """Every wave of uploads, each processed before the next one comes."""
        from services.fleet_simulator.faults import uploads

        pairs = list(zip(self.plan.drives, self.made, strict=True))
        steps = [
            (replace(step, revision=step.revision + made.revision), drive)
            for drive, made in pairs
            for step in uploads(drive)
        ]
        with TemporaryDirectory(prefix="fleet-demo-") as place:
            write_database(Path(place))
            fleet = self.session.fleet
            vehicle = find_vehicle(fleet.policies, fleet.settings.dbc_folder, self.plan.vehicle_spec, [Path(place)])
            adopt_dbcs(self.session, vehicle, [Path(place)])
        self._land_world()
        for turn in sorted({step.turn for step, _ in steps}):
            self._wave(turn, [(step, drive) for step, drive in steps if step.turn == turn], vehicle)

    def _land_world(self) -> None:
        """The town's map and what its weather station reports."""
        from resources.landing import LocalLanding
        from services.fleet_simulator.drive_plans import with_depots
        from services.fleet_simulator.drive_truth import NS_PER_S
        from services.fleet_simulator.world.generate import generate_network

        policy = self.session.fleet.policies["simulation"]
        town = with_depots(generate_network(self.plan.world_seed, policy["world"]), self.plan.depots)
        windows = [(drive.start_ns, drive.start_ns + round(drive.duration_s * NS_PER_S)) for drive in self.plan.drives]
        land_surroundings(LocalLanding(self.session.fleet.settings.landing), town, windows, policy)

    def _wave(self, turn: int, steps: "Sequence[tuple[UploadStep, DrivePlan]]", vehicle: "Vehicle") -> None:
        from resources.landing import LocalLanding

        new = [(step, drive) for step, drive in steps if not self._is_there(step, drive)]
        before = ledger(self.session.fleet) if turn and new else None
        if new:
            when = "late, after their days were built" if turn else "as cars do"
            self.session.say(f"\nInto the landing zone, {when}: {', '.join(_upload_text(*one) for one in new)}")
        for step, drive in new:
            recording = self.session.path / _FOLDER / drive.drive_id / f"{drive.drive_id}.mcap"
            landing = LocalLanding(self.session.fleet.settings.landing)
            self.sent.append(send(step, drive, recording, vehicle, landing)[0])
        self.runs += self._crank.turn()
        if before is not None:
            self.late = restated(before, ledger(self.session.fleet), {drive.drive_id for _, drive in new})

    def _is_there(self, step: "UploadStep", drive: "DrivePlan") -> bool:
        """Whether an upload was sent before: it lies in the landing zone, or is registered and was cleared away."""
        drive_id = f"{drive.drive_id}-copy{step.copy}" if step.copy else drive.drive_id
        landing = self.session.fleet.settings.landing / f"{drive_id}-r{step.revision}" / "manifest.json"
        return landing.is_file() or step.revision <= self._registered.get(drive_id, -1)


def _upload_text(step: "UploadStep", drive: "DrivePlan") -> str:
    copy = f" (copy {step.copy})" if step.copy else ""
    return f"{drive.drive_id}{copy}" + (f" (revision {step.revision})" if step.revision else "")
