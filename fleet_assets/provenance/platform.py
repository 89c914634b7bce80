"""What operators, gates and sensors need of the platform, as a protocol. `resources.platform.Fleet` implements it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from fleet_assets.perception.weights import WeightSource
from fleet_assets.policy.documents import Policies
from fleet_assets.provenance.batches import FOLDER, BatchFile
from fleet_assets.provenance.ledger import LakeTables
from fleet_assets.provenance.manifest import Upload
from fleet_assets.provenance.objects import ObjectStore
from fleet_assets.provenance.requests import Request
from fleet_assets.tables import Table


class Landing(Protocol):
    """Where uploads arrive."""

    def uploads(self) -> list[Upload]:
        """All complete uploads, sorted by name; an unreadable manifest is listed with its refusal."""
        ...

    def file(self, upload: str, path: str) -> Path:
        """Local path of one uploaded file.

        Raises:
            RefusedUploadError: When the path leaves the upload folder or the file is missing.
        """
        ...

    def batches(self, folder: str = FOLDER) -> list[BatchFile]:
        """All complete files of a folder (telemetry batches where none is named), sorted by name, unread."""
        ...

    def batch(self, batch: BatchFile, folder: str = FOLDER) -> Path:
        """Local path of one of them.

        Raises:
            FileNotFoundError: When it is gone.
        """
        ...


class Requests(Protocol):
    """The request book."""

    def all(self) -> list[Request]:
        """Every request, sorted by id."""
        ...


class Settings(Protocol):
    """Settings of the fleet."""

    @property
    def depots(self) -> tuple[str, ...]:
        """Known depots."""
        ...

    @property
    def first_day(self) -> str:
        """First UTC day with partitions."""
        ...

    @property
    def dbc_folder(self) -> Path:
        """Where DBC files that specs name by path are looked up."""
        ...


class Platform(Protocol):
    """Access to one fleet."""

    @property
    def lake(self) -> LakeTables:
        """Tables."""
        ...

    @property
    def tables(self) -> Mapping[str, Table]:
        """All tables by dotted name."""
        ...

    @property
    def policies(self) -> Policies:
        """Policies in force."""
        ...

    @property
    def landing(self) -> Landing:
        """Where uploads arrive; for who is granted class raw."""
        ...

    @property
    def objects(self) -> ObjectStore:
        """Objects of the granted access classes."""
        ...

    @property
    def weights(self) -> WeightSource:
        """Pretrained weights."""
        ...

    @property
    def requests(self) -> Requests:
        """The request book."""
        ...

    @property
    def settings(self) -> Settings:
        """Depots, first day, folders."""
        ...

    @property
    def last_day(self) -> str:
        """The last UTC day that has partitions."""
        ...

    @property
    def last_hour(self) -> str:
        """The last UTC hour (YYYY-MM-DD-HH:00) that has partitions."""
        ...
