"""Tables with personal data are of class raw: whoever is not granted it reads none of their rows, in no way."""

import pickle
from collections.abc import Callable
from pathlib import Path

import pytest

from fleet_assets.policy.documents import load_policies
from fleet_assets.provenance.objects import AccessDeniedError
from fleet_assets.tables import Column, Table, all_tables
from resources.data_files import DataFiles
from resources.iceberg import IcebergLake, open_lake

COLUMNS = tuple(Column(name, "string", "") for name in ("drive_id", "day", "depot"))
OPEN = Table(("bronze", "product"), COLUMNS, ("drive_id",), "")
PERSONAL = Table(("bronze", "person"), COLUMNS, ("drive_id",), "", personal=True)
PARTITION = ("2024-05-01", "north")


def properties(folder: Path) -> dict[str, str]:
    return {"type": "sql", "uri": f"sqlite:///{folder}/catalog.db", "warehouse": f"file://{folder}/warehouse"}


@pytest.fixture
def lake(tmp_path: Path) -> IcebergLake:
    """A lake with a row in each table, written by somebody who may."""
    full = IcebergLake(properties(tmp_path))
    row = {"drive_id": "d", "day": PARTITION[0], "depot": PARTITION[1]}
    for table in (OPEN, PERSONAL):
        entry = full.stage(table, PARTITION, "d", "f" * 24, table.from_rows([row]))
        full.commit(table, [entry])
    return full


def test_who_is_granted_raw_reads_both(lake: IcebergLake) -> None:
    assert [lake.rows(table).num_rows for table in (OPEN, PERSONAL)] == [1, 1]


def test_who_is_not_reads_products_only(lake: IcebergLake, tmp_path: Path) -> None:
    later = IcebergLake(properties(tmp_path), granted=("open",))
    assert later.rows(OPEN).num_rows == 1
    entries = later.entries(PERSONAL)
    assert len(entries) == 1  # the ledger knows the file; what is in it stays closed
    in_worker: DataFiles = pickle.loads(pickle.dumps(later.files))  # noqa: S301 - as a worker gets it
    attempts: tuple[Callable[[], object], ...] = (
        lambda: later.rows(PERSONAL),
        lambda: later.rows(PERSONAL, PARTITION, ["drive_id"]),
        lambda: later.read(PERSONAL, entries),
        lambda: later.dataset(PERSONAL),
        lambda: later.files.read(PERSONAL, entries),
        lambda: in_worker.read(PERSONAL, entries),
    )
    for attempt in attempts:
        with pytest.raises(AccessDeniedError, match=r"bronze\.person holds personal data"):
            attempt()


def test_a_lake_that_was_opened_with_raw_is_not_handed_to_who_asks_without(tmp_path: Path) -> None:
    full, later = open_lake(properties(tmp_path)), open_lake(properties(tmp_path), ("open",))
    assert full is not later
    assert open_lake(properties(tmp_path), ("open",)) is later


def test_positions_as_measured_and_names_as_typed_are_personal() -> None:
    tables = all_tables(load_policies()["canonical_signals"])
    personal = {name for name, table in tables.items() if table.personal}
    assert {"bronze.sensor_samples", "bronze.drive_files", "bronze.telemetry", "bronze.ingestion_log"} <= personal
    assert {"silver.signals", "silver.keyframes", "bronze.drives", "bronze.redacted_media"}.isdisjoint(personal)
