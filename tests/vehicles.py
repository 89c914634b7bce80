"""The shipped vehicles, and the one of the MDF 4 factory, as tests use them."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fleet_assets.ingestion.recordings.dbc import DbcText, find_dbcs
from fleet_assets.policy.canonical import CanonicalSignals, parse_canonical_signals
from fleet_assets.policy.documents import load_document, load_policies
from fleet_assets.policy.vehicle_parsing import parse_vehicle_spec
from fleet_assets.policy.vehicles import VehicleSpec
from tests.mdf4_factory import MDF4_DBC, MDF4_DBC_NAME, MDF4_SPEC

POLICIES = load_policies()
CANONICAL = parse_canonical_signals(POLICIES["canonical_signals"], POLICIES.digest("canonical_signals"))


@dataclass(frozen=True)
class TestVehicle:
    """Spec, vocabulary and CAN databases of one vehicle."""

    __test__ = False
    spec: VehicleSpec
    canonical: CanonicalSignals
    dbcs: Mapping[str, DbcText]


def vehicle(document: Mapping[str, Any], folders: tuple[Path, ...] = ()) -> TestVehicle:
    spec = parse_vehicle_spec(document, "digest", CANONICAL)
    return TestVehicle(spec, CANONICAL, find_dbcs(spec, folders))


def shipped(name: str, *folders: Path) -> TestVehicle:
    """A shipped vehicle."""
    return vehicle(POLICIES[f"vehicles/{name}"], folders)


def factory_mdf4(folder: Path) -> TestVehicle:
    """The vehicle that the MDF 4 factory's recordings are of; its database is written to a folder."""
    (folder / MDF4_DBC_NAME).write_text(MDF4_DBC)
    return vehicle(load_document(MDF4_SPEC, "factory"), (folder,))
