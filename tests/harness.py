"""What end-to-end tests share: a home of one's own, drives put into its landing zone, and the real crank."""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg

import policies
from fleet_assets.build import build_defs
from fleet_assets.commands.placing import admission_of
from fleet_assets.crank import Crank, RunResult
from fleet_assets.ingestion.recordings.discovery.discover import PICTURES, discover
from fleet_assets.ingestion.telemetry_and_bulk_ingestion.ingest import Delivery, deliver
from fleet_assets.ingestion.vehicle import dbcs_to_adopt, vehicle_of
from fleet_assets.provenance.ledger import root
from fleet_assets.provenance.manifest import Manifest
from fleet_assets.tables import TableKind
from resources.home import open_home
from resources.instance import open_instance
from resources.landing import LocalLanding
from resources.platform import Fleet
from resources.sql import query
from tests.recordings_factory import write_comma2k19_drive

REAL_DATA = (Path(__file__).resolve().parents[2] / "shared" / "data").resolve()
COMMA_SPEC = "comma2k19_rav4"
CSS_SPEC = "css_canedge"


def utc_ns(text: str) -> int:
    """Nanoseconds of a UTC time such as 2024-05-01T08:00:00."""
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 1_000_000_000


@dataclass
class TestFleet:
    """A fleet in a folder.

    Attributes:
        home: Its FLEET_HOME.
        depots: Depots to know.
        first_day: First UTC day with partitions; automation costs grow with their number.
        today: UTC day to take for today; empty means the wall clock.
        durable: Whether Dagster's instance lies in the home, as for a user, or in memory, which is three times faster.
    """

    __test__ = False

    home: Path
    depots: Sequence[str] = ("north", "south")
    first_day: str = "2024-04-01"
    durable: bool = False
    today: str = ""
    runs: list[RunResult] = field(default_factory=list)

    def __post_init__(self) -> None:
        settings = open_home(self.home)
        for depot in self.depots:
            settings = settings.with_depot(depot)
        replace(settings, first_day=self.first_day).save()
        self.fleet = Fleet(home=str(self.home), granted=["raw", "open"], max_workers=2, today=self.today)
        self._memory = None if self.durable else dg.DagsterInstance.ephemeral()

    def upload(
        self,
        recording: Path,
        *,
        depot: str = "north",
        spec: str = COMMA_SPEC,
        vehicle_id: str = "car1",
        drive_id: str | None = None,
        revision: int = 0,
        dbc_folders: Sequence[Path] = (),
        given_start_ns: int | None = None,
    ) -> Manifest:
        """Put a recording into the landing zone as a vehicle would."""
        own = self.fleet.settings.dbc_folder
        vehicle = vehicle_of(self.fleet.policies, spec, [own, *dbc_folders])
        for source, target in dbcs_to_adopt(vehicle, own, dbc_folders):
            shutil.copyfile(source, target)
        delivery = Delivery(vehicle, vehicle_id, depot, drive_id, revision, given_start_ns)
        # Pictures are a recording only for a spec that reads them.
        admission = admission_of(vehicle.spec) if PICTURES in vehicle.spec.formats else None
        found, _ = discover(recording, admission)
        return deliver(found[0], delivery, LocalLanding(self.fleet.settings.landing))[1]

    def upload_synthetic(
        self, folder: Path, start: str, *, seed: int = 1, seconds: float = 6.0, **upload: Any
    ) -> Manifest:
        """Write a short synthetic comma2k19 drive and put it into the landing zone."""
        write_comma2k19_drive(folder, start_utc_ns=utc_ns(start), seconds=seconds, seed=seed)
        return self.upload(folder, **upload)

    @contextmanager
    def instance(self) -> Iterator[dg.DagsterInstance]:
        """The instance in the home, or the one in memory that all turns share."""
        if self._memory is None:
            with open_instance(self.home) as instance:
                yield instance
        else:
            yield self._memory

    def with_all_positions(self) -> "TestFleet":
        """Withhold nothing near the ends of trips, where a test asks whether positions are right."""
        text = (Path(policies.__file__).parent / "privacy.yaml").read_text()
        usual = "signals: [lat_deg, lon_deg, alt_m, heading_deg]"
        assert usual in text
        (self.home / "policies" / "privacy.yaml").write_text(text.replace(usual, "signals: [nothing]"))
        return self

    def turn(self, instance: dg.DagsterInstance | None = None) -> list[RunResult]:
        """Turn the real crank until nothing is requested."""
        self.fleet.forget()
        defs = build_defs(resource_overrides={"ingestion": self.fleet})
        with nullcontext(instance) if instance is not None else self.instance() as own:
            self.runs = Crank(defs, own).turn()
        return self.runs

    def digests(self) -> dict[str, str]:
        """Merkle root of every table that is part of identity."""
        tables = [table for table in self.fleet.tables.values() if table.kind is not TableKind.LOG]
        return {table.name: root(_keyed(self.fleet, table)) for table in tables}

    def sql(self, text: str) -> list[dict[str, Any]]:
        """Rows of a query."""
        return query(self.fleet, text)

    def gates(self) -> Mapping[tuple[str, str, str], str]:
        """Latest outcome by (asset, gate, partition) over the last turn."""
        return {(gate.asset, gate.gate, gate.partition): gate.outcome for run in self.runs for gate in run.gates}


def _keyed(fleet: Fleet, table: Any) -> list[Any]:
    return [replace(entry, unit="|".join([*entry.partition, entry.unit])) for entry in fleet.lake.entries(table)]
