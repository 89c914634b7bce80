"""Several people and the daemon use one home at once: nothing is lost, doubled or reported before it is done."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from fleet_assets.build import build_defs
from fleet_assets.crank import Crank
from partitions.keys import to_dagster
from resources.processes import LOST_TAG, PROCESS_TAG, process_identity
from tests.end_to_end.fleets import SIX, Drive, assert_at_rest, reachable_objects
from tests.harness import COMMA_SPEC, TestFleet

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 600


def start_ingest(home: Path, drive: Drive, recordings: Path) -> subprocess.Popen[str]:
    """`fleet ingest` of one drive in a process of its own."""
    named = ("--drive-id", drive.drive_id, "--vehicle-id", "car1", "--vehicle", COMMA_SPEC, "--depot", drive.depot)
    command = [sys.executable, "-m", "fleet_assets.cli", "ingest", str(drive.record(recordings)), *named, "--json"]
    return subprocess.Popen(
        [*command, "--home", str(home)], cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


@pytest.mark.slow
def test_drives_ingested_at_the_same_time_are_all_clean_when_their_own_command_ends(tmp_path: Path) -> None:
    fleet = TestFleet(tmp_path / "home", durable=True)
    drives = (SIX[0], SIX[1], SIX[4])  # two of them share a partition
    processes = [start_ingest(fleet.home, drive, tmp_path / "recordings") for drive in drives]
    answers: list[Any] = []
    for process in processes:
        output, errors = process.communicate(timeout=PATIENCE_S)
        assert process.returncode == 0, errors
        answers += json.loads(output)
    assert [(row["drive_id"], row["status"]) for row in answers] == [(drive.drive_id, "clean") for drive in drives]
    assert_at_rest(fleet)
    assert fleet.turn() == []
    reference = TestFleet(tmp_path / "reference")
    for drive in drives:
        drive.upload(reference, tmp_path / "recordings")
    reference.turn()
    assert fleet.digests() == reference.digests()
    assert reachable_objects(fleet) == reachable_objects(reference)
    events = fleet.sql("select event, count(*) as times from bronze.ingestion_log group by event")
    assert events == [{"event": "landed", "times": len(drives)}]


@pytest.fixture
def neighbour() -> Iterator[subprocess.Popen[bytes]]:
    """Another process that lives until it is told to end."""
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    yield process
    process.kill()
    process.communicate()


@pytest.mark.parametrize("dies", [False, True], ids=["ends", "dies"])
def test_a_drive_waits_for_the_run_of_another_process_on_its_partition_and_for_no_dead_one(
    tmp_path: Path, neighbour: subprocess.Popen[bytes], dies: bool
) -> None:
    fleet = TestFleet(tmp_path / "home")
    definitions = build_defs(resource_overrides={"ingestion": fleet.fleet})
    SIX[0].upload(fleet, tmp_path / "recordings")
    with fleet.instance() as instance:
        theirs = instance.create_run_for_job(
            definitions.resolve_implicit_global_asset_job_def(),
            asset_selection=frozenset({dg.AssetKey(["bronze", "quarantine"])}),
            status=dg.DagsterRunStatus.STARTED,
            tags={
                PROCESS_TAG: str(process_identity(neighbour.pid)),
                "dagster/partition": str(to_dagster(("2024-05-01", "north"))),
            },
        )
        reasons: list[str] = []

        def told(reason: str) -> None:
            reasons.append(reason)
            assert fleet.sql("select * from bronze.drives") == []
            if dies:
                neighbour.kill()
                neighbour.wait()
            else:
                instance.report_run_canceled(theirs)

        runs = Crank(definitions, instance, on_wait=told).turn()
        ended = instance.get_run_by_id(theirs.run_id)
    assert reasons == ["Waiting for the runs under way on 2024-05-01|north."]
    assert all(run.success for run in runs)
    assert fleet.sql("select status from bronze.drive_status") == [{"status": "clean"}]
    assert ended is not None
    assert (LOST_TAG in ended.tags) is dies
