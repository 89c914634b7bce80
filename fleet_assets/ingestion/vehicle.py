"""A vehicle as the operators of this area use it: its spec, the canonical signals, and its DBC files' content."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fleet_assets.ingestion.recordings.dbc import DbcText, find_dbcs, read_beside
from fleet_assets.policy.calibration import calibrated
from fleet_assets.policy.canonical import CanonicalSignals, parse_canonical_signals
from fleet_assets.policy.documents import Policies, digest_of, load_document
from fleet_assets.policy.lidar_calibration import CALIBRATIONS, parse_lidar_calibration
from fleet_assets.policy.vehicle_parsing import parse_vehicle_spec
from fleet_assets.policy.vehicles import VehicleSpec


@dataclass(frozen=True)
class Vehicle:
    """Spec, vocabulary, DBC files and calibration of one vehicle.

    Attributes:
        spec: The vehicle spec, calibrated.
        canonical: The fleet's signals.
        dbcs: DBC name of the spec → its content and digest.
        calibrations: Sensor → digest of its calibration file.
    """

    spec: VehicleSpec
    canonical: CanonicalSignals
    dbcs: Mapping[str, DbcText]
    calibrations: Mapping[str, str]

    @property
    def input_digest(self) -> str:
        """Digest over DBC and calibration files: what of the vehicle enters fingerprints besides the policies."""
        return digest_of([{name: dbc.sha256 for name, dbc in self.dbcs.items()}, dict(self.calibrations)])


def vehicle_of(policies: Policies, name: str, dbc_folders: Sequence[Path]) -> Vehicle:
    """Look a vehicle up in the policies.

    Args:
        policies: Policies in force.
        name: Vehicle spec.
        dbc_folders: Where DBC files named by path are looked up, in order.

    Raises:
        InvalidPolicyError: When there is no such spec, or no such lidar calibration as it names.
        InvalidSpecError: When the spec contradicts itself, the canonical signals or a calibration.
        DbcNotFoundError: When a DBC or calibration file that it needs is nowhere to be found.
    """
    canonical: CanonicalSignals = policies.derived(
        "canonical signals",
        lambda: parse_canonical_signals(policies["canonical_signals"], policies.digest("canonical_signals")),
    )
    document = f"vehicles/{name}"
    spec: VehicleSpec = policies.derived(
        ("vehicle spec", name), lambda: parse_vehicle_spec(policies[document], policies.digest(document), canonical)
    )
    for named in {one.calibration for one in spec.sensors.values() if one.calibration is not None}:
        parse_lidar_calibration(policies[f"{CALIBRATIONS}{named}"])
    dbcs = find_dbcs(spec, dbc_folders)
    calibrations = {}
    for sensor, path in spec.calibration.items():
        content = read_beside(f"calibration of {sensor}", path, dbc_folders)
        spec = calibrated(spec, sensor, load_document(content, path)["signals"])
        calibrations[sensor] = hashlib.sha256(content).hexdigest()
    return Vehicle(spec, canonical, dbcs, calibrations)


def dbcs_to_adopt(vehicle: Vehicle, home: Path, beside: Sequence[Path]) -> list[tuple[Path, Path]]:
    """DBC files that lie beside a recording but not yet in the home, where later runs look for them.

    Args:
        vehicle: The vehicle, found with `[home, *beside]` as folders.
        home: Folder of the home's own DBC files.
        beside: Folders beside the recording.

    Returns:
        (file to copy, where to) for every DBC that the spec names by path.
    """
    paths = [vehicle.spec.dbc[name].path for name in vehicle.dbcs]
    return [
        (next(folder / path for folder in beside if (folder / path).is_file()), home / path)
        for path in paths
        if path is not None and not (home / path).exists()
    ]
