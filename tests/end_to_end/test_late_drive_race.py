"""The named race: something lands while the run that should have seen it is finishing.

Automation conditions are edges, and the edge falls between the same two ticks as the run's own end. The sweep looks at
levels: after two of them, all roots are those of a fleet that was built from scratch.
"""

import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import dagster as dg
import pytest

from fleet_assets.build import build_defs
from fleet_assets.crank import Crank
from fleet_assets.provenance.ledger import Entry
from fleet_assets.provenance.requests import Request
from fleet_assets.tables import Table
from partitions.keys import to_dagster
from resources.iceberg import IcebergLake
from tests.end_to_end.fleets import SIX, assert_at_rest, reachable_objects
from tests.harness import TestFleet

FIRST, SECOND = SIX[0], SIX[1]
PARTITION = ("2024-05-01", "north")
SWEEPS = ("restatement_sweep", "roll_up_sweep")
DERIVED = (
    "bronze/sensor_samples",
    "bronze/sensor_streams",
    "bronze/integrity_findings",
    "bronze/quarantine",
    "silver/clips",
    "silver/clock_models",
    "silver/radar_tracks",
    "silver/signals",
    "silver/withheld_positions",
)
Happening = Callable[[TestFleet, Path], None]


def another_drive(fleet: TestFleet, recordings: Path) -> None:
    SECOND.upload(fleet, recordings)


def a_correction(fleet: TestFleet, recordings: Path) -> None:
    replace(FIRST, seed=21, revision=1).upload(fleet, recordings)


def a_withdrawal(fleet: TestFleet, recordings: Path) -> None:
    del recordings
    body = {"drive_id": FIRST.drive_id, "revision": 0, "reason": "a test"}
    fleet.fleet.requests.append(Request("withdrawal", body, "person:tester"))


def meanwhile(monkeypatch: pytest.MonkeyPatch, table: str, happening: Callable[[], None]) -> list[str]:
    """Let something happen in another thread after a run read the ledger, right before it commits to a table.

    Returns:
        A list that holds the table's name once it happened.
    """
    happened: list[str] = []
    commit = IcebergLake.commit

    def late(
        lake: IcebergLake, into: Table, added: Sequence[Entry], removed: Iterable[Entry] = (), **cost: object
    ) -> None:
        if into.name == table and not happened:
            happened.append(table)
            thread = threading.Thread(target=happening)
            thread.start()
            thread.join()
        commit(lake, into, added, removed, **cost)  # type: ignore[arg-type]

    monkeypatch.setattr(IcebergLake, "commit", late)
    return happened


def race(fleet: TestFleet, recordings: Path, monkeypatch: pytest.MonkeyPatch, table: str, happening: Happening) -> None:
    """Register one drive, run the rest of the graph for it, and have something land before that run commits."""
    definitions = build_defs(resource_overrides={"ingestion": fleet.fleet})

    def land() -> None:
        with fleet.instance() as own:
            happening(fleet, recordings)
            Crank(build_defs(resource_overrides={"ingestion": TestFleet(fleet.home).fleet}), own).tick(("landing",))

    with fleet.instance() as instance:
        crank = Crank(definitions, instance)
        FIRST.upload(fleet, recordings)
        crank.tick(("landing",))
        happened = meanwhile(monkeypatch, table, land)
        selection = [dg.AssetKey(name.split("/")) for name in DERIVED]
        crank.run("automation", dg.RunRequest(partition_key=to_dagster(PARTITION), asset_selection=selection))
        assert happened == [table]
        for _ in range(2):
            crank.tick(SWEEPS)


@pytest.fixture
def recordings(tmp_path: Path) -> Path:
    return tmp_path / "recordings"


def from_scratch(home: Path, recordings: Path, happening: Happening) -> TestFleet:
    fleet = TestFleet(home)
    if happening is another_drive:
        FIRST.upload(fleet, recordings)
    if happening is not a_withdrawal:
        happening(fleet, recordings)
    fleet.turn()
    return fleet


CASES = [
    pytest.param("silver.signals", another_drive),
    *(
        pytest.param(table, happening, marks=pytest.mark.slow)
        for table in ("bronze.sensor_samples", "bronze.integrity_findings", "bronze.quarantine", "silver.signals")
        for happening in (another_drive, a_correction, a_withdrawal)
        if (table, happening) != ("silver.signals", another_drive)
    ),
]


@pytest.mark.parametrize(("table", "happening"), CASES)
def test_within_two_sweeps_all_roots_are_those_of_a_fleet_built_from_scratch(
    tmp_path: Path, recordings: Path, monkeypatch: pytest.MonkeyPatch, table: str, happening: Happening
) -> None:
    fleet = TestFleet(tmp_path / "home")
    race(fleet, recordings, monkeypatch, table, happening)
    expected = from_scratch(tmp_path / "reference", recordings, happening)
    assert fleet.digests() == expected.digests()
    assert reachable_objects(fleet) == reachable_objects(expected)
    assert fleet.turn() == []
    assert_at_rest(fleet)
