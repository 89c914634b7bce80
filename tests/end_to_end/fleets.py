"""What the end-to-end tests share: a set of small drives, and what must hold of a fleet that came to rest.

Single cases and the faults that they inject are in the test modules.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import dagster as dg

from fleet_assets.build import all_gates
from fleet_assets.operators import STEPS
from fleet_assets.provenance.digests import EMPTY_ROOT, file_sha256
from fleet_assets.provenance.manifest import Manifest
from fleet_assets.provenance.staleness import partition_roots, stale_partitions
from fleet_assets.tables import TableKind
from partitions.keys import from_dagster
from tests.harness import TestFleet, utc_ns
from tests.recordings_factory import write_comma2k19_drive

SECONDS: Final = 13.0
"""Length of a drive: enough grid for the coverage gate to judge a partition by one drive."""


@dataclass(frozen=True)
class Drive:
    """One synthetic drive.

    Attributes:
        drive_id: Drive id.
        start: UTC start by its own GNSS.
        depot: Depot.
        seed: Which road it took.
        revision: Upload revision.
    """

    drive_id: str
    start: str
    depot: str
    seed: int
    revision: int = 0

    def record(self, folder: Path) -> Path:
        """The recording's folder, written when it is not there yet."""
        path = folder / f"{self.drive_id}-{self.revision}-{self.seed}"
        if not path.exists():
            write_comma2k19_drive(path, start_utc_ns=utc_ns(self.start), seconds=SECONDS, seed=self.seed)
        return path

    def upload(self, fleet: TestFleet, folder: Path) -> Manifest:
        """Put the drive into the fleet's landing zone."""
        recording = self.record(folder)
        return fleet.upload(recording, depot=self.depot, drive_id=self.drive_id, revision=self.revision)


SIX: Final = (
    Drive("a1", "2024-05-01T08:00:00", "north", 1),
    Drive("a2", "2024-05-01T09:00:00", "north", 2),
    Drive("b1", "2024-05-01T08:00:00", "south", 3),
    Drive("c1", "2024-05-02T08:00:00", "north", 4),
    Drive("d1", "2024-05-02T08:00:00", "south", 5),
    Drive("d2", "2024-05-02T09:00:00", "south", 6),
)
"""Two days × two depots; two of the four partitions hold two drives."""


def reachable_objects(fleet: TestFleet) -> dict[str, str]:
    """Digest by drive and path of every recording file that the lake refers to; each is in the store, unharmed."""
    rows = fleet.sql("select drive_id, path, bytes, sha256 from bronze.drive_files")
    for row in rows:
        stored = fleet.fleet.objects.local(row["sha256"], "raw")
        assert stored.stat().st_size == row["bytes"]
        assert file_sha256(stored) == row["sha256"]
    return {f"{row['drive_id']}/{row['path']}": row["sha256"] for row in rows}


def identity_tables(fleet: TestFleet) -> list[str]:
    """Tables that are part of identity."""
    return [name for name, table in fleet.fleet.tables.items() if table.kind is not TableKind.LOG]


def reported_roots(fleet: TestFleet, instance: dg.DagsterInstance) -> dict[str, dict[tuple[str, ...], str]]:
    """Data versions that Dagster knows, by table and partition; partitions that it knows to be empty are left out."""
    known: dict[str, dict[tuple[str, ...], str]] = {}
    for name in identity_tables(fleet):
        key = dg.AssetKey(name.split("."))
        if not fleet.fleet.tables[name].partition_by:
            event = instance.get_latest_materialization_event(key)
            version = dict(event.asset_materialization.tags or {}) if event and event.asset_materialization else {}
            found: dict[tuple[str, ...], str] = {(): version.get("dagster/data_version", EMPTY_ROOT)}
        else:
            tags = instance.event_log_storage.get_latest_tags_by_partition(
                key, dg.DagsterEventType.ASSET_MATERIALIZATION, ["dagster/data_version"]
            )
            found = {from_dagster(partition): tag["dagster/data_version"] for partition, tag in tags.items()}
        known[name] = {partition: version for partition, version in found.items() if version != EMPTY_ROOT}
    return known


def unfinished_runs(instance: dg.DagsterInstance) -> list[str]:
    """Runs that are neither done, failed nor cancelled."""
    ended = {dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED}
    return [run.run_id for run in instance.get_runs() if run.status not in ended]


def check_states(fleet: TestFleet, instance: dg.DagsterInstance) -> Iterator[tuple[str, str, str]]:
    """(gate, partition, state) of every gate's latest word on every partition that the lake holds."""
    for gate in all_gates(fleet.fleet.tables):
        infos = instance.event_log_storage.get_asset_check_partition_info([gate.key])
        known = {from_dagster(info.partition_key) if info.partition_key else (): info for info in infos}
        for partition in sorted({entry.partition for entry in fleet.fleet.lake.entries(gate.table)}):
            info = known.get(partition)
            state = "unjudged" if info is None or not info.is_current else info.latest_execution_status.value
            yield str(gate.key.to_user_string()), "|".join(partition), state


def assert_at_rest(
    fleet: TestFleet, held: Mapping[str, str] | None = None, waiting: Collection[tuple[str, tuple[str, ...]]] = ()
) -> None:
    """Nothing is outstanding: ledger, Dagster's data versions, gates and runs agree with each other.

    Args:
        fleet: The fleet.
        held: Gate → partition, of gates that are expected to have failed; every other one has passed.
        waiting: (operator, partition) of what is held back by these gates; nothing else is stale.
    """
    fleet.fleet.forget()
    expected = dict(held or {})
    stale = {(found.step.operator.name, found.partition) for found in stale_partitions(fleet.fleet, STEPS)}
    assert stale == set(waiting)
    with fleet.instance() as instance:
        assert unfinished_runs(instance) == []
        assert reported_roots(fleet, instance) == partition_roots(fleet.fleet, identity_tables(fleet))
        states = list(check_states(fleet, instance))
        assert [state for state in states if state[2] != "SUCCEEDED" and expected.get(state[0]) != state[1]] == []
        assert [state for state in states if state[2] != "FAILED" and expected.get(state[0]) == state[1]] == []
