"""The platform as assets, checks, sensors and commands hold it: one Dagster resource that opens the outside systems.

It only opens and hands out. What runs is in the areas; how a restatement goes is in `provenance/restate.py`.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg
from pydantic import Field, PrivateAttr

from fleet_assets.policy.documents import Policies, load_policies
from fleet_assets.provenance.ledger import FINGERPRINT_LENGTH, LOG_UNIT_LENGTH, Partition
from fleet_assets.provenance.leftovers import Leftovers
from fleet_assets.provenance.objects import ObjectStore, check_landing
from fleet_assets.provenance.platform import Landing
from fleet_assets.provenance.restate import Report, Step, Wanted, restate
from fleet_assets.provenance.signing import Verifier
from fleet_assets.tables import Table, all_tables
from resources.engine import ProcessPoolEngine
from resources.home import FleetHome, open_home
from resources.iceberg import IcebergLake, open_lake
from resources.landing import LocalLanding
from resources.objects import LocalObjects
from resources.processes import PROCESS_TAG, process_identity
from resources.requests import RequestBook
from resources.s3 import S3Landing, S3Objects
from resources.search_index import SearchIndex
from resources.signer import LocalSigner, UnusableKeyError
from resources.vectors import LanceVectors
from resources.vectors_database import LanceDatabase
from resources.weights import WeightStore


class UnknownTableError(LookupError):
    """A table name that does not exist."""


class Fleet(dg.ConfigurableResource[None]):
    """Access to one fleet's platform.

    Attributes:
        home: FLEET_HOME, which holds `fleet.yaml`, keys and, by default, everything else.
        catalog: pyiceberg catalog properties; empty means SQLite and files under the home.
        bucket: S3 bucket for objects and landing; empty means folders under the home.
        endpoint_url: S3 endpoint, where it is not AWS itself.
        granted: Access classes of objects that the holder may open.
        max_workers: Engine workers; 0 means one per core.
        today: UTC day to take for today (tests and replays); empty means the wall clock.
    """

    home: str
    catalog: dict[str, str] = Field(default_factory=dict)
    bucket: str = ""
    endpoint_url: str = ""
    granted: list[str] = Field(default_factory=lambda: ["open"])
    max_workers: int = 0
    today: str = ""
    _read: dict[str, Any] = PrivateAttr(default_factory=dict)

    def _once(self, name: str, make: Callable[[], Any]) -> Any:
        """Read something once per resource; `forget` begins anew."""
        if name not in self._read:
            self._read[name] = make()
        return self._read[name]

    @property
    def settings(self) -> FleetHome:
        """Depots, first day and paths."""
        settings: FleetHome = self._once("settings", lambda: open_home(Path(self.home)))
        return settings

    @property
    def lake(self) -> IcebergLake:
        """Tables."""
        local = {
            "type": "sql",
            "uri": f"sqlite:///{self.settings.lake}/catalog.db?timeout=60",
            "warehouse": f"file://{self.settings.lake}/warehouse",
        }
        return open_lake(self.catalog or local, tuple(self.granted))

    @property
    def objects(self) -> ObjectStore:
        """Objects of the granted classes."""
        if self.bucket:
            cache = self.settings.path / "cache"
            return S3Objects(self.bucket, cache, tuple(self.granted), self.endpoint_url)
        return LocalObjects(str(self.settings.objects), tuple(self.granted))

    @property
    def landing(self) -> Landing:
        """Where uploads arrive.

        Raises:
            AccessDeniedError: When class raw is not granted: uploads are recordings as they came.
        """
        check_landing(tuple(self.granted))
        if self.bucket:
            return S3Landing(self.bucket, self.settings.path / "cache", self.endpoint_url)
        return LocalLanding(self.settings.landing)

    @property
    def search_index(self) -> SearchIndex:
        """The full-text index, derived from the lake."""
        return SearchIndex(*self._lance("index"))

    @property
    def vectors(self) -> LanceVectors:
        """The vector index, derived from the lake."""
        return LanceVectors(LanceDatabase(*self._lance("vectors")), self.policies["embeddings"]["index"])

    def _lance(self, name: str) -> tuple[str, Mapping[str, str]]:
        """Address and storage options of a LanceDB database."""
        if not self.bucket:
            return str(self.settings.path / name), {}
        plain = str(self.endpoint_url.startswith("http://")).lower()
        storage = {"aws_endpoint": self.endpoint_url, "allow_http": plain} if self.endpoint_url else {}
        return f"s3://{self.bucket}/{name}", storage

    @property
    def policies(self) -> Policies:
        """Policies in force: shipped ones under the home's own."""
        policies: Policies = self._once("policies", lambda: load_policies(self.settings.policies))
        return policies

    @property
    def weights(self) -> WeightStore:
        """Pretrained weights, as the policies name them."""
        return WeightStore(self.policies)

    @property
    def signing(self) -> LocalSigner:
        """The platform's own key."""
        return LocalSigner(key_dir=str(self.settings.keys))

    @property
    def verifier(self) -> Verifier | None:
        """Trusts the platform's own key; None while there is none, so that nothing is signed yet."""
        try:
            return self.signing.verifier()
        except UnusableKeyError:
            return None

    @property
    def tables(self) -> Mapping[str, Table]:
        """All tables by dotted name."""
        tables: Mapping[str, Table] = self._once("tables", lambda: all_tables(self.policies["canonical_signals"]))
        return tables

    @property
    def requests(self) -> RequestBook:
        """The request book."""
        return RequestBook(self.lake)

    @property
    def engine(self) -> ProcessPoolEngine:
        """Runs one function over many drives."""
        return ProcessPoolEngine(self.max_workers)

    @property
    def last_day(self) -> str:
        """The last UTC day that has partitions: today."""
        return self.today or datetime.now(tz=UTC).strftime("%Y-%m-%d")

    @property
    def last_hour(self) -> str:
        """The last UTC hour that has partitions: this one."""
        return f"{self.today}-23:00" if self.today else datetime.now(tz=UTC).strftime("%Y-%m-%d-%H:00")

    def table(self, name: str) -> Table:
        """Table by dotted name.

        Raises:
            UnknownTableError: Naming the known tables.
        """
        if name not in self.tables:
            raise UnknownTableError(f"no table {name!r}. Known: {', '.join(sorted(self.tables))}.")
        return self.tables[name]

    def wanted(self, step: Step, partition: Partition) -> Wanted:
        """What one partition of a step's outputs should be made of, by the ledger as it is now."""
        return step.units(step.read_state(self), partition).get(partition, Wanted())

    def restate(self, step: Step, partition: Partition, progress: Callable[[int, int], None] | None = None) -> Report:
        """Bring one partition of a step's outputs up to date."""
        wanted = self.wanted(step, partition)
        return restate(
            step.operator,
            partition,
            wanted.units,
            step.compute,
            lake=self.lake,
            files=self.lake.files,
            engine=self.engine,
            policies=self.policies,
            tables=self.tables,
            keep=wanted.waiting,
            progress=progress,
            retiring=Leftovers(self.lake, self.objects, self.tables),
        )

    def append_log(
        self, table: Table, events: Sequence[Mapping[str, Any]], identity: str, clock_column: str, now_ns: int
    ) -> int:
        """Append events to a log table, each identity once. Returns how many were new."""
        known = {entry.unit for entry in self.lake.entries(table)}
        new = {str(event[identity])[:LOG_UNIT_LENGTH]: {**event, clock_column: now_ns} for event in events}
        staged = [
            self.lake.stage(table, (), unit, unit[:FINGERPRINT_LENGTH], table.from_rows([event]))
            for unit, event in new.items()
            if unit not in known
        ]
        self.lake.commit(table, staged)
        return len(staged)

    def setup_for_execution(self, context: dg.InitResourceContext) -> None:
        """Begin every run with what is on disk now, and say which process executes it.

        Remote profiles leave the latter to their launcher, which watches its workers.
        """
        self.forget()
        identity = process_identity()
        run, instance = context.run, context.instance
        if run is None or instance is None or self.catalog or run.tags.get(PROCESS_TAG) == identity:
            return
        instance.add_run_tags(run.run_id, {PROCESS_TAG: str(identity)})

    def forget(self) -> None:
        """Forget what was read: policies and settings may have changed since."""
        self._read.clear()
