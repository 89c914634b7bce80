"""Which drives each operator of this area should have in which partition, made from what.

Pure reading of the ledger: nothing is computed or written here. Running the plan is `provenance/restate.py`.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from fleet_assets.ingestion.recordings.dbc import DbcNotFoundError
from fleet_assets.ingestion.telemetry_and_bulk_ingestion.admission import Admission, Bounds, admit
from fleet_assets.ingestion.telemetry_and_bulk_ingestion.register import REGISTER
from fleet_assets.ingestion.vehicle import Vehicle, vehicle_of
from fleet_assets.perception.weights import WeightSource, named_weights
from fleet_assets.policy.documents import InvalidPolicyError, Policies, digest_of
from fleet_assets.policy.lidar_calibration import CALIBRATIONS
from fleet_assets.provenance.drive_units import drive_units, first_row, selected
from fleet_assets.provenance.fingerprints import Operator, fingerprint
from fleet_assets.provenance.ledger import Entry, LakeTables, Partition
from fleet_assets.provenance.manifest import Upload
from fleet_assets.provenance.objects import ObjectStore
from fleet_assets.provenance.platform import Landing
from fleet_assets.provenance.requests import Request
from fleet_assets.provenance.restate import UnitInput, Wanted
from fleet_assets.tables import Table

DRIVES: Final = "bronze.drives"
CALIBRATIONS_READ: Final = f"{CALIBRATIONS}*"
"""What an operator names in its policy when it reads the lidar calibrations that the drive's vehicle names."""
UnusableVehicle = DbcNotFoundError | InvalidPolicyError
"""Why a vehicle cannot be used: a CAN database that is not there, or a spec that is gone or contradicts itself."""


@dataclass
class IngestionState:
    """Everything that decides what ingestion should produce, read once.

    Attributes:
        lake: Ledger.
        tables: All tables by dotted name.
        policies: Policies in force.
        dbc_folders: Where DBC files named by path are looked up.
        uploads: Complete uploads of the landing zone.
        requests: All requests.
        depots: Known depots.
        first_day: First UTC day with partitions.
        last_day: Last UTC day with partitions.
        landing: Where uploaded files are read.
        objects: Store of recordings.
        weights: Pretrained weights.
    """

    lake: LakeTables
    tables: Mapping[str, Table]
    policies: Policies
    dbc_folders: tuple[Path, ...]
    uploads: Sequence[Upload]
    requests: Sequence[Request]
    depots: tuple[str, ...]
    first_day: str
    last_day: str
    landing: Landing
    objects: ObjectStore
    weights: WeightSource
    _vehicles: dict[str, Vehicle | UnusableVehicle] = field(default_factory=dict)
    _extras: dict[tuple[str, str], Mapping[str, str]] = field(default_factory=dict)

    @cached_property
    def admission(self) -> Admission:
        """Which uploads stand for which drives."""
        prefix = "vehicles/"
        specs = [name.removeprefix(prefix) for name in self.policies.documents if name.startswith(prefix)]
        return admit(self.uploads, Bounds(self.depots, self.first_day, self.last_day, specs, self.withdrawn))

    @cached_property
    def withdrawn(self) -> dict[str, int]:
        """Drive id → highest revision that was withdrawn."""
        revisions: dict[str, int] = {}
        for request in self.requests:
            if request.kind == "withdrawal":
                drive_id = request.body["drive_id"]
                revisions[drive_id] = max(int(request.body["revision"]), revisions.get(drive_id, 0))
        return revisions

    def vehicle(self, name: str) -> Vehicle | UnusableVehicle:
        """Vehicle by spec name, or why it cannot be used; looked up once per state."""
        if name not in self._vehicles:
            try:
                self._vehicles[name] = vehicle_of(self.policies, name, self.dbc_folders)
            except (DbcNotFoundError, InvalidPolicyError) as error:
                self._vehicles[name] = error
        return self._vehicles[name]

    @cached_property
    def _requests_by_drive(self) -> Mapping[str, Sequence[Request]]:
        found: dict[str, list[Request]] = defaultdict(list)
        for request in self.requests:
            if (drive_id := request.body.get("drive_id")) is not None:
                found[str(drive_id)].append(request)
        return found

    def about(self, drive_id: str, kinds: Sequence[str]) -> list[Request]:
        """Requests of some kinds about one drive."""
        return [request for request in self._requests_by_drive.get(drive_id, ()) if request.kind in kinds]

    def drive_row(self, entry: Entry) -> dict[str, Any]:
        """The row of `bronze.drives` in one data file."""
        return first_row(self.lake, self.tables[DRIVES], entry)

    def fingerprint(self, operator: Operator, drive_id: str, spec: str, inputs: Mapping[str, str]) -> str:
        """Fingerprint of one drive under one operator."""
        key = (operator.name, spec)
        if key not in self._extras:
            self._extras[key] = self._extras_of(operator, spec)
        extras = dict(self._extras[key])
        if asked := self.about(drive_id, operator.reads_requests):
            extras["requests"] = digest_of(sorted(request.request_id for request in asked))
        return fingerprint(operator, self.policies, sorted(inputs.items()), vehicle_spec=spec, extras=extras)

    def _extras_of(self, operator: Operator, spec: str) -> Mapping[str, str]:
        """What enters the fingerprints of all drives of one spec besides the policies."""
        extras = {}
        if "vehicles/*" in operator.policy:
            vehicle = self.vehicle(spec)
            extras["vehicle_inputs"] = vehicle.input_digest if isinstance(vehicle, Vehicle) else "missing"
            if CALIBRATIONS_READ in operator.policy and isinstance(vehicle, Vehicle):
                extras["calibrations"] = self._calibrations_digest(vehicle)
        if operator.names_weights:
            extras["weights"] = self._weights_digest(operator)
        return extras

    def _weights_digest(self, operator: Operator) -> str:
        named = {name for document in operator.names_weights for name in named_weights(self.policies[document])}
        return digest_of({name: self.weights.digest(name) for name in sorted(named)})

    def _calibrations_digest(self, vehicle: Vehicle) -> str:
        named = {sensor.calibration for sensor in vehicle.spec.sensors.values() if sensor.calibration is not None}
        return digest_of({name: self.policies.digest(f"{CALIBRATIONS}{name}") for name in sorted(named)})


def registration_units(state: IngestionState, partition: Partition | None = None) -> dict[Partition, Wanted]:
    """Drives to register, by the partition that they belong to.

    A drive whose corrected start lies on another day than the manifest says is wanted where it landed, so that no
    partition takes it back.
    """
    held = {entry.unit: entry for entry in state.lake.entries(state.tables[DRIVES])}
    units: dict[Partition, dict[str, UnitInput]] = defaultdict(dict)
    waiting: dict[Partition, list[str]] = defaultdict(list)
    for drive_id, upload in state.admission.accepted.items():
        manifest = upload.manifest
        if manifest is None:
            continue
        wanted = state.fingerprint(REGISTER, drive_id, manifest.vehicle_spec, {"manifest": manifest.sha256})
        announced = (manifest.day, manifest.depot)
        entry = held.get(drive_id)
        target = entry.partition if entry is not None and entry.fingerprint == wanted else announced
        if entry is not None and entry.partition != target:
            waiting[entry.partition].append(drive_id)
        vehicle = state.vehicle(manifest.vehicle_spec)
        context = {
            "manifest": manifest,
            "upload": upload.name,
            "vehicle": vehicle,
            "landing": state.landing,
            "objects": state.objects,
            "first_day": state.first_day,
            "last_day": state.last_day,
        }
        units[target][drive_id] = UnitInput(wanted, {}, context)
    for drive_id, entry in held.items():
        if drive_id not in state.admission.accepted and not _is_taken_out(state, drive_id, entry):
            waiting[entry.partition].append(drive_id)
    return selected(units, waiting, {entry.partition for entry in held.values()}, partition)


def _is_taken_out(state: IngestionState, drive_id: str, entry: Entry) -> bool:
    """Whether a registered drive that no upload stands for any more has to leave the lake.

    Uploads may be cleared from the landing zone once landed. What takes a drive out is the withdrawal of its revision,
    or another drive id that turned out to stand for the same files.
    """
    withdrawn = state.withdrawn.get(drive_id, -1) >= state.drive_row(entry)["revision"]
    return withdrawn or drive_id in state.admission.duplicates


def derived_units(
    state: IngestionState, operator: Operator, partition: Partition | None = None
) -> dict[Partition, Wanted]:
    """Drives that an operator downstream of `bronze.drives` should have, by partition."""

    def unit(drive_id: str, drive: Entry, own: Mapping[str, Entry]) -> UnitInput:
        row = state.drive_row(drive)
        wanted = state.fingerprint(
            operator, drive_id, row["vehicle_spec"], {name: entry.digest for name, entry in own.items()}
        )
        context: dict[str, Any] = {
            "drive": row,
            "requests": state.about(drive_id, operator.reads_requests),
            "objects": state.objects,
        }
        if "vehicles/*" in operator.policy:
            context["vehicle"] = state.vehicle(row["vehicle_spec"])
        if operator.names_weights:
            context["weights"] = state.weights
        return UnitInput(wanted, own, context)

    return drive_units(state.lake, state.tables, operator, unit, partition)


Units = Callable[[IngestionState, Partition | None], Mapping[Partition, Wanted]]
"""How an operator finds its units."""
