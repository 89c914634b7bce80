"""Simulated drives for the statistical studies: made once, recorded with any faults, put through the operators.

Here belong making and ingesting one drive without Dagster: the landing zone, admission and the operators' functions are
those that the assets call. What is counted belongs to the studies. Camera and lidar, where asked for, are bare
(`bare_media.py`).
"""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import yaml

from benchmarks.bare_media import MEDIA, bare_media
from fleet_assets.commands.sending import Damaging, write_database
from fleet_assets.ingestion.recordings.discovery.discover import discover
from fleet_assets.ingestion.steps import ALIGN_STEP, DECODE_STEP, FIND_STEP, HOLD_BACK_STEP, REGISTER_STEP
from fleet_assets.ingestion.telemetry_and_bulk_ingestion.admission import Admission, Bounds, admit
from fleet_assets.ingestion.telemetry_and_bulk_ingestion.ingest import Delivery, deliver
from fleet_assets.ingestion.vehicle import Vehicle, vehicle_of
from fleet_assets.policy.documents import Policies, load_policies
from fleet_assets.provenance.ledger import Entry
from fleet_assets.provenance.restate import Moved, Step, UnitTask
from fleet_assets.tables import all_tables
from resources.data_files import DataFiles
from resources.landing import LocalLanding
from resources.objects import LocalObjects
from services.fleet_simulator.drive_plans import FleetOrder, plan_drive, with_depots
from services.fleet_simulator.drive_truth import EGO_STEP_NS, NS_PER_S, DriveTruth
from services.fleet_simulator.faults import FaultRequest, started, uploads, without_faults
from services.fleet_simulator.recording import Recorded, record
from services.fleet_simulator.sensors.can_database import FILE_NAME, dbc_text
from services.fleet_simulator.sensors.catalogue import GROUPS
from services.fleet_simulator.sensors.scene import Scene
from services.fleet_simulator.traffic.drive import simulate_drive
from services.fleet_simulator.world.generate import generate_network

FULL_VEHICLE: Final = "sim_car"
VEHICLE: Final = "sim_study"
"""The simulated car, less the sensors that do not record."""
DEPOT: Final = "north"
START_NS: Final = 1_714_550_400_000_000_000
"""2024-05-01T08:00:00Z."""
FIRST_DAY, LAST_DAY = "2024-04-01", "2024-06-01"
FIRST_UNSEEN_SEED: Final = 10_000
"""Limits are tuned on seeds below 1000."""
DERIVED: Final = (DECODE_STEP, FIND_STEP, HOLD_BACK_STEP, ALIGN_STEP)


@dataclass(frozen=True)
class Ingested:
    """What became of one drive.

    Attributes:
        admission: The decision over its uploads.
        tables: Rows of every table that the operators wrote for it, empty where it was refused.
    """

    admission: Admission
    tables: Mapping[str, pa.Table]

    @property
    def drive(self) -> Mapping[str, Any] | None:
        """Its row of `bronze.drives`; None for an upload that was refused."""
        rows = self.tables["bronze.drives"].to_pylist() if "bronze.drives" in self.tables else []
        return rows[0] if rows else None

    def rows(self, table: str, **wanted: Any) -> list[dict[str, Any]]:
        """Rows of a table that have these values."""
        found = self.tables[table].to_pylist() if table in self.tables else []
        return [row for row in found if all(row[name] == value for name, value in wanted.items())]


class Workshop:
    """Makes drives and ingests them, everything below one folder.

    Args:
        folder: Place for recordings, landing zones and data files.
        groups: Groups of sensors that record; what the simulated car has besides, its spec is rid of. It requires the
            media among them.
    """

    def __init__(self, folder: Path, groups: Sequence[str] = ("can", "imu", "gnss")) -> None:
        self.folder, self.groups = folder, tuple(groups)
        own = folder / "policies"
        (own / "vehicles").mkdir(parents=True)
        write_database(folder)
        sensors = [name for group in groups for name in GROUPS.get(group, (group,))]
        spec = _bared(load_policies()[f"vehicles/{FULL_VEHICLE}"], sensors)
        (own / "vehicles" / f"{VEHICLE}.yaml").write_text(yaml.safe_dump(spec), encoding="utf-8")
        self.policies: Policies = load_policies(own)
        self._tables = all_tables(self.policies["canonical_signals"])

    @cached_property
    def vehicle(self) -> Vehicle:
        """The simulated car with these sensors."""
        return vehicle_of(self.policies, VEHICLE, [self.folder / "dbc"])

    def vehicle_without(self, message: str) -> Vehicle:
        """The same car with a CAN database of another model year, which lacks a message."""
        kept = [
            f"BO_{block}" for block in dbc_text().split("BO_")[1:] if f" {message}:" not in block.partition("\n")[0]
        ]
        folder = self.folder / f"dbc-without-{message}"
        folder.mkdir(exist_ok=True)
        (folder / FILE_NAME).write_text(dbc_text().partition("BO_")[0] + "".join(kept), encoding="utf-8")
        return vehicle_of(self.policies, VEHICLE, [folder])

    def scene(self, seed: int, seconds: float) -> Scene:
        """What happens in the one drive of a fleet; each seed has a world of its own."""
        simulation = self.policies["simulation"]
        network = with_depots(generate_network(seed, simulation["world"]), (DEPOT,))
        order = FleetOrder(seed, (DEPOT,), START_NS, seconds, self.groups)
        happened: DriveTruth = simulate_drive(plan_drive(order, 1), network, simulation)
        return Scene(happened, network, simulation["sensors"])

    @staticmethod
    def restarted(scene: Scene, faults: Sequence[FaultRequest]) -> Scene:
        """The same drive at the time that its faults ask for, without the light and weather of that time."""
        plan = started(replace(scene.truth.plan, faults=tuple(faults)))
        ego = replace(scene.truth.ego, t_ns=scene.truth.ego.t_ns + plan.start_ns - scene.truth.plan.start_ns)
        return replace(scene, truth=replace(scene.truth, plan=plan, ego=ego))

    def part(self, scene: Scene, seed: int, first_s: float, seconds: float) -> Scene:
        """A stretch of a drive as a drive of its own, recorded by sensors and clocks that another seed draws."""
        ego, plan = scene.truth.ego, scene.truth.plan
        rows = slice(*(round(at_s * NS_PER_S) // EGO_STEP_NS for at_s in (first_s, first_s + seconds)))
        cut = replace(ego, **{one.name: getattr(ego, one.name)[rows] for one in fields(ego)})
        drive_id = f"{plan.drive_id}-{seed}"
        own = replace(
            plan, drive_id=drive_id, seed=seed, start_ns=int(cut.t_ns[0]), duration_s=seconds, sensors=self.groups
        )
        return replace(scene, truth=replace(scene.truth, plan=own, ego=cut))

    def record(self, scene: Scene, faults: Sequence[FaultRequest], path: Path) -> Recorded:
        """Write the recording of a drive with faults."""
        path.parent.mkdir(parents=True, exist_ok=True)
        return self._record(path, _struck(scene, faults))

    def _record(self, path: Path, scene: Scene) -> Recorded:
        with_rays = [group for group in self.groups if group not in MEDIA]
        return record(path, scene, with_rays, bare_media(scene, self.groups))

    def ingest(  # noqa: PLR0917 - a drive, and how it comes
        self,
        scene: Scene,
        faults: Sequence[FaultRequest],
        path: Path,
        turns: int | None = None,
        vehicle: Vehicle | None = None,
    ) -> Ingested:
        """Put a drive's uploads through landing zone, admission and operators; leaves no files behind.

        Args:
            scene: The drive.
            faults: Its faults.
            path: Its recording.
            turns: Uploads of this many turns have come; all when None.
            vehicle: What is known of its vehicle when it is decoded; that of the workshop when None.
        """
        place = self.folder / f"{path.stem}.work"
        plan = _struck(scene, faults).truth.plan
        try:
            for step in uploads(plan):
                if turns is not None and step.turn >= turns:
                    continue
                source = path
                if step.is_sound:
                    source = place / "sound" / path.name
                    sound = replace(scene, truth=replace(scene.truth, plan=without_faults(plan)))
                    source.parent.mkdir(parents=True)
                    self._record(source, sound)
                drive_id = f"{plan.drive_id}-copy{step.copy}" if step.copy else plan.drive_id
                delivery = Delivery(self.vehicle, plan.vehicle_id, step.depot, drive_id, step.revision)
                founds, _ = discover(source)
                deliver(founds[0], delivery, Damaging(LocalLanding(place / "landing"), step))
            return self._operate(place, plan.drive_id, vehicle or self.vehicle)
        finally:
            shutil.rmtree(place, ignore_errors=True)

    def _operate(self, place: Path, drive_id: str, vehicle: Vehicle) -> Ingested:
        landing, objects = LocalLanding(place / "landing"), LocalObjects(str(place / "objects"), ("raw",))
        admission = admit(landing.uploads(), Bounds((DEPOT,), FIRST_DAY, LAST_DAY, (VEHICLE,), {}))
        if drive_id not in admission.accepted:
            return Ingested(admission, {})
        upload = admission.accepted[drive_id]
        desk = _Desk(place, self.policies, self._tables)
        desk.run(
            REGISTER_STEP,
            drive_id,
            {
                "manifest": upload.manifest,
                "upload": upload.name,
                "vehicle": self.vehicle,
                "landing": landing,
                "objects": objects,
                "first_day": FIRST_DAY,
                "last_day": LAST_DAY,
            },
        )
        (drive,) = desk.outputs["bronze.drives"].to_pylist()
        context = {"drive": drive, "vehicle": vehicle, "objects": objects, "requests": []}
        for step in DERIVED:
            desk.run(step, drive_id, context)
        return Ingested(admission, desk.outputs)


def _bared(spec: Mapping[str, Any], sensors: Sequence[str]) -> dict[str, Any]:
    """A vehicle spec with some of its sensors only."""
    kept = {
        name: {**body, "required": body["required"] or name in MEDIA}
        for name, body in spec["sensors"].items()
        if name in sensors
    }
    given = {signal for body in kept.values() for signal in body["signals"]}
    frames = {name: place for name, place in spec["frames"]["sensors"].items() if name in kept}
    return {
        **spec,
        "name": VEHICLE,
        "sensors": kept,
        "frames": {**spec["frames"], "sensors": frames},
        "redundant_pairs": [pair for pair in spec["redundant_pairs"] if given.issuperset(pair.values())],
    }


def _struck(scene: Scene, faults: Sequence[FaultRequest]) -> Scene:
    """The drive with other faults; its start stays, whatever they ask."""
    return replace(scene, truth=replace(scene.truth, plan=replace(scene.truth.plan, faults=tuple(faults))))


class _Desk:
    """Runs one operator after the other on one drive: each one's files are the next one's input."""

    def __init__(self, place: Path, policies: Policies, tables: Mapping[str, Any]) -> None:
        self._place, self._policies, self._tables = place, policies, tables
        self._files = DataFiles({})
        self._entries: dict[str, Entry] = {}
        self.outputs: dict[str, pa.Table] = {}

    def run(self, step: Step, unit: str, context: Mapping[str, Any]) -> None:
        inputs = {name: self._entries[name] for name in step.operator.inputs if name in self._entries}
        task = UnitTask(unit, (FIRST_DAY, DEPOT), inputs, context, self._policies, self._tables, self._files)
        computed = step.compute(task)
        for name, data in (computed.outputs if isinstance(computed, Moved) else computed).items():
            conformed = self._tables[name].conform(data)
            self.outputs[name] = conformed
            self._entries[name] = self._files.stage(str(self._place / name), (), unit, "0" * 24, conformed)
